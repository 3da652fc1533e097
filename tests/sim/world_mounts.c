/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * csvfs on the hosts, as the shell runs it: mounted while the state has the volume and this node takes part, of use while
 * there is an owner and for a while after that, of no use while its path is lost. What is mounted outlives clusterd, not the
 * host. A run begins when the state knows its number.
 */
#include <string.h>

#include "tests/sim/world.h"

void mounts_report(struct world *w, struct sim_node *n)
{
	struct volume_mark up[SIM_VOLUMES];
	struct core_event e;
	uint32_t count = 0, mounted = 0;

	for (uint32_t v = 1; v <= SIM_VOLUMES; v++) {
		const struct sim_mount *m = &n->mounts[v];

		mounted += m->mounted;
		if (m->mounted && m->up)
			up[count++] = (struct volume_mark){ v, m->number };
	}
	memset(&e, 0, sizeof(e));
	e.kind = EVENT_VOLUMES;
	e.volumes.up = up;
	e.volumes.n = count;
	e.volumes.mounts = mounted;
	e.volumes.run = n->mount_run;
	w->counts[COUNT_volume_reports]++;
	world_trace(w, n, "volumes: %u mounted, %u of use", mounted, count);
	node_step(w, n, &e);
}

uint32_t mounts_count(const struct sim_node *n)
{
	uint32_t count = 0;

	for (uint32_t v = 1; v <= SIM_VOLUMES; v++)
		count += n->mounts[v].mounted;
	return count;
}

static bool is_online(const struct state *s, uint32_t volume)
{
	const struct volume *v = state_volume(s, volume);
	const struct role *r = v ? state_role(s, v->role) : NULL;

	return r && r->state == ROLE_ONLINE;
}

/* It is used here: not by a node that is about to leave and has nothing left to run. */
static bool is_wanted(const struct state *s, const struct sim_node *n, uint32_t volume)
{
	const struct node *self = state_node(s, n->id);

	return state_volume(s, volume) && self && self->state == NODE_ONLINE &&
	       (self->admin != ADMIN_STOPPING || s->load[n->id].roles);
}

/* The next run's number is told; when the state has it, the run begins. True: it does. */
static bool run_known(const struct state *s, struct sim_node *n, bool *changed)
{
	uint64_t known = s->nodes[n->id].mount_run;

	if (n->mount_run > n->mount_used && n->mount_run <= known) {
		n->mount_used = n->mount_run;
		return true;
	}
	if (n->mount_run <= n->mount_used || n->mount_run < known) {
		n->mount_run = 1 + (n->mount_used > known ? n->mount_used : known);
		*changed = true;
	}
	return false;
}

static bool look_at(struct world *w, struct sim_node *n, const struct state *s, uint32_t v)
{
	struct sim_mount *m = &n->mounts[v];
	bool wanted = is_wanted(s, n, v), changed = false, was_up = m->up;

	if (m->mounted && (!wanted || m->number != s->volumes[v].number)) {
		*m = (struct sim_mount){ 0 };
		return true;
	}
	if (!m->mounted && wanted && run_known(s, n, &changed)) {
		*m = (struct sim_mount){ .mounted = true, .number = s->volumes[v].number };
		w->counts[COUNT_mounts]++;
		changed = true;
	}
	if (!m->mounted)
		return changed;
	if (m->broken) {
		m->up = false;
	} else if (is_online(s, v)) {
		m->up = true;
		m->paused_us = 0;
	} else if (m->up && !m->paused_us) {
		m->paused_us = w->now_us;
	} else if (m->up && w->now_us - m->paused_us > (uint64_t)w->options.pause_ms * US_PER_MS) {
		m->up = false;
	}
	return changed || m->up != was_up;
}

void mounts_look(struct world *w, struct sim_node *n)
{
	const struct state *s = core_state(n->core);
	bool changed = false;

	world_push(w, w->now_us + rng_range(&w->rng, 50, 400) * US_PER_MS, SIM_MOUNTS, n->id, n->process_generation, 0, 0);
	if (n->phase != PHASE_ACTIVE)
		return;
	for (uint32_t v = 1; v <= SIM_VOLUMES; v++)
		changed |= look_at(w, n, s, v);
	if (changed)
		mounts_report(w, n);
}

/* Without quorum: as a stop does, it may hang. */
void mounts_end(struct world *w, struct sim_node *n)
{
	if (n->mounts_ending)
		return;
	n->mounts_ending = true;
	if (w->agents_bad && rng_permille(&w->rng, w->options.hang_permille))
		return;
	world_push(w, w->now_us + rng_range(&w->rng, 1, w->options.stop_ms + 1) * US_PER_MS, SIM_MOUNTS, n->id,
		   n->process_generation, 1, 0);
}

void mounts_ended(struct world *w, struct sim_node *n)
{
	memset(n->mounts, 0, sizeof(n->mounts));
	n->mounts_ending = false;
	w->counts[COUNT_mounts_ended]++;
	mounts_report(w, n);
}

void mounts_reset(struct sim_node *n)
{
	memset(n->mounts, 0, sizeof(n->mounts));
	n->mounts_ending = false;
}
