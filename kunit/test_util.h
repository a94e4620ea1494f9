/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What all tests need: memory, allocators that are taken down by themselves,
 * and a way to move to another CPU
 *
 * Whatever a test gets from here is released when the test ends, also when an
 * assertion ends it. A heap that has live objects by then fails the test.
 */
#ifndef _BSA_TEST_UTIL_H
#define _BSA_TEST_UTIL_H

#include "contexts.h"
#include "rig.h"

#include <bsa/bitmap.h>
#include <bsa/compat.h>
#include <bsa/percpu.h>
#include <kunit/test.h>
#include <linux/bsa.h>
#include <linux/kasan.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/string.h>
#include <linux/vmalloc.h>
#include <linux/vmstat.h>

/* Failures are what many tests want, so the log need not tell. */
#define BSA_TEST_GFP	(GFP_KERNEL | __GFP_NOWARN)

extern struct kunit_suite bsa_boot_suite;
extern struct kunit_suite bsa_reserve_suite;
extern struct kunit_suite bsa_buddy_suite;
extern struct kunit_suite bsa_slab_suite;
extern struct kunit_suite bsa_heap_suite;
extern struct kunit_suite bsa_magazine_suite;
extern struct kunit_suite bsa_life_suite;
extern struct kunit_suite bsa_misuse_suite;
extern struct kunit_suite bsa_stress_suite;
extern struct kunit_suite bsa_debug_suite;
extern struct kunit_suite bsa_attack_size_suite;
extern struct kunit_suite bsa_attack_frees_suite;
extern struct kunit_suite bsa_attack_pages_suite;
extern struct kunit_suite bsa_attack_realloc_suite;
extern struct kunit_suite bsa_attack_gfp_suite;
extern struct kunit_suite bsa_attack_stats_suite;
extern struct kunit_suite bsa_attack_balance_suite;
extern struct kunit_suite bsa_attack_impossible_suite;
extern struct kunit_suite bsa_attack_backlog_suite;
extern struct kunit_suite bsa_attack_return_suite;
extern struct kunit_suite bsa_attack_stop_suite;
extern struct kunit_suite bsa_attack_overflow_suite;
extern struct kunit_suite bsa_attack_interrupt_suite;
extern struct kunit_suite bsa_attack_trim_suite;
extern struct kunit_suite bsa_attack_clear_suite;

bool bsa_test_is_chosen(const struct kunit *test);
int bsa_test_init(struct kunit *test);
void bsa_test_exit(struct kunit *test);
void bsa_test_needs_cpus(struct kunit *test, unsigned int nr);
void bsa_test_needs_hotplug(struct kunit *test);
unsigned long bsa_test_start_contexts(struct kunit *test,
				      void (*fn)(enum bsa_context context),
				      unsigned long needed);
void bsa_test_needs_module(struct kunit *test);
void bsa_test_set_cpu(struct kunit *test, unsigned int cpu);
void bsa_test_call_in_irq(struct kunit *test, void (*fn)(void *data),
			  void *data);

void *bsa_test_memory(struct kunit *test, size_t size, gfp_t gfp);
void *bsa_test_low_memory(struct kunit *test, size_t size);
void *bsa_test_high_memory(struct kunit *test, size_t size);
void **bsa_test_array(struct kunit *test, size_t nr);
unsigned long *bsa_test_bitmap(struct kunit *test, size_t nr);

struct bsa_buddy *bsa_test_buddy(struct kunit *test);
void bsa_test_add_section(struct kunit *test, struct bsa_buddy *buddy,
			  unsigned long nr, struct bsa_section_info *info);
void bsa_test_add_low_section(struct kunit *test, struct bsa_buddy *buddy,
			      unsigned long nr, struct bsa_section_info *info);
void bsa_test_add_high_section(struct kunit *test, struct bsa_buddy *buddy,
			       unsigned long nr, struct bsa_section_info *info);
struct bsa_buddy *bsa_test_buddy_of_one_block(struct kunit *test,
					      unsigned int order,
					      struct bsa_section_info *info);

void bsa_test_name(char *name);
struct bsa_heap *bsa_test_heap(struct kunit *test, size_t size);
struct bsa_heap *bsa_test_heap_in(struct kunit *test, void *start, size_t size);
struct bsa_heap *bsa_test_heap_of_one_block(struct kunit *test,
					    unsigned int order);
void bsa_test_adopt_heap(struct kunit *test, struct bsa_heap *heap);
int bsa_test_destroy_heap(struct kunit *test, struct bsa_heap *heap);

size_t bsa_test_take_pages(struct bsa_heap *heap, void **pages);
size_t bsa_test_take_objects(struct bsa_heap *heap, size_t size, void **ptrs);
void bsa_test_give_back(struct bsa_heap *heap, size_t nr, void **ptrs);
unsigned long bsa_test_count_free_pages(struct kunit *test,
					struct bsa_heap *heap);
void bsa_test_expect_sums(struct kunit *test, struct bsa_heap *heap);
void bsa_test_expect_valid(struct kunit *test, struct bsa_heap *heap);

struct bsa_stats bsa_test_stats(struct bsa_heap *heap);

#ifdef CONFIG_FAULT_INJECTION
/**
 * bsa_test_fail_from - let the kernel's allocations fail
 * @nth: the first one to fail of those that this thread makes from here on; all
 *	that follow fail, too. 0: none fails any more
 *
 * Return: how many were left to the first one; 0: some have failed.
 */
static inline unsigned int bsa_test_fail_from(unsigned int nth)
{
	current->make_it_fail = !!nth;
	return xchg(&current->fail_nth, nth);
}

/*
 * Pages that are free, or in the kernel's slabs, where KASAN keeps some for long. What
 * the kernel has unmapped takes memory until it lets go of the addresses.
 */
static inline long bsa_test_free_memory(void)
{
	vm_unmap_aliases();
	return si_mem_available() +
	       global_node_page_state_pages(NR_SLAB_UNRECLAIMABLE_B);
}
#endif

/* Kernels in which every access, or every lock that sleeps, is looked at. */
#define BSA_TEST_SLOWNESS \
	(IS_ENABLED(CONFIG_KASAN) || IS_ENABLED(CONFIG_KCSAN) || \
	 IS_ENABLED(CONFIG_PREEMPT_RT) ? 4 : 1)

/* After how many instructions each something happens: odd, so that all kinds come. */
#define BSA_TEST_STRIDE	(2 * BSA_TEST_SLOWNESS - 1)

static inline bool bsa_test_in_section(const struct bsa_section_info *info,
				       const void *addr)
{
	return (unsigned long)addr >= info->start &&
	       (unsigned long)addr < info->start + info->size;
}

static inline bool bsa_test_is_aligned(const void *addr, size_t align)
{
	return !((unsigned long)addr & (align - 1));
}

/* How many pages a slab takes, for objects of some size. */
static inline unsigned long bsa_test_slab_pages(size_t size)
{
	return 1UL << bsa_slab_order(bsa_size_class(size));
}

/* How many bits its bitmaps have. */
static inline size_t bsa_test_bits(size_t size)
{
	return min_t(size_t, BSA_MAX_OBJECTS, bsa_test_slab_pages(size) * PAGE_SIZE /
					      bsa_class_unit(bsa_size_class(size)));
}

/* How many objects it has. */
static inline unsigned int bsa_test_capacity(size_t size)
{
	unsigned int class = bsa_size_class(size);

	return bsa_test_bits(size) * bsa_class_unit(class) / bsa_class_size(class);
}

/* What the bitmaps of some such slabs take beside: pages that no caller gets. */
static inline unsigned long bsa_test_bitmap_pages(size_t size, unsigned int nr_slabs)
{
	if (bsa_test_bits(size) <= BITS_PER_LONG)
		return 0;
	return DIV_ROUND_UP(nr_slabs, BSA_NR_BITMAPS) << BSA_BITMAP_ORDER;
}

/* How many objects so many pages have room for, at least. */
static inline size_t bsa_test_room(unsigned long pages, size_t size)
{
	unsigned long slabs = pages / bsa_test_slab_pages(size);

	pages -= bsa_test_bitmap_pages(size, slabs);
	return pages / bsa_test_slab_pages(size) * bsa_test_capacity(size);
}

/* What bsa_size() tells of an allocation: KASAN knows what was asked for. */
static inline size_t bsa_test_told(size_t asked, size_t room)
{
	return IS_ENABLED(CONFIG_KASAN_GENERIC) ? asked : room;
}

static inline bool bsa_test_all_bytes(const void *ptr, u8 byte, size_t size)
{
	return !memchr_inv(ptr, byte, size);
}

/* The same for memory that is nobody's, which KASAN would report. */
static inline bool bsa_test_all_freed_bytes(const void *ptr, u8 byte,
					    size_t size)
{
	bool all;

	kasan_disable_current();
	all = bsa_test_all_bytes(ptr, byte, size);
	kasan_enable_current();
	return all;
}

/* With init_on_free, or debug=, all frees of objects count as remote ones. */
static inline unsigned long bsa_test_remote_frees(unsigned long remote,
						  unsigned long local)
{
	return want_init_on_free() || bsa_default_heap.debug ? remote + local :
							       remote;
}

#endif /* _BSA_TEST_UTIL_H */
