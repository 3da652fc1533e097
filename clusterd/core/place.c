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
#include "clusterd/core/place_private.h"

#include <string.h>

#include "clusterd/core/canary.h"
#include "clusterd/core/volume_use.h"

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
	[PLACE_NO_VOLUME] = "no-volume",
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

struct place_view place_view_of(struct state *s)
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

nodeset_t place_scope_nodes(const struct place_view *v, uint32_t scope, uint32_t node)
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
		against = v->nodes & ~place_scope_nodes(v, rule->scope, at) & ~ret->not_with;
		ret->not_with |= against;
		for (nodeset_t left = against; left; left &= left - 1) {
			ret->with_rule[nodeset_first(left)] = (uint16_t)rule->object.id;
			ret->with_other[nodeset_first(left)] = (uint16_t)other;
		}
	}
}

nodeset_t place_spots(const struct role *role)
{
	return (role->owner ? NODE_BIT(role->owner) : 0) | (role->target ? NODE_BIT(role->target) : 0);
}

static void hard_anti_affinity(const struct place_view *v, const struct rule *rule, uint32_t self,
			       struct rule_view *ret)
{
	nodeset_t seen = 0;

	for (uint32_t i = 0; i < ROLELIST_MAX && rule->roles[i]; i++) {
		const struct role *other = &v->s->roles[rule->roles[i]];
		nodeset_t at = place_spots(other) & ~seen, against = 0;

		if (rule->roles[i] == self)
			continue;
		seen |= at;
		for (; at; at &= at - 1)
			against |= place_scope_nodes(v, rule->scope, nodeset_first(at));
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
		nodeset_t scope = place_scope_nodes(v, rule->scope, node);

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
	if (!CANARY(CANARY_NO_VOLUME) && volume_missing(s, role, n))
		return PLACE_NO_VOLUME;
	return PLACE_OK;
}

static uint64_t node_cpu(const struct node *node) { return node->cpu ? node->cpu : node->cpu_declared; }
static uint64_t node_memory_mb(const struct node *node)
{
	return node->memory_mb ? node->memory_mb : node->memory_declared_mb;
}

/* Load of the node without the role, were `extra` there too. */
static struct place_need load_without(const struct state *s, const struct role *role, uint32_t n, struct place_need extra)
{
	const struct node_load *load = &s->load[n];
	bool counted = role->owner == n || role->target == n;

	return (struct place_need){ .cpu = load->cpu + extra.cpu - (counted ? role->cpu : 0),
				    .memory_mb = load->memory_mb + extra.memory_mb - (counted ? role->memory_mb : 0) };
}

static uint64_t less(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }

struct place_need place_lack(const struct state *s, const struct role *role, uint32_t n, struct place_need extra)
{
	struct place_need load = load_without(s, role, n, extra);
	uint64_t cpu = node_cpu(&s->nodes[n]), memory_mb = node_memory_mb(&s->nodes[n]);

	return (struct place_need){ .cpu = cpu && role->cpu + extra.cpu ? less(load.cpu + role->cpu, cpu) : 0,
				    .memory_mb = memory_mb && role->memory_mb + extra.memory_mb ?
							 less(load.memory_mb + role->memory_mb, memory_mb) :
							 0 };
}

static enum place_code capacity_admits(const struct state *s, const struct role *role, uint32_t n, struct place_need extra)
{
	struct place_need load = load_without(s, role, n, extra);
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
	struct place_need load = load_without(s, role, n, (struct place_need){ 0 });
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
	bool torn;             /* and no node has room for all of them */
	struct member members[PLACE_GROUP_MAX];
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
	for (uint32_t i = 0; i < ROLELIST_MAX && rule->roles[i] && g->n < PLACE_GROUP_MAX; i++) {
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
	g->leaving = g->pending = g->torn = false;
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
					against |= place_scope_nodes(v, rule->scope, g->members[k].node);
	}
	return against;
}

static void member_take(const struct state *s, struct member *m, uint32_t node, struct place_need *extra)
{
	const struct role *role = &s->roles[m->role];

	m->node = node;
	if (role->owner != node && role->target != node)
		place_need_add(&extra[node], role);
}

/*
 * Would the whole group (or only those who must leave their place) fit, were the role at `node`? First fit, the role's
 * own node first: what it finds is sound, a fit that only a cleverer packing finds is not seen. ret: who did not fit.
 */
static bool group_fits(const struct place_view *v, struct group *g, uint32_t node, bool with_pending,
		       const struct member **ret)
{
	struct place_need extra[NODE_MAX + 1] = { 0 };

	g->members[0].allowed = NODE_BIT(node);
	member_take(v->s, &g->members[0], node, extra);
	for (uint32_t i = 1; i < g->n; i++) {
		struct member *m = &g->members[i];
		nodeset_t left;

		m->node = 0;
		m->allowed = 0;
		for (left = g->members[m->parent].allowed; left; left &= left - 1)
			m->allowed |= place_scope_nodes(v, m->scope, nodeset_first(left));
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

/*
 * Narrows `pass` to nodes that hold the role's companions too. What drops out is noted as against hard affinity. When no node
 * holds all who wait, the group is torn.
 */
static nodeset_t group_narrow(const struct place_view *v, nodeset_t pass, struct rule_view *rules, struct group *g)
{
	rules->leaving = g->leaving;
	for (int with_pending = g->pending; with_pending >= 0 && (g->leaving || with_pending); with_pending--) {
		nodeset_t fit = 0;

		for (nodeset_t left = pass; left; left &= left - 1) {
			uint32_t n = nodeset_first(left);
			const struct member *misfit = NULL;

			if (group_fits(v, g, n, with_pending, &misfit)) {
				fit |= NODE_BIT(n);
				continue;
			}
			rules->with_rule[n] = misfit->rule;
			rules->with_other[n] = misfit->role;
		}
		/* who only waits may go on waiting; who runs must not be torn from its companions */
		g->torn |= with_pending && !fit;
		if (fit || (!with_pending && g->leaving)) {
			rules->not_with |= pass & ~fit;
			return fit;
		}
	}
	return pass;
}

/* Leaves those out of the group that matter less. */
static void group_keep(const struct state *s, struct group *g, uint32_t priority)
{
	uint32_t n = 1;

	for (uint32_t i = 1; i < g->n; i++)
		if (s->roles[g->members[i].role].priority >= priority)
			g->members[n++] = g->members[i];
	g->n = n;
}

/* Nodes of `where` that may hold all of the group, were there room. */
static nodeset_t group_may(const struct place_view *v, struct group *g, nodeset_t where)
{
	nodeset_t may = 0;

	for (; where; where &= where - 1) {
		uint32_t n = nodeset_first(where), i;

		for (i = 0; i < g->n; i++)
			g->members[i].node = n;
		for (i = 1; i < g->n && nodeset_has(g->members[i].may & ~group_against(v, g, i), n); i++)
			;
		if (i == g->n)
			may |= NODE_BIT(n);
	}
	return may;
}

static struct place_need group_need(const struct state *s, const struct group *g)
{
	struct place_need need = { 0 };

	for (uint32_t i = 1; i < g->n; i++)
		place_need_add(&need, &s->roles[g->members[i].role]);
	return need;
}

/* Who has to leave for the role, and for what those of `g` (NULL: nobody) need beside it. */
static void preempt(const struct place_view *v, uint32_t role, const struct group *g, const struct place_request *request,
		    nodeset_t where, const struct rule_view *rules, struct placement *ret)
{
	struct preempt_wish wish = { .role = role, .where = where };
	int64_t parts[PART_MAX];

	if (g)
		wish.extra = group_need(v->s, g);
	for (uint32_t i = 1; g && i < g->n; i++)
		wish.companions[wish.n_companions++] = g->members[i].role;
	for (; where; where &= where - 1) {
		uint32_t n = nodeset_first(where);

		wish.scores[n] = score_node(v->s, &v->s->roles[role], n, request, rules, parts);
	}
	place_preempt(v, &wish, ret);
}

/*
 * A group that is torn, for want of room: the node where its role can be with all who wait and do not matter less, when others
 * make room for them together. One after the other they would find the first where no room can be made for the next.
 */
static void preempt_together(const struct place_view *v, uint32_t role, struct group *g, const struct place_request *request,
			     nodeset_t where, const struct rule_view *rules, struct placement *ret)
{
	struct placement together = { 0 };

	group_keep(v->s, g, v->s->roles[role].priority);
	where &= group_may(v, g, where);
	if (g->n > 1 && where)
		preempt(v, role, g, request, where, rules, &together);
	if (together.node)
		*ret = together;
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
		ret->code[n] = (uint8_t)capacity_admits(v->s, role, n, (struct place_need){ 0 });
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
	struct group g;
	int64_t best = 0, parts[PART_MAX];
	nodeset_t admitted;
	bool may_preempt;

	ret->node = ret->n_victims = 0;
	rules_look(v, id, true, &rules);
	filter_nodes(v, role, request, &rules, &f);
	admitted = f.pass | f.taken;
	g.torn = false; /* of the rest nothing is read unless group_find() has made it */
	if (rules.grouped) {
		group_find(v, id, &g);
		f.pass = group_narrow(v, f.pass, &rules, &g);
	}
	for (nodeset_t left = verdicts ? v->nodes : f.pass; left; left &= left - 1) {
		uint32_t n = nodeset_first(left);
		int64_t score = score_node(v->s, role, n, request, &rules, verdicts ? verdicts[n].parts : parts);

		if (verdicts) {
			verdict_of(&rules, &f, n, &verdicts[n]);
			verdicts[n].score = score;
			verdicts[n].volume = (uint16_t)volume_missing(v->s, role, n);
		}
		if (nodeset_has(f.pass, n) && (!ret->node || score > best)) {
			ret->node = n;
			best = score;
		}
	}
	may_preempt = request->preempt && v->s->cluster.preemption && !v->s->cluster.maintenance && !rules.leaving &&
		      role->priority > PRIORITY_NO_AUTOSTART;
	if (may_preempt && g.torn)
		preempt_together(v, id, &g, request, admitted, &rules, ret);
	if (may_preempt && !ret->node && f.taken)
		preempt(v, id, NULL, request, f.taken, &rules, ret);
}

void place_role(struct state *s, uint32_t role, const struct place_request *request, struct placement *ret,
		struct place_verdict *verdicts)
{
	struct place_view v = place_view_of(s);

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
	struct place_view v = place_view_of(s);
	struct rule_view rules;

	rules_look(&v, role, false, &rules);
	return nodeset_has(rules.not_with, node);
}

enum place_code place_check(struct state *s, uint32_t role, uint32_t node, struct place_verdict *ret)
{
	struct place_view v = place_view_of(s);
	struct filtered f = { 0 };
	struct rule_view rules;
	struct place_verdict verdict = { 0 };

	rules_look(&v, role, false, &rules);
	f.code[node] = (uint8_t)capacity_admits(s, &s->roles[role], node, (struct place_need){ 0 });
	verdict_of(&rules, &f, node, &verdict);
	if (ret)
		*ret = verdict;
	return verdict.code;
}
