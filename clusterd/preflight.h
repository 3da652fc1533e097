/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does this machine have what the options name? The daemon starts without, and its log says so: what is missing may come
 * later. --check-config tells it before.
 */
#ifndef CLUSTERD_PREFLIGHT_H
#define CLUSTERD_PREFLIGHT_H

#include <stdbool.h>

#include "clusterd/options.h"

/*
 * Calls `tell` for each thing that is missing, "key = value: what is wrong and what to do". Returns their number.
 * `groups`: also those of the control socket, for which the name service may take its time.
 */
unsigned int preflight(const struct options *o, bool groups, void (*tell)(void *user, const char *text), void *user);

#endif
