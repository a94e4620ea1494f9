#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# deb.sh SUITE PATTERN [DEPENDS [ARCHITECTURE]]: prints the directory where a package of
# a suite of Debian is unpacked: the newest one whose name matches PATTERN, together with
# those that it depends on whose names match DEPENDS. For the host, or for another
# architecture.
#
# Nothing is installed. apt has a configuration of its own, with the mirrors that the
# machine has and Debian's keys, and keeps all that it knows in the cache.

. "$(dirname "$0")/lib.sh"

own=$(dpkg --print-architecture)
suite=$1 pattern=$2 depends=${3:-^$} architecture=${4:-$own}
keys=/usr/share/keyrings/debian-archive-keyring.gpg
home=$CACHE/apt/$suite
[[ $architecture == "$own" ]] || home+=-$architecture

sources() {
	local here main security
	here=$(. /etc/os-release && echo "${VERSION_CODENAME-}")
	main=$(mirror "$here") security=$(mirror "$here-security")
	[[ -n $main ]] || die "apt has no mirror of Debian's $here here to fetch $suite from"
	echo "deb [signed-by=$keys] $main $suite main"
	case $suite in
	forky | *-backports) ;;
	*) [[ -z $security ]] || echo "deb [signed-by=$keys] $security $suite-security main" ;;
	esac
}

apt() {
	local command=$1
	shift
	"apt-$command" -q -o APT::Sandbox::User="$(id -un)" \
		-o APT::Architecture="$architecture" -o APT::Architectures="$architecture" \
		-o Dir::Etc::SourceList="$home/sources" \
		-o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists="$home/lists" \
		-o Dir::State::Status=/dev/null -o Dir::Cache="$home" "$@"
}

newest() {
	apt cache search --names-only "$1" | cut -d ' ' -f 1 | sort -V | tail -n 1
}

# What is on the mirror may have gone on since the lists were fetched.
unpack() (
	new=$home/new
	rm -rf "$new"
	mkdir -p "$new/debs" "$new/root"
	cd "$new/debs" || exit
	mapfile -t names < <(apt cache depends --no-recommends --no-suggests "$package" |
		sed -nE 's/^ *Depends: //p' | grep -E "$depends")
	apt get download "$package" "${names[@]}" || exit
	for deb in *.deb; do
		dpkg-deb -x "$deb" ../root || exit
	done
	mv ../root "$dir"
	rm -rf "$new"
)

lock "$home"
mkdir -p "$home/lists/partial" "$home/archives/partial"
log=$home/log
# Lists of a week are as good as new ones, and older ones better than none.
if [[ -z $(find "$home/lists" -name '*Packages*' -mtime -7 -print -quit) ]]; then
	sources >"$home/sources"
	apt get update >"$log" 2>&1 </dev/null || say "no list of what $suite has: $(tail -n 1 "$log")"
fi
package=$(newest "$pattern")
[[ -n $package ]] || die "Debian's $suite has no package $pattern"
version=$(apt cache show --no-all-versions "$package" | sed -n 's/^Version: //p')
dir=$home/${package}_$version
if [[ ! -d $dir ]]; then
	say "downloading $package $version"
	unpack >"$log" 2>&1 </dev/null ||
		{ apt get update && unpack; } >"$log" 2>&1 </dev/null ||
		die "$package cannot be had: $(tail -n 1 "$log")"
fi
echo "$dir"
