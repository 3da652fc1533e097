/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Why a role is where it is, as lines of text: its state and the event behind it, what it waits for, its rules, and every
 * node's verdict with the parts of its score. Made by the functions that decide, from the state alone.
 */
#ifndef CORE_EXPLAIN_H
#define CORE_EXPLAIN_H

#include "clusterd/core/place.h"

#define EXPLAIN_LINE_SIZE 512
#define EXPLAIN_EVENTS_MAX 6

/* Gets each line without its newline; the text is valid during the call. */
struct explain_sink {
	void (*line)(void *user, const char *text);
	void *user;
};

/* `role` is an id in use. `s` is const but for its lazily built rule index. */
void explain_role(struct state *s, uint32_t role, const struct explain_sink *sink);

/*
 * Why the role is where it is, or what it waits for, in one line: what the status page shows. `hints`: with the command
 * that helps.
 */
size_t explain_reason(const struct state *s, uint32_t role, bool hints, char *out, size_t size);

/* One node's verdict in words: "not enough memory: needs 2048 MiB, 512 of 4096 MiB are free". */
void explain_verdict(const struct state *s, uint32_t role, uint32_t node, const struct place_verdict *verdict, char *out,
		     size_t size);
/* The parts of a score that are not zero, in their own units: "preferred 1st, anti-affinity 1 role, load 37.5 %, 12 roles". */
void explain_score(const struct state *s, uint32_t role, uint32_t node, const struct place_verdict *verdict, char *out,
		   size_t size);

#endif
