# SPDX-License-Identifier: GPL-2.0-or-later
"""The end of a killed csvfs.

A thread of it may be in the kernel and wait for a page that only csvfs would let go. So long the connection of the mount with
csvfs stays open, and all who use the mount wait as well. A machine without power has no such thing; here it is aborted.
"""
import subprocess

FOLDER = '/sys/fs/fuse/connections'


def mounts(pid):
    """Numbers of the connections of all csvfs that the process can see; asks nobody who may be stuck. [] when it is dead."""
    try:
        with open(f'/proc/{pid}/mountinfo') as f:
            lines = [line.split() for line in f]
    except OSError:
        return []
    return [words[2].split(':')[1] for words in lines if words[words.index('-') + 1] == 'fuse.csvfs']


def abort(numbers):
    """Also of those that are gone already. The file system with the switches is mounted for this only."""
    if numbers:
        switch = ' '.join(f'{FOLDER}/{n}/abort' for n in sorted(set(numbers)))
        subprocess.run(['unshare', '-m', 'sh', '-c', f'mount -t fusectl none {FOLDER}; '
                        f'for i in {switch}; do [ ! -e $i ] || echo 1 >$i; done'], check=False, stderr=subprocess.DEVNULL)
