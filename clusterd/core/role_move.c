/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When a role leaves its node and where it goes: wishes, failures, drain, rules, failback, sets. */
#include <stdio.h>

#include "clusterd/core/canary.h"
#include "clusterd/core/node.h"
#include "clusterd/core/role_move.h"
#include "clusterd/core/volume_use.h"

bool reason_is_move(enum reason reason)
{
	switch (reason) {
	case REASON_FAILOVER_NODE:
	case REASON_FAILOVER_RESOURCE:
	case REASON_MOVED:
	case REASON_FAILBACK:
	case REASON_DRAINED:
	case REASON_RULE:
	case REASON_VOLUME_LOST:
	case REASON_PLACED:
	case REASON_NOT_POSSIBLE:
	case REASON_FOUND_RUNNING:
		return true;
	default:
		return false;
	}
}

bool reason_is_wait(enum reason reason)
{
	return (reason >= REASON_WAIT_FENCE && reason <= REASON_DRAIN_STUCK) || reason == REASON_MAINTENANCE ||
	       reason == REASON_ROLE_MAINTENANCE ||
	       reason == REASON_WAIT_VOLUME;
}

bool role_period_over(const struct role *r, uint64_t now_ms) { return now_ms - r->first_failure_ms >= r->period_ms; }

bool role_history_in_doubt(const struct state *s)
{
	return s->tag.epoch >> EPOCH_FORCED_SHIFT && nodes_in(s, NODE_JOINING);
}

/* --- start sets --- */

static bool set_has(const struct set *set, uint32_t role)
{
	for (uint32_t i = 0; i < ROLELIST_MAX && set->roles[i]; i++)
		if (set->roles[i] == role)
			return true;
	return false;
}

/* Time from which the sets that wait for this one may start; UINT64_MAX: it is not online. */
static uint64_t set_open_from(const struct set *waiting, const struct set *first)
{
	return first->ready_ms ? first->ready_ms + waiting->delay_ms : UINT64_MAX;
}

static bool set_may_start(const struct state *s, const struct set *set, uint64_t now_ms)
{
	for (uint32_t i = 0; i < SETLIST_MAX && set->after[i]; i++)
		if (state_set(s, set->after[i]) && set_open_from(set, &s->sets[set->after[i]]) > now_ms)
			return false;
	return true;
}

bool role_sets_ready(const struct state *s, uint32_t role)
{
	for (uint32_t id = 1; id <= s->high[KIND_SET]; id++)
		if (state_set(s, id) && set_has(&s->sets[id], role) && !set_may_start(s, &s->sets[id], s->cluster.now_ms))
			return false;
	return true;
}

/* A role that nobody wants online does not hold its set back. */
static bool set_online(const struct state *s, const struct set *set)
{
	for (uint32_t i = 0; i < ROLELIST_MAX && set->roles[i]; i++)
		if (state_role(s, set->roles[i]) && s->roles[set->roles[i]].want &&
		    s->roles[set->roles[i]].state != ROLE_ONLINE)
			return false;
	return true;
}

void engine_touch_set(struct engine *e, const struct set *set)
{
	for (uint32_t i = 0; i < ROLELIST_MAX && set->roles[i]; i++)
		engine_touch(e, set->roles[i]);
}

static void touch_sets_after(struct engine *e, const struct state *s, uint32_t first)
{
	for (uint32_t id = 1; id <= s->high[KIND_SET]; id++)
		for (uint32_t i = 0; state_set(s, id) && i < SETLIST_MAX && s->sets[id].after[i]; i++)
			if (s->sets[id].after[i] == first)
				engine_touch_set(e, &s->sets[id]);
}

void role_sets_update(struct engine *e, struct state *s)
{
	e->sets_stale = false;
	for (uint32_t id = 1; id <= s->high[KIND_SET]; id++) {
		bool online;

		if (!state_set(s, id))
			continue;
		online = set_online(s, &s->sets[id]);
		if (online == (s->sets[id].ready_ms != 0))
			continue;
		((struct set *)state_edit(s, KIND_SET, id))->ready_ms = online ? s->cluster.now_ms : 0;
		touch_sets_after(e, s, id);
	}
}

/* --- where to --- */

static bool node_takes(struct state *s, uint32_t role, uint32_t node)
{
	struct place_request only = { .exclude = ~NODE_BIT(node) };
	struct placement p;

	place_role(s, role, &only, &p, NULL);
	return p.node == node && !p.n_victims;
}

void role_choose_node(struct state *s, uint32_t role, struct placement *ret)
{
	struct place_request request = { .preempt = s->cluster.preemption };
	uint32_t target = s->roles[role].target;

	*ret = (struct placement){ .node = target };
	if (target && node_takes(s, role, target))
		return;
	place_role(s, role, &request, ret, NULL);
	if (!ret->node && s->roles[role].banned) {
		/* Better on a node where it failed than nowhere; the threshold ends that. */
		request.ignore_bans = true;
		place_role(s, role, &request, ret, NULL);
	}
}

static bool node_stops(const struct state *s, uint32_t node)
{
	return !s->nodes[node].fence_asked && s->nodes[node].state == NODE_ONLINE;
}

bool role_makes_room(struct state *s, uint32_t other, uint32_t role)
{
	const struct role *r = state_role(s, other);

	return r && r->preempted && r->owner &&
	       (r->owner == s->roles[role].target || place_keeps_apart(s, role, s->roles[role].target, other));
}

bool role_room_coming(struct state *s, uint32_t role)
{
	bool coming = false;

	/* What does not stop makes no room; when its node was fenced there is no target any more. */
	if (!node_stops(s, s->roles[role].target))
		return false;
	for (uint32_t id = 1; id <= s->high[KIND_ROLE]; id++) {
		if (!role_makes_room(s, id, role))
			continue;
		if (!node_stops(s, s->roles[id].owner))
			return false;
		coming = true;
	}
	return coming;
}

/* --- with its companions --- */

bool role_frozen(const struct state *s, const struct role *r)
{
	return s->cluster.disarmed || s->cluster.maintenance || r->maintenance ||
	       (r->owner && s->nodes[r->owner].maintenance);
}

static bool group_has(const struct role_group *g, uint32_t role)
{
	for (uint32_t i = 0; i < g->n; i++)
		if (g->roles[i] == role)
			return true;
	return false;
}

static bool may_come_along(const struct state *s, uint32_t role)
{
	const struct role *r = &s->roles[role];

	return r->state == ROLE_ONLINE && r->want && !r->target && s->nodes[r->owner].state == NODE_ONLINE && !role_frozen(s, r);
}

/* Aims those of one rule that may not stay where they are, now that one of them is aimed at `with`. */
static bool group_follow(struct state *s, const struct rule *rule, uint32_t with, struct role_group *g)
{
	for (uint32_t i = 0; i < ROLELIST_MAX && rule->roles[i]; i++) {
		uint32_t id = rule->roles[i], at = s->roles[id].target ? s->roles[id].target : s->roles[id].owner;
		struct place_request request = { 0 }, together = { .exclude = ~NODE_BIT(with), .take_along = true };
		struct placement p;

		if (!at || group_has(g, id) || !place_breaks_affinity(s, id, at))
			continue;
		if (!may_come_along(s, id) || g->n == ARRAY_SIZE(g->roles))
			return false;
		place_role(s, id, &request, &p, NULL);
		if (!p.node) /* others that are tied to it have yet to follow */
			place_role(s, id, &together, &p, NULL);
		if (!p.node)
			return false;
		state_set_target(s, id, p.node);
		g->roles[g->n++] = (uint16_t)id;
	}
	return true;
}

/* From rule to rule. */
static bool group_gather(struct state *s, struct role_group *g)
{
	for (uint32_t head = 0; head < g->n; head++) {
		uint32_t n;
		const uint16_t *rules = state_rules_of(s, g->roles[head], &n);

		for (uint32_t i = 0; i < n; i++)
			if (s->rules[rules[i]].hard && s->rules[rules[i]].kind == RULE_AFFINITY &&
			    !group_follow(s, &s->rules[rules[i]], s->roles[g->roles[head]].target, g))
				return false;
	}
	return true;
}

bool role_aim_back(struct state *s, uint32_t role, uint32_t node, struct role_group *ret)
{
	struct place_request request = { .exclude = ~NODE_BIT(node), .take_along = true };
	struct placement p;
	bool all;

	ret->n = 0;
	place_role(s, role, &request, &p, NULL);
	if (p.node != node || p.n_victims)
		return false;
	state_set_target(s, role, node);
	ret->roles[ret->n++] = (uint16_t)role;
	all = group_gather(s, ret);
	for (uint32_t i = 0; i < ret->n; i++) {
		struct role *r = state_edit(s, KIND_ROLE, ret->roles[i]);

		if (!all) {
			state_set_target(s, ret->roles[i], 0);
			continue;
		}
		r->moved_by_hand = 0; /* where it goes is the policy's choice again */
		r->reason = REASON_FAILBACK;
		r->reason_node = r->owner;
	}
	return all;
}

/* --- whether to leave --- */

/* Aims the role at the best node but its own. False: none takes it. */
static bool aim_elsewhere(struct state *s, uint32_t role, enum reason reason)
{
	struct place_request request = { .exclude = NODE_BIT(s->roles[role].owner) };
	struct placement p;
	struct role *r;

	place_role(s, role, &request, &p, NULL);
	if (!p.node)
		return false;
	state_set_target(s, role, p.node);
	r = state_edit(s, KIND_ROLE, role);
	r->moved_by_hand = 0;
	r->reason = reason;
	r->reason_node = r->owner;
	return true;
}

static bool leave_for_drain(struct state *s, uint32_t role)
{
	const struct role *r = &s->roles[role];
	bool stopping = s->nodes[r->owner].admin == ADMIN_STOPPING;

	if (aim_elsewhere(s, role, REASON_DRAINED)) {
		((struct role *)state_edit(s, KIND_ROLE, role))->drained_from = r->owner;
		return true;
	}
	if (stopping)
		return true;
	if (r->reason != REASON_DRAIN_STUCK) {
		struct role *w = state_edit(s, KIND_ROLE, role);

		w->reason = REASON_DRAIN_STUCK;
		w->reason_node = w->owner;
	}
	return false;
}

/* Of two roles that may not be together, the one of lower priority, then of higher id, gives way. */
static bool gives_way(const struct state *s, uint32_t role, uint32_t other)
{
	if (!state_role(s, other))
		return true;
	if (s->roles[role].priority != s->roles[other].priority)
		return s->roles[role].priority < s->roles[other].priority;
	return role > other;
}

static bool breaks_rule(struct state *s, uint32_t role, struct place_verdict *ret)
{
	enum place_code code = place_check(s, role, s->roles[role].owner, ret);

	return (code == PLACE_AFFINITY || code == PLACE_ANTI_AFFINITY) && gives_way(s, role, ret->other);
}

/* The rule is named when the role leaves: where it arrives, nobody can tell any more. */
static void leave_for_rule(struct state *s, uint32_t role, const struct place_verdict *v)
{
	const char *rule = state_name(s, KIND_RULE, v->rule), *other = state_name(s, KIND_ROLE, v->other);
	uint32_t owner = s->roles[role].owner;
	char detail[TEXT_SIZE];
	struct role *r;

	aim_elsewhere(s, role, REASON_RULE);
	r = state_edit(s, KIND_ROLE, role);
	r->reason = REASON_RULE;
	r->reason_node = owner;
	snprintf(detail, sizeof(detail), "rule %s keeps it %s %s", rule ? rule : "?",
		 v->code == PLACE_AFFINITY ? "together with" : "apart from", other ? other : "?");
	event_add(s, &(struct event_about){ REASON_RULE, KIND_ROLE, role, r->target, owner, detail });
}

/* What it does there fails or waits for ever, whatever its agents say: it goes to where the volume can be used. */
static void leave_for_volume(struct state *s, uint32_t role, uint32_t volume)
{
	uint32_t owner = s->roles[role].owner;
	struct role *r;

	aim_elsewhere(s, role, REASON_VOLUME_LOST);
	r = state_edit(s, KIND_ROLE, role);
	r->moved_by_hand = 0;
	r->reason = REASON_VOLUME_LOST;
	r->reason_node = owner;
	event_add(s, &(struct event_about){ REASON_VOLUME_LOST, KIND_ROLE, role, owner, r->target,
					    state_name(s, KIND_VOLUME, volume) });
}

/* Hours are of the cluster's local time; a window may span midnight. */
static bool in_failback_window(const struct state *s, const struct role *r, uint64_t now_ms)
{
	uint64_t one_day_on = now_ms / MS_PER_MINUTE + MS_PER_DAY / MS_PER_MINUTE;
	uint64_t minutes = one_day_on + s->cluster.utc_offset_min - ZONE_UTC;
	uint32_t hour = (uint32_t)(minutes / 60 % 24);

	if (r->failback_from_h <= r->failback_to_h)
		return hour >= r->failback_from_h && hour < r->failback_to_h;
	return hour >= r->failback_from_h || hour < r->failback_to_h;
}

static bool may_fail_back(const struct role *r)
{
	return r->failback != FAILBACK_NO && r->state == ROLE_ONLINE && !r->moved_by_hand && r->preferred[0] &&
	       place_rank(r, r->owner) > 0;
}

static bool wants_failback(const struct state *s, const struct role *r)
{
	return may_fail_back(r) && (r->failback == FAILBACK_IMMEDIATE || in_failback_window(s, r, s->cluster.now_ms));
}

/* The roles of one rule that have a node join the group. False: one of them does not give way to its first. */
static bool group_led(const struct state *s, const struct rule *rule, struct role_group *g)
{
	for (uint32_t i = 0; i < ROLELIST_MAX && rule->roles[i]; i++) {
		uint32_t id = rule->roles[i];

		if (!s->roles[id].owner || group_has(g, id))
			continue;
		if (gives_way(s, g->roles[0], id) || g->n == ARRAY_SIZE(g->roles))
			return false;
		g->roles[g->n++] = (uint16_t)id;
	}
	return true;
}

/* Of roles that hard affinities keep together one decides where they belong: of high priority, then of low id. */
static bool leads(struct state *s, uint32_t role)
{
	struct role_group g = { 1, { (uint16_t)role } };

	for (uint32_t head = 0; head < g.n; head++) {
		uint32_t n;
		const uint16_t *rules = state_rules_of(s, g.roles[head], &n);

		for (uint32_t i = 0; i < n; i++)
			if (s->rules[rules[i]].hard && s->rules[rules[i]].kind == RULE_AFFINITY &&
			    !group_led(s, &s->rules[rules[i]], &g))
				return false;
	}
	return true;
}

/* The best preferred owner that takes the role, and who must be with it, now and is better than where it is. */
static bool leave_for_failback(struct engine *e, struct state *s, uint32_t role)
{
	const struct role *r = &s->roles[role];
	uint32_t here = place_rank(r, r->owner);

	for (uint32_t rank = 0; rank < here && rank <= NODE_MAX && r->preferred[rank]; rank++) {
		struct role_group group;

		if (!node_takes(s, role, r->preferred[rank]) && !leads(s, role))
			continue;
		if (!role_aim_back(s, role, r->preferred[rank], &group))
			continue;
		for (uint32_t i = 0; i < group.n; i++)
			engine_touch(e, group.roles[i]);
		return true;
	}
	return false;
}

static bool outside_possible(const struct role *r) { return r->possible && !nodeset_has(r->possible, r->owner); }

bool role_must_leave(struct engine *e, struct state *s, uint32_t role)
{
	const struct role *r = &s->roles[role];
	struct place_verdict v;
	uint32_t missing;

	if (!r->want || r->state == ROLE_FAILED || r->preempted || nodeset_has(r->banned, r->owner))
		return true;
	if (r->target == r->owner)
		state_set_target(s, role, 0);
	if (r->target || r->state == ROLE_STOPPING)
		return true; /* on its way; a role that began to stop stops whole */
	if (volume_unwanted(s, r))
		return true; /* before the volume goes */
	missing = CANARY(CANARY_VOLUME_KEPT) ? 0 : volume_missing(s, r, r->owner);
	if (missing) {
		leave_for_volume(s, role, missing);
		return true;
	}
	if (s->nodes[r->owner].admin >= ADMIN_DRAINING) /* its companions went before it and do not see it here any more */
		return leave_for_drain(s, role) || place_check(s, role, r->owner, NULL) == PLACE_AFFINITY;
	if (r->reason == REASON_DRAIN_STUCK)
		((struct role *)state_edit(s, KIND_ROLE, role))->reason = REASON_ONLINE;
	if (outside_possible(r)) {
		aim_elsewhere(s, role, REASON_NOT_POSSIBLE);
		return true;
	}
	if (breaks_rule(s, role, &v)) {
		leave_for_rule(s, role, &v);
		return true; /* a hard rule: rather down than against it */
	}
	return wants_failback(s, r) && leave_for_failback(e, s, role);
}

bool role_would_move(const struct state *s, uint32_t role)
{
	const struct role *r = &s->roles[role];

	return r->object.used && r->owner &&
	       (r->reason == REASON_DRAIN_STUCK || s->nodes[r->owner].admin >= ADMIN_DRAINING ||
		(r->failback != FAILBACK_NO && r->preferred[0] && place_rank(r, r->owner) > 0));
}

/* --- the clock --- */

bool role_is_due(const struct state *s, const struct role *r, uint64_t now_ms)
{
	if (!r->object.used)
		return false;
	if (r->failures && role_period_over(r, now_ms))
		return true;
	return may_fail_back(r) && r->failback == FAILBACK_WINDOW && in_failback_window(s, r, now_ms) &&
	       !in_failback_window(s, r, s->cluster.now_ms);
}

bool set_is_due(const struct state *s, const struct set *set, uint64_t now_ms)
{
	return !set_may_start(s, set, s->cluster.now_ms) && set_may_start(s, set, now_ms);
}

bool role_due(const struct state *s, uint64_t now_ms)
{
	for (uint32_t id = 1; id <= s->high[KIND_SET]; id++)
		if (state_set(s, id) && set_is_due(s, &s->sets[id], now_ms))
			return true;
	for (uint32_t id = 1; id <= s->high[KIND_ROLE]; id++)
		if (role_is_due(s, &s->roles[id], now_ms))
			return true;
	return false;
}
