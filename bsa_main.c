// SPDX-License-Identifier: GPL-2.0-only
/*
 * Load and unload, parameters, the default heap, and clients that come and go
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <bsa/compat.h>
#include <bsa/debug.h>
#include <bsa/debugfs.h>
#include <bsa/heap.h>
#include <linux/ctype.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sizes.h>
#include <linux/string_helpers.h>

#define MIN_SIZE	SZ_256K

/* In MiB; in a kernel's tree Kconfig asks for it. */
#ifndef CONFIG_BSA_SIZE
#define CONFIG_BSA_SIZE	16
#endif

static unsigned long long size = (unsigned long long)CONFIG_BSA_SIZE << 20;
static unsigned long long lowmem;
static int node = NUMA_NO_NODE;
static char *debug;

struct bsa_heap bsa_default_heap = { .name = "default" };
EXPORT_SYMBOL_IF_KUNIT(bsa_default_heap);

/* What heaps look for, unless bsa_heap_create_debug() is told otherwise. */
unsigned long bsa_debug_flags;

/* As memparse(), but what does not fit is not cut short: it is out of range. */
static int set_bytes(const char *val, const struct kernel_param *kp)
{
	static const char suffix[] = "KMGT";
	unsigned long long *bytes = kp->arg;
	unsigned int shift = 0;
	const char *unit;
	char number[24];
	size_t len;
	int err;

	len = strcspn(val, "\n");
	if (!len || len >= sizeof(number))
		return -EINVAL;
	unit = strchr(suffix, toupper(val[len - 1]));
	if (unit)
		shift = 10 * (unit - suffix + 1);
	strscpy(number, val, unit ? len : len + 1);
	err = kstrtoull(number, 0, bytes);
	if (err == -ERANGE || (!err && check_shl_overflow(*bytes, shift, bytes)))
		*bytes = ULLONG_MAX;
	else if (err)
		return err;
	return 0;
}

static const struct kernel_param_ops bytes_ops = {
	.set = set_bytes,
	.get = param_get_ullong,
};

module_param_cb(size, &bytes_ops, &size, 0444);
__MODULE_PARM_TYPE(size, "bytes");
MODULE_PARM_DESC(size,
		 "Memory of the default heap, in bytes or with a suffix K, M or G (at least 256K, default "
		 __stringify(CONFIG_BSA_SIZE) "M)");
module_param_cb(lowmem, &bytes_ops, &lowmem, 0444);
__MODULE_PARM_TYPE(lowmem, "bytes");
MODULE_PARM_DESC(lowmem, "Further memory of the default heap that lies below 4 GiB physical (default 0: none)");
module_param(node, int, 0444);
MODULE_PARM_DESC(node, "NUMA node to reserve the memory on (default -1: any)");

module_param(debug, charp, 0444);
MODULE_PARM_DESC(debug, "What to look for, at the price of speed: z red zones, p poison, u users of memory, q quarantine, r random slots, or 1 for all (default 0: nothing)");

/*
 * Clients
 */

static DEFINE_MUTEX(clients_mutex);

/**
 * struct leaver - a client that goes
 * @module: the client
 * @left: what it has left behind in all heaps
 */
struct leaver {
	const struct module *module;
	unsigned long left;
};

static void client_left(struct bsa_heap *heap, void *data)
{
	struct leaver *leaver = data;

	/* What is left of that was said when it was abandoned. */
	if (!heap->abandoned)
		leaver->left += bsa_client_left(heap, leaver->module);
}

/* What a module that goes leaves behind is best told as long as it has names. */
static int module_event(struct notifier_block *block, unsigned long event,
			void *data)
{
	struct leaver leaver = { .module = data };

	mutex_lock(&clients_mutex);
	if (event == MODULE_STATE_COMING) {
		bsa_client_comes(leaver.module);
	} else if (event == MODULE_STATE_LIVE) {
		bsa_client_is_loaded(leaver.module);
	} else if (event == MODULE_STATE_GOING) {
		bsa_heaps_for_each(client_left, &leaver);
		bsa_client_goes(leaver.module, leaver.left);
	}
	mutex_unlock(&clients_mutex);
	return NOTIFY_DONE;
}

static struct notifier_block module_notifier = { .notifier_call = module_event };

/*
 * Load and unload
 */

static int check_parameters(void)
{
	const char *name = bsa_default_heap.name;
	size_t max = PFN_PHYS(totalram_pages());

	if (bsa_check_bytes(name, "size", size, MIN_SIZE, max) ||
	    (lowmem && bsa_check_bytes(name, "lowmem", lowmem, MIN_SIZE,
				       min_t(size_t, max, SZ_4G))) ||
	    bsa_check_node(name, node))
		return -EINVAL;
	if (debug && bsa_debug_parse(debug, &bsa_debug_flags)) {
		pr_err("debug=%s is not known: 0, 1, or some of the letters zpuqr\n",
		       debug);
		return -EINVAL;
	}
	return 0;
}

static void log_reserved(struct bsa_heap *heap)
{
	struct bsa_section_info first, last;
	unsigned int nr = heap->buddy.nr_sections;
	phys_addr_t end;
	char text[16];

	bsa_buddy_section(&heap->buddy, 0, &first);
	bsa_buddy_section(&heap->buddy, nr - 1, &last);
	end = last.phys + last.size - 1;
	string_get_size(bsa_heap_managed_bytes(heap), 1,
			STRING_UNITS_2, text, sizeof(text));
	if (nr == 1)
		pr_info("%s: reserved %s in one section at %pa-%pa\n",
			heap->name, text, &first.phys, &end);
	else
		pr_info("%s: reserved %s in %u sections, the first at %pa, the last up to %pa\n",
			heap->name, text, nr, &first.phys, &end);
}

/* Modules that use a symbol hold this one, so by now nobody calls. */
static void bsa_exit(void)
{
	bsa_heaps_exit();
	bsa_debugfs_exit();
	bsa_pagemap_exit();
	unregister_module_notifier(&module_notifier);
	bsa_forget_clients();
	bsa_percpu_stop();
}
module_exit(bsa_exit);

/*
 * Built in, this comes before subsystems and drivers, but after debugfs, and after the
 * kernel has set apart what it needs for itself (init_per_zone_wmark_min()).
 */
static int __init bsa_init(void)
{
	int err = check_parameters(), unwatched;

	if (err && !IS_BUILTIN(CONFIG_BSA))
		return err;
	bsa_alloc_start();
	unwatched = bsa_percpu_start();
	if (unwatched) {
		pr_err("cannot watch CPUs come and go\n");
		if (!IS_BUILTIN(CONFIG_BSA))
			return unwatched;
	}
	bsa_debugfs_init();
	/* The heap last: when a load fails, nobody has its files open. */
	err = register_module_notifier(&module_notifier) ?: err ?: unwatched ?:
	      bsa_heap_start(&bsa_default_heap, size, lowmem, node,
			     bsa_debug_flags);
	if (!err)
		log_reserved(&bsa_default_heap);
	else if (!IS_BUILTIN(CONFIG_BSA))
		bsa_exit();
	else
		/* Who calls all the same gets an answer: a heap without memory. */
		bsa_heap_start(&bsa_default_heap, 0, 0, NUMA_NO_NODE, 0);
	return err;
}
postcore_initcall(bsa_init);

MODULE_DESCRIPTION("Page and slab allocator over reserved memory");
MODULE_VERSION("0.1");
MODULE_LICENSE("GPL");
