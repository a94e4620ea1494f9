# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# x86-64, a PC. Sourced by lib.sh, which says what each of these is.

# shellcheck disable=SC2034 # the scripts use them
arch=x86 cross=x86_64-linux-gnu- debian=amd64 flavour=amd64 kernels=(6.1 6.12 7.3)
emulator=qemu-system-x86 image=arch/x86/boot/bzImage tty=ttyS0

# The real console of 6.1 takes a spinlock that may sleep on PREEMPT_RT, and with
# PROVE_RAW_LOCK_NESTING lockdep would report every message from an interrupt. The
# check of the timer fails when the host has no time for it.
early="earlyprintk=serial,ttyS0,115200,keep" append="no_timer_check"

machine=(qemu-system-x86_64) cpu=max

config() {
	cat <<-'END'
		CONFIG_64BIT=y
		CONFIG_NUMA=y
		CONFIG_ACPI=y
		CONFIG_X86_64_ACPI_NUMA=y
		CONFIG_PCI=y
		CONFIG_HPET_TIMER=y
		CONFIG_SERIAL_8250=y
		CONFIG_SERIAL_8250_CONSOLE=y
	END
}
