#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# source.sh KERNEL: prints the path of the unpacked source of Debian's kernel.

. "$(dirname "$0")/lib.sh"

package=linux-source-${1%-rt}
# The same for each machine.
root=$(oldest='' && "$SCRIPTS/deb.sh" "$(suite "$1")" "^$package$")
src=$CACHE/src/$(basename "$root")

lock "$CACHE/src/$package"
if [[ ! -d $src ]]; then
	say "unpacking $package"
	# What an older package left is of no more use, nor is what was built from it.
	rm -rf "$CACHE/src/${package}"_* "$CACHE/kernel/${1%-rt}"-*
	mkdir "$src.new"
	tar -xf "$root/usr/src/$package.tar.xz" -C "$src.new" --strip-components=1
	mv "$src.new" "$src"
fi
echo "$src"
