#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Nothing is forgotten: every source and test is in a local.mk, every fuzz target has inputs, every program a manual."""
import os

import lint_tree

errors = []
listed = lint_tree.listed()
sources = lint_tree.files(".c", ".h", ".def", under="include") + lint_tree.files(".c", ".h", ".def", under="proto")
sources += lint_tree.files(".c", ".h", ".def", ".8", ".5", ".1", ".bash", ".in", under="clusterd")
sources += lint_tree.files(".c", ".h", ".7", under="agents")
sources += lint_tree.files(".c", ".h", ".def", ".py", ".sh", under="tests")


def is_listed(path):
    """By its name, as the default source of a program, or by a directory above it."""
    if path in listed or (path.endswith(".c") and path[:-2] in listed):
        return True
    folder = os.path.dirname(path)
    while folder:
        if folder in listed:
            return True
        folder = os.path.dirname(folder)
    return False


for path in sources:
    if not is_listed(path):
        errors.append(f"{path}: in no local.mk, so neither built nor tested nor distributed")

fuzzers = {os.path.basename(p)[:-2] for p in lint_tree.files(".c", under="tests/fuzz") if os.path.basename(p).startswith("fuzz_")}
corpus = os.path.join(lint_tree.TOP, "tests/fuzz/corpus")
inputs = {d for d in os.listdir(corpus) if os.path.isdir(os.path.join(corpus, d))}
for name in sorted(fuzzers - inputs):
    errors.append(f"tests/fuzz/{name}.c: no inputs in tests/fuzz/corpus/{name}/")
for name in sorted(inputs - fuzzers):
    errors.append(f"tests/fuzz/corpus/{name}: no target tests/fuzz/{name}.c reads it")

pages = {os.path.basename(p).rsplit(".", 1)[0] for p in listed if p.endswith((".1", ".8"))}
for program in os.environ.get("INSTALLED_PROGRAMS", "").split():
    if os.path.basename(program) not in pages:
        errors.append(f"{program}: is installed without a manual page: add one to dist_man_MANS")
lint_tree.verdict(errors, len(sources), "registered")
