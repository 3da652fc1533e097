#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""fio with checksums and the file system stressors of stress-ng on two nodes at once: no errors, and a clean file system
afterwards. CSVFS_SECONDS: how long the stressors run; CSVFS_MIB: how much each job of fio writes."""
import json
import os
import subprocess
import sys

import csvrig
from labtest import check, check_equal, main

SECONDS = int(os.environ.get('CSVFS_SECONDS', '15'))
MIB = int(os.environ.get('CSVFS_MIB', '8'))

# name, size of blocks, engine, other options
FIO_JOBS = (
    ('direct-4k', '4k', 'psync', {'direct': 1}),
    ('direct-4k-deep', '4k', 'libaio', {'direct': 1, 'iodepth': 16}),
    ('direct-64k', '64k', 'libaio', {'direct': 1, 'iodepth': 8}),
    ('direct-1m', '1m', 'libaio', {'direct': 1, 'iodepth': 4}),
    ('direct-sectors', '512', 'psync', {'direct': 1}),
    ('buffered-4k', '4k', 'psync', {}),
    ('buffered-odd', '3000', 'psync', {}),
    ('buffered-128k', '128k', 'libaio', {'iodepth': 4}),
    ('mapped-4k', '4k', 'mmap', {}),
    ('synced-16k', '16k', 'psync', {'sync': 'dsync'}),
    ('sizes', None, 'libaio', {'direct': 1, 'iodepth': 8, 'bsrange': '4k-256k'}),
    ('trimmed', '64k', 'psync', {'direct': 1, 'fallocate': 'keep'}),
)
SMALL = ('direct-sectors', 'buffered-odd', 'synced-16k')  # an operation costs as much as a large one's

STRESSORS = """access chdir chmod chown copy-file dentry dir dirdeep dirmany fallocate fcntl filename flock fpunch fsize fstat getdent
hdd inotify io iomix link locka lockf lockofd mknod rename revio seek symlink sync-file touch utime xattr""".split()
SIZES = """--copy-file-bytes 128m --fallocate-bytes 8m --hdd-bytes 16m --iomix-bytes 8m --revio-bytes 8m --seek-size 8m
--sync-file-bytes 8m --dirdeep-inodes 2000 --chdir-dirs 64""".split()


def fio_file(rig, node):
    lines = ['[global]', f'directory={csvrig.MOUNT}/fio-{node.name}', 'rw=randwrite', 'verify=crc32c', 'verify_fatal=1',
             'verify_state_save=0', 'thread=1']
    for name, block, engine, more in FIO_JOBS:
        size = max(1, MIB // 4) if name in SMALL else MIB
        if name == 'mapped-4k' and not rig.maps:
            continue
        lines += [f'[{name}]', f'ioengine={engine}', f'size={size}m']
        lines += [f'bs={block}'] if block else []
        lines += [f'{k}={v}' for k, v in more.items()]
    path = f'{rig.lab.run}/guest/fio-{node.name}'
    with open(path, 'w') as f:
        f.write('\n'.join(lines) + '\n')
    return f'/run/lab/fio-{node.name}'


def start(node, *argv):
    return subprocess.Popen(node.command(*argv), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def fio(pairs, what, *options):
    """On several nodes at once, each with its jobs."""
    runs = [(node, start(node, 'fio', '--output-format=json', *options, jobs)) for node, jobs in pairs]
    for node, run in runs:
        output = run.communicate(timeout=600)[0]
        text = output[output.find('{\n'):] if '{\n' in output else ''
        if not check(run.returncode == 0 and text, f'{what} on {node.name}: exit {run.returncode}: {output[-600:]}'):
            continue
        jobs = json.loads(text)['jobs']
        check_equal([j['jobname'] for j in jobs if j['error']], [], f'{what} on {node.name}: jobs with errors')
        print(f'{what} on {node.name}: {len(jobs)} jobs, {sum(j["read"]["io_kbytes"] for j in jobs) // 1024} MiB verified', flush=True)


def verify(rig):
    nodes = [rig.node(2), rig.node(3)]
    for node in nodes:
        node.run('mkdir', f'{csvrig.MOUNT}/fio-{node.name}')
    jobs = [fio_file(rig, node) for node in nodes]
    fio(list(zip(nodes, jobs)), 'fio')
    # What one has written, by the other's path; and by the owner's.
    fio(list(zip(reversed(nodes), jobs)), 'fio --verify_only', '--verify_only')
    fio([(rig.node(1), jobs[0])], 'fio --verify_only', '--verify_only')


def stress(rig):
    nodes = [rig.node(1), rig.node(2)]
    runs = []
    for node in nodes:
        place = f'{csvrig.MOUNT}/stress-{node.name}'
        node.run('mkdir', place)
        argv = ['stress-ng', '--temp-path', place, '--timeout', str(SECONDS), '--verify', '--metrics-brief', *SIZES]
        for name in STRESSORS:
            argv += [f'--{name}', '1']
        runs.append((node, start(node, *argv)))
    for node, run in runs:
        output = run.communicate(timeout=SECONDS + 240)[0]
        lines = [line for line in output.splitlines() if 'fail:' in line or 'error:' in line or 'killed' in line]
        check(run.returncode == 0, f'stress-ng on {node.name}: exit {run.returncode}: ' + '\n'.join(lines or output.splitlines()[-20:]))
        check_equal(lines, [], f'stress-ng on {node.name}')
        skipped = [line for line in output.splitlines() if 'skip' in line]
        print('\n'.join([f'stress-ng on {node.name}: {len(STRESSORS)} stressors for {SECONDS} s', *skipped]), flush=True)


def test_stress():
    if not csvrig.have_programs():
        return
    csvrig.private_mounts()
    for filesystem in os.environ.get('CSVFS_FILESYSTEMS', 'ext4').split():
        with csvrig.rig(3, size=2 * csvrig.GIB, filesystem=filesystem) as rig:
            rig.start()
            rig.maps = [int(n) for n in os.uname().release.split('.')[:2]] >= [6, 6]
            verify(rig)
            stress(rig)
            rig.stop()
            check_equal(rig.fsck(), '', f'fsck of {filesystem}')


if __name__ == '__main__':
    sys.exit(main(test_stress))
