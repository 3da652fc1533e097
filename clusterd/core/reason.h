/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reasons and events: what happened, said once, the same on every node. */
#ifndef CORE_REASON_H
#define CORE_REASON_H

#include "clusterd/core/state.h"

enum reason {
#define REASON(number, symbol, name, text) symbol = (number),
#include "clusterd/core/reasons.def"
#undef REASON
};

const char *reason_name(uint32_t reason);
/* The template with %o %n %m %d; "?" for an unknown number. */
const char *reason_text(uint32_t reason);
/* Fills the template; returns the length written (cut at size - 1). Missing parts read "?". */
size_t reason_format(uint32_t reason, const char *object, const char *node, const char *other, const char *detail, char *out,
		     size_t size);

struct event_about {
	enum reason reason;
	enum object_kind kind;
	uint32_t id;
	uint32_t node, other;
	const char *detail; /* NULL: none */
};
/* Adds an event to the ring in the state. */
void event_add(struct state *s, const struct event_about *about);
/*
 * Number of the event an object's history begins with, 0: not in the ring. Ids are used again: what is older may be about
 * an object that was deleted.
 */
uint64_t event_first_of(const struct state *s, uint32_t kind, uint32_t id);
/* One line for people. */
size_t event_format(const struct state *s, const struct event *e, char *out, size_t size);

#endif
