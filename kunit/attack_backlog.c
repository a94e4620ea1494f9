// SPDX-License-Identifier: GPL-2.0-only
/*
 * Thousands of slabs wait for their owner, and an allocation fails beside them
 *
 * Whoever looks for memory goes through what others have queued. However much that
 * is: no CPU may stand still for it, and who has not asked for more with flags
 * that allow it must not take longer.
 *
 * Times are compared between a small heap and one of 32 times its size, since
 * nothing else says much on a machine that is emulated. Of several rounds the best
 * one counts: a host that is busy makes them longer, never shorter.
 */
#include "attack.h"

#include <linux/hrtimer.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/sizes.h>

/* In slabs of one page. */
#define OBJECT		512
#define SMALL_HEAP	(SZ_2M / BSA_TEST_SLOWNESS)
#define LARGE_HEAP	(SZ_64M / BSA_TEST_SLOWNESS)

/* In each of them another object of each slab is freed. */
#define ROUNDS		5

/* Growth of the heap is 32, of times it may be this. */
#define GROWTH		4

/* Less than this says nothing: others run on this machine, too. */
#define LEAST_NS	(100 * NSEC_PER_USEC)
#define LEAST_OFF_NS	(400 * NSEC_PER_USEC)

/*
 * How late a timer goes off is for how long its CPU had interrupts off.
 */

#define PERIOD_NS	(100 * NSEC_PER_USEC)

/**
 * struct watch - a timer that looks whether its CPU takes interrupts
 * @timer: goes off each PERIOD_NS
 * @latest: how late that was at most, in ns
 */
struct watch {
	struct hrtimer timer;
	s64 latest;
};

static DEFINE_PER_CPU(struct watch, watches);

static enum hrtimer_restart on_watch(struct hrtimer *timer)
{
	struct watch *watch = container_of(timer, struct watch, timer);
	ktime_t now = ktime_get();

	watch->latest = max(watch->latest,
			    ktime_to_ns(ktime_sub(now, hrtimer_get_expires(timer))));
	hrtimer_forward(timer, now, ns_to_ktime(PERIOD_NS));
	return HRTIMER_RESTART;
}

static void start_watch(void *unused)
{
	struct watch *watch = this_cpu_ptr(&watches);

	watch->latest = 0;
	hrtimer_setup(&watch->timer, on_watch, CLOCK_MONOTONIC,
		      HRTIMER_MODE_REL_PINNED_HARD);
	hrtimer_start(&watch->timer, ns_to_ktime(PERIOD_NS),
		      HRTIMER_MODE_REL_PINNED_HARD);
}

/* The longest time that a CPU took no interrupt. */
static s64 stop_watches(void)
{
	unsigned int cpu;
	s64 latest = 0;

	for_each_online_cpu(cpu) {
		hrtimer_cancel(&per_cpu_ptr(&watches, cpu)->timer);
		latest = max(latest, per_cpu_ptr(&watches, cpu)->latest);
	}
	return latest;
}

/**
 * struct backlog - a heap full of objects of CPU 0
 * @heap: the heap
 * @ptrs: the objects
 * @nr: how many there are
 * @page: the object to free next in each page, counted within the page
 */
struct backlog {
	struct bsa_heap *heap;
	void **ptrs;
	size_t nr;
	unsigned int page;
};

static struct backlog *new_backlog(struct kunit *test, size_t size)
{
	struct backlog *b = kunit_kzalloc(test, sizeof(*b), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, b);
	b->heap = bsa_test_heap(test, size);
	b->ptrs = bsa_test_array(test, bsa_heap_nr_pages(b->heap) *
				 (PAGE_SIZE / OBJECT) + 1);
	b->nr = bsa_test_take_objects(b->heap, OBJECT, b->ptrs);
	return b;
}

/* CPU 1 frees an object in each page, so that each slab is queued for CPU 0. */
static void queue_each(struct kunit *test, struct backlog *b)
{
	size_t i, nr = PAGE_SIZE / OBJECT;

	bsa_test_set_cpu(test, 1);
	for (i = b->page++; i < b->nr; i += nr) {
		bsa_heap_free(b->heap, b->ptrs[i]);
		b->ptrs[i] = NULL;
	}
}

/* CPU 1 frees everything, so that each slab could go back. */
static void queue_everything(struct kunit *test, struct backlog *b)
{
	bsa_test_set_cpu(test, 0);
	bsa_test_give_back(b->heap, b->nr, b->ptrs);
	b->nr = bsa_test_take_objects(b->heap, OBJECT, b->ptrs);
	bsa_test_set_cpu(test, 1);
	bsa_test_give_back(b->heap, b->nr, b->ptrs);
}

/**
 * struct cost - of a call that asks for pages
 * @ns: how long it took
 * @off: how long a CPU took no interrupt meanwhile, in ns
 */
struct cost {
	s64 ns;
	s64 off;
};

/*
 * Either not a page is free, or all are but for a slab and have to be found: a good
 * part of them is asked for in one piece.
 */
static void ask_once(struct kunit *test, struct backlog *b, unsigned int cpu,
		     gfp_t gfp, bool all, struct cost *best)
{
	unsigned long nr = all ? rounddown_pow_of_two(bsa_heap_nr_pages(b->heap)) / 2 : 1;
	struct cost cost;
	ktime_t start;
	void *ptr;

	bsa_test_set_cpu(test, cpu);
	on_each_cpu(start_watch, NULL, true);
	start = ktime_get();
	ptr = bsa_heap_alloc_pages(b->heap, nr, PAGE_SIZE, gfp | __GFP_NOWARN);
	cost.ns = ktime_to_ns(ktime_sub(ktime_get(), start));
	cost.off = stop_watches();
	KUNIT_EXPECT_TRUE(test, all || !ptr);
	bsa_heap_free(b->heap, ptr);
	best->ns = min(best->ns, cost.ns);
	best->off = min(best->off, cost.off);
}

static struct cost cost_of_asking(struct kunit *test, size_t size, unsigned int cpu,
				  gfp_t gfp, bool all)
{
	struct cost best = { S64_MAX, S64_MAX };
	struct backlog *b = new_backlog(test, size);
	unsigned int round;

	for (round = 0; round < ROUNDS; round++) {
		if (all)
			queue_everything(test, b);
		else
			queue_each(test, b);
		ask_once(test, b, cpu, gfp, all, &best);
	}
	bsa_test_set_cpu(test, 0);
	bsa_test_give_back(b->heap, b->nr, b->ptrs);
	KUNIT_EXPECT_EQ(test, bsa_test_destroy_heap(test, b->heap), 0);
	return best;
}

static bool grows(s64 small, s64 large, s64 least)
{
	return large >= GROWTH * max(small, least);
}

/* A host that does something else may do so three times, but rarely. */
#define TRIES		3

static void compare(struct kunit *test, unsigned int cpu, gfp_t gfp, const char *flags,
		    bool all)
{
	/* What is allocated may be cleared, or marked, all of it. */
	bool marks = all && (IS_ENABLED(CONFIG_KASAN_GENERIC) || want_init_on_alloc(0));
	bool off, time = false;
	struct cost small, large;
	unsigned int try = 0;

	do {
		small = cost_of_asking(test, SMALL_HEAP, cpu, gfp, all);
		large = cost_of_asking(test, LARGE_HEAP, cpu, gfp, all);
		off = grows(small.off, large.off, LEAST_OFF_NS);
		if (gfp & __GFP_NORETRY && !marks)
			time = grows(small.ns, large.ns, LEAST_NS);
	} while ((off || time) && ++try < TRIES);

	kunit_info(test, "%s on CPU %u: %lld and %lld us, interrupts off for %lld and %lld us\n",
		   flags, cpu, small.ns / 1000, large.ns / 1000, small.off / 1000,
		   large.off / 1000);
	KUNIT_EXPECT_FALSE_MSG(test, off, "%s on CPU %u: interrupts are off for longer",
			       flags, cpu);
	KUNIT_EXPECT_FALSE_MSG(test, time, "%s on CPU %u: it takes longer", flags, cpu);
}

static void needs_a_backlog(struct kunit *test)
{
	attack_needs_plain_heaps(test);
	attack_needs_cpus(test, 3);
}

/* By their owner, by who has freed into them, and by a third. */
static void noretry_takes_no_longer_with_more_slabs(struct kunit *test)
{
	unsigned int cpu;

	needs_a_backlog(test);
	for (cpu = 0; cpu < 3; cpu++) {
		compare(test, cpu, GFP_ATOMIC | __GFP_NORETRY, "atomic, noretry", false);
		compare(test, cpu, GFP_KERNEL | __GFP_NORETRY, "kernel, noretry", false);
	}
	compare(test, 2, GFP_ATOMIC | __GFP_NORETRY, "atomic, noretry, all", true);
	compare(test, 2, GFP_KERNEL | __GFP_NORETRY, "kernel, noretry, all", true);
}

static void atomic_failure_keeps_no_cpu_from_interrupts(struct kunit *test)
{
	unsigned int cpu;

	needs_a_backlog(test);
	for (cpu = 0; cpu < 3; cpu++)
		compare(test, cpu, GFP_ATOMIC, "atomic", false);
}

static void failure_that_may_sleep_keeps_no_cpu_from_interrupts(struct kunit *test)
{
	unsigned int cpu;

	needs_a_backlog(test);
	for (cpu = 0; cpu < 3; cpu++)
		compare(test, cpu, GFP_KERNEL, "kernel", false);
}

static void reclaim_of_everything_keeps_no_cpu_from_interrupts(struct kunit *test)
{
	needs_a_backlog(test);
	compare(test, 0, GFP_ATOMIC, "atomic, all", true);
	compare(test, 2, GFP_ATOMIC, "atomic, all", true);
	compare(test, 2, GFP_KERNEL, "kernel, all", true);
}

static struct kunit_case attack_backlog_cases[] = {
	KUNIT_CASE(noretry_takes_no_longer_with_more_slabs),
	KUNIT_CASE(atomic_failure_keeps_no_cpu_from_interrupts),
	KUNIT_CASE(failure_that_may_sleep_keeps_no_cpu_from_interrupts),
	KUNIT_CASE(reclaim_of_everything_keeps_no_cpu_from_interrupts),
	{}
};

struct kunit_suite bsa_attack_backlog_suite = {
	.name = "bsa_attack_backlog",
	.init = bsa_test_init,
	.exit = bsa_test_exit,
	.test_cases = attack_backlog_cases,
};
