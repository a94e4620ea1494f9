/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between kernel versions, and nothing else
 */
#ifndef _BSA_COMPAT_H
#define _BSA_COMPAT_H

#include <kunit/visibility.h>
#include <linux/mm.h>
#include <linux/mmzone.h>

/* Up to 6.3 MAX_ORDER was one more than the largest order. */
#ifndef MAX_PAGE_ORDER
#define MAX_PAGE_ORDER	(MAX_ORDER - 1)
#endif

#endif /* _BSA_COMPAT_H */
