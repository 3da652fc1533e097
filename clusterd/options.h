/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The configuration file clusterd.conf(5): `key = value` lines. Keys, types, defaults and ranges are rows of options.def;
 * struct, parser, checks and the manual's table come from it.
 */
#ifndef CLUSTERD_OPTIONS_H
#define CLUSTERD_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bounds.h"

#define OPTIONS_FILE "/etc/clusterd/clusterd.conf"
#define OPTIONS_PATH_SIZE 256
#define OPTIONS_FILE_MAX (64 * 1024) /* bytes */
#define OPTIONS_LINE_MAX 1024
#define OPTIONS_PROBLEM_MAX 32 /* reported at most; the rest is counted */

enum option_type {
	OPTION_NAME_TYPE,
	OPTION_PATH_TYPE,
	OPTION_TEXT_TYPE,
	OPTION_CHOICE_TYPE,
	OPTION_BOOL_TYPE,
	OPTION_NUMBER_TYPE,
	OPTION_DURATION_TYPE,
	OPTION_SIZE_TYPE,
};

/* One member a key: durations end in _ms, sizes in _mib. */
struct options {
#define OPTION_NAME(key, def, help) char key[NAME_SIZE];
#define OPTION_PATH(key, def, help) char key[OPTIONS_PATH_SIZE];
#define OPTION_TEXT(key, def, help) char key[TEXT_SIZE];
#define OPTION_CHOICE(key, def, choices, help) char key[NAME_SIZE];
#define OPTION_BOOL(key, def, help) bool key;
#define OPTION_NUMBER(key, def, min, max, unit, help) uint32_t key;
#define OPTION_DURATION(key, def, min, max, help) uint32_t key##_ms;
#define OPTION_SIZE(key, def, min, max, help) uint32_t key##_mib;
#include "clusterd/options.def"
};

struct option_row {
	const char *key;
	enum option_type type;
	size_t offset, size;       /* of the member in struct options */
	const char *default_text;  /* of names, paths, texts and choices */
	uint32_t default_number;   /* of the others; ms, MiB */
	uint32_t min, max;         /* of numbers; ms, MiB */
	const char *unit;
	const char *choices; /* "a|b|c" */
	const char *help;
};

extern const struct option_row option_rows[];
extern const size_t option_row_count;

struct options_problems {
	unsigned int count;
	char text[OPTIONS_PROBLEM_MAX][320]; /* "file:line: key = value: what is wrong; what is allowed" */
};

void options_default(struct options *out);
/* Defaults, then the file. 0; -EINVAL with at least one problem; -ENOENT …: cannot be read (a problem too). */
int options_load(struct options *out, const char *path, struct options_problems *problems);
/* The same from memory; `name` stands for the file in messages. */
int options_parse(struct options *out, const char *name, const char *data, size_t len, struct options_problems *problems);
/* Checks between keys; part of options_load and options_parse. */
int options_check(const struct options *o, const char *name, struct options_problems *problems);
/* Value of a row as text, as the file would say it. */
int options_show(const struct options *o, const char *key, char *out, size_t size);

#endif
