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
	seq_printf(m,
		   "Sections:     %10lu\n"
		   "Managed:      %10zu kB\n"
		   "Allocated:    %10zu kB\n"
		   "Free:         %10lu kB\n"
		   "Kept:         %10lu kB\n"
		   "LivePages:    %10lu\n"
		   "LiveObjects:  %10lu\n",
		   stats.sections, stats.managed_bytes >> 10,
		   stats.allocated_bytes >> 10,
		   stats.free_pages << (PAGE_SHIFT - 10),
		   bsa_percpu_kept_pages(heap, -1) << (PAGE_SHIFT - 10),
		   stats.live_pages, stats.live_objects);
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

#define SLAB_COLUMNS \
	"    inuse  active partial   empty     allocs      frees   drained   drains  refills\n"

/*
 * Show a class, of one owner or of all (NULL). In use is what callers hold, and what
 * was freed remotely and not drained. Full slabs are on no list, and not counted.
 */
static void show_class(struct seq_file *m, const struct bsa_cpu *owner,
		       unsigned int index)
{
	unsigned long active = 0, partial = 0, empty = 0, drains = 0;
	struct bsa_class class, sum = {};
	struct bsa_heap *heap = m->private;
	struct bsa_cpu *c = NULL;

	while ((c = bsa_percpu_next(heap, c))) {
		if (owner && c != owner)
			continue;
		/* The owner counts on while this is read. */
		data_race(class = c->slabs.class[index]);
		active += !!class.active;
		partial += c->slabs.shelf[index].nr_partial;
		empty += !!c->slabs.shelf[index].empty;
		sum.allocs += class.allocs;
		sum.frees += class.frees;
		sum.drained += class.drained;
		/* As above. */
		drains += data_race(c->slabs.drains[index]);
		sum.refills += class.refills;
	}
	if (owner && !sum.allocs && !sum.frees)
		return;
	if (owner == &heap->shared)
		seq_puts(m, "shared ");
	else if (owner)
		seq_printf(m, "cpu%-3u ", owner->cpu);
	seq_printf(m, "%4zu %8lu %7lu %7lu %7lu %10lu %10lu %9lu %8lu %8lu\n",
		   bsa_class_size(index), sum.allocs - sum.frees - sum.drained, active,
		   partial, empty, sum.allocs, sum.frees, sum.drained, drains,
		   sum.refills);
}

/* Show all classes, in ascending order of size. */
static void show_classes(struct seq_file *m, const struct bsa_cpu *owner)
{
	size_t size;

	for (size = 1; size <= BSA_MAX_OBJECT;
	     size = bsa_class_size(bsa_size_class(size)) + 1)
		show_class(m, owner, bsa_size_class(size));
}

static int slabinfo_show(struct seq_file *m, void *unused)
{
	seq_puts(m, "size" SLAB_COLUMNS);
	show_classes(m, NULL);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(slabinfo);

static int percpu_show(struct seq_file *m, void *unused)
{
	struct bsa_heap *heap = m->private;
	struct bsa_cpu *c = NULL;

	seq_puts(m, "cpu    size" SLAB_COLUMNS);
	while ((c = bsa_percpu_next(heap, c)))
		show_classes(m, c);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(percpu);

static int stat_show(struct seq_file *m, void *unused)
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
	struct bsa_heap *heap = m->private;
	struct bsa_stats stats;
	unsigned int i;

	bsa_heap_get_stats(heap, &stats);
	seq_printf(m,
		   "allocs %lu\nfrees %lu\nremote_frees %lu\ndrains %lu\nrefills %lu\n"
		   "failures %lu\nrefused_frees %lu\n",
		   stats.allocs, stats.frees, stats.remote_frees, stats.drains,
		   stats.refills, stats.failures, stats.refused_frees);
	for (i = BSA_FREE_OK + 1; i < ARRAY_SIZE(reason); i++)
		seq_printf(m, "refused_%s %lu\n", reason[i],
			   bsa_heap_refused(heap, i));
	for (i = 0; heap->debug && i < ARRAY_SIZE(finding); i++)
		seq_printf(m, "%s %ld\n", finding[i],
			   atomic_long_read(&heap->debug->found[i]));
	seq_printf(m, "not_printed %d\n",
		   atomic_read(&heap->reported.missed) +
		   atomic_read(&heap->failed.missed));
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
	/* Room for all that can be wrong, so that it is looked for only once. */
	if (m->size < 4 * PAGE_SIZE)
		seq_commit(m, -1);
	else
		bsa_validate(m->private, m, false);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(validate);

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

/* Make the files of a heap, which is complete. */
void bsa_debugfs_add(struct bsa_heap *heap)
{
	struct dentry *dir = debugfs_create_dir(heap->name, root);

	debugfs_create_file("meminfo", 0400, dir, heap, &meminfo_fops);
	debugfs_create_file("buddyinfo", 0400, dir, heap, &buddyinfo_fops);
	debugfs_create_file("slabinfo", 0400, dir, heap, &slabinfo_fops);
	debugfs_create_file("percpu", 0400, dir, heap, &percpu_fops);
	debugfs_create_file("stat", 0400, dir, heap, &stat_fops);
	debugfs_create_file("validate", 0400, dir, heap, &validate_fops);
	debugfs_create_file("trim", 0200, dir, heap, &trim_fops);
	if (heap->debug)
		debugfs_create_file("objects", 0400, dir, heap, &objects_fops);
	heap->debugfs = dir;
}

/* Is there something of this name beside the heaps? */
bool bsa_debugfs_has(const char *name)
{
	struct dentry *entry = debugfs_lookup(name, root);

	dput(entry);
	return entry;
}

/* Remove the files of a heap; waits for whoever is reading or writing one. */
void bsa_debugfs_remove(struct bsa_heap *heap)
{
	debugfs_remove(heap->debugfs);
	heap->debugfs = NULL;
}

void bsa_debugfs_init(void)
{
	root = debugfs_create_dir("bsa", NULL);
#ifdef CONFIG_FAULT_INJECTION
	fault_create_debugfs_attr("fail_alloc", root, &bsa_fail_alloc);
#endif
}

void bsa_debugfs_exit(void)
{
	debugfs_remove(root);
}
