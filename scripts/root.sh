#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# root.sh SUITE COMMAND...: runs a command that the machine lacks, another compiler above
# all, in a root of this suite of Debian, where the cache is at its own place and
# nothing else of the machine is there.

. "$(dirname "$0")/lib.sh"

suite=$1 root=$CACHE/root/$1
shift

lock "$root"
if [[ ! -d $root ]]; then
	[[ $(id -u) == 0 ]] || die "another compiler is needed, in a root of Debian's $suite; only root can make one"
	say "making a root of $suite with its compiler"
	rm -rf "$root.new"
	here=$(. /etc/os-release && echo "${VERSION_CODENAME-}")
	run_logged "$root.log" debootstrap --variant=minbase \
		--include=gcc,libc6-dev,libelf-dev,make,kmod "$suite" "$root.new" "$(mirror "$here")"
	mv "$root.new" "$root"
fi
if [[ -n $cross && ! -e $root/usr/bin/${cross}gcc ]]; then
	say "adding the compiler for $ARCH"
	run_logged "$root.log" chroot "$root" apt-get -q -y --no-install-recommends install \
		"gcc-$(tr _ - <<<"${cross%-}")"
fi
# A cache may be moved. What is mounted is so for this command only.
mkdir -p "$root$CACHE"
# shellcheck disable=SC2016 # the $... are those of sh
exec unshare --mount sh -c 'mount --bind "$0" "$1$0" && mount -t proc proc "$1/proc" &&
	exec env -C / chroot "$@"' "$CACHE" "$root" "$@"
