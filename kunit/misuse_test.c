// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of misuse: each is refused once, counted once, and changes nothing
 *
 * The log has a line for each of them, as far as the rate limit lets it.
 */
#include "test_util.h"

#include <bsa/validate.h>
#include <linux/err.h>
#include <linux/io.h>
#include <linux/kernel.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/vmalloc.h>

static struct bsa_heap *new_heap(struct kunit *test)
{
	size_t size = 128 * PAGE_SIZE;

	return bsa_test_heap_in(test, bsa_test_memory(test, size, GFP_KERNEL), size);
}

static void *get(struct kunit *test, struct bsa_heap *heap, size_t size)
{
	void *ptr = bsa_heap_alloc(heap, size, BSA_TEST_GFP);

	KUNIT_ASSERT_NOT_NULL(test, ptr);
	return ptr;
}

/* What the heap holds and has done, but for the refused frees. */
static void expect_same(struct kunit *test, struct bsa_heap *heap,
			const struct bsa_stats *before)
{
	struct bsa_stats now = bsa_test_stats(heap);

	KUNIT_EXPECT_EQ(test, now.allocs, before->allocs);
	KUNIT_EXPECT_EQ(test, now.frees, before->frees);
	KUNIT_EXPECT_EQ(test, now.remote_frees, before->remote_frees);
	KUNIT_EXPECT_EQ(test, now.live_objects, before->live_objects);
	KUNIT_EXPECT_EQ(test, now.live_pages, before->live_pages);
	KUNIT_EXPECT_EQ(test, now.free_pages, before->free_pages);
	KUNIT_EXPECT_EQ(test, now.failures, before->failures);
}

/* A free that must be refused by the heap it is tried on, and by no other. */
static void expect_refused(struct kunit *test, struct bsa_heap *heap,
			   const void *ptr)
{
	struct bsa_stats before = bsa_test_stats(heap);

	bsa_heap_free(heap, ptr);
	KUNIT_EXPECT_EQ_MSG(test, bsa_test_stats(heap).refused_frees,
			    before.refused_frees + 1, "free of 0x%lx", (unsigned long)ptr);
	expect_same(test, heap, &before);
}

static void expect_pages_refused(struct kunit *test, struct bsa_heap *heap,
				 const void *ptr, unsigned long nr)
{
	struct bsa_stats before = bsa_test_stats(heap);

	bsa_heap_free_pages(heap, ptr, nr);
	KUNIT_EXPECT_EQ_MSG(test, bsa_test_stats(heap).refused_frees,
			    before.refused_frees + 1, "free of 0x%lx", (unsigned long)ptr);
	expect_same(test, heap, &before);
}

/* The heap serves every class and pages, and everything comes back. */
static void expect_working(struct kunit *test, struct bsa_heap *heap)
{
	struct bsa_stats before = bsa_test_stats(heap), after;
	void *ptrs[12];
	int i;

	for (i = 0; i < ARRAY_SIZE(ptrs); i++) {
		ptrs[i] = get(test, heap, 8 << i);
		memset(ptrs[i], i, 8 << i);
	}
	for (i = 0; i < ARRAY_SIZE(ptrs); i++)
		KUNIT_EXPECT_TRUE(test, bsa_test_all_bytes(ptrs[i], i, 8 << i));
	bsa_test_give_back(heap, ARRAY_SIZE(ptrs), ptrs);
	after = bsa_test_stats(heap);
	KUNIT_EXPECT_EQ(test, after.live_objects, before.live_objects);
	KUNIT_EXPECT_EQ(test, after.live_pages, before.live_pages);
	KUNIT_EXPECT_EQ(test, after.refused_frees, before.refused_frees);
	bsa_test_expect_sums(test, heap);
}

/* Nothing. */

static void misuse_free_of_nothing_is_no_misuse(struct kunit *test)
{
	struct bsa_heap *heap = new_heap(test);
	struct bsa_stats before = bsa_test_stats(heap);

	bsa_heap_free(heap, NULL);
	bsa_heap_free(heap, ZERO_SIZE_PTR);
	bsa_heap_free_pages(heap, NULL, 1);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).refused_frees, 0);
	expect_same(test, heap, &before);
}

/* Foreign pointers. */

static void misuse_foreign_memory_is_refused(struct kunit *test)
{
	struct bsa_heap *heap = new_heap(test);
	void *page = bsa_test_memory(test, PAGE_SIZE, GFP_KERNEL);
	void *slab = kmalloc(64, GFP_KERNEL);
	void *virt = vmalloc(PAGE_SIZE);
	static int data;
	int stack;

	KUNIT_EXPECT_NOT_NULL(test, slab);
	KUNIT_EXPECT_NOT_NULL(test, virt);
	expect_refused(test, heap, &stack);
	expect_refused(test, heap, &data);
	expect_refused(test, heap, slab);
	expect_refused(test, heap, virt);
	expect_refused(test, heap, page);
	expect_refused(test, heap, heap);
	expect_refused(test, heap, (void *)misuse_foreign_memory_is_refused);
	expect_refused(test, heap, (void *)bsa_heap_free);
	expect_refused(test, heap, (void *)kfree);
	expect_pages_refused(test, heap, page, 1);
	expect_pages_refused(test, heap, virt, 1);
	expect_working(test, heap);
	vfree(virt);
	kfree(slab);
}

static void misuse_wild_pointers_are_refused(struct kunit *test)
{
	static const unsigned long wild[] = {
		1, 15, 17, PAGE_SIZE, 0x400000, 0x7fffffffe000,
		0x7fffffffffff, 0x800000000000, 0x8000000000000000,
		0xfffeffffffffffff, 0xdead000000000100, -1UL, -8UL,
		-(unsigned long)ENOMEM, -PAGE_SIZE, 0x5a5a5a5a5a5a5a5a,
	};
	struct bsa_heap *heap = new_heap(test);
	int i;

	/* Small, of user space, not canonical, poison, errors, the last byte. */
	for (i = 0; i < ARRAY_SIZE(wild); i++) {
		expect_refused(test, heap, (void *)wild[i]);
		expect_pages_refused(test, heap, (void *)wild[i], 1);
	}
	/* Both ends of the linear mapping, which may begin at 0. */
	expect_refused(test, heap, (void *)PAGE_OFFSET + PAGE_SIZE);
	expect_refused(test, heap, (void *)PAGE_OFFSET - 1);
	expect_refused(test, heap, high_memory - 1);
	expect_refused(test, heap, high_memory);
	expect_refused(test, heap, high_memory + SZ_1G);
	expect_working(test, heap);
}

static void misuse_metadata_is_refused(struct kunit *test)
{
	struct bsa_heap *heap = new_heap(test);
	struct bsa_section_info section;
	void *obj = get(test, heap, 64);
	unsigned int refused = 0, i;
	void *addr;

	/* In front of the pages, behind them, and the descriptor itself. */
	KUNIT_ASSERT_EQ(test, bsa_heap_section(heap, 0, &section), 0);
	expect_refused(test, heap, (void *)section.start - 1);
	expect_refused(test, heap, (void *)section.start - PAGE_SIZE);
	expect_refused(test, heap, (void *)section.start + section.size);
	expect_refused(test, heap, bsa_page_of(obj));
	bsa_heap_free(heap, obj);

	/*
	 * The page of bitmaps that a slab of the smallest objects needs; with
	 * debug= no slot is so small.
	 */
	obj = get(test, heap, 8);
	for (i = 0; i < section.total_pages; i++) {
		addr = (void *)section.start + i * PAGE_SIZE;
		if (bsa_page_of(addr)->state != BSA_PAGE_BITMAPS)
			continue;
		expect_refused(test, heap, addr);
		expect_refused(test, heap, addr + 128);
		expect_pages_refused(test, heap, addr, 1);
		refused++;
	}
	KUNIT_EXPECT_EQ(test, refused, heap->debug ? 0U : 1U);
	bsa_heap_free(heap, obj);
	expect_working(test, heap);
}

static void misuse_memory_of_a_heap_that_is_gone_is_refused(struct kunit *test)
{
	struct bsa_heap *heap = new_heap(test);
	struct bsa_heap *gone = new_heap(test);
	void *object = get(test, gone, 64);
	void *block = get(test, gone, 2 * PAGE_SIZE);

	bsa_heap_free(gone, object);
	bsa_heap_free(gone, block);
	KUNIT_ASSERT_EQ(test, bsa_test_destroy_heap(test, gone), 0);
	expect_refused(test, heap, object);
	expect_refused(test, heap, block);
	expect_working(test, heap);
}

/* The inside of an allocation. */

static void misuse_inside_of_an_object_is_refused(struct kunit *test)
{
	struct bsa_heap *heap = new_heap(test);
	size_t size, offset;
	u8 *obj;

	/* Each class: the first bytes, the middle, the last byte. */
	for (size = 8; size <= 2048; size *= 2) {
		obj = get(test, heap, size);
		expect_refused(test, heap, obj + 1);
		for (offset = 2; offset < size; offset *= 2)
			expect_refused(test, heap, obj + offset);
		expect_refused(test, heap, obj + size - 1);
		KUNIT_EXPECT_EQ(test, bsa_heap_size(heap, obj), size);
		bsa_heap_free(heap, obj);
	}
	expect_working(test, heap);
}

static void misuse_inside_of_an_object_is_refused_elsewhere(struct kunit *test)
{
	struct bsa_heap *heap = new_heap(test);
	size_t size;
	u8 *obj;

	/* The same, on a CPU that does not own the slab. */
	for (size = 8; size <= 2048; size *= 2) {
		bsa_test_set_cpu(test, 0);
		obj = get(test, heap, size);
		bsa_test_set_cpu(test, 1);
		expect_refused(test, heap, obj + 1);
		expect_refused(test, heap, obj + size / 2);
		expect_refused(test, heap, obj + size - 1);
		KUNIT_EXPECT_EQ(test, bsa_heap_size(heap, obj), size);
		bsa_heap_free(heap, obj);
	}
	expect_working(test, heap);
}

static void misuse_inside_of_a_block_is_refused(struct kunit *test)
{
	struct bsa_heap *heap = new_heap(test);
	void *block = get(test, heap, 8 * PAGE_SIZE);
	int i;

	expect_refused(test, heap, block + 1);
	expect_refused(test, heap, block + 8);
	expect_refused(test, heap, block + PAGE_SIZE - 1);
	expect_pages_refused(test, heap, block + 8, 8);
	for (i = 1; i < 8; i++) {
		expect_refused(test, heap, block + i * PAGE_SIZE);
		expect_pages_refused(test, heap, block + i * PAGE_SIZE, 8 - i);
	}
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).live_pages, 8);
	bsa_heap_free_pages(heap, block, 8);
	expect_working(test, heap);
}

static void misuse_page_free_of_an_object_is_refused(struct kunit *test)
{
	struct bsa_heap *heap = new_heap(test);
	size_t size;
	void *obj;

	for (size = 8; size <= 2048; size *= 2) {
		obj = get(test, heap, size);
		/* The object may well start its page. */
		expect_pages_refused(test, heap, obj, 1);
		expect_pages_refused(test, heap,
				     PTR_ALIGN_DOWN(obj, PAGE_SIZE), 1);
		KUNIT_EXPECT_EQ(test, bsa_heap_size(heap, obj), size);
		bsa_heap_free(heap, obj);
	}
	expect_working(test, heap);
}

static void misuse_neighbours_never_allocated_are_refused(struct kunit *test)
{
	struct bsa_heap *heap = new_heap(test);
	void *obj = get(test, heap, 64);
	struct bsa_page *slab = bsa_page_of(obj);
	u8 *base = PTR_ALIGN_DOWN(obj, PAGE_SIZE);
	unsigned int i, nr = bsa_test_capacity(64);

	/* The other objects of the slab, which nobody has. */
	KUNIT_ASSERT_EQ(test, bsa_slab_capacity(slab), nr);
	for (i = 0; i < nr; i++)
		if (base + i * 64 != obj)
			expect_refused(test, heap, base + i * 64);
	/* And a page that nobody has. */
	bsa_heap_free(heap, get(test, heap, PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).refused_frees, nr - 1);
	bsa_heap_free(heap, obj);
	expect_working(test, heap);
}

/* Double frees. */

static void misuse_double_free_by_the_owner_is_refused(struct kunit *test)
{
	struct bsa_heap *heap = new_heap(test);
	void *obj, *other;
	size_t size;

	/* Alone in its slab, and with another object beside it. */
	for (size = 8; size <= 2048; size *= 2) {
		obj = get(test, heap, size);
		bsa_heap_free(heap, obj);
		expect_refused(test, heap, obj);
		expect_refused(test, heap, obj);

		obj = get(test, heap, size);
		other = get(test, heap, size);
		bsa_heap_free(heap, obj);
		expect_refused(test, heap, obj);
		bsa_heap_free(heap, other);
		expect_refused(test, heap, obj);
	}
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).live_objects, 0);
	expect_working(test, heap);
}

static void misuse_double_free_of_pages_is_refused(struct kunit *test)
{
	struct bsa_heap *heap = new_heap(test);
	void *a = get(test, heap, PAGE_SIZE);
	void *b = get(test, heap, PAGE_SIZE);

	bsa_heap_free_pages(heap, a, 1);
	expect_pages_refused(test, heap, a, 1);
	expect_refused(test, heap, a);
	bsa_heap_free(heap, b);
	/* By now both are part of larger blocks. */
	expect_refused(test, heap, b);
	expect_pages_refused(test, heap, a, 1);
	expect_pages_refused(test, heap, b, 1);
	KUNIT_EXPECT_EQ(test, bsa_heap_allocated_bytes(heap), 0);
	expect_working(test, heap);
}

static void misuse_double_free_elsewhere_is_refused(struct kunit *test)
{
	struct bsa_heap *heap = new_heap(test);
	void *obj = get(test, heap, 64);

	/* Freed by the owner, then by another CPU. */
	bsa_heap_free(heap, obj);
	bsa_test_set_cpu(test, 1);
	expect_refused(test, heap, obj);
	bsa_test_set_cpu(test, 2);
	expect_refused(test, heap, obj);
	bsa_test_set_cpu(test, 0);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).remote_frees,
			bsa_test_remote_frees(0, 1));
	expect_working(test, heap);
}

static void misuse_remote_double_free_before_the_drain_is_refused(struct kunit *test)
{
	struct bsa_heap *heap = new_heap(test);
	struct bsa_page *slab;
	void *obj, *other;

	/* Freed by one CPU; then by the same, by a third, and by the owner. */
	obj = get(test, heap, 64);
	other = get(test, heap, 64);
	slab = bsa_page_of(obj);
	bsa_test_set_cpu(test, 1);
	bsa_heap_free(heap, obj);
	expect_refused(test, heap, obj);
	bsa_test_set_cpu(test, 2);
	expect_refused(test, heap, obj);
	bsa_test_set_cpu(test, 0);
	KUNIT_EXPECT_EQ(test, bsa_slab_nr_remote(slab), 1);
	expect_refused(test, heap, obj);
	KUNIT_EXPECT_EQ(test, bsa_slab_nr_remote(slab), 1);
	bsa_heap_free(heap, other);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).live_objects, 0);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).refused_frees, 3);
	expect_working(test, heap);
}

static void misuse_remote_double_free_after_the_drain_is_refused(struct kunit *test)
{
	struct bsa_heap *heap = new_heap(test);
	unsigned int i, nr = bsa_test_capacity(64);
	void **ptrs = bsa_test_array(test, nr), *obj;
	struct bsa_page *slab;

	/* Two objects of a full slab are freed elsewhere and taken over. */
	for (i = 0; i < nr; i++)
		ptrs[i] = get(test, heap, 64);
	slab = bsa_page_of(ptrs[0]);
	bsa_test_set_cpu(test, 1);
	bsa_heap_free(heap, ptrs[3]);
	bsa_heap_free(heap, ptrs[7]);
	bsa_test_set_cpu(test, 0);
	obj = get(test, heap, 64);
	KUNIT_EXPECT_EQ(test, bsa_slab_nr_remote(slab), 0);

	/* One of them is live again, the other one is free. */
	KUNIT_ASSERT_TRUE(test, obj == ptrs[3] || obj == ptrs[7]);
	i = obj == ptrs[3] ? 7 : 3;
	bsa_test_set_cpu(test, 1);
	expect_refused(test, heap, ptrs[i]);
	bsa_test_set_cpu(test, 0);
	expect_refused(test, heap, ptrs[i]);
	ptrs[i] = NULL;
	bsa_test_give_back(heap, nr, ptrs);
	expect_working(test, heap);
}

static void misuse_no_object_is_handed_out_twice_after_it(struct kunit *test)
{
	struct bsa_heap *heap = new_heap(test);
	void *obj = get(test, heap, 512), *a, *b, *c;

	/* The classic: after a double free, two callers get the same. */
	bsa_heap_free(heap, obj);
	expect_refused(test, heap, obj);
	bsa_test_set_cpu(test, 1);
	expect_refused(test, heap, obj);
	bsa_test_set_cpu(test, 0);
	a = get(test, heap, 512);
	b = get(test, heap, 512);
	c = get(test, heap, 512);
	KUNIT_EXPECT_PTR_NE(test, a, b);
	KUNIT_EXPECT_PTR_NE(test, a, c);
	KUNIT_EXPECT_PTR_NE(test, b, c);
	bsa_heap_free(heap, a);
	bsa_heap_free(heap, b);
	bsa_heap_free(heap, c);
	expect_working(test, heap);
}

struct same_free {
	struct bsa_heap *heap;
	void *obj;
	atomic_t waiting;
};

static void free_at_once(void *data)
{
	struct same_free *same = data;

	/* As close to each other as two CPUs can get. */
	atomic_dec(&same->waiting);
	while (atomic_read(&same->waiting))
		cpu_relax();
	bsa_heap_free(same->heap, same->obj);
}

static void double_free_at_once(struct kunit *test, unsigned int a,
				unsigned int b)
{
	struct same_free same = { .heap = new_heap(test) };
	struct bsa_stats stats;
	void *next;
	int i;

	cpumask_var_t cpus;

	/* With one of them missing, the other would wait for it forever. */
	bsa_test_needs_cpus(test, max(a, b) + 1);
	KUNIT_ASSERT_TRUE(test, zalloc_cpumask_var(&cpus, GFP_KERNEL));
	cpumask_set_cpu(a, cpus);
	cpumask_set_cpu(b, cpus);
	for (i = 0; i < 200; i++) {
		same.obj = bsa_heap_alloc(same.heap, 64, BSA_TEST_GFP);
		if (!same.obj)
			break;
		atomic_set(&same.waiting, 2);
		on_each_cpu_mask(cpus, free_at_once, &same, true);
		/* Whatever the order was, the object is free once. */
		next = bsa_heap_alloc(same.heap, 64, BSA_TEST_GFP);
		bsa_heap_free(same.heap, next);
	}
	free_cpumask_var(cpus);
	KUNIT_EXPECT_EQ(test, i, 200);

	/* What two CPUs have done at the same time is known after a drain. */
	bsa_test_count_free_pages(test, same.heap);
	stats = bsa_test_stats(same.heap);
	KUNIT_EXPECT_EQ(test, stats.refused_frees, 200);
	KUNIT_EXPECT_EQ(test, stats.live_objects, 0);
	expect_working(test, same.heap);
}

static void misuse_double_free_by_two_others_at_once_is_refused(struct kunit *test)
{
	bsa_test_set_cpu(test, 0);
	double_free_at_once(test, 1, 2);
}

static void misuse_double_free_by_owner_and_other_at_once_is_refused(struct kunit *test)
{
	bsa_test_set_cpu(test, 0);
	double_free_at_once(test, 0, 1);
}

/* The wrong heap. */

static void misuse_free_into_the_wrong_heap_is_refused(struct kunit *test)
{
	struct bsa_heap *heap = new_heap(test), *other = new_heap(test);
	void *object = get(test, heap, 64), *block = get(test, heap, 2 * PAGE_SIZE);
	struct bsa_stats before = bsa_test_stats(heap);

	expect_refused(test, other, object);
	expect_refused(test, other, block);
	expect_pages_refused(test, other, block, 2);
	expect_pages_refused(test, other, object, 1);
	/* From another CPU, and into the default heap. */
	bsa_test_set_cpu(test, 1);
	expect_refused(test, other, object);
	expect_refused(test, other, block);
	expect_refused(test, NULL, object);
	expect_refused(test, NULL, block);
	bsa_test_set_cpu(test, 0);

	/* The heap that they belong to has not noticed. */
	expect_same(test, heap, &before);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).refused_frees, 0);
	bsa_heap_free(heap, object);
	bsa_heap_free(heap, block);
	expect_working(test, heap);
	expect_working(test, other);
}

static void misuse_default_heap_refuses_what_is_not_its_own(struct kunit *test)
{
	struct bsa_stats before = bsa_test_stats(NULL);
	struct bsa_heap *heap = new_heap(test);
	void *object = get(test, heap, 64);
	void *mine = get(test, NULL, 64);
	int stack;

	/* By the calls that name no heap. */
	bsa_free(object);
	bsa_free(&stack);
	bsa_free_pages(object, 1);
	bsa_free(mine + 8);
	bsa_free_pages(mine, 1);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(NULL).refused_frees,
			before.refused_frees + 5);
	expect_refused(test, heap, mine);
	bsa_free(mine);
	bsa_free(mine);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(NULL).refused_frees,
			before.refused_frees + 6);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(NULL).frees, before.frees + 1);
	bsa_heap_free(heap, object);
}

/* The other calls. */

static void misuse_bulk_free_refuses_only_what_is_bad(struct kunit *test)
{
	struct bsa_heap *heap = new_heap(test);
	void *ptrs[8];
	int stack;

	KUNIT_ASSERT_EQ(test, bsa_heap_alloc_bulk(heap, 100, BSA_TEST_GFP, 4,
						  ptrs), 4);
	/* Four good ones, a double free, the inside of one, the stack, NULL. */
	ptrs[4] = ptrs[1];
	ptrs[5] = ptrs[2] + 8;
	ptrs[6] = &stack;
	ptrs[7] = NULL;
	bsa_heap_free_bulk(heap, 8, ptrs);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).frees, 4);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).refused_frees, 3);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).live_objects, 0);
	expect_working(test, heap);
}

static void misuse_size_of_what_is_not_live_is_zero(struct kunit *test)
{
	struct bsa_heap *heap = new_heap(test), *other = new_heap(test);
	void *object = get(test, heap, 64), *block = get(test, heap, 2 * PAGE_SIZE);
	int stack;

	KUNIT_EXPECT_EQ(test, bsa_heap_size(heap, &stack), 0);
	KUNIT_EXPECT_EQ(test, bsa_heap_size(heap, (void *)1), 0);
	KUNIT_EXPECT_EQ(test, bsa_heap_size(heap, (void *)-1UL), 0);
	KUNIT_EXPECT_EQ(test, bsa_heap_size(heap, object + 1), 0);
	KUNIT_EXPECT_EQ(test, bsa_heap_size(heap, object + 64), 0);
	KUNIT_EXPECT_EQ(test, bsa_heap_size(heap, block + 1), 0);
	KUNIT_EXPECT_EQ(test, bsa_heap_size(heap, block + PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, bsa_heap_size(other, object), 0);
	KUNIT_EXPECT_EQ(test, bsa_heap_size(other, block), 0);
	KUNIT_EXPECT_EQ(test, bsa_size(object), 0);
	bsa_heap_free(heap, object);
	bsa_heap_free(heap, block);
	KUNIT_EXPECT_EQ(test, bsa_heap_size(heap, object), 0);
	KUNIT_EXPECT_EQ(test, bsa_heap_size(heap, block), 0);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).refused_frees, 0);

	/* Freed elsewhere, and not taken over yet. */
	object = get(test, heap, 64);
	bsa_test_set_cpu(test, 1);
	bsa_heap_free(heap, object);
	KUNIT_EXPECT_EQ(test, bsa_heap_size(heap, object), 0);
}

static void misuse_realloc_of_what_is_not_live_is_refused(struct kunit *test)
{
	struct bsa_heap *heap = new_heap(test), *other = new_heap(test);
	void *object = get(test, heap, 64), *block = get(test, heap, 2 * PAGE_SIZE);
	void *bad[] = {
		&bad, object + 8, block + PAGE_SIZE, (void *)-1UL,
		(void *)PAGE_SIZE,
	};
	static const size_t sizes[] = { 0, 32, 500, 20000 };
	struct bsa_stats before = bsa_test_stats(heap);
	void *freed;
	int i, j;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		for (j = 0; j < ARRAY_SIZE(sizes); j++)
			KUNIT_EXPECT_NULL(test,
					  bsa_heap_realloc(heap, bad[i],
							   sizes[j],
							   BSA_TEST_GFP));
	expect_same(test, heap, &before);
	KUNIT_EXPECT_NULL(test, bsa_heap_realloc(other, object, 500,
						 BSA_TEST_GFP));
	KUNIT_EXPECT_NULL(test, bsa_realloc(object, 500, BSA_TEST_GFP));
	expect_same(test, heap, &before);

	bsa_heap_free(heap, object);
	bsa_heap_free(heap, block);
	before = bsa_test_stats(heap);
	freed = bsa_heap_realloc(heap, object, 500, BSA_TEST_GFP);
	KUNIT_EXPECT_NULL(test, freed);
	freed = bsa_heap_realloc(heap, block, 500, BSA_TEST_GFP);
	KUNIT_EXPECT_NULL(test, freed);
	expect_same(test, heap, &before);
	expect_working(test, heap);
}

static void misuse_nofail_is_refused(struct kunit *test)
{
	struct bsa_heap *heap = new_heap(test);
	gfp_t gfp = BSA_TEST_GFP | __GFP_NOFAIL;
	void *ptrs[1];

	KUNIT_EXPECT_NULL(test, bsa_heap_alloc(heap, 64, gfp));
	KUNIT_EXPECT_NULL(test, bsa_heap_alloc_aligned(heap, 64, 64, gfp));
	KUNIT_EXPECT_NULL(test, bsa_heap_alloc(heap, 8192, gfp));
	KUNIT_EXPECT_NULL(test, bsa_heap_calloc(heap, 4, 16, gfp));
	KUNIT_EXPECT_NULL(test, bsa_heap_realloc(heap, NULL, 64, gfp));
	KUNIT_EXPECT_NULL(test, bsa_heap_alloc_pages(heap, 1, PAGE_SIZE, gfp));
	KUNIT_EXPECT_NULL(test, bsa_heap_alloc_pages_lowmem(heap, 1, PAGE_SIZE,
							    gfp));
	KUNIT_EXPECT_EQ(test, bsa_heap_alloc_bulk(heap, 64, gfp, 1, ptrs), 0);
	KUNIT_EXPECT_NULL(test, bsa_alloc(64, gfp));
	KUNIT_EXPECT_NULL(test, bsa_zalloc(64, gfp));
	KUNIT_EXPECT_NULL(test, bsa_alloc_aligned(64, 64, gfp));
	KUNIT_EXPECT_NULL(test, bsa_alloc_pages(1, PAGE_SIZE, gfp));
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).allocs, 0);
	expect_working(test, heap);
}

static void misuse_overflow_of_objects_reaches_no_metadata(struct kunit *test)
{
	struct bsa_heap *heap = new_heap(test);
	struct bsa_section_info section;
	void **ptrs = bsa_test_array(test, 128);
	void *block = get(test, heap, 4 * PAGE_SIZE);
	int i, j;

	/* Everything that a caller can get hold of is written over, twice. */
	for (i = 0; i < 128; i++)
		ptrs[i] = get(test, heap, 8 << (i % BSA_NR_CLASSES));
	KUNIT_ASSERT_EQ(test, bsa_heap_section(heap, 0, &section), 0);
	for (j = 0; j < 2; j++) {
		memset(block, j ? 0 : 0xff, 4 * PAGE_SIZE);
		for (i = 0; i < 128; i++)
			memset(ptrs[i], j ? 0 : 0xff,
			       8 << (i % BSA_NR_CLASSES));
		KUNIT_EXPECT_EQ(test, bsa_validate(heap, NULL, true), 0);
	}
	bsa_test_give_back(heap, 128, ptrs);
	bsa_heap_free(heap, block);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).refused_frees, 0);
	KUNIT_EXPECT_EQ(test, bsa_test_count_free_pages(test, heap),
			section.total_pages);
	expect_working(test, heap);
}

static struct kunit_case bsa_misuse_cases[] = {
	KUNIT_CASE(misuse_free_of_nothing_is_no_misuse),
	KUNIT_CASE(misuse_foreign_memory_is_refused),
	KUNIT_CASE(misuse_wild_pointers_are_refused),
	KUNIT_CASE(misuse_metadata_is_refused),
	KUNIT_CASE(misuse_memory_of_a_heap_that_is_gone_is_refused),

	KUNIT_CASE(misuse_inside_of_an_object_is_refused),
	KUNIT_CASE(misuse_inside_of_an_object_is_refused_elsewhere),
	KUNIT_CASE(misuse_inside_of_a_block_is_refused),
	KUNIT_CASE(misuse_page_free_of_an_object_is_refused),
	KUNIT_CASE(misuse_neighbours_never_allocated_are_refused),

	KUNIT_CASE(misuse_double_free_by_the_owner_is_refused),
	KUNIT_CASE(misuse_double_free_of_pages_is_refused),
	KUNIT_CASE(misuse_double_free_elsewhere_is_refused),
	KUNIT_CASE(misuse_remote_double_free_before_the_drain_is_refused),
	KUNIT_CASE(misuse_remote_double_free_after_the_drain_is_refused),
	KUNIT_CASE(misuse_no_object_is_handed_out_twice_after_it),
	KUNIT_CASE(misuse_double_free_by_two_others_at_once_is_refused),
	KUNIT_CASE(misuse_double_free_by_owner_and_other_at_once_is_refused),

	KUNIT_CASE(misuse_free_into_the_wrong_heap_is_refused),
	KUNIT_CASE(misuse_default_heap_refuses_what_is_not_its_own),

	KUNIT_CASE(misuse_bulk_free_refuses_only_what_is_bad),
	KUNIT_CASE(misuse_size_of_what_is_not_live_is_zero),
	KUNIT_CASE(misuse_realloc_of_what_is_not_live_is_refused),
	KUNIT_CASE(misuse_nofail_is_refused),
	KUNIT_CASE(misuse_overflow_of_objects_reaches_no_metadata),
	{}
};

struct kunit_suite bsa_misuse_suite = {
	.name = "bsa_misuse",
	.init = bsa_test_init,
	.exit = bsa_test_exit,
	.test_cases = bsa_misuse_cases,
};
