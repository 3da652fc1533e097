/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The OCF agents installed on this node. */
#ifndef CTL_CTL_AGENTS_H
#define CTL_CTL_AGENTS_H

#include <stdio.h>

/* Prints those whose name begins with the prefix, sorted, one a line; returns their number, or negative errno. */
int ctl_agents_each(const char *prefix, FILE *out);

struct ctl;
/* Prints "name=" of each parameter of the agent that begins with the prefix; nothing when clusterd cannot tell. */
void ctl_agent_params(struct ctl *ctl, const char *agent, const char *prefix);

#endif
