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

/* Insert pages into the list, and join them with their neighbours. */
static int add_extent(struct list_head *extents, unsigned long pfn,
		      unsigned long nr_pages)
{
	struct bsa_extent *extent, *prev = NULL, *next = NULL;

	list_for_each_entry(extent, extents, node) {
		if (extent->pfn > pfn) {
			next = extent;
			break;
		}
		prev = extent;
	}
	if (prev && prev->pfn + prev->nr_pages == pfn) {
		prev->nr_pages += nr_pages;
		if (next && prev->pfn + prev->nr_pages == next->pfn) {
			prev->nr_pages += next->nr_pages;
			list_del(&next->node);
			kfree(next);
		}
		return 0;
	}
	if (next && pfn + nr_pages == next->pfn) {
		next->pfn = pfn;
		next->nr_pages += nr_pages;
		return 0;
	}
	extent = kmalloc(sizeof(*extent), GFP_KERNEL | __GFP_NOWARN);
	if (!extent)
		return -ENOMEM;
	extent->pfn = pfn;
	extent->nr_pages = nr_pages;
	list_add_tail(&extent->node, next ? &next->node : extents);
	return 0;
}

/* What the count of references of a page that is held is less than before. */
#define HELD	(INT_MAX / 2)

static void hold_page(struct page *page)
{
	/* Of what is reserved already, or belongs to slabs, the kernel takes care. */
	if (PageReserved(page) || PageSlab(page))
		return;
	page_ref_sub(page, HELD);
	if (!PageCompound(page))
		SetPageReserved(page);
}

static bool is_held(const struct page *page)
{
	return page_ref_count(page) < 0;
}

/*
 * Undo hold_page(). Return true if others have dropped references that they did
 * not have: those are made up for.
 */
static bool unhold_page(struct page *page)
{
	int least = PageTail(page) ? 0 : 1;

	if (!PageCompound(page))
		ClearPageReserved(page);
	page_ref_add(page, HELD);
	if (page_ref_count(page) >= least)
		return false;
	set_page_count(page, least);
	return true;
}

/*
 * Give pages back that are held. Return how many others have freed: of those some
 * may be the kernel's by now, and are left to it.
 */
static unsigned long give_back(unsigned long pfn, unsigned long nr_pages)
{
	unsigned long i, freed = 0;

	for (i = 0; i < nr_pages; i++) {
		struct page *page = pfn_to_page(pfn + i);

		if (is_held(page)) {
			freed += unhold_page(page);
			__free_page(page);
		} else {
			freed++;
		}
		if (i % 1024 == 0)
			cond_resched();
	}
	return freed;
}

/* Pages that the kernel has given us: hold and note them, or give them back. */
static int take(struct list_head *extents, unsigned long pfn,
		unsigned long nr_pages)
{
	struct bsa_extent pages = { .pfn = pfn, .nr_pages = nr_pages };
	int err;

	bsa_hold(&pages);
	err = add_extent(extents, pfn, nr_pages);
	if (err)
		give_back(pfn, nr_pages);
	return err;
}

/**
 * bsa_hold - let nobody free pages with calls of the kernel
 * @extent: the pages; their references and flags are as they were afterwards,
 *	when bsa_unhold() is called
 */
void bsa_hold(const struct bsa_extent *extent)
{
	unsigned long i;

	for (i = 0; i < extent->nr_pages; i++)
		hold_page(pfn_to_page(extent->pfn + i));
}

/**
 * bsa_unhold - let pages be those of whoever they belong to
 * @extents: with pages from bsa_hold(); empty afterwards
 *
 * Return: how many others have freed with calls of the kernel.
 */
unsigned long bsa_unhold(struct list_head *extents)
{
	struct bsa_extent *extent;
	unsigned long i, freed = 0;

	list_for_each_entry(extent, extents, node) {
		for (i = 0; i < extent->nr_pages; i++) {
			struct page *page = pfn_to_page(extent->pfn + i);

			if (is_held(page))
				freed += unhold_page(page);
		}
	}
	bsa_abandon(extents);
	return freed;
}

/**
 * bsa_abandon - leave pages to whoever may still write to them
 * @extents: from bsa_reserve(); empty afterwards
 *
 * They are reserved until the next boot.
 */
void bsa_abandon(struct list_head *extents)
{
	struct bsa_extent *extent, *next;

	list_for_each_entry_safe(extent, next, extents, node) {
		list_del(&extent->node);
		kfree(extent);
	}
}

/**
 * bsa_unreserve - give pages back to the kernel
 * @extents: from bsa_reserve(); empty afterwards
 *
 * Return: how many others have freed with calls of the kernel.
 */
unsigned long bsa_unreserve(struct list_head *extents)
{
	struct bsa_extent *extent;
	unsigned long freed = 0;

	list_for_each_entry(extent, extents, node)
		freed += give_back(extent->pfn, extent->nr_pages);
	bsa_abandon(extents);
	return freed;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_unreserve);

/**
 * bsa_zone_may_stay - may pages of a zone be reserved for good?
 * @zone: the zone
 *
 * Not where pages have to be movable, not where they are a device's, and not from
 * the first 16 MiB of x86, which old devices cannot do without. Elsewhere the
 * first zone is as good as any.
 */
bool bsa_zone_may_stay(struct zone *zone)
{
	return zone_idx(zone) < ZONE_MOVABLE &&
	       zone_end_pfn(zone) > PHYS_PFN(SZ_16M);
}
EXPORT_SYMBOL_IF_KUNIT(bsa_zone_may_stay);

/**
 * bsa_may_take - are these pages of the kind that is wanted?
 * @want: from where
 * @pfn: physical page number of the first one; all have a struct page
 * @nr_pages: number of pages, all in one zone
 */
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

#ifdef CONFIG_CONTIG_ALLOC
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
		    !bsa_alloc_contig_range(pfn, pfn + want->nr_pages,
					    GFP_KERNEL | __GFP_NOWARN))
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
#else
static int reserve_contig(struct list_head *extents,
			  const struct bsa_reservation *want)
{
	return -ENOMEM;
}
#endif

/* What the kernel's page allocator is asked for. */
static gfp_t block_gfp(const struct bsa_reservation *want)
{
	gfp_t gfp = GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN;

	if (want->node != NUMA_NO_NODE)
		gfp |= __GFP_THISNODE;
	if (!want->low)
		return gfp;
	/* Where there is no zone for 32 bits, that for DMA may be one. */
	return gfp | (IS_ENABLED(CONFIG_ZONE_DMA32) ? __GFP_DMA32 : __GFP_DMA);
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

/**
 * bsa_reserve - take pages from the kernel
 * @extents: an empty list, filled in
 * @want: how much, and from where; @want->found is filled in
 *
 * Return: 0 or -ENOMEM; then the list is empty, and nothing is taken.
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
	if (!want->blocks)
		err = reserve_contig(extents, want);
	if (err)
		err = reserve_blocks(extents, want);
	if (err)
		bsa_unreserve(extents);
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_reserve);
