/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Vetting: before a change goes to the cluster, the agents of the resources it touches are asked whether they know the
 * parameters, as the whole change would leave them. Several changes are vetted at once, and several agents for each of
 * them; an agent that hangs holds up its own. The first that refuses decides.
 *
 *   vet_change() -> resources gathered --none--> submitted
 *                         '--SHELL_VET_PARALLEL at a time--> agents_validate() -> all good: submitted
 *                                -> one refused: answered with the agent's words, the others are not waited for
 *   "submitted": or, when the question was all that was wanted, answered
 *   the client left: forgotten, and what only it wanted to know is not asked any more
 *
 * The agent of a volume's owner also looks at the device, which every node must have: here it is looked at on this one.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/core/state.h"
#include "clusterd/core/volume_use.h"
#include "clusterd/log.h"
#include "clusterd/shell_private.h"
#include "proto/object_text.h"
#include "text.h"
#include "units.h"

struct candidate {
	struct resource resource;
	struct volume volume; /* whose owner the resource is; no name: of none */
	bool touched; /* agent or parameters set, or all of it new */
	bool skip;    /* forced, refused anyway with better words than an agent's, or asked about under another name */
};

/* A question that is under way. */
struct ask {
	struct vetting *vetting; /* NULL: free */
	const struct candidate *candidate;
};

struct vetting {
	struct vetting *next, **prev;
	struct shell *shell;
	uint32_t conn;
	bool submit;
	uint8_t *ops;
	size_t len;
	struct candidate *candidates;
	uint32_t n, at; /* at: the next one to ask about */
	struct ask asks[SHELL_VET_PARALLEL];
	uint32_t n_asks;
};

static void on_vetted(void *user, const struct agent_validation *validation);

static void vetting_free(struct vetting *v)
{
	for (size_t i = 0; i < ARRAY_SIZE(v->asks) && v->n_asks; i++)
		if (v->asks[i].vetting)
			agents_queries_cancel(v->shell->agents, on_vetted, &v->asks[i]);
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
	struct shell *s = v->shell;
	uint32_t conn = v->conn;

	vetting_free(v); /* first: a client that does not take the answer is gone, and its changes are forgotten */
	shell_control_answer(s, conn, refusal, detail);
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
	text_copy(c->resource.name, NAME_SIZE, name);
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

/* Fields that are parameters of its owner's agent. */
static bool is_owners(const struct field *f)
{
	return f->offset == offsetof(struct volume, device) || f->offset == offsetof(struct volume, port) ||
	       f->offset == offsetof(struct volume, recall_ms);
}

/* A volume's owner is made and set with it: its agent looks at the device. */
static int gather_volume(struct vetting *v, const struct change_op *op)
{
	const struct state *st = core_state(v->shell->core);
	const struct object_type *type = object_type(KIND_VOLUME);
	struct name_resolver names = state_resolver(st);
	const struct volume *old = state_volume(st, state_find(st, KIND_VOLUME, op->name));
	char name[2 * NAME_SIZE], error[TEXT_SIZE];
	struct candidate *c;

	snprintf(name, sizeof(name), VOLUME_ROLE_PREFIX "%s" VOLUME_OWNER_SUFFIX, op->name);
	if (strlen(name) >= NAME_SIZE || (op->verb == VERB_SET && !old))
		return 0; /* refused, or made by the same change and looked at already */
	c = candidate_of(v, name);
	if (!c)
		return -ENOMEM;
	if (op->verb == VERB_CREATE)
		object_init(type, &c->volume, 1);
	else if (!c->volume.name[0])
		c->volume = *old;
	text_copy(c->volume.name, NAME_SIZE, op->name);
	c->skip = c->skip || op->force;
	for (uint32_t i = 0; i < op->n_fields; i++) {
		const struct field *f = object_field_by_number(type, op->fields[i].number);

		if (!f || !is_owners(f))
			continue;
		c->touched = true;
		if (field_parse(type, f, &c->volume, op->fields[i].how, op->fields[i].value, &names, error))
			c->skip = true;
	}
	c->skip = c->skip || !c->volume.device[0];
	text_copy(c->resource.agent, sizeof(c->resource.agent), VOLUME_AGENT);
	volume_params(&c->volume, c->resource.params);
	return 0;
}

static int gather_op(struct vetting *v, const struct change_op *op)
{
	struct candidate *c;

	if (op->kind == KIND_VOLUME && (op->verb == VERB_CREATE || op->verb == VERB_SET))
		return gather_volume(v, op);
	if (op->kind != KIND_RESOURCE || (op->verb != VERB_CREATE && op->verb != VERB_SET && op->verb != VERB_DELETE &&
					  op->verb != VERB_RENAME))
		return 0;
	c = candidate_of(v, op->name);
	if (!c)
		return -ENOMEM;
	if (op->verb == VERB_RENAME) {
		text_copy(c->resource.name, NAME_SIZE, op->arg);
		return 0;
	}
	if (op->verb != VERB_SET) {
		object_init(object_type(KIND_RESOURCE), &c->resource, 1);
		text_copy(c->resource.name, NAME_SIZE, op->name);
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

/* ---- asking ---- */

/* An agent looks at its name and parameters alone: of those that are alike one is asked about. */
static bool alike(const struct candidate *a, const struct candidate *b)
{
	return !strcmp(a->resource.agent, b->resource.agent) && !strcmp(a->resource.params, b->resource.params);
}

static void skip_needless(struct vetting *v)
{
	for (uint32_t i = 0; i < v->n; i++) {
		struct candidate *c = &v->candidates[i];

		c->skip = c->skip || !c->touched || !c->resource.agent[0];
		for (uint32_t k = 0; k < i && !c->skip; k++)
			c->skip = !v->candidates[k].skip && alike(&v->candidates[k], c);
	}
}

static void ask_more(struct vetting *v);

static void on_vetted(void *user, const struct agent_validation *validation)
{
	struct ask *ask = user;
	struct vetting *v = ask->vetting;
	char text[AGENT_REPORT_SIZE + TEXT_SIZE];

	ask->vetting = NULL;
	v->n_asks--;
	if (!validation->error) {
		ask_more(v);
		return;
	}
	if (ask->candidate->volume.name[0])
		snprintf(text, sizeof(text), "volume '%s': %s (--force skips this check, which looks at the device on node %s)",
			 ask->candidate->volume.name, validation->text, v->shell->node_name);
	else
		snprintf(text, sizeof(text), "resource '%s': %s (--force skips this check, which asks the agents of node %s)",
			 ask->candidate->resource.name, validation->text, v->shell->node_name);
	refuse(v, REFUSED_AGENT, text);
}

static struct ask *ask_new(struct vetting *v, const struct candidate *c)
{
	for (size_t i = 0; i < ARRAY_SIZE(v->asks); i++) {
		if (v->asks[i].vetting)
			continue;
		v->asks[i] = (struct ask){ v, c };
		v->n_asks++;
		return &v->asks[i];
	}
	return NULL;
}

static int ask(struct vetting *v, const struct candidate *c, const char **fault)
{
	struct agent_request rq = { .action = AGENT_VALIDATE_ALL,
				    .resource = c->resource.name,
				    .agent = c->resource.agent,
				    .params = c->resource.params,
				    .here = c->volume.name[0] }; /* its device has to be on every node */
	struct ask *a = ask_new(v, c);
	int ret = a ? agents_validate(v->shell->agents, &rq, on_vetted, a) : -ENOBUFS;

	if (!ret)
		return 0;
	if (a) {
		a->vetting = NULL;
		v->n_asks--;
	}
	*fault = agent_request_fault(&rq);
	return ret;
}

static void vetting_done(struct vetting *v)
{
	uint32_t conn = v->conn;

	v->conn = 0; /* not forgotten with its client any more */
	if (v->submit)
		shell_control_submit(v->shell, conn, v->ops, v->len);
	else
		shell_control_answer(v->shell, conn, REFUSED_NOT, "");
	vetting_free(v);
}

/* As many as may be asked at once; when nothing is left to ask and to wait for, the change is good. */
static void ask_more(struct vetting *v)
{
	const char *fault = NULL;
	char text[AGENT_REPORT_SIZE + TEXT_SIZE];

	for (; v->at < v->n && v->n_asks < SHELL_VET_PARALLEL; v->at++) {
		const struct candidate *c = &v->candidates[v->at];

		if (c->skip || !ask(v, c, &fault))
			continue;
		if (!fault && v->n_asks)
			return; /* all queries are taken: tried again when one of ours is answered */
		snprintf(text, sizeof(text), "resource '%s': %s", c->resource.name, fault ? fault : "");
		if (fault)
			refuse(v, REFUSED_AGENT, text);
		else
			refuse(v, REFUSED_BUSY, "too many agents are being asked on this node; try again");
		return;
	}
	if (!v->n_asks)
		vetting_done(v);
}

/* ---- from and to the shell ---- */

void shell_vet_change(struct shell *s, uint32_t conn, const void *ops, size_t len, bool submit)
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
	v->submit = submit;
	v->len = len;
	memcpy(v->ops, ops, len);
	ret = gather(v);
	if (!ret) {
		skip_needless(v);
		ask_more(v);
	} else if (ret == -ENOMEM) {
		refuse(v, REFUSED_BUSY, "not enough memory to look at the change; try again");
	} else {
		refuse(v, REFUSED_BAD_REQUEST, refusal_text(REFUSED_BAD_REQUEST));
	}
}

void shell_vet_forget(struct shell *s, uint32_t conn)
{
	struct vetting *v, *next;

	for (v = s->vettings; v; v = next) {
		next = v->next;
		if (v->conn == conn)
			vetting_free(v);
	}
}

void shell_vet_close(struct shell *s)
{
	while (s->vettings)
		refuse(s->vettings, REFUSED_BUSY, "clusterd on this node is ending; nothing was changed");
}
