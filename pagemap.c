// SPDX-License-Identifier: GPL-2.0-only
/*
 * From any address to the descriptor that is responsible for it, in one load that
 * depends on the address
 *
 * One map serves all heaps: an array with an entry for each page of the kernel's linear
 * mapping. An entry is never NULL: what no heap manages has &bsa_no_page, whose owner
 * is nobody, so a lookup needs no test of its own. The array is a mapping of pages, the
 * leaves, and where no heap has memory it is the same leaf again and again.
 *
 * Readers have preemption off. Writers hold bsa_pagemap_mutex. A map with another leaf
 * is a new one, and the older one goes when every reader has gone. Both have the same
 * leaves, so it does not matter which of them somebody has.
 *
 * Ranges that meet inside one leaf share it: it is there for as long as one of its
 * entries is of a range. Slabs change entries at any time, without a lock, each those
 * of its own pages.
 *
 * Memory may be plugged in later. A region beyond the end of the map makes the map at
 * least twice as large.
 */
#include <bsa/compat.h>
#include <bsa/pagemap.h>
#include <linux/ioport.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

/* Entries of a leaf. */
#define LEAF_ENTRIES	(PAGE_SIZE / sizeof(struct bsa_page *))

/*
 * By so many entries the array is moved against its leaves. Processors take a load for
 * one of what was just stored at the same offset of another page, and wait: that of the
 * first page of a heap, for the first object in there.
 */
#define SKEW		200

struct bsa_pagemap bsa_pagemap __read_mostly;
EXPORT_SYMBOL_IF_KUNIT(bsa_pagemap);

struct bsa_page bsa_no_page = {
	.owner = BSA_NOBODY,
	.free = &bsa_no_page.free0,
	.state = BSA_PAGE_NONE,
	.node.next = BSA_NOT_DEFERRED,
};
EXPORT_SYMBOL_IF_KUNIT(bsa_no_page);

/*
 * All leaves, and the one that has no descriptor of a heap; what readers have of them,
 * mapped as one, and whether something is missing there.
 */
static struct page **leaves;
static unsigned long nr_leaves;
static struct page *no_leaf;
static struct bsa_page **array;
static bool stale;

/* Serialises changes of the map: regions that come and go. */
DEFINE_MUTEX(bsa_pagemap_mutex);
EXPORT_SYMBOL_IF_KUNIT(bsa_pagemap_mutex);

static LIST_HEAD(bsa_ranges);

static unsigned long leaf_index(unsigned long addr)
{
	return (bsa_pagemap_index((void *)addr) + SKEW) / LEAF_ENTRIES;
}

static struct bsa_page **map_entry(unsigned long addr)
{
	return READ_ONCE(bsa_pagemap.entry) + bsa_pagemap_index((void *)addr);
}

/*
 * Say which descriptor is responsible for some pages: @page for all of them (@head),
 * or each page's own, of which @page is the first. The entry of the first page is the
 * same in both cases, and stays.
 */
void bsa_pagemap_set(unsigned long start, unsigned long nr_pages,
		     struct bsa_page *page, bool head)
{
	struct bsa_page **entry;
	unsigned long i;

	preempt_disable();
	entry = map_entry(start);
	for (i = 1; i < nr_pages; i++)
		WRITE_ONCE(entry[i], head ? page : page + i);
	preempt_enable();
}

/*
 * Is it an address of the linear mapping? Those of the kernel's image may be valid, too,
 * but are others for the same memory.
 */
static bool is_linear(unsigned long addr)
{
	return addr >= PAGE_OFFSET && virt_addr_valid((void *)addr) &&
	       (unsigned long)kasan_reset_tag(__va(__pa(addr))) == addr;
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

static struct page *new_leaf(int node)
{
	struct page *page = alloc_pages_node(node, GFP_KERNEL | __GFP_NOWARN, 0);

	if (page)
		memset64(page_address(page), (unsigned long)&bsa_no_page, LEAF_ENTRIES);
	return page;
}

static void free_leaf(struct page *page)
{
	set_page_private(page, 0);
	__free_page(page);
}

/* Let readers have the leaves as they are now. Return 0 or -ENOMEM. May sleep. */
static int publish(void)
{
	struct bsa_page **old = array, **new;

	new = vmap(leaves, nr_leaves, VM_MAP, PAGE_KERNEL);
	if (!new)
		return -ENOMEM;
	array = new;
	stale = false;
	/* For __bsa_page_of() (model/litmus/map-grows.litmus). */
	smp_store_release(&bsa_pagemap.entry, new + SKEW);
	/* As frees do (model/litmus/trim-vs-free.litmus). */
	synchronize_rcu();
	WRITE_ONCE(bsa_pagemap.nr, nr_leaves * LEAF_ENTRIES - SKEW);
	vunmap(old);
	return 0;
}

/*
 * Have @nr leaves at least, and enough for what the machine has. Return 0 or -ENOMEM.
 * May sleep.
 */
static int more_leaves(unsigned long nr)
{
	struct page **more;

	nr = max3(nr, 2 * nr_leaves, leaf_index((unsigned long)high_memory - 1) + 1);
	no_leaf = no_leaf ?: new_leaf(NUMA_NO_NODE);
	more = kvmalloc_array(nr, sizeof(*more), GFP_KERNEL | __GFP_NOWARN);
	if (!no_leaf || !more) {
		kvfree(more);
		return -ENOMEM;
	}
	memcpy(more, leaves, nr_leaves * sizeof(*more));
	kvfree(leaves);
	leaves = more;
	while (nr_leaves < nr)
		leaves[nr_leaves++] = no_leaf;
	stale = true;
	return 0;
}

/* Give the map @nr entries at least. Return 0 or -ENOMEM. May sleep. */
int bsa_pagemap_grow(unsigned long nr)
{
	lockdep_assert_held(&bsa_pagemap_mutex);
	return more_leaves(DIV_ROUND_UP(nr + SKEW, LEAF_ENTRIES)) ?: publish();
}
EXPORT_SYMBOL_IF_KUNIT(bsa_pagemap_grow);

/* Have leaves for a region. Return 0 or -ENOMEM. May sleep. */
static int add_leaves(unsigned long region, size_t size)
{
	unsigned long i, last = leaf_index(region + size - 1);
	struct page *page;

	if (last >= nr_leaves && more_leaves(last + 1))
		return -ENOMEM;
	for (i = leaf_index(region); i <= last; i++) {
		if (leaves[i] != no_leaf)
			continue;
		page = new_leaf(page_to_nid(virt_to_page((void *)region)));
		if (!page)
			return -ENOMEM;
		set_page_private(page, i);
		leaves[i] = page;
		stale = true;
	}
	return 0;
}

/*
 * A region of RAM in the linear mapping is about to come. Where there are several, the
 * map is replaced once for all. Whether there is memory for it bsa_pagemap_prepare()
 * says. May sleep.
 */
void bsa_pagemap_expect(unsigned long region, size_t size)
{
	mutex_lock(&bsa_pagemap_mutex);
	add_leaves(region, size);
	mutex_unlock(&bsa_pagemap_mutex);
}
EXPORT_SYMBOL_IF_KUNIT(bsa_pagemap_expect);

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

	lockdep_assert_held(&bsa_pagemap_mutex);
	if (!is_linear(region) || end <= region || !is_linear(end - 1) ||
	    !is_ram(__pa(region), size))
		return -EINVAL;

	list_for_each_entry(range, &bsa_ranges, node)
		if (region < range->region + range->region_size &&
		    range->region < end)
			return -EEXIST;

	return add_leaves(region, size) ?: (stale ? publish() : 0);
}

/* Make the pages of a range known, in a region that the map has room for. */
void bsa_pagemap_add(struct bsa_range *range)
{
	struct bsa_page **entry = map_entry(range->start), *page = range->pages;
	struct bsa_page *end = page + range->nr_pages;

	lockdep_assert_held(&bsa_pagemap_mutex);
	for (; page < end; page++)
		/* For __bsa_page_of() (model/litmus/map-grows.litmus). */
		smp_store_release(entry++, page);
	list_add_tail(&range->node, &bsa_ranges);
}

/*
 * Forget the pages of a range. Whoever has looked something up before may still
 * read its descriptors, until bsa_pagemap_sync() returns.
 */
void bsa_pagemap_remove(struct bsa_range *range)
{
	struct bsa_page **entry = map_entry(range->start);
	unsigned long i;

	lockdep_assert_held(&bsa_pagemap_mutex);
	list_del(&range->node);
	for (i = 0; i < range->nr_pages; i++)
		WRITE_ONCE(entry[i], &bsa_no_page);
}

/*
 * Wait until nobody reads what was removed, and free the leaves that no range needs.
 * May sleep.
 */
void bsa_pagemap_sync(void)
{
	struct page *page, *next;
	LIST_HEAD(unused);
	unsigned long i;

	lockdep_assert_held(&bsa_pagemap_mutex);
	for (i = 0; i < nr_leaves; i++) {
		cond_resched();
		page = leaves[i];
		if (page == no_leaf)
			continue;
		/* An entry that changes meanwhile is of a range, and remains so. */
		if (data_race(memcmp(page_address(page), page_address(no_leaf), PAGE_SIZE)))
			continue;
		leaves[i] = no_leaf;
		list_add(&page->lru, &unused);
	}
	if (list_empty(&unused) || publish()) {
		/* Without memory for another map they stay in this one. */
		list_for_each_entry(page, &unused, lru)
			leaves[page_private(page)] = page;
		/* As frees do (model/litmus/trim-vs-free.litmus). */
		synchronize_rcu();
		return;
	}
	list_for_each_entry_safe(page, next, &unused, lru)
		free_leaf(page);
}

/*
 * Free the map. No range is left, and nobody reads it. There may be leaves that
 * bsa_pagemap_sync() had no memory to do without.
 */
void bsa_pagemap_exit(void)
{
	unsigned long i;

	vunmap(array);
	for (i = 0; i < nr_leaves; i++)
		if (leaves[i] != no_leaf)
			free_leaf(leaves[i]);
	kvfree(leaves);
	if (no_leaf)
		__free_page(no_leaf);
}
