/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _BSA_VALIDATE_H
#define _BSA_VALIDATE_H

#include <bsa/percpu.h>

struct seq_file;

unsigned long bsa_validate(struct bsa_heap *heap, struct seq_file *m,
			   bool quiet);

#endif /* _BSA_VALIDATE_H */
