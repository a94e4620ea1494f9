// SPDX-License-Identifier: GPL-2.0-only
/*
 * A client that creates a heap of a size that is told, and has all of it
 *
 * The load fails if it gets less than nine tenths of what it asked for, or if what
 * it gets does not hold what is written there. For what becomes of memory that comes
 * and goes: see scripts/guest/check.sh.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bsa.h>
#include <linux/err.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/numa.h>
#include <linux/sizes.h>
#include <linux/string.h>

static unsigned long size = SZ_64M;
module_param(size, ulong, 0444);

static struct bsa_heap *heap;

/* Allocate all pages, write to each, and free them. Return their bytes. */
static unsigned long use_all_pages(void)
{
	unsigned long nr = 0;
	void *page, *last = NULL;

	while ((page = bsa_heap_alloc_pages(heap, 1, PAGE_SIZE,
					    GFP_KERNEL | __GFP_NOWARN))) {
		memset(page, 0x5a, PAGE_SIZE);
		*(void **)page = last;
		last = page;
		nr++;
	}
	while ((page = last)) {
		last = *(void **)page;
		if (memchr_inv(page + sizeof(void *), 0x5a, PAGE_SIZE - sizeof(void *)))
			return 0;
		bsa_heap_free_pages(heap, page, 1);
	}
	return nr * PAGE_SIZE;
}

static int __init bsa_tenant_init(void)
{
	struct bsa_section_info info = {};
	unsigned long got;
	phys_addr_t start;

	heap = bsa_heap_create("tenant", size, NUMA_NO_NODE);
	if (IS_ERR(heap))
		return PTR_ERR(heap);
	got = use_all_pages();
	bsa_heap_section(heap, 0, &info);
	start = virt_to_phys((void *)info.start);
	pr_info("%lu bytes of %lu at %pa\n", got, size, &start);
	if (got >= size / 10 * 9)
		return 0;
	bsa_heap_destroy(heap);
	return -ENOSPC;
}

static void __exit bsa_tenant_exit(void)
{
	bsa_heap_destroy(heap);
}

module_init(bsa_tenant_init);
module_exit(bsa_tenant_exit);
MODULE_DESCRIPTION("Has a heap of bsa");
MODULE_LICENSE("GPL");
