// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory moves from CPU to CPU, and none of them is the slower for it
 *
 * One CPU allocates what another one frees, thousands of times more than it frees
 * itself. After that a call costs each of them what it cost before.
 */
#include "attack.h"

#include <linux/ktime.h>
#include <linux/sort.h>

/* Pairs whose time is taken, and the largest ratio of their medians. */
#define NR_PAIRS	1001
#define MOST_PERCENT	250

static int compare_times(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

/* Sixteen pairs at a time, since the clock itself takes as long as one. */
static u64 median_of_pairs(struct kunit *test, struct bsa_heap *heap, size_t size)
{
	u64 *times = (u64 *)bsa_test_array(test, NR_PAIRS);
	unsigned int i, j;
	void *ptr;
	u64 start;

	for (i = 0; i < NR_PAIRS; i++) {
		start = ktime_get_ns();
		for (j = 0; j < 16; j++) {
			ptr = bsa_heap_alloc(heap, size, GFP_ATOMIC);
			bsa_heap_free(heap, ptr);
		}
		times[i] = ktime_get_ns() - start;
	}
	sort(times, NR_PAIRS, sizeof(*times), compare_times, NULL);
	return times[NR_PAIRS / 2];
}

/* CPU @from allocates @nr, CPU @to frees them. */
static void move_memory(struct kunit *test, struct bsa_heap *heap, size_t size,
			void **ptrs, size_t nr, unsigned int from, unsigned int to)
{
	size_t i;

	bsa_test_set_cpu(test, from);
	for (i = 0; i < nr; i++) {
		ptrs[i] = bsa_heap_alloc(heap, size, BSA_TEST_GFP);
		if (!ptrs[i])
			break;
	}
	KUNIT_EXPECT_EQ(test, i, nr);
	bsa_test_set_cpu(test, to);
	bsa_test_give_back(heap, i, ptrs);
}

static void move_and_compare(struct kunit *test, size_t size, size_t nr,
			     unsigned int rounds)
{
	struct bsa_heap *heap = bsa_test_heap(test, 16384 * PAGE_SIZE);
	void **ptrs = bsa_test_array(test, nr);
	u64 before[2], after[2];
	unsigned int cpu, i;

	for (cpu = 0; cpu < 2; cpu++) {
		bsa_test_set_cpu(test, cpu);
		before[cpu] = median_of_pairs(test, heap, size);
	}
	for (i = 0; i < rounds; i++)
		move_memory(test, heap, size, ptrs, nr, 0, 1);
	for (cpu = 0; cpu < 2; cpu++) {
		bsa_test_set_cpu(test, cpu);
		after[cpu] = median_of_pairs(test, heap, size);
		kunit_info(test, "%zu bytes on CPU %u: 16 pairs %llu ns, then %llu\n",
			   size, cpu, before[cpu], after[cpu]);
		KUNIT_EXPECT_LT_MSG(test, after[cpu] * 100,
				    before[cpu] * MOST_PERCENT,
				    "%zu bytes on CPU %u: 16 pairs take %llu ns, then %llu",
				    size, cpu, before[cpu], after[cpu]);
	}
	bsa_test_set_cpu(test, 0);
	KUNIT_EXPECT_EQ(test, bsa_test_destroy_heap(test, heap), 0);
}

static void pages_freed_elsewhere_cost_nobody_more(struct kunit *test)
{
	attack_needs_plain_heaps(test);
	attack_needs_cpus(test, 2);
	move_and_compare(test, PAGE_SIZE, 4000, 1);
	move_and_compare(test, PAGE_SIZE, 1000, 20);
	move_and_compare(test, 2 * PAGE_SIZE, 4000, 1);
	move_and_compare(test, 8 * PAGE_SIZE, 1500, 2);
}

static void objects_freed_elsewhere_cost_nobody_more(struct kunit *test)
{
	attack_needs_plain_heaps(test);
	attack_needs_cpus(test, 2);
	move_and_compare(test, 8, 40000, 1);
	move_and_compare(test, 256, 40000, 1);
	move_and_compare(test, 2048, 8000, 3);
}

/* Neither does a CPU keep for good what it has allocated and others have freed. */
static void pages_freed_elsewhere_are_there_for_all(struct kunit *test)
{
	struct bsa_heap *heap = bsa_test_heap_of_one_block(test, 9);
	void **ptrs = bsa_test_array(test, 513);
	unsigned int cpu, i;
	void *all;

	attack_needs_cpus(test, 3);
	for (i = 0; i < 20; i++)
		move_memory(test, heap, PAGE_SIZE << i % 5, ptrs, 500 >> i % 5, i % 2,
			    (i + 1) % 2);
	for (cpu = 0; cpu < 3; cpu++) {
		bsa_test_set_cpu(test, cpu);
		all = bsa_heap_alloc_pages(heap, 512, PAGE_SIZE,
					   GFP_ATOMIC | __GFP_NOWARN);
		KUNIT_EXPECT_NOT_NULL(test, all);
		bsa_heap_free(heap, all);
		move_memory(test, heap, PAGE_SIZE, ptrs, 500, cpu, (cpu + 1) % 3);
	}
	bsa_test_set_cpu(test, 0);
}

static struct kunit_case attack_balance_cases[] = {
	KUNIT_CASE(pages_freed_elsewhere_cost_nobody_more),
	KUNIT_CASE(objects_freed_elsewhere_cost_nobody_more),
	KUNIT_CASE(pages_freed_elsewhere_are_there_for_all),
	{}
};

struct kunit_suite bsa_attack_balance_suite = {
	.name = "bsa_attack_balance",
	.init = bsa_test_init,
	.exit = bsa_test_exit,
	.test_cases = attack_balance_cases,
};
