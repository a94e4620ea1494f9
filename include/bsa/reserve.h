/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _BSA_RESERVE_H
#define _BSA_RESERVE_H

#include <linux/gfp.h>
#include <linux/list.h>
#include <linux/types.h>

struct zone;

/* How memory below 4 GiB is asked for: without a zone for it, that for DMA may be one. */
#define BSA_GFP_LOW	(IS_ENABLED(CONFIG_ZONE_DMA32) ? __GFP_DMA32 : __GFP_DMA)

/**
 * struct bsa_extent - physically contiguous pages that are held
 * @node: link in a list; of what was reserved in ascending order
 * @pfn: physical page number of the first page
 * @nr_pages: number of pages
 * @reserved: they are the kernel's, which gets them back
 * @held: calls of the kernel do not free them
 */
struct bsa_extent {
	struct list_head node;
	unsigned long pfn;
	unsigned long nr_pages;
	bool reserved;
	bool held;
};

/**
 * struct bsa_reservation - what is to be reserved
 * @nr_pages: number of pages, the prefix among them
 * @prefix: pages in front of those whose alignment matters
 * @node: NUMA node, or NUMA_NO_NODE
 * @low: below 4 GiB physical
 * @blocks: do not look for one contiguous range first
 * @found: what there was if it was not enough, in pages
 */
struct bsa_reservation {
	unsigned long nr_pages;
	unsigned long prefix;
	int node;
	bool low;
	bool blocks;
	unsigned long found;
};

int bsa_reserve(struct list_head *extents, struct bsa_reservation *want);
unsigned long bsa_unreserve(struct list_head *extents);
void bsa_abandon(struct list_head *extents);
void bsa_hold(struct bsa_extent *extent);
bool bsa_is_lost(const struct bsa_extent *extent, unsigned long index);

bool bsa_zone_may_stay(struct zone *zone);
bool bsa_may_take(const struct bsa_reservation *want, unsigned long pfn,
		  unsigned long nr_pages);

#endif /* _BSA_RESERVE_H */
