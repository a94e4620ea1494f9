// SPDX-License-Identifier: GPL-2.0-only
/*
 * The calls for blocks of pages
 *
 * A block is popped off the stack of blocks that this CPU keeps, or pushed there;
 * else it comes from the buddy, and goes back to it. A descriptor knows how many
 * bytes its block's caller asked for, with which alignment: a free of another
 * number of pages is refused.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <bsa/compat.h>
#include <bsa/debug.h>
#include <bsa/percpu.h>
#include <bsa/tools.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

/* Flags that only the slow path understands, or refuses. */
#define GFP_SLOW	(__GFP_ZERO | __GFP_DMA32 | __GFP_DMA | __GFP_NOFAIL | \
			 __GFP_THISNODE | __GFP_ACCOUNT)

/* Give a block to the caller who asked for @bytes of it. */
static __always_inline void hand_over(struct bsa_page *page, size_t bytes,
				      size_t align)
{
	page->asked = bytes;
	page->align = align;
	WRITE_ONCE(page->state, BSA_PAGE_ALLOCATED);
}

/* Allocate a block that this CPU keeps. */
static __always_inline void *alloc_kept(struct bsa_heap *heap,
					unsigned long nr, size_t align,
					bool low)
{
	struct bsa_kept __percpu *kept;
	struct bsa_page *page;
	void *addr;

	/* It is aligned to its own size; and 0 is no alignment. */
	if (unlikely(nr - 1 >= 1UL << (BSA_KEPT_ORDERS - 1) ||
		     align - 1 >= nr * PAGE_SIZE || align & (align - 1)))
		return NULL;
	/* Rounded up to a power of two. */
	kept = &heap->cpu->kept[__fls(2 * nr - 1)];
	addr = bsa_kept_pop(raw_cpu_ptr(kept), low, &page);
	if (unlikely(!addr))
		return NULL;
	hand_over(page, nr << PAGE_SHIFT, align);
	this_cpu_inc(kept->allocs);
	return addr;
}

/* Take a block that is kept, for whichever CPU. */
static struct bsa_page *take_kept(struct bsa_heap *heap,
				  const struct bsa_page_request *req)
{
	struct bsa_page *page;
	struct bsa_cpu *c = NULL;

	if (req->order >= BSA_KEPT_ORDERS || req->align_order > req->order)
		return NULL;
	while ((c = bsa_percpu_next(heap, c)))
		if (bsa_kept_pop(&c->kept[req->order], req->low, &page))
			return page;
	return NULL;
}

/* Take a block from wherever there is one. */
static struct bsa_page *take_block(struct bsa_wish *wish)
{
	struct bsa_heap *heap = wish->heap;
	struct bsa_page *page;

	if (!bsa_buddy_could(&heap->buddy, &wish->block))
		return NULL;
	preempt_disable();
	if (wish->block.order < BSA_KEPT_ORDERS)
		bsa_kept_miss(this_cpu_ptr(&heap->cpu->kept[wish->block.order]));
	if (unlikely(bsa_buddy_has_deferred(&heap->buddy)))
		bsa_catch_up(heap);
	page = bsa_buddy_alloc(&heap->buddy, &wish->block) ?:
	       take_kept(heap, &wish->block);
	preempt_enable();
	if (page || !bsa_reclaim(wish))
		return page;
	return wish->page;
}

/*
 * Allocate pages as if there were neither debug= nor tools: nothing is zeroed,
 * and a failure is neither counted nor told. Return the address, or NULL.
 */
void *bsa_plain_alloc_pages(struct bsa_heap *heap, unsigned long nr,
			    size_t align, bool low, gfp_t gfp)
{
	struct bsa_wish wish = {
		.heap = heap,
		.gfp = gfp,
		.class = BSA_ALL_CLASSES,
		.block.order = order_base_2(nr),
		.block.low = low,
	};
	struct bsa_page *page;
	void *addr;

	addr = alloc_kept(heap, nr, align, low);
	if (addr)
		return addr;
	if (align > PAGE_SIZE)
		wish.block.align_order = ilog2(align) - PAGE_SHIFT;
	page = take_block(&wish);
	if (!page)
		return NULL;
	hand_over(page, nr << PAGE_SHIFT, align);
	this_cpu_inc(heap->cpu->kept[page->order].allocs);
	return bsa_page_address(&heap->buddy, page);
}

/* Any allocation of pages that the fast path does not serve. */
static noinline void *alloc_slow(struct bsa_heap *heap, unsigned long nr,
				 size_t align, bool low, gfp_t gfp,
				 unsigned long caller)
{
	size_t bytes;
	void *addr;

	if (bsa_refuse_gfp(heap, align, gfp, caller) || !nr)
		return NULL;
	if (check_mul_overflow(nr, PAGE_SIZE, &bytes))
		bytes = SIZE_MAX;
	if (bsa_should_fail(bytes)) {
		this_cpu_inc(heap->cpu->failures);
		return NULL;
	}
	low |= !!(gfp & __GFP_DMA32);
	if (bsa_debug_on(heap))
		addr = bsa_debug_alloc_pages(heap, nr, align, low, gfp, caller);
	else
		addr = bsa_plain_alloc_pages(heap, nr, align, low, gfp);
	if (unlikely(!addr))
		return bsa_alloc_failed(heap, bytes, low, gfp, caller);
	if (bsa_debug_on(heap))
		return addr;
	if (want_init_on_alloc(gfp))
		bsa_clear(addr, PAGE_SIZE << order_base_2(nr));
	bsa_hand_out(addr, bytes, PAGE_SIZE << order_base_2(nr));
	return addr;
}

/* What all calls that allocate pages do. */
static __always_inline void *alloc_pages_of(struct bsa_heap *heap,
					    unsigned long nr, size_t align,
					    bool low, gfp_t gfp)
{
	void *addr = NULL;

	might_alloc(gfp);
	if (likely(!(gfp & GFP_SLOW)) &&
	    !static_branch_unlikely(&init_on_alloc) && !bsa_wants_slow_path())
		addr = alloc_kept(heap, nr, align, low);
	if (unlikely(!addr))
		return alloc_slow(heap, nr, align, low, gfp, _RET_IP_);
	bsa_hand_out(addr, nr * PAGE_SIZE, PAGE_SIZE << order_base_2(nr));
	return addr;
}

/*
 * Frees
 */

/*
 * A block that a caller has freed is not kept as it is. Preemption is on again:
 * clearing it may take long.
 */
static noinline void free_unkept(struct bsa_heap *heap, struct bsa_page *page,
				 void *addr)
{
	preempt_enable();
	if (bsa_wants_cleared(heap))
		bsa_clear(addr, PAGE_SIZE << page->order);
	bsa_buddy_free(&heap->buddy, page);
}

/*
 * Free a block of @nr pages, or of however many if that is 0. Preemption is off,
 * so the section stays until the block is claimed, and on again afterwards. Return
 * false if it is no such block; then preemption is off still.
 */
static __always_inline bool free_block(struct bsa_heap *heap,
				       struct bsa_page *page, const void *addr,
				       unsigned long nr)
{
	struct bsa_kept __percpu *kept;

	if (unlikely((nr && nr != (READ_ONCE(page->asked) - 1) / PAGE_SIZE + 1) ||
		     !bsa_buddy_claim(&heap->buddy, page, addr)))
		return false;
	kept = &heap->cpu->kept[page->order];
	this_cpu_inc(kept->frees);
	bsa_take_back(addr, PAGE_SIZE << page->order);
	if (likely(page->order < BSA_KEPT_ORDERS &&
		   bsa_kept_push(this_cpu_ptr(kept), page, addr,
				 bsa_page_is_low(&heap->buddy, page))))
		preempt_enable();
	else
		free_unkept(heap, page, (void *)addr);
	return true;
}

/* Say why free_block() has freed nothing. Preemption is on again. */
static noinline enum bsa_refused why_not(struct bsa_heap *heap,
					 struct bsa_page *page,
					 const void *addr)
{
	enum bsa_refused why = BSA_FREE_OK;

	if (!bsa_is_nothing(addr))
		why = bsa_buddy_refusal(&heap->buddy, page, addr);
	preempt_enable();
	return why;
}

/*
 * Free a block of pages, or say why not. Preemption is off, and on again
 * afterwards.
 */
enum bsa_refused bsa_free_block(struct bsa_heap *heap, struct bsa_page *page,
				const void *addr)
{
	return free_block(heap, page, addr, 0) ? BSA_FREE_OK :
						 why_not(heap, page, addr);
}

/**
 * bsa_heap_alloc_pages - allocate contiguous pages from a heap
 * @heap: the heap; NULL is the default heap
 * @nr: number of pages; rounded up to a power of two
 * @align: alignment in bytes, physical and virtual; a power of two
 * @gfp: see <linux/bsa.h>
 *
 * Context: any. Where a lock cannot be taken it may fail although there is memory.
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
 * @gfp: see <linux/bsa.h>
 *
 * Context: any. Where a lock cannot be taken it may fail although there is memory.
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
 * @nr: number of pages that were asked for; with another the free is refused
 *
 * Context: any.
 */
void bsa_heap_free_pages(struct bsa_heap *heap, const void *addr,
			 unsigned long nr)
{
	enum bsa_refused why;
	struct bsa_page *page;

	heap = heap ?: &bsa_default_heap;
	if (unlikely(bsa_debug_on(heap))) {
		bsa_debug_free(heap, addr, true, _RET_IP_);
		return;
	}
	preempt_disable();
	page = __bsa_page_of(addr);
	/* 0 pages are never what somebody has. */
	if (likely(nr && free_block(heap, page, addr, nr)))
		return;
	why = why_not(heap, page, addr);
	if (why != BSA_FREE_OK)
		bsa_refuse_free(heap, addr, why, _RET_IP_);
}
EXPORT_SYMBOL_GPL(bsa_heap_free_pages);
