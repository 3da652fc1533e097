/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an administrator asks of roles and resources: start, stop, move, cleanup, restart. Wishes only; role.c acts on
 * them. */
#include <stdio.h>
#include <string.h>

#include "clusterd/core/change_op.h"
#include "clusterd/core/place.h"

static void role_event(struct change *c, enum reason reason, uint32_t role)
{
	event_add(c->s, &(struct event_about){ reason, KIND_ROLE, role, c->s->roles[role].owner, 0, NULL });
}

void change_forgive_role(struct state *s, uint32_t id, enum reason reason)
{
	struct role *r = state_edit(s, KIND_ROLE, id);

	r->failures = 0;
	r->first_failure_ms = 0;
	r->banned = 0;
	r->moved_by_hand = 0;
	if (r->state != ROLE_FAILED)
		return;
	/* What still has a node is stopped whole before it is tried again. */
	r->state = r->owner ? ROLE_STOPPING : ROLE_PENDING;
	r->since_ms = s->cluster.now_ms;
	r->reason = reason;
	r->reason_node = 0;
}

bool change_role_start(struct change *c)
{
	struct role *r = state_edit(c->s, KIND_ROLE, c->id);
	bool failed = r->state == ROLE_FAILED;

	if (r->want && !failed)
		return true;
	change_forgive_role(c->s, c->id, REASON_STARTED);
	r->want = 1;
	r->preempted = 0;
	r->reason = REASON_STARTED;
	r->reason_node = 0;
	role_event(c, REASON_STARTED, c->id);
	return true;
}

bool change_role_stop(struct change *c)
{
	struct role *r = state_edit(c->s, KIND_ROLE, c->id);

	if (!r->want && r->state != ROLE_FAILED)
		return true;
	if (!change_check_volume_stop(c, c->id))
		return false;
	change_forgive_role(c->s, c->id, REASON_STOPPED);
	state_set_target(c->s, c->id, 0);
	r->want = 0;
	r->preempted = 0;
	r->drained_from = 0;
	r->reason = REASON_STOPPED;
	r->reason_node = 0;
	role_event(c, REASON_STOPPED, c->id);
	return true;
}

/* ---- move ---- */

/* Why a node does not take the role, and what would make it. */
static void verdict_explain(const struct state *s, const struct place_verdict *v, uint32_t node, char *out, size_t size)
{
	const char *name = s->nodes[node].name;
	const char *other = state_name(s, KIND_ROLE, v->other), *rule = state_name(s, KIND_RULE, v->rule);
	const char *volume = state_name(s, KIND_VOLUME, v->volume);

	switch (v->code) {
	case PLACE_NOT_ONLINE:
		snprintf(out, size, "it is %s", enum_text(enum_values_node_state, s->nodes[node].state));
		return;
	case PLACE_PAUSED:
		snprintf(out, size, "it is %s: clusterctl node resume %s",
			 enum_text(enum_values_node_admin, s->nodes[node].admin), name);
		return;
	case PLACE_QUARANTINED:
		snprintf(out, size, "it is quarantined: clusterctl node resume %s", name);
		return;
	case PLACE_NOT_POSSIBLE:
		snprintf(out, size, "it is not among the role's possible owners: add it to 'possible'");
		return;
	case PLACE_BANNED:
		snprintf(out, size, "the role failed there: clean it up, or use --force");
		return;
	case PLACE_NO_CPU:
	case PLACE_NO_MEMORY:
		snprintf(out, size, "it has not enough %s free", v->code == PLACE_NO_CPU ? "cpu" : "memory");
		return;
	case PLACE_AFFINITY:
		snprintf(out, size, "the rule '%s' keeps the role with '%s', and it has no place for both",
			 rule ? rule : "?", other ? other : "?");
		return;
	case PLACE_ANTI_AFFINITY:
		snprintf(out, size, "the rule '%s' keeps the role apart from '%s', which is there", rule ? rule : "?",
			 other ? other : "?");
		return;
	case PLACE_NO_VOLUME:
		snprintf(out, size, "the volume '%s' cannot be used there", volume ? volume : "?");
		return;
	case PLACE_FENCE_ASKED:
		snprintf(out, size, "it is about to be fenced");
		return;
	default:
		snprintf(out, size, "there is no room for the roles that must come along");
		return;
	}
}

static bool move_allowed(struct change *c, const struct role *r)
{
	const struct state *s = c->s;

	if (s->cluster.disarmed || s->cluster.maintenance)
		return change_refuse(c, REFUSED_STATE, "does not move while the cluster is %s: %s first",
				     s->cluster.disarmed ? "disarmed" : "in maintenance",
				     s->cluster.disarmed ? "clusterctl arm" : "end the maintenance");
	if (r->maintenance || (r->owner && s->nodes[r->owner].maintenance))
		return change_refuse(c, REFUSED_STATE, "does not move while %s in maintenance: end that first",
				     r->maintenance ? "it is" : "its node is");
	if (r->state == ROLE_FAILED)
		return change_refuse(c, REFUSED_STATE, "has failed: clean it up first: clusterctl role cleanup %s",
				     r->name);
	if (!r->want)
		return change_refuse(c, REFUSED_STATE,
				     "is stopped: start it first (clusterctl role start %s); "
				     "to choose where it starts, set 'preferred'",
				     r->name);
	if (r->owner && s->nodes[r->owner].state != NODE_ONLINE)
		return change_refuse(
			c, REFUSED_STATE,
			"belongs to node '%s', which is %s: it cannot move before that node is online or proven off "
			"(clusterctl node confirm-fenced %s)",
			s->nodes[r->owner].name, enum_text(enum_values_node_state, s->nodes[r->owner].state),
			s->nodes[r->owner].name);
	return true;
}

/* The node in arg, checked. 0: refused. */
static uint32_t named_target(struct change *c, const struct role *r)
{
	uint32_t node = state_find(c->s, KIND_NODE, c->op->arg);
	struct place_request request = { .exclude = ~NODE_BIT(node), .take_along = true, .ignore_bans = c->op->force };
	struct place_verdict verdicts[NODE_MAX + 1];
	struct placement p;
	char why[TEXT_SIZE];

	if (!node)
		change_refuse(c, REFUSED_NOT_FOUND, "cannot move: there is no node '%s'", c->op->arg);
	else if (node == r->owner && !r->target)
		change_refuse(c, REFUSED_STATE, "is on node '%s' already: nothing to do", c->op->arg);
	else {
		place_role(c->s, c->id, &request, &p, verdicts);
		if (p.node == node)
			return node;
		verdict_explain(c->s, &verdicts[node], node, why, sizeof(why));
		change_refuse(c, REFUSED_NO_PLACE, "cannot move to node '%s': %s", c->op->arg, why);
	}
	return 0;
}

/* The best node but its own. 0: refused, with each node's reason as far as they fit. */
static uint32_t best_target(struct change *c, const struct role *r)
{
	struct place_request request = { .exclude = r->owner ? NODE_BIT(r->owner) : 0, .take_along = true };
	struct place_verdict verdicts[NODE_MAX + 1];
	char why[TEXT_SIZE], all[2 * TEXT_SIZE] = "";
	struct placement p;
	size_t n = 0;

	place_role(c->s, c->id, &request, &p, verdicts);
	if (p.node)
		return p.node;
	for (uint32_t id = 1; id <= c->s->high[KIND_NODE] && n < sizeof(all); id++) {
		if (!state_node(c->s, id) || id == r->owner)
			continue;
		verdict_explain(c->s, &verdicts[id], id, why, sizeof(why));
		n += (size_t)snprintf(all + n, sizeof(all) - n, "; %s: %s", c->s->nodes[id].name, why);
	}
	change_refuse(c, REFUSED_NO_PLACE, "has nowhere to move to%s", n ? all : ": there is no other node");
	return 0;
}

/* Where the role is on its way to, or is. */
static uint32_t bound_for(const struct role *r)
{
	return r->target ? r->target : r->owner;
}

static void aim(struct state *s, uint32_t id, uint32_t node)
{
	struct role *r = state_edit(s, KIND_ROLE, id);

	/* Back where it is, before it began to leave: no target at all. */
	state_set_target(s, id, node == r->owner ? 0 : node);
	r->drained_from = 0;
	r->banned &= ~NODE_BIT(node);
	r->reason = REASON_MOVED;
	r->reason_node = r->owner;
}

struct move_group {
	uint16_t roles[ROLELIST_MAX];
	size_t n;
};

static bool group_has(const struct move_group *g, uint32_t id)
{
	for (size_t i = 0; i < g->n; i++)
		if (g->roles[i] == id)
			return true;
	return false;
}

/* The roles of one rule that may not stay where they are, now that one of them is aimed at `with`. */
static bool move_by_rule(struct change *c, const struct rule *rule, uint32_t with, struct move_group *g)
{
	struct state *s = c->s;

	for (size_t i = 0; i < ROLELIST_MAX && rule->roles[i]; i++) {
		struct place_request request = { 0 }, together = { .exclude = ~NODE_BIT(with), .take_along = true };
		uint32_t id = rule->roles[i], at = bound_for(&s->roles[id]);
		struct placement p;

		if (!at || group_has(g, id) || !place_breaks_affinity(s, id, at))
			continue;
		place_role(s, id, &request, &p, NULL);
		if (!p.node) /* others that are tied to it have yet to follow */
			place_role(s, id, &together, &p, NULL);
		if (!p.node || g->n == ARRAY_SIZE(g->roles))
			return change_refuse(c, REFUSED_NO_PLACE,
					     "cannot move: the rule '%s' ties it to '%s', which cannot come along",
					     rule->name, s->roles[id].name);
		aim(s, id, p.node);
		g->roles[g->n++] = (uint16_t)id;
	}
	return true;
}

/* Companions by hard affinity come along, found from rule to rule. */
static bool move_companions(struct change *c, uint32_t first)
{
	struct move_group g = { { (uint16_t)first }, 1 };

	for (size_t head = 0; head < g.n; head++) {
		uint32_t n;
		const uint16_t *rules = state_rules_of(c->s, g.roles[head], &n);

		for (uint32_t i = 0; i < n; i++) {
			const struct rule *rule = &c->s->rules[rules[i]];
			uint32_t with = bound_for(&c->s->roles[g.roles[head]]);

			if (rule->hard && rule->kind == RULE_AFFINITY && !move_by_rule(c, rule, with, &g))
				return false;
		}
	}
	return true;
}

bool change_role_move(struct change *c)
{
	const struct role *r = &c->s->roles[c->id];
	uint32_t node;

	if (!move_allowed(c, r))
		return false;
	node = c->op->arg[0] ? named_target(c, r) : best_target(c, r);
	if (!node)
		return false;
	aim(c->s, c->id, node);
	/* Its companions were not named: their rule holds them there, nothing else does. */
	((struct role *)state_edit(c->s, KIND_ROLE, c->id))->moved_by_hand = 1;
	return move_companions(c, c->id);
}

/* ---- cleanup, restart ---- */

/* The node was to be fenced because something did not stop; that is tried again now. */
static void withdraw_fence(struct state *s, uint32_t node)
{
	for (uint32_t role = 1; role <= s->high[KIND_ROLE]; role++) {
		if (!state_role(s, role) || s->roles[role].owner != node)
			continue;
		for (uint32_t id = s->role_resource[role]; id; id = s->resource_next[id])
			if (s->resources[id].state == RES_BLOCKED)
				return;
	}
	/* Only what was asked for because of a stop. */
	if (s->nodes[node].fence_asked && s->nodes[node].fence_reason != REASON_VOLUME_SILENT) {
		struct node *n = state_edit(s, KIND_NODE, node);

		n->fence_asked = n->fence_reason = 0;
	}
}

static void forgive_resource(struct state *s, uint32_t id)
{
	struct resource *r = state_edit(s, KIND_RESOURCE, id);
	uint32_t node = s->roles[r->role].owner;

	r->restarts = 0;
	r->first_restart_ms = 0;
	r->last_rc = 0;
	memset(r->last_error, 0, sizeof(r->last_error));
	if (r->state != RES_BLOCKED || !node || s->nodes[node].state != NODE_ONLINE)
		return;
	/* 'failed' is stopped before anything else: one more try of the stop that failed. */
	r->state = RES_FAILED;
	r->since_ms = s->cluster.now_ms;
	withdraw_fence(s, node);
}

bool change_cleanup(struct change *c)
{
	struct state *s = c->s;
	enum object_kind kind = c->op->kind == KIND_RESOURCE ? KIND_RESOURCE : KIND_ROLE;
	uint32_t role = kind == KIND_ROLE ? c->id : s->resources[c->id].role;

	if (kind == KIND_RESOURCE)
		forgive_resource(s, c->id);
	else
		for (uint32_t id = s->role_resource[role]; id; id = s->resource_next[id])
			forgive_resource(s, id);
	change_forgive_role(s, role, REASON_CLEANUP);
	event_add(s, &(struct event_about){ REASON_CLEANUP, kind, c->id, s->roles[role].owner, 0, NULL });
	return true;
}

bool change_restart(struct change *c)
{
	const struct resource *r = &c->s->resources[c->id];
	const struct role *role = &c->s->roles[r->role];
	struct resource *edit;

	if (c->s->cluster.disarmed || c->s->cluster.maintenance || role->maintenance ||
	    (role->owner && c->s->nodes[role->owner].maintenance))
		return change_refuse(c, REFUSED_STATE,
				     "is not restarted while its role is left as it is (disarmed or in maintenance): "
				     "end that first");
	if (r->state != RES_STARTED)
		return change_refuse(c, REFUSED_STATE,
				     "is %s, not started: start its role (clusterctl role start %s), or clean it up",
				     enum_text(enum_values_resource_state, r->state), role->name);
	if (r->op || c->s->nodes[role->owner].state != NODE_ONLINE)
		return change_refuse(c, REFUSED_BUSY, "cannot be restarted right now: %s; try again",
				     r->op ? "an operation is in flight" : "its node is not online");
	edit = state_edit(c->s, KIND_RESOURCE, c->id);
	edit->state = RES_FAILED; /* is stopped, with what needs it, and started again; not counted as a failure */
	edit->since_ms = c->s->cluster.now_ms;
	event_add(c->s, &(struct event_about){ REASON_RESTARTED, KIND_RESOURCE, c->id, role->owner, 0, NULL });
	return true;
}
