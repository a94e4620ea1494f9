// SPDX-License-Identifier: GPL-2.0-only
/*
 * debug=: what is known about each object, and what its bytes should be
 *
 * An object is laid out in its slot like this. A block of pages is the same but
 * for the record, which is beside it, with the descriptor of its first page:
 *
 *   live   | left zone | what was asked for | slack          | record |
 *   free   | left zone | poison             | slack          | record |
 *            0xcc        0x6b                 0xcc
 *
 * The left zone is as large as the alignment that the object has to have; a block
 * of pages that was asked for as such has none. Without red zones all up to the
 * record is poison. KASAN, where the kernel has it, knows all but what was asked
 * for as nobody's, so the files of debug= are built without its checks.
 *
 * Nobody prepares a slot when its slab is made, nor looks at it when the slab
 * goes. So records of free slots stay behind in free pages, and can be told from
 * other bytes by their mark. Two rules make sense of them:
 *
 * - As long as there is the record of a free slot, the slot is as it was left. Who
 *   is about to use memory in another way has looked at all slots that reach into
 *   it, and wiped their records, before: sweep().
 * - As long as the record of a page says that it is free, all of it is poison, but
 *   for slots that have a record. That changes before such a record is wiped.
 *
 * A mark changes before anything else in its slot does, and a count in it goes up
 * each time. So who looks at bytes without any lock, and finds them changed, knows
 * from the mark whether they have changed hands meanwhile.
 */
#include <bsa/compat.h>
#include <bsa/debug.h>
#include <bsa/tools.h>
#include <linux/bitfield.h>
#include <linux/hash.h>
#include <linux/string.h>

/* Every slot that has room for a record is a multiple of this, and aligned to it. */
#define UNIT		64

#define MARK_STATE	GENMASK_ULL(7, 0)
#define MARK_COUNT	GENMASK_ULL(15, 8)
#define MARK_UNITS	GENMASK_ULL(23, 16)	/* of the slot; 0: a block */
#define MARK_CHECK	GENMASK_ULL(63, 24)

/*
 * Records
 */

/* The record of the page that an address lies in; NULL if it is not the heap's. */
static struct bsa_record *side_of(struct bsa_heap *heap, const void *ptr)
{
	const struct bsa_page *page = bsa_page_of(ptr);
	struct bsa_section *section;
	unsigned long index;

	if (!bsa_buddy_owns(&heap->buddy, page))
		return NULL;
	section = heap->buddy.section[page->section];
	index = ((unsigned long)ptr - section->range.start) >> PAGE_SHIFT;
	return (struct bsa_record *)section->side + index;
}

/* What a mark is but for its state and its count. */
static u64 base_mark(const struct bsa_object *object)
{
	u64 seed = (unsigned long)object->record ^ object->heap->debug->secret;
	size_t units = object->is_block ? 0 : object->room / UNIT;

	/* The upper bits of the product depend on all of the seed. */
	return (seed * GOLDEN_RATIO_64 & MARK_CHECK) |
	       FIELD_PREP(MARK_UNITS, units);
}

/* The same, with a state, and counted. */
static u64 next_mark(const struct bsa_object *object, u64 mark,
		     enum bsa_record_state state)
{
	u64 count = (mark + FIELD_PREP(MARK_COUNT, 1)) & MARK_COUNT;

	return base_mark(object) | count | state;
}

/*
 * Look at the record of an object. One that is just changing is CLAIMED, whatever it was
 * or will be. Of one that has no mark nothing is known.
 */
static void read_record(struct bsa_object *object)
{
	/* Pairs with bsa_record_set() (model/litmus/record-set-vs-read.litmus). */
	u64 mark = smp_load_acquire(&object->record->mark);

	object->state = BSA_RECORD_NONE;
	object->was = (struct bsa_record) {};
	if ((mark & (MARK_CHECK | MARK_UNITS)) != base_mark(object) ||
	    (mark & MARK_STATE) > BSA_RECORD_CLAIMED)
		return;
	/* Whatever was read is worth nothing if the mark has changed. */
	data_race(object->was = *object->record);
	/* Before the second look at the mark (model/litmus/record-vs-copy.litmus). */
	smp_rmb();
	object->was.mark = mark;
	object->state = READ_ONCE(object->record->mark) == mark ?
			mark & MARK_STATE : BSA_RECORD_CLAIMED;
}

/* A block of pages has a record beside it; without one it is a slot. */
static void set_object(struct bsa_object *object, struct bsa_heap *heap,
		       void *start, size_t room, struct bsa_record *side)
{
	object->heap = heap;
	object->start = start;
	object->room = room;
	object->is_block = side;
	object->record = side ?: start + room - sizeof(*object->record);
	object->end = side ? start + room : object->record;
	read_record(object);
}

/*
 * Find the slot or the block that any address lies in; of a block that is free each
 * page is found on its own. Return false if the heap has no such page, or its slots
 * have no record. What was found stays as long as preemption is off.
 */
bool bsa_record_locate(struct bsa_heap *heap, const void *ptr,
		       struct bsa_object *object)
{
	struct bsa_record *side;
	bool is_block, found;
	size_t room;
	void *start;

	preempt_disable();
	if (!bsa_plain_locate(heap, ptr, &start, &room, &is_block)) {
		start = PTR_ALIGN_DOWN((void *)ptr, PAGE_SIZE);
		room = PAGE_SIZE;
		is_block = true;
	}
	side = side_of(heap, start);
	found = side && room >= UNIT;
	if (found)
		set_object(object, heap, start, room, is_block ? side : NULL);
	preempt_enable();
	return found;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_record_locate);

/*
 * Claim an object that is as it was; of several who do so only one gets true. Bytes
 * change afterwards (model/litmus/record-claim-vs-copy.litmus).
 */
bool bsa_record_claim(const struct bsa_object *object)
{
	u64 mark = object->was.mark;
	u64 next = next_mark(object, mark, BSA_RECORD_CLAIMED);

	return cmpxchg(&object->record->mark, mark, next) == mark;
}

/* Change what an object is. Nobody else has it. */
void bsa_record_set(const struct bsa_object *object,
		    enum bsa_record_state state)
{
	u64 mark = READ_ONCE(object->record->mark);

	/* The rest is complete (model/litmus/record-set-vs-read.litmus). */
	smp_store_release(&object->record->mark, next_mark(object, mark, state));
	/* And bytes that are written next come later (model/litmus/record-vs-copy.litmus). */
	smp_wmb();
}

/*
 * Walks
 */

/*
 * Step through the slots that reach into a range and have a record. @object is the
 * one before, or one whose start is NULL. False if there is none any more.
 */
static bool next_slot(struct bsa_heap *heap, const void *from, const void *to,
		      struct bsa_object *object)
{
	const void *last = to + BSA_MAX_OBJECT - UNIT;
	void *end = object->start ? object->start + object->room + UNIT :
				    PTR_ALIGN((void *)from + 1, UNIT);
	struct bsa_record *record;
	size_t room;

	for (; end <= last; end += UNIT) {
		/* Behind the heap there may be nothing to read. */
		if (IS_ALIGNED((unsigned long)end - UNIT, PAGE_SIZE) &&
		    !side_of(heap, end - UNIT))
			return false;
		record = end - sizeof(*record);
		room = FIELD_GET(MARK_UNITS, READ_ONCE(record->mark)) * UNIT;
		set_object(object, heap, end - room, room, NULL);
		if (object->state != BSA_RECORD_NONE && end - room < to)
			return true;
	}
	return false;
}

/*
 * Step through what begins in a page: a block, or else the page itself, then slots
 * that have a record. @object is the one before, or one whose start is NULL.
 */
bool bsa_record_step(struct bsa_heap *heap, void *page,
		     struct bsa_object *object)
{
	if (!object->start) {
		if (!bsa_record_locate(heap, page, object) ||
		    !object->is_block || object->start != page)
			set_object(object, heap, page, PAGE_SIZE,
				   side_of(heap, page));
		return true;
	}
	if (object->is_block)
		object->start = NULL;
	while (next_slot(heap, page, page + PAGE_SIZE, object))
		if (object->start >= page)
			return true;
	return false;
}

/*
 * Red zones and poison
 */

/*
 * Look for bytes that are not as they should be. @found is filled in: @found->nr is
 * how many there are, from the first to the last.
 */
static bool overwritten(struct bsa_found *found, enum bsa_finding finding,
			const char *what, const void *from, size_t nr, u8 byte)
{
	const u8 *last = from + nr - 1;

	found->finding = finding;
	found->what = what;
	found->byte = byte;
	found->nr = 0;
	kasan_disable_current();
	found->at = nr ? memchr_inv(from, byte, nr) : NULL;
	if (found->at) {
		/* It may have been put right in this very moment. */
		while (last > found->at && READ_ONCE(*last) == byte)
			last--;
		found->nr = last - found->at + 1;
		/* As for all that is found: whether it counts is seen later. */
		data_race(memcpy(found->bytes, found->at,
				 min_t(size_t, found->nr, BSA_SHOWN)));
	}
	kasan_enable_current();
	return found->nr;
}

/* Is anything wrong with the bytes of an object, which are its caller's or free? */
static bool find_damage(const struct bsa_object *object, struct bsa_found *found)
{
	struct bsa_heap *heap = object->heap;
	bool free = object->state == BSA_RECORD_FREE;
	bool poison = free && bsa_debug_flag(heap, BSA_DEBUG_POISON);
	void *ptr = bsa_object_ptr(object), *end = object->end;
	size_t slack = object->was.slack;

	if (free && object->is_block)
		return poison && overwritten(found, BSA_FOUND_FREE,
					     "page written after it was freed",
					     object->start, object->room,
					     BSA_BYTE_FREE);
	/* Those of a record that was overwritten may be anything. */
	if (slack > object->room || ptr + slack > end)
		return false;
	if (bsa_zone(heap))
		end -= slack;
	if (poison &&
	    overwritten(found, BSA_FOUND_FREE, "written after it was freed",
			ptr, end - ptr, BSA_BYTE_FREE))
		return true;
	return bsa_zone(heap) &&
	       (overwritten(found, BSA_FOUND_BEHIND, "written behind its end",
			    end, slack, BSA_BYTE_ZONE) ||
		overwritten(found, BSA_FOUND_BEFORE, "written before its start",
			    object->start, object->was.left, BSA_BYTE_ZONE));
}

/* Is anything wrong with an object that may change hands meanwhile? */
static bool look(const struct bsa_object *object, struct bsa_found *found)
{
	struct bsa_object slot = {};

	if ((object->state != BSA_RECORD_LIVE &&
	     object->state != BSA_RECORD_FREE) || !find_damage(object, found))
		return false;
	/*
	 * Who has changed bytes since had changed a mark before: a slot's,
	 * (model/litmus/record-vs-copy.litmus)
	 */
	smp_rmb();
	if (object->is_block && object->state == BSA_RECORD_FREE &&
	    next_slot(object->heap, object->start, object->end, &slot))
		return false;
	/*
	 * or this one. Before a slot's is wiped, that of its page changes
	 * (model/litmus/sweep-vs-check-page.litmus).
	 */
	smp_rmb();
	return READ_ONCE(object->record->mark) == object->was.mark;
}

/* Report all that is wrong with an object that nobody else has, and put it right. */
void bsa_check_object(const struct bsa_object *object, unsigned long caller)
{
	struct bsa_found found;
	int left = 3;

	/* There are so many zones. Somebody may go on writing. */
	while (left-- && find_damage(object, &found)) {
		bsa_report(object, &found, caller);
		bsa_fill((void *)found.at, found.byte, found.nr);
	}
}

/* Of a page that is free not all that has no record is poison any more. */
static void spoil_page(struct bsa_heap *heap, void *ptr)
{
	struct bsa_object page;

	set_object(&page, heap, PTR_ALIGN_DOWN(ptr, PAGE_SIZE), PAGE_SIZE,
		   side_of(heap, ptr));
	if (page.state == BSA_RECORD_FREE)
		bsa_record_claim(&page);
}

/*
 * Look at the free slots that reach into memory which is about to be used in
 * another way, and wipe their records. Others may do so with the same slot.
 */
static void sweep(const struct bsa_object *memory, unsigned long caller)
{
	const void *end = memory->start + memory->room;
	struct bsa_heap *heap = memory->heap;
	struct bsa_object slot = {};
	struct bsa_found found;

	while (next_slot(heap, memory->start, end, &slot)) {
		if (slot.state != BSA_RECORD_FREE)
			continue;
		if (look(&slot, &found))
			bsa_report(&slot, &found, caller);
		spoil_page(heap, slot.start);
		spoil_page(heap, slot.record);
		/*
		 * A full barrier (model/litmus/sweep-vs-check-page.litmus). If it
		 * is gone by now, it is.
		 */
		cmpxchg(&slot.record->mark, slot.was.mark, 0);
	}
	/*
	 * Whoever finds no record finds that its pages are not poison
	 * (model/litmus/sweep-vs-check-page.litmus).
	 */
	smp_rmb();
}

/*
 * Is memory that has just come from below as it was left when it became free?
 * Afterwards a slot has a record, and a block may be filled.
 */
void bsa_check_fresh(const struct bsa_object *object, unsigned long caller)
{
	void *from = object->start, *end = from + object->room, *to;
	struct bsa_heap *heap = object->heap;
	struct bsa_object part, page;
	struct bsa_record *side;
	struct bsa_found found;

	if (!object->is_block && object->state != BSA_RECORD_NONE) {
		bsa_check_object(object, caller);
		return;
	}
	sweep(object, caller);
	for (; from < end; from = to) {
		to = min(PTR_ALIGN(from + 1, PAGE_SIZE), end);
		side = side_of(heap, from);
		set_object(&part, heap, from, to - from, side);
		set_object(&page, heap, PTR_ALIGN_DOWN(from, PAGE_SIZE),
			   PAGE_SIZE, side);
		if (look(&part, &found))
			bsa_report(&page, &found, caller);
		if (object->is_block)
			bsa_record_set(&part, BSA_RECORD_CLAIMED);
	}
	if (object->is_block)
		return;
	bsa_record_set(object, BSA_RECORD_CLAIMED);
	memset_after(object->record, 0, mark);
	bsa_record_free(object);
}

/*
 * The allocator takes a block for itself, and writes to it what no record tells of.
 * Preemption is off.
 */
void bsa_check_taken(struct bsa_heap *heap, struct bsa_page *block)
{
	void *start = bsa_page_address(&heap->buddy, block);
	struct bsa_object object;

	set_object(&object, heap, start, PAGE_SIZE << block->order,
		   side_of(heap, start));
	bsa_check_fresh(&object, _RET_IP_);
}

/*
 * What the caller has claimed is free from here on: no byte of it is as it was. Any page
 * of a block may be part of another one next, so each gets the record.
 */
void bsa_record_free(const struct bsa_object *object)
{
	bool all = object->is_block || !bsa_zone(object->heap);
	void *from = all ? object->start : bsa_object_ptr(object);
	size_t nr = all ? object->end - from : bsa_object_size(object);
	struct bsa_record *record = object->record;
	struct bsa_heap *heap = object->heap;
	struct bsa_object page;

	if (bsa_debug_flag(heap, BSA_DEBUG_POISON))
		bsa_fill(from, BSA_BYTE_FREE, nr);
	else if (want_init_on_free())
		bsa_clear(from, nr);
	if (!object->is_block)
		bsa_record_set(object, BSA_RECORD_FREE);
	for (; object->is_block && from < object->end; from += PAGE_SIZE) {
		set_object(&page, heap, from, PAGE_SIZE, side_of(heap, from));
		page.record->alloc = record->alloc;
		page.record->freed = record->freed;
		page.record->slack = 0;
		if (from != object->start)
			page.record->left = 0;
		bsa_record_set(&page, BSA_RECORD_FREE);
	}
}

/* Is it a slot that somebody has, without a record? It may just get one. */
bool bsa_record_is_lost(const struct bsa_object *object,
			struct bsa_found *found)
{
	if (object->is_block || object->state != BSA_RECORD_NONE ||
	    !bsa_plain_size(object->heap, object->start))
		return false;
	overwritten(found, BSA_FOUND_BEHIND,
		    "what was known about it is overwritten", object->record,
		    sizeof(*object->record), 0);
	return true;
}

/*
 * Check red zones and poison of a page; others may use it, unless the heap is @quiet.
 * @tell is called with @arg and @text, which is room for a report, for each place that
 * was overwritten.
 */
void bsa_debug_validate(struct bsa_heap *heap, void *page, bool quiet,
			char *text, void (*tell)(void *arg, const char *text),
			void *arg)
{
	struct bsa_object object = {};
	struct bsa_found found;
	void *ptr;

	while (bsa_record_step(heap, page, &object)) {
		if (!look(&object, &found))
			continue;
		bsa_describe(text, &object, &found);
		tell(arg, text);
	}
	for (ptr = page; quiet && ptr < page + PAGE_SIZE; ptr += UNIT) {
		if (!bsa_record_locate(heap, ptr, &object) ||
		    object.start != ptr ||
		    !bsa_record_is_lost(&object, &found))
			continue;
		bsa_describe(text, &object, &found);
		tell(arg, text);
	}
}
