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

/**
 * struct counts - sums over all CPUs
 * @objects: slab objects
 * @blocks: blocks of pages
 * @pages: pages in those
 * @slab_pages: pages of slabs
 */
struct counts {
	unsigned long objects;
	unsigned long blocks;
	unsigned long pages;
	unsigned long slab_pages;
};

static void count_taken(struct bsa_heap *heap, struct counts *taken)
{
	unsigned int i;
	struct bsa_cpu *c;

	bsa_for_each_owner(c, heap) {
		for (i = 0; i < BSA_ALL_CLASSES; i++)
			taken->objects += READ_ONCE(c->slabs.class[i].allocs);
		for (i = 0; i < BSA_NR_ORDERS; i++) {
			unsigned long nr = READ_ONCE(c->kept[i].allocs);

			taken->blocks += nr;
			taken->pages += nr << i;
		}
		taken->slab_pages += READ_ONCE(c->slab_pages);
	}
}

static void count_back(struct bsa_heap *heap, struct counts *back)
{
	unsigned int i;
	struct bsa_cpu *c;

	/* What is counted below was done after what is counted above. */
	smp_rmb();
	bsa_for_each_owner(c, heap) {
		for (i = 0; i < BSA_ALL_CLASSES; i++)
			back->objects += READ_ONCE(c->slabs.frees[i]);
		back->objects += READ_ONCE(c->remote_frees) +
				 READ_ONCE(c->listed_frees);
		back->objects -= READ_ONCE(c->slabs.conflicts) +
				 READ_ONCE(c->conflicts);
		for (i = 0; i < BSA_NR_ORDERS; i++) {
			unsigned long nr = READ_ONCE(c->kept[i].frees);

			back->blocks += nr;
			back->pages += nr << i;
		}
		back->pages += READ_ONCE(c->shrunk_pages);
		back->slab_pages += READ_ONCE(c->slab_pages_back);
	}
}

static unsigned long held(unsigned long taken, unsigned long back)
{
	return taken > back ? taken - back : 0;
}

/* Pages in allocations, in slabs and in blocks of bitmaps. */
static unsigned long pages_in_use(struct bsa_heap *heap,
				  const struct counts *taken,
				  const struct counts *back)
{
	unsigned long nr = held(taken->pages, back->pages) +
			   held(taken->slab_pages, back->slab_pages) +
			   ((unsigned long)READ_ONCE(heap->buddy.nr_bitmap_blocks)
				<< BSA_BITMAP_ORDER);

	return min(nr, READ_ONCE(heap->buddy.total_pages));
}

/**
 * bsa_heap_nr_free_pages - pages in no allocation and no slab
 * @heap: the heap; NULL is the default heap
 *
 * Context: any.
 */
unsigned long bsa_heap_nr_free_pages(struct bsa_heap *heap)
{
	struct counts taken = {}, back = {};

	heap = bsa_heap_or_default(heap);
	count_taken(heap, &taken);
	count_back(heap, &back);
	return READ_ONCE(heap->buddy.total_pages) -
	       pages_in_use(heap, &taken, &back);
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
	return (bsa_heap_nr_pages(heap) - bsa_heap_nr_free_pages(heap))
		<< PAGE_SHIFT;
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
	struct counts taken = {}, back = {};
	unsigned int i;
	struct bsa_cpu *c;

	heap = bsa_heap_or_default(heap);
	memset(stats, 0, sizeof(*stats));
	count_taken(heap, &taken);
	count_back(heap, &back);
	stats->sections = bsa_heap_nr_sections(heap);
	stats->total_pages = bsa_heap_nr_pages(heap);
	stats->free_pages = stats->total_pages -
			    pages_in_use(heap, &taken, &back);
	stats->managed_bytes = stats->total_pages << PAGE_SHIFT;
	stats->allocated_bytes = (stats->total_pages - stats->free_pages)
				 << PAGE_SHIFT;
	stats->live_objects = held(taken.objects, back.objects);
	stats->live_pages = held(taken.pages, back.pages);
	stats->allocs = taken.objects + taken.blocks;
	stats->frees = stats->allocs - stats->live_objects -
		       held(taken.blocks, back.blocks);

	bsa_for_each_owner(c, heap) {
		for (i = 0; i < BSA_ALL_CLASSES; i++) {
			stats->drains += READ_ONCE(c->slabs.class[i].drains);
			stats->refills += READ_ONCE(c->slabs.class[i].refills);
		}
		stats->remote_frees += READ_ONCE(c->remote_frees);
		stats->failures += READ_ONCE(c->failures);
	}
	for (i = 0; i < BSA_NR_REFUSED; i++)
		stats->refused_frees += bsa_heap_refused(heap, i);
	if (heap->debug)
		bsa_debug_stats(heap, stats);
}
EXPORT_SYMBOL_GPL(bsa_heap_get_stats);

/**
 * bsa_heap_refused - frees that were refused
 * @heap: the heap
 * @why: for this reason
 *
 * What two have freed at once, and was found later, counts as freed twice.
 */
unsigned long bsa_heap_refused(struct bsa_heap *heap, enum bsa_refused why)
{
	unsigned long nr = 0;
	struct bsa_cpu *c;

	bsa_for_each_owner(c, heap) {
		nr += READ_ONCE(c->refused[why]);
		if (why == BSA_FREE_DOUBLE)
			nr += READ_ONCE(c->slabs.conflicts) +
			      READ_ONCE(c->conflicts);
	}
	return nr;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_heap_refused);

/**
 * bsa_plain_live_objects - slab objects that are in use, by callers or by debug=
 * @heap: the heap
 */
unsigned long bsa_plain_live_objects(struct bsa_heap *heap)
{
	struct counts taken = {}, back = {};

	count_taken(heap, &taken);
	count_back(heap, &back);
	return held(taken.objects, back.objects);
}

/**
 * bsa_percpu_kept_pages - free pages that are kept for some CPU
 * @heap: the heap
 * @section: index of the section that they belong to; -1: any
 */
unsigned long bsa_percpu_kept_pages(struct bsa_heap *heap, int section)
{
	unsigned long nr = 0;
	struct bsa_cpu *c;

	bsa_for_each_owner(c, heap)
		nr += bsa_kept_nr_pages(c->kept, section);
	return nr;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_percpu_kept_pages);
