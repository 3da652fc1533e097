/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who has to leave a node for a role of higher priority: adversaries by hard anti-affinity all, for room as few and as
 * unimportant ones as can be.
 */
#include <string.h>

#include "clusterd/core/place_private.h"

/* Victims, the cheapest first: on their way out already, then by rising priority, then falling id. */
#define VICTIM_CLASSES 5
struct victims {
	uint32_t start[NODE_MAX + 1][VICTIM_CLASSES]; /* of each node's classes in `roles` */
	uint32_t n[NODE_MAX + 1][VICTIM_CLASSES];
	uint8_t class_of[ROLE_MAX + 1], node_of[ROLE_MAX + 1];
	uint16_t roles[ROLE_MAX + 1], spare[ROLE_MAX + 1];
};

#define NO_VICTIM 0xff

/* On a node that is about to be fenced nothing stops in time. */
static uint8_t victim_class(const struct state *s, const struct role *victim, uint32_t priority)
{
	const struct node *n = &s->nodes[victim->owner];

	if (!victim->object.used || !victim->owner || victim->priority >= priority || victim->maintenance || n->maintenance ||
	    n->fence_asked || n->state != NODE_ONLINE)
		return NO_VICTIM;
	if (victim->target && victim->target != victim->owner)
		return NO_VICTIM; /* leaves on its own; its room counts when it is free */
	if (victim->preempted || victim->state == ROLE_STOPPING)
		return 0;
	if (victim->state != ROLE_ONLINE && victim->state != ROLE_STARTING)
		return NO_VICTIM;
	return (uint8_t)(1 + victim->priority);
}

/* A role that must be where this one is would be stopped for good: no victim. */
static void victims_spare(struct state *s, uint32_t role, struct victims *v)
{
	uint32_t n;
	const uint16_t *ids = state_rules_of(s, role, &n);

	for (uint32_t i = 0; i < n; i++) {
		const struct rule *rule = &s->rules[ids[i]];

		if (!rule->hard || rule->kind != RULE_AFFINITY)
			continue;
		for (uint32_t j = 0; j < ROLELIST_MAX && rule->roles[j]; j++)
			v->class_of[rule->roles[j]] = NO_VICTIM;
	}
}

/* On all nodes: adversaries may have to leave others of the same site. */
static void victims_collect(struct state *s, const struct preempt_wish *wish, struct victims *v)
{
	uint32_t at = 0;

	memset(v->n, 0, sizeof(v->n));
	memset(v->class_of, 0, s->high[KIND_ROLE] + 1);
	victims_spare(s, wish->role, v);
	for (uint32_t i = 0; i < wish->n_companions; i++)
		victims_spare(s, wish->companions[i], v);
	for (uint32_t id = 1; id <= s->high[KIND_ROLE]; id++) {
		if (v->class_of[id] != NO_VICTIM)
			v->class_of[id] = victim_class(s, &s->roles[id], s->roles[wish->role].priority);
		if (v->class_of[id] == NO_VICTIM)
			continue;
		v->node_of[id] = (uint8_t)s->roles[id].owner;
		v->n[v->node_of[id]][v->class_of[id]]++;
	}
	for (uint32_t n = 1; n <= NODE_MAX; n++)
		for (uint32_t c = 0; c < VICTIM_CLASSES; c++) {
			v->start[n][c] = at;
			at += v->n[n][c];
			v->n[n][c] = 0;
		}
	for (uint32_t id = s->high[KIND_ROLE]; id > 0; id--)
		if (v->class_of[id] != NO_VICTIM) {
			uint32_t n = v->node_of[id], c = v->class_of[id];

			v->roles[v->start[n][c] + v->n[n][c]++] = (uint16_t)id;
		}
}

struct victim_choice {
	uint32_t count[VICTIM_CLASSES]; /* victims per class */
	uint32_t n;
	uint16_t roles[PLACE_VICTIMS_MAX];
};

/* How much of what is lacking the victim gives, of cpu and memory together; coarse, for a short sort. */
#define VICTIM_GAIN_WHOLE 64
#define VICTIM_GAIN_MAX (2 * VICTIM_GAIN_WHOLE)
static uint32_t victim_gain(const struct role *victim, const struct place_need *lack)
{
	uint64_t cpu = victim->cpu < lack->cpu ? victim->cpu : lack->cpu;
	uint64_t memory_mb = victim->memory_mb < lack->memory_mb ? victim->memory_mb : lack->memory_mb;

	return (uint32_t)((lack->cpu ? cpu * VICTIM_GAIN_WHOLE / lack->cpu : 0) +
			  (lack->memory_mb ? memory_mb * VICTIM_GAIN_WHOLE / lack->memory_mb : 0));
}

/* Orders a class by falling gain, ids within the same gain as they are: a counting sort, `spare` is for n roles. */
static void victims_by_gain(const struct state *s, uint16_t *roles, uint32_t n, const struct place_need *lack, uint16_t *spare)
{
	uint16_t count[VICTIM_GAIN_MAX + 2] = { 0 };

	for (uint32_t i = 0; i < n; i++)
		count[VICTIM_GAIN_MAX - victim_gain(&s->roles[roles[i]], lack) + 1]++;
	for (uint32_t gain = 1; gain <= VICTIM_GAIN_MAX; gain++)
		count[gain] = (uint16_t)(count[gain] + count[gain - 1]);
	for (uint32_t i = 0; i < n; i++)
		spare[count[VICTIM_GAIN_MAX - victim_gain(&s->roles[roles[i]], lack)]++] = roles[i];
	memcpy(roles, spare, n * sizeof(roles[0]));
}

static bool enough(const struct place_need *freed, const struct place_need *lack)
{
	return freed->cpu >= lack->cpu && freed->memory_mb >= lack->memory_mb;
}

/* Puts a victim in its place of the order: class, then falling id. False: there are too many. */
static bool choice_add(struct victim_choice *choice, const struct victims *v, uint16_t role)
{
	uint32_t at = choice->n;

	if (choice->n == PLACE_VICTIMS_MAX)
		return false;
	for (; at > 0; at--) {
		uint16_t other = choice->roles[at - 1];

		if (v->class_of[other] < v->class_of[role] || (v->class_of[other] == v->class_of[role] && other > role))
			break;
		choice->roles[at] = other;
	}
	choice->roles[at] = role;
	choice->count[v->class_of[role]]++;
	choice->n++;
	return true;
}

static bool has_role(const uint16_t *roles, uint32_t n, uint32_t role)
{
	for (uint32_t i = 0; i < n; i++)
		if (roles[i] == role)
			return true;
	return false;
}

/* Those whom a hard anti-affinity keeps apart from the role at `n` have to go, all of them. False: they do not. */
static bool adversaries_choose(const struct place_view *v, uint32_t role, uint32_t n, struct victims *victims,
			       struct victim_choice *ret)
{
	const struct state *s = v->s;
	uint32_t n_rules;
	const uint16_t *ids = state_rules_of(v->s, role, &n_rules);

	for (uint32_t i = 0; i < n_rules; i++) {
		const struct rule *rule = &s->rules[ids[i]];
		nodeset_t scope = place_scope_nodes(v, rule->scope, n);

		if (!rule->hard || rule->kind != RULE_ANTI_AFFINITY)
			continue;
		for (uint32_t j = 0; j < ROLELIST_MAX && rule->roles[j]; j++) {
			uint16_t id = rule->roles[j];
			const struct role *other = &s->roles[id];

			if (id == role || has_role(ret->roles, ret->n, id) || !(place_spots(other) & scope))
				continue;
			if (victims->class_of[id] == NO_VICTIM || !choice_add(ret, victims, id))
				return false;
		}
	}
	return true;
}

/*
 * After the adversaries it takes whole classes, the cheapest first, until there is room; then gives back whom it can spare:
 * of the dearest class first, of a class those who give least, so that few are left.
 */
static bool victims_choose(const struct place_view *view, const struct preempt_wish *wish, uint32_t n, struct victims *v,
			   struct victim_choice *ret)
{
	const struct state *s = view->s;
	struct place_need lack = place_lack(s, &s->roles[wish->role], n, wish->extra), freed = { 0 };
	uint16_t forced[PLACE_VICTIMS_MAX];
	uint32_t classes = 0, n_forced;

	*ret = (struct victim_choice){ 0 };
	if (!adversaries_choose(view, wish->role, n, v, ret))
		return false;
	n_forced = ret->n;
	memcpy(forced, ret->roles, sizeof(forced));
	for (uint32_t i = 0; i < n_forced; i++)
		if (s->roles[forced[i]].owner == n)
			place_need_add(&freed, &s->roles[forced[i]]);
	for (; classes < VICTIM_CLASSES && !enough(&freed, &lack); classes++)
		for (uint32_t i = 0; i < v->n[n][classes]; i++)
			if (!has_role(forced, n_forced, v->roles[v->start[n][classes] + i]))
				place_need_add(&freed, &s->roles[v->roles[v->start[n][classes] + i]]);
	if (!enough(&freed, &lack))
		return false;
	while (classes-- > 0) {
		uint16_t *list = &v->roles[v->start[n][classes]];

		victims_by_gain(s, list, v->n[n][classes], &lack, v->spare);
		for (uint32_t i = v->n[n][classes]; i-- > 0;) {
			const struct role *victim = &s->roles[list[i]];
			struct place_need rest = { freed.cpu - victim->cpu, freed.memory_mb - victim->memory_mb };

			if (has_role(forced, n_forced, list[i]))
				continue;
			if (enough(&rest, &lack))
				freed = rest;
			else if (!choice_add(ret, v, list[i]))
				return false;
		}
	}
	return true;
}

/* Fewer victims of the highest priority first, then of the next lower. */
static int choice_compare(const struct victim_choice *a, const struct victim_choice *b)
{
	for (uint32_t c = VICTIM_CLASSES; c-- > 0;)
		if (a->count[c] != b->count[c])
			return a->count[c] < b->count[c] ? -1 : 1;
	return 0;
}

void place_preempt(const struct place_view *v, const struct preempt_wish *wish, struct placement *ret)
{
	struct victim_choice best = { 0 }, choice;
	struct victims victims;

	ret->node = 0;
	victims_collect(v->s, wish, &victims);
	for (nodeset_t where = wish->where; where; where &= where - 1) {
		uint32_t n = nodeset_first(where);
		int order;

		if (!victims_choose(v, wish, n, &victims, &choice))
			continue;
		order = ret->node ? choice_compare(&choice, &best) : -1;
		if (order > 0 || (order == 0 && wish->scores[n] <= wish->scores[ret->node]))
			continue;
		ret->node = n;
		best = choice;
	}
	ret->n_victims = best.n;
	memcpy(ret->victims, best.roles, sizeof(best.roles[0]) * best.n);
}

bool place_keeps_apart(struct state *s, uint32_t role, uint32_t node, uint32_t other)
{
	struct place_view v = place_view_of(s);
	uint32_t n;
	const uint16_t *ids = state_rules_of(s, role, &n);

	for (uint32_t i = 0; i < n; i++) {
		const struct rule *rule = &s->rules[ids[i]];

		if (rule->hard && rule->kind == RULE_ANTI_AFFINITY && has_role(rule->roles, ROLELIST_MAX, other) &&
		    place_spots(&s->roles[other]) & place_scope_nodes(&v, rule->scope, node))
			return true;
	}
	return false;
}
