// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lets the kernel's allocations fail while bsa loads
 *
 * Of those that it makes, the one that "nth" tells and all that follow fail; how
 * many there were less than that is in "left". For a kernel with
 * CONFIG_FAULT_INJECTION, whose files in debugfs say which kinds of allocations
 * may fail: see scripts/guest/check.sh.
 */
#include <linux/module.h>
#include <linux/notifier.h>
#include <linux/sched.h>
#include <linux/string.h>

static unsigned int nth;
module_param(nth, uint, 0644);
MODULE_PARM_DESC(nth, "first allocation that fails (default 0: none)");

static unsigned int left;
module_param(left, uint, 0444);
MODULE_PARM_DESC(left, "allocations that the last load made less than nth");

static unsigned int failed;
module_param(failed, uint, 0644);
MODULE_PARM_DESC(failed, "loads that failed: insmod may try it in two ways");

static int (*init)(void);

static int init_with_faults(void)
{
	int err;

	current->make_it_fail = !!nth;
	current->fail_nth = nth;
	err = init();
	left = current->fail_nth;
	current->make_it_fail = 0;
	current->fail_nth = 0;
	failed += !!err;
	return err;
}

/* What the kernel allocates for a module is none of our business. */
static int on_load(struct notifier_block *block, unsigned long state,
		   void *data)
{
	struct module *module = data;

	if (state == MODULE_STATE_COMING && !strcmp(module->name, "bsa")) {
		init = module->init;
		module->init = init_with_faults;
	}
	return NOTIFY_DONE;
}

static struct notifier_block loads = { .notifier_call = on_load };

static int __init fault_init(void)
{
	return register_module_notifier(&loads);
}
module_init(fault_init);

static void __exit fault_exit(void)
{
	unregister_module_notifier(&loads);
}
module_exit(fault_exit);

MODULE_DESCRIPTION("Makes loading bsa fail");
MODULE_LICENSE("GPL");
