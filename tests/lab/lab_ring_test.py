#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The ring adapter on real corosync: views, order, bounds, the quorum device, loss of corosync and of processes."""
import os
import re
import signal
import subprocess
import threading
import time

import labtest
from labtest import check, check_equal, eventually

TOOL = os.path.realpath(os.path.join(os.environ.get('top_builddir', '.'), 'tests/unit/ringtool'))
WAIT_S = 30
DEVICE_TIMEOUT_MS = 2000
FRAME_MAX = 48 * 1024


def device(hosts):
    return (f'device {{\n    model: clusterd\n    votes: {hosts}\n    timeout: {DEVICE_TIMEOUT_MS}\n'
            '    sync_timeout: 200\n}')


class Tool:
    """One ringtool in a host; its lines are events that can be waited for once."""

    def __init__(self, lab, host):
        self.host = host
        self.lines, self.seen = [], 0
        self.more = threading.Condition()
        self.process = subprocess.Popen(lab.command(str(host), [TOOL]), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            with self.more:
                self.lines.append(line.strip())
                self.more.notify_all()

    def say(self, text):
        self.process.stdin.write(text + '\n')
        self.process.stdin.flush()

    def wait(self, pattern, timeout_s=WAIT_S):
        """The next line that matches; those before it are passed."""
        deadline = time.monotonic() + timeout_s
        with self.more:
            while True:
                while self.seen < len(self.lines):
                    line = self.lines[self.seen]
                    self.seen += 1
                    if m := re.search(pattern, line):
                        return m
                if not self.more.wait(deadline - time.monotonic()):
                    raise AssertionError(f'node{self.host}: no line {pattern!r}; last: {self.lines[-5:]}')

    def view(self, members, **changes):
        pattern = rf' VIEW number=(\d+) ring=(\S+) members={members} '
        for name, value in changes.items():
            pattern += rf'.*\b{name}={value} '
        return self.wait(pattern)

    def votequorum(self):
        self.say('info')
        return int(self.wait(r' INFO .*votequorum=(-?\d+)').group(1))

    def counts(self):
        self.say('info')
        return self.wait(r' COUNTS received=(\d+) chain=(\w+) gaps=(\d+)').groups()

    def end(self):
        self.process.stdin.close()
        self.process.wait(WAIT_S)


def agree(tools, members, **changes):
    numbers = {t.view(members, **changes).group(1) for t in tools}
    check_equal(len(numbers), 1, f'one number for the view {members}')


def vote(tools, value):
    for t in tools:
        t.say(f'vote {value}')
    for t in tools:
        t.wait(f' QUORATE {value}')


def test_views_and_order():
    with labtest.lab(3, quorum=device(3)) as lab:
        lab.ask('wait', condition='members')
        tools = [Tool(lab, n) for n in (1, 2, 3)]
        agree(tools, '1,2,3')
        tools[0].say('info')
        tools[0].wait(r' NODE id=2 name=node2')
        m = tools[0].wait(r' INFO cluster=(\S+) self=1 token=(\d+) consensus=(\d+) device=1 votes=3')
        check_equal(m.group(1), lab.name, 'cluster name')
        check(int(m.group(2)) >= 500 and int(m.group(3)) > int(m.group(2)), f'time-outs {m.groups()}')
        # all send at once: one order for all, nothing lost
        for t in tools:
            t.say('burst 800 200')
        for t in tools:
            t.wait(r' BURST done own=800 gaps=0')
        tools[2].say('send the last one')
        for t in tools:
            t.wait(r' MESSAGE from=3 the last one')
        counts = {t.counts() for t in tools}
        check_equal(len(counts), 1, f'same messages in the same order: {counts}')
        check_equal(next(iter(counts))[0], '2401', 'messages')
        # more than corosync and the queue take: refused in full, and what was taken arrives
        tools[0].say(f'burst 4000 {FRAME_MAX}')
        m = tools[0].wait(r' BURST sent=(\d+) queue=(\d+)')
        check(800 < int(m.group(1)) < 4800, f'accepted {m.group(1)}')
        check(0 < int(m.group(2)) <= 1024, f'queued {m.group(2)}')
        tools[0].wait(r' ERROR burst 4000 \d+ -105')
        tools[0].wait(rf' BURST done own={m.group(1)} gaps=0')
        tools[0].say(f'burst 1 {FRAME_MAX + 1}')
        tools[0].wait(r' ERROR burst 1 \d+ -90')
        # leaving in order, dying, coming back
        tools[2].say('leave')
        agree(tools[:2], '1,2', leave='3')
        tools[1].process.kill()
        lab.exec('2', 'true')
        for pid in lab.exec('2', 'pidof', 'ringtool').stdout.split():
            lab.exec('2', 'kill', '-9', pid)
        tools[0].view('1', procdown='2')
        again = Tool(lab, 2)
        agree([tools[0], again], '1,2')
        for t in (tools[0], tools[2], again):
            t.end()


def test_quorum_device():
    with labtest.lab(3, quorum=device(3)) as lab:
        lab.ask('wait', condition='members')
        tools = [Tool(lab, n) for n in (1, 2, 3)]
        agree(tools, '1,2,3')
        check_equal([t.votequorum() for t in tools], [0, 0, 0], 'nobody is quorate before the device votes')
        vote(tools[:1], 1)
        check_equal([t.votequorum() for t in tools], [1, 0, 0], 'a vote counts on its own node')
        vote(tools[1:], 1)
        # what was accepted before the partition arrives in the view after it
        lab.ask('cut', groups=[['node3'], ['node1', 'node2']])
        tools[2].say('send into the void')
        agree(tools[:2], '1,2', nodedown='3')
        tools[2].view('3', nodedown='1,2')
        tools[2].wait(r' MESSAGE from=3 into the void')
        lab.ask('wait', condition='inquorate')
        # each tool hears it from its own corosync, maybe a moment after the lab's watcher did
        eventually(lambda: [t.votequorum() for t in tools] == [0, 0, 0], 5, 'the votes ended with the ring')
        vote(tools[:2], 1)
        lab.ask('wait', condition='quorate', hosts=['node1', 'node2'])
        check('Quorate:          No' in lab.exec('3', 'corosync-quorumtool', '-s').stdout, 'the other side is not quorate')
        # even a single node is, if its clusterd says so
        vote(tools[2:], 1)
        lab.ask('wait', condition='quorate', hosts=['node3'])
        lab.ask('heal')
        agree(tools, '1,2,3')
        for t in tools:
            t.say('vote 1')
        lab.ask('wait', condition='formed')
        check_equal([t.votequorum() for t in tools], [1, 1, 1], 'all again')
        # a daemon that dies: its node loses corosync's quorum within the device's time-out
        start = time.monotonic()
        for pid in lab.exec('2', 'pidof', 'ringtool').stdout.split():
            lab.exec('2', 'kill', '-9', pid)
        lab.ask('wait', condition='inquorate', hosts=['node2'])
        check(time.monotonic() - start < DEVICE_TIMEOUT_MS / 1000 + 2, 'within the time-out')
        tools[0].view('1,3', procdown='2')
        check_equal(tools[0].votequorum(), 0, 'a lost member ends the vote')
        # one that hangs: the same, and corosync goes on when the others need it
        vote([tools[0]], 1)
        for pid in lab.exec('1', 'pidof', 'ringtool').stdout.split():
            lab.exec('1', 'kill', '-STOP', pid)
        lab.ask('wait', condition='inquorate', hosts=['node1'])
        for pid in lab.exec('1', 'pidof', 'ringtool').stdout.split():
            lab.exec('1', 'kill', '-CONT', pid)
        tools[0].process.send_signal(signal.SIGCONT)  # nsenter stops with its child
        # thawed, its poll renews the vote that was not taken back
        lab.ask('wait', condition='quorate', hosts=['node1'])
        # an orderly end gives the vote back at once
        start = time.monotonic()
        tools[0].end()
        lab.ask('wait', condition='inquorate', hosts=['node1'])
        check(time.monotonic() - start < 1, 'without the time-out')
        tools[2].end()


def test_hung_daemon_delays_little():
    """corosync waits for the device of each node after a membership change, but not longer than sync_timeout."""
    with labtest.lab(3, quorum=device(3)) as lab:
        lab.ask('wait', condition='members')
        tools = [Tool(lab, n) for n in (1, 2, 3)]
        agree(tools, '1,2,3')
        vote(tools, 1)
        for pid in lab.exec('1', 'pidof', 'ringtool').stdout.split():
            lab.exec('1', 'kill', '-STOP', pid)
        lab.ask('kill', host='node3', process='corosync')
        tools[1].view('1,2', nodedown='3')
        start = time.monotonic()
        tools[1].say('send after the change')
        tools[1].wait(r' MESSAGE from=2 after the change')
        check(time.monotonic() - start < 1, f'{time.monotonic() - start:.3f} s')
        vote([tools[1]], 1)
        for pid in lab.exec('1', 'pidof', 'ringtool').stdout.split():
            lab.exec('1', 'kill', '-KILL', pid)
        tools[0].process.send_signal(signal.SIGCONT)
        tools[1].view('2', procdown='1')
        for t in tools:
            t.end()


def test_corosync_lost():
    with labtest.lab(3, quorum=device(3)) as lab:
        lab.ask('wait', condition='members')
        tools = [Tool(lab, n) for n in (1, 2, 3)]
        agree(tools, '1,2,3')
        vote(tools, 1)
        lab.ask('kill', host='node2', process='corosync')
        tools[1].wait(r' LOST -\d+')
        tools[1].wait(r' UNREACHABLE -\d+')
        agree([tools[0], tools[2]], '1,3', nodedown='2')
        tools[1].say('send nowhere')
        tools[1].wait(r' ERROR send nowhere -107')
        check(tools[1].votequorum() < 0, 'the word of the lost corosync is void')
        lab.ask('restart', host='node2', process='corosync')
        tools[1].wait(r' READY self=2')
        agree(tools, '1,2,3')
        tools[0].say('kick 3')
        while tools[0].wait(r' (ERROR kick 3 -11)| VIEW .*nodedown=3').group(1):  # corosync is busy: ask again
            tools[0].say('kick 3')
        tools[2].wait(r' LOST -\d+')
        tools[1].view('1,2', nodedown='3')
        for t in tools:
            t.end()


labtest.main(test_views_and_order, test_quorum_device, test_hung_daemon_delays_little, test_corosync_lost)
