/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between kernel versions, and nothing else
 */
#ifndef _BSA_COMPAT_H
#define _BSA_COMPAT_H

#include <kunit/visibility.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/version.h>

/* From 6.4 on MAX_ORDER was the largest order, from 6.8 on it has this name. */
#ifndef MAX_PAGE_ORDER
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
#define MAX_PAGE_ORDER	MAX_ORDER
#else
#define MAX_PAGE_ORDER	(MAX_ORDER - 1)
#endif
#endif

#endif /* _BSA_COMPAT_H */
