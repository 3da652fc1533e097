#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The data checker for a short time: on a local file system, where it must find nothing, and under a few faults; that it
finds what is wrong is shown by damage."""
import json
import os
import subprocess
import sys

import csvrig
from labtest import check, check_equal, main

TORTURE = f'{csvrig.HERE}/csvtorture'


def torture(*words):
    result = subprocess.run([sys.executable, '-B', TORTURE, *words], timeout=600, capture_output=True, text=True)
    print(result.stdout + result.stderr, end='', flush=True)
    return result.returncode


def load(*words):
    return subprocess.run([csvrig.tool('csvload'), *words], capture_output=True, text=True, timeout=60)


def test_checker_alone():
    check_equal(torture('--local', '--seconds', '4', '--seed', '1'), 0, 'nothing to find on a local file system')


def test_power_alone():
    """Likewise when a disk loses its cache under a local file system; and without its flushes it is found."""
    check_equal(torture('--local', '--sync', '--seconds', '4', '--seed', '1'), 0, 'what is synced is kept')
    result = subprocess.run([sys.executable, '-B', TORTURE, '--local', '--sync', '--no-barrier', '--seconds', '1', '--seed', '1'],
                            timeout=600, capture_output=True, text=True)
    check(result.returncode == 1 and 'FINDING lost' in result.stdout, f'without flushes: {result.stdout[-300:]} {result.stderr[-300:]}')


def damage(place, name, how):
    with open(f'{place}/{name}', 'r+b') as f:
        how(f)


def swap_blocks(f):
    f.seek(0)
    first = f.read(4096)
    f.seek(65536)
    f.write(first)


def flip_byte(f):
    f.seek(512)
    byte = f.read(1)
    f.seek(512)
    f.write(bytes([byte[0] ^ 1]))


def zero_sector(f):
    f.seek(512)
    f.write(bytes(512))


def lose_record(f):
    f.truncate(os.fstat(f.fileno()).st_size - 64)


def test_damage_is_found():
    csvrig.private_mounts()
    journal = f'{csvrig.MOUNT}/journal'
    with csvrig.local_file_systems(1) as (place,):
        load(journal, 'init')
        check_equal(load(journal, 'make', place).returncode, 0, 'make')
        worker = subprocess.Popen([csvrig.tool('csvload'), journal, 'work', place, '0', '1', '5'])
        csvrig.eventually(lambda: '"ops": 0, "doing"' not in load(journal, 'stat').stdout.split('}')[0] and
                          all(os.path.getsize(f'{place}/{name}') for name in ('append-0', 'append-1', 'counter-0')) and
                          '"write": 0' not in load(journal, 'stat').stdout, 30, 'some work is done')
        csvrig.eventually(lambda: open(f'{place}/data-0', 'rb').read(1024)[512:520] != bytes(8), 30, 'the first sectors are written')
        load(journal, 'stop')
        check_equal(worker.wait(30), 0, 'worker')
        check_equal(load(journal, 'verify', place, 'read').stdout, '', 'nothing to find')
        for name, how, word in (('data-0', flip_byte, 'torn'), ('data-0', zero_sector, 'lost'), ('data-1', swap_blocks, 'foreign'),
                                ('append-0', lose_record, 'append-0'), ('counter-0', lambda f: f.truncate(0), 'counter-0')):
            with open(f'{place}/{name}', 'rb') as f:
                before = f.read()
            damage(place, name, how)
            result = load(journal, 'verify', place, 'read')
            check(result.returncode == 1 and word in result.stdout, f'{how.__name__} of {name}: {result.stdout[:200]}')
            with open(f'{place}/{name}', 'wb') as f:
                f.write(before)
        os.symlink('x', f'{place}/own-0-999')
        for name in [n for n in os.listdir(place) if n.startswith('own-0-')][:1]:
            if name != 'own-0-999':
                os.rename(f'{place}/{name}', f'{place}/hidden')
                check('own-0' in load(journal, 'verify', place, 'read').stdout, 'a name that is gone')


# The fault, and as what it is found: a lost write is stale for who reads it before another one comes.
BROKEN = (('stale', ['stale']), ('locks', ['broken_locks']), ('sectors', ['stale']), ('lose', ['stale']), ('append', ['duplicates']))


def broken(below, fault, findings):
    """Two "nodes" of a volume that has this fault; until it is found."""
    journal = f'{csvrig.MOUNT}/journal'
    nodes = [f'{csvrig.MOUNT}/{name}' for name in ('a', 'b')]
    for folder in nodes:
        os.mkdir(folder)
    load(journal, 'init')
    load(journal, 'make', below)
    processes = [subprocess.Popen([csvrig.tool('csvbroken'), fault, below, node]) for node in nodes]

    def found():
        stat = json.loads(load(journal, 'stat').stdout)
        check_equal(stat['errors'], 0, f'csvbroken {fault}: errors')
        return sum(stat[name] for name in findings)
    try:
        for node in nodes:
            csvrig.eventually(lambda n=node: os.path.ismount(n), 10, f'{node} is mounted')
        with open(f'{csvrig.MOUNT}/out', 'w') as out:
            workers = [subprocess.Popen([csvrig.tool('csvload'), journal, 'work', nodes[i % 2], str(i), str(i % 2), '7',
                                         'map-write,map-read'], stdout=out, stderr=out) for i in range(4)]
        processes += workers
        if 'duplicates' in findings:  # seen by a look at the whole
            csvrig.eventually(lambda: json.loads(load(journal, 'stat').stdout)['ops']['append'] > 2000, 60, 'work is done')
            load(journal, 'stop')
            for worker in workers:
                worker.wait(30)
            load(journal, 'verify', below, 'read')
            check(found() > 0, f'csvbroken {fault}: {findings}')
        else:
            csvrig.eventually(found, 60, f'csvbroken {fault}: {findings}')
    finally:
        for process in reversed(processes):
            process.kill()
            process.wait()


def test_faults_in_the_volume_are_found():
    for fault, findings in BROKEN:
        csvrig.private_mounts()
        with csvrig.local_file_systems(1) as (place,):
            broken(place, fault, findings)


def test_faults():
    if not csvrig.have_programs():
        return
    check_equal(torture('--seconds', '30', '--seed', '1', '--faults',
                        'owner-kill,move,owner-power-loss,client-kill,path-loss,owner-stop'), 0, 'under faults')


main(test_checker_alone, test_power_alone, test_damage_is_found, test_faults_in_the_volume_are_found, test_faults)
