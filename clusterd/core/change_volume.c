/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Volumes and their ownerships: a role of kind volume with one resource, made, set, renamed and deleted with the volume.
 * What would part them is refused, with the command to use instead.
 */
#include <stdio.h>
#include <string.h>

#include "clusterd/core/change_op.h"
#include "clusterd/core/timetable.h"
#include "clusterd/core/volume_use.h"
#include "text.h"

#define VOLUME_NAME_LONGEST (int)(NAME_SIZE - sizeof(VOLUME_ROLE_PREFIX VOLUME_OWNER_SUFFIX))
#define VOLUME_START_TIMEOUT_MS (90 * MS_PER_SECOND) /* a journal to replay, and the device's recovery before it */
#define VOLUME_STOP_TIMEOUT_MIN_MS (5 * MS_PER_SECOND)
#define VOLUME_FAILOVERS 10 /* rather tried once more than left: whoever needs it has nothing without it */

static void role_name(const char *volume, char out[NAME_SIZE])
{
	snprintf(out, NAME_SIZE, VOLUME_ROLE_PREFIX "%.*s", VOLUME_NAME_LONGEST, volume);
}

static void resource_name(const char *volume, char out[NAME_SIZE])
{
	snprintf(out, NAME_SIZE, VOLUME_ROLE_PREFIX "%.*s" VOLUME_OWNER_SUFFIX, VOLUME_NAME_LONGEST, volume);
}

static bool name_is_reserved(const char *name) { return !strncmp(name, VOLUME_ROLE_PREFIX, sizeof(VOLUME_ROLE_PREFIX) - 1); }

/* ---- the volume ---- */

static bool check_name(struct change *c, const char *name)
{
	if (strlen(name) > (size_t)VOLUME_NAME_LONGEST)
		return change_refuse(c, REFUSED_INVALID, "cannot have that name: a volume's name has at most %d characters",
				     VOLUME_NAME_LONGEST);
	return true;
}

bool change_check_volume(struct change *c)
{
	const struct state *s = c->s;
	const struct volume *v = &s->volumes[c->id];

	if (v->device[0] != '/')
		return change_refuse(c, REFUSED_INVALID, "has no device: set the field 'device' to the path of a block device");
	for (uint32_t id = 1; id <= s->high[KIND_VOLUME]; id++) {
		const struct volume *other = state_volume(s, id);

		if (!other || id == c->id)
			continue;
		if (!strcmp(other->device, v->device))
			return change_refuse(c, REFUSED_INVALID, "cannot have the device %s: the volume '%s' has it", v->device,
					     other->name);
		if (volume_port(other) == volume_port(v))
			return change_refuse(c, REFUSED_INVALID,
					     "cannot have the port %u: the volume '%s' has it, and one node may own both",
					     volume_port(v), other->name);
	}
	return true;
}

static void set_params(struct state *s, const struct volume *v, uint32_t resource)
{
	struct resource *r = state_edit(s, KIND_RESOURCE, resource);
	char params[PARAMS_SIZE];

	volume_params(v, params);
	if (!strcmp(params, r->params))
		return;
	if (r->state == RES_STARTED || r->state == RES_STARTING || r->state == RES_UNKNOWN)
		r->reload_wanted = 1;
	memset(r->params, 0, sizeof(r->params));
	text_copy(r->params, sizeof(r->params), params);
}

/* What is left of T_stop when the doubt is over: a stop that takes longer ends by a reset. */
static uint32_t stop_timeout_ms(const struct cluster *c)
{
	uint32_t begins = timetable_doubt_ms(c, true) + TIMETABLE_SLACK_MS;
	uint32_t room = c->t_stop_ms > begins ? c->t_stop_ms - begins : 0;

	return room > VOLUME_STOP_TIMEOUT_MIN_MS ? room : VOLUME_STOP_TIMEOUT_MIN_MS;
}

static bool make_one(struct change *c, uint32_t kind, const char *name, uint32_t *ret)
{
	if (state_find(c->s, kind, name))
		return change_refuse(c, REFUSED_EXISTS, "cannot have its ownership: there is a %s '%s' already",
				     object_type(kind)->name, name);
	*ret = state_create(c->s, kind, name, 0);
	if (!*ret)
		return change_refuse(c, REFUSED_FULL, "cannot have its ownership: the cluster holds at most %u of the kind %s",
				     object_type(kind)->max, object_type(kind)->name);
	event_add(c->s, &(struct event_about){ REASON_CREATED, kind, *ret, 0, 0, NULL });
	return true;
}

bool change_volume_created(struct change *c)
{
	struct state *s = c->s;
	struct volume *v;
	char name[NAME_SIZE];
	struct resource *res;
	uint32_t role = 0, resource = 0;
	struct role *r;

	if (!check_name(c, c->op->name))
		return false;
	role_name(c->op->name, name);
	if (!make_one(c, KIND_ROLE, name, &role))
		return false;
	r = state_edit(s, KIND_ROLE, role);
	r->kind = ROLE_OF_VOLUME;
	r->priority = PRIORITY_HIGH;
	r->threshold = VOLUME_FAILOVERS;
	r->reason = REASON_CREATED;
	r->since_ms = s->cluster.now_ms;
	resource_name(c->op->name, name);
	if (!make_one(c, KIND_RESOURCE, name, &resource))
		return false;
	res = state_edit(s, KIND_RESOURCE, resource);
	text_copy(res->agent, sizeof(res->agent), VOLUME_AGENT);
	res->start_timeout_ms = VOLUME_START_TIMEOUT_MS;
	res->stop_timeout_ms = stop_timeout_ms(&s->cluster);
	res->since_ms = s->cluster.now_ms;
	state_set_role_of(s, resource, role);
	v = state_edit(s, KIND_VOLUME, c->id);
	v->role = role;
	v->number = ((struct cluster *)state_edit(s, KIND_CLUSTER, 1))->next_op++;
	set_params(s, v, resource);
	return true;
}

/* Nothing of it is mounted by an owner, and none is to be. */
static bool is_offline(const struct state *s, const struct volume *v)
{
	const struct role *r = &s->roles[v->role];

	return !r->owner && role_stopped(s, v->role) && !r->want;
}

bool change_volume_set(struct change *c, const struct volume *before)
{
	const struct volume *v = &c->s->volumes[c->id];

	if (strcmp(before->device, v->device) && !is_offline(c->s, v))
		return change_refuse(c, REFUSED_STATE, "changes its device only while it is offline: clusterctl volume stop %s",
				     v->name);
	set_params(c->s, v, c->s->role_resource[v->role]);
	return true;
}

bool change_volume_renamed(struct change *c)
{
	struct state *s = c->s;
	const struct volume *v = &s->volumes[c->id];
	uint32_t resource = s->role_resource[v->role];
	char role[NAME_SIZE], owner[NAME_SIZE];

	if (!is_offline(s, v))
		return change_refuse(c, REFUSED_STATE,
				     "gets another name, and so another directory, only while it is offline: "
				     "clusterctl volume stop %s",
				     c->op->name);
	if (!check_name(c, c->op->arg))
		return false;
	role_name(c->op->arg, role);
	resource_name(c->op->arg, owner);
	if (state_find(s, KIND_ROLE, role) || state_find(s, KIND_RESOURCE, owner))
		return change_refuse(c, REFUSED_EXISTS, "cannot be called '%s': a role or resource has the name of its ownership",
				     c->op->arg);
	state_rename(s, KIND_VOLUME, c->id, c->op->arg);
	state_rename(s, KIND_ROLE, v->role, role);
	state_rename(s, KIND_RESOURCE, resource, owner);
	set_params(s, v, resource);
	return true;
}

/* The roles that name it: how many, and as many names as fit. */
static uint32_t list_users(const struct state *s, uint32_t volume, char *out, size_t size)
{
	uint32_t n = 0;
	size_t at = 0;

	out[0] = '\0';
	for (uint32_t id = 1; id <= s->high[KIND_ROLE]; id++) {
		if (!state_role(s, id) || !volume_is_needed_by(&s->roles[id], volume))
			continue;
		if (at < size)
			at += (size_t)snprintf(out + at, size - at, "%s%s", n ? ", " : "", s->roles[id].name);
		n++;
	}
	return n;
}

bool change_check_delete_volume(struct change *c)
{
	const struct state *s = c->s;
	const struct volume *v = &s->volumes[c->id];
	const struct role *r = &s->roles[v->role];
	char users[TEXT_SIZE];

	if (r->owner || !role_stopped(s, v->role))
		return change_refuse(c, REFUSED_STATE, "is %s%s%s: stop it first: clusterctl volume stop %s",
				     enum_text(enum_values_role_state, r->state), r->owner ? " on node " : "",
				     r->owner ? s->nodes[r->owner].name : "", v->name);
	if (r->state != ROLE_OFFLINE && !c->op->force)
		return change_refuse(c, REFUSED_STATE,
				     "is %s, not offline: stop it first (clusterctl volume stop %s), or use --force",
				     enum_text(enum_values_role_state, r->state), v->name);
	if (list_users(s, c->id, users, sizeof(users)))
		return change_refuse(c, REFUSED_IN_USE,
				     "is needed by: %s; take it out of their field 'volumes' first "
				     "(clusterctl role set ROLE volumes-=%s)",
				     users, v->name);
	return true;
}

uint32_t change_volume_gone(struct change *c)
{
	struct state *s = c->s;

	for (uint32_t id = 1; id <= s->high[KIND_NODE]; id++)
		if (state_node(s, id) && volume_set_has(&s->nodes[id].volumes_up, c->id))
			volume_set_put(&((struct node *)state_edit(s, KIND_NODE, id))->volumes_up, c->id, false);
	return s->volumes[c->id].role;
}

/* A time-out that somebody has set otherwise stays as it is. */
void change_volumes_follow(struct state *s, const struct cluster *before)
{
	uint32_t was = stop_timeout_ms(before), is = stop_timeout_ms(&s->cluster);

	for (uint32_t id = 1; was != is && id <= s->high[KIND_VOLUME]; id++) {
		uint32_t resource = state_volume(s, id) ? s->role_resource[s->volumes[id].role] : 0;

		if (resource && s->resources[resource].stop_timeout_ms == was)
			((struct resource *)state_edit(s, KIND_RESOURCE, resource))->stop_timeout_ms = is;
	}
}

void change_volumes_forget_node(struct state *s, uint32_t node)
{
	for (uint32_t id = 1; id <= s->high[KIND_VOLUME]; id++)
		if (state_volume(s, id) && nodeset_has(s->volumes[id].redirected, node))
			((struct volume *)state_edit(s, KIND_VOLUME, id))->redirected &= ~NODE_BIT(node);
}

bool change_check_volume_stop(struct change *c, uint32_t role)
{
	const struct state *s = c->s;
	uint32_t volume = volume_of_role(s, role);

	for (uint32_t id = 1; volume && !c->op->force && id <= s->high[KIND_ROLE]; id++)
		if (state_role(s, id) && s->roles[id].owner && volume_is_needed_by(&s->roles[id], volume))
			return change_refuse(c, REFUSED_IN_USE,
					     "is needed by the role '%s', which is on node '%s': stop that first, or stop it, "
					     "and all others that need the volume, before it: clusterctl volume stop %s --force",
					     s->roles[id].name, s->nodes[s->roles[id].owner].name, s->volumes[volume].name);
	return true;
}

/* ---- what may not be done to an ownership ---- */

static bool sets_field(const struct change *c, const char *name)
{
	const struct field *f = object_field(object_type(c->op->kind), name);

	for (size_t i = 0; i < c->op->n_fields; i++)
		if (c->op->fields[i].number == f->number)
			return true;
	return false;
}

static bool guard_role(struct change *c)
{
	uint32_t volume = volume_of_role(c->s, c->id);
	const char *name = volume ? c->s->volumes[volume].name : "";

	if (!volume)
		return true;
	if (c->op->verb == VERB_DELETE)
		return change_refuse(c, REFUSED_INVALID, "is the ownership of the volume '%s': clusterctl volume remove %s", name,
				     name);
	if (c->op->verb == VERB_RENAME)
		return change_refuse(c, REFUSED_INVALID, "is the ownership of the volume '%s': clusterctl volume rename %s NAME",
				     name, name);
	if (c->op->verb == VERB_SET && sets_field(c, "volumes"))
		return change_refuse(c, REFUSED_INVALID, "is the ownership of the volume '%s' and cannot need volumes", name);
	return true;
}

static bool guard_resource(struct change *c)
{
	static const char *const fixed[] = { "role", "agent", "params", "depends" };
	uint32_t volume = c->id ? volume_of_role(c->s, c->s->resources[c->id].role) : 0;
	const char *name = volume ? c->s->volumes[volume].name : "";

	if (!volume)
		return true;
	if (c->op->verb == VERB_DELETE || c->op->verb == VERB_RENAME)
		return change_refuse(c, REFUSED_INVALID, "belongs to the volume '%s': clusterctl volume %s %s", name,
				     c->op->verb == VERB_DELETE ? "remove" : "rename", name);
	for (size_t i = 0; c->op->verb == VERB_SET && i < ARRAY_SIZE(fixed); i++)
		if (sets_field(c, fixed[i]))
			return change_refuse(c, REFUSED_INVALID,
					     "belongs to the volume '%s' and has its field '%s' from that: "
					     "clusterctl volume set %s",
					     name, fixed[i], name);
	return true;
}

bool change_guard_ownership(struct change *c)
{
	const struct change_op *op = c->op;
	const char *name = op->verb == VERB_RENAME ? op->arg : op->name;

	if (op->kind != KIND_ROLE && op->kind != KIND_RESOURCE)
		return true;
	if (!(op->kind == KIND_ROLE ? guard_role(c) : guard_resource(c)))
		return false;
	if ((op->verb == VERB_CREATE || op->verb == VERB_RENAME) && name_is_reserved(name))
		return change_refuse(c, REFUSED_INVALID,
				     "cannot be called '%s': names that begin with '" VOLUME_ROLE_PREFIX
				     "' are those of the ownerships of volumes (clusterctl volume add)",
				     name);
	return true;
}

bool change_check_role_of(struct change *c, const struct resource *r)
{
	uint32_t volume = volume_of_role(c->s, r->role);

	if (!volume || c->s->role_resource[r->role] == c->id)
		return true;
	return change_refuse(c, REFUSED_INVALID, "cannot be in the role '%s': that is the ownership of the volume '%s' alone",
			     c->s->roles[r->role].name, c->s->volumes[volume].name);
}
