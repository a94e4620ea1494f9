#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# check.sh KERNEL [CONFIG]: runs every test in the test kernel of that
# configuration, shows the results as they come, and ends with "N passed, M
# failed", and ", K skipped" if a test could not run here. In the environment:
#
#   FILTER=   a glob: only the KUnit tests, or suites, of such a name; "module": what
#             only user space can test
#   SOAK=300  300 seconds of mixed load, too
#   LONG=300  that, and more of everything
#   STALL=180 the guest hangs if it says nothing for so many seconds (720 on other
#             machines). After 160 a test whose threads do not get on says so itself;
#             0: no limit
#
# Counted as failed, beside tests: a test of kunit/seed-tests.txt that did not
# run, a suite that did not end, a complaint of the kernel, a guest that
# stopped or hung.

. "$(dirname "$0")/lib.sh"

kernel=$(which_kernel "${1-}") config=${2:-check} LONG=${LONG-} SOAK=${SOAK-} FILTER=${FILTER-}
[[ $FILTER != *[[:space:]]* ]] || die "FILTER=$FILTER: no test has a space in its name"
job=check
[[ $config == check ]] || job="check-debug CONFIG=$config"
build=$config
case $config in
zero | fresh | watch) build=check ;; # which is only told something else
esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$SCRIPTS/setup.sh" check
[[ $config != clang ]] || "$SCRIPTS/setup.sh" configs
dir=$("$SCRIPTS/kernel.sh" "$kernel" "$build")
"$SCRIPTS/modules.sh" "$(basename "$dir")" "$dir" "$work/modules"
"$SCRIPTS/initramfs.sh" "$kernel" "$work/initrd" "$work"/modules/*.ko

# Suites, results, and what a failed test says. Of what FILTER leaves out, nothing.
show() {
	awk '/^ *# Subtest: / { suite = $0 "\n"; next }
	     / # SKIP not in FILTER$/ { next }
	     /^    (not )?ok [0-9]+ / || / (EXPECTATION|ASSERTION) FAILED / {
		     printf "%s%s\n", suite, $0; suite = ""; fflush()
	     }
	     /^(not )?ok [0-9]+ / { if (!suite) print; fflush() }'
}

# Parameters of the tests, and of the kernel. Where a CPU stops at one access in
# many, to see who else comes by, fewer operations take as long, and meet as often.
# It stops for longer than by default: of four CPUs, often no more than two run at
# a time, or fewer. Where kmemleak notes down the stack of each allocation, fewer
# take as long, too.
declare -A parameters=(
	[kasan]="ops=100000"
	[kcsan]="ops=200000"
	[rt]="ops=1000000"
	[zero]="ops=1000000"
	[fresh]="ops=1000000"
	[watch]="ops=1000000"
	[up]="ops=1000000"
	[lazy]="ops=1000000"
	[nodebugfs]="ops=1000000"
	[clang]="ops=1000000"
	[swtags]="ops=100000"
)
# On other machines fewer do: emulated, or with a system call where others turn
# interrupts off.
[[ $ARCH == x86_64 ]] || parameters[check]="ops=100000"
declare -A append=(
	[kasan]="kasan_multi_shot"
	[kcsan]="kcsan.udelay_task=200 kcsan.udelay_interrupt=50"
	[zero]="init_on_free=1"
	[fresh]="init_on_alloc=1"
	[watch]="bsa_debug=1"
)

# Two nodes, so that it can be seen which one memory is from. The second one is
# only memory, of which the kernel learns the last 512 MiB later. Some is set aside
# for devices (CMA), at the top.
if [[ $config == check && $ARCH == x86_64 && -z ${FILTER#module}${MEM-}${CPUS-}${QEMU_ARGS-} ]]; then
	parameters[check]="nodes later=0x1a0000000"
	append[check]="mem=6656M cma=64M"
	export QEMU_ARGS="-object memory-backend-ram,id=ram0,size=5G
		-object memory-backend-ram,id=ram1,size=1G
		-numa node,memdev=ram0,cpus=0-3 -numa node,memdev=ram1"
fi

log=$CACHE/log/$config-$ARCH-$kernel.log
[[ $ARCH == x86_64 || $ARCH == um ]] || STALL=${STALL:-720}
# Two runs at once, perhaps from two checkouts, would be judged by each other's lines.
lock "$log"
export TIMEOUT=${TIMEOUT:-$((3600 + ${LONG:-${SOAK:-0}}))} STALL=${STALL:-180} MEM=${MEM:-$memory}
[[ $config != up ]] || export CPUS=1
export APPEND="${append[$config]-} ${APPEND-}"
status=0
say "booting the $kernel kernel of make $job${cross:+ for $ARCH}"
# shellcheck disable=SC2086 # each of them is a word
boot "$log" show "$dir/$image" "$work/initrd" \
	check ${parameters[$config]-} ${LONG:+long=$LONG} ${SOAK:+soak=$SOAK} \
	${FILTER:+"filter=$FILTER"} ${OPS:+ops=$OPS} || status=$?

# One KTAP document: the suites that a module brings have a header of their own
# or none, depending on the kernel, and each module counts from 1.
awk '/^bsa-guest: end/ { on = 0 }
     on && /^    # Subtest: / { suites++ }
     on && !/^(KTAP version 1|1\.\.[0-9]+)$/ {
	     if (/^(not )?ok [0-9]+ /)
		     sub(/ok [0-9]+/, "ok " ++number)
	     line[++lines] = $0
     }
     /^bsa-guest: begin/ { on = 1 }
     END {
	     print "KTAP version 1\n1.." suites + 0
	     for (i = 1; i <= lines; i++)
		     print line[i]
     }' "$log" >"$work/ktap"

# The kernel's own parser notices what counting cannot: tests that are missing,
# suites without an end.
python3 "$dir/source/tools/testing/kunit/kunit.py" parse "$work/ktap" |
	sed 's/^\[[0-9:]*\] //' >"$work/parsed" || true
total() {
	sed -n "s/^Testing complete.*[ ,]$1: \([0-9]*\).*/\1/p" "$work/parsed"
}
passed=$(total passed) failed=0 skipped=$(sed -nE "s/^    ok [0-9]+ (- )?(.*) # SKIP /\2: /p" \
	"$work/ktap" | grep -v ': not in FILTER$' || true)
ended=
grep -q '^bsa-guest: end' "$log" && ended=1
# Without an end, the parser counts all that did not come as well.
for kind in failed ${ended:+crashed errors}; do
	count=$(total "$kind")
	failed=$((failed + ${count:-0}))
done
if ((failed)); then
	say "what failed:"
	# A kernel that complains without an end is in the log.
	grep -vE '^(\[PASSED\]|\[SKIPPED\]|=+$|=+ .*[^]] =+$|=+ \[(PASSED|SKIPPED)\])' "$work/parsed" |
		sed -n '1,200p' | indent >&2
fi

# missing NAME...: what had to run, and did not
missing() {
	say "did not run: $*"
	failed=$((failed + $#))
}

# Each test of the specification has to have passed under its own name, or says
# what it needs that is not here: more CPUs than were asked for, or no debug=.
absent=()
while IFS= read -r name; do
	result=$(sed -nE "s/^    ((not )?ok) [0-9]+ (- )?$name( .*)?$/\1\4/p" "$work/ktap")
	case $result in
	ok | "not ok"*) ;; # a failed one is counted already
	"ok # SKIP not with debug=") [[ $config == watch ]] || absent+=("$name") ;;
	"ok # SKIP needs "*" CPUs") [[ -n ${CPUS-} ]] || absent+=("$name") ;;
	"ok # SKIP "*) [[ $ARCH != x86_64 ]] || absent+=("$name") ;;
	*) absent+=("$name") ;;
	esac
done <"$TOP/kunit/seed-tests.txt"
if [[ -n $ended && -z $FILTER ]]; then
	((${#absent[@]} == 0)) || missing "${absent[@]}"
	# These have tools that are tested, too.
	case $config in
	kasan | zero | fresh)
		grep -qE '^(not )?ok [0-9]+ tools$' "$work/ktap" || missing "the suite of tools"
		;;
	esac
fi

wrong=$(judge "$log" "$status")
[[ -z $wrong ]] || failed=$((failed + $(wc -l <<<"$wrong")))
if ((${passed:-0} == 0)); then
	say "no test passed${FILTER:+: does any match FILTER=$FILTER?}"
	failed=$((failed + 1))
fi

if [[ -n $skipped ]]; then
	say "skipped, since they cannot be as they are here:"
	indent <<<"$skipped" >&2
fi
((failed == 0)) || say "the whole log: $log"
say "make $job took $SECONDS s on $kernel${cross:+, $ARCH}"
totals "${passed:-0}" "$failed" "$(grep -c . <<<"$skipped" || true)"
((failed == 0))
