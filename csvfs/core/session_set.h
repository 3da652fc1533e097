/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A set of sessions. The owner numbers the sessions it knows 0 .. VOL_SESSION_MAX - 1 ("slot"); a slot is given again
 * only after every table here has been told that its session is gone.
 */
#ifndef CSVFS_CORE_SESSION_SET_H
#define CSVFS_CORE_SESSION_SET_H

#include <stdbool.h>
#include <stdint.h>

#include "bounds.h"

#define SESSION_NOBODY VOL_SESSION_MAX /* the owner itself asks */
#define SESSION_WORDS (VOL_SESSION_MAX / 64)

struct session_set {
	uint64_t word[SESSION_WORDS];
};

static inline bool session_set_has(const struct session_set *s, uint32_t slot)
{
	return slot < VOL_SESSION_MAX && (s->word[slot / 64] >> (slot % 64) & 1);
}
static inline void session_set_add(struct session_set *s, uint32_t slot)
{
	if (slot < VOL_SESSION_MAX)
		s->word[slot / 64] |= (uint64_t)1 << (slot % 64);
}
static inline void session_set_remove(struct session_set *s, uint32_t slot)
{
	if (slot < VOL_SESSION_MAX)
		s->word[slot / 64] &= ~((uint64_t)1 << (slot % 64));
}
/* The lowest member from `slot` on; VOL_SESSION_MAX: none. */
static inline uint32_t session_set_next(const struct session_set *s, uint32_t slot)
{
	for (; slot < VOL_SESSION_MAX; slot = (slot / 64 + 1) * 64) {
		uint64_t rest = s->word[slot / 64] >> (slot % 64);

		if (rest)
			return slot + (uint32_t)__builtin_ctzll(rest);
	}
	return VOL_SESSION_MAX;
}
static inline bool session_set_empty(const struct session_set *s)
{
	return session_set_next(s, 0) == VOL_SESSION_MAX;
}

#endif
