# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# arm64, with pages of 4 KiB unless $pages says otherwise. Sourced by lib.sh, which says
# what each of these is.

# shellcheck disable=SC2034 # the scripts use them
arch=arm64 cross=aarch64-linux-gnu- debian=arm64 flavour=arm64 kernels=(6.12 7.3)
emulator=qemu-system-arm image=arch/arm64/boot/Image tty=ttyAMA0

early="earlycon keep_bootcon" append="irqchip.gicv3_pseudo_nmi=1"

# Emulated, signatures of pointers would take most of the time.
machine=(qemu-system-aarch64 -machine "virt,gic-version=3") cpu="max,pauth-impdef=on"

config() {
	cat <<-END
		CONFIG_ARM64_${pages:-4K}_PAGES=y
		CONFIG_ARM64_PSEUDO_NMI=y
		CONFIG_NUMA=y
		CONFIG_SERIAL_AMBA_PL011=y
		CONFIG_SERIAL_AMBA_PL011_CONSOLE=y
		CONFIG_KPROBES=y
		# CONFIG_ARCH_MEMORY_PROBE is not set
	END
}
