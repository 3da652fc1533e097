#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What clusterctl prints, tables and JSON, on a canned state: tests/golden/ctl. --write: write the expectations anew."""
import json
import os
import shlex
import subprocess
import sys
import tempfile

TOP = os.environ.get("top_srcdir") or os.path.join(os.path.dirname(__file__), "../..")
BUILD = os.environ.get("top_builddir", TOP)
CASES = os.path.join(TOP, "tests/golden/ctl")
CTL = os.path.join(BUILD, "clusterd/ctl/clusterctl")


def run(arguments, folder):
    words = shlex.split(arguments)
    if "--state" not in words:
        words += ["--state", "canned"]
    env = dict(os.environ, TZ="UTC", LC_ALL="C.UTF-8", NO_COLOR="1")
    got = subprocess.run([CTL, *words], capture_output=True, text=True, check=False, timeout=60, cwd=folder, env=env)
    if "--json" in words and got.stdout:
        json.loads(got.stdout)
    return f"{got.stdout}{got.stderr}exit {got.returncode}\n"


def main():
    failed = 0
    with open(os.path.join(CASES, "cases"), encoding="utf-8") as f:
        cases = [line.rstrip("\n").split(": ", 1) for line in f if line.strip() and not line.startswith("#")]
    with tempfile.TemporaryDirectory(prefix="clusterd-test.") as folder:
        subprocess.run([os.path.join(BUILD, "tests/unit/ctl_canned"), f"{folder}/canned"], check=True)
        for variant in ("many", "lost", "volumes", "trouble"):
            subprocess.run([os.path.join(BUILD, "tests/unit/ctl_canned"), f"{folder}/{variant}", variant], check=True)
        for name, arguments in cases:
            path = os.path.join(CASES, f"{name}.txt")
            got = run(arguments, folder)
            if "--write" in sys.argv:
                with open(path, "w", encoding="utf-8") as f:
                    f.write(got)
                continue
            try:
                with open(path, encoding="utf-8") as f:
                    wanted = f.read()
            except FileNotFoundError:
                wanted = ""
            if got != wanted:
                failed += 1
                print(f"FAIL: clusterctl {arguments}: differs from tests/golden/ctl/{name}.txt; it printed:\n{got}", file=sys.stderr)
    extra = {f for f in os.listdir(CASES) if f.endswith(".txt")} - {f"{name}.txt" for name, _ in cases}
    for name in sorted(extra):
        failed += 1
        print(f"FAIL: tests/golden/ctl/{name} belongs to no case", file=sys.stderr)
    if failed:
        print("repeat with: make check TESTS=tests/unit/test_ctl_golden.py", file=sys.stderr)
    print(f"{len(cases)} cases, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
