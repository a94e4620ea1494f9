// SPDX-License-Identifier: GPL-2.0-only
/*
 * The life of heaps: they are created, found, given memory, described and ended
 *
 * heaps[] is the only place that knows which heaps there are. A heap is in there
 * from the moment it is complete to the moment it is taken apart; its index is
 * part of the numbers of its owners (percpu.c), so one that was abandoned keeps
 * its place for as long as anything of it may come back.
 *
 * life_mutex lets one heap at a time be created or ended. That may take long,
 * and waits for CPUs that come or go. heaps_mutex protects heaps[] and each
 * heap's list of regions; a CPU that goes takes it, so nothing that waits for
 * CPUs is done under it. To read one entry whose heap cannot go away no lock is
 * needed. What a trim has in its hands looks as if it were in use: under trim_mutex
 * there is one, or one who looks whether a heap is. Order: life_mutex, trim_mutex,
 * heaps_mutex.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <bsa/compat.h>
#include <bsa/debug.h>
#include <bsa/debugfs.h>
#include <bsa/heap.h>
#include <bsa/reserve.h>
#include <linux/ctype.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/nodemask.h>
#include <linux/ratelimit.h>
#include <linux/rculist.h>
#include <linux/slab.h>
#include <linux/string_helpers.h>

static struct bsa_heap *heaps[BSA_MAX_HEAPS];
static DEFINE_MUTEX(heaps_mutex);
static DEFINE_MUTEX(life_mutex);
static DEFINE_MUTEX(trim_mutex);

/*
 * The registry
 */

/* The heap with this index, of which the caller holds something. Any context. */
struct bsa_heap *bsa_heap_by_id(unsigned int id)
{
	return READ_ONCE(heaps[id]);
}

/*
 * Call a function for each heap, abandoned ones included; it must not wait for CPUs
 * that come or go. No heap comes or goes meanwhile. May sleep.
 */
void bsa_heaps_for_each(void (*fn)(struct bsa_heap *heap, void *data),
			void *data)
{
	unsigned int i;

	mutex_lock(&heaps_mutex);
	for (i = 0; i < BSA_MAX_HEAPS; i++)
		if (heaps[i])
			fn(heaps[i], data);
	mutex_unlock(&heaps_mutex);
}

static void set_entry(unsigned int id, struct bsa_heap *heap)
{
	mutex_lock(&heaps_mutex);
	WRITE_ONCE(heaps[id], heap);
	mutex_unlock(&heaps_mutex);
}

/*
 * The heap of this name, or with this handle, unless it is given up. A handle is
 * only compared, since its heap may be gone for long. The caller holds a mutex.
 */
static struct bsa_heap *find_heap(const char *name, const struct bsa_heap *handle)
{
	unsigned int i;

	lockdep_assert(lockdep_is_held(&life_mutex) ||
		       lockdep_is_held(&heaps_mutex));
	for (i = 0; i < BSA_MAX_HEAPS; i++)
		if (heaps[i] && !heaps[i]->abandoned &&
		    (name ? !strcmp(heaps[i]->name, name) : heaps[i] == handle))
			return heaps[i];
	return NULL;
}

/**
 * bsa_heap_find - look a heap up by its name
 * @name: as given to bsa_heap_create(), or "default"
 *
 * So a client that was loaded again gets at the heap that it could not destroy
 * before. Whoever uses the heap sees to it that nobody destroys it meanwhile.
 *
 * Context: process, may sleep.
 * Return: the heap, or NULL if there is none of that name.
 */
struct bsa_heap *bsa_heap_find(const char *name)
{
	struct bsa_heap *heap;

	if (!name)
		return NULL;
	mutex_lock(&heaps_mutex);
	heap = find_heap(name, NULL);
	mutex_unlock(&heaps_mutex);
	return heap;
}
EXPORT_SYMBOL_GPL(bsa_heap_find);

/*
 * Memory of a heap
 */

static const char *why_not_added(int err)
{
	switch (err) {
	case -ENOMEM:
		return "no memory for what the map and debug= note down";
	case -ENOSPC:
		return "memory is in too many pieces";
	case -EEXIST:
		return "it overlaps a region of a heap";
	default:
		return "it is not RAM that the kernel maps, or too small";
	}
}

static int add_extents(struct bsa_heap *heap, struct list_head *extents)
{
	struct bsa_extent *extent;
	int err = 0;

	list_for_each_entry(extent, extents, node)
		bsa_pagemap_expect((unsigned long)page_address(pfn_to_page(extent->pfn)),
				   extent->nr_pages << PAGE_SHIFT);
	list_for_each_entry(extent, extents, node) {
		err = bsa_buddy_add_region(&heap->buddy,
					   page_address(pfn_to_page(extent->pfn)),
					   extent->nr_pages << PAGE_SHIFT);
		if (err) {
			pr_err("%s: what was reserved cannot be added: %s\n",
			       heap->name, why_not_added(err));
			break;
		}
	}
	list_splice_tail_init(extents, &heap->reserved);
	return err;
}

/* Say what was wanted, what there is, and where one might look instead. */
static void log_too_little(const struct bsa_heap *heap, size_t bytes,
			   size_t got, const struct bsa_reservation *want)
{
	char text[16], found[16], nodes[64] = "";

	string_get_size(bytes, 1, STRING_UNITS_2, text, sizeof(text));
	string_get_size(got + PFN_PHYS(want->found), 1, STRING_UNITS_2, found,
			sizeof(found));
	if (want->node != NUMA_NO_NODE)
		snprintf(nodes, sizeof(nodes),
			 " on node %d; nodes with memory: %*pbl", want->node,
			 nodemask_pr_args(&node_states[N_MEMORY]));
	pr_err("%s: cannot reserve %s%s: found %s%s\n", heap->name, text,
	       want->low ? " below 4 GiB" : "", found, nodes);
}

/*
 * Reserve memory, so that a heap manages @bytes more than now. What comes in several
 * pieces loses some pages of each to metadata, so it is looked at what has become of
 * it, and what is missing is reserved, too. Return 0 or a negative error, after one
 * line that says why; what was reserved by then belongs to the heap.
 */
static int reserve(struct bsa_heap *heap, size_t bytes, int node, bool low)
{
	size_t before = bsa_heap_managed_bytes(heap);
	size_t got = 0;
	struct bsa_reservation want = { .node = node, .low = low };
	LIST_HEAD(extents);
	int err;

	while (got < bytes) {
		want.prefix = PFN_UP(bsa_buddy_meta_size(bytes - got));
		want.nr_pages = want.prefix + PFN_UP(bytes - got);
		err = bsa_reserve(&extents, &want);
		if (err) {
			log_too_little(heap, bytes, got, &want);
			return err;
		}
		err = add_extents(heap, &extents);
		if (err)
			return err;
		got = bsa_heap_managed_bytes(heap) - before;
		/* What is still missing is too little to look for one range. */
		want.blocks = true;
	}
	return 0;
}

/**
 * bsa_heap_add_region - give a heap more memory
 * @heap: the heap; NULL is the default heap
 * @start: first byte, in the kernel's linear mapping
 * @size: bytes
 *
 * The region's prefix takes the metadata, see bsa_region_meta_size(). Ends that
 * are not page-aligned are trimmed. Of one that straddles 4 GiB physical, a side
 * that is too small, or that alone finds no memory for debug=, is left out. The
 * region belongs to the heap until the heap is destroyed; the default heap never
 * lets go of one. Until then its pages cannot be freed with the kernel's calls.
 *
 * Context: process, may sleep. Other CPUs may go on allocating.
 * Return: 0; -EINVAL if not a single page can be managed or the region is not
 * in the linear mapping; -EEXIST if it overlaps a region of any heap; -ENOSPC
 * if the heap has too many sections; -ENOMEM.
 */
int bsa_heap_add_region(struct bsa_heap *heap, void *start, size_t size)
{
	struct bsa_extent *extent;
	int err;

	heap = bsa_heap_or_default(heap);
	extent = kzalloc_obj(*extent, GFP_KERNEL | __GFP_NOWARN);
	err = extent ? bsa_buddy_add_region(&heap->buddy, start, size) : -ENOMEM;
	if (err) {
		pr_err_ratelimited("%s: a region of %zu bytes at %p cannot be added: %s\n",
				   heap->name, size, start, why_not_added(err));
		kfree(extent);
		return err;
	}
	extent->pfn = PFN_UP(virt_to_phys(start));
	extent->nr_pages = PFN_DOWN(virt_to_phys(start) + size) - extent->pfn;
	bsa_hold(extent);
	mutex_lock(&heaps_mutex);
	list_add_tail_rcu(&extent->node, &heap->regions);
	mutex_unlock(&heaps_mutex);
	return 0;
}
EXPORT_SYMBOL_GPL(bsa_heap_add_region);

/*
 * Begin and end
 */

/*
 * Let go of a heap, which is not, or no longer, in the table. @keep: somebody may
 * still write to the memory that was reserved for it, so it stays reserved.
 */
static void exit_heap(struct bsa_heap *heap, bool keep)
{
	unsigned long freed;

	/* The last frees may still look at a slab (model/litmus/trim-vs-free.litmus). */
	synchronize_rcu();
	bsa_buddy_destroy(&heap->buddy);
	bsa_print_missed(heap, &heap->reported);
	bsa_print_missed(heap, &heap->failed);
	bsa_debug_exit(heap);
	if (keep)
		bsa_abandon(&heap->reserved);
	freed = bsa_unreserve(&heap->reserved) + bsa_unreserve(&heap->regions);
	if (freed)
		pr_err("%s: %lu pages were freed with calls of the kernel, such as kfree() or put_page()\n",
		       heap->name, freed);
	free_percpu(heap->cpu);
	if (heap != &bsa_default_heap)
		kvfree(heap);
}

/*
 * Begin a heap, which has a name and an index, and is zero besides. May sleep; no
 * other heap is created or ended meanwhile. Return 0 or a negative error, after one
 * line that says why: then nothing is left of the heap.
 */
int bsa_heap_start(struct bsa_heap *heap, size_t size, size_t lowmem, int node,
		   unsigned long flags)
{
	int err;

	bsa_buddy_init(&heap->buddy);
	INIT_LIST_HEAD(&heap->reserved);
	INIT_LIST_HEAD(&heap->regions);
	heap->cpu = alloc_percpu_gfp(struct bsa_cpu, GFP_KERNEL | __GFP_NOWARN);
	err = heap->cpu ? bsa_debug_init(heap, flags) : -ENOMEM;
	if (err) {
		pr_err("%s: no memory for what each CPU has, or for debug=\n",
		       heap->name);
		goto exit;
	}
	bsa_percpu_init(heap);
	err = reserve(heap, size, node, false) ?:
	      reserve(heap, lowmem, node, true);
	if (err)
		goto exit;
	set_entry(heap->id, heap);
	bsa_debugfs_add(heap);
	return 0;

exit:
	exit_heap(heap, false);
	return err;
}

/**
 * bsa_heap_trim - give back all that is cached
 * @heap: the heap; NULL is the default heap
 *
 * Slabs without a live object and blocks that are kept for CPUs become free pages,
 * coalesced as far as they can be. Each CPU that has used the heap is interrupted for
 * it once or twice, also if it is isolated.
 *
 * Context: process, may sleep.
 * Return: the number of pages that became free blocks.
 */
unsigned long bsa_heap_trim(struct bsa_heap *heap)
{
	unsigned long nr;

	mutex_lock(&trim_mutex);
	nr = bsa_trim(heap ?: &bsa_default_heap);
	mutex_unlock(&trim_mutex);
	return nr;
}
EXPORT_SYMBOL_GPL(bsa_heap_trim);

/* Is anything of the heap in use? Says so, if it is. */
static bool heap_in_use(struct bsa_heap *heap, const char *what)
{
	struct bsa_stats stats;

	mutex_lock(&trim_mutex);
	bsa_trim(heap);
	bsa_heap_get_stats(heap, &stats);
	mutex_unlock(&trim_mutex);
	if (stats.free_pages == stats.total_pages)
		return false;
	pr_err("%s: %s: %lu objects and %lu pages are in use\n", heap->name,
	       what, stats.live_objects, stats.live_pages);
	if (bsa_debug_on(heap))
		bsa_debug_show_objects(heap, NULL);
	return true;
}

static void end_heap(struct bsa_heap *heap, bool keep)
{
	bsa_debugfs_remove(heap);
	set_entry(heap->id, NULL);
	exit_heap(heap, keep);
}

/* The name becomes a directory, and part of lines in the log. */
static int check_name(const char *name)
{
	size_t len = 0;

	while (name && isascii(name[len]) && isprint(name[len]) &&
	       name[len] != '/')
		len++;
	if (len && len < BSA_NAME_LEN && !name[len] && strcmp(name, ".") &&
	    strcmp(name, ".."))
		return 0;
	pr_err_ratelimited("no heap can be named \"%*pE\": it takes 1 to %d printable characters of ASCII without a slash\n",
			   (int)strnlen(name ?: "", BSA_NAME_LEN), name ?: "",
			   BSA_NAME_LEN - 1);
	return -EINVAL;
}

/* Is an amount of memory in range? Says so, if not. */
int bsa_check_bytes(const char *name, const char *what, size_t bytes,
		    size_t min, size_t max)
{
	if (bytes >= min && bytes <= max)
		return 0;
	pr_err_ratelimited("%s: %s %zu is out of range: %zu to %zu bytes\n",
			   name, what, bytes, min, max);
	return -EINVAL;
}

/* Is there the node where a heap's memory shall be? Says so, if not. */
int bsa_check_node(const char *name, int node)
{
	if (node == NUMA_NO_NODE ||
	    (node >= 0 && node < nr_node_ids && node_online(node)))
		return 0;
	pr_err_ratelimited("%s: node %d is out of range: -1 to %d, and online\n",
			   name, node, nr_node_ids - 1);
	return -EINVAL;
}

/* Nobody else has the name, neither a heap nor a file of debugfs. */
static int check_unused(const char *name)
{
	struct bsa_heap *other = find_heap(name, NULL);
	struct bsa_stats stats;

	if (other) {
		bsa_heap_get_stats(other, &stats);
		pr_err_ratelimited("%s: there is a heap of that name, with %lu objects and %lu pages in use; bsa_heap_find() returns it, and bsa_heap_abandon() makes its name free\n",
				   name, stats.live_objects, stats.live_pages);
		return -EEXIST;
	}
	if (bsa_debugfs_has(name)) {
		pr_err_ratelimited("%s: debugfs has something else of that name; take another\n",
				   name);
		return -EINVAL;
	}
	return 0;
}

static struct bsa_heap *create_heap(const char *name, size_t size, int node,
				    unsigned long flags)
{
	struct bsa_heap *heap;
	unsigned int id = 0;
	int err;

	err = check_name(name) ?:
	      bsa_check_bytes(name, "size", size, 0, PFN_PHYS(totalram_pages())) ?:
	      bsa_check_node(name, node) ?: check_unused(name);
	if (err)
		return ERR_PTR(err);
	while (heaps[id]) {
		if (++id < BSA_MAX_HEAPS)
			continue;
		pr_err_ratelimited("%s: there are %u heaps, which is the most\n",
				   name, id);
		return ERR_PTR(-ENOSPC);
	}
	heap = kvzalloc_obj(*heap, GFP_KERNEL | __GFP_NOWARN);
	if (!heap) {
		pr_err_ratelimited("%s: no memory for what a heap is\n", name);
		return ERR_PTR(-ENOMEM);
	}
	strscpy(heap->name, name, sizeof(heap->name));
	heap->id = id;
	err = bsa_heap_start(heap, size, 0, node, flags);
	return err ? ERR_PTR(err) : heap;
}

/**
 * bsa_heap_create - make a heap of one's own
 * @name: 1 to 31 printable characters of ASCII, no slash; the directory in
 *	debugfs
 * @size: bytes to reserve for it; 0: none, regions are added later
 * @node: NUMA node to reserve on, or NUMA_NO_NODE
 *
 * Memory of the heap is handed out by calls on this heap only.
 *
 * Context: process, may sleep.
 * Return: the heap, which manages at least @size bytes, or an ERR_PTR: -EINVAL
 * for a bad name, node or size, or if the kernel's memory cannot be managed;
 * -EEXIST if there is a heap of that name, see bsa_heap_find(); -ENOMEM if there
 * is not enough memory; -ENOSPC if there are too many heaps, or pieces of memory.
 */
struct bsa_heap *bsa_heap_create(const char *name, size_t size, int node)
{
	return bsa_heap_create_debug(name, size, node, bsa_debug_flags);
}
EXPORT_SYMBOL_GPL(bsa_heap_create);

/* bsa_heap_create() with another debug=: flags BSA_DEBUG_..., or 0. */
struct bsa_heap *bsa_heap_create_debug(const char *name, size_t size, int node,
				       unsigned long flags)
{
	struct bsa_heap *heap;

	mutex_lock(&life_mutex);
	heap = create_heap(name, size, node, flags);
	mutex_unlock(&life_mutex);
	return heap;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_heap_create_debug);

/* Is this a heap that somebody may end? Says who asked, if not. */
static int check_private(struct bsa_heap *heap, const char *what,
			 unsigned long caller)
{
	if (heap && heap != &bsa_default_heap && find_heap(NULL, heap))
		return 0;
	pr_err_ratelimited("%p is not %s: it is not, or no longer, from bsa_heap_create() (caller %pS)\n",
			   heap, what, (void *)caller);
	return -EINVAL;
}

/**
 * bsa_heap_destroy - let go of a heap
 * @heap: from bsa_heap_create(); nobody calls into it any more
 *
 * What was reserved goes back to the kernel; regions belong again to whoever
 * added them.
 *
 * Context: process, may sleep.
 * Return: 0; -EBUSY if something of it is in use: then a line in the log says
 * how much, and the heap goes on working; -EINVAL for what is no heap (any more),
 * and for the default heap.
 */
int bsa_heap_destroy(struct bsa_heap *heap)
{
	int err;

	mutex_lock(&life_mutex);
	err = check_private(heap, "destroyed", _RET_IP_);
	if (!err && heap_in_use(heap, "not destroyed"))
		err = -EBUSY;
	if (!err)
		end_heap(heap, false);
	mutex_unlock(&life_mutex);
	return err;
}
EXPORT_SYMBOL_GPL(bsa_heap_destroy);

/**
 * bsa_heap_abandon - give up a heap of which something is still in use
 * @heap: from bsa_heap_create() or bsa_heap_find(); nobody allocates from it any
 *	more
 *
 * For what cannot be freed, since a device may still write to it, say. The heap's
 * memory stays reserved until the next boot, and regions that were added stay in
 * use until bsa is unloaded. The name is free for another heap, and the files in
 * debugfs are gone. What is still in use may be freed, or not.
 *
 * Context: process, may sleep.
 * Return: 0; -EINVAL for what is no heap (any more), and for the default heap.
 */
int bsa_heap_abandon(struct bsa_heap *heap)
{
	int err;

	mutex_lock(&life_mutex);
	err = check_private(heap, "abandoned", _RET_IP_);
	if (!err) {
		heap_in_use(heap, "abandoned");
		bsa_debugfs_remove(heap);
		mutex_lock(&heaps_mutex);
		heap->abandoned = true;
		mutex_unlock(&heaps_mutex);
	}
	mutex_unlock(&life_mutex);
	return err;
}
EXPORT_SYMBOL_GPL(bsa_heap_abandon);

/*
 * End all heaps; nobody calls any more. Of those of which something is in use the
 * memory stays reserved. May sleep.
 */
void bsa_heaps_exit(void)
{
	struct bsa_heap *heap;
	unsigned int i;
	bool keep;

	mutex_lock(&life_mutex);
	for (i = 0; i < BSA_MAX_HEAPS; i++) {
		heap = heaps[i];
		if (!heap)
			continue;
		keep = heap_in_use(heap, "left behind, not given back");
		if (heap != &bsa_default_heap && !heap->abandoned)
			pr_err("%s: was never destroyed\n", heap->name);
		end_heap(heap, keep || heap->abandoned);
	}
	mutex_unlock(&life_mutex);
}
