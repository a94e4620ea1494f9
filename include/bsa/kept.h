/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _BSA_KEPT_H
#define _BSA_KEPT_H

#include <bsa/buddy.h>
#include <linux/atomic.h>
#include <linux/bitops.h>

/* Blocks of 2^0 to 2^4 pages are kept. */
#define BSA_KEPT_ORDERS		5

/* How many a CPU keeps of an order at first, and at most. */
#define BSA_KEPT_MIN		2
#define BSA_KEPT_MAX		1024

/**
 * struct bsa_kept - blocks of one order: what a CPU keeps, and what callers did
 * @stack: for each side of 4 GiB (0: above), the blocks that are kept: address
 *	of the one on top, plus their number; 0 if there are none
 * @limit: no more are kept on either side
 * @allocs: blocks that callers got on this CPU
 * @frees: blocks that callers freed on this CPU
 *
 * What the kernel's pcp lists are for. A block that is kept has the state
 * BSA_PAGE_KEPT, and in @below of its descriptor what @stack was before it came.
 *
 * A block is put on top with one cmpxchg(). Who takes one off has to know what
 * lies below it, and nobody else may change the stack in between: he holds
 * %BSA_KEPT_LOCK_BIT, for some instructions, by the rule of lock.h. Whoever comes
 * with a block then takes the bit for a part of the number: the stack is full.
 *
 * So it does not matter who does it: a task that has moved to another CPU, an
 * interrupt, or a CPU that looks for memory everywhere before it gives up.
 */
struct bsa_kept {
	unsigned long stack[2];
	long limit;
	unsigned long allocs;
	unsigned long frees;
};

/* The address of a page has room for both, the number and the bit. */
#define BSA_KEPT_LOCK_BIT	(PAGE_SHIFT - 1)
static_assert(BIT(BSA_KEPT_LOCK_BIT) > BSA_KEPT_MAX);

/* The blocks in a stack, locked or not. */
static inline unsigned long bsa_kept_nr(unsigned long stack)
{
	return stack & (BIT(BSA_KEPT_LOCK_BIT) - 1);
}

/*
 * Take a block that is kept, if @low only from below 4 GiB; from there others
 * come last. Return its address, or NULL; its first page is still in the state
 * BSA_PAGE_KEPT.
 */
static __always_inline void *bsa_kept_pop(struct bsa_kept *kept, bool low,
					  struct bsa_page **page)
{
	unsigned long flags, *stack = &kept->stack[0];
	void *addr = NULL;

	if (low || !READ_ONCE(*stack)) {
		stack = &kept->stack[1];
		if (!READ_ONCE(*stack))
			return NULL;
	}
	if (unlikely(!bsa_lock_enter(&flags)))
		return NULL;
	/* Pairs with bsa_kept_push() (model/litmus/kept-push-pop.litmus). */
	while (unlikely(test_and_set_bit_lock(BSA_KEPT_LOCK_BIT, stack))) {
		if (in_nmi())
			goto out;
		cpu_relax();
	}
	/*
	 * If it has become empty: that of no page, and nothing is below. Others
	 * may try to set the bit, too.
	 */
	addr = (void *)(READ_ONCE(*stack) & PAGE_MASK);
	*page = __bsa_page_of(addr);
	/* Takes the block off, and unlocks (model/litmus/kept-pop-push.litmus). */
	smp_store_release(stack, (*page)->below);
out:
	bsa_lock_leave(flags);
	return addr;
}

/*
 * Keep a block, in the state BSA_PAGE_KEPT. Whoever pops it sees all that was
 * done to the block before: cmpxchg() releases, and taking the lock bit
 * acquires (model/litmus/kept-push-pop.litmus). Return false if it is not to be kept.
 */
static __always_inline bool bsa_kept_push(struct bsa_kept *kept,
					  struct bsa_page *page,
					  const void *addr, bool low)
{
	unsigned long old = READ_ONCE(kept->stack[low]);
	long nr = offset_in_page(old);

	if (unlikely(nr >= READ_ONCE(kept->limit)))
		return false;
	page->below = old;
	return likely(try_cmpxchg(&kept->stack[low], &old,
				  (unsigned long)addr + nr + 1));
}

void bsa_kept_init(struct bsa_kept *kept, bool none);
void bsa_kept_miss(struct bsa_kept *kept);
void bsa_kept_flush(struct bsa_kept *kept, struct bsa_buddy *buddy,
		    unsigned int nr);
unsigned long bsa_kept_nr_blocks(const struct bsa_kept *kept);
unsigned long bsa_kept_nr_pages(const struct bsa_kept *kept, int section);

#endif /* _BSA_KEPT_H */
