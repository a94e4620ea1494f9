#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# into-tree.sh TREE: puts bsa into a kernel's source tree, as drivers/bsa and
# include/linux/bsa.h. What is there already is brought up to date.

. "$(dirname "$0")/lib.sh"

(($# == 1)) || die "into-tree.sh TREE: it takes the source tree of a kernel, and nothing else"
tree=$1

for file in Kbuild include/linux/slab.h drivers/Kconfig drivers/Makefile; do
	[[ -f $tree/$file ]] || die "$tree is no source tree of a kernel: it has no $file"
done
for file in include/linux drivers drivers/Kconfig drivers/Makefile; do
	[[ -w $tree/$file ]] || die "cannot write to $tree/$file"
done
grep -qx endmenu "$tree/drivers/Kconfig" || die "$tree/drivers/Kconfig has no end of a menu"
type rsync &>/dev/null || die "rsync is missing"

# copy ARGUMENT...: by content. What differs is replaced, never written to, since the
# tree may share its files with another one.
copy() {
	rsync -cp "$@" || die "cannot copy to $tree"
}

# But what is for modules outside a tree. What a build has left in there stays.
copy -r --delete --exclude='*.mod.c' --include='/*.c' --include=/Kconfig --include=Kbuild \
	--include=/.kunitconfig --include=/include/ --include=/include/bsa/ \
	--include='/include/bsa/*.h' --include=/kunit/ --include='/kunit/*.[ch]' \
	--include=/samples/ --include=/samples/bench/ --include='/samples/bench/*.[ch]' \
	--exclude='*' "$TOP/" "$tree/drivers/bsa/"
copy "$TOP/include/linux/bsa.h" "$tree/include/linux/"

# The last line of the menu comes behind it, the order in the Makefile does not matter.
grep -qF '"drivers/bsa/Kconfig"' "$tree/drivers/Kconfig" ||
	sed -i 's|^endmenu$|source "drivers/bsa/Kconfig"\n\n&|' "$tree/drivers/Kconfig"
grep -qF '(CONFIG_BSA)' "$tree/drivers/Makefile" ||
	sed -i '$a obj-$(CONFIG_BSA)\t\t+= bsa/' "$tree/drivers/Makefile"
