// SPDX-License-Identifier: GPL-2.0-only
/*
 * KASAN, kmemleak and fault injection
 *
 * Built without KASAN's checks (see Kbuild): it writes what they look at.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <bsa/compat.h>
#include <bsa/tools.h>
#include <linux/bsa.h>
#include <linux/lockdep.h>
#include <linux/moduleparam.h>
#include <linux/spinlock.h>

#ifdef CONFIG_KASAN_GENERIC
/*
 * Of what KASAN's generic mode offers, modules may call next to nothing, and
 * kasan_poison() is exported for its own tests only, without a declaration. But
 * its shadow is no secret: the compiler writes it into every module. There is a
 * byte for each 8 bytes of memory. 0: all of them may be accessed, 1 to 7: so
 * many of them, else none; then the value says why. These are the values of
 * mm/kasan/kasan.h.
 */
#define GRANULE		BIT(KASAN_SHADOW_SCALE_SHIFT)
#define REDZONE		0xfc	/* "slab-out-of-bounds" */
#define FREE_OBJECT	0xfb	/* "slab-use-after-free" */
#define FREE_PAGES	0xff	/* "use-after-free" */

bool bsa_redzones = true;
module_param_named(redzones, bsa_redzones, bool, 0444);
MODULE_PARM_DESC(redzones, "Leave room behind what has none, so that KASAN finds every overflow; takes up to twice the memory (default Y)");

void __bsa_poison(const void *ptr, size_t room)
{
	memset(kasan_mem_to_shadow(ptr),
	       room > BSA_MAX_OBJECT ? FREE_PAGES : FREE_OBJECT,
	       room / GRANULE);
}
EXPORT_SYMBOL_IF_KUNIT(__bsa_poison);

void __bsa_unpoison(const void *ptr, size_t size, size_t room)
{
	u8 *shadow = kasan_mem_to_shadow(ptr);

	memset(shadow, 0, size / GRANULE);
	memset(shadow + DIV_ROUND_UP(size, GRANULE), REDZONE,
	       (round_up(room, GRANULE) - round_up(size, GRANULE)) / GRANULE);
	if (size % GRANULE)
		shadow[size / GRANULE] = size % GRANULE;
}
EXPORT_SYMBOL_IF_KUNIT(__bsa_unpoison);

size_t __bsa_accessible(const void *ptr, size_t room)
{
	const s8 *shadow = kasan_mem_to_shadow(ptr);
	size_t i, nr = room / GRANULE;

	for (i = 0; i < nr && !shadow[i]; i++)
		;
	if (i < nr && shadow[i] > 0)
		return i * GRANULE + shadow[i];
	return i < nr ? i * GRANULE : room;
}
#endif /* CONFIG_KASAN_GENERIC */

#ifdef CONFIG_DEBUG_KMEMLEAK
/*
 * kmemleak takes locks, so nothing can be told from NMI. What is allocated there
 * stays unknown: neither reported nor scanned. What is freed there has to be
 * forgotten before it is handed out again, since kmemleak stops for good when
 * two objects overlap. So it is noted down, once however often that happens, and
 * forgotten at the next allocation. Who allocates at the same time waits for that.
 */
static atomic_long_t freed_in_nmi[2048];
static atomic_t nr_freed_in_nmi;
static DEFINE_RAW_SPINLOCK(forget_lock);

/* No order is needed: nothing goes with an address. */
static void note_freed(const void *ptr)
{
	unsigned int i;
	long old;

	for (i = 0; i < ARRAY_SIZE(freed_in_nmi); i++) {
		old = atomic_long_cmpxchg(&freed_in_nmi[i], 0, (long)ptr);
		if (!old)
			atomic_inc(&nr_freed_in_nmi);
		if (!old || old == (long)ptr)
			return;
	}
	pr_warn_once("too many frees from NMI: kmemleak does not know of all\n");
}

/* No order is needed, as above. */
static void forget_noted(void)
{
	unsigned long flags;
	unsigned int i;
	long ptr;

	raw_spin_lock_irqsave(&forget_lock, flags);
	for (i = 0; i < ARRAY_SIZE(freed_in_nmi) && atomic_read(&nr_freed_in_nmi);
	     i++) {
		if (!atomic_long_read(&freed_in_nmi[i]))
			continue;
		ptr = atomic_long_xchg(&freed_in_nmi[i], 0);
		kmemleak_free((void *)ptr);
		atomic_dec(&nr_freed_in_nmi);
	}
	raw_spin_unlock_irqrestore(&forget_lock, flags);
}

/*
 * kmemleak allocates, which must not be done in every context where callers may. On
 * PREEMPT_RT that is so; else it is only lockdep who thinks of PREEMPT_RT.
 */
void bsa_track(const void *ptr, size_t room)
{
	static DEFINE_WAIT_OVERRIDE_MAP(track_map, LD_WAIT_CONFIG);

	if (in_nmi())
		return;
	if (atomic_read(&nr_freed_in_nmi))
		forget_noted();
	if (IS_ENABLED(CONFIG_PREEMPT_RT) && !preemptible())
		return;
	lock_map_acquire_try(&track_map);
	kmemleak_alloc(ptr, room, 1, __GFP_HIGH | __GFP_NOWARN);
	lock_map_release(&track_map);
}

void bsa_untrack(const void *ptr)
{
	if (unlikely(in_nmi()))
		note_freed(ptr);
	else
		kmemleak_free(ptr);
}
EXPORT_SYMBOL_IF_KUNIT(bsa_untrack);
#endif /* CONFIG_DEBUG_KMEMLEAK */

#ifdef CONFIG_FAULT_INJECTION
/* Its knobs are made in debugfs.c. */
DECLARE_FAULT_ATTR(bsa_fail_alloc);

/* Is this allocation to fail, for a test's sake? */
bool bsa_should_fail(size_t size)
{
	return bsa_may_fail() && !in_nmi() && should_fail(&bsa_fail_alloc, size);
}
#endif
