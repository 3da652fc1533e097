#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Attributes and names that nodes keep under leases of the owner: never stale, whoever changes them; no question for what is
known; who does not give them up stops only what needs them; a new owner ends them. CSVFS_ROUNDS, CSVFS_SEED: how long, which."""
import contextlib
import os
import random
import signal
import sys

import csvrig
from csvfs_nodes_test import Agent
from csvrig import MOUNT
from labtest import check, check_equal, eventually, main

ROUNDS = int(os.environ.get('CSVFS_ROUNDS', '2000'))
SEED = int(os.environ.get('CSVFS_SEED', '0')) or random.randrange(1, 1 << 31)
FILES = 12
QUIET_FILES = 1000
SILENT_S = 30      # the owner names who has not answered a recall for 10 s

MORE = r'''
import random, threading, time
TIMES = ('st_mode', 'st_nlink', 'st_uid', 'st_gid', 'st_size', 'st_ino', 'st_mtime_ns', 'st_ctime_ns')
def seen(path):
    try:
        s = os.lstat(path)
    except FileNotFoundError:
        return None
    return tuple(getattr(s, n) for n in TIMES)
def acl(path, perm):
    """rw for the owner, perm for user 1000, nothing for others."""
    e = [(1, 6, 0xffffffff), (2, perm, 1000), (4, 0, 0xffffffff), (16, 7, 0xffffffff), (32, 0, 0xffffffff)]
    os.setxattr(path, 'system.posix_acl_access', struct.pack('<I', 2) + b''.join(struct.pack('<HHI', *x) for x in e))
def reads(path, uid):
    os.setegid(uid); os.seteuid(uid)
    try:
        with open(path, 'rb') as f: return True
    except PermissionError:
        return False
    finally:
        os.seteuid(0); os.setegid(0)
def append(path, n): put(path, b'x' * n, 'app')
def over(path):
    with open(path + '.new', 'wb') as f: f.write(b'n' * 17)
    os.rename(path + '.new', path)
def again(path):
    os.unlink(path)
    with open(path, 'wb'): pass
def links(path):
    if os.path.exists(path + '.l'): os.unlink(path + '.l')
    else: os.link(path, path + '.l')
def folder(path):
    if os.path.isdir(path + '.d'): os.rmdir(path + '.d')
    else: os.mkdir(path + '.d')
def away(path):
    if os.path.exists(path + '.m'): os.rename(path + '.m', path + '.o')
    elif os.path.exists(path + '.o'): os.rename(path + '.o', path + '.m')
    else: put(path + '.m', b'moved')
def exchange(a, b):
    import ctypes
    if ctypes.CDLL(None).renameat2(-100, a.encode(), -100, b.encode(), 2): raise OSError(0, 'renameat2')
def direct_write(path, fill):
    op('_', path); os.pwrite(fds['_'], bytes([fill]) * 4096, 0); os.fsync(fds['_']); cl('_')
def by(uid, what, *args):
    """What the call says to who is that user."""
    os.setegid(uid); os.seteuid(uid)
    try:
        return what(*args)
    except OSError as e:
        return errno.errorcode[e.errno]
    finally:
        os.seteuid(0); os.setegid(0)
def size(path): return os.lstat(path).st_size
def patch(path, fill):
    """A write that goes straight to the device; its time, as this node sees it before and after close."""
    op('_', path); os.pwrite(fds['_'], bytes([fill]) * 4096, 0)
    t = os.fstat(fds['_']).st_mtime_ns; cl('_')
    return t, os.lstat(path).st_mtime_ns
load_stop = threading.Event()
def load(prefix, names, seed):
    """Until the load is stopped: stats of everything, and names of its own that come and go in the same directory."""
    r = random.Random(seed)
    def work():
        mine = []
        while not load_stop.is_set():
            try:
                os.lstat(r.choice(names))
            except OSError:
                pass
            if r.random() < 0.2:
                n = prefix + str(r.randrange(20))
                if n in mine: os.unlink(n); mine.remove(n)
                else: open(n, 'xb').close(); mine.append(n)
        for n in mine: os.unlink(n)
    t = threading.Thread(target=work); t.start(); return t
def load_end(t): load_stop.set(); t.join()
def pass_over(place, n, uid=0):
    os.setegid(uid); os.seteuid(uid)
    try:
        begun = time.monotonic()
        for i in range(n): os.stat('%s/%d' % (place, i))
        return n / (time.monotonic() - begun)
    finally:
        os.seteuid(0); os.setegid(0)
'''


def agent_on(stack, node, place):
    agent = Agent(place, node.command)
    stack.callback(agent.close)
    agent(f'exec({MORE!r}, globals())')
    return agent


@contextlib.contextmanager
def cluster(hosts):
    """A rig that serves, an agent on each node, and where more agents end."""
    csvrig.private_mounts()
    with csvrig.rig(hosts) as rig, contextlib.ExitStack() as stack:
        rig.start()
        rig.node(1).run('chmod', '755', MOUNT)
        yield rig, [agent_on(stack, node, MOUNT) for node in rig.nodes], stack


def changes(r, path, other):
    """What one node does; every name that may be something else afterwards."""
    d = os.path.dirname(path) or '.'
    return r.choice([
        (f'os.chmod({path!r}, {r.choice((0o600, 0o644, 0o755, 0o4711))})', [path]),
        (f'os.chown({path!r}, {r.randrange(2000)}, {r.randrange(2000)})', [path]),
        (f'os.truncate({path!r}, {r.choice((0, 1, 511, 512, 4096, 70000))})', [path]),
        (f'append({path!r}, {r.choice((1, 100, 512, 5000))})', [path]),
        (f'direct_write({path!r}, {r.randrange(255)})', [path]),
        (f'over({path!r})', [path, d, path + '.new']),
        (f'again({path!r})', [path, d]),
        (f'links({path!r})', [path, path + '.l', d]),
        (f'folder({path!r})', [path + '.d', d]),
        (f'away({path!r})', [path + '.m', path + '.o', d]),
        (f'exchange({path!r}, {other!r})', [path, other, d]),
        (f'os.utime({path!r}, ns=({r.randrange(1 << 60)}, {r.randrange(1 << 60)}))', [path]),
        (f'acl({path!r}, {r.choice((0, 4, 6))})', [path]),
        (f'os.setxattr({path!r}, "user.n", b"{r.randrange(10)}")', [path]),
    ])


def look(agents, names):
    text = f'[seen(n) for n in {names!r}]'
    for agent in agents:
        agent.begin(text)
    return [agent.end() for agent in agents]


def round_of(r, agents, names, loaded):
    """A change, and what all see right after it. What was wrong, or None."""
    who = r.randrange(len(agents))
    path, other = r.sample(names, 2)
    what, touched = changes(r, path, other)
    if loaded:  # which changes the directories, too
        touched = [name for name in touched if '/' in name]
    look(agents, touched)  # so that they have it
    answer = agents[who](what)
    after = look(agents, touched)
    if answer is not None:
        return f'{what}: {answer}'
    for k, view in enumerate(after):
        if view != after[who]:
            return f'{what} by {who}: {k} sees {dict(zip(touched, view))}, {who} sees {dict(zip(touched, after[who]))}'
    if what.startswith('acl('):
        want = not what.endswith(' 0)')
        can = [agent(f'reads({path!r}, 1000)') for agent in agents]
        if can != [want] * len(agents):
            return f'{what} by {who}: may user 1000 read it: {can}'
    if what.startswith('over(') and after[who][0][4] != 17:
        return f'{what}: size {after[who][0][4]}'
    return None


def coherent(rig, loaded, rounds, seed):
    r = random.Random(seed)
    names = [f'd{i % 2}/f{i}' for i in range(FILES)]
    place = f'{MOUNT}/coherent-{int(loaded)}'
    rig.node(1).run('mkdir', '-p', f'{place}/d0', f'{place}/d1')
    rig.node(1).run('chmod', '755', MOUNT, place, f'{place}/d0', f'{place}/d1')
    with contextlib.ExitStack() as stack:
        agents = [agent_on(stack, node, place) for node in rig.nodes]
        for name in names:
            agents[0](f'put({name!r}, b"first" * 1000)')
        loads = []
        if loaded:
            loads = [agent_on(stack, node, place) for node in rig.nodes]
            for k, agent in enumerate(loads):
                agent(f't = load("d0/load-{k}-", {names!r}, {seed + k})')
        for n in range(rounds):
            wrong = round_of(r, agents, names, loaded)
            if wrong:
                check(False, f'round {n} of seed {seed}{", loaded" if loaded else ""}: {wrong}')
                break
        for agent in loads:
            agent('load_end(t)')
        rig.node(1).run('rm', '-rf', place)
    print(f'  {rounds} rounds{", with load" if loaded else ""}', flush=True)


def test_never_stale():
    if not csvrig.have_programs():
        return
    print(f'CSVFS_SEED={SEED} CSVFS_ROUNDS={ROUNDS}')
    csvrig.private_mounts()
    with csvrig.rig(3) as rig:
        rig.start()
        coherent(rig, False, ROUNDS, SEED)
        coherent(rig, True, ROUNDS, SEED)
        rig.stop()
        check_equal(rig.fsck(), '', 'fsck')


def asked(node):
    return node.status('client')['asked']


def test_no_questions():
    """1,000 files that another node has made: known after one look, as root and as somebody else."""
    if not csvrig.have_programs():
        return
    with cluster(2) as (rig, (a, b), _stack):
        a(f'os.mkdir("q"); [put("q/%d" % i, b"x" * i) for i in range({QUIET_FILES})]; os.mkdir("l")')
        for uid in (0, 1000):
            first = b(f'pass_over("q", {QUIET_FILES}, {uid})')
            before = asked(rig.node(2))
            rate = b(f'pass_over("q", {QUIET_FILES}, {uid})')
            check_equal(asked(rig.node(2)) - before, 0, f'questions of {QUIET_FILES} stats that are known, uid {uid}')
            print(f'  uid {uid}: stat/s {first:.0f} first, {rate:.0f} when known', flush=True)
        check_equal(b('seen("q/none")'), None, 'not there')
        before = asked(rig.node(2))
        check_equal([b('seen("q/none")') for _ in range(100)], [None] * 100, 'still not there')
        check_equal(asked(rig.node(2)) - before, 0, 'questions for a name that is not there')
        # A directory that was listed is known.
        a('[put("l/%d" % i, b"x") for i in range(100)]')
        b('len([e.stat() for e in os.scandir("l")])')
        before = asked(rig.node(2))
        b('pass_over("l", 100)')
        check(asked(rig.node(2)) - before <= 2, f'questions after a list: {asked(rig.node(2)) - before}')
        # A time that changes every second takes one question a second, and no more.
        a('put("w", b"x" * (1 << 20)); op("w", "w")')
        a('[wr("w", b"y" * 4096, 0) for _ in range(10)]')
        before = asked(rig.node(2))
        begun = csvrig.time.monotonic()
        for _ in range(300):
            a('wr("w", b"z" * 4096, 8192)')
            b('seen("w")')
        took = csvrig.time.monotonic() - begun
        check(asked(rig.node(2)) - before <= 8 * (took + 2), f'{asked(rig.node(2)) - before} questions in {took:.1f} s of direct writes')
        rig.stop()


NEW_FILES = 200
MAKE = 'os.close(os.open("{}/%d" % i, os.O_CREAT | os.O_WRONLY))'


def questions_of_changes(node, agent, others):
    """
    A new file takes two: make it, close it, and of a directory that was there before also: is the name there. The directory's
    attributes come with the answer. Removed: one.
    """
    agent('os.mkdir("m")')
    others('os.mkdir("o")')
    for what, text, most in (('create', MAKE.format('m'), 2), ('create in an old directory', MAKE.format('o'), 3),
                             ('unlink', 'os.unlink("m/%d" % i)', 1), ('create again', MAKE.format('m'), 2)):
        before = asked(node)
        agent(f'[{text} for i in range({NEW_FILES})]')
        each = (asked(node) - before) / NEW_FILES
        print(f'  {what}: {each:.2f} questions', flush=True)
        check(each < most + 0.1, f'{what} took {each} questions')


def questions_of_many(node, stack):
    """Several processes with a directory each: what is closed meanwhile is told in one question."""
    many = [agent_on(stack, node, MOUNT) for _ in range(4)]
    for k, agent in enumerate(many):
        agent(f'os.mkdir("m{k}")')
    before = asked(node)
    for k, agent in enumerate(many):
        agent.begin(f'[{MAKE.format(f"m{k}")} for i in range({NEW_FILES})] and None')
    for agent in many:
        check_equal(agent.end(), None, 'made')
    each = (asked(node) - before) / (NEW_FILES * len(many))
    print(f'  create by {len(many)} processes: {each:.2f} questions', flush=True)
    check(each < 1.9, f'create by {len(many)} processes took {each} questions')


def test_changes():
    """Who changes a directory knows it afterwards, and all others see what it is then."""
    if not csvrig.have_programs():
        return
    with cluster(2) as (rig, (a, b), stack):
        questions_of_changes(rig.node(2), b, a)
        questions_of_many(rig.node(2), stack)
        b('os.mkdir("n")')
        for i in range(50):
            for who in (a, b):
                who(f'put("n/{i}-{int(who is a)}", b"")')
                check_equal(a('seen("n")'), b('seen("n")'), f'the directory after create {i}')
            b(f'os.rename("n/{i}-0", "n/r")' if i % 2 else f'os.unlink("n/{i}-0")')
            check_equal(a('seen("n")'), b('seen("n")'), f'the directory after change {i}')
        rig.stop()
        check_equal(rig.fsck(), '', 'fsck')


def step_in_new_directory(rng, agent, there):
    """One change in "w"; the names that are there afterwards, and those it was about."""
    old, new = (f'w/{rng.randrange(12)}' for _ in range(2))
    kind = rng.choice(['create', 'create', 'unlink', 'rename', 'link'])
    if kind == 'create' or old not in there:
        agent(f'put("{old}", b"")')
        return there | {old}, {old}
    if kind == 'unlink':
        agent(f'os.unlink("{old}")')
        return there - {old}, {old}
    if kind == 'rename' and not agent(f'os.path.exists("{new}") and os.path.samefile("{old}", "{new}")'):  # then nothing happens
        agent(f'os.rename("{old}", "{new}")')
        return there - {old} | {new}, {old, new}
    if kind == 'link' and new not in there:
        agent(f'os.link("{old}", "{new}")')
        return there | {new}, {old, new}
    return there, {old, new}


def test_new_directory():
    """What is not there in a directory that a node has made it knows, also when others make and remove names in it."""
    if not csvrig.have_programs():
        return
    print(f'  CSVFS_SEED={SEED}', flush=True)
    rng = random.Random(SEED)
    with cluster(2) as (rig, (a, b), _stack):
        for _ in range(4):
            there = set()
            b('os.mkdir("w")')
            for k in range(120):
                # At first the one that made it is alone.
                there, names = step_in_new_directory(rng, b if k < 20 else rng.choice([a, b]), there)
                for name in names | {f'w/{rng.randrange(12)}'}:
                    check_equal([who(f'seen("{name}") is not None') for who in (a, b)], [name in there] * 2, f'{name}, step {k}')
            check_equal([set(who('os.listdir("w")')) for who in (a, b)], [{n[2:] for n in there}] * 2, 'all names')
            b('[os.unlink("w/" + n) for n in os.listdir("w")]; os.rmdir("w")')
        rig.stop()
        check_equal(rig.fsck(), '', 'fsck')


USER = 1000


def closed_directory(a, b, node):
    """What root has looked at is cached; a user who may not look into the directory sees none of it."""
    a('os.mkdir("p", 0o700); put("p/f", b"x")')
    check_equal(b('[seen("p/f") is not None, seen("p/none")]'), [True, None], 'cached')
    before = asked(node)
    check_equal(b(f'by({USER}, size, "p/f"), by({USER}, size, "p/none")'), ('EACCES', 'EACCES'), 'closed to the user')
    check(asked(node) - before <= 2, f'{asked(node) - before} questions: the kernel decides with what is known')
    for how, want in (('chmod("p", 0o755)', 1), ('chmod("p", 0o700)', 'EACCES'), (f'chown("p", {USER}, 0)', 1), ('chown("p", 0, 0)', 'EACCES')):
        a(f'os.{how}')
        check_equal(b(f'by({USER}, size, "p/f")'), want, f'after {how} on the other node')


def set_id_bits(a, b, node):
    """Bits that another node sets are gone with the next write, also with one that goes straight to the device."""
    a(f'put("s", b"x" * (1 << 20)); os.chown("s", {USER}, {USER})')
    b('op("s", "s"); [wr("s", b"y" * 65536, 0) for _ in range(5)]')
    direct = node.status('client')['direct_written_bytes']
    for n in range(20):
        a('os.chmod("s", 0o6755)')
        check_equal(a('st("s")')['mode'], 0o6755, 'set')  # the other node has not looked
        check_equal(b(f'by({USER}, os.pwrite, fds["s"], b"{n:04}" * 1024, 8192)'), 4096, 'written')
        check_equal([x('st("s")')['mode'] for x in (a, b)], [0o755] * 2, f'gone after write {n}')
        check_equal(b(f'by({USER}, os.pwrite, fds["s"], b"{n:04}" * 1024, 4096)'), 4096, 'written again')
    check(node.status('client')['direct_written_bytes'] > direct, 'the other writes went straight to the device')


def times(a, b):
    """Of direct writes: seen here at once and there after close; one that is set stays."""
    a('put("t", b"x" * (1 << 20))')
    b('[patch("t", n) for n in range(3)]')
    for n in range(10):
        a('seen("t")')
        before, after = b(f'patch("t", {n})')
        check_equal(after, before, 'close does not change the time')
        check_equal(a('os.lstat("t").st_mtime_ns'), after, 'the time there')
        a('seen("t")')
        b('op("t", "t"); wr("t", b"z" * 4096, 0); os.fsync(fds["t"]); os.utime("t", ns=(1, 1000000007)); cl("t")')
        check_equal([x('os.lstat("t").st_mtime_ns') for x in (a, b)], [1000000007] * 2, 'a time that was set before close')


def replaced_beside(a, b, c):
    """A file that is always there can always be opened, by who is on the node that replaces it, too."""
    a('put("r", b"x")')
    b.begin('for _ in range(300): over("r")')
    n = 0
    while not b.answered():
        check_equal(c('[get("r") != b"" for _ in range(20)]'), [True] * 20, 'opened while it is replaced')
        n += 1
    check_equal(b.end(), None, 'replaced')
    print(f'  opened {n * 20} times', flush=True)


def test_rights_and_times():
    if not csvrig.have_programs():
        return
    with cluster(2) as (rig, (a, b), stack):
        closed_directory(a, b, rig.node(2))
        set_id_bits(a, b, rig.node(2))
        times(a, b)
        replaced_beside(a, b, agent_on(stack, rig.node(2), MOUNT))
        rig.stop()


def has_cached(node, agent, paths):
    """Whether the node asks nobody about them."""
    before = asked(node)
    agent(f'[seen(p) for p in {paths!r}]')
    return asked(node) == before


def test_silent_holder():
    """Who does not answer stops only what needs it; its fencing ends the wait, and it knows nothing old when it wakes up."""
    if not csvrig.have_programs():
        return
    with cluster(3) as (rig, (a, b, c), _stack):
        a('put("f", b"x"); os.mkdir("d"); put("d/g", b"x"); put("w", b"x" * 65536)')
        eventually(lambda: has_cached(rig.node(3), c, ['f', 'w', 'none']), 10, 'it has them')
        rig.lab.ask('stop', host=rig.node(3).name, process='csvfs')
        b.begin('os.chmod("f", 0o600)')
        for n in range(50):  # everything else goes on, also for the file itself
            a(f'put("d/g", b"{n}"); os.chmod("d/g", {0o600 + n}); os.stat("f"); put("d/h{n}", b""); os.unlink("d/h{n}")')
        check(not b.answered(), 'the change waits for who may have it cached')
        a('op("w", "w"); [wr("w", b"y" * 4096, 0) for _ in range(5)]; os.fsync(fds["w"])')  # nor does an fsync wait for it
        eventually(lambda: {'node': 3} in rig.owner_node.status('owner')['waiting_for'], SILENT_S, 'the owner says whom it waits for')
        check(not b.answered(), 'it waits still')
        rig.fenced(rig.node(3), rig.node(3).incarnation)
        check_equal(b.end(), None, 'done when it is fenced')
        check_equal(a('st("f")')['mode'], 0o600, 'changed')
        rig.lab.ask('cont', host=rig.node(3).name, process='csvfs')
        rig.node(3).client.send_signal(signal.SIGCONT)  # nsenter has stopped with it
        rig.node(3).wait_client()
        check_equal(c('st("f")')['mode'], 0o600, 'the fenced node, when it is back')
        rig.stop()


def test_new_owner():
    if not csvrig.have_programs():
        return
    with cluster(3) as (rig, agents, _stack):
        names = [f'f{i}' for i in range(20)]
        agents[0](f'[put(n, b"x") for n in {names!r}]')
        for turn, to in enumerate((2, 3, 1)):
            for agent in agents:
                agent(f'[seen(n) for n in {names!r}] + [seen("no-" + n) for n in {names!r}]')
            # Under way when the owner dies: done once, and nobody has kept what it was.
            who = agents[turn % 3]
            who.begin(f'[os.chmod(n, {0o600 + turn}) for n in {names!r}], [os.rename(n, "t" + n) for n in {names[:10]!r}]')
            rig.owner_node.end_owner('KILL')
            rig.own(rig.node(to))
            who.end()
            views = look(agents, names + [f't{n}' for n in names])
            check_equal(views[1:], [views[0]] * 2, f'all see the same under owner {to}')
            check_equal([v and v[0] & 0o777 for v in views[0]], [None] * 10 + [0o600 + turn] * 20 + [None] * 10, 'and what was done')
            agents[to - 1](f'[os.rename("t" + n, n) for n in {names[:10]!r}]')
            views = look(agents, names + [f't{n}' for n in names])
            check_equal([[v is not None for v in view] for view in views], [[True] * 20 + [False] * 20] * 3, 'named back')
        rig.stop()
        check_equal(rig.fsck(), '', 'fsck')


main(test_never_stale, test_no_questions, test_changes, test_new_directory, test_rights_and_times, test_silent_holder, test_new_owner)
