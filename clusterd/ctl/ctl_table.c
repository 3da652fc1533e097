/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tables for people. */
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/ctl/ctl_table.h"

#define CELL_MAX 2048

struct cell {
	char *text;
	enum ctl_tone tone;
};

struct ctl_table {
	const char *const *heads;
	size_t columns, used, size;
	struct cell *cells;
};

/* One character of UTF-8: its bytes; 0 when it is broken. */
static size_t utf8_bytes(const unsigned char *s)
{
	size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;

	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

static uint32_t utf8_point(const unsigned char *s, size_t n)
{
	uint32_t c = n == 1 ? s[0] : s[0] & (0xffu >> (n + 1));

	for (size_t i = 1; i < n; i++)
		c = c << 6 | (s[i] & 0x3f);
	return c;
}

static bool point_wide(uint32_t c)
{
	return (c >= 0x1100 && c <= 0x115f) || (c >= 0x2e80 && c <= 0xa4cf) || (c >= 0xac00 && c <= 0xd7a3) ||
	       (c >= 0xf900 && c <= 0xfaff) || (c >= 0xfe30 && c <= 0xfe6f) || (c >= 0xff00 && c <= 0xff60) ||
	       (c >= 0x1f300 && c <= 0x1faff) || (c >= 0x20000 && c <= 0x3fffd);
}

size_t ctl_width(const char *text)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t width = 0;

	while (*s) {
		size_t n = utf8_bytes(s);
		uint32_t c = n ? utf8_point(s, n) : '?';

		width += (c >= 0x300 && c <= 0x36f) ? 0 : point_wide(c) ? 2 : 1;
		s += n ? n : 1;
	}
	return width;
}

const char *ctl_clean(const char *text, char *out, size_t size)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t used = 0;

	while (*s && used + 5 < size) {
		size_t n = utf8_bytes(s);

		if (!n || *s < 0x20 || *s == 0x7f || (*s == 0xc2 && s[1] < 0xa0)) {
			out[used++] = *s == '\n' || *s == '\t' ? ' ' : '?';
			s += n ? n : 1;
			continue;
		}
		memcpy(out + used, s, n);
		used += n;
		s += n;
	}
	out[used] = '\0';
	return out;
}

void ctl_tone_begin(FILE *out, bool color, enum ctl_tone tone)
{
	static const char *const codes[] = { "", "\033[32m", "\033[33m", "\033[1;31m", "\033[2m", "\033[1m" };

	if (color)
		fputs(codes[tone], out);
}

void ctl_tone_end(FILE *out, bool color, enum ctl_tone tone)
{
	if (color && tone != TONE_PLAIN)
		fputs("\033[0m", out);
}

struct ctl_table *ctl_table_new(const char *const *heads)
{
	struct ctl_table *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->heads = heads;
	while (heads[t->columns])
		t->columns++;
	return t;
}

void ctl_table_cell(struct ctl_table *t, enum ctl_tone tone, const char *format, ...)
{
	char raw[CELL_MAX], text[CELL_MAX];
	va_list args;

	if (!t)
		return;
	if (t->used == t->size) {
		size_t size = t->size ? t->size * 2 : 64;
		struct cell *more = reallocarray(t->cells, size, sizeof(*more));

		if (!more)
			return;
		t->cells = more;
		t->size = size;
	}
	va_start(args, format);
	vsnprintf(raw, sizeof(raw), format, args);
	va_end(args);
	t->cells[t->used++] = (struct cell){ strdup(ctl_clean(raw, text, sizeof(text))), tone };
}

static const char *cell_text(const struct ctl_table *t, size_t row, size_t column)
{
	size_t i = row * t->columns + column;

	return i < t->used && t->cells[i].text ? t->cells[i].text : "";
}

static void line_print(const struct ctl_table *t, size_t row, const size_t *widths, FILE *out, bool color, unsigned int indent)
{
	size_t pad = indent; /* blanks are written when something follows them */

	for (size_t c = 0; c < t->columns; c++) {
		bool head = row == SIZE_MAX, right = *t->heads[c] == '>';
		const char *text = head ? t->heads[c] + right : cell_text(t, row, c);
		enum ctl_tone tone = head ? TONE_HEAD : t->cells[row * t->columns + c].tone;
		size_t room = widths[c] - ctl_width(text);

		if (right)
			pad += room;
		if (*text) {
			fprintf(out, "%*s", (int)pad, "");
			ctl_tone_begin(out, color, tone);
			fputs(text, out);
			ctl_tone_end(out, color, tone);
			pad = 0;
		}
		pad += (right ? 0 : room) + 2;
	}
	fputc('\n', out);
}

void ctl_table_print(struct ctl_table *t, FILE *out, bool color, unsigned int indent)
{
	size_t widths[TABLE_COLUMN_MAX] = { 0 };
	size_t rows;

	if (!t)
		return;
	rows = t->used / t->columns;
	for (size_t c = 0; c < t->columns; c++) {
		widths[c] = ctl_width(t->heads[c] + (*t->heads[c] == '>'));
		for (size_t r = 0; r < rows; r++)
			if (ctl_width(cell_text(t, r, c)) > widths[c])
				widths[c] = ctl_width(cell_text(t, r, c));
	}
	if (out)
		line_print(t, SIZE_MAX, widths, out, color, indent);
	for (size_t r = 0; r < rows && out; r++)
		line_print(t, r, widths, out, color, indent);
	for (size_t i = 0; i < t->used; i++)
		free(t->cells[i].text);
	free(t->cells);
	free(t);
}
