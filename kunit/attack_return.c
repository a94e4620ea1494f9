// SPDX-License-Identifier: GPL-2.0-only
/*
 * What others have freed is there for everybody, also for those who cannot wait
 *
 * CPU 0 fills a heap and CPU 1 frees all of it, so that nothing is live. CPU 2 may
 * not sleep, and gets all but what is active: a slab for each class that CPU 0 used.
 */
#include "attack.h"

#define HEAP_ORDER	8
#define HEAP_PAGES	BIT(HEAP_ORDER)

static void free_on(struct kunit *test, unsigned int cpu, struct bsa_heap *heap,
		    size_t nr, void **ptrs)
{
	bsa_test_set_cpu(test, cpu);
	bsa_test_give_back(heap, nr, ptrs);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).live_objects, 0);
}

static size_t take_pages_atomic(struct bsa_heap *heap, void **ptrs)
{
	size_t nr = 0;

	while ((ptrs[nr] = bsa_heap_alloc_pages(heap, 1, PAGE_SIZE,
						GFP_ATOMIC | __GFP_NOWARN)))
		nr++;
	return nr;
}

/* Bitmaps of many small objects come back only where one may sleep. */
static void expect_pages(struct kunit *test, struct bsa_heap *heap, void **ptrs,
			 unsigned long active, size_t size)
{
	size_t nr;

	bsa_test_set_cpu(test, 2);
	nr = take_pages_atomic(heap, ptrs);
	active += bsa_test_bitmap_pages(size, HEAP_PAGES);
	KUNIT_EXPECT_GE_MSG(test, nr + active, HEAP_PAGES, "%zu bytes", size);
	bsa_test_give_back(heap, nr, ptrs);
	bsa_test_set_cpu(test, 0);
}

static struct bsa_heap *new_heap(struct kunit *test, void ***ptrs)
{
	attack_needs_plain_heaps(test);
	attack_needs_cpus(test, 3);
	*ptrs = bsa_test_array(test, HEAP_PAGES * PAGE_SIZE / 8 + 1);
	return bsa_test_heap_of_one_block(test, HEAP_ORDER);
}

static void pages_of_objects_freed_elsewhere_are_for_all(struct kunit *test)
{
	struct bsa_heap *heap;
	unsigned int class;
	size_t nr, size;
	void **ptrs;

	for (class = 0; class < BSA_ALL_CLASSES; class++) {
		size = attack_class_size(class);
		heap = new_heap(test, &ptrs);
		nr = bsa_test_take_objects(heap, size, ptrs);
		free_on(test, 1, heap, nr, ptrs);
		expect_pages(test, heap, ptrs, bsa_test_slab_pages(size), size);
		KUNIT_EXPECT_EQ(test, bsa_test_destroy_heap(test, heap), 0);
	}
}

/* In another order than they lie there, and by three CPUs by turns. */
static void pages_of_objects_freed_by_turns_are_for_all(struct kunit *test)
{
	unsigned int class, cpu;
	struct bsa_heap *heap;
	size_t nr, size, i;
	void **ptrs;

	for (class = 0; class < BSA_ALL_CLASSES; class++) {
		size = attack_class_size(class);
		heap = new_heap(test, &ptrs);
		nr = bsa_test_take_objects(heap, size, ptrs);
		for (cpu = 0; cpu < 3; cpu++) {
			bsa_test_set_cpu(test, cpu);
			for (i = cpu; i < nr; i += 3)
				bsa_heap_free(heap, ptrs[i]);
		}
		expect_pages(test, heap, ptrs, bsa_test_slab_pages(size), size);
		KUNIT_EXPECT_EQ(test, bsa_test_destroy_heap(test, heap), 0);
	}
}

/* All classes at once; of each one slab may stay. */
static void pages_of_all_classes_are_for_all(struct kunit *test)
{
	unsigned int class, refused = 0;
	unsigned long active = 0;
	struct bsa_heap *heap;
	void **ptrs;
	size_t nr = 0;

	heap = new_heap(test, &ptrs);
	for (class = 0; class < BSA_ALL_CLASSES; class++)
		active += bsa_test_slab_pages(attack_class_size(class));
	for (class = 0; refused < BSA_ALL_CLASSES; class = (class + 1) % BSA_ALL_CLASSES) {
		ptrs[nr] = bsa_heap_alloc(heap, attack_class_size(class), BSA_TEST_GFP);
		refused = ptrs[nr] ? 0 : refused + 1;
		nr += !!ptrs[nr];
	}
	free_on(test, 1, heap, nr, ptrs);
	expect_pages(test, heap, ptrs, active, 8);
}

/* The last free of an object says it: what is not active is not allocated. */
static void memory_freed_elsewhere_does_not_count_as_allocated(struct kunit *test)
{
	struct bsa_heap *heap;
	struct bsa_stats stats;
	unsigned int class;
	size_t nr, size;
	void **ptrs;

	for (class = 0; class < BSA_ALL_CLASSES; class++) {
		size = attack_class_size(class);
		heap = new_heap(test, &ptrs);
		nr = bsa_test_take_objects(heap, size, ptrs);
		free_on(test, 1, heap, nr, ptrs);
		stats = bsa_test_stats(heap);
		/* One is active; one empty slab may stay with its owner. */
		KUNIT_EXPECT_LE_MSG(test, stats.allocated_bytes,
				    (2 * bsa_test_slab_pages(size) +
				     bsa_test_bitmap_pages(size, HEAP_PAGES)) * PAGE_SIZE,
				    "%zu bytes", size);
		bsa_test_set_cpu(test, 0);
		KUNIT_EXPECT_EQ(test, bsa_test_destroy_heap(test, heap), 0);
	}
}

static struct kunit_case attack_return_cases[] = {
	KUNIT_CASE(pages_of_objects_freed_elsewhere_are_for_all),
	KUNIT_CASE(pages_of_objects_freed_by_turns_are_for_all),
	KUNIT_CASE(pages_of_all_classes_are_for_all),
	KUNIT_CASE(memory_freed_elsewhere_does_not_count_as_allocated),
	{}
};

struct kunit_suite bsa_attack_return_suite = {
	.name = "bsa_attack_return",
	.init = bsa_test_init,
	.exit = bsa_test_exit,
	.test_cases = attack_return_cases,
};
