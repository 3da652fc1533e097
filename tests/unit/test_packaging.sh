#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What is installed beside the programs: the unit starts an existing program, groups and log rotation are ones that their
# readers accept, and clusterd's options and exit codes are those of its manual.
# shellcheck source=tests/lib/testlib.sh
. "${top_srcdir:?}/tests/lib/testlib.sh"

unit=$top_builddir/clusterd/clusterd.service
rotate=$top_srcdir/clusterd/clusterd.logrotate
groups=$top_srcdir/clusterd/clusterd.sysusers.conf
clusterd=$top_builddir/clusterd/clusterd

[ -s "$unit" ] || fail "$unit is missing"
grep -v '^#' "$unit" | grep -n '@' && fail "$unit: a name between @ and @ was not replaced"
program=$(sed -n 's/^ExecStart=//p' "$unit")
case $program in /*/clusterd) ;; *) fail "ExecStart=$program is not an absolute path of clusterd" ;; esac

# The real check, with a program that exists in the place of the one that is not installed yet.
if command -v systemd-analyze >/dev/null; then
	mkdir "$tmp/units"
	sed "s|^ExecStart=.*|ExecStart=$clusterd|" "$unit" >"$tmp/units/clusterd.service"
	systemd-analyze verify --man=no "$tmp/units/clusterd.service" >"$tmp/verify" 2>&1
	grep 'clusterd\.service:' "$tmp/verify" && fail "systemd-analyze verify: $(cat "$tmp/verify")"
fi
if command -v systemd-sysusers >/dev/null && [ "$(id -u)" -eq 0 ]; then
	mkdir -p "$tmp/root/etc"
	systemd-sysusers --root="$tmp/root" - <"$groups" 2>"$tmp/sysusers" || fail "systemd-sysusers: $(cat "$tmp/sysusers")"
	for group in clusterd clusterd-ro; do
		grep -q "^$group:" "$tmp/root/etc/group" || fail "systemd-sysusers does not create the group $group"
	done
fi
for group in admin_group reader_group; do
	name=$(sed -n "s/^OPTION_NAME($group, \"\([^\"]*\)\".*/\1/p" "$top_srcdir/clusterd/options.def")
	grep -qE "^g +$name +" "$groups" || fail "$groups does not create $group's default, $name"
done
log=$(sed -n 's/^OPTION_PATH(log_file, "\([^"]*\)".*/\1/p' "$top_srcdir/clusterd/options.def")
grep -q "^$log " "$rotate" || fail "$rotate does not rotate $log"
if command -v logrotate >/dev/null; then
	logrotate --debug --state "$tmp/state" "$rotate" >"$tmp/rotate" 2>&1 || fail "logrotate: $(cat "$tmp/rotate")"
fi

# code CODE ARGUMENT...: clusterd's exit code
code() {
	local code=$1 got

	shift
	"$clusterd" "$@" >"$tmp/out" 2>&1
	got=$?
	[ "$got" -eq "$code" ] || fail "clusterd $*: exit code $got, not $code: $(cat "$tmp/out")"
}
: >"$tmp/conf"
echo 'nonsense = 1' >"$tmp/bad"
code 0 --help
code 0 --version
code 2 --bogus
code 2 word
code 2 --feature-level-max 0
code 1 --check-config --config "$tmp/bad"
code 1 --check-config --config "$tmp/none"
# what the machine lacks is said, and is no error of the file
says() { grep -q -- "$1" "$tmp/out" || fail "no '$1' in: $(cat "$tmp/out")"; }
{
	echo "fence_command = $tmp/nofence --off"
	echo "watchdog = $tmp/nodog"
	echo 'admin_group = nogroupofthisname'
	echo "state_dir = $tmp/conf"
} >"$tmp/lacks"
code 0 --check-config --config "$tmp/lacks"
says "fence_command = $tmp/nofence --off: $tmp/nofence: No such file"
says "watchdog = $tmp/nodog: No such file"
says 'admin_group = nogroupofthisname: there is no such group'
says "state_dir = $tmp/conf: $tmp/conf is not a directory"
says 'good, but this machine lacks'
touch "$tmp/nofence"
code 0 --check-config --config "$tmp/lacks"
says 'is no program that can be run'
exit 0
