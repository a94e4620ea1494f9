#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# configs.sh [CONFIG]...: builds the modules for kernels that are configured in other
# ways (kunit/configs), with all warnings of the compiler, of which there must be none.
# Nothing is booted; those that "make check-debug" boots are built here, too. Ends with
# "N passed, M failed", and ", K skipped" if a compiler lacks something.

. "$(dirname "$0")/lib.sh"

(($#)) || set -- check kasan kcsan rt up lazy nodebugfs clang none nonuma nounload tiny nokallsyms ibt cfi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0 skipped=0

# Which kernel has it.
declare -A kernel_of=([lazy]=7.3 [ibt]=7.3 [cfi]=7.3 [check]=7.3)

"$SCRIPTS/setup.sh" configs
for config; do
	rm -f "$work/log"
	kernel=${kernel_of[$config]-6.12}
	if [[ $config == cfi ]] && ! clang -fsanitize=kcfi -x c -c - -o /dev/null </dev/null 2>/dev/null; then
		echo "skipped $config: this clang has no -fsanitize=kcfi"
		skipped=$((skipped + 1))
		continue
	fi
	if dir=$("$SCRIPTS/kernel.sh" "$kernel" "$config" prepare) &&
		"$SCRIPTS/modules.sh" "$(basename "$dir")" "$dir" "$work/modules" \
			W=1 KBUILD_MODPOST_WARN=1 >"$work/log" 2>&1 &&
		! grep -v '^WARNING: modpost: ' "$work/log" >"$work/warnings"; then
		echo "ok      $config ($kernel)"
		passed=$((passed + 1))
	else
		echo "not ok  $config ($kernel)"
		[[ ! -e $work/log ]] || sed '/^WARNING: modpost: /d' "$work/log" | indent
		failed=$((failed + 1))
	fi
done
totals "$passed" "$failed" "$skipped"
((failed == 0))
