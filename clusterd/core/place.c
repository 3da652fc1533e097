/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Placement: filters and scores over sets of nodes. One role costs O(nodes + rules of the role x roles they name); only
 * the search for victims looks at all roles.
 *
 * Who is there already gives way to a role of higher priority, when that has no other place: for room, and when a hard rule
 * keeps the two apart. So the priority decides, and not who came first.
 *
 * A role is *at* a node when it owns it or is on its way to it; capacity and hard anti-affinity count both. For affinity
 * only the place it is on its way to counts, and a companion binds its companions to its place only as long as it may
 * stay there: a node that is lost, drained or about to be fenced binds nobody, or a drained group could never leave.
 */
#include "clusterd/core/place.h"

#include <string.h>

#include "clusterd/core/canary.h"

#define GROUP_MAX 128 /* companions looked at together; the rest finds its place when its turn comes */

static const char *const code_text[] = {
	[PLACE_OK] = "ok",
	[PLACE_NOT_ONLINE] = "not-online",
	[PLACE_PAUSED] = "paused",
	[PLACE_QUARANTINED] = "quarantined",
	[PLACE_NOT_POSSIBLE] = "not-possible-owner",
	[PLACE_BANNED] = "failed-there",
	[PLACE_EXCLUDED] = "excluded",
	[PLACE_NO_CPU] = "no-cpu",
	[PLACE_NO_MEMORY] = "no-memory",
	[PLACE_AFFINITY] = "affinity",
	[PLACE_ANTI_AFFINITY] = "anti-affinity",
	[PLACE_FENCE_ASKED] = "to-be-fenced",
};

const char *place_code_text(enum place_code code)
{
	return (size_t)code < ARRAY_SIZE(code_text) ? code_text[code] : "?";
}

static const char *const part_text[PART_MAX] = {
	[PART_STAY] = "stay",           [PART_PREFERRED] = "preferred",
	[PART_AFFINITY] = "affinity",   [PART_ANTI_AFFINITY] = "anti-affinity",
	[PART_HOME] = "home",           [PART_BALANCE] = "balance",
};

const char *place_part_text(enum place_part part)
{
	return (size_t)part < PART_MAX ? part_text[part] : "?";
}

uint32_t place_rank(const struct role *role, uint32_t node)
{
	for (uint32_t i = 0; i < NODE_MAX && role->preferred[i]; i++)
		if (role->preferred[i] == node)
			return i;
	return UINT32_MAX;
}

/* One call's view of the cluster. */
struct place_view {
	struct state *s;
	nodeset_t nodes;      /* of the cluster */
	nodeset_t leaving;    /* who must leave them does not bind companions */
	bool along;           /* companions bind nowhere: they will be moved */
};

static struct place_view view_of(struct state *s)
{
	struct place_view v = { .s = s };

	for (uint32_t n = 1; n <= s->high[KIND_NODE]; n++) {
		const struct node *node = &s->nodes[n];

		if (!node->object.used)
			continue;
		v.nodes |= NODE_BIT(n);
		/* a joining node is about to tell what it runs: that stays */
		if ((node->state != NODE_ONLINE && node->state != NODE_JOINING) || node->fence_asked ||
		    node->admin == ADMIN_DRAINING || node->admin == ADMIN_STOPPING)
			v.leaving |= NODE_BIT(n);
	}
	return v;
}

static const char *scope_name(const struct node *node, uint32_t scope)
{
	return scope == SCOPE_SITE ? node->site : node->fault_domain;
}

/* All nodes in the same node, fault domain or site; a node without a name is a domain of its own. */
static nodeset_t scope_nodes(const struct place_view *v, uint32_t scope, uint32_t node)
{
	const char *name = scope_name(&v->s->nodes[node], scope);
	nodeset_t same = NODE_BIT(node);

	if (scope == SCOPE_NODE || !*name)
		return same;
	for (uint32_t n = 1; n <= v->s->high[KIND_NODE]; n++)
		if (nodeset_has(v->nodes, n) && !strcmp(scope_name(&v->s->nodes[n], scope), name))
			same |= NODE_BIT(n);
	return same;
}

/* Where a companion binds this role to, 0: nowhere. */
static uint32_t binding_node(const struct place_view *v, const struct role *companion)
{
	uint32_t node = companion->target ? companion->target : companion->owner;

	return node && !v->along && !nodeset_has(v->leaving, node) ? node : 0;
}

/* What the rules of a role say about each node. rule/other are set where the bit is. */
struct rule_view {
	nodeset_t not_with;  /* hard affinity speaks against */
	nodeset_t not_apart; /* hard anti-affinity speaks against */
	bool grouped;        /* a hard affinity names the role */
	bool leaving;        /* and companions have to move with it */
	bool soft;           /* the counts below are filled */
	uint16_t with_rule[NODE_MAX + 1], with_other[NODE_MAX + 1];
	uint16_t apart_rule[NODE_MAX + 1], apart_other[NODE_MAX + 1];
	uint16_t soft_rules[2][NODE_MAX + 1]; /* by enum rule_kind: soft rules that find somebody there */
	uint16_t soft_roles[2][NODE_MAX + 1]; /* and how many roles */
};

static void hard_affinity(const struct place_view *v, const struct rule *rule, uint32_t self, struct rule_view *ret)
{
	nodeset_t seen = 0;

	ret->grouped = true;
	for (uint32_t i = 0; i < ROLELIST_MAX && rule->roles[i]; i++) {
		uint32_t other = rule->roles[i], at;
		nodeset_t against;

		at = other == self ? 0 : binding_node(v, &v->s->roles[other]);
		if (!at || nodeset_has(seen, at))
			continue;
		seen |= NODE_BIT(at);
		against = v->nodes & ~scope_nodes(v, rule->scope, at) & ~ret->not_with;
		ret->not_with |= against;
		for (nodeset_t left = against; left; left &= left - 1) {
			ret->with_rule[nodeset_first(left)] = (uint16_t)rule->object.id;
			ret->with_other[nodeset_first(left)] = (uint16_t)other;
		}
	}
}

/* Where it is, and where it is on its way to. */
static nodeset_t places(const struct role *role)
{
	return (role->owner ? NODE_BIT(role->owner) : 0) | (role->target ? NODE_BIT(role->target) : 0);
}

static void hard_anti_affinity(const struct place_view *v, const struct rule *rule, uint32_t self,
			       struct rule_view *ret)
{
	nodeset_t seen = 0;

	for (uint32_t i = 0; i < ROLELIST_MAX && rule->roles[i]; i++) {
		const struct role *other = &v->s->roles[rule->roles[i]];
		nodeset_t at = places(other) & ~seen, against = 0;

		if (rule->roles[i] == self)
			continue;
		seen |= at;
		for (; at; at &= at - 1)
			against |= scope_nodes(v, rule->scope, nodeset_first(at));
		against &= v->nodes & ~ret->not_apart;
		ret->not_apart |= against;
		for (; against; against &= against - 1) {
			ret->apart_rule[nodeset_first(against)] = (uint16_t)rule->object.id;
			ret->apart_other[nodeset_first(against)] = rule->roles[i];
		}
	}
}

static void soft_rule(const struct place_view *v, const struct rule *rule, uint32_t self, struct rule_view *ret)
{
	uint16_t *rules = ret->soft_rules[rule->kind], *roles = ret->soft_roles[rule->kind];
	uint8_t at[NODE_MAX + 1] = { 0 };
	nodeset_t seen = 0, hit = 0;

	for (uint32_t i = 0; i < ROLELIST_MAX && rule->roles[i]; i++) {
		uint32_t node = rule->roles[i] == self ? 0 : binding_node(v, &v->s->roles[rule->roles[i]]);

		if (!node)
			continue;
		at[node]++;
		seen |= NODE_BIT(node);
	}
	for (; seen; seen &= seen - 1) {
		uint32_t node = nodeset_first(seen);
		nodeset_t scope = scope_nodes(v, rule->scope, node);

		hit |= scope;
		for (; scope; scope &= scope - 1)
			roles[nodeset_first(scope)] = (uint16_t)(roles[nodeset_first(scope)] + at[node]);
	}
	for (; hit; hit &= hit - 1)
		rules[nodeset_first(hit)]++;
}

static void rules_look(const struct place_view *v, uint32_t role, bool want_soft, struct rule_view *ret)
{
	uint32_t n;
	const uint16_t *ids = state_rules_of(v->s, role, &n);

	ret->not_with = ret->not_apart = 0;
	ret->grouped = ret->leaving = ret->soft = false;
	for (uint32_t i = 0; i < n; i++) {
		const struct rule *rule = &v->s->rules[ids[i]];

		if (rule->hard && rule->kind == RULE_AFFINITY) {
			hard_affinity(v, rule, role, ret);
		} else if (rule->hard) {
			hard_anti_affinity(v, rule, role, ret);
		} else if (want_soft) {
			if (!ret->soft) {
				memset(ret->soft_rules, 0, sizeof(ret->soft_rules));
				memset(ret->soft_roles, 0, sizeof(ret->soft_roles));
				ret->soft = true;
			}
			soft_rule(v, rule, role, ret);
		}
	}
}

static bool takes_roles(const struct state *s, uint32_t n)
{
	const struct node *node = &s->nodes[n];

	return node->object.used && node->state == NODE_ONLINE && node->admin == ADMIN_UP &&
	       node->quarantine_until_ms <= s->cluster.now_ms;
}

/* It is not to be trusted, as long as there is one that is. */
static bool quarantined(const struct state *s, uint32_t n)
{
	if (s->nodes[n].quarantine_until_ms <= s->cluster.now_ms)
		return false;
	for (uint32_t other = 1; other <= s->high[KIND_NODE]; other++)
		if (takes_roles(s, other))
			return true;
	return false;
}

/* The filters that look at the node alone; fence_asked comes last in the order and is looked at apart. */
static enum place_code node_admits(const struct state *s, const struct role *role, uint32_t n,
				   const struct place_request *request)
{
	const struct node *node = &s->nodes[n];

	if (node->state != NODE_ONLINE)
		return PLACE_NOT_ONLINE;
	/* a paused node takes nothing new and keeps what it has */
	if (node->admin != ADMIN_UP && !(node->admin == ADMIN_PAUSED && request->stay == n))
		return PLACE_PAUSED;
	if (quarantined(s, n))
		return PLACE_QUARANTINED;
	if (role->possible && !nodeset_has(role->possible, n))
		return PLACE_NOT_POSSIBLE;
	if (!request->ignore_bans && nodeset_has(role->banned, n))
		return PLACE_BANNED;
	if (nodeset_has(request->exclude, n))
		return PLACE_EXCLUDED;
	return PLACE_OK;
}

static uint64_t node_cpu(const struct node *node) { return node->cpu ? node->cpu : node->cpu_declared; }
static uint64_t node_memory_mb(const struct node *node)
{
	return node->memory_mb ? node->memory_mb : node->memory_declared_mb;
}

struct need {
	uint64_t cpu, memory_mb;
};

/* Load of the node without the role, were `extra` there too. */
static struct need load_without(const struct state *s, const struct role *role, uint32_t n, struct need extra)
{
	const struct node_load *load = &s->load[n];
	bool counted = role->owner == n || role->target == n;

	return (struct need){ .cpu = load->cpu + extra.cpu - (counted ? role->cpu : 0),
			      .memory_mb = load->memory_mb + extra.memory_mb - (counted ? role->memory_mb : 0) };
}

static enum place_code capacity_admits(const struct state *s, const struct role *role, uint32_t n, struct need extra)
{
	struct need load = load_without(s, role, n, extra);
	uint64_t cpu = node_cpu(&s->nodes[n]), memory_mb = node_memory_mb(&s->nodes[n]);

	/* who needs nothing of a thing does not make its shortage worse */
	if (cpu && role->cpu && load.cpu + role->cpu > cpu)
		return PLACE_NO_CPU;
	if (!CANARY(CANARY_NO_CAPACITY) && memory_mb && role->memory_mb && load.memory_mb + role->memory_mb > memory_mb)
		return PLACE_NO_MEMORY;
	return PLACE_OK;
}

/* Relative use after placing, in thousandths of the scarcer of cpu and memory, then the number of roles. */
static int64_t balance_score(const struct state *s, const struct role *role, uint32_t n)
{
	struct need load = load_without(s, role, n, (struct need){ 0 });
	uint64_t cpu = node_cpu(&s->nodes[n]), memory_mb = node_memory_mb(&s->nodes[n]), use = 0, other;
	bool counted = role->owner == n || role->target == n;

	if (cpu)
		use = (load.cpu + role->cpu) * 1000 / cpu;
	if (memory_mb) {
		other = (load.memory_mb + role->memory_mb) * 1000 / memory_mb;
		use = other > use ? other : use;
	}
	use = use > 1000 ? 1000 : use;
	return -(int64_t)(use * PLACE_BALANCE_USE + s->load[n].roles - (counted ? 1 : 0));
}

static int64_t soft_score(const struct rule_view *rules, enum rule_kind kind, uint32_t n)
{
	int64_t hits = rules->soft_rules[kind][n], roles = rules->soft_roles[kind][n];

	hits = hits > PLACE_SOFT_MAX ? PLACE_SOFT_MAX : hits;
	roles = roles > PLACE_SOFT_MAX ? PLACE_SOFT_MAX : roles;
	return hits * (PLACE_SOFT_MAX + 1) + roles;
}

static int64_t score_node(const struct state *s, const struct role *role, uint32_t n,
			  const struct place_request *request, const struct rule_view *rules, int64_t parts[PART_MAX])
{
	uint32_t rank = place_rank(role, n);
	int64_t sum = 0;

	parts[PART_STAY] = request->stay == n ? PLACE_WEIGHT_STAY : 0;
	parts[PART_PREFERRED] = rank == UINT32_MAX ? 0 : (NODE_MAX - (int64_t)rank) * PLACE_WEIGHT_PREFERRED;
	parts[PART_AFFINITY] = rules->soft ? soft_score(rules, RULE_AFFINITY, n) * PLACE_WEIGHT_AFFINITY : 0;
	parts[PART_ANTI_AFFINITY] =
		rules->soft ? -soft_score(rules, RULE_ANTI_AFFINITY, n) * PLACE_WEIGHT_ANTI_AFFINITY : 0;
	/* where it failed is no home, should that be ignored otherwise */
	parts[PART_HOME] = role->last_owner == n && !nodeset_has(role->banned, n) ? PLACE_WEIGHT_HOME : 0;
	parts[PART_BALANCE] = balance_score(s, role, n);
	for (int i = 0; i < PART_MAX; i++)
		sum += parts[i];
	return sum;
}

/*
 * Companions that must find a place with the role: they wait for one too (pending), or have to leave theirs (leaving).
 * Member 0 is the role itself; a member comes after the one whose rule named it.
 */
struct member {
	uint16_t role, rule;
	uint8_t parent, scope;
	bool leaving;
	nodeset_t may;     /* nodes it could take, capacity and the other members aside */
	nodeset_t allowed; /* by the rules of the group, for the place that is being tried */
	uint32_t node;     /* the place being tried */
};

struct group {
	uint32_t n;
	bool leaving, pending; /* it has such members */
	struct member members[GROUP_MAX];
};

static nodeset_t member_may(const struct place_view *v, uint32_t role)
{
	const struct place_request none = { 0 };
	struct rule_view rules;
	nodeset_t may = 0;

	rules_look(v, role, false, &rules);
	for (nodeset_t left = v->nodes & ~v->leaving & ~rules.not_with & ~rules.not_apart; left; left &= left - 1)
		if (node_admits(v->s, &v->s->roles[role], nodeset_first(left), &none) == PLACE_OK)
			may |= NODE_BIT(nodeset_first(left));
	return may;
}

static void group_add_rule(const struct place_view *v, struct group *g, uint32_t parent, const struct rule *rule,
			   uint64_t seen[ROLE_MAX / 64 + 1])
{
	for (uint32_t i = 0; i < ROLELIST_MAX && rule->roles[i] && g->n < GROUP_MAX; i++) {
		uint32_t id = rule->roles[i];
		const struct role *role = &v->s->roles[id];
		bool placed = role->owner || role->target, leaving = placed && !binding_node(v, role);
		bool pending = !placed && role->want && role->state == ROLE_PENDING;

		if (seen[id / 64] >> (id % 64) & 1 || (!leaving && !pending))
			continue;
		seen[id / 64] |= (uint64_t)1 << (id % 64);
		g->members[g->n++] = (struct member){ .role = (uint16_t)id,
						      .rule = (uint16_t)rule->object.id,
						      .parent = (uint8_t)parent,
						      .scope = (uint8_t)rule->scope,
						      .leaving = leaving,
						      .may = member_may(v, id) };
		g->leaving |= leaving;
		g->pending |= pending;
	}
}

static void group_find(const struct place_view *v, uint32_t role, struct group *g)
{
	uint64_t seen[ROLE_MAX / 64 + 1] = { 0 };

	seen[role / 64] |= (uint64_t)1 << (role % 64);
	g->n = 1;
	g->leaving = g->pending = false;
	g->members[0] = (struct member){ .role = (uint16_t)role };
	for (uint32_t i = 0; i < g->n; i++) {
		uint32_t n;
		const uint16_t *ids = state_rules_of(v->s, g->members[i].role, &n);

		for (uint32_t j = 0; j < n; j++)
			if (v->s->rules[ids[j]].hard && v->s->rules[ids[j]].kind == RULE_AFFINITY)
				group_add_rule(v, g, i, &v->s->rules[ids[j]], seen);
	}
}

/* Nodes that members placed so far forbid this one by hard anti-affinity. */
static nodeset_t group_against(const struct place_view *v, const struct group *g, uint32_t member)
{
	nodeset_t against = 0;
	uint32_t n;
	const uint16_t *ids = state_rules_of(v->s, g->members[member].role, &n);

	for (uint32_t i = 0; i < n; i++) {
		const struct rule *rule = &v->s->rules[ids[i]];

		if (!rule->hard || rule->kind != RULE_ANTI_AFFINITY)
			continue;
		for (uint32_t j = 0; j < ROLELIST_MAX && rule->roles[j]; j++)
			for (uint32_t k = 0; k < member; k++)
				if (g->members[k].role == rule->roles[j] && g->members[k].node)
					against |= scope_nodes(v, rule->scope, g->members[k].node);
	}
	return against;
}

static void member_take(const struct state *s, struct member *m, uint32_t node, struct need *extra)
{
	const struct role *role = &s->roles[m->role];

	m->node = node;
	if (role->owner == node || role->target == node)
		return;
	extra[node].cpu += role->cpu;
	extra[node].memory_mb += role->memory_mb;
}

/*
 * Would the whole group (or only those who must leave their place) fit, were the role at `node`? First fit, the role's
 * own node first: what it finds is sound, a fit that only a cleverer packing finds is not seen. ret: who did not fit.
 */
static bool group_fits(const struct place_view *v, struct group *g, uint32_t node, bool with_pending,
		       const struct member **ret)
{
	struct need extra[NODE_MAX + 1] = { 0 };

	g->members[0].allowed = NODE_BIT(node);
	member_take(v->s, &g->members[0], node, extra);
	for (uint32_t i = 1; i < g->n; i++) {
		struct member *m = &g->members[i];
		nodeset_t left;

		m->node = 0;
		m->allowed = 0;
		for (left = g->members[m->parent].allowed; left; left &= left - 1)
			m->allowed |= scope_nodes(v, m->scope, nodeset_first(left));
		if (!m->leaving && !with_pending)
			continue;
		left = m->allowed & m->may & ~group_against(v, g, i);
		if (nodeset_has(left, node) && capacity_admits(v->s, &v->s->roles[m->role], node, extra[node]) == PLACE_OK)
			m->node = node;
		for (; left && !m->node; left &= left - 1) {
			uint32_t n = nodeset_first(left);

			if (capacity_admits(v->s, &v->s->roles[m->role], n, extra[n]) == PLACE_OK)
				m->node = n;
		}
		if (!m->node) {
			*ret = m;
			return false;
		}
		member_take(v->s, m, m->node, extra);
	}
	return true;
}

/* Narrows `pass` to nodes that hold the role's companions too. What drops out is noted as against hard affinity. */
static nodeset_t group_narrow(const struct place_view *v, uint32_t role, nodeset_t pass, struct rule_view *rules)
{
	struct group g;

	group_find(v, role, &g);
	rules->leaving = g.leaving;
	for (int with_pending = g.pending; with_pending >= 0 && (g.leaving || with_pending); with_pending--) {
		nodeset_t fit = 0;

		for (nodeset_t left = pass; left; left &= left - 1) {
			uint32_t n = nodeset_first(left);
			const struct member *misfit = NULL;

			if (group_fits(v, &g, n, with_pending, &misfit)) {
				fit |= NODE_BIT(n);
				continue;
			}
			rules->with_rule[n] = misfit->rule;
			rules->with_other[n] = misfit->role;
		}
		/* who only waits may go on waiting; who runs must not be torn from its companions */
		if (fit || (!with_pending && g.leaving)) {
			rules->not_with |= pass & ~fit;
			return fit;
		}
	}
	return pass;
}

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
	if (!victim->object.used || !victim->owner ||
	    victim->priority >= priority || victim->maintenance || s->nodes[victim->owner].maintenance ||
	    s->nodes[victim->owner].fence_asked || s->nodes[victim->owner].state != NODE_ONLINE)
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
static void victims_collect(struct state *s, uint32_t role, struct victims *v)
{
	uint32_t at = 0;

	memset(v->n, 0, sizeof(v->n));
	memset(v->class_of, 0, s->high[KIND_ROLE] + 1);
	victims_spare(s, role, v);
	for (uint32_t id = 1; id <= s->high[KIND_ROLE]; id++) {
		if (v->class_of[id] != NO_VICTIM)
			v->class_of[id] = victim_class(s, &s->roles[id], s->roles[role].priority);
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

static uint64_t less(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }

/* What is missing on the node for the role. */
static struct need need_lack(const struct state *s, const struct role *role, uint32_t n)
{
	struct need load = load_without(s, role, n, (struct need){ 0 });
	uint64_t cpu = node_cpu(&s->nodes[n]), memory_mb = node_memory_mb(&s->nodes[n]);

	return (struct need){ .cpu = cpu && role->cpu ? less(load.cpu + role->cpu, cpu) : 0,
			      .memory_mb = memory_mb && role->memory_mb ?
						   less(load.memory_mb + role->memory_mb, memory_mb) :
						   0 };
}

/* How much of what is lacking the victim gives, of cpu and memory together; coarse, for a short sort. */
#define VICTIM_GAIN_WHOLE 64
#define VICTIM_GAIN_MAX (2 * VICTIM_GAIN_WHOLE)
static uint32_t victim_gain(const struct role *victim, const struct need *lack)
{
	uint64_t cpu = victim->cpu < lack->cpu ? victim->cpu : lack->cpu;
	uint64_t memory_mb = victim->memory_mb < lack->memory_mb ? victim->memory_mb : lack->memory_mb;

	return (uint32_t)((lack->cpu ? cpu * VICTIM_GAIN_WHOLE / lack->cpu : 0) +
			  (lack->memory_mb ? memory_mb * VICTIM_GAIN_WHOLE / lack->memory_mb : 0));
}

/* Orders a class by falling gain, ids within the same gain as they are: a counting sort, `spare` is for n roles. */
static void victims_by_gain(const struct state *s, uint16_t *roles, uint32_t n, const struct need *lack, uint16_t *spare)
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

static bool enough(const struct need *freed, const struct need *lack)
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

static void need_add(struct need *sum, const struct role *role)
{
	sum->cpu += role->cpu;
	sum->memory_mb += role->memory_mb;
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
		nodeset_t scope = scope_nodes(v, rule->scope, n);

		if (!rule->hard || rule->kind != RULE_ANTI_AFFINITY)
			continue;
		for (uint32_t j = 0; j < ROLELIST_MAX && rule->roles[j]; j++) {
			uint16_t id = rule->roles[j];
			const struct role *other = &s->roles[id];

			if (id == role || has_role(ret->roles, ret->n, id) || !(places(other) & scope))
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
static bool victims_choose(const struct place_view *view, uint32_t id, uint32_t n, struct victims *v, struct victim_choice *ret)
{
	const struct state *s = view->s;
	struct need lack = need_lack(s, &s->roles[id], n), freed = { 0 };
	uint16_t forced[PLACE_VICTIMS_MAX];
	uint32_t classes = 0, n_forced;

	*ret = (struct victim_choice){ 0 };
	if (!adversaries_choose(view, id, n, v, ret))
		return false;
	n_forced = ret->n;
	memcpy(forced, ret->roles, sizeof(forced));
	for (uint32_t i = 0; i < n_forced; i++)
		if (s->roles[forced[i]].owner == n)
			need_add(&freed, &s->roles[forced[i]]);
	for (; classes < VICTIM_CLASSES && !enough(&freed, &lack); classes++)
		for (uint32_t i = 0; i < v->n[n][classes]; i++)
			if (!has_role(forced, n_forced, v->roles[v->start[n][classes] + i]))
				need_add(&freed, &s->roles[v->roles[v->start[n][classes] + i]]);
	if (!enough(&freed, &lack))
		return false;
	while (classes-- > 0) {
		uint16_t *list = &v->roles[v->start[n][classes]];

		victims_by_gain(s, list, v->n[n][classes], &lack, v->spare);
		for (uint32_t i = v->n[n][classes]; i-- > 0;) {
			const struct role *victim = &s->roles[list[i]];
			struct need rest = { freed.cpu - victim->cpu, freed.memory_mb - victim->memory_mb };

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

/* The node where the least harm makes room, the best scored of those; a node where no harm helps is left out. */
static void preempt(const struct place_view *v, uint32_t role, const struct place_request *request, nodeset_t where,
		    const struct rule_view *rules, struct placement *ret)
{
	const struct state *s = v->s;
	struct victim_choice best = { 0 }, choice;
	struct victims victims;
	int64_t best_score = 0, parts[PART_MAX];

	victims_collect(v->s, role, &victims);
	for (; where; where &= where - 1) {
		uint32_t n = nodeset_first(where);
		int64_t score;
		int order;

		if (!victims_choose(v, role, n, &victims, &choice))
			continue;
		score = score_node(s, &s->roles[role], n, request, rules, parts);
		order = ret->node ? choice_compare(&choice, &best) : -1;
		if (order > 0 || (order == 0 && score <= best_score))
			continue;
		ret->node = n;
		best = choice;
		best_score = score;
	}
	ret->n_victims = best.n;
	memcpy(ret->victims, best.roles, sizeof(best.roles[0]) * best.n);
}

/* Every node's answer, as sets and, per node, the first filter of the lone-node kind that speaks. */
struct filtered {
	nodeset_t pass, fence_asked;
	nodeset_t taken; /* nothing but who is there speaks against: capacity, hard anti-affinity */
	uint8_t code[NODE_MAX + 1];
};

static void filter_nodes(const struct place_view *v, const struct role *role, const struct place_request *request,
			 const struct rule_view *rules, struct filtered *ret)
{
	nodeset_t admitted = 0, room = 0;

	ret->fence_asked = 0;
	for (nodeset_t left = v->nodes; left; left &= left - 1) {
		uint32_t n = nodeset_first(left);

		if (v->s->nodes[n].fence_asked)
			ret->fence_asked |= NODE_BIT(n);
		ret->code[n] = (uint8_t)node_admits(v->s, role, n, request);
		if (ret->code[n] != PLACE_OK)
			continue;
		admitted |= NODE_BIT(n);
		ret->code[n] = (uint8_t)capacity_admits(v->s, role, n, (struct need){ 0 });
		if (ret->code[n] == PLACE_OK)
			room |= NODE_BIT(n);
	}
	admitted &= ~(rules->not_with | ret->fence_asked);
	ret->pass = admitted & room & ~rules->not_apart;
	ret->taken = admitted & ~ret->pass;
}

static void verdict_of(const struct rule_view *rules, const struct filtered *f, uint32_t n, struct place_verdict *ret)
{
	ret->code = f->code[n];
	ret->rule = ret->other = 0;
	if (ret->code != PLACE_OK)
		return;
	if (nodeset_has(rules->not_with, n)) {
		ret->code = PLACE_AFFINITY;
		ret->rule = rules->with_rule[n];
		ret->other = rules->with_other[n];
	} else if (nodeset_has(rules->not_apart, n)) {
		ret->code = PLACE_ANTI_AFFINITY;
		ret->rule = rules->apart_rule[n];
		ret->other = rules->apart_other[n];
	} else if (nodeset_has(f->fence_asked, n)) {
		ret->code = PLACE_FENCE_ASKED;
	}
}

static void place_try(const struct place_view *v, uint32_t id, const struct place_request *request,
		      struct placement *ret, struct place_verdict *verdicts)
{
	const struct role *role = &v->s->roles[id];
	struct rule_view rules;
	struct filtered f;
	int64_t best = 0, parts[PART_MAX];

	ret->node = ret->n_victims = 0;
	rules_look(v, id, true, &rules);
	filter_nodes(v, role, request, &rules, &f);
	if (rules.grouped)
		f.pass = group_narrow(v, id, f.pass, &rules);
	for (nodeset_t left = verdicts ? v->nodes : f.pass; left; left &= left - 1) {
		uint32_t n = nodeset_first(left);
		int64_t score = score_node(v->s, role, n, request, &rules, verdicts ? verdicts[n].parts : parts);

		if (verdicts) {
			verdict_of(&rules, &f, n, &verdicts[n]);
			verdicts[n].score = score;
		}
		if (nodeset_has(f.pass, n) && (!ret->node || score > best)) {
			ret->node = n;
			best = score;
		}
	}
	if (!ret->node && request->preempt && v->s->cluster.preemption && !v->s->cluster.maintenance && f.taken &&
	    !rules.leaving && role->priority > PRIORITY_NO_AUTOSTART)
		preempt(v, id, request, f.taken, &rules, ret);
}

void place_role(struct state *s, uint32_t role, const struct place_request *request, struct placement *ret,
		struct place_verdict *verdicts)
{
	struct place_view v = view_of(s);

	if (verdicts)
		memset(verdicts, 0, sizeof(*verdicts) * (NODE_MAX + 1));
	if (request->take_along) {
		struct place_request alone = *request;

		alone.preempt = false;
		place_try(&v, role, &alone, ret, verdicts);
		if (ret->node)
			return;
		v.along = true;
		place_try(&v, role, &alone, ret, verdicts);
		if (ret->node)
			return;
		v.along = false;
	}
	place_try(&v, role, request, ret, verdicts);
}

bool place_breaks_affinity(struct state *s, uint32_t role, uint32_t node)
{
	struct place_view v = view_of(s);
	struct rule_view rules;

	rules_look(&v, role, false, &rules);
	return nodeset_has(rules.not_with, node);
}

bool place_keeps_apart(struct state *s, uint32_t role, uint32_t node, uint32_t other)
{
	struct place_view v = view_of(s);
	uint32_t n;
	const uint16_t *ids = state_rules_of(s, role, &n);

	for (uint32_t i = 0; i < n; i++) {
		const struct rule *rule = &s->rules[ids[i]];

		if (rule->hard && rule->kind == RULE_ANTI_AFFINITY && has_role(rule->roles, ROLELIST_MAX, other) &&
		    places(&s->roles[other]) & scope_nodes(&v, rule->scope, node))
			return true;
	}
	return false;
}

enum place_code place_check(struct state *s, uint32_t role, uint32_t node, struct place_verdict *ret)
{
	struct place_view v = view_of(s);
	struct filtered f = { 0 };
	struct rule_view rules;
	struct place_verdict verdict = { 0 };

	rules_look(&v, role, false, &rules);
	f.code[node] = (uint8_t)capacity_admits(s, &s->roles[role], node, (struct need){ 0 });
	verdict_of(&rules, &f, node, &verdict);
	if (ret)
		*ret = verdict;
	return verdict.code;
}
