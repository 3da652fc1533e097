/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Volumes: what is asked of a volume, and of the role that is its ownership, in one place. */
#include <stdlib.h>
#include <string.h>

#include "clusterd/core/volume_use.h"
#include "clusterd/ctl/ctl_change.h"
#include "clusterd/ctl/ctl_page.h"
#include "clusterd/ctl/ctl_table.h"
#include "clusterd/ctl/ctl_volume.h"
#include "text.h"

const char *const ctl_ownership_fields[] = {
	"priority", "preferred", "possible", "failback", "failback_from_h", "failback_to_h", "threshold", "period", "maintenance",
	NULL
};

bool ctl_is_ownership_field(const char *name, size_t len)
{
	for (size_t i = 0; ctl_ownership_fields[i]; i++)
		if (strlen(ctl_ownership_fields[i]) == len && !memcmp(ctl_ownership_fields[i], name, len))
			return true;
	return false;
}

const char *ctl_ownership_name(const char *volume, char out[NAME_SIZE])
{
	const size_t n = sizeof(VOLUME_ROLE_PREFIX) - 1;

	memcpy(out, VOLUME_ROLE_PREFIX, n);
	text_copy(out + n, NAME_SIZE - n, volume);
	return out;
}

/* --- looking --- */

static nodeset_t nodes_up(const struct state *s, uint32_t volume)
{
	nodeset_t up = 0;

	for (uint32_t id = 1; id <= s->high[KIND_NODE]; id++)
		if (state_node(s, id) && volume_set_has(&s->nodes[id].volumes_up, volume))
			up |= NODE_BIT(id);
	return up;
}

static uint32_t users_of(const struct state *s, uint32_t volume)
{
	uint32_t n = 0;

	for (uint32_t id = 1; id <= s->high[KIND_ROLE]; id++)
		n += state_role(s, id) && volume_is_needed_by(&s->roles[id], volume);
	return n;
}

void ctl_table_volumes(const struct ctl *ctl)
{
	static const char *const heads[] = { "VOLUME", "STATE", "OWNER", "USABLE ON", ">ROLES", "DEVICE", "REASON", NULL };
	const struct state *s = ctl->view.state;
	struct ctl_table *t = ctl_table_new(heads);
	char nodes[2 * TEXT_SIZE], why[2 * TEXT_SIZE];

	for (uint32_t id = 1; id <= s->high[KIND_VOLUME]; id++) {
		const struct volume *v = state_volume(s, id);
		const struct role *r = v ? state_role(s, v->role) : NULL;
		nodeset_t up = v ? nodes_up(s, id) : 0;

		if (!r)
			continue;
		ctl_table_cell(t, TONE_PLAIN, "%s", v->name);
		ctl_table_cell(t,
			       r->state == ROLE_ONLINE ? TONE_GOOD :
			       r->state == ROLE_FAILED ? TONE_BAD :
							 TONE_WARN,
			       "%s%s", ctl_role_state(ctl, r), r->maintenance ? ", maintenance" : "");
		ctl_table_cell(t, TONE_PLAIN, "%s", ctl_node_name(ctl, r->owner));
		ctl_table_cell(t, TONE_PLAIN, "%s", up ? ctl_nodes(ctl, up, nodes, sizeof(nodes)) : "-");
		ctl_table_cell(t, TONE_PLAIN, "%u", users_of(s, id));
		ctl_table_cell(t, TONE_PLAIN, "%s", v->device);
		ctl_table_cell(t, r->state == ROLE_ONLINE ? TONE_FAINT : TONE_PLAIN, "%s",
			       r->reason ? ctl_role_reason(ctl, r, why, sizeof(why)) : "-");
	}
	ctl_table_print(t, ctl->out, ctl->color, 0);
}

int cmd_volume_list(struct ctl *ctl)
{
	json_t *j;

	if (!ctl->options.json) {
		ctl_say_stale(ctl);
		ctl_table_volumes(ctl);
		return EXIT_DONE;
	}
	j = ctl_json_envelope(ctl);
	json_object_set_new(j, "volumes", ctl_json_all(ctl, KIND_VOLUME));
	return ctl_json_print(ctl, j);
}

void ctl_volume_show_more(const struct ctl *ctl, const struct volume *v)
{
	static const char *const heads[] = { "NODE", "USABLE", "OWNER", "REDIRECTED", NULL };
	const struct state *s = ctl->view.state;
	const struct role *r = state_role(s, v->role);
	const struct object_type *type = object_type(KIND_ROLE);
	struct ctl_table *t = ctl_table_new(heads);
	char text[FIELD_TEXT_MAX];

	if (r) {
		fprintf(ctl->out, "of its ownership, the role %s:\n", r->name);
		for (size_t i = 0; ctl_ownership_fields[i]; i++)
			fprintf(ctl->out, "  %-20s  %s\n", ctl_ownership_fields[i],
				ctl_field(ctl, object_field(type, ctl_ownership_fields[i]), r, text));
		fprintf(ctl->out, "\n%s\n", ctl_role_reason(ctl, r, text, sizeof(text)));
	}
	for (uint32_t id = 1; id <= s->high[KIND_ROLE]; id++)
		if (state_role(s, id) && volume_is_needed_by(&s->roles[id], v->object.id))
			fprintf(ctl->out, "needed by %s: %s%s%s\n", s->roles[id].name, ctl_role_state(ctl, &s->roles[id]),
				s->roles[id].owner ? " on " : "", s->roles[id].owner ? ctl_node_name(ctl, s->roles[id].owner) : "");
	fprintf(ctl->out, "\n");
	for (uint32_t id = 1; id <= s->high[KIND_NODE]; id++) {
		if (!state_node(s, id))
			continue;
		ctl_table_cell(t, TONE_PLAIN, "%s", s->nodes[id].name);
		ctl_table_cell(t, TONE_PLAIN, "%s", volume_set_has(&s->nodes[id].volumes_up, v->object.id) ? "yes" : "no");
		ctl_table_cell(t, TONE_PLAIN, "%s", r && r->owner == id ? "yes" : "-");
		ctl_table_cell(t, TONE_PLAIN, "%s", nodeset_has(v->redirected, id) ? "yes" : "-");
	}
	ctl_table_print(t, ctl->out, ctl->color, 0);
}

void ctl_json_volume_derived(const struct ctl *ctl, const struct volume *v, json_t *j)
{
	const struct state *s = ctl->view.state;
	const struct role *r = state_role(s, v->role);
	json_t *users = json_array();
	char text[2 * TEXT_SIZE];

	json_object_set_new(j, "port_used", json_integer(volume_port(v)));
	json_object_set_new(j, "usable_on", ctl_json_nodes(ctl, nodes_up(s, v->object.id)));
	for (uint32_t id = 1; id <= s->high[KIND_ROLE]; id++)
		if (state_role(s, id) && volume_is_needed_by(&s->roles[id], v->object.id))
			json_array_append_new(users, ctl_json_text(s->roles[id].name));
	json_object_set_new(j, "needed_by", users);
	if (!r)
		return;
	json_object_set_new(j, "state", json_string(enum_text(enum_values_role_state, r->state)));
	json_object_set_new(j, "owner", r->owner ? ctl_json_text(ctl_node_name(ctl, r->owner)) : json_null());
	json_object_set_new(j, "reason_text", ctl_json_text(ctl_role_reason(ctl, r, text, sizeof(text))));
}

/* --- changes --- */

static void settled_goal(struct ctl_change *c, const char *volume)
{
	char role[NAME_SIZE];

	ctl_change_goal(c, GOAL_ROLE_SETTLED, ctl_ownership_name(volume, role), 0, 0);
}

static bool assigns_ownership(const char *word)
{
	size_t n = strcspn(word, "=");

	if (n && (word[n - 1] == '+' || word[n - 1] == '-'))
		n--;
	return ctl_is_ownership_field(word, n);
}

/* The words from `first` on that are fields of the volume, or those of its ownership, to the operation under way. */
static int assign_words(struct ctl *ctl, struct ctl_change *c, int first, bool ownership, int *ret_n)
{
	int rc = 0;

	*ret_n = 0;
	for (int i = first; i < ctl->argc && !rc; i++) {
		if (assigns_ownership(ctl->argv[i]) != ownership)
			continue;
		rc = ctl_change_assign(ctl, c, ctl->argv[i]);
		++*ret_n;
	}
	return rc;
}

/* After the volume's own operation: what is said of its ownership, in the same change. */
static int assign_ownership(struct ctl *ctl, struct ctl_change *c, int first)
{
	char role[NAME_SIZE];
	int n, rc;

	ctl_change_op(c, VERB_SET, KIND_ROLE, ctl_ownership_name(ctl->argv[0], role), NULL);
	rc = assign_words(ctl, c, first, true, &n);
	return rc || !n ? rc : ctl_change_put(ctl, c);
}

static int run_or_free(struct ctl *ctl, struct ctl_change *steal, int rc)
{
	if (!rc)
		return ctl_change_run(ctl, steal);
	ctl_change_free(steal);
	return rc;
}

int cmd_volume_add(struct ctl *ctl)
{
	struct ctl_change *c;
	int n, rc;

	if (name_check(ctl->argv[0]))
		return ctl_usage(ctl,
				 "volume '%s': not a name: letters, digits, '.', '_' or '-', beginning with a letter or digit",
				 ctl->argv[0]);
	c = ctl_change_new();
	if (!c)
		return ctl_no_memory(ctl);
	ctl_change_op(c, VERB_CREATE, KIND_VOLUME, ctl->argv[0], NULL);
	rc = ctl_change_field(ctl, c, object_field(object_type(KIND_VOLUME), "device"), EDIT_SET, ctl->argv[1]);
	if (!rc)
		rc = assign_words(ctl, c, 2, false, &n);
	if (!rc)
		rc = ctl_change_put(ctl, c);
	if (!rc)
		rc = assign_ownership(ctl, c, 2);
	settled_goal(c, ctl->argv[0]);
	return run_or_free(ctl, c, rc);
}

int cmd_volume_set(struct ctl *ctl)
{
	struct ctl_change *c;
	int n, rc;

	if (!ctl_known(ctl, KIND_VOLUME, 0))
		return refusal_exit_code(REFUSED_NOT_FOUND);
	c = ctl_change_new();
	if (!c)
		return ctl_no_memory(ctl);
	ctl_change_op(c, VERB_SET, KIND_VOLUME, ctl->argv[0], NULL);
	rc = assign_words(ctl, c, 1, false, &n);
	if (!rc && n)
		rc = ctl_change_put(ctl, c);
	if (!rc)
		rc = assign_ownership(ctl, c, 1);
	settled_goal(c, ctl->argv[0]);
	return run_or_free(ctl, c, rc);
}

static int each(struct ctl *ctl, enum change_verb verb)
{
	struct ctl_change *c = ctl_change_new();
	int rc = 0;

	if (!c)
		return ctl_no_memory(ctl);
	for (int i = 0; i < ctl->argc && !rc; i++) {
		if (!ctl_known(ctl, KIND_VOLUME, i)) {
			rc = refusal_exit_code(REFUSED_NOT_FOUND);
			break;
		}
		ctl_change_op(c, verb, KIND_VOLUME, ctl->argv[i], NULL);
		rc = ctl_change_put(ctl, c);
		settled_goal(c, ctl->argv[i]);
	}
	return run_or_free(ctl, c, rc);
}

int cmd_volume_start(struct ctl *ctl) { return each(ctl, VERB_ROLE_START); }

int cmd_volume_stop(struct ctl *ctl) { return each(ctl, VERB_ROLE_STOP); }

int cmd_volume_cleanup(struct ctl *ctl) { return each(ctl, VERB_CLEANUP); }

int cmd_volume_move(struct ctl *ctl)
{
	const char *node = ctl->argc > 1 ? ctl->argv[1] : NULL;
	const struct state *s = ctl->view.state;
	char role[NAME_SIZE];
	struct ctl_change *c;

	if (!ctl_known(ctl, KIND_VOLUME, 0) || (node && !ctl_known(ctl, KIND_NODE, 1)))
		return refusal_exit_code(REFUSED_NOT_FOUND);
	c = ctl_change_new();
	if (!c)
		return ctl_no_memory(ctl);
	ctl_change_op(c, VERB_ROLE_MOVE, KIND_VOLUME, ctl->argv[0], node);
	if (s)
		ctl_change_goal(c, GOAL_ROLE_MOVED, ctl_ownership_name(ctl->argv[0], role),
				node ? state_find(s, KIND_NODE, node) : 0,
				volume_owner(s, state_find(s, KIND_VOLUME, ctl->argv[0])));
	return ctl_change_finish(ctl, c, 0);
}

/* 1: on, 0: off, negative: an exit code less one, after the error. */
static int on_or_off(struct ctl *ctl, const char *word)
{
	if (!strcmp(word, "on") || !strcmp(word, "off"))
		return word[1] == 'n';
	return -1 - ctl_usage(ctl, "volume %s: '%s': write on or off", ctl->command->verb, word);
}

int cmd_volume_maintenance(struct ctl *ctl)
{
	int on = on_or_off(ctl, ctl->argv[1]);
	char role[NAME_SIZE];
	struct ctl_change *c;
	int rc;

	if (on < 0)
		return -1 - on;
	if (!ctl_known(ctl, KIND_VOLUME, 0))
		return refusal_exit_code(REFUSED_NOT_FOUND);
	c = ctl_change_new();
	if (!c)
		return ctl_no_memory(ctl);
	ctl_change_op(c, VERB_SET, KIND_ROLE, ctl_ownership_name(ctl->argv[0], role), NULL);
	rc = ctl_change_field(ctl, c, object_field(object_type(KIND_ROLE), "maintenance"), EDIT_SET, on ? "yes" : "no");
	return ctl_change_finish(ctl, c, rc);
}

/* The nodes named, as the value of a list; without any all nodes of the cluster, for which the state is needed. */
static int nodes_value(struct ctl *ctl, int first, char *out, size_t size)
{
	const struct state *s = ctl->view.state;
	size_t at = 0;

	out[0] = '\0';
	for (int i = first; i < ctl->argc && at < size; i++) {
		if (!ctl_known(ctl, KIND_NODE, i))
			return refusal_exit_code(REFUSED_NOT_FOUND);
		at += (size_t)snprintf(out + at, size - at, "%s%s", at ? "," : "", ctl->argv[i]);
	}
	for (uint32_t id = 1; s && ctl->argc == first && id <= s->high[KIND_NODE] && at < size; id++)
		if (state_node(s, id))
			at += (size_t)snprintf(out + at, size - at, "%s%s", at ? "," : "", s->nodes[id].name);
	return at < size ? 0 : ctl_usage(ctl, "volume %s: too many nodes at once", ctl->argv[0]);
}

int cmd_volume_redirect(struct ctl *ctl)
{
	const struct field *f = object_field(object_type(KIND_VOLUME), "redirected");
	int on = on_or_off(ctl, ctl->argv[1]);
	char value[OP_VALUE_MAX] = "";
	uint32_t id = ctl_find(ctl, KIND_VOLUME, ctl->argv[0]);
	struct ctl_change *c;
	int rc;

	if (on < 0)
		return -1 - on;
	if (!id)
		return refusal_exit_code(REFUSED_NOT_FOUND);
	rc = on || ctl->argc > 2 ? nodes_value(ctl, 2, value, sizeof(value)) : 0;
	if (rc)
		return rc;
	c = ctl_change_new();
	if (!c)
		return ctl_no_memory(ctl);
	ctl_change_op(c, VERB_SET, KIND_VOLUME, ctl->argv[0], NULL);
	rc = ctl_change_field(ctl, c, f, ctl->argc == 2 ? EDIT_SET : on ? EDIT_ADD : EDIT_REMOVE, value);
	return ctl_change_finish(ctl, c, rc);
}
