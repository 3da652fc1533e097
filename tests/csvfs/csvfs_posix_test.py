#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The conformance cases on the owner's node and on another one: each line as on a local file system."""
import difflib
import os
import re
import subprocess
import tempfile

import csvrig
from labtest import check, check_equal, main

SHOWN = 60
# Lines that may differ, with the reason.
DIFFERENCES = [
]


def run_suite(place, command=None, groups=()):
    argv = [csvrig.tool('posix_suite'), place, *groups]
    result = subprocess.run(command(*argv) if command else argv, capture_output=True, text=True, errors='backslashreplace',
                            timeout=600)
    lines = result.stdout.splitlines()
    check(result.returncode == 0, f'the suite ended: exit {result.returncode}: {result.stderr[-300:]} {lines[-1:]}')
    return lines


def explained(line):
    return any(re.search(pattern, line) for pattern, _ in DIFFERENCES)


def compare(want, got, what):
    """Prints the lines that differ; their number."""
    differ = [line for line in difflib.unified_diff(want, got, 'local', what, n=0, lineterm='')
              if line[:1] in '+-' and line[:3] not in ('+++', '---')]
    bad = [line for line in differ if not explained(line)]
    for line in bad[:SHOWN]:
        print(line)
    cases = sorted({line[1:].partition(':')[0] for line in bad})
    print(f'{what}: {want[-1]}; {len(bad)} lines in {len(cases)} cases differ, {len(differ) - len(bad)} more are explained')
    return len(bad)


def test_local_against_local():
    """The suite itself: two local file systems say the same."""
    csvrig.private_mounts()
    with csvrig.local_file_systems(2) as places:
        first, second = (run_suite(place) for place in places)
    check_equal(compare(first, second, 'another local ext4'), 0, 'differences')
    cases = int(first[-1].split()[0])
    check(cases >= 300, f'{cases} cases')


def test_difference_is_found():
    """Another kind of file system is not the same; a suite that says so sees something."""
    csvrig.private_mounts()
    with csvrig.local_file_systems(1) as (ext4,):
        other = tempfile.mkdtemp(dir=csvrig.MOUNT)
        os.chmod(other, 0o755)
        groups = ('attributes', 'figures')
        first, second = run_suite(ext4, groups=groups), run_suite(other, groups=groups)
    check(first != second, 'tmpfs differs from ext4')


def test_csvfs():
    if not csvrig.have_programs():
        return
    csvrig.private_mounts()
    with csvrig.local_file_systems(1) as (place,):
        want = run_suite(place)
    with csvrig.rig(2) as rig:
        rig.start()
        for node in rig.nodes:
            folder = f'{csvrig.MOUNT}/{node.name}'
            node.run('mkdir', '-m', '755', folder)
            got = run_suite(folder, node.command)
            what = 'the owner\'s node' if node is rig.owner_node else 'another node'
            check_equal(compare(want, got, what), 0, f'differences on {what}')
        rig.stop()
        check_equal(rig.fsck(), '', 'fsck')


main(test_local_against_local, test_difference_is_found, test_csvfs)
