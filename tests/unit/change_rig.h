/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stories of changes: a list of steps on one state; a step is written as people would say it: "VERB KIND NAME [>ARG] [force]
 * [field=value] [field+=value] [field-=value] [; next operation]".
 */
#ifndef TESTS_UNIT_CHANGE_RIG_H
#define TESTS_UNIT_CHANGE_RIG_H

#include "clusterd/core/change.h"
#include "clusterd/core/reason.h"
#include "proto/object_text.h"

#include "tests/lib/check.h"

struct step {
	const char *ops;
	enum refusal refusal;
	const char *detail; /* part of it; NULL: do not look */
};

static struct state state;
static struct change_op op, scratch;
static uint8_t encoded[FRAME_MAX];
static nodeset_t members;

static uint8_t verb_number(const char *name)
{
	for (uint8_t v = 1; v < 255; v++)
		if (!strcmp(change_verb_name(v), name))
			return v;
	fprintf(stderr, "no verb '%s'\n", name);
	exit(1);
}

static void add_field(const char *word)
{
	static char values[OP_FIELDS_MAX][OP_VALUE_MAX];
	const struct object_type *type = object_type(op.kind);
	size_t n = strcspn(word, "=");
	const struct field *f;
	char name[NAME_SIZE];
	uint8_t how = EDIT_SET;

	REQUIRE(word[n] && op.n_fields < OP_FIELDS_MAX);
	snprintf(values[op.n_fields], OP_VALUE_MAX, "%s", word + n + 1);
	if (word[n - 1] == '+' || word[n - 1] == '-')
		how = word[--n] == '+' ? EDIT_ADD : EDIT_REMOVE;
	snprintf(name, sizeof(name), "%.*s", (int)n, word);
	f = object_field(type, name);
	op.fields[op.n_fields].number = f ? f->number : 9999;
	op.fields[op.n_fields].how = how;
	op.fields[op.n_fields].value = values[op.n_fields];
	op.n_fields++;
}

static void encode_op(struct writer *w, char *text)
{
	char *save, *word = strtok_r(text, " ", &save);

	memset(&op, 0, sizeof(op));
	op.verb = verb_number(word);
	op.kind = object_type_by_name(strtok_r(NULL, " ", &save))->kind;
	word = strtok_r(NULL, " ", &save);
	snprintf(op.name, sizeof(op.name), "%s", word);
	while ((word = strtok_r(NULL, " ", &save))) {
		if (*word == '>')
			snprintf(op.arg, sizeof(op.arg), "%s", word + 1);
		else if (!strcmp(word, "force"))
			op.force = 1;
		else
			add_field(word);
	}
	change_op_encode(w, &op);
	REQUIRE(!w->bad);
}

static bool apply(const char *ops, struct change_outcome *out)
{
	struct writer w = writer_of(encoded, sizeof(encoded));
	char text[4096], *save, *one;
	bool done;

	snprintf(text, sizeof(text), "%s", ops);
	for (one = strtok_r(text, ";", &save); one; one = strtok_r(NULL, ";", &save))
		encode_op(&w, one);
	done = change_apply(&state, members, encoded, writer_len(&w), &scratch, out);
	state_commit(&state, NULL);
	return done;
}

static void story(const struct step *steps, size_t n)
{
	struct change_outcome out;
	uint64_t before;

	for (size_t i = 0; i < n; i++) {
		before = state.digest;
		CHECK_EQ(apply(steps[i].ops, &out), steps[i].refusal == REFUSED_NOT);
		if (!CHECK_STR(refusal_name(out.refusal), refusal_name(steps[i].refusal)) ||
		    (steps[i].detail && !CHECK_CONTAINS(out.detail, steps[i].detail)))
			fprintf(stderr, "\tstep \"%s\": %s\n", steps[i].ops, out.detail);
		if (out.refusal)
			CHECK_EQ(state.digest, before);
		CHECK_EQ(state.digest, state_digest_recompute(&state));
	}
}

#define STORY(...) \
	story((const struct step[]){ __VA_ARGS__ }, sizeof((const struct step[]){ __VA_ARGS__ }) / sizeof(struct step))

static void add_node(uint32_t id)
{
	char name[8];
	struct node *n;

	snprintf(name, sizeof(name), "n%u", id);
	REQUIRE(state_create(&state, KIND_NODE, name, id) == id);
	n = state_edit(&state, KIND_NODE, id);
	n->state = NODE_ONLINE;
	n->vote = 1;
	n->level = 1;
	n->incarnation = 1000 + id;
	members |= NODE_BIT(id);
}

/* A cluster of n nodes, all online; votes as dynamic quorum leaves them. */
static void set_up(uint32_t n_nodes)
{
	state_clear(&state);
	members = 0;
	REQUIRE(state_create(&state, KIND_CLUSTER, "test", 1) == 1);
	for (uint32_t id = 1; id <= n_nodes; id++)
		add_node(id);
	if (n_nodes > 1 && n_nodes % 2 == 0)
		((struct node *)state_edit(&state, KIND_NODE, n_nodes))->vote = 0;
	state_commit(&state, NULL);
}

static const struct role *role(const char *name)
{
	return state_role(&state, state_find(&state, KIND_ROLE, name));
}
static const struct resource *resource(const char *name)
{
	return state_resource(&state, state_find(&state, KIND_RESOURCE, name));
}

/* The role runs on the node, all its resources too. */
static void bring_online(const char *name, uint32_t node)
{
	uint32_t id = state_find(&state, KIND_ROLE, name);

	state_set_owner(&state, id, node);
	((struct role *)state_edit(&state, KIND_ROLE, id))->state = ROLE_ONLINE;
	for (uint32_t res = state.role_resource[id]; res; res = state.resource_next[res])
		((struct resource *)state_edit(&state, KIND_RESOURCE, res))->state = RES_STARTED;
	state_commit(&state, NULL);
}

#endif
