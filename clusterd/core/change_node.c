/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an administrator asks of nodes: pause, resume, drain, stop, evict, confirm a fence; and the upgrade of the
 * cluster. */
#include <stdio.h>
#include <string.h>

#include "clusterd/core/change_op.h"
#include "clusterd/core/place.h"
#include "clusterd/core/role_move.h"
#include "clusterd/core/votes.h"

static void node_event(struct change *c, enum reason reason)
{
	event_add(c->s, &(struct event_about){ reason, KIND_NODE, c->id, c->id, 0, NULL });
}

static bool set_admin(struct change *c, enum node_admin admin, enum reason reason)
{
	if (c->s->nodes[c->id].admin == (uint32_t)admin)
		return true;
	((struct node *)state_edit(c->s, KIND_NODE, c->id))->admin = admin;
	c->out->nodes |= NODE_BIT(c->id);
	node_event(c, reason);
	return true;
}

static const char *state_text(const struct change *c)
{
	return enum_text(enum_values_node_state, c->s->nodes[c->id].state);
}

bool change_node_pause(struct change *c)
{
	if (c->s->nodes[c->id].admin == ADMIN_STOPPING)
		return change_refuse(c, REFUSED_STATE,
				     "is stopping: resume it first if it shall stay (clusterctl node resume %s)",
				     c->op->name);
	return set_admin(c, ADMIN_PAUSED, REASON_NODE_PAUSED);
}

/* Brings a drained role back when the node takes it as things stand. */
static void bring_back(struct state *s, uint32_t role, uint32_t node)
{
	struct role *r = state_edit(s, KIND_ROLE, role);
	struct role_group group;

	if (r->owner == node && r->target) {
		state_set_target(s, role, 0); /* still on its way out: it will be placed anew, and its last node is its home */
	} else if (r->owner && r->owner != node && !r->target && r->want && r->state != ROLE_FAILED) {
		role_aim_back(s, role, node, &group);
	}
	r->drained_from = 0;
}

bool change_node_resume(struct change *c)
{
	bool failback = !strcmp(c->op->arg, "failback");
	struct node *n = state_edit(c->s, KIND_NODE, c->id);

	if (c->op->arg[0] && !failback)
		return change_refuse(c, REFUSED_INVALID, "resumes with 'failback' or without, not with '%s'",
				     c->op->arg);
	if (n->quarantine_until_ms) {
		n->quarantine_until_ms = 0;
		c->out->nodes |= NODE_BIT(c->id);
		node_event(c, REASON_QUARANTINE_ENDED);
	}
	set_admin(c, ADMIN_UP, REASON_NODE_RESUMED);
	/* The best first: high priorities find room before low ones. */
	for (uint32_t priority = PRIORITY_HIGH + 1; priority-- > PRIORITY_NO_AUTOSTART;)
		for (uint32_t id = 1; id <= c->s->high[KIND_ROLE]; id++) {
			if (!state_role(c->s, id) || c->s->roles[id].drained_from != c->id ||
			    c->s->roles[id].priority != priority)
				continue;
			if (failback)
				bring_back(c->s, id, c->id);
			else
				((struct role *)state_edit(c->s, KIND_ROLE, id))->drained_from = 0;
		}
	return true;
}

bool change_node_drain(struct change *c)
{
	const struct node *n = &c->s->nodes[c->id];

	if (n->state != NODE_ONLINE && n->state != NODE_JOINING)
		return change_refuse(c, REFUSED_STATE,
				     "is %s, nothing can be moved away from it; 'pause' keeps roles from it",
				     state_text(c));
	if (n->admin == ADMIN_STOPPING)
		return change_refuse(c, REFUSED_STATE, "is stopping, which drains it too");
	return set_admin(c, ADMIN_DRAINING, REASON_NODE_DRAINING);
}

/* ---- stop ---- */

/*
 * After the votes have settled for those present: the others, without this node and those already stopping, keep the
 * majority. A witness with a vote counts as held: it is given a vote only by those who hold it.
 */
static bool keeps_quorum(const struct change *c)
{
	bool witness = c->s->cluster.witness_vote != 0;
	struct votes v = votes_settle(c->s, votes_of(c->s), c->members, witness);
	nodeset_t rest = c->members & ~NODE_BIT(c->id);

	for (uint32_t id = 1; id <= c->s->high[KIND_NODE]; id++)
		if (state_node(c->s, id) && c->s->nodes[id].admin == ADMIN_STOPPING)
			rest &= ~NODE_BIT(id);
	return votes_majority(v, rest, witness && rest);
}

/* A role on the node that no other node takes, 0 when there is none. */
static uint32_t role_stranded(struct change *c)
{
	struct place_request request = { .exclude = NODE_BIT(c->id), .take_along = true };
	struct placement p;

	for (uint32_t id = 1; id <= c->s->high[KIND_ROLE]; id++) {
		if (!state_role(c->s, id) || c->s->roles[id].owner != c->id || !c->s->roles[id].want ||
		    c->s->roles[id].target)
			continue;
		place_role(c->s, id, &request, &p, NULL);
		if (!p.node)
			return id;
	}
	return 0;
}

bool change_node_stop(struct change *c)
{
	uint32_t role;

	if (c->s->nodes[c->id].state != NODE_ONLINE)
		return change_refuse(c, REFUSED_STATE, "is %s, only an online node can be stopped", state_text(c));
	if (c->s->nodes[c->id].admin == ADMIN_STOPPING)
		return true;
	if (!c->op->force && !keeps_quorum(c))
		return change_refuse(c, REFUSED_WOULD_LOSE_QUORUM,
				     "cannot stop: the remaining nodes would be without quorum and stop every role; "
				     "bring more nodes up first, or use --force");
	role = c->op->force || c->s->cluster.disarmed ? 0 : role_stranded(c);
	if (role)
		return change_refuse(
			c, REFUSED_NO_PLACE,
			"cannot stop: no other node takes the role '%s' (clusterctl why %s tells each node's reason); "
			"stop that role first, or use --force to stop it with the node",
			c->s->roles[role].name, c->s->roles[role].name);
	return set_admin(c, ADMIN_STOPPING, REASON_NODE_STOPPING);
}

/* ---- evict ---- */

static bool check_evict(struct change *c)
{
	const struct state *s = c->s;

	if (s->nodes[c->id].state != NODE_DOWN)
		return change_refuse(c, REFUSED_STATE, "is %s: %s", state_text(c),
				     s->nodes[c->id].state == NODE_LOST
					     ? "it may still act; when it is certainly off: confirm-fenced, then evict"
					     : "stop it first");
	if (s->nodes[c->id].vote)
		return change_refuse(c, REFUSED_WOULD_LOSE_QUORUM,
				     "still has a vote: with dynamic quorum wait until it is taken away, else set its "
				     "may_vote to no first");
	for (uint32_t id = 1; id <= s->high[KIND_ROLE]; id++) {
		if (!state_role(s, id))
			continue;
		/* An empty list means every node: dropping the last name would let the role run anywhere. */
		if (s->roles[id].possible == NODE_BIT(c->id))
			return change_refuse(c, REFUSED_IN_USE,
					     "is the only possible owner of the role '%s': change its 'possible' first",
					     s->roles[id].name);
		if (s->roles[id].owner == c->id)
			return change_refuse(c, REFUSED_IN_USE, "still owns the role '%s'", s->roles[id].name);
	}
	return true;
}

static void list_drop_node(uint8_t *list, uint32_t node)
{
	size_t kept = 0, n = 0;

	for (; n < NODE_MAX && list[n]; n++)
		if (list[n] != node)
			list[kept++] = list[n];
	memset(list + kept, 0, n - kept);
}

/* What only tells the past (last owner, reason) may go on naming it. */
static void forget_node_in_role(struct state *s, uint32_t id, uint32_t node)
{
	struct role *r = state_edit(s, KIND_ROLE, id);

	if (r->target == node)
		state_set_target(s, id, 0);
	list_drop_node(r->preferred, node);
	r->possible &= ~NODE_BIT(node);
	r->banned &= ~NODE_BIT(node);
	if (r->drained_from == node)
		r->drained_from = 0;
}

static bool role_names_node(const struct role *r, uint32_t node)
{
	return r->target == node || nodeset_has(r->possible | r->banned, node) || r->drained_from == node ||
	       place_rank(r, node) != UINT32_MAX;
}

bool change_node_evict(struct change *c)
{
	if (!check_evict(c))
		return false;
	for (uint32_t id = 1; id <= c->s->high[KIND_ROLE] && !c->s->undo_full; id++)
		if (state_role(c->s, id) && role_names_node(&c->s->roles[id], c->id))
			forget_node_in_role(c->s, id, c->id);
	change_volumes_forget_node(c->s, c->id);
	if (c->s->cluster.lower_priority_node == c->id)
		((struct cluster *)state_edit(c->s, KIND_CLUSTER, 1))->lower_priority_node = 0;
	node_event(c, REASON_NODE_EVICTED);
	state_delete(c->s, KIND_NODE, c->id);
	c->out->nodes |= NODE_BIT(c->id);
	return true;
}

bool change_node_fenced(struct change *c)
{
	if (c->s->nodes[c->id].state != NODE_LOST)
		return change_refuse(c, REFUSED_STATE, "is %s, not lost: nothing waits for its fence", state_text(c));
	c->fenced |= NODE_BIT(c->id);
	c->out->nodes |= NODE_BIT(c->id);
	return true;
}

/* ---- upgrade ---- */

bool change_upgrade(struct change *c)
{
	const struct state *s = c->s;
	uint32_t level = UINT32_MAX, lowest = 0;
	char text[16];

	for (uint32_t id = 1; id <= s->high[KIND_NODE]; id++) {
		/* One that is away would be locked out; --force goes by the online nodes alone. */
		if (!state_node(s, id) || (c->op->force && s->nodes[id].state != NODE_ONLINE))
			continue;
		if (s->nodes[id].level >= level)
			continue;
		level = s->nodes[id].level;
		lowest = id;
	}
	if (!lowest || level <= s->cluster.level)
		return change_refuse(c, REFUSED_STATE, "stays at feature level %u: %s%s%s", s->cluster.level,
				     lowest ? "node '" : "no node is online", lowest ? s->nodes[lowest].name : "",
				     lowest ? "' speaks no higher one; update it first" : "");
	((struct cluster *)state_edit(c->s, KIND_CLUSTER, 1))->level = level;
	snprintf(text, sizeof(text), "%u", level);
	event_add(c->s, &(struct event_about){ REASON_LEVEL, KIND_CLUSTER, 1, 0, 0, text });
	return true;
}
