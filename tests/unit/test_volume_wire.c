/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages of a shared volume: what decodes encodes to the same bytes, and not into a byte less. */
#include "proto/volume.h"
#include "splitmix.h"
#include "tests/lib/check.h"

#define ROUNDS 400
#define BODY 2048

static const uint16_t types[] = {
#define VOL(number, symbol, name, kind, answer, help) (number),
#define VFIELD(parent, type, member, help)
#define VOL_END(name)
#include "proto/volume.def"
#undef VOL
#undef VFIELD
#undef VOL_END
};
static uint8_t frame[VOL_HEADER_SIZE + BODY], again[VOL_HEADER_SIZE + BODY];

static void round_trip(uint16_t type, uint64_t *rng, int *decoded)
{
	struct vol_message m = { .type = type, .request = splitmix_next(rng), .answered = splitmix_next(rng) }, back;
	uint8_t body[BODY];
	size_t len;
	int n;

	/* Mostly zeros: lengths are then small and valid. */
	for (size_t i = 0; i < BODY; i++)
		body[i] = splitmix_next(rng) % 40 ? 0 : (uint8_t)(splitmix_next(rng) % 25);
	if (vol_decode_body(body, BODY, &m) != FRAME_OK)
		return;
	++*decoded;
	n = vol_encode(&m, frame, sizeof(frame), false);
	REQUIRE(n >= VOL_HEADER_SIZE);
	CHECK_MEM(frame + VOL_HEADER_SIZE, body, (size_t)n - VOL_HEADER_SIZE);
	CHECK_EQ(vol_decode_header(frame, &back, &len), FRAME_OK);
	CHECK_EQ(len, n - VOL_HEADER_SIZE);
	CHECK_EQ(vol_decode_body(frame + VOL_HEADER_SIZE, len, &back), FRAME_OK);
	CHECK(back.type == type && back.request == m.request && back.answered == m.answered);
	CHECK_EQ(vol_encode(&back, again, sizeof(again), false), n);
	CHECK_MEM(again, frame, (size_t)n);
	CHECK_EQ(vol_encode(&m, again, (size_t)n - 1, false), -E2BIG);
}

int main(void)
{
	uint64_t rng = 1;

	for (size_t t = 0; t < ARRAY_SIZE(types); t++) {
		int decoded = 0;

		for (int i = 0; i < ROUNDS; i++)
			round_trip(types[t], &rng, &decoded);
		if (!CHECK(decoded > 0))
			fprintf(stderr, "\t%s\n", vol_name(types[t]));
	}
	return check_result();
}
