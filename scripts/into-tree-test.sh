#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# into-tree-test.sh KERNEL [ARCH...]: puts bsa into the source tree of that kernel, as
# into-tree.sh does for anybody, and runs its tests there with the kernel's own tool:
# built in, on user-mode Linux (um), and on x86_64 and arm64 under QEMU. Ends with
# "N passed, M failed", and ", K skipped" if a test could not run here. In the
# environment:
#
#   TIMEOUT=3600  a kernel is stopped after so many seconds

. "$(dirname "$0")/lib.sh"

kernel=$1
shift
"$SCRIPTS/setup.sh" check
if (($# == 0)); then
	set -- um x86_64
	! type aarch64-linux-gnu-gcc qemu-system-aarch64 &>/dev/null || set -- "$@" arm64
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The tool asks for KVM first, which may be there and be of no use: see qemu.sh.
if ! grep -qE '^kvm_(intel|amd) ' /proc/modules 2>/dev/null; then
	mkdir "$work/bin"
	cat >"$work/bin/qemu-system-x86_64" <<-EOF
		#!/usr/bin/env bash
		exec "$(type -P qemu-system-x86_64)" "\${@/#kvm/tcg}"
	EOF
	chmod +x "$work/bin/qemu-system-x86_64"
	PATH=$work/bin:$PATH
fi

src=$("$SCRIPTS/source.sh" "$kernel")
dir=$CACHE/tree/$kernel tree=$CACHE/tree/$kernel/src
lock "$dir"
passed=0 failed=0 skipped=0

# step WHAT COMMAND...: one thing that works or does not.
step() {
	if "${@:2}"; then
		passed=$((passed + 1))
		say "$1: yes"
	else
		failed=$((failed + 1))
		say "$1: NO"
	fi
}

# What is in the tree besides links to the files of the source, and how old it is.
changes() {
	find "$tree" -type f -links 1 -printf '%p %i %T@\n' | sort
}

# shellcheck disable=SC2317 # step calls it
is_refused() {
	! "$SCRIPTS/into-tree.sh" "$1" &>"$work/told" && (($(wc -l <"$work/told") == 1))
}

# shellcheck disable=SC2317
changes_nothing_the_second_time() {
	changes >"$work/before"
	"$SCRIPTS/into-tree.sh" "$tree" && changes | diff "$work/before" - >&2
}

# shellcheck disable=SC2317
leaves_links_alone() {
	[[ ! -e $src/drivers/bsa && ! -e $src/include/linux/bsa.h ]] &&
		! grep -q bsa/ "$src/drivers/Kconfig" "$src/drivers/Makefile"
}

# kunit COMMAND ARCH [ARGUMENT...]: runs tests with the kernel's own tool, shows how
# each suite ended, and what is wrong with a test, and counts. $log is what the tool has
# said, $log.kernel what the kernel has.
kunit() {
	local command=$1 arch=$2 options=() said kind count
	shift 2
	log=$CACHE/log/tree-$kernel-$arch.log
	case $arch in
	# Several CPUs, and memory on both sides of 4 GiB.
	x86_64)
		options=(--kconfig_add=CONFIG_SMP=y --kconfig_add=CONFIG_HIGH_RES_TIMERS=y
			--qemu_args="-smp 4 -m 5G")
		;;
	arm64) options=(--cross_compile=aarch64-linux-gnu-) ;;
	esac
	[[ $command != run ]] || options+=(--jobs="$(nproc)")
	mkdir -p "$CACHE/log"
	rm -f "$dir/$arch/test.log"
	say "$arch: kunit.py $command $*"
	(cd "$tree" && nice python3 tools/testing/kunit/kunit.py "$command" --arch="$arch" \
		--kunitconfig=drivers/bsa --build_dir="$dir/$arch" \
		--timeout="${TIMEOUT:-3600}" "${options[@]}" "$@") </dev/null 2>&1 |
		sed -u 's/^\[[0-9:]*\] //' | tee "$log" |
		sed -unE 's/^=+ (\[[A-Z ]+\] [a-z_]+) =+$/    \1/p
			/^\[(FAILED|CRASHED|ERROR)\]|(EXPECTATION|ASSERTION) FAILED/p' || true

	said=$(grep '^Testing complete' "$log") || {
		tail -n 30 "$log" | indent >&2
		said="Testing complete. errors: 1"
	}
	for kind in passed failed crashed errors skipped; do
		count=$(sed -n "s/.*[ ,]$kind: \([0-9]*\).*/\1/p" <<<"$said")
		case $kind in
		passed) passed=$((passed + ${count:-0})) ;;
		skipped) skipped=$((skipped + ${count:-0})) ;;
		*) failed=$((failed + ${count:-0})) ;;
		esac
	done
	touch "$dir/$arch/test.log"
	tr -d '\r' <"$dir/$arch/test.log" >"$log.kernel"
	if grep -nE -m 1 -A 24 "$TROUBLE" "$log.kernel" >"$work/trouble"; then
		say "the kernel complained:"
		indent <"$work/trouble" >&2
		failed=$((failed + 1))
	fi
	say "$arch: ${said#Testing complete. } ($SECONDS s; the whole log: $log)"
}

# shellcheck disable=SC2317
# told_once PATTERN: at boot bsa has said one thing, and it was this.
told_once() {
	sed '/ # Subtest: bsa_/,$d' "$log.kernel" | grep '^bsa: ' >"$work/told"
	indent <"$work/told" >&2
	grep -qE "$1" "$work/told" && (($(wc -l <"$work/told") == 1))
}

# Links, so that nothing has to be built again whose source is the same.
mkdir -p "$dir"
rm -rf "$tree"
cp -al "$src" "$tree"
step "a directory that is no kernel's is refused" is_refused "$TOP"
step "it goes into the tree of $kernel" "$SCRIPTS/into-tree.sh" "$tree"
step "nothing changes the second time" changes_nothing_the_second_time
step "what the tree shares with another one stays as it was" leaves_links_alone

for arch; do
	kunit run "$arch"
	sed -nE 's/^    ok [0-9]+ .* # SKIP //p' "$log.kernel" | sort | uniq -c | sort -rn |
		sed 's/^/    skipped: /' >&2
	step "one section was reserved at boot" \
		told_once '^bsa: default: reserved 64\.0 MiB in one section at '
	kunit exec "$arch" --kernel_args=bsa.size=100M 'bsa_boot*'
	step "the command line says how much" \
		told_once '^bsa: default: reserved 100 MiB in one section at '
	kunit exec "$arch" --kernel_args=bsa.size=1T 'bsa_boot*'
	step "it boots where too much is asked for" \
		told_once '^bsa: default: size 1099511627776 is out of range: '
done

totals "$passed" "$failed" "$skipped"
((failed == 0))
