/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The moment a view becomes active: a new epoch, who came, who went, what that means for roles. */
#include <stdio.h>
#include <string.h>

#include "clusterd/core/core_private.h"

/* Drawn from what only this moment has; the same on all members, never 0. */
static uint64_t draw_identity(const struct core *c)
{
	const struct msg_hello *w = &c->view.hello[c->view.winner];
	uint64_t id = (w->incarnation * UINT64_C(0x9e3779b97f4a7c15)) ^ w->boot_id ^ (c->view.number << 1);

	return id ? id : 1;
}

static void create_cluster(struct core *c)
{
	const struct msg_hello *w = &c->view.hello[c->view.winner];
	struct cluster *cl;

	state_create(c->state, KIND_CLUSTER, w->cluster_name, 1);
	cl = state_edit(c->state, KIND_CLUSTER, 1);
	cl->cluster_id = draw_identity(c);
	event_add(c->state, &(struct event_about){ REASON_CLUSTER_FORMED, KIND_CLUSTER, 1, 0, 0, w->node_name });
}

/*
 * All votes to those that are here, when an administrator forces quorum. At creation also to the configured nodes that are
 * not: their majority is what made this view quorate, and the table changes by one vote at a time from there. Otherwise some
 * of the participants, who alone saw the opening, and the rest with those absent could found two clusters.
 */
static void grant_votes(struct core *c)
{
	const struct msg_hello *w = &c->view.hello[c->view.winner];
	nodeset_t unseen = c->view.forced ? 0 : w->configured & ~core_participants(c);

	for (uint32_t id = 1; id <= NODE_MAX; id++) {
		uint32_t vote = (uint32_t)nodeset_has(core_participants(c), id);

		if (state_node(c->state, id) && c->state->nodes[id].vote != vote)
			((struct node *)state_edit(c->state, KIND_NODE, id))->vote = vote;
	}
	((struct cluster *)state_edit(c->state, KIND_CLUSTER, 1))->unseen_votes = unseen;
	if (c->state->cluster.witness_vote)
		((struct cluster *)state_edit(c->state, KIND_CLUSTER, 1))->witness_vote = 0;
}

static void members_came_and_went(struct core *c)
{
	struct state *s = c->state;
	bool went_on = false;

	for (uint32_t id = 1; id <= NODE_MAX; id++)
		went_on |= nodeset_has(core_participants(c), id) && node_took_part(s, id, &c->view.hello[id]);
	for (uint32_t id = 1; id <= NODE_MAX; id++) {
		if (nodeset_has(core_participants(c), id))
			node_admit(&c->engine, s, id, &c->view.hello[id], went_on);
		else if (state_node(s, id) && (s->nodes[id].state == NODE_ONLINE || s->nodes[id].state == NODE_JOINING))
			node_lost(&c->engine, s, id, nodeset_has(c->view.excluded, id), went_on);
	}
}

static void open_state(struct core *c)
{
	struct state *s = c->state;
	bool created = !state_get(s, KIND_CLUSTER, 1);
	uint64_t now_ms = core_middle_clock_ms(c, c->view.hello_sent_ms);
	char text[TEXT_SIZE];

	s->tag = (struct tag){ c->view.target, 1 };
	s->at_ms = now_ms;
	if (created)
		create_cluster(c);
	if (now_ms > s->cluster.now_ms) {
		node_clock(&c->engine, s, now_ms);
		role_clock(&c->engine, s, now_ms);
	}
	c->clock_moved_ms = c->mono_ms;
	snprintf(text, sizeof(text), "%d members, epoch %llu", nodeset_count(core_participants(c)),
		 (unsigned long long)s->tag.epoch);
	event_add(s, &(struct event_about){ REASON_VIEW, KIND_CLUSTER, 1, 0, 0, text });
	if (c->view.forced)
		event_add(s, &(struct event_about){ REASON_FORCED, KIND_CLUSTER, 1, c->view.winner, 0, NULL });
	members_came_and_went(c);
	if (created || c->view.forced)
		grant_votes(c);
	engine_touch_all(&c->engine, s);
}

/*
 * From when we count the wait for the end of a lost node: the first active view without it. Only while each epoch follows
 * the one before: what was promised in between may have been a view that had the lost node in it, and not us.
 */
static void note_lost(struct core *c)
{
	if (c->view.target != c->opened_epoch + 1)
		memset(c->lost_ms, 0, sizeof(c->lost_ms));
	c->opened_epoch = c->view.target;
	for (uint32_t id = 1; id <= NODE_MAX; id++) {
		bool lost = state_node(c->state, id) && c->state->nodes[id].state == NODE_LOST;

		if (!lost)
			c->lost_ms[id] = 0;
		else if (!c->lost_ms[id]) {
			c->lost_ms[id] = c->mono_ms;
			/* A clusterd that died alone is started again at once; powering its host off would cost more. */
			if (nodeset_has(c->view.died, id))
				c->fence_next_ms[id] = c->mono_ms + core_cluster(c)->quorum_grace_ms;
		}
		if (!lost)
			c->fence_next_ms[id] = 0;
	}
}

void view_open(struct core *c)
{
	c->phase = PHASE_ACTIVE;
	c->prevent = false;
	c->view.since_ms = c->mono_ms;
	open_state(c);
	note_lost(c);
	c->view.died = 0;
	c->view.forced = false; /* done; what happens to this view later is for the votes to decide */
	for (uint32_t id = 1; id <= NODE_MAX; id++)
		c->heard_ms[id] = nodeset_has(core_participants(c), id) ? c->mono_ms : 0;
	/* All participants answered our HELLO after it left: then, at least, we were with a majority. */
	c->local.confirmed_ms = c->local.alive_ms = c->view.hello_ms;
	core_settle(c);
	if (votes_majority(votes_of(c->state), core_participants(c), false)) {
		c->view.witness_held = false;
		view_witness_release(c);
	}
	local_view_open(c);
	requests_view_open(c);
	duty_tick(c); /* fences at once what was lost */
}
