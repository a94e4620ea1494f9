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
 * frees by others than the owner; see percpu.c for who may do what when.
 *
 * A bit stands for a unit, as a rule an object. Objects of 384, 768 and 1536
 * bytes take three units, so that an index is still a shift away, and only the
 * first unit's bit is used. The others are "holes": remotely freed for good.
 *
 * The states of a slab:
 *
 *   active   the owner allocates from it; on no list, one per class
 *   partial  has live and free objects
 *   full     its owner knows of no free object
 *   empty    has no live object; at most one per class is kept
 *
 *                 refill                      last object taken
 *   empty, partial ------> active ------------------------> full
 *     ^      ^                                                |
 *     |      +---------------- first object freed ------------+
 *     +----------------------- last live object freed
 *
 * Whether a free must move the slab to another list is known in advance: @ttl
 * is the number of frees until then. So the fast path counts down, and looks at
 * nothing else. An active slab has no such moment; its @ttl is large, and is
 * set anew when it gets to 0.
 *
 * Locking: none here, but for the pool of bitmaps, which all owners share.
 */
#include <bsa/compat.h>
#include <bsa/debug.h>
#include <bsa/slab.h>

/* What an owner without an active slab allocates from. */
static unsigned long no_objects[BSA_REMOTE + 1];

/**
 * bsa_bitmap_pool_init - start without any bitmap
 * @pool: the pool
 * @buddy: where it gets its pages
 */
void bsa_bitmap_pool_init(struct bsa_bitmap_pool *pool,
			  struct bsa_buddy *buddy)
{
	raw_spin_lock_init(&pool->lock);
	INIT_LIST_HEAD(&pool->pages);
	pool->buddy = buddy;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_bitmap_pool_init);

static unsigned long *alloc_bitmap(struct bsa_bitmap_pool *pool)
{
	static const struct bsa_page_request req = { .internal = true };
	struct bsa_page *page;
	unsigned long flags, slot;
	void *base;

	raw_spin_lock_irqsave(&pool->lock, flags);
	page = list_first_entry_or_null(&pool->pages, struct bsa_page, list);
	if (!page) {
		page = bsa_buddy_alloc(pool->buddy, &req);
		if (!page) {
			raw_spin_unlock_irqrestore(&pool->lock, flags);
			return NULL;
		}
		if (static_branch_unlikely(&bsa_debug_key))
			bsa_debug_take_pages(pool->buddy, page);
		WRITE_ONCE(page->state, BSA_PAGE_BITMAPS);
		page->free0 = GENMASK(BSA_BITMAPS_PER_PAGE - 1, 0);
		list_add(&page->list, &pool->pages);
		base = bsa_page_address(pool->buddy, page);
		bsa_unpoison(base, PAGE_SIZE, PAGE_SIZE);
	}
	slot = __ffs(page->free0);
	page->free0 &= page->free0 - 1;
	if (!page->free0)
		list_del(&page->list);
	base = bsa_page_address(pool->buddy, page);
	raw_spin_unlock_irqrestore(&pool->lock, flags);
	return base + slot * BSA_BITMAP_BYTES;
}

static void free_bitmap(struct bsa_bitmap_pool *pool, unsigned long *bitmap)
{
	struct bsa_page *page = bsa_page_of(bitmap);
	unsigned long flags;

	raw_spin_lock_irqsave(&pool->lock, flags);
	if (!page->free0)
		list_add(&page->list, &pool->pages);
	__set_bit(offset_in_page(bitmap) / BSA_BITMAP_BYTES, &page->free0);
	if (page->free0 == GENMASK(BSA_BITMAPS_PER_PAGE - 1, 0)) {
		list_del(&page->list);
		bsa_poison(bsa_page_address(pool->buddy, page), PAGE_SIZE);
		bsa_buddy_free(pool->buddy, page);
	}
	raw_spin_unlock_irqrestore(&pool->lock, flags);
}

/* A bitmap from the pool has unused words rather than a length. */
static unsigned int nr_words(const struct bsa_page *slab)
{
	return slab->free == &slab->free0 ? 1 : BSA_REMOTE;
}

static unsigned int nr_free(const struct bsa_page *slab)
{
	unsigned int i, nr = 0;

	for (i = 0; i < nr_words(slab); i++)
		nr += hweight_long(READ_ONCE(slab->free[i]));
	return nr;
}

/**
 * bsa_slab_nr_remote - objects freed from elsewhere and not yet taken over
 * @slab: any slab
 */
unsigned int bsa_slab_nr_remote(const struct bsa_page *slab)
{
	unsigned int i, nr = 0;

	for (i = 0; i < nr_words(slab); i++)
		nr += hweight_long(READ_ONCE(slab->free[BSA_REMOTE + i]) &
				   ~bsa_slab_holes(slab));
	return nr;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_slab_nr_remote);

/**
 * bsa_slab_is_unused - can a slab be taken away from its owner?
 * @slab: a slab, whose owner's lists the caller has locked
 *
 * It can if every object has been freed, here or elsewhere, and it is not
 * active. Then no object lives, so none can be freed any more, and none can be
 * allocated. Only the owner may still be on the last steps of a free: after the
 * bit it counts down @ttl. From when the slab was put on its list, @ttl has been
 * the number of frees until the slab belongs on another; so bits and @ttl tell
 * whether a free is in between.
 */
bool bsa_slab_is_unused(const struct bsa_page *slab)
{
	unsigned int i, ttl;
	unsigned int nr_free = 0, nr_unused = 0;
	unsigned long free, remote;

	if (slab->state == BSA_PAGE_SLAB_ACTIVE)
		return false;
	for (i = 0; i < nr_words(slab); i++) {
		free = READ_ONCE(slab->free[i]);
		/* Pairs with test_and_set_bit() in free_other(). */
		remote = smp_load_acquire(&slab->free[BSA_REMOTE + i]);
		nr_free += hweight_long(free);
		nr_unused += hweight_long(free |
					  (remote & ~bsa_slab_holes(slab)));
	}
	if (nr_unused != slab->capacity)
		return false;
	if (slab->state == BSA_PAGE_SLAB_EMPTY)
		return true;
	if (slab->state == BSA_PAGE_SLAB_FULL)
		return !nr_free;
	/*
	 * What is read here may be too large, but not too small: it only falls.
	 * At 0 the owner is about to put the slab on another list.
	 */
	ttl = READ_ONCE(slab->ttl);
	return ttl && ttl + nr_free == slab->capacity;
}

/* Make a slab of a block of pages; return false if there is no bitmap for it. */
static __always_inline bool init_slab(struct bsa_slabs *slabs,
				      struct bsa_class *class,
				      struct bsa_page *slab)
{
	unsigned long *bitmap = &slab->free0;
	unsigned int i, units;

	slab->class = class - slabs->class;
	slab->shift = __ffs(class->unit);
	slab->mask = (PAGE_SIZE << slab->order) - 1;
	units = min((slab->mask + 1U) >> slab->shift, BSA_MAX_OBJECTS);
	slab->capacity = slab->class < BSA_NR_CLASSES ? units : units / 3;

	if (units > BITS_PER_LONG) {
		bitmap = alloc_bitmap(slabs->pool);
		if (!bitmap)
			return false;
		for (i = 0; i < BSA_REMOTE; i++) {
			bitmap[i] = i < units / BITS_PER_LONG ? ~0UL : 0;
			bitmap[BSA_REMOTE + i] = 0;
		}
	} else {
		bitmap[BSA_REMOTE] = bsa_slab_holes(slab);
		bitmap[0] = ~0UL >> (BITS_PER_LONG - units) &
			    ~bitmap[BSA_REMOTE];
	}
	slab->free = bitmap;
	if (slab->order)
		bsa_pagemap_set((unsigned long)bsa_page_address(slabs->pool->buddy, slab),
				1UL << slab->order, slab, true);
	return true;
}

/**
 * bsa_slab_release - make an unused slab a plain block of pages again
 * @pool: where its bitmap came from
 * @slab: on no list; nobody's
 */
void bsa_slab_release(struct bsa_bitmap_pool *pool, struct bsa_page *slab)
{
	if (slab->free != &slab->free0)
		free_bitmap(pool, slab->free);
	if (slab->order)
		bsa_pagemap_set((unsigned long)bsa_page_address(pool->buddy, slab),
				1UL << slab->order, slab, false);
	WRITE_ONCE(slab->state, BSA_PAGE_KEPT);
}
EXPORT_SYMBOL_IF_KUNIT(bsa_slab_release);

/**
 * bsa_slabs_init - start without any slab
 * @slabs: the set
 * @owner: an odd number that no other set has
 * @pool: memory for bitmaps
 */
void bsa_slabs_init(struct bsa_slabs *slabs, u32 owner,
		    struct bsa_bitmap_pool *pool)
{
	struct bsa_class *class;
	unsigned int i;

	memset(slabs, 0, sizeof(*slabs));
	slabs->owner = owner;
	slabs->pool = pool;
	for (i = 0; i < BSA_ALL_CLASSES; i++) {
		class = &slabs->class[i];
		class->free = no_objects;
		class->unit = bsa_class_unit(i);
		INIT_LIST_HEAD(&class->partial);
		INIT_LIST_HEAD(&class->full);
		INIT_LIST_HEAD(&class->empty);
	}
}
EXPORT_SYMBOL_IF_KUNIT(bsa_slabs_init);

static struct bsa_class *class_of(struct bsa_slabs *slabs,
				  const struct bsa_page *slab)
{
	return &slabs->class[slab->class];
}

static void list_slab(struct bsa_class *class, struct bsa_page *slab,
		      enum bsa_page_state state)
{
	switch (state) {
	case BSA_PAGE_SLAB_PARTIAL:
		list_add(&slab->list, &class->partial);
		class->nr_partial++;
		break;
	case BSA_PAGE_SLAB_FULL:
		list_add(&slab->list, &class->full);
		class->nr_full++;
		break;
	default:
		list_add(&slab->list, &class->empty);
		class->nr_empty++;
		break;
	}
	WRITE_ONCE(slab->state, state);
}

static void unlist_slab(struct bsa_class *class, struct bsa_page *slab)
{
	switch (slab->state) {
	case BSA_PAGE_SLAB_PARTIAL:
		class->nr_partial--;
		break;
	case BSA_PAGE_SLAB_FULL:
		class->nr_full--;
		break;
	default:
		class->nr_empty--;
		break;
	}
	__list_del_entry(&slab->list);
}

/*
 * Put a slab that is on no list on the one that its free objects call for.
 *
 * Return: the slab, if it is empty and another empty one is kept already: it
 * is on no list any more and belongs to nobody; the caller gives it back with
 * bsa_slab_release() and bsa_buddy_free(). Else NULL.
 */
static struct bsa_page *insert_slab(struct bsa_class *class,
				    struct bsa_page *slab, unsigned int free)
{
	if (!free) {
		slab->ttl = 1;
		list_slab(class, slab, BSA_PAGE_SLAB_FULL);
	} else if (free < slab->capacity) {
		slab->ttl = slab->capacity - free;
		list_slab(class, slab, BSA_PAGE_SLAB_PARTIAL);
	} else if (!class->nr_empty) {
		list_slab(class, slab, BSA_PAGE_SLAB_EMPTY);
	} else {
		WRITE_ONCE(slab->owner, BSA_NOBODY);
		return slab;
	}
	return NULL;
}

/**
 * bsa_slabs_place_freed - put a slab on another list after a free
 * @slabs: the owner's set
 * @slab: its @ttl has got to 0
 * @freed: how many objects were freed at once
 *
 * Return: the slab, if it is empty and another empty one is kept already: it
 * is on no list any more and belongs to nobody; the caller gives it back with
 * bsa_slab_release() and bsa_buddy_free(). Else NULL.
 */
struct bsa_page *bsa_slabs_place_freed(struct bsa_slabs *slabs,
				       struct bsa_page *slab,
				       unsigned int freed)
{
	struct bsa_class *class = class_of(slabs, slab);

	if (slab->state == BSA_PAGE_SLAB_ACTIVE) {
		class->given += U16_MAX;
		slab->ttl = U16_MAX;
		return NULL;
	}
	if (slab->state != BSA_PAGE_SLAB_FULL)
		freed = slab->capacity;
	unlist_slab(class, slab);
	return insert_slab(class, slab, freed);
}

/* Take over what others have freed in one word; return how much it was. */
static unsigned int drain_word(struct bsa_slabs *slabs, unsigned long *word,
			       unsigned long holes)
{
	unsigned long remote, conflicts;

	remote = xchg(&word[BSA_REMOTE], holes) & ~holes;
	conflicts = remote & *word;
	if (unlikely(conflicts))
		slabs->conflicts += hweight_long(conflicts);
	WRITE_ONCE(*word, *word | remote);
	return hweight_long(remote & ~conflicts);
}

/* The same for some words of a slab. */
static void drain_words(struct bsa_slabs *slabs, struct bsa_page *slab,
			unsigned long *word, unsigned int words)
{
	struct bsa_class *class = class_of(slabs, slab);
	unsigned long holes = bsa_slab_holes(slab);
	unsigned int nr = 0;

	for (; words--; word++)
		if (READ_ONCE(word[BSA_REMOTE]) != holes)
			nr += drain_word(slabs, word, holes);
	if (!nr)
		return;
	class->drains++;
	class->drained += nr;
	if (slab == class->active)
		class->given += nr;
}

/* Is there a free object that the owner knows of? */
static bool has_free(const struct bsa_page *slab)
{
	const unsigned long *free = slab->free;

	if (free == &slab->free0)
		return *free;
	BUILD_BUG_ON(BSA_REMOTE != 7);
	return free[0] | free[1] | free[2] | free[3] | free[4] | free[5] |
	       free[6];
}

/* Allocate from the first word that has a free object; there is one. */
static void next_word(struct bsa_slabs *slabs, struct bsa_class *class,
		      struct bsa_page *slab)
{
	unsigned long *word = slab->free;

	while (!*word)
		word++;
	class->base = bsa_hidden(bsa_hidden(class->base) +
				 (word - class->free) *
				 (long)(BITS_PER_LONG * class->unit));
	class->free = word;
	if (READ_ONCE(word[BSA_REMOTE]))
		drain_words(slabs, slab, word, 1);
}

/**
 * bsa_slabs_drain_word - take over remote frees in the current word of a class
 * @slabs: the owner's set
 * @class: size class
 *
 * Needs no lock: no list changes.
 */
void bsa_slabs_drain_word(struct bsa_slabs *slabs, struct bsa_class *class)
{
	drain_words(slabs, class->active, class->free, 1);
}

/**
 * bsa_slabs_drain - take over what others have freed in a slab
 * @slabs: the owner's set
 * @slab: the slab
 *
 * Return: as bsa_slabs_place_freed().
 */
struct bsa_page *bsa_slabs_drain(struct bsa_slabs *slabs,
				 struct bsa_page *slab)
{
	struct bsa_class *class = class_of(slabs, slab);

	drain_words(slabs, slab, slab->free, nr_words(slab));
	if (slab->state == BSA_PAGE_SLAB_ACTIVE)
		return NULL;
	unlist_slab(class, slab);
	return insert_slab(class, slab, nr_free(slab));
}

/**
 * bsa_slabs_deactivate - stop allocating from the active slab of a class
 * @slabs: the owner's set
 * @class: size class
 *
 * Return: as bsa_slabs_place_freed().
 */
struct bsa_page *bsa_slabs_deactivate(struct bsa_slabs *slabs,
				      struct bsa_class *class)
{
	struct bsa_page *slab = class->active;
	unsigned int free;

	if (!slab)
		return NULL;
	free = nr_free(slab);
	class->given -= free + slab->ttl;
	class->active = NULL;
	class->free = no_objects;
	return insert_slab(class, slab, free);
}

/* Allocate from a slab that is on no list and has a free object. */
static __always_inline void activate(struct bsa_slabs *slabs,
				     struct bsa_class *class,
				     struct bsa_page *slab)
{
	WRITE_ONCE(slab->state, BSA_PAGE_SLAB_ACTIVE);
	slab->ttl = U16_MAX;
	class->refills++;
	class->active = slab;
	class->free = slab->free;
	class->base = bsa_hidden((unsigned long)
				 bsa_page_address(slabs->pool->buddy, slab));
	if (unlikely(!*class->free))
		next_word(slabs, class, slab);
}

/**
 * bsa_slabs_refill - get a word with free objects for a class
 * @slabs: the owner's set
 * @class: size class; its current word has none
 *
 * Looks at the other words of the active slab first, then takes a partial slab,
 * then the empty one. What others have freed meanwhile is on the owner's queue.
 *
 * Return: true if there is one with a free object.
 */
bool bsa_slabs_refill(struct bsa_slabs *slabs, struct bsa_class *class)
{
	struct bsa_page *slab = class->active;

	if (slab) {
		if (has_free(slab)) {
			next_word(slabs, class, slab);
			return true;
		}
		class->given -= slab->ttl;
		slab->ttl = 1;
		list_slab(class, slab, BSA_PAGE_SLAB_FULL);
	}

	if (class->nr_partial) {
		slab = list_first_entry(&class->partial, struct bsa_page, list);
		class->nr_partial--;
		/* What @ttl counts down to is that no object lives. */
		class->given += slab->capacity - slab->ttl + U16_MAX;
	} else if (class->nr_empty) {
		slab = list_first_entry(&class->empty, struct bsa_page, list);
		class->nr_empty--;
		class->given += slab->capacity + U16_MAX;
	} else {
		class->active = NULL;
		class->free = no_objects;
		return false;
	}
	__list_del_entry(&slab->list);
	activate(slabs, class, slab);
	return true;
}

/**
 * bsa_slabs_detach - take a slab away from its owner
 * @slabs: the owner's set
 * @slab: a slab that is on one of its lists
 * @owner: whose the slab is from now on, or %BSA_NOBODY
 *
 * Until it is attached, the slab is on no list and counts as active: nobody
 * allocates from it, and nobody takes it away.
 */
void bsa_slabs_detach(struct bsa_slabs *slabs, struct bsa_page *slab,
		      u32 owner)
{
	unlist_slab(class_of(slabs, slab), slab);
	WRITE_ONCE(slab->state, BSA_PAGE_SLAB_ACTIVE);
	/*
	 * Whoever frees into the slab as the new owner's may queue it there, and
	 * a reclaim that finds it on that queue must not see the old state.
	 * Pairs with the full barriers of queue_slab() and llist_del_all().
	 */
	smp_store_release(&slab->owner, owner);
}

/**
 * bsa_slabs_attach - put a detached slab on its new owner's lists
 * @slabs: the new owner's set
 * @slab: detached, and given to @slabs
 *
 * Return: as bsa_slabs_place_freed().
 */
struct bsa_page *bsa_slabs_attach(struct bsa_slabs *slabs,
				  struct bsa_page *slab)
{
	return insert_slab(class_of(slabs, slab), slab, nr_free(slab));
}

/**
 * bsa_slabs_add - make a slab of a block of pages
 * @slabs: the owner's set
 * @class: size class
 * @page: the block's first page, from bsa_buddy_alloc(); 1 to 16 pages
 *
 * The slab is empty, and the next one to be used if there is no partial one.
 *
 * Return: 0, or -ENOMEM if there is no memory for its bitmap; then the pages
 * are the caller's still.
 */
int bsa_slabs_add(struct bsa_slabs *slabs, unsigned int class,
		  struct bsa_page *page)
{
	if (!init_slab(slabs, &slabs->class[class], page))
		return -ENOMEM;
	list_slab(&slabs->class[class], page, BSA_PAGE_SLAB_EMPTY);
	/* From here on a free may find it. */
	smp_store_release(&page->owner, slabs->owner);
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_slabs_add);

/**
 * bsa_slabs_start - make a slab of a block of pages, and allocate from it
 * @slabs: the owner's set
 * @class: size class, without an active slab
 * @page: as for bsa_slabs_add()
 *
 * Return: false if there is no memory for its bitmap; then the pages are the
 * caller's still.
 */
bool bsa_slabs_start(struct bsa_slabs *slabs, struct bsa_class *class,
		     struct bsa_page *page)
{
	if (!init_slab(slabs, class, page))
		return false;
	class->given += page->capacity + U16_MAX;
	activate(slabs, class, page);
	/* From here on a free may find it. */
	smp_store_release(&page->owner, slabs->owner);
	return true;
}

/**
 * bsa_slabs_alloc - allocate an object
 * @slabs: the owner's set
 * @size: bytes, 1 to BSA_MAX_OBJECT
 * @need: if there is no free object: what a new slab takes
 *
 * Return: the object; or NULL, then a call of bsa_slabs_add() helps.
 */
void *bsa_slabs_alloc(struct bsa_slabs *slabs, size_t size,
		      struct bsa_slab_need *need)
{
	unsigned int index = bsa_size_class(size);
	struct bsa_class *class = &slabs->class[index];
	void *obj;

	do {
		if (bsa_class_take(class, &obj)) {
			bsa_unpoison(obj, size, bsa_class_size(index));
			return obj;
		}
	} while (bsa_slabs_refill(slabs, class));
	need->class = index;
	need->pages = 1U << bsa_slab_order(index);
	return NULL;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_slabs_alloc);

/**
 * bsa_class_nr_allocs - objects of a class that were handed out
 * @class: of which owner and size
 *
 * The fast path does not count them: an allocation leaves one free object less
 * in the active slab, a free one more but a @ttl of one less. If the owner is at
 * work the result may be a few calls old.
 */
unsigned long bsa_class_nr_allocs(const struct bsa_class *class)
{
	/* A figure that is a few calls old is good enough. */
	const struct bsa_page *slab = data_race(class->active);
	/* As above. */
	unsigned long nr = data_race(class->given);

	/* As above. */
	return slab ? nr - data_race(slab->ttl) - nr_free(slab) : nr;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_class_nr_allocs);

/**
 * bsa_slabs_free - free an object
 * @slabs: the owner's set
 * @ptr: any value; only a live object of @slabs is freed
 * @release: set to a slab that is to be given back, see bsa_slabs_place_freed();
 *	else to NULL
 *
 * Return: BSA_FREE_OK, or why nothing was freed.
 */
enum bsa_refused bsa_slabs_free(struct bsa_slabs *slabs, const void *ptr,
				struct bsa_page **release)
{
	struct bsa_page *slab = bsa_page_of(ptr);
	unsigned long index;

	*release = NULL;
	if (slab->state == BSA_PAGE_NONE)
		return BSA_FREE_FOREIGN;
	if (!bsa_page_is_slab(slab))
		return BSA_FREE_DOUBLE;
	if (slab->owner != slabs->owner)
		return BSA_FREE_OTHER_HEAP;
	index = bsa_slab_index(slab, ptr);
	if (bsa_slab_is_interior(slab, index))
		return BSA_FREE_INTERIOR;
	if (!bsa_slab_put(slab, index, ptr))
		return BSA_FREE_DOUBLE;
	slabs->frees[slab->class]++;
	if (!--slab->ttl)
		*release = bsa_slabs_place_freed(slabs, slab, 1);
	return BSA_FREE_OK;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_slabs_free);
