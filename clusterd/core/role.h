/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The role engine: brings every role towards what is wanted, one replicated step after the other. Pure, on the state
 * alone: the same code runs in the cluster and in `clusterctl simulate`.
 *
 *               want, placed          all resources started
 *   OFFLINE/PENDING ------> STARTING ------------------> ONLINE
 *        ^                     |                            |
 *        |  all stopped        v  failure, move, drain …    |
 *        +----------------- STOPPING <----------------------+        FAILED: stopped, and stays until cleanup or retry
 *
 * A role's owner is set before anything of it starts and cleared only when all of it is stopped, or its node is fenced.
 */
#ifndef CORE_ROLE_H
#define CORE_ROLE_H

#include "clusterd/core/state.h"

/*
 * Roles to look at. A role outside of `work` must be at rest: looking at it would change nothing. `engine_touch_all` is
 * therefore always allowed, and is what a new view does.
 */
struct engine {
	uint64_t work[ROLE_MAX / 64 + 1];
	uint64_t capped[ROLE_MAX / 64 + 1]; /* waiting for a node's operations to get fewer */
	bool sets_stale;                    /* a role came online or went */
	bool newcomers;                     /* a role got a node: one of higher priority that waits may push it aside */
};

void engine_init(struct engine *e);
void engine_touch(struct engine *e, uint32_t role);
void engine_touch_all(struct engine *e, const struct state *s);
/* Roles without a node: something that placement depends on has changed. */
void engine_touch_waiting(struct engine *e, const struct state *s);
/* Works until every role is at rest or waits for an operation's end. */
void engine_run(struct engine *e, struct state *s);

/* A failing monitor of it is told and left so: on_fail=ignore, maintenance, or disarmed. */
bool role_leaves_failing(const struct state *s, uint32_t resource);
/* An operation ended, or (op 0) a recurring monitor failed, or succeeds again. Stale ones change nothing. `node`: who reports. */
void role_result(struct engine *e, struct state *s, uint32_t node, const struct msg_result *m);
/* Everything of the roles of `node` is proven stopped: they are free to go elsewhere. */
void role_release_node(struct engine *e, struct state *s, uint32_t node);
/* Moves the replicated clock: retries, forgotten failures, sets whose delay is over, failback windows. */
void role_clock(struct engine *e, struct state *s, uint64_t now_ms);
/* Something is due for role_clock() at this time. */
bool role_due(const struct state *s, uint64_t now_ms);
/* All resources of the role are stopped. */
bool role_stopped(const struct state *s, uint32_t role);
/* Resource `x` needs `id` now: stopping id would leave one of its terms without a started choice. */
bool resource_holds(const struct state *s, uint32_t x, uint32_t id);

#endif
