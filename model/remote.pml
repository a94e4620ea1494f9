/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Remote frees: CPU 0 owns the slab, allocates and frees; an interrupt on CPU 0
 * does so too; CPUs 1 and 2 free. The owner takes over what others have freed.
 *
 * Check: remote -DTSO
 *
 * The interrupt as an NMI, which may come under a lock, takes none, and makes a
 * remote free of one that would have to:
 *
 * Check: remote -DTSO -DNMI
 */
#include "bsa.pml"

active proctype cpu0() provided (!in_irq)
{
	LOCALS;

end:
	do
	:: alloc_object(0, 1)
	:: free_object(0, 1)
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
	   :: alloc_object(0, 4)
	   :: free_object(0, 4)
	   :: skip
	   fi;
	   atomic { assert(MY_IDLE(0) == found); in_irq = 0; found = 0 }
	od
}

active proctype cpu1()
{
	LOCALS;

end:
	do
	:: free_elsewhere(1)
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
