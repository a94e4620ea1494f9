// SPDX-License-Identifier: GPL-2.0-only
/*
 * A CPU stands still in the middle of a free, after each of its instructions
 *
 * So does a virtual CPU whose host runs something else. Meanwhile others must get
 * what others have freed; and what they get stays theirs when the CPU goes on.
 */
#include "attack.h"

#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/module.h>

/* Room for all objects of the heaps here. */
#define HEAP_ORDER	4
#define HEAP_PAGES	BIT(HEAP_ORDER)
#define HEAP_BYTES	(PAGE_SIZE << HEAP_ORDER)

/* More lines in the log than the rate limit lets through. */
#define MANY_LINES	12

enum state { RUNNING, STOPPED, RESUMED, FINISHED };

/**
 * struct stop - a free that is stopped
 * @heap: where to
 * @nr: how many objects
 * @ptrs: which
 * @at: the number of instructions of bsa after which it stops
 * @step: how many there have been
 * @state: &enum state, set to STOPPED and FINISHED by the free, to RESUMED by the
 *	test; to RUNNING by the free that could not wait for the test any longer
 * @late: how often that was so at this place
 * @slow: how many places were left out for it
 */
struct stop {
	struct bsa_heap *heap;
	size_t nr;
	void **ptrs;
	unsigned int at;
	unsigned int step;
	atomic_t state;
	unsigned int late;
	unsigned int slow;
};

static struct stop stop;

/*
 * No clock: some stand still here. Who holds a lock is not stopped: others wait for
 * a lock, and it is held for a bounded number of steps.
 */
static void stop_here(enum bsa_context context)
{
	unsigned int left = USEC_PER_SEC / 5;

	if (!bsa_step_is_bsa(bsa_step_ip()) || __this_cpu_read(bsa_locking) ||
	    stop.step++ != stop.at)
		return;
	atomic_set_release(&stop.state, STOPPED);
	while (atomic_read_acquire(&stop.state) != RESUMED) {
		udelay(5);
		if (!--left &&
		    atomic_cmpxchg(&stop.state, STOPPED, RUNNING) == STOPPED)
			break;
	}
	bsa_step_last();
}

static int free_step_by_step(void *data)
{
	bsa_step_begin();
	if (stop.nr == 1)
		bsa_heap_free(stop.heap, stop.ptrs[0]);
	else
		bsa_heap_free_bulk(stop.heap, stop.nr, stop.ptrs);
	bsa_step_end();
	atomic_set_release(&stop.state, FINISHED);
	while (!kthread_should_stop())
		usleep_range(50, 100);
	return 0;
}

static struct task_struct *start(struct kunit *test, unsigned int cpu)
{
	struct task_struct *task;

	stop.step = 0;
	atomic_set(&stop.state, RUNNING);
	task = attack_thread(test, cpu, free_step_by_step, NULL);
	while (atomic_read_acquire(&stop.state) == RUNNING)
		cond_resched();
	return task;
}

/* Go on; was the other CPU stopped until now? */
static bool resume(struct task_struct *task)
{
	bool in_time = atomic_cmpxchg(&stop.state, STOPPED, RESUMED) == STOPPED;

	while (atomic_read_acquire(&stop.state) != FINISHED)
		cond_resched();
	kthread_stop(task);
	return in_time;
}

/*
 * The next place to stop at. Where the test came too late twice, the other CPU has a
 * lock that the test needs: this place is left out.
 */
static void next_place(bool in_time, unsigned int steps)
{
	stop.late = in_time ? 0 : stop.late + 1;
	if (stop.late == 1)
		return;
	stop.slow += stop.late == 2;
	stop.late = 0;
	stop.at += steps;
}

static void start_stops(struct kunit *test)
{
	attack_needs_plain_heaps(test);
	attack_needs_cpus(test, 3);
	bsa_test_needs_module(test);
	memset(&stop, 0, sizeof(stop));
	bsa_test_start_contexts(test, stop_here, BIT(BSA_STEP));
}

static size_t take_atomic(struct bsa_heap *heap, size_t size, void **ptrs)
{
	size_t nr = 0;

	while ((ptrs[nr] = bsa_heap_alloc(heap, size, GFP_ATOMIC | __GFP_NOWARN)))
		nr++;
	return nr;
}

/*
 * All of a heap is CPU 0's objects. CPU 1 frees one of them and is stopped, CPU 2
 * frees all others. What can be had then, in objects on CPU 0 or in pages on CPU 2?
 */
static size_t free_beside_a_stopped_cpu(struct kunit *test, size_t size, bool pages,
					void **ptrs, void **got, bool *in_time)
{
	struct task_struct *task;
	size_t nr = bsa_test_take_objects(stop.heap, size, ptrs), nr_got, i;
	void *one = ptrs[nr / 2];

	stop.ptrs = &one;
	stop.nr = 1;
	bsa_test_set_cpu(test, 2);
	task = start(test, 1);
	for (i = 0; i < nr; i++)
		if (ptrs[i] != one)
			bsa_heap_free(stop.heap, ptrs[i]);
	if (!pages)
		bsa_test_set_cpu(test, 0);
	nr_got = take_atomic(stop.heap, pages ? PAGE_SIZE : size, got);
	*in_time = resume(task);
	bsa_test_give_back(stop.heap, nr_got, got);
	bsa_test_set_cpu(test, 0);
	return nr_got;
}

static void expect_memory_of_others(struct kunit *test, size_t size, bool pages)
{
	void **ptrs = bsa_test_array(test, HEAP_BYTES / 8 + 1);
	void **got = bsa_test_array(test, HEAP_BYTES / 8 + 1);
	size_t nr, least, bad = 0, worst = SIZE_MAX;
	unsigned int first_bad = 0;
	bool in_time;

	stop.heap = bsa_test_heap_of_one_block(test, HEAP_ORDER);
	/* One slab is active on CPU 0, in one an object is not free yet. */
	least = HEAP_PAGES - 2 * bsa_test_slab_pages(size) -
		bsa_test_bitmap_pages(size, HEAP_PAGES);
	nr = bsa_test_take_objects(stop.heap, size, ptrs);
	if (!pages)
		least = nr - 1;
	bsa_test_give_back(stop.heap, nr, ptrs);
	stop.at = 0;
	do {
		nr = free_beside_a_stopped_cpu(test, size, pages, ptrs, got, &in_time);
		if (in_time && nr < least) {
			first_bad = bad++ ? first_bad : stop.at;
			worst = min(worst, nr);
		}
		bsa_test_expect_valid(test, stop.heap);
		KUNIT_ASSERT_EQ(test, bsa_test_stats(stop.heap).live_objects, 0);
		if (stop.step <= stop.at)
			break;
		next_place(in_time, BSA_TEST_STRIDE);
	} while (true);
	KUNIT_EXPECT_EQ_MSG(test, bad, 0,
			    "%zu bytes, %zu of %zu %s, first after %u instructions",
			    size, worst, least, pages ? "pages" : "objects", first_bad);
	kunit_info(test, "%zu bytes: %u instructions, %u of them under a lock\n",
		   size, stop.at, stop.slow);
}

static void stopped_free_keeps_no_objects_from_their_owner(struct kunit *test)
{
	start_stops(test);
	expect_memory_of_others(test, 64, false);
	expect_memory_of_others(test, 512, false);
	expect_memory_of_others(test, 2048, false);
	bsa_contexts_stop();
}

static void stopped_free_keeps_no_pages_from_others(struct kunit *test)
{
	start_stops(test);
	expect_memory_of_others(test, 64, true);
	expect_memory_of_others(test, 256, true);
	expect_memory_of_others(test, 512, true);
	bsa_contexts_stop();
}

/*
 * CPU 1 has slabs without a live object, and frees all of their objects once more.
 * While it is stopped, CPU 2 takes all the memory that it can get.
 */
static void overtake_bulk_free(struct kunit *test, size_t size, unsigned int cpu,
			       void **again, void **ptrs)
{
	struct bsa_stats before;
	struct task_struct *task;
	size_t nr, i, touched = 0;
	bool in_time;

	bsa_test_set_cpu(test, 1);
	nr = HEAP_BYTES / size / 2;
	KUNIT_ASSERT_EQ(test, bsa_heap_alloc_bulk(stop.heap, size, BSA_TEST_GFP, nr,
						  ptrs), nr);
	/* None at the start of a page: that could be a proper free by then. */
	for (i = 1, stop.nr = 0; i < nr; i += 4 * PAGE_SIZE / size)
		again[stop.nr++] = ptrs[i];
	bsa_heap_free_bulk(stop.heap, nr, ptrs);
	/* The log takes no more lines then, which would take thousands of steps. */
	for (i = 0; i < MANY_LINES; i++)
		bsa_heap_free(stop.heap, again[0]);
	before = bsa_test_stats(stop.heap);
	bsa_test_set_cpu(test, 2);

	stop.ptrs = again;
	task = start(test, cpu);
	nr = take_atomic(stop.heap, PAGE_SIZE, ptrs);
	for (i = 0; i < nr; i++)
		memset(ptrs[i], 0xa5, PAGE_SIZE);
	in_time = resume(task);
	for (i = 0; i < nr; i++)
		touched += !bsa_test_all_bytes(ptrs[i], 0xa5, PAGE_SIZE);
	KUNIT_EXPECT_EQ_MSG(test, touched, 0, "after %u instructions", stop.at);
	KUNIT_EXPECT_EQ_MSG(test, bsa_validate(stop.heap, NULL, true), 0,
			    "after %u instructions", stop.at);
	bsa_test_give_back(stop.heap, nr, ptrs);
	/* One that came too late may be lost, but frees nothing. */
	KUNIT_EXPECT_LE(test, bsa_test_stats(stop.heap).refused_frees,
			before.refused_frees + stop.nr);
	KUNIT_ASSERT_EQ(test, bsa_test_stats(stop.heap).live_objects, 0);
	next_place(in_time, 5);
}

static void stopped_bulk_free_of_what_is_free_changes_nothing(struct kunit *test)
{
	void **again = bsa_test_array(test, 2 * HEAP_PAGES);
	void **ptrs = bsa_test_array(test, HEAP_BYTES / 8 + 1);
	static const u16 sizes[] = { 64, 2048 };
	unsigned int i, cpu, at;

	start_stops(test);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (cpu = 0; cpu <= 1; cpu++) {
			stop.heap = bsa_test_heap_of_one_block(test, HEAP_ORDER);
			stop.at = 0;
			do {
				at = stop.at;
				overtake_bulk_free(test, sizes[i], cpu, again, ptrs);
			} while (stop.step > at);
			kunit_info(test, "%u bytes on CPU %u: %u instructions, %u under a lock\n",
				   sizes[i], cpu, stop.at, stop.slow);
		}
	}
	bsa_contexts_stop();
}

static void stop_exit(struct kunit *test)
{
	bsa_contexts_stop();
	bsa_test_exit(test);
}

static struct kunit_case attack_stop_cases[] = {
	KUNIT_CASE(stopped_free_keeps_no_objects_from_their_owner),
	KUNIT_CASE(stopped_free_keeps_no_pages_from_others),
	KUNIT_CASE(stopped_bulk_free_of_what_is_free_changes_nothing),
	{}
};

struct kunit_suite bsa_attack_stop_suite = {
	.name = "bsa_attack_stop",
	.init = bsa_test_init,
	.exit = stop_exit,
	.test_cases = attack_stop_cases,
};
