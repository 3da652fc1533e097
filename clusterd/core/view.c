/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Agreeing on a view: every member says what it has (HELLO); the highest tag wins; its vote table decides whether the
 * view is quorate; those behind take its state (SNAPSHOT); each promises the new epoch on its disk (SYNCED); then all
 * open the view at the same message.
 *
 * The promise makes epochs unique: a majority has it on disk before anything happens in the epoch, and any later
 * majority includes one of them, whose HELLO makes the next epoch higher.
 */
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "clusterd/core/core_private.h"

#define ROUND_STEP UINT64_C(0x9e3779b97f4a7c15)

static void send_hello(struct core *c)
{
	struct message m = { .type = MSG_HELLO };
	struct msg_hello *h = &m.hello;
	struct votes v = votes_of(c->state);

	c->view.hello_ms = c->mono_ms;
	h->view = c->view.round_id;
	h->incarnation = c->config.incarnation;
	h->boot_id = c->config.boot_id;
	h->epoch = c->state->tag.epoch;
	h->seq = c->state->tag.seq;
	h->digest = c->state->digest;
	h->promised = c->promised;
	h->votes = v.nodes;
	h->witness_vote = v.witness;
	h->configured = c->config.configured;
	h->kept = c->local.hello_kept = c->local.kept;
	h->prevent = c->prevent;
	h->level = c->config.level_max;
	h->cpu = c->config.cpu;
	h->memory_mb = c->config.memory_mb;
	h->watchdog_ms = c->local.released ? 0 : c->config.watchdog_ms;
	memcpy(h->node_name, c->config.node_name, NAME_SIZE);
	memcpy(h->cluster_name, c->config.cluster_name, NAME_SIZE);
	memcpy(h->site, c->config.site, NAME_SIZE);
	memcpy(h->fault_domain, c->config.fault_domain, NAME_SIZE);
	core_propose(c, &m);
}

static void say_vote(struct core *c, bool quorate)
{
	struct core_action a = { .kind = ACTION_VOTE };

	a.quorate = quorate;
	core_act(c, &a);
}

static void force_void(struct core *c)
{
	if (c->view.force_request)
		core_reply(c, c->view.force_request, REFUSED_SYNCING, "the members changed meanwhile; look again, then repeat");
	c->view.force_request = 0;
}

void view_witness_release(struct core *c)
{
	if (!c->view.witness_ours)
		return;
	c->view.witness_ours = false;
	core_act(c, &(struct core_action){ .kind = ACTION_WITNESS_RELEASE });
}

/*
 * The members are others: the holder may have gone, and the witness was told of an epoch that is past. Whoever needs it
 * now claims it for the next one.
 */
static void witness_void(struct core *c)
{
	c->view.witness_held = c->view.witness_claimed = false;
	view_witness_release(c);
}

/* A new round of HELLOs among the members that are left. */
static void start_round(struct core *c)
{
	struct view *v = &c->view;

	c->phase = PHASE_SYNC;
	v->since_ms = c->mono_ms;
	v->hello_in = v->synced_in = v->behind = 0;
	v->winner = 0;
	v->synced_sent = false;
	v->promise_cookie = 0;
	v->cursor = 0;
	v->parts_sent = v->parts_seen = v->parts_got = 0;
	v->all_sent = false;
	state_clear(c->spare);
	ledger_reset(c);
	c->clock_in_flight = c->votes_in_flight = c->leave_sent = false;
	c->exclude_sent_ms = 0;
	if (!nodeset_has(v->excluded, c->config.self))
		send_hello(c);
}

/* The members say anew what they have: some may have stopped their roles since they did. */
static void next_round(struct core *c)
{
	c->view.round_id += ROUND_STEP;
	start_round(c);
}

void view_confchg(struct core *c, uint64_t number, nodeset_t members, nodeset_t procdown)
{
	struct view *v = &c->view;

	if (!nodeset_has(members, c->config.self)) {
		view_lost(c);
		return;
	}
	force_void(c);
	v->number = v->round_id = number;
	v->died = (v->died | procdown) & ~members;
	v->members = members;
	v->excluded = 0;
	v->forced = false;
	witness_void(c);
	v->witness_next_ms = 0;
	for (uint32_t id = 1; id <= NODE_MAX; id++)
		c->heard_ms[id] = nodeset_has(members, id) ? c->mono_ms : 0;
	memset(c->kick_ms, 0, sizeof(c->kick_ms));
	start_round(c);
}

void view_lost(struct core *c)
{
	force_void(c);
	witness_void(c);
	c->phase = PHASE_ALONE;
	c->view.members = 0;
	c->view.number = 0;
	ledger_reset(c);
	requests_no_quorum(c);
}

/* --- who wins --- */

static struct tag hello_tag(const struct msg_hello *h) { return (struct tag){ h->epoch, h->seq }; }

/* How many of the participants have this state. */
static uint32_t sharers(const struct core *c, uint32_t id)
{
	const struct msg_hello *h = c->view.hello;
	uint32_t n = 0;

	for (uint32_t i = 1; i <= NODE_MAX; i++)
		if (nodeset_has(core_participants(c), i))
			n += !tag_compare(hello_tag(&h[i]), hello_tag(&h[id])) && h[i].digest == h[id].digest;
	return n;
}

/* Participants of this cluster identity. */
static uint32_t kin(const struct core *c, uint64_t cluster)
{
	uint32_t n = 0;

	for (uint32_t id = 1; id <= NODE_MAX; id++)
		n += nodeset_has(core_participants(c), id) && c->view.hello_cluster[id] == cluster;
	return n;
}

/* The identity most participants have; 0: none of them has ever been in a cluster. A stranger cannot outvote us by a tag. */
static uint64_t pick_cluster(const struct core *c)
{
	uint64_t best = 0;

	for (uint32_t id = 1; id <= NODE_MAX; id++) {
		uint64_t cluster = c->view.hello_cluster[id];

		if (nodeset_has(core_participants(c), id) && cluster && (!best || kin(c, cluster) > kin(c, best)))
			best = cluster;
	}
	return best;
}

/* Highest tag; among equal tags the state that most have; then the lowest id. */
static uint32_t pick_winner(const struct core *c)
{
	const struct msg_hello *h = c->view.hello;
	uint64_t cluster = pick_cluster(c);
	uint32_t best = 0;

	for (uint32_t id = 1; id <= NODE_MAX; id++) {
		int order;

		if (!nodeset_has(core_participants(c), id) || c->view.hello_cluster[id] != cluster)
			continue;
		if (CANARY(CANARY_LOWEST_WINS))
			return id;
		order = best ? tag_compare(hello_tag(&h[id]), hello_tag(&h[best])) : 1;
		if (order > 0 || (order == 0 && sharers(c, id) > sharers(c, best)))
			best = id;
	}
	return best;
}

/*
 * The identity of this member never came to anything: so many of the nodes that vote in its table are here with the
 * winner's that it can have no majority without them. Its node was alone in seeing that cluster founded; it is taken in as
 * if it had no state.
 */
static bool identity_dead(const struct core *c, uint32_t id, uint32_t winner)
{
	const struct view *v = &c->view;
	struct votes votes = { v->hello[id].votes, v->hello[id].witness_vote != 0 };
	nodeset_t others = 0;

	for (uint32_t other = 1; other <= NODE_MAX; other++)
		if (nodeset_has(core_participants(c), other) && v->hello_cluster[other] == v->hello_cluster[winner])
			others |= NODE_BIT(other);
	return !votes_majority(votes, ~others, true);
}

/* Members of a cluster of the same name but another identity, or of another name, or too old to understand its state. */
static nodeset_t strangers(const struct core *c, uint32_t winner)
{
	const struct view *v = &c->view;
	nodeset_t set = 0;

	for (uint32_t id = 1; id <= NODE_MAX; id++) {
		if (!nodeset_has(core_participants(c), id))
			continue;
		if (strcmp(v->hello[id].cluster_name, v->hello[winner].cluster_name) ||
		    (v->hello_cluster[id] && v->hello_cluster[id] != v->hello_cluster[winner] && !identity_dead(c, id, winner)))
			set |= NODE_BIT(id);
	}
	return set;
}

/* The votes that count: of the winner's table, or, while there is no cluster yet, one for each configured node. */
static struct votes table(const struct core *c)
{
	const struct msg_hello *w = &c->view.hello[c->view.winner];

	if (!w->epoch)
		return (struct votes){ w->configured, false };
	return (struct votes){ w->votes, w->witness_vote != 0 };
}

/*
 * Participants whose vote helps to form a quorum. A node that has lost its database does not: what it once had made
 * durable is gone, so its vote proves nothing. It has lost its promises, too: one that remembers a promise and has no state
 * was there when the cluster was founded, and did not see the end of it. Neither does one that was told not to.
 */
static nodeset_t electors(const struct core *c)
{
	const struct view *v = &c->view;
	nodeset_t set = 0;

	for (uint32_t id = 1; id <= NODE_MAX; id++)
		if (nodeset_has(core_participants(c), id) && !v->hello[id].prevent &&
		    (v->hello[id].promised || !v->hello[v->winner].epoch))
			set |= NODE_BIT(id);
	return set;
}

/* --- no quorum --- */

static size_t append(char *text, size_t size, size_t at, const char *before, const char *names, const char *after)
{
	if (*names && at < size)
		at += (size_t)snprintf(text + at, size - at, "%s%s%s", before, names, after);
	return at;
}

void view_no_quorum_text(const struct core *c, char *text, size_t size)
{
	const struct view *v = &c->view;
	/* A view that was active, and lost the witness, has a newer table than its HELLOs told. */
	struct votes t = c->state->tag.epoch > v->hello[v->winner].epoch ? votes_of(c->state) : table(c);
	nodeset_t here = t.nodes & core_participants(c), prevented = 0;
	char names[TEXT_SIZE / 2];
	size_t at;

	if (nodeset_has(v->excluded, c->config.self)) {
		snprintf(text, size, "no quorum: the others have left this node out because it did not answer; it starts anew");
		return;
	}
	for (nodeset_t left = here; left; left &= left - 1)
		if (v->hello[nodeset_first(left)].prevent)
			prevented |= NODE_BIT(nodeset_first(left));
	at = (size_t)snprintf(text, size, "no quorum: %d of %u votes count here", nodeset_count(here & electors(c)) +
			      (t.witness && v->witness_held), votes_total(t));
	core_list_names(c, t.nodes & ~here, names, sizeof(names));
	at = append(text, size, at, "; missing: ", names, "");
	core_list_names(c, prevented, names, sizeof(names));
	at = append(text, size, at, "; told only to join: ", names, "");
	core_list_names(c, here & ~electors(c) & ~prevented, names, sizeof(names));
	append(text, size, at, "; lost their database and can vouch for nothing: ", names,
	       "; if all that was acknowledged is here: 'clusterctl quorum force'");
}

static void no_quorum(struct core *c)
{
	char text[TEXT_SIZE];

	if (c->phase != PHASE_NO_QUORUM) {
		view_no_quorum_text(c, text, sizeof(text));
		core_trace(c, LOG_INFO, "%s", text);
	}
	c->phase = PHASE_NO_QUORUM;
	say_vote(c, false);
	requests_no_quorum(c);
}

static uint64_t next_epoch(const struct core *c)
{
	uint64_t high = 0;

	for (uint32_t id = 1; id <= NODE_MAX; id++) {
		if (!nodeset_has(core_participants(c), id))
			continue;
		if (c->view.hello[id].promised > high)
			high = c->view.hello[id].promised;
		if (c->view.hello[id].epoch > high)
			high = c->view.hello[id].epoch;
	}
	if (c->view.forced)
		return ((high >> EPOCH_FORCED_SHIFT) + 1) << EPOCH_FORCED_SHIFT;
	return high + 1;
}

static nodeset_t behind(const struct core *c)
{
	const struct view *v = &c->view;
	nodeset_t set = 0;

	for (uint32_t id = 1; id <= NODE_MAX; id++)
		if (nodeset_has(core_participants(c), id) && v->hello[id].digest != v->hello[v->winner].digest)
			set |= NODE_BIT(id);
	return set;
}

/* --- loading: state and promise onto every disk --- */

static void promise(struct core *c)
{
	c->promised = c->view.target;
	c->view.promise_cookie = ledger_commit(c);
}

static void send_parts(struct core *c)
{
	struct view *v = &c->view;

	while (!v->all_sent && v->parts_sent - v->parts_seen < SNAPSHOT_WINDOW) {
		uint8_t part[PAYLOAD_MAX];
		struct writer w = writer_of(part, sizeof(part));
		struct message m = { .type = MSG_SNAPSHOT };

		v->all_sent = state_encode_next(c->state, &v->cursor, &w);
		m.snapshot.view = v->round_id;
		m.snapshot.epoch = c->state->tag.epoch;
		m.snapshot.seq = c->state->tag.seq;
		m.snapshot.digest = c->state->digest;
		m.snapshot.index = v->parts_sent++;
		m.snapshot.last = v->all_sent;
		m.snapshot.objects = (struct span){ part, writer_len(&w) };
		core_propose(c, &m);
	}
}

static void start_loading(struct core *c)
{
	struct view *v = &c->view;

	c->phase = PHASE_LOADING;
	v->since_ms = c->mono_ms;
	v->target = next_epoch(c);
	v->behind = behind(c);
	if (nodeset_has(v->behind, c->config.self))
		return;
	if (v->winner == c->config.self && v->behind)
		send_parts(c);
	promise(c);
}

static void check_hellos(struct core *c)
{
	struct view *v = &c->view;
	nodeset_t odd;

	if ((c->phase != PHASE_SYNC && c->phase != PHASE_NO_QUORUM) || (core_participants(c) & ~v->hello_in))
		return;
	if (nodeset_has(v->excluded, c->config.self)) {
		c->phase = PHASE_NO_QUORUM; /* the others agree without this node; it has no part in that */
		return;
	}
	v->winner = pick_winner(c);
	odd = strangers(c, v->winner);
	if (odd) {
		v->excluded |= odd;
		core_trace(c, LOG_ERR, "node %s belongs to another cluster of this name and is left out",
			   core_node_name(c, nodeset_first(odd)));
		if (nodeset_has(odd, c->config.self)) {
			no_quorum(c);
			return;
		}
	}
	if (v->forced || votes_majority(table(c), electors(c), v->witness_held))
		start_loading(c);
	else
		no_quorum(c);
}

void view_hello(struct core *c, uint32_t sender, const struct message *m)
{
	struct view *v = &c->view;

	if (m->hello.view != v->round_id || !nodeset_has(core_participants(c), sender) || nodeset_has(v->hello_in, sender))
		return;
	v->hello[sender] = m->hello;
	v->hello_cluster[sender] = m->cluster_id;
	v->hello_sent_ms[sender] = m->sent_ms;
	v->hello_in |= NODE_BIT(sender);
	check_hellos(c);
}

static void broken_snapshot(struct core *c, const char *what)
{
	struct core_action a = { .kind = ACTION_RESTART };

	core_trace(c, LOG_ERR, "the state sent by node %s cannot be taken: %s", core_node_name(c, c->view.winner), what);
	a.text = "the state sent by a peer could not be taken";
	core_act(c, &a);
}

static void put_all(struct core *c)
{
	struct core_action a = { .kind = ACTION_PERSIST_WIPE };
	uint8_t buf[OBJECT_ENCODED_MAX];

	core_act(c, &a);
	a.kind = ACTION_PERSIST_PUT;
	for (uint32_t kind = KIND_CLUSTER; kind <= KIND_LAST; kind++) {
		for (uint32_t id = 1; id <= c->state->high[kind]; id++) {
			struct writer w = writer_of(buf, sizeof(buf));

			if (!state_get(c->state, kind, id))
				continue;
			object_encode(&w, object_type(kind), state_get(c->state, kind, id));
			a.persist.kind = (uint8_t)kind;
			a.persist.id = id;
			a.persist.data = (struct span){ buf, writer_len(&w) };
			core_act(c, &a);
		}
	}
}

static void take_snapshot(struct core *c, const struct msg_snapshot *m)
{
	struct state *old = c->state;

	state_reindex(c->spare);
	if (c->spare->digest != m->digest) {
		broken_snapshot(c, "its digest is not what it should be");
		return;
	}
	/* Views were active without us: whoever is lost in this state may have been back, and lost again, since we last looked. */
	memset(c->lost_ms, 0, sizeof(c->lost_ms));
	c->spare->tag = (struct tag){ m->epoch, m->seq };
	c->state = c->spare;
	c->spare = old;
	state_clear(c->spare);
	put_all(c);
	promise(c);
}

void view_snapshot(struct core *c, uint32_t sender, const struct msg_snapshot *m)
{
	struct view *v = &c->view;
	struct reader r = reader_of(m->objects.data, m->objects.len);

	if (c->phase != PHASE_LOADING || m->view != v->round_id || sender != v->winner)
		return;
	if (sender == c->config.self) {
		v->parts_seen++;
		send_parts(c);
		return;
	}
	if (!nodeset_has(v->behind, c->config.self))
		return;
	if (m->index != v->parts_got) {
		broken_snapshot(c, "a part is missing");
		return;
	}
	v->parts_got++;
	v->since_ms = c->mono_ms;
	while (reader_left(&r)) {
		if (state_put_encoded(c->spare, &r) < 0) {
			broken_snapshot(c, "an object is malformed");
			return;
		}
	}
	if (m->last)
		take_snapshot(c, m);
}

void view_persisted(struct core *c)
{
	struct view *v = &c->view;
	struct message m = { .type = MSG_SYNCED };

	if (c->phase != PHASE_LOADING || v->synced_sent || !v->promise_cookie ||
	    c->ledger.cookie_done < v->promise_cookie)
		return;
	v->synced_sent = true;
	m.synced.view = v->round_id;
	m.synced.promised = v->target;
	m.synced.digest = c->state->digest;
	core_propose(c, &m);
}

static void check_synced(struct core *c)
{
	if (c->phase != PHASE_LOADING || (core_participants(c) & ~c->view.synced_in))
		return;
	view_open(c);
	say_vote(c, true);
}

void view_synced(struct core *c, uint32_t sender, const struct msg_synced *m)
{
	if (c->phase != PHASE_LOADING || m->view != c->view.round_id || m->promised != c->view.target)
		return;
	if (m->digest != c->view.hello[c->view.winner].digest) {
		core_trace(c, LOG_ERR, "node %s has synchronised to another state", core_node_name(c, sender));
		return; /* it will be excluded as silent */
	}
	c->view.synced_in |= NODE_BIT(sender);
	check_synced(c);
}

/* --- the view goes on without the silent --- */

void view_propose_exclude(struct core *c, nodeset_t silent)
{
	struct message m = { .type = MSG_EXCLUDE };

	c->exclude_sent_ms = c->mono_ms;
	m.exclude.view = c->view.number;
	m.exclude.nodes = silent;
	core_propose(c, &m);
}

void view_exclude(struct core *c, const struct msg_exclude *m)
{
	struct view *v = &c->view;
	nodeset_t nodes = m->nodes & core_participants(c);
	struct core_action a = { .kind = ACTION_RESTART };

	if (m->view != v->number || !nodes)
		return;
	v->excluded |= nodes;
	witness_void(c);
	for (nodeset_t left = nodes; left; left &= left - 1)
		core_trace(c, LOG_WARNING, "node %s does not answer: the view goes on without it",
			   core_node_name(c, nodeset_first(left)));
	next_round(c);
	if (!nodeset_has(nodes, c->config.self))
		return;
	c->phase = PHASE_NO_QUORUM;
	a.text = "the others have excluded this node because it did not answer in time";
	core_act(c, &a);
}

/* --- force, witness --- */

void view_force_request(struct core *c, uint64_t id)
{
	struct message m = { .type = MSG_FORCE };

	if (c->phase != PHASE_NO_QUORUM) {
		core_reply(c, id, c->phase == PHASE_ACTIVE ? REFUSED_STATE : REFUSED_SYNCING,
			   c->phase == PHASE_ACTIVE ? "this side has quorum already; nothing is to be forced" :
						      "no view has been agreed on yet; look at 'clusterctl quorum show'");
		return;
	}
	if (c->view.force_request) {
		core_reply(c, id, REFUSED_BUSY, "quorum is being forced already");
		return;
	}
	c->view.force_request = id;
	m.force.view = c->view.number;
	m.force.request = id;
	core_propose(c, &m);
}

void view_force(struct core *c, uint32_t sender, const struct msg_force *m)
{
	if (m->view != c->view.number)
		return;
	if (sender == c->config.self && c->view.force_request == m->request) {
		core_reply(c, m->request, REFUSED_NOT, "quorum is forced on this side");
		c->view.force_request = 0;
	}
	if (c->phase != PHASE_NO_QUORUM || nodeset_has(c->view.excluded, c->config.self))
		return;
	core_trace(c, LOG_WARNING, "quorum was forced by node %s", core_node_name(c, sender));
	c->view.forced = true;
	next_round(c);
}

static void claim_witness(struct core *c)
{
	struct view *v = &c->view;
	struct core_action a = { .kind = ACTION_WITNESS_CLAIM };

	/* A voter claims: the first commit needs the disks of all voters here, else the view would not need the witness. */
	if (nodeset_first(table(c).nodes & electors(c)) != c->config.self || v->witness_claimed ||
	    c->mono_ms < v->witness_next_ms || !votes_need_witness(table(c), electors(c)))
		return;
	v->witness_claimed = true;
	v->witness_next_ms = c->mono_ms + WITNESS_RETRY_MS;
	a.witness.have_epoch = v->hello[v->winner].epoch;
	a.witness.take_epoch = next_epoch(c);
	a.witness.present = electors(c);
	core_act(c, &a);
}

void view_witness_event(struct core *c, bool held)
{
	struct message m = { .type = MSG_WITNESS };

	c->view.witness_ours = held;
	if (held && !c->view.witness_claimed)
		view_witness_release(c); /* claimed for an epoch that will not be */
	held = c->view.witness_ours;
	c->view.witness_claimed = false;
	if (c->phase == PHASE_ALONE || held == c->view.witness_held)
		return;
	m.witness.view = c->view.round_id;
	m.witness.held = held;
	core_propose(c, &m);
}

void view_witness(struct core *c, const struct msg_witness *m)
{
	struct view *v = &c->view;

	if (m->view != v->round_id)
		return;
	v->witness_held = m->held;
	if (m->held && c->phase == PHASE_NO_QUORUM)
		next_round(c);
	else if (c->phase == PHASE_ACTIVE && !votes_majority(votes_of(c->state), core_participants(c), m->held))
		no_quorum(c);
	else if (c->phase == PHASE_LOADING && !v->forced && !votes_majority(table(c), electors(c), m->held))
		no_quorum(c);
}

/* --- time --- */

static uint64_t stall_limit_ms(const struct core *c)
{
	const struct cluster *cl = core_cluster(c);

	/* Nothing runs before the first view: no hurry. Later every moment counts against the grace of those that wait. */
	if (!c->state->tag.epoch)
		return 15000;
	return cl->quorum_grace_ms / 2 > SYNC_STALL_MIN_MS ? cl->quorum_grace_ms / 2 : SYNC_STALL_MIN_MS;
}

/* Members whose answer the view waits for. */
static nodeset_t missing(const struct core *c)
{
	if (c->phase == PHASE_SYNC)
		return core_participants(c) & ~c->view.hello_in;
	if (c->phase == PHASE_LOADING)
		return core_participants(c) & ~c->view.synced_in;
	return 0;
}

static void exclude_silent(struct core *c)
{
	nodeset_t silent = missing(c);
	uint64_t waited = c->mono_ms - c->view.since_ms, limit = stall_limit_ms(c);

	if (!silent || nodeset_has(silent, c->config.self) || waited < limit)
		return;
	/* Those that are silent themselves do not act: rank counts the others only. */
	if (waited < limit + (uint64_t)nodeset_count(core_participants(c) & ~silent & (NODE_BIT(c->config.self) - 1)) * 500)
		return;
	if (c->exclude_sent_ms && c->mono_ms - c->exclude_sent_ms < limit)
		return;
	view_propose_exclude(c, silent);
}

void view_tick(struct core *c)
{
	if (c->phase == PHASE_NO_QUORUM && !nodeset_has(c->view.excluded, c->config.self))
		claim_witness(c);
	exclude_silent(c);
}
