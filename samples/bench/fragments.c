// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fragmentation: pages from a heap in pieces, and with large alignments, beside
 * the GPU buddy allocator
 *
 * The GPU buddy manages numbers, not memory, and leaves locking to its users;
 * here nobody locks.
 */
#include "bench.h"

#include <linux/list.h>
#include <linux/slab.h>
#include <linux/sort.h>

#define BLOCK		SZ_8K
#define MAX_BLOCKS	(HEAP_SIZE / BLOCK)	/* of a picture */

/* The GPU buddy, or what it was called before. */
#if IS_REACHABLE(CONFIG_GPU_BUDDY)
#include <linux/gpu_buddy.h>
#elif IS_REACHABLE(CONFIG_DRM_BUDDY)
#include <drm/drm_buddy.h>
#endif

#if IS_REACHABLE(CONFIG_GPU_BUDDY)
static int gpu_init(struct gpu_buddy *mm, u64 size)
{
	return gpu_buddy_init(mm, size, PAGE_SIZE);
}

static int gpu_alloc_blocks(struct gpu_buddy *mm, u64 align,
			    struct list_head *blocks)
{
	return gpu_buddy_alloc_blocks(mm, 0, mm->size, BLOCK, align, blocks, 0);
}
#elif IS_REACHABLE(CONFIG_DRM_BUDDY) && !defined(DRM_BUDDY_CLEARED)
#define gpu_buddy		drm_buddy
#define gpu_buddy_block		drm_buddy_block
#define gpu_buddy_block_offset	drm_buddy_block_offset
#define gpu_buddy_free_block	drm_buddy_free_block
#define gpu_buddy_fini		drm_buddy_fini

/* Weak: its module need not be there. */
#pragma weak drm_buddy_init
#pragma weak drm_buddy_fini
#pragma weak drm_buddy_alloc_blocks
#pragma weak drm_buddy_block_trim
#pragma weak drm_buddy_free_block

static int gpu_init(struct gpu_buddy *mm, u64 size)
{
	return drm_buddy_init ? drm_buddy_init(mm, size, PAGE_SIZE) : -EOPNOTSUPP;
}

/* A block of less than its alignment is cut from a larger one. */
static int gpu_alloc_blocks(struct gpu_buddy *mm, u64 align,
			    struct list_head *blocks)
{
	int err = drm_buddy_alloc_blocks(mm, 0, mm->size, max_t(u64, BLOCK, align),
					 align, blocks, 0);

	if (!err && BLOCK < align)
		drm_buddy_block_trim(mm, BLOCK, blocks);
	return err;
}
#else
#define NO_GPU_BUDDY
#endif

static void *heap_alloc(void *heap, size_t align)
{
	return bsa_heap_alloc_pages(heap, BLOCK / PAGE_SIZE, align, BENCH_GFP);
}

static void heap_free(void *heap, void *block)
{
	bsa_heap_free_pages(heap, block, BLOCK / PAGE_SIZE);
}

static int compare_addresses(const void *a, const void *b)
{
	void *x = *(void **)a, *y = *(void **)b;

	return x < y ? -1 : x > y;
}

/* Whose blocks a picture is made of. */
struct painter {
	void *(*alloc)(void *from, size_t align);
	void (*free)(void *from, void *block);
	int (*compare)(const void *a, const void *b);
};

static const struct painter
	heap_painter = { heap_alloc, heap_free, compare_addresses };

static const struct picture {
	const char *name;
	u64 heap_size;
	size_t align;
	unsigned int nr;
	bool every_second;	/* of the blocks is free */
} pictures[] = {
	{ "every second block free", HEAP_SIZE, PAGE_SIZE, MAX_BLOCKS, true },
	{ "4,096 blocks 64 KiB apart", SZ_4G, SZ_64K, 4096, false },
	{ "4,096 blocks 256 KiB apart", SZ_4G, SZ_256K, 4096, false },
};

/* Draw the picture, and return how many blocks are left in the array. */
static unsigned int draw(const struct picture *p, const struct painter *by,
			 void *from, void **block)
{
	unsigned int i, nr = 0, kept = 0;

	while (nr < p->nr && (block[nr] = by->alloc(from, p->align)))
		nr++;
	if (!p->every_second)
		return nr;
	sort(block, nr, sizeof(*block), by->compare, NULL);
	for (i = 0; i < nr; i++) {
		if (i % 2)
			block[kept++] = block[i];
		else
			by->free(from, block[i]);
	}
	return kept;
}

static const char *draw_ours(struct bench_setup *s, unsigned int i)
{
	struct bench_heap *h = &s->heap[OURS];

	snprintf(s->what, sizeof(s->what), "%s", pictures[i].name);
	if (pictures[i].heap_size == SZ_4G ? bench_create_big_heap(s) :
					     bench_create_heap(s, OURS, HEAP_SIZE))
		return NO_BIG_RANGE;
	h->held_pages = BLOCK / PAGE_SIZE;
	h->nr_held = draw(&pictures[i], &heap_painter, h->heap, bench_held);
	return NULL;
}

/* A heap in pieces against one of the same size in one. */
static const char *prepare_whole(struct bench_setup *s, unsigned int i)
{
	const char *why = draw_ours(s, i);

	return !why && bench_create_heap(s, PEER, HEAP_SIZE) ? NO_MEMORY :
							       why;
}

#ifndef NO_GPU_BUDDY
/* A GPU buddy, and the blocks that fragment it. */
struct gpu_heap {
	struct gpu_buddy mm;
	unsigned int nr_held;
	void *held[MAX_BLOCKS];
};

static void *gpu_alloc(void *mm, size_t align)
{
	LIST_HEAD(blocks);

	if (gpu_alloc_blocks(mm, align, &blocks))
		return NULL;
	return list_first_entry(&blocks, struct gpu_buddy_block, link);
}

static void gpu_free(void *mm, void *block)
{
	gpu_buddy_free_block(mm, block);
}

static void drop_gpu(void *peer)
{
	struct gpu_heap *g = container_of(peer, struct gpu_heap, mm);

	while (g->nr_held)
		gpu_free(&g->mm, g->held[--g->nr_held]);
	gpu_buddy_fini(&g->mm);
	kvfree(g);
}

static struct gpu_heap *create_gpu(struct bench_setup *s, u64 size)
{
	struct gpu_heap *g = kvzalloc(sizeof(*g), GFP_KERNEL);

	if (!g || gpu_init(&g->mm, size)) {
		kvfree(g);
		return NULL;
	}
	s->side[PEER].peer = &g->mm;
	s->side[PEER].alloc = gpu_alloc;
	s->side[PEER].free = gpu_free;
	s->drop_peer = drop_gpu;
	return g;
}

static int compare_gpu(const void *a, const void *b)
{
	u64 x = gpu_buddy_block_offset(*(struct gpu_buddy_block **)a);
	u64 y = gpu_buddy_block_offset(*(struct gpu_buddy_block **)b);

	return x < y ? -1 : x > y;
}

static const struct painter
	gpu_painter = { gpu_alloc, gpu_free, compare_gpu };

/* The same against the GPU buddy, which is in the same pieces. */
static const char *prepare_gpu(struct bench_setup *s, unsigned int i)
{
	const char *why = draw_ours(s, i);
	struct gpu_heap *g = create_gpu(s, pictures[i].heap_size);

	if (!g)
		return "no GPU buddy";
	g->nr_held = draw(&pictures[i], &gpu_painter, &g->mm, g->held);
	return why;
}

/* Thousands of small blocks with a large alignment: making and undoing them. */
static const char *prepare_aligned(struct bench_setup *s, unsigned int i)
{
	snprintf(s->what, sizeof(s->what), "4,096 x 8 KiB at %zu KiB",
		 s->row->align / SZ_1K);
	if (!create_gpu(s, SZ_4G))
		return "no GPU buddy";
	return bench_create_big_heap(s) ? NO_BIG_RANGE : NULL;
}
#endif

/* Does an alignment cost memory? */
static const char *prepare_loss(struct bench_setup *s, unsigned int i)
{
	return draw_ours(s, i + 1);
}

static void report_loss(struct bench_setup *s)
{
	const struct bench_heap *h = &s->heap[OURS];

	bench_report(s, (bsa_heap_allocated_bytes(h->heap) -
			 (size_t)h->nr_held * BLOCK) * 100, 0, "bytes");
}

const struct bench_row bench_fragments[] = {
	{ "8 KiB, fragmented", "unfragmented", "ratio<=1.00",
	  3, prepare_whole, BSA_PAGES, BSA_PAGES, BLOCK },
	{ "1,024 x 8 KiB, fragmented", "unfragmented", "ratio<=1.00",
	  3, prepare_whole, BSA_PAGES, BSA_PAGES, BLOCK, .nr = 1024 },
#ifndef NO_GPU_BUDDY
	{ "1,024 x 8 KiB, fragmented", "GPU buddy", "ratio<=0.25",
	  3, prepare_gpu, BSA_PAGES, OF_CASE, BLOCK, .nr = 1024, .irqs_on = true },
	{ "aligned pages", "GPU buddy", "ratio<=0.25",
	  1, prepare_aligned, BSA_PAGES, OF_CASE, BLOCK, SZ_64K, NR_BATCH, .irqs_on = true },
	{ "aligned pages", "GPU buddy", "ratio<=0.25",
	  1, prepare_aligned, BSA_PAGES, OF_CASE, BLOCK, SZ_256K, NR_BATCH, .irqs_on = true },
#endif
	{ "memory lost to alignment", "", "ours<=0",
	  2, prepare_loss, .measure = report_loss },
	{}
};
