// SPDX-License-Identifier: GPL-2.0-only
/*
 * debug=: red zones, poison, owners, quarantine, random slots
 *
 * A heap that was created with any of them keeps every CPU busy for good, see
 * percpu.c: bsa_cpu.idle is even, so no call gets onto a fast path. All slabs
 * belong to the shared set, every allocation is made under its lock, and every
 * free is a remote one. So the fast path has not one instruction for all this,
 * and the hooks are in functions that are slow anyway, behind a static key.
 *
 * What is known about an object is not beside it, but in a table of its slab,
 * in pages of the heap that no caller sees. A page has a &struct bsa_side, in
 * memory that the heap takes from the kernel together with its sections.
 *
 * A slot of a slab, and a block of pages:
 *
 *   live   | what was asked for       | slack: red zone             |
 *   free   | poison                                     | red zone  |
 *                                                         BSA_ZONE bytes
 *
 * An object begins where its slot does, so it is aligned to its size as always;
 * room for the zone comes from asking for a slot of at least BSA_ZONE bytes more,
 * a power of two. The last BSA_ZONE bytes of a slot never belong to anybody, so
 * they are the red zone before the next object, too. The first slot of a slab is
 * all red zone. Blocks of pages have one only where less than the block was asked
 * for; what is written behind others is found if it hits a slab, or free pages.
 *
 * KASAN, where the kernel has it, knows the same bytes as nobody's, so what is
 * looked at here is looked at behind its back.
 *
 * Locking: tables come and go under the heap's shared lock. Records are changed
 * by who has the object. debug->lock, a raw spinlock and innermost, protects the
 * quarantine. Reports are made by one CPU at a time; others count, and go on.
 *
 * Contexts: any in which the calls themselves work. In NMI no call chain is saved
 * and nothing goes into quarantine.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <bsa/compat.h>
#include <bsa/debug.h>
#include <bsa/tools.h>
#include <linux/ctype.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/ratelimit.h>
#include <linux/rculist.h>
#include <linux/sched/clock.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/stackdepot.h>
#include <linux/stacktrace.h>

/* Calls in a chain. */
#define MAX_DEPTH	16

/* Bytes that a report shows. */
#define MAX_BYTES	16

DEFINE_STATIC_KEY_FALSE(bsa_debug_key);

/**
 * struct object - an object or a block of pages, and what is known about it
 * @ptr: its first byte
 * @slot: its bytes, the slack included
 * @record: who has it
 */
struct object {
	u8 *ptr;
	size_t slot;
	struct bsa_record *record;
};

/**
 * struct damage - bytes that are not as they were left
 * @at: the first of them
 * @nr: from the first to the last
 * @byte: what they should all be
 */
struct damage {
	const u8 *at;
	size_t nr;
	u8 byte;
};

static struct bsa_side *side_of(struct bsa_buddy *buddy,
				const struct bsa_page *page)
{
	struct bsa_section *section = buddy->section[page->section];

	return (struct bsa_side *)section->side + (page - section->range.pages);
}

/* Bytes at the end of each slot that never belong to anybody. */
static size_t zone_of(const struct bsa_heap *heap)
{
	return bsa_debug_flag(heap, BSA_DEBUG_ZONES) ? BSA_ZONE : 0;
}

/* Bits from one object of a slab to the next. */
static unsigned int units_of(const struct bsa_page *slab)
{
	return slab->class < BSA_NR_CLASSES ? 1 : 3;
}

/* Find out what the object at or around @ptr is; false if there is none. */
static bool locate(struct bsa_heap *heap, const void *ptr,
		   struct object *object)
{
	struct bsa_page *page = bsa_page_of(ptr);
	struct bsa_section *section;
	struct bsa_record *table;
	unsigned long index, pfn;
	unsigned int order;

	if (!bsa_buddy_owns(&heap->buddy, page))
		return false;
	if (READ_ONCE(page->owner) != BSA_NOBODY) {
		table = READ_ONCE(side_of(&heap->buddy, page)->table);
		if (!table || page->class >= BSA_ALL_CLASSES)
			return false;
		object->slot = bsa_class_size(page->class);
		index = ((unsigned long)ptr & page->mask) / object->slot;
		object->ptr = bsa_page_address(&heap->buddy, page) +
			      index * object->slot;
		object->record = table + index * units_of(page);
		return true;
	}
	section = heap->buddy.section[page->section];
	pfn = section->pfn + (page - section->range.pages);
	/* Of a page inside a block, the head. */
	for (order = 0; page->state == BSA_PAGE_TAIL; order++) {
		if ((pfn & ~0UL << order) < section->pfn ||
		    order > BSA_MAX_PAGE_ORDER)
			return false;
		page = &section->range.pages[(pfn & ~0UL << order) -
					     section->pfn];
	}
	object->ptr = bsa_page_address(&heap->buddy, page);
	object->slot = PAGE_SIZE << page->order;
	object->record = &side_of(&heap->buddy, page)->record;
	return true;
}

/*
 * Who it was
 */

/* Addresses of code are within 2 GiB of each other. */
static s32 to_distance(unsigned long caller)
{
	return caller - (unsigned long)bsa_debug_init;
}

static unsigned long from_distance(u32 where)
{
	return (unsigned long)bsa_debug_init + (s32)where;
}

static u32 now_ms(void)
{
	return div_u64(local_clock(), NSEC_PER_MSEC);
}

/* May the stack depot ask the kernel for memory? */
static bool may_allocate(void)
{
	if (IS_ENABLED(CONFIG_PREEMPT_COUNT))
		return preemptible();
	return in_task() && !irqs_disabled();
}

/* Save a call chain; return 0 if that is not possible here. */
static noinline u32 save_stack(void)
{
	unsigned long entries[MAX_DEPTH];
	unsigned int nr, ours;

	if (!BSA_HAS_STACKS || in_nmi())
		return 0;
	nr = bsa_stack_trace(entries, ARRAY_SIZE(entries), 2);
	/* The way from there to here is of no interest. */
	for (ours = 0; ours < nr; ours++)
		if (!within_module_core(entries[ours], THIS_MODULE))
			break;
	return bsa_stack_save(entries + ours, nr - ours, may_allocate());
}

static void set_track(struct bsa_heap *heap, struct bsa_track *track,
		      unsigned long caller)
{
	u32 stack = 0;

	if (bsa_debug_flag(heap, BSA_DEBUG_OWNER))
		stack = save_stack();
	track->where = stack ?: to_distance(caller);
	track->kind = stack ? BSA_TRACK_STACK : BSA_TRACK_CALLER;
	track->when = now_ms();
	track->pid = current->pid;
	track->cpu = raw_smp_processor_id();
	track->context = in_nmi() ? 'n' : in_hardirq() ? 'h' :
			 in_serving_softirq() ? 's' : 't';
}

/*
 * Reports
 */

static __printf(3, 4) size_t say(char *text, size_t len, const char *format,
				 ...)
{
	va_list args;

	va_start(args, format);
	len += vscnprintf(text + len, BSA_REPORT_LEN - len, format, args);
	va_end(args);
	return len;
}

/**
 * struct client - where the code of a client is, or was
 * @name: the module's name
 * @text: its code
 * @size: bytes of that
 * @init: code that the kernel frees when it is loaded
 * @init_size: bytes of that
 * @node: link in the list of clients, the last one first
 */
struct client {
	char name[MODULE_NAME_LEN];
	unsigned long text;
	unsigned long size;
	unsigned long init;
	unsigned long init_size;
	struct list_head node;
};

/* Only grows, as long as this module is there. */
static LIST_HEAD(clients);

static bool has_code(const struct client *client, unsigned long at)
{
	return at - client->text < client->size ||
	       at - client->init < client->init_size;
}

/* A function by its name; of code that is gone there is only a number. */
static size_t say_function(char *text, size_t len, unsigned long at)
{
	size_t end = say(text, len, "     %pS\n", (void *)at);
	const struct client *client;

	if (strncmp(text + len, "     0x", 7))
		return end;
	list_for_each_entry_rcu(client, &clients, node, true)
		if (has_code(client, at))
			return say(text, len, "     code of %s that is gone\n",
				   client->name);
	return say(text, len, "     code that is gone\n");
}

/* Return the number of calls in a chain; @one is for where there is one. */
static unsigned int fetch_chain(u8 kind, u32 where, unsigned long *one,
				unsigned long **entries)
{
	if (kind == BSA_TRACK_STACK)
		return bsa_stack_fetch(where, entries);
	*one = from_distance(where);
	*entries = one;
	return 1;
}

static size_t say_chain(char *text, size_t len, u8 kind, u32 where)
{
	unsigned long one, *entries;
	unsigned int i, nr = fetch_chain(kind, where, &one, &entries);

	for (i = 0; i < nr; i++)
		len = say_function(text, len, entries[i]);
	return len;
}

static size_t say_track(char *text, size_t len, const char *what,
			const struct bsa_track *track)
{
	const char *context = track->context == 'n' ? "NMI" :
			      track->context == 'h' ? "hardirq" :
			      track->context == 's' ? "softirq" : "task";

	if (track->kind == BSA_TRACK_NONE || track->kind > BSA_TRACK_STACK)
		return len;
	len = say(text, len, "  %s %u ms ago on CPU %u by pid %u (%s):\n",
		  what, now_ms() - track->when, track->cpu, track->pid,
		  context);
	return say_chain(text, len, track->kind, track->where);
}

static size_t say_bytes(char *text, size_t len, const struct object *object,
			const struct damage *damage)
{
	kasan_disable_current();
	len = say(text, len, "  %zu bytes from offset %td on:", damage->nr,
		  damage->at - object->ptr);
	len = say(text, len, " %*ph%s instead of %02x\n",
		  (int)min_t(size_t, damage->nr, MAX_BYTES), damage->at,
		  damage->nr > MAX_BYTES ? " ..." : "", damage->byte);
	kasan_enable_current();
	return len;
}

/* The lines of a text, one at a time. */
static void print_lines(struct bsa_heap *heap, const char *text)
{
	const char *end;

	for (; *text; text = *end ? end + 1 : end) {
		end = strchrnul(text, '\n');
		pr_err("%s: %.*s\n", heap->name, (int)(end - text), text);
	}
}

/* Count what was found, say what it is and who it was. */
static noinline void report(struct bsa_heap *heap, enum bsa_finding finding,
			    const char *what, const struct object *object,
			    const struct damage *damage, unsigned long caller)
{
	static DEFINE_RATELIMIT_STATE(limit, DEFAULT_RATELIMIT_INTERVAL,
				      DEFAULT_RATELIMIT_BURST);
	struct bsa_debug *debug = heap->debug;
	const struct bsa_record *record = object->record;
	char *text = debug->text;
	struct object other;
	size_t len;

	atomic_long_inc(&debug->found[finding]);
	if (test_and_set_bit_lock(0, &debug->reporting))
		return;
	len = say(text, 0, "%s: %zu bytes at %p, in a slot of %zu\n", what,
		  object->slot - record->slack, object->ptr, object->slot);
	if (damage)
		len = say_bytes(text, len, object, damage);
	len = say_track(text, len, "allocated", &record->alloc);
	len = say_track(text, len, "freed", &record->freed);
	if (finding == BSA_FOUND_BEFORE &&
	    locate(heap, object->ptr - 1, &other)) {
		len = say(text, len, "  before it are %zu bytes at %p\n",
			  other.slot - other.record->slack, other.ptr);
		len = say_track(text, len, "allocated", &other.record->alloc);
		len = say_track(text, len, "freed", &other.record->freed);
	}
	if (caller)
		len = say(text, len, "  found by %pS, on CPU %u by pid %u\n",
			  (void *)caller, raw_smp_processor_id(), current->pid);
	if (finding == BSA_FOUND_REFUSED) {
		struct bsa_track now;

		set_track(heap, &now, caller);
		len = say_chain(text, len, now.kind, now.where);
	}
	if (__ratelimit(&limit))
		print_lines(heap, text);
	clear_bit_unlock(0, &debug->reporting);
}

/**
 * bsa_debug_refused - say more about a free that was refused
 * @heap: the heap
 * @ptr: what was to be freed
 * @why: the reason
 * @caller: who tried it
 *
 * Context: any; preemption is off.
 */
void bsa_debug_refused(struct bsa_heap *heap, const void *ptr, const char *why,
		       unsigned long caller)
{
	struct object object;

	if (locate(heap, ptr, &object))
		report(heap, BSA_FOUND_REFUSED, why, &object, NULL, caller);
}

/*
 * Red zones and poison
 */

static bool is_damaged(const void *from, size_t nr, u8 byte,
		       struct damage *damage)
{
	const u8 *last = from + nr - 1;

	kasan_disable_current();
	damage->at = nr ? memchr_inv(from, byte, nr) : NULL;
	if (damage->at) {
		while (*last == byte)
			last--;
		damage->nr = last - damage->at + 1;
		damage->byte = byte;
	}
	kasan_enable_current();
	return damage->at;
}

/* Is a free object as it was left? Report and repair it if not. */
static void check_free(struct bsa_heap *heap, const struct object *object,
		       unsigned long caller)
{
	size_t zone = zone_of(heap), nr = object->slot - zone;
	struct damage damage;

	if (bsa_debug_flag(heap, BSA_DEBUG_POISON) &&
	    is_damaged(object->ptr, nr, BSA_BYTE_FREE, &damage)) {
		report(heap, BSA_FOUND_FREE, "written after it was freed",
		       object, &damage, caller);
		bsa_fill(object->ptr, BSA_BYTE_FREE, nr);
	}
	if (is_damaged(object->ptr + nr, zone, BSA_BYTE_ZONE, &damage)) {
		report(heap, BSA_FOUND_BEHIND, "written behind its end", object,
		       &damage, caller);
		bsa_fill(object->ptr + nr, BSA_BYTE_ZONE, zone);
	}
}

/* Are the red zones around a live object as they were left? */
static void check_live(struct bsa_heap *heap, const struct object *object,
		       bool before, unsigned long caller)
{
	size_t slack = object->record->slack;
	u8 *end = object->ptr + object->slot;
	struct damage damage;

	if (!bsa_debug_flag(heap, BSA_DEBUG_ZONES))
		return;
	if (is_damaged(end - slack, slack, BSA_BYTE_ZONE, &damage)) {
		report(heap, BSA_FOUND_BEHIND, "written behind its end", object,
		       &damage, caller);
		bsa_fill(end - slack, BSA_BYTE_ZONE, slack);
	}
	if (before && is_damaged(object->ptr - BSA_ZONE, BSA_ZONE,
				 BSA_BYTE_ZONE, &damage)) {
		report(heap, BSA_FOUND_BEFORE, "written before its start",
		       object, &damage, caller);
		bsa_fill(object->ptr - BSA_ZONE, BSA_BYTE_ZONE, BSA_ZONE);
	}
}

/* Nobody has these pages any more. */
static void poison_pages(struct bsa_buddy *buddy, struct bsa_page *page)
{
	struct bsa_side *side = side_of(buddy, page);
	unsigned long i;

	bsa_fill(bsa_page_address(buddy, page), BSA_BYTE_FREE,
		 PAGE_SIZE << page->order);
	for (i = 0; i < 1UL << page->order; i++)
		side[i].poisoned = true;
}

/**
 * bsa_debug_take_pages - check that free pages have not been written to
 * @buddy: of any heap, or of none
 * @page: first page of a block that is about to be used
 */
void bsa_debug_take_pages(struct bsa_buddy *buddy, struct bsa_page *page)
{
	struct bsa_heap *heap;
	struct object object;
	struct damage damage;
	struct bsa_side *side;
	unsigned long i;

	if (!buddy->side_size)
		return;
	heap = container_of(buddy, struct bsa_heap, buddy);
	side = side_of(buddy, page);
	object.ptr = bsa_page_address(buddy, page);
	object.slot = PAGE_SIZE;
	for (i = 0; i < 1UL << page->order; i++, object.ptr += PAGE_SIZE) {
		if (!side[i].poisoned)
			continue;
		side[i].poisoned = false;
		object.record = &side[i].record;
		if (is_damaged(object.ptr, PAGE_SIZE, BSA_BYTE_FREE, &damage))
			report(heap, BSA_FOUND_FREE,
			       "page written after it was freed", &object,
			       &damage, 0);
	}
}

/*
 * Slabs
 */

static unsigned int nr_records(const struct bsa_page *page, unsigned int class)
{
	return min_t(unsigned int, (PAGE_SIZE << page->order) /
		     bsa_class_unit(class), BSA_MAX_OBJECTS);
}

/**
 * bsa_debug_table_order - log2 of the pages that a slab's table takes
 * @page: first page of what is to be the slab
 * @class: its size class
 */
unsigned int bsa_debug_table_order(const struct bsa_page *page,
				   unsigned int class)
{
	return get_order(nr_records(page, class) * sizeof(struct bsa_record));
}

/* Step through the slots of a slab, the first one included. */
static bool next_slot(struct bsa_heap *heap, struct bsa_page *slab,
		      struct object *object)
{
	struct bsa_side *side = side_of(&heap->buddy, slab);
	unsigned int units = units_of(slab), index;

	if (!object->ptr) {
		object->ptr = bsa_page_address(&heap->buddy, slab);
		object->slot = bsa_class_size(slab->class);
		object->record = side->table;
		return true;
	}
	object->ptr += object->slot;
	object->record += units;
	index = object->record - side->table;
	return index + units <= nr_records(slab, slab->class);
}

/**
 * bsa_debug_start_slab - prepare a slab that nobody has allocated from
 * @heap: the heap, whose shared lock is held
 * @class: where the slab has become the active one
 * @slab: the slab
 * @table: pages for its table
 */
void bsa_debug_start_slab(struct bsa_heap *heap, struct bsa_class *class,
			  struct bsa_page *slab, struct bsa_page *table)
{
	struct bsa_side *side = side_of(&heap->buddy, slab);
	size_t zone = zone_of(heap);
	size_t size = PAGE_SIZE << table->order;
	struct object object = {};
	void *records;

	bsa_debug_take_pages(&heap->buddy, slab);
	bsa_debug_take_pages(&heap->buddy, table);
	records = bsa_page_address(&heap->buddy, table);
	bsa_unpoison(records, size, size);
	memset(records, 0, size);
	WRITE_ONCE(side->table, records);
	heap->debug->nr_tables++;

	while (next_slot(heap, slab, &object)) {
		if (bsa_debug_flag(heap, BSA_DEBUG_POISON))
			bsa_fill(object.ptr, BSA_BYTE_FREE, object.slot - zone);
		bsa_fill(object.ptr + object.slot - zone, BSA_BYTE_ZONE, zone);
	}
	if (!zone)
		return;
	/* The first slot is nobody's, and no object as far as others know. */
	bsa_fill(bsa_page_address(&heap->buddy, slab), BSA_BYTE_ZONE,
		 object.slot);
	__clear_bit(0, slab->free);
	slab->capacity--;
	class->given--;
}

/**
 * bsa_debug_stop_slab - a slab without a live object is about to be given back
 * @heap: the heap, whose shared lock is held
 * @slab: the slab, which is nobody's
 *
 * Return: the pages of its table, which the caller gives back.
 */
struct bsa_page *bsa_debug_stop_slab(struct bsa_heap *heap,
				     struct bsa_page *slab)
{
	struct bsa_side *side = side_of(&heap->buddy, slab);
	struct bsa_page *table = bsa_page_of(side->table);
	struct object object = {};
	struct damage damage;
	unsigned long i;

	next_slot(heap, slab, &object);
	if (!zone_of(heap))
		check_free(heap, &object, 0);
	else if (is_damaged(object.ptr, object.slot, BSA_BYTE_ZONE, &damage))
		report(heap, BSA_FOUND_BEFORE, "written before the first object",
		       &object, &damage, 0);
	while (next_slot(heap, slab, &object))
		check_free(heap, &object, 0);

	bsa_poison(side->table, PAGE_SIZE << table->order);
	WRITE_ONCE(side->table, NULL);
	heap->debug->nr_tables--;
	for (i = 0; i < 1UL << slab->order; i++)
		memset(&side[i].record, 0, sizeof(side[i].record));
	if (bsa_debug_flag(heap, BSA_DEBUG_POISON)) {
		poison_pages(&heap->buddy, slab);
		poison_pages(&heap->buddy, table);
	}
	return table;
}

/**
 * bsa_debug_take_random - take any free object from the current word of a class
 * @heap: the heap, whose shared lock is held
 * @class: of the shared set
 *
 * Return: the object, or NULL where bsa_class_take() would have none.
 */
void *bsa_debug_take_random(struct bsa_heap *heap, struct bsa_class *class)
{
	unsigned long *word = class->free;
	unsigned long ready = *word & ~READ_ONCE(word[BSA_REMOTE]);
	unsigned int skip;
	unsigned long bit;

	if (!ready)
		return NULL;
	skip = prandom_u32_state(&heap->debug->random) % hweight_long(ready);
	while (skip--)
		ready &= ready - 1;
	bit = __ffs(ready);
	WRITE_ONCE(*word, *word & ~BIT(bit));
	return (void *)(bsa_hidden(class->base) + bit * class->unit);
}

/*
 * Objects
 */

/**
 * bsa_debug_slot - the size to allocate in place of another
 * @heap: the heap
 * @size: what was asked for
 * @align: its alignment; that of a power of two is made explicit
 *
 * Return: @size and room for a red zone; more than BSA_MAX_OBJECT if no slab has
 * that. Where there is none of ours, KASAN may want one.
 */
size_t bsa_debug_slot(struct bsa_heap *heap, size_t size, size_t *align)
{
	if (!zone_of(heap) || size > BSA_MAX_OBJECT)
		return bsa_with_redzone(size);
	if (is_power_of_2(size))
		*align = max(size, *align);
	return size + BSA_ZONE;
}

/**
 * bsa_debug_alloc - an object has been allocated
 * @heap: the heap
 * @obj: the object
 * @size: bytes that were asked for
 * @zero: they are to be zero
 * @caller: who gets it
 */
void bsa_debug_alloc(struct bsa_heap *heap, void *obj, size_t size, bool zero,
		     unsigned long caller)
{
	struct bsa_record *record;
	struct object object;

	if (!locate(heap, obj, &object))
		return;
	check_free(heap, &object, caller);
	record = object.record;
	record->slack = object.slot - size;
	set_track(heap, &record->alloc, caller);
	record->freed.kind = BSA_TRACK_NONE;
	if (zero)
		bsa_clear(obj, zone_of(heap) ? size : object.slot);
	else if (bsa_debug_flag(heap, BSA_DEBUG_POISON))
		bsa_fill(obj, BSA_BYTE_FRESH, size);
	if (zone_of(heap))
		bsa_fill(obj + size, BSA_BYTE_ZONE, record->slack);
	/* Whoever looks at live objects finds the rest complete. */
	smp_store_release(&record->state, BSA_RECORD_LIVE);
}

/**
 * bsa_debug_free - an object is about to be freed
 * @heap: the heap
 * @slab: the slab of the page that @ptr lies in
 * @ptr: any address in it
 * @caller: who frees it
 *
 * Context: any; preemption is off.
 * Return: false if it is no live object. Of several who free one at once only one
 * gets true.
 */
bool bsa_debug_free(struct bsa_heap *heap, struct bsa_page *slab,
		    const void *ptr, unsigned long caller)
{
	struct bsa_record *record;
	struct object object;

	if (bsa_slab_is_interior(slab, bsa_slab_index(slab, ptr)) ||
	    !locate(heap, ptr, &object))
		return false;
	record = object.record;
	if (cmpxchg(&record->state, BSA_RECORD_LIVE, BSA_RECORD_CLAIMED) !=
	    BSA_RECORD_LIVE)
		return false;
	check_live(heap, &object, true, caller);
	set_track(heap, &record->freed, caller);
	if (bsa_debug_flag(heap, BSA_DEBUG_POISON))
		bsa_fill(object.ptr, BSA_BYTE_FREE,
			 object.slot - zone_of(heap));
	else if (want_init_on_free())
		bsa_clear(object.ptr, object.slot - zone_of(heap));
	/* As above, for whoever frees it a second time. */
	smp_store_release(&record->state, BSA_RECORD_FREE);
	return true;
}

/**
 * bsa_debug_size - bytes that were asked for
 * @heap: the heap
 * @ptr: the start of an object or block that is not free
 * @size: its bytes
 *
 * Return: 0 if it is in quarantine.
 */
size_t bsa_debug_size(struct bsa_heap *heap, const void *ptr, size_t size)
{
	struct object object;

	if (!locate(heap, ptr, &object))
		return size;
	if (READ_ONCE(object.record->state) != BSA_RECORD_LIVE)
		return 0;
	return size - object.record->slack;
}

/*
 * Blocks of pages
 */

/**
 * bsa_debug_alloc_pages - a block of pages has been allocated
 * @heap: the heap
 * @page: its first page
 * @nr: pages that were asked for
 * @caller: who gets it
 *
 * Return: bytes that were asked for.
 */
size_t bsa_debug_alloc_pages(struct bsa_heap *heap, struct bsa_page *page,
			     unsigned long nr, unsigned long caller)
{
	struct bsa_record *record = &side_of(&heap->buddy, page)->record;
	void *addr = bsa_page_address(&heap->buddy, page);
	size_t size = nr << PAGE_SHIFT;

	bsa_debug_take_pages(&heap->buddy, page);
	set_track(heap, &record->alloc, caller);
	record->freed.kind = BSA_TRACK_NONE;
	if (bsa_debug_flag(heap, BSA_DEBUG_POISON))
		bsa_fill(addr, BSA_BYTE_FRESH, size);
	WRITE_ONCE(record->state, BSA_RECORD_LIVE);
	bsa_debug_set_size(heap, addr, size);
	return size;
}

/**
 * bsa_debug_set_size - less than a whole block was asked for
 * @heap: the heap
 * @addr: the block
 * @size: bytes
 */
void bsa_debug_set_size(struct bsa_heap *heap, void *addr, size_t size)
{
	struct object object;

	if (!locate(heap, addr, &object))
		return;
	object.record->slack = object.slot - size;
	if (zone_of(heap))
		bsa_fill(addr + size, BSA_BYTE_ZONE, object.record->slack);
}

/**
 * bsa_debug_shrink - an object or a block stays where it is, and gets smaller
 * @heap: the heap
 * @ptr: its start
 * @size: bytes, not more than before
 * @caller: who asked for it
 */
void bsa_debug_shrink(struct bsa_heap *heap, void *ptr, size_t size,
		      unsigned long caller)
{
	struct object object;

	if (!locate(heap, ptr, &object))
		return;
	/* Afterwards nobody can tell any more. */
	check_live(heap, &object, false, caller);
	bsa_debug_set_size(heap, ptr, size);
}

/**
 * bsa_debug_free_pages - a block of pages is about to be freed
 * @heap: the heap
 * @page: its first page; nobody else has it
 * @caller: who frees it
 *
 * Context: any; preemption is off.
 */
void bsa_debug_free_pages(struct bsa_heap *heap, struct bsa_page *page,
			  unsigned long caller)
{
	struct bsa_side *side = side_of(&heap->buddy, page);
	struct object object = {
		.ptr = bsa_page_address(&heap->buddy, page),
		.slot = PAGE_SIZE << page->order,
		.record = &side->record,
	};
	unsigned long i;

	check_live(heap, &object, false, caller);
	set_track(heap, &side->record.freed, caller);
	side->record.state = BSA_RECORD_FREE;
	if (!bsa_debug_flag(heap, BSA_DEBUG_POISON)) {
		if (want_init_on_free())
			bsa_clear(object.ptr, object.slot);
		return;
	}
	poison_pages(&heap->buddy, page);
	/* Any of its pages may be part of another block next. */
	for (i = 1; i < 1UL << page->order; i++)
		side[i].record = side->record;
}

/*
 * Quarantine
 */

/**
 * bsa_debug_hold - put something that was freed into quarantine
 * @heap: the heap
 * @ptr: the object or block
 *
 * bsa_debug_release() is to follow.
 *
 * Context: any; preemption is off.
 * Return: false if it is to be freed at once.
 */
bool bsa_debug_hold(struct bsa_heap *heap, const void *ptr)
{
	struct bsa_debug *debug = heap->debug;
	size_t max = heap->buddy.total_pages * (PAGE_SIZE / BSA_QUARANTINE_PART);
	struct object object;
	unsigned long flags;
	bool hold;

	if (!(debug->flags & BSA_DEBUG_QUARANTINE) || in_nmi() ||
	    !locate(heap, ptr, &object) || object.slot > max)
		return false;
	raw_spin_lock_irqsave(&debug->lock, flags);
	hold = debug->nr_held < BSA_QUARANTINE;
	if (hold) {
		debug->held[(debug->first + debug->nr_held++) %
			    BSA_QUARANTINE] = ptr;
		debug->held_bytes += object.slot;
		debug->max_bytes = max;
		debug->nr_held_blocks += bsa_page_of(ptr)->owner == BSA_NOBODY;
		object.record->state = BSA_RECORD_HELD;
	}
	raw_spin_unlock_irqrestore(&debug->lock, flags);
	return hold;
}

/**
 * bsa_debug_release - take out of quarantine what has been there for longest
 * @heap: the heap
 * @all: also if there is room for more
 *
 * Context: any but NMI.
 * Return: what the caller is to free now; NULL if nothing.
 */
const void *bsa_debug_release(struct bsa_heap *heap, bool all)
{
	struct bsa_debug *debug = heap->debug;
	const void *ptr = NULL;
	struct object object;
	unsigned long flags;

	raw_spin_lock_irqsave(&debug->lock, flags);
	if (debug->nr_held &&
	    (all || debug->nr_held == BSA_QUARANTINE ||
	     debug->held_bytes > debug->max_bytes)) {
		ptr = debug->held[debug->first];
		debug->held[debug->first] = NULL;
		debug->first = (debug->first + 1) % BSA_QUARANTINE;
		debug->nr_held--;
		debug->nr_held_blocks -= bsa_page_of(ptr)->owner == BSA_NOBODY;
		if (locate(heap, ptr, &object)) {
			debug->held_bytes -= object.slot;
			object.record->state = BSA_RECORD_FREE;
		}
	}
	raw_spin_unlock_irqrestore(&debug->lock, flags);
	return ptr;
}

/**
 * bsa_debug_held_pages - pages of blocks in quarantine
 * @heap: the heap
 * @section: index of the section that they belong to; -1: any
 *
 * Context: any but NMI.
 */
unsigned long bsa_debug_held_pages(struct bsa_heap *heap, int section)
{
	struct bsa_debug *debug = heap->debug;
	const struct bsa_page *page;
	unsigned long flags, nr = 0;
	unsigned int i;

	raw_spin_lock_irqsave(&debug->lock, flags);
	for (i = 0; i < debug->nr_held; i++) {
		page = bsa_page_of(debug->held[(debug->first + i) %
					       BSA_QUARANTINE]);
		if (page->owner == BSA_NOBODY &&
		    (section < 0 || page->section == section))
			nr += 1UL << page->order;
	}
	raw_spin_unlock_irqrestore(&debug->lock, flags);
	return nr;
}

/*
 * For those who look
 */

static bool slot_is_damaged(struct bsa_heap *heap, const struct object *object,
			    bool first, struct damage *damage)
{
	size_t zone = zone_of(heap);

	if (first && zone)
		return is_damaged(object->ptr, object->slot, BSA_BYTE_ZONE,
				  damage);
	if (READ_ONCE(object->record->state) == BSA_RECORD_LIVE)
		zone = zone ? object->record->slack : 0;
	else if (bsa_debug_flag(heap, BSA_DEBUG_POISON) &&
		 is_damaged(object->ptr, object->slot - zone, BSA_BYTE_FREE,
			    damage))
		return true;
	return is_damaged(object->ptr + object->slot - zone, zone,
			  BSA_BYTE_ZONE, damage);
}

/**
 * bsa_debug_validate - check red zones and poison of a slab or block
 * @heap: the heap; all CPUs are stopped
 * @page: the first page
 * @tell: called for each place that was overwritten
 * @arg: its first argument
 */
void bsa_debug_validate(struct bsa_heap *heap, struct bsa_page *page,
			void (*tell)(void *arg, const void *at, size_t nr),
			void *arg)
{
	struct bsa_side *side = side_of(&heap->buddy, page);
	void *addr = bsa_page_address(&heap->buddy, page);
	struct object object = {};
	struct damage damage;
	bool first = true;
	unsigned long i;

	if (bsa_page_is_slab(page)) {
		for (; side->table && next_slot(heap, page, &object);
		     first = false)
			if (slot_is_damaged(heap, &object, first, &damage))
				tell(arg, damage.at, damage.nr);
		return;
	}
	object.ptr = addr;
	object.slot = PAGE_SIZE << page->order;
	object.record = &side->record;
	if (page->state == BSA_PAGE_ALLOCATED && zone_of(heap) &&
	    side->record.state == BSA_RECORD_LIVE &&
	    is_damaged(addr + object.slot - side->record.slack,
		       side->record.slack, BSA_BYTE_ZONE, &damage))
		tell(arg, damage.at, damage.nr);
	for (i = 0; i < 1UL << page->order; i++)
		if (side[i].poisoned &&
		    is_damaged(addr + i * PAGE_SIZE, PAGE_SIZE, BSA_BYTE_FREE,
			       &damage))
			tell(arg, damage.at, damage.nr);
}

/* Call chains that are told apart; what others hold is added up. */
#define MAX_CHAINS	509

/* Of so many the log tells at unload. */
#define MAX_LOGGED	8

/**
 * struct chain - what was allocated by one call chain and is live
 * @where: as in struct bsa_track
 * @kind: as in struct bsa_track; BSA_TRACK_NONE: not in use
 * @oldest: of the oldest allocation, &bsa_track.when
 * @nr: how many
 * @bytes: that were asked for
 */
struct chain {
	u32 where;
	u8 kind;
	u32 oldest;
	unsigned long nr;
	size_t bytes;
};

/**
 * struct collection - what is live in a heap, by call chain
 * @client: only what this one has allocated; NULL: everything
 * @chain: a hash table at first, then sorted; the last is for all others
 * @text: room to say it
 */
struct collection {
	const struct client *client;
	struct chain chain[MAX_CHAINS + 1];
	char text[BSA_REPORT_LEN];
};

/* Has the client had a part in it? NULL: any client. */
static bool is_by(const struct bsa_track *track, const struct client *client)
{
	unsigned long one, *entries;
	unsigned int i, nr;

	if (!client)
		return true;
	nr = fetch_chain(track->kind, track->where, &one, &entries);
	for (i = 0; i < nr; i++)
		if (has_code(client, entries[i]))
			return true;
	return false;
}

static void collect(struct collection *all, const struct bsa_record *record,
		    size_t slot)
{
	const struct bsa_track *track = &record->alloc;
	unsigned int i, at = track->where % MAX_CHAINS;
	struct chain *chain = &all->chain[MAX_CHAINS];

	if (READ_ONCE(record->state) != BSA_RECORD_LIVE ||
	    !is_by(track, all->client))
		return;
	for (i = 0; i < MAX_CHAINS; i++, at = (at + 1) % MAX_CHAINS) {
		if (all->chain[at].kind == BSA_TRACK_NONE ||
		    (all->chain[at].where == track->where &&
		     all->chain[at].kind == track->kind)) {
			chain = &all->chain[at];
			break;
		}
	}
	if (!chain->nr) {
		chain->where = track->where;
		chain->kind = track->kind;
		chain->oldest = track->when;
	}
	if ((s32)(track->when - chain->oldest) < 0)
		chain->oldest = track->when;
	chain->nr++;
	chain->bytes += slot - record->slack;
}

static void collect_page(struct bsa_heap *heap, struct bsa_page *page,
			 struct collection *all)
{
	struct bsa_side *side = side_of(&heap->buddy, page);
	unsigned int order = READ_ONCE(page->order);
	struct object object = {};
	unsigned long flags;

	raw_spin_lock_irqsave(&heap->shared.lock, flags);
	/* A page inside a block has no order. */
	if (!side->table && order <= BSA_MAX_PAGE_ORDER)
		collect(all, &side->record, PAGE_SIZE << order);
	else if (side->table)
		while (next_slot(heap, page, &object))
			collect(all, object.record, object.slot);
	raw_spin_unlock_irqrestore(&heap->shared.lock, flags);
}

static int by_bytes(const void *a, const void *b)
{
	const struct chain *one = a, *other = b;

	if (one->bytes != other->bytes)
		return one->bytes < other->bytes ? 1 : -1;
	return 0;
}

/* Return what is live of a heap, by call chain; NULL without memory for it. */
static struct collection *collect_heap(struct bsa_heap *heap,
				       const struct client *client)
{
	struct collection *all = kvzalloc(sizeof(*all), GFP_KERNEL);
	struct bsa_section *section;
	unsigned long page;
	unsigned int i;

	if (!all)
		return NULL;
	all->client = client;
	for (i = 0; i < heap->buddy.nr_sections; i++) {
		section = heap->buddy.section[i];
		for (page = 0; page < section->range.nr_pages; page++)
			collect_page(heap, &section->range.pages[page], all);
	}
	sort(all->chain, ARRAY_SIZE(all->chain), sizeof(*all->chain), by_bytes,
	     NULL);
	return all;
}

static void show_collection(struct bsa_heap *heap, struct collection *all,
			    struct seq_file *m)
{
	struct chain *chain;
	unsigned int i;
	size_t len;

	for (i = 0; i < (m ? ARRAY_SIZE(all->chain) : MAX_LOGGED); i++) {
		chain = &all->chain[i];
		if (!chain->nr)
			break;
		len = say(all->text, 0, "%lu objects, %zu bytes, for up to %u ms, from\n",
			  chain->nr, chain->bytes, now_ms() - chain->oldest);
		say_chain(all->text, len, chain->kind, chain->where);
		if (m)
			seq_puts(m, all->text);
		else
			print_lines(heap, all->text);
	}
}

/**
 * bsa_debug_show_objects - what is live, by call chain, the largest part first
 * @heap: the heap
 * @m: where to; NULL: the first few to the log
 *
 * Context: process, may sleep.
 */
void bsa_debug_show_objects(struct bsa_heap *heap, struct seq_file *m)
{
	struct collection *all = collect_heap(heap, NULL);

	if (all)
		show_collection(heap, all, m);
	kvfree(all);
}
EXPORT_SYMBOL_IF_KUNIT(bsa_debug_show_objects);

static const struct client *find_client(const struct module *module)
{
	const struct client *client;

	list_for_each_entry(client, &clients, node)
		if (!strcmp(client->name, module->name) &&
		    client->text == (unsigned long)BSA_MODULE_TEXT(module))
			return client;
	return NULL;
}

/**
 * bsa_debug_client_comes - note down where a client has its code
 * @module: the client, before its first call
 *
 * Context: process, may sleep; one at a time.
 */
void bsa_debug_client_comes(const struct module *module)
{
	struct client *client;

	if (!static_branch_unlikely(&bsa_debug_key))
		return;
	client = kzalloc(sizeof(*client), GFP_KERNEL);
	if (!client)
		return;
	strscpy(client->name, module->name, sizeof(client->name));
	client->text = (unsigned long)BSA_MODULE_TEXT(module);
	client->size = BSA_MODULE_TEXT_SIZE(module);
	client->init = (unsigned long)BSA_MODULE_INIT(module);
	client->init_size = BSA_MODULE_INIT_SIZE(module);
	list_add_rcu(&client->node, &clients);
}

/**
 * bsa_debug_client_gone - say what a client leaves behind
 * @heap: the heap
 * @module: the client, which calls nothing any more and still has names
 *
 * Context: process, may sleep; one at a time.
 */
void bsa_debug_client_gone(struct bsa_heap *heap, const struct module *module)
{
	const struct client *client = find_client(module);
	struct collection *all;

	if (!client)
		return;
	all = collect_heap(heap, client);
	if (all && all->chain[0].nr) {
		pr_err("%s: %s is gone, and has not freed this:\n", heap->name,
		       client->name);
		show_collection(heap, all, NULL);
	}
	kvfree(all);
}

/**
 * bsa_debug_forget_clients - there are no heaps any more
 */
void bsa_debug_forget_clients(void)
{
	struct client *client, *next;

	list_for_each_entry_safe(client, next, &clients, node)
		kfree(client);
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
