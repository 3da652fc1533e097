#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Manual pages parse without a warning, and know each option that --help of their program shows.
# shellcheck source=tests/lib/testlib.sh
. "${top_srcdir:?}/tests/lib/testlib.sh"

command -v mandoc >/dev/null || skip "mandoc is not installed (tests/packages)"
read -ra pages <<<"${MANUAL_PAGES:-}"
[ ${#pages[@]} -gt 0 ] || skip "no manual page yet"
bad=0
for page in "${pages[@]}"; do
	mandoc -T lint -W warning "$top_srcdir/$page" || bad=$((bad + 1))
	# Each quoted word has its own quotes: ".Ql a , b" quotes the comma too.
	# shellcheck disable=SC1112  # the quotes of the manual, not of the shell
	mandoc -T utf8 -O width=1000 "$top_srcdir/$page" | sed 's/.\x08//g' | grep -E '‘[^’]*(, |‘)' &&
		bad=$((bad + 1))
done

for program in ${INSTALLED_PROGRAMS:-}; do
	for page in "${pages[@]}"; do
		case $page in */"${program##*/}".[18]) ;; *) continue ;; esac
		"$top_builddir/$program" --help 2>&1 | grep -oE -- '(^|[ ,])--[a-z][a-z-]+' | tr -d ' ,' | sort -u >"$tmp/help"
		mandoc -T ascii "$top_srcdir/$page" | sed 's/.\x08//g' | grep -oE -- '--[a-z][a-z-]+' | sort -u >"$tmp/page"
		[ -s "$tmp/help" ] || fail "$program --help names no option"
		comm -23 "$tmp/help" "$tmp/page" | sed "s|^|not in $page: |" >"$tmp/differ"
		cat "$tmp/differ"
		bad=$((bad + $(wc -l <"$tmp/differ")))
	done
done
[ "$bad" -eq 0 ] || fail "$bad findings in ${#pages[@]} manual pages"
echo "${#pages[@]} manual pages, no findings"
