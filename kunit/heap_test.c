// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of heaps: the public interface, and percpu.c below it
 *
 * A test runs on CPU 0 until it says otherwise. Its heap is its own, so every
 * count of the heap can be foretold.
 */
#include "test_util.h"

#include <linux/bitmap.h>
#include <linux/cache.h>
#include <linux/cpu.h>
#include <linux/cpumask.h>
#include <linux/err.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/nodemask.h>
#include <linux/preempt.h>
#include <linux/sizes.h>
#include <linux/smp.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/tracepoint.h>

/* A heap in one region of memory that the kernel gave, of so many pages. */
static struct bsa_heap *region_heap(struct kunit *test, unsigned long nr,
				    struct bsa_section_info *section)
{
	void *start = bsa_test_memory(test, nr * PAGE_SIZE, GFP_KERNEL);
	struct bsa_heap *heap = bsa_test_heap_in(test, start, nr * PAGE_SIZE);

	KUNIT_ASSERT_EQ(test, bsa_heap_nr_sections(heap), 1);
	KUNIT_ASSERT_EQ(test, bsa_heap_section(heap, 0, section), 0);
	return heap;
}

/* Give a heap another region. */
static void add_region(struct kunit *test, struct bsa_heap *heap, unsigned long nr,
		       struct bsa_section_info *section)
{
	void *start = bsa_test_memory(test, nr * PAGE_SIZE, GFP_KERNEL);
	unsigned int before = bsa_heap_nr_sections(heap);

	KUNIT_ASSERT_EQ(test, bsa_heap_add_region(heap, start, nr * PAGE_SIZE), 0);
	KUNIT_ASSERT_EQ(test, bsa_heap_section(heap, before, section), 0);
}

/* Allocate what must be there. */
static void *get(struct kunit *test, struct bsa_heap *heap, size_t size,
		 size_t align)
{
	void *ptr = bsa_heap_alloc_aligned(heap, size, align, BSA_TEST_GFP);

	KUNIT_ASSERT_NOT_NULL(test, ptr);
	return ptr;
}

static void *get_pages(struct kunit *test, struct bsa_heap *heap,
		       unsigned long nr)
{
	void *ptr = bsa_heap_alloc_pages(heap, nr, PAGE_SIZE, BSA_TEST_GFP);

	KUNIT_ASSERT_NOT_NULL(test, ptr);
	return ptr;
}

static void get_many(struct kunit *test, struct bsa_heap *heap, size_t size,
		     size_t nr, void **ptrs)
{
	size_t i;

	for (i = 0; i < nr; i++)
		ptrs[i] = get(test, heap, size, 1);
}

static unsigned int owner_of(const void *obj)
{
	return bsa_owner_cpu(bsa_page_of(obj)->owner)->cpu;
}

static int compare_addresses(const void *a, const void *b)
{
	unsigned long x = *(const unsigned long *)a;
	unsigned long y = *(const unsigned long *)b;

	return x < y ? -1 : x > y;
}

/* Ported: the behaviour that the module was started from. */

static void global_page_alloc(struct kunit *test)
{
	size_t size = SZ_2M;
	void *start = bsa_test_memory(test, size, GFP_KERNEL);
	struct bsa_heap *heap = bsa_test_heap_in(test, start, size);
	struct bsa_section_info section;
	void *addr;

	KUNIT_ASSERT_EQ(test, bsa_heap_section(heap, 0, &section), 0);
	addr = get_pages(test, heap, 4);
	KUNIT_EXPECT_GT(test, section.start, (unsigned long)start);
	KUNIT_EXPECT_TRUE(test, bsa_test_in_section(&section, addr));
	KUNIT_EXPECT_TRUE(test, bsa_test_is_aligned(addr, PAGE_SIZE));
	bsa_heap_free_pages(heap, addr, 4);
}

static void global_small_alloc(struct kunit *test)
{
	struct bsa_heap *heap = bsa_test_heap(test, SZ_16M);
	void *ptr = get(test, heap, 64, 8);

	KUNIT_EXPECT_TRUE(test, bsa_test_is_aligned(ptr, 8));
	bsa_heap_free(heap, ptr);
}

static void global_large_alloc(struct kunit *test)
{
	struct bsa_heap *heap = bsa_test_heap(test, SZ_16M);
	void *ptr = get(test, heap, 8192, PAGE_SIZE);

	KUNIT_EXPECT_TRUE(test, bsa_test_is_aligned(ptr, PAGE_SIZE));
	bsa_heap_free(heap, ptr);
}

static void global_mixed_alloc(struct kunit *test)
{
	static const struct {
		size_t size, align;
	} requests[] = {
		{ 8, 8 },
		{ 64, 8 },
		{ 1024, 8 },
		{ 4096, PAGE_SIZE },
		{ 8192, PAGE_SIZE },
	};
	struct bsa_heap *heap = bsa_test_heap(test, SZ_16M);
	void *ptrs[ARRAY_SIZE(requests)];
	int i;

	for (i = 0; i < ARRAY_SIZE(requests); i++) {
		ptrs[i] = get(test, heap, requests[i].size, requests[i].align);
		memset(ptrs[i], i, requests[i].size);
	}
	for (i = 0; i < ARRAY_SIZE(requests); i++) {
		KUNIT_EXPECT_TRUE(test, bsa_test_all_bytes(ptrs[i], i,
							   requests[i].size));
		bsa_heap_free(heap, ptrs[i]);
	}
}

static void global_cross_cpu_free(struct kunit *test)
{
	struct bsa_section_info section;
	struct bsa_heap *heap = region_heap(test, 512, &section);
	void *ptrs[10], *ptr;

	bsa_test_set_cpu(test, 0);
	get_many(test, heap, 64, 10, ptrs);
	bsa_test_set_cpu(test, 1);
	bsa_test_give_back(heap, 10, ptrs);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).remote_frees, 10);

	bsa_test_set_cpu(test, 0);
	ptr = get(test, heap, 64, 8);
	bsa_heap_free(heap, ptr);
}

static void global_cross_cpu_free_drains_remote_queue(struct kunit *test)
{
	struct bsa_section_info section;
	struct bsa_heap *heap = region_heap(test, 512, &section);
	struct bsa_page *slab;
	void *ptr;

	bsa_test_set_cpu(test, 0);
	ptr = get(test, heap, 64, 8);
	slab = bsa_page_of(ptr);
	KUNIT_EXPECT_EQ(test, owner_of(ptr), 0);
	KUNIT_EXPECT_EQ(test, bsa_slab_nr_remote(slab), 0);

	bsa_test_set_cpu(test, 1);
	bsa_heap_free(heap, ptr);
	KUNIT_EXPECT_EQ(test, bsa_slab_nr_remote(slab), 1);

	bsa_test_set_cpu(test, 0);
	ptr = get(test, heap, 64, 8);
	KUNIT_EXPECT_EQ(test, bsa_slab_nr_remote(slab), 0);
	bsa_heap_free(heap, ptr);
}

static void
global_cross_cpu_free_multiple_rounds_same_slab(struct kunit *test)
{
	struct bsa_section_info section;
	struct bsa_heap *heap = region_heap(test, 512, &section);
	unsigned int i, round, nr = bsa_test_capacity(64);
	void **ptrs = bsa_test_array(test, nr);
	struct bsa_page *slab;

	bsa_test_set_cpu(test, 0);
	get_many(test, heap, 64, nr, ptrs);
	slab = bsa_page_of(ptrs[0]);
	KUNIT_ASSERT_EQ(test, bsa_slab_capacity(slab), nr);

	for (round = 0; round < 3; round++) {
		for (i = 0; i < nr; i++)
			KUNIT_EXPECT_PTR_EQ(test, bsa_page_of(ptrs[i]), slab);

		bsa_test_set_cpu(test, 1);
		bsa_test_give_back(heap, nr, ptrs);
		KUNIT_EXPECT_EQ(test, bsa_slab_nr_remote(slab), nr);

		bsa_test_set_cpu(test, 0);
		get_many(test, heap, 64, nr, ptrs);
		KUNIT_EXPECT_EQ(test, bsa_slab_nr_remote(slab), 0);
	}
	bsa_test_give_back(heap, nr, ptrs);
}

static void global_small_object_churn_then_large_alloc(struct kunit *test)
{
	struct bsa_section_info section;
	struct bsa_heap *heap = region_heap(test, 512, &section);
	void **ptrs = bsa_test_array(test, 512 * PAGE_SIZE / 2048 + 1);
	unsigned long baseline;
	size_t nr;
	void *ptr;

	bsa_heap_free(heap, get(test, heap, 2048, 8));
	baseline = bsa_test_count_free_pages(test, heap);
	nr = bsa_test_take_objects(heap, 2048, ptrs);
	KUNIT_ASSERT_GT(test, nr, 0);
	bsa_test_give_back(heap, nr, ptrs);

	ptr = get(test, heap, 16 * PAGE_SIZE, PAGE_SIZE);
	bsa_heap_free(heap, ptr);
	KUNIT_EXPECT_EQ(test, bsa_test_count_free_pages(test, heap), baseline);
}

static void
global_cross_cpu_free_all_objects_recovers_backend_pages(struct kunit *test)
{
	struct bsa_section_info section;
	struct bsa_heap *heap = region_heap(test, 512, &section);
	unsigned int nr = bsa_test_capacity(64);
	void **ptrs = bsa_test_array(test, nr);
	unsigned long baseline;

	bsa_test_set_cpu(test, 0);
	bsa_heap_free(heap, get(test, heap, 64, 8));
	baseline = bsa_test_count_free_pages(test, heap);
	get_many(test, heap, 64, nr, ptrs);
	KUNIT_ASSERT_EQ(test, bsa_slab_capacity(bsa_page_of(ptrs[0])), nr);

	bsa_test_set_cpu(test, 1);
	bsa_test_give_back(heap, nr, ptrs);
	bsa_test_set_cpu(test, 0);
	get_many(test, heap, 64, nr, ptrs);
	bsa_test_give_back(heap, nr, ptrs);
	KUNIT_EXPECT_EQ(test, bsa_test_count_free_pages(test, heap), baseline);
}

static void global_lowmem_fragmentation_recovery(struct kunit *test)
{
	void *start = bsa_test_low_memory(test, SZ_2M);
	struct bsa_heap *heap = bsa_test_heap_in(test, start, SZ_2M);
	void **addrs = bsa_test_array(test, 513);
	size_t i, nr = 0;
	void *addr;

	while ((addr = bsa_heap_alloc_pages_lowmem(heap, 1, PAGE_SIZE,
						   BSA_TEST_GFP)))
		addrs[nr++] = addr;
	KUNIT_ASSERT_EQ(test, nr, bsa_heap_nr_pages(heap));
	KUNIT_ASSERT_GT(test, nr, 8);

	/* Every other page by address: no two free pages are neighbours. */
	sort(addrs, nr, sizeof(addrs[0]), compare_addresses, NULL);
	for (i = 0; i < nr; i += 2)
		bsa_heap_free_pages(heap, addrs[i], 1);
	KUNIT_EXPECT_NULL(test, bsa_heap_alloc_pages_lowmem(heap, 2,
							    2 * PAGE_SIZE,
							    BSA_TEST_GFP));
	for (i = 1; i < nr; i += 2)
		bsa_heap_free_pages(heap, addrs[i], 1);

	addr = bsa_heap_alloc_pages_lowmem(heap, 2, 2 * PAGE_SIZE,
					   BSA_TEST_GFP);
	KUNIT_ASSERT_NOT_NULL(test, addr);
	KUNIT_EXPECT_TRUE(test, bsa_test_is_aligned(addr, 2 * PAGE_SIZE));
	bsa_heap_free_pages(heap, addr, 2);
}

static void global_lowmem_pages(struct kunit *test)
{
	void *start = bsa_test_low_memory(test, SZ_2M);
	struct bsa_heap *heap = bsa_test_heap_in(test, start, SZ_2M);
	struct bsa_section_info section;
	void *addr;

	KUNIT_ASSERT_EQ(test, bsa_heap_section(heap, 0, &section), 0);
	addr = bsa_heap_alloc_pages_lowmem(heap, 1, PAGE_SIZE, BSA_TEST_GFP);
	KUNIT_ASSERT_NOT_NULL(test, addr);
	KUNIT_EXPECT_GE(test, (unsigned long)addr, section.start);
	KUNIT_EXPECT_LT(test, virt_to_phys(addr), SZ_4G);
	bsa_heap_free_pages(heap, addr, 1);
}

static void global_unaligned_region_start(struct kunit *test)
{
	size_t size = SZ_2M;
	void *start = bsa_test_memory(test, size + PAGE_SIZE, GFP_KERNEL) + 1;
	struct bsa_heap *heap = bsa_test_heap_in(test, start, size);
	struct bsa_section_info section;
	void *addr;

	KUNIT_ASSERT_EQ(test, bsa_heap_section(heap, 0, &section), 0);
	KUNIT_EXPECT_EQ(test, section.start % PAGE_SIZE, 0);
	KUNIT_EXPECT_GE(test, section.start, (unsigned long)start);
	KUNIT_EXPECT_LE(test, section.start + section.size,
			(unsigned long)start + size);
	addr = get_pages(test, heap, 1);
	KUNIT_EXPECT_TRUE(test, bsa_test_in_section(&section, addr));
	bsa_heap_free_pages(heap, addr, 1);
}

static void global_rejects_region_without_one_managed_page(struct kunit *test)
{
	void *start = bsa_test_memory(test, PAGE_SIZE, GFP_KERNEL);
	struct bsa_heap *heap = bsa_test_heap(test, 0);

	KUNIT_EXPECT_EQ(test, bsa_heap_add_region(heap, start, PAGE_SIZE - 1),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, bsa_heap_nr_sections(heap), 0);
}

static void global_add_region_after_init_expands_capacity(struct kunit *test)
{
	struct bsa_section_info first, second;
	struct bsa_heap *heap = region_heap(test, 64, &first);
	unsigned long before, after;

	before = bsa_test_count_free_pages(test, heap);
	add_region(test, heap, 128, &second);
	after = bsa_test_count_free_pages(test, heap);
	KUNIT_EXPECT_GT(test, after, before);
	KUNIT_EXPECT_EQ(test, before, first.total_pages);
	KUNIT_EXPECT_EQ(test, after, first.total_pages + second.total_pages);
	KUNIT_EXPECT_EQ(test, bsa_heap_nr_sections(heap), 2);
}

static void global_add_region_supports_discontiguous_regions(struct kunit *test)
{
	struct bsa_section_info first, second;
	struct bsa_heap *heap = region_heap(test, 64, &first);
	void **pages = bsa_test_array(test, 64);
	size_t nr = bsa_test_take_pages(heap, pages);
	void *addr;

	add_region(test, heap, 128, &second);
	addr = get_pages(test, heap, 1);
	KUNIT_EXPECT_TRUE(test, bsa_test_in_section(&second, addr));
	bsa_heap_free_pages(heap, addr, 1);
	bsa_test_give_back(heap, nr, pages);
}

static void global_large_alloc_can_come_from_added_region(struct kunit *test)
{
	struct bsa_section_info first, second;
	struct bsa_heap *heap = region_heap(test, 64, &first);
	void **pages = bsa_test_array(test, 64);
	size_t nr = bsa_test_take_pages(heap, pages);
	void *ptr;

	add_region(test, heap, 256, &second);
	ptr = get(test, heap, 8 * PAGE_SIZE, PAGE_SIZE);
	KUNIT_EXPECT_TRUE(test, bsa_test_in_section(&second, ptr));
	bsa_heap_free(heap, ptr);
	bsa_test_give_back(heap, nr, pages);
}

static void
global_managed_section_queries_report_all_sections(struct kunit *test)
{
	struct bsa_section_info first, second;
	struct bsa_heap *heap = region_heap(test, 64, &first);

	add_region(test, heap, 128, &second);
	KUNIT_EXPECT_EQ(test, bsa_heap_nr_sections(heap), 2);
	KUNIT_EXPECT_GT(test, first.size, 0);
	KUNIT_EXPECT_GT(test, second.size, first.size);
	KUNIT_EXPECT_EQ(test, bsa_heap_section(heap, 2, &first), -EINVAL);
}

static void global_add_region_overlap_rejected(struct kunit *test)
{
	void *start = bsa_test_memory(test, SZ_256K, GFP_KERNEL);
	struct bsa_heap *heap = bsa_test_heap_in(test, start, SZ_256K);

	KUNIT_EXPECT_EQ(test, bsa_heap_add_region(heap, start + 1, SZ_256K - 1),
			-EEXIST);
	KUNIT_EXPECT_EQ(test, bsa_heap_nr_sections(heap), 1);
}

static void global_managed_bytes_matches_all_sections(struct kunit *test)
{
	struct bsa_section_info first, second;
	struct bsa_heap *heap = region_heap(test, 64, &first);

	add_region(test, heap, 128, &second);
	KUNIT_EXPECT_EQ(test, bsa_heap_managed_bytes(heap),
			first.size + second.size);
}

static void global_allocated_bytes_changes_with_large_alloc(struct kunit *test)
{
	struct bsa_section_info section;
	struct bsa_heap *heap = region_heap(test, 512, &section);
	void *ptr;

	KUNIT_EXPECT_EQ(test, bsa_heap_allocated_bytes(heap), 0);
	ptr = get(test, heap, 3 * PAGE_SIZE, PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, bsa_heap_allocated_bytes(heap), 4 * PAGE_SIZE);
	bsa_heap_free(heap, ptr);
	KUNIT_EXPECT_EQ(test, bsa_heap_allocated_bytes(heap), 0);
}

static void global_allocated_bytes_reflects_slab_pages(struct kunit *test)
{
	struct bsa_section_info section;
	struct bsa_heap *heap = region_heap(test, 512, &section);
	void *ptr;

	KUNIT_EXPECT_EQ(test, bsa_heap_allocated_bytes(heap), 0);
	ptr = get(test, heap, 64, 8);
	KUNIT_EXPECT_EQ(test, bsa_heap_allocated_bytes(heap),
			(1 + bsa_test_bitmap_pages(64, 1)) * PAGE_SIZE);
	bsa_heap_free(heap, ptr);
}

static void
global_allocated_bytes_not_zero_until_cached_empty_slab_released(struct kunit *test)
{
	struct bsa_section_info section;
	struct bsa_heap *heap = region_heap(test, 512, &section);
	size_t after_refill;
	void *ptr;

	ptr = get(test, heap, 64, 8);
	after_refill = bsa_heap_allocated_bytes(heap);
	KUNIT_EXPECT_GE(test, after_refill, PAGE_SIZE);
	bsa_heap_free(heap, ptr);

	/* One empty slab stays, and goes when its page is wanted. */
	KUNIT_EXPECT_LE(test, bsa_heap_allocated_bytes(heap), after_refill);
	KUNIT_EXPECT_GE(test, bsa_heap_allocated_bytes(heap), PAGE_SIZE);
	bsa_test_count_free_pages(test, heap);
	KUNIT_EXPECT_EQ(test, bsa_heap_allocated_bytes(heap), 0);
}

/* Sizes and alignments. */

/* What an allocation of some bytes really takes. */
static size_t real_size(size_t size)
{
	size_t power = roundup_pow_of_two(size);

	if (size > BSA_MAX_OBJECT)
		return max(PAGE_SIZE, power);
	if (power >= 512 && size <= power / 4 * 3)
		return power / 4 * 3;
	return max_t(size_t, 8, power);
}

static void heap_size_zero_gives_zero_size_ptr(struct kunit *test)
{
	struct bsa_section_info section;
	struct bsa_heap *heap = region_heap(test, 64, &section);
	struct bsa_stats stats;
	void *ptrs[] = { ZERO_SIZE_PTR, NULL };

	KUNIT_EXPECT_PTR_EQ(test, bsa_heap_alloc(heap, 0, GFP_KERNEL),
			    ZERO_SIZE_PTR);
	KUNIT_EXPECT_PTR_EQ(test,
			    bsa_heap_alloc_aligned(heap, 0, PAGE_SIZE,
						   GFP_KERNEL | __GFP_ZERO),
			    ZERO_SIZE_PTR);
	KUNIT_EXPECT_PTR_EQ(test, bsa_heap_calloc(heap, 0, 8, GFP_KERNEL),
			    ZERO_SIZE_PTR);
	KUNIT_EXPECT_PTR_EQ(test, bsa_heap_calloc(heap, SIZE_MAX, 0,
						  GFP_KERNEL), ZERO_SIZE_PTR);
	KUNIT_EXPECT_PTR_EQ(test, bsa_heap_realloc(heap, NULL, 0, GFP_KERNEL),
			    ZERO_SIZE_PTR);
	KUNIT_EXPECT_PTR_EQ(test, bsa_alloc(0, GFP_KERNEL), ZERO_SIZE_PTR);
	KUNIT_EXPECT_PTR_EQ(test, bsa_zalloc(0, GFP_KERNEL), ZERO_SIZE_PTR);
	KUNIT_EXPECT_PTR_EQ(test, bsa_calloc(0, 0, GFP_KERNEL), ZERO_SIZE_PTR);

	/* It takes nothing and gives nothing back. */
	KUNIT_EXPECT_EQ(test, bsa_heap_size(heap, ZERO_SIZE_PTR), 0);
	KUNIT_EXPECT_EQ(test, bsa_heap_size(heap, NULL), 0);
	bsa_heap_free(heap, ZERO_SIZE_PTR);
	bsa_heap_free(heap, NULL);
	bsa_free(ZERO_SIZE_PTR);
	bsa_free(NULL);
	bsa_heap_free_bulk(heap, ARRAY_SIZE(ptrs), ptrs);
	stats = bsa_test_stats(heap);
	KUNIT_EXPECT_EQ(test, stats.allocs, 0);
	KUNIT_EXPECT_EQ(test, stats.frees, 0);
	KUNIT_EXPECT_EQ(test, stats.refused_frees, 0);
	KUNIT_EXPECT_EQ(test, stats.allocated_bytes, 0);
}

static void heap_serves_every_size_at_its_edges(struct kunit *test)
{
	static const int around[] = { -1, 0, 1 };
	struct bsa_section_info section;
	struct bsa_heap *heap = region_heap(test, 1024, &section);
	void **ptrs = bsa_test_array(test, 64);
	size_t size, edge, sizes[64];
	unsigned int i, nr = 0;

	/* 1, and each power of two from 8 to 128 KiB, one less and one more. */
	sizes[nr++] = 1;
	for (edge = 8; edge <= SZ_128K; edge *= 2)
		for (i = 0; i < ARRAY_SIZE(around); i++)
			sizes[nr++] = edge + around[i];

	/* All live at once, each byte that they really have written. */
	for (i = 0; i < nr; i++) {
		ptrs[i] = get(test, heap, sizes[i], 1);
		size = __bsa_heap_size(heap, ptrs[i]);
		KUNIT_EXPECT_EQ(test, size, sizes[i] > BSA_MAX_OBJECT ?
				sizes[i] :
				bsa_test_told(sizes[i], real_size(sizes[i])));
		KUNIT_EXPECT_EQ(test, bsa_size_roundup(sizes[i]),
				real_size(sizes[i]));
		memset(ptrs[i], i, bsa_test_told(sizes[i], real_size(sizes[i])));
	}
	for (i = 0; i < nr; i++) {
		size = bsa_test_told(sizes[i], real_size(sizes[i]));
		KUNIT_EXPECT_TRUE(test, bsa_test_all_bytes(ptrs[i], i, size));
	}
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).live_objects, 1 + 3 * 9 - 1);
	bsa_test_give_back(heap, nr, ptrs);
}

static void heap_largest_object_and_smallest_block(struct kunit *test)
{
	struct bsa_section_info section;
	struct bsa_heap *heap = region_heap(test, 64, &section);
	void *object, *block;

	/* 2048 bytes come from a slab, one more byte takes a page. */
	object = get(test, heap, 2048, 1);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).live_objects, 1);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).live_pages, 0);
	block = get(test, heap, 2049, 1);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).live_objects, 1);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).live_pages, 1);
	KUNIT_EXPECT_EQ(test, __bsa_heap_size(heap, object), 2048);
	KUNIT_EXPECT_EQ(test, __bsa_heap_size(heap, block), 2049);
	bsa_heap_free(heap, object);
	bsa_heap_free(heap, block);
}

static void heap_power_of_two_sizes_are_aligned_to_themselves(struct kunit *test)
{
	struct bsa_section_info section;
	struct bsa_heap *heap = region_heap(test, 1024, &section);
	void *ptr, *odd;
	size_t size;

	/* With a page and an object before each, nothing is by accident. */
	for (size = 1; size <= SZ_1M; size *= 2) {
		odd = get(test, heap, size > 2048 ? PAGE_SIZE : size, 1);
		ptr = get(test, heap, size, 1);
		KUNIT_EXPECT_TRUE(test, bsa_test_is_aligned(ptr, size));
		KUNIT_EXPECT_EQ(test, virt_to_phys(ptr) & (size - 1), 0);
		bsa_heap_free(heap, ptr);
		bsa_heap_free(heap, odd);
	}
}

static void heap_serves_every_alignment(struct kunit *test)
{
	static const size_t sizes[] = { 1, 24, 100, 2048, 2049, 5000, 65536 };
	struct bsa_heap *heap = bsa_test_heap_of_one_block(test, 9);
	size_t align;
	void *ptr;
	int i;

	/* Up to the alignment of the section, which is its size. */
	for (align = 1; align <= 512 * PAGE_SIZE; align *= 2) {
		for (i = 0; i < ARRAY_SIZE(sizes); i++) {
			ptr = get(test, heap, sizes[i], align);
			KUNIT_EXPECT_TRUE(test, bsa_test_is_aligned(ptr,
								    align));
			KUNIT_EXPECT_GE(test, bsa_heap_size(heap, ptr),
					sizes[i]);
			memset(ptr, 0xff, sizes[i]);
			bsa_heap_free(heap, ptr);
		}
	}
	KUNIT_EXPECT_NULL(test, bsa_heap_alloc_aligned(heap, 1, align, BSA_TEST_GFP));
}

static void heap_alignment_beyond_the_size_takes_a_larger_class(struct kunit *test)
{
	struct bsa_section_info section;
	struct bsa_heap *heap = region_heap(test, 64, &section);
	void *ptr;

	ptr = get(test, heap, 8, 512);
	KUNIT_EXPECT_EQ(test, __bsa_heap_size(heap, ptr),
			bsa_test_told(8, 512));
	bsa_heap_free(heap, ptr);
	/* More than any object has takes pages, and not more than needed. */
	ptr = get(test, heap, 8, 8 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, __bsa_heap_size(heap, ptr), 8);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).live_pages, 1);
	bsa_heap_free(heap, ptr);
}

static void heap_refuses_senseless_requests(struct kunit *test)
{
	static const size_t aligns[] = {
		0, 3, 24, 4097, 12288, SIZE_MAX, (1UL << 63) + 1, 1UL << 63,
		1UL << 50,
	};
	static const size_t sizes[] = {
		SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - PAGE_SIZE,
		(SIZE_MAX >> 1) + 1, SIZE_MAX >> 1, 1UL << 45,
		(1UL << 32) * PAGE_SIZE + 1,
	};
	struct bsa_section_info section;
	struct bsa_heap *heap = region_heap(test, 64, &section);
	struct bsa_stats stats;
	int i;

	for (i = 0; i < ARRAY_SIZE(aligns); i++) {
		KUNIT_EXPECT_NULL(test,
				  bsa_heap_alloc_aligned(heap, 64, aligns[i],
							 BSA_TEST_GFP));
		KUNIT_EXPECT_NULL(test,
				  bsa_heap_alloc_aligned(heap, 8192, aligns[i],
							 BSA_TEST_GFP));
		KUNIT_EXPECT_NULL(test, bsa_heap_alloc_pages(heap, 1, aligns[i],
							     BSA_TEST_GFP));
		KUNIT_EXPECT_NULL(test, bsa_alloc_aligned(64, aligns[i],
							  BSA_TEST_GFP));
	}
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		KUNIT_EXPECT_NULL(test, bsa_heap_alloc(heap, sizes[i],
						       BSA_TEST_GFP));
		KUNIT_EXPECT_NULL(test, bsa_heap_alloc_pages(heap, sizes[i], 1,
							     BSA_TEST_GFP));
		KUNIT_EXPECT_NULL(test, bsa_alloc(sizes[i], BSA_TEST_GFP));
	}
	KUNIT_EXPECT_NULL(test, bsa_heap_alloc_pages(heap, 0, PAGE_SIZE,
						     BSA_TEST_GFP));
	stats = bsa_test_stats(heap);
	KUNIT_EXPECT_EQ(test, stats.allocs, 0);
	KUNIT_EXPECT_EQ(test, stats.allocated_bytes, 0);
}

static void heap_largest_block_is_the_whole_section(struct kunit *test)
{
	struct bsa_heap *heap = bsa_test_heap_of_one_block(test, 9);
	size_t size = 512 * PAGE_SIZE;
	void *ptr;

	ptr = get(test, heap, size, 1);
	KUNIT_EXPECT_EQ(test, bsa_heap_nr_free_pages(heap), 0);
	KUNIT_EXPECT_EQ(test, bsa_heap_size(heap, ptr), size);
	memset(ptr, 0xff, size);
	bsa_heap_free(heap, ptr);
	ptr = get(test, heap, size - 1, 1);
	bsa_heap_free(heap, ptr);
	KUNIT_EXPECT_NULL(test, bsa_heap_alloc(heap, size + 1, BSA_TEST_GFP));
	ptr = get_pages(test, heap, 512);
	bsa_heap_free_pages(heap, ptr, 512);
	KUNIT_EXPECT_NULL(test, bsa_heap_alloc_pages(heap, 513, PAGE_SIZE,
						     BSA_TEST_GFP));
	KUNIT_EXPECT_EQ(test, bsa_heap_nr_free_pages(heap), 512);
}

/* Contents. */

static void heap_zeroes_dirty_memory(struct kunit *test)
{
	static const size_t sizes[] = {
		1, 8, 12, 16, 32, 64, 100, 128, 256, 512, 1024, 2048, 3000,
		4096, 10000, 32768,
	};
	struct bsa_section_info section;
	struct bsa_heap *heap = region_heap(test, 512, &section);
	void *ptrs[16];
	size_t size;
	int i, j;

	/* Sixteen of each, written all over and freed, come back as zeroes. */
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		size = sizes[i];
		for (j = 0; j < ARRAY_SIZE(ptrs); j++) {
			ptrs[j] = get(test, heap, size, 1);
			memset(ptrs[j], 0xff, __bsa_heap_size(heap, ptrs[j]));
		}
		bsa_test_give_back(heap, ARRAY_SIZE(ptrs), ptrs);
		for (j = 0; j < ARRAY_SIZE(ptrs); j++) {
			ptrs[j] = bsa_heap_alloc(heap, size, BSA_TEST_GFP |
						 __GFP_ZERO);
			KUNIT_ASSERT_NOT_NULL(test, ptrs[j]);
			KUNIT_EXPECT_TRUE(test, bsa_test_all_bytes(ptrs[j], 0,
								   size));
		}
		bsa_test_give_back(heap, ARRAY_SIZE(ptrs), ptrs);
	}
}

static void heap_zeroes_pages_arrays_and_bulks(struct kunit *test)
{
	struct bsa_heap *heap = bsa_test_heap_of_one_block(test, 6);
	void *ptrs[16], *ptr;
	int i;

	/* Every byte of the heap is dirty before each of the calls. */
	ptr = get_pages(test, heap, 64);
	memset(ptr, 0xff, 64 * PAGE_SIZE);
	bsa_heap_free_pages(heap, ptr, 64);
	ptr = bsa_heap_alloc_pages(heap, 64, PAGE_SIZE, BSA_TEST_GFP |
				   __GFP_ZERO);
	KUNIT_ASSERT_NOT_NULL(test, ptr);
	KUNIT_EXPECT_TRUE(test, bsa_test_all_bytes(ptr, 0, 64 * PAGE_SIZE));

	memset(ptr, 0xff, 64 * PAGE_SIZE);
	bsa_heap_free_pages(heap, ptr, 64);
	ptr = bsa_heap_calloc(heap, 25, 40, BSA_TEST_GFP);
	KUNIT_ASSERT_NOT_NULL(test, ptr);
	KUNIT_EXPECT_EQ(test, __bsa_heap_size(heap, ptr),
			bsa_test_told(1000, 1024));
	KUNIT_EXPECT_TRUE(test, bsa_test_all_bytes(ptr, 0, 25 * 40));
	bsa_heap_free(heap, ptr);

	KUNIT_ASSERT_EQ(test, bsa_heap_alloc_bulk(heap, 200, BSA_TEST_GFP |
						  __GFP_ZERO, 16, ptrs), 16);
	for (i = 0; i < 16; i++)
		KUNIT_EXPECT_TRUE(test, bsa_test_all_bytes(ptrs[i], 0, 200));
	bsa_heap_free_bulk(heap, 16, ptrs);
}

static void heap_calloc_refuses_a_product_that_overflows(struct kunit *test)
{
	struct bsa_section_info section;
	struct bsa_heap *heap = region_heap(test, 64, &section);

	KUNIT_EXPECT_NULL(test, bsa_heap_calloc(heap, SIZE_MAX, 2,
						BSA_TEST_GFP));
	KUNIT_EXPECT_NULL(test, bsa_heap_calloc(heap, SIZE_MAX / 2 + 1, 2,
						BSA_TEST_GFP));
	KUNIT_EXPECT_NULL(test, bsa_heap_calloc(heap, 1UL << 32, 1UL << 32,
						BSA_TEST_GFP));
	KUNIT_EXPECT_NULL(test, bsa_heap_calloc(heap, SIZE_MAX, SIZE_MAX,
						BSA_TEST_GFP));
	/* (2^61 + 1) * 8 is 8 modulo 2^64. */
	KUNIT_EXPECT_NULL(test, bsa_heap_calloc(heap, (1UL << 61) + 1, 8,
						BSA_TEST_GFP));
	KUNIT_EXPECT_NULL(test, bsa_calloc((1UL << 61) + 1, 8, BSA_TEST_GFP));
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).allocs, 0);
}

static void fill_pattern(u8 *ptr, size_t size)
{
	size_t i;

	for (i = 0; i < size; i++)
		ptr[i] = i * 7 + (i >> 8);
}

static bool has_pattern(const u8 *ptr, size_t size)
{
	size_t i;

	for (i = 0; i < size; i++)
		if (ptr[i] != (u8)(i * 7 + (i >> 8)))
			return false;
	return true;
}

static void heap_realloc_keeps_contents_in_both_directions(struct kunit *test)
{
	static const size_t sizes[] = {
		1, 8, 9, 64, 65, 100, 2048, 2049, 4096, 4097, 10000, 65536,
	};
	struct bsa_section_info section;
	struct bsa_heap *heap = region_heap(test, 256, &section);
	int from, to;
	void *ptr;

	for (from = 0; from < ARRAY_SIZE(sizes); from++) {
		for (to = 0; to < ARRAY_SIZE(sizes); to++) {
			ptr = get(test, heap, sizes[from], 1);
			fill_pattern(ptr, sizes[from]);
			ptr = bsa_heap_realloc(heap, ptr, sizes[to],
					       BSA_TEST_GFP);
			KUNIT_ASSERT_NOT_NULL(test, ptr);
			KUNIT_EXPECT_GE(test, bsa_heap_size(heap, ptr),
					sizes[to]);
			KUNIT_EXPECT_TRUE(test,
					  has_pattern(ptr, min(sizes[from],
							       sizes[to])));
			bsa_heap_free(heap, ptr);
			KUNIT_ASSERT_EQ(test, bsa_test_stats(heap).allocs,
					bsa_test_stats(heap).frees);
		}
	}
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).refused_frees, 0);
}

static void heap_realloc_of_nothing_allocates(struct kunit *test)
{
	struct bsa_section_info section;
	struct bsa_heap *heap = region_heap(test, 64, &section);
	void *a, *b;

	a = bsa_heap_realloc(heap, NULL, 100, BSA_TEST_GFP);
	b = bsa_heap_realloc(heap, ZERO_SIZE_PTR, 5000, BSA_TEST_GFP);
	KUNIT_EXPECT_EQ(test, __bsa_heap_size(heap, a),
			bsa_test_told(100, 128));
	KUNIT_EXPECT_EQ(test, __bsa_heap_size(heap, b), 5000);
	bsa_heap_free(heap, a);
	bsa_heap_free(heap, b);
}

static void heap_realloc_to_nothing_frees(struct kunit *test)
{
	struct bsa_section_info section;
	struct bsa_heap *heap = region_heap(test, 64, &section);
	void *object = get(test, heap, 100, 1);
	void *block = get(test, heap, 10000, 1);

	KUNIT_EXPECT_PTR_EQ(test, bsa_heap_realloc(heap, object, 0,
						   BSA_TEST_GFP),
			    ZERO_SIZE_PTR);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).live_objects, 0);
	KUNIT_EXPECT_PTR_EQ(test, bsa_heap_realloc(heap, block, 0,
						   BSA_TEST_GFP),
			    ZERO_SIZE_PTR);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).live_pages, 0);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).frees, 2);
}

static void heap_realloc_that_fails_leaves_the_object_alone(struct kunit *test)
{
	struct bsa_heap *heap = bsa_test_heap_of_one_block(test, 6);
	u8 *object = get(test, heap, 100, 1);

	fill_pattern(object, 100);
	KUNIT_EXPECT_NULL(test, bsa_heap_realloc(heap, object, 64 * PAGE_SIZE,
						 BSA_TEST_GFP));
	KUNIT_EXPECT_NULL(test, bsa_heap_realloc(heap, object, SIZE_MAX,
						 BSA_TEST_GFP));
	KUNIT_EXPECT_TRUE(test, has_pattern(object, 100));
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).live_objects, 1);
	bsa_heap_free(heap, object);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).frees, 1);
}

static void heap_realloc_zeroes_what_it_adds(struct kunit *test)
{
	struct bsa_heap *heap = bsa_test_heap_of_one_block(test, 6);
	u8 *ptr = get_pages(test, heap, 64);

	/* In a heap whose every byte is dirty. */
	memset(ptr, 0xff, 64 * PAGE_SIZE);
	bsa_heap_free_pages(heap, ptr, 64);
	ptr = bsa_heap_alloc(heap, 64, BSA_TEST_GFP | __GFP_ZERO);
	KUNIT_ASSERT_NOT_NULL(test, ptr);
	fill_pattern(ptr, 64);
	ptr = bsa_heap_realloc(heap, ptr, 1000, BSA_TEST_GFP | __GFP_ZERO);
	KUNIT_ASSERT_NOT_NULL(test, ptr);
	KUNIT_EXPECT_TRUE(test, has_pattern(ptr, 64));
	KUNIT_EXPECT_TRUE(test, bsa_test_all_bytes(ptr + 64, 0, 1000 - 64));
	bsa_heap_free(heap, ptr);
}

/* Bulk. */

static void heap_bulk_gives_as_many_as_asked_for(struct kunit *test)
{
	struct bsa_section_info section;
	struct bsa_heap *heap = region_heap(test, 1024, &section);
	void **ptrs = bsa_test_array(test, BSA_MAX_OBJECTS + 300);
	size_t size, i, nr, sum = 0;

	/* More than a slab has, of each class, and of pages. */
	for (size = 8; size <= 8192; size *= 2) {
		nr = size <= BSA_MAX_OBJECT ? bsa_test_capacity(size) + 300 : 300;
		sum += nr;
		KUNIT_ASSERT_EQ(test, bsa_heap_alloc_bulk(heap, size, BSA_TEST_GFP,
							  nr, ptrs), nr);
		for (i = 0; i < nr; i++)
			memset(ptrs[i], i, size);
		for (i = 0; i < nr; i++)
			KUNIT_ASSERT_TRUE(test, bsa_test_all_bytes(ptrs[i], i,
								   size));
		bsa_heap_free_bulk(heap, nr, ptrs);
		KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).live_objects, 0);
		KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).live_pages, 0);
	}
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).allocs, sum);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).frees, sum);
}

static void heap_bulk_of_none_does_nothing(struct kunit *test)
{
	struct bsa_section_info section;
	struct bsa_heap *heap = region_heap(test, 64, &section);

	KUNIT_EXPECT_EQ(test, bsa_heap_alloc_bulk(heap, 64, BSA_TEST_GFP, 0,
						  NULL), 0);
	bsa_heap_free_bulk(heap, 0, NULL);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).allocs, 0);
	KUNIT_EXPECT_EQ(test, bsa_heap_allocated_bytes(heap), 0);
}

static void heap_bulk_succeeds_in_part(struct kunit *test)
{
	static const size_t sizes[] = { 8, 64, 512, 2048, PAGE_SIZE, 4 * PAGE_SIZE };
	void **ptrs = bsa_test_array(test, 64 * PAGE_SIZE / 8 + 16);
	struct bsa_heap *heap = bsa_test_heap_of_one_block(test, 6);
	void *untouched = ERR_PTR(-EINVAL);
	size_t i, j, nr, want;

	/* Sixteen more than there can be. */
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		want = 64 * PAGE_SIZE / sizes[i] + 16;
		for (j = 0; j < want; j++)
			ptrs[j] = untouched;
		nr = bsa_heap_alloc_bulk(heap, sizes[i], BSA_TEST_GFP, want,
					 ptrs);
		KUNIT_EXPECT_LE(test, nr, want - 16);
		KUNIT_EXPECT_GE(test, nr, sizes[i] > BSA_MAX_OBJECT ? want - 16 :
						bsa_test_room(64, sizes[i]));
		for (j = 0; j < nr; j++)
			KUNIT_ASSERT_PTR_NE(test, ptrs[j], untouched);
		for (; j < want; j++)
			KUNIT_ASSERT_PTR_EQ(test, ptrs[j], untouched);
		bsa_heap_free_bulk(heap, nr, ptrs);
		bsa_heap_free_pages(heap, get_pages(test, heap, 64), 64);
		KUNIT_EXPECT_EQ(test, bsa_heap_nr_free_pages(heap), 64);
	}
}

static void heap_bulk_free_takes_part_of_a_full_slab(struct kunit *test)
{
	struct bsa_heap *heap = bsa_test_heap_of_one_block(test, 6);
	size_t nr = bsa_test_capacity(64) + 1;
	void **ptrs = bsa_test_array(test, nr), *twice[3];
	struct bsa_page *slab;

	/* A full slab, and the first object of the next one. */
	KUNIT_ASSERT_EQ(test, bsa_heap_alloc_bulk(heap, 64, BSA_TEST_GFP, nr,
						  ptrs), nr);
	slab = bsa_page_of(ptrs[0]);
	KUNIT_ASSERT_EQ(test, slab->state, BSA_PAGE_SLAB_FULL);

	/* One of them twice: the others are freed all the same. */
	twice[0] = ptrs[7];
	twice[1] = ptrs[7];
	twice[2] = ptrs[8];
	bsa_heap_free_bulk(heap, 3, twice);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).refused_frees, 1);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).live_objects, nr - 2);
	KUNIT_EXPECT_EQ(test, slab->state, BSA_PAGE_SLAB_PARTIAL);

	bsa_heap_free_bulk(heap, 7, ptrs);
	KUNIT_EXPECT_EQ(test, slab->state, BSA_PAGE_SLAB_PARTIAL);
	KUNIT_EXPECT_EQ(test, bsa_slab_nr_free(slab) + bsa_slab_nr_remote(slab),
			9U);
	bsa_heap_free_bulk(heap, nr - 9, ptrs + 9);
	KUNIT_EXPECT_EQ(test, slab->state, BSA_PAGE_SLAB_EMPTY);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).live_objects, 0);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).allocs, nr);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).frees, nr);
	bsa_heap_free_pages(heap, get_pages(test, heap, 64), 64);
}

static void heap_bulk_free_takes_objects_of_all_kinds(struct kunit *test)
{
	struct bsa_section_info section;
	struct bsa_heap *heap = region_heap(test, 64, &section);
	void *ptrs[6];

	/* Of two CPUs, several classes, pages, and nothing. */
	ptrs[0] = get(test, heap, 8, 1);
	ptrs[1] = get(test, heap, 1900, 1);
	ptrs[2] = NULL;
	ptrs[3] = get_pages(test, heap, 3);
	bsa_test_set_cpu(test, 1);
	ptrs[4] = get(test, heap, 8, 1);
	ptrs[5] = get(test, heap, 64, 1);
	bsa_heap_free_bulk(heap, ARRAY_SIZE(ptrs), ptrs);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).live_objects, 0);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).live_pages, 0);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).remote_frees,
			bsa_test_remote_frees(2, 2));
}

/* Exhaustion and recovery. */

static void heap_exhausted_by_objects_recovers_every_page(struct kunit *test)
{
	struct bsa_heap *heap = bsa_test_heap_of_one_block(test, 6);
	void **ptrs = bsa_test_array(test, 64 * PAGE_SIZE / 8 + 1);
	size_t size, i, nr;

	/* Whatever the class, nearly all memory can be had, and comes back. */
	for (size = 8; size <= 2048; size *= 2) {
		nr = bsa_test_take_objects(heap, size, ptrs);
		KUNIT_EXPECT_GE(test, nr, bsa_test_room(64, size));
		KUNIT_EXPECT_LE(test, nr * size, 64 * PAGE_SIZE);
		KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).live_objects, nr);
		for (i = 0; i < nr; i++)
			memset(ptrs[i], i, size);
		for (i = 0; i < nr; i++)
			KUNIT_ASSERT_TRUE(test, bsa_test_all_bytes(ptrs[i], i,
								   size));
		bsa_test_give_back(heap, nr, ptrs);

		bsa_heap_free_pages(heap, get_pages(test, heap, 64), 64);
		KUNIT_EXPECT_EQ(test, bsa_heap_nr_free_pages(heap), 64);
	}
}

static void heap_exhausted_by_pages_has_none_for_objects(struct kunit *test)
{
	struct bsa_heap *heap = bsa_test_heap_of_one_block(test, 6);
	void **pages = bsa_test_array(test, 65);
	size_t nr = bsa_test_take_pages(heap, pages);
	size_t size;

	KUNIT_ASSERT_EQ(test, nr, 64);
	for (size = 8; size <= 2048; size *= 2)
		KUNIT_EXPECT_NULL(test, bsa_heap_alloc(heap, size,
						       BSA_TEST_GFP));
	/* With one page, there is an object of any class. */
	bsa_heap_free_pages(heap, pages[--nr], 1);
	for (size = 64; size <= 2048; size *= 2) {
		bsa_heap_free(heap, get(test, heap, size, 1));
		KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).live_objects, 0);
	}
	bsa_test_give_back(heap, nr, pages);
}

static void heap_owner_finds_the_one_object_freed_elsewhere(struct kunit *test)
{
	struct bsa_heap *heap = bsa_test_heap_of_one_block(test, 6);
	void **ptrs = bsa_test_array(test, 64 * PAGE_SIZE / 8 + 1);
	size_t size, nr;
	void *ptr;

	/* Only full slabs; another CPU frees one object in the middle. */
	for (size = 8; size <= 2048; size *= 2) {
		nr = bsa_test_take_objects(heap, size, ptrs);
		bsa_test_set_cpu(test, 1);
		bsa_heap_free(heap, ptrs[nr / 2]);
		bsa_test_set_cpu(test, 0);
		ptr = get(test, heap, size, 1);
		KUNIT_EXPECT_PTR_EQ(test, ptr, ptrs[nr / 2]);
		KUNIT_EXPECT_NULL(test, bsa_heap_alloc(heap, size,
						       BSA_TEST_GFP));
		bsa_test_give_back(heap, nr, ptrs);
	}
}

/* Fill on one CPU, free on another; then a third wants all in one piece. */
static void no_false_oom(struct kunit *test, unsigned int filler,
			 unsigned int freer, unsigned int user, gfp_t gfp)
{
	struct bsa_heap *heap = bsa_test_heap_of_one_block(test, 6);
	void **ptrs = bsa_test_array(test, 64 * PAGE_SIZE / 8 + 1);
	unsigned long want;
	size_t size, nr;
	void *all;

	for (size = 8; size <= 2048; size *= 2) {
		bsa_test_set_cpu(test, filler);
		nr = bsa_test_take_objects(heap, size, ptrs);
		bsa_test_set_cpu(test, freer);
		bsa_test_give_back(heap, nr, ptrs);
		bsa_test_set_cpu(test, user);
		/* Bitmaps come back only where one may sleep. */
		want = gfpflags_allow_blocking(gfp) ? 0 :
		       bsa_test_bitmap_pages(size, 64) >> BSA_BITMAP_ORDER;
		want = rounddown_pow_of_two(64 / (want + 1));
		all = bsa_heap_alloc_pages(heap, want, PAGE_SIZE, gfp);
		KUNIT_EXPECT_NOT_NULL_MSG(test, all, "objects of %zu bytes",
					  size);
		bsa_heap_free_pages(heap, all, want);
		if (want < 64)
			bsa_heap_trim(heap);
	}
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).live_objects, 0);
	KUNIT_EXPECT_EQ(test, bsa_heap_nr_free_pages(heap), 64);
}

static void heap_no_false_oom_after_frees_by_another_cpu(struct kunit *test)
{
	no_false_oom(test, 0, 1, 2, BSA_TEST_GFP);
}

static void heap_no_false_oom_after_frees_by_the_owner(struct kunit *test)
{
	no_false_oom(test, 0, 0, 1, BSA_TEST_GFP);
}

static void heap_no_false_oom_for_the_cpu_that_freed(struct kunit *test)
{
	no_false_oom(test, 0, 1, 1, BSA_TEST_GFP);
}

static void heap_no_false_oom_for_the_owner_in_atomic_context(struct kunit *test)
{
	no_false_oom(test, 0, 1, 0, GFP_ATOMIC | __GFP_NOWARN);
}

/*
 * The same, but the third may not wait. What it cannot get is the one slab that
 * the first is allocating from, and the bitmaps that some classes had.
 */
static void heap_no_false_oom_for_others_in_atomic_context(struct kunit *test)
{
	struct bsa_heap *heap = bsa_test_heap_of_one_block(test, 6);
	void **ptrs = bsa_test_array(test, 64 * PAGE_SIZE / 8 + 1);
	unsigned int class;
	size_t nr, got;

	for (class = 0; class < BSA_NR_CLASSES; class++) {
		bsa_test_set_cpu(test, 0);
		nr = bsa_test_take_objects(heap, bsa_class_size(class), ptrs);
		bsa_test_set_cpu(test, 1);
		bsa_test_give_back(heap, nr, ptrs);
		bsa_test_set_cpu(test, 2);
		for (got = 0; got < 64; got++) {
			ptrs[got] = bsa_heap_alloc_pages(heap, 1, PAGE_SIZE,
							 GFP_ATOMIC |
							 __GFP_NOWARN);
			if (!ptrs[got])
				break;
		}
		KUNIT_EXPECT_GE(test, got,
				64 - BIT(bsa_slab_order(class)) -
				bsa_test_bitmap_pages(8, 64));
		bsa_test_give_back(heap, got, ptrs);
	}
}

static void heap_no_false_oom_when_all_cpus_cache_all_classes(struct kunit *test)
{
	struct bsa_heap *heap = bsa_test_heap_of_one_block(test, 9);
	void *ptrs[BSA_NR_CLASSES];
	unsigned int cpu, class;
	void *all;

	/* Each CPU keeps a slab of each class, without a live object. */
	for_each_online_cpu(cpu) {
		bsa_test_set_cpu(test, cpu);
		for (class = 0; class < BSA_NR_CLASSES; class++)
			ptrs[class] = get(test, heap, 8 << class, 1);
		bsa_test_give_back(heap, BSA_NR_CLASSES, ptrs);
	}
	KUNIT_EXPECT_LT(test, bsa_heap_nr_free_pages(heap), 512);
	all = bsa_heap_alloc_pages(heap, 512, PAGE_SIZE, BSA_TEST_GFP);
	KUNIT_EXPECT_NOT_NULL(test, all);
	bsa_heap_free_pages(heap, all, 512);
	KUNIT_EXPECT_EQ(test, bsa_heap_nr_free_pages(heap), 512);
}

static void heap_no_false_oom_for_objects_of_another_class(struct kunit *test)
{
	struct bsa_heap *heap = bsa_test_heap_of_one_block(test, 6);
	void **ptrs = bsa_test_array(test, 64 * PAGE_SIZE / 8 + 1);
	size_t nr;

	/* All memory was small objects once; now it is to be large ones. */
	nr = bsa_test_take_objects(heap, 16, ptrs);
	bsa_test_set_cpu(test, 1);
	bsa_test_give_back(heap, nr, ptrs);
	nr = bsa_test_take_objects(heap, 2048, ptrs);
	/* But what holds the bitmaps of pages that are slabs again. */
	KUNIT_EXPECT_GE(test, nr, (64 - bsa_test_bitmap_pages(16, 64)) *
				  PAGE_SIZE / 2048);
	bsa_test_give_back(heap, nr, ptrs);
}

/* All memory is slabs of one CPU; every other object of each is freed. */
static void objects_of_another_cpu(struct kunit *test, unsigned int freer)
{
	struct bsa_heap *heap = bsa_test_heap_of_one_block(test, 6);
	void **ptrs = bsa_test_array(test, 64 * PAGE_SIZE / 64 + 1);
	size_t i, nr, got = 0;

	nr = bsa_test_take_objects(heap, 64, ptrs);
	KUNIT_ASSERT_EQ(test, nr, bsa_test_room(64, 64));
	bsa_test_set_cpu(test, freer);
	for (i = 0; i < nr; i += 2)
		bsa_heap_free(heap, ptrs[i]);
	bsa_test_set_cpu(test, 2);
	for (i = 0; i < nr; i += 2) {
		ptrs[i] = bsa_heap_alloc(heap, 64, BSA_TEST_GFP);
		got += !!ptrs[i];
	}
	KUNIT_EXPECT_EQ(test, got, nr / 2);
	bsa_test_give_back(heap, nr, ptrs);
}

static void heap_no_false_oom_for_objects_the_owner_has_free(struct kunit *test)
{
	objects_of_another_cpu(test, 0);
}

static void heap_no_false_oom_for_objects_others_have_freed(struct kunit *test)
{
	objects_of_another_cpu(test, 1);
}

/* Several CPUs. */

static void heap_objects_belong_to_the_cpu_that_allocates(struct kunit *test)
{
	struct bsa_section_info section;
	struct bsa_heap *heap = region_heap(test, 64, &section);
	void *ptrs[3];
	int cpu;

	for (cpu = 0; cpu < 3; cpu++) {
		bsa_test_set_cpu(test, cpu);
		ptrs[cpu] = get(test, heap, 64, 1);
		KUNIT_EXPECT_EQ(test, owner_of(ptrs[cpu]), cpu);
	}
	bsa_test_give_back(heap, 3, ptrs);
}

static void heap_does_not_grow_when_one_cpu_frees_for_another(struct kunit *test)
{
	struct bsa_section_info section;
	struct bsa_heap *heap = region_heap(test, 256, &section);
	size_t nr = bsa_test_capacity(64) / 4 * 3;
	void **ptrs = bsa_test_array(test, nr);
	int i;

	/* Three quarters of a slab, a hundred times. */
	for (i = 0; i < 100; i++) {
		bsa_test_set_cpu(test, 0);
		get_many(test, heap, 64, nr, ptrs);
		bsa_test_set_cpu(test, 1);
		bsa_test_give_back(heap, nr, ptrs);
	}
	KUNIT_EXPECT_LE(test, bsa_heap_allocated_bytes(heap),
			(3 + bsa_test_bitmap_pages(64, 3)) * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).remote_frees, 100 * nr);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).frees, 100 * nr);
}

static void heap_free_writes_nothing_into_the_object(struct kunit *test)
{
	struct bsa_section_info section;
	struct bsa_heap *heap = region_heap(test, 64, &section);
	void *remote = get(test, heap, 64, 1);
	void *local = get(test, heap, 64, 1);
	u8 left = want_init_on_free() ? 0 : 0x5a;

	/* As seen from outside: no link, no poison, no count. */
	memset(remote, 0x5a, 64);
	memset(local, 0x5a, 64);
	bsa_heap_free(heap, local);
	bsa_test_set_cpu(test, 1);
	bsa_heap_free(heap, remote);
	KUNIT_EXPECT_TRUE(test, bsa_test_all_freed_bytes(remote, left, 64));
	KUNIT_EXPECT_TRUE(test, bsa_test_all_freed_bytes(local, left, 64));
}

/* Pretend that the fast path of this CPU has been interrupted, or is back. */
static void set_busy(struct bsa_heap *heap, bool busy)
{
	struct bsa_cpu *c = per_cpu_ptr(heap->cpu, raw_smp_processor_id());

	if (busy)
		preempt_disable();
	WRITE_ONCE(c->slabs.mark, busy ? BSA_MARK_BUSY : bsa_percpu_mark(c));
	if (!busy)
		preempt_enable();
}

static void heap_free_that_interrupts_is_a_remote_free(struct kunit *test)
{
	struct bsa_section_info section;
	struct bsa_heap *heap = region_heap(test, 64, &section);
	void *obj = get(test, heap, 64, 1);

	set_busy(heap, true);
	bsa_heap_free(heap, obj);
	set_busy(heap, false);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).remote_frees, 1);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).live_objects, 0);
	KUNIT_EXPECT_EQ(test, bsa_slab_nr_remote(bsa_page_of(obj)), 1);
}

/* The default heap is number 0: what marks a busy CPU must not pass for an owner. */
static void heap_frees_of_every_kind_may_interrupt(struct kunit *test)
{
	struct bsa_section_info section;
	struct bsa_heap *heaps[2], *heap;
	void *obj, *pages;
	int i;

	obj = bsa_alloc(64, BSA_TEST_GFP);
	KUNIT_ASSERT_NOT_NULL(test, obj);
	heaps[0] = bsa_owner_cpu(bsa_page_of(obj)->owner)->heap;
	bsa_free(obj);
	heaps[1] = region_heap(test, 64, &section);
	for (i = 0; i < 2; i++) {
		struct bsa_stats before, after;

		heap = heaps[i];
		before = bsa_test_stats(heap);
		obj = get(test, heap, 64, 1);
		pages = get_pages(test, heap, 2);
		set_busy(heap, true);
		bsa_heap_free(heap, pages);
		bsa_heap_free(heap, obj);
		/* These are refused. */
		bsa_heap_free(heap, pages);
		bsa_heap_free(heap, obj);
		bsa_heap_free(heap, obj + 1);
		bsa_heap_free(heap, test);
		set_busy(heap, false);
		after = bsa_test_stats(heap);
		KUNIT_EXPECT_EQ(test, after.frees, before.frees + 2);
		KUNIT_EXPECT_EQ(test, after.refused_frees, before.refused_frees + 4);
		KUNIT_EXPECT_EQ(test, after.live_objects, before.live_objects);
		KUNIT_EXPECT_EQ(test, after.live_pages, before.live_pages);
	}
}

static void heap_allocation_that_interrupts_takes_a_shared_object(struct kunit *test)
{
	struct bsa_heap *heap = bsa_test_heap_of_one_block(test, 6);
	void *ptrs[BSA_NR_CLASSES], *all;
	unsigned int class;

	/* One of each class, from slabs that no CPU owns. */
	set_busy(heap, true);
	for (class = 0; class < BSA_NR_CLASSES; class++)
		ptrs[class] = bsa_heap_alloc(heap, 8 << class, GFP_ATOMIC);
	set_busy(heap, false);
	for (class = 0; class < BSA_NR_CLASSES; class++) {
		KUNIT_ASSERT_NOT_NULL(test, ptrs[class]);
		KUNIT_EXPECT_EQ(test, owner_of(ptrs[class]), nr_cpu_ids);
		KUNIT_EXPECT_EQ(test, __bsa_heap_size(heap, ptrs[class]),
				8 << class);
	}
	bsa_test_give_back(heap, BSA_NR_CLASSES, ptrs);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).live_objects, 0);

	/* What the shared set keeps comes back like anything else. */
	all = bsa_heap_alloc_pages(heap, 64, PAGE_SIZE, BSA_TEST_GFP);
	KUNIT_EXPECT_NOT_NULL(test, all);
	bsa_heap_free_pages(heap, all, 64);
}

static void heap_shared_objects_freed_elsewhere_are_reused(struct kunit *test)
{
	struct bsa_heap *heap = bsa_test_heap_of_one_block(test, 6);
	void **ptrs = bsa_test_array(test, 64 * PAGE_SIZE / 64 + 1);
	size_t i, nr = 0, again = 0;

	/* The whole heap is full shared slabs; every other object is freed. */
	set_busy(heap, true);
	while ((ptrs[nr] = bsa_heap_alloc(heap, 64, GFP_ATOMIC |
					  __GFP_NOWARN)))
		nr++;
	set_busy(heap, false);
	KUNIT_EXPECT_EQ(test, nr, bsa_test_room(64, 64));
	bsa_test_set_cpu(test, 1);
	for (i = 0; i < nr; i += 2)
		bsa_heap_free(heap, ptrs[i]);
	for (i = 0; i < nr; i += 2) {
		ptrs[i] = bsa_heap_alloc(heap, 64, BSA_TEST_GFP);
		again += !!ptrs[i];
	}
	KUNIT_EXPECT_EQ(test, again, nr / 2);
	bsa_test_give_back(heap, nr, ptrs);
}

struct irq_call {
	struct bsa_heap *heap;
	bool in_irq;
	void *object;
	void *block;
	void *to_free;
};

static void call_in_irq(void *data)
{
	struct irq_call *call = data;

	call->in_irq = in_hardirq();
	call->object = bsa_heap_alloc(call->heap, 100, GFP_ATOMIC);
	call->block = bsa_heap_alloc(call->heap, 10000, GFP_ATOMIC);
	bsa_heap_free(call->heap, call->to_free);
}

static void heap_works_in_hard_interrupts(struct kunit *test)
{
	struct bsa_section_info section;
	struct irq_call call = {
		.heap = region_heap(test, 64, &section),
	};

	/* On another CPU, which frees an object of this one as well. */
	call.to_free = get(test, call.heap, 100, 1);
	bsa_test_call_in_irq(test, call_in_irq, &call);
	KUNIT_EXPECT_TRUE(test, call.in_irq);
	KUNIT_ASSERT_NOT_NULL(test, call.object);
	KUNIT_EXPECT_EQ(test, owner_of(call.object), 1);
	KUNIT_EXPECT_EQ(test, __bsa_heap_size(call.heap, call.block), 10000);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(call.heap).live_objects, 1);
	bsa_heap_free(call.heap, call.object);
	bsa_heap_free(call.heap, call.block);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(call.heap).remote_frees, 2);
}

static void heap_works_with_interrupts_off(struct kunit *test)
{
	struct bsa_section_info section;
	struct bsa_heap *heap = region_heap(test, 64, &section);
	void *object, *block, *none;
	unsigned long flags;

	local_irq_save(flags);
	object = bsa_heap_alloc(heap, 100, GFP_ATOMIC);
	block = bsa_heap_alloc(heap, 10000, GFP_ATOMIC);
	none = bsa_heap_alloc(heap, 64 * PAGE_SIZE, GFP_ATOMIC | __GFP_NOWARN);
	bsa_heap_free(heap, object);
	bsa_heap_free(heap, block);
	local_irq_restore(flags);
	KUNIT_EXPECT_NOT_NULL(test, object);
	KUNIT_EXPECT_NOT_NULL(test, block);
	KUNIT_EXPECT_NULL(test, none);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).frees, 2);
}

#if defined(CONFIG_TRACEPOINTS) && !defined(CONFIG_DEBUG_KMEMLEAK)

/* Counts what a task gets from the kernel, but not in its interrupts. */
struct kernel_use {
	struct task_struct *task;
	unsigned long nr;
	struct tracepoint *page_alloc;
	struct tracepoint *kmalloc;
	struct tracepoint *cache_alloc;
};

static void count_use(void *data)
{
	struct kernel_use *use = data;

	if (current == use->task && in_task())
		use->nr++;
}

static void on_page_alloc(void *data, struct page *page, unsigned int order,
			  gfp_t gfp, int migratetype)
{
	count_use(data);
}

static void on_kmalloc(void *data, unsigned long caller, const void *ptr,
		       size_t req, size_t size, gfp_t gfp, int node)
{
	count_use(data);
}

static void on_cache_alloc(void *data, unsigned long caller, const void *ptr,
			   struct kmem_cache *cache, gfp_t gfp, int node)
{
	count_use(data);
}

static void find_tracepoint(struct tracepoint *tp, void *data)
{
	struct kernel_use *use = data;

	if (!strcmp(tp->name, "mm_page_alloc"))
		use->page_alloc = tp;
	else if (!strcmp(tp->name, "kmalloc"))
		use->kmalloc = tp;
	else if (!strcmp(tp->name, "kmem_cache_alloc"))
		use->cache_alloc = tp;
}

static void use_every_call(struct bsa_heap *heap, void **ptrs, size_t max)
{
	static const u16 sizes[] = { 1, 64, 200, 1500, 2048, 5000, 20000 };
	unsigned int i, nr;
	void *ptr;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		/* Until there is none, and back. */
		for (nr = 0; nr < max; nr++) {
			ptrs[nr] = bsa_heap_alloc(heap, sizes[i],
						  BSA_TEST_GFP);
			if (!ptrs[nr])
				break;
		}
		bsa_test_give_back(heap, nr, ptrs);

		ptr = bsa_heap_alloc(heap, sizes[i],
				     BSA_TEST_GFP | __GFP_ZERO);
		ptr = bsa_heap_realloc(heap, ptr, 2 * sizes[i], BSA_TEST_GFP);
		bsa_heap_free(heap, ptr);
		bsa_heap_free(heap, bsa_heap_calloc(heap, 3, sizes[i], GFP_ATOMIC));
		nr = bsa_heap_alloc_bulk(heap, sizes[i], GFP_ATOMIC, 20, ptrs);
		bsa_heap_free_bulk(heap, nr, ptrs);
	}
	for (nr = 0; nr < max; nr++) {
		ptrs[nr] = bsa_heap_alloc_pages(heap, 2, 4 * PAGE_SIZE, BSA_TEST_GFP);
		if (!ptrs[nr])
			break;
	}
	while (nr--)
		bsa_heap_free_pages(heap, ptrs[nr], 2);
	ptr = bsa_heap_alloc_pages_lowmem(heap, 1, PAGE_SIZE, BSA_TEST_GFP);
	bsa_heap_free_pages(heap, ptr, 1);
}

static void heap_calls_take_nothing_from_the_kernel(struct kunit *test)
{
	struct bsa_section_info section;
	struct bsa_heap *heap = region_heap(test, 64, &section);
	size_t max = 64 * PAGE_SIZE / 8;
	void **ptrs = bsa_test_array(test, max);
	struct kernel_use use = {};
	int err[3];

	for_each_kernel_tracepoint(find_tracepoint, &use);
	KUNIT_ASSERT_TRUE(test, use.page_alloc && use.kmalloc && use.cache_alloc);
	err[0] = tracepoint_probe_register(use.page_alloc, on_page_alloc, &use);
	err[1] = tracepoint_probe_register(use.kmalloc, on_kmalloc, &use);
	err[2] = tracepoint_probe_register(use.cache_alloc, on_cache_alloc, &use);

	/* That they are counted is seen first. */
	use.task = current;
	kfree(kmalloc(100, GFP_KERNEL));
	KUNIT_EXPECT_GT(test, use.nr, 0UL);
	use.nr = 0;
	__free_page(alloc_page(GFP_KERNEL | __GFP_NOFAIL));
	KUNIT_EXPECT_GT(test, use.nr, 0UL);
	use.nr = 0;
	use_every_call(heap, ptrs, max);
	KUNIT_EXPECT_EQ(test, use.nr, 0UL);
	use.task = NULL;

	tracepoint_probe_unregister(use.page_alloc, on_page_alloc, &use);
	tracepoint_probe_unregister(use.kmalloc, on_kmalloc, &use);
	tracepoint_probe_unregister(use.cache_alloc, on_cache_alloc, &use);
	tracepoint_synchronize_unregister();
	KUNIT_EXPECT_EQ(test, err[0] | err[1] | err[2], 0);
	KUNIT_EXPECT_GT(test, bsa_test_stats(heap).failures, 6UL);
}

#endif

static void heap_loses_nothing_when_a_cpu_goes_offline(struct kunit *test)
{
	struct bsa_heap *heap = bsa_test_heap_of_one_block(test, 6);
	unsigned int cpu = cpumask_last(cpu_online_mask);
	void *held[3], *cached, *remote, *all;
	int err, err2;

	/* The CPU has live, cached and remotely freed objects when it goes. */
	bsa_test_needs_cpus(test, 2);
	bsa_test_needs_hotplug(test);
	bsa_test_set_cpu(test, cpu);
	held[0] = get(test, heap, 8, 1);
	held[1] = get(test, heap, 64, 1);
	held[2] = get(test, heap, 2048, 1);
	cached = get(test, heap, 256, 1);
	remote = get(test, heap, 1024, 1);
	bsa_heap_free(heap, cached);
	bsa_test_set_cpu(test, 0);
	bsa_heap_free(heap, remote);

	err = remove_cpu(cpu);
	bsa_test_give_back(heap, 3, held);
	all = bsa_heap_alloc_pages(heap, 64, PAGE_SIZE, BSA_TEST_GFP);
	bsa_heap_free_pages(heap, all, 64);
	err2 = add_cpu(cpu);
	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_EQ(test, err2, 0);
	KUNIT_EXPECT_NOT_NULL(test, all);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).live_objects, 0);

	/* It is back and allocates again. */
	bsa_test_set_cpu(test, cpu);
	held[0] = get(test, heap, 64, 1);
	KUNIT_EXPECT_EQ(test, owner_of(held[0]), cpu);
	bsa_heap_free(heap, held[0]);
}

/* Blocks that are kept. */

/* Allocate single pages, and free some of them again. */
static void take_and_free(struct kunit *test, struct bsa_heap *heap, void **pages,
			  size_t nr, size_t nr_free)
{
	size_t i;

	for (i = 0; i < nr; i++)
		pages[i] = get_pages(test, heap, 1);
	bsa_test_give_back(heap, nr_free, pages);
}

static void heap_keeps_as_many_blocks_as_it_has_lacked(struct kunit *test)
{
	struct bsa_heap *heap = bsa_test_heap_of_one_block(test, 6);
	void *pages[20], *all;

	/* 20 times there was none: 20 and two more may be kept. */
	take_and_free(test, heap, pages, 20, 20);
	KUNIT_EXPECT_EQ(test, bsa_percpu_kept_pages(heap, -1), 20);
	KUNIT_EXPECT_EQ(test, bsa_heap_nr_free_pages(heap), 64);

	/* They are handed out again, and are coalesced when that is needed. */
	take_and_free(test, heap, pages, 3, 0);
	KUNIT_EXPECT_EQ(test, bsa_percpu_kept_pages(heap, -1), 17);
	bsa_test_give_back(heap, 3, pages);
	all = get_pages(test, heap, 64);
	KUNIT_EXPECT_EQ(test, bsa_percpu_kept_pages(heap, -1), 0);
	bsa_heap_free_pages(heap, all, 64);
}

/* What one CPU has allocated another frees; that one keeps next to none of it. */
static void heap_keeps_little_for_a_cpu_that_only_frees(struct kunit *test)
{
	struct bsa_heap *heap = bsa_test_heap(test, 256 * PAGE_SIZE);
	void **pages = bsa_test_array(test, 200);
	size_t i;

	for (i = 0; i < 200; i++)
		pages[i] = get_pages(test, heap, 1);
	bsa_test_set_cpu(test, 1);
	bsa_test_give_back(heap, 200, pages);
	KUNIT_EXPECT_EQ(test, bsa_percpu_kept_pages(heap, -1), BSA_KEPT_MIN);
	/* And a pair of its own is kept from then on. */
	bsa_heap_free_pages(heap, get_pages(test, heap, 1), 1);
	KUNIT_EXPECT_EQ(test, bsa_percpu_kept_pages(heap, -1), BSA_KEPT_MIN);
}

static void heap_keeps_no_more_blocks_than_it_may(struct kunit *test)
{
	size_t nr = 2 * BSA_KEPT_MAX + 100;
	struct bsa_heap *heap = bsa_test_heap(test, nr * PAGE_SIZE);
	void **pages = bsa_test_array(test, nr);

	take_and_free(test, heap, pages, nr, BSA_KEPT_MAX + 50);
	KUNIT_EXPECT_EQ(test, bsa_percpu_kept_pages(heap, -1), BSA_KEPT_MAX);
	KUNIT_EXPECT_EQ(test, bsa_heap_nr_free_pages(heap),
			bsa_heap_nr_pages(heap) - BSA_KEPT_MAX - 50);
	bsa_test_give_back(heap, nr, pages);
}

static void heap_counts_kept_pages_of_each_section(struct kunit *test)
{
	struct bsa_section_info first, second, info;
	struct bsa_heap *heap = region_heap(test, 64, &first);
	unsigned long nr, i, freed[2] = {};
	void **pages;

	add_region(test, heap, 64, &second);
	nr = first.total_pages + second.total_pages;
	pages = bsa_test_array(test, nr);
	take_and_free(test, heap, pages, nr, 0);
	for (i = 0; i < nr; i += 3) {
		freed[!bsa_test_in_section(&first, pages[i])]++;
		bsa_heap_free_pages(heap, pages[i], 1);
		pages[i] = NULL;
	}
	KUNIT_EXPECT_EQ(test, bsa_percpu_kept_pages(heap, -1),
			freed[0] + freed[1]);
	for (i = 0; i < 2; i++) {
		KUNIT_EXPECT_GT(test, freed[i], 0);
		KUNIT_EXPECT_EQ(test, bsa_percpu_kept_pages(heap, i), freed[i]);
		KUNIT_EXPECT_EQ(test, bsa_heap_section(heap, i, &info), 0);
		KUNIT_EXPECT_EQ(test, info.free_pages, freed[i]);
	}
	bsa_test_expect_sums(test, heap);
	bsa_test_give_back(heap, nr, pages);
}

static void heap_blocks_kept_by_all_cpus_come_back(struct kunit *test)
{
	struct bsa_heap *heap = bsa_test_heap_of_one_block(test, 6);
	void *pages[8], *all;
	unsigned long flags;
	int cpu;

	for (cpu = 0; cpu < 3; cpu++) {
		bsa_test_set_cpu(test, cpu);
		take_and_free(test, heap, pages, 8, 8);
	}
	KUNIT_EXPECT_EQ(test, bsa_percpu_kept_pages(heap, -1), 3 * 8);
	local_irq_save(flags);
	all = bsa_heap_alloc_pages(heap, 64, PAGE_SIZE, GFP_ATOMIC);
	local_irq_restore(flags);
	KUNIT_EXPECT_NOT_NULL(test, all);
	bsa_heap_free_pages(heap, all, 64);
}

static void heap_blocks_kept_by_another_cpu_are_handed_out(struct kunit *test)
{
	struct bsa_heap *heap = bsa_test_heap_of_one_block(test, 6);
	void *pages[64 + 1], *more[40 + 1];

	bsa_test_set_cpu(test, 1);
	take_and_free(test, heap, pages, 64, 40);
	bsa_test_set_cpu(test, 0);
	KUNIT_EXPECT_EQ(test, bsa_test_take_pages(heap, more), 40);
	bsa_test_give_back(heap, 40, more);
	bsa_test_give_back(heap, 24, pages + 40);
}

static void heap_keeps_no_block_on_a_stack_in_use(struct kunit *test)
{
	struct bsa_heap *heap = bsa_test_heap_of_one_block(test, 6);
	struct bsa_section_info section;
	unsigned long *stack;
	void *pages[4];

	KUNIT_ASSERT_EQ(test, bsa_heap_section(heap, 0, &section), 0);
	stack = &per_cpu_ptr(heap->cpu, 0)->kept[0].stack[section.low];
	take_and_free(test, heap, pages, 4, 1);
	set_bit(BSA_KEPT_LOCK_BIT, stack);
	bsa_heap_free_pages(heap, pages[1], 1);
	KUNIT_EXPECT_EQ(test, bsa_percpu_kept_pages(heap, -1), 1);
	KUNIT_EXPECT_EQ(test, bsa_heap_nr_free_pages(heap), 64 - 2);
	clear_bit(BSA_KEPT_LOCK_BIT, stack);
	bsa_heap_free_pages(heap, pages[2], 1);
	KUNIT_EXPECT_EQ(test, bsa_percpu_kept_pages(heap, -1), 2);
	bsa_heap_free_pages(heap, pages[3], 1);
}

/* Counts. */

static void heap_counts_allocations_and_frees(struct kunit *test)
{
	struct bsa_section_info section;
	struct bsa_heap *heap = region_heap(test, 64, &section);
	void *objects[5], *block, *pages;
	struct bsa_stats stats;

	get_many(test, heap, 64, 5, objects);
	block = get(test, heap, PAGE_SIZE + 1, 1);
	pages = get_pages(test, heap, 3);
	stats = bsa_test_stats(heap);
	KUNIT_EXPECT_EQ(test, stats.sections, 1);
	KUNIT_EXPECT_EQ(test, stats.allocs, 7);
	KUNIT_EXPECT_EQ(test, stats.frees, 0);
	KUNIT_EXPECT_EQ(test, stats.live_objects, 5);
	KUNIT_EXPECT_EQ(test, stats.live_pages, 2 + 4);
	KUNIT_EXPECT_EQ(test, stats.allocated_bytes,
			(1 + bsa_test_bitmap_pages(64, 1) + 2 + 4) * PAGE_SIZE);
	bsa_test_expect_sums(test, heap);

	bsa_heap_free(heap, objects[2]);
	bsa_heap_free(heap, block);
	stats = bsa_test_stats(heap);
	KUNIT_EXPECT_EQ(test, stats.frees, 2);
	KUNIT_EXPECT_EQ(test, stats.live_objects, 4);
	KUNIT_EXPECT_EQ(test, stats.live_pages, 4);
	bsa_test_expect_sums(test, heap);

	objects[2] = NULL;
	bsa_test_give_back(heap, 5, objects);
	bsa_heap_free_pages(heap, pages, 3);
	stats = bsa_test_stats(heap);
	KUNIT_EXPECT_EQ(test, stats.allocs, 7);
	KUNIT_EXPECT_EQ(test, stats.frees, 7);
	KUNIT_EXPECT_EQ(test, stats.live_objects, 0);
	KUNIT_EXPECT_EQ(test, stats.live_pages, 0);
	KUNIT_EXPECT_EQ(test, stats.remote_frees, bsa_test_remote_frees(0, 5));
	KUNIT_EXPECT_EQ(test, stats.failures, 0);
}

static void heap_counts_remote_frees_and_drains(struct kunit *test)
{
	struct bsa_section_info section;
	struct bsa_heap *heap = region_heap(test, 64, &section);
	size_t nr = bsa_test_capacity(64);
	void **ptrs = bsa_test_array(test, nr), *ptr;
	struct bsa_stats stats;

	/* A full slab; another CPU frees ten of its objects. */
	get_many(test, heap, 64, nr, ptrs);
	bsa_test_set_cpu(test, 1);
	bsa_test_give_back(heap, 10, ptrs);
	stats = bsa_test_stats(heap);
	KUNIT_EXPECT_EQ(test, stats.remote_frees, 10);
	KUNIT_EXPECT_EQ(test, stats.frees, 10);
	KUNIT_EXPECT_EQ(test, stats.live_objects, nr - 10);
	KUNIT_EXPECT_EQ(test, stats.drains, 0);
	KUNIT_EXPECT_EQ(test, bsa_slab_nr_remote(bsa_page_of(ptrs[nr - 1])), 10);

	/* The owner takes all of them over at once. */
	bsa_test_set_cpu(test, 0);
	ptr = get(test, heap, 64, 1);
	stats = bsa_test_stats(heap);
	KUNIT_EXPECT_EQ(test, stats.drains, 1);
	KUNIT_EXPECT_EQ(test, stats.remote_frees, 10);
	KUNIT_EXPECT_EQ(test, stats.frees, 10);
	KUNIT_EXPECT_EQ(test, stats.live_objects, nr - 9);
	KUNIT_EXPECT_EQ(test, bsa_slab_nr_remote(bsa_page_of(ptrs[nr - 1])), 0);
	bsa_heap_free(heap, ptr);
	bsa_test_give_back(heap, nr - 10, ptrs + 10);
}

static void heap_counts_refills(struct kunit *test)
{
	struct bsa_section_info section;
	struct bsa_heap *heap = region_heap(test, 64, &section);
	size_t nr = bsa_test_capacity(64);
	void **ptrs = bsa_test_array(test, 2 * nr + 1);

	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).refills, 0);
	get_many(test, heap, 64, nr, ptrs);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).refills, 1);
	get_many(test, heap, 64, 1, ptrs + nr);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).refills, 2);
	get_many(test, heap, 64, nr, ptrs + nr + 1);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).refills, 3);
	bsa_test_give_back(heap, 2 * nr + 1, ptrs);
}

static void heap_counts_failures(struct kunit *test)
{
	struct bsa_heap *heap = bsa_test_heap_of_one_block(test, 6);
	void **pages = bsa_test_array(test, 65);
	size_t nr;

	KUNIT_EXPECT_NULL(test, bsa_heap_alloc(heap, 64 * PAGE_SIZE + 1,
					       BSA_TEST_GFP));
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).failures, 1);
	nr = bsa_test_take_pages(heap, pages);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).failures, 2);
	KUNIT_EXPECT_NULL(test, bsa_heap_alloc(heap, 8, BSA_TEST_GFP));
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).failures, 3);
	bsa_test_give_back(heap, nr, pages);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).failures, 3);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).allocs, 64);
}

/* Pages. */

static void heap_page_free_of_another_count_is_refused(struct kunit *test)
{
	static const unsigned long wrong[] = { 0, 1, 2, 4, 5, 8, ULONG_MAX };
	struct bsa_heap *heap = bsa_test_heap_of_one_block(test, 6);
	void *pages = get_pages(test, heap, 3);
	int i;

	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		bsa_heap_free_pages(heap, pages, wrong[i]);
		KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).refused_frees, i + 1);
	}
	KUNIT_EXPECT_EQ(test, bsa_heap_nr_free_pages(heap), 60);
	bsa_heap_free_pages(heap, pages, 3);
	KUNIT_EXPECT_EQ(test, bsa_heap_nr_free_pages(heap), 64);

	/* Either call frees pages, and one of them knows no count. */
	bsa_heap_free(heap, get_pages(test, heap, 4));
	KUNIT_EXPECT_EQ(test, bsa_heap_nr_free_pages(heap), 64);
	bsa_heap_free_pages(heap, get(test, heap, 4 * PAGE_SIZE, 1), 4);
	KUNIT_EXPECT_EQ(test, bsa_heap_nr_free_pages(heap), 64);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).frees, 3);
}

static void heap_lowmem_never_comes_from_high_memory(struct kunit *test)
{
	size_t size = 64 * PAGE_SIZE;
	void *high = bsa_test_high_memory(test, size);
	void *low = bsa_test_low_memory(test, size);
	struct bsa_heap *heap = bsa_test_heap_in(test, high, size);
	struct bsa_section_info section;
	void *a, *b;

	/* The high section comes first and is free. */
	KUNIT_EXPECT_NULL(test, bsa_heap_alloc_pages_lowmem(heap, 1, PAGE_SIZE,
							    BSA_TEST_GFP));
	KUNIT_ASSERT_EQ(test, bsa_heap_add_region(heap, low, size), 0);
	KUNIT_ASSERT_EQ(test, bsa_heap_section(heap, 1, &section), 0);
	KUNIT_EXPECT_TRUE(test, section.low);
	a = bsa_heap_alloc_pages_lowmem(heap, 2, PAGE_SIZE, BSA_TEST_GFP |
					__GFP_ZERO);
	b = get_pages(test, heap, 2);
	KUNIT_EXPECT_TRUE(test, bsa_test_in_section(&section, a));
	KUNIT_EXPECT_FALSE(test, bsa_test_in_section(&section, b));
	KUNIT_EXPECT_TRUE(test, bsa_test_all_bytes(a, 0, 2 * PAGE_SIZE));
	bsa_heap_free_pages(heap, a, 2);
	bsa_heap_free_pages(heap, b, 2);
}

static void heap_metadata_is_never_handed_out(struct kunit *test)
{
	struct bsa_section_info info[2];
	struct bsa_heap *heap = region_heap(test, 64, &info[0]);
	void **pages = bsa_test_array(test, 256);
	size_t i, nr;

	add_region(test, heap, 128, &info[1]);
	nr = bsa_test_take_pages(heap, pages);
	KUNIT_EXPECT_EQ(test, nr, info[0].total_pages + info[1].total_pages);
	for (i = 0; i < nr; i++) {
		KUNIT_EXPECT_TRUE(test, bsa_test_in_section(&info[0],
							    pages[i]) ||
				  bsa_test_in_section(&info[1], pages[i]));
		memset(pages[i], 0xff, PAGE_SIZE);
	}
	bsa_test_expect_sums(test, heap);
	bsa_test_give_back(heap, nr, pages);
	KUNIT_EXPECT_EQ(test, bsa_heap_allocated_bytes(heap), 0);
}

/* Regions and heaps. */

static void heap_region_meta_size_is_enough(struct kunit *test)
{
	static const u16 pages[] = { 1, 5, 16, 64, 256, 512 };
	struct bsa_heap *heap = bsa_test_heap(test, 0);
	struct bsa_section_info info;
	size_t size;
	int i;

	for (i = 0; i < ARRAY_SIZE(pages); i++) {
		size = pages[i] * PAGE_SIZE;
		add_region(test, heap, pages[i] + PFN_UP(bsa_region_meta_size(size)),
			   &info);
		KUNIT_EXPECT_GE(test, info.size, size);
	}
	/* At most two percent where it matters; more with long cache lines. */
	if (sizeof(struct bsa_page) <= PAGE_SIZE / 64)
		KUNIT_EXPECT_LE(test, bsa_region_meta_size(SZ_64M) * 50, SZ_64M);
}

static void heap_regions_have_one_owner(struct kunit *test)
{
	struct bsa_section_info section, taken;
	struct bsa_heap *heap = region_heap(test, 64, &taken);
	struct bsa_heap *other = region_heap(test, 64, &section);

	/* Neither another private heap's memory nor that of the default one. */
	KUNIT_EXPECT_EQ(test, bsa_heap_add_region(other, (void *)taken.start,
						  taken.size), -EEXIST);
	KUNIT_EXPECT_EQ(test, bsa_heap_add_region(NULL, (void *)taken.start,
						  taken.size), -EEXIST);
	KUNIT_ASSERT_EQ(test, bsa_heap_section(NULL, 0, &section), 0);
	KUNIT_EXPECT_EQ(test, bsa_heap_add_region(heap, (void *)section.start,
						  PAGE_SIZE * 16), -EEXIST);
	KUNIT_EXPECT_EQ(test, bsa_heap_nr_sections(heap), 1);
	KUNIT_EXPECT_EQ(test, bsa_heap_nr_sections(other), 1);
}

static void heap_refuses_unusable_regions(struct kunit *test)
{
	size_t size = 16 * PAGE_SIZE;
	void *mem = bsa_test_memory(test, size, GFP_KERNEL);
	struct bsa_heap *heap = bsa_test_heap(test, 0);

	KUNIT_EXPECT_EQ(test, bsa_heap_add_region(heap, NULL, size), -EINVAL);
	KUNIT_EXPECT_EQ(test, bsa_heap_add_region(heap, mem, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, bsa_heap_add_region(heap, mem, SIZE_MAX),
			-EINVAL);
	if (PAGE_OFFSET > SZ_64K)
		KUNIT_EXPECT_EQ(test, bsa_heap_add_region(heap, (void *)SZ_64K,
							  size), -EINVAL);
	KUNIT_EXPECT_EQ(test, bsa_heap_nr_sections(heap), 0);
}

static void heap_without_a_section_has_no_memory(struct kunit *test)
{
	struct bsa_heap *heap = bsa_test_heap(test, 0);
	struct bsa_section_info info;

	KUNIT_EXPECT_EQ(test, bsa_heap_nr_sections(heap), 0);
	KUNIT_EXPECT_EQ(test, bsa_heap_managed_bytes(heap), 0);
	KUNIT_EXPECT_EQ(test, bsa_heap_section(heap, 0, &info), -EINVAL);
	KUNIT_EXPECT_NULL(test, bsa_heap_alloc(heap, 8, BSA_TEST_GFP));
	KUNIT_EXPECT_NULL(test, bsa_heap_alloc(heap, 8192, BSA_TEST_GFP));
	KUNIT_EXPECT_NULL(test, bsa_heap_alloc_pages_lowmem(heap, 1, 1,
							    BSA_TEST_GFP));
}

static void heap_reserves_what_it_is_told_to(struct kunit *test)
{
	struct bsa_heap *heap = bsa_test_heap(test, SZ_16M);
	void *ptr;

	/* Less two or three percent of metadata. */
	KUNIT_EXPECT_GE(test, bsa_heap_managed_bytes(heap), SZ_16M / 100 * 97);
	KUNIT_EXPECT_LE(test, bsa_heap_managed_bytes(heap), SZ_16M + SZ_1M);
	KUNIT_EXPECT_EQ(test, bsa_heap_allocated_bytes(heap), 0);
	ptr = get(test, heap, SZ_1M, 1);
	memset(ptr, 0xff, SZ_1M);
	bsa_heap_free(heap, ptr);
}

static void heap_refuses_bad_names(struct kunit *test)
{
	char too_long[BSA_NAME_LEN + 1], longest[BSA_NAME_LEN];
	static const char * const bad[] = { "", "a/b", "/", ".", ".." };
	struct bsa_heap *heap;
	int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		KUNIT_EXPECT_PTR_EQ(test, bsa_heap_create(bad[i], 0,
							  NUMA_NO_NODE),
				    (struct bsa_heap *)ERR_PTR(-EINVAL));
	KUNIT_EXPECT_PTR_EQ(test, bsa_heap_create(NULL, 0, NUMA_NO_NODE),
			    (struct bsa_heap *)ERR_PTR(-EINVAL));
	memset(too_long, 'x', sizeof(too_long));
	too_long[BSA_NAME_LEN] = 0;
	KUNIT_EXPECT_PTR_EQ(test, bsa_heap_create(too_long, 0, NUMA_NO_NODE),
			    (struct bsa_heap *)ERR_PTR(-EINVAL));

	memset(longest, 'x', sizeof(longest));
	longest[BSA_NAME_LEN - 1] = 0;
	heap = bsa_heap_create(longest, 0, NUMA_NO_NODE);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	bsa_test_adopt_heap(test, heap);
}

static void heap_names_are_unique(struct kunit *test)
{
	struct bsa_heap *heap;

	heap = bsa_heap_create("twice", 0, NUMA_NO_NODE);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	bsa_test_adopt_heap(test, heap);
	KUNIT_EXPECT_PTR_EQ(test, bsa_heap_create("twice", 0, NUMA_NO_NODE),
			    (struct bsa_heap *)ERR_PTR(-EEXIST));
	KUNIT_EXPECT_PTR_EQ(test, bsa_heap_create("default", 0, NUMA_NO_NODE),
			    (struct bsa_heap *)ERR_PTR(-EEXIST));

	/* A name is free again when its heap is gone. */
	KUNIT_ASSERT_EQ(test, bsa_test_destroy_heap(test, heap), 0);
	heap = bsa_heap_create("twice", 0, NUMA_NO_NODE);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	bsa_test_adopt_heap(test, heap);
}

static void heap_more_than_there_is_cannot_be_reserved(struct kunit *test)
{
	size_t all = totalram_pages() << PAGE_SHIFT;

	KUNIT_EXPECT_PTR_EQ(test, bsa_heap_create("huge", SIZE_MAX,
						  NUMA_NO_NODE),
			    (struct bsa_heap *)ERR_PTR(-EINVAL));
	KUNIT_EXPECT_PTR_EQ(test, bsa_heap_create("huge", all + PAGE_SIZE,
						  NUMA_NO_NODE),
			    (struct bsa_heap *)ERR_PTR(-EINVAL));
	/* All of it is a size that makes sense, but some is in use. */
	KUNIT_EXPECT_PTR_EQ(test, bsa_heap_create("huge", all, NUMA_NO_NODE),
			    (struct bsa_heap *)ERR_PTR(-ENOMEM));
}

#ifdef CONFIG_FAULT_INJECTION
/* The kernel's memory ends at each step. What it keeps for CPUs is not missing. */
static void heap_that_cannot_be_created_takes_nothing(struct kunit *test)
{
	unsigned int left, nth = 0, failed = 0;
	long before = bsa_test_free_memory();
	struct bsa_heap *heap;

	do {
		bsa_test_fail_from(++nth);
		heap = bsa_heap_create("fail", SZ_64M, NUMA_NO_NODE);
		left = bsa_test_fail_from(0);
		if (IS_ERR(heap)) {
			KUNIT_EXPECT_EQ(test, PTR_ERR(heap), -ENOMEM);
			failed++;
		} else {
			KUNIT_EXPECT_EQ(test, bsa_heap_destroy(heap), 0);
		}
	} while (!left);
	KUNIT_EXPECT_GE(test, failed, 2);
	KUNIT_EXPECT_GT(test, bsa_test_free_memory(), before - PFN_DOWN(SZ_32M));
}
#endif

static void heap_refuses_bad_nodes(struct kunit *test)
{
	KUNIT_EXPECT_PTR_EQ(test, bsa_heap_create("node", 0, -2),
			    (struct bsa_heap *)ERR_PTR(-EINVAL));
	KUNIT_EXPECT_PTR_EQ(test, bsa_heap_create("node", 0, nr_node_ids),
			    (struct bsa_heap *)ERR_PTR(-EINVAL));
	KUNIT_EXPECT_PTR_EQ(test, bsa_heap_create("node", 0, INT_MAX),
			    (struct bsa_heap *)ERR_PTR(-EINVAL));
}

static void heap_with_live_objects_is_not_destroyed(struct kunit *test)
{
	struct bsa_section_info section;
	struct bsa_heap *heap = region_heap(test, 64, &section);
	void *object = get(test, heap, 100, 1);
	void *block = get(test, heap, 10000, 1);
	struct bsa_stats stats;

	memset(object, 0x5a, 100);
	memset(block, 0x5a, 10000);
	KUNIT_EXPECT_EQ(test, bsa_heap_destroy(heap), -EBUSY);
	bsa_heap_free(heap, block);
	KUNIT_EXPECT_EQ(test, bsa_heap_destroy(heap), -EBUSY);

	/* Nothing is lost, and the heap goes on. */
	KUNIT_EXPECT_TRUE(test, bsa_test_all_bytes(object, 0x5a, 100));
	stats = bsa_test_stats(heap);
	KUNIT_EXPECT_EQ(test, stats.live_objects, 1);
	KUNIT_EXPECT_EQ(test, stats.managed_bytes, section.size);
	bsa_test_expect_sums(test, heap);
	block = get(test, heap, 10000, 1);
	bsa_heap_free(heap, object);
	KUNIT_EXPECT_EQ(test, bsa_heap_destroy(heap), -EBUSY);
	bsa_heap_free(heap, block);
	KUNIT_EXPECT_EQ(test, bsa_test_destroy_heap(test, heap), 0);
}

static void heap_with_undrained_frees_is_destroyed(struct kunit *test)
{
	struct bsa_section_info section;
	struct bsa_heap *heap = region_heap(test, 64, &section);
	void *ptrs[100];

	/* All objects were freed, but their owner has not noticed. */
	get_many(test, heap, 64, ARRAY_SIZE(ptrs), ptrs);
	bsa_test_set_cpu(test, 1);
	bsa_test_give_back(heap, ARRAY_SIZE(ptrs), ptrs);
	KUNIT_EXPECT_EQ(test, bsa_test_destroy_heap(test, heap), 0);
}

static void heap_memory_is_usable_after_the_heap(struct kunit *test)
{
	size_t size = 64 * PAGE_SIZE;
	void *mem = bsa_test_memory(test, size, GFP_KERNEL);
	struct bsa_heap *heap;
	void *ptr;
	int i;

	/* The same region, in one heap after the other. */
	for (i = 0; i < 5; i++) {
		heap = bsa_test_heap_in(test, mem, size);
		ptr = get(test, heap, 100, 1);
		KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).allocs, 1);
		bsa_heap_free(heap, ptr);
		KUNIT_ASSERT_EQ(test, bsa_test_destroy_heap(test, heap), 0);
		memset(mem, 0xff, size);
	}
}

static void heap_private_heaps_share_nothing(struct kunit *test)
{
	struct bsa_section_info section[2];
	struct bsa_heap *heap[2];
	void *objects[2], *pages[2];
	int i;

	for (i = 0; i < 2; i++)
		heap[i] = region_heap(test, 64, &section[i]);
	for (i = 0; i < 2; i++) {
		objects[i] = get(test, heap[i], 64, 1);
		pages[i] = get_pages(test, heap[i], 1);
		KUNIT_EXPECT_TRUE(test, bsa_test_in_section(&section[i],
							    objects[i]));
		KUNIT_EXPECT_TRUE(test, bsa_test_in_section(&section[i],
							    pages[i]));
		KUNIT_EXPECT_EQ(test, bsa_test_stats(heap[i]).allocs, 2);
	}
	for (i = 0; i < 2; i++) {
		bsa_heap_free(heap[i], objects[i]);
		bsa_heap_free(heap[i], pages[i]);
	}
}

/* Memory of which is recorded, line by line, which CPU changes it. */
struct watched {
	const void *start;
	size_t size;
	void *copy;
	unsigned long *changed[2];
};

/* Which line of the memory, the first being 0, has the byte at this offset? */
static size_t line_of(const struct watched *w, size_t at)
{
	return ((unsigned long)w->start + at) / SMP_CACHE_BYTES -
	       (unsigned long)w->start / SMP_CACHE_BYTES;
}

static size_t nr_lines(const struct watched *w)
{
	return line_of(w, w->size - 1) + 1;
}

static void watch(struct kunit *test, struct watched *w, const void *start,
		  size_t size)
{
	int cpu;

	w->size = size;
	w->start = start;
	w->copy = kunit_kzalloc(test, w->size, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, w->copy);
	for (cpu = 0; cpu < 2; cpu++) {
		w->changed[cpu] = kunit_kcalloc(test,
						BITS_TO_LONGS(nr_lines(w)),
						sizeof(long), GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, w->changed[cpu]);
	}
}

/* Record what is not as it was the last time; return in how many lines. */
static unsigned int record_changes(struct watched *w, size_t nr, int cpu)
{
	unsigned int lines = 0;
	size_t at, size;

	for (; nr--; w++) {
		for (at = 0; at < w->size; at += size) {
			size = SMP_CACHE_BYTES -
			       ((unsigned long)w->start + at) % SMP_CACHE_BYTES;
			size = min(size, w->size - at);
			if (!memcmp(w->copy + at, w->start + at, size))
				continue;
			memcpy(w->copy + at, w->start + at, size);
			__set_bit(line_of(w, at), w->changed[cpu]);
			lines++;
		}
	}
	return lines;
}

/* Two CPUs in turn allocate and free something of each kind. */
static void record_calls(struct kunit *test, struct bsa_heap *heap,
			 struct watched *w, size_t nr)
{
	int cpu, class;
	void *ptr;
	size_t i;

	record_changes(w, nr, 0);
	for (i = 0; i < nr; i++)
		for (cpu = 0; cpu < 2; cpu++)
			bitmap_zero(w[i].changed[cpu], nr_lines(&w[i]));

	for (cpu = 0; cpu < 2; cpu++) {
		bsa_test_set_cpu(test, cpu);
		for (class = 0; class < BSA_ALL_CLASSES; class++) {
			ptr = get(test, heap, bsa_class_size(class), 1);
			KUNIT_EXPECT_GT(test, record_changes(w, nr, cpu), 0);
			bsa_heap_free(heap, ptr);
			KUNIT_EXPECT_GT(test, record_changes(w, nr, cpu), 0);
		}
		ptr = get_pages(test, heap, 1);
		KUNIT_EXPECT_GT(test, record_changes(w, nr, cpu), 0);
		bsa_heap_free_pages(heap, ptr, 1);
		KUNIT_EXPECT_GT(test, record_changes(w, nr, cpu), 0);
	}
}

/* Return the number of the first that has a line which both CPUs changed, or -1. */
static int changed_by_both(const struct watched *w, size_t nr)
{
	size_t i;

	for (i = 0; i < nr; i++)
		if (bitmap_intersects(w[i].changed[0], w[i].changed[1],
				      nr_lines(&w[i])))
			return i;
	return -1;
}

/*
 * All that the allocator knows is watched: the heap, each CPU's part of it, the
 * descriptors and the bitmaps. Who reads debugfs meanwhile takes the heap's lock,
 * which then seems to be taken by both CPUs; but that is seldom.
 */
static void heap_cpus_write_no_cache_line_in_common(struct kunit *test)
{
	struct bsa_section_info section;
	struct bsa_heap *heap = region_heap(test, 256, &section);
	void *warm[2][BSA_ALL_CLASSES], *ptr;
	struct watched w[5];
	unsigned long *bitmap;
	int cpu, class, i;

	for (cpu = 0; cpu < 2; cpu++) {
		bsa_test_set_cpu(test, cpu);
		for (class = 0; class < BSA_ALL_CLASSES; class++)
			warm[cpu][class] = get(test, heap, bsa_class_size(class), 1);
		bsa_heap_free_pages(heap, get_pages(test, heap, 1), 1);
	}
	bitmap = bsa_page_of(warm[0][0])->free;
	for (i = 0; i < 2 * BSA_ALL_CLASSES; i++) {
		struct bsa_page *slab = bsa_page_of(warm[i % 2][i / 2]);

		if (slab->free == &slab->free0)
			continue;
		KUNIT_ASSERT_EQ(test, PFN_DOWN((unsigned long)slab->free),
				PFN_DOWN((unsigned long)bitmap));
		/* Allocations read the remote words, too. */
		KUNIT_EXPECT_TRUE(test, bsa_test_is_aligned(slab->free,
							    SMP_CACHE_BYTES));
	}

	watch(test, &w[0], heap, sizeof(*heap));
	watch(test, &w[1], per_cpu_ptr(heap->cpu, 0), sizeof(struct bsa_cpu));
	watch(test, &w[2], per_cpu_ptr(heap->cpu, 1), sizeof(struct bsa_cpu));
	watch(test, &w[3], (void *)((unsigned long)bitmap & PAGE_MASK), PAGE_SIZE);
	ptr = bsa_page_of((void *)section.start);
	watch(test, &w[4], ptr, (section.size >> PAGE_SHIFT) * sizeof(struct bsa_page));
	for (i = 0; i < 10; i++) {
		record_calls(test, heap, w, ARRAY_SIZE(w));
		if (changed_by_both(w, ARRAY_SIZE(w)) < 0)
			break;
	}
	KUNIT_EXPECT_EQ(test, changed_by_both(w, ARRAY_SIZE(w)), -1);
	bsa_test_give_back(heap, 2 * BSA_ALL_CLASSES, &warm[0][0]);
}

/* The default heap. */

static void default_heap_serves_every_call(struct kunit *test)
{
	void *ptrs[8];
	u8 *ptr;

	ptr = bsa_alloc(100, BSA_TEST_GFP);
	KUNIT_ASSERT_NOT_NULL(test, ptr);
	KUNIT_EXPECT_EQ(test, bsa_size(ptr), 100);
	fill_pattern(ptr, 100);
	ptr = bsa_realloc(ptr, 3000, BSA_TEST_GFP);
	KUNIT_ASSERT_NOT_NULL(test, ptr);
	KUNIT_EXPECT_TRUE(test, has_pattern(ptr, 100));
	KUNIT_EXPECT_EQ(test, bsa_size(ptr), 3000);
	memset(ptr, 0xff, 3000);
	bsa_free(ptr);

	ptr = bsa_alloc_aligned(24, 256, BSA_TEST_GFP);
	KUNIT_EXPECT_TRUE(test, ptr && bsa_test_is_aligned(ptr, 256));
	bsa_free(ptr);
	ptr = bsa_zalloc(3000, BSA_TEST_GFP);
	KUNIT_EXPECT_TRUE(test, ptr && bsa_test_all_bytes(ptr, 0, 3000));
	bsa_free(ptr);
	ptr = bsa_calloc(10, 30, BSA_TEST_GFP);
	KUNIT_EXPECT_TRUE(test, ptr && bsa_test_all_bytes(ptr, 0, 300));
	bsa_free(ptr);

	KUNIT_EXPECT_EQ(test, bsa_alloc_bulk(40, BSA_TEST_GFP, 8, ptrs), 8);
	bsa_free_bulk(8, ptrs);

	ptr = bsa_alloc_pages(4, 8 * PAGE_SIZE, BSA_TEST_GFP);
	KUNIT_EXPECT_TRUE(test, ptr && bsa_test_is_aligned(ptr, 8 * PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, bsa_size(ptr), 4 * PAGE_SIZE);
	bsa_free_pages(ptr, 4);
	/* Where the default heap lies is up to the kernel. */
	ptr = bsa_alloc_pages_lowmem(1, PAGE_SIZE, BSA_TEST_GFP);
	KUNIT_EXPECT_TRUE(test, !ptr || virt_to_phys(ptr) < SZ_4G);
	if (ptr)
		bsa_free_pages(ptr, 1);
}

static void default_heap_is_the_null_heap(struct kunit *test)
{
	struct bsa_stats before = bsa_test_stats(NULL), after;
	void *ptr = get(test, NULL, 64, 1);

	after = bsa_test_stats(NULL);
	KUNIT_EXPECT_EQ(test, after.allocs, before.allocs + 1);
	KUNIT_EXPECT_EQ(test, after.live_objects, before.live_objects + 1);
	KUNIT_EXPECT_EQ(test, bsa_heap_size(NULL, ptr), 64);
	bsa_free(ptr);
	ptr = bsa_alloc(64, BSA_TEST_GFP);
	KUNIT_EXPECT_NOT_NULL(test, ptr);
	bsa_heap_free(NULL, ptr);
	after = bsa_test_stats(NULL);
	KUNIT_EXPECT_EQ(test, after.frees, before.frees + 2);
	KUNIT_EXPECT_EQ(test, after.refused_frees, before.refused_frees);
	KUNIT_EXPECT_GT(test, bsa_heap_nr_sections(NULL), 0);
}

static void default_heap_is_not_destroyed(struct kunit *test)
{
	unsigned long pages = bsa_heap_nr_pages(NULL);

	KUNIT_EXPECT_EQ(test, bsa_heap_destroy(NULL), -EINVAL);
	KUNIT_EXPECT_EQ(test, bsa_heap_nr_pages(NULL), pages);
	bsa_heap_free(NULL, get(test, NULL, 64, 1));
}

static struct kunit_case bsa_heap_cases[] = {
	KUNIT_CASE(global_page_alloc),
	KUNIT_CASE(global_small_alloc),
	KUNIT_CASE(global_large_alloc),
	KUNIT_CASE(global_mixed_alloc),
	KUNIT_CASE(global_cross_cpu_free),
	KUNIT_CASE(global_cross_cpu_free_drains_remote_queue),
	KUNIT_CASE(global_cross_cpu_free_multiple_rounds_same_slab),
	KUNIT_CASE(global_small_object_churn_then_large_alloc),
	KUNIT_CASE(global_cross_cpu_free_all_objects_recovers_backend_pages),
	KUNIT_CASE(global_lowmem_fragmentation_recovery),
	KUNIT_CASE(global_lowmem_pages),
	KUNIT_CASE(global_unaligned_region_start),
	KUNIT_CASE(global_rejects_region_without_one_managed_page),
	KUNIT_CASE(global_add_region_after_init_expands_capacity),
	KUNIT_CASE(global_add_region_supports_discontiguous_regions),
	KUNIT_CASE(global_large_alloc_can_come_from_added_region),
	KUNIT_CASE(global_managed_section_queries_report_all_sections),
	KUNIT_CASE(global_add_region_overlap_rejected),
	KUNIT_CASE(global_managed_bytes_matches_all_sections),
	KUNIT_CASE(global_allocated_bytes_changes_with_large_alloc),
	KUNIT_CASE(global_allocated_bytes_reflects_slab_pages),
	KUNIT_CASE(global_allocated_bytes_not_zero_until_cached_empty_slab_released),

	KUNIT_CASE(heap_size_zero_gives_zero_size_ptr),
	KUNIT_CASE(heap_serves_every_size_at_its_edges),
	KUNIT_CASE(heap_largest_object_and_smallest_block),
	KUNIT_CASE(heap_power_of_two_sizes_are_aligned_to_themselves),
	KUNIT_CASE(heap_serves_every_alignment),
	KUNIT_CASE(heap_alignment_beyond_the_size_takes_a_larger_class),
	KUNIT_CASE(heap_refuses_senseless_requests),
	KUNIT_CASE(heap_largest_block_is_the_whole_section),

	KUNIT_CASE(heap_zeroes_dirty_memory),
	KUNIT_CASE(heap_zeroes_pages_arrays_and_bulks),
	KUNIT_CASE(heap_calloc_refuses_a_product_that_overflows),
	KUNIT_CASE(heap_realloc_keeps_contents_in_both_directions),
	KUNIT_CASE(heap_realloc_of_nothing_allocates),
	KUNIT_CASE(heap_realloc_to_nothing_frees),
	KUNIT_CASE(heap_realloc_that_fails_leaves_the_object_alone),
	KUNIT_CASE(heap_realloc_zeroes_what_it_adds),

	KUNIT_CASE(heap_bulk_gives_as_many_as_asked_for),
	KUNIT_CASE(heap_bulk_of_none_does_nothing),
	KUNIT_CASE(heap_bulk_succeeds_in_part),
	KUNIT_CASE(heap_bulk_free_takes_part_of_a_full_slab),
	KUNIT_CASE(heap_bulk_free_takes_objects_of_all_kinds),

	KUNIT_CASE(heap_exhausted_by_objects_recovers_every_page),
	KUNIT_CASE(heap_exhausted_by_pages_has_none_for_objects),
	KUNIT_CASE(heap_owner_finds_the_one_object_freed_elsewhere),
	KUNIT_CASE(heap_no_false_oom_after_frees_by_another_cpu),
	KUNIT_CASE(heap_no_false_oom_after_frees_by_the_owner),
	KUNIT_CASE(heap_no_false_oom_for_the_cpu_that_freed),
	KUNIT_CASE(heap_no_false_oom_for_the_owner_in_atomic_context),
	KUNIT_CASE(heap_no_false_oom_for_others_in_atomic_context),
	KUNIT_CASE(heap_no_false_oom_when_all_cpus_cache_all_classes),
	KUNIT_CASE(heap_no_false_oom_for_objects_of_another_class),
	KUNIT_CASE(heap_no_false_oom_for_objects_the_owner_has_free),
	KUNIT_CASE(heap_no_false_oom_for_objects_others_have_freed),

	KUNIT_CASE(heap_objects_belong_to_the_cpu_that_allocates),
	KUNIT_CASE(heap_does_not_grow_when_one_cpu_frees_for_another),
	KUNIT_CASE(heap_free_writes_nothing_into_the_object),
	KUNIT_CASE(heap_free_that_interrupts_is_a_remote_free),
	KUNIT_CASE(heap_frees_of_every_kind_may_interrupt),
	KUNIT_CASE(heap_allocation_that_interrupts_takes_a_shared_object),
	KUNIT_CASE(heap_shared_objects_freed_elsewhere_are_reused),
	KUNIT_CASE(heap_works_in_hard_interrupts),
	KUNIT_CASE(heap_works_with_interrupts_off),
#if defined(CONFIG_TRACEPOINTS) && !defined(CONFIG_DEBUG_KMEMLEAK)
	KUNIT_CASE(heap_calls_take_nothing_from_the_kernel),
#endif
	KUNIT_CASE(heap_loses_nothing_when_a_cpu_goes_offline),

	KUNIT_CASE(heap_keeps_as_many_blocks_as_it_has_lacked),
	KUNIT_CASE(heap_keeps_little_for_a_cpu_that_only_frees),
	KUNIT_CASE(heap_keeps_no_more_blocks_than_it_may),
	KUNIT_CASE(heap_counts_kept_pages_of_each_section),
	KUNIT_CASE(heap_blocks_kept_by_all_cpus_come_back),
	KUNIT_CASE(heap_blocks_kept_by_another_cpu_are_handed_out),
	KUNIT_CASE(heap_keeps_no_block_on_a_stack_in_use),

	KUNIT_CASE(heap_counts_allocations_and_frees),
	KUNIT_CASE(heap_counts_remote_frees_and_drains),
	KUNIT_CASE(heap_counts_refills),
	KUNIT_CASE(heap_counts_failures),

	KUNIT_CASE(heap_page_free_of_another_count_is_refused),
	KUNIT_CASE(heap_lowmem_never_comes_from_high_memory),
	KUNIT_CASE(heap_metadata_is_never_handed_out),

	KUNIT_CASE(heap_region_meta_size_is_enough),
	KUNIT_CASE(heap_regions_have_one_owner),
	KUNIT_CASE(heap_refuses_unusable_regions),
	KUNIT_CASE(heap_without_a_section_has_no_memory),
	KUNIT_CASE(heap_reserves_what_it_is_told_to),
	KUNIT_CASE(heap_refuses_bad_names),
	KUNIT_CASE(heap_names_are_unique),
	KUNIT_CASE(heap_more_than_there_is_cannot_be_reserved),
#ifdef CONFIG_FAULT_INJECTION
	KUNIT_CASE(heap_that_cannot_be_created_takes_nothing),
#endif
	KUNIT_CASE(heap_refuses_bad_nodes),
	KUNIT_CASE(heap_with_live_objects_is_not_destroyed),
	KUNIT_CASE(heap_with_undrained_frees_is_destroyed),
	KUNIT_CASE(heap_memory_is_usable_after_the_heap),
	KUNIT_CASE(heap_private_heaps_share_nothing),
	KUNIT_CASE(heap_cpus_write_no_cache_line_in_common),

	KUNIT_CASE(default_heap_serves_every_call),
	KUNIT_CASE(default_heap_is_the_null_heap),
	KUNIT_CASE(default_heap_is_not_destroyed),
	{}
};

struct kunit_suite bsa_heap_suite = {
	.name = "bsa_heap",
	.init = bsa_test_init,
	.exit = bsa_test_exit,
	.test_cases = bsa_heap_cases,
};
