// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a heap holds
 *
 * Each CPU counts what it does, and counts only go up. What is held is the
 * difference of two sums. They are read while others go on; but what was given
 * back is read last, so the difference is never more than was held at some moment
 * in between, and if it is less, not less than nothing. At a quiet moment it is
 * exact.
 */
#include <bsa/bitmap.h>
#include <bsa/compat.h>
#include <bsa/debug.h>
#include <bsa/heap.h>

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
	return READ_ONCE(bsa_heap_or_default(heap)->buddy.nr_sections);
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

	heap = bsa_heap_or_default(heap);
	err = bsa_buddy_section(&heap->buddy, index, info);
	/* Of what moves meanwhile some may be seen in both places. */
	if (!err)
		info->free_pages = min(info->free_pages + bsa_percpu_kept_pages(heap, index),
				       info->total_pages);
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
	return READ_ONCE(bsa_heap_or_default(heap)->buddy.total_pages);
}
EXPORT_SYMBOL_GPL(bsa_heap_nr_pages);

/**
 * bsa_heap_managed_bytes - bytes in all sections, metadata not counted
 * @heap: the heap; NULL is the default heap
 *
 * Context: any.
 */
size_t bsa_heap_managed_bytes(struct bsa_heap *heap)
{
	return bsa_heap_nr_pages(heap) << PAGE_SHIFT;
}
EXPORT_SYMBOL_GPL(bsa_heap_managed_bytes);

/* What the plain allocator has done and holds, whatever debug= makes of it. */
static struct bsa_stats plain_stats(struct bsa_heap *heap)
{
	unsigned long blocks = 0, slab_pages = 0, nr;
	struct bsa_stats stats = {};
	struct bsa_cpu *c = NULL;
	unsigned int i;

	while ((c = bsa_percpu_next(heap, c))) {
		for (i = 0; i < BSA_ALL_CLASSES; i++) {
			stats.live_objects += READ_ONCE(c->slabs.class[i].allocs);
			stats.drains += READ_ONCE(c->slabs.drains[i]);
			stats.refills += READ_ONCE(c->slabs.class[i].refills);
		}
		for (i = 0; i < BSA_NR_ORDERS; i++) {
			blocks += READ_ONCE(c->kept[i].allocs);
			stats.live_pages += READ_ONCE(c->kept[i].allocs) << i;
		}
		slab_pages += READ_ONCE(c->slab_pages);
		stats.remote_frees += READ_ONCE(c->remote_frees);
		stats.failures += READ_ONCE(c->failures);
	}
	stats.allocs = stats.live_objects + blocks;
	/* Two rounds. No order is needed: the sum is exact when nobody calls. */
	smp_rmb();
	while ((c = bsa_percpu_next(heap, c))) {
		for (i = 0; i < BSA_ALL_CLASSES; i++)
			stats.live_objects -= READ_ONCE(c->slabs.class[i].frees);
		stats.live_objects -= READ_ONCE(c->remote_frees) +
				      READ_ONCE(c->listed_frees);
		stats.live_objects += READ_ONCE(c->slabs.conflicts) +
				      READ_ONCE(c->conflicts);
		for (i = 0; i < BSA_NR_ORDERS; i++) {
			blocks -= READ_ONCE(c->kept[i].frees);
			stats.live_pages -= READ_ONCE(c->kept[i].frees) << i;
		}
		stats.live_pages -= READ_ONCE(c->shrunk_pages);
		slab_pages -= READ_ONCE(c->slab_pages_back);
	}
	stats.live_objects = max_t(long, stats.live_objects, 0);
	stats.live_pages = max_t(long, stats.live_pages, 0);
	stats.frees = stats.allocs - stats.live_objects - max_t(long, blocks, 0);

	stats.sections = bsa_heap_nr_sections(heap);
	stats.total_pages = bsa_heap_nr_pages(heap);
	/* In allocations, in slabs and in blocks of bitmaps. */
	nr = stats.live_pages + max_t(long, slab_pages, 0) +
	     ((unsigned long)READ_ONCE(heap->buddy.nr_bitmap_blocks) << BSA_BITMAP_ORDER);
	nr = min(nr, stats.total_pages);
	stats.free_pages = stats.total_pages - nr;
	stats.managed_bytes = stats.total_pages << PAGE_SHIFT;
	stats.allocated_bytes = nr << PAGE_SHIFT;
	return stats;
}

/**
 * bsa_heap_nr_free_pages - pages in no allocation and no slab
 * @heap: the heap; NULL is the default heap
 *
 * Context: any.
 */
unsigned long bsa_heap_nr_free_pages(struct bsa_heap *heap)
{
	return plain_stats(bsa_heap_or_default(heap)).free_pages;
}
EXPORT_SYMBOL_GPL(bsa_heap_nr_free_pages);

/**
 * bsa_heap_allocated_bytes - bytes in page allocations and in slabs
 * @heap: the heap; NULL is the default heap
 *
 * A slab counts as a whole, also if it is an empty one that is kept.
 *
 * Context: any.
 */
size_t bsa_heap_allocated_bytes(struct bsa_heap *heap)
{
	return plain_stats(bsa_heap_or_default(heap)).allocated_bytes;
}
EXPORT_SYMBOL_GPL(bsa_heap_allocated_bytes);

/**
 * bsa_heap_get_stats - totals of a heap
 * @heap: the heap; NULL is the default heap
 * @stats: filled in
 *
 * Context: any.
 */
void bsa_heap_get_stats(struct bsa_heap *heap, struct bsa_stats *stats)
{
	unsigned int i;

	heap = bsa_heap_or_default(heap);
	*stats = plain_stats(heap);
	for (i = 0; i < BSA_NR_REFUSED; i++)
		stats->refused_frees += bsa_heap_refused(heap, i);
	if (heap->debug)
		bsa_debug_stats(heap, stats);
}
EXPORT_SYMBOL_GPL(bsa_heap_get_stats);

/*
 * How many frees were refused for this reason. What two have freed at once, and was
 * found later, counts as freed twice.
 */
unsigned long bsa_heap_refused(struct bsa_heap *heap, enum bsa_refused why)
{
	unsigned long nr = 0;
	struct bsa_cpu *c = NULL;

	while ((c = bsa_percpu_next(heap, c))) {
		nr += READ_ONCE(c->refused[why]);
		if (why == BSA_FREE_DOUBLE)
			nr += READ_ONCE(c->slabs.conflicts) +
			      READ_ONCE(c->conflicts);
	}
	return nr;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_heap_refused);

/* Slab objects that are in use, by callers or by debug=. */
unsigned long bsa_plain_live_objects(struct bsa_heap *heap)
{
	return plain_stats(heap).live_objects;
}

/* Free pages that are kept for some CPU; of section @section, or (-1) of any. */
unsigned long bsa_percpu_kept_pages(struct bsa_heap *heap, int section)
{
	unsigned long nr = 0;
	struct bsa_cpu *c = NULL;

	while ((c = bsa_percpu_next(heap, c)))
		nr += bsa_kept_nr_pages(c->kept, section);
	return nr;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_percpu_kept_pages);
