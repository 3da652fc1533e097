/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Indexes of the state: names, resources of a role, load of a node, rules of a role. All derived, none encoded. */
#include <string.h>

#include "clusterd/core/state.h"
#include "clusterd/core/state_index.h"

/* FNV-1a: the order of a bucket chain never reaches the state, so any spread will do. */
static uint32_t name_bucket(uint32_t kind, const char *name)
{
	uint32_t h = 2166136261u ^ kind;

	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * 16777619u;
	return (h ^ h >> 15) & (NAME_BUCKETS - 1);
}

uint32_t state_find(const struct state *s, uint32_t kind, const char *name)
{
	for (uint32_t b = name_bucket(kind, name); s->names[b]; b = (b + 1) & (NAME_BUCKETS - 1)) {
		uint32_t id = s->names[b] & 0xffffff;

		if (s->names[b] >> 24 == kind && !strcmp(state_name(s, kind, id), name))
			return id;
	}
	return 0;
}

void state_index_add_name(struct state *s, uint32_t kind, uint32_t id)
{
	uint32_t b = name_bucket(kind, state_name(s, kind, id));

	while (s->names[b])
		b = (b + 1) & (NAME_BUCKETS - 1);
	s->names[b] = kind << 24 | id;
}

void state_index_remove_name(struct state *s, uint32_t kind, uint32_t id)
{
	uint32_t b = name_bucket(kind, state_name(s, kind, id)), hole;

	while (s->names[b] != (kind << 24 | id)) {
		if (!s->names[b])
			return;
		b = (b + 1) & (NAME_BUCKETS - 1);
	}
	/* Close the gap, so that linear probing needs no tombstones. */
	s->names[hole = b] = 0;
	for (b = (b + 1) & (NAME_BUCKETS - 1); s->names[b]; b = (b + 1) & (NAME_BUCKETS - 1)) {
		uint32_t home = name_bucket(s->names[b] >> 24, state_name(s, s->names[b] >> 24, s->names[b] & 0xffffff));

		if (((b - home) & (NAME_BUCKETS - 1)) < ((b - hole) & (NAME_BUCKETS - 1)))
			continue;
		s->names[hole] = s->names[b];
		s->names[hole = b] = 0;
	}
}

static void link_resource(struct state *s, uint32_t id)
{
	uint32_t role = s->resources[id].role;
	uint16_t *at;

	if (!role || role > ROLE_MAX)
		return;
	at = &s->role_resource[role];
	while (*at && *at < id)
		at = &s->resource_next[*at];
	s->resource_next[id] = *at;
	*at = (uint16_t)id;
}

static void unlink_resource(struct state *s, uint32_t id)
{
	uint32_t role = s->resources[id].role;
	uint16_t *at;

	if (!role || role > ROLE_MAX)
		return;
	at = &s->role_resource[role];
	while (*at && *at != id)
		at = &s->resource_next[*at];
	if (*at)
		*at = s->resource_next[id];
	s->resource_next[id] = 0;
}

/* The node on which a resource's operation counts: the owner of its role. */
static uint32_t op_node(const struct state *s, uint32_t resource)
{
	const struct role *r = state_role(s, s->resources[resource].role);

	return r && s->resources[resource].op ? r->owner : 0;
}

static uint32_t role_ops(const struct state *s, uint32_t role)
{
	uint32_t n = 0;

	for (uint32_t id = s->role_resource[role]; id; id = s->resource_next[id])
		n += s->resources[id].op != 0;
	return n;
}

static void load_add(struct state *s, uint32_t node, const struct role *r, int sign)
{
	struct node_load *l = &s->load[node];

	l->cpu += (uint64_t)((int64_t)sign * r->cpu);
	l->memory_mb += (uint64_t)((int64_t)sign * r->memory_mb);
	l->roles += (uint32_t)sign;
}

/* A role weighs on its owner, and on the node it is on its way to. */
static void weigh(struct state *s, const struct role *r, int sign)
{
	if (r->owner) {
		load_add(s, r->owner, r, sign);
		s->load[r->owner].ops += (uint32_t)(sign * (int)role_ops(s, r->object.id));
	}
	if (r->target && r->target != r->owner)
		load_add(s, r->target, r, sign);
}

void state_index_add(struct state *s, uint32_t kind, uint32_t id)
{
	s->count[kind]++;
	if (s->high[kind] < id)
		s->high[kind] = id;
	if (kind == KIND_EVENT)
		return;
	state_index_add_name(s, kind, id);
	if (kind == KIND_RESOURCE)
		link_resource(s, id);
	else if (kind == KIND_ROLE)
		weigh(s, &s->roles[id], 1);
	else if (kind == KIND_RULE)
		s->rules_stale = true;
}

void state_index_remove(struct state *s, uint32_t kind, uint32_t id)
{
	s->count[kind]--;
	if (kind == KIND_EVENT)
		return;
	state_index_remove_name(s, kind, id);
	if (kind == KIND_RESOURCE) {
		state_set_op(s, id, 0, AGENT_NONE);
		unlink_resource(s, id);
	} else if (kind == KIND_ROLE) {
		weigh(s, &s->roles[id], -1);
	} else if (kind == KIND_RULE) {
		s->rules_stale = true;
	}
}

void state_set_owner(struct state *s, uint32_t role, uint32_t node)
{
	struct role *r = state_edit(s, KIND_ROLE, role);

	weigh(s, r, -1);
	r->owner = node;
	weigh(s, r, 1);
}

void state_set_target(struct state *s, uint32_t role, uint32_t node)
{
	struct role *r = state_edit(s, KIND_ROLE, role);

	weigh(s, r, -1);
	r->target = node;
	weigh(s, r, 1);
}

void state_set_op(struct state *s, uint32_t resource, uint64_t op, uint32_t action)
{
	struct resource *r = state_edit(s, KIND_RESOURCE, resource);
	uint32_t node = op_node(s, resource);

	if (node)
		s->load[node].ops--;
	r->op = op;
	r->op_action = op ? action : AGENT_NONE;
	node = op_node(s, resource);
	if (node)
		s->load[node].ops++;
}

void state_set_role_of(struct state *s, uint32_t resource, uint32_t role)
{
	struct resource *r = state_edit(s, KIND_RESOURCE, resource);

	unlink_resource(s, resource);
	r->role = role;
	link_resource(s, resource);
}

void state_role_size_changed(struct state *s, uint32_t role, uint32_t old_cpu, uint32_t old_memory_mb)
{
	const struct role *r = &s->roles[role];
	struct role old = *r;

	old.cpu = old_cpu;
	old.memory_mb = old_memory_mb;
	weigh(s, &old, -1);
	weigh(s, r, 1);
}

void state_rules_changed(struct state *s) { s->rules_stale = true; }

static void rebuild_rules(struct state *s)
{
	uint32_t n = 0;

	memset(s->rule_first, 0, sizeof(s->rule_first));
	/* Counting sort by role: counts, then offsets, then places. */
	for (uint32_t id = 1; id <= s->high[KIND_RULE]; id++)
		for (uint32_t i = 0; state_rule(s, id) && i < ROLELIST_MAX && s->rules[id].roles[i]; i++)
			s->rule_first[s->rules[id].roles[i] + 1]++;
	for (uint32_t role = 0; role <= ROLE_MAX; role++)
		s->rule_first[role + 1] += s->rule_first[role];
	for (uint32_t id = s->high[KIND_RULE]; id >= 1; id--)
		for (uint32_t i = 0; state_rule(s, id) && i < ROLELIST_MAX && s->rules[id].roles[i]; i++)
			s->rule_of[--s->rule_first[s->rules[id].roles[i] + 1]] = (uint16_t)id, n++;
	/* The offsets of role r moved into rule_first[r + 1]: shift them home. */
	memmove(&s->rule_first[0], &s->rule_first[1], ROLE_MAX * sizeof(s->rule_first[0]) + sizeof(s->rule_first[0]));
	s->rule_first[ROLE_MAX + 1] = n;
	s->rules_stale = false;
}

const uint16_t *state_rules_of(struct state *s, uint32_t role, uint32_t *ret_n)
{
	if (s->rules_stale)
		rebuild_rules(s);
	*ret_n = s->rule_first[role + 1] - s->rule_first[role];
	return &s->rule_of[s->rule_first[role]];
}

void state_index_clear(struct state *s)
{
	memset(s->high, 0, sizeof(s->high));
	memset(s->count, 0, sizeof(s->count));
	memset(s->names, 0, sizeof(s->names));
	memset(s->role_resource, 0, sizeof(s->role_resource));
	memset(s->resource_next, 0, sizeof(s->resource_next));
	memset(s->load, 0, sizeof(s->load));
	s->rules_stale = true;
}

void state_reindex(struct state *s)
{
	uint32_t high[KIND_LAST + 1];

	/* Never below an id in use, whatever happened: most of the tables need not be looked at. */
	memcpy(high, s->high, sizeof(high));
	state_index_clear(s);
	for (uint32_t kind = KIND_CLUSTER; kind <= KIND_LAST; kind++)
		for (uint32_t id = 1; id <= high[kind]; id++)
			if (state_get(s, kind, id) && kind != KIND_RESOURCE)
				state_index_add(s, kind, id);
	/* Resources last and from the highest: each becomes its role's first. The roles' loads then get their operations. */
	for (uint32_t id = high[KIND_RESOURCE]; id >= 1; id--) {
		if (!state_resource(s, id))
			continue;
		state_index_add(s, KIND_RESOURCE, id);
		if (op_node(s, id))
			s->load[op_node(s, id)].ops++;
	}
}
