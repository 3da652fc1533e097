#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""However a lab ends, nothing of it stays: no process, mount, loop device, network namespace or directory."""
import os
import signal
import subprocess

import labctl
import labtest
from labtest import check, check_equal, eventually

LAB = f'{labctl.SRCDIR}/lab'


def remains(name):
    """What is left of a lab on this machine."""
    run = labctl.run_dir(name)
    found = [f'process {pid}' for pid in labctl.leftovers(run)]
    for entry in os.scandir('/proc'):
        if entry.name.isdigit():
            try:
                with open(f'/proc/{entry.name}/cmdline', 'rb') as f:
                    if f'{run}'.encode() in f.read():
                        found.append(f'process {entry.name}')
            except OSError:
                pass
    found += labctl.loops(run)
    with open('/proc/self/mounts') as f:
        found += [line for line in f if run in line]
    return found


def server_pid(name):
    for entry in os.scandir('/proc'):
        if entry.name.isdigit():
            try:
                with open(f'/proc/{entry.name}/cmdline', 'rb') as f:
                    args = f.read().split(b'\0')
            except OSError:
                continue
            if len(args) > 3 and args[2].endswith(b'/labserver.py') and args[3] == labctl.run_dir(name).encode():
                return int(entry.name)
    return 0


def gone_after_gc(name):
    eventually(lambda: not labctl.is_alive(name), 10, 'the lab ended')
    out = subprocess.run([LAB, 'gc'], capture_output=True, text=True).stdout
    check(not os.path.exists(labctl.run_dir(name)), f'the directory is gone: {out}')
    # What a killed `lab up` had just started, mkfs for one, is nobody's child any more and ends by itself.
    eventually(lambda: not remains(name), 10, f'nothing of {name} remains, now {remains(name)}')


def test_killed_server():
    name = f'test-{os.getpid()}s'
    subprocess.run([LAB, '--name', name, 'up', '2', '--no-clusterd'], check=True, stdout=subprocess.DEVNULL)
    check(len(labctl.loops(labctl.run_dir(name))) == 2, 'two disks while it runs')
    os.kill(server_pid(name), signal.SIGKILL)
    eventually(lambda: not labctl.leftovers(labctl.run_dir(name)), 10, 'hosts ended with the server')
    status = subprocess.run([LAB, '--name', name, 'status'], capture_output=True, text=True)
    check(status.returncode == 1 and 'lab gc' in status.stderr, f'status of a dead lab: {status.stderr}')
    gone_after_gc(name)


def test_killed_up():
    """kill -9 of `lab up` at several moments of its work."""
    for step, seen in enumerate(('compiling', 'building', 'running')):
        name = f'test-{os.getpid()}u{step}'
        up = subprocess.Popen([LAB, '--name', name, 'up', '3', '--no-clusterd', '--wait', '0'], stdout=subprocess.PIPE, text=True)
        for line in up.stdout:
            if seen in line:
                break
        up.kill()
        up.wait()
        if server_pid(name):
            subprocess.run([LAB, '--name', name, 'down'], capture_output=True)  # it came up before the kill
        gone_after_gc(name)


def test_owner():
    name = f'test-{os.getpid()}o'
    with subprocess.Popen(['cat'], stdin=subprocess.PIPE) as owner:
        subprocess.run([LAB, '--name', name, 'up', '1', '--no-clusterd', '--wait', '0', '--owner', str(owner.pid)], check=True,
                       stdout=subprocess.DEVNULL)
    eventually(lambda: not os.path.exists(labctl.run_dir(name)), 10, 'the lab ends with its owner')
    # The directory goes first; the last processes may still be ending.
    eventually(lambda: not remains(name), 10, f'nothing remains: {remains(name)}')


def test_tool():
    """The command line: help for each command, refusals that say what to do."""
    def run(*args):
        return subprocess.run([LAB, *args], capture_output=True, text=True)
    text = run('--help').stdout
    for command in ('up', 'exec', 'kill', 'stop', 'cont', 'cut', 'heal', 'restart', 'reboot', 'off', 'on', 'wait', 'status', 'log',
                    'down', 'gc', 'list'):
        check(f'\n    {command} ' in text, f'{command} is in --help')
        check_equal(run(command, '--help').returncode, 0, f'{command} --help')
    name = f'test-{os.getpid()}t'
    for args, words in ((('status',), 'lab up 3'), (('up', '64'), '1 to 63'), (('off',), 'which host'),
                        (('up', '2', '--bindir', '/nonexistent'), '--no-clusterd'), (('cut', 'node1//2'), 'empty group'),
                        (('up', '20', '--nets', '2', '--transport', 'udpu', '--no-clusterd'), 'need knet')):
        answer = run('--name', name, *args)
        check(answer.returncode == 1 and words in answer.stderr, f'{args}: {answer.stderr}')
    check(not os.path.exists(labctl.run_dir(name)), 'a refused lab leaves nothing')


labtest.main(test_killed_server, test_killed_up, test_owner, test_tool)
