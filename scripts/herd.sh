#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# herd.sh: prints the path of a command that runs herd7, which Debian 12 lacks: that of
# a later Debian, with the libraries that it needs, unpacked into the cache and not
# installed.
# apt has a configuration of its own for it, with the machine's mirror and the keys
# of Debian.

. "$(dirname "$0")/lib.sh"

suite=forky
packages=(herdtools7 libc6 libgmp10)
keys=/usr/share/keyrings/debian-archive-keyring.gpg
herd=$CACHE/herd/$suite

# The first place that apt fetches Debian from.
mirror() {
	# shellcheck disable=SC2016 # the $(...) is apt's
	apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' |
		head -n 1
}

fetch() (
	new=$(mktemp -d "$CACHE/herd/.new.XXXXXX")
	trap 'rm -rf "$new"' EXIT
	cd "$new"
	mkdir -p lists/partial archives/partial root
	echo "deb [signed-by=$keys] $(mirror) $suite main" >sources
	apt=(apt-get -q -o APT::Sandbox::User="$(id -un)" -o Dir::Etc::SourceList="$new/sources"
		-o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists="$new/lists"
		-o Dir::State::Status=/dev/null -o Dir::Cache="$new")
	"${apt[@]}" update
	"${apt[@]}" download "${packages[@]}"
	for package in *.deb; do
		dpkg-deb --fsys-tarfile "$package" | tar -x -C root --wildcards \
			--exclude='*/gconv/*' './usr/lib/*/*.so*' './usr/share/herdtools7/herd/*' \
			'./usr/bin/herd7' 2>/dev/null || true
	done
	cat >root/herd <<-'END'
		#!/bin/sh
		root=$(dirname "$0")
		lib=$root/usr/lib/x86_64-linux-gnu
		exec "$lib/ld-linux-x86-64.so.2" --library-path "$lib" "$root/usr/bin/herd7" \
			-set-libdir "$root/usr/share/herdtools7/herd" "$@"
	END
	chmod +x root/herd
	root/herd -version && mv root "$herd"
)

lock "$CACHE/herd/$suite"
if [[ ! -d $herd ]]; then
	say "downloading herd7"
	log=$CACHE/herd/log
	fetch >"$log" 2>&1 </dev/null 9>&- || die "herd7 cannot be had: $(tail -n 1 "$log")"
fi
echo "$herd/herd"
