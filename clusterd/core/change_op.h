/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One operation on its way: what its verbs and checks share. Used by change*.c alone. */
#ifndef CORE_CHANGE_OP_H
#define CORE_CHANGE_OP_H

#include "clusterd/core/change.h"
#include "clusterd/core/reason.h"

struct change {
	struct state *s;
	nodeset_t members; /* of the active view */
	const struct change_op *op;
	uint32_t id; /* the object named; 0 while it is created or for an unknown one */
	struct change_outcome *out;
	nodeset_t fenced; /* nodes whose fence is confirmed when all operations are accepted */
};

/*
 * Refuses the operation: sets refusal and detail ("role 'web' " and the text) and returns false, for `return
 * change_refuse(…)`. The text says why and what to do.
 */
__attribute__((format(printf, 3, 4))) bool change_refuse(struct change *c, enum refusal refusal, const char *format,
							 ...);

/* Verbs on roles and resources, and on nodes. False: refused. */
bool change_role_start(struct change *c);
bool change_role_stop(struct change *c);
bool change_role_move(struct change *c);
bool change_cleanup(struct change *c);
bool change_restart(struct change *c);
bool change_node_pause(struct change *c);
bool change_node_resume(struct change *c);
bool change_node_drain(struct change *c);
bool change_node_stop(struct change *c);
bool change_node_evict(struct change *c);
bool change_node_fenced(struct change *c);
bool change_upgrade(struct change *c);

/* Volumes (change_volume.c). False: refused. */
bool change_check_volume(struct change *c);
/* After its fields were set: makes its ownership. */
bool change_volume_created(struct change *c);
/* After fields were set: `before` is what it was. */
bool change_volume_set(struct change *c, const struct volume *before);
/* Gives it, and its ownership, the name in arg. */
bool change_volume_renamed(struct change *c);
bool change_check_delete_volume(struct change *c);
/* Before it is deleted: no node has it any more. Returns its ownership's role, which goes with it. */
uint32_t change_volume_gone(struct change *c);
/* The times of the cluster have changed: those of ownerships that follow them do. */
void change_volumes_follow(struct state *s, const struct cluster *before);
void change_volumes_forget_node(struct state *s, uint32_t node);
/* The role is to be stopped: not while somebody runs on its volume. */
bool change_check_volume_stop(struct change *c, uint32_t role);
/* Refuses operations on roles and resources that would part a volume from its ownership. */
bool change_guard_ownership(struct change *c);
/* The resource may be in its role. */
bool change_check_role_of(struct change *c, const struct resource *r);

/* Failures, bans and a move by hand are forgotten; one that has failed is tried again, for this reason. */
void change_forgive_role(struct state *s, uint32_t role, enum reason reason);

/* Checks an object against its companions, as it stands after its fields were set. False: refused. */
bool change_check_object(struct change *c);
/* The object may go. False: refused, naming who needs it. */
bool change_check_delete(struct change *c);

#endif
