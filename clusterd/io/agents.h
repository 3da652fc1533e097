/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * OCF 1.1 resource agents as asynchronous operations on a qb_loop: runner, recurring monitors, meta-data, validation of
 * parameters, and the record of what may run on this host.
 *
 * Invariants
 * - Exactly one result callback per accepted agents_run(), never from within it (it may come from any later turn of the loop).
 * - At most one process per resource at any time, whoever started it: queued operations of a resource run in the order of
 *   arrival, a recurring monitor waits for them, an operation that an earlier instance of the daemon left running (an orphan)
 *   is waited for or killed first.
 * - The record of a resource exists from before its start (or migrate_from) is spawned until its stop succeeded or a monitor
 *   said "not running".
 * - Four pools of slots (stops; other operations; recurring monitors; queries: meta-data and validate-all): none can starve
 *   another. First come, first served within a pool.
 *
 * Time-outs run from the moment an operation has its slot, not from the request; tries to spawn on a host that is short of
 * memory, processes or descriptors count. What has to be killed reports up to grace_ms + PROCESS_REAP_MS after its time-out:
 * a chain of time-outs must have room for that. Processes: see process.h, also for what a time-out kills; a child of an agent
 * that called setsid(2) survives it.
 *
 * Source: OCF Resource Agent API 1.1 (ClusterLabs/OCF-spec, ra/1.1/resource-agent-api.md); Debian's ocf-shellfuncs.
 */
#ifndef CLUSTERD_IO_AGENTS_H
#define CLUSTERD_IO_AGENTS_H

#include <qb/qbloop.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bounds.h"
#include "proto/message.h"

#define AGENT_NAME_SIZE 128          /* "ocf:PROVIDER:TYPE" with the NUL */
#define AGENT_TEXT_SIZE 161          /* one printable line with the NUL */
#define AGENT_REPORT_SIZE 1024       /* a refusal: names agent, parameter and the way out */
#define AGENT_OUTPUT_KEEP 8192       /* default of agents_options.output_keep */
#define AGENT_QUEUE_MAX 8            /* unfinished operations of one resource, the running one included */
#define AGENT_MONITOR_LEVELS 4       /* recurring monitors of one resource */
#define AGENT_PARALLEL_DEFAULT 16
#define AGENT_PARALLEL_MAX 512
#define AGENT_STOP_FACTOR 4          /* slots for stops = this x max_parallel: stopping everything is the urgent case */
#define AGENT_TIMEOUT_DEFAULT_MS 20000
#define AGENT_TIMEOUT_MIN_MS 100
#define AGENT_INTERVAL_MIN_MS 100
#define AGENT_META_SIZE (1024 * 1024) /* bytes of meta-data accepted */
#define AGENT_META_PARAMS 512         /* parameters of one agent */
#define AGENT_META_ACTIONS 64
#define AGENT_META_CACHE 512          /* agents whose meta-data is kept; the least recently used goes first */
#define AGENT_META_TIMEOUT_MS 20000
#define AGENT_EXTRA_DIRS 8
#define AGENT_QUERIES_MAX 1024        /* unfinished agents_meta() and agents_validate() */
#define AGENT_QUERIES_PARALLEL 16     /* agents that run at once for them */

/* Actions, how an operation ended, and the agents' exit codes are the protocol's: enum agent_action, agent_status, ocf_rc. */
#define AGENT_ACTIONS (AGENT_META_DATA + 1)
#define AGENT_STATUSES (AGENT_CANCELLED + 1)

struct agents_options {
	const char *ocf_root;               /* NULL: /usr/lib/ocf; agents in ocf_root/resource.d/PROVIDER/TYPE */
	const char *agent_dirs[AGENT_EXTRA_DIRS]; /* searched before ocf_root: DIR/PROVIDER/TYPE; NULL ends the list */
	const char *run_dir;                /* NULL: /run/clusterd; must not outlive a reboot of the host (tmpfs) */
	const char *rsctmp;                 /* NULL: /run/resource-agents (HA_RSCTMP) */
	const char *node_name;
	const char *cluster_name;
	const char *const *environment;     /* more "NAME=value" for every agent, NULL-terminated; or NULL */
	uint32_t output_keep;               /* 0: AGENT_OUTPUT_KEEP; bytes of output a result has, the rest is read and counted */
	uint32_t max_parallel;              /* 0: AGENT_PARALLEL_DEFAULT; at most AGENT_PARALLEL_MAX */
	uint32_t grace_ms;                  /* 0: PROCESS_GRACE_MS */
};

struct agent_request {
	uint64_t op;                 /* the caller's id, unique among its unfinished operations */
	enum agent_action action;
	uint32_t resource_id;        /* 1..RESOURCE_MAX; 0 (validate-all, meta-data only): belongs to no resource, not serialised */
	const char *resource;        /* name, OCF_RESOURCE_INSTANCE */
	const char *role;            /* name, for the record and messages; may be NULL */
	const char *agent;           /* "ocf:PROVIDER:TYPE" */
	const char *params;          /* "name=value\n" lines; NULL or "" for none */
	uint32_t timeout_ms;         /* 0: AGENT_TIMEOUT_DEFAULT_MS */
	uint32_t interval_ms;        /* recurring monitors only; 0 is a probe to the agent (ocf_is_probe) */
	uint32_t level;              /* OCF_CHECK_LEVEL */
	const char *migrate_source;  /* node names; migrate_to, migrate_from; else NULL */
	const char *migrate_target;
	bool here;                   /* agents_validate(): validate-all on this host, too */
	uint64_t epoch;              /* of the ownership that a start begins, CLUSTERD_EPOCH; 0: none */
};

/* Valid during the callback. */
struct agent_result {
	uint64_t op;
	uint32_t resource_id;
	enum agent_action action;
	enum agent_status status;
	int rc;                      /* enum ocf_rc */
	const char *text;            /* "" or why, for humans: one printable ASCII line < AGENT_TEXT_SIZE */
	const char *output;          /* first output_keep bytes of stdout and stderr as they came, any bytes; not NUL-terminated */
	size_t output_len;
	uint64_t output_total;       /* bytes the agent wrote in all */
	uint32_t duration_ms;        /* since the spawn */
	uint32_t queued_ms;          /* from request to spawn */
};

/* A recurring monitor found trouble, or health again after trouble. Healthy runs say nothing. */
struct agent_monitor_report {
	uint32_t resource_id;
	uint32_t level;
	uint32_t interval_ms;
	enum agent_status status;
	int rc;
	const char *text;
	uint32_t failures;           /* failed runs in a row, this one included; 0: recovered */
	uint32_t duration_ms;
};

struct agents_callbacks {
	void (*result)(void *user, const struct agent_result *result);
	void (*monitor)(void *user, const struct agent_monitor_report *report);
};

struct agents;

/*
 * Creates run_dir, run_dir/active, run_dir/running and rsctmp when missing, opens descriptors 0..2 on /dev/null when they are
 * closed, and adopts orphans: operations of an earlier instance still running. An orphan may run to the end of its own
 * time-out; operations of its resource wait; a stop request kills an orphaned start, monitor or reload at once.
 * Returns 0 or negative errno with the reason in error (AGENT_REPORT_SIZE bytes).
 */
int agents_new(qb_loop_t *loop, const struct agents_options *options, const struct agents_callbacks *callbacks,
	       void *user, struct agents **ret, char *error);

/*
 * Not from within a callback. No callback comes any more. Monitors, meta-data and validations are killed; operations that
 * change something go on and are orphans for the next agents_new() (they may die of SIGPIPE when they write): call it when
 * agents_pending(a, 0) is 0.
 */
void agents_free(struct agents *a);

/* NULL, or what is malformed about a request, as a sentence for the user: the cause of -EINVAL below. */
const char *agent_request_fault(const struct agent_request *rq);

/*
 * Accept an operation. Accepting a stop also ends the recurring monitors of the resource and kills one that is running.
 * -EINVAL request malformed (name, agent, params, ids), -ENOBUFS the resource has AGENT_QUEUE_MAX unfinished operations,
 * -EEXIST `op` is unfinished, -ENOMEM. An agent that is missing is accepted and reported by the result.
 */
int agents_run(struct agents *a, const struct agent_request *request);

/*
 * A waiting operation is dropped, a running one killed; the result (AGENT_CANCELLED, or its own when it was faster)
 * follows. -ENOENT: no such unfinished operation.
 */
int agents_cancel(struct agents *a, uint64_t op);

/*
 * (Re)start a recurring monitor; its key is (resource_id, level). action is ignored. The first run comes after a part of the
 * interval that depends on resource and level, so that the monitors of many resources spread; then one per interval. It never
 * overlaps another operation of the resource. -EINVAL, -ENOBUFS (AGENT_MONITOR_LEVELS), -ENOMEM.
 * May be called from a callback, as may agents_monitor_stop().
 */
int agents_monitor_start(struct agents *a, const struct agent_request *request);

/* End the recurring monitors of a resource, kill a running one; no report about it comes any more. */
void agents_monitor_stop(struct agents *a, uint32_t resource_id);

/* Unfinished operations of a resource, or of all (0). Recurring monitors do not count, orphans do. */
unsigned int agents_pending(const struct agents *a, uint32_t resource_id);

const char *agent_action_name(enum agent_action action); /* "start", …, "meta-data" */
const char *agent_status_name(enum agent_status status); /* "done", "timeout", … */
const char *agent_rc_name(int rc);                       /* "not running", … */

/* What may be running on this host; enough to stop it without the cluster database. */
struct agent_record {
	uint32_t resource_id;
	char resource[NAME_SIZE];
	char role[NAME_SIZE];
	char agent[AGENT_NAME_SIZE];
	char params[PARAMS_SIZE];
	uint32_t stop_timeout_ms;    /* that of the start request: what is known without the database */
};

/* Calls `each` for every record, in order of resource_id. 0, or negative errno (also of an unreadable record: `error` names it
 * and the remaining ones are still given). Works on run_dir alone, so also before agents_new(). */
int agents_record_list(const char *run_dir, void (*each)(void *user, const struct agent_record *record), void *user,
		       char *error);

/* ---- meta-data and validation ---- */

enum agent_param_type { AGENT_PARAM_STRING, AGENT_PARAM_INTEGER, AGENT_PARAM_BOOLEAN, AGENT_PARAM_SELECT };

struct agent_meta_param {
	char *name;
	char *shortdesc;     /* "" when absent, as below */
	char *value_default;
	char *choices;       /* select: values, one a line */
	enum agent_param_type type;
	bool required, unique;
};

struct agent_meta_action {
	char name[32];
	uint32_t timeout_ms;  /* 0: not stated */
	uint32_t interval_ms;
	uint32_t depth;       /* OCF_CHECK_LEVEL */
};

struct agent_meta {
	char agent[AGENT_NAME_SIZE];
	char *shortdesc;
	struct agent_meta_param *params;
	unsigned int param_count;
	struct agent_meta_action *actions;
	unsigned int action_count;
	char *xml;           /* as the agent printed it; NULL when memory was short */
};

/* The entry of an action (of monitor: that with this depth, else the first), or NULL: the agent does not have it. */
const struct agent_meta_action *agent_meta_action(const struct agent_meta *meta, const char *name, uint32_t depth);

struct agent_validation {
	int error;                     /* 0; -EINVAL parameters refused; -ENOENT no such agent; -EACCES not executable; -EBADMSG
					* meta-data unusable; -ETIME, -EIO the agent did not answer; -ECANCELED */
	const char *text;              /* "" or one line: agent, parameter, what is wrong, what to do */
	const struct agent_meta *meta; /* NULL when there is none; else valid during the callback */
};

typedef void (*agents_validated_fn)(void *user, const struct agent_validation *validation);

/* Meta-data of an agent, from the cache (key: path, inode, mtime, size) or by running it. `done` comes once, not from within. */
int agents_meta(struct agents *a, const char *agent, agents_validated_fn done, void *user);

/*
 * Check parameters against the agent's meta-data: unknown, missing, malformed. The agent's own validate-all is run only when the
 * request says `here`: it looks at this host, and the role may be for another. The request needs agent, params, resource.
 * `done` comes once, not from within. -EINVAL, -ENOBUFS, -ENOMEM.
 */
int agents_validate(struct agents *a, const struct agent_request *request, agents_validated_fn done, void *user);

/*
 * The callers of this `done` and `user` are gone: no callback of theirs comes any more. An agent that runs for nobody else is
 * killed. May be called from a callback.
 */
void agents_queries_cancel(struct agents *a, agents_validated_fn done, void *user);

/* The check itself, pure: 0 or -EINVAL with the line in error (AGENT_REPORT_SIZE bytes). */
int agent_meta_check(const struct agent_meta *meta, const char *params, char *error);

/* Parse meta-data. 0, -EBADMSG or -ENOMEM with the line in error (AGENT_REPORT_SIZE bytes). Free with agent_meta_free(). */
int agent_meta_parse(const char *agent, const char *xml, size_t len, struct agent_meta **ret, char *error);
void agent_meta_free(struct agent_meta *meta);

#endif
