// SPDX-License-Identifier: GPL-2.0-only
/*
 * The calls that allocate: their fast path, and what it does not serve
 *
 * A request of up to BSA_MAX_OBJECT bytes takes what its CPU's magazine holds, or the
 * first free object of the word that the CPU is at: no lock, no atomic operation,
 * interrupts on. While it does so the CPU's mark is even, so whoever interrupts it
 * leaves the CPU's slabs alone.
 *
 * What the fast path does not serve: zeroing, alignments beyond the size, flags
 * that ask for something else, heaps with debug=, and what the kernel's tools want.
 * Those requests come to bsa_alloc_any().
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <bsa/compat.h>
#include <bsa/debug.h>
#include <bsa/percpu.h>
#include <bsa/tools.h>
#include <linux/sched/mm.h>
#include <linux/sizes.h>
#include <linux/slab.h>

/* Flags that only the slow path understands, or refuses. */
#define GFP_REFUSED	(__GFP_NOFAIL | __GFP_DMA | __GFP_THISNODE | \
			 __GFP_ACCOUNT)
#define GFP_SLOW	(__GFP_ZERO | __GFP_DMA32 | GFP_REFUSED)

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

/*
 * Below this, size - 1 is for the fast path: nothing is where the kernel wants
 * all memory to be zeroed.
 */
static size_t fast_limit __ro_after_init = BSA_MAX_OBJECT;

/* See what the kernel wants, before the first call. */
void bsa_alloc_start(void)
{
	if (static_branch_unlikely(&init_on_alloc))
		fast_limit = 0;
}

/* Does the fast path serve this request, if there is an object at hand? */
static __always_inline bool is_plain(size_t size, gfp_t gfp)
{
	might_alloc(gfp);
	return likely(size - 1 < fast_limit && !(gfp & GFP_SLOW)) &&
	       !bsa_wants_slow_path();
}

static void *alloc_held(size_t size, gfp_t gfp, struct bsa_cpu *c,
			struct bsa_class *class, unsigned long caller);
static void *alloc_refill(size_t size, gfp_t gfp, struct bsa_cpu *c,
			  struct bsa_class *class, unsigned long caller);

/*
 * Take an object that this CPU has at hand, of the class that is @at; else leave
 * it to others. Preemption is off, and on again afterwards.
 */
static __always_inline void *alloc_fast(struct bsa_cpu *c, unsigned long at,
					size_t size, gfp_t gfp)
{
	unsigned long mark = READ_ONCE(c->slabs.mark);
	struct bsa_class *class = NULL;
	void *obj;

	if (likely(mark & 1)) {
		WRITE_ONCE(c->slabs.mark, BSA_MARK_BUSY);
		/* Whoever interrupts from here on finds the CPU busy. */
		barrier();
		class = (void *)c->slabs.class + at;
		if (unlikely(class->held))
			return alloc_held(size, gfp, c, class, _RET_IP_);
		if (likely(bsa_class_take(class, &obj))) {
			barrier();
			WRITE_ONCE(c->slabs.mark, c->slabs.idle);
			preempt_enable();
			bsa_hand_out(obj, size, bsa_class_size(at / AT(1)));
			return obj;
		}
	}
	return alloc_refill(size, gfp, c, class, _RET_IP_);
}

/* Take what the magazine of @class holds. Ends what alloc_fast() has begun. */
static noinline void *alloc_held(size_t size, gfp_t gfp, struct bsa_cpu *c,
				 struct bsa_class *class, unsigned long caller)
{
	void *obj = bsa_slabs_take_held(&c->slabs, class);

	if (unlikely(!obj))
		return alloc_refill(size, gfp, c, class, caller);
	barrier();
	WRITE_ONCE(c->slabs.mark, c->slabs.idle);
	preempt_enable();
	bsa_hand_out(obj, size, bsa_class_size(class - c->slabs.class));
	return obj;
}

/*
 * The fast path found nothing at hand in @class, or, if that is NULL, the CPU
 * busy. Ends what alloc_fast() has begun.
 */
static noinline void *alloc_refill(size_t size, gfp_t gfp, struct bsa_cpu *c,
				   struct bsa_class *class, unsigned long caller)
{
	void *obj = NULL;

	if (likely(class)) {
		obj = bsa_refill(c, class);
		barrier();
		WRITE_ONCE(c->slabs.mark, c->slabs.idle);
	}
	preempt_enable();
	if (unlikely(!obj))
		return bsa_alloc_any(c->heap, size, 1, gfp, caller);
	bsa_hand_out(obj, size, bsa_class_size(class - c->slabs.class));
	return obj;
}

/*
 * What the fast path does not serve
 */

/*
 * Count and report an allocation that failed; __GFP_NOWARN says nothing.
 * Return NULL.
 */
void *bsa_alloc_failed(struct bsa_heap *heap, size_t size, bool low, gfp_t gfp,
		       unsigned long caller)
{
	this_cpu_inc(heap->cpu->failures);
	if (!(gfp & __GFP_NOWARN) && bsa_may_print(heap, &heap->failed))
		pr_warn("%s: no memory for %zu bytes%s (caller %pS)\n",
			heap->name, size, low ? " below 4 GiB" : "",
			(void *)caller);
	return NULL;
}

static noinline void warn_refused(struct bsa_heap *heap, gfp_t gfp,
				  unsigned long caller)
{
	gfp_t refused = gfp & GFP_REFUSED;

	this_cpu_inc(heap->cpu->failures);
	if (!bsa_may_print(heap, &heap->failed))
		return;
	if (refused)
		pr_warn("%s: allocation refused: %pGg cannot be promised, __GFP_DMA32 can (caller %pS)\n",
			heap->name, &refused, (void *)caller);
	else
		pr_warn("%s: allocation refused: the alignment is not a power of two (caller %pS)\n",
			heap->name, (void *)caller);
}

/*
 * Refuse flags and alignments that make no sense. Return true if there are
 * any; that has been counted and said then.
 */
bool bsa_refuse_gfp(struct bsa_heap *heap, size_t align, gfp_t gfp,
		    unsigned long caller)
{
	if (likely(!(gfp & GFP_REFUSED) && is_power_of_2(align)))
		return false;
	warn_refused(heap, gfp, caller);
	return true;
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

/* Memory below 4 GiB is had in pages, unless there is no other. */
static bool wants_low_pages(struct bsa_heap *heap, gfp_t gfp)
{
	return gfp & __GFP_DMA32 &&
	       !bitmap_full(heap->buddy.low, READ_ONCE(heap->buddy.nr_sections));
}

/*
 * Allocate as if there were neither debug= nor tools: nothing is zeroed, and a
 * failure is neither counted nor told. __GFP_DMA32 is heeded. Return an
 * object, or a block of pages where @size or @align is more than
 * BSA_MAX_OBJECT; NULL if there is no memory.
 */
void *bsa_plain_alloc(struct bsa_heap *heap, size_t size, size_t align,
		      gfp_t gfp)
{
	struct bsa_wish wish = { .heap = heap, .gfp = gfp };
	void *addr;

	if (max(size, align) > BSA_MAX_OBJECT || wants_low_pages(heap, gfp)) {
		addr = bsa_plain_alloc_pages(heap, (size - 1) / PAGE_SIZE + 1,
					     align, gfp & __GFP_DMA32, gfp);
		if (addr)
			bsa_page_of(addr)->asked = size;
		return addr;
	}
	wish.class = bsa_size_class(size_for(size, align));
	wish.obj = bsa_alloc_here(heap, wish.class);
	if (unlikely(!wish.obj))
		bsa_reclaim(&wish);
	return wish.obj;
}

/* As bsa_alloc_any(), of a heap without debug=. */
static void *alloc_plain(struct bsa_heap *heap, size_t size, size_t align,
			 gfp_t gfp)
{
	void *ptr = bsa_plain_alloc(heap, bsa_with_redzone(size), align, gfp);
	struct bsa_page *page;
	size_t room;

	if (!ptr)
		return NULL;
	page = bsa_page_of(ptr);
	if (bsa_page_is_slab(page)) {
		room = bsa_class_size(page->class);
	} else {
		room = PAGE_SIZE << page->order;
		page->asked = size;
	}
	if (want_init_on_alloc(gfp))
		bsa_clear(ptr, room);
	bsa_hand_out(ptr, size, room);
	return ptr;
}

/*
 * Any allocation that the fast path does not serve. Return the memory,
 * ZERO_SIZE_PTR for 0 bytes, or NULL.
 */
noinline void *bsa_alloc_any(struct bsa_heap *heap, size_t size, size_t align,
			     gfp_t gfp, unsigned long caller)
{
	void *ptr;

	if (bsa_refuse_gfp(heap, align, gfp, caller))
		return NULL;
	if (!size)
		return ZERO_SIZE_PTR;
	if (bsa_should_fail(size)) {
		this_cpu_inc(heap->cpu->failures);
		return NULL;
	}
	ptr = bsa_debug_on(heap) ?
	      bsa_debug_alloc(heap, size, align, gfp, caller) :
	      alloc_plain(heap, size, align, gfp);
	return ptr ?: bsa_alloc_failed(heap, size, false, gfp, caller);
}

/*
 * Exported calls
 */

/**
 * __bsa_alloc - bsa_alloc() of a size that the compiler does not know
 * @size: bytes
 * @gfp: as for bsa_alloc()
 *
 * Context: any.
 * Return: the memory, or NULL.
 */
void *__bsa_alloc(size_t size, gfp_t gfp)
{
	if (is_plain(size, gfp)) {
		preempt_disable();
		return alloc_fast(__this_cpu_read(bsa_this_cpu),
				  class_at[(size - 1) / 8], size, gfp);
	}
	return bsa_alloc_any(&bsa_default_heap, size, 1, gfp, _RET_IP_);
}
EXPORT_SYMBOL_GPL(__bsa_alloc);

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
	if (is_plain(size, gfp)) {
		preempt_disable();
		return alloc_fast(__this_cpu_read(bsa_this_cpu), AT(class),
				  size, gfp);
	}
	return bsa_alloc_any(&bsa_default_heap, size, 1, gfp, _RET_IP_);
}
EXPORT_SYMBOL_GPL(__bsa_alloc_class);

/**
 * bsa_heap_alloc - allocate from a heap
 * @heap: the heap; NULL is the default heap
 * @size: bytes; 0 gives ZERO_SIZE_PTR
 * @gfp: see <linux/bsa.h>
 *
 * A power-of-two size is aligned to itself. More than BSA_MAX_OBJECT bytes are
 * served in whole pages, a power of two of them.
 *
 * Context: any.
 * Return: the memory, or NULL.
 */
void *bsa_heap_alloc(struct bsa_heap *heap, size_t size, gfp_t gfp)
{
	if (unlikely(!heap))
		heap = &bsa_default_heap;
	if (is_plain(size, gfp)) {
		preempt_disable();
		return alloc_fast(this_cpu_ptr(heap->cpu),
				  class_at[(size - 1) / 8], size, gfp);
	}
	return bsa_alloc_any(heap, size, 1, gfp, _RET_IP_);
}
EXPORT_SYMBOL_GPL(bsa_heap_alloc);

/**
 * bsa_heap_alloc_aligned - allocate from a heap with an alignment
 * @heap: the heap; NULL is the default heap
 * @size: bytes; 0 gives ZERO_SIZE_PTR
 * @align: alignment in bytes, a power of two
 * @gfp: see <linux/bsa.h>
 *
 * Context: any.
 * Return: the memory, or NULL.
 */
void *bsa_heap_alloc_aligned(struct bsa_heap *heap, size_t size, size_t align,
			     gfp_t gfp)
{
	might_alloc(gfp);
	return bsa_alloc_any(heap ?: &bsa_default_heap, size, align, gfp,
			     _RET_IP_);
}
EXPORT_SYMBOL_GPL(bsa_heap_alloc_aligned);

/**
 * bsa_heap_calloc - allocate a zeroed array from a heap
 * @heap: the heap; NULL is the default heap
 * @n: number of elements
 * @size: bytes of each
 * @gfp: see <linux/bsa.h>
 *
 * Context: any.
 * Return: the memory; NULL if there is none, or if @n * @size overflows.
 */
void *bsa_heap_calloc(struct bsa_heap *heap, size_t n, size_t size, gfp_t gfp)
{
	size_t bytes;

	might_alloc(gfp);
	/* More than there can be, so that it fails and is counted. */
	if (check_mul_overflow(n, size, &bytes))
		bytes = SIZE_MAX;
	return bsa_alloc_any(heap ?: &bsa_default_heap, bytes, 1,
			     gfp | __GFP_ZERO, _RET_IP_);
}
EXPORT_SYMBOL_GPL(bsa_heap_calloc);

/* Take up to @nr objects that this CPU has at hand, or at least one. */
static size_t alloc_bulk_fast(struct bsa_heap *heap, unsigned int index,
			      size_t nr, void **ptrs)
{
	struct bsa_class *class;
	unsigned long mark;
	struct bsa_cpu *c;
	size_t taken = 0;
	void *obj;

	preempt_disable();
	c = this_cpu_ptr(heap->cpu);
	mark = READ_ONCE(c->slabs.mark);
	if (mark & 1) {
		WRITE_ONCE(c->slabs.mark, BSA_MARK_BUSY);
		barrier();
		class = &c->slabs.class[index];
		taken = bsa_class_take_many(class, nr, ptrs);
		if (!taken) {
			obj = bsa_refill(c, class);
			if (likely(obj))
				ptrs[taken++] = obj;
		}
		barrier();
		WRITE_ONCE(c->slabs.mark, c->slabs.idle);
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

/**
 * bsa_heap_alloc_bulk - allocate several objects of one size
 * @heap: the heap; NULL is the default heap
 * @size: bytes of each; 0 gives ZERO_SIZE_PTR
 * @gfp: see <linux/bsa.h>
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
		obj = bsa_alloc_any(heap, size, 1, gfp, _RET_IP_);
		if (!obj)
			break;
		ptrs[i++] = obj;
	}
	return i;
}
EXPORT_SYMBOL_GPL(bsa_heap_alloc_bulk);

/**
 * bsa_size_roundup - bytes that a request of some size really gets
 * @size: bytes
 *
 * To ask for all of what there is room for, as with kmalloc_size_roundup().
 *
 * Return: at least @size.
 */
size_t bsa_size_roundup(size_t size)
{
	if (!size || size > PAGE_SIZE << BSA_MAX_PAGE_ORDER)
		return size;
	if (size > BSA_MAX_OBJECT)
		return PAGE_SIZE << order_base_2(PFN_UP(size));
	return bsa_class_size(bsa_size_class(size));
}
EXPORT_SYMBOL_GPL(bsa_size_roundup);
