# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# arm64 with pages of 64 KiB, of which there is no kernel of Debian's here.

# shellcheck disable=SC2034 # the scripts use them
pages=64K
# shellcheck source=arm64.sh
. "$SCRIPTS/arch/arm64.sh"
flavour=''
