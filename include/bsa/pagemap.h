/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _BSA_PAGEMAP_H
#define _BSA_PAGEMAP_H

#include <linux/cache.h>
#include <linux/kasan.h>
#include <linux/list.h>
#include <linux/llist.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/types.h>

#if BITS_PER_LONG != 64
#error "bsa needs a 64-bit kernel: its bitmaps, its map and its marks are words of 64 bits"
#elif PAGE_SHIFT < 12 || PAGE_SHIFT > 16
#error "bsa needs pages of 4 to 64 KiB: a slab is at least a page, and at most 64 KiB"
#endif

/**
 * enum bsa_page_state - what a managed page is at this moment
 * @BSA_PAGE_NONE: not managed by any heap
 * @BSA_PAGE_TAIL: inside a block, but not its first page
 * @BSA_PAGE_FREE: first page of a block on a buddy free list
 * @BSA_PAGE_ALLOCATED: first page of a block that a caller holds
 * @BSA_PAGE_KEPT: first page of a block that the allocator holds: kept free
 *	for a CPU, or about to become something else
 * @BSA_PAGE_DEFERRED: first page of a block that waits to be freed
 * @BSA_PAGE_BITMAPS: first page of a block that holds bitmaps, see bitmap.c
 * @BSA_PAGE_SLAB_ACTIVE: first page of the slab that its owner allocates from,
 *	or of one that is on its way to another owner
 * @BSA_PAGE_SLAB_PARTIAL: ... of a slab with live and with free objects
 * @BSA_PAGE_SLAB_FULL: ... of a slab without a free object
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
	BSA_PAGE_DEFERRED,
	BSA_PAGE_BITMAPS,
	BSA_PAGE_SLAB_ACTIVE,
	BSA_PAGE_SLAB_PARTIAL,
	BSA_PAGE_SLAB_FULL,
	BSA_PAGE_SLAB_EMPTY,
};

/* Bytes of a descriptor: a 64th of the page, but whole cache lines; a power of two. */
#define BSA_PAGE_BYTES	(PAGE_SIZE / 64 > SMP_CACHE_BYTES ? \
			 PAGE_SIZE / 64 : SMP_CACHE_BYTES)

/* From a word of the bitmap of free objects to that of remotely freed ones. */
#define BSA_REMOTE	(BSA_PAGE_BYTES / sizeof(unsigned long) - 1)

/**
 * struct bsa_page - descriptor of one managed page
 * @free0: slab: its bitmap of free objects, where 64 bits are enough
 * @owner: slab: who may write that bitmap, see percpu.h; else %BSA_NOBODY
 * @mask: slab: its size in bytes, minus one
 * @class: slab: index of its size class
 * @shift: slab: log2 of the object size, or of a third of it
 * @free: the bitmap of free objects, @free0 or one of those of bitmap.c, written
 *	by the owner alone. The one of objects that were freed by others, and that
 *	the owner has not taken over yet, is %BSA_REMOTE words further; it is set
 *	with atomic operations by anybody.
 * @list: free block: the free list; slab: its owner's list of partial slabs
 * @below: kept block: the stack of kept blocks before this one came
 * @asked: allocated block: bytes that the caller asked for
 * @align: allocated block: alignment that the caller asked for, in bytes
 * @node: link in the buddy's list of what waits for a lock; node.next is
 *	%BSA_NOT_DEFERRED while it is not on it
 * @section: index of the section in its buddy
 * @order: first page of a block: log2 of the block's pages
 * @state: an &enum bsa_page_state
 * @bits: slab: bits of its bitmaps that are in use
 * @held: slab: index of the object that its owner's magazine holds, plus one; or 0
 * @unused: what larger pages or longer cache lines leave between the two bitmaps
 * @remote0: slab: its bitmap of remotely freed objects, if @free0 is the other
 *
 * Descriptors lie in the prefix of their section, each in cache lines of its own, and
 * stay descriptors for as long as the section exists. @free always leads to bitmaps
 * that belong to this page and to no other. So whoever frees an object a second
 * time, and arrives when the slab has become something else, changes nothing but
 * a bit of this page's bitmap of remote frees.
 *
 * The distance between the two bitmaps is the same wherever they are, so the
 * fast path reaches both from one pointer.
 */
struct bsa_page {
	unsigned long free0;
	u32 owner;
	u16 mask;
	u8 class;
	u8 shift;
	unsigned long *free;
	union {
		struct list_head list;
		unsigned long below;
		struct {
			size_t asked;
			size_t align;
		};
	};
	struct llist_node node;
	u16 section;
	u8 order;
	u8 state;
	u16 bits;
	u16 held;
	unsigned long unused[BSA_REMOTE - 7];
	unsigned long remote0;
};

static_assert(sizeof(struct bsa_page) == BSA_PAGE_BYTES);
static_assert(offsetof(struct bsa_page, remote0) ==
	      offsetof(struct bsa_page, free0) +
	      BSA_REMOTE * sizeof(unsigned long));

/* Neither an owner's number, which is odd, nor any mark, see slab.h. */
#define BSA_NOBODY	2U

#define BSA_NOT_DEFERRED	((struct llist_node *)1UL)

static inline bool bsa_page_is_slab(const struct bsa_page *page)
{
	return READ_ONCE(page->state) >= BSA_PAGE_SLAB_ACTIVE;
}

/**
 * struct bsa_pagemap - from an address to the descriptor of its page
 * @entry: for each page of the linear mapping its descriptor; pages of a slab have
 *	that of the slab's first page; pages that no heap manages have &bsa_no_page.
 *	Most of it is one page of such, mapped over and over
 * @nr: number of entries
 */
struct bsa_pagemap {
	struct bsa_page **entry;
	unsigned long nr;
};

/**
 * struct bsa_range - the managed pages of one section, as the map knows them
 * @node: link in the list of all ranges
 * @region: virtual address of the region, metadata included
 * @region_size: bytes of the region, metadata included
 * @start: virtual address of the first managed page
 * @nr_pages: number of managed pages
 * @pages: their descriptors
 */
struct bsa_range {
	struct list_head node;
	unsigned long region;
	size_t region_size;
	unsigned long start;
	unsigned long nr_pages;
	struct bsa_page *pages;
};

extern struct mutex bsa_pagemap_mutex;
extern struct bsa_pagemap bsa_pagemap;
extern struct bsa_page bsa_no_page;

void bsa_pagemap_exit(void);
int bsa_pagemap_grow(unsigned long nr);
void bsa_pagemap_expect(unsigned long region, size_t size);
int bsa_pagemap_prepare(unsigned long region, size_t size);
void bsa_pagemap_add(struct bsa_range *range);
void bsa_pagemap_remove(struct bsa_range *range);
void bsa_pagemap_sync(void);
void bsa_pagemap_set(unsigned long start, unsigned long nr_pages,
		     struct bsa_page *page, bool head);

/* Where in the map an address is. */
static __always_inline unsigned long bsa_pagemap_index(const void *ptr)
{
	return ((unsigned long)kasan_reset_tag(ptr) - PAGE_OFFSET) >> PAGE_SHIFT;
}

/*
 * The descriptor that is responsible for an address, which may be any value at
 * all; &bsa_no_page if no heap manages it. Preemption is off, as it has to be for as
 * long as the result is used, unless the caller holds something live in the section.
 *
 * Whoever replaces the map waits for those who have preemption off, before there are
 * more entries, and before the older map goes.
 */
static __always_inline struct bsa_page *__bsa_page_of(const void *ptr)
{
	unsigned long index = bsa_pagemap_index(ptr);

	if (unlikely(index >= READ_ONCE(bsa_pagemap.nr)))
		return &bsa_no_page;
	/*
	 * Of a live allocation the entry does not change. Pairs with the releases in
	 * pagemap.c (model/litmus/map-grows.litmus).
	 */
	return data_race(READ_ONCE(bsa_pagemap.entry)[index]);
}

/* As __bsa_page_of(), in any context. */
static inline struct bsa_page *bsa_page_of(const void *ptr)
{
	struct bsa_page *page;

	preempt_disable();
	page = __bsa_page_of(ptr);
	preempt_enable();
	return page;
}

#endif /* _BSA_PAGEMAP_H */
