/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Volumes and the roles that need them. */
#include "clusterd/core/volume_use.h"

#include <stdio.h>

#include "clusterd/core/canary.h"
#include "clusterd/core/role_move.h"

void volume_params(const struct volume *v, char out[PARAMS_SIZE])
{
	snprintf(out, PARAMS_SIZE, "device=%s\nport=%u\nrecall=%u\nvolume=%s\n", v->device, volume_port(v), v->recall_ms, v->name);
}

uint32_t volume_of_role(const struct state *s, uint32_t role)
{
	if (!state_role(s, role) || s->roles[role].kind != ROLE_OF_VOLUME)
		return 0;
	for (uint32_t id = 1; id <= s->high[KIND_VOLUME]; id++)
		if (state_volume(s, id) && s->volumes[id].role == role)
			return id;
	return 0;
}

bool volume_is_needed_by(const struct role *r, uint32_t volume)
{
	for (uint32_t i = 0; i < VOLUMELIST_MAX && r->volumes[i]; i++)
		if (r->volumes[i] == volume)
			return true;
	return false;
}

static const struct role *ownership(const struct state *s, uint32_t volume)
{
	const struct volume *v = state_volume(s, volume);

	return v ? state_role(s, v->role) : NULL;
}

bool volume_is_online(const struct state *s, uint32_t volume)
{
	const struct role *r = ownership(s, volume);

	return r && r->state == ROLE_ONLINE;
}

uint32_t volume_owner(const struct state *s, uint32_t volume)
{
	const struct role *r = ownership(s, volume);

	return r ? r->owner : 0;
}

uint32_t volume_missing(const struct state *s, const struct role *r, uint32_t node)
{
	for (uint32_t i = 0; i < VOLUMELIST_MAX && r->volumes[i]; i++)
		if (!volume_set_has(&s->nodes[node].volumes_up, r->volumes[i]))
			return r->volumes[i];
	return 0;
}

uint32_t volume_awaited(const struct state *s, const struct role *r)
{
	for (uint32_t i = 0; i < VOLUMELIST_MAX && r->volumes[i]; i++)
		if (!volume_is_online(s, r->volumes[i]))
			return r->volumes[i];
	return 0;
}

uint32_t volume_unwanted(const struct state *s, const struct role *r)
{
	for (uint32_t i = 0; i < VOLUMELIST_MAX && r->volumes[i]; i++) {
		const struct role *owner = ownership(s, r->volumes[i]);

		if (!owner || !owner->want)
			return r->volumes[i];
	}
	return 0;
}

/* It runs, and stops: now, or when the volume is to go offline. */
static bool has_yet_to_stop(const struct state *s, const struct role *user, bool unwanted)
{
	if (!user->owner || s->nodes[user->owner].state != NODE_ONLINE || role_frozen(s, user) ||
	    role_stopped(s, user->object.id))
		return false;
	return unwanted || user->state == ROLE_STOPPING || user->state == ROLE_FAILED ||
	       s->nodes[user->owner].admin == ADMIN_STOPPING;
}

bool volume_is_held(const struct state *s, uint32_t role)
{
	const struct role *r = &s->roles[role];
	uint32_t volume = volume_of_role(s, role);

	if (CANARY(CANARY_OWNER_FIRST))
		return false;
	/* One that goes elsewhere need not wait: its users wait for it. One that failed is of no use to them. */
	if (!volume || r->target || r->state == ROLE_FAILED || (r->want && s->nodes[r->owner].admin != ADMIN_STOPPING))
		return false;
	for (uint32_t id = 1; id <= s->high[KIND_ROLE]; id++)
		if (state_role(s, id) && volume_is_needed_by(&s->roles[id], volume) &&
		    has_yet_to_stop(s, &s->roles[id], !r->want))
			return true;
	return false;
}

void volume_touch_users(struct engine *e, const struct state *s, uint32_t volume)
{
	for (uint32_t id = 1; volume && id <= s->high[KIND_ROLE]; id++)
		if (state_role(s, id) && volume_is_needed_by(&s->roles[id], volume))
			engine_touch(e, id);
}

void volume_touch_owners(struct engine *e, const struct state *s, uint32_t role)
{
	const struct role *r = &s->roles[role];

	for (uint32_t i = 0; i < VOLUMELIST_MAX && r->volumes[i]; i++)
		if (ownership(s, r->volumes[i]))
			engine_touch(e, s->volumes[r->volumes[i]].role);
}
