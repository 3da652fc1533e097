#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Shared volumes under clusterd when something is lost: clusterd itself, csvfs, a node that leaves, one that is cut off."""
import os
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import labtest  # noqa: E402
import labvolume  # noqa: E402
from labtest import check, check_equal, eventually  # noqa: E402
from labvolume import FAIL_OVER_S, PLACE, UP_S, Writer, step  # noqa: E402


def clusterd_log(rig, host):
    with open(f'{rig.lab.run}/hosts/{host}/log/clusterd/clusterd.log') as f:
        return f.read()


def drain(rig, owner):
    """Ownership follows a drain; the volume stays mounted on the node."""
    rig.ctl('node', 'drain', owner)
    new = eventually(lambda: rig.role('volume.v1')['owner'] not in ('', None, owner) and rig.wait_role('volume.v1'), FAIL_OVER_S,
                     f'{owner} is drained')
    check(new != owner, f'{owner} was drained and still owns the volume')
    rig.wait_mounted([owner])
    rig.ctl('node', 'resume', owner)
    return new


def restart_clusterd(rig, owner):
    """A clusterd that dies and comes back finds csvfs and csvfs-owner as they were; nobody sees anything of it."""
    writer = Writer(rig, owner, 'restart')
    pids = {host: rig.csvfs_pid(host) for host in rig.names}
    owner_pid = rig.run(owner, 'cat', '/run/clusterd/volumes/v1.owner.process')
    for host in rig.names:
        before = rig.incarnation(owner, host)
        rig.lab.ask('kill', host=host, process='clusterd')
        rig.lab.ask('restart', host=host, process='clusterd')
        eventually(lambda h=host, b=before: rig.incarnation(h, h) not in (None, b) and rig.cluster.all_online(), UP_S,
                   f'{host} is online again')
    writer.wait_acks(50)
    check_equal({host: rig.csvfs_pid(host) for host in rig.names}, pids, 'csvfs after restarts of clusterd')
    check_equal(rig.run(owner, 'cat', '/run/clusterd/volumes/v1.owner.process'), owner_pid, 'csvfs-owner after restarts of clusterd')
    check_equal(rig.wait_role('volume.v1'), owner, 'owner after restarts of clusterd')
    writer.stop(next(h for h in rig.names if h != owner))


def wait_new_csvfs(rig, host, pid):
    eventually(lambda: rig.lab.exec(host, 'cat', '/run/clusterd/volumes/v1.node.process').stdout.split()[:1] not in
               ([], [str(pid)]), UP_S, f'csvfs on {host} is started again')


def lose_csvfs(rig, owner):
    """csvfs that is killed is started again; its old leases hold up nobody, and its node is not fenced for them."""
    victim = next(h for h in rig.names if h != owner)
    boots = {h['name']: h['boots'] for h in rig.cluster.status()}
    writer = Writer(rig, owner, 'lose_csvfs')
    rig.run(victim, 'sh', '-c', f'exec 3<>{PLACE}/v1/lose_csvfs; dd if={PLACE}/v1/lose_csvfs of=/dev/null bs=4k 2>/dev/null')
    pid = rig.csvfs_pid(victim)
    rig.run(victim, 'kill', '-9', str(pid))
    wait_new_csvfs(rig, victim, pid)
    rig.wait_mounted([victim])
    rig.run(owner, 'truncate', '-s', '0', f'{PLACE}/v1/hello')  # recalls what was lent
    writer.wait_acks(20)
    writer.stop(victim)
    check_equal({h['name']: h['boots'] for h in rig.cluster.status()}, boots, 'no host was fenced because csvfs died')


# Has the open device of a csvfs too, until a word: as the kernel has it while something that csvfs gave to the device is under way.
HOLDER = r'''
import ctypes, os, stat, sys
pid, libc = int(sys.argv[1]), ctypes.CDLL(None, use_errno=True)
pidfd, kept = os.pidfd_open(pid), []
for fd in os.listdir(f'/proc/{pid}/fd'):
    try:
        if stat.S_ISBLK(os.stat(f'/proc/{pid}/fd/{fd}').st_mode):
            kept.append(libc.syscall(438, pidfd, int(fd), 0))  # pidfd_getfd(2)
    except FileNotFoundError:
        pass
print(len([fd for fd in kept if fd >= 0]), flush=True)
sys.stdin.readline()
'''


def lose_csvfs_while_it_writes(rig, owner):
    """One that is gone, and the device has not answered all that it was asked: nobody is told that it has ended, and no other one is
    started, before that is over."""
    victim = next(h for h in rig.names if h != owner)
    pid = rig.csvfs_pid(victim)
    writer = Writer(rig, owner, 'lingers')
    with subprocess.Popen(rig.lab.command(victim, ['python3', '-c', HOLDER, str(pid)]), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as holder:
        check_equal(holder.stdout.readline(), '1\n', 'open devices of csvfs')
        rig.run(victim, 'kill', '-9', str(pid))
        eventually(lambda: 'volume_lingers' in clusterd_log(rig, victim), UP_S, f'{victim} says that the device has not answered')
        writer.wait_acks(50)
        for _ in range(2):  # also a clusterd that starts now sees it
            check_equal(rig.lab.exec(victim, 'pgrep', '-x', 'csvfs').stdout, '', 'csvfs that runs meanwhile')
            check('volume_detached' not in clusterd_log(rig, victim).rpartition('volume_lingers')[2], 'it counts as one that has ended')
            before = rig.incarnation(victim, victim)
            rig.lab.ask('kill', host=victim, process='clusterd')
            rig.lab.ask('restart', host=victim, process='clusterd')
            eventually(lambda b=before: rig.incarnation(victim, victim) not in (None, b) and rig.cluster.all_online(), UP_S,
                       f'{victim} is online again')
        holder.stdin.write('\n')
        holder.stdin.flush()
        wait_new_csvfs(rig, victim, pid)
    rig.wait_mounted([victim])
    writer.stop(victim)


# Has a page of a file, and at a word wants another one.
MAPPER = r'''
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o644)
os.write(fd, b'x' * (4 << 20))
os.fsync(fd)
m = mmap.mmap(fd, 4 << 20)
print(os.getpid(), m[0], flush=True)
sys.stdin.readline()
m[3 << 20]
'''


def lose_csvfs_in_kernel(rig, owner):
    """One that is killed while a thread of it is in the kernel and waits for a page that only its own answer would let go: it
    would never end, nor would anybody who uses the mount."""
    victim = next(h for h in rig.names if h != owner)
    path = f'{PLACE}/v1/mapped'
    with subprocess.Popen(rig.lab.command(victim, ['python3', '-c', MAPPER, path]), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True) as mapper:
        inside, pid = mapper.stdout.readline().split()[0], rig.csvfs_pid(victim)
        rig.san.mode(victim, 'hang')
        mapper.stdin.write('\n')
        mapper.stdin.flush()
        eventually(lambda: rig.run(victim, 'cat', f'/proc/{inside}/stat').rsplit(')', 1)[1].split()[0] == 'D', UP_S,
                   'a page is being read')
        with subprocess.Popen(rig.lab.command(owner, ['head', '-c', '1', path]), stdout=subprocess.DEVNULL) as reader:
            eventually(lambda: 'folio_lock' in rig.run(victim, 'sh', '-c', f'cat /proc/{pid}/task/*/wchan'), UP_S,
                       'csvfs waits for that page, to drop it')
            rig.run(victim, 'kill', '-9', str(pid))
            rig.san.mode(victim, 'up')
            eventually(lambda: mapper.poll() is not None, UP_S, f'who waits on {victim} for csvfs that was killed gets an error')
            check(mapper.returncode != 0, 'it has read a page that nobody gave it')
            wait_new_csvfs(rig, victim, pid)
            check_equal(reader.wait(UP_S), 0, f'a reader on {owner}')
    rig.wait_mounted([victim])
    check_equal(rig.run(victim, 'sh', '-c', f'tr -d x <{path} | wc -c; wc -c <{path}').split(), ['0', str(4 << 20)],
                f'what {victim} reads by its new csvfs')


def leave(rig, owner):
    """A node that leaves in order has nothing mounted any more; busy files hold it up and are named."""
    victim = next(h for h in rig.names if h != owner)
    rig.run(victim, 'sh', '-c', f'cd {PLACE}/v1 && (sleep 1000 </dev/null >/dev/null 2>&1 & echo $! >/run/holder)')
    rig.cluster.ctl(victim, 'node', 'stop', timeout=5)  # does not wait for the end of it
    eventually(lambda: 'in use by sleep' in clusterd_log(rig, victim), UP_S, f'{victim} says who uses the volume')
    check_equal(rig.mounts(victim), [f'{PLACE}/v1'], 'a volume in use stays mounted')
    rig.run(victim, 'sh', '-c', 'kill $(cat /run/holder)')
    eventually(lambda: not rig.mounts(victim), UP_S, f'{victim} has unmounted')
    eventually(lambda: [n['state'] for n in rig.cluster.objects(owner, 'node') if n['name'] == victim] == ['down'], UP_S,
               f'{victim} has left')
    rig.lab.ask('restart', host=victim, process='clusterd')
    eventually(rig.cluster.all_online, UP_S, f'{victim} is back')
    rig.wait_mounted([victim])


def test_losses():
    with labvolume.volume_lab() as rig:
        rig.up()
        owner = rig.make()
        rig.run(owner, 'touch', f'{PLACE}/v1/hello')
        step('drain')
        owner = drain(rig, owner)
        step('restart of clusterd')
        restart_clusterd(rig, owner)
        step('csvfs dies')
        lose_csvfs(rig, owner)
        step('csvfs dies, and what it writes is under way')
        lose_csvfs_while_it_writes(rig, owner)
        step('csvfs dies and waits for itself')
        lose_csvfs_in_kernel(rig, owner)
        step('a node leaves')
        leave(rig, owner)


def test_isolated():
    """A node without quorum and without a fence ends its csvfs before T_stop: only then is what it had given to others."""
    with labvolume.volume_lab(fence=None) as rig:
        rig.up()
        owner = rig.make()
        victim = next(h for h in rig.names if h != owner)
        others = [h for h in rig.names if h != victim]
        writer = Writer(rig, others[-1], 'isolated')
        boots = {h['name']: h['boots'] for h in rig.cluster.status()}
        lent = f'{PLACE}/v1/isolated'
        rig.run(victim, 'dd', f'if={lent}', f'of={lent}.copy', 'bs=64k', 'conv=fsync')
        rig.lab.ask('cut', groups=[[victim], others])
        eventually(lambda: not rig.mounts(victim), UP_S, f'{victim} has ended its csvfs')
        step(f'{victim} is alone and has nothing mounted any more')
        eventually(lambda: [n['state'] for n in rig.cluster.objects(owner, 'node') if n['name'] == victim] == ['down'],
                   FAIL_OVER_S, f'T_stop has passed for {victim}')
        rig.run(owner, 'truncate', '-s', '0', f'{lent}.copy')  # what it had is taken back
        writer.wait_acks(50)
        rig.lab.ask('heal')
        eventually(rig.cluster.all_online, UP_S, f'{victim} is back')
        rig.wait_mounted([victim])
        writer.stop(victim)
        check_equal({h['name']: h['boots'] for h in rig.cluster.status()}, boots, 'nobody was reset')


if __name__ == '__main__':
    if not labvolume.have_programs():
        sys.exit(labtest.SKIP)
    labtest.main(test_losses, test_isolated)
