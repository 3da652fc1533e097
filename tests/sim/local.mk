# SPDX-License-Identifier: GPL-2.0-or-later
# The simulator: many cores in one process, one seed draws faults and workload.

sim_sources = \
	tests/sim/counters.def \
	tests/sim/load.c \
	tests/sim/load.h \
	tests/sim/rng.h \
	tests/sim/sim.c \
	tests/sim/swarm.c \
	tests/sim/swarm.h \
	tests/sim/world.c \
	tests/sim/world.h \
	tests/sim/world_agents.c \
	tests/sim/world_check.c \
	tests/sim/world_disk.c \
	tests/sim/world_guard.c \
	tests/sim/world_ring.c \
	tests/sim/world_text.c \
	$(NULL)

test_tools += tests/sim/sim
tests_sim_sim_SOURCES = $(sim_sources)
