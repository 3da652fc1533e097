/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Aligned columns for people: widths in characters, not bytes; colours only when asked; nothing unprintable passes. */
#ifndef CTL_CTL_TABLE_H
#define CTL_CTL_TABLE_H

#include <stdbool.h>
#include <stdio.h>

#define TABLE_COLUMN_MAX 16

enum ctl_tone { TONE_PLAIN, TONE_GOOD, TONE_WARN, TONE_BAD, TONE_FAINT, TONE_HEAD };

struct ctl_table;

/* `heads`: column titles, NULL ends them; a title beginning with '>' is a right-aligned column. NULL: no memory. */
struct ctl_table *ctl_table_new(const char *const *heads);
/* The next cell of the row under way; a full row begins the next one. The text is copied. */
void ctl_table_cell(struct ctl_table *t, enum ctl_tone tone, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Prints (`out` NULL: does not), and frees. `indent` blanks before each line. */
void ctl_table_print(struct ctl_table *t, FILE *out, bool color, unsigned int indent);

/* Characters a terminal needs for it. */
size_t ctl_width(const char *text);
/* Copies text with control characters and broken UTF-8 replaced by '?'. */
const char *ctl_clean(const char *text, char *out, size_t size);
void ctl_tone_begin(FILE *out, bool color, enum ctl_tone tone);
void ctl_tone_end(FILE *out, bool color, enum ctl_tone tone);

#endif
