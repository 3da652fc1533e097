/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What this node does itself: runs the operations the state gives it, watches what runs, tells what became of it, and
 * stops everything in time when quorum is lost.
 *
 * T_stop is counted from `confirmed_ms`: the last moment at which this node surely was with a majority. The others count
 * it from their first view without this node, which is later.
 */
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "clusterd/core/core_private.h"
#include "clusterd/core/resource.h"
#include "clusterd/core/timetable.h"
#include "clusterd/core/volume_use.h"
#include "text.h"

static const struct resource *own_resource(const struct core *c, uint32_t id)
{
	const struct resource *r = state_resource(c->state, id);

	return r && c->state->roles[r->role].owner == c->config.self ? r : NULL;
}

static bool self_online(const struct core *c)
{
	return core_active(c) && c->state->nodes[c->config.self].state == NODE_ONLINE;
}

void local_init(struct core *c)
{
	c->local.next_op = LOCAL_OP;
	c->local.kept = true;
	c->local.released = c->config.released;
	c->local.confirmed_ms = c->local.alive_ms = c->config.confirmed_mono_ms;
}

/* --- running operations --- */

static uint32_t timeout_ms(const struct resource *r, enum agent_action action)
{
	if (!r)
		return 60 * MS_PER_SECOND;
	return action == AGENT_STOP ? r->stop_timeout_ms : r->start_timeout_ms;
}

/* Resources above this one are neither in the state nor of any concern here. */
static uint32_t highest(const struct core *c)
{
	return c->local.high > c->state->high[KIND_RESOURCE] ? c->local.high : c->state->high[KIND_RESOURCE];
}

static void note_id(struct local *l, uint32_t id)
{
	if (l->high < id)
		l->high = id;
}

static void set_runs(struct local *l, uint32_t id, bool runs)
{
	note_id(l, id);
	if (l->runs[id] == runs)
		return;
	l->runs[id] = runs;
	l->n_runs += runs ? 1u : -1u;
}

static void agent_act(struct core *c, enum core_action_kind kind, uint32_t id, uint64_t op, enum agent_action action)
{
	struct core_action a = { .kind = kind };
	const struct resource *r = state_resource(c->state, id);

	a.agent.op = op;
	a.agent.action = action;
	a.agent.resource_id = id;
	a.agent.resource = r;
	a.agent.role = r ? state_role(c->state, r->role) : NULL;
	a.agent.timeout_ms = timeout_ms(r, action);
	core_act(c, &a);
}

static void run(struct core *c, uint32_t id, uint64_t op, enum agent_action action)
{
	struct local *l = &c->local;

	note_id(l, id);
	l->op[id] = op;
	l->op_action[id] = (uint8_t)action;
	l->n_ops++;
	if (action == AGENT_START) {
		/* Not started until the agent says so; stopped if it turns out that none was run. */
		l->found[id] = l->runs[id] ? RES_FAILED : RES_STARTING;
		set_runs(l, id, true);
	}
	agent_act(c, ACTION_AGENT_RUN, id, op, action);
}

static void stop_locally(struct core *c, uint32_t id)
{
	struct local *l = &c->local;

	if (l->op[id] || c->mono_ms < l->retry_ms[id])
		return;
	run(c, id, l->next_op++, AGENT_STOP);
}

/* --- following the state --- */

static uint32_t monitor_hash(const struct resource *r)
{
	uint32_t parts[] = { r->monitor_interval_ms, r->monitor_timeout_ms, r->deep_interval_ms, r->deep_level };
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		h = (h ^ parts[i]) * 16777619u;
	for (const char *p = r->params; *p; p++)
		h = (h ^ (uint8_t)*p) * 16777619u;
	return h ? h : 1;
}

static void reconcile_monitor(struct core *c, uint32_t id, const struct resource *r)
{
	struct local *l = &c->local;
	bool wanted = r && r->state == RES_STARTED && (r->monitor_interval_ms || r->deep_interval_ms);
	uint32_t hash = wanted ? monitor_hash(r) : 0;

	if (hash == l->monitored[id])
		return;
	l->monitored[id] = hash;
	agent_act(c, wanted ? ACTION_MONITOR_START : ACTION_MONITOR_STOP, id, 0, AGENT_MONITOR);
}

static void start_committed(struct core *c, uint32_t id);

static void drop_start(struct local *l, uint32_t id)
{
	l->n_starts -= l->start_seq[id] != 0;
	l->start_seq[id] = 0;
}

/* The operation the state gives this node: a start waits until a majority knows of it, everything else begins now. */
static void follow_op(struct core *c, uint32_t id, const struct resource *r)
{
	struct local *l = &c->local;
	bool known = r->op && (l->op[id] == r->op || (l->results[id].present && l->results[id].op == r->op));

	if (!r->op || known || r->op_action != AGENT_START)
		drop_start(l, id);
	if (!r->op || known || l->op[id])
		return;
	if (r->op_action != AGENT_START) {
		run(c, id, r->op, r->op_action);
	} else if (!l->start_seq[id]) {
		note_id(l, id);
		l->start_seq[id] = c->state->tag.seq;
		l->n_starts++;
		if (l->start_seq[id] <= c->ledger.committed)
			start_committed(c, id);
	}
}

void local_reconcile(struct core *c, uint32_t id)
{
	struct local *l = &c->local;
	const struct resource *r = own_resource(c, id);

	if (!core_active(c))
		return;
	reconcile_monitor(c, id, r);
	if (!r) {
		drop_start(l, id);
		if (l->runs[id])
			stop_locally(c, id); /* it runs here, and the state says it is not ours */
		return;
	}
	if (self_online(c))
		follow_op(c, id, r);
}

static void drop_result(struct local *l, uint32_t id)
{
	struct local_result *r = &l->results[id];

	l->n_results -= r->present;
	l->n_proposed -= r->proposed;
	r->present = r->proposed = 0;
}

static void send_inventory(struct core *c)
{
	uint8_t items[2 * RESOURCE_MAX];
	struct writer w = writer_of(items, sizeof(items));
	struct message m = { .type = MSG_INVENTORY };
	struct local *l = &c->local;

	for (uint32_t id = 1; id <= highest(c); id++) {
		/* What became of operations is in it, too; their numbers may be given anew. */
		drop_result(l, id);
		if (l->runs[id])
			put_u16(&w, (uint16_t)(id | (l->found[id] == RES_STARTED ? 0 : INVENTORY_FAILED)));
	}
	l->inventory_sent = true;
	local_volumes_push(c); /* first: with the inventory its roles go on */
	m.inventory.incarnation = c->config.incarnation;
	m.inventory.resources = (struct span){ items, writer_len(&w) };
	core_propose(c, &m);
}

/* A node that joined tells what runs on it when nothing is in flight and nothing runs that is not its own. */
static void check_inventory(struct core *c)
{
	struct local *l = &c->local;

	if (!core_active(c) || c->state->nodes[c->config.self].state != NODE_JOINING || !l->inventory_known ||
	    l->inventory_sent || l->n_ops)
		return;
	for (uint32_t id = 1; l->n_runs && id <= highest(c); id++)
		if (l->runs[id] && !own_resource(c, id))
			return;
	send_inventory(c);
}

void local_reconcile_all(struct core *c)
{
	for (uint32_t id = 1; id <= highest(c); id++)
		if (c->local.runs[id] || c->local.monitored[id] || c->local.start_seq[id] || state_resource(c->state, id))
			local_reconcile(c, id);
	check_inventory(c);
}

/* While a view is being agreed on quorum is not known to be lost: a join must not stop what runs. */
static bool quorum_lost(const struct core *c) { return c->phase == PHASE_NO_QUORUM || c->phase == PHASE_ALONE; }

static uint64_t doubt_limit_ms(const struct core *c)
{
	/* The database is lost, so what the others have agreed on is not known: what runs here is in doubt at once. */
	if (!state_get(c->state, KIND_CLUSTER, 1))
		return 0;
	return timetable_doubt_ms(core_cluster(c), !quorum_lost(c));
}

static uint64_t doubt_ms(const struct core *c) { return c->mono_ms - c->local.confirmed_ms; }

/* The others may have begun to count on this node's end, as far as it knows. */
static bool in_doubt(const struct core *c) { return !c->local.released && doubt_ms(c) >= doubt_limit_ms(c); }

static void start_committed(struct core *c, uint32_t id)
{
	struct local *l = &c->local;
	const struct resource *r = own_resource(c, id);

	/* What is read late, after this process was stopped, may be an order long overtaken. */
	if (in_doubt(c) && !CANARY(CANARY_NO_STOP))
		return;
	drop_start(l, id);
	if (r && r->op && r->op_action == AGENT_START && !l->op[id] && !l->stopping)
		run(c, id, r->op, AGENT_START);
}

void local_start_waiting(struct core *c)
{
	struct local *l = &c->local;

	for (uint32_t id = 1; l->n_starts && id <= c->state->high[KIND_RESOURCE]; id++)
		if (l->start_seq[id] && l->start_seq[id] <= c->ledger.committed)
			start_committed(c, id);
}

/* --- results --- */

static void propose_result(struct core *c, uint32_t id)
{
	struct local_result *r = &c->local.results[id];
	struct message m = { .type = MSG_RESULT };

	r->proposed = 1;
	c->local.n_proposed++;
	m.result.op = r->op;
	m.result.resource = id;
	m.result.action = r->action;
	m.result.rc = (uint16_t)r->rc;
	m.result.status = r->status;
	memcpy(m.result.output, r->output, sizeof(r->output));
	core_propose(c, &m);
}

static void push_results(struct core *c)
{
	struct local *l = &c->local;

	if (!self_online(c))
		return;
	for (uint32_t id = 1; l->n_results > l->n_proposed && l->n_proposed < RESULTS_WINDOW && id <= highest(c); id++)
		if (l->results[id].present && !l->results[id].proposed)
			propose_result(c, id);
}

static void keep_result(struct core *c, const struct core_event *e)
{
	struct local *l = &c->local;
	struct local_result *r = &l->results[e->agent.resource];

	drop_result(l, e->agent.resource);
	r->present = 1;
	l->n_results++;
	r->op = e->agent.op;
	r->rc = e->agent.rc;
	r->action = (uint8_t)e->agent.action;
	r->status = (uint8_t)e->agent.status;
	text_copy(r->output, sizeof(r->output), e->agent.output);
	push_results(c);
}

void local_result_applied(struct core *c, uint32_t id, uint64_t op)
{
	struct local *l = &c->local;

	if (id && id <= RESOURCE_MAX && l->results[id].present && l->results[id].op == op)
		drop_result(l, id);
	push_results(c);
}

static void operation_ended(struct core *c, const struct core_event *e)
{
	struct local *l = &c->local;
	uint32_t id = e->agent.resource;
	bool ok = e->agent.status == AGENT_DONE && e->agent.rc == OCF_SUCCESS;
	enum agent_action action = l->op_action[id];

	l->op[id] = 0;
	l->n_ops--;
	if (action == AGENT_STOP && ok) {
		set_runs(l, id, false);
		l->retry_ms[id] = 0;
	} else if (l->found[id] == RES_STARTING && resource_never_ran(action, e->agent.status)) {
		set_runs(l, id, false);
	} else if (action == AGENT_START) {
		l->found[id] = ok ? RES_STARTED : RES_FAILED;
	} else if (action == AGENT_STOP) {
		l->found[id] = RES_FAILED;
	}
	if (!(e->agent.op & LOCAL_OP)) {
		keep_result(c, e);
	} else if (!ok) {
		l->retry_ms[id] = c->mono_ms + LOCAL_RETRY_MS;
		core_trace(c, LOG_ERR, "resource %s could not be stopped here: %s",
			   state_name(c->state, KIND_RESOURCE, id) ? state_name(c->state, KIND_RESOURCE, id) : "?",
			   e->agent.output ? e->agent.output : "no word from its agent");
	}
}

/*
 * Of what a recurring monitor found, the others hear what makes a difference: a failure that is acted on, the first of those
 * that are left so, and the end of these.
 */
static void monitored(struct core *c, const struct core_event *e)
{
	uint32_t id = e->agent.resource;
	const struct resource *r = own_resource(c, id);
	bool left = r && role_leaves_failing(c->state, id);

	if (e->agent.status == AGENT_DONE && e->agent.rc == OCF_SUCCESS) {
		if (r && (r->failing || (left && c->local.results[id].present)))
			keep_result(c, e);
		return;
	}
	if (left && r->failing && r->last_rc == e->agent.rc && !c->local.results[id].present)
		return;
	if (!left)
		c->local.found[id] = RES_FAILED;
	keep_result(c, e);
}

void local_agent_result(struct core *c, const struct core_event *e)
{
	struct local *l = &c->local;
	uint32_t id = e->agent.resource;

	if (!id || id > RESOURCE_MAX)
		return;
	if (!e->agent.op) {
		if (CANARY(CANARY_START_UNQUORATE) && !core_active(c) && !l->op[id])
			run(c, id, LOCAL_OP | ++l->next_op, AGENT_START);
		if (l->runs[id] && !l->op[id] && !(l->results[id].present && l->results[id].op))
			monitored(c, e);
		return;
	}
	if (l->op[id] != e->agent.op)
		return;
	operation_ended(c, e);
	local_reconcile(c, id);
	check_inventory(c);
}

void local_inventory(struct core *c, const struct inventory_item *items, uint32_t n)
{
	struct local *l = &c->local;

	for (uint32_t i = 0; i < n; i++) {
		if (!items[i].resource || items[i].resource > RESOURCE_MAX || items[i].state == RES_STOPPED)
			continue;
		set_runs(l, items[i].resource, true);
		l->found[items[i].resource] = (uint8_t)items[i].state;
	}
	l->inventory_known = true;
	l->volumes_known = true; /* nothing was told of any before: there are none */
	if (!l->confirmed_ms)
		l->confirmed_ms = l->alive_ms = c->mono_ms;
	local_reconcile_all(c);
}

void local_inventory_applied(struct core *c)
{
	local_reconcile_all(c);
	push_results(c); /* what monitors found meanwhile */
}

void local_view_open(struct core *c)
{
	struct local *l = &c->local;
	bool joining = c->state->nodes[c->config.self].state == NODE_JOINING;

	if (!joining && l->hello_kept && !l->kept) {
		/* It began to stop its roles after its HELLO: the others count on what is not there any more. */
		l->restart_asked = true;
		core_act(c, &(struct core_action){ .kind = ACTION_RESTART,
						   .text = "roles were stopped for lack of quorum while a view was agreed on" });
		return;
	}
	l->inventory_sent = false;
	l->declare_in_flight = false;
	l->volumes_in_flight = false;
	l->disarm_seq = 0; /* positions are of the new epoch */
	l->stopping = false;
	l->kept = true;
	for (uint32_t id = 1; id <= highest(c); id++) {
		if (!CANARY(CANARY_LOST_RESULT))
			l->results[id].proposed = 0;
		l->retry_ms[id] = 0;
		/* Sequences begin anew with the epoch: what waited for one of the last waits for the opening now. */
		if (l->start_seq[id])
			l->start_seq[id] = c->state->tag.seq;
	}
	l->n_proposed = 0;
	local_reconcile_all(c);
	push_results(c);
}

/* --- without quorum --- */

/* From then on the host must be reset to keep T_stop. */
static uint64_t fence_self_at_ms(const struct core *c)
{
	return c->local.confirmed_ms + timetable_reset_ms(core_cluster(c), c->config.watchdog_ms);
}

static bool needed_locally(const struct core *c, uint32_t id)
{
	const struct resource *r = state_resource(c->state, id);

	for (uint32_t x = r ? c->state->role_resource[r->role] : 0; x; x = c->state->resource_next[x]) {
		const struct resource *other = &c->state->resources[x];

		for (uint32_t i = 0; x != id && c->local.runs[x] && i < DEPS_CLAUSE_MAX * DEPS_CHOICE_MAX; i++)
			if (other->depends[i / DEPS_CHOICE_MAX][i % DEPS_CHOICE_MAX] == id)
				return true;
	}
	return false;
}

/* An owner that stops first leaves those who write through it waiting, and their stops with them. */
static bool volume_used_locally(const struct core *c, uint32_t id)
{
	const struct resource *r = state_resource(c->state, id);
	uint32_t volume = r ? volume_of_role(c->state, r->role) : 0;

	for (uint32_t x = 1; volume && x <= highest(c); x++) {
		const struct resource *user = c->local.runs[x] ? state_resource(c->state, x) : NULL;

		if (user && volume_is_needed_by(&c->state->roles[user->role], volume))
			return true;
	}
	return false;
}

static void stop_everything(struct core *c)
{
	struct local *l = &c->local;

	for (uint32_t id = 1; id <= highest(c); id++) {
		drop_start(l, id);
		if (!l->runs[id])
			continue;
		if (l->op[id] && l->op_action[id] != AGENT_STOP)
			agent_act(c, ACTION_AGENT_CANCEL, id, l->op[id], l->op_action[id]);
		else if (!needed_locally(c, id) && !volume_used_locally(c, id))
			stop_locally(c, id);
	}
}

/* Resources first: they may have to write before they end. */
static void begin_stopping(struct core *c)
{
	if (!c->local.stopping)
		core_trace(c, LOG_WARNING,
			   "no majority has been heard of for %llu ms: this node stops its %u resources and %u mounts",
			   (unsigned long long)doubt_ms(c), c->local.n_runs, c->local.n_mounts);
	c->local.stopping = true;
	c->local.kept = false;
	stop_everything(c);
	if (!c->local.n_runs && c->local.n_mounts)
		core_act(c, &(struct core_action){ .kind = ACTION_VOLUMES_END });
}

/* Something here may act on what is shared: the others wait for its end, and so must a reset. */
static bool acts(const struct local *l) { return l->n_runs || l->n_mounts; }

static void tell_watchdog(struct core *c)
{
	struct local *l = &c->local;
	struct core_action a = { .kind = ACTION_WATCHDOG };

	a.watchdog.armed = !l->released;
	a.watchdog.t_stop_ms = core_cluster(c)->t_stop_ms;
	a.watchdog.until_mono_ms = acts(l) && !CANARY(CANARY_NO_STOP) ? fence_self_at_ms(c) : UINT64_MAX;
	a.watchdog.confirmed_mono_ms = l->confirmed_ms;
	if (l->watchdog_told && l->watchdog_armed == a.watchdog.armed && l->watchdog_until == a.watchdog.until_mono_ms)
		return;
	l->watchdog_told = true;
	l->watchdog_armed = a.watchdog.armed;
	l->watchdog_until = a.watchdog.until_mono_ms;
	core_act(c, &a);
}

static void fence_self(struct core *c, const char *why)
{
	struct core_action a = { .kind = ACTION_SELF_FENCE };

	if (c->local.self_fenced)
		return;
	c->local.self_fenced = true;
	a.text = why;
	core_act(c, &a);
}

static void check_doubt(struct core *c)
{
	struct local *l = &c->local;

	if (CANARY(CANARY_NO_STOP))
		return;
	if (!acts(l) && l->kept)
		return;
	if (!in_doubt(c)) {
		if (core_active(c) && !l->kept && !l->restart_asked && self_online(c)) {
			l->restart_asked = true;
			core_act(c, &(struct core_action){ .kind = ACTION_RESTART,
							   .text = "roles were stopped while the ring was silent" });
		}
		return;
	}
	begin_stopping(c);
	if (acts(l) && c->mono_ms >= fence_self_at_ms(c))
		fence_self(c, "T_stop is reached and not everything has stopped");
}

/*
 * The watchdog is released only when a majority knows that the cluster is disarmed: others that do not know would count on
 * it. After the cluster was armed again they count on it only when this node has said that it is armed.
 */
static void follow_disarm(struct core *c)
{
	struct local *l = &c->local;

	if (!core_active(c))
		return;
	if (!c->state->cluster.disarmed) {
		l->disarm_seq = 0;
		l->released = false;
		return;
	}
	if (!l->disarm_seq)
		l->disarm_seq = c->state->tag.seq;
	l->released |= c->ledger.committed >= l->disarm_seq;
}

static void declare_watchdog(struct core *c)
{
	const struct node *n = state_node(c->state, c->config.self);
	struct message m = { .type = MSG_DECLARE };

	if (!core_active(c) || !n || c->state->cluster.disarmed || c->local.declare_in_flight ||
	    n->watchdog_ms == c->config.watchdog_ms)
		return;
	c->local.declare_in_flight = true;
	m.declare.incarnation = c->config.incarnation;
	m.declare.watchdog_ms = c->config.watchdog_ms;
	core_propose(c, &m);
}

/*
 * Stops what runs here and belongs elsewhere. True: one of these did not stop when it was told to. It may run on its owner,
 * too; and until it has stopped this node, should it be joining, cannot tell what else it runs.
 */
static bool stop_strays(struct core *c)
{
	struct local *l = &c->local;
	bool stuck = false;

	for (uint32_t id = 1; l->n_runs && id <= highest(c); id++) {
		if (!l->runs[id] || own_resource(c, id))
			continue;
		stuck |= l->retry_ms[id] != 0;
		stop_locally(c, id);
	}
	return stuck;
}

void local_tick(struct core *c)
{
	struct local *l = &c->local;

	follow_disarm(c);
	if (!l->released && l->inventory_known)
		check_doubt(c);
	if (core_active(c)) {
		bool stuck = stop_strays(c);

		check_inventory(c);
		if (c->state->nodes[c->config.self].fence_asked && !l->released)
			fence_self(c, c->state->nodes[c->config.self].fence_reason == REASON_VOLUME_SILENT ?
					      "the owner of a volume got no answer from this node" :
					      "a resource could not be stopped on this node");
		if (stuck && !l->released && !c->state->cluster.disarmed)
			fence_self(c, "a resource that does not belong to this node could not be stopped");
	}
	tell_watchdog(c);
	declare_watchdog(c);
	local_volumes_push(c);
}

uint32_t local_list_strays(const struct core *c, char *out, size_t size)
{
	uint32_t n = 0;
	size_t at = 0;

	out[0] = '\0';
	for (uint32_t id = 1; c->local.n_runs && id <= highest(c); id++) {
		const char *name = state_name(c->state, KIND_RESOURCE, id);

		if (!c->local.runs[id] || own_resource(c, id))
			continue;
		if (at < size)
			at += (size_t)snprintf(out + at, size - at, "%s%s", n ? ", " : "", name ? name : "?");
		n++;
	}
	return n;
}

uint32_t local_stop_left_ms(const struct core *c)
{
	uint64_t at = c->local.confirmed_ms + core_cluster(c)->t_stop_ms;

	if (!acts(&c->local) || c->local.released || (!quorum_lost(c) && doubt_ms(c) < doubt_limit_ms(c)))
		return 0;
	return at > c->mono_ms ? (uint32_t)(at - c->mono_ms) : 1;
}
