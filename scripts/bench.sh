#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# bench.sh KERNEL [MODE]: measures bsa beside what the kernel has, in a kernel
# that watches nothing. Prints a table, and names two files with the same: one
# with tab-separated fields, one with a bar chart.
#
# MODE is native (the real processor: a user-mode kernel of 7.3 with bsa and the
# benchmark built in), parallel (the same on two), counted (one emulated CPU that counts
# its instructions, and then two, for what a single call does at worst), or all of them.
# Each is run twice, and both have to agree.
#
#   ROWS=   only the rows whose name contains this
#   CALLS=  among how many calls the worst is looked for
#
# A goal that is missed is shown and is no failure: the exit status says only
# whether everything was measured.

. "$(dirname "$0")/lib.sh"

kernel=$(which_kernel "${1-}") mode=${2:-all}
modes=(counted)
[[ $kernel != 7.3 ]] || modes=(native parallel counted)
if [[ " ${modes[*]} " == *" $mode "* ]]; then
	modes=("$mode")
elif [[ $mode != all ]]; then
	die "MODE=$mode is not known for KERNEL=$kernel: ${modes[*]} and all are"
fi

parameters=()
[[ -z ${ROWS-} ]] || parameters+=("rows=\"$ROWS\"")
[[ -z ${CALLS-} ]] || parameters+=("calls=$CALLS")

work=$(mktemp -d)
# shellcheck disable=SC2046 # each job is a word
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
initrd=$work/initrd
export TIMEOUT=${TIMEOUT:-600}

"$SCRIPTS/setup.sh" bench
if [[ ${modes[*]} == *counted* ]]; then
	dir=$("$SCRIPTS/kernel.sh" "$kernel" bench)
	"$SCRIPTS/modules.sh" "$(basename "$dir")" "$dir" "$work/modules"
	buddy=$dir/drivers/gpu/drm/drm_buddy.ko
	[[ ! -e $buddy ]] || cp "$buddy" "$work/modules"
	"$SCRIPTS/initramfs.sh" "$kernel" "$initrd" "$work"/modules/*.ko
fi

# The clock of an emulated CPU that counts is its count of instructions; the
# kernel must not judge it by another.
declare -A append=(
	[counted]="tsc=unstable clocksource=hpet init_on_alloc=0"
	[bounded]="tsc=unstable clocksource=hpet init_on_alloc=0 maxcpus=1"
)

# measure NAME MODE: one boot; its log is NAME.log.
measure() {
	local log=$CACHE/log/bench-$kernel-$1.log status=0 work=$work/$1
	mkdir "$work"
	# Emulated memory that is never written takes none.
	MEM=${MEM:-12G} APPEND=${append[$2]} boot "$log" cat "$dir/$image" "$initrd" \
		bench "mode=$2" "${parameters[@]}" >/dev/null || status=$?
	[[ -z $(judge "$log" "$status") ]] &&
		grep -q '^bsa-guest: end: passed' "$log" && return
	say "$2 mode did not run to its end on $kernel; the whole log: $log"
	return 1
}

# count NAME: what a CPU counts. For the bounds of a call there are two, and there
# could be as many as QEMU can have. Elsewhere these would do no good: the more there
# could be, the larger are the slabs of the kernel.
count() {
	ACCEL="icount" measure "$1" counted &&
		ACCEL="icount" QEMU_ARGS="-smp 2,maxcpus=250" measure "$1-bounded" bounded &&
		cat "$CACHE/log/bench-$kernel-$1-bounded.log" >>"$CACHE/log/bench-$kernel-$1.log"
}

# Both at once: what else the machine does makes no difference to a count.
counted() {
	local first status=0
	say "counting instructions on $kernel, twice"
	count counted &
	first=$!
	count counted-again || status=1
	wait "$first" || status=1
	return "$status"
}

# How much of the machine others use at the moment, in per cent.
busy() {
	awk 'NR == 1 { idle = -$5; for (i = 2; i <= NF; i++) all -= $i }
	     NR == 2 { idle += $5; for (i = 2; i <= NF; i++) all += $i
		       print int(100 - 100 * idle / all) }' \
		<(head -n 1 /proc/stat) <(sleep 1 && head -n 1 /proc/stat)
}

# pin IMAGE: the threads of this user-mode kernel are its CPUs; each gets one of its own.
pin() {
	local cpu task pid tasks=() tries=600
	until ((${#tasks[@]} >= CPUS)); do
		((tries--)) || return
		sleep 0.1
		pid=$(pgrep -f "^$1 ") && tasks=("/proc/$pid/task"/*)
	done
	cpu=$(($(nproc --all) - CPUS))
	for task in "${tasks[@]}"; do
		taskset -cp "$((cpu++))" "${task##*/}" >/dev/null
	done
}

# on_processor MODE CPUS: on the last so many CPUs of the host, which has nothing else
# to do, if they have none either.
on_processor() {
	local name log image mode=$1 busy
	export ARCH=um CPUS=$2
	(($(nproc --all) >= CPUS)) || die "MODE=$mode needs $CPUS CPUs"
	image=$("$SCRIPTS/kernel.sh" "$kernel" "$mode" built-in)/linux || return
	"$SCRIPTS/initramfs.sh" "$kernel" "$work/$mode-initrd" || return
	busy=$(busy)
	((busy < 10 || CPUS == 1)) ||
		say "$busy % of this machine are in use: these figures will be poor"
	say "measuring on $CPUS of the machine's own CPUs on $kernel, twice"
	for name in "$mode" "$mode-again"; do
		log=$CACHE/log/bench-$kernel-$name.log
		work=$work/$name
		mkdir "$work"
		pin "$image" &
		MEM=${MEM:-2G} APPEND="bsa.size=512M bsa_bench.mode=$mode ${parameters[*]/#/bsa_bench.}" \
			boot "$log" cat "$image" "${work%/*}/$mode-initrd" bench >/dev/null &&
			[[ -z $(judge "$log" 0) ]] || return
		work=${work%/*}
	done
}

native() {
	on_processor native 1
}

parallel() {
	on_processor parallel 2
}

for mode in "${modes[@]}"; do
	("$mode") || exit 1
	log=$CACHE/log/bench-$kernel-$mode
	python3 "$SCRIPTS/bench-table.py" "$mode, $kernel" "$log" "$log.log" "$log-again.log"
done
say "make bench took $SECONDS s on $kernel"
