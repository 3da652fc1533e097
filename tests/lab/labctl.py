# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab seen from outside its server: where labs are, how to start, ask, enter and remove one. Used by `lab` and by
the tests."""
import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import labconf

SRCDIR = os.path.dirname(os.path.realpath(__file__))
ROOT = os.environ.get('CLUSTERD_LAB_DIR', '/var/tmp/clusterd-lab')
NSENTER = ('-m', '-u', '-i', '-n', '-p')
# What it takes to run a lab beside python3: command -> Debian package
NEEDS = {'ip': 'iproute2', 'unshare': 'util-linux', 'nsenter': 'util-linux', 'mkfs.ext4': 'e2fsprogs', 'cc': 'gcc',
         'corosync': 'corosync'}
HELPERS = {'labinit': ['labinit.c'], 'labwatch': ['labwatch.c', '-lquorum'], 'labtrack': ['labtrack.c'],
           'labsend': ['labsend.c', '-lcpg', '-lqb']}
CFLAGS = ['-std=gnu11', '-D_GNU_SOURCE', '-O2', '-g', '-Wall', '-Wextra']
DEAD_WAIT_S = 10


class LabError(Exception):
    """What went wrong and what to do, for the person at the terminal."""


def run_dir(name):
    return f'{ROOT}/{name}'


def names():
    with contextlib.suppress(FileNotFoundError):
        return sorted(e.name for e in os.scandir(ROOT) if e.is_dir())
    return []


def check_needs():
    if os.geteuid() != 0:
        raise LabError('a lab makes namespaces and mounts: run it as root')
    missing = sorted({package for command, package in NEEDS.items() if not shutil.which(command)})
    if missing:
        raise LabError(f'missing packages: apt-get install {" ".join(missing)}')


@contextlib.contextmanager
def root_lock():
    """Makes "directory and its lock appear together" and "gc looks" exclude each other."""
    os.makedirs(ROOT, exist_ok=True)
    fd = os.open(ROOT, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def is_alive(name):
    """A lab lives as long as its server (or the `up` that is making it) holds the lock."""
    try:
        fd = os.open(f'{run_dir(name)}/lock', os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(fd)


def find_bindirs(bindir):
    """Directories that hold clusterd and its tools, for the PATH inside the hosts."""
    bases = [bindir] if bindir else [os.environ.get('CLUSTERD_BINDIR'), os.environ.get('top_builddir'), os.getcwd(),
                                     os.path.dirname(os.path.dirname(SRCDIR))]
    found = []
    for base in filter(None, bases):
        base = os.path.realpath(base)
        for sub in ('', '/clusterd', '/clusterd/ctl'):
            d = base + sub
            if any(os.path.isfile(f'{d}/{p}') and os.access(f'{d}/{p}', os.X_OK) for p in ('clusterd', 'clusterctl')):
                found.append(d)
        if found:  # shared volumes are optional: only what clusterd needs of them
            found += [d for d in (f'{base}/csvfs/{room}' for room in ('fuse', 'owner', 'admin')) if os.path.isdir(d)]
        if found:
            return found
    return []


def find_own_agents(bindirs):
    """The directory with the agents of the provider clusterd, as it was built; '': those that are installed, if any."""
    for d in bindirs:
        agents = f'{os.path.dirname(d)}/agents'
        if os.access(f'{agents}/volume', os.X_OK):
            return agents
    return ''


def find_san(bindirs):
    """The program that is the SAN, as it was built."""
    for d in bindirs:
        path = f'{os.path.dirname(d)}/tests/csvfs/csvsan'
        if os.access(path, os.X_OK):
            return path
    raise LabError('the SAN is not built: make tests/csvfs/csvsan in the build directory')


class Lab:
    """A handle on one lab by its name; the lab need not exist yet."""

    def __init__(self, name='lab'):
        if not name or '/' in name or name.startswith('.'):
            raise LabError(f'{name!r} cannot be the name of a lab')
        self.name = name
        self.run = run_dir(name)

    # -- asking the server

    def connect(self):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(f'{self.run}/guest/server')
        except OSError:
            sock.close()
            if os.path.isdir(self.run):
                raise LabError(f'lab {self.name} is not running but left {self.run}: run `lab gc`') from None
            raise LabError(f'there is no lab {self.name}: run `lab up 3` first (labs: {", ".join(names()) or "none"})') from None
        return sock

    def ask(self, cmd, progress=None, keep=False, **args):
        """Sends one request; returns the data of the answer or raises LabError."""
        data = {}
        with self.connect() as sock, sock.makefile('rw') as f:
            f.write(json.dumps({'cmd': cmd, **args}) + '\n')
            f.flush()
            for line in f:
                answer = json.loads(line)
                if 'error' in answer:
                    raise LabError(answer['error'])
                if 'progress' in answer:
                    if progress:
                        progress(answer['progress'])
                elif answer.get('ok'):
                    if keep:
                        f.write('keep\n')
                        f.flush()
                    return data
                else:
                    data = answer
        raise LabError(f'lab {self.name} ended while it was asked: {cmd}')

    # -- life

    def up(self, hosts, nets=1, token=0, clusterd=True, bindir=None, transport='auto', fence=None, quorum='', settings=None,
           watchdog_action='reboot', owner=0, san=0, progress=None):
        check_needs()
        say = progress or (lambda text: None)
        if not 1 <= hosts <= labconf.HOST_MAX:
            raise LabError(f'a lab has 1 to {labconf.HOST_MAX} hosts, not {hosts}')
        bindirs = find_bindirs(bindir)
        if clusterd and not any(os.path.exists(f'{d}/clusterd') for d in bindirs):
            raise LabError('clusterd is not built here: build it, name its directory with --bindir, or use --no-clusterd')
        conf = {'name': self.name, 'hosts': hosts, 'nets': nets, 'token': token, 'clusterd': clusterd, 'bindirs': bindirs,
                'transport': transport, 'fence': fence, 'quorum': quorum, 'set': settings or {}, 'owner': owner,
                'watchdog_action': watchdog_action, 'srcdir': SRCDIR, 'agents': f'{SRCDIR}/agents',
                'own_agents': find_own_agents(bindirs), 'san': san, 'san_program': find_san(bindirs) if san else ''}
        if nets > 1 and labconf.transport(conf) == 'udpu':
            raise LabError('two networks need knet')
        lock = self.make_run_dir()
        try:
            say('compiling the helpers')
            self.compile(lock)
            with open(f'{self.run}/config.json', 'w') as f:
                json.dump(conf, f)
            say(f'building {hosts} hosts')
            self.start_server(lock)
        except BaseException:
            shutil.rmtree(self.run, ignore_errors=True)
            raise
        finally:
            os.close(lock)
        try:
            self.ask('boot', progress=say, keep=True)
        except BaseException:
            with contextlib.suppress(LabError):
                self.down()
            raise

    def make_run_dir(self):
        with root_lock():
            try:
                os.mkdir(self.run)
            except FileExistsError:
                hint = 'it is running: `lab down` first' if is_alive(self.name) else 'it is a leftover: run `lab gc`'
                raise LabError(f'{self.run} exists; {hint}') from None
            fd = os.open(f'{self.run}/lock', os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(fd, fcntl.LOCK_EX)
            return fd

    def compile(self, lock):
        """The compilers hold the lab's lock as well: should this process be killed, gc waits for their end."""
        os.makedirs(f'{self.run}/guest/bin')
        jobs = []
        for program, parts in HELPERS.items():
            args = [f'{SRCDIR}/{p}' if p.endswith('.c') else p for p in parts]
            jobs.append(subprocess.Popen(['cc', *CFLAGS, '-o', f'{self.run}/guest/bin/{program}', *args],
                                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, pass_fds=[lock]))
        for job in jobs:
            text, _ = job.communicate()
            if job.returncode:
                raise LabError(f'cannot compile the lab\'s helpers:\n{text}')

    def start_server(self, lock):
        ready, ready_w = os.pipe()
        with open(f'{self.run}/server.out', 'w') as out:
            subprocess.Popen(['unshare', '--mount', '--net', '--propagation', 'private', '/usr/bin/python3', '-B',
                              f'{SRCDIR}/labserver.py', self.run, str(lock), str(ready_w)], pass_fds=[lock, ready_w],
                             stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
        os.close(ready_w)
        ok = os.read(ready, 1)
        os.close(ready)
        if not ok:
            with open(f'{self.run}/server.out') as f:
                raise LabError(f'the lab did not start:\n{f.read()}')

    def down(self):
        self.ask('down')
        wait_gone(self.run)

    # -- inside

    def init_pid(self, host):
        status = {h['name']: h for h in self.ask('status')['hosts']}
        host = labconf.host_name(int(host)) if str(host).isdigit() else host
        if host not in status:
            raise LabError(f'there is no host {host} in lab {self.name}')
        if status[host]['state'] != 'up':
            raise LabError(f'{host} is {status[host]["state"]}')
        return status[host]['pid']

    def command(self, host, argv):
        """The argument vector that runs argv inside the host."""
        with open(f'{self.run}/config.json') as f:
            bindirs = json.load(f)['bindirs']
        path = ':'.join(bindirs + ['/usr/sbin', '/usr/bin', '/sbin', '/bin'])
        return ['nsenter', '-t', str(self.init_pid(host)), *NSENTER, '--', 'env', f'PATH={path}', 'HOME=/root',
                'sh', '-c', 'cd / && exec "$@"', 'lab', *argv]

    def exec(self, host, *argv, **kwargs):
        """Runs argv inside the host; a CompletedProcess with text output."""
        kwargs.setdefault('timeout', 60)
        return subprocess.run(self.command(host, argv), capture_output=True, text=True, stdin=subprocess.DEVNULL, **kwargs)


def link_is_down(lab, host, net):
    """Whether knet on that host has given up a link to all peers."""
    text = lab.exec(host, 'corosync-cfgtool', '-s').stdout
    link = text.partition(f'LINK ID {net} ')[2].partition('LINK ID')[0]
    peers = [line for line in link.splitlines() if 'nodeid:' in line and 'localhost' not in line]
    return bool(peers) and all('disconnected' in line for line in peers)


def wait_gone(path):
    deadline = time.monotonic() + DEAD_WAIT_S
    while os.path.exists(path):
        if time.monotonic() > deadline:
            raise LabError(f'{path} is still there; see {path}/server.out, then `lab gc`')
        time.sleep(0.02)


def leftovers(run):
    """PIDs of the processes that belong to the lab with that directory: keepers, and all that live below them."""
    keepers, parent = set(), {}
    for entry in os.scandir('/proc'):
        if not entry.name.isdigit():
            continue
        try:
            with open(f'/proc/{entry.name}/cmdline', 'rb') as f:
                args = f.read().split(b'\0')
            with open(f'/proc/{entry.name}/stat') as f:
                parent[int(entry.name)] = int(f.read().rpartition(')')[2].split()[1])
        except OSError:
            continue
        if any(a.startswith(f'{run}/'.encode()) for a in args[:1]) and b'host' in args[1:2]:
            keepers.add(int(entry.name))
    found = set(keepers)
    while more := {p for p, up in parent.items() if up in found} - found:
        found |= more
    return found


def gc(include_running=False):
    """Removes dead labs (all labs when asked to); yields a line for each thing done."""
    for name in names():
        run = run_dir(name)
        if is_alive(name):
            if not include_running:
                yield f'{name}: running, kept'
                continue
            try:
                Lab(name).down()
                yield f'{name}: taken down'
                continue
            except LabError as e:
                yield f'{name}: {e}'
        with root_lock():
            if is_alive(name):
                yield f'{name}: kept, somebody is using it'
                continue
            deadline = time.monotonic() + DEAD_WAIT_S
            while (pids := leftovers(run)) and time.monotonic() < deadline:
                for pid in pids:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                time.sleep(0.02)
            detach_loops(run)
            shutil.rmtree(run, ignore_errors=True)
            yield f'{name}: ' + ('removed' if not os.path.exists(run) else f'cannot remove {run}')
    with contextlib.suppress(OSError):
        os.rmdir(ROOT)


def loops(run):
    out = subprocess.run(['losetup', '-n', '-O', 'NAME,BACK-FILE'], capture_output=True, text=True).stdout
    return [line.split()[0] for line in out.splitlines() if f' {run}/' in line]


def detach_loops(run):
    for loop in loops(run):
        subprocess.run(['losetup', '-d', loop], stderr=subprocess.DEVNULL)


def fail(text):
    print(f'lab: {text}', file=sys.stderr)
    sys.exit(1)
