/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Configuration to JSON, and from JSON to operations. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "clusterd/ctl/ctl_config.h"
#include "clusterd/ctl/ctl_volume.h"
#include "clusterd/ctl/ctl_table.h"

/* Sections in the order in which objects may be created. */
static const uint8_t sections[] = { KIND_NODE, KIND_NETWORK, KIND_VOLUME, KIND_ROLE, KIND_RESOURCE, KIND_SET, KIND_RULE };

#define WANT_KEY "online" /* of a role: it should be online */

/* --- export --- */

static json_t *list_json(char *text)
{
	json_t *list = json_array();
	char *save;

	for (char *word = strtok_r(text, ",", &save); word; word = strtok_r(NULL, ",", &save))
		json_array_append_new(list, json_string(word));
	return list;
}

static json_t *params_json(char *text)
{
	json_t *map = json_object();
	char *save;

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *eq = strchr(line, '=');

		if (!eq)
			continue;
		*eq = '\0';
		json_object_set_new(map, line, json_string(eq + 1));
	}
	return map;
}

static json_t *value_json(const struct state *s, const struct field *f, const void *object)
{
	struct name_resolver names = state_resolver(s);
	char text[FIELD_TEXT_MAX] = "";

	field_print(f, object, &names, text, sizeof(text));
	switch (f->type) {
	case FIELD_U32:
	case FIELD_U64:
		return json_integer(strtoll(text, NULL, 10));
	case FIELD_BOOL:
		return json_boolean(!strcmp(text, "yes"));
	case FIELD_NODESET:
	case FIELD_NODELIST:
	case FIELD_ROLELIST:
	case FIELD_SETLIST:
	case FIELD_VOLUMELIST:
	case FIELD_VOLUMESET:
		return list_json(text);
	case FIELD_PARAMS:
		return params_json(text);
	default:
		return json_string(text);
	}
}

/* A volume's ownership is written with the volume: made and deleted with it, set by its fields. */
static bool is_ownership(const struct state *s, uint32_t kind, uint32_t id)
{
	uint32_t role = kind == KIND_ROLE ? id : kind == KIND_RESOURCE && state_resource(s, id) ? s->resources[id].role : 0;

	return role && state_role(s, role) && s->roles[role].kind == ROLE_OF_VOLUME;
}

static void ownership_json(const struct state *s, const struct volume *v, json_t *j)
{
	const struct role *r = state_role(s, v->role);

	for (size_t i = 0; r && ctl_ownership_fields[i]; i++)
		json_object_set_new(j, ctl_ownership_fields[i],
				    value_json(s, object_field(object_type(KIND_ROLE), ctl_ownership_fields[i]), r));
	if (r)
		json_object_set_new(j, WANT_KEY, json_boolean(r->want));
}

static json_t *object_json(const struct state *s, uint32_t kind, const void *object)
{
	const struct object_type *type = object_type(kind);
	json_t *j = json_object();

	for (size_t i = 0; i < type->n_fields; i++)
		if (type->fields[i].flags & FIELD_FLAG_C)
			json_object_set_new(j, type->fields[i].name, value_json(s, &type->fields[i], object));
	if (kind == KIND_ROLE)
		json_object_set_new(j, WANT_KEY, json_boolean(((const struct role *)object)->want));
	else if (kind == KIND_VOLUME)
		ownership_json(s, object, j);
	return j;
}

json_t *ctl_config_of(const struct state *s)
{
	json_t *config = json_pack("{s:i}", "clusterd_config", CONFIG_FORMAT), *cluster;
	char name[32];

	cluster = object_json(s, KIND_CLUSTER, &s->cluster);
	json_object_set_new(cluster, "name", json_string(s->cluster.name));
	json_object_set_new(config, "cluster", cluster);
	for (size_t i = 0; i < ARRAY_SIZE(sections); i++) {
		json_t *section = json_object();

		for (uint32_t id = 1; id <= s->high[sections[i]]; id++)
			if (state_get(s, sections[i], id) && !is_ownership(s, sections[i], id))
				json_object_set_new(section, state_name(s, sections[i], id),
						    object_json(s, sections[i], state_get(s, sections[i], id)));
		json_object_set_new(config, ctl_plural(sections[i], name), section);
	}
	return config;
}

/* --- reading --- */

static int invalid(struct ctl *ctl, const char *file, const char *format, ...) __attribute__((format(printf, 3, 4)));
static int invalid(struct ctl *ctl, const char *file, const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return ctl_fail(ctl, refusal_exit_code(REFUSED_INVALID), "invalid", "%s: %s", file, text);
}

json_t *ctl_config_read(struct ctl *ctl, const char *path, int *ret_code)
{
	cleanup_file FILE *f = fopen(path, "re");
	json_error_t error;
	struct stat st;
	json_t *config;

	if (!f || fstat(fileno(f), &st)) {
		*ret_code = ctl_fail(ctl, refusal_exit_code(REFUSED_IO), "io-error", "%s: cannot be read: %s", path,
				     strerror(errno));
		return NULL;
	}
	if (S_ISREG(st.st_mode) && st.st_size > CONFIG_FILE_MAX) {
		*ret_code = invalid(ctl, path, "larger than %u bytes", CONFIG_FILE_MAX);
		return NULL;
	}
	config = json_loadf(f, JSON_REJECT_DUPLICATES, &error);
	if (!config) {
		*ret_code = invalid(ctl, path, "line %d, column %d: %s", error.line, error.column, error.text);
		return NULL;
	}
	if (json_integer_value(json_object_get(config, "clusterd_config")) != CONFIG_FORMAT) {
		*ret_code = invalid(ctl, path,
				    "not a configuration: \"clusterd_config\": %d is missing; 'clusterctl config "
				    "export' writes one",
				    CONFIG_FORMAT);
		json_decref(config);
		return NULL;
	}
	return config;
}

/* --- values as the text that the one parser reads --- */

/* Texts made for operations live as long as the document: they are kept in it. */
static const char *keep(json_t *config, const char *text)
{
	json_t *kept = json_object_get(config, " texts"), *s = json_string(text);

	if (!kept) {
		kept = json_array();
		json_object_set_new(config, " texts", kept);
	}
	json_array_append_new(kept, s);
	return json_string_value(s);
}

static bool append(char *out, size_t *used, const char *a, const char *b, const char *c)
{
	int n = snprintf(out + *used, FIELD_TEXT_MAX - *used, "%s%s%s", a, b, c);

	if (n < 0 || (size_t)n >= FIELD_TEXT_MAX - *used)
		return false;
	*used += (size_t)n;
	return true;
}

static const char *list_text(json_t *config, json_t *value)
{
	char text[FIELD_TEXT_MAX] = "";
	size_t i, used = 0;
	json_t *item;

	json_array_foreach(value, i, item)
		if (!json_is_string(item) || !append(text, &used, i ? "," : "", json_string_value(item), ""))
			return NULL;
	return keep(config, text);
}

static const char *params_text(json_t *config, json_t *value)
{
	char text[FIELD_TEXT_MAX] = "";
	const char *name;
	size_t used = 0;
	json_t *item;

	json_object_foreach(value, name, item) {
		const char *v = json_string_value(item);
		char number[32];

		snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(item));
		if (!json_is_string(item) && !json_is_integer(item))
			return NULL;
		if (!append(text, &used, name, "=", v ? v : number) || !append(text, &used, "\n", "", ""))
			return NULL;
	}
	return keep(config, text);
}

/* NULL: a JSON type that the field cannot be written in. */
static const char *value_text(json_t *config, const struct field *f, json_t *value)
{
	char number[32];

	if (json_is_string(value))
		return json_string_value(value);
	if (json_is_boolean(value) && f->type == FIELD_BOOL)
		return json_is_true(value) ? "yes" : "no";
	if (json_is_integer(value)) {
		snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(value));
		return keep(config, number);
	}
	if (json_is_array(value))
		return list_text(config, value);
	return json_is_object(value) && f->type == FIELD_PARAMS ? params_text(config, value) : NULL;
}

/* --- planning --- */

struct planner {
	struct ctl *ctl;
	const struct state *state;
	json_t *config;
	const char *file;
	struct plan *plan;
};

/* What names objects of its own kind waits until all of them are there. */
static bool is_late(const struct field *f) { return f->type == FIELD_DEPS || f->type == FIELD_SETLIST; }

/* The field has this value already. */
static bool same_value(const struct planner *p, const struct object_type *type, const struct field *f,
		       const void *object, const char *text)
{
	struct name_resolver names = state_resolver(p->state);
	uint8_t *copy = malloc(type->size);
	char error[TEXT_SIZE];
	bool same;

	if (!copy)
		return false;
	memcpy(copy, object, type->size);
	same = !field_parse(type, f, copy, EDIT_SET, text, &names, error) &&
	       !memcmp(copy + f->offset, (const uint8_t *)object + f->offset, f->size);
	free(copy);
	return same;
}

static void plan_note(struct planner *p, enum plan_what what, uint32_t kind, const char *name, json_t *fields)
{
	p->plan->n[what]++;
	json_array_append_new(p->plan->lists[what], json_pack("{s:s, s:s, s:o}", "kind", object_type(kind)->name,
							      "name", name, "fields", fields ? fields : json_array()));
}

/* Adds one field of the document to the operation under construction. */
static int field_add(struct planner *p, uint32_t kind, const char *name, const char *key, json_t *value)
{
	const struct object_type *type = object_type(kind);
	const struct field *f = object_field(type, key);
	const char *text;

	if (!f || !(f->flags & FIELD_FLAG_C))
		return invalid(p->ctl, p->file, "%s %s: no field '%s'; 'clusterctl help %s set' shows them", type->name,
			       name, key, type->name);
	text = value_text(p->config, f, value);
	if (!text)
		return invalid(p->ctl, p->file, "%s %s: %s: its value cannot be of this JSON type", type->name, name, key);
	return ctl_change_field(p->ctl, p->plan->change, f, EDIT_SET, text);
}

static bool is_extra(uint32_t kind, const char *key)
{
	return ((kind == KIND_ROLE || kind == KIND_VOLUME) && !strcmp(key, WANT_KEY)) ||
	       (kind == KIND_CLUSTER && !strcmp(key, "name")) ||
	       (kind == KIND_VOLUME && ctl_is_ownership_field(key, strlen(key)));
}

/* What the document says of a volume's ownership and `r` (NULL: a new one) has not. */
static int set_ownership(struct planner *p, const char *volume, const struct role *r, json_t *fields, json_t *changed)
{
	const struct object_type *type = object_type(KIND_ROLE);
	struct ctl_change *c = p->plan->change;
	char role[NAME_SIZE];
	int rc = 0;

	ctl_change_op(c, VERB_SET, KIND_ROLE, ctl_ownership_name(volume, role), NULL);
	for (size_t i = 0; ctl_ownership_fields[i] && !rc; i++) {
		const char *key = ctl_ownership_fields[i];
		const struct field *f = object_field(type, key);
		json_t *value = json_object_get(fields, key);
		const char *text = value ? value_text(p->config, f, value) : NULL;

		if (!value || (r && text && same_value(p, type, f, r, text)))
			continue;
		rc = field_add(p, KIND_ROLE, role, key, value);
		if (changed)
			json_array_append_new(changed, json_string(key));
	}
	return rc || !c->op.n_fields ? rc : ctl_change_put(p->ctl, c);
}

static int create(struct planner *p, uint32_t kind, const char *name, json_t *fields)
{
	struct ctl_change *c = p->plan->change;
	const char *key;
	json_t *value;
	int rc;

	if (name_check(name))
		return invalid(p->ctl, p->file, "%s '%s': not a name", object_type(kind)->name, name);
	ctl_change_op(c, VERB_CREATE, kind, name, NULL);
	json_object_foreach(fields, key, value) {
		const struct field *f = object_field(object_type(kind), key);

		if (is_extra(kind, key) || (f && is_late(f)))
			continue;
		rc = field_add(p, kind, name, key, value);
		if (rc)
			return rc;
	}
	rc = ctl_change_put(p->ctl, c);
	if (!rc && kind == KIND_VOLUME)
		rc = set_ownership(p, name, NULL, fields, NULL);
	if (!rc && (kind == KIND_ROLE || kind == KIND_VOLUME) && json_is_false(json_object_get(fields, WANT_KEY))) {
		ctl_change_op(c, VERB_ROLE_STOP, kind, name, NULL);
		rc = ctl_change_put(p->ctl, c);
	}
	plan_note(p, PLAN_CREATE, kind, name, NULL);
	return rc;
}

/* The late fields of a new object. */
static int create_late(struct planner *p, uint32_t kind, const char *name, json_t *fields)
{
	const char *key;
	json_t *value;
	int rc;

	json_object_foreach(fields, key, value) {
		const struct field *f = object_field(object_type(kind), key);

		if (!f || !is_late(f) || (json_is_string(value) && !*json_string_value(value)) ||
		    (json_is_array(value) && !json_array_size(value)))
			continue;
		ctl_change_op(p->plan->change, VERB_SET, kind, name, NULL);
		rc = field_add(p, kind, name, key, value);
		if (!rc)
			rc = ctl_change_put(p->ctl, p->plan->change);
		if (rc)
			return rc;
	}
	return 0;
}

static int change_want(struct planner *p, const struct role *r, json_t *fields, json_t *changed)
{
	json_t *want = json_object_get(fields, WANT_KEY);

	if (!json_is_boolean(want) || json_is_true(want) == (r->want != 0))
		return 0;
	json_array_append_new(changed, json_string(WANT_KEY));
	ctl_change_op(p->plan->change, json_is_true(want) ? VERB_ROLE_START : VERB_ROLE_STOP, KIND_ROLE, r->name, NULL);
	return ctl_change_put(p->ctl, p->plan->change);
}

static int change(struct planner *p, uint32_t kind, const char *name, const void *object, json_t *fields)
{
	const struct object_type *type = object_type(kind);
	struct ctl_change *c = p->plan->change;
	json_t *changed = json_array(), *value;
	const struct role *owner = NULL;
	const char *key;
	int rc = 0;

	ctl_change_op(c, VERB_SET, kind, name, NULL);
	json_object_foreach(fields, key, value) {
		const struct field *f = object_field(type, key);
		const char *text = f ? value_text(p->config, f, value) : NULL;

		if (is_extra(kind, key) || (f && text && same_value(p, type, f, object, text)))
			continue;
		rc = field_add(p, kind, name, key, value);
		if (rc)
			break;
		json_array_append_new(changed, json_string(key));
	}
	if (!rc && c->op.n_fields)
		rc = ctl_change_put(p->ctl, c);
	if (kind == KIND_VOLUME)
		owner = state_role(p->state, ((const struct volume *)object)->role);
	if (!rc && owner)
		rc = set_ownership(p, name, owner, fields, changed);
	if (!rc && (owner || kind == KIND_ROLE))
		rc = change_want(p, owner ? owner : object, fields, changed);
	if (json_array_size(changed))
		plan_note(p, PLAN_CHANGE, kind, name, changed);
	else
		json_decref(changed);
	return rc;
}

enum pass { PASS_CREATE, PASS_LATE, PASS_CHANGE };

static int section_pass(struct planner *p, uint32_t kind, enum pass pass)
{
	char plural[32];
	json_t *section = json_object_get(p->config, ctl_plural(kind, plural)), *fields;
	const char *name;
	int rc = 0;

	if (section && !json_is_object(section))
		return invalid(p->ctl, p->file, "\"%s\" must be an object: names and their fields", plural);
	json_object_foreach(section, name, fields) {
		uint32_t id = state_find(p->state, kind, name);

		if (!json_is_object(fields))
			return invalid(p->ctl, p->file, "%s %s: must be an object: fields and their values",
				       object_type(kind)->name, name);
		if (!id && kind == KIND_NODE)
			return invalid(p->ctl, p->file,
				       "node %s is not in the cluster; nodes join by corosync's node list: take it out "
				       "of the file, or let it join first",
				       name);
		if (!id && pass == PASS_CREATE)
			rc = create(p, kind, name, fields);
		else if (!id && pass == PASS_LATE)
			rc = create_late(p, kind, name, fields);
		else if (id && pass == PASS_CHANGE)
			rc = change(p, kind, name, state_get(p->state, kind, id), fields);
		if (rc)
			return rc;
	}
	return 0;
}

/* The document has the object's section, but not the object. */
static bool is_gone(const struct planner *p, uint32_t kind, uint32_t id)
{
	char plural[32];
	const json_t *section = json_object_get(p->config, ctl_plural(kind, plural));

	return section && state_get(p->state, kind, id) && !is_ownership(p->state, kind, id) &&
	       !json_object_get(section, state_name(p->state, kind, id));
}

/* Deleted with its role. */
static bool goes_along(const struct planner *p, uint32_t kind, uint32_t id)
{
	return kind == KIND_RESOURCE && is_gone(p, KIND_ROLE, p->state->resources[id].role);
}

/* What is to go lets go of what it refers to: those that refer to each other can then go in any order. */
static int section_let_go(struct planner *p, uint32_t kind)
{
	const struct object_type *type = object_type(kind);
	int rc = 0;

	for (uint32_t id = 1; id <= p->state->high[kind] && !rc; id++) {
		if (!is_gone(p, kind, id) || goes_along(p, kind, id))
			continue;
		ctl_change_op(p->plan->change, VERB_SET, kind, state_name(p->state, kind, id), NULL);
		for (size_t i = 0; i < type->n_fields && !rc; i++)
			if (is_late(&type->fields[i]) || type->fields[i].type == FIELD_ROLELIST)
				rc = ctl_change_field(p->ctl, p->plan->change, &type->fields[i], EDIT_SET, "");
		if (!rc)
			rc = ctl_change_put(p->ctl, p->plan->change);
	}
	return rc;
}

static int section_delete(struct planner *p, uint32_t kind)
{
	int rc = 0;

	for (uint32_t id = 1; id <= p->state->high[kind] && !rc; id++) {
		if (!is_gone(p, kind, id))
			continue;
		plan_note(p, PLAN_DELETE, kind, state_name(p->state, kind, id), NULL);
		if (goes_along(p, kind, id))
			continue;
		ctl_change_op(p->plan->change, VERB_DELETE, kind, state_name(p->state, kind, id), NULL);
		rc = ctl_change_put(p->ctl, p->plan->change);
	}
	return rc;
}

static int keys_check(struct planner *p)
{
	const char *key;
	json_t *value;
	char plural[32];

	json_object_foreach(p->config, key, value) {
		bool known = !strcmp(key, "clusterd_config") || !strcmp(key, "cluster");

		for (size_t i = 0; i < ARRAY_SIZE(sections); i++)
			known |= !strcmp(key, ctl_plural(sections[i], plural));
		if (!known)
			return invalid(p->ctl, p->file, "no section is named '%s'", key);
	}
	value = json_object_get(p->config, "cluster");
	return value && !json_is_object(value)
		       ? invalid(p->ctl, p->file, "\"cluster\" must be an object: fields and their values")
		       : 0;
}

/* Order: what refers goes before what it refers to is gone, and comes after it is there. */
static int plan_all(struct planner *p)
{
	static const uint8_t gone_last[] = { KIND_SET, KIND_RESOURCE, KIND_ROLE, KIND_VOLUME, KIND_NETWORK };
	json_t *cluster = json_object_get(p->config, "cluster");
	int rc = keys_check(p);

	if (!rc)
		rc = section_delete(p, KIND_RULE);
	if (!rc)
		rc = section_let_go(p, KIND_SET);
	if (!rc && cluster)
		rc = change(p, KIND_CLUSTER, p->state->cluster.name, &p->state->cluster, cluster);
	for (size_t i = 0; i < ARRAY_SIZE(sections) && !rc; i++)
		rc = section_pass(p, sections[i], PASS_CREATE);
	for (size_t i = 0; i < ARRAY_SIZE(sections) && !rc; i++)
		rc = section_pass(p, sections[i], PASS_LATE);
	for (size_t i = 0; i < ARRAY_SIZE(sections) && !rc; i++)
		rc = section_pass(p, sections[i], PASS_CHANGE);
	if (!rc)
		rc = section_let_go(p, KIND_RESOURCE);
	for (size_t i = 0; i < ARRAY_SIZE(gone_last) && !rc; i++)
		rc = section_delete(p, gone_last[i]);
	return rc;
}

int ctl_config_plan(struct ctl *ctl, const struct state *s, json_t *config, const char *file, struct plan *ret)
{
	struct planner p = { .ctl = ctl, .state = s, .config = config, .file = file, .plan = ret };

	memset(ret, 0, sizeof(*ret));
	ret->change = ctl_change_new();
	for (int i = 0; i < PLAN_MAX; i++)
		ret->lists[i] = json_array();
	return ret->change ? plan_all(&p) : ctl_no_memory(ctl);
}

void ctl_plan_print(struct ctl *ctl, const struct plan *p)
{
	static const char *const heads[] = { "", "KIND", "NAME", "FIELDS", NULL };
	static const char *const words[] = { "create", "change", "delete" };
	struct ctl_table *t = ctl_table_new(heads);
	size_t i, k;

	for (int what = 0; what < PLAN_MAX; what++) {
		json_t *item, *field;

		json_array_foreach(p->lists[what], i, item) {
			char text[FIELD_TEXT_MAX] = "";
			size_t used = 0;

			json_array_foreach(json_object_get(item, "fields"), k, field)
				append(text, &used, k ? ", " : "", json_string_value(field), "");
			ctl_table_cell(t, what == PLAN_DELETE ? TONE_BAD : TONE_PLAIN, "%s", words[what]);
			ctl_table_cell(t, TONE_PLAIN, "%s", json_string_value(json_object_get(item, "kind")));
			ctl_table_cell(t, TONE_PLAIN, "%s", json_string_value(json_object_get(item, "name")));
			ctl_table_cell(t, TONE_PLAIN, "%s", text);
		}
	}
	ctl_table_print(t, p->n[0] + p->n[1] + p->n[2] ? ctl->out : NULL, ctl->color, 0);
}

void ctl_plan_done(struct plan *p)
{
	ctl_change_free(p->change);
	for (int i = 0; i < PLAN_MAX; i++)
		json_decref(p->lists[i]);
}
