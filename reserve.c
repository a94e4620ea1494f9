// SPDX-License-Identifier: GPL-2.0-only
/*
 * Taking memory from the kernel, and giving it back
 *
 * One physically contiguous range, if the kernel can make one free; else the
 * largest blocks that its page allocator has, adjacent ones joined. Memory is
 * looked for from the top down, since low memory is scarce.
 *
 * Only memory that may stay for good is taken: what lies in ZONE_MOVABLE, or in
 * somebody's CMA area, is lent, and wanted back when memory goes offline or that
 * somebody needs it.
 *
 * Pages of a heap are held: what frees them with calls of the kernel must not get
 * them to anybody else. So their reference count is far below zero, where neither
 * dropping references nor taking and dropping them leads to zero; it also is less
 * than one, so sendpage_ok() says no. They are PG_reserved besides: where the
 * kernel looks at pages that are freed it refuses those and complains, and it
 * does not try to move them when memory is to go offline. One call is beyond
 * that: free_pages() of several pages frees all but the first one whatever their
 * count, and does so silently where the kernel does not check what is freed.
 *
 * Context: process, may sleep.
 */
#include <bsa/compat.h>
#include <bsa/reserve.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/sizes.h>
#include <linux/slab.h>

/* Blocks below 64 KiB would be mostly metadata. */
#define MIN_BLOCK_ORDER	4

/*
 * What the count of references of a page that is held is less than before: by twice as
 * much if it was zero, as in a block of the kernel all but the first page's is.
 */
#define HELD	(INT_MAX / 4)

/*
 * Let nobody free pages with calls of the kernel. References and flags are as they
 * were afterwards, when bsa_unreserve() is called.
 */
void bsa_hold(struct bsa_extent *extent)
{
	unsigned long i;

	for (i = 0; i < extent->nr_pages; i++) {
		struct page *page = pfn_to_page(extent->pfn + i);

		/* Of what is reserved already, or belongs to slabs, the kernel takes care. */
		if (PageReserved(page) || PageSlab(page))
			continue;
		extent->held = true;
		page_ref_sub(page, page_ref_count(page) ? HELD : 2 * HELD);
		if (!PageCompound(page))
			SetPageReserved(page);
	}
}

/*
 * Is a page still held? free_pages() of several pages may have given it to the
 * kernel, which has reset its flags then, and its count when it is handed out; but not
 * where it is in the middle of a compound page, which what was reserved never is.
 */
static bool is_held(const struct bsa_extent *extent, struct page *page)
{
	return page_ref_count(page) < 0 &&
	       (PageReserved(page) || (!extent->reserved && PageCompound(page)));
}

/* Has somebody given a page of an extent to the kernel? */
bool bsa_is_lost(const struct bsa_extent *extent, unsigned long index)
{
	struct page *page = pfn_to_page(extent->pfn + index);

	return extent->held && !is_held(extent, page) && !PageReserved(page);
}

/*
 * Undo bsa_hold(), and give the kernel what was reserved. Return how many pages others
 * have freed: references that they dropped, and did not have, are made up for; what
 * is not held may be the kernel's by now, and is left to it.
 */
static unsigned long unhold(const struct bsa_extent *extent)
{
	unsigned long i, freed = 0;

	for (i = 0; i < extent->nr_pages; i++) {
		struct page *page = pfn_to_page(extent->pfn + i);
		int count = page_ref_count(page);
		bool was_zero = count < -HELD - HELD / 2;

		if (i % 1024 == 0)
			cond_resched();
		if (!is_held(extent, page)) {
			freed += bsa_is_lost(extent, i);
			/* If it is free there, it has no reference, but not fewer. */
			if (count < 0)
				page_ref_freeze(page, count);
			continue;
		}
		if (!PageCompound(page))
			ClearPageReserved(page);
		page_ref_add(page, was_zero ? 2 * HELD : HELD);
		if (page_ref_count(page) < !was_zero) {
			set_page_count(page, !was_zero);
			freed++;
		}
		if (extent->reserved)
			bsa_give_page(page);
	}
	return freed;
}

/*
 * Forget pages, which stay as they are: what was reserved is so until the next
 * boot. The list is empty afterwards.
 */
void bsa_abandon(struct list_head *extents)
{
	struct bsa_extent *extent, *next;

	list_for_each_entry_safe(extent, next, extents, node)
		kfree(extent);
	INIT_LIST_HEAD(extents);
}

/*
 * Let pages be those of whoever they belong to: what was reserved the kernel's.
 * The list is empty afterwards. Return how many pages others have freed with calls
 * of the kernel.
 */
unsigned long bsa_unreserve(struct list_head *extents)
{
	struct bsa_extent *extent;
	unsigned long freed = 0;

	list_for_each_entry(extent, extents, node)
		freed += unhold(extent);
	bsa_abandon(extents);
	return freed;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_unreserve);

/* Join an extent with the next one in the list, if that is adjacent. */
static void join_next(struct list_head *extents, struct bsa_extent *extent)
{
	struct bsa_extent *next = list_next_entry(extent, node);

	if (list_is_last(&extent->node, extents) ||
	    extent->pfn + extent->nr_pages != next->pfn)
		return;
	extent->nr_pages += next->nr_pages;
	list_del(&next->node);
	kfree(next);
}

/*
 * Hold pages that the kernel has given us, and insert them into the list, where
 * adjacent ones are joined. Return -ENOMEM if they are the kernel's again.
 */
static int take(struct list_head *extents, unsigned long pfn,
		unsigned long nr_pages)
{
	struct bsa_extent pages = {
		.pfn = pfn, .nr_pages = nr_pages, .reserved = true,
	};
	struct bsa_extent *extent;
	struct list_head *next;

	bsa_hold(&pages);
	extent = kmemdup(&pages, sizeof(pages), GFP_KERNEL | __GFP_NOWARN);
	if (!extent) {
		unhold(&pages);
		return -ENOMEM;
	}
	list_for_each(next, extents)
		if (list_entry(next, struct bsa_extent, node)->pfn > pfn)
			break;
	list_add_tail(&extent->node, next);
	join_next(extents, extent);
	if (!list_is_first(&extent->node, extents))
		join_next(extents, list_prev_entry(extent, node));
	return 0;
}

/*
 * May pages of a zone be reserved for good? Not where pages have to be movable, not
 * where they are a device's, and not from the first 16 MiB of x86, which old devices
 * cannot do without. Elsewhere the first zone is as good as any.
 */
bool bsa_zone_may_stay(struct zone *zone)
{
	return zone_idx(zone) < ZONE_MOVABLE &&
	       zone_end_pfn(zone) > PHYS_PFN(SZ_16M);
}
EXPORT_SYMBOL_IF_KUNIT(bsa_zone_may_stay);

/* Are these pages, all in one zone, of the kind that is wanted? */
bool bsa_may_take(const struct bsa_reservation *want, unsigned long pfn,
		  unsigned long nr_pages)
{
	struct page *page = pfn_to_page(pfn);

	if (want->low && pfn + nr_pages > PHYS_PFN(SZ_4G))
		return false;
	if (want->node != NUMA_NO_NODE && page_to_nid(page) != want->node)
		return false;
	return bsa_zone_may_stay(page_zone(page));
}
EXPORT_SYMBOL_IF_KUNIT(bsa_may_take);

/*
 * Could the kernel make this range free? Reserved and pinned pages, and those of
 * CMA areas, are found by alloc_contig_range() itself; here it is about holes,
 * zones and nodes.
 */
static bool range_is_usable(const struct bsa_reservation *want,
			    unsigned long pfn)
{
	unsigned long end = pfn + want->nr_pages, i;
	struct page *last = pfn_to_online_page(end - 1);

	if (!last)
		return false;
	for (i = pfn; i < end; i += min(end - i, pageblock_nr_pages)) {
		struct page *page = pfn_to_online_page(i);

		if (!page || page_zone(page) != page_zone(last))
			return false;
	}
	return bsa_may_take(want, pfn, want->nr_pages);
}

/* Take one contiguous range whose page @want->prefix is aligned to @align. */
static int reserve_aligned(struct list_head *extents,
			   const struct bsa_reservation *want,
			   unsigned long align)
{
	unsigned long nr = want->nr_pages - want->prefix;
	unsigned long end = PHYS_PFN(virt_to_phys(high_memory - 1)) + 1;
	unsigned long start, pfn;

	if (want->low)
		end = min(end, PHYS_PFN(SZ_4G));
	if (end < nr)
		return -ENOMEM;

	for (start = ALIGN_DOWN(end - nr, align); start > want->prefix;
	     start -= min(start, align)) {
		pfn = start - want->prefix;
		if (range_is_usable(want, pfn) &&
		    !bsa_take_range(pfn, want->nr_pages))
			return take(extents, pfn, want->nr_pages);
	}
	return -ENOMEM;
}

/*
 * Find and take one contiguous range. Blocks are aligned to their own size, so
 * what follows the prefix had best be aligned to as much, up to 1 GiB.
 */
static int reserve_contig(struct list_head *extents,
			  const struct bsa_reservation *want)
{
	unsigned long best = roundup_pow_of_two(want->nr_pages - want->prefix);

	best = clamp(best, pageblock_nr_pages, PHYS_PFN(SZ_1G));
	if (!reserve_aligned(extents, want, best))
		return 0;
	if (best == pageblock_nr_pages)
		return -ENOMEM;
	return reserve_aligned(extents, want, pageblock_nr_pages);
}

/* What the kernel's page allocator is asked for. */
static gfp_t block_gfp(const struct bsa_reservation *want)
{
	gfp_t gfp = GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN;

	if (want->node != NUMA_NO_NODE)
		gfp |= __GFP_THISNODE;
	return want->low ? gfp | BSA_GFP_LOW : gfp;
}

/* Take a block, or none if the next one is not of the kind that is wanted. */
static int take_block(struct list_head *extents,
		      const struct bsa_reservation *want, unsigned int order)
{
	struct page *page = alloc_pages_node(want->node, block_gfp(want), order);

	if (!page)
		return -ENOMEM;
	if (!bsa_may_take(want, page_to_pfn(page), 1UL << order)) {
		__free_pages(page, order);
		return -ENOMEM;
	}
	/* From here on every page is freed for itself. */
	split_page(page, order);
	return take(extents, page_to_pfn(page), 1UL << order);
}

/* Take the largest blocks that there are, until it is enough. */
static int reserve_blocks(struct list_head *extents,
			  struct bsa_reservation *want)
{
	unsigned int order = MAX_PAGE_ORDER;

	while (want->found < want->nr_pages) {
		unsigned long left = want->nr_pages - want->found;

		if (order > MIN_BLOCK_ORDER && 1UL << order > left)
			order = max_t(unsigned int, __fls(left),
				      MIN_BLOCK_ORDER);
		if (!take_block(extents, want, order))
			want->found += 1UL << order;
		else if (order-- == MIN_BLOCK_ORDER)
			return -ENOMEM;
	}
	return 0;
}

/*
 * Take pages from the kernel, as an empty list that is filled in. Return 0 or
 * -ENOMEM: then the list is empty, and nothing is taken. @want->found is filled in.
 */
int bsa_reserve(struct list_head *extents, struct bsa_reservation *want)
{
	unsigned long available = max(si_mem_available(), 0L);
	int err = -ENOMEM;

	/* Do not drive the machine into reclaim for what it does not have. */
	want->found = available;
	if (want->nr_pages > available)
		return -ENOMEM;
	want->found = 0;
	if (IS_ENABLED(CONFIG_CONTIG_ALLOC) && !want->blocks)
		err = reserve_contig(extents, want);
	if (err)
		err = reserve_blocks(extents, want);
	if (err)
		bsa_unreserve(extents);
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_reserve);
