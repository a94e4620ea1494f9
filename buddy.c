// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages: blocks of 2^k pages, split and coalesce
 *
 * A buddy allocator (Knowlton, "A fast storage allocator", 1965; Knuth, "The
 * Art of Computer Programming", vol. 1, section 2.5) over a list of sections,
 * which section.c makes.
 *
 * Invariants, at every moment when the lock is not held:
 *
 * - A block of order k starts at a physical page number that is a multiple of
 *   2^k, and lies inside one section.
 * - Exactly the first page of a free block has the state BSA_PAGE_FREE; it is
 *   on section->free[order]. Two free buddies of one order do not exist.
 * - Bit k of section->orders is set if and only if free[k] is not empty, and
 *   bit s of buddy->fits[k] if and only if section s has a free block of order
 *   k or larger. So a search is a find-first-bit, whatever the heap looks like.
 * - A section lies on one side of 4 GiB: "low" is a property of the section.
 *
 * Locking: buddy->lock, held for O(orders) steps, taken as lock.h says. Whoever
 * cannot have it gets no memory; a block that is freed is left on buddy->deferred
 * with the state BSA_PAGE_DEFERRED, so a second free of it is refused.
 *
 * buddy->deferred also takes slabs that a free in such a context should have
 * moved to another list; slab.c and refill.c look at those. A descriptor is on it
 * at most once: node.next says so, and is reset before the descriptor is looked
 * at. Whoever allocates and finds too little, or counts, deals with some first.
 */
#include <bsa/buddy.h>
#include <bsa/compat.h>

static unsigned long index_of(const struct bsa_section *section,
			      const struct bsa_page *page)
{
	return page - section->range.pages;
}

/* The other half of the block that @page and its buddy make up, or NULL. */
static struct bsa_page *find_buddy(const struct bsa_section *section,
				   const struct bsa_page *page,
				   unsigned int order)
{
	unsigned long pfn = section->pfn + index_of(section, page);
	unsigned long index = (pfn ^ (1UL << order)) - section->pfn;

	/* A buddy below the first page wraps around to a huge index. */
	if (index >= section->range.nr_pages)
		return NULL;
	return &section->range.pages[index];
}

/* The caller sees to section->orders. */
static void link_free(struct bsa_section *section, struct bsa_page *page,
		      unsigned int order)
{
	page->order = order;
	WRITE_ONCE(page->state, BSA_PAGE_FREE);
	list_add(&page->list, &section->free[order]);
	section->nr_free[order]++;
}

static void add_free(struct bsa_section *section, struct bsa_page *page,
		     unsigned int order)
{
	link_free(section, page, order);
	section->orders |= 1UL << order;
}

static void del_free(struct bsa_section *section, struct bsa_page *page)
{
	unsigned int order = page->order;

	list_del(&page->list);
	section->nr_free[order]--;
	if (list_empty(&section->free[order]))
		section->orders &= ~(1UL << order);
}

/* Bring buddy->fits up to date after section->orders was @before. */
static void update_fits(struct bsa_section *section, unsigned long before)
{
	struct bsa_buddy *buddy = section->buddy;
	unsigned int was = fls_long(before);
	unsigned int is = fls_long(section->orders);

	lockdep_assert_held(&buddy->lock);
	/* fls counts from 1: orders below it are the ones that fit. */
	for (; was < is; was++)
		__set_bit(section->id, buddy->fits[was]);
	for (; was > is; was--)
		__clear_bit(section->id, buddy->fits[was - 1]);
}

/* The first section, in order of registration, that can serve the request. */
static struct bsa_section *pick_section(struct bsa_buddy *buddy,
					unsigned int order, bool low)
{
	unsigned int i, nr = BITS_TO_LONGS(buddy->nr_sections);
	unsigned long fits;

	for (i = 0; i < nr; i++) {
		fits = READ_ONCE(buddy->fits[order][i]);
		if (low)
			fits &= READ_ONCE(buddy->low[i]);
		if (fits)
			return buddy->section[i * BITS_PER_LONG + __ffs(fits)];
	}
	return NULL;
}

/* Free a block and coalesce it with its buddy for as long as that is free. */
static void free_block(struct bsa_section *section, struct bsa_page *page)
{
	unsigned long orders = section->orders;
	unsigned int order = page->order;
	struct bsa_page *other;

	section->free_pages += 1UL << order;
	section->buddy->free_pages += 1UL << order;

	while (order < BSA_MAX_PAGE_ORDER) {
		other = find_buddy(section, page, order);
		if (!other || READ_ONCE(other->state) != BSA_PAGE_FREE ||
		    other->order != order)
			break;
		del_free(section, other);
		if (other < page)
			swap(page, other);
		WRITE_ONCE(other->state, BSA_PAGE_TAIL);
		order++;
	}
	add_free(section, page, order);
	update_fits(section, orders);
}

static unsigned int need_of(const struct bsa_page_request *req)
{
	return max(req->order, req->align_order);
}

/* Could a request be met if everything were free? */
bool bsa_buddy_could(const struct bsa_buddy *buddy,
		     const struct bsa_page_request *req)
{
	return need_of(req) < READ_ONCE(buddy->nr_orders[req->low]);
}
EXPORT_SYMBOL_IF_KUNIT(bsa_buddy_could);

/*
 * Does it look as if a request could be met now? A hint: without the lock it
 * may be otherwise a moment later.
 */
bool bsa_buddy_fits(struct bsa_buddy *buddy, const struct bsa_page_request *req)
{
	return need_of(req) <= BSA_MAX_PAGE_ORDER &&
	       pick_section(buddy, need_of(req), req->low);
}

/*
 * Take a block of pages. An alignment beyond the block's own takes a block of
 * the alignment's order, keeps its first part and gives the rest back, so it
 * costs no memory. Return its first page, in the state BSA_PAGE_KEPT; NULL if
 * there is none, or if the lock could not be taken.
 */
struct bsa_page *bsa_buddy_alloc(struct bsa_buddy *buddy,
				 const struct bsa_page_request *req)
{
	unsigned int need = need_of(req), order;
	struct bsa_section *section;
	unsigned long flags, orders;
	struct bsa_page *page;

	if (unlikely(need > BSA_MAX_PAGE_ORDER) ||
	    !bsa_lock(&buddy->lock, flags))
		return NULL;
	section = pick_section(buddy, need, req->low);
	if (unlikely(!section)) {
		bsa_unlock(&buddy->lock, flags);
		return NULL;
	}
	orders = section->orders;
	order = __ffs(orders & (~0UL << need));
	page = list_first_entry(&section->free[order], struct bsa_page, list);
	del_free(section, page);
	/* Each order from the one wanted up to that of the block gets a half. */
	section->orders |= (1UL << order) - (1UL << req->order);
	while (order > req->order) {
		order--;
		link_free(section, page + (1UL << order), order);
	}
	update_fits(section, orders);

	page->order = order;
	WRITE_ONCE(page->state, BSA_PAGE_KEPT);
	section->free_pages -= 1UL << order;
	buddy->free_pages -= 1UL << order;
	bsa_unlock(&buddy->lock, flags);
	return page;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_buddy_alloc);

/*
 * Give back a block, in the state BSA_PAGE_KEPT. The order that was recorded
 * at allocation decides how much comes back. Where the lock cannot be taken
 * the block is free a little later.
 */
void bsa_buddy_free(struct bsa_buddy *buddy, struct bsa_page *page)
{
	unsigned long flags;

	if (unlikely(!bsa_lock(&buddy->lock, flags))) {
		WRITE_ONCE(page->state, BSA_PAGE_DEFERRED);
		bsa_buddy_defer(buddy, page);
		return;
	}
	free_block(buddy->section[page->section], page);
	bsa_unlock(&buddy->lock, flags);
}
EXPORT_SYMBOL_IF_KUNIT(bsa_buddy_free);

/*
 * Give the end of a block back that the caller has, so that 2^@order pages
 * stay. Where the lock cannot be taken nothing happens.
 */
void bsa_buddy_shrink(struct bsa_buddy *buddy, struct bsa_page *page,
		      unsigned int order)
{
	struct bsa_page *half;
	unsigned long flags;

	if (!bsa_lock(&buddy->lock, flags))
		return;
	while (page->order > order) {
		page->order--;
		half = page + (1UL << page->order);
		half->order = page->order;
		free_block(buddy->section[page->section], half);
	}
	bsa_unlock(&buddy->lock, flags);
}

/*
 * What had to be put off
 */

/*
 * Leave something for whoever can take a lock: a block in the state
 * BSA_PAGE_DEFERRED, or a slab that perhaps belongs on another list. Waits for
 * nobody.
 */
void bsa_buddy_defer(struct bsa_buddy *buddy, struct bsa_page *page)
{
	/*
	 * A cmpxchg() that fails orders nothing. Pairs with xchg() in
	 * bsa_buddy_catch_up() (model/litmus/defer-block-vs-catch-up.litmus).
	 */
	smp_mb();
	/* After a free, too (model/litmus/defer-slab-vs-catch-up.litmus). */
	if (cmpxchg(&page->node.next, BSA_NOT_DEFERRED, NULL) ==
	    BSA_NOT_DEFERRED)
		/* All that was done to it comes first (model/litmus/defer-hands-over.litmus). */
		llist_add(&page->node, &buddy->deferred);
}

/*
 * Free some of the blocks whose free was put off. Return how many slabs there
 * were among them, in @slabs, which has room for BSA_DEFERRED_BATCH: the
 * caller is to look at those.
 */
unsigned int bsa_buddy_catch_up(struct bsa_buddy *buddy,
				struct bsa_page **slabs)
{
	unsigned int left = BSA_DEFERRED_BATCH, nr = 0;
	struct bsa_page *page;
	unsigned long flags;

	if (!bsa_buddy_has_deferred(buddy) || !bsa_lock(&buddy->lock, flags))
		return 0;
	for (; left && bsa_buddy_has_deferred(buddy); left--) {
		/* Pairs with llist_add() (model/litmus/defer-hands-over.litmus). */
		if (!buddy->pending)
			WRITE_ONCE(buddy->pending,
				   llist_del_all(&buddy->deferred));
		page = llist_entry(buddy->pending, struct bsa_page, node);
		WRITE_ONCE(buddy->pending, page->node.next);
		/*
		 * A full barrier: what comes from here on is deferred anew
		 * (model/litmus/defer-block-vs-catch-up.litmus,
		 * model/litmus/defer-slab-vs-catch-up.litmus).
		 */
		xchg(&page->node.next, BSA_NOT_DEFERRED);
		if (READ_ONCE(page->state) == BSA_PAGE_DEFERRED)
			free_block(buddy->section[page->section], page);
		else if (bsa_page_is_slab(page))
			slabs[nr++] = page;
	}
	bsa_unlock(&buddy->lock, flags);
	return nr;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_buddy_catch_up);

/*
 * Whose a page is
 */

/*
 * Return the first page of the block, free or not, that a page lies in. The
 * caller holds the lock, or knows that the block does not change.
 */
struct bsa_page *bsa_buddy_head(const struct bsa_section *section,
				struct bsa_page *page)
{
	unsigned long pfn = section->pfn + index_of(section, page);
	unsigned long head;
	unsigned int order;

	for (order = 0; READ_ONCE(page->state) == BSA_PAGE_TAIL &&
	     order <= BSA_MAX_PAGE_ORDER; order++) {
		head = pfn & (~0UL << order);
		if (head < section->pfn)
			break;
		page = &section->range.pages[head - section->pfn];
	}
	return page;
}

/*
 * Return why an address in a page is not that of a block that can be freed, or not
 * of as many pages. Preemption is off, so the section stays.
 */
enum bsa_refused bsa_buddy_refusal(struct bsa_buddy *buddy,
				   struct bsa_page *page, const void *addr)
{
	enum bsa_refused why = BSA_FREE_DOUBLE;
	struct bsa_page *head;
	unsigned long flags;

	if (!bsa_buddy_owns(buddy, page))
		return page->state == BSA_PAGE_NONE ? BSA_FREE_FOREIGN :
						      BSA_FREE_OTHER_HEAP;
	if (!bsa_lock(&buddy->lock, flags))
		return BSA_FREE_UNCLEAR;
	head = bsa_buddy_head(buddy->section[page->section], page);
	if (head->state == BSA_PAGE_ALLOCATED)
		why = head == page && !offset_in_page(addr) ? BSA_FREE_COUNT :
							      BSA_FREE_INTERIOR;
	else if (head->state == BSA_PAGE_BITMAPS)
		why = BSA_FREE_FOREIGN;
	else if (bsa_page_is_slab(head))
		why = BSA_FREE_OBJECT;
	bsa_unlock(&buddy->lock, flags);
	return why;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_buddy_refusal);

/*
 * For section.c
 */

/*
 * Make free blocks of all pages of a new section that nobody else knows of, as
 * large as their alignment allows.
 */
void bsa_buddy_fill(struct bsa_section *section)
{
	unsigned long nr = section->range.nr_pages;
	unsigned long i = 0;

	while (i < nr) {
		unsigned int order = min3(__ffs((section->pfn + i) |
						(1UL << BSA_MAX_PAGE_ORDER)),
					  __fls(nr - i),
					  (unsigned long)BSA_MAX_PAGE_ORDER);

		add_free(section, &section->range.pages[i], order);
		list_move_tail(&section->range.pages[i].list,
			       &section->free[order]);
		i += 1UL << order;
	}
	section->free_pages = nr;
}

/*
 * From here on the pages of a section, which is complete, can be had. One at a
 * time, in process context.
 */
void bsa_buddy_publish(struct bsa_section *section)
{
	unsigned int nr_orders = fls_long(section->orders);
	struct bsa_buddy *buddy = section->buddy;
	unsigned long flags;

	if (WARN_ON_ONCE(!bsa_lock(&buddy->lock, flags)))
		return;
	buddy->section[section->id] = section;
	if (section->low)
		__set_bit(section->id, buddy->low);
	update_fits(section, 0);
	buddy->total_pages += section->range.nr_pages;
	buddy->free_pages += section->range.nr_pages;
	WRITE_ONCE(buddy->nr_orders[0], max(buddy->nr_orders[0], nr_orders));
	if (section->low)
		WRITE_ONCE(buddy->nr_orders[1],
			   max(buddy->nr_orders[1], nr_orders));
	/* The section first, then its number (model/litmus/publish-section.litmus). */
	smp_store_release(&buddy->nr_sections, section->id + 1);
	bsa_unlock(&buddy->lock, flags);
}

/* Start with no section. */
void bsa_buddy_init(struct bsa_buddy *buddy)
{
	memset(buddy, 0, sizeof(*buddy));
	raw_spin_lock_init(&buddy->lock);
	init_llist_head(&buddy->deferred);
	INIT_LIST_HEAD(&buddy->room);
	INIT_LIST_HEAD(&buddy->crowded);
}
EXPORT_SYMBOL_IF_KUNIT(bsa_buddy_init);
