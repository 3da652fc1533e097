/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration file: table, parser, checks. */
#include "clusterd/options.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "cleanup.h"
#include "text.h"
#include "units.h"

#define KEY_DISTANCE_MAX 3 /* edits between a typo and the key that is suggested */

#define ROW(key, type, member, deftext, defnumber, min, max, unit, choices, help)                               \
	{ #key, type, offsetof(struct options, member), sizeof(((struct options *)0)->member), deftext, defnumber, \
	  min, max, unit, choices, help },
#define OPTION_NAME(key, def, help) ROW(key, OPTION_NAME_TYPE, key, def, 0, 0, NAME_SIZE - 1, "", "", help)
#define OPTION_PATH(key, def, help) ROW(key, OPTION_PATH_TYPE, key, def, 0, 0, OPTIONS_PATH_SIZE - 1, "", "", help)
#define OPTION_TEXT(key, def, help) ROW(key, OPTION_TEXT_TYPE, key, def, 0, 0, TEXT_SIZE - 1, "", "", help)
#define OPTION_CHOICE(key, def, choices, help) ROW(key, OPTION_CHOICE_TYPE, key, def, 0, 0, 0, "", choices, help)
#define OPTION_BOOL(key, def, help) ROW(key, OPTION_BOOL_TYPE, key, "", def, 0, 1, "", "", help)
#define OPTION_NUMBER(key, def, min, max, unit, help) ROW(key, OPTION_NUMBER_TYPE, key, "", def, min, max, unit, "", help)
#define OPTION_DURATION(key, def, min, max, help) \
	ROW(key, OPTION_DURATION_TYPE, key##_ms, "", def, min, max, "ms", "", help)
#define OPTION_SIZE(key, def, min, max, help) ROW(key, OPTION_SIZE_TYPE, key##_mib, "", def, min, max, "MiB", "", help)

const struct option_row option_rows[] = {
#include "clusterd/options.def"
};
const size_t option_row_count = ARRAY_SIZE(option_rows);

struct unit {
	const char *suffix;
	uint64_t factor;
};

static const struct unit duration_units[] = {
	{ "ms", 1 }, { "s", MS_PER_SECOND }, { "min", MS_PER_MINUTE }, { "m", MS_PER_MINUTE },
	{ "h", MS_PER_HOUR }, { "d", MS_PER_DAY }, { NULL, 0 },
};
static const struct unit size_units[] = {
	{ "M", 1 }, { "MiB", 1 }, { "G", 1024 }, { "GiB", 1024 }, { "T", 1024 * 1024 }, { "TiB", 1024 * 1024 }, { NULL, 0 },
};

static void *member_of(struct options *o, const struct option_row *row) { return (char *)o + row->offset; }

static void __attribute__((format(printf, 2, 3))) problem(struct options_problems *p, const char *fmt, ...)
{
	unsigned int n = p->count++;
	va_list ap;

	if (n >= OPTIONS_PROBLEM_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(p->text[n], sizeof(p->text[n]), fmt, ap);
	va_end(ap);
}

void options_default(struct options *out)
{
	memset(out, 0, sizeof(*out));
	for (size_t i = 0; i < option_row_count; i++) {
		const struct option_row *row = &option_rows[i];

		if (row->type == OPTION_BOOL_TYPE)
			*(bool *)member_of(out, row) = row->default_number;
		else if (row->type >= OPTION_NUMBER_TYPE)
			*(uint32_t *)member_of(out, row) = row->default_number;
		else
			text_copy(member_of(out, row), row->size, row->default_text);
	}
}

/* Levenshtein, bounded by the longest key. */
static unsigned int distance(const char *a, const char *b)
{
	unsigned int row[NAME_SIZE + 1], lb = (unsigned int)strnlen(b, NAME_SIZE);

	for (unsigned int j = 0; j <= lb; j++)
		row[j] = j;
	for (unsigned int i = 1; a[i - 1]; i++) {
		unsigned int diagonal = row[0];

		row[0] = i;
		for (unsigned int j = 1; j <= lb; j++) {
			unsigned int best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[lb];
}

static const struct option_row *row_find(const char *key)
{
	for (size_t i = 0; i < option_row_count; i++)
		if (!strcmp(option_rows[i].key, key))
			return &option_rows[i];
	return NULL;
}

static const char *row_nearest(const char *key)
{
	unsigned int best = KEY_DISTANCE_MAX + 1;
	const char *name = NULL;

	for (size_t i = 0; i < option_row_count; i++) {
		unsigned int d = distance(key, option_rows[i].key);

		if (d < best) {
			best = d;
			name = option_rows[i].key;
		}
	}
	return name;
}

/* "30s" in the units of the row; *wrong says what is. */
static bool number_parse(const char *value, const struct unit *units, uint64_t *out, const char **wrong)
{
	const char *p = value;
	uint64_t n = 0;

	*wrong = units == duration_units ? "is not a duration such as 500ms, 30s, 2min, 1h" :
		 units == size_units	 ? "is not a size such as 512M, 64G, 1T" :
					   "is not a whole number";
	if (!isdigit((unsigned char)*p))
		return false;
	for (; isdigit((unsigned char)*p); p++) {
		if (n > UINT32_MAX) {
			*wrong = "is too large";
			return false;
		}
		n = n * 10 + (uint64_t)(*p - '0');
	}
	while (*p == ' ')
		p++;
	*out = n;
	if (!units)
		return !*p;
	if (!n && !*p)
		return true; /* nothing needs no unit */
	for (; units->suffix; units++) {
		if (!strcmp(p, units->suffix)) {
			*out = n * units->factor;
			return true;
		}
	}
	return false;
}

/* A value as people write it: the largest unit that divides it. */
static void number_show(uint64_t n, enum option_type type, char *out, size_t size)
{
	const struct unit *units = type == OPTION_DURATION_TYPE ? duration_units : size_units;
	const struct unit *best = units;

	if (type == OPTION_NUMBER_TYPE) {
		snprintf(out, size, "%llu", (unsigned long long)n);
		return;
	}
	for (; units->suffix; units++)
		if (n && n % units->factor == 0 && units->factor > best->factor)
			best = units;
	snprintf(out, size, "%llu%s", (unsigned long long)(n / best->factor), n ? best->suffix : "");
}

static bool name_valid(const char *s)
{
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr("-_.", *s))
			return false;
	return true;
}

static bool bool_parse(const char *value, bool *out)
{
	static const char *const words[2][4] = { { "no", "false", "off", "0" }, { "yes", "true", "on", "1" } };

	for (unsigned int v = 0; v < 2; v++)
		for (unsigned int i = 0; i < 4; i++)
			if (!strcasecmp(value, words[v][i])) {
				*out = v;
				return true;
			}
	return false;
}

static bool choice_valid(const char *value, const char *choices)
{
	size_t len = strlen(value);

	for (const char *p = choices; *p; p += strcspn(p, "|"), p += *p == '|')
		if (strcspn(p, "|") == len && !strncmp(p, value, len))
			return true;
	return false;
}

struct place {
	const char *file;
	unsigned int line;
	struct options_problems *problems;
};

static void set_number(struct options *o, const struct option_row *row, const char *value, const struct place *at)
{
	const struct unit *units = row->type == OPTION_DURATION_TYPE ? duration_units :
				   row->type == OPTION_SIZE_TYPE     ? size_units :
								       NULL;
	char low[32], high[32];
	const char *wrong;
	uint64_t n = 0;

	number_show(row->min, row->type, low, sizeof(low));
	number_show(row->max, row->type, high, sizeof(high));
	if (!number_parse(value, units, &n, &wrong))
		problem(at->problems, "%s:%u: %s = %s: %s; allowed: %s to %s%s%s", at->file, at->line, row->key, value, wrong,
			low, high, units || !row->unit[0] ? "" : " ", units ? "" : row->unit);
	else if (n < row->min || n > row->max)
		problem(at->problems, "%s:%u: %s = %s: out of range; allowed: %s to %s%s%s", at->file, at->line, row->key, value,
			low, high, units || !row->unit[0] ? "" : " ", units ? "" : row->unit);
	else
		*(uint32_t *)member_of(o, row) = (uint32_t)n;
}

static void set_value(struct options *o, const struct option_row *row, const char *value, const struct place *at)
{
	const char *wrong = NULL;

	if (row->type == OPTION_BOOL_TYPE) {
		if (!bool_parse(value, member_of(o, row)))
			problem(at->problems, "%s:%u: %s = %s: allowed: yes, no", at->file, at->line, row->key, value);
		return;
	}
	if (row->type >= OPTION_NUMBER_TYPE) {
		set_number(o, row, value, at);
		return;
	}
	if (strlen(value) >= row->size)
		wrong = "too long";
	else if (row->type == OPTION_NAME_TYPE && !name_valid(value))
		wrong = "allowed: letters, digits, '-', '_', '.'";
	else if (row->type == OPTION_PATH_TYPE && value[0] && value[0] != '/')
		wrong = "must be an absolute path";
	else if (row->type == OPTION_CHOICE_TYPE && !choice_valid(value, row->choices))
		wrong = "allowed";
	if (!wrong)
		text_copy(member_of(o, row), row->size, value);
	else if (row->type == OPTION_CHOICE_TYPE)
		problem(at->problems, "%s:%u: %s = %s: allowed: %s", at->file, at->line, row->key, value, row->choices);
	else if (strlen(value) >= row->size)
		problem(at->problems, "%s:%u: %s: longer than %zu characters", at->file, at->line, row->key, row->size - 1);
	else
		problem(at->problems, "%s:%u: %s = %s: %s", at->file, at->line, row->key, value, wrong);
}

static char *trim(char *s)
{
	char *end;

	while (isspace((unsigned char)*s))
		s++;
	end = s + strlen(s);
	while (end > s && isspace((unsigned char)end[-1]))
		*--end = '\0';
	return s;
}

/* One line without its newline. `seen` has the line on which each row was set. */
static void parse_line(struct options *o, char *line, unsigned int *seen, const struct place *at)
{
	char *comment = line, *equals, *key, *value;
	const struct option_row *row;

	/* '#' starts a comment at the beginning or after a blank */
	while ((comment = strchr(comment, '#'))) {
		if (comment == line || isspace((unsigned char)comment[-1])) {
			*comment = '\0';
			break;
		}
		comment++;
	}
	key = trim(line);
	if (!*key)
		return;
	equals = strchr(key, '=');
	if (!equals) {
		problem(at->problems, "%s:%u: \"%.64s\": not a line \"key = value\"", at->file, at->line, key);
		return;
	}
	*equals = '\0';
	value = trim(equals + 1);
	key = trim(key);
	row = row_find(key);
	if (!row) {
		const char *nearest = row_nearest(key);

		problem(at->problems, "%s:%u: %.64s: no such key%s%s%s", at->file, at->line, key,
			nearest ? "; did you mean " : " (clusterd.conf(5) lists them)", nearest ? nearest : "", nearest ? "?" : "");
		return;
	}
	if (seen[row - option_rows]) {
		problem(at->problems, "%s:%u: %s: already set in line %u", at->file, at->line, key, seen[row - option_rows]);
		return;
	}
	seen[row - option_rows] = at->line;
	set_value(o, row, value, at);
}

int options_parse(struct options *out, const char *name, const char *data, size_t len, struct options_problems *problems)
{
	unsigned int seen[ARRAY_SIZE(option_rows)] = { 0 };
	struct place at = { .file = name, .problems = problems };
	char line[OPTIONS_LINE_MAX + 1];

	problems->count = 0;
	options_default(out);
	while (len) {
		const char *end = memchr(data, '\n', len);
		size_t n = end ? (size_t)(end - data) : len;

		at.line++;
		if (n > OPTIONS_LINE_MAX) {
			problem(problems, "%s:%u: line longer than %u bytes", name, at.line, OPTIONS_LINE_MAX);
		} else if (memchr(data, 0, n)) {
			problem(problems, "%s:%u: has a NUL byte: this is not a text file", name, at.line);
		} else {
			memcpy(line, data, n);
			line[n] = '\0';
			parse_line(out, line, seen, &at);
		}
		data += n + !!end;
		len -= n + !!end;
	}
	options_check(out, name, problems);
	return problems->count ? -EINVAL : 0;
}

int options_load(struct options *out, const char *path, struct options_problems *problems)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	cleanup_free char *data = malloc(OPTIONS_FILE_MAX + 1);
	size_t used = 0;
	ssize_t n;

	problems->count = 0;
	options_default(out);
	if (!data)
		return -ENOMEM;
	if (fd < 0) {
		problem(problems, "%s: cannot be read: %s", path, strerror(errno));
		return -errno;
	}
	while (used <= OPTIONS_FILE_MAX && (n = read(fd, data + used, OPTIONS_FILE_MAX + 1 - used)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			problem(problems, "%s: cannot be read: %s", path, strerror(errno));
			return -errno;
		}
		used += (size_t)n;
	}
	if (used > OPTIONS_FILE_MAX) {
		problem(problems, "%s: larger than %d bytes", path, OPTIONS_FILE_MAX);
		return -EFBIG;
	}
	return options_parse(out, path, data, used, problems);
}

int options_check(const struct options *o, const char *name, struct options_problems *problems)
{
	unsigned int before = problems->count;

	if (!strcmp(o->watchdog_driver, "device") && o->watchdog_timeout_ms % MS_PER_SECOND)
		problem(problems, "%s: watchdog_timeout = %ums: watchdog_driver = device needs whole seconds", name,
			o->watchdog_timeout_ms);
	if (strcmp(o->watchdog_driver, "none") && !o->watchdog[0])
		problem(problems, "%s: watchdog is empty: name its path, or set watchdog_driver = none", name);
	if (o->fence_command[0] && o->fence_command[0] != '/')
		problem(problems, "%s: fence_command = %.128s: the program must be named by its absolute path", name,
			o->fence_command);
	if (!o->state_dir[0] || !o->run_dir[0])
		problem(problems, "%s: %s is empty: name a directory", name, o->state_dir[0] ? "run_dir" : "state_dir");
	if (!o->admin_group[0])
		problem(problems, "%s: admin_group is empty: name a group (one without members leaves root alone)", name);
	if (!o->ocf_root[0])
		problem(problems, "%s: ocf_root is empty: name the directory that has resource.d/", name);
	return problems->count == before ? 0 : -EINVAL;
}

int options_show(const struct options *o, const char *key, char *out, size_t size)
{
	const struct option_row *row = row_find(key);
	const void *member;

	if (!row)
		return -ENOENT;
	member = (const char *)o + row->offset;
	if (row->type == OPTION_BOOL_TYPE)
		text_copy(out, size, *(const bool *)member ? "yes" : "no");
	else if (row->type >= OPTION_NUMBER_TYPE)
		number_show(*(const uint32_t *)member, row->type, out, size);
	else
		text_copy(out, size, (const char *)member);
	return 0;
}
