# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# For shell tests: . "${top_srcdir:?}/tests/lib/testlib.sh" gives $tmp (removed on every way out), fail, skip, wait_until.

: "${top_srcdir:?run the test by make check TESTS=..., or set top_srcdir and top_builddir}"
: "${top_builddir:?run the test by make check TESTS=..., or set top_srcdir and top_builddir}"
# shellcheck disable=SC2034  # for the test that sources this
tmp=$(mktemp -d "${TMPDIR:-/tmp}/clusterd-test.XXXXXX") || exit 1
test_at_exit=("rm -rf '$tmp'")
test_exit() {
	local status=$? i

	for ((i = ${#test_at_exit[@]} - 1; i >= 0; i--)); do
		eval "${test_at_exit[i]}"
	done
	exit "$status"
}
trap test_exit EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# at_exit COMMAND: runs at the end, the last added first, also when the test is interrupted.
at_exit() { test_at_exit+=("$*"); }

fail() {
	echo "FAIL: $*" >&2
	echo "repeat with: make check TESTS=tests/${0##*/tests/}" >&2
	exit 1
}

skip() {
	echo "SKIP: $*" >&2
	exit 77
}

# wait_until SECONDS COMMAND...: until the command succeeds; returns 1 when the time is over.
wait_until() {
	local end=$((SECONDS + $1))

	shift
	until "$@"; do
		[ "$SECONDS" -lt "$end" ] || return 1
		read -rt 0.05 <> <(:) || :
	done
}
