#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Names over the loss of the owner's power together with the disk's volatile cache, while the nodes that ask live on: nothing that
was answered is lost, nothing that was not answered happens twice. Intents are not flushed by themselves: this is where it shows."""
import sys
import tempfile

import csvrig
from labtest import check, check_equal, eventually, main

WORKERS = 4  # a node
# Makes, moves and removes names of its own, each of which can be done once. Ends at the first that fails.
WORKER = '''
import os, sys
folder, log, stop = sys.argv[1:]
os.mkdir(folder)
n = 0
with open(log, 'w', buffering=1) as done:
    while not os.path.exists(stop):
        name = f'{folder}/{n}'
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        done.write(f'{n}\\n')
        if n % 3 == 1:
            os.rename(name, f'{folder}/moved-{n}')
            done.write(f'moved-{n}\\n')
        elif n % 3 == 2:
            os.unlink(name)
            done.write(f'gone-{n}\\n')
        n += 1
'''


def expected(lines):
    names = set()
    for line in lines:
        what, _, n = line.rpartition('-')
        if what:
            names.remove(n)
        if what != 'gone':
            names.add(line)
    return names


class Worker:
    def __init__(self, node, folder, number):
        self.node, self.volume_dir = node, f'{csvrig.MOUNT}/{node.name}-{number}'
        self.log = f'{folder}/{node.name}-{number}'
        self.process = node.start(f'names-{node.name}-{number}.log', sys.executable, '-c', WORKER, self.volume_dir, self.log, f'{folder}/stop')

    def done(self):
        try:
            with open(self.log, encoding='ascii') as f:
                return f.read().splitlines()
        except FileNotFoundError:
            return []

    def count(self):
        check(self.process.poll() is None, f'{self.volume_dir}: a name happened twice or was lost: see its log')
        return len(self.done())


def all_go_on(workers, what):
    before = [w.count() for w in workers]
    eventually(lambda: all(w.count() > n + 3 for w, n in zip(workers, before)), 60, f'all go on {what}')


def lose_owner(rig, to, workers, cut, seed):
    """`cut`: what it does last cannot be answered any more, but is on the disk."""
    old, clients = rig.owner_node, [n for n in rig.nodes if n is not rig.owner_node]
    if cut:
        rig.lab.ask('cut', groups=[[old.name], [n.name for n in clients]])
        counts = []

        def quiet():
            counts.append([w.count() for w in workers])
            return len(counts) > 3 and counts[-4:] == [counts[-1]] * 4
        eventually(quiet, 30, 'nobody is answered')
    old.power_loss()
    rig.san.ask('lose', seed)
    rig.lab.ask('heal')
    rig.own(to)
    rig.fenced(old, old.incarnation)
    all_go_on(workers, f'with a new owner{" after a cut" if cut else ""}')


def names_once(filesystem):
    with csvrig.rig(4, label='-once', filesystem=filesystem) as rig, tempfile.TemporaryDirectory(prefix='once-') as folder:
        rig.san.ask('cache', 'on')
        rig.start(1)
        workers = [Worker(rig.node(n), folder, i) for n in (3, 4) for i in range(WORKERS)]
        all_go_on(workers, 'at first')
        owners = [rig.node(2), rig.node(1)]
        for n in range(4):
            to = owners[n % 2]
            lose_owner(rig, to, workers, n % 2 == 0, n + 1)
            other = owners[1 - n % 2]
            other.power_on()
            other.start_client()
            other.wait_client()
        with open(f'{folder}/stop', 'w', encoding='ascii'):
            pass
        for w in workers:
            check_equal(w.process.wait(60), 0, f'{w.volume_dir}: see its log')
            names = set(rig.node(3).run(sys.executable, '-c', f'import os; print(*os.listdir({w.volume_dir!r}))').stdout.split())
            check_equal(names ^ expected(w.done()), set(), f'{w.volume_dir}: names that differ from what was answered')
        print(f'{filesystem}: {sum(len(w.done()) for w in workers)} operations')
        rig.stop()
        check_equal(rig.fsck(), '', 'file system check')


def test_names_once():
    if csvrig.have_programs():
        names_once('ext4')


def test_names_once_on_xfs():
    if csvrig.have_programs():
        names_once('xfs')


main(test_names_once, test_names_once_on_xfs)
