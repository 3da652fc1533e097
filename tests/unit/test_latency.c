/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Histogram of latencies: buckets and quantiles at their edges. */
#include "proto/latency.h"
#include "tests/lib/check.h"

int main(void)
{
	struct vol_latency l = { 0 };

	CHECK_EQ(latency_bucket(0), 0);
	CHECK_EQ(latency_bucket(1), 1);
	CHECK_EQ(latency_bucket(127), 7);
	CHECK_EQ(latency_bucket(128), 8);
	CHECK_EQ(latency_bucket(UINT64_MAX), VOL_LATENCY_BUCKETS - 1);
	CHECK_EQ(latency_quantile(&l, 500), 0);
	l.n[latency_bucket(100)] = 989;
	l.n[latency_bucket(5000)] = 11;
	CHECK_EQ(latency_count(&l), 1000);
	CHECK_EQ(latency_quantile(&l, 0), 1);
	CHECK_EQ(latency_quantile(&l, 989), 128);
	CHECK_EQ(latency_quantile(&l, 990), 8192);
	CHECK_EQ(latency_quantile(&l, 1000), 8192);
	l.n[VOL_LATENCY_BUCKETS - 1] = 1;
	CHECK_EQ(latency_quantile(&l, 1000), UINT64_MAX);
	l.n[0] = UINT64_MAX / 2; /* no overflow on the way */
	CHECK_EQ(latency_quantile(&l, 990), 1);
	return check_result();
}
