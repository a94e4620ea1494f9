/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who owns which slab, and who may do what
 *
 * Every slab has an owner: a CPU, or the heap's shared set. &bsa_page.owner names
 * it, by a number:
 *
 *   free[]    is written by the owner alone, without atomics. For a CPU that is
 *             code on this CPU with preemption off that has found the mark odd,
 *             and made it even: the CPU is busy. For the shared set it is whoever
 *             holds its lock.
 *   remote[]  (free[] + BSA_REMOTE) is set by everybody else, with
 *             test_and_set_bit(), and taken over by the owner, a word at a time,
 *             with xchg().
 *   class[]   is the owner's, as free[] is. So nobody takes an active slab away. Its
 *             magazine and &bsa_page.held are, too. Others look at that one before
 *             they free, as they look at free[]: no order is needed, since of two
 *             frees of one object test_and_set_bit() lets through one, and the owner
 *             looks at remote[] before it hands out what it holds.
 *   shelf[]   and the state of a slab that is not active change under the owner's
 *             lock, whoever changes them.
 *
 * Contexts. The fast path turns off neither interrupts nor anything else but
 * preemption. Whoever interrupts it finds the CPU busy, and leaves what is the
 * owner's alone: a free becomes a remote one, and an allocation takes from the
 * shared set. Locks are taken by the rule of lock.h. Where one cannot be had, an
 * allocation may fail; a free is done when its bit is set, and the slab is left for
 * somebody else to look at (bsa_buddy_defer()).
 *
 * A pointer's way goes through these files, in this order:
 *
 *   alloc.c   the calls that allocate, and their fast path
 *   free.c    the calls that free, their fast path, and frees by others
 *   blocks.c  the calls for blocks of pages
 *   refill.c  where a CPU's next slab comes from, and where slabs go
 *   reclaim.c what is tried before an allocation fails
 *   slab.c    slabs and the lists of one owner
 *   kept.c    blocks of pages that a CPU keeps
 *   bitmap.c  bitmaps of slabs with many objects
 *   buddy.c   split and coalesce
 *   section.c regions become sections
 *   pagemap.c from an address to its descriptor
 */
#ifndef _BSA_PERCPU_H
#define _BSA_PERCPU_H

#include <bsa/kept.h>
#include <bsa/report.h>
#include <bsa/slab.h>
#include <linux/bsa.h>
#include <linux/cpumask.h>

struct bsa_debug;
struct dentry;

/**
 * struct bsa_cpu - what one CPU owns of a heap
 * @slabs: its slabs
 * @heap: the heap
 * @cpu: the CPU; nr_cpu_ids for the set that no CPU owns
 * @remote_frees: objects that this CPU freed into slabs that it does not own
 * @listed_frees: objects of its own that it freed in the same way, since a list had to
 *	change
 * @failures: allocations on this CPU that failed
 * @refused: frees on this CPU that were refused, by reason
 * @conflicts: as &bsa_slabs.conflicts, found when a slab was given back
 * @shrunk_pages: pages that blocks lost when they were resized on this CPU
 * @slab_pages: pages that slabs and their bitmaps took on this CPU
 * @slab_pages_back: pages of those that were given back on this CPU
 * @kept: for each order, blocks of pages
 */
struct bsa_cpu {
	struct bsa_slabs slabs;
	struct bsa_heap *heap;
	unsigned int cpu;
	unsigned long remote_frees;
	unsigned long listed_frees;
	unsigned long failures;
	unsigned long refused[BSA_NR_REFUSED];
	unsigned long conflicts;
	unsigned long shrunk_pages;
	unsigned long slab_pages;
	unsigned long slab_pages_back;
	struct bsa_kept kept[BSA_NR_ORDERS];
};

/**
 * struct bsa_heap - sections, and per-CPU slabs on top of them
 * @cpu: the slabs of each CPU
 * @shared: slabs that no CPU owns: for allocations that interrupt the fast
 *	path, and what CPUs that went offline left behind
 * @buddy: the pages
 * @id: index in the table of heaps
 * @name: as given to bsa_heap_create()
 * @reserved: memory that the module reserved for the heap, to be given back
 * @debugfs: directory of the heap
 * @regions: memory that callers have added, theirs again when the heap goes
 * @abandoned: whoever made it has given it up: it has no name any more
 * @reported: how many reports of misuse are printed
 * @failed: how many failed allocations are printed
 * @debug: what debug= needs; NULL without it
 */
struct bsa_heap {
	struct bsa_cpu __percpu *cpu;
	struct bsa_cpu shared;
	struct bsa_buddy buddy;
	unsigned int id;
	char name[BSA_NAME_LEN];
	struct list_head reserved;
	struct dentry *debugfs;
	struct list_head regions;
	bool abandoned;
	struct bsa_limit reported;
	struct bsa_limit failed;
	struct bsa_debug *debug;
};

extern struct bsa_heap bsa_default_heap;

/*
 * An owner's number: the index of the heap, that of the CPU, BSA_OWNER_FULL, and
 * a bit that makes it odd. No owner, of whatever heap, has the number
 * BSA_MARK_NOBODY.
 */
#define BSA_OWNER_CPU_SHIFT	2
#define BSA_OWNER_CPU_BITS	14
#define BSA_OWNER_HEAP_SHIFT	(BSA_OWNER_CPU_SHIFT + BSA_OWNER_CPU_BITS)
#define BSA_MARK_NOBODY		(256UL << BSA_OWNER_HEAP_SHIFT | 1)

/* Is the owner, who is not BSA_NOBODY, one of this heap? */
static inline bool bsa_owner_is_of(u32 owner, const struct bsa_heap *heap)
{
	return owner >> BSA_OWNER_HEAP_SHIFT == heap->id;
}

/* Who an owner's number stands for, in the heap that it is one of. */
static inline struct bsa_cpu *bsa_owner_in(struct bsa_heap *heap, u32 owner)
{
	unsigned int nr = (owner >> BSA_OWNER_CPU_SHIFT &
			   (BIT(BSA_OWNER_CPU_BITS) - 1)) - 1;

	return nr == nr_cpu_ids ? &heap->shared : per_cpu_ptr(heap->cpu, nr);
}

/* Every CPU that was ever online: others have never called. */
extern struct cpumask bsa_seen_cpus;

/* Each of them, then the shared set, then NULL; the one after NULL is the first. */
static inline struct bsa_cpu *bsa_percpu_next(struct bsa_heap *heap,
					      struct bsa_cpu *c)
{
	unsigned int next;

	if (c == &heap->shared)
		return NULL;
	next = cpumask_next(c ? (int)c->cpu : -1, &bsa_seen_cpus);
	return next < nr_cpu_ids ? per_cpu_ptr(heap->cpu, next) : &heap->shared;
}

/* Is it what a free takes without a word? */
static inline bool bsa_is_nothing(const void *ptr)
{
	return !ptr || ptr == ZERO_SIZE_PTR;
}

/* percpu.c */
DECLARE_PER_CPU(struct bsa_cpu *, bsa_this_cpu);
struct bsa_cpu *bsa_owner_cpu(u32 owner);
void bsa_percpu_init(struct bsa_heap *heap);
unsigned long bsa_percpu_mark(const struct bsa_cpu *c);
int bsa_percpu_start(void);
void bsa_percpu_stop(void);

/*
 * The plain allocator, which debug= is built on: these do what they say, and
 * nothing besides.
 */
void *bsa_plain_alloc(struct bsa_heap *heap, size_t size, size_t align,
		      gfp_t gfp);
void *bsa_plain_alloc_pages(struct bsa_heap *heap, unsigned long nr,
			    size_t align, bool low, gfp_t gfp);
bool bsa_plain_free(struct bsa_heap *heap, const void *ptr);
bool bsa_plain_locate(struct bsa_heap *heap, const void *ptr, void **start,
		      size_t *room, bool *is_block);
size_t bsa_plain_size(struct bsa_heap *heap, const void *ptr);

/* alloc.c */
void bsa_alloc_start(void);
void *bsa_alloc_any(struct bsa_heap *heap, size_t size, size_t align,
		    gfp_t gfp, unsigned long caller);
bool bsa_refuse_gfp(struct bsa_heap *heap, size_t align, gfp_t gfp,
		    unsigned long caller);
void *bsa_alloc_failed(struct bsa_heap *heap, size_t size, bool low, gfp_t gfp,
		       unsigned long caller);

/* blocks.c */
enum bsa_refused bsa_free_block(struct bsa_heap *heap, struct bsa_page *page,
				const void *addr);

/* stats.c */
unsigned long bsa_heap_refused(struct bsa_heap *heap, enum bsa_refused why);
unsigned long bsa_plain_live_objects(struct bsa_heap *heap);
unsigned long bsa_percpu_kept_pages(struct bsa_heap *heap, int section);

/* refill.c */
void *bsa_refill(struct bsa_cpu *c, struct bsa_class *class);
void *bsa_alloc_here(struct bsa_heap *heap, unsigned int index);
void bsa_look(struct bsa_heap *heap, struct bsa_page *slab);
void bsa_release_slab(struct bsa_heap *heap, struct bsa_page *slab);
void bsa_keep_block(struct bsa_heap *heap, struct bsa_page *page);
void bsa_catch_up(struct bsa_heap *heap);
void bsa_retire_all(struct bsa_cpu *c);
bool bsa_move_slabs(struct bsa_cpu *c, unsigned int class);

/* reclaim.c */
/**
 * struct bsa_wish - a request that found no memory
 * @heap: where from
 * @gfp: what the caller may do for it
 * @class: size class of an object; BSA_ALL_CLASSES: a block of pages
 * @block: which block
 * @all: CPUs that are isolated are asked, too
 * @obj: the object, if there is one
 * @page: the block, if there is one
 */
struct bsa_wish {
	struct bsa_heap *heap;
	gfp_t gfp;
	unsigned int class;
	struct bsa_page_request block;
	bool all;
	void *obj;
	struct bsa_page *page;
};

bool bsa_reclaim(struct bsa_wish *wish);
unsigned long bsa_trim(struct bsa_heap *heap);

#endif /* _BSA_PERCPU_H */
