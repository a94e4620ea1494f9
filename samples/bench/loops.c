// SPDX-License-Identifier: GPL-2.0-only
/*
 * The loops that are timed, and the calls that they make
 *
 * Whose calls a loop makes is a constant where it is compiled: each loop consists
 * of direct calls.
 */
#include "bench.h"

#include <linux/genalloc.h>
#include <linux/mempool.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/slab.h>

/*
 * The floor: no allocator with a cache for each CPU can do with less than
 * popping a pointer from an array and pushing it back, each a call and with
 * preemption off.
 */
struct floor_stack {
	unsigned int nr;
	void *object[64];
};

static DEFINE_PER_CPU(struct floor_stack, floor_stack) = { .nr = 1 };

static noinline void *floor_alloc(void)
{
	struct floor_stack *stack;
	void *object = NULL;

	preempt_disable();
	stack = this_cpu_ptr(&floor_stack);
	if (likely(stack->nr))
		object = stack->object[--stack->nr];
	preempt_enable();
	return object;
}

static noinline void floor_free(void *object)
{
	struct floor_stack *stack;

	preempt_disable();
	stack = this_cpu_ptr(&floor_stack);
	if (likely(stack->nr < ARRAY_SIZE(stack->object)))
		stack->object[stack->nr++] = object;
	preempt_enable();
}

/* What a caller does with an object at least. */
static __always_inline void *write(void *object, size_t size)
{
	size_t i;

	for (i = 0; i < size && object; i += L1_CACHE_BYTES)
		WRITE_ONCE(*(u8 *)(object + i), 1);
	return object;
}

static __always_inline void *call_alloc(enum bench_calls who,
					const struct bench_case *c, size_t size)
{
	switch (who) {
	case BSA_WRITTEN: return write(bsa_alloc(size, BENCH_GFP), size);
	case BSA_HEAP_WRITTEN:
		return write(bsa_heap_alloc(c->heap, size, BENCH_GFP), size);
	case KMALLOC_WRITTEN: return write(kmalloc(size, BENCH_GFP), size);
	case BSA: return bsa_alloc(size, BENCH_GFP);
	case BSA_HEAP: return bsa_heap_alloc(c->heap, size, BENCH_GFP);
	case BSA_PAGES:
		return bsa_heap_alloc_pages(c->heap, c->pages, c->align, BENCH_GFP);
	case BSA_LOW_PAGES:
		return bsa_heap_alloc_pages_lowmem(c->heap, c->pages, c->align,
						   BENCH_GFP);
	case KMALLOC: return kmalloc(size, BENCH_GFP);
#ifdef kmalloc_nolock
	case KMALLOC_NOLOCK: return kmalloc_nolock(size, 0, NUMA_NO_NODE);
#endif
	case KMEM_CACHE: return kmem_cache_alloc(c->peer, BENCH_GFP);
	case MEMPOOL: return mempool_alloc(c->peer, BENCH_GFP);
	case GEN_POOL: return (void *)gen_pool_alloc(c->peer, size);
	case ALLOC_PAGES: return alloc_pages(BENCH_GFP, c->order);
	case OF_CASE: return c->alloc(c->peer, c->align);
	case FLOOR: return floor_alloc();
	default: return NULL;
	}
}

static __always_inline void call_free(enum bench_calls who,
				      const struct bench_case *c, void *object)
{
	switch (who) {
	case BSA:
	case BSA_WRITTEN: return bsa_free(object);
	case BSA_HEAP:
	case BSA_HEAP_WRITTEN: return bsa_heap_free(c->heap, object);
	case BSA_PAGES:
	case BSA_LOW_PAGES: return bsa_heap_free_pages(c->heap, object, c->pages);
	case KMALLOC:
	case KMALLOC_WRITTEN: return kfree(object);
#ifdef kmalloc_nolock
	case KMALLOC_NOLOCK: return kfree_nolock(object);
#endif
	case KMEM_CACHE: return kmem_cache_free(c->peer, object);
	case MEMPOOL: return mempool_free(object, c->peer);
	case GEN_POOL: return gen_pool_free(c->peer, (unsigned long)object, c->size);
	case ALLOC_PAGES: return __free_pages(object, c->order);
	case OF_CASE: return c->free(c->peer, object);
	case FLOOR: return floor_free(object);
	default:
		OPTIMIZER_HIDE_VAR(object);
	}
}

static __always_inline void pairs(enum bench_calls who,
				  const struct bench_case *c, unsigned int n,
				  size_t size)
{
	while (n--)
		call_free(who, c, call_alloc(who, c, size));
}

/* The same with a size that the compiler knows. */
static __always_inline void constant_pairs(enum bench_calls who,
					   const struct bench_case *c,
					   unsigned int n)
{
	switch (c->size) {
	case 8: return pairs(who, c, n, 8);
	case 16: return pairs(who, c, n, 16);
	case 32: return pairs(who, c, n, 32);
	case 64: return pairs(who, c, n, 64);
	case 128: return pairs(who, c, n, 128);
	case 256: return pairs(who, c, n, 256);
	case 512: return pairs(who, c, n, 512);
	case 1024: return pairs(who, c, n, 1024);
	case 2048: return pairs(who, c, n, 2048);
	}
}

static void run_pairs(enum bench_calls who, const struct bench_case *c,
		      unsigned int n)
{
	size_t size = c->size;

	switch (who) {
	case NOTHING:
		while (n--)
			OPTIMIZER_HIDE_VAR(size);
		return;
	case BSA: return pairs(BSA, c, n, size);
	case BSA_WRITTEN: return pairs(BSA_WRITTEN, c, n, size);
	case BSA_CONSTANT: return constant_pairs(BSA, c, n);
	case BSA_HEAP: return pairs(BSA_HEAP, c, n, size);
	case BSA_HEAP_WRITTEN: return pairs(BSA_HEAP_WRITTEN, c, n, size);
	case BSA_PAGES: return pairs(BSA_PAGES, c, n, size);
	case BSA_LOW_PAGES: return pairs(BSA_LOW_PAGES, c, n, size);
	case KMALLOC: return pairs(KMALLOC, c, n, size);
	case KMALLOC_WRITTEN: return pairs(KMALLOC_WRITTEN, c, n, size);
	case KMALLOC_CONSTANT: return constant_pairs(KMALLOC, c, n);
	case KMALLOC_NOLOCK: return pairs(KMALLOC_NOLOCK, c, n, size);
	case KMEM_CACHE: return pairs(KMEM_CACHE, c, n, size);
	case MEMPOOL: return pairs(MEMPOOL, c, n, size);
	case GEN_POOL: return pairs(GEN_POOL, c, n, size);
	case ALLOC_PAGES: return pairs(ALLOC_PAGES, c, n, size);
	case FLOOR: return pairs(FLOOR, c, n, size);
	default:
		break;
	}
}

static __always_inline void alloc_all(enum bench_calls who,
				      const struct bench_case *c)
{
	unsigned int i;

	for (i = 0; i < c->nr; i++)
		c->objects[i] = call_alloc(who, c, c->size);
}

static __always_inline void free_all(enum bench_calls who,
				     const struct bench_case *c)
{
	unsigned int i;

	for (i = 0; i < c->nr; i++)
		call_free(who, c, c->objects[c->free_order[i]]);
}

/**
 * bench_alloc_all - allocate as many objects as a case is about
 * @who: from whom
 * @c: the case
 */
noinline void bench_alloc_all(enum bench_calls who, const struct bench_case *c)
{
	switch (who) {
	case BSA: return alloc_all(BSA, c);
	case BSA_WRITTEN: return alloc_all(BSA_WRITTEN, c);
	case BSA_HEAP: return alloc_all(BSA_HEAP, c);
	case BSA_HEAP_WRITTEN: return alloc_all(BSA_HEAP_WRITTEN, c);
	case BSA_PAGES: return alloc_all(BSA_PAGES, c);
	case KMALLOC: return alloc_all(KMALLOC, c);
	case KMALLOC_WRITTEN: return alloc_all(KMALLOC_WRITTEN, c);
	case OF_CASE: return alloc_all(OF_CASE, c);
	default:
		break;
	}
}

/**
 * bench_free_all - free them all, in the order of the case
 * @who: to whom
 * @c: the case
 */
noinline void bench_free_all(enum bench_calls who, const struct bench_case *c)
{
	switch (who) {
	case BSA: return free_all(BSA, c);
	case BSA_WRITTEN: return free_all(BSA_WRITTEN, c);
	case BSA_HEAP: return free_all(BSA_HEAP, c);
	case BSA_HEAP_WRITTEN: return free_all(BSA_HEAP_WRITTEN, c);
	case BSA_PAGES: return free_all(BSA_PAGES, c);
	case KMALLOC: return free_all(KMALLOC, c);
	case KMALLOC_WRITTEN: return free_all(KMALLOC_WRITTEN, c);
	case OF_CASE: return free_all(OF_CASE, c);
	default:
		break;
	}
}

static __always_inline void replace(enum bench_calls who, const struct bench_case *c,
				    const u32 *which, unsigned int n)
{
	void **object;

	while (n--) {
		object = &c->objects[*which++];
		call_free(who, c, *object);
		*object = call_alloc(who, c, c->sizes ? c->sizes[n % NR_BATCH] : c->size);
	}
}

/**
 * bench_replace - free objects of many, and allocate others in their place
 * @who: whose calls are made
 * @c: the case, whose objects are all live
 * @which: the index of each, one after another
 * @n: how many
 */
noinline void bench_replace(enum bench_calls who, const struct bench_case *c,
			    const u32 *which, unsigned int n)
{
	switch (who) {
	case BSA: return replace(BSA, c, which, n);
	case KMALLOC: return replace(KMALLOC, c, which, n);
	default:
		break;
	}
}

/* Allocate and free one batch. */
static __always_inline void run_batch(enum bench_calls who,
				      const struct bench_case *c)
{
	int nr;

	switch (who) {
	case NOTHING:
		alloc_all(NOTHING, c);
		barrier();
		return free_all(NOTHING, c);
	case BSA_BULK:
		nr = bsa_alloc_bulk(c->size, BENCH_GFP, c->nr, c->objects);
		return bsa_free_bulk(nr, c->objects);
	case KMEM_CACHE_BULK:
		/* It returns the number or, from 7.0 on, whether there were so many. */
		nr = kmem_cache_alloc_bulk(c->peer, BENCH_GFP, c->nr, c->objects) ? c->nr : 0;
		return kmem_cache_free_bulk(c->peer, nr, c->objects);
	default:
		bench_alloc_all(who, c);
		bench_free_all(who, c);
	}
}

/**
 * bench_loop - allocate all objects of a case and free them again
 * @who: whose calls are made
 * @c: the case
 * @n: how often
 */
void bench_loop(enum bench_calls who, const struct bench_case *c, unsigned int n)
{
	if (c->nr == 1)
		return run_pairs(who, c, n);
	while (n--)
		run_batch(who, c);
}
