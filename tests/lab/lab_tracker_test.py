#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The tracker agent: OCF's answers, and records from which a double run is seen and a single one is not."""
import labtest
import observer
from labtest import check, check_equal

AGENT = '/usr/lib/ocf/resource.d/clustertest/tracker'


def agent(lab, host, action, role='r1'):
    return lab.exec(host, 'env', 'OCF_ROOT=/usr/lib/ocf', f'OCF_RESOURCE_INSTANCE={role}', AGENT, action).returncode


def test_agent():
    with labtest.lab(1) as lab:
        answers = [agent(lab, '1', a) for a in ('monitor', 'start', 'start', 'monitor', 'stop', 'stop', 'monitor', 'dance')]
        check_equal(answers, [7, 0, 0, 0, 0, 0, 7, 3], 'exit codes')
        runs = observer.tracker_runs(f'{lab.run}/guest/shared')
        check_equal([(r.role, r.host, r.ended) for r in runs], [('r1', 'node1', 'stop')], 'runs')
        agent(lab, '1', 'start')
        lab.ask('kill', host='node1', process='labtrack')
        check_equal(agent(lab, '1', 'monitor'), 7, 'monitor after kill -9')
        agent(lab, '1', 'start')
        lab.ask('reboot', hosts=['1'])
        check_equal(agent(lab, '1', 'monitor'), 7, 'monitor after power loss')
        runs = observer.tracker_runs(f'{lab.run}/guest/shared')
        check_equal([r.ended for r in runs], ['stop', 'beat', 'beat'], 'how runs ended')
        check_equal(observer.tracker_doubles(runs), [], 'doubles')


def test_double_run_is_seen():
    with labtest.lab(2) as lab:
        agent(lab, '1', 'start')
        agent(lab, '2', 'start')
        runs = observer.tracker_runs(f'{lab.run}/guest/shared')
        check_equal(len(observer.tracker_doubles(runs)), 1, 'doubles by overlap')
        agent(lab, '1', 'start', 'r2')
        lab.ask('stop', host='1')
        agent(lab, '2', 'start', 'r2')
        runs = [r for r in observer.tracker_runs(f'{lab.run}/guest/shared') if r.role == 'r2']
        check(observer.tracker_doubles(runs), 'a frozen holder counts: it could wake up')
        agent(lab, '2', 'start', 'r3')
        lab.ask('kill', host='2', process='all')
        lab.ask('kill', host='1', process='all')
        lab.ask('on', hosts=['1'])
        agent(lab, '1', 'start', 'r3')
        runs = [r for r in observer.tracker_runs(f'{lab.run}/guest/shared') if r.role == 'r3']
        check_equal((len(runs), observer.tracker_doubles(runs)), (2, []), 'after a power loss it may start elsewhere')


labtest.main(test_agent, test_double_run_is_seen)
