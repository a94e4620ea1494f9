// SPDX-License-Identifier: GPL-2.0-only
/*
 * Free blocks of pages that a CPU keeps at hand
 *
 * Splitting a large block and coalescing it again costs as many steps as there
 * are orders in between, under the lock of all CPUs. A block that is freed and
 * wanted again soon is spared that: it stays whole, on a stack of the CPU.
 *
 * How many stay goes by what callers hold: coalescing is put off for no more
 * blocks of an order than are in use (Lee and Barkley, "A watermark-based lazy
 * buddy system for kernel memory allocation", 1989).
 *
 * Such a block is free: it counts as free, a second free of it is refused, and
 * when memory is short it goes back to its buddy, whichever CPU kept it.
 */
#include <bsa/compat.h>
#include <bsa/pcp.h>

/**
 * bsa_pcp_flush - give all that is kept back
 * @pcp: a CPU's, of each order
 * @buddy: where it came from
 *
 * Those there are at the start: while others free more there may be no end.
 *
 * Context: any but NMI, on any CPU.
 */
void bsa_pcp_flush(struct bsa_pcp *pcp, struct bsa_buddy *buddy)
{
	unsigned int order, side;
	struct bsa_page *page;
	unsigned long left;

	for (order = 0; order < BSA_PCP_ORDERS; order++) {
		/* Each on its own, low memory (1) first. */
		for (side = 2; side--;) {
			left = bsa_pcp_nr(READ_ONCE(pcp[order].stack[side]));
			while (left-- &&
			       bsa_pcp_alloc(&pcp[order], side, &page))
				bsa_buddy_free(buddy, page);
		}
	}
}

/* The blocks in a stack that belong to a section. */
static unsigned long nr_of_section(unsigned long stack, int section)
{
	unsigned long left = bsa_pcp_nr(stack);
	const struct bsa_page *page;
	unsigned long nr = 0;

	while (left--) {
		page = bsa_page_of((void *)(stack & PAGE_MASK));
		nr += page->section == section;
		/*
		 * Others may take blocks in the meantime, so this may be
		 * anything. The map has a descriptor for that, too.
		 */
		stack = (unsigned long)data_race(page->list.next);
	}
	return nr;
}

/**
 * bsa_pcp_nr_pages - pages in blocks that are kept
 * @pcp: a CPU's, of each order
 * @section: index of the section that they belong to; -1: any
 *
 * With a section, exact only while nobody allocates or frees.
 *
 * Context: any.
 */
unsigned long bsa_pcp_nr_pages(const struct bsa_pcp *pcp, int section)
{
	unsigned long stack, nr = 0;
	unsigned int order, side;

	for (order = 0; order < BSA_PCP_ORDERS; order++) {
		for (side = 0; side < 2; side++) {
			stack = READ_ONCE(pcp[order].stack[side]);
			nr += (section < 0 ? bsa_pcp_nr(stack) :
			       nr_of_section(stack, section)) << order;
		}
	}
	return nr;
}
