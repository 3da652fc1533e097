/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Time, the network, the cluster and its faults. */
#include "tests/sim/volume_world.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

/* The first two have one hash in grant.c. */
const char *const names[NAMES] = { "n8", "n31", "n1" };
const char *const count_names[COUNTS] = { "direct", "modify", "redirect", "lease",   "recall",	 "truncate", "change",
					  "cached", "epoch",  "fence",	  "break",   "reclaim",	 "give_back",
					  "freeze", "overtaken" };

struct vol_fid thing_fid(uint32_t thing)
{
	struct vol_fid f = { .len = 8, .type = 1 };

	f.data[0] = (uint8_t)((thing < DIRECTORY ? thing : DIRECTORY) + 1);
	return f;
}

static bool earlier(const struct world_event *a, const struct world_event *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void world_push(struct world *w, uint64_t delay_us, const struct world_event *e)
{
	uint32_t i = w->n_events;

	if (i == EVENTS_MAX) {
		world_break(w, "bounds", "%u events are waiting", i);
		return;
	}
	w->n_events++;
	w->events[i] = *e;
	w->events[i].at = w->now + delay_us;
	w->events[i].order = ++w->order;
	for (; i && earlier(&w->events[i], &w->events[(i - 1) / 2]); i = (i - 1) / 2) {
		struct world_event swap = w->events[i];

		w->events[i] = w->events[(i - 1) / 2];
		w->events[(i - 1) / 2] = swap;
	}
}

void world_say(struct world *w, const char *format, ...)
{
	char line[256], body[200];
	va_list args;

	va_start(args, format);
	vsnprintf(body, sizeof(body), format, args);
	va_end(args);
	snprintf(line, sizeof(line), "%9" PRIu64 ".%03" PRIu64 " %s", w->now / US_PER_MS, w->now % US_PER_MS, body);
	for (const char *c = line; *c; c++)
		w->hash = (w->hash ^ (uint8_t)*c) * UINT64_C(0x100000001b3);
	if (w->trace)
		w->trace(w->trace_user, line);
}

void world_break(struct world *w, const char *invariant, const char *format, ...)
{
	va_list args;

	if (w->broken)
		return;
	w->broken = invariant;
	va_start(args, format);
	vsnprintf(w->text, sizeof(w->text), format, args);
	va_end(args);
	world_say(w, "VIOLATED %s: %s", invariant, w->text);
}

/* Several connections and threads: nothing keeps its order. What is on its way when the connection breaks may be lost. */
void world_send(struct world *w, const struct sim_message *m, bool to_owner)
{
	struct world_event e = { .kind = EV_MESSAGE, .who = m->session, .index = to_owner, .m = *m };
	struct session *s = &w->sessions[m->session];

	if (s->cut_until > w->now || s->fenced)
		return;
	world_push(w, 100 + rng_spread(&w->rng, w->delay_us), &e);
}

uint32_t world_write_new(struct world *w)
{
	if (w->n_writes + 1 == WRITES_MAX) {
		world_break(w, "bounds", "too many writes");
		return w->n_writes;
	}
	w->writes[++w->n_writes] = (struct write_note){ ++w->order, NEVER };
	return w->n_writes;
}

/* --- the cluster --- */

void world_fence_soon(struct world *w, uint32_t session)
{
	struct world_event e = { .kind = EV_FENCE, .who = session };
	struct session *s = &w->sessions[session];

	if (s->fence_coming)
		return;
	s->fence_coming = true;
	world_push(w, rng_range(&w->rng, 50, 800) * US_PER_MS, &e);
}

static void freeze(struct world *w, uint32_t i)
{
	struct world_event e = { .kind = EV_THAW, .who = i };

	w->sessions[i].frozen = true;
	w->counts[COUNT_FREEZE]++;
	world_say(w, "session %u is stopped", i);
	world_push(w, rng_range(&w->rng, 10, 3000) * US_PER_MS, &e);
}

void world_fault(struct world *w)
{
	uint32_t i = (uint32_t)rng_below(&w->rng, w->n_sessions), total = 0, kind = 0;
	struct session *s = &w->sessions[i];

	for (uint32_t k = 0; k < ARRAY_SIZE(w->kinds); k++)
		total += w->kinds[k];
	for (uint64_t pick = rng_below(&w->rng, total); pick >= w->kinds[kind]; kind++)
		pick -= w->kinds[kind];
	if (kind == 4) {
		owner_crash(w);
		return;
	}
	if (!s->alive || s->fenced || s->frozen)
		return;
	switch (kind) {
	case 0:
		w->counts[COUNT_BREAK]++;
		session_disconnect(w, i, rng_range(&w->rng, 1, 50) * US_PER_MS);
		break;
	case 1:
		s->cut_until = w->now + rng_range(&w->rng, 10, 3000) * US_PER_MS;
		world_say(w, "session %u is cut off", i);
		session_disconnect(w, i, s->cut_until - w->now + US_PER_MS);
		break;
	case 2:
		freeze(w, i);
		break;
	case 3:
		/* Its process is dead; what it gave to the kernel goes on. The cluster finds out. */
		world_say(w, "session %u dies", i);
		s->alive = false;
		world_fence_soon(w, i);
		break;
	default:
		break;
	}
}
