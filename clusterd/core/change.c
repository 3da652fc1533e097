/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Applies changes: finds the object, sets its fields, refuses what does not fit. Verbs and checks have files of their
 * own. */
#include "clusterd/core/change.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "clusterd/core/change_op.h"
#include "clusterd/core/node.h"
#include "proto/object_text.h"

#define KIND_BIT(kind) (1u << (kind))
#define KINDS_NAMED                                                                                     \
	(KIND_BIT(KIND_NETWORK) | KIND_BIT(KIND_ROLE) | KIND_BIT(KIND_RESOURCE) | KIND_BIT(KIND_RULE) | \
	 KIND_BIT(KIND_SET) | KIND_BIT(KIND_VOLUME))

/* A role is meant; of a volume its ownership. */
#define KINDS_ROLE (KIND_BIT(KIND_ROLE) | KIND_BIT(KIND_VOLUME))

bool change_refuse(struct change *c, enum refusal refusal, const char *format, ...)
{
	const struct object_type *type = object_type(c->op->kind);
	bool unnamed = c->op->kind == KIND_CLUSTER && !c->op->name[0];
	char *detail = c->out->detail;
	size_t size = sizeof(c->out->detail), n;
	va_list args;

	c->out->refusal = refusal;
	n = (size_t)snprintf(detail, size, "%s '%s' ", type ? type->name : "object",
			     unnamed ? c->s->cluster.name : c->op->name);
	va_start(args, format);
	vsnprintf(detail + n, size - n, format, args);
	va_end(args);
	return false;
}

/* ---- fields ---- */

static bool edit_field(struct change *c, const struct object_type *type, size_t i, union any_object *edited)
{
	const struct field *f = object_field_by_number(type, c->op->fields[i].number);
	struct name_resolver names = state_resolver(c->s);
	char error[TEXT_SIZE];
	int rc;

	if (!f)
		return change_refuse(c, REFUSED_LEVEL,
				     "has no field number %u in this release: use a clusterctl of the same version",
				     c->op->fields[i].number);
	if (f->flags & FIELD_FLAG_K)
		return change_refuse(c, REFUSED_INVALID, "gets another name by 'rename', not by setting the field '%s'",
				     f->name);
	if (f->flags & FIELD_FLAG_S)
		return change_refuse(c, REFUSED_INVALID, "cannot have its field '%s' set: the cluster keeps it",
				     f->name);
	if (f->since > c->s->cluster.level)
		return change_refuse(c, REFUSED_LEVEL,
				     "has the field '%s' from feature level %u on, the cluster is at %u: run "
				     "'clusterctl cluster upgrade'",
				     f->name, f->since, c->s->cluster.level);
	rc = field_parse(type, f, edited, c->op->fields[i].how, c->op->fields[i].value, &names, error);
	if (rc < 0)
		return change_refuse(c, rc == -ENOENT ? REFUSED_NOT_FOUND : REFUSED_INVALID, "is not %s: %s",
				     c->op->verb == VERB_CREATE ? "created" : "changed", error);
	return true;
}

/* A running resource takes new parameters by reload or restart. */
static void mark_reload(const struct resource *old, struct resource *edited)
{
	if (!strcmp(old->params, edited->params))
		return;
	if (old->state == RES_STARTED || old->state == RES_STARTING || old->state == RES_UNKNOWN)
		edited->reload_wanted = 1;
}

static bool check_fixed_fields(struct change *c, const struct resource *old, const struct resource *edited)
{
	bool stopped = old->state == RES_STOPPED && !old->op;

	if (old->role && old->role != edited->role && !stopped)
		return change_refuse(c, REFUSED_STATE,
				     "changes its role only while it is stopped: stop the role '%s' first",
				     state_name(c->s, KIND_ROLE, old->role));
	if (old->agent[0] && strcmp(old->agent, edited->agent) && !stopped)
		return change_refuse(c, REFUSED_STATE,
				     "changes its agent only while it is stopped: stop the role '%s' first",
				     state_name(c->s, KIND_ROLE, old->role));
	return true;
}

/* Puts the edited fields into the state by the ways that keep its indexes right. */
static bool store_edited(struct change *c, const struct object_type *type, const union any_object *edited)
{
	const size_t head = sizeof(struct object);
	union any_object *to = state_edit(c->s, type->kind, c->id);
	uint32_t old_role = 0, cpu = 0, memory_mb = 0;

	if (c->s->undo_full)
		return change_refuse(c, REFUSED_FULL,
				     "is one object too many for one change: make several smaller changes");
	if (type->kind == KIND_RESOURCE) {
		old_role = to->resource.role;
	} else if (type->kind == KIND_ROLE) {
		cpu = to->role.cpu;
		memory_mb = to->role.memory_mb;
	}
	memcpy((char *)to + head, (const char *)edited + head, type->size - head);
	if (type->kind == KIND_RESOURCE) {
		to->resource.role = old_role;
		if (edited->resource.role != old_role)
			state_set_role_of(c->s, c->id, edited->resource.role);
	} else if (type->kind == KIND_ROLE) {
		state_role_size_changed(c->s, c->id, cpu, memory_mb);
	} else if (type->kind == KIND_RULE) {
		state_rules_changed(c->s);
	}
	return true;
}

static bool set_fields(struct change *c)
{
	const struct object_type *type = object_type(c->op->kind);
	const void *old = state_get(c->s, type->kind, c->id);
	union any_object edited;

	memcpy(&edited, old, type->size);
	for (size_t i = 0; i < c->op->n_fields; i++)
		if (!edit_field(c, type, i, &edited))
			return false;
	if (type->kind == KIND_RESOURCE) {
		if (!check_fixed_fields(c, old, &edited.resource))
			return false;
		mark_reload(old, &edited.resource);
	}
	return store_edited(c, type, &edited) && change_check_object(c);
}

/* Names of the fields that were set, for the event: "priority, preferred". */
static void fields_text(const struct change *c, char *out, size_t size)
{
	const struct object_type *type = object_type(c->op->kind);
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; i < c->op->n_fields && n < size; i++) {
		const struct field *f = object_field_by_number(type, c->op->fields[i].number);

		n += (size_t)snprintf(out + n, size - n, "%s%s", n ? ", " : "", f->name);
	}
}

static void add_event(struct change *c, enum reason reason, const char *detail)
{
	event_add(c->s, &(struct event_about){ reason, c->op->kind, c->id, 0, 0, detail });
}

/* ---- create, set, delete, rename ---- */

static bool check_new_name(struct change *c, const char *name)
{
	uint32_t kind = c->op->kind;

	if (name_check(name) < 0)
		return change_refuse(c, REFUSED_INVALID,
				     "cannot have that name: use 1 to %d letters, digits, '.', '_' and '-', beginning "
				     "with a letter or digit",
				     NAME_SIZE - 1);
	if (state_find(c->s, kind, name))
		return change_refuse(c, REFUSED_EXISTS, "cannot be called '%s': there is a %s of that name already",
				     name, object_type(kind)->name);
	return true;
}

static bool verb_create(struct change *c)
{
	const struct object_type *type = object_type(c->op->kind);

	if (!check_new_name(c, c->op->name))
		return false;
	c->id = state_create(c->s, type->kind, c->op->name, 0);
	if (!c->id)
		return change_refuse(
			c, REFUSED_FULL,
			"is one too many: the cluster holds at most %u of its kind, and one change at most %u objects",
			type->max, CHANGE_OPS_MAX);
	if (!set_fields(c))
		return false;
	if (type->kind == KIND_ROLE) {
		struct role *r = state_edit(c->s, KIND_ROLE, c->id);

		r->reason = REASON_CREATED;
		r->since_ms = c->s->cluster.now_ms;
	} else if (type->kind == KIND_RESOURCE) {
		((struct resource *)state_edit(c->s, KIND_RESOURCE, c->id))->since_ms = c->s->cluster.now_ms;
	} else if (type->kind == KIND_VOLUME && !change_volume_created(c)) {
		return false;
	}
	add_event(c, REASON_CREATED, NULL);
	return true;
}

static bool verb_set(struct change *c)
{
	const struct cluster cluster = c->s->cluster;
	bool was_disarmed = cluster.disarmed;
	struct volume volume;
	char text[TEXT_SIZE];

	if (!c->op->n_fields)
		return change_refuse(c, REFUSED_INVALID, "is not changed: name at least one field");
	if (c->op->kind == KIND_VOLUME)
		volume = c->s->volumes[c->id];
	if (!set_fields(c) || (c->op->kind == KIND_VOLUME && !change_volume_set(c, &volume)))
		return false;
	fields_text(c, text, sizeof(text));
	add_event(c, REASON_CONFIGURED, text);
	if (c->op->kind == KIND_CLUSTER)
		change_volumes_follow(c->s, &cluster);
	if (c->op->kind == KIND_CLUSTER && was_disarmed != c->s->cluster.disarmed)
		add_event(c, was_disarmed ? REASON_ARMED : REASON_CLUSTER_DISARMED, NULL);
	return true;
}

/* Takes a role out of a list; returns what is left. */
static size_t list_drop(uint16_t *list, size_t max, uint32_t id)
{
	size_t n = 0, kept = 0;

	for (; n < max && list[n]; n++)
		if (list[n] != id)
			list[kept++] = list[n];
	memset(list + kept, 0, (n - kept) * sizeof(list[0]));
	return kept;
}

static bool list_has(const uint16_t *list, size_t max, uint32_t id)
{
	for (size_t i = 0; i < max && list[i]; i++)
		if (list[i] == id)
			return true;
	return false;
}

/* A rule that speaks of fewer than two roles says nothing: it goes with the role. */
static void forget_role(struct change *c, uint32_t role)
{
	struct state *s = c->s;

	for (uint32_t id = 1; id <= s->high[KIND_RULE]; id++) {
		if (!state_rule(s, id) || !list_has(s->rules[id].roles, ROLELIST_MAX, role))
			continue;
		if (list_drop(((struct rule *)state_edit(s, KIND_RULE, id))->roles, ROLELIST_MAX, role) < 2) {
			event_add(s, &(struct event_about){ REASON_DELETED, KIND_RULE, id, 0, 0, NULL });
			state_delete(s, KIND_RULE, id);
		}
		state_rules_changed(s);
	}
	for (uint32_t id = 1; id <= s->high[KIND_SET]; id++)
		if (state_set(s, id) && list_has(s->sets[id].roles, ROLELIST_MAX, role))
			list_drop(((struct set *)state_edit(s, KIND_SET, id))->roles, ROLELIST_MAX, role);
}

/* What made its role fail is gone: the role is tried again without it. */
static void forget_failed_resource(struct change *c)
{
	const struct resource *r = &c->s->resources[c->id];
	uint32_t role = r->role;

	if (c->s->roles[role].state != ROLE_FAILED || (!r->last_rc && !r->last_error[0]))
		return;
	change_forgive_role(c->s, role, REASON_RESOURCE_GONE);
	event_add(c->s, &(struct event_about){ REASON_RESOURCE_GONE, KIND_ROLE, role, c->s->roles[role].owner, 0, r->name });
}

static void empty_role(struct change *c, uint32_t role)
{
	struct state *s = c->s;

	forget_role(c, role);
	while (s->role_resource[role] && !s->undo_full)
		state_delete(s, KIND_RESOURCE, s->role_resource[role]);
}

static bool verb_delete(struct change *c)
{
	struct state *s = c->s;

	if (!change_check_delete(c))
		return false;
	if (c->op->kind == KIND_ROLE) {
		empty_role(c, c->id);
	} else if (c->op->kind == KIND_VOLUME) {
		uint32_t role = change_volume_gone(c);

		empty_role(c, role);
		state_delete(s, KIND_ROLE, role);
	}
	add_event(c, REASON_DELETED, NULL);
	if (c->op->kind == KIND_RESOURCE)
		forget_failed_resource(c);
	state_delete(s, c->op->kind, c->id);
	return true;
}

static bool verb_rename(struct change *c)
{
	if (!check_new_name(c, c->op->arg))
		return false;
	add_event(c, REASON_RENAMED, c->op->arg);
	if (c->op->kind == KIND_VOLUME)
		return change_volume_renamed(c);
	state_rename(c->s, c->op->kind, c->id, c->op->arg);
	return true;
}

/* ---- dispatch ---- */

static const struct verb {
	uint8_t verb;
	uint32_t kinds;
	bool makes; /* the object does not exist before */
	bool (*apply)(struct change *c);
} verbs[] = {
	{ VERB_CREATE, KINDS_NAMED, true, verb_create },
	{ VERB_SET, KINDS_NAMED | KIND_BIT(KIND_CLUSTER) | KIND_BIT(KIND_NODE), false, verb_set },
	{ VERB_DELETE, KINDS_NAMED, false, verb_delete },
	{ VERB_RENAME, KINDS_NAMED, false, verb_rename },
	{ VERB_ROLE_START, KINDS_ROLE, false, change_role_start },
	{ VERB_ROLE_STOP, KINDS_ROLE, false, change_role_stop },
	{ VERB_ROLE_MOVE, KINDS_ROLE, false, change_role_move },
	{ VERB_CLEANUP, KINDS_ROLE | KIND_BIT(KIND_RESOURCE), false, change_cleanup },
	{ VERB_RESTART, KIND_BIT(KIND_RESOURCE), false, change_restart },
	{ VERB_NODE_PAUSE, KIND_BIT(KIND_NODE), false, change_node_pause },
	{ VERB_NODE_RESUME, KIND_BIT(KIND_NODE), false, change_node_resume },
	{ VERB_NODE_DRAIN, KIND_BIT(KIND_NODE), false, change_node_drain },
	{ VERB_NODE_STOP, KIND_BIT(KIND_NODE), false, change_node_stop },
	{ VERB_NODE_EVICT, KIND_BIT(KIND_NODE), false, change_node_evict },
	{ VERB_NODE_FENCED, KIND_BIT(KIND_NODE), false, change_node_fenced },
	{ VERB_UPGRADE, KIND_BIT(KIND_CLUSTER), false, change_upgrade },
};

static const struct verb *verb_of(uint8_t number)
{
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (verbs[i].verb == number)
			return &verbs[i];
	return NULL;
}

static const char *kind_hint(uint32_t kind, uint8_t verb)
{
	if (kind == KIND_NODE && verb == VERB_CREATE)
		return ": a node joins by itself when its corosync does";
	if (kind == KIND_NODE && verb == VERB_DELETE)
		return ": a node that is down is removed by 'evict'";
	if ((kind == KIND_NODE || kind == KIND_CLUSTER) && verb == VERB_RENAME)
		return ": its name comes from corosync's configuration";
	return "";
}

/* The cluster is one: it may be named or not. */
static bool find_object(struct change *c)
{
	const struct change_op *op = c->op;

	if (op->kind == KIND_CLUSTER) {
		c->id = 1;
		if (op->name[0] && strcmp(op->name, c->s->cluster.name))
			return change_refuse(c, REFUSED_NOT_FOUND, "is not this cluster, which is called '%s'",
					     c->s->cluster.name);
		return true;
	}
	c->id = state_find(c->s, op->kind, op->name);
	if (!c->id)
		return change_refuse(c, REFUSED_NOT_FOUND, "does not exist: 'clusterctl %s list' shows those that do",
				     object_type(op->kind)->name);
	return true;
}

static void note_effects(struct change *c)
{
	switch (c->op->kind) {
	case KIND_CLUSTER:
	case KIND_NODE:
	case KIND_ROLE:
	case KIND_RULE:
	case KIND_VOLUME:
		c->out->topology = true;
		break;
	default:
		break;
	}
}

static bool apply_op(struct change *c)
{
	const struct verb *v = verb_of(c->op->verb);
	const struct object_type *type = object_type(c->op->kind);

	c->id = 0;
	if (!v || !type)
		return change_refuse(
			c, REFUSED_LEVEL,
			"is asked for something that this release does not know: use a clusterctl of the same version");
	if (!(v->kinds & KIND_BIT(type->kind)))
		return change_refuse(c, REFUSED_INVALID, "knows no '%s'%s", change_verb_name(v->verb),
				     kind_hint(type->kind, v->verb));
	if (c->op->n_fields && v->verb != VERB_CREATE && v->verb != VERB_SET)
		return change_refuse(c, REFUSED_BAD_REQUEST, "takes no fields with '%s'", change_verb_name(v->verb));
	if (!v->makes && !find_object(c))
		return false;
	if (!change_guard_ownership(c))
		return false;
	if (type->kind == KIND_VOLUME && !(v->kinds & KIND_BIT(KIND_NETWORK)))
		c->id = c->s->volumes[c->id].role;
	if (!v->apply(c))
		return false;
	if (c->s->undo_full)
		return change_refuse(c, REFUSED_FULL, "makes this change too large: make several smaller ones");
	note_effects(c);
	return true;
}

static bool apply_all(struct change *c, struct reader *r, struct change_op *scratch)
{
	for (c->out->op = 0; reader_left(r); c->out->op++) {
		scratch->kind = 0;
		scratch->name[0] = '\0';
		if (c->out->op == CHANGE_OPS_MAX) {
			c->out->refusal = REFUSED_FULL;
			snprintf(c->out->detail, sizeof(c->out->detail),
				 "the change has more than %d operations: make several smaller ones", CHANGE_OPS_MAX);
			return false;
		}
		if (change_op_decode(r, scratch) < 0) {
			c->out->refusal = REFUSED_BAD_REQUEST;
			snprintf(c->out->detail, sizeof(c->out->detail),
				 "operation %u of the change cannot be read: use a clusterctl of the same version",
				 c->out->op + 1);
			return false;
		}
		if (!apply_op(c))
			return false;
	}
	return true;
}

/*
 * Outside of the undo: it frees whatever the node held, and cannot fail. The engine given is of no use here: the core
 * looks at every role after a change of topology.
 */
static void fence_confirmed(struct state *s, nodeset_t nodes)
{
	struct engine engine;

	engine_init(&engine);
	for (; nodes; nodes &= nodes - 1)
		node_fenced(&engine, s, nodeset_first(nodes), FENCE_BY_ADMIN);
}

bool change_apply(struct state *s, nodeset_t members, const void *ops, size_t len, struct change_op *scratch,
		  struct change_outcome *ret)
{
	struct reader r = reader_of(ops, len);
	struct change c = { .s = s, .members = members, .op = scratch, .out = ret };

	memset(ret, 0, sizeof(*ret));
	if (!len) {
		ret->refusal = REFUSED_BAD_REQUEST;
		snprintf(ret->detail, sizeof(ret->detail), "the change has no operation");
		return false;
	}
	state_begin(s);
	if (apply_all(&c, &r, scratch)) {
		/* Every operation looked at undo_full, so that this cannot fail. */
		if (!state_accept(s)) {
			fence_confirmed(s, c.fenced);
			return true;
		}
		change_refuse(&c, REFUSED_FULL, "makes this change too large: make several smaller ones");
	} else {
		state_rollback(s);
	}
	ret->nodes = 0;
	ret->topology = false;
	return false;
}
