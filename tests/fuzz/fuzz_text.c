/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Values as people type them. Input: kind, field, how, then the texts of edits made one after the other, each ended by
 * a NUL. A refused one changes nothing and says why; an accepted one encodes, decodes and reads back from its own
 * print.
 */
#include <string.h>

#include "proto/object_text.h"
#include "tests/fuzz/fuzz_require.h"
#include "tests/lib/any_names.h"

/* Typed names may be of nothing. */
static uint32_t id_of(void *user, uint32_t kind, const char *name)
{
	unsigned long id = name[0] == 'o' ? strtoul(name + 1, NULL, 10) : 0;

	(void)user;
	return id <= (kind == KIND_NODE ? NODE_MAX : SET_MAX) ? (uint32_t)id : 0;
}

static const struct name_resolver names = { id_of, any_name_of, NULL };

static void check_value(const struct object_type *type, const struct field *f, const union any_object *object)
{
	static char text[FIELD_TEXT_MAX];
	static uint8_t bytes[OBJECT_ENCODED_MAX];
	struct writer w = writer_of(bytes, sizeof(bytes));
	union any_object again = *object;
	const struct object_type *got;
	char error[TEXT_SIZE];
	struct reader r;

	FUZZ_REQUIRE(field_print(f, object, &names, text, sizeof(text)) >= 0);
	if (strcmp(text, "?"))
		FUZZ_REQUIRE(!field_parse(type, f, &again, EDIT_SET, text, &names, error));
	FUZZ_REQUIRE(!memcmp(&again, object, type->size));
	object_encode(&w, type, object);
	FUZZ_REQUIRE(!w.bad);
	r = reader_of(bytes, writer_len(&w));
	FUZZ_REQUIRE(!object_decode(&r, &got, &again, sizeof(again)) && !reader_left(&r));
	FUZZ_REQUIRE(!memcmp(&again, object, type->size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct object_type *type;
	union any_object object, before;
	const struct field *f;
	char error[TEXT_SIZE], *text;

	if (size < 4)
		return 0;
	type = object_type(1 + data[0] % KIND_LAST);
	f = &type->fields[data[1] % type->n_fields];
	memset(&object, 0, sizeof(object));
	object_init(type, &object, 1);
	if (type->kind == KIND_RESOURCE)
		object.resource.role = 1;
	for (size_t at = 2; at + 1 < size;) {
		enum edit_how how = data[at] % 3;
		size_t n = strnlen((const char *)data + at + 1, size - at - 1);

		text = malloc(n + 1);
		FUZZ_REQUIRE(text);
		memcpy(text, data + at + 1, n);
		text[n] = '\0';
		at += n + 2;
		before = object;
		if (field_parse(type, f, &object, how, text, &names, error) < 0)
			FUZZ_REQUIRE(!memcmp(&object, &before, type->size) && strnlen(error, TEXT_SIZE) < TEXT_SIZE &&
				     error[0]);
		else
			check_value(type, f, &object);
		free(text);
	}
	return 0;
}
