// SPDX-License-Identifier: GPL-2.0-only
/*
 * A client that frees memory of the default heap with kfree(), free_page() and
 * put_page(), and then looks whether it is still its own
 *
 * The load fails if a page has got to somebody else. The kernel complains, which
 * is why this is no KUnit test: see scripts/guest/check.sh. With pages=N it frees N
 * pages with free_pages() instead, keeps its hands off them from then on, and has the
 * kernel hand some of them out again, as a compound page.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bsa.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/string.h>

/* So many pages of the kernel are looked at for one that is the heap's. */
#define NR_LOOKED_AT	4096

static unsigned int pages;
module_param(pages, uint, 0444);

static const size_t sizes[] = { 8, 512, 2048, PAGE_SIZE, 8 * PAGE_SIZE };
static void *ptrs[ARRAY_SIZE(sizes)];
static struct page *again;

static bool is_ours(const void *page)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		if (page >= (void *)PAGE_ALIGN_DOWN((unsigned long)ptrs[i]) &&
		    page < ptrs[i] + sizes[i])
			return true;
	return false;
}

/* Does the kernel hand out what it was given? Such a page is not freed again. */
static bool kernel_has_ours(void)
{
	struct page *page, *next;
	bool found = false;
	LIST_HEAD(pages);
	unsigned int i;

	for (i = 0; i < NR_LOOKED_AT; i++) {
		page = alloc_page(GFP_KERNEL);
		if (!page)
			break;
		if (is_ours(page_address(page)))
			found = true;
		else
			list_add(&page->lru, &pages);
	}
	list_for_each_entry_safe(page, next, &pages, lru)
		__free_page(page);
	return found;
}

static int __init foreign_init(void)
{
	unsigned int i;
	int err = 0;

	if (pages) {
		ptrs[0] = bsa_alloc_pages(pages, PAGE_SIZE, GFP_KERNEL);
		if (!ptrs[0])
			return -ENOMEM;
		free_pages((unsigned long)ptrs[0], ilog2(pages));
		again = alloc_pages(GFP_KERNEL | __GFP_COMP, ilog2(pages) - 1);
		return again ? 0 : -ENOMEM;
	}
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		ptrs[i] = bsa_alloc(sizes[i], GFP_KERNEL);
		if (!ptrs[i])
			return -ENOMEM;
		memset(ptrs[i], 0x5a, sizes[i]);
	}
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		kfree(ptrs[i]);
		free_page((unsigned long)ptrs[i] & PAGE_MASK);
		put_page(virt_to_page(ptrs[i]));
	}
	if (kernel_has_ours())
		err = -EIO;
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		if (memchr_inv(ptrs[i], 0x5a, sizes[i]))
			err = -EIO;
		bsa_free(ptrs[i]);
	}
	return err;
}
module_init(foreign_init);

static void __exit foreign_exit(void)
{
	if (!pages)
		return;
	__free_pages(again, ilog2(pages) - 1);
	bsa_free_pages(ptrs[0], pages);
}
module_exit(foreign_exit);

MODULE_DESCRIPTION("Frees memory of bsa with calls of the kernel");
MODULE_LICENSE("GPL");
