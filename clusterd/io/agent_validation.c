/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Queries about agents: meta-data from the cache or by running the agent, parameters checked against it.
 *
 *   agents_meta(), agents_validate() -> cached? --no--> FETCHING (all queries of one agent share one run) --> check --> done
 *                                          `--yes-----------------------------------------------------^   |
 *                                                                                              `here': RUNNING validate-all
 */
#include "clusterd/io/agent_runner.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/io/soon.h"

enum query_state { QUERY_READY, QUERY_FETCHING, QUERY_RUNNING, QUERY_FINISHED };

struct query {
	struct agents *a;
	struct query *next, **prev;
	enum query_state state;
	qb_loop_timer_handle soon; /* while FINISHED */
	agents_validated_fn done;
	void *user;
	struct request request;
	bool check, here;
	char path[AGENT_PATH_SIZE];
	struct stat st;
	struct meta_entry *entry;
	struct job *job; /* the run that this query has to answer for; another's while FETCHING: NULL */
	int error;
	char text[AGENT_REPORT_SIZE];
};

static void query_unlink(struct query *q)
{
	*q->prev = q->next;
	if (q->next)
		q->next->prev = q->prev;
}

static void query_finish(struct query *q)
{
	struct agent_validation validation = {
		.error = q->error,
		.text = q->text,
		.meta = q->entry ? meta_entry_get(q->entry) : NULL,
	};

	query_unlink(q);
	q->done(q->user, &validation);
	meta_entry_release(q->entry);
	free(q);
}

static void finish_now(void *data)
{
	query_finish(data);
}

static void query_finish_later(struct query *q)
{
	q->state = QUERY_FINISHED;
	if (soon_add(q->a->loop, QB_LOOP_MED, q, finish_now, &q->soon) < 0)
		abort(); /* out of memory for a few bytes: the caller would wait for ever */
}

__attribute__((format(printf, 3, 4))) static void query_fail(struct query *q, int error, const char *format, ...)
{
	va_list args;

	q->error = error;
	va_start(args, format);
	vsnprintf(q->text, sizeof(q->text), format, args);
	va_end(args);
}

static int error_of_status(const struct job *job)
{
	switch (job->status) {
	case AGENT_TIMEOUT:
		return -ETIME;
	case AGENT_NOT_INSTALLED:
		return -ENOENT;
	case AGENT_SPAWN_FAILED:
		return job->rc == OCF_ERR_PERM ? -EACCES : -EIO;
	case AGENT_CANCELLED:
		return -ECANCELED;
	default:
		return -EIO;
	}
}

static void query_fetch(struct query *q, void (*done)(struct job *job))
{
	struct request rq = q->request;
	struct job *job;

	rq.action = AGENT_META_DATA;
	rq.resource_id = 0;
	rq.timeout_ms = AGENT_META_TIMEOUT_MS;
	rq.params[0] = '\0';
	job = job_new(q->a, &rq, POOL_QUERY, done);
	if (!job) {
		query_fail(q, -ENOMEM, "%s: out of memory", q->request.agent);
		query_finish_later(q);
		return;
	}
	q->state = QUERY_FETCHING;
	job->query = q;
	q->job = job;
	job_submit(job);
}

static void on_validated(struct job *job)
{
	struct query *q = job->query;

	q->job = NULL;
	if (job->status != AGENT_DONE || job->rc != OCF_SUCCESS)
		query_fail(q, job->status == AGENT_DONE ? -EINVAL : error_of_status(job), "%s",
			   *job->text ? job->text : "its agent refuses it without a word");
	query_finish_later(q);
}

/* What is wrong with it on this host. */
static void query_run(struct query *q)
{
	const struct agent_meta_action *action = agent_meta_action(meta_entry_get(q->entry), "validate-all", 0);
	struct request rq = q->request;
	struct job *job = NULL;

	if (action) {
		rq.resource_id = 0;
		rq.timeout_ms = action->timeout_ms ? action->timeout_ms : AGENT_META_TIMEOUT_MS;
		job = job_new(q->a, &rq, POOL_QUERY, on_validated);
		if (!job)
			query_fail(q, -ENOMEM, "%s: out of memory", q->request.agent);
	}
	if (!job) {
		query_finish_later(q);
		return;
	}
	q->state = QUERY_RUNNING;
	job->query = q;
	q->job = job;
	job_submit(job);
}

/* The meta-data is there. */
static void query_check(struct query *q)
{
	if (q->check && agent_meta_check(meta_entry_get(q->entry), q->request.params, q->text))
		q->error = -EINVAL;
	if (q->here && !q->error)
		query_run(q);
	else
		query_finish_later(q);
}

static void entry_take(struct query *q, struct meta_entry *entry)
{
	meta_entry_hold(entry);
	q->entry = entry;
	query_check(q);
}

static void fetch_parse(struct query *q, const struct job *job, struct meta_entry **entry)
{
	struct agent_meta *meta = NULL;
	const struct capture *c = job->capture;

	if (job->status != AGENT_DONE || job->rc != OCF_SUCCESS) {
		query_fail(q, error_of_status(job), "%s: its meta-data cannot be had: %s; run \"OCF_ROOT=%s %s meta-data\" to see",
			   q->request.agent, job->text, q->a->ocf_root, q->path);
		return;
	}
	if (c->total[PROCESS_STDOUT] > AGENT_META_SIZE) {
		query_fail(q, -EBADMSG, "%s: its meta-data is longer than 1 MiB; reinstall or repair the agent", q->request.agent);
		return;
	}
	q->error = agent_meta_parse(q->request.agent, c->keep ? c->keep : "", c->len, &meta, q->text);
	if (q->error)
		return;
	*entry = meta_entry_add(q->a, q->path, &q->st, meta);
	if (!*entry) {
		agent_meta_free(meta);
		query_fail(q, -ENOMEM, "%s: out of memory", q->request.agent);
	}
}

/* One run answers every query that waits for the same agent. */
static void on_fetch_done(struct job *job)
{
	struct query *first = job->query, *q, *next;
	struct meta_entry *entry = NULL;

	first->job = NULL;
	fetch_parse(first, job, &entry);
	for (q = first->a->queries; q; q = next) {
		next = q->next;
		if (q->state != QUERY_FETCHING || strcmp(q->path, first->path) != 0)
			continue;
		if (entry) {
			entry_take(q, entry);
			continue;
		}
		if (q != first)
			query_fail(q, first->error, "%s", first->text);
		query_finish_later(q);
	}
}

static bool fetch_under_way(const struct query *me)
{
	for (const struct query *q = me->a->queries; q; q = q->next)
		if (q != me && q->state == QUERY_FETCHING && !strcmp(q->path, me->path))
			return true;
	return false;
}

static void query_start(struct query *q)
{
	struct meta_entry *entry;

	q->error = agent_path(q->a, q->request.agent, q->path, &q->st, q->text);
	if (q->error) {
		query_finish_later(q);
		return;
	}
	entry = meta_entry_find(q->a, q->path, &q->st);
	if (entry)
		entry_take(q, entry);
	else if (fetch_under_way(q))
		q->state = QUERY_FETCHING;
	else
		query_fetch(q, on_fetch_done);
}

static int query_new(struct agents *a, const struct agent_request *request, agents_validated_fn done, void *user,
		     struct query **ret)
{
	struct query *q;
	unsigned int count = 0;

	for (q = a->queries; q; q = q->next)
		count++;
	if (count >= AGENT_QUERIES_MAX)
		return -ENOBUFS;
	q = calloc(1, sizeof(*q));
	if (!q)
		return -ENOMEM;
	if (request_copy(&q->request, request)) {
		free(q);
		return -EINVAL;
	}
	q->a = a;
	q->done = done;
	q->user = user;
	q->next = a->queries;
	q->prev = &a->queries;
	if (q->next)
		q->next->prev = &q->next;
	a->queries = q;
	*ret = q;
	return 0;
}

int agents_meta(struct agents *a, const char *agent, agents_validated_fn done, void *user)
{
	struct agent_request request = { .action = AGENT_META_DATA, .resource = "meta-data", .agent = agent };
	struct query *q;
	int r = query_new(a, &request, done, user, &q);

	if (!r)
		query_start(q);
	return r;
}

int agents_validate(struct agents *a, const struct agent_request *request, agents_validated_fn done, void *user)
{
	struct agent_request copy = *request;
	struct query *q;
	int r;

	copy.action = AGENT_VALIDATE_ALL;
	r = query_new(a, &copy, done, user, &q);
	if (r)
		return r;
	q->check = true;
	q->here = request->here;
	query_start(q);
	return 0;
}

/* A run goes on for the next query that waits for the same agent; for nobody it ends. */
static void job_leave(struct query *q)
{
	struct job *job = q->job;

	q->job = NULL;
	for (struct query *heir = q->a->queries; heir && q->state == QUERY_FETCHING; heir = heir->next) {
		if (heir == q || heir->state != QUERY_FETCHING || strcmp(heir->path, q->path) != 0)
			continue;
		heir->job = job;
		job->query = heir;
		return;
	}
	job_disown(job);
}

void agents_queries_cancel(struct agents *a, agents_validated_fn done, void *user)
{
	struct query *q, *next;

	for (q = a->queries; q; q = next) {
		next = q->next;
		if (q->done != done || q->user != user)
			continue;
		if (q->state == QUERY_FINISHED)
			qb_loop_timer_del(a->loop, q->soon);
		if (q->job)
			job_leave(q);
		query_unlink(q);
		meta_entry_release(q->entry);
		free(q);
	}
}

void queries_free(struct agents *a)
{
	for (struct job *job = a->jobs; job; job = job->next) {
		if (job->query) {
			job->query = NULL;
			job->done = NULL;
		}
	}
	while (a->queries) {
		struct query *q = a->queries;

		if (q->state == QUERY_FINISHED)
			qb_loop_timer_del(a->loop, q->soon);
		query_unlink(q);
		meta_entry_release(q->entry);
		free(q);
	}
}
