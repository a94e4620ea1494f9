/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the kernel's own debugging tools are told
 *
 * For KASAN and kmemleak a heap is one large allocation, within which all is
 * well. So they are told what happens in there. Nothing of it is compiled
 * where the kernel lacks the tool.
 *
 *   KASAN     all of a section but its metadata is poisoned, except what
 *             callers hold: of that as many bytes as they asked for
 *   kmemleak  knows each object and each block that a caller holds, and scans
 *             them, and nothing else of a section
 *   fail_alloc  makes allocations fail on request, as failslab does
 *
 * What is handed out is made known last; what is taken back is forgotten before
 * anybody else can get it, but only once it is known to be live: so a free that
 * is refused changes nothing here either.
 */
#ifndef _BSA_TOOLS_H
#define _BSA_TOOLS_H

#include <linux/fault-inject.h>
#include <linux/kasan.h>
#include <linux/kmemleak.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/string.h>

/* Is anybody told about frees? */
#define BSA_WATCHED	(IS_ENABLED(CONFIG_KASAN_GENERIC) || \
			 IS_ENABLED(CONFIG_DEBUG_KMEMLEAK))

/* In kernels with KASAN alone. */
extern bool bsa_redzones;

void __bsa_poison(const void *ptr, size_t room);
void __bsa_unpoison(const void *ptr, size_t size, size_t room);
size_t __bsa_accessible(const void *ptr, size_t room);

/* In kernels with kmemleak alone. */
void bsa_track(const void *ptr, size_t room);
void bsa_untrack(const void *ptr);

/* From here on nobody may access this. */
static inline void bsa_poison(const void *ptr, size_t room)
{
	if (IS_ENABLED(CONFIG_KASAN_GENERIC))
		__bsa_poison(ptr, room);
}

/* From here on the first @size bytes of @room may be accessed, but not the others. */
static inline void bsa_unpoison(const void *ptr, size_t size, size_t room)
{
	if (IS_ENABLED(CONFIG_KASAN_GENERIC))
		__bsa_unpoison(ptr, size, room);
}

/* How many bytes from @ptr on, of @room, may be accessed. */
static inline size_t bsa_accessible(const void *ptr, size_t room)
{
	return IS_ENABLED(CONFIG_KASAN_GENERIC) ? __bsa_accessible(ptr, room) :
						  room;
}

static inline bool bsa_wants_redzones(void)
{
	return IS_ENABLED(CONFIG_KASAN_GENERIC) && READ_ONCE(bsa_redzones);
}

#ifdef CONFIG_FAULT_INJECTION
extern struct fault_attr bsa_fail_alloc;

bool bsa_should_fail(size_t size);

static inline bool bsa_may_fail(void)
{
	return READ_ONCE(bsa_fail_alloc.probability);
}
#else
static inline bool bsa_should_fail(size_t size)
{
	return false;
}

static inline bool bsa_may_fail(void)
{
	return false;
}
#endif

/* Is there anything that the fast paths do not do? */
static inline bool bsa_wants_slow_path(void)
{
	return bsa_may_fail() || bsa_wants_redzones();
}

/* A caller gets an object or a block of @room bytes, and has asked for @size. */
static inline void bsa_hand_out(const void *ptr, size_t size, size_t room)
{
	bsa_unpoison(ptr, size, room);
	if (IS_ENABLED(CONFIG_DEBUG_KMEMLEAK))
		bsa_track(ptr, room);
}

/* A caller gives back an object or a block of @room bytes. */
static inline void bsa_take_back(const void *ptr, size_t room)
{
	if (IS_ENABLED(CONFIG_DEBUG_KMEMLEAK))
		bsa_untrack(ptr);
	bsa_poison(ptr, room);
}

/* Of what is written at one go so much, where the caller may be preempted. */
#define BSA_FILL_STEP	SZ_64K

static inline void bsa_rest(void)
{
	if (IS_ENABLED(CONFIG_PREEMPT_COUNT) && preemptible())
		cond_resched();
}

/* Write a byte to memory that may be poisoned, and large. */
static inline void bsa_fill(void *ptr, u8 byte, size_t room)
{
	size_t done;

	for (done = 0; done < room; done += BSA_FILL_STEP) {
		if (done)
			bsa_rest();
		kasan_disable_current();
		memset(ptr + done, byte, min_t(size_t, BSA_FILL_STEP, room - done));
		kasan_enable_current();
	}
}

static inline void bsa_clear(void *ptr, size_t room)
{
	bsa_fill(ptr, 0, room);
}

/* Copy memory that may be poisoned, and large. */
static inline void bsa_copy(void *to, const void *from, size_t size)
{
	size_t done;

	for (done = 0; done < size; done += BSA_FILL_STEP) {
		if (done)
			bsa_rest();
		kasan_disable_current();
		memcpy(to + done, from + done,
		       min_t(size_t, BSA_FILL_STEP, size - done));
		kasan_enable_current();
	}
}

/*
 * An address as kmemleak does not recognize it, and back: for those of objects that lie
 * in memory that is scanned, but do not mean that somebody holds the object.
 */
static __always_inline unsigned long bsa_hidden(unsigned long addr)
{
	return IS_ENABLED(CONFIG_DEBUG_KMEMLEAK) ? ~addr : addr;
}

/*
 * What to allocate for @size bytes so that what follows is nobody's. KASAN tells what
 * was done by the first 8 aligned bytes none of which may be accessed, so there are as
 * many. A power of two stays one, for the sake of its alignment.
 */
static inline size_t bsa_with_redzone(size_t size)
{
	if (!bsa_wants_redzones() || size > SIZE_MAX / 4)
		return size;
	return is_power_of_2(size) ? max(2 * size, 16UL) : round_up(size, 8) + 8;
}

#endif /* _BSA_TOOLS_H */
