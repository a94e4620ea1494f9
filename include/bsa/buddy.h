/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _BSA_BUDDY_H
#define _BSA_BUDDY_H

#include <bsa/lock.h>
#include <bsa/pagemap.h>
#include <linux/bsa.h>
#include <linux/spinlock.h>

/* Blocks of 2^0 to 2^20 pages: 4 KiB to 4 GiB. */
#define BSA_MAX_PAGE_ORDER	20
#define BSA_NR_ORDERS		(BSA_MAX_PAGE_ORDER + 1)

#define BSA_MAX_SECTIONS	512
#define BSA_SECTION_WORDS	BITS_TO_LONGS(BSA_MAX_SECTIONS)

/* What the pages between metadata and callers' pages are filled with. */
#define BSA_GUARD_BYTE		0xa5

struct bsa_buddy;

/**
 * struct bsa_section - one physically contiguous range of pages
 * @range: the pages, as the page map knows them
 * @buddy: the allocator that the section belongs to
 * @pfn: physical page number of the first managed page
 * @free_pages: pages in free blocks
 * @orders: bit k is set while there is a free block of order k
 * @id: index in the order of registration
 * @low: the section lies below 4 GiB physical
 * @free: for each order, the free blocks
 * @nr_free: for each order, their number
 * @side: &bsa_buddy.side_size bytes for each page, not in the region; or NULL
 *
 * Lies in the region's own prefix. Written under the buddy's lock.
 */
struct bsa_section {
	struct bsa_range range;
	struct bsa_buddy *buddy;
	unsigned long pfn;
	unsigned long free_pages;
	unsigned long orders;
	u16 id;
	bool low;
	struct list_head free[BSA_NR_ORDERS];
	unsigned long nr_free[BSA_NR_ORDERS];
	void *side;
};

/**
 * struct bsa_buddy - a page allocator over several sections
 * @lock: protects everything here and in the sections
 * @nr_sections: number of sections
 * @total_pages: managed pages in all sections
 * @free_pages: free pages in all sections
 * @deferred: descriptors of what could not be done because a lock was not to be
 *	had, pushed by anybody: blocks that were freed, and slabs that belong on
 *	another list
 * @pending: those taken off @deferred, all at once, that wait for their turn
 * @room: blocks of bitmaps with room for another
 * @crowded: blocks of bitmaps without room
 * @nr_bitmap_blocks: the number of both
 * @low: sections that lie below 4 GiB physical
 * @fits: for each order, the sections that have a free block of that order or
 *	larger; the first set bit is the first fit in order of registration
 * @nr_orders: what is larger than that can never be had; by &bsa_section.low, and
 *	of all sections in [0]
 * @section: the sections, in order of registration
 * @side_size: bytes that are wanted for each page beside its descriptor
 */
struct bsa_buddy {
	raw_spinlock_t lock;
	unsigned int nr_sections;
	unsigned long total_pages;
	unsigned long free_pages;
	struct llist_head deferred;
	struct llist_node *pending;
	struct list_head room;
	struct list_head crowded;
	unsigned int nr_bitmap_blocks;
	unsigned long low[BSA_SECTION_WORDS];
	unsigned long fits[BSA_NR_ORDERS][BSA_SECTION_WORDS];
	unsigned int nr_orders[2];
	struct bsa_section *section[BSA_MAX_SECTIONS];
	size_t side_size;
};

/**
 * enum bsa_refused - why a free was refused
 * @BSA_FREE_OK: it was not
 * @BSA_FREE_FOREIGN: no heap manages the address
 * @BSA_FREE_OTHER_HEAP: another heap manages it
 * @BSA_FREE_INTERIOR: inside an allocation, but not its start
 * @BSA_FREE_DOUBLE: not allocated (any more)
 * @BSA_FREE_OBJECT: pages were to be freed, but it is a slab object
 * @BSA_FREE_COUNT: another number of pages was asked for
 * @BSA_FREE_UNCLEAR: one of these; there was no way to tell which
 * @BSA_NR_REFUSED: how many reasons there are
 */
enum bsa_refused {
	BSA_FREE_OK,
	BSA_FREE_FOREIGN,
	BSA_FREE_OTHER_HEAP,
	BSA_FREE_INTERIOR,
	BSA_FREE_DOUBLE,
	BSA_FREE_OBJECT,
	BSA_FREE_COUNT,
	BSA_FREE_UNCLEAR,
	BSA_NR_REFUSED,
};

/**
 * struct bsa_page_request - what a caller wants from the buddy
 * @order: log2 of the number of pages
 * @align_order: log2 of the alignment in pages; may be larger than @order
 * @low: only from below 4 GiB physical
 */
struct bsa_page_request {
	unsigned int order;
	unsigned int align_order;
	bool low;
};

void bsa_buddy_init(struct bsa_buddy *buddy);
struct bsa_page *bsa_buddy_alloc(struct bsa_buddy *buddy,
				 const struct bsa_page_request *req);
void bsa_buddy_free(struct bsa_buddy *buddy, struct bsa_page *page);
void bsa_buddy_shrink(struct bsa_buddy *buddy, struct bsa_page *page,
		      unsigned int order);
bool bsa_buddy_could(const struct bsa_buddy *buddy,
		     const struct bsa_page_request *req);
bool bsa_buddy_fits(struct bsa_buddy *buddy,
		    const struct bsa_page_request *req);
struct bsa_page *bsa_buddy_head(const struct bsa_section *section,
				struct bsa_page *page);
enum bsa_refused bsa_buddy_refusal(struct bsa_buddy *buddy,
				   struct bsa_page *page, const void *addr);

/* What had to be put off. */
void bsa_buddy_defer(struct bsa_buddy *buddy, struct bsa_page *page);
unsigned int bsa_buddy_catch_up(struct bsa_buddy *buddy,
				struct bsa_page **slabs);

/* section.c */
void bsa_buddy_fill(struct bsa_section *section);
void bsa_buddy_publish(struct bsa_section *section);
int bsa_buddy_add_region(struct bsa_buddy *buddy, void *start, size_t size);
void bsa_buddy_destroy(struct bsa_buddy *buddy);
size_t bsa_buddy_meta_size(size_t size);
const void *bsa_section_damage(const struct bsa_section *section);
int bsa_buddy_section(struct bsa_buddy *buddy, unsigned int index,
		      struct bsa_section_info *info);

/* bitmap.c */
bool bsa_bitmap_bind(struct bsa_buddy *buddy, struct bsa_page *page, bool many);
unsigned long bsa_bitmap_trim(struct bsa_buddy *buddy);

/* Deferred descriptors that are dealt with at a time. */
#define BSA_DEFERRED_BATCH	8

static inline bool bsa_buddy_has_deferred(const struct bsa_buddy *buddy)
{
	return READ_ONCE(buddy->pending) || !llist_empty(&buddy->deferred);
}

/* Virtual address of a page, from its descriptor. */
static inline void *bsa_page_address(struct bsa_buddy *buddy,
				     const struct bsa_page *page)
{
	const struct bsa_range *range = &buddy->section[page->section]->range;

	return (void *)(range->start + ((page - range->pages) << PAGE_SHIFT));
}

/* Does a page lie below 4 GiB physical? */
static inline bool bsa_page_is_low(struct bsa_buddy *buddy,
				   const struct bsa_page *page)
{
	return buddy->section[page->section]->low;
}

/* Is this page one of ours? */
static inline bool bsa_buddy_owns(struct bsa_buddy *buddy,
				  const struct bsa_page *page)
{
	const struct bsa_range *range;
	unsigned int nr;

	/* A section that counts is complete (model/litmus/publish-section.litmus). */
	nr = smp_load_acquire(&buddy->nr_sections);
	if (page->section >= nr)
		return false;
	/* A page of another heap, or of none, is not among its descriptors. */
	range = &buddy->section[page->section]->range;
	return (unsigned long)page - (unsigned long)range->pages <
	       range->nr_pages * sizeof(*page);
}

/*
 * Take a block from the caller who frees it; @page is that of @addr. Of
 * several callers who free one block only one gets it, then in the state
 * BSA_PAGE_KEPT (model/litmus/claim-once.litmus). All that the caller has stored
 * in the block comes before (model/litmus/claim-vs-alloc.litmus). Preemption is
 * off. Return false if @addr is not the start of an allocated block;
 * bsa_buddy_refusal() tells why.
 */
static inline bool bsa_buddy_claim(struct bsa_buddy *buddy,
				   struct bsa_page *page, const void *addr)
{
	u8 state = BSA_PAGE_ALLOCATED;

	return likely(bsa_buddy_owns(buddy, page) && !offset_in_page(addr) &&
		      try_cmpxchg(&page->state, &state, BSA_PAGE_KEPT));
}

#endif /* _BSA_BUDDY_H */
