#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Runs as a child of the host's PID 1, in the host's fresh namespaces: gives it files and networks of its own.
# lab.env (sourced through $0's directory) sets HOST DIR RUN AGENTS OWN_AGENTS OCF_DIR.
. "${0%/*}/lab.env"

mount --make-rprivate /
mount -t proc proc /proc
mount -t sysfs sysfs /sys
hostname "$HOST"
# Each boot of a host has an identity of its own, though all share the kernel's.
cat /proc/sys/kernel/random/uuid >"$DIR/boot_id"
mount --bind "$DIR/boot_id" /proc/sys/kernel/random/boot_id

# /dev: a copy of the harmless nodes, an own shm and pts, and the watchdog.
mount -t tmpfs -o mode=755,size=1m dev "$DIR/dev"
for n in null zero full random urandom tty fuse; do
	[ -e "/dev/$n" ] && cp -a "/dev/$n" "$DIR/dev/"
done
mkdir "$DIR/dev/shm" "$DIR/dev/pts"
for n in fd stdin stdout stderr; do
	cp -a "/dev/$n" "$DIR/dev/"
done
if [ -f "$DIR/lun" ]; then
	read -r major minor <"$DIR/lun"
	mknod "$DIR/dev/lun" b "$major" "$minor"
fi
touch "$DIR/dev/clusterd-watchdog"
mount --bind "$DIR/watchdog" "$DIR/dev/clusterd-watchdog"
mount -t tmpfs -o size=1g,mode=1777 shm "$DIR/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$DIR/dev/pts"
ln -s pts/ptmx "$DIR/dev/ptmx"
mount --rbind "$DIR/dev" /dev

# What is kept over a power loss is on the host's disk; logs and configuration stay readable from outside.
mkdir -p /etc/clusterd /var/lib/clusterd /var/lib/corosync
mount --bind "$DIR/etc/corosync" /etc/corosync
mount --bind "$DIR/etc/clusterd" /etc/clusterd
mount --bind "$DIR/disk/clusterd" /var/lib/clusterd
mount --bind "$DIR/disk/corosync" /var/lib/corosync
mount --bind "$DIR/log" /var/log
mount --bind "$RUN/hosts.txt" /etc/hosts

# A resource agent directory with the lab's own provider beside the installed ones.
mount -t tmpfs -o size=1m,mode=755 ocf "$DIR/ocf"
for d in "$OCF_DIR"/*; do
	[ -d "$d" ] || continue
	mkdir "$DIR/ocf/${d##*/}"
	mount --bind "$d" "$DIR/ocf/${d##*/}"
done
mkdir -p "$DIR/ocf/clustertest"
mount --bind "$AGENTS" "$DIR/ocf/clustertest"
if [ -n "$OWN_AGENTS" ]; then
	mkdir -p "$DIR/ocf/clusterd"
	mount --bind "$OWN_AGENTS" "$DIR/ocf/clusterd"
fi
mount --rbind "$DIR/ocf" "$OCF_DIR"

# /run, with the lab's corner in it: /run/lab/{fence,server,shared,host}
mount -t tmpfs -o size=64m,mode=755 run "$DIR/run"
mkdir "$DIR/run/lab" "$DIR/run/lock" "$DIR/run/resource-agents"
mount --bind "$RUN/guest" "$DIR/run/lab"
mount --rbind "$DIR/run" /run

ip link set lo up
ip -batch "$DIR/net.batch"
