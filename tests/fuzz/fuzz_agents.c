/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What comes from agents and from /proc. The first byte chooses: 'm' parameters, NUL, meta-data; 'o' output, whose pieces end
 * at each NUL; 's' a line of /proc/PID/stat.
 */
#include <stdlib.h>
#include <string.h>

#include "clusterd/io/agent_runner.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void meta(const char *text, size_t size)
{
	size_t params_len = strnlen(text, size);
	char *params = strndup(text, params_len);
	char error[AGENT_REPORT_SIZE];
	struct agent_meta *parsed = NULL;

	if (params && params_len < size &&
	    !agent_meta_parse("ocf:a:b", text + params_len + 1, size - params_len - 1, &parsed, error)) {
		if (agent_meta_check(parsed, params, error) && !error[0])
			abort();
		agent_meta_action(parsed, "monitor", 10);
	}
	agent_meta_free(parsed);
	free(params);
}

static void output(const char *data, size_t size)
{
	struct capture c = { .max = 100 };
	const char *reason;
	bool err = false;

	while (size) {
		size_t part = strnlen(data, size);

		part += part < size;
		capture_add(&c, err ? PROCESS_STDERR : PROCESS_STDOUT, data, part);
		err = !err;
		data += part;
		size -= part;
	}
	reason = capture_reason(&c);
	if (c.len > c.max || strlen(reason) >= AGENT_TEXT_SIZE)
		abort();
	for (; *reason; reason++)
		if (*reason < ' ' || *reason > '~')
			abort();
	capture_done(&c);
}

static void stat_line(const char *text, size_t size)
{
	char *line = strndup(text, size);
	pid_t pid, session = 0;
	uint64_t start;

	if (line && !process_stat_parse(line, &pid, &session, &start) && pid <= 0)
		abort();
	free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *rest = (const char *)data + 1;

	if (!size)
		return 0;
	switch (data[0]) {
	case 'm':
		meta(rest, size - 1);
		break;
	case 'o':
		output(rest, size - 1);
		break;
	case 's':
		stat_line(rest, size - 1);
		break;
	default:
		break;
	}
	return 0;
}
