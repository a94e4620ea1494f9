#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# run.sh KERNEL [shell]: boots Debian's kernel with bsa and its client. Shows
# what they do and says whether it worked, or leaves the user at a prompt.

. "$(dirname "$0")/lib.sh"

kernel=$(which_kernel "${1-}") job=${2:-run}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [[ -n $flavour ]]; then
	"$SCRIPTS/setup.sh" run
	headers=$("$SCRIPTS/headers.sh" "$kernel")
	release=${headers##*/linux-headers-}
	image=$("$SCRIPTS/image.sh" "$kernel" "$release")
else
	# Debian has none: the one of "make check".
	"$SCRIPTS/setup.sh" check
	headers=$("$SCRIPTS/kernel.sh" "$kernel" check)
	release=$(basename "$headers")
	image=$headers/$image
fi
"$SCRIPTS/modules.sh" "$release" "$headers" "$work/modules"
"$SCRIPTS/initramfs.sh" "$kernel" "$work/initrd" "$work"/modules/*.ko

say "booting $release"
if [[ $job == shell ]]; then
	CONSOLE="tty" "$SCRIPTS/qemu.sh" "$image" "$work/initrd" shell
	exit
fi

# From the guest's first word to its last; what the kernel says of every module
# that is not its own is left out.
show() {
	awk '/^bsa-guest: end/ { on = 0 }
	     on && !/taints kernel|tainting kernel/ {
		     sub(/^bsa-guest: /, ""); print; fflush()
	     }
	     /^bsa-guest: begin/ { on = 1 }'
}

log=$CACHE/log/run-$ARCH-$kernel.log
export TIMEOUT=${TIMEOUT:-1200} STALL=${STALL:-120}
status=0
boot "$log" show "$image" "$work/initrd" run || status=$?

wrong=$(judge "$log" "$status")
if [[ -n $wrong ]] || ! grep -q '^bsa-guest: end: passed' "$log"; then
	die "make run KERNEL=$kernel ARCH=$ARCH failed; the whole log: $log"
fi
say "it works on $release ($SECONDS s)"
