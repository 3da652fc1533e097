/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One core among peers that say anything at all: view changes, frames of two other nodes with checksums that are right,
 * requests, results, time. Its own proposals come back in order; its frames can be echoed as a peer's, which is how a
 * fuzzer gets peers that agree. At the end the digest is that of the objects. Input: records of a kind and its
 * arguments.
 */
#include <string.h>
#include <sys/mman.h>

#include "clusterd/core/core.h"
#include "clusterd/core/state.h"
#include "tests/fuzz/fuzz_require.h"
#include "tests/fuzz/fuzz_seal.h"

#define QUEUE_MAX 256
#define STEPS_MAX 2000

enum record {
	R_CONFCHG,
	R_DELIVER,
	R_PEER,
	R_TICK,
	R_PERSISTED,
	R_REQUEST,
	R_RESULT,
	R_WITNESS,
	R_RING_LOST,
	R_INVENTORY,
	R_FORCE,
	R_FENCE,
	R_RAW,
	R_ECHO,
	R_MAX
};

struct frame {
	uint32_t len;
	uint8_t data[FRAME_MAX];
};

static struct {
	struct core *core;
	uint64_t mono_ms, view, cookie, requests;
	uint64_t cluster_id, frame_view; /* as in the core's newest frame */
	struct frame queue[QUEUE_MAX];
	uint32_t head, tail, steps;
	uint64_t op;
	uint32_t op_resource, op_action;
} rig;

static void act(void *user, const struct core_action *a)
{
	struct frame *f;

	(void)user;
	if (a->kind == ACTION_PERSIST_COMMIT) {
		rig.cookie = a->commit.cookie;
	} else if (a->kind == ACTION_AGENT_RUN) {
		rig.op = a->agent.op;
		rig.op_resource = a->agent.resource_id;
		rig.op_action = a->agent.action;
	} else if (a->kind == ACTION_PROPOSE && rig.tail - rig.head < QUEUE_MAX) {
		f = &rig.queue[rig.tail++ % QUEUE_MAX];
		FUZZ_REQUIRE(a->frame.len <= FRAME_MAX);
		f->len = (uint32_t)a->frame.len;
		memcpy(f->data, a->frame.data, f->len);
	}
}

static void step(struct core_event *e)
{
	const struct core_sink sink = { act, NULL };

	if (rig.steps++ > STEPS_MAX)
		return;
	e->mono_ms = rig.mono_ms;
	e->wall_ms = 1767182400000 + rig.mono_ms;
	core_step(rig.core, e, &sink);
}

static void ordered(uint32_t sender, const void *data, size_t len)
{
	struct core_event e = { .kind = EVENT_ORDERED, .ordered = { sender, data, len } };

	step(&e);
}

static void deliver_own(uint32_t n)
{
	struct message m;

	for (; n && rig.head != rig.tail; n--) {
		struct frame *f = &rig.queue[rig.head++ % QUEUE_MAX];

		FUZZ_REQUIRE(message_decode(f->data, f->len, &m) == FRAME_OK);
		rig.cluster_id = m.cluster_id;
		rig.frame_view = m.view;
		ordered(1, f->data, f->len);
	}
}

/* The frame that is next in the queue, as if a peer had sent it. */
static void echo(uint32_t sender)
{
	static uint8_t out[FRAME_MAX];
	struct message m;
	int n;

	if (rig.head == rig.tail ||
	    message_decode(rig.queue[rig.head % QUEUE_MAX].data, rig.queue[rig.head % QUEUE_MAX].len, &m))
		return;
	if (m.type == MSG_HELLO)
		m.hello.node_name[1] = (char)('0' + sender);
	n = message_encode(&m, out, sizeof(out));
	FUZZ_REQUIRE(n > 0);
	ordered(sender, out, (size_t)n);
}

/* Any body under a header that is right; the body's message is what a decoder makes of it. */
static void peer_frame(uint32_t sender, uint16_t type, const uint8_t *body, size_t len)
{
	static uint8_t raw[FRAME_MAX];
	struct message m = { .type = CTL_CHANGE,
			     .cluster_id = rig.cluster_id,
			     .view = rig.frame_view,
			     .ctl_change.ops = { body, len } };
	struct writer w;
	int n = message_encode(&m, raw, sizeof(raw));

	if (n < 0)
		return;
	w = writer_of(raw + 6, 2);
	put_u16(&w, type);
	fuzz_seal(raw, (size_t)n);
	ordered(sender, raw, (size_t)n);
}

static void agent_result(uint8_t rc, uint8_t status)
{
	struct core_event e = { .kind = EVENT_AGENT_RESULT };

	e.agent.op = rig.op;
	e.agent.resource = rig.op_resource;
	e.agent.action = (enum agent_action)rig.op_action;
	e.agent.rc = rc;
	e.agent.status = (enum agent_status)(status % (AGENT_CANCELLED + 1));
	e.agent.output = "said";
	step(&e);
}

static void record(struct reader *r)
{
	struct core_event e = { .kind = EVENT_TICK };
	enum record kind = get_u8(r) % R_MAX;
	uint8_t a = get_u8(r);
	uint32_t sender = 2 + (a & 1);
	struct inventory_item item = { 1, RES_STARTED };
	const uint8_t *body;
	size_t len;

	switch (kind) {
	case R_CONFCHG:
		e.kind = EVENT_CONFCHG;
		e.confchg.view = ++rig.view;
		e.confchg.members = (a & 0xe) | NODE_BIT(1);
		e.confchg.procdown = a >> 4 & 0xc;
		break;
	case R_DELIVER:
		deliver_own(a);
		return;
	case R_PEER:
	case R_REQUEST:
	case R_RAW:
		len = get_u16(r);
		body = get_bytes(r, len <= reader_left(r) ? len : (len = reader_left(r)));
		if (kind == R_PEER && len)
			peer_frame(sender, a >> 1 & 0x1f, body, len);
		if (kind == R_RAW)
			ordered(sender, body, len);
		if (kind != R_REQUEST)
			return;
		e.kind = EVENT_REQUEST;
		e.request.id = ++rig.requests;
		e.request.ops = body ? (const void *)body : "";
		e.request.len = len;
		break;
	case R_TICK:
		rig.mono_ms += (uint64_t)a * CORE_TICK_MS;
		break;
	case R_PERSISTED:
		e.kind = EVENT_PERSISTED;
		e.persisted.cookie = rig.cookie - (a & 3 && rig.cookie > 3 ? a & 3 : 0);
		break;
	case R_RESULT:
		agent_result(a & 0xf, a >> 4);
		return;
	case R_WITNESS:
		e.kind = EVENT_WITNESS;
		e.witness.held = a & 1;
		break;
	case R_RING_LOST:
		e.kind = EVENT_RING_LOST;
		break;
	case R_INVENTORY:
		e.kind = EVENT_INVENTORY;
		e.inventory.items = &item;
		e.inventory.n = a & 1;
		break;
	case R_FORCE:
		e.kind = EVENT_FORCE;
		e.request.id = ++rig.requests;
		break;
	case R_FENCE:
		e.kind = EVENT_FENCE_RESULT;
		e.fence.node = sender;
		e.fence.incarnation = 1000;
		e.fence.confirmed = a & 2;
		e.fence.text = "";
		break;
	case R_ECHO:
		echo(sender);
		return;
	case R_MAX:
		return;
	}
	step(&e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct core_config config = { .self = 1,
				      .incarnation = 1000,
				      .boot_id = 7,
				      .cpu = 100,
				      .memory_mb = 1000,
				      .level_max = 1,
				      .node_name = "n1",
				      .cluster_name = "x" };
	struct reader r = reader_of(data, size);
	const struct state *s;
	uint8_t flags = get_u8(&r);
	void *memory;

	if (size < 4 || size > FRAME_MAX)
		return 0;
	/* Fresh zero pages: cheaper than clearing what the last input touched. */
	memory = mmap(NULL, core_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	FUZZ_REQUIRE(memory != MAP_FAILED);
	rig.mono_ms = 100000;
	rig.view = rig.cookie = rig.requests = rig.cluster_id = rig.frame_view = rig.op = 0;
	rig.head = rig.tail = rig.steps = rig.op_resource = rig.op_action = 0;
	config.configured = flags & 1 ? NODE_BIT(1) : NODE_BIT(1) | NODE_BIT(2) | NODE_BIT(3);
	config.watchdog_ms = flags & 2 ? 5000 : 0;
	rig.core = core_init(memory, &config);
	core_load_done(rig.core, (struct tag){ 0, 0 }, 0);
	while (reader_left(&r))
		record(&r);
	s = core_state(rig.core);
	FUZZ_REQUIRE(s->n_dirty || s->digest == state_digest_recompute(s));
	FUZZ_REQUIRE(!munmap(memory, core_size()));
	return 0;
}
