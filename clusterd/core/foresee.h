/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What would happen: the loss or drain of nodes applied to a copy of the state, and the cluster's own decision code run on
 * the copy until it rests. Agents are taken to succeed at once, fences to be confirmed. A copy is as large as the
 * cluster's state: its memory is the caller's.
 */
#ifndef CORE_FORESEE_H
#define CORE_FORESEE_H

#include "clusterd/core/state.h"

/*
 * Copies what decisions depend on: all but resources and events, so that roles start and stop in no time. `to` is zeroed
 * memory or was a state before.
 */
void foresee_copy(struct state *to, const struct state *from);

/*
 * These change `s` (a copy) and let it come to rest. Operations in flight end well; the clock jumps ahead to the opening
 * of start sets, by FORESEE_HORIZON_MS in all at most. They return false when the roles did not come to rest within
 * FORESEE_STEPS_MAX steps.
 */
#define FORESEE_HORIZON_MS (24u * MS_PER_HOUR)
#define FORESEE_STEPS_MAX 100000
bool foresee_lose(struct state *s, nodeset_t nodes);   /* lost, fenced, votes adapted */
bool foresee_drain(struct state *s, nodeset_t nodes);  /* emptied, not down */
bool foresee_return(struct state *s, nodeset_t nodes); /* online again, or not drained any more; failback as configured */
bool foresee_rest(struct state *s);                    /* only lets it come to rest */

/* Where a role was and is. */
struct foresee_move {
	uint32_t role, from, to; /* nodes; 0: none */
	bool down;               /* it had a node and is wanted, and now has none */
};
/* Calls `each` for every role with another owner now, ids ascending; returns how many are down. */
uint32_t foresee_compare(const struct state *before, const struct state *after,
			 void (*each)(void *user, const struct foresee_move *move), void *user);

/*
 * Would the members that remain have quorum? `members`: of the view; nodes that are down are taken out. A configured
 * witness is taken to answer those who remain. at_once: `lost` fail in the same moment. Otherwise one after the other in
 * the worst order (each time one that has a vote, when there is one), and the votes adapt in between. ret_witness, when
 * not NULL: only the witness makes it so.
 */
bool foresee_quorum(const struct state *s, nodeset_t members, nodeset_t lost, bool at_once, bool *ret_witness);

/*
 * How many nodes may fail with everything that runs now still running (no-autostart roles aside: they are not restarted
 * by design) and with quorum. All sets of k nodes are tried when there are FORESEE_SETS_MAX or fewer of them; else
 * FORESEE_SAMPLES: the fullest nodes, then a fixed random choice. The search ends at the first k with a set that hurts.
 */
#define FORESEE_SETS_MAX 2016 /* all pairs of 63 nodes and more */
#define FORESEE_SAMPLES 32
struct foresee_limit {
	uint32_t nodes;      /* this many may fail, whichever they are */
	bool exhaustive;     /* every set up to that size was tried, not a sample */
	nodeset_t worst;     /* a set one larger that hurts; 0: none was found */
	bool quorum_lost;    /* by losing quorum */
	uint32_t down;       /* or by so many roles without a node, */
	uint32_t first_down; /* of which this one has the highest priority, then the lowest id */
	uint32_t tried;      /* sets */
};
/* members, at_once: see foresee_quorum(). `copy` is memory for a copy. */
void foresee_survival(const struct state *s, struct state *copy, nodeset_t members, bool at_once,
		      struct foresee_limit *ret);

#endif
