# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory and idle CPU of clusterd at 63 hosts with 8,000 roles in the state; nothing runs. corosync's is counted apart."""
import os
import time

import benchlib
from benchlib import inside

MINUTES = 4
FORM_S = 240
FILL_S = 300
HZ = os.sysconf('SC_CLK_TCK')
AGENT = '''
mkdir -p /usr/lib/ocf/resource.d/bench
ln -sf /run/lab/bin/bench_stamp /usr/lib/ocf/resource.d/bench/stamp
'''


def processes(lab, name):
    """PIDs, as seen from here, of the processes with that name in all hosts of the lab."""
    spaces = {os.readlink(f'/proc/{h["pid"]}/ns/pid') for h in lab.ask('status')['hosts'] if h['state'] == 'up'}
    found = []
    for entry in os.scandir('/proc'):
        try:
            with open(f'{entry.path}/comm') as f:
                if f.read().strip() == name and os.readlink(f'{entry.path}/ns/pid') in spaces:
                    found.append(int(entry.name))
        except OSError:
            pass  # no process, or one that ended while we looked
    return found


def cpu_s(pid):
    with open(f'/proc/{pid}/stat') as f:
        fields = f.read().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / HZ


def memory_mib(pid):
    with open(f'/proc/{pid}/status') as f:
        return next(int(line.split()[1]) / 1024 for line in f if line.startswith('VmRSS:'))


def idle(pids, seconds):
    """Percent of a core of each process over that time."""
    start, before = time.monotonic(), {p: cpu_s(p) for p in pids}
    time.sleep(seconds)  # this time is what is measured
    took = time.monotonic() - start
    return [(cpu_s(p) - before[p]) / took * 100 for p in pids]


def run(b):
    hosts, roles, seconds = b.choose(63, 5), b.choose(8000, 200), b.choose(40, 5)
    start = time.monotonic()
    with b.lab(hosts) as lab:
        benchlib.wait_nodes_online(lab, hosts, FORM_S)
        b.figure('form', time.monotonic() - start, 's', note=f'{hosts} hosts built, booted and online')
        inside(lab, 'node1', 'sh', '-c', AGENT)
        start = time.monotonic()
        inside(lab, 'node1', '/run/lab/bin/bench_changes', 'fill', str(roles), 'ocf:bench:stamp', timeout=FILL_S)
        b.figure('fill', time.monotonic() - start, 's', note=f'{roles} roles with a resource each, its agent asked to validate')
        daemons, corosync = processes(lab, 'clusterd'), processes(lab, 'corosync')
        used = idle(daemons + corosync, seconds)
        b.figure('memory', [memory_mib(p) for p in daemons], 'MiB', 64, note=f'resident, a sample a node, {len(daemons)} nodes')
        b.figure('idle_cpu', used[:len(daemons)], '%', 1, note=f'of a core over {seconds} s, a sample a node')
        b.figure('memory_corosync', [memory_mib(p) for p in corosync], 'MiB')
        b.figure('idle_cpu_corosync', used[len(daemons):], '%')
