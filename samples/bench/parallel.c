// SPDX-License-Identifier: GPL-2.0-only
/*
 * Several CPUs: frees on another CPU, a producer and a consumer, and work of
 * their own at the same time
 */
#include "bench.h"

#include <linux/cpumask.h>
#include <linux/slab.h>
#include <linux/timex.h>
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
 * Hundredths of a cycle for each object of a batch: its free on the second CPU
 * and, with both, its next allocation on the first, too, which is the owner.
 */
static void time_remote(enum bench_calls who, const struct bench_case *c,
			u64 *free, u64 *both)
{
	struct job alloc_all = { bench_alloc_all, who, c };
	struct job free_all = { bench_free_all, who, c };

	work_on_cpu(first_cpu(), do_job, &alloc_all);
	*free = work_on_cpu(second_cpu(), do_job, &free_all) * 100 / c->nr;
	*both = *free + work_on_cpu(first_cpu(), do_job, &alloc_all) * 100 / c->nr;
	work_on_cpu(first_cpu(), do_job, &free_all);
}

static const char *prepare_remote(struct bench_setup *s, unsigned int i)
{
	s->side[OURS].size = 16UL << i * 3;
	bench_set_order(FREE_SAME, s->row->nr);
	return NULL;
}

static void measure_remote(struct bench_setup *s)
{
	u64 free[NR_SIDES][MAX_ROUNDS], both[NR_SIDES][MAX_ROUNDS];
	const struct bench_case *c = &s->side[OURS];
	unsigned int i, k;

	/* What comes first only warms up. */
	time_remote(BSA, c, &free[OURS][0], &both[OURS][0]);
	time_remote(KMALLOC, c, &free[PEER][0], &both[PEER][0]);
	for (i = 0; i < bench_rounds; i++)
		for (k = 0; k < NR_SIDES; k++)
			time_remote(k == OURS ? BSA : KMALLOC, c, &free[k][i],
				    &both[k][i]);
	snprintf(s->what, sizeof(s->what), "%zu bytes, the free", c->size);
	bench_report_rounds(s, free[OURS], free[PEER], "cycles");
	snprintf(s->what, sizeof(s->what),
		 "%zu bytes, with the owner's next allocation", c->size);
	bench_report_rounds(s, both[OURS], both[PEER], "cycles");
}

/*
 * A producer allocates, a consumer on another CPU frees, and a ring with one
 * writer at each end lies between them.
 */
#define RING_SIZE	16384
#define RING_OBJECT	64

struct ring {
	struct work_struct producer;
	enum bench_calls who;
	u64 cycles;		/* how long the consumer is to work */
	u64 moved;		/* objects that it has got */
	bool stop ____cacheline_aligned_in_smp;
	unsigned int head ____cacheline_aligned_in_smp;	/* the producer's */
	unsigned int tail ____cacheline_aligned_in_smp;	/* the consumer's */
	void *slot[RING_SIZE] ____cacheline_aligned_in_smp;
};

/* Either side looks at the other's index only when the last look is used up. */
static __always_inline void fill(struct ring *r, void *(*alloc)(size_t size))
{
	unsigned int head = r->head, tail = r->tail;
	void *object;

	while (!READ_ONCE(r->stop)) {
		if (head - tail == RING_SIZE) {
			cpu_relax();
			/* Pairs with the release in drain(). */
			tail = smp_load_acquire(&r->tail);
			continue;
		}
		object = alloc(RING_OBJECT);
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
	unsigned int head = r->head, tail = r->tail, looks = 0;
	u64 start = bench_cycles(), moved = 0;

	while (++looks % 64 || bench_cycles() - start < r->cycles) {
		if (head == tail) {
			cpu_relax();
			/* Pairs with the release in fill(). */
			head = smp_load_acquire(&r->head);
			continue;
		}
		free(r->slot[tail++ % RING_SIZE]);
		moved++;
		/* The slot is read. Pairs with the acquire in fill(). */
		smp_store_release(&r->tail, tail);
	}
	r->moved = moved;
	WRITE_ONCE(r->stop, true);
	return 0;
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

/* Hundredths of a cycle for each object. */
static u64 time_ring(struct ring *r, enum bench_calls who)
{
	memset(r, 0, sizeof(*r));
	r->who = who;
	r->cycles = div64_u64(bench_cycles_per_ms * bench_ring_ms, bench_rounds);
	INIT_WORK(&r->producer, produce);
	schedule_work_on(first_cpu(), &r->producer);
	work_on_cpu(second_cpu(), consume, r);
	flush_work(&r->producer);
	while (r->tail != r->head) {
		void *object = r->slot[r->tail++ % RING_SIZE];

		if (who == BSA)
			bsa_free(object);
		else if (who == KMALLOC)
			kfree(object);
	}
	return r->moved ? div64_u64(r->cycles * 100, r->moved) : U64_MAX;
}

static void measure_ring(struct bench_setup *s)
{
	struct ring *r = kvmalloc(sizeof(*r), GFP_KERNEL);
	u64 ours[MAX_ROUNDS], peer[MAX_ROUNDS];
	unsigned int i;

	snprintf(s->what, sizeof(s->what), "64 bytes, for each object");
	for (i = 0; r && i < bench_rounds; i++) {
		ours[i] = time_ring(r, s->row->ours);
		peer[i] = time_ring(r, s->row->peer);
	}
	if (r)
		bench_report_rounds(s, ours, peer, "cycles");
	else
		bench_missing(s, NO_MEMORY);
	kvfree(r);
}

/*
 * CPUs at once on work of their own
 */
#define MAX_WORKERS	4
#define WORK_MS		100
#define NR_PRIVATE	64	/* objects that each holds */

struct worker {
	struct work_struct work;
	enum bench_calls who;
	struct bench_case c;
	atomic_t *waiting;	/* those who have not started yet */
	u64 done;		/* objects allocated and freed */
	void *objects[NR_PRIVATE];
} ____cacheline_aligned_in_smp;

static void do_private_work(struct work_struct *work)
{
	struct worker *w = container_of(work, struct worker, work);
	u64 cycles = bench_cycles_per_ms * WORK_MS, start;

	atomic_dec(w->waiting);
	while (atomic_read(w->waiting) > 0)
		cpu_relax();
	start = bench_cycles();
	while (bench_cycles() - start < cycles) {
		bench_loop(w->who, &w->c, 16);
		w->done += 16 * NR_PRIVATE;
	}
}

/* What so many CPUs get done together. */
static u64 private_work(struct worker *workers, const struct bench_case *c,
			enum bench_calls who, unsigned int nr)
{
	atomic_t waiting = ATOMIC_INIT(nr);
	unsigned int i, cpu = first_cpu();
	u64 done = 0;

	for (i = 0; i < nr; i++) {
		struct worker *w = &workers[i];

		w->who = who;
		w->c = *c;
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
static u64 speed_up(struct worker *workers, const struct bench_case *c,
		    enum bench_calls who, unsigned int nr)
{
	u64 one = private_work(workers, c, who, 1);
	u64 many = private_work(workers, c, who, nr);

	return div64_u64(many * 100, max(one, 1ULL));
}

static const char *prepare_scaling(struct bench_setup *s, unsigned int i)
{
	snprintf(s->what, sizeof(s->what), "%u CPUs", 2 << i);
	if (i)
		s->goal = "";
	bench_set_order(FREE_SAME, NR_PRIVATE);
	return 2 << i > num_online_cpus() ? "there are not so many" : NULL;
}

static void measure_scaling(struct bench_setup *s)
{
	unsigned int i, nr = 2 << s->index;
	u64 ours[MAX_ROUNDS], peer[MAX_ROUNDS];
	const struct bench_case *c = &s->side[OURS];
	struct worker *workers;

	workers = kvcalloc(MAX_WORKERS, sizeof(*workers), GFP_KERNEL);
	for (i = 0; workers && i < bench_rounds; i++) {
		ours[i] = speed_up(workers, c, s->row->ours, nr);
		peer[i] = speed_up(workers, c, s->row->peer, nr);
	}
	if (workers)
		bench_report_rounds(s, ours, peer, "times one CPU");
	else
		bench_missing(s, NO_MEMORY);
	kvfree(workers);
}

/* An empty ring, and an empty loop, tell what the machine itself gives. */
const struct bench_row bench_parallel[] = {
	{ "freed on another CPU", "kmalloc", "ratio<=0.50",
	  3, prepare_remote, BSA, KMALLOC, .nr = NR_BATCH, .measure = measure_remote },
	{ "producer and consumer", "kmalloc", "ratio<=0.50",
	  1, NULL, BSA, KMALLOC, .measure = measure_ring },
	{ "producer and consumer", "an empty ring", "",
	  1, NULL, BSA, NOTHING, .measure = measure_ring },
	{ "throughput", "kmalloc", "ours>=1.90",
	  2, prepare_scaling, BSA, KMALLOC, 64, .nr = NR_PRIVATE, .measure = measure_scaling },
	{ "throughput", "an empty loop", "",
	  2, prepare_scaling, BSA, NOTHING, 64, .nr = NR_PRIVATE, .measure = measure_scaling },
	{}
};
