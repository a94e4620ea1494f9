// SPDX-License-Identifier: GPL-2.0-only
/*
 * The protocol of slabs and their owners, for spin
 *
 * Check: slabs -DOPS=1 -DSECOND -DNMI
 * Check: slabs -DOPS=4 -DSECOND -DTSO
 * Check: slabs -DOPS=4 -DMOVE -DRECLAIM
 * Check: slabs -DOPS=4 -DDEAD
 * Check: slabs -DOPS=2 -DDEAD -DNMI
 * Check: slabs -DOPS=2 -DNMI_ALLOC
 *
 * Two slabs of three objects; two CPUs, A and B, and the shared set. Each inline stands
 * for a function of the code. A step touches one variable that others use, or some that
 * only the holder of a lock does. The CPUs make OPS calls in all, in any order:
 *
 *   alloc       from the active slab, the CPU's lists, the shared set, or new pages
 *   free        of any live object
 *   SECOND      also, once, of an object that is free or is just being freed
 *   MOVE        give_up_here(): leave all slabs to the shared set
 *   RECLAIM     take away slabs of the other CPU that have no live object
 *   DEAD        A goes offline, and a third CPU does leave_to_others()
 *   NMI         at any moment an NMI on A frees; what it finds locked is deferred. An
 *               interrupt is an NMI that comes when no lock is held
 *   NMI_ALLOC   at any moment an NMI on A allocates from the shared set
 *
 * All see all stores in one order; for what needs barriers see litmus/. With TSO the
 * mark of a free may be seen by others as late as the bit is.
 *
 * Besides what is asserted nobody may wait for ever, and check() holds at the end.
 *
 * What is forgiven: a second free that comes when the object has been handed out again,
 * which nobody can tell from a first one; and the residual of slab.c: the owner and
 * another free one object at once, and the slab is taken away though the owner is about
 * to write to it, since its mark was not seen: it was in the store buffer (TSO).
 */
#define IF		if ::
#define FI		:: else fi

#define ALL		7	/* the bits of all objects */
#define NOBODY		0	/* owners; the shared set is no CPU's */
#define A		1
#define B		2
#define SHARED		3
#define OWNER_FULL	4
#define NONE		2	/* no slab */
#define OWN		3	/* marks that name no slab: not busy, busy */
#define BUSY		4

#ifdef SECOND
#define SECOND_FREES	1
#else
#define SECOND_FREES	0
#endif
#ifdef TSO
#define MARK_IS_LATE	true
#else
#define MARK_IS_LATE	false
#endif

mtype = { PAGES, ACTIVE, PARTIAL, FULL, EMPTY };

/* Slabs; rm is the bitmap of what others have freed. */
mtype state[2] = PAGES;
byte owner[2], fr[2], rm[2];
bool deferred[2];

/* Owners, by number */
byte mark[4] = OWN, current[4] = NONE, kept[4] = NONE;
bool held[4];			/* the lock */
bool locking, in_nmi;		/* A's */

/* What only the model knows. Objects: 0 free, 1 live, 2 about to be free; calls that are
 * freeing it; 1 if one of them is the second, 2 if it came in the midst of the first. */
byte users[6], frees[6], second[6];
byte on[2];			/* whose list a slab is on */
bool gone[2];			/* taken away, and nobody's yet */
bool missed[2];			/* two frees at once may have left it empty on a list */
byte putting[4] = NONE;		/* what the CPU as an owner is freeing into */
bool forgiven;
byte ops = OPS, seconds = SECOND_FREES, done;
bool may_nmi, offline;

/* May me write to the bitmap? Though it says NOBODY, take_away() may leave it alone. */
#define ITS_OWNER	(((owner[s] & 3) == me || owner[s] == NOBODY) && !gone[s])
#define BIT		(1 << o)
#define OBJ		(3 * s + o)
#define BITS_SAY(f)	((f) == ALL -> EMPTY : ((f) -> PARTIAL : FULL))

inline is_free()		/* the bit of an object has been set */
{
	assert(users[OBJ] == 2 || second[OBJ]);
	forgiven = forgiven || users[OBJ] == 1;
	users[OBJ] = 0
}

inline lock(l)			/* bsa_lock(), where it is waited for */
{
	atomic { !held[l] -> held[l] = true; locking = locking || me == A }
}

inline unlock(l)
{
	atomic { held[l] = false; locking = locking && me != A }
}

/* Lists. The lock of l is held. */

inline unlist(l)
{
	IF state[s] == PARTIAL -> assert(on[s] == l); on[s] = NOBODY FI;
	IF state[s] == EMPTY -> assert(kept[l] == s); kept[l] = NONE FI
}

inline state_by_bits()
{
	f = fr[s];
	f = f | rm[s];
	e = BITS_SAY(f)
}

inline take_away(l)		/* "give", or it is to be partial */
{
	owner[s] = NOBODY;
	if
	:: atomic { mark[l] != s -> give = true; gone[s] = true }
	:: else -> atomic { owner[s] = l; missed[s] = true; e = PARTIAL }
	fi
}

inline place(l)			/* bsa_slabs_place(); "give": to be released */
{
	atomic { unlist(l); state[s] = FULL }
	owner[s] = l | OWNER_FULL;
	state_by_bits();
	IF e == EMPTY ->
		if
		:: kept[l] == NONE -> atomic { kept[l] = s; state[s] = EMPTY }
		:: else -> take_away(l)
		fi
	FI;
	IF give -> state[s] = ACTIVE FI;
	IF !give && e == PARTIAL ->
		atomic { assert(!on[s]); on[s] = l; state[s] = PARTIAL }
	FI;
	IF !give && e != FULL -> owner[s] = l FI
}

inline pop(l)			/* bsa_slabs_pop() */
{
	atomic {
		if
		:: on[0] == l -> s = 0
		:: on[1] == l -> s = 1
		:: on[0] != l && on[1] != l -> s = kept[l]
		fi;
		IF s != NONE -> unlist(l); state[s] = ACTIVE FI
	}
}

inline retire(l)		/* bsa_slabs_retire() */
{
	atomic { s = current[l]; current[l] = NONE }
	IF s != NONE -> place(l) FI
}

inline release()		/* bsa_release_slab() */
{
	atomic {
		IF give ->
			assert(!owner[s] && !on[s]);
			assert(!users[3 * s] && !users[3 * s + 1] && !users[3 * s + 2]);
			state[s] = PAGES; give = false
		FI
	}
}

inline look()			/* bsa_look() */
{
	do
	:: c = owner[s] & 3;
	   atomic {
		if
		:: c == NOBODY -> break
		:: c && is_nmi && (locking || held[c]) -> deferred[s] = true; break
		:: c && !held[c] && !(is_nmi && locking) -> lock(c)
		fi
	   }
	   if
	   :: (owner[s] & 3) == c ->
		IF state[s] != ACTIVE ->
			state_by_bits();
			IF state[s] != e -> place(c) FI
		FI;
		unlock(c);
		release();
		break
	   :: else -> unlock(c)
	   fi
	od
}

/* Free */

inline put()			/* bsa_slab_put() */
{
	f = fr[s];
	r = rm[s];
	IF owner[s] == me && !((f | r) & BIT) ->
		if
		:: (f | r | BIT) == ALL && state[s] != ACTIVE
		:: else ->
			atomic {
				bad = !ITS_OWNER;
				assert(!bad || (second[OBJ] == 2 && MARK_IS_LATE));
				forgiven = forgiven || bad;
				mark[me] = s; fr[s] = f | BIT; is_free(); ok = true
			}
		fi
	FI
}

inline free_fast()
{
	m = mark[me];
	IF owner[s] == me && m == OWN ->
		atomic {
			putting[me] = s;
			if
			:: mark[me] = s
			:: MARK_IS_LATE
			fi
		}
		put();
		atomic { mark[me] = m; putting[me] = NONE }
	FI
}

inline free_remote()
{
	IF owner[s] != NOBODY ->
		f = fr[s];
		f = f | rm[s];
		atomic {	/* test_and_set_bit() */
			ok = !((f | rm[s]) & BIT);
			IF ok ->
				rm[s] = rm[s] | BIT; is_free();
				missed[s] = missed[s] || putting[A] == s || putting[B] == s
			FI
		}
		if
		:: !ok
		:: ok && owner[s] & OWNER_FULL -> look()
		:: else ->
			f = fr[s];
			f = f | rm[s];
			IF f == ALL && state[s] != ACTIVE -> look() FI
		fi
	FI
}

#define CHOOSE(slab, obj)							\
	:: users[3 * slab + obj] == 1 -> s = slab; o = obj; users[OBJ] = 2	\
	:: seconds && users[3 * slab + obj] != 1 -> s = slab; o = obj;		\
	   seconds--; second[OBJ] = 1 + (frees[OBJ] > 0)

inline free()			/* bsa_free() of some object */
{
	atomic {
		if
		CHOOSE(0, 0)
		CHOOSE(0, 1)
		CHOOSE(0, 2)
		CHOOSE(1, 0)
		CHOOSE(1, 1)
		CHOOSE(1, 2)
		fi;
		frees[OBJ]++; in_nmi = in_nmi || is_nmi
	}
	free_fast();
	IF !ok -> free_remote() FI;
	atomic {
		frees[OBJ]--;
		IF frees[OBJ] == 0 -> assert(users[OBJ] != 2); second[OBJ] = 0 FI;
		s = 0; o = 0; f = 0; r = 0; m = 0; c = 0; e = 0; ok = false; bad = false
	}
}

/* Allocate */

inline drain()			/* bsa_slabs_drain() */
{
	atomic { r = rm[s]; rm[s] = 0 }
	fr[s] = fr[s] | r
}

inline next_slab(l)		/* change_slab(), fetch_slab(), bsa_slabs_activate() */
{
	IF l != SHARED -> lock(l) FI;
	retire(l);
	if
	:: give -> give = false
	:: else -> pop(l)
	fi;
	IF l != SHARED -> unlock(l) FI;
	IF s == NONE && l != SHARED ->	/* adopt_shared() */
		lock(SHARED);
		pop(SHARED);
		IF s != NONE -> owner[s] = l FI;
		unlock(SHARED)
	FI;
	IF s == NONE ->			/* new_slab() */
		atomic {
			s = (state[0] == PAGES -> 0 : (state[1] == PAGES -> 1 : NONE));
			IF s != NONE -> state[s] = ACTIVE FI
		}
		IF s != NONE -> fr[s] = ALL; rm[s] = 0 FI
	FI;
	IF s != NONE ->
		atomic { owner[s] = l; current[l] = s; missed[s] = false; gone[s] = false }
		drain()
	FI
}

inline alloc(l)			/* bsa_class_take(), bsa_refill(), take_shared() */
{
	do
	:: s = current[l]; r = 0;
	   IF s != NONE ->
		f = fr[s];
		r = f & ~rm[s];
		if
		:: r ->
			atomic {
				o = (r & 1 -> 0 : (r & 2 -> 1 : 2));
				assert(owner[s] == l && state[s] == ACTIVE && !users[OBJ]);
				users[OBJ] = 1; fr[s] = f & ~BIT;
				/* Freed a second time since: it is as if just after this. */
				assert(!(rm[s] & BIT) || (SECOND_FREES && !seconds));
				forgiven = forgiven || rm[s] & BIT
			}
			break
		:: else -> drain()
		fi
	   FI;
	   IF r == 0 ->
		next_slab(l);
		IF s == NONE -> break FI
	   FI
	od;
	atomic { s = 0; o = 0; f = 0; r = 0; e = 0 }
}

/* Move, reclaim */

inline move(l)			/* bsa_move_slabs(), until there are no more */
{
	do
	:: lock(l);
	   pop(l);
	   IF s != NONE -> owner[s] = SHARED FI;
	   unlock(l);
	   IF s == NONE -> break FI;
	   lock(SHARED);
	   place(SHARED);
	   unlock(SHARED);
	   release()
	od;
	atomic { s = 0; f = 0; e = 0 }
}

inline move_full(l)		/* move_all_full() */
{
	for (s : 0 .. 1) {
		lock(l);
		IF owner[s] == (l | OWNER_FULL) && state[s] == FULL ->
			owner[s] = SHARED | OWNER_FULL
		FI;
		unlock(l)
	}
}

inline retire_all(l)
{
	lock(l);
	retire(l);
	unlock(l);
	release()
}

inline reclaim(l)		/* bsa_slabs_take_empty(), bsa_slabs_take_unused() */
{
	lock(l);
	if
	:: s = kept[l]
	:: on[0] == l -> s = 0
	:: on[1] == l -> s = 1
	fi;
	IF s != NONE ->
		state_by_bits();
		IF e == EMPTY ->
			take_away(l);
			IF give -> atomic { unlist(l); state[s] = ACTIVE } FI
		FI
	FI;
	unlock(l);
	release();
	atomic { s = 0; f = 0; e = 0 }
}

/* Who does it */

#define MINE		byte s, o, f, r, m, c; mtype e; bool ok, give, bad

proctype cpu(byte me) provided (!forgiven && (_pid == B || !in_nmi))
{
	bool is_nmi = false;
	MINE;

	do
	:: atomic { ops -> ops-- }
	   if
	   :: free()
	   :: mark[me] = BUSY; alloc(me); mark[me] = OWN
#ifdef MOVE
	   :: mark[me] = BUSY; retire_all(me); move(me); mark[me] = OWN
#endif
#ifdef RECLAIM
	   :: reclaim(3 - me)
#endif
	   fi
	:: atomic { deferred[0] -> deferred[0] = false; s = 0 }
	   look()		/* bsa_catch_up() */
	:: atomic { deferred[1] -> deferred[1] = false; s = 1 }
	   look()
	:: atomic { !ops && !may_nmi && !deferred[0] && !deferred[1] -> break }
	od;
	atomic { done++; offline = offline || me == A }
}

proctype nmi() provided (!forgiven)
{
	byte me = A;
	bool is_nmi = true;
	MINE;

	if
#ifdef NMI_ALLOC
	:: in_nmi = true;
	   if
	   :: atomic { !locking && !held[SHARED] -> lock(SHARED) }
	      alloc(SHARED);
	      unlock(SHARED)
	   FI
#else
	:: free()
#endif
	:: true
	fi;
	atomic { in_nmi = false; may_nmi = false; done++ }
}

proctype hotplug() provided (!forgiven)
{
	byte me = NOBODY;
	MINE;

	offline;
	retire_all(A);
	move_full(A);
	move(A);
	done++
}

inline check()			/* when all is done */
{
	for (c : A .. SHARED) {
		assert(!held[c] && mark[c] == OWN)
	}
	for (s : 0 .. 1) {
		c = owner[s] & 3;
		f = fr[s] | rm[s];
		for (o : 0 .. 2) {	/* nothing is lost, nor free and live */
			assert(users[OBJ] == !(f & BIT))
		}
		assert(on[s] == (state[s] == PARTIAL -> c : NOBODY));
		assert(owner[s] == (state[s] == FULL -> c | OWNER_FULL : c));
		if
		:: state[s] == PAGES -> assert(c == NOBODY && f == ALL)
		:: state[s] == ACTIVE -> assert(current[c] == s)
		:: state[s] == EMPTY -> assert(kept[c] == s && f == ALL)
		:: else -> assert(state[s] == BITS_SAY(f) || (f == ALL && missed[s]))
		fi;
#ifdef DEAD
		assert(c != A)
#endif
	}
}

init
{
	byte s, o, f, c;

	atomic {
		/* Slab 0 has two live objects, or all; it is A's, active or not, or the shared set's. */
		users[0] = 1; users[1] = 1;
		if
		:: fr[0] = 4; state[0] = PARTIAL
		:: users[2] = 1; state[0] = FULL
		fi;
		if
		:: c = A
		:: c = SHARED
		fi;
		owner[0] = c;
		if
		:: c == A -> state[0] = ACTIVE; current[c] = 0
		:: state[0] == PARTIAL -> on[0] = c
		:: state[0] == FULL -> owner[0] = c | OWNER_FULL
		fi;
		/* Slab 1 is the empty one that the same owner keeps, or B's, or pages. */
		fr[1] = ALL;
		if
		:: owner[1] = c; state[1] = EMPTY; kept[c] = 1
		:: owner[1] = B; state[1] = ACTIVE; current[B] = 1; users[3] = 1; fr[1] = 6
		:: true
		fi;
		run cpu(A);
		run cpu(B);
#if defined(NMI) || defined(NMI_ALLOC)
		may_nmi = true;
		run nmi();
#else
		done++;
#endif
#ifdef DEAD
		run hotplug()
#else
		done++
#endif
	}
	if
	:: done == 4 -> atomic { check() }
	:: forgiven ->
		do		/* the others have stopped */
		:: s = !s
		od
	fi
}
