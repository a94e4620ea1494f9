/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The lock-free part of percpu.c and slab.c, as a model for spin
 *
 * One slab of two objects, three CPUs, the shared set, and an interrupt on
 * CPU 0. The files that include this one say which CPU does what. Nobody counts
 * operations: everyone goes on for ever, so all sequences are covered, however
 * long. Whenever nobody is in the middle of anything, "the end" may come: all is
 * flushed, and then nothing may be missing (finish()).
 *
 * Other slabs are not there, but what depends on them is left open: whether
 * another empty slab is kept (insert_keep(), insert_release()).
 *
 * Steps. A d_step is one step, and has at most one access to something that
 * others may access at the same moment: owner, remote, node.next, the llist,
 * busy, free. What goes with it in the same step is what others cannot tell from
 * another order: taking a lock before it, releasing one (or the pages) after it,
 * what only that lock's holder looks at, an owner that cannot change since the
 * lock is held, and the decision to free an object before the free's first step.
 * That free is the owner's alone is not taken for granted: the load and the
 * store that belongs to it are two steps, and rmw() complains about any other
 * context that is between its own two. So is ttl: set_ttl() complains if the
 * slab is somebody else's by then.
 *
 * Interrupts. The context of CPU 0's interrupt runs to its end while CPU 0's
 * other context stands still; it may begin between any two steps outside of
 * "interrupts off", or even there if it is an NMI (-DNMI).
 *
 * Store buffers (-DTSO). On x86 a CPU's stores are seen by others later, but in
 * order, and its locked instructions wait until all are seen. CPU 0 has such a
 * buffer, in its interrupts, too. It holds what CPU 0 stores into busy, free,
 * ttl and (to unlock) lock. What it stores into owner is not delayed, nor is
 * what it stores for others under a lock: no load lies between these stores and
 * the next locked instruction (the next lock, of the other owner or of the
 * buddy), so nobody can tell; it waits for what is in the buffer, since stores
 * stay in order. Others' stores into busy, free and ttl are not delayed: who has
 * which part is symmetric, and CPU 0 has them all in turn. CPU 0 alone loads
 * what it stored from its own buffer.
 */

#define SHARED		3	/* the shared set; 0 to 2 are those of the CPUs */
#define SETS		4

/* enum bsa_page_state; NONE: its pages are the buddy's. */
#define NONE		0
#define ALLOCATED	1
#define ACTIVE		2
#define PARTIAL		3
#define FULL		4
#define EMPTY		5

/* bsa_cpu.busy */
#define NOT_BUSY	0
#define SLAB		1	/* this slab */
#define OTHER		2	/* the struct bsa_cpu, or any other slab */

#define ALL		3	/* both objects */
#define MANY		3	/* U16_MAX */

/* struct bsa_page. An owner's number is that of its set and one; 0: nobody. */
byte owner, state = NONE, free, remote, ttl;
bit queued;			/* node.next is not BSA_NOT_QUEUED */
byte listed;			/* whose list it is on */

/* struct bsa_cpu: the slab is on this llist, pending here, active here. */
bit on_llist[SETS], pending[SETS], current[SETS];
bit lock[SETS];
byte busy[SETS];

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

#ifdef TSO
#define DEPTH		4
#define V_BUSY		0
#define V_FREE		1
#define V_TTL		2
#define V_LOCK		3

chan stores = [DEPTH] of { byte, byte };
byte my_busy;			/* what CPU 0 has last stored */
byte my_free, nr_free_stores;	/* the same while it is in the buffer, else 0 */
byte my_ttl, nr_ttl_stores;
byte unseen;			/* allocations that no other CPU can know of yet */

#define IN_BUFFER(me)	((me) == 0)
#define ROOM(me)	(!IN_BUFFER(me) || len(stores) <= DEPTH - 2)
#define FENCE(me)	(!IN_BUFFER(me) || empty(stores))
#define MY_BUSY(me)	(IN_BUFFER(me) -> my_busy : busy[me])
#define MY_FREE(me)	(IN_BUFFER(me) && nr_free_stores -> my_free : free)
#define MY_TTL(me)	(IN_BUFFER(me) && nr_ttl_stores -> my_ttl : ttl)
#define ELSEWHERE(me)	(!IN_BUFFER(me) && nr_free_stores)
#define KNOWN(me)	(IN_BUFFER(me) -> live : live & ~unseen)
#define SETTLED		empty(stores)

inline set_busy(me, value)
{
	if
	:: IN_BUFFER(me) -> stores!V_BUSY,value; my_busy = value
	:: else -> busy[me] = value
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
		assert(owner == me + 1);
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
		:: what == V_BUSY -> busy[0] = value
		:: what == V_FREE ->
			free = value;
			unseen = unseen & value;
			nr_free_stores--;
			if
			:: nr_free_stores == 0 -> my_free = 0
			:: else
			fi
		:: what == V_TTL ->
			/* The last thing that a free does with its slab. */
			assert(owner == 1);
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
#define MY_BUSY(me)	busy[me]
#define MY_FREE(me)	free
#define MY_TTL(me)	ttl
#define ELSEWHERE(me)	false
#define KNOWN(me)	live
#define SETTLED		true
byte unseen;

inline set_busy(me, value)
{
	busy[me] = value
}

inline set_free(me, value)
{
	free = value
}

inline set_ttl(me, value)
{
	/* The last thing that a free does with its slab. */
	assert(owner == me + 1);
	ttl = value
}

inline clear_lock(me, set)
{
	lock[set] = 0
}
#endif

/* What double.pml hooks in: nobody else frees twice. */
#ifndef DOUBLE
#define PICKED
#define TAKEN
#define RELEASED
#define CONFLICTS(bits)	assert((bits) == 0)
#define BEGIN_ALLOC	BEGIN
#define END_ALLOC	END
#endif

/*
 * Each context has these. c: whose slab it works on; o: the object that it
 * frees; f, r: words that it has loaded; to: an owner that it has loaded.
 */
#define LOCALS byte c, o, f, r, to, phase

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

/* "bits.free" is about to be changed by this context. */
inline rmw(me, ctx)
{
	assert(writer == 0 && !ELSEWHERE(me));
	writer = ctx;
	f = MY_FREE(me)
}

/* bsa_slab_take(): the load, and which object it will be */
inline pick(me, ctx)
{
	rmw(me, ctx);
	assert(f != 0);
	if
	:: f & 1 -> o = 1
	:: else -> o = 2
	fi;
	PICKED
}

/* The store */
inline take(me, set)
{
	/* Nothing is handed out twice. */
	assert(((live | dying) & o) == 0);
	assert(owner == set + 1);
	live = live | o;
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
	assert(state != NONE && owner == 0 && listed == 0 && !IS_CURRENT);
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
	:: to != 0 -> queue_slab(me, 0)
	:: to == 0
	fi
}

/* drain_word(): READ_ONCE(), xchg(), load of bits.free; its store */
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

/* ... for the current slab of a set */
inline drain_current(me, ctx, set)
{
	if
	:: !current[set] || remote == 0
	:: d_step { current[set] && remote != 0 && FENCE(me) -> take_over(me, ctx) };
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
	:: else -> ttl = 1; state = PARTIAL
	fi
}

inline insert_release(set)
{
	assert(owner == set + 1 && listed == 0 && !IS_CURRENT);
	owner = 0
}

/* bsa_slabs_place() of a slab that stays, or does not */
inline place_keep(set)
{
	assert(owner == set + 1);
	if
	:: state == ACTIVE -> ttl = MANY
	:: else ->
		assert(listed == set + 1);
		listed = 0;
		insert_keep(set)
	fi
}

inline place_release(set)
{
	assert(listed == set + 1);
	listed = 0;
	insert_release(set)
}

inline place(me, set)
{
	if
	:: d_step { FENCE(me) -> place_keep(set) }
	:: d_step {
		FENCE(me) && state != ACTIVE && free == ALL ->
		place_release(set)
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
	:: owner == set + 1 && remote == 0 -> place(me, set)
	:: d_step { owner == set + 1 && remote != 0 && FENCE(me) -> take_over(me, ctx) };
	   d_step { ROOM(me) -> taken_over(me) };
	   place(me, set)
	:: owner != set + 1 -> pass_on(me)
	fi
}

/* bsa_slabs_refill(); the caller holds the lock. */
inline refill(me, ctx, set)
{
	drain_current(me, ctx, set);
	d_step {
		FENCE(me) ->
		if
		:: current[set] && free == 0 ->
			/* bsa_slabs_deactivate() */
			current[set] = 0;
			insert_keep(set)
		:: else
		fi;
		if
		:: !current[set] && listed == set + 1 && state != FULL ->
			activate(set)
		:: else
		fi
	};
	drain_current(me, ctx, set)
}

/* activate(), but for next_word() */
inline activate(set)
{
	assert(owner == set + 1 && listed == set + 1 && !IS_CURRENT);
	listed = 0;
	state = ACTIVE;
	ttl = MANY;
	current[set] = 1
}

/* bsa_slabs_detach(), but for the owner: what the lock protects */
inline detach(set)
{
	assert(owner == set + 1 && listed == set + 1);
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

/* The fast path of alloc_object() */
inline alloc_fast(me, ctx)
{
	d_step {
		!over && MY_BUSY(me) == NOT_BUSY && ROOM(me) ->
		BEGIN_ALLOC;
		set_busy(me, OTHER)
	};
	if
	:: d_step {
		/* bsa_slab_ready() */
		current[me] && MY_FREE(me) != 0 && remote == 0 ->
		pick(me, ctx)
	   };
	   d_step { ROOM(me) -> take(me, me) }
	:: !(current[me] && MY_FREE(me) != 0 && remote == 0)
	fi;
	d_step { ROOM(me) -> set_busy(me, NOT_BUSY); END_ALLOC }
}

/* alloc_here() */
inline alloc_here(me, ctx)
{
	if
	:: d_step {
		!over && MY_BUSY(me) == NOT_BUSY && ROOM(me) ->
		BEGIN_ALLOC;
		set_busy(me, OTHER);
		c = me
	   };
	   /* alloc_owner(); first bsa_slabs_drain_word() */
	   drain_current(me, ctx, me)
	:: d_step { !over && MY_BUSY(me) != NOT_BUSY -> BEGIN_ALLOC; c = SHARED }
	fi;

	if
	:: d_step { c != SHARED && current[c] && MY_FREE(me) != 0 -> pick(me, ctx) };
	   d_step { ROOM(me) -> take(me, c) }
	:: d_step {
		!(c != SHARED && current[c] && MY_FREE(me) != 0) &&
		!lock[c] && FENCE(me) ->
		locked(me, c)
	   };
	   do
	   :: refill(me, ctx, c);
	      if
	      :: d_step { current[c] -> pick(me, ctx) };
		 d_step { ROOM(me) -> take(me, c); unlocked(me, c, true) };
		 break
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
	fi;
	atomic {
		ROOM(me) ->
		if
		:: c == me -> set_busy(me, NOT_BUSY)
		:: else
		fi;
		c = 0;
		phase = 0;
		END_ALLOC
	}
}

/* new_slab(); others may look at the slab once they see its owner. */
inline new_slab(me)
{
	if
	:: d_step {
		state == NONE && FENCE(me) ->
		assert(owner == 0 && listed == 0 && !IS_CURRENT);
		assert(writer == 0 && !ELSEWHERE(me));
		free = ALL;
		remote = 0;
		state = EMPTY
	   };
	   d_step { listed = c + 1; owner = c + 1 }
	:: state != NONE
	fi
}

/* A user frees an object that it holds. */
inline claim(what)
{
	assert((live & what) && !(dying & what));
	live = live & ~what;
	dying = dying | what;
	o = what
}

/* bsa_free(), bsa_heap_free(): free_fast() and free_slow() */
inline free_object(me, ctx)
{
	if
	:: d_step {
		!over && (KNOWN(me) & 1) && MY_BUSY(me) == NOT_BUSY && ROOM(me) ->
		BEGIN;
		claim(1);
		set_busy(me, SLAB)
	   };
	   free_fast(me, ctx)
	:: d_step {
		!over && (KNOWN(me) & 2) && MY_BUSY(me) == NOT_BUSY && ROOM(me) ->
		BEGIN;
		claim(2);
		set_busy(me, SLAB)
	   };
	   free_fast(me, ctx)
	:: d_step { !over && (KNOWN(me) & 1) && MY_BUSY(me) != NOT_BUSY -> BEGIN; claim(1) }
	:: d_step { !over && (KNOWN(me) & 2) && MY_BUSY(me) != NOT_BUSY -> BEGIN; claim(2) }
	fi;
	if
	:: d_step { o != 0 -> to = owner; assert(to != 0) };
	   free_remote(me)
	:: d_step { o == 0 -> END }
	fi
}

inline free_fast(me, ctx)
{
	if
	:: owner == me + 1 ->
		/* bsa_slab_put(): load, store-release */
		d_step {
			rmw(me, ctx);
			assert(((f | remote) & o) == 0)
		};
		d_step {
			ROOM(me) ->
			set_free(me, f | o);
			dying = dying & ~o;
			writer = 0;
			f = 0;
			o = 0
		};
		/* slab->ttl--; that of an active slab gets to 0, too, if rarely. */
		if
		:: d_step { MY_TTL(me) == MANY && ROOM(me) -> set_ttl(me, MANY) }
		:: d_step { ROOM(me) -> assert(MY_TTL(me) != 0); set_ttl(me, 0) };
		   free_last(me, ctx)
		fi
	:: owner != me + 1
	fi;
	d_step { ROOM(me) -> set_busy(me, NOT_BUSY) }
}

/* free_last(), but for leave() */
inline free_last(me, ctx)
{
	if
#ifdef NMI
	:: d_step { ctx == NMI_CONTEXT && ROOM(me) -> set_ttl(me, 1); to = me + 1 };
	   queue_slab(me, 0)
#endif
	:: d_step {
		ctx != NMI_CONTEXT && !lock[me] && FENCE(me) ->
		lock[me] = 1;
		place_keep(me);
		lock[me] = 0
	   }
	:: d_step {
		ctx != NMI_CONTEXT && !lock[me] && FENCE(me) && state != ACTIVE && free == ALL ->
		lock[me] = 1;
		place_release(me);
		lock[me] = 0
	   };
	   d_step { released() }
	fi
}

/* free_remote(); the owner has been loaded. */
inline free_remote(me)
{
	d_step {
		FENCE(me) ->
		assert(((free | remote) & o) == 0);
		remote = remote | o;
		dying = dying & ~o;
		o = 0
	};
	queue_slab(me, 1)
}

/* The same from a CPU that never owns the slab: it is known to get there. */
inline free_elsewhere(me)
{
	if
	:: d_step { !over && (KNOWN(me) & 1) -> BEGIN; claim(1); to = owner }
	:: d_step { !over && (KNOWN(me) & 2) -> BEGIN; claim(2); to = owner }
	fi;
	assert(to != 0);
	free_remote(me)
}

/* reclaim_cpu(), of any set by anyone */
inline reclaim_cpu(me, set, irqs_on)
{
	d_step { !lock[set] && FENCE(me) -> locked(me, set) };
	if
	:: d_step { HAS(set, EMPTY) -> detach(set) };
	   d_step { owner = 0; released() }
	:: !HAS(set, EMPTY)
	fi;
	do
	:: d_step { on_llist[set] || pending[set] -> on_llist[set] = 0; pending[set] = 1 };
	   if
	   :: owner == set + 1 && state == ACTIVE -> break
	   :: d_step {
		owner == set + 1 && state != ACTIVE ->
		/* may_take(): bsa_slab_is_unused(), and then busy */
		f = free
	      };
	      r = remote;
	      if
	      :: d_step { (f | r) != ALL || busy[set] == SLAB -> f = 0; r = 0 };
		 break
	      :: d_step { (f | r) == ALL && busy[set] != SLAB -> f = 0; r = 0 };
		 d_step { pending[set] = 0; queued = 0 };
		 d_step { detach(set) };
		 d_step { owner = 0; released() }
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

/* flush_owner(); interrupts are off. */
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
	:: d_step { MY_BUSY(me) == NOT_BUSY && ROOM(me) -> set_busy(me, OTHER) };
	   flush_owner(me, ctx, me);
	   give_away(me, me, false, true);
	   d_step { ROOM(me) -> set_busy(me, NOT_BUSY) }
	:: MY_BUSY(me) != NOT_BUSY
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
		:: live == 0 -> assert(state == NONE && owner == 0)
		:: else ->
			assert(owner != 0 && remote == 0);
			assert(free == (ALL & ~live));
			if
			:: live == ALL -> assert(state == FULL && listed == owner)
			:: else -> assert(HAS(SHARED, PARTIAL) && owner == SHARED + 1)
			fi
		fi;
		assert(QUEUES == 0 && !queued)
	}
}
