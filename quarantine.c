// SPDX-License-Identifier: GPL-2.0-only
/*
 * debug=: what is not used again at once, or not in order
 *
 * What a caller frees is held in a ring, until it is full or has too large a part
 * of the heap. Of the slots that come from below some are held, too, and of those
 * a random one is handed out. Below, all this is live. It goes back before an
 * allocation fails.
 *
 * debug->lock protects both. It is innermost, held for some instructions with
 * interrupts off, and not taken in NMI.
 */
#include <bsa/compat.h>
#include <bsa/debug.h>

/* A slot is smaller than a page. */
static bool is_block(const struct bsa_held *held)
{
	return held->room >= PAGE_SIZE;
}

static bool push(struct bsa_heap *heap, const struct bsa_object *object,
		 size_t max)
{
	struct bsa_debug *debug = heap->debug;
	struct bsa_held *held;
	unsigned long flags;
	bool fits;

	raw_spin_lock_irqsave(&debug->lock, flags);
	fits = debug->nr_held < BSA_QUARANTINE &&
	       debug->held_bytes + object->room <= max;
	if (fits) {
		held = &debug->held[(debug->first + debug->nr_held++) %
				    BSA_QUARANTINE];
		held->start = object->start;
		held->room = object->room;
		debug->held_bytes += held->room;
		debug->nr_held_blocks += is_block(held);
	}
	raw_spin_unlock_irqrestore(&debug->lock, flags);
	return fits;
}

/* Give back below what has been there for longest; false if there is nothing. */
static bool pop(struct bsa_heap *heap)
{
	struct bsa_debug *debug = heap->debug;
	struct bsa_held held = {};
	struct bsa_object object;
	unsigned long flags;

	raw_spin_lock_irqsave(&debug->lock, flags);
	if (debug->nr_held) {
		held = debug->held[debug->first];
		debug->first = (debug->first + 1) % BSA_QUARANTINE;
		debug->nr_held--;
		debug->held_bytes -= held.room;
		debug->nr_held_blocks -= is_block(&held);
	}
	raw_spin_unlock_irqrestore(&debug->lock, flags);
	if (!held.start)
		return false;
	if (!is_block(&held) && bsa_record_locate(heap, held.start, &object))
		bsa_record_set(heap, &object, BSA_RECORD_FREE);
	bsa_plain_free(heap, held.start);
	return true;
}

/**
 * bsa_debug_hold - put something that was freed into quarantine
 * @heap: the heap
 * @object: claimed, and prepared as what is free
 *
 * What has been there for longest makes room for it.
 *
 * Context: any.
 * Return: false if it is to be freed at once.
 */
bool bsa_debug_hold(struct bsa_heap *heap, const struct bsa_object *object)
{
	size_t max = heap->buddy.total_pages * (PAGE_SIZE / BSA_QUARANTINE_PART);
	unsigned int left = BSA_QUARANTINE;

	if (!bsa_debug_flag(heap, BSA_DEBUG_QUARANTINE) || in_nmi() ||
	    object->room > max)
		return false;
	if (!object->is_block)
		bsa_record_set(heap, object, BSA_RECORD_HELD);
	/* No more than there can be at the start: others may add to it. */
	while (!push(heap, object, max))
		if (!left-- || !pop(heap))
			return false;
	return true;
}

/* Take a random one of the slots of a class that are held; NULL: there is none. */
static void *take_random(struct bsa_debug *debug, unsigned int class)
{
	void **choice = debug->choice[class], *slot = NULL;
	unsigned long flags;
	unsigned int nr, at;

	raw_spin_lock_irqsave(&debug->lock, flags);
	nr = debug->nr_choice[class];
	if (nr) {
		at = prandom_u32_state(&debug->random) % nr;
		slot = choice[at];
		choice[at] = choice[nr - 1];
		debug->nr_choice[class] = nr - 1;
	}
	raw_spin_unlock_irqrestore(&debug->lock, flags);
	return slot;
}

/* Hold another slot of a class; false if there are enough. */
static bool add_choice(struct bsa_debug *debug, unsigned int class, void *slot)
{
	unsigned long flags;
	bool fits;

	raw_spin_lock_irqsave(&debug->lock, flags);
	fits = debug->nr_choice[class] < BSA_CHOICE;
	if (fits)
		debug->choice[class][debug->nr_choice[class]++] = slot;
	raw_spin_unlock_irqrestore(&debug->lock, flags);
	return fits;
}

/**
 * bsa_debug_choose - allocate a slot, with random slots any of some
 * @heap: the heap
 * @size: bytes, up to BSA_MAX_OBJECT
 * @align: alignment in bytes, a power of two up to BSA_MAX_OBJECT
 * @gfp: as for every call
 *
 * Return: the slot, or NULL.
 */
void *bsa_debug_choose(struct bsa_heap *heap, size_t size, size_t align,
		       gfp_t gfp)
{
	struct bsa_debug *debug = heap->debug;
	struct bsa_object object;
	unsigned int class;
	void *slot;

	if (!bsa_debug_flag(heap, BSA_DEBUG_RANDOM) || in_nmi())
		return bsa_plain_alloc(heap, size, align, gfp);
	class = bsa_size_class(((size - 1) | (align - 1)) + 1);
	while (READ_ONCE(debug->nr_choice[class]) < BSA_CHOICE) {
		slot = bsa_plain_alloc(heap, size, align, gfp);
		if (!slot)
			break;
		/* Whatever is live below has a record. */
		if (bsa_record_locate(heap, slot, &object))
			bsa_check_fresh(heap, &object, _RET_IP_);
		if (!add_choice(debug, class, slot))
			bsa_plain_free(heap, slot);
	}
	return take_random(debug, class);
}

/**
 * bsa_debug_let_go - give back below all that is held
 * @heap: the heap
 *
 * Context: any but NMI.
 */
void bsa_debug_let_go(struct bsa_heap *heap)
{
	unsigned int left = BSA_QUARANTINE, class;
	void *slot;

	while (left-- && pop(heap))
		;
	for (class = 0; class < BSA_ALL_CLASSES; class++) {
		left = BSA_CHOICE;
		while (left-- && (slot = take_random(heap->debug, class)))
			bsa_plain_free(heap, slot);
	}
}

/**
 * bsa_debug_held_pages - pages of blocks in quarantine
 * @heap: the heap
 * @section: index of the section that they belong to; -1: any
 *
 * Context: any. In NMI they are not counted.
 */
unsigned long bsa_debug_held_pages(struct bsa_heap *heap, int section)
{
	struct bsa_debug *debug = heap->debug;
	const struct bsa_held *held;
	unsigned long flags, nr = 0;
	unsigned int i;

	if (in_nmi())
		return 0;
	raw_spin_lock_irqsave(&debug->lock, flags);
	for (i = 0; i < debug->nr_held; i++) {
		held = &debug->held[(debug->first + i) % BSA_QUARANTINE];
		if (is_block(held) &&
		    (section < 0 ||
		     bsa_page_of(held->start)->section == section))
			nr += held->room >> PAGE_SHIFT;
	}
	raw_spin_unlock_irqrestore(&debug->lock, flags);
	return nr;
}
