#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# later.sh herd7|sparse: prints the path of a command that runs a program which Debian 12
# and 13 lack, or have in too old a version: that of a later Debian, with the libraries
# that it needs.

. "$(dirname "$0")/lib.sh"

program=$1
declare -A package=([herd7]=herdtools7 [sparse]=sparse)
root=$("$SCRIPTS/deb.sh" forky "^${package[$program]}$" '^(libc6|libgmp10)$')
lib=$root/usr/lib/x86_64-linux-gnu
options=
[[ $program != herd7 ]] || options="-set-libdir '$root/usr/share/herdtools7/herd'"
cat >"$root/run" <<END
#!/bin/sh
exec "$lib/ld-linux-x86-64.so.2" --library-path "$lib" "$root/usr/bin/$program" $options "\$@"
END
chmod +x "$root/run"
echo "$root/run"
