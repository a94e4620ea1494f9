#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# lint.sh: what can be said about the sources without running them. Prints
# nothing when all is well.

. "$(dirname "$0")/lib.sh"

kernel=6.1

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$SCRIPTS/setup.sh" lint "$kernel"
src=$("$SCRIPTS/source.sh" "$kernel")
release=$(headers_release "$kernel")
cd "$TOP" || exit
mapfile -t sources < <(find . -name '*.[ch]' -not -name '*.mod.c' | sort)
mapfile -t shell < <(grep -rlE '^#(!.*sh| shellcheck shell=)' scripts .ci | sort)

status=0

# check COMMAND...: has to succeed and to say nothing.
check() {
	local output
	output=$("$@" 2>&1) && [[ -z $output ]] && return
	printf '%s\n' "$output" >&2
	say "lint: $(basename "$1") found something"
	status=1
}

# shellcheck disable=SC2317 # check calls it
# Sparse, over the tests too: they compile against any kernel, although they
# link only against one that has KUnit.
sparse() {
	local output
	output=$("$SCRIPTS/modules.sh" lint "/lib/modules/$release/build" \
		"$work/modules" C=2 CONFIG_KUNIT=m KBUILD_MODPOST_WARN=1 2>&1 >/dev/null) || status=1
	grep -vE 'modpost: (".*/bsa_kunit.ko\] undefined!|suppressed )' <<<"$output" || true
}

# shellcheck disable=SC2317
# The machine code of the hot calls, from what sparse has built.
fast_path() {
	"$SCRIPTS/fast-path.py" "$work/modules/bsa.ko"
}

# shellcheck disable=SC2317
# Each test that the README names has to be there.
named_tests() {
	sed '/^|/!d; y/`/\n/' README.md | grep -xE '[a-z]+(_[a-z0-9]+){3,}' | sort -u |
		while read -r name; do
			grep -rqw "$name" kunit scripts/guest include/linux ||
				echo "README.md: there is no $name"
		done
}

check "$src/scripts/checkpatch.pl" --no-tree --strict --quiet --file "${sources[@]}"
check "$src/scripts/kernel-doc" -none "${sources[@]}"
check sparse
check fast_path
check named_tests
check shellcheck -x "${shell[@]}"

exit "$status"
