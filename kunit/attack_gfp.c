// SPDX-License-Identifier: GPL-2.0-only
/*
 * What gfp asks for is given or refused, never ignored
 */
#include "attack.h"

#include <linux/console.h>
#include <linux/delay.h>
#include <linux/io.h>
#include <linux/kmsg_dump.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/printk.h>
#include <linux/sched/mm.h>
#include <linux/sizes.h>

#define DMA32_GFP	(BSA_TEST_GFP | GFP_DMA32)

/* Bytes of a section; of the smaller of two, half as many. */
#define REGION		(128 * PAGE_SIZE)

/*
 * Zones
 */

static bool is_low(const void *ptr)
{
	return virt_to_phys((void *)ptr) < SZ_4G;
}

/* High memory first, so that whoever does not look gets that. */
static struct bsa_heap *heap_of_both(struct kunit *test)
{
	struct bsa_heap *heap;
	void *start;

	attack_needs_high_memory(test);
	start = bsa_test_high_memory(test, REGION);
	heap = bsa_test_heap_in(test, start, REGION);
	start = bsa_test_low_memory(test, REGION / 2);
	KUNIT_ASSERT_EQ(test, bsa_heap_add_region(heap, start, REGION / 2), 0);
	return heap;
}

/* Between objects that may be anywhere, and until there is no low memory. */
static void take_low(struct kunit *test, struct bsa_heap *heap, size_t size)
{
	void **low = bsa_test_array(test, REGION / 8 + 1);
	void **any = bsa_test_array(test, REGION / 8 + 1);
	unsigned long failures = bsa_test_stats(heap).failures;
	size_t nr = 0, nr_any = 0, high = 0;

	do {
		if (nr % 4 == 0) {
			any[nr_any] = bsa_heap_alloc(heap, size, BSA_TEST_GFP);
			nr_any += !!any[nr_any];
		}
		low[nr] = bsa_heap_alloc(heap, size, DMA32_GFP);
		high += low[nr] && !is_low(low[nr]);
	} while (low[nr] && ++nr < REGION / 8);

	KUNIT_EXPECT_EQ_MSG(test, high, 0, "of %zu objects of %zu bytes", nr, size);
	KUNIT_EXPECT_GT_MSG(test, nr, 0, "%zu bytes", size);
	KUNIT_EXPECT_GT(test, bsa_test_stats(heap).failures, failures);
	bsa_test_give_back(heap, nr, low);
	bsa_test_give_back(heap, nr_any, any);
}

static void dma32_gives_objects_below_4g(struct kunit *test)
{
	struct bsa_heap *heap = heap_of_both(test);
	unsigned int class;

	for (class = 0; class < BSA_ALL_CLASSES; class++)
		take_low(test, heap, attack_class_size(class));
	take_low(test, heap, 1000);
	take_low(test, heap, 1);
}

static void dma32_gives_pages_below_4g(struct kunit *test)
{
	struct bsa_heap *heap = heap_of_both(test);

	take_low(test, heap, PAGE_SIZE);
	take_low(test, heap, 3 * PAGE_SIZE);
	take_low(test, heap, 8 * PAGE_SIZE);
}

static void expect_low(struct kunit *test, struct bsa_heap *heap, void *ptr)
{
	KUNIT_EXPECT_NOT_NULL(test, ptr);
	KUNIT_EXPECT_TRUE(test, !ptr || is_low(ptr));
	bsa_heap_free(heap, ptr);
}

static void dma32_counts_in_every_call(struct kunit *test)
{
	struct bsa_heap *heap = heap_of_both(test);
	void *ptrs[40];
	unsigned int i;

	expect_low(test, heap, bsa_heap_alloc(heap, 100, DMA32_GFP));
	expect_low(test, heap, bsa_heap_alloc_aligned(heap, 40, 512, DMA32_GFP));
	expect_low(test, heap,
		   bsa_heap_alloc_aligned(heap, 100, 2 * PAGE_SIZE, DMA32_GFP));
	expect_low(test, heap, bsa_heap_zalloc(heap, 24, DMA32_GFP));
	expect_low(test, heap, bsa_heap_calloc(heap, 7, 24, DMA32_GFP));
	expect_low(test, heap, bsa_heap_realloc(heap, NULL, 600, DMA32_GFP));
	expect_low(test, heap, bsa_heap_alloc_pages(heap, 2, PAGE_SIZE, DMA32_GFP));
	expect_low(test, heap,
		   bsa_heap_alloc_pages_lowmem(heap, 2, PAGE_SIZE, DMA32_GFP));
	expect_low(test, heap,
		   bsa_heap_realloc(heap, attack_get(test, heap, 100), 5000, DMA32_GFP));
	KUNIT_ASSERT_EQ(test, bsa_heap_alloc_bulk(heap, 200, DMA32_GFP, 40, ptrs), 40);
	for (i = 0; i < 40; i++)
		expect_low(test, heap, ptrs[i]);
}

/* A heap that has none must say so. */
static void dma32_of_a_heap_without_low_memory_fails(struct kunit *test)
{
	struct bsa_heap *heap;
	unsigned int class;

	attack_needs_high_memory(test);
	heap = bsa_test_heap_in(test, bsa_test_high_memory(test, REGION), REGION);
	for (class = 0; class < BSA_ALL_CLASSES; class++) {
		void *ptr = bsa_heap_alloc(heap, attack_class_size(class), DMA32_GFP);

		KUNIT_EXPECT_NULL(test, ptr);
		bsa_heap_free(heap, ptr);
		KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).failures, class + 1);
	}
	KUNIT_EXPECT_NULL(test, bsa_heap_alloc_pages(heap, 1, PAGE_SIZE, DMA32_GFP));
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).allocs, 0);
}

/*
 * Flags that no heap can honour
 */

static void expect_no_memory(struct kunit *test, struct bsa_heap *heap, void *ptr,
			     gfp_t flag, unsigned long *failures)
{
	struct bsa_stats stats = bsa_test_stats(heap);

	KUNIT_EXPECT_NULL_MSG(test, ptr, "flag %#x", (__force unsigned int)flag);
	KUNIT_EXPECT_EQ_MSG(test, stats.failures, ++*failures, "flag %#x",
			    (__force unsigned int)flag);
	*failures = stats.failures;
	bsa_heap_free(heap, ptr);
}

static void refuse_flag(struct kunit *test, struct bsa_heap *heap, gfp_t flag)
{
	unsigned long failures = bsa_test_stats(heap).failures;
	gfp_t gfp = BSA_TEST_GFP | flag;
	void *old = attack_get(test, heap, 64), *ptrs[4];
	size_t nr;

	expect_no_memory(test, heap, bsa_heap_alloc(heap, 64, gfp), flag, &failures);
	expect_no_memory(test, heap, bsa_heap_alloc(heap, 8192, gfp), flag, &failures);
	expect_no_memory(test, heap, bsa_heap_zalloc(heap, 64, gfp), flag, &failures);
	expect_no_memory(test, heap, bsa_heap_calloc(heap, 4, 16, gfp), flag, &failures);
	expect_no_memory(test, heap, bsa_heap_alloc_aligned(heap, 64, 256, gfp), flag,
			 &failures);
	expect_no_memory(test, heap, bsa_heap_alloc_pages(heap, 1, PAGE_SIZE, gfp), flag,
			 &failures);
	expect_no_memory(test, heap,
			 bsa_heap_alloc_pages_lowmem(heap, 1, PAGE_SIZE, gfp), flag,
			 &failures);
	expect_no_memory(test, heap, bsa_heap_realloc(heap, NULL, 64, gfp), flag,
			 &failures);
	nr = bsa_heap_alloc_bulk(heap, 64, gfp, 4, ptrs);
	KUNIT_EXPECT_EQ_MSG(test, nr, 0, "flag %#x", (__force unsigned int)flag);
	bsa_test_give_back(heap, nr, ptrs);
	bsa_heap_free(heap, old);
	bsa_test_expect_valid(test, heap);
}

static void flags_that_cannot_be_honoured_are_refused(struct kunit *test)
{
	void *start = bsa_test_low_memory(test, REGION);
	struct bsa_heap *heap = bsa_test_heap_in(test, start, REGION);

	refuse_flag(test, heap, __GFP_DMA);
	refuse_flag(test, heap, __GFP_NOFAIL);
	refuse_flag(test, heap, __GFP_ACCOUNT);
	refuse_flag(test, heap, __GFP_THISNODE);
	refuse_flag(test, heap, __GFP_DMA | __GFP_DMA32);
}

/*
 * Who may sleep
 */

/* How often the kernel has complained of somebody who may not sleep. */
static unsigned int nr_complaints(void)
{
	struct kmsg_dump_iter iter;
	unsigned int nr = 0;
	char line[256];
	size_t len;

	kmsg_dump_rewind(&iter);
	while (kmsg_dump_get_line(&iter, false, line, sizeof(line), &len)) {
		line[min(len, sizeof(line) - 1)] = 0;
		nr += !!strstr(line, "BUG: sleeping function called");
	}
	return nr;
}

/* What kmalloc() does first. */
static void *alloc_nothing(gfp_t gfp)
{
	might_alloc(gfp);
	return NULL;
}

static void *alloc_object(gfp_t gfp)
{
	return bsa_alloc(64, gfp);
}

static void *alloc_block(gfp_t gfp)
{
	return bsa_alloc(3 * PAGE_SIZE, gfp);
}

static void *alloc_pages_of_bsa(gfp_t gfp)
{
	return bsa_alloc_pages(1, PAGE_SIZE, gfp);
}

static void *alloc_bulk(gfp_t gfp)
{
	void *ptr = NULL;

	return bsa_alloc_bulk(64, gfp, 1, &ptr) ? ptr : NULL;
}

static void *realloc_nothing(gfp_t gfp)
{
	return bsa_realloc(NULL, 64, gfp);
}

/*
 * The console need not show what is provoked; the log has it. What waits for the
 * console is shown, or not, when somebody has and releases it; and a line without an
 * end, as the result of a test is, waits for the next one. A console may have a thread
 * of its own, too.
 */
#define CONSOLE_MS	100

static int mute_console(struct kunit *test)
{
	int level = console_loglevel;

	kunit_info(test, "the console does not show what follows\n");
	console_lock();
	console_unlock();
	msleep(CONSOLE_MS);
	console_loglevel = CONSOLE_LOGLEVEL_SILENT;
	return level;
}

static void unmute_console(int level)
{
	console_lock();
	console_unlock();
	msleep(CONSOLE_MS);
	console_loglevel = level;
}

static bool complains(struct kunit *test, void *(*alloc)(gfp_t gfp), gfp_t gfp)
{
	unsigned int before = nr_complaints();
	void *ptr;
	int level;

	/* There is one such complaint in a second at most. */
	msleep(1100);
	level = mute_console(test);
	preempt_disable();
	ptr = alloc(gfp);
	preempt_enable();
	unmute_console(level);
	bsa_free(ptr);
	return nr_complaints() > before;
}

static void sleeping_flags_in_atomic_context_are_reported(struct kunit *test)
{
	if (!IS_ENABLED(CONFIG_DEBUG_ATOMIC_SLEEP))
		kunit_skip(test, "without DEBUG_ATOMIC_SLEEP nothing complains");
	if (!complains(test, alloc_nothing, GFP_KERNEL))
		kunit_skip(test, "this kernel does not complain of kmalloc() either");
	KUNIT_EXPECT_FALSE(test, complains(test, alloc_object, GFP_ATOMIC));
	KUNIT_EXPECT_TRUE(test, complains(test, alloc_object, GFP_KERNEL));
	KUNIT_EXPECT_TRUE(test, complains(test, alloc_object, GFP_NOIO));
	KUNIT_EXPECT_TRUE(test, complains(test, alloc_block, GFP_KERNEL));
	KUNIT_EXPECT_TRUE(test, complains(test, alloc_pages_of_bsa, GFP_KERNEL));
	KUNIT_EXPECT_TRUE(test, complains(test, alloc_bulk, GFP_KERNEL));
	KUNIT_EXPECT_TRUE(test, complains(test, realloc_nothing, GFP_KERNEL));
}

/**
 * struct deaf - a CPU that takes no interrupt until another one has returned
 * @ready: it takes none
 * @returned: the other one has returned
 * @in_time: that was before the CPU gave up
 */
struct deaf {
	atomic_t ready;
	atomic_t returned;
	bool in_time;
};

static int be_deaf(void *data)
{
	struct deaf *deaf = data;
	unsigned int left = 2 * USEC_PER_SEC / 5;
	unsigned long flags;

	local_irq_save(flags);
	atomic_set_release(&deaf->ready, 1);
	while (!atomic_read_acquire(&deaf->returned) && --left)
		udelay(5);
	deaf->in_time = left;
	local_irq_restore(flags);
	while (!kthread_should_stop())
		usleep_range(100, 200);
	return 0;
}

/* The heap has nothing left, so whoever may ask other CPUs would ask them. */
static void fail_beside_a_deaf_cpu(struct kunit *test, struct bsa_heap *heap,
				   bool irqs_off)
{
	struct deaf deaf = {};
	struct task_struct *task;
	unsigned long flags = 0;
	int level;
	void *ptr;

	level = mute_console(test);
	task = attack_thread(test, 1, be_deaf, &deaf);
	while (!atomic_read_acquire(&deaf.ready))
		cond_resched();
	preempt_disable();
	if (irqs_off)
		local_irq_save(flags);
	ptr = bsa_heap_alloc_pages(heap, 1, PAGE_SIZE, BSA_TEST_GFP);
	atomic_set_release(&deaf.returned, 1);
	if (irqs_off)
		local_irq_restore(flags);
	preempt_enable();
	kthread_stop(task);
	unmute_console(level);
	KUNIT_EXPECT_NULL(test, ptr);
	KUNIT_EXPECT_TRUE_MSG(test, deaf.in_time, "with interrupts %s",
			      irqs_off ? "off" : "on");
}

static void who_may_not_sleep_waits_for_no_other_cpu(struct kunit *test)
{
	struct bsa_heap *heap = bsa_test_heap_of_one_block(test, 6);
	void **pages = bsa_test_array(test, 65);
	void *object;
	size_t nr;

	if (!IS_ENABLED(CONFIG_PREEMPT_COUNT))
		kunit_skip(test, "nobody knows here who may sleep");
	attack_needs_cpus(test, 2);
	/* CPU 1 has something that could be asked for. */
	bsa_test_set_cpu(test, 1);
	object = attack_get(test, heap, 64);
	bsa_test_set_cpu(test, 0);
	nr = bsa_test_take_pages(heap, pages);
	fail_beside_a_deaf_cpu(test, heap, true);
	fail_beside_a_deaf_cpu(test, heap, false);
	bsa_test_give_back(heap, nr, pages);
	bsa_heap_free(heap, object);
}

static struct kunit_case attack_gfp_cases[] = {
	KUNIT_CASE(dma32_gives_objects_below_4g),
	KUNIT_CASE(dma32_gives_pages_below_4g),
	KUNIT_CASE(dma32_counts_in_every_call),
	KUNIT_CASE(dma32_of_a_heap_without_low_memory_fails),
	KUNIT_CASE(flags_that_cannot_be_honoured_are_refused),
	KUNIT_CASE(sleeping_flags_in_atomic_context_are_reported),
	KUNIT_CASE(who_may_not_sleep_waits_for_no_other_cpu),
	{}
};

struct kunit_suite bsa_attack_gfp_suite = {
	.name = "bsa_attack_gfp",
	.init = bsa_test_init,
	.exit = bsa_test_exit,
	.test_cases = attack_gfp_cases,
};
