// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bounds: what one call does at worst, with as many slabs as fit into 4 GiB queued
 * by frees from another CPU
 *
 * A call that fails has looked everywhere. What it takes is counted where it must
 * not take long. Where it may, the longest stretch with interrupts off counts, on
 * the CPU that calls and on the other one, which it may interrupt.
 *
 * How a stretch is measured: a hard timer goes off again and again on that CPU,
 * soon after it has returned. While interrupts are off it has to wait. So the
 * longest time from one run to the next, less the shortest one without any call, is
 * the stretch. It is found too short by what is left until the timer is due when the
 * stretch begins, at most TIMER_SLACK; and too long by some 2,000 instructions if
 * a tick of the scheduler is due in it, too. Tracing the places where interrupts go
 * off would be exact, but costs instructions in each of them, which are measured
 * here, too.
 *
 * Emulated CPUs that count instructions take turns, and a turn ends where a timer of
 * any CPU is due. So the calling CPU has such a timer in any case; what it does with
 * interrupts off may come on top of a stretch on the other CPU, but no more.
 */
#include "bench.h"

#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/hrtimer.h>
#include <linux/irqflags.h>
#include <linux/sched.h>
#include <linux/smp.h>
#include <linux/timex.h>
#include <linux/workqueue.h>

#define TIMER_SLACK	1000	/* ns from the timer's return until it is due again */
#define OBJECT		2048	/* bytes; 16 of them are a slab */
#define PER_SLAB	16
#define LARGE		SZ_64M	/* a block that cannot be had */

/* A timer that goes off all the time, and how long it had to wait. */
struct watch {
	struct hrtimer timer;
	ktime_t period;
	u64 last;		/* when it has run last, in cycles; 0: never */
	u64 shortest;		/* from run to run */
	u64 longest;
};

/* The CPU that does not call: it is busy, as an idle one is slow to wake up. */
static struct {
	struct work_struct work;
	unsigned int cpu;
	bool stop;
} other;

static enum hrtimer_restart watch_runs(struct hrtimer *timer)
{
	struct watch *w = container_of(timer, struct watch, timer);
	u64 now = bench_cycles();

	if (w->last) {
		w->shortest = min(w->shortest, now - w->last);
		w->longest = max(w->longest, now - w->last);
	}
	WRITE_ONCE(w->last, now);
	hrtimer_set_expires(timer, ktime_add(ktime_get(), w->period));
	return HRTIMER_RESTART;
}

static void start_watch(void *arg)
{
	struct watch *w = arg;

	hrtimer_start(&w->timer, w->period, HRTIMER_MODE_REL_PINNED_HARD);
}

/* What the timer's interrupt takes in all, in cycles, found by its gaps. */
static u64 interrupt_cycles(void)
{
	u64 last = bench_cycles(), end = last + bench_cycles_per_ms, least = U64_MAX, now;

	while ((now = bench_cycles()) < end) {
		if (now - last > 500)
			least = min(least, now - last);
		last = now;
	}
	return least;
}

static void start_watch_on(unsigned int cpu, struct watch *w, u64 period_ns)
{
	memset(w, 0, sizeof(*w));
	w->shortest = U64_MAX;
	w->period = ns_to_ktime(period_ns);
#ifdef HAS_HRTIMER_SETUP
	hrtimer_setup(&w->timer, watch_runs, CLOCK_MONOTONIC,
		      HRTIMER_MODE_REL_PINNED_HARD);
#else
	hrtimer_init(&w->timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED_HARD);
	w->timer.function = watch_runs;
#endif
	smp_call_function_single(cpu, start_watch, w, 1);
	while (!READ_ONCE(w->last))
		cpu_relax();
}

/* So that a timer is due again TIMER_SLACK after its interrupt has returned. */
static u64 shortest_period(void)
{
	static struct watch w;
	u64 cycles;

	start_watch_on(smp_processor_id(), &w, 50 * NSEC_PER_USEC);
	cycles = interrupt_cycles();
	hrtimer_cancel(&w.timer);
	return div64_u64(cycles * NSEC_PER_MSEC, bench_cycles_per_ms) + TIMER_SLACK;
}

static void be_busy(struct work_struct *work)
{
	while (!READ_ONCE(other.stop))
		cpu_relax();
}

/* The call that a row is about, in the order of the rows. */
static const struct call {
	gfp_t gfp;		/* of one that fails; 0: bsa_heap_trim() */
	bool there;		/* watch the other CPU */
} calls[] = {
	{ GFP_ATOMIC | __GFP_NORETRY },
	{ GFP_ATOMIC },
	{ GFP_KERNEL },
	{ GFP_KERNEL, true },
	{ 0 },
	{ 0, true },
};

static const struct call *call_of(const struct bench_setup *s)
{
	return &calls[s->row - bench_bounds];
}

/* What has become of the slabs. The calling CPU owns them, or the other one. */
static const struct picture {
	const char *name;
	bool other_owns;
	bool unused;		/* but for one object in each 1,024 slabs */
} pictures[] = {
	{ "own slabs in use" },
	{ "own slabs unused", false, true },
	{ "other's slabs in use", true },
	{ "other's slabs unused", true, true },
};

/* Make the whole heap slabs without a free object, owned by this CPU. */
static long fill(void *arg)
{
	struct bench_heap *h = arg;
	size_t nr = 512;

	while (nr == 512 && h->nr_held + nr <= MAX_HELD) {
		nr = bsa_heap_alloc_bulk(h->heap, OBJECT, GFP_KERNEL | __GFP_NOWARN,
					 nr, bench_held + h->nr_held);
		h->nr_held += nr;
		cond_resched();
	}
	return 0;
}

/* Free one object of each slab, or almost all, so that each slab is queued. */
static long release(void *arg)
{
	struct bench_setup *s = arg;
	struct bench_heap *h = &s->heap[OURS];
	bool unused = pictures[s->index].unused;
	unsigned int i, kept = 0;

	for (i = 0; i < h->nr_held; i++) {
		if (unused ? i % (1024 * PER_SLAB) : i % PER_SLAB == 0)
			bsa_heap_free(h->heap, bench_held[i]);
		else
			bench_held[kept++] = bench_held[i];
		cond_resched();
	}
	h->nr_held = kept;
	return 0;
}

static const char *prepare(struct bench_setup *s, unsigned int i)
{
	struct bench_heap *h = &s->heap[OURS];
	unsigned int here = smp_processor_id();

	snprintf(s->what, sizeof(s->what), "%s", pictures[i].name);
	other.cpu = cpumask_any_but(cpu_online_mask, here);
	if (bench_create_big_heap(s))
		return NO_BIG_RANGE;
	work_on_cpu(pictures[i].other_owns ? other.cpu : here, fill, h);
	/* What is too small for a slab. */
	bench_fill_heap(h, PAGE_SIZE, 0);
	work_on_cpu(pictures[i].other_owns ? here : other.cpu, release, s);
	return NULL;
}

/* Where slabs are in use no page is free, else no large block. Does it fail? */
static bool fails(struct bench_setup *s, gfp_t gfp)
{
	struct bsa_heap *heap = s->heap[OURS].heap;
	unsigned long nr = LARGE / PAGE_SIZE;
	bool unused = pictures[s->index].unused;
	void *block;

	gfp |= __GFP_NOWARN;
	block = unused ? bsa_heap_alloc_pages(heap, nr, PAGE_SIZE, gfp) :
			 bsa_heap_alloc(heap, 64, gfp);
	if (!block)
		return true;
	if (unused)
		bsa_heap_free_pages(heap, block, nr);
	else
		bsa_heap_free(heap, block);
	return false;
}

static void measure_count(struct bench_setup *s)
{
	unsigned long flags;
	u64 start, end;
	bool failed;

	local_irq_save(flags);
	start = bench_cycles();
	failed = fails(s, call_of(s)->gfp);
	end = bench_cycles();
	local_irq_restore(flags);
	if (failed)
		bench_report(s, (end - start) * 100, 0, "cycles");
	else
		bench_missing(s, "the call has not failed");
}

static void measure_stretch(struct bench_setup *s)
{
	const struct call *call = call_of(s);
	static struct watch calm, w, turns;
	u64 period = shortest_period();
	bool good = true;
	unsigned int cpu;

	cpu = call->there ? other.cpu : smp_processor_id();
	other.stop = !call->there;
	INIT_WORK(&other.work, be_busy);
	schedule_work_on(other.cpu, &other.work);
	start_watch_on(cpu, &calm, period);
	mdelay(10);
	hrtimer_cancel(&calm.timer);
	start_watch_on(cpu, &w, period);
	if (call->there)
		start_watch_on(smp_processor_id(), &turns, period);
	if (call->gfp)
		good = fails(s, call->gfp);
	else
		bsa_heap_trim(s->heap[OURS].heap);
	hrtimer_cancel(&w.timer);
	if (call->there)
		hrtimer_cancel(&turns.timer);
	WRITE_ONCE(other.stop, true);
	flush_work(&other.work);
	if (good)
		bench_report(s, (w.longest - min(w.longest, calm.shortest)) * 100,
			     0, "cycles");
	else
		bench_missing(s, "the call has not failed");
}

#define NR_PICTURES	ARRAY_SIZE(pictures)
#define GOAL		"ours<=20000"

const struct bench_row bench_bounds[] = {
	{ "GFP_ATOMIC | __GFP_NORETRY fails", "", GOAL,
	  NR_PICTURES, prepare, .measure = measure_count },
	{ "interrupts off, GFP_ATOMIC fails", "", GOAL,
	  NR_PICTURES, prepare, .measure = measure_stretch },
	{ "interrupts off, GFP_KERNEL fails", "", GOAL,
	  NR_PICTURES, prepare, .measure = measure_stretch },
	{ "interrupts off elsewhere, GFP_KERNEL fails", "", GOAL,
	  NR_PICTURES, prepare, .measure = measure_stretch },
	{ "interrupts off, bsa_heap_trim", "", GOAL,
	  NR_PICTURES, prepare, .measure = measure_stretch },
	{ "interrupts off elsewhere, bsa_heap_trim", "", GOAL,
	  NR_PICTURES, prepare, .measure = measure_stretch },
	{}
};
