# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# arm64 with pages of 64 KiB, of which there is no kernel of Debian's here.

pages=64K
. "$SCRIPTS/arch/arm64.sh"
flavour=
