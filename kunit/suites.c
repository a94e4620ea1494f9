// SPDX-License-Identifier: GPL-2.0-only
/*
 * The test module: all suites, in the order of the layers
 */
#include "test_util.h"

#include <linux/module.h>

kunit_test_suites(&bsa_reserve_suite, &bsa_buddy_suite, &bsa_slab_suite,
		  &bsa_heap_suite, &bsa_misuse_suite, &bsa_debug_suite,
		  &bsa_stress_suite);

MODULE_DESCRIPTION("Tests of the bsa allocator");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS(EXPORTED_FOR_KUNIT_TESTING);
