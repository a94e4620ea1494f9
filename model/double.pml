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
 * Check: double -DTSO
 *
 * With an interrupt on CPU 0, which frees twice, too, instead of CPU 2:
 *
 * Check: double -DTSO -DIRQ
 *
 * With CPU 2 taking the slab away whenever it is unused: nobody is between
 * looking at its owner and at the bits then. That needs stores that are seen at
 * once, since there is no barrier between the mark and the look at the owner. The
 * owner itself gives a slab back without looking for marks.
 *
 * Check: double -DRECLAIM
 */
#define DOUBLE
byte taking;		/* objects that an allocation has decided upon */
byte looking;		/* contexts that know the owner, and not yet the bits */

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
#define TAKEN_AWAY	assert(looking == 0)
#define LOOKING \
	if \
	:: to != NOBODY -> looking++ \
	:: else \
	fi
#define LOOKING_AT_OWN	looking++
#define LOOKED	looking--
/* In the end it will not be: somebody names it. */
#define BEING_TAKEN	(owner == NOBODY && looking != 0)
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

#ifdef RECLAIM
active proctype cpu2()
{
	LOCALS;

end:
	do
	:: d_step { !over -> BEGIN };
	   reclaim_cpu(2, 0, true);
	   END
	od
}
#elif !defined(IRQ)
active proctype cpu2()
{
	LOCALS;

end:
	do
	:: free_elsewhere(2)
	od
}
#endif
