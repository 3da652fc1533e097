/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When a role leaves its node, and where it goes. Used by role.c. */
#ifndef CORE_ROLE_MOVE_H
#define CORE_ROLE_MOVE_H

#include "clusterd/core/place.h"
#include "clusterd/core/reason.h"
#include "clusterd/core/role.h"

/* The reason says why a role changed its node, and is kept while it runs there. */
bool reason_is_move(enum reason reason);
/* The reason says what a role waits for. */
bool reason_is_wait(enum reason reason);
bool role_period_over(const struct role *r, uint64_t now_ms);
/*
 * Quorum was forced in the past, and a member has not told yet what it runs: it may come from the side that was dropped,
 * and hold roles that this side believes to be free.
 */
bool role_history_in_doubt(const struct state *s);
/* All sets that its sets wait for are online and their delays are over. */
bool role_sets_ready(const struct state *s, uint32_t role);
void role_sets_update(struct engine *e, struct state *s);
/* Node for a role that has none: its target when that is still good, else the policy's choice. */
void role_choose_node(struct state *s, uint32_t role, struct placement *ret);
/* `other` was asked to stop, and `role` cannot be at its target before that is done: for room, or by a hard anti-affinity. */
bool role_makes_room(struct state *s, uint32_t other, uint32_t role);
/* All who were asked to leave for it are still on their way out. */
bool role_room_coming(struct state *s, uint32_t role);
/* Left as it is, by disarm or maintenance. */
bool role_frozen(const struct state *s, const struct role *r);
/* Roles that hard affinities keep together, as far as they move together. */
struct role_group {
	uint32_t n;
	uint16_t roles[ROLELIST_MAX];
};
/*
 * Aims the role at this node, where it belongs, and with it its companions by hard affinity; `ret` is all that were aimed.
 * False: there is no room for all, or one of them may not move now; nothing is aimed then.
 */
bool role_aim_back(struct state *s, uint32_t role, uint32_t node, struct role_group *ret);
/* The role must be stopped on its node; may set its target, and that of its companions. */
bool role_must_leave(struct engine *e, struct state *s, uint32_t role);
/* An online role that might go elsewhere when something changes: failback, drain, a rule. Cheap, may say yes too often. */
bool role_would_move(const struct state *s, uint32_t role);
/* Something of it becomes due between the replicated clock and `now_ms`: its failures are forgotten, its window opens. */
bool role_is_due(const struct state *s, const struct role *r, uint64_t now_ms);
/* Its delay ends between the replicated clock and `now_ms`. */
bool set_is_due(const struct state *s, const struct set *set, uint64_t now_ms);
void engine_touch_set(struct engine *e, const struct set *set);

#endif
