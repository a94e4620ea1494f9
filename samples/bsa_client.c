// SPDX-License-Identifier: GPL-2.0-only
/*
 * bsa_client: how another module uses bsa
 *
 * Makes every call of <linux/bsa.h> on every online CPU, lets each CPU free
 * what its neighbour allocated, and logs one line of result. It needs bsa to
 * be installed, and these lines as its Makefile:
 *
 *   obj-m := bsa_client.o
 *   ccflags-y := -I/usr/src/bsa/include
 *   KBUILD_EXTRA_SYMBOLS := /usr/src/bsa/$(KERNELRELEASE)/Module.symvers
 *
 *   make -C /lib/modules/$(uname -r)/build M=$PWD modules
 *   modprobe bsa && insmod bsa_client.ko
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bsa.h>
#include <linux/err.h>
#include <linux/hash.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/numa.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/workqueue.h>

#define NR_ROUNDS	64	/* how often objects go from CPU to CPU */
#define NR_OBJECTS	(4 * BSA_NR_CLASSES)	/* how many at a time */
#define NR_BULK		32
#define REGION_SIZE	SZ_128K	/* to be managed, in a region of our own */

/* A private heap. */
struct client_heap {
	struct bsa_heap *heap;
	void *region;			/* memory that we have added to it */
};

/* One CPU at work. */
struct client_cpu {
	struct work_struct work;	/* runs a step on that CPU */
	struct client_cpu *neighbour;	/* whose objects this CPU frees */
	void *object[NR_OBJECTS];	/* what the neighbour is to free */
	unsigned long allocs;
	unsigned long remote_frees;	/* frees of another CPU's objects */
	unsigned long errors;
	const char *first_error;
};

static struct client_cpu *client_cpu;	/* one for each CPU number */
static struct cpumask client_mask;	/* the CPUs that take part */
static struct client_heap shared;	/* a private heap that all of them use */

static void check(struct client_cpu *c, bool good, const char *what)
{
	if (!good && !c->errors++)
		c->first_error = what;
}

/* Write to what a call has returned; each object gets its own contents. */
static void *use(struct client_cpu *c, void *ptr, size_t size, size_t align,
		 const char *what)
{
	check(c, ptr && IS_ALIGNED((unsigned long)ptr, align), what);
	if (!ptr)
		return NULL;
	c->allocs++;
	return memset(ptr, hash_ptr(ptr, 8), size);
}

static void *use_zeroed(struct client_cpu *c, void *ptr, size_t size,
			const char *what)
{
	check(c, ptr && !memchr_inv(ptr, 0, size), what);
	return use(c, ptr, size, 1, what);
}

static bool is_intact(const void *ptr, size_t size)
{
	return ptr && !memchr_inv(ptr, hash_ptr(ptr, 8), size);
}

static bool has_low_memory(struct bsa_heap *heap)
{
	struct bsa_section_info info;
	unsigned int i;

	for (i = 0; i < bsa_heap_nr_sections(heap); i++) {
		if (!bsa_heap_section(heap, i, &info) && info.low)
			return true;
	}
	return false;
}

/* What most modules need: the default heap. */
static void use_default_heap(struct client_cpu *c)
{
	void *bulk[NR_BULK];
	void *p, *q;
	size_t nr;

	p = use(c, bsa_alloc(100, GFP_KERNEL), 100, 8, "bsa_alloc()");
	check(c, bsa_size(p) >= 100, "bsa_size()");
	bsa_free(p);

	p = bsa_alloc_aligned(100, SZ_1K, GFP_KERNEL);
	use(c, p, 100, SZ_1K, "bsa_alloc_aligned()");
	q = bsa_realloc(p, 5000, GFP_KERNEL);
	check(c, q && !memchr_inv(q, *(u8 *)q, 100), "bsa_realloc()");
	bsa_free(q ?: p);

	p = bsa_zalloc(500, GFP_KERNEL);
	bsa_free(use_zeroed(c, p, 500, "bsa_zalloc()"));
	p = bsa_calloc(5, 100, GFP_KERNEL);
	bsa_free(use_zeroed(c, p, 500, "bsa_calloc()"));

	nr = bsa_alloc_bulk(64, GFP_KERNEL, NR_BULK, bulk);
	check(c, nr == NR_BULK, "bsa_alloc_bulk()");
	c->allocs += nr;
	bsa_free_bulk(nr, bulk);

	p = bsa_alloc_pages(3, SZ_64K, GFP_KERNEL);
	use(c, p, 3 * PAGE_SIZE, SZ_64K, "bsa_alloc_pages()");
	bsa_free_pages(p, 3);

	p = bsa_alloc_pages_lowmem(1, PAGE_SIZE, GFP_KERNEL | __GFP_NOWARN);
	if (p || has_low_memory(NULL)) {
		use(c, p, PAGE_SIZE, PAGE_SIZE, "bsa_alloc_pages_lowmem()");
		check(c, !p || virt_to_phys(p) < SZ_4G, "not low memory");
	}
	bsa_free_pages(p, 1);
}

/* A region carries its own metadata, in its first bytes. */
static size_t region_size(void)
{
	return REGION_SIZE + bsa_region_meta_size(REGION_SIZE);
}

/* A heap of the client's own, in two parts: reserved by bsa, and brought. */
static int create_heap(struct client_heap *client, const char *name,
		       size_t size)
{
	int err = -ENOMEM;

	client->heap = bsa_heap_create(name, size, NUMA_NO_NODE);
	if (IS_ERR(client->heap))
		return PTR_ERR(client->heap);
	client->region = alloc_pages_exact(region_size(), GFP_KERNEL);
	if (!client->region)
		goto destroy;
	err = bsa_heap_add_region(client->heap, client->region, region_size());
	if (err)
		goto free_region;
	return 0;

free_region:
	free_pages_exact(client->region, region_size());
destroy:
	bsa_heap_destroy(client->heap);
	return err;
}

/* The region is part of the heap until the heap is gone. */
static int destroy_heap(struct client_heap *client)
{
	int err = bsa_heap_destroy(client->heap);

	if (!err)
		free_pages_exact(client->region, region_size());
	return err;
}

/* The same calls on a heap that nobody else uses, and what it can be asked. */
static void use_private_heap(struct client_cpu *c)
{
	struct bsa_section_info info = {};
	struct client_heap client;
	char name[BSA_NAME_LEN];
	struct bsa_stats stats;
	struct bsa_heap *heap;
	void *bulk[NR_BULK];
	unsigned int last;
	void *p, *q;
	size_t nr;

	snprintf(name, sizeof(name), "client-%u", (unsigned int)(c - client_cpu));
	if (create_heap(&client, name, SZ_1M)) {
		check(c, false, "bsa_heap_create(), bsa_heap_add_region()");
		return;
	}
	heap = client.heap;

	last = bsa_heap_nr_sections(heap) - 1;
	check(c, !bsa_heap_section(heap, last, &info) &&
	      info.size == REGION_SIZE, "bsa_heap_section()");
	check(c, bsa_heap_nr_pages(heap) == bsa_heap_nr_free_pages(heap) &&
	      !bsa_heap_allocated_bytes(heap), "a new heap is not empty");

	p = bsa_heap_alloc_aligned(heap, 100, SZ_1K, GFP_KERNEL);
	use(c, p, 100, SZ_1K, "bsa_heap_alloc()");
	check(c, bsa_heap_size(heap, p) >= 100, "bsa_heap_size()");
	q = bsa_heap_realloc(heap, p, 5000, GFP_KERNEL);
	check(c, q && !memchr_inv(q, *(u8 *)q, 100), "bsa_heap_realloc()");
	check(c, bsa_heap_destroy(heap) == -EBUSY, "a heap in use is destroyed");
	bsa_heap_free(heap, q ?: p);

	p = bsa_heap_calloc(heap, 5, 100, GFP_KERNEL);
	bsa_heap_free(heap, use_zeroed(c, p, 500, "bsa_heap_calloc()"));

	nr = bsa_heap_alloc_bulk(heap, 64, GFP_KERNEL, NR_BULK, bulk);
	check(c, nr == NR_BULK, "bsa_heap_alloc_bulk()");
	c->allocs += nr;
	bsa_heap_free_bulk(heap, nr, bulk);

	p = bsa_heap_alloc_pages(heap, 3, SZ_64K, GFP_KERNEL);
	use(c, p, 3 * PAGE_SIZE, SZ_64K, "bsa_heap_alloc_pages()");
	bsa_heap_free_pages(heap, p, 3);

	p = bsa_heap_alloc_pages_lowmem(heap, 1, PAGE_SIZE,
					GFP_KERNEL | __GFP_NOWARN);
	if (p || has_low_memory(heap)) {
		use(c, p, PAGE_SIZE, PAGE_SIZE, "bsa_heap_alloc_pages_lowmem()");
		check(c, !p || virt_to_phys(p) < SZ_4G, "not low memory");
	}
	bsa_heap_free_pages(heap, p, 1);

	bsa_heap_get_stats(heap, &stats);
	check(c, stats.allocs == stats.frees && !stats.live_objects &&
	      stats.managed_bytes == bsa_heap_managed_bytes(heap),
	      "bsa_heap_get_stats()");
	check(c, !destroy_heap(&client), "bsa_heap_destroy()");
}

static void use_every_call(struct work_struct *work)
{
	struct client_cpu *c = container_of(work, struct client_cpu, work);

	use_default_heap(c);
	use_private_heap(c);
}

/*
 * Objects of all classes, from the default heap and from a private one, for
 * the next CPU to free
 */
static size_t object_size(unsigned int i)
{
	return 8UL << (i % BSA_NR_CLASSES);
}

static struct bsa_heap *object_heap(unsigned int i)
{
	return i & 1 ? shared.heap : NULL;
}

static void allocate_objects(struct work_struct *work)
{
	struct client_cpu *c = container_of(work, struct client_cpu, work);
	unsigned int i;

	for (i = 0; i < NR_OBJECTS; i++) {
		size_t size = object_size(i);

		c->object[i] = bsa_heap_alloc(object_heap(i), size,
					      GFP_KERNEL);
		use(c, c->object[i], size, size, "an object of each class");
	}
}

static void free_objects_of_neighbour(struct work_struct *work)
{
	struct client_cpu *c = container_of(work, struct client_cpu, work);
	unsigned int i;

	for (i = 0; i < NR_OBJECTS; i++) {
		void *object = c->neighbour->object[i];

		check(c, is_intact(object, object_size(i)),
		      "contents have changed");
		bsa_heap_free(object_heap(i), object);
	}
	if (c->neighbour != c)
		c->remote_frees += NR_OBJECTS;
}

static void on_each_client_cpu(work_func_t step)
{
	unsigned int cpu;

	for_each_cpu(cpu, &client_mask) {
		INIT_WORK(&client_cpu[cpu].work, step);
		schedule_work_on(cpu, &client_cpu[cpu].work);
	}
	for_each_cpu(cpu, &client_mask)
		flush_work(&client_cpu[cpu].work);
}

static unsigned long count_errors(void)
{
	unsigned long errors = 0;
	unsigned int cpu;

	for_each_cpu(cpu, &client_mask) {
		if (!errors && client_cpu[cpu].errors)
			pr_err("CPU %u: %s\n", cpu, client_cpu[cpu].first_error);
		errors += client_cpu[cpu].errors;
	}
	return errors;
}

static void free_everything(void)
{
	on_each_client_cpu(free_objects_of_neighbour);
	if (destroy_heap(&shared))
		pr_err("the private heap is still in use\n");
}

static int __init bsa_client_init(void)
{
	unsigned long allocs = 0, remote_frees = 0;
	struct client_cpu *previous;
	unsigned int cpu, round;
	int err;

	client_cpu = kcalloc(nr_cpu_ids, sizeof(*client_cpu), GFP_KERNEL);
	if (!client_cpu)
		return -ENOMEM;
	err = create_heap(&shared, "client", SZ_4M);
	if (err) {
		pr_err("cannot create a private heap (%d)\n", err);
		goto free_cpus;
	}

	cpumask_copy(&client_mask, cpu_online_mask);
	previous = &client_cpu[cpumask_last(&client_mask)];
	for_each_cpu(cpu, &client_mask) {
		client_cpu[cpu].neighbour = previous;
		previous = &client_cpu[cpu];
	}

	on_each_client_cpu(use_every_call);
	for (round = 0; round < NR_ROUNDS; round++) {
		on_each_client_cpu(allocate_objects);
		on_each_client_cpu(free_objects_of_neighbour);
	}
	/* These live as long as the module: debugfs has something to show. */
	on_each_client_cpu(allocate_objects);

	if (count_errors()) {
		free_everything();
		err = -EIO;
		goto free_cpus;
	}
	for_each_cpu(cpu, &client_mask) {
		allocs += client_cpu[cpu].allocs;
		remote_frees += client_cpu[cpu].remote_frees;
	}
	pr_info("%u CPUs, %lu allocations, %lu freed on another CPU, 0 errors\n",
		cpumask_weight(&client_mask), allocs, remote_frees);
	return 0;

free_cpus:
	kfree(client_cpu);
	return err;
}

static void __exit bsa_client_exit(void)
{
	free_everything();
	count_errors();
	kfree(client_cpu);
}

module_init(bsa_client_init);
module_exit(bsa_client_exit);
MODULE_DESCRIPTION("Example of a module that allocates from bsa");
MODULE_LICENSE("GPL");
