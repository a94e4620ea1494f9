// SPDX-License-Identifier: GPL-2.0-only
/*
 * Timing loops and reporting what came out
 *
 * Values are in hundredths of their unit, ratios in thousandths.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include "bench.h"

#include <linux/irqflags.h>
#include <linux/ktime.h>
#include <linux/sched.h>
#include <linux/sort.h>
#include <linux/string.h>
#include <linux/timex.h>

#define NR_OPS		4096	/* at least so many operations in one measurement */

u64 bench_cycles_per_ms;

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

/**
 * bench_report - log the result of a case
 * @s: the case
 * @ours: our value, in hundredths
 * @peer: the peer's
 * @unit: their unit; "cycles" are logged in nanoseconds, too
 */
void bench_report(const struct bench_setup *s, u64 ours, u64 peer,
		  const char *unit)
{
	u64 ratio = peer ? div64_u64(ours * 1000 + peer / 2, peer) : 0;
	u64 ns = strcmp(unit, "cycles") ? 0 : NSEC_PER_MSEC;

	pr_info("%s\t%s\t%s\t%s\t%s\t%llu.%03llu\t%s\t%s\t%s\t%s\n",
		s->row->name, s->what, decimal(ours).text, s->row->peer_name,
		decimal(peer).text, ratio / 1000, ratio % 1000, s->goal, unit,
		decimal(div64_u64(ours * ns, bench_cycles_per_ms)).text,
		decimal(div64_u64(peer * ns, bench_cycles_per_ms)).text);
}

/**
 * bench_missing - log that a case could not be measured
 * @s: the case
 * @why: why
 */
void bench_missing(const struct bench_setup *s, const char *why)
{
	pr_info("%s\t%s\tnot measured: %s\n", s->row->name, s->what, why);
}

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

/**
 * bench_calibrate - find out how fast bench_cycles() counts
 *
 * It does not matter if a clock jumps once.
 */
void bench_calibrate(void)
{
	u64 start_ns, ns, start, cycles, per_ms[5];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(per_ms); i++) {
		start_ns = ktime_get_ns();
		start = bench_cycles();
		do {
			cycles = bench_cycles() - start;
			ns = ktime_get_ns() - start_ns;
		} while (ns < 10 * NSEC_PER_MSEC);
		per_ms[i] = div64_u64(cycles * NSEC_PER_MSEC, ns);
	}
	bench_cycles_per_ms = max(1000ULL, median(per_ms, ARRAY_SIZE(per_ms)));
}

static u64 time_loop(enum bench_calls who, const struct bench_case *c,
		     unsigned int n, bool irqs_on)
{
	unsigned long flags = 0;
	u64 start, end;

	if (!irqs_on)
		local_irq_save(flags);
	start = bench_cycles();
	bench_loop(who, c, n);
	end = bench_cycles();
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

/**
 * bench_compare - run both loops in turns and report what a pair takes
 * @s: the case
 *
 * A pair is one allocation and its free. The first round only warms up.
 */
void bench_compare(const struct bench_setup *s)
{
	const struct bench_case *ours = &s->side[OURS], *peer = &s->side[PEER];
	unsigned int n = max(1U, NR_OPS / ours->nr), i;
	u64 our_time[MAX_ROUNDS], peer_time[MAX_ROUNDS];
	struct bench_case nothing = s->side[OURS];
	const struct bench_row *row = s->row;
	unsigned long failed = failures(ours);
	u64 ops = (u64)n * ours->nr, empty;

	nothing.nr = row->nr ?: 1;
	for (i = 0; i < bench_rounds; i++)
		our_time[i] = time_loop(NOTHING, &nothing, n, false);
	empty = median(our_time, bench_rounds);

	time_loop(row->ours, ours, n, row->irqs_on);
	time_loop(row->peer, peer, n, row->irqs_on);
	for (i = 0; i < bench_rounds; i++) {
		u64 t = time_loop(row->ours, ours, n, row->irqs_on);
		u64 u = time_loop(row->peer, peer, n, row->irqs_on);

		our_time[i] = div64_u64((t - min(t, empty)) * 100, ops);
		peer_time[i] = div64_u64((u - min(u, empty)) * 100, ops);
	}
	if (failures(ours) != failed)
		bench_missing(s, "calls have failed");
	else
		bench_report(s, median(our_time, bench_rounds),
			     median(peer_time, bench_rounds), "cycles");
}

/* Rounds that share a line of the log, and how many such lines a case has. */
#define LINE_ROUNDS	32
#define NR_LINES	8
#define FLOOR_OPS	1024

/**
 * bench_report_natively - time both sides in turns, and log every round
 * @s: the case
 * @timer: times one side, in hundredths of a cycle for an operation
 *
 * A real processor is slower at some times than at others, and not in the same
 * ratio for all. In which state it was, the least that any allocator can do tells,
 * which is timed in each round, too: "ours:the peer's:floor".
 */
void bench_report_natively(const struct bench_setup *s, bench_timer_t *timer)
{
	static const struct bench_case floor = { .nr = 1, .size = 64 };
	unsigned long failed = failures(&s->side[OURS]);
	static char text[900];
	unsigned int line, i;
	int length;

	timer(s, OURS);
	timer(s, PEER);
	for (line = 0; line < NR_LINES; line++) {
		length = 0;
		for (i = 0; i < LINE_ROUNDS; i++) {
			u64 t = timer(s, OURS), u = timer(s, PEER);
			u64 f = time_loop(FLOOR, &floor, FLOOR_OPS, false);

			length += scnprintf(text + length, sizeof(text) - length,
					    " %llu:%llu:%llu", t, u,
					    f * 100 / FLOOR_OPS);
		}
		pr_info("%s\t%s\t%s\t%s\t%s\n", s->row->name, s->what,
			s->row->peer_name, s->goal, text + 1);
	}
	if (failures(&s->side[OURS]) != failed)
		bench_missing(s, "calls have failed");
}

static u64 time_side(const struct bench_setup *s, unsigned int side)
{
	const struct bench_case *c = &s->side[side];
	unsigned int n = max(1U, NR_OPS / c->nr);
	enum bench_calls who = bench_calls_of(s, side);

	return div64_u64(time_loop(who, c, n, s->row->irqs_on) * 100, (u64)n * c->nr);
}

/**
 * bench_compare_natively - run both loops in turns, and log every round
 * @s: the case
 */
void bench_compare_natively(const struct bench_setup *s)
{
	bench_report_natively(s, time_side);
}
