# shellcheck shell=dash
# SPDX-License-Identifier: GPL-2.0
#
# Do the kernel's tools notice a client that misbehaves? Part of check.sh, in
# kernels that have such tools. The client is kunit/guest/misdeeds.c.
#
# What KASAN reports is taken back by scripts/lib.sh, which otherwise counts it.

kmemleak=/sys/kernel/debug/kmemleak

# Ways to get memory, as kunit/guest/misdeeds.c has them.
ways="alloc exact class heap zeroed aligned bulk remote shrunk grown moved large largest pages"

# commit WHAT [PARAMETER]: has the client do it, with an empty log before.
commit() {
	dmesg -c >/dev/null
	insmod /modules/bsa_misdeeds.ko "what=$1" ${2:+"$2"} || return
	announced=$(dmesg | sed -n 's/^bsa_misdeeds: \(.* at .*\)/\1/p')
}

# One report, of this kind, of what was announced.
reported() {
	got=$(dmesg | grep -A 2 '^BUG: ' | grep -E '^BUG: |^(Read|Write) of ')
	echo "announced: $announced"
	echo "reported: $got"
	[ "$(echo "$got" | grep -c '^BUG: ')" -eq 1 ] || return
	echo "$got" | grep -q "^BUG: KASAN: $1 in .*\[bsa_misdeeds\]" || return
	echo "$got" | grep -q "^${announced% at *} of size 1 at addr ${announced#* at } "
}

# each_way MISDEED KIND [KIND OF PAGES]
each_way() {
	for way in $ways; do
		echo "$way-$1"
		commit "$way-$1" || return
		rmmod bsa_misdeeds
		case $way in
		large | largest | pages) reported "${3-$2}" || return ;;
		*) reported "$2" || return ;;
		esac
	done
}

kasan_reports_overflow_by_one_byte() {
	each_way overflow slab-out-of-bounds
}

kasan_reports_read_beyond_the_end() {
	each_way read_beyond slab-out-of-bounds
}

kasan_reports_read_after_free() {
	each_way read_after_free '\(slab-\)*use-after-free' use-after-free
}

kasan_reports_write_after_free() {
	each_way write_after_free '\(slab-\)*use-after-free' use-after-free
}

# How many frees of the default heap were refused. The log does not tell of all.
refused_frees() {
	sed -n 's/^refused_frees //p' /sys/kernel/debug/bsa/default/stat
}

# One of the ways takes from another heap.
kasan_reports_write_after_refused_free() {
	refused=$(refused_frees)
	each_way free_twice '\(slab-\)*use-after-free' use-after-free || return
	refused=$(($(refused_frees) - refused))
	echo "$refused frees were refused"
	[ $refused -eq $(($(echo "$ways" | wc -w) - 1)) ]
}

kasan_reports_what_was_never_allocated() {
	commit touch_unallocated && rmmod bsa_misdeeds && reported use-after-free
}

kasan_lets_clients_use_all_that_is_theirs() {
	# shellcheck disable=SC2086 # they are words
	for what in $(printf '%s-behave ' $ways) use_former_region; do
		echo "$what"
		commit "$what" && rmmod bsa_misdeeds || return
		[ "${announced% at *}" = Nothing ] || return
		! dmesg | grep '^BUG: ' || return
	done
}

# leak SKIP: loses memory in every way, behind so many pages of each heap. What was
# lost is in $lost then, and what is reported in $found.
leak() {
	# The same calls take the same ways through the allocator each time.
	rmmod bsa && insmod /modules/bsa.ko size=16M || return
	echo clear >$kmemleak
	commit leak "skip=$1" || return
	# What is younger than 5 s is not reported.
	sleep 6
	echo scan >$kmemleak
	echo scan >$kmemleak
	lost=$(echo "$announced" | sed -n 's/^Lost at //p' | sort)
	found=$(sed -n 's/^unreferenced object 0x\([0-9a-f]*\) .*/\1/p' $kmemleak | sort)
	rmmod bsa_misdeeds || return
	echo "lost: $lost"
	echo "found: $found"
}

# What looks like a pointer is one for kmemleak: a value that somebody has left
# anywhere hides an object for as long as it is there. If not all is reported, as
# much is lost once more, elsewhere.
kmemleak_reports_what_is_lost_and_nothing_else() {
	for skip in 0 64 128; do
		leak $skip || return
		[ "$lost" != "$found" ] || break
		! echo "$found" | grep . | grep -vxF "$lost" || return
	done
	[ -n "$lost" ] && [ "$lost" = "$found" ]
}

kmemleak_forgets_what_is_freed() {
	echo scan >$kmemleak
	cat $kmemleak
	[ -z "$(cat $kmemleak)" ]
}

fail_alloc_lets_allocations_fail() {
	fault=/sys/kernel/debug/bsa/fail_alloc
	echo 0 >$fault/verbose
	echo 10 >$fault/times
	echo 100 >$fault/probability
	commit allocate
	echo 0 >$fault/probability
	rmmod bsa_misdeeds && dmesg | grep '^bsa_misdeeds: failed' || return
	dmesg | grep -q '^bsa_misdeeds: failed: 4 objects, 3 pages, 3 bulks' || return
	grep '^failures 10$' /sys/kernel/debug/bsa/default/stat || return
	commit allocate && rmmod bsa_misdeeds || return
	dmesg | grep -q '^bsa_misdeeds: failed: 0 objects, 0 pages, 0 bulks'
}

nothing_is_left_in_freed_memory() {
	commit look_at_freed && rmmod bsa_misdeeds || return
	dmesg | grep '^bsa_misdeeds: freed' || return
	! dmesg | grep '^bsa_misdeeds: freed' | grep -v ': 0 of '
}

nothing_is_left_in_fresh_memory() {
	commit look_at_fresh && rmmod bsa_misdeeds || return
	dmesg | grep '^bsa_misdeeds: fresh' || return
	! dmesg | grep '^bsa_misdeeds: fresh' | grep -v ': 0 of '
}

tests=
if grep -q ' kasan_report$' /proc/kallsyms; then
	tests="
	kasan_reports_overflow_by_one_byte
	kasan_reports_read_beyond_the_end
	kasan_reports_read_after_free
	kasan_reports_write_after_free
	kasan_reports_write_after_refused_free
	kasan_reports_what_was_never_allocated
	kasan_lets_clients_use_all_that_is_theirs"
elif grep -qw init_on_free=1 /proc/cmdline; then
	tests="nothing_is_left_in_freed_memory"
elif grep -qw init_on_alloc=1 /proc/cmdline; then
	tests="nothing_is_left_in_fresh_memory"
fi
if [ -e "$kmemleak" ]; then
	tests="$tests
	kmemleak_reports_what_is_lost_and_nothing_else
	kmemleak_forgets_what_is_freed"
fi
if [ -e /sys/kernel/debug/failslab ]; then
	tests="$tests
	fail_alloc_lets_allocations_fail"
fi
if [ -n "$tests" ]; then
	insmod /modules/bsa.ko size=16M
	# shellcheck disable=SC2086 # each of them is a word
	suite tools $tests
	rmmod bsa
fi
