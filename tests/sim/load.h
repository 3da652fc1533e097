/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What administrators ask for in a simulation: the set-up, random requests good and bad, and the tidying at the end. */
#ifndef TESTS_SIM_LOAD_H
#define TESTS_SIM_LOAD_H

#include "proto/object_text.h"
#include "tests/sim/world.h"

#define LOAD_BYTES FRAME_MAX

/* Operations of one request under construction. */
struct load_ops {
	uint8_t bytes[LOAD_BYTES];
	struct writer w;
	struct change_op op;
	char values[16][256];
};

void load_begin(struct load_ops *o);
void load_op(struct load_ops *o, enum change_verb verb, uint32_t kind, const char *name, const char *arg, bool force);
/* A field of the operation begun last, by name. */
void load_field(struct load_ops *o, enum edit_how how, const char *name, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
void load_end(struct load_ops *o);
size_t load_length(struct load_ops *o);

struct load_options {
	uint32_t roles, resources_max; /* resources of a role */
	uint32_t rules, sets, volumes;
	uint32_t mean_ms; /* between requests */
	bool hostile, churn, disarm, maintenance, evict, node_stop, capacity;
};

/* Step `step` of the set-up; false: there is no such step. */
bool load_setup(struct world *w, const struct load_options *l, uint32_t step, struct load_ops *o);
/* A random request; returns the number of the mark it sets, 0: none. */
uint32_t load_random(struct world *w, const struct load_options *l, struct load_ops *o);
/* What still keeps roles from running, undone; false: nothing. */
bool load_tidy(struct world *w, const struct state *s, struct load_ops *o);

#endif
