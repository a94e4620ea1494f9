/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _BSA_PERCPU_H
#define _BSA_PERCPU_H

#include <bsa/pcp.h>
#include <bsa/slab.h>
#include <linux/bsa.h>
#include <linux/llist.h>

struct bsa_debug;
struct dentry;

/**
 * struct bsa_cpu - what one CPU owns of a heap
 * @idle: @slabs.owner, an odd number; but while a context on the CPU changes
 *	@slabs an even one: the slab that it frees into, or the owner less one
 * @slabs: its slabs
 * @remote: slabs with remote frees, pushed by anybody
 * @pending: slabs taken off @remote that wait to be drained
 * @lock: protects the lists in @slabs, and @pending
 * @remote_frees: objects that this CPU freed into slabs that it does not own
 * @pcp: for each order, blocks of pages
 * @failures: allocations on this CPU that failed
 * @heap: the heap
 * @cpu: the CPU; nr_cpu_ids for the set that no CPU owns
 */
struct bsa_cpu {
	unsigned long idle;
	struct bsa_slabs slabs;
	struct llist_head remote;
	struct llist_node *pending;
	raw_spinlock_t lock;
	unsigned long remote_frees;
	struct bsa_pcp pcp[BSA_NR_ORDERS];
	unsigned long failures;
	struct bsa_heap *heap;
	unsigned int cpu;
};

/**
 * struct bsa_heap - sections, and per-CPU slabs on top of them
 * @cpu: the slabs of each CPU
 * @shared: slabs that no CPU owns: for allocations that interrupt the fast
 *	path, and what CPUs that went offline left behind
 * @buddy: the pages
 * @pool: bitmaps of slabs with many objects
 * @refused: frees that were refused
 * @spare: how many of the blocks that callers free are kept as they are, beyond
 *	what they hold: BSA_PCP_SPARE; BSA_PCP_NONE where something is to be done
 *	with them first
 * @id: index in the table of heaps
 * @name: as given to bsa_heap_create()
 * @reserved: memory that the module reserved for the heap, to be given back
 * @debugfs: directory of the heap
 * @node: link in the list of heaps
 * @debug: what debug= needs; NULL without it
 */
struct bsa_heap {
	struct bsa_cpu __percpu *cpu;
	struct bsa_cpu shared;
	struct bsa_buddy buddy;
	struct bsa_bitmap_pool pool;
	atomic_long_t refused;
	long spare;
	unsigned int id;
	char name[BSA_NAME_LEN];
	struct list_head reserved;
	struct dentry *debugfs;
	struct list_head node;
	struct bsa_debug *debug;
};

extern struct bsa_heap bsa_default_heap;

int bsa_percpu_init(struct bsa_heap *heap);
void bsa_percpu_exit(struct bsa_heap *heap);
int bsa_percpu_start(void);
void bsa_percpu_stop(void);

struct bsa_cpu *bsa_owner_cpu(u32 owner);
unsigned long bsa_percpu_mark(const struct bsa_cpu *c);
struct bsa_cpu *bsa_percpu_next(struct bsa_heap *heap, struct bsa_cpu *cpu);
void *bsa_percpu_alloc(struct bsa_heap *heap, size_t size, size_t align,
		       gfp_t gfp, unsigned long caller);
size_t bsa_percpu_size(struct bsa_heap *heap, const void *ptr);
void bsa_percpu_flush(struct bsa_heap *heap);
unsigned long bsa_percpu_kept_pages(struct bsa_heap *heap, int section);
unsigned long bsa_percpu_live_objects(struct bsa_heap *heap);

#endif /* _BSA_PERCPU_H */
