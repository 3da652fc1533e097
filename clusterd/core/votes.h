/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who has quorum. One table of votes in the replicated state (node.vote, cluster.witness_vote), changed one vote at a
 * time, each step durable on a majority before the next: any majority before a step meets any majority after it.
 */
#ifndef CORE_VOTES_H
#define CORE_VOTES_H

#include "clusterd/core/state.h"

struct votes {
	nodeset_t nodes; /* that have a vote */
	bool witness;    /* the witness has one */
};

struct votes votes_of(const struct state *s);
/* Votes in all. */
uint32_t votes_total(struct votes v);
/* More than half of all votes are with `present` and, when held, the witness. No votes at all: never quorate. */
bool votes_majority(struct votes v, nodeset_t present, bool witness_held);
/* The nodes alone are no majority, but with the witness they would be. */
bool votes_need_witness(struct votes v, nodeset_t present);

/*
 * The table that suits `present` (members of the active view): with dynamic quorum, their votes only; the witness, when
 * there is one, votes when the node votes are even; without a witness an even table gives up the tie-breaker's vote.
 */
struct votes votes_wanted(const struct state *s, nodeset_t present);
/* One step from `now` towards `wanted` that keeps `present` quorate. False: there already, or no safe step. */
bool votes_step(struct votes now, struct votes wanted, nodeset_t present, bool witness_held, struct votes *ret);
/* Table after all possible steps. */
struct votes votes_settle(const struct state *s, struct votes from, nodeset_t present, bool witness_held);

#endif
