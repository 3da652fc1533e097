/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What tests of agents share: a loop, a fresh directory, an agents module that notes its results, and waiting for events with
 * a deadline.
 */
#ifndef TESTS_UNIT_AGENTS_RIG_H
#define TESTS_UNIT_AGENTS_RIG_H

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <qb/qbloop.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clusterd/io/agents.h"
#include "clusterd/io/process.h"
#include "tests/lib/check.h"

#define RIG_RESULTS 4096
#define RIG_DEADLINE_MS 30000
#define RIG_POLL_MS 5
#define RIG_NS_PER_MS 1000000ull

struct rig_result {
	struct agent_result r;
	char text[AGENT_TEXT_SIZE];
	char output[AGENT_OUTPUT_KEEP + 1];
};

struct rig_report {
	struct agent_monitor_report r;
	char text[AGENT_TEXT_SIZE];
};

struct rig {
	qb_loop_t *loop;
	struct agents *a;
	char dir[128];
	char agents_dir[512];
	char state_dir[512];
	struct rig_result *results;
	unsigned int result_count;
	struct rig_report reports[64];
	unsigned int report_count;
	void (*on_result)(struct rig *rig, const struct agent_result *r);
	int validation_error;
	unsigned int validations;
	char validation_text[AGENT_REPORT_SIZE];
	uint32_t start_timeout_ms, stop_timeout_ms, monitor10_interval_ms;
	bool (*until)(struct rig *rig, void *data);
	void *until_data;
	bool reached, expired;
	qb_loop_timer_handle poll_timer;
	/* of rig_prepare() */
	char log[192], fifo[192], pids[192];
	char params[300]; /* the agent logs */
	char held[600];   /* … and waits for a line from the fifo, each time */
	int fifo_fd;
};

#define RIG_GOOD "ocf:test:good"
#define RIG_FAULT "ocf:test:fault"
#define RIG_QUICK ((struct agents_options){ .grace_ms = 100 })

/* The condition may have come true. */
static inline void rig_check(struct rig *rig)
{
	if (!rig->until || rig->reached || !rig->until(rig, rig->until_data))
		return;
	rig->reached = true;
	qb_loop_stop(rig->loop);
}

static inline void rig_result_note(void *user, const struct agent_result *r)
{
	struct rig *rig = user;
	struct rig_result *out = &rig->results[rig->result_count % RIG_RESULTS];

	rig->result_count++;
	out->r = *r;
	snprintf(out->text, sizeof(out->text), "%s", r->text);
	memcpy(out->output, r->output, r->output_len < AGENT_OUTPUT_KEEP ? r->output_len : AGENT_OUTPUT_KEEP);
	out->output[r->output_len < AGENT_OUTPUT_KEEP ? r->output_len : AGENT_OUTPUT_KEEP] = '\0';
	if (rig->on_result)
		rig->on_result(rig, r);
	rig_check(rig);
}

static inline void rig_report_note(void *user, const struct agent_monitor_report *r)
{
	struct rig *rig = user;
	struct rig_report *out = &rig->reports[rig->report_count % 64];

	rig->report_count++;
	out->r = *r;
	snprintf(out->text, sizeof(out->text), "%s", r->text);
	rig_check(rig);
}

static inline void rig_validated(void *user, const struct agent_validation *v)
{
	struct rig *rig = user;
	const struct agent_meta_action *action;

	rig->validations++;
	rig->validation_error = v->error;
	snprintf(rig->validation_text, sizeof(rig->validation_text), "%s", v->text);
	rig->start_timeout_ms = rig->stop_timeout_ms = rig->monitor10_interval_ms = 0;
	if (!v->meta)
		return;
	action = agent_meta_action(v->meta, "start", 0);
	rig->start_timeout_ms = action ? action->timeout_ms : 0;
	action = agent_meta_action(v->meta, "stop", 0);
	rig->stop_timeout_ms = action ? action->timeout_ms : 0;
	action = agent_meta_action(v->meta, "monitor", 10);
	rig->monitor10_interval_ms = action ? action->interval_ms : 0;
}

/* $top_srcdir as automake sets it, or the current directory; absolute. */
static inline void rig_source_path(char *out, size_t size, const char *path)
{
	const char *top = getenv("top_srcdir");
	char *real = realpath(top ? top : ".", NULL);

	REQUIRE(real != NULL);
	snprintf(out, size, "%s/%s", real, path);
	free(real);
	if (access(out, F_OK) < 0) {
		fprintf(stderr, "%s is not there: set top_srcdir to the source tree\n", out);
		exit(1);
	}
}

static inline void rig_open_agents(struct rig *rig, struct agents_options options)
{
	static const struct agents_callbacks callbacks = { rig_result_note, rig_report_note };
	char run[192], error[AGENT_REPORT_SIZE];

	snprintf(run, sizeof(run), "%s/run", rig->dir);
	options.run_dir = run;
	options.rsctmp = rig->state_dir;
	options.node_name = "node1";
	options.cluster_name = "testcluster";
	options.agent_dirs[0] = rig->agents_dir;
	CHECK_EQ(agents_new(rig->loop, &options, &callbacks, rig, &rig->a, error), 0);
	CHECK_STR(error, "");
	REQUIRE(rig->a != NULL);
}

/* With a directory that another rig made, or a new one. */
static inline void rig_init_at(struct rig *rig, const char *dir, struct agents_options options)
{
	memset(rig, 0, sizeof(*rig));
	rig->results = calloc(RIG_RESULTS, sizeof(*rig->results));
	REQUIRE(rig->results != NULL);
	if (dir)
		snprintf(rig->dir, sizeof(rig->dir), "%s", dir);
	else
		snprintf(rig->dir, sizeof(rig->dir), "%s/clusterd-test.XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	REQUIRE(dir || mkdtemp(rig->dir) != NULL);
	snprintf(rig->state_dir, sizeof(rig->state_dir), "%s/state", rig->dir);
	rig_source_path(rig->agents_dir, sizeof(rig->agents_dir), "tests/fault/agents");
	rig->loop = qb_loop_create();
	REQUIRE(rig->loop != NULL);
	rig_open_agents(rig, options);
}

static inline void rig_init(struct rig *rig, struct agents_options options)
{
	rig_init_at(rig, NULL, options);
}

static inline int rig_unlink(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void rig_done(struct rig *rig)
{
	siginfo_t info = { 0 };

	agents_free(rig->a);
	qb_loop_destroy(rig->loop);
	free(rig->results);
	if (nftw(rig->dir, rig_unlink, 16, FTW_DEPTH | FTW_PHYS) < 0)
		fprintf(stderr, "%s was not removed\n", rig->dir);
	/* No child is left, neither alive nor as a zombie. */
	CHECK(waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 && errno == ECHILD);
}

/* A rig, and what the test agents read and write: their parameters, their log, the fifo that holds them. */
static inline void rig_prepare(struct rig *rig, struct agents_options options)
{
	rig_init(rig, options);
	snprintf(rig->log, sizeof(rig->log), "%s/log", rig->dir);
	snprintf(rig->fifo, sizeof(rig->fifo), "%s/fifo", rig->dir);
	snprintf(rig->pids, sizeof(rig->pids), "%s/pids", rig->dir);
	snprintf(rig->params, sizeof(rig->params), "count=1\nlog=%s\n", rig->log);
	snprintf(rig->held, sizeof(rig->held), "%swait=%s\n", rig->params, rig->fifo);
	REQUIRE(mkfifo(rig->fifo, 0600) == 0);
	rig->fifo_fd = open(rig->fifo, O_RDWR | O_CLOEXEC);
	REQUIRE(rig->fifo_fd >= 0);
}

static inline void rig_finish(struct rig *rig)
{
	close(rig->fifo_fd);
	rig_done(rig);
}

/* Conditions about files and processes have no event of the loop. */
static inline void rig_poll(void *data)
{
	struct rig *rig = data;

	rig->poll_timer = 0;
	rig_check(rig);
	if (!rig->reached)
		qb_loop_timer_add(rig->loop, QB_LOOP_LOW, RIG_POLL_MS * RIG_NS_PER_MS, rig, rig_poll, &rig->poll_timer);
}

static inline void rig_expire(void *data)
{
	struct rig *rig = data;

	rig->expired = true;
	qb_loop_stop(rig->loop);
}

/* Run the loop until the condition holds; false when that took longer than the deadline. */
static inline bool rig_wait(struct rig *rig, bool (*until)(struct rig *rig, void *data), void *data)
{
	qb_loop_timer_handle deadline;

	rig->until = until;
	rig->until_data = data;
	rig->reached = rig->expired = false;
	qb_loop_timer_add(rig->loop, QB_LOOP_LOW, RIG_DEADLINE_MS * RIG_NS_PER_MS, rig, rig_expire, &deadline);
	rig_poll(rig);
	if (!rig->reached)
		qb_loop_run(rig->loop);
	rig->until = NULL;
	if (rig->poll_timer)
		qb_loop_timer_del(rig->loop, rig->poll_timer);
	rig->poll_timer = 0;
	if (!rig->expired)
		qb_loop_timer_del(rig->loop, deadline);
	return rig->reached;
}

static inline bool rig_have_results(struct rig *rig, void *data)
{
	return rig->result_count >= *(unsigned int *)data;
}

static inline void rig_wait_results(struct rig *rig, unsigned int count)
{
	REQUIRE(rig_wait(rig, rig_have_results, &count));
	CHECK_EQ(rig->result_count, count);
}

static inline bool rig_have_validations(struct rig *rig, void *data)
{
	return rig->validations >= *(unsigned int *)data;
}

static inline void rig_wait_validations(struct rig *rig, unsigned int count)
{
	REQUIRE(rig_wait(rig, rig_have_validations, &count));
	CHECK_EQ(rig->validations, count);
}

static inline bool rig_never(struct rig *rig, void *data)
{
	(void)rig;
	return process_now_ms() >= *(uint64_t *)data;
}

/* Let the loop run: for showing that something does NOT happen. */
static inline void rig_run_ms(struct rig *rig, uint32_t ms)
{
	uint64_t end = process_now_ms() + ms;

	rig_wait(rig, rig_never, &end);
}

/* The newest result. */
static inline const struct rig_result *rig_last(const struct rig *rig)
{
	return &rig->results[(rig->result_count - 1) % RIG_RESULTS];
}

static inline struct agent_request rig_request(uint64_t op, enum agent_action action, uint32_t resource_id, const char *agent,
					       const char *params)
{
	static char names[64][NAME_SIZE];
	char *name = names[resource_id % 64];

	snprintf(name, NAME_SIZE, "res%u", resource_id);
	return (struct agent_request){
		.op = op,
		.action = action,
		.resource_id = resource_id,
		.resource = name,
		.role = "role1",
		.agent = agent,
		.params = params,
		.timeout_ms = 20000,
	};
}

/* Run one operation to its result. */
static inline const struct rig_result *rig_do(struct rig *rig, enum agent_action action, uint32_t resource_id,
					      const char *agent, const char *params, uint32_t timeout_ms)
{
	static uint64_t op = 1000;
	struct agent_request rq = rig_request(op++, action, resource_id, agent, params);
	unsigned int before = rig->result_count;

	rq.timeout_ms = timeout_ms;
	REQUIRE(agents_run(rig->a, &rq) == 0);
	CHECK_EQ(rig->result_count, before); /* never from within */
	rig_wait_results(rig, before + 1);
	CHECK_EQ(rig_last(rig)->r.op, rq.op);
	CHECK_EQ(rig_last(rig)->r.resource_id, resource_id);
	CHECK_EQ(rig_last(rig)->r.action, action);
	return rig_last(rig);
}

/* Text of a file, at most size - 1 bytes; "" when there is none. */
static inline const char *rig_read(const char *path, char *out, size_t size)
{
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? 0 : read(fd, out, size - 1);

	if (fd >= 0)
		close(fd);
	out[n > 0 ? n : 0] = '\0';
	return out;
}

static inline bool rig_pid_alive(pid_t pid)
{
	char path[64], text[512];

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	rig_read(path, text, sizeof(text));
	return text[0] && strrchr(text, ')')[2] != 'Z';
}

/* Processes a "fault" agent noted that live. */
static inline unsigned int rig_pids_alive(const char *path, unsigned int *noted)
{
	char text[4096], *p = text;
	unsigned int alive = 0;

	*noted = 0;
	rig_read(path, text, sizeof(text));
	for (char *end; *p; p = end + (*end == '\n')) {
		pid_t pid = (pid_t)strtol(p, &end, 10);

		if (end == p)
			break;
		(*noted)++;
		alive += rig_pid_alive(pid);
	}
	return alive;
}

static inline bool rig_pids_dead(struct rig *rig, void *data)
{
	unsigned int noted;

	(void)rig;
	return rig_pids_alive(data, &noted) == 0;
}

static inline void rig_pids_kill(const char *path)
{
	char text[4096], *p = text;

	rig_read(path, text, sizeof(text));
	for (char *end; *p; p = end + (*end == '\n')) {
		pid_t pid = (pid_t)strtol(p, &end, 10);

		if (end == p)
			break;
		if (pid > 1)
			kill(pid, SIGKILL);
	}
}

#endif
