/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The step function: one event in, replicated state and actions out. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "clusterd/core/canary.h"
#include "clusterd/core/core_private.h"
#include "clusterd/core/timetable.h"

/* --- tools of all files --- */

void core_act(struct core *c, const struct core_action *a) { c->sink->act(c->sink->user, a); }

void core_trace(struct core *c, int priority, const char *format, ...)
{
	struct core_action a = { .kind = ACTION_TRACE };
	char text[2 * TEXT_SIZE];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	a.trace.priority = priority;
	a.trace.text = text;
	core_act(c, &a);
}

const char *core_node_name(const struct core *c, uint32_t id)
{
	const char *name = state_name(c->state, KIND_NODE, id);

	if (name)
		return name;
	return id <= NODE_MAX && nodeset_has(c->view.hello_in, id) ? c->view.hello[id].node_name : "?";
}

void core_list_names(const struct core *c, nodeset_t set, char *out, size_t size)
{
	size_t at = 0;

	out[0] = '\0';
	for (; set && at < size; set &= set - 1) {
		uint32_t id = nodeset_first(set);
		const char *name = core_node_name(c, id), *sep = at ? ", " : "";

		if (strcmp(name, "?"))
			at += (size_t)snprintf(out + at, size - at, "%s%s", sep, name);
		else
			at += (size_t)snprintf(out + at, size - at, "%snode %u", sep, id);
	}
}

void core_propose(struct core *c, struct message *m)
{
	struct core_action a = { .kind = ACTION_PROPOSE };
	int len;

	m->cluster_id = c->state->cluster.cluster_id;
	m->view = c->view.number;
	m->sent_ms = c->wall_ms;
	len = message_encode(m, c->frame, sizeof(c->frame));
	if (len < 0) {
		core_trace(c, LOG_ERR, "message %s is too long to send", message_name(m->type));
		return;
	}
	a.frame = (struct span){ c->frame, (size_t)len };
	core_act(c, &a);
}

uint64_t core_middle_clock_ms(const struct core *c, const uint64_t clocks[NODE_MAX + 1])
{
	uint64_t sorted[NODE_MAX];
	uint32_t n = 0;

	for (uint32_t id = 1; id <= NODE_MAX; id++) {
		uint32_t at;

		if (!nodeset_has(core_participants(c), id))
			continue;
		for (at = n++; at > 0 && sorted[at - 1] > clocks[id]; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = clocks[id];
	}
	return n ? sorted[(n - 1) / 2] : 0;
}

nodeset_t core_participants(const struct core *c) { return c->view.members & ~c->view.excluded; }

bool core_is_actor(const struct core *c, uint64_t waited_ms)
{
	nodeset_t before = core_participants(c) & (NODE_BIT(c->config.self) - 1);

	return waited_ms >= (uint64_t)nodeset_count(before) * ACTOR_STAGGER_MS;
}

static void reconcile_dirty(struct core *c)
{
	struct state *s = c->state;

	for (uint32_t i = 0; i < s->n_dirty; i++) {
		uint32_t kind = s->dirty[i] >> 24, id = s->dirty[i] & 0xffffff;

		if (kind == KIND_RESOURCE)
			local_reconcile(c, id);
		else if (kind == KIND_ROLE)
			for (uint32_t res = s->role_resource[id]; res; res = s->resource_next[res])
				local_reconcile(c, res);
	}
}

void core_settle(struct core *c)
{
	struct ledger *l = &c->ledger;
	uint64_t seq = c->state->tag.seq;

	engine_run(&c->engine, c->state);
	reconcile_dirty(c);
	state_commit(c->state, c->sink);
	l->digest_seq[seq % DIGESTS_KEPT] = seq;
	l->digest[seq % DIGESTS_KEPT] = c->state->digest;
	ledger_commit(c);
}

/* --- ordered messages --- */

static void apply_change(struct core *c, uint32_t sender, const struct msg_change *m)
{
	struct node *n = &c->state->nodes[sender];
	struct timetable_basis before = timetable_basis(&c->state->cluster);
	bool applied, disarmed = c->state->cluster.disarmed;

	if (!state_node(c->state, sender) || n->incarnation != m->incarnation || m->request <= n->last_request)
		return;
	applied = change_apply(c->state, core_participants(c), m->ops.data, m->ops.len, &c->op_scratch, &c->outcome);
	if (applied) {
		((struct node *)state_edit(c->state, KIND_NODE, sender))->last_request = m->request;
		/* Who has not heard of a shorter time keeps to the longer one: a watchdog counts again when its node says so. */
		if ((c->state->cluster.disarmed && !disarmed) || timetable_shortened(before, &c->state->cluster))
			node_disarm(c->state);
		engine_touch_all(&c->engine, c->state);
	}
	if (sender == c->config.self)
		requests_applied(c, m, applied);
}

static void apply_time(struct core *c, const struct msg_time *m)
{
	struct state *s = c->state;
	uint64_t now = m->now_ms;

	c->clock_in_flight = false;
	if (CANARY(CANARY_LOCAL_CLOCK))
		now = c->wall_ms;
	if (now <= s->cluster.now_ms)
		return;
	if (now - s->cluster.now_ms > CLOCK_JUMP_MAX_MS)
		now = s->cluster.now_ms + CLOCK_JUMP_MAX_MS;
	node_clock(&c->engine, s, now);
	role_clock(&c->engine, s, now);
	c->clock_moved_ms = c->mono_ms;
	c->changed_since_clock = false;
}

/* The same on every node, so by the names in the state: "3, 2 needed: n1, n2, witness". */
static void votes_text(const struct state *s, struct votes v, char *out, size_t size)
{
	uint32_t total = votes_total(v);
	size_t at = (size_t)snprintf(out, size, "%u, %u needed:", total, total / 2 + 1);
	const char *sep = " ";

	for (nodeset_t nodes = v.nodes; nodes && at < size; nodes &= nodes - 1, sep = ", ") {
		const char *name = state_name(s, KIND_NODE, nodeset_first(nodes));

		if (name)
			at += (size_t)snprintf(out + at, size - at, "%s%s", sep, name);
		else
			at += (size_t)snprintf(out + at, size - at, "%snode %u", sep, nodeset_first(nodes));
	}
	if (v.witness && at < size)
		snprintf(out + at, size - at, "%switness", sep);
}

static void apply_votes(struct core *c, const struct msg_votes *m)
{
	struct votes now = votes_of(c->state);
	char text[TEXT_SIZE];

	c->votes_in_flight = false;
	if (now.nodes != m->before || now.witness != m->witness_before)
		return;
	for (uint32_t id = 1; id <= NODE_MAX; id++)
		if (state_node(c->state, id) && c->state->nodes[id].vote != (uint32_t)nodeset_has(m->votes, id))
			((struct node *)state_edit(c->state, KIND_NODE, id))->vote = (uint32_t)nodeset_has(m->votes, id);
	((struct cluster *)state_edit(c->state, KIND_CLUSTER, 1))->unseen_votes &= m->votes;
	((struct cluster *)state_edit(c->state, KIND_CLUSTER, 1))->witness_vote = m->witness_vote;
	votes_text(c->state, votes_of(c->state), text, sizeof(text));
	event_add(c->state, &(struct event_about){ REASON_VOTES, KIND_CLUSTER, 1, 0, 0, text });
}

/* Void when the node was resumed meanwhile: it may have been given roles, and started them. */
static void apply_leave(struct core *c, uint32_t sender, const struct msg_leave *m)
{
	const struct node *n = state_node(c->state, sender);

	if (n && n->incarnation == m->incarnation && n->admin == ADMIN_STOPPING &&
	    (CANARY(CANARY_LEAVE_RUNNING) || !c->state->load[sender].roles))
		node_left(&c->engine, c->state, sender);
}

static void apply_fenced(struct core *c, const struct msg_fenced *m)
{
	if (state_node(c->state, m->node) && c->state->nodes[m->node].incarnation == m->incarnation)
		node_fenced(&c->engine, c->state, m->node, m->how);
}

static void apply_inventory(struct core *c, uint32_t sender, const struct msg_inventory *m)
{
	int ret = node_inventory(&c->engine, c->state, sender, m);

	if (ret < 0)
		core_trace(c, LOG_ERR, "inventory of node %s refused: error %d", core_node_name(c, sender), -ret);
}

static void apply_result(struct core *c, uint32_t sender, const struct msg_result *m)
{
	role_result(&c->engine, c->state, sender, m);
	if (sender == c->config.self)
		local_result_applied(c, m->resource, m->op);
}

static void apply_volumes(struct core *c, uint32_t sender, const struct msg_volumes *m)
{
	int ret = node_volumes(&c->engine, c->state, sender, m);

	if (ret < 0)
		core_trace(c, LOG_ERR, "volumes of node %s refused: error %d", core_node_name(c, sender), -ret);
}

static void farewell_read(struct core *c)
{
	if (c->state->nodes[c->config.self].state == NODE_DOWN)
		core_act(c, &(struct core_action){ .kind = ACTION_LEFT });
	else
		c->leave_sent = false;
}

/* A message that advances the position; the same is done with it on every participant. */
static void apply_sequenced(struct core *c, uint32_t sender, const struct message *m)
{
	c->state->tag.seq++;
	state_note_time(c->state, m->sent_ms);
	c->changed_since_clock |= m->type != MSG_TIME;
	switch (m->type) {
	case MSG_CHANGE: apply_change(c, sender, &m->change); break;
	case MSG_RESULT: apply_result(c, sender, &m->result); break;
	case MSG_INVENTORY: apply_inventory(c, sender, &m->inventory); break;
	case MSG_FENCED: apply_fenced(c, &m->fenced); break;
	case MSG_TIME: apply_time(c, &m->time); break;
	case MSG_VOTES: apply_votes(c, &m->votes); break;
	case MSG_LEAVE: apply_leave(c, sender, &m->leave); break;
	case MSG_DECLARE: node_declare(c->state, sender, &m->declare); break;
	case MSG_VOLUMES: apply_volumes(c, sender, &m->volumes); break;
	case MSG_SILENT: node_silent(&c->engine, c->state, sender, &m->silent); break;
	default: break;
	}
	core_settle(c);
	if (sender != c->config.self)
		return;
	if (m->type == MSG_INVENTORY)
		local_inventory_applied(c);
	else if (m->type == MSG_VOLUMES)
		local_volumes_applied(c);
	else if (m->type == MSG_LEAVE)
		farewell_read(c);
}

static void dispatch(struct core *c, uint32_t sender, const struct message *m)
{
	/* Everything belongs to one view; what comes late from another one is void, on every member alike. */
	if (m->view != c->view.number || !nodeset_has(core_participants(c), sender))
		return;
	if (message_is_sequenced(m->type)) {
		if (core_active(c))
			apply_sequenced(c, sender, m);
		return;
	}
	switch (m->type) {
	case MSG_HELLO: view_hello(c, sender, m); break;
	case MSG_SNAPSHOT: view_snapshot(c, sender, &m->snapshot); break;
	case MSG_SYNCED: view_synced(c, sender, &m->synced); break;
	case MSG_EXCLUDE: view_exclude(c, &m->exclude); break;
	case MSG_FORCE: view_force(c, sender, &m->force); break;
	case MSG_WITNESS: view_witness(c, &m->witness); break;
	case MSG_DURABLE: ledger_durable(c, sender, &m->durable); break;
	case MSG_ALIVE: ledger_alive(c, sender, &m->alive); break;
	default: break;
	}
}

static bool foreign(const struct core *c, const struct message *m)
{
	uint64_t ours = c->state->cluster.cluster_id;

	/* On its way to another's state: that one's identity counts. */
	if (c->phase == PHASE_LOADING && c->view.hello_cluster[c->view.winner])
		ours = c->view.hello_cluster[c->view.winner];
	/* A HELLO of another cluster is judged with the view's others. */
	return m->type != MSG_HELLO && m->cluster_id && ours && m->cluster_id != ours;
}

static void ordered(struct core *c, uint32_t sender, const void *data, size_t len)
{
	struct message m;
	enum frame_fault fault = message_decode(data, len, &m);

	if (!sender || sender > NODE_MAX)
		return;
	if (fault != FRAME_OK) {
		core_trace(c, LOG_WARNING, "message of node %u dropped: %s", sender, frame_fault_text(fault));
		return;
	}
	if (foreign(c, &m)) {
		core_trace(c, LOG_WARNING, "message of node %u dropped: it is of another cluster", sender);
		return;
	}
	c->heard_ms[sender] = c->said_at_ms[sender] = c->mono_ms;
	c->said_ms[sender] = m.sent_ms;
	dispatch(c, sender, &m);
}

/* --- the step --- */

static void tick(struct core *c)
{
	view_tick(c);
	ledger_tick(c);
	local_tick(c);
	duty_tick(c);
	requests_tick(c);
}

static void note_time(struct core *c, const struct core_event *event)
{
	c->step_gap_ms = c->mono_ms && event->mono_ms > c->mono_ms ? event->mono_ms - c->mono_ms : 0;
	c->mono_ms = event->mono_ms;
	c->wall_ms = event->wall_ms;
	/* This process itself did not run for long: the silence of the others proves nothing. */
	if (c->step_gap_ms > SYNC_STALL_MIN_MS / 2) {
		for (uint32_t id = 1; id <= NODE_MAX; id++)
			if (c->heard_ms[id])
				c->heard_ms[id] = c->mono_ms;
		c->view.since_ms = c->mono_ms;
	}
}

void core_step(struct core *c, const struct core_event *event, const struct core_sink *sink)
{
	c->sink = sink;
	note_time(c, event);
	switch (event->kind) {
	case EVENT_CONFCHG:
		view_confchg(c, event->confchg.view, event->confchg.members, event->confchg.procdown);
		break;
	case EVENT_ORDERED: ordered(c, event->ordered.sender, event->ordered.data, event->ordered.len); break;
	case EVENT_TICK: break;
	case EVENT_AGENT_RESULT: local_agent_result(c, event); break;
	case EVENT_PERSISTED: ledger_persisted(c, event->persisted.cookie); break;
	case EVENT_REQUEST: requests_add(c, event->request.id, event->request.ops, event->request.len); break;
	case EVENT_FORCE: view_force_request(c, event->request.id); break;
	case EVENT_FENCE_RESULT:
		duty_fence_result(c, event->fence.node, event->fence.incarnation, event->fence.confirmed, event->fence.text);
		break;
	case EVENT_WITNESS: view_witness_event(c, event->witness.held); break;
	case EVENT_RING_LOST: view_lost(c); break;
	case EVENT_INVENTORY: local_inventory(c, event->inventory.items, event->inventory.n); break;
	case EVENT_VOLUMES: local_volumes(c, event); break;
	case EVENT_SILENT: local_silent(c, event->silent.node, &event->silent.of); break;
	}
	if (event->kind == EVENT_TICK)
		tick(c);
	c->sink = NULL;
}

/* --- life --- */

static size_t core_part(void) { return (sizeof(struct core) + 4095) / 4096 * 4096; }
static size_t state_part(void) { return (sizeof(struct state) + 4095) / 4096 * 4096; }

size_t core_size(void) { return core_part() + 2 * state_part(); }

struct core *core_init(void *memory, const struct core_config *config)
{
	struct core *c = memory;

	c->config = *config;
	c->state = (struct state *)((char *)memory + core_part());
	c->spare = (struct state *)((char *)memory + core_part() + state_part());
	c->prevent = config->prevent_quorum;
	object_init(object_type(KIND_CLUSTER), &c->defaults, 1);
	if (config->t_stop_ms)
		c->defaults.t_stop_ms = config->t_stop_ms;
	else
		c->defaults.t_stop_ms = (uint32_t)object_field(object_type(KIND_CLUSTER), "t_stop")->min;
	engine_init(&c->engine);
	local_init(c);
	return c;
}

int core_load_object(struct core *c, const void *encoded, size_t len)
{
	struct reader r = reader_of(encoded, len);

	return state_put_encoded(c->state, &r);
}

void core_load_done(struct core *c, struct tag tag, uint64_t promised)
{
	const struct node *self = &c->state->nodes[c->config.self];

	state_reindex(c->state);
	if (self->object.used && self->incarnation >= c->config.incarnation)
		c->config.incarnation = self->incarnation + 1;
	c->state->tag = tag;
	c->ledger.own = tag;
	c->promised = promised;
}

uint64_t core_incarnation(const struct core *c) { return c->config.incarnation; }
const struct state *core_state(const struct core *c) { return c->state; }

void core_spare(const struct core *c, void **ret_memory, size_t *ret_size)
{
	*ret_memory = c->spare;
	*ret_size = c->phase == PHASE_LOADING ? 0 : state_part();
}
