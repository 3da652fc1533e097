#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The path of data in csvfs: what is allocated, what goes straight to the device, mappings, a change of the owner."""
import os
import sys

import csvrig
from csvfs_nodes_test import Agent
from labtest import check, check_equal, main

KIB, MIB = 1 << 10, 1 << 20


def agent_on(rig, n, name):
    node = rig.node(n)
    node.run('mkdir', '-p', f'{csvrig.MOUNT}/{name}')
    return Agent(f'{csvrig.MOUNT}/{name}', node.command)


def counted(node, counter, work):
    """By how much the counter of the node's csvfs rises meanwhile."""
    before = node.status('client')[counter]
    work()
    return node.status('client')[counter] - before


# --- the list: each gets the rig and an agent on nodes 2 (not the owner's) and 3

def thin(rig, a, _b):
    """A write allocates about what it writes, however far the file goes."""
    a('op("f", "f", "creat")')
    a(f'os.ftruncate(fds["f"], {640 * MIB})')
    for i in range(6):
        a(f'wr("f", b"x" * {64 * KIB}, {i * 100 * MIB})')
    blocks = a('os.stat("f").st_blocks') * 512
    check(6 * 64 * KIB <= blocks <= 6 * MIB + MIB, f'6 x 64 KiB take {blocks // KIB} KiB')
    check_equal(a(f'rd("f", 3, {100 * MIB + 64 * KIB - 1})'), b'x\0\0', 'what is beside it')

    def again():
        for i in range(6):
            a(f'wr("f", b"y" * {64 * KIB}, {i * 100 * MIB})')
    check_equal(counted(rig.node(2), 'redirected_written_bytes', again), 0, 'bytes by the owner, where blocks are')
    # From front to end: what is made ahead is no more than what was written.
    a(f'put("g", b""); os.truncate("g", {512 * MIB}); op("g", "g")')

    def forwards():
        for i in range(64):
            a(f'wr("g", b"z" * {256 * KIB}, {i * 256 * KIB})')
    redirected = counted(rig.node(2), 'redirected_written_bytes', forwards)
    check(redirected <= 2 * MIB, f'{redirected // KIB} of {16 * 1024} KiB went through the owner')
    blocks = a('os.stat("g").st_blocks') * 512
    check(blocks <= 50 * MIB, f'16 MiB take {blocks // MIB} MiB')
    a('os.unlink("f"); os.unlink("g"); cl("f"); cl("g")')


def becomes_direct(rig, a, b):
    """What is preallocated, and what was written by another node."""
    a(f'falloc("-l", "{32 * MIB}", "f"); op("f", "f")')

    def scattered():
        for i in range(64):
            a(f'wr("f", b"{i % 10}" * {64 * KIB}, {i * 37 % 64 * 512 * KIB})')
    scattered()
    check_equal(counted(rig.node(2), 'redirected_written_bytes', scattered), 0, 'bytes by the owner, the second time')
    b('op("f", "f")')
    check_equal(b(f'rd("f", 2, {512 * KIB * 37})'), b'11', 'seen by the other node')
    b(f'op("g", "g", "creat"); wr("g", b"x" * {4 * MIB}, 0); cl("g")')
    a('op("g", "g")')

    def over():
        for i in range(64):
            a(f'wr("g", b"{i % 10}" * {64 * KIB}, {i * 64 * KIB})')
    over()
    check_equal(counted(rig.node(2), 'redirected_written_bytes', over), 0, 'bytes by the owner in what another node wrote')
    a('cl("f"); cl("g")')


LIST = [thin, becomes_direct]


def test_data():
    if not csvrig.have_programs():
        return
    csvrig.private_mounts()
    with csvrig.rig(3, label='-data') as rig:
        rig.start()
        for case in LIST:
            agents = [agent_on(rig, n, case.__name__) for n in (2, 3)]
            try:
                case(rig, *agents)
            except (csvrig.LabError, BrokenPipeError, TypeError) as e:
                check(False, f'{case.__name__}: {e!r}')
            for agent in agents:
                agent.close()
            print(f'  {case.__name__}', flush=True)
        rig.stop()
        check_equal(rig.fsck(), '', 'fsck')


if __name__ == '__main__':
    sys.exit(main(test_data))
