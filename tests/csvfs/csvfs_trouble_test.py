#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Volumes that are not as they should be: foreign, damaged, shrunk, full, read-only, another owner's. A message names the device
and the way out, and nothing is lost."""
import contextlib
import fcntl
import os
import random
import re
import struct
import subprocess
import sys

import csvrig
from csvfs_nodes_test import Agent
from labtest import check, check_equal, eventually, main

MIB = 1 << 20
SIZE = 384 * MIB  # so that ext4 has a second superblock
TRAILER = SIZE - 8 * MIB
SUPER, OWNER_AT, COPY_AT, SESSIONS_AT, INTENTS_AT = 1024, 4096, 8192, MIB, 2 * MIB
SEED = int(os.environ.get('CSVFS_SEED', '1'))
DRAWS = int(os.environ.get('CSVFS_DRAWS', '4'))
ENDS_S = 15  # a program that cannot serve has said so
BLKFLSBUF, BLKROSET = 0x1261, 0x125D
LOOP_GET_STATUS64, LOOP_SET_STATUS64 = 0x4C05, 0x4C04
LOOP_INFO_SIZE, SIZELIMIT_AT = 232, 32  # struct loop_info64


class Damage:
    """A path of its own to the device, to write what nobody should."""

    def __init__(self, rig):
        self.device = f'/dev/loop{rig.san.attach("damage")[1]}'

    def open(self):
        fd = os.open(self.device, os.O_RDWR)
        fcntl.ioctl(fd, BLKFLSBUF)
        return fd

    def read(self, at, size):
        fd = self.open()
        try:
            return os.pread(fd, size, at)
        finally:
            os.close(fd)

    def write(self, at, data):
        fd = self.open()
        try:
            os.pwrite(fd, data, at)
            os.fsync(fd)
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def at(self, *places):
        """(offset, bytes) ... until the block ends."""
        before = [(at, self.read(at, len(data))) for at, data in places]
        for at, data in places:
            self.write(at, data)
        yield
        for at, data in before:
            self.write(at, data)


def admin(node, *words):
    result = node.run(csvrig.program('csvfs-admin'), *words, ok=False)
    return result.returncode, (result.stdout + result.stderr).strip()


def try_owner(rig, *more, node=None):
    """Exit code and words of a csvfs-owner that should end by itself; it is ended when it serves."""
    node = node or rig.node(1)
    rig.epoch += 1
    argv = ['timeout', str(ENDS_S), *(str(a) for a in rig.owner_argv(node, rig.epoch)), *more]
    process = subprocess.Popen(node.command(*argv), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True)
    eventually(lambda: process.poll() is not None or node.status('owner'), ENDS_S + 5, 'csvfs-owner serves or ends')
    if process.poll() is None:
        node.run('pkill', '-TERM', '-x', 'csvfs-owner')
    return process.wait(), process.communicate()[1].strip()


def try_client(node):
    result = node.run('timeout', '5', *(str(a) for a in node.rig.client_argv(node)), ok=False)
    return result.returncode, result.stderr.strip()


def check_refused(what, answer, *words):
    """It ends with 1, and names the device and each of the words."""
    code, text = answer
    missing = [word for word in ('/dev/lun', *words) if not re.search(word, text)]
    check(code == 1 and not missing, f'{what}: exit {code}, without {missing}: {text}')


def content(n):
    return random.Random(n).randbytes(100000 + n * 777)


def make_files(rig):
    rig.start()
    for n in range(20):
        with Put(rig.node(1), f'f{n}') as f:
            f.write(content(n))
    rig.stop()


class Put:
    """A file on the volume, written through a node's csvfs."""

    def __init__(self, node, name):
        argv = ['dd', f'of={csvrig.MOUNT}/{name}', 'bs=64k', 'iflag=fullblock', 'conv=fsync', 'status=none']
        self.process = subprocess.Popen(node.command(*argv), stdin=subprocess.PIPE)

    def __enter__(self):
        return self.process.stdin

    def __exit__(self, *_):
        self.process.stdin.close()
        check_equal(self.process.wait(), 0, 'dd')


def check_files(rig, what, node=None):
    """All that was ever acknowledged."""
    node = node or rig.node(1)
    for n in range(20):
        got = subprocess.run(node.command('cat', f'{csvrig.MOUNT}/f{n}'), capture_output=True).stdout
        check(got == content(n), f'{what}: f{n} has {len(got)} bytes of {len(content(n))}, or others')


def serve_and_check(rig, what):
    rig.own(rig.node(1))
    rig.node(1).start_client()
    rig.node(1).wait_client()
    check_files(rig, what)
    rig.stop()


# --- foreign and damaged

def test_foreign():
    if not csvrig.have_programs():
        return
    csvrig.private_mounts()
    with csvrig.rig(1, size=SIZE) as rig:
        check_refused('an empty device', try_owner(rig), 'no volume of csvfs; csvfs-admin create')
        check_refused('an empty device, csvfs', try_client(rig.node(1)), 'no volume of csvfs; csvfs-admin create')
        damage = Damage(rig)
        for mkfs in (['mkfs.ext4', '-q'], ['mkfs.xfs', '-q', '-f', '-d', 'size=320m']):
            subprocess.run([*mkfs, damage.device], check=True)
            before = damage.read(0, SIZE)
            kind = mkfs[0].split('.')[1]
            check_refused(f'a foreign {kind}', try_owner(rig), f'no volume of csvfs, but it carries {kind}')
            check_refused(f'a foreign {kind}, csvfs', try_client(rig.node(1)), f'it carries {kind}')
            code, text = admin(rig.node(1), 'create', '--label', 'x', '/dev/lun')
            check(code == 2 and kind in text and '--force' in text, f'csvfs-admin create over a foreign {kind}: {code} {text}')
            check(damage.read(0, SIZE) == before, f'a foreign {kind} was changed')


def test_damaged():
    if not csvrig.have_programs():
        return
    csvrig.private_mounts()
    noise = random.Random(SEED)
    with csvrig.rig(1, size=SIZE) as rig:
        make_files(rig)
        node, damage = rig.node(1), Damage(rig)
        damage.write(SUPER, bytes(1024))
        check_refused('no superblock', try_owner(rig), 'its ext4 has lost its superblock; see csvfs-admin check')
        code, text = admin(node, 'check', '/dev/lun')
        check(code == 5 and 'e2fsck -b' in text, f'no superblock, csvfs-admin check: {code} {text}')
        result = subprocess.run(['e2fsck', '-fy', '-b', '32768', '-B', '4096', damage.device], capture_output=True, text=True)
        check_equal(result.returncode, 1, f'e2fsck -b: {result.stdout}')
        serve_and_check(rig, 'the superblock is mended from its copy')
        with damage.at((SUPER + 0x68, noise.randbytes(16))):
            check_refused('another file system', try_owner(rig), 'another UUID than the volume')
        with damage.at((TRAILER, noise.randbytes(512))):
            serve_and_check(rig, 'the header is damaged, its copy is not')
        with damage.at((TRAILER, bytes(4096)), (TRAILER + COPY_AT, bytes(4096))):
            check_refused('no trailer', try_owner(rig), 'it carries ext4', 'overwritten or cut off')
        header = bytearray(damage.read(TRAILER, 512))
        header[40] ^= 1
        with damage.at((TRAILER, bytes(header)), (TRAILER + COPY_AT, bytes(header))):
            check_refused('both headers', try_owner(rig), 'both headers of the volume are damaged')
        with damage.at((TRAILER + OWNER_AT, noise.randbytes(512))):
            check_refused('owner record', try_owner(rig), 'owner record is damaged', '--take-over')
            code, text = admin(node, 'check', '/dev/lun')
            check(code == 2 and '--forget' in text, f'owner record, csvfs-admin check: {code} {text}')
            code, text = try_owner(rig, '--take-over')
            check('served at' in text, f'owner record, --take-over: {code} {text}')
        serve_and_check(rig, 'after damage of the records')
        # What csvfs-admin mends.
        for what, at, size in (('checksum of the superblock', SUPER + 0x3fc, 4), ('group descriptors', 4096, 512)):
            damage.write(at, noise.randbytes(size))
            check_refused(what, try_owner(rig), 'mount: ', 'csvfs-admin check --repair')
            code, text = admin(node, 'check', '/dev/lun')
            check(code in (4, 5) and '--repair' in text, f'{what}: csvfs-admin check: {code} {text[-300:]}')
            code, text = admin(node, 'check', '--repair', '/dev/lun')
            check_equal(code, 0, f'{what}: csvfs-admin check --repair: {text[-300:]}')
            serve_and_check(rig, f'{what}, mended')
        check_equal(rig.fsck(), '', 'fsck')


def test_damaged_sessions():
    """Nobody knows whose records they were: no more than reading and writing until somebody says that all is fenced."""
    if not csvrig.have_programs():
        return
    csvrig.private_mounts()
    with csvrig.rig(1, size=SIZE) as rig:
        make_files(rig)
        Damage(rig).write(TRAILER + SESSIONS_AT, random.Random(SEED).randbytes(3 * 4096))
        code, text = admin(rig.node(1), 'check', '/dev/lun')
        check(code == 2 and '--forget' in text, f'csvfs-admin check: {code} {text}')
        rig.own(rig.node(1))
        rig.node(1).start_client()
        rig.node(1).wait_client()
        check_files(rig, 'damaged sessions')
        status = rig.node(1).status('owner')
        text = status['text']
        check(status['grace'] and '4 sessions, grace' in text and '3 of damaged records' in text, f'status: {status}')
        rig.owner_node.ctl('owner', 'fenced', 0, 0)
        eventually(lambda: rig.node(1).status('owner')['text'] == '1 sessions', 10, 'the grace ends')
        check(not rig.node(1).status('owner')['grace'], 'over')
        rig.stop()
        check_equal(rig.fsck(), '', 'fsck')


def test_damaged_anywhere():
    """Whatever is drawn: an owner serves, or ends with a message; it does not crash."""
    if not csvrig.have_programs():
        return
    csvrig.private_mounts()
    draw = random.Random(SEED)
    with csvrig.rig(1, size=SIZE) as rig:
        make_files(rig)
        damage = Damage(rig)
        places = [0, SUPER, 4096, 3 * 4096, 64 * 4096,
                  *(TRAILER + at for at in (0, OWNER_AT, COPY_AT, SESSIONS_AT, INTENTS_AT))]
        served = 0
        for n in range(DRAWS):
            spots = [(at + draw.randrange(8) * 512, draw.randbytes(draw.choice((1, 8, 512)))) for at in draw.sample(places, 3)]
            whole = damage.read(0, SIZE)
            for at, data in spots:
                damage.write(at, data)
            code, text = try_owner(rig, '--take-over')
            served += 'served at' in text
            check(code in (0, 1) and '/dev/lun: ' in text,
                  f'draw {n} of seed {SEED}, {[(at, len(data)) for at, data in spots]}: exit {code}: {text}')
            damage.write(0, whole)
        print(f'{DRAWS} draws of seed {SEED}: {served} were served', flush=True)
        serve_and_check(rig, 'after all of it')


# --- a device that shrinks

def set_size(node, size):
    """As after a rescan of a LUN whose size was changed on the SAN. 0: all there is."""
    with open(f'/dev/loop{node.device[1]}', 'rb') as device:
        info = bytearray(LOOP_INFO_SIZE)
        fcntl.ioctl(device, LOOP_GET_STATUS64, info)
        struct.pack_into('=Q', info, SIZELIMIT_AT, size)
        fcntl.ioctl(device, LOOP_SET_STATUS64, bytes(info))


def test_shrunk():
    """Nobody writes to it any more, nobody is told of an error; when it has its size again all goes on."""
    if not csvrig.have_programs():
        return
    csvrig.private_mounts()
    with csvrig.rig(2, size=SIZE) as rig:
        rig.start()
        a, b = (Agent(csvrig.MOUNT, node.command) for node in rig.nodes)
        b('op("f", "f", "creat")')
        for at in range(0, 80 * MIB, 4 * MIB):
            b(f'wr("f", bytes([{at // MIB + 1}]) * {4 * MIB}, {at})')
        b('os.fsync(fds["f"])')
        for n in range(20):
            with Put(rig.node(2), f'f{n}') as f:
                f.write(content(n))
        for node in rig.nodes:
            set_size(node, SIZE // 2)
        a('op("f", "f")')
        for agent in (a, b):
            agent.begin(f'[rd("f", 1, at)[0] for at in range(0, {80 * MIB}, {4 * MIB})]')
        eventually(lambda: rig.node(1).owner.poll() is not None, 30, 'the owner ends')
        rig.node(1).owner = None
        with open(f'{rig.logs}/owner-node1.log') as f:
            text = f.read()
        check('/dev/lun' in text and 'ends at once' in text, f'what the owner has said: {text}')
        for node in rig.nodes:
            check_refused('shrunk', try_owner(rig, node=node), 'the device has shrunk', 'size back')
            code, text = admin(node, 'check', '/dev/lun')
            check(code == 3 and 'has shrunk' in text, f'shrunk, csvfs-admin check: {code} {text}')
        check(not a.answered() and not b.answered(), 'reads wait')
        for node in rig.nodes:
            set_size(node, 0)
        rig.own(rig.node(2))
        for name, agent in (('node1', a), ('node2', b)):
            check_equal(agent.end(), [at // MIB + 1 for at in range(0, 80 * MIB, 4 * MIB)], f'{name}: what was read meanwhile')
        for node in rig.nodes:
            node.wait_client()
            check_files(rig, 'after it has its size again', node)
        for agent in (a, b):
            agent.close()
        rig.stop()
        check_equal(rig.fsck(), '', 'fsck')


# --- full

FILL = r"""
def fill(path, size):
    op('_', path, 'creat'); n = 0
    try:
        while True: n += wr('_', b'%08d' % (n // size) * (size // 8), n)
    except OSError as e:
        r = (n, errno.errorcode[e.errno])
    cl('_'); return r
def tried(text):
    try:
        exec(text); return 0
    except OSError as e:
        return errno.errorcode[e.errno]
"""


def fill_and_try(a, b):
    """What is answered by a full file system, to one and another process of it."""
    a('put("kept", b"k" * 1000000)')
    for agent in (a, b):
        agent('op("kept", "kept")')
    a('op("holes", "holes", "creat"); os.ftruncate(fds["holes"], 1 << 30)')
    n, error = b('fill("big", 262144)')
    small = b('fill("small", 4096)')[1]
    left, blocks = a('(os.statvfs(".").f_bfree, os.statvfs(".").f_blocks)')
    check(left <= blocks // 50 + 256, f'{left} of {blocks} blocks are left: ext4 keeps 2 % for itself')
    answers = [error, small]
    for agent in (a, b):
        for text in ('wr("kept", b"K" * 4096, 8192)', 'put("new", b"x" * 100000)', 'os.rename("kept", "kept2")',
                     'os.rename("kept2", "kept")', 'op("_", "kept", "app"); os.write(fds["_"], b"a" * 1000000)', 'os.unlink("new")',
                     'put("tiny", b"")', 'os.unlink("tiny")'):
            answers.append((text, agent(f'tried({text!r})')))
    a('op("holes", "holes")')
    answers += [('into a hole', a(f'tried({"wr(%r, b%r * 65536, 500 << 20)" % ("holes", "h")!r})')),
                ('allocate', a('tried("os.posix_fallocate(fds[\\"holes\\"], 0, 64 << 20)")'))]
    return n, answers


def agents(place, commands):
    result = [Agent(place, command) for command in commands]
    for agent in result:
        agent.begin(f'exec({FILL!r}, globals())')
        check_equal(agent.end(), None, 'agent')
    return result


def test_full():
    if not csvrig.have_programs():
        return
    csvrig.private_mounts()
    with csvrig.local_file_systems(1, SIZE - 8 * MIB) as (place,):
        a, b = agents(place, [None, None])
        local_n, local = fill_and_try(a, b)
        for agent in (a, b):
            agent.close()
    with csvrig.rig(3, size=SIZE) as rig:
        rig.start()
        a, b = agents(csvrig.MOUNT, [rig.node(2).command, rig.node(3).command])
        n, answers = fill_and_try(a, b)
        print(f'full after {n // MIB} MiB, a local ext4 after {local_n // MIB} MiB', flush=True)
        for got, want in zip(answers, local):
            check_equal(got, want, 'on a full volume, as on a full local file system')
        # The owner dies while it is full; what was acknowledged is there, what needs no room works.
        rig.owner_node.end_owner('KILL')
        eventually(rig.owner_node.device_free, 30, "the dead owner's file system is gone")
        a.begin('wr("kept", b"D" * 4096, 4096)')
        rig.own(rig.node(2))
        check_equal(a.end(), 4096, 'a write to blocks that are there')
        wanted = b'k' * 4096 + b'D' * 4096 + b'K' * 4096
        check_equal(b('get("kept")[:12288]'), wanted, 'what was written while it was full')
        check_equal(b(f'[k for k in range({n // 262144}) if not rd("big", 8, k * 262144) == b"%08d" % k]')
                    if b('op("big", "big", "ro")') is None else '?', [], 'the big file')
        check_equal(a('tried("put(\\"more\\", b\\"x\\" * (4 << 20))")'), 'ENOSPC', 'it is still full')
        rig.move(rig.node(3))
        check_equal(a('tried("put(\\"more\\", b\\"x\\" * (4 << 20))")'), 'ENOSPC', 'it is still full after an orderly move')
        b('cl("big"); os.unlink("big")')
        check_equal(a('tried("put(\\"more\\", b\\"x\\" * (4 << 20))")'), 0, 'there is room again')
        check_equal(b('get("more").count(b"x")'), 4 << 20, 'and it is there')
        for agent in (a, b):
            agent.close()
        rig.stop()
        check_equal(rig.fsck(), '', 'fsck')


# --- read-only

def set_read_only(node, on):
    with open(f'/dev/loop{node.device[1]}', 'rb') as device:
        fcntl.ioctl(device, BLKROSET, struct.pack('i', on))


def test_read_only():
    if not csvrig.have_programs():
        return
    csvrig.private_mounts()
    with csvrig.rig(2, size=SIZE) as rig:
        make_files(rig)
        node = rig.node(1)
        set_read_only(node, 1)
        check_refused('read-only', try_owner(rig), 'is read-only; look at')
        check_refused('read-only, csvfs', try_client(node), 'is read-only; look at')
        code, text = admin(node, 'create', '--label', 'x', '--force', '/dev/lun')
        check(code != 0 and 'read-only' in text, f'read-only, csvfs-admin create: {code} {text}')
        code, text = admin(node, 'info', '/dev/lun')
        check(code == 0 and 'lab' in text, f'read-only, csvfs-admin info: {code} {text}')
        set_read_only(node, 0)
        rig.own(rig.node(1))
        for other in rig.nodes:
            other.start_client()
        for other in rig.nodes:
            other.wait_client()
        # One node's path, under its feet: it goes on through the owner.
        b = Agent(csvrig.MOUNT, rig.node(2).command)
        b('op("f", "f0")')
        check_equal(b('wr("f", b"1" * 4096, 0)'), 4096, 'direct')
        set_read_only(rig.node(2), 1)
        check_equal(b('wr("f", b"2" * 4096, 0)'), 4096, 'a write by a path that is read-only now')
        rig.node(2).wait_client(('block-redirected',))
        set_read_only(rig.node(2), 0)
        rig.node(2).wait_client()
        check_equal(b('rd("f", 4096, 0)'), b'2' * 4096, 'what was written')
        b('wr("f", ' + repr(content(0)[:4096]) + ', 0)')
        # The owner's path: another has to own it, and nobody sees an error.
        set_read_only(node, 1)
        b.begin('put("new", b"n" * 5000)')
        eventually(lambda: node.owner.poll() is not None, 30, 'the owner ends')
        node.owner = None
        rig.own(rig.node(2))
        check_equal(b.end(), None, 'a file made meanwhile')
        check_equal(b('get("new")'), b'n' * 5000, 'a file made meanwhile')
        check_files(rig, 'read-only for a while', rig.node(2))
        set_read_only(node, 0)
        b.close()
        rig.stop()
        check_equal(rig.fsck(), '', 'fsck')


# --- taken over

def test_taken_over():
    """An owner that nobody has stopped or fenced finds another one's record on the disk: it ends by itself, and answers no more."""
    if not csvrig.have_programs():
        return
    csvrig.private_mounts()
    with csvrig.rig(2, size=SIZE) as rig:
        make_files(rig)
        old, new = rig.nodes
        rig.own(old)
        for node in rig.nodes:
            node.start_client()
        for node in rig.nodes:
            node.wait_client()
        b = Agent(csvrig.MOUNT, new.command)
        check_equal(b('put("kept", b"k" * 5000)'), None, 'a file at the first owner')
        rig.epoch += 1
        new.start_owner(rig.epoch)
        new.wait_owner()
        # It looks once a second. The nodes have not been told of the new one: who is asked is the old one.
        check_equal(eventually(lambda: old.owner.poll() is not None and [old.owner.returncode], ENDS_S, 'the old owner ends'), [1],
                    'exit code')
        old.owner = None
        check_equal(old.status('owner'), None, 'it answers no more')
        with open(f'{rig.logs}/owner-{old.name}.log') as log:
            check('another owner has come' in log.read(), 'it says why')
        b.begin('put("new", b"n" * 5000)')
        check_equal(eventually(lambda: new.status('client')['state'] != 'direct' and new.status('client')['state'], 10, 'a pause'),
                    'paused', 'the node has no owner')
        check(not b.answered(), 'nobody answers')
        rig.owner_node = new
        for node in rig.nodes:
            node.tell_owner()
        check_equal(b.end(), None, 'a file made at the new owner')
        check_equal(b('get("kept")'), b'k' * 5000, 'what the first owner had acknowledged')
        check_files(rig, 'taken over', new)
        b.close()
        rig.stop()
        check_equal(rig.fsck(), '', 'fsck')


if __name__ == '__main__':
    sys.exit(main(test_foreign, test_damaged, test_damaged_sessions, test_damaged_anywhere, test_shrunk, test_full, test_read_only,
                  test_taken_over))
