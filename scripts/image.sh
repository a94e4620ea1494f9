#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# image.sh KERNEL RELEASE: prints the path of Debian's kernel image of this release. It
# is never installed: a test has no business in anybody's /boot.

. "$(dirname "$0")/lib.sh"

root=$("$SCRIPTS/deb.sh" "$(suite "$1")" "^linux-image-${2//+/\\+}$" '^linux-binary-' "$debian")
# Where it is depends on the version. The kernel's own modules are not needed.
if [[ ! -e $root/vmlinuz ]]; then
	find "$root" -type f -name 'vmlinuz*' -exec mv {} "$root/vmlinuz" \;
	rm -rf "${root:?}"/{boot,lib,usr}
fi
echo "$root/vmlinuz"
