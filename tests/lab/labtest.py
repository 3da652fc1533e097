# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests that use labs share: a lab of their own that ends with them, checks, and a repro line."""
import contextlib
import os
import sys
import time
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import labctl  # noqa: E402

SKIP = 77  # automake: not run
failures = []


def check(condition, text):
    """Notes a failure with the line of the caller and goes on."""
    if not condition:
        frame = sys._getframe(1)
        failures.append(text)
        print(f'{frame.f_code.co_filename}:{frame.f_lineno}: FAILED: {text}', flush=True)
    return condition


def check_equal(got, want, what):
    if got != want:
        frame = sys._getframe(1)
        failures.append(what)
        print(f'{frame.f_code.co_filename}:{frame.f_lineno}: FAILED: {what}: got {got!r}, want {want!r}', flush=True)
    return got == want


def eventually(condition, timeout_s, what, pause_s=0.02):
    """For what has no event to wait for."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise labctl.LabError(f'not within {timeout_s} s: {what}')
        time.sleep(pause_s)
    return value


@contextlib.contextmanager
def lab(hosts, label='', **options):
    """A lab whose name is this process's; a failing test shows its log."""
    one = labctl.Lab(f'test-{os.getpid()}{label}')
    options.setdefault('clusterd', False)
    one.up(hosts, owner=os.getpid(), **options)
    try:
        yield one
    except (Exception, KeyboardInterrupt):
        with contextlib.suppress(OSError), open(f'{one.run}/lab.log') as f:
            print(f'log of the lab:\n{f.read()}', flush=True)
        raise
    finally:
        with contextlib.suppress(labctl.LabError):
            one.down()


def main(*tests, needs_root=True):
    """Runs the functions, or those named on the command line; exit code for automake."""
    chosen = sys.argv[1:]
    if needs_root and os.geteuid() != 0:
        print('needs root')
        sys.exit(SKIP)
    for test in [t for t in tests if not chosen or t.__name__ in chosen]:
        before = len(failures)
        start = time.monotonic()
        try:
            test()
        except Exception:  # the next function is a test of its own
            traceback.print_exc(file=sys.stdout)
            failures.append(test.__name__)
        verdict = 'ok' if len(failures) == before else 'FAILED'
        print(f'{verdict}: {test.__name__} ({time.monotonic() - start:.1f} s)', flush=True)
    if failures:
        print(f'repeat with: sudo {sys.executable} {" ".join(sys.argv)}')
    sys.exit(1 if failures else 0)
