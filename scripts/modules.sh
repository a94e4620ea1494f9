#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# modules.sh NAME KDIR OUTPUT [VARIABLE=VALUE...]: builds the modules for the
# kernel in KDIR, in a build directory called NAME, and copies them into the
# directory OUTPUT.
#
# They are built from a copy of the sources, one for each kernel, so that
# kernels do not throw away each other's objects and the tree stays clean. bsa
# is installed into a directory of its own, and the samples are built against
# that, which is how a user builds them.

. "$(dirname "$0")/lib.sh"

name=$1 kdir=$2 output=$3
shift 3

dir=$CACHE/build/$(checkout)/$name
lock "$dir"
mkdir -p "$dir/src"

# By content, not by time: a file that is put back to an older state counts as
# changed too. What the kernel's build leaves beside the sources stays.
rsync -rlc --delete --exclude='.*' --exclude='*.mod.c' \
	--include='*/' --include='*.[chS]' --include=Kbuild --include=Makefile \
	--exclude='*' "$TOP/" "$dir/src/"

# The headers of a kernel ask for the compiler that it was built with.
within=()
compiler=$(($(sed -n 's/^CONFIG_GCC_VERSION=//p' "$kdir/.config") / 10000))
declare -A suites=([12]=bookworm [14]=trixie)
if ((compiler == 0)); then
	set -- LLVM=1 "$@"
elif [[ $("${cross}gcc" -dumpversion) != "$compiler" ]] && ! type "${cross}gcc-$compiler" &>/dev/null; then
	within=("$SCRIPTS/root.sh" "${suites[$compiler]}")
fi

# Runs a build and shows what it has to say: warnings, if all is well. Messages,
# and later those of the kernel, name the files as they are in the tree. What is
# left out is true of every module that is built outside the kernel.
build() {
	local status=0
	"${within[@]}" make -s -j "$(nproc)" ARCH="$arch" CROSS_COMPILE="$cross" KDIR="$kdir" \
		KCFLAGS="-fmacro-prefix-map=$dir/src/=" CONFIG_DEBUG_INFO_BTF_MODULES= \
		"$@" >"$dir/build.log" 2>&1 </dev/null || status=$?
	sed -e "s|$dir/src/||g" \
		-e '/^Skipping BTF generation /d' \
		-e "/missing 'System.map' file/d" \
		-e '/^warning: pahole version differs/,/^  You are using:/d' \
		-e '/^warning: the compiler differs /,/^  You are using:/d' \
		"$dir/build.log" >&2
	return "$status"
}

stage=$dir/stage
rm -rf "$stage"
# Not compressed, as some kernels want them: the guest's insmod takes them plain.
build -C "$dir/src" DESTDIR="$stage" INSTALL_MOD_STRIP=1 \
	CONFIG_MODULE_COMPRESS_ALL= "$@" install ||
	die "the modules do not build"
# From scratch: the versions of symbols that they have recorded would stay as they
# were when the structures behind them change.
find "$dir/src/samples" \( -name '*.o' -o -name '*.ko' -o -name '*.mod*' -o \
	-name '.*.cmd' -o -name '*.symvers' \) -delete
build -C "$dir/src/samples" BSA="$stage/usr/src/bsa" "$@" ||
	die "the samples do not build"

mkdir -p "$output"
find "$stage/lib/modules" "$dir/src/samples" -name '*.ko' -exec cp -t "$output" {} +
