#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The hardening that configure asked for is in the programs: read from the binaries, not from the flags.
# shellcheck source=tests/lib/testlib.sh
. "${top_srcdir:?}/tests/lib/testlib.sh"

[ "$HARDENED" = yes ] || skip "this build is not hardened (sanitizer or --disable-hardening)"
read -ra programs <<<"${INSTALLED_PROGRAMS:-}"
[ ${#programs[@]} -gt 0 ] || skip "no program is built yet"
bad=0
expect() { # PROGRAM WHAT PATTERN, on stdin what readelf said
	grep -Eq "$3" || { echo "$1: $2"; bad=$((bad + 1)); }
}

for program in "${programs[@]}"; do
	elf=$top_builddir/$program
	[ -f "$elf" ] || fail "$program is not built"
	"$READELF" -W -h "$elf" | expect "$program" "not position independent" 'Type: +DYN'
	"$READELF" -W -l "$elf" | expect "$program" "no read-only relocations (RELRO)" 'GNU_RELRO'
	"$READELF" -W -d "$elf" | expect "$program" "symbols are not bound at start (-z now)" 'BIND_NOW|FLAGS_1.*NOW'
	"$READELF" -W -l "$elf" | expect "$program" "executable stack" 'GNU_STACK.* RW +0x'
	"$READELF" -W --dyn-syms "$elf" | expect "$program" "no stack protector" '__stack_chk_fail'
	case "$FORTIFY" in *_FORTIFY_SOURCE=*)
		"$READELF" -W --dyn-syms "$elf" | expect "$program" "no fortified call" '__[a-z]+_chk(@|$)' ;;
	esac
	echo "$program: looked at"
done
[ "$bad" -eq 0 ] || fail "$bad protections are missing"
