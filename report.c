// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is said about misuse, how much of it, and who it was
 *
 * Each heap has a limit of its own for how much is printed; what is not printed is
 * counted, by kind, and the next line tells how much it was. A free that is
 * refused is reported always; with debug= the report says who allocated and who
 * freed, and there are reports of bytes that were overwritten, and of who holds what.
 *
 * A report is put together in the heap's own buffer by one CPU at a time; others
 * who have something to say meanwhile count it, and go on. No lock is held and no
 * interrupts are turned off for it.
 *
 * An allocation belongs to the module whose code has called: the innermost call of
 * its chain that is not bsa's own. Others further out have only passed through.
 *
 * Modules come and go, and one may be loaded where another was. So each time that
 * one comes, has run its init function, or goes, the generation is counted up, and
 * each allocation notes down the generation that it was made in. An address and a
 * generation are one module's, or nobody's: then nobody is named.
 *
 * Only modules that come while a heap is watched are known; a module that is gone
 * is forgotten unless it has left something behind. They come and go one at a time,
 * which the caller sees to, and the list of them is read under RCU.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <bsa/compat.h>
#include <bsa/debug.h>
#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/rculist.h>
#include <linux/sched/clock.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/sort.h>

/* Calls in a chain. */
#define MAX_DEPTH	16

/* Call chains that are told apart; what others hold is added up. */
#define MAX_CHAINS	509

/* Of so many the log tells at unload. */
#define MAX_LOGGED	8

/*
 * How much is printed
 */

/* Tell how many messages of one kind were not printed. */
void bsa_print_missed(struct bsa_heap *heap, struct bsa_limit *limit)
{
	/* No order is needed: it only counts. */
	int missed = atomic_xchg(&limit->missed, 0);

	if (missed)
		pr_err("%s: %d more %s not printed\n", heap->name, missed,
		       limit == &heap->reported ? "reports of misuse were" :
						  "failures were");
}

/* May another message of one kind be printed? No order is needed: it only counts. */
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

/* Add to a text of BSA_REPORT_LEN bytes that is @len long; return its length then. */
size_t bsa_say(char *text, size_t len, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	len += vscnprintf(text + len, BSA_REPORT_LEN - len, format, args);
	va_end(args);
	return len;
}

/* Print a text about a heap, one line at a time. */
void bsa_print_lines(struct bsa_heap *heap, const char *text)
{
	const char *end;

	for (; *text; text = *end ? end + 1 : end) {
		end = strchrnul(text, '\n');
		pr_err("%s: %.*s\n", heap->name, (int)(end - text), text);
	}
}

/*
 * Modules come and go
 */

/**
 * struct client - where the code of a module is, or was
 * @name: the module's name
 * @text: its code
 * @size: bytes of that
 * @init: code that the kernel frees when it is loaded
 * @init_size: bytes of that
 * @born: generation that began when it came
 * @loaded: generation that began when @init was gone; 0: it is there
 * @died: generation that began when the module was gone; 0: it is there
 * @node: link in the list of modules
 * @rcu: to free it
 */
struct client {
	char name[MODULE_NAME_LEN];
	unsigned long text;
	unsigned long size;
	unsigned long init;
	unsigned long init_size;
	u32 born;
	u32 loaded;
	u32 died;
	struct list_head node;
	struct rcu_head rcu;
};

static LIST_HEAD(clients);
static u32 generation;

static u32 next_generation(void)
{
	WRITE_ONCE(generation, generation + 1);
	return generation;
}

/*
 * Whose code was at an address in a generation? NULL if that is not known; @others says
 * that it was somebody's in another one.
 */
static const struct client *find_code(unsigned long at, u32 when, bool *others)
{
	const struct client *client;
	bool init;
	u32 gone;

	*others = false;
	list_for_each_entry_rcu(client, &clients, node, true) {
		init = at - client->init < client->init_size;
		if (!init && at - client->text >= client->size)
			continue;
		gone = READ_ONCE(*(init ? &client->loaded : &client->died));
		if (client->born <= when && (!gone || gone > when))
			return client;
		*others = true;
	}
	return NULL;
}

/* The module of this name that is there. */
static struct client *find_client(const struct module *module)
{
	struct client *client;

	list_for_each_entry(client, &clients, node)
		if (!client->died && !strcmp(client->name, module->name))
			return client;
	return NULL;
}

/* Note down where a module has its code, before its first call. May sleep. */
void bsa_client_comes(const struct module *module)
{
	struct client *client;

	if (!static_branch_unlikely(&bsa_debug_key))
		return;
	client = kzalloc_obj(*client, GFP_KERNEL);
	if (!client)
		return;
	strscpy(client->name, module->name, sizeof(client->name));
	client->text = (unsigned long)BSA_MODULE_TEXT(module);
	client->size = BSA_MODULE_TEXT_SIZE(module);
	client->init = (unsigned long)BSA_MODULE_INIT(module);
	client->init_size = BSA_MODULE_INIT_SIZE(module);
	client->born = next_generation();
	list_add_rcu(&client->node, &clients);
}
EXPORT_SYMBOL_IF_KUNIT(bsa_client_comes);

/* The code of a module that was to run once is about to go. */
void bsa_client_is_loaded(const struct module *module)
{
	struct client *client = find_client(module);

	if (client)
		WRITE_ONCE(client->loaded, next_generation());
}

/* A module is gone, and has left something behind or not. */
void bsa_client_goes(const struct module *module, bool left)
{
	struct client *client = find_client(module);

	if (!client)
		return;
	WRITE_ONCE(client->died, next_generation());
	if (!client->loaded)
		WRITE_ONCE(client->loaded, client->died);
	if (left)
		return;
	list_del_rcu(&client->node);
	kfree_rcu(client, rcu);
}
EXPORT_SYMBOL_IF_KUNIT(bsa_client_goes);

/* There are no heaps any more. */
void bsa_forget_clients(void)
{
	struct client *client, *next;

	list_for_each_entry_safe(client, next, &clients, node)
		kfree(client);
}

/*
 * Who it was
 */

static u32 now_ms(void)
{
	return div_u64(local_clock(), NSEC_PER_MSEC);
}

/*
 * Save a call chain from the @caller of an exported call on; return 0 if that is not
 * possible here.
 */
static noinline u32 save_stack(unsigned long caller)
{
	unsigned long entries[MAX_DEPTH];
	unsigned int nr, ours;
	bool may_alloc;

	if (!BSA_HAS_STACKS || in_nmi())
		return 0;
	nr = bsa_stack_trace(entries, ARRAY_SIZE(entries), 2);
	/* The way from there to here is of no interest. */
	for (ours = 0; ours < nr && entries[ours] != caller; ours++)
		;
	if (ours == nr)
		ours = 0;
	/* May the stack depot ask the kernel for memory? */
	may_alloc = preemptible() || (!IS_ENABLED(CONFIG_PREEMPT_COUNT) &&
				      in_task() && !irqs_disabled());
	return bsa_stack_save(entries + ours, nr - ours, may_alloc);
}

/* Note down who does something. */
void bsa_set_track(struct bsa_heap *heap, struct bsa_track *track,
		   unsigned long caller)
{
	u32 stack = 0;

	if (bsa_debug_flag(heap, BSA_DEBUG_OWNER))
		stack = save_stack(caller);
	/* Addresses of code are within 2 GiB of each other. */
	track->where = stack ?: caller - (unsigned long)bsa_report;
	track->is_stack = stack;
	track->generation = READ_ONCE(generation);
	track->when = now_ms();
	track->pid = current->pid;
	track->cpu = raw_smp_processor_id();
	track->context = in_nmi() ? 3 : in_hardirq() ? 2 : !!in_serving_softirq();
}

/* The calls that led to something, the innermost first; @one is room for it alone. */
static unsigned int fetch_chain(const struct bsa_track *track,
				unsigned long *one, unsigned long **entries)
{
	if (track->is_stack)
		return bsa_stack_fetch(track->where, entries);
	*one = (unsigned long)bsa_report + (s32)track->where;
	*entries = one;
	return 1;
}

/*
 * Say which function an address was in, in a generation. Of code that is gone there
 * is no name any more, but perhaps that of other code which is there now.
 */
static size_t say_code(char *text, size_t len, unsigned long at, u32 when)
{
	const struct client *client;
	size_t end = len;
	bool others;

	rcu_read_lock();
	client = find_code(at, when, &others);
	if (client && client != find_code(at, READ_ONCE(generation), &others))
		end = bsa_say(text, len, "     code of %s that is gone\n",
			      client->name);
	else if (client || !others)
		end = bsa_say(text, len, "     %pS\n", (void *)at);
	rcu_read_unlock();
	/* An address that has no name is not shown. */
	if (end == len || !strncmp(text + len, "     0x", 7))
		end = bsa_say(text, len, "     code that is gone\n");
	return end;
}

static size_t say_chain(char *text, size_t len, const struct bsa_track *track)
{
	unsigned long one, *entries;
	unsigned int i, nr = fetch_chain(track, &one, &entries);

	for (i = 0; i < nr; i++)
		len = say_code(text, len, entries[i], track->generation);
	return len;
}

/*
 * What was found
 */

static size_t say_track(char *text, size_t len, const char *what,
			const struct bsa_track *track)
{
	static const char * const context[] = {
		"task", "softirq", "hardirq", "NMI"
	};

	if (!track->where)
		return len;
	len = bsa_say(text, len, "  %s %u ms ago on CPU %u by pid %u (%s):\n",
		      what, now_ms() - track->when, track->cpu, track->pid,
		      context[track->context % ARRAY_SIZE(context)]);
	return say_chain(text, len, track);
}

/* Say what is known about an object, and what was found; return the text's length. */
size_t bsa_describe(char *text, const struct bsa_object *object,
		    const struct bsa_found *found)
{
	void *ptr = bsa_object_ptr(object);
	size_t len;

	len = bsa_say(text, 0, "%s: %zu bytes at %p, in a slot of %zu\n",
		      found->what, bsa_object_size(object), ptr, object->room);
	if (found->nr)
		len = bsa_say(text, len, "  %zu bytes from offset %td on: %*ph%s instead of %02x\n",
			      found->nr, (void *)found->at - ptr,
			      (int)min_t(size_t, found->nr, BSA_SHOWN),
			      found->bytes, found->nr > BSA_SHOWN ? " ..." : "",
			      found->byte);
	len = say_track(text, len, "allocated", &object->was.alloc);
	return say_track(text, len, "freed", &object->was.freed);
}

/* Count what was found; put a report together; print it, if that is wanted. */
static noinline void make_report(const struct bsa_object *object,
				 const struct bsa_found *found,
				 unsigned long caller, bool print)
{
	struct bsa_heap *heap = object->heap;
	struct bsa_debug *debug = heap->debug;
	char *text = debug->text;
	struct bsa_track now;
	size_t len;

	atomic_long_inc(&debug->found[found->finding]);
	/* A lock of the kernel's kind. No order is needed besides. */
	if (test_and_set_bit_lock(0, &debug->reporting)) {
		atomic_add(print, &heap->reported.missed);
		return;
	}
	len = bsa_describe(text, object, found);
	len = bsa_say(text, len, "  found by %pS, on CPU %u by pid %u\n",
		      (void *)caller, raw_smp_processor_id(), current->pid);
	if (!found->nr) {
		bsa_set_track(heap, &now, caller);
		say_chain(text, len, &now);
	}
	if (print)
		bsa_print_lines(heap, text);
	/* No order is needed besides. */
	clear_bit_unlock(0, &debug->reporting);
}

/* Say what was found in an object, and who it was. @caller has called. Any context. */
void bsa_report(const struct bsa_object *object, const struct bsa_found *found,
		unsigned long caller)
{
	make_report(object, found, caller,
		    bsa_may_print(object->heap, &object->heap->reported));
}

/* Say more about a free that was refused, and what has led to that. */
static void report_refused(struct bsa_heap *heap, const void *ptr,
			   const char *why, unsigned long caller, bool print)
{
	struct bsa_found found = { .finding = BSA_FOUND_REFUSED, .what = why };
	struct bsa_object object;

	if (!bsa_record_locate(heap, ptr, &object))
		return;
	if (object.is_block || object.state != BSA_RECORD_NONE)
		make_report(&object, &found, caller, print);
	else if (bsa_record_is_lost(&object, &found))
		bsa_report(&object, &found, caller);
}

/* Count a free that is refused, and say why. Any context. */
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

/*
 * Who holds what
 */

/**
 * struct chain - what was allocated by one call chain and is live
 * @track: the call chain, and when the oldest one was allocated
 * @owner: the module that it belongs to, if that is known
 * @nr: how many
 * @bytes: that were asked for
 */
struct chain {
	struct bsa_track track;
	const struct client *owner;
	unsigned long nr;
	size_t bytes;
};

/**
 * struct collection - what is live in a heap, by call chain
 * @client: only what belongs to this one; NULL: everything
 * @nr: how many objects and blocks
 * @chain: the call chains; the last is for all that have no room
 * @text: room to say it
 */
struct collection {
	const struct client *client;
	unsigned long nr;
	struct chain chain[MAX_CHAINS + 1];
	char text[BSA_REPORT_LEN];
};

static void collect(struct collection *all, const struct bsa_object *object)
{
	const struct bsa_track *track = &object->was.alloc;
	struct chain *chain = all->chain;
	unsigned long one, *entries;
	const struct client *owner = NULL;
	bool others;

	if (fetch_chain(track, &one, &entries))
		owner = find_code(entries[0], track->generation, &others);
	if (all->client && all->client != owner)
		return;
	while (chain->nr && chain < all->chain + MAX_CHAINS &&
	       (chain->track.where != track->where ||
		chain->track.is_stack != track->is_stack ||
		chain->owner != owner))
		chain++;
	if (!chain->nr) {
		chain->track = *track;
		chain->owner = owner;
	}
	if ((s32)(track->when - chain->track.when) < 0)
		chain->track.when = track->when;
	chain->nr++;
	chain->bytes += bsa_object_size(object);
	all->nr++;
}

static void collect_page(struct bsa_heap *heap, void *page,
			 struct collection *all)
{
	struct bsa_object object = {};

	/* Neither a section nor a module goes meanwhile. */
	preempt_disable();
	while (bsa_record_step(heap, page, &object))
		if (object.state == BSA_RECORD_LIVE)
			collect(all, &object);
	preempt_enable();
}

static int by_bytes(const void *a, const void *b)
{
	size_t one = ((const struct chain *)a)->bytes;
	size_t other = ((const struct chain *)b)->bytes;

	return (one < other) - (one > other);
}

/*
 * Say what is live of a heap, or what belongs to a module that is gone; return how
 * many objects and blocks that is. By call chain, the largest part first; without @m
 * only the first few, to the log.
 */
static unsigned long show(struct bsa_heap *heap, const struct client *client,
			  struct seq_file *m)
{
	struct collection *all = kvzalloc_obj(*all, GFP_KERNEL);
	struct bsa_section_info info;
	unsigned long at, nr;
	struct chain *chain;
	unsigned int i;
	size_t len;

	if (!all)
		return 0;
	all->client = client;
	for (i = 0; !bsa_buddy_section(&heap->buddy, i, &info); i++) {
		for (at = 0; at < info.size; at += PAGE_SIZE) {
			collect_page(heap, (void *)info.start + at, all);
			cond_resched();
		}
	}
	sort(all->chain, ARRAY_SIZE(all->chain), sizeof(*all->chain), by_bytes,
	     NULL);
	if (client && all->nr)
		pr_err("%s: %s is gone, and has not freed this:\n", heap->name,
		       client->name);
	for (i = 0; i < (m ? ARRAY_SIZE(all->chain) : MAX_LOGGED); i++) {
		chain = &all->chain[i];
		if (!chain->nr)
			break;
		len = bsa_say(all->text, 0, "%lu objects, %zu bytes, for up to %u ms, from\n",
			      chain->nr, chain->bytes,
			      now_ms() - chain->track.when);
		say_chain(all->text, len, &chain->track);
		if (m)
			seq_puts(m, all->text);
		else
			bsa_print_lines(heap, all->text);
	}
	nr = all->nr;
	kvfree(all);
	return nr;
}

/* Say who holds what. May sleep. */
void bsa_debug_show_objects(struct bsa_heap *heap, struct seq_file *m)
{
	show(heap, NULL, m);
}
EXPORT_SYMBOL_IF_KUNIT(bsa_debug_show_objects);

/*
 * Say what a module leaves behind, which calls nothing any more and still has names;
 * return how many objects and blocks that is. May sleep.
 */
unsigned long bsa_client_left(struct bsa_heap *heap,
			      const struct module *module)
{
	const struct client *client = find_client(module);

	return client && bsa_debug_on(heap) ? show(heap, client, NULL) : 0;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_client_left);
