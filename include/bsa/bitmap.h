/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _BSA_BITMAP_H
#define _BSA_BITMAP_H

#include <bsa/buddy.h>

/* A page of a block of bitmaps, between two guards, has room for so many. */
#define BSA_BITMAP_ORDER	2
#define BSA_BITMAP_PAGES	((1UL << BSA_BITMAP_ORDER) - 2)

/**
 * struct bsa_bitmap - bitmaps of a page that is cut into many small objects
 * @free: as &bsa_page.free0
 * @remote: as &bsa_page.remote0
 * @page: the descriptor of the page
 *
 * Whole cache lines, since the next one may be another CPU's.
 */
struct bsa_bitmap {
	unsigned long free[BSA_REMOTE];
	unsigned long remote[BSA_REMOTE];
	struct bsa_page *page;
} __aligned(BSA_PAGE_BYTES);
static_assert(offsetof(struct bsa_bitmap, remote) ==
	      BSA_REMOTE * sizeof(unsigned long));

/* Bitmaps in a block, each a bit of its descriptor's free0. */
#define BSA_NR_BITMAPS \
	min_t(unsigned long, BITS_PER_LONG, \
	      BSA_BITMAP_PAGES * PAGE_SIZE / sizeof(struct bsa_bitmap))
#define BSA_ALL_BITMAPS		GENMASK(BSA_NR_BITMAPS - 1, 0)

/* Where the bitmaps of a block are, behind the first guard. */
static inline struct bsa_bitmap *bsa_bitmaps(struct bsa_buddy *buddy,
					     const struct bsa_page *block)
{
	return bsa_page_address(buddy, block) + PAGE_SIZE;
}

bool bsa_bitmap_damaged(struct bsa_buddy *buddy, const struct bsa_page *block);

#endif /* _BSA_BITMAP_H */
