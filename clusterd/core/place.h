/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a role goes. place_role() is a pure function of the state: filters, then scores, ties by lowest node id. The
 * same function answers the live cluster, `clusterctl why` and `clusterctl simulate`.
 */
#ifndef CORE_PLACE_H
#define CORE_PLACE_H

#include "clusterd/core/state.h"

/* Why a node may not take a role; PLACE_OK when it may. */
enum place_code {
	PLACE_OK = 0,
	PLACE_NOT_ONLINE,
	PLACE_PAUSED,
	PLACE_QUARANTINED,
	PLACE_NOT_POSSIBLE,   /* not among the possible owners */
	PLACE_BANNED,         /* it failed there */
	PLACE_EXCLUDED,       /* the request excludes it */
	PLACE_NO_CPU,
	PLACE_NO_MEMORY,
	PLACE_AFFINITY,       /* hard rule: its companions are elsewhere */
	PLACE_ANTI_AFFINITY,  /* hard rule: an adversary is there */
	PLACE_FENCE_ASKED,    /* the node is about to be fenced */
	PLACE_NO_VOLUME,      /* a volume it needs cannot be used there */
};
const char *place_code_text(enum place_code code);

/* Parts of a node's score, largest weight first; the sum decides. */
enum place_part { PART_STAY, PART_PREFERRED, PART_AFFINITY, PART_ANTI_AFFINITY, PART_HOME, PART_BALANCE, PART_MAX };
const char *place_part_text(enum place_part part);

struct place_verdict {
	uint8_t code;  /* enum place_code */
	uint16_t rule; /* rule that speaks, for the affinity codes */
	uint16_t other; /* role in the way, for the affinity codes */
	uint16_t volume; /* the volume that is missing */
	int64_t score;
	int64_t parts[PART_MAX];
};

/*
 * Weights: each is more than everything below it can add up to. Units: one rank (63 for the first of the preferred list,
 * 62 for the second, …); for affinity and anti-affinity 100 for each soft rule that finds somebody in its scope plus 1
 * for each role found, both at most 99; home is the last owner. Balance is -(use * PLACE_BALANCE_USE + roles there), use
 * in thousandths (0..1000) of the scarcer of cpu and memory after placing.
 */
#define PLACE_WEIGHT_STAY 1000000000000000000
#define PLACE_WEIGHT_PREFERRED 10000000000000000
#define PLACE_WEIGHT_AFFINITY 1000000000000
#define PLACE_WEIGHT_ANTI_AFFINITY 100000000
#define PLACE_WEIGHT_HOME 20000000
#define PLACE_BALANCE_USE 10000 /* more than the roles a node can have: ROLE_MAX */
#define PLACE_SOFT_MAX 99

#define PLACE_VICTIMS_MAX 32

struct place_request {
	nodeset_t exclude;   /* never these */
	uint32_t stay;       /* node that gets PART_STAY; 0: none */
	bool preempt;        /* roles of lower priority may be victims, for room or for a hard anti-affinity */
	bool ignore_bans;
	/*
	 * When no node passes: companions by hard affinity may be moved along. The node found has room for all; the caller
	 * moves the others, whose place_check() then names the rule.
	 */
	bool take_along;
};

struct placement {
	uint32_t node; /* 0: none */
	uint32_t n_victims;
	uint16_t victims[PLACE_VICTIMS_MAX]; /* roles to stop first, lowest priority first, then highest id */
};

/*
 * Chooses a node for `role` as the state stands (its own present load is not counted against it). `verdicts`, when not
 * NULL, has NODE_MAX + 1 entries, filled for every node of the cluster. `s` is const but for its lazily built rule index.
 */
void place_role(struct state *s, uint32_t role, const struct place_request *request, struct placement *ret,
		struct place_verdict *verdicts);
/* May the role not be at `node` while `other` is where it is now, by a hard anti-affinity? */
bool place_keeps_apart(struct state *s, uint32_t role, uint32_t node, uint32_t other);
/* Does a hard affinity speak against this node, whatever else does? */
bool place_breaks_affinity(struct state *s, uint32_t role, uint32_t node);
/* May this role stay where it is, by hard rules and capacity? PLACE_OK, or what it breaks; rule/other as in a verdict. */
enum place_code place_check(struct state *s, uint32_t role, uint32_t node, struct place_verdict *ret);
/* Better home by failback preference: rank of a node in the preferred list, 0 best; UINT32_MAX when not in it. */
uint32_t place_rank(const struct role *role, uint32_t node);

#endif
