/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _BSA_HEAP_H
#define _BSA_HEAP_H

#include <bsa/percpu.h>

/* How many heaps there can be at a time; the index of one is its &bsa_heap.id. */
#define BSA_MAX_HEAPS	256

extern unsigned long bsa_debug_flags;

int bsa_check_bytes(const char *name, const char *what, size_t bytes,
		    size_t min, size_t max);
int bsa_check_node(const char *name, int node);
int bsa_heap_start(struct bsa_heap *heap, size_t size, size_t lowmem, int node,
		   unsigned long flags);
void bsa_heaps_exit(void);

struct bsa_heap *bsa_heap_by_id(unsigned int id);
void bsa_heaps_for_each(void (*fn)(struct bsa_heap *heap, void *data),
			void *data);

/* The heap that a caller of an exported call means. */
static inline struct bsa_heap *bsa_heap_or_default(struct bsa_heap *heap)
{
	return heap ?: &bsa_default_heap;
}

#endif /* _BSA_HEAP_H */
