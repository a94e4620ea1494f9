// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages: sections, blocks of 2^k pages, split and coalesce
 *
 * A buddy allocator (Knowlton, "A fast storage allocator", 1965; Knuth, "The
 * Art of Computer Programming", vol. 1, section 2.5) over a list of sections. A
 * section is one physically contiguous range. Its metadata lies in its own
 * prefix:
 *
 *   region  | struct bsa_section | struct bsa_page[] | leaves | pages ...
 *                                                      range.start ^
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
 * Locking: buddy->lock, a raw spinlock taken with interrupts off and held for
 * O(orders) steps. It is the innermost lock of the module. Sections are added
 * and removed in process context, one caller at a time.
 *
 * In NMI the lock is only tried: who holds it may be what was interrupted. An
 * allocation fails then. A free is deferred: it leaves the block on a list, and
 * whoever frees next takes some blocks off it, as does whoever finds no memory,
 * or counts it. Until then the block has the state BSA_PAGE_KEPT, so a second
 * free is refused.
 */
#include <bsa/buddy.h>
#include <bsa/compat.h>
#include <bsa/tools.h>
#include <linux/hardirq.h>
#include <linux/io.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/sizes.h>

/* Deferred frees that are made up for at a time. */
#define DEFERRED_BATCH	4

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
		fits = buddy->fits[order][i];
		if (low)
			fits &= buddy->low[i];
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

static bool has_deferred(const struct bsa_buddy *buddy)
{
	return READ_ONCE(buddy->pending) || !llist_empty(&buddy->deferred);
}

/*
 * Free some of the blocks that NMIs could not. The caller holds the lock. Return
 * false if there are none.
 */
static noinline bool free_deferred(struct bsa_buddy *buddy)
{
	unsigned int left = DEFERRED_BATCH;
	struct bsa_page *page;

	for (; left && has_deferred(buddy); left--) {
		if (!buddy->pending) {
			WRITE_ONCE(buddy->pending,
				   llist_del_all(&buddy->deferred));
			WRITE_ONCE(buddy->batches, buddy->batches + 1);
		}
		page = llist_entry(buddy->pending, struct bsa_page, deferred);
		WRITE_ONCE(buddy->pending, buddy->pending->next);
		free_block(buddy->section[page->section], page);
	}
	return left < DEFERRED_BATCH;
}

/**
 * bsa_buddy_free_deferred - free the blocks that NMIs could not
 * @buddy: the allocator
 *
 * Those there are at the start: while NMIs free more there may be no end.
 *
 * Context: any. In NMI some may be left.
 */
void bsa_buddy_free_deferred(struct bsa_buddy *buddy)
{
	unsigned int batches = READ_ONCE(buddy->batches);
	unsigned long flags;

	/* Those on the list are in the next batch, and freed before another. */
	while (has_deferred(buddy) && READ_ONCE(buddy->batches) - batches < 2) {
		if (!in_nmi())
			raw_spin_lock_irqsave(&buddy->lock, flags);
		else if (!raw_spin_trylock_irqsave(&buddy->lock, flags))
			return;
		free_deferred(buddy);
		raw_spin_unlock_irqrestore(&buddy->lock, flags);
	}
}

/**
 * bsa_buddy_alloc - take a block of pages
 * @buddy: where from
 * @req: what is wanted
 *
 * An alignment beyond the block's own takes a block of the alignment's order,
 * keeps its first part and gives the rest back, so it costs no memory.
 *
 * Context: any; with @req->trylock also NMI.
 * Return: descriptor of the first page, or NULL.
 */
struct bsa_page *bsa_buddy_alloc(struct bsa_buddy *buddy,
				 const struct bsa_page_request *req)
{
	unsigned int need = max(req->order, req->align_order);
	struct bsa_section *section;
	unsigned long flags, orders;
	struct bsa_page *page;
	unsigned int order;

	if (unlikely(need > BSA_MAX_PAGE_ORDER))
		return NULL;

	if (!req->trylock)
		raw_spin_lock_irqsave(&buddy->lock, flags);
	else if (!raw_spin_trylock_irqsave(&buddy->lock, flags))
		return NULL;

	/* This ends: without the lock nobody gets a block that was freed here. */
	do {
		section = pick_section(buddy, need, req->low);
	} while (unlikely(!section) && free_deferred(buddy));
	if (unlikely(!section)) {
		raw_spin_unlock_irqrestore(&buddy->lock, flags);
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
	WRITE_ONCE(page->state,
		   req->internal ? BSA_PAGE_KEPT : BSA_PAGE_ALLOCATED);
	section->free_pages -= 1UL << order;
	buddy->free_pages -= 1UL << order;
	buddy->allocs += !req->internal;
	raw_spin_unlock_irqrestore(&buddy->lock, flags);
	return page;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_buddy_alloc);

/**
 * bsa_buddy_free - give a block back that the allocator used itself
 * @buddy: where it came from
 * @page: descriptor of the first page
 *
 * The order that was recorded at allocation decides how much comes back. For
 * callers that know what they hold; bsa_buddy_free_pages() is for the others.
 *
 * Context: any.
 */
void bsa_buddy_free(struct bsa_buddy *buddy, struct bsa_page *page)
{
	unsigned long flags;

	if (likely(!in_nmi())) {
		raw_spin_lock_irqsave(&buddy->lock, flags);
	} else if (!raw_spin_trylock_irqsave(&buddy->lock, flags)) {
		llist_add(&page->deferred, &buddy->deferred);
		return;
	}
	free_block(buddy->section[page->section], page);
	if (unlikely(has_deferred(buddy)))
		free_deferred(buddy);
	raw_spin_unlock_irqrestore(&buddy->lock, flags);
}
EXPORT_SYMBOL_IF_KUNIT(bsa_buddy_free);

/**
 * bsa_buddy_alloc_pages - allocate pages for a caller
 * @buddy: where from
 * @nr: number of pages; rounded up to a power of two
 * @align: alignment in bytes, a power of two
 * @low: only from below 4 GiB physical
 *
 * Context: any but NMI.
 * Return: the address, or NULL.
 */
void *bsa_buddy_alloc_pages(struct bsa_buddy *buddy, unsigned long nr,
			    size_t align, bool low)
{
	struct bsa_page_request req = { .low = low };
	struct bsa_page *page;
	void *addr;

	if (!nr || nr > 1UL << BSA_MAX_PAGE_ORDER || !is_power_of_2(align))
		return NULL;
	req.order = order_base_2(nr);
	if (align > PAGE_SIZE)
		req.align_order = ilog2(align) - PAGE_SHIFT;
	page = bsa_buddy_alloc(buddy, &req);
	if (!page)
		return NULL;
	addr = bsa_page_address(buddy, page);
	bsa_unpoison(addr, PAGE_SIZE << page->order, PAGE_SIZE << page->order);
	return addr;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_buddy_alloc_pages);

/* The first page of the block, free or not, that @page lies in. */
static struct bsa_page *find_head(const struct bsa_section *section,
				  struct bsa_page *page)
{
	unsigned long pfn = section->pfn + index_of(section, page);
	unsigned int order;

	for (order = 0; page->state == BSA_PAGE_TAIL; order++) {
		unsigned long head = pfn & (~0UL << order);

		page = &section->range.pages[head - section->pfn];
	}
	return page;
}

/**
 * bsa_buddy_refusal - why an address is not the start of an allocated block
 * @buddy: where somebody thinks it came from
 * @addr: what bsa_buddy_claim() refused
 *
 * Context: any.
 */
enum bsa_refused bsa_buddy_refusal(struct bsa_buddy *buddy, const void *addr)
{
	enum bsa_refused why = BSA_FREE_DOUBLE;
	struct bsa_page *page, *head;
	unsigned long flags;

	/* Interrupts off: the section cannot go away between here and there. */
	local_irq_save(flags);
	page = bsa_page_of(addr);
	if (!bsa_buddy_owns(buddy, page)) {
		local_irq_restore(flags);
		return page->state == BSA_PAGE_NONE ? BSA_FREE_FOREIGN :
						      BSA_FREE_OTHER_HEAP;
	}
	if (!in_nmi()) {
		raw_spin_lock(&buddy->lock);
	} else if (!raw_spin_trylock(&buddy->lock)) {
		local_irq_restore(flags);
		return BSA_FREE_UNCLEAR;
	}
	head = find_head(buddy->section[page->section], page);
	if (head->state == BSA_PAGE_ALLOCATED)
		why = BSA_FREE_INTERIOR;
	else if (head->state == BSA_PAGE_BITMAPS)
		why = BSA_FREE_FOREIGN;
	else if (bsa_page_is_slab(head))
		why = BSA_FREE_OBJECT;
	raw_spin_unlock(&buddy->lock);
	local_irq_restore(flags);
	return why;
}

/**
 * bsa_buddy_free_pages - take pages back from a caller
 * @buddy: where they came from
 * @addr: any value; only the start of an allocated block is freed
 *
 * Context: any but NMI.
 * Return: BSA_FREE_OK, or why nothing was freed.
 */
enum bsa_refused bsa_buddy_free_pages(struct bsa_buddy *buddy,
				      const void *addr)
{
	struct bsa_page *page;
	unsigned long flags;
	bool claimed;

	raw_spin_lock_irqsave(&buddy->lock, flags);
	page = bsa_page_of(addr);
	claimed = bsa_buddy_claim(buddy, page, addr);
	if (claimed) {
		buddy->frees++;
		bsa_poison(addr, PAGE_SIZE << page->order);
		free_block(buddy->section[page->section], page);
	}
	raw_spin_unlock_irqrestore(&buddy->lock, flags);
	return claimed ? BSA_FREE_OK : bsa_buddy_refusal(buddy, addr);
}
EXPORT_SYMBOL_IF_KUNIT(bsa_buddy_free_pages);

/* Pages of metadata in front of @nr managed pages. */
static unsigned long meta_pages(unsigned long nr)
{
	return PFN_UP(ALIGN(sizeof(struct bsa_section),
			    sizeof(struct bsa_page)) +
		      nr * sizeof(struct bsa_page) +
		      bsa_pagemap_nr_leaves(nr) * sizeof(struct bsa_leaf));
}

/**
 * bsa_buddy_meta_size - bytes of metadata for a section
 * @size: bytes to manage
 *
 * Return: how many bytes a page-aligned region must have beyond @size.
 */
size_t bsa_buddy_meta_size(size_t size)
{
	return meta_pages(max(PFN_UP(size), 1UL)) << PAGE_SHIFT;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_buddy_meta_size);

/* How many of @nr pages can be managed, with the metadata among them. */
static unsigned long managed_pages(unsigned long nr)
{
	unsigned long managed;

	if (nr <= meta_pages(1))
		return 0;
	managed = nr - min(nr - 1, meta_pages(nr));
	while (managed + 1 + meta_pages(managed + 1) <= nr)
		managed++;
	return managed;
}

/* Make free blocks, as large as their alignment allows, of all pages. */
static void fill_section(struct bsa_section *section)
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

static void init_pages(struct bsa_section *section)
{
	struct bsa_page *page = section->range.pages;
	struct bsa_page *end = page + section->range.nr_pages;
	u16 id = section->id;

	for (; page < end; page++) {
		page->owner = BSA_NOBODY;
		page->state = BSA_PAGE_TAIL;
		page->section = id;
		page->node.next = BSA_NOT_QUEUED;
	}
}

/* Add @nr pages from @start on, which lie on one side of 4 GiB. */
static int add_section(struct bsa_buddy *buddy, unsigned long start,
		       unsigned long nr)
{
	struct bsa_section *section = (struct bsa_section *)start;
	unsigned long managed = managed_pages(nr);
	struct bsa_range *range = &section->range;
	unsigned long flags;
	unsigned int i;

	if (!managed)
		return -EINVAL;
	if (buddy->nr_sections == BSA_MAX_SECTIONS)
		return -ENOSPC;

	memset(section, 0, sizeof(*section));
	if (buddy->side_size) {
		section->side = kvcalloc(managed, buddy->side_size,
					 GFP_KERNEL | __GFP_NOWARN);
		if (!section->side)
			return -ENOMEM;
		/* Only the section knows of it, which kmemleak does not scan. */
		kmemleak_ignore(section->side);
	}
	range->region = start;
	range->region_size = nr << PAGE_SHIFT;
	range->start = start + ((nr - managed) << PAGE_SHIFT);
	range->nr_pages = managed;
	range->pages = PTR_ALIGN((struct bsa_page *)(section + 1),
				 sizeof(struct bsa_page));
	range->leaves = (struct bsa_leaf *)(range->pages + managed);

	section->buddy = buddy;
	section->id = buddy->nr_sections;
	section->pfn = PHYS_PFN(virt_to_phys((void *)range->start));
	section->low = section->pfn < PHYS_PFN(SZ_4G);
	for (i = 0; i < BSA_NR_ORDERS; i++)
		INIT_LIST_HEAD(&section->free[i]);
	init_pages(section);
	fill_section(section);
	bsa_poison((void *)range->start, managed << PAGE_SHIFT);
	bsa_pagemap_add(range);

	raw_spin_lock_irqsave(&buddy->lock, flags);
	buddy->section[section->id] = section;
	if (section->low)
		__set_bit(section->id, buddy->low);
	update_fits(section, 0);
	buddy->total_pages += managed;
	buddy->free_pages += managed;
	/* Pairs with bsa_buddy_owns(): the section first, then its number. */
	smp_store_release(&buddy->nr_sections, section->id + 1);
	raw_spin_unlock_irqrestore(&buddy->lock, flags);
	return 0;
}

/* Add the parts on both sides of 4 GiB; one may be left out. */
static int add_both_sides(struct bsa_buddy *buddy, unsigned long start,
			  unsigned long border, unsigned long end)
{
	int err, err2;

	if (buddy->nr_sections > BSA_MAX_SECTIONS - 2)
		return -ENOSPC;
	err = add_section(buddy, start, PFN_DOWN(border - start));
	err2 = add_section(buddy, border, PFN_DOWN(end - border));
	return err && err2 ? err : 0;
}

/**
 * bsa_buddy_add_region - manage another region of memory
 * @buddy: the allocator
 * @start: its first byte, in the kernel's linear mapping
 * @size: its bytes
 *
 * Ends that are not page-aligned are trimmed. A region that straddles 4 GiB
 * physical becomes two sections; if only one side is too small, or only for one
 * there is no memory beside, that side is left out. The region belongs to the
 * allocator until bsa_buddy_destroy().
 *
 * Context: process, may sleep.
 * Return: 0; -EINVAL if not a single page can be managed or the region is not
 * in the linear mapping; -EEXIST if it overlaps a region of any heap; -ENOSPC
 * if there are too many sections; -ENOMEM if @buddy wants memory beside.
 */
int bsa_buddy_add_region(struct bsa_buddy *buddy, void *start, size_t size)
{
	unsigned long first = PAGE_ALIGN((unsigned long)start);
	unsigned long end = ((unsigned long)start + size) & PAGE_MASK;
	phys_addr_t phys;
	int err;

	if (!start || (unsigned long)start + size < size || end <= first)
		return -EINVAL;

	mutex_lock(&bsa_pagemap_mutex);
	/* Not a byte may be written before it is known that nobody owns it. */
	err = bsa_pagemap_check(first, end - first);
	if (err)
		goto unlock;
	/* It may be an object that kmemleak knows; others will lie in there. */
	kmemleak_free_part(start, size);
	phys = virt_to_phys((void *)first);
	if (phys < SZ_4G && phys + (end - first) > SZ_4G)
		err = add_both_sides(buddy, first, first + (SZ_4G - phys), end);
	else
		err = add_section(buddy, first, PFN_DOWN(end - first));
unlock:
	mutex_unlock(&bsa_pagemap_mutex);
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_buddy_add_region);

/**
 * bsa_buddy_init - start with no section
 * @buddy: the allocator
 */
void bsa_buddy_init(struct bsa_buddy *buddy)
{
	memset(buddy, 0, sizeof(*buddy));
	raw_spin_lock_init(&buddy->lock);
	init_llist_head(&buddy->deferred);
}
EXPORT_SYMBOL_IF_KUNIT(bsa_buddy_init);

/**
 * bsa_buddy_destroy - let go of all regions
 * @buddy: the allocator; nobody uses it any more
 *
 * Afterwards the regions belong to whoever added them.
 *
 * Context: process, may sleep.
 */
void bsa_buddy_destroy(struct bsa_buddy *buddy)
{
	unsigned int nr = buddy->nr_sections;

	mutex_lock(&bsa_pagemap_mutex);
	while (buddy->nr_sections) {
		struct bsa_range *range;
		size_t size;

		buddy->nr_sections--;
		range = &buddy->section[buddy->nr_sections]->range;
		size = range->nr_pages << PAGE_SHIFT;
		bsa_pagemap_remove(range);
		bsa_unpoison((void *)range->start, size, size);
	}
	/* Regions change hands only when nobody reads their metadata. */
	synchronize_rcu();
	while (nr--)
		kvfree(buddy->section[nr]->side);
	mutex_unlock(&bsa_pagemap_mutex);
}
EXPORT_SYMBOL_IF_KUNIT(bsa_buddy_destroy);

/**
 * bsa_buddy_section - describe one section
 * @buddy: the allocator
 * @index: in the order of registration
 * @info: filled in
 *
 * Return: 0, or -EINVAL if there is no such section.
 */
int bsa_buddy_section(struct bsa_buddy *buddy, unsigned int index,
		      struct bsa_section_info *info)
{
	const struct bsa_section *section;

	/* Pairs with add_section(). */
	if (index >= smp_load_acquire(&buddy->nr_sections))
		return -EINVAL;
	section = buddy->section[index];
	info->start = section->range.start;
	info->phys = PFN_PHYS(section->pfn);
	info->size = section->range.nr_pages << PAGE_SHIFT;
	info->total_pages = section->range.nr_pages;
	/* It changes all the time. */
	info->free_pages = data_race(section->free_pages);
	info->low = section->low;
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_buddy_section);

/**
 * bsa_buddy_managed_bytes - bytes in all sections, metadata not counted
 * @buddy: the allocator
 */
size_t bsa_buddy_managed_bytes(struct bsa_buddy *buddy)
{
	return READ_ONCE(buddy->total_pages) << PAGE_SHIFT;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_buddy_managed_bytes);

/**
 * bsa_buddy_allocated_bytes - bytes in blocks that are not free
 * @buddy: the allocator
 */
size_t bsa_buddy_allocated_bytes(struct bsa_buddy *buddy)
{
	unsigned long flags, pages;

	raw_spin_lock_irqsave(&buddy->lock, flags);
	pages = buddy->total_pages - buddy->free_pages;
	raw_spin_unlock_irqrestore(&buddy->lock, flags);
	return pages << PAGE_SHIFT;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_buddy_allocated_bytes);
