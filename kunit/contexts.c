// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interruptions of every kind, on any CPU, at any moment
 *
 * They come from another CPU, or from the CPU's own timer, so they hit whatever
 * it is doing. NMIs and single steps are a machine's own, if it has any: contexts_*.c.
 */
#include "contexts.h"

#include <bsa/compat.h>
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/errno.h>
#include <linux/hrtimer.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/sched/clock.h>
#include <linux/smp.h>
#include <linux/string.h>

/**
 * struct source - where the interruptions of one CPU come from
 * @timer: goes off soon after it was started, and sets off others
 * @tasklet: runs after the interrupt that has scheduled it
 * @work: runs in an interrupt of its own
 * @csd: the calls that start them, and the one that is meant itself
 * @sent: a bit for each &enum bsa_context that is on its way
 * @due: a bit for each that the timer is to set off
 */
struct source {
	struct hrtimer timer;
	struct tasklet_struct tasklet;
	struct irq_work work;
	call_single_data_t csd[BSA_NMI];
	unsigned long sent;
	unsigned long due;
};

static DEFINE_PER_CPU(struct source, sources);
static void (*interrupted)(enum bsa_context context);
static unsigned long possible;

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

/* From an NMI: was it one of these? */
bool bsa_nmi_arrives(void)
{
	struct source *source = this_cpu_ptr(&sources);

	if (!test_bit(BSA_NMI, &source->sent))
		return false;
	arrive(source, BSA_NMI);
	return true;
}

/* From a debug exception. */
void bsa_step_arrives(void)
{
	interrupted(BSA_STEP);
}

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
			bsa_nmi_send(smp_processor_id());
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
}

/**
 * bsa_contexts_start - make interruptions possible
 * @fn: what is called in each of them
 *
 * Return: a bit for each &enum bsa_context that this machine has.
 */
unsigned long bsa_contexts_start(void (*fn)(enum bsa_context context))
{
	interrupted = fn;
	on_each_cpu(init_source, NULL, true);
	possible = (BIT(BSA_NMI) - 1) | bsa_nmis_start();
	return possible;
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
	if (!possible)
		return;
	bsa_contexts_wait();
	if (possible & BIT(BSA_NMI))
		bsa_nmis_stop();
	possible = 0;
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
 * if the CPU is offline, or the machine has no such interruption.
 */
void bsa_interrupt(unsigned int cpu, enum bsa_context context)
{
	struct source *source = per_cpu_ptr(&sources, cpu);

	preempt_disable();
	if (possible & BIT(context) && can_be_interrupted(cpu, context) &&
	    !test_and_set_bit_lock(context, &source->sent)) {
		if (cpu == smp_processor_id())
			start_timer(source, context);
		else if (context == BSA_NMI)
			bsa_nmi_send(cpu);
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
	bsa_nmi_send(smp_processor_id());
	while (test_bit(BSA_NMI, &source->sent))
		cpu_relax();
}

/* Here, since bsa_soak includes all of this. */
#if defined(CONFIG_X86_LOCAL_APIC)
#include "contexts_x86.c"
#elif defined(CONFIG_ARM64)
#include "contexts_arm64.c"
#endif
