// SPDX-License-Identifier: GPL-2.0-only
/*
 * Free blocks of pages that a CPU keeps at hand
 *
 * Splitting a large block and coalescing it again costs as many steps as there
 * are orders in between, under the lock of all CPUs. A block that is freed and
 * wanted again soon is spared that: it stays whole, on a stack of the CPU. Lee and
 * Barkley call it a lazy buddy system ("A watermark-based lazy buddy system for
 * kernel memory allocation", 1989).
 *
 * How many stay goes by what this CPU has lacked: each time it finds none it may
 * keep one more, up to BSA_KEPT_MAX, and when memory is short it begins again at
 * BSA_KEPT_MIN. So a CPU that only frees what others allocate keeps two.
 *
 * Such a block is free: it counts as free, a second free of it is refused, and
 * when memory is short it goes back to its buddy, whichever CPU kept it.
 */
#include <bsa/compat.h>
#include <bsa/kept.h>

/* Keep nothing yet, or with @none never anything. */
void bsa_kept_init(struct bsa_kept *kept, bool none)
{
	unsigned int order;

	for (order = 0; order < BSA_KEPT_ORDERS; order++)
		kept[order].limit = none ? 0 : BSA_KEPT_MIN;
}

/* A caller wanted a block, and this CPU kept none. */
void bsa_kept_miss(struct bsa_kept *kept)
{
	long limit = READ_ONCE(kept->limit);

	/* Of two that do this at once one may be lost; it is a guess anyway. */
	if (limit && limit < BSA_KEPT_MAX)
		WRITE_ONCE(kept->limit, limit + 1);
}

/* Give up to @nr blocks of one order back; return how many there were. */
static unsigned int flush_order(struct bsa_kept *kept, struct bsa_buddy *buddy,
				unsigned int nr)
{
	struct bsa_page *page;
	unsigned int side, done = 0;

	if (READ_ONCE(kept->limit))
		WRITE_ONCE(kept->limit, BSA_KEPT_MIN);
	/* Each side on its own, low memory (1) first. */
	for (side = 2; side--;)
		for (; done < nr && bsa_kept_pop(kept, side, &page); done++)
			bsa_buddy_free(buddy, page);
	return done;
}

/* Give up to @nr blocks of what a CPU keeps back, on any CPU. */
void bsa_kept_flush(struct bsa_kept *kept, struct bsa_buddy *buddy,
		    unsigned int nr)
{
	unsigned int order = BSA_KEPT_ORDERS;

	while (order-- && nr)
		nr -= flush_order(&kept[order], buddy, nr);
}

/* Return how many blocks a CPU keeps. */
unsigned long bsa_kept_nr_blocks(const struct bsa_kept *kept)
{
	unsigned long nr = 0;
	unsigned int order;

	for (order = 0; order < BSA_KEPT_ORDERS; order++)
		nr += bsa_kept_nr(READ_ONCE(kept[order].stack[0])) +
		      bsa_kept_nr(READ_ONCE(kept[order].stack[1]));
	return nr;
}

/* The blocks in a stack that belong to a section. */
static unsigned long nr_of_section(unsigned long stack, int section)
{
	unsigned long left = bsa_kept_nr(stack);
	const struct bsa_page *page;
	unsigned long nr = 0;

	while (left--) {
		page = bsa_page_of((void *)(stack & PAGE_MASK));
		nr += page->section == section;
		/*
		 * Others may take blocks in the meantime, so this may be
		 * anything. The map has a descriptor for that, too.
		 */
		stack = READ_ONCE(page->below);
	}
	return nr;
}

/*
 * Return how many pages a CPU keeps, of a section or, if that is -1, of all.
 * Of a section it is exact only while nobody allocates or frees.
 */
unsigned long bsa_kept_nr_pages(const struct bsa_kept *kept, int section)
{
	unsigned long stack, nr = 0;
	unsigned int order, side;

	for (order = 0; order < BSA_KEPT_ORDERS; order++) {
		for (side = 0; side < 2; side++) {
			stack = READ_ONCE(kept[order].stack[side]);
			nr += (section < 0 ? bsa_kept_nr(stack) :
			       nr_of_section(stack, section)) << order;
		}
	}
	return nr;
}
