/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Questions to running csvfs and csvfs-owner, over their control sockets. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "csvfs/admin/admin.h"
#include "csvfs/io/volume_control.h"
#include "text.h"

#define FREEZE_MS 60000
#define JOB_LOOK_MS 100

static int ask(struct admin *a, struct vol_message *question, struct vol_message *answer)
{
	const char *path = a->args[0];
	int r;

	question->request = 1;
	r = volume_control_ask(path, question, answer, (int)a->timeout_ms);
	if (r == -ENOENT || r == -ECONNREFUSED)
		return admin_fail(a, ADMIN_FAILED, "%s: nobody listens; does the program run?", path);
	if (r == -ETIMEDOUT)
		return admin_fail(
			a, ADMIN_FAILED,
			"%s: no answer within %u s; it may still be done: look at the status, or wait longer with --timeout",
			path, a->timeout_ms / 1000);
	if (r < 0)
		return admin_fail(a, ADMIN_FAILED, "%s: %s", path, strerror(-r));
	if (answer->error == EOPNOTSUPP)
		return admin_fail(a, ADMIN_FAILED, "%s: the program there does not know %s; is it the right socket?", path,
				  vol_name(question->type));
	if (answer->error)
		return admin_fail(a, ADMIN_FAILED, "%s: %s: %s", path, vol_name(question->type), strerror((int)answer->error));
	return ADMIN_OK;
}

static int ask_done(struct admin *a, struct vol_message *question)
{
	struct vol_message answer;

	return ask(a, question, &answer);
}

/* A decimal number of at most `max`. */
static int number(struct admin *a, const char *text, uint64_t max, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(text, &end, 10);
	if (!isdigit((unsigned char)*text) || *end || errno || *ret > max)
		return admin_fail(a, ADMIN_USAGE, "\"%s\" is no number up to %llu", text, (unsigned long long)max);
	return ADMIN_OK;
}

static json_t *nodes_json(uint64_t nodes)
{
	json_t *list = json_array();

	for (int node = 1; node <= NODE_MAX; node++) {
		if (nodes >> node & 1)
			json_array_append_new(list, json_pack("{s:i}", "node", node));
	}
	return list;
}

static json_t *time_json(uint64_t us)
{
	return us == UINT64_MAX ? json_null() : json_integer((json_int_t)us); /* null: longer than is counted */
}

static void add_latency(struct admin *a, const char *what, const struct vol_latency *l)
{
	char key[64];

	snprintf(key, sizeof(key), "%s_p50_us", what);
	json_object_set_new(a->result, key, time_json(latency_quantile(l, 500)));
	snprintf(key, sizeof(key), "%s_p99_us", what);
	json_object_set_new(a->result, key, time_json(latency_quantile(l, 990)));
}

int admin_status(struct admin *a)
{
	struct vol_message q = { .type = VOL_STATUS }, answer;
	const struct vol_status_is *s = &answer.status_is;
	int code = ask(a, &q, &answer);

	if (code != ADMIN_OK)
		return code;
	json_object_set_new(a->result, "state", json_string(vol_state_text(s->state)));
	json_object_set_new(a->result, "reason", json_string(vol_reason_text(s->reason)));
	json_object_set_new(a->result, "epoch", json_integer((json_int_t)s->epoch));
	json_object_set_new(a->result, "owner_node", json_integer(s->owner_node));
	json_object_set_new(a->result, "waiting_for", nodes_json(s->waiting_for));
	json_object_set_new(a->result, "grace", json_boolean(s->grace));
	json_object_set_new(a->result, "direct_read_bytes", json_integer((json_int_t)s->direct_read));
	json_object_set_new(a->result, "direct_written_bytes", json_integer((json_int_t)s->direct_written));
	json_object_set_new(a->result, "redirected_read_bytes", json_integer((json_int_t)s->redirected_read));
	json_object_set_new(a->result, "redirected_written_bytes", json_integer((json_int_t)s->redirected_written));
	json_object_set_new(a->result, "direct_ops", json_integer((json_int_t)s->direct_ops));
	json_object_set_new(a->result, "redirected_ops", json_integer((json_int_t)s->redirected_ops));
	add_latency(a, "direct_read", &s->direct_read_us);
	add_latency(a, "direct_write", &s->direct_write_us);
	add_latency(a, "redirected_read", &s->redirected_read_us);
	add_latency(a, "redirected_write", &s->redirected_write_us);
	json_object_set_new(a->result, "recalls", json_integer((json_int_t)s->recalls));
	json_object_set_new(a->result, "pauses", json_integer((json_int_t)s->pauses));
	json_object_set_new(a->result, "paused_ms", json_integer((json_int_t)s->paused_ms));
	json_object_set_new(a->result, "files", json_integer(s->files));
	json_object_set_new(a->result, "handles", json_integer(s->handles));
	json_object_set_new(a->result, "asked", json_integer((json_int_t)s->asked));
	json_object_set_new(a->result, "cached", json_integer((json_int_t)s->cached));
	json_object_set_new(a->result, "text", json_string(s->text));
	return ADMIN_OK;
}

int admin_freeze(struct admin *a)
{
	struct vol_message q = { .type = VOL_FREEZE, .freeze = { .on = 1, .most_ms = FREEZE_MS } };
	uint64_t seconds;
	int code = a->n_args > 1 ? number(a, a->args[1], FREEZE_MAX_MS / 1000, &seconds) : ADMIN_OK;

	if (code == ADMIN_OK && a->n_args > 1)
		q.freeze.most_ms = (uint32_t)seconds * 1000;
	return code == ADMIN_OK ? ask_done(a, &q) : code;
}

int admin_thaw(struct admin *a)
{
	struct vol_message q = { .type = VOL_FREEZE };

	return ask_done(a, &q);
}

/* Has the owner do it, and waits for its end; it goes on when this gives up. */
static int job(struct admin *a, uint8_t kind, struct vol_job_is *ret)
{
	const struct timespec pause = { .tv_nsec = JOB_LOOK_MS * 1000000L };
	struct vol_message begin = { .type = VOL_JOB, .job = { .kind = kind } }, look = { .type = VOL_JOB_STATUS }, answer;
	uint64_t until = clock_ms(CLOCK_MONOTONIC) + a->timeout_ms;
	int code = ask(a, &begin, &answer);

	while (code == ADMIN_OK) {
		code = ask(a, &look, &answer);
		*ret = answer.job_is;
		if (code != ADMIN_OK || !ret->running)
			break;
		if (clock_ms(CLOCK_MONOTONIC) >= until)
			return admin_fail(a, ADMIN_FAILED, "%s: it goes on, longer than %u s", a->args[0], a->timeout_ms / 1000);
		nanosleep(&pause, NULL);
	}
	if (code == ADMIN_OK && ret->failed)
		code = admin_fail(a, ADMIN_FAILED, "%s: %s%s%s", a->args[0], strerror((int)ret->failed), *ret->text ? ": " : "",
				  ret->text);
	return code;
}

int admin_trim(struct admin *a)
{
	struct vol_job_is is;
	int code = job(a, VOL_JOB_TRIM, &is);

	if (code == ADMIN_OK)
		json_object_set_new(a->result, "trimmed_bytes", json_integer((json_int_t)is.value));
	return code;
}

int admin_redirect(struct admin *a)
{
	struct vol_message q = { .type = VOL_REDIRECT };

	if (strcmp(a->args[1], "on") && strcmp(a->args[1], "off"))
		return admin_fail(a, ADMIN_USAGE, "redirect on or off, not %s", a->args[1]);
	q.redirect.on = !strcmp(a->args[1], "on");
	return ask_done(a, &q);
}

/* ADDRESS:PORT; an IPv6 address may stand in brackets. */
static int split_address(struct admin *a, const char *text, struct vol_set_owner *ret)
{
	const char *colon = strrchr(text, ':');
	uint64_t port;
	size_t n;
	int code;

	if (!colon || colon == text)
		return admin_fail(a, ADMIN_USAGE, "\"%s\" is not ADDRESS:PORT", text);
	code = number(a, colon + 1, UINT16_MAX, &port);
	if (code != ADMIN_OK)
		return code;
	n = (size_t)(colon - text);
	if (*text == '[' && colon[-1] == ']' && n > 2) {
		text++;
		n -= 2;
	}
	text_copy_n(ret->address, sizeof(ret->address), text, n);
	ret->port = (uint16_t)port;
	return ADMIN_OK;
}

int admin_set_owner(struct admin *a)
{
	struct vol_message q = { .type = VOL_SET_OWNER };
	uint64_t node = 0;
	int code = number(a, a->args[1], UINT64_MAX, &q.set_owner.epoch);

	if (code == ADMIN_OK)
		code = number(a, a->args[2], NODE_MAX, &node);
	if (code == ADMIN_OK && node && a->n_args < 4)
		code = admin_fail(a, ADMIN_USAGE, "where does node %s listen? ADDRESS:PORT", a->args[2]);
	if (code == ADMIN_OK && a->n_args == 4)
		code = split_address(a, a->args[3], &q.set_owner);
	q.set_owner.node = (uint32_t)node;
	return code == ADMIN_OK ? ask_done(a, &q) : code;
}

int admin_fenced(struct admin *a)
{
	struct vol_message q = { .type = VOL_FENCED };
	uint64_t node = 0;
	int code = number(a, a->args[1], NODE_MAX, &node);

	if (code == ADMIN_OK)
		code = number(a, a->args[2], UINT64_MAX, &q.fenced.incarnation);
	q.fenced.node = (uint32_t)node;
	return code == ADMIN_OK ? ask_done(a, &q) : code;
}
