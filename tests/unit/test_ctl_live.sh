#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# clusterctl against a daemon: changes, waiting, following, and daemons that misbehave.
# shellcheck source=tests/lib/testlib.sh
. "${top_srcdir:?}/tests/lib/testlib.sh"
# shellcheck source=tests/lib/ctl_daemon.sh
. "$top_srcdir/tests/lib/ctl_daemon.sh"

"$top_builddir/tests/unit/ctl_canned" "$tmp/canned" || fail "the canned state cannot be made"
check 2 'systemctl start clusterd' status

serve
check 0 'Cluster demo: quorate' status
check 0 'feature level 1 is in force' version
check 0 'role web: online on n3' role move web n3 --wait
check 0 '^web +online +n3 ' role list
check 0 'role web: offline' role stop web --wait
check 0 '' role start web --wait
check 0 '"reached": true' role move web --wait --json
check 0 '' role create web3 --wait
check 0 '' resource add web3 job ocf:heartbeat:Dummy monitor_interval=1min --wait -- state=/tmp/x fake=a=b
check 0 'fake=a=b' resource show job
check 0 '^job +web3 .* started' resource list web3
check 0 '' resource set job params-=fake --wait
check 0 'resource job: starting' resource restart job --wait
check 0 '' role rename web3 web4
check 7 'role stop web4' role delete web4
check 0 '' role stop web4 --wait
check 0 '' role delete web4
check 4 'no such role' role show web4
check 0 'node n1: drained, 0 roles' node drain n1 --wait
check 0 'drained' node list
check 0 '' node resume n1 --failback --wait
check 0 '' role set web maintenance=yes
check 19 'role web is left as it is: it is in maintenance; .clusterctl role set web maintenance=no. ends that' role stop web --wait
check 0 '' role start web
check 0 '' role set web maintenance=no
check 0 '' cluster set maintenance=yes
check 19 'the cluster is in maintenance' node drain n2 --wait
check 0 '' node resume n2
check 0 '' cluster set maintenance=no
check 0 '' disarm
check 19 'the cluster is disarmed' role stop web --wait
check 0 '' role start web
check 0 '' arm
check 18 '--timeout' role start huge --wait --timeout 1
check 5 'web' role create web
check 0 '' config export "$tmp/config.json"
check 0 'to create: 0, to change: 0, to delete: 0' config import "$tmp/config.json"
sed -i 's/"delay": "5s"/"delay": "7s"/' "$tmp/config.json"
check 0 'change +set +front +delay' config import "$tmp/config.json"
check 0 'front .* 7s' set list
check 0 '' state save "$tmp/saved"
check 5 'exists already' state save "$tmp/saved"
check 0 'as saved' status --state "$tmp/saved"
check 0 '^two$' log
check 0 'State file' resource describe ocf:heartbeat:Dummy
check 0 '"shortdesc": "State file"' resource describe ocf:heartbeat:Dummy --json
check 4 'not installed' resource describe ocf:heartbeat:Nothing
check 0 '"two"' log --json
check 15 "$tmp/full" backup "$tmp/full"
check 0 "^written: $tmp/x\$" backup "$tmp/x"
check 0 "\"path\": \"$tmp/x\"" backup "$tmp/x" --json
check 15 '"name": "io-error"' backup "$tmp/full" --json
(cd / && "$ctl" backup full.db) 2>&1 | grep -q ' /full.db$' || fail "backup of a relative name in / is not /full.db"
check 1 'say --yes' quorum force
check 0 '' quorum force --yes
check 1 'say --yes' node confirm-fenced n1
check 0 '^web$' complete role show we
check 0 '^priority=high$' complete role set web priority=h

# the shell's completion, words split as bash splits them
compopt() { :; }
# shellcheck source=clusterd/ctl/clusterctl.bash
. "$top_srcdir/clusterd/ctl/clusterctl.bash"
completes() {
	local wanted=$1

	shift
	COMP_WORDS=(clusterctl "$@")
	COMP_CWORD=$#
	PATH=$top_builddir/clusterd/ctl:$PATH _clusterctl
	[ "${COMPREPLY[*]}" = "$wanted" ] || fail "completion of '$*' is '${COMPREPLY[*]}', not '$wanted'"
}
completes 'rule' rul
completes 'move' role mo
completes 'web' role move we
completes 'n1 n2 n3' role move web n
completes 'priority=' role set web prio
completes 'high' role set web priority = h
completes 'yes no' role set web maintenance = ''
completes '--dry-run' role stop web --dry
completes 'n1 n2 n3' role set web preferred = ''
completes 'n1,n2 n1,n3' role set web preferred = n1,n
completes 'state=' resource add web extra ocf : heartbeat : Dummy -- st
completes '' resource add web extra ocf : heartbeat : Dummy -- rest
completes 'n3' node drain --wait n1 n3

# following: a change made later shows up, in a pipe too
"$ctl" events --follow --since 0 >"$tmp/events" 2>&1 &
follow=$!
"$ctl" watch >"$tmp/watch" 2>&1 &
watch=$!
at_exit "kill $follow $watch 2>/dev/null"
wait_until 10 grep -qs 'Cluster demo' "$tmp/watch" || fail "watch shows nothing: $(cat "$tmp/watch")"
"$ctl" role create seen || fail "role create"
wait_until 10 grep -q 'seen was created' "$tmp/events" || fail "events --follow missed it: $(cat "$tmp/events")"
wait_until 10 grep -q 'seen was created' "$tmp/watch" || fail "watch missed it: $(cat "$tmp/watch")"
check 0 '' node stop --wait
wait_until 10 test ! -e "/proc/$follow" || fail "events --follow outlives its daemon"

# on a terminal: the page is redrawn, survives its daemon, and q ends it
if command -v script >/dev/null; then
	serve
	mkfifo "$tmp/keys"
	script -qec "stty rows 40; '$ctl' watch" /dev/null <"$tmp/keys" >"$tmp/screen" 2>&1 &
	screen=$!
	at_exit "kill $screen 2>/dev/null"
	exec 5>"$tmp/keys"
	wait_until 10 grep -qs 'q ends' "$tmp/screen" || fail "watch draws no page: $(cat "$tmp/screen")"
	"$ctl" role create onscreen || fail "role create"
	wait_until 10 grep -q 'onscreen' "$tmp/screen" || fail "watch does not redraw"
	stop_server
	wait_until 10 grep -q 'trying again' "$tmp/screen" || fail "watch does not notice that its daemon is gone"
	: >"$tmp/screen"
	serve
	wait_until 10 grep -q 'q ends' "$tmp/screen" || fail "watch does not find the daemon again"
	printf q >&5
	wait_until 10 test ! -e "/proc/$screen" || fail "q does not end watch"
	exec 5>&-
fi


# a change does not need the state, which may be long: nobody can see it here
serve blind
check 12 'nobody sees' role list
check 12 'nobody sees' role stop web --dry-run
check 0 '' role move web n3
check 0 '' role create web3
check 0 '' resource add web3 job ocf:heartbeat:Dummy
check 0 '' resource set job -- fake=1
check 0 '' resource rename job work
check 0 '' role set web3 priority=high
check 0 '' role rename web3 web4
check 0 '' role stop web web4
check 0 '' role start web
check 0 '' network create extra
check 0 '' node pause n2
check 0 '' node resume n2
check 0 '' cluster set t_stop=45s
check 0 '' disarm
check 0 '' arm
check 5 "role 'web' " role create web
check 4 "role 'wbe' does not exist" role stop wbe
check 6 "cluster 'demo' " cluster set t_stop=1ms

# agents are asked about all of an import that is several changes before the first of them is made
serve picky
check 0 '' config export "$tmp/many.json"
"${PYTHON3:-python3}" - "$tmp/many.json" <<'END'
import json
import sys
with open(sys.argv[1], encoding="utf-8") as f:
    config = json.load(f)
config["roles"].update((f"many{n}", {}) for n in range(300))
with open(sys.argv[1], "w", encoding="utf-8") as f:
    json.dump(config, f)
END
check 17 "resource 'r1': not with me" config import "$tmp/many.json"
check 4 'no such role' role show many0
check 17 'not with me' role create web5 --dry-run
check 0 '' role create web5
serve
check 0 'to create: 300' config import "$tmp/many.json"
check 0 'many299' role list

# what clusterd does not know is looked for then
serve
check 4 'role wbe: no such role; did you mean web' role stop web wbe
check 4 'role web9: no such role' role set web9 priority=high
check 4 'node n9: no such node' role move web n9
check 4 'role wbe: no such role; did you mean web' resource add wbe job ocf:heartbeat:Dummy
check 4 '"name": "not-found"' role rename wbe web9 --json
serve refuse
check 10 '1 of 3 votes' role stop web
serve die
check 13 'may or may not' role stop web
serve slow
check 0 'waiting for n2: its disk is slow' role stop web
check 13 '--timeout passed' role start web --timeout 1
serve garbage
check 2 'different versions' status
serve mute
check 2 'does not answer' status --timeout 1
kill -STOP "$server"
check 2 'does not answer' status --timeout 1
kill -CONT "$server"
