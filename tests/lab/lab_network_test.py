#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Cuts and heals, seen by corosync; with two networks one cut costs nothing and the second isolates."""
import labtest
from labctl import LabError, link_is_down
from labtest import check, check_equal, eventually


def members(lab):
    return [h['members'] for h in lab.ask('status')['hosts']]


def test_cut_and_heal():
    with labtest.lab(3) as lab:
        lab.ask('wait', condition='formed')
        lab.ask('cut', groups=[['node1'], ['node2', 'node3']])
        lab.ask('wait', condition='inquorate', hosts=['node1'])
        lab.ask('wait', condition='members', hosts=['node2', 'node3'])
        check_equal(members(lab), [[1], [2, 3], [2, 3]], 'members after the cut')
        seen = lab.exec('node2', 'corosync-quorumtool', '-s').stdout
        check('Quorate:          Yes' in seen and 'node1' not in seen, f'node2 sees: {seen}')
        lab.ask('heal')
        lab.ask('wait', condition='formed')
        lab.ask('cut', groups=[['1'], ['2']])
        for host in ('node1', 'node2', 'node3'):
            lab.ask('wait', condition='members', hosts=[host])
        check_equal(members(lab), [[1], [2], [3]], 'hosts not named form a group')


def test_two_networks():
    with labtest.lab(3, nets=2) as lab:
        lab.ask('wait', condition='formed')
        rings = [h['ring'] for h in lab.ask('status')['hosts']]
        lab.ask('cut', groups=[['node1'], ['node2', 'node3']], net=1)
        check(lab.exec('node1', 'ping', '-c1', '-W1', '10.231.1.2').returncode != 0, 'network 1 is cut')
        check(lab.exec('node1', 'ping', '-c1', '-W1', '10.231.0.2').returncode == 0, 'network 0 works')
        eventually(lambda: link_is_down(lab, 'node1', 1), 20, 'knet gives up the link', 0.1)
        check_equal([h['ring'] for h in lab.ask('status')['hosts']], rings, 'ring after one of two networks')
        lab.ask('cut', groups=[['node1'], ['node2', 'node3']], net=0)
        lab.ask('wait', condition='inquorate', hosts=['node1'])
        lab.ask('heal', net=1)
        lab.ask('wait', condition='formed')
        rings = [h['ring'] for h in lab.ask('status')['hosts']]
        lab.ask('heal', net=0)
        eventually(lambda: not link_is_down(lab, 'node1', 0), 20, 'knet has the link again', 0.1)
        lab.ask('cut', groups=[['node2'], ['node1', 'node3']], net=0)
        eventually(lambda: link_is_down(lab, 'node2', 0), 20, 'knet gives up the other link', 0.1)
        check_equal([h['ring'] for h in lab.ask('status')['hosts']], rings, 'ring after the other of two networks')


def test_refusals():
    with labtest.lab(2) as lab:
        for request, words in (({'cmd': 'cut', 'groups': [['node9']]}, 'there is no host node9'),
                               ({'cmd': 'cut', 'groups': [['node1'], ['1']]}, 'one group only'),
                               ({'cmd': 'heal', 'net': 1}, 'there is no network 1'),
                               ({'cmd': 'kill', 'host': '1', 'process': 'nonsense'}, 'has no process nonsense'),
                               ({'cmd': 'on', 'hosts': ['1']}, 'only a host that is off'),
                               ({'cmd': 'wait', 'condition': 'luck'}, 'unknown condition luck'),
                               ({'cmd': 'fence', 'host': 'node1'}, 'no fence device'),
                               ({'cmd': 'dance'}, 'unknown command')):
            try:
                lab.ask(**request)
                check(False, f'{request} was accepted')
            except LabError as e:
                check(words in str(e), f'{request}: {e}')


labtest.main(test_cut_and_heal, test_two_networks, test_refusals)
