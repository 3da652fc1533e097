#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The share of the scenario suite that fits into every run: each single fault on three hosts, and twenty random ones.
`make check-lab` runs all of it."""
import os
import subprocess

import labctl
import labtest
from labtest import check_equal

SCENARIOS = f'{labctl.SRCDIR}/scenarios'
LOGS = os.path.join(os.environ.get('top_builddir', '/var/tmp'), 'lab-logs')


def run(*args):
    check_equal(subprocess.run([SCENARIOS, '--logs', LOGS, *args]).returncode, 0, f'scenarios {" ".join(args)}')


def test_single_faults():
    run('--hosts', '3')


def test_random_faults():
    run('--hosts', '3', '--fence', '--random', '20', '--seed', '1')


labtest.main(test_single_faults, test_random_faults)
