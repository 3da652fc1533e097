/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Life of a node in the replicated state.
 *
 *            view, new to it        inventory             view without it
 *   DOWN ----------------> JOINING -----------> ONLINE --------------------> LOST
 *    ^                        |  leaves in order   |                          |  |
 *    +------------------------+<-------------------+      fence confirmed     |  | back before any fence
 *    +------------------------------------------------------------------------+  +------> JOINING
 */
#ifndef CORE_NODE_H
#define CORE_NODE_H

#include "clusterd/core/role.h"

/* An item of MSG_INVENTORY: resource id, and whether it must be stopped. */
#define INVENTORY_FAILED 0x8000u
#define INVENTORY_ID 0x7fffu

/* It was online in the last active view and has gone on with its roles since; `m` is its HELLO. */
bool node_took_part(const struct state *s, uint32_t id, const struct msg_hello *m);
/*
 * A member of a view that becomes active; `m` is its HELLO. Creates the node's object at its first time. `went_on`: as in
 * node_lost().
 */
void node_admit(struct engine *e, struct state *s, uint32_t id, const struct msg_hello *m, bool went_on);
/*
 * A node that was a member is not any more, without a word; `silent`: the others excluded it; `went_on`: others took part
 * all along, so that the loss was this node's own. After an outage of all nobody is to be quarantined for it.
 */
void node_lost(struct engine *e, struct state *s, uint32_t id, bool silent, bool went_on);
/* A lost node is proven unable to act: its roles are free. Nothing when it is not lost. */
void node_fenced(struct engine *e, struct state *s, uint32_t id, enum fence_how how);
/* It told what runs there: its roles' resources become that, it is online. */
int node_inventory(struct engine *e, struct state *s, uint32_t id, const struct msg_inventory *m);
/* It told which volumes it can use. -ESTALE, -EBADMSG: nothing is changed. */
int node_volumes(struct engine *e, struct state *s, uint32_t id, const struct msg_volumes *m);
/* `owner` of a volume got no answer to a recall from the node: it must be fenced. Nothing when that does not fit any more. */
void node_silent(struct engine *e, struct state *s, uint32_t owner, const struct msg_silent *m);
/* It has left in order, with nothing running. */
void node_left(struct engine *e, struct state *s, uint32_t id);
/* The cluster was disarmed: no watchdog may be counted on until its node declares it again. */
void node_disarm(struct state *s);
void node_declare(struct state *s, uint32_t id, const struct msg_declare *m);
/* Ends quarantines whose time is over. */
void node_clock(struct engine *e, struct state *s, uint64_t now_ms);
bool node_due(const struct state *s, uint64_t now_ms);
/* Nodes in a state. */
nodeset_t nodes_in(const struct state *s, enum node_state state);
/* T_stop and margin prove the node stopped only if its own watchdog enforces T_stop. */
bool node_time_proves(const struct state *s, uint32_t id);

#endif
