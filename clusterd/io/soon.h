/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A function called from the loop at its next turn. Not qb_loop_job_add(3): with nothing else to do libqb sleeps 50 ms before
 * it runs a job, so a chain of a hundred jobs takes five seconds. A timer that is due runs at once.
 */
#ifndef CLUSTERD_SOON_H
#define CLUSTERD_SOON_H

#include <qb/qbloop.h>

/* In the order of the calls, within one priority. `handle` may be given to qb_loop_timer_del() until then. */
static inline int soon_add(qb_loop_t *loop, enum qb_loop_priority priority, void *data, qb_loop_timer_dispatch_fn fn,
			   qb_loop_timer_handle *handle)
{
	return qb_loop_timer_add(loop, priority, 0, data, fn, handle);
}

#endif
