# shellcheck shell=dash
# SPDX-License-Identifier: GPL-2.0
#
# "make bench": the benchmark measures while it loads. What follows the name of
# this script are its parameters.

# shellcheck source=lib.sh
. /lib.sh

shift
# A value may have spaces: the kernel wants it in quotes.
for parameter; do
	shift
	set -- "$@" "${parameter%%=*}=\"${parameter#*=}\""
done

tell begin
# Built in, it has measured while the kernel booted.
if [ -e /sys/module/bsa_bench ]; then
	tell "end: passed"
	return
fi
# CPUs that count their instructions take turns. While it boots, a kernel waits for
# its second CPU in a way in which that never gets a turn.
second=/sys/devices/system/cpu/cpu1/online
[ ! -e $second ] || echo 1 >$second
# Where the kernel does not have it built in, or not at all.
[ ! -e /modules/drm_buddy.ko ] || insmod /modules/drm_buddy.ko
if insmod /modules/bsa.ko size=64M &&
	insmod /modules/bsa_bench.ko "$@" &&
	rmmod bsa_bench &&
	rmmod bsa; then
	tell "end: passed"
else
	tell "end: failed"
fi
