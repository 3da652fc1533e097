# SPDX-License-Identifier: GPL-2.0-or-later
"""A lab with clusterd on it, as the scenarios use it: roles, faults, the way back, a writer outside, and the verdict."""
import contextlib
import json
import random
import subprocess
import threading
import time

import labconf
import observer
from labctl import LabError

WATCHDOG_MS = 3000    # labconf.py
STOP_MS = 5000        # what a node without quorum has for stopping its roles
ROLE = ('threshold=1000', 'period=1s')
RESOURCE = ('start_timeout=10s', 'stop_timeout=3s', 'monitor_interval=2s', 'monitor_timeout=10s', 'restart_threshold=1000')
RECOVERY_S = 60       # from healed to every role up; detection + T_stop + margin + starts, on a loaded machine
COMMAND_S = 15
IMPORT_S = 120
NOT_MADE = set(range(1, 18)) - {2, 13}  # exit codes of clusterctl that say for certain: the change was not made
BUSY = {2, 10, 12}                   # try another node, or later
SERVICES = ('corosync', 'clusterd')


def standard_roles():
    """name -> resources (name, agent, parameters, depends), and what the observer looks at."""
    roles, watched = {}, []
    for n in range(1, 5):
        roles[f'track{n}'] = [(f'track{n}', 'ocf:clustertest:tracker', {}, '')]
        watched.append(observer.Resource(f'track{n}', 'file', f'/run/resource-agents/tracker-track{n}.pid'))
    for n in range(1, 3):
        roles[f'dummy{n}'] = [(f'dummy{n}', 'ocf:heartbeat:Dummy', {}, '')]
        watched.append(observer.dummy(f'dummy{n}'))
    roles['delay'] = [('delay', 'ocf:heartbeat:Delay', {'startdelay': 1, 'stopdelay': 1, 'mondelay': 0}, '')]
    watched.append(observer.Resource('delay', 'file', '/run/resource-agents/Delay_delay'))
    address = '10.231.0.201'
    roles['web'] = [('webip', 'ocf:heartbeat:IPaddr2', {'ip': address, 'cidr_netmask': 24, 'nic': 'eth0'}, ''),
                    ('websrv', 'ocf:heartbeat:nginx', {}, 'webip')]
    watched += [observer.Resource('webip', 'address', address), observer.Resource('websrv', 'process', 'nginx')]
    roles['stack'] = [('base', 'ocf:heartbeat:Dummy', {}, ''), ('top', 'ocf:clustertest:tracker', {}, 'base')]
    watched += [observer.dummy('base'), observer.Resource('top', 'file', '/run/resource-agents/tracker-top.pid')]
    return roles, watched


def time_table(conf):
    """Settings so short that a fault costs seconds, and still in order: corosync's detection (token + consensus, and what
    the machine adds) < grace; grace + watchdog + stopping = T_stop."""
    grace = labconf.token_ms(conf) * 22 // 10 + 1500
    return {'t_stop': f'{grace + WATCHDOG_MS + STOP_MS}ms', 'quorum_grace': f'{grace}ms', 'fence_margin': '1s', 'stall': '8s',
            'alive': '500ms', 'quarantine_count': '0'}


class Cluster:
    def __init__(self, lab):
        self.lab = lab
        self.conf = lab.ask('status')['conf']
        self.count = self.conf['hosts']
        self.names = [f'node{n}' for n in range(1, self.count + 1)]
        self.observer = None

    # -- clusterctl

    def ctl(self, host, *args, timeout=COMMAND_S):
        """clusterctl on one host; a result with returncode 124 when it did not answer."""
        return self.lab.exec(host, 'timeout', '-k', '1', str(timeout), 'clusterctl', *args, timeout=timeout + 10)

    def any_ctl(self, *args, timeout=COMMAND_S, deadline_s=RECOVERY_S):
        """On whichever node takes it; raises when none does in time or it is refused for good."""
        end = time.monotonic() + deadline_s
        result = None
        while time.monotonic() < end:
            for host in self.names:
                try:
                    result = self.ctl(host, *args, timeout=timeout)
                except LabError:
                    continue
                if result.returncode == 0:
                    return result
                if result.returncode not in BUSY | {124}:
                    raise LabError(f'clusterctl {" ".join(args)}: exit {result.returncode}: {result.stderr.strip()}')
            time.sleep(0.2)
        raise LabError(f'clusterctl {" ".join(args)}: no node took it in {deadline_s} s: {result and result.stderr.strip()}')

    def objects(self, host, kind):
        """The list of one kind of object as that host sees it."""
        result = self.ctl(host, '--json', kind, 'list')
        if result.returncode:
            raise LabError(f'{host}: clusterctl {kind} list: exit {result.returncode}: {result.stderr.strip()}')
        return json.loads(result.stdout)[f'{kind}s']

    # -- building

    def configure(self, **settings):
        self.any_ctl('cluster', 'set', *(f'{k}={v}' for k, v in {**time_table(self.conf), **settings}.items()))

    def add_role(self, role, resources):
        self.any_ctl('role', 'create', role, *ROLE)
        for name, agent, params, depends in resources:
            fields = [*RESOURCE, *([f'depends={depends}'] if depends else [])]
            words = [f'{k}={v}' for k, v in params.items()]
            self.any_ctl('resource', 'add', role, name, agent, *fields, *(['--', *words] if words else []))

    def import_roles(self, roles):
        """Many roles at once: name -> resources (name, agent, parameters, depends). One clusterctl, a few changes."""
        config = {'clusterd_config': 1, 'roles': {}, 'resources': {}}
        for role, resources in roles.items():
            config['roles'][role] = dict(word.split('=', 1) for word in ROLE)
            for name, agent, params, depends in resources:
                config['resources'][name] = {'role': role, 'agent': agent, **dict(word.split('=', 1) for word in RESOURCE),
                                             'params': {k: str(v) for k, v in params.items()}, 'depends': depends}
        path = f'{self.lab.run}/guest/shared/roles.json'
        with open(path, 'w', encoding='utf-8') as f:
            json.dump(config, f)
        self.any_ctl('config', 'import', '/run/lab/shared/roles.json', '--quiet', timeout=IMPORT_S)

    def start_roles(self, names=None):
        """Waits for the cluster, makes it quick, and runs the standard roles (or those) under an observer."""
        self.lab.ask('wait', condition='formed', timeout=RECOVERY_S)
        self.configure()
        self.heal()
        roles, watched = standard_roles()
        chosen = {role: resources for role, resources in roles.items() if not names or role in names}
        for role, resources in chosen.items():
            self.add_role(role, resources)
        made = {name for resources in chosen.values() for name, _, _, _ in resources}
        self.observer = observer.Observer(self.lab, [w for w in watched if w.name in made])
        self.observer.start()
        if not self.observer.wait_all_up(RECOVERY_S):
            raise LabError(f'did not come up at first: {self.observer.missing()}')

    # -- faults and the way back

    def status(self):
        return self.lab.ask('status')['hosts']

    def kill(self, host, process):
        self.lab.ask('kill', host=host, process=process)

    def heal_step(self, hosts=None):
        """One round of repair; True when there was nothing to do."""
        clean = True
        for h in self.status():
            if hosts and h['name'] not in hosts:
                continue
            try:
                if h['state'] == 'off':
                    self.lab.ask('on', hosts=[h['name']])
                    clean = False
                elif h['state'] != 'up':
                    clean = False
                else:
                    clean = self.heal_host(h) and clean
            except LabError:
                clean = False  # its watchdog was faster; the next round sees
        return clean

    def heal_host(self, h):
        clean = True
        if h['stopped'] or h['frozen']:
            self.lab.ask('cont', host=h['name'])
            clean = False
        for service in SERVICES:
            if h['services'].get(service) == 0:
                self.lab.ask('restart', host=h['name'], process=service)
                clean = False
        return clean

    def heal(self, timeout_s=RECOVERY_S):
        """Networks joined, hosts on, daemons running, corosync whole, clusterd online everywhere."""
        self.lab.ask('heal')
        end = time.monotonic() + timeout_s
        while True:
            if self.heal_step() and self.all_online():
                return
            if time.monotonic() > end:
                raise LabError(f'not healed in {timeout_s} s: {self.trouble()}')
            time.sleep(0.2)

    def all_online(self):
        try:
            self.lab.ask('wait', condition='formed', timeout=2)
            nodes = self.objects(self.names[0], 'node')
        except (LabError, ValueError, KeyError):
            return False
        return len(nodes) == self.count and all(n['state'] == 'online' for n in nodes)

    def trouble(self):
        parts = [f'{h["name"]} {h["state"]} services {h["services"]} members {h["members"]}' for h in self.status()]
        for host in self.names:
            try:
                parts.append(f'{host}: {self.ctl(host, "status", timeout=5).stdout[-1500:]}')
                break
            except LabError:
                continue
        return '\n'.join(parts)

    # -- verdict

    def verify(self, writer=None, timeout_s=RECOVERY_S):
        """After a fault: healed, every role up once, no double ever, same state everywhere, nothing acknowledged lost.
        Returns seconds until everything was up."""
        start = time.monotonic()
        self.heal(timeout_s)
        if not self.observer.wait_all_up(timeout_s):
            raise LabError(f'not up after {timeout_s} s: {self.observer.missing()}\n{self.trouble()}')
        took = time.monotonic() - start
        self.check_doubles()
        with writer.lock if writer else contextlib.nullcontext():
            if writer:
                writer.check()
            self.check_agreement()
        return took

    def check_doubles(self):
        bad = observer.tracker_doubles(observer.tracker_runs(f'{self.lab.run}/guest/shared'))
        bad += [v.text for v in self.observer.violations]
        if bad:
            raise LabError('ran twice: ' + '; '.join(bad))

    def check_agreement(self, timeout_s=10):
        """All nodes show the same configuration (a change under way may need a moment)."""
        end = time.monotonic() + timeout_s
        while True:
            texts = {}
            for host in self.names:
                result = self.ctl(host, 'config', 'export')
                texts.setdefault(result.stdout if result.returncode == 0 else f'exit {result.returncode}: {result.stderr}',
                                 []).append(host)
            if len(texts) == 1 and result.returncode == 0:
                return
            if time.monotonic() > end:
                raise LabError(f'nodes disagree: {[(hosts, text[:300]) for text, hosts in texts.items()]}')
            time.sleep(0.2)


class Writer(threading.Thread):
    """Makes changes from outside all the time and remembers which were acknowledged.

    Each key is a role of its own that is never started; its value (field cpu) only rises. A key's final value must be the
    last acknowledged one or a later one that was attempted: anything else is a lost or an invented change. A change whose
    outcome is unknown may still be made until clusterd gives it up, so its key rests that long.
    """
    KEYS = 48
    REST_S = 65  # more than REQUEST_TIMEOUT_MS (clusterd/core/core_private.h)

    def __init__(self, cluster, seed):
        super().__init__(daemon=True)
        self.cluster = cluster
        self.random = random.Random(seed)
        self.acked = {}
        self.tried = {}
        self.acks = self.refused = self.unknown = 0
        self.rest_until = {}
        self.history = []  # (time, host, key, value, exit code): evidence
        self.ending = threading.Event()
        self.lock = threading.Lock()  # held while a change is under way

    def prepare(self):
        for key in range(self.KEYS):
            self.cluster.any_ctl('role', 'create', f'key{key}', 'priority=no-autostart', 'cpu=1')
            self.acked[key] = self.tried[key] = 1

    def run(self):
        while not self.ending.is_set():
            with self.lock:
                now = time.monotonic()
                awake = [key for key in range(self.KEYS) if self.rest_until.get(key, 0) < now]
                if awake:
                    self.write(self.random.choice(awake), self.random.choice(self.cluster.names))
            self.ending.wait(0.05)

    def write(self, key, host):
        value = self.tried[key] + 1
        try:
            result = self.cluster.ctl(host, 'role', 'set', f'key{key}', f'cpu={value}', timeout=5)
        except (LabError, OSError):
            return  # the host is off: nothing was asked
        except subprocess.TimeoutExpired:
            self.no_answer(key, value)
            return
        self.history.append((time.time(), host, key, value, result.returncode))
        if result.returncode == 0:
            self.tried[key] = self.acked[key] = value
            self.acks += 1
        elif result.returncode in NOT_MADE:
            self.refused += 1
        else:
            self.no_answer(key, value)

    def no_answer(self, key, value):
        self.tried[key] = value
        self.rest_until[key] = time.monotonic() + self.REST_S
        self.unknown += 1

    def check(self):
        """The caller holds the lock."""
        roles = {r['name']: r for r in self.cluster.objects(self.cluster.names[0], 'role')}
        for key in range(self.KEYS):
            value = roles[f'key{key}']['cpu'] if f'key{key}' in roles else None
            if value is None or not self.acked[key] <= value <= self.tried[key]:
                raise LabError(f'acknowledged change lost: key{key} is {value}, acknowledged {self.acked[key]}, '
                               f'last tried {self.tried[key]}; {self.evidence(f"key{key}")}')

    def evidence(self, name):
        """What each node says about a key, a little later."""
        parts = []
        for host in self.cluster.names:
            try:
                result = self.cluster.ctl(host, '--json', 'role', 'list')
                answer = json.loads(result.stdout)
                values = [r['cpu'] for r in answer['roles'] if r['name'] == name]
                parts.append(f'{host} says {values} at {answer["tag"]}')
            except (LabError, ValueError, KeyError) as e:
                parts.append(f'{host}: {e!r}')
        return '; '.join(parts)

    def stop(self):
        self.ending.set()
        if self.is_alive():
            self.join()
