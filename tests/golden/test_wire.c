/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Golden bytes: every message and every object, all fields set, beside the bytes that earlier releases wrote
 * (tests/golden/wire/NAME.hex, a field a line). A difference means that stored databases and running peers would not be
 * understood. After a change that is meant (a new field): `test_wire --write` in the build directory, look at the
 * difference, commit it.
 */
#include "proto/message.h"
#include "proto/object_text.h"

#include "tests/golden/golden_hex.h"

enum wire_type { WIRE_U8, WIRE_U16, WIRE_U32, WIRE_U64, WIRE_NAME, WIRE_TEXT, WIRE_BYTES };

struct wire_field {
	const char *name;
	enum wire_type type;
	size_t offset;
};

struct wire_message {
	const char *name;
	uint16_t number;
	const struct wire_field *fields;
	size_t n_fields;
};

#define MESSAGE(number, symbol, name, sequenced, since, help) static const struct wire_field fields_##name[] = {
#define MFIELD(parent, type, member, help) { #member, WIRE_##type, offsetof(struct message, parent.member) },
#define MESSAGE_END(name) \
	}                 \
	;
#include "proto/messages.def"
#undef MESSAGE
#undef MFIELD
#undef MESSAGE_END

static const struct wire_message messages[] = {
#define MESSAGE(number, symbol, name, sequenced, since, help) \
	{ #name, (number), fields_##name, ARRAY_SIZE(fields_##name) },
#define MFIELD(parent, type, member, help)
#define MESSAGE_END(name)
#include "proto/messages.def"
#undef MESSAGE
#undef MFIELD
#undef MESSAGE_END
};

/* ---- messages ---- */

static void fill_field(struct message *m, const struct wire_field *f, size_t index)
{
	static const uint8_t bytes[] = { 0xde, 0xad, 0xbe, 0xef };
	uint8_t *at = (uint8_t *)m + f->offset;
	struct span span = { bytes, sizeof(bytes) };

	switch (f->type) {
	case WIRE_U8:
		*at = 1;
		break;
	case WIRE_U16:
		*(uint16_t *)(void *)at = (uint16_t)(0x1100 + index);
		break;
	case WIRE_U32:
		*(uint32_t *)(void *)at = 0x33221100u + (uint32_t)index;
		break;
	case WIRE_U64:
		*(uint64_t *)(void *)at = 0x7766554433221100u + index;
		break;
	case WIRE_NAME:
	case WIRE_TEXT:
		memcpy(at, f->name, strlen(f->name) + 1);
		break;
	case WIRE_BYTES:
		memcpy(at, &span, sizeof(span));
		break;
	}
}

static size_t field_width(const struct message *m, const struct wire_field *f)
{
	static const size_t width[] = { [WIRE_U8] = 1, [WIRE_U16] = 2, [WIRE_U32] = 4, [WIRE_U64] = 8 };
	const uint8_t *at = (const uint8_t *)m + f->offset;

	if (f->type == WIRE_NAME || f->type == WIRE_TEXT)
		return 2 + strlen((const char *)at);
	if (f->type == WIRE_BYTES)
		return ((const struct span *)(const void *)at)->len;
	return width[f->type];
}

static void say_header(const uint8_t *frame)
{
	static const struct {
		const char *name;
		size_t width;
	} parts[] = {
		{ "magic", 4 },	     { "version", 2 }, { "type", 2 },	 { "length", 4 },   { "reserved", 4 },
		{ "cluster_id", 8 }, { "view", 8 },    { "sent_ms", 8 }, { "body_crc", 4 }, { "header_crc", 4 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		say_bytes(parts[i].name, frame, parts[i].width);
		frame += parts[i].width;
	}
}

static void check_message(const struct wire_message *t)
{
	struct message m = { .type = t->number,
			     .cluster_id = 0x0123456789abcdef,
			     .view = 42,
			     .sent_ms = 1767182400000 },
		       got;
	uint8_t frame[4096], golden[4096], again[4096];
	size_t at = FRAME_HEADER_SIZE, n_golden;
	int n;

	for (size_t i = 0; i < t->n_fields; i++)
		fill_field(&m, &t->fields[i], i);
	n = message_encode(&m, frame, sizeof(frame));
	REQUIRE(n > 0);
	text_len = 0;
	say("# message %u, %s: the frame's header, then its fields\n", t->number, t->name);
	say_header(frame);
	for (size_t i = 0; i < t->n_fields; i++) {
		size_t width = field_width(&m, &t->fields[i]);

		say_bytes(t->fields[i].name, frame + at, width);
		at += width;
	}
	CHECK_EQ(at, n);

	n_golden = check_golden(t->name, golden, sizeof(golden));
	CHECK_EQ(message_decode(golden, n_golden, &got), FRAME_OK);
	CHECK_EQ(message_encode(&got, again, sizeof(again)), n_golden);
	CHECK_MEM(again, golden, n_golden);
}

/* ---- objects: set by text, as people would ---- */

static uint32_t id_of(void *user, uint32_t kind, const char *name)
{
	(void)user;
	(void)kind;
	return (uint32_t)strtoul(name, NULL, 10);
}

static const char *name_of(void *user, uint32_t kind, uint32_t id)
{
	(void)user;
	(void)kind;
	(void)id;
	return NULL;
}

static const char *field_value(const struct field *f)
{
	static char value[64];

	switch (f->type) {
	case FIELD_NAME:
	case FIELD_TEXT:
		return f->name;
	case FIELD_PARAMS:
		return "ip=10.0.0.1\nnic=eth0";
	case FIELD_BOOL:
		return "yes";
	case FIELD_TIME:
		return "2026-01-31T12:00:00.000Z";
	case FIELD_TIMES:
		return "2026-01-31T12:00:00.000Z,2026-01-31T11:00:00.000Z";
	case FIELD_ENUM:
		return enum_text(f->values, (uint32_t)f->max);
	case FIELD_NODEREF:
	case FIELD_ROLEREF:
		return "7";
	case FIELD_NODESET:
	case FIELD_NODELIST:
	case FIELD_ROLELIST:
	case FIELD_SETLIST:
	case FIELD_VOLUMELIST:
	case FIELD_VOLUMESET:
		return "3,1,62";
	case FIELD_DEPS:
		return "1,2|300";
	case FIELD_MS:
		snprintf(value, sizeof(value), "%llums", (unsigned long long)(f->max - f->number));
		return value;
	case FIELD_ZONE:
		return "+02:03";
	default:
		snprintf(value, sizeof(value), "%llu", (unsigned long long)(f->max - (f->max > 100 ? f->number : 0)));
		return value;
	}
}

static void fill_object(const struct object_type *type, union any_object *object)
{
	const struct name_resolver names = { id_of, name_of, NULL };
	char error[TEXT_SIZE];

	object_init(type, object, type->max);
	for (size_t i = 0; i < type->n_fields; i++)
		if (!CHECK_EQ(field_parse(type, &type->fields[i], object, EDIT_SET, field_value(&type->fields[i]),
					  &names, error),
			      0))
			fprintf(stderr, "%s: %s\n", type->name, error);
}

static void say_object(const struct object_type *type, const uint8_t *bytes, size_t n)
{
	struct reader r = reader_of(bytes + 5, n - 5);

	text_len = 0;
	say("# object %u, %s: kind, id, then number, length and bytes of each field, closed by number 0\n", type->kind,
	    type->name);
	say_bytes("kind", bytes, 1);
	say_bytes("id", bytes + 1, 4);
	while (reader_left(&r) > 2) {
		const uint8_t *start = r.p;
		const struct field *f = object_field_by_number(type, get_u16(&r));
		size_t len = get_u16(&r);

		REQUIRE(f && get_bytes(&r, len));
		say_bytes(f->name, start, 4 + len);
	}
	say_bytes("end", r.p, 2);
}

static void check_object(const struct object_type *type)
{
	uint8_t bytes[OBJECT_ENCODED_MAX], golden[OBJECT_ENCODED_MAX], again[OBJECT_ENCODED_MAX];
	struct writer w = writer_of(bytes, sizeof(bytes));
	union any_object object, got;
	const struct object_type *got_type;
	struct reader r;
	size_t n;

	memset(&object, 0, sizeof(object));
	fill_object(type, &object);
	object_encode(&w, type, &object);
	say_object(type, bytes, writer_len(&w));
	n = check_golden(type->name, golden, sizeof(golden));
	r = reader_of(golden, n);
	CHECK_EQ(object_decode(&r, &got_type, &got, sizeof(got)), 0);
	CHECK_EQ(reader_left(&r), 0);
	CHECK_MEM(&got, &object, type->size);
	w = writer_of(again, sizeof(again));
	object_encode(&w, type, &got);
	CHECK_EQ(writer_len(&w), n);
	CHECK_MEM(again, golden, n);
}

static void check_operation(void)
{
	static struct change_op op, got;
	uint8_t bytes[256], golden[256];
	struct writer w = writer_of(bytes, sizeof(bytes));
	struct reader r;
	size_t n;

	op.verb = VERB_SET;
	op.kind = KIND_RESOURCE;
	op.force = 1;
	strcpy(op.name, "ip");
	strcpy(op.arg, "arg");
	op.n_fields = 1;
	op.fields[0].number = 4;
	op.fields[0].how = EDIT_ADD;
	op.fields[0].value = "nic=eth0";
	change_op_encode(&w, &op);
	text_len = 0;
	say("# one operation of a change\n");
	say_bytes("verb kind force", bytes, 3);
	say_bytes("name", bytes + 3, 4);
	say_bytes("arg", bytes + 7, 5);
	say_bytes("n", bytes + 12, 1);
	say_bytes("number how", bytes + 13, 3);
	say_bytes("value", bytes + 16, writer_len(&w) - 16);
	n = check_golden("operation", golden, sizeof(golden));
	r = reader_of(golden, n);
	CHECK_EQ(change_op_decode(&r, &got), 0);
	CHECK_STR(got.fields[0].value, "nic=eth0");
}

int main(int argc, char **argv)
{
	golden_begin(argc, argv, "wire");
	for (size_t i = 0; i < ARRAY_SIZE(messages); i++)
		check_message(&messages[i]);
	for (uint32_t kind = KIND_CLUSTER; kind <= KIND_LAST; kind++)
		check_object(object_type(kind));
	check_operation();
	return check_result();
}
