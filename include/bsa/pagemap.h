/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _BSA_PAGEMAP_H
#define _BSA_PAGEMAP_H

#include <linux/list.h>
#include <linux/llist.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/types.h>

/**
 * enum bsa_page_state - what a managed page is at this moment
 * @BSA_PAGE_NONE: not managed by any heap
 * @BSA_PAGE_TAIL: inside a block, but not its first page
 * @BSA_PAGE_FREE: first page of a block on a buddy free list
 * @BSA_PAGE_ALLOCATED: first page of a block that a caller holds
 * @BSA_PAGE_KEPT: first page of a block that the allocator holds: kept free
 *	for a CPU, or about to become something else
 * @BSA_PAGE_BITMAPS: holds bitmaps of slabs with more than 64 objects
 * @BSA_PAGE_SLAB_ACTIVE: first page of the slab that its owner allocates from
 * @BSA_PAGE_SLAB_PARTIAL: ... of a slab with live and with free objects
 * @BSA_PAGE_SLAB_FULL: ... of a slab whose owner knows of no free object
 * @BSA_PAGE_SLAB_EMPTY: ... of a slab without a live object, kept for reuse
 *
 * The states of slabs come last, so that "is it a slab" is one comparison.
 */
enum bsa_page_state {
	BSA_PAGE_NONE,
	BSA_PAGE_TAIL,
	BSA_PAGE_FREE,
	BSA_PAGE_ALLOCATED,
	BSA_PAGE_KEPT,
	BSA_PAGE_BITMAPS,
	BSA_PAGE_SLAB_ACTIVE,
	BSA_PAGE_SLAB_PARTIAL,
	BSA_PAGE_SLAB_FULL,
	BSA_PAGE_SLAB_EMPTY,
};

/**
 * struct bsa_page - descriptor of one managed page
 * @free0: slab: its bitmap of free objects, where 64 bits are enough
 * @owner: slab: who may write that bitmap, see bsa_owner_cpu(); else
 *	%BSA_NOBODY
 * @ttl: slab: local frees until the slab's list must be looked at again
 * @mask: slab: its size in bytes, minus one
 * @free: slab: its bitmap of free objects, written by the owner alone. The
 *	one of objects that were freed from elsewhere, and that the owner has
 *	not taken over yet, is %BSA_REMOTE words further; it is set with atomic
 *	operations by anybody.
 * @list: free block: the free list; slab: the owner's list of its state
 * @deferred: block that was freed in NMI: link in the buddy's list of those
 * @node: slab: link in the owner's list of slabs with remote frees;
 *	node.next is %BSA_NOT_QUEUED while the slab is on no such list
 * @section: index of the section in its buddy
 * @capacity: slab: its objects
 * @class: slab: index of its size class
 * @shift: slab: log2 of the object size, or of a third of it
 * @order: first page of a block: log2 of the block's pages
 * @state: an &enum bsa_page_state
 * @remote0: slab: its bitmap of remotely freed objects, if @free0 is the other
 *
 * Descriptors lie in the prefix of their section, one cache line each, and
 * stay descriptors for as long as the section exists. @owner and @node are
 * never used for anything else, so whoever arrives late, with a slab that
 * has been given back in the meantime, finds a valid link and a valid owner.
 *
 * The distance between the two bitmaps is the same wherever they are, so the
 * fast path reaches both from one pointer.
 */
struct bsa_page {
	unsigned long free0;
	u32 owner;
	u16 ttl;
	u16 mask;
	unsigned long *free;
	union {
		struct list_head list;
		struct llist_node deferred;
	};
	struct llist_node node;
	u16 section;
	u16 capacity;
	u8 class;
	u8 shift;
	u8 order;
	u8 state;
	unsigned long remote0;
} __aligned(64);

/* From a word of the bitmap of free objects to that of remotely freed ones. */
#define BSA_REMOTE	7U
static_assert(offsetof(struct bsa_page, remote0) ==
	      offsetof(struct bsa_page, free0) +
	      BSA_REMOTE * sizeof(unsigned long));

/* Neither a number of an owner, which is odd, nor any mark of &bsa_cpu.idle. */
#define BSA_NOBODY	2U

#define BSA_NOT_QUEUED	((struct llist_node *)1UL)

static inline bool bsa_page_is_slab(const struct bsa_page *page)
{
	return READ_ONCE(page->state) >= BSA_PAGE_SLAB_ACTIVE;
}

/*
 * The map has two levels. The upper one has an entry for each 2 MiB of the
 * kernel's linear mapping; the lower one is a leaf with an entry for each page.
 */
#define BSA_LEAF_SHIFT		21
#define BSA_LEAF_PAGES		(1UL << (BSA_LEAF_SHIFT - PAGE_SHIFT))

/**
 * struct bsa_leaf - descriptors of the pages in one naturally aligned range
 * @page: the descriptor of each page; pages of a slab have that of the slab's
 *	first page; pages that no heap manages have &bsa_no_page
 */
struct bsa_leaf {
	struct bsa_page *page[BSA_LEAF_PAGES];
};

/**
 * struct bsa_pagemap - from an address to the descriptor of its page
 * @nr: number of entries in @leaf; ends behind the last page of memory
 * @leaf: for each 2 MiB where its leaf would begin if it had an entry for every
 *	page of the linear mapping; ranges without a managed page share one leaf
 */
struct bsa_pagemap {
	unsigned long nr;
	struct bsa_page ***leaf;
};

/**
 * struct bsa_range - the managed pages of one section, as the map knows them
 * @node: link in the list of all ranges
 * @region: virtual address of the region, metadata included
 * @region_size: bytes of the region, metadata included
 * @start: virtual address of the first managed page
 * @nr_pages: number of managed pages
 * @pages: their descriptors
 * @leaves: memory for the leaves that cover the pages, in the region's prefix
 */
struct bsa_range {
	struct list_head node;
	unsigned long region;
	size_t region_size;
	unsigned long start;
	unsigned long nr_pages;
	struct bsa_page *pages;
	struct bsa_leaf *leaves;
};

extern struct mutex bsa_pagemap_mutex;
extern struct bsa_pagemap bsa_pagemap;
extern struct bsa_page bsa_no_page;

int bsa_pagemap_init(void);
void bsa_pagemap_exit(void);
int bsa_pagemap_check(unsigned long region, size_t size);
void bsa_pagemap_add(struct bsa_range *range);
void bsa_pagemap_remove(struct bsa_range *range);
void bsa_pagemap_set(unsigned long start, unsigned long nr_pages,
		     struct bsa_page *page, bool head);
unsigned long bsa_pagemap_nr_leaves(unsigned long nr_pages);

/**
 * bsa_page_of - the descriptor that is responsible for an address
 * @ptr: any value at all
 *
 * For the result to stay valid the caller holds something live in the section,
 * or has preemption off.
 *
 * Return: the descriptor; &bsa_no_page if no heap manages the address.
 */
static __always_inline struct bsa_page *bsa_page_of(const void *ptr)
{
	unsigned long offset = (unsigned long)ptr - PAGE_OFFSET;
	unsigned long granule = offset >> BSA_LEAF_SHIFT;

	if (unlikely(granule >= bsa_pagemap.nr))
		return &bsa_no_page;
	/* Of a live allocation the entry does not change. */
	return data_race(bsa_pagemap.leaf[granule][offset >> PAGE_SHIFT]);
}

#endif /* _BSA_PAGEMAP_H */
