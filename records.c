// SPDX-License-Identifier: GPL-2.0-only
/*
 * debug=: what is known about each object, and what its bytes should be
 *
 * An object is laid out in its slot like this. A block of pages is the same but
 * for the record, which is beside it, in the &struct bsa_side of its first page:
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
 * - As long as a page is said to be poisoned, all of it is poison, but for slots
 *   that have a record. It is not said any more before such a record is wiped.
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

/* The side of the page that an address lies in; NULL if it is not the heap's. */
static struct bsa_side *side_of(struct bsa_heap *heap, const void *ptr)
{
	const struct bsa_page *page = bsa_page_of(ptr);
	struct bsa_section *section;
	unsigned long index;

	if (!bsa_buddy_owns(&heap->buddy, page))
		return NULL;
	section = heap->buddy.section[page->section];
	index = ((unsigned long)ptr - section->range.start) >> PAGE_SHIFT;
	return (struct bsa_side *)section->side + index;
}

static void set_slot(struct bsa_object *object, void *start, size_t room)
{
	object->start = start;
	object->room = room;
	object->record = start + room - sizeof(*object->record);
	object->end = object->record;
	object->is_block = false;
}

static void set_block(struct bsa_object *object, void *start, size_t room,
		      struct bsa_side *side)
{
	object->start = start;
	object->room = room;
	object->record = &side->record;
	object->end = start + room;
	object->is_block = true;
}

static void *page_at(const void *ptr)
{
	return PTR_ALIGN_DOWN((void *)ptr, PAGE_SIZE);
}

/**
 * bsa_record_locate - find out what the object at or around an address is
 * @heap: the heap
 * @ptr: any value
 * @object: filled in
 *
 * Of a block that is free each page is found on its own.
 *
 * Context: any; preemption is off, unless it is known to be an allocation.
 * Return: false if the heap has no such page, or its slots have no record.
 */
bool bsa_record_locate(struct bsa_heap *heap, const void *ptr,
		       struct bsa_object *object)
{
	struct bsa_side *side = side_of(heap, ptr);
	bool is_block;
	size_t room;
	void *start;

	if (!side)
		return false;
	if (!bsa_plain_locate(heap, ptr, &start, &room, &is_block))
		set_block(object, page_at(ptr), PAGE_SIZE, side);
	else if (is_block)
		set_block(object, start, room, side_of(heap, start));
	else
		set_slot(object, start, room);
	return is_block || room >= UNIT;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_record_locate);

/* The part of a mark that its record's address decides. */
static u64 check_of(struct bsa_heap *heap, const struct bsa_record *at)
{
	u64 seed = (unsigned long)at ^ heap->debug->secret;

	/* The upper bits of it depend on all. */
	return seed * GOLDEN_RATIO_64 & MARK_CHECK;
}

static u64 units_of(const struct bsa_object *object)
{
	return object->is_block ? 0 :
	       FIELD_PREP(MARK_UNITS, object->room / UNIT);
}

/* What a mark says, if it is that of the object's record, which is @at. */
static enum bsa_record_state state_in(struct bsa_heap *heap, u64 mark,
				      const struct bsa_object *object,
				      const struct bsa_record *at)
{
	if ((mark & (MARK_CHECK | MARK_UNITS)) !=
	    (check_of(heap, at) | units_of(object)) ||
	    (mark & MARK_STATE) > BSA_RECORD_HELD)
		return BSA_RECORD_NONE;
	return mark & MARK_STATE;
}

/* The same mark with another state, counted. */
static u64 next_mark(u64 mark, enum bsa_record_state state)
{
	u64 count = (mark + FIELD_PREP(MARK_COUNT, 1)) & MARK_COUNT;

	return (mark & (MARK_CHECK | MARK_UNITS)) | count | state;
}

/**
 * bsa_record_state - what an object is to its users
 * @heap: the heap
 * @object: from bsa_record_locate()
 */
enum bsa_record_state bsa_record_state(struct bsa_heap *heap,
				       const struct bsa_object *object)
{
	return state_in(heap, READ_ONCE(object->record->mark), object,
			object->record);
}

/**
 * bsa_record_claim - take an object from the caller who frees it
 * @heap: the heap
 * @object: from bsa_record_locate()
 *
 * Return: false if it is not live; of several who free it at once only one gets
 * true.
 */
bool bsa_record_claim(struct bsa_heap *heap, const struct bsa_object *object)
{
	u64 mark = READ_ONCE(object->record->mark);

	return state_in(heap, mark, object, object->record) ==
	       BSA_RECORD_LIVE &&
	       cmpxchg(&object->record->mark, mark,
		       next_mark(mark, BSA_RECORD_CLAIMED)) == mark;
}

/**
 * bsa_record_set - change what an object is
 * @heap: the heap
 * @object: nobody else has it
 * @state: what it is from here on
 */
void bsa_record_set(struct bsa_heap *heap, const struct bsa_object *object,
		    enum bsa_record_state state)
{
	u64 mark = check_of(heap, object->record) | units_of(object) |
		   (READ_ONCE(object->record->mark) & MARK_COUNT);

	/* Whoever sees the state finds the rest complete. */
	smp_store_release(&object->record->mark, next_mark(mark, state));
	/* And whoever sees bytes that are written next finds the state. */
	smp_wmb();
}

/**
 * bsa_record_next - step through the slots that reach into a range and have a record
 * @heap: the heap
 * @from: start of the range
 * @to: its end
 * @object: the slot before, or one whose start is NULL; filled in
 *
 * Return: false if there is none (any more).
 */
bool bsa_record_next(struct bsa_heap *heap, const void *from, const void *to,
		     struct bsa_object *object)
{
	const void *last = to + BSA_MAX_OBJECT - UNIT;
	void *end = object->start ? object->start + object->room + UNIT :
				    PTR_ALIGN((void *)from + 1, UNIT);
	struct bsa_record *record;
	u64 mark;

	for (; end <= last; end += UNIT) {
		/* Behind the heap there may be nothing to read. */
		if (IS_ALIGNED((unsigned long)end - UNIT, PAGE_SIZE) &&
		    !side_of(heap, end - UNIT))
			return false;
		record = end - sizeof(*record);
		mark = READ_ONCE(record->mark);
		if ((mark & MARK_CHECK) != check_of(heap, record) ||
		    !(mark & MARK_UNITS))
			continue;
		set_slot(object, end - FIELD_GET(MARK_UNITS, mark) * UNIT,
			 FIELD_GET(MARK_UNITS, mark) * UNIT);
		if ((const void *)object->start < to)
			return true;
	}
	return false;
}

/*
 * Red zones and poison
 */

/**
 * bsa_zone - bytes of red zone that there are at least
 * @heap: the heap
 */
size_t bsa_zone(const struct bsa_heap *heap)
{
	return bsa_debug_flag(heap, BSA_DEBUG_ZONES) ? BSA_ZONE : 0;
}

/**
 * bsa_is_damaged - look for bytes that are not as they should be
 * @from: the first byte to look at
 * @nr: how many
 * @byte: what they should be
 * @damage: filled in if some are not
 */
bool bsa_is_damaged(const void *from, size_t nr, u8 byte,
		    struct bsa_damage *damage)
{
	const u8 *last = from + nr - 1;

	kasan_disable_current();
	damage->at = nr ? memchr_inv(from, byte, nr) : NULL;
	if (damage->at) {
		/* It may have been put right in this very moment. */
		while (last > damage->at && READ_ONCE(*last) == byte)
			last--;
		damage->nr = last - damage->at + 1;
		damage->byte = byte;
	}
	kasan_enable_current();
	return damage->at;
}

/* The bytes of a free object that are poison. */
static size_t poison_of(struct bsa_heap *heap, const struct bsa_object *object)
{
	if (!bsa_debug_flag(heap, BSA_DEBUG_POISON))
		return 0;
	return bsa_zone(heap) ? bsa_object_size(object) :
				object->end - object->start;
}

/* Is anything wrong with the bytes of an object, of which this is the state? */
static bool find_damage(struct bsa_heap *heap, const struct bsa_object *object,
			enum bsa_record_state state, const char **what,
			enum bsa_finding *finding, struct bsa_damage *damage)
{
	size_t slack = object->record->slack;
	void *ptr = bsa_object_ptr(object);

	/* Those of a record which is being written may be anything. */
	if (slack > object->room || ptr + slack > object->end)
		return false;
	if (state != BSA_RECORD_LIVE &&
	    bsa_is_damaged(ptr, poison_of(heap, object), BSA_BYTE_FREE,
			   damage)) {
		*what = "written after it was freed";
		*finding = BSA_FOUND_FREE;
		return true;
	}
	if (!bsa_zone(heap))
		return false;
	if (bsa_is_damaged(object->end - slack, slack, BSA_BYTE_ZONE, damage)) {
		*what = "written behind its end";
		*finding = BSA_FOUND_BEHIND;
		return true;
	}
	if (bsa_is_damaged(object->start, object->record->left, BSA_BYTE_ZONE,
			   damage)) {
		*what = "written before its start";
		*finding = BSA_FOUND_BEFORE;
		return true;
	}
	return false;
}

/**
 * bsa_check_object - look for all that is wrong with an object
 * @heap: the heap
 * @object: nobody else has it
 * @state: what it was until now
 * @caller: who has called
 *
 * It is reported and put right.
 */
void bsa_check_object(struct bsa_heap *heap, const struct bsa_object *object,
		      enum bsa_record_state state, unsigned long caller)
{
	struct bsa_damage damage;
	enum bsa_finding finding;
	const char *what;
	int left = 3;

	/* There are so many zones. Somebody may go on writing. */
	while (left-- && find_damage(heap, object, state, &what, &finding,
				     &damage)) {
		bsa_report(heap, finding, what, object, &damage, caller);
		bsa_fill((void *)damage.at, damage.byte, damage.nr);
	}
}

/*
 * Look at the free slots that reach into memory which is about to be used in
 * another way, and wipe their records. Others may do so with the same slot.
 */
static void sweep(struct bsa_heap *heap, const struct bsa_object *memory,
		  unsigned long caller)
{
	const void *end = memory->start + memory->room;
	struct bsa_object slot = {};
	struct bsa_damage damage;
	enum bsa_finding finding;
	const char *what;
	bool found;
	u64 mark;

	while (bsa_record_next(heap, memory->start, end, &slot)) {
		/* Its bytes are looked at after that. */
		mark = smp_load_acquire(&slot.record->mark);
		if (state_in(heap, mark, &slot, slot.record) != BSA_RECORD_FREE)
			continue;
		found = find_damage(heap, &slot, BSA_RECORD_FREE, &what,
				    &finding, &damage);
		/* As long as it is there, what was found is not a new owner's. */
		if (found && READ_ONCE(slot.record->mark) == mark)
			bsa_report(heap, finding, what, &slot, &damage, caller);
		WRITE_ONCE(side_of(heap, slot.start)->poisoned, false);
		WRITE_ONCE(side_of(heap, slot.record)->poisoned, false);
		/* A full barrier. If it is gone by now, it is. */
		cmpxchg(&slot.record->mark, mark, 0);
	}
}

/* Report what was written to a part of a page while it should be poison. */
static void check_page(struct bsa_heap *heap, const void *from, const void *to,
		       unsigned long caller)
{
	struct bsa_side *side = side_of(heap, from);
	struct bsa_damage damage;
	struct bsa_object page;

	/* Pairs with sweep(): whoever finds no record finds this. */
	smp_rmb();
	if (!READ_ONCE(side->poisoned) ||
	    !bsa_is_damaged(from, to - from, BSA_BYTE_FREE, &damage))
		return;
	set_block(&page, page_at(from), PAGE_SIZE, side);
	bsa_report(heap, BSA_FOUND_FREE, "page written after it was freed",
		   &page, &damage, caller);
}

/**
 * bsa_check_fresh - is memory as it was left when it became free?
 * @heap: the heap
 * @object: a slot or a block, just allocated from below
 * @caller: who has called
 *
 * Afterwards a slot has a record, and a block may be filled.
 */
void bsa_check_fresh(struct bsa_heap *heap, const struct bsa_object *object,
		     unsigned long caller)
{
	void *from = object->start, *end = from + object->room, *to;

	if (!object->is_block &&
	    bsa_record_state(heap, object) != BSA_RECORD_NONE) {
		bsa_check_object(heap, object, BSA_RECORD_FREE, caller);
		return;
	}
	sweep(heap, object, caller);
	for (; from < end; from = to) {
		to = min(PTR_ALIGN(from + 1, PAGE_SIZE), end);
		check_page(heap, from, to, caller);
		if (object->is_block)
			WRITE_ONCE(side_of(heap, from)->poisoned, false);
	}
	/* Whoever sees bytes that are written next finds this. */
	smp_wmb();
	if (object->is_block)
		return;
	bsa_record_set(heap, object, BSA_RECORD_CLAIMED);
	memset_after(object->record, 0, mark);
	if (bsa_debug_flag(heap, BSA_DEBUG_POISON))
		bsa_fill(object->start, BSA_BYTE_FREE,
			 object->end - object->start);
	bsa_record_set(heap, object, BSA_RECORD_FREE);
}

/**
 * bsa_record_forget - a block of pages is about to become free
 * @heap: the heap
 * @block: nobody has it any more
 * @poisoned: it was filled with poison
 *
 * Any of its pages may be part of another block next, so each gets the record.
 */
void bsa_record_forget(struct bsa_heap *heap, const struct bsa_object *block,
		       bool poisoned)
{
	const struct bsa_record head = *block->record;
	struct bsa_object page;
	struct bsa_side *side;
	void *start;

	for (start = block->start; start < block->end; start += PAGE_SIZE) {
		side = side_of(heap, start);
		set_block(&page, start, PAGE_SIZE, side);
		side->record.alloc = head.alloc;
		side->record.freed = head.freed;
		side->record.slack = 0;
		side->record.left = start == block->start ? head.left : 0;
		bsa_record_set(heap, &page, BSA_RECORD_FREE);
		/* After the poison; pairs with describe_page(). */
		smp_store_release(&side->poisoned, poisoned);
	}
}

/*
 * For those who look while others go on
 */

/**
 * bsa_record_copy - what is known about an object at one moment
 * @heap: the heap
 * @object: from bsa_record_next() or bsa_record_locate()
 * @copy: filled in
 *
 * Return: what it is; BSA_RECORD_NONE also if that is just changing.
 */
enum bsa_record_state bsa_record_copy(struct bsa_heap *heap,
				      const struct bsa_object *object,
				      struct bsa_record *copy)
{
	/* Pairs with bsa_record_set(), as the second look at it does. */
	u64 mark = smp_load_acquire(&object->record->mark);

	/* Whatever was read is worth nothing if the mark has changed. */
	data_race(*copy = *object->record);
	/* As above. */
	smp_rmb();
	copy->mark = mark;
	if (READ_ONCE(object->record->mark) != mark)
		return BSA_RECORD_NONE;
	return state_in(heap, mark, object, object->record);
}

/* Describe what is wrong with an object, if it is, and nobody has changed it. */
static bool describe_object(struct bsa_heap *heap,
			    const struct bsa_object *object, char *text)
{
	struct bsa_object found = *object;
	struct bsa_damage damage;
	enum bsa_finding finding;
	enum bsa_record_state state;
	struct bsa_record copy;
	const char *what;

	found.record = &copy;
	state = bsa_record_copy(heap, object, &copy);
	if (state == BSA_RECORD_NONE || state == BSA_RECORD_CLAIMED ||
	    (object->is_block && state != BSA_RECORD_LIVE) ||
	    !find_damage(heap, &found, state, &what, &finding, &damage))
		return false;
	bsa_describe(text, what, &found, &damage);
	/* Who has changed bytes since had changed the mark before. */
	smp_rmb();
	return READ_ONCE(object->record->mark) == copy.mark;
}

/* Describe what was written to a page of poison; none of it is a slot's. */
static bool describe_page(struct bsa_heap *heap, struct bsa_side *side,
			  void *page, char *text)
{
	struct bsa_object object, slot = {};
	struct bsa_damage damage;

	/* Pairs with bsa_record_forget(). */
	if (!smp_load_acquire(&side->poisoned) ||
	    !bsa_is_damaged(page, PAGE_SIZE, BSA_BYTE_FREE, &damage))
		return false;
	set_block(&object, page, PAGE_SIZE, side);
	bsa_describe(text, "page written after it was freed", &object, &damage);
	/* Who has begun to use it has said so before. */
	smp_rmb();
	return READ_ONCE(side->poisoned) &&
	       !bsa_record_next(heap, page, page + PAGE_SIZE, &slot);
}

/* Find a slot of a page that is used and has no record. Others may just make it. */
static bool is_lost(struct bsa_heap *heap, void *ptr,
		    struct bsa_object *object)
{
	bool found;

	preempt_disable();
	found = bsa_record_locate(heap, ptr, object);
	preempt_enable();
	return found && !object->is_block &&
	       bsa_record_state(heap, object) == BSA_RECORD_NONE &&
	       bsa_plain_size(heap, object->start);
}

/**
 * bsa_debug_validate - check red zones and poison of a page
 * @heap: the heap; others may go on using it
 * @page: the page's address
 * @quiet: nobody does
 * @text: room for a report
 * @tell: called with @text, for each place that was overwritten
 * @arg: its first argument
 */
void bsa_debug_validate(struct bsa_heap *heap, void *page, bool quiet,
			char *text, void (*tell)(void *arg, const char *text),
			void *arg)
{
	struct bsa_object object = {};
	bool is_block;
	void *ptr;

	preempt_disable();
	is_block = bsa_record_locate(heap, page, &object) && object.is_block;
	preempt_enable();
	if (is_block && object.start == page &&
	    describe_object(heap, &object, text))
		tell(arg, text);
	if (describe_page(heap, side_of(heap, page), page, text))
		tell(arg, text);
	object.start = NULL;
	while (bsa_record_next(heap, page, page + PAGE_SIZE, &object))
		/* Others begin, and are told of, in another page. */
		if (page_at(object.start) == page &&
		    describe_object(heap, &object, text))
			tell(arg, text);
	for (ptr = page; quiet && ptr < page + PAGE_SIZE; ptr += UNIT) {
		if (!is_lost(heap, ptr, &object) || object.start != ptr)
			continue;
		bsa_say(text, 0, "what was known about %zu bytes at %p is overwritten\n",
			object.room, ptr);
		tell(arg, text);
	}
}
