// SPDX-License-Identifier: GPL-2.0-only
/*
 * A caller writes up to a page beyond what it holds, behind and in front
 *
 * What it reaches of other callers' memory is their loss, and is left out here.
 * Everything else of the region is written over: free objects, free pages, what the
 * allocator keeps for itself, and guards. After that no byte may be handed out
 * twice; and either nothing is lost, or bsa_validate() says what was hit.
 *
 * A heap is filled, everything within a page of anything that was handed out is
 * overwritten, and the heap is used again. A map of the region says what is held.
 */
#include "attack.h"

#include <linux/io.h>
#include <linux/sizes.h>

/* The map has a byte for so many bytes of the region. */
#define GRANULE		8
#define REACH		(PAGE_SIZE / GRANULE)

/* No test uses more regions for one heap. */
#define MOST_REGIONS	3

#define HELD		BIT(0)
#define REACHED		BIT(1)

enum side { BEHIND, BEFORE };

/**
 * struct region - memory of a heap, and who has what of it
 * @start: first byte
 * @size: bytes
 * @map: HELD and REACHED of each granule
 */
struct region {
	u8 *start;
	size_t size;
	u8 *map;
};

/**
 * struct arena - a heap that is attacked
 * @heap: the heap
 * @region: its memory
 * @nr_regions: how many there are
 * @ptrs: what is held; NULL where something was freed
 * @sizes: the size of each
 * @nr: how many there are
 * @room: how many there can be
 * @twice: something was handed out although it was held, or lies elsewhere
 */
struct arena {
	struct bsa_heap *heap;
	struct region region[MOST_REGIONS];
	unsigned int nr_regions;
	void **ptrs;
	u32 *sizes;
	size_t nr;
	size_t room;
	unsigned long twice;
};

/* A heap that cannot be destroyed keeps its memory, so it is not the test's. */
static void adopt_region(struct kunit *test, struct arena *a, void *start,
			 size_t size)
{
	struct region *r = &a->region[a->nr_regions++];

	KUNIT_ASSERT_NOT_NULL(test, start);
	r->start = start;
	r->size = size;
	r->map = (u8 *)bsa_test_array(test, size / GRANULE / sizeof(void *) + 1);
	KUNIT_ASSERT_EQ(test, bsa_heap_add_region(a->heap, r->start, size), 0);
}

static struct arena *new_arena(struct kunit *test, unsigned int nr_regions,
			       unsigned long nr_pages)
{
	struct arena *a = kunit_kzalloc(test, sizeof(*a), GFP_KERNEL);
	size_t size = nr_pages * PAGE_SIZE;
	char name[BSA_NAME_LEN];

	attack_needs_plain_heaps(test);
	KUNIT_ASSERT_NOT_NULL(test, a);
	bsa_test_name(name);
	a->heap = bsa_heap_create(name, 0, NUMA_NO_NODE);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, a->heap);
	/* All of it, and once more after some was freed. */
	a->room = 2 * max(nr_regions, 1U) * size / GRANULE + 1;
	a->ptrs = bsa_test_array(test, a->room);
	a->sizes = (u32 *)bsa_test_array(test, a->room);
	while (nr_regions--)
		adopt_region(test, a, alloc_pages_exact(size, GFP_KERNEL), size);
	return a;
}

/* A guard may be damaged, so the usual checks at the end would find that. */
static void end_arena(struct kunit *test, struct arena *a)
{
	int err = bsa_heap_destroy(a->heap);
	unsigned int i;
	size_t done;

	KUNIT_EXPECT_EQ(test, err, 0);
	for (i = 0; !err && i < a->nr_regions; i++)
		for (done = 0; done < a->region[i].size; done += PAGE_SIZE)
			bsa_give_page(virt_to_page(a->region[i].start + done));
}

static struct region *region_of(struct arena *a, const void *ptr)
{
	unsigned int i;

	for (i = 0; i < a->nr_regions; i++)
		if ((u8 *)ptr >= a->region[i].start &&
		    (u8 *)ptr < a->region[i].start + a->region[i].size)
			return &a->region[i];
	return NULL;
}

/* Note down that something was handed out, or given back. */
static void note(struct arena *a, const void *ptr, size_t size, bool held)
{
	struct region *r = region_of(a, ptr);
	size_t i, first;

	if (!r || (u8 *)ptr + size > r->start + r->size) {
		a->twice++;
		return;
	}
	first = ((u8 *)ptr - r->start) / GRANULE;
	for (i = first; i < first + size / GRANULE; i++) {
		if (held && r->map[i] & HELD)
			a->twice++;
		r->map[i] = held ? HELD : 0;
	}
}

static bool take(struct arena *a, size_t size)
{
	void *ptr;

	if (a->nr == a->room || a->twice)
		return false;
	ptr = bsa_heap_alloc(a->heap, size, BSA_TEST_GFP);
	if (!ptr)
		return false;
	note(a, ptr, size, true);
	a->ptrs[a->nr] = ptr;
	a->sizes[a->nr++] = size;
	return true;
}

static void give(struct arena *a, size_t i)
{
	if (!a->ptrs[i])
		return;
	note(a, a->ptrs[i], a->sizes[i], false);
	bsa_heap_free(a->heap, a->ptrs[i]);
	a->ptrs[i] = NULL;
}

static void give_all(struct arena *a)
{
	size_t i;

	for (i = 0; i < a->nr; i++)
		give(a, i);
	a->nr = 0;
}

/*
 * What a heap is filled with: objects of one class, blocks of one order, or some of
 * each, so that slabs of all classes and blocks are neighbours.
 */
#define NR_KINDS	(BSA_ALL_CLASSES + 4)
#define ALL_KINDS	NR_KINDS

static size_t size_of_kind(unsigned int kind)
{
	if (kind < BSA_ALL_CLASSES)
		return attack_class_size(kind);
	return PAGE_SIZE << (kind - BSA_ALL_CLASSES);
}

static void fill(struct arena *a, unsigned int kind)
{
	unsigned long left = kind == ALL_KINDS ? BIT(NR_KINDS) - 1 : BIT(kind);
	unsigned int one;

	while (left)
		for_each_set_bit(one, &left, NR_KINDS)
			if (!take(a, size_of_kind(one)))
				left &= ~BIT(one);
}

/*
 * Overwrite all that is within a page behind, or before, of something that is held,
 * and held by nobody.
 */
static void overflow_region(struct region *r, enum side where, u8 byte)
{
	size_t nr = r->size / GRANULE, since = REACH, i, at;

	for (i = 0; i < nr; i++) {
		at = where == BEHIND ? i : nr - 1 - i;
		if (r->map[at] & HELD) {
			since = 0;
			continue;
		}
		if (since++ >= REACH)
			continue;
		memset(r->start + at * GRANULE, byte, GRANULE);
		r->map[at] |= REACHED;
	}
}

static void overflow(struct arena *a, enum side where, u8 byte)
{
	unsigned int i;

	/* KASAN would report what is done here on purpose. */
	kasan_disable_current();
	for (i = 0; i < a->nr_regions; i++)
		overflow_region(&a->region[i], where, byte);
	kasan_enable_current();
}

/* One in @step stays; with 1 all do. */
static void thin_out(struct arena *a, unsigned int step)
{
	size_t i;

	for (i = 0; i < a->nr; i++)
		if (i % step)
			give(a, i);
}

/* The heap as it was filled at first, from what was left and from nothing. */
static void use_again(struct kunit *test, struct arena *a, unsigned int kind,
		      size_t nr, const char *what)
{
	unsigned long errors = bsa_validate(a->heap, NULL, true);
	size_t again;

	give(a, 0);
	fill(a, kind);
	KUNIT_EXPECT_EQ_MSG(test, a->twice, 0, "handed out twice: %s", what);
	give_all(a);
	/* What is broken already is not used once more. */
	if (a->twice)
		return;
	fill(a, kind);
	again = a->nr;
	KUNIT_EXPECT_EQ_MSG(test, a->twice, 0, "handed out twice, later: %s", what);
	give_all(a);
	errors += bsa_validate(a->heap, NULL, true);
	KUNIT_EXPECT_TRUE_MSG(test, errors || again == nr,
			      "%s: %zu of %zu without a word", what, again, nr);
}

static void attack_one(struct kunit *test, unsigned int nr_regions,
		       unsigned long nr_pages, unsigned int kind, unsigned int step,
		       enum side where, u8 byte)
{
	struct arena *a = new_arena(test, nr_regions, nr_pages);
	char what[80];
	size_t nr;

	snprintf(what, sizeof(what), "%u x %lu pages, kind %u, one in %u held, %s, %#x",
		 nr_regions, nr_pages, kind, step,
		 where == BEHIND ? "behind" : "before", byte);
	fill(a, kind);
	nr = a->nr;
	KUNIT_EXPECT_EQ(test, a->twice, 0);
	thin_out(a, step);
	overflow(a, where, byte);
	use_again(test, a, kind, nr, what);
	end_arena(test, a);
}

static void attack_all_kinds(struct kunit *test, unsigned int nr_regions,
			     unsigned long nr_pages, unsigned int step,
			     enum side where)
{
	unsigned int kind;

	for (kind = 0; kind <= ALL_KINDS; kind++) {
		attack_one(test, nr_regions, nr_pages, kind, step, where, 0xff);
		if (BSA_TEST_SLOWNESS == 1)
			attack_one(test, nr_regions, nr_pages, kind, step, where, 0);
	}
}

/* Nothing is free but what the allocator keeps for itself. */
static void overflow_behind_in_a_full_heap_reaches_no_metadata(struct kunit *test)
{
	attack_all_kinds(test, 1, 32, 1, BEHIND);
	attack_one(test, 1, 256, ALL_KINDS, 1, BEHIND, 0xff);
}

/* Objects and pages that are free are reached, too. */
static void overflow_behind_in_a_used_heap_reaches_no_metadata(struct kunit *test)
{
	attack_all_kinds(test, 1, 32, 2, BEHIND);
	attack_all_kinds(test, 1, 32, 97, BEHIND);
}

static void overflow_before_in_a_full_heap_reaches_no_metadata(struct kunit *test)
{
	attack_all_kinds(test, 1, 32, 1, BEFORE);
	attack_one(test, 1, 256, ALL_KINDS, 1, BEFORE, 0xff);
}

static void overflow_before_in_a_used_heap_reaches_no_metadata(struct kunit *test)
{
	attack_all_kinds(test, 1, 32, 2, BEFORE);
	attack_all_kinds(test, 1, 32, 97, BEFORE);
}

/* Each section has a first and a last page. */
static void overflow_in_any_section_reaches_no_metadata(struct kunit *test)
{
	attack_all_kinds(test, MOST_REGIONS, 16, 1, BEHIND);
	attack_all_kinds(test, MOST_REGIONS, 16, 1, BEFORE);
}

/* A full heap, a free object: the same object must come back, and no other. */
static void overflow_behind_the_last_object_of_a_slab(struct kunit *test)
{
	struct arena *a = new_arena(test, 1, 256);
	void *freed;

	fill(a, 1);
	freed = a->ptrs[0];
	overflow(a, BEHIND, 0xff);
	give(a, 0);
	KUNIT_EXPECT_TRUE(test, take(a, 16));
	KUNIT_EXPECT_PTR_EQ(test, a->ptrs[a->nr - 1], freed);
	KUNIT_EXPECT_FALSE(test, take(a, 16));
	KUNIT_EXPECT_EQ(test, a->twice, 0);
	give_all(a);
	end_arena(test, a);
}

/* Memory on either side of 4 GiB, as one region: there two sections meet. */
static void overflow_on_either_side_of_4g_reaches_no_metadata(struct kunit *test)
{
	unsigned long nr = 16, pfn = PHYS_PFN(SZ_4G) - nr;
	struct arena *a;

	if (!page_is_ram(pfn + nr - 1) || !page_is_ram(pfn + nr))
		kunit_skip(test, "there is no memory on both sides of 4 GiB");
	if (bsa_take_range(pfn, 2 * nr))
		kunit_skip(test, "somebody has the memory on both sides of 4 GiB");
	a = new_arena(test, 0, 2 * nr);
	adopt_region(test, a, __va(PFN_PHYS(pfn)), 2 * nr * PAGE_SIZE);
	fill(a, ALL_KINDS);
	overflow(a, BEHIND, 0xff);
	overflow(a, BEFORE, 0xff);
	use_again(test, a, ALL_KINDS, a->nr, "on both sides of 4 GiB");
	end_arena(test, a);
}

static struct kunit_case attack_overflow_cases[] = {
	KUNIT_CASE(overflow_behind_the_last_object_of_a_slab),
	KUNIT_CASE(overflow_behind_in_a_full_heap_reaches_no_metadata),
	KUNIT_CASE(overflow_behind_in_a_used_heap_reaches_no_metadata),
	KUNIT_CASE(overflow_before_in_a_full_heap_reaches_no_metadata),
	KUNIT_CASE(overflow_before_in_a_used_heap_reaches_no_metadata),
	KUNIT_CASE(overflow_in_any_section_reaches_no_metadata),
	KUNIT_CASE(overflow_on_either_side_of_4g_reaches_no_metadata),
	{}
};

struct kunit_suite bsa_attack_overflow_suite = {
	.name = "bsa_attack_overflow",
	.init = bsa_test_init,
	.exit = bsa_test_exit,
	.test_cases = attack_overflow_cases,
};
