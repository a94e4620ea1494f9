#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# herd.sh: prints the path of a command that runs herd7, which Debian 12 and 13 lack:
# that of a later Debian, with the libraries that it needs.

. "$(dirname "$0")/lib.sh"

root=$("$SCRIPTS/deb.sh" forky '^herdtools7$' '^(libc6|libgmp10)$')
lib=$root/usr/lib/x86_64-linux-gnu
cat >"$root/herd" <<END
#!/bin/sh
exec "$lib/ld-linux-x86-64.so.2" --library-path "$lib" "$root/usr/bin/herd7" \\
	-set-libdir "$root/usr/share/herdtools7/herd" "\$@"
END
chmod +x "$root/herd"
echo "$root/herd"
