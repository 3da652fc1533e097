# SPDX-License-Identifier: GPL-2.0-or-later
"""From the notice that a host is lost to the start of its role elsewhere, beside Pacemaker.

Both have three hosts with the same corosync settings and the same agent, and lose power in turn. The clock begins when the
first survivor is told of the loss by corosync (a CPG member of its own, on all hosts of both) and ends when the agent's
`start` is running. Ours fences: its fence command asks the lab, which confirms at once; Pacemaker runs without stonith, as
that is its quickest (with it, a fencing operation comes before the start). Its DC survives in `pacemaker`, is lost in
`pacemaker_dc`; we have no such node."""
import contextlib
import subprocess
import time

import benchlib
import peer_pacemaker
from benchlib import eventually, inside

MINUTES = 7
HOSTS = ['node1', 'node2', 'node3']
WAIT_S = 60
ROLE = 'failover'
MS = 1e6
AGENT = '''
mkdir -p /usr/lib/ocf/resource.d/bench
ln -sf /run/lab/bin/bench_stamp /usr/lib/ocf/resource.d/bench/stamp
'''


class Side:
    """One of the two clusters: a host after a boot, the role's way to a host, and what a loss took."""

    def __init__(self, lab):
        self.lab = lab
        self.stamps = benchlib.Stamps(lab)

    def equip(self, host):
        """After each boot: the agent, and the member that tells the time of a loss."""
        self.stamps.mark()
        inside(self.lab, host, 'sh', '-c', AGENT)
        subprocess.Popen(self.lab.command(host, ['/run/lab/bin/bench_stamp', 'watch']), stdin=subprocess.DEVNULL,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        eventually(lambda: self.stamps.find('watching', host=host), WAIT_S, f'{host} watches its membership')

    def lose(self, victim):
        """Milliseconds of one power loss: {what: ms}."""
        self.put(victim)
        self.stamps.mark()
        off = time.monotonic_ns()
        self.lab.ask('off', hosts=[victim])
        eventually(lambda: self.stamps.find('start', ROLE, not_host=victim), WAIT_S, f'{ROLE} starts after {victim} was lost')
        seen, start = min(self.stamps.find('lost', victim, not_host=victim)), min(self.stamps.find('start', ROLE, not_host=victim))
        times = {'detection': (seen - off) / MS, 'start': (start - seen) / MS}
        if asked := self.stamps.find('fence-asked', victim):
            times['to_fence'] = (min(asked) - seen) / MS
            times['fence'] = (min(self.stamps.find('fence-done', victim)) - min(asked)) / MS
        self.lab.ask('on', hosts=[victim])
        self.lab.ask('wait', condition='formed', timeout=WAIT_S)
        self.equip(victim)
        self.wait_back(victim)
        return times


class Ours(Side):
    def prepare(self):
        benchlib.wait_nodes_online(self.lab, len(HOSTS))
        for host in HOSTS:
            self.equip(host)
        inside(self.lab, 'node1', 'clusterctl', 'cluster', 'set', 'quarantine_count=0')
        inside(self.lab, 'node1', 'clusterctl', 'role', 'create', ROLE, 'threshold=1000')
        inside(self.lab, 'node1', 'clusterctl', 'resource', 'add', ROLE, ROLE, 'ocf:bench:stamp', 'monitor_interval=0')
        inside(self.lab, 'node1', 'clusterctl', '--wait', 'role', 'start', ROLE)

    def put(self, victim):
        self.stamps.mark()
        where = inside(self.lab, 'node1', 'clusterctl', '--json', 'role', 'show', ROLE)
        if f'"owner": "{victim}"' not in where:
            inside(self.lab, 'node1', 'clusterctl', '--wait', 'role', 'move', ROLE, victim)

    def wait_back(self, victim):
        benchlib.wait_nodes_online(self.lab, len(HOSTS))


class Peer(Side):
    def prepare(self):
        self.pacemaker = peer_pacemaker.Pacemaker(self.lab, HOSTS)
        self.lab.ask('wait', condition='formed', timeout=WAIT_S)
        for host in HOSTS:
            self.equip(host)
            self.pacemaker.start(host)
        self.pacemaker.wait_online()
        self.pacemaker.option('stonith-enabled', 'false')
        self.pacemaker.cib('resources', f'<primitive id="{ROLE}" class="ocf" provider="bench" type="stamp"/>')

    def put(self, victim):
        self.stamps.mark()
        where = self.lab.exec('node1', 'crm_resource', '-Q', '-r', ROLE, '--locate').stdout.split()
        self.pacemaker.cib('constraints', f'<rsc_location id="where" rsc="{ROLE}" node="{victim}" score="100"/>')
        if where != [victim]:
            eventually(lambda: self.stamps.find('start', ROLE, host=victim), WAIT_S, f'{ROLE} on {victim}')
        inside(self.lab, 'node1', 'crm_resource', '--wait')

    def wait_back(self, victim):
        self.pacemaker.start(victim)
        self.pacemaker.wait_online()

    def victim(self, dc_lost, turn):
        dc = self.pacemaker.dc()
        return dc if dc_lost else [h for h in HOSTS if h != dc][turn % 2]


def measure(b, with_peer):
    """who -> what -> milliseconds of each loss."""
    times = {'ours': [], 'pacemaker': [], 'pacemaker_dc': []}
    settings = {'fence_command': '/run/lab/bin/bench_stamp fence'}
    with contextlib.ExitStack() as stack:
        ours = Ours(stack.enter_context(b.lab(len(HOSTS), '-ours', fence='off', settings=settings)))
        ours.prepare()
        if with_peer:
            peer = Peer(stack.enter_context(b.lab(len(HOSTS), '-peer', clusterd=False)))
            peer.prepare()
        for turn in range(b.choose(7, 1)):
            times['ours'].append(ours.lose(HOSTS[turn % len(HOSTS)]))
            if with_peer:
                times['pacemaker'].append(peer.lose(peer.victim(False, turn)))
            if with_peer and turn % 2 == 0 and not b.quick:
                times['pacemaker_dc'].append(peer.lose(peer.victim(True, turn)))
            b.say('    ' + ', '.join(f'{who} {rows[-1]["start"]:.1f} ms' for who, rows in times.items() if rows))
    return {who: {what: [row[what] for row in rows] for what in rows[0]} for who, rows in times.items() if rows}


def run(b):
    times = measure(b, b.has_peer(peer_pacemaker.NEEDS))
    ours = times['ours']
    value = b.figure('start', ours['start'], 'ms', 50, note='notice of the loss to start of the role, fence included')
    b.figure('start_less_fence', [s - f for s, f in zip(ours['start'], ours['fence'])], 'ms', note="without the fence command's own time")
    b.figure('to_fence', ours['to_fence'], 'ms', note='notice of the loss to start of the fence command')
    b.figure('fence_command', ours['fence'], 'ms')
    b.figure('detection', ours['detection'], 'ms', note="power loss to corosync's notice")
    if 'pacemaker' not in times:
        return
    best = b.figure('pacemaker', times['pacemaker']['start'], 'ms', note='no stonith, its DC survives')
    if 'pacemaker_dc' in times:
        best = min(best, b.figure('pacemaker_dc', times['pacemaker_dc']['start'], 'ms', note='no stonith, its DC is lost'))
    b.figure('times_less', best / value, 'x', 10, less=False, note="Pacemaker's better one by ours")
    b.figure('pacemaker_detection', times['pacemaker']['detection'], 'ms')
