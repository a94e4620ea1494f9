#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# setup.sh JOB: what JOB (run, check, configs, bench, model or lint) needs is installed.
#
# On Debian 12 and 13, as root, the missing packages are installed. Anyone else is told
# their names, in one line.

. "$(dirname "$0")/lib.sh"

job=$1

# What unpacks packages, and builds modules; what a guest is made of; what builds kernels.
compiler=(${cross:+"gcc-$(tr _ - <<<"${cross%-}")"})
modules=(gcc make libc6-dev rsync kmod xz-utils perl libelf-dev debootstrap "${compiler[@]}")
guest=(${emulator:+"$emulator"} busybox-static cpio)
build=(bison flex bc libssl-dev)

case $job in
run) packages=("${modules[@]}" "${guest[@]}") ;;
check | bench) packages=("${modules[@]}" "${guest[@]}" "${build[@]}" python3) ;;
configs) packages=("${modules[@]}" "${build[@]}" python3 clang lld llvm) ;;
model) packages=(gcc libc6-dev patch spin xz-utils) ;;
lint) packages=("${modules[@]}" "${build[@]}" python3 sparse shellcheck) ;;
*) die "setup.sh: no job is called $job" ;;
esac

find_missing() {
	missing=()
	for package in "${packages[@]}"; do
		# shellcheck disable=SC2016 # the ${...} is dpkg's
		state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || true
		[[ $state == installed ]] || missing+=("$package")
	done
}

find_missing
((${#missing[@]})) || exit 0

distribution=$(. /etc/os-release 2>/dev/null && echo "${ID-} ${VERSION_ID-}") || true
[[ $distribution == "debian 12" || $distribution == "debian 13" ]] ||
	die "make $job works with these packages of Debian 12 or 13, missing here: ${missing[*]}"
[[ $(id -u) == 0 ]] ||
	die "packages missing, install them as root: apt-get install ${missing[*]}"

lock "$CACHE/packages"
find_missing
((${#missing[@]})) || exit 0
say "installing ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
apt=(apt-get -q -y --no-install-recommends -o DPkg::Lock::Timeout=300)
# A service that a package starts must not take the lock with it.
run_logged "$log" "${apt[@]}" update 9>&-
run_logged "$log" "${apt[@]}" install "${missing[@]}" 9>&-
