/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Roles: start, stop, move. */
#include "clusterd/ctl/ctl_change.h"

int cmd_role_start(struct ctl *ctl) { return ctl_each(ctl, VERB_ROLE_START, NULL, GOAL_ROLE_SETTLED); }

int cmd_role_stop(struct ctl *ctl) { return ctl_each(ctl, VERB_ROLE_STOP, NULL, GOAL_ROLE_SETTLED); }

int cmd_role_move(struct ctl *ctl)
{
	uint32_t id = ctl_find(ctl, KIND_ROLE, ctl->argv[0]), node = 0;
	struct ctl_change *c;
	int rc;

	if (id && ctl->argc > 1)
		node = ctl_find(ctl, KIND_NODE, ctl->argv[1]);
	if (!id || (ctl->argc > 1 && !node))
		return refusal_exit_code(REFUSED_NOT_FOUND);
	c = ctl_change_new();
	if (!c)
		return ctl_no_memory(ctl);
	ctl_change_op(c, VERB_ROLE_MOVE, KIND_ROLE, ctl->argv[0], node ? ctl->argv[1] : NULL);
	rc = ctl_change_put(ctl, c);
	if (rc) {
		ctl_change_free(c);
		return rc;
	}
	ctl_change_goal(c, GOAL_ROLE_MOVED, ctl->argv[0], node, ctl->view.state->roles[id].owner);
	return ctl_change_run(ctl, c);
}
