/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Changes: from words to operations, and to clusterd. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/ctl/ctl_change.h"
#include "clusterd/ctl/ctl_link.h"
#include "text.h"

#define PROGRESS_FIRST_MS 2000 /* an answer that takes longer is explained … */
#define PROGRESS_EVERY_MS 5000 /* … again and again */

struct ctl_change *ctl_change_new(void)
{
	struct ctl_change *c = calloc(1, sizeof(*c));

	if (c)
		c->goals = calloc(CTL_GOALS_MAX, sizeof(*c->goals));
	if (c && !c->goals) {
		free(c);
		return NULL;
	}
	return c;
}

void ctl_change_free(struct ctl_change *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n_parts; i++)
		free(c->parts[i].data);
	free(c->parts);
	free(c->goals);
	free(c);
}

void ctl_change_op(struct ctl_change *c, enum change_verb verb, uint32_t kind, const char *name, const char *arg)
{
	c->op.verb = (uint8_t)verb;
	c->op.kind = (uint8_t)kind;
	c->op.force = 0;
	c->op.n_fields = 0;
	text_copy(c->op.name, sizeof(c->op.name), name);
	text_copy(c->op.arg, sizeof(c->op.arg), arg);
}

int ctl_change_field(struct ctl *ctl, struct ctl_change *c, const struct field *field, enum edit_how how, const char *value)
{
	if (c->op.n_fields >= OP_FIELDS_MAX)
		return ctl_usage(ctl, "%s: more than %d assignments at once; use several commands", c->op.name, OP_FIELDS_MAX);
	if (strlen(value) >= OP_VALUE_MAX)
		return ctl_usage(ctl, "%s: %s: the value is longer than %d bytes", c->op.name, field->name, OP_VALUE_MAX - 1);
	c->op.fields[c->op.n_fields].number = field->number;
	c->op.fields[c->op.n_fields].how = (uint8_t)how;
	c->op.fields[c->op.n_fields].value = value;
	c->op.n_fields++;
	return 0;
}

static int field_unknown(struct ctl *ctl, const struct ctl_change *c, const struct object_type *type, const char *name)
{
	struct ctl_nearest n = { .word = name };
	const struct field *f = object_field(type, name);

	if (f && f->flags & FIELD_FLAG_K)
		return ctl_usage(ctl, "%s %s: the name is changed by 'clusterctl %s rename'", type->name, c->op.name, type->name);
	if (f)
		return ctl_usage(ctl, "%s %s: %s is what the cluster keeps itself; it cannot be set", type->name, c->op.name, name);
	for (size_t i = 0; i < type->n_fields; i++)
		if (type->fields[i].flags & FIELD_FLAG_C)
			ctl_nearest_try(&n, type->fields[i].name);
	if (n.best)
		return ctl_usage(ctl, "%s %s: no field '%s'; did you mean %s?", type->name, c->op.name, name, n.best);
	return ctl_usage(ctl, "%s %s: no field '%s'; 'clusterctl help %s set' shows them%s", type->name, c->op.name,
			 name, type->name,
			 type->kind == KIND_RESOURCE ? ", parameters of the agent stand after '--'" : "");
}

int ctl_change_assign(struct ctl *ctl, struct ctl_change *c, const char *assignment)
{
	const struct object_type *type = object_type(c->op.kind);
	const char *eq = strchr(assignment, '=');
	enum edit_how how = EDIT_SET;
	const struct field *f;
	char name[NAME_SIZE];
	size_t n;

	if (!eq || eq == assignment)
		return ctl_usage(ctl, "%s %s: '%s' is no assignment; write field=value, field+=value or field-=value", type->name,
				 c->op.name, assignment);
	n = (size_t)(eq - assignment);
	if (!strncmp(assignment, "param.", 6) && type->kind == KIND_RESOURCE)
		return ctl_change_field(ctl, c, object_field(type, "params"), EDIT_ADD, assignment + 6);
	if (eq[-1] == '+' || eq[-1] == '-') {
		how = eq[-1] == '+' ? EDIT_ADD : EDIT_REMOVE;
		n--;
	}
	text_copy_n(name, sizeof(name), assignment, n);
	f = object_field(type, name);
	if (!f || !(f->flags & FIELD_FLAG_C))
		return field_unknown(ctl, c, type, name);
	return ctl_change_field(ctl, c, f, how, eq + 1);
}

int ctl_change_params(struct ctl *ctl, struct ctl_change *c)
{
	const struct field *params = object_field(object_type(KIND_RESOURCE), "params");

	for (int i = 0; i < ctl->n_params; i++) {
		int rc;

		if (!strchr(ctl->params[i], '='))
			return ctl_usage(ctl, "resource %s: parameter '%s': write name=value", c->op.name, ctl->params[i]);
		rc = ctl_change_field(ctl, c, params, EDIT_ADD, ctl->params[i]);
		if (rc)
			return rc;
	}
	return 0;
}

static struct ctl_change_part *part_new(struct ctl_change *c)
{
	struct ctl_change_part *parts = reallocarray(c->parts, c->n_parts + 1, sizeof(*parts));

	if (!parts)
		return NULL;
	c->parts = parts;
	parts[c->n_parts] = (struct ctl_change_part){ .data = malloc(CTL_PART_SIZE) };
	c->n_ops_in_part = 0;
	return parts[c->n_parts].data ? &parts[c->n_parts++] : NULL;
}

int ctl_change_put(struct ctl *ctl, struct ctl_change *c)
{
	struct ctl_change_part *p = c->n_parts ? &c->parts[c->n_parts - 1] : part_new(c);

	c->op.force = ctl->options.force;
	for (int again = 0; p && again < 2; again++) {
		struct writer w = writer_of(p->data + p->len, CTL_PART_SIZE - p->len);

		change_op_encode(&w, &c->op);
		if (!w.bad && c->n_ops_in_part < CHANGE_OPS_MAX) {
			p->len += writer_len(&w);
			c->n_ops_in_part++;
			c->n_ops++;
			return 0;
		}
		p = part_new(c);
	}
	return ctl_fail(ctl, refusal_exit_code(REFUSED_FULL), "full", "%s: too much for one change", c->op.name);
}

void ctl_change_goal(struct ctl_change *c, enum ctl_goal_kind kind, const char *name, uint32_t node, uint32_t from)
{
	struct ctl_goal *g;

	if (c->n_goals >= CTL_GOALS_MAX)
		return;
	g = &c->goals[c->n_goals++];
	*g = (struct ctl_goal){ .kind = kind, .node = node, .from = from };
	text_copy(g->name, sizeof(g->name), name);
}

static void nobody_acts(void *user, const struct core_action *action)
{
	(void)user;
	(void)action;
}

int ctl_change_try(struct ctl *ctl, struct ctl_change *c, struct state *s, nodeset_t members)
{
	const struct core_sink sink = { .act = nobody_acts };
	struct change_outcome *outcome = calloc(1, sizeof(*outcome));
	struct change_op *scratch = calloc(1, sizeof(*scratch));
	int rc = 0;

	for (size_t i = 0; i < c->n_parts && !rc && outcome && scratch; i++) {
		state_commit(s, &sink); /* a change starts from a state without open edits */
		if (!change_apply(s, members, c->parts[i].data, c->parts[i].len, scratch, outcome))
			rc = ctl_refused(ctl, outcome->refusal, outcome->detail);
	}
	if (!outcome || !scratch)
		rc = ctl_fail(ctl, EXIT_UNREACHABLE, "memory", "no memory to try the change");
	free(outcome);
	free(scratch);
	return rc;
}

/* --- sending --- */

/* Names of nodes, for a change that was asked for without a look at the state. */
static void view_over(struct ctl *ctl, struct ctl_link *second)
{
	struct ctl_link *first = ctl->link;

	ctl->link = second;
	(void)ctl_view_load(ctl);
	ctl->link = first;
}

/* Says what a slow answer waits for, over a connection of its own. */
static void progress_say(struct ctl *ctl)
{
	struct message m = { .type = CTL_STATUS };
	struct ctl_link *second;
	char nodes[TEXT_SIZE];

	if (ctl->options.quiet || ctl_link_open(ctl->options.socket, ctl_patience(ctl), &second))
		return;
	if (!ctl_link_send(second, &m) && !ctl_link_receive(second, PROGRESS_FIRST_MS, &m) && m.type == ANSWER_STATUS) {
		nodeset_t waits = m.answer_status.waiting_for | m.answer_status.slow;

		if (waits && !ctl->view.state)
			view_over(ctl, second);
		if (waits && ctl->view.state)
			fprintf(ctl->err, "waiting for %s: %s\n", ctl_nodes(ctl, waits, nodes, sizeof(nodes)),
				m.answer_status.text);
		else
			fprintf(ctl->err, "waiting: %s\n", *m.answer_status.text ? m.answer_status.text : "clusterd is busy");
	}
	ctl_link_close(second);
}

static int answer_take(struct ctl *ctl, const struct message *m, bool quiet)
{
	char detail[4 * TEXT_SIZE];

	/* Before the state is fetched: the answer lies where the next frame will. */
	text_copy_n(detail, sizeof(detail), (const char *)m->answer.detail.data, m->answer.detail.len);
	if (m->answer.refusal == REFUSED_NOT_FOUND && ctl->command->needs == CHANGE && ctl_unknown_say(ctl))
		return refusal_exit_code(REFUSED_NOT_FOUND);
	if (m->answer.refusal)
		return ctl_refused(ctl, (enum refusal)m->answer.refusal, detail);
	ctl->view.self.epoch = m->answer.epoch;
	ctl->view.self.seq = m->answer.seq;
	if (*detail && strcmp(detail, refusal_text(REFUSED_NOT)) != 0 && !quiet && !ctl->options.quiet && !ctl->options.json)
		fprintf(ctl->out, "%s\n", detail);
	fflush(ctl->out);
	return 0;
}

int ctl_ask(struct ctl *ctl, const struct message *request, bool quiet)
{
	uint64_t now = ctl_mono_ms(), until = now + (uint64_t)ctl->timeout_s * MS_PER_SECOND, say = now + PROGRESS_FIRST_MS;
	struct message m;
	int rc = ctl_link_send(ctl->link, request);

	while (!rc) {
		uint64_t next = say < until ? say : until;

		now = ctl_mono_ms();
		rc = ctl_link_receive(ctl->link, next > now ? (uint32_t)(next - now) : 0, &m);
		if (rc == -ETIMEDOUT && ctl_mono_ms() < until) {
			progress_say(ctl);
			say = ctl_mono_ms() + PROGRESS_EVERY_MS;
			rc = 0;
		} else if (!rc && m.type == ANSWER && m.answer.refusal == REFUSED_BAD_REQUEST && request->type == CTL_VET) {
			return 0; /* an older clusterd, which asks the agents when the change is made */
		} else if (!rc && m.type == ANSWER) {
			return answer_take(ctl, &m, quiet);
		} else if (!rc && m.type == ANSWER_PART && (ctl->parts || !ctl->options.json)) {
			fwrite(m.answer_part.data.data, 1, m.answer_part.data.len, ctl->parts ? ctl->parts : ctl->out);
		}
	}
	if (rc == -ENOTCONN && request->type == CTL_STOP)
		return EXIT_DONE; /* it has ended, faster than it could say so */
	return ctl_fail(ctl, refusal_exit_code(REFUSED_UNKNOWN_OUTCOME), "unknown-outcome",
			"no answer from clusterd (%s); the request may or may not have been carried out: look with "
			"'clusterctl status'",
			rc == -ETIMEDOUT ? "--timeout passed" : strerror(-rc));
}

int ctl_change_vet(struct ctl *ctl, const struct ctl_change *c)
{
	int rc = 0;

	for (size_t i = 0; i < c->n_parts && !rc; i++) {
		struct message m = { .type = CTL_VET };

		m.ctl_vet.ops = (struct span){ c->parts[i].data, c->parts[i].len };
		rc = ctl_ask(ctl, &m, true);
	}
	return rc;
}

static int change_send(struct ctl *ctl, struct ctl_change *c)
{
	for (size_t i = 0; i < c->n_parts; i++) {
		struct message m = { .type = CTL_CHANGE };
		int rc;

		m.ctl_change.ops = (struct span){ c->parts[i].data, c->parts[i].len };
		rc = ctl_ask(ctl, &m, false);
		if (rc) {
			if (i)
				fprintf(ctl->err, "clusterctl: %zu of %zu parts had been made before\n", i, c->n_parts);
			return rc;
		}
	}
	return 0;
}

static int done_json(struct ctl *ctl, int rc)
{
	if (!ctl->options.json || (rc && rc != EXIT_TIMEOUT && rc != EXIT_FAILED))
		return rc;
	ctl_json_print(ctl, json_pack("{s:i, s:{s:b, s:b, s:{s:I, s:I}}}", "schema", CTL_SCHEMA, "result", "done", 1, "reached",
				      rc == 0, "tag", "epoch", (json_int_t)ctl->view.self.epoch, "seq",
				      (json_int_t)ctl->view.self.seq));
	return rc;
}

/* The change on a copy of the state, taken to its end as if every agent succeeded. */
static int change_dry(struct ctl *ctl, struct ctl_change *c)
{
	struct state *after = ctl_state_copy(ctl->view.state);
	struct ctl_effect effect = { .json = ctl->options.json ? json_array() : NULL };
	int rc;

	if (!after)
		return ctl_fail(ctl, EXIT_UNREACHABLE, "memory", "no memory to try the change");
	rc = ctl_change_try(ctl, c, after, ctl->view.self.members);
	if (!rc && !ctl->view.saved)
		rc = ctl_change_vet(ctl, c);
	if (rc) {
		json_decref(effect.json);
	} else {
		ctl_settle(after);
		ctl_effect_print(ctl, ctl->view.state, after, &effect);
		if (ctl->options.json)
			ctl_json_print(ctl, json_pack("{s:i, s:{s:i, s:o}}", "schema", CTL_SCHEMA, "dry_run",
						      "operations", (int)c->n_ops, "roles", effect.json));
		else if (!effect.changed && !ctl->options.quiet)
			fprintf(ctl->out, "It would be accepted; no role would move, start or stop.\n");
	}
	ctl_state_free(after);
	return rc;
}

int ctl_change_run(struct ctl *ctl, struct ctl_change *steal)
{
	int rc;

	if (ctl->options.dry_run) {
		rc = change_dry(ctl, steal);
	} else {
		rc = change_send(ctl, steal);
		if (!rc && ctl->options.wait)
			rc = ctl_wait(ctl, steal->goals, steal->n_goals);
		rc = done_json(ctl, rc);
	}
	ctl_change_free(steal);
	return rc;
}

int ctl_change_finish(struct ctl *ctl, struct ctl_change *steal, int rc)
{
	if (!rc)
		rc = ctl_change_put(ctl, steal);
	if (!rc)
		return ctl_change_run(ctl, steal);
	ctl_change_free(steal);
	return rc;
}
