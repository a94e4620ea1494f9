// SPDX-License-Identifier: GPL-2.0-only
/*
 * What validate.c looks at in slabs, and in the lists of their owners
 */
#include <bsa/compat.h>
#include <bsa/bitmap.h>
#include <bsa/validate.h>

/* What it takes to check a slab, or what an owner allocates from, in pages. */
#define SLAB_COST	6

/* And two guards. */
#define GUARD_COST	16

/* Where a slab has its bitmaps. Return false if they must not be read. */
static bool check_bitmap(struct bsa_check *check, struct bsa_page *slab,
			 unsigned long pfn)
{
	struct bsa_bitmap *bitmap;
	struct bsa_page *block;
	unsigned long slot;

	if (slab->free == &slab->free0)
		return true;
	bitmap = container_of(slab->free, struct bsa_bitmap, free[0]);
	block = bsa_page_of(bitmap) - 1;
	/* Of its block, it lies in the second page or the third. */
	if (bsa_check_section_of(check, block) &&
	    block->state != BSA_PAGE_BITMAPS)
		block--;
	if (bsa_check_section_of(check, block) &&
	    block->state == BSA_PAGE_BITMAPS) {
		slot = bitmap - bsa_bitmaps(&check->heap->buddy, block);
		if (slot < BSA_NR_BITMAPS &&
		    bitmap == bsa_bitmaps(&check->heap->buddy, block) + slot &&
		    !test_bit(slot, &block->free0) && bitmap->page == slab)
			return true;
	}
	bsa_check_err(check, "slab %#lx: its bitmap is at %p", pfn, slab->free);
	return false;
}

/* Find a slab's owner; mostly it is that of the slab before. */
static struct bsa_cpu *find_owner(struct bsa_check *check,
				  const struct bsa_page *slab)
{
	u32 owner = slab->owner & ~BSA_OWNER_FULL;
	struct bsa_cpu *c = check->owner;

	if (c && c->slabs.number == owner)
		return c;
	bsa_for_each_owner(c, check->heap) {
		check->budget--;
		if (c->slabs.number == owner)
			break;
	}
	check->owner = c;
	return c;
}

/* Does the state of a slab go with its objects, its owner and the lists? */
static void check_state(struct bsa_check *check, struct bsa_page *slab,
			unsigned long pfn, unsigned int nr_free)
{
	unsigned int capacity = bsa_slab_capacity(slab);
	bool full = slab->owner & BSA_OWNER_FULL, right = true;
	struct bsa_cpu *c = find_owner(check, slab);
	struct bsa_shelf *shelf;

	if (!c) {
		bsa_check_err(check, "slab %#lx: its owner is %#x", pfn,
			      slab->owner);
		return;
	}
	shelf = &c->slabs.shelf[slab->class];
	switch (slab->state) {
	case BSA_PAGE_SLAB_PARTIAL:
		right = nr_free && !full;
		bsa_check_links(check, slab, &shelf->partial);
		break;
	case BSA_PAGE_SLAB_EMPTY:
		right = nr_free == capacity && !full && shelf->empty == slab;
		break;
	case BSA_PAGE_SLAB_FULL:
		/* What waits for somebody to look at it may have some. */
		right = full && (!nr_free ||
				 slab->node.next != BSA_NOT_DEFERRED);
		break;
	default:
		right = !full;
		break;
	}
	if (!right)
		bsa_check_err(check, "slab %#lx: state %u with %u of %u objects free, owner %#x",
			      pfn, slab->state, nr_free, capacity, slab->owner);
}

/**
 * bsa_check_slab - check a slab on its own
 * @check: the check
 * @slab: its first page
 * @pfn: the number of that
 */
void bsa_check_slab(struct bsa_check *check, struct bsa_page *slab,
		    unsigned long pfn)
{
	unsigned int size = PAGE_SIZE << slab->order, bits, i;
	unsigned int nr_free = 0, nr_both = 0;
	unsigned long free, remote, objects;

	if (slab->class >= BSA_ALL_CLASSES ||
	    (slab->order && slab->order != bsa_slab_order(slab->class))) {
		bsa_check_err(check, "slab %#lx: class %u, order %u", pfn, slab->class,
			      slab->order);
		return;
	}
	bits = min_t(unsigned int, size / bsa_class_unit(slab->class),
		     slab->free == &slab->free0 ? BITS_PER_LONG :
						  BSA_MAX_OBJECTS);
	if (slab->mask != size - 1 || slab->bits != bits ||
	    slab->shift != __ffs(bsa_class_unit(slab->class))) {
		bsa_check_err(check, "slab %#lx: mask %#x, shift %u, %u bits", pfn,
			      slab->mask, slab->shift, slab->bits);
		return;
	}
	check->budget -= SLAB_COST;
	if (!check_bitmap(check, slab, pfn)) {
		check->blind = true;
		return;
	}
	for (i = 0; i < bsa_slab_words(slab); i++) {
		free = READ_ONCE(slab->free[i]);
		remote = READ_ONCE(slab->free[BSA_REMOTE + i]);
		objects = bsa_slab_objects(slab, i);
		if (free & ~objects || ~(remote | objects))
			bsa_check_err(check, "slab %#lx: word %u of its bitmaps is %#lx, %#lx; objects are %#lx",
				      pfn, i, free, remote, objects);
		nr_free += hweight_long((free | remote) & objects);
		nr_both += hweight_long(free & remote & objects);
	}
	check_state(check, slab, pfn, nr_free);
	check->live += bsa_slab_capacity(slab) - nr_free;
	check->conflicts += nr_both;
}

static void check_active(struct bsa_check *check, struct bsa_cpu *c,
			 unsigned int index)
{
	struct bsa_class *class = &c->slabs.class[index];
	struct bsa_page *slab = class->active;
	unsigned long word, base, from;

	if (class->unit != bsa_class_unit(index))
		bsa_check_err(check, "owner %#x: objects of class %u are %lu bytes apart",
			      c->slabs.number, index, class->unit);
	if (!slab) {
		if (*class->word)
			bsa_check_err(check, "owner %#x: free objects of class %u, but no active slab",
				      c->slabs.number, index);
		return;
	}
	if (!bsa_check_section_of(check, slab)) {
		bsa_check_err(check, "owner %#x: the active slab of class %u is at %p",
			      c->slabs.number, index, slab);
		check->blind = true;
		return;
	}
	if (slab->state != BSA_PAGE_SLAB_ACTIVE || slab->class != index ||
	    slab->owner != c->slabs.number)
		bsa_check_err(check, "owner %#x: allocates class %u from slab %#lx: state %u, class %u, owner %#x",
			      c->slabs.number, index, bsa_check_pfn(check, slab),
			      slab->state, slab->class, slab->owner);
	if (slab->section >= check->heap->buddy.nr_sections)
		return;
	base = (unsigned long)bsa_page_address(&check->heap->buddy, slab);
	from = bsa_hidden(class->base);
	word = class->word - slab->free;
	if (word >= BSA_REMOTE ||
	    from != base + word * BITS_PER_LONG * class->unit)
		bsa_check_err(check, "owner %#x: allocates from word %ld of slab %#lx, at offset %ld",
			      c->slabs.number, word, bsa_check_pfn(check, slab),
			      from - base);
}

/* Nobody is on a fast path; with debug= every CPU is busy for good. */
static void check_idle(struct bsa_check *check, struct bsa_cpu *c)
{
	if (c->slabs.mark != bsa_percpu_mark(c))
		bsa_check_err(check, "owner %#x: its mark is %p", c->slabs.number,
			      (void *)c->slabs.mark);
}

/* Those that are on a list look at their neighbours themselves. */
static void check_shelf(struct bsa_check *check, struct bsa_cpu *c,
			unsigned int index)
{
	struct bsa_shelf *shelf = &c->slabs.shelf[index];

	if (list_empty(&shelf->partial) == !!shelf->nr_partial)
		bsa_check_err(check, "owner %#x: %lu partial slabs of class %u do not fit the list",
			      c->slabs.number, shelf->nr_partial, index);
	check->listed[0] += !!c->slabs.class[index].active;
	check->listed[1] += shelf->nr_partial;
	check->listed[2] += !!shelf->empty;
}

/**
 * bsa_check_owner - check what an owner allocates from, and what it has
 * @check: the check
 * @c: the owner
 */
void bsa_check_owner(struct bsa_check *check, struct bsa_cpu *c)
{
	unsigned int i;

	check->budget -= SLAB_COST;
	check_idle(check, c);
	for (i = 0; i < BSA_ALL_CLASSES; i++) {
		check_active(check, c, i);
		check_shelf(check, c, i);
	}
}

/**
 * bsa_check_slab_counts - compare numbers of slabs
 * @check: the check, of a quiet heap; all slabs and owners have been looked at
 */
void bsa_check_slab_counts(struct bsa_check *check)
{
	bsa_check_same(check, "active slabs", check->listed[0],
		       check->blocks[BSA_PAGE_SLAB_ACTIVE]);
	bsa_check_same(check, "partial slabs", check->listed[1],
		       check->blocks[BSA_PAGE_SLAB_PARTIAL]);
	bsa_check_same(check, "empty slabs", check->listed[2],
		       check->blocks[BSA_PAGE_SLAB_EMPTY]);
	bsa_check_same(check, "blocks of bitmaps",
		       check->heap->buddy.nr_bitmap_blocks,
		       check->blocks[BSA_PAGE_BITMAPS]);
}

/**
 * bsa_check_bitmaps - check a block of bitmaps and its guards
 * @check: the check
 * @block: the block
 * @pfn: its number
 */
void bsa_check_bitmaps(struct bsa_check *check, struct bsa_page *block,
		       unsigned long pfn)
{
	check->budget -= GUARD_COST;
	if (block->order != BSA_BITMAP_ORDER ||
	    block->free0 & ~BSA_ALL_BITMAPS)
		bsa_check_err(check, "page %#lx: order %u, free bitmaps %#lx",
			      pfn, block->order, block->free0);
	bsa_check_links(check, block, block->free0 ? &check->heap->buddy.room :
						     &check->heap->buddy.crowded);
	if (bsa_bitmap_damaged(&check->heap->buddy, block))
		bsa_check_err(check, "page %#lx: a guard of its bitmaps was overwritten",
			      pfn);
}
