#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A configuration survives export and import: nothing differs after the round, and each difference is seen.
# shellcheck source=tests/lib/testlib.sh
. "${top_srcdir:?}/tests/lib/testlib.sh"

ctl=$top_builddir/clusterd/ctl/clusterctl
"$top_builddir/tests/unit/ctl_canned" "$tmp/canned" || fail "the canned state cannot be made"

"$ctl" config export "$tmp/a.json" --state "$tmp/canned" || fail "export"
"$ctl" config check "$tmp/a.json" >"$tmp/out" || fail "check of an export: $(cat "$tmp/out")"
grep -q "valid; nodes: 3, volumes: 0, roles: 6, resources: 6, rules: 1, sets: 2" "$tmp/out" || fail "check says: $(cat "$tmp/out")"
"$ctl" config import "$tmp/a.json" --state "$tmp/canned" --dry-run >"$tmp/out" || fail "import of an export"
grep -qx "to create: 0, to change: 0, to delete: 0" "$tmp/out" || fail "an export differs from its state: $(cat "$tmp/out")"

# expect CODE PATTERN: edit the export by the python expression on stdin, import it, look at the plan
expect() {
	local code=$1 pattern=$2 got

	"$PYTHON3" -c "
import json, sys
c = json.load(open('$tmp/a.json'))
exec(sys.stdin.read())
json.dump(c, open('$tmp/b.json', 'w'))" || fail "edit"
	"$ctl" config import "$tmp/b.json" --state "$tmp/canned" --dry-run --yes >"$tmp/out" 2>&1
	got=$?
	[ "$got" -eq "$code" ] || fail "exit code $got, not $code: $(cat "$tmp/out")"
	grep -Eq "$pattern" "$tmp/out" || fail "no '$pattern' in: $(cat "$tmp/out")"
}
expect 0 'change +role +web +priority' <<<'c["roles"]["web"]["priority"] = "low"'
expect 0 'change +role +web +online' <<<'c["roles"]["web"]["online"] = False'
expect 0 'change +resource +web-address +params' <<<'c["resources"]["web-address"]["params"]["ip"] = "10.0.0.10"'
expect 0 'change +cluster +demo +t_stop' <<<'c["cluster"]["t_stop"] = "60s"'
expect 0 '^to create: 0, to change: 0' <<<'c["cluster"]["t_stop"] = "30000ms"'
expect 0 'to create: 1, to change: 1' <<<'c["roles"]["new"] = {"priority": "low"}; c["rules"]["apart"]["roles"].append("new")'
expect 0 'delete +rule +apart' <<<'del c["rules"]["apart"]'
expect 0 'create +resource +x' <<<'c["resources"]["x"] = {"role": "old", "agent": "ocf:heartbeat:Dummy", "depends": "y"}; c["resources"]["y"] = {"role": "old", "agent": "ocf:heartbeat:Dummy"}'
expect 0 '^to create: 0, to change: 0, to delete: 0' <<<'del c["roles"]; del c["resources"]'
expect 0 'to create: 0, to change: 0, to delete: 2' <<<'c["sets"] = {}'
expect 0 'to create: 1, to change: 1, to delete: 1' <<<'c["sets"]["new"] = {"roles": ["db"]}; del c["sets"]["base"]; c["sets"]["front"]["after"] = ["new"]'
expect 7 'web' <<<'del c["roles"]["web"]; del c["resources"]["web-address"]; del c["resources"]["web-server"]; del c["rules"]; c["sets"]["front"]["roles"] = []; c["rules"] = {}'
expect 6 "no field 'prio'" <<<'c["roles"]["web"]["prio"] = 1'
expect 6 'node n9 is not in the cluster' <<<'c["nodes"]["n9"] = {}'
expect 6 "no section is named 'rolls'" <<<'c["rolls"] = {}'
expect 6 'not a configuration' <<<'c = {}'
expect 6 'JSON type' <<<'c["roles"]["web"]["preferred"] = {"a": 1}'

# Volumes: their ownerships come and go with them, and are set through them.
"$top_builddir/tests/unit/ctl_canned" "$tmp/volumes" volumes || fail "the canned state with volumes cannot be made"
cp "$tmp/canned" "$tmp/plain"
"$ctl" config export "$tmp/a.json" --state "$tmp/volumes" || fail "export of volumes"
grep -q '"volume.data' "$tmp/a.json" && fail "an ownership is exported beside its volume"
"$ctl" config check "$tmp/a.json" >"$tmp/out" || fail "check of volumes: $(cat "$tmp/out")"
expect 0 'create +volume +images' <<<''
cp "$tmp/volumes" "$tmp/canned"
expect 0 '^to create: 0, to change: 0, to delete: 0' <<<''
expect 0 'change +volume +data +pause_max, preferred' <<<'c["volumes"]["data"].update(pause_max="3min", preferred=["n1"])'
expect 7 "needed by the role 'vm1'" <<<'c["volumes"]["data"]["online"] = False'
expect 7 "volume 'images' is online" <<<'del c["volumes"]["images"]; c["roles"]["vm1"]["volumes"] = ["data"]'
cp "$tmp/plain" "$tmp/canned"

echo '{ "clusterd_config": 1, ' >"$tmp/b.json"
"$ctl" config check "$tmp/b.json" 2>"$tmp/out"
[ $? -eq 6 ] || fail "broken JSON is accepted"
grep -q "line 2, column" "$tmp/out" || fail "broken JSON: no place is named: $(cat "$tmp/out")"
