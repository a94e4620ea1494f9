/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The lower layers on their own: what callers would do with a buddy, or with the
 * slabs of one owner, if there were nothing above
 */
#ifndef _BSA_RIG_H
#define _BSA_RIG_H

#include <bsa/slab.h>
#include <bsa/tools.h>
#include <linux/bsa.h>

/**
 * struct bsa_slab_need - what an allocation lacked
 * @class: the size class that has no free object
 * @pages: how many pages a slab of it wants
 */
struct bsa_slab_need {
	unsigned int class;
	unsigned int pages;
};

static inline void *bsa_buddy_alloc_pages(struct bsa_buddy *buddy,
					  unsigned long nr, size_t align,
					  bool low)
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
	WRITE_ONCE(page->state, BSA_PAGE_ALLOCATED);
	addr = bsa_page_address(buddy, page);
	bsa_unpoison(addr, PAGE_SIZE << page->order, PAGE_SIZE << page->order);
	return addr;
}

static inline enum bsa_refused bsa_buddy_free_pages(struct bsa_buddy *buddy,
						    const void *addr)
{
	enum bsa_refused why = BSA_FREE_OK;
	struct bsa_page *page;

	preempt_disable();
	page = bsa_page_of(addr);
	if (bsa_buddy_claim(buddy, page, addr)) {
		bsa_poison(addr, PAGE_SIZE << page->order);
		bsa_buddy_free(buddy, page);
	} else {
		why = bsa_buddy_refusal(buddy, page, addr);
	}
	preempt_enable();
	return why;
}

static inline size_t bsa_buddy_managed_bytes(struct bsa_buddy *buddy)
{
	return buddy->total_pages << PAGE_SHIFT;
}

static inline size_t bsa_buddy_allocated_bytes(struct bsa_buddy *buddy)
{
	return (buddy->total_pages - buddy->free_pages) << PAGE_SHIFT;
}

/* Make a block of pages an empty slab of a class. */
static inline int bsa_slabs_add(struct bsa_slabs *slabs, unsigned int class,
				struct bsa_page *page)
{
	unsigned long flags;
	int err = 0;

	bsa_slab_make(slabs->buddy, page, class);
	if (bsa_lock(&slabs->lock, flags)) {
		err = bsa_slabs_place(slabs, page) ? -ENOSPC : 0;
		bsa_unlock(&slabs->lock, flags);
	}
	return err;
}

static inline void *bsa_slabs_alloc(struct bsa_slabs *slabs, size_t size,
				    struct bsa_slab_need *need)
{
	unsigned int index = bsa_size_class(size);
	struct bsa_class *class = &slabs->class[index];
	struct bsa_page *slab;
	unsigned long flags;
	void *obj;

	while (!bsa_class_take(class, &obj)) {
		bsa_slabs_drain(slabs, class);
		if (bsa_slabs_next_word(slabs, class))
			continue;
		slab = NULL;
		if (bsa_lock(&slabs->lock, flags)) {
			slab = bsa_slabs_retire(slabs, class) ?:
			       bsa_slabs_pop(slabs, index);
			bsa_unlock(&slabs->lock, flags);
		}
		if (!slab) {
			need->class = index;
			need->pages = 1U << bsa_slab_order(index);
			return NULL;
		}
		bsa_slabs_activate(slabs, slab);
	}
	bsa_unpoison(obj, size, bsa_class_size(index));
	return obj;
}

/* Free as the owner; @release is what is to be given back then, or NULL. */
static inline enum bsa_refused bsa_slabs_free(struct bsa_slabs *slabs,
					      const void *ptr,
					      struct bsa_page **release)
{
	struct bsa_page *slab = bsa_page_of(ptr);
	unsigned long index, flags;

	*release = NULL;
	if (slab->state == BSA_PAGE_NONE)
		return BSA_FREE_FOREIGN;
	if (!bsa_page_is_slab(slab))
		return BSA_FREE_DOUBLE;
	if ((slab->owner & ~BSA_OWNER_FULL) != slabs->number)
		return BSA_FREE_OTHER_HEAP;
	index = bsa_slab_index(slab, ptr);
	if (bsa_slab_is_interior(slab, index))
		return BSA_FREE_INTERIOR;
	if (!bsa_slab_is_live(slab, ptr))
		return BSA_FREE_DOUBLE;
	slabs->class[slab->class].frees++;
	if (slab->owner == slabs->number &&
	    bsa_slab_put_one(slab, slabs->number, ptr))
		return BSA_FREE_OK;
	set_bit(index, slab->free + BSA_REMOTE);
	if (bsa_lock(&slabs->lock, flags)) {
		*release = bsa_slabs_look(slabs, slab);
		bsa_unlock(&slabs->lock, flags);
	}
	return BSA_FREE_OK;
}

#endif /* _BSA_RIG_H */
