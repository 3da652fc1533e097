# SPDX-License-Identifier: GPL-2.0-or-later
# The simulator: many cores in one process, one seed draws faults and workload.

EXTRA_PROGRAMS += tests/sim/sim
tests_sim_sim_SOURCES = \
	$(NULL)
