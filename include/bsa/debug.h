/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _BSA_DEBUG_H
#define _BSA_DEBUG_H

#include <bsa/percpu.h>
#include <linux/jump_label.h>
#include <linux/prandom.h>

/* What debug= turns on, and its letters. */
#define BSA_DEBUG_ZONES		BIT(0)	/* z: red zones */
#define BSA_DEBUG_POISON	BIT(1)	/* p: poison of what is free */
#define BSA_DEBUG_OWNER		BIT(2)	/* u: call chains of users */
#define BSA_DEBUG_QUARANTINE	BIT(3)	/* q: delayed reuse */
#define BSA_DEBUG_RANDOM	BIT(4)	/* r: random slots */
#define BSA_DEBUG_ALL		GENMASK(4, 0)

/* Bytes of red zone behind each object, at least. */
#define BSA_ZONE		8

/* Objects and blocks in quarantine at most; and this part of a heap's bytes. */
#define BSA_QUARANTINE		512
#define BSA_QUARANTINE_PART	32

/* What is written where nothing belongs to a caller: bytes as SLUB's. */
#define BSA_BYTE_ZONE		0xcc
#define BSA_BYTE_FREE		0x6b
#define BSA_BYTE_FRESH		0x5a

/* Room for the text of a report. */
#define BSA_REPORT_LEN		4096

/**
 * enum bsa_track_kind - what &bsa_track.where is
 * @BSA_TRACK_NONE: there is no track
 * @BSA_TRACK_CALLER: an address, as distance from a function of this module
 * @BSA_TRACK_STACK: a handle of the kernel's stack depot
 */
enum bsa_track_kind {
	BSA_TRACK_NONE,
	BSA_TRACK_CALLER,
	BSA_TRACK_STACK,
};

/**
 * struct bsa_track - who allocated or freed something
 * @where: see &enum bsa_track_kind
 * @when: milliseconds of the CPU's clock; wraps
 * @pid: the task on whose back it happened
 * @cpu: the CPU
 * @kind: an &enum bsa_track_kind
 * @context: 't'ask, 's'oftirq, 'h'ardirq or 'n'mi
 */
struct bsa_track {
	u32 where;
	u32 when;
	u32 pid;
	u16 cpu;
	u8 kind;
	u8 context;
};

/**
 * enum bsa_record_state - what an object or block is to its users
 * @BSA_RECORD_FREE: nobody has it
 * @BSA_RECORD_LIVE: a caller has it
 * @BSA_RECORD_CLAIMED: a free of it is on its way
 * @BSA_RECORD_HELD: it is in quarantine
 *
 * Not just any bytes: who is late may read something else in their place.
 */
enum bsa_record_state {
	BSA_RECORD_FREE = 0,
	BSA_RECORD_LIVE = 0xa1,
	BSA_RECORD_CLAIMED = 0xb2,
	BSA_RECORD_HELD = 0xc3,
};

/**
 * struct bsa_record - what is known about an object or a block of pages
 * @alloc: who got it last
 * @freed: who gave it back; BSA_TRACK_NONE while it is live
 * @slack: bytes at its end that were not asked for
 * @state: an &enum bsa_record_state; only who changes it from LIVE to CLAIMED,
 *	with cmpxchg(), frees
 */
struct bsa_record {
	struct bsa_track alloc;
	struct bsa_track freed;
	u32 slack;
	u8 state;
};

/**
 * struct bsa_side - what a heap with debug= has for each page, beside its descriptor
 * @record: first page of a block
 * @table: first page of a slab: the record of each unit, in pages of the heap
 * @poisoned: the page is free and holds nothing but BSA_BYTE_FREE
 */
struct bsa_side {
	struct bsa_record record;
	struct bsa_record *table;
	bool poisoned;
};

/**
 * enum bsa_finding - what a report is about
 * @BSA_FOUND_BEHIND: bytes behind an allocation were written
 * @BSA_FOUND_BEFORE: bytes before an object were written
 * @BSA_FOUND_FREE: bytes of free memory were written
 * @BSA_FOUND_REFUSED: a free was refused
 * @BSA_NR_FINDINGS: how many kinds there are
 */
enum bsa_finding {
	BSA_FOUND_BEHIND,
	BSA_FOUND_BEFORE,
	BSA_FOUND_FREE,
	BSA_FOUND_REFUSED,
	BSA_NR_FINDINGS,
};

/**
 * struct bsa_debug - what a heap with debug= has beside
 * @flags: BSA_DEBUG_...
 * @lock: protects the quarantine
 * @held: the quarantine, a ring
 * @first: index of the oldest entry
 * @nr_held: entries in use
 * @nr_held_blocks: those that are blocks of pages
 * @held_bytes: bytes of all entries
 * @max_bytes: more than that are never held
 * @nr_tables: slabs that have a table
 * @random: for random slots; the heap's shared lock protects it
 * @found: reports of each kind, those that were not printed included
 * @reporting: bit 0 is held by whoever writes to @text
 * @text: the last report
 */
struct bsa_debug {
	unsigned long flags;
	raw_spinlock_t lock;
	const void *held[BSA_QUARANTINE];
	unsigned int first;
	unsigned int nr_held;
	unsigned int nr_held_blocks;
	size_t held_bytes;
	size_t max_bytes;
	unsigned long nr_tables;
	struct rnd_state random;
	atomic_long_t found[BSA_NR_FINDINGS];
	unsigned long reporting;
	char text[BSA_REPORT_LEN];
};

struct module;
struct seq_file;

DECLARE_STATIC_KEY_FALSE(bsa_debug_key);

/* One jump that is not taken, as long as no heap is watched. */
static __always_inline bool bsa_debug_on(const struct bsa_heap *heap)
{
	return static_branch_unlikely(&bsa_debug_key) && heap->debug;
}

static inline bool bsa_debug_flag(const struct bsa_heap *heap,
				  unsigned long flag)
{
	return heap->debug && heap->debug->flags & flag;
}

struct bsa_heap *bsa_heap_create_debug(const char *name, size_t size, int node,
				       unsigned long flags);
int bsa_debug_parse(const char *val, unsigned long *flags);
int bsa_debug_init(struct bsa_heap *heap, unsigned long flags);
void bsa_debug_exit(struct bsa_heap *heap);

/* Steps of percpu.c and slab.c. */
size_t bsa_debug_slot(struct bsa_heap *heap, size_t size, size_t *align);
unsigned int bsa_debug_table_order(const struct bsa_page *page,
				   unsigned int class);
void bsa_debug_start_slab(struct bsa_heap *heap, struct bsa_class *class,
			  struct bsa_page *slab, struct bsa_page *table);
struct bsa_page *bsa_debug_stop_slab(struct bsa_heap *heap,
				     struct bsa_page *slab);
void *bsa_debug_take_random(struct bsa_heap *heap, struct bsa_class *class);
void bsa_debug_alloc(struct bsa_heap *heap, void *obj, size_t size, bool zero,
		     unsigned long caller);
bool bsa_debug_free(struct bsa_heap *heap, struct bsa_page *slab,
		    const void *ptr, unsigned long caller);
size_t bsa_debug_alloc_pages(struct bsa_heap *heap, struct bsa_page *page,
			     unsigned long nr, unsigned long caller);
void bsa_debug_free_pages(struct bsa_heap *heap, struct bsa_page *page,
			  unsigned long caller);
void bsa_debug_set_size(struct bsa_heap *heap, void *addr, size_t size);
void bsa_debug_shrink(struct bsa_heap *heap, void *ptr, size_t size,
		      unsigned long caller);
void bsa_debug_take_pages(struct bsa_buddy *buddy, struct bsa_page *page);
bool bsa_debug_hold(struct bsa_heap *heap, const void *ptr);
const void *bsa_debug_release(struct bsa_heap *heap, bool all);
void bsa_debug_refused(struct bsa_heap *heap, const void *ptr, const char *why,
		       unsigned long caller);
size_t bsa_debug_size(struct bsa_heap *heap, const void *ptr, size_t size);
unsigned long bsa_debug_held_pages(struct bsa_heap *heap, int section);

/* For those who look. */
void bsa_debug_validate(struct bsa_heap *heap, struct bsa_page *page,
			void (*tell)(void *arg, const void *at, size_t nr),
			void *arg);
void bsa_debug_show_objects(struct bsa_heap *heap, struct seq_file *m);
void bsa_debug_client_comes(const struct module *module);
void bsa_debug_client_gone(struct bsa_heap *heap, const struct module *module);
void bsa_debug_forget_clients(void);

#endif /* _BSA_DEBUG_H */
