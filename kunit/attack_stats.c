// SPDX-License-Identifier: GPL-2.0-only
/*
 * Statistics that are read while others allocate are possible ones
 */
#include "attack.h"

#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/prandom.h>
#include <linux/sizes.h>

#define NR_SLOTS	1000
#define MOST_PAGES	4

/**
 * struct hammer - what those who allocate share
 * @heap: the heap
 * @nr_threads: how many they are
 * @slot: what is live, but for what somebody has just taken from here
 */
struct hammer {
	struct bsa_heap *heap;
	unsigned int nr_threads;
	void *slot[NR_SLOTS];
};

static struct hammer hammer;

/* The first half are objects, some of them freed elsewhere; the others are blocks. */
static size_t slot_size(unsigned int i)
{
	if (i < NR_SLOTS * 3 / 4)
		return attack_class_size(i % BSA_ALL_CLASSES);
	return PAGE_SIZE << i % 3;
}

static int exchange(void *data)
{
	struct rnd_state rnd;
	unsigned int i;
	void *ptr;

	prandom_seed_state(&rnd, (unsigned long)data);
	while (!kthread_should_stop()) {
		/* A thread has one more than there are slots. */
		i = prandom_u32_state(&rnd) % (NR_SLOTS - hammer.nr_threads);
		ptr = NULL;
		if (prandom_u32_state(&rnd) % 2)
			ptr = bsa_heap_alloc(hammer.heap, slot_size(i),
					     GFP_ATOMIC | __GFP_NOWARN);
		bsa_heap_free(hammer.heap, xchg(&hammer.slot[i], ptr));
		cond_resched();
	}
	return 0;
}

/* How often something was seen that cannot be. */
struct impossible {
	unsigned int allocated;
	unsigned int sum;
	unsigned int free_pages;
	unsigned int objects;
	unsigned int pages;
	unsigned int frees;
	unsigned int back;
	unsigned int calls;
	unsigned int section;
};

static void look(struct bsa_heap *heap, struct bsa_stats *last,
		 struct impossible *n)
{
	size_t managed = bsa_heap_managed_bytes(heap);
	struct bsa_section_info info;
	struct bsa_stats now;

	bsa_heap_get_stats(heap, &now);
	n->allocated += now.allocated_bytes > managed;
	n->sum += now.allocated_bytes + now.free_pages * PAGE_SIZE != managed;
	n->free_pages += now.free_pages > now.total_pages;
	n->objects += now.live_objects > NR_SLOTS;
	n->pages += now.live_pages > NR_SLOTS * MOST_PAGES;
	n->frees += now.frees > now.allocs;
	/* What counts calls never goes back. */
	n->back += now.allocs < last->allocs || now.frees < last->frees ||
		   now.remote_frees < last->remote_frees ||
		   now.drains < last->drains || now.refills < last->refills ||
		   now.failures < last->failures;
	*last = now;

	n->calls += bsa_heap_allocated_bytes(heap) > managed ||
		    bsa_heap_nr_free_pages(heap) > now.total_pages;
	if (!bsa_heap_section(heap, 0, &info))
		n->section += info.free_pages > info.total_pages;
}

static void look_for_a_second(struct bsa_heap *heap, struct impossible *n)
{
	ktime_t end = ktime_add_ms(ktime_get(), 1000);
	struct bsa_stats last = {};

	do {
		look(heap, &last, n);
		cond_resched();
	} while (ktime_before(ktime_get(), end));
}

static void hammer_and_look(struct kunit *test, size_t size)
{
	struct task_struct *task[3];
	struct impossible n = {};
	unsigned int i;

	memset(&hammer, 0, sizeof(hammer));
	hammer.heap = bsa_test_heap(test, size);
	hammer.nr_threads = min_t(unsigned int, num_online_cpus() - 1, 3);
	for (i = 0; i < hammer.nr_threads; i++)
		task[i] = attack_thread(test, i + 1, exchange, (void *)(i + 1UL));
	look_for_a_second(hammer.heap, &n);
	for (i = 0; i < hammer.nr_threads; i++)
		kthread_stop(task[i]);
	bsa_test_give_back(hammer.heap, NR_SLOTS, hammer.slot);

	KUNIT_EXPECT_EQ(test, n.allocated, 0U);
	KUNIT_EXPECT_EQ(test, n.sum, 0U);
	KUNIT_EXPECT_EQ(test, n.free_pages, 0U);
	KUNIT_EXPECT_EQ(test, n.objects, 0U);
	KUNIT_EXPECT_EQ(test, n.pages, 0U);
	KUNIT_EXPECT_EQ(test, n.frees, 0U);
	KUNIT_EXPECT_EQ(test, n.back, 0U);
	KUNIT_EXPECT_EQ(test, n.calls, 0U);
	KUNIT_EXPECT_EQ(test, n.section, 0U);
}

static void statistics_are_possible_while_others_allocate(struct kunit *test)
{
	attack_needs_cpus(test, 2);
	hammer_and_look(test, 4096 * PAGE_SIZE);
}

/* Allocations fail, CPUs take each other's memory, slabs come and go. */
static void statistics_are_possible_while_memory_is_short(struct kunit *test)
{
	attack_needs_cpus(test, 2);
	hammer_and_look(test, 256 * PAGE_SIZE);
}

/* One class, of which nothing but objects can be counted, all freed elsewhere. */
static int bounce(void *data)
{
	size_t size = (unsigned long)data;
	unsigned int i = 0;
	void *ptr;

	while (!kthread_should_stop()) {
		i = (i + 1) % (NR_SLOTS - hammer.nr_threads);
		ptr = bsa_heap_alloc(hammer.heap, size, GFP_ATOMIC | __GFP_NOWARN);
		bsa_heap_free(hammer.heap, xchg(&hammer.slot[i], ptr));
		cond_resched();
	}
	return 0;
}

static void statistics_never_count_more_objects_than_live(struct kunit *test)
{
	static const size_t sizes[] = { 8, 256, 2048 };
	struct task_struct *task[2];
	struct impossible n = {};
	unsigned int i;

	attack_needs_cpus(test, 3);
	memset(&hammer, 0, sizeof(hammer));
	hammer.nr_threads = 2;
	hammer.heap = bsa_test_heap(test, SZ_4M);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		task[0] = attack_thread(test, 1, bounce, (void *)sizes[i]);
		task[1] = attack_thread(test, 2, bounce, (void *)sizes[i]);
		look_for_a_second(hammer.heap, &n);
		kthread_stop(task[0]);
		kthread_stop(task[1]);
		bsa_test_give_back(hammer.heap, NR_SLOTS, hammer.slot);
		KUNIT_EXPECT_EQ_MSG(test, n.objects, 0U, "%zu bytes", sizes[i]);
		KUNIT_EXPECT_EQ_MSG(test, n.allocated, 0U, "%zu bytes", sizes[i]);
	}
}

static struct kunit_case attack_stats_cases[] = {
	KUNIT_CASE(statistics_are_possible_while_others_allocate),
	KUNIT_CASE(statistics_are_possible_while_memory_is_short),
	KUNIT_CASE(statistics_never_count_more_objects_than_live),
	{}
};

struct kunit_suite bsa_attack_stats_suite = {
	.name = "bsa_attack_stats",
	.init = bsa_test_init,
	.exit = bsa_test_exit,
	.test_cases = attack_stats_cases,
};
