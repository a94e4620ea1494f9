/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The one rule for locks
 *
 * A lock whose holder runs on this CPU is never waited for, in whatever context;
 * in NMI no lock is waited for. So taking a lock may fail, and every caller says
 * what happens then.
 *
 * A CPU says so before it takes a lock, and until it has let go of it, in
 * bsa_locking. Interrupts are off in between, so whoever finds that set has come
 * by an exception: an NMI, a breakpoint, a probe. What raw_spin_trylock() says
 * does not decide, since without SMP it never fails.
 *
 * No CPU ever holds two locks of this module at once, so there is no order of
 * locks. A lock is held for a bounded number of steps: at most BSA_BATCH slabs or
 * blocks.
 */
#ifndef _BSA_LOCK_H
#define _BSA_LOCK_H

#include <linux/hardirq.h>
#include <linux/irqflags.h>
#include <linux/percpu.h>
#include <linux/spinlock.h>

/* Slabs or blocks that are looked at while a lock is held, or interrupts off. */
#define BSA_BATCH	32

DECLARE_PER_CPU(bool, bsa_locking);

/*
 * Say that this CPU is about to take a lock, and turn interrupts off. Return
 * false if it is inside such a section already; then nothing changes.
 */
static __always_inline bool bsa_lock_enter(unsigned long *flags)
{
	local_irq_save(*flags);
	if (unlikely(__this_cpu_read(bsa_locking))) {
		local_irq_restore(*flags);
		return false;
	}
	__this_cpu_write(bsa_locking, true);
	/* Whoever interrupts sees it before the lock is taken. */
	barrier();
	return true;
}

/* Say that the lock is released. */
static __always_inline void bsa_lock_leave(unsigned long flags)
{
	barrier();
	__this_cpu_write(bsa_locking, false);
	local_irq_restore(flags);
}

/*
 * Sparse cannot follow a lock that may not be taken, so it is told of none;
 * lockdep_assert_held() says what a helper needs.
 */
static inline bool __bsa_lock(raw_spinlock_t *lock, unsigned long *flags)
{
	if (!bsa_lock_enter(flags))
		return false;
	if (likely(!in_nmi())) {
		raw_spin_lock(lock);
	} else if (!raw_spin_trylock(lock)) {
		bsa_lock_leave(*flags);
		return false;
	}
	__release(lock);
	return true;
}

/*
 * Take a lock, unless that would wait for this very CPU. Return false if it
 * was not taken.
 */
#define bsa_lock(lock, flags)	__bsa_lock(lock, &(flags))

/* Release a lock. */
static inline void bsa_unlock(raw_spinlock_t *lock, unsigned long flags)
{
	__acquire(lock);
	raw_spin_unlock(lock);
	bsa_lock_leave(flags);
}

#endif /* _BSA_LOCK_H */
