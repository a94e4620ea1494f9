/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of bsa_bench share
 *
 * A row of the benchmark compares two loops, ours and a peer's. It has one or
 * more cases, such as one for each size class. For each case main.c prepares a
 * setup, measures it, and undoes it. A family is a file with a table of rows.
 */
#ifndef _BSA_BENCH_H
#define _BSA_BENCH_H

#include <linux/bsa.h>
#include <linux/mm.h>
#include <linux/prandom.h>
#include <linux/sizes.h>
#include <linux/timex.h>
#include <linux/types.h>

#define NR_BATCH	4096	/* the largest number of objects in a batch */
#define MAX_ROUNDS	31	/* but of native measurements */
#define MAX_HELD	BIT(21)	/* what a filled heap may hold */
#define MAX_REGIONS	64
#define HEAP_SIZE	SZ_64M	/* heaps whose size is not the point */

/* Of both sides. Interrupts are off in most loops, so nothing may sleep. */
#define BENCH_GFP	(GFP_ATOMIC | __GFP_NOWARN)

/* Why a case cannot be measured. */
#define NO_MEMORY	"no memory"
#define NO_BIG_RANGE	"no range of 4 GiB is to be had"

enum { OURS, PEER, NR_SIDES };

/**
 * struct bench_case - what a loop is to do
 * @heap: our heap; NULL is the default heap
 * @peer: the peer's cache, pool or heap
 * @size: bytes of an object, or of a block of pages
 * @align: alignment of a block of pages, in bytes
 * @pages: pages in a block of @size bytes
 * @order: log2 of these, rounded up
 * @alloc: allocates from @peer, for OF_CASE
 * @free: frees to @peer
 * @nr: objects held at once
 * @objects: room for them
 * @free_order: the order in which they are freed
 * @sizes: of replaced objects, NR_BATCH of them, if they are not all of @size
 */
struct bench_case {
	struct bsa_heap *heap;
	void *peer;
	size_t size;
	size_t align;
	unsigned long pages;
	unsigned int order;
	void *(*alloc)(void *peer, size_t align);
	void (*free)(void *peer, void *block);
	unsigned int nr;
	void **objects;
	const u16 *free_order;
	const u16 *sizes;
};

/* Whose calls a loop makes. */
enum bench_calls {
	NOTHING,		/* what the loop does besides calling */
	BSA,
	BSA_WRITTEN,		/* each cache line of the object is written */
	BSA_CONSTANT,		/* with a size that the compiler knows */
	BSA_HEAP,		/* from the heap of the case, as the next three */
	BSA_HEAP_WRITTEN,
	BSA_PAGES,
	BSA_LOW_PAGES,
	BSA_BULK,
	KMALLOC,
	KMALLOC_WRITTEN,
	KMALLOC_CONSTANT,
	KMALLOC_NOLOCK,
	KMEM_CACHE,
	KMEM_CACHE_BULK,
	MEMPOOL,
	GEN_POOL,
	ALLOC_PAGES,
	OF_CASE,		/* those that the case names */
	FLOOR,			/* the least that any allocator can do */
};

/**
 * struct bench_heap - a private heap and what it was made of
 * @heap: the heap
 * @region: regions that we have given it
 * @nr_regions: length of @region
 * @nr_held: how many of bench_held[] are allocations of this heap
 * @held_pages: pages in each of these; 0: they are objects
 */
struct bench_heap {
	struct bsa_heap *heap;
	struct page *region[MAX_REGIONS];
	unsigned int nr_regions;
	unsigned int nr_held;
	unsigned long held_pages;
};

/**
 * struct bench_setup - a case of a row, while it is measured
 * @row: the row
 * @index: the number of the case
 * @what: the name of the case
 * @goal: the goal of the case, as in the row
 * @side: what the two loops are to do
 * @heap: private heaps of the two sides
 * @drop_peer: how the peer's .peer is given back, if it must be
 */
struct bench_setup {
	const struct bench_row *row;
	unsigned int index;
	char what[64];
	const char *goal;
	struct bench_case side[NR_SIDES];
	struct bench_heap heap[NR_SIDES];
	void (*drop_peer)(void *peer);
};

/**
 * struct bench_row - a row of the benchmark
 * @name: its name
 * @peer_name: with what ours is compared
 * @goal: "ratio<=", "ours<=" or "ours>=" a number, or "ratio=1+-" one
 * @nr_cases: how many cases it has
 * @prepare: names case number @i and sets it up; returns NULL, or why it cannot
 *	be measured. What it has put into the setup is given back in either case
 * @ours: the calls of our loop
 * @peer: those of the peer's
 * @size: bytes of an object or block, if not of each size class
 * @align: alignment of a block, if not a page
 * @nr: objects held at once, if not one
 * @percent: how full a heap is
 * @irqs_on: the peer needs interrupts on
 * @measure: measures and reports; NULL: the two loops are compared
 */
struct bench_row {
	const char *name;
	const char *peer_name;
	const char *goal;
	unsigned int nr_cases;
	const char *(*prepare)(struct bench_setup *s, unsigned int i);
	enum bench_calls ours;
	enum bench_calls peer;
	size_t size;
	size_t align;
	unsigned int nr;
	unsigned int percent;
	bool irqs_on;
	void (*measure)(struct bench_setup *s);
};

/* Whose calls a side makes. */
static inline enum bench_calls bench_calls_of(const struct bench_setup *s, unsigned int side)
{
	return side == OURS ? s->row->ours : s->row->peer;
}

/* The rows of each family; the last one has no name. */
extern const struct bench_row bench_objects[], bench_heaps[], bench_fragments[],
	bench_walks[], bench_footprint[], bench_bounds[], bench_native[],
	bench_parallel[];

/* Parameters of the module. */
extern unsigned int bench_rounds, bench_calls;

/* A user-mode kernel has none of its own; it waits for what came before. */
static inline u64 bench_cycles(void)
{
#ifdef CONFIG_UML
	u32 low, high;

	asm volatile("lfence\n\trdtsc\n\tlfence" : "=a" (low), "=d" (high) : : "memory");
	return (u64)high << 32 | low;
#else
	return get_cycles();
#endif
}

/* main.c */
enum free_order { FREE_SAME, FREE_REVERSE, FREE_RANDOM };

extern void **bench_held;	/* what fills a heap */
extern struct rnd_state bench_rnd;
void bench_set_order(enum free_order order, unsigned int nr);

/* objects.c */
const char *bench_prepare_class(struct bench_setup *s, unsigned int class);
const char *bench_prepare_cache(struct bench_setup *s, unsigned int class);
const char *bench_prepare_bulk(struct bench_setup *s, unsigned int class);
const char *bench_prepare_burst(struct bench_setup *s, unsigned int i);

/* heaps.c */
const char *bench_prepare_pages(struct bench_setup *s, unsigned int empty);

/* measure.c */
extern u64 bench_cycles_per_ms;
void bench_calibrate(void);
void bench_report(const struct bench_setup *s, u64 ours, u64 peer,
		  const char *unit);
void bench_missing(const struct bench_setup *s, const char *why);
void bench_compare(const struct bench_setup *s);
typedef u64 bench_timer_t(const struct bench_setup *s, unsigned int side);
void bench_report_natively(const struct bench_setup *s, bench_timer_t *timer);
void bench_compare_natively(const struct bench_setup *s);

/* heap.c */
size_t bench_random_size(struct rnd_state *state);
int bench_create_heap(struct bench_setup *s, unsigned int side, size_t size);
int bench_create_big_heap(struct bench_setup *s);
int bench_create_sections(struct bench_setup *s, unsigned int side,
			  unsigned int nr, bool last_is_low);
void bench_fill_heap(struct bench_heap *h, size_t size, unsigned long leave);
void bench_fill_percent(struct bench_heap *h, unsigned int percent);
void bench_destroy_heap(struct bench_heap *h);
int bench_take_big_range(u64 *cycles);
void bench_free_big_range(void);

/* loops.c */
void bench_alloc_all(enum bench_calls who, const struct bench_case *c);
void bench_free_all(enum bench_calls who, const struct bench_case *c);
void bench_replace(enum bench_calls who, const struct bench_case *c,
		   const u32 *which, unsigned int n);
void bench_loop(enum bench_calls who, const struct bench_case *c, unsigned int n);

#endif /* _BSA_BENCH_H */
