// SPDX-License-Identifier: GPL-2.0-only
/*
 * The test module: all suites, in the order of the layers, and which of their
 * tests are run
 */
#include "test_util.h"

#include <linux/glob.h>
#include <linux/module.h>

static char *filter;
module_param(filter, charp, 0444);
MODULE_PARM_DESC(filter, "glob of the tests, or of the suites, to run (default: all)");

/* What kunit_test_suites() does, with a name for the array. */
__kunit_test_suites(suites, &bsa_boot_suite,
		    &bsa_reserve_suite, &bsa_buddy_suite,
		    &bsa_slab_suite, &bsa_heap_suite,
		    &bsa_magazine_suite, &bsa_life_suite,
		    &bsa_misuse_suite, &bsa_debug_suite, &bsa_stress_suite,
		    &bsa_attack_size_suite, &bsa_attack_frees_suite,
		    &bsa_attack_pages_suite, &bsa_attack_realloc_suite,
		    &bsa_attack_gfp_suite, &bsa_attack_stats_suite,
		    &bsa_attack_balance_suite, &bsa_attack_impossible_suite,
		    &bsa_attack_backlog_suite, &bsa_attack_return_suite,
		    &bsa_attack_trim_suite, &bsa_attack_stop_suite,
		    &bsa_attack_overflow_suite, &bsa_attack_interrupt_suite,
		    &bsa_attack_clear_suite);

/* Suites may run before the module's parameters are parsed. */
static bool get_filter(char *glob, size_t size)
{
	const char *arg = filter;

	if (!arg) {
		arg = strstr(BSA_MODULE_ARGS, "filter=");
		if (!arg)
			return false;
		arg += strlen("filter=");
	}
	strscpy(glob, arg, min(size, strcspn(arg, " ") + 1));
	return true;
}

static bool is_in_suite(const struct kunit *test, struct kunit_suite *suite)
{
	struct kunit_case *test_case;

	kunit_suite_for_each_test_case(suite, test_case)
		if (!strcmp(test_case->name, test->name))
			return true;
	return false;
}

/**
 * bsa_test_is_chosen - is the test to run?
 * @test: the test
 *
 * Return: whether the parameter filter= matches its name or that of its suite,
 * or is not there.
 */
bool bsa_test_is_chosen(const struct kunit *test)
{
	unsigned int i;
	char glob[128];

	if (!get_filter(glob, sizeof(glob)) || glob_match(glob, test->name))
		return true;
	for (i = 0; i < ARRAY_SIZE(suites); i++)
		if (glob_match(glob, suites[i]->name) &&
		    is_in_suite(test, suites[i]))
			return true;
	return false;
}

MODULE_DESCRIPTION("Tests of the bsa allocator");
MODULE_LICENSE("GPL");
/* As MODULE_IMPORT_NS() of any version, which takes a word or a string. */
MODULE_INFO(import_ns, "EXPORTED_FOR_KUNIT_TESTING");
