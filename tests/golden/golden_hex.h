/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Golden bytes of encoded things: a text with a field a line, compared with tests/golden/FOLDER/NAME.hex. With --write the
 * files are made anew; after a change that is meant, look at the difference and commit it.
 */
#ifndef TESTS_GOLDEN_GOLDEN_HEX_H
#define TESTS_GOLDEN_GOLDEN_HEX_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include "cleanup.h"
#include "tests/lib/check.h"

#define GOLDEN_TEXT_MAX 16384

static bool writing;
static const char *golden_folder;
static char text[GOLDEN_TEXT_MAX];
static size_t text_len;

__attribute__((format(printf, 1, 2))) static inline void say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	text_len += (size_t)vsnprintf(text + text_len, sizeof(text) - text_len, format, args);
	va_end(args);
	REQUIRE(text_len < sizeof(text));
}

/* "name  01 02 …": 24 bytes a line. */
static inline void say_bytes(const char *name, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (i % 24 == 0)
			say("%s%-20s", i ? "\n" : "", i ? "" : name);
		say(" %02x", bytes[i]);
	}
	say("\n");
}

/* The bytes of a text that say() wrote: everything but comments and the names of fields. */
static inline size_t parse_hex(const char *from, uint8_t *bytes, size_t size)
{
	size_t n = 0;

	for (const char *line = from; *line; line = strchr(line, '\n') + 1) {
		const char *s = strlen(line) > 20 && *line != '#' && *line != '\n' ? line + 20 : "";
		unsigned int byte;

		for (; *s == ' ' && sscanf(s, " %2x", &byte) == 1; s += 3) {
			REQUIRE(n < size);
			bytes[n++] = (uint8_t)byte;
		}
	}
	return n;
}

static inline const char *golden_path(const char *name)
{
	static char path[4096];
	const char *top = getenv("top_srcdir");

	snprintf(path, sizeof(path), "%s/tests/golden/%s/%s.hex", top ? top : ".", golden_folder, name);
	return path;
}

/* Compares the text with the golden file and returns the bytes that the file holds. */
static inline size_t check_golden(const char *name, uint8_t *bytes, size_t size)
{
	static char golden[GOLDEN_TEXT_MAX];
	cleanup_file FILE *f = fopen(golden_path(name), writing ? "w+" : "r");
	size_t n;

	if (!f) {
		fprintf(stderr, "%s: %s; make it with --write\n", golden_path(name), strerror(errno));
		CHECK(f != NULL);
		return 0;
	}
	if (writing) {
		REQUIRE(fwrite(text, 1, text_len, f) == text_len);
		rewind(f);
	}
	n = fread(golden, 1, sizeof(golden) - 1, f);
	golden[n] = '\0';
	if (!CHECK_STR(text, golden))
		fprintf(stderr, "%s differs (left: now, right: file); if that is meant: run it with --write\n",
			golden_path(name));
	return parse_hex(golden, bytes, size);
}

static inline void golden_begin(int argc, char **argv, const char *folder)
{
	golden_folder = folder;
	writing = argc == 2 && !strcmp(argv[1], "--write");
	if (argc > 1 && !writing) {
		fprintf(stderr, "usage: %s [--write]\n", argv[0]);
		exit(2);
	}
}

#endif
