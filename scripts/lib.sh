# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# What the other scripts share. Sourced, never run.
#
# A script prints its result (a path, as a rule) on standard output and what
# it has to tell a person on standard error.

set -euo pipefail

# What other programs print is parsed here and there. And what a user gives to
# make is for these scripts, not for the kernel's own Makefile, which is told.
export LC_ALL=C
unset MAKEFLAGS MFLAGS MAKELEVEL

# So that what a script has to do at its end is done then, too.
trap 'exit 130' INT TERM HUP

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
SCRIPTS=$TOP/scripts

# Everything that is slow to make stays here, outside the tree:
#   apt/     packages of Debian, unpacked, by suite and version
#   root/    other Debians, with their compilers
#   src/     unpacked kernel sources, by package version
#   kernel/  kernels built from them, by version, configuration and compiler
#   build/   our modules, by checkout and kernel
# "make clean-cache" removes it.
CACHE=${XDG_CACHE_HOME:-${HOME:?}/.cache}/bsa

# The machine that a kernel is for, ARCH in the environment, is that of the host if
# nobody names it. All that a script has to know of it is in a file of its own:
#   arch cross     what the kernel's Makefile calls it, and what its compiler's name
#                  begins with where it is not the host's
#   debian         what Debian calls it
#   flavour        how the releases of Debian's kernels end; empty: there are none
#   kernels        the versions that run there; with oldest, from Debian's oldest on
#   emulator       Debian's package with its QEMU; empty: it needs none
#   image          where the kernel is in its build directory
#   tty console    the console for a person, and the one for scripts: without it none
#                  but the boot console, which takes no lock
#   early append   what the kernel is told for a boot console, and what else
#   memory         how much it has in "make check", some of it above 4 GiB if it can
#   machine cpu    QEMU's command and the CPU that it emulates
#   user_mode      sets qemu, the command, where no emulator is needed
#   config         prints options that kernels there need beside those of kunit/configs,
#                  and those that they lack
case $(uname -m) in
aarch64) host=arm64 ;;
*) host=$(uname -m) ;;
esac
ARCH=${ARCH:-$host}
if [[ ! -e $SCRIPTS/arch/$ARCH.sh ]]; then
	echo "bsa: ARCH=$ARCH is not known; $(cd "$SCRIPTS/arch" && echo *.sh | sed 's/\.sh//g') are" >&2
	exit 1
fi
export ARCH
# shellcheck disable=SC2034 # the scripts use them
oldest='' console=null early='' append='' flavour='' memory=6G
# shellcheck source=arch/x86_64.sh
. "$SCRIPTS/arch/$ARCH.sh"
# shellcheck disable=SC2034
[[ ${ARCH%-*} != "$host" ]] || cross=''

say() {
	printf 'bsa: %s\n' "$*" >&2
}

die() {
	say "$*"
	exit 1
}

# lock PATH: two commands at once must not make the same thing in the cache. The
# lock is held to the end of the script that takes it. No script takes two.
lock() {
	mkdir -p "$(dirname "$1")" ||
		die "cannot write to $CACHE (XDG_CACHE_HOME moves it)"
	exec 9>"$1.lock"
	flock --nonblock 9 || {
		say "waiting for another bsa command that makes $1"
		flock 9
	}
}

# checkout: a name for this one among others.
checkout() {
	echo "$(basename "$TOP")-$(printf %s "$TOP" | sha256sum | cut -c 1-8)"
}

# totals PASSED FAILED SKIPPED: the last line of whatever runs tests.
totals() {
	local skipped=
	(($3 == 0)) || skipped=", $3 skipped"
	echo "$1 passed, $2 failed$skipped"
}

# read_totals FILE: the three numbers in its last line of totals, behind which make may
# complain. What has none did not come to its end, which is a failure.
read_totals() {
	local counts
	counts=$(sed -nE 's/^[0-9]+ passed, [0-9]+ failed$/&, 0 skipped/
		s/^([0-9]+) passed, ([0-9]+) failed, ([0-9]+) skipped$/\1 \2 \3/p' "$1" | tail -n 1)
	echo "${counts:-0 1 0}"
}

indent() {
	sed 's/^/    /'
}

# run_logged LOG COMMAND...: the output goes to LOG, and is shown only if the
# command fails.
run_logged() {
	local log=$1 status=0
	shift
	"$@" >"$log" 2>&1 </dev/null || status=$?
	if ((status)); then
		tail -n 30 "$log" >&2
		say "failed: $*"
		say "the whole log: $log"
	fi
	return "$status"
}

# mirror SUITE: where the machine fetches this suite of its Debian from.
mirror() {
	# shellcheck disable=SC2016 # the $(...) is apt's
	apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
		sed -n "s/^$1 //p" | head -n 1
}

# which_kernel KERNEL: that kernel, if the machine has it. Without a name that of the
# Debian which this is, or else the oldest there.
which_kernel() {
	local own=6.1 known=" ${kernels[*]} "
	(. /etc/os-release && [[ ${VERSION_CODENAME-} == trixie ]]) && own=6.12
	[[ $known == *" $own "* ]] || own=${kernels[0]}
	[[ $known == *" ${1%-rt} "* || -z $1 ]] ||
		die "KERNEL=$1 is not known for ARCH=$ARCH: ${kernels[*]} are${flavour:+, and the same with -rt}"
	echo "${1:-$own}"
}

# suite KERNEL: the suite of Debian that has such a kernel.
suite() {
	case ${1%-rt} in
	6.1) echo bookworm ;;
	6.12) (. /etc/os-release && [[ $oldest == trixie || ${VERSION_CODENAME-} == trixie ]]) &&
		echo trixie || echo bookworm ;;
	7.3) echo trixie-backports ;;
	esac
}

# release_pattern KERNEL: how the releases (as in uname -r) of such a kernel look.
release_pattern() {
	local rt=
	[[ $1 != *-rt ]] || rt=-rt
	printf '%s\\..*[0-9]%s-%s' "${1%-rt}" "$rt" "$flavour"
}

# The lines of a kernel log that no good run has. Boots have printk.time=0, so
# a line begins with its text. What a kernel says about its own mitigations
# ("Spectre V2 : WARNING: ...") does not begin with the word, and is not meant. Nor is
# what kmemleak says when an allocation that fails on purpose is its own for a hint.
TROUBLE='^(WARNING|BUG|INFO): |: BUG: |Oops|^Call Trace:|Kernel panic'
TROUBLE+='|cut here \]|general protection|stack backtrace:|RIP: 0010:|^Call trace:'
TROUBLE+='|^(UBSAN|ODEBUG|refcount_t): |rcu: INFO: |Bad page '
TROUBLE+='|DEBUG_LOCKS_WARN_ON|kmemleak: [1-9][0-9]* new|oom-killer'
TROUBLE+='|page allocation failure|unable to handle|Unable to handle'
TROUBLE+='|^\[ BUG: |NOHZ tick-stop error|kmemleak: .*(disabled|Cannot allocate a kmemleak_object)'

# without_foreign_races LOG: the log, but without the first line of a data race
# that is none of ours. The kernel has races of its own, which KCSAN reports as
# well. One is ours if one of the two functions is, or was called by one of ours:
# the kernel's lists and bitmaps are code of the kernel on data of ours.
without_foreign_races() {
	awk 'FNR != NR { print FNR in ours && !ours[FNR] ? "" : $0; next }
	     /^BUG: KCSAN: / { race = FNR; frame = 9; ours[race] = /\[bsa/ }
	     / by (task|interrupt) / { frame = 0 }
	     race && /^ [^ ]+\+0x/ && ++frame <= 2 && /\[bsa/ { ours[race] = 1 }
	     /^=====/ { race = 0 }' "$1" "$1"
}

# without_misdeeds: standard input, a log, but without what the suite "tools"
# provokes: reports of KASAN about the client that misbehaves, what the tests say
# about them, and leaks that it checks itself.
without_misdeeds() {
	awk '/^    # Subtest: tools$/ { suite = 1 }
	     /^(not )?ok [0-9]+ tools$/ { suite = 0 }
	     /^BUG: KASAN: .* in .*\[bsa_misdeeds\]$/ && suite { report = 1 }
	     /^=====/ { report = 0 }
	     report || (suite && /^(    # [a-z_]+: |kmemleak: [0-9]+ new )/) { $0 = "" }
	     { print }'
}

# watch LOG PID: ends the process when LOG has not grown for STALL seconds, and
# leaves a note of it in $work. How long the whole takes says nothing: a machine
# that has much else to do is slow, but goes on.
watch() {
	local size last=0 quiet=0
	while kill -0 "$2" 2>/dev/null; do
		size=$(stat -c %s "$1")
		((size == last)) || quiet=0
		last=$size
		if ((quiet++ == STALL)); then
			touch "${work:?}/stalled"
			kill "$2"
			return
		fi
		sleep 1
	done
}

# boot LOG FILTER QEMU.SH-ARGUMENTS...: boots in the background, with the console
# in LOG and, through the filter, on standard output. Returns what qemu.sh
# returns. The caller has a directory for passing things in $work. With STALL in
# the environment, a guest that says nothing for so many seconds is stopped.
boot() {
	local log=$1 filter=$2 qemu shown watcher status=0
	shift 2
	mkdir -p "$(dirname "$log")"
	: >"$log"
	mkfifo "${work:?}/console"
	sed -u 's/\r*$//' <"$work/console" | tee "$log" | "$filter" &
	shown=$!
	"$SCRIPTS/qemu.sh" "$@" >"$work/console" 2>"$work/qemu.err" &
	qemu=$!
	# "wait" returns at once when a signal comes, a pipeline would not.
	trap 'kill "$qemu" 2>/dev/null; wait; exit 130' INT TERM HUP
	((${STALL:-0} == 0)) || watch "$log" "$qemu" >/dev/null &
	watcher=$!
	wait "$qemu" || status=$?
	trap 'exit 130' INT TERM HUP
	kill "$watcher" 2>/dev/null || true
	wait "$shown" || true
	rm "$work/console"
	return "$status"
}

# judge LOG STATUS: prints what was wrong with a boot that ended with STATUS,
# apart from the tests themselves: a line for each thing that counts, and what
# helps to find the reason. Prints nothing for a good boot.
judge() {
	local log=$1 status=$2 complaint
	complaint=$(without_foreign_races "$log" | without_misdeeds |
		grep -nE "$TROUBLE" | sed -n '1s/:.*//p') || true
	if [[ -n $complaint ]]; then
		say "the kernel complained:"
		sed -n "$complaint,+24p" "$log" | indent >&2
		echo "kernel complaint"
	fi
	grep -q '^bsa-guest: end' "$log" && return
	if [[ -e $work/stalled ]]; then
		say "no line for $STALL s (STALL= for more); the last was: $(tail -n 1 "$log")"
		say "what came before:"
	elif ((status == 124)); then
		say "stopped after $TIMEOUT s, though lines still came (TIMEOUT= for more):"
	else
		say "the guest stopped before its end (QEMU's exit status is $status), here:"
	fi
	cat "$work/qemu.err" <(tail -n 15 "$log") | indent >&2
	echo "no end"
}
