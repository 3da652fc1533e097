# SPDX-License-Identifier: GPL-2.0-or-later
"""The process a lab consists of: it owns the networks, the hosts, their watchdogs and their power switches.

It runs in network and mount namespaces of its own and every host hangs on it, so its death ends the lab and leaves
only a directory. It serves requests, one JSON object a line, on RUN/guest/server.
"""
import asyncio
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import labconf
import labfuse
import labsan

TEMPLATE_MB = 64
FIFO_READ = 65536
OFF_TIMEOUT_S = 30
STOP_TIMEOUT_S = 10
STOP_POLL_S = 0.002
BOOT_TIMEOUT_S = 120
EXIT_REBOOT = 3  # labinit.c


class Refused(Exception):
    """A request that cannot be done; the text is for the person who asked."""


def stands(pid):
    """Whether a process that was sent SIGSTOP does nothing any more: one of its threads gets the signal, when it is its turn to
    run, and stops the others. Until then these go on, and answer who believes them stopped."""
    states = set()
    try:
        for task in os.scandir(f'/proc/{pid}/task'):
            with open(f'{task.path}/stat') as f:
                states.add(f.read().rpartition(')')[2].split()[0])
    except OSError:  # one has ended while we looked
        return not os.path.exists(f'/proc/{pid}')
    return states <= set('TtZXD')  # D: waits in the kernel, and stops on its way out


class Host:
    """One machine: off -> booting -> up -> (dying) -> off."""

    def __init__(self, lab, n):
        self.lab = lab
        self.n = n
        self.name = labconf.host_name(n)
        self.dir = f'{lab.run}/hosts/{self.name}'
        self.state = 'off'
        self.boots = 0
        self.init_pid = 0
        self.keeper = None
        self.writer = None
        self.stopped = False    # all of it, by `stop HOST`
        self.frozen = set()     # single processes, by `stop HOST PROCESS`
        self.services = {}      # name -> pid inside, 0: not running
        self.corosync_end = 0.0  # loop time
        self.quorum = None      # (quorate, ring, members) or None while corosync is down
        self.power = asyncio.Lock()
        self.dog_fd = -1
        self.dog_timeout = 0    # ms; 0: not armed
        self.dog_handle = None
        self.dog_fired = 0

    # -- files

    def attach_lun(self):
        """A boot has a path of its own to the SAN: the kernel state of the one before is that of a machine which is no more."""
        if self.lab.san:
            if self.boots:
                self.lab.san.ask('detach', self.name)
            write(f'{self.dir}/lun', '%d %d\n' % self.lab.san.attach(self.name))

    def cut_power(self):
        """Nothing of it reaches the SAN any more, not even what the kernel does for processes that are no more."""
        volumes = labfuse.mounts(self.init_pid)
        if self.lab.san:
            self.lab.san.mode(self.name, 'hang')
        os.kill(self.init_pid, signal.SIGKILL)
        if self.lab.san:
            self.lab.san.mode(self.name, 'dead')
        labfuse.abort(volumes)

    def prepare(self, template):
        conf = self.lab.conf
        for d in ('dev', 'run', 'ocf', 'disk', 'services', 'etc/corosync/uidgid.d', 'etc/clusterd', 'log/corosync',
                  'log/clusterd', 'log/nginx'):
            os.makedirs(f'{self.dir}/{d}')
        write(f'{self.dir}/etc/corosync/corosync.conf', labconf.corosync_conf(conf))
        write(f'{self.dir}/etc/corosync/authkey', self.lab.authkey, 0o400)
        write(f'{self.dir}/etc/clusterd/clusterd.conf', labconf.clusterd_conf(conf))
        for name, text in labconf.service_scripts(conf).items():
            write(f'{self.dir}/services/{name}', text)
        write(f'{self.dir}/net.batch', labconf.net_batch(conf, self.n))
        env = {'HOST': self.name, 'DIR': self.dir, 'RUN': self.lab.run, 'AGENTS': conf['agents'],
               'OWN_AGENTS': conf['own_agents'],
               'OCF_DIR': '/usr/lib/ocf/resource.d'}
        write(f'{self.dir}/lab.env', ''.join(f"{k}='{v}'\n" for k, v in env.items()))
        for script in ('inside.sh', 'outside.sh'):
            shutil.copy(f'{conf["srcdir"]}/{script}', self.dir)
        subprocess.run(['cp', '--sparse=always', template, f'{self.dir}/disk.img'], check=True)
        os.mkfifo(f'{self.dir}/watchdog', 0o600)
        self.dog_fd = os.open(f'{self.dir}/watchdog', os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self.lab.loop.add_reader(self.dog_fd, self.dog_read)

    # -- power

    async def on(self):
        async with self.power:
            if self.state != 'off' or self.lab.ending:
                raise Refused(f'{self.name} is {self.state}; only a host that is off can be switched on')
            self.dog_disarm()
            self.drain_dog()
            self.state, self.stopped, self.quorum = 'booting', False, None
            self.services, self.frozen = {}, set()
            self.attach_lun()
            write(f'{self.dir}/plug.batch', labconf.plug_batch(self.lab.conf, self.n, self.lab.groups))
            ours, theirs = socket.socketpair()
            with open(f'{self.dir}/log/boot.out', 'a') as out:
                self.keeper = await asyncio.create_subprocess_exec(
                    f'{self.lab.run}/guest/bin/labinit', 'host', self.dir, str(theirs.fileno()),
                    pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
            theirs.close()
            reader, self.writer = await asyncio.open_connection(sock=ours)
            self.boots += 1
            self.lab.log(f'{self.name} boot {self.boots}')
            self.lab.spawn(self.live(reader, self.writer, self.keeper))

    async def live(self, reader, writer, keeper):
        """One life of the host, from power on to the last process's end."""
        try:
            while line := await reader.readline():
                self.event(line.decode().split())
        except ConnectionError:
            pass  # it died with a line of ours unread
        writer.close()
        if self.services.get('corosync'):
            self.corosync_end = self.lab.loop.time()
        self.state = 'dying'
        status = await keeper.wait()
        self.dog_disarm()
        self.state, self.init_pid, self.quorum, self.services = 'off', 0, None, {}
        self.stopped, self.frozen = False, set()
        texts = {0: '', EXIT_REBOOT: ' (it asked for a reboot)'}
        self.lab.log(f'{self.name} off' + texts.get(status, f' (boot failed, see {self.dir}/log/boot.out)'))
        self.lab.notify()
        if status == EXIT_REBOOT and not self.lab.ending:
            await self.on()

    def event(self, words):
        if words[0] == 'init':
            self.init_pid = int(words[1])
            write(f'{self.dir}/init.pid', words[1] + '\n')
        elif words[0] == 'ready':
            self.state = 'up'
            self.lab.apply_groups([self])
            for name in ('watch', 'corosync'):
                self.start(name)
        elif words[0] == 'started':
            self.services[words[1]] = int(words[2])
        elif words[0] == 'exited':
            self.services[words[1]] = 0
            if words[1] == 'corosync':
                self.corosync_end = self.lab.loop.time()
            self.frozen.discard(words[1])
            self.lab.log(f'{self.name} {words[1]} ended: {ended(int(words[2]))}')
        self.lab.notify()

    def start(self, service):
        if service != 'corosync':
            self.writer.write(f'start {service}\n'.encode())
            return
        writer, pause = self.writer, labconf.restart_pause_ms(self.lab.conf) / 1000
        now = self.lab.loop.time()
        at = max(now, self.corosync_end + pause if self.corosync_end else now)
        self.lab.loop.call_at(at, lambda: writer.is_closing() or writer.write(b'start corosync\n'))

    async def off(self, why):
        """Pulls the plug and returns when no process of the host is left."""
        async with self.power:
            if self.state == 'off':
                return
            self.lab.log(f'{self.name} power off: {why}')
            if not self.init_pid:
                self.keeper.kill()
            elif self.state != 'dying':
                self.cut_power()
            await self.lab.until(lambda: self.state == 'off', OFF_TIMEOUT_S, f'{self.name} is still dying')

    # -- processes

    def processes(self, name=None):
        """Outer PIDs of the host's processes: all, or those of a service, or those with that command name."""
        if not self.init_pid:
            return []
        ns = os.readlink(f'/proc/{self.init_pid}/ns/pid')
        want = self.services.get(name) if name else None
        found = []
        for entry in os.scandir('/proc'):
            if not entry.name.isdigit():
                continue
            try:
                if os.readlink(f'/proc/{entry.name}/ns/pid') != ns:
                    continue
                if name is None:
                    found.append(int(entry.name))
                    continue
                with open(f'/proc/{entry.name}/status') as f:
                    status = dict(line.rstrip('\n').split(':\t', 1) for line in f if ':\t' in line)
            except OSError:
                continue  # it ended while we looked
            if int(status['NSpid'].split()[-1]) == want or (not want and status['Name'] == name):
                found.append(int(entry.name))
        return found

    def signal(self, name, sig):
        pids = self.processes(name)
        if not pids:
            raise Refused(f'{self.name} has no process {name or "at all: it is " + self.state}')
        for pid in pids:
            try:
                os.kill(pid, sig)
            except ProcessLookupError:
                pass
        return pids

    def freeze(self):
        """Stops everything; a process forked meanwhile is found by the next round."""
        done = set()
        while new := set(self.processes()) - done:
            for pid in new:
                try:
                    os.kill(pid, signal.SIGSTOP)
                except ProcessLookupError:
                    pass
            done |= new
        self.stopped = True
        return sorted(done)

    # -- watchdog: a line T<ms> arms, any other byte pets, V disarms

    def drain_dog(self):
        data = b''
        try:
            while chunk := os.read(self.dog_fd, FIFO_READ):
                data += chunk
        except BlockingIOError:
            pass
        return data

    def dog_read(self):
        self.dog_eat(self.drain_dog())

    def dog_eat(self, data):
        for word in data.split():
            if word == b'V':
                self.dog_disarm()
            elif word[:1] == b'T' and word[1:].isdigit():
                self.dog_timeout = int(word[1:])
                self.lab.log(f'{self.name} watchdog armed, {self.dog_timeout} ms')
        if data and self.dog_timeout:
            self.dog_rearm()

    def dog_rearm(self):
        if self.dog_handle:
            self.dog_handle.cancel()
        self.dog_handle = self.lab.loop.call_later(self.dog_timeout / 1000, self.dog_bark)

    def dog_disarm(self):
        if self.dog_timeout:
            self.lab.log(f'{self.name} watchdog disarmed')
        if self.dog_handle:
            self.dog_handle.cancel()
        self.dog_timeout, self.dog_handle = 0, None

    def dog_bark(self):
        # Bytes that arrived while this process was not scheduled count as in time: the host is not to blame.
        data = self.drain_dog()
        if data:
            self.dog_eat(data)
            return
        self.dog_fired += 1
        timeout, self.dog_timeout, self.dog_handle = self.dog_timeout, 0, None
        if self.init_pid and self.state != 'dying':
            self.cut_power()
        self.lab.log(f'{self.name} watchdog not petted for {timeout} ms: reset')
        self.lab.spawn(self.dog_reset())

    async def dog_reset(self):
        await self.off('watchdog')
        if self.lab.conf['watchdog_action'] == 'reboot':
            await self.on()

    def describe(self):
        quorate, ring, members = self.quorum or (0, '', [])
        return {'name': self.name, 'state': self.state, 'stopped': self.stopped, 'frozen': sorted(self.frozen), 'pid': self.init_pid,
                'services': self.services, 'quorate': bool(quorate), 'ring': ring, 'members': members,
                'corosync': self.quorum is not None, 'watchdog_ms': self.dog_timeout, 'watchdog_fired': self.dog_fired,
                'boots': self.boots, 'groups': [g.get(self.n, 0) for g in self.lab.groups]}


def write(path, content, mode=0o644):
    data = content.encode() if isinstance(content, str) else content
    with open(path, 'wb') as f:
        f.write(data)
    os.chmod(path, mode)


def ended(status):
    if os.WIFSIGNALED(status):
        return f'killed by signal {os.WTERMSIG(status)}'
    return f'exit {os.WEXITSTATUS(status)}'


class Lab:
    def __init__(self, run, conf, loop):
        self.run = run
        self.conf = conf
        self.loop = loop
        self.changed = asyncio.Event()
        self.tasks = set()
        self.groups = [{} for _ in range(conf['nets'])]
        self.authkey = os.urandom(128)
        self.hosts = {}
        self.san = None
        self.logfile = open(f'{run}/lab.log', 'a', buffering=1)
        self.ending = False

    def log(self, text):
        now = time.time()
        stamp = time.strftime('%H:%M:%S', time.gmtime(now))
        self.logfile.write(f'{stamp}.{int(now * 1000) % 1000:03d} {text}\n')

    def spawn(self, coroutine):
        task = self.loop.create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.task_done)

    def task_done(self, task):
        self.tasks.discard(task)
        if not task.cancelled() and task.exception():
            self.log(f'internal: {task.exception()!r}')

    def notify(self):
        self.changed.set()
        self.changed = asyncio.Event()

    async def until(self, condition, timeout_s, what):
        deadline = self.loop.time() + timeout_s
        while not condition():
            event = self.changed
            left = deadline - self.loop.time()
            if left <= 0:
                raise Refused(f'not within {timeout_s:g} s: {what}')
            try:
                await asyncio.wait_for(event.wait(), left)
            except asyncio.TimeoutError:
                pass

    # -- building

    def build(self):
        for net in range(self.conf['nets']):
            self.make_bridge(net, 0)
        write(f'{self.run}/hosts.txt', labconf.hosts_file(self.conf))
        os.makedirs(f'{self.run}/guest/shared', exist_ok=True)
        if self.conf['san']:
            self.san = labsan.San(self.conf['san_program'], f'{self.run}/san.log', self.conf['san'] << 20)
        template = f'{self.run}/disk.template'
        with open(template, 'wb') as f:
            f.truncate(TEMPLATE_MB << 20)
        subprocess.run(['mkfs.ext4', '-q', '-m', '0', '-J', 'size=4', '-O', '^resize_inode', '-E',
                        'lazy_itable_init=0', template], check=True, stdout=subprocess.DEVNULL)
        for n in range(1, self.conf['hosts'] + 1):
            host = Host(self, n)
            host.prepare(template)
            self.hosts[host.name] = host
        os.unlink(template)
        os.symlink('bin/labinit', f'{self.run}/guest/fence')

    def make_bridge(self, net, group):
        name = labconf.bridge(net, group)
        if subprocess.run(['ip', 'link', 'show', name], capture_output=True).returncode == 0:
            return
        ip_batch([f'link add {name} type bridge stp_state 0 forward_delay 0 mcast_snooping 0', f'link set {name} up'])

    # -- networks

    def apply_groups(self, hosts, nets=None):
        lines = []
        for net in range(self.conf['nets']) if nets is None else nets:
            for host in hosts:
                if host.state == 'up':
                    group = labconf.bridge(net, self.groups[net].get(host.n, 0))
                    lines.append(f'link set {labconf.port(host.n, net)} master {group}')
        if lines:
            ip_batch(lines, force=True)  # the port of a host that dies right now is gone

    def nets_of(self, request):
        net = request.get('net')
        if net is None:
            return range(self.conf['nets'])
        if not 0 <= net < self.conf['nets']:
            raise Refused(f'there is no network {net}; this lab has {self.conf["nets"]}, numbered from 0')
        return [net]

    async def cut(self, request, _reply):
        groups = [[self.host(name) for name in group] for group in request['groups']]
        named = [h for group in groups for h in group]
        if len({h.n for h in named}) != len(named):
            raise Refused('a host can be in one group only')
        table = {h.n: g for g, group in enumerate(groups, 1) for h in group}
        nets = self.nets_of(request)
        for net in nets:
            for g in range(1, len(groups) + 1):
                self.make_bridge(net, g)
            self.groups[net] = dict(table)
        self.apply_groups(self.hosts.values(), nets)
        self.log(f'cut {request["groups"]} on networks {list(nets)}')

    async def heal(self, request, _reply):
        nets = self.nets_of(request)
        for net in nets:
            self.groups[net] = {}
        self.apply_groups(self.hosts.values(), nets)
        self.log(f'healed networks {list(nets)}')

    # -- hosts

    def host(self, name):
        name = labconf.host_name(int(name)) if str(name).isdigit() else name
        if name not in self.hosts:
            raise Refused(f'there is no host {name}; this lab has node1..node{self.conf["hosts"]}')
        return self.hosts[name]

    def hosts_of(self, request):
        names = request.get('hosts') or []
        return list(self.hosts.values()) if not names or names == ['all'] else [self.host(n) for n in names]

    async def boot(self, request, reply):
        """The first boot. Whoever asked may die meanwhile: then nobody wants the lab."""
        await self.on({}, reply)
        await reply({'progress': f'{len(self.hosts)} hosts are running'})

    async def on(self, request, _reply):
        hosts = self.hosts_of(request)
        await asyncio.gather(*(h.on() for h in hosts))
        await self.until(lambda: not any(h.state == 'booting' for h in hosts), BOOT_TIMEOUT_S, 'booted')
        self.check_booted(hosts)

    @staticmethod
    def check_booted(hosts):
        for h in hosts:
            if h.state == 'off':
                with open(f'{h.dir}/log/boot.out') as f:
                    raise Refused(f'{h.name} did not boot: {f.read().strip()[-500:] or "it was switched off meanwhile"}')

    async def off(self, request, _reply):
        await asyncio.gather(*(h.off('asked') for h in self.hosts_of(request)))

    async def reboot(self, request, _reply):
        await self.off(request, _reply)
        await self.on(request, _reply)

    async def fence(self, request, _reply):
        host = self.host(request['host'])
        if not self.conf['fence']:
            raise Refused('this lab has no fence device (lab up --fence)')
        self.log(f'fence asked for {host.name}')
        was_off = host.state == 'off'
        await host.off('fenced')
        if self.conf['fence'] == 'reboot' and not was_off:
            self.spawn(host.on())

    async def kill(self, request, _reply):
        host, process = self.host(request['host']), request['process']
        if process == 'all':
            await host.off('killed')
            return
        pid = host.services.get(process)
        host.signal(process, signal.SIGKILL)
        self.log(f'{host.name} kill -9 {process}')
        if pid and not host.stopped:  # who looks next must see it gone; a host that is stopped whole tells nothing
            await self.until(lambda: host.state != 'up' or host.stopped or host.services.get(process) != pid, OFF_TIMEOUT_S,
                             f'{process} ended')

    async def stop(self, request, _reply):
        host, process = self.host(request['host']), request.get('process') or 'all'
        if process != 'all':
            pids = host.signal(process, signal.SIGSTOP)
            host.frozen.add(process)
        else:
            pids = host.freeze()
        if not pids:
            raise Refused(f'{host.name} is {host.state}')
        self.log(f'{host.name} SIGSTOP {process}')
        deadline = self.loop.time() + STOP_TIMEOUT_S
        while not all(stands(pid) for pid in pids):
            if self.loop.time() > deadline:
                raise Refused(f'not within {STOP_TIMEOUT_S} s: {process} of {host.name} stands still')
            await asyncio.sleep(STOP_POLL_S)

    async def cont(self, request, _reply):
        host, process = self.host(request['host']), request.get('process') or 'all'
        host.signal(None if process == 'all' else process, signal.SIGCONT)
        host.frozen.discard(process)
        if process == 'all':
            host.stopped, host.frozen = False, set()
        self.log(f'{host.name} SIGCONT {process}')

    async def restart(self, request, _reply):
        """Ends a service (TERM; KILL when it does not go) and starts it again."""
        host, service = self.host(request['host']), request['process']
        if service not in labconf.SERVICES or not os.path.exists(f'{host.dir}/services/{service}'):
            raise Refused(f'{service} is not a service of this lab')
        if host.state != 'up':
            raise Refused(f'{host.name} is {host.state}')
        if host.services.get(service):
            try:
                host.signal(service, signal.SIGTERM)
            except Refused:
                pass  # killed a moment ago: the news of its end is on the way
            try:
                await self.until(lambda: not host.services.get(service), request.get('timeout') or 20, 'ended')
            except Refused:
                self.log(f'{host.name} {service} did not end, killing it')
                host.signal(service, signal.SIGKILL)
                await self.until(lambda: not host.services.get(service), OFF_TIMEOUT_S, f'{service} ended')
        self.log(f'{host.name} start {service}')
        host.start(service)
        await self.until(lambda: host.services.get(service), OFF_TIMEOUT_S, f'{service} started')

    # -- waiting and looking

    async def wait(self, request, _reply):
        condition, timeout_s = request['condition'], request.get('timeout') or 60
        hosts = self.hosts_of(request)
        process = request.get('process')
        names = {h.n for h in hosts}
        conditions = {
            'formed': lambda h: h.quorum and h.quorum[0] and set(h.quorum[2]) == names,
            'members': lambda h: h.quorum and set(h.quorum[2]) == names,
            'quorate': lambda h: h.quorum and h.quorum[0],
            'inquorate': lambda h: not h.quorum or not h.quorum[0],
            'up': lambda h: h.services.get(process) if process else h.state == 'up',
            'down': lambda h: not h.services.get(process) if process else h.state == 'off',
            'armed': lambda h: h.dog_timeout > 0,
            'fired': lambda h: h.dog_fired > (request.get('than') or 0),
        }
        if condition not in conditions:
            raise Refused(f'unknown condition {condition}; there are: {", ".join(conditions)}')
        check = conditions[condition]
        try:
            await self.until(lambda: all(check(h) for h in hosts), timeout_s, condition)
        except Refused as e:
            missing = [f'{h.name} ({h.state}, sees {h.quorum})' for h in hosts if not check(h)]
            raise Refused(f'{e}; not so on {", ".join(missing)}') from None

    async def status(self, _request, reply):
        await reply({'hosts': [h.describe() for h in self.hosts.values()], 'conf': self.conf})

    async def down(self, _request=None, _reply=None):
        self.ending = True
        await self.until(self.all_killed, OFF_TIMEOUT_S, 'hosts ended')
        self.loop.call_soon(self.loop.stop)

    def all_killed(self):
        """Kills what lives; asked again after every event, so a host that was just about to boot is met too."""
        for h in self.hosts.values():
            if h.init_pid and h.state in ('up', 'booting'):
                h.cut_power()
        return all(h.state == 'off' for h in self.hosts.values())

    # -- requests

    COMMANDS = ('boot', 'on', 'off', 'reboot', 'fence', 'kill', 'stop', 'cont', 'restart', 'cut', 'heal', 'wait', 'status',
                'down')

    async def serve(self, reader, writer):
        async def reply(obj):
            writer.write(json.dumps(obj).encode() + b'\n')
            await writer.drain()
        try:
            request = json.loads(await reader.readline() or '{}')
            command = request.get('cmd')
            if command not in self.COMMANDS:
                raise Refused(f'unknown command {command}')
            client = self.loop.create_task(self.watch_client(reader)) if command == 'boot' else None
            await getattr(self, command)(request, reply)
            await reply({'ok': True})
            if client:
                await client
        except (Refused, OSError, ValueError, KeyError, subprocess.CalledProcessError) as e:
            try:
                await reply({'error': str(e) if isinstance(e, Refused) else repr(e)})
            except OSError:
                pass  # the one who asked is gone
        finally:
            writer.close()

    async def watch_client(self, reader):
        """`lab up` says "keep" when its user has the lab; a connection that ends before means that it was killed."""
        if await reader.readline() != b'keep\n' and not self.ending:
            self.log('lab up was interrupted')
            await self.down()

    def datagram(self, data):
        words = data.decode().split()
        host = self.hosts.get(words[0])
        if not host or host.state != 'up':
            return
        if words[1] == 'down':
            host.quorum = None
        else:
            members = [int(m) for m in words[4].split(',')] if len(words) > 4 else []
            host.quorum = (int(words[2]), words[3], members)
            if self.conf['clusterd'] and 'clusterd' not in host.services:
                host.services['clusterd'] = 0
                host.start('clusterd')
        self.log(' '.join(words))
        self.notify()


def ip_batch(lines, force=False):
    subprocess.run(['ip', *(['-force'] if force else []), '-batch', '-'], input='\n'.join(lines) + '\n', text=True,
                   check=not force)


class Events(asyncio.DatagramProtocol):
    def __init__(self, lab):
        self.lab = lab

    def datagram_received(self, data, _addr):
        self.lab.datagram(data)


async def watch_owner(lab, pid):
    """Ends the lab with the process that wanted it."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        await lab.down()
        return
    event = asyncio.Event()
    lab.loop.add_reader(fd, event.set)
    await event.wait()
    lab.loop.remove_reader(fd)
    os.close(fd)
    lab.log(f'owner {pid} ended')
    await lab.down()


async def start(lab):
    lab.build()
    events = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    events.bind(f'{lab.run}/guest/events')
    await lab.loop.create_datagram_endpoint(lambda: Events(lab), sock=events)
    await asyncio.start_unix_server(lab.serve, f'{lab.run}/guest/server')
    if lab.conf['owner']:
        lab.spawn(watch_owner(lab, lab.conf['owner']))
    for sig in (signal.SIGTERM, signal.SIGINT):
        lab.loop.add_signal_handler(sig, lambda: lab.spawn(lab.down()))


def main():
    run, lock_fd, ready_fd = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with open(f'{run}/config.json') as f:
        conf = json.load(f)
    fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # inherited: held as long as the lab lives
    os.set_inheritable(lock_fd, False)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    watcher = asyncio.PidfdChildWatcher()
    watcher.attach_loop(loop)
    asyncio.set_child_watcher(watcher)
    lab = Lab(run, conf, loop)
    loop.run_until_complete(start(lab))
    os.write(ready_fd, b'k')
    os.close(ready_fd)
    loop.run_forever()
    if lab.san:
        lab.san.close()
    shutil.rmtree(run)


if __name__ == '__main__':
    main()
