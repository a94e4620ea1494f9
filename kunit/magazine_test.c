// SPDX-License-Identifier: GPL-2.0-only
/*
 * Magazines: what an owner frees into full slabs, and allocates next
 */
#include "test_util.h"

#include <linux/cpu.h>
#include <linux/sizes.h>

#define NR_SLABS	12	/* more than a magazine holds objects of */

/* A heap on CPU 0 with slabs of 64 bytes that are all full, but for the active one. */
struct shop {
	struct bsa_heap *heap;
	struct bsa_class *class;
	unsigned int capacity;
	void **objs;		/* slab by slab */
};

static void open_shop(struct kunit *test, struct shop *shop)
{
	unsigned int nr, i;

	if (want_init_on_free() || bsa_default_heap.debug)
		kunit_skip(test, "nothing is held where frees clear, or with debug=");
	bsa_test_set_cpu(test, 0);
	shop->heap = bsa_test_heap(test, SZ_4M);
	shop->class = &per_cpu_ptr(shop->heap->cpu, 0)->slabs.class[bsa_size_class(64)];
	shop->capacity = bsa_test_capacity(64);
	nr = NR_SLABS * shop->capacity;
	shop->objs = bsa_test_array(test, nr + 1);
	for (i = 0; i <= nr; i++) {
		shop->objs[i] = bsa_heap_alloc(shop->heap, 64, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, shop->objs[i]);
	}
	for (i = 0; i < nr; i++)
		KUNIT_ASSERT_EQ(test, bsa_page_of(shop->objs[i])->state,
				BSA_PAGE_SLAB_FULL);
}

static void **slab_objs(struct shop *shop, unsigned int slab)
{
	return shop->objs + slab * shop->capacity;
}

static void free_one(struct shop *shop, void **obj)
{
	bsa_heap_free(shop->heap, *obj);
	*obj = NULL;
}

static void close_shop(struct kunit *test, struct shop *shop)
{
	bsa_test_expect_valid(test, shop->heap);
	bsa_test_give_back(shop->heap, NR_SLABS * shop->capacity + 1, shop->objs);
	bsa_test_expect_valid(test, shop->heap);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(shop->heap).live_objects, 0);
	bsa_heap_trim(shop->heap);
	KUNIT_EXPECT_EQ(test, bsa_heap_nr_free_pages(shop->heap),
			bsa_heap_nr_pages(shop->heap));
}

static void magazine_hands_out_what_was_freed_last(struct kunit *test)
{
	struct bsa_stats before, after;
	struct shop shop;
	void *last[3];
	unsigned int i;

	open_shop(test, &shop);
	before = bsa_test_stats(shop.heap);
	for (i = 0; i < 3; i++) {
		last[i] = slab_objs(&shop, i)[5];
		free_one(&shop, &slab_objs(&shop, i)[5]);
		KUNIT_EXPECT_EQ(test, bsa_page_of(last[i])->state, BSA_PAGE_SLAB_FULL);
	}
	after = bsa_test_stats(shop.heap);
	KUNIT_EXPECT_EQ(test, after.live_objects, before.live_objects - 3);
	KUNIT_EXPECT_EQ(test, after.frees, before.frees + 3);
	KUNIT_EXPECT_EQ(test, after.remote_frees, before.remote_frees);
	bsa_test_expect_valid(test, shop.heap);
	for (i = 3; i--;) {
		slab_objs(&shop, i)[5] = bsa_heap_alloc(shop.heap, 64, GFP_ATOMIC);
		KUNIT_EXPECT_PTR_EQ(test, slab_objs(&shop, i)[5], last[i]);
	}
	close_shop(test, &shop);
}

static void magazine_that_is_full_holds_no_more(struct kunit *test)
{
	struct shop shop;
	unsigned int i;

	open_shop(test, &shop);
	for (i = 0; i < NR_SLABS; i++) {
		struct bsa_page *slab = bsa_page_of(slab_objs(&shop, i)[0]);

		free_one(&shop, &slab_objs(&shop, i)[0]);
		KUNIT_EXPECT_EQ(test, slab->state, i < BSA_MAGAZINE_SIZE ?
				BSA_PAGE_SLAB_FULL : BSA_PAGE_SLAB_PARTIAL);
	}
	KUNIT_EXPECT_EQ(test, shop.class->held, BSA_MAGAZINE_SIZE);
	close_shop(test, &shop);
}

/* How often an object is among some. */
static unsigned int times(const void *obj, void **objs, unsigned int nr)
{
	unsigned int n = 0;

	while (nr--)
		n += objs[nr] == obj;
	return n;
}

static void magazine_holds_one_object_of_a_slab(struct kunit *test)
{
	struct bsa_page *slab;
	struct shop shop;
	void *freed[2], **got;
	unsigned int nr, i;

	open_shop(test, &shop);
	slab = bsa_page_of(shop.objs[0]);
	for (i = 0; i < 2; i++) {
		freed[i] = shop.objs[i];
		free_one(&shop, &shop.objs[i]);
		KUNIT_EXPECT_EQ(test, slab->held,
				i ? 0 : 1 + bsa_slab_index(slab, freed[0]));
	}
	KUNIT_EXPECT_EQ(test, slab->state, BSA_PAGE_SLAB_PARTIAL);
	bsa_test_expect_valid(test, shop.heap);

	/* Both, and what the active slab has left, are handed out once. */
	nr = 2 + shop.capacity - 1;
	got = bsa_test_array(test, nr);
	for (i = 0; i < nr; i++) {
		got[i] = bsa_heap_alloc(shop.heap, 64, GFP_ATOMIC);
		KUNIT_ASSERT_NOT_NULL(test, got[i]);
	}
	for (i = 0; i < nr; i++)
		KUNIT_EXPECT_EQ(test, times(got[i], got, nr), 1);
	KUNIT_EXPECT_EQ(test, times(freed[0], got, nr), 1);
	KUNIT_EXPECT_EQ(test, times(freed[1], got, nr), 1);
	bsa_test_give_back(shop.heap, nr, got);
	close_shop(test, &shop);
}

static void expect_refused(struct kunit *test, struct shop *shop, void *ptr)
{
	struct bsa_stats before = bsa_test_stats(shop->heap), after;
	void *bulk[] = { ptr };

	bsa_heap_free(shop->heap, ptr);
	bsa_heap_free_bulk(shop->heap, 1, bulk);
	after = bsa_test_stats(shop->heap);
	KUNIT_EXPECT_EQ(test, after.refused_frees, before.refused_frees + 2);
	KUNIT_EXPECT_EQ(test, after.live_objects, before.live_objects);
	bsa_test_expect_valid(test, shop->heap);
}

static void magazine_takes_no_object_twice(struct kunit *test)
{
	struct shop shop;
	void *obj;

	bsa_test_needs_cpus(test, 2);
	open_shop(test, &shop);
	obj = shop.objs[3];
	free_one(&shop, &shop.objs[3]);
	expect_refused(test, &shop, obj);
	expect_refused(test, &shop, obj + 8);
	bsa_test_set_cpu(test, 1);
	expect_refused(test, &shop, obj);
	KUNIT_EXPECT_EQ(test, bsa_heap_size(shop.heap, obj), 0);

	/* Also when others have made the slab a partial one. */
	free_one(&shop, &shop.objs[4]);
	KUNIT_EXPECT_EQ(test, bsa_page_of(obj)->state, BSA_PAGE_SLAB_PARTIAL);
	expect_refused(test, &shop, obj);
	bsa_test_set_cpu(test, 0);
	expect_refused(test, &shop, obj);

	KUNIT_EXPECT_EQ(test, bsa_page_of(obj)->held, 1 + bsa_slab_index(bsa_page_of(obj), obj));
	shop.objs[3] = bsa_heap_alloc(shop.heap, 64, GFP_ATOMIC);
	KUNIT_EXPECT_PTR_EQ(test, shop.objs[3], obj);
	close_shop(test, &shop);
}

/* What a magazine remembers of a slab that has become another one is worth nothing. */
static void magazine_forgets_slabs_that_are_gone(struct kunit *test)
{
	unsigned int i, nr;
	struct bsa_page *slab;
	struct shop shop;
	void **others;

	open_shop(test, &shop);
	slab = bsa_page_of(shop.objs[0]);
	bsa_test_give_back(shop.heap, 2 * shop.capacity, shop.objs);
	KUNIT_EXPECT_GT(test, shop.class->held, 0U);
	bsa_heap_trim(shop.heap);
	KUNIT_EXPECT_FALSE(test, bsa_page_is_slab(slab));

	/* Objects of another class may lie there now. */
	nr = 2 * bsa_test_capacity(16);
	others = bsa_test_array(test, nr);
	for (i = 0; i < nr; i++) {
		others[i] = bsa_heap_alloc(shop.heap, 16, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, others[i]);
		memset(others[i], 0x5a, 16);
	}
	for (i = 0; i < 2 * shop.capacity; i++) {
		shop.objs[i] = bsa_heap_alloc(shop.heap, 64, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, shop.objs[i]);
		memset(shop.objs[i], 0xa5, 64);
	}
	for (i = 0; i < nr; i++)
		KUNIT_EXPECT_TRUE(test, bsa_test_all_bytes(others[i], 0x5a, 16));
	bsa_test_give_back(shop.heap, nr, others);
	close_shop(test, &shop);
}

/* ... also where an object of another class lies there now, and is held. */
static void magazine_forgets_what_is_of_another_class(struct kunit *test)
{
	unsigned int nr = 2 * bsa_test_capacity(16) + 1, i;
	struct bsa_page *slab;
	struct shop shop;
	void **small, *obj, *got;

	open_shop(test, &shop);
	small = bsa_test_array(test, nr);
	obj = shop.objs[0];
	slab = bsa_page_of(obj);
	/* One empty slab is kept, so the second to be freed is given back. */
	for (i = shop.capacity; i < 2 * shop.capacity; i++)
		free_one(&shop, &shop.objs[i]);
	for (i = 0; i < shop.capacity; i++)
		free_one(&shop, &shop.objs[i]);
	KUNIT_ASSERT_FALSE(test, bsa_page_is_slab(slab));
	KUNIT_EXPECT_EQ(test, shop.class->held, 2);

	for (i = 0; i < nr; i++)
		small[i] = bsa_heap_alloc(shop.heap, 16, GFP_ATOMIC);
	for (i = 0; i < nr && small[i] != obj; i++)
		;
	KUNIT_ASSERT_LT(test, i, nr);
	KUNIT_ASSERT_EQ(test, slab->state, BSA_PAGE_SLAB_FULL);
	bsa_heap_free(shop.heap, obj);
	KUNIT_EXPECT_NE(test, slab->held, 0);
	got = bsa_heap_alloc(shop.heap, 64, GFP_ATOMIC);
	KUNIT_EXPECT_PTR_NE(test, got, obj);
	bsa_heap_free(shop.heap, got);
	small[i] = bsa_heap_alloc(shop.heap, 16, GFP_ATOMIC);
	KUNIT_EXPECT_PTR_EQ(test, small[i], obj);
	bsa_test_give_back(shop.heap, nr, small);
	close_shop(test, &shop);
}

/* Objects that are held are no reason for an allocation to fail, here or elsewhere. */
static void magazine_keeps_no_memory_from_others(struct kunit *test)
{
	unsigned int i, k, nr, before;
	struct shop shop;
	void **rest;

	bsa_test_needs_cpus(test, 2);
	open_shop(test, &shop);
	before = bsa_heap_nr_free_pages(shop.heap);
	/* One is held here, the others are freed elsewhere: only that one is left. */
	for (i = 0; i < BSA_MAGAZINE_SIZE; i++)
		free_one(&shop, slab_objs(&shop, i));
	bsa_test_set_cpu(test, 1);
	for (i = 0; i < BSA_MAGAZINE_SIZE; i++)
		for (k = 1; k < shop.capacity; k++)
			free_one(&shop, &slab_objs(&shop, i)[k]);
	bsa_test_expect_valid(test, shop.heap);

	/* All of those slabs can be had. */
	rest = bsa_test_array(test, bsa_heap_nr_pages(shop.heap));
	nr = bsa_test_take_pages(shop.heap, rest);
	KUNIT_EXPECT_GE(test, nr, before + (BSA_MAGAZINE_SIZE <<
					    bsa_slab_order(bsa_size_class(64))));
	bsa_test_give_back(shop.heap, nr, rest);
	bsa_test_set_cpu(test, 0);
	close_shop(test, &shop);
}

/* ... also where the CPU that holds one has no slab to allocate from. */
static void magazine_without_an_active_slab_is_emptied(struct kunit *test)
{
	struct shop shop;
	unsigned int i, nr;
	void **rest;

	bsa_test_needs_cpus(test, 2);
	open_shop(test, &shop);
	free_one(&shop, &shop.objs[NR_SLABS * shop.capacity]);
	bsa_heap_trim(shop.heap);
	KUNIT_EXPECT_NULL(test, shop.class->active);
	free_one(&shop, &shop.objs[0]);
	KUNIT_EXPECT_EQ(test, shop.class->held, 1);
	bsa_test_set_cpu(test, 1);
	for (i = 1; i < NR_SLABS * shop.capacity; i++)
		free_one(&shop, &shop.objs[i]);

	rest = bsa_test_array(test, bsa_heap_nr_pages(shop.heap));
	nr = bsa_test_take_pages(shop.heap, rest);
	KUNIT_EXPECT_EQ(test, nr, bsa_heap_nr_pages(shop.heap));
	KUNIT_EXPECT_EQ(test, shop.class->held, 0);
	bsa_test_give_back(shop.heap, nr, rest);
	bsa_test_set_cpu(test, 0);
	close_shop(test, &shop);
}

static void magazine_of_a_cpu_that_is_gone_is_empty(struct kunit *test)
{
	struct shop shop;
	unsigned int i;

	bsa_test_needs_cpus(test, 2);
	bsa_test_needs_hotplug(test);
	open_shop(test, &shop);
	bsa_test_set_cpu(test, 1);
	for (i = 0; i < NR_SLABS * shop.capacity; i++) {
		free_one(&shop, &shop.objs[i]);
		shop.objs[i] = bsa_heap_alloc(shop.heap, 64, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, shop.objs[i]);
	}
	for (i = 0; i < 3; i++)
		free_one(&shop, slab_objs(&shop, i + 1));
	bsa_test_set_cpu(test, 0);
	KUNIT_ASSERT_EQ(test, remove_cpu(1), 0);
	bsa_test_expect_valid(test, shop.heap);
	KUNIT_EXPECT_EQ(test, add_cpu(1), 0);
	close_shop(test, &shop);
}

/* An object that the owner and another CPU free is free once, whoever comes first. */
static void magazine_finds_what_was_freed_elsewhere_too(struct kunit *test)
{
	unsigned long conflicts;
	struct bsa_page *slab;
	struct bsa_cpu *c;
	struct shop shop;
	void *obj;

	bsa_test_needs_cpus(test, 2);
	open_shop(test, &shop);
	c = per_cpu_ptr(shop.heap->cpu, 0);
	obj = shop.objs[0];
	slab = bsa_page_of(obj);
	free_one(&shop, &shop.objs[0]);
	/* As of one that has looked before it was held. */
	set_bit(bsa_slab_index(slab, obj), slab->free + BSA_REMOTE);
	this_cpu_inc(shop.heap->cpu->remote_frees);
	conflicts = c->slabs.conflicts;
	shop.objs[0] = bsa_heap_alloc(shop.heap, 64, GFP_ATOMIC);
	KUNIT_EXPECT_PTR_NE(test, shop.objs[0], obj);
	KUNIT_EXPECT_EQ(test, c->slabs.conflicts, conflicts + 1);
	/* Whoever frees the next one looks at the slab. */
	bsa_test_set_cpu(test, 1);
	free_one(&shop, &shop.objs[1]);
	bsa_test_set_cpu(test, 0);
	close_shop(test, &shop);
}

/*
 * Who interrupts a call finds the mark naming a slab, by an address of any kind. What he
 * frees then is no reason to say that nobody is inside a call.
 */
static void magazine_is_left_alone_while_the_cpu_is_busy(struct kunit *test)
{
	struct shop shop;
	struct bsa_cpu *c;
	unsigned long mark;
	void *block, *obj;

	open_shop(test, &shop);
	c = per_cpu_ptr(shop.heap->cpu, 0);
	block = bsa_heap_alloc_pages(shop.heap, 1, PAGE_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, block);
	obj = shop.objs[0];
	/* Of a descriptor at a multiple of 4 GiB. */
	WRITE_ONCE(c->slabs.mark, BIT(40));
	bsa_heap_free_pages(shop.heap, block, 1);
	bsa_heap_free(shop.heap, bsa_heap_alloc(shop.heap, PAGE_SIZE, GFP_ATOMIC));
	free_one(&shop, &shop.objs[0]);
	mark = xchg(&c->slabs.mark, c->slabs.idle);
	KUNIT_EXPECT_EQ(test, mark, BIT(40));
	KUNIT_EXPECT_EQ(test, bsa_page_of(obj)->held, 0);
	close_shop(test, &shop);
}

static struct kunit_case bsa_magazine_cases[] = {
	KUNIT_CASE(magazine_hands_out_what_was_freed_last),
	KUNIT_CASE(magazine_that_is_full_holds_no_more),
	KUNIT_CASE(magazine_holds_one_object_of_a_slab),
	KUNIT_CASE(magazine_takes_no_object_twice),
	KUNIT_CASE(magazine_forgets_slabs_that_are_gone),
	KUNIT_CASE(magazine_forgets_what_is_of_another_class),
	KUNIT_CASE(magazine_keeps_no_memory_from_others),
	KUNIT_CASE(magazine_without_an_active_slab_is_emptied),
	KUNIT_CASE(magazine_of_a_cpu_that_is_gone_is_empty),
	KUNIT_CASE(magazine_finds_what_was_freed_elsewhere_too),
	KUNIT_CASE(magazine_is_left_alone_while_the_cpu_is_busy),
	{}
};

struct kunit_suite bsa_magazine_suite = {
	.name = "bsa_magazine",
	.init = bsa_test_init,
	.exit = bsa_test_exit,
	.test_cases = bsa_magazine_cases,
};
