#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# check-debug.sh [CONFIG]: every test of "make check", and 300 seconds of mixed
# load, in kernels that watch more closely, and 60 in those that are as fast as that
# of "make check" (SOAK= in the environment: another number for all). CONFIG names
# one of them; without it, one after the other:
#
#   kasan   touching what is not one's own, leaks, undefined behaviour
#   kcsan   data races, also those that only weaker processors have
#   rt      what may not be done on PREEMPT_RT
#   zero    memory is zeroed when it is freed (init_on_free)
#   fresh   memory is zeroed when it is allocated (init_on_alloc)
#   watch   heaps watch their callers (debug=1); without the tests that count slots,
#           or look at what the fast path does
#   up      built for a single CPU, where nothing but the holder of a lock that was
#           interrupted can stand in the way; without the tests that need several
#
#   nodebugfs   without debugfs
#   clang   made by another compiler
#   lazy    threads are preempted late, which 7.3 has
#   swtags  pointers have tags, and memory, too: arm64, with ARCH=arm64
#
# All but lazy are built from the one source that has PREEMPT_RT itself.

. "$(dirname "$0")/lib.sh"

configs=(kasan kcsan rt zero fresh watch up nodebugfs clang lazy)
if [[ -n ${1-} ]]; then
	[[ " ${configs[*]} swtags " == *" $1 "* ]] ||
		die "CONFIG=$1 is not known: ${configs[*]} and swtags are"
	configs=("$1")
fi

declare -A kernel_of=([lazy]=7.3 [swtags]=7.3)
declare -A soak=([zero]=60 [fresh]=60 [watch]=60 [up]=60 [nodebugfs]=60 [clang]=60 [lazy]=60 [swtags]=60)
# Some are several times slower, and their tests wait longer.
declare -A stall=([kasan]=720 [kcsan]=720 [rt]=720 [swtags]=720)

output=$(mktemp)
trap 'rm -f "$output"' EXIT
passed=0 failed=0 skipped=0
for config in "${configs[@]}"; do
	SOAK=${SOAK-${soak[$config]-300}} STALL=${STALL:-${stall[$config]-}} \
		"$SCRIPTS/check.sh" "${kernel_of[$config]-6.12}" "$config" | tee "$output" || true
	read -r p f s < <(read_totals "$output")
	((passed += p, failed += f, skipped += s)) || true
done

say "make check-debug took $SECONDS s"
totals "$passed" "$failed" "$skipped"
((failed == 0))
