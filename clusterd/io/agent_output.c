/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Output of agents: the first bytes kept, the rest only looked through for the line that tells a human why. */
#include "clusterd/io/agent_runner.h"

#include <stdlib.h>
#include <string.h>

#define CAPTURE_FIRST_SIZE 1024
#define EXIT_REASON "ocf-exit-reason:" /* ocf_exit_reason() of ocf-shellfuncs */

void text_clean(char *out, size_t size, const char *in, size_t len)
{
	size_t n = 0;

	while (len && (in[len - 1] == ' ' || in[len - 1] == '\r' || in[len - 1] == '\n'))
		len--;
	while (len && (*in == ' ' || *in == '\t')) {
		in++;
		len--;
	}
	for (size_t i = 0; i < len && n + 1 < size; i++) {
		char c = in[i];

		if (c == '\t')
			c = ' ';
		out[n++] = c < ' ' || c > '~' ? '?' : c;
	}
	if (n < len && size > 4)
		memcpy(out + size - 4, "...", 3);
	out[n] = '\0';
}

static void line_seen(struct capture *c, enum process_stream stream, const char *line, size_t len)
{
	const size_t prefix = sizeof(EXIT_REASON) - 1;
	const char *error;

	if (len > prefix && !memcmp(line, EXIT_REASON, prefix)) {
		text_clean(c->reason, sizeof(c->reason), line + prefix, len - prefix);
		return;
	}
	/* ocf_log puts a date before it: nobody needs that in a message that has a time of its own. */
	error = c->error[0] ? NULL : memmem(line, len, "ERROR: ", 7);
	if (error)
		text_clean(c->error, sizeof(c->error), error + 7, len - (size_t)(error + 7 - line));
	else if (!c->first[stream][0])
		text_clean(c->first[stream], sizeof(c->first[stream]), line, len);
}

static void keep_add(struct capture *c, const char *data, size_t len)
{
	size_t want = c->len + len;

	if (want > c->max)
		want = c->max;
	if (want > c->size) {
		size_t size = c->size ? c->size : CAPTURE_FIRST_SIZE;
		char *keep;

		while (size < want)
			size *= 2;
		keep = realloc(c->keep, size);
		if (!keep)
			return;
		c->keep = keep;
		c->size = size;
	}
	if (want > c->len)
		memcpy(c->keep + c->len, data, want - c->len);
	c->len = want;
}

void capture_add(struct capture *c, enum process_stream stream, const char *data, size_t len)
{
	char *line = c->line[stream];
	size_t *used = &c->line_len[stream];

	c->total[stream] += len;
	if (stream == PROCESS_STDOUT || !c->stdout_only)
		keep_add(c, data, len);
	while (len) {
		const char *end = memchr(data, '\n', len);
		size_t part = end ? (size_t)(end - data) : len;
		size_t room = AGENT_LINE_SIZE - *used;

		memcpy(line + *used, data, part < room ? part : room);
		*used += part < room ? part : room;
		if (!end)
			return;
		line_seen(c, stream, line, *used);
		*used = 0;
		data += part + 1;
		len -= part + 1;
	}
}

const char *capture_reason(struct capture *c)
{
	for (int i = PROCESS_STDOUT; i <= PROCESS_STDERR; i++) {
		if (c->line_len[i])
			line_seen(c, (enum process_stream)i, c->line[i], c->line_len[i]);
		c->line_len[i] = 0;
	}
	if (c->reason[0])
		return c->reason;
	if (c->error[0])
		return c->error;
	return c->first[PROCESS_STDERR][0] ? c->first[PROCESS_STDERR] : c->first[PROCESS_STDOUT];
}

void capture_done(struct capture *c)
{
	free(c->keep);
	c->keep = NULL;
	c->len = c->size = 0;
}
