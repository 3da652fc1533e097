# SPDX-License-Identifier: GPL-2.0-or-later
"""A shared volume from a node that is not its owner, beside the raw device, local ext4, a TLS copy; fail-over; memory.

Everything is on loop devices with direct I/O over files of one disk: the volume (a path for each node), a raw device, a
local ext4. They are measured in turn, round by round, on the same host, and with the same memory."""
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import benchlib
from benchlib import eventually

sys.path.insert(0, os.path.join(os.path.dirname(benchlib.SRCDIR), 'csvfs'))
import csvrig  # noqa: E402

MINUTES = 6
MIB = 1 << 20
OWNER, CLIENT, THIRD = 1, 2, 3
VOLUME, LOCAL = csvrig.MOUNT, '/run/local'
FILES = '/run/lab/bin/bench_files'
FIO = ('fio', '--name=f', '--direct=1', '--ioengine=libaio', '--time_based', '--randrepeat=0', '--norandommap',
       '--random_generator=lfsr', '--allow_mounted_write=1', '--fallocate=none', '--overwrite=1', '--create_on_open=0',
       '--output-format=json')
# An application's memory. Of ordinary pages a read or write of 1 MiB is as many pieces for a device as luck has put its pages apart in
# memory (each fio another luck), of huge pages one or two: as a VM has them, and a csvfs, whose own memory the device sees.
ORDINARY, HUGE = (), ('env', 'GLIBC_TUNABLES=glibc.malloc.hugetlb=1')
# name: fio's rw, bs, depth; memory; the ratio to the raw device that is wanted
DIRECT = {
    'read_4k_depth1': ('randread', '4k', 1, ORDINARY, 0.65), 'write_4k_depth1': ('randwrite', '4k', 1, ORDINARY, 0.65),
    'read_4k_depth32': ('randread', '4k', 32, ORDINARY, 0.85), 'write_4k_depth32': ('randwrite', '4k', 32, ORDINARY, 0.85),
    'read_1m': ('read', '1m', 4, ORDINARY, 0.95), 'write_1m': ('write', '1m', 4, ORDINARY, 0.95),
    'read_1m_huge': ('read', '1m', 4, HUGE, 0.95), 'write_1m_huge': ('write', '1m', 4, HUGE, 0.95),
}
TLS_PORT = 7399
TLS = ('-tls1_3', '-psk', '5a' * 32, '-psk_identity', 'bench', '-ciphersuites', 'TLS_AES_128_GCM_SHA256', '-quiet')


def pid_of(node, name):
    """The program's PID as seen from here."""
    space = os.readlink(f'/proc/{node.rig.lab.init_pid(node.name)}/ns/pid')
    for entry in os.scandir('/proc'):
        with contextlib.suppress(OSError), open(f'{entry.path}/comm') as f:
            if f.read().strip() == name and os.readlink(f'{entry.path}/ns/pid') == space:
                return int(entry.name)
    raise benchlib.labctl.LabError(f'{name} does not run on {node.name}')


def cpu_s(pid):
    """To the nanosecond, with threads that have ended: the kernel's CPU clock of another process (CPUCLOCK_SCHED)."""
    return time.clock_gettime(~pid << 3 | 2)


def memory_mib(pid):
    with open(f'/proc/{pid}/status') as f:
        return next(int(line.split()[1]) / 1024 for line in f if line.startswith('VmRSS:'))


# --- fio

def fio_argv(path, size, rw, bs, depth, seconds):
    return [*FIO, f'--filename={path}', f'--size={size}', f'--rw={rw}', f'--bs={bs}', f'--iodepth={depth}',
            f'--runtime={seconds * 1000:.0f}ms', '--ramp_time=200ms']


def fio_result(text):
    job = json.loads(text[text.index('{'):])['jobs'][0]
    way = job['read'] if job['read']['total_ios'] else job['write']
    used = (job['usr_cpu'] + job['sys_cpu']) / 100 * way['runtime'] / 1000
    return {'rate': way['iops'], 'mib': way['bw'] / 1024, 'ops': way['total_ios'], 'cpu_s': used, 'share_s': way['runtime'] / 1000}


def fio(node, path, size, rw, bs, depth, seconds, daemon=None, memory=ORDINARY):
    """As fio_result(), and cpu_us: user and system time of fio and of the daemon for each operation."""
    before, start = cpu_s(daemon) if daemon else 0, time.monotonic()
    result = fio_result(node.run(*memory, *fio_argv(path, size, rw, bs, depth, seconds)).stdout)
    theirs = (cpu_s(daemon) - before) * result['share_s'] / (time.monotonic() - start) if daemon else 0
    result['cpu_us'] = (result['cpu_s'] + theirs) / max(result['ops'], 1) * 1e6
    return result


# --- where

class Places:
    """On the client: the volume, a raw device, a local ext4."""

    def __init__(self, b, rig, tree):
        self.node, self.daemon, self.tree = rig.node(CLIENT), None, tree
        self.size = b.choose(512, 64) * MIB
        self.folder = b.builddir
        self.disks = []
        for name in ('raw', 'local'):
            disk = csvrig.DiskSan(self.folder, b.choose(1024, 128) * MIB)
            self.disks.append(disk)
            major, minor = disk.attach(name)
            self.node.run('mknod', f'/dev/{name}', 'b', str(major), str(minor))
        self.node.run('mkfs.ext4', '-q', '-O', '^inline_data', '-E', 'lazy_itable_init=0,lazy_journal_init=0',
                      '-N', b.choose('400000', '100000'), '/dev/local')
        self.node.run('mkdir', LOCAL)
        self.node.run('mount', '-o', 'noatime', '/dev/local', LOCAL)
        self.paths = {'csvfs': f'{VOLUME}/data', 'raw': '/dev/raw', 'ext4': f'{LOCAL}/data'}

    def fill(self):
        self.daemon = pid_of(self.node, 'csvfs')
        for name in ('csvfs', 'ext4'):
            self.node.run('dd', 'if=/dev/zero', f'of={self.paths[name]}', 'bs=1M', f'count={self.size // MIB}', 'oflag=direct',
                          'conv=fsync')

    def close(self):
        for disk in self.disks:
            disk.close()


@contextlib.contextmanager
def kept_open(node, path):
    """As a VM keeps its disk: what is lent is not given back after each round."""
    process = subprocess.Popen(node.command('sh', '-c', f'exec 3<>{path}; exec cat'), stdin=subprocess.PIPE)
    try:
        yield
    finally:
        process.stdin.close()
        process.wait()


# --- direct I/O

def measure_direct(b, places, name):
    """Results by place. There is a first round that does not count, after that of something else; then each begins with what the last
    ended with, so that none is always the first, and the raw device in the middle is next to both others."""
    rw, bs, depth, memory, _ = DIRECT[name]
    order, results = ['csvfs', 'raw', 'ext4'], {place: [] for place in places.paths}
    for n in range(b.choose(5, 1) + 1):
        for place in order:
            daemon = places.daemon if place == 'csvfs' else None
            seconds = b.choose(0.5, 0.3) if n else 0.1
            got = fio(places.node, places.paths[place], places.size, rw, bs, depth, seconds, daemon, memory)
            if n:
                results[place].append(got)
        order.reverse()
    return results


def direct(b, _rig, places):
    """A ratio is of one round."""
    with kept_open(places.node, places.paths['csvfs']):
        rows = {name: measure_direct(b, places, name) for name in DIRECT}
    for name, row in rows.items():
        _, bs, _, memory, target = DIRECT[name]
        unit, key = ('MiB/s', 'mib') if bs == '1m' else ('1/s', 'rate')
        rates = {place: [r[key] for r in results] for place, results in row.items()}
        pages = f'fio with {"huge" if memory else "ordinary"} pages for all'
        b.figure(f'{name}_of_raw', [x / y for x, y in zip(rates['csvfs'], rates['raw'])], 'x', target, less=False,
                 note=f'neighbouring runs; {pages}')
        b.figure(f'{name}_of_ext4', [x / y for x, y in zip(rates['csvfs'], rates['ext4'])], 'x')
        for place, values in rates.items():
            b.figure(f'{name}_{place}', values, unit)
        alone = ', '.join(f'{place} {statistics.median(r["cpu_us"] for r in row[place]):.1f}' for place in ('raw', 'ext4'))
        b.figure(f'{name}_cpu', [r['cpu_us'] for r in row['csvfs']], 'us', note=f'an operation, csvfs and fio; fio with {alone}')


# --- redirected I/O

def listens(node, port):
    with open(f'/proc/{node.rig.lab.init_pid(node.name)}/net/tcp') as f:
        return any(line.split()[1].endswith(f':{port:04X}') and line.split()[3] == '0A' for line in f if ':' in line)


def tls_copy(source, source_argv, sink, sink_argv, mib):
    """MiB/s of a plain copy through openssl, at 1 MiB and with O_DIRECT on the side of the disk. The sink is a dd."""
    address = f'{sink.address}:{TLS_PORT}'
    words = ' '.join(TLS)
    taking = f'set -o pipefail; openssl s_server -accept {address} -nocert -naccept 1 {words} | {sink_argv}'
    giving = f'set -o pipefail; {source_argv} | openssl s_client -connect {address} {words} -no_ign_eof'
    with tempfile.TemporaryFile('w+') as out:
        server = subprocess.Popen(sink.command('bash', '-c', taking), stdin=subprocess.PIPE,  # at its end it goes
                                  stdout=subprocess.DEVNULL, stderr=out)
        eventually(lambda: listens(sink, TLS_PORT) or server.poll() is not None, 10, 'openssl s_server listens')
        start = time.monotonic()
        source.run('bash', '-c', giving)
        server.wait(60)
        took = time.monotonic() - start
        server.stdin.close()
        out.seek(0)
        said = out.read()
    if server.returncode or f'{mib * MIB} bytes' not in said:
        raise benchlib.labctl.LabError(f'a copy by TLS failed: exit {server.returncode}: {said}')
    return mib / took


def redirected(b, rig, places):
    """Both ways at 1 MiB; the peer's disk is the raw one, on the owner's host and with O_DIRECT as ours."""
    owner, client, mib = rig.node(OWNER), rig.node(CLIENT), b.choose(384, 64)
    rates = {name: [] for name in ('write', 'read', 'write_tls', 'read_tls')}
    with_peer = b.has_peer({'openssl': 'openssl'})
    major, minor = places.disks[0].attach('owner')
    owner.run('mknod', '/dev/raw', 'b', str(major), str(minor))
    client.ctl('client', 'redirect', 'on')
    for _ in range(b.choose(3, 1)):
        for way in ('write', 'read'):
            got = fio(client, places.paths['csvfs'], places.size, way, '1m', 4, b.choose(1, 0.3))
            rates[way].append(got['mib'])
        if with_peer:
            rates['write_tls'].append(tls_copy(client, f'dd if=/dev/zero bs=1M count={mib}', owner,
                                               'dd of=/dev/raw bs=1M iflag=fullblock oflag=direct', mib))
            rates['read_tls'].append(tls_copy(owner, f'dd if=/dev/raw bs=1M count={mib} iflag=direct', client,
                                              'dd of=/dev/null bs=1M iflag=fullblock', mib))
    client.ctl('client', 'redirect', 'off')
    for way in ('write', 'read'):
        b.figure(f'redirected_{way}', rates[way], 'MiB/s', note='1 MiB, depth 4')
        if with_peer:
            b.figure(f'redirected_{way}_tls', rates[f'{way}_tls'], 'MiB/s', note='openssl s_client to s_server, TLS 1.3, AES-128-GCM')
            b.figure(f'redirected_{way}_of_tls', [x / y for x, y in zip(rates[way], rates[f'{way}_tls'])], 'x')


# --- names

def names_line(text):
    done, seconds, least, most = text.split()
    return {'rate': int(done) / float(seconds), 'done': int(done), 'least': int(least), 'most': int(most)}


def names_round(node, folder, how, processes, seconds, sync):
    """Rates of create, stat, unlink."""
    rates = {}
    for what, words in ((f'create{how}{sync}', [seconds]), (f'stat{how}', [seconds]), (f'unlink{how}{sync}', [])):
        got = names_line(node.run(FILES, what, folder, 'n', processes, *words).stdout)
        rates[what.partition('-')[0]] = got['rate']
    return rates


# How bench_files is to work, processes, target of creates. In one directory the kernel of a node makes one name after the other
# (the directory's lock is held until the file system has answered): what counts is how long one takes.
NAMES = (('', 1, None), ('', 8, None), ('-own', 16, 5000))


def names(b, rig, places):
    node, seconds = rig.node(CLIENT), b.choose(1, 0.3)
    ways = {'csvfs': (f'{VOLUME}/names', ''), 'ext4_synced': (f'{LOCAL}/names', '-sync'), 'ext4': (f'{LOCAL}/names', '')}
    for folder in sorted({folder for folder, _ in ways.values()}):
        node.run('mkdir', folder)
    for how, processes, target in NAMES:
        rates = {way: [] for way in ways}
        for _ in range(b.choose(3, 1)):
            for way, (folder, sync) in ways.items():
                rates[way].append(names_round(node, folder, how, processes, seconds, sync))
        label = f'{processes}{how.replace("-", "_")}'
        for what in ('create', 'stat', 'unlink'):
            ours = [r[what] for r in rates['csvfs']]
            b.figure(f'{what}_{label}', ours, '1/s', target if what == 'create' else None, less=False,
                     note=f'{processes} {"processes" if processes > 1 else "process"}, {"a directory each" if how else "one directory"}')
            b.figure(f'{what}_{label}_ext4_synced', [r[what] for r in rates['ext4_synced']], '1/s',
                     note='with fsync of the directory after each, as durable as ours' if what != 'stat' else '')
            b.figure(f'{what}_{label}_ext4', [r[what] for r in rates['ext4']], '1/s', note='durable some time later')


# --- two nodes at once

def both(nodes, argv_of):
    """Output of each, started together."""
    running = [subprocess.Popen(node.command(*argv_of(node)), stdout=subprocess.PIPE, text=True) for node in nodes]
    out = [process.communicate(timeout=60)[0] for process in running]
    if any(process.returncode for process in running):
        raise benchlib.labctl.LabError('one of two nodes failed')
    return out


def two_nodes(b, rig, places):
    nodes, seconds = [rig.node(CLIENT), rig.node(THIRD)], b.choose(1.5, 0.4)
    folder, path = f'{VOLUME}/shared', places.paths['csvfs']
    nodes[0].run('mkdir', folder)
    rows = {name: [] for name in ('creates', 'unlinks', 'creates_own', 'unlinks_own', 'writes')}

    def rates(argv_of):
        return [names_line(t)['rate'] for t in both(nodes, argv_of)]
    for _ in range(b.choose(3, 1)):
        for how, label, processes in (('', '', 4), ('-own', '_own', 8)):
            rows[f'creates{label}'].append(rates(lambda n: (FILES, f'create{how}', folder, n.name, processes, seconds)))
            rows[f'unlinks{label}'].append(rates(lambda n: (FILES, f'unlink{how}', folder, n.name, processes)))
        writes = both(nodes, lambda n: fio_argv(path, places.size, 'randwrite', '4k', 8, seconds))
        rows['writes'].append([fio_result(t)['rate'] for t in writes])
    for name, pairs in rows.items():
        what = ('4 KiB at random in one file, depth 8 each' if name == 'writes' else
                'a directory for each of 8 processes on each' if name.endswith('_own') else 'one directory, 4 processes on each')
        b.figure(f'two_nodes_{name}', [sum(r) for r in pairs], '1/s', 5000 if name == 'creates_own' else None, less=False,
                 note=f'together; {what}')
        b.figure(f'two_nodes_{name}_share', [min(r) / max(r) for r in pairs], 'x', 0.5, less=False, note='of the slower by the quicker')


# --- fail-over

def watch(node, path, way):
    process = subprocess.Popen(node.command(FILES, 'watch', path, way), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if process.stdout.readline() != 'ready\n':
        raise benchlib.labctl.LabError(f'{path} cannot be written')
    return process


def watched(process):
    """The longest pause: its begin and end in ns."""
    out, _ = process.communicate('', timeout=60)
    _, began, ended = out.split()
    return int(began), int(ended)


def size_of(node, path):
    return int(node.run('stat', '-c', '%s', path).stdout)


def one_failover(rig, to, path):
    """ms of each part; `to` is the next owner."""
    app, old, client = {}, rig.owner_node, rig.node(CLIENT)
    for way in ('append', 'over'):
        app[way] = watch(client, f'{path}-{way}', way)
    eventually(lambda: size_of(client, f'{path}-append') > 40960, 30, 'the application writes')
    killed = time.monotonic_ns()
    old.end_owner('KILL')
    eventually(old.device_free, 30, 'the dead owner has let go of the device')
    free = time.monotonic_ns()
    rig.epoch += 1
    to.start_owner(rig.epoch)
    to.wait_owner()
    answers = time.monotonic_ns()
    rig.owner_node = to
    for node in [client, *(n for n in rig.nodes if n is not client)]:
        node.tell_owner()
    told = time.monotonic_ns()
    before = size_of(client, f'{path}-append')
    eventually(lambda: size_of(client, f'{path}-append') > before, 60, 'the application writes again')
    (_, first), direct_pause = watched(app['append']), watched(app['over'])
    return {'gone': (free - killed) / 1e6, 'mount': (answers - free) / 1e6, 'told': (told - answers) / 1e6,
            'first': (first - told) / 1e6, 'pause': (first - free) / 1e6, 'direct': (direct_pause[1] - direct_pause[0]) / 1e6}


def failover(b, rig, _places):
    nodes = [rig.node(THIRD), rig.node(OWNER)]
    rows = [one_failover(rig, nodes[n % 2], f'{VOLUME}/watched-{n}') for n in range(b.choose(4, 1))]
    b.figure('failover_pause', [r['pause'] for r in rows], 'ms', 1000,
             note='from the end of the old owner to the first write by the new one, on another node')
    b.figure('failover_pause_direct', [r['direct'] for r in rows], 'ms', note='longest pause of one who writes to what is lent, meanwhile')
    for part, note in (('gone', 'kill -9 to the device let go: not counted'), ('mount', 'the new owner claims the volume, mounts, answers'),
                       ('told', 'all nodes are told'), ('first', 'from then to the first write; before it when negative')):
        b.figure(f'failover_{part}', [r[part] for r in rows], 'ms', note=note)


# --- memory

def memory(b, rig, places):
    folders, files = places.tree
    node = rig.node(CLIENT)
    pids = {'csvfs': pid_of(node, 'csvfs'), 'owner': pid_of(rig.owner_node, 'csvfs-owner')}
    seen = [{name: memory_mib(pid) for name, pid in pids.items()}]
    looked = names_line(node.run(FILES, 'look', f'{VOLUME}/tree', f'{folders}/{files}', 8, b.choose(20, 0.5)).stdout)
    b.figure('look_at', looked['rate'], '1/s', note='8 processes, lstat of files that were not looked at before')
    seen.append({name: memory_mib(pid) for name, pid in pids.items()})
    count = b.choose(10000, 500)
    opener = subprocess.Popen(node.command(FILES, 'open', f'{VOLUME}/tree', folders, files, count), stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True)
    number, seconds = opener.stdout.readline().split()
    seen.append({name: memory_mib(pid) for name, pid in pids.items()})
    opener.communicate('', timeout=120)
    b.figure('open', int(number) / float(seconds), '1/s', note='one process')
    for name in pids:
        b.figure(f'memory_{name}', seen[0][name], 'MiB', note='resident, before')
        b.figure(f'memory_{name}_files', seen[1][name], 'MiB', note=f'{looked["done"]} files looked at')
        b.figure(f'memory_{name}_handles', seen[2][name], 'MiB', note=f'and {count} open')


def fill_tree(rig, folders, files):
    """As on any host: by a plain mount, before there is an owner."""
    node = rig.node(OWNER)
    node.run('mkdir', '-p', '/run/plain')
    node.run('mount', '/dev/lun', '/run/plain')
    node.run('mkdir', '/run/plain/tree')
    node.run(FILES, 'fill', '/run/plain/tree', folders, files, timeout=120)
    node.run('umount', '/run/plain')


def run(b):
    if os.geteuid() != 0:
        raise benchlib.Unavailable('the lab makes namespaces: run as root')
    csvrig.BUILD = b.builddir
    if not csvrig.have_programs():
        raise benchlib.Unavailable('csvfs is not built')
    tree = b.choose((100, 1000), (10, 100))
    with csvrig.rig(3, size=b.choose(3072, 512) * MIB, disk=b.builddir) as rig, contextlib.ExitStack() as stack:
        subprocess.run(['cp', b.tool('bench_files'), f'{rig.lab.run}/guest/bin/'], check=True)
        rig.format()
        fill_tree(rig, *tree)
        rig.own(rig.node(OWNER))
        for node in rig.nodes:
            node.start_client()
        for node in rig.nodes:
            node.wait_client()
        places = Places(b, rig, tree)
        stack.callback(places.close)
        places.fill()
        for part in (memory, direct, names, two_nodes, redirected, failover):
            start = time.monotonic()
            part(b, rig, places)
            b.say(f'    {part.__name__}: {time.monotonic() - start:.0f} s')
        rig.stop()
        if found := rig.fsck():
            raise benchlib.labctl.LabError(f'the volume is damaged: {found}')
