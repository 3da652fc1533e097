/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A session: what csvfs does with its extents, requests, recalls and caches, around the real extent maps. */
#include <inttypes.h>
#include <string.h>

#include "tests/sim/volume_world.h"

static uint32_t index_of(const struct world *w, const struct session *s)
{
	return (uint32_t)(s - w->sessions);
}

static void later(struct world *w, const struct session *s, enum event_kind kind, uint32_t index, uint64_t delay_us)
{
	struct world_event e = { .kind = kind, .who = index_of(w, s), .index = index };

	world_push(w, delay_us, &e);
}

void session_new(struct world *w, uint32_t node)
{
	struct session *s;

	if (w->n_sessions == SESSIONS_MAX)
		return;
	s = &w->sessions[w->n_sessions++];
	memset(s, 0, sizeof(*s));
	s->node = node;
	s->alive = true;
	pending_init(&s->window, WINDOW);
	for (uint32_t f = 0; f < FILES; f++) {
		extent_map_init(&s->map[f], s->extents[f], BLOCKS * 2);
		io_drain_init(&s->drain[f]);
	}
	later(w, s, EV_CONNECT, 0, US_PER_MS);
	later(w, s, EV_WORK, 0, 10 * US_PER_MS);
}

void session_disconnect(struct world *w, uint32_t index, uint64_t for_us)
{
	struct session *s = &w->sessions[index];

	s->connected = false;
	s->connection = 0;
	later(w, s, EV_CONNECT, 0, for_us);
}

/* --- requests --- */

static void request_send(struct world *w, struct session *s, const struct request *r)
{
	struct sim_message m = r->m;

	m.connection = s->connection;
	m.session = index_of(w, s);
	m.answered = pending_mark(&s->window);
	/* A give-back leaves when what uses it is done. */
	if (s->connected && (m.type != SIM_GIVE_BACK || m.done))
		world_send(w, &m, true);
}

static enum request_class class_of(const struct sim_message *m)
{
	return m->type == SIM_CHANGE || m->type == SIM_TRUNCATE || m->type == SIM_WRITE ? REQUEST_MEMORY : REQUEST_REPEAT;
}

/* NULL: no room in the window. */
static struct request *request_new(struct world *w, struct session *s, const struct sim_message *m)
{
	const enum pending_kind kind = m->reclaim ? PENDING_RECLAIM
					: m->type == SIM_READY || m->type == SIM_GIVE_BACK ? PENDING_URGENT : PENDING_NORMAL;

	for (uint32_t i = 0; i < REQUESTS; i++) {
		struct request *r = &s->requests[i];

		if (r->used)
			continue;
		*r = (struct request){ .born = w->now, .m = *m };
		r->m.number = pending_add(&s->window, class_of(m), kind, r);
		if (!r->m.number)
			return NULL;
		r->used = true;
		request_send(w, s, r);
		return r;
	}
	return NULL;
}

static bool room(const struct session *s)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < REQUESTS; i++)
		n += !s->requests[i].used;
	return n > 5; /* the rest is for give-backs, reclaims and READY */
}

static void request_end(struct session *s, struct request *r)
{
	struct pending was;

	r->used = !pending_answered(&s->window, r->m.number, &was);
}

/* A recall, or a change of its own that was answered: what was asked before must not be cached. */
static void uncache(struct session *s, uint32_t thing)
{
	struct vol_fid fid = thing_fid(thing);

	s->cached[thing] = 0;
	pending_recalled(&s->window, &fid);
}

static bool may_cache(const struct session *s, const struct sim_message *m)
{
	struct vol_fid fid = thing_fid(m->thing);

	return m->cache && (pending_may_cache(&s->window, m->number, &fid) || VOLUME_CANARY(CACHE_OVERTAKEN));
}

/* --- what waits for I/O --- */

static void recalled_send(struct world *w, struct session *s, uint64_t number)
{
	struct sim_message m = { .type = SIM_RECALLED, .number = number, .session = index_of(w, s), .connection = s->connection };

	if (s->connected)
		world_send(w, &m, true);
}

static void notes_ready(struct world *w, struct session *s, uint32_t file)
{
	for (struct io_recall *r; (r = io_ready(&s->drain[file]));) {
		struct note *n = CONTAINER_OF(r, struct note, recall);

		n->used = false;
		if (r->number)
			recalled_send(w, s, r->number);
		for (uint32_t i = 0; n->request && i < REQUESTS; i++)
			if (s->requests[i].used && s->requests[i].m.number == n->request) {
				s->requests[i].m.done = true;
				request_send(w, s, &s->requests[i]);
			}
	}
}

static void note_new(struct world *w, struct session *s, uint32_t file, uint64_t number, uint32_t what, uint64_t offset,
		     uint64_t length, uint64_t request)
{
	for (uint32_t i = 0; i < NOTES; i++) {
		struct note *n = &s->notes[i];

		if (n->used)
			continue;
		n->used = true;
		n->file = file;
		n->request = request;
		io_recall_begin(&s->drain[file], &n->recall, number, what, offset, length);
		notes_ready(w, s, file);
		return;
	}
	world_break(w, "bounds", "more than %d recalls wait in session %u", NOTES, index_of(w, s));
}

static void recall_take(struct world *w, struct session *s, const struct sim_message *m)
{
	w->counts[COUNT_RECALL]++;
	if (m->what & VOL_RECALL_ATTR)
		uncache(s, m->thing);
	for (uint32_t i = 0; m->what & VOL_RECALL_NAME && i < NAMES; i++)
		if (!*m->name || !strcmp(m->name, names[i]))
			uncache(s, DIRECTORY + 1 + i);
	if (!(m->what & (VOL_RECALL_EXTENTS | VOL_RECALL_SOLE))) {
		recalled_send(w, s, m->number);
		return;
	}
	extent_map_recall(&s->map[m->thing], m->grant, m->what, m->offset, m->length);
	note_new(w, s, m->thing, m->number, m->what, m->offset, m->length, 0);
}

/* --- a new owner --- */

static void ready_try(struct world *w, struct session *s)
{
	struct sim_message m = { .type = SIM_READY };

	if (!s->reclaiming || s->ready_sent || !s->connected)
		return;
	for (uint32_t i = 0; i < REQUESTS; i++)
		if (s->requests[i].used && s->requests[i].m.reclaim)
			return;
	/* Also what the old owner recalled, or was about to get back: the new one does not know of it. */
	for (uint32_t i = 0; i < NOTES && !VOLUME_CANARY(READY_UNDRAINED); i++)
		if (s->notes[i].used)
			return;
	s->ready_sent = request_new(w, s, &m);
}

static void owner_is_new(struct world *w, struct session *s, uint64_t epoch)
{
	s->epoch = epoch;
	s->reclaiming = true;
	s->ready_sent = false;
	for (uint32_t t = 0; t < THINGS; t++)
		s->cached[t] = 0;
	pending_recalled(&s->window, NULL);
	for (uint32_t i = 0; i < REQUESTS; i++) {
		struct request *r = &s->requests[i];

		if (!r->used)
			continue;
		if (r->m.reclaim)
			extent_map_ask_end(&s->map[r->m.thing]);
		if (r->m.type == SIM_READY || r->m.type == SIM_GIVE_BACK || r->m.reclaim)
			request_end(s, r);
	}
	for (uint32_t f = 0; f < FILES; f++) {
		struct extent_map *map = &s->map[f];
		struct sim_message m = { .type = SIM_LEASE, .thing = f, .reclaim = true };

		extent_map_new_owner(map);
		note_new(w, s, f, 0, VOL_RECALL_SOLE, 0, 0, 0);
		if (!map->n)
			continue;
		m.offset = map->extents[0].offset;
		m.length = map->extents[map->n - 1].offset + map->extents[map->n - 1].length - m.offset;
		w->counts[COUNT_RECLAIM]++;
		if (!extent_map_ask_begin(map) || !request_new(w, s, &m))
			world_break(w, "bounds", "no room for a reclaim");
	}
}

static void welcome(struct world *w, struct session *s, const struct sim_message *m)
{
	s->connected = true;
	if (m->epoch > s->epoch && s->epoch) {
		owner_is_new(w, s, m->epoch);
	} else {
		s->epoch = m->epoch;
	}
	for (const struct pending *p = pending_next(&s->window, 0); p; p = pending_next(&s->window, p->number + 1))
		request_send(w, s, p->user);
	ready_try(w, s);
}

/* --- answers --- */

static void lease_answered(struct world *w, struct session *s, const struct request *r, const struct sim_message *m)
{
	struct extent_map *map = &s->map[r->m.thing];

	extent_map_ask_end(map);
	if (!r->m.reclaim) {
		if (m->grant && extent_map_add(map, m->list, m->n, m->grant, true, m->sole) < (int)m->n)
			w->counts[COUNT_OVERTAKEN]++;
		return;
	}
	if (!extent_map_reclaimed(map, r->m.offset, r->m.length, m->list, m->n, m->grant, true))
		note_new(w, s, r->m.thing, 0, VOL_RECALL_EXTENTS, r->m.offset, r->m.length, 0);
}

static void look_answered(struct world *w, struct session *s, const struct sim_message *m, bool cache)
{
	if (m->cache && !cache)
		w->counts[COUNT_OVERTAKEN]++;
	s->cached[m->thing] = cache ? m->version : 0;
}

static void change_answered(struct session *s, const struct sim_message *m, bool cache)
{
	uncache(s, m->thing);
	if (m->thing > DIRECTORY)
		uncache(s, DIRECTORY);
	s->cached[m->thing] = cache ? m->version : 0;
}

static void answered(struct world *w, struct session *s, const struct sim_message *m)
{
	struct request copy;
	bool cache = may_cache(s, m);

	for (uint32_t i = 0; i < REQUESTS; i++) {
		struct request *r = &s->requests[i];

		if (!r->used || r->m.number != m->number)
			continue;
		copy = *r;
		request_end(s, r);
		if (m->type == SIM_LEASE)
			lease_answered(w, s, &copy, m);
		else if (m->type == SIM_LOOK)
			look_answered(w, s, m, cache);
		else if (m->type == SIM_CHANGE || m->type == SIM_TRUNCATE)
			change_answered(s, m, cache);
		else if (m->type == SIM_GIVE_BACK)
			extent_map_give_end(&s->map[copy.m.thing]);
		else if (m->type == SIM_READY)
			s->reclaiming = false;
		else if (m->type == SIM_WRITE && m->done)
			write_acked(w, copy.m.thing, (uint32_t)(copy.m.offset / SECTOR), copy.m.whole ? -1 : (int)copy.m.cell,
				    copy.m.write_id);
		ready_try(w, s);
		return;
	}
}

static void message_take(struct world *w, struct session *s, const struct sim_message *m)
{
	if (m->connection != s->connection || (!s->connected && m->type != SIM_WELCOME))
		return;
	if (m->type == SIM_WELCOME)
		welcome(w, s, m);
	else if (m->type == SIM_RECALL)
		recall_take(w, s, m);
	else
		answered(w, s, m);
}

/* --- work --- */

/* The range lock of the session: what touches the block already, here or by the owner. */
static bool block_busy(const struct session *s, uint32_t file, uint32_t block)
{
	for (uint32_t i = 0; i < USES; i++)
		if (s->io[i].used && s->io[i].file == file && s->io[i].block == block)
			return true;
	for (uint32_t i = 0; i < REQUESTS; i++)
		if (s->requests[i].used && s->requests[i].m.type == SIM_WRITE && s->requests[i].m.thing == file &&
		    s->requests[i].m.offset / SECTOR == block)
			return true;
	return false;
}

/* A device is slow now and then, longer than a new owner needs. */
static uint64_t io_delay(struct world *w)
{
	if (!w->calm && rng_permille(&w->rng, w->slow_permille))
		return rng_range(&w->rng, 10, 3000) * US_PER_MS;
	return 100 + rng_spread(&w->rng, 2 * (uint64_t)w->delay_us);
}

static void direct_start(struct world *w, struct session *s, uint32_t file, uint32_t block, int cell, bool write,
			 const struct extent_piece *p)
{
	for (uint32_t i = 0; i < USES; i++) {
		struct direct *io = &s->io[i];

		if (io->used)
			continue;
		*io = (struct direct){ .used = true, .write = write, .cell = cell, .file = file, .block = block,
				       .phys = (uint32_t)(p->physical / SECTOR), .step = write && cell >= 0 ? 0 : 1 };
		if (write)
			io->write_id = world_write_new(w);
		io_begin(&s->drain[file], &io->use, p->offset, p->length, write && cell >= 0);
		w->counts[io->use.modify ? COUNT_MODIFY : COUNT_DIRECT]++;
		later(w, s, EV_IO, i, io_delay(w));
		return;
	}
}

static void lease_ask(struct world *w, struct session *s, uint32_t file, uint32_t block)
{
	struct sim_message m = { .type = SIM_LEASE, .thing = file, .offset = block * (uint64_t)SECTOR };

	m.length = rng_percent(&w->rng, 30) ? BLOCKS * (uint64_t)SECTOR - m.offset : SECTOR * rng_range(&w->rng, 1, 3);
	if (m.offset + m.length > BLOCKS * (uint64_t)SECTOR)
		m.length = BLOCKS * (uint64_t)SECTOR - m.offset;
	if (!extent_map_ask_begin(&s->map[file]))
		return;
	w->counts[COUNT_LEASE]++;
	if (!request_new(w, s, &m))
		extent_map_ask_end(&s->map[file]);
}

static void redirect(struct world *w, struct session *s, uint32_t file, uint32_t block, int cell)
{
	struct sim_message m = { .type = SIM_WRITE, .thing = file, .offset = block * (uint64_t)SECTOR, .whole = cell < 0,
			     .cell = cell < 0 ? 0 : (uint32_t)cell, .write_id = world_write_new(w) };

	w->counts[COUNT_REDIRECT]++;
	request_new(w, s, &m);
}

/* Mostly its own, so that there are sole rights to lose. */
static uint32_t file_draw(struct world *w, const struct session *s)
{
	return rng_percent(&w->rng, w->own_percent) ? s->node % FILES : (uint32_t)rng_below(&w->rng, FILES);
}

static void work_data(struct world *w, struct session *s)
{
	uint32_t file = file_draw(w, s), block = (uint32_t)rng_below(&w->rng, BLOCKS);
	int cell = rng_percent(&w->rng, 40) ? (int)rng_below(&w->rng, CELLS) : -1;
	bool write = rng_percent(&w->rng, 80);
	uint64_t offset = block * (uint64_t)SECTOR + (cell < 0 ? 0 : (uint32_t)cell * CELL);
	struct extent_piece p;

	if (block_busy(s, file, block) ||
	    extent_map_find(&s->map[file], offset, cell < 0 ? SECTOR : CELL, write, SECTOR, &p, 1) != 1)
		return;
	if (p.kind != PIECE_REDIRECT && !rng_percent(&w->rng, 8))
		direct_start(w, s, file, block, cell, write, &p);
	else if (room(s) && rng_percent(&w->rng, 60))
		lease_ask(w, s, file, block);
	else if (room(s) && write)
		redirect(w, s, file, block, cell); /* also with extents: as if the path had failed */
}

static void work_give_back(struct world *w, struct session *s)
{
	uint32_t file = (uint32_t)rng_below(&w->rng, FILES);
	struct sim_message m = { .type = SIM_GIVE_BACK, .thing = file, .length = UINT64_MAX,
				 .offset = rng_below(&w->rng, BLOCKS) * SECTOR };
	struct request *r;

	if (rng_percent(&w->rng, 50))
		m.offset = 0;
	if (!extent_map_give_begin(&s->map[file], m.offset, m.length))
		return;
	w->counts[COUNT_GIVE_BACK]++;
	m.done = VOLUME_CANARY(GIVE_UNDRAINED);
	r = request_new(w, s, &m);
	if (!r)
		world_break(w, "bounds", "no room for a give-back");
	else if (!m.done)
		note_new(w, s, file, 0, VOL_RECALL_EXTENTS | (m.offset ? 0 : VOL_RECALL_SOLE), m.offset, m.length, r->m.number);
}

static void work(struct world *w, struct session *s)
{
	struct sim_message m = { .thing = (uint32_t)rng_below(&w->rng, THINGS) };
	uint64_t kind = rng_below(&w->rng, 100);

	if (kind < 75) {
		work_data(w, s);
	} else if (!room(s)) {
		return;
	} else if (kind < 77) {
		m.type = SIM_TRUNCATE;
		m.thing = file_draw(w, s);
		m.offset = rng_below(&w->rng, BLOCKS) * SECTOR;
		w->counts[COUNT_TRUNCATE]++;
		request_new(w, s, &m);
	} else if (kind < 82) {
		m.type = SIM_CHANGE;
		w->counts[COUNT_CHANGE]++;
		request_new(w, s, &m);
	} else if (kind < 97) {
		m.type = SIM_LOOK;
		if (s->cached[m.thing])
			w->counts[COUNT_CACHED]++;
		else
			request_new(w, s, &m);
	} else {
		work_give_back(w, s);
	}
}

/* --- the device --- */

static void io_done(struct world *w, struct session *s, struct direct *io)
{
	io->used = false;
	if (io->write && !s->fenced)
		write_acked(w, io->file, io->block, io->cell, io->write_id);
	io_end(&s->drain[io->file], &io->use);
	notes_ready(w, s, io->file);
	ready_try(w, s);
}

static void io_write(struct world *w, struct session *s, struct direct *io)
{
	uint32_t *cells = w->device[io->phys];

	if (s->fenced)
		return;
	check_io(w, index_of(w, s), io);
	if (!io->write || w->broken)
		return;
	for (uint32_t c = 0; c < CELLS; c++)
		cells[c] = io->cell < 0 || io->cell == (int)c ? io->write_id : io->seen[c];
	check_block(w, io->file, io->block);
}

/* 0: a sector is read to be changed; 1: it is read or written; 2: done. The process does 1 after 0, and what follows 2. */
static void io_step(struct world *w, struct session *s, uint32_t index)
{
	struct direct *io = &s->io[index];
	bool process = io->step == 2 || (io->step == 1 && io->use.modify);

	if (!io->used)
		return;
	if (process && !s->alive) {
		io->used = false;
		return;
	}
	if (process && s->frozen) {
		later(w, s, EV_IO, index, 5 * US_PER_MS);
		return;
	}
	if (io->step == 2) {
		io_done(w, s, io);
		return;
	}
	if (!io->step)
		memcpy(io->seen, w->device[io->phys], sizeof(io->seen));
	else
		io_write(w, s, io);
	io->step++;
	later(w, s, EV_IO, index, io_delay(w));
}

/* --- events --- */

static void session_connect(struct world *w, struct session *s)
{
	struct sim_message m = { .type = SIM_HELLO, .session = index_of(w, s), .answered = pending_mark(&s->window) };

	if (s->connected || s->fenced)
		return;
	s->connection = m.connection = ++w->connection;
	world_send(w, &m, true);
	later(w, s, EV_CONNECT, 0, rng_range(&w->rng, 100, 200) * US_PER_MS);
}

void session_event(struct world *w, const struct world_event *e)
{
	struct session *s = &w->sessions[e->who];

	if (e->kind == EV_IO) {
		io_step(w, s, e->index);
		return;
	}
	if (e->kind == EV_THAW)
		s->frozen = false;
	if (!s->alive || s->fenced)
		return;
	if (s->frozen) {
		world_push(w, 5 * US_PER_MS, e);
		return;
	}
	if (e->kind == EV_MESSAGE) {
		message_take(w, s, &e->m);
	} else if (e->kind == EV_CONNECT) {
		session_connect(w, s);
	} else if (e->kind == EV_WORK && !w->quiet) {
		work(w, s);
		later(w, s, EV_WORK, 0, 100 + rng_spread(&w->rng, w->work_us));
	}
}
