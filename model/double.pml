/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Double frees: CPU 0 owns the slab, CPU 1 frees, and CPU 2 frees objects that
 * are free already. That is refused, or it is found out, and undone, when the
 * owner takes over what others have freed (drain_word() counts a conflict): in
 * any case before the object is handed out again.
 *
 * It is not always refused: while the owner moves a bit from one word to the
 * other, it is in neither (-DSTRICT asks for that).
 *
 * A free that is not over when its object is handed out may as well have come a
 * little later. Then it has freed what is somebody's: that is a bug of the
 * caller that no allocator sees. Here that somebody does without it.
 *
 * Check: double -DTSO
 */
#define DOUBLE
byte again;		/* freed again by CPU 2, and free since before that */
byte twice;		/* accepted, although free */
byte now;		/* the same, while an allocation is under way */
byte stolen;
bit allocating;

#define PICKED \
	again = again & ~o; \
	assert((twice & o) == 0); \
	stolen = now & o
#define TAKEN \
	again = again & ~o; \
	live = live & ~stolen; \
	now = now & ~stolen; \
	stolen = 0
#define RELEASED \
	again = 0; \
	twice = 0; \
	now = 0
#define CONFLICTS(bits) \
	assert(((bits) & ~(twice | now)) == 0); \
	twice = twice & ~(bits); \
	now = now & ~(bits)
#define BEGIN_ALLOC	BEGIN; allocating = 1
#define END_ALLOC	END; allocating = 0; twice = twice | now; now = 0

#include "bsa.pml"

active proctype cpu0()
{
	LOCALS;

end:
	do
	:: alloc_fast(0, 1)
	:: alloc_here(0, 1)
	:: free_object(0, 1)
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

/* An object whose free can be known here */
#define IS_FREE(what)	(((free | remote) & ~(live | dying)) & what)

active proctype cpu2()
{
	LOCALS;

end:
	do
	:: if
	   :: d_step { !over && owner && IS_FREE(1) -> BEGIN; o = 1; again = 1; to = owner }
	   :: d_step { !over && owner && IS_FREE(2) -> BEGIN; o = 2; again = 2; to = owner }
	   fi;
	   if
	   :: d_step { free & o -> o = 0; to = 0; again = 0; END }
	   :: (free & o) == 0 ->
		if
		:: d_step { (remote & o) || !((live | again) & o) -> o = 0; to = 0; again = 0; END }
		:: d_step {
			!(remote & o) && ((live | again) & o) ->
			remote = remote | o;
			if
			:: live & o -> live = live & ~o
			:: else ->
#ifdef STRICT
				assert(false);
#endif
				if
				:: allocating -> now = now | o
				:: else -> twice = twice | o
				fi
			fi;
			o = 0;
			again = 0
		   };
		   queue_slab(2, 1)
		fi
	   fi
	od
}
