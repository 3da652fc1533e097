/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Encoded objects, from a database or a snapshot: what is accepted has one encoding, the accepted bytes, and prints. */
#include <string.h>

#include "tests/fuzz/fuzz_require.h"
#include "tests/lib/any_names.h"

/* Numbers and lists read back to what they were; texts may hold what people may not write. */
static void print_fields(const struct object_type *type, const union any_object *object)
{
	static char text[FIELD_TEXT_MAX];
	union any_object again = *object;
	char error[TEXT_SIZE];

	for (size_t i = 0; i < type->n_fields; i++) {
		const struct field *f = &type->fields[i];

		FUZZ_REQUIRE(field_print(f, object, &any_names, text, sizeof(text)) >= 0);
		if (f->type == FIELD_NAME || f->type == FIELD_TEXT || f->type == FIELD_PARAMS || !strcmp(text, "?"))
			continue;
		if (!field_number(f, object) && f->type == FIELD_ROLEREF)
			continue;
		FUZZ_REQUIRE(!field_parse(type, f, &again, EDIT_SET, text, &any_names, error));
	}
	FUZZ_REQUIRE(!memcmp(&again, object, type->size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t bytes[OBJECT_ENCODED_MAX];
	struct reader r = reader_of(data, size);

	while (reader_left(&r)) {
		const uint8_t *start = r.p;
		const struct object_type *type;
		union any_object object;
		struct writer w = writer_of(bytes, sizeof(bytes));

		if (object_decode(&r, &type, &object, sizeof(object)) < 0)
			return 0;
		object_encode(&w, type, &object);
		FUZZ_REQUIRE(!w.bad && writer_len(&w) == (size_t)(r.p - start));
		FUZZ_REQUIRE(!memcmp(bytes, start, writer_len(&w)));
		print_fields(type, &object);
	}
	return 0;
}
