/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The replicated state: fixed tables of objects, and indexes derived from them. Objects are read through const pointers
 * and changed through state_edit() alone, so that no change escapes the digest, the database or the undo.
 *
 * Between state_commit()s every edited object is in the dirty list. Indexes (names, resources of a role, load of a
 * node) are derived: equal objects give equal indexes, in any history.
 */
#ifndef CORE_STATE_H
#define CORE_STATE_H

#include "clusterd/core/core.h"

#define NAME_BUCKETS 32768 /* power of two, more than all named objects */

struct node_load {
	uint64_t cpu, memory_mb; /* of roles it owns, or that are on their way to it */
	uint32_t roles;          /* the same, counted */
	uint32_t ops;   /* in flight */
};

struct state {
	struct tag tag;
	uint64_t digest; /* sum of object hashes */
	struct cluster cluster;
	struct node nodes[NODE_MAX + 1];
	struct network networks[NETWORK_MAX + 1];
	struct role roles[ROLE_MAX + 1];
	struct resource resources[RESOURCE_MAX + 1];
	struct rule rules[RULE_MAX + 1];
	struct set sets[SET_MAX + 1];
	struct volume volumes[VOLUME_MAX + 1];
	struct event events[EVENT_MAX + 1];

	/*
	 * Time of the message being applied, as its sender says, for the stamps of events: finer than the replicated clock,
	 * never before an earlier one, never decided upon.
	 */
	uint64_t at_ms;

	/* derived */
	uint32_t high[KIND_LAST + 1];            /* highest id in use, per kind */
	uint32_t count[KIND_LAST + 1];           /* objects in use, per kind */
	uint32_t names[NAME_BUCKETS];             /* kind << 24 | id, open addressing; 0: empty */
	uint16_t role_resource[ROLE_MAX + 1];     /* first resource of a role … */
	uint16_t resource_next[RESOURCE_MAX + 1]; /* … and the next of the same role, ids ascending */
	struct node_load load[NODE_MAX + 1];
	uint32_t rule_first[ROLE_MAX + 2];        /* rules of role r: rule_of[rule_first[r] .. rule_first[r + 1]) */
	uint16_t rule_of[RULE_MAX * ROLELIST_MAX];
	bool rules_stale;                         /* rule_first/rule_of must be rebuilt before use */

	/* changes since the last commit */
	uint32_t n_dirty;
	uint32_t dirty[1 + NODE_MAX + NETWORK_MAX + ROLE_MAX + RESOURCE_MAX + RULE_MAX + SET_MAX + VOLUME_MAX +
		       EVENT_MAX];
	bool undoing;      /* a change is being tried: before-images are kept */
	bool undo_full;    /* it needs more than CHANGE_UNDO_SIZE: it will be refused */
	union any_object discard;
	size_t undo_len;
	uint8_t undo[CHANGE_UNDO_SIZE];
};

void state_clear(struct state *s);

/* Object of an id in use, or NULL. */
const void *state_get(const struct state *s, uint32_t kind, uint32_t id);
/* Id of a name, 0 when there is none. Events have no names. */
uint32_t state_find(const struct state *s, uint32_t kind, const char *name);
const char *state_name(const struct state *s, uint32_t kind, uint32_t id);
struct name_resolver;
struct name_resolver state_resolver(const struct state *s);

/* The same, by kind; these are in every loop, so they know their table. */
static inline const struct node *state_node(const struct state *s, uint32_t id)
{
	return id <= NODE_MAX && s->nodes[id].object.used ? &s->nodes[id] : NULL;
}

static inline const struct role *state_role(const struct state *s, uint32_t id)
{
	return id <= ROLE_MAX && s->roles[id].object.used ? &s->roles[id] : NULL;
}

static inline const struct resource *state_resource(const struct state *s, uint32_t id)
{
	return id <= RESOURCE_MAX && s->resources[id].object.used ? &s->resources[id] : NULL;
}

static inline const struct set *state_set(const struct state *s, uint32_t id)
{
	return id <= SET_MAX && s->sets[id].object.used ? &s->sets[id] : NULL;
}

static inline const struct rule *state_rule(const struct state *s, uint32_t id)
{
	return id <= RULE_MAX && s->rules[id].object.used ? &s->rules[id] : NULL;
}

static inline const struct volume *state_volume(const struct state *s, uint32_t id)
{
	return id <= VOLUME_MAX && s->volumes[id].object.used ? &s->volumes[id] : NULL;
}

/* The object, to be changed now. The caller must not keep the pointer beyond its change. Never NULL for an id in use. */
void *state_edit(struct state *s, uint32_t kind, uint32_t id);
/* New object with defaults and this name ("" for events); lowest free id, or `want_id` when not 0. 0: table full. */
uint32_t state_create(struct state *s, uint32_t kind, const char *name, uint32_t want_id);
void state_delete(struct state *s, uint32_t kind, uint32_t id);
void state_rename(struct state *s, uint32_t kind, uint32_t id, const char *name);
/* These keep the load index right; state_edit() alone must not be used for these fields. */
void state_set_owner(struct state *s, uint32_t role, uint32_t node);
void state_set_target(struct state *s, uint32_t role, uint32_t node); /* its size counts there as well */
void state_set_op(struct state *s, uint32_t resource, uint64_t op, uint32_t action); /* op 0: none in flight */
void state_set_role_of(struct state *s, uint32_t resource, uint32_t role);
/* After a role's cpu or memory, or a rule's roles, were edited: call with the values from before. */
void state_role_size_changed(struct state *s, uint32_t role, uint32_t old_cpu, uint32_t old_memory_mb);
void state_rules_changed(struct state *s);
/* Rules of a role: ids, n of them. */
const uint16_t *state_rules_of(struct state *s, uint32_t role, uint32_t *ret_n);

/* All or nothing: begin, edit, then accept or roll back. -E2BIG from accept: too many before-images; it rolled back. */
void state_begin(struct state *s);
int state_accept(struct state *s);
void state_rollback(struct state *s);

/* The message now applied was sent at this time. One far ahead of the replicated clock is of a broken clock: ignored. */
void state_note_time(struct state *s, uint64_t sent_ms);
/* Hashes what is dirty into the digest and hands each object (or its deletion) to the sink; the list is empty then. */
void state_commit(struct state *s, const struct core_sink *sink);
/* Slow recomputation, for tests: digest from scratch. */
uint64_t state_digest_recompute(const struct state *s);
/* Rebuilds every index from the objects, for loads and tests. `high` covers every id in use, as state_put_encoded() leaves it. */
void state_reindex(struct state *s);

/* Puts a decoded object in its place (load, snapshot); indexes are stale until state_reindex(). */
int state_put_encoded(struct state *s, struct reader *r);
/* Encodes objects into w as long as they fit; *cursor starts at 0. True when all are written. */
bool state_encode_next(const struct state *s, uint64_t *cursor, struct writer *w);

#endif
