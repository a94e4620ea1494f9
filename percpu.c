// SPDX-License-Identifier: GPL-2.0-only
/*
 * CPUs that come and go, and the sets of slabs of a heap
 *
 * When a CPU goes offline what it owned becomes the shared set's, from where other
 * CPUs take it. Nothing is lost meanwhile: frees set bits, whoever the owner is.
 */
#include <bsa/compat.h>
#include <bsa/debug.h>
#include <bsa/heap.h>
#include <linux/cpu.h>
#include <linux/cpuhotplug.h>

/* Descriptors that are looked at while a lock is held. */
#define WALK_BATCH	256

DEFINE_PER_CPU(bool, bsa_locking);
EXPORT_PER_CPU_SYMBOL_GPL(bsa_locking);
DEFINE_PER_CPU(struct bsa_cpu *, bsa_this_cpu);

/* Who an owner's number stands for that is not BSA_NOBODY. */
struct bsa_cpu *bsa_owner_cpu(u32 owner)
{
	return bsa_owner_in(bsa_heap_by_id(owner >> BSA_OWNER_HEAP_SHIFT), owner);
}
EXPORT_SYMBOL_IF_KUNIT(bsa_owner_cpu);

struct cpumask bsa_seen_cpus;
EXPORT_SYMBOL_IF_KUNIT(bsa_seen_cpus);

/* Give full slabs among some pages to the shared set: they are on no list. */
static void move_full(struct bsa_cpu *c, struct bsa_page *page,
		      unsigned long nr)
{
	u32 full = c->slabs.number | BSA_OWNER_FULL;
	unsigned long flags;

	if (WARN_ON_ONCE(!bsa_lock(&c->slabs.lock, flags)))
		return;
	for (; nr--; page++)
		if (READ_ONCE(page->owner) == full &&
		    page->state == BSA_PAGE_SLAB_FULL)
			/* A free has a look at it, under whichever lock. */
			WRITE_ONCE(page->owner, c->heap->shared.slabs.number |
						BSA_OWNER_FULL);
	bsa_unlock(&c->slabs.lock, flags);
}

static void move_all_full(struct bsa_cpu *c)
{
	struct bsa_buddy *buddy = &c->heap->buddy;
	struct bsa_range *range;
	unsigned long done, nr;
	unsigned int i, nr_sections;

	/* Pairs with bsa_buddy_publish() (model/litmus/publish-section.litmus). */
	nr_sections = smp_load_acquire(&buddy->nr_sections);
	for (i = 0; i < nr_sections; i++) {
		range = &buddy->section[i]->range;
		for (done = 0; done < range->nr_pages; done += nr) {
			nr = min_t(unsigned long, range->nr_pages - done,
				   WALK_BATCH);
			move_full(c, range->pages + done, nr);
			cond_resched();
		}
	}
}

/* A CPU is gone: what it owned of a heap becomes the shared set's. */
static void leave_to_others(struct bsa_heap *heap, void *data)
{
	struct bsa_cpu *c = per_cpu_ptr(heap->cpu, *(unsigned int *)data);
	unsigned int class;

	preempt_disable();
	bsa_retire_all(c);
	preempt_enable();
	/* First, since a free may make partial slabs of them. */
	move_all_full(c);
	for (class = 0; class < BSA_ALL_CLASSES; class++) {
		bool more = true;

		while (more) {
			preempt_disable();
			more = bsa_move_slabs(c, class);
			preempt_enable();
		}
	}
}

static int cpu_dead(unsigned int cpu)
{
	bsa_heaps_for_each(leave_to_others, &cpu);
	return 0;
}

static int cpu_comes(unsigned int cpu)
{
	cpumask_set_cpu(cpu, &bsa_seen_cpus);
	return 0;
}

/* What the mark of a set of slabs is while nobody is inside a call. */
unsigned long bsa_percpu_mark(const struct bsa_cpu *c)
{
	/* Busy for good: then nobody is ever on the fast path. */
	if (c->heap->debug && c != &c->heap->shared)
		return BSA_MARK_BUSY;
	/* Where frees have to zero, free_fast() finds no slab its own. */
	return want_init_on_free() ? BSA_MARK_NOBODY : c->slabs.number;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_percpu_mark);

static void init_cpu(struct bsa_heap *heap, struct bsa_cpu *c,
		     unsigned int cpu)
{
	u32 number = heap->id << BSA_OWNER_HEAP_SHIFT |
		     (cpu + 1) << BSA_OWNER_CPU_SHIFT | 1;

	memset(c, 0, sizeof(*c));
	bsa_slabs_init(&c->slabs, number, &heap->buddy);
	bsa_kept_init(c->kept, heap->debug || want_init_on_free());
	c->heap = heap;
	c->cpu = cpu;
	c->slabs.idle = bsa_percpu_mark(c);
	c->slabs.mark = c->slabs.idle;
}

/* Set up the slabs of a heap that has @cpu, @buddy and @id. May sleep. */
void bsa_percpu_init(struct bsa_heap *heap)
{
	unsigned int cpu;

	BUILD_BUG_ON(BSA_MAX_HEAPS << BSA_OWNER_HEAP_SHIFT != BSA_MARK_NOBODY >> 1 << 1);
	BUILD_BUG_ON(CONFIG_NR_CPUS + 1 >= BIT(BSA_OWNER_CPU_BITS));

	for_each_possible_cpu(cpu)
		init_cpu(heap, per_cpu_ptr(heap->cpu, cpu), cpu);
	init_cpu(heap, &heap->shared, nr_cpu_ids);
	if (heap == &bsa_default_heap)
		for_each_possible_cpu(cpu)
			per_cpu(bsa_this_cpu, cpu) = per_cpu_ptr(heap->cpu, cpu);
}

static enum cpuhp_state hotplug_state;

/* Watch CPUs come and go. Return 0 or a negative error. */
int bsa_percpu_start(void)
{
	int state = cpuhp_setup_state(CPUHP_BP_PREPARE_DYN, "bsa:dead",
				      cpu_comes, cpu_dead);

	if (state < 0)
		return state;
	hotplug_state = state;
	return 0;
}

/* Stop watching CPUs. */
void bsa_percpu_stop(void)
{
	cpuhp_remove_state_nocalls(hotplug_state);
}
