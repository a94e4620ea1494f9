// SPDX-License-Identifier: GPL-2.0-only
/*
 * Native: the same calls on a real processor, in cycles, beside today's SLUB
 *
 * Objects are left alone, or each of their cache lines is written, as a caller
 * would do.
 */
#include "bench.h"

#include <linux/irqflags.h>
#include <linux/slab.h>

static const char *prepare_private(struct bench_setup *s, unsigned int i)
{
	if (bench_create_heap(s, OURS, HEAP_SIZE))
		return NO_MEMORY;
	return s->row->nr ? bench_prepare_burst(s, i) : bench_prepare_class(s, i);
}

/*
 * Objects live for very different times: each that is freed is one at random of those
 * that live, and another takes its place
 */
#define NR_REPLACED	BIT(20)	/* so many, and then the same again */
#define REPLACE_OPS	4096

static struct {
	u32 *which;
	u16 sizes[NR_BATCH];
	unsigned int at[NR_SIDES];
} replaced;

static u64 time_replace(const struct bench_setup *s, unsigned int side)
{
	enum bench_calls who = bench_calls_of(s, side);
	unsigned int *at = &replaced.at[side];
	unsigned long flags;
	u64 cycles;

	local_irq_save(flags);
	cycles = bench_cycles();
	bench_replace(who, &s->side[side], replaced.which + *at, REPLACE_OPS);
	cycles = bench_cycles() - cycles;
	local_irq_restore(flags);
	*at = (*at + REPLACE_OPS) % NR_REPLACED;
	return cycles * 100 / REPLACE_OPS;
}

/* Sizes of one class, or all sizes, of so many live objects. */
static void measure_replace(struct bench_setup *s)
{
	static const unsigned int live[] = { 64, 1000, 100000 };
	static const unsigned int sizes[] = { 16, 64, 192, 512, 2048, 0 };
	unsigned int nr = live[s->index / ARRAY_SIZE(sizes)], i, k;
	unsigned int size = sizes[s->index % ARRAY_SIZE(sizes)];

	if (size)
		snprintf(s->what, sizeof(s->what), "%u bytes, %u live", size, nr);
	else
		snprintf(s->what, sizeof(s->what), "8 to 2048 bytes, %u live", nr);
	replaced.which = kvmalloc_array(NR_REPLACED, sizeof(u32), GFP_KERNEL);
	for (i = 0; i < NR_SIDES; i++) {
		struct bench_case *c = &s->side[i];

		c->nr = nr;
		c->size = size ?: 64;
		c->sizes = size ? NULL : replaced.sizes;
		c->objects = kvcalloc(nr, sizeof(void *), GFP_KERNEL);
		replaced.at[i] = 0;
	}
	if (replaced.which && s->side[OURS].objects && s->side[PEER].objects) {
		for (i = 0; i < NR_BATCH; i++)
			replaced.sizes[i] = bench_random_size(&bench_rnd);
		/* First, each once. */
		for (i = 0; i < NR_REPLACED; i++)
			replaced.which[i] = i < nr ? i :
					    prandom_u32_state(&bench_rnd) % nr;
		for (k = 0; k < nr + 4 * REPLACE_OPS; k += REPLACE_OPS) {
			time_replace(s, OURS);
			time_replace(s, PEER);
		}
		bench_report_natively(s, time_replace);
		for (i = 0; i < nr; i++) {
			bsa_free(s->side[OURS].objects[i]);
			kfree(s->side[PEER].objects[i]);
		}
	} else {
		bench_missing(s, NO_MEMORY);
	}
	for (i = 0; i < NR_SIDES; i++)
		kvfree(s->side[i].objects);
	kvfree(replaced.which);
}

/*
 * A caller that does much else in between finds little in the caches
 */
#define COLD_OPS	16

static u8 *others;

static u64 time_cold(const struct bench_setup *s, unsigned int side)
{
	const struct bench_case *c = &s->side[side];
	enum bench_calls who = bench_calls_of(s, side);
	unsigned long flags;
	u64 cycles = 0;
	unsigned int i;
	size_t k;

	local_irq_save(flags);
	for (i = 0; i < COLD_OPS; i++) {
		for (k = 0; k < SZ_1M; k += L1_CACHE_BYTES)
			WRITE_ONCE(others[k], i);
		cycles -= bench_cycles();
		bench_loop(who, c, 1);
		cycles += bench_cycles();
		/* What the clock itself takes. */
		cycles += bench_cycles();
		cycles -= bench_cycles();
	}
	local_irq_restore(flags);
	return cycles * 100 / COLD_OPS;
}

static void measure_cold(struct bench_setup *s)
{
	bench_prepare_class(s, s->index);
	others = kvmalloc(SZ_1M, GFP_KERNEL);
	if (others)
		bench_report_natively(s, time_cold);
	else
		bench_missing(s, NO_MEMORY);
	kvfree(others);
}

#define PAIRS(name, peer, goal, prepare, ...) \
	{ name, peer, goal, BSA_NR_CLASSES, prepare, __VA_ARGS__ }
#define BURSTS(name, goal, objects, prepare, ...) \
	{ name, "kmalloc", goal, 3 * BSA_NR_CLASSES, prepare, __VA_ARGS__, .nr = objects }

const struct bench_row bench_native[] = {
	PAIRS("pair", "kmalloc", "ratio<=0.95", bench_prepare_class, BSA, KMALLOC),
	PAIRS("pair, written", "kmalloc", "ratio<=0.95", bench_prepare_class,
	      BSA_WRITTEN, KMALLOC_WRITTEN),
	PAIRS("pair, constant size", "kmalloc", "ratio<=0.80", bench_prepare_class,
	      BSA_CONSTANT, KMALLOC_CONSTANT),
	PAIRS("pair, private heap", "kmalloc", "ratio<=0.95", prepare_private,
	      BSA_HEAP, KMALLOC),
	PAIRS("pair, private heap, written", "kmalloc", "ratio<=0.95", prepare_private,
	      BSA_HEAP_WRITTEN, KMALLOC_WRITTEN),
	PAIRS("pair", "kmem_cache", "", bench_prepare_cache, BSA, KMEM_CACHE),
	PAIRS("pair", "the floor", "", bench_prepare_class, BSA, FLOOR),
	BURSTS("64 objects", "ratio<=0.70", 64, bench_prepare_burst, BSA, KMALLOC),
	BURSTS("64 objects, written", "ratio<=0.70", 64, bench_prepare_burst,
	       BSA_WRITTEN, KMALLOC_WRITTEN),
	BURSTS("4,096 objects", "ratio<=0.50", NR_BATCH, bench_prepare_burst, BSA, KMALLOC),
	BURSTS("4,096 objects, written", "ratio<=0.50", NR_BATCH, bench_prepare_burst,
	       BSA_WRITTEN, KMALLOC_WRITTEN),
	{ "replaced at random", "kmalloc", "ratio<=0.80", 18, NULL, BSA, KMALLOC,
	  .measure = measure_replace },
	{ "cold pair", "kmalloc", "ratio<=0.80", BSA_NR_CLASSES, NULL, BSA, KMALLOC,
	  .measure = measure_cold },
	{ "pages", "alloc_pages", "ratio<=0.25",
	  2, bench_prepare_pages, BSA_PAGES, ALLOC_PAGES, PAGE_SIZE << 0 },
	{ "pages", "alloc_pages", "ratio<=0.25",
	  2, bench_prepare_pages, BSA_PAGES, ALLOC_PAGES, PAGE_SIZE << 2 },
	{ "pages", "alloc_pages", "ratio<=0.25",
	  2, bench_prepare_pages, BSA_PAGES, ALLOC_PAGES, PAGE_SIZE << 4 },
	{}
};
