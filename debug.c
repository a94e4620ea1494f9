// SPDX-License-Identifier: GPL-2.0-only
/*
 * debug=: a layer above the plain allocator
 *
 * A heap that was created with debug= keeps every CPU busy for good, see percpu.c:
 * no call gets onto a fast path. The slow one asks once whether the heap is
 * watched, and then leaves the call to this layer, which uses the plain allocator
 * below it as any caller would: bsa_plain_alloc() and its kin, which know nothing
 * of debug=.
 *
 *   in    room for red zones and a record is asked for below; what is there is
 *         looked at, filled and noted down (records.c)
 *   out   what is freed is claimed by its record, looked at and filled; it is kept,
 *         and given back below later (quarantine.c)
 *
 * What is found is told (report.c), and so is who holds what (leaks.c).
 *
 * Nothing below has to know that something is in quarantine: there it is live. So
 * this layer counts for itself what callers have.
 *
 * Locking: a record is changed by who has the object, which claim_object() decides.
 * No lock is held while bytes are looked at or filled, or something is reported,
 * and interrupts and preemption are what they were in the caller.
 *
 * Contexts: any in which the calls themselves work. In NMI no call chain is saved,
 * no object is allocated, and nothing goes into quarantine.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <bsa/compat.h>
#include <bsa/debug.h>
#include <bsa/tools.h>
#include <linux/ctype.h>
#include <linux/random.h>
#include <linux/slab.h>

DEFINE_STATIC_KEY_FALSE(bsa_debug_key);

/**
 * struct demand - how an object is to be laid out
 * @size: bytes that were asked for
 * @left: bytes before them
 * @total: bytes in all
 * @align: alignment of both
 * @is_block: it is to be a block of pages
 * @low: only from below 4 GiB
 * @zero: what was asked for is to be zero
 * @caller: who has asked
 */
struct demand {
	size_t size;
	size_t left;
	size_t total;
	size_t align;
	bool is_block;
	bool low;
	bool zero;
	unsigned long caller;
};

/*
 * Allocation
 */

/* Room for an object with its zones and its record; in a block, for the zones. */
static void lay_out(struct bsa_heap *heap, struct demand *d)
{
	size_t zone = bsa_zone(heap);

	d->is_block = true;
	d->total = bsa_with_redzone(d->size);
	if (max(d->size, d->align) > BSA_MAX_OBJECT)
		return;
	if (is_power_of_2(d->size))
		d->align = max(d->size, d->align);
	d->left = zone ? max(d->align, zone) : 0;
	d->total = d->left + d->size + zone;
	d->is_block = d->total + sizeof(struct bsa_record) > BSA_MAX_OBJECT;
	if (!d->is_block) {
		d->total += sizeof(struct bsa_record);
	} else if (d->total > PAGE_SIZE) {
		/* A block begins with the object if one page is too small. */
		d->total -= d->left;
		d->left = 0;
	}
}

static void *alloc_below(struct bsa_heap *heap, const struct demand *d,
			 gfp_t gfp)
{
	if (d->is_block)
		return bsa_plain_alloc_pages(heap, PFN_UP(d->total), d->align,
					     d->low, gfp);
	return bsa_debug_choose(heap, d->total, d->align, gfp);
}

static void count_live(struct bsa_heap *heap, const struct bsa_object *object,
		       long sign)
{
	struct bsa_debug *debug = heap->debug;

	if (object->is_block)
		atomic_long_add(sign * (object->room >> PAGE_SHIFT),
				&debug->live_pages);
	else
		atomic_long_add(sign, &debug->live_objects);
}

/* Note down who gets it. Nobody else has it. */
static void set_record(struct bsa_heap *heap, const struct bsa_object *object,
		       const struct demand *d)
{
	struct bsa_record *record = object->record;

	bsa_record_set(heap, object, BSA_RECORD_CLAIMED);
	record->left = d->left;
	record->slack = object->end - object->start - d->left - d->size;
	bsa_set_track(heap, &record->alloc, d->caller);
	record->freed.kind = BSA_TRACK_NONE;
}

/* All that the caller has not asked for is red zone. */
static void set_zones(struct bsa_heap *heap, const struct bsa_object *object)
{
	size_t slack = object->record->slack;

	if (!bsa_zone(heap))
		return;
	bsa_fill(object->start, BSA_BYTE_ZONE, object->record->left);
	bsa_fill(object->end - slack, BSA_BYTE_ZONE, slack);
}

/* Make an object or a block of what has come from below; it holds no record. */
static void *hand_out(struct bsa_heap *heap, const struct bsa_object *object,
		      const struct demand *d)
{
	void *ptr = object->start + d->left;

	set_record(heap, object, d);
	if (d->zero)
		bsa_clear(ptr, d->size);
	else if (bsa_debug_flag(heap, BSA_DEBUG_POISON))
		bsa_fill(ptr, BSA_BYTE_FRESH, d->size);
	set_zones(heap, object);
	atomic_long_inc(&heap->debug->allocs);
	count_live(heap, object, 1);
	bsa_record_set(heap, object, BSA_RECORD_LIVE);
	bsa_hand_out(ptr, d->size, object->end - ptr);
	return ptr;
}

/* Ask below, and let go of what is held back before that fails. */
static void *alloc_object(struct bsa_heap *heap, const struct demand *d,
			  gfp_t gfp)
{
	struct bsa_object object;
	void *start;

	gfp &= ~__GFP_ZERO;
	start = alloc_below(heap, d, gfp & ~__GFP_DIRECT_RECLAIM);
	if (!start && !in_nmi()) {
		bsa_debug_let_go(heap);
		start = alloc_below(heap, d, gfp);
	}
	if (!start || !bsa_record_locate(heap, start, &object))
		return NULL;
	bsa_check_fresh(heap, &object, d->caller);
	/* Records of slots must not survive in a block. */
	if (object.is_block)
		bsa_fill(start, bsa_debug_flag(heap, BSA_DEBUG_POISON) ?
			 BSA_BYTE_FRESH : 0, object.room);
	return hand_out(heap, &object, d);
}

/**
 * bsa_debug_alloc - allocate memory of any size
 * @heap: the heap
 * @size: bytes, not 0
 * @align: alignment in bytes, a power of two
 * @gfp: as for every call
 * @caller: who gets it
 *
 * Return: the memory, or NULL.
 */
void *bsa_debug_alloc(struct bsa_heap *heap, size_t size, size_t align,
		      gfp_t gfp, unsigned long caller)
{
	struct demand d = {
		.size = size,
		.align = align,
		.zero = want_init_on_alloc(gfp),
		.caller = caller,
	};

	lay_out(heap, &d);
	return alloc_object(heap, &d, gfp);
}

/**
 * bsa_debug_alloc_pages - allocate a block of pages
 * @heap: the heap
 * @nr: number of pages
 * @align: alignment in bytes, a power of two
 * @low: only from below 4 GiB
 * @gfp: as for every call
 * @caller: who gets it
 *
 * Return: the address, or NULL.
 */
void *bsa_debug_alloc_pages(struct bsa_heap *heap, unsigned long nr,
			    size_t align, bool low, gfp_t gfp,
			    unsigned long caller)
{
	struct demand d = {
		.size = nr << PAGE_SHIFT,
		.total = nr << PAGE_SHIFT,
		.align = align,
		.is_block = true,
		.low = low,
		.zero = want_init_on_alloc(gfp),
		.caller = caller,
	};

	if (nr > 1UL << BSA_MAX_PAGE_ORDER)
		return NULL;
	return alloc_object(heap, &d, gfp);
}

/*
 * Free
 */

/* Take an object from the caller who frees it, or say why not. */
static enum bsa_refused claim_object(struct bsa_heap *heap, const void *ptr,
				     bool pages, struct bsa_object *object)
{
	if (!bsa_record_locate(heap, ptr, object))
		return bsa_buddy_refusal(&heap->buddy, bsa_page_of(ptr), ptr);
	if (pages && !object->is_block)
		return BSA_FREE_OBJECT;
	if (bsa_record_state(heap, object) != BSA_RECORD_LIVE)
		return BSA_FREE_DOUBLE;
	if (ptr != bsa_object_ptr(object))
		return BSA_FREE_INTERIOR;
	return bsa_record_claim(heap, object) ? BSA_FREE_OK : BSA_FREE_DOUBLE;
}

/* Of what nobody has no byte is as it was; see records.c. */
static void poison_object(struct bsa_heap *heap,
			  const struct bsa_object *object)
{
	bool poison = bsa_debug_flag(heap, BSA_DEBUG_POISON);
	bool all = object->is_block || !bsa_zone(heap);
	void *from = all ? object->start : bsa_object_ptr(object);
	size_t nr = all ? object->end - object->start : bsa_object_size(object);

	if (poison)
		bsa_fill(from, BSA_BYTE_FREE, nr);
	else if (want_init_on_free())
		bsa_clear(from, nr);
	if (object->is_block)
		bsa_record_forget(heap, object, poison);
}

/**
 * bsa_debug_free - free or refuse what a caller frees
 * @heap: the heap
 * @ptr: any value
 * @pages: it is to be a block of pages
 * @caller: who frees it
 *
 * Context: any.
 */
void bsa_debug_free(struct bsa_heap *heap, const void *ptr, bool pages,
		    unsigned long caller)
{
	struct bsa_object object;
	enum bsa_refused why;

	if (!ptr || ptr == ZERO_SIZE_PTR)
		return;
	preempt_disable();
	why = claim_object(heap, ptr, pages, &object);
	preempt_enable();
	if (why != BSA_FREE_OK) {
		bsa_refuse_free(heap, ptr, why, caller);
		return;
	}
	bsa_take_back(ptr, object.end - ptr);
	bsa_check_object(heap, &object, BSA_RECORD_LIVE, caller);
	bsa_set_track(heap, &object.record->freed, caller);
	poison_object(heap, &object);
	atomic_long_inc(&heap->debug->frees);
	if (!object.is_block)
		atomic_long_inc(&heap->debug->object_frees);
	count_live(heap, &object, -1);
	if (bsa_debug_hold(heap, &object))
		return;
	if (!object.is_block)
		bsa_record_set(heap, &object, BSA_RECORD_FREE);
	bsa_plain_free(heap, object.start);
}

/*
 * What else can be done with an object
 */

/* Find what begins at an address, if it is live. */
static bool find_live(struct bsa_heap *heap, const void *ptr,
		      struct bsa_object *object)
{
	bool live;

	preempt_disable();
	live = bsa_record_locate(heap, ptr, object) &&
	       bsa_record_state(heap, object) == BSA_RECORD_LIVE &&
	       ptr == bsa_object_ptr(object);
	preempt_enable();
	return live;
}

/**
 * bsa_debug_size - bytes that were asked for
 * @heap: the heap
 * @ptr: any value
 *
 * Return: 0 if it is not the start of what is live.
 */
size_t bsa_debug_size(struct bsa_heap *heap, const void *ptr)
{
	struct bsa_object object;

	return find_live(heap, ptr, &object) ? bsa_object_size(&object) : 0;
}

/**
 * bsa_debug_shrink - an object or a block stays where it is, and gets smaller
 * @heap: the heap
 * @ptr: its start
 * @size: bytes, not more than before
 * @caller: who asked for it
 */
void bsa_debug_shrink(struct bsa_heap *heap, const void *ptr, size_t size,
		      unsigned long caller)
{
	struct bsa_object object;

	if (!find_live(heap, ptr, &object))
		return;
	/* Afterwards nobody can tell any more. */
	bsa_check_object(heap, &object, BSA_RECORD_LIVE, caller);
	bsa_record_set(heap, &object, BSA_RECORD_LIVE);
	object.record->slack = object.end - ptr - size;
	set_zones(heap, &object);
	bsa_record_set(heap, &object, BSA_RECORD_LIVE);
}

/**
 * bsa_debug_stats - what callers have done and have
 * @heap: the heap
 * @stats: what the plain allocator has told, corrected
 *
 * Context: any but NMI.
 */
void bsa_debug_stats(struct bsa_heap *heap, struct bsa_stats *stats)
{
	struct bsa_debug *debug = heap->debug;

	stats->allocs = atomic_long_read(&debug->allocs);
	stats->frees = atomic_long_read(&debug->frees);
	stats->remote_frees = atomic_long_read(&debug->object_frees);
	stats->live_objects = atomic_long_read(&debug->live_objects);
	stats->live_pages = atomic_long_read(&debug->live_pages);
}

/*
 * On and off
 */

/**
 * bsa_debug_parse - understand debug=
 * @val: letters, "1" for all, "0" or nothing for none
 * @flags: set to BSA_DEBUG_...
 *
 * Return: 0 or -EINVAL.
 */
int bsa_debug_parse(const char *val, unsigned long *flags)
{
	static const char letters[] = "zpuqr";
	const char *letter;

	*flags = 0;
	if (sysfs_streq(val, "1"))
		*flags = BSA_DEBUG_ALL;
	else if (!sysfs_streq(val, "0"))
		for (; *val && *val != '\n'; val++) {
			letter = strchr(letters, tolower(*val));
			if (!letter)
				return -EINVAL;
			*flags |= BIT(letter - letters);
		}
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_debug_parse);

/**
 * bsa_debug_init - watch a heap
 * @heap: without a section
 * @flags: BSA_DEBUG_..., or 0
 *
 * Context: process, may sleep.
 * Return: 0 or a negative error.
 */
int bsa_debug_init(struct bsa_heap *heap, unsigned long flags)
{
	struct bsa_debug *debug;
	int err;

	heap->debug = NULL;
	if (!flags)
		return 0;
	err = stack_depot_init();
	if (err)
		return err;
	debug = kvzalloc(sizeof(*debug), GFP_KERNEL | __GFP_NOWARN);
	if (!debug)
		return -ENOMEM;
	raw_spin_lock_init(&debug->lock);
	prandom_seed_state(&debug->random, get_random_u64());
	debug->secret = get_random_u64();
	debug->flags = flags;
	heap->buddy.side_size = sizeof(struct bsa_side);
	heap->debug = debug;
	static_branch_inc(&bsa_debug_key);
	return 0;
}

/**
 * bsa_debug_exit - the heap is gone
 * @heap: has no section any more
 *
 * Context: process, may sleep.
 */
void bsa_debug_exit(struct bsa_heap *heap)
{
	if (!heap->debug)
		return;
	static_branch_dec(&bsa_debug_key);
	kvfree(heap->debug);
	heap->debug = NULL;
}
