/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --wait: until what was asked for is so, by long polls, with progress on standard error. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/ctl/ctl_change.h"
#include "clusterd/ctl/ctl_link.h"
#include "clusterd/core/reason.h"
#include "clusterd/core/role_move.h"
#include "text.h"

#define POLL_MS 5000 /* longest long poll */

enum reached { NOT_YET, REACHED, NEVER, HELD };

static bool resource_busy(const struct resource *x)
{
	return x->op || x->state == RES_STARTING || x->state == RES_STOPPING || x->state == RES_FAILED || x->reload_wanted;
}

static bool role_busy(const struct state *s, const struct role *r)
{
	for (uint16_t id = s->role_resource[r->object.id]; id; id = s->resource_next[id])
		if (resource_busy(&s->resources[id]))
			return true;
	return false;
}

static enum reached role_settled(const struct state *s, const struct role *r)
{
	enum role_state wanted = r->want ? ROLE_ONLINE : ROLE_OFFLINE;

	if (r->state == ROLE_FAILED)
		return NEVER;
	if (role_busy(s, r))
		return NOT_YET;
	if (r->state == wanted || (r->state == ROLE_OFFLINE && r->priority == PRIORITY_NO_AUTOSTART))
		return REACHED;
	return role_frozen(s, r) ? HELD : NOT_YET;
}

static enum reached role_reached(const struct state *s, const struct ctl_goal *g)
{
	const struct role *r = state_role(s, state_find(s, KIND_ROLE, g->name));
	enum reached settled;

	if (!r)
		return REACHED; /* deleted meanwhile: nothing is left to wait for */
	settled = role_settled(s, r);
	if (g->kind == GOAL_ROLE_SETTLED || settled != REACHED)
		return settled;
	if (g->node ? r->owner == g->node : r->owner != g->from)
		return REACHED;
	return r->target && r->target != r->owner ? NOT_YET : NEVER;
}

static enum reached resource_reached(const struct state *s, const struct ctl_goal *g)
{
	const struct resource *x = state_resource(s, state_find(s, KIND_RESOURCE, g->name));
	const struct role *r = x ? state_role(s, x->role) : NULL;

	if (!r)
		return REACHED;
	if (x->state == RES_BLOCKED)
		return NEVER;
	return role_settled(s, r);
}

/* Roles that a drain sent away have not arrived yet. */
static bool drained_travel(const struct state *s, uint32_t node)
{
	for (uint32_t id = 1; id <= s->high[KIND_ROLE]; id++)
		if (state_role(s, id) && s->roles[id].drained_from == node && s->roles[id].state == ROLE_STARTING)
			return true;
	return false;
}

/* A role that stays on the node because it, or all, is left as it is; NULL as long as others there are on their way. */
static const struct role *held_on(const struct state *s, uint32_t node)
{
	const struct role *held = NULL;

	for (uint32_t id = 1; id <= s->high[KIND_ROLE]; id++) {
		if (!state_role(s, id) || s->roles[id].owner != node)
			continue;
		if (!role_frozen(s, &s->roles[id]))
			return NULL;
		held = &s->roles[id];
	}
	return held;
}

static bool roles_travel(const struct state *s)
{
	for (uint32_t id = 1; id <= s->high[KIND_ROLE]; id++) {
		const struct role *r = state_role(s, id);

		if (r && (r->state == ROLE_STOPPING || r->state == ROLE_STARTING || (r->target && r->target != r->owner)))
			return true;
	}
	return false;
}

static enum reached node_reached(const struct ctl *ctl, const struct ctl_goal *g)
{
	const struct state *s = ctl->view.state;
	const struct node *n = state_node(s, state_find(s, KIND_NODE, g->name));

	if (!n)
		return REACHED;
	if (g->kind == GOAL_NODE_DOWN)
		return n->state == NODE_DOWN ? REACHED : NOT_YET;
	if (g->kind == GOAL_NODE_UP || g->kind == GOAL_NODE_BACK) {
		bool up = n->state == NODE_ONLINE && n->admin == ADMIN_UP;

		return up && (g->kind == GOAL_NODE_UP || !roles_travel(s)) ? REACHED : NOT_YET;
	}
	if (n->admin == ADMIN_UP)
		return NEVER; /* somebody resumed it */
	if (held_on(s, n->object.id))
		return HELD;
	return s->load[n->object.id].roles || drained_travel(s, n->object.id) ? NOT_YET : REACHED;
}

static enum reached goal_reached(const struct ctl *ctl, const struct ctl_goal *g)
{
	switch (g->kind) {
	case GOAL_ROLE_SETTLED:
	case GOAL_ROLE_MOVED:
		return role_reached(ctl->view.state, g);
	case GOAL_RESOURCE_SETTLED:
		return resource_reached(ctl->view.state, g);
	default:
		return node_reached(ctl, g);
	}
}

static void role_line(const struct ctl *ctl, const struct role *r, char *out, size_t size)
{
	char why[2 * TEXT_SIZE];

	snprintf(out, size, "role %s: %s%s%s%s%s", r->name, enum_text(enum_values_role_state, r->state), r->owner ? " on " : "",
		 r->owner ? ctl_node_name(ctl, r->owner) : "", r->state == ROLE_ONLINE ? "" : ": ",
		 r->state == ROLE_ONLINE ? "" : ctl_role_reason(ctl, r, why, sizeof(why)));
}

/* One line about how far a goal is. */
static void goal_line(const struct ctl *ctl, const struct ctl_goal *g, char *out, size_t size)
{
	const struct state *s = ctl->view.state;
	const struct role *r = state_role(s, state_find(s, KIND_ROLE, g->name));
	const struct resource *x = state_resource(s, state_find(s, KIND_RESOURCE, g->name));
	const struct node *n = state_node(s, state_find(s, KIND_NODE, g->name));

	out[0] = '\0';
	if (g->kind == GOAL_RESOURCE_SETTLED && x)
		snprintf(out, size, "resource %s: %s", x->name, enum_text(enum_values_resource_state, x->state));
	else if ((g->kind == GOAL_ROLE_SETTLED || g->kind == GOAL_ROLE_MOVED) && r)
		role_line(ctl, r, out, size);
	else if (g->kind >= GOAL_NODE_EMPTY && g->kind <= GOAL_NODE_BACK && n)
		snprintf(out, size, "node %s: %s, %u role%s on it", n->name, ctl_node_state(ctl, n), s->load[n->object.id].roles,
			 s->load[n->object.id].roles == 1 ? "" : "s");
}

struct progress {
	char (*last)[3 * TEXT_SIZE];
	const struct ctl_goal *goals;
	size_t n;
};

static void progress_print(struct ctl *ctl, struct progress *p)
{
	char line[3 * TEXT_SIZE];

	for (size_t i = 0; i < p->n && !ctl->options.quiet; i++) {
		goal_line(ctl, &p->goals[i], line, sizeof(line));
		if (!strcmp(line, p->last[i]))
			continue;
		text_copy(p->last[i], sizeof(p->last[i]), line);
		if (*line)
			fprintf(ctl->err, "%s\n", line);
	}
}

static int never_say(struct ctl *ctl, const struct ctl_goal *g)
{
	char line[3 * TEXT_SIZE];

	goal_line(ctl, g, line, sizeof(line));
	fprintf(ctl->err, "clusterctl: %s; 'clusterctl why %s' tells more\n", line, g->name);
	return EXIT_FAILED;
}

/* What is asked for was taken down, and is not done before somebody ends what holds it. */
static int held_say(struct ctl *ctl, const struct ctl_goal *g)
{
	const struct state *s = ctl->view.state;
	uint32_t resource = state_find(s, KIND_RESOURCE, g->name), node = state_find(s, KIND_NODE, g->name);
	const struct role *r = g->kind == GOAL_NODE_EMPTY	  ? held_on(s, node)
			       : g->kind == GOAL_RESOURCE_SETTLED ? &s->roles[s->resources[resource].role]
								  : state_role(s, state_find(s, KIND_ROLE, g->name));

	fprintf(ctl->err, "clusterctl: role %s is left as it is: ", r->name);
	if (s->cluster.disarmed)
		fprintf(ctl->err, "the cluster is disarmed; 'clusterctl arm' ends that\n");
	else if (s->cluster.maintenance)
		fprintf(ctl->err, "the cluster is in maintenance; 'clusterctl cluster set maintenance=no' ends that\n");
	else if (r->maintenance)
		fprintf(ctl->err, "it is in maintenance; 'clusterctl role set %s maintenance=no' ends that\n", r->name);
	else
		fprintf(ctl->err, "node %s is in maintenance; 'clusterctl node set %s maintenance=no' ends that\n",
			ctl_node_name(ctl, r->owner), ctl_node_name(ctl, r->owner));
	fprintf(ctl->err, "the change was made, and is carried out then\n");
	return EXIT_FAILED;
}

/* The daemon we talk to was told to end: that it is gone is what was wanted. */
static bool gone_is_good(const struct ctl *ctl, const struct ctl_goal *goals, size_t n)
{
	return n == 1 && goals[0].kind == GOAL_NODE_DOWN &&
	       state_find(ctl->view.state, KIND_NODE, goals[0].name) == ctl->view.self.self;
}

static int wait_round(struct ctl *ctl, const struct ctl_goal *goals, size_t n, struct progress *p)
{
	size_t reached = 0;

	progress_print(ctl, p);
	for (size_t i = 0; i < n; i++) {
		enum reached now = goal_reached(ctl, &goals[i]);

		if (now == NEVER)
			return never_say(ctl, &goals[i]);
		if (now == HELD)
			return held_say(ctl, &goals[i]);
		reached += now == REACHED;
	}
	return reached == n ? EXIT_DONE : -1;
}

int ctl_wait(struct ctl *ctl, const struct ctl_goal *goals, size_t n)
{
	uint64_t until = ctl_mono_ms() + (uint64_t)ctl->timeout_s * MS_PER_SECOND, left = 1;
	struct progress p = { .last = calloc(n + 1, sizeof(*p.last)), .goals = goals, .n = n };
	bool last = gone_is_good(ctl, goals, n);
	FILE *err = ctl->err;
	int rc = p.last ? -1 : EXIT_FAILED;

	ctl->view.self.epoch = ctl->view.self.seq = 0; /* whatever it is by now, we have not seen it */
	while (rc < 0 && left) {
		uint64_t now = ctl_mono_ms();
		int got;

		left = until > now ? until - now : 0;
		if (last)
			ctl->err = fopen("/dev/null", "we");
		got = ctl_view_follow(ctl, left < POLL_MS ? (uint32_t)left : POLL_MS);
		if (last && ctl->err)
			fclose(ctl->err);
		ctl->err = err;
		if (got && got != -ETIMEDOUT)
			rc = last ? EXIT_DONE : EXIT_UNREACHABLE;
		else
			rc = wait_round(ctl, goals, n, &p);
	}
	free(p.last);
	if (rc >= 0)
		return rc;
	fprintf(ctl->err, "clusterctl: --timeout of %u s passed; the change was made and goes on\n", ctl->timeout_s);
	return EXIT_TIMEOUT;
}
