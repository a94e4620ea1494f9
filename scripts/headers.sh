#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# headers.sh KERNEL: prints the directory that modules for Debian's newest kernel of
# this version are built against. Its name ends with the kernel's release.

. "$(dirname "$0")/lib.sh"

root=$("$SCRIPTS/deb.sh" "$(suite "$1")" "^linux-headers-$(release_pattern "$1")$" \
	'^linux-(headers-.*-common|kbuild-)')
dir=$(echo "$root"/usr/src/linux-headers-*-amd64)
# It is made for /usr/src, and says so once for itself and once for the common part. A
# cache may be moved.
sed -i "s|\([= ]\).*/usr/src/|\1$root/usr/src/|" "$dir/Makefile"
echo "$dir"
