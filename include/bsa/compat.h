/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between kernel versions, and nothing else
 */
#ifndef _BSA_COMPAT_H
#define _BSA_COMPAT_H

#include <kunit/visibility.h>
#include <linux/gfp.h>
#include <linux/hrtimer.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/stackdepot.h>
#include <linux/stacktrace.h>
#include <linux/version.h>

/* Up to 6.3 MAX_ORDER was one more than the largest order. */
#ifndef MAX_PAGE_ORDER
#define MAX_PAGE_ORDER	(MAX_ORDER - 1)
#endif

/*
 * Make a range of pages free, and take it, but nothing from a CMA area. Up to 6.16 a
 * migrate type says so, from 6.17 on flags of a type of their own: passed on there, that
 * migrate type would mean the contrary. From 7.2 on the pages can be had without a
 * reference, so there never is one that somebody else could drop.
 *
 * Return 0 or a negative error. May sleep.
 */
static inline int bsa_take_range(unsigned long pfn, unsigned long nr_pages)
{
	gfp_t gfp = GFP_KERNEL | __GFP_NOWARN;

#if !defined(CONFIG_CONTIG_ALLOC)
	return -ENOMEM;
#elif defined(alloc_contig_frozen_range)
	return alloc_contig_frozen_range(pfn, pfn + nr_pages, ACR_FLAGS_NONE, gfp);
#elif defined(ACR_FLAGS_NONE)
	return alloc_contig_range(pfn, pfn + nr_pages, ACR_FLAGS_NONE, gfp);
#else
	return alloc_contig_range(pfn, pfn + nr_pages, MIGRATE_MOVABLE, gfp);
#endif
}

/* Give a page to the kernel, of such a range or from its page allocator. */
static inline void bsa_give_page(struct page *page)
{
#if defined(CONFIG_CONTIG_ALLOC) && defined(alloc_contig_frozen_range)
	if (!page_ref_count(page)) {
		free_contig_frozen_range(page_to_pfn(page), 1);
		return;
	}
#endif
	__free_page(page);
}

/*
 * Where the code of a module is, and that which goes when it is loaded. From 6.4
 * on a module's memory is an array.
 */
#ifdef for_each_mod_mem_type
#define BSA_MODULE_TEXT(module)		((module)->mem[MOD_TEXT].base)
#define BSA_MODULE_TEXT_SIZE(module)	((module)->mem[MOD_TEXT].size)
#define BSA_MODULE_INIT(module)		((module)->mem[MOD_INIT_TEXT].base)
#define BSA_MODULE_INIT_SIZE(module)	((module)->mem[MOD_INIT_TEXT].size)
#else
#define BSA_MODULE_TEXT(module)		((module)->core_layout.base)
#define BSA_MODULE_TEXT_SIZE(module)	((module)->core_layout.text_size)
#define BSA_MODULE_INIT(module)		((module)->init_layout.base)
#define BSA_MODULE_INIT_SIZE(module)	((module)->init_layout.text_size)
#endif

/*
 * The stack depot: without it, and on kernels without stack traces, no call chain
 * is saved. From 6.6 on whether it may allocate is a flag.
 */
#if defined(CONFIG_STACKDEPOT) && defined(CONFIG_STACKTRACE)
#define BSA_HAS_STACKS	true
#ifdef STACK_DEPOT_FLAG_CAN_ALLOC
#define BSA_STACK_SAVE	stack_depot_save_flags
#else
#define BSA_STACK_SAVE	__stack_depot_save
#endif
#define bsa_stack_trace	stack_trace_save
#else
#define BSA_HAS_STACKS	false
static inline unsigned int bsa_stack_trace(unsigned long *entries, unsigned int nr,
					   unsigned int skip)
{
	return 0;
}
#endif

static inline u32 bsa_stack_save(unsigned long *entries, unsigned int nr,
				 bool can_alloc)
{
	gfp_t gfp = GFP_NOWAIT | __GFP_NOWARN;

	if (!BSA_HAS_STACKS)
		return 0;
#ifdef STACK_DEPOT_FLAG_CAN_ALLOC
	return stack_depot_save_flags(entries, nr, gfp, can_alloc ?
				      STACK_DEPOT_FLAG_CAN_ALLOC : 0);
#else
	return __stack_depot_save(entries, nr, 0, gfp, can_alloc);
#endif
}

static inline unsigned int bsa_stack_fetch(u32 stack, unsigned long **entries)
{
	return BSA_HAS_STACKS ? stack_depot_fetch(stack, entries) : 0;
}

/* Older kernels want the size of what is to be pointed to. */
#ifndef kzalloc_obj
#define kzalloc_obj(object, gfp)	kzalloc(sizeof(object), gfp)
#define kvzalloc_obj(object, gfp)	kvzalloc(sizeof(object), gfp)
#endif

/* Up to 6.12 the function of a timer is set apart. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 13, 0)
static inline void hrtimer_setup(struct hrtimer *timer,
				 enum hrtimer_restart (*fn)(struct hrtimer *),
				 clockid_t clock, enum hrtimer_mode mode)
{
	hrtimer_init(timer, clock, mode);
	timer->function = fn;
}
#endif

/*
 * What a module was loaded with. Up to 6.5 suites of tests run before that has become
 * the values of its parameters; from 7.3 on nobody keeps it.
 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 6, 0) && defined(MODULE)
#define BSA_MODULE_ARGS		(THIS_MODULE->args)
#else
#define BSA_MODULE_ARGS		""
#endif

/* Up to 6.15 a register of 64 bits is called a long, and cpuid() is with others. */
#ifdef CONFIG_X86
#include <asm/msr.h>
#ifdef rdmsrq
#include <asm/cpuid/api.h>
#else
#define rdmsrq	rdmsrl
#define wrmsrq	wrmsrl
#endif
#endif

/* From 6.15 on kfree() itself refuses pages that are not from kmalloc(). */
#define BSA_KFREE_COMPLAINS	(LINUX_VERSION_CODE >= KERNEL_VERSION(6, 15, 0))

/* How many function calls a CPU got from anybody. From 7.2 on it is in an array. */
#if defined(CONFIG_X86) && defined(CONFIG_SMP)
#if LINUX_VERSION_CODE < KERNEL_VERSION(7, 2, 0)
#define BSA_CALLS_OF(cpu)	(per_cpu(irq_stat, cpu).irq_call_count)
#else
#define BSA_CALLS_OF(cpu)	(per_cpu(irq_stat, cpu).counts[IRQ_COUNT_CALL_FUNCTION])
#endif
#endif

#endif /* _BSA_COMPAT_H */
