#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Processes and power: kill, stop, cont, restart, off, on, reboot; what was synced survives, what was not is lost."""
import labtest
from labtest import check, check_equal, eventually

WRITE = """
import os
d = '/var/lib/clusterd/'
with open(d + 'synced', 'w') as f:
    f.write('kept')
    f.flush()
    os.fsync(f.fileno())
    fd = os.open(d, os.O_RDONLY)
    os.fsync(fd)
    f.write(' and lost')
with open(d + 'unsynced', 'w') as f:
    f.write('lost')
"""
READ = 'cat /var/lib/clusterd/synced; echo; cat /var/lib/clusterd/unsynced 2>/dev/null'


def host(lab, n):
    return lab.ask('status')['hosts'][n - 1]


def test_disk_after_power_loss():
    with labtest.lab(1) as lab:
        for how in ('reboot', 'off and on'):
            check_equal(lab.exec('1', 'python3', '-c', WRITE).returncode, 0, 'written')
            check_equal(lab.exec('1', 'sh', '-c', READ).stdout, 'kept and lost\nlost', 'before the power loss')
            if how == 'reboot':
                lab.ask('reboot', hosts=['1'])
            else:
                lab.ask('off', hosts=['1'])
                check_equal(host(lab, 1)['state'], 'off', 'state')
                lab.ask('on', hosts=['1'])
            check_equal(lab.exec('1', 'sh', '-c', READ).stdout, 'kept\n', f'after {how}')
        check_equal(host(lab, 1)['boots'], 3, 'boots')


def test_fresh_after_boot():
    with labtest.lab(1) as lab:
        lab.exec('1', 'sh', '-c', 'ip addr add 10.231.0.200/24 dev eth0; echo x >/run/x; echo y >/dev/shm/y', check=True)
        lab.ask('reboot', hosts=['1'])
        seen = lab.exec('1', 'sh', '-c', 'ip addr; ls /run /dev/shm').stdout
        check('10.231.0.1' in seen and '10.231.0.200' not in seen, 'addresses are fresh')
        check('x\n' not in seen.splitlines(True) and 'y\n' not in seen.splitlines(True), '/run and /dev/shm are fresh')
        check(lab.exec('1', 'hostname').stdout == 'node1\n', 'host name')


def test_reboot_from_inside():
    """reboot(2) is how a host fences itself."""
    with labtest.lab(1) as lab:
        reboot = 'import ctypes; ctypes.CDLL(None).reboot(0x01234567)'  # RB_AUTOBOOT
        lab.exec('1', 'python3', '-c', WRITE + reboot)
        eventually(lambda: host(lab, 1)['boots'] == 2 and host(lab, 1)['state'] == 'up', 10, 'booted again')
        check_equal(lab.exec('1', 'sh', '-c', READ).stdout, 'kept\n', 'disk after reboot(2)')


def test_processes():
    with labtest.lab(3) as lab:
        lab.ask('wait', condition='formed')
        lab.ask('kill', host='node3', process='corosync')
        lab.ask('wait', condition='down', hosts=['node3'], process='corosync')
        lab.ask('wait', condition='members', hosts=['node1', 'node2'])
        lab.ask('restart', host='node3', process='corosync')
        lab.ask('wait', condition='formed')
        lab.ask('stop', host='node2', process='corosync')
        lab.ask('wait', condition='members', hosts=['node1', 'node3'])
        check(not host(lab, 2)['stopped'], 'only the daemon was stopped')
        lab.ask('cont', host='node2', process='corosync')
        lab.ask('wait', condition='formed')
        lab.ask('stop', host='node2')
        check(host(lab, 2)['stopped'], 'stopped')
        lab.ask('wait', condition='members', hosts=['node1', 'node3'])
        lab.ask('cont', host='node2')
        lab.ask('wait', condition='formed')
        lab.ask('stop', host='node2')
        lab.ask('kill', host='node2', process='all')
        check_equal(host(lab, 2)['state'], 'off', 'a stopped host can lose power')
        lab.ask('wait', condition='members', hosts=['node1', 'node3'])
        lab.ask('on', hosts=['node2'])
        lab.ask('wait', condition='formed')


labtest.main(test_disk_after_power_loss, test_fresh_after_boot, test_reboot_from_inside, test_processes)
