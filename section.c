// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sections: how a region of memory becomes pages that can be had
 *
 * A section is one physically contiguous range. Its metadata lies in its own
 * prefix, between two guard pages:
 *
 *   region  | guard | struct bsa_section | struct bsa_page[] | guard | pages ...
 *                                                        range.start ^
 *
 * So whoever writes up to a page beyond what he has, in either direction, meets
 * other pages of callers, memory that is not ours, or a guard, but no metadata.
 * bsa_validate() looks whether the guards are as they were left.
 *
 * A section never straddles 4 GiB: a region that does becomes two.
 *
 * Context: process, may sleep; bsa_pagemap_mutex is held by whoever adds or
 * removes sections.
 */
#include <bsa/buddy.h>
#include <bsa/compat.h>
#include <bsa/tools.h>
#include <linux/io.h>
#include <linux/sizes.h>
#include <linux/slab.h>

/* Guard pages of a section. */
#define NR_GUARDS	2

/* Bytes in front of the descriptors, which are aligned to their size. */
#define HEAD_SIZE	ALIGN(sizeof(struct bsa_section), \
			      sizeof(struct bsa_page))

/* How many bytes a page-aligned region must have beyond the @size to manage. */
size_t bsa_buddy_meta_size(size_t size)
{
	unsigned long nr = max(PFN_UP(size), 1UL);

	return (NR_GUARDS + PFN_UP(HEAD_SIZE + nr * sizeof(struct bsa_page)))
	       << PAGE_SHIFT;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_buddy_meta_size);

/* How many of @nr pages can be managed, with the metadata among them. */
static unsigned long managed_pages(unsigned long nr)
{
	size_t size = nr << PAGE_SHIFT, fixed = NR_GUARDS * PAGE_SIZE + HEAD_SIZE;

	if (size < fixed)
		return 0;
	return (size - fixed) / (PAGE_SIZE + sizeof(struct bsa_page));
}

static void init_pages(struct bsa_section *section)
{
	struct bsa_page *page = section->range.pages;
	struct bsa_page *end = page + section->range.nr_pages;
	u16 id = section->id;

	for (; page < end; page++) {
		page->owner = BSA_NOBODY;
		page->free = &page->free0;
		page->state = BSA_PAGE_TAIL;
		page->section = id;
		page->node.next = BSA_NOT_DEFERRED;
	}
}

/* Where the page behind the metadata begins. */
static void *last_guard(const struct bsa_range *range)
{
	return (void *)(range->start - PAGE_SIZE);
}

static void init_guards(const struct bsa_range *range)
{
	memset((void *)range->region, BSA_GUARD_BYTE, PAGE_SIZE);
	memset(last_guard(range), BSA_GUARD_BYTE, PAGE_SIZE);
	bsa_poison((void *)range->region, PAGE_SIZE);
	bsa_poison(last_guard(range), PAGE_SIZE);
}

/* The first byte of a section's guards that is not as it was left, or NULL. */
const void *bsa_section_damage(const struct bsa_section *section)
{
	const struct bsa_range *range = &section->range;
	const void *at;

	/* To KASAN they are nobody's. */
	kasan_disable_current();
	at = memchr_inv((void *)range->region, BSA_GUARD_BYTE, PAGE_SIZE) ?:
	     memchr_inv(last_guard(range), BSA_GUARD_BYTE, PAGE_SIZE);
	kasan_enable_current();
	return at;
}

/* Add the pages from @start to @end, which lie on one side of 4 GiB. */
static int add_section(struct bsa_buddy *buddy, unsigned long start,
		       unsigned long end)
{
	struct bsa_section *section = (struct bsa_section *)(start + PAGE_SIZE);
	unsigned long managed = managed_pages(PFN_DOWN(end - start));
	unsigned long first = end - (managed << PAGE_SHIFT);
	struct bsa_range *range = &section->range;
	void *side = NULL;
	unsigned int i;

	if (!managed)
		return -EINVAL;
	if (buddy->nr_sections == BSA_MAX_SECTIONS)
		return -ENOSPC;
	if (buddy->side_size) {
		side = kvcalloc(managed, buddy->side_size,
				GFP_KERNEL | __GFP_NOWARN);
		if (!side)
			return -ENOMEM;
		/* Only the section knows of it, which kmemleak does not scan. */
		kmemleak_ignore(side);
	}

	memset(section, 0, sizeof(*section));
	section->side = side;
	range->region = start;
	range->region_size = end - start;
	range->start = first;
	range->nr_pages = managed;
	range->pages = (void *)section + HEAD_SIZE;

	section->buddy = buddy;
	section->id = buddy->nr_sections;
	section->pfn = PHYS_PFN(virt_to_phys((void *)first));
	section->low = section->pfn < PHYS_PFN(SZ_4G);
	for (i = 0; i < BSA_NR_ORDERS; i++)
		INIT_LIST_HEAD(&section->free[i]);
	init_pages(section);
	init_guards(range);
	bsa_buddy_fill(section);
	bsa_poison((void *)first, managed << PAGE_SHIFT);
	bsa_pagemap_add(range);
	bsa_buddy_publish(section);
	return 0;
}

/*
 * Manage another region of memory, until bsa_buddy_destroy(). Ends that are not
 * page-aligned are trimmed. A region that straddles 4 GiB physical becomes two
 * sections; if only one side is too small, or only for one there is no memory
 * beside, that side is left out.
 *
 * Return 0; -EINVAL if not a single page can be managed or the region is not in
 * the linear mapping; -EEXIST if it overlaps a region of any heap; -ENOSPC if there
 * are too many sections; -ENOMEM.
 */
int bsa_buddy_add_region(struct bsa_buddy *buddy, void *start, size_t size)
{
	/* Where pointers have tags, this one leads to all memory whatever tag that has. */
	unsigned long addr = (unsigned long)kasan_reset_tag(start);
	unsigned long first = PAGE_ALIGN(addr), end = (addr + size) & PAGE_MASK;
	unsigned long border = end;
	phys_addr_t phys;
	int err;

	if (!start || addr + size < size || end <= first)
		return -EINVAL;

	mutex_lock(&bsa_pagemap_mutex);
	/* Not a byte may be written before it is known that nobody owns it. */
	err = bsa_pagemap_prepare(first, end - first);
	if (err)
		goto unlock;
	/* It may be an object that kmemleak knows; others will lie in there. */
	kmemleak_free_part(start, size);
	phys = virt_to_phys((void *)first);
	if (phys < SZ_4G && phys + (end - first) > SZ_4G)
		border = first + (SZ_4G - phys);
	err = -ENOSPC;
	if (border < end && buddy->nr_sections > BSA_MAX_SECTIONS - 2)
		goto unlock;
	err = add_section(buddy, first, border);
	/* Of two sides one may be left out. */
	if (border < end && !add_section(buddy, border, end))
		err = 0;
unlock:
	if (err)
		bsa_pagemap_sync();
	mutex_unlock(&bsa_pagemap_mutex);
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_buddy_add_region);

/*
 * Let go of all regions: afterwards they belong to whoever added them. Nobody uses
 * the allocator any more.
 */
void bsa_buddy_destroy(struct bsa_buddy *buddy)
{
	unsigned int nr = buddy->nr_sections;
	struct bsa_range *range;

	mutex_lock(&bsa_pagemap_mutex);
	while (buddy->nr_sections) {
		range = &buddy->section[--buddy->nr_sections]->range;
		bsa_pagemap_remove(range);
		bsa_unpoison((void *)range->region, range->region_size,
			     range->region_size);
	}
	/* Regions change hands only when nobody reads their metadata. */
	bsa_pagemap_sync();
	while (nr--)
		kvfree(buddy->section[nr]->side);
	mutex_unlock(&bsa_pagemap_mutex);
}
EXPORT_SYMBOL_IF_KUNIT(bsa_buddy_destroy);

/*
 * Describe a section, by its index in the order of registration. Return 0, or
 * -EINVAL if there is no such section.
 */
int bsa_buddy_section(struct bsa_buddy *buddy, unsigned int index,
		      struct bsa_section_info *info)
{
	const struct bsa_section *section;

	/* Pairs with bsa_buddy_publish() (model/litmus/publish-section.litmus). */
	if (index >= smp_load_acquire(&buddy->nr_sections))
		return -EINVAL;
	section = buddy->section[index];
	*info = (struct bsa_section_info) {
		.start = section->range.start,
		.phys = PFN_PHYS(section->pfn),
		.size = section->range.nr_pages << PAGE_SHIFT,
		.total_pages = section->range.nr_pages,
		.free_pages = READ_ONCE(section->free_pages),
		.low = section->low,
	};
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(bsa_buddy_section);
