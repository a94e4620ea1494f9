// SPDX-License-Identifier: GPL-2.0-only
/*
 * Native, two CPUs: frees on the other CPU, a producer and a consumer, and work of
 * their own at the same time
 */
#include "bench.h"

#include <linux/cpumask.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

static unsigned int first_cpu(void)
{
	return cpumask_first(cpu_online_mask);
}

static unsigned int second_cpu(void)
{
	return cpumask_next(first_cpu(), cpu_online_mask);
}

/* Something for a CPU to do. */
struct job {
	void (*step)(enum bench_calls who, const struct bench_case *c);
	enum bench_calls who;
	const struct bench_case *c;
};

static long do_job(void *arg)
{
	struct job *job = arg;
	unsigned long flags;
	u64 start;

	local_irq_save(flags);
	start = bench_cycles();
	job->step(job->who, job->c);
	start = bench_cycles() - start;
	local_irq_restore(flags);
	return start;
}

/*
 * Objects are allocated on the first CPU, which is their owner, freed on the second,
 * and allocated again. Times the free, and the next allocation, too, if @both.
 */
static u64 time_remote(const struct bench_setup *s, unsigned int side, bool both)
{
	const struct bench_case *c = &s->side[side];
	struct job alloc_all = { bench_alloc_all, bench_calls_of(s, side), c };
	struct job free_all = { bench_free_all, bench_calls_of(s, side), c };
	u64 free, alloc;

	work_on_cpu(first_cpu(), do_job, &alloc_all);
	free = work_on_cpu(second_cpu(), do_job, &free_all);
	alloc = work_on_cpu(first_cpu(), do_job, &alloc_all);
	work_on_cpu(first_cpu(), do_job, &free_all);
	return (free + (both ? alloc : 0)) * 100 / c->nr;
}

static u64 time_free(const struct bench_setup *s, unsigned int side)
{
	return time_remote(s, side, false);
}

static u64 time_free_and_next(const struct bench_setup *s, unsigned int side)
{
	return time_remote(s, side, true);
}

static void measure_free(struct bench_setup *s)
{
	bench_report_natively(s, time_free);
}

static void measure_free_and_next(struct bench_setup *s)
{
	bench_report_natively(s, time_free_and_next);
}

static const char *prepare_in_order(struct bench_setup *s, unsigned int class)
{
	bench_set_order(FREE_SAME, s->row->nr);
	return bench_prepare_class(s, class);
}

/*
 * A producer allocates, a consumer on another CPU frees, and a ring with one
 * writer at each end lies between them.
 */
#define RING_SIZE	1024
#define RING_OBJECTS	16384	/* that go through it in a round */

static struct ring {
	struct work_struct producer;
	enum bench_calls who;
	size_t size;
	unsigned int head ____cacheline_aligned_in_smp;	/* the producer's */
	unsigned int tail ____cacheline_aligned_in_smp;	/* the consumer's */
	void *slot[RING_SIZE] ____cacheline_aligned_in_smp;
} ring;

/* Either side looks at the other's index only when the last look is used up. */
static __always_inline void fill(struct ring *r, void *(*alloc)(size_t size))
{
	unsigned int head = 0, tail = 0;
	void *object;

	while (head < RING_OBJECTS) {
		if (head - tail == RING_SIZE) {
			cpu_relax();
			/* Pairs with the release in drain(). */
			tail = smp_load_acquire(&r->tail);
			continue;
		}
		object = alloc(r->size);
		if (!object)
			continue;
		r->slot[head++ % RING_SIZE] = object;
		/* The slot is written. Pairs with the acquire in drain(). */
		smp_store_release(&r->head, head);
	}
}

static __always_inline long drain(struct ring *r,
				  void (*free)(const void *object))
{
	unsigned int head = 0, tail = 0;
	u64 start = bench_cycles();

	while (tail < RING_OBJECTS) {
		if (head == tail) {
			cpu_relax();
			/* Pairs with the release in fill(). */
			head = smp_load_acquire(&r->head);
			continue;
		}
		free(r->slot[tail++ % RING_SIZE]);
		/* The slot is read. Pairs with the acquire in fill(). */
		smp_store_release(&r->tail, tail);
	}
	return bench_cycles() - start;
}

static noinline void *bsa_get(size_t size)
{
	return bsa_alloc(size, BENCH_GFP);
}

static noinline void *kmalloc_get(size_t size)
{
	return kmalloc(size, BENCH_GFP);
}

static noinline void *no_get(size_t size)
{
	return ZERO_SIZE_PTR;
}

static noinline void no_put(const void *object)
{
	barrier();
}

static void produce(struct work_struct *work)
{
	struct ring *r = container_of(work, struct ring, producer);

	switch (r->who) {
	case BSA: return fill(r, bsa_get);
	case KMALLOC: return fill(r, kmalloc_get);
	default: return fill(r, no_get);
	}
}

static long consume(void *arg)
{
	struct ring *r = arg;

	switch (r->who) {
	case BSA: return drain(r, bsa_free);
	case KMALLOC: return drain(r, kfree);
	default: return drain(r, no_put);
	}
}

static u64 time_ring(const struct bench_setup *s, unsigned int side)
{
	u64 cycles;

	ring.who = bench_calls_of(s, side);
	ring.size = s->side[side].size;
	ring.head = 0;
	ring.tail = 0;
	INIT_WORK(&ring.producer, produce);
	schedule_work_on(first_cpu(), &ring.producer);
	cycles = work_on_cpu(second_cpu(), consume, &ring);
	flush_work(&ring.producer);
	return cycles * 100 / RING_OBJECTS;
}

/* From 64 bytes on. */
static const char *prepare_ring(struct bench_setup *s, unsigned int i)
{
	return bench_prepare_class(s, i + 3);
}

static void measure_ring(struct bench_setup *s)
{
	bench_report_natively(s, time_ring);
}

/*
 * Both CPUs at once on work of their own
 */
#define NR_PRIVATE	64	/* objects that each holds */
#define PRIVATE_LOOPS	256

static struct worker {
	struct work_struct work;
	enum bench_calls who;
	struct bench_case c;
	u64 cycles;
	void *objects[NR_PRIVATE];
} workers[2] ____cacheline_aligned_in_smp;

/* Those who have not started yet. */
static atomic_t waiting;

static void do_private_work(struct work_struct *work)
{
	struct worker *w = container_of(work, struct worker, work);

	atomic_dec(&waiting);
	while (atomic_read(&waiting) > 0)
		cpu_relax();
	w->cycles = bench_cycles();
	bench_loop(w->who, &w->c, PRIVATE_LOOPS);
	w->cycles = bench_cycles() - w->cycles;
}

/* What the first CPU takes for each object; a peer that is ours works alone. */
static u64 time_private(const struct bench_setup *s, unsigned int side)
{
	bool alone = side == PEER && s->row->peer == s->row->ours;
	unsigned int i, nr = alone ? 1 : ARRAY_SIZE(workers);
	unsigned int cpu = first_cpu();

	atomic_set(&waiting, nr);
	for (i = 0; i < nr; i++) {
		struct worker *w = &workers[i];

		w->who = bench_calls_of(s, side);
		w->c = s->side[side];
		w->c.objects = w->objects;
		INIT_WORK(&w->work, do_private_work);
		schedule_work_on(cpu, &w->work);
		cpu = second_cpu();
	}
	for (i = 0; i < nr; i++)
		flush_work(&workers[i].work);
	return workers[0].cycles * 100 / (PRIVATE_LOOPS * NR_PRIVATE);
}

static void measure_private(struct bench_setup *s)
{
	bench_report_natively(s, time_private);
}

#define REMOTE(name, goal, how) \
	{ name, "kmalloc", goal, BSA_NR_CLASSES, prepare_in_order, BSA, KMALLOC, \
	  .nr = NR_BATCH, .measure = how }

/*
 * An empty ring tells what the machine itself takes. A user-mode kernel asks its host
 * twice for what is one instruction elsewhere, this_cpu_inc(), unless interrupts are
 * off, and calls a function to know its CPU: what rests on that is not judged there.
 */
#define UNFAIR(goal)	(IS_ENABLED(CONFIG_UML) ? "" : goal)

const struct bench_row bench_parallel[] = {
	REMOTE("freed on another CPU", "ratio<=0.40", measure_free),
	REMOTE("freed on another CPU, and the next allocation", "ratio<=0.45",
	       measure_free_and_next),
	{ "producer and consumer", "kmalloc", UNFAIR("ratio<=0.70"),
	  BSA_NR_CLASSES - 3, prepare_ring, BSA, KMALLOC, .measure = measure_ring },
	{ "producer and consumer", "an empty ring", "",
	  1, prepare_ring, BSA, NOTHING, .measure = measure_ring },
	{ "64 objects on each CPU", "kmalloc", "",
	  BSA_NR_CLASSES, prepare_in_order, BSA, KMALLOC, .nr = NR_PRIVATE,
	  .measure = measure_private },
	{ "64 objects on each CPU", "one CPU alone", "",
	  BSA_NR_CLASSES, prepare_in_order, BSA, BSA, .nr = NR_PRIVATE,
	  .measure = measure_private },
	{}
};
