/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The object tables are sound, and the codec gives back what it was given and refuses everything else. */
#include "proto/objects.h"

#include "tests/lib/check.h"

static void test_tables(void)
{
	for (uint32_t kind = KIND_CLUSTER; kind <= KIND_LAST; kind++) {
		const struct object_type *type = object_type(kind);
		size_t longest = 7;

		REQUIRE(type);
		CHECK_EQ(object_type_by_name(type->name), type);
		for (size_t i = 0; i < type->n_fields; i++) {
			const struct field *f = &type->fields[i];

			CHECK_EQ(object_field(type, f->name), f);
			CHECK_EQ(object_field_by_number(type, f->number), f);
			CHECK(f->number > (i ? type->fields[i - 1].number : 0)); /* the codec relies on the order */
			CHECK(f->offset + f->size <= type->size);
			CHECK((f->type == FIELD_ENUM) == (f->values != NULL));
			CHECK(f->flags == FIELD_FLAG_K || f->flags == FIELD_FLAG_C || f->flags == FIELD_FLAG_S);
			CHECK(f->def <= f->max || f->max == 0);
			CHECK(f->def >= f->min ||
			      f->type == FIELD_ROLEREF); /* a resource names its role when it is made */
			CHECK(!strstr(f->name, "_ms"));
			longest += 4 + (f->type == FIELD_VOLUMESET ? 2 * VOLUME_MAX : f->size) + DEPS_CLAUSE_MAX;
		}
		CHECK(longest + UNKNOWN_FIELDS_SIZE <= OBJECT_ENCODED_MAX);
	}
	CHECK(!object_type(0));
	CHECK(!object_type(KIND_LAST + 1));
	CHECK(!object_type_by_name("elephant"));
	CHECK(!object_field(object_type(KIND_ROLE), "colour"));
	CHECK_STR(enum_text(enum_values_role_state, ROLE_ONLINE), "online");
	CHECK_STR(enum_text(enum_values_role_state, 99), "?");
}

static size_t encode(const void *object, uint32_t kind, uint8_t *bytes)
{
	struct writer w = writer_of(bytes, OBJECT_ENCODED_MAX);

	object_encode(&w, object_type(kind), object);
	REQUIRE(!w.bad);
	return writer_len(&w);
}

static int decode(const uint8_t *bytes, size_t n, union any_object *ret)
{
	const struct object_type *type;
	struct reader r = reader_of(bytes, n);
	int rc = object_decode(&r, &type, ret, sizeof(*ret));

	if (!rc && reader_left(&r))
		return -1000; /* stopped before the end */
	return rc;
}

static void test_roundtrip(void)
{
	uint8_t bytes[OBJECT_ENCODED_MAX];
	struct resource made;
	union any_object got;
	size_t n;

	memset(&made, 0, sizeof(made));
	object_init(object_type(KIND_RESOURCE), &made, 16384);
	CHECK_EQ(made.start_timeout_ms, 60000);
	CHECK_EQ(made.object.used, 1);
	strcpy(made.name, "web-ip");
	strcpy(made.params, "cidr_netmask=24\nip=10.0.0.1\n");
	strcpy(made.last_error, "two\nlines"); /* an agent's words, not a person's */
	made.role = 8192;
	made.depends[0][0] = 3;
	made.depends[1][0] = 9;
	made.depends[1][1] = 4;
	made.op = UINT64_MAX;
	n = encode(&made, KIND_RESOURCE, bytes);
	CHECK_EQ(decode(bytes, n, &got), 0);
	CHECK_MEM(&got.resource, &made, sizeof(made));
	CHECK_EQ(object_hash(object_type(KIND_RESOURCE), &got), object_hash(object_type(KIND_RESOURCE), &made));
	made.object.used = 0;
	CHECK_EQ(object_hash(object_type(KIND_RESOURCE), &made), 0);
	for (size_t i = 0; i < n; i++)
		CHECK(decode(bytes, i, &got) < 0);
}

/* A minimal object: kind, id, fields, end. */
static int decode_fields(uint8_t kind, uint32_t id, const uint8_t *fields, size_t n)
{
	uint8_t bytes[OBJECT_ENCODED_MAX];
	struct writer w = writer_of(bytes, sizeof(bytes));
	union any_object got;

	put_u8(&w, kind);
	put_u32(&w, id);
	put_bytes(&w, fields, n);
	put_u16(&w, 0);
	return decode(bytes, writer_len(&w), &got);
}

#define DECODE(kind, ...) \
	decode_fields((kind), 1, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

static void test_refused(void)
{
	CHECK_EQ(DECODE(KIND_RULE, 1, 0, 1, 0, 'a'), 0);
	CHECK_EQ(DECODE(KIND_RULE, 1, 0, 1, 0, 'a', 1, 0, 1, 0, 'a'), -EBADMSG); /* twice */
	CHECK_EQ(DECODE(KIND_RULE, 3, 0, 1, 0, 1, 2, 0, 1, 0, 1), -EBADMSG);	 /* descending */
	CHECK_EQ(DECODE(KIND_RULE, 3, 0, 1, 0, 2), -EBADMSG);			 /* out of range */
	CHECK_EQ(DECODE(KIND_RULE, 3, 0, 1, 0, 0), -EBADMSG);			 /* a zero is left out */
	CHECK_EQ(DECODE(KIND_RULE, 3, 0, 2, 0, 1, 0), -EBADMSG);		 /* wrong length */
	CHECK_EQ(DECODE(KIND_RULE, 1, 0, 0, 0), -EBADMSG);			 /* empty is left out */
	CHECK_EQ(DECODE(KIND_RULE, 1, 0, 2, 0, 'a', 0), -EBADMSG);		 /* NUL inside */
	CHECK_EQ(DECODE(KIND_RULE, 5, 0, 4, 0, 1, 0, 2, 0), 0);
	CHECK_EQ(DECODE(KIND_RULE, 5, 0, 4, 0, 2, 0, 1, 0), -EBADMSG); /* not rising */
	CHECK_EQ(DECODE(KIND_RULE, 5, 0, 2, 0, 1, 0x20), -EBADMSG);    /* role 8193 */
	CHECK_EQ(DECODE(KIND_RULE, 5, 0, 3, 0, 1, 0, 2), -EBADMSG);    /* half an id */
	CHECK_EQ(DECODE(KIND_ROLE, 6, 0, 4, 0, 0xe8, 3, 0, 0), 0);
	CHECK_EQ(DECODE(KIND_ROLE, 1, 0, 1, 0, 'a'), -EBADMSG); /* no period: zero is not allowed */
	CHECK_EQ(DECODE(KIND_ROLE, 3, 0, 2, 0, 5, 4, 6, 0, 4, 0, 0xe8, 3, 0, 0), 0); /* order is preference */
	CHECK_EQ(DECODE(KIND_ROLE, 3, 0, 2, 0, 5, 5, 6, 0, 4, 0, 0xe8, 3, 0, 0), -EBADMSG);
	CHECK_EQ(DECODE(KIND_ROLE, 3, 0, 1, 0, 64, 6, 0, 4, 0, 0xe8, 3, 0, 0), -EBADMSG); /* node 64 */
	CHECK_EQ(DECODE(KIND_ROLE, 4, 0, 8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 6, 0, 4, 0, 0xe8, 3, 0, 0),
		 -EBADMSG); /* node 0 */
	CHECK_EQ(DECODE(KIND_LAST + 1, 1, 0, 1, 0, 'a'), -EBADMSG);
	CHECK_EQ(decode_fields(KIND_SET, 0, (const uint8_t *)"", 0), -EBADMSG);
	CHECK_EQ(decode_fields(KIND_SET, SET_MAX + 1, (const uint8_t *)"", 0), -EBADMSG);
	CHECK_EQ(decode_fields(KIND_SET, SET_MAX, (const uint8_t *)"", 0), 0);
}

/* A set of volumes: every id, and nothing that is not one. */
static void test_volume_set(void)
{
	static union any_object node, got;
	uint8_t bytes[OBJECT_ENCODED_MAX];
	size_t n;

	object_init(object_type(KIND_NODE), &node, 1);
	for (uint32_t id = 1; id <= VOLUME_MAX; id++)
		volume_set_put(&node.node.volumes_up, id, true);
	n = encode(&node, KIND_NODE, bytes);
	CHECK_EQ(decode(bytes, n, &got), 0);
	CHECK_MEM(&got.node.volumes_up, &node.node.volumes_up, sizeof(struct volume_set));
	CHECK(volume_set_has(&got.node.volumes_up, 1) && volume_set_has(&got.node.volumes_up, VOLUME_MAX));
	CHECK(!volume_set_has(&got.node.volumes_up, 0) && !volume_set_has(&got.node.volumes_up, VOLUME_MAX + 1));
	volume_set_put(&got.node.volumes_up, 64, false);
	CHECK(volume_set_has(&got.node.volumes_up, 63) && !volume_set_has(&got.node.volumes_up, 64) &&
	      volume_set_has(&got.node.volumes_up, 65));
	CHECK_EQ(DECODE(KIND_NODE, 23, 0, 4, 0, 2, 0, 0, 1), 0);
	CHECK_EQ(DECODE(KIND_NODE, 23, 0, 4, 0, 2, 0, 2, 0), -EBADMSG); /* twice */
	CHECK_EQ(DECODE(KIND_NODE, 23, 0, 2, 0, 1, 1), -EBADMSG);	/* volume 257 */
	CHECK_EQ(DECODE(KIND_NODE, 23, 0, 1, 0, 1), -EBADMSG);		/* half an id */
}

static int decode_resource(uint16_t number, const void *value, size_t n)
{
	static const uint16_t required[] = { 6, 7, 9, 11, 13 }; /* may not be zero */
	uint8_t bytes[OBJECT_ENCODED_MAX];
	struct writer w = writer_of(bytes, sizeof(bytes));
	union any_object got;

	put_u8(&w, KIND_RESOURCE);
	put_u32(&w, 1);
	put_bytes(&w, "\2\0\2\0\1\0", 6); /* role 1 */
	put_u16(&w, number);
	put_u16(&w, (uint16_t)n);
	put_bytes(&w, value, n);
	for (size_t i = 0; i < ARRAY_SIZE(required); i++) {
		put_u16(&w, required[i]);
		put_u16(&w, 4);
		put_u32(&w, required[i] == 11 ? 10 : 1000);
	}
	put_u16(&w, 0);
	return decode(bytes, writer_len(&w), &got);
}

static void test_refused_lists(void)
{
	CHECK_EQ(decode_resource(5, "\2\1\0\2\0\1\3\0", 8), 0); /* 1|2,3 */
	CHECK_EQ(decode_resource(5, "\2\1\0\1\0", 5), -EBADMSG);
	CHECK_EQ(decode_resource(5, "\0", 1), -EBADMSG);
	CHECK_EQ(decode_resource(5, "\5\1\0\2\0\3\0\4\0\5\0", 11), -EBADMSG);
	CHECK_EQ(decode_resource(5, "\1\1", 2), -EBADMSG);
	CHECK_EQ(decode_resource(4, "a=1\nb=2\n", 8), 0);
	CHECK_EQ(decode_resource(4, "b=1\na=2\n", 8), -EBADMSG);
	CHECK_EQ(decode_resource(4, "a=1\na=2\n", 8), -EBADMSG);
	CHECK_EQ(decode_resource(4, "a=1\nab=2\n", 9), 0);
	CHECK_EQ(decode_resource(4, "ab=1\na=2\n", 9), -EBADMSG);
	CHECK_EQ(decode_resource(4, "a=1", 3), -EBADMSG);
	CHECK_EQ(decode_resource(4, "a\n", 2), -EBADMSG);
	CHECK_EQ(decode_resource(4, "=1\n", 3), -EBADMSG);
}

/* Fields of a newer peer come through unharmed and in their place. */
static void test_unknown_fields(void)
{
	uint8_t bytes[OBJECT_ENCODED_MAX], again[OBJECT_ENCODED_MAX], big[UNKNOWN_FIELDS_SIZE] = { 1 };
	struct writer w = writer_of(bytes, sizeof(bytes));
	union any_object got;
	size_t n;

	put_u8(&w, KIND_NETWORK);
	put_u32(&w, 16);
	put_bytes(&w, "\1\0\1\0n", 5);
	put_bytes(&w, "\5\0\3\0xyz", 7);
	put_bytes(&w, "\377\377\1\0q", 5);
	put_u16(&w, 0);
	CHECK_EQ(decode(bytes, writer_len(&w), &got), 0);
	CHECK_EQ(got.object.unknown_len, 12);
	n = encode(&got, KIND_NETWORK, again);
	CHECK_EQ(n, writer_len(&w));
	CHECK_MEM(again, bytes, n);

	w = writer_of(bytes, sizeof(bytes));
	put_u8(&w, KIND_NETWORK);
	put_u32(&w, 1);
	put_u16(&w, 90);
	put_u16(&w, sizeof(big));
	put_bytes(&w, big, sizeof(big));
	put_u16(&w, 0);
	CHECK_EQ(decode(bytes, writer_len(&w), &got), -E2BIG);
}

int main(void)
{
	test_tables();
	test_roundtrip();
	test_refused();
	test_refused_lists();
	test_volume_set();
	test_unknown_fields();
	return check_result();
}
