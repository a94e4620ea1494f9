// SPDX-License-Identifier: GPL-2.0-only
/*
 * Large memory is cleared, or copied, where others may run meanwhile
 *
 * A thread of real-time priority wants the CPU of the call again and again. It must
 * never have to wait for as long as the call takes. Of several rounds the best one
 * counts: a host that is busy makes others longer.
 */
#include "attack.h"

#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/sched.h>
#include <linux/sizes.h>

#define LARGE		SZ_32M
#define ROUNDS		5

/* A call that is over sooner has not cleared much. */
#define LEAST_NS	(4 * NSEC_PER_MSEC)

/* The longest time from one turn of the thread to the next, in ns. */
static s64 longest;

static int want_the_cpu(void *data)
{
	ktime_t last = ktime_get(), now;

	while (!kthread_should_stop()) {
		usleep_range(100, 200);
		now = ktime_get();
		WRITE_ONCE(longest, max(longest, ktime_to_ns(ktime_sub(now, last))));
		last = now;
	}
	return 0;
}

static void *zalloc(struct bsa_heap *heap, void *ptr)
{
	return bsa_heap_alloc(heap, LARGE, BSA_TEST_GFP | __GFP_ZERO);
}

static void *zalloc_pages(struct bsa_heap *heap, void *ptr)
{
	return bsa_heap_alloc_pages(heap, LARGE / PAGE_SIZE, PAGE_SIZE,
				    BSA_TEST_GFP | __GFP_ZERO);
}

static void *plain_alloc(struct bsa_heap *heap, void *ptr)
{
	return bsa_heap_alloc(heap, LARGE, BSA_TEST_GFP);
}

static void *grow(struct bsa_heap *heap, void *ptr)
{
	return bsa_heap_realloc(heap, ptr, 2 * LARGE, BSA_TEST_GFP | __GFP_ZERO);
}

static void *free_any(struct bsa_heap *heap, void *ptr)
{
	bsa_heap_free(heap, ptr);
	return NULL;
}

static void *free_pages_of(struct bsa_heap *heap, void *ptr)
{
	bsa_heap_free_pages(heap, ptr, LARGE / PAGE_SIZE);
	return NULL;
}

/* What is called one after the other, with what the last call gave. */
static void *(* const calls[])(struct bsa_heap *heap, void *ptr) = {
	zalloc, free_any, zalloc_pages, free_pages_of, plain_alloc, grow, free_any,
};

/* Return whether the thread had to wait for as long as a call took, or half. */
static bool has_waited(struct bsa_heap *heap, unsigned int i, void **ptr)
{
	s64 took;
	ktime_t start;

	/* It has had its turn. */
	msleep(20);
	WRITE_ONCE(longest, 0);
	start = ktime_get();
	*ptr = calls[i](heap, *ptr);
	took = ktime_to_ns(ktime_sub(ktime_get(), start));
	usleep_range(1000, 2000);
	return took > LEAST_NS && READ_ONCE(longest) > took / 2;
}

static void large_memory_is_cleared_where_others_may_run(struct kunit *test)
{
	struct bsa_heap *heap = bsa_test_heap(test, 4 * LARGE);
	unsigned int i, round, waited[ARRAY_SIZE(calls)] = {};
	struct task_struct *task;
	void *ptr = NULL;

	if (!IS_ENABLED(CONFIG_PREEMPTION))
		kunit_skip(test, "nobody is preempted in this kernel");
	if (!IS_ENABLED(CONFIG_HIGH_RES_TIMERS))
		kunit_skip(test, "nobody sleeps for less than a tick in this kernel");
	bsa_test_set_cpu(test, 0);
	task = attack_thread(test, 0, want_the_cpu, NULL);
	sched_set_fifo(task);
	for (round = 0; round < ROUNDS; round++)
		for (i = 0; i < ARRAY_SIZE(calls); i++)
			waited[i] += has_waited(heap, i, &ptr);
	kthread_stop(task);
	for (i = 0; i < ARRAY_SIZE(calls); i++)
		KUNIT_EXPECT_LT_MSG(test, waited[i], ROUNDS, "call %u", i);
}

static struct kunit_case attack_clear_cases[] = {
	KUNIT_CASE(large_memory_is_cleared_where_others_may_run),
	{}
};

struct kunit_suite bsa_attack_clear_suite = {
	.name = "bsa_attack_clear",
	.init = bsa_test_init,
	.exit = bsa_test_exit,
	.test_cases = attack_clear_cases,
};
