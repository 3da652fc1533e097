# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# For tests of clusterctl against a daemon with a canned state, which they make in $tmp/canned: source it after testlib.sh.

ctl=${top_builddir:?}/clusterd/ctl/clusterctl
export CLUSTERD_SOCKET=${tmp:?}/run TZ=UTC
server=
stop_server() {
	# CONT first: after TERM it would take the STOP away by which the leak check at the end holds the process
	[ -z "$server" ] || kill -CONT "$server" 2>/dev/null
	[ -z "$server" ] || kill -TERM "$server" 2>/dev/null
	[ -z "$server" ] || wait "$server" 2>/dev/null
	[ -z "$server" ] || rm -rf "/dev/shm/qb-$server-"* # what a daemon that died leaves
	server=
}
at_exit stop_server

# serve [MODE]: a fresh daemon on the canned state
# shellcheck disable=SC2120  # not every test has modes
serve() {
	rm -f "$tmp/ready"
	stop_server
	"$top_builddir/tests/unit/ctl_server" "$CLUSTERD_SOCKET" "$tmp/canned" "$@" >"$tmp/ready" 2>"$tmp/server" &
	server=$!
	wait_until 10 grep -qsx ready "$tmp/ready" || fail "the test daemon does not start: $(cat "$tmp/server")"
}

# check CODE PATTERN ARGUMENTS...: exit code and output of clusterctl
check() {
	local code=$1 pattern=$2 got

	shift 2
	timeout 60 "$ctl" "$@" >"$tmp/out" 2>&1 </dev/null
	got=$?
	[ "$got" -eq "$code" ] || fail "clusterctl $*: exit code $got, not $code: $(cat "$tmp/out")"
	[ -z "$pattern" ] || grep -Eq -- "$pattern" "$tmp/out" || fail "clusterctl $*: no '$pattern' in: $(cat "$tmp/out")"
}
