#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory and descriptors of csvfs and csvfs-owner: with many files seen and many open they are bounded, and they do not grow
with time. CSVFS_FILES: how many files are seen; CSVFS_ROUNDS: how often all kinds of operations are done."""
import os
import subprocess
import sys
import time

import csvrig
from csvfs_nodes_test import Agent
from labtest import check, check_equal, eventually, main

FILES = int(os.environ.get('CSVFS_FILES', '10000'))
IN_A_FOLDER = 1000
HANDLES = 10000
ROUNDS = int(os.environ.get('CSVFS_ROUNDS', '3'))
OPERATIONS = 200  # of each kind in a round
KIB, MIB = 1 << 10, 1 << 20
# What a file costs that the kernel of a node remembers, and one that is open, in either program; and what they need anyway.
SEEN_BYTES, OPEN_BYTES, BASE_BYTES = 1 * KIB, 4 * KIB, 128 * MIB
KEPT = 1024 + 12  # descriptors: of idle files at the owner; of threads that libfuse begins and ends
GROWTH_BYTES = 1 * MIB  # of the allocator, in all rounds after the first ones
THREAD_BYTES = 2 * MIB  # the huge page that csvfs takes for a thread (kernel.c); a round may need one thread more than those before

MAKE = r"""
import os, sys
place, files, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for d in range(-(-files // folder)):
    os.mkdir(f'{place}/d{d}')
    fd = os.open(f'{place}/d{d}', os.O_RDONLY)
    for i in range(min(folder, files - d * folder)):
        os.mknod(f'f{i}', 0o644, dir_fd=fd)
    os.close(fd)
"""
WALK = r"""
import os
def walk(place):
    n = 0
    for folder in os.scandir(place):
        if folder.name.startswith('d'):
            for f in os.scandir(folder.path):
                n += f.stat(follow_symlinks=False).st_nlink
    return n
def opened(n, folder):
    import resource
    resource.setrlimit(resource.RLIMIT_NOFILE, (n + 100,) * 2)
    fds['many'] = [os.open(f'd{i // folder}/f{i % folder}', os.O_RDWR) for i in range(n)]
    return len(fds['many'])
def used(n):
    for i in range(0, n, 97):
        os.pwrite(fds['many'][i], b'%d' % i, 0)
        fcntl.flock(fds['many'][i], fcntl.LOCK_EX)
    return [i for i in range(0, n, 97) if os.pread(fds['many'][i], 9, 0) != b'%d' % i]
def closed():
    for fd in fds.pop('many'): os.close(fd)
def all_kinds(place, n):
    os.makedirs(place, exist_ok=True)
    for i in range(n):
        path = f'{place}/{i % 50}'
        put(path, b'x' * (i % 9000))
        op('f', path)
        posix('f', 1, 0, 10); posix('f', 2); ofd('f', 1); flock('f', fcntl.LOCK_EX)
        wr('f', b'y' * 5000, i % 3 * 4096); rd('f', 100, 0)
        if i % 7 == 0: os.fsync(fds['f'])
        os.setxattr(path, 'user.a', b'1'); os.getxattr(path, 'user.a'); os.chmod(path, 0o600); os.utime(path)
        os.rename(path, path + '.r'); os.link(path + '.r', path + '.l'); os.symlink('x', path + '.s'); os.readlink(path + '.s')
        os.mkdir(path + '.d'); os.listdir(place)
        os.rmdir(path + '.d'); os.unlink(path + '.s'); os.unlink(path + '.l')
        if i % 2: os.unlink(path + '.r'); cl('f')
        else: cl('f'); os.unlink(path + '.r')
        try: os.stat(path)
        except FileNotFoundError: pass
"""


class Usage:
    """Of a program on a node: bytes resident, descriptors."""

    def __init__(self, node, name):
        pid = node.run('pgrep', '-x', name).stdout.split()[0]
        lines = dict(line.split(':', 1) for line in node.run('cat', f'/proc/{pid}/status').stdout.splitlines() if ':' in line)
        self.name = f'{name} on {node.name}'
        self.resident = int(lines['VmRSS'].split()[0]) * KIB
        self.peak = int(lines['VmHWM'].split()[0]) * KIB
        self.threads = int(lines['Threads'])
        self.descriptors = len(node.run('ls', f'/proc/{pid}/fd').stdout.split())

    def __str__(self):
        return f'{self.name}: {self.resident / MIB:.1f} MiB, {self.descriptors} descriptors, {self.threads} threads'


def usages(rig):
    return [Usage(rig.owner_node, 'csvfs-owner'), *(Usage(node, 'csvfs') for node in rig.nodes)]


def show(what, list_of_usages):
    print(what + '\n' + '\n'.join(f'    {u}' for u in list_of_usages), flush=True)


def agent_on(node):
    agent = Agent(csvrig.MOUNT, node.command)
    agent.begin(f'exec({WALK!r}, globals())')
    check_equal(agent.end(), None, 'agent')
    return agent


def make_files(rig):
    """By this machine, before anybody owns the volume: it is an ordinary file system."""
    _, minor = rig.san.attach('make')
    place = f'{csvrig.MOUNT}/make'
    os.mkdir(place)
    subprocess.run(['mount', f'/dev/loop{minor}', place], check=True)
    try:
        subprocess.run([sys.executable, '-c', MAKE, place, str(FILES), str(IN_A_FOLDER)], check=True)
    finally:
        subprocess.run(['umount', place], check=True)
        rig.san.ask('detach', 'make')


def asked(agent, text, seconds=3600):
    agent.begin(text)
    eventually(agent.answered, seconds, text)
    return agent.end()


def test_many():
    if not csvrig.have_programs():
        return
    csvrig.private_mounts()
    with csvrig.rig(2, size=csvrig.GIB + FILES * 20000 // MIB * MIB) as rig:
        start = time.monotonic()
        rig.format()
        make_files(rig)
        print(f'{FILES} files made in {time.monotonic() - start:.0f} s', flush=True)
        rig.own(rig.node(1))
        for node in rig.nodes:
            node.start_client()
        for node in rig.nodes:
            node.wait_client()
        a = agent_on(rig.node(2))
        show('nothing seen', before := usages(rig))
        start = time.monotonic()
        check_equal(asked(a, 'walk(".")'), FILES, 'files seen')
        seconds = time.monotonic() - start
        show(f'{FILES} files seen by a node that is not the owner, {FILES / seconds:.0f} a second', seen := usages(rig))
        for u, old in zip(seen, before):
            check(u.resident <= BASE_BYTES + FILES * SEEN_BYTES, f'{u.name}: {u.resident // MIB} MiB')
            check(u.descriptors <= old.descriptors + KEPT, f'{u.name}: {u.descriptors} descriptors, {old.descriptors} before')
        start = time.monotonic()
        check_equal(asked(a, f'opened({HANDLES}, {IN_A_FOLDER})'), HANDLES, 'files open')
        check_equal(asked(a, f'used({HANDLES})'), [], 'what was written to open files')
        show(f'{HANDLES} files open, {time.monotonic() - start:.0f} s', opened := usages(rig))
        for u, old in zip(opened, seen):
            check(u.resident <= old.resident + HANDLES * OPEN_BYTES, f'{u.name}: {u.resident // MIB} MiB')
        start = time.monotonic()
        rig.owner_node.end_owner('KILL')
        a.begin('os.fstat(fds["many"][0]).st_nlink')
        rig.own(rig.node(1))
        eventually(a.answered, csvrig.READY_S, 'an answer of the next owner')
        check_equal(a.end(), 1, 'an open file at the next owner')
        print(f'fail-over with {HANDLES} open files: answers again after {time.monotonic() - start:.2f} s, of which the session was '
              f'without an owner {rig.node(2).status("client")["paused_ms"]} ms', flush=True)
        check_equal(asked(a, f'used({HANDLES})'), [], 'open files at the next owner')
        asked(a, 'closed()')
        # The kernel tells of a close later.
        eventually(lambda: rig.owner_node.status('owner')['handles'] == 0, 60, 'all is closed at the owner')
        show('closed', closed := usages(rig))
        for u, old in zip(closed, before):
            check(u.descriptors <= old.descriptors + KEPT, f'{u.name}: {u.descriptors} descriptors, {old.descriptors} before')
        a.close()
        rig.stop()
        check_equal(rig.fsck(), '', 'fsck')


def test_no_growth():
    if not csvrig.have_programs():
        return
    csvrig.private_mounts()
    with csvrig.rig(2) as rig:
        rig.start()
        agents = [agent_on(node) for node in rig.nodes]

        def a_round(n):
            """Each in a folder that the other one used in the round before."""
            for i, agent in enumerate(agents):
                agent.begin(f'all_kinds("folder-{(i + n) % 2}", {OPERATIONS})')
            for agent in agents:
                eventually(agent.answered, 600, 'a round')
                check_equal(agent.end(), None, 'all kinds of operations')
        for n in range(2):
            a_round(n)
        show('warm', warm := usages(rig))
        for n in range(ROUNDS):
            a_round(n)
        show(f'after {ROUNDS} more rounds of {OPERATIONS} times all operations on two nodes', after := usages(rig))
        for u, old in zip(after, warm):
            allowed = GROWTH_BYTES + max(0, u.threads - old.threads) * THREAD_BYTES
            check(u.resident <= old.resident + allowed, f'{u.name}: grew from {old.resident // KIB} to {u.resident // KIB} KiB')
            check(u.descriptors <= old.descriptors + KEPT, f'{u.name}: {u.descriptors} descriptors, {old.descriptors} before')
        eventually(lambda: rig.node(1).status('owner')['handles'] == 0, 60, 'all is closed at the owner')
        for agent in agents:
            agent.close()
        rig.stop()
        check_equal(rig.fsck(), '', 'fsck')


if __name__ == '__main__':
    sys.exit(main(test_many, test_no_growth))
