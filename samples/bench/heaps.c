// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages and private heaps: does it matter how full, how large, or of how many
 * pieces a heap is?
 */
#include "bench.h"

#include <linux/genalloc.h>
#include <linux/log2.h>

/*
 * Pages from a heap in which a single page is held, so that there are free blocks
 * of every order; then from an empty one, where an allocator that keeps nothing at
 * hand splits the largest block each time, and makes it whole again.
 */
const char *bench_prepare_pages(struct bench_setup *s, unsigned int empty)
{
	snprintf(s->what, sizeof(s->what), "order %u%s", s->side[OURS].order,
		 empty ? ", empty heap" : "");
	if (bench_create_heap(s, OURS, HEAP_SIZE))
		return NO_MEMORY;
	if (!empty)
		bench_fill_heap(&s->heap[OURS], PAGE_SIZE,
				bsa_heap_nr_pages(s->heap[OURS].heap) - 1);
	return NULL;
}

/* A gen_pool never touches what it manages: any address will do. */
#define POOL_START	SZ_2M
#define POOL_SIZE	SZ_2M

static void drop_gen_pool(void *peer)
{
	struct gen_pool *pool = peer;
	size_t used = gen_pool_size(pool) - gen_pool_avail(pool);

	if (used)
		gen_pool_free(pool, POOL_START, used);
	gen_pool_destroy(pool);
}

static const char *prepare_gen_pool(struct bench_setup *s, unsigned int i)
{
	unsigned int percent = s->row->percent;
	struct gen_pool *pool;

	snprintf(s->what, sizeof(s->what), "%u %% full", percent);
	pool = gen_pool_create(ilog2(s->row->size), NUMA_NO_NODE);
	if (!pool)
		return NO_MEMORY;
	s->side[PEER].peer = pool;
	s->drop_peer = drop_gen_pool;
	if (gen_pool_add(pool, POOL_START, POOL_SIZE, NUMA_NO_NODE) ||
	    bench_create_heap(s, OURS, POOL_SIZE))
		return NO_MEMORY;
	bench_fill_percent(&s->heap[OURS], percent);
	/* The first allocation starts where the pool does. */
	return !percent || gen_pool_alloc(pool, POOL_SIZE / 100 * percent) ?
	       NULL : NO_MEMORY;
}

/* A heap that is fuller and fuller against an empty one. */
static const char *prepare_level(struct bench_setup *s, unsigned int i)
{
	static const unsigned int percent[] = { 50, 92, 99 };

	snprintf(s->what, sizeof(s->what), "%u %% full", percent[i]);
	if (bench_create_heap(s, OURS, HEAP_SIZE) ||
	    bench_create_heap(s, PEER, HEAP_SIZE))
		return NO_MEMORY;
	bench_fill_percent(&s->heap[OURS], percent[i]);
	return NULL;
}

/* The same when what is free lies scattered, as it does after some time. */
static const char *prepare_holes(struct bench_setup *s, unsigned int i)
{
	struct bench_heap *full = &s->heap[OURS];
	unsigned int k, kept = 0;

	snprintf(s->what, sizeof(s->what), "%u %% full, with holes",
		 s->row->percent);
	if (bench_create_heap(s, OURS, HEAP_SIZE) ||
	    bench_create_heap(s, PEER, HEAP_SIZE))
		return NO_MEMORY;
	bench_fill_percent(full, 100);
	for (k = 0; k < full->nr_held; k++) {
		if (prandom_u32_state(&bench_rnd) % 100 < s->row->percent)
			bench_held[kept++] = bench_held[k];
		else
			bsa_heap_free(full->heap, bench_held[k]);
	}
	full->nr_held = kept;
	return NULL;
}

/* Many sections, of which only the last has room, against a single one. */
static const char *prepare_sections(struct bench_setup *s, unsigned int i)
{
	unsigned int nr = i ? 64 : 8;
	struct bsa_section_info info;

	snprintf(s->what, sizeof(s->what), "%u sections", nr);
	if (bench_create_sections(s, PEER, 1, false) ||
	    bench_create_sections(s, OURS, nr, false))
		return "no memory above 4 GiB";
	bsa_heap_section(s->heap[OURS].heap, nr - 1, &info);
	bench_fill_heap(&s->heap[OURS], PAGE_SIZE, info.total_pages);
	return NULL;
}

/* Low pages against ordinary ones, where only the last section is low. */
static const char *prepare_lowmem(struct bench_setup *s, unsigned int i)
{
	static const unsigned int nr[] = { 2, 8, 64 };

	snprintf(s->what, sizeof(s->what), "%u sections", nr[i]);
	if (bench_create_sections(s, OURS, nr[i], true))
		return "no memory on both sides of 4 GiB";
	s->side[PEER].heap = s->heap[OURS].heap;
	return NULL;
}

static const char *prepare_big(struct bench_setup *s, unsigned int i)
{
	snprintf(s->what, sizeof(s->what), "4 GiB");
	if (bench_create_heap(s, PEER, SZ_4M))
		return NO_MEMORY;
	return bench_create_big_heap(s) ? NO_BIG_RANGE : NULL;
}

const struct bench_row bench_heaps[] = {
	{ "pages", "alloc_pages", "ratio<=0.30",
	  2, bench_prepare_pages, BSA_PAGES, ALLOC_PAGES, PAGE_SIZE << 0 },
	{ "pages", "alloc_pages", "ratio<=0.30",
	  2, bench_prepare_pages, BSA_PAGES, ALLOC_PAGES, PAGE_SIZE << 2 },
	{ "pages", "alloc_pages", "ratio<=0.15",
	  2, bench_prepare_pages, BSA_PAGES, ALLOC_PAGES, PAGE_SIZE << 4 },
	{ "64 bytes", "gen_pool", "ratio<=0.25",
	  1, prepare_gen_pool, BSA_HEAP, GEN_POOL, 64 },
	{ "64 bytes", "gen_pool", "ratio<=0.025",
	  1, prepare_gen_pool, BSA_HEAP, GEN_POOL, 64, .percent = 92 },
	{ "64 bytes", "empty heap", "ratio=1+-0.05",
	  3, prepare_level, BSA_HEAP, BSA_HEAP, 64 },
	{ "4,096 x 64 bytes", "empty heap", "ratio=1+-0.05",
	  3, prepare_level, BSA_HEAP, BSA_HEAP, 64, .nr = NR_BATCH },
	{ "a page", "empty heap", "ratio=1+-0.05",
	  3, prepare_level, BSA_PAGES, BSA_PAGES, PAGE_SIZE },
	{ "64 bytes", "empty heap", "ratio=1+-0.05",
	  1, prepare_holes, BSA_HEAP, BSA_HEAP, 64, .percent = 92 },
	{ "256 x 64 bytes", "empty heap", "",
	  1, prepare_holes, BSA_HEAP, BSA_HEAP, 64, .nr = 256, .percent = 92 },
	{ "64 bytes", "1 section", "ratio=1+-0.05",
	  2, prepare_sections, BSA_HEAP, BSA_HEAP, 64 },
	{ "4,096 x 64 bytes", "1 section", "ratio=1+-0.05",
	  2, prepare_sections, BSA_HEAP, BSA_HEAP, 64, .nr = NR_BATCH },
	{ "a page", "1 section", "ratio=1+-0.05",
	  2, prepare_sections, BSA_PAGES, BSA_PAGES, PAGE_SIZE },
	{ "64 bytes", "4 MiB heap", "ratio=1+-0.05",
	  1, prepare_big, BSA_HEAP, BSA_HEAP, 64 },
	{ "4,096 x 64 bytes", "4 MiB heap", "ratio=1+-0.05",
	  1, prepare_big, BSA_HEAP, BSA_HEAP, 64, .nr = NR_BATCH },
	{ "a page", "4 MiB heap", "ratio=1+-0.05",
	  1, prepare_big, BSA_PAGES, BSA_PAGES, PAGE_SIZE },
	{ "a low page", "any page", "ratio=1+-0.10",
	  3, prepare_lowmem, BSA_LOW_PAGES, BSA_PAGES, PAGE_SIZE },
	{}
};
