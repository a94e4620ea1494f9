/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The lock-free part of percpu.c and slab.c, as a model for spin
 *
 * One slab of two objects (-DTHREE: three), three CPUs, the shared set, and an
 * interrupt on CPU 0. The files that include this one say which CPU does what.
 * Nobody counts operations: everyone goes on for ever, so all sequences are
 * covered, however long. Whenever nobody is in the middle of anything, "the end"
 * may come: all is flushed, and then nothing may be missing (finish()).
 *
 * Other slabs are not there, but what depends on them is left open: whether
 * another empty slab is kept (insert_keep(), insert_release()), and that an
 * interrupt frees into another slab (free_other()). Nor are there bulk
 * allocations, bitmaps of more than one word, holes in them, statistics, and the
 * buddy: pages that come back are there at once for whoever wants a new slab.
 *
 * Steps. A d_step is one step, and has at most one access to something that
 * others may access at the same moment: owner, remote, node.next, the llist,
 * idle, free, ttl. What goes with it in the same step is what others cannot tell
 * from another order: taking a lock before it, releasing one (or the pages) after
 * it, what only that lock's holder looks at, an owner that cannot change since
 * the lock is held, and the decision to free an object before the free's first
 * step. That free[] is the owner's alone is not taken for granted: the load and
 * the store that belongs to it are two steps, and rmw() complains about any
 * other context that is between its own two. So is ttl: set_ttl() complains if
 * the slab is somebody else's by then.
 *
 * Interrupts. The context of CPU 0's interrupt runs to its end while CPU 0's
 * other context stands still; it may begin between any two steps outside of
 * "interrupts off", or even there if it is an NMI (-DNMI). It must leave idle as
 * it has found it. So it makes no difference whether idle is loaded and stored
 * in one step, or in two, and here that is one.
 *
 * Store buffers (-DTSO). On x86 a CPU's stores are seen by others later, but in
 * order, and its locked instructions wait until all are seen. CPU 0 has such a
 * buffer, in its interrupts, too. It holds what CPU 0 stores into idle, free,
 * ttl and (to unlock) lock. What it stores into owner is not delayed, nor is
 * what it stores for others under a lock: no load lies between these stores and
 * the next locked instruction (the next lock, of the other owner or of the
 * buddy), so nobody can tell; it waits for what is in the buffer, since stores
 * stay in order. Others' stores into idle, free and ttl are not delayed: who has
 * which part is symmetric, and CPU 0 has them all in turn. CPU 0 alone loads
 * what it stored from its own buffer.
 */

#define SHARED		3	/* the shared set; 0 to 2 are those of the CPUs */
#define SETS		4

/* enum bsa_page_state; NONE: its pages are the buddy's. */
#define NONE		0
#define ACTIVE		1
#define PARTIAL		2
#define FULL		3
#define EMPTY		4

/* bsa_cpu.idle */
#define IDLE		0	/* the owner's number */
#define BUSY		1	/* the same less one: between enter() and leave() */
#define SLAB		2	/* this slab */
#define OTHER		3	/* another slab */

#ifdef THREE
#define CAPACITY	3
#else
#define CAPACITY	2
#endif
#define ALL		((1 << CAPACITY) - 1)
#define MANY		7	/* U16_MAX */

/* hweight_long() */
#define NR(bits)	(((bits) & 1) + (((bits) >> 1) & 1) + (((bits) >> 2) & 1))

/* struct bsa_page. An owner's number is that of its set and one. */
#define NOBODY		0
byte owner = NOBODY, state = NONE, free, remote, ttl;
bit queued;			/* node.next is not BSA_NOT_QUEUED */
byte listed;			/* whose list it is on */

/* struct bsa_cpu: the slab is on this llist, pending here, active here. */
bit on_llist[SETS], pending[SETS], current[SETS];
bit lock[SETS];
byte idle[SETS];

/* Not in the code: what users hold, and what is going on. */
byte live;			/* objects that somebody holds */
byte dying;			/* objects that are being freed by their holder */
byte writer;			/* context that is between load and store of free */
byte running;			/* contexts that are in a call */
bit over;			/* all have stopped */
bit in_irq, irqs_off;		/* on CPU 0 */

#define ONLINE		0
#define DYING		1	/* cpu_dead() has not been called, or not yet done */
#define DEAD		2
byte cpu0_is;

/* What double.pml hooks in: nobody else frees twice. */
#ifndef DOUBLE
#define MAY_FREE(me, what)	(KNOWN(me) & what)
#define PICKED
#define TAKEN		live = live | o
#define RELEASED
#define TAKEN_AWAY	skip
#define BEING_TAKEN	false
#define LOOKING		skip
#define LOOKING_AT_OWN	skip
#define LOOKED		skip
#define CONFLICTS(bits)	assert((bits) == 0)
#define IS_FREE(bits)	(false)
#define FREE_OF_FREE	assert(false)
#define LEFT_OVER	remote
#endif

#ifdef TSO
#define DEPTH		4
#define V_IDLE		0
#define V_FREE		1
#define V_TTL		2
#define V_LOCK		3

chan stores = [DEPTH] of { byte, byte };
byte my_idle;			/* what CPU 0 has last stored */
byte my_free, nr_free_stores;	/* the same while it is in the buffer, else 0 */
byte my_ttl, nr_ttl_stores;
byte unseen;			/* allocations that no other CPU can know of yet */

#define IN_BUFFER(me)	((me) == 0)
#define ROOM(me)	(!IN_BUFFER(me) || len(stores) <= DEPTH - 2)
#define FENCE(me)	(!IN_BUFFER(me) || empty(stores))
#define MY_IDLE(me)	(IN_BUFFER(me) -> my_idle : idle[me])
#define MY_FREE(me)	(IN_BUFFER(me) && nr_free_stores -> my_free : free)
#define MY_TTL(me)	(IN_BUFFER(me) && nr_ttl_stores -> my_ttl : ttl)
#define IDLE_OF(set, me) (IN_BUFFER(me) && set == 0 -> my_idle : idle[set])
#define ELSEWHERE(me)	(!IN_BUFFER(me) && nr_free_stores)
#define KNOWN(me)	(IN_BUFFER(me) -> live : live & ~unseen)
#define SETTLED		empty(stores)

inline set_idle(me, value)
{
	if
	:: IN_BUFFER(me) -> stores!V_IDLE,value; my_idle = value
	:: else -> idle[me] = value
	fi
}

inline set_free(me, value)
{
	if
	:: IN_BUFFER(me) ->
		stores!V_FREE,(value);
		my_free = value;
		nr_free_stores++
	:: else -> free = value
	fi
}

inline set_ttl(me, value)
{
	if
	:: IN_BUFFER(me) ->
		stores!V_TTL,(value);
		my_ttl = value;
		nr_ttl_stores++
	:: else ->
		assert(owner == me + 1 || BEING_TAKEN);
		ttl = value
	fi
}

inline clear_lock(me, set)
{
	if
	:: IN_BUFFER(me) -> stores!V_LOCK,set
	:: else -> lock[set] = 0
	fi
}

/* Whatever is in the buffer may be seen at any time. */
active proctype buffer()
{
	byte what, value;

end:
	do
	:: d_step {
		stores?what,value;
		if
		:: what == V_IDLE -> idle[0] = value
		:: what == V_FREE ->
			assert(owner == 1 || owner == SHARED + 1);
			free = value;
			unseen = unseen & value;
			nr_free_stores--;
			if
			:: nr_free_stores == 0 -> my_free = 0
			:: else
			fi
		:: what == V_TTL ->
			/* The last thing that a free does with its slab. */
			assert(owner == 1 || BEING_TAKEN);
			ttl = value;
			nr_ttl_stores--;
			if
			:: nr_ttl_stores == 0 -> my_ttl = 0
			:: else
			fi
		:: what == V_LOCK -> lock[value] = 0
		fi;
		what = 0;
		value = 0
	   }
	od
}
#else
#define ROOM(me)	true
#define FENCE(me)	true
#define MY_IDLE(me)	idle[me]
#define MY_FREE(me)	free
#define MY_TTL(me)	ttl
#define IDLE_OF(set, me) idle[set]
#define ELSEWHERE(me)	false
#define KNOWN(me)	live
#define SETTLED		true
byte unseen;

inline set_idle(me, value)
{
	idle[me] = value
}

inline set_free(me, value)
{
	free = value
}

inline set_ttl(me, value)
{
	/* The last thing that a free does with its slab. */
	assert(owner == me + 1 || BEING_TAKEN);
	ttl = value
}

inline clear_lock(me, set)
{
	lock[set] = 0
}
#endif

/*
 * Each context has these. c: whose slab it works on; o: the object that it
 * frees; f, r, t: free, remote and ttl that it has loaded; to: an owner that it
 * has loaded; was: what it found in idle.
 */
#define LOCALS byte c, o, f, r, t, to, was, phase

#define QUEUES (on_llist[0] + on_llist[1] + on_llist[2] + on_llist[3] + \
		pending[0] + pending[1] + pending[2] + pending[3])

#define IS_CURRENT (current[0] || current[1] || current[2] || current[3])

#ifdef NMI
#define NMI_CONTEXT	4
#define IRQS_ON		true
#else
#define NMI_CONTEXT	0
#define IRQS_ON		(!irqs_off)
#endif

/* A call begins, and ends. */
#define BEGIN	running++
#define END	running--

/* free[] is about to be changed by this context. */
inline rmw(me, ctx)
{
	assert(writer == 0 && !ELSEWHERE(me));
	writer = ctx;
	f = MY_FREE(me)
}

/* bsa_class_take(): the loads, and which object it will be */
#define READY(me, set)	(current[set] && (MY_FREE(me) & ~remote))

inline pick(me, ctx)
{
	rmw(me, ctx);
	if
	:: f & ~remote & 1 -> o = 1
	:: !(f & ~remote & 1) && (f & ~remote & 2) -> o = 2
	:: else -> o = 4
	fi;
	/* Nothing is handed out twice. */
	assert(((live | dying) & o) == 0);
	PICKED
}

/* The store */
inline take(me, set)
{
	assert(owner == set + 1);
	TAKEN;
#ifdef TSO
	if
	:: IN_BUFFER(me) -> unseen = unseen | o
	:: else
	fi;
#endif
	set_free(me, f & ~o);
	writer = 0;
	f = 0;
	o = 0
}

/* release_slab(): the pages are the buddy's again. */
inline released()
{
	assert((live | dying) == 0);
	assert(state != NONE && owner == NOBODY && listed == 0 && !IS_CURRENT);
	RELEASED;
	state = NONE
}

inline locked(me, set)
{
	assert(!lock[set]);
	lock[set] = 1;
	if
	:: me == 0 -> irqs_off = 1
	:: else
	fi
}

/* With or without interrupts on again. */
inline unlocked(me, set, irqs_on)
{
	clear_lock(me, set);
	if
	:: me == 0 && irqs_on -> irqs_off = 0
	:: else
	fi
}

/* queue_slab(): READ_ONCE() and cmpxchg(), then llist_add() */
inline queue_slab(me, ends)
{
	if
	:: d_step { !queued && FENCE(me) -> queued = 1 };
	   d_step {
		assert(QUEUES == 0);
		on_llist[to - 1] = 1;
		to = 0;
		running = running - ends
	   }
	:: d_step { queued -> to = 0; running = running - ends }
	fi
}

/* pass_on() */
inline pass_on(me)
{
	to = owner;
	if
	:: to != NOBODY -> queue_slab(me, 0)
	:: to == NOBODY
	fi
}

/* drain_word(): READ_ONCE(), xchg(), load of the word; its store */
inline take_over(me, ctx)
{
	r = remote;
	remote = 0;
	rmw(me, ctx);
	CONFLICTS(f & r)
}

inline taken_over(me)
{
	set_free(me, f | r);
	writer = 0;
	f = 0;
	r = 0
}

inline drain_word(me, ctx)
{
	if
	:: remote == 0
	:: d_step { remote != 0 && FENCE(me) -> take_over(me, ctx) };
	   d_step { ROOM(me) -> taken_over(me) }
	fi
}

/*
 * insert_slab(), for a slab that is on no list. insert_release() is for when
 * another empty slab is kept already.
 */
inline insert_keep(set)
{
	assert(owner == set + 1 && listed == 0 && !IS_CURRENT);
	listed = set + 1;
	if
	:: free == 0 -> ttl = 1; state = FULL
	:: free == ALL -> state = EMPTY
	:: else -> ttl = CAPACITY - NR(free); state = PARTIAL
	fi
}

inline insert_release(set)
{
	assert(owner == set + 1 && listed == 0 && !IS_CURRENT);
	owner = NOBODY
}

/* unlist_slab() */
inline unlist(set)
{
	assert(owner == set + 1 && listed == set + 1);
	listed = 0
}

/* What bsa_slabs_drain() does after it has drained */
inline place_drained(me, set)
{
	if
	:: state == ACTIVE
	:: d_step { state != ACTIVE && FENCE(me) -> unlist(set); insert_keep(set) }
	:: d_step {
		state != ACTIVE && free == ALL && FENCE(me) ->
		unlist(set);
		insert_release(set)
	   };
	   d_step { released() }
	fi
}

/* One round of drain_queued() */
inline drain_queued(me, ctx, set)
{
	/* next_queued(); the xchg() is what others can see of it. */
	d_step {
		(pending[set] || on_llist[set]) && FENCE(me) ->
		pending[set] = 0;
		on_llist[set] = 0;
		queued = 0
	};
	if
	:: owner == set + 1 -> drain_word(me, ctx); place_drained(me, set)
	:: owner != set + 1 -> pass_on(me)
	fi
}

/* bsa_slabs_refill(); the caller holds the lock. */
inline refill(me, ctx, set)
{
	if
	:: current[set] && MY_FREE(me) != 0 ->
		/* next_word() */
		drain_word(me, ctx)
	:: d_step {
		!(current[set] && MY_FREE(me) != 0) && FENCE(me) ->
		if
		:: current[set] -> current[set] = 0; insert_keep(set)
		:: else
		fi;
		if
		:: listed == set + 1 && state != FULL -> activate(set)
		:: else
		fi
	   }
	fi
}

/* What a reclaim relies on. */
#define TTL_FITS (state != PARTIAL || ttl + NR(free) == CAPACITY)

inline activate(set)
{
	assert(free != 0 && TTL_FITS && !IS_CURRENT);
	unlist(set);
	state = ACTIVE;
	ttl = MANY;
	current[set] = 1
}

/* bsa_slabs_detach(), but for the owner: what the lock protects */
inline detach(set)
{
	assert(TTL_FITS);
	unlist(set);
	state = ACTIVE
}

/* The same for a slab that is nobody's already */
inline detach_unowned(set)
{
	assert(TTL_FITS && owner == NOBODY && listed == set + 1);
	listed = 0;
	state = ACTIVE
}

#define HAS(set, what)	(listed == set + 1 && state == what)

/*
 * bsa_slabs_detach(), bsa_slabs_attach(): the caller holds the lock of @from,
 * and in the end none.
 */
inline move(me, from, where, irqs_on)
{
	d_step { detach(from) };
	d_step { FENCE(me) && ROOM(me) -> owner = where + 1; unlocked(me, from, false) };
	d_step { !lock[where] && FENCE(me) -> locked(me, where) };
	if
	:: d_step { ROOM(me) -> insert_keep(where); unlocked(me, where, irqs_on) }
	:: d_step { free == ALL -> insert_release(where) };
	   d_step { ROOM(me) -> released(); unlocked(me, where, irqs_on) }
	fi
}

/* adopt_shared(); interrupts are off. */
inline adopt_shared(me, ctx)
{
	d_step { !lock[SHARED] && FENCE(me) -> locked(me, SHARED) };
	if
	:: HAS(SHARED, PARTIAL) || (!pending[SHARED] && !on_llist[SHARED])
	:: !HAS(SHARED, PARTIAL) && (pending[SHARED] || on_llist[SHARED]) ->
		drain_queued(me, ctx, SHARED)
	fi;
	if
	:: HAS(SHARED, PARTIAL) -> move(me, SHARED, me, false)
	:: d_step { !HAS(SHARED, PARTIAL) && ROOM(me) -> unlocked(me, SHARED, false) }
	fi
}

/* new_slab(); others may look at the slab once they see its owner. */
inline new_slab(me)
{
	if
	:: d_step {
		state == NONE && FENCE(me) ->
		assert(owner == NOBODY && listed == 0 && !IS_CURRENT);
		assert(writer == 0 && !ELSEWHERE(me));
		free = ALL;
		remote = 0;
		state = ACTIVE;
		ttl = MANY;
		current[c] = 1
	   };
	   owner = c + 1
	:: state != NONE
	fi
}

/*
 * alloc_owner(), as the owner of c: bsa_slabs_drain_word(); then, with the lock,
 * bsa_slabs_refill() and, in three phases, refill_more().
 */
inline alloc_owner(me, ctx)
{
	if
	:: c != SHARED && current[c] && remote != 0 -> drain_word(me, ctx)
	/* Or it is not worth it. */
	:: true
	fi;
	if
	:: d_step { c != SHARED && READY(me, c) -> pick(me, ctx) };
	   d_step { ROOM(me) -> take(me, c) }
	:: d_step {
		!(c != SHARED && READY(me, c)) && !lock[c] && FENCE(me) ->
		locked(me, c)
	   };
	   do
	   :: refill(me, ctx, c);
	      if
	      :: d_step { READY(me, c) -> pick(me, ctx) };
		 d_step { ROOM(me) -> take(me, c); unlocked(me, c, true) };
		 break
	      :: current[c] && !READY(me, c)
	      :: d_step { !current[c] && phase == 0 -> phase++ };
		 if
		 :: drain_queued(me, ctx, c)
		 :: !pending[c] && !on_llist[c]
		 fi
#ifdef ADOPT
	      :: d_step {
			!current[c] && phase == 1 && c != SHARED && ROOM(me) ->
			phase++;
			unlocked(me, c, false)
		 };
		 adopt_shared(me, ctx);
		 d_step { !lock[c] && FENCE(me) -> locked(me, c) }
	      :: d_step { !current[c] && phase == 1 && c == SHARED -> phase++ }
	      :: d_step { !current[c] && phase == 2 -> phase++ };
#else
	      :: d_step { !current[c] && phase == 1 -> phase = 3 };
#endif
		 new_slab(me)
	      :: d_step { !current[c] && phase == 3 && ROOM(me) -> unlocked(me, c, true) };
		 break
	      fi
	   od
	fi
}

/*
 * bsa_alloc(), bsa_heap_alloc(): alloc_fast(), and alloc_refill() if that finds
 * nothing; or alloc_here() from the beginning.
 */
inline alloc_object(me, ctx)
{
	/* enter() */
	if
	:: d_step {
		!over && MY_IDLE(me) == IDLE && ROOM(me) ->
		BEGIN;
		set_idle(me, BUSY);
		c = me
	   }
	:: d_step { !over && MY_IDLE(me) != IDLE -> BEGIN; c = SHARED }
	fi;
	if
	:: d_step { c != SHARED && READY(me, c) -> pick(me, ctx) };
	   d_step { ROOM(me) -> take(me, c) }
#ifdef NMI
	:: ctx == NMI_CONTEXT && !(c != SHARED && READY(me, c))
	:: ctx != NMI_CONTEXT -> alloc_owner(me, ctx)
#else
	:: alloc_owner(me, ctx)
#endif
	fi;
	/* leave() */
	atomic {
		ROOM(me) ->
		if
		:: c == me -> set_idle(me, IDLE)
		:: else
		fi;
		c = 0;
		phase = 0;
		END
	}
}

/* A user frees an object that it holds. */
inline claim(what)
{
#ifdef DOUBLE
	live = live & ~what;
#else
	assert((live & what) && !(dying & what));
	live = live & ~what;
	dying = dying | what;
#endif
	o = what
}

/* It is free. */
inline freed()
{
#ifdef DOUBLE
	FREED(o)
#else
	dying = dying & ~o
#endif
}

/* Its own number again, or what it was before an interrupt. */
inline unname(me)
{
	set_idle(me, was);
	was = 0
}

/* bsa_free(), bsa_heap_free(): free_fast() and free_as_other() */
inline free_object(me, ctx)
{
	if
	:: d_step {
		!over && MAY_FREE(me, 1) && ROOM(me) ->
		BEGIN;
		claim(1);
		was = MY_IDLE(me);
		set_idle(me, SLAB)
	   }
	:: d_step {
		!over && MAY_FREE(me, 2) && ROOM(me) ->
		BEGIN;
		claim(2);
		was = MY_IDLE(me);
		set_idle(me, SLAB)
	   }
#ifdef THREE
	:: d_step {
		!over && MAY_FREE(me, 4) && ROOM(me) ->
		BEGIN;
		claim(4);
		was = MY_IDLE(me);
		set_idle(me, SLAB)
	   }
#endif
	fi;
	free_fast(me, ctx);
	if
	:: d_step { o != 0 -> to = owner; LOOKING };
	   free_as_other(me)
	:: d_step { o == 0 && ROOM(me) -> unname(me); END }
	fi
}

inline free_fast(me, ctx)
{
	if
	:: d_step { owner == me + 1 && was == IDLE -> LOOKING_AT_OWN };
		/* bsa_set_free(): the loads, the store */
		if
		:: d_step { ((MY_FREE(me) | remote) & o) == 0 -> rmw(me, ctx) };
		   d_step {
			ROOM(me) ->
			assert(owner == me + 1 || BEING_TAKEN);
			set_free(me, f | o);
			freed();
			writer = 0;
			f = 0
		   };
		   /* --slab->ttl; that of an active slab gets to 0, too, if rarely. */
		   if
		   :: d_step { MY_TTL(me) == MANY && ROOM(me) -> set_ttl(me, MANY) }
		   :: d_step {
			MY_TTL(me) != MANY && MY_TTL(me) != 1 && ROOM(me) ->
			assert(MY_TTL(me) != 0);
			t = MY_TTL(me) - 1;
			set_ttl(me, t);
			t = 0
		      }
		   :: d_step {
			(MY_TTL(me) == MANY || MY_TTL(me) == 1) && ROOM(me) ->
			set_ttl(me, 0)
		      };
		      free_last(me, ctx)
		   fi;
		   d_step { o = 0; LOOKED }
		:: d_step { (MY_FREE(me) | remote) & o -> FREE_OF_FREE; LOOKED }
		fi
	:: !(owner == me + 1 && was == IDLE)
	fi
}

#ifdef BULK
/*
 * bsa_heap_free_bulk() of two objects: free_bulk_fast(). If that cannot do it,
 * they are freed one by one, which is another call here.
 */
inline free_bulk(me, ctx)
{
	d_step {
		!over && (KNOWN(me) & 3) == 3 && ROOM(me) ->
		BEGIN;
		claim(3);
		was = MY_IDLE(me);
		set_idle(me, SLAB)
	};
	if
	:: owner == me + 1 && was == IDLE ->
		/* bsa_slab_put_many() */
		d_step { rmw(me, ctx); assert(((f | remote) & 3) == 0) };
		d_step { ROOM(me) -> f = f | 1; set_free(me, f); dying = dying & ~1 };
		d_step { ROOM(me) -> f = f | 2; set_free(me, f); dying = dying & ~2 };
		d_step {
			ROOM(me) ->
			writer = 0;
			f = 0;
			if
			:: MY_TTL(me) == MANY || state == FULL -> t = 0
			:: else -> assert(MY_TTL(me) >= 2); t = MY_TTL(me) - 2
			fi;
			set_ttl(me, t)
		};
		if
		:: t == 0 -> free_last(me, ctx)
		:: t != 0
		fi
	:: d_step {
		!(owner == me + 1 && was == IDLE) ->
		live = live | 3;
		dying = dying & ~3
	   }
	fi;
	d_step { ROOM(me) -> set_idle(me, was); was = 0; o = 0; t = 0; END }
}
#endif

/* free_last(), but for the store to idle; bsa_slabs_place_freed() */
inline free_last(me, ctx)
{
	if
	:: d_step { state == ACTIVE && ROOM(me) -> set_ttl(me, MANY) }
#ifdef NMI
	:: state != ACTIVE && ctx == NMI_CONTEXT -> free_last_in_nmi(me)
#endif
	:: d_step {
		state != ACTIVE && ctx != NMI_CONTEXT && !lock[me] && FENCE(me) ->
		assert(state == FULL || free == ALL);
		unlist(me);
		insert_keep(me)
	   }
	:: d_step {
		state != ACTIVE && ctx != NMI_CONTEXT && !lock[me] && FENCE(me) &&
		free == ALL ->
		unlist(me);
		insert_release(me)
	   };
	   d_step { released() }
	fi
}

inline free_last_in_nmi(me)
{
	/* It is not free yet after all. */
	d_step {
		ROOM(me) ->
		assert(writer == 0 && (MY_FREE(me) & o));
#ifndef DOUBLE
		dying = dying | o;
#endif
		f = MY_FREE(me) & ~o;
		set_free(me, f);
		f = 0
	};
	d_step { ROOM(me) -> set_ttl(me, 1) };
	if
	:: d_step { !(remote & o) && FENCE(me) -> remote = remote | o; freed(); to = me + 1 };
	   queue_slab(me, 0)
	:: d_step { (remote & o) && FENCE(me) -> FREE_OF_FREE }
	fi
}

/* A free of an object of another slab, of which only the mark matters here. */
inline free_other(me)
{
	d_step { !over && ROOM(me) -> BEGIN; was = MY_IDLE(me); set_idle(me, OTHER) };
	d_step { ROOM(me) -> set_idle(me, was); was = 0; END }
}

/* free_as_other(); the owner has been loaded. */
inline free_as_other(me)
{
	if
	:: to != NOBODY -> free_remote(me)
	:: d_step { to == NOBODY && ROOM(me) -> FREE_OF_FREE; unname(me); o = 0; END }
	fi
}

/* free_remote(): test_bit(), test_and_set_bit(), queue_slab(); the mark */
inline free_remote(me)
{
#ifdef DOUBLE
	if
	:: d_step {
		(MY_FREE(me) & o) && ROOM(me) ->
		LOOKED;
		unname(me);
		o = 0;
		to = 0;
		END
	   }
	:: (MY_FREE(me) & o) == 0 ->
		if
		:: d_step {
			(remote & o) && FENCE(me) ->
			LOOKED;
			unname(me);
			o = 0;
			to = 0;
			END
		   }
		:: d_step {
			!(remote & o) && FENCE(me) ->
			LOOKED;
			remote = remote | o;
			freed();
			o = 0
		   };
		   d_step { ROOM(me) -> unname(me) };
		   queue_slab(me, 1)
		fi
	fi
#else
	d_step {
		FENCE(me) ->
		assert(((MY_FREE(me) | remote) & o) == 0);
		remote = remote | o;
		freed();
		o = 0
	};
	d_step { ROOM(me) -> unname(me) };
	queue_slab(me, 1)
#endif
}

/* The same from a CPU that never owns the slab: it is known to get there. */
inline free_elsewhere(me)
{
	if
	:: d_step { !over && MAY_FREE(me, 1) -> BEGIN; claim(1); set_idle(me, SLAB) }
	:: d_step { !over && MAY_FREE(me, 2) -> BEGIN; claim(2); set_idle(me, SLAB) }
#ifdef THREE
	:: d_step { !over && MAY_FREE(me, 4) -> BEGIN; claim(4); set_idle(me, SLAB) }
#endif
	fi;
	d_step { to = owner; LOOKING };
	free_as_other(me)
}

/* bsa_slab_is_unused() of what has been loaded; the caller holds the lock. */
#define IS_UNUSED \
	((f | r) == ALL && \
	 (state == EMPTY || (state == FULL && f == 0) || \
	  (state == PARTIAL && t != 0 && t + NR(f) == CAPACITY)))

/*
 * take_away(), with is_named(): a free on another CPU that names it is not waited
 * for. In the end the slab is nobody's, or as it was.
 */
inline take_away(me, set)
{
	d_step { f = MY_FREE(me) };
	r = remote;
	t = MY_TTL(me);
	if
	:: d_step { !IS_UNUSED -> f = 0; r = 0; t = 0 }
	:: d_step {
		IS_UNUSED && FENCE(me) ->
		assert(owner == set + 1);
		f = 0;
		r = 0;
		t = 0;
		owner = NOBODY
	   };
	   do
	   :: c < SHARED && IDLE_OF(c, me) != SLAB -> c++
	   :: d_step { c < SHARED && IDLE_OF(c, me) == SLAB -> c = 0; owner = set + 1 };
	      break
	   :: d_step { c == SHARED -> c = 0; detach_unowned(set) };
	      break
	   od
	fi
}

/* reclaim_cpu(), of any set by anyone */
inline reclaim_cpu(me, set, irqs_on)
{
	d_step { !lock[set] && FENCE(me) -> locked(me, set) };
	if
	:: HAS(set, EMPTY) ->
	   take_away(me, set);
	   if
	   :: d_step { owner == NOBODY -> TAKEN_AWAY; released() }
	   :: owner != NOBODY
	   fi
	:: !HAS(set, EMPTY)
	fi;
	do
	:: d_step { on_llist[set] || pending[set] -> on_llist[set] = 0; pending[set] = 1 };
	   if
	   :: owner == set + 1 && state == ACTIVE -> break
	   :: owner == set + 1 && state != ACTIVE ->
	      take_away(me, set);
	      if
	      :: owner != NOBODY -> break
	      :: owner == NOBODY ->
		 d_step { pending[set] = 0; queued = 0 };
		 d_step { TAKEN_AWAY; released() }
	      fi
	   :: owner != set + 1 ->
		d_step { pending[set] = 0; queued = 0 };
		pass_on(me)
	   fi
	:: !on_llist[set] && !pending[set] -> break
	od;
	atomic { ROOM(me) -> unlocked(me, set, irqs_on) }
}

/* give_away() of a partial slab, or of a full one, too */
inline give_away(me, set, full_too, irqs_on)
{
	d_step { !lock[set] && FENCE(me) -> locked(me, set) };
	if
	:: HAS(set, PARTIAL) || (full_too && HAS(set, FULL)) ->
		move(me, set, SHARED, irqs_on)
	:: d_step {
		!(HAS(set, PARTIAL) || (full_too && HAS(set, FULL))) && ROOM(me) ->
		unlocked(me, set, irqs_on)
	   }
	fi
}

/* flush_owner(), with bsa_slabs_deactivate(); interrupts are off. */
inline flush_owner(me, ctx, set)
{
	d_step { !lock[set] && FENCE(me) -> locked(me, set) };
	do
	:: drain_queued(me, ctx, set)
	:: !pending[set] && !on_llist[set] -> break
	od;
	if
	:: d_step {
		ROOM(me) && FENCE(me) ->
		if
		:: current[set] -> current[set] = 0; insert_keep(set)
		:: else
		fi;
		unlocked(me, set, false)
	   }
	:: d_step {
		FENCE(me) && current[set] && free == ALL ->
		current[set] = 0;
		insert_release(set)
	   };
	   d_step { released(); unlocked(me, set, false) }
	fi;
	reclaim_cpu(me, set, false)
}

/* flush_here(), as an IPI: interrupts are off. */
inline flush_here(me, ctx)
{
	if
	:: d_step { MY_IDLE(me) == IDLE && ROOM(me) -> set_idle(me, BUSY) };
	   flush_owner(me, ctx, me);
	   give_away(me, me, false, true);
	   d_step { ROOM(me) -> set_idle(me, IDLE) }
	:: MY_IDLE(me) != IDLE
	fi
}

/*
 * The end: reclaim() as an allocation does it that is about to fail, by a
 * fourth CPU, in both steps that interrupt all CPUs. Nobody else does anything,
 * so the order of the CPUs does not matter.
 */
#define FOURTH	SHARED

active proctype finish()
{
	LOCALS;
	byte set, round;

end:
	atomic {
		running == 0 && !in_irq && !over && cpu0_is != DYING && SETTLED ->
		over = 1;
		assert(writer == 0 && dying == 0 && QUEUES == queued);
		assert(idle[0] == IDLE && idle[1] == IDLE && idle[2] == IDLE);
		do
		:: round < 2 ->
			/* flush_here() on each CPU, flush_owner() of the shared set */
			do
			:: set == 0 && cpu0_is == DEAD -> set++
			:: set < SHARED && !(set == 0 && cpu0_is == DEAD) ->
				flush_owner(FOURTH, 5, set);
				give_away(FOURTH, set, false, true);
				set++
			:: set == SHARED -> break
			od;
			flush_owner(FOURTH, 5, SHARED);
			set = 0;
			/* reclaim_all(), and again */
			do
			:: set < 3 * SETS ->
				reclaim_cpu(FOURTH, set % SETS, true);
				set++
			:: set == 3 * SETS -> break
			od;
			set = 0;
			round++
		:: round == 2 -> break
		od;
		/* Nothing is lost: all that is not live can be allocated. */
		if
		:: live == 0 -> assert(state == NONE && owner == NOBODY)
		:: else ->
			assert(owner != NOBODY && LEFT_OVER == 0);
			assert(free == (ALL & ~live));
			if
			:: live == ALL -> assert(state == FULL && listed == owner)
			:: else -> assert(HAS(SHARED, PARTIAL) && owner == SHARED + 1)
			fi
		fi;
		assert(QUEUES == 0 && !queued)
	}
}
