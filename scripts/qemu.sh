#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# qemu.sh KERNEL INITRD [ARGUMENT...]: boots the kernel; scripts/guest/init gets
# the arguments. The console is on standard output.
#
#   MEM=1G       memory
#   TIMEOUT=120  after so many seconds QEMU is killed; 0: never. The exit status
#                is 124 then
#   ACCEL=       tcg or kvm; without it, the better one that works. icount: one
#                CPU whose clock counts its instructions
#   CPUS=4       virtual CPUs
#   APPEND=      more arguments for the kernel
#   CONSOLE=     "tty": a person is at the console, and standard input goes to it
#   QEMU_ARGS=   more arguments for QEMU

. "$(dirname "$0")/lib.sh"

image=$1 initrd=$2
shift 2

# /dev/kvm alone says little: under some hypervisors it exists and is many times
# slower than emulation. Hardware KVM has one of these two modules, or is part of
# the kernel.
if [[ -z ${ACCEL-} ]]; then
	ACCEL=tcg
	if [[ -z $cross && -w /dev/kvm ]] &&
		{ [[ $arch != x86 ]] || grep -qE '^kvm_(intel|amd) ' /proc/modules 2>/dev/null; }; then
		ACCEL=kvm
	fi
fi
case $ACCEL in
kvm) accel=(-accel kvm) cpu=host ;;
# Threads: emulated CPUs run side by side, so that races are real.
tcg) accel=(-accel "tcg,thread=multi") ;;
# Nothing from outside, not the date nor a random number: runs are the same.
icount)
	accel=(-accel "tcg,thread=single" -icount "shift=0,sleep=off"
		-rtc "base=2000-01-01,clock=vm" -seed 1)
	CPUS=1
	;;
*) die "ACCEL=$ACCEL is not known: tcg, kvm and icount are" ;;
esac

# Only a person needs the real console where another is as good.
if [[ ${CONSOLE-} == tty ]]; then
	append+=" console=$tty loglevel=4"
else
	append+=" console=$console loglevel=7 $early"
fi

# A kernel that is in trouble reboots at once, and -no-reboot makes that the end
# of QEMU.
append+=" printk.time=0 printk.devkmsg=on mitigations=off panic=-1 oops=panic"
append+=" softlockup_panic=1 ${APPEND-} -- $*"

# shellcheck disable=SC2206 # several words on purpose
more=(${QEMU_ARGS-})

if [[ -n $emulator ]]; then
	serial=(-serial stdio)
	[[ ${CONSOLE-} != tty ]] || serial=(-serial mon:stdio)
	qemu=("${machine[@]}" -cpu "$cpu" "${accel[@]}" -smp "${CPUS:-4}" -m "${MEM:-1G}"
		-nodefaults -no-user-config -display none -no-reboot "${serial[@]}"
		-kernel "$image" -initrd "$initrd" -append "$append" "${more[@]}")
else
	user_mode
	# shellcheck disable=SC2206
	qemu+=($append)
fi

[[ ${CONSOLE-} != tty ]] || exec "${qemu[@]}"

# In the background, so that the trap runs when this script is told to stop.
trap 'kill "$pid" 2>/dev/null; wait "$pid"' INT TERM HUP
timeout --kill-after=5 "${TIMEOUT:-120}" "${qemu[@]}" </dev/null &
pid=$!
wait "$pid"
