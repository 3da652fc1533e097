# SPDX-License-Identifier: GPL-2.0-or-later
"""What the lints share: the files of the source tree, what the local.mk files list, and how a verdict is printed."""
import os
import re
import sys

TOP = os.environ.get("top_srcdir") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("top_builddir") or TOP
GENERATED = {"__pycache__", "aclocal.m4", "autom4te.cache", "build-aux", "config.log", "config.status", "configure", "fuzz.d",
             "Makefile", "Makefile.in"}


def files(*suffixes, under=""):
    """Paths relative to the top, sorted; build trees inside the source tree are left out."""
    found = []
    for folder, folders, names in os.walk(os.path.join(TOP, under)):
        folders[:] = sorted(d for d in folders if d not in GENERATED and not d.startswith(".")
                            and not d.startswith("clusterd-") and "config.status" not in os.listdir(os.path.join(folder, d)))
        for name in sorted(names):
            if name in GENERATED or name.endswith("~"):
                continue
            if not suffixes or name.endswith(suffixes):
                found.append(os.path.relpath(os.path.join(folder, name), TOP))
    return found


def read(path):
    with open(os.path.join(TOP, path), encoding="utf-8", errors="replace") as f:
        return f.read()


def shell_scripts():
    """Every file that a shell runs, by name or by first line."""
    found = []
    for path in files():
        if path.endswith((".sh", ".bash")):
            found.append(path)
        elif "." not in os.path.basename(path):
            with open(os.path.join(TOP, path), "rb") as f:
                if re.match(rb"#! ?/(usr/)?bin/(env )?(ba)?sh\b", f.readline()):
                    found.append(path)
    return found + [".ci/run"]


def listed():
    """The words of Makefile.am and of every local.mk."""
    words = set()
    for path in ["Makefile.am"] + files("local.mk"):
        words.update(read(path).split())
    return words


def verdict(errors, checked, what):
    """Prints the findings and ends the test; nothing looked at is a failure too."""
    for error in errors:
        print(error)
    if not checked:
        print("nothing to check: is top_srcdir right?")
    print(f"{what}: {checked} checked, {len(errors)} findings")
    sys.exit(1 if errors or not checked else 0)
