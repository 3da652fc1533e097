/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames and actions as lines of a trace. */
#include <inttypes.h>
#include <string.h>

#include "tests/sim/world.h"

static const char *tag_text(uint64_t epoch, uint64_t seq, char *out, size_t size)
{
	snprintf(out, size, "%" PRIu64 ".%" PRIu64, epoch, seq);
	return out;
}

const char *world_nodes_text(nodeset_t nodes, char *out, size_t size)
{
	size_t at = 0;

	out[0] = '\0';
	for (; nodes && at < size; nodes &= nodes - 1)
		at += (size_t)snprintf(out + at, size - at, "%sn%u", at ? " " : "", nodeset_first(nodes));
	return out;
}

const char *world_frame_text(const void *data, size_t len, char *out, size_t size)
{
	struct message m;
	char tag[48];
	enum frame_fault fault = message_decode(data, len, &m);

	if (fault != FRAME_OK) {
		snprintf(out, size, "bad frame: %s", frame_fault_text(fault));
		return out;
	}
	switch (m.type) {
	case MSG_HELLO:
		snprintf(out, size,
			 "hello view %" PRIx64 " at %s digest %016" PRIx64 " promised %" PRIu64 " votes %" PRIx64,
			 m.hello.view, tag_text(m.hello.epoch, m.hello.seq, tag, sizeof(tag)), m.hello.digest,
			 m.hello.promised, m.hello.votes);
		break;
	case MSG_SNAPSHOT:
		snprintf(out, size, "snapshot part %u%s of %s", m.snapshot.index, m.snapshot.last ? " (last)" : "",
			 tag_text(m.snapshot.epoch, m.snapshot.seq, tag, sizeof(tag)));
		break;
	case MSG_SYNCED:
		snprintf(out, size, "synced promised %" PRIu64, m.synced.promised);
		break;
	case MSG_EXCLUDE:
		snprintf(out, size, "exclude %" PRIx64, m.exclude.nodes);
		break;
	case MSG_RESULT:
		snprintf(out, size, "result of %s of resource %u: rc %u status %u",
			 enum_text(enum_values_agent_action, m.result.action), m.result.resource, m.result.rc,
			 m.result.status);
		break;
	case MSG_FENCED:
		snprintf(out, size, "fenced n%u, how %u", m.fenced.node, m.fenced.how);
		break;
	case MSG_DURABLE:
		snprintf(out, size, "durable %s", tag_text(m.durable.epoch, m.durable.seq, tag, sizeof(tag)));
		break;
	case MSG_VOTES:
		snprintf(out, size, "votes %" PRIx64 "+%u -> %" PRIx64 "+%u", m.votes.before, m.votes.witness_before,
			 m.votes.votes, m.votes.witness_vote);
		break;
	case MSG_WITNESS:
		snprintf(out, size, "witness %s", m.witness.held ? "held" : "lost");
		break;
	default:
		snprintf(out, size, "%s", message_name(m.type));
		break;
	}
	return out;
}

static void trace_agent(struct world *w, struct sim_node *n, const char *what, const struct core_action *a)
{
	world_trace(w, n, "%s%s resource %s (%u)", what,
		    a->kind == ACTION_AGENT_RUN ? enum_text(enum_values_agent_action, a->agent.action) : "",
		    a->agent.resource ? a->agent.resource->name : "?", a->agent.resource_id);
}

void world_node_action(struct world *w, struct sim_node *n, const struct core_action *a)
{
	char text[256];

	switch (a->kind) {
	case ACTION_PROPOSE:
		if (w->trace_all)
			world_trace(w, n, "  sends %s",
				    world_frame_text(a->frame.data, a->frame.len, text, sizeof(text)));
		break;
	case ACTION_REPLY:
		world_trace(w, n, "answers request %" PRIu64 ": %s at %" PRIu64 ".%" PRIu64 " %s", a->reply.id,
			    refusal_name(a->reply.refusal), a->reply.tag.epoch, a->reply.tag.seq,
			    a->reply.detail ? a->reply.detail : "");
		break;
	case ACTION_AGENT_RUN:
		trace_agent(w, n, "", a);
		break;
	case ACTION_AGENT_CANCEL:
		trace_agent(w, n, "cancels an operation of", a);
		break;
	case ACTION_FENCE:
		world_trace(w, n, "fences n%u", a->fence.node);
		break;
	case ACTION_KICK:
		world_trace(w, n, "ends the corosync of n%u", a->fence.node);
		break;
	case ACTION_VOTE:
		world_trace(w, n, "votes: %squorate", a->quorate ? "" : "not ");
		break;
	case ACTION_WITNESS_CLAIM:
		world_trace(w, n, "claims the witness");
		break;
	case ACTION_WITNESS_RELEASE:
		world_trace(w, n, "releases the witness");
		break;
	case ACTION_WATCHDOG:
		if (w->trace_all)
			world_trace(w, n, "  watchdog %s until %" PRIu64, a->watchdog.armed ? "armed" : "released",
				    a->watchdog.until_mono_ms);
		break;
	case ACTION_VOLUMES_END:
		world_trace(w, n, "ends its mounts");
		break;
	case ACTION_SELF_FENCE:
		world_trace(w, n, "resets itself: %s", a->text ? a->text : "");
		break;
	case ACTION_RESTART:
		world_trace(w, n, "starts clusterd anew: %s", a->text ? a->text : "");
		break;
	case ACTION_LEFT:
		world_trace(w, n, "has left");
		break;
	case ACTION_TRACE:
		world_trace(w, n, "log: %s", a->trace.text);
		break;
	default:
		break;
	}
}
