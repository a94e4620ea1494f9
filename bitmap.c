// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bitmaps of slabs with more than 64 objects
 *
 * A descriptor has room for 64 bits. A page that is to hold more objects is given
 * bitmaps of its own, which it keeps: its descriptor's @free leads to them until
 * bsa_bitmap_trim() takes them back while it is no slab. So a page that becomes a slab
 * again finds its bitmaps there; and whoever frees an
 * object a second time, and is late, sets a bit of this page's bitmap, and not of
 * another's.
 *
 * Bitmaps lie in blocks of four pages that no caller ever sees:
 *
 *   | guard | bitmaps | bitmaps | guard |
 *
 * so that no overflow of up to a page from a neighbouring block reaches them. In
 * the block's descriptor, free0 has a bit for each bitmap that no page has. A block
 * goes back as a whole, when none of its bitmaps is that of a slab.
 *
 * Locking: buddy->lock, for a bounded number of steps.
 */
#include <bsa/bitmap.h>
#include <bsa/compat.h>
#include <bsa/debug.h>
#include <bsa/tools.h>
#include <linux/rcupdate.h>

static void *guard_page(struct bsa_buddy *buddy, const struct bsa_page *block,
			bool last)
{
	return bsa_page_address(buddy, block) +
	       (last ? (BSA_BITMAP_PAGES + 1) * PAGE_SIZE : 0);
}

/* Have the guards of a block of bitmaps been written to? */
bool bsa_bitmap_damaged(struct bsa_buddy *buddy, const struct bsa_page *block)
{
	bool damaged;

	/* To KASAN they are nobody's. */
	kasan_disable_current();
	damaged = memchr_inv(guard_page(buddy, block, false), BSA_GUARD_BYTE,
			     PAGE_SIZE) ||
		  memchr_inv(guard_page(buddy, block, true), BSA_GUARD_BYTE,
			     PAGE_SIZE);
	kasan_enable_current();
	return damaged;
}

static struct bsa_page *new_block(struct bsa_buddy *buddy)
{
	static const struct bsa_page_request req = { .order = BSA_BITMAP_ORDER };
	struct bsa_page *block = bsa_buddy_alloc(buddy, &req);

	if (!block)
		return NULL;
	/* Only heaps with debug= have records. */
	if (unlikely(buddy->side_size))
		bsa_check_taken(container_of(buddy, struct bsa_heap, buddy), block);
	bsa_fill(guard_page(buddy, block, false), BSA_GUARD_BYTE, PAGE_SIZE);
	bsa_fill(guard_page(buddy, block, true), BSA_GUARD_BYTE, PAGE_SIZE);
	bsa_unpoison(bsa_bitmaps(buddy, block), BSA_BITMAP_PAGES * PAGE_SIZE,
		     BSA_BITMAP_PAGES * PAGE_SIZE);
	block->free0 = BSA_ALL_BITMAPS;
	WRITE_ONCE(block->state, BSA_PAGE_BITMAPS);
	return block;
}

/* The caller holds the lock. */
static void list_block(struct bsa_buddy *buddy, struct bsa_page *block)
{
	lockdep_assert_held(&buddy->lock);
	list_add(&block->list, block->free0 ? &buddy->room : &buddy->crowded);
}

/* Give a page that has none bitmaps from a block with room. */
static bool take_bitmap(struct bsa_buddy *buddy, struct bsa_page *page)
{
	struct bsa_page *block;
	struct bsa_bitmap *bitmap;
	unsigned long slot;

	lockdep_assert_held(&buddy->lock);
	block = list_first_entry_or_null(&buddy->room, struct bsa_page, list);
	if (!block)
		return false;
	slot = __ffs(block->free0);
	block->free0 &= block->free0 - 1;
	list_del(&block->list);
	list_block(buddy, block);
	bitmap = bsa_bitmaps(buddy, block) + slot;
	bitmap->page = page;
	WRITE_ONCE(page->free, bitmap->free);
	return true;
}

/*
 * See which bitmaps a block has that its caller makes a slab; @many: for more
 * than 64 objects. Return false if it has none: then 64 objects must do.
 */
bool bsa_bitmap_bind(struct bsa_buddy *buddy, struct bsa_page *page, bool many)
{
	struct bsa_page *more = NULL;
	unsigned long flags;
	bool bound = false;

	/* Whether there is room is looked at again under the lock. */
	if (many && page->free == &page->free0 &&
	    list_empty_careful(&buddy->room)) {
		more = new_block(buddy);
		if (!more)
			goto out;
	}
	if (!bsa_lock(&buddy->lock, flags)) {
		/* Who trims may be about to take its bitmaps: do without. */
		WRITE_ONCE(page->free, &page->free0);
		if (more)
			bsa_buddy_free(buddy, more);
		goto out;
	}
	if (more) {
		list_block(buddy, more);
		buddy->nr_bitmap_blocks++;
	}
	bound = page->free != &page->free0 ||
		(many && take_bitmap(buddy, page));
	WRITE_ONCE(page->state, BSA_PAGE_SLAB_ACTIVE);
	bsa_unlock(&buddy->lock, flags);
out:
	WRITE_ONCE(page->state, BSA_PAGE_SLAB_ACTIVE);
	return bound;
}

/* Could all bitmaps of a block be taken back? */
static bool is_unused(struct bsa_buddy *buddy, const struct bsa_page *block)
{
	const struct bsa_bitmap *bitmap = bsa_bitmaps(buddy, block);
	unsigned long used = BSA_ALL_BITMAPS & ~block->free0;
	unsigned int slot;

	for_each_set_bit(slot, &used, BITS_PER_LONG)
		if (bitmap[slot].page->free == bitmap[slot].free &&
		    bsa_page_is_slab(bitmap[slot].page))
			return false;
	return true;
}

/*
 * Take the bitmaps in a block away from the pages that have them, none of which is
 * a slab. Those who have looked them up before may still set bits in there.
 */
static void retire_bitmaps(struct bsa_buddy *buddy, struct bsa_page *block)
{
	struct bsa_bitmap *bitmap = bsa_bitmaps(buddy, block);
	unsigned long used = BSA_ALL_BITMAPS & ~block->free0;
	struct bsa_page *page;
	unsigned int slot;

	for_each_set_bit(slot, &used, BITS_PER_LONG) {
		page = bitmap[slot].page;
		if (page->free == bitmap[slot].free)
			WRITE_ONCE(page->free, &page->free0);
	}
	block->free0 = BSA_ALL_BITMAPS;
	buddy->nr_bitmap_blocks--;
	WRITE_ONCE(block->state, BSA_PAGE_KEPT);
}

/*
 * Take the next block off a list and see whether it can be given back; it goes to
 * the end of the list otherwise.
 */
static struct bsa_page *retire_next(struct bsa_buddy *buddy,
				    struct list_head *list)
{
	struct bsa_page *block = NULL;
	unsigned long flags;

	if (!bsa_lock(&buddy->lock, flags))
		return NULL;
	block = list_first_entry_or_null(list, struct bsa_page, list);
	if (block && is_unused(buddy, block)) {
		list_del(&block->list);
		retire_bitmaps(buddy, block);
	} else if (block) {
		list_move_tail(&block->list, list);
		block = NULL;
	}
	bsa_unlock(&buddy->lock, flags);
	return block;
}

/*
 * Give back the blocks whose bitmaps nobody uses. May sleep: if there are any
 * it waits for a grace period. Return the number of pages that became free.
 */
unsigned long bsa_bitmap_trim(struct bsa_buddy *buddy)
{
	struct list_head *list[] = { &buddy->room, &buddy->crowded };
	struct bsa_page *block, *next;
	unsigned int i, left;
	unsigned long nr = 0;
	LIST_HEAD(blocks);

	for (i = 0; i < ARRAY_SIZE(list); i++) {
		for (left = READ_ONCE(buddy->nr_bitmap_blocks); left; left--) {
			block = retire_next(buddy, list[i]);
			if (block)
				list_add(&block->list, &blocks);
		}
	}
	if (list_empty(&blocks))
		return 0;
	/* Frees look bitmaps up with preemption off (model/litmus/trim-vs-free.litmus). */
	synchronize_rcu();
	list_for_each_entry_safe(block, next, &blocks, list) {
		bsa_poison(bsa_page_address(buddy, block),
			   PAGE_SIZE << BSA_BITMAP_ORDER);
		bsa_buddy_free(buddy, block);
		nr += 1UL << BSA_BITMAP_ORDER;
	}
	return nr;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_bitmap_trim);
