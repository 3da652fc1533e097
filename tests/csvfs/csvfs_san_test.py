#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab's SAN itself: paths that fail, hang and are fenced, one disk behind them all, nothing left."""
import mmap
import os
import subprocess
import threading

import csvrig
from labtest import check, check_equal, eventually, main

BLOCK = 4096


def io(device, what, fill=0):
    """One block by direct I/O: its first byte, or the errno's name."""
    fd = os.open(device, os.O_RDWR | os.O_DIRECT)
    try:
        with mmap.mmap(-1, BLOCK) as memory:
            if what == 'write':
                memory.write(bytes([fill]) * BLOCK)
                os.pwritev(fd, [memory], 0)
                return 'ok'
            os.preadv(fd, [memory], 0)
            return memory[0]
    except OSError as e:
        return os.strerror(e.errno)
    finally:
        os.close(fd)


def with_san(fn):
    csvrig.private_mounts()
    log = f'{csvrig.MOUNT}/san.log'
    san = csvrig.San(log, 64 << 20)
    try:
        devices = [f'/dev/loop{san.attach(name)[1]}' for name in ('a', 'b')]
        fn(san, log, *devices)
    finally:
        san.close()
    for device in devices:
        eventually(lambda d=device: not os.path.exists(f'/sys/block/{os.path.basename(d)}/loop'), 5, f'{device} is gone')


def test_paths():
    def run(san, log, a, b):
        check_equal(io(a, 'write', 7), 'ok', 'write by a')
        check_equal(io(b, 'read'), 7, 'one disk')
        san.mode('a', 'error')
        check_equal(io(a, 'read'), 'Input/output error', 'read without a path')
        check_equal(io(a, 'write', 8), 'Input/output error', 'write without a path')
        check_equal(io(b, 'read'), 7, 'by the other path')
        san.mode('a', 'up')
        check_equal(io(a, 'read'), 7, 'the path is back')
        san.mode('a', 'fenced')
        check_equal(io(a, 'read'), 7, 'a fenced host reads')
        check_equal(io(a, 'write', 9), 'Invalid exchange', 'a fenced host does not write')
        check_equal(san.refused('a'), 2, 'refused writes')
        check_equal(io(b, 'read'), 7, 'unchanged')
        with open(log) as f:
            check('refused write of a' in f.read(), 'the log says so')
        san.mode('b', 'dead')
        san.mode('b', 'up')
        check_equal(io(b, 'read'), 'Input/output error', 'dead is for ever')
    with_san(run)


def test_hang():
    def run(san, _log, a, b):
        done = []
        san.mode('a', 'hang')
        thread = threading.Thread(target=lambda: done.append(io(a, 'write', 5)))
        thread.start()
        check_equal(io(b, 'write', 4), 'ok', 'the other path')
        check_equal(io(b, 'read'), 4, 'nothing of the hanging write yet')
        check_equal(done, [], 'it hangs')
        san.mode('a', 'up')
        thread.join()
        check_equal(done, ['ok'], 'it goes on')
        check_equal(io(b, 'read'), 5, 'and has happened')
    with_san(run)


def test_cache():
    def run(san, _log, a, b):
        check_equal(io(a, 'write', 1), 'ok', 'write')
        san.ask('cache', 'on')
        check_equal(io(a, 'write', 2), 'ok', 'into the cache')
        check_equal(io(b, 'read'), 2, 'everybody sees it')
        lost = []
        fd = os.open(a, os.O_RDWR | os.O_DIRECT)
        with mmap.mmap(-1, BLOCK) as memory:
            for seed in range(20):
                for fill in (1, 2):
                    memory[:] = bytes([fill]) * BLOCK
                    os.pwritev(fd, [memory], 0)
                    if fill == 1:
                        os.fsync(fd)
                san.ask('lose', seed)
                lost.append(io(b, 'read'))
        os.close(fd)
        check_equal(set(lost), {1, 2}, 'seeds that lose it and seeds that do not')
        check_equal(io(a, 'write', 3), 'ok', 'write')
        fd = os.open(b, os.O_RDWR)
        os.fsync(fd)
        os.close(fd)
        for seed in range(20):
            san.ask('lose', seed)
        check_equal(io(a, 'read'), 3, 'flushed by any host')
    with_san(run)


WRITE = 'mount /dev/lun /mnt && echo synced >/mnt/a && sync -f /mnt && echo lost >/mnt/b'


def test_hosts():
    """Power loss with a file system mounted: what was not sent is lost, and another host can mount it at once."""
    csvrig.private_mounts()
    with csvrig.rig(2) as rig:
        one, two = rig.nodes
        one.run('mkfs.ext4', '-q', '/dev/lun')
        check(one.device_free(), 'free')
        one.run('sh', '-c', WRITE)
        check(not one.device_free(), 'mounted')
        one.power_loss()
        two.run('mount', '/dev/lun', '/mnt')
        check_equal(two.run('ls', '/mnt').stdout.split(), ['a', 'lost+found'], 'after the power loss')
        one.power_on()
        check(one.device_free(), 'a new path')
        two.run('umount', '/mnt')
        check_equal(rig.fsck(), '', 'fsck')
        with rig.plain_mount() as folder, open(f'{folder}/a') as f:
            check_equal(f.read(), 'synced\n', 'contents')
        two.run('mount', '/dev/lun', '/mnt')
        two.path('fenced')
        check(two.run('sh', '-c', 'echo x >/mnt/c && sync -f /mnt', ok=False).returncode != 0, 'a fenced host cannot write')
        one.run('mount', '/dev/lun', '/mnt')
        check_equal(one.run('ls', '/mnt').stdout.split(), ['a', 'lost+found'], 'nothing of it arrived')


def test_nothing_is_left():
    """Killed in the middle: no host, mount, loop device or process stays."""
    code = ('import sys; sys.path.insert(0, sys.argv[1]); import csvrig; csvrig.private_mounts()\n'
            'with csvrig.rig(2, label="-killed") as rig:\n'
            '    rig.node(1).run("mkfs.ext4", "-q", "/dev/lun"); rig.node(1).run("mount", "/dev/lun", "/mnt")\n'
            '    print(rig.lab.name, rig.san.process.pid, *(n.device[1] for n in rig.nodes), flush=True); sys.stdin.read()')
    process = subprocess.Popen(['/usr/bin/python3', '-B', '-c', code, csvrig.HERE], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               text=True)
    name, san, *minors = process.stdout.readline().split()
    process.kill()
    process.wait()
    eventually(lambda: not os.path.exists(f'/proc/{san}'), 10, 'the SAN ends')
    eventually(lambda: not csvrig.labctl.is_alive(name), 30, 'the lab ends')
    for minor in minors:
        eventually(lambda m=minor: not os.path.exists(f'/sys/block/loop{m}/loop'), 10, f'loop{minor} is gone')
    eventually(lambda: not os.path.exists(csvrig.labctl.run_dir(name)), 10, 'its directory is gone')


main(test_paths, test_hang, test_cache, test_hosts, test_nothing_is_left)
