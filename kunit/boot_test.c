// SPDX-License-Identifier: GPL-2.0-only
/*
 * The default heap at boot, where bsa is a part of the kernel
 */
#include "test_util.h"

#include <bsa/validate.h>
#include <linux/init.h>
#include <linux/sizes.h>

/* What a subsystem got that came up right after the heap. */
static struct {
	bool object;
	bool pages;
	bool heap;
} early;

#ifndef MODULE
static int __init use_early(void)
{
	void *object = bsa_alloc(100, BSA_TEST_GFP);
	void *pages = bsa_alloc_pages(16, PAGE_SIZE, BSA_TEST_GFP);
	struct bsa_heap *heap = bsa_heap_create("early", SZ_1M, NUMA_NO_NODE);

	early.object = object;
	early.pages = pages;
	bsa_free(object);
	bsa_free_pages(pages, 16);
	early.heap = !IS_ERR(heap) && !bsa_heap_destroy(heap);
	return 0;
}
arch_initcall(use_early);
#endif

static bool has_memory(void)
{
	return bsa_default_heap.buddy.nr_sections;
}

static int boot_init(struct kunit *test)
{
	if (!bsa_test_is_chosen(test))
		kunit_skip(test, "not in FILTER");
	if (IS_MODULE(CONFIG_BSA_KUNIT_TEST) || !IS_BUILTIN(CONFIG_BSA))
		kunit_skip(test, "needs bsa and its tests built in");
	return 0;
}

static void default_heap_serves_whom_boots_first(struct kunit *test)
{
	if (!has_memory())
		kunit_skip(test, "the default heap has no memory");
	KUNIT_EXPECT_TRUE(test, early.object);
	KUNIT_EXPECT_TRUE(test, early.pages);
	KUNIT_EXPECT_TRUE(test, early.heap);
}

static void default_heap_is_one_section_at_boot(struct kunit *test)
{
	if (!has_memory())
		kunit_skip(test, "the default heap has no memory");
	KUNIT_EXPECT_EQ(test, bsa_heap_nr_sections(NULL), 1U);
	bsa_test_expect_valid(test, NULL);
}

/* A boot goes on, whatever bsa.size= says. */
static void default_heap_without_memory_refuses_every_call(struct kunit *test)
{
	struct bsa_heap *heap;
	void *ptr = &early;

	if (has_memory())
		kunit_skip(test, "the default heap has memory");
	KUNIT_EXPECT_FALSE(test, early.object || early.pages);
	KUNIT_EXPECT_TRUE(test, early.heap);
	KUNIT_EXPECT_NULL(test, bsa_alloc(8, BSA_TEST_GFP));
	KUNIT_EXPECT_NULL(test, bsa_zalloc(2048, BSA_TEST_GFP));
	KUNIT_EXPECT_NULL(test, bsa_calloc(100, 100, GFP_ATOMIC | __GFP_NOWARN));
	KUNIT_EXPECT_NULL(test, bsa_alloc_aligned(64, 4096, BSA_TEST_GFP));
	KUNIT_EXPECT_NULL(test, bsa_realloc(NULL, 10, BSA_TEST_GFP));
	KUNIT_EXPECT_NULL(test, bsa_alloc_pages(1, PAGE_SIZE, BSA_TEST_GFP));
	KUNIT_EXPECT_NULL(test, bsa_alloc_pages_lowmem(1, PAGE_SIZE, BSA_TEST_GFP));
	KUNIT_EXPECT_EQ(test, bsa_alloc_bulk(8, BSA_TEST_GFP, 1, &ptr), 0);
	KUNIT_EXPECT_EQ(test, bsa_size(&early), 0);
	bsa_free(NULL);
	bsa_free(&early);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(NULL).refused_frees, 1);
	bsa_heap_trim(NULL);
	bsa_test_expect_sums(test, NULL);

	heap = bsa_heap_create("own", SZ_1M, NUMA_NO_NODE);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	ptr = bsa_heap_alloc(heap, 8, BSA_TEST_GFP);
	KUNIT_EXPECT_NOT_NULL(test, ptr);
	bsa_heap_free(heap, ptr);
	KUNIT_EXPECT_EQ(test, bsa_heap_destroy(heap), 0);
}

static struct kunit_case boot_cases[] = {
	KUNIT_CASE(default_heap_serves_whom_boots_first),
	KUNIT_CASE(default_heap_is_one_section_at_boot),
	KUNIT_CASE(default_heap_without_memory_refuses_every_call),
	{}
};

struct kunit_suite bsa_boot_suite = {
	.name = "bsa_boot",
	.init = boot_init,
	.test_cases = boot_cases,
};
