/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Upkeep of the indexes derived from the objects; used by state.c alone. */
#ifndef CORE_STATE_INDEX_H
#define CORE_STATE_INDEX_H

#include "clusterd/core/state.h"

void state_index_clear(struct state *s);
/* An object came into use, or is about to go. */
void state_index_add(struct state *s, uint32_t kind, uint32_t id);
void state_index_remove(struct state *s, uint32_t kind, uint32_t id);
/* Around a change of name. */
void state_index_add_name(struct state *s, uint32_t kind, uint32_t id);
void state_index_remove_name(struct state *s, uint32_t kind, uint32_t id);

#endif
