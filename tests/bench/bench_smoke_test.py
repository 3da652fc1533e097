#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Every benchmark runs and gives figures, small and short; no value is judged."""
import json
import os
import re
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
SRCDIR = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(SRCDIR), 'lab'))
import labtest  # noqa: E402
from labtest import check, check_equal  # noqa: E402

LINE = re.compile(r'[\w.]+ -?[\d.]+ \S+ (-|[\d.]+) (ok|short)')


def quick():
    expected = {m[1] for f in os.listdir(SRCDIR) if (m := re.fullmatch(r'figures_(\w+)\.py', f))}
    with tempfile.TemporaryDirectory() as folder:
        path = f'{folder}/bench.json'
        result = subprocess.run([sys.executable, '-B', f'{SRCDIR}/bench', '--quick', '--json', path], capture_output=True, text=True)
        with open(path) as f:
            got = json.load(f)
    unavailable = {name for name, why in got['failed'].items() if why.startswith('cannot be measured here')}
    check_equal(sorted(set(got['failed']) - unavailable), [], f'benchmarks that failed; {result.stderr[-3000:]}')
    check_equal({f['bench'] for f in got['figures']} | unavailable, expected, 'benchmarks with figures')
    lines = result.stdout.splitlines()
    check_equal([line for line in lines if not LINE.fullmatch(line)], [], 'lines that are no figures')
    check_equal([line.split()[0] for line in lines], [f['name'] for f in got['figures']], 'figures printed and written')
    check(all(f['min'] <= f['value'] <= f['max'] and f['samples'] for f in got['figures']), 'a median is within its spread')
    for name in sorted(unavailable):
        print(f'{name}: {got["failed"][name]}')


if __name__ == '__main__':
    labtest.main(quick)
