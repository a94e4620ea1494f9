#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# headers.sh KERNEL: prints the directory that modules for Debian's newest kernel of
# this version are built against. Its name ends with the kernel's release.

. "$(dirname "$0")/lib.sh"

suite=$(suite "$1")
root=$("$SCRIPTS/deb.sh" "$suite" "^linux-headers-$(release_pattern "$1")$" \
	'^linux-(headers-.*-common|kbuild-)' "$debian")
dir=$(echo "$root"/usr/src/linux-headers-*-"$flavour")
# Its programs are those of the machine that builds.
if [[ -n $cross ]]; then
	kbuild=$(basename "$root"/usr/lib/linux-kbuild-*)
	own=$("$SCRIPTS/deb.sh" "$suite" "^${kbuild//+/\\+}$")
	rm -rf "$root/usr/lib/$kbuild"
	ln -s "$own/usr/lib/$kbuild" "$root/usr/lib/$kbuild"
fi
# It is made for /usr/src, and says so once for itself and once for the common part. A
# cache may be moved.
sed -i "s|\([= ]\).*/usr/src/|\1$root/usr/src/|" "$dir/Makefile"
echo "$dir"
