// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of slab.c: the slabs of one owner, on a buddy of their own
 */
#include "test_util.h"

#include <linux/bitmap.h>
#include <linux/log2.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include <linux/sizes.h>

#define OWNER	1

/* A set of slabs, and the pages that it gets them from. */
struct rig {
	struct bsa_buddy *buddy;
	struct bsa_slabs slabs;
};

static struct rig *new_rig(struct kunit *test, unsigned long nr_pages)
{
	struct rig *rig = kunit_kzalloc(test, sizeof(*rig), GFP_KERNEL);
	struct bsa_section_info section;

	KUNIT_ASSERT_NOT_NULL(test, rig);
	rig->buddy = bsa_test_buddy(test);
	bsa_test_add_section(test, rig->buddy, nr_pages, &section);
	bsa_slabs_init(&rig->slabs, OWNER, rig->buddy);
	return rig;
}

/* A slab more for a class. */
static struct bsa_page *add_slab(struct kunit *test, struct rig *rig,
				 const struct bsa_slab_need *need)
{
	struct bsa_page_request req = { .order = ilog2(need->pages) };
	struct bsa_page *page = bsa_buddy_alloc(rig->buddy, &req);

	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_ASSERT_EQ(test, bsa_slabs_add(&rig->slabs, need->class, page), 0);
	return page;
}

/* Allocate from the slabs that are there. */
static void *try_alloc(struct rig *rig, size_t size)
{
	struct bsa_slab_need need;

	return bsa_slabs_alloc(&rig->slabs, size, &need);
}

/* Allocate, from a new slab if need be. */
static void *get(struct kunit *test, struct rig *rig, size_t size)
{
	struct bsa_slab_need need;
	void *obj = bsa_slabs_alloc(&rig->slabs, size, &need);

	if (!obj) {
		add_slab(test, rig, &need);
		obj = bsa_slabs_alloc(&rig->slabs, size, &need);
	}
	KUNIT_ASSERT_NOT_NULL(test, obj);
	return obj;
}

/* Free what is live; return true if that gave a slab back. */
static bool put(struct kunit *test, struct rig *rig, void *obj)
{
	struct bsa_page *release;

	KUNIT_ASSERT_EQ(test, bsa_slabs_free(&rig->slabs, obj, &release),
			BSA_FREE_OK);
	if (release) {
		bsa_slab_unmake(rig->buddy, release);
		bsa_buddy_free(rig->buddy, release);
	}
	return release;
}

/* Allocate a slab's worth of objects; they all come from one slab. */
static unsigned int fill_slab(struct kunit *test, struct rig *rig, size_t size,
			      void **objs)
{
	struct bsa_page *slab;
	unsigned int i, nr;

	objs[0] = get(test, rig, size);
	slab = bsa_page_of(objs[0]);
	nr = bsa_slab_capacity(slab);
	for (i = 1; i < nr; i++) {
		objs[i] = try_alloc(rig, size);
		KUNIT_ASSERT_NOT_NULL(test, objs[i]);
		KUNIT_ASSERT_PTR_EQ(test, bsa_page_of(objs[i]), slab);
	}
	return nr;
}

static unsigned int bit_of(const struct bsa_page *slab, const void *obj)
{
	return ((unsigned long)obj & slab->mask) >> slab->shift;
}

/* Ported: the behaviour that the module was started from. */

static void slab_basic(struct kunit *test)
{
	struct rig *rig = new_rig(test, 64);
	struct bsa_slab_need need;
	void *obj;

	obj = bsa_slabs_alloc(&rig->slabs, 64, &need);
	KUNIT_ASSERT_NULL(test, obj);
	add_slab(test, rig, &need);

	obj = bsa_slabs_alloc(&rig->slabs, 64, &need);
	KUNIT_ASSERT_NOT_NULL(test, obj);
	put(test, rig, obj);
}

static void slab_many_objects(struct kunit *test)
{
	struct rig *rig = new_rig(test, 64);
	unsigned int i, nr = bsa_test_capacity(32) + 72;
	void **objs = bsa_test_array(test, nr);

	for (i = 0; i < nr; i++) {
		objs[i] = get(test, rig, 32);
		memset(objs[i], i, 32);
	}
	for (i = 0; i < nr; i++) {
		KUNIT_EXPECT_TRUE(test, bsa_test_all_bytes(objs[i], i, 32));
		put(test, rig, objs[i]);
	}
}

static void slab_all_size_classes(struct kunit *test)
{
	struct rig *rig = new_rig(test, 64);
	void *objs[BSA_NR_CLASSES];
	unsigned int class;
	size_t size;

	for (class = 0; class < BSA_NR_CLASSES; class++) {
		size = bsa_class_size(class);
		objs[class] = get(test, rig, size);
		KUNIT_EXPECT_TRUE(test, bsa_test_is_aligned(objs[class], size));
		KUNIT_EXPECT_EQ(test, bsa_page_of(objs[class])->class,
				class);
	}
	KUNIT_EXPECT_EQ(test, class, 9);
	while (class--)
		put(test, rig, objs[class]);
}

static void slab_reuses_freed_objects_same_size_class(struct kunit *test)
{
	struct rig *rig = new_rig(test, 64);
	unsigned int i, nr = bsa_test_capacity(64);
	unsigned long *freed = bsa_test_bitmap(test, nr);
	unsigned long *reused = bsa_test_bitmap(test, nr);
	void **objs = bsa_test_array(test, nr), *obj;
	struct bsa_page *slab;

	KUNIT_ASSERT_EQ(test, fill_slab(test, rig, 64, objs), nr);
	slab = bsa_page_of(objs[0]);
	KUNIT_EXPECT_NULL(test, try_alloc(rig, 64));

	for (i = 0; i < nr; i += 2) {
		__set_bit(bit_of(slab, objs[i]), freed);
		KUNIT_EXPECT_FALSE(test, put(test, rig, objs[i]));
	}
	for (i = 0; i < nr; i += 2) {
		obj = try_alloc(rig, 64);
		KUNIT_ASSERT_NOT_NULL(test, obj);
		KUNIT_EXPECT_PTR_EQ(test, bsa_page_of(obj), slab);
		__set_bit(bit_of(slab, obj), reused);
	}
	KUNIT_EXPECT_TRUE(test, bitmap_equal(freed, reused, nr));
	KUNIT_EXPECT_NULL(test, try_alloc(rig, 64));
	for (i = 0; i < nr; i++)
		put(test, rig, objs[i]);
}

/* Classes. */

static void slab_class_is_the_smallest_that_holds_the_size(struct kunit *test)
{
	unsigned int class, other;
	size_t size;

	for (size = 1; size <= BSA_MAX_OBJECT; size++) {
		class = bsa_size_class(size);
		KUNIT_ASSERT_LT(test, class, BSA_ALL_CLASSES);
		KUNIT_ASSERT_GE(test, bsa_class_size(class), size);
		for (other = 0; other < BSA_ALL_CLASSES; other++)
			if (bsa_class_size(other) >= size)
				KUNIT_ASSERT_LE(test, bsa_class_size(class),
						bsa_class_size(other));
	}
	/* The nine powers of two come first. */
	for (class = 0; class < BSA_NR_CLASSES; class++)
		KUNIT_EXPECT_EQ(test, bsa_class_size(class), 8UL << class);
}

/* Bytes of a slab of each of the nine, where a page is no more. */
static const u32 slab_bytes[] = {
	SZ_4K, SZ_4K, SZ_4K, SZ_4K, SZ_8K, SZ_16K, SZ_32K, SZ_32K, SZ_32K
};

static void slab_need_tells_class_and_pages(struct kunit *test)
{
	struct rig *rig = new_rig(test, 64);
	struct bsa_slab_need need;
	unsigned int class;

	for (class = 0; class < BSA_NR_CLASSES; class++) {
		memset(&need, 0xff, sizeof(need));
		KUNIT_EXPECT_NULL(test, bsa_slabs_alloc(&rig->slabs, 8 << class,
							&need));
		KUNIT_EXPECT_EQ(test, need.class, class);
		KUNIT_EXPECT_EQ(test, need.pages, PFN_UP(slab_bytes[class]));
	}
	KUNIT_EXPECT_EQ(test, rig->buddy->free_pages, 64);
}

static void slab_objects_fill_their_pages(struct kunit *test)
{
	struct rig *rig = new_rig(test, 64);
	void **objs = bsa_test_array(test, BSA_MAX_OBJECTS);
	unsigned long *seen = bsa_test_bitmap(test, BSA_MAX_OBJECTS);
	unsigned int class, i, nr;
	struct bsa_page *slab;
	unsigned long base;

	/*
	 * Every object of a slab once, in the slab's pages, and no other. Of the
	 * smallest ones there are as many as the bitmaps have room for.
	 */
	for (class = 0; class < BSA_NR_CLASSES; class++) {
		nr = fill_slab(test, rig, 8 << class, objs);
		KUNIT_ASSERT_EQ(test, nr,
				min_t(size_t, BSA_MAX_OBJECTS,
				      PAGE_ALIGN(slab_bytes[class]) / (8 << class)));
		KUNIT_EXPECT_NULL(test, try_alloc(rig, 8 << class));

		slab = bsa_page_of(objs[0]);
		base = (unsigned long)bsa_page_address(rig->buddy, slab);
		bitmap_zero(seen, BSA_MAX_OBJECTS);
		for (i = 0; i < nr; i++) {
			KUNIT_ASSERT_GE(test, (unsigned long)objs[i], base);
			KUNIT_ASSERT_TRUE(test, bsa_test_is_aligned(objs[i],
								    8 << class));
			__set_bit(((unsigned long)objs[i] - base) / (8 << class),
				  seen);
		}
		KUNIT_EXPECT_EQ(test, bitmap_weight(seen, BSA_MAX_OBJECTS), nr);
		KUNIT_EXPECT_EQ(test, bitmap_weight(seen, nr), nr);
	}
}

static void slab_objects_of_three_units_lie_side_by_side(struct kunit *test)
{
	struct rig *rig = new_rig(test, 64);
	void **objs = bsa_test_array(test, BSA_MAX_OBJECTS);
	struct bsa_page *slab, *release;
	unsigned int class, i, nr;
	size_t size, offset;

	for (class = BSA_NR_CLASSES; class < BSA_ALL_CLASSES; class++) {
		size = bsa_class_size(class);
		KUNIT_ASSERT_EQ(test, size, 384UL << (class - BSA_NR_CLASSES));
		nr = fill_slab(test, rig, size, objs);
		KUNIT_EXPECT_NULL(test, try_alloc(rig, size));
		slab = bsa_page_of(objs[0]);
		KUNIT_ASSERT_EQ(test, nr, (slab->mask + 1) / size);
		for (i = 0; i < nr; i++)
			KUNIT_EXPECT_PTR_EQ(test, objs[i],
					    bsa_page_address(rig->buddy, slab) +
					    i * size);

		/* Of every other address of the slab the free is refused. */
		for (offset = 0; offset <= slab->mask; offset++) {
			if (offset % size == 0 && offset / size < nr)
				continue;
			KUNIT_ASSERT_EQ(test, bsa_slabs_free(&rig->slabs,
							     objs[0] + offset,
							     &release),
					BSA_FREE_INTERIOR);
		}
		for (i = 0; i < nr; i++)
			put(test, rig, objs[i]);
		for (i = 0; i < nr; i++)
			KUNIT_EXPECT_EQ(test, bsa_slabs_free(&rig->slabs,
							     objs[i],
							     &release),
					BSA_FREE_DOUBLE);
		KUNIT_EXPECT_EQ(test, bsa_slab_nr_free(slab) +
				      bsa_slab_nr_remote(slab), nr);
	}
}

/* Also of slabs that only larger pages have, and of a page where no block was to be had. */
static void slab_bits_stand_for_objects_that_fit(struct kunit *test)
{
	struct bsa_page *slab = kunit_kzalloc(test, sizeof(*slab), GFP_KERNEL);
	unsigned int class, units, bit;
	bool starts, fits;

	KUNIT_ASSERT_NOT_NULL(test, slab);
	for (class = 0; class < BSA_ALL_CLASSES; class++) {
		units = bsa_class_size(class) / bsa_class_unit(class);
		slab->class = class;
		for (slab->bits = 2; slab->bits < 4096; slab->bits *= 2) {
			for (bit = 0; bit < round_up(slab->bits, BITS_PER_LONG); bit++) {
				starts = bsa_slab_objects(slab, bit / BITS_PER_LONG) &
					 BIT(bit % BITS_PER_LONG);
				fits = bit % units == 0 && bit + units <= slab->bits;
				KUNIT_ASSERT_EQ_MSG(test, starts, fits, "class %u, bit %u of %u",
						    class, bit, slab->bits);
			}
		}
	}
}

/* States and lists. */

static void slab_that_was_full_serves_again_after_a_free(struct kunit *test)
{
	struct rig *rig = new_rig(test, 64);
	void **objs = bsa_test_array(test, BSA_MAX_OBJECTS);
	unsigned int class, nr;
	void *obj;

	/* No second slab is asked for. */
	for (class = 0; class < BSA_NR_CLASSES; class++) {
		nr = fill_slab(test, rig, 8 << class, objs);
		KUNIT_EXPECT_NULL(test, try_alloc(rig, 8 << class));
		KUNIT_EXPECT_FALSE(test, put(test, rig, objs[nr / 2]));
		obj = try_alloc(rig, 8 << class);
		KUNIT_EXPECT_PTR_EQ(test, obj, objs[nr / 2]);
		KUNIT_EXPECT_NULL(test, try_alloc(rig, 8 << class));
	}
}

static void slab_states_follow_the_objects(struct kunit *test)
{
	struct rig *rig = new_rig(test, 64);
	void **first = bsa_test_array(test, BSA_MAX_OBJECTS);
	void **second = bsa_test_array(test, BSA_MAX_OBJECTS);
	struct bsa_shelf *shelf;
	struct bsa_page *slab[2];
	unsigned int i, nr;

	/* Two full slabs; the second was filled last. */
	shelf = &rig->slabs.shelf[bsa_size_class(64)];
	nr = fill_slab(test, rig, 64, first);
	fill_slab(test, rig, 64, second);
	KUNIT_EXPECT_NULL(test, try_alloc(rig, 64));
	slab[0] = bsa_page_of(first[0]);
	slab[1] = bsa_page_of(second[0]);
	KUNIT_ASSERT_PTR_NE(test, slab[0], slab[1]);
	KUNIT_EXPECT_EQ(test, slab[0]->state, BSA_PAGE_SLAB_FULL);
	KUNIT_EXPECT_EQ(test, slab[1]->state, BSA_PAGE_SLAB_FULL);

	put(test, rig, first[0]);
	KUNIT_EXPECT_EQ(test, slab[0]->state, BSA_PAGE_SLAB_PARTIAL);
	KUNIT_EXPECT_EQ(test, slab[1]->state, BSA_PAGE_SLAB_FULL);
	KUNIT_EXPECT_EQ(test, shelf->nr_partial, 1);
	for (i = 1; i < nr; i++)
		KUNIT_EXPECT_FALSE(test, put(test, rig, first[i]));
	KUNIT_EXPECT_EQ(test, slab[0]->state, BSA_PAGE_SLAB_EMPTY);
	KUNIT_EXPECT_EQ(test, shelf->nr_partial, 0);
	KUNIT_EXPECT_PTR_EQ(test, shelf->empty, slab[0]);

	/* The next allocation takes the empty one. */
	first[0] = try_alloc(rig, 64);
	KUNIT_ASSERT_NOT_NULL(test, first[0]);
	KUNIT_EXPECT_PTR_EQ(test, bsa_page_of(first[0]), slab[0]);
	KUNIT_EXPECT_EQ(test, slab[0]->state, BSA_PAGE_SLAB_ACTIVE);
	KUNIT_EXPECT_NULL(test, shelf->empty);
}

static void slab_partial_is_used_before_empty(struct kunit *test)
{
	struct rig *rig = new_rig(test, 64);
	unsigned int i, nr = bsa_test_capacity(64);
	void **objs = bsa_test_array(test, 3 * nr);
	void *obj;

	/* Of three full slabs, the first becomes empty, the second partial. */
	for (i = 0; i < 3; i++)
		fill_slab(test, rig, 64, objs + nr * i);
	KUNIT_EXPECT_NULL(test, try_alloc(rig, 64));
	for (i = 0; i < nr; i++)
		KUNIT_EXPECT_FALSE(test, put(test, rig, objs[i]));
	put(test, rig, objs[nr + 5]);

	obj = try_alloc(rig, 64);
	KUNIT_EXPECT_PTR_EQ(test, obj, objs[nr + 5]);
	obj = try_alloc(rig, 64);
	KUNIT_ASSERT_NOT_NULL(test, obj);
	KUNIT_EXPECT_PTR_EQ(test, bsa_page_of(obj), bsa_page_of(objs[0]));
}

static void slab_at_most_one_empty_slab_is_kept(struct kunit *test)
{
	struct rig *rig = new_rig(test, 128);
	void **objs = bsa_test_array(test, 4 * BSA_MAX_OBJECTS);
	unsigned int class, i, nr, released, kept = 0;
	struct bsa_shelf *shelf;

	/* Four full slabs; all objects freed. */
	for (class = 0; class < BSA_NR_CLASSES; class++) {
		shelf = &rig->slabs.shelf[class];
		released = 0;
		nr = 0;
		for (i = 0; i < 4; i++)
			nr += fill_slab(test, rig, 8 << class, objs + nr);
		KUNIT_EXPECT_NULL(test, try_alloc(rig, 8 << class));
		for (i = 0; i < nr; i++)
			released += put(test, rig, objs[i]);
		KUNIT_EXPECT_EQ(test, released, 3U);
		KUNIT_EXPECT_NOT_NULL(test, shelf->empty);
		KUNIT_EXPECT_EQ(test, shelf->nr_partial, 0U);
		kept += PFN_UP(slab_bytes[class]);
	}
	/* And a block of bitmaps. */
	KUNIT_EXPECT_EQ(test, rig->buddy->free_pages,
			128 - kept - bsa_test_bitmap_pages(8, 1));
}

static void slab_released_pages_are_ordinary_pages_again(struct kunit *test)
{
	unsigned int i, nr = bsa_test_capacity(2048);
	unsigned int pages = 64 - bsa_test_slab_pages(2048);
	void **objs = bsa_test_array(test, 2 * nr), *block;
	struct rig *rig;

	/* Slabs of several pages: the page map names the first for all of them. */
	rig = new_rig(test, 64);
	fill_slab(test, rig, 2048, objs);
	fill_slab(test, rig, 2048, objs + nr);
	KUNIT_EXPECT_NULL(test, try_alloc(rig, 2048));
	for (i = 0; i < nr; i++)
		KUNIT_EXPECT_EQ(test, bsa_slab_capacity(bsa_page_of(objs[nr + i])), nr);
	for (i = 0; i < 2 * nr - 1; i++)
		KUNIT_EXPECT_FALSE(test, put(test, rig, objs[i]));
	KUNIT_EXPECT_TRUE(test, put(test, rig, objs[i]));
	KUNIT_EXPECT_EQ(test, rig->buddy->free_pages, pages);

	/* Each page can be had alone, freed alone, and refused twice. */
	for (i = 0; i < pages; i++) {
		block = bsa_buddy_alloc_pages(rig->buddy, 1, PAGE_SIZE, false);
		KUNIT_ASSERT_NOT_NULL(test, block);
		KUNIT_EXPECT_EQ(test, bsa_page_of(block)->state,
				BSA_PAGE_ALLOCATED);
		KUNIT_EXPECT_PTR_EQ(test, bsa_page_address(rig->buddy,
							   bsa_page_of(block)),
				    block);
	}
	KUNIT_EXPECT_EQ(test, rig->buddy->free_pages, 0);
}

static void slab_counts_allocations_and_frees(struct kunit *test)
{
	struct rig *rig = new_rig(test, 64);
	unsigned int class = bsa_size_class(256);
	const unsigned long *frees = &rig->slabs.class[class].frees;
	int i, nr = 2 * bsa_test_capacity(256) + 22;
	void **objs = bsa_test_array(test, nr);

	/* Over three slabs. */
	for (i = 0; i < nr; i++) {
		objs[i] = get(test, rig, 256);
		KUNIT_EXPECT_EQ(test, rig->slabs.class[class].allocs,
				i + 1);
		KUNIT_EXPECT_EQ(test, *frees, 0);
	}
	for (i = 0; i < nr; i++) {
		put(test, rig, objs[i]);
		KUNIT_EXPECT_EQ(test, rig->slabs.class[class].allocs, nr);
		KUNIT_EXPECT_EQ(test, *frees, i + 1);
	}
	KUNIT_EXPECT_EQ(test, rig->slabs.class[class].refills, 3);
}

/* Bitmaps. */

static void slab_without_memory_for_its_bitmap_has_64_objects(struct kunit *test)
{
	struct bsa_page_request req = { .order = 0 };
	struct rig *rig = new_rig(test, 8);
	struct bsa_page *page = NULL;
	struct bsa_slab_need need;
	unsigned int i;
	void *obj;

	/* The last page is to be a slab: there is none for its bits. */
	KUNIT_EXPECT_NULL(test, bsa_slabs_alloc(&rig->slabs, 8, &need));
	for (i = 0; i < 8; i++)
		page = bsa_buddy_alloc(rig->buddy, &req);
	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_EXPECT_EQ(test, bsa_slabs_add(&rig->slabs, need.class, page), 0);
	for (i = 0; i < 64; i++) {
		obj = try_alloc(rig, 8);
		KUNIT_ASSERT_NOT_NULL(test, obj);
		KUNIT_EXPECT_LT(test, offset_in_page(obj), 64 * 8);
	}
	KUNIT_EXPECT_NULL(test, try_alloc(rig, 8));
	/* What lies behind them is no object. */
	KUNIT_EXPECT_TRUE(test, bsa_slab_is_interior(page,
						     bsa_slab_index(page, obj + 8)));
}

static void slab_bitmap_pages_come_back(struct kunit *test)
{
	struct rig *rig = new_rig(test, 128);
	unsigned int i, nr = 96 * bsa_test_capacity(16);
	unsigned long pages = bsa_test_bitmap_pages(16, 96);
	void **objs = bsa_test_array(test, nr);

	/* 96 slabs of many objects: their bitmaps take two blocks or more. */
	KUNIT_ASSERT_GE(test, pages, 2 << BSA_BITMAP_ORDER);
	for (i = 0; i < nr; i++)
		objs[i] = get(test, rig, 16);
	KUNIT_EXPECT_EQ(test, rig->buddy->free_pages, 128 - 96 - pages);
	for (i = 0; i < nr; i++)
		put(test, rig, objs[i]);
	/* At most two slabs stay, the active and an empty one. */
	bsa_bitmap_trim(rig->buddy);
	KUNIT_EXPECT_GE(test, rig->buddy->free_pages, 128 - 2 - 2 * 4);
	KUNIT_EXPECT_LE(test, rig->buddy->nr_bitmap_blocks, 2U);
}

static void slab_bitmaps_are_not_in_reach_of_objects(struct kunit *test)
{
	struct rig *rig = new_rig(test, 128);
	void **objs = bsa_test_array(test, 3 * BSA_MAX_OBJECTS);
	unsigned int class, i, nr;

	/* Every byte of every object is overwritten; nothing is lost. */
	for (class = 0; class < BSA_NR_CLASSES; class++) {
		nr = fill_slab(test, rig, 8 << class, objs);
		nr += fill_slab(test, rig, 8 << class, objs + nr);
		for (i = 0; i < nr; i++)
			memset(objs[i], 0xff, 8 << class);
		for (i = 0; i < nr; i++)
			put(test, rig, objs[i]);
		for (i = 0; i < nr; i++) {
			objs[i] = get(test, rig, 8 << class);
			memset(objs[i], 0, 8 << class);
		}
		for (i = 0; i < nr; i++)
			put(test, rig, objs[i]);
	}
}

/* Frees that are refused. */

static void slab_refuses_bad_frees(struct kunit *test)
{
	struct rig *rig = new_rig(test, 64);
	struct rig *other = new_rig(test, 64);
	struct bsa_page *release;
	void *obj, *block;

	other->slabs.number = OWNER + 4;
	obj = get(test, rig, 64);
	block = bsa_buddy_alloc_pages(rig->buddy, 2, PAGE_SIZE, false);
	KUNIT_ASSERT_NOT_NULL(test, block);

	KUNIT_EXPECT_EQ(test, bsa_slabs_free(&rig->slabs, &release, &release),
			BSA_FREE_FOREIGN);
	KUNIT_EXPECT_EQ(test, bsa_slabs_free(&rig->slabs, (void *)-1UL,
					     &release), BSA_FREE_FOREIGN);
	KUNIT_EXPECT_EQ(test, bsa_slabs_free(&rig->slabs, obj + 1, &release),
			BSA_FREE_INTERIOR);
	KUNIT_EXPECT_EQ(test, bsa_slabs_free(&rig->slabs, obj + 63, &release),
			BSA_FREE_INTERIOR);
	/* The neighbour, which nobody has allocated. */
	KUNIT_EXPECT_EQ(test, bsa_slabs_free(&rig->slabs, obj + 64, &release),
			BSA_FREE_DOUBLE);
	KUNIT_EXPECT_EQ(test, bsa_slabs_free(&other->slabs, obj, &release),
			BSA_FREE_OTHER_HEAP);
	KUNIT_EXPECT_NE(test, bsa_slabs_free(&rig->slabs, block, &release),
			BSA_FREE_OK);
	KUNIT_EXPECT_EQ(test, bsa_buddy_free_pages(rig->buddy, obj),
			BSA_FREE_OBJECT);
	KUNIT_EXPECT_EQ(test, rig->slabs.class[bsa_size_class(64)].frees, 0);

	put(test, rig, obj);
	KUNIT_EXPECT_EQ(test, bsa_slabs_free(&rig->slabs, obj, &release),
			BSA_FREE_DOUBLE);
	KUNIT_EXPECT_NULL(test, release);
	KUNIT_EXPECT_EQ(test, rig->buddy->free_pages, 64 - 1 - 2 -
			bsa_test_bitmap_pages(64, 1));
	put(test, rig, get(test, rig, 64));
}

static void slab_object_freed_twice_at_once_is_handed_out_last(struct kunit *test)
{
	struct rig *rig = new_rig(test, 64);
	struct bsa_page *slab;
	unsigned int i;
	void *obj;

	/* Its owner and another CPU have freed it at the same time. */
	obj = get(test, rig, 64);
	slab = bsa_page_of(obj);
	put(test, rig, obj);
	set_bit(bit_of(slab, obj), slab->free + BSA_REMOTE);
	for (i = 1; i < BITS_PER_LONG; i++)
		KUNIT_EXPECT_PTR_NE(test, try_alloc(rig, 64), obj);
	KUNIT_EXPECT_EQ(test, rig->slabs.conflicts, 0);

	/* Its word has no other: that is found out, and it is one object again. */
	KUNIT_EXPECT_PTR_EQ(test, try_alloc(rig, 64), obj);
	KUNIT_EXPECT_EQ(test, rig->slabs.conflicts, 1);
	while (i++ < bsa_slab_capacity(slab))
		KUNIT_EXPECT_NOT_NULL(test, try_alloc(rig, 64));
	KUNIT_EXPECT_NULL(test, try_alloc(rig, 64));
}

static void slab_refuses_double_free_of_every_object(struct kunit *test)
{
	struct rig *rig = new_rig(test, 64);
	void **objs = bsa_test_array(test, BSA_MAX_OBJECTS);
	unsigned int class, i, nr, refused;
	struct bsa_page *release;

	/* Each bit of each bitmap, right after its free. */
	for (class = 0; class < BSA_NR_CLASSES; class++) {
		refused = 0;
		nr = fill_slab(test, rig, 8 << class, objs);
		for (i = 0; i < nr; i++) {
			put(test, rig, objs[i]);
			if (bsa_slabs_free(&rig->slabs, objs[i], &release) ==
			    BSA_FREE_DOUBLE)
				refused++;
		}
		KUNIT_EXPECT_EQ(test, refused, nr);
	}
}

/* Random operations on all classes; what was written must still be there. */

struct random_run {
	struct rnd_state rnd;
	struct rig *rig;
	struct {
		u8 *ptr;
		u16 size;
		u8 byte;
	} obj[1024];
	unsigned int nr;
};

static void random_alloc(struct kunit *test, struct random_run *run)
{
	size_t size = prandom_u32_state(&run->rnd) % 2048 + 1;

	/* As many small ones as large ones. */
	size >>= prandom_u32_state(&run->rnd) % 8;
	size = max_t(size_t, size, 1);
	run->obj[run->nr].ptr = get(test, run->rig, size);
	run->obj[run->nr].size = size;
	run->obj[run->nr].byte = prandom_u32_state(&run->rnd);
	memset(run->obj[run->nr].ptr, run->obj[run->nr].byte, size);
	run->nr++;
}

static void random_free(struct kunit *test, struct random_run *run)
{
	unsigned int victim = prandom_u32_state(&run->rnd) % run->nr;

	KUNIT_ASSERT_TRUE(test, bsa_test_all_bytes(run->obj[victim].ptr,
						   run->obj[victim].byte,
						   run->obj[victim].size));
	put(test, run->rig, run->obj[victim].ptr);
	run->obj[victim] = run->obj[--run->nr];
}

static void slab_keeps_contents_in_random_use(struct kunit *test)
{
	struct random_run *run;
	u64 seed = get_random_u64();
	unsigned int i, most = 0;

	run = kunit_kzalloc(test, sizeof(*run), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, run);
	kunit_info(test, "seed %llu", seed);
	prandom_seed_state(&run->rnd, seed);
	run->rig = new_rig(test, 700);

	for (i = 0; i < 20000; i++) {
		/* The number of live objects drifts up and down. */
		if (!run->nr || (run->nr < ARRAY_SIZE(run->obj) &&
				 prandom_u32_state(&run->rnd) % 16 <
				 (i & 4096 ? 6 : 10)))
			random_alloc(test, run);
		else
			random_free(test, run);
	}
	while (run->nr)
		random_free(test, run);
	/* Kept at most: an active and an empty slab of each class, and bitmaps. */
	for (i = 0; i < BSA_ALL_CLASSES; i++) {
		KUNIT_EXPECT_EQ(test, run->rig->slabs.class[i].allocs,
				run->rig->slabs.class[i].frees);
		most += 2U << bsa_slab_order(i);
	}
	KUNIT_EXPECT_GE(test, run->rig->buddy->free_pages, 700 - most - 20);
}

static struct kunit_case bsa_slab_cases[] = {
	KUNIT_CASE(slab_basic),
	KUNIT_CASE(slab_many_objects),
	KUNIT_CASE(slab_all_size_classes),
	KUNIT_CASE(slab_reuses_freed_objects_same_size_class),

	KUNIT_CASE(slab_class_is_the_smallest_that_holds_the_size),
	KUNIT_CASE(slab_need_tells_class_and_pages),
	KUNIT_CASE(slab_objects_fill_their_pages),
	KUNIT_CASE(slab_objects_of_three_units_lie_side_by_side),
	KUNIT_CASE(slab_bits_stand_for_objects_that_fit),

	KUNIT_CASE(slab_that_was_full_serves_again_after_a_free),
	KUNIT_CASE(slab_states_follow_the_objects),
	KUNIT_CASE(slab_partial_is_used_before_empty),
	KUNIT_CASE(slab_at_most_one_empty_slab_is_kept),
	KUNIT_CASE(slab_released_pages_are_ordinary_pages_again),
	KUNIT_CASE(slab_counts_allocations_and_frees),

	KUNIT_CASE(slab_without_memory_for_its_bitmap_has_64_objects),
	KUNIT_CASE(slab_bitmap_pages_come_back),
	KUNIT_CASE(slab_bitmaps_are_not_in_reach_of_objects),

	KUNIT_CASE(slab_refuses_bad_frees),
	KUNIT_CASE(slab_object_freed_twice_at_once_is_handed_out_last),
	KUNIT_CASE(slab_refuses_double_free_of_every_object),

	KUNIT_CASE(slab_keeps_contents_in_random_use),
	{}
};

struct kunit_suite bsa_slab_suite = {
	.name = "bsa_slab",
	.init = bsa_test_init,
	.exit = bsa_test_exit,
	.test_cases = bsa_slab_cases,
};
