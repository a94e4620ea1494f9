// SPDX-License-Identifier: GPL-2.0-only
/*
 * From any address to the descriptor that is responsible for it, in two loads
 *
 * One map serves all heaps. Its upper level has an entry for each 2 MiB of the
 * kernel's linear mapping, its lower level (the leaves) one for each page. An
 * entry is never NULL: what no heap manages has &bsa_no_page, whose owner is
 * nobody, so a lookup needs no test of its own.
 *
 * Readers hold nothing but preemption (or a live object of the section).
 * Writers hold bsa_pagemap_mutex. A leaf is complete before the upper level
 * points to it; the memory of a range that was removed is not used for anything
 * else before every reader has gone.
 *
 * Two ranges may meet inside one 2 MiB. Each brings a leaf of its own for the
 * place where they meet, and one of the two is in use. When its range goes, the
 * entries move to the other's leaf. Slabs change entries at any time, without a
 * lock, so that one rare move is done with all CPUs stopped.
 *
 * Memory may be plugged in later. A region beyond the end of the map replaces the
 * map by one that is at least twice as large. The older one stays until the module
 * goes, and its entries are kept right, since somebody who was preempted may be
 * about to read them; all older maps together are smaller than the last one.
 */
#include <bsa/compat.h>
#include <bsa/pagemap.h>
#include <linux/ioport.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/stop_machine.h>

static struct bsa_pagemap no_map;
struct bsa_pagemap *bsa_pagemap __read_mostly = &no_map;
EXPORT_SYMBOL_IF_KUNIT(bsa_pagemap);

struct bsa_page bsa_no_page = {
	.owner = BSA_NOBODY,
	.free = &bsa_no_page.free0,
	.state = BSA_PAGE_NONE,
	.node.next = BSA_NOT_DEFERRED,
};
EXPORT_SYMBOL_IF_KUNIT(bsa_no_page);

static struct bsa_leaf bsa_no_leaf;
/* Serialises changes of the map: regions that come and go. */
DEFINE_MUTEX(bsa_pagemap_mutex);
EXPORT_SYMBOL_IF_KUNIT(bsa_pagemap_mutex);

static LIST_HEAD(bsa_ranges);

static unsigned long first_granule(const struct bsa_range *range)
{
	return (range->start - PAGE_OFFSET) >> BSA_LEAF_SHIFT;
}

static unsigned long last_granule(const struct bsa_range *range)
{
	unsigned long last = range->start + (range->nr_pages << PAGE_SHIFT) - 1;

	return (last - PAGE_OFFSET) >> BSA_LEAF_SHIFT;
}

/**
 * bsa_pagemap_nr_leaves - leaves that a range can need, wherever it starts
 * @nr_pages: managed pages in the range
 */
unsigned long bsa_pagemap_nr_leaves(unsigned long nr_pages)
{
	return DIV_ROUND_UP(nr_pages - 1, BSA_LEAF_PAGES) + 1;
}

/* A leaf as the upper level has it, and back. */
static struct bsa_page **leaf_origin(struct bsa_leaf *leaf,
				     unsigned long granule)
{
	return leaf->page - granule * BSA_LEAF_PAGES;
}

static struct bsa_leaf *leaf_of(unsigned long granule)
{
	return (struct bsa_leaf *)(bsa_pagemap->leaf[granule] +
				   granule * BSA_LEAF_PAGES);
}

static void set_leaf(unsigned long granule, struct bsa_leaf *leaf)
{
	struct bsa_pagemap *map;

	for (map = bsa_pagemap; map && granule < map->nr; map = map->older)
		/* Pairs with the address dependency in bsa_page_of(). */
		smp_store_release(&map->leaf[granule],
				  leaf_origin(leaf, granule));
}

static struct bsa_page **map_entry(unsigned long addr)
{
	unsigned long offset = addr - PAGE_OFFSET;

	return &bsa_pagemap->leaf[offset >> BSA_LEAF_SHIFT][offset >> PAGE_SHIFT];
}

static void clear_leaf(struct bsa_leaf *leaf)
{
	unsigned int i;

	for (i = 0; i < BSA_LEAF_PAGES; i++)
		leaf->page[i] = &bsa_no_page;
}

/* Each of @nr pages is responsible for itself; the first one is @page. */
static void set_entries(struct bsa_page **entry, struct bsa_page *page,
			unsigned long nr)
{
	unsigned long i;

	for (i = 0; i < nr; i++)
		WRITE_ONCE(entry[i], page + i);
}

/**
 * bsa_pagemap_set - say which descriptor is responsible for some pages
 * @start: virtual address of the first page
 * @nr_pages: number of pages; all lie in one leaf
 * @page: descriptor of the first page
 * @head: @page is responsible for all of them; else each page for itself
 *
 * The entry of the first page is the same in both cases, and stays.
 */
void bsa_pagemap_set(unsigned long start, unsigned long nr_pages,
		     struct bsa_page *page, bool head)
{
	struct bsa_page **entry = map_entry(start);
	struct bsa_page **end = entry + nr_pages;

	if (!head)
		set_entries(entry + 1, page + 1, nr_pages - 1);
	else
		while (++entry < end)
			WRITE_ONCE(*entry, page);
}

/* The leaf that @range brought for @granule. */
static struct bsa_leaf *own_leaf(const struct bsa_range *range,
				 unsigned long granule)
{
	return &range->leaves[granule - first_granule(range)];
}

static struct bsa_range *other_range(const struct bsa_range *range,
				     unsigned long granule)
{
	struct bsa_range *other;

	list_for_each_entry(other, &bsa_ranges, node)
		if (other != range && first_granule(other) <= granule &&
		    last_granule(other) >= granule)
			return other;
	return NULL;
}

/*
 * Is all of a region memory that the kernel maps? What has a struct page need not
 * be: holes in between have, too.
 */
static bool is_ram(phys_addr_t start, size_t size)
{
	return page_is_ram(PHYS_PFN(start)) &&
	       page_is_ram(PHYS_PFN(start + size - 1)) &&
	       region_intersects(start, size, IORESOURCE_SYSTEM_RAM,
				 IORES_DESC_NONE) == REGION_INTERSECTS;
}

/**
 * bsa_pagemap_grow - give the map more entries
 * @nr: at least so many
 *
 * Context: process, may sleep; holds bsa_pagemap_mutex.
 * Return: 0 or -ENOMEM.
 */
int bsa_pagemap_grow(unsigned long nr)
{
	struct bsa_pagemap *map, *old = bsa_pagemap;
	unsigned long i;

	lockdep_assert_held(&bsa_pagemap_mutex);
	nr = max(nr, 2 * old->nr);
	map = kvmalloc(struct_size(map, leaf, nr), GFP_KERNEL | __GFP_NOWARN);
	if (!map)
		return -ENOMEM;
	map->nr = nr;
	map->older = old;
	memcpy(map->leaf, old->leaf, old->nr * sizeof(old->leaf[0]));
	for (i = old->nr; i < nr; i++)
		map->leaf[i] = leaf_origin(&bsa_no_leaf, i);
	/* Pairs with the address dependency in bsa_page_of(). */
	smp_store_release(&bsa_pagemap, map);
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_pagemap_grow);

/**
 * bsa_pagemap_check - can a region be added?
 * @region: virtual address of its first byte
 * @size: its bytes
 *
 * The map grows if the region lies beyond its end.
 *
 * Context: process, may sleep; holds bsa_pagemap_mutex.
 * Return: 0; -EINVAL if the region is not RAM in the kernel's linear mapping;
 * -EEXIST if it overlaps one that is known; -ENOMEM.
 */
int bsa_pagemap_check(unsigned long region, size_t size)
{
	unsigned long end = region + size, last;
	struct bsa_range *range;

	lockdep_assert_held(&bsa_pagemap_mutex);
	if (region < PAGE_OFFSET || end <= region ||
	    !virt_addr_valid((void *)region) ||
	    !virt_addr_valid((void *)(end - 1)) ||
	    !is_ram(__pa(region), size))
		return -EINVAL;

	list_for_each_entry(range, &bsa_ranges, node)
		if (region < range->region + range->region_size &&
		    range->region < end)
			return -EEXIST;

	last = (end - 1 - PAGE_OFFSET) >> BSA_LEAF_SHIFT;
	return last < bsa_pagemap->nr ? 0 : bsa_pagemap_grow(last + 1);
}

/**
 * bsa_pagemap_add - make the pages of a range known
 * @range: in a region that bsa_pagemap_check() has found good
 *
 * Context: holds bsa_pagemap_mutex.
 */
void bsa_pagemap_add(struct bsa_range *range)
{
	struct bsa_page *page = range->pages;
	unsigned long left = range->nr_pages;
	unsigned long granule, index, nr;

	lockdep_assert_held(&bsa_pagemap_mutex);
	index = (range->start - PAGE_OFFSET) >> PAGE_SHIFT;
	index %= BSA_LEAF_PAGES;
	for (granule = first_granule(range); left; granule++) {
		struct bsa_leaf *leaf = leaf_of(granule);

		nr = min(left, BSA_LEAF_PAGES - index);
		if (leaf == &bsa_no_leaf) {
			leaf = own_leaf(range, granule);
			/* A leaf in between is filled from end to end. */
			if (nr < BSA_LEAF_PAGES)
				clear_leaf(leaf);
		}
		set_entries(&leaf->page[index], page, nr);
		page += nr;
		left -= nr;
		index = 0;
		set_leaf(granule, leaf);
	}
	list_add_tail(&range->node, &bsa_ranges);
}

/**
 * struct leaf_move - entries that are to move to another leaf
 * @granule: of which 2 MiB
 * @to: the leaf that will be in use
 */
struct leaf_move {
	unsigned long granule;
	struct bsa_leaf *to;
};

static int move_leaf(void *data)
{
	struct leaf_move *move = data;

	*move->to = *leaf_of(move->granule);
	set_leaf(move->granule, move->to);
	return 0;
}

/* Stop using the leaf that @range brought for @granule. */
static void drop_leaf(struct bsa_range *range, unsigned long granule)
{
	struct bsa_range *other = other_range(range, granule);
	struct leaf_move move = { .granule = granule };

	if (leaf_of(granule) != own_leaf(range, granule))
		return;
	if (!other) {
		set_leaf(granule, &bsa_no_leaf);
		return;
	}
	move.to = own_leaf(other, granule);
	stop_machine(move_leaf, &move, NULL);
}

/**
 * bsa_pagemap_remove - forget the pages of a range
 * @range: as given to bsa_pagemap_add()
 *
 * Whoever has looked something up before may still read the range's descriptors
 * and leaves; the caller waits for them with synchronize_rcu().
 *
 * Context: process, may sleep; holds bsa_pagemap_mutex.
 */
void bsa_pagemap_remove(struct bsa_range *range)
{
	unsigned long granule, i;

	lockdep_assert_held(&bsa_pagemap_mutex);
	list_del(&range->node);
	for (i = 0; i < range->nr_pages; i++)
		WRITE_ONCE(*map_entry(range->start + (i << PAGE_SHIFT)),
			   &bsa_no_page);
	for (granule = first_granule(range); granule <= last_granule(range);
	     granule++)
		drop_leaf(range, granule);
}

/**
 * bsa_pagemap_init - set up an empty map
 *
 * The upper level takes 8 bytes for each 2 MiB of the machine's memory.
 *
 * Context: process, may sleep.
 * Return: 0 or -ENOMEM.
 */
int bsa_pagemap_init(void)
{
	int err;

	clear_leaf(&bsa_no_leaf);
	mutex_lock(&bsa_pagemap_mutex);
	err = bsa_pagemap_grow(DIV_ROUND_UP((unsigned long)high_memory -
					    PAGE_OFFSET, 1UL << BSA_LEAF_SHIFT));
	mutex_unlock(&bsa_pagemap_mutex);
	return err;
}

/**
 * bsa_pagemap_exit - free the map, and those before it
 */
void bsa_pagemap_exit(void)
{
	struct bsa_pagemap *map = bsa_pagemap, *older;

	bsa_pagemap = &no_map;
	for (; map != &no_map; map = older) {
		older = map->older;
		kvfree(map);
	}
}
