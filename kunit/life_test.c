// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of the life of heaps: names, handles, what they get, whose their pages
 * are, and a page map that grows
 */
#include "test_util.h"

#include <bsa/heap.h>
#include <linux/err.h>
#include <linux/net.h>
#include <linux/sizes.h>
#include <linux/slab.h>

static struct bsa_heap *create(struct kunit *test, const char *name, size_t size)
{
	struct bsa_heap *heap = bsa_heap_create(name, size, NUMA_NO_NODE);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	bsa_test_adopt_heap(test, heap);
	return heap;
}

static void expect_refused(struct kunit *test, const char *name, int err)
{
	struct bsa_heap *heap = bsa_heap_create(name, 0, NUMA_NO_NODE);

	KUNIT_EXPECT_PTR_EQ_MSG(test, heap, (struct bsa_heap *)ERR_PTR(err),
				"\"%*pE\"", (int)strlen(name), name);
	if (!IS_ERR(heap))
		bsa_test_adopt_heap(test, heap);
}

/* Names. */

/* What would end a line of the log, or change what a terminal shows. */
static void name_has_printable_characters_only(struct kunit *test)
{
	static const char * const bad[] = {
		"a\nbsa: default: forged", "\x1b[2J", "\r", "tab\tbed", "\x7f",
		"\x80", "\xc3\xbc", "slash/ed",
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		expect_refused(test, bad[i], -EINVAL);
	create(test, " !\"#$%&'()*+,-.:;<=>?@[\\]^_`{", 0);
}

/* Its directory could not be made. */
static void name_that_debugfs_has_already_is_refused(struct kunit *test)
{
	if (!IS_ENABLED(CONFIG_FAULT_INJECTION))
		kunit_skip(test, "debugfs has nothing but heaps here");
	expect_refused(test, "fail_alloc", -EINVAL);
}

static void heap_is_found_by_its_name(struct kunit *test)
{
	struct bsa_heap *heap = create(test, "found", 0);

	KUNIT_EXPECT_PTR_EQ(test, bsa_heap_find("found"), heap);
	KUNIT_EXPECT_PTR_EQ(test, bsa_heap_find("default"), &bsa_default_heap);
	KUNIT_EXPECT_NULL(test, bsa_heap_find("foun"));
	KUNIT_EXPECT_NULL(test, bsa_heap_find(""));
	KUNIT_EXPECT_NULL(test, bsa_heap_find(NULL));
	KUNIT_ASSERT_EQ(test, bsa_test_destroy_heap(test, heap), 0);
	KUNIT_EXPECT_NULL(test, bsa_heap_find("found"));
}

/* Handles. */

/* The memory of the first heap may be that of the second one, or nobody's. */
static void heap_is_destroyed_once(struct kunit *test)
{
	struct bsa_heap *heap = bsa_heap_create("once", 0, NUMA_NO_NODE);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	KUNIT_EXPECT_EQ(test, bsa_heap_destroy(heap), 0);
	KUNIT_EXPECT_EQ(test, bsa_heap_destroy(heap), -EINVAL);
	KUNIT_EXPECT_EQ(test, bsa_heap_abandon(heap), -EINVAL);
}

static void what_is_no_heap_is_not_destroyed(struct kunit *test)
{
	void *object = bsa_alloc(64, GFP_KERNEL);
	void * const bad[] = {
		NULL, ERR_PTR(-ENOMEM), (void *)16, (void *)ULONG_MAX, test,
		object, &bsa_default_heap,
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		KUNIT_EXPECT_EQ(test, bsa_heap_destroy(bad[i]), -EINVAL);
		KUNIT_EXPECT_EQ(test, bsa_heap_abandon(bad[i]), -EINVAL);
	}
	bsa_free(object);
}

/*
 * A client leaves an object behind and is loaded again: it gets at the old heap,
 * or gives it up and makes another of that name. What is left can be freed.
 */
static void abandoned_heap_leaves_its_name_to_another(struct kunit *test)
{
	size_t size = 64 * PAGE_SIZE;
	struct bsa_heap *heap = bsa_heap_create("left", size, NUMA_NO_NODE);
	void *object, *pages;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	object = bsa_heap_alloc(heap, 64, GFP_KERNEL);
	pages = bsa_heap_alloc_pages(heap, 4, 1, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, object);
	KUNIT_ASSERT_NOT_NULL(test, pages);
	KUNIT_EXPECT_EQ(test, bsa_heap_destroy(heap), -EBUSY);
	expect_refused(test, "left", -EEXIST);
	KUNIT_ASSERT_PTR_EQ(test, bsa_heap_find("left"), heap);

	KUNIT_EXPECT_EQ(test, bsa_heap_abandon(heap), 0);
	KUNIT_EXPECT_NULL(test, bsa_heap_find("left"));
	KUNIT_EXPECT_EQ(test, bsa_heap_abandon(heap), -EINVAL);
	KUNIT_EXPECT_EQ(test, bsa_heap_destroy(heap), -EINVAL);
	KUNIT_EXPECT_PTR_NE(test, create(test, "left", size), heap);

	memset(object, 0xff, 64);
	memset(pages, 0xff, 4 * PAGE_SIZE);
	bsa_heap_free(heap, object);
	bsa_heap_free_pages(heap, pages, 4);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).live_objects, 0);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).live_pages, 0);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).refused_frees, 0);
}

/* Memory. */

/*
 * Three quarters of what is available: more than fits between the holes of many machines, so
 * that it comes in several pieces, of which each has metadata of its own.
 */
static void heap_manages_all_that_was_asked_for(struct kunit *test)
{
	size_t sizes[] = {
		1, PAGE_SIZE, PAGE_SIZE + 1, SZ_256K, SZ_1M + 3, SZ_16M, SZ_64M,
		/* Where blocks are large, more of the memory is in smaller pieces. */
		PFN_PHYS(si_mem_available() * (PAGE_SHIFT > 12 ? 2 : 3) / 4),
	};
	struct bsa_heap *heap;
	int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		heap = bsa_test_heap(test, sizes[i]);
		kunit_info(test, "%zu bytes in %u sections\n", sizes[i],
			   bsa_heap_nr_sections(heap));
		KUNIT_EXPECT_GE(test, bsa_heap_managed_bytes(heap), sizes[i]);
		KUNIT_ASSERT_EQ(test, bsa_test_destroy_heap(test, heap), 0);
	}
}

/* Whose pages. */

/* Each way to drop a reference, before and after taking one. */
static void free_with_the_kernels_calls(void *ptr)
{
	struct page *page = virt_to_page(ptr);

	put_page(page);
	__free_page(page);
	free_page((unsigned long)ptr);
	get_page(page);
	put_page(page);
}

/* No page of the heap is among those that the kernel hands out. */
static void expect_not_handed_out(struct kunit *test, struct bsa_heap *heap)
{
	struct bsa_section_info info;
	struct page *page, *next;
	LIST_HEAD(pages);
	int i;

	KUNIT_ASSERT_EQ(test, bsa_heap_section(heap, 0, &info), 0);
	for (i = 0; i < 2000; i++) {
		page = alloc_page(GFP_KERNEL);
		if (!page)
			break;
		KUNIT_EXPECT_FALSE(test,
				   bsa_test_in_section(&info,
						       page_address(page)));
		list_add(&page->lru, &pages);
	}
	list_for_each_entry_safe(page, next, &pages, lru)
		__free_page(page);
}

/* All pages of a heap are freed: objects, blocks, free ones, and metadata. */
static void expect_pages_to_stay(struct kunit *test, struct bsa_heap *heap)
{
	void *object = bsa_heap_alloc(heap, 512, GFP_KERNEL);
	void *block = bsa_heap_alloc_pages(heap, 4, 1, GFP_KERNEL);
	struct bsa_section_info info;
	void *page;

	KUNIT_ASSERT_NOT_NULL(test, object);
	KUNIT_ASSERT_NOT_NULL(test, block);
	memset(object, 0x5a, 512);
	memset(block, 0x5a, 4 * PAGE_SIZE);
	KUNIT_EXPECT_FALSE(test, sendpage_ok(virt_to_page(object)));
	KUNIT_EXPECT_FALSE(test, sendpage_ok(virt_to_page(block)));
	KUNIT_ASSERT_EQ(test, bsa_heap_section(heap, 0, &info), 0);
	for (page = (void *)info.start - 2 * PAGE_SIZE;
	     page < (void *)info.start + info.size; page += PAGE_SIZE)
		free_with_the_kernels_calls(page);

	expect_not_handed_out(test, heap);
	KUNIT_EXPECT_TRUE(test, bsa_test_all_bytes(object, 0x5a, 512));
	KUNIT_EXPECT_TRUE(test, bsa_test_all_bytes(block, 0x5a, 4 * PAGE_SIZE));
	bsa_heap_free(heap, object);
	bsa_heap_free_pages(heap, block, 4);
	bsa_test_expect_sums(test, heap);
}

static void frees_of_the_kernel_leave_reserved_pages_to_the_heap(struct kunit *test)
{
	struct bsa_heap *heap = bsa_test_heap(test, SZ_1M);

	expect_pages_to_stay(test, heap);
}

static void frees_of_the_kernel_leave_added_pages_to_the_heap(struct kunit *test)
{
	void *region = bsa_test_memory(test, SZ_1M, GFP_KERNEL);
	struct bsa_heap *heap = bsa_test_heap_in(test, region, SZ_1M);
	unsigned int i;

	expect_pages_to_stay(test, heap);

	/* Its pages are the caller's as they were. */
	KUNIT_ASSERT_EQ(test, bsa_test_destroy_heap(test, heap), 0);
	for (i = 0; i < SZ_1M / PAGE_SIZE; i++) {
		struct page *page = virt_to_page(region + i * PAGE_SIZE);

		KUNIT_EXPECT_EQ(test, page_ref_count(page), 1);
		KUNIT_EXPECT_FALSE(test, PageReserved(page));
	}
}

/* A block of pages that is not compound: only the first one has a reference. */
static void blocks_of_the_kernel_are_restored(struct kunit *test)
{
	struct page *page = alloc_pages(GFP_KERNEL, 5);
	struct bsa_heap *heap;
	unsigned int round, i;

	KUNIT_ASSERT_NOT_NULL(test, page);
	for (round = 0; round < 2; round++) {
		heap = bsa_test_heap_in(test, page_address(page), 32 * PAGE_SIZE);
		if (round)
			expect_pages_to_stay(test, heap);
		KUNIT_ASSERT_EQ(test, bsa_test_destroy_heap(test, heap), 0);
		for (i = 0; i < 32; i++) {
			KUNIT_EXPECT_EQ(test, page_ref_count(page + i), !i);
			KUNIT_EXPECT_FALSE(test, PageReserved(page + i));
			set_page_count(page + i, !i);
		}
	}
	__free_pages(page, 5);
}

/* A compound page, whose references are all on its first one, and kmalloc(). */
static void pages_of_all_kinds_of_regions_are_restored(struct kunit *test)
{
	struct page *page = alloc_pages(GFP_KERNEL | __GFP_COMP, 5);
	void *slab = kmalloc(2 * PAGE_SIZE, GFP_KERNEL);
	struct bsa_heap *heap;
	unsigned int i;
	int refs;

	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_ASSERT_NOT_NULL(test, slab);
	refs = page_count(virt_to_page(slab));
	heap = bsa_test_heap_in(test, page_address(page), 32 * PAGE_SIZE);
	/* Too small a region, so it is refused, and nothing is different. */
	KUNIT_EXPECT_EQ(test, bsa_heap_add_region(heap, slab, 2 * PAGE_SIZE), -EINVAL);
	KUNIT_EXPECT_EQ(test, page_count(virt_to_page(slab)), refs);
	for (i = 0; i < 32; i++)
		put_page(page + i);
	if (!BSA_KFREE_COMPLAINS && !IS_ENABLED(CONFIG_KASAN_GENERIC) &&
	    !IS_ENABLED(CONFIG_DEBUG_KMEMLEAK))
		kfree(page_address(page + 31));
	KUNIT_EXPECT_FALSE(test, sendpage_ok(page + 31));

	KUNIT_ASSERT_EQ(test, bsa_test_destroy_heap(test, heap), 0);
	KUNIT_EXPECT_EQ(test, page_count(page), 1);
	KUNIT_EXPECT_EQ(test, page_ref_count(page + 31), 0);
	__free_pages(page, 5);
	kfree(slab);
}

/* The page map. */

static void page_map_that_grows_knows_what_it_knew(struct kunit *test)
{
	struct bsa_heap *heap = bsa_test_heap(test, SZ_1M), *later;
	void *object = bsa_heap_alloc(heap, 64, GFP_KERNEL);
	struct bsa_page *page = bsa_page_of(object);
	unsigned long nr = bsa_pagemap.nr;
	void *end = (void *)PAGE_OFFSET + (nr << PAGE_SHIFT);

	KUNIT_ASSERT_NOT_NULL(test, object);
	KUNIT_EXPECT_PTR_EQ(test, bsa_page_of(end), &bsa_no_page);
	mutex_lock(&bsa_pagemap_mutex);
	KUNIT_EXPECT_EQ(test, bsa_pagemap_grow(nr + 1), 0);
	mutex_unlock(&bsa_pagemap_mutex);

	KUNIT_EXPECT_GE(test, bsa_pagemap.nr, 2 * nr);
	KUNIT_EXPECT_PTR_EQ(test, bsa_page_of(object), page);
	KUNIT_EXPECT_PTR_EQ(test, bsa_page_of(end), &bsa_no_page);
	end = (void *)PAGE_OFFSET + (bsa_pagemap.nr << PAGE_SHIFT);
	KUNIT_EXPECT_PTR_EQ(test, bsa_page_of(end - 1), &bsa_no_page);
	KUNIT_EXPECT_PTR_EQ(test, bsa_page_of(end), &bsa_no_page);

	later = bsa_test_heap(test, SZ_4M);
	KUNIT_EXPECT_PTR_EQ(test, bsa_page_of(object), page);
	bsa_heap_free(heap, object);
	object = bsa_heap_alloc(later, 64, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, object);
	KUNIT_EXPECT_PTR_NE(test, bsa_page_of(object), &bsa_no_page);
	bsa_heap_free(later, object);
	KUNIT_ASSERT_EQ(test, bsa_test_destroy_heap(test, later), 0);
	KUNIT_EXPECT_PTR_EQ(test, bsa_page_of(object), &bsa_no_page);
}

/* Memory that is reserved in pieces does not cost a map for each of them. */
static void page_map_is_replaced_once_for_several_regions(struct kunit *test)
{
	struct bsa_heap *heap = bsa_test_heap(test, 0);
	struct bsa_page **entry = NULL;
	void *region[3];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(region); i++) {
		region[i] = bsa_test_memory(test, SZ_4M, GFP_KERNEL);
		bsa_pagemap_expect((unsigned long)region[i], SZ_4M);
	}
	for (i = 0; i < ARRAY_SIZE(region); i++) {
		KUNIT_ASSERT_EQ(test, bsa_heap_add_region(heap, region[i], SZ_4M), 0);
		KUNIT_EXPECT_PTR_NE(test, bsa_page_of(region[i] + SZ_2M), &bsa_no_page);
		entry = entry ?: bsa_pagemap.entry;
		KUNIT_EXPECT_PTR_EQ(test, bsa_pagemap.entry, entry);
	}
}

#ifdef CONFIG_FAULT_INJECTION
/*
 * Does the map say of the pages of a section that they are its own, and of those whose
 * entries are as far into another page of the map that they are not?
 */
static void expect_known(struct kunit *test, const struct bsa_section_info *info)
{
	const unsigned long leaf = PAGE_SIZE / sizeof(void *) << PAGE_SHIFT;
	void *start = (void *)info->start;
	struct bsa_page *page = bsa_page_of(start);
	long i;

	KUNIT_EXPECT_PTR_NE(test, page, &bsa_no_page);
	for (i = -8; i <= 8; i++)
		if (i)
			KUNIT_EXPECT_PTR_NE(test, bsa_page_of(start + i * leaf), page);
}

/* What could not be added for want of memory for the map can be added later. */
static void page_map_without_memory_is_as_it_was(struct kunit *test)
{
	void *region = bsa_test_memory(test, SZ_1M, GFP_KERNEL);
	unsigned int left, nth = 0, failed = 0;
	struct bsa_section_info info;
	struct bsa_heap *heap;
	int err;

	do {
		heap = bsa_test_heap(test, 0);
		bsa_test_fail_from(++nth);
		err = bsa_heap_add_region(heap, region, SZ_1M);
		left = bsa_test_fail_from(0);
		if (err) {
			KUNIT_EXPECT_EQ(test, err, -ENOMEM);
			failed++;
			KUNIT_ASSERT_EQ(test, bsa_heap_add_region(heap, region, SZ_1M), 0);
		}
		KUNIT_ASSERT_EQ(test, bsa_heap_section(heap, 0, &info), 0);
		expect_known(test, &info);
		KUNIT_ASSERT_EQ(test, bsa_test_destroy_heap(test, heap), 0);
		KUNIT_EXPECT_PTR_EQ(test, bsa_page_of((void *)info.start), &bsa_no_page);
	} while (!left);
	KUNIT_EXPECT_GE(test, failed, 2);
}
#endif

static struct kunit_case bsa_life_cases[] = {
	KUNIT_CASE(name_has_printable_characters_only),
	KUNIT_CASE(name_that_debugfs_has_already_is_refused),
	KUNIT_CASE(heap_is_found_by_its_name),
	KUNIT_CASE(heap_is_destroyed_once),
	KUNIT_CASE(what_is_no_heap_is_not_destroyed),
	KUNIT_CASE(abandoned_heap_leaves_its_name_to_another),
	KUNIT_CASE(heap_manages_all_that_was_asked_for),
	KUNIT_CASE(frees_of_the_kernel_leave_reserved_pages_to_the_heap),
	KUNIT_CASE(frees_of_the_kernel_leave_added_pages_to_the_heap),
	KUNIT_CASE(blocks_of_the_kernel_are_restored),
	KUNIT_CASE(pages_of_all_kinds_of_regions_are_restored),
	KUNIT_CASE(page_map_that_grows_knows_what_it_knew),
	KUNIT_CASE(page_map_is_replaced_once_for_several_regions),
#ifdef CONFIG_FAULT_INJECTION
	KUNIT_CASE(page_map_without_memory_is_as_it_was),
#endif
	{}
};

struct kunit_suite bsa_life_suite = {
	.name = "bsa_life",
	.init = bsa_test_init,
	.exit = bsa_test_exit,
	.test_cases = bsa_life_cases,
};
