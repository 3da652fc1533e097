#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Each check of the volume's simulation can fail: with each planted bug, one of the invariants that should notice it does."""
import os
import re
import subprocess
import sys

SEEDS = int(os.environ.get("CANARY_SEEDS", "300"))
TOP = os.environ.get("top_builddir", ".")
SIM = os.path.join(TOP, "tests/sim/sim_volume_canary")


def check(name, found_by, bug):
    # One bug often breaks several invariants: those that are named must be among the first failures.
    found = []
    for command in [SIM, "--canary", name, "--seeds", f"1..{SEEDS}"], [SIM, "--canary", name, "--seeds", "1..40", "--keep-going"]:
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        found = re.findall(r"^seed (\d+): (\S+) violated: (.*)$", run.stdout, re.M)
        for seed, invariant, _ in found:
            if invariant in found_by:
                print(f"ok    {name}: {invariant} in seed {seed}: {bug}")
                return True
    what = "; ".join(f"{f[1]} in seed {f[0]}: {f[2]}" for f in found[:3]) or f"nothing in {SEEDS} seeds, exit code {run.returncode}"
    print(f"FAIL: {name} ({bug}): expected one of {' '.join(found_by)}, found {what}\nrepeat with: {' '.join(command)}")
    return False


rows = [line.split("\t") for line in subprocess.run([SIM, "--canaries"], capture_output=True, text=True, check=True).stdout.splitlines()]
only = sys.argv[1:]
results = [check(name, found_by.split(), bug) for name, found_by, bug in rows if not only or name in only]
if not results:
    sys.exit("FAIL: there are no canaries")
print(f"{sum(results)} of {len(results)} planted bugs are found")
sys.exit(0 if all(results) else 1)
