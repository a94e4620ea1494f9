// SPDX-License-Identifier: GPL-2.0-only
/*
 * The worst call: a random walk of allocations and frees of all kinds, and how
 * long each of them has taken
 */
#include "bench.h"

#include <linux/irqflags.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/timex.h>
#include <linux/vmalloc.h>

/* A side, or nobody: what timing a call takes is what it takes to time these. */
struct allocator {
	void *(*alloc)(size_t size);
	void (*free)(const void *object);
	void *(*get_pages)(unsigned int order);
	void (*put_pages)(void *block, unsigned int order);
};

static noinline void *our_alloc(size_t size)
{
	return bsa_alloc(size, BENCH_GFP);
}

static noinline void *our_get_pages(unsigned int order)
{
	return bsa_alloc_pages(1UL << order, PAGE_SIZE, BENCH_GFP);
}

static noinline void our_put_pages(void *block, unsigned int order)
{
	bsa_free_pages(block, 1UL << order);
}

static noinline void *kernel_alloc(size_t size)
{
	return kmalloc(size, BENCH_GFP);
}

static noinline void *kernel_get_pages(unsigned int order)
{
	return (void *)__get_free_pages(BENCH_GFP, order);
}

static noinline void kernel_put_pages(void *block, unsigned int order)
{
	free_pages((unsigned long)block, order);
}

static noinline void *no_alloc(size_t size)
{
	return ZERO_SIZE_PTR;
}

static noinline void no_free(const void *object)
{
	barrier();
}

static noinline void *no_get_pages(unsigned int order)
{
	return ZERO_SIZE_PTR;
}

static noinline void no_put_pages(void *block, unsigned int order)
{
	barrier();
}

static const struct allocator
	ours = { our_alloc, bsa_free, our_get_pages, our_put_pages },
	kernel = { kernel_alloc, kfree, kernel_get_pages, kernel_put_pages },
	nobody = { no_alloc, no_free, no_get_pages, no_put_pages };

enum call_kind {
	CALL_SMALL,		/* up to SMALL_OBJECT bytes */
	CALL_OBJECT,		/* more, up to 2048 bytes */
	CALL_PAGES,		/* 1 to 16 pages */
	NR_CALL_KINDS,
};

#define SMALL_OBJECT	256
#define NR_SLOTS	4096
#define MAX_CYCLES	65536	/* longer calls are counted as that long */
#define MAX_ORDER_CALLED 4
#define NR_CALLS_AT_ONCE 1024	/* with interrupts off */

struct walk {
	const struct allocator *allocator;
	struct rnd_state rnd;
	u64 overhead;
	u64 failed;
	u64 worst[NR_CALL_KINDS];
	u32 taken[NR_CALL_KINDS][MAX_CYCLES];
	struct slot {
		void *block;
		u16 size;
		u8 kind;
		u8 order;
	} slot[NR_SLOTS];
};

static u64 timed_alloc(const struct allocator *a, struct slot *slot)
{
	u64 start, end;

	if (slot->kind == CALL_PAGES) {
		start = bench_cycles();
		slot->block = a->get_pages(slot->order);
		end = bench_cycles();
	} else {
		start = bench_cycles();
		slot->block = a->alloc(slot->size);
		end = bench_cycles();
	}
	return end - start;
}

static u64 timed_free(const struct allocator *a, struct slot *slot)
{
	u64 start, end;

	if (slot->kind == CALL_PAGES) {
		start = bench_cycles();
		a->put_pages(slot->block, slot->order);
		end = bench_cycles();
	} else {
		start = bench_cycles();
		a->free(slot->block);
		end = bench_cycles();
	}
	slot->block = NULL;
	return end - start;
}

/* One call: a free of what is in a random slot, or an allocation for it. */
static void walk_one_step(struct walk *w)
{
	u32 r = prandom_u32_state(&w->rnd);
	struct slot *slot = &w->slot[r % NR_SLOTS];
	u64 cycles;

	if (slot->block) {
		cycles = timed_free(w->allocator, slot);
	} else {
		slot->order = (r >> 12) % (MAX_ORDER_CALLED + 1);
		slot->size = bench_random_size(&w->rnd);
		/* One in eight is about pages. */
		slot->kind = r >> 29 == 0 ? CALL_PAGES :
			     slot->size <= SMALL_OBJECT ? CALL_SMALL : CALL_OBJECT;
		cycles = timed_alloc(w->allocator, slot);
		w->failed += !slot->block;
	}
	cycles -= min(cycles, w->overhead);
	w->worst[slot->kind] = max(w->worst[slot->kind], cycles);
	w->taken[slot->kind][min_t(u64, cycles, MAX_CYCLES - 1)]++;
}

static void walk_on(struct walk *w)
{
	unsigned int nr = NR_CALLS_AT_ONCE;
	unsigned long flags;

	local_irq_save(flags);
	while (nr--)
		walk_one_step(w);
	local_irq_restore(flags);
	cond_resched();
}

static struct walk *start_walk(const struct allocator *a, u64 overhead)
{
	struct walk *w = vzalloc(sizeof(*w));

	if (!w)
		return NULL;
	w->allocator = a;
	w->overhead = overhead;
	prandom_seed_state(&w->rnd, 1);
	return w;
}

static void end_walk(struct walk *w)
{
	unsigned int i;

	for (i = 0; w && i < NR_SLOTS; i++)
		if (w->slot[i].block)
			timed_free(w->allocator, &w->slot[i]);
	vfree(w);
}

/* The time that so many of 10,000 calls do not exceed, of the first kinds. */
static u64 percentile(const struct walk *w, enum call_kind first,
		      enum call_kind last, unsigned int of_10000)
{
	u64 total = 0, sum = 0, worst = 0;
	enum call_kind kind;
	unsigned int i;

	for (kind = first; kind <= last; kind++) {
		worst = max(worst, w->worst[kind]);
		for (i = 0; i < MAX_CYCLES; i++)
			total += w->taken[kind][i];
	}
	for (i = 0; i < MAX_CYCLES - 1; i++) {
		for (kind = first; kind <= last; kind++)
			sum += w->taken[kind][i];
		if (sum * 10000 >= total * of_10000)
			break;
	}
	return of_10000 == 10000 ? worst : i;
}

static const struct {
	const char *name;
	unsigned int of_10000;
} points[] = { { "p50", 5000 }, { "p99", 9900 }, { "p99.99", 9999 }, { "worst", 10000 } };

/* What is reported of a walk: some kinds of calls, and a goal for each point. */
static const struct {
	const char *name;
	enum call_kind first, last;
	const char *goal[ARRAY_SIZE(points)];
} groups[] = {
	{ "up to 256 bytes", CALL_SMALL, CALL_SMALL, { "", "", "ours<=168", "" } },
	{ "up to 2048 bytes", CALL_SMALL, CALL_OBJECT, { "", "", "", "ours<=1000" } },
	{ "1 to 16 pages", CALL_PAGES, CALL_PAGES, { "", "", "", "ours<=1500" } },
};

static void report_walks(struct bench_setup *s, const struct walk *us,
			 const struct walk *them)
{
	unsigned int g, p;

	for (g = 0; g < ARRAY_SIZE(groups); g++) {
		for (p = 0; p < ARRAY_SIZE(points); p++) {
			snprintf(s->what, sizeof(s->what), "%s, %s",
				 groups[g].name, points[p].name);
			s->goal = groups[g].goal[p];
			bench_report(s, percentile(us, groups[g].first, groups[g].last,
						   points[p].of_10000) * 100,
				     percentile(them, groups[g].first, groups[g].last,
						points[p].of_10000) * 100, "cycles");
		}
	}
}

static void measure_walks(struct bench_setup *s)
{
	struct walk *none = start_walk(&nobody, 0), *us, *them;
	u64 overhead = 0;
	unsigned int i;

	if (none) {
		walk_on(none);
		overhead = percentile(none, CALL_SMALL, CALL_PAGES, 5000);
	}
	end_walk(none);
	us = start_walk(&ours, overhead);
	them = start_walk(&kernel, overhead);
	if (!none || !us || !them) {
		bench_missing(s, NO_MEMORY);
	} else {
		for (i = 0; i < bench_calls; i += NR_CALLS_AT_ONCE) {
			walk_on(us);
			walk_on(them);
		}
		if (us->failed)
			bench_missing(s, "calls have failed");
		report_walks(s, us, them);
	}
	end_walk(us);
	end_walk(them);
}

const struct bench_row bench_walks[] = {
	{ "a call of many", "kmalloc, alloc_pages", "",
	  1, NULL, .measure = measure_walks },
	{}
};
