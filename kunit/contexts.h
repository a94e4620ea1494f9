/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Interruptions of every kind, on any CPU, at any moment
 */
#ifndef _BSA_TEST_CONTEXTS_H
#define _BSA_TEST_CONTEXTS_H

#include <linux/types.h>

/**
 * enum bsa_context - what interrupts a CPU
 * @BSA_HARD_TIMER: a timer, in hard interrupt context
 * @BSA_SOFTIRQ: a tasklet, on the way out of an interrupt
 * @BSA_IRQ_WORK: an irq_work, in an interrupt that the CPU sends to itself
 * @BSA_IPI: a function call from another CPU
 * @BSA_NMI: a non-maskable interrupt from another CPU, or from itself
 * @BSA_STEP: a debug exception, which the kernel treats as an NMI
 * @BSA_NR_CONTEXTS: how many there are
 */
enum bsa_context {
	BSA_HARD_TIMER,
	BSA_SOFTIRQ,
	BSA_IRQ_WORK,
	BSA_IPI,
	BSA_NMI,
	BSA_STEP,
	BSA_NR_CONTEXTS,
};

unsigned long bsa_contexts_start(void (*fn)(enum bsa_context context));
void bsa_contexts_wait(void);
void bsa_contexts_stop(void);

void bsa_interrupt(unsigned int cpu, enum bsa_context context);
void bsa_nmi_here(void);

/* What a machine has of its own, and what that calls. */
bool bsa_nmi_arrives(void);
void bsa_step_arrives(void);

#if defined(CONFIG_X86_LOCAL_APIC) || defined(CONFIG_ARM64)
unsigned long bsa_nmis_start(void);
void bsa_nmis_stop(void);
void bsa_nmi_send(unsigned int cpu);
#else
static inline unsigned long bsa_nmis_start(void)
{
	return 0;
}

static inline void bsa_nmis_stop(void)
{
}

static inline void bsa_nmi_send(unsigned int cpu)
{
}
#endif

#ifdef CONFIG_X86_LOCAL_APIC
void bsa_step_begin(void);
void bsa_step_last(void);
unsigned long bsa_step_ip(void);
bool bsa_step_is_bsa(unsigned long ip);
void bsa_step_end(void);
#else
static inline void bsa_step_begin(void)
{
}

static inline void bsa_step_last(void)
{
}

static inline unsigned long bsa_step_ip(void)
{
	return 0;
}

static inline bool bsa_step_is_bsa(unsigned long ip)
{
	return false;
}

static inline void bsa_step_end(void)
{
}
#endif

#endif /* _BSA_TEST_CONTEXTS_H */
