// SPDX-License-Identifier: GPL-2.0-only
/*
 * The calls that free: their fast path, frees by others, and what is refused
 *
 * An object in a slab of this CPU's is free when its bit is set, with a plain
 * store; see bsa_slab_put(). Meanwhile the CPU's mark names the slab. If the slab is
 * full, it goes into the CPU's magazine; see bsa_slabs_hold().
 *
 * Any other object is free when its bit in the second bitmap is set: one atomic
 * operation, in any context. If that changes which list the slab belongs on,
 * bsa_look() follows. An owner whose free changes that is treated like anybody
 * else.
 *
 * A pointer that is no live object nor block of the heap is refused, and nothing
 * changes.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <bsa/compat.h>
#include <bsa/debug.h>
#include <bsa/percpu.h>
#include <bsa/tools.h>
#include <linux/slab.h>

/* What one section without preemption frees at most. */
#define BULK_BATCH	64

static void free_full(const void *ptr, struct bsa_page *slab,
		      struct bsa_cpu __percpu *cpu, unsigned long caller);
static void free_other(const void *ptr, struct bsa_page *page,
		       struct bsa_cpu __percpu *cpu, unsigned long caller);

/*
 * Free an object that is this CPU's own; else leave it to others. Preemption is
 * off, and on again afterwards.
 */
static __always_inline void free_fast(struct bsa_cpu __percpu *cpu,
				      const void *ptr)
{
	struct bsa_page *slab = __bsa_page_of(ptr);
	unsigned long mark = __this_cpu_read(cpu->slabs.mark);
	u32 owner = READ_ONCE(slab->owner);
	unsigned int class;

	/* Is the slab ours, and is the CPU not busy? Else the mark stays as it is. */
	if (unlikely(owner != (u32)mark)) {
		if (mark & 1 && owner == ((u32)mark | BSA_OWNER_FULL))
			return free_full(ptr, slab, cpu, _RET_IP_);
		goto other;
	}
	__this_cpu_write(cpu->slabs.mark, (unsigned long)slab);
	/*
	 * From here on interrupts leave the CPU's slabs alone; until here they may
	 * have given one away, so bsa_slab_put() looks at the owner again. Pairs with
	 * smp_mb() in take_away(), as far as it goes without a barrier.
	 */
	barrier();
	class = slab->class;
	if (likely(bsa_slab_put_one(slab, mark, ptr))) {
		__this_cpu_inc(cpu->slabs.class[class].frees);
		/*
		 * Who finds the mark gone in take_away() has got the bit before
		 * (model/litmus/mark-outlasts-put.litmus).
		 */
		smp_wmb();
		__this_cpu_write(cpu->slabs.mark, __this_cpu_read(cpu->slabs.idle));
		preempt_enable();
		return;
	}
	barrier();
	__this_cpu_write(cpu->slabs.mark, __this_cpu_read(cpu->slabs.idle));
other:
	free_other(ptr, slab, cpu, _RET_IP_);
}

/*
 * Free an object of a slab of this CPU's that is full: the magazine holds it, unless it
 * holds another one of that slab, which then is free as well. As free_fast().
 */
static noinline void free_full(const void *ptr, struct bsa_page *slab,
			       struct bsa_cpu __percpu *cpu, unsigned long caller)
{
	struct bsa_cpu *c = this_cpu_ptr(cpu);
	bool ours;

	WRITE_ONCE(c->slabs.mark, (unsigned long)slab);
	barrier();
	ours = READ_ONCE(slab->owner) == (c->slabs.number | BSA_OWNER_FULL);
	if (likely(ours && bsa_slabs_hold(&c->slabs, slab, ptr))) {
		barrier();
		WRITE_ONCE(c->slabs.mark, c->slabs.idle);
		preempt_enable();
		return;
	}
	/* Whoever frees this one looks at the slab. */
	if (ours && bsa_slab_is_live(slab, ptr))
		bsa_slab_let_go(&c->slabs, slab);
	barrier();
	WRITE_ONCE(c->slabs.mark, c->slabs.idle);
	free_other(ptr, slab, cpu, caller);
}

/*
 * Frees by others
 */

/*
 * Free an object in a slab of the heap as somebody else than its owner.
 * Preemption is off. Return false if it is no live object.
 */
static __always_inline bool free_remote(struct bsa_heap *heap,
					struct bsa_page *slab, const void *ptr)
{
	unsigned long index = bsa_slab_index(slab, ptr), bit;
	unsigned long *free = READ_ONCE(slab->free), *word;
	unsigned long mark = __this_cpu_read(heap->cpu->slabs.mark);
	bool own = (READ_ONCE(slab->owner) & ~BSA_OWNER_FULL) == (u32)mark;

	/*
	 * If this is a second free, all that is read here may belong to another
	 * slab, or to none. It is a bit of this page's bitmaps nevertheless.
	 */
	if (unlikely(index >= READ_ONCE(slab->bits) ||
		     (free == &slab->free0 && index >= BITS_PER_LONG)))
		return false;
	word = free + index / BITS_PER_LONG;
	bit = BIT(index % BITS_PER_LONG);
	if (unlikely((READ_ONCE(*word) | READ_ONCE(word[BSA_REMOTE])) & bit ||
		     bsa_slab_holds(slab, index)))
		return false;
	if (BSA_WATCHED)
		bsa_take_back(ptr, bsa_class_size(slab->class));
	/*
	 * A full barrier; pairs with smp_mb() in bsa_slabs_place()
	 * (model/litmus/free-vs-place.litmus, model/litmus/free-vs-move.litmus).
	 */
	if (unlikely(test_and_set_bit(index, free + BSA_REMOTE)))
		return false;
	if (own)
		this_cpu_inc(heap->cpu->listed_frees);
	else
		this_cpu_inc(heap->cpu->remote_frees);
	/*
	 * The slab may be gone from here on. Its descriptor is not, nor is the
	 * heap: who destroys it waits for us.
	 */
	if (unlikely(READ_ONCE(slab->owner) & BSA_OWNER_FULL ||
		     ((READ_ONCE(*word) | READ_ONCE(word[BSA_REMOTE])) == ~0UL &&
		      READ_ONCE(slab->state) != BSA_PAGE_SLAB_ACTIVE)))
		bsa_look(heap, slab);
	return true;
}

/* Free an object in a slab, or say why not. Preemption is off. */
static __always_inline enum bsa_refused free_object(struct bsa_heap *heap,
						    struct bsa_page *slab,
						    u32 owner, const void *ptr)
{
	if (unlikely(!bsa_owner_is_of(owner, heap)))
		return BSA_FREE_OTHER_HEAP;
	if (bsa_wants_cleared(heap) && bsa_slab_is_live(slab, ptr))
		bsa_clear((void *)ptr, bsa_class_size(slab->class));
	if (likely(free_remote(heap, slab, ptr)))
		return BSA_FREE_OK;
	return bsa_slab_is_interior(slab, bsa_slab_index(slab, ptr)) ?
	       BSA_FREE_INTERIOR : BSA_FREE_DOUBLE;
}

/*
 * Free whatever lies in a page, or say why not. Preemption is off, and on again
 * afterwards.
 */
static __always_inline enum bsa_refused free_any(struct bsa_heap *heap,
						 struct bsa_page *page,
						 const void *ptr)
{
	u32 owner = READ_ONCE(page->owner);
	enum bsa_refused why;

	if (unlikely(owner == BSA_NOBODY))
		return bsa_free_block(heap, page, ptr);
	why = free_object(heap, page, owner, ptr);
	preempt_enable();
	return why;
}

/*
 * Any free that the fast path does not serve, above all that of an object in
 * another CPU's slab. Preemption is off, and on again afterwards.
 */
static noinline void free_other(const void *ptr, struct bsa_page *page,
				struct bsa_cpu __percpu *cpu,
				unsigned long caller)
{
	struct bsa_heap *heap = __this_cpu_read(cpu->heap);
	enum bsa_refused why;

	if (bsa_debug_on(heap)) {
		preempt_enable();
		bsa_debug_free(heap, ptr, false, caller);
		return;
	}
	why = free_any(heap, page, ptr);
	if (unlikely(why != BSA_FREE_OK))
		bsa_refuse_free(heap, ptr, why, caller);
}

/*
 * Free as if there were neither debug= nor tools. Return false if it is no live
 * object or block of the heap; nothing is said.
 */
bool bsa_plain_free(struct bsa_heap *heap, const void *ptr)
{
	preempt_disable();
	return free_any(heap, __bsa_page_of(ptr), ptr) == BSA_FREE_OK;
}

/*
 * Exported calls
 */

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
	free_fast(bsa_default_heap.cpu, ptr);
}
EXPORT_SYMBOL_GPL(bsa_free);

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
	if (unlikely(!heap))
		heap = &bsa_default_heap;
	preempt_disable();
	free_fast(heap->cpu, ptr);
}
EXPORT_SYMBOL_GPL(bsa_heap_free);

/*
 * Free what lies in the same slab as the first of @nr objects, if that is this
 * CPU's own. As free_fast().
 */
static size_t free_bulk_fast(struct bsa_heap *heap, size_t nr, void **ptrs)
{
	struct bsa_page *slab;
	unsigned long mark;
	struct bsa_cpu *c;
	size_t freed = 0;
	unsigned int class;

	preempt_disable();
	c = this_cpu_ptr(heap->cpu);
	slab = __bsa_page_of(ptrs[0]);
	mark = READ_ONCE(c->slabs.mark);
	if (likely(READ_ONCE(slab->owner) == (u32)mark)) {
		WRITE_ONCE(c->slabs.mark, (unsigned long)slab);
		barrier();
		class = slab->class;
		freed = bsa_slab_put_many(slab, mark,
					  min_t(size_t, nr, BULK_BATCH),
					  (const void * const *)ptrs);
		c->slabs.class[class].frees += freed;
		/* As in free_fast() (model/litmus/mark-outlasts-put.litmus). */
		smp_wmb();
		WRITE_ONCE(c->slabs.mark, c->slabs.idle);
	}
	preempt_enable();
	return freed;
}

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
	size_t i = 0, freed;

	heap = heap ?: &bsa_default_heap;
	while (i < nr) {
		freed = free_bulk_fast(heap, nr - i, ptrs + i);
		i += freed;
		if (freed)
			continue;
		preempt_disable();
		free_other(ptrs[i], __bsa_page_of(ptrs[i]), heap->cpu, _RET_IP_);
		i++;
	}
}
EXPORT_SYMBOL_GPL(bsa_heap_free_bulk);
