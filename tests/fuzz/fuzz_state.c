/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A state as a peer's snapshot or a database may bring it, objects that do not fit together included: it loads,
 * indexes, and comes out as it went in, without a crash.
 */
#include <string.h>

#include "clusterd/core/state.h"
#include "tests/fuzz/fuzz_require.h"

#define SNAPSHOT_MAX (1 << 20)

static struct state state;

static size_t snapshot(uint8_t *out)
{
	struct writer w = writer_of(out, SNAPSHOT_MAX);
	uint64_t cursor = 0;

	FUZZ_REQUIRE(state_encode_next(&state, &cursor, &w));
	return writer_len(&w);
}

static void load(const uint8_t *data, size_t size)
{
	struct reader r = reader_of(data, size);

	while (reader_left(&r) && !state_put_encoded(&state, &r))
		;
	state_reindex(&state);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t first[SNAPSHOT_MAX], second[SNAPSHOT_MAX];
	uint64_t digest;
	uint32_t rules;
	size_t n;

	if (size > FRAME_MAX)
		return 0;
	state_clear(&state);
	load(data, size);
	digest = state.digest;
	FUZZ_REQUIRE(digest == state_digest_recompute(&state));
	for (uint32_t id = 1; id <= state.high[KIND_ROLE]; id++)
		state_rules_of(&state, id, &rules);
	n = snapshot(first);
	state_clear(&state);
	load(first, n);
	FUZZ_REQUIRE(state.digest == digest);
	FUZZ_REQUIRE(snapshot(second) == n && !memcmp(first, second, n));
	return 0;
}
