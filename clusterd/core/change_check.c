/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Cross checks of a change: an object against its companions, and who needs an object that is to go. */
#include <string.h>

#include "clusterd/core/change_op.h"
#include "clusterd/core/role.h"
#include "clusterd/core/timetable.h"
#include "proto/object_text.h"

/* ---- cluster ---- */

static bool check_cluster(struct change *c)
{
	const struct cluster *k = &c->s->cluster;

	if (k->witness != WITNESS_NONE && !k->witness_target[0])
		return change_refuse(c, REFUSED_INVALID,
				     "needs a witness_target for a witness of kind '%s': set both in one change",
				     enum_text(enum_values_witness_kind, k->witness));
	if (k->t_stop_ms < timetable_least_t_stop_ms(k, 0))
		return change_refuse(c, REFUSED_INVALID,
				     "would leave no time to stop roles: with this quorum_grace and alive, t_stop must be at "
				     "least %u ms",
				     timetable_least_t_stop_ms(k, 0));
	for (uint32_t id = 1; id <= c->s->high[KIND_NODE]; id++)
		if (state_node(c->s, id) && c->s->nodes[id].watchdog_ms && !timetable_holds(k, c->s->nodes[id].watchdog_ms))
			return change_refuse(c, REFUSED_INVALID,
					     "needs t_stop of %u ms at least: the watchdog of node '%s' takes %u ms; raise "
					     "t_stop or shorten the watchdog first",
					     timetable_least_t_stop_ms(k, c->s->nodes[id].watchdog_ms), c->s->nodes[id].name,
					     c->s->nodes[id].watchdog_ms);
	return true;
}

/* ---- role ---- */

static bool check_role(struct change *c)
{
	const struct role *r = &c->s->roles[c->id];

	for (size_t i = 0; r->possible && i < NODE_MAX && r->preferred[i]; i++)
		if (!nodeset_has(r->possible, r->preferred[i]))
			return change_refuse(c, REFUSED_INVALID,
					     "prefers node '%s', which is not among its possible owners: add it there "
					     "or drop it here",
					     state_name(c->s, KIND_NODE, r->preferred[i]));
	if (r->failback == FAILBACK_WINDOW && r->failback_from_h == r->failback_to_h)
		return change_refuse(c, REFUSED_INVALID,
				     "has an empty failback window: set failback_from_h and failback_to_h");
	return true;
}

/* ---- resource ---- */

/* One part of ocf:PROVIDER:TYPE; returns what follows it, NULL when it is none. */
static const char *agent_part(const char *s)
{
	size_t n = strcspn(s, ":");
	char part[NAME_SIZE];

	memcpy(part, s, n);
	part[n] = '\0';
	return name_check(part) < 0 ? NULL : s + n;
}

static bool agent_valid(const char *agent)
{
	const char *s = strncmp(agent, "ocf:", 4) ? NULL : agent_part(agent + 4);

	s = s && *s == ':' ? agent_part(s + 1) : NULL;
	return s && !*s;
}

static bool depends_on(const struct resource *r, uint32_t id)
{
	for (size_t n = 0; n < DEPS_CLAUSE_MAX && r->depends[n][0]; n++)
		for (size_t i = 0; i < DEPS_CHOICE_MAX && r->depends[n][i]; i++)
			if (r->depends[n][i] == id)
				return true;
	return false;
}

static bool check_same_role(struct change *c, const struct resource *r)
{
	for (size_t n = 0; n < DEPS_CLAUSE_MAX && r->depends[n][0]; n++) {
		for (size_t i = 0; i < DEPS_CHOICE_MAX && r->depends[n][i]; i++) {
			uint32_t id = r->depends[n][i];

			if (id == c->id)
				return change_refuse(c, REFUSED_INVALID,
						     "cannot depend on itself: take it out of 'depends'");
			if (c->s->resources[id].role != r->role)
				return change_refuse(c, REFUSED_INVALID,
						     "cannot depend on '%s' of the role '%s': only on resources of its "
						     "own role '%s'; "
						     "to order roles use a set",
						     c->s->resources[id].name,
						     state_name(c->s, KIND_ROLE, c->s->resources[id].role),
						     state_name(c->s, KIND_ROLE, r->role));
		}
	}
	for (uint32_t id = 1; id <= c->s->high[KIND_RESOURCE]; id++)
		if (state_resource(c->s, id) && c->s->resources[id].role != r->role &&
		    depends_on(&c->s->resources[id], c->id))
			return change_refuse(
				c, REFUSED_IN_USE, "cannot change its role: '%s' of the role '%s' depends on it",
				c->s->resources[id].name, state_name(c->s, KIND_ROLE, c->s->resources[id].role));
	return true;
}

/*
 * A resource that nothing unsettled depends on is settled, again and again; what is left lies on a cycle or leads to
 * one. Choices count as if all were needed: which one is taken is known only at run time.
 */
static bool check_acyclic(struct change *c, uint32_t role)
{
	uint16_t left[ROLE_RESOURCE_MAX];
	size_t n = 0;

	for (uint32_t id = c->s->role_resource[role]; id; id = c->s->resource_next[id])
		left[n++] = (uint16_t)id;
	for (size_t i = 0; i < n;) {
		bool needed = false;

		for (size_t k = 0; k < n && !needed; k++)
			needed = depends_on(&c->s->resources[left[k]], left[i]);
		if (needed) {
			i++;
			continue;
		}
		left[i] = left[--n];
		i = 0;
	}
	if (!n)
		return true;
	return change_refuse(c, REFUSED_INVALID,
			     "would close a circle of dependencies, with '%s' in it: change 'depends'",
			     c->s->resources[left[0]].name);
}

static bool check_resource(struct change *c)
{
	const struct resource *r = &c->s->resources[c->id];
	uint32_t n = 0;

	if (!r->role)
		return change_refuse(c, REFUSED_INVALID, "belongs to no role: set the field 'role'");
	if (!agent_valid(r->agent))
		return change_refuse(c, REFUSED_INVALID,
				     "has no valid agent ('%s'): write ocf:PROVIDER:TYPE, as ocf:heartbeat:IPaddr2",
				     r->agent);
	for (uint32_t id = c->s->role_resource[r->role]; id; id = c->s->resource_next[id])
		n++;
	if (n > ROLE_RESOURCE_MAX)
		return change_refuse(c, REFUSED_FULL,
				     "is one too many in the role '%s': at most %d resources are allowed in one",
				     state_name(c->s, KIND_ROLE, r->role), ROLE_RESOURCE_MAX);
	return change_check_role_of(c, r) && check_same_role(c, r) && check_acyclic(c, r->role);
}

/* ---- rule ---- */

static uint32_t roles_shared(const uint16_t *a, const uint16_t *b, uint16_t ret_shared[2])
{
	uint32_t n = 0;

	/* both lists rise */
	for (size_t i = 0, k = 0; i < ROLELIST_MAX && k < ROLELIST_MAX && a[i] && b[k] && n < 2;) {
		if (a[i] == b[k])
			ret_shared[n++] = a[i];
		if (a[i] <= b[k])
			i++;
		else
			k++;
	}
	return n;
}

/* Together on a node is together in its fault domain and its site: the scopes are ordered from narrow to wide. */
static bool rules_contradict(const struct rule *a, const struct rule *b)
{
	const struct rule *with = a->kind == RULE_AFFINITY ? a : b, *apart = a->kind == RULE_AFFINITY ? b : a;

	return a->hard && b->hard && a->kind != b->kind && with->scope <= apart->scope;
}

static bool check_rule(struct change *c)
{
	const struct rule *r = &c->s->rules[c->id];
	uint16_t both[2];

	if (!r->roles[0] || !r->roles[1])
		return change_refuse(c, REFUSED_INVALID, "speaks of fewer than two roles: set the field 'roles'");
	for (uint32_t id = 1; id <= c->s->high[KIND_RULE]; id++) {
		if (id == c->id || !state_rule(c->s, id) || !rules_contradict(r, &c->s->rules[id]) ||
		    roles_shared(r->roles, c->s->rules[id].roles, both) < 2)
			continue;
		return change_refuse(c, REFUSED_INVALID,
				     "contradicts the rule '%s' about the roles '%s' and '%s': make one of them soft, "
				     "or change its roles",
				     c->s->rules[id].name, c->s->roles[both[0]].name, c->s->roles[both[1]].name);
	}
	return true;
}

/* ---- set ---- */

struct set_marks {
	bool reached[SET_MAX + 1];
};

/* Marks every set that `from` waits for, at any distance. */
static void mark_before(const struct state *s, uint32_t from, struct set_marks *marks)
{
	uint16_t queue[SET_MAX + 1];
	size_t head = 0, tail = 0;

	memset(marks, 0, sizeof(*marks));
	for (queue[tail++] = (uint16_t)from; head < tail; head++) {
		const uint16_t *after = s->sets[queue[head]].after;

		for (size_t i = 0; i < SETLIST_MAX && after[i]; i++) {
			if (marks->reached[after[i]])
				continue;
			marks->reached[after[i]] = true;
			if (tail < ARRAY_SIZE(queue))
				queue[tail++] = after[i];
		}
	}
}

/* A role that is in a set and in one that this waits for would wait for itself. */
static bool check_roles_apart(struct change *c, uint32_t set, const struct set_marks *before)
{
	uint16_t shared[2];

	for (uint32_t id = 1; id <= c->s->high[KIND_SET]; id++) {
		if (!before->reached[id] || !state_set(c->s, id) ||
		    !roles_shared(c->s->sets[set].roles, c->s->sets[id].roles, shared))
			continue;
		return change_refuse(
			c, REFUSED_INVALID,
			"would let the role '%s' wait for itself: it is in '%s' and in '%s', which waits for that",
			c->s->roles[shared[0]].name, c->s->sets[id].name, c->s->sets[set].name);
	}
	return true;
}

static bool check_set(struct change *c)
{
	struct set_marks before, others;

	mark_before(c->s, c->id, &before);
	if (before.reached[c->id])
		return change_refuse(c, REFUSED_INVALID, "would wait for itself: take a set out of 'after'");
	if (!check_roles_apart(c, c->id, &before))
		return false;
	/* Those that wait for this one: its roles may have become theirs too. */
	for (uint32_t id = 1; id <= c->s->high[KIND_SET]; id++) {
		if (id == c->id || !state_set(c->s, id))
			continue;
		mark_before(c->s, id, &others);
		if (others.reached[c->id] && !check_roles_apart(c, id, &others))
			return false;
	}
	return true;
}

bool change_check_object(struct change *c)
{
	switch (c->op->kind) {
	case KIND_CLUSTER:
		return check_cluster(c);
	case KIND_ROLE:
		return check_role(c);
	case KIND_RESOURCE:
		return check_resource(c);
	case KIND_RULE:
		return check_rule(c);
	case KIND_SET:
		return check_set(c);
	case KIND_VOLUME:
		return change_check_volume(c);
	default:
		return true;
	}
}

/* ---- delete ---- */

static bool check_delete_role(struct change *c)
{
	const struct role *r = &c->s->roles[c->id];

	if (r->owner || !role_stopped(c->s, c->id))
		return change_refuse(c, REFUSED_STATE,
				     "is %s%s%s and may run there: stop it first: clusterctl role stop %s",
				     enum_text(enum_values_role_state, r->state), r->owner ? " on node " : "",
				     r->owner ? c->s->nodes[r->owner].name : "", r->name);
	if (r->state != ROLE_OFFLINE && !c->op->force)
		return change_refuse(c, REFUSED_STATE,
				     "is %s, not offline: stop it first (clusterctl role stop %s), or use --force",
				     enum_text(enum_values_role_state, r->state), r->name);
	return true;
}

static bool check_delete_resource(struct change *c)
{
	const struct resource *r = &c->s->resources[c->id];

	if (r->state != RES_STOPPED || r->op)
		return change_refuse(c, REFUSED_STATE, "is %s: stop its role first: clusterctl role stop %s",
				     enum_text(enum_values_resource_state, r->state),
				     state_name(c->s, KIND_ROLE, r->role));
	for (uint32_t id = c->s->role_resource[r->role]; id; id = c->s->resource_next[id])
		if (depends_on(&c->s->resources[id], c->id))
			return change_refuse(c, REFUSED_IN_USE,
					     "is needed by '%s': take it out of the field 'depends' there first",
					     c->s->resources[id].name);
	return true;
}

static bool check_delete_set(struct change *c)
{
	for (uint32_t id = 1; id <= c->s->high[KIND_SET]; id++)
		for (size_t i = 0; state_set(c->s, id) && i < SETLIST_MAX && c->s->sets[id].after[i]; i++)
			if (c->s->sets[id].after[i] == c->id)
				return change_refuse(
					c, REFUSED_IN_USE,
					"is waited for by the set '%s': take it out of the field 'after' there first",
					c->s->sets[id].name);
	return true;
}

bool change_check_delete(struct change *c)
{
	switch (c->op->kind) {
	case KIND_ROLE:
		return check_delete_role(c);
	case KIND_RESOURCE:
		return check_delete_resource(c);
	case KIND_SET:
		return check_delete_set(c);
	case KIND_VOLUME:
		return change_check_delete_volume(c);
	default:
		return true;
	}
}
