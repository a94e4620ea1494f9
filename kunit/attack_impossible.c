// SPDX-License-Identifier: GPL-2.0-only
/*
 * Requests that can never be met fail at once, and disturb nobody
 *
 * Whatever their flags allow: no other CPU is interrupted for them, and what CPUs
 * have at hand stays there.
 */
#include "attack.h"

#include <linux/hardirq.h>
#include <linux/io.h>
#include <linux/kthread.h>
#include <linux/sched/isolation.h>

#define NR_REQUESTS	200

/* The kernel has reasons of its own to interrupt other CPUs, but few. */
#define MOST_CALLS	50

/* Function calls that a CPU got from anybody. */
static unsigned long nr_calls_of(unsigned int cpu)
{
#ifdef BSA_CALLS_OF
	return BSA_CALLS_OF(cpu);
#else
	return 0;
#endif
}

/* Where calls are not counted, nothing that interrupts would be seen. */
static void needs_counts(struct kunit *test)
{
	attack_needs_cpus(test, 2);
#ifndef BSA_CALLS_OF
	kunit_skip(test, "nobody counts function calls here");
#endif
}

static unsigned long nr_calls(void)
{
	unsigned long nr = 0;
	unsigned int cpu;

	for_each_online_cpu(cpu)
		nr += nr_calls_of(cpu);
	return nr;
}

/**
 * struct request - one that can never be met
 * @name: for messages
 * @ask: makes it
 */
struct request {
	const char *name;
	void *(*ask)(struct bsa_heap *heap);
};

static void *ask_for_more_than_a_section(struct bsa_heap *heap)
{
	return bsa_heap_alloc(heap, bsa_heap_managed_bytes(heap) + 1, BSA_TEST_GFP);
}

static void *ask_for_a_page_more(struct bsa_heap *heap)
{
	return bsa_heap_alloc_pages(heap, bsa_heap_nr_pages(heap) + 1, PAGE_SIZE,
				    BSA_TEST_GFP);
}

static void *ask_for_all_sections_in_one(struct bsa_heap *heap)
{
	return bsa_heap_alloc_pages(heap, bsa_heap_nr_pages(heap), PAGE_SIZE,
				    BSA_TEST_GFP);
}

static void *ask_for_all_bytes(struct bsa_heap *heap)
{
	size_t size = SIZE_MAX;

	OPTIMIZER_HIDE_VAR(size);
	return bsa_heap_alloc(heap, size - PAGE_SIZE, BSA_TEST_GFP);
}

static void *ask_for_all_pages(struct bsa_heap *heap)
{
	return bsa_heap_alloc_pages(heap, ULONG_MAX, PAGE_SIZE, BSA_TEST_GFP);
}

static void *ask_for_a_huge_alignment(struct bsa_heap *heap)
{
	return bsa_heap_alloc_aligned(heap, 64, 1UL << 62, BSA_TEST_GFP);
}

static void *ask_for_huge_aligned_pages(struct bsa_heap *heap)
{
	return bsa_heap_alloc_pages(heap, 1, 1UL << 62, BSA_TEST_GFP);
}

static void *ask_for_pages_at_a_terabyte(struct bsa_heap *heap)
{
	return bsa_heap_alloc_pages(heap, 1, 1UL << 40, BSA_TEST_GFP);
}

static void *ask_for_objects_at_a_terabyte(struct bsa_heap *heap)
{
	return bsa_heap_alloc_aligned(heap, 8, 1UL << 40, BSA_TEST_GFP);
}

static void *ask_for_a_large_array(struct bsa_heap *heap)
{
	return bsa_heap_calloc(heap, bsa_heap_nr_pages(heap) + 1, PAGE_SIZE,
			       BSA_TEST_GFP);
}

static void *ask_for_a_large_reallocation(struct bsa_heap *heap)
{
	return bsa_heap_realloc(heap, NULL, bsa_heap_managed_bytes(heap) + 1,
				BSA_TEST_GFP);
}

static void *ask_for_large_low_memory(struct bsa_heap *heap)
{
	return bsa_heap_alloc_pages_lowmem(heap, bsa_heap_nr_pages(heap) + 1, PAGE_SIZE,
					   BSA_TEST_GFP);
}

static const struct request requests[] = {
	{ "more than a section", ask_for_more_than_a_section },
	{ "a page more than there are", ask_for_a_page_more },
	{ "all sections in one", ask_for_all_sections_in_one },
	{ "all bytes", ask_for_all_bytes },
	{ "all pages", ask_for_all_pages },
	{ "alignment 2^62", ask_for_a_huge_alignment },
	{ "pages aligned to 2^62", ask_for_huge_aligned_pages },
	{ "pages aligned to 2^40", ask_for_pages_at_a_terabyte },
	{ "alignment 2^40", ask_for_objects_at_a_terabyte },
	{ "a large array", ask_for_a_large_array },
	{ "a large reallocation", ask_for_a_large_reallocation },
	{ "large low memory", ask_for_large_low_memory },
};

static void *ask_for_an_object(struct bsa_heap *heap)
{
	return bsa_heap_alloc(heap, 64, BSA_TEST_GFP);
}

static void *ask_for_a_page(struct bsa_heap *heap)
{
	return bsa_heap_alloc_pages(heap, 1, PAGE_SIZE, BSA_TEST_GFP);
}

static void *ask_for_a_low_page(struct bsa_heap *heap)
{
	return bsa_heap_alloc_pages_lowmem(heap, 1, PAGE_SIZE, BSA_TEST_GFP);
}

static void *ask_for_a_low_object(struct bsa_heap *heap)
{
	return bsa_heap_alloc(heap, 64, BSA_TEST_GFP | GFP_DMA32);
}

static void *ask_for_many(struct bsa_heap *heap)
{
	void *ptrs[4] = {};

	return bsa_heap_alloc_bulk(heap, 64, BSA_TEST_GFP, 4, ptrs) ? ptrs[0] : NULL;
}

/*
 * A CPU that is idle may be told what to do without an interrupt, so all are kept
 * busy.
 */

static int be_busy(void *data)
{
	while (!kthread_should_stop()) {
		cpu_relax();
		cond_resched();
	}
	return 0;
}

/* What a CPU has at hand: an object of each class, and some blocks. */
static void stock(struct kunit *test, struct bsa_heap *heap, void **ptrs)
{
	unsigned int class;

	for (class = 0; class < BSA_ALL_CLASSES; class++) {
		ptrs[class] = attack_get(test, heap, attack_class_size(class));
		bsa_heap_free(heap, attack_get(test, heap, PAGE_SIZE << class % 4));
	}
}

static void ask_often(struct kunit *test, struct bsa_heap *heap,
		      const struct request *request)
{
	struct bsa_stats before = bsa_test_stats(heap);
	unsigned int i, got = 0, nr = 0, cpu;
	struct task_struct *task[3];
	unsigned long calls;
	void *ptr;

	for (cpu = 1; cpu < 4 && cpu < nr_cpu_ids && cpu_online(cpu); cpu++)
		task[nr++] = attack_thread(test, cpu, be_busy, NULL);
	calls = nr_calls();
	for (i = 0; i < NR_REQUESTS; i++) {
		ptr = request->ask(heap);
		got += !!ptr;
		bsa_heap_free(heap, ptr);
	}
	calls = nr_calls() - calls;
	while (nr)
		kthread_stop(task[--nr]);
	KUNIT_EXPECT_EQ_MSG(test, got, 0U, "%s", request->name);
	KUNIT_EXPECT_LT_MSG(test, calls, MOST_CALLS, "%s", request->name);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).allocs, before.allocs);
	KUNIT_EXPECT_GE_MSG(test, bsa_test_stats(heap).failures,
			    before.failures + NR_REQUESTS, "%s", request->name);
}

/* Bytes of a section; of the smaller of two, half as many. */
#define REGION		(128 * PAGE_SIZE)

/* Two sections, so that all together is more than the largest. */
static struct bsa_heap *heap_of_two(struct kunit *test)
{
	void *start = bsa_test_memory(test, REGION, GFP_KERNEL);
	struct bsa_heap *heap = bsa_test_heap_in(test, start, REGION);

	start = bsa_test_memory(test, REGION / 2, GFP_KERNEL);
	KUNIT_ASSERT_EQ(test, bsa_heap_add_region(heap, start, REGION / 2), 0);
	return heap;
}

static void impossible_requests_interrupt_no_other_cpu(struct kunit *test)
{
	struct bsa_heap *heap = heap_of_two(test);
	void *ptrs[BSA_ALL_CLASSES];
	unsigned int i;

	needs_counts(test);
	bsa_test_set_cpu(test, 1);
	stock(test, heap, ptrs);
	bsa_test_set_cpu(test, 0);
	for (i = 0; i < ARRAY_SIZE(requests); i++)
		ask_often(test, heap, &requests[i]);
	bsa_test_give_back(heap, BSA_ALL_CLASSES, ptrs);
}

static void requests_to_an_empty_heap_interrupt_no_other_cpu(struct kunit *test)
{
	static const struct request empty[] = {
		{ "an object", ask_for_an_object },
		{ "a page", ask_for_a_page },
		{ "a low page", ask_for_a_low_page },
		{ "a low object", ask_for_a_low_object },
		{ "many objects", ask_for_many },
	};
	struct bsa_heap *heap = bsa_test_heap(test, 0);
	unsigned int i;

	needs_counts(test);
	for (i = 0; i < ARRAY_SIZE(empty); i++)
		ask_often(test, heap, &empty[i]);
}

static void requests_for_low_memory_interrupt_no_other_cpu(struct kunit *test)
{
	static const struct request low[] = {
		{ "a low page", ask_for_a_low_page },
		{ "a low object", ask_for_a_low_object },
	};
	struct bsa_heap *heap;
	unsigned int i;

	needs_counts(test);
	attack_needs_high_memory(test);
	heap = bsa_test_heap_in(test, bsa_test_high_memory(test, REGION), REGION);
	for (i = 0; i < ARRAY_SIZE(low); i++)
		ask_often(test, heap, &low[i]);
}

/*
 * The CPU that asks, and another one, have an active slab of each class; had they
 * lost it, they would have to refill.
 */
static void expect_stock_is_kept(struct kunit *test, unsigned int cpu,
				 const struct request *request)
{
	struct bsa_heap *heap = heap_of_two(test);
	void *ptrs[2 * BSA_ALL_CLASSES];
	unsigned long refills;
	unsigned int i;
	void *ptr;

	bsa_test_set_cpu(test, cpu);
	stock(test, heap, ptrs);
	bsa_test_set_cpu(test, 0);
	refills = bsa_test_stats(heap).refills;
	for (i = 0; i < 10; i++) {
		ptr = request->ask(heap);
		KUNIT_EXPECT_NULL(test, ptr);
		bsa_heap_free(heap, ptr);
	}
	bsa_test_set_cpu(test, cpu);
	stock(test, heap, ptrs + BSA_ALL_CLASSES);
	KUNIT_EXPECT_EQ_MSG(test, bsa_test_stats(heap).refills, refills,
			    "%s, on CPU %u", request->name, cpu);
	bsa_test_give_back(heap, 2 * BSA_ALL_CLASSES, ptrs);
	bsa_test_set_cpu(test, 0);
	KUNIT_EXPECT_EQ(test, bsa_test_destroy_heap(test, heap), 0);
}

static void impossible_requests_leave_cpus_what_they_have(struct kunit *test)
{
	unsigned int i;

	attack_needs_plain_heaps(test);
	for (i = 0; i < ARRAY_SIZE(requests); i++) {
		expect_stock_is_kept(test, 0, &requests[i]);
		if (num_online_cpus() > 1)
			expect_stock_is_kept(test, 1, &requests[i]);
	}
}

/* The first CPU that the kernel was told to keep for somebody. */
static unsigned int isolated_cpu(struct kunit *test)
{
	unsigned int cpu;

	for_each_online_cpu(cpu)
		if (!housekeeping_cpu(cpu, HK_TYPE_DOMAIN))
			return cpu;
	kunit_skip(test, "needs a CPU that is isolated (isolcpus=)");
}

/* Return whether a CPU has to refill before it can allocate. */
static bool has_lost_its_slab(struct kunit *test, struct bsa_heap *heap,
			      unsigned int cpu)
{
	unsigned long refills = bsa_test_stats(heap).refills;

	bsa_test_set_cpu(test, cpu);
	bsa_heap_free(heap, attack_get(test, heap, 64));
	bsa_test_set_cpu(test, 0);
	return bsa_test_stats(heap).refills != refills;
}

/*
 * A heap without a free page, of which two CPUs, one of them isolated, have an
 * active slab. Requests that may wait take that away from the one, once.
 */
static void isolated_cpus_are_never_interrupted(struct kunit *test)
{
	unsigned int isolated = isolated_cpu(test), i, nr = 0, got = 0;
	struct bsa_heap *heap = bsa_test_heap(test, 64 * PAGE_SIZE);
	void *pages[64], *held[2];
	struct task_struct *task;
	unsigned long calls;

	needs_counts(test);
	attack_needs_plain_heaps(test);
	for (i = 0; i < 2; i++) {
		bsa_test_set_cpu(test, i ? isolated : 1);
		held[i] = attack_get(test, heap, 64);
	}
	bsa_test_set_cpu(test, 0);
	while ((pages[nr] = bsa_heap_alloc_pages(heap, 1, PAGE_SIZE,
						 GFP_ATOMIC | __GFP_NOWARN)))
		nr++;
	task = attack_thread(test, isolated, be_busy, NULL);
	calls = nr_calls_of(isolated);
	for (i = 0; i < 2000; i++)
		got += !!ask_for_a_page(heap);
	calls = nr_calls_of(isolated) - calls;
	kthread_stop(task);
	KUNIT_EXPECT_EQ(test, got, 0U);
	KUNIT_EXPECT_LT(test, calls, MOST_CALLS);
	KUNIT_EXPECT_FALSE(test, has_lost_its_slab(test, heap, isolated));
	KUNIT_EXPECT_TRUE(test, has_lost_its_slab(test, heap, 1));
	bsa_test_give_back(heap, nr, pages);
	bsa_test_give_back(heap, 2, held);
}

static struct kunit_case attack_impossible_cases[] = {
	KUNIT_CASE(impossible_requests_interrupt_no_other_cpu),
	KUNIT_CASE(requests_to_an_empty_heap_interrupt_no_other_cpu),
	KUNIT_CASE(requests_for_low_memory_interrupt_no_other_cpu),
	KUNIT_CASE(impossible_requests_leave_cpus_what_they_have),
	KUNIT_CASE(isolated_cpus_are_never_interrupted),
	{}
};

struct kunit_suite bsa_attack_impossible_suite = {
	.name = "bsa_attack_impossible",
	.init = bsa_test_init,
	.exit = bsa_test_exit,
	.test_cases = attack_impossible_cases,
};
