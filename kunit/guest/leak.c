// SPDX-License-Identifier: GPL-2.0-only
/*
 * A client that is gone and has left memory behind
 *
 * For what bsa does then when it is unloaded: see scripts/guest/check.sh.
 */
#include <linux/bsa.h>
#include <linux/err.h>
#include <linux/module.h>
#include <linux/numa.h>
#include <linux/sizes.h>

#define NR_OBJECTS	3

/* Not code that is gone when the module is loaded. */
static noinline void *keep_pages(struct bsa_heap *heap)
{
	void *pages = bsa_heap_alloc_pages(heap, 2, PAGE_SIZE, GFP_KERNEL);

	OPTIMIZER_HIDE_VAR(pages);
	return pages;
}

static int __init bsa_leak_init(void)
{
	struct bsa_heap *heap = bsa_heap_create("leak", SZ_1M, NUMA_NO_NODE);
	int i;

	if (IS_ERR(heap))
		return PTR_ERR(heap);
	for (i = 0; i < NR_OBJECTS; i++)
		if (!bsa_alloc(100, GFP_KERNEL))
			return -ENOMEM;
	return keep_pages(heap) ? 0 : -ENOMEM;
}

static void __exit bsa_leak_exit(void)
{
}

module_init(bsa_leak_init);
module_exit(bsa_leak_exit);
MODULE_DESCRIPTION("Leaves memory of bsa behind");
MODULE_LICENSE("GPL");
