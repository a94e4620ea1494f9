/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _BSA_REPORT_H
#define _BSA_REPORT_H

#include <bsa/buddy.h>
#include <linux/atomic.h>
#include <linux/types.h>

/* Of one kind so many messages in so many seconds are printed. */
#define BSA_LIMIT_MESSAGES	10
#define BSA_LIMIT_SECONDS	5

/* Room for the text of a report. */
#define BSA_REPORT_LEN		4096

struct bsa_heap;

/**
 * struct bsa_limit - how many messages of one kind are printed for a heap
 * @since: jiffies when the present interval began; 0 before the first one
 * @printed: messages in this interval
 * @missed: messages that were not printed and that no line has told of
 */
struct bsa_limit {
	unsigned long since;
	atomic_t printed;
	atomic_t missed;
};

bool bsa_may_print(struct bsa_heap *heap, struct bsa_limit *limit);
void bsa_print_missed(struct bsa_heap *heap, struct bsa_limit *limit);
void bsa_refuse_free(struct bsa_heap *heap, const void *ptr,
		     enum bsa_refused why, unsigned long caller);

#endif /* _BSA_REPORT_H */
