# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# User-mode Linux on x86-64: a kernel that is a program. Nothing is emulated, so it
# boots in a second. Sourced by lib.sh, which says what each of these is.

# shellcheck disable=SC2034 # the scripts use them
arch=um cross='' debian=amd64 flavour='' kernels=(7.3)
emulator='' image=linux tty=tty0 console=tty0 memory=3G

# A reboot would start it again.
append="con=null root=none noreboot"

user_mode() {
	qemu=("$image" "mem=${MEM:-1G}" "ncpus=${CPUS:-4}" seccomp=on "initrd=$initrd"
		"con0=$([[ ${CONSOLE-} == tty ]] && echo fd:0 || echo null),fd:1")
}

config() {
	cat <<-'END'
		CONFIG_64BIT=y
		CONFIG_SMP=y
		CONFIG_DEBUG_KERNEL=y
		CONFIG_FRAME_POINTER=y
		CONFIG_NULL_CHAN=y
		# CONFIG_DMA_CMA is not set
		# CONFIG_HOTPLUG_CPU is not set
		# CONFIG_CPU_ISOLATION is not set
		# CONFIG_MEMORY_HOTPLUG is not set
		# CONFIG_MEMORY_HOTREMOVE is not set
		# CONFIG_ARCH_MEMORY_PROBE is not set
	END
}
