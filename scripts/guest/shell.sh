# shellcheck shell=dash
# SPDX-License-Identifier: GPL-2.0
#
# "make shell": as "make run", and then the user has the keyboard.

dmesg -n 7
insmod /modules/bsa.ko size=64M
insmod /modules/bsa_client.ko

cat >/etc/profile <<-'END'
	# There is no init to ask, so the short names do it themselves.
	alias poweroff='poweroff -f' reboot='reboot -f' halt='poweroff -f'
	PS1='guest:\w# '
END
cat <<-END

	bsa and bsa_client are loaded, the modules are in /modules, and debugfs is
	at /sys/kernel/debug/bsa. "poweroff" ends this.

END
cd /
# A session of its own on the real terminal, for job control and Ctrl-C.
setsid cttyhack sh -l
