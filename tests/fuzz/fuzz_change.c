/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Changes applied to a small cluster: the digest stays that of the objects, the indexes those that a rebuild gives, a
 * refused change leaves every object as it was and says why; an accepted one is acted on by the role engine.
 */
#include <string.h>

#include "clusterd/core/change.h"
#include "clusterd/core/role.h"
#include "tests/fuzz/fuzz_require.h"

#define SNAPSHOT_MAX (256 * 1024)
#define MEMBERS (NODE_BIT(1) | NODE_BIT(2) | NODE_BIT(3))

static struct state state;
static struct change_op scratch;

static void add_resource(const char *name, uint32_t role, enum resource_state resource_state)
{
	uint32_t id = state_create(&state, KIND_RESOURCE, name, 0);
	struct resource *r = state_edit(&state, KIND_RESOURCE, id);

	memcpy(r->agent, "ocf:heartbeat:Dummy", 20);
	r->state = resource_state;
	state_set_role_of(&state, id, role);
}

static void add_role(const char *name, uint32_t owner, enum role_state role_state)
{
	uint32_t id = state_create(&state, KIND_ROLE, name, 0);

	((struct role *)state_edit(&state, KIND_ROLE, id))->state = role_state;
	state_set_owner(&state, id, owner);
}

/* Nodes a to d: three online, d lost; roles r (online), s (failed), t (offline), u (on the lost node). */
static void set_up(void)
{
	static const char *const nodes[] = { "a", "b", "c", "d" };
	struct rule *rule;

	state_clear(&state);
	state_create(&state, KIND_CLUSTER, "x", 1);
	for (uint32_t id = 1; id <= 4; id++) {
		struct node *n;

		state_create(&state, KIND_NODE, nodes[id - 1], id);
		n = state_edit(&state, KIND_NODE, id);
		n->state = id < 4 ? NODE_ONLINE : NODE_LOST;
		n->vote = id < 4;
		n->level = 2;
		n->memory_mb = 1000;
	}
	add_role("r", 1, ROLE_ONLINE);
	add_role("s", 0, ROLE_FAILED);
	add_role("t", 0, ROLE_OFFLINE);
	add_role("u", 4, ROLE_PENDING);
	add_resource("i", 1, RES_STARTED);
	add_resource("j", 1, RES_STARTED);
	add_resource("k", 2, RES_STOPPED);
	add_resource("l", 4, RES_UNKNOWN);
	((struct resource *)state_edit(&state, KIND_RESOURCE, 2))->depends[0][0] = 1;
	state_create(&state, KIND_SET, "e", 0);
	((struct set *)state_edit(&state, KIND_SET, 1))->roles[0] = 1;
	state_create(&state, KIND_RULE, "f", 0);
	rule = state_edit(&state, KIND_RULE, 1);
	rule->roles[0] = 1;
	rule->roles[1] = 2;
	state_rules_changed(&state);
	state_commit(&state, NULL);
}

static size_t snapshot(uint8_t *out)
{
	struct writer w = writer_of(out, SNAPSHOT_MAX);
	uint64_t cursor = 0;

	FUZZ_REQUIRE(state_encode_next(&state, &cursor, &w));
	return writer_len(&w);
}

/* What was kept up step by step is what a rebuild from the objects gives. */
static void check_indexes(void)
{
	static struct node_load load[NODE_MAX + 1];
	static uint16_t first[ROLE_MAX + 1], next[RESOURCE_MAX + 1];
	uint32_t count[KIND_LAST + 1];

	memcpy(load, state.load, sizeof(load));
	memcpy(first, state.role_resource, sizeof(first));
	memcpy(next, state.resource_next, sizeof(next));
	memcpy(count, state.count, sizeof(count));
	for (uint32_t kind = KIND_CLUSTER; kind < KIND_EVENT; kind++)
		for (uint32_t id = 1; id <= state.high[kind]; id++)
			FUZZ_REQUIRE(!state_get(&state, kind, id) ||
				     state_find(&state, kind, state_name(&state, kind, id)) == id);
	state_reindex(&state);
	FUZZ_REQUIRE(!memcmp(load, state.load, sizeof(load)));
	FUZZ_REQUIRE(!memcmp(first, state.role_resource, sizeof(first)));
	FUZZ_REQUIRE(!memcmp(next, state.resource_next, sizeof(next)));
	FUZZ_REQUIRE(!memcmp(count, state.count, sizeof(count)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t before[SNAPSHOT_MAX], after[SNAPSHOT_MAX];
	struct change_outcome out;
	struct engine engine;
	uint64_t digest;
	size_t n;
	bool done;

	if (size > FRAME_MAX)
		return 0;
	set_up();
	digest = state.digest;
	n = snapshot(before);
	done = change_apply(&state, MEMBERS, data, size, &scratch, &out);
	FUZZ_REQUIRE(done == (out.refusal == REFUSED_NOT));
	FUZZ_REQUIRE(done || (out.detail[0] && strnlen(out.detail, sizeof(out.detail)) < sizeof(out.detail)));
	state_commit(&state, NULL);
	FUZZ_REQUIRE(state.digest == state_digest_recompute(&state));
	if (done) {
		/* What was asked is acted on, whatever it was. */
		engine_init(&engine);
		engine_touch_all(&engine, &state);
		engine_run(&engine, &state);
		state_commit(&state, NULL);
		FUZZ_REQUIRE(state.digest == state_digest_recompute(&state));
	} else {
		FUZZ_REQUIRE(snapshot(after) == n && !memcmp(before, after, n));
		FUZZ_REQUIRE(state.digest == digest);
	}
	check_indexes();
	return 0;
}
