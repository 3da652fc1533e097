/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside of the agents module: what its files share. Users include agents.h only.
 *
 * A job is one run of an agent: an operation somebody asked for, a turn of a recurring monitor, or a meta-data or validate-all
 * query of the module itself. Jobs of a resource form a queue; its head waits in a pool for a slot.
 *
 *   QUEUED (behind others of its resource) -> WAITING (in a pool) -> RUNNING -> FINISHED (result is due) -> freed
 *                                                                       `-> STUCK (result given, process still there)
 */
#ifndef CLUSTERD_IO_AGENT_RUNNER_H
#define CLUSTERD_IO_AGENT_RUNNER_H

#include <sys/stat.h>

#include "clusterd/io/agents.h"
#include "clusterd/io/process.h"

#define AGENT_OP_BUCKETS 1024
#define AGENT_LINE_SIZE 512      /* what is kept of one line of output while it is looked at */
#define AGENT_PATH_SIZE 512
#define AGENT_RETRY_MS 200       /* between tries to spawn while the host is short of memory, processes or descriptors */
#define AGENT_VARS_MAX 512       /* environment variables of an agent */
#define AGENT_VARS_SIZE (16 * 1024)

struct agent_resource;
struct monitor;
struct meta_entry;
struct query;

enum pool_id { POOL_STOP, POOL_OPERATION, POOL_MONITOR, POOL_QUERY, POOLS };

/* A request with its strings copied. */
struct request {
	uint64_t op;
	enum agent_action action;
	uint32_t resource_id;
	uint32_t timeout_ms, interval_ms, level;
	uint64_t epoch;
	char resource[NAME_SIZE];
	char role[NAME_SIZE];
	char agent[AGENT_NAME_SIZE];
	char params[PARAMS_SIZE];
	char migrate_source[NAME_SIZE];
	char migrate_target[NAME_SIZE];
};

/* Output as it comes: the first bytes kept, and of its lines the one that tells a human why. */
struct capture {
	char *keep;
	size_t len, size, max;
	bool stdout_only; /* keep stdout alone: meta-data */
	uint64_t total[2];
	char line[2][AGENT_LINE_SIZE];
	size_t line_len[2];
	char reason[AGENT_TEXT_SIZE]; /* last "ocf-exit-reason:" */
	char error[AGENT_TEXT_SIZE];  /* first line with ERROR */
	char first[2][AGENT_TEXT_SIZE];
};

enum job_state { JOB_QUEUED, JOB_WAITING, JOB_RUNNING, JOB_FINISHED, JOB_STUCK };

struct job {
	struct agents *a;
	struct job *next, **prev;           /* all jobs of the module */
	struct job *op_next, **op_prev;     /* hash by op; operations only */
	struct job *pool_next, **pool_prev; /* waiting list of the pool */
	struct job *queue_next;             /* queue of the resource */
	enum job_state state;
	enum pool_id pool;
	bool holds_slot, cancelled;
	struct agent_resource *resource; /* NULL: serialised with nothing */
	struct monitor *monitor;   /* a turn of this recurring monitor; cleared when the monitor is stopped */
	struct query *query;
	void (*done)(struct job *job);
	struct request request;
	struct process *process;
	struct capture *capture; /* from the spawn on: a waiting job is small */
	uint64_t requested_ms, started_ms;
	qb_loop_timer_handle retry; /* set while RUNNING without a process: the host is short of something */
	qb_loop_timer_handle soon;  /* while FINISHED: its delivery */
	/* The result, valid from FINISHED (or STUCK) on. */
	enum agent_status status;
	int rc;
	char text[AGENT_TEXT_SIZE];
	uint32_t duration_ms;
};

struct monitor {
	struct agent_resource *resource;
	struct request request;
	qb_loop_timer_handle timer;
	uint64_t due_ms;
	bool due;        /* wants to run and waits for the resource to be idle */
	struct job *job; /* waiting or running */
	uint32_t failures;
};

struct agent_resource {
	struct agents *a;
	uint32_t id;
	struct job *head, **tail; /* operations, in order of arrival; the head may be running */
	unsigned int count;
	struct job *running;      /* head of the queue, a monitor's job, or one that is stuck */
	struct process *orphan;
	enum agent_action orphan_action;
	bool orphan_stuck;
	struct monitor *monitors[AGENT_MONITOR_LEVELS];
};

struct pool {
	struct job *head, **tail;
	unsigned int running, limit;
};

struct agents {
	qb_loop_t *loop;
	struct agents_callbacks callbacks;
	void *user;
	char *ocf_root, *rsctmp, *node_name, *cluster_name, *run_dir;
	char *agent_dirs[AGENT_EXTRA_DIRS + 1];
	char **environment;
	uint32_t output_keep, grace_ms;
	int active_fd, running_fd; /* directories of the record */
	struct pool pools[POOLS];
	struct agent_resource *resources[RESOURCE_MAX + 1];
	struct job *jobs;
	struct job *ops[AGENT_OP_BUCKETS];
	struct query *queries;
	struct meta_entry *metas;
	unsigned int meta_count;
	uint64_t meta_clock;
	unsigned int pending;
};

/* agent_environ.c: where an agent is and what it sees. */
struct agent_environ {
	char *vars[AGENT_VARS_MAX + 1];
	size_t count, used;
	char bytes[AGENT_VARS_SIZE];
};

/* "ocf:PROVIDER:TYPE" well formed? */
bool agent_name_valid(const char *agent);
/* "name=value" lines, names of letters, digits, "_", "-", ".", no control characters? */
bool agent_params_valid(const char *params);
/* The next pair; advances *cursor; false at the end. Spans are not terminated. */
bool agent_params_next(const char **cursor, const char **name, size_t *name_len, const char **value, size_t *value_len);
/* Path of an agent. 0, or -ENOENT, -EACCES with the line in error (AGENT_REPORT_SIZE). */
int agent_path(const struct agents *a, const char *agent, char path[AGENT_PATH_SIZE], struct stat *st, char *error);
/* 0 or -E2BIG. */
int agent_environ_build(struct agent_environ *env, const struct agents *a, const struct request *rq);

/* agent_output.c */
void capture_add(struct capture *c, enum process_stream stream, const char *data, size_t len);
/* What the agent said why it failed, or "". Looks at unfinished last lines too. */
const char *capture_reason(struct capture *c);
void capture_done(struct capture *c);
/* One printable ASCII line of at most size - 1 bytes. */
void text_clean(char *out, size_t size, const char *in, size_t len);

/* agent_record.c */
int record_open(struct agents *a, char *error);
void record_close(struct agents *a);
int record_active_write(const struct agents *a, const struct request *rq);
void record_active_remove(const struct agents *a, uint32_t resource_id);
/* A descriptor for process_spec.stat_fd, or negative errno. */
int record_running_open(const struct agents *a, const struct request *rq);
void record_running_remove(const struct agents *a, uint32_t resource_id);
struct record_running {
	uint32_t resource_id;
	enum agent_action action;
	uint64_t left_ms; /* of its time-out */
	char stat[PROCESS_STAT_SIZE];
};
void record_running_list(struct agents *a, void (*each)(struct agents *a, const struct record_running *r));

/* agent_runner.c */
int request_copy(struct request *out, const struct agent_request *in);
struct agent_resource *resource_get(struct agents *a, uint32_t id);
/* What is next for the resource: called whenever something of it ended or arrived. */
void resource_kick(struct agent_resource *r);
struct job *job_new(struct agents *a, const struct request *rq, enum pool_id pool, void (*done)(struct job *job));
/* Into the pool: run when a slot is free. */
void job_submit(struct job *job);
/* Drop or kill; `done` still follows. */
void job_cancel(struct job *job);
/* Never call `done`; a running process is killed and reaped in its own time. */
void job_disown(struct job *job);

/* agent_monitor.c */
void monitors_kick(struct agent_resource *r); /* the resource is idle */
void monitors_free(struct agent_resource *r);

/* agent_validation.c, agent_metadata.c */
void queries_free(struct agents *a);
void metas_free(struct agents *a);
struct meta_entry *meta_entry_find(struct agents *a, const char *path, const struct stat *st);
struct meta_entry *meta_entry_add(struct agents *a, const char *path, const struct stat *st, struct agent_meta *meta);
const struct agent_meta *meta_entry_get(const struct meta_entry *e);
void meta_entry_hold(struct meta_entry *e);
void meta_entry_release(struct meta_entry *e);

#endif
