#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A volume of 250 TiB and a file of more than 16 TiB, where ext4 ends: both sparse. What is written far out is direct, and
survives its owner."""
import os
import sys
import time

import csvrig
from csvfs_nodes_test import Agent
from labtest import check, check_equal, eventually, main

MIB, TIB = 1 << 20, 1 << 40
SIZE = int(os.environ.get('CSVFS_TIB', '250')) * TIB
FAR = 20 * TIB   # more than 2^32 blocks of 4 KiB
END = 200 * TIB


def took(what, start):
    print(f'{what}: {time.monotonic() - start:.1f} s', flush=True)


def counted(node, work):
    before = node.status('client')
    work()
    after = node.status('client')
    return {name: after[name] - before[name] for name in ('direct_written_bytes', 'redirected_written_bytes', 'direct_read_bytes')}


def test_large():
    if not csvrig.have_programs():
        return
    csvrig.private_mounts()
    with csvrig.rig(2, size=SIZE, filesystem='xfs') as rig:
        start = time.monotonic()
        rig.format()
        took(f'csvfs-admin create on {SIZE // TIB} TiB', start)
        start = time.monotonic()
        rig.own(rig.node(1))
        took('the first owner', start)
        for node in rig.nodes:
            node.start_client()
        for node in rig.nodes:
            node.wait_client()
        owner, other = (Agent(csvrig.MOUNT, node.command) for node in rig.nodes)
        total = other('os.statvfs(".").f_blocks * os.statvfs(".").f_frsize')
        check(SIZE - SIZE // 50 <= total <= SIZE, f'statvfs: {total / TIB} of {SIZE / TIB} TiB')

        other('op("f", "f", "creat"); op("d", "f", "direct")')
        places = [0, FAR, FAR + 4096, END]
        for n, at in enumerate(places):
            check_equal(other(f'wr("f", bytes([{n + 1}]) * {MIB}, {at + n * MIB})'), MIB, f'a write at {at / TIB} TiB')
        check_equal(other('fst("f")')['size'], END + 4 * MIB, 'size')
        check_equal(other('os.fsync(fds["f"])'), None, 'fsync')
        check(other('os.fstat(fds["f"]).st_blocks * 512') < 200 * MIB, 'it is sparse')

        def direct():
            for n, at in enumerate(places):
                check_equal(other(f'dwrite("d", {n + 17}, 65536, {at + n * MIB + 8192})'), 65536, 'a direct write')
        bytes_of = counted(rig.node(2), direct)
        check_equal((bytes_of['direct_written_bytes'], bytes_of['redirected_written_bytes']), (4 * 65536, 0),
                    'bytes straight to the device, and through the owner, by a node that is not the owner')
        owner('op("f", "f")')

        def whole(agent, what):
            for n, at in enumerate(places):
                base = at + n * MIB
                got = agent(f'rd("f", {MIB}, {base})')
                want = bytearray(bytes([n + 1]) * MIB)
                want[8192:8192 + 65536] = bytes([n + 17]) * 65536
                check(got == bytes(want), f'{what}: at {at / TIB} TiB')
            check_equal(agent(f'rd("f", 5, {FAR - 5})'), bytes(5), f'{what}: a hole')
            data = agent(f'os.lseek(fds["f"], {66 * MIB}, os.SEEK_DATA)')
            check(FAR - 64 * MIB <= data <= FAR + MIB, f'{what}: SEEK_DATA from 66 MiB on: {data / TIB} TiB')
        whole(owner, 'by the owner')
        whole(other, 'by the other node')

        rig.node(1).end_owner('KILL')
        eventually(rig.node(1).device_free, 60, "the dead owner's file system is gone")
        start = time.monotonic()
        other.begin(f'dwrite("d", 99, 4096, {FAR + 8 * MIB})')
        rig.own(rig.node(2))
        check_equal(other.end(), 4096, 'a write during the take-over')
        took('take-over after kill -9', start)
        whole(owner, 'after the take-over')
        check_equal(owner(f'rd("f", 2, {FAR + 8 * MIB})'), b'cc', 'what was written meanwhile')
        owner(f'os.ftruncate(fds["f"], {FAR + 3 * MIB})')
        check_equal(other(f'rd("f", 10, {END})'), b'', 'cut off')
        check_equal(other('fst("f")')['size'], FAR + 3 * MIB, 'cut off')
        for agent in (owner, other):
            agent.close()
        rig.stop()
        start = time.monotonic()
        check_equal(rig.fsck(), '', 'fsck')
        took('xfs_repair -n', start)


if __name__ == '__main__':
    sys.exit(main(test_large))
