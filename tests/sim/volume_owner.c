/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owners, one after the other: what csvfs-owner does around the real grant table. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/volume_world.h"

#define RECALL_MS 800

static const struct grant_limits limits = { .files = 8, .holders = 64, .claims = 64, .wants = 128, .waiters = 64 };

static void pump(struct world *w);

static void op_later(struct world *w, const struct op *op, uint64_t delay_us)
{
	struct world_event e = { .kind = EV_OP, .index = (uint32_t)(op - w->owner.ops), .epoch = w->owner.epoch };

	world_push(w, delay_us, &e);
}

static void op_step_later(struct world *w, const struct op *op)
{
	op_later(w, op, 50 + rng_spread(&w->rng, w->delay_us));
}

static uint32_t slot_of(const struct owner *o, uint32_t session)
{
	for (uint32_t i = 0; i < SLOTS; i++)
		if (o->slots[i].used && o->slots[i].session == session)
			return i;
	return SLOTS;
}

static uint32_t slot_new(struct world *w, uint32_t session)
{
	struct owner *o = &w->owner;

	for (uint32_t i = 0; i < SLOTS; i++)
		if (!o->slots[i].used) {
			o->slots[i] = (struct slot){ .used = true, .session = session };
			w->trailer[session] = true; /* durably, before its first lease */
			return i;
		}
	return SLOTS;
}

/* --- answers --- */

static void op_free(struct owner *o, struct op *op)
{
	if (op->locked)
		o->locked[op->m.thing] = false;
	op->used = false;
}

static void send_to(struct world *w, uint32_t slot, struct sim_message *m)
{
	const struct slot *s = &w->owner.slots[slot];

	m->session = s->session;
	m->connection = s->connection;
	if (s->used && s->connection)
		world_send(w, m, false);
}

static bool is_logged(const struct sim_message *m)
{
	return m->type == SIM_CHANGE || m->type == SIM_TRUNCATE || m->type == SIM_WRITE;
}

/* What the session needs to know of an answer, as the log keeps it. */
static void answer_pack(const struct sim_message *m, struct vol_message *ret)
{
	*ret = (struct vol_message){ .type = VOL_ENTRY, .request = m->number };
	ret->entry.file = thing_fid(m->thing);
	ret->entry.attr.ino = m->version;
	ret->entry.attr.size = m->thing;
	ret->entry.attr.rdev = m->type;
	ret->entry.keep = m->done;
	ret->entry.cache = m->cache;
}

/* What may be cached by it may have been recalled since: the session knows. */
static void answer_unpack(const struct vol_message *v, struct sim_message *ret)
{
	*ret = (struct sim_message){ .type = (enum message_type)v->entry.attr.rdev, .answer = true, .number = v->request,
				     .thing = (uint32_t)v->entry.attr.size, .version = (uint32_t)v->entry.attr.ino,
				     .done = v->entry.keep, .cache = v->entry.cache };
}

/* Answers, keeps the answer of what must not be done twice, and is done. */
static void op_answer(struct world *w, struct op *op)
{
	struct owner *o = &w->owner;
	uint32_t slot = slot_of(o, op->session);

	op->m.answer = true;
	if (slot < SLOTS) {
		struct vol_message kept;

		answer_pack(&op->m, &kept);
		if (is_logged(&op->m) && request_log_answer(o->log, slot, op->m.number, &kept) < 0)
			world_break(w, "bounds", "an answer could not be kept");
		send_to(w, slot, &op->m);
	}
	op_free(o, op);
}

/* --- leases and looks --- */

static void commit(struct world *w)
{
	w->disk = w->mounted;
}

/* After it was noted: look what there is, make it durable, tell. */
static void op_lend(struct world *w, struct op *op)
{
	struct sim_message *m = &op->m;
	const uint16_t *map = w->mounted.map[m->thing];

	m->n = 0;
	m->grant = op->grant.number;
	m->sole = op->grant.sole;
	if (!VOLUME_CANARY(LEND_UNDURABLE))
		commit(w);
	for (uint64_t at = m->offset; op->given && at < m->offset + m->length && at / SECTOR < BLOCKS; at += SECTOR)
		if (map[at / SECTOR])
			m->list[m->n++] = (struct vol_extent){ at, map[at / SECTOR] * (uint64_t)SECTOR, SECTOR };
	op_answer(w, op);
}

static void op_lease(struct world *w, struct op *op)
{
	struct vol_fid fid = thing_fid(op->m.thing);
	struct grant_lease l = { .file = &fid, .session = op->slot, .request = op->m.number, .offset = op->m.offset,
				 .length = op->m.length, .reclaim = op->m.reclaim, .user = op };
	enum grant_verdict verdict = grant_lease(w->owner.grants, &l, &op->grant);

	op->given = verdict == GRANT_NOW;
	if (verdict != GRANT_LATER)
		op_step_later(w, op);
}

static bool op_cache(struct world *w, const struct op *op)
{
	uint32_t thing = op->m.thing, slot = slot_of(&w->owner, op->session);
	struct vol_fid fid = thing_fid(thing);

	if (slot == SLOTS)
		return false;
	if (thing > DIRECTORY)
		return grant_name(w->owner.grants, &fid, names[thing - DIRECTORY - 1], slot);
	return grant_attr(w->owner.grants, &fid, slot);
}

static void op_look(struct world *w, struct op *op)
{
	bool first = op->step == 0;

	op->step = 1;
	if (VOLUME_CANARY(LOOK_FIRST) ? !first : first)
		op->m.cache = op_cache(w, op);
	if (VOLUME_CANARY(LOOK_FIRST) ? first : !first)
		op->m.version = w->mounted.version[op->m.thing];
	if (first)
		op_step_later(w, op);
	else
		op_answer(w, op);
}

/* --- changes --- */

static void op_claim(struct world *w, struct op *op)
{
	struct vol_fid fid = thing_fid(op->m.thing);
	struct grant_want wants[2] = { { .file = &fid, .what = VOL_RECALL_ATTR } };
	uint32_t n = 1, slot = slot_of(&w->owner, op->session);

	switch (op->m.type) {
	case SIM_TRUNCATE:
		wants[0].what |= VOL_RECALL_EXTENTS;
		wants[0].offset = op->m.offset;
		wants[0].length = UINT64_MAX;
		break;
	case SIM_WRITE:
		/* A whole sector too: who has the sole right may be about to write back what was there. */
		wants[0].what = op->m.whole ? VOL_RECALL_SOLE : VOL_RECALL_EXTENTS;
		wants[0].offset = op->m.offset;
		wants[0].length = SECTOR;
		break;
	default:
		if (op->m.thing <= DIRECTORY)
			break;
		wants[0].what |= VOL_RECALL_NAME;
		wants[0].name = names[op->m.thing - DIRECTORY - 1];
	}
	if (rng_percent(&w->rng, 10))
		wants[n++] = (struct grant_want){ .file = &fid,
						  .what = op->m.thing < FILES ? VOL_RECALL_SOLE : VOL_RECALL_ATTR };
	if (grant_claim(w->owner.grants, wants, n, slot < SLOTS ? slot : SESSION_NOBODY, op, &op->claim) < 0)
		op_later(w, op, 5 * US_PER_MS); /* too many: again */
}

static uint32_t block_free(struct world *w)
{
	uint32_t first = (uint32_t)rng_below(&w->rng, DEVICE - 1);

	for (uint32_t i = 0; i < DEVICE - 1; i++) {
		uint32_t phys = 1 + (first + i) % (DEVICE - 1);
		bool used = false;

		for (uint32_t k = 0; k < FILES * BLOCKS; k++)
			used |= w->disk.map[k / BLOCKS][k % BLOCKS] == phys || w->mounted.map[k / BLOCKS][k % BLOCKS] == phys;
		if (!used)
			return phys;
	}
	return 0;
}

/* Zeros first: a block is never lent before it is written. false: no space. */
static bool allocate(struct world *w, uint32_t file, uint32_t block)
{
	uint32_t phys = w->mounted.map[file][block], zero;

	if (phys)
		return true;
	phys = block_free(w);
	if (!phys)
		return false;
	zero = world_write_new(w);
	w->writes[zero].acked = w->order;
	for (uint32_t c = 0; c < CELLS; c++)
		w->device[phys][c] = zero;
	w->mounted.map[file][block] = (uint16_t)phys;
	return true;
}

static void op_write(struct world *w, struct op *op)
{
	uint32_t file = op->m.thing, block = (uint32_t)(op->m.offset / SECTOR);
	uint32_t *cells = w->device[w->mounted.map[file][block]];

	for (uint32_t c = 0; c < CELLS; c++)
		cells[c] = op->m.whole || op->m.cell == c ? op->m.write_id : op->seen[c];
	check_block(w, file, block);
}

static void op_change(struct world *w, const struct op *op)
{
	uint32_t thing = op->m.thing;

	w->mounted.version[thing] = ++w->version;
	if (thing > DIRECTORY)
		w->mounted.version[DIRECTORY] = ++w->version;
	for (uint64_t b = op->m.offset / SECTOR; op->m.type == SIM_TRUNCATE && b < BLOCKS; b++) {
		w->mounted.map[thing][b] = 0;
		w->mounted.hole_since[thing][b] = w->order;
	}
}

/* The claim is ready: under the file's own lock, do it, commit, let go, answer. */
static void op_done(struct world *w, struct op *op)
{
	uint32_t thing = op->m.thing;

	commit(w);
	if (op->m.type != SIM_WRITE) {
		w->answered[thing] = w->mounted.version[thing];
		if (thing > DIRECTORY)
			w->answered[DIRECTORY] = w->mounted.version[DIRECTORY];
	}
	check_world(w); /* before anybody hears of it */
	grant_end(w->owner.grants, op->claim);
	if (op->m.type != SIM_WRITE) {
		op->m.cache = op_cache(w, op);
		op->m.version = w->mounted.version[thing];
	}
	op_answer(w, op);
}

static void op_work(struct world *w, struct op *op)
{
	uint32_t file = op->m.thing;

	if (!op->claim) {
		op_claim(w, op);
		return;
	}
	if (!grant_claim_ready(w->owner.grants, op->claim))
		return;
	if (file < FILES && !op->locked) {
		if (w->owner.locked[file]) {
			op_step_later(w, op);
			return;
		}
		op->locked = w->owner.locked[file] = true;
	}
	op->step++;
	if (op->step == 1 && op->m.type == SIM_WRITE) {
		op->m.done = allocate(w, file, (uint32_t)(op->m.offset / SECTOR));
		if (op->m.done)
			memcpy(op->seen, w->device[w->mounted.map[file][op->m.offset / SECTOR]], sizeof(op->seen));
	} else if (op->step == 2) {
		if (op->m.type == SIM_WRITE && op->m.done)
			op_write(w, op);
		else if (op->m.type != SIM_WRITE)
			op_change(w, op);
	} else if (op->step == 3) {
		op_done(w, op);
		return;
	}
	op_step_later(w, op);
}

static void op_go(struct world *w, struct op *op)
{
	if (op->m.type == SIM_LEASE)
		op_lend(w, op);
	else if (op->m.type == SIM_LOOK)
		op_look(w, op);
	else
		op_work(w, op);
}

/* --- requests --- */

static void op_begin(struct world *w, uint32_t slot, const struct sim_message *m)
{
	struct owner *o = &w->owner;

	for (uint32_t i = 0; i < OPS; i++)
		if (o->ops[i].used && o->ops[i].session == m->session && o->ops[i].m.number == m->number)
			return; /* in progress */
	for (uint32_t i = 0; i < OPS; i++) {
		struct op *op = &o->ops[i];

		if (op->used)
			continue;
		*op = (struct op){ .used = true, .session = m->session, .slot = slot, .m = *m };
		if (m->type == SIM_LEASE)
			op_lease(w, op);
		else
			op_go(w, op);
		return;
	}
	world_break(w, "bounds", "more than %d operations of the owner", OPS);
}

static void answer_now(struct world *w, uint32_t slot, const struct sim_message *m)
{
	struct sim_message answer = *m;

	answer.answer = true;
	send_to(w, slot, &answer);
}

static bool request_is_new(struct world *w, uint32_t slot, const struct sim_message *m)
{
	struct vol_message kept;
	struct sim_message answer;
	enum request_state state;

	request_log_answered(w->owner.log, slot, m->answered);
	state = request_log_begin(w->owner.log, slot, m->number, &kept);
	if (state == REQUEST_FULL)
		world_break(w, "bounds", "the log of answers is full");
	if (state == REQUEST_ANSWERED && VOLUME_CANARY(DO_AGAIN))
		return true;
	if (state == REQUEST_ANSWERED) {
		answer_unpack(&kept, &answer);
		send_to(w, slot, &answer);
	}
	return state == REQUEST_NEW;
}

static void request_take(struct world *w, uint32_t slot, const struct sim_message *m)
{
	struct owner *o = &w->owner;
	struct vol_fid fid = thing_fid(m->thing);

	if (is_logged(m) && !request_is_new(w, slot, m))
		return;
	switch (m->type) {
	case SIM_RECALLED:
		grant_recalled(o->grants, slot, m->number);
		break;
	case SIM_GIVE_BACK:
		grant_give_back(o->grants, &fid, slot, m->offset, m->length);
		answer_now(w, slot, m);
		break;
	case SIM_READY:
		grant_session_ready(o->grants, slot);
		answer_now(w, slot, m);
		break;
	default:
		op_begin(w, slot, m);
	}
}

static void hello(struct world *w, const struct sim_message *m)
{
	struct sim_message answer = { .type = SIM_WELCOME, .epoch = w->owner.epoch };
	uint32_t slot = slot_of(&w->owner, m->session);

	if (slot == SLOTS)
		slot = slot_new(w, m->session);
	if (slot == SLOTS)
		return;
	/* An older connection's HELLO that was late. */
	if (m->connection < w->owner.slots[slot].connection)
		return;
	w->owner.slots[slot].connection = m->connection;
	request_log_answered(w->owner.log, slot, m->answered);
	grant_session_again(w->owner.grants, slot);
	send_to(w, slot, &answer);
}

static void message_take(struct world *w, const struct sim_message *m)
{
	uint32_t slot;

	if (w->sessions[m->session].fenced)
		return; /* the cluster says so to whoever asks */
	if (m->type == SIM_HELLO) {
		hello(w, m);
		return;
	}
	slot = slot_of(&w->owner, m->session);
	if (slot < SLOTS && w->owner.slots[slot].connection == m->connection)
		request_take(w, slot, m);
}

/* --- what the grants say --- */

static void recall_send(struct world *w, const struct grant_event *e)
{
	struct sim_message m = { .type = SIM_RECALL, .number = e->number, .grant = e->recall.grant, .what = e->recall.what,
			     .offset = e->recall.offset, .length = e->recall.length, .thing = e->recall.file.data[0] - 1u };

	snprintf(m.name, sizeof(m.name), "%.15s", e->recall.name);
	send_to(w, e->session, &m);
}

static void pump(struct world *w)
{
	struct grant_event e;

	while (grant_next(w->owner.grants, w->now / US_PER_MS, &e)) {
		struct op *op = e.user;

		if (e.kind == GRANT_SEND_RECALL) {
			recall_send(w, &e);
			continue;
		}
		if (e.kind == GRANT_LEASE_GIVEN) {
			op->given = true;
			op->grant = e.given;
		}
		op_step_later(w, op);
	}
}

/* --- its life --- */

static void gone(struct world *w, uint32_t session)
{
	uint32_t slot = slot_of(&w->owner, session);

	w->trailer[session] = false;
	if (slot == SLOTS)
		return;
	grant_session_gone(w->owner.grants, slot);
	request_log_session_gone(w->owner.log, slot);
	w->owner.slots[slot].used = false;
	world_say(w, "owner: session %u is gone", session);
}

static void report(struct world *w, const struct session_set *s)
{
	for (uint32_t i = session_set_next(s, 0); i < SLOTS; i = session_set_next(s, i + 1)) {
		if (VOLUME_CANARY(PASS_SILENT) && w->owner.slots[i].used)
			gone(w, w->owner.slots[i].session);
		else if (w->owner.slots[i].used)
			world_fence_soon(w, w->owner.slots[i].session);
	}
}

/* Who does not answer a recall, or does not come back, is reported and fenced. */
static void poll(struct world *w, uint64_t up_since)
{
	struct world_event e = { .kind = EV_POLL, .epoch = w->owner.epoch, .m.offset = up_since };
	struct session_set s;
	uint64_t now_ms = w->now / US_PER_MS;

	if (now_ms > RECALL_MS) {
		grant_silent(w->owner.grants, now_ms - RECALL_MS, &s);
		report(w, &s);
	}
	if (w->now - up_since > 2000 * US_PER_MS) {
		grant_grace_waits_for(w->owner.grants, &s);
		report(w, &s);
	}
	world_push(w, 50 * US_PER_MS, &e);
}

void owner_crash(struct world *w)
{
	struct world_event e = { .kind = EV_OWNER };

	if (w->owner.coming)
		return;
	world_say(w, "the owner of epoch %" PRIu64 " is lost", w->owner.epoch);
	w->owner.up = false;
	w->owner.coming = true;
	w->mounted = w->disk;
	for (uint32_t i = 0; i < w->n_sessions; i++)
		if (w->sessions[i].alive && !w->sessions[i].fenced)
			session_disconnect(w, i, rng_range(&w->rng, 1, 300) * US_PER_MS);
	world_push(w, rng_range(&w->rng, 20, 1500) * US_PER_MS, &e);
}

static void owner_start(struct world *w)
{
	struct owner *o = &w->owner;
	struct session_set before = { 0 };
	uint64_t epoch = o->epoch + 1;

	free(o->memory);
	free(o->log_memory);
	*o = (struct owner){ .up = true, .epoch = epoch };
	o->memory = calloc(1, grant_size(&limits));
	o->log_memory = calloc(1, request_log_size(ANSWERS));
	if (!o->memory || !o->log_memory)
		abort();
	o->log = request_log_init(o->log_memory, ANSWERS);
	o->grants = grant_init(o->memory, &limits, epoch);
	w->mounted = w->disk;
	w->counts[COUNT_EPOCH]++;
	for (uint32_t i = 0; i < w->n_sessions; i++)
		if (w->trailer[i])
			session_set_add(&before, slot_new(w, i));
	grant_grace_begin(o->grants, &before);
	world_say(w, "owner of epoch %" PRIu64 "%s", epoch, grant_in_grace(o->grants) ? ", grace" : "");
	for (uint32_t i = 0; i < w->n_sessions; i++)
		if (w->trailer[i] && w->sessions[i].fenced)
			gone(w, i);
	poll(w, w->now);
}

static void fence(struct world *w, uint32_t session)
{
	struct world_event told = { .kind = EV_TOLD, .who = session }, again = { .kind = EV_RESTART, .who = session };

	w->sessions[session].fenced = true;
	w->counts[COUNT_FENCE]++;
	world_say(w, "session %u is fenced", session);
	world_push(w, rng_range(&w->rng, 1, 100) * US_PER_MS, &told);
	if (!w->calm)
		world_push(w, rng_range(&w->rng, 1, 500) * US_PER_MS, &again);
}

void owner_event(struct world *w, const struct world_event *e)
{
	if (e->kind == EV_FENCE)
		fence(w, e->who);
	else if (e->kind == EV_OWNER)
		owner_start(w);
	else if (!w->owner.up)
		return;
	else if (e->kind == EV_MESSAGE)
		message_take(w, &e->m);
	else if (e->kind == EV_TOLD)
		gone(w, e->who);
	else if (e->kind == EV_POLL && e->epoch == w->owner.epoch)
		poll(w, e->m.offset);
	else if (e->kind == EV_OP && e->epoch == w->owner.epoch && w->owner.ops[e->index].used)
		op_go(w, &w->owner.ops[e->index]);
	if (w->owner.up)
		pump(w);
}
