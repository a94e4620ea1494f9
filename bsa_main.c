// SPDX-License-Identifier: GPL-2.0-only
/*
 * Load and unload, parameters, heaps, and the exported calls that are not hot
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <bsa/compat.h>
#include <bsa/debug.h>
#include <bsa/debugfs.h>
#include <bsa/percpu.h>
#include <bsa/reserve.h>
#include <bsa/tools.h>
#include <linux/ctype.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/nodemask.h>
#include <linux/ratelimit.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string_helpers.h>

#define MIN_SIZE	SZ_256K

static unsigned long long size = SZ_16M;
static unsigned long long lowmem;
static int node = NUMA_NO_NODE;
static char *debug;
static unsigned long debug_flags;

/* As memparse(), but what does not fit is not cut short: it is out of range. */
static int set_bytes(const char *val, const struct kernel_param *kp)
{
	static const char suffix[] = "KMGT";
	unsigned long long *bytes = kp->arg;
	unsigned int shift = 0;
	const char *unit;
	char number[24];
	size_t len;
	int err;

	len = strcspn(val, "\n");
	if (!len)
		return -EINVAL;
	unit = strchr(suffix, toupper(val[len - 1]));
	if (unit) {
		shift = 10 * (unit - suffix + 1);
		len--;
	}
	if (len >= sizeof(number))
		return -EINVAL;
	memcpy(number, val, len);
	number[len] = '\0';
	err = kstrtoull(number, 0, bytes);
	if (err == -ERANGE || (!err && check_shl_overflow(*bytes, shift, bytes)))
		*bytes = ULLONG_MAX;
	else if (err)
		return err;
	return 0;
}

static int get_bytes(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%llu\n", *(unsigned long long *)kp->arg);
}

static const struct kernel_param_ops bytes_ops = {
	.set = set_bytes,
	.get = get_bytes,
};

module_param_cb(size, &bytes_ops, &size, 0444);
__MODULE_PARM_TYPE(size, "bytes");
MODULE_PARM_DESC(size, "Memory of the default heap, in bytes or with a suffix K, M or G (default 16M, at least 256K)");
module_param_cb(lowmem, &bytes_ops, &lowmem, 0444);
__MODULE_PARM_TYPE(lowmem, "bytes");
MODULE_PARM_DESC(lowmem, "Further memory of the default heap that lies below 4 GiB physical (default 0: none)");
module_param(node, int, 0444);
MODULE_PARM_DESC(node, "NUMA node to reserve the memory on (default -1: any)");

module_param(debug, charp, 0444);
MODULE_PARM_DESC(debug, "What to look for, at the price of speed: z red zones, p poison, u users of memory, q quarantine, r random slots, or 1 for all (default 0: nothing)");

static DEFINE_MUTEX(heap_mutex);
static LIST_HEAD(heap_list);

static struct bsa_heap *heap_or_default(struct bsa_heap *heap)
{
	return heap ?: &bsa_default_heap;
}

/*
 * Heaps
 */

/* Reserve memory and make it sections of @heap. */
static int add_reserved(struct bsa_heap *heap, size_t bytes, int nid, bool low)
{
	struct bsa_reservation want = {
		.prefix = PFN_UP(bsa_buddy_meta_size(bytes)),
		.node = nid,
		.low = low,
	};
	struct bsa_extent *extent;
	LIST_HEAD(extents);
	char text[16];
	int err;

	want.nr_pages = want.prefix + PFN_UP(bytes);
	string_get_size(bytes, 1, STRING_UNITS_2, text, sizeof(text));
	err = bsa_reserve(&extents, &want);
	if (err) {
		pr_err("%s: cannot reserve %s%s\n", heap->name, text,
		       low ? " below 4 GiB" : "");
		return err;
	}
	list_for_each_entry(extent, &extents, node) {
		err = bsa_buddy_add_region(&heap->buddy,
					   page_address(pfn_to_page(extent->pfn)),
					   extent->nr_pages << PAGE_SHIFT);
		/* A piece that is too small for its own metadata is no loss. */
		if (err && err != -EINVAL) {
			pr_err("%s: %s\n", heap->name, err == -ENOMEM ?
			       "no memory for what debug= notes down" :
			       "memory is in too many pieces");
			break;
		}
		err = 0;
	}
	list_splice_tail(&extents, &heap->reserved);
	return err;
}

static void log_reserved(struct bsa_heap *heap)
{
	struct bsa_section_info first, last;
	unsigned int nr = heap->buddy.nr_sections;
	phys_addr_t end;
	char text[16];

	bsa_buddy_section(&heap->buddy, 0, &first);
	bsa_buddy_section(&heap->buddy, nr - 1, &last);
	end = last.phys + last.size - 1;
	string_get_size(bsa_buddy_managed_bytes(&heap->buddy), 1,
			STRING_UNITS_2, text, sizeof(text));
	if (nr == 1)
		pr_info("%s: reserved %s in one section at %pa-%pa\n",
			heap->name, text, &first.phys, &end);
	else
		pr_info("%s: reserved %s in %u sections, the first at %pa, the last up to %pa\n",
			heap->name, text, nr, &first.phys, &end);
}

static int init_heap(struct bsa_heap *heap, unsigned long flags)
{
	int err;

	bsa_buddy_init(&heap->buddy);
	INIT_LIST_HEAD(&heap->reserved);
	atomic_long_set(&heap->refused, 0);
	err = bsa_debug_init(heap, flags);
	if (err)
		return err;
	err = bsa_percpu_init(heap);
	if (err)
		bsa_debug_exit(heap);
	return err;
}

/* Is anything of the heap in use? Says so, if it is. */
static bool heap_in_use(struct bsa_heap *heap, const char *what)
{
	struct bsa_stats stats;

	bsa_percpu_flush(heap);
	bsa_heap_get_stats(heap, &stats);
	if (stats.free_pages == stats.total_pages)
		return false;
	pr_err("%s: %s: %lu objects and %lu pages are in use\n", heap->name,
	       what, stats.live_objects, stats.live_pages);
	if (bsa_debug_on(heap))
		bsa_debug_show_objects(heap, NULL);
	return true;
}

/* Let go of everything; of pages that are in use, only if nobody has any. */
static void exit_heap(struct bsa_heap *heap, bool in_use)
{
	bsa_percpu_exit(heap);
	bsa_buddy_destroy(&heap->buddy);
	bsa_debug_exit(heap);
	if (in_use)
		bsa_abandon(&heap->reserved);
	else
		bsa_unreserve(&heap->reserved);
}

static bool name_is_valid(const char *name)
{
	return name && *name && strlen(name) < BSA_NAME_LEN &&
	       !strchr(name, '/') && strcmp(name, ".") && strcmp(name, "..");
}

static struct bsa_heap *find_heap(const char *name)
{
	struct bsa_heap *heap;

	list_for_each_entry(heap, &heap_list, node)
		if (!strcmp(heap->name, name))
			return heap;
	return NULL;
}

static void free_heap(struct bsa_heap *heap)
{
	free_percpu(heap->cpu);
	kvfree(heap);
}

/**
 * bsa_heap_create - make a heap of one's own
 * @name: up to 31 characters, no slash; the directory in debugfs
 * @size: bytes to reserve for it; 0: none, regions are added later
 * @node: NUMA node to reserve on, or NUMA_NO_NODE
 *
 * Memory of the heap is handed out by calls on this heap only.
 *
 * Context: process, may sleep.
 * Return: the heap, or an ERR_PTR: -EINVAL for a bad name, node or size,
 * -EEXIST if there is a heap of that name, -ENOMEM if there is not enough
 * memory, -ENOSPC if there are too many heaps.
 */
struct bsa_heap *bsa_heap_create(const char *name, size_t size, int node)
{
	return bsa_heap_create_debug(name, size, node, debug_flags);
}
EXPORT_SYMBOL_GPL(bsa_heap_create);

/**
 * bsa_heap_create_debug - bsa_heap_create() with another debug=
 * @name: as there
 * @size: as there
 * @node: as there
 * @flags: BSA_DEBUG_..., or 0
 *
 * Return: as there.
 */
struct bsa_heap *bsa_heap_create_debug(const char *name, size_t size, int node,
				       unsigned long flags)
{
	struct bsa_heap *heap;
	int err;

	if (!name_is_valid(name) || size > PFN_PHYS(totalram_pages()) ||
	    (node != NUMA_NO_NODE &&
	     (node < 0 || node >= nr_node_ids || !node_online(node))))
		return ERR_PTR(-EINVAL);

	mutex_lock(&heap_mutex);
	err = -EEXIST;
	if (find_heap(name))
		goto unlock;
	err = -ENOMEM;
	heap = kvzalloc(sizeof(*heap), GFP_KERNEL | __GFP_NOWARN);
	if (!heap)
		goto unlock;
	strscpy(heap->name, name, sizeof(heap->name));
	heap->cpu = alloc_percpu_gfp(struct bsa_cpu, GFP_KERNEL | __GFP_NOWARN);
	if (!heap->cpu)
		goto free;
	err = init_heap(heap, flags);
	if (err)
		goto free;
	if (size) {
		err = add_reserved(heap, size, node, false);
		if (err)
			goto exit;
	}
	list_add_tail(&heap->node, &heap_list);
	bsa_debugfs_add(heap);
	mutex_unlock(&heap_mutex);
	return heap;

exit:
	exit_heap(heap, false);
free:
	free_heap(heap);
unlock:
	mutex_unlock(&heap_mutex);
	return ERR_PTR(err);
}
EXPORT_SYMBOL_IF_KUNIT(bsa_heap_create_debug);

/**
 * bsa_heap_destroy - let go of a heap
 * @heap: from bsa_heap_create(); nobody calls into it any more
 *
 * What was reserved goes back to the kernel; regions belong again to whoever
 * added them.
 *
 * Context: process, may sleep.
 * Return: 0; -EBUSY if something of it is in use: then a line in the log says
 * how much, and the heap goes on working; -EINVAL for the default heap.
 */
int bsa_heap_destroy(struct bsa_heap *heap)
{
	if (IS_ERR_OR_NULL(heap) || heap == &bsa_default_heap)
		return -EINVAL;

	mutex_lock(&heap_mutex);
	if (heap_in_use(heap, "not destroyed")) {
		mutex_unlock(&heap_mutex);
		return -EBUSY;
	}
	list_del(&heap->node);
	bsa_debugfs_remove(heap);
	exit_heap(heap, false);
	mutex_unlock(&heap_mutex);
	free_heap(heap);
	return 0;
}
EXPORT_SYMBOL_GPL(bsa_heap_destroy);

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
 * lets go of one.
 *
 * Context: process, may sleep. Other CPUs may go on allocating.
 * Return: 0; -EINVAL if not a single page can be managed or the region is not
 * in the linear mapping; -EEXIST if it overlaps a region of any heap; -ENOSPC
 * if the heap has too many sections; with debug= also -ENOMEM.
 */
int bsa_heap_add_region(struct bsa_heap *heap, void *start, size_t size)
{
	return bsa_buddy_add_region(&heap_or_default(heap)->buddy, start, size);
}
EXPORT_SYMBOL_GPL(bsa_heap_add_region);

/**
 * bsa_region_meta_size - metadata of a region
 * @size: bytes that are to be managed
 *
 * Return: how many bytes more a page-aligned region must have.
 */
size_t bsa_region_meta_size(size_t size)
{
	return bsa_buddy_meta_size(size);
}
EXPORT_SYMBOL_GPL(bsa_region_meta_size);

/**
 * bsa_heap_nr_sections - number of sections
 * @heap: the heap; NULL is the default heap
 *
 * Context: any.
 */
unsigned int bsa_heap_nr_sections(struct bsa_heap *heap)
{
	return READ_ONCE(heap_or_default(heap)->buddy.nr_sections);
}
EXPORT_SYMBOL_GPL(bsa_heap_nr_sections);

/**
 * bsa_heap_section - describe one section
 * @heap: the heap; NULL is the default heap
 * @index: in the order of registration
 * @info: filled in
 *
 * Context: any.
 * Return: 0, or -EINVAL if there is no such section.
 */
int bsa_heap_section(struct bsa_heap *heap, unsigned int index,
		     struct bsa_section_info *info)
{
	int err;

	heap = heap_or_default(heap);
	bsa_buddy_free_deferred(&heap->buddy);
	err = bsa_buddy_section(&heap->buddy, index, info);
	if (!err)
		info->free_pages += bsa_percpu_kept_pages(heap, index);
	return err;
}
EXPORT_SYMBOL_GPL(bsa_heap_section);

/**
 * bsa_heap_nr_pages - pages that the heap manages
 * @heap: the heap; NULL is the default heap
 *
 * Context: any.
 */
unsigned long bsa_heap_nr_pages(struct bsa_heap *heap)
{
	return READ_ONCE(heap_or_default(heap)->buddy.total_pages);
}
EXPORT_SYMBOL_GPL(bsa_heap_nr_pages);

/**
 * bsa_heap_nr_free_pages - pages in no allocation and no slab
 * @heap: the heap; NULL is the default heap
 *
 * Context: any. In NMI, pages that were just freed in NMI may be missing.
 */
unsigned long bsa_heap_nr_free_pages(struct bsa_heap *heap)
{
	heap = heap_or_default(heap);
	bsa_buddy_free_deferred(&heap->buddy);
	/* It changes all the time. */
	return data_race(heap->buddy.free_pages) +
	       bsa_percpu_kept_pages(heap, -1);
}
EXPORT_SYMBOL_GPL(bsa_heap_nr_free_pages);

/**
 * bsa_heap_managed_bytes - bytes in all sections, metadata not counted
 * @heap: the heap; NULL is the default heap
 *
 * Context: any.
 */
size_t bsa_heap_managed_bytes(struct bsa_heap *heap)
{
	return bsa_buddy_managed_bytes(&heap_or_default(heap)->buddy);
}
EXPORT_SYMBOL_GPL(bsa_heap_managed_bytes);

/**
 * bsa_heap_allocated_bytes - bytes in page allocations and in slabs
 * @heap: the heap; NULL is the default heap
 *
 * A slab counts as a whole, also if it is an empty one that is kept.
 *
 * Context: any but NMI.
 */
size_t bsa_heap_allocated_bytes(struct bsa_heap *heap)
{
	return (bsa_heap_nr_pages(heap) - bsa_heap_nr_free_pages(heap))
		<< PAGE_SHIFT;
}
EXPORT_SYMBOL_GPL(bsa_heap_allocated_bytes);

/* What others count all the time. */
static unsigned long figure(const unsigned long *value)
{
	/* What was right a moment ago is good enough. */
	return data_race(*value);
}

/**
 * bsa_heap_get_stats - totals of a heap
 * @heap: the heap; NULL is the default heap
 * @stats: filled in
 *
 * Context: any but NMI.
 */
void bsa_heap_get_stats(struct bsa_heap *heap, struct bsa_stats *stats)
{
	unsigned int i, order;
	struct bsa_cpu *c;

	heap = heap_or_default(heap);
	memset(stats, 0, sizeof(*stats));

	stats->sections = bsa_heap_nr_sections(heap);
	stats->total_pages = bsa_heap_nr_pages(heap);
	stats->free_pages = bsa_heap_nr_free_pages(heap);
	stats->managed_bytes = stats->total_pages << PAGE_SHIFT;
	stats->allocated_bytes = stats->managed_bytes -
				 (stats->free_pages << PAGE_SHIFT);

	for (c = bsa_percpu_next(heap, NULL); c;
	     c = bsa_percpu_next(heap, c)) {
		for (i = 0; i < BSA_ALL_CLASSES; i++) {
			const struct bsa_class *class = &c->slabs.class[i];

			stats->allocs += bsa_class_nr_allocs(class);
			stats->frees += figure(&c->slabs.frees[i]);
			stats->drains += figure(&class->drains);
			stats->refills += figure(&class->refills);
		}
		for (order = 0; order < BSA_NR_ORDERS; order++) {
			unsigned long allocs = figure(&c->pcp[order].allocs);
			unsigned long frees = figure(&c->pcp[order].frees);

			stats->allocs += allocs;
			stats->frees += frees;
			stats->live_pages += (allocs - frees) << order;
		}
		stats->frees += figure(&c->remote_frees) -
				figure(&c->slabs.conflicts);
		stats->remote_frees += figure(&c->remote_frees);
		stats->failures += figure(&c->failures);
		stats->refused_frees += figure(&c->slabs.conflicts);
	}
	stats->refused_frees += atomic_long_read(&heap->refused);
	stats->live_objects = bsa_percpu_live_objects(heap);
}
EXPORT_SYMBOL_GPL(bsa_heap_get_stats);

/*
 * Allocation calls that build on others
 */

/**
 * bsa_alloc_aligned - allocate with an alignment
 * @size: bytes; 0 gives ZERO_SIZE_PTR
 * @align: alignment in bytes, a power of two
 * @gfp: __GFP_ZERO and __GFP_NOWARN count, see <linux/bsa.h>
 *
 * Context: any.
 * Return: the memory, or NULL.
 */
void *bsa_alloc_aligned(size_t size, size_t align, gfp_t gfp)
{
	return bsa_percpu_alloc(&bsa_default_heap, size, align, gfp, _RET_IP_);
}
EXPORT_SYMBOL_GPL(bsa_alloc_aligned);

/**
 * bsa_heap_alloc_aligned - allocate from a heap with an alignment
 * @heap: the heap; NULL is the default heap
 * @size: bytes; 0 gives ZERO_SIZE_PTR
 * @align: alignment in bytes, a power of two
 * @gfp: __GFP_ZERO and __GFP_NOWARN count, see <linux/bsa.h>
 *
 * Context: any.
 * Return: the memory, or NULL.
 */
void *bsa_heap_alloc_aligned(struct bsa_heap *heap, size_t size, size_t align,
			     gfp_t gfp)
{
	return bsa_percpu_alloc(heap_or_default(heap), size, align, gfp,
				_RET_IP_);
}
EXPORT_SYMBOL_GPL(bsa_heap_alloc_aligned);

/**
 * bsa_zalloc - allocate zeroed memory
 * @size: bytes; 0 gives ZERO_SIZE_PTR
 * @gfp: __GFP_NOWARN counts, see <linux/bsa.h>
 *
 * Context: any.
 * Return: the memory, or NULL.
 */
void *bsa_zalloc(size_t size, gfp_t gfp)
{
	return bsa_percpu_alloc(&bsa_default_heap, size, 1, gfp | __GFP_ZERO,
				_RET_IP_);
}
EXPORT_SYMBOL_GPL(bsa_zalloc);

/**
 * bsa_heap_zalloc - allocate zeroed memory from a heap
 * @heap: the heap; NULL is the default heap
 * @size: bytes; 0 gives ZERO_SIZE_PTR
 * @gfp: __GFP_NOWARN counts, see <linux/bsa.h>
 *
 * Context: any.
 * Return: the memory, or NULL.
 */
void *bsa_heap_zalloc(struct bsa_heap *heap, size_t size, gfp_t gfp)
{
	return bsa_percpu_alloc(heap_or_default(heap), size, 1,
				gfp | __GFP_ZERO, _RET_IP_);
}
EXPORT_SYMBOL_GPL(bsa_heap_zalloc);

static void *calloc_from(struct bsa_heap *heap, size_t n, size_t size,
			 gfp_t gfp, unsigned long caller)
{
	size_t bytes;

	/* More than there can be, so that it fails and is counted. */
	if (check_mul_overflow(n, size, &bytes))
		bytes = SIZE_MAX;
	return bsa_percpu_alloc(heap, bytes, 1, gfp | __GFP_ZERO, caller);
}

/**
 * bsa_heap_calloc - allocate a zeroed array from a heap
 * @heap: the heap; NULL is the default heap
 * @n: number of elements
 * @size: bytes of each
 * @gfp: __GFP_NOWARN counts, see <linux/bsa.h>
 *
 * Context: any.
 * Return: the memory; NULL if there is none, or if @n * @size overflows.
 */
void *bsa_heap_calloc(struct bsa_heap *heap, size_t n, size_t size, gfp_t gfp)
{
	return calloc_from(heap_or_default(heap), n, size, gfp, _RET_IP_);
}
EXPORT_SYMBOL_GPL(bsa_heap_calloc);

/**
 * bsa_calloc - allocate a zeroed array
 * @n: number of elements
 * @size: bytes of each
 * @gfp: __GFP_NOWARN counts, see <linux/bsa.h>
 *
 * Context: any.
 * Return: the memory; NULL if there is none, or if @n * @size overflows.
 */
void *bsa_calloc(size_t n, size_t size, gfp_t gfp)
{
	return calloc_from(&bsa_default_heap, n, size, gfp, _RET_IP_);
}
EXPORT_SYMBOL_GPL(bsa_calloc);

static void *realloc_from(struct bsa_heap *heap, const void *ptr,
			  size_t new_size, gfp_t gfp, unsigned long caller)
{
	size_t old_size;
	void *obj;

	if (ZERO_OR_NULL_PTR(ptr))
		return bsa_percpu_alloc(heap, new_size, 1, gfp, caller);
	old_size = bsa_percpu_size(heap, ptr);
	if (!old_size) {
		pr_err_ratelimited("%s: realloc of %p refused: not a live allocation (caller %pS)\n",
				   heap->name, ptr, (void *)caller);
		return NULL;
	}
	if (!new_size) {
		bsa_heap_free(heap, ptr);
		return ZERO_SIZE_PTR;
	}
	if (bsa_with_redzone(new_size) <= old_size) {
		bsa_unpoison(ptr, new_size, old_size);
		if (bsa_debug_on(heap))
			bsa_debug_shrink(heap, (void *)ptr, new_size, caller);
		return (void *)ptr;
	}
	obj = bsa_percpu_alloc(heap, new_size, 1, gfp, caller);
	if (!obj)
		return NULL;
	bsa_copy(obj, ptr, min(old_size, new_size));
	bsa_heap_free(heap, ptr);
	return obj;
}

/**
 * bsa_heap_realloc - change the size of an allocation
 * @heap: the heap; NULL is the default heap
 * @ptr: from the heap; NULL allocates
 * @new_size: bytes; 0 frees
 * @gfp: __GFP_ZERO and __GFP_NOWARN count, see <linux/bsa.h>
 *
 * Contents are kept up to the smaller of both sizes. As long as the new size
 * fits into bsa_heap_size(), the allocation stays where it is. With __GFP_ZERO
 * what lies behind the old bsa_heap_size() is zero.
 *
 * Context: any.
 * Return: the memory, ZERO_SIZE_PTR if it was freed, or NULL: then @ptr is
 * untouched.
 */
void *bsa_heap_realloc(struct bsa_heap *heap, const void *ptr, size_t new_size,
		       gfp_t gfp)
{
	return realloc_from(heap_or_default(heap), ptr, new_size, gfp,
			    _RET_IP_);
}
EXPORT_SYMBOL_GPL(bsa_heap_realloc);

/**
 * bsa_realloc - change the size of an allocation of the default heap
 * @ptr: from the default heap; NULL allocates
 * @new_size: bytes; 0 frees
 * @gfp: __GFP_ZERO and __GFP_NOWARN count, see <linux/bsa.h>
 *
 * Context: any.
 * Return: see bsa_heap_realloc().
 */
void *bsa_realloc(const void *ptr, size_t new_size, gfp_t gfp)
{
	return realloc_from(&bsa_default_heap, ptr, new_size, gfp, _RET_IP_);
}
EXPORT_SYMBOL_GPL(bsa_realloc);

/* Of what the caller is told about, all may be used. */
static size_t usable_size(struct bsa_heap *heap, const void *ptr)
{
	size_t size = bsa_percpu_size(heap, ptr);

	if (size)
		bsa_unpoison(ptr, size, size);
	return size;
}

/**
 * bsa_heap_size - what an allocation really holds
 * @heap: the heap; NULL is the default heap
 * @ptr: any value
 *
 * Context: any.
 * Return: bytes that may be used; 0 if @ptr is no live allocation of the heap.
 */
size_t bsa_heap_size(struct bsa_heap *heap, const void *ptr)
{
	return usable_size(heap_or_default(heap), ptr);
}
EXPORT_SYMBOL_GPL(bsa_heap_size);

/**
 * bsa_size - what an allocation of the default heap really holds
 * @ptr: any value
 *
 * Context: any.
 * Return: bytes that may be used; 0 if @ptr is no live allocation of the heap.
 */
size_t bsa_size(const void *ptr)
{
	return usable_size(&bsa_default_heap, ptr);
}
EXPORT_SYMBOL_GPL(bsa_size);

/*
 * Load and unload
 */

static int check_parameters(void)
{
	unsigned long long max = PFN_PHYS(totalram_pages());

	if (size < MIN_SIZE || size > max) {
		pr_err("size=%llu is out of range: %u to %llu bytes\n", size,
		       MIN_SIZE, max);
		return -EINVAL;
	}
	if (lowmem && (lowmem < MIN_SIZE || lowmem > min(max, SZ_4G))) {
		pr_err("lowmem=%llu is out of range: 0, or %u to %llu bytes\n",
		       lowmem, MIN_SIZE, min(max, SZ_4G));
		return -EINVAL;
	}
	if (node < NUMA_NO_NODE || node >= (int)nr_node_ids ||
	    (node >= 0 && !node_online(node))) {
		pr_err("node=%d is out of range: -1 to %d, and online\n", node,
		       nr_node_ids - 1);
		return -EINVAL;
	}
	if (debug && bsa_debug_parse(debug, &debug_flags)) {
		pr_err("debug=%s is not known: 0, 1, or some of the letters zpuqr\n",
		       debug);
		return -EINVAL;
	}
	return 0;
}

static bool is_client(const struct module *module)
{
#ifdef CONFIG_MODULE_UNLOAD
	struct module_use *use;

	list_for_each_entry(use, &module->target_list, target_list)
		if (use->target == THIS_MODULE)
			return true;
#endif
	return false;
}

static void client_gone(struct bsa_heap *heap, const struct module *client)
{
	struct bsa_stats stats;

	bsa_heap_get_stats(heap, &stats);
	if (!stats.live_objects && !stats.live_pages)
		return;
	if (bsa_debug_on(heap))
		bsa_debug_client_gone(heap, client);
	else if (module_refcount(THIS_MODULE) == 1)
		pr_err("%s: the last client, %s, is gone: %lu objects and %lu pages are in use\n",
		       heap->name, client->name, stats.live_objects,
		       stats.live_pages);
}

/* What a client that goes leaves behind is best told as long as it has names. */
static int module_event(struct notifier_block *block, unsigned long event,
			void *data)
{
	struct module *module = data;
	struct bsa_heap *heap;

	if (!is_client(module))
		return NOTIFY_DONE;
	mutex_lock(&heap_mutex);
	if (event == MODULE_STATE_COMING)
		bsa_debug_client_comes(module);
	else if (event == MODULE_STATE_GOING)
		list_for_each_entry(heap, &heap_list, node)
			client_gone(heap, module);
	mutex_unlock(&heap_mutex);
	return NOTIFY_DONE;
}

static struct notifier_block module_notifier = { .notifier_call = module_event };

static int __init bsa_init(void)
{
	struct bsa_heap *heap = &bsa_default_heap;
	int err;

	err = check_parameters();
	if (err)
		return err;
	err = bsa_pagemap_init();
	if (err) {
		pr_err("no memory for the page map\n");
		return err;
	}
	err = init_heap(heap, debug_flags);
	if (err) {
		pr_err("no memory for debug=%s\n", debug);
		goto pagemap;
	}
	err = add_reserved(heap, size, node, false);
	if (err)
		goto heap;
	if (lowmem) {
		err = add_reserved(heap, lowmem, node, true);
		if (err)
			goto heap;
	}
	err = bsa_percpu_start();
	if (err) {
		pr_err("cannot watch CPUs come and go\n");
		goto heap;
	}
	err = register_module_notifier(&module_notifier);
	if (err)
		goto percpu;

	list_add_tail(&heap->node, &heap_list);
	bsa_debugfs_init();
	bsa_debugfs_add(heap);
	log_reserved(heap);
	return 0;

percpu:
	bsa_percpu_stop();
heap:
	exit_heap(heap, false);
pagemap:
	bsa_pagemap_exit();
	return err;
}
module_init(bsa_init);

/* Modules that use a symbol hold this one, so by now nobody calls. */
static void __exit bsa_exit(void)
{
	struct bsa_heap *heap, *next;

	unregister_module_notifier(&module_notifier);
	bsa_debugfs_exit();
	bsa_percpu_stop();
	list_for_each_entry_safe(heap, next, &heap_list, node) {
		bool in_use = heap_in_use(heap, "left behind, not given back");

		list_del(&heap->node);
		exit_heap(heap, in_use);
		if (heap != &bsa_default_heap) {
			pr_err("%s: was never destroyed\n", heap->name);
			free_heap(heap);
		}
	}
	bsa_debug_forget_clients();
	bsa_pagemap_exit();
}
module_exit(bsa_exit);

MODULE_DESCRIPTION("Page and slab allocator over reserved memory");
MODULE_VERSION("0.1");
MODULE_LICENSE("GPL");
