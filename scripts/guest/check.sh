# shellcheck shell=dash
# SPDX-License-Identifier: GPL-2.0
#
# "make check": the KUnit tests, then what only user space can test: loading,
# parameters, unloading. The results of both are KTAP.

# shellcheck source=lib.sh
. /lib.sh

# How many different lines bsa has logged since the log was last cleared. They
# stand there twice when a load fails: insmod then tries a second system call.
# The lines themselves are in the log, where a failed test shows them.
lines_said() {
	dmesg | grep '^bsa: ' | sort -u | wc -l
}

# refused PARAMETER=VALUE PATTERN: a load with this parameter fails, with one
# line from bsa, which matches PATTERN.
refused() {
	dmesg -c >/dev/null
	if insmod /modules/bsa.ko "$1" 2>/dev/null; then
		rmmod bsa
		echo "$1 was accepted"
		return 1
	fi
	if [ "$(lines_said)" -ne 1 ] || ! dmesg | grep -qE "^bsa: .*$2"; then
		echo "$1: expected one line like '$2', got $(lines_said) lines"
		return 1
	fi
}

# The pages that are free, or that the kernel's own caches hold: the lists of
# each CPU and the slabs. It goes up and down by a hundred or so.
free_pages() {
	awk '$1 == "nr_free_pages" || $1 == "count:" { pages += $2 }
	     $1 == "Slab:" { pages += $2 / 4 }
	     END { print pages }' /proc/zoneinfo /proc/meminfo
}

# The least and the most that a few looks show. Memory that is gone stays gone,
# so the least before is compared with the most after.
free_pages_samples() {
	for _ in 1 2 3 4 5; do
		free_pages
		sleep 0.1
	done | sort -n
}

# not_less_than PAGES: so many are free now. Another 80 may be missing, which is
# less than what 100 cycles lose that lose a page each.
not_less_than() {
	now=$(free_pages_samples | tail -n 1)
	echo "free pages: $1 before, $now now"
	[ "$now" -ge $(($1 - 80)) ]
}

# The tests themselves have run by now, and printed their own results.
kunit_modules_load_and_unload() {
	[ "$kunit" = unloaded ]
}

client_loads_and_reports() {
	dmesg -c >/dev/null
	insmod /modules/bsa.ko size=16M && insmod /modules/bsa_client.ko || return
	dmesg | grep '^bsa_client: ' || return
	rmmod bsa_client && rmmod bsa
}

in_use_while_a_client_is_loaded() {
	insmod /modules/bsa.ko size=16M && insmod /modules/bsa_client.ko || return
	if rmmod bsa 2>/dev/null; then
		echo "bsa was unloaded under its client"
		return 1
	fi
	rmmod bsa_client && rmmod bsa
}

size_out_of_range_stops_the_load() {
	# The last two are 2^64 + 16M and 2^64: cut to 64 bits they are 16M and 0.
	for size in 0 1 4095 8388608T 18446744073726328832 16777216T; do
		refused "size=$size" 'size.*[0-9].*[0-9]' || return
	done
}

lowmem_out_of_range_stops_the_load() {
	for lowmem in 1 4095 5G 8388608T; do
		refused "lowmem=$lowmem" 'lowmem.*[0-9].*[0-9]' || return
	done
}

node_out_of_range_stops_the_load() {
	for node in 99 -2; do
		refused "node=$node" 'node.*[0-9]' || return
	done
}

# The kernel's own line names the parameter, and is the only one.
parameter_that_is_no_number_stops_the_load() {
	for parameter in size=garbage size=-1 size=16Q size= lowmem=x node=x; do
		refused "$parameter" "${parameter%%=*}" || return
	done
}

debug_of_unknown_letters_stops_the_load() {
	for letters in x zx 2; do
		refused "debug=$letters" 'debug.*zpuqr' || return
	done
}

# A client that does nothing wrong, on a heap that is watched; what it holds is
# listed by call chain.
client_of_a_watched_heap_loads_and_unloads() {
	dmesg -c >/dev/null
	insmod /modules/bsa.ko size=16M debug=1 &&
		insmod /modules/bsa_client.ko || return
	dir=/sys/kernel/debug/bsa/default
	cat $dir/validate
	head -n 12 $dir/objects
	grep -q '^0 errors; ' $dir/validate &&
		grep -q 'objects, .* bytes' $dir/objects &&
		grep -q 'bsa_client\]' $dir/objects &&
		dmesg | grep '^bsa_client: .* 0 errors' || return
	echo >$dir/validate
	rmmod bsa_client && grep -q '^0 errors; .* 0 live' $dir/validate &&
		[ ! -s $dir/objects ] && rmmod bsa || return
	if dmesg | grep 'written\|refused'; then
		return 1
	fi
}

too_little_memory_stops_the_load_and_gives_all_back() {
	# In range, and more than can be had.
	total=$(awk '$1 == "MemTotal:" { print $2 }' /proc/meminfo)
	before=$(free_pages_samples | head -n 1)
	dmesg -c >/dev/null
	if insmod /modules/bsa.ko "size=${total}K" 2>/tmp/error; then
		rmmod bsa
		echo "size=${total}K, which is all memory, was accepted"
		return 1
	fi
	grep -qi 'out of memory\|cannot allocate memory' /tmp/error || {
		echo "insmod did not say ENOMEM: $(cat /tmp/error)"
		return 1
	}
	[ "$(lines_said)" -eq 1 ] || {
		echo "expected one line, got $(lines_said)"
		return 1
	}
	not_less_than "$before"
}

load_unload_100_cycles() {
	before=$(free_pages_samples | head -n 1)
	# Most of a cycle is waiting for RCU otherwise.
	echo 1 >/sys/kernel/rcu_expedited
	cycle=0
	while [ $cycle -lt 100 ]; do
		insmod /modules/bsa.ko size=4M && rmmod bsa || {
			echo "cycle $cycle failed"
			return 1
		}
		cycle=$((cycle + 1))
	done
	not_less_than "$before" || return
	[ ! -s /proc/modules ] || {
		echo "still loaded: $(cut -d' ' -f1 /proc/modules)"
		return 1
	}
}

# suite NAME TEST...: runs the functions and prints KTAP. What a test prints is
# its diagnostics; after a failure bsa is unloaded, for the next one.
suite() {
	name=$1
	shift
	log "    KTAP version 1"
	log "    # Subtest: $name"
	log "    1..$#"
	number=0 suite_result=ok
	for test; do
		number=$((number + 1)) result=ok
		"$test" >/tmp/output 2>&1 || result="not ok"
		while IFS= read -r line; do
			log "    # $test: $line"
		done </tmp/output
		log "    $result $number $test"
		[ "$result" = ok ] || {
			suite_result="not ok"
			rmmod bsa_client bsa 2>/dev/null
		}
	done
	log "$suite_result 1 $name"
}

tell begin
kunit=failed
# APPEND=bsa_debug=1 make check: the tests on heaps that are watched.
# shellcheck disable=SC2154 # the kernel makes it a variable
insmod /modules/bsa.ko size=64M "debug=${bsa_debug:-0}" &&
insmod /modules/bsa_kunit.ko &&
rmmod bsa_kunit &&
rmmod bsa &&
kunit=unloaded

suite module \
	kunit_modules_load_and_unload \
	client_loads_and_reports \
	in_use_while_a_client_is_loaded \
	size_out_of_range_stops_the_load \
	lowmem_out_of_range_stops_the_load \
	node_out_of_range_stops_the_load \
	parameter_that_is_no_number_stops_the_load \
	debug_of_unknown_letters_stops_the_load \
	client_of_a_watched_heap_loads_and_unloads \
	too_little_memory_stops_the_load_and_gives_all_back \
	load_unload_100_cycles
tell end
