/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Building a change from words, sending it, trying it, waiting for its effect. One change is applied all or nothing; what
 * does not fit into one becomes several, in order.
 */
#ifndef CTL_CTL_CHANGE_H
#define CTL_CTL_CHANGE_H

#include "clusterd/ctl/ctl.h"

#define CTL_PART_SIZE (FRAME_MAX - 1024) /* operations of one change: a frame less its header */
#define CTL_GOALS_MAX CTL_ARGS_MAX

enum ctl_goal_kind {
	GOAL_ROLE_SETTLED, /* online when it should be, offline when not */
	GOAL_ROLE_MOVED,   /* settled, and not on `from`; on `node` unless 0 */
	GOAL_NODE_EMPTY,   /* no role is left on it, and those that left have arrived */
	GOAL_NODE_DOWN,
	GOAL_NODE_UP,      /* takes roles */
	GOAL_NODE_BACK,    /* takes roles, and no role is on its way any more */
	GOAL_RESOURCE_SETTLED,
};

struct ctl_goal {
	enum ctl_goal_kind kind;
	char name[NAME_SIZE]; /* of the role, node or resource */
	uint32_t node, from;
};

struct ctl_change_part {
	uint8_t *data;
	size_t len;
};

struct ctl_change {
	struct change_op op; /* under construction */
	struct ctl_change_part *parts;
	size_t n_parts, n_ops_in_part, n_ops;
	struct ctl_goal *goals;
	size_t n_goals;
};

struct ctl_change *ctl_change_new(void);
void ctl_change_free(struct ctl_change *c);

/* Begins an operation; fields are added to it; ctl_change_put() ends it. */
void ctl_change_op(struct ctl_change *c, enum change_verb verb, uint32_t kind, const char *name, const char *arg);
/* `value` must live until ctl_change_put(). */
int ctl_change_field(struct ctl *ctl, struct ctl_change *c, const struct field *field, enum edit_how how, const char *value);
/* name=value, name+=value, name-=value, param.NAME=value. 0 or an exit code. */
int ctl_change_assign(struct ctl *ctl, struct ctl_change *c, const char *assignment);
/* The words after "--". */
int ctl_change_params(struct ctl *ctl, struct ctl_change *c);
int ctl_change_put(struct ctl *ctl, struct ctl_change *c);
void ctl_change_goal(struct ctl_change *c, enum ctl_goal_kind kind, const char *name, uint32_t node, uint32_t from);

/* --dry-run, or send and with --wait wait; frees the change. Exit code. */
int ctl_change_run(struct ctl *ctl, struct ctl_change *steal);
/* ctl_change_put(), then the same; or only frees the change, when `rc` is an exit code already. Exit code. */
int ctl_change_finish(struct ctl *ctl, struct ctl_change *steal, int rc);
/* Applies all parts to a state: 0, or an exit code after the refusal was said. */
int ctl_change_try(struct ctl *ctl, struct ctl_change *c, struct state *s, nodeset_t members);

/* Asks the agents about all of it, as each part would when it is made, so that none is made when one is refused. */
int ctl_change_vet(struct ctl *ctl, const struct ctl_change *c);

/* One operation for each word of the command line, on the command's kind; `goal` < 0: none. Exit code. */
int ctl_each(struct ctl *ctl, enum change_verb verb, const char *arg, int goal);
int ctl_no_memory(struct ctl *ctl);

/* One request with a plain answer: waits, with progress, up to --timeout. Exit code; prints the answer's text. */
int ctl_ask(struct ctl *ctl, const struct message *request, bool quiet);
int ctl_wait(struct ctl *ctl, const struct ctl_goal *goals, size_t n);
/* Lets a state come to rest, every agent taken to succeed. */
void ctl_settle(struct state *s);
/* What is different for roles: a table, or JSON. `lost`: ran before and should run, but do not; or cannot leave a drained node. */
struct ctl_effect {
	json_t *json; /* list; NULL when not wanted */
	unsigned int changed, lost;
};
/* What would become of the roles if this side were declared authoritative. Exit code. */
int ctl_foresee_force(struct ctl *ctl);
void ctl_effect_print(struct ctl *ctl, const struct state *before, const struct state *after, struct ctl_effect *ret);

#endif
