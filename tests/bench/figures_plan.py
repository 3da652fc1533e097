# SPDX-License-Identifier: GPL-2.0-or-later
"""The plan after a node loss with 63 nodes and 8,000 roles, beside crm_simulate with as many primitives as it can do in a minute.

Pacemaker's scheduler is given the same question with more and more primitives; both count CPU time of one core."""
import peer_pacemaker

MINUTES = 6


def run(b):
    b.program('bench_plan', b.choose(3, 1))
    ours = next(f for f in b.figures if f.name == 'plan.node_loss')
    if b.quick or not b.has_peer({'crm_simulate': peer_pacemaker.NEEDS['crm_simulate']}):
        return
    b.program('bench_plan_pacemaker.py')
    sizes = {int(f.name.split('_')[2]): f for f in b.figures if f.name.startswith('plan.crm_simulate_') and f.name[-1].isdigit()}
    most = max(sizes)
    b.figure('crm_simulate_most', most, 'primitives', note='what crm_simulate planned within a minute; ours: 8000')
    b.figure('times_less', sizes[most].value / ours.value, 'x', note=f'crm_simulate with {most} primitives, by ours with 8000 roles')
