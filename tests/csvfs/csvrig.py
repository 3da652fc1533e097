# SPDX-License-Identifier: GPL-2.0-or-later
"""Nodes of a cluster shared volume on one machine: hosts of the lab, a SAN with a path for each, csvfs-owner and csvfs on
them; and the faults: kill, stop, power loss, path loss, take over. Everything ends with this process, however it ends."""
import contextlib
import ctypes
import errno
import fcntl
import json
import mmap
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, f'{HERE}/../lab')
import labconf  # noqa: E402
import labctl  # noqa: E402
import labfuse  # noqa: E402
import labsan  # noqa: E402
import labtest  # noqa: E402
from labctl import LabError  # noqa: E402
from labtest import eventually  # noqa: E402

TOP = os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get('top_builddir') or os.environ.get('CSVFS_BUILD') or TOP
MOUNT = '/mnt'
PORT = 7310
READY_S = 60
GIB = 1 << 30
CLONE_NEWNS = 0x20000

# What runs csvfs and csvfs-owner, such as valgrind with its options.
UNDER = os.environ.get('CSVFS_UNDER', '').split()


def tool(name):
    path = f'{BUILD}/tests/csvfs/{name}'
    if not os.path.exists(path):
        raise LabError(f'{path} is not built: make check TESTS= in the build directory, named by CSVFS_BUILD')
    return path


def program(name):
    """csvfs, csvfs-owner, csvfs-admin, wherever the build has them."""
    for folder in ('csvfs', 'csvfs/fuse', 'csvfs/owner', 'csvfs/admin'):
        path = f'{BUILD}/{folder}/{name}'
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None


def have_programs():
    """Whether this build has csvfs; says so when not."""
    missing = [name for name in ('csvfs', 'csvfs-owner', 'csvfs-admin') if not program(name)]
    if missing:
        print(f'left out, not in this build: {", ".join(missing)}', file=sys.stderr)  # stdout may be for figures
    return not missing


def go_on(process):
    """What Node.start() started: nsenter stops itself when its child is stopped, and would never reap it."""
    process.send_signal(signal.SIGCONT)


def ended(process):
    """Waits for what Node.start() started."""
    go_on(process)
    process.wait(READY_S)


class San(labsan.San):
    """That of this build."""

    def __init__(self, log, size=GIB, sector=512):
        super().__init__(tool('csvsan'), log, size, sector)


class DiskSan:
    """Paths to a file of this machine's disk, each a loop device with direct I/O: for figures, without faults. The file has no
    name and the loop devices clear themselves: nothing stays."""
    LOOP_CTL_GET_FREE, LOOP_CONFIGURE = 0x4C82, 0x4C0A
    AUTOCLEAR, DIRECT_IO = 4, 16
    INFO = '=II5Q4I64s64s32s2Q64x'  # struct loop_config

    def __init__(self, folder, size=GIB, sector=512):
        self.sector, self.fds = sector, {}
        self.file = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_DIRECT)
        with mmap.mmap(-1, 8 << 20) as zeros:
            for at in range(0, size, len(zeros)):  # blocks that are there: else what is measured is their allocation
                os.pwritev(self.file, [zeros], at)
        os.fsync(self.file)

    def attach(self, name):
        config = struct.pack(self.INFO, self.file, self.sector, 0, 0, 0, 0, 0, 0, 0, 0, self.AUTOCLEAR | self.DIRECT_IO,
                             b'', b'', b'', 0, 0)
        with open('/dev/loop-control', 'rb') as control:
            while name not in self.fds:
                fd = os.open(f'/dev/loop{fcntl.ioctl(control, self.LOOP_CTL_GET_FREE)}', os.O_RDWR)
                try:
                    fcntl.ioctl(fd, self.LOOP_CONFIGURE, config)
                    self.fds[name] = fd
                except OSError as e:
                    os.close(fd)
                    if e.errno != errno.EBUSY:  # somebody was quicker
                        raise
        number = os.fstat(self.fds[name]).st_rdev
        return os.major(number), os.minor(number)

    def ask(self, what, name):
        if what != 'detach':
            raise LabError(f'a plain disk: {what}')
        os.close(self.fds.pop(name))

    def close(self):
        for name in list(self.fds):
            self.ask('detach', name)
        os.close(self.file)


class Node:
    """A host of the lab with its path and its programs."""

    def __init__(self, rig, n):
        self.rig = rig
        self.n = n
        self.name = labconf.host_name(n)
        self.address = labconf.address(n, 0)
        self.device = None      # (major, minor) of its loop device
        self.client = None
        self.owner = None
        self.incarnation = 0    # of the client that runs or ran last
        self.redirected = False
        self.client_options, self.client_prefix = [], []

    # -- the host

    def boot(self):
        """After the lab has (again) started it: a path of its own, /dev/lun."""
        if self.device:
            self.rig.san.ask('detach', self.name)
        self.device = self.rig.san.attach(self.name)
        self.run('mknod', '/dev/lun', 'b', *(str(x) for x in self.device))
        self.run('blockdev', '--setrw', '/dev/lun')  # a loop device is still what a test that failed has made of it
        self.run('mkdir', '-p', '/run/csvfs')

    def command(self, *argv):
        return self.rig.lab.command(self.name, [str(a) for a in argv])

    def run(self, *argv, timeout=60, ok=True):
        result = subprocess.run(self.command(*argv), capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=timeout)
        if ok and result.returncode:
            raise LabError(f'{self.name}: {" ".join(str(a) for a in argv)}: exit {result.returncode}: '
                           f'{result.stderr.strip()} {result.stdout.strip()}')
        return result

    def start(self, log, *argv):
        with open(f'{self.rig.logs}/{log}', 'a') as out:
            return subprocess.Popen(self.command(*argv), stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def power_loss(self):
        """What it had not sent is lost. Returns when no process of it is left and its path is dead."""
        # All at once: an error of the path is nothing that anybody on it lives to see.
        self.rig.san.mode(self.name, 'hang')
        mounts = self.fuse_mounts()
        with contextlib.suppress(LabError, ProcessLookupError):
            os.kill(self.rig.lab.init_pid(self.name), signal.SIGKILL)
        self.rig.san.mode(self.name, 'dead')
        labfuse.abort(mounts)
        processes = [p for p in (self.client, self.owner) if p]
        for process in processes:
            go_on(process)
        self.rig.lab.ask('kill', host=self.name, process='all')
        for process in processes:
            ended(process)
        self.client = self.owner = None

    def fuse_mounts(self):
        with contextlib.suppress(LabError):
            return labfuse.mounts(self.rig.lab.init_pid(self.name))
        return []

    def power_on(self):
        self.rig.lab.ask('on', hosts=[self.name])
        self.boot()

    def path(self, mode):
        self.rig.san.mode(self.name, mode)

    def device_free(self):
        """Nobody has it mounted any more, in whatever namespace."""
        try:
            os.close(os.open(f'/dev/loop{self.device[1]}', os.O_RDWR | os.O_EXCL))
        except OSError:
            return False
        return True

    # -- csvfs-owner

    def ctl(self, which, *words, ok=True):
        """A question to "owner" or "client" by its control socket, as clusterd asks; the answer, or None when it failed."""
        command, *rest = words
        result = self.run(program('csvfs-admin'), '--json', command, f'/run/csvfs/{which}', *rest, ok=ok)
        return json.loads(result.stdout) if result.returncode == 0 else None

    def status(self, which):
        return self.ctl(which, 'status', ok=False)

    def start_owner(self, epoch):
        self.owner = self.start(f'owner-{self.name}.log', *self.rig.owner_argv(self, epoch))

    def wait_owner(self):
        def ready():
            if self.owner.poll() is not None:
                raise LabError(f'csvfs-owner on {self.name} ended with {self.owner.returncode}: see owner-{self.name}.log')
            return self.status('owner')
        return eventually(ready, READY_S, f'csvfs-owner on {self.name} answers')

    def end(self, which, process, how):
        """TERM waits for the orderly end; KILL for the end."""
        if how == 'TERM':
            control = f'/run/csvfs/{"client" if process == "csvfs" else "owner"}'
            self.run('pkill', '-TERM', '-f', f'control {control}', ok=False)  # the name is another one with CSVFS_UNDER
        else:
            mounts = self.fuse_mounts() if process == 'csvfs' else []
            self.rig.lab.ask('kill', host=self.name, process=process)
            labfuse.abort(mounts)
        try:
            ended(which)
        except subprocess.TimeoutExpired:
            raise LabError(f'{process} on {self.name} does not end after SIG{how}') from None

    def end_owner(self, how='TERM'):
        self.end(self.owner, 'csvfs-owner', how)
        self.owner = None

    def bury_owner(self):
        """KILL, unless it has seen what befell its device, and ended by itself."""
        with contextlib.suppress(LabError):
            self.rig.lab.ask('kill', host=self.name, process='csvfs-owner')
        ended(self.owner)
        self.owner = None

    # -- csvfs

    def start_client(self):
        self.rig.incarnation += 1
        self.incarnation = self.rig.incarnation
        self.run('umount', '-l', MOUNT, ok=False)
        self.client = self.start(f'client-{self.name}.log', *self.rig.client_argv(self))

        def ready():
            if self.client.poll() is not None:
                raise LabError(f'csvfs on {self.name} ended with {self.client.returncode}: see client-{self.name}.log')
            return self.status('client')
        eventually(ready, READY_S, f'csvfs on {self.name} answers')
        self.tell_owner()

    def tell_owner(self):
        owner = self.rig.owner_node
        if self.client and owner:
            self.ctl('client', 'set-owner', self.rig.epoch, owner.n, f'{owner.address}:{PORT}')

    def wait_client(self, states=('direct',), timeout_s=READY_S):
        def ready():
            status = self.status('client')
            return status if status and status['state'] in states else None
        return eventually(ready, timeout_s, f'csvfs on {self.name} is {" or ".join(states)}, is {self.status("client")}')

    def end_client(self, how='TERM'):
        self.end(self.client, 'csvfs', how)
        self.client = None


class Rig:
    """Hosts, SAN, one volume. Use rig() below."""

    def __init__(self, lab, logs, san, filesystem):
        self.lab = lab
        self.logs = logs
        self.san = san
        self.filesystem = filesystem
        self.nodes = [Node(self, n) for n in range(1, lab.ask('status')['conf']['hosts'] + 1)]
        self.epoch = 0
        self.incarnation = 0
        self.owner_node = None
        self.key = f'{lab.run}/guest/key'
        with open(self.key, 'wb', opener=lambda p, f: os.open(p, f, 0o400)) as f:
            f.write(os.urandom(128))
        for node in self.nodes:
            node.boot()

    def node(self, n):
        return self.nodes[n - 1]

    # -- how the programs are called

    def owner_argv(self, node, epoch):
        return [*UNDER, program('csvfs-owner'), '--foreground', '--device', '/dev/lun', '--key', '/run/lab/key', '--control', '/run/csvfs/owner',
                '--node', node.n, '--epoch', epoch, '--listen', f'{node.address}:{PORT}']

    def client_argv(self, node):
        return [*UNDER, *node.client_prefix, program('csvfs'), '--foreground', '--device', '/dev/lun', '--key', '/run/lab/key', '--control', '/run/csvfs/client',
                '--node', node.n, '--incarnation', node.incarnation, *node.client_options, MOUNT]

    def format(self):
        self.node(1).run(program('csvfs-admin'), 'create', '--label', 'lab', '--filesystem', self.filesystem, '/dev/lun', timeout=120)

    # -- ownership

    def own(self, node):
        """A new owner with a higher epoch; the sessions are told. The one before must be gone or fenced."""
        self.epoch += 1
        node.start_owner(self.epoch)
        node.wait_owner()
        self.owner_node = node
        for other in self.nodes:
            other.tell_owner()

    def move(self, node):
        """Orderly: the old owner unmounts first."""
        self.owner_node.end_owner('TERM')
        self.own(node)

    def fenced(self, node, incarnation):
        """To the owner: that run of csvfs cannot write any more."""
        self.owner_node.ctl('owner', 'fenced', node.n, incarnation)

    def start(self, owner=1):
        self.format()
        self.own(self.node(owner))
        for node in self.nodes:
            node.start_client()
        for node in self.nodes:
            node.wait_client()

    # -- the end

    def stop(self):
        for node in self.nodes:
            if node.client:
                node.end_client()
        if self.owner_node and self.owner_node.owner:
            self.owner_node.end_owner()
        self.owner_node = None

    def fsck(self):
        """Of the volume, by a path of its own; the output when it found something, else ''."""
        _, minor = self.san.attach('fsck')
        try:
            device = f'/dev/loop{minor}'
            argv = ['xfs_repair', '-n', device] if self.filesystem == 'xfs' else ['e2fsck', '-fn', device]
            result = subprocess.run(argv, capture_output=True, text=True)
            return '' if result.returncode == 0 else f'exit {result.returncode}\n{result.stdout}{result.stderr}'
        finally:
            self.san.ask('detach', 'fsck')

    @contextlib.contextmanager
    def plain_mount(self):
        """The volume as any Linux host mounts it, read-only: a directory. After private_mounts()."""
        _, minor = self.san.attach('plain')
        folder = tempfile.mkdtemp(prefix='plain-', dir=MOUNT)
        try:
            subprocess.run(['mount', '-o', 'ro', f'/dev/loop{minor}', folder], check=True)
            yield folder
        finally:
            subprocess.run(['umount', folder], capture_output=True)
            os.rmdir(folder)
            self.san.ask('detach', 'plain')

    def close(self):
        self.san.close()


@contextlib.contextmanager
def rig(hosts, label='', size=GIB, sector=512, filesystem='ext4', keep_logs=None, disk=None):
    """A rig that is gone when the block ends; the logs are shown when it ends by an exception. disk: a folder, for a SAN
    without faults in a file there."""
    with labtest.lab(hosts, label=f'-csvfs{label}') as lab:
        for node in range(1, hosts + 1):
            with contextlib.suppress(LabError):  # no node needs it here, and it costs memory
                lab.ask('kill', host=labconf.host_name(node), process='corosync')
        logs = keep_logs or f'{lab.run}/csvfs-logs'
        os.makedirs(logs, exist_ok=True)
        san = DiskSan(disk, size, sector) if disk else San(f'{logs}/san.log', size, sector)
        one = Rig(lab, logs, san, filesystem)
        try:
            yield one
        except BaseException:
            show_logs(logs)
            raise
        finally:
            # Hosts first: what still writes must not meet a SAN that is gone.
            with contextlib.suppress(LabError):
                lab.ask('off', hosts=['all'])
            one.close()


def show_logs(logs, lines=25):
    for name in sorted(os.listdir(logs)):
        with open(f'{logs}/{name}', errors='replace') as f:
            text = f.readlines()[-lines:]
        print(f'--- {name}\n{"".join(text)}', end='', flush=True)


def private_mounts():
    """This process's mounts are its own from now on, and end with it. The folder for them."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS):
        raise LabError(f'unshare: {os.strerror(ctypes.get_errno())}')
    subprocess.run(['mount', '--make-rprivate', '/'], check=True)
    subprocess.run(['mount', '-t', 'tmpfs', '-o', 'mode=755', 'csvrig', MOUNT], check=True)
    return MOUNT


@contextlib.contextmanager
def local_file_systems(count, size=GIB, filesystem='ext4', sector=512, options='noatime'):
    """Plain local file systems to compare with: directories. After private_mounts()."""
    sans, places = [], []
    try:
        for i in range(count):
            san = San('/dev/null', size, sector)
            sans.append(san)
            device = f'/dev/loop{san.attach("local")[1]}'
            place = tempfile.mkdtemp(prefix=f'local-{i}-', dir=MOUNT)
            os.chmod(place, 0o755)
            mkfs = ['mkfs.xfs', '-q'] if filesystem == 'xfs' else ['mkfs.ext4', '-q', '-O', '^inline_data']
            subprocess.run([*mkfs, device], check=True)
            subprocess.run(['mount', '-o', options, device, place], check=True)
            places.append(place)
        yield places
    finally:
        for place in places:
            subprocess.run(['umount', place], check=True)
        for san in sans:
            san.close()


def clock():
    return time.strftime('%H:%M:%S', time.gmtime())
