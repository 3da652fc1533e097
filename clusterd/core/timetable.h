/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The chain of time-outs that lets a lost node's roles start elsewhere [I3], in one place. Milliseconds; on the lost node
 * counted from the last moment at which it surely was with a majority, on the others from their first view without it,
 * which is later.
 *
 *   lost node                                              the others
 *   0                        hears of no majority any more
 *   quorum_grace             stops its resources            (some time later: a view without it)
 *   timetable_reset_ms()     pets its watchdog no longer
 *   t_stop                   has been reset                 wait …
 *                                                           t_stop + fence_margin: its roles start
 *
 * In an active view, where a sign of life comes back every alive interval, three missing ones open the doubt.
 */
#ifndef CORE_TIMETABLE_H
#define CORE_TIMETABLE_H

#include "proto/objects.h"

#define TIMETABLE_SLACK_MS 500  /* a tick and a pet may be late by this much */
#define TIMETABLE_STOP_MS 1000  /* the least that must remain for stopping resources */

/* From when on a node without word of a majority stops its resources. `active`: it believes itself in an active view. */
uint32_t timetable_doubt_ms(const struct cluster *c, bool active);
/* From when on its watchdog is petted no longer, and a reset is tried: with this watchdog it ends before t_stop. */
uint32_t timetable_reset_ms(const struct cluster *c, uint32_t watchdog_ms);
/* From when on the others may count on its end, if timetable_holds(). */
uint32_t timetable_proven_ms(const struct cluster *c);
/* A node with this watchdog (0: none) surely ends by t_stop, and has room to stop its resources first. */
bool timetable_holds(const struct cluster *c, uint32_t watchdog_ms);
/* What the times of a lost node depend on. */
struct timetable_basis {
	uint32_t t_stop_ms, quorum_grace_ms, alive_ms;
};
struct timetable_basis timetable_basis(const struct cluster *c);
/* A node that still goes by `before` may end later than the others now think. */
bool timetable_shortened(struct timetable_basis before, const struct cluster *c);
/* The shortest t_stop that holds with this watchdog. */
uint32_t timetable_least_t_stop_ms(const struct cluster *c, uint32_t watchdog_ms);

#endif
