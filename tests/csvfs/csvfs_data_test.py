#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The path of data in csvfs: what is allocated, what goes straight to the device, mappings, a change of the owner."""
import os
import signal
import sys

import csvrig
from csvfs_nodes_test import Agent
from labtest import check, check_equal, eventually, main

KIB, MIB = 1 << 10, 1 << 20
CASES = os.environ.get('CSVFS_DATA_CASES', '').split()  # all when empty


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


def page_in_the_way(rig, a, b):
    """The kernel of a node has a page of the device that it cannot let go, as of a block that was the file system's own before it
    became a file's. By it a direct write of one sector writes all of the page, and takes back what others wrote beside it."""
    tag = os.urandom(16).hex().encode()
    b(f'put("f", {tag!r}.ljust(4096, b"o") * 16)')
    found = rig.node(2).run('sh', '-c', f'dd if=/dev/lun bs=1M iflag=direct status=none | grep -abom1 {tag.decode()}').stdout
    at = int(found.split(':')[0])
    a(f'fds["lun"] = os.open("/dev/lun", os.O_RDONLY); fds["r"], fds["w"] = os.pipe(); '
      f'os.splice(fds["lun"], fds["w"], 4096, offset_src={at})')
    b('op("f", "f"); wr("f", b"n" * 512, 512); cl("f")')
    a('op("f", "f")')

    def one_sector():
        for _ in range(4):
            a('wr("f", b"s" * 512, 0)')
    check_equal(counted(rig.node(2), 'direct_written_bytes', one_sector), 0, 'bytes straight to a block with a page in the way')
    b('op("f", "f")')
    check_equal(b('rd("f", 2048, 0)'), b's' * 512 + b'n' * 512 + b'o' * 1024, 'what two nodes wrote side by side')
    a('cl("lun"); cl("r"); cl("w")')
    eventually(lambda: counted(rig.node(2), 'redirected_written_bytes', one_sector) == 0, 10, 'direct when it is gone')
    for agent in (a, b):
        agent('cl("f")')


THREADS = """
import threading
went = []
def run(k):
    work(k)
    went.append(k)
them = [threading.Thread(target=run, args=(k,)) for k in range(threads)]
for t in them: t.start()
for t in them: t.join()
assert len(went) == threads
"""


def with_threads(agent, work, **names):
    """Runs work(k) in `threads` threads of the agent."""
    check_equal(agent(f'exec({work + THREADS!r}, globals() | {names!r})'), None, 'threads that write')


STRIPES = """
def work(k):
    for i in range(k, n, threads): wr("f", bytes([1 + i % 250]) * size, i * size)
"""
RESIZED = """
def work(k):
    for i in range(n):
        if k == threads - 1: os.ftruncate(fds["f"], size * (1 + i % 2))
        else:
            at = (i * (threads - 1) + k) * 100
            wr("f", bytes([1 + i % 250]) * 100, at)
            wr("f", bytes([1 + i % 250]) * 100, size + at)
"""
APPENDS = """
def work(k):
    fd = os.open("f", os.O_WRONLY | os.O_APPEND)
    for i in range(n): os.write(fd, b"%d %04d %s\\n" % (k, i, b"x" * (i % 97)))
    os.close(fd)
"""


def in_parallel(_rig, a, b):
    """Threads that write to one file at a time: partial sectors side by side, behind its end, at its end, while it is cut off."""
    for size, n, made in ((100, 400, True), (100, 400, False), (512, 400, False), (1000, 400, True), (5000, 400, True),
                          (5000, 400, False), (65536, 40, True), (69632, 40, True)):
        a(f'op("f", "f", "creat"); os.ftruncate(fds["f"], 0); wr("f", bytes({n * size if made else 0}), 0)')
        with_threads(a, STRIPES, n=n, size=size, threads=8)
        for agent in (a, b):
            got = agent('get("f")')
            wrong = [i for i in range(n) if got[i * size:(i + 1) * size] != bytes([1 + i % 250]) * size]
            check_equal((wrong, len(got)), ([], n * size), f'stripes of {size} bytes that were lost, and the size')
        a('cl("f")')
    a('op("f", "f", "creat"); wr("f", bytes(2 << 20), 0)')
    with_threads(a, RESIZED, n=200, size=MIB, threads=5)
    got = b('get("f")')
    wrong = [i * 100 for i in range(4 * 200) if got[i * 100:i * 100 + 100] != bytes([1 + i // 4 % 250]) * 100]
    check_equal(wrong, [], 'places below every end where something was lost')
    wrong = [i * 100 for i in range(4 * 200) if set(got[MIB + i * 100:MIB + i * 100 + 100]) - {0, 1 + i // 4 % 250}]
    check_equal(wrong, [], 'places above an end where there is neither what was written nor nothing')
    a('os.ftruncate(fds["f"], 0); cl("f")')
    with_threads(a, APPENDS, n=100, threads=6)
    lines = b('get("f")').splitlines()
    for k in range(6):
        check_equal([line for line in lines if line.startswith(b'%d ' % k)],
                    [b'%d %04d ' % (k, i) + b'x' * (i % 97) for i in range(100)], 'appended lines of one thread')
    check_equal(len(lines), 600, 'appended lines')


LARGE = """
def work(k):
    for i in range(turns):
        for at in range(k, n, threads): wr("f", bytes([1 + (at + i) % 250]) * MIB, at * MIB)
        assert rd("f", MIB, k * MIB) == bytes([1 + (k + i) % 250]) * MIB
"""


def large_at_a_time(rig, a, b):
    """More large writes of a node at a time than csvfs gives to the device without a thread; with its path to the device, without
    it, and while that goes."""
    n, turns, node = 24, 10, rig.node(2)
    every = f'[wr("f", bytes({MIB}), k * {MIB}) for k in range({n})] and None'
    a(f'op("f", "f", "creat"); {every}')
    b('op("f", "f")')
    # One lease is asked for at a time, and who needs another one then goes through the owner.
    eventually(lambda: not counted(node, 'redirected_written_bytes', lambda: a(every)), 20, 'all is lent')

    def written(going=lambda: None):
        text = LARGE + THREADS
        a.begin(f'exec({text!r}, globals() | {dict(n=n, turns=turns, threads=12, MIB=MIB)!r})')
        going()
        check_equal(a.end(), None, 'threads that write')
        for agent in (a, b):
            check_equal(agent(f'[k for k in range({n}) if rd("f", {MIB}, k * {MIB}) != bytes([(k + {turns}) % 250]) * {MIB}]'), [],
                        'MiB of the file that were lost')
    straight = counted(node, 'direct_written_bytes', written)
    check_equal(straight, n * turns * MIB, 'bytes straight to the device')
    before = node.status('client')['direct_written_bytes']
    written(lambda: (eventually(lambda: node.status('client')['direct_written_bytes'] > before, 20, 'it writes'), node.path('error')))
    written()
    node.path('up')
    node.wait_client()
    for agent in (a, b):
        agent('cl("f")')


def while_another_waits(rig, a, _b):
    """A write that waits for the owner is in nobody else's way."""
    a(f'op("f", "f", "creat"); wr("f", bytes({MIB}), 0); wr("f", bytes({MIB}), 0); os.ftruncate(fds["f"], {640 * MIB})')
    a('wr("f", b"1" * 4096, 0)')
    owner = rig.owner_node
    rig.lab.ask('stop', host=owner.name, process='csvfs-owner')
    try:
        a(f'import threading; t = threading.Thread(target=wr, args=("f", b"waits", {512 * MIB})); t.start()')
        a('names = [threading.Thread(target=os.path.exists, args=("../absent-%d" % k,)) for k in range(60)]; [n.start() for n in names]')
        check_equal(a('wr("f", b"2" * 4096, 0)'), 4096, 'what is lent is written meanwhile')
        check_equal(a('rd("f", 1, 0) + rd("f", 1, 4095)'), b'22', 'and read')
        check_equal(a('t.is_alive() and all(n.is_alive() for n in names)'), True, 'the others wait')
    finally:
        rig.lab.ask('cont', host=owner.name, process='csvfs-owner')
        owner.owner.send_signal(signal.SIGCONT)  # nsenter stops with its child, and would not reap it
    a('t.join(); [n.join() for n in names]')
    check_equal(a(f'rd("f", 5, {512 * MIB})'), b'waits', 'and is written then')
    a('cl("f")')


def mapped_alone(_rig, a, b):
    """What one node stores is there for the other's first read, without msync; and is not written when it has been cut off."""
    a('op("f", "f", "creat"); wr("f", bytes(20000), 0); wr("f", bytes(4096), 0)')
    a('m = mmap.mmap(fds["f"], 20000); m[0:5] = b"store"; m[19990:20000] = b"at the end"')
    check_equal(b('get("f")[:5]'), b'store', 'read by the other node')
    check_equal(b('get("f")[19990:]'), b'at the end', 'the end')
    a('wr("f", b"written", 4096)')
    check_equal(a('m[4096:4103]'), b'written', 'written and mapped on one node')
    a('m[4096:4103] = b"mapped!"')
    check_equal(a('rd("f", 7, 4096)'), b'mapped!', 'mapped and read on one node')
    b('os.truncate("f", 4096)')
    check_equal(a('fst("f")')['size'], 4096, 'cut off by the other node')
    a('m[0:5] = b"again"; m.flush(0, 4096); m.close()')
    check_equal(b('get("f")')[:5], b'again', 'after msync')
    check_equal(b('st("f")')['size'], 4096, 'pages behind the end do not make it longer')
    a('cl("f"); op("g", "g", "creat"); wr("g", bytes(5000), 0); m = mmap.mmap(fds["g"], 5000); m[4000:4005] = b"small"')
    check_equal(b('get("g")[4000:4005]'), b'small', 'a small file')
    a('m.close(); cl("g")')


def mapped_by_two(_rig, a, b):
    for agent in (a, b):
        agent('op("f", "f", "creat")')
    a('wr("f", bytes(16384), 0)')
    for agent in (a, b):
        agent('m = mmap.mmap(fds["f"], 16384); m[0]')
    for i in range(5):
        for one, other in ((a, b), (b, a)):
            one('posix("f", 1, 0, 0, True)')
            one(f'm[100:105] = b"{i:05d}"; m[5000:5005] = b"{i:05d}"; posix("f", 2)')
            other('posix("f", 1, 0, 0, True)')
            check_equal(other('m[100:105] + m[5000:5005]'), b'%05d' % i * 2, 'stored under a lock, seen under the next one')
            check_equal(other('rd("f", 5, 5000)'), b'%05d' % i, 'and read')
            other(f'wr("f", b"w{i:04d}", 5000)')
            check_equal(other('m[5000:5005]'), b'w%04d' % i, 'written here')
            other('posix("f", 2)')
            one('posix("f", 0, 0, 0, True)')
            check_equal(one('m[5000:5005]'), b'w%04d' % i, 'written under a lock, seen in the mapping under the next one')
            one('posix("f", 2)')
    # Without a lock it takes until the file is looked at again.
    b('wr("f", b"no lock", 9000)')
    eventually(lambda: a('m[9000:9007]') == b'no lock', 20, 'a sees in its mapping what b has written')
    a('m[9000:9007] = b"a store"; m.flush()')
    eventually(lambda: b('m[9000:9007]') == b'a store', 20, 'b sees in its mapping what a has synced')
    a('m.close(); cl("f")')
    b('m.close(); cl("f")')


def mapped_and_alone_again(rig, a, b):
    """Who has the file for itself again has pages from before, of which nobody has asked it: a lock drops them all the same."""
    far = 48 * MIB
    a(f'op("f", "f", "creat"); [wr("f", bytes({MIB}), k) for k in (0, {far})]; m = mmap.mmap(fds["f"], {far + MIB})')
    for i in range(5):
        b('op("f", "f"); [wr("f", bytes(65536), 0) for _ in range(3)]')
        rig.node(2).ctl('client', 'redirect', 'on')
        check_equal(a('m[0:5]'), bytes(5), 'a page while the other node uses the file, too')
        b(f'wr("f", b"{i:05d}" + bytes(4091), 0); cl("f")')
        rig.node(2).ctl('client', 'redirect', 'off')
        a(f'm[{far + i * 131072}]')
        a('posix("f", 1, 0, 0, True)')
        check_equal(a('m[0:5]'), b'%05d' % i, f'written before the lock was got, {i}')
        a('posix("f", 2)')
    a('m.close(); cl("f")')


STORES = """
op("f", "f")
m = mmap.mmap(fds["f"], 262144)
for i in range(n):
    m[k + i % 8 * 8192] = 1 + i % 255
    m[k + 65536 + i % 8 * 8192] = i % 100
    wr("f", bytes([1 + i % 255]), k + 300 + i % 8 * 8192)
m.flush()
m.close()
cl("f")
"""


def mapped_while_written(_rig, a, b):
    """Pages are dropped for recalls while both sides write and store: nobody waits for himself, nothing is lost."""
    a(f'put("f", bytes({256 * KIB}))')
    n = 300
    for k, agent in ((0, a), (4096, b)):
        agent.begin(f'exec({STORES!r}, globals() | {{"k": {k}, "n": {n}}})')
    for agent in (a, b):
        check_equal(agent.end(), None, 'stores and writes')
    last = [1 + i % 255 for i in range(n - 8, n)]
    for agent in (a, b):
        got = agent('get("f")')
        for k in (0, 4096):
            for i in range(n - 8, n):
                at = k + i % 8 * 8192
                check_equal((got[at], got[at + 300]), (last[i - n + 8],) * 2, f'byte {at} and {at + 300}')


INSERTS = """
import sqlite3, sys
c = sqlite3.connect("db", timeout=50, isolation_level=None)
for i in range(100):
    c.execute("begin immediate")
    n = c.execute("select count(*) from t").fetchone()[0]
    c.execute("insert into t values(?, ?)", (n, sys.argv[1] * 500))
    c.execute("commit")
"""


def sqlite(_rig, a, b):
    """A database in WAL mode, from processes of one node; then from the other node."""
    a('import sqlite3; c = sqlite3.connect("db", timeout=50)')
    check_equal(a('c.execute("pragma journal_mode=wal").fetchone()'), ('wal',), 'WAL mode')
    a('c.execute("create table t(a, b)"); c.commit(); c.close()')
    a(f'w = [subprocess.Popen([sys.executable, "-c", {INSERTS!r}, name]) for name in "xyz"]')
    check_equal(a('[p.wait() for p in w]'), [0, 0, 0], 'three writers')
    for agent in (a, b):
        agent('import sqlite3; c = sqlite3.connect("db", timeout=50)')
        check_equal(agent('c.execute("select count(*), count(distinct a), max(a) from t").fetchone()'), (300, 300, 299), 'rows')
        check_equal(agent('c.execute("pragma integrity_check").fetchone()'), ('ok',), 'integrity')
        agent('c.close()')


def synced_mapping(rig, a, b):
    """msync is as good as fsync: the node is gone, the data are not."""
    a(f'put("f", bytes({64 * KIB})); op("f", "f"); m = mmap.mmap(fds["f"], {64 * KIB})')
    a('m[0:6] = b"synced"; m[50000:50006] = b"synced"; m.flush()')
    node = rig.node(2)
    gone = node.incarnation
    node.power_loss()
    rig.fenced(node, gone)
    got = b('get("f")')
    check_equal((got[0:6], got[50000:50006]), (b'synced', b'synced'), 'after the power loss of the node')
    node.power_on()
    node.start_client()
    node.wait_client()


def no_shared_maps(rig, _a, b):
    """As on a kernel that does not offer them."""
    node = rig.node(2)
    node.end_client()
    node.client_options = ['--no-shared-maps']
    node.start_client()
    node.wait_client()
    again = agent_on(rig, 2, 'no_shared_maps')
    again(f'put("f", b"private" * 1000); op("f", "f")')
    check_equal(again('mmap.mmap(fds["f"], 7000)'), '!ENODEV', 'MAP_SHARED')
    check_equal(again('mmap.mmap(fds["f"], 7000, flags=mmap.MAP_PRIVATE)[:7]'), b'private', 'MAP_PRIVATE')
    again.close()
    check_equal(b('mread("f", 7, 0)'), b'private', 'mapped on another node')
    node.end_client()
    node.client_options = []
    node.start_client()
    node.wait_client()


def without_aio(rig, _a, _b):
    """As where asynchronous I/O is not to be had: every request has its thread."""
    node = rig.node(2)
    node.end_client()
    node.client_prefix = [csvrig.tool('without'), 'io_setup']
    node.start_client()
    node.wait_client()
    with open(f'{rig.logs}/client-{node.name}.log', encoding='ascii', errors='replace') as f:
        check('no asynchronous I/O' in f.read(), 'csvfs does not say that there is no asynchronous I/O')
    alone, other = agent_on(rig, 2, 'without_aio'), agent_on(rig, 3, 'without_aio')
    in_parallel(rig, alone, other)
    large_at_a_time(rig, alone, other)
    while_another_waits(rig, alone, other)
    alone('op("f", "f"); wr("f", b"d" * 4096, 0)')
    read = counted(node, 'direct_read_bytes', lambda: alone('[rd("f", 4096, 0) for _ in range(50)] and None'))
    check_equal(read, 50 * 4096, 'bytes of direct reads')
    alone.close()
    other.close()
    node.end_client()
    node.client_prefix = []
    node.start_client()
    node.wait_client()


def owner_loses_power(rig, a, b):
    """What the owner wrote for a node, without a sync: into a hole, over what is only allocated, and at the end."""
    a(f'put("hole", b""); os.truncate("hole", {MIB}); falloc("-l", "{MIB}", "room"); put("end", b"x" * 5000)')
    a('os.sync(); [op(f, f) for f in ("hole", "room", "end")]')
    rig.node(2).ctl('client', 'redirect', 'on')
    a('[wr(f, b"kept" * 1024, 8192) for f in ("hole", "end", "room")]')  # "room" last: the others commit all before them
    owner = rig.owner_node
    gone = owner.incarnation
    owner.power_loss()
    rig.own(rig.node(3))
    rig.fenced(owner, gone)
    rig.node(2).wait_client(('file-system-redirected',))
    for name in ('hole', 'room', 'end'):
        check(b(f'get("{name}")[8192:12288] == b"kept" * 1024'), f'what was written into {name} is lost')
    rig.node(2).ctl('client', 'redirect', 'off')
    owner.power_on()
    owner.start_client()
    owner.wait_client()
    a('[cl(f) for f in ("hole", "room", "end")]')


# The last three take node 2's csvfs away from under the agent.
LIST = [thin, becomes_direct, page_in_the_way, in_parallel, large_at_a_time, while_another_waits, mapped_alone, mapped_by_two,
        mapped_and_alone_again, mapped_while_written,
        sqlite, owner_loses_power, synced_mapping, no_shared_maps, without_aio]


def test_data():
    if not csvrig.have_programs():
        return
    csvrig.private_mounts()
    with csvrig.rig(3, label='-data') as rig:
        rig.start()
        for case in [c for c in LIST if c.__name__ in CASES or not CASES]:
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
