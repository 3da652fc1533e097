# SPDX-License-Identifier: GPL-2.0-or-later
# The simulator: many cores in one process, one seed draws faults and workload.

world_sources = \
	tests/sim/counters.def \
	tests/sim/load.c \
	tests/sim/load.h \
	tests/sim/rng.h \
	tests/sim/world.c \
	tests/sim/world.h \
	tests/sim/world_agents.c \
	tests/sim/world_check.c \
	tests/sim/world_disk.c \
	tests/sim/world_guard.c \
	tests/sim/world_mounts.c \
	tests/sim/world_ring.c \
	tests/sim/world_text.c \
	$(NULL)
sim_sources = \
	$(world_sources) \
	tests/sim/choose.c \
	tests/sim/choose.h \
	tests/sim/sim.c \
	tests/sim/swarm.c \
	tests/sim/swarm.h \
	$(NULL)

test_tools += \
	tests/sim/sim \
	tests/sim/sim_canary \
	$(NULL)
tests_sim_sim_SOURCES = $(sim_sources)
# The same with the planted bugs, one of which is chosen when it runs.
tests_sim_sim_canary_SOURCES = $(sim_sources)
tests_sim_sim_canary_CPPFLAGS = $(AM_CPPFLAGS) -DCLUSTER_CANARY=1
tests_sim_sim_canary_LDADD = libcluster-core-canary.a libcluster-proto.a $(DEPENDENCY_LIBS)

# Leases, recalls and new owners of a volume.
sim_volume_sources = \
	tests/sim/rng.h \
	tests/sim/sim_volume.c \
	tests/sim/volume_check.c \
	tests/sim/volume_owner.c \
	tests/sim/volume_session.c \
	tests/sim/volume_world.c \
	tests/sim/volume_world.h \
	$(NULL)
test_tools += \
	tests/sim/sim_volume \
	tests/sim/sim_volume_canary \
	$(NULL)
tests_sim_sim_volume_SOURCES = $(sim_volume_sources)
tests_sim_sim_volume_canary_SOURCES = $(sim_volume_sources)
tests_sim_sim_volume_canary_CPPFLAGS = $(AM_CPPFLAGS) -DVOLUME_CANARY_BUILD=1
tests_sim_sim_volume_canary_LDADD = libcsvfs-core-canary.a libcluster-proto.a $(DEPENDENCY_LIBS)

# Stories, told through the same world.
unit_tests += tests/sim/test_trace
tests_sim_test_trace_SOURCES = \
	$(world_sources) \
	tests/sim/test_trace.c \
	$(NULL)
test_data += tests/golden/trace

script_tests += \
	tests/sim/canary_test.py \
	tests/sim/sim_test.sh \
	tests/sim/volume_canary_test.py \
	tests/sim/volume_test.sh \
	$(NULL)

# make sim [SEEDS=1..20000]: the long run.
SEEDS = 1..20000
.PHONY: sim
sim: tests/sim/sim
	tests/sim/sim --seeds $(SEEDS) --jobs 2 --keep-going --coverage
