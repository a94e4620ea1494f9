// SPDX-License-Identifier: GPL-2.0-only
/*
 * Free blocks of pages that a CPU keeps at hand
 *
 * Splitting a large block and coalescing it again costs as many steps as there
 * are orders in between, under the lock of all CPUs. A block that is freed and
 * wanted again soon is spared that: it stays whole, in a slot of the CPU.
 *
 * Such a block is free: it counts as free, a second free of it is refused, and
 * when memory is short it goes back to its buddy, whichever CPU kept it.
 */
#include <bsa/compat.h>
#include <bsa/pcp.h>

/**
 * bsa_pcp_flush - give all that is kept back
 * @pcp: whose
 * @buddy: where it came from
 *
 * Context: any but NMI, on any CPU.
 */
void bsa_pcp_flush(struct bsa_pcp *pcp, struct bsa_buddy *buddy)
{
	struct bsa_page *page;
	unsigned int order;

	for (order = 0; order < BSA_PCP_ORDERS; order++)
		while ((page = bsa_pcp_alloc(pcp, order, false)))
			bsa_buddy_free(buddy, page);
}

/**
 * bsa_pcp_nr_pages - pages in blocks that are kept
 * @pcp: whose
 * @section: index of the section that they belong to; -1: any
 *
 * Context: any.
 */
unsigned long bsa_pcp_nr_pages(const struct bsa_pcp *pcp, int section)
{
	const struct bsa_page *page;
	unsigned long nr = 0;
	unsigned int i, order;

	for (i = 0; i < 2 * BSA_PCP_ORDERS * BSA_PCP_SLOTS; i++) {
		order = i / BSA_PCP_SLOTS % BSA_PCP_ORDERS;
		page = READ_ONCE((&pcp->slot[0][0][0])[i]);
		if (page && (section < 0 || page->section == section))
			nr += 1UL << order;
	}
	return nr;
}
