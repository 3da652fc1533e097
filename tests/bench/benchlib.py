# SPDX-License-Identifier: GPL-2.0-or-later
"""What benchmarks share: figures with their spread and verdict, labs that always end, programs that print figures."""
import contextlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time

sys.dont_write_bytecode = True
SRCDIR = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(SRCDIR), 'lab'))
import labctl  # noqa: E402

POLL_S = 0.02  # for what has no event to wait for; long enough not to disturb what is measured


class Unavailable(Exception):
    """This benchmark cannot run here; the text says what is missing."""


class Figure:
    """One number with how it was got. The value is the median of the samples."""

    def __init__(self, bench, name, samples, unit, target=None, less=True, note=''):
        self.bench, self.name, self.unit, self.target, self.less, self.note = bench, name, unit, target, less, note
        self.samples = [float(s) for s in (samples if isinstance(samples, (list, tuple)) else [samples])]
        self.value = statistics.median(self.samples)
        self.load = os.getloadavg()[0]  # a figure got on a busy machine says so

    def verdict(self):
        if self.target is None:
            return 'ok'
        return 'ok' if (self.value <= self.target if self.less else self.value >= self.target) else 'short'

    def line(self):
        target = '-' if self.target is None else number(self.target)
        return f'{self.name} {number(self.value)} {self.unit} {target} {self.verdict()}'

    def as_json(self):
        return {'name': self.name, 'bench': self.bench, 'value': self.value, 'unit': self.unit, 'target': self.target,
                'better': 'less' if self.less else 'more', 'verdict': self.verdict(), 'min': min(self.samples),
                'max': max(self.samples), 'samples': self.samples, 'load': self.load, 'note': self.note}


def number(value):
    """Three digits that matter, no exponent."""
    return f'{value:.0f}' if abs(value) >= 100 or value == int(value) else f'{value:.3g}'


class Run:
    """What one benchmark is given."""

    def __init__(self, name, figures, quick, builddir):
        self.name, self.figures, self.quick, self.builddir = name, figures, quick, builddir

    def figure(self, name, samples, unit, target=None, less=True, note=''):
        """Prints the figure and keeps it. `less`: the target is a ceiling, else a floor."""
        f = Figure(self.name, f'{self.name}.{name}', samples, unit, target, less, note)
        self.figures.append(f)
        print(f.line(), flush=True)
        spread = f'{len(f.samples)} samples {number(min(f.samples))} .. {number(max(f.samples))}' if f.samples[1:] else ''
        if spread or note:
            self.say(f'    {"; ".join(filter(None, (note, spread)))}')
        return f.value

    def say(self, text):
        """Progress, beside the figures."""
        print(text, file=sys.stderr, flush=True)

    def has_peer(self, commands):
        """Whether a peer (command -> Debian package) is installed; without it ours is measured alone."""
        missing = sorted({package for command, package in commands.items() if not shutil.which(command)})
        if missing:
            self.say(f'  {self.name}: ours alone; for the peer: apt-get install {" ".join(missing)}')
        return not missing

    def choose(self, full, quick):
        return quick if self.quick else full

    def tool(self, name):
        path = f'{self.builddir}/tests/bench/{name}'
        if not os.access(path, os.X_OK):
            raise Unavailable(f'{path} is not built: make {os.path.relpath(path, self.builddir)}')
        return path

    def program(self, name, times=1):
        """A program that prints "name value unit target verdict" lines; run several times, a figure has several samples."""
        argv = [sys.executable, '-B', f'{SRCDIR}/{name}'] if name.endswith('.py') else [self.tool(name)]
        env = {'top_srcdir': os.path.dirname(os.path.dirname(SRCDIR)), 'top_builddir': self.builddir, **os.environ}
        found = {}
        for _ in range(times):
            for line in subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True, env=env).stdout.splitlines():
                words = line.split()
                if len(words) == 5:
                    found.setdefault(words[0], []).append(words[1:])
        for figure, rows in found.items():
            target = None if rows[0][2] in ('-', '0') else float(rows[0][2])
            samples = [float(r[0]) for r in rows]
            ok = rows[0][3] == 'ok'
            less = target is None or (samples[0] <= target) == ok
            self.figure(figure.partition('.')[2] or figure, samples, rows[0][1], target, less)

    @contextlib.contextmanager
    def lab(self, hosts, label='', **options):
        """A lab that ends with this block, and with this process however that ends; our tools are in its /run/lab/bin."""
        if os.geteuid() != 0:
            raise Unavailable('the lab makes namespaces: run as root')
        one = labctl.Lab(f'bench-{os.getpid()}{label}')
        one.up(hosts, owner=os.getpid(), bindir=self.builddir, **options)
        try:
            for tool in ('bench_stamp', 'bench_spawn', 'bench_changes'):
                shutil.copy(self.tool(tool), f'{one.run}/guest/bin/')
            yield one
        finally:
            with contextlib.suppress(labctl.LabError):
                one.down()


def eventually(condition, timeout_s, what):
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise labctl.LabError(f'not within {timeout_s} s: {what}')
        time.sleep(POLL_S)
    return value


def inside(lab, host, *argv, timeout=60):
    """Runs argv in the host; its output; raises LabError with what it said when it fails."""
    result = lab.exec(host, *argv, timeout=timeout)
    if result.returncode:
        raise labctl.LabError(f'{host}: {" ".join(argv)[:200]}: exit {result.returncode}: {(result.stderr or result.stdout).strip()}')
    return result.stdout


def load_line(text):
    """What bench_changes and bench_spawn print."""
    done, bad, seconds, p50, p99, worst = text.split()
    return {'rate': int(done) / float(seconds), 'failed': int(bad), 'p50_ms': int(p50) / 1000, 'p99_ms': int(p99) / 1000,
            'max_ms': int(worst) / 1000}


def wait_nodes_online(lab, hosts, timeout_s=120):
    """All nodes online for clusterd, as the first host sees it."""
    lab.ask('wait', condition='formed', timeout=timeout_s)

    def online():
        out = lab.exec('node1', 'clusterctl', '--json', 'node', 'list')
        return out.returncode == 0 and [n['state'] for n in json.loads(out.stdout)['nodes']].count('online') == hosts
    eventually(online, timeout_s, f'{hosts} nodes online')


class Stamps:
    """The lines that bench_stamp in the hosts of a lab appended since the last mark."""

    def __init__(self, lab):
        self.path = f'{lab.run}/guest/shared/stamps'
        self.offset = 0

    def mark(self):
        self.offset = os.path.getsize(self.path) if os.path.exists(self.path) else 0

    def all(self):
        """(word, host, what, ns) of each line."""
        with contextlib.suppress(FileNotFoundError), open(self.path) as f:
            f.seek(self.offset)
            return [(w[0], w[1], w[2], int(w[3])) for w in (line.split() for line in f) if len(w) == 4]
        return []

    def find(self, word, what=None, not_host=None, host=None):
        return [ns for w, h, x, ns in self.all() if w == word and what in (None, x) and h != not_host and host in (None, h)]


def cpu_model():
    with contextlib.suppress(OSError), open('/proc/cpuinfo') as f:
        for line in f:
            if line.startswith('model name'):
                return line.partition(':')[2].strip()
    return platform.machine()


def version_of(*argv):
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        out = subprocess.run(argv, capture_output=True, text=True, timeout=10).stdout
        return out.splitlines()[0].strip() if out else ''
    return ''


def machine():
    memory_kb = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') // 1024
    return {'cpu': cpu_model(), 'cores': os.cpu_count(), 'memory_mib': memory_kb // 1024, 'kernel': platform.release(),
            'load': list(os.getloadavg()), 'date': time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}


def versions(builddir):
    return {'clusterd': version_of(f'{builddir}/clusterd/clusterd', '--version'), 'corosync': version_of('corosync', '-v'),
            'pacemaker': version_of('pacemakerd', '--version'), 'python': platform.python_version()}
