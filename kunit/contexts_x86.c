// SPDX-License-Identifier: GPL-2.0-only
/*
 * NMIs and single steps of x86
 *
 * An NMI is sent the way the kernel does it, by writing to the local APIC: no function
 * that does this is exported.
 *
 * A single step is a debug exception after each instruction. The kernel treats it
 * as an NMI, so what works in each of them works in an NMI, wherever that comes.
 */
#include "contexts.h"

#include <asm/apic.h>
#include <asm/debugreg.h>
#include <asm/nmi.h>
#include <asm/processor.h>
#include <bsa/compat.h>
#include <linux/kdebug.h>
#include <linux/kmemleak.h>
#include <linux/module.h>
#include <linux/nmi.h>
#include <linux/percpu.h>
#include <linux/smp.h>
#include <linux/string.h>

/* A CPU's address for NMIs. */
static DEFINE_PER_CPU(u32, apic_ids);

/**
 * struct walk - a CPU that goes step by step
 * @stepping: it is between bsa_step_begin() and bsa_step_end()
 * @at_once: the function that it does not walk through
 * @ip: the instruction before which it was interrupted
 */
struct walk {
	bool stepping;
	void *at_once;
	unsigned long ip;
};

static DEFINE_PER_CPU(struct walk, walk);

static int on_nmi(unsigned int type, struct pt_regs *regs)
{
	return bsa_nmi_arrives() ? NMI_HANDLED : NMI_DONE;
}

/* Interrupt a CPU by an NMI. */
void bsa_nmi_send(unsigned int cpu)
{
	u32 apic_id = per_cpu(apic_ids, cpu);
	unsigned long flags;
	u64 base;

	rdmsrq(MSR_IA32_APICBASE, base);
	if (base & X2APIC_ENABLE) {
		wrmsrq(APIC_BASE_MSR + (APIC_ICR >> 4),
		       (u64)apic_id << 32 | APIC_DM_NMI);
		return;
	}
	local_irq_save(flags);
	while (native_apic_mem_read(APIC_ICR) & APIC_ICR_BUSY)
		cpu_relax();
	native_apic_mem_write(APIC_ICR2, SET_XAPIC_DEST_FIELD(apic_id));
	native_apic_mem_write(APIC_ICR, APIC_DM_NMI);
	local_irq_restore(flags);
}

static void find_apic_id(void *unused)
{
	__this_cpu_write(apic_ids, cpuid_ebx(1) >> 24);
}

static void set_stepping(bool on)
{
	unsigned long flags;

	asm volatile("pushf; pop %0" : "=rm" (flags) : : "memory");
	flags &= ~X86_EFLAGS_TF;
	if (on)
		flags |= X86_EFLAGS_TF;
	asm volatile("push %0; popf" : : "g" (flags) : "memory", "cc");
}

/*
 * What kmemleak and debug= do besides takes so many steps that other CPUs would
 * wait for their locks for seconds: finding out who called whom, and writing and
 * reading whole blocks. These functions of the kernel are made at one go.
 */
static void * const made_at_once[] = {
#ifdef CONFIG_DEBUG_KMEMLEAK
	kmemleak_alloc,
	kmemleak_free,
#endif
#ifdef BSA_STACK_SAVE
	stack_trace_save,
	BSA_STACK_SAVE,
#endif
	memset,
	memchr_inv,
};

/* Called in place of a function, with all that may be its parameters. */
static unsigned long call_at_once(unsigned long a, unsigned long b,
				  unsigned long c, unsigned long d,
				  unsigned long e)
{
	unsigned long (*fn)(unsigned long a, unsigned long b, unsigned long c,
			    unsigned long d, unsigned long e) =
		__this_cpu_read(walk.at_once);
	unsigned long result = fn(a, b, c, d, e);

	set_stepping(true);
	return result;
}

/* At the first instruction of one of them? */
static bool step_over(struct pt_regs *regs)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(made_at_once); i++) {
		if (regs->ip != (unsigned long)made_at_once[i])
			continue;
		__this_cpu_write(walk.at_once, made_at_once[i]);
		regs->ip = (unsigned long)call_at_once;
		regs->flags &= ~X86_EFLAGS_TF;
		return true;
	}
	return false;
}

static int on_step(struct notifier_block *block, unsigned long what, void *data)
{
	struct die_args *args = data;
	unsigned long *dr6 = (void *)args->err;

	if (what != DIE_DEBUG || !(*dr6 & DR_STEP) ||
	    !__this_cpu_read(walk.stepping))
		return NOTIFY_DONE;
	*dr6 &= ~DR_STEP;
	if (step_over(args->regs))
		return NOTIFY_STOP;
	__this_cpu_write(walk.ip, args->regs->ip);
	bsa_step_arrives();
	if (!__this_cpu_read(walk.stepping))
		args->regs->flags &= ~X86_EFLAGS_TF;
	/* Many steps take their time, with preemption off. */
	touch_softlockup_watchdog();
	return NOTIFY_STOP;
}

static struct notifier_block steps = { .notifier_call = on_step };

/* With a longest duration that the kernel need not complain of. */
static struct nmiaction nmis = {
	.handler = on_nmi,
	.name = "bsa_test",
	.max_duration = U64_MAX,
};

/* Return a bit for each context that can be had by bsa_nmi_send() and bsa_step_begin(). */
unsigned long bsa_nmis_start(void)
{
	on_each_cpu(find_apic_id, NULL, true);
	INIT_LIST_HEAD(&nmis.list);
	if (__register_nmi_handler(NMI_LOCAL, &nmis))
		return 0;
	if (register_die_notifier(&steps)) {
		unregister_nmi_handler(NMI_LOCAL, "bsa_test");
		return 0;
	}
	return BIT(BSA_NMI) | BIT(BSA_STEP);
}

void bsa_nmis_stop(void)
{
	unregister_die_notifier(&steps);
	unregister_nmi_handler(NMI_LOCAL, "bsa_test");
}

/**
 * bsa_step_begin - interrupt this CPU after each instruction from here on
 *
 * Preemption is off until bsa_step_end().
 */
void bsa_step_begin(void)
{
	preempt_disable();
	__this_cpu_write(walk.stepping, true);
	set_stepping(true);
}

/**
 * bsa_step_ip - where this CPU has been interrupted; from within an interruption
 */
unsigned long bsa_step_ip(void)
{
	return __this_cpu_read(walk.ip);
}

/**
 * bsa_step_last - do not interrupt this CPU again; from within an interruption
 */
void bsa_step_last(void)
{
	__this_cpu_write(walk.stepping, false);
}

/**
 * bsa_step_end - interrupt this CPU no longer
 */
void bsa_step_end(void)
{
	set_stepping(false);
	__this_cpu_write(walk.stepping, false);
	preempt_enable();
}

/**
 * bsa_step_is_bsa - is an instruction one of bsa's? Besides it only tests are modules.
 * @ip: the instruction
 */
bool bsa_step_is_bsa(unsigned long ip)
{
	return ip >= MODULES_VADDR && ip < MODULES_END &&
	       !within_module(ip, THIS_MODULE);
}
