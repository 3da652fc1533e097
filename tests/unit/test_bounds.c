/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every limit of bounds.h that an administrator can reach: up to it all works, one more is refused and changes nothing. */
#include "tests/unit/core_rig.h"

static struct state state, copy;
static struct change_op op, scratch;
static uint8_t encoded[8 * FRAME_MAX];
static struct writer ops;
static struct change_outcome out;

static void begin(void) { ops = writer_of(encoded, sizeof(encoded)); }

static void add(uint8_t verb, uint32_t kind, const char *name)
{
	memset(&op, 0, offsetof(struct change_op, text));
	op.verb = verb;
	op.kind = (uint8_t)kind;
	snprintf(op.name, sizeof(op.name), "%s", name);
}

static void field(const char *name, const char *value)
{
	op.fields[op.n_fields].number = object_field(object_type(op.kind), name)->number;
	op.fields[op.n_fields].how = EDIT_SET;
	op.fields[op.n_fields++].value = value;
}

static void end(void) { change_op_encode(&ops, &op); }

/* Applies what was added; a refusal leaves everything as it was. */
static enum refusal apply(void)
{
	uint64_t before = state.digest;

	REQUIRE(!ops.bad);
	if (!change_apply(&state, NODE_BIT(1), encoded, writer_len(&ops), &scratch, &out)) {
		CHECK(out.detail[0]);
		CHECK_EQ(state.digest, before);
	}
	state_commit(&state, NULL);
	return out.refusal;
}

static enum refusal one(uint8_t verb, uint32_t kind, const char *name, const char *key, const char *value)
{
	begin();
	add(verb, kind, name);
	if (key)
		field(key, value);
	end();
	return apply();
}

static char *numbered(const char *prefix, uint32_t n)
{
	static char name[NAME_SIZE];

	snprintf(name, sizeof(name), "%s%u", prefix, n);
	return name;
}

static void set_up(void)
{
	state_create(&state, KIND_CLUSTER, "c", 1);
	((struct cluster *)state_edit(&state, KIND_CLUSTER, 1))->level = 1;
	for (uint32_t id = 1; id <= NODE_MAX; id++)
		CHECK_EQ(state_create(&state, KIND_NODE, numbered("n", id), id), id);
	CHECK_EQ(state_create(&state, KIND_NODE, "n64", NODE_MAX + 1), 0);
	CHECK_EQ(state_create(&state, KIND_NODE, "n64", 0), 0);
	state_commit(&state, NULL);
}

static void names(void)
{
	char longest[NAME_SIZE + 1];

	memset(longest, 'a', NAME_SIZE - 1);
	longest[NAME_SIZE - 1] = '\0';
	CHECK_EQ(one(VERB_CREATE, KIND_ROLE, longest, NULL, NULL), REFUSED_NOT);
	CHECK_EQ(state_find(&state, KIND_ROLE, longest), 1);
	CHECK_EQ(one(VERB_CREATE, KIND_ROLE, longest, NULL, NULL), REFUSED_EXISTS);
	begin();
	add(VERB_RENAME, KIND_ROLE, longest);
	snprintf(op.arg, sizeof(op.arg), "r1");
	end();
	CHECK_EQ(apply(), REFUSED_NOT);
}

static void roles(void)
{
	for (uint32_t n = 2; n <= ROLE_MAX;) {
		begin();
		for (uint32_t i = 0; i < CHANGE_OPS_MAX && n <= ROLE_MAX; i++, n++) {
			add(VERB_CREATE, KIND_ROLE, numbered("r", n));
			field("possible", "n1,n2");
			field("preferred", "n2");
			end();
		}
		REQUIRE(apply() == REFUSED_NOT);
	}
	CHECK_EQ(state.count[KIND_ROLE], ROLE_MAX);
	CHECK_EQ(one(VERB_CREATE, KIND_ROLE, "more", NULL, NULL), REFUSED_FULL);
	begin();
	for (uint32_t i = 0; i <= CHANGE_OPS_MAX; i++) {
		add(VERB_SET, KIND_ROLE, "r1");
		field("threshold", "3");
		end();
	}
	CHECK_EQ(apply(), REFUSED_FULL);
}

static void resources(void)
{
	for (uint32_t n = 0; n < RESOURCE_MAX;) {
		begin();
		for (uint32_t i = 0; i < 2 * ROLE_RESOURCE_MAX; i++, n++) {
			char role[NAME_SIZE];

			snprintf(role, sizeof(role), "r%u", n / ROLE_RESOURCE_MAX + 1);
			add(VERB_CREATE, KIND_RESOURCE, numbered("x", n + 1));
			field("role", role);
			field("agent", "ocf:pacemaker:Dummy");
			end();
		}
		REQUIRE(apply() == REFUSED_NOT);
		if (n == 2 * ROLE_RESOURCE_MAX) {
			begin();
			add(VERB_CREATE, KIND_RESOURCE, "more");
			field("role", "r1");
			field("agent", "ocf:pacemaker:Dummy");
			end();
			CHECK_EQ(apply(), REFUSED_FULL); /* one too many in its role */
		}
	}
	begin();
	add(VERB_CREATE, KIND_RESOURCE, "more");
	field("role", "r8000");
	field("agent", "ocf:pacemaker:Dummy");
	end();
	CHECK_EQ(apply(), REFUSED_FULL);
}

/* "PREFIX1,PREFIX2,…" */
static const char *list(const char *prefix, uint32_t first, uint32_t n)
{
	static char text[PARAMS_SIZE];
	size_t at = 0;

	for (uint32_t i = 0; i < n; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s%u", i ? "," : "", prefix, first + i);
	REQUIRE(at < sizeof(text));
	return text;
}

static void lists(void)
{
	static char params[2 * PARAMS_SIZE] = "a=";

	memset(params + 2, 'v', sizeof(params) - 3);
	CHECK_EQ(one(VERB_CREATE, KIND_RULE, "u1", "roles", list("r", 1, ROLELIST_MAX)), REFUSED_NOT);
	CHECK_EQ(one(VERB_CREATE, KIND_RULE, "u2", "roles", list("r", 1, ROLELIST_MAX + 1)), REFUSED_INVALID);
	CHECK_EQ(one(VERB_CREATE, KIND_SET, "s0", "roles", list("r", 1, ROLELIST_MAX + 1)), REFUSED_INVALID);
	params[PARAMS_SIZE - 2] = '\0';
	CHECK_EQ(one(VERB_SET, KIND_RESOURCE, "x1", "params", params), REFUSED_NOT);
	for (uint32_t n = 2; n <= RULE_MAX; n++)
		REQUIRE(one(VERB_CREATE, KIND_RULE, numbered("u", n), "roles", "r1,r2") == REFUSED_NOT);
	CHECK_EQ(one(VERB_CREATE, KIND_RULE, "more", "roles", "r1,r2"), REFUSED_FULL);
	for (uint32_t n = 1; n <= SET_MAX; n++)
		REQUIRE(one(VERB_CREATE, KIND_SET, numbered("s", n), NULL, NULL) == REFUSED_NOT);
	CHECK_EQ(one(VERB_CREATE, KIND_SET, "more", NULL, NULL), REFUSED_FULL);
	CHECK_EQ(one(VERB_SET, KIND_SET, "s1", "after", list("s", 2, SETLIST_MAX)), REFUSED_NOT);
	CHECK_EQ(one(VERB_SET, KIND_SET, "s1", "after", list("s", 2, SETLIST_MAX + 1)), REFUSED_INVALID);
	for (uint32_t n = 1; n <= NETWORK_MAX; n++)
		REQUIRE(one(VERB_CREATE, KIND_NETWORK, numbered("w", n), NULL, NULL) == REFUSED_NOT);
	CHECK_EQ(one(VERB_CREATE, KIND_NETWORK, "more", NULL, NULL), REFUSED_FULL);
	CHECK_EQ(state.count[KIND_EVENT], EVENT_MAX);
}

/* The whole state by snapshot parts, as to a member that is behind. */
static void snapshot(void)
{
	static uint8_t part[PAYLOAD_MAX];
	uint64_t cursor = 0;

	for (bool last = false; !last;) {
		struct writer w = writer_of(part, sizeof(part));
		struct reader r;

		last = state_encode_next(&state, &cursor, &w);
		r = reader_of(part, writer_len(&w));
		while (reader_left(&r))
			REQUIRE(!state_put_encoded(&copy, &r));
	}
	state_reindex(&copy);
	CHECK_EQ(copy.digest, state.digest);
	CHECK_EQ(state_digest_recompute(&state), state.digest);
	CHECK_EQ(copy.count[KIND_RESOURCE], RESOURCE_MAX);
}

/* A change whose before-images do not fit is refused whole; in parts it is made. Evicting a node that all roles name fits. */
static void large_changes(void)
{
	for (uint32_t n = 60; n; n = n == 60 ? 20 : 0) {
		begin();
		for (uint32_t i = 1; i <= n; i++) {
			add(VERB_DELETE, KIND_ROLE, numbered("r", 100 + i));
			op.force = 1;
			end();
		}
		CHECK_EQ(apply(), n == 60 ? REFUSED_FULL : REFUSED_NOT);
	}
	CHECK_EQ(one(VERB_NODE_EVICT, KIND_NODE, "n2", NULL, NULL), REFUSED_NOT);
	CHECK_EQ(state.roles[ROLE_MAX].preferred[0], 0);
	CHECK_EQ(state.digest, state_digest_recompute(&state));
}

/* A full engine run over everything at once. */
static void engine(void)
{
	static struct engine e;

	for (uint32_t id = 1; id <= NODE_MAX; id++)
		if (state_node(&state, id))
			((struct node *)state_edit(&state, KIND_NODE, id))->state = NODE_ONLINE;
	engine_touch_all(&e, &state);
	engine_run(&e, &state);
	state_commit(&state, NULL);
	CHECK_EQ(state.roles[ROLE_MAX].owner, 1);
	CHECK_EQ(state.load[1].ops, state.cluster.node_ops_max);
	CHECK_EQ(state.digest, state_digest_recompute(&state));
}

static int answers_of(uint32_t first, uint32_t last, enum refusal refusal)
{
	int n = 0;

	for (uint32_t id = first; id <= last; id++)
		n += rig.nodes[1].answers[id] == (int)refusal;
	return n;
}

static void ask_large(uint32_t id, size_t len)
{
	struct core_event e = { .kind = EVENT_REQUEST, .request = { id, encoded, len } };

	rig.nodes[1].answers[id] = -1;
	rig_step(1, &e);
}

/* Requests held while no view is active: their number and their bytes are bounded, and each is answered once. */
static void requests(void)
{
	rig_up(1);
	memset(encoded, 0xff, sizeof(encoded));
	ask_large(1, FRAME_MAX);
	CHECK_EQ(rig.nodes[1].answers[1], REFUSED_FULL);
	for (uint32_t round = 0; round < 3; round++) {
		for (uint32_t id = 1; id <= 200; id++)
			ask_large(id, FRAME_MAX - 257 - id);
		CHECK(answers_of(1, 200, REFUSED_BUSY) > 100);
		rig_settle();
		CHECK_EQ(answers_of(1, 200, REFUSED_BUSY) + answers_of(1, 200, REFUSED_BAD_REQUEST), 200);
		for (uint32_t id = 1; id <= PENDING_MAX + 9; id++)
			ask_large(id, 5);
		CHECK_EQ(answers_of(1, PENDING_MAX + 9, REFUSED_BUSY), 10);
		rig_settle();
		CHECK_EQ(answers_of(1, PENDING_MAX + 9, REFUSED_BAD_REQUEST), PENDING_MAX - 1);
	}
	rig_down();
}

int main(void)
{
	set_up();
	names();
	roles();
	resources();
	lists();
	snapshot();
	large_changes();
	engine();
	requests();
	return check_result();
}
