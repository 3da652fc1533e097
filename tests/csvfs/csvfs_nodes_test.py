#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What one node does, the other sees at once: contents, sizes, names, attributes, locks. The same list runs first with two
processes on one local file system: what holds there must hold between nodes."""
import ast
import contextlib
import select
import signal
import subprocess
import sys

import csvrig
from labtest import check, check_equal, eventually, main

AGENT = r"""
import errno, fcntl, mmap, os, struct, subprocess, sys
fds = {}
def op(name, path, flags='rw', mode=0o644):
    how = {'rw': os.O_RDWR, 'ro': os.O_RDONLY, 'new': os.O_RDWR | os.O_CREAT | os.O_EXCL, 'creat': os.O_RDWR | os.O_CREAT,
           'app': os.O_WRONLY | os.O_APPEND, 'trunc': os.O_RDWR | os.O_TRUNC, 'direct': os.O_RDWR | os.O_DIRECT}[flags]
    fds[name] = os.open(path, how, mode)
def cl(name): os.close(fds.pop(name))
def wr(name, data, at): return os.pwrite(fds[name], data, at)
def rd(name, size, at): return os.pread(fds[name], size, at)
def put(path, data, flags='creat'):
    op('_', path, flags); os.write(fds['_'], data); cl('_')
def get(path):
    op('_', path, 'ro'); data = os.read(fds['_'], 1 << 22); cl('_'); return data
def st(path): s = os.lstat(path); return {'size': s.st_size, 'mode': s.st_mode & 0o7777, 'nlink': s.st_nlink, 'uid': s.st_uid}
def fst(name): s = os.fstat(fds[name]); return {'size': s.st_size, 'nlink': s.st_nlink}
def lk(name, cmd, kind, start=0, length=0):
    fcntl.fcntl(fds[name], cmd, struct.pack('hhqqi4x', kind, 0, start, length, 0))
def posix(name, kind, start=0, length=0, wait=False): lk(name, fcntl.F_SETLKW if wait else fcntl.F_SETLK, kind, start, length)
def ofd(name, kind, start=0, length=0, wait=False): lk(name, 38 if wait else 37, kind, start, length)
def getlk(name, kind, start=0, length=0, cmd=fcntl.F_GETLK):
    r = struct.unpack('hhqqi4x', fcntl.fcntl(fds[name], cmd, struct.pack('hhqqi4x', kind, 0, start, length, 0)))
    return 'free' if r[0] == 2 else (r[0], r[2], r[3])
def flock(name, how): fcntl.flock(fds[name], how)
def mwrite(path, data, at):
    op('_', path)
    m = mmap.mmap(fds['_'], 0); m[at:at + len(data)] = data; m.flush(); m.close(); cl('_')
def mread(path, size, at):
    op('_', path)
    m = mmap.mmap(fds['_'], 0, prot=mmap.PROT_READ); data = m[at:at + size]; m.close(); cl('_'); return data
def dwrite(name, fill, size, at):
    m = mmap.mmap(-1, size); m.write(bytes([fill]) * size); return os.pwritev(fds[name], [m], at)
def race(prefix, n):
    won = []
    for i in range(n):
        try:
            os.close(os.open(prefix + str(i), os.O_CREAT | os.O_EXCL | os.O_WRONLY)); won.append(i)
        except FileExistsError:
            pass
    return won
def appends(path, who, n):
    op('_', path, 'app')
    for i in range(n): os.write(fds['_'], b'%s%04d\n' % (who, i))
    cl('_')
def stripes(path, first, n, size):
    op('_', path)
    for i in range(first, n, 2): os.pwrite(fds['_'], bytes([1 + i % 250]) * size, i * size)
    cl('_')
def counted(path, n, kind):
    op('_', path)
    for i in range(n):
        if kind == 'flock': flock('_', fcntl.LOCK_EX)
        elif kind == 'ofd': ofd('_', 1, 0, 8, True)
        else: posix('_', 1, 0, 8, True)
        value = int(os.pread(fds['_'], 8, 0) or b'0') + 1
        os.pwrite(fds['_'], b'%08d' % value, 0)
        if kind == 'flock': flock('_', fcntl.LOCK_UN)
        elif kind == 'ofd': ofd('_', 2, 0, 8)
        else: posix('_', 2, 0, 8)
    cl('_')
def collapses(path):
    # FUSE lets no file system do it: then there is nothing to compare.
    r = subprocess.run(['fallocate', '-c', '-o', '0', '-l', '65536', path], capture_output=True, text=True)
    assert not r.returncode or 'not supported' in r.stderr, r.stderr
    return not r.returncode
def falloc(*words): subprocess.run(['fallocate', *words], check=True)
os.chdir(sys.argv[1])
print('ready', flush=True)
for line in sys.stdin:
    try:
        try:
            r = eval(line)
        except SyntaxError:
            r = exec(line)
        print(repr(r), flush=True)
    except OSError as e:
        print(repr('!' + errno.errorcode[e.errno]), flush=True)
"""
ANSWER_S = 60
READ, WRITE, UNLOCK = 0, 1, 2


class Agent:
    """A process on a node that does what it is told; an errno comes as '!NAME'."""

    def __init__(self, place, command=None):
        argv = ['/usr/bin/python3', '-u', '-c', AGENT, place]
        self.process = subprocess.Popen(command(*argv) if command else argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.line()

    def line(self):
        if not select.select([self.process.stdout], [], [], ANSWER_S)[0]:
            raise csvrig.LabError('an agent does not answer')
        text = self.process.stdout.readline()
        if not text:
            raise csvrig.LabError('an agent ended')
        return text

    def begin(self, text):
        self.process.stdin.write(text + '\n')
        self.process.stdin.flush()

    def end(self):
        return ast.literal_eval(self.line())

    def __call__(self, text):
        self.begin(text)
        return self.end()

    def answered(self):
        return bool(select.select([self.process.stdout], [], [], 0)[0])

    def kill(self):
        """By itself: on a node, `process` is only what entered its namespaces."""
        with contextlib.suppress(OSError):
            self.begin('os.kill(os.getpid(), 9)')
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def close(self):
        with contextlib.suppress(BrokenPipeError):  # of one that has ended by itself
            self.process.stdin.close()
        self.process.wait()


# --- the list: each gets agents a and b, and c beside b

def contents(a, b, _c):
    a('put("f", b"hello")')
    check_equal(b('get("f")'), b'hello', 'b reads what a wrote')
    b('op("f", "f")')
    b('wr("f", b"WORLD", 3)')
    check_equal(a('get("f")'), b'helWORLD', 'a reads what b wrote')
    a('op("f", "f")')
    for i in range(20):
        a(f'wr("f", b"{i:05d}", 0)')
        check_equal(b('rd("f", 5, 0)'), b'%05d' % i, 'open on both: b reads')
        b(f'wr("f", b"{i:05d}", 100)')
        check_equal(a('rd("f", 5, 100)'), b'%05d' % i, 'open on both: a reads')
    check_equal(a('fst("f")')['size'], 105, 'size')


def sizes(a, b, _c):
    a('put("f", b"x" * 10000)')
    b('op("f", "f")')
    check_equal(b('fst("f")')['size'], 10000, 'size')
    a('os.truncate("f", 100)')
    check_equal(b('fst("f")')['size'], 100, 'after truncate')
    check_equal(b('rd("f", 1000, 50)'), b'x' * 50, 'read up to the new end')
    b('os.ftruncate(fds["f"], 5000)')
    check_equal(a('get("f")'), b'x' * 100 + bytes(4900), 'zeros behind the old end')
    a('put("f", b"", "trunc")')
    check_equal(b('rd("f", 10, 0)'), b'', 'O_TRUNC')
    a('op("f", "f")')
    for i in range(10):
        b(f'wr("f", b"b", {i} * 1000)')
        check_equal(a('fst("f")')['size'], i * 1000 + 1, 'extended by b')


def names(a, b, _c):
    for i in range(10):
        check_equal(b(f'st("n{i}")'), '!ENOENT', 'not there')
        a(f'put("n{i}", b"x")')
        check_equal(b(f'st("n{i}")')['size'], 1, 'there at once')
        b(f'os.rename("n{i}", "m{i}")')
        check_equal(a(f'st("n{i}")'), '!ENOENT', 'renamed away')
        check_equal(a(f'st("m{i}")')['size'], 1, 'renamed')
        a(f'os.unlink("m{i}")')
        check_equal(b(f'st("m{i}")'), '!ENOENT', 'gone at once')
    a('os.mkdir("d")')
    check_equal(b('os.listdir("d")'), [], 'empty')
    b('put("d/x", b"")')
    check_equal(a('os.listdir("d")'), ['x'], 'listed')
    check_equal(a('os.rmdir("d")'), '!ENOTEMPTY', 'not empty')
    b('os.unlink("d/x")')
    check_equal(a('os.rmdir("d")'), None, 'removed')
    check_equal(b('put("d/y", b"")'), '!ENOENT', 'in a removed directory')
    a('os.mkdir("d")')
    b('os.symlink("one", "l")')
    check_equal(a('os.readlink("l")'), 'one', 'link')
    a('os.unlink("l")')
    a('os.symlink("two", "l")')
    check_equal(b('os.readlink("l")'), 'two', 'another link')
    a('put("h", b"1")')
    b('os.link("h", "h2")')
    check_equal(a('st("h")')['nlink'], 2, 'links')


def attributes(a, b, _c):
    a('put("f", b"x")')
    for mode in (0o600, 0o644, 0o751):
        check(b('st("f")'), 'cached')
        a(f'os.chmod("f", {mode})')
        check_equal(b('st("f")')['mode'], mode, 'chmod')
        b('os.chown("f", 1234, 5)')
        check_equal(a('st("f")')['uid'], 1234, 'chown')
        a('os.chown("f", 0, 0)')
    a('os.utime("f", (10, 20))')
    check_equal(b('os.stat("f").st_mtime'), 20.0, 'times')
    b('op("f", "f")')
    b('wr("f", b"y", 0)')
    b('os.fsync(fds["f"])')
    check(a('os.stat("f").st_mtime') > 20, 'mtime after fsync on the other node')
    a('os.setxattr("f", "user.a", b"1")')
    check_equal(b('os.getxattr("f", "user.a")'), b'1', 'attribute')
    b('os.setxattr("f", "user.a", b"22")')
    check_equal(a('os.getxattr("f", "user.a")'), b'22', 'changed attribute')


def unlinked(a, b, _c):
    a('put("f", b"old" * 1000)')
    a('op("f", "f")')
    b('os.unlink("f")')
    check_equal(a('fst("f")')['nlink'], 0, 'no name')
    check_equal(a('rd("f", 3, 300)'), b'old', 'still readable')
    check_equal(a('wr("f", b"new", 300)'), 3, 'still writable')
    b('put("f", b"another")')
    check_equal(a('rd("f", 3, 300)'), b'new', 'not the new file')
    check_equal(b('get("f")'), b'another', 'not the old file')
    a('cl("f")')
    a('op("g", "f")')
    b('put("tmp", b"over")')
    b('os.rename("tmp", "f")')
    check_equal(a('rd("g", 10, 0)'), b'another', 'renamed over while open')
    check_equal(a('get("f")'), b'over', 'by name')
    check_equal(b('os.listdir(".")'), ['f'], 'nothing else is visible')


def races(a, b, _c):
    a.begin('race("r", 200)')
    b.begin('race("r", 200)')
    won = a.end() + b.end()
    check_equal(sorted(won), list(range(200)), 'each name was created once')
    a('put("log", b"")')
    a.begin('appends("log", b"a", 200)')
    b.begin('appends("log", b"b", 200)')
    a.end()
    b.end()
    lines = a('get("log")').splitlines()
    check_equal(sorted(lines), sorted([b'a%04d' % i for i in range(200)] + [b'b%04d' % i for i in range(200)]), 'appended lines')
    check_equal([line for line in lines if line[:1] == b'a'], [b'a%04d' % i for i in range(200)], 'in order')


def neighbours(a, b, _c):
    """Partial sectors of the same sector from both sides [I7]."""
    for size in (100, 64, 512, 1000):
        n = 400
        a(f'put("s{size}", bytes({n * size}))')
        a.begin(f'stripes("s{size}", 0, {n}, {size})')
        b.begin(f'stripes("s{size}", 1, {n}, {size})')
        a.end()
        b.end()
        want = b''.join(bytes([1 + i % 250]) * size for i in range(n))
        for agent in (a, b):
            got = agent(f'get("s{size}")')
            wrong = [i for i in range(n) if got[i * size:(i + 1) * size] != want[i * size:(i + 1) * size]]
            check_equal(wrong, [], f'stripes of {size} bytes that were lost')


def mapped(a, b, _c):
    a('put("f", b"x" * 20000)')
    b('mwrite("f", b"from b", 5000)')
    check_equal(a('get("f")')[5000:5006], b'from b', 'a reads what b mapped')
    check_equal(a('mread("f", 6, 5000)'), b'from b', 'a maps what b mapped')
    for i in range(10):
        a(f'mwrite("f", b"{i:06d}", 5000)')
        check_equal(b('mread("f", 6, 5000)'), b'%06d' % i, 'close to open')
        b(f'put("f", b"{i:06d}")')
        check_equal(a('mread("f", 6, 0)'), b'%06d' % i, 'written by write, then mapped')


def holes(a, b, _c):
    a('put("f", b"x" * 400000)')
    b('op("f", "f")')
    check_equal(b('rd("f", 5, 100000)'), b'xxxxx', 'data')
    a('op("f", "f")')
    a('falloc("-p", "-o", "65536", "-l", "131072", "f")')
    check_equal(b('rd("f", 5, 100000)'), bytes(5), 'punched')
    b('wr("f", b"again", 100000)')
    check_equal(a('rd("f", 7, 99999)'), b'\0again\0', 'written into the hole')
    if a('collapses("f")'):
        check_equal(b('rd("f", 5, 100000 - 65536)'), b'again', 'collapsed')
        check_equal(b('fst("f")')['size'], 400000 - 65536, 'size')


def direct(a, b, _c):
    a('put("f", b"x" * 100000)')
    a('op("d", "f", "direct")')
    b('op("f", "f")')
    for i in range(1, 20):
        a(f'dwrite("d", {i}, 4096, 8192)')
        check_equal(b('rd("f", 2, 8192)'), bytes([i, i]), 'direct write, buffered read')
        b(f'wr("f", b"{i:03d}", 9000)')
        check_equal(a('get("f")')[9000:9003], b'%03d' % i, 'partial sector of the other node')
    check_equal(a('get("f")')[8192:8194], bytes([19, 19]), 'the rest of the sector')


def locks(a, b, c):
    a('put("f", b"x" * 1000)')
    for agent in (a, b, c):
        agent('op("f", "f")')
    for kind in ('posix', 'ofd'):
        check_equal(a(f'{kind}("f", {WRITE}, 0, 100)'), None, f'{kind}: a has it')
        check(b(f'{kind}("f", {WRITE}, 50, 10)') in ('!EAGAIN', '!EACCES'), f'{kind}: b has not')
        check_equal(b(f'{kind}("f", {WRITE}, 100, 10)'), None, f'{kind}: another range')
        check_equal(b(f'getlk("f", {READ}, 0, 1)'), (WRITE, 0, 100), f'{kind}: who is in the way')
        check_equal(a(f'{kind}("f", {READ}, 0, 100)'), None, f'{kind}: down')
        check_equal(b(f'{kind}("f", {READ}, 0, 100)'), None, f'{kind}: shared')
        check(a(f'{kind}("f", {WRITE}, 0, 100)') in ('!EAGAIN', '!EACCES'), f'{kind}: not up while shared')
        check_equal(b(f'{kind}("f", {UNLOCK})'), None, f'{kind}: unlock')
        check_equal(a(f'{kind}("f", {WRITE}, 0, 100)'), None, f'{kind}: up')
        b.begin(f'{kind}("f", {WRITE}, 0, 10, True)')
        check_equal(c(f'getlk("f", {WRITE}, 0, 1)'), (WRITE, 0, 100), f'{kind}: a has it still')
        check(not b.answered(), f'{kind}: b waits')
        check_equal(a(f'{kind}("f", {UNLOCK})'), None, f'{kind}: unlock')
        check_equal(b.end(), None, f'{kind}: b is woken')
        check_equal(b(f'{kind}("f", {UNLOCK})'), None, f'{kind}: unlock')
        check_equal(a(f'getlk("f", {WRITE})'), 'free', f'{kind}: free')
    check_equal(a('flock("f", fcntl.LOCK_EX)'), None, 'flock: a has it')
    check_equal(b('flock("f", fcntl.LOCK_SH | fcntl.LOCK_NB)'), '!EAGAIN', 'flock: b has not')
    check_equal(b(f'posix("f", {WRITE})'), None, 'flock and POSIX do not see each other')
    b.begin('flock("f", fcntl.LOCK_EX)')
    check_equal(c('flock("f", fcntl.LOCK_EX | fcntl.LOCK_NB)'), '!EAGAIN', 'flock: held')
    check(not b.answered(), 'flock: b waits')
    a('cl("f")')
    check_equal(b.end(), None, 'flock: woken by close')
    check_equal(c(f'posix("f", {WRITE}) '), '!EAGAIN', 'b has the POSIX lock')
    c.begin(f'posix("f", {WRITE}, 0, 0, True)')
    a('op("f", "f")')
    check_equal(a(f'getlk("f", {WRITE})'), (WRITE, 0, 0), 'held by b')
    b('cl("f")')
    check_equal(c.end(), None, 'woken by close')


def locked_counters(a, b, c):
    for kind in ('posix', 'ofd', 'flock'):
        a('put("n", b"%08d" % 0)')
        for agent in (a, b, c):
            agent.begin(f'counted("n", 100, "{kind}")')
        for agent in (a, b, c):
            agent.end()
        check_equal(b('get("n")'), b'%08d' % 300, f'counted under {kind} locks')


def locks_of_the_dead(a, b, c):
    a('put("f", b"x")')
    for agent in (a, b, c):
        agent('op("f", "f")')
    c(f'ofd("f", {WRITE})')
    c('flock("f", fcntl.LOCK_EX)')
    b.begin(f'ofd("f", {WRITE}, 0, 0, True)')
    check_equal(a(f'getlk("f", {WRITE})'), (WRITE, 0, 0), 'held')
    c.kill()
    check_equal(b.end(), None, 'woken by the end of the process')
    check_equal(a('flock("f", fcntl.LOCK_EX)'), None, 'its flock is gone')


LIST = [contents, sizes, names, attributes, unlinked, races, neighbours, mapped, holes, direct, locks, locked_counters,
        locks_of_the_dead]


def run_list(place_a, place_b, command_a=None, command_b=None):
    subprocess_run = (lambda argv, command: subprocess.run(command(*argv) if command else argv, check=True))
    for case in LIST:
        name = f't-{case.__name__}'
        subprocess_run(['mkdir', f'{place_a}/{name}'], command_a)
        with contextlib.ExitStack() as stack:
            agents = []
            for place, command in ((place_a, command_a), (place_b, command_b), (place_b, command_b)):
                agents.append(Agent(f'{place}/{name}', command))
                stack.callback(agents[-1].close)
            try:
                case(*agents)
            except (csvrig.LabError, BrokenPipeError, TypeError) as e:
                check(False, f'{case.__name__}: {e}')
                for agent in agents:
                    agent.kill()
        print(f'  {case.__name__}', flush=True)
    print(f'{len(LIST)} lists')


def test_on_one_file_system():
    csvrig.private_mounts()
    with csvrig.local_file_systems(1) as (place,):
        run_list(place, place)


def test_between_nodes():
    if not csvrig.have_programs():
        return
    csvrig.private_mounts()
    with csvrig.rig(3) as rig:
        rig.start()
        for a, b in ((1, 2), (2, 3)):
            print(f'node{a} and node{b}, the owner is {rig.owner_node.name}')
            rig.node(a).run('mkdir', f'{csvrig.MOUNT}/{a}{b}')
            place = f'{csvrig.MOUNT}/{a}{b}'
            run_list(place, place, rig.node(a).command, rig.node(b).command)
        rig.stop()
        check_equal(rig.fsck(), '', 'fsck')


def test_given_up_while_it_lives():
    """The owner is told that a node is fenced which is not: what it had is lost to it, and nobody else is harmed [I5]."""
    if not csvrig.have_programs():
        return
    csvrig.private_mounts()
    with csvrig.rig(2) as rig:
        rig.start()
        node = rig.node(2)
        a, b = (Agent(csvrig.MOUNT, n.command) for n in rig.nodes)
        for name in ('locked', 'plain'):
            b(f'op("{name}", "{name}", "creat")')
            for at in range(0, 8 << 20, 1 << 20):
                b(f'wr("{name}", b"1" * (1 << 20), {at})')
            for at in range(0, 8 << 20, 1 << 20):
                b(f'wr("{name}", b"2" * (1 << 20), {at})')
        check_equal(b(f'ofd("locked", {WRITE})'), None, 'b has the lock')
        before = node.status('client')
        check(before['direct_written_bytes'] >= 8 << 20, f'b writes by leases: {before}')
        rig.fenced(node, node.incarnation)
        eventually(lambda: node.status('client')['pauses'] > before['pauses'], 30, 'b hears of it')
        node.wait_client()
        # The lock, and the blocks that b had leases of, become somebody else's.
        a('op("locked", "locked", "rw")')
        check_equal(a(f'ofd("locked", {WRITE})'), None, 'the lock is free')
        for name in ('locked', 'plain'):
            a(f'put("{name}", b"", "trunc")')
        for at in range(0, 64):
            a(f'put("other{at}", b"o" * (1 << 20))')
        a('os.sync()')
        check_equal(b('wr("locked", b"S" * 4096, 0)'), '!EIO', 'an open file whose lock was lost')
        check_equal(b('rd("locked", 1, 0)'), '!EIO', 'an open file whose lock was lost')
        check_equal(b(f'ofd("locked", {WRITE})'), '!EIO', 'it gets no lock any more')
        check_equal(b('wr("plain", b"S" * (1 << 20), 0)'), 1 << 20, 'an open file without locks goes on')
        check_equal(a('sum(get(f"other{k}").count(b"S") for k in range(64))'), 0, 'bytes of other files that b has written')
        check_equal(a('get("plain")[:3]'), b'SSS', 'what it wrote is there')
        b('cl("locked")')
        b('op("locked", "locked")')
        check_equal(b(f'ofd("locked", {WRITE})'), '!EAGAIN', 'opened anew: the lock is a\'s')
        check_equal(b('wr("locked", b"S", 0)'), 1, 'opened anew')
        for agent in (a, b):
            agent.close()
        rig.stop()
        check_equal(rig.fsck(), '', 'fsck')


def test_closed_without_an_owner():
    """What a node closes while it has no owner for too long is closed, and unlocked, when the same owner is there again."""
    if not csvrig.have_programs():
        return
    csvrig.private_mounts()
    with csvrig.rig(2) as rig:
        node = rig.node(2)
        node.client_options = ['--pause-max', '1000']
        rig.start()
        a, b = (Agent(csvrig.MOUNT, n.command) for n in rig.nodes)
        for kind in ('posix', 'ofd'):
            b(f'op("{kind}", "{kind}", "creat")')
            check_equal(b(f'{kind}("{kind}", {WRITE})'), None, 'b has the lock')
        rig.epoch += 1  # it is told of one whom nobody is
        node.ctl('client', 'set-owner', rig.epoch, 1, f'{rig.owner_node.address}:{csvrig.PORT + 1}')
        node.wait_client(('unavailable',))
        check_equal(b('op("new", "new", "creat")'), '!EIO', 'an open file without an owner')
        for kind in ('posix', 'ofd'):
            b(f'cl("{kind}")')
        eventually(lambda: node.status('client')['handles'] == 0, 10, 'b has closed all')
        node.tell_owner()
        eventually(lambda: rig.owner_node.status('owner')['handles'] == 0, 30, 'all is closed at the owner')
        for kind in ('posix', 'ofd'):
            a(f'op("{kind}", "{kind}")')
            check_equal(a(f'{kind}("{kind}", {WRITE})'), None, 'the lock is free')
        for agent in (a, b):
            agent.close()
        rig.stop()
        check_equal(rig.fsck(), '', 'fsck')


if __name__ == '__main__':
    sys.exit(main(test_on_one_file_system, test_between_nodes, test_given_up_while_it_lives, test_closed_without_an_owner))
