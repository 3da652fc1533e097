/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reasons, their texts, and the ring of events. */
#include <string.h>

#include "clusterd/core/reason.h"
#include "text.h"

static const struct reason_row {
	uint32_t number;
	const char *name, *text;
} rows[] = {
#define REASON(number, symbol, name, text) { number, name, text },
#include "clusterd/core/reasons.def"
#undef REASON
};

static const struct reason_row *row_of(uint32_t reason)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].number == reason)
			return &rows[i];
	return NULL;
}

const char *reason_name(uint32_t reason)
{
	const struct reason_row *r = row_of(reason);

	return r ? r->name : "?";
}

const char *reason_text(uint32_t reason)
{
	const struct reason_row *r = row_of(reason);

	return r ? r->text : "?";
}

static size_t append(char *out, size_t at, size_t size, const char *text, size_t n)
{
	if (at + 1 >= size)
		return at;
	if (n > size - 1 - at)
		n = size - 1 - at;
	memcpy(out + at, text, n);
	out[at + n] = '\0';
	return at + n;
}

size_t reason_format(uint32_t reason, const char *object, const char *node, const char *other, const char *detail, char *out,
		     size_t size)
{
	size_t at = 0;

	if (size)
		out[0] = '\0';
	for (const char *t = reason_text(reason); *t; t++) {
		const char *part = NULL;

		if (t[0] == '%' && t[1]) {
			switch (t[1]) {
			case 'o': part = object; break;
			case 'n': part = node; break;
			case 'm': part = other; break;
			default: part = detail; break;
			}
			part = part && *part ? part : "?";
			at = append(out, at, size, part, strlen(part));
			t++;
		} else {
			at = append(out, at, size, t, 1);
		}
	}
	return at;
}

void event_add(struct state *s, const struct event_about *about)
{
	struct cluster *c = state_edit(s, KIND_CLUSTER, 1);
	uint64_t number = c->next_event++;
	uint32_t id = (uint32_t)(number % EVENT_MAX) + 1;
	const char *name = state_name(s, about->kind, about->id);
	struct event *e;

	if (!state_get(s, KIND_EVENT, id) && !state_create(s, KIND_EVENT, "", id))
		return; /* only within a change that is too large and will be refused */
	e = state_edit(s, KIND_EVENT, id);
	e->number = number;
	e->at_ms = s->at_ms > s->cluster.now_ms ? s->at_ms : s->cluster.now_ms;
	e->reason = about->reason;
	e->about = about->kind;
	e->about_id = about->id;
	text_copy(e->about_name, sizeof(e->about_name), name);
	e->node = about->node;
	e->other = about->other;
	text_copy(e->detail, sizeof(e->detail), about->detail);
	e->epoch = s->tag.epoch;
	e->seq = s->tag.seq;
}

uint64_t event_first_of(const struct state *s, uint32_t kind, uint32_t id)
{
	uint64_t first = 0;

	for (uint32_t i = 1; i <= s->high[KIND_EVENT]; i++) {
		const struct event *e = &s->events[i];

		if (e->object.used && e->reason == REASON_CREATED && e->about == kind && e->about_id == id && e->number > first)
			first = e->number;
	}
	return first;
}

size_t event_format(const struct state *s, const struct event *e, char *out, size_t size)
{
	return reason_format(e->reason, e->about_name, state_name(s, KIND_NODE, e->node), state_name(s, KIND_NODE, e->other),
			     e->detail, out, size);
}
