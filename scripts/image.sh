#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# image.sh KERNEL: prints the path of Debian's kernel image of the version that
# the headers are installed for.
#
# The package is unpacked into the cache and never installed: a test has no
# business in anybody's /boot.

. "$(dirname "$0")/lib.sh"

kernel=$1

locate() {
	release=$(headers_release "$kernel")
	version=$(package_version "linux-headers-$release")
	image=$CACHE/image/${release}_$version
}

# Fails, and says nothing, if the archive does not have this version (any more).
fetch() (
	new=$(mktemp -d "$CACHE/image/.new.XXXXXX")
	trap 'rm -rf "$new"' EXIT
	cd "$new" &&
		apt-get -qq -o APT::Sandbox::User="$(id -un)" \
			download "linux-image-$release=$version" &>download.log &&
		dpkg-deb --fsys-tarfile ./*.deb | tar -x "./boot/vmlinuz-$release" &&
		mkdir -p "$image" &&
		mv "boot/vmlinuz-$release" "$image/vmlinuz"
)

lock "$CACHE/image/$kernel"
locate
if [[ ! -e $image/vmlinuz ]]; then
	say "downloading Debian's kernel $release ($version)"
	if ! fetch; then
		# Either apt has no package lists yet, or the archive has moved on
		# since the headers were installed: take its present version of both.
		package=$(headers_package "$kernel")
		[[ $(id -u) == 0 ]] ||
			die "cannot download linux-image-$release $version; as root: apt-get update && apt-get install $package"
		export DEBIAN_FRONTEND=noninteractive
		log=$(mktemp)
		run_logged "$log" apt-get -q update 9>&-
		run_logged "$log" apt-get -q -y --no-install-recommends install "$package" 9>&-
		rm -f "$log"
		locate
		[[ -e $image/vmlinuz ]] || fetch ||
			die "cannot download linux-image-$release $version"
	fi
fi
echo "$image/vmlinuz"
