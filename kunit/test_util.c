// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fixtures: what a test takes is noted in a list and released in bsa_test_exit
 *
 * Order of release: heaps, then buddies, then the memory that both lie in. The
 * memory of a heap that could not be destroyed is not freed: somebody may
 * still write to it.
 */
#include "test_util.h"

#include <bsa/reserve.h>
#include <bsa/validate.h>
#include <linux/cpu.h>
#include <linux/cpumask.h>
#include <linux/io.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/smp.h>

enum bsa_test_kind {
	BSA_TEST_HEAP,
	BSA_TEST_BUDDY,
	BSA_TEST_MEMORY,
	BSA_TEST_ARRAY,
	BSA_TEST_NR_KINDS,
};

struct bsa_test_item {
	struct list_head node;
	enum bsa_test_kind kind;
	void *ptr;
	size_t size;
};

/* What a test has taken, and what others held of the default heap before. */
struct bsa_test {
	struct list_head items;
	u64 live_objects;
	u64 live_pages;
};

/*
 * Tests that cannot pass with debug=: they look at who owns a slab, at how much
 * fits into one or into the heap, at what bsa_size() gives beyond what was asked,
 * at what the fast paths do, or at blocks that are kept, of which there are none.
 */
static const char * const plain_only[] = {
	"default_heap_serves_every_call",
	"flushes_interrupt_frees",
	"global_allocated_bytes_reflects_slab_pages",
	"global_cross_cpu_free_all_objects_recovers_backend_pages",
	"global_cross_cpu_free_drains_remote_queue",
	"global_cross_cpu_free_multiple_rounds_same_slab",
	"heap_alignment_beyond_the_size_takes_a_larger_class",
	"heap_allocation_that_interrupts_takes_a_shared_object",
	"heap_blocks_kept_by_all_cpus_come_back",
	"heap_bulk_free_takes_part_of_a_full_slab",
	"heap_bulk_succeeds_in_part",
	"heap_calls_take_nothing_from_the_kernel",
	"heap_counts_allocations_and_frees",
	"heap_counts_kept_pages_of_each_section",
	"heap_counts_refills",
	"heap_counts_remote_frees_and_drains",
	"heap_cpus_write_no_cache_line_in_common",
	"heap_does_not_grow_when_one_cpu_frees_for_another",
	"heap_exhausted_by_objects_recovers_every_page",
	"heap_exhausted_by_pages_has_none_for_objects",
	"heap_free_that_interrupts_is_a_remote_free",
	"heap_free_writes_nothing_into_the_object",
	"heap_keeps_as_many_blocks_as_it_has_lacked",
	"heap_keeps_little_for_a_cpu_that_only_frees",
	"heap_keeps_no_block_on_a_stack_in_use",
	"heap_keeps_no_more_blocks_than_it_may",
	"heap_largest_object_and_smallest_block",
	"heap_loses_nothing_when_a_cpu_goes_offline",
	"heap_no_false_oom_for_objects_of_another_class",
	"heap_no_false_oom_for_objects_others_have_freed",
	"heap_no_false_oom_for_objects_the_owner_has_free",
	"heap_objects_belong_to_the_cpu_that_allocates",
	"heap_realloc_of_nothing_allocates",
	"heap_serves_every_size_at_its_edges",
	"heap_shared_objects_freed_elsewhere_are_reused",
	"heap_works_in_hard_interrupts",
	"heap_zeroes_pages_arrays_and_bulks",
	"misuse_neighbours_never_allocated_are_refused",
	"misuse_page_free_of_an_object_is_refused",
	"misuse_remote_double_free_after_the_drain_is_refused",
	"misuse_remote_double_free_before_the_drain_is_refused",
	"second_free_may_be_overtaken_at_every_instruction",
};

static bool is_plain_only(const char *name)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(plain_only); i++)
		if (!strcmp(plain_only[i], name))
			return true;
	return false;
}

static void add_item(struct kunit *test, enum bsa_test_kind kind, void *ptr,
		     size_t size)
{
	struct bsa_test *own = test->priv;
	struct bsa_test_item *item;

	item = kunit_kzalloc(test, sizeof(*item), GFP_KERNEL | __GFP_NOFAIL);
	item->kind = kind;
	item->ptr = ptr;
	item->size = size;
	list_add(&item->node, &own->items);
}

/**
 * bsa_test_init - start a test on CPU 0, with nothing to release
 * @test: the test
 */
int bsa_test_init(struct kunit *test)
{
	struct bsa_stats stats = bsa_test_stats(NULL);
	struct bsa_test *own;

	if (!bsa_test_is_chosen(test))
		kunit_skip(test, "not in FILTER");
	if (!stats.sections)
		kunit_skip(test, "the default heap has no memory");
	if (bsa_default_heap.debug && is_plain_only(test->name))
		kunit_skip(test, "not with debug=");
	own = kunit_kzalloc(test, sizeof(*own), GFP_KERNEL);
	if (!own)
		return -ENOMEM;
	INIT_LIST_HEAD(&own->items);
	own->live_objects = stats.live_objects;
	own->live_pages = stats.live_pages;
	test->priv = own;
	bsa_test_set_cpu(test, 0);
	return 0;
}

/*
 * A test that is skipped half-way still holds what it has allocated so far. Only
 * what is the start of a live allocation has a size.
 */
static void free_all(struct bsa_heap *heap)
{
	struct bsa_section_info info;
	unsigned int i;
	void *ptr;

	for (i = 0; !bsa_heap_section(heap, i, &info); i++) {
		for (ptr = (void *)info.start;
		     ptr < (void *)info.start + info.size; ptr += 8)
			if (bsa_heap_size(heap, ptr))
				bsa_heap_free(heap, ptr);
	}
}

static bool release(struct kunit *test, struct bsa_test_item *item, bool leak)
{
	int err;

	switch (item->kind) {
	case BSA_TEST_HEAP:
		if (test->status == KUNIT_SKIPPED)
			free_all(item->ptr);
		bsa_test_expect_sums(test, item->ptr);
		err = bsa_heap_destroy(item->ptr);
		KUNIT_EXPECT_EQ(test, err, 0);
		return leak || err;
	case BSA_TEST_BUDDY:
		bsa_buddy_destroy(item->ptr);
		kvfree(item->ptr);
		break;
	case BSA_TEST_MEMORY:
		if (!leak)
			free_pages_exact(item->ptr, item->size);
		break;
	default:
		kvfree(item->ptr);
		break;
	}
	return leak;
}

/**
 * bsa_test_exit - release all that the test has taken
 * @test: the test
 */
void bsa_test_exit(struct kunit *test)
{
	struct bsa_test *own = test->priv;
	struct bsa_test_item *item;
	enum bsa_test_kind kind;
	struct bsa_stats stats;
	bool leak = false;

	if (!own)
		return;
	for (kind = 0; kind < BSA_TEST_NR_KINDS; kind++)
		list_for_each_entry(item, &own->items, node)
			if (item->kind == kind)
				leak = release(test, item, leak);

	stats = bsa_test_stats(NULL);
	KUNIT_EXPECT_EQ(test, stats.live_objects, own->live_objects);
	KUNIT_EXPECT_EQ(test, stats.live_pages, own->live_pages);
	bsa_test_expect_sums(test, NULL);
}

/**
 * bsa_test_needs_cpus - skip the test on a machine that has too few CPUs
 * @test: the test
 * @nr: CPUs 0 to @nr - 1 have to be online
 *
 * What has failed before remains a failure.
 */
void bsa_test_needs_cpus(struct kunit *test, unsigned int nr)
{
	if (nr <= nr_cpu_ids && cpu_online(nr - 1))
		return;
	KUNIT_ASSERT_EQ(test, test->status, KUNIT_SUCCESS);
	kunit_skip(test, "needs %u CPUs", nr);
}

/**
 * bsa_test_needs_hotplug - skip the test on a machine whose CPUs cannot go offline
 * @test: the test
 */
void bsa_test_needs_hotplug(struct kunit *test)
{
	if (!IS_ENABLED(CONFIG_HOTPLUG_CPU))
		kunit_skip(test, "no CPU can go offline here");
}

/**
 * bsa_test_start_contexts - bsa_contexts_start(), or skip the test
 * @test: the test
 * @fn: what is called in each interruption
 * @needed: a bit for each &enum bsa_context without which the test cannot be
 *
 * Return: a bit for each that there is.
 */
unsigned long bsa_test_start_contexts(struct kunit *test,
				      void (*fn)(enum bsa_context context),
				      unsigned long needed)
{
	unsigned long possible = bsa_contexts_start(fn), lacks = needed & ~possible;

	if (!lacks)
		return possible;
	bsa_contexts_stop();
	kunit_skip(test, "no %s on this machine",
		   lacks & BIT(BSA_NMI) ? "NMIs" : "single steps");
	return 0;
}

/**
 * bsa_test_needs_module - skip the test where bsa is a part of the kernel
 * @test: the test; it asks whether code is bsa's
 */
void bsa_test_needs_module(struct kunit *test)
{
	if (IS_BUILTIN(CONFIG_BSA))
		kunit_skip(test, "needs bsa as a module");
}

/**
 * bsa_test_set_cpu - move to another CPU
 * @test: the test; it is skipped if there is no such CPU
 * @cpu: from here on the test really runs on this one, and nowhere else
 */
void bsa_test_set_cpu(struct kunit *test, unsigned int cpu)
{
	bsa_test_needs_cpus(test, cpu + 1);
	KUNIT_ASSERT_EQ(test, set_cpus_allowed_ptr(current, cpumask_of(cpu)), 0);
	KUNIT_ASSERT_EQ(test, raw_smp_processor_id(), cpu);
}

/**
 * struct irq_call - a call that has to be made in an interrupt
 * @fn: the function
 * @data: its parameter
 * @called: it has been made
 */
struct irq_call {
	void (*fn)(void *data);
	void *data;
	bool called;
};

static void call_in_irq(void *data)
{
	struct irq_call *call = data;

	call->called = in_hardirq();
	if (call->called)
		call->fn(call->data);
}

/**
 * bsa_test_call_in_irq - call a function in a hard interrupt of CPU 1
 * @test: the test
 * @fn: the function
 * @data: its parameter
 *
 * A CPU that wakes up makes its calls without an interrupt; it is asked again.
 */
void bsa_test_call_in_irq(struct kunit *test, void (*fn)(void *data),
			  void *data)
{
	struct irq_call call = { .fn = fn, .data = data };
	unsigned int left = 1000;

	bsa_test_needs_cpus(test, 2);
	do {
		KUNIT_ASSERT_EQ(test, 0,
				smp_call_function_single(1, call_in_irq, &call,
							 true));
	} while (!call.called && --left);
	KUNIT_ASSERT_TRUE(test, call.called);
}

/**
 * bsa_test_memory - physically contiguous memory from the kernel
 * @test: the test
 * @size: bytes, up to 4 MiB; a power of two is aligned to itself
 * @gfp: which kind
 */
void *bsa_test_memory(struct kunit *test, size_t size, gfp_t gfp)
{
	void *ptr = alloc_pages_exact(size, gfp);

	KUNIT_ASSERT_NOT_NULL(test, ptr);
	add_item(test, BSA_TEST_MEMORY, ptr, PAGE_ALIGN(size));
	return ptr;
}

/**
 * bsa_test_low_memory - memory below 4 GiB physical
 * @test: the test
 * @size: bytes
 */
void *bsa_test_low_memory(struct kunit *test, size_t size)
{
	void *ptr = bsa_test_memory(test, size, GFP_KERNEL | BSA_GFP_LOW);

	KUNIT_ASSERT_LT(test, virt_to_phys(ptr) + size, SZ_4G);
	return ptr;
}

/**
 * bsa_test_high_memory - memory above 4 GiB physical
 * @test: the test
 * @size: bytes
 *
 * Where a zone ends at 4 GiB, the kernel hands out high memory first while there is
 * any. Low memory that comes nevertheless is held until the test ends, so that the
 * next try gets something else; elsewhere that may be much.
 */
void *bsa_test_high_memory(struct kunit *test, size_t size)
{
	void *ptr;

	if (virt_to_phys(high_memory - 1) < SZ_4G)
		kunit_skip(test, "this machine has no memory above 4 GiB");
	do
		/* Fails the test when there is none left. */
		ptr = bsa_test_memory(test, max_t(size_t, size, SZ_1M), GFP_KERNEL);
	while (virt_to_phys(ptr) < SZ_4G);
	return ptr;
}

/**
 * bsa_test_array - room for many pointers
 * @test: the test
 * @nr: how many
 */
void **bsa_test_array(struct kunit *test, size_t nr)
{
	void **array = kvcalloc(nr, sizeof(*array), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, array);
	add_item(test, BSA_TEST_ARRAY, array, 0);
	return array;
}

/**
 * bsa_test_bitmap - room for many bits, all of them 0
 * @test: the test
 * @nr: how many
 */
unsigned long *bsa_test_bitmap(struct kunit *test, size_t nr)
{
	return (unsigned long *)bsa_test_array(test, BITS_TO_LONGS(nr));
}

/**
 * bsa_test_buddy - a page allocator without a section
 * @test: the test
 */
struct bsa_buddy *bsa_test_buddy(struct kunit *test)
{
	struct bsa_buddy *buddy = kvzalloc(sizeof(*buddy), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, buddy);
	bsa_buddy_init(buddy);
	add_item(test, BSA_TEST_BUDDY, buddy, 0);
	return buddy;
}

static size_t region_size(unsigned long nr)
{
	return (nr << PAGE_SHIFT) + bsa_buddy_meta_size(nr << PAGE_SHIFT);
}

static void add_section(struct kunit *test, struct bsa_buddy *buddy,
			void *start, unsigned long nr,
			struct bsa_section_info *info)
{
	unsigned int before = buddy->nr_sections;

	KUNIT_ASSERT_EQ(test,
			bsa_buddy_add_region(buddy, start, region_size(nr)), 0);
	KUNIT_ASSERT_EQ(test, buddy->nr_sections, before + 1);
	KUNIT_ASSERT_EQ(test, bsa_buddy_section(buddy, before, info), 0);
	KUNIT_ASSERT_EQ(test, info->total_pages, nr);
}

/**
 * bsa_test_add_section - give a page allocator another section
 * @test: the test
 * @buddy: the page allocator
 * @nr: how many pages it shall manage
 * @info: filled in
 */
void bsa_test_add_section(struct kunit *test, struct bsa_buddy *buddy,
			  unsigned long nr, struct bsa_section_info *info)
{
	void *start = bsa_test_memory(test, region_size(nr), GFP_KERNEL);

	add_section(test, buddy, start, nr, info);
}

/**
 * bsa_test_add_low_section - ... that lies below 4 GiB physical
 * @test: the test
 * @buddy: the page allocator
 * @nr: how many pages it shall manage
 * @info: filled in
 */
void bsa_test_add_low_section(struct kunit *test, struct bsa_buddy *buddy,
			      unsigned long nr, struct bsa_section_info *info)
{
	void *start = bsa_test_low_memory(test, region_size(nr));

	add_section(test, buddy, start, nr, info);
	KUNIT_ASSERT_TRUE(test, info->low);
}

/**
 * bsa_test_add_high_section - ... that lies above 4 GiB physical
 * @test: the test
 * @buddy: the page allocator
 * @nr: how many pages it shall manage
 * @info: filled in
 */
void bsa_test_add_high_section(struct kunit *test, struct bsa_buddy *buddy,
			       unsigned long nr, struct bsa_section_info *info)
{
	void *start = bsa_test_high_memory(test, region_size(nr));

	add_section(test, buddy, start, nr, info);
	KUNIT_ASSERT_FALSE(test, info->low);
}

/*
 * A region whose managed pages are exactly one block of @order: the upper half
 * of a block of twice that size, with the metadata right in front of it.
 */
static void *region_of_one_block(struct kunit *test, unsigned int order,
				 size_t *size)
{
	size_t half = PAGE_SIZE << order;
	void *block = bsa_test_memory(test, 2 * half, GFP_KERNEL);
	size_t meta = bsa_buddy_meta_size(half);

	KUNIT_ASSERT_LE(test, meta, half);
	*size = half + meta;
	return block + half - meta;
}

/**
 * bsa_test_buddy_of_one_block - a page allocator that starts as a single block
 * @test: the test
 * @order: log2 of its pages, 2 to 9
 * @info: filled in
 */
struct bsa_buddy *bsa_test_buddy_of_one_block(struct kunit *test,
					      unsigned int order,
					      struct bsa_section_info *info)
{
	struct bsa_buddy *buddy = bsa_test_buddy(test);
	size_t size;
	void *start = region_of_one_block(test, order, &size);

	add_section(test, buddy, start, 1UL << order, info);
	KUNIT_ASSERT_EQ(test, info->phys & ((PAGE_SIZE << order) - 1), 0);
	return buddy;
}

/**
 * bsa_test_name - a name that no heap has yet
 * @name: room for BSA_NAME_LEN bytes
 */
void bsa_test_name(char *name)
{
	static atomic_t count = ATOMIC_INIT(0);

	snprintf(name, BSA_NAME_LEN, "test%d", atomic_inc_return(&count));
}

/**
 * bsa_test_adopt_heap - destroy a heap when the test ends
 * @test: the test
 * @heap: the heap
 */
void bsa_test_adopt_heap(struct kunit *test, struct bsa_heap *heap)
{
	add_item(test, BSA_TEST_HEAP, heap, 0);
}

/**
 * bsa_test_destroy_heap - destroy a heap now
 * @test: the test
 * @heap: the heap
 *
 * Return: what bsa_heap_destroy() says; other than 0, the heap is still there.
 */
int bsa_test_destroy_heap(struct kunit *test, struct bsa_heap *heap)
{
	struct bsa_test *own = test->priv;
	int err = bsa_heap_destroy(heap);
	struct bsa_test_item *item;

	if (err)
		return err;
	list_for_each_entry(item, &own->items, node) {
		if (item->ptr == heap) {
			list_del(&item->node);
			break;
		}
	}
	return 0;
}

/**
 * bsa_test_heap - a private heap
 * @test: the test
 * @size: bytes that it reserves by itself; 0 for a heap without a section
 */
struct bsa_heap *bsa_test_heap(struct kunit *test, size_t size)
{
	char name[BSA_NAME_LEN];
	struct bsa_heap *heap;

	bsa_test_name(name);
	heap = bsa_heap_create(name, size, NUMA_NO_NODE);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	bsa_test_adopt_heap(test, heap);
	return heap;
}

/**
 * bsa_test_heap_in - a private heap in memory that the test has
 * @test: the test
 * @start: its first byte
 * @size: its bytes
 */
struct bsa_heap *bsa_test_heap_in(struct kunit *test, void *start, size_t size)
{
	struct bsa_heap *heap = bsa_test_heap(test, 0);

	KUNIT_ASSERT_EQ(test, bsa_heap_add_region(heap, start, size), 0);
	return heap;
}

/**
 * bsa_test_heap_of_one_block - a private heap that starts as a single block
 * @test: the test
 * @order: log2 of its pages, 2 to 9
 *
 * The largest block of such a heap can be had if and only if not a single page
 * of it is in use.
 */
struct bsa_heap *bsa_test_heap_of_one_block(struct kunit *test,
					    unsigned int order)
{
	struct bsa_heap *heap;
	size_t size;
	void *start = region_of_one_block(test, order, &size);

	heap = bsa_test_heap_in(test, start, size);
	KUNIT_ASSERT_EQ(test, bsa_heap_nr_pages(heap), 1UL << order);
	return heap;
}

/**
 * bsa_test_take_pages - allocate single pages until that fails
 * @heap: the heap
 * @pages: filled in; has room for all pages of the heap
 *
 * Return: how many there were.
 */
size_t bsa_test_take_pages(struct bsa_heap *heap, void **pages)
{
	size_t nr = 0;
	void *page;

	while ((page = bsa_heap_alloc_pages(heap, 1, PAGE_SIZE, BSA_TEST_GFP)))
		pages[nr++] = page;
	return nr;
}

/**
 * bsa_test_take_objects - allocate objects until that fails
 * @heap: the heap
 * @size: their size
 * @ptrs: filled in; has room for as many as fit into the heap
 *
 * Return: how many there were.
 */
size_t bsa_test_take_objects(struct bsa_heap *heap, size_t size, void **ptrs)
{
	size_t nr = 0;
	void *ptr;

	while ((ptr = bsa_heap_alloc(heap, size, BSA_TEST_GFP)))
		ptrs[nr++] = ptr;
	return nr;
}

/**
 * bsa_test_give_back - free one after the other
 * @heap: the heap
 * @nr: how many
 * @ptrs: what to free; NULL afterwards
 */
void bsa_test_give_back(struct bsa_heap *heap, size_t nr, void **ptrs)
{
	size_t i;

	for (i = 0; i < nr; i++) {
		bsa_heap_free(heap, ptrs[i]);
		ptrs[i] = NULL;
	}
}

/**
 * bsa_test_count_free_pages - how many single pages can be had
 * @test: the test
 * @heap: the heap
 *
 * They are allocated until that fails, and freed again.
 */
unsigned long bsa_test_count_free_pages(struct kunit *test,
					struct bsa_heap *heap)
{
	void **pages = bsa_test_array(test, bsa_heap_nr_pages(heap) + 1);
	unsigned long nr = bsa_test_take_pages(heap, pages);

	bsa_test_give_back(heap, nr, pages);
	return nr;
}

/**
 * bsa_test_stats - the totals of a heap
 * @heap: the heap
 */
struct bsa_stats bsa_test_stats(struct bsa_heap *heap)
{
	struct bsa_stats stats;

	bsa_heap_get_stats(heap, &stats);
	return stats;
}

/**
 * bsa_test_expect_sums - totals of a quiet heap must agree with each other
 * @test: the test
 * @heap: the heap
 */
void bsa_test_expect_sums(struct kunit *test, struct bsa_heap *heap)
{
	struct bsa_stats stats = bsa_test_stats(heap);
	unsigned long total = 0, free = 0;
	struct bsa_section_info info;
	unsigned int i;

	for (i = 0; i < stats.sections; i++) {
		KUNIT_EXPECT_EQ(test, bsa_heap_section(heap, i, &info), 0);
		KUNIT_EXPECT_EQ(test, info.size, info.total_pages << PAGE_SHIFT);
		total += info.total_pages;
		free += info.free_pages;
	}
	KUNIT_EXPECT_EQ(test, stats.total_pages, total);
	KUNIT_EXPECT_EQ(test, stats.free_pages, free);
	KUNIT_EXPECT_EQ(test, stats.managed_bytes, total << PAGE_SHIFT);
	KUNIT_EXPECT_EQ(test, stats.managed_bytes,
			stats.allocated_bytes + (free << PAGE_SHIFT));
	KUNIT_EXPECT_LE(test, stats.live_pages, total - free);
	if (!stats.live_pages)
		KUNIT_EXPECT_EQ(test, stats.allocs - stats.frees,
				stats.live_objects);

	KUNIT_EXPECT_EQ(test, bsa_heap_nr_sections(heap), stats.sections);
	KUNIT_EXPECT_EQ(test, bsa_heap_nr_pages(heap), total);
	KUNIT_EXPECT_EQ(test, bsa_heap_nr_free_pages(heap), free);
	KUNIT_EXPECT_EQ(test, bsa_heap_managed_bytes(heap),
			stats.managed_bytes);
	KUNIT_EXPECT_EQ(test, bsa_heap_allocated_bytes(heap),
			stats.allocated_bytes);
	bsa_test_expect_valid(test, heap);
}

/**
 * bsa_test_expect_valid - what a quiet heap knows about itself must be true
 * @test: the test
 * @heap: the heap; NULL is the default heap
 */
void bsa_test_expect_valid(struct kunit *test, struct bsa_heap *heap)
{
	KUNIT_EXPECT_EQ(test, bsa_validate(heap, NULL, true), 0);
}
