#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# tidy_run.sh CLANG-TIDY SRCDIR FILE... -- FLAG...: clang-tidy over each file by itself (its analyzer mixes up
# va_lists of several files in one run), as many at once as there are CPUs; findings of .clang-tidy's checks fail.
set -u
tidy=$1 dir=$2
shift 2
files=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
	files+=("$1")
	shift
done
shift

tidy_one() {
	local tidy=$1 dir=$2 file=$3 out

	shift 3
	if out=$(cd "$dir" && "$tidy" --quiet --header-filter="^$dir/" "$file" -- "$@" 2>&1); then
		return 0
	fi
	printf 'FAIL: %s\n%s\n' "$file" "$out"
	return 1
}
export -f tidy_one
printf '%s\0' "${files[@]}" |
	xargs -0 -P "$(nproc)" -I '{}' bash -c 'tidy_one "$@"' bash "$tidy" "$dir" '{}' "$@"
status=$?
echo "clang-tidy: ${#files[@]} files, $([ "$status" -eq 0 ] && echo no findings || echo findings above)"
[ "$status" -eq 0 ]
