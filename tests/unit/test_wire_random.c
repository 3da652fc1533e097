/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Properties of the codecs on random input: what is encoded comes back; a truncated or damaged frame is never accepted;
 * whatever an object decoder accepts has exactly one encoding, the accepted bytes. Arguments: first and last seed.
 */
#include <zlib.h>

#include "proto/message.h"
#include "proto/object_text.h"
#include "splitmix.h"

#include "tests/lib/any_names.h"
#include "tests/lib/check.h"

#define SEEDS 2000

static uint64_t random_state;

static uint64_t random_u64(void)
{
	return splitmix_next(&random_state);
}

static uint64_t random_below(uint64_t n)
{
	return random_u64() % n;
}

/* Mostly small, sometimes at an end of the range. */
static uint64_t random_between(uint64_t min, uint64_t max)
{
	uint64_t span = max - min;

	switch (random_below(4)) {
	case 0:
		return min;
	case 1:
		return max;
	case 2:
		return min + (span ? random_u64() % (span == UINT64_MAX ? span : span + 1) : 0);
	default:
		return min + (span < 16 ? span / 2 : random_below(16));
	}
}

static void random_text(char *out, size_t size, const char *from)
{
	size_t n = random_below(4) ? random_below(12) : random_below(size), letters = strlen(from);

	for (size_t i = 0; i < n; i++)
		out[i] = from[random_below(letters)];
	out[n] = '\0';
}

static void random_ids(uint16_t *list, size_t max, uint32_t highest)
{
	size_t n = random_below(8) ? random_below(max / 4 + 1) : max;
	uint32_t id = 0;

	for (size_t i = 0; i < n; i++) {
		uint32_t room = highest - id - (uint32_t)(n - i - 1);

		id += 1 + (uint32_t)random_below(room < 200 ? room : 50);
		list[i] = (uint16_t)id;
	}
}

static void random_nodelist(uint8_t *list)
{
	nodeset_t seen = 1;
	size_t n = random_below(4) ? random_below(5) : NODE_MAX;

	for (size_t i = 0; i < n;) {
		uint8_t id = (uint8_t)random_below(64);

		if (nodeset_has(seen, id))
			continue;
		seen |= NODE_BIT(id);
		list[i++] = id;
	}
}

static void random_deps(uint16_t (*deps)[DEPS_CHOICE_MAX])
{
	size_t n = random_below(DEPS_CLAUSE_MAX + 1);

	for (size_t i = 0; i < n; i++)
		for (size_t k = 0, choices = 1 + random_below(DEPS_CHOICE_MAX); k < choices; k++)
			deps[i][k] = (uint16_t)(1 + k * 4000 + random_below(4000));
}

static void random_params(char *out)
{
	size_t n = 0;

	for (int name = 'a'; name <= 'z'; name++)
		if (!random_below(3))
			n += (size_t)snprintf(out + n, PARAMS_SIZE - n, "%c%s=%llx\n", name, random_below(2) ? "x" : "",
					      (unsigned long long)random_u64());
}

static void random_field(const struct field *f, uint8_t *object)
{
	void *at = object + f->offset;
	uint64_t value;

	switch (f->type) {
	case FIELD_NAME:
	case FIELD_TEXT:
		random_text(at, f->size, "abcXYZ019._- \xc3\xa4\n");
		return;
	case FIELD_PARAMS:
		random_params(at);
		return;
	case FIELD_NODELIST:
		random_nodelist(at);
		return;
	case FIELD_ROLELIST:
		random_ids(at, ROLELIST_MAX, ROLE_MAX);
		return;
	case FIELD_SETLIST:
		random_ids(at, SETLIST_MAX, SET_MAX);
		return;
	case FIELD_VOLUMELIST:
		random_ids(at, VOLUMELIST_MAX, VOLUME_MAX);
		return;
	case FIELD_VOLUMESET:
		for (uint32_t id = 1; id <= VOLUME_MAX; id++)
			volume_set_put(at, id, !random_below(3));
		return;
	case FIELD_DEPS:
		random_deps(at);
		return;
	case FIELD_TIMES:
		for (size_t i = 0, n = random_below(UNCLEAN_MAX + 1); i < n; i++)
			((uint64_t *)at)[i] = 1 + random_below(UINT64_MAX);
		return;
	case FIELD_NODESET:
		value = random_u64() & random_u64() & ~(uint64_t)1; /* NOLINT: two draws, every fourth bit */
		break;
	case FIELD_TIME:
		value = random_between(0, UINT64_MAX);
		break;
	default:
		value = random_between(f->min, f->max);
		break;
	}
	if (f->size == 4)
		*(uint32_t *)at = (uint32_t)value;
	else
		*(uint64_t *)at = value;
}

static const struct object_type *random_object(union any_object *ret)
{
	const struct object_type *type = object_type(KIND_CLUSTER + (uint32_t)random_below(KIND_LAST));

	memset(ret, 0, sizeof(*ret));
	object_init(type, ret, 1 + (uint32_t)random_below(type->max));
	for (size_t i = 0; i < type->n_fields; i++)
		if (random_below(3))
			random_field(&type->fields[i], (uint8_t *)ret);
	if (type->kind == KIND_RESOURCE && !ret->resource.role)
		ret->resource.role = 1;
	return type;
}

static size_t encode(const struct object_type *type, const void *object, uint8_t *bytes)
{
	struct writer w = writer_of(bytes, OBJECT_ENCODED_MAX);

	object_encode(&w, type, object);
	REQUIRE(!w.bad);
	return writer_len(&w);
}

/* Decodes what may be damaged. What is accepted must encode to the very bytes that were read. */
static int decode_damaged(const uint8_t *bytes, size_t n)
{
	uint8_t again[OBJECT_ENCODED_MAX];
	const struct object_type *type;
	struct reader r = reader_of(bytes, n);
	union any_object got;
	size_t read;

	if (object_decode(&r, &type, &got, sizeof(got)) < 0)
		return -1;
	read = n - reader_left(&r);
	CHECK_EQ(encode(type, &got, again), read);
	CHECK_MEM(again, bytes, read);
	return reader_left(&r) ? 1 : 0;
}

static void test_object(void)
{
	uint8_t bytes[OBJECT_ENCODED_MAX];
	const struct object_type *got_type;
	union any_object made, got;
	const struct object_type *type = random_object(&made);
	size_t n = encode(type, &made, bytes);
	struct reader r = reader_of(bytes, n);

	CHECK_EQ(object_decode(&r, &got_type, &got, sizeof(got)), 0);
	CHECK_EQ(reader_left(&r), 0);
	CHECK_EQ(got_type, type);
	CHECK_MEM(&got, &made, type->size);
	CHECK_EQ(object_hash(type, &got), object_hash(type, &made));
	for (size_t i = 0; i < n; i++)
		CHECK(decode_damaged(bytes, i) < 0);
	for (int i = 0; i < 40; i++) {
		size_t at = random_below(n);
		uint8_t bit = (uint8_t)(1 << random_below(8));

		bytes[at] ^= bit;
		decode_damaged(bytes, n);
		bytes[at] ^= bit;
	}
}

/* What is printed is read back to the same value, for what people may set. */
static void test_text(void)
{
	char text[FIELD_TEXT_MAX], error[TEXT_SIZE];
	union any_object made, got;
	const struct object_type *type = random_object(&made);

	got = made;
	for (size_t i = 0; i < type->n_fields; i++) {
		const struct field *f = &type->fields[i];

		if (f->type == FIELD_NAME || f->type == FIELD_TEXT)
			continue;
		REQUIRE(field_print(f, &made, &any_names, text, sizeof(text)) >= 0);
		if (!strcmp(text, "?"))
			continue; /* an enum without a zero */
		if (!CHECK_EQ(field_parse(type, f, &got, EDIT_SET, text, &any_names, error), 0))
			fprintf(stderr, "\t%s=%s: %s\n", f->name, text, error);
	}
	CHECK_MEM(&got, &made, type->size);
}

static const uint16_t message_numbers[] = {
#define MESSAGE(number, symbol, name, sequenced, since, help) (number),
#define MFIELD(parent, type, member, help)
#define MESSAGE_END(name)
#include "proto/messages.def"
#undef MESSAGE
#undef MFIELD
#undef MESSAGE_END
};

static void random_u8(uint8_t *at)
{
	*at = (uint8_t)random_u64();
}
static void random_u16(uint16_t *at)
{
	*at = (uint16_t)random_u64();
}
static void random_u32(uint32_t *at)
{
	*at = (uint32_t)random_u64();
}
static void random_bytes(struct span *at)
{
	static uint8_t bytes[512];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)random_u64();
	*at = (struct span){ bytes, random_below(sizeof(bytes)) };
}

static void random_message(struct message *m)
{
	memset(m, 0, sizeof(*m));
	m->type = message_numbers[random_below(ARRAY_SIZE(message_numbers))];
	m->cluster_id = random_u64();
	m->view = random_u64();
	m->sent_ms = random_u64();
	switch (m->type) {
#define RANDOM_U8(at) random_u8(at)
#define RANDOM_U16(at) random_u16(at)
#define RANDOM_U32(at) random_u32(at)
#define RANDOM_U64(at) (*(at) = random_u64())
#define RANDOM_NAME(at) random_text(*(at), NAME_SIZE, "abc-")
#define RANDOM_TEXT(at) random_text(*(at), TEXT_SIZE, "abc \n\xff")
#define RANDOM_BYTES(at) random_bytes(at)
#define MESSAGE(number, symbol, name, sequenced, since, help) case number:
#define MFIELD(parent, type, member, help) RANDOM_##type(&m->parent.member);
#define MESSAGE_END(name) break;
#include "proto/messages.def"
#undef MESSAGE
#undef MFIELD
#undef MESSAGE_END
	}
}

static void put_u32_at(uint8_t *at, uint32_t v)
{
	struct writer w = writer_of(at, 4);

	put_u32(&w, v);
}

/* A damaged body under a CRC that is right: only the decoder's own checks stand between it and the core. */
static void decode_resealed(uint8_t *frame, size_t n)
{
	uint8_t again[FRAME_MAX];
	struct message got;
	int len;

	put_u32_at(frame + 40, (uint32_t)crc32(0, frame + FRAME_HEADER_SIZE, (uInt)(n - FRAME_HEADER_SIZE)));
	put_u32_at(frame + 44, (uint32_t)crc32(0, frame, 44));
	if (message_decode(frame, n, &got) != FRAME_OK)
		return;
	len = message_encode(&got, again, sizeof(again));
	CHECK(len >= FRAME_HEADER_SIZE && (size_t)len <= n); /* what follows the known fields is a newer peer's */
	if (len > FRAME_HEADER_SIZE)
		CHECK_MEM(again + FRAME_HEADER_SIZE, frame + FRAME_HEADER_SIZE, (size_t)len - FRAME_HEADER_SIZE);
}

static void test_message(void)
{
	uint8_t frame[8192], again[8192];
	struct message made, got;
	size_t n;
	int len;

	random_message(&made);
	len = message_encode(&made, frame, sizeof(frame));
	REQUIRE(len > 0);
	n = (size_t)len;
	CHECK_EQ(message_decode(frame, n, &got), FRAME_OK);
	CHECK_EQ(message_encode(&got, again, sizeof(again)), len);
	CHECK_MEM(again, frame, n);
	for (size_t i = 0; i < n; i++)
		CHECK(message_decode(frame, i, &got) != FRAME_OK);
	for (int i = 0; i < 40; i++) {
		size_t at = random_below(n);
		uint8_t bit = (uint8_t)(1 << random_below(8));

		frame[at] ^= bit;
		CHECK(message_decode(frame, n, &got) != FRAME_OK);
		frame[at] ^= bit;
	}
	for (int i = 0; i < 40 && n > FRAME_HEADER_SIZE; i++) {
		memcpy(again, frame, n);
		again[FRAME_HEADER_SIZE + random_below(n - FRAME_HEADER_SIZE)] ^= (uint8_t)(1 << random_below(8));
		decode_resealed(again, n);
	}
}

int main(int argc, char **argv)
{
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	uint64_t last = argc > 2 ? strtoull(argv[2], NULL, 10) : argc > 1 ? first : SEEDS;

	for (uint64_t seed = first; seed <= last; seed++) {
		int failed = check_failed;

		random_state = seed;
		test_object();
		test_text();
		test_message();
		if (check_failed != failed)
			fprintf(stderr, "seed %llu; repeat with: %s %llu\n", (unsigned long long)seed, argv[0],
				(unsigned long long)seed);
	}
	printf("seeds %llu to %llu\n", (unsigned long long)first, (unsigned long long)last);
	return check_result();
}
