#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# "No I/O, no clock, no allocation" is checked, not believed: what the pure archives need from outside is on this list.
# shellcheck source=tests/lib/testlib.sh
. "${top_srcdir:?}/tests/lib/testlib.sh"

allowed='memchr|memcmp|memcpy|memmove|memset|strchr|strrchr|strstr|strspn|strcspn|strpbrk|strcmp|strncmp|strncpy|strlen|strnlen'
allowed="$allowed|snprintf|vsnprintf|bsearch|strtol|strtoul|strtoll|strtoull|__ctype_b_loc"
allowed="$allowed|__isoc23_strtol|__isoc23_strtoul|__isoc23_strtoll|__isoc23_strtoull|__errno_location"
# An assertion ends the process; that is what it is for.
allowed="$allowed|abort|__assert_fail"
# Checksums of their arguments. qsort is not here: glibc's allocates, and equal elements come in any order.
allowed="$allowed|crc32|crc32_z|XXH64|XXH3_64bits|XXH3_64bits_withSeed|XXH3_64bits_reset|XXH3_64bits_update|XXH3_64bits_digest"
allowed="$allowed|XXH3_128bits"
# What compilers add: arithmetic, bcmp for memcmp, checked variants, stack protector, sanitizers.
allowed="$allowed|bcmp|__popcountdi2|__u?divti3|__u?modti3|__multi3|_GLOBAL_OFFSET_TABLE_|__stack_chk_fail|__(memcpy|memmove|memset|snprintf|vsnprintf)_chk"
allowed="$allowed|__(asan|ubsan|tsan|sanitizer)_.*|__start___sancov_.*|__stop___sancov_.*"

check_archive() {
	local archive=$1 others=("${@:2}") needed

	[ -f "$top_builddir/$archive" ] || fail "$archive is not built"
	"$NM" --defined-only "$top_builddir/$archive" "${others[@]/#/$top_builddir/}" |
		awk 'NF == 3 { print $3 }' | sort -u >"$tmp/defined"
	"$NM" -A -u "$top_builddir/$archive" | awk '$(NF - 1) == "U" || $(NF - 1) == "w" { print $NF, $1 }' | sort -u >"$tmp/undefined"
	needed=$(awk -v allowed="^($allowed)\$" 'NR == FNR { have[$1]; next } !($1 in have) && $1 !~ allowed' \
		"$tmp/defined" "$tmp/undefined")
	[ -z "$needed" ] || { echo "$needed"; fail "$archive uses what a pure layer must not (symbol, object)"; }
	echo "$archive: $(wc -l <"$tmp/undefined") references, all allowed"
}

check_archive libcluster-proto.a
check_archive libcluster-core.a libcluster-proto.a
check_archive libcsvfs-core.a libcluster-proto.a
