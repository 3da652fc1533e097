#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The watchdog outside a host resets it when it is not petted, also when it is frozen; the fence device confirms."""
import time

import labtest
from labtest import check, check_equal

DOG = '/dev/clusterd-watchdog'
FOREVER_PET = f'while :; do printf P >{DOG}; sleep 0.05; done'


def host(lab, n=1):
    return lab.ask('status')['hosts'][n - 1]


def tell(lab, text, n=1):
    check_equal(lab.exec(str(n), 'sh', '-c', f'printf "{text}" >{DOG}').returncode, 0, f'watchdog takes {text!r}')


def test_fires_and_reboots():
    with labtest.lab(1) as lab:
        start = time.monotonic()
        tell(lab, 'T400\\n')
        lab.ask('wait', condition='armed')
        lab.ask('wait', condition='fired', timeout=5)
        check(time.monotonic() - start >= 0.4, 'not before its time')
        lab.ask('wait', condition='up')
        check_equal(host(lab)['boots'], 2, 'boots after the reset')
        check_equal(host(lab)['watchdog_ms'], 0, 'not armed after the reset')


def test_pets_and_magic_close():
    with labtest.lab(1) as lab:
        tell(lab, 'T400\\n')
        tell(lab, 'V')
        tell(lab, 'P')  # a pet does not arm
        check_equal(host(lab)['watchdog_ms'], 0, 'disarmed')
        tell(lab, 'T600\\n')
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            tell(lab, 'P')
        check_equal(host(lab)['watchdog_fired'], 0, 'fired while petted')


def test_frozen_host_is_reset():
    with labtest.lab(1, watchdog_action='off') as lab:
        lab.exec('1', 'sh', '-c', f'printf "T500\\n" >{DOG}; ({FOREVER_PET}) >/dev/null 2>&1 &', check=True)
        lab.ask('wait', condition='armed')
        lab.ask('stop', host='1')
        lab.ask('wait', condition='fired', timeout=5)
        lab.ask('wait', condition='down')


def test_fence():
    with labtest.lab(2, fence='off') as lab:
        lab.exec('2', 'sh', '-c', 'sleep 1000 >/dev/null 2>&1 &', check=True)
        lab.ask('stop', host='2')
        answer = lab.exec('1', '/run/lab/fence', 'node2', '2')
        check_equal(answer.returncode, 0, f'fence confirms: {answer.stderr}')
        check_equal(host(lab, 2)['state'], 'off', 'state at the confirmation')
        check_equal(lab.exec('1', '/run/lab/fence', 'node2').returncode, 0, 'fencing a host that is off confirms')
        answer = lab.exec('1', '/run/lab/fence', 'node7')
        check(answer.returncode == 1 and 'there is no host node7' in answer.stderr, f'unknown host: {answer}')
    with labtest.lab(2, fence='reboot') as lab:
        check_equal(lab.exec('1', '/run/lab/fence', 'node2').returncode, 0, 'fence confirms')
        lab.ask('wait', condition='up')
        check_equal(host(lab, 2)['boots'], 2, 'boots again')


labtest.main(test_fires_and_reboots, test_pets_and_magic_close, test_frozen_host_is_reset, test_fence)
