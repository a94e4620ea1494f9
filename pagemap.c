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
 * points to it, and is freed only when every reader has gone.
 *
 * Ranges that meet inside one 2 MiB share its leaf, which is a page of the
 * kernel's: it is there for as long as one of its entries is of a range. Slabs
 * change entries at any time, without a lock, each those of its own pages.
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

static struct bsa_leaf bsa_no_leaf = {
	.page = { [0 ... BSA_LEAF_PAGES - 1] = &bsa_no_page },
};

/* Serialises changes of the map: regions that come and go. */
DEFINE_MUTEX(bsa_pagemap_mutex);
EXPORT_SYMBOL_IF_KUNIT(bsa_pagemap_mutex);

static LIST_HEAD(bsa_ranges);

static unsigned long granule_of(unsigned long addr)
{
	return (addr - PAGE_OFFSET) >> BSA_LEAF_SHIFT;
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
		/* For bsa_page_of() (model/litmus/map-grows.litmus). */
		smp_store_release(&map->leaf[granule],
				  leaf_origin(leaf, granule));
}

static struct bsa_page **map_entry(unsigned long addr)
{
	unsigned long offset = addr - PAGE_OFFSET;

	return &bsa_pagemap->leaf[offset >> BSA_LEAF_SHIFT][offset >> PAGE_SHIFT];
}

/*
 * Say which descriptor is responsible for some pages, all in one leaf: @page for
 * all of them (@head), or each page's own, of which @page is the first. The entry
 * of the first page is the same in both cases, and stays.
 */
void bsa_pagemap_set(unsigned long start, unsigned long nr_pages,
		     struct bsa_page *page, bool head)
{
	struct bsa_page **entry = map_entry(start);
	unsigned long i;

	for (i = 1; i < nr_pages; i++)
		WRITE_ONCE(entry[i], head ? page : page + i);
}

/*
 * Is all of a region memory that the kernel maps? What has a struct page need not
 * be: holes in between have, too.
 */
static bool is_ram(phys_addr_t start, size_t size)
{
	/* User-mode Linux has no list of resources, and no hole. */
	if (IS_ENABLED(CONFIG_UML))
		return true;
	return page_is_ram(PHYS_PFN(start)) &&
	       page_is_ram(PHYS_PFN(start + size - 1)) &&
	       region_intersects(start, size, IORESOURCE_SYSTEM_RAM,
				 IORES_DESC_NONE) == REGION_INTERSECTS;
}

/*
 * Give the map @nr entries at least, and 8 bytes for each 2 MiB that the machine has.
 * Return 0 or -ENOMEM. May sleep.
 */
int bsa_pagemap_grow(unsigned long nr)
{
	struct bsa_pagemap *map, *old = bsa_pagemap;
	unsigned long i;

	lockdep_assert_held(&bsa_pagemap_mutex);
	nr = max3(nr, 2 * old->nr, granule_of((unsigned long)high_memory - 1) + 1);
	map = kvmalloc(struct_size(map, leaf, nr), GFP_KERNEL | __GFP_NOWARN);
	if (!map)
		return -ENOMEM;
	map->nr = nr;
	map->older = old;
	memcpy(map->leaf, old->leaf, old->nr * sizeof(old->leaf[0]));
	for (i = old->nr; i < nr; i++)
		map->leaf[i] = leaf_origin(&bsa_no_leaf, i);
	/* For bsa_page_of() (model/litmus/map-grows.litmus). */
	smp_store_release(&bsa_pagemap, map);
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_pagemap_grow);

/* Give each of some 2 MiB a leaf. */
static int make_leaves(unsigned long granule, unsigned long last, int node)
{
	struct page *page;

	for (; granule <= last; granule++) {
		if (leaf_of(granule) != &bsa_no_leaf)
			continue;
		page = alloc_pages_node(node, GFP_KERNEL | __GFP_NOWARN, 0);
		if (!page)
			return -ENOMEM;
		*(struct bsa_leaf *)page_address(page) = bsa_no_leaf;
		set_leaf(granule, page_address(page));
	}
	return 0;
}

/*
 * Make room for a region in the map. Where it is not used in the end, and on errors,
 * bsa_pagemap_sync() takes that back. May sleep. Return 0; -EINVAL if the region is
 * not RAM in the kernel's linear mapping; -EEXIST if it overlaps one that is known;
 * -ENOMEM.
 */
int bsa_pagemap_prepare(unsigned long region, size_t size)
{
	unsigned long end = region + size;
	struct bsa_range *range;
	int err;

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

	if (granule_of(end - 1) >= bsa_pagemap->nr) {
		err = bsa_pagemap_grow(granule_of(end - 1) + 1);
		if (err)
			return err;
	}
	return make_leaves(granule_of(region), granule_of(end - 1),
			   page_to_nid(virt_to_page((void *)region)));
}

/* Make the pages of a range known, in a region that the map has room for. */
void bsa_pagemap_add(struct bsa_range *range)
{
	unsigned long i;

	lockdep_assert_held(&bsa_pagemap_mutex);
	for (i = 0; i < range->nr_pages; i++)
		/* For bsa_page_of() (model/litmus/map-grows.litmus). */
		smp_store_release(map_entry(range->start + (i << PAGE_SHIFT)),
				  &range->pages[i]);
	list_add_tail(&range->node, &bsa_ranges);
}

/*
 * Forget the pages of a range. Whoever has looked something up before may still
 * read its descriptors, until bsa_pagemap_sync() returns.
 */
void bsa_pagemap_remove(struct bsa_range *range)
{
	unsigned long i;

	lockdep_assert_held(&bsa_pagemap_mutex);
	list_del(&range->node);
	for (i = 0; i < range->nr_pages; i++)
		WRITE_ONCE(*map_entry(range->start + (i << PAGE_SHIFT)),
			   &bsa_no_page);
}

/*
 * Wait until nobody reads what was removed, and free the leaves that no range needs.
 * May sleep.
 */
void bsa_pagemap_sync(void)
{
	struct page *page, *next;
	struct bsa_leaf *leaf;
	unsigned long i;
	LIST_HEAD(unused);

	lockdep_assert_held(&bsa_pagemap_mutex);
	for (i = 0; i < bsa_pagemap->nr; i++) {
		cond_resched();
		leaf = leaf_of(i);
		if (leaf == &bsa_no_leaf)
			continue;
		/* An entry that changes meanwhile is of a range, and remains so. */
		if (data_race(memcmp(leaf, &bsa_no_leaf, sizeof(*leaf))))
			continue;
		set_leaf(i, &bsa_no_leaf);
		list_add(&virt_to_page(leaf)->lru, &unused);
	}
	/* As frees do (model/litmus/trim-vs-free.litmus). */
	synchronize_rcu();
	list_for_each_entry_safe(page, next, &unused, lru)
		__free_page(page);
}

/* Free the map, and those before it. No range is left, and nobody reads it. */
void bsa_pagemap_exit(void)
{
	struct bsa_pagemap *map;

	while (bsa_pagemap != &no_map) {
		map = bsa_pagemap;
		bsa_pagemap = map->older;
		kvfree(map);
	}
}
