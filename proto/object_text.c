/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Field values as text: parser and printer of every field type. */
#include "proto/object_text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "text.h"


/* What a parser of one type gets. */
struct parse {
	const struct field *field;
	void *at; /* the field in the object */
	enum edit_how how;
	const char *text;
	const struct name_resolver *names;
	char *error;
};

__attribute__((format(printf, 3, 4))) static int refuse(const struct parse *p, int rc, const char *format, ...)
{
	va_list args;
	int n = snprintf(p->error, TEXT_SIZE, "%s: ", p->field->name);

	va_start(args, format);
	vsnprintf(p->error + n, TEXT_SIZE - (size_t)n, format, args);
	va_end(args);
	return rc;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}
static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
static bool is_name_char(char c)
{
	return is_letter(c) || is_digit(c) || c == '.' || c == '_' || c == '-';
}

int name_check(const char *name)
{
	size_t n = strnlen(name, NAME_SIZE);

	if (!n || n == NAME_SIZE || !(is_letter(name[0]) || is_digit(name[0])))
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		if (!is_name_char(name[i]))
			return -EINVAL;
	return 0;
}

/* Length of the UTF-8 sequence at s, 0 when it is none (RFC 3629: no overlong forms, no surrogates). */
static size_t utf8_sequence(const unsigned char *s)
{
	size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;

	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
	    (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

/* Printable UTF-8: what goes to a terminal, a log line or JSON without harm. */
static bool text_is_clean(const char *text)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t n;

	for (; *s; s += n) {
		n = utf8_sequence(s);
		if (!n || *s < 0x20 || *s == 0x7f || (*s == 0xc2 && s[1] < 0xa0))
			return false;
	}
	return true;
}

/* ---- numbers ---- */

/* Digits up to the first other character; -EINVAL when there is none, -ERANGE when they do not fit. */
static int digits_parse(const char **text, uint64_t *ret)
{
	const char *s = *text;
	uint64_t v = 0;
	bool over = false;

	if (!is_digit(*s))
		return -EINVAL;
	for (; is_digit(*s); s++)
		over |= __builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v);
	*text = s;
	*ret = v;
	return over ? -ERANGE : 0;
}

static void number_store(const struct parse *p, uint64_t value)
{
	uint32_t narrow = (uint32_t)value;

	if (p->field->size == sizeof(narrow))
		memcpy(p->at, &narrow, sizeof(narrow));
	else
		memcpy(p->at, &value, sizeof(value));
}

static int number_parse(const struct parse *p)
{
	const struct field *f = p->field;
	const char *s = p->text;
	uint64_t value;
	int rc = digits_parse(&s, &value);

	if (rc == -EINVAL || *s)
		return refuse(p, -EINVAL, "'%.60s' is not a number: write digits only, %llu to %llu", p->text,
			      (unsigned long long)f->min, (unsigned long long)f->max);
	if (rc < 0 || value < f->min || value > f->max)
		return refuse(p, -EINVAL, "%.60s is out of range: %llu to %llu are allowed", p->text,
			      (unsigned long long)f->min, (unsigned long long)f->max);
	number_store(p, value);
	return 0;
}

static int bool_parse(const struct parse *p)
{
	static const char *const words[][2] = { { "no", "yes" }, { "false", "true" }, { "off", "on" }, { "0", "1" } };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		for (uint32_t v = 0; v < 2; v++) {
			if (strcmp(p->text, words[i][v]))
				continue;
			number_store(p, v);
			return 0;
		}
	}
	return refuse(p, -EINVAL, "'%.60s' is neither yes nor no", p->text);
}

static const struct {
	const char *text;
	uint64_t ms;
} duration_units[] = {
	/* largest first, for printing */
	{ "d", MS_PER_DAY }, { "h", MS_PER_HOUR }, { "min", MS_PER_MINUTE }, { "s", MS_PER_SECOND }, { "ms", 1 },
};

static int duration_print(uint64_t ms, char *out, size_t size)
{
	size_t i = 0;

	if (!ms)
		return snprintf(out, size, "0s");
	while (ms % duration_units[i].ms)
		i++;
	return snprintf(out, size, "%llu%s", (unsigned long long)(ms / duration_units[i].ms), duration_units[i].text);
}

static int duration_parse(const struct parse *p)
{
	const struct field *f = p->field;
	char least[32], most[32];
	const char *s = p->text;
	uint64_t value, unit = 0;
	int rc = digits_parse(&s, &value);

	for (size_t i = 0; i < ARRAY_SIZE(duration_units); i++)
		if (!strcmp(s, duration_units[i].text))
			unit = duration_units[i].ms;
	if (!strcmp(s, "m"))
		unit = MS_PER_MINUTE;
	if (!rc && !value && !*s)
		unit = 1; /* a bare zero needs no unit */
	if (rc == -EINVAL || !unit)
		return refuse(p, -EINVAL, "'%.60s' is not a duration: write a number and ms, s, min, h or d, as 30s",
			      p->text);
	if (rc < 0 || __builtin_mul_overflow(value, unit, &value) || value < f->min || value > f->max) {
		duration_print(f->min, least, sizeof(least));
		duration_print(f->max, most, sizeof(most));
		return refuse(p, -EINVAL, "%.60s is out of range: %s to %s are allowed", p->text, least, most);
	}
	number_store(p, value);
	return 0;
}

/* ---- local time: +02:00, -05:30 ---- */

static int zone_print(uint64_t value, char *out, size_t size)
{
	uint32_t minutes = value >= ZONE_UTC ? (uint32_t)value - ZONE_UTC : ZONE_UTC - (uint32_t)value;

	return snprintf(out, size, "%c%02u:%02u", value >= ZONE_UTC ? '+' : '-', minutes / 60, minutes % 60);
}

static int zone_parse(const struct parse *p)
{
	const struct field *f = p->field;
	const char *s = p->text;
	char least[16], most[16];
	uint64_t value = ZONE_UTC;
	uint32_t minutes;

	if ((s[0] != '+' && s[0] != '-') || !is_digit(s[1]) || !is_digit(s[2]) || s[3] != ':' || !is_digit(s[4]) ||
	    !is_digit(s[5]) || s[6] || s[4] > '5')
		return refuse(p, -EINVAL, "'%.60s' is not a distance from UTC: write +02:00 or -05:30", p->text);
	minutes = (uint32_t)((s[1] - '0') * 600 + (s[2] - '0') * 60 + (s[4] - '0') * 10 + (s[5] - '0'));
	value = s[0] == '+' ? value + minutes : value - minutes;
	if (value < f->min || value > f->max) { /* also what was too far below zero */
		zone_print(f->min, least, sizeof(least));
		zone_print(f->max, most, sizeof(most));
		return refuse(p, -EINVAL, "%.60s is out of range: %s to %s are allowed", p->text, least, most);
	}
	number_store(p, value);
	return 0;
}

static int enum_parse(const struct parse *p)
{
	char choices[TEXT_SIZE] = "";
	uint32_t number;
	size_t n = 0;

	if (!enum_number(p->field->values, p->text, &number)) {
		number_store(p, number);
		return 0;
	}
	for (const struct enum_value *v = p->field->values; v->text && n < sizeof(choices); v++)
		n += (size_t)snprintf(choices + n, sizeof(choices) - n, "%s%s", n ? ", " : "", v->text);
	return refuse(p, -EINVAL, "'%.60s' is not one of %.150s", p->text, choices);
}

/* ---- times: UTC, as 2026-01-31T12:00:00.000Z, or never ---- */

/* Days since 1970-01-01 of a date of the Gregorian calendar; years begin in March so that the leap day is the last. */
static int64_t days_of_date(int64_t year, int64_t month, int64_t day)
{
	int64_t y = month > 2 ? year : year - 1;
	int64_t era = y / 400, year_of_era = y - era * 400;
	int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

static int time_print(uint64_t ms, char *out, size_t size)
{
	uint64_t days = ms / MS_PER_DAY, rest = ms % MS_PER_DAY;
	uint64_t z = days + 719468, era = z / 146097, day_of_era = z % 146097;
	uint64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	uint64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	uint64_t m = (5 * day_of_year + 2) / 153, day = day_of_year - (153 * m + 2) / 5 + 1;
	uint64_t month = m < 10 ? m + 3 : m - 9, year = year_of_era + era * 400 + (month <= 2);

	if (!ms)
		return snprintf(out, size, "never");
	return snprintf(out, size, "%04llu-%02llu-%02lluT%02llu:%02llu:%02llu.%03lluZ", (unsigned long long)year,
			(unsigned long long)month, (unsigned long long)day, (unsigned long long)(rest / MS_PER_HOUR),
			(unsigned long long)(rest / MS_PER_MINUTE % 60),
			(unsigned long long)(rest / MS_PER_SECOND % 60), (unsigned long long)(rest % MS_PER_SECOND));
}

static int time_of_text(const char *text, size_t len, uint64_t *ret)
{
	static const char shape[] = "-00-00T00:00:00.000Z"; /* after the year */
	int64_t part[7] = { 0 };			    /* year month day hour minute second ms */
	size_t k = 0, i = 0;
	char again[96];

	if (len == 5 && !memcmp(text, "never", 5)) {
		*ret = 0;
		return 0;
	}
	for (; i < len && i < 9 && is_digit(text[i]); i++)
		part[0] = part[0] * 10 + (text[i] - '0');
	if (i < 4 || len - i != sizeof(shape) - 1)
		return -EINVAL;
	for (size_t j = 0; j < sizeof(shape) - 1; j++) {
		if (shape[j] == '0' ? !is_digit(text[i + j]) : text[i + j] != shape[j])
			return -EINVAL;
		if (shape[j] != '0')
			k++;
		else
			part[k] = part[k] * 10 + (text[i + j] - '0');
	}
	if (part[0] < 1970 || part[1] < 1 || part[1] > 12)
		return -EINVAL;
	*ret = (uint64_t)days_of_date(part[0], part[1], part[2]) * MS_PER_DAY + (uint64_t)part[3] * MS_PER_HOUR +
	       (uint64_t)part[4] * MS_PER_MINUTE + (uint64_t)part[5] * MS_PER_SECOND + (uint64_t)part[6];
	/* The 31st of February and the 25th hour print as something else. */
	time_print(*ret, again, sizeof(again));
	return strlen(again) == len && !memcmp(again, text, len) ? 0 : -EINVAL;
}

static int time_parse(const struct parse *p)
{
	uint64_t value;

	if (time_of_text(p->text, strlen(p->text), &value) < 0)
		return refuse(p, -EINVAL,
			      "'%.60s' is not a time: write it in UTC as 2026-01-31T12:00:00.000Z, or never", p->text);
	number_store(p, value);
	return 0;
}

/* ---- texts ---- */

static int text_parse(const struct parse *p)
{
	size_t n = strlen(p->text);

	if (n >= p->field->size)
		return refuse(p, -EINVAL, "%zu bytes are too many: at most %zu", n, p->field->size - 1);
	if (!text_is_clean(p->text))
		return refuse(p, -EINVAL, "has a line break, a control character or broken UTF-8");
	memset(p->at, 0, p->field->size);
	memcpy(p->at, p->text, n);
	return 0;
}

/* A name of our own kind; a colon is allowed inside, for the names of agents. */
static int name_parse(const struct parse *p)
{
	size_t n = strlen(p->text);

	if (n >= NAME_SIZE)
		return refuse(p, -EINVAL, "%zu characters are too many: at most %d", n, NAME_SIZE - 1);
	for (size_t i = 0; i < n; i++)
		if (!(is_name_char(p->text[i]) || (i && p->text[i] == ':')) ||
		    (!i && !(is_letter(p->text[0]) || is_digit(p->text[0]))))
			return refuse(p, -EINVAL,
				      "'%.63s' is not a name: use letters, digits, '.', '_' and '-', "
				      "beginning with a letter or digit",
				      text_is_clean(p->text) ? p->text : "?");
	memset(p->at, 0, p->field->size);
	memcpy(p->at, p->text, n);
	return 0;
}

/* ---- parameters: "name=value\n" lines, sorted ---- */

static size_t line_len(const char *line)
{
	const char *end = strchr(line, '\n');

	return end ? (size_t)(end - line) : strlen(line);
}

static size_t param_name_len(const char *line)
{
	return strcspn(line, "=\n");
}

static int param_compare(const char *a, const char *b)
{
	size_t a_len = param_name_len(a), b_len = param_name_len(b);
	int order = memcmp(a, b, a_len < b_len ? a_len : b_len);

	return order ? order : a_len < b_len ? -1 : a_len > b_len;
}

/* Offset of the first line whose name is not below; *ret_found: it is this very name. */
static size_t param_find(const char *params, const char *line, bool *ret_found)
{
	size_t pos = 0;
	int order = 1;

	while (params[pos]) {
		order = param_compare(params + pos, line);
		if (order >= 0)
			break;
		pos += line_len(params + pos) + 1;
	}
	*ret_found = params[pos] && !order;
	return pos;
}

static void param_cut(char *params, size_t pos)
{
	size_t n = line_len(params + pos) + 1;

	memmove(params + pos, params + pos + n, strlen(params + pos + n) + 1);
}

static int param_check(const struct parse *p, const char *line, size_t len, bool with_value)
{
	size_t name_len = strcspn(line, "=");
	char copy[PARAMS_SIZE];

	if (len >= sizeof(copy) - 1)
		return refuse(p, -EINVAL, "too long: all parameters together have %d bytes", PARAMS_SIZE - 1);
	memcpy(copy, line, len);
	copy[len] = '\0';
	if (!text_is_clean(copy))
		return refuse(p, -EINVAL, "a parameter has a line break, a control character or broken UTF-8");
	if (name_len > len)
		name_len = len;
	if (with_value != (name_len < len))
		return refuse(p, -EINVAL,
			      with_value ? "'%.100s' is not of the form name=value" : "'%.100s': give the name only",
			      copy);
	if (!name_len)
		return refuse(p, -EINVAL, "'%.100s' has no name before the '='", copy);
	for (size_t i = 0; i < name_len; i++)
		if (!is_name_char(copy[i]))
			return refuse(p, -EINVAL,
				      "'%.*s' is not the name of a parameter: use letters, digits, '.', '_' and '-'",
				      name_len < 100 ? (int)name_len : 100, copy);
	return 0;
}

static int param_add(const struct parse *p, char *params, const char *line, size_t len)
{
	bool found;
	size_t pos, used;
	int rc = param_check(p, line, len, true);

	if (rc < 0)
		return rc;
	pos = param_find(params, line, &found);
	if (found)
		param_cut(params, pos);
	used = strlen(params);
	if (used + len + 2 > PARAMS_SIZE)
		return refuse(p, -EINVAL, "too long: all parameters together have %d bytes", PARAMS_SIZE - 1);
	memmove(params + pos + len + 1, params + pos, used - pos + 1);
	memcpy(params + pos, line, len);
	params[pos + len] = '\n';
	return 0;
}

static int param_remove(const struct parse *p, char *params)
{
	bool found;
	size_t pos;
	int rc = param_check(p, p->text, strlen(p->text), false);

	if (rc < 0)
		return rc;
	pos = param_find(params, p->text, &found);
	if (!found)
		return refuse(p, -ENOENT, "there is no parameter '%.100s' to remove", p->text);
	param_cut(params, pos);
	return 0;
}

static int params_set(const struct parse *p, char *params)
{
	for (const char *line = p->text; *line;) {
		size_t len = line_len(line);
		bool found;
		int rc;

		param_find(params, line, &found);
		if (found)
			return refuse(p, -EINVAL, "parameter '%.*s' is given twice",
				      (int)(len < 100 ? param_name_len(line) : 100), line);
		rc = param_add(p, params, line, len);
		if (rc < 0)
			return rc;
		line += len + (line[len] == '\n');
	}
	return 0;
}

/* SET takes all parameters, one a line; ADD and REMOVE one. */
static int params_parse(const struct parse *p)
{
	char params[PARAMS_SIZE] = "";
	int rc;

	if (p->how != EDIT_SET)
		memcpy(params, p->at, sizeof(params));
	if (p->how == EDIT_REMOVE)
		rc = param_remove(p, params);
	else if (p->how == EDIT_ADD)
		rc = param_add(p, params, p->text, strlen(p->text));
	else
		rc = params_set(p, params);
	if (rc < 0)
		return rc;
	text_copy(p->at, PARAMS_SIZE, params);
	return 0;
}

/* ---- names of other objects ---- */

#define IDS_MAX VOLUME_MAX /* the longest list of any type */

struct ids {
	uint16_t id[IDS_MAX];
	size_t n;
};

static uint32_t kind_named(uint8_t type)
{
	switch (type) {
	case FIELD_NODEREF:
	case FIELD_NODESET:
	case FIELD_NODELIST:
		return KIND_NODE;
	case FIELD_ROLEREF:
	case FIELD_ROLELIST:
		return KIND_ROLE;
	case FIELD_SETLIST:
		return KIND_SET;
	case FIELD_VOLUMELIST:
	case FIELD_VOLUMESET:
		return KIND_VOLUME;
	}
	return KIND_RESOURCE;
}

static int name_resolve(const struct parse *p, const char *name, size_t len, uint32_t *ret)
{
	uint32_t kind = kind_named(p->field->type);
	char copy[NAME_SIZE];

	*ret = 0;
	while (len && name[0] == ' ') {
		name++;
		len--;
	}
	while (len && name[len - 1] == ' ')
		len--;
	if (!len)
		return refuse(p, -EINVAL, "an empty name in '%.100s'", text_is_clean(p->text) ? p->text : "?");
	if (len < sizeof(copy)) {
		memcpy(copy, name, len);
		copy[len] = '\0';
		*ret = name_check(copy) < 0 ? 0 : p->names->id_of(p->names->user, kind, copy);
		if (*ret)
			return 0;
		return refuse(p, -ENOENT, "there is no %s '%s'", object_type(kind)->name,
			      text_is_clean(copy) ? copy : "?");
	}
	return refuse(p, -ENOENT, "a name of %zu characters: there is no such %s", len, object_type(kind)->name);
}

static int ref_parse(const struct parse *p)
{
	uint32_t id = 0;
	int rc;

	if (p->text[0]) {
		rc = name_resolve(p, p->text, strlen(p->text), &id);
		if (rc < 0)
			return rc;
	} else if (p->field->min) {
		return refuse(p, -EINVAL, "must name a %s", object_type(kind_named(p->field->type))->name);
	}
	number_store(p, id);
	return 0;
}

static size_t ids_find(const struct ids *ids, uint32_t id)
{
	size_t i = 0;

	while (i < ids->n && ids->id[i] != id)
		i++;
	return i;
}

static int ids_read(const struct parse *p, struct ids *ret, size_t max)
{
	ret->n = 0;
	for (const char *s = p->text; *s;) {
		size_t len = strcspn(s, ",");
		uint32_t id;
		int rc = name_resolve(p, s, len, &id);

		if (rc < 0)
			return rc;
		if (ids_find(ret, id) < ret->n)
			return refuse(p, -EINVAL, "'%.*s' is named twice", (int)len, s);
		if (ret->n == max)
			return refuse(p, -EINVAL, "too many names: at most %zu", max);
		ret->id[ret->n++] = (uint16_t)id;
		s += len;
		if (*s == ',' && !*++s)
			return refuse(p, -EINVAL, "an empty name after the last comma");
	}
	return 0;
}

static size_t ids_max(const struct field *f)
{
	if (f->type == FIELD_NODESET || f->type == FIELD_NODELIST)
		return NODE_MAX;
	return f->type == FIELD_VOLUMESET ? VOLUME_MAX : f->size / sizeof(uint16_t);
}

static void ids_load(const struct field *f, const void *at, struct ids *ret)
{
	const uint8_t *nodes = at;
	const uint16_t *list = at;
	nodeset_t set;

	ret->n = 0;
	if (f->type == FIELD_NODESET) {
		memcpy(&set, at, sizeof(set));
		for (uint16_t id = 1; id <= NODE_MAX; id++)
			if (nodeset_has(set, id))
				ret->id[ret->n++] = id;
	} else if (f->type == FIELD_VOLUMESET) {
		for (uint16_t id = 1; id <= VOLUME_MAX; id++)
			if (volume_set_has(at, id))
				ret->id[ret->n++] = id;
	} else if (f->type == FIELD_NODELIST) {
		while (ret->n < NODE_MAX && nodes[ret->n]) {
			ret->id[ret->n] = nodes[ret->n];
			ret->n++;
		}
	} else {
		while (ret->n < ids_max(f) && list[ret->n]) {
			ret->id[ret->n] = list[ret->n];
			ret->n++;
		}
	}
}

static void ids_sort(struct ids *ids)
{
	for (size_t i = 1; i < ids->n; i++) {
		uint16_t id = ids->id[i];
		size_t k = i;

		for (; k && ids->id[k - 1] > id; k--)
			ids->id[k] = ids->id[k - 1];
		ids->id[k] = id;
	}
}

static void ids_store(const struct parse *p, struct ids *ids)
{
	uint8_t *nodes = p->at;
	nodeset_t set = 0;

	memset(p->at, 0, p->field->size);
	switch (p->field->type) {
	case FIELD_NODESET:
		for (size_t i = 0; i < ids->n; i++)
			set |= NODE_BIT(ids->id[i]);
		memcpy(p->at, &set, sizeof(set));
		return;
	case FIELD_VOLUMESET:
		for (size_t i = 0; i < ids->n; i++)
			volume_set_put(p->at, ids->id[i], true);
		return;
	case FIELD_NODELIST:
		for (size_t i = 0; i < ids->n; i++)
			nodes[i] = (uint8_t)ids->id[i];
		return;
	}
	ids_sort(ids);
	memcpy(p->at, ids->id, ids->n * sizeof(ids->id[0]));
}

static int ids_parse(const struct parse *p)
{
	size_t max = ids_max(p->field);
	struct ids given, list;
	int rc = ids_read(p, &given, max);

	if (rc < 0)
		return rc;
	if (p->how == EDIT_SET) {
		ids_store(p, &given);
		return 0;
	}
	ids_load(p->field, p->at, &list);
	for (size_t i = 0; i < given.n; i++) {
		size_t pos = ids_find(&list, given.id[i]);

		if (p->how == EDIT_REMOVE) {
			if (pos == list.n)
				return refuse(
					p, -EINVAL, "'%s' is not in it",
					p->names->name_of(p->names->user, kind_named(p->field->type), given.id[i]));
			list.n--;
			memmove(&list.id[pos], &list.id[pos + 1], (list.n - pos) * sizeof(list.id[0]));
		} else if (pos == list.n) {
			if (list.n == max)
				return refuse(p, -EINVAL, "too many names: at most %zu", max);
			list.id[list.n++] = given.id[i];
		}
	}
	ids_store(p, &list);
	return 0;
}

/* ---- dependencies: a,b|c is a and (b or c) ---- */

typedef uint16_t deps_t[DEPS_CLAUSE_MAX][DEPS_CHOICE_MAX];

static int clause_read(const struct parse *p, const char *s, size_t len, uint16_t *clause)
{
	size_t n = 0;

	memset(clause, 0, DEPS_CHOICE_MAX * sizeof(clause[0]));
	for (;;) {
		const char *bar = memchr(s, '|', len);
		size_t one = bar ? (size_t)(bar - s) : len;
		uint32_t id;
		int rc = name_resolve(p, s, one, &id);

		if (rc < 0)
			return rc;
		for (size_t i = 0; i < n; i++)
			if (clause[i] == id)
				return refuse(p, -EINVAL, "'%.*s' is named twice in one choice", (int)one, s);
		if (n == DEPS_CHOICE_MAX)
			return refuse(p, -EINVAL, "too many choices: at most %d names joined by '|'", DEPS_CHOICE_MAX);
		clause[n++] = (uint16_t)id;
		if (!bar)
			return 0;
		s += one + 1;
		len -= one + 1;
	}
}

static bool clause_has(const uint16_t *clause, uint16_t id)
{
	for (size_t i = 0; i < DEPS_CHOICE_MAX; i++)
		if (clause[i] == id)
			return true;
	return false;
}

static bool clause_same(const uint16_t *a, const uint16_t *b)
{
	for (size_t i = 0; i < DEPS_CHOICE_MAX; i++)
		if (!clause_has(a, b[i]) || !clause_has(b, a[i]))
			return false;
	return true;
}

static int clause_apply(const struct parse *p, deps_t deps, const uint16_t *clause)
{
	size_t n = 0, found = DEPS_CLAUSE_MAX;

	for (; n < DEPS_CLAUSE_MAX && deps[n][0]; n++)
		if (clause_same(deps[n], clause))
			found = n;
	if (p->how == EDIT_REMOVE) {
		if (found == DEPS_CLAUSE_MAX)
			return refuse(p, -EINVAL, "'%.100s' is not among the dependencies", p->text);
		memmove(deps[found], deps[found + 1], (DEPS_CLAUSE_MAX - 1 - found) * sizeof(deps[0]));
		memset(deps[DEPS_CLAUSE_MAX - 1], 0, sizeof(deps[0]));
		return 0;
	}
	if (found < DEPS_CLAUSE_MAX)
		return 0;
	if (n == DEPS_CLAUSE_MAX)
		return refuse(p, -EINVAL, "too many dependencies: at most %d joined by ','", DEPS_CLAUSE_MAX);
	memcpy(deps[n], clause, sizeof(deps[0]));
	return 0;
}

static int deps_parse(const struct parse *p)
{
	deps_t deps = { { 0 } };

	if (p->how != EDIT_SET)
		memcpy(deps, p->at, sizeof(deps));
	for (const char *s = p->text; *s;) {
		uint16_t clause[DEPS_CHOICE_MAX];
		size_t len = strcspn(s, ",");
		int rc = clause_read(p, s, len, clause);

		if (!rc)
			rc = clause_apply(p, deps, clause);
		if (rc < 0)
			return rc;
		s += len;
		if (*s == ',' && !*++s)
			return refuse(p, -EINVAL, "an empty name after the last comma");
	}
	memcpy(p->at, deps, sizeof(deps));
	return 0;
}

static int times_parse(const struct parse *p)
{
	uint64_t times[UNCLEAN_MAX] = { 0 };
	size_t n = 0;

	for (const char *s = p->text; *s;) {
		size_t len = strcspn(s, ",");

		if (n == UNCLEAN_MAX || time_of_text(s, len, &times[n]) < 0 || !times[n])
			return refuse(p, -EINVAL, "'%.100s' is not a list of up to %d times", p->text, UNCLEAN_MAX);
		n++;
		s += len + (s[len] == ',');
	}
	memcpy(p->at, times, sizeof(times));
	return 0;
}

int field_parse(const struct object_type *type, const struct field *field, void *object, enum edit_how how,
		const char *text, const struct name_resolver *names, char *error)
{
	struct parse p = { .field = field,
			   .at = (uint8_t *)object + field->offset,
			   .how = how,
			   .text = text,
			   .names = names,
			   .error = error };

	(void)type; /* a field knows enough; the type is in the contract for those to come */
	error[0] = '\0';
	switch (field->type) {
	case FIELD_PARAMS:
		return params_parse(&p);
	case FIELD_DEPS:
		return deps_parse(&p);
	case FIELD_NODESET:
	case FIELD_NODELIST:
	case FIELD_ROLELIST:
	case FIELD_SETLIST:
	case FIELD_VOLUMELIST:
	case FIELD_VOLUMESET:
		return ids_parse(&p);
	}
	if (how != EDIT_SET)
		return refuse(&p, -EINVAL, "is one value: set it, nothing can be added to it or removed from it");
	switch (field->type) {
	case FIELD_NAME:
		return name_parse(&p);
	case FIELD_TEXT:
		return text_parse(&p);
	case FIELD_U32:
	case FIELD_U64:
		return number_parse(&p);
	case FIELD_BOOL:
		return bool_parse(&p);
	case FIELD_MS:
		return duration_parse(&p);
	case FIELD_ZONE:
		return zone_parse(&p);
	case FIELD_TIME:
		return time_parse(&p);
	case FIELD_ENUM:
		return enum_parse(&p);
	case FIELD_NODEREF:
	case FIELD_ROLEREF:
		return ref_parse(&p);
	case FIELD_TIMES:
		return times_parse(&p);
	}
	return refuse(&p, -EINVAL, "has a type that cannot be set by text");
}

/* ---- printing ---- */

struct text {
	char *out;
	size_t size, len;
	bool full;
};

static void text_add(struct text *t, const char *s)
{
	size_t n = strlen(s);

	if (t->full || n >= t->size - t->len) {
		t->full = true;
		return;
	}
	memcpy(t->out + t->len, s, n + 1);
	t->len += n;
}

static void name_print(struct text *t, const struct name_resolver *names, uint32_t kind, uint32_t id)
{
	const char *name = names->name_of(names->user, kind, id);
	char unnamed[16];

	snprintf(unnamed, sizeof(unnamed), "#%u", id); /* cannot be read back: nothing has this id */
	text_add(t, name ? name : unnamed);
}

static void ids_print(struct text *t, const struct field *f, const void *at, const struct name_resolver *names)
{
	struct ids ids;

	ids_load(f, at, &ids);
	for (size_t i = 0; i < ids.n; i++) {
		if (i)
			text_add(t, ",");
		name_print(t, names, kind_named(f->type), ids.id[i]);
	}
}

static void deps_print(struct text *t, const uint16_t (*deps)[DEPS_CHOICE_MAX], const struct name_resolver *names)
{
	for (size_t n = 0; n < DEPS_CLAUSE_MAX && deps[n][0]; n++) {
		for (size_t i = 0; i < DEPS_CHOICE_MAX && deps[n][i]; i++) {
			if (n || i)
				text_add(t, i ? "|" : ",");
			name_print(t, names, KIND_RESOURCE, deps[n][i]);
		}
	}
}

static void times_print(struct text *t, const uint64_t *times)
{
	char one[96];

	for (size_t i = 0; i < UNCLEAN_MAX && times[i]; i++) {
		time_print(times[i], one, sizeof(one));
		if (i)
			text_add(t, ",");
		text_add(t, one);
	}
}

static void number_print(struct text *t, const struct field *f, uint64_t value, const struct name_resolver *names)
{
	char one[96] = "";

	switch (f->type) {
	case FIELD_BOOL:
		text_add(t, value ? "yes" : "no");
		return;
	case FIELD_ENUM:
		text_add(t, enum_text(f->values, (uint32_t)value));
		return;
	case FIELD_NODEREF:
	case FIELD_ROLEREF:
		if (value)
			name_print(t, names, kind_named(f->type), (uint32_t)value);
		return;
	case FIELD_MS:
		duration_print(value, one, sizeof(one));
		break;
	case FIELD_ZONE:
		zone_print(value, one, sizeof(one));
		break;
	case FIELD_TIME:
		time_print(value, one, sizeof(one));
		break;
	default:
		snprintf(one, sizeof(one), "%llu", (unsigned long long)value);
		break;
	}
	text_add(t, one);
}

/* Parameters print as lines without the last line break: what follows is the caller's. */
static void params_print(struct text *t, const char *params)
{
	text_add(t, params);
	if (!t->full && t->len)
		t->out[--t->len] = '\0';
}

int field_print(const struct field *field, const void *object, const struct name_resolver *names, char *out,
		size_t size)
{
	const void *at = (const uint8_t *)object + field->offset;
	struct text t = { .out = out, .size = size };

	if (!size)
		return -E2BIG;
	out[0] = '\0';
	switch (field->type) {
	case FIELD_NAME:
	case FIELD_TEXT:
		text_add(&t, at);
		break;
	case FIELD_PARAMS:
		params_print(&t, at);
		break;
	case FIELD_NODESET:
	case FIELD_NODELIST:
	case FIELD_ROLELIST:
	case FIELD_SETLIST:
	case FIELD_VOLUMELIST:
	case FIELD_VOLUMESET:
		ids_print(&t, field, at, names);
		break;
	case FIELD_DEPS:
		deps_print(&t, at, names);
		break;
	case FIELD_TIMES:
		times_print(&t, at);
		break;
	default:
		number_print(&t, field, field_number(field, object), names);
		break;
	}
	return t.full ? -E2BIG : (int)t.len;
}
