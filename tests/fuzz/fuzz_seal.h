/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Puts the checksums of a frame right, so that a fuzzer gets past them to what they protect. */
#ifndef TESTS_FUZZ_SEAL_H
#define TESTS_FUZZ_SEAL_H

#include <zlib.h>

#include "proto/message.h"

static inline void fuzz_put_u32(uint8_t *at, uint32_t v)
{
	struct writer w = writer_of(at, 4);

	put_u32(&w, v);
}

/* `len` is at least FRAME_HEADER_SIZE. */
static inline void fuzz_seal(uint8_t *frame, size_t len)
{
	size_t body = len - FRAME_HEADER_SIZE;

	fuzz_put_u32(frame + 8, (uint32_t)body);
	fuzz_put_u32(frame + 40, (uint32_t)crc32(0, frame + FRAME_HEADER_SIZE, (uInt)body));
	fuzz_put_u32(frame + 44, (uint32_t)crc32(0, frame, 44));
}

#endif
