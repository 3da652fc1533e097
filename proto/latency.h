/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Histogram of how long something took: bucket k counts what took less than 2^k microseconds and not less than half of that; the
 * last one also whatever took longer. Pure; who counts from several threads adds atomically to `n`.
 */
#ifndef PROTO_LATENCY_H
#define PROTO_LATENCY_H

#include <stdint.h>

#define VOL_LATENCY_BUCKETS 24 /* the last one begins at 4 s */

struct vol_latency {
	uint64_t n[VOL_LATENCY_BUCKETS];
};

static inline unsigned int latency_bucket(uint64_t us)
{
	unsigned int k = us ? 64u - (unsigned int)__builtin_clzll(us) : 0;

	return k < VOL_LATENCY_BUCKETS ? k : VOL_LATENCY_BUCKETS - 1;
}

static inline uint64_t latency_count(const struct vol_latency *l)
{
	uint64_t sum = 0;

	for (unsigned int k = 0; k < VOL_LATENCY_BUCKETS; k++)
		sum += l->n[k];
	return sum;
}

/*
 * At least `permille` thousandths took less than this many microseconds. UINT64_MAX: longer than is counted; 0: nothing is.
 */
static inline uint64_t latency_quantile(const struct vol_latency *l, unsigned int permille)
{
	uint64_t count = latency_count(l), want = count / 1000 * permille + (count % 1000 * permille + 999) / 1000, seen = 0;
	unsigned int k = 0;

	if (!count)
		return 0;
	while (k < VOL_LATENCY_BUCKETS - 1 && (seen += l->n[k]) < want)
		k++;
	return k == VOL_LATENCY_BUCKETS - 1 ? UINT64_MAX : (uint64_t)1 << k;
}

#endif
