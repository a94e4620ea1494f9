#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# fresh.sh SUITE [COMMAND...]: runs the two commands of the README, or others, in a bare
# root of Debian's bookworm or trixie where nothing is installed and nothing cached.
# Afterwards /boot, apt's sources and the kernel packages have to be as they were.
# Ends with "N passed, M failed".

. "$(dirname "$0")/lib.sh"

suite=${1:?bookworm or trixie} passed=0 failed=0
shift
(($#)) || set -- "make run" "make check"
[[ $(id -u) == 0 ]] || die "only root can make a root of $suite"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
here=$(. /etc/os-release && echo "${VERSION_CODENAME-}")

# What is mounted is so for this command only.
inside() {
	# shellcheck disable=SC2016 # the $... are those of sh
	unshare --mount sh -c 'mount --bind "$0" "$0" && mount -t proc proc "$0/proc" && mount --bind /dev "$0/dev" &&
		exec chroot "$0" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"' \
		"$root" "$@" </dev/null
}

state() {
	inside sh -c 'ls /boot; cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null
		dpkg-query -W "linux-image*" "linux-headers*" "linux-source*" 2>/dev/null'
}

# step COMMAND...: one thing that works or does not.
step() {
	say "$suite: $*"
	if "$@"; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
	fi
}

run_logged "$work/log" debootstrap --variant=minbase --include=make "$suite" "$root" "$(mirror "$here")"
cp /etc/resolv.conf "$root/etc/"
mkdir "$root/root/bsa"
git -C "$TOP" archive HEAD | tar -x -C "$root/root/bsa"
state >"$work/before" || true
for command; do
	step inside sh -c "cd /root/bsa && $command"
done
state >"$work/after" || true
step diff "$work/before" "$work/after"
totals "$passed" "$failed" 0
((failed == 0))
