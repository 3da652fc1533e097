#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The same question as bench_plan's, put to Pacemaker's scheduler: 63 nodes, one is lost, where do its resources go?

crm_simulate is given twice as many primitives each time until a run would take more than a minute. No probes, no fencing,
no constraints; cpu and memory as utilization, placement-strategy balanced. CPU time, so that other load does not count;
it includes reading the CIB, as crm_simulate cannot be asked for less. The second figure of each size is a run without a
loss: its scheduler computes everything anew each time.
"""
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile

NODES = 63
LIMIT_S = 60
SIZES = (250, 500, 1000, 2000, 4000, 8000)
CPU, MEMORY_MB = 12800, 1024 * 1024
FEATURES = "3.16.2"


def pair(owner, name, value):
    return f'<nvpair id="{owner}-{name}" name="{name}" value="{value}"/>'


def utilization(owner, cpu, memory_mb):
    return f'<utilization id="{owner}-u">{pair(owner, "cpu", cpu)}{pair(owner, "memory", memory_mb)}</utilization>'


def running(name, number):
    key = f"{number}:1:0:00000000-0000-0000-0000-000000000000"
    return (f'<lrm_resource id="{name}" class="ocf" provider="pacemaker" type="Dummy"><lrm_rsc_op id="{name}_last_0" '
            f'operation_key="{name}_start_0" operation="start" crm_feature_set="{FEATURES}" transition-key="{key}" '
            f'transition-magic="0:0;{key}" call-id="{number}" rc-code="0" op-status="0" interval="0"/></lrm_resource>')


def cib(size, lost):
    """A CIB of `size` primitives that all run, spread round robin; node `lost` (0: none) left in good order."""
    draw = random.Random(1)
    options = {"stonith-enabled": "false", "placement-strategy": "balanced", "enable-startup-probes": "false"}
    out = [f'<cib crm_feature_set="{FEATURES}" validate-with="pacemaker-3.0" admin_epoch="0" epoch="1" num_updates="0" '
           'have-quorum="1" dc-uuid="63"><configuration><crm_config><cluster_property_set id="o">',
           *(pair("o", name, value) for name, value in options.items()),
           "</cluster_property_set></crm_config><nodes>",
           *(f'<node id="{n}" uname="node{n}">{utilization(f"node{n}", CPU, MEMORY_MB)}</node>' for n in range(1, NODES + 1)),
           "</nodes><resources>",
           *(f'<primitive id="vm{i}" class="ocf" provider="pacemaker" type="Dummy">'
             f'{utilization(f"vm{i}", draw.randint(10, 99), draw.randint(512, 4607))}</primitive>' for i in range(1, size + 1)),
           "</resources><constraints/></configuration><status>"]
    for n in range(1, NODES + 1):
        there = ('in_ccm="false" crmd="offline" join="down" expected="down"' if n == lost else
                 'in_ccm="true" crmd="online" join="member" expected="member"')
        out.append(f'<node_state id="{n}" uname="node{n}" {there}><lrm id="{n}"><lrm_resources>')
        out.extend(running(f"vm{i}", i) for i in range(1, size + 1) if (i - 1) % NODES + 1 == n)
        out.append("</lrm_resources></lrm></node_state>")
    out.append("</status></cib>")
    return "".join(out)


def run(path, size, lost):
    """CPU seconds crm_simulate took, and what it said; None when it took longer than LIMIT_S."""
    with open(path, "w", encoding="ascii") as file:
        file.write(cib(size, lost))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        done = subprocess.run(["crm_simulate", "-x", path, "-R"], capture_output=True, text=True, check=False,
                              timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        return None, ""
    if done.returncode != 0:
        sys.exit(f"crm_simulate: exit status {done.returncode}: {done.stderr[-500:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def main():
    if not shutil.which("crm_simulate"):
        print("crm_simulate is not here: install pacemaker-cli-utils", file=sys.stderr)
        return 77
    with tempfile.TemporaryDirectory(prefix="clusterd-bench.") as folder:
        path = os.path.join(folder, "cib.xml")
        for size in SIZES:
            quiet, _ = run(path, size, 0)
            lost, said = run(path, size, 1) if quiet is not None else (None, "")
            if lost is None:
                break
            moved = sum(line.strip().startswith(("* Start ", "* Recover ", "* Move ")) for line in said.splitlines())
            if moved < size // NODES:
                sys.exit(f"crm_simulate planned {moved} moves of the {size // NODES} that are due: {said[-2000:]}")
            print(f"plan.crm_simulate_{size} {lost * 1000:.1f} ms 0 ok", flush=True)
            print(f"plan.crm_simulate_{size}_no_loss {quiet * 1000:.1f} ms 0 ok", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
