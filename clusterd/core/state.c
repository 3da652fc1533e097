/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The replicated state: tables, edits with before-images, digest. Indexes are in state_index.c. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "clusterd/core/state.h"
#include "clusterd/core/state_index.h"
#include "proto/object_text.h"
#include "text.h"

#define AT_AHEAD_MAX_MS (10 * MS_PER_MINUTE)

static const struct {
	size_t offset, size;
} tables[] = {
	[KIND_CLUSTER] = { offsetof(struct state, cluster), sizeof(struct cluster) },
	[KIND_NODE] = { offsetof(struct state, nodes), sizeof(struct node) },
	[KIND_NETWORK] = { offsetof(struct state, networks), sizeof(struct network) },
	[KIND_ROLE] = { offsetof(struct state, roles), sizeof(struct role) },
	[KIND_RESOURCE] = { offsetof(struct state, resources), sizeof(struct resource) },
	[KIND_RULE] = { offsetof(struct state, rules), sizeof(struct rule) },
	[KIND_SET] = { offsetof(struct state, sets), sizeof(struct set) },
	[KIND_VOLUME] = { offsetof(struct state, volumes), sizeof(struct volume) },
	[KIND_EVENT] = { offsetof(struct state, events), sizeof(struct event) },
};

/* The slot of an id whether in use or not; the one cluster is id 1 in slot 0. */
static void *slot(const struct state *s, uint32_t kind, uint32_t id)
{
	size_t index = kind == KIND_CLUSTER ? 0 : id;

	return (char *)(uintptr_t)s + tables[kind].offset + index * tables[kind].size;
}

static bool id_valid(uint32_t kind, uint32_t id)
{
	const struct object_type *type = object_type(kind);

	return type && id >= 1 && id <= type->max;
}

void state_clear(struct state *s)
{
	/* Only what was used is written: the rest of the memory stays untouched. */
	for (uint32_t kind = KIND_CLUSTER; kind <= KIND_LAST; kind++)
		for (uint32_t id = 1; id <= s->high[kind]; id++)
			if (state_get(s, kind, id))
				memset(slot(s, kind, id), 0, tables[kind].size);
	state_index_clear(s);
	s->tag = (struct tag){ 0, 0 };
	s->digest = 0;
	s->n_dirty = 0;
	s->undoing = s->undo_full = false;
	s->undo_len = 0;
}

const void *state_get(const struct state *s, uint32_t kind, uint32_t id)
{
	const struct object *o;

	if (!id_valid(kind, id))
		return NULL;
	o = slot(s, kind, id);
	return o->used ? o : NULL;
}

static const char *object_name(uint32_t kind, const void *object)
{
	/* `name` is the first field of every kind that has one. */
	return kind == KIND_EVENT ? "" : (const char *)object + offsetof(struct role, name);
}

_Static_assert(offsetof(struct role, name) == sizeof(struct object) && offsetof(struct cluster, name) == sizeof(struct object) &&
		       offsetof(struct node, name) == sizeof(struct object) &&
		       offsetof(struct resource, name) == sizeof(struct object) &&
		       offsetof(struct network, name) == sizeof(struct object) &&
		       offsetof(struct rule, name) == sizeof(struct object) &&
		       offsetof(struct set, name) == sizeof(struct object) &&
		       offsetof(struct volume, name) == sizeof(struct object),
	       "the name follows the header");

const char *state_name(const struct state *s, uint32_t kind, uint32_t id)
{
	const void *o = state_get(s, kind, id);

	return o ? object_name(kind, o) : NULL;
}

static uint32_t resolve_id(void *user, uint32_t kind, const char *name) { return state_find(user, kind, name); }
static const char *resolve_name(void *user, uint32_t kind, uint32_t id) { return state_name(user, kind, id); }

struct name_resolver state_resolver(const struct state *s)
{
	return (struct name_resolver){ resolve_id, resolve_name, (void *)(uintptr_t)s };
}

/* A before-image: kind, id, the whole object; one per object and change. */
struct undo_header {
	uint32_t kind, id;
};

/* Keeps the object as it was before its first edit of this change. False: no room, the change cannot succeed. */
static bool undo_keep(struct state *s, uint32_t kind, uint32_t id)
{
	struct undo_header h = { kind, id };
	struct object *o = slot(s, kind, id);
	size_t need = sizeof(h) + tables[kind].size;

	if (!s->undoing || o->dirty)
		return true;
	if (s->undo_full || s->undo_len + need > sizeof(s->undo)) {
		s->undo_full = true;
		return false;
	}
	memcpy(s->undo + s->undo_len, &h, sizeof(h));
	memcpy(s->undo + s->undo_len + sizeof(h), o, tables[kind].size);
	s->undo_len += need;
	return true;
}

static void mark_dirty(struct state *s, uint32_t kind, uint32_t id)
{
	struct object *o = slot(s, kind, id);

	if (o->dirty)
		return;
	o->dirty = 1;
	s->dirty[s->n_dirty++] = kind << 24 | id;
}

void *state_edit(struct state *s, uint32_t kind, uint32_t id)
{
	assert(state_get(s, kind, id));
	if (!undo_keep(s, kind, id)) {
		/* Too large a change: its further edits go to a copy nobody reads, and state_accept() refuses it. */
		memcpy(&s->discard, slot(s, kind, id), tables[kind].size);
		return &s->discard;
	}
	mark_dirty(s, kind, id);
	return slot(s, kind, id);
}

static uint32_t free_id(const struct state *s, uint32_t kind)
{
	uint32_t high = s->high[kind], max = object_type(kind)->max;

	if (s->count[kind] < high)
		for (uint32_t id = 1; id <= high; id++)
			if (!state_get(s, kind, id))
				return id;
	return high < max ? high + 1 : 0;
}

uint32_t state_create(struct state *s, uint32_t kind, const char *name, uint32_t want_id)
{
	uint32_t id = want_id ? want_id : free_id(s, kind);
	struct object *o;
	uint16_t dirty;
	uint64_t hash;

	if (!id_valid(kind, id) || !undo_keep(s, kind, id))
		return 0;
	o = slot(s, kind, id);
	assert(!o->used);
	mark_dirty(s, kind, id);
	dirty = o->dirty;
	hash = o->hash; /* of an object deleted within the same commit */
	object_init(object_type(kind), o, id);
	o->dirty = dirty;
	o->hash = hash;
	if (kind != KIND_EVENT)
		text_copy((char *)o + sizeof(struct object), NAME_SIZE, name);
	state_index_add(s, kind, id);
	return id;
}

void state_delete(struct state *s, uint32_t kind, uint32_t id)
{
	struct object *o = state_edit(s, kind, id);
	uint64_t hash = o->hash;

	state_index_remove(s, kind, id);
	memset(o, 0, tables[kind].size);
	o->hash = hash;
	o->dirty = o != (struct object *)&s->discard;
}

void state_rename(struct state *s, uint32_t kind, uint32_t id, const char *name)
{
	char *to = (char *)state_edit(s, kind, id) + sizeof(struct object);

	state_index_remove_name(s, kind, id);
	text_copy(to, NAME_SIZE, name);
	state_index_add_name(s, kind, id);
}

void state_begin(struct state *s)
{
	assert(!s->undoing && !s->n_dirty);
	s->undoing = true;
	s->undo_full = false;
	s->undo_len = 0;
}

int state_accept(struct state *s)
{
	if (s->undo_full) {
		state_rollback(s);
		return -E2BIG;
	}
	s->undoing = false;
	s->undo_len = 0;
	return 0;
}

void state_rollback(struct state *s)
{
	struct undo_header h;

	assert(s->undoing);
	for (size_t at = 0; at < s->undo_len; at += sizeof(h) + tables[h.kind].size) {
		memcpy(&h, s->undo + at, sizeof(h));
		memcpy(slot(s, h.kind, h.id), s->undo + at + sizeof(h), tables[h.kind].size);
	}
	s->n_dirty = 0;
	s->undoing = s->undo_full = false;
	s->undo_len = 0;
	state_reindex(s);
}

void state_note_time(struct state *s, uint64_t sent_ms)
{
	if (sent_ms > s->at_ms && sent_ms < s->cluster.now_ms + AT_AHEAD_MAX_MS)
		s->at_ms = sent_ms;
}

static void commit_one(struct state *s, uint32_t kind, uint32_t id, const struct core_sink *sink)
{
	struct object *o = slot(s, kind, id);
	struct core_action a = { .kind = o->used ? ACTION_PERSIST_PUT : ACTION_PERSIST_DELETE };
	uint8_t buf[OBJECT_ENCODED_MAX];
	struct writer w = writer_of(buf, sizeof(buf));

	o->dirty = 0;
	s->digest -= o->hash;
	o->hash = object_hash(object_type(kind), o);
	s->digest += o->hash;
	if (!sink)
		return;
	a.persist.kind = (uint8_t)kind;
	a.persist.id = id;
	if (o->used) {
		object_encode(&w, object_type(kind), o);
		assert(!w.bad);
		a.persist.data = (struct span){ buf, writer_len(&w) };
	}
	sink->act(sink->user, &a);
}

void state_commit(struct state *s, const struct core_sink *sink)
{
	assert(!s->undoing);
	for (uint32_t i = 0; i < s->n_dirty; i++)
		commit_one(s, s->dirty[i] >> 24, s->dirty[i] & 0xffffff, sink);
	s->n_dirty = 0;
}

uint64_t state_digest_recompute(const struct state *s)
{
	uint64_t sum = 0;

	for (uint32_t kind = KIND_CLUSTER; kind <= KIND_LAST; kind++)
		for (uint32_t id = 1; id <= s->high[kind]; id++)
			if (state_get(s, kind, id))
				sum += object_hash(object_type(kind), state_get(s, kind, id));
	return sum;
}

int state_put_encoded(struct state *s, struct reader *r)
{
	const struct object_type *type;
	union any_object any;
	struct object *from = (struct object *)&any, *to;
	int ret = object_decode(r, &type, &any, sizeof(any));

	if (ret < 0)
		return ret;
	if (!id_valid(type->kind, from->id))
		return -EBADMSG;
	to = slot(s, type->kind, from->id);
	s->digest -= to->hash;
	memcpy(to, from, type->size);
	to->used = 1;
	to->dirty = 0;
	to->hash = object_hash(type, to);
	s->digest += to->hash;
	if (s->high[type->kind] < to->id)
		s->high[type->kind] = to->id;
	return 0;
}

bool state_encode_next(const struct state *s, uint64_t *cursor, struct writer *w)
{
	uint32_t kind = (uint32_t)(*cursor >> 32), id = (uint32_t)*cursor;

	if (!kind)
		kind = KIND_CLUSTER, id = 1;
	for (; kind <= KIND_LAST; kind++, id = 1) {
		for (; id <= s->high[kind]; id++) {
			const void *o = state_get(s, kind, id);
			struct writer before = *w;

			if (!o)
				continue;
			object_encode(w, object_type(kind), o);
			if (w->bad) {
				*w = before;
				*cursor = (uint64_t)kind << 32 | id;
				return false;
			}
		}
	}
	*cursor = (uint64_t)(KIND_LAST + 1) << 32 | 1;
	return true;
}
