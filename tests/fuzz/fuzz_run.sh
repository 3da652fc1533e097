#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# fuzz_run.sh SECONDS FUZZDIR TARGET...: runs the libFuzzer binaries of fuzz.d/bin, each SECONDS long, as many at once as
# there are CPUs. New inputs go to fuzz.d/corpus; what crashes stays in fuzz.d/TARGET-* with the command that repeats it.
set -u
seconds=$1 dir=$2
shift 2
targets=("$@")
[ ${#targets[@]} -gt 0 ] || { echo "fuzz: no targets"; exit 0; }

run_one() {
	local name=$1 new=fuzz.d/corpus/$1 log=fuzz.d/$1.log known=()

	mkdir -p "$new"
	[ -d "$dir/corpus/$name" ] && known=("$dir/corpus/$name")
	if "fuzz.d/bin/$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65536 -print_final_stats=1 \
		-artifact_prefix="fuzz.d/$name-" "$new" "${known[@]}" >"$log" 2>&1; then
		echo "PASS: $name $(sed -n 's/^stat::number_of_executed_units: */runs /p' "$log")"
		return 0
	fi
	echo "FAIL: $name: last lines of $log:"
	tail -n 40 "$log"
	echo "repeat with: fuzz.d/bin/$name fuzz.d/$name-*"
	return 1
}

failed=0
running=0
limit=$(nproc)
for name in "${targets[@]}"; do
	if [ "$running" -ge "$limit" ]; then
		wait -n || failed=$((failed + 1))
		running=$((running - 1))
	fi
	run_one "$name" &
	running=$((running + 1))
done
while [ "$running" -gt 0 ]; do
	wait -n || failed=$((failed + 1))
	running=$((running - 1))
done
echo "fuzz: ${#targets[@]} targets, $seconds s each, $failed failed"
[ "$failed" -eq 0 ]
