/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _BSA_DEBUGFS_H
#define _BSA_DEBUGFS_H

#include <linux/types.h>

struct bsa_heap;

void bsa_debugfs_init(void);
void bsa_debugfs_exit(void);
void bsa_debugfs_add(struct bsa_heap *heap);
bool bsa_debugfs_has(const char *name);
void bsa_debugfs_remove(struct bsa_heap *heap);

#endif /* _BSA_DEBUGFS_H */
