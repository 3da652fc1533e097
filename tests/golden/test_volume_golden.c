/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Golden bytes of the messages of a shared volume (tests/golden/volume/NAME.hex), and what their decoder refuses: every
 * length but the whole, and every field beyond its bound. A node of another release must understand them; so bytes behind the
 * known fields, which a later one may add, are left alone.
 */
#include <fcntl.h>
#include <unistd.h>

#include "proto/volume.h"

#include "tests/golden/golden_hex.h"

enum volume_type { VT_U8, VT_U16, VT_U32, VT_U64, VT_FNAME, VT_TEXT, VT_FID, VT_CRED, VT_ATTR, VT_LATENCY, VT_BYTES };

struct volume_field {
	const char *name;
	enum volume_type type;
	size_t offset;
};

struct volume_message {
	const char *name;
	uint16_t number;
	const struct volume_field *fields;
	size_t n_fields;
};

#define VOL(number, symbol, name, kind, answer, help) static const struct volume_field fields_##name[] = {
#define VFIELD(parent, type, member, help) { #member, VT_##type, offsetof(struct vol_message, parent.member) },
#define VOL_END(name) \
	}             \
	;
#include "proto/volume.def"
#undef VOL
#undef VFIELD
#undef VOL_END

static const struct volume_message messages[] = {
#define VOL(number, symbol, name, kind, answer, help) { #name, (number), fields_##name, ARRAY_SIZE(fields_##name) },
#define VFIELD(parent, type, member, help)
#define VOL_END(name)
#include "proto/volume.def"
#undef VOL
#undef VFIELD
#undef VOL_END
};

#define FRAME_ROOM 4096

static const uint8_t payload[] = { 0xde, 0xad, 0xbe, 0xef };

static void fill_field(struct vol_message *m, const struct volume_field *f, size_t index)
{
	void *at = (uint8_t *)m + f->offset;
	uint32_t i = (uint32_t)index;

	switch (f->type) {
	case VT_U8:
		*(uint8_t *)at = 1;
		break;
	case VT_U16:
		*(uint16_t *)at = (uint16_t)(0x1100 + i);
		break;
	case VT_U32:
		*(uint32_t *)at = 0x33221100u + i;
		break;
	case VT_U64:
		*(uint64_t *)at = 0x7766554433221100u + i;
		break;
	case VT_FNAME:
	case VT_TEXT:
		memcpy(at, f->name, strlen(f->name) + 1);
		break;
	case VT_FID:
		*(struct vol_fid *)at = (struct vol_fid){ .len = 8, .type = 1, .data = { 1, 2, 3, 4, 5, 6, 7, (uint8_t)i } };
		break;
	case VT_CRED:
		*(struct vol_cred *)at =
			(struct vol_cred){ .uid = 1000, .gid = 100, .umask = 022, .n_groups = 2, .groups = { 7, 8 } };
		break;
	case VT_ATTR:
		*(struct vol_attr *)at = (struct vol_attr){ .ino = 12, .size = 13, .blocks = 14, .rdev = 15, .mode = 0100644,
							    .nlink = 1, .uid = 16, .gid = 17, .blksize = 4096,
							    .atime_ns = -1, .mtime_ns = 18, .ctime_ns = 19 };
		break;
	case VT_LATENCY:
		for (uint32_t k = 0; k < VOL_LATENCY_BUCKETS; k++)
			((struct vol_latency *)at)->n[k] = 100u * i + k;
		break;
	case VT_BYTES:
		*(struct span *)at = (struct span){ payload, sizeof(payload) };
		break;
	}
}

static size_t field_width(const struct vol_message *m, const struct volume_field *f)
{
	static const size_t width[] = { [VT_U8] = 1, [VT_U16] = 2, [VT_U32] = 4, [VT_U64] = 8, [VT_CRED] = 14 + 8, [VT_ATTR] = 76,
					[VT_LATENCY] = 8 * (size_t)VOL_LATENCY_BUCKETS };
	const void *at = (const uint8_t *)m + f->offset;

	if (f->type == VT_FNAME || f->type == VT_TEXT)
		return 2 + strlen(at);
	if (f->type == VT_FID)
		return 2 + (size_t)((const struct vol_fid *)at)->len;
	if (f->type == VT_BYTES)
		return ((const struct span *)at)->len;
	return width[f->type];
}

static void say_header(const uint8_t *frame)
{
	static const struct {
		const char *name;
		size_t width;
	} parts[] = {
		{ "magic", 4 },	  { "version", 2 },  { "type", 2 },	{ "length", 4 },     { "error", 4 },
		{ "request", 8 }, { "answered", 8 }, { "reserved", 4 }, { "header_crc", 4 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		say_bytes(parts[i].name, frame, parts[i].width);
		frame += parts[i].width;
	}
}

static struct vol_message example(const struct volume_message *t)
{
	struct vol_message m = { .type = t->number, .request = 0x0123456789abcdef, .answered = 42 };

	for (size_t i = 0; i < t->n_fields; i++)
		fill_field(&m, &t->fields[i], i);
	return m;
}

static enum frame_fault decode(const uint8_t *frame, size_t n, struct vol_message *ret)
{
	size_t body;
	enum frame_fault fault = n < VOL_HEADER_SIZE ? FRAME_LENGTH_WRONG : vol_decode_header(frame, ret, &body);

	if (!fault && body != n - VOL_HEADER_SIZE)
		return FRAME_LENGTH_WRONG;
	return fault ? fault : vol_decode_body(frame + VOL_HEADER_SIZE, body, ret);
}

static void check_golden_bytes(const struct volume_message *t)
{
	struct vol_message m = example(t), got;
	uint8_t frame[FRAME_ROOM], golden[FRAME_ROOM], again[FRAME_ROOM];
	size_t at = VOL_HEADER_SIZE, n_golden;
	int n = vol_encode(&m, frame, sizeof(frame), false);

	REQUIRE(n >= VOL_HEADER_SIZE);
	text_len = 0;
	say("# message %u of a volume, %s: the frame's header, then its fields\n", t->number, t->name);
	say_header(frame);
	for (size_t i = 0; i < t->n_fields; i++) {
		size_t width = field_width(&m, &t->fields[i]);

		say_bytes(t->fields[i].name, frame + at, width);
		at += width;
	}
	CHECK_EQ(at, n);
	n_golden = check_golden(t->name, golden, sizeof(golden));
	CHECK_EQ(decode(golden, n_golden, &got), FRAME_OK);
	CHECK_EQ(vol_encode(&got, again, sizeof(again), false), n_golden);
	CHECK_MEM(again, golden, n_golden);
}

/* --- what is refused --- */

/* Cut anywhere it is no message, unless what is cut off belongs to BYTES, which take what there is. */
static void check_cut(const struct volume_message *t, const uint8_t *body, size_t len)
{
	bool open_end = t->fields[t->n_fields - 1].type == VT_BYTES;
	size_t fixed = open_end ? len - sizeof(payload) : len;
	struct vol_message m = { .type = t->number };

	for (size_t cut = 0; cut < fixed; cut++) {
		uint8_t *exact = malloc(cut ? cut : 1); /* so that a sanitizer sees who reads behind it */

		REQUIRE(exact);
		memcpy(exact, body, cut);
		if (!CHECK_EQ(vol_decode_body(exact, cut, &m), FRAME_BODY_BAD))
			fprintf(stderr, "\t%s cut to %zu of %zu\n", t->name, cut, len);
		free(exact);
	}
}

/* A later release adds fields at the end: they are passed over. */
static void check_longer(const struct volume_message *t, const uint8_t *body, size_t len)
{
	static uint8_t longer[FRAME_ROOM + 64];
	struct vol_message m = { .type = t->number };
	uint8_t again[FRAME_ROOM + 64];

	memcpy(longer, body, len);
	memset(longer + len, 0x5a, 64);
	CHECK_EQ(vol_decode_body(longer, len + 64, &m), FRAME_OK);
	CHECK(vol_encode(&m, again, sizeof(again), false) >= (int)(VOL_HEADER_SIZE + len));
	CHECK_MEM(again + VOL_HEADER_SIZE, body, len);
}

static enum frame_fault decode_put(const struct volume_message *t, const uint8_t *body, size_t len, size_t at, const void *put,
				   size_t n)
{
	struct vol_message m = { .type = t->number };
	uint8_t *bad = malloc(len);
	enum frame_fault fault;

	REQUIRE(bad && at + n <= len);
	memcpy(bad, body, len);
	memcpy(bad + at, put, n);
	fault = vol_decode_body(bad, len, &m);
	free(bad);
	return fault;
}

/* Each field beyond its bound, in room that would hold it. */
static void check_bounds(const struct volume_message *t, const uint8_t *body, size_t len)
{
	static const uint8_t many[2] = { 0xff, 0xff }, name_long[2] = { VOL_FNAME_SIZE & 0xff, VOL_FNAME_SIZE >> 8 },
			     groups[2] = { VOL_GROUPS_MAX + 1, 0 }, fid[1] = { VOL_FID_MAX + 1 };
	static uint8_t roomy[FRAME_ROOM];
	struct vol_message m = example(t);
	size_t at = 0;

	memset(roomy, 'x', sizeof(roomy));
	memcpy(roomy, body, len);
	for (size_t i = 0; i < t->n_fields; i++) {
		const struct volume_field *f = &t->fields[i];
		enum volume_type type = f->type;

		if (type == VT_FNAME || type == VT_TEXT)
			CHECK_EQ(decode_put(t, roomy, sizeof(roomy), at, name_long, 2), FRAME_BODY_BAD);
		if (type == VT_FNAME || type == VT_TEXT || type == VT_CRED)
			CHECK_EQ(decode_put(t, roomy, sizeof(roomy), at + (type == VT_CRED ? 12 : 0), many, 2), FRAME_BODY_BAD);
		if (type == VT_CRED)
			CHECK_EQ(decode_put(t, roomy, sizeof(roomy), at + 12, groups, 2), FRAME_BODY_BAD);
		if (type == VT_FID)
			CHECK_EQ(decode_put(t, roomy, sizeof(roomy), at, fid, 1), FRAME_BODY_BAD);
		if (type == VT_FNAME) {
			CHECK_EQ(decode_put(t, roomy, sizeof(roomy), at + 2, "/", 1), FRAME_BODY_BAD);
			CHECK_EQ(decode_put(t, roomy, sizeof(roomy), at, "\2\0..", 4), FRAME_BODY_BAD);
			CHECK_EQ(decode_put(t, roomy, sizeof(roomy), at, "\1\0.", 3), FRAME_BODY_BAD);
			CHECK_EQ(decode_put(t, roomy, sizeof(roomy), at + 2, "\0", 1), FRAME_BODY_BAD);
		}
		at += field_width(&m, f);
	}
}

static void check_refusals(const struct volume_message *t)
{
	struct vol_message m = example(t);
	uint8_t frame[FRAME_ROOM];
	int n = vol_encode(&m, frame, sizeof(frame), false);
	const uint8_t *body = frame + VOL_HEADER_SIZE;
	size_t len = (size_t)n - VOL_HEADER_SIZE;

	REQUIRE(n >= VOL_HEADER_SIZE);
	check_cut(t, body, len);
	if (t->fields[t->n_fields - 1].type != VT_BYTES)
		check_longer(t, body, len);
	check_bounds(t, body, len);
	/* An answer with an error has no fields. */
	m.error = ENOENT;
	CHECK_EQ(vol_decode_body(body, len, &m), FRAME_BODY_BAD);
	CHECK_EQ(vol_decode_body(body, 0, &m), FRAME_OK);
}

/* --- where fuzzing begins --- */

static void check_corpus(const struct volume_message *t)
{
	const char *top = getenv("top_srcdir");
	uint8_t frame[FRAME_ROOM];
	struct vol_message m = example(t);
	char path[4096];
	cleanup_fd int fd = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/fuzz_volume/%s", top ? top : ".", t->name);
	fd = open(path, writing ? O_RDWR | O_CREAT : O_RDONLY, 0644);
	n = fd < 0 ? -1 : read(fd, frame, sizeof(frame));
	if (writing && (n < 0 || decode(frame, (size_t)n, &m) != FRAME_OK)) {
		m = example(t);
		n = vol_encode(&m, frame, sizeof(frame), false);
		REQUIRE(n > 0 && !ftruncate(fd, 0) && pwrite(fd, frame, (size_t)n, 0) == n);
	}
	if (!CHECK(n > 0 && decode(frame, (size_t)n, &m) == FRAME_OK && m.type == t->number))
		fprintf(stderr, "\t%s is no such message: make it with --write\n", path);
}

int main(int argc, char **argv)
{
	golden_begin(argc, argv, "volume");
	for (size_t i = 0; i < ARRAY_SIZE(messages); i++) {
		check_golden_bytes(&messages[i]);
		check_refusals(&messages[i]);
		check_corpus(&messages[i]);
	}
	return check_result();
}
