#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Every shell script passes shellcheck.
# shellcheck source=tests/lib/testlib.sh
. "${top_srcdir:?}/tests/lib/testlib.sh"

command -v shellcheck >/dev/null || skip "shellcheck is not installed (tests/packages)"
cd "$top_srcdir" || exit 1
mapfile -t scripts < <("$PYTHON3" -B -c 'import sys
sys.path.insert(0, "tests/lint")
import lint_tree
print("\n".join(lint_tree.shell_scripts()))')
[ ${#scripts[@]} -gt 5 ] || fail "only ${#scripts[@]} scripts were found"
# SC1091: sourced files are checked by themselves; SC2015: `a && b || c` is meant; SC2016: so are quoted dollars;
# SC2317: commands in functions that traps call are reachable.
shellcheck --severity=info --exclude=SC1091,SC2015,SC2016,SC2317 "${scripts[@]}" || fail "shellcheck has findings"
echo "${#scripts[@]} scripts, no findings"
