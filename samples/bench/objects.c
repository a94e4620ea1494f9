// SPDX-License-Identifier: GPL-2.0-only
/*
 * Objects of each size class: pairs of an allocation and its free, bursts, bulk
 */
#include "bench.h"

#include <linux/mempool.h>
#include <linux/slab.h>

const char *bench_prepare_class(struct bench_setup *s, unsigned int class)
{
	s->side[OURS].size = 8UL << class;
	s->side[PEER].size = 8UL << class;
	snprintf(s->what, sizeof(s->what), "%lu bytes", 8UL << class);
	return NULL;
}

/* As ours, that one can be called in any context. It is in the kernel from 6.18 on. */
static const char *prepare_nolock(struct bench_setup *s, unsigned int class)
{
	bench_prepare_class(s, class);
#ifdef kmalloc_nolock
	return NULL;
#else
	return "this kernel has no kmalloc_nolock()";
#endif
}

static void drop_cache(void *cache)
{
	kmem_cache_destroy(cache);
}

const char *bench_prepare_cache(struct bench_setup *s, unsigned int class)
{
	bench_prepare_class(s, class);
	s->drop_peer = drop_cache;
	s->side[PEER].peer = kmem_cache_create("bsa_bench", 8UL << class, 0, 0,
					       NULL);
	return s->side[PEER].peer ? NULL : NO_MEMORY;
}

const char *bench_prepare_bulk(struct bench_setup *s, unsigned int class)
{
	s->side[OURS].nr = 64;
	s->side[PEER].nr = 64;
	if (bench_prepare_cache(s, class))
		return NO_MEMORY;
	snprintf(s->what, sizeof(s->what), "64 x %lu bytes", 8UL << class);
	return NULL;
}

static void drop_mempool(void *pool)
{
	mempool_destroy(pool);
}

static const char *prepare_mempool(struct bench_setup *s, unsigned int class)
{
	bench_prepare_class(s, class);
	s->drop_peer = drop_mempool;
	s->side[PEER].peer = mempool_create_kmalloc_pool(16, 8UL << class);
	return s->side[PEER].peer ? NULL : NO_MEMORY;
}

const char *bench_prepare_burst(struct bench_setup *s, unsigned int i)
{
	static const char *const name[] = {
		[FREE_SAME] = "same", [FREE_REVERSE] = "reverse", [FREE_RANDOM] = "random",
	};
	enum free_order order = i / BSA_NR_CLASSES;

	bench_prepare_class(s, i % BSA_NR_CLASSES);
	bench_set_order(order, s->row->nr);
	snprintf(s->what, sizeof(s->what), "%zu bytes, %s order",
		 s->side[OURS].size, name[order]);
	return NULL;
}

const struct bench_row bench_objects[] = {
	{ "allocate + free", "kmalloc", "ratio<=0.40",
	  BSA_NR_CLASSES, bench_prepare_class, BSA, KMALLOC },
	{ "allocate + free", "kmem_cache", "ratio<=0.60",
	  BSA_NR_CLASSES, bench_prepare_cache, BSA, KMEM_CACHE },
	{ "allocate + free", "kmalloc_nolock", "",
	  BSA_NR_CLASSES, prepare_nolock, BSA, KMALLOC_NOLOCK },
	{ "allocate + free", "the floor", "ratio<=2.50",
	  BSA_NR_CLASSES, bench_prepare_class, BSA, FLOOR },
	{ "allocate + free, constant size", "kmalloc", "",
	  BSA_NR_CLASSES, bench_prepare_class, BSA_CONSTANT, KMALLOC_CONSTANT },
	{ "allocate + free, constant size", "bsa, size at run time", "ratio<=0.99",
	  BSA_NR_CLASSES, bench_prepare_class, BSA_CONSTANT, BSA },
	{ "64 objects", "kmalloc", "ratio<=0.30",
	  3 * BSA_NR_CLASSES, bench_prepare_burst, BSA, KMALLOC, .nr = 64 },
	{ "4,096 objects", "kmalloc", "ratio<=0.30",
	  3 * BSA_NR_CLASSES, bench_prepare_burst, BSA, KMALLOC, .nr = NR_BATCH },
	{ "bulk", "kmem_cache bulk", "ratio<=0.40",
	  BSA_NR_CLASSES, bench_prepare_bulk, BSA_BULK, KMEM_CACHE_BULK, .irqs_on = true },
	{ "allocate + free", "mempool", "",
	  BSA_NR_CLASSES, prepare_mempool, BSA, MEMPOOL },
	{}
};
