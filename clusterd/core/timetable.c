/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The chain of time-outs around T_stop. */
#include "clusterd/core/timetable.h"

#define ALIVE_MISSED 3

uint32_t timetable_doubt_ms(const struct cluster *c, bool active)
{
	uint32_t signs = ALIVE_MISSED * c->alive_ms;

	return active && signs > c->quorum_grace_ms ? signs : c->quorum_grace_ms;
}

uint32_t timetable_reset_ms(const struct cluster *c, uint32_t watchdog_ms)
{
	/* A watchdog that does not fit proves nothing to the others: then there is no point in an early reset. */
	return timetable_holds(c, watchdog_ms) ? c->t_stop_ms - watchdog_ms - TIMETABLE_SLACK_MS : c->t_stop_ms;
}

uint32_t timetable_proven_ms(const struct cluster *c) { return c->t_stop_ms + c->fence_margin_ms; }

uint32_t timetable_least_t_stop_ms(const struct cluster *c, uint32_t watchdog_ms)
{
	return timetable_doubt_ms(c, true) + TIMETABLE_STOP_MS + watchdog_ms + TIMETABLE_SLACK_MS;
}

bool timetable_holds(const struct cluster *c, uint32_t watchdog_ms)
{
	return watchdog_ms && c->t_stop_ms >= timetable_least_t_stop_ms(c, watchdog_ms);
}

struct timetable_basis timetable_basis(const struct cluster *c)
{
	return (struct timetable_basis){ c->t_stop_ms, c->quorum_grace_ms, c->alive_ms };
}

bool timetable_shortened(struct timetable_basis before, const struct cluster *c)
{
	return c->t_stop_ms < before.t_stop_ms || c->quorum_grace_ms < before.quorum_grace_ms || c->alive_ms < before.alive_ms;
}
