#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Manual pages parse without a warning.
# shellcheck source=tests/lib/testlib.sh
. "${top_srcdir:?}/tests/lib/testlib.sh"

command -v mandoc >/dev/null || skip "mandoc is not installed (tests/packages)"
read -ra pages <<<"${MANUAL_PAGES:-}"
[ ${#pages[@]} -gt 0 ] || skip "no manual page yet"
bad=0
for page in "${pages[@]}"; do
	mandoc -T lint -W warning "$top_srcdir/$page" || bad=$((bad + 1))
done
[ "$bad" -eq 0 ] || fail "$bad of ${#pages[@]} manual pages have findings"
echo "${#pages[@]} manual pages, no findings"
