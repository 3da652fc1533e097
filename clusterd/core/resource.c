/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Steps of single resources: dependencies, operations in flight, failures and their counting. */
#include <string.h>

#include "clusterd/core/reason.h"
#include "clusterd/core/resource.h"

static bool term_met(const struct state *s, const uint16_t *term, uint32_t without)
{
	for (uint32_t i = 0; i < DEPS_CHOICE_MAX && term[i]; i++)
		if (term[i] != without && state_resource(s, term[i]) && s->resources[term[i]].state == RES_STARTED)
			return true;
	return false;
}

static bool term_has(const uint16_t *term, uint32_t id)
{
	for (uint32_t i = 0; i < DEPS_CHOICE_MAX && term[i]; i++)
		if (term[i] == id)
			return true;
	return false;
}

/* Does one of the alternatives run, and will it go on to? */
static bool term_lasts(const struct state *s, const uint16_t *term, const uint16_t *ids, uint32_t n, uint64_t sinking)
{
	for (uint32_t i = 0; i < DEPS_CHOICE_MAX && term[i]; i++)
		for (uint32_t at = 0; at < n; at++)
			if (ids[at] == term[i] && s->resources[term[i]].state == RES_STARTED && !(sinking >> at & 1))
				return true;
	return false;
}

static bool lasts(const struct state *s, uint32_t id, const uint16_t *ids, uint32_t n, uint64_t sinking)
{
	const struct resource *r = &s->resources[id];

	for (uint32_t c = 0; c < DEPS_CLAUSE_MAX && r->depends[c][0]; c++)
		if (!term_lasts(s, r->depends[c], ids, n, sinking))
			return false;
	return true;
}

uint64_t resource_sinking(const struct state *s, uint32_t role)
{
	uint16_t ids[ROLE_RESOURCE_MAX];
	uint64_t sinking = 0, before;
	uint32_t n = 0;

	for (uint32_t id = s->role_resource[role]; id && n < ROLE_RESOURCE_MAX; id = s->resource_next[id])
		ids[n++] = (uint16_t)id;
	/* What goes down takes along what needs it: until nothing more follows. */
	do {
		before = sinking;
		for (uint32_t at = 0; at < n; at++)
			if (!lasts(s, ids[at], ids, n, sinking))
				sinking |= (uint64_t)1 << at;
	} while (sinking != before);
	return sinking;
}

bool resource_holds(const struct state *s, uint32_t x, uint32_t id)
{
	const struct resource *r = &s->resources[x];

	if (x == id || r->state == RES_STOPPED)
		return false;
	for (uint32_t c = 0; c < DEPS_CLAUSE_MAX && r->depends[c][0]; c++)
		if (term_has(r->depends[c], id) && !term_met(s, r->depends[c], id))
			return true;
	return false;
}

bool resource_is_held(const struct state *s, uint32_t id)
{
	for (uint32_t x = s->role_resource[s->resources[id].role]; x; x = s->resource_next[x])
		if (resource_holds(s, x, id))
			return true;
	return false;
}

void resource_set_state(struct state *s, uint32_t id, enum resource_state state)
{
	struct resource *r;

	if (s->resources[id].state == state)
		return;
	r = state_edit(s, KIND_RESOURCE, id);
	r->state = state;
	r->failing = 0;
	r->since_ms = s->cluster.now_ms;
}

bool resource_begin(struct engine *e, struct state *s, uint32_t id, enum agent_action action)
{
	uint32_t role = s->resources[id].role, node = s->roles[role].owner;
	struct cluster *c;

	if (s->load[node].ops >= s->cluster.node_ops_max) {
		e->capped[role / 64] |= (uint64_t)1 << role % 64;
		return false;
	}
	c = state_edit(s, KIND_CLUSTER, 1);
	state_set_op(s, id, c->next_op++, action);
	if (action == AGENT_START)
		resource_set_state(s, id, RES_STARTING);
	else if (action == AGENT_STOP)
		resource_set_state(s, id, RES_STOPPING);
	return true;
}

bool resource_never_ran(uint32_t action, uint32_t status)
{
	return action == AGENT_START && (status == AGENT_NOT_INSTALLED || status == AGENT_SPAWN_FAILED);
}

static bool fatal_anywhere(const struct msg_result *m)
{
	return m->action == AGENT_START && m->status == AGENT_DONE && (m->rc == OCF_ERR_ARGS || m->rc == OCF_ERR_CONFIGURED);
}

static bool fatal_here(const struct msg_result *m)
{
	return m->status == AGENT_NOT_INSTALLED ||
	       (m->status == AGENT_DONE && (m->rc == OCF_ERR_INSTALLED || m->rc == OCF_ERR_PERM));
}

void resource_note_error(struct state *s, uint32_t id, const struct msg_result *m)
{
	struct resource *r = state_edit(s, KIND_RESOURCE, id);

	r->last_rc = m->rc;
	memcpy(r->last_error, m->output, sizeof(r->last_error));
}

enum failure_verdict resource_failed(struct state *s, uint32_t id, const struct msg_result *m)
{
	struct resource *r = state_edit(s, KIND_RESOURCE, id);
	uint64_t now = s->cluster.now_ms;

	resource_note_error(s, id, m);
	if (fatal_anywhere(m))
		return FAILURE_FATAL;
	if (r->on_fail == ON_FAIL_STOP)
		return FAILURE_STOP;
	if (r->on_fail == ON_FAIL_FAILOVER || fatal_here(m))
		return FAILURE_FAILOVER;
	if (now - r->first_restart_ms >= r->restart_period_ms)
		r->restarts = 0;
	if (!r->restarts)
		r->first_restart_ms = now;
	r->restarts++;
	return r->restarts > r->restart_threshold ? FAILURE_FAILOVER : FAILURE_RESTART;
}
