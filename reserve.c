// SPDX-License-Identifier: GPL-2.0-only
/*
 * Taking memory from the kernel, and giving it back
 *
 * One physically contiguous range, if the kernel can make one free; else the
 * largest blocks that its page allocator has, adjacent ones joined. Memory is
 * looked for from the top down, since low memory is scarce.
 *
 * Context: process, may sleep. Nothing here is called while a heap serves.
 */
#include <bsa/compat.h>
#include <bsa/reserve.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
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

static void give_back(unsigned long pfn, unsigned long nr_pages)
{
	unsigned long i;

	for (i = 0; i < nr_pages; i++) {
		__free_page(pfn_to_page(pfn + i));
		if (i % 1024 == 0)
			cond_resched();
	}
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
 */
void bsa_unreserve(struct list_head *extents)
{
	struct bsa_extent *extent;

	list_for_each_entry(extent, extents, node)
		give_back(extent->pfn, extent->nr_pages);
	bsa_abandon(extents);
}
EXPORT_SYMBOL_IF_KUNIT(bsa_unreserve);

#ifdef CONFIG_CONTIG_ALLOC
/*
 * Could the kernel make this range free? Reserved and pinned pages are found by
 * alloc_contig_range() itself; here it is about holes, zones and nodes.
 */
static bool range_is_usable(unsigned long pfn, unsigned long nr_pages, int node)
{
	struct zone *zone = NULL;
	unsigned long i;

	for (i = 0; i < nr_pages; i += min(nr_pages - i, pageblock_nr_pages)) {
		struct page *page = pfn_to_online_page(pfn + i);

		if (!page || (node != NUMA_NO_NODE && page_to_nid(page) != node))
			return false;
		if (zone && page_zone(page) != zone)
			return false;
		zone = page_zone(page);
		if (IS_ENABLED(CONFIG_ZONE_DMA) && page_zonenum(page) == 0)
			return false;
	}
	return pfn_to_online_page(pfn + nr_pages - 1) &&
	       page_zone(pfn_to_page(pfn + nr_pages - 1)) == zone;
}

/* Take one contiguous range whose page @want->prefix is aligned to @align. */
static int reserve_aligned(struct list_head *extents,
			   const struct bsa_reservation *want,
			   unsigned long align)
{
	unsigned long nr = want->nr_pages - want->prefix;
	unsigned long end = PHYS_PFN(virt_to_phys(high_memory - 1)) + 1;
	unsigned long start, pfn;
	int err;

	if (want->low)
		end = min(end, PHYS_PFN(SZ_4G));
	if (end < nr)
		return -ENOMEM;

	for (start = ALIGN_DOWN(end - nr, align); start > want->prefix;
	     start -= min(start, align)) {
		pfn = start - want->prefix;
		if (!range_is_usable(pfn, want->nr_pages, want->node))
			continue;
		if (alloc_contig_range(pfn, pfn + want->nr_pages,
				       MIGRATE_MOVABLE,
				       GFP_KERNEL | __GFP_NOWARN))
			continue;
		err = add_extent(extents, pfn, want->nr_pages);
		if (err)
			give_back(pfn, want->nr_pages);
		return err;
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

/* Take the largest blocks that there are, until it is enough. */
static int reserve_blocks(struct list_head *extents,
			  const struct bsa_reservation *want)
{
	gfp_t gfp = GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN;
	unsigned int order = MAX_PAGE_ORDER;
	unsigned long left = want->nr_pages;
	struct page *page;
	int err;

	if (want->node != NUMA_NO_NODE)
		gfp |= __GFP_THISNODE;
	if (want->low)
		gfp |= __GFP_DMA32;
	while (left) {
		if (order > MIN_BLOCK_ORDER && 1UL << order > left)
			order = max_t(unsigned int, __fls(left),
				      MIN_BLOCK_ORDER);
		page = alloc_pages_node(want->node, gfp, order);
		if (!page) {
			if (order-- == MIN_BLOCK_ORDER)
				return -ENOMEM;
			continue;
		}
		/* From here on every page is freed for itself. */
		split_page(page, order);
		err = add_extent(extents, page_to_pfn(page), 1UL << order);
		if (err) {
			give_back(page_to_pfn(page), 1UL << order);
			return err;
		}
		left -= min(left, 1UL << order);
	}
	return 0;
}

/**
 * bsa_reserve - take pages from the kernel
 * @extents: an empty list, filled in
 * @want: how much, and from where
 *
 * Return: 0 or -ENOMEM; then the list is empty, and nothing is taken.
 */
int bsa_reserve(struct list_head *extents, const struct bsa_reservation *want)
{
	int err = -ENOMEM;

	/* Do not drive the machine into reclaim for what it does not have. */
	if (want->nr_pages > si_mem_available())
		return -ENOMEM;
	if (!want->blocks)
		err = reserve_contig(extents, want);
	if (err)
		err = reserve_blocks(extents, want);
	if (err)
		bsa_unreserve(extents);
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_reserve);
