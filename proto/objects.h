/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Structs, enums and field descriptors of the replicated objects, generated from objects.def and enums.def.
 * An object is plain memory: no pointers, fixed size, zero is valid, `used` says that the id is taken.
 */
#ifndef PROTO_OBJECTS_H
#define PROTO_OBJECTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bounds.h"
#include "units.h"

#define ENUM(type) enum type {
#define VALUE(type, number, symbol, text) symbol = (number),
#define ENUM_END(type) };
#include "proto/enums.def"
#undef ENUM
#undef VALUE
#undef ENUM_END

enum field_type {
	FIELD_NAME,     /* char[NAME_SIZE] */
	FIELD_TEXT,     /* char[TEXT_SIZE] */
	FIELD_PARAMS,   /* char[PARAMS_SIZE], "name=value\n" lines sorted by name */
	FIELD_U32,
	FIELD_U64,
	FIELD_BOOL,     /* uint32_t 0/1 */
	FIELD_MS,       /* uint32_t milliseconds; people write 30s, 5min, 2h, 250ms */
	FIELD_ZONE,     /* uint32_t minutes east of UTC plus ZONE_UTC; people write +02:00, -05:30 */
	FIELD_TIME,     /* uint64_t Unix milliseconds, 0: never */
	FIELD_ENUM,     /* uint32_t */
	FIELD_NODEREF,  /* uint32_t node id, 0: none */
	FIELD_ROLEREF,  /* uint32_t role id */
	FIELD_NODESET,  /* nodeset_t */
	FIELD_NODELIST, /* uint8_t[NODE_MAX + 1], ids in order of preference, each once, 0 ends it */
	FIELD_ROLELIST, /* uint16_t[ROLELIST_MAX], ids ascending, 0 ends it */
	FIELD_SETLIST,  /* uint16_t[SETLIST_MAX], ids ascending, 0 ends it */
	FIELD_VOLUMELIST, /* uint16_t[VOLUMELIST_MAX], ids ascending, 0 ends it */
	FIELD_VOLUMESET,  /* struct volume_set */
	FIELD_DEPS,     /* uint16_t[DEPS_CLAUSE_MAX][DEPS_CHOICE_MAX] resource ids: and of ors, 0 ends each */
	FIELD_TIMES,    /* uint64_t[UNCLEAN_MAX] Unix milliseconds, 0 ends it */
};

#define ZONE_UTC 720u /* what FIELD_ZONE keeps for +00:00 */

#define KIND_LAST KIND_VOLUME /* kinds are 1 to this, each an object's */

/* A set of volumes by id. */
struct volume_set {
	uint64_t bits[VOLUME_MAX / 64]; /* volume id: bit id - 1 */
};

static inline bool volume_set_has(const struct volume_set *set, uint32_t id)
{
	return id && id <= VOLUME_MAX && set->bits[(id - 1) / 64] >> (id - 1) % 64 & 1;
}

static inline void volume_set_put(struct volume_set *set, uint32_t id, bool in)
{
	uint64_t bit = (uint64_t)1 << (id - 1) % 64;

	set->bits[(id - 1) / 64] = in ? set->bits[(id - 1) / 64] | bit : set->bits[(id - 1) / 64] & ~bit;
}

/* The C member of a field: a duration or a time carries its unit. */
#define MEMBER_OF_NAME(m) m
#define MEMBER_OF_TEXT(m) m
#define MEMBER_OF_PARAMS(m) m
#define MEMBER_OF_U32(m) m
#define MEMBER_OF_U64(m) m
#define MEMBER_OF_BOOL(m) m
#define MEMBER_OF_MS(m) m##_ms
#define MEMBER_OF_ZONE(m) m##_min
#define MEMBER_OF_TIME(m) m##_ms
#define MEMBER_OF_ENUM(m) m
#define MEMBER_OF_NODEREF(m) m
#define MEMBER_OF_ROLEREF(m) m
#define MEMBER_OF_NODESET(m) m
#define MEMBER_OF_NODELIST(m) m
#define MEMBER_OF_ROLELIST(m) m
#define MEMBER_OF_SETLIST(m) m
#define MEMBER_OF_VOLUMELIST(m) m
#define MEMBER_OF_VOLUMESET(m) m
#define MEMBER_OF_DEPS(m) m
#define MEMBER_OF_TIMES(m) m##_ms

#define MEMBER_NAME(m) char m[NAME_SIZE];
#define MEMBER_TEXT(m) char m[TEXT_SIZE];
#define MEMBER_PARAMS(m) char m[PARAMS_SIZE];
#define MEMBER_U32(m) uint32_t m;
#define MEMBER_U64(m) uint64_t m;
#define MEMBER_BOOL(m) uint32_t m;
#define MEMBER_MS(m) uint32_t m##_ms;
#define MEMBER_ZONE(m) uint32_t m##_min;
#define MEMBER_TIME(m) uint64_t m##_ms;
#define MEMBER_ENUM(m) uint32_t m;
#define MEMBER_NODEREF(m) uint32_t m;
#define MEMBER_ROLEREF(m) uint32_t m;
#define MEMBER_NODESET(m) nodeset_t m;
#define MEMBER_NODELIST(m) uint8_t m[NODE_MAX + 1];
#define MEMBER_ROLELIST(m) uint16_t m[ROLELIST_MAX];
#define MEMBER_SETLIST(m) uint16_t m[SETLIST_MAX];
#define MEMBER_VOLUMELIST(m) uint16_t m[VOLUMELIST_MAX];
#define MEMBER_VOLUMESET(m) struct volume_set m;
#define MEMBER_DEPS(m) uint16_t m[DEPS_CLAUSE_MAX][DEPS_CHOICE_MAX];
#define MEMBER_TIMES(m) uint64_t m##_ms[UNCLEAN_MAX];

/* What every object begins with. `hash` is the object's part of the digest (not encoded). */
struct object {
	uint32_t id;
	uint16_t used;
	uint16_t dirty; /* changed since the last commit (not encoded) */
	uint64_t hash;
	uint8_t unknown_len;
	uint8_t unknown[UNKNOWN_FIELDS_SIZE]; /* fields of a newer level, kept as they came */
};

#define OBJECT(kind, symbol, max) struct kind { struct object object;
#define FIELD(kind, number, type, member, flags, def, min, max, aux, since, help) MEMBER_##type(member)
#define OBJECT_END(kind) };
#include "proto/objects.def"
#undef OBJECT
#undef FIELD
#undef OBJECT_END

/* Memory for one object of any kind. */
union any_object {
	struct object object;
#define OBJECT(kind, symbol, max) struct kind kind;
#define FIELD(kind, number, type, member, flags, def, min, max, aux, since, help)
#define OBJECT_END(kind)
#include "proto/objects.def"
#undef OBJECT
#undef FIELD
#undef OBJECT_END
};

enum field_flags {
	FIELD_FLAG_K = 1, /* key: the name, set at creation or by rename */
	FIELD_FLAG_C = 2, /* configuration: people set it */
	FIELD_FLAG_S = 4, /* status: the core keeps it */
};

struct enum_value {
	uint32_t number;
	const char *text;
};

struct field {
	uint16_t number;
	uint8_t type;  /* enum field_type */
	uint8_t flags; /* enum field_flags */
	uint16_t since;
	const char *name; /* as in objects.def */
	size_t offset, size;
	uint64_t def, min, max;
	const struct enum_value *values; /* FIELD_ENUM; ends with text NULL */
	const char *help;
};

struct object_type {
	uint8_t kind; /* enum object_kind */
	const char *name;
	uint32_t max; /* highest id */
	size_t size;
	const struct field *fields;
	size_t n_fields;
};

/* NULL when there is no such kind. */
const struct object_type *object_type(uint32_t kind);
const struct object_type *object_type_by_name(const char *name);
const struct field *object_field(const struct object_type *type, const char *name);
const struct field *object_field_by_number(const struct object_type *type, uint16_t number);
/* Text of an enum's value, "?" when unknown; number of a text, -EINVAL when unknown. */
const char *enum_text(const struct enum_value *values, uint32_t number);
int enum_number(const struct enum_value *values, const char *text, uint32_t *ret_number);
/* The value tables by enum: enum_values_node_state, … */
#define ENUM(type) extern const struct enum_value enum_values_##type[];
#define VALUE(type, number, symbol, text)
#define ENUM_END(type)
#include "proto/enums.def"
#undef ENUM
#undef VALUE
#undef ENUM_END

/* Zeroes the object and sets id, used and every field's default. */
void object_init(const struct object_type *type, void *object, uint32_t id);

#include "bytes.h"

/*
 * One encoded object: u8 kind, u32 id, then per field u16 number, u16 length, bytes; ended by number 0. Fields at their
 * type's zero are left out, order is by number: one state has one encoding.
 *
 *   BOOL ENUM NODEREF: 1 byte · ROLEREF: 2 · U32 MS: 4 · U64 TIME NODESET: 8 · NAME TEXT PARAMS: the text without its NUL
 *   NODELIST: a byte each · ROLELIST SETLIST VOLUMELIST VOLUMESET: u16 each · TIMES: u64 each · DEPS: per clause u8 count, u16 each
 *
 * Decoding is bounded, refuses a wrong length, a value out of [min, max], a list that is not canonical, a duplicate or
 * descending number, and the absence of a level 1 field that may not be zero; fields it does not know are kept in
 * `unknown` (too many: -E2BIG). Returns 0 or -EBADMSG, -E2BIG; *ret_object is undefined then.
 */
void object_encode(struct writer *w, const struct object_type *type, const void *object);
int object_decode(struct reader *r, const struct object_type **ret_type, void *ret_object, size_t size);
/* XXH3 of the encoding; 0 for an unused object. */
uint64_t object_hash(const struct object_type *type, const void *object);
/* Value of a field that is one number (U32 U64 BOOL MS TIME ENUM NODEREF ROLEREF NODESET). */
uint64_t field_number(const struct field *field, const void *object);

#endif
