// SPDX-License-Identifier: GPL-2.0-only
/*
 * The footprint: memory held against memory asked for, metadata, and the load
 */
#include "bench.h"

#include <linux/bitmap.h>
#include <linux/io.h>
#include <linux/slab.h>
#include <linux/timex.h>
#include <linux/vmalloc.h>

/* The kernel's slabs that objects lie in, each counted once. */
static u64 slab_bytes(void **object, unsigned int nr)
{
	unsigned long max = PHYS_PFN(virt_to_phys(high_memory - 1)) + 1;
	unsigned long *seen = vzalloc(BITS_TO_LONGS(max) * sizeof(long));
	u64 bytes = 0;
	unsigned int i;

	for (i = 0; seen && i < nr; i++) {
		struct page *page = virt_to_head_page(object[i]);

		if (!test_and_set_bit(page_to_pfn(page), seen))
			bytes += page_size(page);
	}
	vfree(seen);
	return bytes;
}

/*
 * Requests of random sizes until a heap is full; then the same requests to
 * kmalloc, whose memory is the slabs that the objects lie in. What the heap
 * takes is all of it: what is still free is of no use for the next request.
 */
static void measure_held(struct bench_setup *s)
{
	struct rnd_state sizes = bench_rnd;
	struct bench_heap *h = &s->heap[OURS];
	u64 asked = 0, ours, peer, meta;
	unsigned int nr, i;

	if (bench_create_heap(s, OURS, HEAP_SIZE)) {
		bench_missing(s, NO_MEMORY);
		return;
	}
	bench_fill_heap(h, 0, 0);
	nr = h->nr_held;
	ours = bsa_heap_managed_bytes(h->heap);
	meta = bsa_region_meta_size(ours);
	bench_destroy_heap(h);
	h->heap = NULL;

	for (i = 0; i < nr; i++) {
		size_t size = bench_random_size(&sizes);

		asked += size;
		bench_held[i] = kmalloc(size, GFP_KERNEL);
		if (!bench_held[i])
			break;
	}
	if (i < nr) {
		bench_missing(s, "no memory for kmalloc");
	} else {
		peer = div64_u64(slab_bytes(bench_held, nr) * 10000, asked);
		snprintf(s->what, sizeof(s->what), "8 to 2048 bytes");
		bench_report(s, div64_u64(ours * 10000, asked), peer, "%");
		snprintf(s->what, sizeof(s->what), "8 to 2048 bytes, with metadata");
		s->goal = "";
		bench_report(s, div64_u64((ours + meta) * 10000, asked), peer, "%");
	}
	while (i)
		kfree(bench_held[--i]);
}

/* What a load does of its own: making a heap of a range that is taken. */
static void measure_load(struct bench_setup *s)
{
	u64 start, cycles, peer;

	snprintf(s->what, sizeof(s->what), "4 GiB");
	if (bench_take_big_range(&peer)) {
		bench_missing(s, NO_BIG_RANGE);
		return;
	}
	start = bench_cycles();
	if (bench_create_big_heap(s)) {
		bench_missing(s, NO_MEMORY);
		return;
	}
	cycles = bench_cycles() - start;
	bench_report(s, cycles * 100, peer * 100, "cycles");
}

/* What part of a heap its metadata are, in per cent. */
static void measure_metadata(struct bench_setup *s)
{
	snprintf(s->what, sizeof(s->what), "64 MiB");
	bench_report(s, bsa_region_meta_size(SZ_64M) * 10000 / SZ_64M, 0, "%");
	snprintf(s->what, sizeof(s->what), "4 GiB");
	bench_report(s, bsa_region_meta_size(SZ_4G) * 10000 / SZ_4G, 0, "%");
}

const struct bench_row bench_footprint[] = {
	{ "memory held for 100 asked", "kmalloc", "ratio<=1.00",
	  1, NULL, .measure = measure_held },
	{ "own part of the load", "alloc_contig_range", "ours<=20000000",
	  1, NULL, .measure = measure_load },
	{ "metadata", "", "ours<=2.00", 1, NULL, .measure = measure_metadata },
	{}
};
