// SPDX-License-Identifier: GPL-2.0-only
/*
 * Slabs: size classes, bitmaps, and the lists of one owner
 *
 * A slab is a block of pages that is cut into objects of one size class. What
 * is known about it lies in the descriptor of its first page, never in the slab
 * (as in hardened_malloc): objects are aligned to their size, fill the pages,
 * and cannot be overflowed into metadata. The idea of slabs, and of keeping
 * the partial, the full and the empty ones apart, is Bonwick's ("The Slab
 * Allocator", USENIX Summer 1994).
 *
 * A free object is a set bit. Allocation finds the first one and clears it;
 * free sets it, and finds a double free by doing so. A second bitmap is for
 * frees by others than the owner. An object is free if one of its bits is set.
 *
 * A bit stands for a unit, as a rule an object. Objects of 384, 768 and 1536
 * bytes take three units, so that an index is still a shift away, and only the
 * first unit's bit is used. Bits that stand for no object are set in the second
 * bitmap for good.
 *
 * The states of a slab:
 *
 *   active   its owner allocates from it, or it is on its way to another owner;
 *            on no list
 *   partial  has free objects; on its owner's list
 *   full     has no free object; on no list. Every free into it comes by
 *            bsa_slabs_look(), but for one by its owner that a magazine holds:
 *            BSA_OWNER_FULL sees to that
 *   empty    has no live object; at most one of each class is kept
 *
 *                refill                     no object is left
 *   empty, partial ------> active ------------------------> full
 *     ^      ^                                                |
 *     |      +---------------- first object freed ------------+
 *     +----------------------- last live object freed
 *
 * There is one function that moves slabs between lists, bsa_slabs_place(). A free
 * that changes what a slab is comes here, whoever frees:
 *
 *   free                               bsa_slabs_place()
 *   set the bit (a full barrier)       state = full, owner |= BSA_OWNER_FULL
 *                                      smp_mb()
 *   read owner, state, the word        read the bits
 *   if full, or all free: look         partial, empty, full, or nobody's
 *
 * One of the two sees what the other has done (model/litmus/free-vs-place.litmus).
 *
 * Whoever frees the last object of a slab that is not active gives it back, also
 * if it is another's. Then no object lives, and no free is under way: of each,
 * setting the bit is the last access. But an object may be freed a second time,
 * by the owner, who has looked at its bit and at @owner before, and is about to
 * set it without atomics. That is what the owner's mark is for: while it names the
 * slab, the slab is not taken away.
 *
 * What is left of that is two frees of one object in the same instant, by the
 * owner and by another CPU, the owner's mark being in its store buffer until the
 * slab has been given back and become somebody else's. There is no way to close
 * this without a barrier in every free.
 *
 * Two frees of different objects in the same instant, by the owner and by another CPU
 * or what interrupts the owner, may each miss the other's bit; then the slab stays on the owner's
 * list without a live object, until the owner uses it or bsa_slabs_take_unused()
 * finds it.
 */
#include <bsa/bitmap.h>
#include <bsa/compat.h>
#include <bsa/slab.h>

/* What an owner without an active slab allocates from. */
static unsigned long no_objects[BSA_REMOTE + 1];

/* Start without any slab, as an owner with an odd number that no other has. */
void bsa_slabs_init(struct bsa_slabs *slabs, u32 number,
		    struct bsa_buddy *buddy)
{
	unsigned int i;

	memset(slabs, 0, sizeof(*slabs));
	raw_spin_lock_init(&slabs->lock);
	slabs->mark = number;
	slabs->idle = number;
	slabs->number = number;
	slabs->buddy = buddy;
	for (i = 0; i < BSA_ALL_CLASSES; i++) {
		slabs->class[i].word = no_objects;
		slabs->class[i].unit = bsa_class_unit(i);
		INIT_LIST_HEAD(&slabs->shelf[i].partial);
	}
}
EXPORT_SYMBOL_IF_KUNIT(bsa_slabs_init);

/*
 * Make a slab of a block of pages, in the state BSA_PAGE_KEPT, whose objects
 * are all free. Where there is no memory for more bits than the descriptor
 * has, the slab has 64 objects. It is nobody's until bsa_slabs_activate() or
 * bsa_slabs_place().
 */
void bsa_slab_make(struct bsa_buddy *buddy, struct bsa_page *page,
		   unsigned int class)
{
	unsigned int shift = __ffs(bsa_class_unit(class)), i;
	unsigned long bits = (PAGE_SIZE << page->order) >> shift;
	unsigned long objects;

	/* A page that had many objects once may have bitmaps still. */
	if (bits > BITS_PER_LONG || page->free != &page->free0)
		bits = bsa_bitmap_bind(buddy, page, bits > BITS_PER_LONG) ?
		       min_t(unsigned long, bits, BSA_MAX_OBJECTS) :
		       min_t(unsigned long, bits, BITS_PER_LONG);
	page->class = class;
	page->shift = shift;
	page->mask = (PAGE_SIZE << page->order) - 1;
	WRITE_ONCE(page->bits, bits);
	WRITE_ONCE(page->held, 0);
	for (i = 0; i < bsa_slab_words(page); i++) {
		objects = bsa_slab_objects(page, i);
		WRITE_ONCE(page->free[i], objects);
		WRITE_ONCE(page->free[BSA_REMOTE + i], ~objects);
	}
	if (page->order)
		bsa_pagemap_set((unsigned long)bsa_page_address(buddy, page),
				1UL << page->order, page, true);
	WRITE_ONCE(page->state, BSA_PAGE_SLAB_ACTIVE);
}
EXPORT_SYMBOL_IF_KUNIT(bsa_slab_make);

/*
 * Make a slab that is nobody's, and on no list, a plain block of pages again.
 * Return how many of its objects had been freed both by their owner and by
 * others.
 */
unsigned int bsa_slab_unmake(struct bsa_buddy *buddy, struct bsa_page *slab)
{
	unsigned int i, conflicts = 0;

	for (i = 0; i < bsa_slab_words(slab); i++)
		conflicts += hweight_long(slab->free[i] &
					  READ_ONCE(slab->free[BSA_REMOTE + i]));
	/* It was held, and others have freed it a second time. */
	conflicts += !!slab->held;
	WRITE_ONCE(slab->held, 0);
	if (slab->order)
		bsa_pagemap_set((unsigned long)bsa_page_address(buddy, slab),
				1UL << slab->order, slab, false);
	WRITE_ONCE(slab->state, BSA_PAGE_KEPT);
	return conflicts;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_slab_unmake);

/*
 * Bits
 */

/* Objects freed by others and not yet taken over. */
unsigned int bsa_slab_nr_remote(const struct bsa_page *slab)
{
	unsigned int i, nr = 0;

	for (i = 0; i < bsa_slab_words(slab); i++)
		nr += hweight_long(READ_ONCE(slab->free[BSA_REMOTE + i]) &
				   bsa_slab_objects(slab, i));
	return nr;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_slab_nr_remote);

/* Objects that the owner knows to be free. */
unsigned int bsa_slab_nr_free(const struct bsa_page *slab)
{
	unsigned int i, nr = 0;

	for (i = 0; i < bsa_slab_words(slab); i++)
		nr += hweight_long(READ_ONCE(slab->free[i]));
	return nr;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_slab_nr_free);

/* Return the state that a slab's bits call for. */
static enum bsa_page_state state_by_bits(const struct bsa_page *slab)
{
	unsigned long free, any = 0, all = ~0UL;
	unsigned int i;

	for (i = 0; i < bsa_slab_words(slab); i++) {
		/* For bsa_slab_put() (model/litmus/put-releases.litmus). */
		free = smp_load_acquire(&slab->free[i]);
		/* For free_remote() (model/litmus/remote-releases.litmus). */
		free |= smp_load_acquire(&slab->free[BSA_REMOTE + i]);
		any |= free & bsa_slab_objects(slab, i);
		all &= free;
	}
	if (all == ~0UL)
		return BSA_PAGE_SLAB_EMPTY;
	return any ? BSA_PAGE_SLAB_PARTIAL : BSA_PAGE_SLAB_FULL;
}

/* Take over what others have freed in one word; return how much it was. */
static unsigned int drain_word(struct bsa_slabs *slabs, unsigned long *word,
			       unsigned long holes)
{
	unsigned long remote, conflicts;

	if (READ_ONCE(word[BSA_REMOTE]) == holes)
		return 0;
	/* What was done to them comes first (model/litmus/drain-acquires.litmus). */
	remote = xchg(&word[BSA_REMOTE], holes) & ~holes;
	conflicts = remote & *word;
	if (unlikely(conflicts))
		slabs->conflicts += hweight_long(conflicts);
	WRITE_ONCE(*word, *word | remote);
	return hweight_long(remote & ~conflicts);
}

/* Take over what others have freed in the active slab. */
void bsa_slabs_drain(struct bsa_slabs *slabs, struct bsa_class *class)
{
	struct bsa_page *slab = class->active;
	unsigned int i, nr = 0;

	if (!slab)
		return;
	for (i = 0; i < bsa_slab_words(slab); i++)
		nr += drain_word(slabs, &slab->free[i],
				 ~bsa_slab_objects(slab, i));
	slabs->drains[class - slabs->class] += !!nr;
	class->drained += nr;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_slabs_drain);

/*
 * Allocate from a word of the active slab that has an object. Return false if
 * there is none.
 */
bool bsa_slabs_next_word(struct bsa_slabs *slabs, struct bsa_class *class)
{
	struct bsa_page *slab = class->active;
	unsigned long *word, bytes;
	unsigned int i;

	if (!slab)
		return false;
	for (i = 0; i < bsa_slab_words(slab); i++) {
		word = &slab->free[i];
		if (!(*word & ~READ_ONCE(word[BSA_REMOTE])))
			continue;
		bytes = i * BITS_PER_LONG * class->unit;
		class->word = word;
		class->base = bsa_hidden((unsigned long)
					 bsa_page_address(slabs->buddy, slab) +
					 bytes);
		return true;
	}
	return false;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_slabs_next_word);

/*
 * Allocate from a slab from here on. It is on no list, in the state
 * BSA_PAGE_SLAB_ACTIVE, and there is no other active slab of its class.
 */
void bsa_slabs_activate(struct bsa_slabs *slabs, struct bsa_page *slab)
{
	struct bsa_class *class = &slabs->class[slab->class];

	class->active = slab;
	class->word = slab->free;
	class->base = bsa_hidden((unsigned long)
				 bsa_page_address(slabs->buddy, slab));
	class->refills++;
	/* A free may find it complete now (model/litmus/look-vs-activate.litmus). */
	smp_store_release(&slab->owner, slabs->number);
	bsa_slabs_drain(slabs, class);
	bsa_slabs_next_word(slabs, class);
}
EXPORT_SYMBOL_IF_KUNIT(bsa_slabs_activate);

/* What is held of a slab of the owner's is free, as if others had freed it. */
void bsa_slab_let_go(struct bsa_slabs *slabs, struct bsa_page *slab)
{
	if (!slab->held)
		return;
	/* As free_remote() (model/litmus/remote-releases.litmus). */
	if (test_and_set_bit(slab->held - 1, slab->free + BSA_REMOTE))
		slabs->conflicts++;
	WRITE_ONCE(slab->held, 0);
}
EXPORT_SYMBOL_IF_KUNIT(bsa_slab_let_go);

/*
 * Lists. The caller has the owner's lock.
 */

/* Take a slab off the list it is on, if any. */
static void unlist(struct bsa_slabs *slabs, struct bsa_page *slab)
{
	struct bsa_shelf *shelf = &slabs->shelf[slab->class];

	lockdep_assert_held(&slabs->lock);
	if (slab->state == BSA_PAGE_SLAB_PARTIAL) {
		list_del(&slab->list);
		WRITE_ONCE(shelf->nr_partial, shelf->nr_partial - 1);
	} else if (slab->state == BSA_PAGE_SLAB_EMPTY) {
		WRITE_ONCE(shelf->empty, NULL);
	}
}

/*
 * Make a slab without a live object nobody's. Return false, and leave it the
 * owner's, if the owner is in the middle of a free into it.
 */
static bool take_away(struct bsa_slabs *slabs, struct bsa_page *slab)
{
	lockdep_assert_held(&slabs->lock);
	WRITE_ONCE(slab->owner, BSA_NOBODY);
	/*
	 * Pairs with smp_rmb() in bsa_slab_put() (model/litmus/put-vs-take-away.litmus)
	 * and smp_wmb() in free_fast() (model/litmus/mark-outlasts-put.litmus); with the
	 * mark there as far as it goes without one (model/litmus/mark-vs-take-away.litmus).
	 */
	smp_mb();
	if (likely(READ_ONCE(slabs->mark) != (unsigned long)slab))
		return true;
	WRITE_ONCE(slab->owner, slabs->number);
	return false;
}

/*
 * Put a slab where its bits say that it belongs. @slabs is the set of its
 * owner, or of its owner to be. @slab is a slab of that set that is not
 * active, or one in the state BSA_PAGE_SLAB_ACTIVE that is on its way here.
 * Return the slab, if it has no live object and another one like that is kept
 * already: then it is nobody's, and the caller gives it back with
 * bsa_slab_unmake(). Else NULL.
 */
struct bsa_page *bsa_slabs_place(struct bsa_slabs *slabs, struct bsa_page *slab)
{
	struct bsa_shelf *shelf = &slabs->shelf[slab->class];
	bool retired = slab->state == BSA_PAGE_SLAB_ACTIVE;
	enum bsa_page_state state;

	unlist(slabs, slab);
	WRITE_ONCE(slab->state, BSA_PAGE_SLAB_FULL);
	WRITE_ONCE(slab->owner, slabs->number | BSA_OWNER_FULL);
	/*
	 * Pairs with test_and_set_bit() in free_remote(), see above
	 * (model/litmus/free-vs-place.litmus, model/litmus/free-vs-move.litmus).
	 */
	smp_mb();
	state = state_by_bits(slab);
	if (state == BSA_PAGE_SLAB_FULL)
		return NULL;
	if (state == BSA_PAGE_SLAB_EMPTY) {
		if (!shelf->empty) {
			WRITE_ONCE(shelf->empty, slab);
			goto listed;
		}
		if (take_away(slabs, slab)) {
			WRITE_ONCE(slab->state, BSA_PAGE_SLAB_ACTIVE);
			return slab;
		}
		state = BSA_PAGE_SLAB_PARTIAL;
	}
	/* Of one that was active just now, others are still freeing objects. */
	if (retired)
		list_add_tail(&slab->list, &shelf->partial);
	else
		list_add(&slab->list, &shelf->partial);
	WRITE_ONCE(shelf->nr_partial, shelf->nr_partial + 1);
listed:
	WRITE_ONCE(slab->state, state);
	/*
	 * From here on the owner frees into it without a look at its list.
	 * No order is needed: whatever state it finds, it is not active.
	 */
	smp_store_release(&slab->owner, slabs->number);
	return NULL;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_slabs_place);

/*
 * See whether a free has changed what a slab is. Return as bsa_slabs_place().
 */
struct bsa_page *bsa_slabs_look(struct bsa_slabs *slabs, struct bsa_page *slab)
{
	if (slab->state == BSA_PAGE_SLAB_ACTIVE ||
	    slab->state == state_by_bits(slab))
		return NULL;
	return bsa_slabs_place(slabs, slab);
}
EXPORT_SYMBOL_IF_KUNIT(bsa_slabs_look);

/*
 * Let go of one object that the magazine of a class holds; @release is what is to be
 * given back then, or NULL, as from bsa_slabs_place(). Return false if there was none.
 */
bool bsa_slabs_empty_magazine(struct bsa_slabs *slabs, struct bsa_class *class,
			      struct bsa_page **release)
{
	struct bsa_page *slab;
	const void *ptr;

	slab = bsa_slabs_pop_held(slabs, class, &ptr);
	if (!slab)
		return false;
	bsa_slab_let_go(slabs, slab);
	*release = bsa_slabs_look(slabs, slab);
	return true;
}

/*
 * Stop allocating from the active slab of a class. Return as
 * bsa_slabs_place().
 */
struct bsa_page *bsa_slabs_retire(struct bsa_slabs *slabs,
				  struct bsa_class *class)
{
	struct bsa_page *slab = class->active;

	if (!slab)
		return NULL;
	class->active = NULL;
	class->word = no_objects;
	return bsa_slabs_place(slabs, slab);
}
EXPORT_SYMBOL_IF_KUNIT(bsa_slabs_retire);

/*
 * Take a slab with free objects off the lists. Partial slabs come before the
 * empty one. Return the slab, in the state BSA_PAGE_SLAB_ACTIVE; NULL if there
 * is none.
 */
struct bsa_page *bsa_slabs_pop(struct bsa_slabs *slabs, unsigned int class)
{
	struct bsa_shelf *shelf = &slabs->shelf[class];
	struct bsa_page *slab;

	slab = list_first_entry_or_null(&shelf->partial, struct bsa_page, list);
	slab = slab ?: shelf->empty;
	if (!slab)
		return NULL;
	unlist(slabs, slab);
	WRITE_ONCE(slab->state, BSA_PAGE_SLAB_ACTIVE);
	return slab;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_slabs_pop);

/*
 * Take away the empty slab that is kept. Return the slab, which is nobody's
 * now, as from bsa_slabs_place(); or NULL.
 */
struct bsa_page *bsa_slabs_take_empty(struct bsa_slabs *slabs,
				      unsigned int class)
{
	struct bsa_page *slab = slabs->shelf[class].empty;

	if (!slab || !take_away(slabs, slab))
		return NULL;
	unlist(slabs, slab);
	WRITE_ONCE(slab->state, BSA_PAGE_SLAB_ACTIVE);
	return slab;
}

/*
 * Take away partial slabs that have no live object. Looks at @nr slabs, which
 * go to the end of the list. Return how many are nobody's now, in @unused,
 * which has room for @nr.
 */
unsigned int bsa_slabs_take_unused(struct bsa_slabs *slabs, unsigned int class,
				   unsigned int nr, struct bsa_page **unused)
{
	struct bsa_shelf *shelf = &slabs->shelf[class];
	unsigned int taken = 0;
	struct bsa_page *slab;

	while (nr--) {
		slab = list_first_entry_or_null(&shelf->partial,
						struct bsa_page, list);
		if (!slab)
			break;
		list_move_tail(&slab->list, &shelf->partial);
		if (state_by_bits(slab) != BSA_PAGE_SLAB_EMPTY ||
		    !take_away(slabs, slab))
			continue;
		unlist(slabs, slab);
		WRITE_ONCE(slab->state, BSA_PAGE_SLAB_ACTIVE);
		unused[taken++] = slab;
	}
	return taken;
}
