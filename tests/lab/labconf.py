# SPDX-License-Identifier: GPL-2.0-or-later
"""Names, addresses and configuration files of a lab's hosts. Pure functions: settings in, text out."""

HOST_MAX = 63
NET_MAX = 2
KNET_HOSTS_MAX = 16  # beyond it udpu: knet costs 200 MB and 9 threads a host
# Tokens that stay calm with more hosts than that on two cores, which other work may want too.
LARGE_TOKEN_MS = 2000
HUGE_HOSTS = 33
HUGE_TOKEN_MS = 5000
REDUNDANT_TOKEN_MS = 3000

SERVICES = ('watch', 'corosync', 'clusterd')


def host_name(n):
    return f'node{n}'


def address(n, net):
    return f'10.231.{net}.{n}'


def mac(n, net):
    return f'02:cb:00:{net:02x}:00:{n:02x}'


def port(n, net):
    return f'v{n}n{net}'


def bridge(net, group):
    return f'br{net}g{group}'


def hosts_file(conf):
    lines = ['127.0.0.1 localhost']
    lines += [f'{address(n, 0)} {host_name(n)}' for n in range(1, conf['hosts'] + 1)]
    return '\n'.join(lines) + '\n'


def transport(conf):
    if conf['transport'] != 'auto':
        return conf['transport']
    return 'knet' if conf['hosts'] <= KNET_HOSTS_MAX or conf['nets'] > 1 else 'udpu'


def token_ms(conf):
    if conf['token']:
        return conf['token']
    if conf['hosts'] > HUGE_HOSTS:
        return HUGE_TOKEN_MS
    if conf['hosts'] > KNET_HOSTS_MAX:
        return LARGE_TOKEN_MS
    return 1000 if conf['nets'] == 1 else REDUNDANT_TOKEN_MS


def ping_timeout_ms(conf):
    """Detection is token + consensus. With one link its pings must not beat the token to it; with two they must, well
    before, so that a lost link costs no membership. (knet multiplies a link's ping time-out by up to ten while the link
    is young, and takes that back ping by ping.)"""
    return 1500 if conf['nets'] == 1 else token_ms(conf) // 8


def restart_pause_ms(conf):
    """A corosync that is back before knet's links to it were given up is never heard again: its peers take its packets
    for old ones. A machine takes longer than this to boot; a lab host must wait."""
    return ping_timeout_ms(conf) + 1000 if transport(conf) == 'knet' else 0


def corosync_conf(conf):
    n = conf['hosts']
    knet = transport(conf) == 'knet'
    token = token_ms(conf)
    ping_timeout = ping_timeout_ms(conf)
    totem = ['version: 2', f'cluster_name: {conf["name"]}', f'transport: {"knet" if knet else "udpu"}',
             'ip_version: ipv4', f'token: {token}', 'token_coefficient: 0', f'consensus: {token * 12 // 10}']
    if n > KNET_HOSTS_MAX:
        totem += ['join: 500', 'send_join: 200', 'merge: 2000']
    out = ['totem {'] + ['    ' + line for line in totem]
    if knet:
        out += ['    crypto_model: openssl', '    crypto_cipher: aes256', '    crypto_hash: sha256',
                '    link_mode: passive']
        for net in range(conf['nets']):
            out += ['    interface {', f'        linknumber: {net}', f'        knet_ping_interval: {ping_timeout // 5}',
                    f'        knet_ping_timeout: {ping_timeout}', '        knet_pong_count: 1', '    }']
    out += ['}', 'nodelist {']
    for i in range(1, n + 1):
        out += ['    node {']
        out += [f'        ring{net}_addr: {address(i, net)}' for net in range(conf['nets'])]
        out += [f'        name: {host_name(i)}', f'        nodeid: {i}', '    }']
    out += ['}', 'quorum {', '    provider: corosync_votequorum']
    if conf['clusterd']:
        # As many votes as there are hosts: any side with the device's votes has quorum, none without. So clusterd decides.
        out += ['    device {', '        model: clusterd', f'        votes: {n}', '        timeout: 3000',
                '        sync_timeout: 200', '    }']
    out += ['    ' + line for line in conf['quorum'].splitlines()]
    out += ['}', 'system {', '    sched_rr: no', '    move_to_root_cgroup: no', '    allow_knet_handle_fallback: yes',
            '}', 'logging {', '    to_stderr: no', '    to_syslog: no', '    to_logfile: yes',
            '    logfile: /var/log/corosync/corosync.log', '    timestamp: hires', '}']
    return '\n'.join(out) + '\n'


def clusterd_conf(conf):
    values = {'cluster_name': conf['name'], 'watchdog': '/dev/clusterd-watchdog', 'watchdog_driver': 'pipe',
              'watchdog_timeout': '3s'}
    if conf['fence']:
        values['fence_command'] = '/run/lab/fence'
    values.update(conf['set'])
    return ''.join(f'{k} = {v}\n' for k, v in values.items())


def plug_batch(conf, n, groups):
    """Outside: a veth of every network into the host (its PID is put in by outside.sh)."""
    out = []
    for net in range(conf['nets']):
        out += [f'link add {port(n, net)} type veth peer name eth{net} address {mac(n, net)} netns @PID@',
                f'link set {port(n, net)} master {bridge(net, groups[net].get(n, 0))} up']
    return '\n'.join(out) + '\n'


def net_batch(conf, n):
    """Inside. Permanent neighbours: dynamic ones of all namespaces share one table, too small from 33 hosts on."""
    out = []
    for net in range(conf['nets']):
        out += [f'addr add {address(n, net)}/24 dev eth{net}', f'link set eth{net} up']
        out += [f'neigh replace {address(i, net)} lladdr {mac(i, net)} dev eth{net} nud permanent'
                for i in range(1, conf['hosts'] + 1) if i != n]
    return '\n'.join(out) + '\n'


def service_scripts(conf):
    path = ':'.join(conf['bindirs'] + ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'])
    head = f'export PATH={path} HOME=/root LANG=C.UTF-8\nulimit -c 0\n'
    out = {
        'watch': 'exec /run/lab/bin/labwatch $(hostname) /run/lab/events >>/var/log/labwatch.out 2>&1\n',
        'corosync': 'exec corosync -f >>/var/log/corosync.out 2>&1\n',
    }
    if conf['clusterd']:
        out['clusterd'] = ('exec clusterd --config /etc/clusterd/clusterd.conf --foreground'
                           ' >>/var/log/clusterd.out 2>&1\n')
    return {k: head + v for k, v in out.items()}
