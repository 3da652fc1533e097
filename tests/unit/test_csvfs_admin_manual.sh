#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# csvfs-admin(8) and the completion know every command, option and exit code.
# shellcheck source=tests/lib/testlib.sh
. "${top_srcdir:?}/tests/lib/testlib.sh"

admin=${top_builddir:?}/csvfs/admin/csvfs-admin
dir=$top_srcdir/csvfs/admin
bad=0

note() {
	echo "$*" >&2
	bad=$((bad + 1))
}

"$admin" --help >"$tmp/help" || fail "--help ends with $?"
grep -oE '^  [a-z][a-z-]*' "$tmp/help" | tr -d ' ' >"$tmp/commands"
grep -oE -- '--[a-z]+' "$tmp/help" | sort -u >"$tmp/options"
[ "$(wc -l <"$tmp/commands")" -eq "$(grep -c '^ADMIN_COMMAND' "$dir/admin_commands.def")" ] || note "--help shows other commands than there are"
while read -r command; do
	grep -qE "^\.(It|Cm) .*\b$command\b" "$dir/csvfs-admin.8" || note "csvfs-admin.8: no command $command"
done <"$tmp/commands"
while IFS=, read -r code _ meaning; do
	meaning=${meaning# \"}
	grep -A1 "^\.It ${code#*(}$" "$dir/csvfs-admin.8" | grep -qxF "${meaning%\")}" || note "csvfs-admin.8: exit code ${code#*(}: ${meaning%\")}"
done < <(sed -nE 's/^(ADMIN_EXIT\([0-9]+), ([A-Z_]+), (".*"\))$/\1,\2, \3/p' "$dir/admin_exits.def")

# shellcheck source=/dev/null
. "$dir/csvfs-admin.bash"
compopt() { :; }
complete_words() {
	COMP_WORDS=("$@")
	COMP_CWORD=$(($# - 1))
	_csvfs_admin
	printf '%s\n' "${COMPREPLY[@]}"
}
complete_words csvfs-admin '' | diff - "$tmp/commands" >&2 || note "the completion offers other commands"
complete_words csvfs-admin info -- | sort | diff - "$tmp/options" >&2 || note "the completion offers other options"
[ "$(complete_words csvfs-admin create --filesystem x)" = xfs ] || note "no completion of --filesystem"
[ "$(complete_words csvfs-admin redirect /run/x of)" = off ] || note "no completion of redirect"

"$admin" >/dev/null 2>&1 && note "without a command it succeeds"
"$admin" info /dev/null >"$tmp/out" 2>"$tmp/err"
[ $? -eq 4 ] || note "info /dev/null ends otherwise than with 4"
[ -s "$tmp/out" ] && note "a failure shows a result"
grep -q 'Block device required' "$tmp/err" || note "info /dev/null: $(cat "$tmp/err")"
[ "$bad" -eq 0 ] || fail "$bad findings"
