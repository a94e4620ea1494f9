# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# s390x: big-endian, with cache lines of 256 bytes. Sourced by lib.sh, which says what
# each of these is.

# shellcheck disable=SC2034 # the scripts use them
arch=s390 cross=s390x-linux-gnu- debian=s390x flavour=s390x kernels=(6.12 7.3)
emulator=qemu-system-misc image=arch/s390/boot/bzImage tty=ttysclp0 console=ttysclp0

machine=(qemu-system-s390x -machine s390-ccw-virtio) cpu=max

config() {
	cat <<-'END'
		CONFIG_MARCH_Z13=y
		CONFIG_SCLP_TTY=y
		CONFIG_SCLP_CONSOLE=y
		CONFIG_SCLP_VT220_TTY=y
		CONFIG_SCLP_VT220_CONSOLE=y
		# CONFIG_ARCH_MEMORY_PROBE is not set
		# CONFIG_SOFTLOCKUP_DETECTOR is not set
	END
}
