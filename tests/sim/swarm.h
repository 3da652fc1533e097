/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One seed is one run: the options of the world, which faults there are and how often, and the workload are all drawn
 * from it. First the set-up, then faults, then everything is healed and the cluster has a bounded time to converge.
 */
#ifndef TESTS_SIM_SWARM_H
#define TESTS_SIM_SWARM_H

#include "tests/sim/load.h"
#include "tests/sim/world.h"

enum fault {
	FAULT_PARTITION,
	FAULT_ISOLATE,
	FAULT_FLAP,
	FAULT_PROCESS_CRASH,
	FAULT_HOST_CRASH,
	FAULT_POWER_LOSS,
	FAULT_PROCESS_FREEZE,
	FAULT_HOST_FREEZE,
	FAULT_COROSYNC_CRASH,
	FAULT_DISK_SLOW,
	FAULT_DISK_FULL,
	FAULT_DATABASE_LOST,
	FAULT_WALL_JUMP,
	FAULT_LAG,
	FAULT_RESOURCE_DIES,
	FAULT_AGENTS_BAD,
	FAULT_WITNESS_CUT,
	FAULT_ADMIN_POWEROFF,
	FAULT_NOISE,
	FAULT_FORCE,
	FAULT_VOLUME_LOST,
	FAULT_VOLUME_SILENT,
	FAULT_MAX
};

struct swarm {
	struct world_options world;
	struct load_options load;
	uint32_t weight[FAULT_MAX];	  /* 0: this seed does not have it */
	uint32_t fault_mean_ms, fault_ms; /* between faults; length of the phase with faults */
	uint32_t long_ms;		  /* what lasts, lasts about so long */
	bool dirty_start;		  /* faults from the first moment */
	/* the run */
	uint32_t setup_step;
	bool setup_done, healing, load_open;
	uint64_t heal_us, converge_us;
	uint32_t calm;	   /* converged so many times in a row */
	uint32_t fragile;  /* node whose database was lost: no other fault until it is back */
	uint32_t off_node; /* node an administrator switched off */
	bool off_asked;
	uint64_t off_since_us;
};

struct swarm_result {
	enum verdict verdict;
	const char *invariant;
	char failure[1024];
	uint64_t hash;
	uint64_t simulated_us;
	uint64_t counts[COUNT_MAX];
};

struct swarm_limits {
	uint32_t nodes; /* 0: as drawn */
	void (*trace)(void *user, const char *line);
	void *trace_user;
	bool trace_all;
};

void swarm_draw(struct swarm *s, uint64_t seed, uint32_t nodes);
void swarm_run(uint64_t seed, const struct swarm_limits *limits, struct swarm_result *ret);
/* The options of a seed, for people. */
void swarm_describe(uint64_t seed, uint32_t nodes, FILE *out);

#endif
