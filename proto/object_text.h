/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Field values as people write and read them. One parser for clusterctl, config import and the applied change. */
#ifndef PROTO_OBJECT_TEXT_H
#define PROTO_OBJECT_TEXT_H

#include "proto/objects.h"

/* Resolves names in values. Both return 0/NULL when there is none. */
struct name_resolver {
	uint32_t (*id_of)(void *user, uint32_t kind, const char *name);
	const char *(*name_of)(void *user, uint32_t kind, uint32_t id);
	void *user;
};

enum edit_how {
	EDIT_SET = 0,
	EDIT_ADD = 1,    /* lists, sets and params: add these */
	EDIT_REMOVE = 2, /* lists, sets and params: take these away */
};

#define FIELD_TEXT_MAX (VOLUME_MAX * NAME_SIZE) /* longest text of one value, with the NUL */

/*
 * Sets the field of `object` from text. On error the object is unchanged, -EINVAL (or -ENOENT: a name in it is unknown)
 * is returned and `error` (TEXT_SIZE bytes) says what is wrong and what would be right. An empty text is the type's zero
 * for names, texts, lists; refused for numbers.
 *
 *   BOOL      yes no true false on off 1 0
 *   MS        250ms 30s 5min 2h 1d, or a bare 0
 *   TIME      2026-01-31T12:00:00.000Z (UTC), or never
 *   NODESET NODELIST ROLELIST SETLIST VOLUMELIST VOLUMESET   names joined by ','; ADD of a member changes nothing, REMOVE
 *             of none is refused
 *   DEPS      a,b|c: a and (b or c); ADD and REMOVE whole terms
 *   PARAMS    SET: all parameters, name=value, one a line; ADD: one name=value, in place of an older value; REMOVE: one name
 *   TEXT, values of PARAMS   UTF-8 without line breaks and control characters
 */
int field_parse(const struct object_type *type, const struct field *field, void *object, enum edit_how how,
		const char *text, const struct name_resolver *names, char *error);
/* Text that field_parse() reads back to the same value; returns its length, or -E2BIG. */
int field_print(const struct field *field, const void *object, const struct name_resolver *names, char *out, size_t size);
/* Names: 1-63 of [A-Za-z0-9._-], beginning with a letter or digit. Returns 0 or -EINVAL. */
int name_check(const char *name);

#endif
