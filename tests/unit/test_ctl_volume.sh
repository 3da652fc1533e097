#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# clusterctl volume state, stats, freeze, thaw, trim, grow, check: what people read of what a daemon answers.
# shellcheck source=tests/lib/testlib.sh
. "${top_srcdir:?}/tests/lib/testlib.sh"
# shellcheck source=tests/lib/ctl_daemon.sh
. "$top_srcdir/tests/lib/ctl_daemon.sh"

says() { grep -Eq -- "$1" "$tmp/out" || fail "no '$1' in: $(cat "$tmp/out")"; }

"$top_builddir/tests/unit/ctl_canned" "$tmp/canned" volumes || fail "the canned state cannot be made"

row() {
	printf '{"volume": "data", "node": "%s", "state": "%s", "reason": "%s", "mounted": %s, "owner": "n1", "epoch": 7, ' "${@:1:4}"
	printf '"device": "/dev/sdx", "device_bytes": %s, "frozen_ms": %s, "trouble": "%s"}\n' "${@:5}"
}
{
	echo "["
	row n1 direct none true 1649267441664 41001 ''
	echo ,
	row n2 file-system-redirected by-administrator true 1073741824 0 ''
	echo ,
	row n3 block-redirected path-failed true 999 0 ''
	echo ,
	row n4 paused owner-lost true 0 0 ''
	echo ,
	row n5 unavailable pause-too-long true 0 0 ''
	echo ,
	row n6 unavailable not-mounted false 0 0 'csvfs ended by itself: it had to'
	echo ,
	row n7 unavailable node-not-online false 0 0 ''
	echo ,
	row n8 direct none true 10240 0 'to be unmounted, but in use by sleep (7)'
	echo ,
	row n9 paused no-owner true 0 0 ''
	echo ,
	row n10 file-system-redirected no-leases true 0 0 ''
	echo "]"
} >"$tmp/canned.volumes"
serve
check 0 '^VOLUME +NODE +STATE +OWNER +DEVICE +SIZE +REASON$' volume state data
says "^data +n1 +direct +n1 +/dev/sdx +1\.5 TiB +its file system stands still, for 42 s more at most"
says "^data +n2 +file-system-redirected +n1 +/dev/sdx +1\.0 GiB +.*'clusterctl volume redirect data off n2' ends it"
says "^data +n3 +block-redirected .* 999 B +the path of n3 to /dev/sdx fails"
says "^data +n4 +paused .* requests wait"
says "^data +n5 +unavailable .* requests fail; 'clusterctl why volume.data'"
says "^data +n6 +not mounted .* csvfs does not run there: csvfs ended by itself: it had to"
says "^data +n7 +not mounted .* the node is not online"
says "^data +n8 +direct +.* 10\.0 KiB +to be unmounted, but in use by sleep \(7\)"
says "^data +n9 +paused .* it has no owner"
says "^data +n10 +file-system-redirected .* lends no blocks"
check 0 '"frozen_ms": 41001' volume state --json
check 4 'did you mean data' volume state dat
echo 'no json' >"$tmp/canned.volumes"
check 2 'makes no sense' volume state

# Two samples, 2.5 s apart: n1 wrote, n2's csvfs was started anew, n3 has not been asked in between.
sample() { # node program at_ms direct_written direct_ops count pauses
	printf '{"volume": "data", "node": "%s", "program": "%s", "at_ms": %s, "direct_written_bytes": %s, "direct_ops": %s, ' "${@:1:5}"
	printf '"direct_write_us": [0, 0, 0, 0, 0, 0, 0, %s, 0, 0, 0, 1], "pauses": %s, "paused_ms": 1500, "recalls": 3}\n' "${@:6}"
}
counters() { printf '{"counters": [%s, %s, %s, %s], "missing": [%s]}\n' "$@"; }
counters "$(sample n1 csvfs 1000 1048576 100 98 1)" "$(sample n2 csvfs 9000 1000 10 5 0)" "$(sample n3 csvfs 1000 0 0 0 0)" \
	"$(sample n1 csvfs-owner 1000 0 0 0 0)" '"n4"' >"$tmp/canned.counters"
counters "$(sample n1 csvfs 3500 6291456 1350 198 2)" "$(sample n2 csvfs 9999 0 0 0 0)" "$(sample n3 csvfs 1000 0 0 0 0)" \
	"$(sample n1 csvfs-owner 3500 0 0 0 0)" '' >"$tmp/canned.later"
serve
check 0 '^data +n1 +0 B +1\.0 MiB +100 .* 128 us +2\.0 ms +3 +1 +1\.5 s$' volume stats
says '^data +n1, for others '
says '^No answer in time from: n4$'
serve
check 0 '^data +n1 +0 B +2\.0 MiB +500 ' volume stats data --interval 1
if grep -Eq '^data +(n2|n3) ' "$tmp/out"; then fail "rates of what was not counted: $(cat "$tmp/out")"; fi
serve
check 0 '"interval_ms": 2500' volume stats --interval 1 --json
says '"direct_written_bytes": 5242880'
says '"p99": 128'
serve
"$ctl" volume stats --watch --interval 1 --json >"$tmp/watch" 2>&1 &
watch=$!
at_exit "kill $watch 2>/dev/null"
wait_until 20 test -s "$tmp/watch" || fail "volume stats --watch says nothing"
"${PYTHON3:-python3}" -c 'import json, sys; json.loads(sys.stdin.readline())["volume_stats"]' <"$tmp/watch" || fail "no object a line"
kill $watch
check 1 'one second at least' volume stats --interval 0
check 1 "does not take it" volume state --interval 1
check 4 'no such volume' volume stats dat

# Orders are passed on, with the time that a freeze may take.
check 0 'volume data: freeze 60000' volume freeze data
check 0 'volume data: freeze 5000' volume freeze data --for 5
check 1 'from 0 to 600' volume freeze data --for 601
check 7 'volume data: thaw 0' volume thaw data
check 0 '^trim: 50 %$' volume trim data
check 0 '"done": true' volume trim data --json
check 0 'volume data: grow 0' volume grow data
check 0 'volume data: check 0' volume check data
check 4 'did you mean data' volume freeze dat
check 0 '^data$' complete volume freeze da

# on a terminal the page is redrawn, and q ends it
if command -v script >/dev/null; then
	serve
	mkfifo "$tmp/keys"
	script -qec "stty rows 40 cols 200; '$ctl' volume stats --watch --interval 1" /dev/null <"$tmp/keys" >"$tmp/screen" 2>&1 &
	screen=$!
	at_exit "kill $screen 2>/dev/null"
	exec 5>"$tmp/keys"
	wait_until 20 grep -qs 'WRITTEN/s' "$tmp/screen" || fail "stats --watch draws no rates: $(cat "$tmp/screen")"
	printf q >&5
	wait_until 10 test ! -e "/proc/$screen" || fail "q does not end stats --watch"
	exec 5>&-
fi
