/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is on whose disk. Each position is handed to this node's disk; when it is there the node says so (DURABLE); a
 * position is committed when nodes with a majority of the votes have said so. Effects wait for that: answers to
 * administrators, and starts. So whatever was answered or started is known to every later quorum.
 */
#include <string.h>
#include <syslog.h>

#include "clusterd/core/core_private.h"

void ledger_reset(struct core *c)
{
	memset(c->ledger.durable, 0, sizeof(c->ledger.durable));
	memset(c->ledger.digest_seq, 0, sizeof(c->ledger.digest_seq));
	memset(c->ledger.behind_ms, 0, sizeof(c->ledger.behind_ms));
	c->ledger.committed = 0;
	c->ledger.durable_in_flight = false;
	c->ledger.differs = 0;
}

static void hand_to_disk(struct core *c)
{
	struct core_action a = { .kind = ACTION_PERSIST_COMMIT };
	struct ledger *l = &c->ledger;

	l->commit_held = false;
	l->cookie++;
	l->cookie_tag[l->cookie % COMMITS_IN_FLIGHT_MAX] = c->state->tag;
	a.commit.tag = c->state->tag;
	a.commit.promised = c->promised;
	a.commit.cookie = l->cookie;
	core_act(c, &a);
}

/* There is something new: whose disk had everything is behind from now on. For status alone. */
static void note_behind(struct core *c)
{
	nodeset_t set = core_active(c) ? core_participants(c) : 0;

	for (; set; set &= set - 1)
		if (!c->ledger.behind_ms[nodeset_first(set)])
			c->ledger.behind_ms[nodeset_first(set)] = c->mono_ms;
}

/* Asks for what was changed to be made durable; while many such are on their way, one more waits and covers all after. */
uint64_t ledger_commit(struct core *c)
{
	note_behind(c);
	if (c->ledger.cookie - c->ledger.cookie_done < COMMITS_IN_FLIGHT_MAX / 2) {
		hand_to_disk(c);
		return c->ledger.cookie;
	}
	c->ledger.commit_held = true;
	return c->ledger.cookie + 1; /* the one that is made when there is room covers all until then */
}

static void say_durable(struct core *c)
{
	struct message m = { .type = MSG_DURABLE };
	struct ledger *l = &c->ledger;

	if (!core_active(c) || l->durable_in_flight || l->own.epoch != c->state->tag.epoch ||
	    l->own.seq <= l->durable[c->config.self])
		return;
	l->durable_in_flight = true;
	m.durable.epoch = l->own.epoch;
	m.durable.seq = l->own.seq;
	core_propose(c, &m);
}

void ledger_persisted(struct core *c, uint64_t cookie)
{
	struct ledger *l = &c->ledger;

	if (cookie <= l->cookie_done || cookie > l->cookie)
		return;
	l->cookie_done = cookie;
	l->own = l->cookie_tag[cookie % COMMITS_IN_FLIGHT_MAX];
	if (l->commit_held)
		hand_to_disk(c);
	view_persisted(c);
	say_durable(c);
}

/*
 * The witness has no disk: its vote makes a position durable only together with every voter that is here. It remembers the
 * epoch, so that a later side without any of them is refused; one that has any of them knows the position then.
 */
static bool majority_has(const struct core *c, uint64_t seq)
{
	struct votes votes = votes_of(c->state);
	nodeset_t have = 0;

	for (uint32_t id = 1; id <= NODE_MAX; id++)
		if (c->ledger.durable[id] >= seq)
			have |= NODE_BIT(id);
	have &= core_participants(c);
	if (votes_majority(votes, have, false))
		return true;
	return !(votes.nodes & core_participants(c) & ~have) && votes_majority(votes, have, c->view.witness_held);
}

static void recount(struct core *c)
{
	uint64_t best = c->ledger.committed;

	for (uint32_t id = 1; id <= NODE_MAX; id++)
		if (c->ledger.durable[id] > best && majority_has(c, c->ledger.durable[id]))
			best = c->ledger.durable[id];
	if (best == c->ledger.committed)
		return;
	c->ledger.committed = best;
	local_start_waiting(c);
	requests_committed(c);
	duty_committed(c);
}

static void note_durable(struct core *c, uint32_t sender, uint64_t epoch, uint64_t seq)
{
	if (epoch != c->state->tag.epoch || seq <= c->ledger.durable[sender])
		return;
	c->ledger.durable[sender] = seq;
	c->ledger.behind_ms[sender] = seq >= c->state->tag.seq ? 0 : c->mono_ms;
	recount(c);
}

void ledger_durable(struct core *c, uint32_t sender, const struct msg_durable *m)
{
	if (!core_active(c))
		return;
	if (sender == c->config.self)
		c->ledger.durable_in_flight = false;
	note_durable(c, sender, m->epoch, m->seq);
	if (sender == c->config.self)
		say_durable(c);
}

/* A node whose state differs from that of most others has to take theirs. */
static void differs(struct core *c, uint32_t sender)
{
	struct core_action a = { .kind = ACTION_RESTART };
	struct ledger *l = &c->ledger;

	if (!nodeset_has(l->differs, sender))
		core_trace(c, LOG_CRIT, "the state of node %s differs from ours at epoch %llu", core_node_name(c, sender),
			   (unsigned long long)c->state->tag.epoch);
	l->differs |= NODE_BIT(sender);
	if (2 * nodeset_count(l->differs & core_participants(c)) < nodeset_count(core_participants(c)))
		return;
	a.text = "this node's state differs from that of most others; it takes a fresh copy";
	core_act(c, &a);
}

void ledger_alive(struct core *c, uint32_t sender, const struct msg_alive *m)
{
	struct ledger *l = &c->ledger;

	if (!core_active(c))
		return;
	note_durable(c, sender, m->epoch, m->durable_seq);
	if (sender == c->config.self) {
		c->local.confirmed_ms = c->local.alive_ms;
		local_start_waiting(c);
		return;
	}
	if (m->epoch == c->state->tag.epoch && l->digest_seq[m->seq % DIGESTS_KEPT] == m->seq &&
	    l->digest[m->seq % DIGESTS_KEPT] != m->digest)
		differs(c, sender);
}

/* The sign of life: tells the others that we are here, and, when it comes back, us that the ring still carries. */
static void say_alive(struct core *c)
{
	struct message m = { .type = MSG_ALIVE };

	c->local.alive_ms = c->mono_ms;
	m.alive.epoch = c->state->tag.epoch;
	m.alive.seq = c->state->tag.seq;
	m.alive.digest = c->state->digest;
	m.alive.durable_seq = c->ledger.own.epoch == c->state->tag.epoch ? c->ledger.own.seq : 0;
	core_propose(c, &m);
}

void ledger_tick(struct core *c)
{
	struct local *l = &c->local;

	if (!core_active(c))
		return;
	for (uint32_t i = 0; CANARY(CANARY_CHATTER) && i < 2000; i++)
		say_alive(c);
	if (CANARY(CANARY_OWN_MEMORY) && CANARY_MEMORY % 64 == 0)
		say_alive(c);
	/* One at a time: the one that comes back is the one that was sent, and its time of sending is what it proves. */
	if (l->alive_ms <= l->confirmed_ms && c->mono_ms - l->alive_ms >= core_cluster(c)->alive_ms)
		say_alive(c);
}
