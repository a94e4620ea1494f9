#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# check-all.sh [WORD]...: every test on everything that bsa supports: hours. Prints a
# table, a row for each target as it comes, and ends with "N passed, M failed, K
# skipped". What each one had to say is in the cache's log/all-*. With words, the rows
# that have them all: "check s390x".
#
# A row that has passed is not run again for the same files, whatever is in *.md: who is
# interrupted goes on where he was. AGAIN=1: it is.
#
# Machines that are emulated instruction by instruction make fewer operations of each
# kind, but every test.

. "$(dirname "$0")/lib.sh"

# Name, machine, kernel, command.
targets() {
	local kernel machine config
	for kernel in 6.1 6.12 7.3; do
		echo "run x86_64 $kernel make run"
		echo "run-rt x86_64 $kernel-rt make run"
		echo "check x86_64 $kernel make check"
	done
	for kernel in 6.12 7.3; do
		for machine in arm64 s390x riscv64; do
			echo "run $machine $kernel make run"
			echo "check $machine $kernel make check"
		done
		for machine in arm64-16k arm64-64k; do
			echo "check $machine $kernel make check"
		done
	done
	echo "run um 7.3 make run"
	echo "check um 7.3 make check"
	echo "check-1-cpu um 7.3 env CPUS=1 make check"
	echo "isolated x86_64 6.12 env APPEND=isolcpus=domain,3 FILTER=isolated_cpus_are_never_interrupted make check"
	for config in kasan kcsan rt zero fresh watch up nodebugfs clang; do
		echo "$config x86_64 6.12 make check-debug CONFIG=$config"
	done
	echo "lazy x86_64 7.3 make check-debug CONFIG=lazy"
	echo "swtags arm64 7.3 make check-debug CONFIG=swtags"
	echo "warnings x86_64 all make configs"
	echo "in-tree all 7.3 make check-tree"
	echo "model - - make model"
	echo "lint x86_64 - make lint"
}

# What is tried: all files but what is only read.
tried() {
	(cd "$TOP" && git ls-files -z | grep -zv '\.md$' | xargs -0 sha256sum | sha256sum | cut -c 1-16)
}

# wanted NAME MACHINE KERNEL WORD...: does the row have all the words?
wanted() {
	local row=" $1 $2 $3 " word
	shift 3
	for word; do
		[[ $row == *" $word "* ]] || return
	done
}

# try ROW LOG MACHINE KERNEL COMMAND...: leaves a line in ROW, with what was tried.
try() {
	local row=$1 log=$2 machine=$3 kernel=$4 begin=$SECONDS status=0 p f s
	local environment=(KERNEL="$kernel" ARCH="$machine")
	shift 4
	[[ $kernel != all && $kernel != - ]] || environment=()
	env "${environment[@]}" "$@" >"$log" 2>&1 </dev/null || status=$?
	# What has no counts works or does not.
	if grep -qE '^[0-9]+ passed, [0-9]+ failed' "$log"; then
		read -r p f s < <(read_totals "$log")
		((status == 0 || f > 0)) || f=1
	else
		p=$((status == 0)) f=$((status != 0)) s=0
	fi
	echo "$files $p $f $s $((SECONDS - begin))" >"$row"
}

mkdir -p "$CACHE/log"
files=$(tried) passed=0 failed=0 skipped=0
format='| %-12s | %-10s | %-8s | %7s | %7s | %7s | %5s |\n'
# shellcheck disable=SC2059 # the same for all rows
printf "$format" what machine kernel passed failed skipped s
printf '| --- | --- | --- | --- | --- | --- | --- |\n'
while read -r name machine kernel command; do
	wanted "$name" "$machine" "$kernel" "$@" || continue
	log=$CACHE/log/all-$name-$machine-$kernel.log
	row=${log%.log}.row
	read -r seen p f s took 2>/dev/null <"$row" || seen=
	if [[ $seen != "$files" || $f != 0 || -n ${AGAIN-} ]]; then
		# shellcheck disable=SC2086 # each is a word
		try "$row" "$log" "$machine" "$kernel" $command
		read -r seen p f s took <"$row"
	fi
	# shellcheck disable=SC2059
	printf "$format" "$name" "$machine" "$kernel" "$p" "$f" "$s" "$took"
	((passed += p, failed += f, skipped += s)) || true
done < <(targets)
totals "$passed" "$failed" "$skipped"
((failed == 0))
