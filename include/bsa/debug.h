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

/* Bytes of red zone before and behind each object, at least. */
#define BSA_ZONE		8

/* Objects and blocks in quarantine at most; and this part of a heap's bytes. */
#define BSA_QUARANTINE		511
#define BSA_QUARANTINE_PART	32

/* Free slots of each class, of which a random one is handed out. */
#define BSA_CHOICE		8

/* What is written where nothing belongs to a caller: bytes as SLUB's. */
#define BSA_BYTE_ZONE		0xcc
#define BSA_BYTE_FREE		0x6b
#define BSA_BYTE_FRESH		0x5a

/* Bytes that a report shows. */
#define BSA_SHOWN		16

/**
 * struct bsa_track - who allocated or freed something
 * @where: a handle of the kernel's stack depot, or the distance of an address from a
 *	function of this module; 0: there is no track
 * @generation: see report.c
 * @when: milliseconds of the CPU's clock; wraps
 * @pid: the task on whose back it happened
 * @cpu: the CPU
 * @is_stack: @where is a handle
 * @context: 0 is a task, 1 softirq, 2 hardirq, 3 NMI
 */
struct bsa_track {
	u32 where;
	u32 generation;
	u32 when;
	u32 pid;
	u16 cpu;
	bool is_stack;
	u8 context;
};

/* What an object or a block is to its users. */
enum bsa_record_state {
	BSA_RECORD_NONE,	/* nothing is known: the mark is none */
	BSA_RECORD_FREE,	/* nobody has it, but perhaps the quarantine */
	BSA_RECORD_LIVE,	/* a caller has it */
	BSA_RECORD_CLAIMED,	/* it is just changing, or a part of a block */
};

/**
 * struct bsa_record - what is known about an object or a block of pages
 * @mark: from the top: 40 bits made of the record's address and the heap's
 *	secret; 8 for the size of the slot; 8 that count changes; and an &enum
 *	bsa_record_state
 * @slack: bytes behind what was asked for, up to the record or the block's end
 * @left: bytes before it, from the start of the slot or the block
 * @alloc: who got it last
 * @freed: who gave it back; none while it is live
 *
 * Of a slot it takes the last bytes. Whatever else lies there has not its mark. For
 * each page there is one beside its descriptor: for the block that begins there, or
 * the free page. Only who changes the mark from LIVE to CLAIMED, with cmpxchg(), frees.
 */
struct bsa_record {
	u64 mark;
	u32 slack;
	u32 left;
	struct bsa_track alloc;
	struct bsa_track freed;
};

/**
 * struct bsa_object - a slot of a slab, or a block of pages, and what is known of it
 * @heap: where it is
 * @start: its first byte
 * @end: behind what a caller can have of it: where the record of a slot begins
 * @room: its bytes
 * @is_block: it is a block of pages
 * @record: who has it
 * @was: what @record was when it was looked at
 * @state: what the object was then
 */
struct bsa_object {
	struct bsa_heap *heap;
	void *start;
	void *end;
	size_t room;
	bool is_block;
	struct bsa_record *record;
	struct bsa_record was;
	enum bsa_record_state state;
};

/* Kinds of reports. */
enum bsa_finding {
	BSA_FOUND_BEHIND,	/* bytes behind an allocation were written */
	BSA_FOUND_BEFORE,	/* bytes before an object were written */
	BSA_FOUND_FREE,		/* bytes of free memory were written */
	BSA_FOUND_REFUSED,	/* a free was refused */
	BSA_NR_FINDINGS,
};

/**
 * struct bsa_found - what a report is about
 * @finding: its kind
 * @what: the same in words
 * @nr: bytes from the first that is not as it should be to the last; 0: none is
 * @at: the first of them
 * @byte: what they should all be
 * @bytes: what they are, as far as a report shows them
 */
struct bsa_found {
	enum bsa_finding finding;
	const char *what;
	size_t nr;
	const u8 *at;
	u8 byte;
	u8 bytes[BSA_SHOWN];
};

/**
 * struct bsa_debug - what a heap with debug= has beside
 * @flags: BSA_DEBUG_...
 * @secret: part of every mark
 * @allocs: objects and blocks that callers got
 * @frees: objects and blocks that they gave back
 * @object_frees: those that were objects
 * @live_objects: objects that they hold
 * @live_pages: pages of blocks that they hold
 * @choice: free slots of each class, of which a random one is handed out
 * @random: picks one
 * @lock: protects the quarantine, which follows
 * @held: what is in it, a ring
 * @first: index of the oldest entry
 * @nr_held: entries in use
 * @nr_held_blocks: those that are blocks of pages
 * @held_bytes: bytes of all entries
 * @found: reports of each kind, those that were not printed included
 * @reporting: bit 0 is held by whoever writes to @text
 * @text: the last report
 */
struct bsa_debug {
	unsigned long flags;
	u64 secret;
	atomic_long_t allocs;
	atomic_long_t frees;
	atomic_long_t object_frees;
	atomic_long_t live_objects;
	atomic_long_t live_pages;
	void *choice[BSA_ALL_CLASSES][BSA_CHOICE];
	struct rnd_state random;
	raw_spinlock_t lock;
	void *held[BSA_QUARANTINE];
	unsigned int first;
	unsigned int nr_held;
	unsigned int nr_held_blocks;
	size_t held_bytes;
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

/* Is what is freed to be zeroed? With debug= that has been done, or it is poisoned. */
static inline bool bsa_wants_cleared(const struct bsa_heap *heap)
{
	return want_init_on_free() && !bsa_debug_on(heap);
}

static inline bool bsa_debug_flag(const struct bsa_heap *heap,
				  unsigned long flag)
{
	return heap->debug && heap->debug->flags & flag;
}

/* Bytes of red zone that there are at least. */
static inline size_t bsa_zone(const struct bsa_heap *heap)
{
	return bsa_debug_flag(heap, BSA_DEBUG_ZONES) ? BSA_ZONE : 0;
}

/* What a caller has, or had: its first byte. */
static inline void *bsa_object_ptr(const struct bsa_object *object)
{
	return object->start + object->was.left;
}

/* And its bytes. */
static inline size_t bsa_object_size(const struct bsa_object *object)
{
	return object->end - bsa_object_ptr(object) - object->was.slack;
}

/* debug.c: the way in and out, and what is not used again at once. */
struct bsa_heap *bsa_heap_create_debug(const char *name, size_t size, int node,
				       unsigned long flags);
int bsa_debug_parse(const char *val, unsigned long *flags);
int bsa_debug_init(struct bsa_heap *heap, unsigned long flags);
void bsa_debug_exit(struct bsa_heap *heap);
void *bsa_debug_alloc(struct bsa_heap *heap, size_t size, size_t align,
		      gfp_t gfp, unsigned long caller);
void *bsa_debug_alloc_pages(struct bsa_heap *heap, unsigned long nr,
			    size_t align, bool low, gfp_t gfp,
			    unsigned long caller);
void bsa_debug_free(struct bsa_heap *heap, const void *ptr, bool pages,
		    unsigned long caller);
void bsa_debug_shrink(struct bsa_heap *heap, const void *ptr, size_t size,
		      unsigned long caller);
size_t bsa_debug_size(struct bsa_heap *heap, const void *ptr);
void bsa_debug_stats(struct bsa_heap *heap, struct bsa_stats *stats);
void bsa_debug_let_go(struct bsa_heap *heap);

/* records.c: what is known, and what the bytes should be. */
bool bsa_record_locate(struct bsa_heap *heap, const void *ptr,
		       struct bsa_object *object);
bool bsa_record_step(struct bsa_heap *heap, void *page,
		     struct bsa_object *object);
bool bsa_record_claim(const struct bsa_object *object);
void bsa_record_set(const struct bsa_object *object,
		    enum bsa_record_state state);
void bsa_record_free(const struct bsa_object *object);
bool bsa_record_is_lost(const struct bsa_object *object,
			struct bsa_found *found);
void bsa_check_object(const struct bsa_object *object, unsigned long caller);
void bsa_check_fresh(const struct bsa_object *object, unsigned long caller);
void bsa_check_taken(struct bsa_heap *heap, struct bsa_page *block);
void bsa_debug_validate(struct bsa_heap *heap, void *page, bool quiet,
			char *text, void (*tell)(void *arg, const char *text),
			void *arg);

/* report.c: what is said, and who it was. */
__printf(3, 4) size_t bsa_say(char *text, size_t len, const char *format, ...);
void bsa_print_lines(struct bsa_heap *heap, const char *text);
void bsa_set_track(struct bsa_heap *heap, struct bsa_track *track,
		   unsigned long caller);
size_t bsa_describe(char *text, const struct bsa_object *object,
		    const struct bsa_found *found);
void bsa_report(const struct bsa_object *object, const struct bsa_found *found,
		unsigned long caller);
void bsa_debug_show_objects(struct bsa_heap *heap, struct seq_file *m);
void bsa_client_comes(const struct module *module);
void bsa_client_is_loaded(const struct module *module);
unsigned long bsa_client_left(struct bsa_heap *heap,
			      const struct module *module);
void bsa_client_goes(const struct module *module, bool left);
void bsa_forget_clients(void);

#endif /* _BSA_DEBUG_H */
