/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The database of a node: transactions that become durable in order, several with one sync, some time later or never.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/world.h"

#define DELETED UINT32_MAX
#define GROUP_MAX 64 /* transactions one sync carries */

static const struct {
	uint32_t base, max;
} slots[] = {
	[KIND_CLUSTER] = { 0, 1 },
	[KIND_NODE] = { 2, NODE_MAX },
	[KIND_NETWORK] = { 2 + NODE_MAX + 1, NETWORK_MAX },
	[KIND_ROLE] = { 128, SIM_ROLES - 1 },
	[KIND_RESOURCE] = { 128 + SIM_ROLES, SIM_RESOURCES - 1 },
	[KIND_RULE] = { 128 + SIM_ROLES + SIM_RESOURCES, RULE_MAX },
	[KIND_SET] = { 128 + SIM_ROLES + SIM_RESOURCES + RULE_MAX + 1, SET_MAX },
	[KIND_EVENT] = { 128 + SIM_ROLES + SIM_RESOURCES + RULE_MAX + 1 + SET_MAX + 1, EVENT_MAX },
	[KIND_VOLUME] = { 128 + SIM_ROLES + SIM_RESOURCES + RULE_MAX + 1 + SET_MAX + 1 + EVENT_MAX + 1, VOLUME_MAX },
};
#define DISK_SLOTS (128 + SIM_ROLES + SIM_RESOURCES + RULE_MAX + 1 + SET_MAX + 1 + EVENT_MAX + 1 + VOLUME_MAX + 1)

static uint32_t disk_slot(uint8_t kind, uint32_t id)
{
	/* More objects than a simulation makes: widen SIM_ROLES or SIM_RESOURCES. */
	assert(kind >= KIND_CLUSTER && kind <= KIND_LAST && id <= slots[kind].max);
	return slots[kind].base + id;
}

void disk_init(struct disk *d)
{
	*d = (struct disk){ 0 };
	d->blobs = calloc(DISK_SLOTS, sizeof(*d->blobs));
	assert(d->blobs);
}

void disk_done(struct disk *d)
{
	for (uint32_t i = 0; i < DISK_SLOTS; i++)
		free(d->blobs[i].data);
	for (uint32_t i = 0; i < d->size; i++)
		free(d->queue[i].data);
	free(d->queue);
	free(d->stage.data);
	free(d->blobs);
}

static void stage(struct disk *d, uint32_t slot, const void *data, uint32_t len)
{
	size_t bytes = len == DELETED ? 0 : len, need = d->stage.len + 8 + bytes;

	if (need > d->stage.size) {
		d->stage.size = need < 4096 ? 4096 : 2 * need;
		d->stage.data = realloc(d->stage.data, d->stage.size);
		assert(d->stage.data);
	}
	memcpy(d->stage.data + d->stage.len, &slot, 4);
	memcpy(d->stage.data + d->stage.len + 4, &len, 4);
	if (bytes)
		memcpy(d->stage.data + d->stage.len + 8, data, bytes);
	d->stage.len = need;
}

void disk_put(struct disk *d, uint8_t kind, uint32_t id, const void *data, size_t len)
{
	stage(d, disk_slot(kind, id), data, (uint32_t)len);
}

void disk_delete(struct disk *d, uint8_t kind, uint32_t id)
{
	stage(d, disk_slot(kind, id), NULL, DELETED);
}

void disk_wipe(struct disk *d)
{
	d->stage.wipe = true;
	d->stage.len = 0;
}

static void disk_sync(struct world *w, struct sim_node *n)
{
	struct disk *d = &n->disk;
	uint64_t us = 1 + w->options.disk_us / 2 + rng_spread(&w->rng, w->options.disk_us);

	d->in_flight = d->n < GROUP_MAX ? d->n : GROUP_MAX;
	if (d->slow)
		us += rng_range(&w->rng, 100, 4000) * US_PER_MS;
	if (d->full)
		us += 1000 * US_PER_MS;
	world_push(w, w->now_us + us, SIM_DISK, n->id, n->process_generation, 0, 0);
}

void disk_commit(struct world *w, struct sim_node *n, struct tag tag, uint64_t promised, uint64_t cookie)
{
	struct disk *d = &n->disk;
	struct commit c = d->stage, spare;

	if (d->n == d->size) {
		uint32_t size = d->size ? 2 * d->size : 32;

		d->queue = realloc(d->queue, size * sizeof(*d->queue));
		assert(d->queue);
		memset(d->queue + d->size, 0, (size - d->size) * sizeof(*d->queue));
		d->size = size;
	}
	spare = d->queue[d->n];
	c.tag = tag;
	c.promised = promised;
	c.cookie = cookie;
	d->queue[d->n++] = c;
	/* The next one is staged in the buffer that was free. */
	d->stage = (struct commit){ .data = spare.data, .size = spare.size };
	if (!d->in_flight)
		disk_sync(w, n);
}

static void apply(struct disk *d, const struct commit *c)
{
	if (c->wipe)
		for (uint32_t i = 0; i < DISK_SLOTS; i++)
			d->blobs[i].len = 0;
	for (size_t at = 0; at < c->len;) {
		uint32_t slot, len;
		struct blob *b;

		memcpy(&slot, c->data + at, 4);
		memcpy(&len, c->data + at + 4, 4);
		at += 8;
		b = &d->blobs[slot];
		b->len = len == DELETED ? 0 : len;
		if (b->len > b->size) {
			b->size = 2 * b->len;
			free(b->data);
			b->data = malloc(b->size);
			assert(b->data);
		}
		if (b->len)
			memcpy(b->data, c->data + at, b->len);
		at += b->len;
	}
	d->tag = c->tag;
	d->promised = c->promised;
}

static void rotate(struct disk *d, uint32_t done)
{
	struct commit kept[GROUP_MAX];

	assert(done <= GROUP_MAX);
	memcpy(kept, d->queue, done * sizeof(*kept));
	memmove(d->queue, d->queue + done, (d->n - done) * sizeof(*d->queue));
	d->n -= done;
	for (uint32_t i = 0; i < done; i++) {
		kept[i].len = 0;
		kept[i].wipe = false;
		d->queue[d->n + i] = kept[i];
	}
}

void disk_synced(struct world *w, struct sim_node *n)
{
	struct disk *d = &n->disk;
	uint64_t cookies[GROUP_MAX];
	uint32_t done = d->in_flight, generation = n->process_generation;

	if (d->full) {
		disk_sync(w, n);
		return;
	}
	for (uint32_t i = 0; i < done; i++) {
		apply(d, &d->queue[i]);
		cookies[i] = d->queue[i].cookie;
		w->counts[COUNT_commits]++;
	}
	rotate(d, done);
	d->in_flight = 0;
	if (d->n)
		disk_sync(w, n);
	for (uint32_t i = 0; i < done && n->process && n->process_generation == generation; i++) {
		struct core_event e = { .kind = EVENT_PERSISTED };

		e.persisted.cookie = cookies[i];
		node_step(w, n, &e);
	}
}

void disk_crash(struct world *w, struct sim_node *n)
{
	struct disk *d = &n->disk;
	uint32_t done = 0;

	/* The sync under way may have come just through: all of its transactions or none. */
	if (d->in_flight && !d->full && rng_percent(&w->rng, 30))
		for (; done < d->in_flight; done++)
			apply(d, &d->queue[done]);
	w->counts[COUNT_commits_lost] += d->n - done;
	for (uint32_t i = 0; i < d->n; i++)
		d->queue[i].len = 0, d->queue[i].wipe = false;
	d->n = d->in_flight = 0;
	d->stage.len = 0;
	d->stage.wipe = false;
}

void disk_lose(struct disk *d)
{
	for (uint32_t i = 0; i < DISK_SLOTS; i++)
		d->blobs[i].len = 0;
	for (uint32_t i = 0; i < d->n; i++)
		d->queue[i].len = 0, d->queue[i].wipe = false;
	d->n = d->in_flight = 0;
	d->stage.len = 0;
	d->stage.wipe = d->slow = d->full = false;
	d->tag = (struct tag){ 0, 0 };
	d->promised = 0;
}

void disk_load(const struct disk *d, struct core *core)
{
	for (uint32_t i = 0; i < DISK_SLOTS; i++)
		if (d->blobs[i].len) {
			int ret = core_load_object(core, d->blobs[i].data, d->blobs[i].len);

			assert(ret == 0);
			(void)ret;
		}
}
