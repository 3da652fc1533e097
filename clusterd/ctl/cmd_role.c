/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Roles: start, stop, move. */
#include "clusterd/ctl/ctl_change.h"

int cmd_role_start(struct ctl *ctl) { return ctl_each(ctl, VERB_ROLE_START, NULL, GOAL_ROLE_SETTLED); }

int cmd_role_stop(struct ctl *ctl) { return ctl_each(ctl, VERB_ROLE_STOP, NULL, GOAL_ROLE_SETTLED); }

int cmd_role_move(struct ctl *ctl)
{
	const char *node = ctl->argc > 1 ? ctl->argv[1] : NULL;
	const struct state *s = ctl->view.state;
	struct ctl_change *c;

	if (!ctl_known(ctl, KIND_ROLE, 0) || (node && !ctl_known(ctl, KIND_NODE, 1)))
		return refusal_exit_code(REFUSED_NOT_FOUND);
	c = ctl_change_new();
	if (!c)
		return ctl_no_memory(ctl);
	ctl_change_op(c, VERB_ROLE_MOVE, KIND_ROLE, ctl->argv[0], node);
	if (s)
		ctl_change_goal(c, GOAL_ROLE_MOVED, ctl->argv[0], node ? state_find(s, KIND_NODE, node) : 0,
				s->roles[state_find(s, KIND_ROLE, ctl->argv[0])].owner);
	return ctl_change_finish(ctl, c, 0);
}
