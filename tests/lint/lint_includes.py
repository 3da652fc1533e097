#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Arrows point one way: include <- proto <- clusterd/core <- clusterd/io <- programs; clusterctl does not know io."""
import os
import re

import lint_tree

BASE = ["include"]
# What both ends of the control socket must agree on: the one header of the daemon that its adapters and clusterctl see.
CONTROL = "clusterd/control_wire.h"
# How csvfs is started and found again: clusterd does so for each volume, as the agent does for csvfs-owner.
VOLUME_PROCESS = "csvfs/io/volume_process.h"
ALLOWED = {
    "include": BASE,
    "proto": BASE + ["proto"],
    "clusterd/core": BASE + ["proto", "clusterd/core"],
    "clusterd/io": BASE + ["proto", "clusterd/core", "clusterd/io", CONTROL],
    "clusterd/ctl": BASE + ["proto", "clusterd/core", "clusterd/ctl", CONTROL],
    "csvfs/core": BASE + ["proto", "csvfs/core"],
    "csvfs/io": BASE + ["proto", "csvfs/core", "csvfs/io"],
    "csvfs/fuse": BASE + ["proto", "csvfs/core", "csvfs/io", "csvfs/fuse"],
    "csvfs/owner": BASE + ["proto", "csvfs/core", "csvfs/io", "csvfs/owner"],
    "csvfs/admin": BASE + ["proto", "csvfs/core", "csvfs/io", "csvfs/admin"],
    "agents": BASE + ["proto", "csvfs/core", "csvfs/io", "agents"],
    "clusterd": BASE + ["proto", "clusterd/core", "clusterd/io", "clusterd", VOLUME_PROCESS],
    "tests": BASE + ["proto", "clusterd/core", "clusterd/io", "clusterd/ctl", "clusterd", "csvfs/core", "csvfs/io",
                     "csvfs/fuse", "csvfs/owner", "csvfs/admin", "agents", "tests"],
}
# What the pure layers may ask of the system: types, strings, formatting, and functions of their arguments alone
# (of syslog.h the names of the levels). Calls are looked at by lint_pure.sh.
PURE = {"proto", "clusterd/core", "csvfs/core"}
PURE_HEADERS = {"assert.h", "ctype.h", "errno.h", "inttypes.h", "limits.h", "stdarg.h", "stdbool.h", "stddef.h", "stdint.h",
                "stdio.h", "stdlib.h", "string.h", "syslog.h", "xxhash.h", "zlib.h"}


def layer_of(path):
    folder = os.path.dirname(path)
    while folder and folder not in ALLOWED:
        folder = os.path.dirname(folder)
    return folder


errors = []
sources = lint_tree.files(".c", ".h", ".def")
for path in sources:
    layer = layer_of(path)
    if not layer:
        errors.append(f"{path}: is in no layer: add its directory to ALLOWED in tests/lint/lint_includes.py")
        continue
    for number, line in enumerate(lint_tree.read(path).splitlines(), 1):
        match = re.match(r'\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)', line)
        if not match:
            continue
        quoted, system = match.groups()
        if system:
            if layer in PURE and system not in PURE_HEADERS:
                errors.append(f"{path}:{number}: <{system}> in {layer}, which has no I/O")
            continue
        target = quoted if "/" in quoted else "include/" + quoted
        if not os.path.exists(os.path.join(lint_tree.TOP, target)):
            errors.append(f'{path}:{number}: "{quoted}" is neither in include/ nor a path from the top directory')
        elif layer_of(target) not in ALLOWED[layer] and target not in ALLOWED[layer]:
            errors.append(f"{path}:{number}: {layer} must not include {target}")
lint_tree.verdict(errors, len(sources), "include graph")
