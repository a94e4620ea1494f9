#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# check-debug.sh [CONFIG]: every test of "make check", and 300 seconds of mixed
# load, in kernels that watch more closely, and 60 in one that is told something
# else (SOAK= in the environment: another number for all). CONFIG names one of
# them; without it, one after the other:
#
#   kasan   touching what is not one's own, leaks, undefined behaviour
#   kcsan   data races, also those that only weaker processors have
#   rt      what may not be done on PREEMPT_RT
#   zero    memory is zeroed when it is freed (init_on_free)
#   fresh   memory is zeroed when it is allocated (init_on_alloc)
#   watch   heaps watch their callers (debug=1); without the tests that count slots,
#           or look at what the fast path does
#
# All are built from the one source that has PREEMPT_RT itself.

. "$(dirname "$0")/lib.sh"

kernel=6.12
case ${1:-all} in
all) configs=(kasan kcsan rt zero fresh watch) ;;
kasan | kcsan | rt | zero | fresh | watch) configs=("$1") ;;
*) die "CONFIG=$1 is not known: kasan, kcsan, rt, zero, fresh and watch are" ;;
esac

declare -A soak=([zero]=60 [fresh]=60 [watch]=60)

# Some are several times slower.
export TIMEOUT=${TIMEOUT:-$((1200 + ${SOAK:-300}))}

output=$(mktemp)
trap 'rm -f "$output"' EXIT
passed=0 failed=0
for config in "${configs[@]}"; do
	SOAK=${SOAK-${soak[$config]-300}} "$SCRIPTS/check.sh" "$kernel" "$config" | tee "$output" || true
	counts=$(sed -nE '$s/^([0-9]+) passed, ([0-9]+) failed$/\1 \2/p' "$output")
	# What does not come to its end has failed, too.
	counts=${counts:-0 1}
	passed=$((passed + ${counts% *}))
	failed=$((failed + ${counts#* }))
done

say "make check-debug took $SECONDS s"
echo "$passed passed, $failed failed"
((failed == 0))
