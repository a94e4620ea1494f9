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
 *   counts   (q) numbers of blocks, slabs and objects are what has been counted
 *   bytes    with debug=, red zones and poison are as they were left
 *
 * Descriptors are looked at in steps. Unless the caller knows that nobody is
 * inside a call, all other CPUs are stopped during each of them: then none is
 * inside a section without preemption, which is where all of this may be untrue
 * for a moment. Between two steps they go on, and what is wrong is told. So what
 * is compared over the whole heap (q) is looked at only if the caller says that the
 * heap is quiet, and then nobody is ever stopped. For bytes nobody is stopped
 * either, see records.c. NMIs are not stopped: one that frees at that moment may be
 * taken for an error.
 *
 * A damaged heap must not take the checker with it: no pointer is followed
 * before it is known to lead to a descriptor of the heap.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <bsa/compat.h>
#include <bsa/debug.h>
#include <bsa/validate.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/stop_machine.h>

/* Of more errors only the number is told. */
#define MAX_LINES	20

/* Pages in a step. Each takes about 100 instructions, a slab some more. */
#define STEP		128

/* What it takes to look at two guards, in pages. */
#define GUARD_COST	16

/*
 * What is said
 */

/**
 * bsa_check_err - something is wrong
 * @check: the check
 * @format: what it is, as of printk()
 */
void bsa_check_err(struct bsa_check *check, const char *format, ...)
{
	va_list args;

	if (check->errors++ >= MAX_LINES)
		return;
	va_start(args, format);
	check->len += vscnprintf(check->text + check->len,
				 BSA_REPORT_LEN - check->len, format, args);
	va_end(args);
	check->len = bsa_say(check->text, check->len, "\n");
}

static void tell(struct bsa_check *check)
{
	if (!check->len)
		return;
	if (check->m)
		seq_puts(check->m, check->text);
	else
		bsa_print_lines(check->heap, check->text);
	check->len = 0;
}

/**
 * bsa_check_same - compare two numbers that are to be the same
 * @check: the check
 * @what: of what
 * @is: what somebody says
 * @should_be: what has been counted
 */
void bsa_check_same(struct bsa_check *check, const char *what, unsigned long is,
		    unsigned long should_be)
{
	if (is != should_be)
		bsa_check_err(check, "%s: %lu, but there are %lu", what, is,
			      should_be);
}

/*
 * Descriptors and lists of them
 */

static bool has_page(const struct bsa_section *section,
		     const struct bsa_page *page)
{
	const struct bsa_range *range = &section->range;

	return page >= range->pages && page < range->pages + range->nr_pages &&
	       IS_ALIGNED((unsigned long)page, sizeof(*page));
}

/**
 * bsa_check_section_of - the section whose descriptors a page is one of
 * @check: the check
 * @page: any value
 *
 * Return: NULL if it is none at all.
 */
struct bsa_section *bsa_check_section_of(struct bsa_check *check,
					 const struct bsa_page *page)
{
	struct bsa_buddy *buddy = &check->heap->buddy;
	unsigned int i;

	/* Mostly it is the one that is looked at. */
	if (check->section < buddy->nr_sections &&
	    has_page(buddy->section[check->section], page))
		return buddy->section[check->section];
	check->budget -= buddy->nr_sections / 8;
	for (i = 0; i < buddy->nr_sections; i++)
		if (has_page(buddy->section[i], page))
			return buddy->section[i];
	return NULL;
}

/**
 * bsa_check_pfn - how a page is named in what is told
 * @check: the check
 * @page: a descriptor of the heap
 */
unsigned long bsa_check_pfn(struct bsa_check *check,
			    const struct bsa_page *page)
{
	const struct bsa_section *section = bsa_check_section_of(check, page);

	return section->pfn + (page - section->range.pages);
}

/* Is this a link of a list that consists of descriptors and its head? */
static bool is_link(struct bsa_check *check, const struct list_head *node,
		    const struct list_head *head)
{
	return node == head ||
	       bsa_check_section_of(check,
				    list_entry(node, struct bsa_page, list));
}

/**
 * bsa_check_links - check that the neighbours of a page on a list are that
 * @check: the check
 * @page: the page
 * @head: the list that it should be on
 */
void bsa_check_links(struct bsa_check *check, struct bsa_page *page,
		     struct list_head *head)
{
	const struct list_head *node = &page->list;

	if (!is_link(check, node->next, head) || node->next->prev != node ||
	    !is_link(check, node->prev, head) || node->prev->next != node)
		bsa_check_err(check, "page %#lx: the list is broken there",
			      bsa_check_pfn(check, page));
}

/*
 * Pages
 */

static void check_free_block(struct bsa_check *check, struct bsa_section *section,
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
		bsa_check_err(check, "page %#lx: it and its buddy of order %u are both free",
			      bsa_check_pfn(check, page), page->order);
}

/* The first page of the block that covers a page; NULL if none does. */
static struct bsa_page *head_of(struct bsa_section *section,
				unsigned long index)
{
	struct bsa_page *head = &section->range.pages[index];
	unsigned long pfn = section->pfn + index, first = index;
	unsigned int order;

	for (order = 0; head->state == BSA_PAGE_TAIL; order++) {
		first = (pfn & ~0UL << order) - section->pfn;
		if (order > BSA_MAX_PAGE_ORDER ||
		    first >= section->range.nr_pages)
			return NULL;
		head = &section->range.pages[first];
	}
	if (head->order > BSA_MAX_PAGE_ORDER ||
	    index - first >= 1UL << head->order)
		return NULL;
	return head;
}

/* What is true of every page, inside a block or at its head. */
static void check_page(struct bsa_check *check, struct bsa_section *section,
		       unsigned long index, struct bsa_page *head)
{
	struct bsa_page *page = &section->range.pages[index];
	struct bsa_page *map = bsa_page_is_slab(head) ? head : page;
	const void *addr = (void *)section->range.start + (index << PAGE_SHIFT);
	unsigned long pfn = section->pfn + index;

	check->pages[head->state]++;
	if (page->section != section->id)
		bsa_check_err(check, "page %#lx: section %u", pfn,
			      page->section);
	if (bsa_page_of(addr) != map)
		bsa_check_err(check, "page %#lx: the map leads to %p, not to %p",
			      pfn, bsa_page_of(addr), map);
	check->deferred += page->node.next != BSA_NOT_DEFERRED;
	if ((page != head || !bsa_page_is_slab(head)) &&
	    page->owner != BSA_NOBODY)
		bsa_check_err(check, "page %#lx: owner %#x, but it is no slab",
			      pfn, page->owner);
}

/* What is true of a block. */
static void check_block(struct bsa_check *check, struct bsa_section *section,
			unsigned long index)
{
	struct bsa_page *page = &section->range.pages[index];
	unsigned long pfn = section->pfn + index;
	unsigned long nr = 1UL << page->order;

	if (pfn & (nr - 1) || nr > section->range.nr_pages - index)
		bsa_check_err(check, "page %#lx: no block of order %u can be here",
			      pfn, page->order);
	if (index < check->covered)
		bsa_check_err(check, "page %#lx: state %u inside a block", pfn,
			      page->state);
	check->covered = max(check->covered, index + nr);
	check->blocks[page->state]++;
	if (page->state == BSA_PAGE_FREE) {
		check_free_block(check, section, index);
		bsa_check_links(check, page, &section->free[page->order]);
	} else if (page->state == BSA_PAGE_BITMAPS) {
		bsa_check_bitmaps(check, page, pfn);
	} else if (bsa_page_is_slab(page)) {
		bsa_check_slab(check, page, pfn);
	}
}

/* Check a page, and the block that begins there. */
static void check_next(struct bsa_check *check, struct bsa_section *section)
{
	unsigned long index = check->index++;
	struct bsa_page *page = &section->range.pages[index];
	struct bsa_page *head = head_of(section, index);

	check->budget--;
	if (!head || head->state < BSA_PAGE_TAIL ||
	    head->state > BSA_PAGE_SLAB_EMPTY) {
		bsa_check_err(check, "page %#lx: state %u, order %u, where no such block can be",
			      section->pfn + index, page->state, page->order);
		return;
	}
	check_page(check, section, index, head);
	if (page == head)
		check_block(check, section, index);
}

/*
 * What can only be compared while nobody is inside a call
 */

static void check_orders(struct bsa_check *check, struct bsa_section *section,
			 unsigned int order)
{
	struct bsa_buddy *buddy = &check->heap->buddy;
	unsigned long nr = section->nr_free[order];

	if (list_empty(&section->free[order]) != !nr ||
	    !!(section->orders & BIT(order)) != !!nr)
		bsa_check_err(check, "section %u: %lu blocks of order %u, orders %#lx",
			      section->id, nr, order, section->orders);
	if (test_bit(section->id, buddy->fits[order]) !=
	    (fls_long(section->orders) > order))
		bsa_check_err(check, "section %u: orders %#lx, but fits of order %u is %u",
			      section->id, section->orders, order,
			      test_bit(section->id, buddy->fits[order]));
}

static void check_free_lists(struct bsa_check *check)
{
	struct bsa_buddy *buddy = &check->heap->buddy;
	unsigned long pages = 0, free = 0, listed = 0;
	struct bsa_section *section;
	unsigned int i, order;

	for (i = 0; i < buddy->nr_sections; i++) {
		section = buddy->section[i];
		for (order = 0; order < BSA_NR_ORDERS; order++) {
			check_orders(check, section, order);
			listed += section->nr_free[order];
		}
		pages += section->range.nr_pages;
		free += section->free_pages;
		if (test_bit(section->id, buddy->low) != section->low)
			bsa_check_err(check, "section %u: low is %u, but not in the bitmap",
				      section->id, section->low);
	}
	bsa_check_same(check, "free blocks on lists", listed,
		       check->blocks[BSA_PAGE_FREE]);
	bsa_check_same(check, "free pages of sections", free,
		       check->pages[BSA_PAGE_FREE]);
	bsa_check_same(check, "free pages", buddy->free_pages, free);
	bsa_check_same(check, "pages", buddy->total_pages, pages);
}

/* Blocks that one CPU keeps, of one order and side of 4 GiB. */
static void check_stack(struct bsa_check *check, const struct bsa_cpu *c,
			unsigned int order, unsigned int side)
{
	unsigned long stack = c->kept[order].stack[side];
	unsigned long nr = bsa_kept_nr(stack);
	struct bsa_page *page;

	for (; nr; nr--) {
		check->kept++;
		page = bsa_page_of((void *)(stack & PAGE_MASK));
		if (!bsa_check_section_of(check, page)) {
			bsa_check_err(check, "CPU %u keeps what is no page", c->cpu);
			return;
		}
		if (page->state != BSA_PAGE_KEPT || page->order != order ||
		    bsa_check_section_of(check, page)->low != side)
			bsa_check_err(check, "page %#lx: state %u, order %u, kept for CPU %u",
				      bsa_check_pfn(check, page), page->state,
				      page->order, c->cpu);
		stack = page->below;
		if (bsa_kept_nr(stack) != nr - 1) {
			bsa_check_err(check, "page %#lx: kept for CPU %u, %lu below it instead of %lu",
				      bsa_check_pfn(check, page), c->cpu,
				      bsa_kept_nr(stack), nr - 1);
			return;
		}
	}
	if (stack)
		bsa_check_err(check, "CPU %u keeps no block of order %u, but its stack is %p",
			      c->cpu, order, (void *)stack);
}

/* Blocks that are kept for some CPU; nobody has them. */
static void check_kept(struct bsa_check *check)
{
	unsigned int order, side;
	struct bsa_cpu *c;

	bsa_for_each_owner(c, check->heap)
		for (order = 0; order < BSA_KEPT_ORDERS; order++)
			for (side = 0; side < 2; side++)
				check_stack(check, c, order, side);
}

/* What waits for a lock to be had; not for ever, if the list leads nowhere. */
static void check_deferred(struct bsa_check *check)
{
	struct llist_node *list[] = {
		READ_ONCE(check->heap->buddy.deferred.first),
		READ_ONCE(check->heap->buddy.pending),
	};
	unsigned long nr = 0;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(list); i++)
		for (; list[i] && nr <= check->deferred; list[i] = list[i]->next)
			nr++;
	bsa_check_same(check, "deferred blocks and slabs", check->deferred, nr);
}

static void check_totals(struct bsa_check *check)
{
	unsigned int order;
	struct bsa_cpu *c;
	long held = 0;

	if (!check->blind)
		bsa_check_same(check, "live objects",
			       bsa_plain_live_objects(check->heap) +
			       check->conflicts, check->live);
	bsa_for_each_owner(c, check->heap) {
		held -= c->shrunk_pages;
		for (order = 0; order < BSA_NR_ORDERS; order++)
			held += (c->kept[order].allocs - c->kept[order].frees) <<
				order;
	}
	bsa_check_same(check, "kept blocks", check->kept,
		       check->blocks[BSA_PAGE_KEPT]);
	bsa_check_same(check, "pages that callers hold", held,
		       check->pages[BSA_PAGE_ALLOCATED]);
}

/*
 * Step by step
 */

static void check_guards(struct bsa_check *check, struct bsa_section *section)
{
	const void *at = bsa_section_damage(section);

	check->budget -= GUARD_COST;
	if (at)
		bsa_check_err(check, "section %u: a guard was overwritten, %zu bytes from its start",
			      section->id,
			      (size_t)(at - (void *)section->range.region));
}

/* Look at as much as others may be stopped for; return 1 if there is more. */
static int check_some(void *data)
{
	struct bsa_check *check = data;
	struct bsa_buddy *buddy = &check->heap->buddy;
	struct bsa_section *section;

	check->budget = STEP;
	if (!check->quiet)
		check->covered = 0;
	while (check->budget > 0 && check->section < buddy->nr_sections) {
		section = buddy->section[check->section];
		if (check->index < section->range.nr_pages) {
			check_next(check, section);
		} else {
			check_guards(check, section);
			check->section++;
			check->index = 0;
			check->covered = 0;
		}
	}
	while (check->budget > 0 && check->next) {
		bsa_check_owner(check, check->next);
		check->next = bsa_percpu_next(check->heap, check->next);
	}
	return !!check->next;
}

static void tell_bytes(void *arg, const char *text)
{
	struct bsa_check *check = arg;

	if (check->errors++ < MAX_LINES)
		check->len = bsa_say(check->text, check->len, "%s", text);
	tell(check);
}

/* Look at red zones and poison. */
static void check_bytes(struct bsa_check *check)
{
	struct bsa_section_info info;
	unsigned long at;
	unsigned int i;

	for (i = 0; !bsa_buddy_section(&check->heap->buddy, i, &info); i++) {
		for (at = 0; at < info.size; at += PAGE_SIZE) {
			bsa_debug_validate(check->heap,
					   (void *)info.start + at,
					   check->quiet, check->bytes,
					   tell_bytes, check);
			cond_resched();
		}
	}
}

static void check_heap(struct bsa_check *check)
{
	int more;

	check->next = bsa_percpu_next(check->heap, NULL);
	do {
		more = check->quiet ? check_some(check) :
				      stop_machine(check_some, check, NULL);
		tell(check);
		cond_resched();
	} while (more);
	if (check->quiet) {
		check_free_lists(check);
		bsa_check_slab_counts(check);
		check_kept(check);
		check_deferred(check);
		check_totals(check);
		tell(check);
	}
	if (bsa_debug_on(check->heap))
		check_bytes(check);
}

static void say_sums(struct bsa_check *check)
{
	const struct bsa_buddy *buddy = &check->heap->buddy;
	unsigned long slabs = 0, pages = 0, live = check->live;
	unsigned int state;

	for (state = BSA_PAGE_SLAB_ACTIVE; state <= BSA_PAGE_SLAB_EMPTY; state++) {
		slabs += check->blocks[state];
		pages += check->pages[state];
	}
	/* Below it is live what is in quarantine. */
	if (bsa_debug_on(check->heap))
		live = atomic_long_read(&check->heap->debug->live_objects);
	check->len = bsa_say(check->text, 0, "%lu errors; %u sections, %lu pages: ",
			     check->errors, buddy->nr_sections,
			     buddy->total_pages);
	check->len = bsa_say(check->text, check->len, "%lu free, %lu kept, %lu allocated, ",
			     check->pages[BSA_PAGE_FREE],
			     check->pages[BSA_PAGE_KEPT],
			     check->pages[BSA_PAGE_ALLOCATED]);
	check->len = bsa_say(check->text, check->len, "%lu in %lu slabs with %lu live objects\n",
			     pages, slabs, live);
	tell(check);
}

/**
 * bsa_validate - check all that a heap knows about itself
 * @heap: the heap; NULL is the default heap
 * @m: where to say what is wrong, and what there is; NULL: what is wrong goes
 *	to the log
 * @quiet: nobody is inside a call on the heap
 *
 * Context: process, may sleep. If the heap is not quiet all other CPUs are stopped
 * again and again, for some microseconds each time.
 * Return: how much is wrong; 0 if nothing.
 */
unsigned long bsa_validate(struct bsa_heap *heap, struct seq_file *m,
			   bool quiet)
{
	static struct bsa_check check;
	static DEFINE_MUTEX(mutex);
	unsigned long errors;

	mutex_lock(&mutex);
	memset(&check, 0, sizeof(check));
	check.heap = heap ?: &bsa_default_heap;
	check.m = m;
	check.quiet = quiet;
	check_heap(&check);
	errors = check.errors;
	if (m || errors)
		say_sums(&check);
	mutex_unlock(&mutex);
	return errors;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_validate);
