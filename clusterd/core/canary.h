/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Planted bugs, one for each invariant that the simulator checks: in the canary build alone (-DCLUSTER_CANARY), and there
 * only the chosen one. A check that does not find its canary checks nothing.
 */
#ifndef CORE_CANARY_H
#define CORE_CANARY_H

/* CANARY_ROW(SYMBOL, "name", "invariants that may report it", "the bug") */
#define CANARY_ROWS \
	CANARY_ROW(CANARY_NO_FENCE, "no-fence", "I2 I1", "roles of a lost node start elsewhere at once") \
	CANARY_ROW(CANARY_NO_INVENTORY, "no-inventory", "I1", "a node that rejoins is taken to run nothing") \
	CANARY_ROW(CANARY_NO_STOP, "no-stop", "I3 I2", "an isolated node goes on, and so does its watchdog") \
	CANARY_ROW(CANARY_LOCAL_CLOCK, "local-clock", "I10", "a node's own clock gets into the replicated state") \
	CANARY_ROW(CANARY_START_UNQUORATE, "start-unquorate", "I11 I1 I2", "a node without quorum restarts what failed") \
	CANARY_ROW(CANARY_TWO_ANSWERS, "two-answers", "I12", "a change is answered when applied and again when durable") \
	CANARY_ROW(CANARY_NO_ANSWER, "no-answer", "I12 I14", "a request on its way at a view change is forgotten") \
	CANARY_ROW(CANARY_NO_CAPACITY, "no-capacity", "I13", "placement does not look at memory") \
	CANARY_ROW(CANARY_NO_VOLUME, "no-volume", "volume", "placement does not look at volumes") \
	CANARY_ROW(CANARY_VOLUME_KEPT, "volume-kept", "volume", "a role stays where its volume cannot be used any more") \
	CANARY_ROW(CANARY_OWNER_FIRST, "owner-first", "volume", "a volume goes offline before those who use it") \
	CANARY_ROW(CANARY_LOST_RESULT, "lost-result", "I14", "an agent's result on its way at a view change is forgotten") \
	CANARY_ROW(CANARY_EARLY_ANSWER, "early-answer", "I15", "a change is answered before a majority has it on disk") \
	CANARY_ROW(CANARY_LOWEST_WINS, "lowest-wins", "I15 quorum I10", "the state of the lowest node wins, not the newest") \
	CANARY_ROW(CANARY_HALF_IS_QUORUM, "half-is-quorum", "quorum I10 I15 I2 I1", "half of the votes make a quorum") \
	CANARY_ROW(CANARY_LEAVE_RUNNING, "leave-running", "leave", "a node leaves while resources run on it") \
	CANARY_ROW(CANARY_OWN_MEMORY, "own-memory", "determinism", "what a core does depends on what was before it") \
	CANARY_ROW(CANARY_CHATTER, "chatter", "bounds hang", "a message is sent with each tick, unasked, in hundreds")

enum canary {
	CANARY_NONE,
#define CANARY_ROW(symbol, name, found_by, bug) symbol,
	CANARY_ROWS
#undef CANARY_ROW
};

#ifdef CLUSTER_CANARY
extern enum canary canary_chosen;
extern unsigned int canary_memory;
#define CANARY(which) (canary_chosen == (which))
#define CANARY_MEMORY (canary_memory++)
#else
#define CANARY(which) 0
#define CANARY_MEMORY 0
#endif

#endif
