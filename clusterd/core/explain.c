/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decisions in words. */
#include "clusterd/core/explain.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "clusterd/core/node.h"
#include "clusterd/core/reason.h"
#include "clusterd/core/role_move.h"
#include "clusterd/core/timetable.h"
#include "clusterd/core/volume_use.h"

struct text {
	char *out;
	size_t at, size;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *t, const char *format, ...)
{
	va_list args;
	int n;

	if (t->at + 1 >= t->size)
		return;
	va_start(args, format);
	n = vsnprintf(t->out + t->at, t->size - t->at, format, args);
	va_end(args);
	if (n > 0)
		t->at += (size_t)n < t->size - t->at ? (size_t)n : t->size - t->at - 1;
}

/* Separates the parts of a list. */
static void comma(struct text *t)
{
	if (t->at)
		add(t, ", ");
}

static void add_duration(struct text *t, uint64_t ms)
{
	if (ms < MS_PER_SECOND)
		add(t, "%" PRIu64 " ms", ms);
	else if (ms < 2 * MS_PER_MINUTE)
		add(t, "%" PRIu64 " s", ms / MS_PER_SECOND);
	else if (ms < 2 * MS_PER_HOUR)
		add(t, "%" PRIu64 " min", ms / MS_PER_MINUTE);
	else
		add(t, "%" PRIu64 " h", ms / MS_PER_HOUR);
}

static const char *node_name(const struct state *s, uint32_t id)
{
	const char *name = state_name(s, KIND_NODE, id);

	return name ? name : "?";
}

static const char *role_name(const struct state *s, uint32_t id)
{
	const char *name = state_name(s, KIND_ROLE, id);

	return name ? name : "?";
}

static void add_place(struct text *t, const struct state *s, const struct role *r)
{
	if (r->owner && r->target && r->target != r->owner)
		add(t, "on %s, on its way to %s", node_name(s, r->owner), node_name(s, r->target));
	else if (r->owner)
		add(t, "on %s", node_name(s, r->owner));
	else if (r->target)
		add(t, "on its way to %s", node_name(s, r->target));
	else
		add(t, "on no node");
}

/* --- verdicts and scores --- */

static void add_shortage(struct text *t, const char *thing, uint64_t need, uint64_t load, uint64_t capacity, const char *unit)
{
	add(t, "not enough %s: needs %" PRIu64 "%s, %" PRIu64 " of %" PRIu64 "%s are free", thing, need, unit,
	    capacity > load ? capacity - load : 0, capacity, unit);
}

static void add_capacity(struct text *t, const struct state *s, const struct role *r, uint32_t node, enum place_code code)
{
	const struct node *n = &s->nodes[node];
	bool counted = r->owner == node || r->target == node;

	if (code == PLACE_NO_CPU)
		add_shortage(t, "cpu", r->cpu, s->load[node].cpu - (counted ? r->cpu : 0),
			     n->cpu ? n->cpu : n->cpu_declared, "");
	else
		add_shortage(t, "memory", r->memory_mb, s->load[node].memory_mb - (counted ? r->memory_mb : 0),
			     n->memory_mb ? n->memory_mb : n->memory_declared_mb, " MiB");
}

/* Who is there has to leave, so it binds nobody (see place.c). */
static bool must_leave(const struct node *n)
{
	return (n->state != NODE_ONLINE && n->state != NODE_JOINING) || n->fence_asked || n->admin == ADMIN_DRAINING ||
	       n->admin == ADMIN_STOPPING;
}

static void add_affinity(struct text *t, const struct state *s, uint32_t role, const struct place_verdict *v)
{
	const struct role *other = &s->roles[v->other];
	const char *rule = state_name(s, KIND_RULE, v->rule), *name = role_name(s, v->other);
	uint32_t node = other->target ? other->target : other->owner;

	if (v->code == PLACE_ANTI_AFFINITY) {
		add(t, "rule %s keeps it apart from %s, which is ", rule, name);
		add_place(t, s, other);
		if (other->priority < s->roles[role].priority && !s->cluster.preemption)
			add(t, "; that is of lower priority, but pre-emption is off");
	} else if (node && !must_leave(&s->nodes[node])) {
		add(t, "rule %s wants it together with %s, which is ", rule, name);
		add_place(t, s, other);
	} else {
		add(t, "rule %s wants it together with %s, for which there is no place", rule, name);
	}
}

void explain_verdict(const struct state *s, uint32_t role, uint32_t node, const struct place_verdict *verdict, char *out,
		     size_t size)
{
	struct text t = { out, 0, size };
	const struct node *n = &s->nodes[node];

	if (size)
		out[0] = '\0';
	switch ((enum place_code)verdict->code) {
	case PLACE_OK:
		add(&t, "may take it");
		break;
	case PLACE_NOT_ONLINE:
		add(&t, "is %s", enum_text(enum_values_node_state, n->state));
		break;
	case PLACE_PAUSED:
		add(&t, "takes nothing new: %s", enum_text(enum_values_node_admin, n->admin));
		break;
	case PLACE_QUARANTINED:
		add(&t, "was lost too often: quarantined for ");
		add_duration(&t, n->quarantine_until_ms - s->cluster.now_ms);
		break;
	case PLACE_NOT_POSSIBLE:
		add(&t, "is not among its possible owners");
		break;
	case PLACE_BANNED:
		add(&t, "it failed there");
		break;
	case PLACE_EXCLUDED:
		add(&t, "excluded by the request");
		break;
	case PLACE_NO_CPU:
	case PLACE_NO_MEMORY:
		add_capacity(&t, s, &s->roles[role], node, verdict->code);
		break;
	case PLACE_AFFINITY:
	case PLACE_ANTI_AFFINITY:
		add_affinity(&t, s, role, verdict);
		break;
	case PLACE_NO_VOLUME:
		add(&t, "the volume %s cannot be used there", state_name(s, KIND_VOLUME, verdict->volume));
		break;
	case PLACE_FENCE_ASKED:
		add(&t, "is about to be fenced");
		break;
	}
}

static void add_soft(struct text *t, enum place_part part, int64_t units)
{
	int64_t rules, roles;

	if (!units)
		return;
	units = units < 0 ? -units : units;
	rules = units / (PLACE_SOFT_MAX + 1);
	roles = units % (PLACE_SOFT_MAX + 1);
	comma(t);
	add(t, "%s%s %" PRId64 " rule%s, %" PRId64 " role%s", part == PART_AFFINITY ? "+" : "-", place_part_text(part), rules,
	    rules == 1 ? "" : "s", roles, roles == 1 ? "" : "s");
}

void explain_score(const struct state *s, uint32_t role, uint32_t node, const struct place_verdict *verdict, char *out,
		   size_t size)
{
	struct text t = { out, 0, size };
	const int64_t *parts = verdict->parts;
	uint32_t rank = place_rank(&s->roles[role], node);
	int64_t use = -parts[PART_BALANCE] / PLACE_BALANCE_USE, roles = -parts[PART_BALANCE] % PLACE_BALANCE_USE;

	if (size)
		out[0] = '\0';
	if (parts[PART_STAY])
		add(&t, "+stays");
	if (rank != UINT32_MAX) {
		comma(&t);
		add(&t, "+preferred no. %" PRIu32, rank + 1);
	}
	add_soft(&t, PART_AFFINITY, parts[PART_AFFINITY] / PLACE_WEIGHT_AFFINITY);
	add_soft(&t, PART_ANTI_AFFINITY, parts[PART_ANTI_AFFINITY] / PLACE_WEIGHT_ANTI_AFFINITY);
	if (parts[PART_HOME]) {
		comma(&t);
		add(&t, "+was there last");
	}
	comma(&t);
	add(&t, "load with it %" PRId64 ".%" PRId64 " %%, %" PRId64 " other role%s", use / 10, use % 10, roles,
	    roles == 1 ? "" : "s");
}

/* --- the reason in one line --- */

/* The newest event of this reason about the role, NULL: the ring has none. */
static const struct event *reason_event(const struct state *s, uint32_t role, uint32_t reason)
{
	uint64_t first = event_first_of(s, KIND_ROLE, role);
	const struct event *best = NULL;

	for (uint32_t id = 1; id <= s->high[KIND_EVENT]; id++) {
		const struct event *e = &s->events[id];

		if (e->object.used && e->about == KIND_ROLE && e->about_id == role && e->reason == reason &&
		    e->number >= first && (!best || best->number < e->number))
			best = e;
	}
	return best;
}

/* Told when the role left its node, not when it arrived. */
static bool told_by_leaving(uint32_t reason)
{
	return reason == REASON_RULE || reason == REASON_FAILOVER_RESOURCE || reason == REASON_VOLUME_LOST;
}

static void add_reason(struct text *t, const struct state *s, const struct role *r)
{
	const struct event *e = reason_event(s, r->object.id, r->reason);
	uint32_t node = r->reason_node, other = r->last_owner;
	const char *from;

	/* An older move has an event of the same reason: that of this one comes when it arrives. */
	if (e && reason_is_move(r->reason) && !told_by_leaving(r->reason) && (r->target || e->node != r->owner))
		e = NULL;
	if (e) {
		t->at += reason_format(e->reason, r->name, state_name(s, KIND_NODE, e->node), state_name(s, KIND_NODE, e->other),
				       e->detail, t->out + t->at, t->size - t->at);
		return;
	}
	if (r->target && strstr(reason_text(r->reason), "%m")) {
		node = r->target;
		other = r->owner ? r->owner : r->last_owner;
	}
	from = other == r->owner && !r->target ? "another node" : node_name(s, other);
	t->at += reason_format(r->reason, r->name, node_name(s, node), from, "no details are left", t->out + t->at,
			       t->size - t->at);
}

static void add_preempted(struct text *t, const struct state *s, const struct role *r)
{
	const struct event *e = reason_event(s, r->object.id, REASON_PREEMPTED);

	if (!r->preempted || r->reason == REASON_PREEMPTED || !e)
		return;
	add(t, "%s made room on %s for %s; ", r->name, node_name(s, e->node), e->detail);
}

static void add_hint(struct text *t, const struct state *s, const struct role *r)
{
	if (r->state == ROLE_FAILED)
		add(t, "; 'clusterctl role start %s' tries again", r->name);
	else if (r->reason == REASON_WAIT_PLACE)
		add(t, "; 'clusterctl why %s' lists each node's reason", r->name);
	else if (r->reason == REASON_WAIT_FENCE)
		add(t, "; if that is certainly off: 'clusterctl node confirm-fenced %s'", node_name(s, r->reason_node));
}

/* It is online, and yet not well. */
static void add_failing(struct text *t, const struct state *s, const struct role *r)
{
	for (uint32_t id = s->role_resource[r->object.id]; id; id = s->resource_next[id])
		if (s->resources[id].failing)
			add(t, "; %s fails there and is left so: %s", s->resources[id].name, s->resources[id].last_error);
}

static void add_awaited(struct text *t, const struct state *s, const struct role *r)
{
	uint32_t volume = r->reason == REASON_WAIT_VOLUME ? volume_awaited(s, r) : 0;

	if (volume)
		add(t, ": %s is not online", s->volumes[volume].name);
}

size_t explain_reason(const struct state *s, uint32_t role, bool hints, char *out, size_t size)
{
	struct text t = { out, 0, size };
	const struct role *r = &s->roles[role];

	if (size)
		out[0] = '\0';
	add_preempted(&t, s, r);
	add_reason(&t, s, r);
	add_awaited(&t, s, r);
	add_failing(&t, s, r);
	if (hints)
		add_hint(&t, s, r);
	return t.at;
}

/* --- the role --- */

struct explained {
	struct state *s;
	uint32_t id;
	const struct role *role;
	uint64_t first; /* number of the event the role's history begins with */
	const struct explain_sink *sink;
	char buffer[EXPLAIN_LINE_SIZE];
	struct text line;
};

static struct text *begin(struct explained *x, const char *indent)
{
	x->line = (struct text){ x->buffer, 0, sizeof(x->buffer) };
	x->buffer[0] = '\0';
	add(&x->line, "%s", indent);
	return &x->line;
}

static void end(struct explained *x) { x->sink->line(x->sink->user, x->buffer); }

/* About the role or one of its resources, and not about what had their ids before them. */
static bool is_about(const struct explained *x, const struct event *e)
{
	if (e->about == KIND_ROLE)
		return e->about_id == x->id && e->number >= x->first;
	return e->about == KIND_RESOURCE && state_resource(x->s, e->about_id) && x->s->resources[e->about_id].role == x->id &&
	       e->number >= event_first_of(x->s, KIND_RESOURCE, e->about_id);
}

/* The newest of them with a number below `before`, NULL: none in the ring. */
static const struct event *event_before(const struct explained *x, uint64_t before)
{
	const struct state *s = x->s;
	uint64_t oldest = s->cluster.next_event > EVENT_MAX ? s->cluster.next_event - EVENT_MAX : 1;

	while (before-- > oldest) {
		const struct event *e = state_get(s, KIND_EVENT, (uint32_t)(before % EVENT_MAX) + 1);

		if (e && e->number == before && is_about(x, e))
			return e;
	}
	return NULL;
}

static void explain_state(struct explained *x)
{
	const struct role *r = x->role;
	struct text *t = begin(x, "");

	add(t, "role %s is %s, ", r->name, enum_text(enum_values_role_state, r->state));
	add_place(t, x->s, r);
	add(t, ", priority %s", enum_text(enum_values_priority, r->priority));
	if (r->since_ms && r->since_ms <= x->s->cluster.now_ms) {
		add(t, ", for ");
		add_duration(t, x->s->cluster.now_ms - r->since_ms);
	}
	end(x);
	if (r->reason == REASON_NONE)
		return;
	t = begin(x, "  ");
	t->at += explain_reason(x->s, x->id, false, t->out + t->at, t->size - t->at);
	end(x);
}

static void frozen_line(struct explained *x, const char *what, const char *who, const char *command)
{
	add(begin(x, "  "), "%s: it is left as it is until 'clusterctl %s%s%s'", what, command, who,
	    *who ? " maintenance=no" : "");
	end(x);
}

static void explain_frozen(struct explained *x)
{
	const struct role *r = x->role;

	if (x->s->cluster.disarmed)
		frozen_line(x, "the cluster is disarmed", "", "arm");
	if (x->s->cluster.maintenance)
		frozen_line(x, "the cluster is in maintenance", "", "cluster set maintenance=no");
	if (r->owner && x->s->nodes[r->owner].maintenance)
		frozen_line(x, "its node is in maintenance", node_name(x->s, r->owner), "node set ");
	if (r->maintenance)
		frozen_line(x, "it is in maintenance", r->name, "role set ");
}

static const char *times(uint32_t n) { return n == 1 ? "" : "s"; }

static void explain_failures(struct explained *x)
{
	const struct role *r = x->role;
	uint64_t over_ms = r->first_failure_ms + r->period_ms, now_ms = x->s->cluster.now_ms;
	struct text *t;

	if (r->failures && (r->state != ROLE_FAILED || r->reason == REASON_THRESHOLD)) {
		t = begin(x, "  ");
		add(t, "failed over %" PRIu32 " time%s, %" PRIu32 " allowed within ", r->failures, times(r->failures),
		    r->threshold);
		add_duration(t, r->period_ms);
		end(x);
	}
	if (r->state != ROLE_FAILED)
		return;
	t = begin(x, "  ");
	add(t, "it is left failed: 'clusterctl role start %s' tries again", r->name);
	if (r->failures && r->reason != REASON_ON_FAIL_STOP && over_ms > now_ms) {
		add(t, ", and so does the cluster in ");
		add_duration(t, over_ms - now_ms);
	}
	end(x);
}

static void explain_flags(struct explained *x)
{
	const struct role *r = x->role;

	if (!r->want) {
		add(begin(x, "  "), "nobody wants it online: 'clusterctl role start %s'", r->name);
		end(x);
	}
	explain_frozen(x);
	explain_failures(x);
	if (r->moved_by_hand) {
		add(begin(x, "  "), "an administrator put it here: it does not fail back; 'clusterctl role cleanup %s' ends that",
		    r->name);
		end(x);
	}
	if (r->drained_from) {
		add(begin(x, "  "), "it returns to %s when that is resumed with failback", node_name(x->s, r->drained_from));
		end(x);
	}
}

static bool names_role(const struct set *set, uint32_t role)
{
	for (uint32_t i = 0; i < ROLELIST_MAX && set->roles[i]; i++)
		if (set->roles[i] == role)
			return true;
	return false;
}

/* Who of a set keeps it from being online. */
static void add_not_online(struct text *t, const struct state *s, const struct set *set)
{
	const char *before = ": ";

	for (uint32_t i = 0; i < ROLELIST_MAX && set->roles[i]; i++) {
		const struct role *r = &s->roles[set->roles[i]];

		if (!r->want || r->state == ROLE_ONLINE)
			continue;
		add(t, "%s%s is %s", before, r->name, enum_text(enum_values_role_state, r->state));
		before = ", ";
	}
}

static void explain_set_awaited(struct explained *x, const struct set *first, const struct set *set)
{
	uint64_t open_ms = first->ready_ms + set->delay_ms, now_ms = x->s->cluster.now_ms;
	struct text *t;

	if (first->ready_ms && open_ms <= now_ms)
		return;
	t = begin(x, "  ");
	add(t, "waits for: set %s, which comes before its set %s", first->name, set->name);
	if (first->ready_ms) {
		add(t, ", is online; its delay ends in ");
		add_duration(t, open_ms - now_ms);
	} else {
		add_not_online(t, x->s, first);
	}
	end(x);
}

/* A role that nobody wants would hold up all that come after it for ever; that it does not must not surprise. */
static void explain_set_unwanted(struct explained *x, const struct set *first, const struct set *set)
{
	struct text *t = NULL;

	for (uint32_t i = 0; i < ROLELIST_MAX && first->roles[i]; i++) {
		if (x->s->roles[first->roles[i]].want)
			continue;
		if (t)
			add(t, ", %s", role_name(x->s, first->roles[i]));
		else
			add(t = begin(x, "  "), "not waited for: of set %s, which comes before its set %s, nobody wants online: %s",
			    first->name, set->name, role_name(x->s, first->roles[i]));
	}
	if (t)
		end(x);
}

static void explain_sets(struct explained *x)
{
	const struct state *s = x->s;

	for (uint32_t id = 1; id <= s->high[KIND_SET]; id++) {
		const struct set *set = state_set(s, id);

		if (!set || !names_role(set, x->id))
			continue;
		for (uint32_t i = 0; i < SETLIST_MAX && set->after[i]; i++) {
			const struct set *first = state_set(s, set->after[i]);

			if (!first)
				continue;
			if (x->role->state == ROLE_PENDING)
				explain_set_awaited(x, first, set);
			explain_set_unwanted(x, first, set);
		}
	}
}

static void explain_resources(struct explained *x)
{
	const struct state *s = x->s;

	for (uint32_t id = s->role_resource[x->id]; id; id = s->resource_next[id]) {
		const struct resource *r = &s->resources[id];
		struct text *t;

		if (r->state == RES_STARTED && !r->op && !r->failing)
			continue;
		if (r->state == RES_STOPPED && !r->op && !r->last_error[0] && x->role->state != ROLE_STARTING)
			continue;
		t = begin(x, "  ");
		add(t, "resource %s is %s", r->name, enum_text(enum_values_resource_state, r->state));
		if (r->op)
			add(t, ", waits for: %s on %s", enum_text(enum_values_agent_action, r->op_action),
			    node_name(s, x->role->owner));
		if (r->failing)
			add(t, ", fails, and is left so, %s: %s",
			    r->on_fail == ON_FAIL_IGNORE ? "as configured (on_fail=ignore)" : "in maintenance or disarmed",
			    r->last_error);
		else if (r->last_error[0])
			add(t, ", last failure: %s", r->last_error);
		end(x);
	}
}

/* What frees the role of a lost node, and when. */
static void explain_proof(struct explained *x, const struct node *n)
{
	uint64_t at_ms = n->since_ms + timetable_proven_ms(&x->s->cluster), now_ms = x->s->cluster.now_ms;
	struct text *t = begin(x, "  ");

	add(t, "waits for: proof that %s has stopped: ", n->name);
	if (x->s->cluster.disarmed) {
		add(t, "nothing is fenced while the cluster is disarmed");
	} else if (!node_time_proves(x->s, n->object.id)) {
		add(t, "its fence command or its reboot; it has no watchdog that T_stop could count on");
	} else {
		add(t, "its fence command, its reboot, or T_stop and its watchdog, ");
		add(t, at_ms > now_ms ? "in about " : "any moment now");
		if (at_ms > now_ms)
			add_duration(t, at_ms - now_ms);
	}
	end(x);
	add(begin(x, "  "), "if %s is certainly off: 'clusterctl node confirm-fenced %s'", n->name, n->name);
	end(x);
}

static void explain_waiting(struct explained *x)
{
	const struct state *s = x->s;
	const struct role *r = x->role;

	if (r->owner && s->nodes[r->owner].state == NODE_LOST) {
		explain_proof(x, &s->nodes[r->owner]);
	}
	if (r->want)
		explain_sets(x);
	for (uint32_t id = 1; !r->owner && r->target && id <= s->high[KIND_ROLE]; id++) {
		if (!role_makes_room(x->s, id, x->id))
			continue;
		add(begin(x, "  "), "waits for: %s, which makes room on %s", s->roles[id].name, node_name(s, s->roles[id].owner));
		end(x);
	}
	explain_resources(x);
}

/* Each volume it needs, and where its owner is; of an ownership, who needs it. */
static void explain_volumes(struct explained *x)
{
	const struct state *s = x->s;
	uint32_t own = volume_of_role(s, x->id), users = 0;
	struct text *t;

	for (uint32_t i = 0; i < VOLUMELIST_MAX && x->role->volumes[i]; i++) {
		uint32_t id = x->role->volumes[i], owner = volume_owner(s, id);
		const struct role *r = &s->roles[s->volumes[id].role];

		t = begin(x, "  ");
		add(t, "needs volume %s: its ownership is %s", s->volumes[id].name, enum_text(enum_values_role_state, r->state));
		if (owner)
			add(t, " on %s", node_name(s, owner));
		if (x->role->owner && !volume_set_has(&s->nodes[x->role->owner].volumes_up, id))
			add(t, "; it cannot be used on %s", node_name(s, x->role->owner));
		end(x);
	}
	for (uint32_t id = 1; own && id <= s->high[KIND_ROLE]; id++)
		users += state_role(s, id) && volume_is_needed_by(&s->roles[id], own);
	if (!own)
		return;
	add(begin(x, "  "), "is the ownership of volume %s, which %" PRIu32 " role%s need%s", s->volumes[own].name, users,
	    times(users), users == 1 ? "s" : "");
	end(x);
}

static void explain_rules(struct explained *x)
{
	uint32_t n;
	const uint16_t *ids = state_rules_of(x->s, x->id, &n);

	for (uint32_t i = 0; i < n; i++) {
		const struct rule *rule = &x->s->rules[ids[i]];
		struct text *t = begin(x, "  ");
		size_t start;

		add(t, "rule %s: %s %s by %s with ", rule->name, rule->hard ? "hard" : "soft",
		    enum_text(enum_values_rule_kind, rule->kind), enum_text(enum_values_rule_scope, rule->scope));
		start = t->at;
		for (uint32_t j = 0; j < ROLELIST_MAX && rule->roles[j]; j++) {
			const struct role *other = &x->s->roles[rule->roles[j]];

			if (rule->roles[j] == x->id)
				continue;
			add(t, "%s%s", t->at == start ? "" : ", ", role_name(x->s, rule->roles[j]));
			if (other->owner || other->target)
				add(t, " (%s)", node_name(x->s, other->target ? other->target : other->owner));
		}
		end(x);
	}
}

/* A hard affinity moves nobody who runs; a person can, and then all of them run. */
static void explain_gathering(struct explained *x, const struct place_verdict *verdicts)
{
	struct place_request along = { .take_along = true };
	const struct place_verdict *v;
	struct placement p;

	if (x->role->owner || !x->role->want)
		return;
	place_role(x->s, x->id, &along, &p, NULL);
	v = &verdicts[p.node];
	if (!p.node || v->code != PLACE_AFFINITY || !x->s->roles[v->other].owner)
		return;
	add(begin(x, "  "), "%s has room for it and all that must be with it: 'clusterctl role move %s %s'",
	    node_name(x->s, p.node), role_name(x->s, v->other), node_name(x->s, p.node));
	end(x);
}

static void explain_nodes(struct explained *x)
{
	struct place_request request = { .stay = x->role->owner, .preempt = x->s->cluster.preemption };
	struct place_verdict verdicts[NODE_MAX + 1];
	struct placement p;
	struct text *t;
	int width = 4;

	place_role(x->s, x->id, &request, &p, verdicts);
	t = begin(x, "  ");
	if (!p.node && x->role->reason == REASON_WAIT_PLACE)
		add(t, "what each node lacks:");
	else if (!p.node)
		add(t, "no node may take it:");
	else
		add(t, "were it placed now: %s", node_name(x->s, p.node));
	for (uint32_t i = 0; i < p.n_victims; i++)
		add(t, "%s%s", i ? ", " : ", after stopping ", role_name(x->s, p.victims[i]));
	end(x);
	for (uint32_t n = 1; n <= x->s->high[KIND_NODE]; n++)
		if (state_node(x->s, n) && (int)strlen(node_name(x->s, n)) > width)
			width = (int)strlen(node_name(x->s, n));
	for (uint32_t n = 1; n <= x->s->high[KIND_NODE]; n++) {
		char words[EXPLAIN_LINE_SIZE / 2];

		if (!state_node(x->s, n))
			continue;
		if (verdicts[n].code == PLACE_OK)
			explain_score(x->s, x->id, n, &verdicts[n], words, sizeof(words));
		else
			explain_verdict(x->s, x->id, n, &verdicts[n], words, sizeof(words));
		add(begin(x, "    "), "%-*s  %-18s  %s", width, node_name(x->s, n), place_code_text(verdicts[n].code), words);
		end(x);
	}
	if (!p.node)
		explain_gathering(x, verdicts);
}

static void explain_events(struct explained *x)
{
	const struct event *e = event_before(x, x->s->cluster.next_event);

	if (e) {
		begin(x, "  newest events:");
		end(x);
	}
	for (uint32_t i = 0; e && i < EXPLAIN_EVENTS_MAX; i++, e = event_before(x, e->number)) {
		struct text *t = begin(x, "    ");

		add(t, "#%" PRIu64 " ", e->number);
		if (e->at_ms <= x->s->cluster.now_ms) {
			add_duration(t, x->s->cluster.now_ms - e->at_ms);
			add(t, " ago: ");
		}
		t->at += event_format(x->s, e, t->out + t->at, t->size - t->at);
		end(x);
	}
}

void explain_role(struct state *s, uint32_t role, const struct explain_sink *sink)
{
	struct explained x = { .s = s, .id = role, .role = &s->roles[role], .sink = sink };

	x.first = event_first_of(s, KIND_ROLE, role);

	explain_state(&x);
	explain_flags(&x);
	explain_waiting(&x);
	explain_volumes(&x);
	explain_rules(&x);
	explain_nodes(&x);
	explain_events(&x);
}
