#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# initramfs.sh OUTPUT MODULE...: writes an initramfs with busybox, the modules
# and scripts/guest.

. "$(dirname "$0")/lib.sh"

output=$1
shift

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir "$root"/{bin,dev,etc,proc,sys,tmp,modules}
cp /bin/busybox "$root/bin/"
cp "$SCRIPTS"/guest/* "$root/"
cp "$@" "$root/modules/"

cd "$root" || exit
find . | cpio -o -H newc -R 0:0 --quiet >"$output"
