/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bounded cursors over little-endian bytes. A reader or writer that ran past its end is `bad` for good: every later get
 * returns 0 and every later put writes nothing, so a decoder checks once, at the end. Nothing here can touch a byte
 * outside [data, data+len).
 */
#ifndef CLUSTER_BYTES_H
#define CLUSTER_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct reader {
	const uint8_t *p, *end;
	bool bad;
};

struct writer {
	uint8_t *start, *p, *end;
	bool bad;
};

static inline struct reader reader_of(const void *data, size_t len)
{
	const uint8_t *p = data;

	return (struct reader){ .p = p, .end = p ? p + len : p };
}

static inline struct writer writer_of(void *data, size_t len)
{
	uint8_t *p = data;

	return (struct writer){ .start = p, .p = p, .end = p + len };
}

static inline size_t reader_left(const struct reader *r) { return r->bad ? 0 : (size_t)(r->end - r->p); }
static inline size_t writer_len(const struct writer *w) { return (size_t)(w->p - w->start); }

/* The next `n` bytes, or NULL (and bad) when there are fewer. */
static inline const uint8_t *get_bytes(struct reader *r, size_t n)
{
	const uint8_t *p = r->p;

	if (r->bad || (size_t)(r->end - r->p) < n) {
		r->bad = true;
		return NULL;
	}
	r->p += n;
	return p;
}

static inline uint64_t get_le(struct reader *r, unsigned int width)
{
	const uint8_t *b = get_bytes(r, width);
	uint64_t v = 0;

	if (!b)
		return 0;
	for (unsigned int i = width; i-- > 0;)
		v = v << 8 | b[i];
	return v;
}

static inline uint8_t get_u8(struct reader *r) { return (uint8_t)get_le(r, 1); }
static inline uint16_t get_u16(struct reader *r) { return (uint16_t)get_le(r, 2); }
static inline uint32_t get_u32(struct reader *r) { return (uint32_t)get_le(r, 4); }
static inline uint64_t get_u64(struct reader *r) { return get_le(r, 8); }

/* A u16 length and that many bytes into a NUL-terminated buffer; bad when it does not fit or holds a NUL. */
static inline void get_text(struct reader *r, char *out, size_t size)
{
	size_t n = get_u16(r);
	const uint8_t *b;

	out[0] = '\0';
	if (n >= size) {
		r->bad = true;
		return;
	}
	b = get_bytes(r, n);
	if (!b)
		return;
	if (memchr(b, 0, n)) {
		r->bad = true;
		return;
	}
	memcpy(out, b, n);
	out[n] = '\0';
}

static inline void put_bytes(struct writer *w, const void *data, size_t n)
{
	if (w->bad || (size_t)(w->end - w->p) < n) {
		w->bad = true;
		return;
	}
	if (n)
		memcpy(w->p, data, n);
	w->p += n;
}

static inline void put_le(struct writer *w, uint64_t v, unsigned int width)
{
	uint8_t b[8];

	for (unsigned int i = 0; i < width; i++)
		b[i] = (uint8_t)(v >> (8 * i));
	put_bytes(w, b, width);
}

static inline void put_u8(struct writer *w, uint8_t v) { put_le(w, v, 1); }
static inline void put_u16(struct writer *w, uint16_t v) { put_le(w, v, 2); }
static inline void put_u32(struct writer *w, uint32_t v) { put_le(w, v, 4); }
static inline void put_u64(struct writer *w, uint64_t v) { put_le(w, v, 8); }

static inline void put_text(struct writer *w, const char *s)
{
	size_t n = strlen(s);

	if (n > UINT16_MAX) {
		w->bad = true;
		return;
	}
	put_u16(w, (uint16_t)n);
	put_bytes(w, s, n);
}

#endif
