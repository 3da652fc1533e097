# SPDX-License-Identifier: GPL-2.0-or-later
"""Pacemaker on hosts of a lab, run by hand as its unit would, with its files on the host's disk as ours are."""
import labctl
from benchlib import eventually, inside

NEEDS = {'pacemakerd': 'pacemaker', 'cibadmin': 'pacemaker-cli-utils', 'crm_simulate': 'pacemaker-cli-utils'}
START = '''
mkdir -p /var/lib/clusterd/pacemaker /var/log/pacemaker
cd /var/lib/clusterd/pacemaker && mkdir -p cib pengine blackbox cores
chown -R hacluster:haclient . /var/log/pacemaker
mount --bind . /var/lib/pacemaker
setsid pacemakerd >/var/log/pacemakerd.out 2>&1 </dev/null &
'''
ONLINE_S = 180


class Pacemaker:
    def __init__(self, lab, hosts):
        self.lab = lab
        self.hosts = hosts

    def start(self, host):
        inside(self.lab, host, 'sh', '-c', START)

    def wait_online(self):
        """All hosts are members for the DC and nothing is under way."""
        def online():
            result = self.lab.exec('node1', 'crm_mon', '-1', '--output-as=xml')
            return result.returncode == 0 and result.stdout.count(' online="true"') >= len(self.hosts)
        eventually(online, ONLINE_S, f'{len(self.hosts)} Pacemaker nodes online')
        inside(self.lab, 'node1', 'crm_resource', '--wait', timeout=ONLINE_S)

    def dc(self):
        """Host that decides; empty while there is none."""
        result = self.lab.exec('node1', 'crmadmin', '-q', '-D')
        words = (result.stdout + result.stderr).split()
        return words[-1] if result.returncode == 0 and words else ''

    def option(self, name, value):
        inside(self.lab, 'node1', 'crm_attribute', '-n', name, '-v', value)

    def cib(self, section, xml, action='--modify'):
        result = self.lab.exec('node1', 'cibadmin', action, '--allow-create', '-o', section, '-X', xml)
        if result.returncode:
            raise labctl.LabError(f'cibadmin: {result.stderr.strip()}')
