# SPDX-License-Identifier: GPL-2.0-or-later
"""The client of tests/csvfs/csvsan: one disk, and to each host a path of its own that can fail."""
import subprocess

from labctl import LabError


class San:
    """One disk of `size` bytes; attach() gives a path to it, a loop device of its own. It ends with this process."""

    def __init__(self, program, log, size, sector=512):
        self.process = subprocess.Popen([program, str(size), str(sector), log], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        self.log = log
        self.read('start')

    def read(self, what):
        words = self.process.stdout.readline().split()
        if words[:1] != ['ok']:
            raise LabError(f'SAN: {what}: {" ".join(words) or "it is gone"}')
        return words[1:]

    def ask(self, *words):
        self.process.stdin.write(' '.join(str(w) for w in words) + '\n')
        self.process.stdin.flush()
        return self.read(' '.join(str(w) for w in words))

    def attach(self, name):
        major, minor = self.ask('attach', name)
        return int(major), int(minor)

    def mode(self, name, mode):
        self.ask('mode', name, mode)

    def refused(self, name):
        return int(self.ask('stat', name)[3])

    def close(self):
        self.process.stdin.close()
        self.process.wait()
