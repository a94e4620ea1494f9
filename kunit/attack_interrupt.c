// SPDX-License-Identifier: GPL-2.0-only
/*
 * Somebody interrupts the allocator on its own CPU, at any function, and allocates
 *
 * A kprobe or an ftrace handler does: it runs in the context of what it interrupts,
 * so in_nmi() is 0, also where a lock is held and interrupts are off. It must not
 * wait for that lock.
 *
 * A kernel with kprobes is not needed for that. The CPU walks step by step, and at
 * the first instruction of each function of bsa, and of those functions of the
 * kernel that are called under a lock, it is sent on a detour: a call that looks like
 * one which the interrupted code has made. All registers are as before when it is
 * over.
 */
#include "attack.h"

#include <linux/kdebug.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/nmi.h>
#include <linux/objtool.h>
#include <linux/sizes.h>

#ifdef CONFIG_X86_LOCAL_APIC
#include <asm/debugreg.h>
#include <asm/linkage.h>
#include <asm/processor.h>

/* More than is kept anywhere, so that the buddy's lock is needed. */
#define MANY_PAGES	64
#define HELD_OBJECTS	(BSA_TEST_SLOWNESS > 1 ? 4 : 64)

/**
 * struct detour - how the CPU is interrupted
 * @heap: the heap that is used, by the interrupted code and in the detour
 * @stepping: the CPU walks step by step
 * @bsa: the last instruction was one of bsa
 * @resumed: the detour is over, the function it was taken at begins now
 * @taken: how many detours there were
 * @size: of what is allocated in the detour, beside pages
 * @object: allocated before, to be freed in the next detour
 * @failed: how many of their allocations have failed
 */
static struct detour {
	struct bsa_heap *heap;
	bool stepping;
	bool bsa;
	bool resumed;
	unsigned int taken;
	size_t size;
	void *object;
	unsigned int failed;
} detour;

/* Where the detour leads back to; asm reads it. */
static unsigned long detour_ip __used;

/* Called by the code below, in the context of what it interrupts. */
static void __used take_detour(void)
{
	gfp_t gfp = GFP_ATOMIC | __GFP_NOWARN;
	void *ptr, *pages;

	detour.taken++;
	pages = bsa_heap_alloc_pages(detour.heap, MANY_PAGES, PAGE_SIZE, gfp);
	ptr = bsa_heap_alloc(detour.heap, detour.size, gfp);
	detour.failed += !pages + !ptr;
	if (pages)
		memset(pages, 0x5a, MANY_PAGES * PAGE_SIZE);
	if (ptr)
		memset(ptr, 0x5a, detour.size);
	bsa_heap_free_pages(detour.heap, pages, MANY_PAGES);
	/* What an earlier one has allocated, too. */
	bsa_heap_free(detour.heap, detour.object);
	detour.object = ptr;
}

/*
 * Flags and registers are saved, the stack is aligned. At the end the flags say that
 * the CPU walks on step by step. The compiler adds nothing.
 */
static notrace __attribute__((naked)) void detour_entry(void)
{
	asm volatile("pushq	detour_ip(%rip)\n"
		     "pushfq\n"
		     "orq	$0x100, (%rsp)\n"
		     "pushq	%rax\n	pushq	%rcx\n	pushq	%rdx\n"
		     "pushq	%rsi\n	pushq	%rdi\n	pushq	%r8\n"
		     "pushq	%r9\n	pushq	%r10\n	pushq	%r11\n"
		     "pushq	%rbp\n"
		     "movq	%rsp, %rbp\n"
		     "andq	$-16, %rsp\n"
		     "cld\n"
		     "call	take_detour\n"
		     "movq	%rbp, %rsp\n"
		     "popq	%rbp\n"
		     "popq	%r11\n	popq	%r10\n	popq	%r9\n"
		     "popq	%r8\n	popq	%rdi\n	popq	%rsi\n"
		     "popq	%rdx\n	popq	%rcx\n	popq	%rax\n"
		     "popfq\n"
		     ASM_RET);
}

STACK_FRAME_NON_STANDARD(detour_entry);

/* They are called with a lock held, and the kernel is in order when they begin. */
static void * const under_lock[] = {
#if defined(CONFIG_SMP) || defined(CONFIG_DEBUG_SPINLOCK)
#ifndef CONFIG_INLINE_SPIN_UNLOCK
	_raw_spin_unlock,
#endif
	_raw_spin_unlock_irqrestore,
#endif
	memset,
};

/*
 * A function of bsa begins where the stack has the address behind a call of it. In a
 * kernel that does not trace interrupts and locks, any instruction will do.
 */
static bool is_entry(const struct pt_regs *regs)
{
	unsigned long back = READ_ONCE_NOCHECK(*(unsigned long *)regs->sp), code;
	unsigned int i;

	/* Nobody keeps a record of locks and interrupts that could be out of date. */
	if (!IS_ENABLED(CONFIG_TRACE_IRQFLAGS) && bsa_step_is_bsa(regs->ip))
		return true;
	if (!bsa_step_is_bsa(regs->ip)) {
		for (i = 0; i < ARRAY_SIZE(under_lock); i++)
			if (detour.bsa && regs->ip == (unsigned long)under_lock[i])
				return true;
		return false;
	}
	/* A direct call of five bytes. */
	if (!bsa_step_is_bsa(back) && !within_module(back, THIS_MODULE))
		return false;
	code = READ_ONCE_NOCHECK(*(unsigned long *)(back - 8));
	return (u8)(code >> 24) == 0xe8 && back + (s32)(code >> 32) == regs->ip;
}

static int on_step(struct notifier_block *block, unsigned long what, void *data)
{
	struct die_args *args = data;
	unsigned long *dr6 = (void *)args->err;
	struct pt_regs *regs = args->regs;

	if (what != DIE_DEBUG || !(*dr6 & DR_STEP) || !detour.stepping)
		return NOTIFY_DONE;
	*dr6 &= ~DR_STEP;
	/* There are many steps, where kmemleak and KASAN do theirs. */
	touch_softlockup_watchdog();
	if (detour.resumed && regs->ip == detour_ip) {
		detour.resumed = false;
	} else if (!detour.resumed && is_entry(regs)) {
		detour.resumed = true;
		detour_ip = regs->ip;
		regs->ip = (unsigned long)detour_entry;
		regs->flags &= ~X86_EFLAGS_TF;
	}
	detour.bsa = bsa_step_is_bsa(regs->ip);
	return NOTIFY_STOP;
}

static struct notifier_block steps = { .notifier_call = on_step };

static void set_stepping(bool on)
{
	unsigned long flags;

	if (on)
		detour.stepping = true;
	asm volatile("pushf; pop %0" : "=rm" (flags) : : "memory");
	flags &= ~X86_EFLAGS_TF;
	if (on)
		flags |= X86_EFLAGS_TF;
	asm volatile("push %0; popf" : : "g" (flags) : "memory", "cc");
	/* Until here there were steps. */
	if (!on)
		detour.stepping = false;
}

/* What is interrupted: calls that take locks, refill, drain and give back. */

static void use_pages(struct bsa_heap *heap)
{
	void *a, *b;

	a = bsa_heap_alloc_pages(heap, MANY_PAGES, PAGE_SIZE, GFP_ATOMIC);
	b = bsa_heap_alloc_pages(heap, 1, PAGE_SIZE, GFP_ATOMIC);
	bsa_heap_free(heap, a);
	bsa_heap_free(heap, b);
}

static void use_objects(struct bsa_heap *heap)
{
	static void *ptrs[HELD_OBJECTS];
	size_t nr;

	nr = bsa_heap_alloc_bulk(heap, 512, GFP_ATOMIC, HELD_OBJECTS, ptrs);
	bsa_heap_free_bulk(heap, nr, ptrs);
	bsa_heap_free(heap, bsa_heap_alloc(heap, 64, GFP_ATOMIC));
	bsa_heap_free(heap, bsa_heap_alloc(heap, 2048, GFP_ATOMIC));
}

static void ask_for_too_much(struct bsa_heap *heap)
{
	bsa_heap_free(heap, bsa_heap_alloc_pages(heap, bsa_heap_nr_pages(heap),
						 PAGE_SIZE,
						 GFP_ATOMIC | __GFP_NOWARN));
}

static void reallocate(struct bsa_heap *heap)
{
	void *ptr = bsa_heap_realloc(heap, NULL, 100, GFP_ATOMIC);

	ptr = bsa_heap_realloc(heap, ptr, 20000, GFP_ATOMIC) ?: ptr;
	ptr = bsa_heap_realloc(heap, ptr, 500, GFP_ATOMIC) ?: ptr;
	bsa_heap_free(heap, ptr);
}

static void read_statistics(struct bsa_heap *heap)
{
	struct bsa_section_info info;
	struct bsa_stats stats;

	bsa_heap_get_stats(heap, &stats);
	bsa_heap_section(heap, 0, &info);
	bsa_heap_allocated_bytes(heap);
}

/* Slabs of this CPU that another one has freed into. */
static void queue_objects(struct kunit *test, struct bsa_heap *heap)
{
	void *ptrs[HELD_OBJECTS];

	KUNIT_ASSERT_EQ(test, bsa_heap_alloc_bulk(heap, 512, BSA_TEST_GFP, HELD_OBJECTS,
						  ptrs), HELD_OBJECTS);
	bsa_test_set_cpu(test, 1);
	bsa_test_give_back(heap, HELD_OBJECTS, ptrs);
	bsa_test_set_cpu(test, 0);
}

static void interrupt_each_function(struct kunit *test, void (*use)(struct bsa_heap *),
				    size_t size)
{
	detour.heap = bsa_test_heap(test, SZ_4M);
	detour.object = NULL;
	detour.size = size;
	detour.taken = 0;
	detour.failed = 0;
	if (num_online_cpus() > 1)
		queue_objects(test, detour.heap);
	preempt_disable();
	set_stepping(true);
	use(detour.heap);
	set_stepping(false);
	preempt_enable();
	bsa_heap_free(detour.heap, detour.object);

	kunit_info(test, "%u detours, %u allocations failed there\n", detour.taken,
		   detour.failed);
	KUNIT_EXPECT_GT(test, detour.taken, 2U);
	/* Some find a lock taken; not all do. */
	KUNIT_EXPECT_LT(test, detour.failed, 2 * detour.taken);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(detour.heap).live_objects, 0);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(detour.heap).live_pages, 0);
	KUNIT_EXPECT_EQ(test, bsa_test_stats(detour.heap).refused_frees, 0);
	KUNIT_EXPECT_EQ(test, bsa_test_destroy_heap(test, detour.heap), 0);
}

static void interrupt_and_allocate(struct kunit *test, void (*use)(struct bsa_heap *))
{
	static const size_t sizes[] = { 64, 512, 2048, 4 * PAGE_SIZE };
	unsigned int i;

	bsa_test_needs_module(test);
	KUNIT_ASSERT_EQ(test, register_die_notifier(&steps), 0);
	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		interrupt_each_function(test, use, sizes[i]);
}

static void interrupt_exit(struct kunit *test)
{
	/* Harmless where a test was skipped. */
	unregister_die_notifier(&steps);
	bsa_test_exit(test);
}

static void reading_of_statistics_may_be_interrupted_by_allocations(struct kunit *test)
{
	interrupt_and_allocate(test, read_statistics);
}

static void reallocations_may_be_interrupted_by_allocations(struct kunit *test)
{
	interrupt_and_allocate(test, reallocate);
}

static void calls_for_objects_may_be_interrupted_by_allocations(struct kunit *test)
{
	interrupt_and_allocate(test, use_objects);
}

static void failures_may_be_interrupted_by_allocations(struct kunit *test)
{
	interrupt_and_allocate(test, ask_for_too_much);
}

static void calls_for_pages_may_be_interrupted_by_allocations(struct kunit *test)
{
	interrupt_and_allocate(test, use_pages);
}

static struct kunit_case attack_interrupt_cases[] = {
	KUNIT_CASE(reading_of_statistics_may_be_interrupted_by_allocations),
	KUNIT_CASE(reallocations_may_be_interrupted_by_allocations),
	KUNIT_CASE(calls_for_objects_may_be_interrupted_by_allocations),
	KUNIT_CASE(failures_may_be_interrupted_by_allocations),
	KUNIT_CASE(calls_for_pages_may_be_interrupted_by_allocations),
	{}
};
#else
static void interrupt_exit(struct kunit *test)
{
	bsa_test_exit(test);
}

static void calls_may_be_interrupted_by_allocations(struct kunit *test)
{
	kunit_skip(test, "no single steps on this machine");
}

static struct kunit_case attack_interrupt_cases[] = {
	KUNIT_CASE(calls_may_be_interrupted_by_allocations),
	{}
};
#endif

struct kunit_suite bsa_attack_interrupt_suite = {
	.name = "bsa_attack_interrupt",
	.init = bsa_test_init,
	.exit = interrupt_exit,
	.test_cases = attack_interrupt_cases,
};
