#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Form of the sources: license line, tabs, columns, a thousand lines a file, one name once in the tree."""
import os
import re

import lint_tree

LINES_MAX = 1000
COLUMNS_MAX = 132  # 120 is what to write for; tables (.def) are one row a line, whatever its length
TAB = 8
CODE = (".c", ".h", ".def")
SCRIPT = (".py", ".sh", ".mk", ".ac", ".am", ".m4", ".bash")
SEVERAL = {"local.mk"}  # one in each directory

errors = []
sources = sorted(set(lint_tree.files(*CODE, *SCRIPT) + lint_tree.shell_scripts()))
places = {}
for path in sources:
    text = lint_tree.read(path)
    lines = text.splitlines()
    name = os.path.basename(path)
    if "SPDX-License-Identifier: GPL-2.0-or-later" not in "\n".join(lines[:3]):
        errors.append(f"{path}:1: no SPDX-License-Identifier: GPL-2.0-or-later in the first lines")
    if len(lines) > LINES_MAX:
        errors.append(f"{path}: {len(lines)} lines: over {LINES_MAX}, a room is missing")
    if text and not text.endswith("\n"):
        errors.append(f"{path}:{len(lines)}: no newline at the end")
    for number, line in enumerate(lines, 1):
        if line != line.rstrip():
            errors.append(f"{path}:{number}: white space at the end of the line")
        if re.search(r"\b(TODO|FIXME)\b", line) and not path.startswith("tests/lint/"):
            errors.append(f"{path}:{number}: what is missing belongs into the issue tracker")
        if path.endswith(CODE):
            if line.startswith("  ") or re.match(r"\t* +\t", line):
                errors.append(f"{path}:{number}: indented with spaces")
            if not path.endswith(".def") and len(line.expandtabs(TAB)) > COLUMNS_MAX:
                errors.append(f"{path}:{number}: over {COLUMNS_MAX} columns")
    if name not in SEVERAL:
        stem, extension = os.path.splitext(name)
        places.setdefault(stem + ".c/.h" if extension in CODE else name, set()).add(
            (os.path.dirname(path), stem) if extension in CODE else path)
for name, where in sorted(places.items()):
    if len(where) > 1:
        errors.append(f"{name}: the same name in {', '.join(sorted(str(w[0]) if isinstance(w, tuple) else w for w in where))}")
lint_tree.verdict(errors, len(sources), "style")
