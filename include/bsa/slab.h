/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _BSA_SLAB_H
#define _BSA_SLAB_H

#include <bsa/buddy.h>
#include <bsa/tools.h>
#include <linux/bitops.h>

/* No slab has more objects than fit between the words of its two bitmaps. */
#define BSA_MAX_OBJECTS		(BSA_REMOTE * BITS_PER_LONG)

/*
 * A bit of an owner's number as slabs have it: every free needs a look at the
 * slab's list, the owner's too. So such a slab is not the one that the owner's
 * mark equals.
 */
#define BSA_OWNER_FULL		2U

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

/* Log2 of the pages in a slab of a class, of which 4 KiB are not always enough. */
static inline unsigned int bsa_slab_order(unsigned int class)
{
	static const u8 order[BSA_ALL_CLASSES] = {
		0, 0, 0, 0, 1, 2, 3, 3, 3, 1, 2, 3
	};

	return max(order[class] + 12, PAGE_SHIFT) - PAGE_SHIFT;
}

/* Objects in a magazine. */
#define BSA_MAGAZINE_SIZE	8

/**
 * struct bsa_class - what one owner allocates from, of one size class
 * @word: the word of the active slab's bitmap that is used next; one without a
 *	free object if there is no active slab
 * @base: address of the object of that word's bit 0, see bsa_hidden()
 * @unit: bytes from one bit's address to the next: the object size, or a third
 * @held: objects in the magazine, which come first
 * @active: the slab that is being allocated from, or NULL
 * @allocs: objects handed out
 * @frees: objects that the owner freed
 * @refills: slabs that became active
 * @drained: objects that had been freed remotely, and were taken over
 *
 * The owner's alone, and a cache line.
 */
struct bsa_class {
	unsigned long *word;
	unsigned long base;
	u32 unit;
	u32 held;
	struct bsa_page *active;
	unsigned long allocs;
	unsigned long frees;
	unsigned long refills;
	unsigned long drained;
};

/**
 * struct bsa_shelf - slabs of one size class that their owner does not allocate from
 * @partial: those with free objects
 * @nr_partial: their number
 * @empty: the slab without a live object that is kept, or NULL
 *
 * A full slab is on no list: the first free finds it.
 */
struct bsa_shelf {
	struct list_head partial;
	unsigned long nr_partial;
	struct bsa_page *empty;
};

/**
 * struct bsa_magazine - the last objects of a class that were freed into full slabs
 * @object: freed, and not yet allocated again; &bsa_class.held of them. What has no
 *	&bsa_page.held any more is not held, either
 * @slab: the slab of each
 *
 * The owner's alone. See Bonwick and Adams, "Magazines and Vmem",
 * 2001. There they take the place of a slab's own bookkeeping; here, only of the way
 * of a slab from full to partial and back.
 */
struct bsa_magazine {
	const void *object[BSA_MAGAZINE_SIZE];
	struct bsa_page *slab[BSA_MAGAZINE_SIZE];
};

/* What a mark is while an allocation is under way; frees name a slab instead. */
#define BSA_MARK_BUSY		4UL

/**
 * struct bsa_slabs - all slabs of one owner
 * @mark: @idle while nobody is inside a call; %BSA_MARK_BUSY or the slab that is
 *	freed into while somebody is, which are even and no owner
 * @idle: @number, or what percpu.h says. Who leaves a call stores it, not what he has
 *	read there, or each call would wait for what the one before has stored.
 * @number: what the owner's slabs have in &bsa_page.owner; odd
 * @conflicts: objects that had been freed by the owner and remotely, too:
 *	double frees that were found, and undone, when the owner took them over
 * @buddy: where the pages of slabs come from
 * @class: those of each size class
 * @drains: times that remote frees were taken over
 * @magazine: those of each size class
 * @lock: the owner's lock: protects @shelf, and the state of slabs that are not active
 * @shelf: those of each size class that are not active
 */
struct bsa_slabs {
	unsigned long mark;
	unsigned long idle;
	u32 number;
	unsigned long conflicts;
	struct bsa_buddy *buddy;
	unsigned long drains[BSA_ALL_CLASSES];
	struct bsa_class class[BSA_ALL_CLASSES] ____cacheline_aligned;
	struct bsa_magazine magazine[BSA_ALL_CLASSES];
	raw_spinlock_t lock ____cacheline_aligned_in_smp;
	struct bsa_shelf shelf[BSA_ALL_CLASSES];
};

void bsa_slabs_init(struct bsa_slabs *slabs, u32 number,
		    struct bsa_buddy *buddy);

/* Slabs come and go. */
void bsa_slab_make(struct bsa_buddy *buddy, struct bsa_page *page,
		   unsigned int class);
unsigned int bsa_slab_unmake(struct bsa_buddy *buddy, struct bsa_page *slab);

/* For the owner, without a lock. */
void bsa_slabs_activate(struct bsa_slabs *slabs, struct bsa_page *slab);
bool bsa_slabs_next_word(struct bsa_slabs *slabs, struct bsa_class *class);
void bsa_slabs_drain(struct bsa_slabs *slabs, struct bsa_class *class);
void bsa_slab_let_go(struct bsa_slabs *slabs, struct bsa_page *slab);

/* With the owner's lock. */
struct bsa_page *bsa_slabs_retire(struct bsa_slabs *slabs,
				  struct bsa_class *class);
struct bsa_page *bsa_slabs_pop(struct bsa_slabs *slabs, unsigned int class);
struct bsa_page *bsa_slabs_place(struct bsa_slabs *slabs,
				 struct bsa_page *slab);
struct bsa_page *bsa_slabs_look(struct bsa_slabs *slabs,
				struct bsa_page *slab);
bool bsa_slabs_empty_magazine(struct bsa_slabs *slabs, struct bsa_class *class,
			      struct bsa_page **release);
struct bsa_page *bsa_slabs_take_empty(struct bsa_slabs *slabs,
				      unsigned int class);
unsigned int bsa_slabs_take_unused(struct bsa_slabs *slabs, unsigned int class,
				   unsigned int nr, struct bsa_page **unused);

unsigned int bsa_slab_nr_remote(const struct bsa_page *slab);
unsigned int bsa_slab_nr_free(const struct bsa_page *slab);

/* Every third bit: where objects take three units each, those of their first ones. */
#define BSA_FIRST_UNITS		0x9249249249249249UL

/* Words of a slab's bitmaps that are in use. */
static inline unsigned int bsa_slab_words(const struct bsa_page *slab)
{
	return DIV_ROUND_UP(READ_ONCE(slab->bits), BITS_PER_LONG);
}

/*
 * Which bits of a word stand for objects. All others are set in the bitmap of
 * remotely freed objects and never in that of free objects. So they are not
 * handed out, a free is refused, and a word without a live object has each bit
 * in one bitmap or the other.
 */
static inline unsigned long bsa_slab_objects(const struct bsa_page *slab,
					     unsigned int word)
{
	unsigned int first = word * BITS_PER_LONG, bits = slab->bits;

	if (unlikely(slab->class >= BSA_NR_CLASSES)) {
		/* The last first unit has two behind it. A word is 21 objects and a bit. */
		first += 2;
		return (BSA_FIRST_UNITS << (2 * word % 3)) &
		       (bits - first < BITS_PER_LONG ? BIT(bits - first) - 1 : ~0UL);
	}
	return bits - first < BITS_PER_LONG ? BIT(bits - first) - 1 : ~0UL;
}

/* Objects that a slab has. */
static inline unsigned int bsa_slab_capacity(const struct bsa_page *slab)
{
	return slab->class < BSA_NR_CLASSES ? slab->bits : slab->bits / 3;
}

/*
 * Take a free object from the current word of a class. An object that has both
 * bits was freed twice at the same time, here and elsewhere; it is not handed
 * out before that has been straightened out. Return false if the word has
 * none.
 */
static __always_inline bool bsa_class_take(struct bsa_class *class, void **obj)
{
	unsigned long *word = class->word;
	unsigned long free = *word;
	/* A remote free in this very instant is as good as one after it. */
	unsigned long ready = free & ~READ_ONCE(word[BSA_REMOTE]);

	if (unlikely(!ready))
		return false;
	WRITE_ONCE(*word, free ^ (ready & -ready));
	class->allocs++;
	*obj = (void *)(bsa_hidden(class->base) + __ffs(ready) * class->unit);
	return true;
}

/*
 * Take up to @nr free objects from the current word of a class. Return how
 * many; 0 if the word has none.
 */
static __always_inline size_t bsa_class_take_many(struct bsa_class *class,
						  size_t nr, void **objs)
{
	unsigned long *word = class->word;
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
	class->allocs += i;
	return i;
}

/*
 * Which object of a slab an address is. The bits of @ptr below the object size
 * end up at the top of the result, so one comparison finds every address that
 * is not the start of an object. Return the index of its bit; at least
 * &bsa_page.bits if @ptr is inside an object, unless it is where the second or
 * third unit of one begins.
 */
static __always_inline unsigned long bsa_slab_index(const struct bsa_page *slab,
						    const void *ptr)
{
	return ror64((unsigned long)ptr & slab->mask, slab->shift);
}

/* Does an index from bsa_slab_index() not stand for an object? */
static inline bool bsa_slab_is_interior(const struct bsa_page *slab,
					unsigned long index)
{
	return index >= slab->bits ||
	       !(bsa_slab_objects(slab, index / BITS_PER_LONG) &
		 BIT(index % BITS_PER_LONG));
}

/* Does a magazine hold the object? */
static __always_inline bool bsa_slab_holds(const struct bsa_page *slab,
					   unsigned long index)
{
	return READ_ONCE(slab->held) == index + 1;
}

/* Is there an object, and is it not free? What is no object has a bit that is set. */
static __always_inline bool bsa_slab_is_live(const struct bsa_page *slab,
					     const void *ptr)
{
	unsigned long index = bsa_slab_index(slab, ptr);
	const unsigned long *word = slab->free + index / BITS_PER_LONG;

	return index < slab->bits && !bsa_slab_holds(slab, index) &&
	       !((READ_ONCE(word[0]) | READ_ONCE(word[BSA_REMOTE])) &
		 BIT(index % BITS_PER_LONG));
}

/*
 * Magazines. The bits of what they hold say that it lives, so its slab stays where it
 * is. Of each slab they hold one object at most: when a second one is freed, the slab
 * becomes partial.
 */

/*
 * Free an object of a full slab, as the owner, by putting it into the magazine. Return
 * false if it is no live object, or is not to be held.
 */
static __always_inline bool bsa_slabs_hold(struct bsa_slabs *slabs,
					   struct bsa_page *slab, const void *ptr)
{
	struct bsa_class *class = &slabs->class[slab->class];
	unsigned int nr = class->held;

	if (unlikely(nr == BSA_MAGAZINE_SIZE || slab->held ||
		     !bsa_slab_is_live(slab, ptr)))
		return false;
	if (BSA_WATCHED)
		bsa_take_back(ptr, bsa_class_size(slab->class));
	WRITE_ONCE(slab->held, bsa_slab_index(slab, ptr) + 1);
	slabs->magazine[slab->class].object[nr] = ptr;
	slabs->magazine[slab->class].slab[nr] = slab;
	class->held = nr + 1;
	class->frees++;
	return true;
}

/*
 * What is held last of a class, or NULL. Of an entry that is older than what its slab
 * holds, of whatever class or owner it has become, nothing is left.
 */
static __always_inline struct bsa_page *bsa_slabs_pop_held(struct bsa_slabs *slabs,
							   struct bsa_class *class,
							   const void **ptr)
{
	unsigned int index = class - slabs->class;
	struct bsa_page *slab;

	while (class->held) {
		class->held--;
		*ptr = slabs->magazine[index].object[class->held];
		slab = slabs->magazine[index].slab[class->held];
		if (likely((READ_ONCE(slab->owner) & ~BSA_OWNER_FULL) == slabs->number &&
			   slab->class == index &&
			   bsa_slab_holds(slab, bsa_slab_index(slab, *ptr))))
			return slab;
	}
	return NULL;
}

/* Allocate what the magazine of a class holds. Return NULL if it holds nothing. */
static __always_inline void *bsa_slabs_take_held(struct bsa_slabs *slabs,
						 struct bsa_class *class)
{
	struct bsa_page *slab;
	const void *ptr;

	while ((slab = bsa_slabs_pop_held(slabs, class, &ptr))) {
		WRITE_ONCE(slab->held, 0);
		if (likely(bsa_slab_is_live(slab, ptr))) {
			class->allocs++;
			return (void *)ptr;
		}
		/* Others have freed it, too, in the same instant. */
		slabs->conflicts++;
	}
	return NULL;
}

/*
 * Free objects of a slab whose bits are @bits of a word, as its owner, whose number
 * is @owner and whose mark is @slab. They are the @nr objects at @ptrs.
 *
 * The store of the bits is the last access to the slab, and releases all that
 * was done to the objects before: whoever sees all bits set may take the slab
 * away.
 *
 * An object that is free already has its bit set for as long as the slab is
 * the owner's. So the words are read before the owner is looked at once more:
 * a slab that was taken away since is not written to
 * (model/litmus/put-vs-take-away.litmus).
 *
 * Return false if one is no live object, or if the free would change which list
 * the slab belongs on; nothing has changed then.
 */
static __always_inline bool bsa_slab_put(struct bsa_page *slab, u32 owner,
					 unsigned long *word, unsigned long bits,
					 size_t nr, const void * const *ptrs)
{
	unsigned long free = READ_ONCE(*word), remote = READ_ONCE(word[BSA_REMOTE]);

	/* Pairs with smp_mb() in take_away() (model/litmus/put-vs-take-away.litmus). */
	smp_rmb();
	if (unlikely(READ_ONCE(slab->owner) != owner || (free | remote) & bits))
		return false;
	free |= bits;
	if (unlikely((free | remote) == ~0UL &&
		     READ_ONCE(slab->state) != BSA_PAGE_SLAB_ACTIVE))
		return false;
	while (BSA_WATCHED && nr--)
		bsa_take_back(ptrs[nr], bsa_class_size(slab->class));
	/* For state_by_bits() (model/litmus/put-releases.litmus). */
	smp_store_release(word, free);
	return true;
}

/* As bsa_slab_put(), whatever @ptr is. */
static __always_inline bool bsa_slab_put_one(struct bsa_page *slab, u32 owner,
					     const void *ptr)
{
	unsigned long index = bsa_slab_index(slab, ptr);

	return likely(index < slab->bits && !bsa_slab_holds(slab, index)) &&
	       bsa_slab_put(slab, owner, slab->free + index / BITS_PER_LONG,
			    BIT(index % BITS_PER_LONG), 1, &ptr);
}

/*
 * As bsa_slab_put(), of up to @nr values those up to the first that is no object of the
 * slab, that comes twice, or whose bit is in another word; or all of them but the last,
 * with which the slab may have no live object any more. Return how many.
 */
static __always_inline size_t bsa_slab_put_many(struct bsa_page *slab,
						u32 owner, size_t nr,
						const void * const *ptrs)
{
	unsigned long start = (unsigned long)ptrs[0] & ~(unsigned long)slab->mask;
	unsigned long first = bsa_slab_index(slab, ptrs[0]) & -BITS_PER_LONG;
	unsigned long bits = 0, bit = 0, index, *word;
	size_t i;

	for (i = 0; i < nr; i++) {
		index = bsa_slab_index(slab, ptrs[i]);
		if ((unsigned long)ptrs[i] - start > slab->mask || index >= slab->bits ||
		    bsa_slab_holds(slab, index) ||
		    index - first >= BITS_PER_LONG ||
		    bits & BIT(index % BITS_PER_LONG))
			break;
		bit = BIT(index % BITS_PER_LONG);
		bits |= bit;
	}
	word = slab->free + first / BITS_PER_LONG;
	if (i && bsa_slab_put(slab, owner, word, bits, i, ptrs))
		return i;
	return i > 1 && bsa_slab_put(slab, owner, word, bits & ~bit, i - 1, ptrs) ?
	       i - 1 : 0;
}

#endif /* _BSA_SLAB_H */
