#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Quotas: what a user may have, on whichever node he writes, as on a local file system; and what is said where the kernel
knows none."""
import ctypes
import os
import struct
import subprocess
import sys

import csvrig
from csvfs_nodes_test import Agent
from labtest import check, check_equal, eventually, main

USER, MIB = 4321, 1 << 20
LIMIT_KIB, LIMIT_FILES = 8192, 20
SIZE = 384 * MIB
Q_GETQUOTA, Q_SETQUOTA, USRQUOTA, SYS_QUOTACTL = 0x800007, 0x800008, 0, 179
MKFS = {'ext4': ['mkfs.ext4', '-q', '-O', 'quota,^inline_data'], 'xfs': ['mkfs.xfs', '-q', '-f']}
DQBLK = '=8QI4x'  # struct if_dqblk
QIF_LIMITS, QIF_ILIMITS = 1, 4

# To be called as a user; each tells what was done and which error came.
AS_USER = r"""
def act_as(uid):
    os.setgroups([]); os.setresgid(uid, uid, uid); os.setresuid(uid, uid, uid)
def fill(path, size):
    n = 0
    try:
        op('_', path, 'creat')
        while n < 64 << 20: n += wr('_', b'q' * size, n)
        r = 0
    except OSError as e:
        r = errno.errorcode[e.errno]
    if '_' in fds: cl('_')
    return n, r
def make(prefix, count):
    for i in range(count):
        try:
            os.close(os.open(f'{prefix}{i}', os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except OSError as e:
            return i, errno.errorcode[e.errno]
    return count, 0
"""


def quotactl(command, device, uid, block):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(SYS_QUOTACTL, (command << 8) | USRQUOTA, device.encode(), uid, block):
        raise OSError(ctypes.get_errno(), f'quotactl of {device}')


def set_limits(device):
    limits = struct.pack(DQBLK, LIMIT_KIB, 0, 0, LIMIT_FILES, 0, 0, 0, 0, QIF_LIMITS | QIF_ILIMITS)
    quotactl(Q_SETQUOTA, device, USER, limits)


def used(device):
    """KiB, files."""
    block = ctypes.create_string_buffer(struct.calcsize(DQBLK))
    quotactl(Q_GETQUOTA, device, USER, block)
    fields = struct.unpack(DQBLK, block.raw)
    return fields[2] // 1024, fields[5]


def kernel_has(filesystem):
    """Whether this kernel can count for users: a file system with quotas can be mounted."""
    san = csvrig.San('/dev/null', SIZE)
    device, place = f'/dev/loop{san.attach("try")[1]}', f'{csvrig.MOUNT}/try'
    os.makedirs(place, exist_ok=True)
    try:
        subprocess.run([*MKFS[filesystem], device], check=True)
        ok = subprocess.run(['mount', '-o', 'usrquota', device, place], capture_output=True).returncode == 0
        if ok:
            subprocess.run(['umount', place], check=True)
        return ok
    finally:
        san.close()


def agent_as_user(place, command=None):
    agent = Agent(place, command)
    for text in (f'exec({AS_USER!r}, globals())', f'act_as({USER})'):
        check_equal(agent(text), None, 'agent')
    return agent


def work(a, b, device):
    """What two processes of a user on one file system are told: (what, answer) ..."""
    answers = []

    def tell(what, agent, text):
        answers.append((what, agent(text)))

    def settle():
        """XFS frees what was removed in the background: until no more is counted than there is."""
        names = a(f'sum(os.lstat(n).st_uid == {USER} for n in os.listdir("."))')
        eventually(lambda: used(device)[1] == names, 20, f'{names} files are counted', pause_s=0.05)
    n, error = a('fill("big", 262144)')
    answers.append(('the limit of blocks', error))
    check((LIMIT_KIB - 1024) * 1024 <= n <= LIMIT_KIB * 1024, f'{n // 1024} KiB could be written, the limit is {LIMIT_KIB}')
    tell('another file', b, 'fill("small", 4096)[1]')
    tell('what is there can be written', b, 'op("big", "big"); wr("big", b"Q" * 4096, 8192)')
    tell('and read', a, 'get("big")[8192:8194]')
    tell('a file can be removed', b, 'cl("big"); os.unlink("big")')
    settle()
    tell('there is room again', a, f'put("again", b"a" * {MIB})')
    tell('a hole', a, f'op("h", "holes", "creat"); os.ftruncate(fds["h"], {64 * MIB})')
    tell('allocate', a, f'os.posix_fallocate(fds["h"], 0, {64 * MIB})')
    tell('removed', b, 'os.unlink("again"); os.unlink("holes")')
    tell('closed', a, 'cl("h")')
    settle()
    tell('the limit of files', b, 'make("n", 30)[1]')
    tell('a folder', a, 'os.mkdir("d")')
    tell('one less', a, 'os.unlink("n3")')
    settle()
    tell('one more', b, 'os.mkdir("d")')
    return answers


def local_answers(filesystem):
    san = csvrig.San('/dev/null', SIZE)
    device, place = f'/dev/loop{san.attach("local")[1]}', f'{csvrig.MOUNT}/local'
    os.makedirs(place)
    try:
        subprocess.run([*MKFS[filesystem], device], check=True)
        subprocess.run(['mount', '-o', 'usrquota', device, place], check=True)
        os.chmod(place, 0o1777)
        set_limits(device)
        a, b = agent_as_user(place), agent_as_user(place)
        answers = work(a, b, device)
        a.close()
        b.close()
        subprocess.run(['umount', place], check=True)
        return answers
    finally:
        san.close()


def between_nodes(filesystem, want):
    with csvrig.rig(3, size=SIZE, filesystem=filesystem) as rig:
        node = rig.node(1)
        node.run(csvrig.program('csvfs-admin'), 'create', '--label', 'lab', '--filesystem', filesystem, '--quota', '/dev/lun',
                 timeout=120)
        rig.own(node)
        for n in rig.nodes:
            n.start_client()
        for n in rig.nodes:
            n.wait_client()
        node.run('chmod', '1777', csvrig.MOUNT)
        set_limits(f'/dev/loop{node.device[1]}')
        a, b = (agent_as_user(csvrig.MOUNT, n.command) for n in rig.nodes[1:])
        for got, wanted in zip(work(a, b, f'/dev/loop{node.device[1]}'), want):
            check_equal(got, wanted, f'{filesystem}: as on a local file system')
        # The next owner has the limits too, and what was counted.
        before = used(f'/dev/loop{node.device[1]}')
        node.end_owner('KILL')
        eventually(node.device_free, 30, "the dead owner's file system is gone")
        rig.own(rig.node(2))
        check_equal(used(f'/dev/loop{rig.node(2).device[1]}'), before, f'{filesystem}: what is counted, KiB and files')
        check_equal(b('make("m", 30)[1]'), 'EDQUOT', f'{filesystem}: the limit of files at the next owner')
        check_equal(a('os.unlink("n4"); put("n4", b"")'), None, 'one for one')
        check_equal(a('fill("n4", 65536)[1]'), 'EDQUOT', f'{filesystem}: the limit of blocks at the next owner')
        for agent in (a, b):
            agent.close()
        rig.stop()
        check_equal(rig.fsck(), '', f'fsck of {filesystem}')


def without(filesystem):
    """A kernel without quotas: it is said, and no volume is made that nobody can own."""
    with csvrig.rig(1, size=SIZE) as rig:
        result = rig.node(1).run(csvrig.program('csvfs-admin'), 'create', '--label', 'lab', '--filesystem', filesystem, '--quota',
                                 '/dev/lun', ok=False, timeout=120)
        check(result.returncode != 0 and '/dev/lun: mounting it with quotas' in result.stderr and 'CONFIG_' in result.stderr,
              f'{filesystem}: csvfs-admin create --quota: {result.returncode} {result.stderr[-300:]}')


def test_quota():
    if not csvrig.have_programs():
        return
    csvrig.private_mounts()
    for filesystem in ('ext4', 'xfs'):
        if kernel_has(filesystem):
            between_nodes(filesystem, local_answers(filesystem))
            os.rmdir(f'{csvrig.MOUNT}/local')
            print(f'{filesystem}: done', flush=True)
        else:
            print(f'{filesystem}: this kernel knows no quotas: only what is said then', flush=True)
            without(filesystem)


if __name__ == '__main__':
    sys.exit(main(test_quota))
