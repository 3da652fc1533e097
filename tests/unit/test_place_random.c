/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * I13 on random clusters: whatever place_role() chooses breaks no hard rule and no capacity, and when it finds nothing
 * there is nothing. The judge below knows no index and no bit set: it walks over all roles each time. Then the same for
 * stories of losses, returns, drains and failures told to the role engine: at rest no rule and no capacity is broken,
 * looking again changes nothing, and who waits has no place (I14).
 */
#include <inttypes.h>

#include "clusterd/core/foresee.h"
#include "clusterd/core/node.h"
#include "clusterd/core/place.h"
#include "splitmix.h"
#include "tests/lib/check.h"

#define SEEDS 400

static uint64_t seed_now;

static uint32_t draw(uint64_t *rng, uint32_t below)
{
	return (uint32_t)(splitmix_next(rng) % below);
}

#define EXPECT(cond)                                                                      \
	do {                                                                              \
		if (!CHECK(cond)) {                                                       \
			fprintf(stderr, "\trepeat with: %s %" PRIu64 "\n",                \
				program_invocation_name, seed_now);                       \
			exit(1);                                                          \
		}                                                                         \
	} while (0)

static void make_nodes(struct state *s, uint64_t *rng)
{
	uint32_t n = 1 + draw(rng, draw(rng, 4) ? 8 : NODE_MAX), sites = 1 + draw(rng, 4);

	for (uint32_t id = 1; id <= n; id++) {
		struct node *node;
		char name[NAME_SIZE];

		snprintf(name, sizeof(name), "n%u", id);
		REQUIRE(state_create(s, KIND_NODE, name, id) == id);
		node = state_edit(s, KIND_NODE, id);
		node->state = draw(rng, 10) ? NODE_ONLINE : draw(rng, 4);
		node->admin = draw(rng, 10) ? ADMIN_UP : draw(rng, 4);
		node->fence_asked = !draw(rng, 20);
		node->quarantine_until_ms = draw(rng, 20) ? 0 : draw(rng, 2000);
		node->cpu = draw(rng, 3) ? 100 + draw(rng, 900) : 0;
		node->cpu_declared = draw(rng, 3) ? 500 : 0;
		node->memory_declared_mb = draw(rng, 3) ? 100 + draw(rng, 900) : 0;
		if (draw(rng, 4))
			snprintf(node->site, sizeof(node->site), "site%u", draw(rng, sites));
		if (draw(rng, 4))
			snprintf(node->fault_domain, sizeof(node->fault_domain), "rack%u", draw(rng, sites * 2));
	}
}

static void make_roles(struct state *s, uint64_t *rng)
{
	uint32_t n = 1 + draw(rng, 120), nodes = s->high[KIND_NODE];

	for (uint32_t id = 1; id <= n; id++) {
		struct role *role;
		char name[NAME_SIZE];

		snprintf(name, sizeof(name), "r%u", id);
		REQUIRE(state_create(s, KIND_ROLE, name, id) == id);
		role = state_edit(s, KIND_ROLE, id);
		role->priority = draw(rng, 4);
		role->state = ROLE_PENDING;
		role->cpu = draw(rng, 4) ? draw(rng, 200) : 0;
		role->memory_mb = draw(rng, 4) ? draw(rng, 200) : 0;
		role->maintenance = !draw(rng, 10);
		role->possible = draw(rng, 5) ? 0 : (nodeset_t)draw(rng, 1u << 30) << 1;
		role->banned = draw(rng, 5) ? 0 : NODE_BIT(1 + draw(rng, nodes));
		role->last_owner = draw(rng, nodes + 1);
		for (uint32_t i = 0; !draw(rng, 4) && i < nodes; i++)
			role->preferred[i] = (uint8_t)(nodes - i);
		state_role_size_changed(s, id, 0, 0);
	}
}

static void make_rules(struct state *s, uint64_t *rng)
{
	uint32_t n = draw(rng, 30), roles = s->high[KIND_ROLE];

	for (uint32_t id = 1; id <= n; id++) {
		struct rule *rule;
		uint32_t at = 1, i = 0;
		char name[NAME_SIZE];

		snprintf(name, sizeof(name), "rule%u", id);
		REQUIRE(state_create(s, KIND_RULE, name, id) == id);
		rule = state_edit(s, KIND_RULE, id);
		rule->kind = draw(rng, 2);
		rule->hard = draw(rng, 2);
		rule->scope = draw(rng, 3);
		for (at += draw(rng, roles); at <= roles && i < ROLELIST_MAX; at += 1 + draw(rng, roles / 3 + 1))
			rule->roles[i++] = (uint16_t)at;
		state_rules_changed(s);
	}
}

/* --- the judge --- */

static bool same_scope(const struct state *s, uint32_t scope, uint32_t a, uint32_t b)
{
	const char *x = scope == SCOPE_SITE ? s->nodes[a].site : s->nodes[a].fault_domain;
	const char *y = scope == SCOPE_SITE ? s->nodes[b].site : s->nodes[b].fault_domain;

	return a == b || (scope != SCOPE_NODE && *x && !strcmp(x, y));
}

static bool binds(const struct state *s, uint32_t node)
{
	const struct node *n = &s->nodes[node];

	return node && (n->state == NODE_ONLINE || n->state == NODE_JOINING) && !n->fence_asked &&
	       n->admin != ADMIN_DRAINING && n->admin != ADMIN_STOPPING;
}

/* Hard rules of the role, were it at `node` and `gone` (a set by id, or NULL) nowhere. Those of affinity bind it to `gone`, too. */
static bool rules_hold_without(const struct state *s, uint32_t role, uint32_t node, const bool *gone)
{
	for (uint32_t i = 1; i <= s->high[KIND_RULE]; i++) {
		const struct rule *rule = &s->rules[i];
		bool named = false;

		for (uint32_t j = 0; j < ROLELIST_MAX && rule->roles[j]; j++)
			named |= rule->roles[j] == role;
		for (uint32_t j = 0; named && rule->hard && j < ROLELIST_MAX && rule->roles[j]; j++) {
			const struct role *other = &s->roles[rule->roles[j]];
			uint32_t at = other->target ? other->target : other->owner;

			if (rule->roles[j] == role)
				continue;
			if (rule->kind == RULE_AFFINITY && binds(s, at) && !same_scope(s, rule->scope, at, node))
				return false;
			if (gone && gone[rule->roles[j]])
				continue;
			if (rule->kind == RULE_ANTI_AFFINITY && other->owner &&
			    same_scope(s, rule->scope, other->owner, node))
				return false;
			if (rule->kind == RULE_ANTI_AFFINITY && other->target &&
			    same_scope(s, rule->scope, other->target, node))
				return false;
		}
	}
	return true;
}

static bool rules_hold(const struct state *s, uint32_t role, uint32_t node) { return rules_hold_without(s, role, node, NULL); }

/* Room for `role` when everybody there but `gone` (a set by id) stays. */
static bool room(const struct state *s, uint32_t role, uint32_t node, const bool *gone)
{
	const struct node *n = &s->nodes[node];
	uint64_t cpu = s->roles[role].cpu, memory_mb = s->roles[role].memory_mb;
	uint64_t cpu_max = n->cpu ? n->cpu : n->cpu_declared;
	uint64_t memory_max = n->memory_mb ? n->memory_mb : n->memory_declared_mb;

	for (uint32_t i = 1; i <= s->high[KIND_ROLE]; i++)
		if (i != role && (s->roles[i].owner == node || s->roles[i].target == node) && !(gone && gone[i])) {
			cpu += s->roles[i].cpu;
			memory_mb += s->roles[i].memory_mb;
		}
	return (!cpu_max || !s->roles[role].cpu || cpu <= cpu_max) &&
	       (!memory_max || !s->roles[role].memory_mb || memory_mb <= memory_max);
}

static bool admits(const struct state *s, uint32_t role, uint32_t node, const struct place_request *q)
{
	const struct node *n = &s->nodes[node];
	const struct role *r = &s->roles[role];

	return n->object.used && n->state == NODE_ONLINE && !n->fence_asked &&
	       (n->admin == ADMIN_UP || (n->admin == ADMIN_PAUSED && q->stay == node)) &&
	       n->quarantine_until_ms <= s->cluster.now_ms && (!r->possible || nodeset_has(r->possible, node)) &&
	       (q->ignore_bans || !nodeset_has(r->banned, node)) && !nodeset_has(q->exclude, node);
}

static bool tied(const struct state *s, uint32_t a, uint32_t b)
{
	for (uint32_t i = 1; i <= s->high[KIND_RULE]; i++) {
		const struct rule *rule = &s->rules[i];
		bool has_a = false, has_b = false;

		for (uint32_t j = 0; j < ROLELIST_MAX && rule->roles[j]; j++) {
			has_a |= rule->roles[j] == a;
			has_b |= rule->roles[j] == b;
		}
		if (has_a && has_b && rule->hard && rule->kind == RULE_AFFINITY)
			return true;
	}
	return false;
}

static bool group_member(const struct state *s, uint32_t role)
{
	for (uint32_t i = 1; i <= s->high[KIND_ROLE]; i++)
		if (i != role && tied(s, role, i))
			return true;
	return false;
}

static bool may_be_victim(const struct state *s, uint32_t role, uint32_t victim)
{
	const struct role *v = &s->roles[victim];

	return v->owner && (!v->target || v->target == v->owner) && v->priority < s->roles[role].priority && !v->maintenance &&
	       v->state == ROLE_ONLINE && s->nodes[v->owner].state == NODE_ONLINE && !s->nodes[v->owner].fence_asked &&
	       !tied(s, role, victim);
}

/* Nothing was found: for every node there must be a reason. */
static void judge_nothing(const struct state *s, uint32_t role, const struct place_request *q)
{
	for (uint32_t n = 1; n <= s->high[KIND_NODE]; n++) {
		bool gone[ROLE_MAX + 1] = { false };
		uint32_t victims = 0;

		if (!admits(s, role, n, q))
			continue;
		EXPECT(!rules_hold(s, role, n) || !room(s, role, n, NULL));
		if (!q->preempt)
			continue;
		for (uint32_t i = 1; i <= s->high[KIND_ROLE]; i++)
			victims += (gone[i] = may_be_victim(s, role, i)) && s->roles[i].owner == n;
		EXPECT(victims > PLACE_VICTIMS_MAX || !rules_hold_without(s, role, n, gone) || !room(s, role, n, gone));
	}
}

static void judge_victims(const struct state *s, uint32_t role, const struct placement *p)
{
	bool gone[ROLE_MAX + 1] = { false };

	EXPECT(p->n_victims <= PLACE_VICTIMS_MAX);
	for (uint32_t i = 0; i < p->n_victims; i++) {
		EXPECT(may_be_victim(s, role, p->victims[i]));
		EXPECT(!gone[p->victims[i]]);
		gone[p->victims[i]] = true;
		if (i)
			EXPECT(s->roles[p->victims[i - 1]].priority < s->roles[p->victims[i]].priority ||
			       (s->roles[p->victims[i - 1]].priority == s->roles[p->victims[i]].priority &&
				p->victims[i - 1] > p->victims[i]));
	}
	EXPECT(room(s, role, p->node, gone) && rules_hold_without(s, role, p->node, gone));
	/* never one more than needed; who waits with the role needs room, too */
	for (uint32_t i = 0; i < p->n_victims && !group_member(s, role); i++) {
		gone[p->victims[i]] = false;
		EXPECT(!room(s, role, p->node, gone) || !rules_hold_without(s, role, p->node, gone));
		gone[p->victims[i]] = true;
	}
}

static void judge_verdicts(const struct state *s, uint32_t role, const struct place_request *q,
			   const struct placement *p, const struct place_verdict *verdicts)
{
	for (uint32_t n = 1; n <= s->high[KIND_NODE]; n++) {
		const struct place_verdict *v = &verdicts[n];
		int64_t sum = 0;

		for (int i = 0; i < PART_MAX; i++)
			sum += v->parts[i];
		EXPECT(sum == v->score);
		EXPECT((v->code == PLACE_OK) ==
		       (admits(s, role, n, q) && rules_hold(s, role, n) && room(s, role, n, NULL)));
		EXPECT((v->code == PLACE_AFFINITY || v->code == PLACE_ANTI_AFFINITY) == (v->rule != 0));
		if (v->code == PLACE_OK && !p->n_victims)
			EXPECT(p->node && (v->score < verdicts[p->node].score ||
					   (v->score == verdicts[p->node].score && n >= p->node)));
	}
}

static void place_one(struct state *s, uint64_t *rng, uint32_t role)
{
	struct place_request q = { .exclude = draw(rng, 8) ? 0 : NODE_BIT(1 + draw(rng, s->high[KIND_NODE])),
				   .stay = draw(rng, 4) ? 0 : draw(rng, s->high[KIND_NODE] + 1),
				   .preempt = draw(rng, 2),
				   .ignore_bans = draw(rng, 2) };
	struct place_verdict verdicts[NODE_MAX + 1], check;
	struct placement p, again;

	place_role(s, role, &q, &p, verdicts);
	place_role(s, role, &q, &again, NULL);
	EXPECT(p.node == again.node && p.n_victims == again.n_victims);
	/* companions without a place make the choice narrower than the rules alone; that is the golden cases' matter */
	if (!group_member(s, role))
		judge_verdicts(s, role, &q, &p, verdicts);
	if (!p.node) {
		judge_nothing(s, role, &q);
		return;
	}
	EXPECT(admits(s, role, p.node, &q));
	judge_victims(s, role, &p);
	for (uint32_t i = 0; i < p.n_victims; i++) {
		((struct role *)state_edit(s, KIND_ROLE, p.victims[i]))->state = ROLE_PENDING;
		state_set_owner(s, p.victims[i], 0);
		state_set_target(s, p.victims[i], 0);
	}
	state_set_owner(s, role, p.node);
	((struct role *)state_edit(s, KIND_ROLE, role))->state = ROLE_ONLINE;
	EXPECT(place_check(s, role, p.node, &check) == PLACE_OK);
}

/* --- the engine --- */

static void fail_one(struct state *s, uint64_t *rng)
{
	uint32_t id = 1 + draw(rng, s->high[KIND_RESOURCE]);
	struct msg_result m = { .resource = id, .action = AGENT_MONITOR, .rc = OCF_NOT_RUNNING, .status = AGENT_DONE };
	struct engine e;

	engine_init(&e);
	role_result(&e, s, s->roles[s->resources[id].role].owner, &m);
	engine_run(&e, s);
}

static nodeset_t some_nodes(const struct state *s, uint64_t *rng)
{
	nodeset_t nodes = 0;

	for (uint32_t i = draw(rng, 3); i < 3; i++)
		nodes |= NODE_BIT(1 + draw(rng, s->high[KIND_NODE]));
	return nodes;
}

static void pass_time(struct state *s, uint32_t ms)
{
	struct engine e;

	engine_init(&e);
	node_clock(&e, s, s->cluster.now_ms + ms);
	role_clock(&e, s, s->cluster.now_ms + ms);
	engine_run(&e, s);
}

static void something_happens(struct state *s, uint64_t *rng)
{
	switch (draw(rng, 6)) {
	case 0:
	case 1:
		foresee_lose(s, some_nodes(s, rng));
		break;
	case 2:
	case 3:
		foresee_return(s, some_nodes(s, rng));
		break;
	case 4:
		foresee_drain(s, some_nodes(s, rng));
		break;
	default:
		if (s->high[KIND_RESOURCE])
			fail_one(s, rng);
		pass_time(s, draw(rng, 2 * MS_PER_HOUR));
		break;
	}
	EXPECT(foresee_rest(s));
}

static bool over_capacity(const struct state *s, uint32_t node)
{
	const struct node *n = &s->nodes[node];
	uint64_t cpu = 0, memory_mb = 0, cpu_max = n->cpu ? n->cpu : n->cpu_declared;
	uint64_t memory_max = n->memory_mb ? n->memory_mb : n->memory_declared_mb;

	for (uint32_t i = 1; i <= s->high[KIND_ROLE]; i++)
		if (s->roles[i].owner == node) {
			cpu += s->roles[i].cpu;
			memory_mb += s->roles[i].memory_mb;
		}
	return (cpu_max && cpu > cpu_max) || (memory_max && memory_mb > memory_max);
}

static void judge_rest(struct state *s, struct state *before)
{
	for (uint32_t n = 1; n <= s->high[KIND_NODE]; n++)
		EXPECT(!over_capacity(s, n));
	for (uint32_t id = 1; id <= s->high[KIND_ROLE]; id++) {
		const struct role *r = &s->roles[id];
		struct place_request q = { .preempt = true, .ignore_bans = true };

		EXPECT(r->state == ROLE_ONLINE || r->state == ROLE_PENDING || r->state == ROLE_FAILED ||
		       r->state == ROLE_OFFLINE);
		EXPECT((r->state == ROLE_ONLINE) == (r->owner != 0));
		EXPECT(!r->target);
		if (r->owner)
			EXPECT(rules_hold(s, id, r->owner));
		else if (r->state == ROLE_PENDING && r->want && !r->maintenance && !group_member(s, id))
			judge_nothing(s, id, &q);
	}
	state_commit(s, NULL);
	foresee_copy(before, s);
	EXPECT(foresee_rest(s));
	for (uint32_t id = 1; id <= s->high[KIND_ROLE]; id++)
		EXPECT(before->roles[id].owner == s->roles[id].owner && before->roles[id].state == s->roles[id].state);
	EXPECT(foresee_compare(before, s, NULL, NULL) == 0);
}

static void run_engine(struct state *s, struct state *before, uint64_t seed)
{
	uint64_t rng = seed_now = seed;

	state_clear(s);
	REQUIRE(state_create(s, KIND_CLUSTER, "c", 1) == 1);
	((struct cluster *)state_edit(s, KIND_CLUSTER, 1))->now_ms = 1700000000000;
	make_nodes(s, &rng);
	make_roles(s, &rng);
	make_rules(s, &rng);
	for (uint32_t n = 1; n <= s->high[KIND_NODE]; n++)
		if (s->nodes[n].state == NODE_JOINING)
			((struct node *)state_edit(s, KIND_NODE, n))->state = NODE_ONLINE;
	for (uint32_t id = 1; id <= s->high[KIND_ROLE]; id++) {
		char name[NAME_SIZE];

		((struct role *)state_edit(s, KIND_ROLE, id))->failback = draw(&rng, 2);
		snprintf(name, sizeof(name), "x%u", id);
		REQUIRE(state_create(s, KIND_RESOURCE, name, id) == id);
		((struct resource *)state_edit(s, KIND_RESOURCE, id))->on_fail = draw(&rng, 2);
		state_set_role_of(s, id, id);
	}
	EXPECT(foresee_rest(s));
	judge_rest(s, before);
	for (uint32_t i = 0; i < 12; i++) {
		something_happens(s, &rng);
		judge_rest(s, before);
	}
}

static void run(struct state *s, uint64_t seed)
{
	uint64_t rng = seed_now = seed;

	state_clear(s);
	REQUIRE(state_create(s, KIND_CLUSTER, "c", 1) == 1);
	((struct cluster *)state_edit(s, KIND_CLUSTER, 1))->now_ms = 1000;
	make_nodes(s, &rng);
	make_roles(s, &rng);
	make_rules(s, &rng);
	for (uint32_t i = 0; i < 2 * s->high[KIND_ROLE]; i++) {
		uint32_t role = 1 + draw(&rng, s->high[KIND_ROLE]), owner = s->roles[role].owner;

		if (!owner) {
			place_one(s, &rng, role);
		} else if (!draw(&rng, 4)) {
			state_set_owner(s, role, 0);
			((struct role *)state_edit(s, KIND_ROLE, role))->state = ROLE_PENDING;
		}
	}
	for (uint32_t role = 1; role <= s->high[KIND_ROLE]; role++)
		if (s->roles[role].owner) {
			EXPECT(place_check(s, role, s->roles[role].owner, NULL) == PLACE_OK);
			EXPECT(rules_hold(s, role, s->roles[role].owner) && room(s, role, s->roles[role].owner, NULL));
		}
	state_commit(s, NULL);
}

int main(int argc, char **argv)
{
	struct state *s = calloc(1, sizeof(*s)), *before = calloc(1, sizeof(*before));
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 0) : 1, last = argc > 1 ? first : SEEDS;

	REQUIRE(s && before);
	for (uint64_t seed = first; seed <= last; seed++) {
		run(s, seed);
		run_engine(s, before, seed);
	}
	free(s);
	free(before);
	return check_result();
}
