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
 *   out   what is freed is claimed by its record, looked at and filled; it is kept
 *         in a ring, the quarantine, and given back below when that is full, or has
 *         too large a part of the heap
 *
 * Of the slots that come from below some are kept, too, and of those a random one is
 * handed out. All that is kept goes back before an allocation fails. Nothing below has
 * to know of it: there it is live. So this layer counts for itself what callers have.
 *
 * What is found is told, and so is who holds what (report.c).
 *
 * Locking: a record is changed by who has the object, which claim_object() decides.
 * No lock is held while bytes are looked at or filled, or something is reported,
 * and interrupts and preemption are what they were in the caller. debug->lock is
 * innermost, held for some instructions with interrupts off, and not taken in NMI.
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
 * @caller: who has asked
 */
struct demand {
	size_t size;
	size_t left;
	size_t total;
	size_t align;
	bool is_block;
	bool low;
	unsigned long caller;
};

/*
 * What is not used again at once, or not in order
 */

/* Give back below what has been there for longest; false if there is nothing. */
static bool pop(struct bsa_heap *heap)
{
	struct bsa_debug *debug = heap->debug;
	struct bsa_object object;
	unsigned long flags;
	bool found;

	raw_spin_lock_irqsave(&debug->lock, flags);
	found = debug->nr_held &&
		bsa_record_locate(heap, debug->held[debug->first], &object);
	if (found) {
		debug->first = (debug->first + 1) % BSA_QUARANTINE;
		debug->nr_held--;
		debug->held_bytes -= object.room;
		debug->nr_held_blocks -= object.is_block;
	}
	raw_spin_unlock_irqrestore(&debug->lock, flags);
	if (found)
		bsa_plain_free(heap, object.start);
	return found;
}

/* Put what is free into quarantine; false if it is to be given back at once. */
static bool hold(const struct bsa_object *object)
{
	struct bsa_heap *heap = object->heap;
	size_t max = heap->buddy.total_pages * (PAGE_SIZE / BSA_QUARANTINE_PART);
	struct bsa_debug *debug = heap->debug;
	unsigned int at, left = BSA_QUARANTINE;
	unsigned long flags;
	bool fits;

	if (!bsa_debug_flag(heap, BSA_DEBUG_QUARANTINE) || in_nmi() ||
	    object->room > max)
		return false;
	/* No more goes than there can be at the start: others may add to it. */
	do {
		raw_spin_lock_irqsave(&debug->lock, flags);
		fits = debug->nr_held < BSA_QUARANTINE &&
		       debug->held_bytes + object->room <= max;
		if (fits) {
			at = debug->first + debug->nr_held++;
			debug->held[at % BSA_QUARANTINE] = object->start;
			debug->held_bytes += object->room;
			debug->nr_held_blocks += object->is_block;
		}
		raw_spin_unlock_irqrestore(&debug->lock, flags);
	} while (!fits && left-- && pop(heap));
	return fits;
}

/*
 * Give back below all that is kept. Not from NMI. No order is needed: nothing goes with
 * a slot that is exchanged.
 */
void bsa_debug_let_go(struct bsa_heap *heap)
{
	void **choice = &heap->debug->choice[0][0], *slot;
	unsigned int left = BSA_QUARANTINE;

	while (left-- && pop(heap))
		;
	for (left = BSA_ALL_CLASSES * BSA_CHOICE; left--; choice++) {
		slot = xchg(choice, NULL);
		if (slot)
			bsa_plain_free(heap, slot);
	}
}

/*
 * Allocation
 */

/*
 * Allocate below. With random slots, exchange what comes from there for a random one
 * of those that are kept, until there is one. No order is needed, as above.
 */
static void *alloc_below(struct bsa_heap *heap, const struct demand *d,
			 gfp_t gfp)
{
	struct bsa_debug *debug = heap->debug;
	struct bsa_object object;
	void **choice, *slot;
	u32 random;
	int i;

	if (d->is_block)
		return bsa_plain_alloc_pages(heap, PFN_UP(d->total), d->align,
					     d->low, gfp);
	if (!bsa_debug_flag(heap, BSA_DEBUG_RANDOM) || in_nmi())
		return bsa_plain_alloc(heap, d->total, d->align, gfp);
	choice = debug->choice[bsa_size_class(((d->total - 1) |
					       (d->align - 1)) + 1)];
	do {
		slot = bsa_plain_alloc(heap, d->total, d->align, gfp);
		if (!slot)
			break;
		/* Whatever is live below has a record. */
		if (bsa_record_locate(heap, slot, &object))
			bsa_check_fresh(&object, d->caller);
		/* Two who ask at once may get the same number. */
		random = data_race(prandom_u32_state(&debug->random));
		slot = xchg(&choice[random % BSA_CHOICE], slot);
	} while (!slot);
	for (i = 0; !slot && i < BSA_CHOICE; i++)
		slot = xchg(&choice[i], NULL);
	return slot;
}

/* All that the caller has not asked for is red zone. */
static void set_zones(const struct bsa_object *object)
{
	size_t slack = object->record->slack;

	if (!bsa_zone(object->heap))
		return;
	bsa_fill(object->start, BSA_BYTE_ZONE, object->record->left);
	bsa_fill(object->end - slack, BSA_BYTE_ZONE, slack);
}

/* A caller gets something, or gives it back: @sign is 1 or -1. */
static void count(const struct bsa_object *object, int sign)
{
	struct bsa_debug *debug = object->heap->debug;

	atomic_long_inc(sign > 0 ? &debug->allocs : &debug->frees);
	if (object->is_block) {
		atomic_long_add(sign * (long)(object->room >> PAGE_SHIFT),
				&debug->live_pages);
		return;
	}
	atomic_long_add(sign, &debug->live_objects);
	if (sign < 0)
		atomic_long_inc(&debug->object_frees);
}

/* Make an object or a block of what has come from below. */
static void *hand_out(const struct bsa_object *object, const struct demand *d,
		      bool zero)
{
	struct bsa_heap *heap = object->heap;
	bool fresh = bsa_debug_flag(heap, BSA_DEBUG_POISON) && !zero;
	struct bsa_record *record = object->record;
	void *ptr = object->start + d->left;

	bsa_record_set(object, BSA_RECORD_CLAIMED);
	record->left = d->left;
	record->slack = object->end - ptr - d->size;
	bsa_set_track(heap, &record->alloc, d->caller);
	record->freed.where = 0;
	/* Records of slots must not survive in a block. */
	if (zero || fresh || object->is_block)
		bsa_fill(object->start, fresh ? BSA_BYTE_FRESH : 0,
			 object->end - object->start);
	set_zones(object);
	count(object, 1);
	bsa_record_set(object, BSA_RECORD_LIVE);
	bsa_hand_out(ptr, d->size, object->end - ptr);
	return ptr;
}

/* Ask below, and let go of what is kept before that fails. */
static void *alloc_object(struct bsa_heap *heap, const struct demand *d,
			  gfp_t gfp)
{
	gfp_t below = gfp & ~__GFP_ZERO;
	struct bsa_object object;
	void *start;

	start = alloc_below(heap, d, below & ~__GFP_DIRECT_RECLAIM);
	if (!start && !in_nmi()) {
		bsa_debug_let_go(heap);
		start = alloc_below(heap, d, below);
	}
	if (!start || !bsa_record_locate(heap, start, &object))
		return NULL;
	bsa_check_fresh(&object, d->caller);
	return hand_out(&object, d, want_init_on_alloc(gfp));
}

/*
 * Allocate memory of any size, not 0, that @caller gets: an object with its zones and
 * its record, or a block with its zones.
 */
void *bsa_debug_alloc(struct bsa_heap *heap, size_t size, size_t align,
		      gfp_t gfp, unsigned long caller)
{
	size_t zone = bsa_zone(heap);
	struct demand d = {
		.size = size,
		.total = bsa_with_redzone(size),
		.align = align,
		.is_block = true,
		.caller = caller,
	};

	if (max(size, align) > BSA_MAX_OBJECT)
		return alloc_object(heap, &d, gfp);
	if (is_power_of_2(size))
		d.align = max(size, align);
	d.left = zone ? max(d.align, zone) : 0;
	d.total = d.left + size + zone;
	d.is_block = d.total + sizeof(struct bsa_record) > BSA_MAX_OBJECT;
	if (!d.is_block) {
		d.total += sizeof(struct bsa_record);
	} else if (d.total > PAGE_SIZE) {
		/* A block begins with the object if one page is too small. */
		d.total -= d.left;
		d.left = 0;
	}
	return alloc_object(heap, &d, gfp);
}

/* Allocate a block of pages, with @low only from below 4 GiB, that @caller gets. */
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
		.caller = caller,
	};

	if (nr > 1UL << BSA_MAX_PAGE_ORDER)
		return NULL;
	return alloc_object(heap, &d, gfp);
}

/*
 * Free
 */

/* Take an object from the caller who has it, or say why not. */
static enum bsa_refused claim_object(struct bsa_heap *heap, const void *ptr,
				     bool pages, struct bsa_object *object)
{
	enum bsa_refused why = BSA_FREE_OK;

	preempt_disable();
	if (!bsa_record_locate(heap, ptr, object))
		why = bsa_buddy_refusal(&heap->buddy, bsa_page_of(ptr), ptr);
	else if (pages && !object->is_block)
		why = BSA_FREE_OBJECT;
	else if (object->state != BSA_RECORD_LIVE)
		why = BSA_FREE_DOUBLE;
	else if (ptr != bsa_object_ptr(object))
		why = BSA_FREE_INTERIOR;
	else if (!bsa_record_claim(object))
		why = BSA_FREE_DOUBLE;
	preempt_enable();
	return why;
}

/* Free or refuse any value, with @pages one that is to be a block of pages. */
void bsa_debug_free(struct bsa_heap *heap, const void *ptr, bool pages,
		    unsigned long caller)
{
	struct bsa_object object;
	enum bsa_refused why;

	if (bsa_is_nothing(ptr))
		return;
	why = claim_object(heap, ptr, pages, &object);
	if (why != BSA_FREE_OK) {
		bsa_refuse_free(heap, ptr, why, caller);
		return;
	}
	bsa_take_back(ptr, object.end - ptr);
	bsa_check_object(&object, caller);
	bsa_set_track(heap, &object.record->freed, caller);
	bsa_record_free(&object);
	count(&object, -1);
	if (!hold(&object))
		bsa_plain_free(heap, object.start);
}

/*
 * What else can be done with an object
 */

/* Bytes that were asked for of any value; 0 if it is not the start of what is live. */
size_t bsa_debug_size(struct bsa_heap *heap, const void *ptr)
{
	struct bsa_object object;

	return bsa_record_locate(heap, ptr, &object) &&
	       object.state == BSA_RECORD_LIVE &&
	       ptr == bsa_object_ptr(&object) ? bsa_object_size(&object) : 0;
}

/* An object or a block stays where it is, and has no more than @size bytes then. */
void bsa_debug_shrink(struct bsa_heap *heap, const void *ptr, size_t size,
		      unsigned long caller)
{
	struct bsa_object object;

	if (claim_object(heap, ptr, false, &object) != BSA_FREE_OK)
		return;
	/* Afterwards nobody can tell any more. */
	bsa_check_object(&object, caller);
	object.record->slack = object.end - ptr - size;
	set_zones(&object);
	bsa_record_set(&object, BSA_RECORD_LIVE);
}

/* Put what callers have done and have into what the plain allocator has told. */
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

/* Understand debug=: letters, "1" for all, "0" or nothing for none. Or -EINVAL. */
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

/* Watch a heap that has no section yet, if @flags are BSA_DEBUG_...; may sleep. */
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
	debug = kvzalloc_obj(*debug, GFP_KERNEL | __GFP_NOWARN);
	if (!debug)
		return -ENOMEM;
	raw_spin_lock_init(&debug->lock);
	prandom_seed_state(&debug->random, get_random_u64());
	debug->secret = get_random_u64();
	debug->flags = flags;
	heap->buddy.side_size = sizeof(struct bsa_record);
	heap->debug = debug;
	static_branch_inc(&bsa_debug_key);
	return 0;
}

/* The heap has no section any more. May sleep. */
void bsa_debug_exit(struct bsa_heap *heap)
{
	if (!heap->debug)
		return;
	static_branch_dec(&bsa_debug_key);
	kvfree(heap->debug);
	heap->debug = NULL;
}
