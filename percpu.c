// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who owns which slab: the fast path, remote frees, and how memory comes back
 *
 * Every slab has an owner: a CPU, or the heap's shared set. slab->owner names
 * it, and decides who may do what:
 *
 *   free[]    is written by the owner alone, without atomics. For a CPU that is
 *             code on this CPU with preemption off that has found cpu->idle odd,
 *             and made it even: the CPU is busy. For the shared set it is
 *             whoever holds shared.lock.
 *   remote[]  (free[] + BSA_REMOTE) is set by everybody else, with
 *             test_and_set_bit(), and taken over by the owner, a word at a
 *             time, with xchg().
 *   ttl       is the owner's, as free[] is.
 *   the lists change under the owner's lock.
 *   class[].active, .free and .base change under the owner's lock, too, and for
 *             a CPU only on that CPU while it is busy. So no other CPU ever
 *             takes an active slab away.
 *
 * Lock order: cpu->lock, then the lock of the bitmap pool, then buddy->lock.
 * Never two of cpu->lock at once.
 *
 * Contexts. The fast path turns off neither interrupts nor anything else but
 * preemption. Whoever interrupts it finds the CPU busy, and leaves its slabs
 * alone: a free becomes a remote free, which needs no lock; an allocation takes
 * from the shared set. From NMI an allocation that misses the fast path fails,
 * and a free waits for no lock: see free_last_in_nmi() and, for pages, buddy.c.
 *
 * Remote frees. One atomic operation sets the bit; whoever finds it set has
 * found a double free. Then the slab is queued on its owner's llist, unless it
 * is queued already: node.next says so, and nothing is written into the freed
 * object. The owner drains that queue when its lists run dry, so it never
 * searches full slabs. Once the bit is set, the slab may be gone: drained,
 * given back, somebody else's. So queueing tolerates being late. A slab that is
 * found on the queue of someone who does not own it is passed on.
 *
 * Reclaim. When an allocation is about to fail, it takes unused slabs from other
 * CPUs, under their lock. A slab is unused if it is not active and all its
 * objects are free in one bitmap or the other. Then no object lives; the only
 * one that may still touch the slab is its owner, between two steps of a free:
 *
 *   owner                                reclaimer
 *   idle = slab                          (holds owner's lock)
 *   set the bit in free[]                read free[], remote[]: all are set
 *   ttl--, and if it is 0:               read ttl: is it the number of objects
 *     take the lock, place the slab        that are not in free[], and not 0?
 *   idle = owner
 *
 * Between the two steps ttl is one too large, whatever the order in which the
 * reclaimer sees the stores, so the slab is not taken; a free that has not
 * returned yet is not one that the allocation could rely on. After them the
 * owner does not touch the slab any more.
 *
 * A free of an object that is free already stores nothing. But between looking
 * at slab->owner and at the bit it could be overtaken, and the slab become
 * somebody else's. So every free names its slab in idle until then, whoever owns
 * it, and the reclaimer first makes the slab nobody's, and then looks at idle of
 * all CPUs: as long as one names a slab, a free is under way, and if it names this
 * slab it is left alone. What remains is the time for which a store stays in the
 * store buffer of the CPU that frees twice, since no barrier is on the fast path;
 * and that the owner gives back a slab of its own without looking at other CPUs,
 * of which there may be many.
 *
 * Blocks of pages that are kept for some CPU (pcp.c) go back to the buddy then,
 * too. What another CPU holds as its active slab only that CPU can let go of.
 * Where the caller may sleep, it is asked to by an IPI.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <bsa/compat.h>
#include <bsa/debug.h>
#include <bsa/percpu.h>
#include <bsa/tools.h>
#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/percpu.h>
#include <linux/ratelimit.h>
#include <linux/slab.h>
#include <linux/smp.h>

/* Slabs that one allocation drains before it rather takes fresh pages. */
#define DRAIN_BATCH	4

/*
 * Remote frees in the current word that are worth taking over at once. Of a slab
 * that somebody is freeing into just now there would be a few at a time.
 */
#define DRAIN_WORTH	8

/* Slabs that move between owners while a lock is held. */
#define MOVE_BATCH	32

/* Flags that leave the fast path. */
#define GFP_SLOW	(__GFP_ZERO | __GFP_NOFAIL)

static DEFINE_PER_CPU_ALIGNED(struct bsa_cpu, bsa_default_cpu);

/* Each CPU's own, to be had with one instruction. */
static DEFINE_PER_CPU(struct bsa_cpu *, bsa_this_cpu);

struct bsa_heap bsa_default_heap = {
	.name = "default",
	.cpu = &bsa_default_cpu,
};
EXPORT_SYMBOL_IF_KUNIT(bsa_default_heap);

/*
 * An owner is a number: the index of the heap, that of the CPU, and two bits.
 * The number is odd, and the one before it is neither BSA_NOBODY nor an owner.
 * No owner, of whatever heap, is like IDLE_NOBODY, which is odd, too.
 * Heaps come and go in process context; whoever looks one up holds something
 * of it.
 */
#define OWNER_CPU_SHIFT	2
#define OWNER_CPU_BITS	14
#define OWNER_HEAP_SHIFT	(OWNER_CPU_SHIFT + OWNER_CPU_BITS)
/*
 * What all owners of one heap have in common, and neither BSA_NOBODY nor the mark
 * of a busy CPU has.
 */
#define OWNER_HEAP_MASK		(~0U << OWNER_HEAP_SHIFT | 3)
#define MAX_HEAPS	256
#define IDLE_NOBODY	((unsigned long)MAX_HEAPS << OWNER_HEAP_SHIFT | 1)

static struct bsa_heap *heaps[MAX_HEAPS];
static DEFINE_MUTEX(heaps_mutex);

static u32 owner_number(const struct bsa_heap *heap, unsigned int cpu)
{
	return heap->id << OWNER_HEAP_SHIFT | (cpu + 1) << OWNER_CPU_SHIFT | 1;
}

/* Who an owner's number stands for, in the heap whose CPUs these are. */
static struct bsa_cpu *owner_of(struct bsa_cpu __percpu *cpu, u32 owner)
{
	unsigned int nr = (owner >> OWNER_CPU_SHIFT & (BIT(OWNER_CPU_BITS) - 1)) - 1;

	if (nr == nr_cpu_ids)
		return &raw_cpu_read(cpu->heap)->shared;
	return per_cpu_ptr(cpu, nr);
}

/**
 * bsa_owner_cpu - who an owner's number stands for
 * @owner: from &bsa_page.owner, not %BSA_NOBODY
 */
struct bsa_cpu *bsa_owner_cpu(u32 owner)
{
	return owner_of(READ_ONCE(heaps[owner >> OWNER_HEAP_SHIFT])->cpu, owner);
}
EXPORT_SYMBOL_IF_KUNIT(bsa_owner_cpu);

/**
 * bsa_percpu_next - step through the sets of slabs of a heap
 * @heap: the heap
 * @cpu: the set before, or NULL
 *
 * Return: the set of each possible CPU, the shared one, NULL.
 */
struct bsa_cpu *bsa_percpu_next(struct bsa_heap *heap, struct bsa_cpu *cpu)
{
	unsigned int next;

	if (cpu == &heap->shared)
		return NULL;
	next = cpumask_next(cpu ? (int)cpu->cpu : -1, cpu_possible_mask);
	return next < nr_cpu_ids ? per_cpu_ptr(heap->cpu, next) : &heap->shared;
}

/*
 * The fast path
 */

/*
 * From here on whoever interrupts leaves the CPU's slabs alone. Return false if
 * it is us who interrupted. Preemption is off.
 */
static __always_inline bool enter(struct bsa_cpu *c)
{
	/* Only this CPU writes it; a reclaim may read it. */
	return likely(data_race(__test_and_clear_bit(0, &c->idle)));
}

static __always_inline void leave(struct bsa_cpu *c)
{
	barrier();
	/* As above. */
	data_race(c->idle |= 1);
}

/*
 * Where the class for a request is, in bytes from the first one; by size, in
 * steps of 8 bytes.
 */
#define AT(index)	((index) * sizeof(struct bsa_class))
static const u16 class_at[BSA_MAX_OBJECT / 8] = {
	[0] = AT(0),
	[1] = AT(1),
	[2 ... 3] = AT(2),
	[4 ... 7] = AT(3),
	[8 ... 15] = AT(4),
	[16 ... 31] = AT(5),
	[32 ... 47] = AT(9),
	[48 ... 63] = AT(6),
	[64 ... 95] = AT(10),
	[96 ... 127] = AT(7),
	[128 ... 191] = AT(11),
	[192 ... 255] = AT(8),
};

static void *alloc_refill(size_t size, gfp_t gfp, struct bsa_cpu *c,
			  struct bsa_class *class, unsigned long caller);

/*
 * Take an object that this CPU has at hand, of the class that is @at; else leave
 * it to others. Preemption is off, and on again afterwards.
 */
static __always_inline void *alloc_fast(struct bsa_cpu *c, unsigned long at,
					size_t size, gfp_t gfp)
{
	struct bsa_class *class = NULL;
	void *obj;

	if (likely(enter(c))) {
		class = (void *)c->slabs.class + at;
		if (likely(bsa_class_take(class, &obj))) {
			leave(c);
			preempt_enable();
			bsa_hand_out(obj, size, bsa_class_size(at / AT(1)));
			return obj;
		}
	}
	return alloc_refill(size, gfp, c, class, _RET_IP_);
}

static void free_last(struct bsa_cpu *c, struct bsa_page *slab,
		      const void *ptr, unsigned int freed);
static void free_other(const void *ptr, struct bsa_page *slab,
		       struct bsa_cpu __percpu *cpu, unsigned long idle,
		       unsigned long caller);
static void heap_free_other(struct bsa_page *slab, const void *ptr,
			    struct bsa_cpu __percpu *cpu, unsigned long idle,
			    unsigned long caller);

/*
 * Free an object that is this CPU's own; else leave it to others. Preemption is
 * off, and on again afterwards. If @ptr is the @second parameter it stays where
 * it is: moving it would cost every free an instruction.
 */
static __always_inline void free_fast(struct bsa_cpu __percpu *cpu,
				      const void *ptr, bool second)
{
	struct bsa_page *slab = bsa_page_of(ptr);
	unsigned long index, class, idle;

	/*
	 * One comparison tells whether the slab is ours, and whether the CPU
	 * was idle. It comes after the store: until then an interrupt may give
	 * the slab away.
	 */
	idle = __this_cpu_read(cpu->idle);
	__this_cpu_write(cpu->idle, (unsigned long)slab);
	/* Pairs with smp_mb() in take_away(), as far as it goes without one. */
	barrier();
	/* Of a slab that is not ours it may change; but never to ours. */
	if (unlikely(data_race(slab->owner) != (u32)idle))
		goto odd;
	class = slab->class;
	index = bsa_slab_index(slab, ptr);
	if (unlikely(index >= BSA_MAX_OBJECTS ||
		     !bsa_slab_put(slab, index, ptr)))
		goto odd;
	__this_cpu_inc(cpu->slabs.frees[class]);
	/* A reclaim may read it, and takes whatever it was before for more. */
	if (unlikely(!data_race(--slab->ttl))) {
		free_last(this_cpu_ptr(cpu), slab, ptr, 1);
	} else {
		barrier();
		__this_cpu_write(cpu->idle, idle);
	}
	preempt_enable();
	return;
odd:
	/* The slab is named until they have looked at its bits. */
	if (second)
		heap_free_other(slab, ptr, cpu, idle, _RET_IP_);
	else
		free_other(ptr, slab, cpu, idle, _RET_IP_);
}

/*
 * Slow paths
 */

/* Take a block that is kept, for whichever CPU. */
static struct bsa_page *alloc_kept(struct bsa_heap *heap, unsigned int order,
				   bool low)
{
	struct bsa_page *page;
	struct bsa_cpu *c;

	for (c = bsa_percpu_next(heap, NULL); c; c = bsa_percpu_next(heap, c))
		if (bsa_pcp_alloc(&c->pcp[order], low, &page))
			return page;
	return NULL;
}

/* Take a block for slabs of @c. */
static struct bsa_page *alloc_block(struct bsa_cpu *c, unsigned int order)
{
	struct bsa_page_request req = { .order = order, .internal = true };
	struct bsa_page *page;

	if (bsa_pcp_alloc(&c->pcp[order], false, &page))
		return page;
	page = bsa_buddy_alloc(&c->heap->buddy, &req);
	return page ?: alloc_kept(c->heap, order, false);
}

/*
 * Keep a block, unless @spare more than callers hold are kept; @pcp is that of its
 * order. Preemption is off.
 */
static __always_inline bool keep_block(struct bsa_heap *heap,
				       struct bsa_pcp __percpu *pcp,
				       struct bsa_page *page, const void *addr,
				       const long *spare)
{
	return likely(page->order < BSA_PCP_ORDERS &&
		      bsa_pcp_free(this_cpu_ptr(pcp), page, addr,
				   bsa_page_is_low(&heap->buddy, page), spare));
}

/* Free a block that the allocator holds. With debug= none is kept. */
static void free_block(struct bsa_heap *heap, struct bsa_page *page)
{
	static const long spare = BSA_PCP_SPARE;

	if (bsa_debug_on(heap) ||
	    !keep_block(heap, &heap->cpu->pcp[page->order], page,
			bsa_page_address(&heap->buddy, page), &spare))
		bsa_buddy_free(&heap->buddy, page);
}

/* Give back the pages of a slab that is nobody's. */
static void release_slab(struct bsa_heap *heap, struct bsa_page *slab)
{
	if (!slab)
		return;
	if (bsa_debug_on(heap))
		free_block(heap, bsa_debug_stop_slab(heap, slab));
	bsa_slab_release(&heap->pool, slab);
	free_block(heap, slab);
}

static noinline void queue_first(struct bsa_cpu __percpu *cpu, u32 owner,
				 struct bsa_page *slab)
{
	if (cmpxchg(&slab->node.next, BSA_NOT_QUEUED, NULL) == BSA_NOT_QUEUED)
		llist_add(&slab->node, &owner_of(cpu, owner)->remote);
}

/*
 * Tell the owner that a slab has remote frees. Follows the atomic operation on
 * remote[], which is a full barrier; pairs with next_queued(): either this
 * finds the slab no longer queued, or the owner, who has taken it off the
 * queue, finds the bit.
 */
static __always_inline void queue_slab(struct bsa_cpu __percpu *cpu, u32 owner,
				       struct bsa_page *slab)
{
	/* A hint: cmpxchg() decides. */
	if (unlikely(data_race(slab->node.next) == BSA_NOT_QUEUED))
		queue_first(cpu, owner, slab);
}

/* Take a slab off the queue; the caller holds the lock. */
static struct bsa_page *next_queued(struct bsa_cpu *c)
{
	struct llist_node *node;

	if (!c->pending && !llist_empty(&c->remote))
		c->pending = llist_del_all(&c->remote);
	node = c->pending;
	if (!node)
		return NULL;
	c->pending = node->next;
	/* A full barrier, before remote[] is read; see queue_slab(). */
	xchg(&node->next, BSA_NOT_QUEUED);
	return llist_entry(node, struct bsa_page, node);
}

/* A slab was found on the queue of @c, who does not own it (any more). */
static void pass_on(struct bsa_heap *heap, struct bsa_page *slab)
{
	u32 owner = READ_ONCE(slab->owner);

	if (owner != BSA_NOBODY)
		queue_slab(heap->cpu, owner, slab);
}

/*
 * Take over what others have freed in up to @max queued slabs. The caller holds
 * the lock and is the owner. Return true if any was queued.
 */
static __always_inline bool drain_queued(struct bsa_cpu *c, unsigned int max)
{
	struct bsa_page *slab;
	bool any = false;

	while (max-- && (slab = next_queued(c))) {
		any = true;
		if (slab->owner == c->slabs.owner)
			release_slab(c->heap, bsa_slabs_drain(&c->slabs, slab));
		else
			pass_on(c->heap, slab);
	}
	return any;
}

/*
 * In NMI somebody below us may hold the lock that is needed to put a slab on
 * another list. So make the free, which nobody has relied on yet, a remote one.
 */
static noinline void free_last_in_nmi(struct bsa_cpu *c, struct bsa_page *slab,
				      const void *ptr)
{
	unsigned long index = bsa_slab_index(slab, ptr);

	c->slabs.frees[slab->class]--;
	__clear_bit(index, slab->free);
	WRITE_ONCE(slab->ttl, 1);
	if (!test_and_set_bit(index, slab->free + BSA_REMOTE)) {
		queue_slab(c->heap->cpu, c->slabs.owner, slab);
		c->remote_frees++;
	}
}

/*
 * A free has changed which list its slab belongs on. Ends the free. In NMI it was
 * of one object, @ptr.
 */
static noinline void free_last(struct bsa_cpu *c, struct bsa_page *slab,
			       const void *ptr, unsigned int freed)
{
	struct bsa_page *release = NULL;
	unsigned long flags;

	if (slab->state == BSA_PAGE_SLAB_ACTIVE) {
		/* It is on no list. */
		bsa_slabs_place_freed(&c->slabs, slab, freed);
	} else if (unlikely(in_nmi())) {
		free_last_in_nmi(c, slab, ptr);
	} else {
		raw_spin_lock_irqsave(&c->lock, flags);
		release = bsa_slabs_place_freed(&c->slabs, slab, freed);
		raw_spin_unlock_irqrestore(&c->lock, flags);
	}
	if (release)
		release_slab(c->heap, release);
	WRITE_ONCE(c->idle, c->slabs.owner);
}

/* As new_slab() with @page, and with pages for what debug= knows about it. */
static bool new_debug_slab(struct bsa_cpu *c, struct bsa_class *class,
			   struct bsa_page *page)
{
	unsigned int index = class - c->slabs.class;
	struct bsa_page *table;

	table = alloc_block(c, bsa_debug_table_order(page, index));
	if (!table) {
		free_block(c->heap, page);
		return false;
	}
	if (!bsa_slabs_start(&c->slabs, class, page)) {
		free_block(c->heap, table);
		free_block(c->heap, page);
		return false;
	}
	bsa_debug_start_slab(c->heap, class, page, table);
	return true;
}

/* Get a fresh slab from the buddy. The caller holds the lock and owns @c. */
static bool new_slab(struct bsa_cpu *c, struct bsa_class *class)
{
	unsigned int order = bsa_slab_order(class - c->slabs.class);
	struct bsa_page *page = alloc_block(c, order);

	/* Rather a small slab than none. */
	if (unlikely(!page) && order)
		page = alloc_block(c, 0);
	if (unlikely(!page))
		return false;
	if (bsa_debug_on(c->heap))
		return new_debug_slab(c, class, page);
	if (likely(bsa_slabs_start(&c->slabs, class, page)))
		return true;
	free_block(c->heap, page);
	return false;
}

/*
 * Make a partial slab of the shared set @c's own, if there is one. The caller
 * holds the lock of @c, which is dropped in between, owns it, and has interrupts
 * off.
 */
static bool adopt_shared(struct bsa_cpu *c, struct bsa_class *class)
{
	struct bsa_cpu *shared = &c->heap->shared;
	struct bsa_class *from = shared->slabs.class + (class - c->slabs.class);
	struct bsa_page *slab;

	if (c == shared)
		return false;
	/* Is the lock worth it? Whoever holds it decides. */
	if (!data_race(from->nr_partial || shared->pending) &&
	    llist_empty(&shared->remote))
		return false;

	raw_spin_unlock(&c->lock);
	raw_spin_lock(&shared->lock);
	if (list_empty(&from->partial))
		drain_queued(shared, DRAIN_BATCH);
	slab = list_first_entry_or_null(&from->partial, struct bsa_page, list);
	if (slab)
		bsa_slabs_detach(&shared->slabs, slab, c->slabs.owner);
	raw_spin_unlock(&shared->lock);
	raw_spin_lock(&c->lock);
	if (slab)
		release_slab(c->heap, bsa_slabs_attach(&c->slabs, slab));
	return slab;
}

/*
 * Get a slab with free objects from further away. The caller holds the lock,
 * owns @c, and has interrupts off.
 */
static noinline bool refill_more(struct bsa_cpu *c, struct bsa_class *class)
{
	if (drain_queued(c, DRAIN_BATCH) && bsa_slabs_refill(&c->slabs, class))
		return true;
	if (adopt_shared(c, class) && bsa_slabs_refill(&c->slabs, class))
		return true;
	return new_slab(c, class);
}

/* Have others freed enough in the current word? */
static __always_inline bool worth_draining(const struct bsa_class *class)
{
	unsigned long remote = READ_ONCE(class->free[BSA_REMOTE]);

	/* Without an active slab there is nothing. */
	return remote && hweight_long(remote & ~bsa_slab_holes(class->active)) >=
			 DRAIN_WORTH;
}

/* Take an object where the fast path found none. */
static __always_inline bool take(struct bsa_cpu *c, struct bsa_class *class,
				 void **obj)
{
	if (bsa_debug_on(c->heap) &&
	    bsa_debug_flag(c->heap, BSA_DEBUG_RANDOM)) {
		*obj = bsa_debug_take_random(c->heap, class);
		return *obj;
	}
	return bsa_class_take(class, obj);
}

/* Allocate as the owner of @c: busy or, if it is the shared set, whoever it is. */
static __always_inline void *alloc_owner(struct bsa_cpu *c,
					 struct bsa_class *class, bool shared)
{
	unsigned long flags;
	void *obj = NULL;
	bool ready;

	/* What the shared set has is not to be looked at without its lock. */
	if (!shared && worth_draining(class)) {
		bsa_slabs_drain_word(&c->slabs, class);
		if (bsa_class_take(class, &obj))
			return obj;
	}

	raw_spin_lock_irqsave(&c->lock, flags);
	do {
		ready = bsa_slabs_refill(&c->slabs, class) ||
			refill_more(c, class);
		/* Not taken if a bad free came in between. */
	} while (ready && !take(c, class, &obj));
	raw_spin_unlock_irqrestore(&c->lock, flags);
	return obj;
}

/* Allocate on this CPU, as its owner or, if that was interrupted, shared. */
static void *alloc_here(struct bsa_heap *heap, unsigned int index)
{
	struct bsa_class *class;
	struct bsa_cpu *c;
	void *obj;

	preempt_disable();
	c = this_cpu_ptr(heap->cpu);
	class = &c->slabs.class[index];
	if (enter(c)) {
		if (READ_ONCE(class->free[BSA_REMOTE]))
			bsa_slabs_drain_word(&c->slabs, class);
		if (!bsa_class_take(class, &obj))
			obj = alloc_owner(c, class, false);
		leave(c);
	} else {
		c = &heap->shared;
		obj = alloc_owner(c, &c->slabs.class[index], true);
	}
	preempt_enable();
	return obj;
}

/*
 * Reclaim
 */

static void release_held(struct bsa_heap *heap, bool all);

/* How often a reclaim looks whether a free of something else is over. */
#define IDLE_LOOKS	64

/* Is a CPU in the middle of a free into the slab? */
static bool is_named(struct bsa_heap *heap, const struct bsa_page *slab)
{
	unsigned int cpu, looks;
	unsigned long idle;

	for_each_possible_cpu(cpu) {
		looks = cpu == raw_smp_processor_id() ? 1 : IDLE_LOOKS;
		do {
			idle = READ_ONCE(per_cpu_ptr(heap->cpu, cpu)->idle);
			if (idle == (unsigned long)slab)
				return true;
			/* A number, not a slab: nobody frees. */
			if (idle <= U32_MAX)
				break;
			/* The interruption of a free that names it, perhaps. */
			cpu_relax();
		} while (--looks);
	}
	return false;
}

/*
 * Take a slab away from its owner, if it is unused and no free is about to touch
 * it; see the top of this file. The caller holds the owner's lock.
 */
static bool take_away(struct bsa_cpu *c, struct bsa_page *slab)
{
	u32 owner = c->slabs.owner;

	if (!bsa_slab_is_unused(slab))
		return false;
	WRITE_ONCE(slab->owner, BSA_NOBODY);
	/* A free that comes from here on finds that; pairs with free_fast(). */
	smp_mb();
	if (is_named(c->heap, slab)) {
		WRITE_ONCE(slab->owner, owner);
		return false;
	}
	bsa_slabs_detach(&c->slabs, slab, BSA_NOBODY);
	return true;
}

/*
 * Give back the unused slabs of any owner that are on its lists. Return true if
 * some were passed on to others, who then have to be looked at (again).
 */
static bool reclaim_cpu(struct bsa_cpu *c)
{
	struct llist_node *node, *next, *keep = NULL;
	struct bsa_page *slab, *other;
	bool passed_on = false;
	unsigned long flags;
	unsigned int class;

	raw_spin_lock_irqsave(&c->lock, flags);
	for (class = 0; class < BSA_ALL_CLASSES; class++) {
		struct list_head *empty = &c->slabs.class[class].empty;

		list_for_each_entry_safe(slab, other, empty, list)
			if (take_away(c, slab))
				release_slab(c->heap, slab);
	}

	for (;;) {
		node = c->pending ?: llist_del_all(&c->remote);
		if (!node)
			break;
		for (; node; node = next) {
			bool ours, taken;

			next = node->next;
			slab = llist_entry(node, struct bsa_page, node);
			ours = slab->owner == c->slabs.owner;
			taken = ours && take_away(c, slab);
			if (ours && !taken) {
				WRITE_ONCE(node->next, keep);
				keep = node;
				continue;
			}
			/* A full barrier, as in next_queued(). */
			xchg(&node->next, BSA_NOT_QUEUED);
			if (taken) {
				release_slab(c->heap, slab);
			} else {
				pass_on(c->heap, slab);
				passed_on = true;
			}
		}
		WRITE_ONCE(c->pending, NULL);
	}
	WRITE_ONCE(c->pending, keep);
	raw_spin_unlock_irqrestore(&c->lock, flags);
	return passed_on;
}

/* Move up to MOVE_BATCH slabs of a class from @c's lists to the shared set. */
static bool give_away(struct bsa_cpu *c, unsigned int index, bool full)
{
	struct bsa_class *class = &c->slabs.class[index];
	struct bsa_cpu *shared = &c->heap->shared;
	struct bsa_page *slab, *next;
	unsigned int nr = 0;
	LIST_HEAD(moving);

	raw_spin_lock(&c->lock);
	while (nr < MOVE_BATCH) {
		slab = list_first_entry_or_null(&class->partial,
						struct bsa_page, list);
		if (!slab && full)
			slab = list_first_entry_or_null(&class->full,
							struct bsa_page, list);
		if (!slab)
			break;
		bsa_slabs_detach(&c->slabs, slab, shared->slabs.owner);
		list_add(&slab->list, &moving);
		nr++;
	}
	raw_spin_unlock(&c->lock);

	raw_spin_lock(&shared->lock);
	list_for_each_entry_safe(slab, next, &moving, list)
		release_slab(c->heap, bsa_slabs_attach(&shared->slabs, slab));
	raw_spin_unlock(&shared->lock);
	return nr == MOVE_BATCH;
}

/*
 * Let go of the active slabs of @c, take over all that others have freed, and
 * give unused slabs back. Interrupts are off; the caller is the owner, or @c is
 * the shared set.
 */
static void flush_owner(struct bsa_cpu *c)
{
	unsigned int class;

	raw_spin_lock(&c->lock);
	while (drain_queued(c, DRAIN_BATCH))
		;
	for (class = 0; class < BSA_ALL_CLASSES; class++)
		release_slab(c->heap, bsa_slabs_deactivate(&c->slabs,
							   &c->slabs.class[class]));
	raw_spin_unlock(&c->lock);
	reclaim_cpu(c);
}

static void flush_shared(struct bsa_heap *heap)
{
	unsigned long flags;

	local_irq_save(flags);
	flush_owner(&heap->shared);
	local_irq_restore(flags);
}

/* As reclaim_cpu(), for every owner. */
static bool reclaim_all(struct bsa_heap *heap)
{
	bool passed_on = false;
	struct bsa_cpu *c;

	for (c = bsa_percpu_next(heap, NULL); c; c = bsa_percpu_next(heap, c))
		passed_on |= reclaim_cpu(c);
	return passed_on;
}

/**
 * struct flush_request - what CPUs are asked to let go of
 * @heap: of which heap
 * @class: partial slabs of this class, too; BSA_ALL_CLASSES: of none, since pages
 *	are wanted
 */
struct flush_request {
	struct bsa_heap *heap;
	unsigned int class;
};

/* Runs on each CPU, with interrupts off. */
static void flush_here(void *data)
{
	struct flush_request *req = data;
	struct bsa_cpu *c = this_cpu_ptr(req->heap->cpu);

	/* The fast path was interrupted; it will be over the next time. */
	if (!enter(c))
		return;
	flush_owner(c);
	while (req->class < BSA_ALL_CLASSES && give_away(c, req->class, false))
		;
	leave(c);
}

/**
 * enum reclaim_step - what to do before an allocation fails
 * @RECLAIM_HERE: take what this CPU has, and what is unused elsewhere
 * @RECLAIM_EVERYWHERE: interrupt all CPUs, where the caller may wait for that
 * @RECLAIM_AGAIN: once more, since some of them may have been busy
 * @RECLAIM_DONE: there is nothing more to do
 *
 * After each step the allocation is tried again.
 */
enum reclaim_step {
	RECLAIM_HERE,
	RECLAIM_EVERYWHERE,
	RECLAIM_AGAIN,
	RECLAIM_DONE,
};

/* Take one step; @class as in struct flush_request. */
static void reclaim(struct bsa_heap *heap, unsigned int class,
		    enum reclaim_step step, gfp_t gfp)
{
	struct flush_request req = { .heap = heap, .class = class };
	unsigned long flags;
	struct bsa_cpu *c;

	if (in_nmi())
		return;
	if (bsa_debug_on(heap))
		release_held(heap, true);
	if (step != RECLAIM_HERE) {
		if (!gfpflags_allow_blocking(gfp) || !in_task() ||
		    irqs_disabled())
			return;
		on_each_cpu(flush_here, &req, true);
	} else {
		req.class = BSA_ALL_CLASSES;
		local_irq_save(flags);
		flush_here(&req);
		local_irq_restore(flags);
	}
	flush_shared(heap);
	if (reclaim_all(heap)) {
		flush_shared(heap);
		reclaim_all(heap);
	}
	/* Last, since what was found until here is kept, too. */
	for (c = bsa_percpu_next(heap, NULL); c; c = bsa_percpu_next(heap, c))
		bsa_pcp_flush(c->pcp, &heap->buddy);
}

/**
 * bsa_percpu_flush - give back all that is cached for any CPU
 * @heap: the heap
 *
 * Context: process, interrupts on.
 */
void bsa_percpu_flush(struct bsa_heap *heap)
{
	reclaim(heap, BSA_ALL_CLASSES, RECLAIM_EVERYWHERE, GFP_KERNEL);
	reclaim(heap, BSA_ALL_CLASSES, RECLAIM_AGAIN, GFP_KERNEL);
}
EXPORT_SYMBOL_IF_KUNIT(bsa_percpu_flush);

static void warn_failed(struct bsa_heap *heap, size_t size, bool low,
			gfp_t gfp, unsigned long caller)
{
	this_cpu_inc(heap->cpu->failures);
	if (!(gfp & __GFP_NOWARN))
		pr_warn_ratelimited("%s: no memory for %zu bytes%s (caller %pS)\n",
				    heap->name, size, low ? " below 4 GiB" : "",
				    (void *)caller);
}

static noinline void warn_refused(struct bsa_heap *heap, gfp_t gfp,
				  unsigned long caller)
{
	const char *why = gfp & __GFP_NOFAIL ?
		"__GFP_NOFAIL is not supported" :
		"the alignment is not a power of two";

	this_cpu_inc(heap->cpu->failures);
	pr_warn_ratelimited("%s: allocation refused: %s (caller %pS)\n",
			    heap->name, why, (void *)caller);
}

/* Refuse flags and alignments that make no sense. */
static __always_inline bool bad_request(struct bsa_heap *heap, size_t align,
					gfp_t gfp, unsigned long caller)
{
	if (likely(!(gfp & __GFP_NOFAIL) && is_power_of_2(align)))
		return false;
	warn_refused(heap, gfp, caller);
	return true;
}

static noinline void *alloc_slow(struct bsa_heap *heap, size_t size, gfp_t gfp,
				 unsigned long caller)
{
	unsigned int class = bsa_size_class(size);
	enum reclaim_step step;
	void *obj;

	if (unlikely(in_nmi())) {
		warn_failed(heap, bsa_class_size(class), false, gfp, caller);
		return NULL;
	}
	obj = alloc_here(heap, class);
	for (step = RECLAIM_HERE; !obj && step < RECLAIM_DONE; step++) {
		reclaim(heap, class, step, gfp);
		obj = alloc_here(heap, class);
	}
	if (unlikely(!obj))
		warn_failed(heap, bsa_class_size(class), false, gfp, caller);
	return obj;
}

/*
 * Blocks of pages
 */

/* Allocate a block that this CPU keeps. */
static __always_inline void *alloc_pages_fast(struct bsa_heap *heap,
					      unsigned long nr, size_t align,
					      bool low)
{
	struct bsa_pcp __percpu *pcp;
	struct bsa_page *page;
	void *addr;

	/* It is aligned to its own size; and 0 is no alignment. */
	if (unlikely(nr - 1 >= 1UL << (BSA_PCP_ORDERS - 1) ||
		     align - 1 >= nr * PAGE_SIZE || align & (align - 1)))
		return NULL;
	/* Rounded up to a power of two. */
	pcp = &heap->cpu->pcp[__fls(2 * nr - 1)];
	addr = bsa_pcp_alloc(raw_cpu_ptr(pcp), low, &page);
	if (unlikely(!addr))
		return NULL;
	WRITE_ONCE(page->state, BSA_PAGE_ALLOCATED);
	this_cpu_inc(pcp->allocs);
	return addr;
}

/*
 * Allocate a block that this CPU does not keep: from the buddy, from what other
 * CPUs keep, and from what can be made free.
 */
static void *alloc_fresh_pages(struct bsa_heap *heap, unsigned long nr,
			       size_t align, bool low, gfp_t gfp)
{
	struct bsa_page_request req = {
		.order = order_base_2(nr),
		.low = low,
		.internal = true,
		.trylock = in_nmi(),
	};
	struct bsa_page *page;
	enum reclaim_step step;

	if (req.order > BSA_MAX_PAGE_ORDER)
		return NULL;
	if (align > PAGE_SIZE)
		req.align_order = ilog2(align) - PAGE_SHIFT;
	page = bsa_buddy_alloc(&heap->buddy, &req);
	if (!page && req.align_order <= req.order)
		page = alloc_kept(heap, req.order, low);
	for (step = RECLAIM_HERE; !page && step < RECLAIM_DONE; step++) {
		reclaim(heap, BSA_ALL_CLASSES, step, gfp);
		page = bsa_buddy_alloc(&heap->buddy, &req);
	}
	if (!page)
		return NULL;
	WRITE_ONCE(page->state, BSA_PAGE_ALLOCATED);
	this_cpu_inc(heap->cpu->pcp[req.order].allocs);
	return bsa_page_address(&heap->buddy, page);
}

/* Any allocation of pages that the fast path does not serve. */
static noinline void *alloc_pages_slow(struct bsa_heap *heap, unsigned long nr,
				       size_t align, bool low, gfp_t gfp,
				       unsigned long caller)
{
	size_t bytes, room;
	void *addr;

	if (bad_request(heap, align, gfp, caller) || !nr)
		return NULL;
	if (bsa_should_fail(nr * PAGE_SIZE)) {
		this_cpu_inc(heap->cpu->failures);
		return NULL;
	}
	addr = alloc_pages_fast(heap, nr, align, low) ?:
	       alloc_fresh_pages(heap, nr, align, low, gfp);
	if (unlikely(!addr)) {
		if (check_mul_overflow(nr, PAGE_SIZE, &bytes))
			bytes = SIZE_MAX;
		warn_failed(heap, bytes, low, gfp, caller);
		return NULL;
	}
	room = PAGE_SIZE << order_base_2(nr);
	bytes = room;
	if (bsa_debug_on(heap))
		bytes = bsa_debug_alloc_pages(heap, bsa_page_of(addr), nr,
					      caller);
	if (want_init_on_alloc(gfp))
		bsa_clear(addr, bytes);
	bsa_hand_out(addr, nr * PAGE_SIZE, room);
	return addr;
}

/*
 * Are neither flags, nor the kernel, nor its tools asking for what only the slow
 * path does?
 */
static __always_inline bool is_plain_gfp(gfp_t gfp)
{
	return likely(!(gfp & GFP_SLOW)) &&
	       !static_branch_unlikely(&init_on_alloc) &&
	       !bsa_wants_slow_path();
}

/*
 * The size to ask for where an alignment is wanted, too: the next multiple of it.
 * The smallest class that holds it is a multiple of it as well: one of three
 * quarters holds no multiple of more than its third. 0 if one of them is 0.
 */
static __always_inline size_t size_for(size_t size, size_t align)
{
	return ((size - 1) | (align - 1)) + 1;
}

/* Any allocation that the fast path does not serve. */
static noinline void *alloc_any(size_t size, gfp_t gfp, struct bsa_heap *heap,
				size_t align, unsigned long caller)
{
	size_t asked = size, room;
	void *obj;

	if (bad_request(heap, align, gfp, caller))
		return NULL;
	if (!size)
		return ZERO_SIZE_PTR;
	if (bsa_debug_on(heap))
		size = bsa_debug_slot(heap, size, &align);
	else
		size = bsa_with_redzone(size);
	if (max(size, align) > BSA_MAX_OBJECT) {
		if (size > PAGE_SIZE << BSA_MAX_PAGE_ORDER) {
			warn_failed(heap, size, false, gfp, caller);
			return NULL;
		}
		obj = alloc_pages_slow(heap, PFN_UP(size), align, false, gfp,
				       caller);
		if (obj && bsa_debug_on(heap))
			bsa_debug_set_size(heap, obj, asked);
		if (obj)
			bsa_unpoison(obj, asked, PAGE_ALIGN(size));
		return obj;
	}
	if (bsa_should_fail(size)) {
		this_cpu_inc(heap->cpu->failures);
		return NULL;
	}
	size = size_for(size, align);
	obj = alloc_slow(heap, size, gfp, caller);
	if (!obj)
		return NULL;
	room = bsa_class_size(bsa_size_class(size));
	if (bsa_debug_on(heap))
		bsa_debug_alloc(heap, obj, asked, want_init_on_alloc(gfp),
				caller);
	else if (want_init_on_alloc(gfp))
		bsa_clear(obj, room);
	bsa_hand_out(obj, asked, room);
	return obj;
}

/*
 * Below this, size - 1 is for the fast path: nothing is where the kernel wants
 * all memory to be zeroed.
 */
static size_t fast_limit __ro_after_init = BSA_MAX_OBJECT;

/* Does the fast path serve this request, if there is an object at hand? */
static __always_inline bool is_plain(size_t size, gfp_t gfp)
{
	return likely(size - 1 < fast_limit && !(gfp & GFP_SLOW)) &&
	       !bsa_wants_slow_path();
}

/*
 * The fast path found nothing at hand in @class, or, if that is NULL, the CPU
 * busy. Ends what alloc_fast() has begun.
 */
static noinline void *alloc_refill(size_t size, gfp_t gfp, struct bsa_cpu *c,
				   struct bsa_class *class,
				   unsigned long caller)
{
	void *obj = NULL;

	if (likely(class)) {
		if (likely(!in_nmi()))
			obj = alloc_owner(c, class, false);
		leave(c);
	}
	preempt_enable();
	if (unlikely(!obj))
		return alloc_any(size, gfp, c->heap, 1, caller);
	bsa_hand_out(obj, size, bsa_class_size(class - c->slabs.class));
	return obj;
}

/*
 * Frees that are not the owner's
 */

static void refuse_free(struct bsa_heap *heap, const void *ptr,
			enum bsa_refused why, unsigned long caller)
{
	static const char * const reason[] = {
		[BSA_FREE_FOREIGN] = "no heap manages it",
		[BSA_FREE_OTHER_HEAP] = "another heap manages it",
		[BSA_FREE_INTERIOR] = "not the start of an allocation",
		[BSA_FREE_DOUBLE] = "it is free already",
		[BSA_FREE_OBJECT] = "not a page allocation",
		[BSA_FREE_UNCLEAR] = "not a live allocation",
	};

	atomic_long_inc(&heap->refused);
	pr_err_ratelimited("%s: free of %p refused: %s (caller %pS)\n",
			   heap->name, ptr, reason[why], (void *)caller);
	if (bsa_debug_on(heap))
		bsa_debug_refused(heap, ptr, reason[why], caller);
}

/* Free what debug= has let go of: an object, or a block of pages. */
static void free_watched(struct bsa_heap *heap, const void *ptr)
{
	struct bsa_page *page = bsa_page_of(ptr);
	u32 owner = READ_ONCE(page->owner);

	if (owner == BSA_NOBODY) {
		free_block(heap, page);
		return;
	}
	/* A full barrier, as in free_remote(); nobody has set the bit before. */
	test_and_set_bit(bsa_slab_index(page, ptr), page->free + BSA_REMOTE);
	queue_slab(heap->cpu, owner, page);
}

/* Free what is in quarantine, or what it has too much of. */
static void release_held(struct bsa_heap *heap, bool all)
{
	unsigned int left = BSA_QUARANTINE;
	const void *ptr;

	preempt_disable();
	/* No more than there can be at the start: others may add to it. */
	while (left-- && (ptr = bsa_debug_release(heap, all)))
		free_watched(heap, ptr);
	preempt_enable();
}

/* What a caller has freed, and what was looked at, may be reused some day. */
static void free_held(struct bsa_heap *heap, const void *ptr)
{
	if (bsa_debug_hold(heap, ptr))
		release_held(heap, false);
	else
		free_watched(heap, ptr);
}

/* A block that a caller has freed is not kept as it is. */
static noinline void free_unkept(struct bsa_heap *heap, struct bsa_page *page,
				 void *addr, unsigned long caller)
{
	if (bsa_debug_on(heap)) {
		bsa_debug_free_pages(heap, page, caller);
		free_held(heap, addr);
	} else if (want_init_on_free()) {
		bsa_clear(addr, PAGE_SIZE << page->order);
		free_block(heap, page);
	} else {
		bsa_buddy_free(&heap->buddy, page);
	}
}

/*
 * Free a block of pages; false if it is not one. Without @caller it is who has
 * called the function that this is a part of.
 */
static __always_inline bool free_pages_fast(struct bsa_heap *heap,
					    const void *addr,
					    unsigned long caller)
{
	struct bsa_pcp __percpu *pcp;
	struct bsa_page *page;
	bool claimed;

	/* The section stays until preemption is on again. */
	preempt_disable();
	page = bsa_page_of(addr);
	claimed = bsa_buddy_claim(&heap->buddy, page, addr);
	if (likely(claimed)) {
		pcp = &heap->cpu->pcp[page->order];
		this_cpu_inc(pcp->frees);
		bsa_take_back(addr, PAGE_SIZE << page->order);
		if (unlikely(!keep_block(heap, pcp, page, addr, &heap->spare)))
			free_unkept(heap, page, (void *)addr,
				    caller ?: _RET_IP_);
	}
	preempt_enable();
	return claimed;
}

static noinline void refuse_pages(struct bsa_heap *heap, const void *addr,
				  unsigned long caller)
{
	if (!addr || addr == ZERO_SIZE_PTR)
		return;
	refuse_free(heap, addr, bsa_buddy_refusal(&heap->buddy, addr), caller);
}

/* Free or refuse what is no live object of the heap. Ends the free. */
static noinline void free_odd(const void *ptr, struct bsa_page *slab,
			      struct bsa_cpu __percpu *cpu, u32 owner,
			      unsigned long caller)
{
	struct bsa_heap *heap = this_cpu_read(cpu->heap);
	enum bsa_refused why = BSA_FREE_DOUBLE;

	if (owner != BSA_NOBODY) {
		if (owner >> OWNER_HEAP_SHIFT != heap->id)
			why = BSA_FREE_OTHER_HEAP;
		else if (bsa_slab_is_interior(slab, bsa_slab_index(slab, ptr)))
			why = BSA_FREE_INTERIOR;
		refuse_free(heap, ptr, why, caller);
	} else if (ptr && ptr != ZERO_SIZE_PTR && !free_pages_fast(heap, ptr, caller)) {
		refuse_pages(heap, ptr, caller);
	}
	preempt_enable();
}

/* Free an object of a slab of the heap as somebody else than its owner. */
static __always_inline bool free_remote(const void *ptr, struct bsa_page *slab,
					struct bsa_cpu __percpu *cpu, u32 owner)
{
	unsigned long index = bsa_slab_index(slab, ptr);
	unsigned long *free = slab->free;

	/* A hole's bit is set. */
	if (unlikely(index >= BSA_MAX_OBJECTS || test_bit(index, free)))
		return false;
	if (BSA_WATCHED) {
		if (test_bit(index, free + BSA_REMOTE))
			return false;
		bsa_take_back(ptr, bsa_class_size(slab->class));
	}
	if (unlikely(test_and_set_bit(index, free + BSA_REMOTE)))
		return false;
	/*
	 * The slab may be gone from here on. Its descriptor is not, nor is the
	 * owner: who destroys the heap waits for us.
	 */
	this_cpu_inc(cpu->remote_frees);
	queue_slab(cpu, owner, slab);
	return true;
}

/* The CPU has looked at the bits of the slab that @idle gave way to. */
static __always_inline void unname(struct bsa_cpu __percpu *cpu,
				   unsigned long idle)
{
	barrier();
	__this_cpu_write(cpu->idle, idle);
}

/* Zero an object that is about to be freed, if it is one. */
static void clear_object(const void *ptr, struct bsa_page *slab)
{
	unsigned long index = bsa_slab_index(slab, ptr);

	if (!bsa_slab_is_interior(slab, index) && !bsa_slab_is_free(slab, index))
		bsa_clear((void *)ptr, bsa_class_size(slab->class));
}

/* Free an object of a heap with debug=, which has found nothing against it. */
static noinline void free_debug(struct bsa_heap *heap, struct bsa_page *slab,
				const void *ptr)
{
	bsa_take_back(ptr, bsa_class_size(slab->class));
	this_cpu_inc(heap->cpu->remote_frees);
	free_held(heap, ptr);
}

/*
 * As free_other(), where the CPU was busy, or the heap is perhaps another; where
 * the kernel wants frees to zero, and in a heap with debug=, all of them.
 */
static noinline void free_slow(const void *ptr, struct bsa_page *slab,
			       struct bsa_cpu __percpu *cpu,
			       unsigned long idle, unsigned long caller)
{
	struct bsa_heap *heap = this_cpu_read(cpu->heap);
	u32 owner = READ_ONCE(slab->owner);
	bool ours = !((heap->shared.slabs.owner ^ owner) & OWNER_HEAP_MASK);
	bool watched = ours && bsa_debug_on(heap);
	bool freed = false;

	if (watched) {
		freed = bsa_debug_free(heap, slab, ptr, caller);
	} else if (ours) {
		if (want_init_on_free())
			clear_object(ptr, slab);
		freed = free_remote(ptr, slab, cpu, owner);
	}
	unname(cpu, idle);
	if (!freed) {
		free_odd(ptr, slab, cpu, owner, caller);
		return;
	}
	if (watched)
		free_debug(heap, slab, ptr);
	preempt_enable();
}

/*
 * Any free that the fast path does not serve, above all that of an object in
 * another CPU's slab; also where the fast path was interrupted. The CPU's idle,
 * which was @idle, names the slab, and is itself again afterwards. Preemption is
 * off, and on again afterwards.
 */
static noinline void free_other(const void *ptr, struct bsa_page *slab,
				struct bsa_cpu __percpu *cpu,
				unsigned long idle, unsigned long caller)
{
	u32 owner = READ_ONCE(slab->owner);
	bool freed;

	/* If this CPU was idle, that is its number, one of the heap's. */
	if (unlikely(((u32)idle ^ owner) & OWNER_HEAP_MASK)) {
		free_slow(ptr, slab, cpu, idle, caller);
		return;
	}
	freed = free_remote(ptr, slab, cpu, owner);
	unname(cpu, idle);
	if (unlikely(!freed))
		free_odd(ptr, slab, cpu, owner, caller);
	else
		preempt_enable();
}

static noinline void heap_free_other(struct bsa_page *slab, const void *ptr,
				     struct bsa_cpu __percpu *cpu,
				     unsigned long idle, unsigned long caller)
{
	free_other(ptr, slab, cpu, idle, caller);
}

/**
 * bsa_percpu_kept_pages - free pages that are kept for some CPU
 * @heap: the heap
 * @section: index of the section that they belong to; -1: any
 */
unsigned long bsa_percpu_kept_pages(struct bsa_heap *heap, int section)
{
	unsigned long nr = 0;
	struct bsa_cpu *c;

	for (c = bsa_percpu_next(heap, NULL); c; c = bsa_percpu_next(heap, c))
		nr += bsa_pcp_nr_pages(c->pcp, section);
	if (bsa_debug_on(heap))
		nr += bsa_debug_held_pages(heap, section);
	return nr;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_percpu_kept_pages);

/**
 * bsa_percpu_alloc - bsa_heap_alloc() for other exported calls
 * @heap: the heap
 * @size: bytes
 * @align: alignment in bytes
 * @gfp: as for every call
 * @caller: for the log
 */
void *bsa_percpu_alloc(struct bsa_heap *heap, size_t size, size_t align,
		       gfp_t gfp, unsigned long caller)
{
	return alloc_any(size, gfp, heap, align, caller);
}

/**
 * bsa_percpu_size - the size of an allocation
 * @heap: the heap
 * @ptr: any value
 *
 * Return: bytes that the caller may use, 0 if @ptr is no live allocation of
 * the heap.
 */
size_t bsa_percpu_size(struct bsa_heap *heap, const void *ptr)
{
	struct bsa_page *page;
	unsigned long index;
	size_t size = 0;
	u32 owner;

	preempt_disable();
	page = bsa_page_of(ptr);
	owner = READ_ONCE(page->owner);
	if (owner != BSA_NOBODY && owner >> OWNER_HEAP_SHIFT == heap->id) {
		index = bsa_slab_index(page, ptr);
		if (index < BSA_MAX_OBJECTS &&
		    !bsa_slab_is_free(page, index))
			size = bsa_class_size(page->class);
	} else if (owner == BSA_NOBODY && bsa_buddy_owns(&heap->buddy, page) &&
		   READ_ONCE(page->state) == BSA_PAGE_ALLOCATED &&
		   ptr == bsa_page_address(&heap->buddy, page)) {
		size = PAGE_SIZE << page->order;
	}
	if (size && bsa_debug_on(heap))
		size = bsa_debug_size(heap, ptr, size);
	preempt_enable();
	return size;
}

/**
 * bsa_percpu_live_objects - slab objects that callers hold
 * @heap: the heap
 */
unsigned long bsa_percpu_live_objects(struct bsa_heap *heap)
{
	unsigned int class;
	struct bsa_cpu *c;
	long live = 0;

	for (c = bsa_percpu_next(heap, NULL); c; c = bsa_percpu_next(heap, c)) {
		for (class = 0; class < BSA_ALL_CLASSES; class++)
			live += bsa_class_nr_allocs(&c->slabs.class[class]) -
				/* See below. */
				data_race(c->slabs.frees[class]);
		/* See below. */
		live += data_race(c->slabs.conflicts - c->remote_frees);
	}
	/* While others allocate, the figures do not quite fit together. */
	return max(live, 0L);
}

/*
 * CPUs that go away, heaps that come and go
 */

/* A CPU is gone: what it owned becomes the shared set's. */
static int cpu_dead(unsigned int cpu)
{
	unsigned int class, i;
	unsigned long flags;
	struct bsa_cpu *c;

	mutex_lock(&heaps_mutex);
	for (i = 0; i < MAX_HEAPS; i++) {
		if (!heaps[i])
			continue;
		c = per_cpu_ptr(heaps[i]->cpu, cpu);
		local_irq_save(flags);
		flush_owner(c);
		local_irq_restore(flags);
		for (class = 0; class < BSA_ALL_CLASSES; class++) {
			bool more = true;

			while (more) {
				local_irq_save(flags);
				more = give_away(c, class, true);
				local_irq_restore(flags);
			}
		}
		/* Pass on what was queued in the meantime. */
		reclaim_cpu(c);
	}
	mutex_unlock(&heaps_mutex);
	return 0;
}

/**
 * bsa_percpu_mark - what &bsa_cpu.idle is while nobody is on a fast path
 * @c: a CPU's set of slabs, or the shared one
 */
unsigned long bsa_percpu_mark(const struct bsa_cpu *c)
{
	/* Where frees have to zero, free_fast() finds no slab its own. */
	unsigned long mark = want_init_on_free() ? IDLE_NOBODY : c->slabs.owner;

	/* Busy for good: then nobody is ever on the fast path. */
	return c->heap->debug && c != &c->heap->shared ? mark - 1 : mark;
}

static void init_cpu(struct bsa_heap *heap, struct bsa_cpu *c,
		     unsigned int cpu)
{
	memset(c, 0, sizeof(*c));
	bsa_slabs_init(&c->slabs, owner_number(heap, cpu), &heap->pool);
	init_llist_head(&c->remote);
	raw_spin_lock_init(&c->lock);
	c->heap = heap;
	c->cpu = cpu;
	c->idle = bsa_percpu_mark(c);
}

/**
 * bsa_percpu_init - set up the slabs of a heap
 * @heap: with @cpu and @buddy set
 *
 * Context: process, may sleep.
 * Return: 0, or -ENOSPC if there are too many heaps.
 */
int bsa_percpu_init(struct bsa_heap *heap)
{
	unsigned int cpu;

	BUILD_BUG_ON(CONFIG_NR_CPUS + 1 >= BIT(OWNER_CPU_BITS));

	mutex_lock(&heaps_mutex);
	for (heap->id = 0; heap->id < MAX_HEAPS; heap->id++)
		if (!heaps[heap->id])
			break;
	if (heap->id == MAX_HEAPS) {
		mutex_unlock(&heaps_mutex);
		return -ENOSPC;
	}
	bsa_bitmap_pool_init(&heap->pool, &heap->buddy);
	heap->spare = heap->debug || want_init_on_free() ? BSA_PCP_NONE :
							   BSA_PCP_SPARE;
	for_each_possible_cpu(cpu)
		init_cpu(heap, per_cpu_ptr(heap->cpu, cpu), cpu);
	init_cpu(heap, &heap->shared, nr_cpu_ids);
	if (heap == &bsa_default_heap)
		for_each_possible_cpu(cpu)
			per_cpu(bsa_this_cpu, cpu) = per_cpu_ptr(heap->cpu, cpu);
	WRITE_ONCE(heaps[heap->id], heap);
	mutex_unlock(&heaps_mutex);
	return 0;
}

/**
 * bsa_percpu_exit - the heap is about to go
 * @heap: nobody holds anything of it, and nobody calls into it
 *
 * Context: process, may sleep.
 */
void bsa_percpu_exit(struct bsa_heap *heap)
{
	mutex_lock(&heaps_mutex);
	WRITE_ONCE(heaps[heap->id], NULL);
	mutex_unlock(&heaps_mutex);
	/* The last frees may still be queueing a slab. */
	synchronize_rcu();
}

static enum cpuhp_state hotplug_state;

/**
 * bsa_percpu_start - watch CPUs come and go, see what the kernel wants
 *
 * Return: 0 or a negative error.
 */
int bsa_percpu_start(void)
{
	int state = cpuhp_setup_state_nocalls(CPUHP_BP_PREPARE_DYN, "bsa:dead",
					      NULL, cpu_dead);

	if (state < 0)
		return state;
	hotplug_state = state;
	if (static_branch_unlikely(&init_on_alloc))
		fast_limit = 0;
	return 0;
}

/**
 * bsa_percpu_stop - stop watching CPUs
 */
void bsa_percpu_stop(void)
{
	cpuhp_remove_state_nocalls(hotplug_state);
}

/*
 * Exported calls
 */

/* Callers get the inline function, which takes to this one. */
#undef bsa_alloc

/**
 * bsa_alloc - allocate from the default heap
 * @size: bytes; 0 gives ZERO_SIZE_PTR
 * @gfp: __GFP_ZERO and __GFP_NOWARN count, see <linux/bsa.h>
 *
 * A power-of-two size is aligned to itself. More than BSA_MAX_OBJECT bytes are
 * served in whole pages, a power of two of them.
 *
 * Context: any.
 * Return: the memory, or NULL.
 */
void *bsa_alloc(size_t size, gfp_t gfp)
{
	if (is_plain(size, gfp)) {
		preempt_disable();
		return alloc_fast(__this_cpu_read(bsa_this_cpu),
				  class_at[(size - 1) / 8], size, gfp);
	}
	return alloc_any(size, gfp, &bsa_default_heap, 1, _RET_IP_);
}
EXPORT_SYMBOL_GPL(bsa_alloc);

/**
 * __bsa_alloc_class - bsa_alloc() of a size that the compiler knows
 * @size: bytes, 1 to BSA_MAX_OBJECT
 * @gfp: as for bsa_alloc()
 * @class: index of the size class; nobody but bsa_alloc() passes it
 *
 * Context: any.
 * Return: the memory, or NULL.
 */
void *__bsa_alloc_class(size_t size, gfp_t gfp, unsigned long class)
{
	if (is_plain_gfp(gfp)) {
		preempt_disable();
		return alloc_fast(__this_cpu_read(bsa_this_cpu), AT(class),
				  size, gfp);
	}
	return alloc_any(size, gfp, &bsa_default_heap, 1, _RET_IP_);
}
EXPORT_SYMBOL_GPL(__bsa_alloc_class);

/**
 * bsa_free - free what came from the default heap
 * @ptr: from bsa_alloc() or its kin; NULL and ZERO_SIZE_PTR are nothing
 *
 * Anything else that is not a live allocation of the heap is refused: one
 * rate-limited line in the log, counted, and nothing changes.
 *
 * Context: any, on any CPU.
 */
void bsa_free(const void *ptr)
{
	preempt_disable();
	free_fast(&bsa_default_cpu, ptr, false);
}
EXPORT_SYMBOL_GPL(bsa_free);

/**
 * bsa_heap_alloc - allocate from a heap
 * @heap: the heap; NULL is the default heap
 * @size: bytes; 0 gives ZERO_SIZE_PTR
 * @gfp: __GFP_ZERO and __GFP_NOWARN count, see <linux/bsa.h>
 *
 * As bsa_alloc().
 *
 * Context: any.
 * Return: the memory, or NULL.
 */
void *bsa_heap_alloc(struct bsa_heap *heap, size_t size, gfp_t gfp)
{
	if (unlikely(!heap))
		return alloc_any(size, gfp, &bsa_default_heap, 1, _RET_IP_);
	if (is_plain(size, gfp)) {
		preempt_disable();
		return alloc_fast(this_cpu_ptr(heap->cpu),
				  class_at[(size - 1) / 8], size, gfp);
	}
	return alloc_any(size, gfp, heap, 1, _RET_IP_);
}
EXPORT_SYMBOL_GPL(bsa_heap_alloc);

/**
 * bsa_heap_free - free what came from a heap
 * @heap: the heap; NULL is the default heap
 * @ptr: from bsa_heap_alloc() or its kin; NULL and ZERO_SIZE_PTR are nothing
 *
 * As bsa_free(); memory of another heap is refused, too.
 *
 * Context: any, on any CPU.
 */
void bsa_heap_free(struct bsa_heap *heap, const void *ptr)
{
	if (unlikely(!heap)) {
		bsa_free(ptr);
		return;
	}
	preempt_disable();
	free_fast(heap->cpu, ptr, true);
}
EXPORT_SYMBOL_GPL(bsa_heap_free);

/* What one section without preemption takes or frees at most. */
#define BULK_BATCH	64

/* Take up to @nr objects that this CPU has at hand, or at least one. */
static size_t alloc_bulk_fast(struct bsa_heap *heap, unsigned int index,
			      size_t nr, void **ptrs)
{
	struct bsa_class *class;
	struct bsa_cpu *c;
	size_t taken = 0;
	void *obj;

	preempt_disable();
	c = this_cpu_ptr(heap->cpu);
	if (enter(c)) {
		class = &c->slabs.class[index];
		taken = bsa_class_take_many(class, nr, ptrs);
		if (!taken && !in_nmi()) {
			obj = alloc_owner(c, class, false);
			if (likely(obj))
				ptrs[taken++] = obj;
		}
		leave(c);
	}
	preempt_enable();
	return taken;
}

/* As bsa_hand_out(), of several objects. */
static __always_inline void hand_out_bulk(size_t size, size_t nr, void **ptrs)
{
	size_t i;

	for (i = 0; BSA_WATCHED && i < nr; i++)
		bsa_hand_out(ptrs[i], size, bsa_class_size(bsa_size_class(size)));
}

/*
 * Free what lies in the same slab as the first of @nr objects, if that is this
 * CPU's own. As free_fast().
 */
static size_t free_bulk_fast(struct bsa_heap *heap, size_t nr, void **ptrs)
{
	struct bsa_page *slab;
	struct bsa_cpu *c;
	unsigned long idle;
	size_t freed = 0;

	if (in_nmi())
		return 0;
	preempt_disable();
	c = this_cpu_ptr(heap->cpu);
	slab = bsa_page_of(ptrs[0]);
	/* Who interrupts here leaves it as it was. */
	idle = READ_ONCE(c->idle);
	WRITE_ONCE(c->idle, (unsigned long)slab);
	barrier();
	/* As in free_fast(). */
	if (likely(data_race(slab->owner) == (u32)idle)) {
		freed = bsa_slab_put_many(slab, min_t(size_t, nr, BULK_BATCH),
					  ptrs);
		c->slabs.frees[slab->class] += freed;
		if (unlikely(!slab->ttl)) {
			free_last(c, slab, NULL, freed);
			goto out;
		}
	}
	barrier();
	WRITE_ONCE(c->idle, idle);
out:
	preempt_enable();
	return freed;
}

/**
 * bsa_heap_alloc_bulk - allocate several objects of one size
 * @heap: the heap; NULL is the default heap
 * @size: bytes of each; 0 gives ZERO_SIZE_PTR
 * @gfp: __GFP_ZERO and __GFP_NOWARN count, see <linux/bsa.h>
 * @nr: how many
 * @ptrs: where to put them
 *
 * Context: any.
 * Return: how many were allocated; fewer than @nr if memory ran out, then the
 * first ones of @ptrs are valid and the others unchanged.
 */
size_t bsa_heap_alloc_bulk(struct bsa_heap *heap, size_t size, gfp_t gfp,
			   size_t nr, void **ptrs)
{
	bool fast = is_plain(size, gfp);
	size_t i = 0, taken;
	void *obj;

	heap = heap ?: &bsa_default_heap;
	while (i < nr) {
		if (fast) {
			taken = alloc_bulk_fast(heap, bsa_size_class(size),
						nr - i, ptrs + i);
			hand_out_bulk(size, taken, ptrs + i);
			i += taken;
		}
		if (i == nr)
			break;
		obj = alloc_any(size, gfp, heap, 1, _RET_IP_);
		if (!obj)
			break;
		ptrs[i++] = obj;
	}
	return i;
}
EXPORT_SYMBOL_GPL(bsa_heap_alloc_bulk);

/**
 * bsa_heap_free_bulk - free several objects
 * @heap: the heap; NULL is the default heap
 * @nr: how many
 * @ptrs: the objects, of any size; NULL is nothing
 *
 * Context: any, on any CPU.
 */
void bsa_heap_free_bulk(struct bsa_heap *heap, size_t nr, void **ptrs)
{
	struct bsa_page *slab;
	unsigned long idle;
	size_t i = 0, freed;

	heap = heap ?: &bsa_default_heap;
	while (i < nr) {
		freed = free_bulk_fast(heap, nr - i, ptrs + i);
		i += freed;
		if (freed)
			continue;
		preempt_disable();
		slab = bsa_page_of(ptrs[i]);
		idle = __this_cpu_read(heap->cpu->idle);
		__this_cpu_write(heap->cpu->idle, (unsigned long)slab);
		barrier();
		free_slow(ptrs[i++], slab, heap->cpu, idle, _RET_IP_);
	}
}
EXPORT_SYMBOL_GPL(bsa_heap_free_bulk);

/**
 * bsa_alloc_bulk - allocate several objects of one size from the default heap
 * @size: bytes of each; 0 gives ZERO_SIZE_PTR
 * @gfp: __GFP_ZERO and __GFP_NOWARN count, see <linux/bsa.h>
 * @nr: how many
 * @ptrs: where to put them
 *
 * Context: any.
 * Return: how many were allocated, see bsa_heap_alloc_bulk().
 */
size_t bsa_alloc_bulk(size_t size, gfp_t gfp, size_t nr, void **ptrs)
{
	return bsa_heap_alloc_bulk(&bsa_default_heap, size, gfp, nr, ptrs);
}
EXPORT_SYMBOL_GPL(bsa_alloc_bulk);

/**
 * bsa_free_bulk - free several objects of the default heap
 * @nr: how many
 * @ptrs: the objects, of any size; NULL is nothing
 *
 * Context: any, on any CPU.
 */
void bsa_free_bulk(size_t nr, void **ptrs)
{
	bsa_heap_free_bulk(&bsa_default_heap, nr, ptrs);
}
EXPORT_SYMBOL_GPL(bsa_free_bulk);

/* What all calls that allocate pages do. */
static __always_inline void *alloc_pages_of(struct bsa_heap *heap,
					    unsigned long nr, size_t align,
					    bool low, gfp_t gfp)
{
	void *addr = NULL;

	if (likely(is_plain_gfp(gfp)))
		addr = alloc_pages_fast(heap, nr, align, low);
	if (unlikely(!addr))
		return alloc_pages_slow(heap, nr, align, low, gfp, _RET_IP_);
	bsa_hand_out(addr, nr * PAGE_SIZE, PAGE_SIZE << order_base_2(nr));
	return addr;
}

/**
 * bsa_heap_alloc_pages - allocate contiguous pages from a heap
 * @heap: the heap; NULL is the default heap
 * @nr: number of pages; rounded up to a power of two
 * @align: alignment in bytes, physical and virtual; a power of two
 * @gfp: __GFP_ZERO and __GFP_NOWARN count, see <linux/bsa.h>
 *
 * Context: any. From NMI it may fail although there is memory.
 * Return: the address, or NULL.
 */
void *bsa_heap_alloc_pages(struct bsa_heap *heap, unsigned long nr,
			   size_t align, gfp_t gfp)
{
	return alloc_pages_of(heap ?: &bsa_default_heap, nr, align, false, gfp);
}
EXPORT_SYMBOL_GPL(bsa_heap_alloc_pages);

/**
 * bsa_heap_alloc_pages_lowmem - allocate contiguous pages below 4 GiB physical
 * @heap: the heap; NULL is the default heap
 * @nr: number of pages; rounded up to a power of two
 * @align: alignment in bytes, physical and virtual; a power of two
 * @gfp: __GFP_ZERO and __GFP_NOWARN count, see <linux/bsa.h>
 *
 * Context: any. From NMI it may fail although there is memory.
 * Return: the address, or NULL.
 */
void *bsa_heap_alloc_pages_lowmem(struct bsa_heap *heap, unsigned long nr,
				  size_t align, gfp_t gfp)
{
	return alloc_pages_of(heap ?: &bsa_default_heap, nr, align, true, gfp);
}
EXPORT_SYMBOL_GPL(bsa_heap_alloc_pages_lowmem);

/**
 * bsa_heap_free_pages - free pages
 * @heap: the heap; NULL is the default heap
 * @addr: from bsa_heap_alloc_pages() or its kin; NULL is nothing
 * @nr: number of pages that were asked for; what was recorded then decides
 *
 * Context: any.
 */
void bsa_heap_free_pages(struct bsa_heap *heap, const void *addr,
			 unsigned long nr)
{
	heap = heap ?: &bsa_default_heap;
	if (unlikely(!free_pages_fast(heap, addr, 0)))
		refuse_pages(heap, addr, _RET_IP_);
}
EXPORT_SYMBOL_GPL(bsa_heap_free_pages);

/**
 * bsa_alloc_pages - allocate contiguous pages
 * @nr: number of pages; rounded up to a power of two
 * @align: alignment in bytes, physical and virtual; a power of two
 * @gfp: __GFP_ZERO and __GFP_NOWARN count, see <linux/bsa.h>
 *
 * Context: any. From NMI it may fail although there is memory.
 * Return: the address, or NULL.
 */
void *bsa_alloc_pages(unsigned long nr, size_t align, gfp_t gfp)
{
	return alloc_pages_of(&bsa_default_heap, nr, align, false, gfp);
}
EXPORT_SYMBOL_GPL(bsa_alloc_pages);

/**
 * bsa_alloc_pages_lowmem - allocate contiguous pages below 4 GiB physical
 * @nr: number of pages; rounded up to a power of two
 * @align: alignment in bytes, physical and virtual; a power of two
 * @gfp: __GFP_ZERO and __GFP_NOWARN count, see <linux/bsa.h>
 *
 * Context: any. From NMI it may fail although there is memory.
 * Return: the address, or NULL.
 */
void *bsa_alloc_pages_lowmem(unsigned long nr, size_t align, gfp_t gfp)
{
	return alloc_pages_of(&bsa_default_heap, nr, align, true, gfp);
}
EXPORT_SYMBOL_GPL(bsa_alloc_pages_lowmem);

/**
 * bsa_free_pages - free pages of the default heap
 * @addr: from bsa_alloc_pages() or its kin; NULL is nothing
 * @nr: number of pages that were asked for; what was recorded then decides
 *
 * Context: any.
 */
void bsa_free_pages(const void *addr, unsigned long nr)
{
	if (unlikely(!free_pages_fast(&bsa_default_heap, addr, 0)))
		refuse_pages(&bsa_default_heap, addr, _RET_IP_);
}
EXPORT_SYMBOL_GPL(bsa_free_pages);
