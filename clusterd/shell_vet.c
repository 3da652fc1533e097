/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Vetting: before a change goes to the cluster, the agents of the resources it touches are asked whether they know the
 * parameters, as the whole change would leave them. Several changes are vetted at once; an agent that hangs holds up its own.
 *
 *   vet_change() -> resources gathered --none--> submitted
 *                         '--each--> agents_validate() -> refused: answered with the agent's words
 *                                                      -> good: next one; after the last: submitted
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/core/state.h"
#include "clusterd/log.h"
#include "clusterd/shell_private.h"
#include "proto/object_text.h"

#define META_TIMEOUT_MS 20000

struct candidate {
	struct resource resource;
	bool touched; /* agent or parameters set, or all of it new */
	bool skip;    /* forced, or refused anyway with better words than an agent's */
};

struct vetting {
	struct vetting *next, **prev;
	struct shell *shell;
	uint32_t conn;
	uint8_t *ops;
	size_t len;
	struct candidate *candidates;
	uint32_t n, at; /* at: the next one to ask about */
};

static void vetting_free(struct vetting *v)
{
	*v->prev = v->next;
	if (v->next)
		v->next->prev = v->prev;
	v->shell->n_vettings--;
	free(v->candidates);
	free(v->ops);
	free(v);
}

static void refuse(struct vetting *v, enum refusal refusal, const char *detail)
{
	shell_control_answer(v->shell, v->conn, refusal, detail);
	vetting_free(v);
}

/* The resource of that name as the operations before have left it. NULL: out of memory. */
static struct candidate *candidate_of(struct vetting *v, const char *name)
{
	const struct state *st = core_state(v->shell->core);
	const struct resource *old;
	struct candidate *c;

	for (uint32_t i = 0; i < v->n; i++)
		if (!strcmp(v->candidates[i].resource.name, name))
			return &v->candidates[i];
	if (v->n % 16 == 0) {
		c = realloc(v->candidates, (v->n + 16) * sizeof(*c));
		if (!c)
			return NULL;
		v->candidates = c;
	}
	c = &v->candidates[v->n++];
	memset(c, 0, sizeof(*c));
	old = state_resource(st, state_find(st, KIND_RESOURCE, name));
	if (old)
		c->resource = *old;
	else
		object_init(object_type(KIND_RESOURCE), &c->resource, 1);
	snprintf(c->resource.name, NAME_SIZE, "%s", name);
	return c;
}

static void set_fields(struct vetting *v, struct candidate *c, const struct change_op *op)
{
	const struct object_type *type = object_type(KIND_RESOURCE);
	struct name_resolver names = state_resolver(core_state(v->shell->core));
	char error[TEXT_SIZE];

	for (uint32_t i = 0; i < op->n_fields; i++) {
		const struct field *f = object_field_by_number(type, op->fields[i].number);

		if (!f || (f->offset != offsetof(struct resource, params) && f->offset != offsetof(struct resource, agent)))
			continue;
		c->touched = true;
		if (field_parse(type, f, &c->resource, op->fields[i].how, op->fields[i].value, &names, error))
			c->skip = true; /* the change itself will be refused for it, with the right words */
	}
}

static int gather_op(struct vetting *v, const struct change_op *op)
{
	struct candidate *c;

	if (op->kind != KIND_RESOURCE || (op->verb != VERB_CREATE && op->verb != VERB_SET && op->verb != VERB_DELETE &&
					  op->verb != VERB_RENAME))
		return 0;
	c = candidate_of(v, op->name);
	if (!c)
		return -ENOMEM;
	if (op->verb == VERB_RENAME) {
		snprintf(c->resource.name, NAME_SIZE, "%s", op->arg);
		return 0;
	}
	if (op->verb != VERB_SET) {
		object_init(object_type(KIND_RESOURCE), &c->resource, 1);
		snprintf(c->resource.name, NAME_SIZE, "%s", op->name);
		c->touched = op->verb == VERB_CREATE;
	}
	c->skip = c->skip || op->force;
	set_fields(v, c, op);
	return 0;
}

static int gather(struct vetting *v)
{
	struct reader r = reader_of(v->ops, v->len);
	int ret = 0;

	for (uint32_t i = 0; !ret && reader_left(&r) && i < CHANGE_OPS_MAX; i++) {
		ret = change_op_decode(&r, &v->shell->op);
		if (!ret)
			ret = gather_op(v, &v->shell->op);
	}
	return ret;
}

static void ask_next(struct vetting *v);

static void on_vetted(void *user, const struct agent_validation *validation)
{
	struct vetting *v = user;
	char text[AGENT_REPORT_SIZE + TEXT_SIZE];

	if (!validation->error) {
		ask_next(v);
		return;
	}
	snprintf(text, sizeof(text), "%s (--force skips this check, which asks the agents of node %s)", validation->text,
		 v->shell->node_name);
	refuse(v, REFUSED_AGENT, text);
}

static void ask_next(struct vetting *v)
{
	struct shell *s = v->shell;

	while (v->at < v->n) {
		const struct candidate *c = &v->candidates[v->at++];
		struct agent_request rq = { .action = AGENT_VALIDATE_ALL, .resource = c->resource.name, .agent = c->resource.agent,
					    .params = c->resource.params, .timeout_ms = META_TIMEOUT_MS };
		const char *fault;
		int ret;

		if (!c->touched || c->skip || !c->resource.agent[0])
			continue;
		ret = agents_validate(s->agents, &rq, false, on_vetted, v);
		if (!ret)
			return;
		fault = agent_request_fault(&rq);
		if (fault)
			refuse(v, REFUSED_AGENT, fault);
		else
			refuse(v, REFUSED_BUSY, "too many agents are being asked on this node; try again");
		return;
	}
	shell_control_submit(s, v->conn, v->ops, v->len);
	vetting_free(v);
}

void shell_vet_change(struct shell *s, uint32_t conn, const void *ops, size_t len)
{
	struct vetting *v = s->n_vettings < SHELL_CHANGES_MAX ? calloc(1, sizeof(*v)) : NULL;
	int ret;

	if (v)
		v->ops = malloc(len ? len : 1);
	if (!v || !v->ops) {
		free(v);
		shell_control_answer(s, conn, REFUSED_BUSY, "too many changes are waiting on this node; try again");
		return;
	}
	v->next = s->vettings;
	v->prev = &s->vettings;
	if (v->next)
		v->next->prev = &v->next;
	s->vettings = v;
	s->n_vettings++;
	v->shell = s;
	v->conn = conn;
	v->len = len;
	memcpy(v->ops, ops, len);
	ret = gather(v);
	if (!ret)
		ask_next(v);
	else if (ret == -ENOMEM)
		refuse(v, REFUSED_BUSY, "not enough memory to look at the change; try again");
	else
		refuse(v, REFUSED_BAD_REQUEST, refusal_text(REFUSED_BAD_REQUEST));
}

void shell_vet_close(struct shell *s)
{
	while (s->vettings)
		refuse(s->vettings, REFUSED_BUSY, "clusterd on this node is ending; nothing was changed");
}
