# shellcheck shell=dash
# SPDX-License-Identifier: GPL-2.0
#
# What the guest's scripts share.

# Everything goes through the kernel's log: written to the console by two sides,
# lines would run into each other.
exec >/dev/kmsg 2>&1

log() {
	printf '%s\n' "$*"
}

# For the host: its scripts wait for these lines.
tell() {
	log "bsa-guest: $*"
}

# Copies standard input to the log. The kernel takes one line a write.
log_lines() {
	while IFS= read -r line; do
		tell "$line"
	done
}
