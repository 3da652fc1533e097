#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Watches a lab from outside and judges it: which resource runs on which host, and did one ever run on two.

Two kinds of evidence. Trackers (agents/tracker) leave records of their own, from which every overlap is found afterwards,
however short. Other resources are sampled: a state file, a process or an address in a host's namespaces. A frozen host
still "runs" what it ran: it may wake up.
"""
import argparse
import collections
import glob
import os
import signal
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import labctl  # noqa: E402

SAMPLE_S = 0.05

Run = collections.namedtuple('Run', 'role host pid start_ns end_ns ended double')
Resource = collections.namedtuple('Resource', 'name kind key')
Violation = collections.namedtuple('Violation', 'at name text')


# -- trackers


def parse_tracker_log(role, host, lines):
    """The runs in one host's log of one role; `ended`: "stop", or "beat" when it was killed or still runs."""
    runs, current = [], None
    double = False
    for line in lines:
        words = line.split()
        if len(words) != 3:
            continue  # the line being written right now
        ns, what, pid = int(words[0]), words[1], int(words[2])
        if what == 'double':
            double = True
        elif what == 'start':
            if current:
                runs.append(current)
            current = Run(role, host, pid, ns, ns, 'beat', double)
            double = False
        elif current:
            current = current._replace(end_ns=ns, ended='stop' if what == 'stop' else current.ended)
            if what == 'stop':
                runs.append(current)
                current = None
    return runs + ([current] if current else [])


def tracker_runs(shared_dir):
    """All runs of all trackers, by start."""
    runs = []
    for path in glob.glob(f'{shared_dir}/*.log'):
        role, host = os.path.basename(path)[:-len('.log')].rsplit('.', 1)
        with open(path) as f:
            runs += parse_tracker_log(role, host, f)
    return sorted(runs, key=lambda r: r.start_ns)


def tracker_doubles(runs):
    """Texts of what must not be: the lock was held at a start, or a run began before the one before it ended."""
    found = []
    last = {}
    for run in runs:
        before = last.get(run.role)
        if run.double:
            found.append(f'{run.role} started on {run.host} while its lock was held' +
                         (f' (before: {before.host})' if before else ''))
        elif before and run.start_ns <= before.end_ns:
            found.append(f'{run.role} ran on {before.host} until {(before.end_ns - run.start_ns) / 1e6:.1f} ms after its '
                         f'start on {run.host}')
        if not before or run.end_ns >= before.end_ns:
            last[run.role] = run
    return found


# -- samples


class HostView:
    """What can be read of one host at this moment."""

    def __init__(self, run, name):
        self.name = name
        self.dir = f'{run}/hosts/{name}'
        self.pid = self.init_pid()
        self._addresses = None
        self._names = {}        # directory -> what is in it; one look a sample, however many resources

    def init_pid(self):
        try:
            with open(f'{self.dir}/init.pid') as f:
                pid = int(f.read())
            with open(f'/proc/{pid}/cmdline', 'rb') as f:
                return pid if f'\0{self.dir}\0'.encode() in f.read() else 0
        except (OSError, ValueError):
            return 0

    def has_file(self, path):
        folder, name = os.path.split(path)
        if folder not in self._names:
            try:
                self._names[folder] = set(os.listdir(f'/proc/{self.pid}/root{folder}'))
            except OSError:
                self._names[folder] = set()
        return name in self._names[folder]

    def has_address(self, address):
        if self._addresses is None:
            self._addresses = set()
            try:
                with open(f'/proc/{self.pid}/net/fib_trie') as f:
                    last = ''
                    for line in f:
                        words = line.split()
                        if words[0] == '|--':
                            last = words[1]
                        elif words[0] == '/32' and words[1:3] == ['host', 'LOCAL']:
                            self._addresses.add(last)
            except OSError:
                pass
        return address in self._addresses

    def has_process(self, name, processes):
        try:
            return name in processes.get(os.readlink(f'/proc/{self.pid}/ns/pid'), ())
        except OSError:
            return False

    def runs(self, resource, processes):
        if not self.pid:
            return False
        if resource.kind == 'file':
            return self.has_file(resource.key)
        if resource.kind == 'address':
            return self.has_address(resource.key)
        return self.has_process(resource.key, processes)


def process_names():
    """Command names by PID namespace, of all processes of the machine."""
    found = collections.defaultdict(set)
    for entry in os.scandir('/proc'):
        if entry.name.isdigit():
            try:
                with open(f'/proc/{entry.name}/comm') as f:
                    found[os.readlink(f'/proc/{entry.name}/ns/pid')].add(f.read().rstrip('\n'))
            except OSError:
                pass
    return found


def dummy(name):
    return Resource(name, 'file', f'/run/resource-agents/Dummy-{name}.state')


class Observer(threading.Thread):
    """Samples until stopped. `where`: resource -> hosts it runs on now; `violations`; `on_change(at, name, hosts)`."""

    def __init__(self, lab, resources, on_change=None):
        super().__init__(daemon=True)
        self.run_dir = lab.run
        self.resources = resources
        self.on_change = on_change
        self.where = {}
        self.history = []       # (monotonic s, name, hosts)
        self.violations = []
        self.samples = 0
        self.longest_gap_s = 0.0
        self.cond = threading.Condition()
        self.ending = threading.Event()

    def run(self):
        last = None
        while not self.ending.is_set():
            now = time.monotonic()
            if last:
                self.longest_gap_s = max(self.longest_gap_s, now - last)
            last = now
            self.sample(now)
            self.ending.wait(SAMPLE_S)

    def look(self):
        hosts = [HostView(self.run_dir, e.name) for e in os.scandir(f'{self.run_dir}/hosts')]
        processes = process_names() if any(r.kind == 'process' for r in self.resources) else {}
        return {r.name: tuple(sorted(h.name for h in hosts if h.runs(r, processes))) for r in self.resources}

    def sample(self, now):
        try:
            seen = self.look()
            double = {name for name, hosts in seen.items() if len(hosts) > 1}
            if double:
                # One look takes time in which a resource may move: it counts when a second look finds it again on both.
                again = self.look()
                double = {name for name in double if len(set(seen[name]) & set(again[name])) > 1}
        except FileNotFoundError:
            return  # the lab is going down
        with self.cond:
            for name, hosts in seen.items():
                if self.where.get(name) != hosts:
                    self.where[name] = hosts
                    self.history.append((now, name, hosts))
                    if name in double:
                        self.violations.append(Violation(now, name, f'{name} runs on {" and ".join(hosts)}'))
                    if self.on_change:
                        self.on_change(now, name, hosts)
            self.samples += 1
            self.cond.notify_all()

    def wait(self, condition, timeout_s):
        """Until condition(where) holds in a sample; whether it did."""
        with self.cond:
            return self.cond.wait_for(lambda: condition(self.where), timeout_s)

    def wait_all_up(self, timeout_s):
        names = [r.name for r in self.resources]
        return self.wait(lambda where: all(len(where.get(n, ())) == 1 for n in names), timeout_s)

    def missing(self):
        with self.cond:
            return sorted(r.name for r in self.resources if len(self.where.get(r.name, ())) != 1)

    def stop(self):
        self.ending.set()
        self.join()


def parse_resource(text):
    kind, _, rest = text.partition(':')
    name, _, key = rest.partition('=')
    if kind == 'dummy' and name and not key:
        return dummy(name)
    if kind in ('file', 'address', 'process') and key:
        return Resource(name, kind, key)
    raise argparse.ArgumentTypeError(f'{text}: dummy:NAME, file:NAME=PATH, address:NAME=IP or process:NAME=COMMAND expected')


def main():
    p = argparse.ArgumentParser(description='Shows which resource runs where in a lab, and every resource that runs twice.')
    p.add_argument('--name', default=os.environ.get('CLUSTERD_LAB', 'lab'), help='which lab')
    p.add_argument('resources', nargs='*', type=parse_resource,
                   help='dummy:NAME, file:NAME=PATH, address:NAME=IP, process:NAME=COMMAND; none: verdict on the trackers so far')
    args = p.parse_args()
    lab = labctl.Lab(args.name)
    lab.ask('status')
    if args.resources:
        def show(at, name, hosts):
            print(f'{at:.3f} {name}: {", ".join(hosts) or "nowhere"}{"   TWICE" if len(hosts) > 1 else ""}', flush=True)
        watching = Observer(lab, args.resources, show)
        watching.start()
        signal.signal(signal.SIGINT, lambda *_: watching.ending.set())
        watching.join()
        bad = [v.text for v in watching.violations]
    else:
        bad = []
    runs = tracker_runs(f'{lab.run}/guest/shared')
    bad += tracker_doubles(runs)
    print(f'{len(runs)} tracker runs, {len(bad)} violations')
    for text in bad:
        print(f'  {text}')
    return 1 if bad else 0


if __name__ == '__main__':
    try:
        sys.exit(main())
    except labctl.LabError as e:
        labctl.fail(e)
