#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# model.sh: checks the models in model/ exhaustively, and that each patch in
# there, which breaks them on purpose, is found out. A line for each, and at the
# end "N passed, M failed".
#
# "Check: FILE [-DNAME]..." in a model or a patch says what is to be checked.

. "$(dirname "$0")/lib.sh"

"$SCRIPTS/setup.sh" model 6.1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

# verify FILE [-DNAME]...: in the current directory. What pan says goes to "out".
# A state takes 20 bytes more than itself; what does not fit into 7 GB, or is
# deeper than the stack, was not checked.
verify() {
	local file=$1
	shift
	spin -a "$@" "$file.pml" >log 2>&1 &&
		gcc -O2 -DSAFETY -DNOREDUCE -DMEMLIM=7000 -o pan pan.c >>log 2>&1 ||
		return 1
	nice ./pan -n -m5000000 -w26 >out 2>&1
	grep -q '^State-vector .* errors: [01]$' out
}

# result OK WORDS...
result() {
	local ok=$1
	shift
	if ((ok)); then
		passed=$((passed + 1))
		echo "ok      $*"
	else
		failed=$((failed + 1))
		echo "not ok  $*"
		cat log out 2>/dev/null | tail -n 30 | indent
	fi
}

# check NAME PATCH FILE [-DNAME]...
check() {
	local name=$1 patch=$2 begin=$SECONDS ok=0 error states
	shift 2
	rm -rf "$work/model"
	mkdir "$work/model"
	cp "$TOP"/model/*.pml "$work/model"
	cd "$work/model" || exit
	if [[ -n $patch ]] && ! patch -s -p2 <"$patch" >log 2>&1; then
		result 0 "$name: the patch does not apply"
		return
	fi
	verify "$@" || {
		result 0 "$name"
		return
	}
	states=$(awk '/ states, stored$/ { print $1 }' out)
	error=$(sed -n 's/^pan:1: \(.*\) (at depth [0-9]*)$/\1/p' out)
	if [[ -n $patch ]]; then
		[[ -n $error ]] && ok=1
		result $ok "$name is found: ${error:-nothing}"
	else
		[[ -z $error ]] && grep -q ' errors: 0$' out &&
			! grep -qE 'max search depth|not completed' out && ok=1
		result $ok "$name: $states states, $((SECONDS - begin)) s${error:+: $error}"
	fi
}

# Each in a shell of its own would lose the counts, so the lists come first.
mapfile -t models < <(sed -n 's/^ \* Check: //p' "$TOP"/model/*.pml)
for model in "${models[@]}"; do
	# shellcheck disable=SC2086 # a file and its options
	check "$model" "" $model
done
for patch in "$TOP"/model/*.patch; do
	model=$(sed -n 's/^Check: //p' "$patch")
	# shellcheck disable=SC2086
	check "$(basename "$patch" .patch)" "$patch" $model
done

echo "$passed passed, $failed failed"
((failed == 0))
