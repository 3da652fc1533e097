/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What would happen: losses and drains on a copy of the state, decided by the role engine itself. */
#include "clusterd/core/foresee.h"

#include <string.h>

#include "clusterd/core/node.h"
#include "clusterd/core/votes.h"
#include "splitmix.h"

/* Whatever the original has not committed yet: to the copy it is how things are. */
static void copy_objects(void *to, const void *from, uint32_t n, size_t size)
{
	memcpy(to, from, n * size);
	for (uint32_t i = 0; i < n; i++)
		((struct object *)((char *)to + i * size))->dirty = 0;
}

void foresee_copy(struct state *to, const struct state *from)
{
	state_clear(to);
	to->tag = from->tag;
	copy_objects(&to->cluster, &from->cluster, 1, sizeof(from->cluster));
	copy_objects(to->nodes, from->nodes, from->high[KIND_NODE] + 1, sizeof(from->nodes[0]));
	copy_objects(to->networks, from->networks, from->high[KIND_NETWORK] + 1, sizeof(from->networks[0]));
	copy_objects(to->roles, from->roles, from->high[KIND_ROLE] + 1, sizeof(from->roles[0]));
	copy_objects(to->rules, from->rules, from->high[KIND_RULE] + 1, sizeof(from->rules[0]));
	copy_objects(to->volumes, from->volumes, from->high[KIND_VOLUME] + 1, sizeof(from->volumes[0]));
	copy_objects(to->sets, from->sets, from->high[KIND_SET] + 1, sizeof(from->sets[0]));
	memcpy(to->high, from->high, sizeof(to->high));
	state_reindex(to);
}

/* --- coming to rest --- */

/* Every operation in flight succeeds. False: there was none. */
static bool operations_end(struct engine *e, struct state *s)
{
	bool any = false;

	for (uint32_t id = 1; id <= s->high[KIND_RESOURCE]; id++) {
		const struct resource *r = &s->resources[id];
		struct msg_result m = { .op = r->op, .resource = id, .action = (uint8_t)r->op_action };

		if (!r->object.used || !r->op || !state_role(s, r->role))
			continue;
		m.rc = OCF_SUCCESS;
		m.status = AGENT_DONE;
		role_result(e, s, s->roles[r->role].owner, &m);
		any = true;
	}
	return any;
}

/* When the next start set opens, 0: none does by waiting. */
static uint64_t next_opening(const struct state *s)
{
	uint64_t next = 0;

	for (uint32_t id = 1; id <= s->high[KIND_SET]; id++) {
		const struct set *set = &s->sets[id];

		for (uint32_t i = 0; set->object.used && i < SETLIST_MAX && set->after[i]; i++) {
			uint64_t ready_ms = s->sets[set->after[i]].ready_ms, at = ready_ms + set->delay_ms;

			if (ready_ms && at > s->cluster.now_ms && (!next || at < next))
				next = at;
		}
	}
	return next;
}

static bool come_to_rest(struct engine *e, struct state *s)
{
	uint64_t end_ms = s->cluster.now_ms + FORESEE_HORIZON_MS, next;

	for (uint32_t step = 0; step < FORESEE_STEPS_MAX; step++) {
		engine_run(e, s);
		if (operations_end(e, s))
			continue;
		next = next_opening(s);
		if (!next || next > end_ms)
			return true;
		role_clock(e, s, next);
	}
	return false;
}

bool foresee_rest(struct state *s)
{
	struct engine e;

	engine_init(&e);
	engine_touch_all(&e, s);
	return come_to_rest(&e, s);
}

/* --- what happens to nodes --- */

static nodeset_t nodes_known(const struct state *s, nodeset_t nodes)
{
	nodeset_t known = 0;

	for (uint32_t id = 1; id <= s->high[KIND_NODE]; id++)
		if (s->nodes[id].object.used)
			known |= NODE_BIT(id);
	return known & nodes;
}

static void votes_adapt(struct state *s, nodeset_t present)
{
	struct votes v = votes_settle(s, votes_of(s), present, s->cluster.witness != WITNESS_NONE);

	for (uint32_t id = 1; id <= s->high[KIND_NODE]; id++)
		if (s->nodes[id].object.used && s->nodes[id].vote != (uint32_t)nodeset_has(v.nodes, id))
			((struct node *)state_edit(s, KIND_NODE, id))->vote = (uint32_t)nodeset_has(v.nodes, id);
	if (s->cluster.unseen_votes & ~v.nodes)
		((struct cluster *)state_edit(s, KIND_CLUSTER, 1))->unseen_votes &= v.nodes;
	if (s->cluster.witness_vote != v.witness)
		((struct cluster *)state_edit(s, KIND_CLUSTER, 1))->witness_vote = v.witness;
}

static void lose(struct engine *e, struct state *s, nodeset_t nodes)
{
	for (nodes = nodes_known(s, nodes); nodes; nodes &= nodes - 1) {
		node_lost(e, s, nodeset_first(nodes), false, true);
		node_fenced(e, s, nodeset_first(nodes), FENCE_BY_COMMAND);
	}
	votes_adapt(s, nodes_in(s, NODE_ONLINE));
	e->sets_stale = true;
}

bool foresee_lose(struct state *s, nodeset_t nodes)
{
	struct engine e;

	engine_init(&e);
	lose(&e, s, nodes);
	return come_to_rest(&e, s);
}

bool foresee_drain(struct state *s, nodeset_t nodes)
{
	for (nodes = nodes_known(s, nodes); nodes; nodes &= nodes - 1)
		((struct node *)state_edit(s, KIND_NODE, nodeset_first(nodes)))->admin = ADMIN_DRAINING;
	return foresee_rest(s);
}

bool foresee_return(struct state *s, nodeset_t nodes)
{
	for (nodes = nodes_known(s, nodes); nodes; nodes &= nodes - 1) {
		struct node *n = state_edit(s, KIND_NODE, nodeset_first(nodes));

		n->state = NODE_ONLINE;
		n->admin = ADMIN_UP;
		for (uint32_t id = 1; id <= s->high[KIND_VOLUME]; id++) /* it mounts what there is */
			if (state_volume(s, id))
				volume_set_put(&n->volumes_up, id, true);
	}
	votes_adapt(s, nodes_in(s, NODE_ONLINE));
	return foresee_rest(s);
}

uint32_t foresee_compare(const struct state *before, const struct state *after,
			 void (*each)(void *user, const struct foresee_move *move), void *user)
{
	uint32_t down = 0;

	for (uint32_t id = 1; id <= before->high[KIND_ROLE]; id++) {
		const struct role *a = &before->roles[id], *b = &after->roles[id];
		struct foresee_move move = { .role = id, .from = a->owner, .to = b->owner };

		if (!a->object.used || a->owner == b->owner)
			continue;
		move.down = a->owner && a->want && b->want && !b->owner;
		down += move.down;
		if (each)
			each(user, &move);
	}
	return down;
}

/* --- quorum --- */

bool foresee_quorum(const struct state *s, nodeset_t members, nodeset_t lost, bool at_once, bool *ret_witness)
{
	bool witness = s->cluster.witness != WITNESS_NONE;
	struct votes v = votes_of(s);

	if (ret_witness)
		*ret_witness = false;
	members &= nodes_in(s, NODE_ONLINE) | nodes_in(s, NODE_JOINING);
	lost &= members;
	do {
		nodeset_t voters = lost & v.nodes ? lost & v.nodes : lost;
		nodeset_t next = at_once ? lost : voters & -voters;

		lost &= ~next;
		members &= ~next;
		if (!votes_majority(v, members, witness))
			return false;
		if (ret_witness)
			*ret_witness |= votes_need_witness(v, members);
		v = votes_settle(s, v, members, witness);
	} while (lost);
	return true;
}

/* --- survival --- */

struct survey {
	const struct state *from;
	struct state *copy;
	struct node_load load[NODE_MAX + 1]; /* of the copy before anything was lost */
	nodeset_t members;
	bool at_once;
	uint8_t by_load[NODE_MAX + 1]; /* members, the fullest first */
	uint32_t n;
};

/* Takes the copy back to what it was: only what was edited is written. */
static void copy_restore(struct survey *v)
{
	struct state *to = v->copy;
	const struct state *from = v->from;

	for (uint32_t i = 0; i < to->n_dirty; i++) {
		uint32_t id = to->dirty[i] & 0xffffff;

		switch (to->dirty[i] >> 24) {
		case KIND_CLUSTER:
			to->cluster = from->cluster;
			to->cluster.object.dirty = 0;
			break;
		case KIND_NODE:
			to->nodes[id] = from->nodes[id];
			to->nodes[id].object.dirty = 0;
			break;
		case KIND_ROLE:
			to->roles[id] = from->roles[id];
			to->roles[id].object.dirty = 0;
			break;
		case KIND_SET:
			to->sets[id] = from->sets[id];
			to->sets[id].object.dirty = 0;
			break;
		default: /* decisions write events besides; the copy had none */
			memset(&to->events[id], 0, sizeof(to->events[id]));
			break;
		}
	}
	to->n_dirty = 0;
	to->high[KIND_EVENT] = to->count[KIND_EVENT] = 0;
	memcpy(to->load, v->load, sizeof(to->load));
}

/* Roles that ran, are wanted and have no node now. */
static uint32_t count_down(const struct survey *v, uint32_t *ret_first)
{
	uint32_t down = 0;

	*ret_first = 0;
	for (uint32_t i = 0; i < v->copy->n_dirty; i++) {
		uint32_t id = v->copy->dirty[i] & 0xffffff;
		const struct role *was = &v->from->roles[id], *is = &v->copy->roles[id], *first;

		if (v->copy->dirty[i] >> 24 != KIND_ROLE || !was->owner || !was->want || !is->want || is->owner)
			continue;
		down++;
		first = &v->from->roles[*ret_first];
		if (!*ret_first || is->priority > first->priority || (is->priority == first->priority && id < *ret_first))
			*ret_first = id;
	}
	return down;
}

/* False: losing these hurts; ret says how. */
static bool survives(struct survey *v, nodeset_t lost, struct foresee_limit *ret)
{
	struct engine e;

	ret->tried++;
	if (!foresee_quorum(v->from, v->members, lost, v->at_once, NULL)) {
		ret->quorum_lost = true;
		ret->worst = lost;
		return false;
	}
	engine_init(&e);
	for (nodeset_t left = lost; left;) {
		nodeset_t next = v->at_once ? left : NODE_BIT(nodeset_first(left));

		left &= ~next;
		lose(&e, v->copy, next);
		come_to_rest(&e, v->copy);
	}
	ret->down = count_down(v, &ret->first_down);
	copy_restore(v);
	if (!ret->down)
		return true;
	ret->worst = lost;
	return false;
}

static void order_by_load(struct survey *v)
{
	for (nodeset_t left = v->members; left; left &= left - 1) {
		uint32_t id = nodeset_first(left), at = v->n++;

		for (; at > 0 && v->load[v->by_load[at - 1]].roles < v->load[id].roles; at--)
			v->by_load[at] = v->by_load[at - 1];
		v->by_load[at] = (uint8_t)id;
	}
}

/* Sets of k members, or FORESEE_SETS_MAX + 1 when there are more than FORESEE_SETS_MAX. */
static uint32_t sets_of(uint32_t n, uint32_t k)
{
	uint64_t sets = 1;

	for (uint32_t i = 1; i <= k; i++) {
		sets = sets * (n - k + i) / i;
		if (sets > FORESEE_SETS_MAX)
			return FORESEE_SETS_MAX + 1;
	}
	return (uint32_t)sets;
}

static bool all_sets_survive(struct survey *v, uint32_t k, struct foresee_limit *ret)
{
	uint8_t pick[NODE_MAX + 1];

	for (uint32_t i = 0; i < k; i++)
		pick[i] = (uint8_t)i;
	for (;;) {
		nodeset_t lost = 0;
		uint32_t i = k;

		for (uint32_t j = 0; j < k; j++)
			lost |= NODE_BIT(v->by_load[pick[j]]);
		if (!survives(v, lost, ret))
			return false;
		/* the next combination in order: raise the last index that has room */
		while (i > 0 && pick[i - 1] == v->n - k + i - 1)
			i--;
		if (!i)
			return true;
		pick[i - 1]++;
		for (; i < k; i++)
			pick[i] = (uint8_t)(pick[i - 1] + 1);
	}
}

/* From a fixed seed: the same question has the same answer. */
static uint32_t sample(uint64_t *rng, uint32_t below)
{
	return (uint32_t)(splitmix_next(rng) % below);
}

static bool some_sets_survive(struct survey *v, uint32_t k, struct foresee_limit *ret)
{
	uint64_t rng = k;

	for (uint32_t i = 0; i < FORESEE_SAMPLES; i++) {
		nodeset_t lost = 0;

		while ((uint32_t)nodeset_count(lost) < k)
			lost |= NODE_BIT(v->by_load[i ? sample(&rng, v->n) : (uint32_t)nodeset_count(lost)]);
		if (!survives(v, lost, ret))
			return false;
	}
	return true;
}

void foresee_survival(const struct state *s, struct state *copy, nodeset_t members, bool at_once,
		      struct foresee_limit *ret)
{
	struct survey v = { .from = s, .copy = copy, .members = members & nodes_in(s, NODE_ONLINE), .at_once = at_once };

	*ret = (struct foresee_limit){ .exhaustive = true };
	foresee_copy(copy, s);
	memcpy(v.load, copy->load, sizeof(v.load));
	order_by_load(&v);
	for (uint32_t k = 1; k <= v.n; k++) {
		bool all = sets_of(v.n, k) <= FORESEE_SETS_MAX;

		if (!(all ? all_sets_survive(&v, k, ret) : some_sets_survive(&v, k, ret)))
			return;
		ret->nodes = k;
		ret->exhaustive &= all;
	}
}
