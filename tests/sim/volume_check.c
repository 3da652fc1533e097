/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What must hold in a volume, whatever happens. */
#include <inttypes.h>

#include "tests/sim/volume_world.h"

/* Is the place the file's? The journal's word, and the owner's. */
static void check_place(struct world *w, uint32_t index, uint32_t file, uint32_t block, uint32_t phys)
{
	const struct session *s = &w->sessions[index];
	bool silent = s->frozen || s->cut_until > w->now || !s->alive;

	if (block >= BLOCKS || w->mounted.map[file][block] != phys)
		world_break(w, silent ? "I6" : "I5", "session %u has block %u of file %u at %u, it is at %u", index, block, file,
			    phys, block < BLOCKS ? w->mounted.map[file][block] : 0);
	else if (w->disk.map[file][block] != phys)
		world_break(w, "I4", "session %u has block %u of file %u at %u before that is durable", index, block, file, phys);
}

void check_io(struct world *w, uint32_t session, const struct direct *io)
{
	check_place(w, session, io->file, io->block, io->phys);
}

static void check_extents(struct world *w, uint32_t index)
{
	const struct session *s = &w->sessions[index];

	for (uint32_t f = 0; f < FILES; f++)
		for (uint32_t i = 0; i < s->map[f].n; i++) {
			const struct lent_extent *e = &s->map[f].extents[i];

			for (uint64_t at = 0; at < e->length; at += SECTOR)
				check_place(w, index, f, (uint32_t)((e->offset + at) / SECTOR),
					    (uint32_t)((e->physical + at) / SECTOR));
		}
	for (uint32_t i = 0; i < USES; i++)
		if (s->io[i].used && s->io[i].step < 2)
			check_io(w, index, &s->io[i]);
}

static void check_sole(struct world *w, uint32_t index, uint32_t file)
{
	const struct session *s = &w->sessions[index];
	bool sole = s->map[file].sole && s->map[file].n;

	for (uint32_t i = 0; i < USES; i++)
		sole |= s->io[i].used && s->io[i].file == file && s->io[i].use.modify && s->io[i].step < 2;
	for (uint32_t o = 0; sole && o < w->n_sessions; o++)
		if (o != index && !w->sessions[o].fenced && w->sessions[o].map[file].n)
			world_break(w, "I7", "session %u has the sole right of file %u, session %u has extents", index, file, o);
}

/* Its own change is under way: it gets the new attributes with the answer. */
static bool changes(const struct session *s, uint32_t thing)
{
	for (uint32_t i = 0; i < REQUESTS; i++) {
		const struct sim_message *m = &s->requests[i].m;

		if (!s->requests[i].used)
			continue;
		if ((m->type == SIM_CHANGE || m->type == SIM_TRUNCATE) &&
		    (m->thing == thing || (m->thing > DIRECTORY && thing == DIRECTORY)))
			return true;
	}
	return false;
}

static void check_cached(struct world *w, uint32_t index)
{
	const struct session *s = &w->sessions[index];

	for (uint32_t t = 0; t < THINGS; t++)
		if (s->cached[t] && s->cached[t] < w->answered[t] && !changes(s, t))
			world_break(w, "stale", "session %u has version %u of thing %u, version %u was answered", index,
				    s->cached[t], t, w->answered[t]);
}

void check_world(struct world *w)
{
	for (uint32_t i = 0; i < w->n_sessions && !w->broken; i++) {
		if (w->sessions[i].fenced)
			continue;
		check_extents(w, i);
		for (uint32_t f = 0; f < FILES; f++)
			check_sole(w, i, f);
		/* A process that is dead or stopped shows nobody anything. */
		if (w->sessions[i].alive && !w->sessions[i].frozen)
			check_cached(w, i);
	}
}

/* No write that is older than an acknowledged one has taken its place. */
void check_block(struct world *w, uint32_t file, uint32_t block)
{
	uint32_t phys = w->mounted.map[file][block];

	for (uint32_t c = 0; c < CELLS; c++) {
		uint32_t id = w->device[phys][c];
		uint64_t acked = phys ? w->writes[id].acked : w->mounted.hole_since[file][block];

		if (acked < w->floor[file][block][c])
			world_break(w, "I7", "file %u block %u cell %u: an acknowledged write is gone, write %u is there", file,
				    block, c, phys ? id : 0);
	}
}

void write_acked(struct world *w, uint32_t file, uint32_t block, int cell, uint32_t id)
{
	struct write_note *n = &w->writes[id];

	if (n->acked == NEVER)
		n->acked = w->order;
	for (uint32_t c = 0; c < CELLS; c++)
		if ((cell < 0 || (uint32_t)cell == c) && w->floor[file][block][c] < n->begun)
			w->floor[file][block][c] = n->begun;
	check_block(w, file, block);
}

/* Has every request of before been answered, and none waited longer than that? */
void check_answered(struct world *w, uint64_t born_before, uint64_t age_us)
{
	for (uint32_t i = 0; i < w->n_sessions; i++)
		for (uint32_t r = 0; r < REQUESTS; r++) {
			const struct request *q = &w->sessions[i].requests[r];

			if (!w->sessions[i].alive || w->sessions[i].fenced || !q->used)
				continue;
			if (q->born < born_before || w->now - q->born > age_us)
				world_break(w, "starved", "session %u waits for request %" PRIu64 " (type %d) since %" PRIu64 " ms",
					    i, q->m.number, q->m.type, (w->now - q->born) / US_PER_MS);
		}
}

void check_idle(struct world *w)
{
	struct grant_counts c = { 0 };

	check_answered(w, NEVER, 0);
	if (!w->owner.up) {
		world_break(w, "starved", "there is no owner");
		return;
	}
	grant_count(w->owner.grants, &c);
	if (c.claims || c.wants || c.waiters || grant_in_grace(w->owner.grants))
		world_break(w, "starved", "%u claims, %u wants, %u waiting leases are left%s", c.claims, c.wants, c.waiters,
			    grant_in_grace(w->owner.grants) ? ", and grace" : "");
	for (uint32_t i = 0; i < OPS; i++)
		if (w->owner.ops[i].used)
			world_break(w, "starved", "operation %u of the owner is left", i);
}
