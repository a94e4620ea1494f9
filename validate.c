// SPDX-License-Identifier: GPL-2.0-only
/*
 * Is all that a heap knows about itself still true?
 *
 * Every invariant that the other files state is looked at, for the whole heap:
 *
 *   pages    blocks are aligned, lie in their section, do not overlap, and cover
 *            it; the map leads from each page to the descriptor that is
 *            responsible for it
 *   buddy    no two buddies are free; free blocks are on the free lists, and (q)
 *            what is searched says so
 *   kept     (q) what is kept for a CPU is a block that nobody has
 *   guards   pages between metadata and callers' pages are as they were left
 *   slabs    bitmaps, owner and state agree; no bitmap has a bit where there is no
 *            object; each slab is on the list of its state
 *   busy     no CPU has left its mark behind
 *   held     no page has got to the kernel, as by free_pages()
 *   counts   (q) numbers of blocks, slabs and objects are what has been counted
 *   bytes    with debug=, red zones and poison are as they were left
 *
 * One walk goes over the pages of each section, the sections and the owners, in
 * steps. Unless the caller knows that nobody is inside a call, all other CPUs are
 * stopped during each of them: then none is inside a section without preemption,
 * which is where all of this may be untrue for a moment. Between two steps they go
 * on. So what is compared over the whole heap (q) is looked at only if the caller
 * says that the heap is quiet, and then nobody is ever stopped. For bytes nobody is
 * stopped either, see records.c. NMIs are not stopped: one that frees at that moment
 * may be taken for an error.
 *
 * A damaged heap must not take the checker with it: no pointer is followed
 * before it is known to lead to a descriptor of the heap.
 */
#include <bsa/bitmap.h>
#include <bsa/compat.h>
#include <bsa/debug.h>
#include <bsa/reserve.h>
#include <bsa/validate.h>
#include <linux/mutex.h>
#include <linux/rculist.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/stop_machine.h>

/* Of more errors only the number is told. There is room for so many lines. */
#define MAX_LINES	20

/* Pages in a step. Each takes about 100 instructions. */
#define STEP		128

/* What it takes to look at two guards, and at a slab or an owner, in pages. */
#define GUARD_COST	(PAGE_SIZE / 256)
#define SLAB_COST	6

/**
 * struct check - one look at a heap
 * @heap: the heap
 * @m: where to say what is wrong; NULL: the log
 * @quiet: nobody is inside a call
 * @section: index of the section that is looked at
 * @index: page of it that is next
 * @next: owner that is next, when all pages have been looked at
 * @budget: what may still be looked at in this step, in pages
 * @errors: what is wrong
 * @text: lines that are still to be told
 * @pages: pages in blocks of each state, by the state of the first page
 * @blocks: their number
 * @listed: blocks of a state that sections and owners say they have
 * @free_pages: free pages that sections say they have
 * @total_pages: pages that they have
 * @held: pages that callers got and have not given back
 * @live: objects that are free in no bitmap, less those that are free in both:
 *	these have been counted twice
 * @deferred: descriptors that say they wait for a lock
 */
struct check {
	struct bsa_heap *heap;
	struct seq_file *m;
	bool quiet;
	unsigned int section;
	unsigned long index;
	struct bsa_cpu *next;
	int budget;
	unsigned long errors;
	char text[BSA_REPORT_LEN];
	unsigned long pages[BSA_PAGE_SLAB_EMPTY + 1];
	unsigned long blocks[BSA_PAGE_SLAB_EMPTY + 1];
	unsigned long listed[BSA_PAGE_SLAB_EMPTY + 1];
	unsigned long free_pages;
	unsigned long total_pages;
	unsigned long held;
	unsigned long live;
	unsigned long deferred;
};

/* The section that has a descriptor, which may be any value; NULL if none has. */
static struct bsa_section *section_of(struct check *check,
				      const struct bsa_page *page)
{
	struct bsa_buddy *buddy = &check->heap->buddy;
	struct bsa_section *section;
	unsigned int i;

	/* Mostly it is the one that is looked at. */
	for (i = 0; i < buddy->nr_sections; i++) {
		section = buddy->section[(check->section + i) % buddy->nr_sections];
		check->budget -= i % 8 == 7;
		if (page >= section->range.pages &&
		    page < section->range.pages + section->range.nr_pages &&
		    IS_ALIGNED((unsigned long)page, sizeof(*page)))
			return section;
	}
	return NULL;
}

/* The address of a page of the heap; its descriptor may name a wrong section. */
static void *address_of(struct check *check, const struct bsa_page *page)
{
	const struct bsa_range *range = &section_of(check, page)->range;

	return (void *)range->start + ((page - range->pages) << PAGE_SHIFT);
}

/* Note an error down, with the number of the page; NULL: the text names the place. */
static __printf(3, 4) void wrong(struct check *check, const struct bsa_page *page,
				 const char *format, ...)
{
	size_t len = strlen(check->text);
	va_list args;

	if (check->errors++ >= MAX_LINES)
		return;
	if (page)
		len = bsa_say(check->text, len, "page %#lx: ",
			      PHYS_PFN(__pa(address_of(check, page))));
	va_start(args, format);
	vscnprintf(check->text + len, BSA_REPORT_LEN - len, format, args);
	va_end(args);
}

static void tell(struct check *check)
{
	if (check->m)
		seq_puts(check->m, check->text);
	else
		bsa_print_lines(check->heap, check->text);
	check->text[0] = '\0';
}

/* Is this a link of a list that consists of descriptors and its head? */
static bool is_link(struct check *check, const struct list_head *node,
		    const struct list_head *head)
{
	return node == head ||
	       section_of(check, list_entry(node, struct bsa_page, list));
}

/* Do the neighbours of a page on a list lead back to it? */
static void check_links(struct check *check, const struct bsa_page *page,
			const struct list_head *head)
{
	const struct list_head *node = &page->list;

	if (!is_link(check, node->next, head) || node->next->prev != node ||
	    !is_link(check, node->prev, head) || node->prev->next != node)
		wrong(check, page, "the list is broken there\n");
}

/* How many nodes a list has, or @max + 1: a damaged one may have no end. */
static unsigned long length(const struct llist_node *node, unsigned long max)
{
	unsigned long nr = 0;

	for (; node && nr <= max; node = node->next)
		nr++;
	return nr;
}

/*
 * Slabs and their bitmaps
 */

/* Does what a slab knows of its form fit together? */
static bool has_form(const struct bsa_page *slab)
{
	unsigned long size = PAGE_SIZE << slab->order, unit;
	unsigned long most = slab->free == &slab->free0 ? BITS_PER_LONG :
							  BSA_MAX_OBJECTS;

	if (slab->class >= BSA_ALL_CLASSES)
		return false;
	unit = bsa_class_unit(slab->class);
	return (!slab->order || slab->order == bsa_slab_order(slab->class)) &&
	       slab->mask == size - 1 && slab->shift == __ffs(unit) &&
	       slab->bits == min(size / unit, most);
}

/* Does a slab have bitmaps that may be read? */
static bool has_bitmaps(struct check *check, const struct bsa_page *slab)
{
	struct bsa_section *section;
	struct bsa_bitmap *bitmap;
	struct bsa_page *block;
	size_t slot;

	if (slab->free == &slab->free0)
		return true;
	block = bsa_page_of(slab->free);
	section = section_of(check, block);
	if (!section)
		return false;
	block = bsa_buddy_head(section, block);
	bitmap = address_of(check, block) + PAGE_SIZE;
	slot = ((void *)slab->free - (void *)bitmap) / sizeof(*bitmap);
	return block->state == BSA_PAGE_BITMAPS && slot < BSA_NR_BITMAPS &&
	       slab->free == bitmap[slot].free && bitmap[slot].page == slab &&
	       !test_bit(slot, &block->free0);
}

static struct bsa_cpu *owner_of(struct check *check, const struct bsa_page *slab)
{
	struct bsa_cpu *c = NULL;

	while ((c = bsa_percpu_next(check->heap, c)))
		if (c->slabs.number == (slab->owner & ~BSA_OWNER_FULL))
			break;
	return c;
}

/* Does the state of a slab go with its objects, its owner and the lists? */
static bool is_in_place(struct check *check, const struct bsa_page *slab,
			unsigned int nr_free)
{
	bool is_full = slab->state == BSA_PAGE_SLAB_FULL;
	struct bsa_cpu *c = owner_of(check, slab);
	struct bsa_shelf *shelf;

	if (!c || !!(slab->owner & BSA_OWNER_FULL) != is_full)
		return false;
	shelf = &c->slabs.shelf[slab->class];
	switch (slab->state) {
	case BSA_PAGE_SLAB_PARTIAL:
		check_links(check, slab, &shelf->partial);
		return nr_free;
	case BSA_PAGE_SLAB_EMPTY:
		return nr_free == bsa_slab_capacity(slab) && shelf->empty == slab;
	case BSA_PAGE_SLAB_FULL:
		/* What waits for somebody to look at it may have some. */
		return !nr_free || slab->node.next != BSA_NOT_DEFERRED;
	default:
		return true;
	}
}

/* Is what a slab holds as free in no bitmap, and in its owner's magazine? */
static bool is_held(struct check *check, struct bsa_page *slab)
{
	unsigned int index = slab->held - 1, i;
	unsigned long *word = &slab->free[index / BITS_PER_LONG];
	struct bsa_cpu *c = owner_of(check, slab);

	if (index >= slab->bits || !c ||
	    (*word | READ_ONCE(word[BSA_REMOTE])) & BIT(index % BITS_PER_LONG))
		return false;
	for (i = 0; i < c->slabs.class[slab->class].held && i < BSA_MAGAZINE_SIZE; i++)
		if (c->slabs.magazine[slab->class].slab[i] == slab &&
		    bsa_slab_index(slab, c->slabs.magazine[slab->class].object[i]) == index)
			return true;
	return false;
}

static void check_slab(struct check *check, struct bsa_page *slab)
{
	unsigned long free, remote, objects;
	unsigned int nr_free = 0, i;

	check->budget -= SLAB_COST + bsa_slab_words(slab) / 8 + nr_cpu_ids / 16;
	if (!has_form(slab)) {
		wrong(check, slab, "slab of class %u, order %u, mask %#x, shift %u, %u bits\n",
		      slab->class, slab->order, slab->mask, slab->shift, slab->bits);
		return;
	}
	if (!has_bitmaps(check, slab)) {
		wrong(check, slab, "its bitmap is at %p\n", slab->free);
		return;
	}
	for (i = 0; i < bsa_slab_words(slab); i++) {
		free = READ_ONCE(slab->free[i]);
		remote = READ_ONCE(slab->free[BSA_REMOTE + i]);
		objects = bsa_slab_objects(slab, i);
		if (free & ~objects || ~(remote | objects))
			wrong(check, slab, "word %u of its bitmaps: %#lx, %#lx; objects: %#lx\n",
			      i, free, remote, objects);
		nr_free += hweight_long((free | remote) & objects);
		check->live -= hweight_long(free & remote & objects);
	}
	check->live += bsa_slab_capacity(slab) - nr_free - !!slab->held;
	if (slab->held && !is_held(check, slab))
		wrong(check, slab, "object %d of %u is held by no magazine of owner %#x\n",
		      slab->held - 1, slab->bits, slab->owner);
	if (!is_in_place(check, slab, nr_free))
		wrong(check, slab, "state %u with %u of %u objects free, owner %#x\n",
		      slab->state, nr_free, bsa_slab_capacity(slab), slab->owner);
}

static void check_bitmaps(struct check *check, const struct bsa_page *block)
{
	struct bsa_buddy *buddy = &check->heap->buddy;

	check->budget -= GUARD_COST;
	if (block->order != BSA_BITMAP_ORDER || block->free0 & ~BSA_ALL_BITMAPS)
		wrong(check, block, "order %u, free bitmaps %#lx\n", block->order,
		      block->free0);
	check_links(check, block, block->free0 ? &buddy->room : &buddy->crowded);
	if (bsa_bitmap_damaged(buddy, block))
		wrong(check, block, "a guard of its bitmaps was overwritten\n");
}

/*
 * Pages
 */

/* Does the block with this head reach as far as a page at or behind it? */
static bool reaches(const struct bsa_page *head, const struct bsa_page *page)
{
	return head->order <= BSA_MAX_PAGE_ORDER &&
	       page - head < 1L << head->order;
}

static void check_block(struct check *check, struct bsa_section *section,
			struct bsa_page *page)
{
	unsigned long index = page - section->range.pages;
	unsigned long pfn = section->pfn + index, nr = 1UL << page->order;

	if (pfn & (nr - 1) || nr > section->range.nr_pages - index)
		wrong(check, page, "no block of order %u can be here\n", page->order);
	if (index && reaches(bsa_buddy_head(section, page - 1), page))
		wrong(check, page, "state %u inside a block\n", page->state);
	if (page->state == BSA_PAGE_FREE) {
		check_links(check, page, &section->free[page->order]);
		/* Each pair once, by its lower half. */
		if (page->order < BSA_MAX_PAGE_ORDER && !(pfn & nr) &&
		    index + nr < section->range.nr_pages &&
		    page[nr].state == BSA_PAGE_FREE && page[nr].order == page->order)
			wrong(check, page, "it and its buddy of order %u are both free\n",
			      page->order);
	} else if (page->state == BSA_PAGE_BITMAPS) {
		check_bitmaps(check, page);
	} else if (bsa_page_is_slab(page)) {
		check_slab(check, page);
	}
}

/* Check a page, and the block that begins there. */
static void check_page(struct check *check, struct bsa_section *section)
{
	struct bsa_page *page = &section->range.pages[check->index++];
	struct bsa_page *head = bsa_buddy_head(section, page);
	bool is_slab = bsa_page_is_slab(head);
	struct bsa_page *map = bsa_page_of(address_of(check, page));

	check->budget--;
	if (head->state < BSA_PAGE_FREE || head->state > BSA_PAGE_SLAB_EMPTY ||
	    !reaches(head, page)) {
		wrong(check, page, "state %u, order %u, where no such block can be\n",
		      page->state, page->order);
		return;
	}
	check->pages[head->state]++;
	check->blocks[head->state] += page == head;
	check->deferred += page->node.next != BSA_NOT_DEFERRED;
	if (map != (is_slab ? head : page))
		wrong(check, page, "the map leads to %p, not to it or its slab\n", map);
	if (page->owner != BSA_NOBODY && !(is_slab && page == head))
		wrong(check, page, "owner %#x, but it is no slab\n", page->owner);
	if (page->section != section->id)
		wrong(check, page, "section %u\n", page->section);
	else if (page == head)
		check_block(check, section, page);
}

/* Check what belongs to a whole section, when all of its pages have been seen. */
static void check_section(struct check *check, struct bsa_section *section)
{
	struct bsa_buddy *buddy = &check->heap->buddy;
	const void *at = bsa_section_damage(section);
	unsigned long nr;
	unsigned int order;
	bool fits;

	check->budget -= GUARD_COST;
	if (at)
		wrong(check, NULL, "section %u: its guard is overwritten at offset %#lx\n",
		      section->id, (unsigned long)at - section->range.region);
	if (!check->quiet)
		return;
	for (order = 0; order < BSA_NR_ORDERS; order++) {
		nr = section->nr_free[order];
		fits = test_bit(check->section, buddy->fits[order]);
		if (list_empty(&section->free[order]) != !nr ||
		    !(section->orders & BIT(order)) != !nr ||
		    fits != (fls_long(section->orders) > order))
			wrong(check, NULL,
			      "section %u: %lu blocks of order %u; orders %#lx, fits %u\n",
			      section->id, nr, order, section->orders, fits);
		check->listed[BSA_PAGE_FREE] += nr;
	}
	if (test_bit(check->section, buddy->low) != section->low)
		wrong(check, NULL, "section %u: low is %u, but not in the bitmap\n",
		      section->id, section->low);
	check->free_pages += section->free_pages;
	check->total_pages += section->range.nr_pages;
}

/*
 * Owners
 */

/* Check what an owner has of one class; the links of a slab, see is_in_place(). */
static void check_class(struct check *check, struct bsa_cpu *c, unsigned int index)
{
	struct bsa_class *class = &c->slabs.class[index];
	struct bsa_shelf *shelf = &c->slabs.shelf[index];
	struct bsa_page *slab = class->active;
	bool known = slab && section_of(check, slab);
	unsigned long word, offset;

	check->listed[BSA_PAGE_SLAB_ACTIVE] += !!slab;
	check->listed[BSA_PAGE_SLAB_PARTIAL] += shelf->nr_partial;
	check->listed[BSA_PAGE_SLAB_EMPTY] += !!shelf->empty;
	if (class->unit != bsa_class_unit(index) || class->held > BSA_MAGAZINE_SIZE ||
	    (slab ? !known : *class->word) ||
	    list_empty(&shelf->partial) != !shelf->nr_partial)
		wrong(check, NULL,
		      "owner %#x: objects of class %u are %u bytes apart, %u are held; %lu partial slabs, the active one is at %p\n",
		      c->slabs.number, index, class->unit, class->held, shelf->nr_partial, slab);
	if (!known)
		return;
	word = class->word - slab->free;
	offset = bsa_hidden(class->base) - (unsigned long)address_of(check, slab);
	if (slab->state != BSA_PAGE_SLAB_ACTIVE || slab->class != index ||
	    slab->owner != c->slabs.number || word >= BSA_REMOTE ||
	    offset != word * BITS_PER_LONG * class->unit)
		wrong(check, slab,
		      "state %u, class %u, owner %#x; owner %#x allocates class %u from its word %ld, at offset %ld\n",
		      slab->state, slab->class, slab->owner, c->slabs.number, index,
		      word, offset);
}

/* Check blocks that a CPU keeps, of one order and side of 4 GiB. */
static void check_kept(struct check *check, const struct bsa_cpu *c,
		       unsigned int order, unsigned int side)
{
	unsigned long stack = c->kept[order].stack[side];
	unsigned long nr = bsa_kept_nr(stack);
	const struct bsa_section *section;
	struct bsa_page *page;

	check->listed[BSA_PAGE_KEPT] += nr;
	for (; nr && bsa_kept_nr(stack) == nr; nr--) {
		page = bsa_page_of((void *)(stack & PAGE_MASK));
		section = section_of(check, page);
		if (!section || section->low != side ||
		    page->state != BSA_PAGE_KEPT || page->order != order)
			break;
		stack = page->below;
	}
	if (stack || nr)
		wrong(check, NULL,
		      "CPU %u keeps blocks of order %u; of the last %lu, the first is at %p\n",
		      c->cpu, order, nr, (void *)stack);
}

static void check_owner(struct check *check, struct bsa_cpu *c)
{
	unsigned int i;

	check->budget -= SLAB_COST;
	/* Nobody is on a fast path; with debug= every CPU is busy for good. */
	if (c->slabs.mark != bsa_percpu_mark(c) || c->slabs.idle != c->slabs.mark)
		wrong(check, NULL, "owner %#x: its mark is %p\n", c->slabs.number,
		      (void *)c->slabs.mark);
	for (i = 0; i < BSA_ALL_CLASSES; i++)
		check_class(check, c, i);
	if (!check->quiet)
		return;
	check->held -= c->shrunk_pages;
	for (i = 0; i < BSA_NR_ORDERS; i++) {
		check->held += (c->kept[i].allocs - c->kept[i].frees) << i;
		check_kept(check, c, i, 0);
		check_kept(check, c, i, 1);
	}
}

/*
 * The walk
 */

/* Look at as much as others may be stopped for; return 1 if there is more. */
static int check_some(void *data)
{
	struct check *check = data;
	struct bsa_buddy *buddy = &check->heap->buddy;
	struct bsa_section *section;

	check->budget = STEP;
	while (check->budget > 0 && check->section < buddy->nr_sections) {
		section = buddy->section[check->section];
		if (check->index < section->range.nr_pages) {
			check_page(check, section);
			continue;
		}
		check_section(check, section);
		check->section++;
		check->index = 0;
	}
	while (check->budget > 0 && check->next) {
		check_owner(check, check->next);
		check->next = bsa_percpu_next(check->heap, check->next);
	}
	return !!check->next;
}

static void same(struct check *check, const char *what, unsigned long is,
		 unsigned long should_be)
{
	if (is != should_be)
		wrong(check, NULL, "%s: %lu, but there are %lu\n", what, is, should_be);
}

/* Compare what is said with what has been counted in a quiet heap. */
static void check_counts(struct check *check)
{
	struct bsa_buddy *buddy = &check->heap->buddy;
	unsigned long *listed = check->listed, *blocks = check->blocks;

	same(check, "free blocks on lists", listed[BSA_PAGE_FREE], blocks[BSA_PAGE_FREE]);
	same(check, "kept blocks", listed[BSA_PAGE_KEPT], blocks[BSA_PAGE_KEPT]);
	same(check, "blocks of bitmaps", buddy->nr_bitmap_blocks, blocks[BSA_PAGE_BITMAPS]);
	same(check, "active slabs", listed[BSA_PAGE_SLAB_ACTIVE], blocks[BSA_PAGE_SLAB_ACTIVE]);
	same(check, "partial slabs", listed[BSA_PAGE_SLAB_PARTIAL],
	     blocks[BSA_PAGE_SLAB_PARTIAL]);
	same(check, "empty slabs", listed[BSA_PAGE_SLAB_EMPTY], blocks[BSA_PAGE_SLAB_EMPTY]);
	same(check, "free pages of sections", check->free_pages, check->pages[BSA_PAGE_FREE]);
	same(check, "free pages", buddy->free_pages, check->free_pages);
	same(check, "pages", buddy->total_pages, check->total_pages);
	same(check, "pages that callers hold", check->held, check->pages[BSA_PAGE_ALLOCATED]);
	same(check, "deferred blocks and slabs", check->deferred,
	     length(READ_ONCE(buddy->deferred.first), check->deferred) +
	     length(READ_ONCE(buddy->pending), check->deferred));
	same(check, "live objects", bsa_plain_live_objects(check->heap), check->live);
}

/* Is each page still the heap's? The list only gets longer while the heap is there. */
static void check_extents(struct check *check, const struct list_head *extents)
{
	const struct bsa_extent *extent;
	unsigned long i;

	list_for_each_entry_rcu(extent, extents, node, true) {
		for (i = 0; i < extent->nr_pages; i++) {
			if (bsa_is_lost(extent, i))
				wrong(check, NULL,
				      "page %#lx: freed with a call of the kernel\n",
				      extent->pfn + i);
			cond_resched();
		}
	}
}

/* The report is in check->text already. */
static void tell_bytes(void *arg, const char *text)
{
	struct check *check = arg;

	if (check->errors++ < MAX_LINES)
		tell(check);
}

/* Look at red zones and poison. */
static void check_bytes(struct check *check)
{
	struct bsa_section_info info;
	unsigned long at;
	unsigned int i;

	for (i = 0; !bsa_buddy_section(&check->heap->buddy, i, &info); i++) {
		for (at = 0; at < info.size; at += PAGE_SIZE) {
			bsa_debug_validate(check->heap, (void *)info.start + at,
					   check->quiet, check->text, tell_bytes,
					   check);
			cond_resched();
		}
	}
}

static void say_sums(struct check *check)
{
	unsigned long slabs = 0, pages = 0;
	struct bsa_stats stats;
	unsigned int state;

	for (state = BSA_PAGE_SLAB_ACTIVE; state <= BSA_PAGE_SLAB_EMPTY; state++) {
		slabs += check->blocks[state];
		pages += check->pages[state];
	}
	bsa_heap_get_stats(check->heap, &stats);
	bsa_say(check->text, 0,
		"%lu errors; %lu sections, %lu pages: %lu free, %lu kept, %lu allocated, %lu in %lu slabs with %lu live objects\n",
		check->errors, stats.sections, stats.total_pages,
		check->pages[BSA_PAGE_FREE], check->pages[BSA_PAGE_KEPT],
		check->pages[BSA_PAGE_ALLOCATED], pages, slabs, stats.live_objects);
	tell(check);
}

/*
 * Check all that a heap (NULL: the default heap) knows about itself, and return how
 * much is wrong. It is told to @m, with what there is; without @m to the log. @quiet:
 * nobody is inside a call on the heap. Otherwise all other CPUs are stopped again and
 * again, for some microseconds each time. Process context, may sleep.
 */
unsigned long bsa_validate(struct bsa_heap *heap, struct seq_file *m,
			   bool quiet)
{
	static struct check check;
	static DEFINE_MUTEX(mutex);
	unsigned long errors;

	mutex_lock(&mutex);
	memset(&check, 0, sizeof(check));
	check.heap = heap ?: &bsa_default_heap;
	check.m = m;
	check.quiet = quiet;
	check.next = bsa_percpu_next(check.heap, NULL);
	while (quiet ? check_some(&check) : stop_machine(check_some, &check, NULL))
		cond_resched();
	if (quiet)
		check_counts(&check);
	check_extents(&check, &check.heap->reserved);
	check_extents(&check, &check.heap->regions);
	tell(&check);
	if (bsa_debug_on(check.heap))
		check_bytes(&check);
	errors = check.errors;
	if (m || errors)
		say_sums(&check);
	mutex_unlock(&mutex);
	return errors;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_validate);
