/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _BSA_SLAB_H
#define _BSA_SLAB_H

#include <bsa/buddy.h>
#include <linux/bitops.h>

/* Objects of class k have 8 << k bytes. */
#define BSA_MIN_SHIFT		3UL

/* No slab has more objects than this. */
#define BSA_MAX_OBJECTS		512

/**
 * bsa_size_class - the smallest size class that holds a request
 * @size: bytes, 1 to BSA_MAX_OBJECT
 */
static __always_inline unsigned int bsa_size_class(size_t size)
{
	return fls((unsigned int)(size - 1) >> BSA_MIN_SHIFT);
}

static inline size_t bsa_class_size(unsigned int class)
{
	return (size_t)1 << (class + BSA_MIN_SHIFT);
}

/**
 * bsa_slab_order - log2 of the pages in a slab of a class
 * @class: size class
 */
static inline unsigned int bsa_slab_order(unsigned int class)
{
	static const u8 order[BSA_NR_CLASSES] = { 0, 0, 0, 0, 0, 0, 1, 1, 2 };

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
 * struct bsa_active - what the fast path knows of the active slab of a class
 * @bits: the word of its bitmap that is used next; one without a free object
 *	if there is no active slab
 * @base: address of the object of that word's bit 0
 * @size: object size in bytes
 * @allocs: objects of the class that were handed out
 */
struct bsa_active {
	struct bsa_bits *bits;
	unsigned long base;
	unsigned long size;
	unsigned long allocs;
};

/**
 * struct bsa_slab_list - the slabs of one class and one owner
 * @active: the one that is being allocated from, or NULL
 * @partial: slabs with live and with free objects
 * @full: slabs without a free object that the owner knows of
 * @empty: the slab without a live object that is kept, if there is one
 * @nr_partial: length of @partial
 * @nr_full: length of @full
 * @nr_empty: length of @empty
 * @drains: times that remote frees were taken over
 * @drained: objects that were taken over
 * @refills: slabs that became active
 */
struct bsa_slab_list {
	struct bsa_page *active;
	struct list_head partial;
	struct list_head full;
	struct list_head empty;
	unsigned int nr_partial;
	unsigned int nr_full;
	unsigned int nr_empty;
	unsigned long drains;
	unsigned long drained;
	unsigned long refills;
};

/**
 * struct bsa_slabs - all slabs of one owner
 * @active: per class, what the fast path looks at
 * @frees: per class, objects that the owner freed
 * @owner: what the owner's slabs have in &bsa_page.owner; never 0
 * @conflicts: objects that had been freed by the owner and remotely, too:
 *	double frees that were found, and undone, when the owner took them over
 * @list: per class, the other slabs
 * @pool: memory for bitmaps
 *
 * One context at a time may call the functions that take it. percpu.c sees to
 * that; so must whoever uses a set of slabs alone.
 */
struct bsa_slabs {
	struct bsa_active active[BSA_NR_CLASSES];
	unsigned long frees[BSA_NR_CLASSES];
	u32 owner;
	unsigned long conflicts;
	struct bsa_slab_list list[BSA_NR_CLASSES];
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
bool bsa_slabs_drain_word(struct bsa_slabs *slabs, unsigned int class);
bool bsa_slabs_refill(struct bsa_slabs *slabs, unsigned int class);
struct bsa_page *bsa_slabs_place(struct bsa_slabs *slabs,
				 struct bsa_page *slab);
struct bsa_page *bsa_slabs_drain(struct bsa_slabs *slabs,
				 struct bsa_page *slab);
struct bsa_page *bsa_slabs_deactivate(struct bsa_slabs *slabs,
				      unsigned int class);
void bsa_slabs_detach(struct bsa_slabs *slabs, struct bsa_page *slab,
		      u32 owner);
struct bsa_page *bsa_slabs_attach(struct bsa_slabs *slabs,
				  struct bsa_page *slab);
void bsa_slab_release(struct bsa_bitmap_pool *pool, struct bsa_page *slab);
bool bsa_slab_is_unused(const struct bsa_page *slab);
unsigned int bsa_slab_capacity(const struct bsa_page *slab);
unsigned int bsa_slab_nr_remote(const struct bsa_page *slab);

static inline unsigned long bsa_slab_class(const struct bsa_page *slab)
{
	return slab->shift - BSA_MIN_SHIFT;
}

/**
 * bsa_slab_ready - can an object be taken from the current word of a class?
 * @active: the class
 *
 * It cannot if it has no free object, or if others have freed some of its
 * objects: they are taken over first. So an object that was freed twice, here
 * and elsewhere, is found before it is handed out.
 */
static __always_inline bool bsa_slab_ready(const struct bsa_active *active)
{
	/* A remote free in this very instant is as good as one after it. */
	return active->bits->free && !data_race(active->bits->remote);
}

/**
 * bsa_slab_take - take a free object from the current word of a class
 * @active: the class; its current word has a free object
 *
 * Return: the object.
 */
static __always_inline void *bsa_slab_take(struct bsa_active *active)
{
	unsigned long free = active->bits->free;

	WRITE_ONCE(active->bits->free, free & (free - 1));
	active->allocs++;
	return (void *)(active->base + __ffs(free) * active->size);
}

/**
 * bsa_slab_index - which object of a slab an address is
 * @slab: the slab of the page that @ptr lies in
 * @ptr: address in the slab
 *
 * The bits of @ptr below the object size end up at the top of the result, so
 * one comparison finds every address that is not the start of an object.
 *
 * Return: the index; at least BSA_MAX_OBJECTS if @ptr is inside an object.
 */
static __always_inline unsigned long bsa_slab_index(const struct bsa_page *slab,
						    const void *ptr)
{
	return ror64((unsigned long)ptr & slab->mask, slab->shift);
}

/**
 * bsa_slab_is_free - is an object free already?
 * @slab: the slab
 * @index: the object
 */
static __always_inline bool bsa_slab_is_free(const struct bsa_page *slab,
					     unsigned long index)
{
	const struct bsa_bits *bits = &slab->bits[index / BITS_PER_LONG];

	return (READ_ONCE(bits->free) | READ_ONCE(bits->remote)) &
	       BIT(index % BITS_PER_LONG);
}

/**
 * bsa_slab_put - make an object of an owned slab free
 * @slab: the slab, owned by the caller
 * @index: the object
 *
 * The caller counts the free down in slab->ttl, and looks at the slab's lists
 * when that gets to 0.
 *
 * Return: false if the object is free already; nothing has changed then.
 */
static __always_inline bool bsa_slab_put(struct bsa_page *slab,
					 unsigned long index)
{
	struct bsa_bits *bits = &slab->bits[index / BITS_PER_LONG];
	unsigned long free = bits->free;

	if (unlikely((free | bits->remote) >> (index % BITS_PER_LONG) & 1))
		return false;
	/* Pairs with bsa_slab_is_unused(): busy is seen before the bit. */
	smp_store_release(&bits->free, free | BIT(index % BITS_PER_LONG));
	return true;
}

#endif /* _BSA_SLAB_H */
