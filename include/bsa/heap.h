/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _BSA_HEAP_H
#define _BSA_HEAP_H

#include <bsa/percpu.h>

/* How many heaps there can be at a time; the index of one is its &bsa_heap.id. */
#define BSA_MAX_HEAPS	256

extern unsigned long bsa_debug_flags;

int bsa_heap_init(struct bsa_heap *heap, unsigned long flags);
int bsa_heap_reserve(struct bsa_heap *heap, size_t bytes, int node, bool low);
void bsa_heap_exit(struct bsa_heap *heap, bool keep);
void bsa_heap_register(struct bsa_heap *heap);
void bsa_heaps_exit(void);

struct bsa_heap *bsa_heap_by_id(unsigned int id);
void bsa_heaps_for_each(void (*fn)(struct bsa_heap *heap, void *data),
			void *data);

/**
 * bsa_heap_or_default - the heap that a caller of an exported call means
 * @heap: the heap; NULL is the default heap
 */
static inline struct bsa_heap *bsa_heap_or_default(struct bsa_heap *heap)
{
	return heap ?: &bsa_default_heap;
}

#endif /* _BSA_HEAP_H */
