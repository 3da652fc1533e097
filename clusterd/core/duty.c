/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What one member does for all: fences lost nodes, moves the clock, steps the votes, excludes the silent. The lowest id
 * acts; when it does not, the next in rank does. Acting twice does no harm: each is an ordered message that only counts
 * while it fits.
 */
#include <syslog.h>

#include "clusterd/core/core_private.h"
#include "clusterd/core/timetable.h"

/* --- lost nodes --- */

static void propose_fenced(struct core *c, uint32_t id, enum fence_how how)
{
	struct message m = { .type = MSG_FENCED };

	m.fenced.node = id;
	m.fenced.incarnation = c->state->nodes[id].incarnation;
	m.fenced.how = how;
	core_propose(c, &m);
}

/* Time proves a lost node stopped when its watchdog enforces T_stop; counted from our first view without it. */
static void fence_by_time(struct core *c, uint32_t id)
{
	uint64_t waited = c->mono_ms - c->lost_ms[id];
	uint64_t needed = timetable_proven_ms(core_cluster(c));

	if (CANARY(CANARY_NO_FENCE))
		needed = 0;
	else if (!node_time_proves(c->state, id))
		return;
	if (waited < needed || !core_is_actor(c, waited - needed))
		return;
	if (c->mono_ms < c->proof_next_ms[id])
		return;
	c->proof_next_ms[id] = c->mono_ms + ACTOR_STAGGER_MS;
	propose_fenced(c, id, FENCE_BY_TIME);
}

static void fence_by_command(struct core *c, uint32_t id, uint64_t since_ms)
{
	struct core_action a = { .kind = ACTION_FENCE };

	if (c->mono_ms < c->fence_next_ms[id] || !core_is_actor(c, c->mono_ms - since_ms))
		return;
	c->fence_next_ms[id] = c->mono_ms + FENCE_RETRY_MS;
	a.fence.node = id;
	a.fence.incarnation = c->state->nodes[id].incarnation;
	a.fence.name = core_node_name(c, id);
	core_act(c, &a);
}

static void fence_lost(struct core *c)
{
	if (core_cluster(c)->disarmed)
		return;
	for (uint32_t id = 1; id <= c->state->high[KIND_NODE]; id++) {
		if (!state_node(c->state, id))
			continue;
		/* A member where a stop failed is to be switched off; it then becomes a lost one. */
		if (!c->state->nodes[id].fence_asked)
			c->asked_ms[id] = 0;
		else if (!c->asked_ms[id])
			c->asked_ms[id] = c->mono_ms;
		if (c->asked_ms[id] && id != c->config.self)
			fence_by_command(c, id, c->asked_ms[id]);
		if (c->state->nodes[id].state != NODE_LOST)
			continue;
		if (!c->lost_ms[id])
			c->lost_ms[id] = c->mono_ms;
		fence_by_command(c, id, c->lost_ms[id]);
		fence_by_time(c, id);
	}
}

void duty_fence_result(struct core *c, uint32_t node, uint64_t incarnation, bool confirmed, const char *text)
{
	if (!core_active(c) || !state_node(c->state, node) || c->state->nodes[node].state != NODE_LOST ||
	    c->state->nodes[node].incarnation != incarnation)
		return;
	if (confirmed)
		propose_fenced(c, node, FENCE_BY_COMMAND);
	else
		core_trace(c, LOG_WARNING, "fencing of node %s is not confirmed: %s", core_node_name(c, node), text ? text : "");
}

/* --- silent members --- */

static nodeset_t silent_members(const struct core *c)
{
	nodeset_t set = 0;

	for (uint32_t id = 1; id <= NODE_MAX; id++)
		if (nodeset_has(core_participants(c), id) && id != c->config.self &&
		    c->mono_ms - c->heard_ms[id] >= core_cluster(c)->stall_ms)
			set |= NODE_BIT(id);
	return set;
}

static void exclude_silent(struct core *c)
{
	nodeset_t silent = silent_members(c);

	if (!silent || core_cluster(c)->disarmed || c->mono_ms - c->exclude_sent_ms < core_cluster(c)->stall_ms)
		return;
	/* The lowest that is not silent itself acts; the others a little later if it does not. */
	for (uint32_t id = 1; id < c->config.self; id++)
		if (nodeset_has(core_participants(c) & ~silent, id) &&
		    c->mono_ms - c->heard_ms[nodeset_first(silent)] < core_cluster(c)->stall_ms + ACTOR_STAGGER_MS)
			return;
	view_propose_exclude(c, silent);
}

/* An excluded process that stays in the group holds corosync's queues: end its corosync. */
static void kick_excluded(struct core *c)
{
	struct core_action a = { .kind = ACTION_KICK };

	if (!core_is_actor(c, c->mono_ms - c->view.since_ms))
		return;
	for (uint32_t id = 1; id <= NODE_MAX; id++) {
		if (!nodeset_has(c->view.members & c->view.excluded, id) || c->mono_ms < c->kick_ms[id] ||
		    c->mono_ms - c->view.since_ms < core_cluster(c)->stall_ms)
			continue;
		c->kick_ms[id] = c->mono_ms + core_cluster(c)->stall_ms;
		a.fence.node = id;
		a.fence.name = core_node_name(c, id);
		core_act(c, &a);
	}
}

/* --- clock, votes, leave --- */

/*
 * What the replicated clock should say: the middle of the members' clocks, as they told them last. When it is ahead of
 * that (clocks were set back, or had been wrong) it goes on at half the pace until they have caught up: delays and periods
 * must end.
 */
static uint64_t clock_now_ms(const struct core *c)
{
	uint64_t clocks[NODE_MAX + 1], middle;
	uint64_t least = c->state->cluster.now_ms + (c->mono_ms - c->clock_moved_ms) / 2;

	for (uint32_t id = 1; id <= NODE_MAX; id++)
		clocks[id] = id == c->config.self ? c->wall_ms : c->said_ms[id] + (c->mono_ms - c->said_at_ms[id]);
	middle = core_middle_clock_ms(c, clocks);
	return middle > least ? middle : least;
}

static void move_clock(struct core *c)
{
	uint64_t now = clock_now_ms(c), then = c->state->cluster.now_ms;
	struct message m = { .type = MSG_TIME };

	if (c->clock_in_flight || now < then + CLOCK_STEP_MS || !core_is_actor(c, 0))
		return;
	if (!c->changed_since_clock && now - then < CLOCK_IDLE_MS && !role_due(c->state, now) && !node_due(c->state, now))
		return;
	c->clock_in_flight = true;
	m.time.now_ms = now;
	core_propose(c, &m);
}

static void step_votes(struct core *c)
{
	struct votes now = votes_of(c->state), next;
	struct message m = { .type = MSG_VOTES };

	/* The step before must be on a majority's disks: so every majority of then meets every majority of after. */
	if (c->votes_in_flight || c->ledger.committed != c->state->tag.seq || !core_is_actor(c, 0))
		return;
	if (!votes_step(now, votes_wanted(c->state, core_participants(c)), core_participants(c), c->view.witness_held, &next))
		return;
	c->votes_in_flight = true;
	m.votes.before = now.nodes;
	m.votes.votes = next.nodes;
	m.votes.witness_before = now.witness;
	m.votes.witness_vote = next.witness;
	core_propose(c, &m);
}

static void leave_when_empty(struct core *c)
{
	const struct node *n = &c->state->nodes[c->config.self];
	struct message m = { .type = MSG_LEAVE };

	if (c->leave_sent || n->admin != ADMIN_STOPPING || n->state != NODE_ONLINE ||
	    (!CANARY(CANARY_LEAVE_RUNNING) &&
	     (c->state->load[c->config.self].roles || c->local.n_runs || c->local.n_ops || c->local.n_mounts)))
		return;
	c->leave_sent = true;
	m.leave.incarnation = c->config.incarnation;
	core_propose(c, &m);
}

void duty_committed(struct core *c)
{
	step_votes(c);
	leave_when_empty(c);
}

void duty_tick(struct core *c)
{
	if (!core_active(c))
		return;
	fence_lost(c);
	exclude_silent(c);
	kick_excluded(c);
	move_clock(c);
	step_votes(c);
	leave_when_empty(c);
}
