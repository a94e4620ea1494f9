#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# model.sh: checks model/*.pml exhaustively with spin, and that each model/*.patch,
# which breaks one of them on purpose, is found out; and runs model/litmus/*.litmus
# with herd7 and the kernel's memory model. Two at a time. A line for each, and at the
# end "N passed, M failed".
#
# "Check: FILE [-DNAME]..." in a model or a patch says what is to be checked, and
# "Result: Never" or "Result: Sometimes" in a litmus test what must come out.

. "$(dirname "$0")/lib.sh"

kernel=7.3	# whose memory model

"$SCRIPTS/setup.sh" model
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# verify OPTION FILE [-DNAME]...: in the current directory; OPTION is for gcc.
# What pan says goes to "out". A state takes 20 bytes more than itself; what does
# not fit into 7 GB, or is deeper than the stack, was not checked.
verify() {
	local option=$1 file=$2
	shift 2
	spin -a "$@" "$file.pml" >log 2>&1 &&
		nice gcc "$option" -DSAFETY -DNOREDUCE -DMEMLIM=7000 -o pan pan.c >>log 2>&1 ||
		return 1
	nice ./pan -n -m2000000 -w25 >out 2>&1
	grep -q '^State-vector .* errors: [01]$' out
}

# result OK WORDS...
result() {
	local ok=$1 text
	shift
	if ((ok)); then
		text="ok      $*"
	else
		text="not ok  $*"$'\n'$({ cat log out 2>/dev/null || true; } | tail -n 30 | indent)
	fi
	echo "${text%%  *}" >result
	printf '%s\n' "$text"
}

# check DIR NAME PATCH FILE [-DNAME]...: what is left in DIR is "result"
check() {
	local dir=$1 name=$2 patch=$3 begin=$SECONDS ok=0 option=-O2 error shown states
	shift 3
	mkdir "$dir"
	cp "$TOP"/model/*.pml "$dir"
	cd "$dir" || exit
	if [[ -n $patch ]]; then
		# What is wrong is found soon.
		option=-O1
		if ! patch -s -p2 <"$patch" >log 2>&1; then
			result 0 "$name: the patch does not apply"
			return
		fi
	fi
	if ! verify "$option" "$@"; then
		result 0 "$name"
		return
	fi
	states=$(awk '/ states, stored$/ { print $1 }' out)
	error=$(sed -n 's/^pan:1: \(.*\) (at depth [0-9]*)$/\1/p' out)
	if [[ -n $patch ]]; then
		[[ -n $error ]] && ok=1
		# What is read by way of the store buffer is long.
		shown=${error:-nothing}
		((${#shown} <= 100)) || shown=${shown:0:97}...
		result $ok "$name is found: $shown"
	else
		[[ -z $error ]] && grep -q ' errors: 0$' out &&
			! grep -qE 'max search depth|not completed' out && ok=1
		result $ok "$name: $states states, $((SECONDS - begin)) s${error:+: $error}"
	fi
	rm -f pan*
}

started=0
# start FUNCTION ARGUMENTS...: in a directory of its own; two are at work at a time
start() {
	local function=$1
	shift
	((started < 2)) || wait -n || true
	started=$((started + 1))
	"$function" "$work/$started" "$@" &
}

# litmus DIR HERD MEMORY-MODEL TEST: what is left in DIR is "result". A race is as bad
# as an outcome that must not be.
litmus() {
	local dir=$1 herd=$2 name want got ok=0
	name=$(basename "$4" .litmus)
	want=$(sed -n 's/^ \* Result: //p' "$4")
	mkdir "$dir"
	cd "$3" || exit
	"$herd" -conf linux-kernel.cfg "$4" >"$dir/out" 2>&1 || true
	cd "$dir" || exit
	got=$(sed -n 's/^Observation [^ ]* \([A-Z][a-z]*\) .*/\1/p' out)
	[[ -n $got && $got == "$want" ]] &&
		! { [[ $want == Never ]] && grep -q '^Flag ' out; } && ok=1
	result $ok "$name: ${got:-nothing}"
}

mapfile -t models < <(sed -n 's/^ \* Check: //p' "$TOP"/model/*.pml)
for model in "${models[@]}"; do
	# shellcheck disable=SC2086 # a file and its options
	start check "$model" "" $model
done
for patch in "$TOP"/model/*.patch; do
	model=$(sed -n 's/^Check: //p' "$patch")
	# shellcheck disable=SC2086
	start check "$(basename "$patch" .patch)" "$patch" $model
done

skipped=0
if herd=$("$SCRIPTS/later.sh" herd7 2>"$work/why"); then
	memory_model=$("$SCRIPTS/source.sh" "$kernel")/tools/memory-model
	for test in "$TOP"/model/litmus/*.litmus; do
		start litmus "$herd" "$memory_model" "$test"
	done
else
	for test in "$TOP"/model/litmus/*.litmus; do
		echo "skipped $(basename "$test" .litmus): $(tail -n 1 "$work/why")"
		skipped=$((skipped + 1))
	done
fi
wait

passed=$(cat "$work"/*/result | grep -cx ok || true)
totals "$passed" "$((started - passed))" "$skipped"
((passed == started))
