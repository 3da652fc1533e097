/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between the parts of placement: place.c filters and scores, place_preempt.c finds who has to leave. */
#ifndef CORE_PLACE_PRIVATE_H
#define CORE_PLACE_PRIVATE_H

#include "clusterd/core/place.h"

#define PLACE_GROUP_MAX 128 /* companions looked at together; the rest finds its place when its turn comes */

/* One call's view of the cluster. */
struct place_view {
	struct state *s;
	nodeset_t nodes;      /* of the cluster */
	nodeset_t leaving;    /* who must leave them does not bind companions */
	bool along;           /* companions bind nowhere: they will be moved */
};

struct place_view place_view_of(struct state *s);

struct place_need {
	uint64_t cpu, memory_mb;
};
static inline void place_need_add(struct place_need *sum, const struct role *role)
{
	sum->cpu += role->cpu;
	sum->memory_mb += role->memory_mb;
}

/* What is missing on the node for the role, and `extra`. */
struct place_need place_lack(const struct state *s, const struct role *role, uint32_t node, struct place_need extra);

/* All nodes in the same node, fault domain or site; a node without a name is a domain of its own. */
nodeset_t place_scope_nodes(const struct place_view *v, uint32_t scope, uint32_t node);
/* Where the role is, and where it is on its way to. */
nodeset_t place_spots(const struct role *role);

struct preempt_wish {
	uint32_t role;
	nodeset_t where;              /* nodes in question: nothing speaks against them but who is there */
	int64_t scores[NODE_MAX + 1]; /* of these */
	uint32_t n_companions;        /* roles for which room is made beside it … */
	uint16_t companions[PLACE_GROUP_MAX];
	struct place_need extra; /* … and what they need */
};

/*
 * The node where the least harm makes room, the best scored of those, and who has to leave; a node where no harm helps is left
 * out. `ret` is empty when there is none.
 */
void place_preempt(const struct place_view *v, const struct preempt_wish *wish, struct placement *ret);

#endif
