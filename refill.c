// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where a CPU's next slab comes from, and where slabs go
 *
 * When a CPU's magazine and the word that it allocates from are empty, it looks, in
 * this order, at
 *
 *   the other words of its active slab, and what others have freed there
 *   its partial slabs, and its empty one
 *   the shared set's
 *   blocks of pages that it keeps, the buddy, what other CPUs keep
 *
 * Only the active slab is used without a lock. The last two steps hold no lock of
 * the first ones: no CPU ever holds two.
 *
 * A free that changes what a slab is (see slab.c) comes here too, to bsa_look():
 * whoever frees takes the owner's lock for it.
 */
#include <bsa/compat.h>
#include <bsa/percpu.h>

/*
 * Remote frees in the current word that are worth taking over at once. Of a slab
 * that somebody is freeing into just now there would be a few at a time: on two
 * real processors a ring from one to the other took twice as long.
 */
#define DRAIN_WORTH	8

/* Slabs that are made for one allocation from the shared set. */
#define MAX_TRIES	4

/*
 * Blocks
 */

/*
 * Free a block that the allocator holds, in the state BSA_PAGE_KEPT.
 * Preemption is off.
 */
void bsa_keep_block(struct bsa_heap *heap, struct bsa_page *page)
{
	if (page->order >= BSA_KEPT_ORDERS ||
	    !bsa_kept_push(this_cpu_ptr(&heap->cpu->kept[page->order]), page,
			   bsa_page_address(&heap->buddy, page),
			   bsa_page_is_low(&heap->buddy, page)))
		bsa_buddy_free(&heap->buddy, page);
}

/* Take a block for a slab. */
static struct bsa_page *take_block(struct bsa_heap *heap, unsigned int order)
{
	struct bsa_page_request req = { .order = order };
	struct bsa_page *page;
	struct bsa_cpu *c = NULL;

	if (bsa_kept_pop(this_cpu_ptr(&heap->cpu->kept[order]), false, &page))
		return page;
	page = bsa_buddy_alloc(&heap->buddy, &req);
	if (page)
		return page;
	while ((c = bsa_percpu_next(heap, c)))
		if (bsa_kept_pop(&c->kept[order], false, &page))
			return page;
	return NULL;
}

/* Make a slab. It is nobody's, and on no list. Preemption is off. */
static struct bsa_page *new_slab(struct bsa_heap *heap, unsigned int class)
{
	unsigned int order = bsa_slab_order(class);
	struct bsa_page *page = take_block(heap, order);

	/* Rather a small slab than none. */
	if (unlikely(!page) && order)
		page = take_block(heap, 0);
	if (unlikely(!page))
		return NULL;
	bsa_slab_make(&heap->buddy, page, class);
	this_cpu_add(heap->cpu->slab_pages, 1UL << page->order);
	return page;
}

/*
 * Give back the pages of a slab that is nobody's, if there is one. Preemption
 * is off.
 */
void bsa_release_slab(struct bsa_heap *heap, struct bsa_page *slab)
{
	if (!slab)
		return;
	this_cpu_add(heap->cpu->slab_pages_back, 1UL << slab->order);
	this_cpu_add(heap->cpu->conflicts,
		     bsa_slab_unmake(&heap->buddy, slab));
	bsa_keep_block(heap, slab);
}

/*
 * Slabs that change lists
 */

/*
 * A free may have changed which list a slab belongs on, which by now may be
 * something else. Preemption is off.
 */
void bsa_look(struct bsa_heap *heap, struct bsa_page *slab)
{
	struct bsa_page *release = NULL;
	unsigned long flags;
	struct bsa_cpu *c;
	u32 owner;

	for (;;) {
		owner = READ_ONCE(slab->owner);
		/* Who takes it away, or has it now, has seen the bit. */
		if (owner == BSA_NOBODY || !bsa_owner_is_of(owner, heap))
			return;
		c = bsa_owner_in(heap, owner);
		if (!bsa_lock(&c->slabs.lock, flags)) {
			bsa_buddy_defer(&heap->buddy, slab);
			return;
		}
		/*
		 * Whoever finds its new owner finds that it is active
		 * (model/litmus/look-vs-activate.litmus).
		 */
		owner = smp_load_acquire(&slab->owner) & ~BSA_OWNER_FULL;
		if (owner == c->slabs.number)
			break;
		/* It is on its way to another owner. */
		bsa_unlock(&c->slabs.lock, flags);
	}
	release = bsa_slabs_look(&c->slabs, slab);
	bsa_unlock(&c->slabs.lock, flags);
	bsa_release_slab(heap, release);
}

/* Do some of what was put off for want of a lock. Preemption is off. */
void bsa_catch_up(struct bsa_heap *heap)
{
	struct bsa_page *slabs[BSA_DEFERRED_BATCH];
	unsigned int nr = bsa_buddy_catch_up(&heap->buddy, slabs);

	while (nr--)
		bsa_look(heap, slabs[nr]);
}

/* Let go of what is held of a class, as bsa_retire_all(). */
static void empty_magazine(struct bsa_cpu *c, struct bsa_class *class)
{
	struct bsa_page *release[BSA_MAGAZINE_SIZE];
	unsigned int nr = 0, i;
	unsigned long flags;

	if (!class->held || !bsa_lock(&c->slabs.lock, flags))
		return;
	while (bsa_slabs_empty_magazine(&c->slabs, class, &release[nr]))
		nr++;
	bsa_unlock(&c->slabs.lock, flags);
	for (i = 0; i < nr; i++)
		bsa_release_slab(c->heap, release[i]);
}

/*
 * Let go of the active slabs and of what magazines hold, as the owner of the set or of
 * the shared one. Preemption is off.
 */
void bsa_retire_all(struct bsa_cpu *c)
{
	struct bsa_page *release[BSA_ALL_CLASSES];
	unsigned long flags;
	unsigned int i;

	for (i = 0; i < BSA_ALL_CLASSES; i++)
		empty_magazine(c, &c->slabs.class[i]);
	if (!bsa_lock(&c->slabs.lock, flags))
		return;
	for (i = 0; i < BSA_ALL_CLASSES; i++)
		release[i] = bsa_slabs_retire(&c->slabs, &c->slabs.class[i]);
	bsa_unlock(&c->slabs.lock, flags);
	for (i = 0; i < BSA_ALL_CLASSES; i++)
		bsa_release_slab(c->heap, release[i]);
}

/*
 * Give some partial slabs to the shared set: of this CPU, which is busy, or of
 * one that is offline. Its magazines are empty. Preemption is off. Return true if
 * there may be more.
 */
bool bsa_move_slabs(struct bsa_cpu *c, unsigned int class)
{
	struct bsa_cpu *shared = &c->heap->shared;
	struct bsa_page *slab[BSA_BATCH];
	unsigned int i, nr = 0;
	unsigned long flags;

	if (!bsa_lock(&c->slabs.lock, flags))
		return false;
	while (nr < BSA_BATCH && (slab[nr] = bsa_slabs_pop(&c->slabs, class))) {
		/*
		 * A free that comes now finds it with its next owner. Pairs with
		 * smp_load_acquire() in bsa_look() (model/litmus/look-vs-activate.litmus).
		 */
		smp_store_release(&slab[nr]->owner, shared->slabs.number);
		nr++;
	}
	bsa_unlock(&c->slabs.lock, flags);
	if (!nr || WARN_ON_ONCE(!bsa_lock(&shared->slabs.lock, flags)))
		return false;
	for (i = 0; i < nr; i++)
		slab[i] = bsa_slabs_place(&shared->slabs, slab[i]);
	bsa_unlock(&shared->slabs.lock, flags);
	for (i = 0; i < nr; i++)
		bsa_release_slab(c->heap, slab[i]);
	return nr == BSA_BATCH;
}

/*
 * Objects
 */

/*
 * Take a slab of the shared set for this CPU's, if it looks as if there was one. It
 * has its new owner before the lock is let go of: who has that lock and finds the old
 * one may look at its state (model/litmus/look-vs-adopt.litmus).
 */
static struct bsa_page *adopt_shared(struct bsa_cpu *c, unsigned int class)
{
	struct bsa_cpu *shared = &c->heap->shared;
	struct bsa_shelf *shelf = &shared->slabs.shelf[class];
	struct bsa_page *slab = NULL;
	unsigned long flags;

	/* A hint: the lock decides. */
	if (!READ_ONCE(shelf->nr_partial) && !READ_ONCE(shelf->empty))
		return NULL;
	if (bsa_lock(&shared->slabs.lock, flags)) {
		slab = bsa_slabs_pop(&shared->slabs, class);
		if (slab)
			/* For bsa_look() (model/litmus/look-vs-activate.litmus). */
			smp_store_release(&slab->owner, c->slabs.number);
		bsa_unlock(&shared->slabs.lock, flags);
	}
	return slab;
}

/*
 * Let go of the active slab of a class, which has no object left, and get another
 * one from the owner's lists. One that others have freed altogether in the
 * meantime is as good. The caller has the lock.
 */
static struct bsa_page *exchange_slab(struct bsa_slabs *slabs,
				      struct bsa_class *class)
{
	return bsa_slabs_retire(slabs, class) ?:
	       bsa_slabs_pop(slabs, class - slabs->class);
}

static bool change_slab(struct bsa_cpu *c, struct bsa_class *class)
{
	struct bsa_page *slab;
	unsigned long flags;

	if (!bsa_lock(&c->slabs.lock, flags))
		return false;
	slab = exchange_slab(&c->slabs, class);
	bsa_unlock(&c->slabs.lock, flags);
	if (slab)
		bsa_slabs_activate(&c->slabs, slab);
	return slab;
}

/* Get a slab from further away. */
static noinline bool fetch_slab(struct bsa_cpu *c, struct bsa_class *class)
{
	unsigned int index = class - c->slabs.class;
	struct bsa_page *slab;

	/* Where the lock was not to be had, there is one still. */
	if (class->active)
		return false;
	if (unlikely(bsa_buddy_has_deferred(&c->heap->buddy))) {
		bsa_catch_up(c->heap);
		if (change_slab(c, class))
			return true;
	}
	slab = adopt_shared(c, index) ?: new_slab(c->heap, index);
	if (slab)
		bsa_slabs_activate(&c->slabs, slab);
	return slab;
}

/* Have others freed enough in the current word? */
static __always_inline bool worth_draining(const struct bsa_class *class)
{
	unsigned long remote = READ_ONCE(class->word[BSA_REMOTE]);

	/* Without an active slab there is nothing. */
	return remote && class->active &&
	       hweight_long(remote & bsa_slab_objects(class->active,
						      class->word -
						      class->active->free)) >=
	       DRAIN_WORTH;
}

/*
 * Allocate as an owner, which is busy, whose current word has no object.
 * Preemption is off. Return the object, or NULL.
 */
void *bsa_refill(struct bsa_cpu *c, struct bsa_class *class)
{
	void *obj;

	if (worth_draining(class)) {
		bsa_slabs_drain(&c->slabs, class);
		if (bsa_class_take(class, &obj))
			return obj;
	}
	if (bsa_slabs_next_word(&c->slabs, class) && bsa_class_take(class, &obj))
		return obj;
	while (change_slab(c, class) || fetch_slab(c, class))
		/* A slab may have no object that is not freed twice just now. */
		if (bsa_class_take(class, &obj))
			return obj;
	return NULL;
}

/* Take an object of the shared set; if there is none, from the new slab @more. */
static void *take_shared(struct bsa_cpu *c, struct bsa_class *class,
			 struct bsa_page *more)
{
	struct bsa_page *slab;
	unsigned long flags;
	void *obj = NULL;

	if (bsa_lock(&c->slabs.lock, flags)) {
		while (!bsa_class_take(class, &obj)) {
			bsa_slabs_drain(&c->slabs, class);
			if (bsa_slabs_next_word(&c->slabs, class))
				continue;
			slab = exchange_slab(&c->slabs, class);
			if (!slab)
				swap(slab, more);
			if (!slab)
				break;
			bsa_slabs_activate(&c->slabs, slab);
		}
		bsa_unlock(&c->slabs.lock, flags);
	}
	bsa_release_slab(c->heap, more);
	return obj;
}

/* Allocate from the set that no CPU owns. Preemption is off. */
static void *alloc_shared(struct bsa_heap *heap, unsigned int index)
{
	struct bsa_class *class = &heap->shared.slabs.class[index];
	struct bsa_page *slab = NULL;
	unsigned int tries;
	void *obj;

	for (tries = 0; tries < MAX_TRIES; tries++) {
		obj = take_shared(&heap->shared, class, slab);
		if (obj)
			return obj;
		bsa_catch_up(heap);
		slab = new_slab(heap, index);
		if (!slab)
			return NULL;
	}
	return take_shared(&heap->shared, class, slab);
}

/*
 * Allocate on this CPU, as its owner or, if that is busy, shared. Return the
 * object, or NULL.
 */
void *bsa_alloc_here(struct bsa_heap *heap, unsigned int index)
{
	struct bsa_class *class;
	unsigned long mark;
	struct bsa_cpu *c;
	void *obj;

	preempt_disable();
	c = this_cpu_ptr(heap->cpu);
	mark = READ_ONCE(c->slabs.mark);
	if (mark & 1) {
		WRITE_ONCE(c->slabs.mark, BSA_MARK_BUSY);
		barrier();
		class = &c->slabs.class[index];
		bsa_slabs_drain(&c->slabs, class);
		obj = bsa_slabs_take_held(&c->slabs, class);
		if (!obj && !bsa_class_take(class, &obj))
			obj = bsa_refill(c, class);
		barrier();
		WRITE_ONCE(c->slabs.mark, c->slabs.idle);
	} else {
		obj = alloc_shared(heap, index);
	}
	preempt_enable();
	return obj;
}
