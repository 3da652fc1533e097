#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The leases of a volume over some hundred seeds: no invariant broken, and everything that it can do does happen.
set -eu
seeds=${SIM_VOLUME_SEEDS:-200}
sim=${top_builddir:-.}/tests/sim/sim_volume
"$sim" --seeds "1..$seeds" --coverage || {
	code=$?
	echo "repeat with: $sim --seeds 1..$seeds --coverage"
	exit $code
}
# A second run of a seed is the same run.
first=$("$sim" --seed 7 --verbose | tail -n 1)
second=$("$sim" --seed 7 --verbose | tail -n 1)
[ "$first" = "$second" ] || {
	echo "FAIL: seed 7 ran differently: '$first', then '$second'"
	exit 1
}
# What people type wrong is said, and is not a verdict.
for bad in "--seed x" "--seed 0" "--seeds 5" "--seeds 9..1" "--canary none --seed 1" ""; do
	# shellcheck disable=SC2086
	if "$sim" $bad >/dev/null 2>&1 || [ $? -ne 2 ]; then
		echo "FAIL: sim_volume $bad: exit code 2 was expected"
		exit 1
	fi
done
echo "sim_volume: clean"
