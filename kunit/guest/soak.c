// SPDX-License-Identifier: GPL-2.0-only
/*
 * Everything at once, for as long as one likes
 *
 *   insmod bsa_soak.ko seconds=300 [seed=N]
 *
 * returns when it is over. The result is in the log as KTAP; a failure also
 * makes insmod fail, and what was found first is in a line of its own.
 *
 * A thread on each CPU and all that interrupts it exchange objects of all sizes
 * with an array of slots: they allocate one, take away what is in the slot, and
 * free that. So everybody frees what somebody else has allocated. Meanwhile CPUs
 * come and go, and so does a heap, which is given more sections.
 *
 * Every 30 seconds all stop, free what is in the slots, and look whether memory
 * is complete again, to the page.
 */
/* An object cannot be part of two modules. */
#include "../contexts.c"

#include <bsa/compat.h>
#include <bsa/percpu.h>
#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include <linux/rwsem.h>
#include <linux/sizes.h>

static unsigned int seconds = 300;
module_param(seconds, uint, 0444);
MODULE_PARM_DESC(seconds, "how long (default 300)");

static unsigned long seed;
module_param(seed, ulong, 0444);
MODULE_PARM_DESC(seed, "seed of the random operations (default 0: choose one)");

#define ROUND		30	/* seconds from one look to the next */
#define NR_SLOTS	1024
#define NR_REGIONS	4
#define REGION_SIZE	SZ_512K
#define BULK		32

/**
 * struct place - a heap, and what is allocated from it
 * @heap: the heap; NULL is the default one, too
 * @exists: it is there
 * @lock: whoever uses a heap that comes and goes, holds it
 * @slot: objects; the index tells the size
 * @largest: pages in the largest block when nothing was allocated
 * @refused: frees that were refused before
 * @region: sections that were added
 * @nr_regions: how many
 */
struct place {
	struct bsa_heap *heap;
	bool exists;
	struct rw_semaphore lock;
	void *slot[NR_SLOTS];
	unsigned long largest;
	unsigned long refused;
	void *region[NR_REGIONS];
	unsigned int nr_regions;
};

/* The default heap and two more; the last one comes and goes. */
#define NR_PLACES	3
#define PASSING		(NR_PLACES - 1)
static struct place places[NR_PLACES];

/**
 * struct soaker - a thread on a CPU, and what interrupts that CPU
 * @task: the thread
 * @cpu: where it belongs
 * @round: the round that it takes part in, or is through with
 * @rnd: random numbers, for each context, and for the thread
 * @exchanges: exchanges, for each of them
 * @busy: how often an interruption found that it had hit the fast path of the
 *	second heap
 * @failures: how often there was no memory
 */
struct soaker {
	struct task_struct *task;
	unsigned int cpu;
	unsigned int round;
	struct rnd_state rnd[BSA_NR_CONTEXTS + 1];
	unsigned long exchanges[BSA_NR_CONTEXTS + 1];
	unsigned long busy[BSA_NR_CONTEXTS + 1];
	unsigned long failures[BSA_NR_CONTEXTS + 1];
};

#define THREAD	BSA_NR_CONTEXTS

static DEFINE_PER_CPU(struct soaker, soakers);

static unsigned long salt;
static unsigned int round;	/* odd: at work */
static atomic_t running;
static const char *error;	/* what was wrong first */
static unsigned long nr_heaps, nr_sections, nr_hotplugs, nr_rounds;

static void wrong(const char *what)
{
	if (!cmpxchg(&error, NULL, what))
		pr_err("    # mixed_load: %s\n", what);
}

static u32 below(struct rnd_state *rnd, u32 limit)
{
	return prandom_u32_state(rnd) % limit;
}

/* All classes, at their edges too, and blocks of pages; the large ones are few. */
static size_t slot_size(unsigned int i)
{
	unsigned int shift = 3 + i / 4 % 9;

	if (i % 128 == 127)
		return SZ_64K << i / 128 % 3;
	if (i % 16 == 15)
		return PAGE_SIZE << i / 16 % 4;
	switch (i % 4) {
	case 0:
		return 8UL << i / 4 % 9;
	case 1:
		return (6UL << i / 4 % 9) + 2;
	default:
		return (1UL << shift) - (i % 4 == 2 && shift > 3);
	}
}

/*
 * Who holds an object has it marked, in its first word and, if there is one, in
 * its last. So nobody gets it a second time.
 */
static u64 mark_of(const void *ptr)
{
	return (unsigned long)ptr ^ salt;
}

static u64 *last_word(void *ptr, size_t size)
{
	return ptr + round_down(size, sizeof(u64)) - sizeof(u64);
}

static void take(u64 *ptr, size_t size)
{
	if (READ_ONCE(*ptr) == mark_of(ptr))
		wrong("an object was handed out twice");
	WRITE_ONCE(*ptr, mark_of(ptr));
	if (size >= 2 * sizeof(u64))
		*last_word(ptr, size) = ~mark_of(ptr);
}

static void give(struct place *place, u64 *ptr, size_t size)
{
	if (*ptr != mark_of(ptr))
		wrong("an object has changed");
	if (size >= 2 * sizeof(u64) && *last_word(ptr, size) != ~mark_of(ptr))
		wrong("the end of an object has changed");
	WRITE_ONCE(*ptr, 0);
	bsa_heap_free(place->heap, ptr);
}

/* High and low tide, by turns: memory runs out, and slabs become empty. */
static bool is_low_tide(void)
{
	return jiffies / (2 * HZ) % 2;
}

static void exchange(struct place *place, struct soaker *s, unsigned int who,
		     gfp_t gfp)
{
	unsigned int i = below(&s->rnd[who], NR_SLOTS);
	size_t size = slot_size(i);
	void *ptr = NULL;

	if (below(&s->rnd[who], 8) < (is_low_tide() ? 2 : 7)) {
		ptr = bsa_heap_alloc(place->heap, size, gfp | __GFP_NOWARN);
		if (ptr)
			take(ptr, size);
		else
			s->failures[who]++;
	}
	ptr = xchg(&place->slot[i], ptr);
	if (ptr)
		give(place, ptr, size);
	s->exchanges[who]++;
}

static void exchange_bulk(struct place *place, struct soaker *s)
{
	size_t i, nr, size = slot_size(below(&s->rnd[THREAD], 36));
	void *objs[BULK];

	nr = bsa_heap_alloc_bulk(place->heap, size, GFP_ATOMIC | __GFP_NOWARN,
				 1 + below(&s->rnd[THREAD], BULK), objs);
	for (i = 0; i < nr; i++)
		take(objs[i], size);
	for (i = 0; i < nr; i++)
		WRITE_ONCE(*(u64 *)objs[i], 0);
	bsa_heap_free_bulk(place->heap, nr, objs);
}

/* In an object of its own: the new size is seldom that of a slot. */
static void resize(struct place *place, struct soaker *s)
{
	size_t size = sizeof(u64) + below(&s->rnd[THREAD], SZ_8K);
	u64 *ptr, *bigger;

	ptr = bsa_heap_realloc(place->heap, NULL, sizeof(u64),
			       GFP_ATOMIC | __GFP_NOWARN);
	if (!ptr)
		return;
	*ptr = ~mark_of(ptr);
	bigger = bsa_heap_realloc(place->heap, ptr, size,
				  GFP_ATOMIC | __GFP_NOWARN);
	if (bigger) {
		if (*bigger != ~mark_of(ptr))
			wrong("realloc has lost the contents");
		ptr = bigger;
	}
	bsa_heap_free(place->heap, ptr);
}

static void on_interruption(enum bsa_context context)
{
	struct soaker *s = this_cpu_ptr(&soakers);
	struct place *place = &places[below(&s->rnd[context], PASSING)];
	struct bsa_heap *heap = place->heap;

	if (heap)
		s->busy[context] += !(this_cpu_read(heap->cpu->slabs.mark) & 1);
	exchange(place, s, context, GFP_ATOMIC);
}

static void interrupt_somebody(struct soaker *s)
{
	unsigned int context = below(&s->rnd[THREAD], BSA_NMI + 1);
	unsigned int cpu = below(&s->rnd[THREAD], nr_cpu_ids);

	if (cpu_possible(cpu) && (cpu != s->cpu || context != BSA_IPI))
		bsa_interrupt(cpu, context);
}

static void soak_once(struct soaker *s)
{
	struct rnd_state *rnd = &s->rnd[THREAD];
	struct place *place = &places[below(rnd, NR_PLACES)];
	bool passing = place == &places[PASSING];
	gfp_t gfp = below(rnd, 2048) ? GFP_ATOMIC : GFP_KERNEL;

	if (passing && !down_read_trylock(&place->lock))
		return;
	if (place->exists) {
		switch (below(rnd, 64)) {
		case 0:
			exchange_bulk(place, s);
			break;
		case 1:
			resize(place, s);
			break;
		default:
			exchange(place, s, THREAD, gfp);
			break;
		}
	}
	if (passing)
		up_read(&place->lock);
	if (!below(rnd, 16))
		interrupt_somebody(s);
}

static int soak(void *data)
{
	struct soaker *s = data;
	unsigned long calls = 0;
	bool working = false;

	while (!kthread_should_stop()) {
		if (READ_ONCE(round) % 2 != working) {
			working = !working;
			atomic_add(working ? 1 : -1, &running);
		}
		if (!working) {
			usleep_range(500, 1000);
			continue;
		}
		soak_once(s);
		/* Back to where it belongs, if the CPU was away. */
		if (++calls % 1024 == 0 && raw_smp_processor_id() != s->cpu &&
		    cpu_online(s->cpu))
			set_cpus_allowed_ptr(current, cpumask_of(s->cpu));
		cond_resched();
	}
	return 0;
}

/*
 * What happens around them
 */

static unsigned long largest_block(struct bsa_heap *heap)
{
	unsigned long nr = rounddown_pow_of_two(bsa_heap_nr_pages(heap));
	void *ptr;

	for (; nr; nr /= 2) {
		ptr = bsa_heap_alloc_pages(heap, nr, 1,
					   GFP_KERNEL | __GFP_NOWARN);
		if (ptr) {
			bsa_heap_free_pages(heap, ptr, nr);
			break;
		}
	}
	return nr;
}

static void open_place(struct place *place, struct bsa_heap *heap)
{
	struct bsa_stats stats;

	place->heap = heap;
	bsa_heap_get_stats(heap, &stats);
	place->refused = stats.refused_frees;
	place->largest = largest_block(heap);
	place->exists = true;
}

/* Free all that is in the slots; then nothing may be missing. */
static void clear_place(struct place *place)
{
	struct bsa_stats stats;
	unsigned int i;
	void *ptr;

	for (i = 0; i < NR_SLOTS; i++) {
		ptr = xchg(&place->slot[i], NULL);
		if (ptr)
			give(place, ptr, slot_size(i));
	}
	if (largest_block(place->heap) != place->largest)
		wrong("the largest block is gone");
	/* Where that was at hand, CPUs keep their active slabs. */
	bsa_heap_trim(place->heap);
	bsa_heap_get_stats(place->heap, &stats);
	if (stats.live_objects || stats.live_pages)
		wrong("the counters are wrong: something is live");
	if (stats.free_pages != stats.total_pages)
		wrong("pages are lost");
	if (stats.refused_frees != place->refused)
		wrong("a free was refused");
}

static void create_heap(struct place *place, size_t size)
{
	static unsigned int nr;
	char name[BSA_NAME_LEN];
	struct bsa_heap *heap;

	snprintf(name, sizeof(name), "soak%u", nr++);
	heap = bsa_heap_create(name, size, NUMA_NO_NODE);
	if (IS_ERR(heap)) {
		wrong("no heap could be created");
		return;
	}
	open_place(place, heap);
	nr_heaps++;
}

static void destroy_heap(struct place *place)
{
	if (!place->exists)
		return;
	clear_place(place);
	place->exists = false;
	if (bsa_heap_destroy(place->heap)) {
		wrong("a heap could not be destroyed");
		return;
	}
	while (place->nr_regions)
		free_pages_exact(place->region[--place->nr_regions],
				 REGION_SIZE);
}

/* The last heap comes or goes, while others would like to use it. */
static void toggle_heap(struct rnd_state *rnd)
{
	struct place *place = &places[PASSING];

	down_write(&place->lock);
	if (place->exists)
		destroy_heap(place);
	else
		create_heap(place, SZ_1M << below(rnd, 3));
	up_write(&place->lock);
}

/* While others use it. */
static void add_section(void)
{
	struct place *place = &places[PASSING];
	void *region;

	if (!place->exists || place->nr_regions == NR_REGIONS)
		return;
	region = alloc_pages_exact(REGION_SIZE, GFP_KERNEL | __GFP_NOWARN);
	if (!region)
		return;
	if (bsa_heap_add_region(place->heap, region, REGION_SIZE)) {
		wrong("a section could not be added");
		free_pages_exact(region, REGION_SIZE);
		return;
	}
	place->region[place->nr_regions++] = region;
	nr_sections++;
}

static void toggle_cpu(struct rnd_state *rnd)
{
	unsigned int cpu;

	if (nr_cpu_ids == 1)
		return;
	cpu = 1 + below(rnd, nr_cpu_ids - 1);
	if (!cpu_present(cpu))
		return;
	if (cpu_online(cpu) ? remove_cpu(cpu) : add_cpu(cpu))
		wrong("a CPU could not be switched");
	nr_hotplugs++;
}

static void all_cpus_online(void)
{
	unsigned int cpu;

	for_each_present_cpu(cpu)
		if (!cpu_online(cpu) && add_cpu(cpu))
			wrong("a CPU could not be switched");
}

/* All threads begin, or end; false if one does not. */
static bool change_round(unsigned int threads)
{
	unsigned long end = jiffies + 60 * HZ;
	int want;

	WRITE_ONCE(round, round + 1);
	want = round % 2 ? threads : 0;
	while (atomic_read(&running) != want) {
		if (time_after(jiffies, end)) {
			wrong("a thread hangs");
			return false;
		}
		usleep_range(500, 1000);
	}
	return true;
}

static void tell_progress(unsigned long start)
{
	unsigned long exchanges = 0, failures = 0, interrupted = 0, busy = 0;
	unsigned int cpu, i;

	for_each_possible_cpu(cpu) {
		struct soaker *s = per_cpu_ptr(&soakers, cpu);

		for (i = 0; i < BSA_NR_CONTEXTS; i++) {
			interrupted += s->exchanges[i];
			busy += s->busy[i];
			failures += s->failures[i];
		}
		exchanges += s->exchanges[THREAD];
		failures += s->failures[THREAD];
	}
	pr_info("    # mixed_load: %lu s: %lu exchanges, %lu in interruptions, %lu of the fast path, %lu without memory; %lu heaps, %lu sections, CPUs switched %lu times\n",
		(jiffies - start) / HZ, exchanges, interrupted, busy, failures,
		nr_heaps, nr_sections, nr_hotplugs);
	if (interrupted && !busy)
		wrong("no interruption has hit the fast path");
}

/* One round; false if a thread hangs. */
static bool soak_round(struct rnd_state *rnd, unsigned int threads,
		       unsigned long end)
{
	unsigned int i;

	if (!change_round(threads))
		return false;
	while (time_before(jiffies, end) && !READ_ONCE(error)) {
		switch (below(rnd, 8)) {
		case 0:
			toggle_cpu(rnd);
			break;
		case 1:
		case 2:
			toggle_heap(rnd);
			break;
		case 3:
			add_section();
			break;
		default:
			msleep(20);
			break;
		}
	}
	all_cpus_online();
	if (!change_round(threads))
		return false;
	bsa_contexts_wait();
	for (i = 0; i < NR_PLACES; i++)
		if (places[i].exists)
			clear_place(&places[i]);
	nr_rounds++;
	return true;
}

static unsigned int start_threads(struct rnd_state *rnd)
{
	unsigned int cpu, i, nr = 0;
	struct soaker *s;

	for_each_possible_cpu(cpu) {
		s = per_cpu_ptr(&soakers, cpu);
		s->cpu = cpu;
		for (i = 0; i <= BSA_NR_CONTEXTS; i++)
			prandom_seed_state(&s->rnd[i], seed + 64 * cpu + i);
		if (!cpu_online(cpu))
			continue;
		s->task = kthread_create(soak, s, "bsa_soak/%u", cpu);
		if (IS_ERR(s->task)) {
			s->task = NULL;
			wrong("no thread");
			continue;
		}
		set_cpus_allowed_ptr(s->task, cpumask_of(cpu));
		wake_up_process(s->task);
		nr++;
	}
	return nr;
}

static void stop_threads(void)
{
	unsigned int cpu;

	for_each_possible_cpu(cpu)
		if (per_cpu(soakers, cpu).task)
			kthread_stop(per_cpu(soakers, cpu).task);
}

static int __init soak_init(void)
{
	unsigned long start = jiffies, end = start + seconds * HZ, next;
	struct rnd_state rnd;
	unsigned int threads;
	bool hang = false;

	seed = seed ?: get_random_long();
	salt = get_random_long();
	prandom_seed_state(&rnd, seed);
	pr_info("KTAP version 1\n1..1\n");
	pr_info("    KTAP version 1\n    # Subtest: bsa_soak\n    1..1\n");
	pr_info("    # mixed_load: seconds=%u seed=%lu\n", seconds, seed);

	init_rwsem(&places[PASSING].lock);
	open_place(&places[0], NULL);
	create_heap(&places[1], SZ_2M);
	bsa_contexts_start(on_interruption);
	threads = start_threads(&rnd);
	while (time_before(jiffies, end) && !error && !hang) {
		next = jiffies + ROUND * HZ;
		hang = !soak_round(&rnd, threads,
				   time_before(next, end) ? next : end);
		tell_progress(start);
	}
	if (hang) {
		/* It may use anything still. */
		__module_get(THIS_MODULE);
	} else {
		stop_threads();
		bsa_contexts_stop();
		destroy_heap(&places[PASSING]);
		destroy_heap(&places[1]);
	}
	pr_info("    %s 1 mixed_load\n%s 1 bsa_soak\n", error ? "not ok" : "ok",
		error ? "not ok" : "ok");
	return error && !hang ? -EIO : 0;
}
module_init(soak_init);

static void __exit soak_exit(void)
{
}
module_exit(soak_exit);

MODULE_DESCRIPTION("Mixed load for the bsa allocator");
MODULE_LICENSE("GPL");
/* As MODULE_IMPORT_NS() of any version, which takes a word or a string. */
MODULE_INFO(import_ns, "EXPORTED_FOR_KUNIT_TESTING");
