// SPDX-License-Identifier: GPL-2.0-only
/*
 * What moves keeps its alignment and its contents, is zero where it grows, and
 * gives back what it does not need
 */
#include "attack.h"

#include <linux/sizes.h>

/* Objects and blocks, at edges of classes and between them; up and down. */
static const u32 sizes[] = {
	1, 40, 16, 64, 7, 100, 96, 385, 130, 600, 2048, 513, 2049, 1000, 5000, 4096,
	20000, 8193, 70000, 30, 33000, 3, 12288,
};

static void keep_alignment(struct kunit *test, struct bsa_heap *heap, size_t align,
			   size_t first)
{
	void *ptr = bsa_heap_alloc_aligned(heap, first, align, BSA_TEST_GFP);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, ptr);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		ptr = bsa_heap_realloc(heap, ptr, sizes[i], BSA_TEST_GFP);
		KUNIT_ASSERT_NOT_NULL(test, ptr);
		KUNIT_EXPECT_TRUE_MSG(test, bsa_test_is_aligned(ptr, align),
				      "%zu bytes aligned to %zu, then %u bytes",
				      first, align, sizes[i]);
	}
	bsa_heap_free(heap, ptr);
}

static void realloc_keeps_the_alignment_that_was_asked_for(struct kunit *test)
{
	static const u32 firsts[] = { 1, 24, 100, 385, 1536, 2049, 5000, 40000 };
	struct bsa_heap *heap = bsa_test_heap(test, SZ_8M);
	unsigned int i;
	size_t align;

	for (align = 8; align <= SZ_256K; align *= 2)
		for (i = 0; i < ARRAY_SIZE(firsts); i++)
			keep_alignment(test, heap, align, firsts[i]);
}

/* What is beyond the old size is zero, however often it was more and less. */
static void realloc_zeroes_what_it_adds(struct kunit *test)
{
	struct bsa_heap *heap = bsa_test_heap(test, SZ_1M);
	unsigned int i, j, k, dirty = 0, lost = 0;
	u8 *ptr;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (j = 0; j < ARRAY_SIZE(sizes); j++) {
			size_t old = sizes[i], new = sizes[j], least = min(old, new);

			ptr = bsa_heap_zalloc(heap, old, BSA_TEST_GFP);
			KUNIT_ASSERT_NOT_NULL(test, ptr);
			for (k = 0; k < 3; k++) {
				memset(ptr, 0xaa, old);
				ptr = bsa_heap_realloc(heap, ptr, new,
						       BSA_TEST_GFP | __GFP_ZERO);
				KUNIT_ASSERT_NOT_NULL(test, ptr);
				lost += !bsa_test_all_bytes(ptr, 0xaa, least);
				if (new > old)
					dirty += !bsa_test_all_bytes(ptr + old, 0,
								     new - old);
				swap(old, new);
			}
			bsa_heap_free(heap, ptr);
		}
	}
	KUNIT_EXPECT_EQ(test, dirty, 0U);
	KUNIT_EXPECT_EQ(test, lost, 0U);
}

/* Twice smaller before it grows: the size in between is the old one. */
static void realloc_zeroes_from_the_last_size_on(struct kunit *test)
{
	struct bsa_heap *heap = bsa_test_heap(test, SZ_1M);
	gfp_t gfp = BSA_TEST_GFP | __GFP_ZERO;
	unsigned int size, dirty = 0;
	u8 *ptr;

	for (size = 4; size <= 2 * PAGE_SIZE; size += size / 7 + 1) {
		ptr = bsa_heap_zalloc(heap, size, gfp);
		KUNIT_ASSERT_NOT_NULL(test, ptr);
		memset(ptr, 0xaa, size);
		ptr = bsa_heap_realloc(heap, ptr, size * 3 / 4, gfp);
		ptr = bsa_heap_realloc(heap, ptr, size / 4, gfp);
		ptr = bsa_heap_realloc(heap, ptr, size / 2, gfp);
		ptr = bsa_heap_realloc(heap, ptr, size * 2, gfp);
		KUNIT_ASSERT_NOT_NULL(test, ptr);
		dirty += !bsa_test_all_bytes(ptr + size / 4, 0, size * 2 - size / 4);
		bsa_heap_free(heap, ptr);
	}
	KUNIT_EXPECT_EQ(test, dirty, 0U);
}

static void realloc_to_half_or_less_gives_pages_back(struct kunit *test)
{
	static const u32 smaller[] = { 512, 300, 129, 128, 17, 3, 1 };
	struct bsa_heap *heap = bsa_test_heap(test, 2048 * PAGE_SIZE);
	unsigned long before, now, pages;
	unsigned int i;
	void *ptr;

	for (i = 0; i < ARRAY_SIZE(smaller); i++) {
		pages = roundup_pow_of_two(smaller[i]);
		before = bsa_heap_nr_free_pages(heap);
		ptr = attack_get(test, heap, 1024 * PAGE_SIZE);
		memset(ptr, 0xaa, smaller[i] * PAGE_SIZE);
		ptr = bsa_heap_realloc(heap, ptr, smaller[i] * PAGE_SIZE, BSA_TEST_GFP);
		KUNIT_ASSERT_NOT_NULL(test, ptr);
		KUNIT_EXPECT_TRUE(test, bsa_test_all_bytes(ptr, 0xaa,
							   smaller[i] * PAGE_SIZE));
		now = bsa_heap_nr_free_pages(heap);
		KUNIT_EXPECT_GE_MSG(test, now + pages, before, "%u pages", smaller[i]);
		bsa_heap_free(heap, ptr);
	}
}

/* A block becomes an object. */
static void realloc_to_an_object_gives_all_pages_back(struct kunit *test)
{
	struct bsa_heap *heap = bsa_test_heap(test, SZ_8M);
	unsigned int class;
	size_t size;
	void *ptr;

	attack_needs_plain_heaps(test);
	for (class = 0; class < BSA_ALL_CLASSES; class++) {
		size = attack_class_size(class);
		ptr = attack_get(test, heap, SZ_4M);
		memset(ptr, 0xaa, size);
		ptr = bsa_heap_realloc(heap, ptr, size, BSA_TEST_GFP);
		KUNIT_ASSERT_NOT_NULL(test, ptr);
		KUNIT_EXPECT_TRUE(test, bsa_test_all_bytes(ptr, 0xaa, size));
		KUNIT_EXPECT_EQ_MSG(test, bsa_test_stats(heap).live_pages, 0,
				    "%zu bytes", size);
		bsa_heap_free(heap, ptr);
	}
}

/* There is no memory to move to, so it stays where it is. */
static void realloc_to_less_never_fails(struct kunit *test)
{
	struct bsa_heap *heap = bsa_test_heap_of_one_block(test, 6);
	void **pages = bsa_test_array(test, 65);
	unsigned int i, j;
	size_t nr;
	u8 *ptr, *now;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (j = 0; j < ARRAY_SIZE(sizes); j++) {
			if (sizes[j] >= sizes[i])
				continue;
			ptr = attack_get(test, heap, sizes[i]);
			memset(ptr, 0xaa, sizes[i]);
			nr = bsa_test_take_pages(heap, pages);
			now = bsa_heap_realloc(heap, ptr, sizes[j],
					       GFP_ATOMIC | __GFP_NOWARN);
			KUNIT_EXPECT_NOT_NULL_MSG(test, now, "%u to %u bytes",
						  sizes[i], sizes[j]);
			ptr = now ?: ptr;
			KUNIT_EXPECT_TRUE(test, bsa_test_all_bytes(ptr, 0xaa, sizes[j]));
			bsa_heap_free(heap, ptr);
			bsa_test_give_back(heap, nr, pages);
		}
	}
}

/* ... and its pages are there for others at once, also in a full heap. */
static void realloc_in_a_full_heap_frees_pages_for_others(struct kunit *test)
{
	struct bsa_heap *heap = bsa_test_heap_of_one_block(test, 6);
	void **pages = bsa_test_array(test, 65);
	size_t nr;
	void *ptr;

	ptr = attack_get(test, heap, 32 * PAGE_SIZE);
	nr = bsa_test_take_pages(heap, pages);
	KUNIT_EXPECT_EQ(test, nr, 32);
	ptr = bsa_heap_realloc(heap, ptr, 5 * PAGE_SIZE, BSA_TEST_GFP);
	KUNIT_ASSERT_NOT_NULL(test, ptr);
	nr += bsa_test_take_pages(heap, pages + nr);
	KUNIT_EXPECT_GE(test, nr, 64 - 8);
	bsa_heap_free(heap, ptr);
	bsa_test_give_back(heap, nr, pages);
}

static struct kunit_case attack_realloc_cases[] = {
	KUNIT_CASE(realloc_keeps_the_alignment_that_was_asked_for),
	KUNIT_CASE(realloc_zeroes_what_it_adds),
	KUNIT_CASE(realloc_zeroes_from_the_last_size_on),
	KUNIT_CASE(realloc_to_half_or_less_gives_pages_back),
	KUNIT_CASE(realloc_to_an_object_gives_all_pages_back),
	KUNIT_CASE(realloc_to_less_never_fails),
	KUNIT_CASE(realloc_in_a_full_heap_frees_pages_for_others),
	{}
};

struct kunit_suite bsa_attack_realloc_suite = {
	.name = "bsa_attack_realloc",
	.init = bsa_test_init,
	.exit = bsa_test_exit,
	.test_cases = attack_realloc_cases,
};
