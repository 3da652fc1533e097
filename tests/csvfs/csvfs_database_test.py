#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Real databases on a volume whose owner is killed under load: SQLite and PostgreSQL are whole afterwards, and everything
they have acknowledged is there. CSVFS_SECONDS: how long each is under load."""
import contextlib
import glob
import itertools
import os
import signal
import subprocess
import sys
import threading
import time

import csvrig
from labtest import check, check_equal, eventually, main

SECONDS = float(os.environ.get('CSVFS_SECONDS', '6'))
BETWEEN_S = 3    # from one owner's takeover to its end
PROGRESS_S = 60  # within this time after a fault every process commits again
ACCOUNTS = 16

# A process with its own connection: says each number when its commit has been acknowledged.
SQLITE = r"""
import random, sqlite3, sys, time
path, who, mode = sys.argv[1], int(sys.argv[2]), sys.argv[3]
db = sqlite3.connect(path, timeout=120, isolation_level=None)
got = db.execute('pragma journal_mode').fetchone()[0]
assert got == mode, f'journal_mode is {got}'
db.execute('pragma synchronous=full')
number = db.execute('select coalesce(max(number), 0) from done where who = ?', (who,)).fetchone()[0]
while True:
    number += 1
    a, b = number * 7 % 16, (number * 5 + 1 + who) % 16
    db.execute('begin immediate')
    db.execute('update account set amount = amount - 1 where id = ?', (a,))
    db.execute('update account set amount = amount + 1 where id = ?', (b,))
    db.execute('insert into done values (?, ?, ?)', (who, number, 'x' * (number * 131 % 3000)))
    if number % 40 == 0:
        db.execute('delete from done where who = ? and number % 40 = 7 and number < ?', (who, number - 40))
    db.execute('commit')
    print(number, flush=True)
    time.sleep(random.random() / 20)  # SQLite asks again after up to 100 ms: who commits without a pause starves the others
"""
SQLITE_MAKE = f"""
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute(f'pragma journal_mode={{sys.argv[2]}}')
db.execute('create table account (id integer primary key, amount integer)')
db.execute('create table done (who integer, number integer, filler text, primary key (who, number))')
db.executemany('insert into account values (?, 1000)', [(i,) for i in range({ACCOUNTS})])
db.commit()
"""
# The numbers that are missing and should not; [] and a sound database.
SQLITE_CHECK = f"""
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=60)
print(db.execute('pragma integrity_check').fetchall(),
      db.execute('select sum(amount) from account').fetchone()[0] - {ACCOUNTS} * 1000)
for word in sys.argv[2:]:
    who, last = (int(x) for x in word.split(':'))
    have = {{n for n, in db.execute('select number from done where who = ?', (who,))}}
    end = last // 40 * 40
    print(who, [n for n in range(1, last + 1) if n not in have and not (n % 40 == 7 and n < end - 40)])
"""


class Committer:
    """A process that commits, on a node: what it has said was acknowledged."""

    def __init__(self, node, who, *argv):
        self.who, self.node, self.last, self.line_times = who, node, 0, []
        self.errors = open(f'{node.rig.logs}/committer-{who}.log', 'a+')
        self.process = subprocess.Popen(node.command(*argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
                                        text=True)
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        for line in self.process.stdout:
            if line.strip().isdigit():
                self.last = int(line)
                self.line_times.append(time.monotonic())

    def alive(self):
        return self.process.poll() is None

    def end(self, signal_name='KILL'):
        """At any moment: also within a transaction."""
        self.node.run('pkill', f'-{signal_name}', '-f', f'committer-{self.who} ', ok=False)
        with contextlib.suppress(OSError):  # of one that has ended by itself
            self.process.stdin.close()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.thread.join(10)
        self.errors.close()


def longest_pause(committers):
    times = sorted(t for c in committers for t in c.line_times)
    return max((b - a for a, b in itertools.pairwise(times)), default=0)


def said(committer):
    with open(committer.errors.name) as f:
        return f.read()[-300:]


def kill_owners(rig, nodes, committers, seconds):
    """Owner after owner is killed under the load; each time everybody goes on. How often."""
    order = itertools.cycle(nodes[1:] + nodes[:1])
    end = time.monotonic() + seconds
    kills = 0
    while kills < 2 or time.monotonic() < end:
        time.sleep(BETWEEN_S)  # how long an owner lives is not what is tested
        old, to = rig.owner_node, next(order)
        old.end_owner('KILL')
        eventually(old.device_free, 30, "the dead owner's file system is gone")
        rig.own(to)
        kills += 1
        before = [c.last for c in committers]
        for c, last in zip(committers, before):
            eventually(lambda c=c, last=last: c.last > last or not c.alive(), PROGRESS_S,
                       f'committer {c.who} on {c.node.name} commits after owner {kills}', pause_s=0.05)
            if not check(c.alive(), f'committer {c.who} on {c.node.name} ended: {said(c)}'):
                return kills
    return kills


def figures(what, committers, kills, seconds):
    print(f'{what}: {sum(c.last for c in committers)} commits by {len(committers)} processes in {seconds:.0f} s, {kills} owners '
          f'killed, longest pause of all {longest_pause(committers):.1f} s, of one '
          f'{max(longest_pause([c]) for c in committers):.1f} s', flush=True)


# --- SQLite

def sqlite(rig, mode, places):
    path = f'{csvrig.MOUNT}/{mode}.db'
    python = ['/usr/bin/python3', '-u', '-c']
    rig.node(1).run(*python, SQLITE_MAKE, path, mode)
    start = time.monotonic()
    committers = [Committer(node, i, *python, f'# committer-{i} \n{SQLITE}', path, i, mode) for i, node in enumerate(places)]
    try:
        for c in committers:
            eventually(lambda c=c: c.last or not c.alive(), PROGRESS_S, f'the first commit of {c.who}')
        kills = kill_owners(rig, rig.nodes, committers, SECONDS)
    finally:
        for c in committers:
            c.end()
    figures(f'SQLite, journal_mode={mode}', committers, kills, time.monotonic() - start)
    words = [f'{c.who}:{c.last}' for c in committers]
    # On the node that used it, and then on one that never had it in its hands.
    for node in (places[0], rig.node(3)):
        answer = node.run(*python, SQLITE_CHECK, path, *words, timeout=120).stdout.splitlines()
        check_equal(answer[0], "[('ok',)] 0", f'{mode} on {node.name}: integrity_check; sum of the accounts')
        for line in answer[1:]:
            check(line.endswith(' []'), f'{mode} on {node.name}: acknowledged and gone, of committer {line[:300]}')


def test_sqlite():
    if not csvrig.have_programs():
        return
    csvrig.private_mounts()
    with csvrig.rig(3) as rig:
        rig.start()
        # A write-ahead log's index is shared memory: processes of one node, as SQLite says of every network file system.
        sqlite(rig, 'wal', [rig.node(2)] * 3)
        sqlite(rig, 'delete', [rig.node(2), rig.node(3), rig.node(2), rig.node(3)])
        rig.stop()
        check_equal(rig.fsck(), '', 'fsck')


# --- PostgreSQL

DATA = f'{csvrig.MOUNT}/pg'
POSTGRES = ['/usr/bin/setpriv', '--reuid=postgres', '--regid=postgres', '--init-groups', '--inh-caps=-all', '/usr/bin/env', '-C', '/',
            'LC_ALL=C.UTF-8', 'PGHOST=/run/pg', 'PGDATABASE=postgres', 'PGOPTIONS=-c client_min_messages=warning']
# fsync and full_page_writes are on, as they come.
CONFIG = """listen_addresses = ''
unix_socket_directories = '/run/pg'
shared_buffers = 32MB
max_wal_size = 64MB
min_wal_size = 32MB
checkpoint_timeout = 30s
wal_sync_method = fdatasync
autovacuum_naptime = 2s
log_min_messages = warning
"""


def postgres_folder():
    found = sorted(glob.glob('/usr/lib/postgresql/*/bin/postgres'))
    return os.path.dirname(found[-1]) if found else None


class Postgres:
    def __init__(self, folder):
        self.folder = folder
        self.node = None

    def argv(self, name, *words):
        return [*POSTGRES, f'{self.folder}/{name}', *words]

    def run(self, node, name, *words, timeout=120, ok=True):
        return node.run(*self.argv(name, *words), timeout=timeout, ok=ok)

    def make(self, node):
        node.run('install', '-d', '-o', 'postgres', '-g', 'postgres', '-m', '700', DATA)
        self.run(node, 'initdb', '-D', DATA, '--no-locale', '-E', 'UTF8', '-A', 'trust', '-k', timeout=180)
        node.run('sh', '-c', f"printf %s \"$1\" >> {DATA}/postgresql.conf", 'sh', CONFIG)

    def start(self, node):
        node.run('install', '-d', '-o', 'postgres', '-g', 'postgres', '/run/pg')
        self.run(node, 'pg_ctl', '-D', DATA, '-w', '-t', '60', '-l', '/run/pg/log', 'start', timeout=90)
        self.node = node

    def stop(self, how):
        self.run(self.node, 'pg_ctl', '-D', DATA, '-w', '-t', '60', '-m', how, 'stop', timeout=90)

    def sql(self, text):
        return self.run(self.node, 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-c', text).stdout.strip()


def pgbench_sums(pg):
    return pg.sql('select (select sum(abalance) from pgbench_accounts), (select sum(bbalance) from pgbench_branches), '
                  '(select sum(tbalance) from pgbench_tellers), (select coalesce(sum(delta), 0) from pgbench_history)').split('|')


def check_postgres(pg, committers, transactions):
    where = f'PostgreSQL on {pg.node.name}'
    sums = pgbench_sums(pg)
    check(len(set(sums)) == 1, f'{where}: the four sums of pgbench differ: {sums}')
    history = int(pg.sql('select count(*) from pgbench_history'))
    check(history >= transactions, f'{where}: pgbench had {transactions} commits acknowledged, {history} are there')
    for c in committers:
        gone = pg.sql(f'select string_agg(n::text, \' \') from (select n from generate_series(1, {c.last}) n except '
                      f'select number from done where who = {c.who}) x')
        check_equal(gone, '', f'{where}: acknowledged and gone, of committer {c.who}')
    amcheck = pg.run(pg.node, 'pg_amcheck', '--all', '--install-missing', '--heapallindexed', '--parent-check', timeout=300, ok=False)
    check_equal((amcheck.returncode, amcheck.stdout + amcheck.stderr), (0, ''), f'{where}: pg_amcheck')
    damaged = pg.sql('select sum(checksum_failures) from pg_stat_database')
    check(damaged in ('', '0'), f'{where}: {damaged} pages with a wrong checksum')


def inserts(who, pipe):
    """Statements without an end; psql says a number when its commit is acknowledged."""
    try:
        for number in itertools.count(1):
            pipe.write(f"insert into done values ({who}, {number}, repeat('x', {number * 131 % 3000})) returning number;\n")
            pipe.flush()
    except (OSError, ValueError):
        pass  # it was ended


def test_postgresql():
    if not csvrig.have_programs():
        return
    folder = postgres_folder()
    if not folder:
        check(False, 'PostgreSQL is not installed: tests/packages')
        return
    csvrig.private_mounts()
    with csvrig.rig(3) as rig:
        rig.start()
        pg = Postgres(folder)
        pg.make(rig.node(2))
        pg.start(rig.node(2))
        pg.run(pg.node, 'pgbench', '-i', '-q', '-s', '2', timeout=120)
        pg.sql('create table done (who int, number int, filler text, primary key (who, number))')
        start = time.monotonic()
        bench = subprocess.Popen(rig.node(2).command(*pg.argv('pgbench', '-n', '-c', '3', '-T', str(int(SECONDS * 2) + 20), '-l',
                                                             '--log-prefix=/run/pg/bench')), stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        committers = [Committer(pg.node, i, *pg.argv('psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-v', f'name=committer-{i} '))
                      for i in range(2)]
        for c in committers:
            threading.Thread(target=inserts, args=(c.who, c.process.stdin), daemon=True).start()
        try:
            for c in committers:
                eventually(lambda c=c: c.last or not c.alive(), PROGRESS_S, f'the first commit of {c.who}')
            kills = kill_owners(rig, rig.nodes, committers, SECONDS)
            check(bench.poll() is None, f'pgbench ended: {bench.poll()}')
            pg.stop('immediate')  # as if it had crashed, under load
        finally:
            for c in committers:
                c.end()
            output = bench.communicate(timeout=60)[0]
        transactions = int(rig.node(2).run('sh', '-c', 'cat /run/pg/bench.* | wc -l').stdout)
        check(transactions > 0, f'pgbench: {output[-300:]}')
        figures('PostgreSQL', committers, kills, time.monotonic() - start)
        print(f'pgbench: {transactions} transactions meanwhile', flush=True)
        pg.start(rig.node(3))  # and on another node, which replays its log
        check_postgres(pg, committers, transactions)
        pg.stop('fast')
        pg.start(rig.node(1))
        check_postgres(pg, committers, transactions)
        pg.stop('fast')
        rig.stop()
        check_equal(rig.fsck(), '', 'fsck')


if __name__ == '__main__':
    sys.exit(main(test_sqlite, test_postgresql))
