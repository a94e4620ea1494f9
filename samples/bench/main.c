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
 * The unit is what bench_cycles() counts. On an emulated CPU that counts
 * instructions it is an instruction, and every figure is exact; elsewhere it is
 * a cycle of the CPU's time counter. What the loop itself takes is measured too
 * and taken off.
 *
 * Counted mode runs on one CPU. Bounded mode is about what a single call does at
 * worst, while a second CPU owns, or frees, what it looks through. Native and parallel
 * mode are for a real processor, the latter about what two CPUs do to each other; they
 * log every round.
 *
 * The GPU buddy allocator is a peer if the kernel has it and, where it is a
 * module, drm_buddy is loaded. What needs more memory than there is, or memory
 * above 4 GiB, is logged as not measured.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include "bench.h"

#include <linux/cpumask.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/string.h>

static char *mode = "counted";
module_param(mode, charp, 0444);
MODULE_PARM_DESC(mode, "counted (one CPU, the default), bounded, native or parallel (two CPUs)");

static char *rows = "";
module_param(rows, charp, 0444);
MODULE_PARM_DESC(rows, "Measure only the rows whose name contains this");

unsigned int bench_rounds = 7;
module_param_named(rounds, bench_rounds, uint, 0444);
MODULE_PARM_DESC(rounds, "Rounds of each measurement, of which the median counts (default 7)");

unsigned int bench_calls = 10000000;
module_param_named(calls, bench_calls, uint, 0444);
MODULE_PARM_DESC(calls, "Calls among which the worst is looked for (default 10000000)");

/* The modes, each with its families. */
static const struct bench_mode {
	const char *name;
	unsigned int nr_cpus;	/* how many it needs */
	const struct bench_row *family[8];
	void (*compare)(const struct bench_setup *s);
} modes[] = {
	{ "counted", 1, { bench_objects, bench_heaps, bench_fragments,
			  bench_walks, bench_footprint }, bench_compare },
	{ "bounded", 2, { bench_bounds } },
	{ "native", 1, { bench_native }, bench_compare_natively },
	{ "parallel", 2, { bench_parallel } },
};

void **bench_held;
struct rnd_state bench_rnd;

static void **objects;		/* what the loops hold */
static u16 free_order[NR_BATCH];

/**
 * bench_set_order - say in which order the loops free what they hold
 * @order: the order
 * @nr: objects held at once
 */
void bench_set_order(enum free_order order, unsigned int nr)
{
	unsigned int i, j;

	for (i = 0; i < nr; i++)
		free_order[i] = order == FREE_REVERSE ? nr - 1 - i : i;
	if (order != FREE_RANDOM)
		return;
	for (i = nr - 1; i; i--) {
		j = prandom_u32_state(&bench_rnd) % (i + 1);
		swap(free_order[i], free_order[j]);
	}
}

/* What both loops do unless the case changes it. Each case has its own luck. */
static void start(struct bench_setup *s, const struct bench_row *row,
		  unsigned int i)
{
	unsigned int nr = row->nr ?: 1;

	memset(s, 0, sizeof(*s));
	s->row = row;
	s->index = i;
	s->goal = row->goal;
	s->side[OURS] = (struct bench_case) {
		.size = row->size,
		.pages = row->size >> PAGE_SHIFT,
		.order = get_order(row->size),
		.align = row->align ?: PAGE_SIZE,
		.nr = nr,
		.objects = objects,
		.free_order = free_order,
	};
	s->side[PEER] = s->side[OURS];
	prandom_seed_state(&bench_rnd, 1);
	bench_set_order(FREE_RANDOM, nr);
}

static void finish(struct bench_setup *s)
{
	if (s->drop_peer)
		s->drop_peer(s->side[PEER].peer);
	bench_destroy_heap(&s->heap[OURS]);
	bench_destroy_heap(&s->heap[PEER]);
}

static void run_row(const struct bench_mode *m, const struct bench_row *row)
{
	static struct bench_setup s;
	const char *why;
	unsigned int i;

	for (i = 0; i < row->nr_cases; i++) {
		start(&s, row, i);
		why = row->prepare ? row->prepare(&s, i) : NULL;
		if (why)
			bench_missing(&s, why);
		else if (row->measure)
			row->measure(&s);
		else
			m->compare(&s);
		finish(&s);
	}
}

static void run_mode(const struct bench_mode *m)
{
	const struct bench_row *const *family, *row;

	for (family = m->family; *family; family++)
		for (row = *family; row->name; row++)
			if (strstr(row->name, rows))
				run_row(m, row);
}

static int __init bsa_bench_init(void)
{
	const struct bench_mode *m = modes;
	int err = 0;

	while (m < modes + ARRAY_SIZE(modes) && strcmp(m->name, mode))
		m++;
	if (m == modes + ARRAY_SIZE(modes) || !bench_rounds ||
	    bench_rounds > MAX_ROUNDS || !bench_calls)
		return -EINVAL;
	if (num_online_cpus() < m->nr_cpus)
		return -ENXIO;

	objects = kvmalloc_array(NR_BATCH, sizeof(*objects), GFP_KERNEL);
	bench_held = kvmalloc_array(MAX_HELD, sizeof(*bench_held), GFP_KERNEL);
	if (!objects || !bench_held) {
		err = -ENOMEM;
		goto free;
	}
	bench_calibrate();
	pr_info("%s mode, bench_cycles() counts %llu in a millisecond\n", mode,
		bench_cycles_per_ms);
	migrate_disable();
	run_mode(m);
	migrate_enable();
	bench_free_big_range();
free:
	kvfree(objects);
	kvfree(bench_held);
	return err;
}

/* Built in, when the heap is there and everything else, too. */
late_initcall(bsa_bench_init);

/* All is done when it has loaded. */
static void __exit bsa_bench_exit(void)
{
}
module_exit(bsa_bench_exit);

MODULE_DESCRIPTION("Compares the calls of bsa with the kernel's own");
MODULE_LICENSE("GPL");
