/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests of administrators on their way through the cluster. Each gets exactly one answer. A request that was proposed
 * when the view changed is looked up in the new state (node.last_request) and proposed again only if it is not there.
 *
 *   HELD (no active view yet) -> PROPOSED -> APPLIED (waits for a majority's disks) -> answered
 */
#include <string.h>

#include "clusterd/core/core_private.h"

static void reply_at(struct core *c, uint64_t id, enum refusal refusal, struct tag tag, const char *detail)
{
	struct core_action a = { .kind = ACTION_REPLY };

	a.reply.id = id;
	a.reply.refusal = refusal;
	a.reply.tag = tag;
	a.reply.detail = detail;
	core_act(c, &a);
}

void core_reply(struct core *c, uint64_t id, enum refusal refusal, const char *detail)
{
	reply_at(c, id, refusal, c->state->tag, detail);
}

uint32_t requests_count(const struct core *c)
{
	uint32_t n = 0;

	for (uint32_t i = c->requests.tail; i != c->requests.head; i++)
		n += c->requests.ring[i % PENDING_MAX].state != PENDING_FREE;
	return n;
}

static void finish(struct core *c, struct pending *p, enum refusal refusal, const char *detail)
{
	struct requests *q = &c->requests;
	struct tag tag = c->state->tag;

	/* What a majority has on disk is the position of the change, not all that came after it. */
	if (refusal == REFUSED_NOT)
		tag.seq = p->seq;
	reply_at(c, p->id, refusal, tag, detail);
	p->state = PENDING_FREE;
	while (q->tail != q->head && q->ring[q->tail % PENDING_MAX].state == PENDING_FREE)
		q->tail++;
	if (q->tail == q->head)
		q->byte_head = 0;
}

/* Room for the bytes of a request, as a ring that never splits one; UINT32_MAX: none. */
static uint32_t take_bytes(struct requests *q, uint32_t len)
{
	uint32_t tail = q->tail == q->head ? q->byte_head : q->ring[q->tail % PENDING_MAX].offset;
	uint32_t at = q->byte_head;

	if (q->tail == q->head)
		return len <= sizeof(q->bytes) ? 0 : UINT32_MAX;
	if (at >= tail) {
		if (sizeof(q->bytes) - at >= len)
			return at;
		return len < tail ? 0 : UINT32_MAX;
	}
	return tail - at > len ? at : UINT32_MAX;
}

static void propose(struct core *c, struct pending *p)
{
	struct message m = { .type = MSG_CHANGE };

	p->state = PENDING_PROPOSED;
	m.change.incarnation = c->config.incarnation;
	m.change.request = p->number;
	m.change.ops = (struct span){ c->requests.bytes + p->offset, p->len };
	core_propose(c, &m);
}

void requests_add(struct core *c, uint64_t id, const void *ops, size_t len)
{
	struct requests *q = &c->requests;
	struct pending *p;
	uint32_t at;

	if (c->phase == PHASE_NO_QUORUM || c->phase == PHASE_ALONE) {
		core_reply(c, id, REFUSED_NO_QUORUM,
			   "this side has no quorum and changes nothing; 'clusterctl quorum show' tells who is missing");
		return;
	}
	if (len > PAYLOAD_MAX) {
		core_reply(c, id, REFUSED_FULL, "the change is too large; make it in several");
		return;
	}
	at = q->head - q->tail < PENDING_MAX - 1 ? take_bytes(q, (uint32_t)len) : UINT32_MAX;
	if (at == UINT32_MAX) {
		core_reply(c, id, REFUSED_BUSY, "too many changes are waiting on this node; try again");
		return;
	}
	p = &q->ring[q->head++ % PENDING_MAX];
	*p = (struct pending){ PENDING_HELD, id, ++q->next_number, 0, c->mono_ms, at, (uint32_t)len };
	memcpy(q->bytes + at, ops, len);
	q->byte_head = at + (uint32_t)len;
	if (core_active(c))
		propose(c, p);
}

static struct pending *by_number(struct core *c, uint64_t number)
{
	for (uint32_t i = c->requests.tail; i != c->requests.head; i++) {
		struct pending *p = &c->requests.ring[i % PENDING_MAX];

		if (p->state != PENDING_FREE && p->number == number)
			return p;
	}
	return NULL;
}

void requests_applied(struct core *c, const struct msg_change *m, bool applied)
{
	struct pending *p = by_number(c, m->request);

	if (!p || p->state != PENDING_PROPOSED)
		return;
	if (!applied) {
		finish(c, p, c->outcome.refusal, c->outcome.detail);
		return;
	}
	p->state = PENDING_APPLIED;
	p->seq = c->state->tag.seq;
	if (CANARY(CANARY_TWO_ANSWERS))
		core_reply(c, p->id, REFUSED_NOT, "done");
	if (CANARY(CANARY_EARLY_ANSWER))
		finish(c, p, REFUSED_NOT, "done");
}

void requests_committed(struct core *c)
{
	struct requests *q = &c->requests;

	for (uint32_t i = q->tail; i != q->head; i++) {
		struct pending *p = &q->ring[i % PENDING_MAX];

		if (p->state == PENDING_APPLIED && p->seq <= c->ledger.committed)
			finish(c, p, REFUSED_NOT, "done");
	}
}

void requests_view_open(struct core *c)
{
	struct requests *q = &c->requests;
	uint64_t applied = c->state->nodes[c->config.self].last_request;

	if (CANARY(CANARY_NO_ANSWER))
		return;
	for (uint32_t i = q->tail; i != q->head; i++) {
		struct pending *p = &q->ring[i % PENDING_MAX];

		if (p->state == PENDING_FREE)
			continue;
		if (p->state != PENDING_HELD && p->number < applied && p->state != PENDING_APPLIED) {
			/* Decided while we were away; what was applied is known of the newest only. */
			finish(c, p, REFUSED_UNKNOWN_OUTCOME,
			       "it was decided in a view this node was not in; look whether it was made");
		} else if (p->state != PENDING_HELD && p->number <= applied) {
			p->state = PENDING_APPLIED;
			p->seq = c->state->tag.seq;
		} else {
			propose(c, p);
		}
	}
}

/*
 * What was never proposed was surely not made; the rest may have been, in the view that is gone. It is not proposed again:
 * whoever asked has an answer now, and must not be surprised by an old wish that overwrites newer ones later.
 */
void requests_no_quorum(struct core *c)
{
	struct requests *q = &c->requests;

	for (uint32_t i = q->tail; i != q->head; i++) {
		struct pending *p = &q->ring[i % PENDING_MAX];

		if (p->state == PENDING_HELD)
			finish(c, p, REFUSED_NO_QUORUM, "quorum was lost before the change was tried; nothing was changed");
		else if (p->state != PENDING_FREE)
			finish(c, p, REFUSED_UNKNOWN_OUTCOME, "quorum was lost before the answer; look whether it was made");
	}
}

void requests_tick(struct core *c)
{
	struct requests *q = &c->requests;

	if (CANARY(CANARY_NO_ANSWER))
		return;
	for (uint32_t i = q->tail; i != q->head; i++) {
		struct pending *p = &q->ring[i % PENDING_MAX];

		if (p->state == PENDING_FREE || c->mono_ms - p->since_ms < REQUEST_TIMEOUT_MS)
			continue;
		if (p->state == PENDING_HELD)
			finish(c, p, REFUSED_SYNCING, "the members could not agree on a view in time; nothing was changed");
		else
			finish(c, p, REFUSED_UNKNOWN_OUTCOME, "the answer of a majority did not come in time; "
			       "look whether it was made");
	}
}
