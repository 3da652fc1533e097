/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Units and small arithmetic that all layers share. Durations are milliseconds unless a name says otherwise. */
#ifndef CLUSTER_UNITS_H
#define CLUSTER_UNITS_H

#include <stddef.h>
#include <stdint.h>

#define MS_PER_SECOND 1000u
#define MS_PER_MINUTE (60u * MS_PER_SECOND)
#define MS_PER_HOUR (60u * MS_PER_MINUTE)
#define MS_PER_DAY (24u * MS_PER_HOUR)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
/* The struct of `type` whose `member` is at `pointer`. */
#define CONTAINER_OF(pointer, type, member) ((type *)(void *)((char *)(uintptr_t)(pointer) - offsetof(type, member)))

/* A set of nodes: bit n is node n. */
typedef uint64_t nodeset_t;
#define NODE_BIT(id) ((nodeset_t)1 << (id))

static inline int nodeset_has(nodeset_t s, uint32_t id) { return id <= 63 && (s >> id & 1); }
static inline int nodeset_count(nodeset_t s) { return __builtin_popcountll(s); }
/* Lowest member, 0 when empty. */
static inline uint32_t nodeset_first(nodeset_t s) { return s ? (uint32_t)__builtin_ctzll(s) : 0; }

#endif
