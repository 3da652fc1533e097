/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Volumes and who needs them. A volume has a role that is its ownership: it is online where one node has the file system
 * mounted. Every node reports which volumes it can use (volumes_up), and goes on reporting one while its requests wait for
 * a new owner. So:
 *
 *   a role starts     where all its volumes can be used, while their ownerships are online
 *   a role runs on    while its node can use them, whatever their ownerships do
 */
#ifndef CORE_VOLUME_USE_H
#define CORE_VOLUME_USE_H

#include "clusterd/core/role.h"

#define VOLUME_PORT_FIRST 7310 /* the port of a volume that names none is this plus its id */

/* "volume.NAME" is the ownership's role, "volume.NAME.owner" its resource: no other role or resource begins so. */
#define VOLUME_ROLE_PREFIX "volume."
#define VOLUME_OWNER_SUFFIX ".owner"
#define VOLUME_AGENT "ocf:clusterd:volume"

static inline uint32_t volume_port(const struct volume *v) { return v->port ? v->port : VOLUME_PORT_FIRST + v->object.id; }

/* Parameters of its owner's agent: lines by name, as a PARAMS value wants them. */
void volume_params(const struct volume *v, char out[PARAMS_SIZE]);
/* The volume whose ownership this role is, 0: none. */
uint32_t volume_of_role(const struct state *s, uint32_t role);
bool volume_is_needed_by(const struct role *r, uint32_t volume);
/* Its ownership is online. */
bool volume_is_online(const struct state *s, uint32_t volume);
/* The node that owns it or is about to, 0: none. */
uint32_t volume_owner(const struct state *s, uint32_t volume);
/* The first of the role's volumes that cannot be used on the node, 0: none. */
uint32_t volume_missing(const struct state *s, const struct role *r, uint32_t node);
/* The first of the role's volumes whose ownership is not online, 0: none. */
uint32_t volume_awaited(const struct state *s, const struct role *r);
/* The first of the role's volumes that somebody wants offline: the role has to stop before it. 0: none. */
uint32_t volume_unwanted(const struct state *s, const struct role *r);
/* The role is an ownership on its way offline, and somebody who needs the volume has yet to stop. */
bool volume_is_held(const struct state *s, uint32_t role);
/* Something about the volume (0: of none) changed that its users look at. */
void volume_touch_users(struct engine *e, const struct state *s, uint32_t volume);
/* The role has let go of its node: the ownerships of its volumes may go on. */
void volume_touch_owners(struct engine *e, const struct state *s, uint32_t role);

#endif
