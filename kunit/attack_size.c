// SPDX-License-Identifier: GPL-2.0-only
/*
 * What bsa_size() tells may be written to, by the compiler's reckoning, too
 *
 * FORTIFY_SOURCE ends the kernel where a call writes beyond what the compiler
 * takes for the object, and that is what __alloc_size says: the size that was
 * asked for. So bsa_size() may not be more.
 */
#include "attack.h"

static void expect_known(struct kunit *test, struct bsa_heap *heap, void *ptr,
			 size_t size, size_t known, const char *call,
			 size_t asked)
{
	KUNIT_EXPECT_NOT_NULL(test, ptr);
	KUNIT_EXPECT_NE_MSG(test, known, SIZE_MAX, "%s of %zu", call, asked);
	KUNIT_EXPECT_GT_MSG(test, size, 0, "%s of %zu", call, asked);
	KUNIT_EXPECT_LE_MSG(test, size, known, "%s of %zu", call, asked);
	bsa_heap_free(heap, ptr);
}

/* Older compilers, and sparse, know only what is a constant. */
#if __has_builtin(__builtin_dynamic_object_size)
#define KNOWN_SIZE(ptr)	__builtin_dynamic_object_size(ptr, 0)
#else
#define KNOWN_SIZE(ptr)	__builtin_object_size(ptr, 0)
#endif

/* What the compiler knows has to be looked at where the allocation is. */
#define EXPECT_KNOWN(test, heap, allocation, asked)				\
do {										\
	struct bsa_heap *_heap = (heap);					\
	void *_ptr = (allocation);						\
										\
	expect_known(test, _heap, _ptr, bsa_heap_size(_heap, _ptr),		\
		     KNOWN_SIZE(_ptr), #allocation, asked);			\
} while (0)

/* Each call. The size is a constant here once this is inlined. */
static __always_inline void expect_sizes(struct kunit *test, struct bsa_heap *heap,
					 size_t size)
{
	EXPECT_KNOWN(test, NULL, bsa_alloc(size, GFP_KERNEL), size);
	EXPECT_KNOWN(test, NULL, bsa_zalloc(size, GFP_KERNEL), size);
	EXPECT_KNOWN(test, NULL, bsa_alloc_aligned(size, 32, GFP_KERNEL), size);
	EXPECT_KNOWN(test, NULL, bsa_calloc(3, size, GFP_KERNEL), size);
	EXPECT_KNOWN(test, NULL, bsa_realloc(NULL, size, GFP_KERNEL), size);
	EXPECT_KNOWN(test, heap, bsa_heap_alloc(heap, size, GFP_KERNEL), size);
	EXPECT_KNOWN(test, heap, bsa_heap_zalloc(heap, size, GFP_KERNEL), size);
	EXPECT_KNOWN(test, heap, bsa_heap_calloc(heap, 3, size, GFP_KERNEL), size);
}

static void known_sizes_of_small_objects(struct kunit *test,
					 struct bsa_heap *heap)
{
	expect_sizes(test, heap, 1);
	expect_sizes(test, heap, 7);
	expect_sizes(test, heap, 8);
	expect_sizes(test, heap, 9);
	expect_sizes(test, heap, 33);
	expect_sizes(test, heap, 100);
}

static void known_sizes_of_large_objects(struct kunit *test,
					 struct bsa_heap *heap)
{
	expect_sizes(test, heap, 257);
	expect_sizes(test, heap, 385);
	expect_sizes(test, heap, 1000);
	expect_sizes(test, heap, 1537);
	expect_sizes(test, heap, 2047);
}

static void known_sizes_of_blocks(struct kunit *test, struct bsa_heap *heap)
{
	expect_sizes(test, heap, 2049);
	expect_sizes(test, heap, 4095);
	expect_sizes(test, heap, 5000);
	expect_sizes(test, heap, 12289);
}

static void size_is_never_more_than_the_compiler_knows(struct kunit *test)
{
	struct bsa_heap *heap = bsa_test_heap(test, 256 * PAGE_SIZE);

	known_sizes_of_small_objects(test, heap);
	known_sizes_of_large_objects(test, heap);
	known_sizes_of_blocks(test, heap);
}

/*
 * The size is only known at run time, as it is to FORTIFY_SOURCE of newer kernels.
 */
static void size_is_never_more_than_was_asked_for(struct kunit *test)
{
	struct bsa_heap *heap = bsa_test_heap(test, 256 * PAGE_SIZE);
	unsigned int beyond = 0, nothing = 0;
	size_t size, told;
	void *ptr;

	for (size = 1; size <= 3 * PAGE_SIZE; size++) {
		ptr = bsa_heap_alloc(heap, size, BSA_TEST_GFP);
		KUNIT_ASSERT_NOT_NULL(test, ptr);
		told = bsa_heap_size(heap, ptr);
		beyond += told > size;
		nothing += !told;
		bsa_heap_free(heap, ptr);
	}
	KUNIT_EXPECT_EQ(test, beyond, 0U);
	KUNIT_EXPECT_EQ(test, nothing, 0U);
}

/*
 * Of objects that come from bulk calls nobody knows more than their slot, of what
 * bsa_heap_realloc() has changed the compiler does.
 */
static void size_follows_bulks_and_reallocations(struct kunit *test)
{
	struct bsa_heap *heap = bsa_test_heap(test, 256 * PAGE_SIZE);
	static const u16 sizes[] = { 5, 100, 60, 129, 700, 300, 5000, 3000, 1 };
	void *ptrs[20], *ptr = NULL;
	unsigned int i, j, beyond;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		KUNIT_ASSERT_EQ(test, bsa_heap_alloc_bulk(heap, sizes[i], BSA_TEST_GFP,
							  20, ptrs), 20);
		for (j = 0, beyond = 0; j < 20; j++)
			beyond += bsa_heap_size(heap, ptrs[j]) >
				  bsa_size_roundup(sizes[i]);
		KUNIT_EXPECT_EQ_MSG(test, beyond, 0U, "%u bytes", sizes[i]);
		bsa_heap_free_bulk(heap, 20, ptrs);

		ptr = bsa_heap_realloc(heap, ptr, sizes[i], BSA_TEST_GFP);
		KUNIT_ASSERT_NOT_NULL(test, ptr);
		KUNIT_EXPECT_LE(test, bsa_heap_size(heap, ptr), sizes[i]);
		KUNIT_EXPECT_GT(test, bsa_heap_size(heap, ptr), 0);
	}
	bsa_heap_free(heap, ptr);
}

static struct kunit_case attack_size_cases[] = {
	KUNIT_CASE(size_is_never_more_than_the_compiler_knows),
	KUNIT_CASE(size_is_never_more_than_was_asked_for),
	KUNIT_CASE(size_follows_bulks_and_reallocations),
	{}
};

struct kunit_suite bsa_attack_size_suite = {
	.name = "bsa_attack_size",
	.init = bsa_test_init,
	.exit = bsa_test_exit,
	.test_cases = attack_size_cases,
};
