/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames from the network: as they come, and with the checksums put right so that the fuzzer gets past them. */
#include <string.h>

#include "tests/fuzz/fuzz_require.h"
#include "tests/fuzz/fuzz_seal.h"

static void decode(const uint8_t *data, size_t size)
{
	static uint8_t again[FRAME_MAX];
	struct message m;
	int len;

	if (message_decode(data, size, &m) != FRAME_OK)
		return;
	FUZZ_REQUIRE(size <= FRAME_MAX);
	len = message_encode(&m, again, sizeof(again));
	/* Bytes after the known fields are a newer peer's; all others come back. */
	FUZZ_REQUIRE(len >= FRAME_HEADER_SIZE && (size_t)len <= size);
	FUZZ_REQUIRE(!memcmp(again + FRAME_HEADER_SIZE, data + FRAME_HEADER_SIZE, (size_t)len - FRAME_HEADER_SIZE));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *frame;

	decode(data, size);
	if (size < FRAME_HEADER_SIZE)
		return 0;
	frame = malloc(size);
	FUZZ_REQUIRE(frame);
	memcpy(frame, data, size);
	fuzz_put_u32(frame, FRAME_MAGIC);
	fuzz_put_u32(frame + 12, 0);
	frame[4] = FRAME_VERSION;
	frame[5] = 0;
	fuzz_seal(frame, size);
	decode(frame, size);
	free(frame);
	return 0;
}
