// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of reserve.c: taking pages from the kernel and giving them back
 */
#include "test_util.h"

#include <bsa/reserve.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/sizes.h>

static void expect_held(struct kunit *test, struct page *page)
{
	KUNIT_ASSERT_LT(test, page_ref_count(page), 0);
	KUNIT_ASSERT_TRUE(test, PageReserved(page));
	KUNIT_ASSERT_TRUE(test, bsa_zone_may_stay(page_zone(page)));
}

/*
 * What was reserved: in ascending order, joined where adjacent, each page one that
 * nobody can free and that may stay.
 */
static unsigned long expect_extents(struct kunit *test,
				    struct list_head *extents)
{
	unsigned long end = 0, nr_pages = 0, i;
	struct bsa_extent *extent;

	list_for_each_entry(extent, extents, node) {
		KUNIT_EXPECT_GT(test, extent->pfn, end);
		end = extent->pfn + extent->nr_pages;
		nr_pages += extent->nr_pages;
		for (i = extent->pfn; i < end; i++)
			expect_held(test, pfn_to_page(i));
	}
	return nr_pages;
}

static void reserve_and_expect(struct kunit *test,
			       struct bsa_reservation *want)
{
	LIST_HEAD(extents);
	struct bsa_extent *extent;

	KUNIT_ASSERT_EQ(test, bsa_reserve(&extents, want), 0);
	KUNIT_EXPECT_GE(test, expect_extents(test, &extents), want->nr_pages);
	if (want->low)
		list_for_each_entry(extent, &extents, node)
			KUNIT_EXPECT_LE(test, extent->pfn + extent->nr_pages,
					PHYS_PFN(SZ_4G));
	KUNIT_EXPECT_EQ(test, bsa_unreserve(&extents), 0);
	KUNIT_EXPECT_TRUE(test, list_empty(&extents));
}

/* One piece, whose pages behind the prefix are aligned to as much as they are. */
static void reserve_finds_one_aligned_range(struct kunit *test)
{
	struct bsa_reservation want = {
		.nr_pages = PFN_DOWN(SZ_16M) + 72,
		.prefix = 72,
		.node = NUMA_NO_NODE,
	};
	struct bsa_extent *extent;
	LIST_HEAD(extents);

	KUNIT_ASSERT_EQ(test, bsa_reserve(&extents, &want), 0);
	KUNIT_EXPECT_TRUE(test, list_is_singular(&extents));
	extent = list_first_entry(&extents, struct bsa_extent, node);
	KUNIT_EXPECT_EQ(test, extent->nr_pages, want.nr_pages);
	KUNIT_EXPECT_TRUE(test, IS_ALIGNED(extent->pfn + want.prefix,
					   PFN_DOWN(SZ_16M)));
	expect_extents(test, &extents);
	bsa_unreserve(&extents);
}

/* More than one block of the page allocator, so there is something to join. */
static void reserve_joins_adjacent_blocks(struct kunit *test)
{
	struct bsa_reservation want = {
		.nr_pages = PFN_DOWN(SZ_64M) + 5,
		.node = NUMA_NO_NODE,
		.blocks = true,
	};

	reserve_and_expect(test, &want);
}

static void reserve_low_range_is_low(struct kunit *test)
{
	struct bsa_reservation want = {
		.nr_pages = PFN_DOWN(SZ_4M),
		.node = NUMA_NO_NODE,
		.low = true,
	};

	reserve_and_expect(test, &want);
}

static void reserve_low_blocks_are_low(struct kunit *test)
{
	struct bsa_reservation want = {
		.nr_pages = PFN_DOWN(SZ_4M),
		.node = NUMA_NO_NODE,
		.low = true,
		.blocks = true,
	};

	reserve_and_expect(test, &want);
}

static void reserve_on_a_node_stays_there(struct kunit *test)
{
	struct bsa_reservation want = {
		.nr_pages = PFN_DOWN(SZ_4M),
		.node = numa_node_id(),
	};
	struct bsa_extent *extent;
	LIST_HEAD(extents);

	KUNIT_ASSERT_EQ(test, bsa_reserve(&extents, &want), 0);
	list_for_each_entry(extent, &extents, node)
		KUNIT_EXPECT_EQ(test, page_to_nid(pfn_to_page(extent->pfn)),
				want.node);
	bsa_unreserve(&extents);
}

/* More than there is: no page may be missing afterwards. */
static void reserve_too_much_takes_nothing(struct kunit *test)
{
	struct bsa_reservation want = {
		.nr_pages = totalram_pages(),
		.node = NUMA_NO_NODE,
	};
	LIST_HEAD(extents);

	KUNIT_EXPECT_EQ(test, bsa_reserve(&extents, &want), -ENOMEM);
	KUNIT_EXPECT_TRUE(test, list_empty(&extents));
	want.blocks = true;
	KUNIT_EXPECT_EQ(test, bsa_reserve(&extents, &want), -ENOMEM);
	KUNIT_EXPECT_TRUE(test, list_empty(&extents));
}

/* With how much there would have been, so that the log can tell. */
static void reserve_says_how_much_it_found(struct kunit *test)
{
	struct bsa_reservation want = {
		.nr_pages = totalram_pages(),
		.node = NUMA_NO_NODE,
	};
	LIST_HEAD(extents);

	KUNIT_EXPECT_EQ(test, bsa_reserve(&extents, &want), -ENOMEM);
	KUNIT_EXPECT_GT(test, want.found, 0);
	KUNIT_EXPECT_LT(test, want.found, want.nr_pages);
}

/* All zones that there can be, in a node that is not there. */
static void reserve_leaves_zones_that_are_wanted_back(struct kunit *test)
{
	struct pglist_data *node = kvzalloc(sizeof(*node), GFP_KERNEL);
	struct zone *zone;
	int i;

	KUNIT_ASSERT_NOT_NULL(test, node);
	for (i = 0; i < MAX_NR_ZONES; i++) {
		zone = &node->node_zones[i];
		zone->zone_pgdat = node;
		zone->zone_start_pfn = PHYS_PFN(SZ_1G);
		zone->spanned_pages = PHYS_PFN(SZ_1G);
		KUNIT_EXPECT_EQ_MSG(test, bsa_zone_may_stay(zone),
				    i < ZONE_MOVABLE, "zone %d", i);
	}
	kvfree(node);
}

/* Zone 0 is left alone for what it is on x86, not for its number. */
static void reserve_leaves_the_zone_of_old_devices(struct kunit *test)
{
	struct pglist_data *node = kvzalloc(sizeof(*node), GFP_KERNEL);
	struct zone *zone;

	KUNIT_ASSERT_NOT_NULL(test, node);
	zone = &node->node_zones[0];
	zone->zone_pgdat = node;
	zone->zone_start_pfn = 1;
	zone->spanned_pages = PHYS_PFN(SZ_16M) - 1;
	KUNIT_EXPECT_FALSE(test, bsa_zone_may_stay(zone));
	zone->spanned_pages = PHYS_PFN(SZ_2G) - 1;
	KUNIT_EXPECT_TRUE(test, bsa_zone_may_stay(zone));
	kvfree(node);
}

/* Whatever the page allocator returns for want of a zone for 32 bits. */
static void reserve_takes_no_high_page_for_a_low_one(struct kunit *test)
{
	struct page *page = virt_to_page(bsa_test_high_memory(test, PAGE_SIZE));
	struct bsa_reservation want = { .node = page_to_nid(page) };
	unsigned long pfn = page_to_pfn(page);

	KUNIT_EXPECT_TRUE(test, bsa_may_take(&want, pfn, 1));
	want.low = true;
	KUNIT_EXPECT_FALSE(test, bsa_may_take(&want, pfn, 1));
	want.low = false;
	want.node++;
	KUNIT_EXPECT_FALSE(test, bsa_may_take(&want, pfn, 1));
}

#ifdef CONFIG_FAULT_INJECTION
/* Memory ends after each of the blocks. What it keeps for CPUs is not missing. */
static void reserve_that_fails_half_way_takes_nothing(struct kunit *test)
{
	struct bsa_reservation want = {
		.nr_pages = PFN_DOWN(SZ_64M),
		.node = NUMA_NO_NODE,
		.blocks = true,
	};
	unsigned int left, nth = 0, failed = 0;
	long before = bsa_test_free_memory();
	LIST_HEAD(extents);
	int err;

	do {
		bsa_test_fail_from(++nth);
		err = bsa_reserve(&extents, &want);
		left = bsa_test_fail_from(0);
		if (err) {
			KUNIT_EXPECT_EQ(test, err, -ENOMEM);
			KUNIT_EXPECT_TRUE(test, list_empty(&extents));
			failed++;
		}
		bsa_unreserve(&extents);
	} while (!left);
	KUNIT_EXPECT_GT(test, failed, 8);
	KUNIT_EXPECT_GT(test, bsa_test_free_memory(), before - PFN_DOWN(SZ_32M));
}
#endif

static struct kunit_case reserve_cases[] = {
	KUNIT_CASE(reserve_finds_one_aligned_range),
	KUNIT_CASE(reserve_joins_adjacent_blocks),
	KUNIT_CASE(reserve_low_range_is_low),
	KUNIT_CASE(reserve_low_blocks_are_low),
	KUNIT_CASE(reserve_on_a_node_stays_there),
	KUNIT_CASE(reserve_too_much_takes_nothing),
	KUNIT_CASE(reserve_says_how_much_it_found),
	KUNIT_CASE(reserve_leaves_zones_that_are_wanted_back),
	KUNIT_CASE(reserve_leaves_the_zone_of_old_devices),
	KUNIT_CASE(reserve_takes_no_high_page_for_a_low_one),
#ifdef CONFIG_FAULT_INJECTION
	KUNIT_CASE(reserve_that_fails_half_way_takes_nothing),
#endif
	{}
};

struct kunit_suite bsa_reserve_suite = {
	.name = "bsa_reserve",
	.init = bsa_test_init,
	.exit = bsa_test_exit,
	.test_cases = reserve_cases,
};
