// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is put off for want of a lock: bsa_buddy_defer(), bsa_buddy_catch_up()
 *
 * Check: defer
 *
 * Page 0 is a block that is allocated and freed again and again, and page 1 a slab.
 * Either may be deferred as a slab at any time, also late, when it is something else;
 * the block is deferred when it is freed, too, or it is freed at once.
 *
 * A block that was freed becomes free, once. Whoever had something to look at, and said
 * so, has it looked at afterwards, as long as it is a slab. A page is on the list at
 * most once.
 */
#define IF		if ::
#define FI		:: else fi

#define NIL		2	/* end of a list */
#define NOT_DEFERRED	3

mtype = { FREE, KEPT, DEFERRED };

mtype state[2] = KEPT;
byte next[2] = NOT_DEFERRED;
byte head = NIL, pending = NIL;
bool lock;

/* What only the model knows */
bool listed[2], news[2];	/* on the list; there is something to look at */
byte freeing;			/* the block has been freed, and is not free yet */
byte done;

inline defer(p)			/* bsa_buddy_defer() */
{
	atomic {		/* cmpxchg() */
		ours = next[p] == NOT_DEFERRED;
		IF ours -> next[p] = NIL FI
	}
	IF ours ->		/* llist_add() */
		do
		:: first = head;
		   next[p] = first;
		   atomic {
			IF head == first ->
				assert(!listed[p]); listed[p] = true; head = p; break
			FI
		   }
		od
	FI
}

inline free_block(p)
{
	atomic { assert(freeing == 1); freeing = 0; state[p] = FREE }
}

inline catch_up()		/* bsa_buddy_catch_up(), of one */
{
	atomic { !lock && (pending != NIL || head != NIL) -> lock = true }
	IF pending != NIL || head != NIL ->
		IF pending == NIL -> atomic { pending = head; head = NIL } FI;
		p = pending;
		pending = next[p];
		atomic { next[p] = NOT_DEFERRED; listed[p] = false }
		if
		:: state[p] == DEFERRED -> free_block(p)
		:: else -> news[p] = false	/* bsa_look(), if it is a slab */
		fi
	FI;
	lock = false;
	p = 0
}

/* Allocates the block, and frees it. */
active proctype user()
{
	byte calls = 3, first;
	bool ours;

	do
	:: calls ->
		calls--;
		freeing++;
		if
		:: atomic { !lock -> lock = true }	/* bsa_buddy_free() */
		   free_block(0);
		   lock = false
		:: state[0] = DEFERRED;
		   defer(0)
		fi;
		atomic { state[0] == FREE -> state[0] = KEPT }
	:: else -> break
	od;
	done++
}

/* Finds that a slab belongs on another list, and cannot have its owner's lock. */
active [2] proctype looker()
{
	byte first;
	bool ours;

	if
	:: news[1] = true; defer(1)
	:: defer(0)		/* too late: it is no slab any more */
	fi;
	done++
}

active [2] proctype cpu()
{
	byte p;

	do
	:: catch_up()
	:: atomic { done == 3 && !lock && head == NIL && pending == NIL -> break }
	od;
	atomic {
		assert(!freeing && state[0] == KEPT && !news[1]);
		assert(next[0] == NOT_DEFERRED && next[1] == NOT_DEFERRED)
	}
}
