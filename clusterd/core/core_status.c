/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The node's own view of things, for people and monitoring. */
#include <stdio.h>

#include "clusterd/core/core_private.h"
#include "clusterd/core/timetable.h"

static nodeset_t waiting_for(const struct core *c)
{
	switch (c->phase) {
	case PHASE_SYNC: return core_participants(c) & ~c->view.hello_in;
	case PHASE_LOADING: return core_participants(c) & ~c->view.synced_in;
	case PHASE_ACTIVE: return nodes_in(c->state, NODE_JOINING);
	default: return 0;
	}
}

#define DISK_SLOW_MS 1000 /* a commit takes milliseconds, on a bad day a few hundred */

static bool disk_is_slow(const struct core *c, uint32_t id, uint64_t mono_ms)
{
	return c->ledger.behind_ms[id] && mono_ms > c->ledger.behind_ms[id] + DISK_SLOW_MS;
}

static bool is_quiet(const struct core *c, uint32_t id, uint64_t mono_ms)
{
	return c->heard_ms[id] && mono_ms > c->heard_ms[id] + 2 * (uint64_t)core_cluster(c)->alive_ms + 1000;
}

/* Members that have more to write and write nothing, or that have been quiet for longer than they should. */
static nodeset_t slow_members(const struct core *c, uint64_t mono_ms)
{
	nodeset_t set = 0;

	if (!core_active(c))
		return 0;
	for (uint32_t id = 1; id <= NODE_MAX; id++)
		if (nodeset_has(core_participants(c), id) && (is_quiet(c, id, mono_ms) || disk_is_slow(c, id, mono_ms)))
			set |= NODE_BIT(id);
	return set;
}

/*
 * Everybody but the lost node hears nothing, too, until corosync has noticed the loss: if that takes longer than their own
 * doubt, the loss of one makes all stop their roles.
 */
static bool doubts_too_soon(const struct core *c)
{
	const struct cluster *cl = core_cluster(c);

	return c->config.detection_ms && timetable_doubt_ms(cl, true) < c->config.detection_ms + cl->alive_ms;
}

#define JOINING_LONG_MS 20000 /* agents are asked at once what runs, and answer in seconds */

/* Nodes that joined with this view and do not tell what they run: for how long, and what holds them up. */
static void describe_joining(struct core *c, nodeset_t joining, const char *names, uint64_t mono_ms)
{
	uint64_t waited_ms = mono_ms - c->view.since_ms;
	char strays[TEXT_SIZE - 120];

	if (nodeset_has(joining, c->config.self) && local_list_strays(c, strays, sizeof(strays)))
		snprintf(c->text, sizeof(c->text), "this node tells what it runs when what belongs elsewhere has stopped here: %s",
			 strays);
	else if (waited_ms >= JOINING_LONG_MS)
		snprintf(c->text, sizeof(c->text), "waiting for the inventory of %s, for %u s: its log tells what holds it up",
			 names, (uint32_t)(waited_ms / MS_PER_SECOND));
	else
		snprintf(c->text, sizeof(c->text), "waiting for the inventory of %s", names);
}

static void describe(struct core *c, const struct core_status *s, uint64_t mono_ms)
{
	char names[TEXT_SIZE - 120];

	core_list_names(c, s->waiting_for ? s->waiting_for : s->slow, names, sizeof(names));
	c->text[0] = '\0';
	if (c->local.self_fenced)
		snprintf(c->text, sizeof(c->text),
			 "this host was to be reset, and still runs: reset it by hand; its log tells why");
	else if (c->phase == PHASE_ALONE)
		snprintf(c->text, sizeof(c->text), "corosync is not reachable; this node is in no view");
	else if (c->phase == PHASE_NO_QUORUM)
		view_no_quorum_text(c, c->text, sizeof(c->text));
	else if (c->phase == PHASE_SYNC)
		snprintf(c->text, sizeof(c->text), "agreeing on a view; waiting for %s", names);
	else if (c->phase == PHASE_LOADING)
		snprintf(c->text, sizeof(c->text), "synchronising the state; waiting for %s", names);
	else if (s->waiting_for)
		describe_joining(c, s->waiting_for, names, mono_ms);
	else if (s->slow)
		snprintf(c->text, sizeof(c->text), "waiting for the disk or a sign of life of %s", names);
	else if (doubts_too_soon(c))
		snprintf(c->text, sizeof(c->text),
			 "quorum_grace is too short: corosync takes up to %u ms to notice a loss, so that of one node would make "
			 "all stop their roles; it must be %u ms at least",
			 c->config.detection_ms, c->config.detection_ms + core_cluster(c)->alive_ms);
}

void core_status(struct core *c, uint64_t mono_ms, struct core_status *ret)
{
	*ret = (struct core_status){
		.phase = c->phase,
		.quorate = core_active(c),
		.witness_held = c->view.witness_held,
		.view = c->view.number,
		.members = c->view.members,
		.waiting_for = waiting_for(c),
		.slow = slow_members(c, mono_ms),
		.tag = c->state->tag,
		.durable = { c->state->tag.epoch, c->ledger.committed },
		.digest = c->state->digest,
		.promised = c->promised,
		.pending = requests_count(c),
		.runs = c->local.n_runs,
		.stop_left_ms = local_stop_left_ms(c),
	};
	describe(c, ret, mono_ms);
	ret->text = c->text;
}
