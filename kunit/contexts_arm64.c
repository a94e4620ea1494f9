// SPDX-License-Identifier: GPL-2.0-only
/*
 * NMIs of arm64: interrupts of the GIC that are not masked by priority
 *
 * The kernel has them with irqchip.gicv3_pseudo_nmi=1. Each CPU gets a shared interrupt
 * that no device has, which is sent by writing to the distributor: so it can be sent
 * from anywhere. What requests an NMI is not exported; a kprobe finds it.
 */
#include "contexts.h"

#include <linux/cpumask.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/irq.h>
#include <linux/irqchip/arm-gic-v3.h>
#include <linux/irqdomain.h>
#include <linux/kprobes.h>
#include <linux/of.h>
#include <linux/of_address.h>

static void __iomem *distributor;
static unsigned int nmi_of[NR_CPUS];

static void *find_function(const char *name)
{
	struct kprobe probe = { .symbol_name = name };
	void *addr;

	if (register_kprobe(&probe))
		return NULL;
	addr = probe.addr;
	unregister_kprobe(&probe);
	return addr;
}

static irqreturn_t on_nmi(int irq, void *unused)
{
	return bsa_nmi_arrives() ? IRQ_HANDLED : IRQ_NONE;
}

/* The last interrupts that there are. */
static unsigned int id_of(unsigned int cpu)
{
	unsigned int typer = readl(distributor + GICD_TYPER);

	return min_t(unsigned int, GICD_TYPER_SPIS(typer), 1020) - 1 - cpu;
}

/* Interrupt a CPU by an NMI. */
void bsa_nmi_send(unsigned int cpu)
{
	unsigned int id = id_of(cpu);

	writel(BIT(id % 32), distributor + GICD_ISPENDR + id / 32 * 4);
}

static bool start_nmi(struct device_node *gic, unsigned int cpu)
{
	int (*request)(unsigned int irq, irq_handler_t handler,
		       unsigned long flags, const char *name, void *dev);
	struct irq_fwspec spec = {
		.fwnode = of_fwnode_handle(gic),
		.param_count = 3,
		/* Shared ones are counted from 32 on. */
		.param = { 0, id_of(cpu) - 32, IRQ_TYPE_EDGE_RISING },
	};
	unsigned int irq = irq_create_fwspec_mapping(&spec);

	request = find_function("request_nmi");
	if (!irq || !request)
		return false;
	if (request(irq, on_nmi, IRQF_PERCPU | IRQF_NO_AUTOEN, "bsa_test",
		    &nmi_of[cpu])) {
		irq_dispose_mapping(irq);
		return false;
	}
	nmi_of[cpu] = irq;
	enable_irq(irq);
	irq_set_affinity(irq, cpumask_of(cpu));
	return true;
}

void bsa_nmis_stop(void)
{
	void *(*release)(unsigned int irq, void *dev) = find_function("free_nmi");
	unsigned int cpu;

	for_each_possible_cpu(cpu) {
		if (!nmi_of[cpu])
			continue;
		disable_irq_nosync(nmi_of[cpu]);
		release(nmi_of[cpu], &nmi_of[cpu]);
		irq_dispose_mapping(nmi_of[cpu]);
		nmi_of[cpu] = 0;
	}
	iounmap(distributor);
	distributor = NULL;
}

/* Return a bit for each context that can be had by bsa_nmi_send(). */
unsigned long bsa_nmis_start(void)
{
	struct device_node *gic = of_find_compatible_node(NULL, NULL, "arm,gic-v3");
	unsigned int cpu;
	bool all = true;

	distributor = gic ? of_iomap(gic, 0) : NULL;
	if (!distributor) {
		of_node_put(gic);
		return 0;
	}
	for_each_possible_cpu(cpu)
		all = all && start_nmi(gic, cpu);
	of_node_put(gic);
	if (all)
		return BIT(BSA_NMI);
	bsa_nmis_stop();
	return 0;
}
