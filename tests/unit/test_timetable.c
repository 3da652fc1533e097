/* SPDX-License-Identifier: GPL-2.0-or-later */
/* [I3] The chain of time-outs around T_stop, recomputed: for the defaults as clusterd(8) tells them, and for all others. */
#include "clusterd/core/timetable.h"
#include "tests/lib/check.h"

static struct cluster defaults(void)
{
	struct cluster c;

	object_init(object_type(KIND_CLUSTER), &c, 1);
	return c;
}

/* The table of clusterd(8), with the default watchdog_timeout of clusterd.conf(5). */
static void test_manual(void)
{
	struct cluster c = defaults();

	CHECK_EQ(timetable_doubt_ms(&c, false), 5000);
	CHECK_EQ(timetable_doubt_ms(&c, true), 6000);
	CHECK_EQ(timetable_reset_ms(&c, 10000), 19500);
	CHECK_EQ(c.t_stop_ms, 30000);
	CHECK_EQ(timetable_proven_ms(&c), 33000);
	CHECK(timetable_holds(&c, 10000));
}

/* For every setting that holds: stop, then reset, then T_stop, then the others, with room between. */
static void test_chain(void)
{
	struct cluster c = defaults();
	uint32_t held = 0, refused = 0;

	for (c.t_stop_ms = 2000; c.t_stop_ms <= 62000; c.t_stop_ms += 1500)
		for (c.quorum_grace_ms = 0; c.quorum_grace_ms <= 20000; c.quorum_grace_ms += 1250)
			for (c.alive_ms = 200; c.alive_ms <= 10000; c.alive_ms += 700)
				for (uint32_t watchdog_ms = 0; watchdog_ms <= 60000; watchdog_ms += 1500) {
					uint32_t reset_ms = timetable_reset_ms(&c, watchdog_ms);

					if (!timetable_holds(&c, watchdog_ms)) {
						refused++;
						CHECK_EQ(reset_ms, c.t_stop_ms);
						continue;
					}
					held++;
					CHECK(timetable_doubt_ms(&c, true) + TIMETABLE_STOP_MS <= reset_ms);
					CHECK(reset_ms + watchdog_ms < c.t_stop_ms);
					CHECK(c.t_stop_ms < timetable_proven_ms(&c));
				}
	CHECK(held > 1000 && refused > 1000);
}

static void test_edges(void)
{
	struct cluster c = defaults();

	CHECK(!timetable_holds(&c, 0)); /* no watchdog: waiting proves nothing */
	c.t_stop_ms = timetable_least_t_stop_ms(&c, 10000);
	CHECK(timetable_holds(&c, 10000));
	c.t_stop_ms--;
	CHECK(!timetable_holds(&c, 10000));
}

int main(void)
{
	test_manual();
	test_chain();
	test_edges();
	return check_result();
}
