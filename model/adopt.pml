/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * New owners: CPU 0 allocates, frees, adopts from the shared set, is flushed by
 * an IPI, goes offline and comes back; its interrupts allocate from the shared
 * set. CPU 1 frees, flushes the shared set, and does what is to be done for a
 * dead CPU. CPU 2 frees, and may be late with queueing the slab.
 *
 * Check: adopt -DTSO
 *
 * Without any interrupt but the IPI, and nobody dies; but CPU 1 is an owner like
 * CPU 0, so that a slab goes from one to the other by way of the shared set, and
 * is found on queues of owners before the last one:
 *
 * Check: adopt -DTHIRD
 */
#define ADOPT
#include "bsa.pml"

active proctype cpu0() provided (!in_irq)
{
	LOCALS;

end:
	do
	:: alloc_object(0, 1)
	:: free_object(0, 1)
#ifndef THIRD
	:: d_step { SETTLED && !over -> irqs_off = 1; cpu0_is = DYING };
end_offline:
	   d_step { cpu0_is == DEAD && !over -> irqs_off = 0; cpu0_is = ONLINE }
#endif
	od
}

active proctype irq0()
{
	LOCALS;
	byte found;

end:
	do
	:: d_step { !over && IRQS_ON -> in_irq = 1; found = MY_IDLE(0) };
	   if
	   :: flush_here(0, 4)
#ifndef THIRD
	   :: alloc_object(0, 4)
	   :: free_object(0, 4)
#endif
	   fi;
	   atomic { assert(MY_IDLE(0) == found); in_irq = 0; irqs_off = 0; found = 0 }
	od
}

active proctype cpu1()
{
	LOCALS;

end:
	do
#ifdef THIRD
	:: alloc_object(1, 2)
	:: free_object(1, 2)
	:: d_step { !over -> BEGIN };
	   flush_here(1, 2);
	   END
#else
	:: free_elsewhere(1)
	/* cpu_dead() */
	:: d_step { cpu0_is == DYING && !over -> BEGIN };
	   flush_owner(1, 2, 0);
	   give_away(1, 0, true, true);
	   reclaim_cpu(1, 0, true);
	   d_step { cpu0_is = DEAD; END }
	/* reclaim(): the shared set, then reclaim_all() */
	:: d_step { !over -> BEGIN };
	   flush_owner(1, 2, SHARED);
	   reclaim_cpu(1, 0, true);
	   reclaim_cpu(1, SHARED, true);
	   END
#endif
	od
}

active proctype cpu2()
{
	LOCALS;

end:
	do
	:: free_elsewhere(2)
	od
}
