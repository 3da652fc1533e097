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


def prepare(lab, hosts, with_peer):
    """The host cibadmin is quickest on, Pacemaker's DC."""
    benchlib.wait_nodes_online(lab, len(hosts))
    for n in range(1, ROLES + 1):
        inside(lab, 'node1', 'clusterctl', 'role', 'create', f'bench{n}', 'priority=no-autostart')
    if not with_peer:
        return None
    peer = peer_pacemaker.Pacemaker(lab, hosts)
    for host in hosts:
        peer.start(host)
    peer.wait_online()
    peer.option('stonith-enabled', 'false')
    peer.option('bench', 'first')
    return peer.dc() or 'node1'


def measure(b, count, with_peer):
    """Rounds of ours many at a time, ours one by one, and cibadmin's both when it is there."""
    seconds = b.choose(2, 1)
    many, one = {f'depth {d}': [] for d in DEPTHS}, []
    peer_many, peer_one = {f'{p} at a time': [] for p in PARALLEL}, []
    with b.lab(count, f'-{count}') as lab:
        start = time.monotonic()
        dc = prepare(lab, [f'node{n}' for n in range(1, count + 1)], with_peer)
        b.say(f'    {count} hosts ready after {time.monotonic() - start:.0f} s')
        for _ in range(b.choose(5, 1)):
            for d in DEPTHS:
                many[f'depth {d}'].append(ours(lab, seconds, d))
            for p in PARALLEL if dc else ():
                peer_many[f'{p} at a time'].append(theirs(lab, dc, seconds, p))
            one.append(ours(lab, seconds, 1))
            if dc:
                peer_one.append(theirs(lab, dc, seconds, 1))
    return many, one, peer_many, peer_one


def best_of(rows_by_way):
    """The way with the highest median rate, and its rates."""
    rates = {way: [row['rate'] for row in rows] for way, rows in rows_by_way.items()}
    way = max(rates, key=lambda w: sorted(rates[w])[len(rates[w]) // 2])
    return way, rates[way]


def report(b, count, many, one, peer_many, peer_one):
    if bad := sum(row['failed'] for rows in [*many.values(), one] for row in rows):
        raise ValueError(f'{bad} changes of ours were refused at {count} hosts')
    way, rates = best_of(many)
    rate = b.figure(f'rate_{count}', rates, '1/s', note=f'{count} hosts, {way}')
    b.figure(f'latency_loaded_{count}', [row['p50_ms'] for row in many[way]], 'ms', note=f'median of each round at {way}')
    latency = b.figure(f'latency_{count}', [row['p50_ms'] for row in one], 'ms', note='one at a time, median of each round')
    b.figure(f'latency_p99_{count}', [row['p99_ms'] for row in one], 'ms')
    if not peer_one:
        return
    way, rates = best_of(peer_many)
    peer = b.figure(f'cibadmin_rate_{count}', rates, '1/s', note=f'{way}, best of {", ".join(peer_many)}')
    b.figure(f'times_more_{count}', rate / peer, 'x', 100, less=False)
    peer = b.figure(f'cibadmin_latency_{count}', [row['p50_ms'] for row in peer_one], 'ms', note='one at a time, its process included')
    b.figure(f'latency_times_less_{count}', peer / latency, 'x')


def run(b):
    with_peer = b.has_peer(peer_pacemaker.NEEDS)
    for count in b.choose((3, 16), (3,)):
        report(b, count, *measure(b, count, with_peer))
