# SPDX-License-Identifier: GPL-2.0-or-later
"""Acknowledged changes a second and their latency at 3 and 16 hosts, full sync, beside cibadmin.

clusterd and Pacemaker run on the same hosts, corosync and disks, and are loaded in turn. A change of ours sets a field of a
role and is answered when a majority has it on disk; one client keeps many under way, as a program may. cibadmin makes one
change a process, so it is run several at a time too and its best is taken; it is answered before its change is on disk."""
import time

import benchlib
import peer_pacemaker
from benchlib import inside, load_line

MINUTES = 5
ROLES = 16
DEPTHS = (256, 64)
PARALLEL = (24, 12, 6)
XML = '<nvpair id="cib-bootstrap-options-bench" name="bench" value="%n"/>'


def ours(lab, seconds, depth):
    return load_line(inside(lab, 'node1', '/run/lab/bin/bench_changes', str(seconds), str(depth), 'bench', str(ROLES)))


def theirs(lab, host, seconds, parallel):
    return load_line(inside(lab, host, '/run/lab/bin/bench_spawn', str(seconds), str(parallel), 'cibadmin', '--modify', '-o',
                            'crm_config', '-X', XML))


def prepare(lab, hosts):
    benchlib.wait_nodes_online(lab, len(hosts))
    for n in range(1, ROLES + 1):
        inside(lab, 'node1', 'clusterctl', 'role', 'create', f'bench{n}', 'priority=no-autostart')
    peer = peer_pacemaker.Pacemaker(lab, hosts)
    for host in hosts:
        peer.start(host)
    peer.wait_online()
    peer.option('stonith-enabled', 'false')
    peer.option('bench', 'first')
    return peer


def measure(b, count, rounds, seconds):
    hosts = [f'node{n}' for n in range(1, count + 1)]
    with b.lab(count, f'-{count}') as lab:
        start = time.monotonic()
        peer = prepare(lab, hosts)
        b.say(f'  {count} hosts with both ready after {time.monotonic() - start:.0f} s')
        dc = peer.dc() or 'node1'
        many = {f'depth {d}': [] for d in DEPTHS}
        best = {f'{p} at a time': [] for p in PARALLEL}
        one, peer_one = [], []
        for _ in range(rounds):
            for d in DEPTHS:
                many[f'depth {d}'].append(ours(lab, seconds, d))
            for p in PARALLEL:
                best[f'{p} at a time'].append(theirs(lab, dc, seconds, p))
            one.append(ours(lab, seconds, 1))
            peer_one.append(theirs(lab, dc, seconds, 1))
    report(b, f'{count}', many, best, one, peer_one)


def best_of(rows_by_way):
    """The way with the highest median rate, and its rates."""
    rates = {way: [row['rate'] for row in rows] for way, rows in rows_by_way.items()}
    way = max(rates, key=lambda w: sorted(rates[w])[len(rates[w]) // 2])
    return way, rates[way]


def report(b, count, many, best, one, peer_one):
    bad = sum(row['failed'] for rows in [*many.values(), one] for row in rows)
    if bad:
        raise ValueError(f'{bad} changes of ours were refused at {count} hosts')
    way, rates = best_of(many)
    value = b.figure(f'rate_{count}', rates, '1/s', note=f'{way}, {count} hosts')
    b.figure(f'latency_loaded_{count}', [row['p50_ms'] for row in many[way]], 'ms', note=f'median of each round at {way}')
    way, rates = best_of(best)
    peer = b.figure(f'cibadmin_rate_{count}', rates, '1/s', note=f'{way}, best of {", ".join(best)}')
    b.figure(f'times_more_{count}', value / peer, 'x', 100, less=False)
    latency = b.figure(f'latency_{count}', [row['p50_ms'] for row in one], 'ms', note='one at a time, median of each round')
    b.figure(f'latency_p99_{count}', [row['p99_ms'] for row in one], 'ms')
    peer = b.figure(f'cibadmin_latency_{count}', [row['p50_ms'] for row in peer_one], 'ms', note='one at a time, its process included')
    b.figure(f'latency_times_less_{count}', peer / latency, 'x')


def run(b):
    benchlib.need(peer_pacemaker.NEEDS)
    for count in b.choose((3, 16), (3,)):
        measure(b, count, b.choose(5, 1), b.choose(2, 1))
