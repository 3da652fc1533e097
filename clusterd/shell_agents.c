/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Resources: what the core orders, with the agents; what may still run after a start of clusterd. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/log.h"
#include "clusterd/shell_private.h"
#include "text.h"

#define OUTPUT_KEEP (64 * 1024)          /* meta-data for clients comes whole */
#define PROBE_OP ((uint64_t)3 << 62)     /* probes of the first moments; the core's own numbers never reach here */
#define PROBE_TIMEOUT_MS 30000

static void forget_started(struct started *st)
{
	free(st->agent);
	free(st->params);
	free(st->name);
	free(st->role);
	*st = (struct started){ NULL, NULL, NULL, NULL };
}

static void keep_started(struct started *st, const char *name, const char *role, const char *agent, const char *params)
{
	forget_started(st);
	st->name = strdup(name);
	st->role = strdup(role);
	st->agent = strdup(agent);
	st->params = strdup(params);
}

static bool is_started(const struct started *st) { return st->name && st->role && st->agent && st->params; }

/* --- results --- */

static void report(struct shell *s, const struct agent_result *r)
{
	struct core_event e = { .kind = EVENT_AGENT_RESULT };
	bool ok = r->status == AGENT_DONE && r->rc == OCF_SUCCESS;
	const char *name = s->started[r->resource_id].name;

	log_at(ok ? LOG_INFO : LOG_WARNING, "agent", "resource=%s action=%s status=%s rc=%d ms=%u queued_ms=%u text=%s",
	       name ? name : "?", agent_action_name(r->action), agent_status_name(r->status), r->rc, r->duration_ms, r->queued_ms,
	       log_quote(r->text));
	if (r->action == AGENT_STOP && ok)
		forget_started(&s->started[r->resource_id]);
	e.agent.op = r->op;
	e.agent.resource = r->resource_id;
	e.agent.action = r->action;
	e.agent.rc = (uint32_t)r->rc;
	e.agent.status = r->status;
	e.agent.output = r->text;
	shell_step(s, &e);
}

static void give_inventory(struct shell *s)
{
	struct core_event e = { .kind = EVENT_INVENTORY };

	if (s->n_probes)
		return;
	e.inventory.items = s->inventory;
	e.inventory.n = s->n_inventory;
	shell_step(s, &e);
	free(s->inventory);
	s->inventory = NULL;
}

/* What a resource that may still run turned out to be. */
static void probed(struct shell *s, const struct agent_result *r)
{
	uint32_t state = RES_FAILED;

	if (r->status == AGENT_DONE && (r->rc == OCF_SUCCESS || r->rc == OCF_DEGRADED))
		state = RES_STARTED;
	else if (r->status == AGENT_DONE && r->rc == OCF_NOT_RUNNING)
		state = RES_STOPPED;
	log_notice("found", "resource=%s state=%s text=%s", s->started[r->resource_id].name,
		   enum_text(enum_values_resource_state, state), log_quote(r->text));
	if (state == RES_STOPPED)
		forget_started(&s->started[r->resource_id]);
	s->inventory[s->n_inventory++] = (struct inventory_item){ r->resource_id, state };
	s->n_probes--;
	give_inventory(s);
}

static void on_result(void *user, const struct agent_result *r)
{
	struct shell *s = user;

	if ((r->op & PROBE_OP) == PROBE_OP)
		probed(s, r);
	else
		report(s, r);
}

static void on_monitor(void *user, const struct agent_monitor_report *r)
{
	struct shell *s = user;
	struct core_event e = { .kind = EVENT_AGENT_RESULT };

	const char *name = s->started[r->resource_id].name ? s->started[r->resource_id].name : "?";

	if (r->failures)
		log_warning("monitor", "resource=%s status=%s rc=%d failures=%u text=%s", name, agent_status_name(r->status), r->rc,
			    r->failures, log_quote(r->text));
	else
		log_notice("monitor", "resource=%s status=good", name);
	e.agent.resource = r->resource_id;
	e.agent.action = AGENT_MONITOR;
	e.agent.rc = r->failures ? (uint32_t)r->rc : OCF_SUCCESS; /* promoted is good, too */
	e.agent.status = r->status;
	e.agent.output = r->text;
	shell_step(s, &e);
}

/* --- orders --- */

/* A start takes what is configured; everything later what it was started with. A reload takes the new parameters. */
static bool fill_request(struct shell *s, const struct core_action *a, struct agent_request *rq)
{
	struct started *st = &s->started[a->agent.resource_id];
	const struct resource *r = a->agent.resource;

	if (r && a->agent.role && (a->agent.action == AGENT_START || a->agent.action == AGENT_RELOAD || !is_started(st)))
		keep_started(st, r->object.used ? r->name : "", a->agent.role->name, r->agent, r->params);
	if (!is_started(st))
		return false;
	*rq = (struct agent_request){
		.op = a->agent.op,
		.action = a->agent.action,
		.resource_id = a->agent.resource_id,
		.resource = st->name,
		.role = st->role,
		.agent = st->agent,
		.params = st->params,
		.timeout_ms = a->agent.timeout_ms,
		.epoch = r && a->agent.action == AGENT_START ? shell_epoch(r->since_ms, a->agent.op) : 0,
	};
	return true;
}

static void cannot_run(struct shell *s, const struct core_action *a, const char *why)
{
	struct core_event e = { .kind = EVENT_AGENT_RESULT };
	/* A stop of something this host knows nothing of: no record, so it was never started here. */
	bool unknown_stop = !why && a->agent.action == AGENT_STOP;

	e.agent.op = a->agent.op;
	e.agent.resource = a->agent.resource_id;
	e.agent.action = a->agent.action;
	e.agent.status = unknown_stop ? AGENT_DONE : AGENT_SPAWN_FAILED;
	e.agent.rc = unknown_stop ? OCF_SUCCESS : OCF_ERR_GENERIC;
	e.agent.output = "the agent could not be run here; the log of this node says why";
	log_error("agent_not_run", "resource=%u action=%s why=%s", a->agent.resource_id, agent_action_name(a->agent.action),
		  log_quote(why ? why : "nothing is known of it on this host"));
	shell_step_later(s, &e);
}

static void run(struct shell *s, const struct core_action *a)
{
	struct agent_request rq;
	const char *fault;
	int ret;

	if (!fill_request(s, a, &rq)) {
		cannot_run(s, a, NULL);
		return;
	}
	ret = agents_run(s->agents, &rq);
	if (!ret)
		return;
	fault = agent_request_fault(&rq);
	cannot_run(s, a, fault ? fault : strerror(-ret));
}

static void start_monitor(struct shell *s, const struct core_action *a, uint32_t interval_ms, uint32_t level)
{
	struct agent_request rq;
	int ret;

	if (!interval_ms || !fill_request(s, a, &rq))
		return;
	rq.interval_ms = interval_ms;
	rq.level = level;
	rq.timeout_ms = a->agent.resource->monitor_timeout_ms;
	ret = agents_monitor_start(s->agents, &rq);
	if (ret)
		log_error("monitor_not_run", "resource=%s error=%s", rq.resource, log_quote(strerror(-ret)));
}

void shell_agents_act(struct shell *s, const struct core_action *a)
{
	const struct resource *r = a->agent.resource;

	switch (a->kind) {
	case ACTION_AGENT_RUN:
		run(s, a);
		break;
	case ACTION_AGENT_CANCEL:
		agents_cancel(s->agents, a->agent.op);
		break;
	case ACTION_MONITOR_START:
		agents_monitor_stop(s->agents, a->agent.resource_id);
		start_monitor(s, a, r->monitor_interval_ms, 0);
		start_monitor(s, a, r->deep_interval_ms, r->deep_level);
		break;
	default:
		agents_monitor_stop(s->agents, a->agent.resource_id);
		break;
	}
}

/* --- the first moments --- */

static void note_record(void *user, const struct agent_record *record)
{
	(void)record;
	*(bool *)user = true;
}

bool shell_agents_recorded(const struct shell *s)
{
	char error[AGENT_REPORT_SIZE];
	bool any = false;

	/* What cannot be read may stand for something that runs. */
	return agents_record_list(s->options.run_dir, note_record, &any, error) || any;
}

static void probe(void *user, const struct agent_record *record)
{
	struct shell *s = user;
	struct started *st = &s->started[record->resource_id];
	struct agent_request rq = {
		.op = PROBE_OP | ++s->next_probe,
		.action = AGENT_MONITOR,
		.resource_id = record->resource_id,
		.timeout_ms = PROBE_TIMEOUT_MS,
	};

	keep_started(st, record->resource, record->role, record->agent, record->params);
	rq.resource = st->name;
	rq.role = st->role;
	rq.agent = st->agent;
	rq.params = st->params;
	/* An action of the run before is still on its way: whatever it does, the stop that a failed resource gets ends it. */
	if (is_started(st) && !agents_pending(s->agents, record->resource_id) && !agents_run(s->agents, &rq))
		s->n_probes++;
	else
		s->inventory[s->n_inventory++] = (struct inventory_item){ record->resource_id, RES_FAILED };
}

/* What agents of volumes are told, beside what every agent is: ocf_clusterd_volume(7). */
struct agent_words {
	char words[7][PATH_MAX + 32];
	const char *list[8];
};

static const char *const *agent_words(struct shell *s, struct agent_words *w)
{
	char address[TEXT_SIZE] = "", program[PATH_MAX];
	size_t n = 0;

	if (ring_address(s->ring, s->self, address, sizeof(address)))
		log_warning("no_address", "node=%s consequence=%s", s->node_name,
			    log_quote("corosync knows no numeric address of this node: it cannot own volumes"));
	shell_find_program("csvfs-owner", program, sizeof(program));
	snprintf(w->words[n++], sizeof(w->words[0]), "CLUSTERD_NODE_ID=%u", s->self);
	snprintf(w->words[n++], sizeof(w->words[0]), "CLUSTERD_INCARNATION=%llu",
		 (unsigned long long)core_incarnation(s->core));
	snprintf(w->words[n++], sizeof(w->words[0]), "CLUSTERD_ADDRESS=%s", address);
	snprintf(w->words[n++], sizeof(w->words[0]), "CLUSTERD_RUN_DIR=%s", s->options.run_dir);
	snprintf(w->words[n++], sizeof(w->words[0]), "CLUSTERD_LOG_FILE=%s", s->options.log_file);
	snprintf(w->words[n++], sizeof(w->words[0]), "CLUSTERD_VOLUME_KEY=%s", s->options.volume_key);
	snprintf(w->words[n++], sizeof(w->words[0]), "CLUSTERD_CSVFS_OWNER=%s", program);
	for (size_t i = 0; i < n; i++)
		w->list[i] = w->words[i];
	w->list[n] = NULL;
	return w->list;
}

int shell_agents_open(struct shell *s, char *text, size_t text_size)
{
	struct agent_words words;
	struct agents_options options = {
		.ocf_root = s->options.ocf_root,
		.run_dir = s->options.run_dir,
		.node_name = s->node_name,
		.cluster_name = s->options.cluster_name,
		.environment = agent_words(s, &words),
		.output_keep = OUTPUT_KEEP,
		.max_parallel = s->options.agent_parallel,
	};
	struct agents_callbacks callbacks = { on_result, on_monitor };
	char error[AGENT_REPORT_SIZE] = "";
	int ret = agents_new(s->loop, &options, &callbacks, s, &s->agents, error);

	if (ret) {
		text_copy(text, text_size, error);
		return ret;
	}
	s->inventory = calloc(RESOURCE_MAX, sizeof(*s->inventory));
	if (!s->inventory)
		return -ENOMEM;
	ret = agents_record_list(s->options.run_dir, probe, s, error);
	if (ret)
		log_error("record_unreadable", "text=%s", log_quote(error));
	give_inventory(s);
	return 0;
}

void shell_agents_close(struct shell *s)
{
	if (s->agents)
		agents_free(s->agents);
	for (uint32_t id = 1; id <= RESOURCE_MAX; id++)
		forget_started(&s->started[id]);
	free(s->inventory);
}
