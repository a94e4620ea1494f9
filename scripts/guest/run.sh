# shellcheck shell=dash
# SPDX-License-Identifier: GPL-2.0
#
# "make run": loads bsa and the client, shows the debugfs files, unloads both.

# shellcheck source=lib.sh
. /lib.sh

run() {
	insmod /modules/bsa.ko size=64M &&
	insmod /modules/bsa_client.ko || return

	files=$(find /sys/kernel/debug/bsa -type f -perm +0400 | sort)
	[ -n "$files" ] || {
		tell "there is no file under /sys/kernel/debug/bsa"
		return 1
	}
	for file in $files; do
		tell
		tell "$file:"
		log_lines <"$file"
	done
	tell

	rmmod bsa_client &&
	rmmod bsa
}

tell begin
if run; then
	tell "end: passed"
else
	tell "end: failed"
fi
