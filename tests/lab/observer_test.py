#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The judge of the lab is judged: planted double runs are found, and what is right is not called wrong."""
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, __file__.rpartition('/')[0])
import labtest  # noqa: E402
import observer  # noqa: E402
from labtest import check, check_equal  # noqa: E402

MS = 1000000


def log(*events):
    return [f'{ms * MS} {what} {pid}\n' for ms, what, pid in events]


def doubles(**logs):
    runs = []
    for host, lines in logs.items():
        runs += observer.parse_tracker_log('r', host, lines)
    return observer.tracker_doubles(sorted(runs, key=lambda r: r.start_ns))


def test_parse():
    runs = observer.parse_tracker_log('r', 'a', log((10, 'start', 1), (10, 'beat', 1), (30, 'stop', 1), (50, 'start', 2), (70, 'beat', 2),
                                                    (90, 'start', 3)) + ['95'])
    check_equal([(r.pid, r.start_ns // MS, r.end_ns // MS, r.ended) for r in runs],
                [(1, 10, 30, 'stop'), (2, 50, 70, 'beat'), (3, 90, 90, 'beat')], 'runs')


def test_one_after_the_other():
    check_equal(doubles(a=log((10, 'start', 1), (30, 'stop', 1)), b=log((31, 'start', 2), (60, 'beat', 2))), [], 'handed over')
    check_equal(doubles(a=log((10, 'start', 1), (20, 'beat', 1)), b=log((21, 'start', 2), (60, 'stop', 2)),
                        c=log((61, 'start', 3))), [], 'killed, then elsewhere')


def test_overlaps():
    found = doubles(a=log((10, 'start', 1), (30, 'stop', 1)), b=log((29, 'start', 2), (60, 'beat', 2)))
    check(len(found) == 1 and '1.0 ms' in found[0], f'an overlap of one millisecond: {found}')
    check_equal(len(doubles(a=log((10, 'start', 1), (90, 'beat', 1)), b=log((20, 'start', 2), (25, 'stop', 2)))), 1, 'within')
    check_equal(len(doubles(a=log((10, 'start', 1), (90, 'beat', 1)), b=log((20, 'start', 2), (25, 'stop', 2)),
                            c=log((40, 'start', 3)))), 2, 'the long run counts until its end')
    check_equal(len(doubles(a=log((10, 'start', 1), (11, 'beat', 1)), b=log((40, 'double', 2), (40, 'start', 2)))), 1,
                'the lock was held by a frozen process that no longer beats')


labtest.main(test_parse, test_one_after_the_other, test_overlaps, needs_root=False)
