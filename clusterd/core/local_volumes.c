/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What this node knows of volumes: which can be used here, and who does not answer their owner. It only proposes. */
#include <string.h>
#include <syslog.h>

#include "clusterd/core/core_private.h"

/* A node that takes part: what it says is heard. */
static const struct node *self_taking_part(const struct core *c)
{
	const struct node *n = state_node(c->state, c->config.self);

	return core_active(c) && n && (n->state == NODE_JOINING || n->state == NODE_ONLINE) ? n : NULL;
}

/* Puts one into its place by id; the last word about an id counts. */
static void mark_put(struct local *l, const struct volume_mark *mark)
{
	uint32_t at = l->n_volumes;

	while (at > 0 && l->volumes[at - 1].volume >= mark->volume)
		at--;
	if (at < l->n_volumes && l->volumes[at].volume == mark->volume) {
		l->volumes[at] = *mark;
		return;
	}
	memmove(&l->volumes[at + 1], &l->volumes[at], (l->n_volumes - at) * sizeof(l->volumes[0]));
	l->volumes[at] = *mark;
	l->n_volumes++;
}

static bool told_already(const struct core *c, const struct node *self)
{
	const struct local *l = &c->local;
	struct volume_set set = { 0 };

	for (uint32_t i = 0; i < l->n_volumes; i++) {
		const struct volume *v = state_volume(c->state, l->volumes[i].volume);

		if (v && v->number == l->volumes[i].number)
			volume_set_put(&set, v->object.id, true);
	}
	return l->mount_run <= self->mount_run && !memcmp(&set, &self->volumes_up, sizeof(set));
}

void local_volumes_push(struct core *c)
{
	struct local *l = &c->local;
	const struct node *self = self_taking_part(c);
	uint8_t items[VOLUME_MAX * (sizeof(uint16_t) + sizeof(uint64_t))];
	struct writer w = writer_of(items, sizeof(items));
	struct message m = { .type = MSG_VOLUMES };

	if (!self || !l->volumes_known || l->volumes_in_flight || told_already(c, self))
		return;
	for (uint32_t i = 0; i < l->n_volumes; i++) {
		put_u16(&w, (uint16_t)l->volumes[i].volume);
		put_u64(&w, l->volumes[i].number);
	}
	l->volumes_in_flight = true;
	m.volumes.incarnation = c->config.incarnation;
	m.volumes.run = l->mount_run;
	m.volumes.up = (struct span){ items, writer_len(&w) };
	core_propose(c, &m);
}

void local_volumes(struct core *c, const struct core_event *e)
{
	struct local *l = &c->local;

	if (e->volumes.up)
		l->n_volumes = 0;
	for (uint32_t i = 0; e->volumes.up && i < e->volumes.n; i++)
		if (e->volumes.up[i].volume && e->volumes.up[i].volume <= VOLUME_MAX)
			mark_put(l, &e->volumes.up[i]);
	l->n_mounts = e->volumes.mounts;
	if (l->mount_run < e->volumes.run)
		l->mount_run = e->volumes.run;
	l->volumes_known |= e->volumes.up != NULL;
	local_volumes_push(c);
}

void local_volumes_applied(struct core *c)
{
	c->local.volumes_in_flight = false;
	local_volumes_push(c); /* what changed meanwhile */
}

void local_silent(struct core *c, uint32_t node, const struct volume_mark *of)
{
	struct message m = { .type = MSG_SILENT };

	if (!self_taking_part(c) || !state_node(c->state, node))
		return;
	m.silent.node = node;
	m.silent.incarnation = c->state->nodes[node].incarnation;
	m.silent.volume = of->volume;
	m.silent.number = of->number;
	core_trace(c, LOG_WARNING, "node %s does not answer a recall of the volume %s: it must be fenced", core_node_name(c, node),
		   state_name(c->state, KIND_VOLUME, of->volume) ? state_name(c->state, KIND_VOLUME, of->volume) : "?");
	core_propose(c, &m);
}
