/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Agents and what they start. Operations of a resource run one after the other; what runs outlives clusterd, not the
 * host. */
#include <assert.h>
#include <string.h>

#include "tests/sim/world.h"

static struct sim_resource *resource_of(struct sim_node *n, uint32_t id)
{
	assert(id && id < SIM_RESOURCES);
	return &n->resources[id];
}

/* An operation that has just begun: how long it takes and how it ends is drawn now, its effect comes with the end. */
static void op_begin(struct world *w, struct sim_node *n, uint32_t id)
{
	struct sim_resource *r = resource_of(n, id);
	const struct agent_op *op = &r->ops[0];
	uint32_t mean = op->action == AGENT_START  ? w->options.start_ms
			: op->action == AGENT_STOP ? w->options.stop_ms
						   : w->options.monitor_ms;
	uint32_t fail = op->action == AGENT_START  ? w->options.start_fail_permille
			: op->action == AGENT_STOP ? w->options.stop_fail_permille
						   : w->options.monitor_fail_permille;
	uint64_t ms = 1 + mean / 2 + rng_below(&w->rng, mean + 1);

	r->generation++;
	r->ended = false;
	r->end_status = AGENT_DONE;
	r->end_rc = OCF_SUCCESS;
	if (op->cancelled) {
		r->ended = true;
		r->end_status = AGENT_CANCELLED;
		r->end_rc = OCF_ERR_GENERIC;
		world_push(w, w->now_us + US_PER_MS, SIM_AGENT, n->id, 0, id, r->generation);
		return;
	}
	if (w->agents_bad && rng_permille(&w->rng, w->options.hang_permille))
		ms = UINT32_MAX;
	else if (w->agents_bad && rng_permille(&w->rng, fail))
		r->end_rc = OCF_ERR_GENERIC;
	if (op->action == AGENT_START) {
		w->counts[COUNT_agent_starts]++;
		r->may_run = true;
	} else if (op->action == AGENT_STOP) {
		w->counts[COUNT_agent_stops]++;
		r->monitored = false;
	} else if (op->action == AGENT_RELOAD) {
		w->counts[COUNT_agent_reloads]++;
	} else {
		w->counts[COUNT_agent_probes]++;
	}
	if (ms >= op->timeout_ms) {
		ms = op->timeout_ms;
		r->end_status = AGENT_TIMEOUT;
		r->end_rc = OCF_ERR_GENERIC;
	}
	world_push(w, w->now_us + ms * US_PER_MS, SIM_AGENT, n->id, 0, id, r->generation);
}

void agents_run(struct world *w, struct sim_node *n, const struct core_action *a)
{
	uint32_t id = a->agent.resource_id;
	struct sim_resource *r = resource_of(n, id);

	if (a->agent.action == AGENT_START && a->agent.resource) {
		check_start(w, n, id, a->agent.role ? a->agent.role->object.id : a->agent.resource->role);
		r->role = a->agent.resource->role;
	}
	if (a->agent.action == AGENT_STOP)
		r->monitored = false;
	if (r->n_ops == SIM_AGENT_QUEUE) {
		check_fail(w, VERDICT_SAFETY, "bounds", "n%u has %u operations of resource %u waiting", n->id, r->n_ops,
			   id);
		return;
	}
	r->ops[r->n_ops++] = (struct agent_op){ a->agent.op, a->agent.action, a->agent.timeout_ms, false };
	if (r->n_ops == 1)
		op_begin(w, n, id);
}

/* What an operation has done to the resource when it ended so. */
static void op_effect(struct world *w, struct sim_resource *r)
{
	const struct agent_op *op = &r->ops[0];
	bool ok = r->end_status == AGENT_DONE && r->end_rc == OCF_SUCCESS;

	if (op->action == AGENT_START) {
		/* A failed or killed start may have left it running. */
		r->runs = ok || r->runs || rng_percent(&w->rng, 50);
		r->sick = false;
	} else if (op->action == AGENT_STOP && ok) {
		r->runs = r->may_run = r->sick = false;
	} else if (op->action == AGENT_STOP) {
		r->runs = r->runs && rng_percent(&w->rng, 50);
	} else if (op->action == AGENT_MONITOR && ok && !r->runs) {
		r->end_rc = OCF_NOT_RUNNING;
		r->may_run = false;
	} else if (op->action == AGENT_MONITOR && ok && r->sick) {
		r->end_rc = OCF_ERR_GENERIC;
	}
	if (!ok)
		w->counts[r->end_status == AGENT_TIMEOUT ? COUNT_agent_timeouts : COUNT_agent_failures]++;
}

static void report(struct world *w, struct sim_node *n, uint32_t id, struct agent_op op, enum agent_status status,
		   uint32_t rc)
{
	struct core_event e;

	memset(&e, 0, sizeof(e));
	e.kind = EVENT_AGENT_RESULT;
	e.agent.op = op.op;
	e.agent.resource = id;
	e.agent.action = op.action;
	e.agent.rc = rc;
	e.agent.status = status;
	e.agent.output = status == AGENT_TIMEOUT ? "timed out" : rc ? "simulated failure" : "";
	world_mix(w, op.op << 16 | rc << 8 | status);
	if (world_tracing(w))
		world_trace(w, n, "%s of resource %u ends: rc %u, status %u",
			    enum_text(enum_values_agent_action, op.action), id, rc, status);
	node_step(w, n, &e);
}

void agents_ended(struct world *w, struct sim_node *n, uint32_t id, uint32_t generation)
{
	struct sim_resource *r = resource_of(n, id);
	struct agent_op op;
	enum agent_status status;
	uint32_t rc;

	if (r->generation != generation || !r->n_ops)
		return;
	if (!r->ended)
		op_effect(w, r);
	r->ended = true;
	if (!node_runs(n)) {
		/* The agent has ended; clusterd will read of it when it goes on. */
		node_defer(n, &(struct event_record){
				      .kind = SIM_AGENT, .node = (uint8_t)n->id, .a = id, .b = generation });
		return;
	}
	op = r->ops[0];
	status = r->end_status;
	rc = r->end_rc;
	memmove(r->ops, r->ops + 1, --r->n_ops * sizeof(r->ops[0]));
	if (r->n_ops)
		op_begin(w, n, id);
	report(w, n, id, op, status, rc);
}

void agents_cancel(struct world *w, struct sim_node *n, uint64_t op, uint32_t id)
{
	struct sim_resource *r;

	if (!id)
		return;
	w->counts[COUNT_agent_cancels]++;
	r = resource_of(n, id);
	for (uint32_t i = 0; i < r->n_ops; i++) {
		if (r->ops[i].op != op)
			continue;
		if (i == 0) {
			r->generation++;
			r->end_status = AGENT_CANCELLED;
			r->end_rc = OCF_ERR_GENERIC;
			world_push(w, w->now_us + rng_range(&w->rng, 100, 5000), SIM_AGENT, n->id, 0, id,
				   r->generation);
		} else {
			r->ops[i].cancelled = true; /* never begun: answered when its turn comes */
		}
		return;
	}
}

/* ---- recurring monitors: only trouble, and its end, is reported ---- */

void agents_monitor(struct world *w, struct sim_node *n, const struct resource *resource)
{
	uint32_t id = resource->object.id;
	struct sim_resource *r = resource_of(n, id);

	r->monitor_generation++;
	r->monitored = resource->monitor_interval_ms != 0;
	r->reported = false;
	r->interval_ms = resource->monitor_interval_ms;
	r->monitor_timeout_ms = resource->monitor_timeout_ms;
	if (r->monitored)
		world_push(w, w->now_us + (1 + rng_below(&w->rng, r->interval_ms)) * US_PER_MS, SIM_MONITOR, n->id, 0,
			   id, r->monitor_generation);
}

void agents_monitor_stop(struct sim_node *n, uint32_t id)
{
	struct sim_resource *r = resource_of(n, id);

	r->monitored = false;
	r->monitor_generation++;
}

void agents_monitored(struct world *w, struct sim_node *n, uint32_t id, uint32_t generation)
{
	struct sim_resource *r = resource_of(n, id);
	bool bad;
	uint32_t rc;

	if (!r->monitored || r->monitor_generation != generation)
		return;
	world_push(w, w->now_us + r->interval_ms * US_PER_MS, SIM_MONITOR, n->id, 0, id, generation);
	if (r->n_ops || !node_runs(n))
		return;
	rc = !r->runs ? OCF_NOT_RUNNING : r->sick ? OCF_ERR_GENERIC : OCF_SUCCESS;
	if (w->agents_bad && rng_permille(&w->rng, w->options.monitor_fail_permille))
		rc = OCF_ERR_GENERIC;
	bad = rc != OCF_SUCCESS;
	if (bad || r->reported) {
		w->counts[COUNT_monitor_reports]++;
		r->reported = bad;
		report(w, n, id, (struct agent_op){ 0, AGENT_MONITOR, 0, false }, AGENT_DONE, rc);
	}
}

/* ---- the end of clusterd, of the host; the record a new clusterd finds ---- */

void agents_crash(struct world *w, struct sim_node *n)
{
	for (uint32_t id = 1; id < SIM_RESOURCES; id++) {
		struct sim_resource *r = &n->resources[id];

		if (r->n_ops && r->ops[0].action != AGENT_MONITOR)
			op_effect(w, r); /* the orphan went on to its end, or was killed: both are drawn */
		r->sick = r->sick || (r->n_ops && r->runs && r->ops[0].action != AGENT_MONITOR);
		r->n_ops = 0;
		r->generation++;
		r->monitor_generation++;
		r->monitored = false;
	}
}

void agents_reset(struct sim_node *n)
{
	for (uint32_t id = 1; id < SIM_RESOURCES; id++) {
		struct sim_resource *r = &n->resources[id];

		*r = (struct sim_resource){ .generation = r->generation + 1,
					    .monitor_generation = r->monitor_generation + 1 };
	}
}

/* clusterd probes what its record names: running, not running, or neither, which must be stopped. */
void agents_inventory(struct world *w, struct sim_node *n)
{
	struct inventory_item items[SIM_RESOURCES];
	struct core_event e;
	uint32_t count = 0;

	for (uint32_t id = 1; id < SIM_RESOURCES; id++) {
		struct sim_resource *r = &n->resources[id];

		if (!r->may_run)
			continue;
		items[count].resource = id;
		items[count++].state = !r->runs ? RES_STOPPED : r->sick ? RES_FAILED : RES_STARTED;
		if (!r->runs)
			r->may_run = false;
	}
	memset(&e, 0, sizeof(e));
	e.kind = EVENT_INVENTORY;
	e.inventory.items = items;
	e.inventory.n = count;
	if (world_tracing(w))
		for (uint32_t i = 0; i < count; i++)
			world_trace(w, n, "record: resource %u is %s", items[i].resource,
				    enum_text(enum_values_resource_state, items[i].state));
	node_step(w, n, &e);
}
