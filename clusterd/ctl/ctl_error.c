/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Errors of clusterctl: the object, what was tried, what to do; near misses are suggested. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clusterd/ctl/ctl.h"
#include "text.h"

#define NEAR_WORD_MAX 64 /* longer words are not compared */

static int fail_text(struct ctl *ctl, int code, const char *name, const char *text)
{
	fprintf(ctl->err, "clusterctl: %s\n", text);
	if (ctl->options.json)
		ctl_json_print(ctl, json_pack("{s:i, s:{s:s, s:i, s:s}}", "schema", CTL_SCHEMA, "error", "name", name, "exit",
					      code, "text", text));
	return code;
}

int ctl_fail(struct ctl *ctl, int code, const char *name, const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return fail_text(ctl, code, name, text);
}

int ctl_usage(struct ctl *ctl, const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return fail_text(ctl, EXIT_USAGE, "usage", text);
}

int ctl_refused(struct ctl *ctl, enum refusal refusal, const char *detail)
{
	return fail_text(ctl, refusal_exit_code((uint16_t)refusal), refusal_name((uint16_t)refusal),
			 detail && *detail ? detail : refusal_text((uint16_t)refusal));
}

int ctl_refused_by(struct ctl *ctl, const struct msg_answer *answer)
{
	char detail[4 * TEXT_SIZE];

	text_copy_n(detail, sizeof(detail), (const char *)answer->detail.data, answer->detail.len);
	return ctl_refused(ctl, (enum refusal)answer->refusal, detail);
}

/* Edit distance with swaps of neighbours (optimal string alignment). */
static unsigned int distance(const char *a, const char *b)
{
	unsigned int rows[3][NEAR_WORD_MAX + 1];
	size_t la = strlen(a), lb = strlen(b);

	if (la > NEAR_WORD_MAX || lb > NEAR_WORD_MAX)
		return UINT32_MAX;
	for (size_t j = 0; j <= lb; j++)
		rows[0][j] = (unsigned int)j;
	for (size_t i = 1; i <= la; i++) {
		unsigned int *row = rows[i % 3], *above = rows[(i - 1) % 3], *above2 = rows[(i + 1) % 3];

		row[0] = (unsigned int)i;
		for (size_t j = 1; j <= lb; j++) {
			unsigned int best = above[j - 1] + (a[i - 1] != b[j - 1]);

			if (above[j] + 1 < best)
				best = above[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && above2[j - 2] + 1 < best)
				best = above2[j - 2] + 1;
			row[j] = best;
		}
	}
	return rows[la % 3][lb];
}

void ctl_nearest_try(struct ctl_nearest *n, const char *candidate)
{
	unsigned int d, limit;

	if (!n->word || !*n->word || !*candidate)
		return;
	d = distance(n->word, candidate);
	limit = strlen(n->word) <= 3 ? 1 : strlen(n->word) <= 6 ? 2 : 3;
	if (d <= limit && (!n->best || d < n->distance)) {
		n->best = candidate;
		n->distance = d;
	}
}

uint32_t ctl_find(struct ctl *ctl, uint32_t kind, const char *name)
{
	const struct state *s = ctl->view.state;
	const char *noun = object_type(kind)->name;
	uint32_t id = state_find(s, kind, name);
	struct ctl_nearest n = { .word = name };

	if (id)
		return id;
	for (uint32_t i = 1; i <= s->high[kind]; i++)
		if (state_get(s, kind, i))
			ctl_nearest_try(&n, state_name(s, kind, i));
	if (n.best)
		ctl_fail(ctl, refusal_exit_code(REFUSED_NOT_FOUND), "not-found", "%s %s: no such %s; did you mean %s?", noun, name,
			 noun, n.best);
	else
		ctl_fail(ctl, refusal_exit_code(REFUSED_NOT_FOUND), "not-found",
			 "%s %s: no such %s; 'clusterctl %s list' shows them", noun, name, noun, noun);
	return 0;
}

bool ctl_known(struct ctl *ctl, uint32_t kind, int i)
{
	if (ctl->view.state)
		return ctl_find(ctl, kind, ctl->argv[i]) != 0;
	ctl->named[i] = (uint8_t)kind;
	return true;
}

bool ctl_unknown_say(struct ctl *ctl)
{
	if (ctl->view.state || ctl_view_load(ctl))
		return false;
	for (int i = 0; i < ctl->argc; i++)
		if (ctl->named[i] && !ctl_find(ctl, ctl->named[i], ctl->argv[i]))
			return true;
	return false;
}

int ctl_find_nodes(struct ctl *ctl, nodeset_t *ret)
{
	*ret = 0;
	for (int i = 0; i < ctl->argc; i++) {
		uint32_t id = ctl_find(ctl, KIND_NODE, ctl->argv[i]);

		if (!id)
			return refusal_exit_code(REFUSED_NOT_FOUND);
		*ret |= NODE_BIT(id);
	}
	return 0;
}

bool ctl_confirm(struct ctl *ctl, const char *format, ...)
{
	char answer[16] = "", text[1024];
	va_list args;

	if (ctl->options.yes || ctl->options.dry_run)
		return true;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (!isatty(STDIN_FILENO) || !isatty(fileno(ctl->err))) {
		ctl_usage(ctl, "%s; say --yes to do it", text);
		return false;
	}
	fprintf(ctl->err, "%s.\nDo it? [y/N] ", text);
	fflush(ctl->err);
	if (fgets(answer, sizeof(answer), stdin) && (!strcasecmp(answer, "y\n") || !strcasecmp(answer, "yes\n")))
		return true;
	fprintf(ctl->err, "clusterctl: nothing was done\n");
	return false;
}
