/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Recurring monitors: a timer each, spread over the interval, never beside another operation of the resource.
 *
 *   IDLE --timer--> DUE --resource idle--> job waits for a slot, runs --> report if bad --> IDLE (next: one interval after the
 *                    ^------ an operation of the resource came first ------'              last due time, or after now if late)
 */
#include "clusterd/io/agent_runner.h"

#include <errno.h>
#include <stdlib.h>

#include "splitmix.h"

#define NS_PER_MS 1000000ull

static void on_timer(void *data);

/* Resource and level decide where in the interval a monitor runs, on every host and after every restart. */
static uint64_t spread(uint32_t resource_id, uint32_t level)
{
	uint64_t state = (uint64_t)resource_id << 32 | level;

	return splitmix_next(&state);
}

static void monitor_schedule(struct monitor *m, uint64_t due_ms)
{
	uint64_t now = process_now_ms();

	m->due_ms = due_ms > now ? due_ms : now + 1;
	if (qb_loop_timer_add(m->resource->a->loop, QB_LOOP_LOW, (m->due_ms - now) * NS_PER_MS, m, on_timer, &m->timer) < 0)
		abort(); /* out of memory: a monitor silently lost would hide a dead resource */
}

static void monitor_next(struct monitor *m)
{
	uint64_t now = process_now_ms();
	uint64_t due = m->due_ms + m->request.interval_ms;

	monitor_schedule(m, due > now ? due : now + m->request.interval_ms);
}

static bool healthy(const struct job *job)
{
	return job->status == AGENT_DONE && (job->rc == OCF_SUCCESS || job->rc == OCF_RUNNING_PROMOTED ||
					     job->rc == OCF_DEGRADED || job->rc == OCF_DEGRADED_PROMOTED);
}

static void on_monitor_done(struct job *job)
{
	struct monitor *m = job->monitor;
	struct agents *a = job->a;
	bool was_failed;

	if (!m)
		return;
	was_failed = m->failures > 0;
	m->failures = healthy(job) ? 0 : m->failures + 1;
	m->job = NULL;
	monitor_next(m);
	if (m->failures || was_failed) {
		struct agent_monitor_report report = {
			.resource_id = job->request.resource_id,
			.level = job->request.level,
			.interval_ms = job->request.interval_ms,
			.status = job->status,
			.rc = job->rc,
			.text = job->text,
			.failures = m->failures,
			.duration_ms = job->duration_ms,
		};

		/* The callback may stop the monitor: m is not touched after it. */
		a->callbacks.monitor(a->user, &report);
	}
}

static void monitor_submit(struct monitor *m)
{
	struct job *job = job_new(m->resource->a, &m->request, POOL_MONITOR, on_monitor_done);

	if (!job) {
		monitor_next(m);
		return;
	}
	m->due = false;
	m->job = job;
	job->monitor = m;
	job->resource = m->resource;
	job_submit(job);
}

void monitors_kick(struct agent_resource *r)
{
	for (int i = 0; i < AGENT_MONITOR_LEVELS; i++)
		if (r->monitors[i] && r->monitors[i]->due && !r->running && !r->orphan && !r->head)
			monitor_submit(r->monitors[i]);
}

static void on_timer(void *data)
{
	struct monitor *m = data;

	m->timer = 0;
	m->due = true;
	monitors_kick(m->resource);
}

static void monitor_free(struct monitor *m)
{
	if (m->timer)
		qb_loop_timer_del(m->resource->a->loop, m->timer);
	if (m->job)
		job_disown(m->job);
	free(m);
}

void monitors_free(struct agent_resource *r)
{
	for (int i = 0; i < AGENT_MONITOR_LEVELS; i++) {
		if (r->monitors[i])
			monitor_free(r->monitors[i]);
		r->monitors[i] = NULL;
	}
}

int agents_monitor_start(struct agents *a, const struct agent_request *request)
{
	struct request rq;
	struct agent_resource *r;
	struct monitor *m;
	int slot = -1;

	if (request_copy(&rq, request) || !rq.resource_id || rq.interval_ms < AGENT_INTERVAL_MIN_MS)
		return -EINVAL;
	rq.action = AGENT_MONITOR;
	r = resource_get(a, rq.resource_id);
	m = calloc(1, sizeof(*m));
	if (!r || !m) {
		free(m);
		return -ENOMEM;
	}
	for (int i = AGENT_MONITOR_LEVELS - 1; i >= 0; i--)
		if (!r->monitors[i] || r->monitors[i]->request.level == rq.level)
			slot = slot >= 0 && r->monitors[slot] ? slot : i;
	if (slot < 0) {
		free(m);
		return -ENOBUFS;
	}
	if (r->monitors[slot])
		monitor_free(r->monitors[slot]);
	m->resource = r;
	m->request = rq;
	r->monitors[slot] = m;
	monitor_schedule(m, process_now_ms() + spread(rq.resource_id, rq.level) % rq.interval_ms);
	return 0;
}

void agents_monitor_stop(struct agents *a, uint32_t resource_id)
{
	if (resource_id && resource_id <= RESOURCE_MAX && a->resources[resource_id])
		monitors_free(a->resources[resource_id]);
}
