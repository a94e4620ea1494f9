/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests share that attack the guarantees from outside
 *
 * They use the public header alone, as any module does, and bsa_validate().
 */
#ifndef _BSA_ATTACK_H
#define _BSA_ATTACK_H

#include "test_util.h"

#include <bsa/validate.h>
#include <linux/cpumask.h>

void attack_needs_cpus(struct kunit *test, unsigned int nr);
void attack_needs_high_memory(struct kunit *test);
void attack_needs_plain_heaps(struct kunit *test);

size_t attack_class_size(unsigned int class);
void *attack_get(struct kunit *test, struct bsa_heap *heap, size_t size);
void attack_expect_same(struct kunit *test, struct bsa_heap *heap,
			const struct bsa_stats *before);

struct task_struct *attack_thread(struct kunit *test, unsigned int cpu,
				  int (*fn)(void *data), void *data);

#endif /* _BSA_ATTACK_H */
