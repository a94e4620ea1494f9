// SPDX-License-Identifier: GPL-2.0-only
/*
 * Frees that must be refused: each is counted, and nothing changes
 */
#include "attack.h"

#include <linux/sizes.h>

/* More than fits into two slabs of any class. */
#define NR_OBJECTS	(2 * BSA_MAX_OBJECTS + 200)

/* Take all that the heap has, and look whether something comes twice. */
static void expect_nothing_comes_twice(struct kunit *test, struct bsa_heap *heap,
				       size_t size, void **ptrs)
{
	size_t nr = bsa_test_take_objects(heap, size, ptrs), i, lost = 0;

	for (i = 0; i < nr; i++)
		*(size_t *)ptrs[i] = i;
	for (i = 0; i < nr; i++)
		lost += *(size_t *)ptrs[i] != i;
	KUNIT_EXPECT_EQ_MSG(test, lost, 0, "%zu bytes", size);
	bsa_test_give_back(heap, nr, ptrs);
}

/*
 * Several slabs of one CPU whose objects are all free again: some of them are
 * empty then, one is active, and some have gone back.
 */
static void refuse_second_bulk_free(struct kunit *test, unsigned int class,
				    unsigned int cpu)
{
	size_t size = attack_class_size(class);
	struct bsa_heap *heap = bsa_test_heap(test, max_t(size_t, 128 * PAGE_SIZE,
							  2 * NR_OBJECTS * size));
	void **again = bsa_test_array(test, NR_OBJECTS);
	void **ptrs = bsa_test_array(test, bsa_heap_nr_pages(heap) * PAGE_SIZE / size + 1);
	struct bsa_stats before;

	KUNIT_ASSERT_EQ(test, bsa_heap_alloc_bulk(heap, size, BSA_TEST_GFP,
						  NR_OBJECTS, ptrs), NR_OBJECTS);
	memcpy(again, ptrs, NR_OBJECTS * sizeof(*ptrs));
	bsa_heap_free_bulk(heap, NR_OBJECTS, ptrs);
	before = bsa_test_stats(heap);

	bsa_test_set_cpu(test, cpu);
	bsa_heap_free_bulk(heap, NR_OBJECTS, again);
	KUNIT_EXPECT_EQ_MSG(test, bsa_test_stats(heap).refused_frees,
			    before.refused_frees + NR_OBJECTS, "%zu bytes", size);
	attack_expect_same(test, heap, &before);
	bsa_test_set_cpu(test, 0);
	expect_nothing_comes_twice(test, heap, size, ptrs);
	KUNIT_EXPECT_EQ(test, bsa_test_destroy_heap(test, heap), 0);
}

static void bulk_free_of_what_is_free_is_refused(struct kunit *test)
{
	unsigned int class;

	for (class = 0; class < BSA_ALL_CLASSES; class++)
		refuse_second_bulk_free(test, class, 0);
}

static void bulk_free_elsewhere_of_what_is_free_is_refused(struct kunit *test)
{
	unsigned int class;

	attack_needs_cpus(test, 2);
	for (class = 0; class < BSA_ALL_CLASSES; class++)
		refuse_second_bulk_free(test, class, 1);
}

/* The last object of a slab, with others of the same call that are free already. */
static void bulk_free_frees_the_live_among_the_free(struct kunit *test)
{
	struct bsa_heap *heap = bsa_test_heap(test, SZ_1M);
	struct bsa_stats before;
	void *ptrs[32];
	unsigned int class, i;

	for (class = 0; class < BSA_ALL_CLASSES; class++) {
		KUNIT_ASSERT_EQ(test, bsa_heap_alloc_bulk(heap, attack_class_size(class),
							  BSA_TEST_GFP, 32, ptrs), 32);
		for (i = 0; i < 32; i++)
			if (i != 17)
				bsa_heap_free(heap, ptrs[i]);
		before = bsa_test_stats(heap);
		KUNIT_EXPECT_EQ(test, before.live_objects, 1);
		bsa_heap_free_bulk(heap, 32, ptrs);
		KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).refused_frees,
				before.refused_frees + 31);
		KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).frees, before.frees + 1);
		KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).live_objects, 0);
		bsa_test_expect_valid(test, heap);
	}
}

static struct kunit_case attack_frees_cases[] = {
	KUNIT_CASE(bulk_free_of_what_is_free_is_refused),
	KUNIT_CASE(bulk_free_elsewhere_of_what_is_free_is_refused),
	KUNIT_CASE(bulk_free_frees_the_live_among_the_free),
	{}
};

struct kunit_suite bsa_attack_frees_suite = {
	.name = "bsa_attack_frees",
	.init = bsa_test_init,
	.exit = bsa_test_exit,
	.test_cases = attack_frees_cases,
};
