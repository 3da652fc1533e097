/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames of a cluster shared volume: as they come, and with the header put right so that the fuzzer gets past it. */
#include <string.h>
#include <zlib.h>

#include "proto/volume.h"
#include "tests/fuzz/fuzz_require.h"
#include "tests/fuzz/fuzz_seal.h"

static void decode(const uint8_t *data, size_t size)
{
	static uint8_t again[VOL_HEADER_SIZE + VOL_BODY_MAX];
	struct vol_message m;
	size_t body;
	int len;

	if (size < VOL_HEADER_SIZE || vol_decode_header(data, &m, &body) != FRAME_OK)
		return;
	FUZZ_REQUIRE(body <= VOL_BODY_MAX);
	if (body != size - VOL_HEADER_SIZE || vol_decode_body(data + VOL_HEADER_SIZE, body, &m) != FRAME_OK)
		return;
	len = vol_encode(&m, again, sizeof(again), false);
	/* Bytes after the known fields are a newer peer's; all others come back. */
	FUZZ_REQUIRE(len >= VOL_HEADER_SIZE && (size_t)len <= size);
	FUZZ_REQUIRE(!memcmp(again + VOL_HEADER_SIZE, data + VOL_HEADER_SIZE, (size_t)len - VOL_HEADER_SIZE));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *frame;

	decode(data, size);
	if (size < VOL_HEADER_SIZE)
		return 0;
	frame = malloc(size);
	FUZZ_REQUIRE(frame);
	memcpy(frame, data, size);
	fuzz_put_u32(frame, VOL_MAGIC);
	frame[4] = VOL_VERSION;
	frame[5] = 0;
	fuzz_put_u32(frame + 8, (uint32_t)(size - VOL_HEADER_SIZE));
	fuzz_put_u32(frame + 32, 0);
	fuzz_put_u32(frame + 36, (uint32_t)crc32(0, frame, 36));
	decode(frame, size);
	free(frame);
	return 0;
}
