#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon itself on real hosts: who may speak to it, clients that hang, its ends, its starts, stopped parts, its size."""
import contextlib
import itertools
import json
import os
import re
import subprocess
import time

import labcluster
import labtest
from labctl import LabError
from labtest import check, check_equal, eventually

CLUSTER = None
CHANGES = itertools.count(1)  # no two changes alike: each is written
ADMINS, READERS, STRANGER = 64242, 64243, 64244  # ids that no Debian has
STATUS_LOOPS = int(os.environ.get('STATUS_LOOPS', '400'))
GROWTH_KIB = 2048  # the ring of events and the flight recorder fill; a leak in each request would be far more


def lab():
    return CLUSTER.lab


def host_file(host, path):
    return f'{lab().run}/hosts/{host}/{path}'


def log_of(host):
    with open(host_file(host, 'log/clusterd.out'), errors='replace') as f:
        return f.read()


def pid_of(host, service='clusterd'):
    return {h['name']: h['services'].get(service) for h in CLUSTER.status()}[host]


def sh(host, script, timeout=60):
    return lab().exec(host, 'sh', '-c', script, timeout=timeout)


def send_signal(host, name, service='clusterd'):
    pid = pid_of(host, service)
    check_equal(sh(host, f'kill -{name} {pid}').returncode, 0, f'signal {name} to {service} of {host}')
    return pid


def roles():
    return {r['name']: r for r in CLUSTER.objects(CLUSTER.names[0], 'role')}


# -- who may speak


def as_user(uid, gid, groups, *words):
    keep = ['--groups', str(groups)] if groups else ['--clear-groups']
    return lab().exec('node1', 'setpriv', '--reuid', str(uid), '--regid', str(gid), *keep, '--', 'clusterctl', *words)


def test_access():
    """root and two groups, as primary and as further group; everyone else hears why not."""
    sh('node1', f'(cat /etc/group; echo clusterd:x:{ADMINS}:; echo clusterd-ro:x:{READERS}:) >/run/group && '
       'mount --bind /run/group /etc/group')
    try:
        for gid, groups, changes, looks in ((ADMINS, 0, 0, 0), (STRANGER, ADMINS, 0, 0), (READERS, 0, 3, 0),
                                            (STRANGER, READERS, 3, 0), (STRANGER, 0, 3, 3)):
            who = f'gid {gid}, groups {groups or "none"}'
            got = as_user(STRANGER, gid, groups, 'status')
            check_equal(got.returncode, looks, f'status as {who}: {got.stderr}')
            got = as_user(STRANGER, gid, groups, 'role', 'set', 'track1', 'cpu=2')
            check_equal(got.returncode, changes, f'a change as {who}: {got.stderr}')
            if changes:
                check(re.search(r'group|root', got.stderr), f'who may is said: {got.stderr}')
    finally:
        sh('node1', 'umount /etc/group')


# -- clients


def client(host, *words):
    return subprocess.Popen(lab().command(host, ['clusterctl', *words]), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)


def answers(host, within_s=3.0):
    start = time.monotonic()
    got = CLUSTER.ctl(host, 'status', timeout=10)
    check_equal(got.returncode, 0, f'status on {host}: {got.stderr}')
    took = time.monotonic() - start
    check(took < within_s, f'{host} answered in {took:.1f} s')


def test_stopped_clients():
    """Clients that connect and stop to read: others are served, changes are made, and when they go nothing is left."""
    sh('node1', 'for i in $(seq 50); do clusterctl watch >/dev/null 2>&1 </dev/null & done; sleep 1; pkill -STOP clusterctl', 60)
    try:
        for i in range(30):
            CLUSTER.any_ctl('role', 'set', 'track1', f'cpu={i + 10}')
        answers('node1')
        check_equal(roles()['track1']['cpu'], 39, 'the last change')
    finally:
        sh('node1', 'pkill -KILL clusterctl')
    descriptors_settle('node1')
    answers('node1')


def test_too_many_clients():
    """The 65th client is refused in words; the 64 go on."""
    sh('node1', 'for i in $(seq 64); do clusterctl watch >/dev/null 2>&1 </dev/null & done; sleep 1')
    try:
        got = CLUSTER.ctl('node1', 'status')
        check(got.returncode and got.stderr.strip(), f'exit {got.returncode}: {got.stderr}')
        check(re.search(r'(?i)many|busy|limit', got.stderr), f'why is said: {got.stderr}')
    finally:
        sh('node1', 'pkill -KILL clusterctl')
    eventually(lambda: CLUSTER.ctl('node1', 'status').returncode == 0, 10, 'places are free again', 0.1)


def has_asan(host):
    return bool(sh(host, f'grep libasan /proc/{pid_of(host)}/maps').stdout)


RAW_CLIENTS = """
import os, random, socket, struct, time
random.seed(3)
address = bytes(1) + b'clusterd'.ljust(107, bytes(1))
held = []
for i in range(200):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.connect(address)
    hello = struct.pack('<iiI', -1, 24, random.choice([0xffffffff, 0, 1, 65536, 2**31 - 1])).ljust(24, bytes(1))
    try:
        s.send([os.urandom(random.randrange(1, 4000)), hello, hello[:9], bytes([255]) * 64, bytes(1)][i % 5])
    except OSError:
        pass
    if i % 3:
        s.close()
    else:
        held.append(s)
time.sleep(0.3)
"""


def test_raw_clients():
    """Nonsense and silence where libqb's handshake belongs: the daemon goes on, and keeps nothing of it."""
    if has_asan('node1'):
        return  # libqb allocates what a stranger asks for, before it asks us; only a sanitizer really touches that memory
    before, pid = descriptors('node1'), pid_of('node1')
    got = lab().exec('node1', '/usr/bin/python3', '-c', RAW_CLIENTS)
    check_equal(got.returncode, 0, f'the clients: {got.stderr}')
    answers('node1')
    check_equal(pid_of('node1'), pid, 'the daemon')
    eventually(lambda: descriptors('node1') <= before + 2, 10, f'descriptors: {descriptors("node1")}, before {before}', 0.2)


def descriptors(host):
    return int(sh(host, f'ls /proc/{pid_of(host)}/fd | wc -l').stdout)


def descriptors_settle(host):
    low = descriptors(host)
    eventually(lambda: descriptors(host) <= max(40, low), 20, f'{host} closes what clients left: {descriptors(host)}', 0.2)


def resident_kib(host):
    return int(re.search(r'VmRSS:\s+(\d+)', sh(host, f'cat /proc/{pid_of(host)}/status').stdout).group(1))


def requests(host, n):
    sh(host, f'for i in $(seq {n}); do clusterctl status >/dev/null || exit 1; clusterctl role set track1 cpu=$i >/dev/null || exit 1; '
       f'done', 1200)


def test_no_growth():
    """Many clients and changes: no memory and no descriptor more."""
    requests('node1', max(STATUS_LOOPS // 4, 1))  # what is allocated once
    fds, kib = descriptors('node1'), resident_kib('node1')
    requests('node1', STATUS_LOOPS)
    grown = resident_kib('node1') - kib
    print(f'{STATUS_LOOPS} x (status and change): {grown} KiB more than {kib}', flush=True)
    if not has_asan('node1'):  # which keeps what is freed for a while
        check(grown < GROWTH_KIB, f'grew by {grown} KiB')
    eventually(lambda: descriptors('node1') <= fds, 10, f'descriptors: {descriptors("node1")}, before {fds}', 0.2)


# -- vetting


def test_vetting():
    """The agents are asked about the change as a whole; one that hangs holds up its own change alone; --force skips."""
    CLUSTER.any_ctl('role', 'create', 'vet', 'priority=no-autostart')
    CLUSTER.any_ctl('role', 'stop', 'vet')
    CLUSTER.any_ctl('resource', 'add', 'vet', 'vet', 'ocf:heartbeat:Dummy')
    for words, code, said in ((['--', 'colour=blue'], 17, 'colour'), (['--', 'fake=x'], 0, ''),
                              (['agent=ocf:heartbeat:IPaddr2'], 17, 'ip'),
                              (['--force', '--', 'colour=blue'], 0, '')):
        got = CLUSTER.ctl('node1', 'resource', 'set', 'vet', *words)
        check_equal(got.returncode, code, f'resource set {words}: {got.stderr}')
        check(said in got.stderr, f'{said} is named: {got.stderr}')
    agent = f'{lab().run}/guest/shared/hangs'
    with open(agent, 'w') as f:
        f.write('#!/bin/sh\nexec sleep 1000\n')
    os.chmod(agent, 0o755)
    sh('node1', 'mkdir -p /usr/lib/ocf/resource.d/odd && cp /run/lab/shared/hangs /usr/lib/ocf/resource.d/odd/hangs')
    hanging = client('node1', 'resource', 'add', 'vet', 'hangs', 'ocf:odd:hangs')
    for i in range(5):
        start = time.monotonic()
        got = CLUSTER.ctl('node1', 'resource', 'set', 'vet', f'start_timeout={10 + i}s')
        check_equal(got.returncode, 0, f'a change beside it: {got.stderr}')
        check(time.monotonic() - start < 3, 'is not held up')
    said = hanging.communicate(timeout=40)[1].decode()
    check_equal(hanging.returncode, 17, f'the hanging one: {said}')
    check('hangs' in said and 'time' in said, f'it says that the agent hangs: {said}')
    CLUSTER.any_ctl('role', 'delete', 'vet')


def import_file(text):
    with open(f'{lab().run}/guest/shared/import.json', 'w') as f:
        f.write(text)
    return CLUSTER.ctl('node1', 'config', 'import', '/run/lab/shared/import.json', '--yes', timeout=60)


def test_import():
    """500 resources, each vetted: meta-data is read once."""
    before = CLUSTER.ctl('node1', 'config', 'export').stdout
    many = json.loads(before)
    for i in range(500):
        many['roles'][f'many{i}'] = {'priority': 'no-autostart', 'online': False}
        many['resources'][f'many{i}'] = {'role': f'many{i}', 'agent': 'ocf:heartbeat:Dummy', 'params': {'fake': str(i)}}
    start = time.monotonic()
    got = import_file(json.dumps(many))
    took = time.monotonic() - start
    check_equal(got.returncode, 0, f'import: {got.stdout[-300:]}{got.stderr}')
    print(f'import of 500 roles with a resource each: {took:.2f} s', flush=True)
    check(took < 5, f'import took {took:.1f} s')
    check_equal(len(roles()), 502, 'roles')
    many['resources']['many499']['params'] = {'colour': 'blue'}
    got = import_file(json.dumps(many))
    check_equal(got.returncode, 17, f'import of one bad parameter: {got.stderr}')
    check('colour' in got.stderr, f'it is named: {got.stderr}')
    got = import_file(before)
    check_equal(got.returncode, 0, f'import of what was before: {got.stderr}')
    check_equal(len(roles()), 2, 'roles after')


# -- disk


def test_full_disk():
    """One disk is full to the last byte: changes go on, status says which node is slow, that node why; then it catches up."""
    def status(host):
        return json.loads(CLUSTER.ctl(host, '--json', 'status').stdout)['status']

    def fill():  # again and again: the database gives its log's room back when it is opened anew
        sh('node3', 'cd /var/lib/clusterd; dd if=/dev/zero bs=64k >>fill; dd if=/dev/zero bs=512 >>fill; sync')

    def change():
        CLUSTER.any_ctl('role', 'set', 'track1', f'cpu={next(CHANGES)}')

    def named():
        fill()
        change()
        return status('node1')['slow'] == ['node3']

    try:
        eventually(named, 30, 'node1 names the slow one', 0.1)
        check(re.search('Slow.*node3', CLUSTER.ctl('node2', 'status').stdout), 'so does node2, for people')
        eventually(lambda: 'full' in status('node3')['store_error'], 5, 'node3 says why', 0.1)
        lines = log_of('node3').count('database_not_written')
        for _ in range(10):
            change()
        check(status('node3')['store_error'], 'it is full still')
        check_equal(log_of('node3').count('database_not_written'), lines, 'lines about it in the log')
    finally:
        sh('node3', 'rm -f /var/lib/clusterd/fill*')
    eventually(lambda: not status('node1')['slow'] and not status('node3')['store_error'], 15, 'it catches up', 0.2)
    check('database_written' in log_of('node3'), 'the log says so')
    CLUSTER.verify()


# -- ends and starts


def ended(host):
    return not pid_of(host)


def test_term_drains():
    """SIGTERM: the roles go elsewhere, the node leaves, the watchdog is disarmed, exit code 0."""
    owner = roles()['track1']['owner']
    send_signal(owner, 'TERM')
    eventually(lambda: ended(owner), 20, f'clusterd of {owner} ends', 0.1)
    other = next(n for n in CLUSTER.names if n != owner)
    eventually(lambda: {r['name']: r for r in CLUSTER.objects(other, 'role')}['track1']['state'] == 'online', 20, 'track1 is up', 0.1)
    check({r['name']: r for r in CLUSTER.objects(other, 'role')}['track1']['owner'] != owner, 'elsewhere')
    check('left node=' in log_of(owner), 'it says that it left')
    CLUSTER.verify()
    check('core text="fencing' not in log_of(other), 'nobody was fenced')


def test_term_twice():
    """The second SIGTERM ends it at once, what runs goes on, and the next instance takes it over: no stop, no second start."""
    owner = roles()['track1']['owner']
    before = sh(owner, 'cat /run/resource-agents/tracker-track1.pid').stdout
    pid = pid_of(owner)
    sh(owner, f'kill -TERM {pid}; sleep 0.02; kill -TERM {pid}')
    eventually(lambda: ended(owner), 5, f'clusterd of {owner} ends', 0.02)
    CLUSTER.lab.ask('restart', host=owner, process='clusterd')
    CLUSTER.verify()
    check(before, 'the role had run')


def test_term_without_quorum():
    """Without quorum its roles are stopped in time, then it ends, and resets nobody; a node that runs nothing ends at once."""
    owner = roles()['track1']['owner']
    rest = [n for n in CLUSTER.names if n != owner]
    lab().ask('cut', groups=[[owner], rest])
    eventually(lambda: 'NO QUORUM' in CLUSTER.ctl(owner, 'status').stdout, 15, f'{owner} has no quorum', 0.1)
    send_signal(owner, 'TERM')
    eventually(lambda: ended(owner), 20, f'clusterd of {owner} ends', 0.1)
    check_equal(sh(owner, 'cat /run/resource-agents/tracker-track1.pid 2>/dev/null').stdout, '', 'the role is stopped there')
    check_equal({h['name']: h['watchdog_ms'] for h in CLUSTER.status()}[owner], 0, 'the watchdog is disarmed')
    CLUSTER.verify()


def test_watchdog_of_no_use():
    """A watchdog that cannot be armed is as good as none: the node says so, joins, and does not come and go for it."""
    victim, conf = 'node3', '/etc/clusterd/clusterd.conf'
    send_signal(victim, 'TERM')
    eventually(lambda: ended(victim), 20, f'clusterd of {victim} ends', 0.1)
    sh(victim, f"cp {conf} /run/conf; sed -i 's|^watchdog = .*|watchdog = /dev/null|; s|^watchdog_driver = .*|"
       f"watchdog_driver = device|' {conf}")
    try:
        lab().ask('restart', host=victim, process='clusterd')
        pid = eventually(lambda: pid_of(victim), 10, f'clusterd of {victim} is back', 0.1)
        eventually(lambda: {n['name']: n for n in CLUSTER.objects('node1', 'node')}[victim]['state'] == 'online', 20,
                   f'{victim} is online', 0.1)
        time.sleep(1)
        check_equal(pid_of(victim), pid, 'the same clusterd')
        check_equal({n['name']: n for n in CLUSTER.objects('node1', 'node')}[victim].get('watchdog', 0), 0, 'declared')
        check('no_watchdog path=/dev/null' in log_of(victim), 'it says so')
    finally:
        sh(victim, f'cat /run/conf >{conf}')
        with contextlib.suppress(LabError):
            CLUSTER.kill(victim, 'clusterd')
        lab().ask('restart', host=victim, process='clusterd')
    CLUSTER.verify()


def test_adoption():
    """A crash of clusterd alone: what runs is found and goes on, with an action in flight too."""
    where = {name: r['owner'] for name, r in roles().items()}
    owner = where['track1']
    before = sh(owner, 'cat /run/resource-agents/tracker-track1.pid').stdout
    CLUSTER.kill(owner, 'clusterd')
    lab().ask('restart', host=owner, process='clusterd')
    CLUSTER.verify()
    check_equal(roles()['track1']['owner'], owner, 'owner')
    check_equal(sh(owner, 'cat /run/resource-agents/tracker-track1.pid').stdout, before, 'the process')
    check('found resource=track1 state=started' in log_of(owner), 'the log says what was found')


def test_crash_in_action():
    """clusterd dies while an agent starts: the role comes up once, somewhere."""
    CLUSTER.any_ctl('role', 'create', 'slow', *labcluster.ROLE)
    CLUSTER.any_ctl('resource', 'add', 'slow', 'slow', 'ocf:heartbeat:Delay', *labcluster.RESOURCE, '--', 'startdelay=3',
                    'stopdelay=0', 'mondelay=0')
    eventually(lambda: roles()['slow'].get('owner') or roles()['slow'].get('target'), 10, 'slow is placed', 0.05)
    seen = roles()['slow']
    owner = seen.get('owner') or seen.get('target')
    CLUSTER.kill(owner, 'clusterd')
    lab().ask('restart', host=owner, process='clusterd')
    CLUSTER.verify()
    eventually(lambda: roles()['slow']['state'] == 'online', 40, 'slow is online', 0.2)
    holders = [h for h in CLUSTER.names if sh(h, 'test -e /run/resource-agents/Delay_slow').returncode == 0]
    check(len(holders) <= 1, f'slow runs on {holders}')
    CLUSTER.any_ctl('role', 'stop', 'slow')
    eventually(lambda: roles()['slow']['state'] == 'offline', 20, 'slow is offline', 0.1)
    CLUSTER.any_ctl('role', 'delete', 'slow')


def test_recorder():
    """The flight recorder after a crash can be read."""
    sh('node3', 'rm -f /var/lib/clusterd/recorder-*')
    send_signal('node3', 'SEGV')
    eventually(lambda: ended('node3'), 10, 'clusterd of node3 ends', 0.05)
    found = sh('node3', 'ls /var/lib/clusterd/recorder-* && qb-blackbox /var/lib/clusterd/recorder-*').stdout
    check('ready' in found and 'node3' in found, f'the recorder is readable: {found[-300:]}')
    check('crashed; flight recorder: ' in log_of('node3'), 'where it is was said')
    CLUSTER.verify()
    for _ in range(2):
        CLUSTER.kill('node3', 'clusterd')
        CLUSTER.verify()
    check_equal(sh('node3', 'ls /dev/shm | grep -c clusterd.*blackbox').stdout.strip(), '2', 'files in /dev/shm: those of the last')


# -- stopped parts


def test_stopped_clusterd():
    """One clusterd is stopped: changes go on, status names it; its watchdog resets the host."""
    victim = 'node3'
    CLUSTER.any_ctl('role', 'set', 'track1', 'cpu=1')
    send_signal(victim, 'STOP')
    def change_and_look():
        start = time.monotonic()
        CLUSTER.any_ctl('role', 'set', 'track1', f'cpu={next(CHANGES)}')
        took = time.monotonic() - start
        check(took < 4, f'a change took {took:.1f} s')
        return re.search(rf'Slow.*{victim}', CLUSTER.ctl('node1', 'status').stdout)

    eventually(change_and_look, 20, f'status names {victim}', 0.05)
    eventually(lambda: ended(victim), 20, f'the watchdog resets {victim}', 0.05)
    CLUSTER.verify()


def test_stopped_corosync():
    """One corosync is stopped: the others go on without it."""
    victim = 'node2'
    send_signal(victim, 'STOP', 'corosync')
    start = time.monotonic()
    CLUSTER.any_ctl('role', 'set', 'track1', 'cpu=7')
    check(time.monotonic() - start < 20, 'a change is made without it')
    CLUSTER.verify()


def test_the_end():
    """Every node is told to end, one after the other; the last has nowhere to move its roles. No sanitizer found anything."""
    for host in CLUSTER.names:
        send_signal(host, 'TERM')
        eventually(lambda: ended(host), 40, f'clusterd of {host} ends: {log_of(host)[-800:]}', 0.1)
        said = log_of(host)
        check(not re.search(r'Sanitizer|runtime error:', said), f'{host}: {said[-6000:]}')


def main():
    global CLUSTER
    tests = [value for name, value in globals().items() if name.startswith('test_')]
    with labtest.lab(3, clusterd=True) as one:
        CLUSTER = labcluster.Cluster(one)
        CLUSTER.start_roles(('track1', 'dummy1'))
        try:
            labtest.main(*tests)
        finally:
            CLUSTER.observer.stop()


main()
