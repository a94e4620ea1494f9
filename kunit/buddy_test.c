// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of buddy.c: sections and pages, without slabs and without heaps
 */
#include "test_util.h"

#include <linux/bitmap.h>
#include <linux/io.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include <linux/sched/task.h>
#include <linux/sizes.h>
#include <linux/sort.h>
#include <linux/vmalloc.h>

static void *alloc(struct bsa_buddy *buddy, unsigned long nr, size_t align)
{
	return bsa_buddy_alloc_pages(buddy, nr, align, false);
}

static void *alloc_low(struct bsa_buddy *buddy, unsigned long nr)
{
	return bsa_buddy_alloc_pages(buddy, nr, PAGE_SIZE, true);
}

/* Allocate what must be there. */
static void *get(struct kunit *test, struct bsa_buddy *buddy, unsigned long nr,
		 size_t align)
{
	void *addr = alloc(buddy, nr, align);

	KUNIT_ASSERT_NOT_NULL(test, addr);
	return addr;
}

/* Free what must be live. */
static void put(struct kunit *test, struct bsa_buddy *buddy, void *addr)
{
	KUNIT_EXPECT_EQ(test, bsa_buddy_free_pages(buddy, addr), BSA_FREE_OK);
}

/* Allocate blocks until that fails. */
static size_t take_blocks(struct bsa_buddy *buddy, unsigned long nr,
			  size_t align, bool low, void **addrs)
{
	size_t i = 0;

	for (;;) {
		addrs[i] = bsa_buddy_alloc_pages(buddy, nr, align, low);
		if (!addrs[i])
			return i;
		i++;
	}
}

/* Allocate single pages until that fails, and forget them. */
static unsigned long use_up(struct bsa_buddy *buddy)
{
	unsigned long nr = 0;

	while (alloc(buddy, 1, PAGE_SIZE))
		nr++;
	return nr;
}

static int compare_addresses(const void *a, const void *b)
{
	unsigned long x = *(const unsigned long *)a;
	unsigned long y = *(const unsigned long *)b;

	return x < y ? -1 : x > y;
}

/* Ported: the behaviour that the module was started from. */

static void buddy_basic_alloc_dealloc(struct kunit *test)
{
	struct bsa_buddy *buddy = bsa_test_buddy(test);
	struct bsa_section_info section;
	unsigned long free_before;
	void *one, *four;

	bsa_test_add_section(test, buddy, 512, &section);
	one = get(test, buddy, 1, PAGE_SIZE);
	KUNIT_EXPECT_TRUE(test, bsa_test_in_section(&section, one));
	KUNIT_EXPECT_TRUE(test, bsa_test_is_aligned(one, PAGE_SIZE));
	four = get(test, buddy, 4, PAGE_SIZE);
	KUNIT_EXPECT_TRUE(test, bsa_test_in_section(&section, four));
	KUNIT_EXPECT_TRUE(test, bsa_test_is_aligned(four, PAGE_SIZE));

	free_before = buddy->free_pages;
	KUNIT_EXPECT_EQ(test, free_before, 512 - 5);
	put(test, buddy, one);
	put(test, buddy, four);
	KUNIT_EXPECT_EQ(test, buddy->free_pages, free_before + 5);
}

static void buddy_alignment(struct kunit *test)
{
	struct bsa_section_info section;
	struct bsa_buddy *buddy;
	void *two, *four;

	/* The section starts at a multiple of the largest alignment. */
	buddy = bsa_test_buddy_of_one_block(test, 8, &section);
	two = get(test, buddy, 1, 2 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, virt_to_phys(two) % (2 * PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, ((unsigned long)two - section.start) %
			(2 * PAGE_SIZE), 0);
	four = get(test, buddy, 1, 4 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, virt_to_phys(four) % (4 * PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, ((unsigned long)four - section.start) %
			(4 * PAGE_SIZE), 0);
	put(test, buddy, two);
	put(test, buddy, four);
}

static void buddy_aligned_alloc_dealloc_uses_recorded_order(struct kunit *test)
{
	struct bsa_buddy *buddy = bsa_test_buddy(test);
	struct bsa_section_info section;
	unsigned long free_before;
	void *addr;

	bsa_test_add_section(test, buddy, 64, &section);
	free_before = buddy->free_pages;
	addr = get(test, buddy, 4, 16 * PAGE_SIZE);
	put(test, buddy, addr);
	KUNIT_EXPECT_EQ(test, buddy->free_pages, free_before);
}

static void buddy_exhaust_and_recover(struct kunit *test)
{
	struct bsa_buddy *buddy = bsa_test_buddy(test);
	struct bsa_section_info section;
	size_t i, nr;
	void *addrs[65], *addr;

	bsa_test_add_section(test, buddy, 64, &section);
	nr = take_blocks(buddy, 1, PAGE_SIZE, false, addrs);
	KUNIT_ASSERT_EQ(test, nr, 64);
	KUNIT_EXPECT_EQ(test, buddy->free_pages, 0);

	for (i = 0; i < nr / 2; i++)
		put(test, buddy, addrs[i]);
	KUNIT_EXPECT_EQ(test, buddy->free_pages, 32);

	addr = get(test, buddy, 1, PAGE_SIZE);
	put(test, buddy, addr);
	for (; i < nr; i++)
		put(test, buddy, addrs[i]);
	KUNIT_EXPECT_EQ(test, buddy->free_pages, 64);
}

static void buddy_merge_coalescing(struct kunit *test)
{
	struct bsa_buddy *buddy = bsa_test_buddy(test);
	struct bsa_section_info section;
	unsigned long initial_free;
	void *a, *b;

	bsa_test_add_section(test, buddy, 16, &section);
	initial_free = buddy->free_pages;
	a = get(test, buddy, 1, PAGE_SIZE);
	b = get(test, buddy, 1, PAGE_SIZE);
	put(test, buddy, a);
	put(test, buddy, b);
	KUNIT_EXPECT_EQ(test, buddy->free_pages, initial_free);
}

static void
buddy_fragmentation_blocks_high_order_then_recovers(struct kunit *test)
{
	struct bsa_buddy *buddy = bsa_test_buddy(test);
	struct bsa_section_info section;
	void *addrs[33], *addr;
	size_t i, nr;

	bsa_test_add_section(test, buddy, 32, &section);
	nr = take_blocks(buddy, 1, PAGE_SIZE, false, addrs);
	KUNIT_ASSERT_EQ(test, nr, section.total_pages);

	/* Every other page by address: no two free pages are neighbours. */
	sort(addrs, nr, sizeof(addrs[0]), compare_addresses, NULL);
	for (i = 0; i < nr; i += 2)
		put(test, buddy, addrs[i]);
	KUNIT_EXPECT_EQ(test, buddy->free_pages, 16);
	KUNIT_EXPECT_NULL(test, alloc(buddy, 2, PAGE_SIZE));

	for (i = 1; i < nr; i += 2)
		put(test, buddy, addrs[i]);
	addr = get(test, buddy, 8, PAGE_SIZE);
	put(test, buddy, addr);
	KUNIT_EXPECT_EQ(test, buddy->free_pages, section.total_pages);
}

static void buddy_high_order_full_cycle_restores_free_pages(struct kunit *test)
{
	static const struct {
		unsigned long nr;
		size_t align;
	} requests[] = {
		{ 1, PAGE_SIZE },
		{ 2, 2 * PAGE_SIZE },
		{ 3, 4 * PAGE_SIZE },
		{ 8, 8 * PAGE_SIZE },
		{ 5, PAGE_SIZE },
		{ 16, 16 * PAGE_SIZE },
	};
	struct bsa_buddy *buddy = bsa_test_buddy(test);
	void *addrs[ARRAY_SIZE(requests)];
	struct bsa_section_info section;
	unsigned long initial_free;
	int i;

	bsa_test_add_section(test, buddy, 256, &section);
	initial_free = buddy->free_pages;
	for (i = 0; i < ARRAY_SIZE(requests); i++) {
		addrs[i] = get(test, buddy, requests[i].nr, requests[i].align);
		KUNIT_EXPECT_TRUE(test, bsa_test_is_aligned(addrs[i],
							    requests[i].align));
	}
	/* Rounded up to powers of two. */
	KUNIT_EXPECT_EQ(test, buddy->free_pages,
			initial_free - (1 + 2 + 4 + 8 + 8 + 16));

	while (i--)
		put(test, buddy, addrs[i]);
	KUNIT_EXPECT_EQ(test, buddy->free_pages, initial_free);
}

static void
buddy_add_region_enables_second_section_allocation(struct kunit *test)
{
	struct bsa_buddy *buddy = bsa_test_buddy(test);
	struct bsa_section_info first, second;
	void *addr;

	bsa_test_add_section(test, buddy, 32, &first);
	KUNIT_EXPECT_EQ(test, use_up(buddy), 32);
	KUNIT_EXPECT_EQ(test, buddy->free_pages, 0);

	bsa_test_add_section(test, buddy, 64, &second);
	KUNIT_EXPECT_EQ(test, buddy->nr_sections, 2);
	addr = get(test, buddy, 1, PAGE_SIZE);
	KUNIT_EXPECT_TRUE(test, bsa_test_in_section(&second, addr));
	KUNIT_EXPECT_FALSE(test, bsa_test_in_section(&first, addr));
}

static void buddy_add_region_overlap_rejected(struct kunit *test)
{
	struct bsa_buddy *buddy = bsa_test_buddy(test);
	size_t size = SZ_256K;
	void *start = bsa_test_memory(test, size, GFP_KERNEL);

	KUNIT_ASSERT_EQ(test, bsa_buddy_add_region(buddy, start, size), 0);
	KUNIT_EXPECT_EQ(test, bsa_buddy_add_region(buddy, start + 1, size - 1),
			-EEXIST);
	KUNIT_EXPECT_EQ(test, buddy->nr_sections, 1);
}

static void
buddy_alloc_pages_first_fit_by_registration_order(struct kunit *test)
{
	struct bsa_buddy *buddy = bsa_test_buddy(test);
	struct bsa_section_info first, second;

	bsa_test_add_section(test, buddy, 32, &first);
	bsa_test_add_section(test, buddy, 64, &second);
	KUNIT_EXPECT_TRUE(test, bsa_test_in_section(&first, get(test, buddy, 1,
								PAGE_SIZE)));
}

static void buddy_lowmem_scans_across_sections(struct kunit *test)
{
	struct bsa_buddy *buddy = bsa_test_buddy(test);
	struct bsa_section_info first, second;
	unsigned long nr = 0;
	void *addr;

	bsa_test_add_low_section(test, buddy, 16, &first);
	while (alloc_low(buddy, 1))
		nr++;
	KUNIT_EXPECT_EQ(test, nr, 16);

	bsa_test_add_low_section(test, buddy, 32, &second);
	addr = alloc_low(buddy, 1);
	KUNIT_ASSERT_NOT_NULL(test, addr);
	KUNIT_EXPECT_TRUE(test, bsa_test_in_section(&second, addr));
}

static void buddy_dealloc_pages_finds_correct_section(struct kunit *test)
{
	struct bsa_buddy *buddy = bsa_test_buddy(test);
	struct bsa_section_info first, second;
	unsigned long baseline;
	void *addr;

	bsa_test_add_section(test, buddy, 16, &first);
	use_up(buddy);
	bsa_test_add_section(test, buddy, 32, &second);
	baseline = buddy->free_pages;

	addr = get(test, buddy, 1, PAGE_SIZE);
	KUNIT_EXPECT_TRUE(test, bsa_test_in_section(&second, addr));
	put(test, buddy, addr);
	KUNIT_EXPECT_EQ(test, buddy->free_pages, baseline);
	KUNIT_ASSERT_EQ(test, bsa_buddy_section(buddy, 1, &second), 0);
	KUNIT_EXPECT_EQ(test, second.free_pages, 32);
}

static void buddy_total_and_free_pages_are_aggregated(struct kunit *test)
{
	struct bsa_buddy *buddy = bsa_test_buddy(test);
	struct bsa_section_info first, second;

	bsa_test_add_section(test, buddy, 16, &first);
	bsa_test_add_section(test, buddy, 32, &second);
	KUNIT_EXPECT_EQ(test, buddy->total_pages,
			first.total_pages + second.total_pages);
	KUNIT_EXPECT_EQ(test, buddy->free_pages,
			first.free_pages + second.free_pages);
	KUNIT_EXPECT_EQ(test, buddy->free_pages, 16 + 32);
}

static void buddy_managed_bytes_matches_all_sections(struct kunit *test)
{
	struct bsa_buddy *buddy = bsa_test_buddy(test);
	struct bsa_section_info first, second;

	bsa_test_add_section(test, buddy, 16, &first);
	bsa_test_add_section(test, buddy, 32, &second);
	KUNIT_EXPECT_EQ(test, bsa_buddy_managed_bytes(buddy),
			first.size + second.size);
	KUNIT_EXPECT_EQ(test, first.size + second.size, 48 * PAGE_SIZE);
}

static void
buddy_allocated_bytes_changes_with_page_alloc_free(struct kunit *test)
{
	struct bsa_buddy *buddy = bsa_test_buddy(test);
	struct bsa_section_info section;
	void *a, *b;

	bsa_test_add_section(test, buddy, 64, &section);
	KUNIT_EXPECT_EQ(test, bsa_buddy_allocated_bytes(buddy), 0);
	a = get(test, buddy, 1, PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, bsa_buddy_allocated_bytes(buddy), PAGE_SIZE);
	b = get(test, buddy, 4, PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, bsa_buddy_allocated_bytes(buddy), 5 * PAGE_SIZE);
	put(test, buddy, a);
	KUNIT_EXPECT_EQ(test, bsa_buddy_allocated_bytes(buddy), 4 * PAGE_SIZE);
	put(test, buddy, b);
	KUNIT_EXPECT_EQ(test, bsa_buddy_allocated_bytes(buddy), 0);
}

static void buddy_allocated_bytes_zero_when_all_free(struct kunit *test)
{
	struct bsa_buddy *buddy = bsa_test_buddy(test);
	struct bsa_section_info section;

	bsa_test_add_section(test, buddy, 32, &section);
	KUNIT_EXPECT_EQ(test, bsa_buddy_allocated_bytes(buddy), 0);
}

static void
buddy_allocated_bytes_aggregates_across_sections(struct kunit *test)
{
	struct bsa_buddy *buddy = bsa_test_buddy(test);
	struct bsa_section_info first, second;
	void *addr;

	bsa_test_add_section(test, buddy, 16, &first);
	use_up(buddy);
	bsa_test_add_section(test, buddy, 32, &second);

	addr = get(test, buddy, 8, PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, bsa_buddy_allocated_bytes(buddy), 24 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, bsa_buddy_allocated_bytes(buddy),
			bsa_buddy_managed_bytes(buddy) -
			buddy->free_pages * PAGE_SIZE);
	put(test, buddy, addr);
	KUNIT_EXPECT_EQ(test, bsa_buddy_allocated_bytes(buddy), 16 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, bsa_buddy_allocated_bytes(buddy),
			bsa_buddy_managed_bytes(buddy) -
			buddy->free_pages * PAGE_SIZE);
}

/* Regions. */

static void buddy_refuses_unusable_regions(struct kunit *test)
{
	struct bsa_buddy *buddy = bsa_test_buddy(test);
	size_t size = 16 * PAGE_SIZE;
	void *mem = bsa_test_memory(test, size, GFP_KERNEL);
	void *virt = vmalloc(size);

	KUNIT_EXPECT_EQ(test, bsa_buddy_add_region(buddy, NULL, size), -EINVAL);
	KUNIT_EXPECT_EQ(test, bsa_buddy_add_region(buddy, mem, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, bsa_buddy_add_region(buddy, mem, 1), -EINVAL);
	KUNIT_EXPECT_EQ(test, bsa_buddy_add_region(buddy, mem, PAGE_SIZE - 1),
			-EINVAL);
	/* Without a whole page inside. */
	KUNIT_EXPECT_EQ(test, bsa_buddy_add_region(buddy, mem + 1,
						   2 * PAGE_SIZE - 2), -EINVAL);
	/* All of it would be metadata. */
	KUNIT_EXPECT_EQ(test, bsa_buddy_add_region(buddy, mem, PAGE_SIZE),
			-EINVAL);
	/* Around the end of the address space. */
	KUNIT_EXPECT_EQ(test, bsa_buddy_add_region(buddy, mem, SIZE_MAX),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, bsa_buddy_add_region(buddy, mem,
						   -(unsigned long)mem),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, bsa_buddy_add_region(buddy, (void *)-size,
						   size - 1), -EINVAL);
	/* Not memory, or not in the linear mapping. */
	if (PAGE_OFFSET > SZ_4M)
		KUNIT_EXPECT_EQ(test, bsa_buddy_add_region(buddy, (void *)SZ_4M,
							   size), -EINVAL);
	KUNIT_EXPECT_EQ(test, bsa_buddy_add_region(buddy, high_memory, size),
			-EINVAL);
	/* The kernel's image, where it has addresses of its own. */
	if (!IS_ENABLED(CONFIG_UML) && !IS_ENABLED(CONFIG_S390))
		KUNIT_EXPECT_EQ(test, bsa_buddy_add_region(buddy, &init_task, size),
				-EINVAL);
	KUNIT_EXPECT_NOT_NULL(test, virt);
	if (virt)
		KUNIT_EXPECT_EQ(test, bsa_buddy_add_region(buddy, virt, size),
				-EINVAL);
	vfree(virt);

	KUNIT_EXPECT_EQ(test, buddy->nr_sections, 0);
	KUNIT_EXPECT_EQ(test, buddy->total_pages, 0);
	KUNIT_EXPECT_NULL(test, alloc(buddy, 1, PAGE_SIZE));
	/* And the memory is still good for a region. */
	KUNIT_EXPECT_EQ(test, bsa_buddy_add_region(buddy, mem, size), 0);
}

static void buddy_refuses_every_kind_of_overlap(struct kunit *test)
{
	struct bsa_buddy *buddy = bsa_test_buddy(test);
	struct bsa_buddy *other = bsa_test_buddy(test);
	size_t size = SZ_256K;
	void *mem = bsa_test_memory(test, 3 * size, GFP_KERNEL);
	void *mid = mem + size;
	unsigned long total;

	KUNIT_ASSERT_EQ(test, bsa_buddy_add_region(buddy, mid, size), 0);
	total = buddy->total_pages;

	/* The same, inside, around, over the start and over the end. */
	KUNIT_EXPECT_EQ(test, bsa_buddy_add_region(buddy, mid, size), -EEXIST);
	KUNIT_EXPECT_EQ(test, bsa_buddy_add_region(buddy, mid + size / 2,
						   size / 4), -EEXIST);
	KUNIT_EXPECT_EQ(test, bsa_buddy_add_region(buddy, mem, 3 * size),
			-EEXIST);
	KUNIT_EXPECT_EQ(test, bsa_buddy_add_region(buddy, mem,
						   size + PAGE_SIZE), -EEXIST);
	KUNIT_EXPECT_EQ(test, bsa_buddy_add_region(buddy,
						   mid + size - PAGE_SIZE,
						   size), -EEXIST);
	/* A region has one owner among all allocators. */
	KUNIT_EXPECT_EQ(test, bsa_buddy_add_region(other, mid, size), -EEXIST);
	KUNIT_EXPECT_EQ(test, other->nr_sections, 0);

	KUNIT_EXPECT_EQ(test, buddy->nr_sections, 1);
	KUNIT_EXPECT_EQ(test, buddy->total_pages, total);
	KUNIT_EXPECT_EQ(test, use_up(buddy), total);
}

static void buddy_adjacent_regions_stay_two_sections(struct kunit *test)
{
	struct bsa_buddy *buddy = bsa_test_buddy(test);
	struct bsa_section_info low, high;
	size_t size = SZ_256K;
	void *mem = bsa_test_memory(test, 2 * size, GFP_KERNEL);
	unsigned long total;

	/* The upper half first: both share one place of the page map. */
	KUNIT_ASSERT_EQ(test, bsa_buddy_add_region(buddy, mem + size, size), 0);
	KUNIT_ASSERT_EQ(test, bsa_buddy_add_region(buddy, mem, size), 0);
	KUNIT_ASSERT_EQ(test, bsa_buddy_section(buddy, 0, &high), 0);
	KUNIT_ASSERT_EQ(test, bsa_buddy_section(buddy, 1, &low), 0);
	KUNIT_EXPECT_EQ(test, low.start + low.size, (unsigned long)mem + size);
	KUNIT_EXPECT_GT(test, high.start, (unsigned long)mem + size);

	total = low.total_pages + high.total_pages;
	KUNIT_EXPECT_EQ(test, use_up(buddy), total);
	KUNIT_EXPECT_EQ(test, bsa_buddy_free_pages(buddy, (void *)low.start),
			BSA_FREE_OK);
	KUNIT_EXPECT_EQ(test, bsa_buddy_free_pages(buddy, (void *)high.start),
			BSA_FREE_OK);
	KUNIT_EXPECT_EQ(test, buddy->free_pages, 2);
}

static void buddy_neighbour_survives_when_a_region_goes(struct kunit *test)
{
	struct bsa_buddy *gone = bsa_test_buddy(test);
	struct bsa_buddy *stays = bsa_test_buddy(test);
	size_t size = SZ_512K;
	void *mem = bsa_test_memory(test, 2 * size, GFP_KERNEL);
	struct bsa_section_info info;
	void *held, *addr;

	/* Both lie in one place of the page map, which the first brought. */
	KUNIT_ASSERT_EQ(test, bsa_buddy_add_region(gone, mem, size), 0);
	KUNIT_ASSERT_EQ(test, bsa_buddy_add_region(stays, mem + size, size), 0);
	held = get(test, stays, 4, PAGE_SIZE);
	bsa_buddy_destroy(gone);

	KUNIT_EXPECT_EQ(test, bsa_page_of(mem + size / 2)->state,
			BSA_PAGE_NONE);
	put(test, stays, held);
	KUNIT_ASSERT_EQ(test, bsa_buddy_section(stays, 0, &info), 0);
	KUNIT_EXPECT_EQ(test, info.free_pages, info.total_pages);
	addr = get(test, stays, 1, PAGE_SIZE);
	KUNIT_EXPECT_TRUE(test, bsa_test_in_section(&info, addr));
	put(test, stays, addr);

	/* And the place that became free can be taken again. */
	KUNIT_EXPECT_EQ(test, bsa_buddy_add_region(stays, mem, size), 0);
}

static void buddy_trims_unaligned_ends_inward(struct kunit *test)
{
	static const struct {
		size_t cut_start, cut_end;
	} cuts[] = {
		{ 1, 0 }, { 0, 1 }, { 1, 1 }, { PAGE_SIZE - 1, 0 },
		{ 0, PAGE_SIZE - 1 }, { 64, PAGE_SIZE + 64 },
	};
	struct bsa_buddy *buddy = bsa_test_buddy(test);
	struct bsa_section_info info;
	unsigned long start, end;
	size_t size = 16 * PAGE_SIZE;
	void *mem;
	int i;

	for (i = 0; i < ARRAY_SIZE(cuts); i++) {
		mem = bsa_test_memory(test, size, GFP_KERNEL);
		start = (unsigned long)mem + cuts[i].cut_start;
		end = (unsigned long)mem + size - cuts[i].cut_end;
		KUNIT_ASSERT_EQ(test, bsa_buddy_add_region(buddy, (void *)start,
							   end - start), 0);
		KUNIT_ASSERT_EQ(test, bsa_buddy_section(buddy, i, &info), 0);
		KUNIT_EXPECT_EQ(test, info.start % PAGE_SIZE, 0);
		KUNIT_EXPECT_GT(test, info.start, start);
		KUNIT_EXPECT_EQ(test, info.start + info.size,
				end & PAGE_MASK);
	}
}

static void buddy_region_meta_size_is_enough(struct kunit *test)
{
	static const unsigned int sizes[] = {
		1, 2, 3, 4, 7, 8, 9, 31, 53, 54, 55, 56, 57, 63, 64, 65, 118,
		127, 128, 129, 255, 256, 257, 511, 512, 513, 700,
	};
	struct bsa_buddy *buddy = bsa_test_buddy(test);
	const struct bsa_range *range;
	struct bsa_section_info info;
	size_t bytes, region;
	void *mem;
	int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		bytes = sizes[i] * PAGE_SIZE;
		region = bytes + bsa_buddy_meta_size(bytes);
		KUNIT_EXPECT_EQ(test, region % PAGE_SIZE, 0);
		/* One page further on, so that alignment does not help. */
		mem = bsa_test_memory(test, region + PAGE_SIZE, GFP_KERNEL);
		KUNIT_ASSERT_EQ(test, bsa_buddy_add_region(buddy,
							   mem + PAGE_SIZE,
							   region), 0);
		KUNIT_ASSERT_EQ(test, bsa_buddy_section(buddy, i, &info), 0);
		KUNIT_EXPECT_GE(test, info.size, bytes);
		KUNIT_EXPECT_EQ(test, info.start + info.size,
				(unsigned long)mem + PAGE_SIZE + region);

		/* What is in the prefix ends before the first page. */
		range = &buddy->section[i]->range;
		KUNIT_EXPECT_LE(test, (unsigned long)(range->pages +
						      range->nr_pages),
				range->start);
	}
}

static void buddy_smallest_region_manages_one_page(struct kunit *test)
{
	struct bsa_buddy *buddy = bsa_test_buddy(test);
	size_t size, max = 16 * PAGE_SIZE;
	void *mem = bsa_test_memory(test, max, GFP_KERNEL);
	int err;

	/* Larger and larger, until there is room for metadata and a page. */
	for (size = PAGE_SIZE; size < max; size += PAGE_SIZE) {
		err = bsa_buddy_add_region(buddy, mem, size);
		if (!err)
			break;
		KUNIT_EXPECT_EQ(test, err, -EINVAL);
	}
	KUNIT_EXPECT_LE(test, size, PAGE_SIZE + bsa_buddy_meta_size(PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, buddy->total_pages, 1);
	KUNIT_EXPECT_EQ(test, use_up(buddy), 1);
}

static void buddy_metadata_takes_two_percent_of_64_mib(struct kunit *test)
{
	if (sizeof(struct bsa_page) > PAGE_SIZE / 64)
		kunit_skip(test, "a descriptor takes a cache line, and these are long");
	KUNIT_EXPECT_LE(test, bsa_buddy_meta_size(SZ_64M) * 50, SZ_64M);
}

static void buddy_metadata_is_never_handed_out(struct kunit *test)
{
	struct bsa_buddy *buddy = bsa_test_buddy(test);
	void **addrs = bsa_test_array(test, 257);
	struct bsa_section_info section;
	size_t i, nr;

	/* All pages are overwritten, and the allocator does not notice. */
	bsa_test_add_section(test, buddy, 256, &section);
	nr = take_blocks(buddy, 1, PAGE_SIZE, false, addrs);
	KUNIT_ASSERT_EQ(test, nr, 256);
	for (i = 0; i < nr; i++) {
		KUNIT_ASSERT_TRUE(test, bsa_test_in_section(&section,
							    addrs[i]));
		memset(addrs[i], 0xff, PAGE_SIZE);
	}
	for (i = 0; i < nr; i++)
		put(test, buddy, addrs[i]);
	KUNIT_EXPECT_EQ(test, buddy->free_pages, 256);
	for (i = 0; i < nr; i++)
		KUNIT_EXPECT_TRUE(test, bsa_test_all_freed_bytes(addrs[i], 0xff,
								 PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, use_up(buddy), 256);
}

static void buddy_section_out_of_range_is_refused(struct kunit *test)
{
	struct bsa_buddy *buddy = bsa_test_buddy(test);
	struct bsa_section_info info;

	KUNIT_EXPECT_EQ(test, bsa_buddy_section(buddy, 0, &info), -EINVAL);
	bsa_test_add_section(test, buddy, 16, &info);
	KUNIT_EXPECT_EQ(test, bsa_buddy_section(buddy, 0, &info), 0);
	KUNIT_EXPECT_EQ(test, bsa_buddy_section(buddy, 1, &info), -EINVAL);
	KUNIT_EXPECT_EQ(test, bsa_buddy_section(buddy, UINT_MAX, &info),
			-EINVAL);
}

static void buddy_section_info_describes_the_section(struct kunit *test)
{
	struct bsa_buddy *buddy = bsa_test_buddy(test);
	struct bsa_section_info low, high;

	bsa_test_add_low_section(test, buddy, 16, &low);
	bsa_test_add_high_section(test, buddy, 32, &high);
	get(test, buddy, 4, PAGE_SIZE);

	KUNIT_ASSERT_EQ(test, bsa_buddy_section(buddy, 0, &low), 0);
	KUNIT_EXPECT_EQ(test, low.phys, virt_to_phys((void *)low.start));
	KUNIT_EXPECT_EQ(test, low.size, 16 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, low.total_pages, 16);
	KUNIT_EXPECT_EQ(test, low.free_pages, 12);
	KUNIT_EXPECT_LE(test, low.phys + low.size, SZ_4G);

	KUNIT_ASSERT_EQ(test, bsa_buddy_section(buddy, 1, &high), 0);
	KUNIT_EXPECT_EQ(test, high.phys, virt_to_phys((void *)high.start));
	KUNIT_EXPECT_EQ(test, high.size, 32 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, high.total_pages, 32);
	KUNIT_EXPECT_EQ(test, high.free_pages, 32);
	KUNIT_EXPECT_GE(test, high.phys, SZ_4G);
}

static void buddy_refuses_more_sections_than_it_can_hold(struct kunit *test)
{
	size_t size = PAGE_SIZE + bsa_buddy_meta_size(PAGE_SIZE);
	struct bsa_buddy *buddy = bsa_test_buddy(test);
	unsigned int i, chunk = SZ_1M / size;
	void *mem = NULL;

	/* Regions of one page each; the last section serves like the first. */
	for (i = 0; i < BSA_MAX_SECTIONS; i++) {
		if (i % chunk == 0)
			mem = bsa_test_memory(test, SZ_1M, GFP_KERNEL);
		KUNIT_ASSERT_EQ(test, bsa_buddy_add_region(buddy,
							   mem + i % chunk *
							   size, size), 0);
	}
	mem = bsa_test_memory(test, size, GFP_KERNEL);
	KUNIT_EXPECT_EQ(test, bsa_buddy_add_region(buddy, mem, size), -ENOSPC);
	KUNIT_EXPECT_EQ(test, buddy->nr_sections, BSA_MAX_SECTIONS);
	KUNIT_EXPECT_EQ(test, buddy->total_pages, BSA_MAX_SECTIONS);
	KUNIT_EXPECT_EQ(test, use_up(buddy), BSA_MAX_SECTIONS);
}

/* Requests. */

static void buddy_refuses_senseless_requests(struct kunit *test)
{
	struct bsa_section_info section;
	struct bsa_buddy *buddy;

	buddy = bsa_test_buddy_of_one_block(test, 6, &section);
	KUNIT_EXPECT_NULL(test, alloc(buddy, 0, PAGE_SIZE));
	KUNIT_EXPECT_NULL(test, alloc(buddy, ULONG_MAX, PAGE_SIZE));
	KUNIT_EXPECT_NULL(test, alloc(buddy, (ULONG_MAX >> PAGE_SHIFT) + 2,
				      PAGE_SIZE));
	KUNIT_EXPECT_NULL(test, alloc(buddy, (1UL << 32) + 1, PAGE_SIZE));
	KUNIT_EXPECT_NULL(test, alloc(buddy, 1, 0));
	KUNIT_EXPECT_NULL(test, alloc(buddy, 1, 3));
	KUNIT_EXPECT_NULL(test, alloc(buddy, 1, PAGE_SIZE + 1));
	KUNIT_EXPECT_NULL(test, alloc(buddy, 1, 3 * PAGE_SIZE));
	KUNIT_EXPECT_NULL(test, alloc(buddy, 1, 1UL << 63));
	KUNIT_EXPECT_NULL(test, alloc(buddy, 1, 1UL << 45));
	KUNIT_EXPECT_EQ(test, buddy->free_pages, 64);
}

static void buddy_serves_every_alignment_of_a_block(struct kunit *test)
{
	struct bsa_section_info section;
	struct bsa_buddy *buddy;
	size_t align;
	void *addr;

	/* From a byte to the whole section; twice that is too much. */
	buddy = bsa_test_buddy_of_one_block(test, 9, &section);
	for (align = 1; align <= section.size; align *= 2) {
		addr = get(test, buddy, 1, align);
		KUNIT_EXPECT_TRUE(test, bsa_test_is_aligned(addr, PAGE_SIZE));
		KUNIT_EXPECT_EQ(test, virt_to_phys(addr) & (align - 1), 0);
		KUNIT_EXPECT_EQ(test, buddy->free_pages, 511);
		put(test, buddy, addr);
	}
	KUNIT_EXPECT_NULL(test, alloc(buddy, 1, align));
	KUNIT_EXPECT_EQ(test, buddy->free_pages, 512);
}

static void buddy_largest_block_is_the_whole_section(struct kunit *test)
{
	struct bsa_section_info section;
	struct bsa_buddy *buddy;
	void *addr;

	buddy = bsa_test_buddy_of_one_block(test, 9, &section);
	KUNIT_EXPECT_NULL(test, alloc(buddy, 513, PAGE_SIZE));
	addr = get(test, buddy, 512, PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, (unsigned long)addr, section.start);
	KUNIT_EXPECT_EQ(test, buddy->free_pages, 0);
	KUNIT_EXPECT_NULL(test, alloc(buddy, 1, PAGE_SIZE));
	put(test, buddy, addr);
	addr = get(test, buddy, 257, PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, buddy->free_pages, 0);
	put(test, buddy, addr);
}

static void buddy_blocks_are_aligned_to_their_size(struct kunit *test)
{
	struct bsa_buddy *buddy = bsa_test_buddy(test);
	struct bsa_section_info section;
	unsigned int order;
	void *addr, *page;

	/* A section that starts anywhere, and a page gone before each block. */
	bsa_test_add_section(test, buddy, 700, &section);
	for (order = 0; order < 8; order++) {
		page = get(test, buddy, 1, PAGE_SIZE);
		addr = get(test, buddy, 1UL << order, 1);
		KUNIT_EXPECT_EQ(test, virt_to_phys(addr) &
				((PAGE_SIZE << order) - 1), 0);
		KUNIT_EXPECT_TRUE(test, bsa_test_in_section(&section, addr));
		KUNIT_EXPECT_TRUE(test, bsa_test_in_section(&section, addr +
							    (PAGE_SIZE << order)
							    - 1));
		put(test, buddy, addr);
		put(test, buddy, page);
	}
	KUNIT_EXPECT_EQ(test, buddy->free_pages, 700);
}

static void buddy_large_alignment_costs_no_memory(struct kunit *test)
{
	size_t align = 64 * PAGE_SIZE;
	struct bsa_section_info section;
	struct bsa_buddy *buddy;
	void *addrs[9];
	size_t i, nr;

	/* One page at the start of each 64: all the others can be had. */
	buddy = bsa_test_buddy_of_one_block(test, 9, &section);
	nr = take_blocks(buddy, 1, align, false, addrs);
	KUNIT_ASSERT_EQ(test, nr, 8);
	for (i = 0; i < nr; i++)
		KUNIT_EXPECT_TRUE(test, bsa_test_is_aligned(addrs[i], align));
	KUNIT_EXPECT_EQ(test, buddy->free_pages, 512 - 8);
	KUNIT_EXPECT_EQ(test, use_up(buddy), 512 - 8);
}

static void buddy_split_leaves_one_block_of_each_order(struct kunit *test)
{
	const struct bsa_section *section;
	struct bsa_section_info info;
	struct bsa_buddy *buddy;
	unsigned int order;
	void *addr;

	buddy = bsa_test_buddy_of_one_block(test, 9, &info);
	section = buddy->section[0];
	KUNIT_EXPECT_EQ(test, section->orders, BIT(9));
	KUNIT_EXPECT_EQ(test, section->nr_free[9], 1);

	addr = get(test, buddy, 1, PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, section->orders, BIT(9) - 1);
	for (order = 0; order < 9; order++)
		KUNIT_EXPECT_EQ(test, section->nr_free[order], 1);

	put(test, buddy, addr);
	KUNIT_EXPECT_EQ(test, section->orders, BIT(9));
	KUNIT_EXPECT_EQ(test, section->nr_free[9], 1);
}

static void buddy_takes_the_smallest_block_that_fits(struct kunit *test)
{
	const struct bsa_section *section;
	struct bsa_section_info info;
	struct bsa_buddy *buddy;
	void *a, *b;

	/* One page gone: there is a free block of each order from 0 to 8. */
	buddy = bsa_test_buddy_of_one_block(test, 9, &info);
	section = buddy->section[0];
	a = get(test, buddy, 1, PAGE_SIZE);
	b = get(test, buddy, 8, PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, section->orders, (BIT(9) - 1) & ~BIT(3));
	put(test, buddy, b);
	b = get(test, buddy, 1, PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, section->orders, (BIT(9) - 1) & ~BIT(0));
	put(test, buddy, b);
	put(test, buddy, a);
}

static void buddy_coalesces_in_any_order_of_frees(struct kunit *test)
{
	void **addrs = bsa_test_array(test, 513);
	struct bsa_section_info info;
	struct bsa_buddy *buddy;
	size_t i, nr;

	/* All pages; first every third, then the rest from the end. */
	buddy = bsa_test_buddy_of_one_block(test, 9, &info);
	nr = take_blocks(buddy, 1, PAGE_SIZE, false, addrs);
	KUNIT_ASSERT_EQ(test, nr, 512);
	KUNIT_EXPECT_EQ(test, buddy->section[0]->orders, 0);
	for (i = 0; i < nr; i += 3)
		put(test, buddy, addrs[i]);
	for (i = nr; i--; )
		if (i % 3)
			put(test, buddy, addrs[i]);
	KUNIT_EXPECT_EQ(test, buddy->section[0]->orders, BIT(9));
	KUNIT_EXPECT_EQ(test, buddy->section[0]->nr_free[9], 1);
}

static void buddy_lock_is_not_waited_for_by_its_holder(struct kunit *test)
{
	static const struct bsa_page_request req = {};
	struct bsa_page *held, *page, *slabs[BSA_DEFERRED_BATCH];
	struct bsa_buddy *buddy = bsa_test_buddy(test);
	struct bsa_section_info section;
	unsigned long flags;

	bsa_test_add_section(test, buddy, 16, &section);
	page = bsa_buddy_alloc(buddy, &req);
	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_EXPECT_TRUE(test, bsa_buddy_owns(buddy, page));
	KUNIT_EXPECT_EQ(test, buddy->free_pages, 15);

	/* What an exception finds that interrupts the holder. */
	KUNIT_ASSERT_TRUE(test, bsa_lock(&buddy->lock, flags));
	held = bsa_buddy_alloc(buddy, &req);
	bsa_buddy_free(buddy, page);
	bsa_unlock(&buddy->lock, flags);
	KUNIT_EXPECT_NULL(test, held);
	KUNIT_EXPECT_EQ(test, buddy->free_pages, 15);
	KUNIT_EXPECT_EQ(test, bsa_buddy_catch_up(buddy, slabs), 0);
	KUNIT_EXPECT_EQ(test, buddy->free_pages, 16);
}

/* Several sections. */

static void buddy_uses_three_sections_in_order(struct kunit *test)
{
	struct bsa_buddy *buddy = bsa_test_buddy(test);
	struct bsa_section_info section[3];
	unsigned int i, j;
	void *addr = NULL;

	for (i = 0; i < 3; i++)
		bsa_test_add_section(test, buddy, 16, &section[i]);
	for (i = 0; i < 3; i++) {
		for (j = 0; j < 16; j++) {
			addr = get(test, buddy, 1, PAGE_SIZE);
			KUNIT_EXPECT_TRUE(test, bsa_test_in_section(&section[i],
								    addr));
		}
	}
	KUNIT_EXPECT_NULL(test, alloc(buddy, 1, PAGE_SIZE));

	/* One page free in the last, then one in the first as well. */
	put(test, buddy, addr);
	KUNIT_EXPECT_PTR_EQ(test, get(test, buddy, 1, PAGE_SIZE), addr);
	put(test, buddy, addr);
	put(test, buddy, (void *)section[0].start);
	KUNIT_EXPECT_EQ(test, (unsigned long)get(test, buddy, 1, PAGE_SIZE),
			section[0].start);
}

static void buddy_skips_sections_without_a_block_that_fits(struct kunit *test)
{
	struct bsa_buddy *buddy = bsa_test_buddy(test);
	struct bsa_section_info small, large;

	bsa_test_add_section(test, buddy, 8, &small);
	bsa_test_add_section(test, buddy, 128, &large);
	KUNIT_EXPECT_TRUE(test, bsa_test_in_section(&large,
						    get(test, buddy, 32,
							PAGE_SIZE)));
	KUNIT_EXPECT_TRUE(test, bsa_test_in_section(&small,
						    get(test, buddy, 1,
							PAGE_SIZE)));
}

static void buddy_no_block_spans_two_sections(struct kunit *test)
{
	struct bsa_buddy *buddy = bsa_test_buddy(test);
	struct bsa_section_info section;

	/* 24 pages in all, but never 16 together. */
	bsa_test_add_section(test, buddy, 12, &section);
	bsa_test_add_section(test, buddy, 12, &section);
	KUNIT_EXPECT_EQ(test, buddy->free_pages, 24);
	KUNIT_EXPECT_NULL(test, alloc(buddy, 16, PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, use_up(buddy), 24);
}

/* Low memory. */

static void buddy_lowmem_never_comes_from_high_memory(struct kunit *test)
{
	struct bsa_buddy *buddy = bsa_test_buddy(test);
	struct bsa_section_info high, low;
	unsigned long nr = 0;
	void *addr;

	/* The high section comes first and is free all the time. */
	bsa_test_add_high_section(test, buddy, 32, &high);
	KUNIT_EXPECT_NULL(test, alloc_low(buddy, 1));
	bsa_test_add_low_section(test, buddy, 16, &low);
	while ((addr = alloc_low(buddy, 1))) {
		KUNIT_EXPECT_LT(test, virt_to_phys(addr), SZ_4G);
		KUNIT_ASSERT_TRUE(test, bsa_test_in_section(&low, addr));
		nr++;
	}
	KUNIT_EXPECT_EQ(test, nr, 16);
	KUNIT_EXPECT_EQ(test, buddy->free_pages, 32);
	KUNIT_EXPECT_NOT_NULL(test, alloc(buddy, 1, PAGE_SIZE));
}

static void buddy_lowmem_is_found_behind_full_sections(struct kunit *test)
{
	struct bsa_buddy *buddy = bsa_test_buddy(test);
	struct bsa_section_info high, full, low;
	void *addr;

	/* A full high and a full low section, and a low one at last. */
	bsa_test_add_high_section(test, buddy, 16, &high);
	bsa_test_add_low_section(test, buddy, 16, &full);
	KUNIT_EXPECT_EQ(test, use_up(buddy), 32);
	KUNIT_EXPECT_NULL(test, alloc_low(buddy, 1));
	bsa_test_add_low_section(test, buddy, 16, &low);

	addr = alloc_low(buddy, 4);
	KUNIT_ASSERT_NOT_NULL(test, addr);
	KUNIT_EXPECT_TRUE(test, bsa_test_in_section(&low, addr));
	put(test, buddy, addr);
	KUNIT_EXPECT_EQ(test, buddy->free_pages, 16);
}

static void buddy_ordinary_requests_may_use_low_memory(struct kunit *test)
{
	struct bsa_buddy *buddy = bsa_test_buddy(test);
	struct bsa_section_info low, high;
	unsigned int i;

	/* In order of registration, whatever the sections are. */
	bsa_test_add_low_section(test, buddy, 16, &low);
	bsa_test_add_high_section(test, buddy, 16, &high);
	for (i = 0; i < 16; i++)
		KUNIT_EXPECT_TRUE(test,
				  bsa_test_in_section(&low,
						      get(test, buddy, 1,
							  PAGE_SIZE)));
	KUNIT_EXPECT_NULL(test, alloc_low(buddy, 1));
	KUNIT_EXPECT_TRUE(test, bsa_test_in_section(&high,
						    get(test, buddy, 1,
							PAGE_SIZE)));
}

/* Frees that are refused. */

static void buddy_refuses_to_free_what_it_does_not_own(struct kunit *test)
{
	struct bsa_buddy *buddy = bsa_test_buddy(test);
	struct bsa_buddy *other = bsa_test_buddy(test);
	struct bsa_section_info info, info2;
	void *addr, *kernel;

	bsa_test_add_section(test, buddy, 16, &info);
	bsa_test_add_section(test, other, 16, &info2);
	kernel = bsa_test_memory(test, PAGE_SIZE, GFP_KERNEL);
	addr = get(test, other, 1, PAGE_SIZE);

	KUNIT_EXPECT_EQ(test, bsa_buddy_free_pages(buddy, kernel),
			BSA_FREE_FOREIGN);
	/* The metadata in front of the first page. */
	KUNIT_EXPECT_EQ(test, bsa_buddy_free_pages(buddy, (void *)info.start -
						   PAGE_SIZE),
			BSA_FREE_FOREIGN);
	KUNIT_EXPECT_EQ(test, bsa_buddy_free_pages(buddy, (void *)-1UL),
			BSA_FREE_FOREIGN);
	KUNIT_EXPECT_EQ(test, bsa_buddy_free_pages(buddy, (void *)PAGE_SIZE),
			BSA_FREE_FOREIGN);
	KUNIT_EXPECT_EQ(test, bsa_buddy_free_pages(buddy, addr),
			BSA_FREE_OTHER_HEAP);
	KUNIT_EXPECT_EQ(test, buddy->free_pages, 16);
	KUNIT_EXPECT_EQ(test, other->free_pages, 15);
	put(test, other, addr);
}

static void buddy_refuses_to_free_from_inside_a_block(struct kunit *test)
{
	struct bsa_buddy *buddy = bsa_test_buddy(test);
	struct bsa_section_info info;
	unsigned int i;
	void *addr;

	bsa_test_add_section(test, buddy, 64, &info);
	addr = get(test, buddy, 8, PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, bsa_buddy_free_pages(buddy, addr + 1),
			BSA_FREE_INTERIOR);
	KUNIT_EXPECT_EQ(test, bsa_buddy_free_pages(buddy, addr + 8),
			BSA_FREE_INTERIOR);
	KUNIT_EXPECT_EQ(test, bsa_buddy_free_pages(buddy, addr + PAGE_SIZE - 1),
			BSA_FREE_INTERIOR);
	for (i = 1; i < 8; i++)
		KUNIT_EXPECT_EQ(test,
				bsa_buddy_free_pages(buddy,
						     addr + i * PAGE_SIZE),
				BSA_FREE_INTERIOR);
	KUNIT_EXPECT_EQ(test, buddy->free_pages, 56);
	put(test, buddy, addr);
	KUNIT_EXPECT_EQ(test, buddy->free_pages, 64);
}

static void buddy_refuses_to_free_twice(struct kunit *test)
{
	struct bsa_section_info info;
	struct bsa_buddy *buddy;
	void *a, *b;

	/* Two buddies. The free of the second coalesces both. */
	buddy = bsa_test_buddy_of_one_block(test, 4, &info);
	a = get(test, buddy, 1, PAGE_SIZE);
	b = get(test, buddy, 1, PAGE_SIZE);
	put(test, buddy, b);
	KUNIT_EXPECT_EQ(test, bsa_buddy_free_pages(buddy, b), BSA_FREE_DOUBLE);
	KUNIT_EXPECT_EQ(test, buddy->free_pages, 15);
	put(test, buddy, a);
	KUNIT_EXPECT_EQ(test, bsa_buddy_free_pages(buddy, a), BSA_FREE_DOUBLE);
	KUNIT_EXPECT_EQ(test, bsa_buddy_free_pages(buddy, b), BSA_FREE_DOUBLE);
	KUNIT_EXPECT_EQ(test, buddy->free_pages, 16);
	KUNIT_EXPECT_EQ(test, use_up(buddy), 16);
}

/* Random operations on one section of 512 pages, with a model beside it. */

struct random_run {
	struct rnd_state rnd;
	struct bsa_buddy *buddy;
	unsigned long start;
	DECLARE_BITMAP(used, 512);
	struct {
		u64 *addr;
		unsigned int order;
	} block[512];
	unsigned int nr;
};

static bool block_is_free(const struct random_run *run, unsigned int first,
			  unsigned int nr)
{
	return find_next_bit(run->used, first + nr, first) >= first + nr;
}

static bool any_block_is_free(const struct random_run *run, unsigned int nr)
{
	unsigned int first;

	for (first = 0; first < 512; first += nr)
		if (block_is_free(run, first, nr))
			return true;
	return false;
}

static void random_alloc(struct kunit *test, struct random_run *run)
{
	unsigned int order = prandom_u32_state(&run->rnd) % 6;
	unsigned int nr = 1 << order;
	unsigned int i, first;
	u64 *addr;

	/* Any number of pages that rounds up to this order. */
	nr -= prandom_u32_state(&run->rnd) % ((nr + 1) / 2);
	addr = alloc(run->buddy, nr, 1);
	nr = 1 << order;
	if (!addr) {
		KUNIT_ASSERT_FALSE(test, any_block_is_free(run, nr));
		return;
	}
	first = ((unsigned long)addr - run->start) >> PAGE_SHIFT;
	KUNIT_ASSERT_LE(test, first + nr, 512U);
	KUNIT_ASSERT_EQ(test, first % nr, 0U);
	KUNIT_ASSERT_TRUE(test, block_is_free(run, first, nr));
	bitmap_set(run->used, first, nr);
	for (i = 0; i < nr; i++)
		addr[i * PAGE_SIZE / sizeof(*addr)] = (unsigned long)addr + i;
	run->block[run->nr].addr = addr;
	run->block[run->nr].order = order;
	run->nr++;
}

static void random_free(struct kunit *test, struct random_run *run)
{
	unsigned int victim = prandom_u32_state(&run->rnd) % run->nr;
	unsigned int nr = 1 << run->block[victim].order;
	u64 *addr = run->block[victim].addr;
	unsigned int i;

	for (i = 0; i < nr; i++)
		KUNIT_ASSERT_EQ(test, addr[i * PAGE_SIZE / sizeof(*addr)],
				(unsigned long)addr + i);
	KUNIT_ASSERT_EQ(test, bsa_buddy_free_pages(run->buddy, addr),
			BSA_FREE_OK);
	bitmap_clear(run->used, ((unsigned long)addr - run->start) >>
		     PAGE_SHIFT, nr);
	run->block[victim] = run->block[--run->nr];
}

static void buddy_agrees_with_a_model_in_random_use(struct kunit *test)
{
	struct bsa_section_info info;
	struct random_run *run;
	u64 seed = get_random_u64();
	unsigned int i;

	run = kunit_kzalloc(test, sizeof(*run), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, run);
	kunit_info(test, "seed %llu", seed);
	prandom_seed_state(&run->rnd, seed);
	run->buddy = bsa_test_buddy_of_one_block(test, 9, &info);
	run->start = info.start;

	for (i = 0; i < 20000; i++) {
		/* Mostly near full, where splits and merges are many. */
		if (!run->nr || prandom_u32_state(&run->rnd) % 8 < 5)
			random_alloc(test, run);
		else
			random_free(test, run);
		KUNIT_ASSERT_EQ(test, run->buddy->free_pages,
				512 - bitmap_weight(run->used, 512));
	}
	while (run->nr)
		random_free(test, run);
	KUNIT_EXPECT_EQ(test, run->buddy->section[0]->orders, BIT(9));
	KUNIT_EXPECT_EQ(test, run->buddy->section[0]->nr_free[9], 1);
}

static struct kunit_case bsa_buddy_cases[] = {
	KUNIT_CASE(buddy_basic_alloc_dealloc),
	KUNIT_CASE(buddy_alignment),
	KUNIT_CASE(buddy_aligned_alloc_dealloc_uses_recorded_order),
	KUNIT_CASE(buddy_exhaust_and_recover),
	KUNIT_CASE(buddy_merge_coalescing),
	KUNIT_CASE(buddy_fragmentation_blocks_high_order_then_recovers),
	KUNIT_CASE(buddy_high_order_full_cycle_restores_free_pages),
	KUNIT_CASE(buddy_add_region_enables_second_section_allocation),
	KUNIT_CASE(buddy_add_region_overlap_rejected),
	KUNIT_CASE(buddy_alloc_pages_first_fit_by_registration_order),
	KUNIT_CASE(buddy_lowmem_scans_across_sections),
	KUNIT_CASE(buddy_dealloc_pages_finds_correct_section),
	KUNIT_CASE(buddy_total_and_free_pages_are_aggregated),
	KUNIT_CASE(buddy_managed_bytes_matches_all_sections),
	KUNIT_CASE(buddy_allocated_bytes_changes_with_page_alloc_free),
	KUNIT_CASE(buddy_allocated_bytes_zero_when_all_free),
	KUNIT_CASE(buddy_allocated_bytes_aggregates_across_sections),

	KUNIT_CASE(buddy_refuses_unusable_regions),
	KUNIT_CASE(buddy_refuses_every_kind_of_overlap),
	KUNIT_CASE(buddy_adjacent_regions_stay_two_sections),
	KUNIT_CASE(buddy_neighbour_survives_when_a_region_goes),
	KUNIT_CASE(buddy_trims_unaligned_ends_inward),
	KUNIT_CASE(buddy_region_meta_size_is_enough),
	KUNIT_CASE(buddy_smallest_region_manages_one_page),
	KUNIT_CASE(buddy_metadata_takes_two_percent_of_64_mib),
	KUNIT_CASE(buddy_metadata_is_never_handed_out),
	KUNIT_CASE(buddy_section_out_of_range_is_refused),
	KUNIT_CASE(buddy_section_info_describes_the_section),
	KUNIT_CASE(buddy_refuses_more_sections_than_it_can_hold),

	KUNIT_CASE(buddy_refuses_senseless_requests),
	KUNIT_CASE(buddy_serves_every_alignment_of_a_block),
	KUNIT_CASE(buddy_largest_block_is_the_whole_section),
	KUNIT_CASE(buddy_blocks_are_aligned_to_their_size),
	KUNIT_CASE(buddy_large_alignment_costs_no_memory),
	KUNIT_CASE(buddy_split_leaves_one_block_of_each_order),
	KUNIT_CASE(buddy_takes_the_smallest_block_that_fits),
	KUNIT_CASE(buddy_coalesces_in_any_order_of_frees),
	KUNIT_CASE(buddy_lock_is_not_waited_for_by_its_holder),

	KUNIT_CASE(buddy_uses_three_sections_in_order),
	KUNIT_CASE(buddy_skips_sections_without_a_block_that_fits),
	KUNIT_CASE(buddy_no_block_spans_two_sections),

	KUNIT_CASE(buddy_lowmem_never_comes_from_high_memory),
	KUNIT_CASE(buddy_lowmem_is_found_behind_full_sections),
	KUNIT_CASE(buddy_ordinary_requests_may_use_low_memory),

	KUNIT_CASE(buddy_refuses_to_free_what_it_does_not_own),
	KUNIT_CASE(buddy_refuses_to_free_from_inside_a_block),
	KUNIT_CASE(buddy_refuses_to_free_twice),

	KUNIT_CASE(buddy_agrees_with_a_model_in_random_use),
	{}
};

struct kunit_suite bsa_buddy_suite = {
	.name = "bsa_buddy",
	.init = bsa_test_init,
	.exit = bsa_test_exit,
	.test_cases = bsa_buddy_cases,
};
