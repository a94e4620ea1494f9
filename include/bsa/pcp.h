/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _BSA_PCP_H
#define _BSA_PCP_H

#include <bsa/buddy.h>
#include <linux/atomic.h>
#include <linux/bitops.h>
#include <linux/hardirq.h>
#include <linux/irqflags.h>

/* Blocks of 2^0 to 2^4 pages are kept. */
#define BSA_PCP_ORDERS		5

/* As many as callers hold, and so many more; but never more than BSA_PCP_MAX. */
#define BSA_PCP_SPARE		2
#define BSA_PCP_MAX		1024

/**
 * struct bsa_pcp - blocks of one order: what a CPU keeps, and what callers hold
 * @stack: for each side of 4 GiB (0: above), the blocks that are kept: address
 *	of the one on top, plus their number; 0 if there are none
 * @allocs: blocks that callers got on this CPU
 * @frees: blocks that callers freed on this CPU
 *
 * What the kernel's pcp lists are for. A block that is kept has the state
 * BSA_PAGE_KEPT, and in list.next of its descriptor what @stack was before it
 * came.
 *
 * A block is put on top with one cmpxchg(). Who takes one off has to know what
 * lies below it, and nobody else may change the stack in between: he holds
 * %BSA_PCP_LOCK_BIT, for some instructions with interrupts off. Whoever comes
 * with a block then takes the bit for a part of the number: the stack is full.
 *
 * So it does not matter who does it: a task that has moved to another CPU, an
 * interrupt, or a CPU that looks for memory everywhere before it gives up. An
 * NMI may have interrupted the one it would wait for: it takes nothing then.
 */
struct bsa_pcp {
	unsigned long stack[2];
	unsigned long allocs;
	unsigned long frees;
};

/* The address of a page has room for both, the number and the bit. */
#define BSA_PCP_LOCK_BIT	(PAGE_SHIFT - 1)
static_assert(BIT(BSA_PCP_LOCK_BIT) > BSA_PCP_MAX);

/* The blocks in a stack, locked or not. */
static inline unsigned long bsa_pcp_nr(unsigned long stack)
{
	return stack & (BIT(BSA_PCP_LOCK_BIT) - 1);
}

/**
 * bsa_pcp_alloc - take a block that is kept
 * @pcp: from where
 * @low: only from below 4 GiB; others come from there last
 * @page: its first page, still in the state BSA_PAGE_KEPT
 *
 * Context: any.
 * Return: its address, or NULL.
 */
static __always_inline void *bsa_pcp_alloc(struct bsa_pcp *pcp, bool low,
					   struct bsa_page **page)
{
	unsigned long flags, *stack = &pcp->stack[0];
	void *addr;

	if (low || !READ_ONCE(*stack)) {
		stack = &pcp->stack[1];
		if (!READ_ONCE(*stack))
			return NULL;
	}
	local_irq_save(flags);
	while (unlikely(test_and_set_bit_lock(BSA_PCP_LOCK_BIT, stack))) {
		if (in_nmi()) {
			local_irq_restore(flags);
			return NULL;
		}
		cpu_relax();
	}
	/*
	 * If it has become empty: that of no page, and nothing is below. Others
	 * may try to set the bit, too.
	 */
	addr = (void *)(READ_ONCE(*stack) & PAGE_MASK);
	*page = bsa_page_of(addr);
	/* Takes the block off, and unlocks. */
	smp_store_release(stack, (unsigned long)(*page)->list.next);
	local_irq_restore(flags);
	return addr;
}

/**
 * bsa_pcp_free - keep a block
 * @pcp: where
 * @page: first page of a block in the state BSA_PAGE_KEPT
 * @addr: its address
 * @low: it lies below 4 GiB
 * @spare: how many are kept beyond what callers hold; looked up only here, or
 *	it would take a register from the start
 *
 * Context: any.
 * Return: false if it is not to be kept.
 */
static __always_inline bool bsa_pcp_free(struct bsa_pcp *pcp,
					 struct bsa_page *page,
					 const void *addr, bool low,
					 const long *spare)
{
	long held = READ_ONCE(pcp->allocs) - READ_ONCE(pcp->frees);
	unsigned long old = READ_ONCE(pcp->stack[low]);
	long nr = offset_in_page(old);

	if (unlikely(nr >= held + *spare || nr >= BSA_PCP_MAX))
		return false;
	page->list.next = (void *)old;
	return likely(try_cmpxchg(&pcp->stack[low], &old,
				  (unsigned long)addr + nr + 1));
}

void bsa_pcp_flush(struct bsa_pcp *pcp, struct bsa_buddy *buddy);
unsigned long bsa_pcp_nr_pages(const struct bsa_pcp *pcp, int section);

#endif /* _BSA_PCP_H */
