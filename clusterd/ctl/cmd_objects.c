/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is the same for every kind of object: list, show, create, set, rename, delete, cleanup. */
#include <string.h>

#include "clusterd/ctl/ctl_change.h"
#include "clusterd/ctl/ctl_page.h"
#include "clusterd/ctl/ctl_table.h"
#include "clusterd/ctl/ctl_volume.h"
#include "text.h"

int cmd_list(struct ctl *ctl)
{
	uint32_t kind = ctl->command->kind;
	char name[32];
	json_t *j;

	if (ctl->options.json) {
		j = ctl_json_envelope(ctl);
		json_object_set_new(j, ctl_plural(kind, name), ctl_json_all(ctl, kind));
		return ctl_json_print(ctl, j);
	}
	ctl_say_stale(ctl);
	if (kind == KIND_NODE)
		ctl_table_nodes(ctl);
	else if (kind == KIND_ROLE)
		ctl_table_roles(ctl, false);
	else
		ctl_table_plain(ctl, kind);
	return EXIT_DONE;
}

static void show_params(const struct ctl *ctl, const char *params)
{
	char text[PARAMS_SIZE];
	bool first = true;

	for (const char *p = params; *p; first = false) {
		size_t n = strcspn(p, "\n");
		char line[PARAMS_SIZE];

		text_copy_n(line, sizeof(line), p, n);
		fprintf(ctl->out, "  %-20s  %s\n", first ? "params" : "", ctl_clean(line, text, sizeof(text)));
		p += n + (p[n] == '\n');
	}
	if (first)
		fprintf(ctl->out, "  %-20s  -\n", "params");
}

static void show_fields(const struct ctl *ctl, const struct object_type *type, const void *object, uint8_t flags)
{
	char text[FIELD_TEXT_MAX];

	for (size_t i = 0; i < type->n_fields; i++) {
		const struct field *f = &type->fields[i];

		if (!(f->flags & flags))
			continue;
		if (f->type == FIELD_PARAMS)
			show_params(ctl, (const char *)object + f->offset);
		else
			fprintf(ctl->out, "  %-20s  %s\n", f->name, ctl_field(ctl, f, object, text));
	}
}

static void show_role_more(const struct ctl *ctl, const struct role *r)
{
	struct state *s = ctl->view.state;
	char why[2 * TEXT_SIZE];
	const uint16_t *rules;
	uint32_t n;

	fprintf(ctl->out, "\n%s\n", ctl_role_reason(ctl, r, why, sizeof(why)));
	rules = state_rules_of(s, r->object.id, &n);
	for (uint32_t i = 0; i < n; i++)
		fprintf(ctl->out, "rule %s: %s %s\n", s->rules[rules[i]].name, s->rules[rules[i]].hard ? "hard" : "soft",
			enum_text(enum_values_rule_kind, s->rules[rules[i]].kind));
	fprintf(ctl->out, "\n");
	if (s->role_resource[r->object.id])
		ctl_table_resources(ctl, r->object.id);
	else
		fprintf(ctl->out, "It has no resources; 'clusterctl resource add %s NAME AGENT' adds one.\n", r->name);
}

static int show_object(struct ctl *ctl, const struct object_type *type, const void *object, const char *name)
{
	json_t *j;

	if (ctl->options.json) {
		j = ctl_json_envelope(ctl);
		json_object_set_new(j, type->kind == KIND_CLUSTER ? "settings" : type->name, ctl_json_object(ctl, type, object));
		return ctl_json_print(ctl, j);
	}
	ctl_say_stale(ctl);
	fprintf(ctl->out, "%s %s\n", type->name, name);
	show_fields(ctl, type, object, FIELD_FLAG_C);
	for (size_t i = 0; i < type->n_fields; i++) {
		if (!(type->fields[i].flags & FIELD_FLAG_S))
			continue;
		fprintf(ctl->out, "kept by the cluster:\n");
		show_fields(ctl, type, object, FIELD_FLAG_S);
		break;
	}
	if (type->kind == KIND_ROLE)
		show_role_more(ctl, object);
	else if (type->kind == KIND_VOLUME)
		ctl_volume_show_more(ctl, object);
	return EXIT_DONE;
}

int cmd_show(struct ctl *ctl)
{
	uint32_t kind = ctl->command->kind, id = ctl_find(ctl, kind, ctl->argv[0]);

	if (!id)
		return refusal_exit_code(REFUSED_NOT_FOUND);
	return show_object(ctl, object_type(kind), state_get(ctl->view.state, kind, id), ctl->argv[0]);
}

int cmd_cluster_show(struct ctl *ctl)
{
	return show_object(ctl, object_type(KIND_CLUSTER), ctl_cluster(ctl), ctl_cluster(ctl)->name);
}

/* --- changes --- */

int ctl_no_memory(struct ctl *ctl) { return ctl_fail(ctl, EXIT_UNREACHABLE, "memory", "no memory for the change"); }

static int check_name(struct ctl *ctl, const char *noun, const char *name)
{
	if (!name_check(name))
		return 0;
	return ctl_usage(ctl,
			 "%s '%s': not a name: 1 to %d letters, digits, '.', '_' or '-', beginning with a letter or digit",
			 noun, name, NAME_SIZE - 1);
}

int cmd_create(struct ctl *ctl)
{
	struct ctl_change *c;
	int rc = check_name(ctl, ctl->command->noun, ctl->argv[0]);

	if (rc)
		return rc;
	c = ctl_change_new();
	if (!c)
		return ctl_no_memory(ctl);
	ctl_change_op(c, VERB_CREATE, ctl->command->kind, ctl->argv[0], NULL);
	for (int i = 1; i < ctl->argc && !rc; i++)
		rc = ctl_change_assign(ctl, c, ctl->argv[i]);
	if (ctl->command->kind == KIND_ROLE)
		ctl_change_goal(c, GOAL_ROLE_SETTLED, ctl->argv[0], 0, 0);
	return ctl_change_finish(ctl, c, rc);
}

int cmd_resource_add(struct ctl *ctl)
{
	const struct object_type *type = object_type(KIND_RESOURCE);
	struct ctl_change *c;
	int rc;

	if (!ctl_known(ctl, KIND_ROLE, 0))
		return refusal_exit_code(REFUSED_NOT_FOUND);
	rc = check_name(ctl, "resource", ctl->argv[1]);
	if (rc)
		return rc;
	c = ctl_change_new();
	if (!c)
		return ctl_no_memory(ctl);
	ctl_change_op(c, VERB_CREATE, KIND_RESOURCE, ctl->argv[1], NULL);
	rc = ctl_change_field(ctl, c, object_field(type, "role"), EDIT_SET, ctl->argv[0]);
	if (!rc)
		rc = ctl_change_field(ctl, c, object_field(type, "agent"), EDIT_SET, ctl->argv[2]);
	for (int i = 3; i < ctl->argc && !rc; i++)
		rc = ctl_change_assign(ctl, c, ctl->argv[i]);
	if (!rc)
		rc = ctl_change_params(ctl, c);
	ctl_change_goal(c, GOAL_ROLE_SETTLED, ctl->argv[0], 0, 0);
	return ctl_change_finish(ctl, c, rc);
}

int cmd_set(struct ctl *ctl)
{
	uint32_t kind = ctl->command->kind;
	struct ctl_change *c;
	int rc = 0;

	if (!ctl_known(ctl, kind, 0))
		return refusal_exit_code(REFUSED_NOT_FOUND);
	if (ctl->argc < 2 && !ctl->n_params)
		return ctl_usage(ctl, "%s %s: say what to set: FIELD=VALUE, or PARAM=VALUE after '--'",
				 ctl->command->noun, ctl->argv[0]);
	c = ctl_change_new();
	if (!c)
		return ctl_no_memory(ctl);
	ctl_change_op(c, VERB_SET, kind, ctl->argv[0], NULL);
	for (int i = 1; i < ctl->argc && !rc; i++)
		rc = ctl_change_assign(ctl, c, ctl->argv[i]);
	if (!rc)
		rc = ctl_change_params(ctl, c);
	if (kind == KIND_ROLE)
		ctl_change_goal(c, GOAL_ROLE_SETTLED, ctl->argv[0], 0, 0);
	else if (kind == KIND_RESOURCE)
		ctl_change_goal(c, GOAL_RESOURCE_SETTLED, ctl->argv[0], 0, 0);
	return ctl_change_finish(ctl, c, rc);
}

int cmd_cluster_set(struct ctl *ctl)
{
	struct ctl_change *c = ctl_change_new();
	int rc = 0;

	if (!c)
		return ctl_no_memory(ctl);
	ctl_change_op(c, VERB_SET, KIND_CLUSTER, "", NULL);
	for (int i = 0; i < ctl->argc && !rc; i++)
		rc = ctl_change_assign(ctl, c, ctl->argv[i]);
	return ctl_change_finish(ctl, c, rc);
}

int cmd_rename(struct ctl *ctl)
{
	uint32_t kind = ctl->command->kind;
	struct ctl_change *c;
	int rc;

	if (!ctl_known(ctl, kind, 0))
		return refusal_exit_code(REFUSED_NOT_FOUND);
	rc = check_name(ctl, ctl->command->noun, ctl->argv[1]);
	if (rc)
		return rc;
	c = ctl_change_new();
	if (!c)
		return ctl_no_memory(ctl);
	ctl_change_op(c, VERB_RENAME, kind, ctl->argv[0], ctl->argv[1]);
	return ctl_change_finish(ctl, c, 0);
}

int ctl_each(struct ctl *ctl, enum change_verb verb, const char *arg, int goal)
{
	uint32_t kind = ctl->command->kind;
	struct ctl_change *c = ctl_change_new();
	int rc = 0;

	if (!c)
		return ctl_no_memory(ctl);
	for (int i = 0; i < ctl->argc && !rc; i++) {
		if (!ctl_known(ctl, kind, i)) {
			rc = refusal_exit_code(REFUSED_NOT_FOUND);
			break;
		}
		ctl_change_op(c, verb, kind, ctl->argv[i], arg);
		rc = ctl_change_put(ctl, c);
		if (goal >= 0)
			ctl_change_goal(c, (enum ctl_goal_kind)goal, ctl->argv[i], 0, 0);
	}
	if (!rc)
		return ctl_change_run(ctl, c);
	ctl_change_free(c);
	return rc;
}

int cmd_delete(struct ctl *ctl) { return ctl_each(ctl, VERB_DELETE, NULL, -1); }

int cmd_cleanup(struct ctl *ctl)
{
	return ctl_each(ctl, VERB_CLEANUP, NULL, ctl->command->kind == KIND_ROLE ? GOAL_ROLE_SETTLED : GOAL_RESOURCE_SETTLED);
}

int cmd_resource_restart(struct ctl *ctl) { return ctl_each(ctl, VERB_RESTART, NULL, GOAL_RESOURCE_SETTLED); }

int cmd_resource_list(struct ctl *ctl)
{
	uint32_t role = 0;
	json_t *j, *list;

	if (ctl->argc) {
		role = ctl_find(ctl, KIND_ROLE, ctl->argv[0]);
		if (!role)
			return refusal_exit_code(REFUSED_NOT_FOUND);
	}
	if (!ctl->options.json) {
		ctl_say_stale(ctl);
		ctl_table_resources(ctl, role);
		return EXIT_DONE;
	}
	list = json_array();
	for (uint32_t id = 1; id <= ctl->view.state->high[KIND_RESOURCE]; id++) {
		const struct resource *x = state_resource(ctl->view.state, id);

		if (x && (!role || x->role == role))
			json_array_append_new(list, ctl_json_object(ctl, object_type(KIND_RESOURCE), x));
	}
	j = ctl_json_envelope(ctl);
	json_object_set_new(j, "resources", list);
	return ctl_json_print(ctl, j);
}
