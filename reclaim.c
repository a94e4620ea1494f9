// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is tried before an allocation fails
 *
 * In this order, and only until the request is met:
 *
 *   here      what this CPU and the shared set allocate from is given up. With
 *             __GFP_NORETRY that is all
 *   others    of each CPU: empty slabs, and blocks that are kept
 *   waiting   where the caller may sleep: other CPUs are interrupted for the slabs
 *             that they allocate from and for what their magazines hold, and
 *             bitmaps are waited for. Who is isolated is left alone. At last,
 *             partial slabs whose last objects were freed by two CPUs at once, which
 *             nobody has noticed
 *
 * A request that could not be met if all memory were free fails at once. All of it
 * goes in steps of at most BSA_BATCH slabs or blocks: for no longer a lock is held,
 * or are interrupts off.
 */
#include <bsa/compat.h>
#include <bsa/debug.h>
#include <bsa/percpu.h>
#include <linux/gfp.h>
#include <linux/sched/isolation.h>
#include <linux/smp.h>

/* How often others are interrupted: some of them may be busy at first. */
#define ROUNDS	2

/* Can the request be met now? */
static bool is_met(struct bsa_wish *wish)
{
	struct bsa_heap *heap = wish->heap;
	struct bsa_cpu *c;

	/* What was found is kept here, whole. */
	preempt_disable();
	c = this_cpu_ptr(heap->cpu);
	bsa_kept_flush(c->kept, &heap->buddy, BSA_BATCH);
	preempt_enable();
	if (wish->class < BSA_ALL_CLASSES) {
		wish->obj = bsa_alloc_here(heap, wish->class);
		return wish->obj;
	}
	if (bsa_buddy_fits(&heap->buddy, &wish->block))
		wish->page = bsa_buddy_alloc(&heap->buddy, &wish->block);
	return wish->page;
}

/* Let go of what this CPU allocates from; @class: give slabs of it to others. */
static void give_up_here(struct bsa_heap *heap, unsigned int class)
{
	unsigned long mark;
	struct bsa_cpu *c;

	preempt_disable();
	c = this_cpu_ptr(heap->cpu);
	mark = READ_ONCE(c->slabs.mark);
	/* If the fast path was interrupted, it will be over the next time. */
	if (mark & 1) {
		WRITE_ONCE(c->slabs.mark, BSA_MARK_BUSY);
		barrier();
		bsa_retire_all(c);
		if (class < BSA_ALL_CLASSES)
			bsa_move_slabs(c, class);
		barrier();
		WRITE_ONCE(c->slabs.mark, c->slabs.idle);
	}
	preempt_enable();
}

/* The shared set's active slabs are under its lock. */
static void give_up_shared(struct bsa_heap *heap)
{
	preempt_disable();
	bsa_catch_up(heap);
	bsa_retire_all(&heap->shared);
	preempt_enable();
}

static void take_empty_slabs(struct bsa_cpu *c)
{
	struct bsa_page *empty[BSA_ALL_CLASSES];
	unsigned long flags;
	unsigned int i;

	preempt_disable();
	if (bsa_lock(&c->slabs.lock, flags)) {
		for (i = 0; i < BSA_ALL_CLASSES; i++)
			empty[i] = bsa_slabs_take_empty(&c->slabs, i);
		bsa_unlock(&c->slabs.lock, flags);
		for (i = 0; i < BSA_ALL_CLASSES; i++)
			bsa_release_slab(c->heap, empty[i]);
	}
	preempt_enable();
}

/* Return true if some were found among the next few partial slabs. */
static bool take_unused_slabs(struct bsa_cpu *c, unsigned int class)
{
	struct bsa_page *unused[BSA_BATCH];
	unsigned int nr = 0, i;
	unsigned long flags;

	preempt_disable();
	if (bsa_lock(&c->slabs.lock, flags)) {
		nr = bsa_slabs_take_unused(&c->slabs, class, BSA_BATCH, unused);
		bsa_unlock(&c->slabs.lock, flags);
	}
	for (i = 0; i < nr; i++)
		bsa_release_slab(c->heap, unused[i]);
	preempt_enable();
	return nr;
}

/* Take from one owner what nobody uses, until the request is met. */
static bool take_from(struct bsa_cpu *c, struct bsa_wish *wish)
{
	unsigned long left;

	take_empty_slabs(c);
	if (is_met(wish))
		return true;
	/* Those there are now: while others free more there may be no end. */
	left = bsa_kept_nr_blocks(c->kept);
	for (; left; left -= min_t(unsigned long, left, BSA_BATCH)) {
		bsa_kept_flush(c->kept, &c->heap->buddy, BSA_BATCH);
		if (is_met(wish))
			return true;
	}
	return false;
}

static bool take_from_all(struct bsa_wish *wish)
{
	struct bsa_cpu *c = NULL;

	while ((c = bsa_percpu_next(wish->heap, c)))
		if (take_from(c, wish))
			return true;
	return false;
}

/*
 * Waiting
 */

/* Look through all partial slabs of an owner, a batch at a time. */
static bool search_partial(struct bsa_cpu *c, struct bsa_wish *wish)
{
	unsigned long left;
	unsigned int i;

	for (i = 0; i < BSA_ALL_CLASSES; i++) {
		left = READ_ONCE(c->slabs.shelf[i].nr_partial);
		for (; left; left -= min_t(unsigned long, left, BSA_BATCH))
			if (take_unused_slabs(c, i) && is_met(wish))
				return true;
	}
	return false;
}

static void give_up_on_cpu(void *data)
{
	const struct bsa_wish *wish = data;

	give_up_here(wish->heap, wish->class);
}

/* Is it worth interrupting a CPU? A hint: it may be otherwise a moment later. */
static bool has_something(int cpu, void *data)
{
	const struct bsa_wish *wish = data;
	const struct bsa_cpu *c = per_cpu_ptr(wish->heap->cpu, cpu);
	unsigned int i;

	if (!wish->all && (!housekeeping_cpu(cpu, HK_TYPE_DOMAIN) ||
			   !housekeeping_cpu(cpu, HK_TYPE_TICK)))
		return false;
	for (i = 0; i < BSA_ALL_CLASSES; i++)
		if (READ_ONCE(c->slabs.class[i].active) ||
		    READ_ONCE(c->slabs.class[i].held))
			return true;
	return wish->class < BSA_ALL_CLASSES &&
	       READ_ONCE(c->slabs.shelf[wish->class].nr_partial);
}

/* May the caller wait for other CPUs? */
static bool may_wait(gfp_t gfp)
{
	if (!gfpflags_allow_blocking(gfp))
		return false;
	/* Without a count of preemption the caller's word has to do. */
	return IS_ENABLED(CONFIG_PREEMPT_COUNT) ? preemptible() :
						  in_task() && !irqs_disabled();
}

static bool wait_for_others(struct bsa_wish *wish)
{
	struct bsa_cpu *c = NULL;
	unsigned int i;

	for (i = 0; i < ROUNDS; i++) {
		on_each_cpu_cond_mask(has_something, give_up_on_cpu, wish, true,
				      cpu_online_mask);
		bsa_bitmap_trim(&wish->heap->buddy);
		give_up_shared(wish->heap);
		if (take_from_all(wish))
			return true;
	}
	while ((c = bsa_percpu_next(wish->heap, c)))
		if (search_partial(c, wish))
			return true;
	return false;
}

/*
 * Look for memory for a request that found none. Return true if it is met now.
 */
bool bsa_reclaim(struct bsa_wish *wish)
{
	/* Nobody waits for what would not be enough. */
	if (!bsa_buddy_could(&wish->heap->buddy, &wish->block))
		return false;
	give_up_here(wish->heap, BSA_ALL_CLASSES);
	give_up_shared(wish->heap);
	if (is_met(wish))
		return true;
	if (wish->gfp & __GFP_NORETRY)
		return false;
	return take_from_all(wish) ||
	       (may_wait(wish->gfp) && wait_for_others(wish));
}

/*
 * Give back all that is cached. One caller at a time: what is on its way from a slab
 * to the buddy counts as allocated. Return how many pages became free blocks.
 */
unsigned long bsa_trim(struct bsa_heap *heap)
{
	struct bsa_wish wish = {
		.heap = heap,
		.class = BSA_ALL_CLASSES,
		.all = true,
		/* Never met, so nothing is left out. */
		.block.order = BSA_MAX_PAGE_ORDER + 1,
	};
	unsigned long before = READ_ONCE(heap->buddy.free_pages), now;

	if (bsa_debug_on(heap))
		bsa_debug_let_go(heap);
	give_up_here(heap, BSA_ALL_CLASSES);
	wait_for_others(&wish);
	now = READ_ONCE(heap->buddy.free_pages);
	return now > before ? now - before : 0;
}
