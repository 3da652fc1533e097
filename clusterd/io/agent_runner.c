/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs OCF agents: one process per resource, four pools of slots, exactly one result per request (agents.h; the states of a
 * job are in agent_runner.h). A result that is known while a caller is still in agents_run() or agents_cancel() is delivered
 * by a job of the loop.
 */
#include "clusterd/io/agent_runner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "clusterd/io/soon.h"
#include "text.h"
#include "units.h"

#define NS_PER_MS 1000000ull

static const char *const action_names[AGENT_ACTIONS] = {
	[AGENT_NONE] = "none",
	[AGENT_START] = "start",
	[AGENT_STOP] = "stop",
	[AGENT_MONITOR] = "monitor",
	[AGENT_RELOAD] = "reload-agent",
	[AGENT_MIGRATE_TO] = "migrate_to",
	[AGENT_MIGRATE_FROM] = "migrate_from",
	[AGENT_VALIDATE_ALL] = "validate-all",
	[AGENT_META_DATA] = "meta-data",
};

static const char *const status_names[AGENT_STATUSES] = {
	[AGENT_DONE] = "done",
	[AGENT_TIMEOUT] = "timeout",
	[AGENT_SIGNALLED] = "signalled",
	[AGENT_NOT_INSTALLED] = "not-installed",
	[AGENT_SPAWN_FAILED] = "spawn-failed",
	[AGENT_CANCELLED] = "cancelled",
};

static const struct {
	int rc;
	const char *name;
} rc_names[] = {
	{ OCF_SUCCESS, "ok" },
	{ OCF_ERR_GENERIC, "generic error" },
	{ OCF_ERR_ARGS, "wrong parameters for this host" },
	{ OCF_ERR_UNIMPLEMENTED, "action not implemented" },
	{ OCF_ERR_PERM, "not permitted" },
	{ OCF_ERR_INSTALLED, "something it needs is not installed" },
	{ OCF_ERR_CONFIGURED, "wrong parameters" },
	{ OCF_NOT_RUNNING, "not running" },
	{ OCF_RUNNING_PROMOTED, "running promoted" },
	{ OCF_FAILED_PROMOTED, "failed promoted" },
	{ OCF_DEGRADED, "degraded" },
	{ OCF_DEGRADED_PROMOTED, "degraded promoted" },
};

const char *agent_action_name(enum agent_action action)
{
	return action < AGENT_ACTIONS ? action_names[action] : "unknown";
}

const char *agent_status_name(enum agent_status status)
{
	return status < AGENT_STATUSES ? status_names[status] : "unknown";
}

const char *agent_rc_name(int rc)
{
	for (size_t i = 0; i < ARRAY_SIZE(rc_names); i++)
		if (rc_names[i].rc == rc)
			return rc_names[i].name;
	return "not an OCF exit code";
}

/* ---- lists ---- */

static void job_list_add(struct job *job)
{
	struct agents *a = job->a;

	job->next = a->jobs;
	job->prev = &a->jobs;
	if (a->jobs)
		a->jobs->prev = &job->next;
	a->jobs = job;
}

static void job_list_remove(struct job *job)
{
	*job->prev = job->next;
	if (job->next)
		job->next->prev = job->prev;
}

static struct job **op_bucket(struct agents *a, uint64_t op)
{
	return &a->ops[(op * 0x9e3779b97f4a7c15ull >> 32) % AGENT_OP_BUCKETS];
}

static struct job *op_find(struct agents *a, uint64_t op)
{
	struct job *job = *op_bucket(a, op);

	while (job && job->request.op != op)
		job = job->op_next;
	return job;
}

static void op_add(struct job *job)
{
	struct job **bucket = op_bucket(job->a, job->request.op);

	job->op_next = *bucket;
	job->op_prev = bucket;
	if (*bucket)
		(*bucket)->op_prev = &job->op_next;
	*bucket = job;
}

static void op_remove(struct job *job)
{
	if (!job->op_prev)
		return;
	*job->op_prev = job->op_next;
	if (job->op_next)
		job->op_next->op_prev = job->op_prev;
	job->op_prev = NULL;
}

static void pool_append(struct job *job)
{
	struct pool *pool = &job->a->pools[job->pool];

	job->state = JOB_WAITING;
	job->pool_next = NULL;
	job->pool_prev = pool->tail;
	*pool->tail = job;
	pool->tail = &job->pool_next;
}

static void pool_remove(struct job *job)
{
	struct pool *pool = &job->a->pools[job->pool];

	*job->pool_prev = job->pool_next;
	if (job->pool_next)
		job->pool_next->pool_prev = job->pool_prev;
	else
		pool->tail = job->pool_prev;
}

static void queue_append(struct agent_resource *r, struct job *job)
{
	job->queue_next = NULL;
	*r->tail = job;
	r->tail = &job->queue_next;
	r->count++;
}

static void queue_remove(struct agent_resource *r, struct job *job)
{
	struct job **at = &r->head;

	while (*at && *at != job)
		at = &(*at)->queue_next;
	if (!*at)
		return; /* a monitor's turn is in no queue */
	*at = job->queue_next;
	if (!*at)
		r->tail = at;
	r->count--;
}

/* ---- jobs ---- */

struct job *job_new(struct agents *a, const struct request *rq, enum pool_id pool, void (*done)(struct job *job))
{
	struct job *job = calloc(1, sizeof(*job));

	if (!job)
		return NULL;
	job->a = a;
	job->request = *rq;
	job->pool = pool;
	job->done = done;
	job->requested_ms = process_now_ms();
	job_list_add(job);
	return job;
}

static void job_free(struct job *job)
{
	if (job->capture)
		capture_done(job->capture);
	free(job->capture);
	job_list_remove(job);
	free(job);
}

static void pool_run(struct agents *a, enum pool_id id);

static void slot_release(struct job *job)
{
	if (job->holds_slot)
		job->a->pools[job->pool].running--;
	job->holds_slot = false;
}

/* Give the result and forget the job; then what waited for it. */
static void job_deliver(struct job *job)
{
	struct agents *a = job->a;
	struct agent_resource *r = job->resource;
	enum pool_id pool = job->pool;

	slot_release(job);
	op_remove(job);
	if (r) {
		queue_remove(r, job);
		if (r->running == job)
			r->running = NULL;
	}
	if (job->done)
		job->done(job);
	job_free(job);
	if (r)
		resource_kick(r);
	pool_run(a, pool);
}

static void deliver_later(void *data)
{
	job_deliver(data);
}

/* The result is known, but the caller may not expect a callback now. The job keeps its place in the queue until then. */
static void job_finish_later(struct job *job)
{
	job->state = JOB_FINISHED;
	if (soon_add(job->a->loop, QB_LOOP_MED, job, deliver_later, &job->soon) < 0)
		abort(); /* out of memory for a few bytes: a lost result would block the resource for ever */
}

__attribute__((format(printf, 4, 5))) static void job_result(struct job *job, enum agent_status status, int rc,
							     const char *format, ...)
{
	char text[AGENT_REPORT_SIZE];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	job->status = status;
	job->rc = rc;
	text_clean(job->text, sizeof(job->text), text, n < 0 ? 0 : strnlen(text, sizeof(text)));
}

static void on_output(void *user, enum process_stream stream, const char *data, size_t len)
{
	struct job *job = user;

	capture_add(job->capture, stream, data, len);
}

static void result_of_exit(struct job *job, int code, const char *said)
{
	bool known = strcmp(agent_rc_name(code), "not an OCF exit code") != 0;

	if (code == OCF_SUCCESS)
		job_result(job, AGENT_DONE, code, "%s", "");
	else if (!known)
		job_result(job, AGENT_DONE, OCF_ERR_GENERIC, "exit code %d, which is not an OCF code%s%s", code,
			   *said ? ": " : "", said);
	else if (*said)
		job_result(job, AGENT_DONE, code, "%s", said);
	else
		job_result(job, AGENT_DONE, code, "%s (the agent gave no reason)", agent_rc_name(code));
}

static void result_of_process(struct job *job, const struct process_result *result)
{
	const char *said = capture_reason(job->capture);
	const char *but = *said ? "; last it said: " : "";

	if (job->cancelled)
		job_result(job, AGENT_CANCELLED, OCF_ERR_GENERIC, "cancelled");
	else if (result->end == PROCESS_STUCK)
		job_result(job, AGENT_TIMEOUT, OCF_ERR_GENERIC,
			   "timed out after %u ms, and process %d survives SIGKILL: it waits for a device or driver; look at dmesg",
			   job->request.timeout_ms, (int)result->pid);
	else if (result->timed_out)
		job_result(job, AGENT_TIMEOUT, OCF_ERR_GENERIC, "timed out after %u ms and was killed%s%s",
			   job->request.timeout_ms, but, said);
	else if (result->end == PROCESS_EXITED)
		result_of_exit(job, result->code, said);
	else
		job_result(job, AGENT_SIGNALLED, OCF_ERR_GENERIC, "killed by signal %d (%s)%s%s", result->code,
			   strsignal(result->code), but, said);
	job->duration_ms = (uint32_t)result->duration_ms;
}

/* Keeps [record]: gone after a proof of absence only. */
static void record_update(const struct job *job)
{
	const struct request *rq = &job->request;

	if (!job->resource)
		return;
	record_running_remove(job->a, rq->resource_id);
	if (job->status != AGENT_DONE)
		return;
	if ((rq->action == AGENT_STOP && job->rc == OCF_SUCCESS) ||
	    (rq->action == AGENT_MONITOR && job->rc == OCF_NOT_RUNNING))
		record_active_remove(job->a, rq->resource_id);
}

static void on_stuck(struct job *job)
{
	struct agents *a = job->a;
	struct agent_resource *r = job->resource;

	job->state = JOB_STUCK;
	slot_release(job);
	op_remove(job);
	if (r)
		queue_remove(r, job); /* it stays r->running: nothing else starts, what waits is told so */
	if (job->done)
		job->done(job);
	job->done = NULL;
	job->monitor = NULL;
	job->query = NULL;
	if (r)
		resource_kick(r);
	pool_run(a, job->pool);
}

static void on_done(void *user, const struct process_result *result)
{
	struct job *job = user;

	if (job->state == JOB_STUCK) {
		struct agent_resource *r = job->resource;

		record_update(job);
		if (r && r->running == job)
			r->running = NULL;
		job_free(job);
		if (r)
			resource_kick(r);
		return;
	}
	result_of_process(job, result);
	if (result->end == PROCESS_STUCK) {
		on_stuck(job);
		return;
	}
	job->process = NULL;
	record_update(job);
	job_deliver(job);
}

static void result_of_errno(struct job *job, int error, const char *path)
{
	const char *name = job->request.agent;

	switch (error) {
	case -ENOENT:
		job_result(job, AGENT_SPAWN_FAILED, OCF_ERR_INSTALLED,
			   "the interpreter named in the first line of %s is not installed", path);
		break;
	case -EACCES:
	case -ENOEXEC:
		job_result(job, AGENT_SPAWN_FAILED, OCF_ERR_PERM, "%s cannot be executed: %s", path, strerror(-error));
		break;
	default:
		job_result(job, AGENT_SPAWN_FAILED, OCF_ERR_GENERIC, "%s could not be run: %s", name, strerror(-error));
	}
}

/* Open the record of the run: 0 and perhaps a descriptor, or why the job may not run. */
static int job_record(struct job *job, int *fd)
{
	const struct request *rq = &job->request;
	bool starts = rq->action == AGENT_START || rq->action == AGENT_MIGRATE_FROM;
	int r = 0;

	if (!job->resource)
		return 0;
	if (starts)
		r = record_active_write(job->a, rq);
	if (!r) {
		*fd = record_running_open(job->a, rq);
		r = *fd < 0 ? *fd : 0;
	}
	/* A stop must be tried even when the host is out of space for notes. */
	return starts ? r : 0;
}

static uint32_t time_left_ms(const struct job *job)
{
	uint64_t gone = process_now_ms() - job->started_ms;

	return gone < job->request.timeout_ms ? job->request.timeout_ms - (uint32_t)gone : 1;
}

static int job_spawn(struct job *job, const char *path, int stat_fd)
{
	static const struct process_events events = { on_output, on_done };
	struct agents *a = job->a;
	cleanup_free struct agent_environ *env = malloc(sizeof(*env));
	char *argv[] = { (char *)path, (char *)agent_action_name(job->request.action), NULL };
	struct process_spec spec = {
		.path = path,
		.argv = argv,
		.timeout_ms = time_left_ms(job),
		.grace_ms = a->grace_ms,
		.reap_ms = PROCESS_REAP_MS,
		.stat_fd = stat_fd,
	};
	int r;

	if (!job->capture)
		job->capture = calloc(1, sizeof(*job->capture));
	if (!env || !job->capture)
		return -ENOMEM;
	job->capture->stdout_only = job->query && job->request.action == AGENT_META_DATA;
	job->capture->max = job->capture->stdout_only ? AGENT_META_SIZE : a->output_keep;
	r = agent_environ_build(env, a, &job->request);
	if (r)
		return r;
	spec.envp = env->vars;
	return process_spawn(a->loop, &spec, &events, job, &job->process);
}

/* Passes by itself on a host under pressure (ETXTBSY: an upgrade is writing the file). No reason to fail a stop or a monitor. */
static bool is_shortage(int error)
{
	return error == -EAGAIN || error == -ENOMEM || error == -EMFILE || error == -ENFILE || error == -ETXTBSY;
}

static void job_try(struct job *job);

static void on_retry(void *data)
{
	struct job *job = data;

	job->retry = 0;
	job_try(job);
}

static void job_try_failed(struct job *job, int error, const char *path, bool recorded)
{
	struct agents *a = job->a;

	if (job->resource)
		record_running_remove(a, job->request.resource_id);
	if (job->resource && job->request.action == AGENT_START)
		record_active_remove(a, job->request.resource_id); /* nothing was executed, so nothing is to be stopped later */
	if (is_shortage(error) && process_now_ms() - job->started_ms + AGENT_RETRY_MS < job->request.timeout_ms &&
	    !qb_loop_timer_add(a->loop, QB_LOOP_MED, AGENT_RETRY_MS * NS_PER_MS, job, on_retry, &job->retry))
		return;
	if (recorded)
		result_of_errno(job, error, path);
	else
		job_result(job, AGENT_SPAWN_FAILED, OCF_ERR_GENERIC,
			   "not started, because that could not be recorded in %s: %s; make space there", a->run_dir,
			   strerror(-error));
	job_finish_later(job);
}

static void job_try(struct job *job)
{
	char path[AGENT_PATH_SIZE], error[AGENT_REPORT_SIZE];
	struct stat st;
	cleanup_fd int fd = -1;
	int r;

	r = agent_path(job->a, job->request.agent, path, &st, error);
	if (r) {
		job_result(job, r == -ENOENT ? AGENT_NOT_INSTALLED : AGENT_SPAWN_FAILED,
			   r == -ENOENT ? OCF_ERR_INSTALLED : OCF_ERR_PERM, "%s", error);
		job_finish_later(job);
		return;
	}
	r = job_record(job, &fd);
	if (r) {
		job_try_failed(job, r, path, false);
		return;
	}
	r = job_spawn(job, path, fd);
	if ((r == -ENOSPC || r == -EFBIG) && job->request.action == AGENT_STOP)
		r = job_spawn(job, path, -1);
	if (r)
		job_try_failed(job, r, path, true);
}

static void job_start(struct job *job)
{
	job->started_ms = process_now_ms();
	job->state = JOB_RUNNING;
	if (job->resource)
		job->resource->running = job;
	job_try(job);
}

static void pool_run(struct agents *a, enum pool_id id)
{
	struct pool *pool = &a->pools[id];

	while (pool->head && pool->running < pool->limit) {
		struct job *job = pool->head;

		pool_remove(job);
		if (job->monitor && (job->resource->running || job->resource->head || job->resource->orphan)) {
			/* Something came in between: the turn is due again when that is over. */
			job->monitor->job = NULL;
			job->monitor->due = true;
			job_free(job);
			continue;
		}
		job->holds_slot = true;
		pool->running++;
		job_start(job);
	}
}

void job_submit(struct job *job)
{
	pool_append(job);
	pool_run(job->a, job->pool);
}

void job_cancel(struct job *job)
{
	switch (job->state) {
	case JOB_WAITING:
		pool_remove(job);
		/* fall through */
	case JOB_QUEUED:
		job_result(job, AGENT_CANCELLED, OCF_ERR_GENERIC, "cancelled before it ran");
		job_finish_later(job);
		break;
	case JOB_RUNNING:
		job->cancelled = true;
		if (job->process) {
			process_kill(job->process);
			break;
		}
		qb_loop_timer_del(job->a->loop, job->retry);
		job->retry = 0;
		job_result(job, AGENT_CANCELLED, OCF_ERR_GENERIC, "cancelled before it ran");
		job_finish_later(job);
		break;
	case JOB_FINISHED:
	case JOB_STUCK:
		break;
	}
}

void job_disown(struct job *job)
{
	job->done = NULL;
	job->monitor = NULL;
	job->query = NULL;
	job_cancel(job);
}

/* ---- resources ---- */

struct agent_resource *resource_get(struct agents *a, uint32_t id)
{
	struct agent_resource *r = a->resources[id];

	if (r)
		return r;
	r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	r->a = a;
	r->id = id;
	r->tail = &r->head;
	a->resources[id] = r;
	return r;
}

static void fail_blocked(struct agent_resource *r)
{
	struct job *job = r->head;
	const struct process *blocker = r->orphan;

	if (!blocker && r->running)
		blocker = r->running->process;
	if (job->state != JOB_QUEUED || !blocker)
		return;
	job_result(job, AGENT_TIMEOUT, OCF_ERR_GENERIC,
		   "not run: process %d of an earlier operation of %s survives SIGKILL; it waits for a device or driver, see dmesg",
		   (int)process_pid(blocker), job->request.resource);
	job_finish_later(job);
}

void resource_kick(struct agent_resource *r)
{
	struct job *job = r->head;

	if (r->orphan_stuck || (r->running && r->running->state == JOB_STUCK)) {
		if (job)
			fail_blocked(r);
		return;
	}
	if (r->running || r->orphan)
		return;
	if (!job)
		monitors_kick(r);
	else if (job->state == JOB_QUEUED)
		job_submit(job);
}

/* ---- orphans ---- */

static void on_orphan_done(void *user, const struct process_result *result)
{
	struct agent_resource *r = user;

	if (result->end == PROCESS_STUCK) {
		r->orphan_stuck = true;
	} else {
		r->orphan = NULL;
		r->orphan_stuck = false;
		r->a->pending--;
		record_running_remove(r->a, r->id);
	}
	resource_kick(r);
}

static void orphan_adopt(struct agents *a, const struct record_running *running)
{
	static const struct process_events events = { NULL, on_orphan_done };
	struct agent_resource *r = resource_get(a, running->resource_id);
	struct process_spec spec = {
		.timeout_ms = running->left_ms ? (uint32_t)running->left_ms : 1,
		.grace_ms = a->grace_ms,
		.reap_ms = PROCESS_REAP_MS,
	};

	if (!r || process_adopt(a->loop, running->stat, &spec, &events, r, &r->orphan)) {
		record_running_remove(a, running->resource_id);
		return;
	}
	r->orphan_action = running->action;
	a->pending++;
}

/* What has no worth any more once the resource shall stop. A stop or a migration may finish. */
static bool preempted_by_stop(enum agent_action action)
{
	return action == AGENT_START || action == AGENT_MONITOR || action == AGENT_RELOAD || action == AGENT_VALIDATE_ALL;
}

/* ---- requests ---- */

/* A word that may stand in a file name, an environment variable and one line of a record. */
static bool name_valid(const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < len; i++)
		if ((unsigned char)name[i] <= ' ' || name[i] == 0x7f || name[i] == '/')
			return false;
	return len < NAME_SIZE && name[0] != '.';
}

const char *agent_request_fault(const struct agent_request *rq)
{
	bool queries = rq->action == AGENT_VALIDATE_ALL || rq->action == AGENT_META_DATA;

	if (rq->action == AGENT_NONE || rq->action >= AGENT_ACTIONS)
		return "there is no such action";
	if (rq->resource_id > RESOURCE_MAX || (!rq->resource_id && !queries))
		return "the resource id is out of range";
	if (!rq->resource || !*rq->resource || !name_valid(rq->resource))
		return "a resource's name has 1 to 63 characters, no blank, no slash, and does not begin with a dot";
	if (rq->role && !name_valid(rq->role))
		return "a role's name has up to 63 characters, no blank, no slash, and does not begin with a dot";
	if (!agent_name_valid(rq->agent))
		return "an agent is named ocf:PROVIDER:TYPE, for example ocf:heartbeat:IPaddr2 (no other kinds are supported)";
	if (rq->params && !agent_params_valid(rq->params))
		return "parameters are lines name=value, together under 1024 bytes, without control characters";
	if ((rq->migrate_source && !name_valid(rq->migrate_source)) || (rq->migrate_target && !name_valid(rq->migrate_target)))
		return "the node to migrate from or to has no valid name";
	return NULL;
}

int request_copy(struct request *out, const struct agent_request *in)
{
	if (agent_request_fault(in))
		return -EINVAL;
	out->op = in->op;
	out->action = in->action;
	out->resource_id = in->resource_id;
	out->timeout_ms = in->timeout_ms ? in->timeout_ms : AGENT_TIMEOUT_DEFAULT_MS;
	if (out->timeout_ms < AGENT_TIMEOUT_MIN_MS)
		out->timeout_ms = AGENT_TIMEOUT_MIN_MS;
	out->interval_ms = in->interval_ms;
	out->level = in->level;
	out->epoch = in->epoch;
	text_copy(out->resource, sizeof(out->resource), in->resource);
	text_copy(out->role, sizeof(out->role), in->role);
	text_copy(out->agent, sizeof(out->agent), in->agent);
	text_copy(out->params, sizeof(out->params), in->params);
	text_copy(out->migrate_source, sizeof(out->migrate_source), in->migrate_source);
	text_copy(out->migrate_target, sizeof(out->migrate_target), in->migrate_target);
	return 0;
}

static void on_operation_done(struct job *job)
{
	struct agents *a = job->a;
	const struct capture *c = job->capture;
	struct agent_result result = {
		.op = job->request.op,
		.resource_id = job->request.resource_id,
		.action = job->request.action,
		.status = job->status,
		.rc = job->rc,
		.text = job->text,
		.output = c && c->keep ? c->keep : "",
		.output_len = c ? c->len : 0,
		.output_total = c ? c->total[0] + c->total[1] : 0,
		.duration_ms = job->duration_ms,
		.queued_ms = (uint32_t)((job->started_ms ? job->started_ms : process_now_ms()) - job->requested_ms),
	};

	a->pending--;
	a->callbacks.result(a->user, &result);
}

int agents_run(struct agents *a, const struct agent_request *request)
{
	struct request rq;
	struct agent_resource *r = NULL;
	struct job *job;

	if (request_copy(&rq, request))
		return -EINVAL;
	rq.interval_ms = 0;
	if (op_find(a, rq.op))
		return -EEXIST;
	if (rq.resource_id) {
		r = resource_get(a, rq.resource_id);
		if (!r)
			return -ENOMEM;
		if (r->count >= AGENT_QUEUE_MAX)
			return -ENOBUFS;
	}
	job = job_new(a, &rq, rq.action == AGENT_STOP ? POOL_STOP : POOL_OPERATION, on_operation_done);
	if (!job)
		return -ENOMEM;
	op_add(job);
	a->pending++;
	if (!r) {
		job_submit(job);
		return 0;
	}
	job->resource = r;
	if (rq.action == AGENT_STOP) {
		agents_monitor_stop(a, r->id);
		if (r->orphan && preempted_by_stop(r->orphan_action))
			process_kill(r->orphan);
	}
	queue_append(r, job);
	resource_kick(r);
	return 0;
}

int agents_cancel(struct agents *a, uint64_t op)
{
	struct job *job = op_find(a, op);

	if (!job)
		return -ENOENT;
	job_cancel(job);
	return 0;
}

unsigned int agents_pending(const struct agents *a, uint32_t resource_id)
{
	const struct agent_resource *r;

	if (!resource_id)
		return a->pending;
	r = resource_id <= RESOURCE_MAX ? a->resources[resource_id] : NULL;
	return r ? r->count + (r->orphan ? 1 : 0) : 0;
}

/* ---- birth and death ---- */

static char *text_dup(const char *text, const char *otherwise)
{
	return strdup(text && *text ? text : otherwise);
}

static int environment_copy(struct agents *a, const char *const *from)
{
	size_t count = 0;

	while (from && from[count])
		count++;
	a->environment = calloc(count + 1, sizeof(*a->environment));
	if (!a->environment)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		a->environment[i] = strdup(from[i]);
		if (!a->environment[i])
			return -ENOMEM;
	}
	return 0;
}

static int options_copy(struct agents *a, const struct agents_options *o)
{
	uint32_t parallel = o->max_parallel ? o->max_parallel : AGENT_PARALLEL_DEFAULT;

	a->ocf_root = text_dup(o->ocf_root, "/usr/lib/ocf");
	a->run_dir = text_dup(o->run_dir, "/run/clusterd");
	a->rsctmp = text_dup(o->rsctmp, "/run/resource-agents");
	a->node_name = text_dup(o->node_name, "localhost");
	a->cluster_name = text_dup(o->cluster_name, "cluster");
	if (!a->ocf_root || !a->run_dir || !a->rsctmp || !a->node_name || !a->cluster_name)
		return -ENOMEM;
	for (unsigned int i = 0; i < AGENT_EXTRA_DIRS && o->agent_dirs[i]; i++) {
		a->agent_dirs[i] = strdup(o->agent_dirs[i]);
		if (!a->agent_dirs[i])
			return -ENOMEM;
	}
	if (parallel > AGENT_PARALLEL_MAX)
		parallel = AGENT_PARALLEL_MAX;
	a->pools[POOL_STOP].limit = parallel * AGENT_STOP_FACTOR;
	a->pools[POOL_OPERATION].limit = parallel;
	a->pools[POOL_MONITOR].limit = parallel;
	a->pools[POOL_QUERY].limit = AGENT_QUERIES_PARALLEL;
	a->output_keep = o->output_keep ? o->output_keep : AGENT_OUTPUT_KEEP;
	a->grace_ms = o->grace_ms ? o->grace_ms : PROCESS_GRACE_MS;
	return environment_copy(a, o->environment);
}

/* A pipe of ours must never get number 0..2: dup2() in the child would then hit it. */
static int standard_fds_fill(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
		if (fd < 0)
			return -errno;
	} while (fd <= STDERR_FILENO);
	close(fd);
	return 0;
}

static int agents_init(struct agents *a, const struct agents_options *options, char *error)
{
	int r = options_copy(a, options);

	if (r) {
		snprintf(error, AGENT_REPORT_SIZE, "agents: %s", strerror(-r));
		return r;
	}
	r = standard_fds_fill();
	if (r) {
		snprintf(error, AGENT_REPORT_SIZE, "/dev/null: %s", strerror(-r));
		return r;
	}
	if (mkdir(a->rsctmp, 01755) < 0 && errno != EEXIST) {
		r = -errno;
		snprintf(error, AGENT_REPORT_SIZE, "cannot create the agents' state directory %s: %s", a->rsctmp, strerror(-r));
		return r;
	}
	return record_open(a, error);
}

int agents_new(qb_loop_t *loop, const struct agents_options *options, const struct agents_callbacks *callbacks,
	       void *user, struct agents **ret, char *error)
{
	struct agents *a = calloc(1, sizeof(*a));
	int r;

	error[0] = '\0';
	if (!a)
		return -ENOMEM;
	a->loop = loop;
	a->callbacks = *callbacks;
	a->user = user;
	a->active_fd = a->running_fd = -1;
	for (int i = 0; i < POOLS; i++)
		a->pools[i].tail = &a->pools[i].head;
	r = agents_init(a, options, error);
	if (r) {
		agents_free(a);
		return r;
	}
	record_running_list(a, orphan_adopt);
	*ret = a;
	return 0;
}

static void jobs_free(struct agents *a)
{
	while (a->jobs) {
		struct job *job = a->jobs;
		/* What only looks is killed; what changes something goes on, as its record says. */
		bool kill = !job->resource || job->request.action == AGENT_MONITOR;

		if (job->state == JOB_FINISHED)
			qb_loop_timer_del(a->loop, job->soon);
		if (job->retry)
			qb_loop_timer_del(a->loop, job->retry);
		if (job->process)
			process_abandon(job->process, kill && job->state != JOB_STUCK);
		if (job->process && kill && job->resource)
			record_running_remove(a, job->request.resource_id);
		job_free(job);
	}
}

void agents_free(struct agents *a)
{
	if (!a)
		return;
	queries_free(a);
	for (uint32_t id = 1; id <= RESOURCE_MAX; id++)
		if (a->resources[id])
			monitors_free(a->resources[id]);
	jobs_free(a);
	for (uint32_t id = 1; id <= RESOURCE_MAX; id++) {
		if (a->resources[id] && a->resources[id]->orphan)
			process_abandon(a->resources[id]->orphan, false);
		free(a->resources[id]);
	}
	metas_free(a);
	record_close(a);
	for (unsigned int i = 0; i < AGENT_EXTRA_DIRS; i++)
		free(a->agent_dirs[i]);
	for (char **e = a->environment; e && *e; e++)
		free(*e);
	free(a->environment);
	free(a->ocf_root);
	free(a->run_dir);
	free(a->rsctmp);
	free(a->node_name);
	free(a->cluster_name);
	free(a);
}
