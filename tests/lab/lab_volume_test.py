#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Cluster shared volumes by clusterctl: added, used by a role, moved, kept through the loss of the owner's host under writes,
in maintenance, redirected, renamed, removed."""
import json
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import labcluster  # noqa: E402
import labtest  # noqa: E402
import labvolume  # noqa: E402
from labtest import check, check_equal, eventually  # noqa: E402
from labvolume import FAIL_OVER_S, PAUSE_MAX_S, PLACE, UP_S, Writer, step  # noqa: E402


def refused(rig):
    """A device that carries no volume, or is not there, is refused before anything is made."""
    said = rig.cluster.ctl('node1', 'volume', 'add', 'v1', '/dev/lun')
    check_equal(said.returncode, 17, f'exit code for a device without a volume: {said.stderr}')
    check('csvfs-admin create makes one' in said.stderr, f'the way out is told: {said.stderr}')
    said = rig.cluster.ctl('node1', 'volume', 'add', 'v1', '/dev/nothing')
    check_equal(said.returncode, 17, f'exit code for a device that is not there: {said.stderr}')
    check('/dev/nothing: No such file' in said.stderr, f'the device is named: {said.stderr}')
    check_equal(json.loads(rig.ctl('volume', 'list', '--json'))['volumes'], [], 'volumes after refusals')


def use(rig):
    """A role that needs the volume runs where it can be used."""
    rig.ctl('role', 'create', 'app', 'volumes=v1', *labcluster.ROLE)
    rig.ctl('resource', 'add', 'app', 'app1', 'ocf:heartbeat:Dummy', *labcluster.RESOURCE)
    rig.wait_role('app')


def write_everywhere(rig):
    """Every node writes, every node reads what all have written."""
    for host in rig.names:
        rig.run(host, 'sh', '-c', f'echo written on {host} >{PLACE}/v1/from-{host}')
    for host in rig.names:
        for other in rig.names:
            check_equal(rig.run(host, 'cat', f'{PLACE}/v1/from-{other}'), f'written on {other}\n', f'{host} reads what {other} wrote')


def move(rig, owner):
    """Ownership moves while a node writes."""
    target = next(h for h in rig.names if h != owner)
    writer = Writer(rig, owner, 'move')
    rig.ctl('volume', 'move', 'v1', target, '--wait')
    rig.wait_role('volume.v1', target)
    writer.wait_acks(50)
    step(f'moved from {owner} to {target}; longest pause of the writer {writer.longest_pause_s():.1f} s')
    writer.stop(target)
    return target


def lose_owner(rig, owner):
    """Its writes end, another node owns the volume after the fence; who writes elsewhere sees a pause and no error."""
    other = next(h for h in rig.names if h != owner)
    reader = next(h for h in rig.names if h not in (owner, other))
    writer = Writer(rig, other, 'lose_owner')
    rig.power_loss(owner)
    new = eventually(lambda: (rig.role('volume.v1') or {}).get('owner') not in (None, '', owner) and
                     (rig.role('volume.v1') or {}).get('state') == 'online' and rig.role('volume.v1')['owner'], FAIL_OVER_S,
                     f'another owner than {owner}: {rig.role("volume.v1")}')
    writer.wait_acks(50)
    pause = writer.longest_pause_s()
    step(f'owner {owner} lost, {new} owns; longest pause of the writer {pause:.1f} s')
    check(pause < PAUSE_MAX_S, f'the writer paused for {pause} s')
    writer.stop(reader)
    check_equal(rig.run(reader, 'cat', f'{PLACE}/v1/from-{owner}'), f'written on {owner}\n', 'an old file after the loss of the owner')
    rig.power_on(owner)
    rig.wait_mounted(rig.names)
    rig.wait_role('app')
    return rig.wait_role('volume.v1')


def redirect(rig, owner):
    """Of one node, then of all; who writes sees nothing of it."""
    node = next(h for h in rig.names if h != owner)
    writer = Writer(rig, node, 'redirect')
    rig.ctl('volume', 'redirect', 'v1', 'on', node)
    rig.wait_mounted([node], states=('file-system-redirected',))
    check_equal(rig.mount_status(node)['reason'], 'by-administrator', f'reason why {node} is redirected')
    eventually(lambda: {r['node']: r['state'] for r in rig.states(owner)} ==
               {h: 'file-system-redirected' if h == node else 'direct' for h in rig.names}, UP_S, f'states by node: {rig.states(owner)}')
    check(f'redirect v1 off {node}' in rig.cluster.ctl(owner, 'volume', 'state').stdout, 'volume state says how to end it')
    rig.wait_mounted([h for h in rig.names if h != node])
    before = rig.mount_status(node)
    writer.wait_acks(20)
    after = rig.mount_status(node)
    check(after['redirected_written_bytes'] > before['redirected_written_bytes'], f'{node} writes through the owner')
    check_equal(after['direct_written_bytes'], before['direct_written_bytes'], f'bytes {node} writes directly while redirected')
    rig.ctl('volume', 'redirect', 'v1', 'on')
    rig.wait_mounted(rig.names, states=('file-system-redirected',))
    rig.ctl('volume', 'redirect', 'v1', 'off')
    rig.wait_mounted(rig.names)
    writer.wait_acks(20)
    writer.stop(owner)


def snapshot(rig, owner):
    """Standing still, said to a node that is not the owner; every node's writes wait, and go on, also when nobody says so."""
    other = next(h for h in rig.names if h != owner)
    writer = Writer(rig, other, 'snapshot')
    said = rig.cluster.ctl(other, 'volume', 'freeze', 'v1')
    check_equal(said.returncode, 0, f'freeze: {said.stderr}')
    check(f'on its owner {owner}, for 60 s at most' in said.stdout, f'freeze says where and for how long: {said.stdout}')
    rows = eventually(lambda: [r for r in rig.states(other) if r['frozen_ms']], UP_S, 'a volume that stands still is told')
    check_equal([(r['node'], r['volume']) for r in rows], [(owner, 'v1')], 'who stands still')
    table = rig.cluster.ctl(other, 'volume', 'state', 'v1').stdout
    check('stands still, for ' in table, f'volume state tells it: {table}')
    check_equal(rig.cluster.ctl(owner, 'volume', 'freeze', 'v1').returncode, 12, 'exit code of a second freeze')
    writer.wait_stuck()
    check_equal(rig.cluster.ctl(other, 'volume', 'thaw', 'v1').returncode, 0, 'thaw')
    writer.wait_acks(20)
    check_equal(rig.cluster.ctl(other, 'volume', 'freeze', 'v1', '--for', '1').returncode, 0, 'freeze for a second')
    writer.wait_acks(20)
    said = rig.cluster.ctl(other, 'volume', 'thaw', 'v1')
    check_equal(said.returncode, 7, f'exit code of a thaw that comes late: {said.stdout}{said.stderr}')
    check('may not be consistent' in said.stderr, f'a thaw that comes late warns: {said.stderr}')
    step(f'longest pause of the writer {writer.longest_pause_s():.1f} s')
    writer.stop(owner)
    # The lab's disk may take no blocks back: then it says so.
    said = rig.cluster.ctl(other, 'volume', 'trim', 'v1')
    check('were given back' in said.stdout or 'takes no free blocks' in said.stderr, f'trim: {said.stdout}{said.stderr}')
    said = rig.cluster.ctl(other, 'volume', 'grow', 'v1')
    check(said.returncode == 0 and 'bytes now' in said.stdout, f'grow of a device that has not: {said.stdout}{said.stderr}')
    said = rig.cluster.ctl(other, 'volume', 'check', 'v1')
    check(said.returncode == 0 and 'no error is noted' in said.stdout, f'check: {said.stdout}{said.stderr}')


def counters(rig, owner):
    """Every node's, asked of any node; what a node writes within an interval is that node's."""
    other = next(h for h in rig.names if h != owner)
    stats = json.loads(rig.ctl('volume', 'stats', 'v1', '--json'))
    check_equal(stats['missing'], [], 'nodes that have not answered')
    check_equal(sorted((r['node'], r['program']) for r in stats['volume_stats']),
                sorted([*((h, 'csvfs') for h in rig.names), (owner, 'csvfs-owner')]), 'whose counters there are')
    writer = Writer(rig, other, 'counters')
    stats = json.loads(rig.ctl('volume', 'stats', 'v1', '--interval', '3', '--json'))
    rows = {(r['node'], r['program']): r for r in stats['volume_stats']}
    mine, quiet = rows[other, 'csvfs'], rows[next(h for h in rig.names if h not in (owner, other)), 'csvfs']
    check(1000 <= mine['interval_ms'] <= 10000, f'interval: {mine["interval_ms"]} ms')
    check(mine['direct_written_bytes'] >= 4096 * 10, f'direct bytes of the writer: {mine}')
    check_equal(mine['direct_written_bytes'], mine['direct_write_us']['count'] * 4096, 'bytes and histogram of the writer')
    check(mine['direct_write_us']['p50'] <= mine['direct_write_us']['p99'], 'percentiles rise')
    check_equal(quiet['direct_written_bytes'] + quiet['redirected_written_bytes'], 0, 'bytes of a node that does not write')
    check('WRITTEN BY OWNER' in rig.ctl('volume', 'stats'), 'the table of counters')
    writer.stop(owner)


def maintenance(rig, owner):
    """Nothing is done about an owner that died but telling; afterwards it is started again, and who writes has waited."""
    node = next(h for h in rig.names if h != owner)
    writer = Writer(rig, node, 'maintenance')
    rig.ctl('volume', 'maintenance', 'v1', 'on')
    rig.run(owner, 'kill', '-9', str(rig.owner_pid(owner)))
    eventually(lambda: 'fails, and is left so' in rig.ctl('why', 'volume.v1'), FAIL_OVER_S, 'the loss of the owner is told')
    rig.wait_mounted(rig.names, states=('paused',))
    check_equal((rig.role('volume.v1') or {}).get('owner'), owner, 'owner in maintenance')
    rig.ctl('volume', 'maintenance', 'v1', 'off')
    rig.wait_mounted(rig.names)
    writer.wait_acks(20)
    step(f'longest pause of the writer {writer.longest_pause_s():.1f} s')
    writer.stop(owner)
    return rig.wait_role('volume.v1')


def offline(rig):
    """The role that needs it stops before it, waits for it, and comes back after it."""
    rig.ctl('volume', 'stop', 'v1', '--force', '--wait')
    check_equal(rig.role('app')['state'], 'pending', 'a role whose volume is offline')
    check('v1' in rig.ctl('why', 'app'), 'why says which volume the role waits for')
    rig.ctl('volume', 'rename', 'v1', 'v2')
    for host in rig.names:
        eventually(lambda h=host: rig.mounts(h) == [f'{PLACE}/v2'], UP_S, f'{host} has the volume at its new name: {rig.mounts(host)}')
        eventually(lambda h=host: rig.run(h, 'ls', PLACE).split() == ['v2'], UP_S, f'{host} has no directory of the old name any more')
    rig.ctl('volume', 'start', 'v2', '--wait')
    rig.wait_mounted(rig.names, 'v2')
    rig.wait_role('app')
    check(rig.role('app')['since_ms'] >= rig.role('volume.v2')['since_ms'], 'app came online after the volume that it needs')
    check_equal(rig.run('node3', 'cat', f'{PLACE}/v2/from-node1'), 'written on node1\n', 'a file after the renaming')


def remove(rig):
    rig.ctl('role', 'stop', 'app', '--wait')
    rig.ctl('role', 'delete', 'app')
    rig.ctl('volume', 'stop', 'v2', '--wait')
    rig.ctl('volume', 'remove', 'v2')
    for host in rig.names:
        eventually(lambda h=host: not rig.mounts(h), UP_S, f'{host} has unmounted the removed volume')
        eventually(lambda h=host: not rig.run(h, 'ls', PLACE), UP_S, f'{host} has removed the directory of the removed volume')


def test_volume():
    with labvolume.volume_lab() as rig:
        step('up')
        rig.up()
        refused(rig)
        owner = rig.make()
        step(f'v1 is owned by {owner}')
        use(rig)
        write_everywhere(rig)
        owner = move(rig, owner)
        owner = lose_owner(rig, owner)
        step('redirect')
        redirect(rig, owner)
        step('counters')
        counters(rig, owner)
        step('freeze, thaw')
        snapshot(rig, owner)
        step('maintenance')
        maintenance(rig, owner)
        step('stop, rename')
        offline(rig)
        step('remove')
        remove(rig)
        step('done')


if __name__ == '__main__':
    if not labvolume.have_programs():
        sys.exit(labtest.SKIP)
    labtest.main(test_volume)
