/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Vote arithmetic: majority, dynamic quorum, dynamic witness, tie-breaker. */
#include "clusterd/core/canary.h"
#include "clusterd/core/votes.h"

struct votes votes_of(const struct state *s)
{
	struct votes v = { s->cluster.unseen_votes, s->cluster.witness_vote != 0 };

	for (uint32_t id = 1; id <= s->high[KIND_NODE]; id++)
		if (state_node(s, id) && s->nodes[id].vote)
			v.nodes |= NODE_BIT(id);
	return v;
}

uint32_t votes_total(struct votes v) { return (uint32_t)nodeset_count(v.nodes) + v.witness; }

static uint32_t votes_present(struct votes v, nodeset_t present, bool witness_held)
{
	return (uint32_t)nodeset_count(v.nodes & present) + (v.witness && witness_held);
}

bool votes_majority(struct votes v, nodeset_t present, bool witness_held)
{
	uint32_t twice = 2 * votes_present(v, present, witness_held);

	return twice > votes_total(v) || (CANARY(CANARY_HALF_IS_QUORUM) && twice == votes_total(v));
}

bool votes_need_witness(struct votes v, nodeset_t present)
{
	return !votes_majority(v, present, false) && votes_majority(v, present, true);
}

/* The vote an even table without a witness gives up: the named node's, else the highest id's. */
static uint32_t tie_breaker(const struct state *s, nodeset_t nodes)
{
	uint32_t named = s->cluster.lower_priority_node;

	return named && nodeset_has(nodes, named) ? named : 63 - (uint32_t)__builtin_clzll(nodes);
}

struct votes votes_wanted(const struct state *s, nodeset_t present)
{
	/* Who was never seen keeps its vote where votes are not taken away. */
	struct votes v = { s->cluster.dynamic_quorum ? 0 : s->cluster.unseen_votes, false };
	bool even;

	for (uint32_t id = 1; id <= s->high[KIND_NODE]; id++)
		if (state_node(s, id) && s->nodes[id].may_vote && (!s->cluster.dynamic_quorum || nodeset_has(present, id)))
			v.nodes |= NODE_BIT(id);
	even = nodeset_count(v.nodes) % 2 == 0;
	if (s->cluster.witness != WITNESS_NONE)
		v.witness = even;
	else if (even && v.nodes && s->cluster.dynamic_quorum)
		v.nodes &= ~NODE_BIT(tie_breaker(s, v.nodes));
	return v;
}

bool votes_step(struct votes now, struct votes wanted, nodeset_t present, bool witness_held, struct votes *ret)
{
	nodeset_t add = wanted.nodes & ~now.nodes, drop = now.nodes & ~wanted.nodes;
	struct votes steps[4];
	uint32_t n = 0;

	/* Present nodes gain first, absent ones lose next: each makes those present stronger. */
	if (add & present)
		steps[n++] = (struct votes){ now.nodes | NODE_BIT(nodeset_first(add & present)), now.witness };
	if (drop & ~present)
		steps[n++] = (struct votes){ now.nodes & ~NODE_BIT(nodeset_first(drop & ~present)), now.witness };
	if (now.witness != wanted.witness)
		steps[n++] = (struct votes){ now.nodes, wanted.witness };
	if (drop | add)
		steps[n++] = (struct votes){ now.nodes ^ NODE_BIT(nodeset_first(drop ? drop : add)), now.witness };
	for (uint32_t i = 0; i < n; i++) {
		/* The witness alone never is the cluster: the last node keeps its vote. */
		if (!steps[i].nodes || !votes_majority(steps[i], present, witness_held))
			continue;
		*ret = steps[i];
		return true;
	}
	return false;
}

struct votes votes_settle(const struct state *s, struct votes from, nodeset_t present, bool witness_held)
{
	struct votes wanted = votes_wanted(s, present), next;

	/* Each step lessens the difference by one; the difference is at most all nodes and the witness. */
	for (uint32_t i = 0; i <= NODE_MAX + 1 && votes_step(from, wanted, present, witness_held, &next); i++)
		from = next;
	return from;
}
