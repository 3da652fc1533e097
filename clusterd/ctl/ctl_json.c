/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state as JSON: one object per object, one member per field of objects.def, named as the field, with its unit. What is
 * derived comes beside it. clusterctl(8), section JSON, describes it.
 */
#include <string.h>

#include "clusterd/ctl/ctl_volume.h"
#include "clusterd/core/reason.h"
#include "clusterd/core/votes.h"
#include "text.h"

const char *ctl_plural(uint32_t kind, char out[32])
{
	snprintf(out, 32, "%s%s", object_type(kind)->name, kind == KIND_CLUSTER ? "" : "s");
	return out;
}

static json_t *json_name(const struct ctl *ctl, uint32_t kind, uint32_t id)
{
	const char *name = id ? state_name(ctl->view.state, kind, id) : NULL;

	return name ? json_string(name) : json_null();
}

/* Texts come from agents too: what is not UTF-8 must not break the document. */
json_t *ctl_json_text(const char *text)
{
	json_t *j = json_string(text);
	char clean[PARAMS_SIZE];
	size_t n = 0;

	if (j)
		return j;
	for (; text[n] && n < sizeof(clean) - 1; n++)
		clean[n] = (unsigned char)text[n] < 0x80 ? text[n] : '?';
	clean[n] = '\0';
	return json_string(clean);
}

json_t *ctl_json_nodes(const struct ctl *ctl, nodeset_t nodes)
{
	json_t *list = json_array();

	for (uint32_t id = 1; id <= NODE_MAX; id++)
		if (nodeset_has(nodes, id))
			json_array_append_new(list, json_name(ctl, KIND_NODE, id));
	return list;
}

static json_t *json_ids8(const struct ctl *ctl, const uint8_t *ids)
{
	json_t *list = json_array();

	for (; *ids; ids++)
		json_array_append_new(list, json_name(ctl, KIND_NODE, *ids));
	return list;
}

static json_t *json_ids16(const struct ctl *ctl, uint32_t kind, const uint16_t *ids, size_t max)
{
	json_t *list = json_array();

	for (size_t i = 0; i < max && ids[i]; i++)
		json_array_append_new(list, json_name(ctl, kind, ids[i]));
	return list;
}

static json_t *json_volumes(const struct ctl *ctl, const struct volume_set *set)
{
	json_t *list = json_array();

	for (uint32_t id = 1; id <= VOLUME_MAX; id++)
		if (volume_set_has(set, id))
			json_array_append_new(list, json_name(ctl, KIND_VOLUME, id));
	return list;
}

static json_t *json_deps(const struct ctl *ctl, const uint16_t (*deps)[DEPS_CHOICE_MAX])
{
	json_t *list = json_array();

	for (size_t i = 0; i < DEPS_CLAUSE_MAX && deps[i][0]; i++)
		json_array_append_new(list, json_ids16(ctl, KIND_RESOURCE, deps[i], DEPS_CHOICE_MAX));
	return list;
}

static json_t *json_params(const char *params)
{
	json_t *map = json_object();

	for (const char *p = params; *p;) {
		char name[PARAMS_SIZE], value[PARAMS_SIZE];
		size_t line = strcspn(p, "\n"), eq = strcspn(p, "=\n");

		text_copy_n(name, sizeof(name), p, eq);
		text_copy_n(value, sizeof(value), p + eq + 1, line > eq ? line - eq - 1 : 0);
		json_object_set_new(map, name, ctl_json_text(value));
		p += line + (p[line] == '\n');
	}
	return map;
}

static json_t *json_times(const uint64_t *times)
{
	json_t *list = json_array();

	for (size_t i = 0; i < UNCLEAN_MAX && times[i]; i++)
		json_array_append_new(list, json_integer((json_int_t)times[i]));
	return list;
}

/* Identities do not fit the integers of most JSON readers: sixteen hex digits. */
static json_t *json_u64(const struct field *field, uint64_t value)
{
	char text[32];

	if (strcmp(field->name, "cluster_id") && strcmp(field->name, "boot_id"))
		return json_integer((json_int_t)value);
	snprintf(text, sizeof(text), "%016llx", (unsigned long long)value);
	return json_string(text);
}

static bool field_is_reason(const struct field *f) { return !strcmp(f->name, "reason") || !strcmp(f->name, "fence_reason"); }

static json_t *json_field(const struct ctl *ctl, const struct field *field, const void *object)
{
	const uint8_t *at = (const uint8_t *)object + field->offset;
	uint32_t small = 0;
	uint64_t large = 0;
	char zone[16];

	memcpy(&small, at, field->size >= sizeof(small) ? sizeof(small) : field->size);
	memcpy(&large, at, field->size >= sizeof(large) ? sizeof(large) : field->size);
	switch (field->type) {
	case FIELD_NAME:
	case FIELD_TEXT:
		return ctl_json_text((const char *)at);
	case FIELD_PARAMS:
		return json_params((const char *)at);
	case FIELD_U64:
		return json_u64(field, large);
	case FIELD_TIME:
		return large ? json_integer((json_int_t)large) : json_null();
	case FIELD_BOOL:
		return json_boolean(small);
	case FIELD_ZONE:
		field_print(field, object, NULL, zone, sizeof(zone));
		return json_string(zone);
	case FIELD_ENUM:
		return json_string(enum_text(field->values, small));
	case FIELD_NODEREF:
		return json_name(ctl, KIND_NODE, small);
	case FIELD_ROLEREF:
		return json_name(ctl, KIND_ROLE, small);
	case FIELD_NODESET:
		return ctl_json_nodes(ctl, large);
	case FIELD_NODELIST:
		return json_ids8(ctl, at);
	case FIELD_ROLELIST:
		return json_ids16(ctl, KIND_ROLE, (const void *)at, ROLELIST_MAX);
	case FIELD_SETLIST:
		return json_ids16(ctl, KIND_SET, (const void *)at, SETLIST_MAX);
	case FIELD_VOLUMELIST:
		return json_ids16(ctl, KIND_VOLUME, (const void *)at, VOLUMELIST_MAX);
	case FIELD_VOLUMESET:
		return json_volumes(ctl, (const void *)at);
	case FIELD_DEPS:
		return json_deps(ctl, (const void *)at);
	case FIELD_TIMES:
		return json_times((const void *)at);
	default:
		return field_is_reason(field) ? json_string(reason_name(small)) : json_integer(small);
	}
}

static void json_node_derived(const struct ctl *ctl, const struct node *n, json_t *j)
{
	const struct node_load *load = &ctl->view.state->load[n->object.id];

	json_object_set_new(j, "condition", json_string(ctl_node_state(ctl, n)));
	json_object_set_new(j, "roles", json_integer(load->roles));
	json_object_set_new(j, "operations", json_integer(load->ops));
	json_object_set_new(j, "cpu_used", json_integer((json_int_t)load->cpu));
	json_object_set_new(j, "memory_used_mb", json_integer((json_int_t)load->memory_mb));
}

static void json_role_derived(const struct ctl *ctl, const struct role *r, json_t *j)
{
	const struct state *s = ctl->view.state;
	json_t *list = json_array();
	char text[2 * TEXT_SIZE];

	for (uint16_t id = s->role_resource[r->object.id]; id; id = s->resource_next[id])
		json_array_append_new(list, json_name(ctl, KIND_RESOURCE, id));
	json_object_set_new(j, "resources", list);
	json_object_set_new(j, "reason_text", ctl_json_text(ctl_role_reason(ctl, r, text, sizeof(text))));
}

static void json_event_derived(const struct ctl *ctl, const struct event *e, json_t *j)
{
	char text[2 * TEXT_SIZE];

	event_format(ctl->view.state, e, text, sizeof(text));
	json_object_set_new(j, "text", ctl_json_text(text));
}

json_t *ctl_json_object(const struct ctl *ctl, const struct object_type *type, const void *object)
{
	const struct object *head = object;
	json_t *j = json_object();

	json_object_set_new(j, "id", json_integer(head->id));
	for (size_t i = 0; i < type->n_fields; i++) {
		const struct field *f = &type->fields[i];
		char name[80];

		snprintf(name, sizeof(name), "%s%s", f->name, ctl_is_unit_ms(f) ? "_ms" : "");
		json_object_set_new(j, name, json_field(ctl, f, object));
	}
	if (type->kind == KIND_NODE)
		json_node_derived(ctl, object, j);
	else if (type->kind == KIND_ROLE)
		json_role_derived(ctl, object, j);
	else if (type->kind == KIND_VOLUME)
		ctl_json_volume_derived(ctl, object, j);
	else if (type->kind == KIND_EVENT)
		json_event_derived(ctl, object, j);
	return j;
}

json_t *ctl_json_all(const struct ctl *ctl, uint32_t kind)
{
	const struct state *s = ctl->view.state;
	json_t *list = json_array();

	for (uint32_t id = 1; id <= s->high[kind]; id++) {
		const void *object = state_get(s, kind, id);

		if (object)
			json_array_append_new(list, ctl_json_object(ctl, object_type(kind), object));
	}
	return list;
}

json_t *ctl_json_envelope(const struct ctl *ctl)
{
	const struct state *s = ctl->view.state;

	return json_pack("{s:i, s:s, s:{s:I, s:I}}", "schema", CTL_SCHEMA, "cluster", s->cluster.name, "tag", "epoch",
			 (json_int_t)s->tag.epoch, "seq", (json_int_t)s->tag.seq);
}

json_t *ctl_json_self(const struct ctl *ctl)
{
	const struct msg_answer_status *m = &ctl->view.self;
	struct votes v = votes_of(ctl->view.state);
	json_t *j = json_object();

	json_object_set_new(j, "node", json_name(ctl, KIND_NODE, m->self));
	json_object_set_new(j, "phase", json_string(ctl_phase_text(m->phase)));
	json_object_set_new(j, "quorate", json_boolean(m->quorate));
	json_object_set_new(j, "view", json_integer((json_int_t)m->view));
	json_object_set_new(j, "members", ctl_json_nodes(ctl, m->members));
	json_object_set_new(j, "waiting_for", ctl_json_nodes(ctl, m->waiting_for));
	json_object_set_new(j, "slow", ctl_json_nodes(ctl, m->slow));
	json_object_set_new(j, "durable_seq", json_integer((json_int_t)m->durable_seq));
	json_object_set_new(j, "pending", json_integer(m->pending));
	json_object_set_new(j, "queued", json_integer(m->queued));
	json_object_set_new(j, "stop_left_ms", json_integer(m->stop_left_ms));
	json_object_set_new(j, "witness_held", json_boolean(m->witness_held));
	json_object_set_new(j, "watchdog_ms", json_integer(m->watchdog_ms));
	json_object_set_new(j, "store_error", ctl_json_text(m->store_error));
	json_object_set_new(j, "version", ctl_json_text(m->version));
	json_object_set_new(j, "text", ctl_json_text(m->text));
	json_object_set_new(j, "votes", json_integer(votes_total(v)));
	json_object_set_new(j, "taken_ms", json_integer((json_int_t)ctl->view.taken_ms));
	return j;
}

int ctl_json_print(struct ctl *ctl, json_t *steal)
{
	if (!steal || json_dumpf(steal, ctl->out, JSON_INDENT(2) | JSON_PRESERVE_ORDER)) {
		fprintf(ctl->err, "clusterctl: no memory for the answer\n");
		json_decref(steal);
		return EXIT_UNREACHABLE;
	}
	fputc('\n', ctl->out);
	json_decref(steal);
	return EXIT_DONE;
}
