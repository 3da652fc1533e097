/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The one source of chance of a simulation: splitmix64, so that a seed is a whole run. */
#ifndef TESTS_SIM_RNG_H
#define TESTS_SIM_RNG_H

#include <stdbool.h>
#include <stdint.h>

#include "splitmix.h"

struct rng {
	uint64_t state;
	bool middle; /* no chance at all: always the middle, so that a story does not hang on how often chance was asked */
};

static inline uint64_t rng_next(struct rng *r)
{
	return splitmix_next(&r->state);
}

/* 0 .. n - 1; 0 when n is 0. */
static inline uint64_t rng_below(struct rng *r, uint64_t n)
{
	if (r->middle)
		return n / 2;
	return n ? rng_next(r) % n : 0;
}
/* low .. high, both included. */
static inline uint64_t rng_range(struct rng *r, uint64_t low, uint64_t high)
{
	return low + rng_below(r, high - low + 1);
}
static inline bool rng_percent(struct rng *r, uint32_t percent)
{
	return rng_below(r, 100) < percent;
}
static inline bool rng_permille(struct rng *r, uint32_t permille)
{
	return rng_below(r, 1000) < permille;
}

/* About exponential with this mean: many short ones, some four times as long. Integers only: the same on every machine.
 */
static inline uint64_t rng_spread(struct rng *r, uint64_t mean)
{
	uint64_t x = rng_below(r, 1000);

	if (x < 500)
		return rng_below(r, mean / 2 + 1);
	if (x < 850)
		return mean / 2 + rng_below(r, mean + 1);
	return mean + rng_below(r, 3 * mean + 1);
}

#endif
