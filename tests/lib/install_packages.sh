#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# install_packages.sh [build] [test] [bench]: installs the Debian packages that tests/packages lists for these purposes.
# Services that come with them are not started; the lab starts its own. Without root: says which ones are missing.
set -u
list=$(dirname "$0")/../packages
[ $# -gt 0 ] || { echo "usage: install_packages.sh build|test|bench ..." >&2; exit 2; }
missing=()
while read -r purpose name; do
	case $purpose in '' | '#'*) continue ;; esac
	case " $* " in *" $purpose "*) ;; *) continue ;; esac
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || missing+=("$name")
done <"$list"
if [ ${#missing[@]} -eq 0 ]; then
	echo "packages for $*: all installed"
	exit 0
fi
echo "packages to install: ${missing[*]}"
if [ "$(id -u)" != 0 ]; then
	echo "not root: as root, run: apt-get install ${missing[*]}" >&2
	exit 1
fi

# Debian's way to say "do not start services": only when the machine has no such policy of its own.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	trap 'rm -f "$policy"' EXIT
	trap 'exit 130' INT TERM HUP
	printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt=(apt-get -q -y -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3)
"${apt[@]}" update || echo "apt-get update failed: trying with the package lists that are here" >&2
"${apt[@]}" install --no-install-recommends "${missing[@]}" || {
	echo "could not install: see the message of apt-get above" >&2
	exit 1
}
