// SPDX-License-Identifier: GPL-2.0-only
/*
 * Is all that a heap knows about itself still true?
 *
 * Every invariant that the other files state is looked at, for the whole heap:
 *
 *   pages    blocks are aligned, lie in their section, do not overlap, and cover
 *            it; the map leads from each page to the descriptor that is
 *            responsible for it
 *   buddy    the free blocks are those on the free lists, no two buddies are
 *            free, and the words and bitmaps that are searched say so
 *   kept     what is kept for a CPU is a block that nobody has
 *   slabs    each is on the one list that its bitmaps and its @ttl call for; no
 *            bitmap has a bit where there is no object, and none is used twice
 *   busy     no CPU has left its mark behind
 *   queues   what others have freed in a slab is queued, and nothing else is
 *   counts   numbers of blocks, slabs and objects are what has been counted
 *
 * All CPUs are stopped meanwhile: then none is inside a section without
 * preemption, which is where all of this may be untrue for a moment. Only page
 * blocks change hands with preemption on. What this leaves uncertain, blocks that
 * seem to be nobody's and the count of pages that callers hold, is an error only
 * if the caller knows that the heap is quiet. NMIs are not stopped: one that frees
 * at that moment may be taken for an error.
 *
 * A damaged heap must not take the checker with it: no pointer is followed
 * before it is known to lead to a descriptor of the heap.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <bsa/compat.h>
#include <bsa/debug.h>
#include <bsa/tools.h>
#include <bsa/validate.h>
#include <linux/io.h>
#include <linux/seq_file.h>
#include <linux/stop_machine.h>

/* Of more errors only the number is told. */
#define MAX_LINES	20

/**
 * struct check - one look at a heap
 * @heap: the heap
 * @m: where to say what is wrong; NULL: the log
 * @quiet: nobody is inside a call
 * @errors: what is wrong
 * @pages: pages in blocks of each state, by the state of the first page
 * @blocks: their number
 * @live: objects that are free in no bitmap
 * @conflicts: objects that are free in both
 * @queued: descriptors that say they are on a queue
 * @bitmaps: bitmaps that slabs have from the pool
 * @bitmaps_used: bitmaps that the pool says it has given away
 * @pool_pages: pages of bitmaps that have room for another
 * @kept: blocks kept for CPUs
 * @blind: an active slab or its bitmap cannot be looked at
 */
struct check {
	struct bsa_heap *heap;
	struct seq_file *m;
	bool quiet;
	unsigned long errors;
	unsigned long pages[BSA_PAGE_SLAB_EMPTY + 1];
	unsigned long blocks[BSA_PAGE_SLAB_EMPTY + 1];
	unsigned long live;
	unsigned long conflicts;
	unsigned long queued;
	unsigned long bitmaps;
	unsigned long bitmaps_used;
	unsigned long pool_pages;
	unsigned long kept;
	bool blind;
};

static void tell(struct check *check, struct va_format *vaf)
{
	if (check->m)
		seq_printf(check->m, "%pV\n", vaf);
	else
		pr_err("%s: %pV\n", check->heap->name, vaf);
}

/* Something is wrong. */
static __printf(2, 3) void check_err(struct check *check, const char *format,
				     ...)
{
	struct va_format vaf = { .fmt = format };
	va_list args;

	if (check->errors++ >= MAX_LINES)
		return;
	va_start(args, format);
	vaf.va = &args;
	tell(check, &vaf);
	va_end(args);
}

static __printf(2, 3) void check_info(struct check *check, const char *format,
				      ...)
{
	struct va_format vaf = { .fmt = format };
	va_list args;

	va_start(args, format);
	vaf.va = &args;
	tell(check, &vaf);
	va_end(args);
}

/* Two numbers that are to be the same. */
static void same(struct check *check, const char *what, unsigned long is,
		 unsigned long should_be)
{
	if (is != should_be)
		check_err(check, "%s: %lu, but there are %lu", what, is, should_be);
}

/* The section whose descriptors @page is one of; NULL if it is none at all. */
static struct bsa_section *section_of(struct check *check,
				      const struct bsa_page *page)
{
	struct bsa_buddy *buddy = &check->heap->buddy;
	struct bsa_range *range;
	unsigned int i;

	for (i = 0; i < buddy->nr_sections; i++) {
		range = &buddy->section[i]->range;
		if (page >= range->pages &&
		    page < range->pages + range->nr_pages &&
		    IS_ALIGNED((unsigned long)page, sizeof(*page)))
			return buddy->section[i];
	}
	return NULL;
}

/* Pages are named by their physical page number. */
static unsigned long pfn_of(struct check *check, const struct bsa_page *page)
{
	const struct bsa_section *section = section_of(check, page);

	return section->pfn + (page - section->range.pages);
}

static unsigned long addr_of(struct check *check, const struct bsa_page *page)
{
	const struct bsa_range *range = &section_of(check, page)->range;

	return range->start + ((page - range->pages) << PAGE_SHIFT);
}

/*
 * Step through a list of descriptors, from NULL to NULL. That each points back
 * to the one before it also sees to it that there is an end.
 */
static struct bsa_page *next_listed(struct check *check, const char *what,
				    struct list_head *head,
				    struct bsa_page *page)
{
	struct list_head *node = page ? &page->list : head;
	struct bsa_page *next;

	if (node->next == head) {
		if (head->prev != node)
			check_err(check, "%s: the list does not end where it should",
				  what);
		return NULL;
	}
	next = list_entry(node->next, struct bsa_page, list);
	if (!section_of(check, next)) {
		check_err(check, "%s: the list leads to %p, which is no page",
			  what, next);
		return NULL;
	}
	if (next->list.prev != node) {
		check_err(check, "%s: the list is broken at page %#lx", what,
			  pfn_of(check, next));
		return NULL;
	}
	return next;
}

/*
 * Slabs
 */

/* The objects of one word of a slab's bitmaps. */
static unsigned long objects_in(const struct bsa_page *slab, unsigned int word,
				unsigned int units)
{
	unsigned int first = word * BITS_PER_LONG;
	unsigned long bits;

	if (first >= units)
		return 0;
	bits = ~0UL >> (BITS_PER_LONG - min(units - first, 64U));
	return word ? bits : bits & ~bsa_slab_holes(slab);
}

/* Where a slab has its bitmaps. Return false if they must not be read. */
static bool check_bitmap(struct check *check, struct bsa_page *slab,
			 unsigned long pfn, bool pooled)
{
	struct bsa_page *page;
	unsigned long slot;

	if (!pooled) {
		if (slab->free == &slab->free0)
			return true;
		check_err(check, "slab %#lx: its bitmap is at %p", pfn,
			  slab->free);
		return false;
	}
	page = bsa_page_of(slab->free);
	slot = offset_in_page(slab->free);
	if (!section_of(check, page) || page->state != BSA_PAGE_BITMAPS ||
	    slot % BSA_BITMAP_BYTES ||
	    slot / BSA_BITMAP_BYTES >= BSA_BITMAPS_PER_PAGE) {
		check_err(check, "slab %#lx: its bitmap is at %p", pfn,
			  slab->free);
		return false;
	}
	if (test_bit(slot / BSA_BITMAP_BYTES, &page->free0))
		check_err(check, "slab %#lx: its bitmap is free", pfn);
	check->bitmaps++;
	return true;
}

/* Does the state of a slab go with its free objects? */
static void check_ttl(struct check *check, const struct bsa_page *slab,
		      unsigned long pfn, unsigned int free)
{
	bool right;

	switch (slab->state) {
	case BSA_PAGE_SLAB_FULL:
		right = !free && slab->ttl == 1;
		break;
	case BSA_PAGE_SLAB_PARTIAL:
		right = free && slab->ttl && free + slab->ttl == slab->capacity;
		break;
	case BSA_PAGE_SLAB_EMPTY:
		right = free == slab->capacity;
		break;
	default:
		right = slab->ttl;
		break;
	}
	if (!right)
		check_err(check, "slab %#lx: state %u with %u of %u objects free, ttl %u",
			  pfn, slab->state, free, slab->capacity, slab->ttl);
}

static void check_owner(struct check *check, const struct bsa_page *slab,
			unsigned long pfn)
{
	struct bsa_cpu *c;

	for (c = bsa_percpu_next(check->heap, NULL); c;
	     c = bsa_percpu_next(check->heap, c))
		if (c->slabs.owner == slab->owner)
			return;
	check_err(check, "slab %#lx: its owner is %#x", pfn, slab->owner);
}

static void check_slab(struct check *check, struct bsa_page *slab,
		       unsigned long pfn)
{
	unsigned int nr_free = 0, nr_remote = 0, nr_both = 0;
	unsigned int size = PAGE_SIZE << slab->order, units, capacity, i;
	unsigned long free, remote, objects, holes, zone;

	if (slab->class >= BSA_ALL_CLASSES ||
	    (slab->order && slab->order != bsa_slab_order(slab->class))) {
		check_err(check, "slab %#lx: class %u, order %u", pfn, slab->class,
			  slab->order);
		return;
	}
	units = min_t(unsigned int, size / bsa_class_unit(slab->class),
		      BSA_MAX_OBJECTS);
	capacity = slab->class < BSA_NR_CLASSES ? units : units / 3;
	/* The first slot is a red zone. */
	zone = bsa_debug_flag(check->heap, BSA_DEBUG_ZONES);
	capacity -= zone;
	if (slab->mask != size - 1 ||
	    slab->shift != __ffs(bsa_class_unit(slab->class)) ||
	    slab->capacity != capacity) {
		check_err(check, "slab %#lx: mask %#x, shift %u, %u objects", pfn,
			  slab->mask, slab->shift, slab->capacity);
		return;
	}
	check_owner(check, slab, pfn);
	if (!check_bitmap(check, slab, pfn, units > BITS_PER_LONG)) {
		check->blind = true;
		return;
	}

	for (i = 0; i < (units > BITS_PER_LONG ? BSA_REMOTE : 1); i++) {
		free = READ_ONCE(slab->free[i]);
		remote = READ_ONCE(slab->free[BSA_REMOTE + i]);
		objects = objects_in(slab, i, units) & ~(i ? 0 : zone);
		holes = i ? 0 : bsa_slab_holes(slab);
		if (free & ~objects || (remote & ~objects) != holes)
			check_err(check, "slab %#lx: word %u of its bitmaps is %#lx, %#lx; objects are %#lx",
				  pfn, i, free, remote, objects);
		nr_free += hweight_long(free & objects);
		nr_remote += hweight_long(remote & objects);
		nr_both += hweight_long(free & remote & objects);
	}
	check_ttl(check, slab, pfn, nr_free);
	if (nr_remote && slab->node.next == BSA_NOT_QUEUED)
		check_err(check, "slab %#lx: %u objects freed from elsewhere, but it is not queued",
			  pfn, nr_remote);
	check->live += capacity - nr_free - nr_remote + nr_both;
	check->conflicts += nr_both;
}

static void check_listed(struct check *check, struct bsa_cpu *c,
			 unsigned int index, struct bsa_page *slab,
			 enum bsa_page_state state)
{
	if (slab->state != state || slab->class != index ||
	    slab->owner != c->slabs.owner)
		check_err(check, "slab %#lx: state %u, class %u, owner %#x on a list of state %u, class %u, owner %#x",
			  pfn_of(check, slab), slab->state,
			  slab->class, slab->owner, state, index, c->slabs.owner);
}

static void check_active(struct check *check, struct bsa_cpu *c,
			 unsigned int index)
{
	struct bsa_class *class = &c->slabs.class[index];
	struct bsa_page *slab = class->active;
	unsigned long word, base, from;

	if (class->unit != bsa_class_unit(index))
		check_err(check, "owner %#x: objects of class %u are %lu bytes apart",
			  c->slabs.owner, index, class->unit);
	if (!slab) {
		if (*class->free)
			check_err(check, "owner %#x: free objects of class %u, but no active slab",
				  c->slabs.owner, index);
		return;
	}
	if (!section_of(check, slab)) {
		check_err(check, "owner %#x: the active slab of class %u is at %p",
			  c->slabs.owner, index, slab);
		check->blind = true;
		return;
	}
	check_listed(check, c, index, slab, BSA_PAGE_SLAB_ACTIVE);
	base = addr_of(check, slab);
	from = bsa_hidden(class->base);
	word = class->free - slab->free;
	if (word >= BSA_REMOTE ||
	    from != base + word * BITS_PER_LONG * class->unit)
		check_err(check, "owner %#x: allocates from word %ld of slab %#lx, at offset %ld",
			  c->slabs.owner, word, pfn_of(check, slab),
			  from - base);
}

/* Nobody is on a fast path; with debug= every CPU is busy for good. */
static void check_idle(struct check *check, struct bsa_cpu *c)
{
	if (c->idle != bsa_percpu_mark(c))
		check_err(check, "owner %#x: its mark is %p", c->slabs.owner,
			  (void *)c->idle);
}

static unsigned long check_list(struct check *check, struct bsa_cpu *c,
				unsigned int index, struct list_head *head,
				enum bsa_page_state state, unsigned int count)
{
	struct bsa_page *slab = NULL;
	unsigned long nr = 0;

	while ((slab = next_listed(check, "slabs", head, slab))) {
		check_listed(check, c, index, slab, state);
		nr++;
	}
	same(check, "slabs that a list is said to have", count, nr);
	return nr;
}

/* Every slab of the sections must be on exactly one list, or active. */
static void check_lists(struct check *check)
{
	unsigned long active = 0, partial = 0, full = 0, empty = 0;
	struct bsa_class *class;
	struct bsa_cpu *c;
	unsigned int i;

	for (c = bsa_percpu_next(check->heap, NULL); c;
	     c = bsa_percpu_next(check->heap, c)) {
		check_idle(check, c);
		for (i = 0; i < BSA_ALL_CLASSES; i++) {
			class = &c->slabs.class[i];
			check_active(check, c, i);
			active += !!class->active;
			partial += check_list(check, c, i, &class->partial,
					      BSA_PAGE_SLAB_PARTIAL,
					      class->nr_partial);
			full += check_list(check, c, i, &class->full,
					   BSA_PAGE_SLAB_FULL, class->nr_full);
			empty += check_list(check, c, i, &class->empty,
					    BSA_PAGE_SLAB_EMPTY,
					    class->nr_empty);
			if (class->nr_empty > 1)
				check_err(check, "owner %#x: %u empty slabs of class %u",
					  c->slabs.owner, class->nr_empty, i);
		}
	}
	same(check, "active slabs", active,
	     check->blocks[BSA_PAGE_SLAB_ACTIVE]);
	same(check, "slabs on lists of partial ones", partial,
	     check->blocks[BSA_PAGE_SLAB_PARTIAL]);
	same(check, "slabs on lists of full ones", full,
	     check->blocks[BSA_PAGE_SLAB_FULL]);
	same(check, "slabs on lists of empty ones", empty,
	     check->blocks[BSA_PAGE_SLAB_EMPTY]);
}

/* Count what is queued from @node on, but not for ever. */
static unsigned long count_queued(struct check *check, struct llist_node *node)
{
	unsigned long nr = 0, max = check->heap->buddy.total_pages;
	struct bsa_page *slab;

	for (; node; node = node->next) {
		slab = llist_entry(node, struct bsa_page, node);
		if (!section_of(check, slab) || nr++ > max) {
			check_err(check, "a queue leads to %p", node);
			break;
		}
	}
	return nr;
}

static void check_queues(struct check *check)
{
	unsigned long nr = 0;
	struct bsa_cpu *c;

	for (c = bsa_percpu_next(check->heap, NULL); c;
	     c = bsa_percpu_next(check->heap, c)) {
		nr += count_queued(check, READ_ONCE(c->remote.first));
		nr += count_queued(check, c->pending);
	}
	same(check, "slabs on queues", nr, check->queued);
}

static void check_pool(struct check *check)
{
	struct list_head *head = &check->heap->pool.pages;
	struct bsa_page *page = NULL;
	unsigned long nr = 0;

	while ((page = next_listed(check, "bitmaps", head, page))) {
		nr++;
		if (page->state != BSA_PAGE_BITMAPS || !page->free0)
			check_err(check, "page %#lx: state %u, but it is listed for bitmaps",
				  pfn_of(check, page),
				  page->state);
	}
	same(check, "pages with room for bitmaps", nr, check->pool_pages);
	same(check, "bitmaps in use", check->bitmaps_used, check->bitmaps);
}

/*
 * Pages
 */

static void check_free_block(struct check *check, struct bsa_section *section,
			     unsigned long index)
{
	struct bsa_page *page = &section->range.pages[index], *other;
	unsigned long buddy = ((section->pfn + index) ^ 1UL << page->order) -
			      section->pfn;

	if (page->order >= BSA_MAX_PAGE_ORDER ||
	    buddy >= section->range.nr_pages)
		return;
	other = &section->range.pages[buddy];
	if (other->state == BSA_PAGE_FREE && other->order == page->order &&
	    buddy > index)
		check_err(check, "page %#lx: it and its buddy of order %u are both free",
			  pfn_of(check, page), page->order);
}

static void check_bitmaps_page(struct check *check, struct bsa_page *page,
			       unsigned long pfn)
{
	unsigned long all = GENMASK(BSA_BITMAPS_PER_PAGE - 1, 0);

	if (page->order || page->free0 & ~all || page->free0 == all)
		check_err(check, "page %#lx: order %u, free bitmaps %#lx", pfn,
			  page->order, page->free0);
	check->bitmaps_used += hweight_long(~page->free0 & all);
	check->pool_pages += !!page->free0;
}

/* What is true of every page, inside a block or at its head. */
static void check_page(struct check *check, struct bsa_section *section,
		       unsigned long index, struct bsa_page *head)
{
	struct bsa_page *page = &section->range.pages[index];
	struct bsa_page *map = bsa_page_is_slab(head) ? head : page;
	const void *addr = (void *)section->range.start + (index << PAGE_SHIFT);
	unsigned long pfn = section->pfn + index;

	if (page->section != section->id)
		check_err(check, "page %#lx: section %u", pfn, page->section);
	if (bsa_page_of(addr) != map)
		check_err(check, "page %#lx: the map leads to %p, not to %p", pfn,
			  bsa_page_of(addr), map);
	if (page != head && page->state != BSA_PAGE_TAIL)
		check_err(check, "page %#lx: state %u inside a block", pfn,
			  page->state);
	if ((page != head || !bsa_page_is_slab(head)) &&
	    page->owner != BSA_NOBODY)
		check_err(check, "page %#lx: owner %#x, but it is no slab", pfn,
			  page->owner);
	check->queued += page->node.next != BSA_NOT_QUEUED;
}

/* Called for each red zone and each poison that was written to. */
static void check_bytes(void *arg, const void *at, size_t nr)
{
	struct check *check = arg;

	/* KASAN has them as nobody's. */
	kasan_disable_current();
	check_err(check, "page %#lx: %zu bytes from offset %lu on were overwritten: %*ph",
		  PHYS_PFN(virt_to_phys((void *)at)), nr, offset_in_page(at),
		  (int)min_t(size_t, nr, 16), at);
	kasan_enable_current();
}

/* Return the number of pages in the block that begins with page @index. */
static unsigned long check_block(struct check *check,
				 struct bsa_section *section,
				 unsigned long index)
{
	struct bsa_page *page = &section->range.pages[index];
	unsigned long pfn = section->pfn + index;
	unsigned long nr, i;

	if (page->state <= BSA_PAGE_TAIL || page->state > BSA_PAGE_SLAB_EMPTY) {
		check_err(check, "page %#lx: state %u, where a block should begin",
			  pfn, page->state);
		return 1;
	}
	nr = 1UL << min_t(unsigned int, page->order, BSA_MAX_PAGE_ORDER + 1);
	if (page->order > BSA_MAX_PAGE_ORDER || pfn & (nr - 1) ||
	    nr > section->range.nr_pages - index) {
		check_err(check, "page %#lx: no block of order %u can be here", pfn,
			  page->order);
		return 1;
	}
	for (i = 0; i < nr; i++)
		check_page(check, section, index + i, page);
	check->blocks[page->state]++;
	check->pages[page->state] += nr;
	if (page->state == BSA_PAGE_FREE)
		check_free_block(check, section, index);
	else if (page->state == BSA_PAGE_BITMAPS)
		check_bitmaps_page(check, page, pfn);
	else if (bsa_page_is_slab(page))
		check_slab(check, page, pfn);
	if (check->heap->debug && page->section == section->id)
		bsa_debug_validate(check->heap, page, check_bytes, check);
	return nr;
}

static void check_free_list(struct check *check, struct bsa_section *section,
			    unsigned int order)
{
	struct bsa_buddy *buddy = &check->heap->buddy;
	struct bsa_page *page = NULL;
	unsigned long nr = 0;

	while ((page = next_listed(check, "free blocks", &section->free[order],
				   page))) {
		nr++;
		if (page->state != BSA_PAGE_FREE || page->order != order ||
		    page->section != section->id)
			check_err(check, "page %#lx: state %u, order %u, on the list of free blocks of order %u",
				  pfn_of(check, page), page->state,
				  page->order, order);
	}
	same(check, "free blocks that a section is said to have",
	     section->nr_free[order], nr);
	if (!!(section->orders & BIT(order)) != !!nr)
		check_err(check, "section %u: %lu blocks of order %u, orders %#lx",
			  section->id, nr, order, section->orders);
	if (test_bit(section->id, buddy->fits[order]) !=
	    (fls_long(section->orders) > order))
		check_err(check, "section %u: orders %#lx, but fits of order %u is %u",
			  section->id, section->orders, order,
			  test_bit(section->id, buddy->fits[order]));
}

static void check_section(struct check *check, struct bsa_section *section)
{
	unsigned long free = check->pages[BSA_PAGE_FREE];
	unsigned long blocks = check->blocks[BSA_PAGE_FREE];
	struct bsa_buddy *buddy = &check->heap->buddy;
	unsigned long listed = 0, i = 0;
	unsigned int order;

	while (i < section->range.nr_pages)
		i += check_block(check, section, i);
	for (order = 0; order < BSA_NR_ORDERS; order++) {
		check_free_list(check, section, order);
		listed += section->nr_free[order];
	}
	same(check, "free blocks on lists", listed,
	     check->blocks[BSA_PAGE_FREE] - blocks);
	same(check, "free pages of a section", section->free_pages,
	     check->pages[BSA_PAGE_FREE] - free);
	if (test_bit(section->id, buddy->low) != section->low)
		check_err(check, "section %u: low is %u, but not in the bitmap",
			  section->id, section->low);
}

/* Blocks that one CPU keeps, of one order and side of 4 GiB. */
static void check_stack(struct check *check, const struct bsa_cpu *c,
			unsigned int order, unsigned int side)
{
	unsigned long stack = c->pcp[order].stack[side];
	unsigned long nr = bsa_pcp_nr(stack);
	struct bsa_page *page;

	for (; nr; nr--) {
		check->kept++;
		page = bsa_page_of((void *)(stack & PAGE_MASK));
		if (!section_of(check, page)) {
			check_err(check, "CPU %u keeps what is no page", c->cpu);
			return;
		}
		if (page->state != BSA_PAGE_KEPT || page->order != order ||
		    section_of(check, page)->low != side)
			check_err(check, "page %#lx: state %u, order %u, kept for CPU %u",
				  pfn_of(check, page), page->state,
				  page->order, c->cpu);
		stack = (unsigned long)page->list.next;
		if (bsa_pcp_nr(stack) != nr - 1) {
			check_err(check, "page %#lx: kept for CPU %u, %lu below it instead of %lu",
				  pfn_of(check, page), c->cpu,
				  bsa_pcp_nr(stack), nr - 1);
			return;
		}
	}
	if (stack)
		check_err(check, "CPU %u keeps no block of order %u, but its stack is %p",
			  c->cpu, order, (void *)stack);
}

/* Blocks that are kept for some CPU, or wait to be given back; nobody has them. */
static void check_kept(struct check *check)
{
	unsigned int order, side;
	struct llist_node *node;
	struct bsa_cpu *c;

	for (c = bsa_percpu_next(check->heap, NULL); c;
	     c = bsa_percpu_next(check->heap, c))
		for (order = 0; order < BSA_PCP_ORDERS; order++)
			for (side = 0; side < 2; side++)
				check_stack(check, c, order, side);
	for (node = check->heap->buddy.deferred.first; node; node = node->next)
		check->kept++;
	for (node = check->heap->buddy.pending; node; node = node->next)
		check->kept++;
}

static void check_totals(struct check *check)
{
	struct bsa_buddy *buddy = &check->heap->buddy;
	struct bsa_debug *debug = check->heap->debug;
	unsigned long pages = 0;
	unsigned int i, order;
	struct bsa_cpu *c;
	long held = 0;

	for (i = 0; i < buddy->nr_sections; i++)
		pages += buddy->section[i]->range.nr_pages;
	same(check, "pages", buddy->total_pages, pages);
	same(check, "free pages", buddy->free_pages,
	     check->pages[BSA_PAGE_FREE]);

	/* In quarantine, and tables of slabs. */
	if (debug) {
		check->live -= debug->nr_held - debug->nr_held_blocks;
		check->kept += debug->nr_held_blocks + debug->nr_tables;
	}
	if (!check->blind)
		same(check, "live objects",
		     bsa_percpu_live_objects(check->heap) + check->conflicts,
		     check->live);

	for (c = bsa_percpu_next(check->heap, NULL); c;
	     c = bsa_percpu_next(check->heap, c))
		for (order = 0; order < BSA_NR_ORDERS; order++)
			held += (c->pcp[order].allocs - c->pcp[order].frees) <<
				order;
	if (check->quiet || check->kept > check->blocks[BSA_PAGE_KEPT])
		same(check, "kept blocks", check->kept,
		     check->blocks[BSA_PAGE_KEPT]);
	if (check->quiet)
		same(check, "pages that callers hold", held,
		     check->pages[BSA_PAGE_ALLOCATED]);
}

/* All other CPUs are stopped. */
static int check_heap(void *data)
{
	struct check *check = data;
	struct bsa_buddy *buddy = &check->heap->buddy;
	unsigned int i;

	for (i = 0; i < buddy->nr_sections; i++)
		check_section(check, buddy->section[i]);
	check_lists(check);
	check_queues(check);
	check_pool(check);
	check_kept(check);
	check_totals(check);
	return 0;
}

/**
 * bsa_validate - check all that a heap knows about itself
 * @heap: the heap; NULL is the default heap
 * @m: where to say what is wrong, and what there is; NULL: what is wrong goes
 *	to the log
 * @quiet: nobody is inside a call on the heap
 *
 * Context: process, may sleep. All CPUs are stopped, for as long as it takes to
 * look at each page's descriptor.
 * Return: how much is wrong; 0 if nothing.
 */
unsigned long bsa_validate(struct bsa_heap *heap, struct seq_file *m,
			   bool quiet)
{
	struct check check = { .m = m, .quiet = quiet };
	unsigned long slabs = 0;
	unsigned int state;

	heap = heap ?: &bsa_default_heap;
	check.heap = heap;
	stop_machine(check_heap, &check, NULL);
	for (state = BSA_PAGE_SLAB_ACTIVE; state <= BSA_PAGE_SLAB_EMPTY; state++)
		slabs += check.blocks[state];
	if (m || check.errors)
		check_info(&check, "%lu errors; %u sections, %lu pages: %lu free, %lu kept, %lu allocated, %lu in %lu slabs with %lu live objects",
			   check.errors, heap->buddy.nr_sections,
			   heap->buddy.total_pages, check.pages[BSA_PAGE_FREE],
			   check.pages[BSA_PAGE_KEPT],
			   check.pages[BSA_PAGE_ALLOCATED],
			   check.pages[BSA_PAGE_SLAB_ACTIVE] +
			   check.pages[BSA_PAGE_SLAB_PARTIAL] +
			   check.pages[BSA_PAGE_SLAB_FULL] +
			   check.pages[BSA_PAGE_SLAB_EMPTY], slabs, check.live);
	return check.errors;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_validate);
