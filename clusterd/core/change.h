/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Applies the operations of a change to a state. Used by the core on ORDERED changes, by `clusterctl --dry-run` and
 * simulate on a copy. It edits configuration and wishes (want, admin, target requests); acting on them is role.c's and
 * node.c's work afterwards.
 */
#ifndef CORE_CHANGE_H
#define CORE_CHANGE_H

#include "clusterd/core/state.h"

struct change_outcome {
	enum refusal refusal;
	uint32_t op;            /* index of the operation that was refused */
	char detail[2 * TEXT_SIZE]; /* names the object, says why and what to do */
	nodeset_t nodes;        /* nodes whose admin state changed */
	bool topology;          /* anything changed that placement depends on */
};

/*
 * All or nothing, by state_begin()/state_accept(). `members`: nodes of the active view, for the quorum warnings.
 * `scratch` is a decoded operation's memory. Returns true when it was applied.
 */
bool change_apply(struct state *s, nodeset_t members, const void *ops, size_t len, struct change_op *scratch,
		  struct change_outcome *ret);

#endif
