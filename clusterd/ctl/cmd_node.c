/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Nodes: pause, resume, drain, stop, start, evict, confirm-fenced. */
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "clusterd/core/foresee.h"
#include "clusterd/ctl/ctl_change.h"
#include "clusterd/ctl/ctl_link.h"
#include "text.h"

#define HOST_NAME_SIZE 256

int cmd_node_pause(struct ctl *ctl) { return ctl_each(ctl, VERB_NODE_PAUSE, NULL, -1); }

int cmd_node_resume(struct ctl *ctl)
{
	return ctl_each(ctl, VERB_NODE_RESUME, ctl->options.failback ? "failback" : NULL,
			ctl->options.failback ? (int)GOAL_NODE_BACK : (int)GOAL_NODE_UP);
}

int cmd_node_drain(struct ctl *ctl) { return ctl_each(ctl, VERB_NODE_DRAIN, NULL, GOAL_NODE_EMPTY); }

/* This node's daemon is asked itself: that works also where there is no quorum, with --force. */
static int stop_here(struct ctl *ctl, const struct node *n)
{
	struct message m = { .type = CTL_STOP };
	struct ctl_goal goal = { .kind = GOAL_NODE_DOWN };
	int rc;

	m.ctl_stop.force = ctl->options.force;
	text_copy(goal.name, sizeof(goal.name), n->name);
	rc = ctl_ask(ctl, &m, false);
	if (!rc && ctl->options.wait)
		rc = ctl_wait(ctl, &goal, 1);
	return rc;
}

/* With --force also what takes quorum with it is done: the others then stop everything, wherever it would have gone. */
static bool takes_quorum(const struct ctl *ctl, uint32_t id)
{
	nodeset_t members = ctl->view.self.members;

	return (members & ~NODE_BIT(id)) && !foresee_quorum(ctl->view.state, members, NODE_BIT(id), true, NULL);
}

int cmd_node_stop(struct ctl *ctl)
{
	const struct state *s = ctl->view.state;
	uint32_t id = ctl->argc ? ctl_find(ctl, KIND_NODE, ctl->argv[0]) : ctl->view.self.self;

	if (!id)
		return refusal_exit_code(REFUSED_NOT_FOUND);
	if (!state_node(s, id))
		return ctl_refused(ctl, REFUSED_STATE, "this node is in no cluster yet; 'systemctl stop clusterd' ends its daemon");
	ctl->argv[0] = s->nodes[id].name;
	ctl->argc = 1;
	if (ctl->options.force && ctl->view.self.quorate && takes_quorum(ctl, id)) {
		if (ctl->options.dry_run)
			return cmd_simulate_lose(ctl);
		if (!ctl->options.quiet)
			fprintf(ctl->err, "QUORUM IS LOST with node %s: the other nodes stop all roles within T_stop\n",
				s->nodes[id].name);
	}
	if (id == ctl->view.self.self && !ctl->options.dry_run)
		return stop_here(ctl, &s->nodes[id]);
	return ctl_each(ctl, VERB_NODE_STOP, NULL, GOAL_NODE_DOWN);
}

/* Does the name mean the machine we are on? */
static bool is_here(const char *name)
{
	char host[HOST_NAME_SIZE] = "";

	gethostname(host, sizeof(host) - 1);
	if (!strcasecmp(host, name))
		return true;
	host[strcspn(host, ".")] = '\0';
	return !strcasecmp(host, name);
}

int cmd_node_start(struct ctl *ctl)
{
	struct ctl_link *link = NULL;

	if (ctl->argc && !is_here(ctl->argv[0]))
		return ctl_fail(ctl, refusal_exit_code(REFUSED_STATE), "wrong-state",
				"node %s: clusterd can be started on this machine only; there, run 'systemctl start "
				"clusterd' (as by ssh %s)",
				ctl->argv[0], ctl->argv[0]);
	if (!ctl_link_open(ctl->options.socket, ctl_patience(ctl), &link)) {
		ctl_link_close(link);
		if (!ctl->options.quiet)
			fprintf(ctl->out, "clusterd runs on this node already\n");
		return EXIT_DONE;
	}
	fflush(ctl->out);
	execlp("systemctl", "systemctl", "start", "clusterd.service", (char *)NULL);
	return ctl_fail(ctl, refusal_exit_code(REFUSED_IO), "io-error",
			"systemctl cannot be run (%s); start clusterd by the means of this system", strerror(errno));
}

int cmd_node_evict(struct ctl *ctl)
{
	int rc;

	for (int i = 0; i < ctl->argc; i++)
		if (!ctl_find(ctl, KIND_NODE, ctl->argv[i]))
			return refusal_exit_code(REFUSED_NOT_FOUND);
	if (!ctl_confirm(ctl, "node %s%s would be removed from the cluster", ctl->argv[0], ctl->argc > 1 ? " and others" : ""))
		return EXIT_USAGE;
	rc = ctl_each(ctl, VERB_NODE_EVICT, NULL, -1);
	if (!rc && !ctl->options.quiet && !ctl->options.json && !ctl->options.dry_run)
		fprintf(ctl->out, "Take it out of corosync.conf on all nodes, too: it comes back when its clusterd starts "
				  "there.\n");
	return rc;
}

int cmd_node_fenced(struct ctl *ctl)
{
	for (int i = 0; i < ctl->argc; i++)
		if (!ctl_find(ctl, KIND_NODE, ctl->argv[i]))
			return refusal_exit_code(REFUSED_NOT_FOUND);
	if (!ctl_confirm(ctl,
			 "its roles start elsewhere at once: if node %s%s is not really off, they run twice and data is "
			 "destroyed",
			 ctl->argv[0], ctl->argc > 1 ? " or one of the others" : ""))
		return EXIT_USAGE;
	return ctl_each(ctl, VERB_NODE_FENCED, NULL, -1);
}
