// SPDX-License-Identifier: GPL-2.0-only
/*
 * What can be seen from user space: /sys/kernel/debug/bsa/<heap>/
 *
 *   meminfo    totals, in the form of /proc/meminfo
 *   buddyinfo  free blocks by order for each section, as /proc/buddyinfo
 *   slabinfo   slabs and objects of each size class, as /proc/slabinfo
 *   percpu     the same for each CPU that owns slabs
 *   stat       counters, in the form of /proc/vmstat
 *   validate   reading it checks the whole heap, and says what is wrong
 *   objects    with debug=: what callers hold, by call chain, the largest part
 *              first
 *   trim       writing anything gives back all that is cached
 *
 * All others only read. Counters of other CPUs are read as they are, so the
 * figures agree with each other at a quiet moment.
 */
#include <bsa/compat.h>
#include <bsa/debug.h>
#include <bsa/debugfs.h>
#include <bsa/percpu.h>
#include <bsa/tools.h>
#include <bsa/validate.h>
#include <linux/debugfs.h>
#include <linux/seq_file.h>

static struct dentry *root;

static int meminfo_show(struct seq_file *m, void *unused)
{
	struct bsa_heap *heap = m->private;
	struct bsa_stats stats;

	bsa_heap_get_stats(heap, &stats);
	seq_printf(m, "Sections:     %10lu\n", stats.sections);
	seq_printf(m, "Managed:      %10zu kB\n", stats.managed_bytes >> 10);
	seq_printf(m, "Allocated:    %10zu kB\n", stats.allocated_bytes >> 10);
	seq_printf(m, "Free:         %10lu kB\n",
		   stats.free_pages << (PAGE_SHIFT - 10));
	seq_printf(m, "Kept:         %10lu kB\n",
		   bsa_percpu_kept_pages(heap, -1) << (PAGE_SHIFT - 10));
	seq_printf(m, "LivePages:    %10lu\n", stats.live_pages);
	seq_printf(m, "LiveObjects:  %10lu\n", stats.live_objects);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(meminfo);

static int buddyinfo_show(struct seq_file *m, void *unused)
{
	struct bsa_heap *heap = m->private;
	struct bsa_buddy *buddy = &heap->buddy;
	unsigned long nr_free[BSA_NR_ORDERS];
	struct bsa_section_info info;
	unsigned int i, order;
	unsigned long flags;

	for (i = 0; !bsa_buddy_section(buddy, i, &info); i++) {
		if (!bsa_lock(&buddy->lock, flags))
			return -EBUSY;
		memcpy(nr_free, buddy->section[i]->nr_free, sizeof(nr_free));
		bsa_unlock(&buddy->lock, flags);

		seq_printf(m, "Section %2u, %s %8lu pages", i,
			   info.low ? " low" : "high", info.total_pages);
		for (order = 0; order < BSA_NR_ORDERS; order++)
			seq_printf(m, " %6lu", nr_free[order]);
		seq_putc(m, '\n');
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(buddyinfo);

/**
 * struct slab_count - slabs and objects of one class, of one owner or of several
 * @active: slabs that are being allocated from
 * @partial: slabs with live and with free objects
 * @full: slabs without a free object that the owner knows of
 * @empty: slabs without a live object
 * @allocs: objects handed out
 * @frees: objects freed by the owner
 * @drained: objects freed elsewhere that the owner has taken over
 * @drains: times that it did so
 * @refills: slabs that became active
 */
struct slab_count {
	unsigned long active;
	unsigned long partial;
	unsigned long full;
	unsigned long empty;
	unsigned long allocs;
	unsigned long frees;
	unsigned long drained;
	unsigned long drains;
	unsigned long refills;
};

static void count_slabs(struct bsa_cpu *c, unsigned int index,
			struct slab_count *sum)
{
	struct bsa_class *class = &c->slabs.class[index];

	sum->active += !!class->active;
	sum->partial += c->slabs.shelf[index].nr_partial;
	sum->empty += !!c->slabs.shelf[index].empty;
	sum->allocs += class->allocs;
	/* The owner counts on while this is read. */
	sum->frees += data_race(c->slabs.frees[index]);
	/* As above. */
	sum->drained += data_race(class->drained);
	/* As above. */
	sum->drains += data_race(class->drains);
	sum->refills += class->refills;
}

/* Objects that callers hold, or that were freed remotely and not drained. */
static unsigned long in_use(const struct slab_count *sum)
{
	return sum->allocs - sum->frees - sum->drained;
}

static void show_slabs(struct seq_file *m, const struct slab_count *sum)
{
	seq_printf(m, " %8lu %7lu %7lu %7lu %7lu %10lu %10lu %9lu %8lu %8lu\n",
		   in_use(sum), sum->active, sum->partial, sum->full,
		   sum->empty, sum->allocs, sum->frees, sum->drained,
		   sum->drains, sum->refills);
}

static void show_slab_header(struct seq_file *m, const char *what)
{
	seq_printf(m, "%s %8s %7s %7s %7s %7s %10s %10s %9s %8s %8s\n", what,
		   "inuse", "active", "partial", "full", "empty", "allocs",
		   "frees", "drained", "drains", "refills");
}

/* The size classes in ascending order. */
static const u8 by_size[BSA_ALL_CLASSES] = {
	0, 1, 2, 3, 4, 5, 9, 6, 10, 7, 11, 8
};

static int slabinfo_show(struct seq_file *m, void *unused)
{
	struct bsa_heap *heap = m->private;
	unsigned int i, class;
	struct bsa_cpu *c;

	show_slab_header(m, "size");
	for (i = 0; i < BSA_ALL_CLASSES; i++) {
		struct slab_count sum = {};

		class = by_size[i];

		bsa_for_each_owner(c, heap)
			count_slabs(c, class, &sum);
		seq_printf(m, "%4zu", bsa_class_size(class));
		show_slabs(m, &sum);
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(slabinfo);

static int percpu_show(struct seq_file *m, void *unused)
{
	struct bsa_heap *heap = m->private;
	unsigned int i, class;
	struct bsa_cpu *c;

	show_slab_header(m, "cpu    size");
	bsa_for_each_owner(c, heap) {
		for (i = 0; i < BSA_ALL_CLASSES; i++) {
			struct slab_count sum = {};

			class = by_size[i];

			count_slabs(c, class, &sum);
			if (!sum.allocs && !sum.frees)
				continue;
			if (c == &heap->shared)
				seq_puts(m, "shared");
			else
				seq_printf(m, "cpu%-3u", c->cpu);
			seq_printf(m, " %4zu", bsa_class_size(class));
			show_slabs(m, &sum);
		}
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(percpu);

/* Frees that were refused, by reason, and what was found, by kind. */
static void show_reports(struct seq_file *m, struct bsa_heap *heap)
{
	static const char * const reason[] = {
		[BSA_FREE_FOREIGN] = "foreign",
		[BSA_FREE_OTHER_HEAP] = "other_heap",
		[BSA_FREE_INTERIOR] = "inside",
		[BSA_FREE_DOUBLE] = "double",
		[BSA_FREE_OBJECT] = "not_pages",
		[BSA_FREE_COUNT] = "count",
		[BSA_FREE_UNCLEAR] = "unclear",
	};
	static const char * const finding[] = {
		[BSA_FOUND_BEHIND] = "written_behind",
		[BSA_FOUND_BEFORE] = "written_before",
		[BSA_FOUND_FREE] = "written_after_free",
	};
	unsigned int i;

	for (i = BSA_FREE_OK + 1; i < ARRAY_SIZE(reason); i++)
		seq_printf(m, "refused_%s %lu\n", reason[i],
			   bsa_heap_refused(heap, i));
	for (i = 0; heap->debug && i < ARRAY_SIZE(finding); i++)
		seq_printf(m, "%s %ld\n", finding[i],
			   atomic_long_read(&heap->debug->found[i]));
	seq_printf(m, "not_printed %d\n",
		   atomic_read(&heap->reported.missed) +
		   atomic_read(&heap->failed.missed));
}

static int stat_show(struct seq_file *m, void *unused)
{
	struct bsa_heap *heap = m->private;
	struct bsa_stats stats;

	bsa_heap_get_stats(heap, &stats);
	seq_printf(m, "allocs %lu\n", stats.allocs);
	seq_printf(m, "frees %lu\n", stats.frees);
	seq_printf(m, "remote_frees %lu\n", stats.remote_frees);
	seq_printf(m, "drains %lu\n", stats.drains);
	seq_printf(m, "refills %lu\n", stats.refills);
	seq_printf(m, "failures %lu\n", stats.failures);
	seq_printf(m, "refused_frees %lu\n", stats.refused_frees);
	show_reports(m, heap);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(stat);

static int objects_show(struct seq_file *m, void *unused)
{
	bsa_debug_show_objects(m->private, m);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(objects);

static int validate_show(struct seq_file *m, void *unused)
{
	bsa_validate(m->private, m, false);
	return 0;
}

/* Room for all that can be wrong, so that it is looked for only once. */
static int validate_open(struct inode *inode, struct file *file)
{
	return single_open_size(file, validate_show, inode->i_private,
				4 * PAGE_SIZE);
}

static const struct file_operations validate_fops = {
	.owner = THIS_MODULE,
	.open = validate_open,
	.read = seq_read,
	.llseek = seq_lseek,
	.release = single_release,
};

/* The heap stays: whoever takes its files away waits until this returns. */
static ssize_t trim_write(struct file *file, const char __user *text,
			  size_t len, loff_t *pos)
{
	bsa_heap_trim(file_inode(file)->i_private);
	return len;
}

static const struct file_operations trim_fops = {
	.owner = THIS_MODULE,
	.write = trim_write,
};

/**
 * bsa_debugfs_add - make the files of a heap
 * @heap: the heap
 */
void bsa_debugfs_add(struct bsa_heap *heap)
{
	heap->debugfs = debugfs_create_dir(heap->name, root);
	debugfs_create_file("meminfo", 0400, heap->debugfs, heap,
			    &meminfo_fops);
	debugfs_create_file("buddyinfo", 0400, heap->debugfs, heap,
			    &buddyinfo_fops);
	debugfs_create_file("slabinfo", 0400, heap->debugfs, heap,
			    &slabinfo_fops);
	debugfs_create_file("percpu", 0400, heap->debugfs, heap, &percpu_fops);
	debugfs_create_file("stat", 0400, heap->debugfs, heap, &stat_fops);
	debugfs_create_file("validate", 0400, heap->debugfs, heap,
			    &validate_fops);
	debugfs_create_file("trim", 0200, heap->debugfs, heap, &trim_fops);
	if (heap->debug)
		debugfs_create_file("objects", 0400, heap->debugfs, heap,
				    &objects_fops);
}

/**
 * bsa_debugfs_has - is there something of this name beside the heaps?
 * @name: the name
 */
bool bsa_debugfs_has(const char *name)
{
	struct dentry *entry = debugfs_lookup(name, root);

	dput(entry);
	return entry;
}

/**
 * bsa_debugfs_remove - remove the files of a heap
 * @heap: the heap
 *
 * Waits for whoever is reading or writing one.
 */
void bsa_debugfs_remove(struct bsa_heap *heap)
{
	debugfs_remove(heap->debugfs);
	heap->debugfs = NULL;
}

/**
 * bsa_debugfs_init - make the directory
 */
void bsa_debugfs_init(void)
{
	root = debugfs_create_dir("bsa", NULL);
#ifdef CONFIG_FAULT_INJECTION
	fault_create_debugfs_attr("fail_alloc", root, &bsa_fail_alloc);
#endif
}

/**
 * bsa_debugfs_exit - remove everything
 */
void bsa_debugfs_exit(void)
{
	debugfs_remove(root);
}
