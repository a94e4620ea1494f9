// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the tests share that attack the guarantees from outside
 */
#include "attack.h"

#include <linux/kthread.h>
#include <linux/pfn.h>
#include <linux/sizes.h>

/**
 * attack_needs_cpus - skip a test on a machine that has too few CPUs
 * @test: the test
 * @nr: CPUs 0 to @nr - 1 have to be online
 */
void attack_needs_cpus(struct kunit *test, unsigned int nr)
{
	unsigned int cpu;

	for (cpu = 0; cpu < nr; cpu++)
		if (cpu >= nr_cpu_ids || !cpu_online(cpu))
			kunit_skip(test, "this needs %u CPUs", nr);
}

/**
 * attack_needs_high_memory - skip a test on a machine that has none above 4 GiB
 * @test: the test
 */
void attack_needs_high_memory(struct kunit *test)
{
	if (!page_is_ram(PHYS_PFN(SZ_4G)))
		kunit_skip(test, "this machine has no memory at 4 GiB");
}

/**
 * attack_needs_plain_heaps - skip a test that cannot pass with debug=
 * @test: the test; it counts slots, or what each CPU has
 */
void attack_needs_plain_heaps(struct kunit *test)
{
	if (bsa_default_heap.debug)
		kunit_skip(test, "not with debug=");
}

/**
 * attack_class_size - the size of the objects of a class
 * @class: which one, below BSA_ALL_CLASSES
 */
size_t attack_class_size(unsigned int class)
{
	if (class < BSA_NR_CLASSES)
		return 8UL << class;
	return 384UL << (class - BSA_NR_CLASSES);
}

/**
 * attack_get - allocate something that there must be
 * @test: the test
 * @heap: from which heap
 * @size: bytes
 */
void *attack_get(struct kunit *test, struct bsa_heap *heap, size_t size)
{
	void *ptr = bsa_heap_alloc(heap, size, BSA_TEST_GFP);

	KUNIT_ASSERT_NOT_NULL(test, ptr);
	return ptr;
}

/**
 * attack_expect_same - a call that was refused must have changed nothing
 * @test: the test
 * @heap: the heap
 * @before: what it held and had done before the call; how many frees it has
 *	refused is not compared
 */
void attack_expect_same(struct kunit *test, struct bsa_heap *heap,
			const struct bsa_stats *before)
{
	struct bsa_stats now = bsa_test_stats(heap);

	KUNIT_EXPECT_EQ(test, now.allocs, before->allocs);
	KUNIT_EXPECT_EQ(test, now.frees, before->frees);
	KUNIT_EXPECT_EQ(test, now.live_objects, before->live_objects);
	KUNIT_EXPECT_EQ(test, now.live_pages, before->live_pages);
	KUNIT_EXPECT_EQ(test, now.free_pages, before->free_pages);
	bsa_test_expect_valid(test, heap);
}

/**
 * attack_thread - start a thread on a CPU
 * @test: the test; while the thread runs, it makes no assertions
 * @cpu: where the thread stays
 * @fn: returns once kthread_should_stop() says so
 * @data: its parameter
 *
 * Return: the thread, for kthread_stop().
 */
struct task_struct *attack_thread(struct kunit *test, unsigned int cpu,
				  int (*fn)(void *data), void *data)
{
	struct task_struct *task = kthread_create(fn, data, "bsa_attack/%u", cpu);

	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	kthread_bind(task, cpu);
	wake_up_process(task);
	return task;
}
