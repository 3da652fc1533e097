/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A few cores on one table: frames are ordered as they are sent, each core reads them when the story says so. Disks and
 * agents answer at once unless held. What a core asked for is noted for the story to look at. Frames of another view
 * need no filter: cores drop them.
 */
#ifndef TESTS_UNIT_CORE_RIG_H
#define TESTS_UNIT_CORE_RIG_H

#include "clusterd/core/core_private.h"
#include "proto/object_text.h"

#include "tests/lib/check.h"

#define RIG_NODES 5
#define RIG_FRAMES 20000
#define RIG_RUNS 32
#define RIG_WALL_MS UINT64_C(1767182400000)

struct rig_run {
	uint64_t op;
	uint32_t resource;
	enum agent_action action;
};

struct rig_node {
	struct core *core;
	uint32_t cursor; /* next frame to read */
	uint64_t cookie, cookie_done;
	struct rig_run runs[RIG_RUNS]; /* operations the agents have not answered */
	uint32_t n_runs, n_restarts, n_left, n_claims, n_releases, n_replies, n_self_fences, n_volumes_ends;
	uint32_t last_id; /* of the requests asked here */
	int answers[2 * PENDING_MAX]; /* refusal by request, -1: none yet */
	char detail[TEXT_SIZE];   /* of the newest answer */
	bool quorate, running[64];
	uint32_t proposed[128]; /* by message type */
	int64_t wall_ahead_ms;  /* of its wall clock */
	struct core_action watchdog; /* the newest order; its kind is set when there was one */
};

static struct {
	struct rig_node nodes[RIG_NODES + 1];
	struct {
		uint32_t sender, len;
		uint8_t *data;
	} frames[RIG_FRAMES];
	uint32_t n_frames;
	uint64_t mono_ms, view;
	nodeset_t reading;      /* whose cores get anything at all */
	bool hold_agents, hold_disks;
	struct change_op op;
} rig;

static inline void rig_act(void *user, const struct core_action *a)
{
	struct rig_node *n = user;
	struct message m;

	switch (a->kind) {
	case ACTION_PROPOSE:
		REQUIRE(rig.n_frames < RIG_FRAMES);
		REQUIRE(message_decode(a->frame.data, a->frame.len, &m) == FRAME_OK);
		n->proposed[m.type]++;
		rig.frames[rig.n_frames].sender = n->core->config.self;
		rig.frames[rig.n_frames].len = (uint32_t)a->frame.len;
		rig.frames[rig.n_frames].data = malloc(a->frame.len);
		memcpy(rig.frames[rig.n_frames++].data, a->frame.data, a->frame.len);
		break;
	case ACTION_PERSIST_COMMIT: n->cookie = a->commit.cookie; break;
	case ACTION_AGENT_RUN:
		REQUIRE(n->n_runs < RIG_RUNS);
		n->runs[n->n_runs++] = (struct rig_run){ a->agent.op, a->agent.resource_id, a->agent.action };
		break;
	case ACTION_VOTE: n->quorate = a->quorate; break;
	case ACTION_RESTART: n->n_restarts++; break;
	case ACTION_LEFT: n->n_left++; break;
	case ACTION_VOLUMES_END: n->n_volumes_ends++; break;
	case ACTION_SELF_FENCE: n->n_self_fences++; break;
	case ACTION_WATCHDOG: n->watchdog = *a; break;
	case ACTION_WITNESS_CLAIM: n->n_claims++; break;
	case ACTION_WITNESS_RELEASE: n->n_releases++; break;
	case ACTION_REPLY:
		n->n_replies++;
		REQUIRE(a->reply.id < ARRAY_SIZE(n->answers));
		CHECK_EQ(n->answers[a->reply.id], -1);
		n->answers[a->reply.id] = (int)a->reply.refusal;
		snprintf(n->detail, sizeof(n->detail), "%s", a->reply.detail);
		break;
	default: break;
	}
}

static inline void rig_step(uint32_t id, struct core_event *e)
{
	const struct core_sink sink = { rig_act, &rig.nodes[id] };

	e->mono_ms = rig.mono_ms;
	e->wall_ms = RIG_WALL_MS + rig.mono_ms + (uint64_t)rig.nodes[id].wall_ahead_ms;
	core_step(rig.nodes[id].core, e, &sink);
}

static inline void rig_ended(uint32_t id, enum agent_status status, uint32_t rc)
{
	struct rig_node *n = &rig.nodes[id];
	struct rig_run r = n->runs[0];
	struct core_event e = { .kind = EVENT_AGENT_RESULT, .agent = { r.op, r.resource, r.action, rc, status, "said" } };

	memmove(n->runs, n->runs + 1, --n->n_runs * sizeof(n->runs[0]));
	if (!rc && r.action != AGENT_RELOAD)
		n->running[r.resource] = r.action == AGENT_START;
	rig_step(id, &e);
}

static inline void rig_result(uint32_t id, uint32_t rc) { rig_ended(id, AGENT_DONE, rc); }

/* What a recurring monitor found. */
static inline void rig_monitored(uint32_t id, uint32_t resource, uint32_t rc, const char *said)
{
	struct core_event e = { .kind = EVENT_AGENT_RESULT, .agent = { 0, resource, AGENT_MONITOR, rc, AGENT_DONE, said } };

	rig_step(id, &e);
}

/* It found the resource dead. */
static inline void rig_monitor_failed(uint32_t id, uint32_t resource) { rig_monitored(id, resource, 7, "gone"); }

/* One frame, or what the disk or the agents owe. False: nothing to do for this node. */
static inline bool rig_next(uint32_t id)
{
	struct rig_node *n = &rig.nodes[id];

	if (n->cookie_done != n->cookie && !rig.hold_disks) {
		struct core_event e = { .kind = EVENT_PERSISTED, .persisted = { n->cookie_done = n->cookie } };

		rig_step(id, &e);
		return true;
	}
	if (n->n_runs && !rig.hold_agents) {
		rig_result(id, 0);
		return true;
	}
	if (n->cursor < rig.n_frames) {
		uint32_t at = n->cursor++;
		struct core_event e = { .kind = EVENT_ORDERED,
					.ordered = { rig.frames[at].sender, rig.frames[at].data, rig.frames[at].len } };

		rig_step(id, &e);
		return true;
	}
	return false;
}

/* Until nothing moves. */
static inline void rig_settle(void)
{
	for (bool any = true; any;) {
		any = false;
		for (uint32_t id = 1; id <= RIG_NODES; id++)
			if (nodeset_has(rig.reading, id))
				any |= rig_next(id);
	}
}

static inline void rig_time(uint64_t ms)
{
	for (uint64_t at = 0; at < ms; at += CORE_TICK_MS) {
		rig.mono_ms += CORE_TICK_MS;
		for (uint32_t id = 1; id <= RIG_NODES; id++) {
			struct core_event e = { .kind = EVENT_TICK };

			if (nodeset_has(rig.reading, id))
				rig_step(id, &e);
		}
		rig_settle();
	}
}

/* A view of these; they alone are read from now on, and what was not read before is lost to them. */
static inline void rig_view(nodeset_t members)
{
	rig.view += 4;
	for (uint32_t id = 1; id <= RIG_NODES; id++)
		if (nodeset_has(members, id))
			rig.nodes[id].cursor = rig.n_frames;
	for (uint32_t id = 1; id <= RIG_NODES; id++) {
		struct core_event e = { .kind = EVENT_CONFCHG, .confchg = { rig.view, members, 0 } };

		if (nodeset_has(members, id))
			rig_step(id, &e);
	}
	rig.reading = members;
}

static inline void rig_boot(uint32_t id, nodeset_t configured)
{
	struct rig_node *n = &rig.nodes[id];
	struct core_config config = { .self = id, .incarnation = RIG_WALL_MS + id, .boot_id = 100 + id, .configured = configured,
				      .cluster_name = "rig", .cpu = 400, .memory_mb = 4096, .watchdog_ms = 5000, .level_max = 1 };
	struct core_event e = { .kind = EVENT_INVENTORY };

	snprintf(config.node_name, sizeof(config.node_name), "n%u", id);
	n->core = core_init(calloc(1, core_size()), &config);
	core_load_done(n->core, (struct tag){ 0, 0 }, 0);
	rig_step(id, &e);
}

/* clusterd of this node ends and is started anew, with its database and what the run directory keeps; `item` runs on. */
static inline void rig_respawn(uint32_t id, const struct inventory_item *item)
{
	static uint8_t objects[1 << 20];
	struct rig_node *n = &rig.nodes[id];
	struct core *old = n->core;
	struct core_config config = old->config;
	struct core_event e = { .kind = EVENT_INVENTORY, .inventory = { item, 1 } };
	struct writer w = writer_of(objects, sizeof(objects));
	struct reader r;
	uint64_t cursor = 0;

	REQUIRE(state_encode_next(old->state, &cursor, &w));
	REQUIRE(n->watchdog.kind == ACTION_WATCHDOG);
	config.incarnation++;
	config.confirmed_mono_ms = n->watchdog.watchdog.confirmed_mono_ms;
	config.t_stop_ms = n->watchdog.watchdog.t_stop_ms;
	config.released = !n->watchdog.watchdog.armed;
	n->core = core_init(calloc(1, core_size()), &config);
	for (r = reader_of(objects, writer_len(&w)); reader_left(&r);)
		REQUIRE(!state_put_encoded(n->core->state, &r));
	core_load_done(n->core, old->state->tag, old->promised);
	n->n_runs = 0;
	n->cookie = n->cookie_done = 0;
	free(old);
	rig_step(id, &e);
}

/* A cluster of the nodes 1 to `n`, all online. */
static inline void rig_up(uint32_t n)
{
	nodeset_t all = 0;

	rig.mono_ms = 1000;
	for (uint32_t id = 1; id <= n; id++)
		all |= NODE_BIT(id);
	for (uint32_t id = 1; id <= n; id++)
		rig_boot(id, all);
	rig_view(all);
	rig_settle();
	rig_time(3000);
	for (uint32_t id = 1; id <= n; id++) {
		REQUIRE(core_active(rig.nodes[id].core));
		REQUIRE(rig.nodes[id].core->state->nodes[id].state == NODE_ONLINE);
	}
}

static inline void rig_down(void)
{
	for (uint32_t id = 1; id <= RIG_NODES; id++)
		free(rig.nodes[id].core);
	for (uint32_t i = 0; i < rig.n_frames; i++)
		free(rig.frames[i].data);
	memset(&rig, 0, sizeof(rig));
}

/* "VERB KIND NAME [>ARG] [field=value] …" asked on a node, not read yet. Returns the number of the request. */
static inline uint32_t rig_ask(uint32_t id, const char *text)
{
	static uint8_t encoded[FRAME_MAX];
	char line[1024], *save, *word;
	struct writer w = writer_of(encoded, sizeof(encoded));
	struct core_event e = { .kind = EVENT_REQUEST, .request = { ++rig.nodes[id].last_id, encoded, 0 } };
	struct change_op *op = &rig.op;

	memset(op, 0, sizeof(*op));
	snprintf(line, sizeof(line), "%s", text);
	word = strtok_r(line, " ", &save);
	for (uint8_t v = 1; v < 255 && !op->verb; v++)
		if (!strcmp(change_verb_name(v), word))
			op->verb = v;
	op->kind = object_type_by_name(strtok_r(NULL, " ", &save))->kind;
	snprintf(op->name, sizeof(op->name), "%s", strtok_r(NULL, " ", &save));
	while ((word = strtok_r(NULL, " ", &save))) {
		char *value = strchr(word, '=');

		if (*word == '>') {
			snprintf(op->arg, sizeof(op->arg), "%s", word + 1);
			continue;
		}
		REQUIRE(value != NULL);
		*value++ = '\0';
		REQUIRE(object_field(object_type(op->kind), word) != NULL);
		op->fields[op->n_fields].number = object_field(object_type(op->kind), word)->number;
		op->fields[op->n_fields].how = EDIT_SET;
		op->fields[op->n_fields++].value = value;
	}
	change_op_encode(&w, op);
	e.request.len = writer_len(&w);
	REQUIRE(e.request.id < ARRAY_SIZE(rig.nodes[id].answers));
	rig.nodes[id].answers[e.request.id] = -1;
	rig_step(id, &e);
	return (uint32_t)e.request.id;
}

/* The same, done. */
static inline void rig_do(uint32_t id, const char *text)
{
	uint32_t asked = rig_ask(id, text);

	rig_settle();
	if (!CHECK_EQ(rig.nodes[id].answers[asked], REFUSED_NOT))
		fprintf(stderr, "\t%s: %s\n", text, rig.nodes[id].detail);
}

static inline const struct state *rig_state(uint32_t id) { return rig.nodes[id].core->state; }
static inline enum core_phase rig_phase(uint32_t id) { return rig.nodes[id].core->phase; }

#endif
