/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _BSA_SLAB_H
#define _BSA_SLAB_H

#include <bsa/buddy.h>
#include <bsa/tools.h>
#include <linux/bitops.h>

/* No slab has more objects than fit between the words of its two bitmaps. */
#define BSA_MAX_OBJECTS		(BSA_REMOTE * BITS_PER_LONG)

/*
 * All bitmaps that do not fit into a descriptor take as much as the largest, and
 * whole cache lines, since the next one may be another CPU's.
 */
#define BSA_BITMAP_BYTES	ALIGN(2 * BSA_REMOTE * sizeof(unsigned long), 64)
#define BSA_BITMAPS_PER_PAGE	(PAGE_SIZE / BSA_BITMAP_BYTES)

static inline size_t bsa_class_size(unsigned int class)
{
	return class < BSA_NR_CLASSES ? 8UL << class :
					384UL << (class - BSA_NR_CLASSES);
}

/* Bytes that a bit of a slab's bitmaps stands for. */
static inline size_t bsa_class_unit(unsigned int class)
{
	return class < BSA_NR_CLASSES ? bsa_class_size(class) :
					bsa_class_size(class) / 3;
}

/**
 * bsa_slab_order - log2 of the pages in a slab of a class
 * @class: size class
 */
static inline unsigned int bsa_slab_order(unsigned int class)
{
	static const u8 order[BSA_ALL_CLASSES] = {
		0, 0, 0, 0, 1, 2, 3, 3, 3, 1, 2, 3
	};

	return order[class];
}

/**
 * struct bsa_bitmap_pool - memory for the bitmaps of slabs of small objects
 * @lock: protects @pages and the bitmaps of the pages on it; taken inside a
 *	CPU's lock and outside the buddy's
 * @pages: pages with room for another bitmap
 * @buddy: where the pages come from
 *
 * A slab of up to 64 objects has its bitmap in its descriptor. The others
 * take a piece of a page that no caller ever sees.
 */
struct bsa_bitmap_pool {
	raw_spinlock_t lock;
	struct list_head pages;
	struct bsa_buddy *buddy;
};

/**
 * struct bsa_class - what one owner has of one size class
 * @free: the word of the active slab's bitmap that is used next; one without a
 *	free object if there is no active slab
 * @base: address of the object of that word's bit 0, see bsa_hidden()
 * @unit: bytes from one bit's address to the next: the object size, or a third
 * @active: the slab that is being allocated from, or NULL
 * @partial: slabs with live and with free objects
 * @full: slabs without a free object that the owner knows of
 * @empty: the slab without a live object that is kept, if there is one
 * @nr_partial: length of @partial
 * @nr_full: length of @full
 * @nr_empty: length of @empty
 * @given: objects handed out, plus the free ones and the @ttl of @active: what
 *	the fast path changes cancels out, see bsa_class_nr_allocs()
 * @drains: times that remote frees were taken over
 * @drained: objects that were taken over
 * @refills: slabs that became active
 *
 * The first three are all that the fast path looks at.
 */
struct bsa_class {
	unsigned long *free;
	unsigned long base;
	unsigned long unit;
	struct bsa_page *active;
	struct list_head partial;
	struct list_head full;
	struct list_head empty;
	unsigned int nr_partial;
	unsigned int nr_full;
	unsigned int nr_empty;
	unsigned long given;
	unsigned long drains;
	unsigned long drained;
	unsigned long refills;
};

/**
 * struct bsa_slabs - all slabs of one owner
 * @class: those of each size class
 * @frees: per class, objects that the owner freed
 * @owner: what the owner's slabs have in &bsa_page.owner; odd
 * @conflicts: objects that had been freed by the owner and remotely, too:
 *	double frees that were found, and undone, when the owner took them over
 * @pool: memory for bitmaps
 *
 * One context at a time may call the functions that take it. percpu.c sees to
 * that; so must whoever uses a set of slabs alone.
 */
struct bsa_slabs {
	struct bsa_class class[BSA_ALL_CLASSES];
	unsigned long frees[BSA_ALL_CLASSES];
	u32 owner;
	unsigned long conflicts;
	struct bsa_bitmap_pool *pool;
};

/**
 * struct bsa_slab_need - what an allocation lacked
 * @class: the size class that has no free object
 * @pages: how many pages a slab of it wants
 */
struct bsa_slab_need {
	unsigned int class;
	unsigned int pages;
};

void bsa_bitmap_pool_init(struct bsa_bitmap_pool *pool,
			  struct bsa_buddy *buddy);
void bsa_slabs_init(struct bsa_slabs *slabs, u32 owner,
		    struct bsa_bitmap_pool *pool);

/* The whole allocator of one owner, for use on its own. */
void *bsa_slabs_alloc(struct bsa_slabs *slabs, size_t size,
		      struct bsa_slab_need *need);
int bsa_slabs_add(struct bsa_slabs *slabs, unsigned int class,
		  struct bsa_page *page);
enum bsa_refused bsa_slabs_free(struct bsa_slabs *slabs, const void *ptr,
				struct bsa_page **release);

/* Its steps, for percpu.c. */
void bsa_slabs_drain_word(struct bsa_slabs *slabs, struct bsa_class *class);
bool bsa_slabs_start(struct bsa_slabs *slabs, struct bsa_class *class,
		     struct bsa_page *page);
bool bsa_slabs_refill(struct bsa_slabs *slabs, struct bsa_class *class);
struct bsa_page *bsa_slabs_place_freed(struct bsa_slabs *slabs,
				       struct bsa_page *slab,
				       unsigned int freed);
struct bsa_page *bsa_slabs_drain(struct bsa_slabs *slabs,
				 struct bsa_page *slab);
struct bsa_page *bsa_slabs_deactivate(struct bsa_slabs *slabs,
				      struct bsa_class *class);
void bsa_slabs_detach(struct bsa_slabs *slabs, struct bsa_page *slab,
		      u32 owner);
struct bsa_page *bsa_slabs_attach(struct bsa_slabs *slabs,
				  struct bsa_page *slab);
unsigned long bsa_class_nr_allocs(const struct bsa_class *class);
void bsa_slab_release(struct bsa_bitmap_pool *pool, struct bsa_page *slab);
bool bsa_slab_is_unused(const struct bsa_page *slab);
unsigned int bsa_slab_nr_remote(const struct bsa_page *slab);

/*
 * A slab whose objects take three units each has only those in one word, where
 * every third bit stands for an object.
 */
#define BSA_FIRST_UNITS		0x1249249249249249UL

/**
 * bsa_slab_holes - bits that stand for no object, though they are in between
 * @slab: any slab
 *
 * They are always set in the bitmap of remotely freed objects, and never in the
 * other: so they are not handed out, and a free is refused.
 */
static inline unsigned long bsa_slab_holes(const struct bsa_page *slab)
{
	if (likely(slab->class < BSA_NR_CLASSES))
		return 0;
	return ~(BSA_FIRST_UNITS & (BIT(slab->capacity * 3) - 1));
}

/**
 * bsa_class_take - take a free object from the current word of a class
 * @class: the class
 * @obj: set to the object
 *
 * An object that has both bits was freed twice at the same time, here and
 * elsewhere. It is not handed out before that has been straightened out.
 *
 * Return: false if the word has none.
 */
static __always_inline bool bsa_class_take(struct bsa_class *class, void **obj)
{
	unsigned long *word = class->free;
	unsigned long bit, free = *word;
	/* A remote free in this very instant is as good as one after it. */
	unsigned long ready = free & ~READ_ONCE(word[BSA_REMOTE]);

	if (unlikely(!ready))
		return false;
	bit = __ffs(ready);
	WRITE_ONCE(*word, free & ~BIT(bit));
	*obj = (void *)(bsa_hidden(class->base) + bit * class->unit);
	return true;
}

/**
 * bsa_class_take_many - take free objects from the current word of a class
 * @class: the class
 * @nr: how many at most
 * @objs: where to put them
 *
 * Return: how many; 0 if the word has none.
 */
static __always_inline size_t bsa_class_take_many(struct bsa_class *class,
						  size_t nr, void **objs)
{
	unsigned long *word = class->free;
	unsigned long free = *word;
	unsigned long ready = free & ~READ_ONCE(word[BSA_REMOTE]);
	unsigned long rest = ready;
	size_t i;

	/* The word of an owner without an active slab is everybody's. */
	if (!ready)
		return 0;
	for (i = 0; i < nr && rest; i++) {
		objs[i] = (void *)(bsa_hidden(class->base) +
				   __ffs(rest) * class->unit);
		rest &= rest - 1;
	}
	WRITE_ONCE(*word, free & ~(ready ^ rest));
	return i;
}

/**
 * bsa_slab_index - which object of a slab an address is
 * @slab: the slab of the page that @ptr lies in
 * @ptr: address in the slab
 *
 * The bits of @ptr below the object size end up at the top of the result, so
 * one comparison finds every address that is not the start of an object.
 *
 * Return: the index of its bit; at least BSA_MAX_OBJECTS if @ptr is inside an
 * object, unless it is where the second or third unit of one begins.
 */
static __always_inline unsigned long bsa_slab_index(const struct bsa_page *slab,
						    const void *ptr)
{
	return ror64((unsigned long)ptr & slab->mask, slab->shift);
}

/**
 * bsa_slab_is_interior - does an index not stand for an object?
 * @slab: the slab
 * @index: from bsa_slab_index()
 */
static inline bool bsa_slab_is_interior(const struct bsa_page *slab,
					unsigned long index)
{
	return index >= BSA_MAX_OBJECTS ||
	       (index < BITS_PER_LONG && bsa_slab_holes(slab) & BIT(index));
}

/**
 * bsa_slab_is_free - is an object free already?
 * @slab: the slab
 * @index: the object
 */
static __always_inline bool bsa_slab_is_free(const struct bsa_page *slab,
					     unsigned long index)
{
	return test_bit(index, slab->free) ||
	       test_bit(index, slab->free + BSA_REMOTE);
}

/*
 * Set the bit of an object in a bitmap of free objects, unless it is set there or
 * remotely.
 */
static __always_inline bool bsa_set_free(unsigned long *free,
					 unsigned long index, const void *obj,
					 size_t room)
{
	if (unlikely(test_bit(index, free + BSA_REMOTE)))
		return false;
	if (BSA_WATCHED) {
		/* As below. */
		if (data_race(test_bit(index, free)))
			return false;
		bsa_take_back(obj, room);
	}
	/* Others read the word at any time, but only the owner writes it. */
	return likely(!data_race(__test_and_set_bit(index, free)));
}

/**
 * bsa_slab_put - make an object of an owned slab free
 * @slab: the slab, owned by the caller
 * @index: its index
 * @obj: the object
 *
 * The caller counts the free down in slab->ttl, and looks at the slab's lists
 * when that gets to 0.
 *
 * Return: false if the object is free already; nothing has changed then.
 */
static __always_inline bool bsa_slab_put(struct bsa_page *slab,
					 unsigned long index, const void *obj)
{
	return bsa_set_free(slab->free, index, obj,
			    bsa_class_size(slab->class));
}

/**
 * bsa_slab_put_many - make objects of an owned slab free
 * @slab: the slab, owned by the caller
 * @nr: how many at most; not 0
 * @objs: any addresses, the first in @slab; later ones count for as long as
 *	they are, too, and are live objects
 *
 * Return: how many were freed. They are counted down in slab->ttl; if that is 0
 * bsa_slabs_place_freed() is to follow.
 */
static __always_inline size_t bsa_slab_put_many(struct bsa_page *slab,
						size_t nr, void **objs)
{
	unsigned long mask = slab->mask, index;
	unsigned long base = (unsigned long)objs[0] & ~mask;
	unsigned long *free = slab->free;
	unsigned int shift = slab->shift;
	size_t room = bsa_class_size(slab->class);
	bool full = slab->state == BSA_PAGE_SLAB_FULL;
	size_t i, max = min_t(size_t, nr, full ? slab->capacity : slab->ttl);

	for (i = 0; i < max; i++) {
		index = (unsigned long)objs[i] - base;
		if (index > mask)
			break;
		index = ror64(index, shift);
		if (unlikely(index >= BSA_MAX_OBJECTS ||
			     !bsa_set_free(free, index, objs[i], room)))
			break;
	}
	if (i)
		/* As in free_fast(). */
		data_race(slab->ttl = full ? 0 : slab->ttl - i);
	return i;
}

#endif /* _BSA_SLAB_H */
