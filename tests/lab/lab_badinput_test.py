#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Bad input of every kind to a running cluster: a clear error, nothing lost, everything still up."""
import json
import os
import re
import subprocess

import labcluster
import labtest
from labcluster import RECOVERY_S
from labctl import LabError
from labtest import check, check_equal, eventually

GROUP = 'clusterd:'
CLUSTER = None


def hosts_file(host, path):
    return f'{CLUSTER.lab.run}/hosts/{host}/{path}'


def output_of(host):
    """What clusterd of that host said on its error output and in its log."""
    text = ''
    for path in ('log/clusterd.out', 'log/clusterd/clusterd.log'):
        try:
            with open(hosts_file(host, path), errors='replace') as f:
                text += f.read()
        except FileNotFoundError:
            pass
    return text


def pids(host):
    return {h['name']: h['services'].get('clusterd') for h in CLUSTER.status()}[host]


def all_pids():
    return {name: pids(name) for name in CLUSTER.names}


def refused(args, code, words):
    """clusterctl refuses with that exit code (None: any) and says so in those words."""
    result = CLUSTER.ctl('node1', *args)
    said = result.stdout + result.stderr
    check(result.returncode != 0 and code in (None, result.returncode) and re.search(words, said),
          f'clusterctl {" ".join(args)}: exit {result.returncode}: {said.strip()}')


def role_reaches(role, state, timeout_s=RECOVERY_S):
    def reached():
        try:
            return any(r['name'] == role and r['state'] == state for r in CLUSTER.objects('node1', 'role'))
        except (LabError, ValueError):
            return False
    eventually(reached, timeout_s, f'role {role} is {state}', 0.2)


# -- configuration and command line


def test_config_file():
    """Wrong lines are all named with their number; nothing starts; the others go on."""
    path = hosts_file('node3', 'etc/clusterd/clusterd.conf')
    with open(path) as f:
        good = f.read()
    bad = good + 'colour = blue\nwatchdog_timeout = soon\nno equals sign\nagent_parallel = 99999\nlog_level = loud\n'
    first = good.count('\n') + 1
    with open(path, 'w') as f:
        f.write(bad)
    result = CLUSTER.lab.exec('node3', 'timeout', '10', 'clusterd', '--config', '/etc/clusterd/clusterd.conf', '--foreground')
    said = result.stdout + result.stderr
    check(result.returncode not in (0, 124), f'exit {result.returncode}: {said}')
    for line, word in enumerate(('colour', 'watchdog_timeout', 'no equals sign', 'agent_parallel', 'log_level'), first):
        check(re.search(rf'clusterd\.conf:{line}: .*{word}', said), f'line {line} ({word}) is named: {said}')
    with open(path, 'w') as f:
        f.write(good)


def test_command_line():
    for args, words in ((['--nonsense'], 'nonsense'), (['--config'], 'config'), (['--config', '/nonexistent', '--foreground'],
                                                                                 '/nonexistent')):
        result = CLUSTER.lab.exec('node1', 'timeout', '10', 'clusterd', *args)
        said = result.stdout + result.stderr
        check(result.returncode not in (0, 124) and words in said, f'clusterd {args}: exit {result.returncode}: {said}')
    refused(['dance'], 1, 'dance')
    refused(['role', 'create', 'x', 'colour=blue'], None, 'colour')
    refused(['role', 'create', 'x' * 100], None, 'x' * 20)
    refused(['role', 'set', 'track1', 'threshold=many'], None, 'threshold')
    refused(['role', 'move', 'track1', 'node9'], None, 'node9')


# -- messages


def group():
    return GROUP + CLUSTER.lab.name


def send(host, *args):
    result = CLUSTER.lab.exec(host, '/run/lab/bin/labsend', *args, timeout=120)
    check_equal(result.returncode, 0, f'labsend {" ".join(args)}: {result.stderr}')


def test_garbage_messages():
    before = all_pids()
    send('node2', 'cpg', group(), 'garbage', '300')
    CLUSTER.verify()
    check_equal(all_pids(), before, 'daemons that survived')


def make_traffic(cluster, n):
    for i in range(n):
        cluster.any_ctl('role', 'set', 'track1', f'cpu={i}')


def capture(cluster, count=12):
    """Real messages of a cluster, recorded on node1 into the directory that all its hosts share."""
    recorder = subprocess.Popen(cluster.lab.command('node1', ['/run/lab/bin/labsend', 'cpg', GROUP + cluster.lab.name, 'capture',
                                                              '/run/lab/shared/frames', str(count)]))
    make_traffic(cluster, count)
    check_equal(recorder.wait(timeout=60), 0, 'capture')


def test_mangled_messages():
    """Real messages again: as they were, truncated, with a wrong bit, and far too long."""
    before = all_pids()
    capture(CLUSTER)
    for how in ('whole', 'cut', 'flip', 'grow'):
        send('node3', 'cpg', group(), 'replay', '/run/lab/shared/frames', how)
    CLUSTER.verify()
    check_equal(all_pids(), before, 'daemons that survived')


def test_foreign_messages():
    """Messages of another cluster, valid in themselves."""
    before = all_pids()
    exported = CLUSTER.ctl('node1', 'config', 'export').stdout
    with labtest.lab(1, 'f', clusterd=True) as lab:
        foreign = labcluster.Cluster(lab)
        lab.ask('wait', condition='formed')
        foreign.any_ctl('role', 'create', 'track1', 'priority=no-autostart')
        capture(foreign)
        os.replace(f'{lab.run}/guest/shared/frames', f'{CLUSTER.lab.run}/guest/shared/frames')
    send('node3', 'cpg', group(), 'replay', '/run/lab/shared/frames', 'whole')
    CLUSTER.verify()
    check_equal(CLUSTER.ctl('node1', 'config', 'export').stdout, exported, 'configuration')
    check_equal(all_pids(), before, 'daemons that survived')


def test_garbage_requests():
    before = all_pids()
    send('node1', 'ipc', 'clusterd', 'garbage', '200')
    CLUSTER.verify()
    check_equal(all_pids(), before, 'daemons that survived')


# -- disk


def database():
    """Path of node3's database on its disk, as seen inside."""
    found = CLUSTER.lab.exec('node3', 'sh', '-c', 'find /var/lib/clusterd -name "*.db" -o -name "*.sqlite"').stdout.split()
    check(found, 'node3 has a database')
    return found[0]


def test_corrupt_database():
    """It restores from its peers and keeps the bad file."""
    path = database()
    make_traffic(CLUSTER, 3)
    CLUSTER.kill('node3', 'clusterd')
    spoil = f'for f in {path} {path}-wal; do [ -e $f ] && dd if=/dev/urandom of=$f bs=512 count=64 conv=notrunc; done; rm -f {path}-shm'
    CLUSTER.lab.exec('node3', 'sh', '-c', spoil)
    CLUSTER.lab.ask('restart', host='node3', process='clusterd')
    CLUSTER.verify()
    kept = CLUSTER.lab.exec('node3', 'ls', '-R', '/var/lib/clusterd').stdout
    check(re.search(r'corrupt|bad|aside', kept), f'the bad file is kept: {kept}')
    check(re.search(r'(?i)corrupt|malformed|not a database', output_of('node3')), 'the log says why')


def test_full_disk():
    """One node cannot write: the others acknowledge; when there is room again it catches up."""
    CLUSTER.lab.exec('node3', 'sh', '-c', 'dd if=/dev/zero of=/var/lib/clusterd/fill bs=64k; sync')
    for i in range(60):
        CLUSTER.any_ctl('role', 'set', 'track1', f'cpu={1000 + i}')
    value = {r['name']: r['cpu'] for r in CLUSTER.objects('node1', 'role')}['track1']
    check_equal(value, 1059, 'changes are made while one disk is full')
    CLUSTER.lab.exec('node3', 'rm', '/var/lib/clusterd/fill')
    CLUSTER.verify()


# -- agents


def move(role, host):
    """There it shall be; it may be there already."""
    result = CLUSTER.ctl('node1', 'role', 'move', role, host)
    check(result.returncode in (0, 7), f'move of {role} to {host}: {result.stderr}')


def with_role(name, agent, params, *fields):
    CLUSTER.any_ctl('role', 'create', name, 'threshold=3', 'period=1h')
    words = [f'{k}={v}' for k, v in params.items()]
    CLUSTER.any_ctl('resource', 'add', name, name, agent, 'start_timeout=2s', 'stop_timeout=2s', 'monitor_interval=1s',
                    'monitor_timeout=2s', *fields, *(['--', *words] if words else []))


def drop_role(name):
    CLUSTER.any_ctl('role', 'stop', name)
    role_reaches(name, 'offline')
    CLUSTER.any_ctl('role', 'delete', name)


def leftover_processes():
    """Processes of agents that nobody waits for any more."""
    found = []
    for host in CLUSTER.names:
        seen = CLUSTER.lab.exec(host, 'ps', '-eo', 'args').stdout
        found += [f'{host}: {line}' for line in seen.splitlines() if 'agents/misbehave' in line or 'clustertest/misbehave' in line]
    return found


def test_missing_agent():
    CLUSTER.any_ctl('role', 'create', 'nothing')
    refused(['resource', 'add', 'nothing', 'nothing', 'ocf:heartbeat:Nonsense'], 17, 'Nonsense')
    refused(['resource', 'add', 'nothing', 'nothing', 'no such name'], None, 'no such name')
    drop_role('nothing')


def test_broken_metadata():
    CLUSTER.any_ctl('role', 'create', 'nothing')
    refused(['resource', 'add', 'nothing', 'nothing', 'ocf:clustertest:brokenmeta'], 17, 'brokenmeta')
    drop_role('nothing')


def test_bad_parameter():
    CLUSTER.any_ctl('role', 'create', 'nothing')
    refused(['resource', 'add', 'nothing', 'nothing', 'ocf:heartbeat:IPaddr2', '--', 'colour=blue'], 17, 'colour')
    refused(['resource', 'add', 'nothing', 'nothing', 'ocf:heartbeat:IPaddr2'], 17, '(?i)ip')
    drop_role('nothing')


def test_agent_hangs():
    """A start that hangs and ignores TERM is killed with its children; the role goes to a host where it works."""
    bad = 'node1'
    with_role('hang', 'ocf:clustertest:misbehave', {'mode': 'hang-start', 'host': bad})
    move('hang', bad)
    role_reaches('hang', 'online')
    owner = {r['name']: r['owner'] for r in CLUSTER.objects('node1', 'role')}['hang']
    check(owner != bad, f'hang runs on {owner}')
    eventually(lambda: not leftover_processes(), 20, f'hung agents are gone: {leftover_processes()}')
    drop_role('hang')


def test_agent_forks():
    """Children that keep the output open must not hold up the operation."""
    with_role('fork', 'ocf:clustertest:misbehave', {'mode': 'fork'})
    role_reaches('fork', 'online', 15)
    drop_role('fork')
    for host in CLUSTER.names:
        CLUSTER.lab.exec(host, 'pkill', '-9', 'sleep')


def test_agent_floods():
    """60 MB of output: bounded memory, and the role starts."""
    with_role('flood', 'ocf:clustertest:misbehave', {'mode': 'flood'}, 'start_timeout=30s')
    role_reaches('flood', 'online')
    for host in CLUSTER.names:
        rss = CLUSTER.lab.exec(host, 'ps', '-o', 'rss=', '-p', str(pids(host))).stdout
        check(int(rss) < 128 * 1024, f'clusterd on {host} has {rss.strip()} KiB')
    drop_role('flood')


def test_agent_fails():
    """The end of its error output is shown to people."""
    with_role('fails', 'ocf:clustertest:misbehave', {'mode': 'fail-start'}, 'restart_threshold=0')
    role_reaches('fails', 'failed')
    shown = CLUSTER.ctl('node1', '--json', 'resource', 'show', 'fails').stdout
    check('no such thing today' in shown, f'the error is shown: {shown}')
    check('no such thing today' in json.dumps(CLUSTER.ctl('node1', 'why', 'fails').stdout), 'and clusterctl why tells it')
    drop_role('fails')


def test_agent_hangs_in_stop():
    """Nothing may start elsewhere before the host is fenced: it does that itself."""
    with_role('stuck', 'ocf:clustertest:misbehave', {'mode': 'hang-stop', 'host': 'node2'})
    move('stuck', 'node2')
    role_reaches('stuck', 'online')
    boots = CLUSTER.status()[1]['boots']
    CLUSTER.any_ctl('role', 'move', 'stuck', 'node1')
    eventually(lambda: CLUSTER.status()[1]['boots'] > boots, RECOVERY_S, 'node2 is reset', 0.1)
    CLUSTER.verify()
    role_reaches('stuck', 'online')
    CLUSTER.any_ctl('resource', 'set', 'stuck', '--', 'mode=none')
    drop_role('stuck')


def main():
    global CLUSTER
    tests = [value for name, value in globals().items() if name.startswith('test_')]
    with labtest.lab(3, clusterd=True) as lab:
        CLUSTER = labcluster.Cluster(lab)
        CLUSTER.start_roles(('track1', 'track2', 'dummy1'))
        try:
            labtest.main(*tests)
        finally:
            CLUSTER.observer.stop()


main()
