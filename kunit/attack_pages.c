// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages go back as they were asked for, or not at all
 */
#include "attack.h"

/* Counts that are no powers of two, too. */
#define MOST_PAGES	20

static void *get_pages(struct kunit *test, struct bsa_heap *heap,
		       unsigned long nr)
{
	void *ptr = bsa_heap_alloc_pages(heap, nr, PAGE_SIZE, BSA_TEST_GFP);

	KUNIT_ASSERT_NOT_NULL(test, ptr);
	memset(ptr, nr, nr * PAGE_SIZE);
	return ptr;
}

static void refuse_count(struct kunit *test, struct bsa_heap *heap, void *ptr,
			 unsigned long count, unsigned long nr)
{
	struct bsa_stats before = bsa_test_stats(heap);

	bsa_heap_free_pages(heap, ptr, count);
	KUNIT_EXPECT_EQ_MSG(test, bsa_test_stats(heap).refused_frees,
			    before.refused_frees + 1, "%lu of %lu pages", count, nr);
	attack_expect_same(test, heap, &before);
	KUNIT_EXPECT_TRUE(test, bsa_test_all_freed_bytes(ptr, nr, nr * PAGE_SIZE));
}

/* A free that was not refused took the pages, and so the heap is new each time. */
static void free_of_another_count_is_refused(struct kunit *test)
{
	static const long wrong[] = { 0, -1, LONG_MAX, LONG_MIN, 1L << 52 };
	struct bsa_stats before;
	struct bsa_heap *heap;
	unsigned long nr, count;
	unsigned int i;
	void *ptr;

	for (nr = 1; nr <= MOST_PAGES; nr++) {
		heap = bsa_test_heap(test, 64 * PAGE_SIZE);
		ptr = get_pages(test, heap, nr);
		before = bsa_test_stats(heap);
		for (count = 1; count <= 2 * MOST_PAGES; count++)
			if (count != nr && bsa_test_stats(heap).live_pages)
				refuse_count(test, heap, ptr, count, nr);
		for (i = 0; i < ARRAY_SIZE(wrong); i++)
			if (bsa_test_stats(heap).live_pages)
				refuse_count(test, heap, ptr, wrong[i], nr);
		if (bsa_test_stats(heap).live_pages)
			bsa_heap_free_pages(heap, ptr, nr);
		KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).live_pages, 0);
		KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).frees, before.frees + 1);
		KUNIT_EXPECT_EQ(test, bsa_test_destroy_heap(test, heap), 0);
	}
}

/* The count that was asked for, and the call that needs none. */
static void free_of_the_same_count_gives_all_back(struct kunit *test)
{
	struct bsa_heap *heap = bsa_test_heap_of_one_block(test, 6);
	unsigned long nr;
	void *ptr;

	for (nr = 1; nr <= MOST_PAGES; nr++) {
		ptr = get_pages(test, heap, nr);
		bsa_heap_free_pages(heap, ptr, nr);
		KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).live_pages, 0);

		ptr = get_pages(test, heap, nr);
		bsa_heap_free(heap, ptr);
		KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).live_pages, 0);

		ptr = get_pages(test, heap, 64);
		bsa_heap_free_pages(heap, ptr, 64);
	}
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).refused_frees, 0);
}

/* A neighbour that the wrong count would reach stays whose it is. */
static void free_of_too_many_spares_the_neighbour(struct kunit *test)
{
	struct bsa_heap *heap = bsa_test_heap_of_one_block(test, 4);
	void *pages[16];
	unsigned int i;

	for (i = 0; i < 16; i++)
		pages[i] = get_pages(test, heap, 1);
	for (i = 0; i < 16; i++) {
		bsa_heap_free_pages(heap, pages[i], 2);
		bsa_heap_free_pages(heap, pages[i], 16);
	}
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).live_pages, 16);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).refused_frees, 32);
	KUNIT_EXPECT_NULL(test, bsa_heap_alloc_pages(heap, 1, PAGE_SIZE, BSA_TEST_GFP));
	if (bsa_test_stats(heap).live_pages == 16)
		bsa_test_give_back(heap, 16, pages);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).live_pages, 0);
}

static struct kunit_case attack_pages_cases[] = {
	KUNIT_CASE(free_of_another_count_is_refused),
	KUNIT_CASE(free_of_the_same_count_gives_all_back),
	KUNIT_CASE(free_of_too_many_spares_the_neighbour),
	{}
};

struct kunit_suite bsa_attack_pages_suite = {
	.name = "bsa_attack_pages",
	.init = bsa_test_init,
	.exit = bsa_test_exit,
	.test_cases = attack_pages_cases,
};
