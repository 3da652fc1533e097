#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Runs in the lab's own namespaces for one host: `mount` and `umount` its disk, or PID: plug it into the networks.
. "${0%/*}/lab.env"
case $1 in
mount)
	umount "$DIR/disk" 2>/dev/null || true
	mount -o loop,noatime "$DIR/disk.img" "$DIR/disk"
	mkdir -p "$DIR/disk/clusterd" "$DIR/disk/corosync"
	;;
umount)
	umount "$DIR/disk"
	;;
*)
	# The kernel takes a dead host's devices away a little later; the new ones have the same names.
	sed -n 's/^link add \([^ ]*\) .*/\1/p' "$DIR/plug.batch" | while read -r port; do
		ip link del "$port" 2>/dev/null || true
	done
	sed "s/@PID@/$1/" "$DIR/plug.batch" | ip -batch -
	;;
esac
