/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Clocks, for what has any: proto and core have none. */
#ifndef CLUSTER_CLOCK_H
#define CLUSTER_CLOCK_H

#include <stdint.h>
#include <time.h>

#include "units.h"

/* Milliseconds of CLOCK_MONOTONIC, CLOCK_REALTIME … */
static inline uint64_t clock_ms(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * MS_PER_SECOND + (uint64_t)t.tv_nsec / 1000000;
}

static inline uint64_t clock_us(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

#endif
