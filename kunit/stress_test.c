// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many CPUs at once: random operations against a model, and the pictures in
 * which CPUs get into each other's way
 *
 * Every test puts a thread on each CPU, which stays there (a worker). Workers
 * make no assertions, which end a test in its own thread only: they note what
 * was wrong and stop each other, and the test reports it. No wait is without
 * an end.
 */
#include "test_util.h"

#include <bsa/validate.h>
#include <linux/completion.h>
#include <linux/cpu.h>
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/hash.h>
#include <linux/io.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include <linux/sched/task.h>
#include <linux/sizes.h>

static unsigned long seed;
module_param(seed, ulong, 0444);
MODULE_PARM_DESC(seed, "seed of the random operations (default 0: choose one)");

static unsigned int ops = 10000000;
module_param(ops, uint, 0444);
MODULE_PARM_DESC(ops, "number of random operations (default 10000000)");

/* Suites may run before the module's parameters are parsed. */
static unsigned long parameter(const char *name, unsigned long value)
{
	const char *arg = strstr(BSA_MODULE_ARGS, name);

	if (arg)
		sscanf(arg + strlen(name), "=%lu", &value);
	return value;
}

/* For a whole test; the first is when workers are asked to stop. */
#define TIMEOUT		(150 * HZ * BSA_TEST_SLOWNESS)
#define GRACE		(10 * HZ * BSA_TEST_SLOWNESS)

/*
 * Workers
 */

/**
 * struct worker - a thread on one CPU
 * @task: the thread; NULL while there is none
 * @fn: what it does
 * @cpu: where
 * @index: counts the workers of one start
 * @next: another worker of the same start, in a ring of all of them
 * @error: what was wrong first
 * @ptr: where that was
 * @size: the size of the object that it was in
 * @chain: what it has allocated
 */
struct worker {
	struct task_struct *task;
	void (*fn)(struct worker *w);
	unsigned int cpu;
	unsigned int index;
	struct worker *next;
	const char *error;
	const void *ptr;
	size_t size;
	void **chain;
};

static DEFINE_PER_CPU(struct worker, workers);

/**
 * struct crew - what all workers share
 * @heap: the heap that the test is about
 * @largest: pages in the largest block that it had when nothing was allocated
 * @nr: number of workers started last
 * @running: how many of them have not finished
 * @done: all have
 * @stop: they shall, at once
 * @hung: one did not; it may still use all memory of the test
 * @data: whatever the test needs
 */
static struct crew {
	struct bsa_heap *heap;
	unsigned long largest;
	unsigned int nr;
	atomic_t running;
	struct completion done;
	bool stop;
	bool hung;
	void *data;
} crew;

static bool stopped(void)
{
	cond_resched();
	return READ_ONCE(crew.stop);
}

static void fail(struct worker *w, const char *error, const void *ptr,
		 size_t size)
{
	if (!w->error) {
		w->error = error;
		w->ptr = ptr;
		w->size = size;
	}
	WRITE_ONCE(crew.stop, true);
}

static int run_worker(void *data)
{
	struct worker *w = data;

	w->fn(w);
	if (atomic_dec_and_test(&crew.running))
		complete(&crew.done);
	/* The kernel has races of its own about threads that end. */
	set_current_state(TASK_INTERRUPTIBLE);
	while (!kthread_should_stop()) {
		schedule();
		set_current_state(TASK_INTERRUPTIBLE);
	}
	__set_current_state(TASK_RUNNING);
	return 0;
}

static void start_workers(struct kunit *test, const struct cpumask *mask,
			  void (*fn)(struct worker *w))
{
	struct worker *w, *first = NULL, *last = NULL;
	struct task_struct *task;
	unsigned int cpu;

	crew.nr = 0;
	crew.stop = false;
	init_completion(&crew.done);
	for_each_cpu(cpu, mask) {
		w = per_cpu_ptr(&workers, cpu);
		task = kthread_create(run_worker, w, "bsa_stress/%u", cpu);
		if (IS_ERR(task)) {
			KUNIT_FAIL(test, "no thread for CPU %u", cpu);
			continue;
		}
		kthread_bind(task, cpu);
		w->task = get_task_struct(task);
		w->fn = fn;
		w->cpu = cpu;
		w->index = crew.nr++;
		w->error = NULL;
		if (last)
			last->next = w;
		else
			first = w;
		last = w;
	}
	KUNIT_ASSERT_NOT_NULL(test, last);
	last->next = first;
	atomic_set(&crew.running, crew.nr);
	for_each_cpu(cpu, mask) {
		w = per_cpu_ptr(&workers, cpu);
		if (w->task)
			wake_up_process(w->task);
	}
}

static void join_workers(struct kunit *test)
{
	unsigned int cpu;

	if (!wait_for_completion_timeout(&crew.done, TIMEOUT)) {
		KUNIT_FAIL(test, "workers were not done in time");
		WRITE_ONCE(crew.stop, true);
		if (!wait_for_completion_timeout(&crew.done, GRACE)) {
			crew.hung = true;
			__module_get(THIS_MODULE);
		}
	}
	KUNIT_ASSERT_FALSE_MSG(test, crew.hung, "%d workers hang",
			       atomic_read(&crew.running));

	for_each_possible_cpu(cpu) {
		struct worker *w = per_cpu_ptr(&workers, cpu);

		if (!w->task)
			continue;
		kthread_stop(w->task);
		put_task_struct(w->task);
		w->task = NULL;
		if (w->error)
			KUNIT_FAIL(test, "CPU %u: %s: %p, %zu bytes", cpu,
				   w->error, w->ptr, w->size);
	}
	KUNIT_ASSERT_FALSE(test, crew.stop);
}

static void run_workers(struct kunit *test, void (*fn)(struct worker *w))
{
	start_workers(test, cpu_online_mask, fn);
	join_workers(test);
}

/*
 * Contents: every object is filled with a sequence that its seed determines,
 * so one that overlaps another, or moves, is found out. KCSAN, which looks at
 * one access in many, had better look at others.
 */

static __no_kcsan void fill(void *ptr, size_t size, u64 number)
{
	u64 *word = ptr, value = number * GOLDEN_RATIO_64;
	size_t i;

	for (i = 0; i < size / sizeof(value); i++, value += GOLDEN_RATIO_64)
		word[i] = value;
	memcpy(&word[i], &value, size % sizeof(value));
}

static __no_kcsan bool is_intact(const void *ptr, size_t size, u64 number)
{
	u64 value = number * GOLDEN_RATIO_64;
	const u64 *word = ptr;
	size_t i;

	for (i = 0; i < size / sizeof(value); i++, value += GOLDEN_RATIO_64)
		if (word[i] != value)
			return false;
	return !memcmp(&word[i], &value, size % sizeof(value));
}

/* For objects that nothing else is known of: their address is the seed. */
static void mark(void *ptr, size_t size)
{
	fill(ptr, size, (unsigned long)ptr);
}

static void free_marked(struct worker *w, void *ptr, size_t size)
{
	if (!is_intact(ptr, size, (unsigned long)ptr))
		fail(w, "contents have changed", ptr, size);
	bsa_heap_free(crew.heap, ptr);
}

/* An object for a test in which there is always enough memory. */
static void *alloc_marked(struct worker *w, size_t size, gfp_t gfp)
{
	void *ptr = bsa_heap_alloc(crew.heap, size, gfp);

	if (ptr)
		mark(ptr, size);
	else
		fail(w, "allocation failed", NULL, size);
	return ptr;
}

/*
 * The heap
 */

static unsigned long largest_block(void)
{
	unsigned long nr = rounddown_pow_of_two(bsa_heap_nr_pages(crew.heap));
	void *ptr;

	for (; nr; nr /= 2) {
		ptr = bsa_heap_alloc_pages(crew.heap, nr, PAGE_SIZE,
					   BSA_TEST_GFP);
		if (ptr) {
			bsa_heap_free_pages(crew.heap, ptr, nr);
			break;
		}
	}
	return nr;
}

/* Nothing is allocated, and no page is lost or out of reach. */
static void expect_whole_heap(struct kunit *test)
{
	struct bsa_stats stats = bsa_test_stats(crew.heap);

	KUNIT_EXPECT_EQ(test, stats.live_objects, 0);
	KUNIT_EXPECT_EQ(test, stats.live_pages, 0);
	KUNIT_EXPECT_EQ(test, stats.allocs, stats.frees);
	KUNIT_EXPECT_EQ(test, largest_block(), crew.largest);
	KUNIT_EXPECT_EQ(test, bsa_test_count_free_pages(test, crew.heap),
			stats.total_pages);
	KUNIT_EXPECT_EQ(test, bsa_heap_nr_free_pages(crew.heap),
			stats.total_pages);
	bsa_test_expect_sums(test, crew.heap);
}

static void *stress_memory(struct kunit *test, size_t size)
{
	return bsa_test_array(test, DIV_ROUND_UP(size, sizeof(void *)));
}

/* Every test has a heap of 2048 pages in two sections, one of them in low memory. */
static int stress_init(struct kunit *test)
{
	void *low;
	int err;

	err = bsa_test_init(test);
	if (err)
		return err;
	low = bsa_test_low_memory(test, 512 * PAGE_SIZE);
	crew.heap = bsa_test_heap(test, 1536 * PAGE_SIZE);
	KUNIT_ASSERT_EQ(test, bsa_heap_add_region(crew.heap, low, 512 * PAGE_SIZE), 0);
	crew.largest = largest_block();
	KUNIT_ASSERT_GT(test, crew.largest, 0);
	return 0;
}

static void stress_exit(struct kunit *test)
{
	unsigned int cpu;

	bsa_contexts_stop();
	for_each_present_cpu(cpu)
		if (!cpu_online(cpu))
			KUNIT_EXPECT_EQ(test, add_cpu(cpu), 0);
	if (!crew.hung)
		bsa_test_exit(test);
}

/*
 * Random operations
 *
 * The model is a set of slots. A slot says which object it stands for, of which
 * size, filled with which numbers. Each worker plays with slots of its own, and
 * exchanges them for shared ones, so that any CPU frees what any other has
 * allocated. Workers grow and shrink what they hold by turns: at the top the
 * heap is exhausted, at the bottom slabs become empty.
 *
 * The seed determines what each worker does, but not how they interleave.
 */

#define NR_SLOTS	3072
#define NR_SHARED	768
#define MAX_SIZE	(4 * PAGE_SIZE)
#define MAX_BULK	16
#define TIDE		4096	/* operations from growing to shrinking */
#define OPS_AT_ONCE	1000000UL

struct slot {
	void *ptr;
	size_t size;
	u64 number;
};

/**
 * struct player - what a worker knows
 * @w: the worker
 * @rnd: its random numbers
 * @ops: operations to do
 * @slot: its slots
 * @nr: how many
 * @shared: slots of all workers
 * @allocs: allocations that succeeded
 * @frees: frees
 * @failures: calls that returned less than they were asked for
 * @refused: frees that were meant to be refused
 */
struct player {
	struct worker *w;
	struct rnd_state rnd;
	unsigned int ops;
	struct slot **slot;
	unsigned int nr;
	struct slot **shared;
	unsigned long allocs;
	unsigned long frees;
	unsigned long failures;
	unsigned long refused;
};

static u32 below(struct player *p, u32 limit)
{
	return prandom_u32_state(&p->rnd) % limit;
}

/* Few calls may wait for other CPUs, since many fail. */
static gfp_t random_gfp(struct player *p)
{
	return (below(p, 64) ? GFP_ATOMIC : GFP_KERNEL) | __GFP_NOWARN;
}

/* All magnitudes alike; powers of two and their neighbours more often. */
static size_t random_size(struct player *p)
{
	size_t size = 1UL << below(p, ilog2(MAX_SIZE) + 1);

	switch (below(p, 8)) {
	case 0:
		return size;
	case 1:
		return size - 1;
	case 2:
		return size + 1;
	default:
		return min_t(size_t, size + below(p, size), MAX_SIZE);
	}
}

static void check_contents(struct player *p, const struct slot *slot)
{
	if (!is_intact(slot->ptr, slot->size, slot->number))
		fail(p->w, "contents have changed", slot->ptr, slot->size);
}

static void refill(struct player *p, struct slot *slot, void *ptr, size_t size)
{
	slot->ptr = ptr;
	slot->size = size;
	slot->number = prandom_u32_state(&p->rnd);
	fill(ptr, size, slot->number);
}

/* What bsa_heap_size() has to say of a new object. */
static size_t expected_size(size_t size, size_t align)
{
	size_t power;

	/* With debug=, or KASAN, all but what was asked for is red zone. */
	if (!size || crew.heap->debug || IS_ENABLED(CONFIG_KASAN_GENERIC))
		return size;
	if (max(size, align) > BSA_MAX_OBJECT)
		return size;
	size = round_up(size, align);
	power = roundup_pow_of_two(max_t(size_t, size, 8));
	if (power >= 512 && size <= power / 4 * 3)
		return power / 4 * 3;
	return power;
}

/* Put a new object into an empty slot. */
static void accept(struct player *p, struct slot *slot, void *ptr, size_t size,
		   size_t align)
{
	if (size)
		p->allocs++;
	else if (ptr != ZERO_SIZE_PTR)
		fail(p->w, "size 0 is not ZERO_SIZE_PTR", ptr, size);
	if (is_power_of_2(size))
		align = max(size, align);
	if (size && !bsa_test_is_aligned(ptr, align))
		fail(p->w, "alignment", ptr, size);
	refill(p, slot, ptr, size);
}

/*
 * What fits into a page must not fail while many pages are free. Others may
 * have had them in the meantime, but not several times in a row.
 */
static void check_failure(struct player *p, size_t size)
{
	unsigned int tries;
	void *ptr;

	p->failures++;
	if (size > BSA_MAX_OBJECT)
		return;
	for (tries = 0; tries < 3; tries++) {
		if (bsa_heap_nr_free_pages(crew.heap) <
		    bsa_heap_nr_pages(crew.heap) / 4)
			return;
		ptr = bsa_heap_alloc(crew.heap, size, BSA_TEST_GFP);
		if (ptr) {
			bsa_heap_free(crew.heap, ptr);
			p->allocs++;
			p->frees++;
			return;
		}
		p->failures++;
	}
	fail(p->w, "allocation failed with a quarter of the heap free", NULL,
	     size);
}

static void allocate(struct player *p, struct slot *slot)
{
	size_t size = random_size(p), want, align = 1, nr;
	gfp_t gfp = random_gfp(p);
	bool zero = false;
	void *ptr;

	want = size;
	switch (below(p, 10)) {
	case 0:
	case 1:
		align = 1UL << below(p, ilog2(MAX_SIZE) + 1);
		want = max(size, align);
		ptr = bsa_heap_alloc_aligned(crew.heap, size, align, gfp);
		break;
	case 2:
		zero = true;
		ptr = bsa_heap_alloc(crew.heap, size, gfp | __GFP_ZERO);
		break;
	case 3:
		zero = true;
		nr = 1 + below(p, 8);
		size = nr * (size / nr);
		ptr = bsa_heap_calloc(crew.heap, nr, size / nr, gfp);
		break;
	case 4:
		nr = 1 + below(p, 4);
		align = PAGE_SIZE << below(p, 3);
		size = nr * PAGE_SIZE;
		want = MAX_SIZE;
		ptr = bsa_heap_alloc_pages(crew.heap, nr, align, gfp);
		break;
	case 5:
		align = PAGE_SIZE;
		size = PAGE_SIZE;
		want = MAX_SIZE;
		ptr = bsa_heap_alloc_pages_lowmem(crew.heap, 1, align, gfp);
		if (ptr && virt_to_phys(ptr) >= SZ_4G)
			fail(p->w, "not in low memory", ptr, size);
		break;
	default:
		ptr = bsa_heap_alloc(crew.heap, size, gfp);
		break;
	}
	if (!ptr) {
		check_failure(p, want);
		return;
	}
	if (__bsa_heap_size(crew.heap, ptr) != expected_size(size, align))
		fail(p->w, "bsa_heap_size()", ptr, size);
	if (zero && size && memchr_inv(ptr, 0, size))
		fail(p->w, "not zero", ptr, size);
	accept(p, slot, ptr, size, align);
}

static void release(struct player *p, struct slot *slot)
{
	check_contents(p, slot);
	if (slot->size >= PAGE_SIZE && below(p, 2))
		bsa_heap_free_pages(crew.heap, slot->ptr,
				    DIV_ROUND_UP(slot->size, PAGE_SIZE));
	else
		bsa_heap_free(crew.heap, slot->ptr);
	if (slot->size)
		p->frees++;
	slot->ptr = NULL;
}

static void resize(struct player *p, struct slot *slot)
{
	size_t size = random_size(p);
	void *ptr;

	check_contents(p, slot);
	ptr = bsa_heap_realloc(crew.heap, slot->ptr, size, random_gfp(p));
	if (!ptr) {
		check_failure(p, size);
		return;
	}
	if (!is_intact(ptr, min(size, slot->size), slot->number))
		fail(p->w, "contents are lost", ptr, size);
	if (ptr != slot->ptr) {
		p->allocs += !!size;
		p->frees += !!slot->size;
	}
	refill(p, slot, ptr, size);
}

static void exchange(struct player *p, unsigned int i)
{
	p->slot[i] = xchg(&p->shared[below(p, NR_SHARED)], p->slot[i]);
}

/* Up to MAX_BULK slots that hold something, or that do not, from @i on. */
static unsigned int find_slots(struct player *p, unsigned int i, bool live,
			       struct slot **found)
{
	unsigned int nr = 0;

	for (; i < p->nr && nr < MAX_BULK; i++)
		if (!!p->slot[i]->ptr == live)
			found[nr++] = p->slot[i];
	return nr;
}

static void allocate_bulk(struct player *p, unsigned int i)
{
	struct slot *empty[MAX_BULK];
	size_t size = random_size(p);
	unsigned int nr, got;
	void *ptr[MAX_BULK];

	nr = find_slots(p, i, false, empty);
	got = bsa_heap_alloc_bulk(crew.heap, size, random_gfp(p), nr, ptr);
	if (got < nr)
		check_failure(p, size);
	while (got--)
		accept(p, empty[got], ptr[got], size, 1);
}

static void release_bulk(struct player *p, unsigned int i)
{
	struct slot *live[MAX_BULK];
	void *ptr[MAX_BULK];
	unsigned int nr, k;

	nr = find_slots(p, i, true, live);
	for (k = 0; k < nr; k++) {
		check_contents(p, live[k]);
		ptr[k] = live[k]->ptr;
		p->frees += !!live[k]->size;
		live[k]->ptr = NULL;
	}
	bsa_heap_free_bulk(crew.heap, nr, ptr);
}

/*
 * Free an object twice. Nobody can allocate it in between: this CPU does not,
 * and a slab that has another live object is not given to others.
 */
static void free_twice(struct player *p)
{
	size_t size = 1UL << below(p, ilog2(BSA_MAX_OBJECT));
	void *ptr[2] = {};
	unsigned int nr;

	preempt_disable();
	nr = bsa_heap_alloc_bulk(crew.heap, size, GFP_ATOMIC | __GFP_NOWARN,
				 2, ptr);
	p->failures += nr < 2;
	p->allocs += nr;
	p->frees += nr;
	bsa_heap_free(crew.heap, ptr[0]);
	if (nr == 2 && ((ulong)ptr[0] ^ (ulong)ptr[1]) < PAGE_SIZE) {
		bsa_heap_free(crew.heap, ptr[0]);
		p->refused++;
	}
	bsa_heap_free(crew.heap, ptr[1]);
	preempt_enable();
}

/* Frees of what is not an object, all around one that is. */
static void misuse(struct player *p, struct slot *slot)
{
	size_t usable = max_t(size_t, bsa_heap_size(crew.heap, slot->ptr), 8);

	if (!slot->size) {
		free_twice(p);
		return;
	}
	p->refused++;
	switch (below(p, 4)) {
	case 0:
		bsa_heap_free(crew.heap, slot->ptr + 1 + below(p, usable - 1));
		break;
	case 1:
		bsa_heap_free_pages(crew.heap,
				    slot->ptr + 1 + below(p, usable - 1), 1);
		break;
	case 2:
		bsa_heap_free(crew.heap, slot);
		break;
	default:
		bsa_free(slot->ptr);
		break;
	}
	check_contents(p, slot);
}

static void play(struct worker *w)
{
	struct player *p = (struct player *)crew.data + w->index;
	unsigned int done;

	p->w = w;
	for (done = 0; done < p->ops && !stopped(); done++) {
		unsigned int i = below(p, p->nr), dice = below(p, 100);
		bool shrink = done / TIDE % 2;
		struct slot *slot;

		if (dice % 2)
			exchange(p, i);
		slot = p->slot[i];
		if (dice < 2)
			allocate_bulk(p, i);
		else if (dice < 3)
			release_bulk(p, i);
		else if (!slot->ptr && (!shrink || dice < 25))
			allocate(p, slot);
		else if (!slot->ptr && !below(p, 50))
			free_twice(p);
		else if (!slot->ptr)
			exchange(p, i);
		else if (dice < 15)
			resize(p, slot);
		else if (dice < 45 || (shrink && dice < 80))
			release(p, slot);
		else if (dice < 80)
			check_contents(p, slot);
		else if (!below(p, 20))
			misuse(p, slot);
		else
			exchange(p, i);
	}
}

/* The counters of the heap are those of the players. */
static void expect_counters(struct kunit *test, const struct player *sum)
{
	struct bsa_stats stats = bsa_test_stats(crew.heap);

	KUNIT_EXPECT_EQ(test, stats.allocs, sum->allocs);
	KUNIT_EXPECT_EQ(test, stats.frees, sum->frees);
	KUNIT_EXPECT_EQ(test, stats.failures, sum->failures);
	KUNIT_EXPECT_EQ(test, stats.refused_frees +
			bsa_test_stats(NULL).refused_frees, sum->refused);
}

/* What the heap counts as live is in the slots. */
static void expect_live(struct kunit *test, const struct slot *slots)
{
	struct bsa_stats stats = bsa_test_stats(crew.heap);
	unsigned long objects = 0, pages = 0;
	struct bsa_page *page;
	unsigned int i;

	for (i = 0; i < NR_SLOTS; i++) {
		if (!bsa_heap_size(crew.heap, slots[i].ptr))
			continue;
		page = bsa_page_of(slots[i].ptr);
		if (bsa_page_is_slab(page))
			objects++;
		else
			pages += 1UL << page->order;
	}
	KUNIT_EXPECT_EQ(test, stats.live_objects, objects);
	KUNIT_EXPECT_EQ(test, stats.live_pages, pages);
	bsa_test_expect_sums(test, crew.heap);
}

static void random_operations_agree_with_a_model(struct kunit *test)
{
	struct bsa_stats before = bsa_test_stats(crew.heap), after;
	unsigned long number = parameter("seed", seed) ?: get_random_long();
	unsigned long total = parameter("ops", ops), left, end;
	unsigned int nr = num_online_cpus(), i;
	struct player *players, sum = {
		.allocs = before.allocs,
		.frees = before.frees,
		.failures = before.failures,
		.refused = before.refused_frees +
			   bsa_test_stats(NULL).refused_frees,
	};
	struct slot **deal, *slots;

	if (crew.heap->debug)
		total /= 20;
	kunit_info(test, "seed=%lu ops=%lu, on %u CPUs\n", number, total, nr);
	players = stress_memory(test, nr * sizeof(*players));
	slots = stress_memory(test, NR_SLOTS * sizeof(*slots));
	deal = stress_memory(test, NR_SLOTS * sizeof(*deal));
	for (i = 0; i < NR_SLOTS; i++)
		deal[i] = &slots[i];
	for (i = 0; i < nr; i++) {
		struct player *p = &players[i];

		prandom_seed_state(&p->rnd, number + i * GOLDEN_RATIO_64);
		p->nr = (NR_SLOTS - NR_SHARED) / nr;
		p->slot = deal + NR_SHARED + i * p->nr;
		p->shared = deal;
	}
	crew.data = players;
	/* KUnit ends a test that takes 300 seconds, as on a busy machine. */
	end = jiffies + 150 * HZ;
	for (left = total; left && time_before(jiffies, end);
	     left -= min(left, OPS_AT_ONCE)) {
		for (i = 0; i < nr; i++)
			players[i].ops = min(left, OPS_AT_ONCE) / nr;
		run_workers(test, play);
	}

	for (i = 0; i < nr; i++) {
		sum.allocs += players[i].allocs;
		sum.frees += players[i].frees;
		sum.failures += players[i].failures;
		sum.refused += players[i].refused;
	}
	after = bsa_test_stats(crew.heap);
	kunit_info(test, "%lu operations left, %lu allocations, %lu freed on another CPU, %lu failed, %lu frees refused\n",
		   left, sum.allocs - before.allocs, after.remote_frees,
		   sum.failures - before.failures,
		   after.refused_frees - before.refused_frees);
	expect_counters(test, &sum);
	expect_live(test, slots);

	/* Everything goes, on a single CPU, whoever has allocated it. */
	for (i = 0; i < NR_SLOTS; i++)
		if (slots[i].ptr)
			release(&players[0], &slots[i]);
	KUNIT_EXPECT_FALSE(test, crew.stop);
	expect_whole_heap(test);
	KUNIT_EXPECT_EQ(test, bsa_test_destroy_heap(test, crew.heap), 0);
}

/*
 * A ring from one CPU to another
 */

#define RING_SIZE	256
#define RING_OBJECTS	100000
#define RING_BYTES	min_t(size_t, PAGE_SIZE / 16, BSA_MAX_OBJECT)

struct ring {
	void *object[RING_SIZE];
	unsigned int head;
	unsigned int tail;
	size_t most;
};

static void produce(struct worker *w, struct ring *ring)
{
	unsigned int head;
	void *ptr;

	for (head = 0; head < RING_OBJECTS; head++) {
		/* Pairs with consume(). */
		while (head - smp_load_acquire(&ring->tail) == RING_SIZE)
			if (stopped())
				return;
		ptr = bsa_heap_alloc(crew.heap, RING_BYTES, GFP_ATOMIC);
		if (!ptr) {
			fail(w, "objects do not come back", NULL, RING_BYTES);
			return;
		}
		fill(ptr, RING_BYTES, head);
		ring->object[head % RING_SIZE] = ptr;
		/* Pairs with consume(). */
		smp_store_release(&ring->head, head + 1);
		if (head % 64 == 0)
			ring->most = max(ring->most,
					 bsa_heap_allocated_bytes(crew.heap));
	}
}

static void consume(struct worker *w, struct ring *ring)
{
	unsigned int tail;
	void *ptr;

	for (tail = 0; tail < RING_OBJECTS; tail++) {
		/* Pairs with produce(). */
		while (smp_load_acquire(&ring->head) == tail)
			if (stopped())
				return;
		ptr = ring->object[tail % RING_SIZE];
		if (!is_intact(ptr, RING_BYTES, tail))
			fail(w, "contents have changed", ptr, RING_BYTES);
		bsa_heap_free(crew.heap, ptr);
		/* Pairs with produce(). */
		smp_store_release(&ring->tail, tail + 1);
	}
}

static void pass_objects_on(struct worker *w)
{
	if (w->index == 0)
		produce(w, crew.data);
	else if (w->index == 1)
		consume(w, crew.data);
}

/* One CPU only allocates, another only frees: more than the heap has. */
static void objects_freed_elsewhere_come_back_to_their_owner(struct kunit *test)
{
	struct ring *ring = stress_memory(test, sizeof(*ring));
	struct bsa_stats stats;

	bsa_test_needs_cpus(test, 2);
	crew.data = ring;
	run_workers(test, pass_objects_on);

	/* What is in the ring, and as much again in slabs not drained yet. */
	if (!crew.heap->debug)
		KUNIT_EXPECT_LE(test, ring->most, 4 * RING_SIZE * RING_BYTES);
	stats = bsa_test_stats(crew.heap);
	KUNIT_EXPECT_EQ(test, stats.remote_frees, RING_OBJECTS);
	KUNIT_EXPECT_GT(test, stats.drains, 0);
	expect_whole_heap(test);
}

/*
 * All memory, by all CPUs at once
 */

/* What a worker holds is a chain through the first bytes of each object. */
static bool allocate_link(struct worker *w, size_t size)
{
	void **ptr = bsa_heap_alloc(crew.heap, size, BSA_TEST_GFP);

	if (!ptr)
		return false;
	mark(ptr + 1, size - sizeof(*ptr));
	*ptr = w->chain;
	w->chain = ptr;
	return true;
}

/* Some small objects, then the largest there are, down to 64 bytes. */
static void allocate_all(struct worker *w)
{
	unsigned int i;
	size_t size;

	w->chain = NULL;
	for (i = 0; i < 3000 && allocate_link(w, 8UL << i % 3); i++)
		;
	for (size = BSA_MAX_OBJECT >> w->index % 3; size >= 64; size /= 2)
		while (!stopped() && allocate_link(w, size))
			;
}

static void free_all_of_next(struct worker *w)
{
	void **ptr, **next;
	size_t size;

	for (ptr = w->next->chain; ptr && !stopped(); ptr = next) {
		next = *ptr;
		size = bsa_heap_size(crew.heap, ptr) - sizeof(*ptr);
		if (!is_intact(ptr + 1, size, (unsigned long)(ptr + 1)))
			fail(w, "contents have changed", ptr, size);
		bsa_heap_free(crew.heap, ptr);
	}
}

/* The heap is full, then each CPU frees what its neighbour has; twice. */
static void exhausted_heap_recovers_to_the_page(struct kunit *test)
{
	struct bsa_stats stats;
	int round;

	for (round = 0; round < 2; round++) {
		run_workers(test, allocate_all);
		stats = bsa_test_stats(crew.heap);
		KUNIT_EXPECT_EQ(test, stats.free_pages, 0);
		/* With debug=, the largest objects are blocks of pages. */
		if (!crew.heap->debug)
			KUNIT_EXPECT_EQ(test, stats.allocs - stats.frees,
					stats.live_objects);

		run_workers(test, free_all_of_next);
		expect_whole_heap(test);
	}
}

/*
 * Flushes
 */

#define FLUSHES		100
#define FLUSH_BYTES	(PAGE_SIZE / 64)

/**
 * struct crowd - workers that fill a heap
 * @object: their objects
 * @nr: how many each has, at most
 * @done: the first worker has had enough
 */
struct crowd {
	void **object;
	size_t nr;
	bool done;
};

static void fill_crowd(struct worker *w)
{
	struct crowd *crowd = crew.data;
	void **object = crowd->object + w->index * crowd->nr;
	size_t i;

	for (i = 0; i < crowd->nr && !stopped(); i++)
		object[i] = alloc_marked(w, FLUSH_BYTES, GFP_KERNEL);
}

/* The first worker finds nothing, and interrupts the others for it. */
static void flush_crowd(struct worker *w, struct crowd *crowd)
{
	unsigned int i;

	for (i = 0; i < FLUSHES && !stopped(); i++)
		allocate_link(w, FLUSH_BYTES);
	WRITE_ONCE(crowd->done, true);
}

static void turn_over_crowd(struct worker *w)
{
	struct crowd *crowd = crew.data;
	void **object = crowd->object + w->index * crowd->nr;
	struct rnd_state rnd;
	size_t i;

	w->chain = NULL;
	if (w->index == 0)
		flush_crowd(w, crowd);
	prandom_seed_state(&rnd, w->index);
	while (!READ_ONCE(crowd->done) && !stopped()) {
		i = prandom_u32_state(&rnd) % crowd->nr;
		if (object[i])
			free_marked(w, object[i], FLUSH_BYTES);
		object[i] = bsa_heap_alloc(crew.heap, FLUSH_BYTES,
					   GFP_ATOMIC | __GFP_NOWARN);
		if (object[i])
			mark(object[i], FLUSH_BYTES);
	}
	for (i = 0; i < crowd->nr && !READ_ONCE(crew.stop); i++)
		if (object[i])
			free_marked(w, object[i], FLUSH_BYTES);
}

/*
 * All CPUs free and allocate in a full heap, and one of them interrupts the
 * others again and again for what they have.
 */
static void flushes_interrupt_frees(struct kunit *test)
{
	struct crowd *crowd = stress_memory(test, sizeof(*crowd));
	unsigned int nr = num_online_cpus();

	crowd->nr = bsa_heap_managed_bytes(crew.heap) / FLUSH_BYTES / nr;
	crowd->object = bsa_test_array(test, crowd->nr * nr);
	crew.data = crowd;
	run_workers(test, fill_crowd);
	run_workers(test, turn_over_crowd);
	run_workers(test, free_all_of_next);
	expect_whole_heap(test);
}

/*
 * Blocks that are kept
 */

#define KEPT_BLOCKS	32
#define KEPT_OPS	50000
#define KEPT_FLUSH	500

static void *replace_block(struct worker *w, void *block, size_t size)
{
	if (block) {
		free_marked(w, block, size);
		return NULL;
	}
	block = bsa_heap_alloc(crew.heap, size, GFP_ATOMIC | __GFP_NOWARN);
	if (block)
		mark(block, size);
	return block;
}

/*
 * Blocks of all orders that are kept, and of one that is not, come and go. Now
 * and then the largest block of all is asked for, and each CPU that does not get
 * it takes what the others keep.
 */
static void keep_and_flush(struct worker *w)
{
	void *block[KEPT_BLOCKS] = {};
	struct rnd_state rnd;
	unsigned int i, k;
	void *most;

	prandom_seed_state(&rnd, w->index);
	for (i = 0; i < KEPT_OPS && !stopped(); i++) {
		k = prandom_u32_state(&rnd) % KEPT_BLOCKS;
		block[k] = replace_block(w, block[k], PAGE_SIZE << k % 6);
		if (i % KEPT_FLUSH)
			continue;
		most = bsa_heap_alloc_pages(crew.heap, crew.largest, PAGE_SIZE,
					    GFP_ATOMIC | __GFP_NOWARN);
		bsa_heap_free_pages(crew.heap, most, crew.largest);
	}
	for (k = 0; k < KEPT_BLOCKS; k++)
		if (block[k])
			free_marked(w, block[k], PAGE_SIZE << k % 6);
}

static void blocks_kept_for_cpus_are_taken_by_others(struct kunit *test)
{
	bsa_test_needs_cpus(test, 2);
	run_workers(test, keep_and_flush);
	KUNIT_EXPECT_GT(test, bsa_test_stats(crew.heap).failures, 0);
	expect_whole_heap(test);
}

/*
 * Interruptions
 *
 * Each worker has some objects, and whatever interrupts it exchanges them for
 * others: it allocates one, takes the worker's away, and frees that. Objects are
 * of the same classes as those that the worker is allocating at that moment.
 * Nobody touches what belongs to another CPU.
 */

#define NEST_OBJECTS	64
#define NEST_KNOWN	256	/* bytes of each object that are filled */
#define NEST_TIME	(HZ / 4)
#define NEST_TIME_MAX	(20 * HZ)
#define NEST_BUSY	8
#define NEST_WALKS	2

/**
 * struct nest - what a worker and its interruptions exchange
 * @w: the worker
 * @object: objects, or NULL
 * @enough: the worker need not be interrupted any more
 * @rnd: for each context, which object is next
 * @times: for each context, how often it came
 * @busy: how often it found that it had interrupted the fast path
 * @failures: how often it did not get anything, which only an NMI may
 * @deferred: how often a free of pages was left for later
 */
struct nest {
	struct worker *w;
	void *object[NEST_OBJECTS];
	bool enough;
	unsigned int rnd[BSA_NR_CONTEXTS];
	unsigned int times[BSA_NR_CONTEXTS];
	unsigned int busy[BSA_NR_CONTEXTS];
	unsigned int failures[BSA_NR_CONTEXTS];
	unsigned int deferred[BSA_NR_CONTEXTS];
};

static DEFINE_PER_CPU(struct nest, nests);

/*
 * Objects in slabs of many and of few, which are full at times, blocks that are
 * kept for the CPU, and some that are too large.
 */
static size_t nest_size(unsigned int i)
{
	static const size_t sizes[] = {
		64, 64, 64, 2048, 64, 2048, 8, 2048,
		2048, 64, 64, 1024, PAGE_SIZE, 2048, 2048, 32 * PAGE_SIZE
	};

	return sizes[i % ARRAY_SIZE(sizes)];
}

/* What somebody holds is marked; so nobody gets it a second time. */
static u64 nest_mark(const void *ptr)
{
	return (unsigned long)ptr ^ (unsigned long)crew.data;
}

static void nest_take(struct worker *w, u64 *ptr, size_t size)
{
	if (READ_ONCE(*ptr) == nest_mark(ptr))
		fail(w, "handed out twice", ptr, size);
	fill(ptr, min_t(size_t, size, NEST_KNOWN), nest_mark(ptr));
	WRITE_ONCE(*ptr, nest_mark(ptr));
}

static void nest_give(struct worker *w, u64 *ptr, size_t size)
{
	u64 mark = nest_mark(ptr);

	if (*ptr != mark)
		fail(w, "not what it was", ptr, size);
	*ptr = mark * GOLDEN_RATIO_64;
	if (!is_intact(ptr, min_t(size_t, size, NEST_KNOWN), mark))
		fail(w, "contents have changed", ptr, size);
	*ptr = 0;
}

static bool nest_exchange(struct nest *nest, unsigned int i)
{
	size_t size = nest_size(i);
	void *ptr, *old;

	ptr = bsa_heap_alloc(crew.heap, size, GFP_ATOMIC | __GFP_NOWARN);
	if (ptr)
		nest_take(nest->w, ptr, size);
	else if (!in_nmi())
		fail(nest->w, "allocation failed", NULL, size);
	old = xchg(&nest->object[i], ptr);
	if (old) {
		nest_give(nest->w, old, size);
		bsa_heap_free(crew.heap, old);
	}
	return ptr;
}

static bool in_context(enum bsa_context context)
{
	switch (context) {
	case BSA_SOFTIRQ:
		return in_serving_softirq();
	case BSA_NMI:
	case BSA_STEP:
		return in_nmi();
	default:
		return in_hardirq();
	}
}

static void interrupt_nest(enum bsa_context context)
{
	struct bsa_cpu *c = this_cpu_ptr(crew.heap->cpu);
	struct nest *nest = this_cpu_ptr(&nests);
	struct bsa_buddy *buddy = &crew.heap->buddy;

	if (!in_context(context)) {
		/* A CPU that wakes up has its calls made by the idle thread. */
		if (context != BSA_IPI)
			fail(nest->w, "in another context", NULL, context);
		return;
	}
	nest->busy[context] += !(READ_ONCE(c->slabs.mark) & 1);
	nest->rnd[context] = nest->rnd[context] * 1664525 + 1013904223;
	nest->failures[context] +=
		!nest_exchange(nest, (nest->rnd[context] >> 16) % NEST_OBJECTS);
	nest->deferred[context] += !llist_empty(&buddy->deferred);
	WRITE_ONCE(nest->times[context], nest->times[context] + 1);
}

static void empty_nest(struct nest *nest)
{
	void *ptr;
	int i;

	for (i = 0; i < NEST_OBJECTS; i++) {
		ptr = xchg(&nest->object[i], NULL);
		if (ptr) {
			nest_give(nest->w, ptr, nest_size(i));
			bsa_heap_free(crew.heap, ptr);
		}
	}
}

static unsigned long start_nests(struct kunit *test, unsigned long needed)
{
	unsigned int cpu;

	crew.data = (void *)get_random_long();
	for_each_possible_cpu(cpu) {
		memset(per_cpu_ptr(&nests, cpu), 0, sizeof(struct nest));
		per_cpu(nests, cpu).w = per_cpu_ptr(&workers, cpu);
	}
	return bsa_test_start_contexts(test, interrupt_nest, needed);
}

/* The kinds of interruptions that workers send to each other, a bit for each. */
static unsigned long nest_contexts;

/* On PREEMPT_RT, softirqs run in a thread, which waits for the fast path to end. */
static bool never_nests(enum bsa_context context)
{
	return IS_ENABLED(CONFIG_PREEMPT_RT) && context == BSA_SOFTIRQ;
}

/* By each kind, in the fast path. */
static bool interrupted_enough(const struct nest *nest, unsigned long start)
{
	unsigned int context;

	if (time_before(jiffies, start + NEST_TIME))
		return false;
	for_each_set_bit(context, &nest_contexts, BSA_NR_CONTEXTS)
		if (READ_ONCE(nest->busy[context]) < NEST_BUSY &&
		    !never_nests(context))
			return time_after(jiffies, start + NEST_TIME_MAX);
	return true;
}

/* Interrupts itself and the next CPU, until both have had enough. */
static void work_in_nest(struct worker *w)
{
	struct nest *next = per_cpu_ptr(&nests, w->next->cpu);
	struct nest *nest = per_cpu_ptr(&nests, w->cpu);
	unsigned long start = jiffies;
	unsigned int context, i, k;

	for (i = 0; !(nest->enough && READ_ONCE(next->enough)) && !stopped();
	     i++) {
		for_each_set_bit(context, &nest_contexts, BSA_NR_CONTEXTS) {
			bsa_interrupt(w->next->cpu, context);
			if (context != BSA_IPI)
				bsa_interrupt(w->cpu, context);
		}
		for (k = 0; k < 16; k++)
			nest_exchange(nest, k % 3);
		nest_exchange(nest, i % NEST_OBJECTS);
		if (interrupted_enough(nest, start))
			WRITE_ONCE(nest->enough, true);
	}
}

/*
 * Workers are interrupted in these contexts. Nothing may be lost, or handed out
 * twice, and each context has to have hit the fast path.
 */
static void nest_in(struct kunit *test, unsigned long contexts)
{
	struct bsa_stats before = bsa_test_stats(crew.heap), after;
	unsigned int cpu, context;
	struct nest *nest;

	/* Of several, those that the machine has. */
	contexts &= start_nests(test, is_power_of_2(contexts) ? contexts : 0);
	nest_contexts = contexts;
	run_workers(test, work_in_nest);
	bsa_contexts_stop();

	for_each_set_bit(context, &contexts, BSA_NR_CONTEXTS) {
		struct nest sum = {};

		for_each_online_cpu(cpu) {
			nest = per_cpu_ptr(&nests, cpu);
			sum.times[0] += nest->times[context];
			sum.busy[0] += nest->busy[context];
			sum.failures[0] += nest->failures[context];
			sum.deferred[0] += nest->deferred[context];
		}
		kunit_info(test, "context %u: %u times, %u of them in the fast path, %u without memory, %u frees deferred\n",
			   context, sum.times[0], sum.busy[0], sum.failures[0],
			   sum.deferred[0]);
		KUNIT_EXPECT_GT(test, sum.times[0], 0U);
		if (!never_nests(context))
			KUNIT_EXPECT_GT(test, sum.busy[0], 0U);
	}
	for_each_online_cpu(cpu)
		empty_nest(per_cpu_ptr(&nests, cpu));
	KUNIT_EXPECT_FALSE(test, crew.stop);
	after = bsa_test_stats(crew.heap);
	KUNIT_EXPECT_EQ(test, after.refused_frees, before.refused_frees);
	expect_whole_heap(test);
}

static void hard_timers_nest_in_the_fast_path(struct kunit *test)
{
	nest_in(test, BIT(BSA_HARD_TIMER));
}

static void softirqs_nest_in_the_fast_path(struct kunit *test)
{
	nest_in(test, BIT(BSA_SOFTIRQ));
}

static void irq_works_nest_in_the_fast_path(struct kunit *test)
{
	nest_in(test, BIT(BSA_IRQ_WORK));
}

static void ipis_nest_in_the_fast_path(struct kunit *test)
{
	bsa_test_needs_cpus(test, 2);
	nest_in(test, BIT(BSA_IPI));
}

static void nmis_nest_in_the_fast_path(struct kunit *test)
{
	nest_in(test, BIT(BSA_NMI));
}

static void all_contexts_nest_in_each_other(struct kunit *test)
{
	bsa_test_needs_cpus(test, 2);
	nest_in(test, BIT(BSA_NMI + 1) - 1);
}

#define NMI_BLOCKS	12
#define NMI_PAGES	64

/* One of them twice, and what is no block. */
static void free_blocks_in_nmi(enum bsa_context context)
{
	void **blocks = crew.data;
	unsigned int i;

	for (i = 0; i < NMI_BLOCKS; i++)
		bsa_heap_free_pages(crew.heap, blocks[i], NMI_PAGES);
	bsa_heap_free_pages(crew.heap, blocks[0], NMI_PAGES);
	bsa_heap_free_pages(crew.heap, blocks[1] + PAGE_SIZE, 1);
	blocks[NMI_BLOCKS] =
		bsa_heap_alloc_pages(crew.heap, NMI_PAGES, 1,
				     GFP_ATOMIC | __GFP_NOWARN);
}

/*
 * An NMI frees pages while the CPU that it has interrupted holds the lock. They
 * are free at once, for those who count and for those who want a large block.
 */
static void pages_freed_in_nmi_are_free(struct kunit *test)
{
	struct bsa_buddy *buddy = &crew.heap->buddy;
	void **blocks = stress_memory(test, (NMI_BLOCKS + 1) * sizeof(void *));
	unsigned long flags, total = bsa_heap_nr_pages(crew.heap);
	unsigned int round, i;
	void *largest;
	bool deferred;

	crew.data = blocks;
	bsa_test_start_contexts(test, free_blocks_in_nmi, BIT(BSA_NMI));
	for (round = 0; round < 2; round++) {
		for (i = 0; i < NMI_BLOCKS; i++) {
			blocks[i] = bsa_heap_alloc_pages(crew.heap, NMI_PAGES,
							 1, BSA_TEST_GFP);
			KUNIT_ASSERT_NOT_NULL(test, blocks[i]);
		}
		if (!bsa_lock(&buddy->lock, flags))
			return;
		bsa_nmi_here();
		/* Somebody who counts may wait for the lock, to free them. */
		deferred = !llist_empty(&buddy->deferred);
		bsa_unlock(&buddy->lock, flags);
		KUNIT_EXPECT_TRUE(test, deferred);
		KUNIT_EXPECT_NULL(test, blocks[NMI_BLOCKS]);
		/* It is free already, also before it is where it belongs. */
		bsa_heap_free_pages(crew.heap, blocks[2], NMI_PAGES);
		if (round)
			KUNIT_EXPECT_EQ(test, bsa_heap_nr_free_pages(crew.heap),
					total);
		largest = bsa_heap_alloc_pages(crew.heap, crew.largest, 1,
					       GFP_ATOMIC);
		KUNIT_EXPECT_NOT_NULL(test, largest);
		bsa_heap_free_pages(crew.heap, largest, crew.largest);
		KUNIT_EXPECT_EQ(test, bsa_test_stats(crew.heap).refused_frees,
				3 * (round + 1));
		expect_whole_heap(test);
	}
}

static void free_object_in_nmi(enum bsa_context context)
{
	bsa_heap_free(crew.heap, *(void **)crew.data);
}

/* An NMI frees an object while this CPU is in the middle of moving slabs. */
static void free_under_lock(struct bsa_cpu *c, void **object)
{
	unsigned long flags;

	crew.data = object;
	if (!bsa_lock(&c->slabs.lock, flags))
		return;
	bsa_nmi_here();
	bsa_unlock(&c->slabs.lock, flags);
}

/*
 * The first free of a full slab, and that of the last object that lives: the slab
 * belongs on another list then. It gets there later.
 */
static void objects_freed_in_nmi_wait_for_no_lock(struct kunit *test)
{
	struct bsa_cpu *c = per_cpu_ptr(crew.heap->cpu, 0);
	struct bsa_stats stats, before = bsa_test_stats(crew.heap);
	unsigned int round, i, nr, local = 0;
	void **objs = bsa_test_array(test, BSA_MAX_OBJECTS + 1);

	bsa_test_start_contexts(test, free_object_in_nmi, BIT(BSA_NMI));
	for (round = 0; round < 2; round++) {
		/* A full slab, and an object in the next one. */
		nr = 0;
		do {
			objs[nr] = bsa_heap_alloc(crew.heap, 768,
						  BSA_TEST_GFP);
			KUNIT_ASSERT_NOT_NULL(test, objs[nr]);
		} while (bsa_page_of(objs[nr++]) == bsa_page_of(objs[0]));

		for (i = 1; round && i < nr - 1; i++, local++)
			bsa_heap_free(crew.heap, objs[i]);
		free_under_lock(c, &objs[0]);
		stats = bsa_test_stats(crew.heap);
		KUNIT_EXPECT_EQ(test, stats.frees - before.frees,
				round + 1 + local);
		KUNIT_EXPECT_EQ(test, stats.live_objects, round ? 1 : nr - 1);
		for (i = round ? nr - 1 : 1; i < nr; i++, local++)
			bsa_heap_free(crew.heap, objs[i]);
	}
	KUNIT_EXPECT_EQ(test, bsa_test_stats(crew.heap).refused_frees, 0);
	expect_whole_heap(test);
}

/* With debug=, each call takes many times as many steps. */
static unsigned int nr_walked(void)
{
	return crew.heap->debug ? NEST_OBJECTS / 4 : NEST_OBJECTS;
}

/* What the worker has, it gets and gives back step by step. */
static void walk_objects(struct nest *nest, void **objs)
{
	unsigned int i;

	for (i = 0; i < nr_walked(); i++) {
		bsa_step_begin();
		objs[i] = bsa_heap_alloc(crew.heap, nest_size(i),
					 GFP_ATOMIC);
		bsa_step_end();
		if (objs[i])
			nest_take(nest->w, objs[i], nest_size(i));
		else
			fail(nest->w, "allocation failed", NULL, nest_size(i));
		objs[i] = xchg(&nest->object[i], objs[i]);
	}
	for (i = 0; i < nr_walked(); i++) {
		if (!objs[i])
			continue;
		nest_give(nest->w, objs[i], nest_size(i));
		bsa_step_begin();
		bsa_heap_free(crew.heap, objs[i]);
		bsa_step_end();
	}
}

/* Many in one call, and more pages than are kept. */
static void walk_bulks(void **objs)
{
	unsigned int i;
	size_t nr;

	bsa_step_begin();
	nr = bsa_heap_alloc_bulk(crew.heap, 64, GFP_ATOMIC, nr_walked(), objs);
	bsa_heap_free_bulk(crew.heap, nr, objs);
	bsa_step_end();
	for (i = 0; i < nr_walked(); i++)
		objs[i] = bsa_heap_alloc_pages_lowmem(crew.heap, 1,
						      4 * PAGE_SIZE, GFP_ATOMIC);
	bsa_step_begin();
	bsa_heap_free_bulk(crew.heap, nr_walked(), objs);
	bsa_step_end();
}

/* For what there is not, memory is looked for everywhere. */
static void walk_reclaim(struct nest *nest)
{
	unsigned long nr = bsa_heap_nr_pages(crew.heap);
	void *ptr;

	bsa_step_begin();
	ptr = bsa_heap_alloc_pages(crew.heap, nr, 1,
				   GFP_ATOMIC | __GFP_NOWARN);
	bsa_step_end();
	if (ptr)
		fail(nest->w, "more pages than there are", ptr, 0);
}

static void walk_all_paths(struct worker *w)
{
	struct nest *nest = per_cpu_ptr(&nests, w->cpu);
	void *objs[NEST_OBJECTS];
	unsigned int i;

	for (i = 0; i < (crew.heap->debug ? 1 : NEST_WALKS) && !stopped(); i++) {
		walk_objects(nest, objs);
		walk_bulks(objs);
	}
	walk_reclaim(nest);
}

/*
 * As above, but on one CPU, which is interrupted after each instruction: there
 * is none at which an NMI could not come.
 */
static void nmis_may_come_at_every_instruction(struct kunit *test)
{
	unsigned int cpu = cpumask_last(cpu_online_mask);
	struct nest *nest = per_cpu_ptr(&nests, cpu);

	start_nests(test, BIT(BSA_STEP));
	start_workers(test, cpumask_of(cpu), walk_all_paths);
	join_workers(test);
	bsa_contexts_stop();
	kunit_info(test, "%u steps, %u of them in the fast path, %u without memory, %u frees deferred\n",
		   nest->times[BSA_STEP], nest->busy[BSA_STEP],
		   nest->failures[BSA_STEP], nest->deferred[BSA_STEP]);
	KUNIT_EXPECT_GT(test, nest->busy[BSA_STEP], 0U);
	KUNIT_EXPECT_GT(test, nest->deferred[BSA_STEP], 0U);
	empty_nest(nest);
	KUNIT_EXPECT_FALSE(test, crew.stop);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(crew.heap).refused_frees, 0);
	expect_whole_heap(test);
}

/*
 * A flush that frees go on beside
 */

/* More steps than it takes by far, also where the compiler adds its own. */
#define FLUSH_STEPS	2000000

/* More than are kept. */
#define FLUSH_PAGES	(2UL << (BSA_KEPT_ORDERS - 1))

/* More of them than are freed for others at a time. */
#define FLUSH_BLOCKS	8

/**
 * struct flushed - what a flush is interrupted by
 * @steps: how often
 * @block: of FLUSH_PAGES each
 * @nr: how many there are
 * @deferred: how often one was freed while somebody held the buddy's lock
 */
struct flushed {
	unsigned int steps;
	void *block[FLUSH_BLOCKS];
	unsigned int nr;
	unsigned int deferred;
};

/* As often as a block is given back, one is kept, and one is deferred. */
static void free_at_step(enum bsa_context context)
{
	struct bsa_buddy *buddy = &crew.heap->buddy;
	struct flushed *flushed = crew.data;
	/* What an exception finds that interrupts the holder of a lock. */
	bool locked = __this_cpu_read(bsa_locking);
	void *ptr;

	ptr = bsa_heap_alloc_pages(crew.heap, 1, 1, GFP_ATOMIC | __GFP_NOWARN);
	bsa_heap_free_pages(crew.heap, ptr, 1);
	if (locked && flushed->nr && llist_empty(&buddy->deferred)) {
		bsa_heap_free_pages(crew.heap, flushed->block[--flushed->nr],
				    FLUSH_PAGES);
		flushed->deferred++;
	} else if (!locked && flushed->nr < FLUSH_BLOCKS) {
		ptr = bsa_heap_alloc_pages(crew.heap, FLUSH_PAGES, 1,
					   GFP_ATOMIC | __GFP_NOWARN);
		if (ptr)
			flushed->block[flushed->nr++] = ptr;
	}
	if (++flushed->steps == FLUSH_STEPS)
		bsa_step_last();
}

/* Who looks for memory, or counts it, has to come to an end. */
static void flushes_end_while_nmis_free(struct kunit *test)
{
	struct bsa_buddy *buddy = &crew.heap->buddy;
	struct flushed flushed;
	unsigned long flags;
	void *largest, *ptr = NULL;
	unsigned int round;

	crew.data = &flushed;
	/* What is asked for could be met, if somebody had not taken it. */
	largest = bsa_heap_alloc_pages(crew.heap, crew.largest, 1, BSA_TEST_GFP);
	KUNIT_ASSERT_NOT_NULL(test, largest);
	bsa_test_start_contexts(test, free_at_step, BIT(BSA_STEP));
	for (round = 0; round < 2; round++) {
		memset(&flushed, 0, sizeof(flushed));
		flushed.block[0] = bsa_heap_alloc_pages(crew.heap, FLUSH_PAGES,
							1, BSA_TEST_GFP);
		KUNIT_ASSERT_NOT_NULL(test, flushed.block[0]);
		flushed.nr = 1;
		if (!bsa_lock(&buddy->lock, flags))
			return;
		bsa_nmi_here();
		bsa_unlock(&buddy->lock, flags);
		KUNIT_EXPECT_EQ(test, flushed.deferred, 1U);

		bsa_step_begin();
		if (round)
			bsa_heap_nr_free_pages(crew.heap);
		else
			ptr = bsa_heap_alloc_pages(crew.heap, crew.largest,
						   1, GFP_ATOMIC | __GFP_NOWARN);
		bsa_step_end();
		kunit_info(test, "%u steps, %u frees deferred\n",
			   flushed.steps, flushed.deferred);
		KUNIT_EXPECT_NULL(test, ptr);
		KUNIT_EXPECT_GT(test, flushed.steps, 0U);
		/* Where it is counted, a reader of debugfs may be faster. */
		if (!round)
			KUNIT_EXPECT_GT(test, flushed.deferred, 1U);
		KUNIT_EXPECT_LT(test, flushed.steps, FLUSH_STEPS);
		bsa_heap_free_bulk(crew.heap, flushed.nr, flushed.block);
	}
	bsa_heap_free_pages(crew.heap, largest, crew.largest);
	expect_whole_heap(test);
}

/*
 * A free that is overtaken
 */

enum { FREEING, STOPPED, OVERTAKEN, FREED };

/**
 * struct overtaken - a free that is stopped after some instruction
 * @heap: a small one
 * @ptr: what is freed once too often
 * @at: after how many of the module's instructions
 * @step: how many there have been
 * @state: how far things have got
 */
struct overtaken {
	struct bsa_heap *heap;
	void *ptr;
	unsigned int at;
	unsigned int step;
	atomic_t state;
};

static void stop_at_step(enum bsa_context context)
{
	unsigned int left = USEC_PER_SEC / 5;
	struct overtaken *o = crew.data;

	/* What it calls of the kernel is none of its own. */
	if (!bsa_step_is_bsa(bsa_step_ip()) || o->step++ != o->at)
		return;
	atomic_set_release(&o->state, STOPPED);
	/*
	 * Somebody may wait for this CPU, on the one that is to overtake. There is
	 * no clock to look at: some stand still here, others have races.
	 */
	while (atomic_read_acquire(&o->state) != OVERTAKEN) {
		udelay(5);
		if (!--left &&
		    atomic_cmpxchg(&o->state, STOPPED, FREEING) == STOPPED)
			break;
	}
	bsa_step_last();
}

static void free_step_by_step(struct worker *w)
{
	struct overtaken *o = crew.data;

	bsa_step_begin();
	bsa_heap_free(o->heap, o->ptr);
	bsa_step_end();
	atomic_set_release(&o->state, FREED);
}

static void wait_while(struct overtaken *o, int state)
{
	while (atomic_read_acquire(&o->state) == state)
		cond_resched();
}

/*
 * Have a slab of CPU 1 that is not active and has no live object; return one of
 * its objects, not the one at its start. No other slab has bitmaps in pages then.
 */
static void *free_slab(struct kunit *test, struct bsa_heap *heap, size_t size)
{
	void *ptrs[2];

	bsa_test_set_cpu(test, 1);
	KUNIT_ASSERT_EQ(test, bsa_heap_alloc_bulk(heap, size, BSA_TEST_GFP, 2,
						  ptrs), 2);
	bsa_heap_free(heap, ptrs[0]);
	bsa_heap_trim(heap);
	bsa_heap_free(heap, ptrs[1]);
	bsa_test_set_cpu(test, 0);
	return ptrs[1];
}

/* Get all that can be had without waiting for others, and write all over it. */
static unsigned int take_all(struct bsa_heap *heap, size_t size, void **ptrs,
			     void *wanted, bool *got)
{
	unsigned int nr;

	for (nr = 0; ; nr++) {
		ptrs[nr] = bsa_heap_alloc(heap, size,
					  GFP_ATOMIC | __GFP_NOWARN);
		if (!ptrs[nr])
			return nr;
		*got |= PFN_DOWN((unsigned long)ptrs[nr]) ==
			PFN_DOWN((unsigned long)wanted);
		memset(ptrs[nr], 0, size);
	}
}

static void expect_untouched(struct kunit *test, struct overtaken *o,
			     size_t size, unsigned int nr, void **ptrs)
{
	unsigned int i, touched = 0;

	for (i = 0; i < nr; i++)
		touched += !bsa_test_all_bytes(ptrs[i], 0, size);
	KUNIT_EXPECT_EQ_MSG(test, touched, 0U, "after %u instructions", o->at);
	KUNIT_EXPECT_EQ_MSG(test, bsa_validate(o->heap, NULL, true), 0,
			    "after %u instructions", o->at);
}

/*
 * The second free of an object is stopped after each of its instructions, and
 * meanwhile another CPU takes the slab, for pages or for other objects.
 */
static void overtake(struct kunit *test, unsigned int cpu, size_t size,
		     size_t other_size)
{
	struct overtaken o = {
		.heap = bsa_test_heap(test, 8 * PAGE_SIZE),
	};
	void **ptrs = bsa_test_array(test, 8 * PAGE_SIZE / 16);
	unsigned long refused;
	unsigned int nr, taken = 0;
	bool got, over, in_time;

	crew.data = &o;
	do {
		o.ptr = free_slab(test, o.heap, size);
		refused = bsa_test_stats(o.heap).refused_frees;
		o.step = 0;
		atomic_set(&o.state, FREEING);
		start_workers(test, cpumask_of(cpu), free_step_by_step);
		wait_while(&o, FREEING);
		nr = 0;
		got = false;
		over = false;
		if (atomic_read_acquire(&o.state) == STOPPED) {
			over = bsa_test_stats(o.heap).refused_frees > refused;
			nr = take_all(o.heap, other_size, ptrs, o.ptr, &got);
			in_time = atomic_cmpxchg(&o.state, STOPPED, OVERTAKEN) ==
				  STOPPED;
		} else {
			/* It was over before. */
			in_time = o.step <= o.at;
		}
		join_workers(test);
		taken += got;
		expect_untouched(test, &o, other_size, nr, ptrs);
		bsa_test_give_back(o.heap, nr, ptrs);
		KUNIT_ASSERT_EQ(test, bsa_test_stats(o.heap).live_objects, 0);
		/* What follows only prints. */
		if (in_time && (o.step <= o.at || over))
			break;
		o.at += in_time ? BSA_TEST_STRIDE : 0;
	} while (true);
	kunit_info(test, "%zu bytes on CPU %u: overtaken %u times, within %u instructions\n",
		   size, cpu, taken, o.at);
	KUNIT_EXPECT_GT(test, taken, 0U);
}

static void second_free_may_be_overtaken_at_every_instruction(struct kunit *test)
{
	static const struct {
		u32 size;
		u32 other_size;
	} cases[] = { { 8, PAGE_SIZE }, { 8, 16 }, { 64, 128 }, { 384, 768 } };
	unsigned int i, cpu;

	bsa_test_needs_cpus(test, 3);
	bsa_test_needs_module(test);
	/* The one would report an innocent, the other would stop for good. */
	if (IS_ENABLED(CONFIG_KASAN_GENERIC) || IS_ENABLED(CONFIG_DEBUG_KMEMLEAK))
		kunit_skip(test, "KASAN and kmemleak learn of frees that are refused later");
	bsa_test_start_contexts(test, stop_at_step, BIT(BSA_STEP));
	for (i = 0; i < ARRAY_SIZE(cases); i++)
		for (cpu = 1; cpu <= 2; cpu++)
			overtake(test, cpu, cases[i].size, cases[i].other_size);
	bsa_contexts_stop();
}

/*
 * CPUs that come and go
 */

#define ESTATE_OBJECTS	4096
#define ESTATE_BYTES	(PAGE_SIZE / 64)

/**
 * struct estate - what the CPU that goes offline leaves behind
 * @object: its objects
 * @next: the first that nobody has freed yet
 * @hurry: the CPU is gone
 */
struct estate {
	void *object[ESTATE_OBJECTS];
	atomic_t next;
	bool hurry;
};

static size_t estate_size(unsigned int i)
{
	return 8UL << (i % BSA_NR_CLASSES);
}

/* Objects of all classes in full, partial and active slabs. */
static void build_estate(struct worker *w)
{
	struct estate *estate = crew.data;
	unsigned int i;

	atomic_set(&estate->next, 0);
	estate->hurry = false;
	for (i = 0; i < ESTATE_OBJECTS; i++)
		estate->object[i] = alloc_marked(w, estate_size(i), GFP_KERNEL);
	for (i = 0; i < ESTATE_OBJECTS; i += 5) {
		if (estate->object[i])
			free_marked(w, estate->object[i], estate_size(i));
		estate->object[i] = NULL;
	}
}

static void free_estate(struct worker *w)
{
	struct estate *estate = crew.data;
	void *ptr;
	int i;

	while (!stopped()) {
		i = atomic_inc_return(&estate->next) - 1;
		if (i >= ESTATE_OBJECTS)
			break;
		if (estate->object[i])
			free_marked(w, estate->object[i], estate_size(i));
		ptr = alloc_marked(w, estate_size(i), GFP_KERNEL);
		if (ptr)
			free_marked(w, ptr, estate_size(i));
		if (!READ_ONCE(estate->hurry))
			usleep_range(50, 100);
	}
}

/* With debug=, the largest objects are blocks of one page. */
static unsigned long nr_live(void)
{
	struct bsa_stats stats = bsa_test_stats(crew.heap);

	return stats.live_objects + stats.live_pages;
}

/*
 * A CPU goes offline while others free what it has allocated; or they begin
 * when it is offline already, and meanwhile it comes back.
 */
static void cpu_leaves_its_memory_to_others(struct kunit *test)
{
	struct estate *estate = stress_memory(test, sizeof(*estate));
	unsigned int cpu = cpumask_next(0, cpu_online_mask);
	static struct cpumask others;
	unsigned long live;
	int round;

	bsa_test_needs_cpus(test, 2);
	bsa_test_needs_hotplug(test);
	crew.data = estate;
	cpumask_andnot(&others, cpu_online_mask, cpumask_of(cpu));
	for (round = 0; round < 4; round++) {
		start_workers(test, cpumask_of(cpu), build_estate);
		join_workers(test);
		live = ESTATE_OBJECTS - DIV_ROUND_UP(ESTATE_OBJECTS, 5);
		KUNIT_EXPECT_EQ(test, nr_live(), live);

		if (round % 2 == 0) {
			start_workers(test, &others, free_estate);
			KUNIT_EXPECT_EQ(test, remove_cpu(cpu), 0);
		} else {
			KUNIT_EXPECT_EQ(test, remove_cpu(cpu), 0);
			KUNIT_EXPECT_EQ(test, nr_live(), live);
			start_workers(test, &others, free_estate);
			KUNIT_EXPECT_EQ(test, add_cpu(cpu), 0);
		}
		WRITE_ONCE(estate->hurry, true);
		join_workers(test);
		expect_whole_heap(test);
		if (round % 2 == 0)
			KUNIT_EXPECT_EQ(test, add_cpu(cpu), 0);
	}
}

#define TRAFFIC_SLOTS	512
#define TRAFFIC_ROUNDS	6

/**
 * struct traffic - objects of two heaps that all CPUs exchange
 * @heap: the heaps
 * @slot: the objects of each
 * @calls: exchanges by all workers
 * @done: it is over
 */
struct traffic {
	struct bsa_heap *heap[2];
	void *slot[2][TRAFFIC_SLOTS];
	atomic_long_t calls;
	bool done;
};

static size_t traffic_size(unsigned int i)
{
	return i % 32 ? 8UL << i % 9 : PAGE_SIZE << i / 32 % 4;
}

static void exchange_in_traffic(struct worker *w)
{
	struct traffic *t = crew.data;
	struct rnd_state rnd;
	unsigned int i, h;
	void *ptr;

	prandom_seed_state(&rnd, w->index);
	while (!READ_ONCE(t->done) && !stopped()) {
		i = prandom_u32_state(&rnd) % TRAFFIC_SLOTS;
		h = prandom_u32_state(&rnd) % 2;
		ptr = NULL;
		if (prandom_u32_state(&rnd) % 4) {
			ptr = bsa_heap_alloc(t->heap[h], traffic_size(i),
					     GFP_ATOMIC);
			if (ptr)
				mark(ptr, traffic_size(i));
			else
				fail(w, "allocation failed", NULL,
				     traffic_size(i));
		}
		ptr = xchg(&t->slot[h][i], ptr);
		if (ptr && !is_intact(ptr, traffic_size(i), (unsigned long)ptr))
			fail(w, "contents have changed", ptr, traffic_size(i));
		bsa_heap_free(t->heap[h], ptr);
		atomic_long_inc(&t->calls);
	}
}

/*
 * One CPU after the other goes offline and comes back, while all of them, and
 * whoever ran there, allocate from two heaps and free what others have.
 */
static void cpus_come_and_go_under_load(struct kunit *test)
{
	struct traffic *t = stress_memory(test, sizeof(*t));
	unsigned int round, cpu = 0, h, i;
	long calls;

	bsa_test_needs_cpus(test, 2);
	bsa_test_needs_hotplug(test);
	t->heap[0] = crew.heap;
	t->heap[1] = bsa_test_heap(test, 1024 * PAGE_SIZE);
	crew.data = t;
	start_workers(test, cpu_online_mask, exchange_in_traffic);
	for (round = 0; round < TRAFFIC_ROUNDS; round++) {
		cpu = cpumask_next(cpu, cpu_online_mask);
		if (cpu >= nr_cpu_ids)
			cpu = cpumask_next(0, cpu_online_mask);
		KUNIT_EXPECT_EQ(test, remove_cpu(cpu), 0);
		calls = atomic_long_read(&t->calls);
		msleep(20);
		KUNIT_EXPECT_GT(test, atomic_long_read(&t->calls), calls);
		KUNIT_EXPECT_EQ(test, add_cpu(cpu), 0);
	}
	WRITE_ONCE(t->done, true);
	join_workers(test);

	for (h = 0; h < 2; h++) {
		for (i = 0; i < TRAFFIC_SLOTS; i++)
			bsa_heap_free(t->heap[h], t->slot[h][i]);
		KUNIT_EXPECT_EQ(test, bsa_test_stats(t->heap[h]).refused_frees,
				0);
	}
	KUNIT_EXPECT_EQ(test, bsa_test_destroy_heap(test, t->heap[1]), 0);
	expect_whole_heap(test);
}

/* Partial slabs of nobody but the CPU that goes offline. */
static void build_single_class(struct worker *w)
{
	struct estate *estate = crew.data;
	unsigned int i;

	for (i = 0; i < ESTATE_OBJECTS; i++)
		estate->object[i] = alloc_marked(w, ESTATE_BYTES, GFP_KERNEL);
}

/*
 * The heap is full; every other object of one CPU is freed, by another. They
 * must be there for the next allocations: while that CPU is idle, and when it
 * is offline.
 */
static void expect_every_other_is_reused(struct kunit *test, bool offline)
{
	struct estate *estate = stress_memory(test, sizeof(*estate));
	unsigned int cpu = cpumask_next(0, cpu_online_mask), i;
	size_t nr = bsa_heap_managed_bytes(crew.heap) / ESTATE_BYTES;
	void **rest = bsa_test_array(test, nr + 1);

	bsa_test_needs_cpus(test, 2);
	if (offline)
		bsa_test_needs_hotplug(test);
	crew.data = estate;
	start_workers(test, cpumask_of(cpu), build_single_class);
	join_workers(test);
	if (offline)
		KUNIT_EXPECT_EQ(test, remove_cpu(cpu), 0);

	nr = bsa_test_take_objects(crew.heap, ESTATE_BYTES, rest);
	/* With debug=, a slab takes two pages at least. */
	KUNIT_EXPECT_LE(test, bsa_heap_nr_free_pages(crew.heap),
			crew.heap->debug ? 1 : 0);
	for (i = 0; i < ESTATE_OBJECTS; i += 2)
		bsa_heap_free(crew.heap, estate->object[i]);
	KUNIT_EXPECT_EQ(test, bsa_test_take_objects(crew.heap, ESTATE_BYTES,
						    rest + nr),
			ESTATE_OBJECTS / 2);

	bsa_test_give_back(crew.heap, nr + ESTATE_OBJECTS / 2, rest);
	for (i = 1; i < ESTATE_OBJECTS; i += 2)
		bsa_heap_free(crew.heap, estate->object[i]);
	expect_whole_heap(test);
	if (offline)
		KUNIT_EXPECT_EQ(test, add_cpu(cpu), 0);
}

static void objects_of_an_idle_cpu_are_reused(struct kunit *test)
{
	expect_every_other_is_reused(test, false);
}

static void objects_of_an_offline_cpu_are_reused(struct kunit *test)
{
	expect_every_other_is_reused(test, true);
}

static struct kunit_case stress_cases[] = {
	KUNIT_CASE(random_operations_agree_with_a_model),
	KUNIT_CASE(objects_freed_elsewhere_come_back_to_their_owner),
	KUNIT_CASE(exhausted_heap_recovers_to_the_page),
	KUNIT_CASE(flushes_interrupt_frees),
	KUNIT_CASE(blocks_kept_for_cpus_are_taken_by_others),
	KUNIT_CASE(hard_timers_nest_in_the_fast_path),
	KUNIT_CASE(softirqs_nest_in_the_fast_path),
	KUNIT_CASE(irq_works_nest_in_the_fast_path),
	KUNIT_CASE(ipis_nest_in_the_fast_path),
	KUNIT_CASE(nmis_nest_in_the_fast_path),
	KUNIT_CASE(all_contexts_nest_in_each_other),
	KUNIT_CASE(pages_freed_in_nmi_are_free),
	KUNIT_CASE(objects_freed_in_nmi_wait_for_no_lock),
	KUNIT_CASE(nmis_may_come_at_every_instruction),
	KUNIT_CASE(flushes_end_while_nmis_free),
	KUNIT_CASE(second_free_may_be_overtaken_at_every_instruction),
	KUNIT_CASE(cpu_leaves_its_memory_to_others),
	KUNIT_CASE(cpus_come_and_go_under_load),
	KUNIT_CASE(objects_of_an_idle_cpu_are_reused),
	KUNIT_CASE(objects_of_an_offline_cpu_are_reused),
	{}
};

struct kunit_suite bsa_stress_suite = {
	.name = "bsa_stress",
	.init = stress_init,
	.exit = stress_exit,
	.test_cases = stress_cases,
};
