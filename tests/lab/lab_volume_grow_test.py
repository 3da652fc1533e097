#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A shared volume follows its device while it is in use, and an owner that is killed in the middle loses nothing."""
import fcntl
import os
import random
import re
import struct
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import labtest  # noqa: E402
import labvolume  # noqa: E402
from labtest import check, check_equal, eventually  # noqa: E402
from labvolume import FAIL_OVER_S, PLACE, Writer, step  # noqa: E402

MIB = 1 << 20
FIRST, MORE, ROUNDS = 384 * MIB, 100 * MIB, 2  # XFS: of 300 MiB at least; the SAN has 1 GiB
KILL_WITHIN_S = 0.2  # of the command: before, in and after what it does
SEED = int(os.environ.get('CSVFS_SEED', '1'))
LOOP_GET_STATUS64, LOOP_SET_STATUS64 = 0x4C05, 0x4C04
LOOP_INFO_SIZE, SIZELIMIT_AT = 232, 32  # struct loop_info64


def set_size(rig, size):
    """As after a rescan on every host."""
    for host in rig.names:
        minor = int(rig.run(host, 'stat', '-c', '%T', '/dev/lun').strip(), 16)
        with open(f'/dev/loop{minor}', 'rb') as device:
            info = bytearray(LOOP_INFO_SIZE)
            fcntl.ioctl(device, LOOP_GET_STATUS64, info)
            struct.pack_into('=Q', info, SIZELIMIT_AT, size)
            fcntl.ioctl(device, LOOP_SET_STATUS64, bytes(info))


def grow(rig, host):
    """Bytes that the file system has now; None: it could not be done, its owner being gone."""
    said = rig.cluster.ctl(host, 'volume', 'grow', 'v1')
    found = re.search(r'has (\d+) bytes now', said.stdout)
    return int(found.group(1)) if said.returncode == 0 and found else None


def written(rig, host, work):
    """Bytes that the host has written directly and by the owner meanwhile."""
    before = rig.mount_status(host)
    work()
    return [rig.mount_status(host)[f'{how}_written_bytes'] - before[f'{how}_written_bytes'] for how in ('direct', 'redirected')]


def direct_where_it_has_grown(rig, other, size):
    """All that was there before is full, and the owner stays: what is written directly is written to what is new."""
    owner = rig.wait_role('volume.v1')
    pid = rig.owner_pid(owner)
    fill = 'i=0; for s in 32M 4M 1M; do while fallocate -l $s fill$i 2>/dev/null; do i=$((i+1)); done; rm -f fill$i; done; test $i -gt 5'
    rig.run(other, 'sh', '-c', f'mkdir {PLACE}/v1/full && cd {PLACE}/v1/full && {fill}')
    set_size(rig, size)
    # Refused as long as not all nodes have told the new size.
    eventually(lambda: (grow(rig, other) or 0) > size - 40 * MIB, 20, f'the volume has grown to {size} bytes')

    def write():
        rig.run(other, 'dd', 'if=/dev/zero', f'of={PLACE}/v1/new', 'bs=1M', 'count=32', 'oflag=direct', 'conv=notrunc')
    write()
    eventually(lambda: written(rig, other, write) == [32 * MIB, 0], 20, f'{other} writes directly behind the old end')
    check_equal(rig.owner_pid(owner), pid, 'the owner')
    rig.run(other, 'sh', '-c', f'rm -r {PLACE}/v1/full {PLACE}/v1/new')


def kill_while_growing(rig, draw, size):
    owner = rig.wait_role('volume.v1')
    set_size(rig, size)
    other = draw.choice([h for h in rig.names if h != owner])
    pid = rig.owner_pid(owner)
    with subprocess.Popen(rig.lab.command(other, ['clusterctl', 'volume', 'grow', 'v1']), stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL):
        time.sleep(draw.uniform(0, KILL_WITHIN_S))
        rig.run(owner, 'kill', '-9', str(pid))
    eventually(lambda: (grow(rig, other) or 0) > size - 40 * MIB, FAIL_OVER_S, f'the volume has grown to {size} bytes')


def test_grow():
    print(f'CSVFS_SEED={SEED}')
    draw = random.Random(SEED)
    with labvolume.volume_lab() as rig:
        rig.up()
        set_size(rig, FIRST)
        rig.run('node1', 'csvfs-admin', 'create', '--label', 'v1', '--filesystem', 'xfs', '/dev/lun', timeout=120)
        rig.ctl('volume', 'add', 'v1', '/dev/lun', '--wait')
        owner = rig.wait_role('volume.v1')
        rig.wait_mounted(rig.names)
        other = next(h for h in rig.names if h != owner)
        before = grow(rig, other)
        check(before and before < FIRST, f'nothing to do: {before}')
        direct_where_it_has_grown(rig, other, FIRST + MORE)
        step('direct where it has grown')
        writer = Writer(rig, other, 'growing')
        for n in range(1, ROUNDS + 1):
            kill_while_growing(rig, draw, FIRST + MORE + n * MORE)
            rig.run(other, 'sh', '-c', f'mkdir {PLACE}/v1/d{n} && head -c 20000000 /dev/zero | tr "\\0" {n} >{PLACE}/v1/d{n}/f')
            writer.wait_acks(20)
            step(f'round {n}: {grow(rig, other)} bytes')
        writer.stop(rig.wait_role('volume.v1'))
        for n in range(1, ROUNDS + 1):
            rest = rig.run(rig.names[0], 'sh', '-c', f'tr -d {n} <{PLACE}/v1/d{n}/f | wc -c; wc -c <{PLACE}/v1/d{n}/f').split()
            check_equal(rest, ['0', '20000000'], f'file of round {n}')
        rig.ctl('volume', 'check', 'v1')
        rig.ctl('volume', 'stop', 'v1', '--wait')
        rig.run('node1', 'xfs_repair', '-n', '/dev/lun', timeout=120)  # exits with 1 when it has found something


if __name__ == '__main__':
    if not labvolume.have_programs():
        sys.exit(labtest.SKIP)
    labtest.main(test_grow)
