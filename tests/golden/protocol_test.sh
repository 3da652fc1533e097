#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# proto/PROTOCOL.md says what the tables say.
# shellcheck source=tests/lib/testlib.sh
. "${top_srcdir:?}/tests/lib/testlib.sh"

"${top_builddir:?}/proto/protocol_doc" >"$tmp/PROTOCOL.md" || fail "protocol_doc failed"
diff -u "$top_srcdir/proto/PROTOCOL.md" "$tmp/PROTOCOL.md" ||
	fail "proto/PROTOCOL.md is not what the tables say: $top_builddir/proto/protocol_doc >proto/PROTOCOL.md"
echo "proto/PROTOCOL.md: $(wc -l <"$tmp/PROTOCOL.md") lines, as the tables say"
