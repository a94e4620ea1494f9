/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Double frees: CPU 0 owns the slab, CPUs 1 and 2 free, and everybody frees
 * objects that are free already, or are being freed. That is refused, or it is
 * found out, and undone, when the owner takes over what others have freed
 * (drain_word() counts a conflict): in any case before the object is handed out
 * again.
 *
 * A free that is not over when its object is handed out may as well have come a
 * little later. Then it has freed what is somebody's: that is a bug of the
 * caller that no allocator sees. Here that somebody does without it.
 *
 * No other CPU reclaims here: a double free by the owner is not to come at the
 * same moment as that.
 *
 * Check: double -DTSO
 *
 * With an interrupt on CPU 0, which frees twice, too, instead of CPU 2:
 *
 * Check: double -DTSO -DIRQ
 */
#define DOUBLE
byte taking;		/* objects that an allocation has decided upon */

#define MAY_FREE(me, what) \
	((KNOWN(me) & what) || (owner != NOBODY && !(live & what)))
#define FREED(what) \
	live = live & ~(what); \
	taking = taking & ~(what)
#define PICKED	taking = taking | o
#define TAKEN \
	live = live | (taking & o); \
	taking = taking & ~o
#define RELEASED	assert(taking == 0)
#define CONFLICTS(bits)	skip
#define FREE_OF_FREE	skip
#define LEFT_OVER	(remote & ~free)

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

#ifdef IRQ
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
#endif

active proctype cpu1()
{
	LOCALS;

end:
	do
	:: free_elsewhere(1)
	od
}

#ifndef IRQ
active proctype cpu2()
{
	LOCALS;

end:
	do
	:: free_elsewhere(2)
	od
}
#endif
