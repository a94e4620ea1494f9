// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of debug= on heaps of their own, and of the checker: what is damaged on
 * purpose must be found, and be all right again when it is repaired
 */
#include "test_util.h"

#include <bsa/compat.h>
#include <bsa/debug.h>
#include <bsa/tools.h>
#include <bsa/validate.h>
#include <linux/err.h>
#include <linux/hrtimer.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/sizes.h>

/* Everything but what makes the order of slots another one each time. */
#define PLAIN	(BSA_DEBUG_ZONES | BSA_DEBUG_POISON | BSA_DEBUG_OWNER)

static struct bsa_heap *watched(struct kunit *test, unsigned long nr_pages,
				unsigned long flags)
{
	size_t size = nr_pages * PAGE_SIZE;
	void *start = bsa_test_memory(test, size, GFP_KERNEL);
	char name[BSA_NAME_LEN];
	struct bsa_heap *heap;

	bsa_test_name(name);
	heap = bsa_heap_create_debug(name, 0, NUMA_NO_NODE, flags);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	bsa_test_adopt_heap(test, heap);
	KUNIT_ASSERT_EQ(test, bsa_heap_add_region(heap, start, size), 0);
	return heap;
}

static void *get(struct kunit *test, struct bsa_heap *heap, size_t size)
{
	void *ptr = bsa_heap_alloc(heap, size, BSA_TEST_GFP);

	KUNIT_ASSERT_NOT_NULL(test, ptr);
	return ptr;
}

/* Functions whose names a report must have. */

static noinline void *debug_allocates(struct kunit *test, struct bsa_heap *heap,
				      size_t size)
{
	void *ptr = get(test, heap, size);

	OPTIMIZER_HIDE_VAR(ptr);
	return ptr;
}

static noinline void debug_frees(struct bsa_heap *heap, void *ptr)
{
	bsa_heap_free(heap, ptr);
	barrier();
}

/* Not just the same code again, or the compiler makes one function of both. */
static noinline void debug_frees_again(struct bsa_heap *heap, void *ptr)
{
	bsa_heap_free_bulk(heap, 1, &ptr);
	barrier();
}

static long found(struct bsa_heap *heap, enum bsa_finding finding)
{
	return atomic_long_read(&heap->debug->found[finding]);
}

static long found_any(struct bsa_heap *heap)
{
	long sum = 0;
	int i;

	for (i = 0; i < BSA_NR_FINDINGS; i++)
		sum += found(heap, i);
	return sum;
}

static void expect_text(struct kunit *test, struct bsa_heap *heap,
			const char *what)
{
	KUNIT_EXPECT_TRUE_MSG(test, strstr(heap->debug->text, what),
			      "'%s' is not in: %s", what, heap->debug->text);
}

/*
 * Write bytes that are neither a red zone nor poison. Some are nobody's, but KASAN
 * is not who is to find it.
 */
static void scribble(u8 *at, size_t nr)
{
	OPTIMIZER_HIDE_VAR(at);
	bsa_fill(at, 0x41, nr);
}

static const u16 sizes[] = {
	1, 8, 13, 16, 56, 57, 64, 100, 256, 500, 1024, 1500, 2000, 2040, 2041,
	2048, 3000, 5000, 12288,
};

/*
 * Red zones
 */

static void debug_finds_writes_behind(struct kunit *test)
{
	struct bsa_heap *heap = watched(test, 256, PLAIN);
	unsigned int i, by, n = 0;
	u8 *ptr;

	/* Small and large objects, by 1 and by 8 bytes; found by the free. */
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (by = 1; by <= 8; by += 7) {
			ptr = debug_allocates(test, heap, sizes[i]);
			scribble(ptr + sizes[i], by);
			KUNIT_EXPECT_EQ(test, bsa_validate(heap, NULL, true), 1);
			bsa_heap_free(heap, ptr);
			KUNIT_EXPECT_EQ_MSG(test,
					    found(heap, BSA_FOUND_BEHIND), ++n,
					    "%u bytes", sizes[i]);
			expect_text(test, heap, "written behind its end");
			expect_text(test, heap, "debug_allocates");
			expect_text(test, heap, "41");
			KUNIT_EXPECT_EQ(test, bsa_validate(heap, NULL, true), 0);
		}
	}
	KUNIT_EXPECT_EQ(test, found_any(heap), n);
}

static void debug_finds_writes_before(struct kunit *test)
{
	struct bsa_heap *heap = watched(test, 256, PLAIN);
	unsigned int i, by, n = 0;
	u8 *ptr, *other;

	/* The first object of its slab, and one that has a neighbour. */
	for (i = 0; sizes[i] <= 2040; i++) {
		for (by = 1; by <= 8; by += 7) {
			ptr = debug_allocates(test, heap, sizes[i]);
			other = get(test, heap, sizes[i]);
			scribble(ptr - by, by);
			scribble(other - by, by);
			KUNIT_EXPECT_EQ(test, bsa_validate(heap, NULL, true), 2);
			bsa_heap_free(heap, other);
			n++;
			bsa_heap_free(heap, ptr);
			n++;
			KUNIT_EXPECT_EQ_MSG(test,
					    found(heap, BSA_FOUND_BEFORE), n,
					    "%u bytes", sizes[i]);
			expect_text(test, heap, "written before its start");
			expect_text(test, heap, "debug_allocates");
		}
	}
	KUNIT_EXPECT_EQ(test, found_any(heap), n);
	KUNIT_EXPECT_EQ(test, bsa_validate(heap, NULL, true), 0);
}

static void debug_finds_nothing_where_nothing_is(struct kunit *test)
{
	struct bsa_heap *heap = watched(test, 256, BSA_DEBUG_ALL);
	unsigned int i, j;
	void *ptr;

	/* All that was asked for may be written, several times. */
	for (j = 0; j < 20; j++) {
		for (i = 0; i < ARRAY_SIZE(sizes); i++) {
			ptr = get(test, heap, sizes[i]);
			KUNIT_EXPECT_EQ(test, bsa_heap_size(heap, ptr),
					sizes[i]);
			scribble(ptr, sizes[i]);
			bsa_heap_free(heap, ptr);
		}
	}
	KUNIT_EXPECT_EQ(test, bsa_validate(heap, NULL, true), 0);
	KUNIT_EXPECT_EQ(test, found_any(heap), 0);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).live_objects, 0);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).live_pages, 0);
}

static void debug_realloc_moves_the_red_zone(struct kunit *test)
{
	struct bsa_heap *heap = watched(test, 256, PLAIN);
	static const u16 from[] = { 100, 2000, 9000 };
	unsigned int i, n = 0;
	u8 *ptr, *moved;

	for (i = 0; i < ARRAY_SIZE(from); i++) {
		/* What becomes smaller stays, and ends earlier. */
		ptr = debug_allocates(test, heap, from[i]);
		moved = bsa_heap_realloc(heap, ptr, from[i] - 7, BSA_TEST_GFP);
		KUNIT_EXPECT_PTR_EQ(test, moved, ptr);
		KUNIT_EXPECT_EQ(test, bsa_heap_size(heap, ptr), from[i] - 7);
		KUNIT_EXPECT_EQ(test, found_any(heap), n);
		scribble(ptr + from[i] - 7, 1);
		bsa_heap_free(heap, ptr);
		KUNIT_EXPECT_EQ(test, found(heap, BSA_FOUND_BEHIND), ++n);

		/* What was written behind it until then is not forgotten. */
		ptr = debug_allocates(test, heap, from[i]);
		scribble(ptr + from[i], 1);
		moved = bsa_heap_realloc(heap, ptr, from[i] - 7, BSA_TEST_GFP);
		KUNIT_EXPECT_EQ(test, found(heap, BSA_FOUND_BEHIND), ++n);
		bsa_heap_free(heap, moved);

		/* What becomes larger moves, and the old one is free. */
		ptr = debug_allocates(test, heap, from[i]);
		moved = bsa_heap_realloc(heap, ptr, from[i] + 1, BSA_TEST_GFP);
		KUNIT_ASSERT_NOT_NULL(test, moved);
		KUNIT_EXPECT_PTR_NE(test, moved, ptr);
		KUNIT_EXPECT_EQ(test, bsa_heap_size(heap, ptr), 0);
		KUNIT_EXPECT_EQ(test, bsa_heap_size(heap, moved), from[i] + 1);
		bsa_heap_free(heap, moved);
		KUNIT_EXPECT_EQ(test, found_any(heap), n);
	}

	ptr = bsa_heap_calloc(heap, 3, 5, BSA_TEST_GFP);
	KUNIT_ASSERT_NOT_NULL(test, ptr);
	scribble(ptr + 15, 1);
	bsa_heap_free(heap, ptr);
	KUNIT_EXPECT_EQ(test, found(heap, BSA_FOUND_BEHIND), ++n);
	KUNIT_EXPECT_EQ(test, found_any(heap), n);
}

static void debug_keeps_alignments(struct kunit *test)
{
	struct bsa_heap *heap = watched(test, 256, BSA_DEBUG_ALL);
	size_t size, align;
	void *ptr, *two;

	for (size = 8; size <= SZ_16K; size *= 2) {
		ptr = get(test, heap, size);
		two = get(test, heap, size);
		KUNIT_EXPECT_TRUE(test, bsa_test_is_aligned(ptr, size));
		KUNIT_EXPECT_TRUE(test, bsa_test_is_aligned(two, size));
		bsa_heap_free(heap, ptr);
		bsa_heap_free(heap, two);
	}
	for (align = 16; align <= SZ_8K; align *= 2) {
		ptr = bsa_heap_alloc_aligned(heap, 24, align, BSA_TEST_GFP);
		KUNIT_ASSERT_NOT_NULL(test, ptr);
		KUNIT_EXPECT_TRUE(test, bsa_test_is_aligned(ptr, align));
		KUNIT_EXPECT_EQ(test, bsa_heap_size(heap, ptr), 24);
		scribble(ptr, 24);
		bsa_heap_free(heap, ptr);
	}
	KUNIT_EXPECT_EQ(test, found_any(heap), 0);
}

/*
 * Poison
 */

static void debug_finds_writes_after_free(struct kunit *test)
{
	struct bsa_heap *heap = watched(test, 256, PLAIN);
	void **ptrs = bsa_test_array(test, BSA_MAX_OBJECTS);
	unsigned int i, by, nr, n = 0;
	u8 *ptr;

	for (i = 0; sizes[i] <= 2040; i++) {
		for (by = 1; by <= 8; by += 7) {
			ptr = debug_allocates(test, heap, max(sizes[i], 8));
			debug_frees(heap, ptr);
			scribble(ptr, by);
			KUNIT_EXPECT_EQ(test, bsa_validate(heap, NULL, true), 1);
			/* Until it is handed out again. */
			for (nr = 0; nr < BSA_MAX_OBJECTS; ) {
				ptrs[nr] = get(test, heap, max(sizes[i], 8));
				if (ptrs[nr++] == ptr)
					break;
			}
			KUNIT_EXPECT_EQ(test, found(heap, BSA_FOUND_FREE), ++n);
			expect_text(test, heap, "written after it was freed");
			expect_text(test, heap, "debug_allocates");
			expect_text(test, heap, "debug_frees");
			expect_text(test, heap, "from offset 0 on: 41");
			KUNIT_EXPECT_EQ(test, bsa_validate(heap, NULL, true), 0);
			bsa_test_give_back(heap, nr, ptrs);
		}
	}
	KUNIT_EXPECT_EQ(test, found_any(heap), n);
}

static void debug_finds_writes_behind_what_is_free(struct kunit *test)
{
	struct bsa_heap *heap = watched(test, 256, PLAIN);
	u8 *ptr = debug_allocates(test, heap, 100), *other = get(test, heap, 100);

	/* In the middle of it, and in the red zone at its end. */
	bsa_heap_free(heap, ptr);
	bsa_heap_free(heap, other);
	scribble(ptr + 50, 1);
	scribble(other + 107, 1);
	KUNIT_EXPECT_EQ(test, bsa_validate(heap, NULL, true), 2);
	KUNIT_EXPECT_EQ(test, bsa_test_count_free_pages(test, heap),
			bsa_heap_nr_pages(heap));
	KUNIT_EXPECT_EQ(test, found(heap, BSA_FOUND_FREE), 1);
	KUNIT_EXPECT_EQ(test, found(heap, BSA_FOUND_BEHIND), 1);
	KUNIT_EXPECT_EQ(test, found_any(heap), 2);
	KUNIT_EXPECT_EQ(test, bsa_validate(heap, NULL, true), 0);
}

static void debug_finds_writes_to_freed_pages(struct kunit *test)
{
	struct bsa_heap *heap = watched(test, 256, PLAIN);
	struct bsa_stats stats = bsa_test_stats(heap);
	void **pages = bsa_test_array(test, stats.total_pages + 1);
	unsigned int by, nr, n = 0;
	u8 *ptr;

	for (by = 1; by <= 8; by += 7) {
		ptr = debug_allocates(test, heap, 4 * PAGE_SIZE);
		debug_frees(heap, ptr);
		scribble(ptr + 2 * PAGE_SIZE + 100, by);
		KUNIT_EXPECT_EQ(test, bsa_validate(heap, NULL, true), 1);
		nr = bsa_test_take_pages(heap, pages);
		KUNIT_EXPECT_EQ(test, nr, stats.total_pages);
		KUNIT_EXPECT_EQ(test, found(heap, BSA_FOUND_FREE), ++n);
		expect_text(test, heap, "debug_frees");
		expect_text(test, heap, "from offset 100 on: 41");
		bsa_test_give_back(heap, nr, pages);
	}
	KUNIT_EXPECT_EQ(test, found_any(heap), n);
}

/* All pages were a caller's; some become the bitmaps of slabs, where a page is large. */
static void debug_finds_nothing_in_pages_of_bitmaps(struct kunit *test)
{
	struct bsa_heap *heap = watched(test, 64, PLAIN);
	unsigned long pages = bsa_test_count_free_pages(test, heap);
	void *ptr = get(test, heap, 8);

	KUNIT_EXPECT_EQ(test, bsa_validate(heap, NULL, true), 0);
	bsa_heap_free(heap, ptr);
	KUNIT_EXPECT_EQ(test, bsa_test_count_free_pages(test, heap), pages);
	KUNIT_EXPECT_EQ(test, bsa_validate(heap, NULL, true), 0);
	KUNIT_EXPECT_EQ(test, found_any(heap), 0);
}

static void debug_memory_shows_what_it_is(struct kunit *test)
{
	u8 fresh = want_init_on_alloc(BSA_TEST_GFP) ? 0 : BSA_BYTE_FRESH;
	struct bsa_heap *heap = watched(test, 256, BSA_DEBUG_ALL);
	unsigned int i;
	u8 *ptr;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		ptr = get(test, heap, sizes[i]);
		KUNIT_EXPECT_TRUE(test, bsa_test_all_bytes(ptr, fresh,
							   sizes[i]));
		bsa_heap_free(heap, ptr);
		KUNIT_EXPECT_TRUE(test, bsa_test_all_freed_bytes(ptr, BSA_BYTE_FREE,
								 sizes[i]));
		ptr = bsa_heap_alloc(heap, sizes[i], BSA_TEST_GFP | __GFP_ZERO);
		KUNIT_ASSERT_NOT_NULL(test, ptr);
		KUNIT_EXPECT_TRUE(test, bsa_test_all_bytes(ptr, 0, sizes[i]));
		bsa_heap_free(heap, ptr);
	}
	KUNIT_EXPECT_EQ(test, found_any(heap), 0);
}

/*
 * Owners
 */

static void debug_double_free_names_everybody(struct kunit *test)
{
	static const unsigned long flags[] = { PLAIN, BSA_DEBUG_ALL };
	struct bsa_heap *heap;
	unsigned int i, f;
	u8 *ptr;

	for (f = 0; f < ARRAY_SIZE(flags); f++) {
		heap = watched(test, 256, flags[f]);
		for (i = 0; i < ARRAY_SIZE(sizes); i++) {
			ptr = debug_allocates(test, heap, sizes[i]);
			debug_frees(heap, ptr);
			heap->debug->text[0] = '\0';
			debug_frees_again(heap, ptr);
			expect_text(test, heap, "free already");
			expect_text(test, heap, "debug_allocates");
			expect_text(test, heap, "debug_frees+");
			expect_text(test, heap, "debug_frees_again");
		}
		KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).refused_frees, i);
		KUNIT_EXPECT_EQ(test, found(heap, BSA_FOUND_REFUSED), i);
	}
}

static void debug_free_of_the_inside_names_the_owner(struct kunit *test)
{
	struct bsa_heap *heap = watched(test, 256, BSA_DEBUG_ALL);
	unsigned int i;
	u8 *ptr;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		ptr = debug_allocates(test, heap, sizes[i]);
		heap->debug->text[0] = '\0';
		debug_frees(heap, ptr + sizes[i] / 2 + 1);
		expect_text(test, heap, "not the start");
		expect_text(test, heap, "debug_allocates");
		expect_text(test, heap, "debug_frees");
		bsa_heap_free(heap, ptr);
	}
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).refused_frees, i);
}

static void debug_objects_are_listed_by_call_chain(struct kunit *test)
{
	struct bsa_heap *heap = watched(test, 256, BSA_DEBUG_ALL);
	struct seq_file m = { .size = SZ_16K };
	unsigned long chain[8];
	void *ptrs[8];
	unsigned int i;
	char *large;

	m.buf = kunit_kzalloc(test, m.size, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, m.buf);
	for (i = 0; i < 7; i++)
		ptrs[i] = get(test, heap, 100);
	ptrs[7] = debug_allocates(test, heap, 5000);
	bsa_debug_show_objects(heap, &m);

	/* The block of 5000 bytes, then 7 objects of 100. */
	large = strstr(m.buf, "1 objects, 5000 bytes");
	KUNIT_EXPECT_PTR_EQ(test, large, m.buf);
	KUNIT_EXPECT_NOT_NULL(test, strstr(m.buf, "debug_allocates"));
	KUNIT_EXPECT_NOT_NULL(test, strstr(m.buf, "7 objects, 700 bytes"));
	/* Some kernels know of no more than the caller. */
	if (BSA_HAS_STACKS && bsa_stack_trace(chain, ARRAY_SIZE(chain), 0) > 1)
		KUNIT_EXPECT_NOT_NULL(test, strstr(m.buf,
						   "debug_objects_are_listed"));

	/* Whoever leaks it is named in the log. */
	KUNIT_EXPECT_EQ(test, bsa_heap_destroy(heap), -EBUSY);
	bsa_test_give_back(heap, 8, ptrs);
	m.count = 0;
	bsa_debug_show_objects(heap, &m);
	KUNIT_EXPECT_EQ(test, m.count, 0);
}

/* Whoever has lost an object knows it although nobody frees it. */
static void validate_names_the_owner_of_what_is_overwritten(struct kunit *test)
{
	static const u16 written[] = { 100, 3000, 12288 };
	struct bsa_heap *heap = watched(test, 256, PLAIN);
	struct seq_file m = { .size = SZ_16K };
	unsigned int i;
	u8 *ptr;

	m.buf = kunit_kzalloc(test, m.size, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, m.buf);
	for (i = 0; i < ARRAY_SIZE(written); i++) {
		ptr = debug_allocates(test, heap, written[i]);
		scribble(ptr + written[i], 3);
		m.count = 0;
		KUNIT_EXPECT_EQ(test, bsa_validate(heap, &m, false), 1);
		m.buf[m.count] = '\0';
		KUNIT_EXPECT_NOT_NULL(test, strstr(m.buf, "behind its end"));
		KUNIT_EXPECT_NOT_NULL(test, strstr(m.buf, "41 41 41"));
		KUNIT_EXPECT_NOT_NULL(test, strstr(m.buf, "debug_allocates"));

		debug_frees(heap, ptr);
		scribble(ptr, 3);
		m.count = 0;
		KUNIT_EXPECT_EQ(test, bsa_validate(heap, &m, false), 1);
		m.buf[m.count] = '\0';
		KUNIT_EXPECT_NOT_NULL(test, strstr(m.buf, "after it was freed"));
		KUNIT_EXPECT_NOT_NULL(test, strstr(m.buf, "debug_frees"));
		bsa_fill(ptr, BSA_BYTE_FREE, 3);
	}
}

/* What is known about an object lies behind it. */
static void debug_finds_overwritten_records(struct kunit *test)
{
	struct bsa_heap *heap = watched(test, 256, PLAIN);
	struct bsa_object object;
	struct bsa_record saved;
	u8 *ptr = debug_allocates(test, heap, 100);

	KUNIT_ASSERT_TRUE(test, bsa_record_locate(heap, ptr, &object));
	bsa_copy(&saved, object.record, sizeof(saved));
	scribble((u8 *)object.record, 1);
	KUNIT_EXPECT_EQ(test, bsa_validate(heap, NULL, true), 1);
	scribble((u8 *)object.record, sizeof(saved));
	KUNIT_EXPECT_EQ(test, bsa_validate(heap, NULL, true), 1);
	debug_frees(heap, ptr);
	KUNIT_EXPECT_EQ(test, found(heap, BSA_FOUND_BEHIND), 1);
	expect_text(test, heap, "is overwritten");
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).live_objects, 1);

	bsa_copy(object.record, &saved, sizeof(saved));
	KUNIT_EXPECT_EQ(test, bsa_validate(heap, NULL, true), 0);
	bsa_heap_free(heap, ptr);
	KUNIT_EXPECT_EQ(test, found_any(heap), 1);
}

/*
 * A free slot is looked at although its slab has become something else: slots of
 * another size, and pages.
 */
static void debug_finds_writes_to_slots_of_former_slabs(struct kunit *test)
{
	static const u32 next[] = { 8, 250, 300, 600, 1200, PAGE_SIZE };
	struct bsa_heap *heap = watched(test, 64, PLAIN);
	void **ptrs = bsa_test_array(test, 64 * PAGE_SIZE / 64);
	unsigned int i, nr, n = 0;
	u8 *ptr;

	for (i = 0; i < ARRAY_SIZE(next); i++) {
		ptr = debug_allocates(test, heap, 100);
		debug_frees(heap, ptr);
		scribble(ptr + 10, 1);
		bsa_heap_trim(heap);
		KUNIT_EXPECT_EQ(test, found_any(heap), n);
		KUNIT_EXPECT_EQ(test, bsa_validate(heap, NULL, true), 1);
		nr = bsa_test_take_objects(heap, next[i], ptrs);
		KUNIT_EXPECT_EQ_MSG(test, found(heap, BSA_FOUND_FREE), ++n,
				    "then %u bytes", next[i]);
		expect_text(test, heap, "debug_frees");
		KUNIT_EXPECT_EQ(test, bsa_validate(heap, NULL, true), 0);
		bsa_test_give_back(heap, nr, ptrs);
		bsa_heap_trim(heap);
	}
	KUNIT_EXPECT_EQ(test, found_any(heap), n);
}

/*
 * Whose it is
 */

/* A module that has its code where a function of this one is. */
static struct module *act_as(struct kunit *test, const char *name, void *code)
{
	struct module *module = kvzalloc(sizeof(*module), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, module);
	strscpy(module->name, name, sizeof(module->name));
	BSA_MODULE_TEXT(module) = code;
	BSA_MODULE_TEXT_SIZE(module) = 128;
	bsa_client_comes(module);
	return module;
}

/* Return how much it is said to have left behind. */
static unsigned long leave(struct bsa_heap *heap, struct module *module)
{
	unsigned long left = bsa_client_left(heap, module);

	bsa_client_goes(module, left);
	kvfree(module);
	return left;
}

static void debug_only_owners_are_named(struct kunit *test)
{
	struct bsa_heap *heap = watched(test, 256, PLAIN);
	struct module *driver = act_as(test, "driver", debug_allocates);
	struct module *user = act_as(test, "user", debug_only_owners_are_named);
	struct module *other = act_as(test, "other", debug_frees);
	void *ptr = debug_allocates(test, heap, 100);

	/* Who only calls the one who calls bsa owns nothing, nor do others. */
	KUNIT_EXPECT_EQ(test, leave(heap, other), 0);
	KUNIT_EXPECT_EQ(test, leave(heap, user), 0);
	KUNIT_EXPECT_EQ(test, leave(heap, driver), 1);
	bsa_heap_free(heap, ptr);
}

static void debug_modules_at_one_address_are_told_apart(struct kunit *test)
{
	struct bsa_heap *heap = watched(test, 256, PLAIN);
	struct seq_file m = { .size = SZ_16K };
	struct module *module;
	void *ptr, *two;

	m.buf = kunit_kzalloc(test, m.size, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, m.buf);
	module = act_as(test, "first", debug_allocates);
	ptr = debug_allocates(test, heap, 100);
	KUNIT_EXPECT_EQ(test, leave(heap, module), 1);

	module = act_as(test, "second", debug_allocates);
	two = debug_allocates(test, heap, 200);
	bsa_debug_show_objects(heap, &m);
	m.buf[m.count] = '\0';
	KUNIT_EXPECT_NOT_NULL(test, strstr(m.buf, "code of first that is gone"));
	KUNIT_EXPECT_NOT_NULL(test, strstr(m.buf, "debug_allocates"));
	bsa_heap_free(heap, two);
	KUNIT_EXPECT_EQ(test, leave(heap, module), 0);

	/*
	 * What was freed by one that nobody remembers has no name; this module has
	 * one if it was seen to come.
	 */
	if (bsa_default_heap.debug) {
		bsa_heap_free(heap, ptr);
		return;
	}
	module = act_as(test, "third", debug_frees);
	two = get(test, heap, 200);
	debug_frees(heap, two);
	KUNIT_EXPECT_EQ(test, leave(heap, module), 0);
	module = act_as(test, "fourth", debug_frees);
	heap->debug->text[0] = '\0';
	debug_frees_again(heap, two);
	expect_text(test, heap, "code that is gone");
	KUNIT_EXPECT_NULL(test, strstr(heap->debug->text, "debug_frees+"));
	KUNIT_EXPECT_EQ(test, leave(heap, module), 0);
	bsa_heap_free(heap, ptr);
}

/*
 * How much is said
 */

static void reports_are_counted_by_kind(struct kunit *test)
{
	struct bsa_heap *heap = watched(test, 256, 0);
	struct bsa_heap *other = watched(test, 256, PLAIN);
	u8 *ptr = get(test, heap, 100);
	unsigned int i;

	for (i = 0; i < 12; i++)
		bsa_heap_free(heap, ptr + 1);
	bsa_heap_free(heap, &i);
	bsa_heap_free(heap, ptr);
	bsa_heap_free(heap, ptr);
	KUNIT_EXPECT_EQ(test, bsa_heap_refused(heap, BSA_FREE_INTERIOR), 12);
	KUNIT_EXPECT_EQ(test, bsa_heap_refused(heap, BSA_FREE_FOREIGN), 1);
	KUNIT_EXPECT_EQ(test, bsa_heap_refused(heap, BSA_FREE_DOUBLE), 1);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).refused_frees, 14);
	/* Of these not all were printed, and the next line says so. */
	KUNIT_EXPECT_EQ(test, atomic_read(&heap->reported.missed),
			14 - BSA_LIMIT_MESSAGES);
	heap->reported.since -= (BSA_LIMIT_SECONDS + 1) * HZ;
	bsa_heap_free(heap, &i);
	KUNIT_EXPECT_EQ(test, atomic_read(&heap->reported.missed), 0);

	/* What one heap has to say leaves room for another. */
	ptr = get(test, other, 100);
	scribble(ptr + 100, 1);
	bsa_heap_free(other, ptr);
	KUNIT_EXPECT_EQ(test, found(other, BSA_FOUND_BEHIND), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&other->reported.missed), 0);
}

#define NR_DAMAGED	8

/* Reports are made while interrupts come. */
static struct bsa_heap *reporting_heap;
static struct hrtimer report_timer;
static atomic_t came_while_reporting;

static enum hrtimer_restart look_at_report(struct hrtimer *timer)
{
	if (test_bit(0, &reporting_heap->debug->reporting))
		atomic_inc(&came_while_reporting);
	hrtimer_forward_now(timer, 200 * NSEC_PER_USEC);
	return HRTIMER_RESTART;
}

static void debug_reports_with_interrupts_on(struct kunit *test)
{
	struct bsa_heap *heap = watched(test, 256, PLAIN);
	void *ptrs[NR_DAMAGED];
	unsigned int i;

	/* Free objects are overwritten; the slab becomes pages again. */
	for (i = 0; i < NR_DAMAGED; i++)
		ptrs[i] = get(test, heap, 100);
	bsa_test_give_back(heap, NR_DAMAGED, ptrs);
	for (i = 0; i < NR_DAMAGED; i++) {
		ptrs[i] = get(test, heap, 100);
		bsa_heap_free(heap, ptrs[i]);
		scribble(ptrs[i], 1);
	}
	reporting_heap = heap;
	atomic_set(&came_while_reporting, 0);
	/* On the CPU that makes the reports. */
	bsa_test_set_cpu(test, 0);
	hrtimer_setup(&report_timer, look_at_report, CLOCK_MONOTONIC,
		      HRTIMER_MODE_REL_PINNED_HARD);
	hrtimer_start(&report_timer, 0, HRTIMER_MODE_REL_PINNED_HARD);
	bsa_test_count_free_pages(test, heap);
	hrtimer_cancel(&report_timer);
	KUNIT_EXPECT_GE(test, found(heap, BSA_FOUND_FREE), 1);
	KUNIT_EXPECT_GT(test, atomic_read(&came_while_reporting), 0);
}

struct irq_misuse {
	struct bsa_heap *heap;
	void *ptr;
};

static void misuse_in_irq(void *data)
{
	struct irq_misuse *misuse = data;

	misuse->ptr = bsa_heap_alloc(misuse->heap, 100, GFP_ATOMIC);
	if (!misuse->ptr)
		return;
	scribble(misuse->ptr + 100, 8);
	bsa_heap_free(misuse->heap, misuse->ptr);
	bsa_heap_free(misuse->heap, misuse->ptr);
}

static void debug_works_in_hard_interrupts(struct kunit *test)
{
	struct irq_misuse misuse = {
		.heap = watched(test, 256, BSA_DEBUG_ALL),
	};

	bsa_test_call_in_irq(test, misuse_in_irq, &misuse);
	KUNIT_ASSERT_NOT_NULL(test, misuse.ptr);
	KUNIT_EXPECT_EQ(test, found(misuse.heap, BSA_FOUND_BEHIND), 1);
	KUNIT_EXPECT_EQ(test, found(misuse.heap, BSA_FOUND_REFUSED), 1);
	expect_text(test, misuse.heap, "on CPU 1 by pid");
	expect_text(test, misuse.heap, "(hardirq)");
	expect_text(test, misuse.heap, "misuse_in_irq");
}

/*
 * Quarantine and random slots
 */

/* In how many allocations does a freed object come back? */
static unsigned int reused_after(struct kunit *test, struct bsa_heap *heap)
{
	void **ptrs = bsa_test_array(test, 1024);
	void *ptr = get(test, heap, 100);
	unsigned int nr = 0;

	bsa_heap_free(heap, ptr);
	while (nr < 1024) {
		ptrs[nr] = get(test, heap, 100);
		if (ptrs[nr++] == ptr)
			break;
	}
	bsa_test_give_back(heap, nr, ptrs);
	return nr;
}

static void debug_quarantine_delays_reuse(struct kunit *test)
{
	struct bsa_heap *heap = watched(test, 512, PLAIN);
	void *ptr = get(test, heap, 100);
	unsigned int nr = bsa_slab_capacity(bsa_page_of(ptr));

	/* Those of a slab take turns without quarantine. */
	bsa_heap_free(heap, ptr);
	KUNIT_EXPECT_LE(test, reused_after(test, heap), nr);
	heap = watched(test, 512, PLAIN | BSA_DEBUG_QUARANTINE);
	KUNIT_EXPECT_EQ(test, reused_after(test, heap), 1024U);
}

static void debug_quarantine_is_bounded(struct kunit *test)
{
	struct bsa_heap *heap = watched(test, 1024, BSA_DEBUG_ALL);
	size_t max = bsa_heap_managed_bytes(heap) / BSA_QUARANTINE_PART;
	struct bsa_debug *debug = heap->debug;
	unsigned int i, most = 0;

	for (i = 0; i < 2000; i++) {
		bsa_heap_free(heap, get(test, heap, i % 2 ? 8 : 100));
		KUNIT_ASSERT_LE(test, debug->held_bytes, max);
		most = max(most, debug->nr_held);
	}
	KUNIT_EXPECT_EQ(test, most, BSA_QUARANTINE);
	for (i = 0; i < 100; i++) {
		bsa_heap_free(heap, get(test, heap, 3 * PAGE_SIZE));
		KUNIT_ASSERT_LE(test, debug->held_bytes, max);
	}
	/* What is held counts as free, and is refused. */
	KUNIT_EXPECT_GT(test, debug->nr_held_blocks, 0U);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).live_objects, 0);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).live_pages, 0);
	bsa_test_expect_sums(test, heap);
}

static void debug_quarantine_gives_way_under_pressure(struct kunit *test)
{
	struct bsa_heap *heap = watched(test, 512, BSA_DEBUG_ALL);
	unsigned long pages = bsa_heap_nr_pages(heap);
	unsigned int i;

	for (i = 0; i < 100; i++)
		bsa_heap_free(heap, get(test, heap, 100));
	bsa_heap_free(heap, get(test, heap, 3 * PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, heap->debug->nr_held, 101U);
	KUNIT_EXPECT_EQ(test, heap->debug->nr_held_blocks, 1U);
	/* Every page can be had, also those of objects in quarantine. */
	KUNIT_EXPECT_EQ(test, bsa_test_count_free_pages(test, heap), pages);
}

static void debug_random_slots_differ(struct kunit *test)
{
	struct bsa_heap *plain = watched(test, 256, PLAIN);
	struct bsa_heap *random = watched(test, 256, BSA_DEBUG_ALL);
	unsigned int i, down_plain = 0, down_random = 0;
	void *a[60], *b[60];

	for (i = 0; i < 60; i++) {
		a[i] = get(test, plain, 100);
		b[i] = get(test, random, 100);
		down_plain += i && a[i] < a[i - 1];
		down_random += i && b[i] < b[i - 1];
	}
	KUNIT_EXPECT_EQ(test, down_plain, 0U);
	/* That less than 10 of 60 go down has a chance of 10^-9. */
	KUNIT_EXPECT_GE(test, down_random, 10U);
	bsa_test_give_back(plain, 60, a);
	bsa_test_give_back(random, 60, b);
}

static void debug_letters_are_understood(struct kunit *test)
{
	unsigned long flags;

	KUNIT_EXPECT_EQ(test, bsa_debug_parse("0", &flags), 0);
	KUNIT_EXPECT_EQ(test, flags, 0UL);
	KUNIT_EXPECT_EQ(test, bsa_debug_parse("", &flags), 0);
	KUNIT_EXPECT_EQ(test, flags, 0UL);
	KUNIT_EXPECT_EQ(test, bsa_debug_parse("1\n", &flags), 0);
	KUNIT_EXPECT_EQ(test, flags, BSA_DEBUG_ALL);
	KUNIT_EXPECT_EQ(test, bsa_debug_parse("zQ", &flags), 0);
	KUNIT_EXPECT_EQ(test, flags, BSA_DEBUG_ZONES | BSA_DEBUG_QUARANTINE);
	KUNIT_EXPECT_EQ(test, bsa_debug_parse("zx", &flags), -EINVAL);
}

/* Each letter alone, on random operations. */
static void debug_letters_work_alone(struct kunit *test)
{
	void **ptrs = bsa_test_array(test, 256);
	struct bsa_heap *heap;
	unsigned int flag, i, at;
	struct rnd_state rnd;

	prandom_seed_state(&rnd, 1);
	for (flag = 0; flag < 5; flag++) {
		heap = watched(test, 512, BIT(flag));
		for (i = 0; i < 4000; i++) {
			at = prandom_u32_state(&rnd) % 256;
			if (ptrs[at]) {
				bsa_heap_free(heap, ptrs[at]);
				ptrs[at] = NULL;
				continue;
			}
			ptrs[at] = get(test, heap, 1 +
				       (prandom_u32_state(&rnd) % 4096 >>
					prandom_u32_state(&rnd) % 8));
		}
		KUNIT_EXPECT_EQ(test, bsa_validate(heap, NULL, true), 0);
		bsa_test_give_back(heap, 256, ptrs);
		KUNIT_EXPECT_EQ(test, found_any(heap), 0);
		KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).refused_frees, 0);
	}
}

/*
 * The checker
 */

/* Change some bytes: this must be found. Change them back: it must be gone. */
static void damage(struct kunit *test, struct bsa_heap *heap, const char *what,
		   void *at, size_t size, const void *value)
{
	unsigned long before;

	memcpy(&before, at, size);
	KUNIT_ASSERT_NE_MSG(test, memcmp(&before, value, size), 0, "%s", what);
	memcpy(at, value, size);
	KUNIT_EXPECT_GT_MSG(test, bsa_validate(heap, NULL, true), 0, "%s",
			    what);
	memcpy(at, &before, size);
	KUNIT_ASSERT_EQ_MSG(test, bsa_validate(heap, NULL, true), 0, "%s",
			    what);
}

#define DAMAGE(test, heap, lvalue, value) \
	damage(test, heap, #lvalue, &(lvalue), sizeof(lvalue), \
	       &(typeof(lvalue)){ (typeof(lvalue))(value) })

/* A heap that has slabs of every state, and a queue. Each slab has @nr objects. */
struct picture {
	struct bsa_heap *heap;
	void **ptrs;
	unsigned int nr;
	struct bsa_page *active;
	struct bsa_page *full;
	struct bsa_page *partial;
	struct bsa_page *empty;
	struct bsa_class *class;
	struct bsa_shelf *shelf;
};

static void draw(struct kunit *test, struct picture *picture)
{
	unsigned int nr = bsa_test_capacity(64), i;
	struct bsa_heap *heap;
	void **ptrs;

	if (want_init_on_free())
		kunit_skip(test, "frees do not go into slabs at once");
	memset(picture, 0, sizeof(*picture));
	heap = watched(test, 256, 0);
	ptrs = bsa_test_array(test, 4 * nr + 1);
	for (i = 0; i < 4 * nr + 1; i++)
		ptrs[i] = get(test, heap, 64);
	picture->heap = heap;
	picture->ptrs = ptrs;
	picture->nr = nr;
	picture->full = bsa_page_of(ptrs[0]);
	picture->partial = bsa_page_of(ptrs[nr]);
	picture->empty = bsa_page_of(ptrs[2 * nr]);
	picture->active = bsa_page_of(ptrs[4 * nr]);
	bsa_test_give_back(heap, 10, ptrs + nr);
	bsa_test_give_back(heap, nr, ptrs + 2 * nr);
	picture->class = &per_cpu_ptr(heap->cpu, 0)->slabs.class[3];
	picture->shelf = &per_cpu_ptr(heap->cpu, 0)->slabs.shelf[3];

	KUNIT_ASSERT_EQ(test, picture->full->state, BSA_PAGE_SLAB_FULL);
	KUNIT_ASSERT_EQ(test, picture->partial->state, BSA_PAGE_SLAB_PARTIAL);
	KUNIT_ASSERT_EQ(test, picture->empty->state, BSA_PAGE_SLAB_EMPTY);
	KUNIT_ASSERT_EQ(test, picture->active->state, BSA_PAGE_SLAB_ACTIVE);
	KUNIT_ASSERT_EQ(test, bsa_validate(heap, NULL, true), 0);
}

static void validate_finds_damaged_slabs(struct kunit *test)
{
	struct bsa_page *slab;
	struct picture p;
	unsigned int i;

	draw(test, &p);
	for (i = 0; i < 3; i++) {
		slab = i == 0 ? p.partial : i == 1 ? p.full : p.active;
		/* Of an active one nobody can tell. */
		if (slab != p.active)
			DAMAGE(test, p.heap, slab->free[0],
			       slab->free[0] ^ BIT(20));
		DAMAGE(test, p.heap, slab->free[BSA_REMOTE],
		       slab->free[BSA_REMOTE] ^ BIT(20));
		DAMAGE(test, p.heap, slab->bits, slab->bits - 1);
		DAMAGE(test, p.heap, slab->held, 13);
		DAMAGE(test, p.heap, slab->held, 4000);
		DAMAGE(test, p.heap, slab->owner, slab->owner ^ BSA_OWNER_FULL);
		DAMAGE(test, p.heap, slab->class, slab->class + 1);
		DAMAGE(test, p.heap, slab->class, 77);
		DAMAGE(test, p.heap, slab->shift, slab->shift + 1);
		DAMAGE(test, p.heap, slab->mask, 0);
		DAMAGE(test, p.heap, slab->order, 1);
		DAMAGE(test, p.heap, slab->owner, slab->owner + 4000 * 4);
		DAMAGE(test, p.heap, slab->owner, BSA_NOBODY);
		DAMAGE(test, p.heap, slab->free, &slab->remote0);
		DAMAGE(test, p.heap, slab->section, 1);
		DAMAGE(test, p.heap, slab->node.next, NULL);
		DAMAGE(test, p.heap, slab->state, BSA_PAGE_SLAB_EMPTY);
		DAMAGE(test, p.heap, slab->state, BSA_PAGE_ALLOCATED);
		DAMAGE(test, p.heap, slab->state, BSA_PAGE_NONE);
		DAMAGE(test, p.heap, slab->state, 99);
	}
	DAMAGE(test, p.heap, p.empty->free[0], 1);
	bsa_test_give_back(p.heap, 4 * p.nr + 1, p.ptrs);
}

static void validate_finds_damaged_lists(struct kunit *test)
{
	static struct bsa_page stray = { .free = &stray.free0 };
	struct bsa_class *class;
	struct bsa_cpu *c;
	struct picture p;

	draw(test, &p);
	class = p.class;
	c = per_cpu_ptr(p.heap->cpu, 0);
	DAMAGE(test, p.heap, p.shelf->nr_partial, p.shelf->nr_partial + 1);
	DAMAGE(test, p.heap, p.shelf->empty, NULL);
	DAMAGE(test, p.heap, p.shelf->empty, p.full);
	DAMAGE(test, p.heap, class->active, NULL);
	DAMAGE(test, p.heap, class->active, p.partial);
	/* Whoever reads debugfs meanwhile looks there, too. */
	DAMAGE(test, p.heap, class->active, &stray);
	DAMAGE(test, p.heap, class->base, class->base + 64);
	DAMAGE(test, p.heap, class->word, p.partial->free);
	DAMAGE(test, p.heap, class->unit, 128);
	DAMAGE(test, p.heap, class->held, BSA_MAGAZINE_SIZE + 1);
	DAMAGE(test, p.heap, class->allocs, class->allocs + 1);
	DAMAGE(test, p.heap, p.shelf->partial.next, &p.shelf->partial);
	DAMAGE(test, p.heap, p.shelf->partial.prev, &p.shelf->partial);
	DAMAGE(test, p.heap, p.partial->list.next, &p.partial->list);
	DAMAGE(test, p.heap, p.partial->list.prev, NULL);
	DAMAGE(test, p.heap, c->slabs.mark, c->slabs.mark - 1);
	DAMAGE(test, p.heap, c->slabs.idle, c->slabs.idle - 1);
	DAMAGE(test, p.heap, c->remote_frees, c->remote_frees + 1);
	DAMAGE(test, p.heap, c->slabs.class[bsa_size_class(64)].frees, 0);
	bsa_test_give_back(p.heap, 4 * p.nr + 1, p.ptrs);
}

static void validate_finds_damaged_bitmaps(struct kunit *test)
{
	struct bsa_heap *heap = watched(test, 256, 0);
	struct bsa_page *page, *slab, *third;
	u8 *guard;
	void *ptr = get(test, heap, 8);
	void *other = get(test, heap, 16);
	void *large = get(test, heap, 384);

	/* Slabs with many objects; with objects that take three units. */
	slab = bsa_page_of(ptr);
	third = bsa_page_of(large);
	page = bsa_page_of(slab->free) - 1;
	KUNIT_ASSERT_EQ(test, page->state, BSA_PAGE_BITMAPS);
	DAMAGE(test, heap, bsa_page_of(other)->free[3], BIT(63));
	DAMAGE(test, heap, slab->free[BSA_REMOTE + 6], BIT(0));
	DAMAGE(test, heap, slab->free, slab->free + 1);
	DAMAGE(test, heap, slab->free, &slab->free0);
	DAMAGE(test, heap, slab->free, bsa_page_of(other)->free);
	DAMAGE(test, heap, page->free0, page->free0 | BIT(0));
	DAMAGE(test, heap, page->free0, 0);
	guard = bsa_page_address(&heap->buddy, page);
	DAMAGE(test, heap, guard[0], 0);
	DAMAGE(test, heap, guard[PAGE_SIZE - 1], 0xff);
	DAMAGE(test, heap, guard[3 * PAGE_SIZE], 0xff);
	DAMAGE(test, heap, guard[4 * PAGE_SIZE - 1], 0);
	guard = (void *)heap->buddy.section[0]->range.region;
	DAMAGE(test, heap, guard[0], 0);
	DAMAGE(test, heap, guard[PAGE_SIZE - 1], 0xff);
	guard = (void *)heap->buddy.section[0]->range.start;
	DAMAGE(test, heap, guard[-1], 0xff);
	DAMAGE(test, heap, guard[-(long)PAGE_SIZE], 0);
	DAMAGE(test, heap, third->free[0], third->free[0] | BIT(1));
	DAMAGE(test, heap, third->free[BSA_REMOTE],
	       third->free[BSA_REMOTE] & ~BIT(1));
	bsa_heap_free(heap, ptr);
	bsa_heap_free(heap, other);
	bsa_heap_free(heap, large);
}

static void validate_finds_damaged_pages(struct kunit *test)
{
	struct bsa_heap *heap = watched(test, 256, 0);
	struct bsa_buddy *buddy = &heap->buddy;
	struct bsa_section *section = buddy->section[0];
	void *ptr = get(test, heap, 4 * PAGE_SIZE);
	void *kept = get(test, heap, PAGE_SIZE);
	void *other = get(test, heap, PAGE_SIZE);
	struct bsa_page *page = bsa_page_of(ptr);
	struct bsa_cpu *c = per_cpu_ptr(heap->cpu, 0);
	struct bsa_page *free, **map;
	unsigned long *stack;
	unsigned int order;

	bsa_heap_free(heap, kept);
	KUNIT_ASSERT_EQ(test, bsa_page_of(kept)->state, BSA_PAGE_KEPT);
	KUNIT_ASSERT_EQ(test, bsa_validate(heap, NULL, true), 0);
	DAMAGE(test, heap, page->order, 1);
	DAMAGE(test, heap, page->order, 70);
	DAMAGE(test, heap, page->state, BSA_PAGE_TAIL);
	DAMAGE(test, heap, page->state, BSA_PAGE_KEPT);
	DAMAGE(test, heap, page->state, BSA_PAGE_FREE);
	DAMAGE(test, heap, page->owner, 5);
	DAMAGE(test, heap, page[1].state, BSA_PAGE_ALLOCATED);
	DAMAGE(test, heap, page[2].section, 3);
	DAMAGE(test, heap, page[3].node.next, NULL);
	DAMAGE(test, heap, c->kept[2].allocs, 0);
	DAMAGE(test, heap, c->kept[0].frees, 0);
	stack = &c->kept[0].stack[bsa_page_is_low(buddy, bsa_page_of(kept))];
	DAMAGE(test, heap, *stack, 0);
	DAMAGE(test, heap, *stack, *stack + 1);
	DAMAGE(test, heap, *stack, (unsigned long)ptr + 1);
	DAMAGE(test, heap, bsa_page_of(kept)->below, (unsigned long)ptr);
	DAMAGE(test, heap, bsa_page_of(kept)->order, 1);
	DAMAGE(test, heap, bsa_page_of(kept)->state, BSA_PAGE_ALLOCATED);
	DAMAGE(test, heap, bsa_page_of(kept)->state, BSA_PAGE_SLAB_EMPTY);

	map = &bsa_pagemap.entry[bsa_pagemap_index(ptr)];
	DAMAGE(test, heap, map[0], page + 1);
	DAMAGE(test, heap, map[1], page);

	order = __fls(section->orders);
	free = list_first_entry(&section->free[order], struct bsa_page, list);
	DAMAGE(test, heap, free->order, order - 1);
	DAMAGE(test, heap, free->state, BSA_PAGE_ALLOCATED);
	DAMAGE(test, heap, free->list.next, &free->list);
	DAMAGE(test, heap, free->list.prev, NULL);
	DAMAGE(test, heap, section->nr_free[order], section->nr_free[order] + 1);
	DAMAGE(test, heap, section->free[order].next, &section->free[order]);
	DAMAGE(test, heap, section->orders, section->orders ^ BIT(order));
	DAMAGE(test, heap, section->free_pages, section->free_pages - 1);
	DAMAGE(test, heap, buddy->free_pages, buddy->free_pages - 1);
	DAMAGE(test, heap, buddy->total_pages, buddy->total_pages - 1);
	DAMAGE(test, heap, buddy->fits[0][0], 0);
	DAMAGE(test, heap, buddy->low[0], buddy->low[0] ^ 1);
	bsa_heap_free(heap, ptr);
	bsa_heap_free(heap, other);
}

static void validate_finds_a_block_that_nobody_has(struct kunit *test)
{
	static const struct bsa_page_request req = {};
	struct bsa_heap *heap = watched(test, 256, 0);
	struct bsa_page *page = bsa_buddy_alloc(&heap->buddy, &req);

	/* Only if the heap is said to be quiet: it may be on its way. */
	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_EXPECT_EQ(test, bsa_validate(heap, NULL, false), 0);
	KUNIT_EXPECT_EQ(test, bsa_validate(heap, NULL, true), 1);
	bsa_buddy_free(&heap->buddy, page);
}

static void validate_tells_what_there_is(struct kunit *test)
{
	struct bsa_heap *heap = watched(test, 256, 0);
	struct seq_file m = { .size = SZ_4K };
	void *ptr = get(test, heap, 64);

	m.buf = kunit_kzalloc(test, m.size, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, m.buf);
	KUNIT_EXPECT_EQ(test, bsa_validate(heap, &m, true), 0);
	KUNIT_EXPECT_PTR_EQ(test, strstr(m.buf, "0 errors; 1 sections"), m.buf);
	KUNIT_EXPECT_NOT_NULL(test, strstr(m.buf, "in 1 slabs with 1 live"));
	bsa_heap_free(heap, ptr);
}

/* How often a CPU was stopped for something. */
static unsigned long nr_stops(unsigned int cpu)
{
	struct task_struct *task;
	unsigned long nr = 0;
	char name[TASK_COMM_LEN];

	snprintf(name, sizeof(name), "migration/%u", cpu);
	rcu_read_lock();
	for_each_process(task)
		if (!strcmp(task->comm, name))
			nr = task->nvcsw + task->nivcsw;
	rcu_read_unlock();
	return nr;
}

static void validate_stops_others_for_few_pages_at_a_time(struct kunit *test)
{
	struct bsa_heap *heap = watched(test, 1024, 0);
	unsigned long pages = bsa_heap_nr_pages(heap), before;

	bsa_test_needs_cpus(test, 2);
	before = nr_stops(1);
	KUNIT_EXPECT_GT(test, before, 0);
	KUNIT_EXPECT_EQ(test, bsa_validate(heap, NULL, false), 0);
	KUNIT_EXPECT_GE(test, nr_stops(1) - before, pages / 128);

	/* Of a quiet heap there is no need to. */
	before = nr_stops(1);
	KUNIT_EXPECT_EQ(test, bsa_validate(heap, NULL, true), 0);
	KUNIT_EXPECT_LE(test, nr_stops(1) - before, 2);
}

/* What was not asked for stays what it was, for KASAN, too. */
static void size_of_an_object_is_no_more_than_was_asked_for(struct kunit *test)
{
#ifdef CONFIG_KASAN_GENERIC
	struct bsa_heap *heap = watched(test, 256, 0);
	unsigned int i;
	u8 *ptr;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		ptr = get(test, heap, sizes[i]);
		KUNIT_EXPECT_EQ(test, bsa_heap_size(heap, ptr), sizes[i]);
		if (sizes[i] < 2048 && sizes[i] % 8)
			KUNIT_EXPECT_EQ(test, *(u8 *)kasan_mem_to_shadow(ptr + sizes[i]),
					sizes[i] % 8);
		bsa_heap_free(heap, ptr);
		KUNIT_EXPECT_EQ(test, bsa_heap_size(heap, ptr), 0);
	}
#else
	kunit_skip(test, "needs KASAN");
#endif
}

static struct kunit_case bsa_debug_cases[] = {
	KUNIT_CASE(debug_finds_writes_behind),
	KUNIT_CASE(debug_finds_writes_before),
	KUNIT_CASE(debug_finds_nothing_where_nothing_is),
	KUNIT_CASE(debug_realloc_moves_the_red_zone),
	KUNIT_CASE(debug_keeps_alignments),

	KUNIT_CASE(debug_finds_writes_after_free),
	KUNIT_CASE(debug_finds_writes_behind_what_is_free),
	KUNIT_CASE(debug_finds_writes_to_freed_pages),
	KUNIT_CASE(debug_finds_nothing_in_pages_of_bitmaps),
	KUNIT_CASE(debug_memory_shows_what_it_is),

	KUNIT_CASE(debug_double_free_names_everybody),
	KUNIT_CASE(debug_free_of_the_inside_names_the_owner),
	KUNIT_CASE(debug_objects_are_listed_by_call_chain),
	KUNIT_CASE(debug_works_in_hard_interrupts),
	KUNIT_CASE(debug_finds_overwritten_records),
	KUNIT_CASE(debug_finds_writes_to_slots_of_former_slabs),
	KUNIT_CASE(debug_reports_with_interrupts_on),
	KUNIT_CASE(reports_are_counted_by_kind),
	KUNIT_CASE(size_of_an_object_is_no_more_than_was_asked_for),

	KUNIT_CASE(debug_quarantine_delays_reuse),
	KUNIT_CASE(debug_quarantine_is_bounded),
	KUNIT_CASE(debug_quarantine_gives_way_under_pressure),
	KUNIT_CASE(debug_random_slots_differ),

	KUNIT_CASE(debug_letters_are_understood),
	KUNIT_CASE(debug_letters_work_alone),

	KUNIT_CASE(validate_finds_damaged_slabs),
	KUNIT_CASE(validate_finds_damaged_lists),
	KUNIT_CASE(validate_finds_damaged_bitmaps),
	KUNIT_CASE(validate_finds_damaged_pages),
	KUNIT_CASE(validate_finds_a_block_that_nobody_has),
	KUNIT_CASE(validate_tells_what_there_is),
	KUNIT_CASE(validate_names_the_owner_of_what_is_overwritten),
	KUNIT_CASE(validate_stops_others_for_few_pages_at_a_time),

	/* Last: they leave behind that functions of these tests are others'. */
	KUNIT_CASE(debug_only_owners_are_named),
	KUNIT_CASE(debug_modules_at_one_address_are_told_apart),
	{}
};

struct kunit_suite bsa_debug_suite = {
	.name = "bsa_debug",
	.init = bsa_test_init,
	.exit = bsa_test_exit,
	.test_cases = bsa_debug_cases,
};
