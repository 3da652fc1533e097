# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast agents are run: from a request to their exec, operations per second."""
MINUTES = 0.3


def run(b):
    b.program('bench_agents', b.choose(3, 1))
