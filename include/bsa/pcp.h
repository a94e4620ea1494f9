/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _BSA_PCP_H
#define _BSA_PCP_H

#include <bsa/buddy.h>
#include <linux/atomic.h>

/* Blocks of 2^0 to 2^4 pages are kept, up to two of each order. */
#define BSA_PCP_ORDERS	5
#define BSA_PCP_SLOTS	2

/**
 * struct bsa_pcp - free blocks of pages that one CPU keeps at hand
 * @slot: for each side of 4 GiB (0: above) and each order, first pages of blocks
 *	in the state BSA_PAGE_KEPT, or NULL; changed with atomic operations by
 *	anybody
 *
 * What the kernel's pcp lists are for, without a lock: a slot is filled with
 * cmpxchg() and emptied with xchg(). So it does not matter who does it: a task
 * that has moved to another CPU, an interrupt, an NMI, or a CPU that looks for
 * memory everywhere before it gives up. Both operations are full barriers: who
 * takes a block sees all that was stored before it was kept.
 */
struct bsa_pcp {
	struct bsa_page *slot[2][BSA_PCP_ORDERS][BSA_PCP_SLOTS];
};

/**
 * bsa_pcp_alloc - take a block that is kept
 * @pcp: from where
 * @order: log2 of its pages
 * @low: only from below 4 GiB; others come from there last
 *
 * Context: any.
 * Return: first page of the block, still in the state BSA_PAGE_KEPT; or NULL.
 */
static inline struct bsa_page *bsa_pcp_alloc(struct bsa_pcp *pcp,
					     unsigned int order, bool low)
{
	struct bsa_page **slot, *page;
	unsigned int i, side;

	if (order >= BSA_PCP_ORDERS)
		return NULL;
	for (side = low; side < 2; side++) {
		slot = pcp->slot[side][order];
		for (i = 0; i < BSA_PCP_SLOTS; i++) {
			if (!READ_ONCE(slot[i]))
				continue;
			page = xchg(&slot[i], NULL);
			if (page)
				return page;
		}
	}
	return NULL;
}

/**
 * bsa_pcp_free - keep a block
 * @pcp: where
 * @page: first page of a block in the state BSA_PAGE_KEPT
 * @low: it lies below 4 GiB
 *
 * Context: any.
 * Return: false if there is no room for it.
 */
static inline bool bsa_pcp_free(struct bsa_pcp *pcp, struct bsa_page *page,
				bool low)
{
	struct bsa_page **slot;
	unsigned int i;

	if (page->order >= BSA_PCP_ORDERS)
		return false;
	slot = pcp->slot[low][page->order];
	for (i = 0; i < BSA_PCP_SLOTS; i++)
		if (!READ_ONCE(slot[i]) && !cmpxchg(&slot[i], NULL, page))
			return true;
	return false;
}

void bsa_pcp_flush(struct bsa_pcp *pcp, struct bsa_buddy *buddy);
unsigned long bsa_pcp_nr_pages(const struct bsa_pcp *pcp, int section);

#endif /* _BSA_PCP_H */
