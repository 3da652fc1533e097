/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The role engine: what each role does next. Where a role goes and when it leaves is role_move.c's question. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "clusterd/core/node.h"
#include "clusterd/core/reason.h"
#include "clusterd/core/resource.h"
#include "clusterd/core/role.h"
#include "clusterd/core/role_move.h"
#include "clusterd/core/volume_use.h"

/* Each pass over the work settles something; more passes than this mean that two roles chase each other. */
#define ENGINE_PASSES_MAX 64

void engine_init(struct engine *e) { memset(e, 0, sizeof(*e)); }

void engine_touch(struct engine *e, uint32_t role) { e->work[role / 64] |= (uint64_t)1 << role % 64; }

void engine_touch_all(struct engine *e, const struct state *s)
{
	for (uint32_t id = 1; id <= s->high[KIND_ROLE]; id++)
		engine_touch(e, id);
	e->sets_stale = true;
	e->newcomers = true;
}

void engine_touch_waiting(struct engine *e, const struct state *s)
{
	for (uint32_t id = 1; id <= s->high[KIND_ROLE]; id++)
		if (s->roles[id].state == ROLE_PENDING || role_would_move(s, id))
			engine_touch(e, id);
}

bool role_stopped(const struct state *s, uint32_t role)
{
	for (uint32_t id = s->role_resource[role]; id; id = s->resource_next[id])
		if (s->resources[id].state != RES_STOPPED || s->resources[id].op)
			return false;
	return true;
}

static void set_state(struct engine *e, struct state *s, uint32_t id, enum role_state state)
{
	uint32_t volume = 0;
	struct role *r;

	if (s->roles[id].state == state)
		return;
	if (state == ROLE_ONLINE || s->roles[id].state == ROLE_ONLINE) {
		e->sets_stale = true;
		volume = volume_of_role(s, id);
	}
	r = state_edit(s, KIND_ROLE, id);
	r->state = state;
	r->since_ms = s->cluster.now_ms;
	volume_touch_users(e, s, volume);
}

static void set_reason(struct state *s, uint32_t id, enum reason reason, uint32_t node)
{
	struct role *r;

	if (s->roles[id].reason == reason && s->roles[id].reason_node == node)
		return;
	r = state_edit(s, KIND_ROLE, id);
	r->reason = reason;
	r->reason_node = node;
}

static void wait_for(struct engine *e, struct state *s, uint32_t id, enum reason reason, uint32_t node)
{
	set_state(e, s, id, ROLE_PENDING);
	set_reason(s, id, reason, node);
}

/* Why one without a node is left as it is. */
static enum reason frozen_reason(const struct state *s)
{
	if (s->cluster.disarmed)
		return REASON_DISARMED;
	return s->cluster.maintenance ? REASON_MAINTENANCE : REASON_ROLE_MAINTENANCE;
}

/* --- a role without a node --- */

static void preempt_victims(struct engine *e, struct state *s, uint32_t for_role, const struct placement *p)
{
	for (uint32_t i = 0; i < p->n_victims; i++) {
		struct role *v = state_edit(s, KIND_ROLE, p->victims[i]);

		v->preempted = 1;
		v->reason = REASON_PREEMPTED;
		v->reason_node = p->node;
		event_add(s, &(struct event_about){ REASON_PREEMPTED, KIND_ROLE, p->victims[i], p->node, 0,
						    s->roles[for_role].name });
		engine_touch(e, p->victims[i]);
	}
}

/* The role gets its node: from now on it may run there and nowhere else. */
static void take_node(struct engine *e, struct state *s, uint32_t id, uint32_t node)
{
	uint32_t from = s->roles[id].last_owner;
	enum reason why = s->roles[id].reason;
	struct role *r;

	state_set_target(s, id, 0);
	state_set_owner(s, id, node);
	r = state_edit(s, KIND_ROLE, id);
	e->newcomers |= r->priority < PRIORITY_HIGH && s->cluster.preemption;
	r->preempted = 0;
	r->banned &= ~NODE_BIT(node); /* chosen although it failed there: it gets its chance */
	r->last_owner = node;
	if (!reason_is_move(why))
		r->reason = REASON_PLACED;
	r->reason_node = node;
	set_state(e, s, id, ROLE_STARTING);
	/* A failed resource has had its event when it failed, a rule and a volume when the role left for them. */
	why = r->reason == REASON_FAILOVER_RESOURCE || r->reason == REASON_RULE || r->reason == REASON_VOLUME_LOST ?
		      REASON_PLACED :
		      r->reason;
	event_add(s, &(struct event_about){ why, KIND_ROLE, id, node, from, NULL });
}

/* The policy picks its node, whatever an administrator had named before. */
static void chosen_anew(struct state *s, uint32_t id)
{
	struct role *r;

	if (!s->roles[id].moved_by_hand)
		return;
	r = state_edit(s, KIND_ROLE, id);
	r->moved_by_hand = 0;
	if (r->reason == REASON_MOVED)
		r->reason = REASON_PLACED;
}

static bool place_unowned(struct engine *e, struct state *s, uint32_t id)
{
	struct placement p;

	role_choose_node(s, id, &p);
	if (!p.node) {
		if (s->roles[id].target)
			state_set_target(s, id, 0);
		wait_for(e, s, id, REASON_WAIT_PLACE, 0);
		return false;
	}
	if (p.node != s->roles[id].target)
		chosen_anew(s, id);
	if (p.n_victims) {
		state_set_target(s, id, p.node);
		wait_for(e, s, id, REASON_WAIT_ROOM, p.node);
		preempt_victims(e, s, id, &p);
		return false;
	}
	take_node(e, s, id, p.node);
	return true;
}

/* True when the role has got a node. */
static bool advance_unowned(struct engine *e, struct state *s, uint32_t id)
{
	const struct role *r = &s->roles[id];

	if (r->state == ROLE_FAILED)
		return false;
	if (!r->want) {
		if (r->target)
			state_set_target(s, id, 0);
		if (r->state != ROLE_OFFLINE)
			event_add(s, &(struct event_about){ REASON_OFFLINE, KIND_ROLE, id, 0, 0, NULL });
		set_state(e, s, id, ROLE_OFFLINE);
		if (reason_is_wait(r->reason))
			set_reason(s, id, REASON_OFFLINE, 0); /* what it waited for is nothing to it any more */
		return false;
	}
	if (role_frozen(s, r)) {
		wait_for(e, s, id, frozen_reason(s), 0);
		return false;
	}
	if (role_history_in_doubt(s)) {
		wait_for(e, s, id, REASON_WAIT_INVENTORY, nodeset_first(nodes_in(s, NODE_JOINING)));
		return false;
	}
	if (!role_sets_ready(s, id)) {
		wait_for(e, s, id, REASON_WAIT_SET, 0);
		return false;
	}
	if (volume_awaited(s, r)) {
		wait_for(e, s, id, REASON_WAIT_VOLUME, 0);
		return false;
	}
	if (r->reason == REASON_WAIT_ROOM && r->target && role_room_coming(s, id))
		return false;
	return place_unowned(e, s, id);
}

/* --- a role on its node --- */

static void release(struct engine *e, struct state *s, uint32_t id)
{
	uint32_t node = s->roles[id].owner;

	state_set_owner(s, id, 0);
	if (s->roles[id].state != ROLE_FAILED)
		set_state(e, s, id, s->roles[id].want ? ROLE_PENDING : ROLE_STOPPING);
	if (node && s->nodes[node].admin >= ADMIN_DRAINING && !s->load[node].roles)
		event_add(s, &(struct event_about){ REASON_NODE_DRAINED, KIND_NODE, node, node, 0, NULL });
	engine_touch_waiting(e, s);
	volume_touch_owners(e, s, id);
}

/* Stops one resource if nothing needs it any more. */
static void step_stop(struct engine *e, struct state *s, uint32_t id)
{
	if (!resource_is_held(s, id))
		resource_begin(e, s, id, AGENT_STOP);
}

static void advance_stop(struct engine *e, struct state *s, uint32_t role)
{
	for (uint32_t id = s->role_resource[role]; id; id = s->resource_next[id]) {
		const struct resource *r = &s->resources[id];

		if (!r->op && (r->state == RES_STARTED || r->state == RES_FAILED || r->state == RES_UNKNOWN))
			step_stop(e, s, id);
	}
}

static void step_up(struct engine *e, struct state *s, uint32_t id, bool supported)
{
	const struct resource *r = &s->resources[id];

	switch (r->state) {
	case RES_FAILED:
	case RES_UNKNOWN:
		step_stop(e, s, id);
		break;
	case RES_STOPPED:
		if (supported)
			resource_begin(e, s, id, AGENT_START);
		break;
	case RES_STARTED:
		if (!supported)
			step_stop(e, s, id);
		else if (r->reload_wanted)
			resource_begin(e, s, id, AGENT_RELOAD);
		break;
	default:
		break; /* in flight, or blocked until a fence */
	}
}

static bool all_started(const struct state *s, uint32_t role)
{
	for (uint32_t id = s->role_resource[role]; id; id = s->resource_next[id])
		if (s->resources[id].state != RES_STARTED)
			return false;
	return true;
}

static void advance_up(struct engine *e, struct state *s, uint32_t role)
{
	uint64_t sinking = resource_sinking(s, role);

	for (uint32_t id = s->role_resource[role]; id; id = s->resource_next[id], sinking >>= 1)
		if (!s->resources[id].op)
			step_up(e, s, id, !(sinking & 1));
}

static void came_online(struct engine *e, struct state *s, uint32_t id)
{
	struct role *r;

	if (s->roles[id].state == ROLE_ONLINE)
		return;
	set_state(e, s, id, ROLE_ONLINE);
	r = state_edit(s, KIND_ROLE, id);
	/* What was waited for is over; why it is here stays. */
	if (!reason_is_move(r->reason))
		r->reason = REASON_ONLINE;
	r->reason_node = r->owner;
	event_add(s, &(struct event_about){ REASON_ONLINE, KIND_ROLE, id, r->owner, 0, NULL });
	if (role_would_move(s, id))
		engine_touch(e, id); /* only an online role fails back */
}

static void advance_owned(struct engine *e, struct state *s, uint32_t id)
{
	const struct node *n = &s->nodes[s->roles[id].owner];

	if (n->state == NODE_LOST) {
		wait_for(e, s, id, REASON_WAIT_FENCE, s->roles[id].owner);
		return;
	}
	if (n->state != NODE_ONLINE) {
		wait_for(e, s, id, REASON_WAIT_INVENTORY, s->roles[id].owner);
		return;
	}
	if (role_frozen(s, &s->roles[id])) {
		if (all_started(s, id))
			came_online(e, s, id);
		return;
	}
	if (role_must_leave(e, s, id)) {
		if (s->roles[id].state != ROLE_FAILED)
			set_state(e, s, id, ROLE_STOPPING);
		if (!volume_is_held(s, id))
			advance_stop(e, s, id);
		if (role_stopped(s, id)) {
			release(e, s, id);
			engine_touch(e, id);
		}
		return;
	}
	advance_up(e, s, id);
	if (all_started(s, id))
		came_online(e, s, id);
	else if (s->roles[id].state != ROLE_STARTING)
		set_state(e, s, id, ROLE_STARTING);
}

static void advance(struct engine *e, struct state *s, uint32_t id)
{
	if (!state_role(s, id))
		return;
	if (!s->roles[id].owner && !advance_unowned(e, s, id))
		return;
	advance_owned(e, s, id);
}

/* One pass over the work of a priority, ids ascending. */
static void run_priority(struct engine *e, struct state *s, uint32_t priority)
{
	for (uint32_t word = 0; word < ARRAY_SIZE(e->work); word++) {
		uint64_t bits = e->work[word];

		for (; bits; bits &= bits - 1) {
			uint32_t id = word * 64 + (uint32_t)__builtin_ctzll(bits);

			if (state_role(s, id) && s->roles[id].priority != priority)
				continue;
			e->work[word] &= ~((uint64_t)1 << id % 64);
			advance(e, s, id);
		}
	}
}

static bool has_work(const struct engine *e)
{
	for (uint32_t word = 0; word < ARRAY_SIZE(e->work); word++)
		if (e->work[word])
			return true;
	return false;
}

/* Who found no place before the newcomers came. False: nobody waits. */
static bool touch_outranking(struct engine *e, const struct state *s)
{
	bool any = false;

	e->newcomers = false;
	for (uint32_t id = 1; id <= s->high[KIND_ROLE]; id++) {
		const struct role *r = &s->roles[id];

		if (r->state != ROLE_PENDING || r->reason != REASON_WAIT_PLACE || r->priority <= PRIORITY_NO_AUTOSTART)
			continue;
		engine_touch(e, id);
		any = true;
	}
	return any;
}

void engine_run(struct engine *e, struct state *s)
{
	for (uint32_t word = 0; word < ARRAY_SIZE(e->work); word++) {
		e->work[word] |= e->capped[word];
		e->capped[word] = 0;
	}
	for (uint32_t pass = 0; pass < ENGINE_PASSES_MAX; pass++) {
		if (e->sets_stale)
			role_sets_update(e, s);
		if (!has_work(e) && !(e->newcomers && touch_outranking(e, s)))
			return;
		for (uint32_t priority = PRIORITY_HIGH + 1; priority-- > PRIORITY_NO_AUTOSTART;)
			run_priority(e, s, priority);
	}
}

/* --- what the agents say --- */

/* What failed, and what it said: of a resource (its name is then the event's) or of a role. */
static void failure_text(const struct state *s, const struct msg_result *m, bool of_role, char out[2 * TEXT_SIZE])
{
	const char *action = enum_text(enum_values_agent_action, m->action), *said = m->output;
	const char *resource = of_role ? state_name(s, KIND_RESOURCE, m->resource) : NULL;
	char code[32];

	if (!*said && m->status == AGENT_DONE) {
		snprintf(code, sizeof(code), "exit code %u", m->rc);
		said = code;
	} else if (!*said) {
		said = m->status == AGENT_TIMEOUT ? "timed out" : "could not be run";
	}
	snprintf(out, 2 * TEXT_SIZE, "%s%s%s: %s", action, resource ? " of " : "", resource ? resource : "", said);
}

/* The role leaves this node because something on it failed; too often, and it stays down. */
static void role_failed_over(struct state *s, uint32_t id, const char *detail)
{
	struct role *r = state_edit(s, KIND_ROLE, id);

	if (role_period_over(r, s->cluster.now_ms)) {
		r->failures = 0;
		r->banned = 0;
	}
	if (!r->failures)
		r->first_failure_ms = s->cluster.now_ms;
	r->failures++;
	r->banned |= NODE_BIT(r->owner);
	r->moved_by_hand = 0;
	r->reason = r->failures > r->threshold ? REASON_THRESHOLD : REASON_FAILOVER_RESOURCE;
	r->reason_node = r->owner;
	if (r->reason == REASON_THRESHOLD)
		r->state = ROLE_FAILED;
	event_add(s, &(struct event_about){ r->reason, KIND_ROLE, id, r->owner, 0, detail });
}

static void role_failed_for_good(struct state *s, uint32_t id, enum reason reason, const char *detail)
{
	struct role *r = state_edit(s, KIND_ROLE, id);

	r->state = ROLE_FAILED;
	r->reason = reason;
	r->reason_node = r->owner;
	r->failures++;
	if (r->failures == 1)
		r->first_failure_ms = s->cluster.now_ms;
	event_add(s, &(struct event_about){ reason, KIND_ROLE, id, r->owner, 0, detail });
}

/* Why what fails now is left as it is, NULL: it is not. */
static const char *left_because(const struct state *s, const struct role *r)
{
	if (s->cluster.disarmed)
		return "as the cluster is disarmed";
	if (s->cluster.maintenance)
		return "in maintenance of the cluster";
	if (r->maintenance)
		return "in maintenance of its role";
	return role_frozen(s, r) ? "in maintenance of its node" : NULL;
}

bool role_leaves_failing(const struct state *s, uint32_t resource)
{
	return s->resources[resource].on_fail == ON_FAIL_IGNORE || role_frozen(s, &s->roles[s->resources[resource].role]);
}

/* Not counted: if it still fails when maintenance is over, the next monitor says so. Only the change is an event. */
static void leave_failing(struct state *s, uint32_t id, const struct msg_result *m)
{
	uint32_t role = s->resources[id].role;
	const char *why = left_because(s, &s->roles[role]);
	char text[2 * TEXT_SIZE], detail[3 * TEXT_SIZE];

	resource_note_error(s, id, m);
	if (s->resources[id].failing)
		return;
	((struct resource *)state_edit(s, KIND_RESOURCE, id))->failing = 1;
	failure_text(s, m, false, text);
	snprintf(detail, sizeof(detail), "%s: %s", why ? why : "", text);
	event_add(s, &(struct event_about){ why ? REASON_LEFT_FAILING : REASON_IGNORED, KIND_RESOURCE, id, s->roles[role].owner, 0,
					    why ? detail : text });
}

static void works_again(struct state *s, uint32_t id)
{
	if (!s->resources[id].failing)
		return;
	((struct resource *)state_edit(s, KIND_RESOURCE, id))->failing = 0;
	event_add(s, &(struct event_about){ REASON_RECOVERED, KIND_RESOURCE, id, s->roles[s->resources[id].role].owner, 0, NULL });
}

static void failure(struct engine *e, struct state *s, uint32_t id, const struct msg_result *m)
{
	uint32_t role = s->resources[id].role, node = s->roles[role].owner;
	char of_role[2 * TEXT_SIZE], of_resource[2 * TEXT_SIZE];
	enum failure_verdict v;

	if (m->action == AGENT_MONITOR && role_leaves_failing(s, id)) {
		leave_failing(s, id, m);
		return;
	}
	failure_text(s, m, true, of_role);
	failure_text(s, m, false, of_resource);
	v = resource_failed(s, id, m);
	resource_set_state(s, id, resource_never_ran(m->action, m->status) ? RES_STOPPED : RES_FAILED);
	switch (v) {
	case FAILURE_RESTART:
		event_add(s, &(struct event_about){ REASON_RESTART, KIND_RESOURCE, id, node, 0, of_resource });
		break;
	case FAILURE_FAILOVER:
		role_failed_over(s, role, of_role);
		break;
	case FAILURE_FATAL:
		role_failed_for_good(s, role, REASON_FATAL, of_role);
		break;
	case FAILURE_STOP:
		role_failed_for_good(s, role, REASON_ON_FAIL_STOP, of_role);
		break;
	}
	e->sets_stale = true;
}

/* A resource that cannot be stopped may run on: only the end of its node makes it safe to start it elsewhere. */
static void stop_failed(struct engine *e, struct state *s, uint32_t id, const struct msg_result *m)
{
	uint32_t node = s->roles[s->resources[id].role].owner;

	resource_note_error(s, id, m);
	resource_set_state(s, id, RES_BLOCKED);
	if (!s->nodes[node].fence_asked) {
		struct node *n = state_edit(s, KIND_NODE, node);

		n->fence_asked = 1;
		n->fence_reason = REASON_STOP_FAILED;
	}
	event_add(s, &(struct event_about){ REASON_STOP_FAILED, KIND_RESOURCE, id, node, 0, m->output });
	engine_touch_waiting(e, s); /* who waits for room there looks elsewhere */
}

static void operation_ended(struct engine *e, struct state *s, uint32_t id, const struct msg_result *m)
{
	bool ok = m->status == AGENT_DONE && m->rc == OCF_SUCCESS;

	state_set_op(s, id, 0, AGENT_NONE);
	switch (m->action) {
	case AGENT_START:
		if (ok)
			resource_set_state(s, id, RES_STARTED);
		else
			failure(e, s, id, m);
		break;
	case AGENT_STOP:
		if (ok)
			resource_set_state(s, id, RES_STOPPED);
		else
			stop_failed(e, s, id, m);
		break;
	case AGENT_RELOAD:
		((struct resource *)state_edit(s, KIND_RESOURCE, id))->reload_wanted = 0;
		if (!ok) /* most agents cannot reload: stop and start then */
			resource_set_state(s, id, RES_FAILED);
		break;
	default:
		break;
	}
}

void role_result(struct engine *e, struct state *s, uint32_t node, const struct msg_result *m)
{
	const struct resource *r = state_resource(s, m->resource);
	const struct role *role = r ? state_role(s, r->role) : NULL;

	if (!role || role->owner != node)
		return;
	if (m->op) {
		if (r->op != m->op || r->op_action != m->action)
			return;
		operation_ended(e, s, m->resource, m);
	} else {
		if (m->action != AGENT_MONITOR || r->state != RES_STARTED || r->op)
			return;
		if (m->status == AGENT_DONE && m->rc == OCF_SUCCESS)
			works_again(s, m->resource);
		else
			failure(e, s, m->resource, m);
	}
	engine_touch(e, r->role);
}

/* Failures are forgotten a period after the first; a role that failed too often is then tried again. */
static void forget_failures(struct engine *e, struct state *s, uint32_t id)
{
	struct role *r = state_edit(s, KIND_ROLE, id);

	r->failures = 0;
	r->banned = 0;
	if (r->state != ROLE_FAILED || r->reason == REASON_ON_FAIL_STOP)
		return;
	set_state(e, s, id, r->owner ? ROLE_STOPPING : ROLE_PENDING);
	set_reason(s, id, REASON_RETRY, 0);
	event_add(s, &(struct event_about){ REASON_RETRY, KIND_ROLE, id, 0, 0, NULL });
}

void role_clock(struct engine *e, struct state *s, uint64_t now_ms)
{
	for (uint32_t id = 1; id <= s->high[KIND_SET]; id++)
		if (state_set(s, id) && set_is_due(s, &s->sets[id], now_ms))
			engine_touch_set(e, &s->sets[id]);
	for (uint32_t id = 1; id <= s->high[KIND_ROLE]; id++)
		if (role_is_due(s, &s->roles[id], now_ms))
			engine_touch(e, id);
	((struct cluster *)state_edit(s, KIND_CLUSTER, 1))->now_ms = now_ms;
	for (uint32_t id = 1; id <= s->high[KIND_ROLE]; id++)
		if (state_role(s, id) && s->roles[id].failures && role_period_over(&s->roles[id], now_ms))
			forget_failures(e, s, id);
}

void role_release_node(struct engine *e, struct state *s, uint32_t node)
{
	for (uint32_t id = 1; id <= s->high[KIND_ROLE]; id++) {
		struct role *r;

		if (!state_role(s, id))
			continue;
		if (s->roles[id].target == node)
			state_set_target(s, id, 0);
		if (s->roles[id].owner != node)
			continue;
		for (uint32_t res = s->role_resource[id]; res; res = s->resource_next[res]) {
			if (s->resources[res].op)
				state_set_op(s, res, 0, AGENT_NONE);
			resource_set_state(s, res, RES_STOPPED);
			if (s->resources[res].reload_wanted)
				((struct resource *)state_edit(s, KIND_RESOURCE, res))->reload_wanted = 0;
		}
		state_set_owner(s, id, 0);
		volume_touch_owners(e, s, id);
		r = state_edit(s, KIND_ROLE, id);
		r->moved_by_hand = 0;
		r->drained_from = 0;
		if (r->state != ROLE_FAILED && !r->want) {
			set_state(e, s, id, ROLE_STOPPING); /* has stopped with its node, as somebody wanted */
		} else if (r->state != ROLE_FAILED) {
			r->reason = REASON_FAILOVER_NODE;
			r->reason_node = node;
			set_state(e, s, id, ROLE_PENDING);
			if (r->priority == PRIORITY_NO_AUTOSTART) {
				r->want = 0;
				r->reason = REASON_NO_AUTOSTART;
				volume_touch_users(e, s, volume_of_role(s, id));
			}
		}
		engine_touch(e, id);
	}
}
