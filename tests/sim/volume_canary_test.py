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
    command = [SIM, "--canary", name, "--seeds", f"1..{SEEDS}"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"^seed (\d+): (\S+) violated: (.*)$", run.stdout, re.M)
    if found and found[2] in found_by:
        print(f"ok    {name}: {found[2]} in seed {found[1]}: {bug}")
        return True
    what = f"{found[2]} in seed {found[1]}: {found[3]}" if found else f"nothing in {SEEDS} seeds, exit code {run.returncode}"
    print(f"FAIL: {name} ({bug}): expected one of {' '.join(found_by)}, found {what}\nrepeat with: {' '.join(command)}")
    return False


rows = [line.split("\t") for line in subprocess.run([SIM, "--canaries"], capture_output=True, text=True, check=True).stdout.splitlines()]
only = sys.argv[1:]
results = [check(name, found_by.split(), bug) for name, found_by, bug in rows if not only or name in only]
if not results:
    sys.exit("FAIL: there are no canaries")
print(f"{sum(results)} of {len(results)} planted bugs are found")
sys.exit(0 if all(results) else 1)
