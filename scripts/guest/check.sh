# shellcheck shell=dash
# SPDX-License-Identifier: GPL-2.0
#
# "make check": the KUnit tests, then what only user space can test: loading,
# parameters, unloading. The results of both are KTAP. What follows the name of
# this script are parameters of the KUnit tests; "soak=SECONDS" adds that much of
# mixed load, "long=SECONDS" that and more of everything, "nodes" says that there
# are two NUMA nodes, and "later=ADDRESS" that there are 512 MiB of memory that the
# kernel does not know of. With "filter=GLOB" only those KUnit tests run, and nothing else;
# with "filter=module" none of them, and all else.

# shellcheck source=lib.sh
. /lib.sh

# How many different lines bsa has logged since the log was last cleared. They
# stand there twice when a load fails: insmod then tries a second system call, and
# may find some memory more or less. The lines themselves are in the log, where a
# failed test shows them.
lines_said() {
	dmesg | grep '^bsa: ' | sed 's/found [0-9.]* //' | sort -u | wc -l
}

# refused "PARAMETER=VALUE..." PATTERN: a load with these parameters fails, with
# one line from bsa, which matches PATTERN.
refused() {
	dmesg -c >/dev/null
	# shellcheck disable=SC2086 # several words
	if insmod /modules/bsa.ko $1 2>/dev/null; then
		rmmod bsa
		echo "$1 was accepted"
		return 1
	fi
	if [ "$(lines_said)" -ne 1 ] || ! dmesg | grep -qE "^bsa: .*$2"; then
		echo "$1: expected one line like '$2', got $(lines_said) lines"
		return 1
	fi
}

# Bytes of a page.
page=$(stat -f -c %s /proc)

# The pages that are free, or that the kernel's own caches hold: the lists of
# each CPU and the slabs. It goes up and down by a hundred or so.
free_pages() {
	awk -v kb=$((page / 1024)) '
	     $1 == "nr_free_pages" || $1 == "count:" { pages += $2 }
	     $1 == "Slab:" { pages += $2 / kb }
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

# Addresses would show as ffff and twelve more digits.
debugfs_is_for_root_and_shows_no_addresses() {
	insmod /modules/bsa.ko size=16M && insmod /modules/bsa_client.ko || return
	files=$(find /sys/kernel/debug/bsa -type f -perm +0400)
	[ "$(echo "$files" | wc -l)" -ge 12 ] || {
		echo "where are the files? $files"
		return 1
	}
	find /sys/kernel/debug/bsa -type f -perm +077 | grep . && {
		echo "these are for others, too"
		return 1
	}
	find /sys/kernel/debug/bsa/*/ -type f -perm +0222 -not -name trim |
		grep -v /fail_alloc/ && {
		echo "these can be written"
		return 1
	}
	# shellcheck disable=SC2086 # each is a word
	grep -HEi '(^|[^0-9a-f])ffff[0-9a-f]{12}([^0-9a-f]|$)' $files && {
		echo "these show addresses"
		return 1
	}
	rmmod bsa_client && rmmod bsa
}

# A locked down kernel lets nobody open a file with any other bit. The knobs of
# fault injection are the kernel's; nothing is read from trim.
debugfs_files_can_be_read_under_lockdown() {
	insmod /modules/bsa.ko size=16M || return
	find /sys/kernel/debug/bsa -type f -not -path '*/fail_alloc/*' \
		-not -name trim -not -perm 400 | grep . && return 1
	rmmod bsa
}

# A heap of which something is left keeps all of its memory; the others do not.
# said PATTERN...: each matches a line of the log from bsa.
said() {
	dmesg | grep '^bsa: ' | grep -v reserved
	for line; do
		dmesg | grep -q "^bsa: $line" || {
			echo "missing: $line"
			return 1
		}
	done
}

leaked_memory_stays_reserved() {
	dmesg -c >/dev/null
	before=$(free_pages_samples | tail -n 1)
	insmod /modules/bsa.ko size=16M && insmod /modules/bsa_leak.ko || return
	rmmod bsa_leak && rmmod bsa || return
	said 'default: .*not given back: 3 objects and 0 pages are in use' \
		'leak: .*not given back: 0 objects and 2 pages are in use' \
		'leak: was never destroyed' || return
	now=$(free_pages_samples | tail -n 1)
	lost=$((before - now))
	wanted=$((17 * 1024 * 1024 / page))
	echo "$lost pages stay reserved"
	# With what the heaps know of it: up to a 16th.
	[ $lost -ge $((wanted - wanted / 80)) ] && [ $lost -lt $((wanted + wanted / 16 + 250)) ]
}

# The kernel complains, and more loudly than a good run may; it does so for the log
# alone, where it is looked for.
frees_of_the_kernel_are_complained_about() {
	dmesg -c >/dev/null
	insmod /modules/bsa.ko size=16M || return
	dmesg -n 1
	insmod /modules/bsa_foreign.ko
	foreign=$?
	sleep 1
	dmesg -n 7
	[ $foreign -eq 0 ] || return
	dmesg | grep -q 'WARNING: .* \(free_large_kmalloc\|kfree\)+' || {
		echo "kfree() did not complain"
		return 1
	}
	grep -q '^0 errors; ' /sys/kernel/debug/bsa/default/validate &&
		rmmod bsa_foreign && rmmod bsa || return
	said 'default: 5 pages were freed with calls of the kernel'
}

give_pages_to_the_kernel() {
	for pages in 2 4 16; do
		dmesg -c >/dev/null
		insmod /modules/bsa.ko size=16M || return
		insmod /modules/bsa_foreign.ko pages=$pages || return
		validated=$(cat /sys/kernel/debug/bsa/default/validate)
		freed=$(echo "$validated" | grep -c 'freed with a call of the kernel$')
		refused=$(dmesg | grep -c 'BUG: Bad page state')
		echo "$pages pages: $freed freed, $refused complaints"
		# All but the first one, or the kernel has looked at them.
		[ "$freed" -eq $((pages - 1)) ] || [ "$refused" -gt 0 ] || return
		rmmod bsa_foreign && rmmod bsa || return
		[ "$freed" -eq 0 ] ||
			said "default: $((freed + 1)) pages were freed with calls of the kernel" ||
			return
	done
}

# There is no stopping free_pages() of several pages, but for a kernel that looks at
# what is freed. Of the first one it only drops a reference. What others it has got it
# may complain about until the heap is gone: so this comes last, and not on the console.
pages_that_the_kernel_has_got_are_told_of() {
	dmesg -n 1
	give_pages_to_the_kernel
	told=$?
	dmesg -n 7
	return $told
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

# add_memory FIRST LAST ZONE: let the kernel have blocks of memory that it has not
# known of, for "online_kernel" or "online_movable" use. Prints their directories.
add_memory() {
	block=$((0x$(cat /sys/devices/system/memory/block_size_bytes)))
	for i in $(seq "$1" "$2"); do
		address=$((later + i * block))
		dir=/sys/devices/system/memory/memory$((address / block))
		[ -e $dir ] || printf "0x%x" $address >/sys/devices/system/memory/probe || return
		echo "$3" >$dir/state || return
		echo $dir
	done
}

# offline DIRECTORY...: tell the kernel to do without these blocks again. What lies
# in them has to move; that must not take for ever, whether it can or not. A minute is.
offline() {
	for dir; do
		timeout 60 sh -c "echo offline >$dir/state" 2>/dev/null || return
	done
}

# One block above, so that a heap whose memory is looked for from the top lies there.
memory_that_comes_later_can_be_a_heap() {
	dmesg -c >/dev/null
	insmod /modules/bsa.ko size=16M || return
	blocks=$(add_memory 0 1 online_kernel) || return
	insmod /modules/bsa_tenant.ko size=67108864 || return
	section=$(dmesg | sed -n 's/^bsa_tenant: .* at \(0x[0-9a-f]*\)$/\1/p')
	echo "the heap is at $section"
	[ $((section)) -ge $((later)) ] || return
	rmmod bsa_tenant && rmmod bsa || return
	# shellcheck disable=SC2086 # several words
	offline $blocks
}

memory_of_a_heap_cannot_be_taken_away() {
	blocks=$(add_memory 0 1 online_kernel) || return
	insmod /modules/bsa.ko size=16M && insmod /modules/bsa_tenant.ko size=67108864 || return
	began=$(date +%s)
	# shellcheck disable=SC2086 # several words
	if offline $blocks; then
		echo "memory of a heap is gone"
		return 1
	fi
	took=$(($(date +%s) - began))
	echo "it was refused after $took s"
	[ $took -lt 30 ] || return
	rmmod bsa_tenant && rmmod bsa || return
	# shellcheck disable=SC2086 # several words
	offline $blocks
}

# Had a heap any of that, it could not be had back.
memory_that_is_to_go_again_is_not_reserved() {
	blocks=$(add_memory 0 3 online_movable) || return
	insmod /modules/bsa.ko size=192M && insmod /modules/bsa_tenant.ko size=67108864 || return
	# shellcheck disable=SC2086 # several words
	offline $blocks || return
	rmmod bsa_tenant && rmmod bsa
}

memory_set_aside_for_devices_is_not_reserved() {
	before=$(awk '/^CmaFree/ { print $2 }' /proc/meminfo)
	insmod /modules/bsa.ko size=1G || return
	now=$(awk '/^CmaFree/ { print $2 }' /proc/meminfo)
	rmmod bsa
	echo "$before kB are free before, $now kB then"
	[ "$before" -ge 32768 ] && [ "$now" -ge $((before - 4096)) ]
}

# Most of it: the kernel takes and gives back meanwhile what others have freed.
memory_is_from_the_node_asked_for() {
	for node in 0 1; do
		meminfo=/sys/devices/system/node/node$node/meminfo
		before=$(awk '/MemFree/ { print $4 }' $meminfo)
		insmod /modules/bsa.ko size=256M node=$node || return
		now=$(awk '/MemFree/ { print $4 }' $meminfo)
		rmmod bsa
		echo "node $node: $before kB are free before, $now kB then"
		[ $((before - now)) -ge 200000 ] || return
	done
}

# Node 1 has 1 GiB.
too_little_memory_on_a_node_is_told() {
	refused "size=2G node=1" \
		'cannot reserve 2.00 GiB: found [0-9.]+ MiB on node 1; nodes with memory: 0-1$'
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

# As above, on heaps that know who it was.
who_leaked_is_named() {
	dmesg -c >/dev/null
	insmod /modules/bsa.ko size=16M debug=u && insmod /modules/bsa_leak.ko || return
	rmmod bsa_leak
	said 'default: bsa_leak is gone, and has not freed this:' \
		'default: 3 objects, 300 bytes, ' \
		'default:      code of bsa_leak that is gone$' \
		'leak: bsa_leak is gone, and has not freed this:' \
		"leak: 1 objects, $((2 * page)) bytes, " \
		'leak:      keep_pages+.* \[bsa_leak\]$' || return
	dmesg -c >/dev/null
	rmmod bsa
	said 'default: .*not given back: 3 objects and 0 pages are in use' \
		'default:      code of bsa_leak that is gone$' \
		'leak: .*not given back: 0 objects and 2 pages are in use' \
		'leak:      code of bsa_leak that is gone$' \
		'leak: was never destroyed' || return
	if dmesg | grep ' 0x'; then
		return 1
	fi
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
	grep -q '^refused_double 0$' $dir/stat &&
		grep -q '^written_behind 0$' $dir/stat || return
	grep -q '^0 errors; ' $dir/validate &&
		grep -q 'objects, .* bytes' $dir/objects &&
		grep -q 'bsa_client\]' $dir/objects &&
		dmesg | grep '^bsa_client: .* 0 errors' || return
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
	said 'default: cannot reserve .* GiB: found .* GiB$' || return
	not_less_than "$before"
}

# load_unload N
load_unload() {
	before=$(free_pages_samples | head -n 1)
	# Most of a cycle is waiting for RCU otherwise.
	echo 1 >/sys/kernel/rcu_expedited
	cycle=0
	while [ $cycle -lt "$1" ]; do
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

# Only in a kernel that looks for leaks. What is younger than 5 s does not count,
# and what one look has found may be a pointer that was just on its way.
no_memory_is_leaked() {
	sleep 6
	for _ in 1 2; do
		echo scan >$kmemleak
		sleep 1
	done
	leaks=$(cat $kmemleak)
	echo "$leaks"
	[ -z "$leaks" ]
}

load_unload_100_cycles() {
	load_unload 100
}

load_unload_1000_cycles() {
	load_unload 1000
}

# Lets all allocations of a task that asks for it fail, without a word.
allow_faults() {
	for fault in /sys/kernel/debug/failslab /sys/kernel/debug/fail_page_alloc; do
		echo Y >$fault/task-filter
		echo N >$fault/ignore-gfp-wait
		[ ! -e $fault/min-order ] || echo 0 >$fault/min-order
		echo 0 >$fault/verbose
		echo -1 >$fault/times
		echo 100 >$fault/probability
	done
}

# The first allocation of the load fails, then only those from the second on, and
# so forth until none does. Some a load may do without.
load_that_runs_out_of_memory_gives_all_back() {
	allow_faults
	insmod /modules/bsa_fault.ko || return
	# What the kernel itself keeps once a load has asked for it is there then.
	insmod /modules/bsa.ko debug=1 && rmmod bsa || return
	before=$(free_pages_samples | head -n 1)
	fail_each_allocation debug=0 && fail_each_allocation debug=1 || return
	rmmod bsa_fault && not_less_than "$before"
}

# fail_each_allocation PARAMETER: loads with it, again and again, until it works.
fail_each_allocation() {
	parameters=/sys/module/bsa_fault/parameters
	nth=0 left=0 failed=0
	while [ "$left" -eq 0 ]; do
		nth=$((nth + 1))
		echo $nth >$parameters/nth
		echo 0 >$parameters/failed
		dmesg -c >/dev/null
		if insmod /modules/bsa.ko size=8M lowmem=1M "$1" 2>/dev/null; then
			left=$(cat $parameters/left)
			rmmod bsa || return
		fi
		loads=$(cat $parameters/failed)
		lines=$(dmesg | grep '^bsa: ' | grep -vc ': reserved ')
		if [ "$lines" -ne "$loads" ]; then
			echo "$1: allocation $nth: $lines lines of $loads loads"
			return 1
		fi
		failed=$((failed + loads))
	done
	echo "$1: $failed loads failed, at the first $nth allocations"
	[ $failed -ge 8 ]
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

# Where tests can let allocations fail.
[ ! -e /sys/kernel/debug/failslab ] || allow_faults

kmemleak=/sys/kernel/debug/kmemleak
leaks=
if [ -e $kmemleak ]; then
	leaks=no_memory_is_leaked
	# The kernel's own are not ours.
	echo scan >$kmemleak
	echo clear >$kmemleak
fi

# What the module shows is read all the while, until /tmp/enough is there. But not
# "validate", for which all CPUs wait for each other: some tests keep one of them
# for seconds.
read_debugfs() {
	while [ ! -e /tmp/enough ]; do
		cat /sys/kernel/debug/bsa/*/[!v]* >/dev/null 2>&1
		sleep 0.05
	done
}

run_kunit() {
	# insmod waits for the tests, and for some of them minutes.
	echo 600 >/proc/sys/kernel/hung_task_timeout_secs
	# The tests count bytes, pages and objects.
	redzones=
	! grep -q ' kasan_report$' /proc/kallsyms || redzones=redzones=N
	# With CONFIG=watch the heaps of the tests watch.
	# shellcheck disable=SC2086,SC2154 # one word or none; made by the kernel
	insmod /modules/bsa.ko size=64M "debug=${bsa_debug:-0}" $redzones || return
	read_debugfs &
	insmod /modules/bsa_kunit.ko "$@" &&
		{ [ "$soak" -eq 0 ] || insmod /modules/bsa_soak.ko seconds="$soak"; } &&
		{ [ "$soak" -eq 0 ] || rmmod bsa_soak; }
	result=$?
	touch /tmp/enough
	wait
	[ $result -eq 0 ] && rmmod bsa_kunit && rmmod bsa
}

# What only some kernels can do, and what takes long.
more=
[ ! -e /sys/kernel/debug/failslab ] || more=load_that_runs_out_of_memory_gives_all_back
# Where leaks are looked for, this one would be found.
[ -e $kmemleak ] || more="$more leaked_memory_stays_reserved who_leaked_is_named"
# KASAN and kmemleak take what kfree() gets for freed, whatever becomes of it.
last=
[ -e $kmemleak ] || {
	more="$more frees_of_the_kernel_are_complained_about"
	last=pages_that_the_kernel_has_got_are_told_of
}
soak=0 parameters="" filter=""
shift
for parameter; do
	case $parameter in
	long=*)
		soak=${parameter#*=}
		parameters="$parameters ops=20000000"
		more="$more load_unload_1000_cycles"
		;;
	soak=*) soak=${parameter#*=} ;;
	filter=*) filter=${parameter#*=} parameters="$parameters $parameter" ;;
	nodes)
		more="$more memory_is_from_the_node_asked_for"
		more="$more too_little_memory_on_a_node_is_told"
		;;
	later=*)
		later=${parameter#*=}
		more="$more memory_that_comes_later_can_be_a_heap"
		more="$more memory_of_a_heap_cannot_be_taken_away"
		more="$more memory_that_is_to_go_again_is_not_reserved"
		more="$more memory_set_aside_for_devices_is_not_reserved"
		;;
	*) parameters="$parameters $parameter" ;;
	esac
done

tell begin
kunit=failed
# shellcheck disable=SC2086 # several words, or none
run_kunit $parameters && kunit=unloaded

if [ -n "$filter" ] && [ "$filter" != module ]; then
	tell end
	return
fi

# shellcheck disable=SC2086 # several words, or none
suite module \
	kunit_modules_load_and_unload \
	client_loads_and_reports \
	in_use_while_a_client_is_loaded \
	debugfs_is_for_root_and_shows_no_addresses \
	debugfs_files_can_be_read_under_lockdown \
	size_out_of_range_stops_the_load \
	lowmem_out_of_range_stops_the_load \
	node_out_of_range_stops_the_load \
	parameter_that_is_no_number_stops_the_load \
	debug_of_unknown_letters_stops_the_load \
	client_of_a_watched_heap_loads_and_unloads \
	too_little_memory_stops_the_load_and_gives_all_back \
	load_unload_100_cycles \
	$leaks $more $last

# shellcheck source=tools.sh
. /tools.sh
tell end
