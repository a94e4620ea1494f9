// SPDX-License-Identifier: GPL-2.0-only
/*
 * A client that misbehaves, to see whether the kernel's tools notice
 *
 * Loading does what the parameter "what" names: memory is taken in one way, and
 * then used where it must not be. The log has the address before that, and
 * afterwards the tool's report. scripts/guest/tools.sh compares the two.
 *
 * Misdeeds and the ways of taking memory are tables below.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bsa.h>
#include <linux/cpumask.h>
#include <linux/err.h>
#include <linux/module.h>
#include <linux/numa.h>
#include <linux/sizes.h>
#include <linux/smp.h>
#include <linux/string.h>

static char *what = "nothing";
module_param(what, charp, 0);
MODULE_PARM_DESC(what, "The misdeed: <how memory is taken>-<how it is misused>");

static uint skip;
module_param(skip, uint, 0);
MODULE_PARM_DESC(skip, "Pages of each heap to take before anything is leaked (default 0)");

static struct bsa_heap *heap;

/* The compiler is not to know what is behind the pointer. */
static noinline void store(char *ptr)
{
	OPTIMIZER_HIDE_VAR(ptr);
	WRITE_ONCE(*ptr, 1);
}

static noinline void load(char *ptr)
{
	OPTIMIZER_HIDE_VAR(ptr);
	(void)READ_ONCE(*ptr);
}

/* Not memset(), which KASAN only sees with some compilers. */
static noinline void fill(char *ptr, char byte, size_t size)
{
	size_t i;

	for (i = 0; i < size; i++)
		WRITE_ONCE(ptr[i], byte);
}

static void *take_alloc(size_t size)
{
	OPTIMIZER_HIDE_VAR(size);
	return bsa_alloc(size, GFP_KERNEL);
}

static void *take_class(size_t size)
{
	return __bsa_alloc_class(size, GFP_KERNEL, bsa_size_class(size));
}

static void *take_heap(size_t size)
{
	return bsa_heap_alloc(heap, size, GFP_KERNEL);
}

static void *take_zeroed(size_t size)
{
	return bsa_zalloc(size, GFP_KERNEL);
}

static void *take_aligned(size_t size)
{
	return bsa_alloc_aligned(size, 64, GFP_KERNEL);
}

static void *take_bulk(size_t size)
{
	void *ptrs[3] = {};

	if (bsa_alloc_bulk(size, GFP_KERNEL, 3, ptrs) != 3)
		return NULL;
	bsa_free_bulk(2, ptrs + 1);
	return ptrs[0];
}

/* It stays in place, but is smaller. */
static void *take_shrunk(size_t size)
{
	void *ptr = bsa_alloc(size + 2, GFP_KERNEL);

	return ptr ? bsa_realloc(ptr, size, GFP_KERNEL) : NULL;
}

/* It stays in place, and is larger. */
static void *take_grown(size_t size)
{
	void *ptr = bsa_alloc(size - 2, GFP_KERNEL);

	return ptr ? bsa_realloc(ptr, size, GFP_KERNEL) : NULL;
}

static void *take_moved(size_t size)
{
	void *ptr = bsa_alloc(8, GFP_KERNEL);

	return ptr ? bsa_realloc(ptr, size, GFP_KERNEL) : NULL;
}

static void *take_pages(size_t size)
{
	return bsa_alloc_pages(PFN_UP(size), PAGE_SIZE, GFP_KERNEL);
}

static void free_one(void *ptr)
{
	bsa_free(ptr);
}

static void free_heap(void *ptr)
{
	bsa_heap_free(heap, ptr);
}

static void free_bulk(void *ptr)
{
	bsa_free_bulk(1, &ptr);
}

static void free_elsewhere(void *ptr)
{
	unsigned int cpu = cpumask_any_but(cpu_online_mask, get_cpu());

	smp_call_function_single(cpu, free_one, ptr, true);
	put_cpu();
}

static void free_pages_of(void *ptr)
{
	bsa_free_pages(ptr, 3);
}

static const struct way {
	const char *name;
	size_t size;
	void *(*take)(size_t size);
	void (*free)(void *ptr);
} ways[] = {
	{ "alloc", 13, take_alloc, free_one },
	{ "exact", 64, take_alloc, free_one },
	{ "class", 100, take_class, free_one },
	{ "heap", 300, take_heap, free_heap },
	{ "zeroed", 1000, take_zeroed, free_one },
	{ "aligned", 65, take_aligned, free_one },
	{ "bulk", 33, take_bulk, free_bulk },
	{ "remote", 700, take_alloc, free_elsewhere },
	{ "shrunk", 203, take_shrunk, free_one },
	{ "grown", 204, take_grown, free_one },
	{ "moved", 501, take_moved, free_one },
	{ "large", 5000, take_alloc, free_one },
	{ "largest", 2048, take_alloc, free_one },
	{ "pages", 3 * PAGE_SIZE, take_pages, free_pages_of },
};

static void announce(const char *deed, const void *ptr)
{
	pr_info("%s at %lx\n", deed, (unsigned long)ptr);
}

static void overflow(const struct way *way, char *ptr)
{
	announce("Write", ptr + way->size);
	store(ptr + way->size);
	way->free(ptr);
}

static void read_beyond(const struct way *way, char *ptr)
{
	announce("Read", ptr + way->size + 1);
	load(ptr + way->size + 1);
	way->free(ptr);
}

static void read_after_free(const struct way *way, char *ptr)
{
	way->free(ptr);
	announce("Read", ptr + way->size / 2);
	load(ptr + way->size / 2);
}

static void write_after_free(const struct way *way, char *ptr)
{
	way->free(ptr);
	announce("Write", ptr);
	store(ptr);
}

/* The second one is refused, and does not make the memory anybody's. */
static void free_twice(const struct way *way, char *ptr)
{
	way->free(ptr);
	way->free(ptr);
	announce("Write", ptr);
	store(ptr);
}

/* Every byte that one may use is used, and no other. */
static void behave(const struct way *way, char *ptr)
{
	size_t size;

	fill(ptr, 0x5a, way->size);
	size = bsa_heap_size(way->free == free_heap ? heap : NULL, ptr);
	fill(ptr, 0xa5, size);
	way->free(ptr);
	announce("Nothing", ptr);
}

static const struct misdeed {
	const char *name;
	void (*commit)(const struct way *way, char *ptr);
} misdeeds[] = {
	{ "overflow", overflow },
	{ "read_beyond", read_beyond },
	{ "read_after_free", read_after_free },
	{ "write_after_free", write_after_free },
	{ "free_twice", free_twice },
	{ "behave", behave },
};

/* What belongs to a heap, but was never handed out. */
static int touch_unallocated(void)
{
	struct bsa_section_info info;
	char *ptr;

	if (bsa_heap_section(heap, 0, &info))
		return -ENOMEM;
	ptr = (char *)info.start + info.size / 2;
	announce("Read", ptr);
	load(ptr);
	return 0;
}

/* A heap lets go of a region, whose owner then uses all of it. */
static int use_former_region(void)
{
	struct bsa_heap *other = bsa_heap_create("former", 0, NUMA_NO_NODE);
	char *region;
	int err;

	if (IS_ERR(other))
		return PTR_ERR(other);
	region = kmalloc(SZ_256K, GFP_KERNEL);
	err = region ? bsa_heap_add_region(other, region, SZ_256K) : -ENOMEM;
	if (!err) {
		bsa_heap_free(other, bsa_heap_alloc(other, 10, GFP_KERNEL));
		bsa_heap_free(other, bsa_heap_alloc(other, 9999, GFP_KERNEL));
	}
	err = bsa_heap_destroy(other) ?: err;
	if (region)
		fill(region, 0, SZ_256K);
	announce("Nothing", region);
	kfree(region);
	return err;
}

/*
 * Leaks: memory of every kind that nobody knows of any more, except us, by
 * addresses that kmemleak does not recognize. And a chain of objects the first
 * of which somebody does know.
 */
static unsigned long lost[ARRAY_SIZE(ways)];
static void **held;
static void *skipped, *skipped_in_heap;

static int leak(void)
{
	void ***link = &held;
	unsigned int i;
	void *ptr;

	if (skip) {
		skipped = bsa_alloc_pages(skip, PAGE_SIZE, GFP_KERNEL);
		skipped_in_heap = bsa_heap_alloc_pages(heap, skip, PAGE_SIZE,
						       GFP_KERNEL);
		if (!skipped || !skipped_in_heap)
			return -ENOMEM;
	}
	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		ptr = ways[i].take(ways[i].size);
		if (!ptr)
			return -ENOMEM;
		announce("Lost", ptr);
		lost[i] = ~(unsigned long)ptr;
	}
	for (i = 0; i < 3; i++) {
		ptr = take_zeroed(24);
		if (!ptr)
			return -ENOMEM;
		announce("Held", ptr);
		*link = ptr;
		link = ptr;
	}
	return 0;
}

static void end_leaks(void)
{
	unsigned int i;
	void **next;

	for (i = 0; i < ARRAY_SIZE(ways); i++)
		if (lost[i])
			ways[i].free((void *)~lost[i]);
	for (; held; held = next) {
		next = *held;
		bsa_free(held);
	}
	bsa_free_pages(skipped, skip);
	bsa_heap_free_pages(heap, skipped_in_heap, skip);
}

/* Which allocations fail, of those that have no reason to? */
static int allocate(void)
{
	unsigned int i, objects = 0, pages = 0, bulk = 0;
	void *ptrs[4];

	for (i = 0; i < 100; i++) {
		void *ptr = take_alloc(64);

		objects += !ptr;
		bsa_free(ptr);
		ptr = take_pages(PAGE_SIZE);
		pages += !ptr;
		bsa_free_pages(ptr, 1);
		memset(ptrs, 0, sizeof(ptrs));
		bulk += bsa_alloc_bulk(64, GFP_KERNEL, 4, ptrs) < 4;
		bsa_free_bulk(4, ptrs);
	}
	pr_info("failed: %u objects, %u pages, %u bulks\n", objects, pages, bulk);
	return 0;
}

/* Count the bytes of freed memory that are not zero. Needs a kernel without KASAN. */
static int look_at_freed(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		const struct way *way = &ways[i];
		char *ptr = way->take(way->size);
		size_t size, j, left = 0;

		if (!ptr)
			return -ENOMEM;
		size = bsa_heap_size(way->free == free_heap ? heap : NULL, ptr);
		memset(ptr, 0x5a, size);
		way->free(ptr);
		for (j = 0; j < size; j++)
			left += !!READ_ONCE(ptr[j]);
		pr_info("freed %s: %zu of %zu bytes are left\n", way->name,
			left, size);
	}
	return 0;
}

/* Count the bytes of fresh memory that are not zero, where others were before. */
static int look_at_fresh(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		const struct way *way = &ways[i];
		size_t j, left = 0;
		char *ptr;

		ptr = way->take(way->size);
		if (!ptr)
			return -ENOMEM;
		memset(ptr, 0x5a, way->size);
		way->free(ptr);
		ptr = way->take(way->size);
		if (!ptr)
			return -ENOMEM;
		for (j = 0; j < way->size; j++)
			left += !!READ_ONCE(ptr[j]);
		way->free(ptr);
		pr_info("fresh %s: %zu of %zu bytes are left\n", way->name,
			left, way->size);
	}
	return 0;
}

static const struct way *find_way(size_t *len)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		*len = strlen(ways[i].name);
		if (!strncmp(what, ways[i].name, *len) && what[*len] == '-')
			return &ways[i];
	}
	return NULL;
}

static int commit(void)
{
	const struct way *way;
	unsigned int i;
	size_t len;
	char *ptr;

	if (!strcmp(what, "touch_unallocated"))
		return touch_unallocated();
	if (!strcmp(what, "use_former_region"))
		return use_former_region();
	if (!strcmp(what, "leak"))
		return leak();
	if (!strcmp(what, "allocate"))
		return allocate();
	if (!strcmp(what, "look_at_freed"))
		return look_at_freed();
	if (!strcmp(what, "look_at_fresh"))
		return look_at_fresh();
	way = find_way(&len);
	for (i = 0; way && i < ARRAY_SIZE(misdeeds); i++) {
		if (strcmp(what + len + 1, misdeeds[i].name))
			continue;
		ptr = way->take(way->size);
		if (!ptr)
			return -ENOMEM;
		misdeeds[i].commit(way, ptr);
		return 0;
	}
	return -EINVAL;
}

static int __init misdeeds_init(void)
{
	int err;

	heap = bsa_heap_create("misdeeds", SZ_1M, NUMA_NO_NODE);
	if (IS_ERR(heap))
		return PTR_ERR(heap);
	err = commit();
	if (err) {
		end_leaks();
		bsa_heap_destroy(heap);
	}
	return err;
}
module_init(misdeeds_init);

static void __exit misdeeds_exit(void)
{
	end_leaks();
	bsa_heap_destroy(heap);
}
module_exit(misdeeds_exit);

MODULE_DESCRIPTION("A client of bsa that misbehaves on purpose");
MODULE_LICENSE("GPL");
