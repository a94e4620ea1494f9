#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# lint.sh KERNEL: what can be said about the sources without running them. Prints
# nothing when all is well.

. "$(dirname "$0")/lib.sh"

kernel=$(which_kernel "${1-}")

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$SCRIPTS/setup.sh" lint
src=$("$SCRIPTS/source.sh" "$kernel")
headers=$("$SCRIPTS/headers.sh" "$kernel")
newest=$("$SCRIPTS/kernel.sh" "${kernels[-1]}" check prepare)
cd "$TOP" || exit
mapfile -t sources < <(find . -name '*.[ch]' -not -name '*.mod.c' | sort)
module=(*.c include/bsa/*.h)
mapfile -t shell < <(grep -rlE '^#(!.*sh| shellcheck shell=)' scripts .ci | sort)

# No file of the module is longer than this, except those that are still to be cut.
max_lines=700
longer=()

# Bytes of static per-CPU data: all modules together have 8 KiB of it. To be 512,
# once the CPUs' part of the default heap is allocated.
max_percpu=${MAX_PERCPU:-512}

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
# link only against one that has KUnit. Also against the newest one, where types are
# told apart that were the same before.
sparse() {
	local output
	output=$("$SCRIPTS/modules.sh" lint "$headers" \
		"$work/modules" C=2 CONFIG_KUNIT=m KBUILD_MODPOST_WARN=1 2>&1 >/dev/null) || status=1
	grep -vE 'modpost: (".*/bsa_kunit.ko\] undefined!|suppressed )' <<<"$output"
	output=$("$SCRIPTS/modules.sh" lint-newest "$newest" "$work/newest" C=2 \
		CHECK="$("$SCRIPTS/later.sh" sparse)" CF=-Wno-memcpy-max-count KBUILD_MODPOST_WARN=1 2>&1 >/dev/null) || status=1
	grep -vE 'modpost: (.* undefined!|suppressed )|Module.symvers is missing|^ {9}' \
		<<<"$output" || true
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

# shellcheck disable=SC2317
short_files() {
	local file lines
	for file in *.c samples/*.c; do
		[[ $file != *.mod.c ]] || continue
		lines=$(wc -l <"$file")
		if [[ " ${longer[*]} " == *" $file "* ]]; then
			((lines > max_lines)) || echo "$file: no longer too long, so no exception"
		elif ((lines > max_lines)); then
			echo "$file: $lines lines, and $max_lines are the most"
		fi
	done
}

# shellcheck disable=SC2317
# Each statement that has a data_race() follows a comment, which says why that cannot
# matter.
explained_races() {
	awk 'FNR == 1 { explained = 0 }
	     /^[ \t]*(\/\*|\*).*\*\/$/ || /^[ \t]*\*\/$/ { explained = 1; next }
	     /^[ \t]*\/?\*/ { next }
	     /data_race\(/ && !explained { print FILENAME ":" FNR ": a data_race() without a comment above" }
	     /[;{}]$/ { explained = 0 }' "${sources[@]}"
}

# shellcheck disable=SC2317
# Whatever orders memory follows a comment, or else its function does, that names its
# litmus test, or says "No order is needed".
explained_orders() {
	awk -v order='(smp_(mb|rmb|wmb|load_acquire|store_release)|smp_mb__[a-z_]+|[a-z_]*xchg[a-z_]*|test_and_[a-z_]*bit[a-z_]*|clear_bit_unlock|llist_(add|del_all)[a-z_]*|atomic_[a-z_]*(_return|_acquire|_release)|synchronize_rcu)\\(' \
	    -v named='model/litmus/[a-z-]+[.]litmus|No order is needed' '
	     FNR == 1 { above = head = ""; inside = 0 }
	     /^[ \t]*\/?\*/ {
		if (/\/\*/)
			text = ""
		text = text " " $0
		if (/^( |\/)\*/)
			head = text
		else
			above = text
		next
	     }
	     { sub(/\/\*.*/, "") }
	     $0 ~ order && (above != "" ? above : head) !~ named {
		print FILENAME ":" FNR ": no comment names a litmus test for this"
	     }
	     /[;{}]$/ { above = "" }
	     /^\{/ { inside = 1 }
	     /^\}/ || (/^$/ && !inside) { inside = 0; head = "" }' "${module[@]}"
}

# shellcheck disable=SC2317
# Each litmus test that the code names has to be there, and the other way round. One
# that lacks an order belongs to the test that has it.
litmus_tests() {
	local name
	grep -noE 'model/litmus/[a-z-]+([.]litmus)?' "${module[@]}" |
		while IFS=: read -r file line name; do
			[[ -f $name ]] || echo "$file:$line: there is no $name"
		done
	for name in model/litmus/*.litmus; do
		if [[ $name == *-without-* ]]; then
			[[ -f ${name%%-without-*}.litmus ]] ||
				echo "$name: there is no ${name%%-without-*}.litmus"
		else
			grep -qF "$name" "${module[@]}" || echo "$name: no code names it"
		fi
	done
}

# shellcheck disable=SC2317
percpu_data() {
	local bytes
	bytes=$((0x$(readelf -SW "$work/modules/bsa.ko" |
		sed -nE 's/.* \.data\.\.percpu +PROGBITS +[0-9a-f]+ [0-9a-f]+ ([0-9a-f]+) .*/\1/p')))
	((bytes <= max_percpu)) ||
		echo "bsa.ko: $bytes bytes of static per-CPU data, and $max_percpu are the most"
}

# One file alone may ask which version it is compiled for.
versions=./include/bsa/compat.h
checkpatch=("$("$SCRIPTS/source.sh" "${kernels[-1]}")/scripts/checkpatch.pl" --no-tree --strict --quiet)
check "${checkpatch[@]}" --ignore LINUX_VERSION_CODE,CONSTANT_COMPARISON --file "$versions"
mapfile -t others < <(printf '%s\n' "${sources[@]}" | grep -vxF "$versions")
check "${checkpatch[@]}" --file "${others[@]}"
check "$src/scripts/kernel-doc" -none "${sources[@]}"
check sparse
check fast_path
check named_tests
check short_files
check explained_races
check explained_orders
check litmus_tests
check percpu_data
check shellcheck -x "${shell[@]}"

exit "$status"
