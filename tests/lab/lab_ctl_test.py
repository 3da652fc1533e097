#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""clusterctl on real hosts: each kind of command once, with real agents, a real database and a real partition."""
import json

import labtest
from labtest import check, check_equal, eventually

MANY = 300  # roles with a resource each: several changes


def ctl(lab, host, code, *words):
    """Runs clusterctl on the host; checks the exit code; returns what it printed."""
    got = lab.exec(host, 'clusterctl', *words)
    check_equal(got.returncode, code, f'clusterctl {" ".join(words)} on {host}: {got.stdout}{got.stderr}: exit code')
    return got.stdout + got.stderr


def role(lab, host, name):
    return json.loads(lab.exec(host, 'clusterctl', 'role', 'show', name, '--json').stdout)['role']


def resources(lab):
    ctl(lab, 'node1', 0, 'role', 'create', 'web', 'preferred=node1', '--wait')
    ctl(lab, 'node1', 0, 'resource', 'add', 'web', 'd1', 'ocf:heartbeat:Dummy', '--wait')
    ctl(lab, 'node2', 0, 'resource', 'add', 'web', 'd2', 'ocf:heartbeat:Dummy', 'depends=d1', '--wait', '--', 'state=/run/d2.state')
    check('no parameter' in ctl(lab, 'node1', 17, 'resource', 'add', 'web', 'd3', 'ocf:heartbeat:Dummy', '--', 'nonsense=1'),
          'an unknown parameter is named')
    check('not installed' in ctl(lab, 'node1', 17, 'resource', 'add', 'web', 'd3', 'ocf:heartbeat:Nothing'), 'an unknown agent is named')
    check('State file' in ctl(lab, 'node1', 0, 'resource', 'describe', 'ocf:heartbeat:Dummy'), 'describe shows parameters')
    ctl(lab, 'node3', 0, 'resource', 'restart', 'd1', '--wait')
    ctl(lab, 'node3', 0, 'resource', 'set', 'd2', '--wait', '--', 'fake=hello')
    check_equal(role(lab, 'node3', 'web')['owner'], 'node1', 'owner after creation')


def moves(lab):
    ctl(lab, 'node1', 0, 'role', 'move', 'web', 'node2', '--wait')
    check_equal(role(lab, 'node1', 'web')['owner'], 'node2', 'owner after the move')
    check('an administrator put it here' in ctl(lab, 'node3', 0, 'why', 'web'), 'why tells of the move')
    check('moves' in ctl(lab, 'node1', 0, 'node', 'drain', 'node2', '--dry-run'), 'the dry run shows the move')
    check_equal(role(lab, 'node1', 'web')['owner'], 'node2', 'owner after a dry run')
    ctl(lab, 'node1', 0, 'node', 'drain', 'node2', '--wait')
    check(role(lab, 'node1', 'web')['owner'] not in (None, 'node2'), 'a drained node owns nothing')
    ctl(lab, 'node1', 0, 'node', 'resume', 'node2', '--failback', '--wait')
    check_equal(role(lab, 'node1', 'web')['owner'], 'node2', 'owner after resume --failback')


def files(lab):
    ctl(lab, 'node1', 0, 'config', 'export', '/run/a.json')
    check('to create: 0, to change: 0, to delete: 0' in ctl(lab, 'node1', 0, 'config', 'import', '/run/a.json'),
          'an export differs in nothing')
    ctl(lab, 'node1', 0, 'config', 'check', '/run/a.json')
    ctl(lab, 'node1', 0, 'backup', '/run/backup.db')
    check('exists already' in ctl(lab, 'node1', 5, 'backup', '/run/backup.db'), 'a backup overwrites nothing')
    check('/nowhere/backup.db' in ctl(lab, 'node1', 15, 'backup', '/nowhere/backup.db'), 'a backup into no directory')
    check(json.loads(ctl(lab, 'node1', 0, 'log', '--json', '-l', '2'))['log'], 'the log as JSON')
    check('is not one of' in ctl(lab, 'node1', 6, 'cluster', 'set', 'witness=bogus'), 'a kind of witness that does not exist')
    check('can drive none yet' in ctl(lab, 'node1', 6, 'cluster', 'set', 'witness=share'), 'a kind of witness that does')
    ctl(lab, 'node1', 0, 'role', 'set', 'web', 'priority=high')
    ctl(lab, 'node1', 0, 'network', 'create', 'late')
    check('would be deleted' in ctl(lab, 'node1', 1, 'restore', '/run/backup.db'), 'restore asks before it deletes')
    check('to create: 0, to change: 1, to delete: 1' in ctl(lab, 'node1', 0, 'restore', '/run/backup.db', '--yes'), 'restore shows its plan')
    check_equal(role(lab, 'node1', 'web')['priority'], 'medium', 'priority after restore')
    ctl(lab, 'node1', 0, 'state', 'save', '/run/state')
    check('web' in ctl(lab, 'node1', 0, 'status', '--state', '/run/state'), 'status on a saved state')
    survive = json.loads(ctl(lab, 'node1', 0, 'simulate', 'survive', '--state', '/run/state', '--json'))
    check_equal(survive['survive']['at_once']['nodes'], 1, 'nodes that may fail at once')


def imports(lab):
    """More than one change can have: an agent that refuses the last resource refuses all, with the resource named."""
    ctl(lab, 'node1', 0, 'config', 'export', '/run/lab/shared/before.json')
    with open(f'{lab.run}/guest/shared/before.json', encoding='utf-8') as f:
        config = json.load(f)
    for n in range(1, MANY + 1):
        config['roles'][f'many{n}'] = {'online': False}
        config['resources'][f'many{n}'] = {'role': f'many{n}', 'agent': 'ocf:heartbeat:Dummy', 'params': {'state': f'/run/many{n}'}}

    def write(path):
        with open(f'{lab.run}/guest/shared/{path}', 'w', encoding='utf-8') as f:
            json.dump(config, f)
        return f'/run/lab/shared/{path}'
    config['resources'][f'many{MANY}']['params'] = {'nonsense': '1'}
    bad = write('bad.json')
    for options in ((), ('--dry-run',)):
        said = ctl(lab, 'node2', 17, 'config', 'import', bad, '--quiet', *options)
        check(f"resource 'many{MANY}': ocf:heartbeat:Dummy has no parameter" in said, f'the resource is named: {said}')
        ctl(lab, 'node2', 4, 'role', 'show', 'many1')
    config['resources'][f'many{MANY}']['params'] = {}
    ctl(lab, 'node2', 0, 'config', 'import', write('good.json'), '--quiet')
    ctl(lab, 'node1', 0, 'role', 'show', f'many{MANY}')
    check('to create: 0, to change: 0, to delete: 0' in ctl(lab, 'node3', 0, 'config', 'import', '/run/lab/shared/good.json'),
          'what was imported differs in nothing')
    ctl(lab, 'node1', 0, 'config', 'import', '/run/lab/shared/before.json', '--quiet', '--yes')
    ctl(lab, 'node1', 4, 'role', 'show', 'many1')


def quorum(lab):
    check('QUORUM WOULD BE LOST' in ctl(lab, 'node1', 9, 'quorum', 'would-lose', 'node1', 'node2'), 'two of three are too many')
    lab.ask('cut', groups=[['node1'], ['node2', 'node3']])
    lab.ask('wait', condition='members', hosts=['node1', 'node2', 'node3'])
    eventually(lambda: 'NO QUORUM' in lab.exec('node1', 'clusterctl', 'status').stdout, 10, 'node1 says that it has no quorum', 0.1)
    check('no quorum' in ctl(lab, 'node1', 10, 'role', 'stop', 'web'), 'a side without quorum refuses')
    check('say --yes' in ctl(lab, 'node1', 1, 'quorum', 'force'), 'forcing is not done by accident')
    lab.ask('heal')
    lab.ask('wait', condition='formed')
    eventually(lambda: '3 of 3 nodes online' in lab.exec('node1', 'clusterctl', 'status').stdout, 30, 'three nodes online', 0.1)


def ends(lab):
    ctl(lab, 'node1', 0, 'disarm')
    check('DISARMED' in ctl(lab, 'node3', 0, 'status'), 'status says disarmed')
    ctl(lab, 'node1', 0, 'arm')
    ctl(lab, 'node1', 0, 'node', 'stop', 'node3', '--wait')
    check('systemctl start clusterd' in ctl(lab, 'node3', 2, 'status'), 'a daemon that is gone')
    eventually(lambda: 'One more loss may stop everything: without node1' in ctl(lab, 'node2', 0, 'status'), 10,
               'status warns of the only voter', 0.1)
    ctl(lab, 'node2', 9, 'node', 'stop', 'node1', '--dry-run')
    check('Quorum would be lost' in ctl(lab, 'node2', 20, 'node', 'stop', 'node1', '--force', '--dry-run'), 'a dry run with --force')
    check('corosync.conf' in ctl(lab, 'node1', 0, 'node', 'evict', 'node3', '--yes'), 'what remains to be done is said')
    ctl(lab, 'node1', 4, 'node', 'show', 'node3')
    ctl(lab, 'node2', 0, 'role', 'stop', 'web', '--wait')
    ctl(lab, 'node2', 0, 'role', 'delete', 'web')
    check('evicted' in ctl(lab, 'node2', 0, 'events'), 'events tell it')


def test_commands():
    with labtest.lab(3, clusterd=True) as lab:
        lab.ask('wait', condition='formed')
        eventually(lambda: '3 of 3 nodes online' in lab.exec('node1', 'clusterctl', 'status').stdout, 30, 'three nodes online', 0.1)
        for step in (resources, moves, files, imports, quorum, ends):
            step(lab)


labtest.main(test_commands)
