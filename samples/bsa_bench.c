// SPDX-License-Identifier: GPL-2.0-only
/*
 * bsa_bench: what the calls of bsa cost, beside those of the kernel
 *
 * Everything is measured while the module loads, ours and a peer in turns, and
 * logged as one line of tab-separated fields for each comparison:
 *
 *   bsa_bench: row, case, ours, peer, the peer's, ratio, goal, unit, ours in
 *   nanoseconds, the peer's in nanoseconds
 *
 * The unit is what get_cycles() counts. On an emulated CPU that counts
 * instructions it is an instruction, and every figure is exact; elsewhere it is
 * a cycle of the CPU's time counter. What the loop itself takes is measured too
 * and taken off.
 *
 * Counted mode runs on one CPU; parallel mode is about what several CPUs do to
 * each other, and its ratios are medians over the rounds.
 *
 * The GPU buddy allocator is a peer if the kernel has it and, where it is a
 * module, drm_buddy is loaded. What needs more memory than there is, or memory
 * above 4 GiB, is logged as not measured.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bitmap.h>
#include <linux/bsa.h>
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/genalloc.h>
#include <linux/io.h>
#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/log2.h>
#include <linux/memory_hotplug.h>
#include <linux/mempool.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/percpu.h>
#include <linux/prandom.h>
#include <linux/preempt.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/string.h>
#include <linux/timex.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>

/* The GPU buddy, or what it was called before. */
#if IS_REACHABLE(CONFIG_GPU_BUDDY)
#include <linux/gpu_buddy.h>
#elif IS_REACHABLE(CONFIG_DRM_BUDDY)
#include <drm/drm_buddy.h>
#endif

#define NR_BATCH	4096	/* the largest number of objects in a batch */
#define NR_OPS		4096	/* at least so many operations in one measurement */
#define MAX_ROUNDS	31
#define MAX_HELD	BIT(18)	/* what a filled heap may hold */
#define REGION_ORDER	10	/* sections of 4 MiB */
#define MAX_REGIONS	64
#define HEAP_SIZE	SZ_64M	/* heaps whose size is not the point */
#define SMALL_OBJECT	256	/* "small" where the worst call is looked for */

/* Of both sides. Interrupts are off in most loops, so nothing may sleep. */
#define BENCH_GFP	(GFP_ATOMIC | __GFP_NOWARN)

static char *mode = "counted";
module_param(mode, charp, 0444);
MODULE_PARM_DESC(mode, "counted (one CPU, the default) or parallel");

static char *rows = "";
module_param(rows, charp, 0444);
MODULE_PARM_DESC(rows, "Measure only the rows whose name contains this");

static unsigned int rounds = 7;
module_param(rounds, uint, 0444);
MODULE_PARM_DESC(rounds, "Rounds of each measurement, of which the median counts (default 7)");

static unsigned int calls = 10000000;
module_param(calls, uint, 0444);
MODULE_PARM_DESC(calls, "Calls among which the worst is looked for (default 10000000)");

static unsigned int ring_ms = 10000;
module_param(ring_ms, uint, 0444);
MODULE_PARM_DESC(ring_ms, "Milliseconds of producing and consuming, for each side (default 10000)");

/* What a loop is to do. */
struct bench_case {
	struct bsa_heap *heap;	/* ours; NULL is the default heap */
	void *peer;		/* the peer's cache, pool or heap */
	size_t size;		/* bytes of an object, or of a block of pages */
	size_t align;		/* of a block of pages */
	unsigned int nr;	/* objects held at once */
	void **objects;		/* room for them */
	const u16 *free_order;	/* in which they are freed */
};

/* Allocates and frees c->nr objects, n times over. */
typedef void (*bench_loop)(const struct bench_case *c, unsigned int n);

struct bench_row {
	const char *name;
	void (*run)(const struct bench_row *row);	/* all its cases */
	bench_loop ours;
	const char *peer_name;
	bench_loop peer;
	const char *goal;	/* "ratio<=", "ours<=" or "ours>=" a number, or
				 * "ratio=1+-" one
				 */
	bench_loop empty;	/* what a loop does besides calling */
	bool irqs_on;		/* the peer needs interrupts on */
	size_t size;		/* bytes of an object or block, if not of each */
	size_t align;
	unsigned int nr;	/* objects held at once, if not one */
	unsigned int percent;	/* how full a heap is */
};

static void **objects;		/* what the loops hold */
static void **held;		/* what fills a heap */
static u16 free_order[NR_BATCH];
static struct kmem_cache *caches[BSA_NR_CLASSES];
static struct rnd_state rnd;
static u64 cycles_per_ms;

static size_t class_size(unsigned int class)
{
	return 8UL << class;
}

/*
 * Output
 */

/* A number with two decimals, of what comes in hundredths. */
struct decimal {
	char text[24];
};

static struct decimal decimal(u64 hundredths)
{
	u64 whole = div_u64(hundredths, 100);
	struct decimal d;

	snprintf(d.text, sizeof(d.text), "%llu.%02llu", whole,
		 hundredths - whole * 100);
	return d;
}

static u64 to_ns(u64 cycles)
{
	return div64_u64(cycles * NSEC_PER_MSEC, cycles_per_ms);
}

/* One line; values are in hundredths, the ratio is in thousandths. */
static void report(const struct bench_row *row, const char *what, u64 ours,
		   u64 peer, u64 ratio, const char *unit, const char *goal)
{
	bool cycles = !strcmp(unit, "cycles");
	u64 ours_ns = cycles ? to_ns(ours) : 0;
	u64 peer_ns = cycles ? to_ns(peer) : 0;

	pr_info("%s\t%s\t%s\t%s\t%s\t%llu.%03llu\t%s\t%s\t%s\t%s\n",
		row->name, what, decimal(ours).text, row->peer_name,
		decimal(peer).text, ratio / 1000, ratio % 1000, goal, unit,
		decimal(ours_ns).text, decimal(peer_ns).text);
}

static u64 ratio_of(u64 ours, u64 peer)
{
	return peer ? div64_u64(ours * 1000 + peer / 2, peer) : 0;
}

static void report_missing(const struct bench_row *row, const char *what,
			   const char *why)
{
	pr_info("%s\t%s\tnot measured: %s\n", row->name, what, why);
}

/*
 * Measuring
 */

static int compare_u64(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

static u64 median(u64 *values, unsigned int nr)
{
	sort(values, nr, sizeof(*values), compare_u64, NULL);
	return values[nr / 2];
}

/* How fast get_cycles() counts. A clock that jumps once does not matter. */
static void calibrate(void)
{
	u64 start_ns, ns, start, cycles, per_ms[5];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(per_ms); i++) {
		start_ns = ktime_get_ns();
		start = get_cycles();
		do {
			cycles = get_cycles() - start;
			ns = ktime_get_ns() - start_ns;
		} while (ns < 10 * NSEC_PER_MSEC);
		per_ms[i] = div64_u64(cycles * NSEC_PER_MSEC, ns);
	}
	cycles_per_ms = max(1000ULL, median(per_ms, ARRAY_SIZE(per_ms)));
}

static u64 time_loop(bench_loop loop, const struct bench_case *c,
		     unsigned int n, bool irqs_on)
{
	unsigned long flags = 0;
	u64 start, end;

	if (!irqs_on)
		local_irq_save(flags);
	start = get_cycles();
	loop(c, n);
	end = get_cycles();
	if (!irqs_on)
		local_irq_restore(flags);
	cond_resched();
	return end - start;
}

/* Calls of ours that have failed. A loop in which one does proves nothing. */
static unsigned long failures(const struct bench_case *c)
{
	struct bsa_stats stats;

	bsa_heap_get_stats(c->heap, &stats);
	return stats.failures + stats.refused_frees;
}

/*
 * Run both loops in turns and report what one allocation and its free take. The
 * first round only warms up.
 */
static void compare(const struct bench_row *row, const char *what,
		    const struct bench_case *ours,
		    const struct bench_case *peer)
{
	u64 ours_time[MAX_ROUNDS], peer_time[MAX_ROUNDS], ratio[MAX_ROUNDS];
	unsigned int n = max(1U, NR_OPS / ours->nr), i;
	unsigned long failed = failures(ours);
	u64 ops = (u64)n * ours->nr;
	u64 empty;

	for (i = 0; i < rounds; i++)
		ours_time[i] = time_loop(row->empty, ours, n, false);
	empty = median(ours_time, rounds);

	time_loop(row->ours, ours, n, row->irqs_on);
	time_loop(row->peer, peer, n, row->irqs_on);
	for (i = 0; i < rounds; i++) {
		u64 t = time_loop(row->ours, ours, n, row->irqs_on);
		u64 u = time_loop(row->peer, peer, n, row->irqs_on);

		ours_time[i] = div64_u64((t - min(t, empty)) * 100, ops);
		peer_time[i] = div64_u64((u - min(u, empty)) * 100, ops);
		ratio[i] = ratio_of(ours_time[i], peer_time[i]);
	}
	if (failures(ours) != failed) {
		report_missing(row, what, "calls have failed");
		return;
	}
	report(row, what, median(ours_time, rounds), median(peer_time, rounds),
	       median(ratio, rounds), "cycles", row->goal);
}

/*
 * Loops over one object
 */

static noinline void no_pairs(const struct bench_case *c, unsigned int n)
{
	size_t size = c->size;

	while (n--)
		OPTIMIZER_HIDE_VAR(size);
}

static noinline void bsa_pairs(const struct bench_case *c, unsigned int n)
{
	size_t size = c->size;

	while (n--)
		bsa_free(bsa_alloc(size, BENCH_GFP));
}

static noinline void kmalloc_pairs(const struct bench_case *c, unsigned int n)
{
	size_t size = c->size;

	while (n--)
		kfree(kmalloc(size, BENCH_GFP));
}

static noinline void cache_pairs(const struct bench_case *c, unsigned int n)
{
	struct kmem_cache *cache = c->peer;

	while (n--)
		kmem_cache_free(cache, kmem_cache_alloc(cache, BENCH_GFP));
}

static noinline void mempool_pairs(const struct bench_case *c, unsigned int n)
{
	mempool_t *pool = c->peer;

	while (n--)
		mempool_free(mempool_alloc(pool, BENCH_GFP), pool);
}

static noinline void gen_pool_pairs(const struct bench_case *c, unsigned int n)
{
	struct gen_pool *pool = c->peer;
	size_t size = c->size;

	while (n--)
		gen_pool_free(pool, gen_pool_alloc(pool, size), size);
}

static noinline void heap_pairs(const struct bench_case *c, unsigned int n)
{
	struct bsa_heap *heap = c->heap;
	size_t size = c->size;

	while (n--)
		bsa_heap_free(heap, bsa_heap_alloc(heap, size, BENCH_GFP));
}

/*
 * The floor: no allocator with a cache for each CPU can do with less than
 * popping a pointer from an array and pushing it back, each a call and with
 * preemption off.
 */
struct floor_stack {
	unsigned int nr;
	void *object[64];
};

static DEFINE_PER_CPU(struct floor_stack, floor_stack);

static noinline void *floor_alloc(void)
{
	struct floor_stack *stack;
	void *object = NULL;

	preempt_disable();
	stack = this_cpu_ptr(&floor_stack);
	if (likely(stack->nr))
		object = stack->object[--stack->nr];
	preempt_enable();
	return object;
}

static noinline void floor_free(void *object)
{
	struct floor_stack *stack;

	preempt_disable();
	stack = this_cpu_ptr(&floor_stack);
	if (likely(stack->nr < ARRAY_SIZE(stack->object)))
		stack->object[stack->nr++] = object;
	preempt_enable();
}

static noinline void floor_pairs(const struct bench_case *c, unsigned int n)
{
	floor_free((void *)c);
	while (n--)
		floor_free(floor_alloc());
	floor_alloc();
}

/*
 * The same with a size that the compiler knows
 */

static __always_inline void bsa_pairs_of(size_t size, unsigned int n)
{
	while (n--)
		bsa_free(bsa_alloc(size, BENCH_GFP));
}

static noinline void bsa_constant_pairs(const struct bench_case *c,
					unsigned int n)
{
	switch (c->size) {
	case 8: return bsa_pairs_of(8, n);
	case 16: return bsa_pairs_of(16, n);
	case 32: return bsa_pairs_of(32, n);
	case 64: return bsa_pairs_of(64, n);
	case 128: return bsa_pairs_of(128, n);
	case 256: return bsa_pairs_of(256, n);
	case 512: return bsa_pairs_of(512, n);
	case 1024: return bsa_pairs_of(1024, n);
	case 2048: return bsa_pairs_of(2048, n);
	}
}

static __always_inline void kmalloc_pairs_of(size_t size, unsigned int n)
{
	while (n--)
		kfree(kmalloc(size, BENCH_GFP));
}

static noinline void kmalloc_constant_pairs(const struct bench_case *c,
					    unsigned int n)
{
	switch (c->size) {
	case 8: return kmalloc_pairs_of(8, n);
	case 16: return kmalloc_pairs_of(16, n);
	case 32: return kmalloc_pairs_of(32, n);
	case 64: return kmalloc_pairs_of(64, n);
	case 128: return kmalloc_pairs_of(128, n);
	case 256: return kmalloc_pairs_of(256, n);
	case 512: return kmalloc_pairs_of(512, n);
	case 1024: return kmalloc_pairs_of(1024, n);
	case 2048: return kmalloc_pairs_of(2048, n);
	}
}

/*
 * Loops over many objects: all are allocated, then all are freed
 */

static noinline void no_batches(const struct bench_case *c, unsigned int n)
{
	unsigned long sum = 0;
	unsigned int i;

	while (n--) {
		for (i = 0; i < c->nr; i++)
			c->objects[i] = NULL;
		barrier();
		for (i = 0; i < c->nr; i++) {
			sum = (unsigned long)c->objects[c->free_order[i]];
			OPTIMIZER_HIDE_VAR(sum);
		}
	}
}

static noinline void bsa_alloc_all(const struct bench_case *c)
{
	size_t size = c->size;
	unsigned int i;

	for (i = 0; i < c->nr; i++)
		c->objects[i] = bsa_alloc(size, BENCH_GFP);
}

static noinline void bsa_free_all(const struct bench_case *c)
{
	unsigned int i;

	for (i = 0; i < c->nr; i++)
		bsa_free(c->objects[c->free_order[i]]);
}

static void bsa_batches(const struct bench_case *c, unsigned int n)
{
	while (n--) {
		bsa_alloc_all(c);
		bsa_free_all(c);
	}
}

static noinline void kmalloc_alloc_all(const struct bench_case *c)
{
	size_t size = c->size;
	unsigned int i;

	for (i = 0; i < c->nr; i++)
		c->objects[i] = kmalloc(size, BENCH_GFP);
}

static noinline void kmalloc_free_all(const struct bench_case *c)
{
	unsigned int i;

	for (i = 0; i < c->nr; i++)
		kfree(c->objects[c->free_order[i]]);
}

static void kmalloc_batches(const struct bench_case *c, unsigned int n)
{
	while (n--) {
		kmalloc_alloc_all(c);
		kmalloc_free_all(c);
	}
}

static noinline void heap_batches(const struct bench_case *c, unsigned int n)
{
	size_t size = c->size;
	unsigned int i;

	while (n--) {
		for (i = 0; i < c->nr; i++)
			c->objects[i] = bsa_heap_alloc(c->heap, size,
						       BENCH_GFP);
		for (i = 0; i < c->nr; i++)
			bsa_heap_free(c->heap, c->objects[c->free_order[i]]);
	}
}

static noinline void bsa_bulk(const struct bench_case *c, unsigned int n)
{
	size_t nr;

	while (n--) {
		nr = bsa_alloc_bulk(c->size, BENCH_GFP, c->nr, c->objects);
		bsa_free_bulk(nr, c->objects);
	}
}

static noinline void cache_bulk(const struct bench_case *c, unsigned int n)
{
	int nr;

	while (n--) {
		nr = kmem_cache_alloc_bulk(c->peer, BENCH_GFP, c->nr,
					   c->objects);
		kmem_cache_free_bulk(c->peer, nr, c->objects);
	}
}

/*
 * Loops over pages
 */

static noinline void kernel_page_pairs(const struct bench_case *c,
				       unsigned int n)
{
	unsigned int order = get_order(c->size);

	while (n--)
		__free_pages(alloc_pages(BENCH_GFP, order), order);
}

static noinline void heap_page_pairs(const struct bench_case *c, unsigned int n)
{
	unsigned long nr = c->size >> PAGE_SHIFT;
	struct bsa_heap *heap = c->heap;
	size_t align = c->align;
	void *block;

	while (n--) {
		block = bsa_heap_alloc_pages(heap, nr, align, BENCH_GFP);
		bsa_heap_free_pages(heap, block, nr);
	}
}

static noinline void lowmem_pairs(const struct bench_case *c, unsigned int n)
{
	unsigned long nr = c->size >> PAGE_SHIFT;
	struct bsa_heap *heap = c->heap;
	size_t align = c->align;
	void *block;

	while (n--) {
		block = bsa_heap_alloc_pages_lowmem(heap, nr, align, BENCH_GFP);
		bsa_heap_free_pages(heap, block, nr);
	}
}

static noinline void heap_page_batches(const struct bench_case *c,
				       unsigned int n)
{
	unsigned long nr = c->size >> PAGE_SHIFT;
	unsigned int i;

	while (n--) {
		for (i = 0; i < c->nr; i++)
			c->objects[i] = bsa_heap_alloc_pages(c->heap, nr,
							     c->align,
							     BENCH_GFP);
		for (i = 0; i < c->nr; i++)
			bsa_heap_free_pages(c->heap,
					    c->objects[c->free_order[i]], nr);
	}
}

/*
 * Cases
 */

enum free_how {
	FREE_SAME,
	FREE_REVERSE,
	FREE_RANDOM,
};

static const char *const free_order_name[] = {
	[FREE_SAME] = "same",
	[FREE_REVERSE] = "reverse",
	[FREE_RANDOM] = "random",
};

static void set_free_order(enum free_how how, unsigned int nr)
{
	unsigned int i, j;

	for (i = 0; i < nr; i++)
		free_order[i] = how == FREE_REVERSE ? nr - 1 - i : i;
	if (how != FREE_RANDOM)
		return;
	for (i = nr - 1; i; i--) {
		j = prandom_u32_state(&rnd) % (i + 1);
		swap(free_order[i], free_order[j]);
	}
}

static struct bench_case one_object(size_t size)
{
	return (struct bench_case) {
		.size = size,
		.align = PAGE_SIZE,
		.nr = 1,
		.objects = objects,
		.free_order = free_order,
	};
}

/* An object of each size class. The peer that has a cache for each gets it. */
static void run_classes(const struct bench_row *row)
{
	unsigned int class;
	char what[32];

	for (class = 0; class < BSA_NR_CLASSES; class++) {
		struct bench_case c = one_object(class_size(class));

		c.peer = caches[class];
		snprintf(what, sizeof(what), "%zu bytes", c.size);
		compare(row, what, &c, &c);
	}
}

static void run_batches(const struct bench_row *row)
{
	enum free_how how;
	unsigned int class;
	char what[64];

	for (how = FREE_SAME; how <= FREE_RANDOM; how++) {
		set_free_order(how, row->nr);
		for (class = 0; class < BSA_NR_CLASSES; class++) {
			struct bench_case c = one_object(class_size(class));

			c.nr = row->nr;
			snprintf(what, sizeof(what), "%zu bytes, %s order",
				 c.size, free_order_name[how]);
			compare(row, what, &c, &c);
		}
	}
}

static void run_bulk(const struct bench_row *row)
{
	unsigned int class;
	char what[32];

	for (class = 0; class < BSA_NR_CLASSES; class++) {
		struct bench_case c = one_object(class_size(class));

		c.nr = 64;
		c.peer = caches[class];
		snprintf(what, sizeof(what), "64 x %zu bytes", c.size);
		compare(row, what, &c, &c);
	}
}

static void run_mempool(const struct bench_row *row)
{
	unsigned int class;
	char what[32];

	for (class = 0; class < BSA_NR_CLASSES; class++) {
		struct bench_case c = one_object(class_size(class));

		snprintf(what, sizeof(what), "%zu bytes", c.size);
		c.peer = mempool_create_kmalloc_pool(16, c.size);
		if (!c.peer) {
			report_missing(row, what, "no memory");
			continue;
		}
		compare(row, what, &c, &c);
		mempool_destroy(c.peer);
	}
}

/*
 * Pages of one order from a heap in which a single page is held, so that there
 * are free blocks of every order; then from an empty one, where an allocator
 * that keeps nothing at hand splits the largest block each time, and makes it
 * whole again.
 */
static void run_pages(const struct bench_row *row)
{
	struct bench_case c = one_object(row->size);
	char what[32];
	void *page;

	c.heap = bsa_heap_create("bench-pages", HEAP_SIZE, NUMA_NO_NODE);
	if (IS_ERR(c.heap)) {
		report_missing(row, "", "no memory");
		return;
	}
	page = bsa_heap_alloc_pages(c.heap, 1, PAGE_SIZE, GFP_KERNEL);
	snprintf(what, sizeof(what), "order %u", get_order(c.size));
	compare(row, what, &c, &c);
	bsa_heap_free_pages(c.heap, page, 1);

	snprintf(what, sizeof(what), "order %u, empty heap", get_order(c.size));
	compare(row, what, &c, &c);
	bsa_heap_destroy(c.heap);
}

/*
 * Private heaps
 */

/* A heap, the regions that we have given it, and how much of held[] is its. */
struct bench_heap {
	struct bsa_heap *heap;
	struct page *region[MAX_REGIONS];
	unsigned int nr_regions;
	unsigned int nr_held;
};

/* The range that makes a heap of 4 GiB. Taken once, as that takes long. */
static struct {
	unsigned long pfn;
	unsigned long nr_pages;
	u64 cycles;		/* what alloc_contig_range() has taken */
} big_range;

static const char no_big_range[] = "no range of 4 GiB is to be had";

static int create_heap(struct bench_heap *h, const char *name, size_t size)
{
	memset(h, 0, sizeof(*h));
	h->heap = bsa_heap_create(name, size, NUMA_NO_NODE);
	return PTR_ERR_OR_ZERO(h->heap);
}

/* Add a section of at most 4 MiB, which lies below 4 GiB or does not. */
static int add_section(struct bench_heap *h, bool low)
{
	gfp_t gfp = GFP_KERNEL | __GFP_NOWARN | (low ? __GFP_DMA32 : 0);
	struct page *page = alloc_pages(gfp, REGION_ORDER);
	int err;

	if (!page)
		return -ENOMEM;
	h->region[h->nr_regions++] = page;
	if (low != (page_to_phys(page) < SZ_4G))
		return -ENOMEM;
	err = bsa_heap_add_region(h->heap, page_address(page),
				  PAGE_SIZE << REGION_ORDER);
	return err;
}

static void free_held(struct bench_heap *h)
{
	while (h->nr_held)
		bsa_heap_free(h->heap, held[--h->nr_held]);
}

static void destroy_heap(struct bench_heap *h)
{
	free_held(h);
	if (bsa_heap_destroy(h->heap)) {
		pr_err("a heap is still in use, its memory is lost\n");
		return;
	}
	while (h->nr_regions)
		__free_pages(h->region[--h->nr_regions], REGION_ORDER);
}

/*
 * A size from 8 to 2048 bytes, distributed log-uniformly: as likely between 8
 * and 16 as between 1024 and 2048. Within an octave 2^x is a polygon with 16
 * sides.
 */
static size_t random_size(struct rnd_state *state)
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

/*
 * Allocate until no more than so many pages are free, or, if that is 0, until a
 * call fails. A size of 0 stands for random ones.
 */
static void fill_heap(struct bench_heap *h, size_t size, unsigned long leave)
{
	void *object;

	while (h->nr_held < MAX_HELD &&
	       (!leave || bsa_heap_nr_free_pages(h->heap) > leave)) {
		object = bsa_heap_alloc(h->heap, size ?: random_size(&rnd),
					GFP_KERNEL | __GFP_NOWARN);
		if (!object)
			return;
		held[h->nr_held++] = object;
		cond_resched();
	}
}

static void fill_percent(struct bench_heap *h, unsigned int percent)
{
	unsigned long nr = bsa_heap_nr_pages(h->heap);

	if (percent)
		fill_heap(h, 0, nr - nr * percent / 100);
}

/* The case of a row in a heap. */
static struct bench_case case_in(const struct bench_row *row,
				 const struct bench_heap *h)
{
	struct bench_case c = one_object(row->size);

	c.heap = h->heap;
	c.align = row->align ?: PAGE_SIZE;
	c.nr = row->nr ?: 1;
	set_free_order(FREE_RANDOM, c.nr);
	return c;
}

/* A heap that is fuller and fuller against an empty one. */
static void run_levels(const struct bench_row *row)
{
	static const unsigned int percent[] = { 50, 92, 99 };
	struct bench_case ours, peer;
	struct bench_heap full, empty;
	unsigned int i;
	char what[32];

	if (create_heap(&empty, "bench-empty", HEAP_SIZE)) {
		report_missing(row, "", "no memory");
		return;
	}
	peer = case_in(row, &empty);
	for (i = 0; i < ARRAY_SIZE(percent); i++) {
		snprintf(what, sizeof(what), "%u %% full", percent[i]);
		if (create_heap(&full, "bench-full", HEAP_SIZE)) {
			report_missing(row, what, "no memory");
			continue;
		}
		fill_percent(&full, percent[i]);
		ours = case_in(row, &full);
		compare(row, what, &ours, &peer);
		destroy_heap(&full);
	}
	destroy_heap(&empty);
}

/* The same when what is free lies scattered, as it does after some time. */
static void run_holes(const struct bench_row *row)
{
	struct bench_case ours, peer;
	struct bench_heap full, empty;
	unsigned int i, kept = 0;
	char what[32];

	if (create_heap(&empty, "bench-empty", HEAP_SIZE)) {
		report_missing(row, "", "no memory");
		return;
	}
	if (create_heap(&full, "bench-full", HEAP_SIZE)) {
		report_missing(row, "", "no memory");
		goto destroy;
	}
	fill_percent(&full, 100);
	for (i = 0; i < full.nr_held; i++) {
		if (prandom_u32_state(&rnd) % 100 < row->percent)
			held[kept++] = held[i];
		else
			bsa_heap_free(full.heap, held[i]);
	}
	full.nr_held = kept;
	ours = case_in(row, &full);
	peer = case_in(row, &empty);
	snprintf(what, sizeof(what), "%u %% full, with holes", row->percent);
	compare(row, what, &ours, &peer);
	destroy_heap(&full);
destroy:
	destroy_heap(&empty);
}

/* @nr sections of which the last one is low, or none; all but it are full. */
static int create_sections(struct bench_heap *h, const char *name,
			   unsigned int nr, bool last_is_low, bool full)
{
	struct bsa_section_info info;
	int err;

	err = create_heap(h, name, 0);
	if (err)
		return err;
	while (!err && h->nr_regions < nr)
		err = add_section(h, last_is_low && h->nr_regions == nr - 1);
	if (err) {
		destroy_heap(h);
		return err;
	}
	bsa_heap_section(h->heap, nr - 1, &info);
	if (full)
		fill_heap(h, PAGE_SIZE, info.total_pages);
	return 0;
}

/* Many sections, of which only the last has room, against a single one. */
static void run_sections(const struct bench_row *row)
{
	struct bench_heap one, many;
	struct bench_case ours, peer;
	unsigned int nr;
	char what[32];

	if (create_sections(&one, "bench-one", 1, false, false)) {
		report_missing(row, "", "no memory above 4 GiB");
		return;
	}
	peer = case_in(row, &one);
	for (nr = 8; nr <= MAX_REGIONS; nr *= 8) {
		snprintf(what, sizeof(what), "%u sections", nr);
		if (create_sections(&many, "bench-many", nr, false, true)) {
			report_missing(row, what, "no memory above 4 GiB");
			continue;
		}
		ours = case_in(row, &many);
		compare(row, what, &ours, &peer);
		destroy_heap(&many);
	}
	destroy_heap(&one);
}

/* Low pages against ordinary ones, where only the last section is low. */
static void run_lowmem(const struct bench_row *row)
{
	struct bench_heap heap;
	struct bench_case c;
	unsigned int nr;
	char what[32];

	for (nr = 2; nr <= MAX_REGIONS; nr = nr == 2 ? 8 : nr * 8) {
		snprintf(what, sizeof(what), "%u sections", nr);
		if (create_sections(&heap, "bench-low", nr, true, false)) {
			report_missing(row, what, "no memory on both sides of 4 GiB");
			continue;
		}
		c = case_in(row, &heap);
		compare(row, what, &c, &c);
		destroy_heap(&heap);
	}
}

static void run_gen_pool(const struct bench_row *row)
{
	struct gen_pool *pool = gen_pool_create(ilog2(row->size), NUMA_NO_NODE);
	size_t used = SZ_2M / 100 * row->percent;
	struct bench_case c;
	struct bench_heap heap;
	unsigned long start = 0;
	char what[32];

	snprintf(what, sizeof(what), "%u %% full", row->percent);
	/* A gen_pool never touches what it manages: any address will do. */
	if (!pool || gen_pool_add(pool, SZ_2M, SZ_2M, NUMA_NO_NODE) ||
	    create_heap(&heap, "bench-full", SZ_2M)) {
		report_missing(row, what, "no memory");
		goto destroy;
	}
	fill_percent(&heap, row->percent);
	if (used)
		start = gen_pool_alloc(pool, used);
	c = case_in(row, &heap);
	c.peer = pool;
	compare(row, what, &c, &c);
	if (start)
		gen_pool_free(pool, start, used);
	destroy_heap(&heap);
destroy:
	if (pool)
		gen_pool_destroy(pool);
}

#ifdef CONFIG_CONTIG_ALLOC
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

/* Take 4 GiB and the metadata for them above 4 GiB, the 4 GiB aligned to one. */
static int take_big_range(void)
{
	unsigned long prefix = PFN_UP(bsa_region_meta_size(SZ_4G));
	unsigned long nr_pages = PHYS_PFN(SZ_4G) + prefix;
	unsigned long end = PHYS_PFN(virt_to_phys(high_memory - 1)) + 1;
	unsigned long step = PHYS_PFN(SZ_1G), pfn;
	u64 start;

	if (big_range.nr_pages)
		return 0;
	if (nr_pages > si_mem_available())
		return -ENOMEM;
	for (pfn = ALIGN_DOWN(end, step) - PHYS_PFN(SZ_4G) - prefix;
	     pfn < end && pfn >= PHYS_PFN(SZ_4G); pfn -= step) {
		if (!range_is_usable(pfn, nr_pages))
			continue;
		start = get_cycles();
		if (alloc_contig_range(pfn, pfn + nr_pages, MIGRATE_MOVABLE,
				       GFP_KERNEL | __GFP_NOWARN))
			continue;
		big_range.cycles = get_cycles() - start;
		big_range.pfn = pfn;
		big_range.nr_pages = nr_pages;
		return 0;
	}
	return -ENOMEM;
}

static void free_big_range(void)
{
	if (big_range.nr_pages)
		free_contig_range(big_range.pfn, big_range.nr_pages);
}
#else
static int take_big_range(void)
{
	return -EOPNOTSUPP;
}

static void free_big_range(void)
{
}
#endif

/* A heap of 4 GiB; big_range goes on being ours when it is destroyed. */
static int create_big_heap(struct bench_heap *h, const char *name)
{
	int err = take_big_range();

	if (err)
		return err;
	err = create_heap(h, name, 0);
	if (err)
		return err;
	err = bsa_heap_add_region(h->heap, pfn_to_kaddr(big_range.pfn),
				  PFN_PHYS(big_range.nr_pages));
	if (err)
		destroy_heap(h);
	return err;
}

static void run_heap_sizes(const struct bench_row *row)
{
	struct bench_heap big, small;
	struct bench_case ours, peer;

	if (create_heap(&small, "bench-small", SZ_4M)) {
		report_missing(row, "4 GiB", "no memory");
		return;
	}
	if (create_big_heap(&big, "bench-big")) {
		report_missing(row, "4 GiB", no_big_range);
		goto destroy;
	}
	ours = case_in(row, &big);
	peer = case_in(row, &small);
	compare(row, "4 GiB", &ours, &peer);
	destroy_heap(&big);
destroy:
	destroy_heap(&small);
}

/* What a load does of its own: making a heap of a range that is taken. */
static void run_load(const struct bench_row *row)
{
	u64 start, cycles;
	struct bench_heap heap;
	int err;

	if (take_big_range()) {
		report_missing(row, "4 GiB", no_big_range);
		return;
	}
	start = get_cycles();
	err = create_big_heap(&heap, "bench-big");
	cycles = get_cycles() - start;
	if (err) {
		report_missing(row, "4 GiB", "no memory");
		return;
	}
	report(row, "4 GiB", cycles * 100, big_range.cycles * 100,
	       ratio_of(cycles, big_range.cycles), "cycles", row->goal);
	destroy_heap(&heap);
}

/* What part of a heap its metadata are, in per cent. */
static void run_metadata(const struct bench_row *row)
{
	static const size_t size[] = { SZ_64M, SZ_4G };
	static const char *const what[] = { "64 MiB", "4 GiB" };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(size); i++)
		report(row, what[i],
		       div64_u64((u64)bsa_region_meta_size(size[i]) * 10000,
				 size[i]), 0, 0, "%", row->goal);
}

/*
 * The GPU buddy. It manages numbers, not memory, and leaves locking to its
 * users; here nobody locks. A block of less than its alignment is cut from a
 * larger one, which the newer one does by itself.
 */
#if IS_REACHABLE(CONFIG_GPU_BUDDY)
static bool have_gpu_buddy(void)
{
	return true;
}

static struct gpu_buddy_block *gpu_alloc(struct gpu_buddy *mm, u64 size,
					 u64 align)
{
	LIST_HEAD(blocks);

	if (gpu_buddy_alloc_blocks(mm, 0, mm->size, size, align, &blocks, 0))
		return NULL;
	return list_first_entry(&blocks, struct gpu_buddy_block, link);
}
#elif IS_REACHABLE(CONFIG_DRM_BUDDY) && !defined(DRM_BUDDY_CLEARED)
#define gpu_buddy		drm_buddy
#define gpu_buddy_block		drm_buddy_block
#define gpu_buddy_block_offset	drm_buddy_block_offset
#define gpu_buddy_free_block	drm_buddy_free_block
#define gpu_buddy_init		drm_buddy_init
#define gpu_buddy_fini		drm_buddy_fini

/* Weak: its module need not be there. */
#pragma weak drm_buddy_init
#pragma weak drm_buddy_fini
#pragma weak drm_buddy_alloc_blocks
#pragma weak drm_buddy_block_trim
#pragma weak drm_buddy_free_block

static bool have_gpu_buddy(void)
{
	return drm_buddy_init;
}

static struct gpu_buddy_block *gpu_alloc(struct gpu_buddy *mm, u64 size,
					 u64 align)
{
	LIST_HEAD(blocks);

	if (drm_buddy_alloc_blocks(mm, 0, mm->size, max(size, align), align,
				   &blocks, 0))
		return NULL;
	if (size < align)
		drm_buddy_block_trim(mm, size, &blocks);
	return list_first_entry(&blocks, struct gpu_buddy_block, link);
}
#else
struct gpu_buddy_block;

struct gpu_buddy {
	u64 avail;
};

static bool have_gpu_buddy(void)
{
	return false;
}

static int gpu_buddy_init(struct gpu_buddy *mm, u64 size, u64 chunk_size)
{
	return -EOPNOTSUPP;
}

static void gpu_buddy_fini(struct gpu_buddy *mm)
{
}

static u64 gpu_buddy_block_offset(struct gpu_buddy_block *block)
{
	return 0;
}

static struct gpu_buddy_block *gpu_alloc(struct gpu_buddy *mm, u64 size,
					 u64 align)
{
	return NULL;
}

static void gpu_buddy_free_block(struct gpu_buddy *mm,
				 struct gpu_buddy_block *block)
{
}
#endif

static noinline void gpu_batches(const struct bench_case *c, unsigned int n)
{
	unsigned int i;

	while (n--) {
		for (i = 0; i < c->nr; i++)
			c->objects[i] = gpu_alloc(c->peer, c->size, c->align);
		for (i = 0; i < c->nr; i++)
			gpu_buddy_free_block(c->peer,
					     c->objects[c->free_order[i]]);
	}
}

/*
 * Fragmented pages. The same picture is made in a heap of ours, where held[]
 * has the addresses, and in a GPU buddy of the same size.
 */
enum picture {
	EVERY_SECOND,		/* 8 KiB blocks everywhere, every second one free */
	ALIGNED_64K,		/* 4,096 blocks of 8 KiB, 64 KiB apart */
	ALIGNED_256K,		/* the same, 256 KiB apart */
};

static const struct {
	const char *name;
	size_t heap_size;
	size_t align;
	unsigned int nr;
} pictures[] = {
	[EVERY_SECOND] = { "every second block free", HEAP_SIZE, PAGE_SIZE, MAX_HELD },
	[ALIGNED_64K] = { "4,096 blocks 64 KiB apart", SZ_4G, SZ_64K, 4096 },
	[ALIGNED_256K] = { "4,096 blocks 256 KiB apart", SZ_4G, SZ_256K, 4096 },
};

struct gpu_heap {
	struct gpu_buddy mm;
	struct gpu_buddy_block **held;
	unsigned int nr_held;
};

static int compare_addresses(const void *a, const void *b)
{
	return compare_u64(a, b);
}

static int compare_gpu_blocks(const void *a, const void *b)
{
	u64 x = gpu_buddy_block_offset(*(struct gpu_buddy_block **)a);
	u64 y = gpu_buddy_block_offset(*(struct gpu_buddy_block **)b);

	return compare_u64(&x, &y);
}

static int draw_picture(struct bench_heap *h, enum picture which)
{
	unsigned int i, kept = 0;
	void *block;
	int err;

	if (pictures[which].heap_size == SZ_4G)
		err = create_big_heap(h, "bench-fragments");
	else
		err = create_heap(h, "bench-fragments", HEAP_SIZE);
	if (err)
		return err;
	while (h->nr_held < pictures[which].nr) {
		block = bsa_heap_alloc_pages(h->heap, SZ_8K / PAGE_SIZE,
					     pictures[which].align,
					     GFP_KERNEL | __GFP_NOWARN);
		if (!block)
			break;
		held[h->nr_held++] = block;
	}
	if (which != EVERY_SECOND)
		return 0;
	sort(held, h->nr_held, sizeof(*held), compare_addresses, NULL);
	for (i = 0; i < h->nr_held; i++) {
		if (i % 2)
			held[kept++] = held[i];
		else
			bsa_heap_free_pages(h->heap, held[i], SZ_8K / PAGE_SIZE);
	}
	h->nr_held = kept;
	return 0;
}

static void gpu_free_heap(struct gpu_heap *g)
{
	while (g->nr_held)
		gpu_buddy_free_block(&g->mm, g->held[--g->nr_held]);
	gpu_buddy_fini(&g->mm);
	kvfree(g->held);
}

static int gpu_draw_picture(struct gpu_heap *g, enum picture which)
{
	struct gpu_buddy_block *block;
	unsigned int i, kept = 0;
	int err;

	if (!have_gpu_buddy())
		return -EOPNOTSUPP;
	g->nr_held = 0;
	g->held = kvmalloc_array(HEAP_SIZE / SZ_8K, sizeof(*g->held), GFP_KERNEL);
	if (!g->held)
		return -ENOMEM;
	err = gpu_buddy_init(&g->mm, pictures[which].heap_size, PAGE_SIZE);
	if (err) {
		kvfree(g->held);
		return err;
	}
	while (g->nr_held < min_t(size_t, pictures[which].nr, HEAP_SIZE / SZ_8K)) {
		block = gpu_alloc(&g->mm, SZ_8K, pictures[which].align);
		if (!block)
			break;
		g->held[g->nr_held++] = block;
	}
	if (which != EVERY_SECOND)
		return 0;
	sort(g->held, g->nr_held, sizeof(*g->held), compare_gpu_blocks, NULL);
	for (i = 0; i < g->nr_held; i++) {
		if (i % 2)
			g->held[kept++] = g->held[i];
		else
			gpu_buddy_free_block(&g->mm, g->held[i]);
	}
	g->nr_held = kept;
	return 0;
}

static void destroy_fragments(struct bench_heap *h)
{
	while (h->nr_held)
		bsa_heap_free_pages(h->heap, held[--h->nr_held],
				    SZ_8K / PAGE_SIZE);
	destroy_heap(h);
}

/* Pages from a heap in pieces against pages from one of the same size in one. */
static void run_fragmented(const struct bench_row *row)
{
	struct bench_heap fragments, whole;
	struct bench_case ours, peer;
	enum picture which;

	if (create_heap(&whole, "bench-whole", HEAP_SIZE)) {
		report_missing(row, "", "no memory");
		return;
	}
	peer = case_in(row, &whole);
	for (which = EVERY_SECOND; which <= ALIGNED_256K; which++) {
		if (draw_picture(&fragments, which)) {
			report_missing(row, pictures[which].name, no_big_range);
			continue;
		}
		ours = case_in(row, &fragments);
		compare(row, pictures[which].name, &ours, &peer);
		destroy_fragments(&fragments);
	}
	destroy_heap(&whole);
}

/* The same against the GPU buddy, which is in the same pieces. */
static void run_fragmented_gpu(const struct bench_row *row)
{
	struct bench_heap fragments;
	enum picture which;
	struct gpu_heap gpu;
	struct bench_case c;

	for (which = EVERY_SECOND; which <= ALIGNED_256K; which++) {
		if (gpu_draw_picture(&gpu, which)) {
			report_missing(row, pictures[which].name, "no GPU buddy");
			continue;
		}
		if (draw_picture(&fragments, which)) {
			report_missing(row, pictures[which].name, no_big_range);
		} else {
			c = case_in(row, &fragments);
			c.peer = &gpu.mm;
			compare(row, pictures[which].name, &c, &c);
			destroy_fragments(&fragments);
		}
		gpu_free_heap(&gpu);
	}
}

/* Thousands of small blocks with a large alignment: making and undoing them. */
static void run_aligned(const struct bench_row *row)
{
	struct bench_heap heap;
	struct gpu_buddy mm;
	struct bench_case c;
	char what[64];

	snprintf(what, sizeof(what), "4,096 x 8 KiB at %zu KiB",
		 row->align / SZ_1K);
	if (!have_gpu_buddy() || gpu_buddy_init(&mm, SZ_4G, PAGE_SIZE)) {
		report_missing(row, what, "no GPU buddy");
		return;
	}
	if (create_big_heap(&heap, "bench-aligned")) {
		report_missing(row, what, no_big_range);
		goto fini;
	}
	c = case_in(row, &heap);
	c.peer = &mm;
	compare(row, what, &c, &c);
	destroy_heap(&heap);
fini:
	gpu_buddy_fini(&mm);
}

/* Does an alignment cost memory? */
static void run_alignment_loss(const struct bench_row *row)
{
	struct bench_heap heap;
	enum picture which;
	long lost;

	for (which = ALIGNED_64K; which <= ALIGNED_256K; which++) {
		if (draw_picture(&heap, which)) {
			report_missing(row, pictures[which].name,
				       no_big_range);
			continue;
		}
		lost = bsa_heap_allocated_bytes(heap.heap) -
		       (long)heap.nr_held * SZ_8K;
		report(row, pictures[which].name, lost * 100, 0, 0, "bytes",
		       row->goal);
		destroy_fragments(&heap);
	}
}

/*
 * The worst call
 */

/* Either side, where calls of all kinds are mixed. */
struct bench_allocator {
	void *(*alloc)(size_t size);
	void (*free)(const void *object);
	void *(*get_pages)(unsigned int order);
	void (*put_pages)(void *block, unsigned int order);
};

static noinline void *our_alloc(size_t size)
{
	return bsa_alloc(size, BENCH_GFP);
}

static noinline void *our_alloc_pages(unsigned int order)
{
	return bsa_alloc_pages(1UL << order, PAGE_SIZE, BENCH_GFP);
}

static noinline void our_free_pages(void *block, unsigned int order)
{
	bsa_free_pages(block, 1UL << order);
}

static const struct bench_allocator our_calls = {
	.alloc = our_alloc,
	.free = bsa_free,
	.get_pages = our_alloc_pages,
	.put_pages = our_free_pages,
};

static noinline void *kernel_alloc(size_t size)
{
	return kmalloc(size, BENCH_GFP);
}

static noinline void *kernel_alloc_pages(unsigned int order)
{
	return (void *)__get_free_pages(BENCH_GFP, order);
}

static noinline void kernel_free_pages(void *block, unsigned int order)
{
	free_pages((unsigned long)block, order);
}

static const struct bench_allocator kernel_calls = {
	.alloc = kernel_alloc,
	.free = kfree,
	.get_pages = kernel_alloc_pages,
	.put_pages = kernel_free_pages,
};

/* What timing a call takes is what it takes to time these. */
static noinline void *no_alloc(size_t size)
{
	return ZERO_SIZE_PTR;
}

static noinline void no_free(const void *object)
{
	barrier();
}

static noinline void *no_alloc_pages(unsigned int order)
{
	return ZERO_SIZE_PTR;
}

static noinline void no_free_pages(void *block, unsigned int order)
{
	barrier();
}

static const struct bench_allocator no_calls = {
	.alloc = no_alloc,
	.free = no_free,
	.get_pages = no_alloc_pages,
	.put_pages = no_free_pages,
};

enum call_kind {
	CALL_SMALL,		/* up to SMALL_OBJECT bytes */
	CALL_OBJECT,		/* more, up to 2048 bytes */
	CALL_PAGES,		/* 1 to 16 pages */
	NR_CALL_KINDS,
};

#define NR_SLOTS	4096
#define MAX_CYCLES	65536	/* longer calls are counted as that long */
#define MAX_ORDER_CALLED 4
#define NR_CALLS_AT_ONCE 1024	/* with interrupts off */

/* A random walk of allocations and frees, and how long each call has taken. */
struct bench_walk {
	const struct bench_allocator *allocator;
	struct rnd_state rnd;
	u64 overhead;
	u64 failed;
	u64 worst[NR_CALL_KINDS];
	u32 taken[NR_CALL_KINDS][MAX_CYCLES];
	struct {
		void *block;
		u16 size;
		u8 kind;
		u8 order;
	} slot[NR_SLOTS];
};

static void record(struct bench_walk *w, enum call_kind kind, u64 cycles)
{
	cycles -= min(cycles, w->overhead);
	w->worst[kind] = max(w->worst[kind], cycles);
	w->taken[kind][min_t(u64, cycles, MAX_CYCLES - 1)]++;
}

static u64 timed_alloc(struct bench_walk *w, unsigned int i)
{
	const struct bench_allocator *a = w->allocator;
	u64 start, end;

	if (w->slot[i].kind == CALL_PAGES) {
		start = get_cycles();
		w->slot[i].block = a->get_pages(w->slot[i].order);
		end = get_cycles();
	} else {
		start = get_cycles();
		w->slot[i].block = a->alloc(w->slot[i].size);
		end = get_cycles();
	}
	return end - start;
}

static u64 timed_free(struct bench_walk *w, unsigned int i)
{
	const struct bench_allocator *a = w->allocator;
	u64 start, end;

	if (w->slot[i].kind == CALL_PAGES) {
		start = get_cycles();
		a->put_pages(w->slot[i].block, w->slot[i].order);
		end = get_cycles();
	} else {
		start = get_cycles();
		a->free(w->slot[i].block);
		end = get_cycles();
	}
	w->slot[i].block = NULL;
	return end - start;
}

/* One call: a free of what is in a random slot, or an allocation for it. */
static void walk_one_step(struct bench_walk *w)
{
	u32 r = prandom_u32_state(&w->rnd);
	unsigned int i = r % NR_SLOTS;
	u64 cycles;

	if (w->slot[i].block) {
		cycles = timed_free(w, i);
	} else {
		w->slot[i].order = (r >> 12) % (MAX_ORDER_CALLED + 1);
		w->slot[i].size = random_size(&w->rnd);
		/* One in eight is about pages. */
		if (r >> 29 == 0)
			w->slot[i].kind = CALL_PAGES;
		else if (w->slot[i].size <= SMALL_OBJECT)
			w->slot[i].kind = CALL_SMALL;
		else
			w->slot[i].kind = CALL_OBJECT;
		cycles = timed_alloc(w, i);
		if (!w->slot[i].block)
			w->failed++;
	}
	record(w, w->slot[i].kind, cycles);
}

static void walk(struct bench_walk *w, unsigned int nr)
{
	unsigned long flags;

	local_irq_save(flags);
	while (nr--)
		walk_one_step(w);
	local_irq_restore(flags);
	cond_resched();
}

static struct bench_walk *start_walk(const struct bench_allocator *a,
				     u64 overhead)
{
	struct bench_walk *w = vzalloc(sizeof(*w));

	if (!w)
		return NULL;
	w->allocator = a;
	w->overhead = overhead;
	prandom_seed_state(&w->rnd, 1);
	return w;
}

static void end_walk(struct bench_walk *w)
{
	unsigned int i;

	for (i = 0; i < NR_SLOTS; i++)
		if (w->slot[i].block)
			timed_free(w, i);
	vfree(w);
}

/* The time that so many of 10,000 calls do not exceed, of the first kinds. */
static u64 percentile(const struct bench_walk *w, enum call_kind first,
		      enum call_kind last, unsigned int of_10000)
{
	u64 total = 0, sum = 0;
	enum call_kind kind;
	unsigned int i;

	for (kind = first; kind <= last; kind++)
		for (i = 0; i < MAX_CYCLES; i++)
			total += w->taken[kind][i];
	for (i = 0; i < MAX_CYCLES - 1; i++) {
		for (kind = first; kind <= last; kind++)
			sum += w->taken[kind][i];
		if (sum * 10000 >= total * of_10000)
			break;
	}
	return i;
}

static void report_walk(const struct bench_row *row, const char *kinds,
			enum call_kind first, enum call_kind last,
			const struct bench_walk *us, const struct bench_walk *them,
			const char *p9999_goal, const char *worst_goal)
{
	static const struct {
		const char *name;
		unsigned int of_10000;
	} points[] = { { "p50", 5000 }, { "p99", 9900 }, { "p99.99", 9999 } };
	u64 our_worst = 0, their_worst = 0;
	enum call_kind kind;
	unsigned int i;
	char what[64];

	for (i = 0; i < ARRAY_SIZE(points); i++) {
		u64 x = percentile(us, first, last, points[i].of_10000);
		u64 y = percentile(them, first, last, points[i].of_10000);

		snprintf(what, sizeof(what), "%s, %s", kinds, points[i].name);
		report(row, what, x * 100, y * 100, ratio_of(x, y), "cycles",
		       points[i].of_10000 == 9999 ? p9999_goal : "");
	}
	for (kind = first; kind <= last; kind++) {
		our_worst = max(our_worst, us->worst[kind]);
		their_worst = max(their_worst, them->worst[kind]);
	}
	snprintf(what, sizeof(what), "%s, worst", kinds);
	report(row, what, our_worst * 100, their_worst * 100,
	       ratio_of(our_worst, their_worst), "cycles", worst_goal);
}

static void run_walk(const struct bench_row *row)
{
	struct bench_walk *none, *us, *them;
	u64 overhead = 0;
	unsigned int i;

	none = start_walk(&no_calls, 0);
	if (none) {
		walk(none, NR_CALLS_AT_ONCE);
		overhead = percentile(none, CALL_SMALL, CALL_PAGES, 5000);
		vfree(none);
	}
	us = start_walk(&our_calls, overhead);
	them = start_walk(&kernel_calls, overhead);
	if (!none || !us || !them) {
		report_missing(row, "", "no memory");
		goto free;
	}
	for (i = 0; i < calls; i += NR_CALLS_AT_ONCE) {
		walk(us, NR_CALLS_AT_ONCE);
		walk(them, NR_CALLS_AT_ONCE);
	}
	if (us->failed)
		report_missing(row, "", "calls have failed");
	report_walk(row, "up to 256 bytes", CALL_SMALL, CALL_SMALL, us, them,
		    "ours<=168", "");
	report_walk(row, "up to 2048 bytes", CALL_SMALL, CALL_OBJECT, us, them,
		    "", "ours<=1000");
	report_walk(row, "1 to 16 pages", CALL_PAGES, CALL_PAGES, us, them,
		    "", "ours<=1500");
free:
	if (us)
		end_walk(us);
	if (them)
		end_walk(them);
}

/*
 * Memory held against memory asked for
 */

/* The slabs that objects lie in, each counted once. */
static u64 slab_bytes(void **object, unsigned int nr)
{
	unsigned long max = PHYS_PFN(virt_to_phys(high_memory - 1)) + 1;
	unsigned long *seen = vzalloc(BITS_TO_LONGS(max) * sizeof(long));
	u64 bytes = 0;
	unsigned int i;

	if (!seen)
		return 0;
	for (i = 0; i < nr; i++) {
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
static void run_held(const struct bench_row *row)
{
	struct rnd_state sizes, seed = rnd;
	u64 asked = 0, ours, peer, meta;
	struct bench_heap heap;
	unsigned int nr, i;

	if (create_heap(&heap, "bench-full", HEAP_SIZE)) {
		report_missing(row, "", "no memory");
		return;
	}
	fill_heap(&heap, 0, 0);
	nr = heap.nr_held;
	ours = bsa_heap_managed_bytes(heap.heap);
	meta = bsa_region_meta_size(ours);
	destroy_heap(&heap);

	sizes = seed;
	for (i = 0; i < nr; i++) {
		size_t size = random_size(&sizes);

		asked += size;
		held[i] = kmalloc(size, GFP_KERNEL);
		if (!held[i])
			break;
	}
	if (i < nr) {
		report_missing(row, "", "no memory for kmalloc");
	} else {
		peer = slab_bytes(held, nr);
		ours = div64_u64(ours * 10000, asked);
		meta = div64_u64(meta * 10000, asked);
		peer = div64_u64(peer * 10000, asked);
		report(row, "8 to 2048 bytes", ours, peer, ratio_of(ours, peer),
		       "%", row->goal);
		report(row, "8 to 2048 bytes, with metadata", ours + meta, peer,
		       ratio_of(ours + meta, peer), "%", "");
	}
	while (i)
		kfree(held[--i]);
}

/*
 * Several CPUs
 */

/* Something for a CPU to do, and how long it has taken. */
struct bench_job {
	struct work_struct work;
	void (*step)(const struct bench_case *c);
	const struct bench_case *c;
	u64 cycles;
};

static void do_job(struct work_struct *work)
{
	struct bench_job *job = container_of(work, struct bench_job, work);
	unsigned long flags;
	u64 start;

	local_irq_save(flags);
	start = get_cycles();
	job->step(job->c);
	job->cycles = get_cycles() - start;
	local_irq_restore(flags);
}

static u64 time_on(unsigned int cpu, void (*step)(const struct bench_case *c),
		   const struct bench_case *c)
{
	struct bench_job job = { .step = step, .c = c };

	INIT_WORK_ONSTACK(&job.work, do_job);
	schedule_work_on(cpu, &job.work);
	flush_work(&job.work);
	destroy_work_on_stack(&job.work);
	return job.cycles;
}

static unsigned int first_cpu(void)
{
	return cpumask_first(cpu_online_mask);
}

static unsigned int second_cpu(void)
{
	return cpumask_next(first_cpu(), cpu_online_mask);
}

/* Hundredths of a cycle for each object of a batch. */
struct remote_time {
	u64 free;		/* freeing on the second CPU */
	u64 both;		/* and allocating again on the first, the owner */
};

static struct remote_time
time_remote(void (*alloc_all)(const struct bench_case *c),
	    void (*free_all)(const struct bench_case *c),
	    const struct bench_case *c)
{
	struct remote_time t;

	time_on(first_cpu(), alloc_all, c);
	t.free = time_on(second_cpu(), free_all, c) * 100 / c->nr;
	t.both = t.free + time_on(first_cpu(), alloc_all, c) * 100 / c->nr;
	time_on(first_cpu(), free_all, c);
	return t;
}

static void run_remote(const struct bench_row *row)
{
	u64 ours[2][MAX_ROUNDS], peer[2][MAX_ROUNDS], ratio[2][MAX_ROUNDS];
	static const char *const what[] = {
		"the free", "with the owner's next allocation",
	};
	unsigned int i, part, class;
	char text[64];

	for (class = 1; class < BSA_NR_CLASSES; class += 3) {
		struct bench_case c = one_object(class_size(class));

		c.nr = NR_BATCH;
		set_free_order(FREE_SAME, c.nr);
		time_remote(bsa_alloc_all, bsa_free_all, &c);
		time_remote(kmalloc_alloc_all, kmalloc_free_all, &c);
		for (i = 0; i < rounds; i++) {
			struct remote_time t = time_remote(bsa_alloc_all,
							   bsa_free_all, &c);
			struct remote_time u = time_remote(kmalloc_alloc_all,
							   kmalloc_free_all, &c);

			ours[0][i] = t.free;
			ours[1][i] = t.both;
			peer[0][i] = u.free;
			peer[1][i] = u.both;
			ratio[0][i] = ratio_of(t.free, u.free);
			ratio[1][i] = ratio_of(t.both, u.both);
		}
		for (part = 0; part < 2; part++) {
			snprintf(text, sizeof(text), "%zu bytes, %s", c.size,
				 what[part]);
			report(row, text, median(ours[part], rounds),
			       median(peer[part], rounds),
			       median(ratio[part], rounds), "cycles", row->goal);
		}
	}
}

/*
 * A producer allocates, a consumer on another CPU frees, and a ring with one
 * writer at each end lies between them.
 */
#define RING_SIZE	16384
#define RING_OBJECT	64

struct bench_ring {
	struct work_struct producer;
	struct work_struct consumer;
	u64 cycles;		/* how long the consumer is to work */
	u64 moved;		/* objects that it has got */
	bool stop ____cacheline_aligned_in_smp;
	unsigned int head ____cacheline_aligned_in_smp;	/* the producer's */
	unsigned int tail ____cacheline_aligned_in_smp;	/* the consumer's */
	void *slot[RING_SIZE] ____cacheline_aligned_in_smp;
};

/* Either side looks at the other's index only when the last look is used up. */
static __always_inline void produce(struct bench_ring *r,
				    void *(*alloc)(size_t size))
{
	unsigned int head = r->head, tail = r->tail;
	void *object;

	while (!READ_ONCE(r->stop)) {
		if (head - tail == RING_SIZE) {
			cpu_relax();
			/* Pairs with the release in consume(). */
			tail = smp_load_acquire(&r->tail);
			continue;
		}
		object = alloc(RING_OBJECT);
		if (!object)
			continue;
		r->slot[head++ % RING_SIZE] = object;
		/* The slot is written. Pairs with the acquire in consume(). */
		smp_store_release(&r->head, head);
	}
}

static __always_inline void consume(struct bench_ring *r,
				    void (*free)(const void *object))
{
	unsigned int head = r->head, tail = r->tail, looks = 0;
	u64 start = get_cycles(), moved = 0;

	while (++looks % 64 || get_cycles() - start < r->cycles) {
		if (head == tail) {
			cpu_relax();
			/* Pairs with the release in produce(). */
			head = smp_load_acquire(&r->head);
			continue;
		}
		free(r->slot[tail++ % RING_SIZE]);
		moved++;
		/* The slot is read. Pairs with the acquire in produce(). */
		smp_store_release(&r->tail, tail);
	}
	r->moved = moved;
	WRITE_ONCE(r->stop, true);
}

static void bsa_produce(struct work_struct *work)
{
	produce(container_of(work, struct bench_ring, producer), our_alloc);
}

static void bsa_consume(struct work_struct *work)
{
	consume(container_of(work, struct bench_ring, consumer), bsa_free);
}

static void kmalloc_produce(struct work_struct *work)
{
	produce(container_of(work, struct bench_ring, producer), kernel_alloc);
}

static void kmalloc_consume(struct work_struct *work)
{
	consume(container_of(work, struct bench_ring, consumer), kfree);
}

static void bare_produce(struct work_struct *work)
{
	produce(container_of(work, struct bench_ring, producer), no_alloc);
}

static void bare_consume(struct work_struct *work)
{
	consume(container_of(work, struct bench_ring, consumer), no_free);
}

/* Hundredths of a cycle for each object. */
static u64 time_ring(struct bench_ring *r, work_func_t producer,
		     work_func_t consumer, void (*free)(const void *object))
{
	memset(r, 0, sizeof(*r));
	r->cycles = div64_u64(cycles_per_ms * ring_ms, rounds);
	INIT_WORK(&r->producer, producer);
	INIT_WORK(&r->consumer, consumer);
	schedule_work_on(first_cpu(), &r->producer);
	schedule_work_on(second_cpu(), &r->consumer);
	flush_work(&r->consumer);
	flush_work(&r->producer);
	while (r->tail != r->head)
		free(r->slot[r->tail++ % RING_SIZE]);
	return r->moved ? div64_u64(r->cycles * 100, r->moved) : U64_MAX;
}

static void compare_rings(const struct bench_row *row, work_func_t producer,
			  work_func_t consumer, void (*free)(const void *object))
{
	u64 ours[MAX_ROUNDS], peer[MAX_ROUNDS], ratio[MAX_ROUNDS];
	struct bench_ring *r = kvmalloc(sizeof(*r), GFP_KERNEL);
	unsigned int i;

	if (!r) {
		report_missing(row, "", "no memory");
		return;
	}
	for (i = 0; i < rounds; i++) {
		ours[i] = time_ring(r, bsa_produce, bsa_consume, bsa_free);
		peer[i] = time_ring(r, producer, consumer, free);
		ratio[i] = ratio_of(ours[i], peer[i]);
	}
	report(row, "64 bytes, for each object", median(ours, rounds),
	       median(peer, rounds), median(ratio, rounds), "cycles", row->goal);
	kvfree(r);
}

static void run_ring(const struct bench_row *row)
{
	compare_rings(row, kmalloc_produce, kmalloc_consume, kfree);
}

static void run_bare_ring(const struct bench_row *row)
{
	compare_rings(row, bare_produce, bare_consume, no_free);
}

/*
 * CPUs at once on work of their own
 */
#define MAX_WORKERS	4
#define WORK_MS		100
#define NR_PRIVATE	64	/* objects that each holds */

struct bench_worker {
	struct work_struct work;
	bench_loop loop;
	struct bench_case c;
	atomic_t *waiting;	/* those who have not started yet */
	u64 done;		/* objects allocated and freed */
	void *objects[NR_PRIVATE];
} ____cacheline_aligned_in_smp;

static void do_private_work(struct work_struct *work)
{
	struct bench_worker *w = container_of(work, struct bench_worker, work);
	u64 cycles = cycles_per_ms * WORK_MS, start;

	atomic_dec(w->waiting);
	while (atomic_read(w->waiting) > 0)
		cpu_relax();
	start = get_cycles();
	while (get_cycles() - start < cycles) {
		w->loop(&w->c, 16);
		w->done += 16 * NR_PRIVATE;
	}
}

/* What so many CPUs get done together. */
static u64 private_work(struct bench_worker *workers, bench_loop loop,
			unsigned int nr)
{
	atomic_t waiting = ATOMIC_INIT(nr);
	unsigned int i, cpu = first_cpu();
	u64 done = 0;

	for (i = 0; i < nr; i++) {
		struct bench_worker *w = &workers[i];

		w->loop = loop;
		w->c = one_object(64);
		w->c.nr = NR_PRIVATE;
		w->c.objects = w->objects;
		w->waiting = &waiting;
		w->done = 0;
		INIT_WORK(&w->work, do_private_work);
		schedule_work_on(cpu, &w->work);
		cpu = cpumask_next(cpu, cpu_online_mask);
	}
	for (i = 0; i < nr; i++) {
		flush_work(&workers[i].work);
		done += workers[i].done;
	}
	return done;
}

/* How much more so many CPUs get done than one, in hundredths. */
static u64 speed_up(struct bench_worker *workers, bench_loop loop,
		    unsigned int nr)
{
	u64 one = private_work(workers, loop, 1);
	u64 many = private_work(workers, loop, nr);

	return div64_u64(many * 100, max(one, 1ULL));
}

static void run_scaling(const struct bench_row *row)
{
	u64 ours[MAX_ROUNDS], peer[MAX_ROUNDS], ratio[MAX_ROUNDS];
	struct bench_worker *workers;
	unsigned int i, nr;
	char what[32];

	workers = kvcalloc(MAX_WORKERS, sizeof(*workers), GFP_KERNEL);
	if (!workers) {
		report_missing(row, "", "no memory");
		return;
	}
	set_free_order(FREE_SAME, NR_PRIVATE);
	for (nr = 2; nr <= MAX_WORKERS; nr *= 2) {
		snprintf(what, sizeof(what), "%u CPUs", nr);
		if (nr > num_online_cpus()) {
			report_missing(row, what, "there are not so many");
			continue;
		}
		for (i = 0; i < rounds; i++) {
			ours[i] = speed_up(workers, row->ours, nr);
			peer[i] = speed_up(workers, row->peer, nr);
			ratio[i] = ratio_of(ours[i], peer[i]);
		}
		report(row, what, median(ours, rounds), median(peer, rounds),
		       median(ratio, rounds), "times one CPU",
		       nr == 2 ? row->goal : "");
	}
	kvfree(workers);
}

static const struct bench_row counted_rows[] = {
	{
		.name = "allocate + free",
		.run = run_classes, .empty = no_pairs, .ours = bsa_pairs,
		.peer_name = "kmalloc", .peer = kmalloc_pairs,
		.goal = "ratio<=0.40",
	}, {
		.name = "allocate + free",
		.run = run_classes, .empty = no_pairs, .ours = bsa_pairs,
		.peer_name = "kmem_cache", .peer = cache_pairs,
		.goal = "ratio<=0.60",
	}, {
		.name = "allocate + free",
		.run = run_classes, .empty = no_pairs, .ours = bsa_pairs,
		.peer_name = "the floor", .peer = floor_pairs,
		.goal = "ratio<=2.50",
	}, {
		.name = "allocate + free, constant size",
		.run = run_classes, .empty = no_pairs, .ours = bsa_constant_pairs,
		.peer_name = "kmalloc", .peer = kmalloc_constant_pairs,
		.goal = "",
	}, {
		.name = "allocate + free, constant size",
		.run = run_classes, .empty = no_pairs, .ours = bsa_constant_pairs,
		.peer_name = "bsa, size at run time", .peer = bsa_pairs,
		.goal = "ratio<=0.99",
	}, {
		.name = "64 objects",
		.run = run_batches, .empty = no_batches, .ours = bsa_batches,
		.peer_name = "kmalloc", .peer = kmalloc_batches,
		.goal = "ratio<=0.30",
		.nr = 64,
	}, {
		.name = "4,096 objects",
		.run = run_batches, .empty = no_batches, .ours = bsa_batches,
		.peer_name = "kmalloc", .peer = kmalloc_batches,
		.goal = "ratio<=0.30",
		.nr = NR_BATCH,
	}, {
		.name = "bulk",
		.run = run_bulk, .empty = no_pairs, .ours = bsa_bulk,
		.peer_name = "kmem_cache bulk", .peer = cache_bulk,
		.goal = "ratio<=0.40",
		.irqs_on = true,
	}, {
		.name = "allocate + free",
		.run = run_mempool, .empty = no_pairs, .ours = bsa_pairs,
		.peer_name = "mempool", .peer = mempool_pairs,
		.goal = "",
	}, {
		.name = "pages",
		.run = run_pages, .empty = no_pairs, .ours = heap_page_pairs,
		.peer_name = "alloc_pages", .peer = kernel_page_pairs,
		.goal = "ratio<=0.30",
		.size = PAGE_SIZE << 0,
	}, {
		.name = "pages",
		.run = run_pages, .empty = no_pairs, .ours = heap_page_pairs,
		.peer_name = "alloc_pages", .peer = kernel_page_pairs,
		.goal = "ratio<=0.30",
		.size = PAGE_SIZE << 2,
	}, {
		.name = "pages",
		.run = run_pages, .empty = no_pairs, .ours = heap_page_pairs,
		.peer_name = "alloc_pages", .peer = kernel_page_pairs,
		.goal = "ratio<=0.15",
		.size = PAGE_SIZE << 4,
	}, {
		.name = "64 bytes",
		.run = run_gen_pool, .empty = no_pairs, .ours = heap_pairs,
		.peer_name = "gen_pool", .peer = gen_pool_pairs,
		.goal = "ratio<=0.25",
		.size = 64,
	}, {
		.name = "64 bytes",
		.run = run_gen_pool, .empty = no_pairs, .ours = heap_pairs,
		.peer_name = "gen_pool", .peer = gen_pool_pairs,
		.goal = "ratio<=0.025",
		.size = 64, .percent = 92,
	}, {
		.name = "64 bytes",
		.run = run_levels, .empty = no_pairs, .ours = heap_pairs,
		.peer_name = "empty heap", .peer = heap_pairs,
		.goal = "ratio=1+-0.05",
		.size = 64,
	}, {
		.name = "4,096 x 64 bytes",
		.run = run_levels, .empty = no_batches, .ours = heap_batches,
		.peer_name = "empty heap", .peer = heap_batches,
		.goal = "ratio=1+-0.05",
		.size = 64, .nr = NR_BATCH,
	}, {
		.name = "a page",
		.run = run_levels, .empty = no_pairs, .ours = heap_page_pairs,
		.peer_name = "empty heap", .peer = heap_page_pairs,
		.goal = "ratio=1+-0.05",
		.size = PAGE_SIZE,
	}, {
		.name = "64 bytes",
		.run = run_holes, .empty = no_pairs, .ours = heap_pairs,
		.peer_name = "empty heap", .peer = heap_pairs,
		.goal = "ratio=1+-0.05",
		.size = 64, .percent = 92,
	}, {
		.name = "256 x 64 bytes",
		.run = run_holes, .empty = no_batches, .ours = heap_batches,
		.peer_name = "empty heap", .peer = heap_batches,
		.goal = "",
		.size = 64, .nr = 256, .percent = 92,
	}, {
		.name = "64 bytes",
		.run = run_sections, .empty = no_pairs, .ours = heap_pairs,
		.peer_name = "1 section", .peer = heap_pairs,
		.goal = "ratio=1+-0.05",
		.size = 64,
	}, {
		.name = "4,096 x 64 bytes",
		.run = run_sections, .empty = no_batches, .ours = heap_batches,
		.peer_name = "1 section", .peer = heap_batches,
		.goal = "ratio=1+-0.05",
		.size = 64, .nr = NR_BATCH,
	}, {
		.name = "a page",
		.run = run_sections, .empty = no_pairs, .ours = heap_page_pairs,
		.peer_name = "1 section", .peer = heap_page_pairs,
		.goal = "ratio=1+-0.05",
		.size = PAGE_SIZE,
	}, {
		.name = "64 bytes",
		.run = run_heap_sizes, .empty = no_pairs, .ours = heap_pairs,
		.peer_name = "4 MiB heap", .peer = heap_pairs,
		.goal = "ratio=1+-0.05",
		.size = 64,
	}, {
		.name = "4,096 x 64 bytes",
		.run = run_heap_sizes, .empty = no_batches, .ours = heap_batches,
		.peer_name = "4 MiB heap", .peer = heap_batches,
		.goal = "ratio=1+-0.05",
		.size = 64, .nr = NR_BATCH,
	}, {
		.name = "a page",
		.run = run_heap_sizes, .empty = no_pairs, .ours = heap_page_pairs,
		.peer_name = "4 MiB heap", .peer = heap_page_pairs,
		.goal = "ratio=1+-0.05",
		.size = PAGE_SIZE,
	}, {
		.name = "a low page",
		.run = run_lowmem, .empty = no_pairs, .ours = lowmem_pairs,
		.peer_name = "any page", .peer = heap_page_pairs,
		.goal = "ratio=1+-0.10",
		.size = PAGE_SIZE,
	}, {
		.name = "8 KiB, fragmented",
		.run = run_fragmented, .empty = no_pairs, .ours = heap_page_pairs,
		.peer_name = "unfragmented", .peer = heap_page_pairs,
		.goal = "ratio<=1.00",
		.size = SZ_8K,
	}, {
		.name = "1,024 x 8 KiB, fragmented",
		.run = run_fragmented, .empty = no_batches, .ours = heap_page_batches,
		.peer_name = "unfragmented", .peer = heap_page_batches,
		.goal = "ratio<=1.00",
		.size = SZ_8K, .nr = 1024,
	}, {
		.name = "1,024 x 8 KiB, fragmented",
		.run = run_fragmented_gpu, .empty = no_batches, .ours = heap_page_batches,
		.peer_name = "GPU buddy", .peer = gpu_batches,
		.goal = "ratio<=0.25",
		.irqs_on = true,
		.size = SZ_8K, .nr = 1024,
	}, {
		.name = "aligned pages",
		.run = run_aligned, .empty = no_batches, .ours = heap_page_batches,
		.peer_name = "GPU buddy", .peer = gpu_batches,
		.goal = "ratio<=0.25",
		.irqs_on = true,
		.size = SZ_8K, .nr = NR_BATCH, .align = SZ_64K,
	}, {
		.name = "aligned pages",
		.run = run_aligned, .empty = no_batches, .ours = heap_page_batches,
		.peer_name = "GPU buddy", .peer = gpu_batches,
		.goal = "ratio<=0.25",
		.irqs_on = true,
		.size = SZ_8K, .nr = NR_BATCH, .align = SZ_256K,
	}, {
		.name = "memory lost to alignment",
		.run = run_alignment_loss,
		.peer_name = "",
		.goal = "ours<=0",
	}, {
		.name = "a call of many",
		.run = run_walk,
		.peer_name = "kmalloc, alloc_pages",
	}, {
		.name = "memory held for 100 asked",
		.run = run_held,
		.peer_name = "kmalloc",
		.goal = "ratio<=1.00",
	}, {
		.name = "own part of the load",
		.run = run_load,
		.peer_name = "alloc_contig_range",
		.goal = "ours<=20000000",
	}, {
		.name = "metadata",
		.run = run_metadata,
		.peer_name = "",
		.goal = "ours<=2.00",
	},
};

static const struct bench_row parallel_rows[] = {
	{
		.name = "freed on another CPU",
		.run = run_remote,
		.peer_name = "kmalloc",
		.goal = "ratio<=0.50",
	}, {
		.name = "producer and consumer",
		.run = run_ring,
		.peer_name = "kmalloc",
		.goal = "ratio<=0.50",
	}, {
		/* What the ring itself takes. */
		.name = "producer and consumer",
		.run = run_bare_ring,
		.peer_name = "an empty ring",
		.goal = "",
	}, {
		.name = "throughput",
		.run = run_scaling, .ours = bsa_batches,
		.peer_name = "kmalloc", .peer = kmalloc_batches,
		.goal = "ours>=1.90",
	}, {
		/* What the machine itself gives, if others use it as well. */
		.name = "throughput",
		.run = run_scaling, .ours = bsa_batches,
		.peer_name = "an empty loop", .peer = no_batches,
		.goal = "",
	},
};

static void destroy_caches(void)
{
	unsigned int class;

	for (class = 0; class < BSA_NR_CLASSES; class++)
		kmem_cache_destroy(caches[class]);
}

static int create_caches(void)
{
	unsigned int class;
	char name[32];

	for (class = 0; class < BSA_NR_CLASSES; class++) {
		snprintf(name, sizeof(name), "bsa_bench-%zu", class_size(class));
		caches[class] = kmem_cache_create(name, class_size(class), 0,
						  0, NULL);
		if (!caches[class])
			return -ENOMEM;
	}
	return 0;
}

static void run_rows(const struct bench_row *row, unsigned int nr)
{
	for (; nr--; row++)
		if (strstr(row->name, rows))
			row->run(row);
}

static int __init bsa_bench_init(void)
{
	bool parallel = !strcmp(mode, "parallel");
	int err;

	if ((!parallel && strcmp(mode, "counted")) || !rounds ||
	    rounds > MAX_ROUNDS || !calls || !ring_ms)
		return -EINVAL;
	if (parallel && num_online_cpus() < 2)
		return -ENXIO;

	objects = kvmalloc_array(NR_BATCH, sizeof(*objects), GFP_KERNEL);
	held = kvmalloc_array(MAX_HELD, sizeof(*held), GFP_KERNEL);
	err = objects && held ? create_caches() : -ENOMEM;
	if (err)
		goto free;
	prandom_seed_state(&rnd, 1);
	calibrate();
	pr_info("%s mode, get_cycles() counts %llu in a millisecond\n", mode,
		cycles_per_ms);

	migrate_disable();
	if (parallel)
		run_rows(parallel_rows, ARRAY_SIZE(parallel_rows));
	else
		run_rows(counted_rows, ARRAY_SIZE(counted_rows));
	migrate_enable();

	free_big_range();
free:
	destroy_caches();
	kvfree(objects);
	kvfree(held);
	return err;
}
module_init(bsa_bench_init);

/* All is done when it has loaded. */
static void __exit bsa_bench_exit(void)
{
}
module_exit(bsa_bench_exit);

MODULE_DESCRIPTION("Compares the calls of bsa with the kernel's own");
MODULE_LICENSE("GPL");
