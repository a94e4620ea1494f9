/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reclaim: CPUs 0 and 1 make a slab of the pages, allocate from it, free, and
 * take unused slabs from each other; CPU 2 frees, and may be late with queueing
 * the slab. The pages come back and become another owner's slab. CPU 0 frees two
 * objects at once, too. With two objects, and with three, so that a partial slab
 * may stay on its list after a free:
 *
 * Check: reclaim -DTSO -DBULK
 * Check: reclaim -DTSO -DTHREE -DBULK
 *
 * An interrupt on CPU 0, too, that reclaims in the middle of CPU 0's own step,
 * or takes away CPU 0's mark in idle for a moment; for that CPU 1 does nothing
 * but reclaim. Then the same as an NMI, which may come in the middle of a
 * reclaim, and frees:
 *
 * Check: reclaim -DIRQ
 * Check: reclaim -DTSO -DIRQ -DNMI
 */
#include "bsa.pml"

inline reclaim_any(me)
{
	if
	:: d_step { !over -> BEGIN; set = 0 }
	:: d_step { !over -> BEGIN; set = 1 }
#ifdef IRQ
	:: d_step { !over -> BEGIN; set = SHARED }
#endif
	fi;
	reclaim_cpu(me, set, true);
	d_step { set = 0; END }
}

active proctype cpu0() provided (!in_irq)
{
	LOCALS;
	byte set;

end:
	do
	:: alloc_object(0, 1)
	:: free_object(0, 1)
#ifdef BULK
	:: free_bulk(0, 1)
#endif
	:: reclaim_any(0)
	od
}

active proctype cpu1()
{
	LOCALS;
	byte set;

end:
	do
	:: reclaim_any(1)
#ifndef IRQ
	:: alloc_object(1, 2)
	:: free_object(1, 2)
#endif
	od
}

#ifdef IRQ
active proctype irq0()
{
	LOCALS;
	byte set, found;

end:
	do
	:: d_step { !over && IRQS_ON -> in_irq = 1; found = MY_IDLE(0) };
	   if
	   :: alloc_object(0, 4)
	   :: free_object(0, 4)
	   :: free_other(0)
#ifndef NMI
	   :: reclaim_any(0)
#endif
	   :: skip
	   fi;
	   atomic { assert(MY_IDLE(0) == found); in_irq = 0; found = 0 }
	od
}
#endif

active proctype cpu2()
{
	LOCALS;

end:
	do
	:: free_elsewhere(2)
	od
}
