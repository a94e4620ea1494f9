// SPDX-License-Identifier: GPL-2.0-only
/*
 * debug=: who holds what, by call chain, and which module that is
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
 * is forgotten unless it has left something behind.
 *
 * Locking: modules come and go one at a time, which the caller sees to. The list
 * of them is read under RCU.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <bsa/compat.h>
#include <bsa/debug.h>
#include <linux/module.h>
#include <linux/rculist.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/sort.h>

/**
 * struct client - where the code of a module is, or was
 * @name: the module's name
 * @text: its code
 * @size: bytes of that
 * @init: code that the kernel frees when it is loaded
 * @init_size: bytes of that
 * @born: generation that began when it came
 * @loaded: generation that began when @init was run; 0: it was not yet
 * @died: generation that began when it went; 0: it is there
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

/**
 * bsa_generation - how often a module has come or gone
 */
u32 bsa_generation(void)
{
	return READ_ONCE(generation);
}

static u32 next_generation(void)
{
	WRITE_ONCE(generation, generation + 1);
	return generation;
}

static bool covers(const struct client *client, unsigned long at)
{
	return at - client->text < client->size ||
	       at - client->init < client->init_size;
}

/* Was this the module's code in a generation? */
static bool has_code(const struct client *client, unsigned long at, u32 when)
{
	u32 loaded = READ_ONCE(client->loaded), died = READ_ONCE(client->died);

	if (client->born > when || (died && died <= when))
		return false;
	return at - client->text < client->size ||
	       (at - client->init < client->init_size &&
		(!loaded || loaded > when));
}

/* Whose code was this? NULL if it is not known. */
static const struct client *find_code(unsigned long at, u32 when)
{
	const struct client *client;

	list_for_each_entry_rcu(client, &clients, node, true)
		if (has_code(client, at, when))
			return client;
	return NULL;
}

/* Is there any module that has, or had, its code there? */
static bool is_modules(unsigned long at)
{
	const struct client *client;

	list_for_each_entry_rcu(client, &clients, node, true)
		if (covers(client, at))
			return true;
	return false;
}

/**
 * bsa_say_code - say which function an address was in
 * @text: the text to add to, see bsa_say()
 * @len: its length
 * @at: the address
 * @when: the generation in which it was
 *
 * Of code that is gone there is no name any more, but perhaps that of other code
 * which is at the same address now.
 *
 * Return: the length of the text then.
 */
size_t bsa_say_code(char *text, size_t len, unsigned long at, u32 when)
{
	const struct client *client;
	size_t end;

	rcu_read_lock();
	client = find_code(at, when);
	if (client && !has_code(client, at, bsa_generation()))
		end = bsa_say(text, len, "     code of %s that is gone\n",
			      client->name);
	else if (!client && is_modules(at))
		end = bsa_say(text, len, "     code that is gone\n");
	else
		end = bsa_say(text, len, "     %pS\n", (void *)at);
	rcu_read_unlock();
	if (!strncmp(text + len, "     0x", 7))
		end = bsa_say(text, len, "     code that is gone\n");
	return end;
}

/* Call chains that are told apart; what others hold is added up. */
#define MAX_CHAINS	509

/* Of so many the log tells at unload. */
#define MAX_LOGGED	8

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
 * @chain: a hash table at first, then sorted; the last is for all others
 * @text: room to say it
 */
struct collection {
	const struct client *client;
	struct chain chain[MAX_CHAINS + 1];
	char text[BSA_REPORT_LEN];
};

static const struct client *owner_of(const struct bsa_record *record)
{
	unsigned long one, *entries;

	if (!bsa_fetch_chain(&record->alloc, &one, &entries))
		return NULL;
	return find_code(entries[0], record->alloc.generation);
}

static struct chain *find_chain(struct collection *all,
				const struct bsa_track *track,
				const struct client *owner)
{
	unsigned int i, at = track->where % MAX_CHAINS;
	struct chain *chain;

	for (i = 0; i < MAX_CHAINS; i++, at = (at + 1) % MAX_CHAINS) {
		chain = &all->chain[at];
		if (!chain->nr || (chain->track.where == track->where &&
				   chain->track.kind == track->kind &&
				   chain->owner == owner))
			return chain;
	}
	return &all->chain[MAX_CHAINS];
}

static void collect(struct collection *all, const struct bsa_object *object)
{
	const struct bsa_record *record = object->record;
	const struct client *owner = owner_of(record);
	struct chain *chain;

	if (all->client && all->client != owner)
		return;
	chain = find_chain(all, &record->alloc, owner);
	if (!chain->nr) {
		chain->track = record->alloc;
		chain->owner = owner;
	}
	if ((s32)(record->alloc.when - chain->track.when) < 0)
		chain->track.when = record->alloc.when;
	chain->nr++;
	chain->bytes += bsa_object_size(object);
}

static void collect_page(struct bsa_heap *heap, void *page,
			 struct collection *all)
{
	struct bsa_object object = {}, found;
	struct bsa_record copy;

	if (bsa_record_locate(heap, page, &object) && object.is_block &&
	    object.start == page &&
	    bsa_record_copy(heap, &object, &copy) == BSA_RECORD_LIVE) {
		object.record = &copy;
		collect(all, &object);
		return;
	}
	object.start = NULL;
	while (bsa_record_next(heap, page, page + PAGE_SIZE, &object)) {
		/* Others begin, and are counted, in another page. */
		if (object.start < page ||
		    bsa_record_copy(heap, &object, &copy) != BSA_RECORD_LIVE)
			continue;
		found = object;
		found.record = &copy;
		collect(all, &found);
	}
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
	struct bsa_section_info info;
	unsigned long page;
	unsigned int i;

	if (!all)
		return NULL;
	all->client = client;
	for (i = 0; !bsa_buddy_section(&heap->buddy, i, &info); i++) {
		for (page = 0; page < info.size; page += PAGE_SIZE) {
			/* Neither a section nor a module goes meanwhile. */
			preempt_disable();
			collect_page(heap, (void *)info.start + page, all);
			preempt_enable();
			cond_resched();
		}
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
		len = bsa_say(all->text, 0, "%lu objects, %zu bytes, for up to %u ms, from\n",
			      chain->nr, chain->bytes,
			      bsa_now_ms() - chain->track.when);
		bsa_say_chain(all->text, len, &chain->track);
		if (m)
			seq_puts(m, all->text);
		else
			bsa_print_lines(heap, all->text);
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

/*
 * Modules come and go
 */

static struct client *find_client(const struct module *module)
{
	struct client *client;

	list_for_each_entry(client, &clients, node)
		if (!client->died && !strcmp(client->name, module->name))
			return client;
	return NULL;
}

/**
 * bsa_client_comes - note down where a module has its code
 * @module: the module, before its first call
 *
 * Context: process, may sleep; one at a time.
 */
void bsa_client_comes(const struct module *module)
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
	client->born = next_generation();
	list_add_rcu(&client->node, &clients);
}
EXPORT_SYMBOL_IF_KUNIT(bsa_client_comes);

/**
 * bsa_client_is_loaded - the code that was to run once is about to go
 * @module: the module
 *
 * Context: process; one at a time.
 */
void bsa_client_is_loaded(const struct module *module)
{
	struct client *client = find_client(module);

	if (client)
		WRITE_ONCE(client->loaded, next_generation());
}

/**
 * bsa_client_left - say what a module leaves behind
 * @heap: the heap
 * @module: the module, which calls nothing any more and still has names
 *
 * Context: process, may sleep; one at a time.
 * Return: how many objects and blocks that is.
 */
unsigned long bsa_client_left(struct bsa_heap *heap,
			      const struct module *module)
{
	const struct client *client = find_client(module);
	struct collection *all;
	unsigned long nr = 0;
	unsigned int i;

	if (!client || !bsa_debug_on(heap))
		return 0;
	all = collect_heap(heap, client);
	for (i = 0; all && i < ARRAY_SIZE(all->chain); i++)
		nr += all->chain[i].nr;
	if (nr) {
		pr_err("%s: %s is gone, and has not freed this:\n", heap->name,
		       client->name);
		show_collection(heap, all, NULL);
	}
	kvfree(all);
	return nr;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_client_left);

/**
 * bsa_client_goes - a module is gone
 * @module: the module
 * @left: it has left something behind
 *
 * Context: process; one at a time.
 */
void bsa_client_goes(const struct module *module, bool left)
{
	struct client *client = find_client(module);

	if (!client)
		return;
	WRITE_ONCE(client->died, next_generation());
	if (left)
		return;
	list_del_rcu(&client->node);
	kfree_rcu(client, rcu);
}
EXPORT_SYMBOL_IF_KUNIT(bsa_client_goes);

/**
 * bsa_forget_clients - there are no heaps any more
 */
void bsa_forget_clients(void)
{
	struct client *client, *next;

	list_for_each_entry_safe(client, next, &clients, node)
		kfree(client);
}
