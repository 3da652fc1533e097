/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counters of reads and writes, for status: bytes, operations, and how long they took. Any thread. */
#ifndef CSVFS_IO_IO_COUNT_H
#define CSVFS_IO_IO_COUNT_H

#include <stdatomic.h>

#include "clock.h"
#include "proto/latency.h"

struct io_count {
	_Atomic uint64_t bytes, ops, us[VOL_LATENCY_BUCKETS];
};

/* One operation that was done; it began at `since_us` of CLOCK_MONOTONIC. */
static inline void io_counted(struct io_count *c, uint64_t bytes, uint64_t since_us)
{
	atomic_fetch_add_explicit(&c->bytes, bytes, memory_order_relaxed);
	atomic_fetch_add_explicit(&c->ops, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&c->us[latency_bucket(clock_us(CLOCK_MONOTONIC) - since_us)], 1, memory_order_relaxed);
}

static inline struct vol_latency io_latency(const struct io_count *c)
{
	struct vol_latency l;

	for (unsigned int k = 0; k < VOL_LATENCY_BUCKETS; k++)
		l.n[k] = atomic_load_explicit(&c->us[k], memory_order_relaxed);
	return l;
}

#endif
