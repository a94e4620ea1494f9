#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# initramfs.sh KERNEL OUTPUT [MODULE...]: writes an initramfs with busybox, the modules
# and scripts/guest.

. "$(dirname "$0")/lib.sh"

kernel=$1 output=$2
shift 2

busybox=/bin/busybox
[[ -z $cross ]] ||
	busybox=$("$SCRIPTS/deb.sh" "$(suite "$kernel" | sed 's/-backports//')" '^busybox-static$' '' "$debian")/bin/busybox
[[ -e $busybox ]] || busybox=${busybox%/bin/*}/usr/bin/busybox
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir "$root"/{bin,dev,etc,proc,sys,tmp,modules}
cp "$busybox" "$root/bin/"
cp "$SCRIPTS"/guest/* "$root/"
(($# == 0)) || cp "$@" "$root/modules/"

cd "$root" || exit
find . | cpio -o -H newc -R 0:0 --quiet >"$output"
