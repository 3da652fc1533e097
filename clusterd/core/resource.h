/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Steps of single resources within a role: start, stop, failure. Used by role.c. */
#ifndef CORE_RESOURCE_H
#define CORE_RESOURCE_H

#include "clusterd/core/role.h"

/*
 * Bit i: the i-th resource of the role (lowest id first) must not run now, because a term of its dependencies has no
 * member that is started and itself not in this set.
 */
uint64_t resource_sinking(const struct state *s, uint32_t role);
/* Some other resource of the role is not stopped and needs it. */
bool resource_is_held(const struct state *s, uint32_t id);
/* Puts an operation in flight; false when the node has too many (the role is then `capped`). */
bool resource_begin(struct engine *e, struct state *s, uint32_t id, enum agent_action action);
void resource_set_state(struct state *s, uint32_t id, enum resource_state state);

/* A start that ended so has run no agent: what was stopped before it still is. */
bool resource_never_ran(uint32_t action, uint32_t status);

/* What a failure means for the role. */
enum failure_verdict { FAILURE_RESTART, FAILURE_FAILOVER, FAILURE_FATAL, FAILURE_STOP };
/* Records what the agent said last. */
void resource_note_error(struct state *s, uint32_t id, const struct msg_result *m);
/* Records the failure and counts it. */
enum failure_verdict resource_failed(struct state *s, uint32_t id, const struct msg_result *m);

#endif
