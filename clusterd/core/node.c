/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Life of a node: joins, is lost, is fenced, leaves; quarantine. */
#include <errno.h>
#include <string.h>

#include "clusterd/core/canary.h"
#include "clusterd/core/node.h"
#include "clusterd/core/reason.h"
#include "clusterd/core/resource.h"
#include "clusterd/core/timetable.h"
#include "clusterd/core/volume_use.h"

nodeset_t nodes_in(const struct state *s, enum node_state state)
{
	nodeset_t set = 0;

	for (uint32_t id = 1; id <= s->high[KIND_NODE]; id++)
		if (state_node(s, id) && s->nodes[id].state == state)
			set |= NODE_BIT(id);
	return set;
}

bool node_time_proves(const struct state *s, uint32_t id)
{
	return timetable_holds(&s->cluster, s->nodes[id].watchdog_ms);
}

static void set_state(struct state *s, uint32_t id, enum node_state state, enum reason reason)
{
	struct node *n = state_edit(s, KIND_NODE, id);

	n->state = state;
	n->since_ms = s->cluster.now_ms;
	n->reason = reason;
	event_add(s, &(struct event_about){ reason, KIND_NODE, id, id, 0, NULL });
}

/* Resources of the node's roles: what they are is not known until it tells. */
static void doubt_resources(struct engine *e, struct state *s, uint32_t node)
{
	for (uint32_t id = 1; id <= s->high[KIND_ROLE]; id++) {
		if (!state_role(s, id) || s->roles[id].owner != node)
			continue;
		for (uint32_t res = s->role_resource[id]; res; res = s->resource_next[res]) {
			if (s->resources[res].op)
				state_set_op(s, res, 0, AGENT_NONE);
			if (s->resources[res].state != RES_STOPPED)
				resource_set_state(s, res, RES_UNKNOWN);
		}
		engine_touch(e, id);
	}
}

static void declare(const struct state *s, struct node *n, const struct msg_hello *m)
{
	if (n->incarnation != m->incarnation)
		n->last_request = 0;
	n->incarnation = m->incarnation;
	n->boot_id = m->boot_id;
	n->cpu_declared = m->cpu;
	n->memory_declared_mb = m->memory_mb;
	n->watchdog_ms = s->cluster.disarmed ? 0 : m->watchdog_ms;
	n->level = m->level;
	/* The configuration file names the place of a new node; afterwards the cluster's own setting counts. */
	if (!n->site[0])
		memcpy(n->site, m->site, sizeof(n->site));
	if (!n->fault_domain[0])
		memcpy(n->fault_domain, m->fault_domain, sizeof(n->fault_domain));
}

bool node_took_part(const struct state *s, uint32_t id, const struct msg_hello *m)
{
	const struct node *n = state_node(s, id);

	return n && n->state == NODE_ONLINE && n->incarnation == m->incarnation && m->kept;
}

/* A configured node that had its vote before anybody saw it. */
static void bring_vote(struct state *s, uint32_t id)
{
	if (!nodeset_has(s->cluster.unseen_votes, id))
		return;
	((struct cluster *)state_edit(s, KIND_CLUSTER, 1))->unseen_votes &= ~NODE_BIT(id);
	((struct node *)state_edit(s, KIND_NODE, id))->vote = 1;
}

void node_admit(struct engine *e, struct state *s, uint32_t id, const struct msg_hello *m, bool went_on)
{
	struct node *n;

	if (!state_node(s, id)) {
		state_create(s, KIND_NODE, m->node_name, id);
		event_add(s, &(struct event_about){ REASON_CREATED, KIND_NODE, id, id, 0, NULL });
		bring_vote(s, id);
	}
	if (node_took_part(s, id, m))
		return;
	if (s->nodes[id].state == NODE_ONLINE || s->nodes[id].state == NODE_JOINING)
		node_lost(e, s, id, false, went_on); /* it went and came back between two active views */
	if (s->nodes[id].state == NODE_LOST && (CANARY(CANARY_NO_INVENTORY) || s->nodes[id].boot_id != m->boot_id))
		node_fenced(e, s, id, FENCE_BY_REBOOT);
	doubt_resources(e, s, id);
	n = state_edit(s, KIND_NODE, id);
	declare(s, n, m);
	n->fence_asked = n->fence_reason = 0;
	if (n->admin == ADMIN_STOPPING)
		n->admin = ADMIN_UP;
	set_state(s, id, NODE_JOINING, REASON_NODE_JOINED);
}

/* Unclean losses within the window; enough of them quarantine the node. */
static void count_unclean(struct state *s, uint32_t id)
{
	struct node *n = state_edit(s, KIND_NODE, id);
	uint64_t now = s->cluster.now_ms;
	uint32_t count = 1;

	memmove(&n->unclean_ms[1], &n->unclean_ms[0], sizeof(n->unclean_ms) - sizeof(n->unclean_ms[0]));
	n->unclean_ms[0] = now;
	while (count < UNCLEAN_MAX && n->unclean_ms[count] && now - n->unclean_ms[count] < s->cluster.quarantine_window_ms)
		count++;
	if (!s->cluster.quarantine_count || count < s->cluster.quarantine_count)
		return;
	memset(n->unclean_ms, 0, sizeof(n->unclean_ms));
	n->quarantine_until_ms = now + s->cluster.quarantine_ms;
	event_add(s, &(struct event_about){ REASON_QUARANTINED, KIND_NODE, id, id, 0, NULL });
}

void node_lost(struct engine *e, struct state *s, uint32_t id, bool silent, bool went_on)
{
	if (!state_node(s, id) || s->nodes[id].state == NODE_DOWN || s->nodes[id].state == NODE_LOST)
		return;
	set_state(s, id, NODE_LOST, silent ? REASON_NODE_SILENT : REASON_NODE_LOST);
	if (went_on)
		count_unclean(s, id);
	for (uint32_t role = 1; role <= s->high[KIND_ROLE]; role++)
		if (state_role(s, role) && (s->roles[role].owner == id || s->roles[role].target == id)) {
			engine_touch(e, role);
			volume_touch_owners(e, s, role); /* one that goes offline waits for it no more */
		}
}

static enum reason fence_reason(enum fence_how how)
{
	switch (how) {
	case FENCE_BY_COMMAND: return REASON_FENCED_COMMAND;
	case FENCE_BY_REBOOT: return REASON_FENCED_REBOOT;
	case FENCE_BY_ADMIN: return REASON_FENCED_ADMIN;
	default: return REASON_FENCED_TIME;
	}
}

static void forget_fence(struct state *s, uint32_t id)
{
	struct node *n = state_edit(s, KIND_NODE, id);

	n->fence_asked = n->fence_reason = 0;
}

/* Nothing of it is mounted any more. A node that was only away keeps what it said until it says something else. */
static void forget_volumes(struct state *s, uint32_t id)
{
	memset(&((struct node *)state_edit(s, KIND_NODE, id))->volumes_up, 0, sizeof(struct volume_set));
}

void node_fenced(struct engine *e, struct state *s, uint32_t id, enum fence_how how)
{
	if (!state_node(s, id) || s->nodes[id].state != NODE_LOST)
		return;
	set_state(s, id, NODE_DOWN, fence_reason(how));
	forget_fence(s, id);
	forget_volumes(s, id);
	role_release_node(e, s, id);
	engine_touch_waiting(e, s);
}

void node_left(struct engine *e, struct state *s, uint32_t id)
{
	if (!state_node(s, id) || s->nodes[id].state == NODE_DOWN)
		return;
	set_state(s, id, NODE_DOWN, REASON_NODE_LEFT);
	((struct node *)state_edit(s, KIND_NODE, id))->admin = ADMIN_UP;
	forget_volumes(s, id);
	role_release_node(e, s, id);
	engine_touch_waiting(e, s);
}

void node_disarm(struct state *s)
{
	for (uint32_t id = 1; id <= s->high[KIND_NODE]; id++)
		if (state_node(s, id) && s->nodes[id].watchdog_ms)
			((struct node *)state_edit(s, KIND_NODE, id))->watchdog_ms = 0;
}

void node_declare(struct state *s, uint32_t id, const struct msg_declare *m)
{
	if (state_node(s, id) && s->nodes[id].incarnation == m->incarnation && !s->cluster.disarmed)
		((struct node *)state_edit(s, KIND_NODE, id))->watchdog_ms = m->watchdog_ms;
}

/* The roles that were on the node: what it did not name is stopped there. */
static void settle_resources(struct engine *e, struct state *s, uint32_t node)
{
	for (uint32_t id = 1; id <= s->high[KIND_ROLE]; id++) {
		if (!state_role(s, id) || s->roles[id].owner != node)
			continue;
		for (uint32_t res = s->role_resource[id]; res; res = s->resource_next[res])
			if (s->resources[res].state == RES_UNKNOWN)
				resource_set_state(s, res, RES_STOPPED);
		/* Nothing of it runs any more: it starts here because it was here, not because somebody put it here. */
		if (s->roles[id].moved_by_hand && role_stopped(s, id))
			((struct role *)state_edit(s, KIND_ROLE, id))->moved_by_hand = 0;
		engine_touch(e, id);
	}
}

int node_inventory(struct engine *e, struct state *s, uint32_t id, const struct msg_inventory *m)
{
	struct reader r = reader_of(m->resources.data, m->resources.len);

	if (!state_node(s, id) || s->nodes[id].state != NODE_JOINING || s->nodes[id].incarnation != m->incarnation)
		return -ESTALE;
	while (reader_left(&r)) {
		uint32_t item = get_u16(&r), res = item & INVENTORY_ID;

		if (r.bad)
			return -EBADMSG;
		if (state_resource(s, res) && s->roles[s->resources[res].role].owner == id)
			resource_set_state(s, res, item & INVENTORY_FAILED ? RES_FAILED : RES_STARTED);
	}
	settle_resources(e, s, id);
	set_state(s, id, NODE_ONLINE, REASON_NODE_ONLINE);
	engine_touch_all(e, s);
	return 0;
}

/* Those of the message that exist; an id given anew does not carry over what its predecessor was. */
static int read_volumes(const struct state *s, const struct msg_volumes *m, struct volume_set *ret)
{
	struct reader r = reader_of(m->up.data, m->up.len);
	uint32_t last = 0;

	memset(ret, 0, sizeof(*ret));
	while (reader_left(&r)) {
		uint32_t id = get_u16(&r);
		uint64_t number = get_u64(&r);

		if (r.bad || id <= last || id > VOLUME_MAX)
			return -EBADMSG;
		last = id;
		if (state_volume(s, id) && s->volumes[id].number == number)
			volume_set_put(ret, id, true);
	}
	return 0;
}

int node_volumes(struct engine *e, struct state *s, uint32_t id, const struct msg_volumes *m)
{
	const struct node *n = state_node(s, id);
	struct volume_set now, before;
	int rc;

	if (!n || (n->state != NODE_JOINING && n->state != NODE_ONLINE) || n->incarnation != m->incarnation)
		return -ESTALE;
	rc = read_volumes(s, m, &now);
	if (rc < 0)
		return rc;
	if (m->run > n->mount_run)
		((struct node *)state_edit(s, KIND_NODE, id))->mount_run = m->run;
	before = n->volumes_up;
	if (!memcmp(&before, &now, sizeof(now)))
		return 0;
	((struct node *)state_edit(s, KIND_NODE, id))->volumes_up = now;
	for (uint32_t v = 1; v <= s->high[KIND_VOLUME]; v++) {
		if (volume_set_has(&before, v) == volume_set_has(&now, v))
			continue;
		volume_touch_users(e, s, v);
		/* Told when it is no part of an orderly end: of the volume, of the node. */
		if (!volume_set_has(&now, v) && volume_is_online(s, v) && n->admin != ADMIN_STOPPING)
			event_add(s, &(struct event_about){ REASON_VOLUME_DOWN, KIND_VOLUME, v, id, 0, NULL });
	}
	return 0;
}

void node_silent(struct engine *e, struct state *s, uint32_t owner, const struct msg_silent *m)
{
	const struct volume *v = state_volume(s, m->volume);
	const struct node *n = state_node(s, m->node);
	struct node *edit;

	if (!v || v->number != m->number || !state_role(s, v->role) || s->roles[v->role].owner != owner)
		return;
	if (!n || (n->state != NODE_JOINING && n->state != NODE_ONLINE) || n->incarnation != m->incarnation ||
	    n->fence_reason == REASON_VOLUME_SILENT)
		return;
	edit = state_edit(s, KIND_NODE, m->node);
	edit->fence_asked = 1;
	edit->fence_reason = REASON_VOLUME_SILENT;
	event_add(s, &(struct event_about){ REASON_VOLUME_SILENT, KIND_VOLUME, m->volume, m->node, owner, NULL });
	engine_touch_waiting(e, s); /* who waits for room there looks elsewhere */
}

static bool quarantine_over(const struct node *n, uint64_t now_ms)
{
	return n->object.used && n->quarantine_until_ms && n->quarantine_until_ms <= now_ms;
}

bool node_due(const struct state *s, uint64_t now_ms)
{
	for (uint32_t id = 1; id <= s->high[KIND_NODE]; id++)
		if (quarantine_over(&s->nodes[id], now_ms))
			return true;
	return false;
}

void node_clock(struct engine *e, struct state *s, uint64_t now_ms)
{
	for (uint32_t id = 1; id <= s->high[KIND_NODE]; id++) {
		if (!quarantine_over(&s->nodes[id], now_ms))
			continue;
		((struct node *)state_edit(s, KIND_NODE, id))->quarantine_until_ms = 0;
		event_add(s, &(struct event_about){ REASON_QUARANTINE_ENDED, KIND_NODE, id, id, 0, NULL });
		engine_touch_all(e, s);
	}
}
