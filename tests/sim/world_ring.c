/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ring, as corosync's totem and process groups behave.
 *
 *   queue of a host --order--> ring (index) --latency--> inbox of each process in the group --> the core
 *
 * A ring breaks at once when it loses a member; nothing more is ordered in it. Hosts that can still reach each other
 * then settle on one end of its messages, and some time later (detection) form the next ring:
 *  - what any of them has received is delivered by all of them, before the new view;
 *  - what only others have received may be lost to them, from some message on;
 *  - an ordered message that nobody has received goes back to its sender's queue, and so comes in the next view;
 *  - with `holes`, the messages of living senders behind a lost one are still delivered (totemsrp:
 * my_deliver_memb_list). The new view comes with what a merge looks like in a process group: first who is gone, then
 * who is new.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/world.h"

#define ORDER_BATCH 16

/* ---- queues ---- */

static struct item *queue_at(const struct item_queue *q, uint32_t i)
{
	return &q->items[(q->head + i) % q->size];
}

static void queue_push(struct item_queue *q, struct item item)
{
	if (q->n == q->size) {
		uint32_t size = q->size ? 2 * q->size : 32;
		struct item *items = malloc(size * sizeof(*items));

		assert(items);
		for (uint32_t i = 0; i < q->n; i++)
			items[i] = *queue_at(q, i);
		free(q->items);
		q->items = items;
		q->head = 0;
		q->size = size;
	}
	q->n++;
	*queue_at(q, q->n - 1) = item;
}

static struct item queue_pop(struct item_queue *q)
{
	struct item item = *queue_at(q, 0);

	q->head = (q->head + 1) % q->size;
	q->n--;
	return item;
}

static void frame_put(struct frame *f)
{
	if (f && --f->refs == 0)
		free(f);
}

static void queue_clear(struct item_queue *q)
{
	while (q->n)
		frame_put(queue_pop(q).frame);
	q->head = 0;
}

void ring_drop(struct sim_node *n)
{
	queue_clear(&n->out);
	queue_clear(&n->inbox);
	n->ordering = false;
}

static void inbox_push(struct world *w, struct sim_node *n, struct item item, uint64_t ready_us)
{
	if (ready_us < n->last_ready_us)
		ready_us = n->last_ready_us;
	n->last_ready_us = ready_us;
	item.ready_us = ready_us;
	queue_push(&n->inbox, item);
	world_push(w, ready_us, SIM_DELIVER, n->id, n->process_generation, 0, 0);
}

static uint64_t latency(struct world *w, const struct sim_node *n)
{
	uint64_t us = w->options.latency_us + rng_below(&w->rng, w->options.latency_spread_us + 1);

	if (w->now_us < n->lag_until_us)
		us += rng_below(&w->rng, 150 * US_PER_MS);
	return us;
}

/* ---- rings ---- */

static struct ring *ring_new(struct world *w)
{
	for (uint32_t i = 0; i < sizeof(w->rings) / sizeof(w->rings[0]); i++) {
		struct ring *r = &w->rings[i];

		if (r->used)
			continue;
		*r = (struct ring){ .used = true, .uid = w->next_uid++ };
		return r;
	}
	assert(!"a ring is free: each host is in at most one");
	return NULL;
}

static void ring_put(struct world *w, struct ring *r)
{
	for (uint32_t id = 1; id <= w->options.nodes; id++)
		if (w->nodes[id]->ring == r)
			return;
	r->used = false;
}

/*
 * Number of the view: same on all members, different for each set of processes, higher in a later ring. `passing`: one
 * of the steps of a merge.
 */
static uint64_t view_number(struct world *w, const struct ring *r, nodeset_t procs, bool passing)
{
	uint64_t hash = r->members * 0x9e3779b97f4a7c15u;

	if (!w->options.hash_views && !passing)
		return r->seq << 24 | 0x800000 | r->changes;
	for (uint32_t id = 1; id <= w->options.nodes; id++)
		if (nodeset_has(procs, id))
			hash = (hash ^ (id << 20 | w->nodes[id]->pid)) * 0xff51afd7ed558ccdu;
	return r->seq << 24 | hash >> (w->options.hash_views ? 40 : 41);
}

static void push_view(struct world *w, struct sim_node *n, struct ring *r, nodeset_t procs, nodeset_t procdown,
		      uint64_t number)
{
	struct item item = { .kind = ITEM_VIEW,
			     .ring = r->uid,
			     .view = number,
			     .members = procs,
			     .procdown = procdown,
			     .index = UINT64_MAX,
			     .ordered_us = w->now_us };
	uint64_t skew = w->options.view_skew_ms * US_PER_MS;

	n->view_members = procs;
	w->counts[COUNT_views]++;
	inbox_push(w, n, item, w->now_us + latency(w, n) + rng_below(&w->rng, skew + 1));
}

static bool reachable(const struct sim_node *n)
{
	return n->up && n->corosync_up && !n->host_frozen;
}

nodeset_t ring_reach(const struct world *w, const struct sim_node *n)
{
	nodeset_t set = 0;

	if (!reachable(n))
		return 0;
	for (uint32_t id = 1; id <= w->options.nodes; id++)
		if (reachable(w->nodes[id]) && w->nodes[id]->component == n->component)
			set |= NODE_BIT(id);
	return set;
}

bool ring_current(const struct sim_node *n)
{
	if (!n->ring || n->ring->broken || !n->process || !n->joined)
		return false;
	for (uint32_t i = 0; i < n->inbox.n; i++)
		if (queue_at(&n->inbox, i)->kind != ITEM_MESSAGE)
			return false;
	return true;
}

/* ---- breaking ---- */

/* What a message in some inbox of the ring means for the hosts that stay together. */
struct tail {
	struct world *w;
	struct ring *r;
	nodeset_t group;
	uint64_t uid;	/* names those who end the ring alike */
	uint64_t least; /* index up to which all of the group deliver, at least */
	uint64_t limit; /* … and here it ends */
};

static bool in_flight(const struct tail *t, const struct item *i)
{
	return i->kind == ITEM_MESSAGE && i->ring == t->r->uid && i->ready_us > t->w->now_us;
}

/* One past the highest index that corosync has handed over on this host. */
static uint64_t received(const struct tail *t, const struct sim_node *n)
{
	uint64_t end = t->r->next_index;

	for (uint32_t i = n->inbox.n; i-- > 0;) {
		const struct item *item = queue_at(&n->inbox, i);

		if (item->ring == t->r->uid && item->ready_us > t->w->now_us)
			end = item->kind == ITEM_MESSAGE ? item->index : end;
	}
	return end;
}

static void tail_least(struct tail *t)
{
	struct world *w = t->w;
	uint64_t any = 0;

	for (uint32_t id = 1; id <= w->options.nodes; id++) {
		struct sim_node *n = w->nodes[id];
		uint64_t end;

		if (n->ring != t->r || !n->process || !n->joined)
			continue;
		end = received(t, n);
		any = end > any ? end : any;
		if (nodeset_has(t->group, id) && end > t->least)
			t->least = end;
	}
	for (uint32_t id = 1; id <= w->options.nodes; id++) {
		struct sim_node *n = w->nodes[id];

		for (uint32_t i = 0; n->ring == t->r && nodeset_has(t->group, id) && i < n->inbox.n; i++) {
			const struct item *item = queue_at(&n->inbox, i);
			bool old = w->options.holes && item->ordered_us + w->options.hole_us < w->now_us;

			/* Somebody has it and its sender is here, or it is so old that it must have reached everybody.
			 */
			if (in_flight(t, item) && item->index >= t->least && item->index < any &&
			    (old || (!w->options.holes && nodeset_has(t->group, item->sender))))
				t->least = item->index + 1;
		}
	}
}

/* Drops from an inbox what the group will not deliver. */
static void tail_cut(struct tail *t, struct sim_node *n)
{
	struct item_queue *q = &n->inbox;
	uint32_t count = q->n;

	for (uint32_t i = 0; i < count; i++) {
		struct item item = queue_pop(q);
		bool keep = !in_flight(t, &item) || item.index < t->limit;

		if (!keep && t->w->options.holes && nodeset_has(t->group, item.sender))
			keep = true;
		if (keep) {
			queue_push(q, item);
		} else {
			t->w->counts[COUNT_messages_lost]++;
			frame_put(item.frame);
		}
	}
}

/* Messages beyond the end, of senders of the group, that nobody has: back to where they came from, in order, first. */
static void tail_return(struct tail *t, struct sim_node *sender)
{
	struct item_queue *q = &sender->inbox, *out = &sender->out;
	uint32_t waiting = out->n;

	for (uint32_t i = 0; sender->process && sender->joined && i < q->n; i++) {
		struct item *item = queue_at(q, i);

		if (!in_flight(t, item) || item->index < t->limit || item->sender != sender->id)
			continue;
		item->frame->refs++;
		queue_push(out, (struct item){ .kind = ITEM_MESSAGE, .sender = sender->id, .frame = item->frame });
		t->w->counts[COUNT_messages_next_view]++;
	}
	while (out->n > waiting && waiting--)
		queue_push(out, queue_pop(out));
}

static uint64_t first_index_of(struct tail *t, uint64_t from)
{
	uint64_t first = UINT64_MAX;

	for (uint32_t id = 1; id <= t->w->options.nodes; id++) {
		struct sim_node *n = t->w->nodes[id];

		if (n->ring != t->r || !nodeset_has(t->group, id))
			continue;
		for (uint32_t i = 0; i < n->inbox.n; i++) {
			const struct item *item = queue_at(&n->inbox, i);

			if (in_flight(t, item) && item->index >= from && item->index < first &&
			    nodeset_has(t->group, item->sender))
				first = item->index;
		}
	}
	return first;
}

static void ring_break(struct world *w, struct ring *r)
{
	struct tail tails[NODE_MAX];
	uint32_t n_tails = 0;
	nodeset_t left = r->members;
	uint64_t end = r->next_index;

	w->counts[COUNT_rings_broken]++;
	r->broken = true;
	while (left) {
		struct sim_node *n = w->nodes[nodeset_first(left)];
		struct tail t = { w, r, ring_reach(w, n) & left, w->next_uid++, 0, 0 };

		if (!t.group)
			t.group = NODE_BIT(n->id); /* frozen: it keeps what it has, and learns the rest alone */
		left &= ~t.group;
		if (!n->up || !n->corosync_up)
			continue;
		tail_least(&t);
		tails[n_tails++] = t;
	}
	for (uint32_t i = 0, at = (uint32_t)rng_below(&w->rng, n_tails); i < n_tails;
	     i++, at = (at + 1) % n_tails) { /* any first */
		struct tail *t = &tails[at];

		t->limit = t->least < end ? rng_range(&w->rng, t->least, end) : t->least;
		if (rng_percent(&w->rng, 30))
			t->limit = end > t->least ? end : t->least;
		for (uint32_t id = 1; id <= w->options.nodes; id++) {
			struct sim_node *n = w->nodes[id];

			if (n->ring != r || !nodeset_has(t->group, id))
				continue;
			n->broken_us = w->now_us;
			n->last_ring = t->uid;
			n->ordering = false;
			if (!w->options.holes)
				tail_return(t, n);
		}
		if (!w->options.holes) {
			uint64_t first = first_index_of(t, t->limit);

			end = first < end ? first : end;
		}
		for (uint32_t id = 1; id <= w->options.nodes; id++)
			if (w->nodes[id]->ring == r && nodeset_has(t->group, id))
				tail_cut(t, w->nodes[id]);
	}
	for (uint32_t id = 1; id <= w->options.nodes; id++)
		if (w->nodes[id]->ring == r)
			w->nodes[id]->ring = NULL;
	r->used = false;
}

/* ---- forming ---- */

static void plan(struct world *w, nodeset_t members)
{
	struct regroup *slot = NULL;
	uint64_t delay, latest = UINT64_MAX;
	bool loss = false;

	for (uint32_t i = 0; i < SIM_REGROUPS; i++) {
		struct regroup *g = &w->regroups[i];

		if (g->used && g->members == members)
			return;
		if (g->used && g->members & members)
			g->used = false;
		if (!g->used)
			slot = g;
	}
	assert(slot);
	for (uint32_t id = 1; id <= w->options.nodes; id++) {
		struct sim_node *n = w->nodes[id];

		if (!nodeset_has(members, id) || !n->broken_us)
			continue;
		loss = true;
		if (n->broken_us + w->options.detect_max_ms * US_PER_MS < latest)
			latest = n->broken_us + w->options.detect_max_ms * US_PER_MS;
	}
	delay = loss ? rng_range(&w->rng, w->options.detect_min_ms, w->options.detect_max_ms)
		     : rng_range(&w->rng, 1, w->options.merge_max_ms);
	*slot = (struct regroup){ true, w->next_uid++, w->now_us + delay * US_PER_MS, members };
	/* A second loss starts detection anew, but no host waits longer than the bound for its first. */
	if (slot->at_us > latest)
		slot->at_us = latest > w->now_us ? latest : w->now_us + US_PER_MS;
	world_push(w, slot->at_us, SIM_REGROUP, 0, 0, slot->uid, 0);
}

void ring_changed(struct world *w)
{
	nodeset_t done = 0;

	for (uint32_t i = 0; i < sizeof(w->rings) / sizeof(w->rings[0]); i++) {
		struct ring *r = &w->rings[i];
		nodeset_t together;

		if (!r->used || r->broken)
			continue;
		together = ring_reach(w, w->nodes[nodeset_first(r->members)]);
		if ((r->members & ~together) != 0)
			ring_break(w, r);
	}
	for (uint32_t id = 1; id <= w->options.nodes; id++) {
		struct sim_node *n = w->nodes[id];
		nodeset_t reach = ring_reach(w, n);

		if (!reach || nodeset_has(done, id))
			continue;
		done |= reach;
		if (n->ring && !n->ring->broken && n->ring->members == reach)
			continue;
		plan(w, reach);
	}
	for (uint32_t i = 0; i < SIM_REGROUPS; i++) {
		struct regroup *g = &w->regroups[i];

		if (g->used && g->members != ring_reach(w, w->nodes[nodeset_first(g->members)]))
			g->used = false;
	}
}

/* The views a process sees: those it lost, then those that came, maybe one by one. */
static void views_of(struct world *w, struct sim_node *n, struct ring *r, nodeset_t stayed, bool stepwise)
{
	nodeset_t view = n->view_members & stayed, come = r->procs & ~view;

	view |= NODE_BIT(n->id);
	come &= ~NODE_BIT(n->id);
	if (view == r->procs && view == n->view_members)
		return;
	if (view != n->view_members && come)
		push_view(w, n, r, view, 0, view_number(w, r, view, true));
	while (stepwise && come & (come - 1)) {
		view |= NODE_BIT(nodeset_first(come));
		come &= come - 1;
		w->counts[COUNT_views_stepwise]++;
		push_view(w, n, r, view, 0, view_number(w, r, view, true));
	}
	push_view(w, n, r, r->procs, 0, view_number(w, r, r->procs, false));
}

static void form(struct world *w, nodeset_t members)
{
	struct ring *r = ring_new(w);
	nodeset_t stayed[NODE_MAX + 1] = { 0 };
	bool stepwise = w->options.stepwise_views && rng_percent(&w->rng, 50);
	char text[256];

	r->members = members;
	r->changes = 1;
	for (uint32_t id = 1; id <= w->options.nodes; id++) {
		struct sim_node *n = w->nodes[id];

		if (!nodeset_has(members, id))
			continue;
		r->seq = n->ring_seq > r->seq ? n->ring_seq : r->seq;
		if (n->process && n->joined)
			r->procs |= NODE_BIT(id);
		/* A whole ring that merges: nothing of it is lost. */
		if (n->ring)
			n->last_ring = n->ring->uid;
		for (uint32_t other = 1; n->last_ring && other < id; other++)
			if (nodeset_has(members, other) && w->nodes[other]->last_ring == n->last_ring) {
				stayed[id] |= NODE_BIT(other);
				stayed[other] |= NODE_BIT(id);
			}
	}
	r->seq += 4;
	if (world_tracing(w))
		world_trace(w, NULL, "ring of %s", world_nodes_text(members, text, sizeof(text)));
	for (uint32_t id = 1; id <= w->options.nodes; id++) {
		struct sim_node *n = w->nodes[id];
		struct ring *old = n->ring;

		if (!nodeset_has(members, id))
			continue;
		n->ring = r;
		n->ring_seq = r->seq;
		n->broken_us = 0;
		n->ordering = false;
		if (old)
			ring_put(w, old);
		if (n->process && n->joined)
			views_of(w, n, r, stayed[id], stepwise);
		n->last_ring = r->uid;
		ring_send(w, n, NULL, 0);
	}
}

void ring_regroup(struct world *w, uint64_t uid)
{
	for (uint32_t i = 0; i < SIM_REGROUPS; i++) {
		struct regroup *g = &w->regroups[i];

		if (!g->used || g->uid != uid)
			continue;
		g->used = false;
		form(w, g->members);
		return;
	}
}

/* ---- processes of the group ---- */

static void group_changed(struct world *w, struct ring *r, nodeset_t procdown)
{
	uint64_t number;

	r->changes++;
	number = view_number(w, r, r->procs, false);
	for (uint32_t id = 1; id <= w->options.nodes; id++) {
		struct sim_node *n = w->nodes[id];

		if (n->ring == r && n->process && n->joined)
			push_view(w, n, r, r->procs, procdown, number);
	}
	r->next_index++;
}

void ring_join(struct world *w, struct sim_node *n)
{
	if (n->joined || !n->corosync_up)
		return;
	n->joined = true;
	n->view_members = 0;
	if (!n->ring)
		return; /* the next ring has it */
	n->ring->procs |= NODE_BIT(n->id);
	group_changed(w, n->ring, 0);
	ring_send(w, n, NULL, 0);
}

void ring_leave(struct world *w, struct sim_node *n, bool crash)
{
	struct ring *r = n->ring;

	/* What it had given to its corosync is still sent, unless it was on its way there. */
	while (n->out.n && rng_percent(&w->rng, 20)) {
		n->out.n--;
		frame_put(queue_at(&n->out, n->out.n)->frame);
		w->counts[COUNT_messages_lost]++;
	}
	queue_clear(&n->inbox);
	if (!n->joined)
		return;
	n->joined = false;
	n->view_members = 0;
	if (!r && rng_percent(&w->rng, 50))
		queue_clear(&n->out); /* else they come in the next ring, maybe while another process of the node is in
					 it */
	if (!r || !nodeset_has(r->procs, n->id))
		return;
	/* Its messages come before its end. */
	while (n->out.n && !r->broken) {
		uint32_t before = n->out.n;

		ring_order(w, n, r->uid);
		if (n->out.n == before)
			break;
	}
	queue_clear(&n->out);
	r->procs &= ~NODE_BIT(n->id);
	group_changed(w, r, crash ? NODE_BIT(n->id) : 0);
}

void ring_kill(struct world *w, struct sim_node *n)
{
	if (!n->corosync_up && n->up)
		return;
	n->corosync_up = false;
	w->counts[COUNT_messages_lost] += n->out.n;
	queue_clear(&n->out);
	ring_changed(w);
	queue_clear(&n->out);
	n->ring = NULL;
	n->last_ring = 0;
	n->broken_us = 0;
	if (n->process && n->up) {
		struct item item = { .kind = ITEM_LOST, .ordered_us = w->now_us };
		uint32_t keep = 0;

		/* What corosync had handed over may still be read, the rest is gone with it. */
		while (keep < n->inbox.n && queue_at(&n->inbox, keep)->ready_us <= w->now_us)
			keep++;
		while (n->inbox.n > keep) {
			n->inbox.n--;
			frame_put(queue_at(&n->inbox, n->inbox.n)->frame);
		}
		n->last_ready_us = w->now_us;
		n->view_members = 0;
		n->joined = false;
		inbox_push(w, n, item, w->now_us + rng_below(&w->rng, 5000));
	}
}

/* ---- messages ---- */

/* NULL data: only sees to it that what waits is ordered. */
void ring_send(struct world *w, struct sim_node *n, const void *data, size_t len)
{
	if (data) {
		struct frame *f;

		if (!n->joined)
			return; /* no corosync: io drops it and tells nobody */
		f = malloc(sizeof(*f) + len);
		assert(f);
		f->refs = 1;
		f->len = (uint32_t)len;
		memcpy(f->data, data, len);
		queue_push(&n->out, (struct item){ .kind = ITEM_MESSAGE, .sender = n->id, .frame = f });
		if (n->out.n > SIM_QUEUE_MAX)
			check_fail(w, VERDICT_SAFETY, "bounds", "n%u has %u messages waiting for corosync", n->id,
				   n->out.n);
	}
	if (!n->out.n || n->ordering || !n->ring || n->ring->broken || n->host_frozen)
		return;
	n->ordering = true;
	world_push(w, w->now_us + 1 + rng_below(&w->rng, 2 * w->options.order_us), SIM_ORDER, n->id, n->host_generation,
		   n->ring->uid, 0);
}

void ring_order(struct world *w, struct sim_node *n, uint64_t uid)
{
	struct ring *r = n->ring;

	if (!r || r->uid != uid || r->broken)
		return;
	n->ordering = false;
	if (n->host_frozen)
		return;
	for (uint32_t batch = 0; n->out.n && batch < ORDER_BATCH; batch++) {
		struct item item = queue_pop(&n->out);

		if (r->next_index % 64 == 0) {
			uint32_t place = (uint32_t)(r->next_index / 64 % SIM_KEPT);

			frame_put(w->kept[place]);
			w->kept[place] = item.frame;
			item.frame->refs++;
		}
		item.ring = r->uid;
		item.index = r->next_index++;
		item.ordered_us = w->now_us;
		w->counts[COUNT_messages_ordered]++;
		for (uint32_t id = 1; id <= w->options.nodes; id++) {
			struct sim_node *to = w->nodes[id];

			if (to->ring != r || !to->process || !to->joined || !nodeset_has(r->procs, id))
				continue;
			item.frame->refs++;
			inbox_push(w, to, item, w->now_us + latency(w, to));
		}
		frame_put(item.frame);
	}
	ring_send(w, n, NULL, 0);
}

void ring_forget(struct world *w)
{
	for (uint32_t i = 0; i < SIM_KEPT; i++) {
		frame_put(w->kept[i]);
		w->kept[i] = NULL;
	}
}

void ring_noise(struct world *w, struct sim_node *n)
{
	const struct frame *old = w->kept[rng_below(&w->rng, SIM_KEPT)];
	uint8_t bytes[FRAME_MAX];
	size_t len = rng_below(&w->rng, 400);
	struct message m;
	int encoded;

	if (!old || rng_percent(&w->rng, 25)) {
		for (size_t i = 0; i < len; i++)
			bytes[i] = (uint8_t)rng_next(&w->rng);
		ring_send(w, n, bytes, len);
		return;
	}
	memcpy(bytes, old->data, old->len);
	len = old->len;
	switch (rng_below(&w->rng, 3)) {
	case 0:
		len = rng_below(&w->rng, len);
		break;
	case 1:
		bytes[rng_below(&w->rng, len)] ^= (uint8_t)(1 << rng_below(&w->rng, 8));
		break;
	default:
		/* Sound, of another view and another cluster. */
		if (message_decode(old->data, old->len, &m) != FRAME_OK)
			return;
		m.cluster_id = rng_next(&w->rng) | 1;
		m.view = rng_next(&w->rng);
		encoded = message_encode(&m, bytes, sizeof(bytes));
		len = encoded > 0 ? (size_t)encoded : 0;
		break;
	}
	ring_send(w, n, bytes, len);
}

static void deliver(struct world *w, struct sim_node *n, struct item *item)
{
	struct core_event e;
	char text[256];

	memset(&e, 0, sizeof(e));
	switch (item->kind) {
	case ITEM_MESSAGE:
		e.kind = EVENT_ORDERED;
		e.ordered.sender = item->sender;
		e.ordered.data = item->frame->data;
		e.ordered.len = item->frame->len;
		w->counts[COUNT_messages_delivered]++;
		if (item->frame->len >= FRAME_HEADER_SIZE)
			world_mix(w, (uint64_t)item->frame->data[40] | (uint64_t)item->frame->data[41] << 8 |
					     (uint64_t)item->frame->data[42] << 16 | (uint64_t)item->sender << 32);
		break;
	case ITEM_VIEW:
		e.kind = EVENT_CONFCHG;
		e.confchg.view = item->view;
		e.confchg.members = item->members;
		e.confchg.procdown = item->procdown;
		world_mix(w, item->view);
		world_mix(w, item->members);
		if (world_tracing(w))
			world_trace(w, n, "view of %s", world_nodes_text(item->members, text, sizeof(text)));
		break;
	case ITEM_LOST:
		e.kind = EVENT_RING_LOST;
		world_trace(w, n, "has lost corosync");
		break;
	}
	if (world_tracing(w) && item->kind == ITEM_MESSAGE && w->trace_all) {
		world_trace(w, n, "  from n%u: %s", item->sender,
			    world_frame_text(item->frame->data, item->frame->len, text, sizeof(text)));
	}
	node_step(w, n, &e);
}

void ring_deliver(struct world *w, struct sim_node *n)
{
	uint32_t generation = n->process_generation;

	while (!w->verdict && n->process && n->process_generation == generation && node_runs(n) && n->inbox.n &&
	       queue_at(&n->inbox, 0)->ready_us <= w->now_us) {
		struct item item = queue_pop(&n->inbox);

		deliver(w, n, &item);
		frame_put(item.frame);
	}
}
