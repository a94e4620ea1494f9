// SPDX-License-Identifier: GPL-2.0-only
/*
 * bsa_heap_trim() gives back all that nobody holds
 */
#include "attack.h"

#include <linux/delay.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/hrtimer.h>
#include <linux/kthread.h>
#include <linux/mount.h>

#define HEAP_ORDER	(BSA_TEST_SLOWNESS > 1 ? 7 : 8)
#define HEAP_PAGES	BIT(HEAP_ORDER)

static void expect_all_free(struct kunit *test, struct bsa_heap *heap,
			    const char *what)
{
	struct bsa_stats stats;
	void *all;

	stats = bsa_test_stats(heap);
	KUNIT_EXPECT_EQ_MSG(test, stats.allocated_bytes, 0, "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, stats.free_pages, stats.total_pages, "%s", what);
	/* One piece, without asking anybody. */
	all = bsa_heap_alloc_pages(heap, HEAP_PAGES, PAGE_SIZE,
				   GFP_ATOMIC | __GFP_NORETRY | __GFP_NOWARN);
	KUNIT_EXPECT_NOT_NULL_MSG(test, all, "%s", what);
	bsa_heap_free(heap, all);
}

/* The pages that were allocated, but to nobody, are those that trim counts. */
static void trim_and_expect(struct kunit *test, struct bsa_heap *heap,
			    const char *what)
{
	unsigned long before = bsa_heap_allocated_bytes(heap), pages;

	pages = bsa_heap_trim(heap);
	KUNIT_EXPECT_GE_MSG(test, pages, before / PAGE_SIZE, "%s", what);
	KUNIT_EXPECT_LE_MSG(test, pages, HEAP_PAGES, "%s", what);
	bsa_test_expect_valid(test, heap);
	expect_all_free(test, heap, what);
}

/* By the same CPU, by another one, and by both by turns. */
static void fill_and_free(struct kunit *test, struct bsa_heap *heap, size_t size,
			  void **ptrs, unsigned int nr_cpus)
{
	unsigned int cpu;
	size_t nr, i;

	nr = bsa_test_take_objects(heap, size, ptrs);
	for (cpu = 0; cpu < nr_cpus; cpu++) {
		bsa_test_set_cpu(test, cpu);
		for (i = cpu; i < nr; i += nr_cpus)
			bsa_heap_free(heap, ptrs[i]);
	}
	bsa_test_set_cpu(test, 0);
}

static void trim_gives_back_what_cpus_have(struct kunit *test)
{
	void **ptrs = bsa_test_array(test, HEAP_PAGES * PAGE_SIZE / 8 + 1);
	struct bsa_heap *heap = bsa_test_heap_of_one_block(test, HEAP_ORDER);
	unsigned int class, nr_cpus;
	char what[40];

	for (class = 0; class < BSA_ALL_CLASSES + 3; class++) {
		size_t size = class < BSA_ALL_CLASSES ? attack_class_size(class) :
			      PAGE_SIZE << (class - BSA_ALL_CLASSES);

		for (nr_cpus = 1; nr_cpus <= min(num_online_cpus(), 3U); nr_cpus++) {
			snprintf(what, sizeof(what), "%zu bytes, freed by %u CPUs", size,
				 nr_cpus);
			fill_and_free(test, heap, size, ptrs, nr_cpus);
			trim_and_expect(test, heap, what);
		}
	}
	KUNIT_EXPECT_EQ(test, bsa_heap_trim(heap), 0);
}

/* All that CPU 0 had is freed on another CPU. */
static void trim_gives_back_what_others_have_freed(struct kunit *test)
{
	void **ptrs = bsa_test_array(test, HEAP_PAGES * PAGE_SIZE / 8 + 1);
	struct bsa_heap *heap = bsa_test_heap_of_one_block(test, HEAP_ORDER);
	unsigned int class, cpu;
	size_t nr;

	attack_needs_cpus(test, 3);
	for (class = 0; class < BSA_ALL_CLASSES; class++) {
		for (cpu = 0; cpu < 3; cpu++) {
			nr = bsa_test_take_objects(heap, attack_class_size(class), ptrs);
			bsa_test_set_cpu(test, 1);
			bsa_test_give_back(heap, nr, ptrs);
			/* By the owner, by who has freed, and by a third. */
			bsa_test_set_cpu(test, cpu);
			trim_and_expect(test, heap, "freed elsewhere");
			bsa_test_set_cpu(test, 0);
		}
	}
}

static void trim_leaves_what_is_live(struct kunit *test)
{
	struct bsa_heap *heap = bsa_test_heap_of_one_block(test, HEAP_ORDER);
	void *ptrs[2 * BSA_ALL_CLASSES];
	struct bsa_stats before, after;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ptrs); i++) {
		bsa_test_set_cpu(test, num_online_cpus() > 1 ? i % 2 : 0);
		ptrs[i] = attack_get(test, heap, attack_class_size(i / 2));
		memset(ptrs[i], i, attack_class_size(i / 2));
	}
	before = bsa_test_stats(heap);
	bsa_heap_trim(heap);
	after = bsa_test_stats(heap);
	KUNIT_EXPECT_EQ(test, after.live_objects, before.live_objects);
	KUNIT_EXPECT_EQ(test, after.live_pages, before.live_pages);
	KUNIT_EXPECT_EQ(test, after.frees, before.frees);
	for (i = 0; i < ARRAY_SIZE(ptrs); i++)
		KUNIT_EXPECT_TRUE(test, bsa_test_all_bytes(ptrs[i], i,
							   attack_class_size(i / 2)));
	bsa_test_set_cpu(test, 0);
	bsa_test_give_back(heap, ARRAY_SIZE(ptrs), ptrs);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).refused_frees, 0);
	trim_and_expect(test, heap, "what was live");
}

static int allocate_and_free(void *data)
{
	unsigned int i = 0;
	void *ptr;

	while (!kthread_should_stop()) {
		size_t size = attack_class_size(i++ % BSA_ALL_CLASSES);

		ptr = bsa_heap_alloc(data, size, GFP_ATOMIC | __GFP_NOWARN);
		if (ptr)
			memset(ptr, i, size);
		bsa_heap_free(data, ptr);
		cond_resched();
	}
	return 0;
}

static void trim_may_come_while_others_allocate(struct kunit *test)
{
	struct bsa_heap *heap = bsa_test_heap_of_one_block(test, HEAP_ORDER);
	struct task_struct *task[2];
	unsigned int i;

	attack_needs_cpus(test, 3);
	for (i = 0; i < 2; i++)
		task[i] = attack_thread(test, i + 1, allocate_and_free, heap);
	for (i = 0; i < 1000; i++) {
		bsa_heap_trim(heap);
		cond_resched();
	}
	for (i = 0; i < 2; i++)
		kthread_stop(task[i]);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(heap).refused_frees, 0);
	trim_and_expect(test, heap, "all have stopped");
}

static void trim_of_an_empty_heap_is_nothing(struct kunit *test)
{
	struct bsa_heap *heap = bsa_test_heap(test, 0);

	KUNIT_EXPECT_EQ(test, bsa_heap_trim(heap), 0);
	/* NULL is the default heap, as in all calls. */
	bsa_heap_trim(NULL);
	bsa_test_expect_valid(test, NULL);
}

/*
 * The same by a file of debugfs
 */

static struct file *open_trim_file(struct kunit *test, struct bsa_heap *heap)
{
	struct file_system_type *type = get_fs_type("debugfs");
	char name[BSA_NAME_LEN + 40];
	struct vfsmount *mount;
	struct path root = {};
	struct file *file;

	/* Wherever it is mounted, if it is: a kernel thread may not see that. */
	mount = type ? kern_mount(type) : ERR_PTR(-ENODEV);
	if (IS_ERR(mount))
		kunit_skip(test, "there is no debugfs");
	snprintf(name, sizeof(name), "bsa/%s/trim", heap->name);
	root.mnt = mount;
	root.dentry = mount->mnt_root;
	file = file_open_root(&root, name, O_WRONLY, 0);
	kern_unmount(mount);
	if (file == ERR_PTR(-EPERM))
		kunit_skip(test, "the kernel is locked down");
	KUNIT_ASSERT_FALSE_MSG(test, IS_ERR(file), "%s", name);
	return file;
}

/* What kernel_write() does not do for files of debugfs. Nobody reads the text. */
static ssize_t write_to(struct file *file)
{
	loff_t pos = 0;

	return file->f_op->write(file, NULL, 1, &pos);
}

/* At once: an open file keeps the module. */
static void close_now(struct file *file)
{
	filp_close(file, NULL);
	flush_delayed_fput();
}

static void trim_file_gives_back_what_is_cached(struct kunit *test)
{
	void **ptrs = bsa_test_array(test, HEAP_PAGES * PAGE_SIZE / 64 + 1);
	struct bsa_heap *heap = bsa_test_heap_of_one_block(test, HEAP_ORDER);
	struct file *file = open_trim_file(test, heap);
	unsigned int i;
	size_t nr;

	/* The second write finds the file as the first one has. */
	for (i = 0; i < 2; i++) {
		nr = bsa_test_take_objects(heap, 64, ptrs);
		if (num_online_cpus() > 1)
			bsa_test_set_cpu(test, 1);
		bsa_test_give_back(heap, nr, ptrs);
		bsa_test_set_cpu(test, 0);
		KUNIT_EXPECT_LT(test, heap->buddy.free_pages, HEAP_PAGES);
		KUNIT_EXPECT_EQ(test, write_to(file), 1);
		KUNIT_EXPECT_EQ(test, heap->buddy.free_pages, HEAP_PAGES);
		expect_all_free(test, heap, "written to the file");
	}
	close_now(file);
}

static void trim_file_is_gone_with_its_heap(struct kunit *test)
{
	struct bsa_heap *heap = bsa_test_heap_of_one_block(test, HEAP_ORDER);
	struct file *file = open_trim_file(test, heap);

	KUNIT_EXPECT_EQ(test, bsa_test_destroy_heap(test, heap), 0);
	KUNIT_EXPECT_EQ(test, write_to(file), -EIO);
	close_now(file);
}

static int write_all_the_while(void *file)
{
	while (!kthread_should_stop()) {
		write_to(file);
		cond_resched();
	}
	return write_to(file);
}

/* The CPU stands still for most of the time, wherever it is. */
#define PERIOD_US	500
#define STILL_US	400

static enum hrtimer_restart stand_still(struct hrtimer *timer)
{
	udelay(STILL_US);
	hrtimer_forward_now(timer, ns_to_ktime(PERIOD_US * NSEC_PER_USEC));
	return HRTIMER_RESTART;
}

static struct hrtimer still_timer;

static void start_timer(void *unused)
{
	hrtimer_start(&still_timer, 0, HRTIMER_MODE_REL_PINNED_HARD);
}

static int attack_trim_init(struct kunit *test)
{
	hrtimer_setup(&still_timer, stand_still, CLOCK_MONOTONIC,
		      HRTIMER_MODE_REL_PINNED_HARD);
	return bsa_test_init(test);
}

static void attack_trim_exit(struct kunit *test)
{
	hrtimer_cancel(&still_timer);
	bsa_test_exit(test);
}

static void heap_may_go_while_its_trim_file_is_written(struct kunit *test)
{
	size_t nr, size = HEAP_PAGES * PAGE_SIZE;
	void **ptrs = bsa_test_array(test, size / 512 + 1);
	void *region = bsa_test_memory(test, size, GFP_KERNEL);
	struct task_struct *task;
	struct bsa_heap *heap;
	struct file *file;
	unsigned int i;
	ktime_t end;
	int err;

	attack_needs_cpus(test, 3);
	smp_call_function_single(1, start_timer, NULL, true);
	/* Fewer times where each takes a second. */
	end = ktime_add_ms(ktime_get(), 30 * MSEC_PER_SEC);
	for (i = 0; i < 200 && (i < 20 || ktime_before(ktime_get(), end)); i++) {
		heap = bsa_test_heap_in(test, region, size);
		file = open_trim_file(test, heap);
		/* Both have to look for what was freed. */
		nr = bsa_test_take_objects(heap, 512, ptrs);
		bsa_test_set_cpu(test, 2);
		bsa_test_give_back(heap, nr, ptrs);
		bsa_test_set_cpu(test, 0);
		task = attack_thread(test, 1, write_all_the_while, file);
		udelay(5 * (i % 100));
		KUNIT_EXPECT_EQ(test, bsa_test_destroy_heap(test, heap), 0);
		err = kthread_stop(task);
		/* On a slow machine it may not have begun. */
		if (err != -EINTR)
			KUNIT_EXPECT_EQ(test, err, -EIO);
		close_now(file);
	}
}

static struct kunit_case attack_trim_cases[] = {
	KUNIT_CASE(trim_gives_back_what_cpus_have),
	KUNIT_CASE(trim_gives_back_what_others_have_freed),
	KUNIT_CASE(trim_leaves_what_is_live),
	KUNIT_CASE(trim_may_come_while_others_allocate),
	KUNIT_CASE(trim_of_an_empty_heap_is_nothing),
	KUNIT_CASE(trim_file_gives_back_what_is_cached),
	KUNIT_CASE(trim_file_is_gone_with_its_heap),
	KUNIT_CASE(heap_may_go_while_its_trim_file_is_written),
	{}
};

struct kunit_suite bsa_attack_trim_suite = {
	.name = "bsa_attack_trim",
	.init = attack_trim_init,
	.exit = attack_trim_exit,
	.test_cases = attack_trim_cases,
};
