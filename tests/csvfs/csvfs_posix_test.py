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
_COLLAPSE = 'FUSE passes on no fallocate(2) but allocate, punch and zero: the kernel answers EOPNOTSUPP itself'
_TMPFILE = 'libfuse has no O_TMPFILE; programs fall back to a name'
_UNALIGNED = 'the kernel does not check O_DIRECT on FUSE; what a local file system refuses is done by the owner'
DIFFERENCES = [
    (r'fallocate_modes/(collapse|insert)_', _COLLAPSE),
    (r'fallocate_modes/unshare_too_far: fallocate = ', _COLLAPSE),
    (r'open_flags/(link_to_)?directory_tmpfile: ', _TMPFILE),
    (r'open_unnamed/(link_later|excl_cannot_be_linked): ', _TMPFILE),
    (r'direct_io/at_(100_512_memory_0|0_100_memory_0|0_4096_memory_1|1_1_memory_1): ', _UNALIGNED),
    (r'locks_conflicts/ofd_in_one_process: ', 'libfuse does not tell which locks belong to an open file'),
]
XFS_DIFFERENCES = [
    (r'truncation/same_size_and_times: mtime ', 'XFS changes no time when a path is cut to the size it has; the owner cuts an open file'),
]
SECTOR_DIFFERENCES = [
    (r'direct_io/at_(\d+_(512|1536)|32256_4096)_memory_', _UNALIGNED),
]


def run_suite(place, command=None, groups=()):
    argv = [csvrig.tool('posix_suite'), place, *groups]
    result = subprocess.run(command(*argv) if command else argv, capture_output=True, text=True, errors='backslashreplace',
                            timeout=600)
    lines = result.stdout.splitlines()
    check(result.returncode == 0, f'the suite ended: exit {result.returncode}: {result.stderr[-300:]} {lines[-1:]}')
    return lines


def explained(line, reasons):
    return any(re.search(pattern, line) for pattern, _ in reasons)


def unneeded(lines):
    """Explanations of what no longer differs."""
    return [pattern for pattern, _ in DIFFERENCES if not any(re.search(pattern, line) for line in lines)]


def compare(want, got, what, more=(), all_cases=False):
    """Prints the lines that differ; their number and that of explanations that explain nothing."""
    differ = [line for line in difflib.unified_diff(want, got, 'local', what, n=0, lineterm='')
              if line[:1] in '+-' and line[:3] not in ('+++', '---')]
    bad = [line for line in differ if not explained(line, [*DIFFERENCES, *more])]
    for line in bad[:SHOWN]:
        print(line)
    unused = unneeded(differ) if all_cases else []
    for pattern in unused:
        print(f'{what}: no longer different, take it out of DIFFERENCES: {pattern}')
    cases = sorted({line[1:].partition(':')[0] for line in bad})
    print(f'{what}: {want[-1]}; {len(bad)} lines in {len(cases)} cases differ, {len(differ) - len(bad)} more are explained')
    return len(bad) + len(unused)


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


# What depends on the kind of file system and the size of its sectors.
DATA_GROUPS = ('write_read', 'append', 'truncation', 'fallocate_modes', 'holes', 'copy_range', 'direct_io', 'times', 'attributes',
               'access_lists', 'rename_special', 'zz_full_volume')


def compare_volume(filesystem='ext4', sector=512, groups=(), only_another=False, more=()):
    """A local file system of that kind against the volume."""
    if not csvrig.have_programs():
        return
    csvrig.private_mounts()
    with csvrig.local_file_systems(1, filesystem=filesystem, sector=sector) as (place,):
        want = run_suite(place, groups=groups)
    with csvrig.rig(2, filesystem=filesystem, sector=sector) as rig:
        rig.start()
        for node in rig.nodes:
            if only_another and node is rig.owner_node:
                continue
            folder = f'{csvrig.MOUNT}/{node.name}'
            node.run('mkdir', '-m', '755', folder)
            got = run_suite(folder, node.command, groups)
            what = 'the owner\'s node' if node is rig.owner_node else 'another node'
            check_equal(compare(want, got, what, more, all_cases=not groups), 0, f'differences on {what}')
        rig.stop()
        check_equal(rig.fsck(), '', 'fsck')


def test_csvfs():
    compare_volume()


def test_xfs():
    # XFS has files of exabytes, which these read to their end.
    groups = [group for group in DATA_GROUPS if group not in ('fallocate_modes', 'write_read')]
    compare_volume(filesystem='xfs', groups=groups, only_another=True, more=XFS_DIFFERENCES)


def test_sectors_of_4_kib():
    compare_volume(sector=4096, groups=DATA_GROUPS, only_another=True, more=SECTOR_DIFFERENCES)


main(test_local_against_local, test_difference_is_found, test_csvfs, test_xfs, test_sectors_of_4_kib)
