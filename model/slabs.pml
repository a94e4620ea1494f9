// SPDX-License-Identifier: GPL-2.0-only
/*
 * The protocol of slabs and their owners, for spin
 *
 * Check: slabs -DOPS=1 -DSECOND -DNMI
 * Check: slabs -DOPS=3 -DSECOND -DPSO
 * Check: slabs -DOPS=3 -DMOVE -DPSO
 * Check: slabs -DOPS=2 -DDEAD -DPSO
 * Check: slabs -DOPS=1 -DNMI -DPSO
 * Check: slabs -DOPS=4 -DSECOND
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
 * Without one of these all see all stores in one order:
 *
 *   PSO         each CPU has a store buffer, of four stores, which it alone sees until
 *               they arrive: those to one place in order, a release after all before it,
 *               any other at any time. A barrier waits until all have arrived, and
 *               smp_wmb() is the release of the store after it
 *   TSO         all arrive in order, as on x86, and to take a lock is a barrier
 *
 * PSO has all that TSO has. Loads are in order. What only the holder of a lock looks at
 * needs no buffer. An object that is new can be freed by another CPU when all that its
 * CPU has stored has arrived: who hands it over sees to that.
 *
 * Besides what is asserted nobody may wait for ever, and check() holds at the end.
 *
 * What is forgiven: a second free that comes when the object has been handed out again,
 * which nobody can tell from a first one; and the residual of slab.c: the owner and
 * another free one object at once, and the slab is taken away though the owner is about
 * to write to it, since its mark was in the store buffer when it was looked for.
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
#define NO		0	/* gone? */
#define YES		1
#define MARK_WAITED	2	/* its owner's mark was in the store buffer */

#ifdef SECOND
#define SECOND_FREES	1
#else
#define SECOND_FREES	0
#endif
#if defined(PSO) || defined(TSO)
#define BUFFERS
#endif
#ifdef PSO
#define IN_ORDER	false
#else
#define IN_ORDER	true
#endif

mtype = { PAGES, ACTIVE, PARTIAL, FULL, EMPTY };

/* Slabs, as in memory; rm is the bitmap of what others have freed. */
mtype state[2] = PAGES;
byte owner[2], fr[2], rm[2];
bool deferred[2];

/* Owners, by number */
byte mark[4] = OWN, current[4] = NONE, kept[4] = NONE;
bool held[4];			/* the lock */
bool locking, in_nmi;		/* A's */

/*
 * What only the model knows. Objects: 0 free, 1 live, 2 about to be free; calls that are
 * freeing it; 1 if one of them is the second, 2 if it came in the midst of the first.
 */
byte users[6], frees[6], second[6];
byte on[2];			/* whose list a slab is on */
bool pages[2];			/* free pages */
byte gone[2];			/* taken away, and nobody's yet */
byte fresh[4];			/* new objects of the CPU that others do not know of yet */
byte dirty[4];			/* objects whose last use by the CPU has not arrived */
bool missed[2];			/* two frees at once may have left it empty on a list */
byte putting[4] = NONE;		/* what the CPU as an owner is freeing into */
bool forgiven;
byte ops = OPS, seconds = SECOND_FREES, done;
bool may_nmi, offline;

#define BIT		(1 << o)
#define OBJ		(3 * s + o)
#define BITS_SAY(f)	((f) == ALL -> EMPTY : ((f) -> PARTIAL : FULL))

/* Stores, by the CPU me */

/* May me write to the bitmap? Though it says NOBODY, take_away() may leave it alone. */
#define ITS_OWNER(s)	(((owner[s] & 3) == me || owner[s] == NOBODY) && !gone[s])

inline owner_arrives(s, x)
{
	owner[s] = x;
	IF x != NOBODY -> gone[s] = NO FI
}

inline free_arrives(s, x, is_put)
{
	IF is_put && !ITS_OWNER(s) ->
		assert(gone[s] == MARK_WAITED && SECOND_FREES && !seconds);
		forgiven = true
	FI;
	fr[s] = x
}

#ifdef BUFFERS
/* Where to */
#define V_OWNER		2	/* of slab 0 */
#define V_STATE		4
#define V_FREE		6
#define V_REMOTE	8
#define V_MARK		10
#define V_LOCK		12

/* A CPU's stores that have not arrived, the oldest first; 0 is none. */
#define DEPTH		4
byte buffer[3 * DEPTH];

#define ENTRY(v, x, release)	((v) << 4 | (x) << 1 | release)
#define TO(e)		((e) >> 4)
#define WHAT(e)		((e) >> 1 & 7)
#define RELEASES(e)	((e) & 1)

#define NTH(c, i)	buffer[DEPTH * (c - 1) + i]
#define IS(c, i, v)	(TO(NTH(c, i)) == (v))
#define HAS(c, v)	(IS(c, 0, v) || IS(c, 1, v) || IS(c, 2, v) || IS(c, 3, v))
#define ROOM		(!NTH(me, DEPTH - 1))
#define DRAINED		(!NTH(me, 0))

inline store(v, x, release)
{
	atomic {
		if
		:: !NTH(me, 0) -> NTH(me, 0) = ENTRY(v, x, release)
		:: NTH(me, 0) && !NTH(me, 1) -> NTH(me, 1) = ENTRY(v, x, release)
		:: NTH(me, 1) && !NTH(me, 2) -> NTH(me, 2) = ENTRY(v, x, release)
		:: NTH(me, 2) && !NTH(me, 3) -> NTH(me, 3) = ENTRY(v, x, release)
		fi
	}
}

inline store_owner(x, release)	{ store(V_OWNER + s, x, release) }
inline store_state(x)		{ store(V_STATE + s, x, 0) }
inline store_free(x, release)	{ store(V_FREE + s, x, release) }
inline store_remote(x)		{ store(V_REMOTE + s, x, 0) }
inline store_mark(x, release)	{ store(V_MARK, x, release) }
inline store_lock(l)		{ store(V_LOCK, l, 1) }

/* Me sees its own stores. */
#define LOAD(v, mem)	(IS(me, 3, v) -> WHAT(NTH(me, 3)) :	\
			 (IS(me, 2, v) -> WHAT(NTH(me, 2)) :	\
			 (IS(me, 1, v) -> WHAT(NTH(me, 1)) :	\
			 (IS(me, 0, v) -> WHAT(NTH(me, 0)) : mem))))

inline mb()			/* Fully ordered atomic operations begin with it. */
{
	atomic { DRAINED -> dirty[me] = 0 }
}

/* Others may free it when they know of it; me's uses of it come before its free. */
#define hand_out()	fresh[me] = fresh[me] | 1 << OBJ; dirty[me] = dirty[me] & ~(1 << OBJ)
#define use()		dirty[me] = dirty[me] | 1 << OBJ
#define STALE(objs)	((dirty[A] | dirty[B]) & (objs) && (!SECOND_FREES || seconds))

#define WAITS_MARK(c, i)	(NTH(c, i) >> 1 == (V_MARK << 3 | s))
#define MARK_WAITS(c)	(mark[c] != s && (WAITS_MARK(c, 0) || WAITS_MARK(c, 1) ||	\
					  WAITS_MARK(c, 2) || WAITS_MARK(c, 3)))

#define OTHER(i, j)	(TO(NTH(me, i)) != TO(NTH(me, j)))

proctype store_buffer(byte me) provided (!forgiven)
{
	byte i, n;

end:	do
	:: atomic {
		if
		:: NTH(me, 0) -> i = 0
#ifdef PSO
		:: NTH(me, 1) && !RELEASES(NTH(me, 1)) && OTHER(1, 0) -> i = 1
		:: NTH(me, 2) && !RELEASES(NTH(me, 2)) && OTHER(2, 0) && OTHER(2, 1) -> i = 2
		:: NTH(me, 3) && !RELEASES(NTH(me, 3)) && OTHER(3, 0) && OTHER(3, 1) &&
		   OTHER(3, 2) -> i = 3
#endif
		fi;
		n = NTH(me, i);
		do
		:: i < DEPTH - 1 -> NTH(me, i) = NTH(me, i + 1); i++
		:: else -> break
		od;
		NTH(me, DEPTH - 1) = 0;
		i = TO(n) & 1;
		if
		:: TO(n) >> 1 == V_OWNER >> 1 -> owner_arrives(i, WHAT(n))
		:: TO(n) >> 1 == V_STATE >> 1 -> state[i] = WHAT(n)
		:: TO(n) >> 1 == V_FREE >> 1 ->
			free_arrives(i, WHAT(n), RELEASES(n));
			IF IN_ORDER || RELEASES(n) ->
				dirty[me] = dirty[me] & ~(WHAT(n) << 3 * i)
			FI
		:: TO(n) >> 1 == V_REMOTE >> 1 -> rm[i] = WHAT(n)
		:: TO(n) == V_MARK -> mark[me] = WHAT(n)
		:: TO(n) == V_LOCK -> held[WHAT(n)] = false
		fi;
		IF DRAINED -> fresh[me] = 0 FI;
		i = 0; n = 0
	   }
	od
}
#else
#define store_owner(x, release)	atomic { owner_arrives(s, (x)) }
#define store_state(x)		state[s] = x
#define store_free(x, release)	atomic { free_arrives(s, (x), release) }
#define store_remote(x)		rm[s] = x
#define store_mark(x, release)	mark[me] = x
#define store_lock(l)		held[l] = false
#define LOAD(v, mem)		(mem)
#define ROOM			true
#define DRAINED			true
#define HAS(c, v)		false
#define MARK_WAITS(c)		false
#define STALE(objs)		false
#define hand_out()		skip
#define use()			skip
#define mb()			skip
#endif

#define CAN_LOCK(l)	(!held[l] && (!IN_ORDER || DRAINED))
#define OWNER_OF_S	LOAD(V_OWNER + s, owner[s])
#define STATE_OF_S	LOAD(V_STATE + s, state[s])
#define FR		LOAD(V_FREE + s, fr[s])
#define RM		LOAD(V_REMOTE + s, rm[s])
#define MARK_OF(c)	((c) == me -> LOAD(V_MARK, mark[c]) : mark[c])

inline is_free()		/* the bit of an object has been set */
{
	assert(users[OBJ] == 2 || second[OBJ]);
	forgiven = forgiven || users[OBJ] == 1;
	users[OBJ] = 0
}

inline lock(l)			/* bsa_lock(), where it is waited for */
{
	atomic { CAN_LOCK(l) -> held[l] = true; locking = locking || me == A }
}

inline unlock(l)
{
	atomic { ROOM -> store_lock(l); locking = locking && me != A }
}

/* Lists. The lock of l is held. */

inline unlist(l)
{
	IF STATE_OF_S == PARTIAL -> assert(on[s] == l); on[s] = NOBODY FI;
	IF STATE_OF_S == EMPTY -> assert(kept[l] == s); kept[l] = NONE FI
}

inline state_by_bits()
{
	f = FR;
	f = f | RM;
	e = BITS_SAY(f)
}

inline take_away(l)		/* "give", or it is to be partial */
{
	store_owner(NOBODY, 0);
	mb();
	if
	:: atomic { MARK_OF(l) != s -> give = true; gone[s] = YES + MARK_WAITS(l) }
	:: else -> store_owner(l, 0); atomic { missed[s] = true; e = PARTIAL }
	fi
}

inline place(l)			/* bsa_slabs_place(); "give": to be released */
{
	atomic { ROOM -> unlist(l); store_state(FULL) }
	store_owner((l | OWNER_FULL), 0);
	mb();
	state_by_bits();
	IF e == EMPTY ->
		if
		:: kept[l] == NONE -> atomic { ROOM -> kept[l] = s; store_state(EMPTY) }
		:: else -> take_away(l)
		fi
	FI;
	IF give -> store_state(ACTIVE) FI;
	IF !give && e == PARTIAL ->
		atomic { ROOM -> assert(!on[s]); on[s] = l; store_state(PARTIAL) }
	FI;
	IF !give && e != FULL -> store_owner(l, 1) FI
}

inline pop(l)			/* bsa_slabs_pop() */
{
	atomic {
		ROOM ->
		if
		:: on[0] == l -> s = 0
		:: on[1] == l -> s = 1
		:: on[0] != l && on[1] != l -> s = kept[l]
		fi;
		IF s != NONE -> unlist(l); store_state(ACTIVE) FI
	}
}

inline retire(l)		/* bsa_slabs_retire() */
{
	atomic { s = current[l]; current[l] = NONE }
	IF s != NONE -> place(l) FI
}

inline release()		/* bsa_release_slab() */
{
	IF give ->
		store_state(PAGES);
		mb();		/* bsa_kept_push() */
		atomic {
			assert(!owner[s] && !on[s] && !STALE(ALL << 3 * s));
			assert(!users[3 * s] && !users[3 * s + 1] && !users[3 * s + 2]);
			pages[s] = true; give = false
		}
	FI
}

inline look()			/* bsa_look() */
{
	do
	:: c = OWNER_OF_S & 3;
	   atomic {
		if
		:: c == NOBODY -> break
		:: c && is_nmi && (locking || held[c]) && DRAINED -> deferred[s] = true; break
		:: c && CAN_LOCK(c) && !(is_nmi && locking) -> lock(c)
		fi
	   }
	   if
	   :: (OWNER_OF_S & 3) == c ->
		IF STATE_OF_S != ACTIVE ->
			state_by_bits();
			IF STATE_OF_S != e -> place(c) FI
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
	f = FR;
	r = RM;
	IF OWNER_OF_S == me && !((f | r) & BIT) ->
		if
		:: (f | r | BIT) == ALL && STATE_OF_S != ACTIVE
		:: else ->
			atomic { ROOM -> store_free((f | BIT), 1); is_free(); ok = true }
		fi
	FI
}

inline free_fast()
{
	m = MARK_OF(me);
	IF OWNER_OF_S == me && m == OWN ->
		atomic { ROOM -> store_mark(s, 0); putting[me] = s }
		put();
		/* smp_wmb(), if the bit was set */
		atomic { ROOM -> store_mark(m, ok); putting[me] = NONE }
	FI
}

#define IS_PUTTING(c)	(putting[c] == s || HAS(c, V_FREE + s))

inline free_remote()
{
	IF OWNER_OF_S != NOBODY ->
		f = FR;
		f = f | RM;
		mb();
		atomic {	/* test_and_set_bit() */
			ok = !((f | rm[s]) & BIT);
			IF ok ->
				rm[s] = rm[s] | BIT; is_free();
				missed[s] = missed[s] || IS_PUTTING(A) || IS_PUTTING(B)
			FI
		}
		IF ok ->
			c = OWNER_OF_S & OWNER_FULL;
			IF !c ->
				f = FR;
				f = f | RM;
				c = (f == ALL && STATE_OF_S != ACTIVE)
			FI;
			IF c -> look() FI
		FI
	FI
}

#define CHOOSE(slab, obj)							\
	:: users[3 * slab + obj] == 1 && !(fresh[3 - me] & 1 << 3 * slab + obj) -> \
	   s = slab; o = obj; users[OBJ] = 2; use()				\
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
		s = 0; o = 0; f = 0; r = 0; m = 0; c = 0; e = 0; ok = false
	}
}

/* Allocate */

inline drain()			/* bsa_slabs_drain() */
{
	IF RM ->
		mb();
		atomic { r = rm[s]; rm[s] = 0 }	/* xchg() */
		f = FR;
		store_free((f | r), 0)
	FI
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
		IF s != NONE -> store_owner(l, 1) FI;
		unlock(SHARED)
	FI;
	IF s == NONE ->			/* new_slab() */
		atomic {
			s = (pages[0] -> 0 : (pages[1] -> 1 : NONE));
			IF s != NONE -> pages[s] = false FI
		}
		IF s != NONE ->
			store_free(ALL, 0);
			store_remote(0);
			store_state(ACTIVE)
		FI
	FI;
	IF s != NONE ->
		atomic { ROOM -> store_owner(l, 1); current[l] = s; missed[s] = false }
		drain()
	FI
}

inline alloc(l)			/* bsa_class_take(), bsa_refill(), take_shared() */
{
	do
	:: s = current[l]; r = 0;
	   IF s != NONE ->
		f = FR;
		r = f & ~RM;
		if
		:: r ->
			atomic {
				ROOM ->
				o = (r & 1 -> 0 : (r & 2 -> 1 : 2));
				assert(OWNER_OF_S == l && STATE_OF_S == ACTIVE && !users[OBJ]);
				users[OBJ] = 1; store_free((f & ~BIT), 0);
				hand_out();
				assert(!STALE(1 << OBJ));
				/* Freed a second time since: it is as if just after this. */
				assert(!(RM & BIT) || (SECOND_FREES && !seconds));
				forgiven = forgiven || RM & BIT
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
	   IF s != NONE -> store_owner(SHARED, 1) FI;
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
		IF OWNER_OF_S == (l | OWNER_FULL) && STATE_OF_S == FULL ->
			store_owner((SHARED | OWNER_FULL), 0)
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
			IF give -> atomic { ROOM -> unlist(l); store_state(ACTIVE) } FI
		FI
	FI;
	unlock(l);
	release();
	atomic { s = 0; f = 0; e = 0 }
}

/* Who does it */

#define MINE		byte s, o, f, r, m, c; mtype e; bool ok, give

proctype cpu(byte me) provided (!forgiven && (_pid == B || !in_nmi))
{
	bool is_nmi = false;
	MINE;

	do
	:: atomic { ops -> ops-- }
	   if
	   :: free()
	   :: store_mark(BUSY, 0); alloc(me); store_mark(OWN, 0)
#ifdef MOVE
	   :: store_mark(BUSY, 0); retire_all(me); move(me); store_mark(OWN, 0)
#endif
#ifdef RECLAIM
	   :: reclaim(3 - me)
#endif
	   fi
	:: atomic {
		(deferred[0] || deferred[1]) && DRAINED ->
		s = !deferred[0];
		deferred[s] = false
	   }
	   look()		/* bsa_catch_up() */
	:: atomic { !ops && !may_nmi && !deferred[0] && !deferred[1] && DRAINED -> break }
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
	   :: atomic { !locking && CAN_LOCK(SHARED) -> lock(SHARED) }
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
	byte me = SHARED;	/* as a CPU a third one */
	bool is_nmi = false;
	MINE;

	offline;
	retire_all(A);
	move_full(A);
	move(A);
	DRAINED -> done++
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
		:: state[s] == PAGES -> assert(c == NOBODY && f == ALL && pages[s])
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
		:: pages[1] = true
		fi;
		run cpu(A);
		run cpu(B);
#ifdef BUFFERS
		run store_buffer(A);
		run store_buffer(B);
#ifdef DEAD
		run store_buffer(SHARED);
#endif
#endif
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
