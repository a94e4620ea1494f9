// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an allocation is, and how it changes its size
 *
 * Of a block of pages it is known what its caller asked for, of an object only
 * its size class. So what lies between the two is kept zero behind an object that
 * was resized in place: when it grows again under __GFP_ZERO, that is what its
 * caller finds, as with krealloc().
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <bsa/compat.h>
#include <bsa/debug.h>
#include <bsa/percpu.h>
#include <bsa/tools.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

/*
 * Find the slot of a slab, or the block, that an address lies in. The caller
 * holds something live in the section, or has preemption off. Return false if
 * it lies in neither.
 */
bool bsa_plain_locate(struct bsa_heap *heap, const void *ptr, void **start,
		      size_t *room, bool *is_block)
{
	struct bsa_page *page = bsa_page_of(ptr);
	unsigned long index;
	void *base;

	if (!bsa_buddy_owns(&heap->buddy, page))
		return false;
	page = bsa_buddy_head(heap->buddy.section[page->section], page);
	base = bsa_page_address(&heap->buddy, page);
	*is_block = READ_ONCE(page->owner) == BSA_NOBODY;
	if (*is_block) {
		*start = base;
		*room = PAGE_SIZE << page->order;
		return READ_ONCE(page->state) == BSA_PAGE_ALLOCATED;
	}
	*room = bsa_class_size(page->class);
	index = (ptr - base) / *room;
	*start = base + index * *room;
	return index < bsa_slab_capacity(page);
}
EXPORT_SYMBOL_IF_KUNIT(bsa_plain_locate);

/*
 * Return the bytes of an allocation: what was asked for, of a block; what the
 * slot has, of an object; 0 if @ptr is no live allocation of the heap.
 */
size_t bsa_plain_size(struct bsa_heap *heap, const void *ptr)
{
	struct bsa_page *page;
	size_t size = 0;
	u32 owner;

	preempt_disable();
	page = bsa_page_of(ptr);
	owner = READ_ONCE(page->owner);
	if (owner != BSA_NOBODY && bsa_owner_is_of(owner, heap)) {
		if (bsa_slab_is_live(page, ptr))
			size = bsa_class_size(page->class);
	} else if (owner == BSA_NOBODY && bsa_buddy_owns(&heap->buddy, page) &&
		   READ_ONCE(page->state) == BSA_PAGE_ALLOCATED &&
		   ptr == bsa_page_address(&heap->buddy, page)) {
		size = READ_ONCE(page->asked);
	}
	preempt_enable();
	return size;
}

/* Bytes that the caller may use for certain; 0 if @ptr is nothing live. */
static size_t usable_size(struct bsa_heap *heap, const void *ptr)
{
	size_t size;

	if (bsa_debug_on(heap))
		return bsa_debug_size(heap, ptr);
	size = bsa_plain_size(heap, ptr);
	return size ? bsa_accessible(ptr, size) : 0;
}

/* Move an allocation to another place. */
static void *move_to(struct bsa_heap *heap, const void *ptr, size_t old_size,
		     size_t new_size, size_t align, gfp_t gfp,
		     unsigned long caller)
{
	void *new = bsa_alloc_any(heap, new_size, align, gfp, caller);

	if (!new)
		return NULL;
	bsa_copy(new, ptr, min(old_size, new_size));
	bsa_heap_free(heap, ptr);
	return new;
}

/* Change the size of a block that stays where it is. */
static void *resize_block(struct bsa_heap *heap, struct bsa_page *page,
			  void *ptr, size_t new_size, gfp_t gfp)
{
	unsigned int was = page->order, is = get_order(new_size);

	if (gfp & __GFP_ZERO && new_size > page->asked)
		bsa_clear(ptr + page->asked, new_size - page->asked);
	page->asked = new_size;
	/* To the kernel's tools it is another one, since others may get its end. */
	if (is < was) {
		bsa_take_back(ptr, PAGE_SIZE << was);
		bsa_buddy_shrink(&heap->buddy, page, is);
		bsa_hand_out(ptr, new_size, PAGE_SIZE << page->order);
	} else {
		bsa_unpoison(ptr, new_size, PAGE_SIZE << page->order);
	}
	this_cpu_add(heap->cpu->shrunk_pages,
		     (1UL << was) - (1UL << page->order));
	return ptr;
}

static void *realloc_block(struct bsa_heap *heap, struct bsa_page *page,
			   void *ptr, size_t new_size, gfp_t gfp,
			   unsigned long caller)
{
	size_t room = PAGE_SIZE << page->order, align = page->align;
	size_t size = bsa_with_redzone(new_size);
	void *new = NULL;

	if (size > room)
		return move_to(heap, ptr, page->asked, new_size, align, gfp,
			       caller);
	/* To an object, if there is one; a block that shrinks never fails. */
	if (max(size, align) <= BSA_MAX_OBJECT)
		new = move_to(heap, ptr, page->asked, new_size, align,
			      gfp | __GFP_NOWARN, caller);
	return new ?: resize_block(heap, page, ptr, new_size, gfp);
}

static void *realloc_object(struct bsa_heap *heap, struct bsa_page *slab,
			    void *ptr, size_t new_size, gfp_t gfp,
			    unsigned long caller)
{
	size_t room = bsa_class_size(slab->class);

	/* It has the alignment of its class, which may have been asked for. */
	if (bsa_with_redzone(new_size) > room)
		return move_to(heap, ptr, room, new_size, 1UL << __ffs(room),
			       gfp, caller);
	bsa_clear(ptr + new_size, room - new_size);
	bsa_unpoison(ptr, new_size, room);
	return ptr;
}

/* With debug= what was asked for is known, so whatever grows has to move. */
static void *realloc_watched(struct bsa_heap *heap, void *ptr, size_t size,
			     size_t new_size, gfp_t gfp, unsigned long caller)
{
	if (new_size > size)
		return move_to(heap, ptr, size, new_size, 1, gfp, caller);
	bsa_debug_shrink(heap, ptr, new_size, caller);
	return ptr;
}

/**
 * bsa_heap_realloc - change the size of an allocation
 * @heap: the heap; NULL is the default heap
 * @ptr: from the heap; NULL allocates
 * @new_size: bytes; 0 frees
 * @gfp: see <linux/bsa.h>
 *
 * Contents are kept up to the smaller of both sizes, and so is the alignment. With
 * __GFP_ZERO at the allocation and at each change, what is added is zero. A block
 * of pages that shrinks by half or more gives pages back. What gets smaller never
 * fails.
 *
 * Context: any.
 * Return: the memory, ZERO_SIZE_PTR if it was freed, or NULL: then @ptr is
 * untouched.
 */
void *bsa_heap_realloc(struct bsa_heap *heap, const void *ptr, size_t new_size,
		       gfp_t gfp)
{
	struct bsa_page *page;
	size_t size;

	might_alloc(gfp);
	heap = heap ?: &bsa_default_heap;
	if (bsa_is_nothing(ptr))
		return bsa_alloc_any(heap, new_size, 1, gfp, _RET_IP_);
	size = usable_size(heap, ptr);
	if (!size) {
		if (bsa_may_print(heap, &heap->reported))
			pr_err("%s: realloc of %p refused: not a live allocation (caller %pS)\n",
			       heap->name, ptr, (void *)_RET_IP_);
		return NULL;
	}
	if (bsa_refuse_gfp(heap, 1, gfp, _RET_IP_))
		return NULL;
	if (!new_size) {
		bsa_heap_free(heap, ptr);
		return ZERO_SIZE_PTR;
	}
	page = bsa_page_of(ptr);
	if (bsa_debug_on(heap))
		return realloc_watched(heap, (void *)ptr, size, new_size, gfp,
				       _RET_IP_);
	if (bsa_page_is_slab(page))
		return realloc_object(heap, page, (void *)ptr, new_size, gfp,
				      _RET_IP_);
	return realloc_block(heap, page, (void *)ptr, new_size, gfp, _RET_IP_);
}
EXPORT_SYMBOL_GPL(bsa_heap_realloc);

/**
 * __bsa_heap_size - bsa_heap_size() where the compiler knows nothing
 * @heap: the heap; NULL is the default heap
 * @ptr: any value
 *
 * Context: any.
 * Return: bytes that may be used; 0 if @ptr is no live allocation of the heap.
 */
size_t __bsa_heap_size(struct bsa_heap *heap, const void *ptr)
{
	return usable_size(heap ?: &bsa_default_heap, ptr);
}
EXPORT_SYMBOL_GPL(__bsa_heap_size);
