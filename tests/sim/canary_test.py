#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Each check of the simulator can fail: with each planted bug, one of the invariants that should notice it does."""
import json
import os
import subprocess
import sys

SEEDS = int(os.environ.get("CANARY_SEEDS", "600"))
TOP = os.environ.get("top_builddir", ".")
SIM = os.path.join(TOP, "tests/sim/sim_canary")


def check(name, found_by, bug):
    command = [SIM, "--canary", name, "--seeds", f"1..{SEEDS}", "--jobs", "2", "--json"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        account = json.loads(run.stdout)
    except ValueError:
        print(f"FAIL: {name}: no account: {run.stderr}")
        return False
    found = account["failures"][0] if account["failures"] else None
    if found and found["invariant"] in found_by:
        print(f"ok    {name}: {found['invariant']} in seed {found['seed']} ({account['seeds']} run): {bug}")
        return True
    what = f"{found['invariant']} in seed {found['seed']}: {found['text']}" if found else f"nothing in {SEEDS} seeds"
    print(f"FAIL: {name} ({bug}): expected one of {' '.join(found_by)}, found {what}\nrepeat with: {' '.join(command)}")
    return False


rows = [line.split("\t") for line in subprocess.run([SIM, "--canaries"], capture_output=True, text=True, check=True).stdout.splitlines()]
only = sys.argv[1:]
results = [check(name, found_by.split(), bug) for name, found_by, bug in rows if not only or name in only]
if not results:
    sys.exit("FAIL: there are no canaries")
print(f"{sum(results)} of {len(results)} planted bugs are found")
sys.exit(0 if all(results) else 1)
