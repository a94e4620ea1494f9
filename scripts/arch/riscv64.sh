# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# riscv64. Sourced by lib.sh, which says what each of these is.

# Debian 12 has it not.
# shellcheck disable=SC2034 # the scripts use them
arch=riscv cross=riscv64-linux-gnu- debian=riscv64 flavour=riscv64 kernels=(6.12 7.3) oldest=trixie
emulator=qemu-system-misc image=arch/riscv/boot/Image tty=ttyS0

early="earlycon=sbi keep_bootcon"

machine=(qemu-system-riscv64 -machine virt) cpu=rv64

config() {
	cat <<-'END'
		CONFIG_64BIT=y
		CONFIG_ARCH_RV64I=y
		CONFIG_RISCV_ISA_C=y
		CONFIG_RISCV_ISA_FALLBACK=y
		CONFIG_FRAME_POINTER=y
		CONFIG_FPU=y
		CONFIG_NUMA=y
		CONFIG_SERIAL_8250=y
		CONFIG_SERIAL_8250_CONSOLE=y
		CONFIG_SERIAL_OF_PLATFORM=y
		CONFIG_RISCV_SBI_V01=y
		CONFIG_SERIAL_EARLYCON_RISCV_SBI=y
		CONFIG_POWER_RESET=y
		CONFIG_POWER_RESET_SYSCON=y
		# CONFIG_ARCH_MEMORY_PROBE is not set
	END
}
