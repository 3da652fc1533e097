/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The fence command: one process a node, its exit code and the end of its output. */
#include "clusterd/io/fence.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clusterd/io/process.h"
#include "text.h"
#include "units.h"

struct fencing {
	struct fence *owner;
	struct process *process;
	uint32_t node;
	bool stuck; /* told once that it does not end */
	char output[FENCE_OUTPUT_MAX];
	size_t used;
};

struct fence {
	qb_loop_t *loop;
	char *words; /* of the command, cut in place */
	char *argv[FENCE_ARG_MAX + 3];
	unsigned int argc;
	uint32_t timeout_ms;
	fence_done_fn done;
	void *ctx;
	struct fencing *running[NODE_MAX + 1];
};

static int split_command(struct fence *f, const char *command)
{
	char *save = NULL;

	f->words = strdup(command);
	if (!f->words)
		return -ENOMEM;
	for (char *word = strtok_r(f->words, " \t", &save); word; word = strtok_r(NULL, " \t", &save)) {
		if (f->argc == FENCE_ARG_MAX)
			return -E2BIG;
		f->argv[f->argc++] = word;
	}
	if (!f->argc || f->argv[0][0] != '/')
		return -EINVAL;
	return access(f->argv[0], X_OK) ? -errno : 0;
}

int fence_new(struct fence **ret_fence, qb_loop_t *loop, const char *command, uint32_t timeout_ms, fence_done_fn done,
	      void *ctx)
{
	struct fence *f = calloc(1, sizeof(*f));
	int error;

	if (!f)
		return -ENOMEM;
	f->loop = loop;
	f->timeout_ms = timeout_ms;
	f->done = done;
	f->ctx = ctx;
	error = split_command(f, command);
	if (error) {
		fence_free(f);
		return error;
	}
	*ret_fence = f;
	return 0;
}

/* Keeps the last bytes: what a failing command says last is why. */
static void on_output(void *user, enum process_stream stream, const char *data, size_t len)
{
	struct fencing *n = user;
	size_t room = sizeof(n->output), keep;

	(void)stream;
	if (len > room) {
		data += len - room;
		len = room;
	}
	keep = n->used + len > room ? room - len : n->used;
	memmove(n->output, n->output + n->used - keep, keep);
	memcpy(n->output + keep, data, len);
	n->used = keep + len;
}

static void say_result(const struct fencing *n, const struct process_result *r, char *text, size_t size)
{
	size_t len = n->used;
	int at;

	while (len && strchr("\n\r\t ", n->output[len - 1]))
		len--;
	if (r->timed_out)
		at = snprintf(text, size, "fence command timed out after %llu ms", (unsigned long long)r->duration_ms);
	else if (r->end == PROCESS_EXITED)
		at = snprintf(text, size, "fence command: exit code %d after %llu ms", r->code, (unsigned long long)r->duration_ms);
	else if (r->end == PROCESS_SIGNALLED)
		at = snprintf(text, size, "fence command killed by signal %d", r->code);
	else
		at = snprintf(text, size, "fence command does not end, not even by SIGKILL");
	if (len)
		snprintf(text + at, size - (size_t)at, ": %.*s", (int)len, n->output);
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = ' ';
}

static void on_done(void *user, const struct process_result *r)
{
	struct fencing *n = user;
	struct fence *f = n->owner;
	bool confirmed = r->end == PROCESS_EXITED && r->code == 0 && !r->killed;
	char text[FENCE_OUTPUT_MAX + 128];

	if (r->end == PROCESS_STUCK) {
		n->stuck = true;
		say_result(n, r, text, sizeof(text));
		f->done(f->ctx, n->node, false, text);
		return;
	}
	f->running[n->node] = NULL;
	if (!n->stuck) {
		say_result(n, r, text, sizeof(text));
		f->done(f->ctx, n->node, confirmed, text);
	}
	free(n);
}

int fence_node(struct fence *f, uint32_t node, const char *node_name)
{
	static const struct process_events events = { .output = on_output, .done = on_done };
	char id[16], path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", lang[] = "LC_ALL=C";
	char *environment[] = { path, lang, NULL };
	char *argv[ARRAY_SIZE(f->argv)];
	char name[NAME_SIZE];
	struct process_spec spec = {
		.path = f->argv[0],
		.argv = argv,
		.envp = environment,
		.timeout_ms = f->timeout_ms,
		.grace_ms = PROCESS_GRACE_MS,
		.reap_ms = PROCESS_REAP_MS,
		.stat_fd = -1,
	};
	struct fencing *n;
	int error;

	if (node < 1 || node > NODE_MAX || !node_name[0] || node_name[0] == '-')
		return -EINVAL;
	if (f->running[node])
		return -EALREADY;
	n = calloc(1, sizeof(*n));
	if (!n)
		return -ENOMEM;
	memcpy(argv, f->argv, sizeof(argv));
	text_copy(name, sizeof(name), node_name);
	snprintf(id, sizeof(id), "%u", node);
	argv[f->argc] = name;
	argv[f->argc + 1] = id;
	argv[f->argc + 2] = NULL;
	n->owner = f;
	n->node = node;
	error = process_spawn(f->loop, &spec, &events, n, &n->process);
	if (error) {
		free(n);
		return error;
	}
	f->running[node] = n;
	return 0;
}

void fence_free(struct fence *f)
{
	if (!f)
		return;
	for (uint32_t node = 1; node <= NODE_MAX; node++) {
		if (!f->running[node])
			continue;
		process_abandon(f->running[node]->process, true);
		free(f->running[node]);
	}
	free(f->words);
	free(f);
}
