/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Descriptor tables of the replicated objects and their codec, generated from objects.def and enums.def. */
#include "proto/objects.h"

#include <errno.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define ENUM(type) const struct enum_value enum_values_##type[] = {
#define VALUE(type, number, symbol, text) { (number), (text) },
#define ENUM_END(type) { 0, NULL } };
#include "proto/enums.def"
#undef ENUM
#undef VALUE
#undef ENUM_END

#define VALUES_NAME(aux) NULL
#define VALUES_TEXT(aux) NULL
#define VALUES_PARAMS(aux) NULL
#define VALUES_U32(aux) NULL
#define VALUES_U64(aux) NULL
#define VALUES_BOOL(aux) NULL
#define VALUES_MS(aux) NULL
#define VALUES_ZONE(aux) NULL
#define VALUES_TIME(aux) NULL
#define VALUES_ENUM(aux) enum_values_##aux
#define VALUES_NODEREF(aux) NULL
#define VALUES_ROLEREF(aux) NULL
#define VALUES_NODESET(aux) NULL
#define VALUES_NODELIST(aux) NULL
#define VALUES_ROLELIST(aux) NULL
#define VALUES_SETLIST(aux) NULL
#define VALUES_VOLUMELIST(aux) NULL
#define VALUES_VOLUMESET(aux) NULL
#define VALUES_DEPS(aux) NULL
#define VALUES_TIMES(aux) NULL

#define OBJECT(kind, symbol, highest) static const struct field fields_of_##kind[] = {
#define FIELD(kind, number_, type_, member, flag, def_, min_, max_, aux, since_, help_)       \
	{ .number = (number_), .type = FIELD_##type_, .flags = FIELD_FLAG_##flag, .since = (since_), \
	  .name = #member, .offset = offsetof(struct kind, MEMBER_OF_##type_(member)),        \
	  .size = sizeof(((struct kind *)NULL)->MEMBER_OF_##type_(member)),                   \
	  .def = (def_), .min = (min_), .max = (max_), .values = VALUES_##type_(aux), .help = (help_) },
#define OBJECT_END(kind) };
#include "proto/objects.def"
#undef OBJECT
#undef FIELD
#undef OBJECT_END

/* By kind; the numbers are small and dense. */
static const struct object_type object_types[] = {
#define OBJECT(kind_, symbol, highest)                                                        \
	[symbol] = { .kind = (symbol), .name = #kind_, .max = (highest), .size = sizeof(struct kind_),    \
	  .fields = fields_of_##kind_, .n_fields = ARRAY_SIZE(fields_of_##kind_) },
#define FIELD(kind, number, type, member, flags, def, min, max, aux, since, help)
#define OBJECT_END(kind)
#include "proto/objects.def"
#undef OBJECT
#undef FIELD
#undef OBJECT_END
};

_Static_assert(ARRAY_SIZE(object_types) == KIND_LAST + 1, "KIND_LAST is the highest kind");

/* Every object begins with its struct object, so that a pointer to one is a pointer to the other. */
#define OBJECT(kind, symbol, max) _Static_assert(offsetof(struct kind, object) == 0, #kind);
#define FIELD(kind, number, type, member, flags, def, min, max, aux, since, help)
#define OBJECT_END(kind)
#include "proto/objects.def"
#undef OBJECT
#undef FIELD
#undef OBJECT_END

const struct object_type *object_type(uint32_t kind)
{
	return kind < ARRAY_SIZE(object_types) && object_types[kind].kind ? &object_types[kind] : NULL;
}

const struct object_type *object_type_by_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(object_types); i++)
		if (object_types[i].name && !strcmp(object_types[i].name, name))
			return &object_types[i];
	return NULL;
}

const struct field *object_field(const struct object_type *type, const char *name)
{
	for (size_t i = 0; i < type->n_fields; i++)
		if (!strcmp(type->fields[i].name, name))
			return &type->fields[i];
	return NULL;
}

const struct field *object_field_by_number(const struct object_type *type, uint16_t number)
{
	for (size_t i = 0; i < type->n_fields; i++)
		if (type->fields[i].number == number)
			return &type->fields[i];
	return NULL;
}

const char *enum_text(const struct enum_value *values, uint32_t number)
{
	for (; values->text; values++)
		if (values->number == number)
			return values->text;
	return "?";
}

int enum_number(const struct enum_value *values, const char *text, uint32_t *ret_number)
{
	for (; values->text; values++) {
		if (strcmp(values->text, text))
			continue;
		*ret_number = values->number;
		return 0;
	}
	return -EINVAL;
}

uint64_t field_number(const struct field *f, const void *object)
{
	const uint8_t *at = (const uint8_t *)object + f->offset;
	uint32_t narrow;
	uint64_t wide;

	if (f->size == sizeof(narrow)) {
		memcpy(&narrow, at, sizeof(narrow));
		return narrow;
	}
	memcpy(&wide, at, sizeof(wide));
	return wide;
}

static void field_store(const struct field *f, void *object, uint64_t value)
{
	uint8_t *at = (uint8_t *)object + f->offset;
	uint32_t narrow = (uint32_t)value;

	if (f->size == sizeof(narrow))
		memcpy(at, &narrow, sizeof(narrow));
	else
		memcpy(at, &value, sizeof(value));
}

void object_init(const struct object_type *type, void *object, uint32_t id)
{
	struct object *o = object;

	memset(object, 0, type->size);
	o->id = id;
	o->used = 1;
	for (size_t i = 0; i < type->n_fields; i++)
		if (type->fields[i].def)
			field_store(&type->fields[i], object, type->fields[i].def);
}

/* Bytes on the wire of a type that is one number, 0 for the others. */
static unsigned int number_width(uint8_t type)
{
	switch (type) {
	case FIELD_BOOL:
	case FIELD_ENUM:
	case FIELD_NODEREF:
		return 1;
	case FIELD_ROLEREF:
		return 2;
	case FIELD_U32:
	case FIELD_MS:
	case FIELD_ZONE:
		return 4;
	case FIELD_U64:
	case FIELD_TIME:
	case FIELD_NODESET:
		return 8;
	}
	return 0;
}

static void put_ids(struct writer *w, uint16_t number, const uint16_t *ids, size_t max)
{
	size_t n = 0;

	while (n < max && ids[n])
		n++;
	if (!n)
		return;
	put_u16(w, number);
	put_u16(w, (uint16_t)(2 * n));
	for (size_t i = 0; i < n; i++)
		put_u16(w, ids[i]);
}

static void put_volumes(struct writer *w, uint16_t number, const struct volume_set *set)
{
	uint16_t ids[VOLUME_MAX];
	size_t n = 0;

	for (uint16_t id = 1; id <= VOLUME_MAX; id++)
		if (volume_set_has(set, id))
			ids[n++] = id;
	if (n < VOLUME_MAX)
		ids[n] = 0;
	put_ids(w, number, ids, VOLUME_MAX);
}

static void put_deps(struct writer *w, uint16_t number, const uint16_t (*deps)[DEPS_CHOICE_MAX])
{
	uint8_t count[DEPS_CLAUSE_MAX];
	size_t n = 0, len = 0;

	for (; n < DEPS_CLAUSE_MAX && deps[n][0]; n++) {
		for (count[n] = 0; count[n] < DEPS_CHOICE_MAX && deps[n][count[n]];)
			count[n]++;
		len += 1 + 2u * count[n];
	}
	if (!n)
		return;
	put_u16(w, number);
	put_u16(w, (uint16_t)len);
	for (size_t i = 0; i < n; i++) {
		put_u8(w, count[i]);
		for (size_t k = 0; k < count[i]; k++)
			put_u16(w, deps[i][k]);
	}
}

static void put_times(struct writer *w, uint16_t number, const uint64_t *times)
{
	size_t n = 0;

	while (n < UNCLEAN_MAX && times[n])
		n++;
	if (!n)
		return;
	put_u16(w, number);
	put_u16(w, (uint16_t)(8 * n));
	for (size_t i = 0; i < n; i++)
		put_u64(w, times[i]);
}

static void put_counted(struct writer *w, uint16_t number, const void *bytes, size_t n)
{
	if (!n)
		return;
	put_u16(w, number);
	put_u16(w, (uint16_t)n);
	put_bytes(w, bytes, n);
}

static void field_encode(struct writer *w, const struct field *f, const void *object)
{
	const void *at = (const uint8_t *)object + f->offset;
	unsigned int width = number_width(f->type);
	uint64_t value;

	if (width) {
		value = field_number(f, object);
		if (!value)
			return;
		put_u16(w, f->number);
		put_u16(w, (uint16_t)width);
		put_le(w, value, width);
		return;
	}
	switch (f->type) {
	case FIELD_NAME:
	case FIELD_TEXT:
	case FIELD_PARAMS:
	case FIELD_NODELIST:
		put_counted(w, f->number, at, strnlen(at, f->size));
		break;
	case FIELD_ROLELIST:
	case FIELD_SETLIST:
	case FIELD_VOLUMELIST:
		put_ids(w, f->number, at, f->size / sizeof(uint16_t));
		break;
	case FIELD_VOLUMESET:
		put_volumes(w, f->number, at);
		break;
	case FIELD_DEPS:
		put_deps(w, f->number, at);
		break;
	case FIELD_TIMES:
		put_times(w, f->number, at);
		break;
	}
}

/* Writes the kept fields of a newer level whose number is below `below`; returns the position after them. */
static size_t put_unknown(struct writer *w, const struct object *o, size_t pos, uint32_t below)
{
	while (pos < o->unknown_len) {
		struct reader r = reader_of(o->unknown + pos, o->unknown_len - pos);
		uint16_t number = get_u16(&r), len = get_u16(&r);

		if (r.bad || reader_left(&r) < len || number >= below)
			break;
		put_bytes(w, o->unknown + pos, 4u + len);
		pos += 4u + len;
	}
	return pos;
}

void object_encode(struct writer *w, const struct object_type *type, const void *object)
{
	const struct object *o = object;
	size_t unknown = 0;

	put_u8(w, type->kind);
	put_u32(w, o->id);
	for (size_t i = 0; i < type->n_fields; i++) {
		if (unknown < o->unknown_len)
			unknown = put_unknown(w, o, unknown, type->fields[i].number);
		field_encode(w, &type->fields[i], object);
	}
	put_unknown(w, o, unknown, UINT32_MAX);
	put_u16(w, 0);
}

static bool get_ids(struct reader *r, uint16_t *ids, size_t max, uint32_t highest)
{
	size_t n = reader_left(r) / 2;

	if (reader_left(r) % 2 || n > max)
		return false;
	for (size_t i = 0; i < n; i++) {
		ids[i] = get_u16(r);
		if (!ids[i] || ids[i] > highest || (i && ids[i] <= ids[i - 1]))
			return false;
	}
	return true;
}

static bool get_volumes(struct reader *r, struct volume_set *set)
{
	uint16_t ids[VOLUME_MAX] = { 0 };
	size_t n = reader_left(r) / 2;

	if (!get_ids(r, ids, VOLUME_MAX, VOLUME_MAX))
		return false;
	for (size_t i = 0; i < n; i++)
		volume_set_put(set, ids[i], true);
	return true;
}

static bool get_nodelist(struct reader *r, uint8_t *list)
{
	size_t n = reader_left(r);
	nodeset_t seen = 0;

	if (n > NODE_MAX)
		return false;
	for (size_t i = 0; i < n; i++) {
		list[i] = get_u8(r);
		if (!list[i] || list[i] > NODE_MAX || nodeset_has(seen, list[i]))
			return false;
		seen |= NODE_BIT(list[i]);
	}
	return true;
}

static bool get_deps(struct reader *r, uint16_t (*deps)[DEPS_CHOICE_MAX])
{
	for (size_t n = 0; reader_left(r); n++) {
		uint8_t count = get_u8(r);

		if (n == DEPS_CLAUSE_MAX || !count || count > DEPS_CHOICE_MAX)
			return false;
		for (size_t i = 0; i < count; i++) {
			deps[n][i] = get_u16(r);
			if (!deps[n][i] || deps[n][i] > RESOURCE_MAX)
				return false;
			for (size_t k = 0; k < i; k++)
				if (deps[n][k] == deps[n][i])
					return false;
		}
	}
	return !r->bad;
}

static bool get_times(struct reader *r, uint64_t *times)
{
	size_t n = reader_left(r) / 8;

	if (reader_left(r) % 8 || n > UNCLEAN_MAX)
		return false;
	for (size_t i = 0; i < n; i++) {
		times[i] = get_u64(r);
		if (!times[i])
			return false;
	}
	return true;
}

static bool get_string(struct reader *r, char *out, size_t size)
{
	size_t n = reader_left(r);
	const uint8_t *bytes = get_bytes(r, n);

	if (!bytes || n >= size || memchr(bytes, 0, n))
		return false;
	memcpy(out, bytes, n);
	return true;
}

/* Lines "name=value\n", names rising: the one form that object_text.c builds. */
static bool params_are_canonical(const char *params)
{
	const char *before = NULL;
	size_t before_len = 0;

	for (const char *line = params; *line;) {
		const char *end = strchr(line, '\n'), *equals = strchr(line, '=');
		size_t len;
		int order;

		if (!end || !equals || equals > end || equals == line)
			return false;
		len = (size_t)(equals - line);
		if (before) {
			order = memcmp(before, line, before_len < len ? before_len : len);
			if (order > 0 || (!order && before_len >= len))
				return false;
		}
		before = line;
		before_len = len;
		line = end + 1;
	}
	return true;
}

static bool get_number(struct reader *r, const struct field *f, void *object, unsigned int width)
{
	uint64_t value;

	if (reader_left(r) != width)
		return false;
	value = get_le(r, width);
	if (!value)
		return false;
	if (f->type == FIELD_NODESET) {
		if (value & 1)
			return false;
	} else if (f->type != FIELD_TIME && (value < f->min || value > f->max)) {
		return false;
	}
	field_store(f, object, value);
	return true;
}

static bool field_decode(struct reader *r, const struct field *f, void *object)
{
	void *at = (uint8_t *)object + f->offset;
	unsigned int width = number_width(f->type);

	if (width)
		return get_number(r, f, object, width);
	switch (f->type) {
	case FIELD_NAME:
	case FIELD_TEXT:
		return get_string(r, at, f->size);
	case FIELD_PARAMS:
		return get_string(r, at, f->size) && params_are_canonical(at);
	case FIELD_NODELIST:
		return get_nodelist(r, at);
	case FIELD_ROLELIST:
		return get_ids(r, at, ROLELIST_MAX, ROLE_MAX);
	case FIELD_SETLIST:
		return get_ids(r, at, SETLIST_MAX, SET_MAX);
	case FIELD_VOLUMELIST:
		return get_ids(r, at, VOLUMELIST_MAX, VOLUME_MAX);
	case FIELD_VOLUMESET:
		return get_volumes(r, at);
	case FIELD_DEPS:
		return get_deps(r, at);
	case FIELD_TIMES:
		return get_times(r, at);
	}
	return false;
}

static int unknown_keep(struct object *o, const uint8_t *bytes, size_t n)
{
	if (n > sizeof(o->unknown) - o->unknown_len)
		return -E2BIG;
	memcpy(o->unknown + o->unknown_len, bytes, n);
	o->unknown_len = (uint8_t)(o->unknown_len + n);
	return 0;
}

/* The fields of an object whose header was read, up to the closing zero. */
static int fields_decode(struct reader *r, const struct object_type *type, void *object)
{
	const struct field *f = type->fields, *end = f + type->n_fields;
	uint32_t last = 0;

	for (;;) {
		const uint8_t *start = r->p, *bytes;
		uint16_t number = get_u16(r), len;
		struct reader value;

		if (r->bad || (number && number <= last))
			return -EBADMSG;
		while (f < end && (!number || f->number < number)) {
			if (f->min && f->since <= 1 && number_width(f->type) && !field_number(f, object))
				return -EBADMSG;
			f++;
		}
		if (!number)
			return 0;
		len = get_u16(r);
		bytes = get_bytes(r, len);
		if (!bytes || !len)
			return -EBADMSG;
		last = number;
		value = reader_of(bytes, len);
		if (f == end || f->number != number) {
			if (unknown_keep(object, start, 4u + len) < 0)
				return -E2BIG;
		} else if (!field_decode(&value, f, object)) {
			return -EBADMSG;
		}
	}
}

int object_decode(struct reader *r, const struct object_type **ret_type, void *ret_object, size_t size)
{
	const struct object_type *type = object_type(get_u8(r));
	uint32_t id = get_u32(r);
	struct object *o = ret_object;
	int rc;

	if (r->bad || !type || !id || id > type->max)
		return -EBADMSG;
	if (size < type->size)
		return -E2BIG;
	memset(ret_object, 0, type->size);
	o->id = id;
	o->used = 1;
	rc = fields_decode(r, type, ret_object);
	if (rc < 0)
		return rc;
	*ret_type = type;
	return 0;
}

uint64_t object_hash(const struct object_type *type, const void *object)
{
	const struct object *o = object;
	uint8_t bytes[OBJECT_ENCODED_MAX];
	struct writer w = writer_of(bytes, sizeof(bytes));

	if (!o->used)
		return 0;
	object_encode(&w, type, object);
	return XXH3_64bits(bytes, writer_len(&w));
}
