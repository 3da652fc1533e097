/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The watchdog: armed while this node may run roles, petted from the loop only up to a deadline that the caller moves. It
 * stays armed when the process dies; the next instance opens it again. Only watchdog_release() disarms.
 *
 * Drivers: `device` = /dev/watchdog (Linux watchdog-api.rst: WDIOC_SETTIMEOUT, magic close), `pipe` = a FIFO that a test
 * rig reads ("T<ms>\n" sets the time-out and arms, "P" pets, "V" disarms), `none`.
 */
#ifndef CLUSTERD_WATCHDOG_H
#define CLUSTERD_WATCHDOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <qb/qbloop.h>

#define WATCHDOG_PET_DIVISOR 4 /* pets per time-out */

enum watchdog_driver { WATCHDOG_NONE, WATCHDOG_DEVICE, WATCHDOG_PIPE };

struct watchdog;

/* CLOCK_MONOTONIC in milliseconds: the clock of all deadlines here. */
uint64_t watchdog_now_ms(void);

/*
 * Opens; arms only with the first watchdog_deadline(). -EINVAL, -ENODEV, -EBUSY … with `text`. A device that cannot hold
 * `timeout_ms` exactly (whole seconds) is refused, here or by watchdog_deadline (-ERANGE): the fencing time table rests
 * on it.
 */
int watchdog_open(struct watchdog **ret_watchdog, qb_loop_t *loop, enum watchdog_driver driver, const char *path,
		  uint32_t timeout_ms, char *text, size_t text_size);
/*
 * Pet until `deadline_ms` (UINT64_MAX: no limit); 0 = stop petting now: an armed machine resets within timeout_ms. Arms
 * when not yet armed; negative errno when it cannot: the node must not run roles then.
 */
int watchdog_deadline(struct watchdog *w, uint64_t deadline_ms);
bool watchdog_armed(const struct watchdog *w);
/* Errors of petting since the last call, 0 if none: the caller logs it, the machine will reset. */
int watchdog_error(struct watchdog *w);
/* Disarms (magic close); orderly stop only, when no role runs here. watchdog_deadline() arms again. */
int watchdog_release(struct watchdog *w);
/* Closes without disarming. */
void watchdog_free(struct watchdog *w);

#endif
