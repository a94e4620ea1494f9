// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is said about misuse, and how much of it
 *
 * Each heap has a limit of its own for how much is printed; what is not printed is
 * counted, by kind, and the next line tells how much it was. A free that is
 * refused is reported always; with debug= the report says who allocated and who
 * freed, and there are reports of bytes that were overwritten.
 *
 * A report is put together in the heap's own buffer by one CPU at a time; others
 * who have something to say meanwhile count it, and go on. No lock is held and no
 * interrupts are turned off for it.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <bsa/compat.h>
#include <bsa/debug.h>
#include <bsa/tools.h>
#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/sched/clock.h>

/* Calls in a chain. */
#define MAX_DEPTH	16

/* Bytes that a report shows. */
#define MAX_BYTES	16

/*
 * How much is printed
 */

/**
 * bsa_print_missed - tell how many messages were not printed
 * @heap: the heap
 * @limit: of which kind
 */
void bsa_print_missed(struct bsa_heap *heap, struct bsa_limit *limit)
{
	int missed = atomic_xchg(&limit->missed, 0);

	if (missed)
		pr_err("%s: %d more %s not printed\n", heap->name, missed,
		       limit == &heap->reported ? "reports of misuse were" :
						  "failures were");
}

/**
 * bsa_may_print - may another message be printed?
 * @heap: the heap
 * @limit: of which kind
 *
 * Context: any.
 */
bool bsa_may_print(struct bsa_heap *heap, struct bsa_limit *limit)
{
	unsigned long since = READ_ONCE(limit->since), now = jiffies | 1;

	if ((!since || time_after(now, since + BSA_LIMIT_SECONDS * HZ)) &&
	    cmpxchg(&limit->since, since, now) == since) {
		bsa_print_missed(heap, limit);
		atomic_set(&limit->printed, 0);
	}
	if (atomic_read(&limit->printed) < BSA_LIMIT_MESSAGES &&
	    atomic_inc_return(&limit->printed) <= BSA_LIMIT_MESSAGES)
		return true;
	atomic_inc(&limit->missed);
	return false;
}

/*
 * Who it was
 */

/* Addresses of code are within 2 GiB of each other. */
static s32 to_distance(unsigned long caller)
{
	return caller - (unsigned long)bsa_report;
}

static unsigned long from_distance(u32 where)
{
	return (unsigned long)bsa_report + (s32)where;
}

/**
 * bsa_now_ms - milliseconds of this CPU's clock
 */
u32 bsa_now_ms(void)
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

/**
 * bsa_set_track - note down who does something
 * @heap: the heap
 * @track: filled in
 * @caller: who has called
 */
void bsa_set_track(struct bsa_heap *heap, struct bsa_track *track,
		   unsigned long caller)
{
	u32 stack = 0;

	if (bsa_debug_flag(heap, BSA_DEBUG_OWNER))
		stack = save_stack();
	track->where = stack ?: to_distance(caller);
	track->kind = stack ? BSA_TRACK_STACK : BSA_TRACK_CALLER;
	track->generation = bsa_generation();
	track->when = bsa_now_ms();
	track->pid = current->pid;
	track->cpu = raw_smp_processor_id();
	track->context = in_nmi() ? 'n' : in_hardirq() ? 'h' :
			 in_serving_softirq() ? 's' : 't';
}

/**
 * bsa_fetch_chain - the calls that led to something
 * @track: who did it
 * @one: room for one, where there is no more
 * @entries: set to the first of them, the innermost
 *
 * Return: how many there are.
 */
unsigned int bsa_fetch_chain(const struct bsa_track *track, unsigned long *one,
			     unsigned long **entries)
{
	if (track->kind == BSA_TRACK_STACK)
		return bsa_stack_fetch(track->where, entries);
	*one = from_distance(track->where);
	*entries = one;
	return 1;
}

/*
 * What is said
 */

/**
 * bsa_say - add to a text of BSA_REPORT_LEN bytes
 * @text: the text
 * @len: its length
 * @format: as of printk()
 *
 * Return: its length then.
 */
size_t bsa_say(char *text, size_t len, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	len += vscnprintf(text + len, BSA_REPORT_LEN - len, format, args);
	va_end(args);
	return len;
}

/**
 * bsa_say_chain - add a line for each call
 * @text: the text
 * @len: its length
 * @track: whose calls
 *
 * Return: its length then.
 */
size_t bsa_say_chain(char *text, size_t len, const struct bsa_track *track)
{
	unsigned long one, *entries;
	unsigned int i, nr = bsa_fetch_chain(track, &one, &entries);

	for (i = 0; i < nr; i++)
		len = bsa_say_code(text, len, entries[i], track->generation);
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
	len = bsa_say(text, len, "  %s %u ms ago on CPU %u by pid %u (%s):\n",
		      what, bsa_now_ms() - track->when, track->cpu, track->pid,
		      context);
	return bsa_say_chain(text, len, track);
}

static size_t say_bytes(char *text, size_t len, const struct bsa_object *object,
			const struct bsa_damage *damage)
{
	const void *ptr = bsa_object_ptr(object);

	kasan_disable_current();
	len = bsa_say(text, len, "  %zu bytes from offset %td on:", damage->nr,
		      (const void *)damage->at - ptr);
	len = bsa_say(text, len, " %*ph%s instead of %02x\n",
		      (int)min_t(size_t, damage->nr, MAX_BYTES), damage->at,
		      damage->nr > MAX_BYTES ? " ..." : "", damage->byte);
	kasan_enable_current();
	return len;
}

/**
 * bsa_describe - say what is known about an object
 * @text: filled in, BSA_REPORT_LEN bytes
 * @what: what has happened to it
 * @object: the object; its record is one
 * @damage: what was overwritten; or NULL
 *
 * Return: the length of the text.
 */
size_t bsa_describe(char *text, const char *what,
		    const struct bsa_object *object,
		    const struct bsa_damage *damage)
{
	const struct bsa_record *record = object->record;
	size_t len;

	len = bsa_say(text, 0, "%s: %zu bytes at %p, in a slot of %zu\n", what,
		      bsa_object_size(object), bsa_object_ptr(object),
		      object->room);
	if (damage)
		len = say_bytes(text, len, object, damage);
	len = say_track(text, len, "allocated", &record->alloc);
	return say_track(text, len, "freed", &record->freed);
}

/**
 * bsa_print_lines - print a text, one line at a time
 * @heap: what it is about
 * @text: the text
 */
void bsa_print_lines(struct bsa_heap *heap, const char *text)
{
	const char *end;

	for (; *text; text = *end ? end + 1 : end) {
		end = strchrnul(text, '\n');
		pr_err("%s: %.*s\n", heap->name, (int)(end - text), text);
	}
}

/* Put a report together; print it, if that is wanted. */
static noinline void make_report(struct bsa_heap *heap, const char *what,
				 const struct bsa_object *object,
				 const struct bsa_damage *damage,
				 unsigned long caller, bool print)
{
	struct bsa_debug *debug = heap->debug;
	char *text = debug->text;
	struct bsa_track now;
	size_t len;

	if (test_and_set_bit_lock(0, &debug->reporting)) {
		atomic_add(print, &heap->reported.missed);
		return;
	}
	len = bsa_describe(text, what, object, damage);
	if (caller)
		len = bsa_say(text, len, "  found by %pS, on CPU %u by pid %u\n",
			      (void *)caller, raw_smp_processor_id(),
			      current->pid);
	if (!damage) {
		bsa_set_track(heap, &now, caller);
		bsa_say_chain(text, len, &now);
	}
	if (print)
		bsa_print_lines(heap, text);
	clear_bit_unlock(0, &debug->reporting);
}

/**
 * bsa_report - count what was found, say what it is and who it was
 * @heap: with debug=
 * @finding: what it is about
 * @what: the same in words
 * @object: where it was found
 * @damage: what was overwritten
 * @caller: who has called; or 0
 *
 * Context: any.
 */
void bsa_report(struct bsa_heap *heap, enum bsa_finding finding,
		const char *what, const struct bsa_object *object,
		const struct bsa_damage *damage, unsigned long caller)
{
	atomic_long_inc(&heap->debug->found[finding]);
	make_report(heap, what, object, damage, caller,
		    bsa_may_print(heap, &heap->reported));
}

/* Say more about a free that was refused, and what has led to that. */
static void report_refused(struct bsa_heap *heap, const void *ptr,
			   const char *why, unsigned long caller, bool print)
{
	struct bsa_object object;
	struct bsa_damage damage;
	bool found;

	preempt_disable();
	found = bsa_record_locate(heap, ptr, &object);
	preempt_enable();
	if (!found)
		return;
	if (!object.is_block &&
	    bsa_record_state(heap, &object) == BSA_RECORD_NONE) {
		static struct bsa_record nothing;

		/* It was never allocated; or who has it has overwritten that. */
		damage.at = (const u8 *)object.record;
		damage.nr = sizeof(*object.record);
		damage.byte = 0;
		object.record = &nothing;
		if (bsa_plain_size(heap, object.start))
			bsa_report(heap, BSA_FOUND_BEHIND,
				   "what was known about it is overwritten",
				   &object, &damage, caller);
		return;
	}
	atomic_long_inc(&heap->debug->found[BSA_FOUND_REFUSED]);
	make_report(heap, why, &object, NULL, caller, print);
}

/**
 * bsa_refuse_free - count a free that is refused, and say why
 * @heap: the heap
 * @ptr: what was to be freed
 * @why: the reason
 * @caller: who tried it
 *
 * Context: any.
 */
void bsa_refuse_free(struct bsa_heap *heap, const void *ptr,
		     enum bsa_refused why, unsigned long caller)
{
	static const char * const reason[] = {
		[BSA_FREE_FOREIGN] = "no heap manages it",
		[BSA_FREE_OTHER_HEAP] = "another heap manages it",
		[BSA_FREE_INTERIOR] = "not the start of an allocation",
		[BSA_FREE_DOUBLE] = "it is free already",
		[BSA_FREE_OBJECT] = "not a page allocation",
		[BSA_FREE_COUNT] = "another number of pages was asked for",
		[BSA_FREE_UNCLEAR] = "not a live allocation",
	};
	bool print = bsa_may_print(heap, &heap->reported);

	this_cpu_inc(heap->cpu->refused[why]);
	if (print)
		pr_err("%s: free of %p refused: %s (caller %pS)\n", heap->name,
		       ptr, reason[why], (void *)caller);
	if (bsa_debug_on(heap))
		report_refused(heap, ptr, reason[why], caller, print);
}
