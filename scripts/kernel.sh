#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# kernel.sh KERNEL CONFIG [prepare|built-in]: prints the build directory of a test
# kernel, which is built first if the cache does not have it; with "prepare", only so
# far that modules can be compiled for it; with "built-in", with bsa as it is now in it.
#
# The configuration is all that base.config and CONFIG.config in kunit/configs ask for,
# what the machine needs but not what it lacks (scripts/arch), and otherwise as small as
# the kernel allows. "# On top of: NAME" in there puts NAME.config before it; what comes
# later wins. "# Built with: VARIABLES" is for its Makefile. An option that only some
# versions have goes into base-KERNEL.config or CONFIG-KERNEL.config.

. "$(dirname "$0")/lib.sh"

kernel=$1 config=$2 goal=${3-}
configs=$TOP/kunit/configs

[[ $kernel != *-rt ]] ||
	die "KERNEL=$kernel is Debian's, for make run and make shell; CONFIG=rt of make check-debug has PREEMPT_RT"
[[ -e $configs/$config.config ]] || die "there is no kunit/configs/$config.config"
variables=$(sed -n 's/^# Built with: //p' "$configs/$config.config")
below=$(sed -n 's/^# On top of: //p' "$configs/$config.config")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
config | grep '=' >"$work/needs"
config | grep ' is not set$' >"$work/lacks" || true
fragments=("$work/needs")
for name in base $below "$config"; do
	for file in "$configs/$name.config" "$configs/$name-$kernel.config"; do
		[[ ! -e $file ]] || fragments+=("$file")
	done
done
fragments+=("$work/lacks")

src=$("$SCRIPTS/source.sh" "$kernel")
key=$({
	basename "$src"
	if [[ $variables == *LLVM=1* ]]; then clang --version; else "${cross}gcc" --version; fi | head -n 1
	cat "${fragments[@]}"
} | sha256sum | cut -c 1-12)
dir=$CACHE/kernel/$kernel-$ARCH-$config-$key${goal:+-$goal}
[[ $goal != built-in ]] || dir+=-$(checkout)

lock "$dir"
if [[ $goal == built-in ]]; then
	# Links, so that nothing has to be built again whose source is the same.
	[[ -e $dir.src ]] || { rm -rf "$dir.new" && cp -al "$src" "$dir.new" && mv "$dir.new" "$dir.src"; }
	"$SCRIPTS/into-tree.sh" "$dir.src"
	src=$dir.src
	rm -f "$dir/.complete"
fi
if [[ ! -e $dir/.complete ]]; then
	say "building the $kernel $config kernel for $ARCH (minutes; once)"
	mkdir -p "$dir"
	awk '{ option = $1 == "#" ? $2 : $1; sub(/=.*/, "", option) }
	     option ~ /^CONFIG_/ { line[option] = $0 }
	     END { for (option in line) print line[option] | "sort" }' \
		"${fragments[@]}" >"$dir/fragment"
	# shellcheck disable=SC2206 # each is a word
	kmake=(nice make -s -C "$src" O="$dir" ARCH="$arch" CROSS_COMPILE="$cross" $variables
		-j "$(nproc)")
	run_logged "$dir/build.log" "${kmake[@]}" \
		KCONFIG_ALLCONFIG="$dir/fragment" allnoconfig

	# An option that does not exist, or whose dependencies are not met, is
	# dropped without a word, and a test that rests on it then proves nothing.
	lost=$(grep -E '^(CONFIG_|# CONFIG_.* is not set)' "$dir/fragment" |
		while IFS= read -r line; do
			option=${line#\# } option=${option%%[= ]*}
			case $line in
			\#*) ! grep -q "^$option=" "$dir/.config" || echo "$line" ;;
			*) grep -qxF "$line" "$dir/.config" || echo "$line" ;;
			esac
		done)
	[[ -z $lost ]] || die "the $kernel kernel does not take these options: ${lost//$'\n'/, }"

	built() {
		run_logged "$dir/build.log" "${kmake[@]}" "$@"
	}
	case $goal in
	built-in) built "$(basename "$image")" ;;
	prepare)
		built modules_prepare
		# None are known yet, which is nothing to warn of.
		touch "$dir/Module.symvers"
		;;
	*)
		built "$(basename "$image")" modules
		# Only what modules are built against is needed from here on.
		find "$dir" -name '*.[oa]' -not -path "$dir/scripts/*" \
			-not -path "$dir/tools/*" -delete
		;;
	esac
	touch "$dir/.complete"
fi
echo "$dir"
