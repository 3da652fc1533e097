# SPDX-License-Identifier: GPL-2.0-or-later
"""A lab whose hosts have a SAN and run shared volumes under clusterd: a writer that knows what was acknowledged, and looks."""
import contextlib
import json
import os
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, f'{HERE}/../csvfs')
import csvrig  # noqa: E402
import labcluster  # noqa: E402
import labtest  # noqa: E402
from labctl import LabError  # noqa: E402
from labtest import check_equal, eventually  # noqa: E402

PLACE = '/run/ClusterStorage'  # gone with the host: the lab's hosts share the machine's root directory
UP_S = 60
FAIL_OVER_S = 120
PAUSE_MAX_S = 60  # far below the volume's pause_max, far above what a fail-over here takes

# Writes its number into one block after the other and says which are on the disk. Ends on the first error.
WRITER = r'''
import os, sys, time
path, acks, blocks = sys.argv[1], sys.argv[2], 64
fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
out = os.open(acks, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
number = 0
while True:
    number += 1
    try:
        os.pwrite(fd, (b'%016d' % number) * 256, number % blocks * 4096)
        os.fsync(fd)
    except OSError as e:
        os.write(out, b'error %s\n' % str(e).encode())
        sys.exit(1)
    os.write(out, b'%d %d\n' % (number, time.monotonic_ns() // 1000000))
    time.sleep(0.01)
'''


def have_programs():
    return csvrig.have_programs()


class Writer:
    """On a host; what it was told is on the disk is compared with what a reader finds."""

    def __init__(self, rig, host, name):
        self.rig = rig
        self.host = host
        self.path = f'{PLACE}/v1/{name}'
        self.acks = f'{rig.lab.run}/guest/shared/{name}.acks'
        script = f'{rig.lab.run}/guest/shared/writer.py'
        with open(script, 'w') as f:
            f.write(WRITER)
        self.process = subprocess.Popen(rig.lab.command(host, ['python3', '-B', '/run/lab/shared/writer.py', self.path,
                                                               f'/run/lab/shared/{name}.acks']),
                                        stdin=subprocess.DEVNULL)
        self.wait_acks(20)

    def lines(self):
        with contextlib.suppress(FileNotFoundError), open(self.acks) as f:
            return [line.split() for line in f.read().splitlines(True) if line.endswith('\n')]
        return []

    def wait_acks(self, more):
        """So many more than now."""
        before = len(self.lines())
        eventually(lambda: self.process.poll() is not None or len(self.lines()) >= before + more, FAIL_OVER_S,
                   f'{more} writes on {self.host}; {self.lines()[-1:]}')
        if self.process.poll() is not None:
            raise LabError(f'the writer on {self.host} ended: {self.lines()[-1:]}')

    def wait_stuck(self, quiet_s=1.0):
        """No write has been acknowledged for so long."""
        eventually(lambda: time.monotonic() - int(self.lines()[-1][1]) / 1000 >= quiet_s, FAIL_OVER_S, f'writes on {self.host} wait')

    def longest_pause_s(self):
        times = [int(line[1]) for line in self.lines()]
        return max((b - a for a, b in zip(times, times[1:])), default=0) / 1000

    def stop(self, reader):
        """Ends it and checks from another host: every block has the newest number that was acknowledged for it, or the
        one that was under way."""
        pid = self.rig.run(self.host, 'pgrep', '-f', f'^python3.*{self.path}').split()[0]
        self.rig.run(self.host, 'kill', pid)
        self.process.wait()
        acked = [int(line[0]) for line in self.lines()]
        data = subprocess.run(self.rig.lab.command(reader, ['cat', self.path]), capture_output=True, check=True).stdout
        bad = []
        for number in acked[-64:]:
            found = data[number % 64 * 4096:][:4096]
            if found != (b'%016d' % number) * 256 and found != (b'%016d' % (acked[-1] + 1)) * 256:
                bad.append((number, found[:16]))
        check_equal(bad, [], f'blocks of {self.path} that {reader} reads otherwise than {self.host} wrote them')


class Rig:
    def __init__(self, lab):
        self.lab = lab
        self.cluster = labcluster.Cluster(lab)
        self.names = self.cluster.names
        self.san = csvrig.San(f'{lab.run}/san.log')
        for host in self.names:
            self.attach(host)

    def attach(self, host):
        """A path to the disk, by a device of its own."""
        with contextlib.suppress(LabError):
            self.san.ask('detach', host)
        major, minor = self.san.attach(host)
        self.run(host, 'mknod', '/dev/lun', 'b', str(major), str(minor))

    def run(self, host, *argv, ok=True, timeout=60):
        result = self.lab.exec(host, *argv, timeout=timeout)
        if ok and result.returncode:
            raise LabError(f'{host}: {" ".join(argv)}: exit {result.returncode}: {result.stderr.strip()} {result.stdout.strip()}')
        return result.stdout

    def ctl(self, *words, timeout=60):
        return self.cluster.any_ctl(*words, timeout=timeout).stdout

    def power_loss(self, host):
        """What it had not sent is lost, and nothing of it reaches the disk any more."""
        self.san.mode(host, 'hang')
        os.kill(self.lab.init_pid(host), signal.SIGKILL)
        self.san.mode(host, 'dead')
        self.lab.ask('kill', host=host, process='all')

    def power_on(self, host):
        self.lab.ask('on', hosts=[host])
        self.attach(host)
        eventually(self.cluster.all_online, UP_S, f'{host} is online again')

    # -- looking

    def mount_status(self, host, name='v1'):
        """What csvfs there says."""
        result = self.lab.exec(host, 'csvfs-admin', '--json', '--timeout', '2', 'status', f'/run/clusterd/volumes/{name}.node')
        return json.loads(result.stdout) if result.returncode == 0 else None

    def wait_mounted(self, hosts, name='v1', states=('direct',)):
        for host in hosts:
            eventually(lambda h=host: (self.mount_status(h, name) or {}).get('state') in states, UP_S,
                       f'{name} is {" or ".join(states)} on {host}, is {self.mount_status(host, name)}')

    def states(self, host):
        """What clusterctl on that host says of all nodes."""
        return json.loads(self.cluster.ctl(host, 'volume', 'state', '--json').stdout)['volume_states']

    def mounts(self, host):
        return [line.split()[4] for line in self.run(host, 'cat', '/proc/self/mountinfo').splitlines() if ' fuse.csvfs ' in line]

    def role(self, name):
        for host in self.names:
            with contextlib.suppress(LabError, ValueError, KeyError):
                for role in self.cluster.objects(host, 'role'):
                    if role['name'] == name:
                        return role
        return None

    def wait_role(self, name, owner=None, timeout_s=FAIL_OVER_S):
        """Online, on `owner` if that is given; where."""
        def where():
            role = self.role(name)
            good = role and role['state'] == 'online' and (not owner or role['owner'] == owner)
            return role['owner'] if good else None
        return eventually(where, timeout_s, f'role {name} is online on {owner or "any node"}, is {self.role(name)}')

    def incarnation(self, host, of):
        with contextlib.suppress(LabError, ValueError, KeyError):
            return {n['name']: n['incarnation'] for n in self.cluster.objects(host, 'node')}[of]
        return None

    def csvfs_pid(self, host, name='v1'):
        return int(self.run(host, 'cat', f'/run/clusterd/volumes/{name}.node.process').split()[0])

    def owner_pid(self, host, name='v1'):
        return int(self.run(host, 'cat', f'/run/clusterd/volumes/{name}.owner.process').split()[0])

    def up(self):
        """Until the cluster is there."""
        self.lab.ask('wait', condition='formed', timeout=UP_S)
        self.cluster.configure()
        self.cluster.heal()

    def make(self):
        """v1 is there on all nodes once it is added, and one file system. Its owner."""
        self.run('node1', 'csvfs-admin', 'create', '--label', 'v1', '/dev/lun', timeout=120)
        self.ctl('volume', 'add', 'v1', '/dev/lun', '--wait')
        owner = self.wait_role('volume.v1')
        self.wait_mounted(self.names)
        for host in self.names:
            check_equal(self.mounts(host), [f'{PLACE}/v1'], f'mounts of {host}')
        return owner

    def close(self):
        with contextlib.suppress(LabError):
            self.lab.ask('off', hosts=['all'])  # what still writes must not meet a SAN that is gone
        self.san.close()


@contextlib.contextmanager
def volume_lab(fence='reboot'):
    with labtest.lab(3, label='-volume', clusterd=True, fence=fence, settings={'volume_dir': PLACE}) as lab:
        rig = Rig(lab)
        try:
            yield rig
        except BaseException:
            show(rig)
            raise
        finally:
            rig.close()


def show(rig, lines=40):
    for host in rig.names:
        folder = f'{rig.lab.run}/hosts/{host}/log/clusterd'
        for path in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            with open(f'{folder}/{path}', errors='replace') as f:
                print(f'--- {host} {path}\n{"".join(f.readlines()[-lines:])}', end='', flush=True)


def step(text):
    print(f'{time.strftime("%H:%M:%S")} {text}', flush=True)
