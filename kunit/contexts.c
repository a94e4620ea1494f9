// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interruptions of every kind, on any CPU, at any moment
 *
 * They come from another CPU, or from the CPU's own timer, so they hit whatever
 * it is doing. An NMI is sent the way the kernel does it, by writing to the local
 * APIC: no function that does this is exported.
 *
 * The exception is a debug exception after each single instruction. The kernel
 * treats it as an NMI, so what works in each of them works in an NMI, wherever
 * that comes.
 */
#include "contexts.h"

#include <bsa/compat.h>
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/errno.h>
#include <linux/hrtimer.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/kdebug.h>
#include <linux/kmemleak.h>
#include <linux/module.h>
#include <linux/nmi.h>
#include <linux/percpu.h>
#include <linux/sched/clock.h>
#include <linux/smp.h>
#include <linux/string.h>

#ifdef CONFIG_X86_64
#include <asm/apic.h>
#include <asm/debugreg.h>
#include <asm/nmi.h>
#include <asm/processor.h>
#endif

/**
 * struct source - where the interruptions of one CPU come from
 * @timer: goes off soon after it was started, and sets off others
 * @tasklet: runs after the interrupt that has scheduled it
 * @work: runs in an interrupt of its own
 * @csd: the calls that start them, and the one that is meant itself
 * @apic_id: the CPU's address for NMIs
 * @sent: a bit for each &enum bsa_context that is on its way
 * @due: a bit for each that the timer is to set off
 * @stepping: the CPU is between bsa_step_begin() and bsa_step_end()
 * @at_once: the function that it does not walk through
 * @ip: the instruction before which it was interrupted
 */
struct source {
	struct hrtimer timer;
	struct tasklet_struct tasklet;
	struct irq_work work;
	call_single_data_t csd[BSA_NMI];
	u32 apic_id;
	unsigned long sent;
	unsigned long due;
	bool stepping;
	void *at_once;
	unsigned long ip;
};

static DEFINE_PER_CPU(struct source, sources);
static void (*interrupted)(enum bsa_context context);
static bool started;

static void arrive(struct source *source, enum bsa_context context)
{
	interrupted(context);
	clear_bit_unlock(context, &source->sent);
}

static void on_tasklet(struct tasklet_struct *tasklet)
{
	arrive(container_of(tasklet, struct source, tasklet), BSA_SOFTIRQ);
}

static void on_irq_work(struct irq_work *work)
{
	arrive(container_of(work, struct source, work), BSA_IRQ_WORK);
}

#ifdef CONFIG_X86_64
static int on_nmi(unsigned int type, struct pt_regs *regs)
{
	struct source *source = this_cpu_ptr(&sources);

	if (!test_bit(BSA_NMI, &source->sent))
		return NMI_DONE;
	arrive(source, BSA_NMI);
	return NMI_HANDLED;
}

static void send_nmi(struct source *source)
{
	unsigned long flags;
	u64 base;

	rdmsrq(MSR_IA32_APICBASE, base);
	if (base & X2APIC_ENABLE) {
		wrmsrq(APIC_BASE_MSR + (APIC_ICR >> 4),
		       (u64)source->apic_id << 32 | APIC_DM_NMI);
		return;
	}
	local_irq_save(flags);
	while (native_apic_mem_read(APIC_ICR) & APIC_ICR_BUSY)
		cpu_relax();
	native_apic_mem_write(APIC_ICR2, SET_XAPIC_DEST_FIELD(source->apic_id));
	native_apic_mem_write(APIC_ICR, APIC_DM_NMI);
	local_irq_restore(flags);
}

static u32 this_apic_id(void)
{
	return cpuid_ebx(1) >> 24;
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
		__this_cpu_read(sources.at_once);
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
		__this_cpu_write(sources.at_once, made_at_once[i]);
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
	    !__this_cpu_read(sources.stepping))
		return NOTIFY_DONE;
	*dr6 &= ~DR_STEP;
	if (step_over(args->regs))
		return NOTIFY_STOP;
	__this_cpu_write(sources.ip, args->regs->ip);
	interrupted(BSA_STEP);
	if (!__this_cpu_read(sources.stepping))
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

static int start_nmis(void)
{
	int err;

	INIT_LIST_HEAD(&nmis.list);
	err = __register_nmi_handler(NMI_LOCAL, &nmis);

	if (!err) {
		err = register_die_notifier(&steps);
		if (err)
			unregister_nmi_handler(NMI_LOCAL, "bsa_test");
	}
	return err;
}

static void stop_nmis(void)
{
	unregister_die_notifier(&steps);
	unregister_nmi_handler(NMI_LOCAL, "bsa_test");
}
#else
static void send_nmi(struct source *source)
{
}

static u32 this_apic_id(void)
{
	return 0;
}

static void set_stepping(bool on)
{
}

static int start_nmis(void)
{
	return -EOPNOTSUPP;
}

static void stop_nmis(void)
{
}
#endif

/* On the CPU itself: what an interrupt does, or what follows it. */
static void set_off(struct source *source, enum bsa_context context)
{
	switch (context) {
	case BSA_SOFTIRQ:
		tasklet_schedule(&source->tasklet);
		break;
	case BSA_IRQ_WORK:
		irq_work_queue(&source->work);
		break;
	case BSA_NMI:
		/* Not if the CPU is offline, and another has its timer. */
		if (source == this_cpu_ptr(&sources))
			send_nmi(source);
		else
			clear_bit(context, &source->sent);
		break;
	default:
		arrive(source, context);
		break;
	}
}

/* What goes deepest comes first, as if it had interrupted the CPU by itself. */
static enum hrtimer_restart on_timer(struct hrtimer *timer)
{
	struct source *source = container_of(timer, struct source, timer);
	unsigned long due = xchg(&source->due, 0);
	int context;

	for (context = BSA_NMI; context >= 0; context--)
		if (due & BIT(context))
			set_off(source, context);
	return HRTIMER_NORESTART;
}

/* Interrupt this CPU, soon: in 0 to 8 us. */
static void start_timer(struct source *source, enum bsa_context context)
{
	set_bit(context, &source->due);
	if (!hrtimer_active(&source->timer))
		hrtimer_start(&source->timer, local_clock() & 8191,
			      HRTIMER_MODE_REL_PINNED_HARD);
}

/*
 * A CPU that wakes up makes its calls outside of any interrupt, and must not find
 * more to do by them then. So all else is left to the timer.
 */
static void on_call(void *data)
{
	struct source *source = this_cpu_ptr(&sources);
	unsigned long context = (unsigned long)data;

	if (context == BSA_IPI)
		arrive(source, context);
	else
		start_timer(source, context);
}

static void init_source(void *unused)
{
	struct source *source = this_cpu_ptr(&sources);
	unsigned long i;

	memset(source, 0, sizeof(*source));
	hrtimer_setup(&source->timer, on_timer, CLOCK_MONOTONIC,
		      HRTIMER_MODE_REL_HARD);
	tasklet_setup(&source->tasklet, on_tasklet);
	source->work = IRQ_WORK_INIT_HARD(on_irq_work);
	for (i = 0; i < ARRAY_SIZE(source->csd); i++)
		INIT_CSD(&source->csd[i], on_call, (void *)i);
	source->apic_id = this_apic_id();
}

/**
 * bsa_contexts_start - make interruptions possible
 * @fn: what is called in each of them
 *
 * Return: 0 or a negative error.
 */
int bsa_contexts_start(void (*fn)(enum bsa_context context))
{
	int err;

	interrupted = fn;
	on_each_cpu(init_source, NULL, true);
	err = start_nmis();
	started = !err;
	return err;
}

/**
 * bsa_contexts_wait - wait for the interruptions that are on their way
 *
 * Nobody asks for new ones.
 */
void bsa_contexts_wait(void)
{
	unsigned int cpu;

	for_each_online_cpu(cpu) {
		struct source *source = per_cpu_ptr(&sources, cpu);

		/* Pairs with arrive(). */
		while (smp_load_acquire(&source->sent))
			usleep_range(100, 200);
		hrtimer_cancel(&source->timer);
		tasklet_kill(&source->tasklet);
		irq_work_sync(&source->work);
	}
}

/**
 * bsa_contexts_stop - undo bsa_contexts_start()
 *
 * As bsa_contexts_wait(). Harmless where nothing was started.
 */
void bsa_contexts_stop(void)
{
	if (!started)
		return;
	started = false;
	bsa_contexts_wait();
	stop_nmis();
}

/*
 * On its way up and down a CPU takes interrupts when the thread that runs its
 * softirqs, on PREEMPT_RT all of them, is parked.
 */
static bool can_be_interrupted(unsigned int cpu, enum bsa_context context)
{
	return context == BSA_SOFTIRQ ? cpu_active(cpu) : cpu_online(cpu);
}

/**
 * bsa_interrupt - interrupt a CPU
 * @cpu: which one; this one is interrupted within microseconds
 * @context: how; not BSA_STEP
 *
 * If the last one of its kind is still on its way, nothing happens. So it does
 * if the CPU is offline.
 */
void bsa_interrupt(unsigned int cpu, enum bsa_context context)
{
	struct source *source = per_cpu_ptr(&sources, cpu);

	preempt_disable();
	if (can_be_interrupted(cpu, context) &&
	    !test_and_set_bit_lock(context, &source->sent)) {
		if (cpu == smp_processor_id())
			start_timer(source, context);
		else if (context == BSA_NMI)
			send_nmi(source);
		else
			smp_call_function_single_async(cpu,
						       &source->csd[context]);
	}
	preempt_enable();
}

/**
 * bsa_nmi_here - interrupt this CPU by an NMI, at once
 *
 * Preemption is off.
 */
void bsa_nmi_here(void)
{
	struct source *source = this_cpu_ptr(&sources);

	set_bit(BSA_NMI, &source->sent);
	send_nmi(source);
	while (test_bit(BSA_NMI, &source->sent))
		cpu_relax();
}

/**
 * bsa_step_begin - interrupt this CPU after each instruction from here on
 *
 * Preemption is off until bsa_step_end().
 */
void bsa_step_begin(void)
{
	preempt_disable();
	__this_cpu_write(sources.stepping, true);
	set_stepping(true);
}

/**
 * bsa_step_ip - where this CPU has been interrupted; from within an interruption
 */
unsigned long bsa_step_ip(void)
{
	return __this_cpu_read(sources.ip);
}

/**
 * bsa_step_last - do not interrupt this CPU again; from within an interruption
 */
void bsa_step_last(void)
{
	__this_cpu_write(sources.stepping, false);
}

/**
 * bsa_step_end - interrupt this CPU no longer
 */
void bsa_step_end(void)
{
	set_stepping(false);
	__this_cpu_write(sources.stepping, false);
	preempt_enable();
}

/**
 * bsa_step_is_bsa - is an instruction one of bsa's? Besides it only tests are modules.
 * @ip: the instruction
 */
bool bsa_step_is_bsa(unsigned long ip)
{
#ifdef MODULES_VADDR
	return ip >= MODULES_VADDR && ip < MODULES_END &&
	       !within_module(ip, THIS_MODULE);
#else
	return false;
#endif
}
