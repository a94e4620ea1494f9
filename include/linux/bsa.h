/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bsa: a page and slab allocator over memory that it has reserved
 *
 * A heap is a set of physically contiguous sections that belong to nobody
 * else. Requests of up to BSA_MAX_OBJECT bytes are served from per-CPU slabs,
 * larger ones from a buddy allocator. The default heap is reserved when the
 * module loads; a driver can create heaps of its own.
 *
 *   buf = bsa_alloc(192, GFP_ATOMIC);
 *   if (!buf)
 *           return -ENOMEM;
 *   ...
 *   bsa_free(buf);
 *
 * When to use it: memory that no other part of the kernel can take away, that
 * is physically contiguous or below 4 GiB, in any context, in bounded time.
 *
 * Rules that hold for every call:
 *
 * - No call calls the kernel's own allocators, except those that create, destroy
 *   or extend a heap.
 * - Of gfp, %__GFP_ZERO, %__GFP_NOWARN, %__GFP_NORETRY and %__GFP_DMA32 (memory
 *   below 4 GiB) count. Flags that ask for what a heap cannot promise are refused
 *   with a warning: %__GFP_NOFAIL, %__GFP_DMA, %__GFP_THISNODE, %__GFP_ACCOUNT.
 * - With flags that allow sleeping, a request that would fail otherwise may wait
 *   for other CPUs and for what they cache. With %__GFP_NORETRY no request looks
 *   further than this CPU, the free pages and what no CPU owns: its time is
 *   bounded, and short.
 * - Sizes and alignments are in bytes, unless the parameter is named "nr":
 *   then it counts pages (or pointers, in the bulk calls).
 * - Memory of a heap is freed with the calls of this file. kfree(), put_page()
 *   and free_page() do not get it to anybody else, and sendpage_ok() says no to
 *   it, as to memory of kmalloc(). When a heap goes, the log says for how many
 *   pages they were tried. free_pages() of several pages does harm, as to any
 *   memory that is not from alloc_pages().
 * - A free of something that is not a live allocation is refused: one
 *   rate-limited line in the log says what was wrong and who called, the heap
 *   counts it, and nothing changes.
 *
 * Limits: one allocation is never larger than one section, and memory comes
 * with the cache attributes of the kernel's linear mapping.
 */
#ifndef _LINUX_BSA_H
#define _LINUX_BSA_H

#include <linux/gfp.h>
#include <linux/log2.h>
#include <linux/slab.h>
#include <linux/types.h>

/* The largest object that a slab holds, in bytes. */
#define BSA_MAX_OBJECT		2048

/* Size classes: 8, 16, 32, 64, 128, 256, 512, 1024 and 2048 bytes. */
#define BSA_NR_CLASSES		9

/* Three more follow: 384, 768 and 1536 bytes. */
#define BSA_ALL_CLASSES		12

/* Room for a heap's name, with the terminating zero. */
#define BSA_NAME_LEN		32

struct bsa_heap;

/**
 * bsa_size_class - index of the smallest size class that holds a request
 * @size: bytes, 1 to BSA_MAX_OBJECT
 */
static __always_inline unsigned long bsa_size_class(size_t size)
{
	unsigned long class = size > 8 ? ilog2(size - 1) - 2 : 0;

	/* From 512 bytes on, there is one of three quarters of the size. */
	return class >= 6 && size <= 6UL << class ? class + 3 : class;
}

/**
 * struct bsa_section_info - what one section of a heap looks like
 * @start: kernel virtual address of the first managed byte
 * @phys: physical address of the first managed byte
 * @size: managed bytes
 * @total_pages: managed pages
 * @free_pages: pages that belong to no allocation and no slab
 * @low: the section lies below 4 GiB physical
 */
struct bsa_section_info {
	unsigned long start;
	phys_addr_t phys;
	size_t size;
	unsigned long total_pages;
	unsigned long free_pages;
	bool low;
};

/**
 * struct bsa_stats - totals of a heap at one moment
 * @sections: number of sections
 * @managed_bytes: bytes in all sections, without the metadata
 * @allocated_bytes: bytes in page allocations and in slabs
 * @total_pages: managed pages
 * @free_pages: pages in no allocation and no slab
 * @live_objects: slab objects that callers hold
 * @live_pages: pages that callers hold through page allocations
 * @allocs: successful allocations, slab objects and page blocks
 * @frees: frees of slab objects and page blocks, remote ones included
 * @remote_frees: frees of objects in another CPU's slab
 * @drains: times an owner took over what other CPUs had freed
 * @refills: times a CPU got itself a slab with free objects
 * @failures: allocations that returned NULL
 * @refused_frees: frees of something that was not a live allocation
 *
 * Always managed = allocated + free. While other CPUs allocate, what is held may be
 * told too small, but never larger than it was.
 */
struct bsa_stats {
	unsigned long sections;
	size_t managed_bytes;
	size_t allocated_bytes;
	unsigned long total_pages;
	unsigned long free_pages;
	unsigned long live_objects;
	unsigned long live_pages;
	unsigned long allocs;
	unsigned long frees;
	unsigned long remote_frees;
	unsigned long drains;
	unsigned long refills;
	unsigned long failures;
	unsigned long refused_frees;
};

/* Heaps. In every call a NULL heap means the default heap. */

struct bsa_heap *bsa_heap_create(const char *name, size_t size, int node)
	__must_check;
struct bsa_heap *bsa_heap_find(const char *name) __must_check;
int bsa_heap_destroy(struct bsa_heap *heap);
int bsa_heap_abandon(struct bsa_heap *heap);
int bsa_heap_add_region(struct bsa_heap *heap, void *start, size_t size);
size_t bsa_region_meta_size(size_t size);
unsigned long bsa_heap_trim(struct bsa_heap *heap);

void bsa_heap_free(struct bsa_heap *heap, const void *ptr);
void *bsa_heap_alloc(struct bsa_heap *heap, size_t size, gfp_t gfp)
	__alloc_size(2) __must_check;
void *bsa_heap_alloc_aligned(struct bsa_heap *heap, size_t size, size_t align,
			     gfp_t gfp) __alloc_size(2) __must_check;
void *bsa_heap_calloc(struct bsa_heap *heap, size_t n, size_t size, gfp_t gfp)
	__alloc_size(2, 3) __must_check;
void *bsa_heap_realloc(struct bsa_heap *heap, const void *ptr,
		       size_t new_size, gfp_t gfp)
	__realloc_size(3) __must_check;
size_t __bsa_heap_size(struct bsa_heap *heap, const void *ptr);
size_t bsa_size_roundup(size_t size);

size_t bsa_heap_alloc_bulk(struct bsa_heap *heap, size_t size, gfp_t gfp,
			   size_t nr, void **ptrs) __must_check;
void bsa_heap_free_bulk(struct bsa_heap *heap, size_t nr, void **ptrs);

void *bsa_heap_alloc_pages(struct bsa_heap *heap, unsigned long nr,
			   size_t align, gfp_t gfp) __malloc __must_check;
void *bsa_heap_alloc_pages_lowmem(struct bsa_heap *heap, unsigned long nr,
				  size_t align, gfp_t gfp)
	__malloc __must_check;
void bsa_heap_free_pages(struct bsa_heap *heap, const void *addr,
			 unsigned long nr);

unsigned int bsa_heap_nr_sections(struct bsa_heap *heap);
int bsa_heap_section(struct bsa_heap *heap, unsigned int index,
		     struct bsa_section_info *info);
unsigned long bsa_heap_nr_pages(struct bsa_heap *heap);
unsigned long bsa_heap_nr_free_pages(struct bsa_heap *heap);
size_t bsa_heap_managed_bytes(struct bsa_heap *heap);
size_t bsa_heap_allocated_bytes(struct bsa_heap *heap);
void bsa_heap_get_stats(struct bsa_heap *heap, struct bsa_stats *stats);

/**
 * bsa_heap_zalloc - allocate zeroed memory from a heap
 * @heap: the heap; NULL is the default heap
 * @size: bytes; 0 gives ZERO_SIZE_PTR
 * @gfp: as for bsa_heap_alloc()
 *
 * Context: any.
 * Return: the memory, or NULL.
 */
static inline __alloc_size(2) __must_check
void *bsa_heap_zalloc(struct bsa_heap *heap, size_t size, gfp_t gfp)
{
	return bsa_heap_alloc(heap, size, gfp | __GFP_ZERO);
}

/* What the compiler knows of an allocation; SIZE_MAX if that is nothing. */
#if __has_builtin(__builtin_dynamic_object_size)
#define bsa_known_size(ptr)	__builtin_dynamic_object_size(ptr, 0)
#else
#define bsa_known_size(ptr)	__builtin_object_size(ptr, 0)
#endif

/**
 * bsa_heap_size - bytes of an allocation
 * @heap: the heap; NULL is the default heap
 * @ptr: any value
 *
 * What was asked for, where that is known: of a block of pages, to the compiler, to
 * KASAN, or with debug=. Else what there is room for, which nobody else has. To
 * use that room on purpose, ask for it: see bsa_size_roundup().
 *
 * Context: any.
 * Return: bytes that may be used; 0 if @ptr is no live allocation of the heap.
 */
static __always_inline size_t bsa_heap_size(struct bsa_heap *heap,
					    const void *ptr)
{
	size_t known = bsa_known_size(ptr), size = __bsa_heap_size(heap, ptr);

	return size < known ? size : known;
}

/*
 * The default heap: the same calls, without the heap. The first two have code of
 * their own, since they are the ones that are called most.
 */

void bsa_free(const void *ptr);
void *__bsa_alloc(size_t size, gfp_t gfp) __alloc_size(1) __must_check;
void *__bsa_alloc_class(size_t size, gfp_t gfp, unsigned long class)
	__alloc_size(1) __must_check;

/**
 * bsa_alloc - allocate from the default heap
 * @size: bytes; 0 gives ZERO_SIZE_PTR
 * @gfp: see above
 *
 * As bsa_heap_alloc(). Of a constant size the compiler finds the class.
 *
 * Context: any.
 * Return: the memory, or NULL.
 */
static __always_inline __alloc_size(1) __must_check
void *bsa_alloc(size_t size, gfp_t gfp)
{
	if (__builtin_constant_p(size) && size && size <= BSA_MAX_OBJECT)
		return __bsa_alloc_class(size, gfp, bsa_size_class(size));
	return __bsa_alloc(size, gfp);
}

static inline __alloc_size(1) __must_check
void *bsa_alloc_aligned(size_t size, size_t align, gfp_t gfp)
{
	return bsa_heap_alloc_aligned(NULL, size, align, gfp);
}

static inline __alloc_size(1) __must_check
void *bsa_zalloc(size_t size, gfp_t gfp)
{
	return bsa_alloc(size, gfp | __GFP_ZERO);
}

static inline __alloc_size(1, 2) __must_check
void *bsa_calloc(size_t n, size_t size, gfp_t gfp)
{
	return bsa_heap_calloc(NULL, n, size, gfp);
}

static inline __realloc_size(2) __must_check
void *bsa_realloc(const void *ptr, size_t new_size, gfp_t gfp)
{
	return bsa_heap_realloc(NULL, ptr, new_size, gfp);
}

static __always_inline size_t bsa_size(const void *ptr)
{
	return bsa_heap_size(NULL, ptr);
}

static inline __must_check
size_t bsa_alloc_bulk(size_t size, gfp_t gfp, size_t nr, void **ptrs)
{
	return bsa_heap_alloc_bulk(NULL, size, gfp, nr, ptrs);
}

static inline void bsa_free_bulk(size_t nr, void **ptrs)
{
	bsa_heap_free_bulk(NULL, nr, ptrs);
}

static inline __malloc __must_check
void *bsa_alloc_pages(unsigned long nr, size_t align, gfp_t gfp)
{
	return bsa_heap_alloc_pages(NULL, nr, align, gfp);
}

static inline __malloc __must_check
void *bsa_alloc_pages_lowmem(unsigned long nr, size_t align, gfp_t gfp)
{
	return bsa_heap_alloc_pages_lowmem(NULL, nr, align, gfp);
}

static inline void bsa_free_pages(const void *addr, unsigned long nr)
{
	bsa_heap_free_pages(NULL, addr, nr);
}

#ifdef DEFINE_FREE
/* void *buf __free(bsa_free) = bsa_alloc(...); */
DEFINE_FREE(bsa_free, void *, bsa_free(_T))
#endif

#endif /* _LINUX_BSA_H */
