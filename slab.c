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
 * free sets it, and finds a double free by doing so. Each word of free bits
 * has a word of remote bits beside it, for frees by others than the owner; see
 * percpu.c for who may do what when.
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
#include <bsa/slab.h>

/* What an owner without an active slab allocates from. */
static struct bsa_bits no_bits;

/* All bitmaps that do not fit into a descriptor take as much as the largest. */
#define BITMAP_BYTES	(BSA_MAX_OBJECTS / BITS_PER_LONG * \
			 sizeof(struct bsa_bits))
#define BITMAPS_PER_PAGE	(PAGE_SIZE / BITMAP_BYTES)

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

static struct bsa_bits *alloc_bitmap(struct bsa_bitmap_pool *pool)
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
		WRITE_ONCE(page->state, BSA_PAGE_BITMAPS);
		page->bits0.free = GENMASK(BITMAPS_PER_PAGE - 1, 0);
		list_add(&page->list, &pool->pages);
	}
	slot = __ffs(page->bits0.free);
	page->bits0.free &= page->bits0.free - 1;
	if (!page->bits0.free)
		list_del(&page->list);
	base = bsa_page_address(pool->buddy, page);
	raw_spin_unlock_irqrestore(&pool->lock, flags);
	return base + slot * BITMAP_BYTES;
}

static void free_bitmap(struct bsa_bitmap_pool *pool, struct bsa_bits *bits)
{
	struct bsa_page *page = bsa_page_of(bits);
	unsigned long flags;

	raw_spin_lock_irqsave(&pool->lock, flags);
	if (!page->bits0.free)
		list_add(&page->list, &pool->pages);
	__set_bit(offset_in_page(bits) / BITMAP_BYTES, &page->bits0.free);
	if (page->bits0.free == GENMASK(BITMAPS_PER_PAGE - 1, 0)) {
		list_del(&page->list);
		bsa_buddy_free(pool->buddy, page);
	}
	raw_spin_unlock_irqrestore(&pool->lock, flags);
}

/**
 * bsa_slab_capacity - objects in a slab
 * @slab: any slab
 */
unsigned int bsa_slab_capacity(const struct bsa_page *slab)
{
	return (slab->mask + 1) >> slab->shift;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_slab_capacity);

static unsigned int nr_words(const struct bsa_page *slab)
{
	return DIV_ROUND_UP(bsa_slab_capacity(slab), BITS_PER_LONG);
}

static unsigned int nr_free(const struct bsa_page *slab)
{
	unsigned int i, nr = 0;

	for (i = 0; i < nr_words(slab); i++)
		nr += hweight_long(slab->bits[i].free);
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
		nr += hweight_long(READ_ONCE(slab->bits[i].remote));
	return nr;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_slab_nr_remote);

/**
 * bsa_slab_is_unused - has every object been freed, here or elsewhere?
 * @slab: a slab that is not active, whose lists the caller has locked
 *
 * If so, no object lives, so none can be freed any more, and since the slab is
 * not active, none can be allocated. All loads are acquires: what the last
 * freeing CPU stored before its bit is seen by whoever sees the bit.
 */
bool bsa_slab_is_unused(const struct bsa_page *slab)
{
	unsigned long free, remote;
	unsigned int i, nr = 0;

	for (i = 0; i < nr_words(slab); i++) {
		/* Pairs with bsa_slab_put(). */
		free = smp_load_acquire(&slab->bits[i].free);
		/* Pairs with test_and_set_bit() in free_remote(). */
		remote = smp_load_acquire(&slab->bits[i].remote);
		nr += hweight_long(free | remote);
	}
	return nr == bsa_slab_capacity(slab);
}

static int init_slab(struct bsa_slabs *slabs, unsigned int class,
		     struct bsa_page *slab)
{
	struct bsa_bits *bits = &slab->bits0;
	unsigned int i, capacity;

	capacity = PAGE_SIZE << slab->order >> (class + BSA_MIN_SHIFT);
	if (capacity > BITS_PER_LONG) {
		bits = alloc_bitmap(slabs->pool);
		if (!bits)
			return -ENOMEM;
	}
	for (i = 0; i < capacity / BITS_PER_LONG; i++)
		bits[i] = (struct bsa_bits){ .free = ~0UL };
	if (capacity < BITS_PER_LONG)
		bits[0] = (struct bsa_bits){ .free = BIT(capacity) - 1 };

	slab->bits = bits;
	slab->shift = class + BSA_MIN_SHIFT;
	slab->mask = (PAGE_SIZE << slab->order) - 1;
	if (slab->order)
		bsa_pagemap_set((unsigned long)bsa_page_address(slabs->pool->buddy, slab),
				1UL << slab->order, slab, true);
	return 0;
}

/**
 * bsa_slab_release - make an unused slab a plain block of pages again
 * @pool: where its bitmap came from
 * @slab: on no list; nobody's
 */
void bsa_slab_release(struct bsa_bitmap_pool *pool, struct bsa_page *slab)
{
	if (slab->bits != &slab->bits0)
		free_bitmap(pool, slab->bits);
	if (slab->order)
		bsa_pagemap_set((unsigned long)bsa_page_address(pool->buddy, slab),
				1UL << slab->order, slab, false);
	WRITE_ONCE(slab->state, BSA_PAGE_KEPT);
}
EXPORT_SYMBOL_IF_KUNIT(bsa_slab_release);

/**
 * bsa_slabs_init - start without any slab
 * @slabs: the set
 * @owner: a number that no other set has; not 0
 * @pool: memory for bitmaps
 */
void bsa_slabs_init(struct bsa_slabs *slabs, u32 owner,
		    struct bsa_bitmap_pool *pool)
{
	unsigned int class;

	memset(slabs, 0, sizeof(*slabs));
	slabs->owner = owner;
	slabs->pool = pool;
	for (class = 0; class < BSA_NR_CLASSES; class++) {
		slabs->active[class].bits = &no_bits;
		slabs->active[class].size = bsa_class_size(class);
		INIT_LIST_HEAD(&slabs->list[class].partial);
		INIT_LIST_HEAD(&slabs->list[class].full);
		INIT_LIST_HEAD(&slabs->list[class].empty);
	}
}
EXPORT_SYMBOL_IF_KUNIT(bsa_slabs_init);

static void list_slab(struct bsa_slabs *slabs, struct bsa_page *slab,
		      enum bsa_page_state state)
{
	struct bsa_slab_list *list = &slabs->list[bsa_slab_class(slab)];

	switch (state) {
	case BSA_PAGE_SLAB_PARTIAL:
		list_add(&slab->list, &list->partial);
		list->nr_partial++;
		break;
	case BSA_PAGE_SLAB_FULL:
		list_add(&slab->list, &list->full);
		list->nr_full++;
		break;
	default:
		list_add(&slab->list, &list->empty);
		list->nr_empty++;
		break;
	}
	WRITE_ONCE(slab->state, state);
}

static void unlist_slab(struct bsa_slabs *slabs, struct bsa_page *slab)
{
	struct bsa_slab_list *list = &slabs->list[bsa_slab_class(slab)];

	switch (slab->state) {
	case BSA_PAGE_SLAB_PARTIAL:
		list->nr_partial--;
		break;
	case BSA_PAGE_SLAB_FULL:
		list->nr_full--;
		break;
	default:
		list->nr_empty--;
		break;
	}
	list_del(&slab->list);
}

/* Put a slab that is on no list on the right one; see bsa_slabs_place(). */
static struct bsa_page *insert_slab(struct bsa_slabs *slabs,
				    struct bsa_page *slab)
{
	unsigned int capacity = bsa_slab_capacity(slab);
	unsigned int free = nr_free(slab);

	if (!free) {
		slab->ttl = 1;
		list_slab(slabs, slab, BSA_PAGE_SLAB_FULL);
	} else if (free < capacity) {
		slab->ttl = capacity - free;
		list_slab(slabs, slab, BSA_PAGE_SLAB_PARTIAL);
	} else if (!slabs->list[bsa_slab_class(slab)].nr_empty) {
		list_slab(slabs, slab, BSA_PAGE_SLAB_EMPTY);
	} else {
		WRITE_ONCE(slab->owner, 0);
		return slab;
	}
	return NULL;
}

/**
 * bsa_slabs_place - put a slab on the list that its free objects call for
 * @slabs: the owner's set
 * @slab: the slab; active ones stay what they are
 *
 * Return: the slab, if it is empty and another empty one is kept already: it
 * is on no list any more and belongs to nobody; the caller gives it back with
 * bsa_slab_release() and bsa_buddy_free(). Else NULL.
 */
struct bsa_page *bsa_slabs_place(struct bsa_slabs *slabs,
				 struct bsa_page *slab)
{
	if (slab->state == BSA_PAGE_SLAB_ACTIVE) {
		slab->ttl = U16_MAX;
		return NULL;
	}
	unlist_slab(slabs, slab);
	return insert_slab(slabs, slab);
}

/* Take over what others have freed in one word; return how much it was. */
static unsigned int drain_word(struct bsa_slabs *slabs, struct bsa_bits *bits)
{
	unsigned long remote, conflicts;

	if (!READ_ONCE(bits->remote))
		return 0;
	remote = xchg(&bits->remote, 0);
	conflicts = remote & bits->free;
	if (unlikely(conflicts))
		slabs->conflicts += hweight_long(conflicts);
	WRITE_ONCE(bits->free, bits->free | remote);
	return hweight_long(remote & ~conflicts);
}

static void count_drained(struct bsa_slab_list *list, unsigned int nr)
{
	if (nr) {
		list->drains++;
		list->drained += nr;
	}
}

/*
 * Allocate from the first word of the active slab that has a free object,
 * remotely freed ones included.
 */
static bool next_word(struct bsa_slabs *slabs, unsigned int class)
{
	struct bsa_active *active = &slabs->active[class];
	struct bsa_page *slab = slabs->list[class].active;
	unsigned int i, nr = 0;
	bool found = false;

	for (i = 0; !found && i < nr_words(slab); i++) {
		struct bsa_bits *bits = &slab->bits[i];

		nr += drain_word(slabs, bits);
		if (!bits->free)
			continue;
		active->base += (bits - active->bits) *
				(long)(BITS_PER_LONG * active->size);
		active->bits = bits;
		found = true;
	}
	count_drained(&slabs->list[class], nr);
	return found;
}

/**
 * bsa_slabs_drain_word - take over remote frees in the current word of a class
 * @slabs: the owner's set
 * @class: size class
 *
 * Needs no lock: no list changes.
 *
 * Return: true if bsa_slab_take() will find an object.
 */
bool bsa_slabs_drain_word(struct bsa_slabs *slabs, unsigned int class)
{
	struct bsa_bits *bits = slabs->active[class].bits;

	count_drained(&slabs->list[class], drain_word(slabs, bits));
	return bits->free;
}

/**
 * bsa_slabs_drain - take over what others have freed in a slab
 * @slabs: the owner's set
 * @slab: the slab
 *
 * Return: as bsa_slabs_place().
 */
struct bsa_page *bsa_slabs_drain(struct bsa_slabs *slabs,
				 struct bsa_page *slab)
{
	unsigned int i, nr = 0;

	for (i = 0; i < nr_words(slab); i++)
		nr += drain_word(slabs, &slab->bits[i]);
	count_drained(&slabs->list[bsa_slab_class(slab)], nr);
	return bsa_slabs_place(slabs, slab);
}

static void activate(struct bsa_slabs *slabs, struct bsa_page *slab)
{
	unsigned int class = bsa_slab_class(slab);
	struct bsa_active *active = &slabs->active[class];

	unlist_slab(slabs, slab);
	WRITE_ONCE(slab->state, BSA_PAGE_SLAB_ACTIVE);
	slab->ttl = U16_MAX;
	slabs->list[class].active = slab;
	active->bits = slab->bits;
	active->base = (unsigned long)bsa_page_address(slabs->pool->buddy,
						       slab);
	next_word(slabs, class);
	slabs->list[class].refills++;
}

/**
 * bsa_slabs_deactivate - stop allocating from the active slab of a class
 * @slabs: the owner's set
 * @class: size class
 *
 * Return: as bsa_slabs_place().
 */
struct bsa_page *bsa_slabs_deactivate(struct bsa_slabs *slabs,
				      unsigned int class)
{
	struct bsa_page *slab = slabs->list[class].active;

	if (!slab)
		return NULL;
	slabs->list[class].active = NULL;
	slabs->active[class].bits = &no_bits;
	return insert_slab(slabs, slab);
}

/**
 * bsa_slabs_refill - get a word with free objects for a class
 * @slabs: the owner's set
 * @class: size class
 *
 * Looks at the other words of the active slab first, then takes a partial slab,
 * then the empty one.
 *
 * Return: true if bsa_slab_take() will find an object.
 */
bool bsa_slabs_refill(struct bsa_slabs *slabs, unsigned int class)
{
	struct bsa_slab_list *list = &slabs->list[class];

	if (list->active) {
		if (next_word(slabs, class))
			return true;
		/* It has no free object, so it is not to be released. */
		bsa_slabs_deactivate(slabs, class);
	}
	if (!list_empty(&list->partial))
		activate(slabs, list_first_entry(&list->partial,
						 struct bsa_page, list));
	else if (!list_empty(&list->empty))
		activate(slabs, list_first_entry(&list->empty,
						 struct bsa_page, list));
	return list->active;
}

/**
 * bsa_slabs_detach - take a slab away from its owner
 * @slabs: the owner's set
 * @slab: a slab that is on one of its lists
 * @owner: whose the slab is from now on; 0: nobody's
 *
 * Until it is attached, the slab is on no list and counts as active: nobody
 * allocates from it, and nobody takes it away.
 */
void bsa_slabs_detach(struct bsa_slabs *slabs, struct bsa_page *slab,
		      u32 owner)
{
	unlist_slab(slabs, slab);
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
 * Return: as bsa_slabs_place().
 */
struct bsa_page *bsa_slabs_attach(struct bsa_slabs *slabs,
				  struct bsa_page *slab)
{
	return insert_slab(slabs, slab);
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
	int err = init_slab(slabs, class, page);

	if (err)
		return err;
	list_slab(slabs, page, BSA_PAGE_SLAB_EMPTY);
	/* From here on a free may find it. */
	smp_store_release(&page->owner, slabs->owner);
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_slabs_add);

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
	unsigned int class = bsa_size_class(size);
	struct bsa_active *active = &slabs->active[class];

	if (bsa_slab_ready(active) || bsa_slabs_refill(slabs, class))
		return bsa_slab_take(active);
	need->class = class;
	need->pages = 1U << bsa_slab_order(class);
	return NULL;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_slabs_alloc);

/**
 * bsa_slabs_free - free an object
 * @slabs: the owner's set
 * @ptr: any value; only a live object of @slabs is freed
 * @release: set to a slab that is to be given back, see bsa_slabs_place();
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
	if (index >= BSA_MAX_OBJECTS)
		return BSA_FREE_INTERIOR;
	if (!bsa_slab_put(slab, index))
		return BSA_FREE_DOUBLE;
	slabs->frees[bsa_slab_class(slab)]++;
	if (!--slab->ttl)
		*release = bsa_slabs_place(slabs, slab);
	return BSA_FREE_OK;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_slabs_free);
