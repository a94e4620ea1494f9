// SPDX-License-Identifier: GPL-2.0-only
/*
 * Private heaps: how they are made, filled and given back
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include "bench.h"

#include <linux/err.h>
#include <linux/io.h>
#include <linux/memory_hotplug.h>
#include <linux/sched.h>
#include <linux/timex.h>

#define REGION_ORDER	10	/* sections of 4 MiB */

/* The range that makes a heap of 4 GiB. Taken once, as that takes long. */
static struct {
	unsigned long pfn;
	unsigned long nr_pages;
	u64 cycles;		/* what alloc_contig_range() has taken */
} big_range;

/**
 * bench_create_heap - create the heap that a side is to use
 * @s: the setup that it becomes part of
 * @side: the side
 * @size: bytes; 0: it gets regions
 */
int bench_create_heap(struct bench_setup *s, unsigned int side, size_t size)
{
	struct bsa_heap *heap;

	heap = bsa_heap_create(side == OURS ? "bench-ours" : "bench-peer", size,
			       NUMA_NO_NODE);
	if (IS_ERR(heap))
		return PTR_ERR(heap);
	s->heap[side].heap = heap;
	s->side[side].heap = heap;
	return 0;
}

/* Add a section of at most 4 MiB, which lies below 4 GiB or does not. */
static int add_section(struct bench_heap *h, bool low)
{
	gfp_t gfp = GFP_KERNEL | __GFP_NOWARN | (low ? __GFP_DMA32 : 0);
	struct page *page = alloc_pages(gfp, REGION_ORDER);

	if (!page)
		return -ENOMEM;
	h->region[h->nr_regions++] = page;
	if (low != (page_to_phys(page) < SZ_4G))
		return -ENOMEM;
	return bsa_heap_add_region(h->heap, page_address(page),
				   PAGE_SIZE << REGION_ORDER);
}

/**
 * bench_create_sections - create a heap of sections of 4 MiB
 * @s: the setup that it becomes part of
 * @side: the side that is to use it
 * @nr: sections
 * @last_is_low: the last one lies below 4 GiB; all others lie above
 */
int bench_create_sections(struct bench_setup *s, unsigned int side,
			  unsigned int nr, bool last_is_low)
{
	struct bench_heap *h = &s->heap[side];
	int err = bench_create_heap(s, side, 0);

	while (!err && h->nr_regions < nr)
		err = add_section(h, last_is_low && h->nr_regions == nr - 1);
	return err;
}

/**
 * bench_destroy_heap - give back a heap, what is held of it, and its regions
 * @h: the heap; nothing happens if there is none
 */
void bench_destroy_heap(struct bench_heap *h)
{
	if (!h->heap)
		return;
	while (h->nr_held) {
		void *block = bench_held[--h->nr_held];

		if (h->held_pages)
			bsa_heap_free_pages(h->heap, block, h->held_pages);
		else
			bsa_heap_free(h->heap, block);
	}
	if (bsa_heap_destroy(h->heap)) {
		pr_err("a heap is still in use, its memory is lost\n");
		return;
	}
	while (h->nr_regions)
		__free_pages(h->region[--h->nr_regions], REGION_ORDER);
}

/**
 * bench_random_size - a size from 8 to 2048 bytes, distributed log-uniformly
 * @state: where the next random number comes from
 *
 * It is as likely between 8 and 16 as between 1024 and 2048. Within an octave
 * 2^x is a polygon with 16 sides.
 */
size_t bench_random_size(struct rnd_state *state)
{
	static const u32 pow2[] = {
		65536, 68438, 71468, 74632, 77936, 81386, 84990, 88752, 92682,
		96785, 101070, 105545, 110218, 115098, 120194, 125515, 131072
	};
	u32 r = prandom_u32_state(state);
	u32 octave = r & 7, side = (r >> 3) & 15, x = (r >> 7) & 255;
	u32 factor = pow2[side] + (pow2[side + 1] - pow2[side]) * x / 256;

	return min_t(size_t, 2048, ((8UL << octave) * factor + 32768) >> 16);
}

/**
 * bench_fill_heap - allocate objects and hold them
 * @h: the heap
 * @size: their size in bytes; 0 stands for random ones
 * @leave: stop when so many pages are free; 0: when a call fails
 */
void bench_fill_heap(struct bench_heap *h, size_t size, unsigned long leave)
{
	void *object;

	while (h->nr_held < MAX_HELD &&
	       (!leave || bsa_heap_nr_free_pages(h->heap) > leave)) {
		object = bsa_heap_alloc(h->heap,
					size ?: bench_random_size(&bench_rnd),
					GFP_KERNEL | __GFP_NOWARN);
		if (!object)
			return;
		bench_held[h->nr_held++] = object;
		cond_resched();
	}
}

/**
 * bench_fill_percent - hold objects of random sizes in some of a heap's pages
 * @h: the heap
 * @percent: in how many of a hundred
 */
void bench_fill_percent(struct bench_heap *h, unsigned int percent)
{
	unsigned long nr = bsa_heap_nr_pages(h->heap);

	if (percent)
		bench_fill_heap(h, 0, nr - nr * percent / 100);
}

static bool range_is_usable(unsigned long pfn, unsigned long nr_pages)
{
	struct page *first = pfn_to_online_page(pfn);
	unsigned long i;

	for (i = 0; i < nr_pages; i += pageblock_nr_pages) {
		struct page *page = pfn_to_online_page(pfn + i);

		if (!first || !page || page_zone(page) != page_zone(first))
			return false;
	}
	return true;
}

/**
 * bench_take_big_range - take what a heap of 4 GiB needs, once
 * @cycles: if not NULL, what that has taken
 *
 * It lies above 4 GiB. The 4 GiB behind the metadata are aligned to one.
 */
int bench_take_big_range(u64 *cycles)
{
	unsigned long prefix = PFN_UP(bsa_region_meta_size(SZ_4G));
	unsigned long nr_pages = PHYS_PFN(SZ_4G) + prefix;
	unsigned long end = PHYS_PFN(virt_to_phys(high_memory - 1)) + 1;
	unsigned long step = PHYS_PFN(SZ_1G), pfn;
	u64 start;

	if (!big_range.nr_pages && nr_pages > si_mem_available())
		return -ENOMEM;
	for (pfn = ALIGN_DOWN(end, step) - PHYS_PFN(SZ_4G) - prefix;
	     !big_range.nr_pages && pfn < end && pfn >= PHYS_PFN(SZ_4G);
	     pfn -= step) {
		if (!range_is_usable(pfn, nr_pages))
			continue;
		start = bench_cycles();
		if (alloc_contig_range(pfn, pfn + nr_pages, MIGRATE_MOVABLE,
				       GFP_KERNEL | __GFP_NOWARN))
			continue;
		big_range.cycles = bench_cycles() - start;
		big_range.pfn = pfn;
		big_range.nr_pages = nr_pages;
	}
	if (cycles)
		*cycles = big_range.cycles;
	return big_range.nr_pages ? 0 : -ENOMEM;
}

/**
 * bench_free_big_range - give it back, if it was taken
 */
void bench_free_big_range(void)
{
	if (big_range.nr_pages)
		free_contig_range(big_range.pfn, big_range.nr_pages);
}

/**
 * bench_create_big_heap - create the heap of 4 GiB that our side is to use
 * @s: the setup that it becomes part of
 */
int bench_create_big_heap(struct bench_setup *s)
{
	int err = bench_take_big_range(NULL) ?: bench_create_heap(s, OURS, 0);

	return err ?: bsa_heap_add_region(s->heap[OURS].heap,
					  __va(PFN_PHYS(big_range.pfn)),
					  PFN_PHYS(big_range.nr_pages));
}
