/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Leases, the recalls that take them back, and the operations that wait for that.
 *
 * Each file has a line: the wants of claims and the leases that wait, in order of arrival. An entry starts when nothing before
 * it is in its way; to start is to note who is asked (`pending`). It is free when all have answered or are gone. A claim has
 * entries in several lines, all entered at the same moment, so the lines agree about who was first: nobody waits in a circle.
 *
 * What a session is noted to have is never less than what it has: notes go only by its own word (answer, give-back) or its end.
 */
#include "csvfs/core/grant.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "csvfs/core/grant_table.h"
#include "csvfs/core/volume_canary.h"

/* --- memory --- */

struct layout {
	size_t at, files, holders, entries, claims, file_hash, number_hash;
	uint32_t n_files, n_entries, n_buckets;
};

static size_t take(struct layout *l, size_t size, size_t n)
{
	size_t at = l->at;

	l->at += (size * n + _Alignof(max_align_t) - 1) / _Alignof(max_align_t) * _Alignof(max_align_t);
	return at;
}

/* Claims and waiting leases never lack a file record: who has leases cannot stop a recall. */
static struct layout layout_of(const struct grant_limits *l)
{
	struct layout a = { .n_entries = l->wants + l->waiters, .n_buckets = 16 };

	a.n_files = l->files + a.n_entries;
	while (a.n_buckets < a.n_files && a.n_buckets < 1u << 30)
		a.n_buckets *= 2;
	take(&a, sizeof(struct grant_table), 1);
	a.files = take(&a, sizeof(struct file), a.n_files);
	a.holders = take(&a, sizeof(struct holder), l->holders);
	a.entries = take(&a, sizeof(struct entry), a.n_entries);
	a.claims = take(&a, sizeof(struct claim), l->claims);
	a.file_hash = take(&a, sizeof(struct queue), a.n_buckets);
	a.number_hash = take(&a, sizeof(struct queue), a.n_buckets);
	return a;
}

size_t grant_size(const struct grant_limits *l)
{
	return layout_of(l).at;
}

static void lists_init(struct grant_table *t)
{
	struct queue *const heads[] = { &t->free_files, &t->free_holders, &t->free_entries, &t->free_claims, &t->dirty,
					&t->sending,	&t->told,	  &t->ready,	    &t->alive };

	for (size_t i = 0; i < ARRAY_SIZE(heads); i++)
		queue_init(heads[i]);
	for (uint32_t i = 0; i < VOL_SESSION_MAX; i++) {
		queue_init(&t->of_session[i]);
		queue_init(&t->waits[i]);
	}
	for (uint32_t i = 0; i < t->n_buckets; i++) {
		queue_init(&t->file_hash[i]);
		queue_init(&t->number_hash[i]);
	}
}

struct grant_table *grant_init(void *memory, const struct grant_limits *l, uint64_t epoch)
{
	struct layout a = layout_of(l);
	struct grant_table *t = memory;
	char *base = memory;

	*t = (struct grant_table){ .limit = *l, .number = epoch << EPOCH_SHIFT, .n_buckets = a.n_buckets, .n_files = a.n_files };
	t->files = (struct file *)(void *)(base + a.files);
	t->holders = (struct holder *)(void *)(base + a.holders);
	t->entries = (struct entry *)(void *)(base + a.entries);
	t->claims = (struct claim *)(void *)(base + a.claims);
	t->file_hash = (struct queue *)(void *)(base + a.file_hash);
	t->number_hash = (struct queue *)(void *)(base + a.number_hash);
	lists_init(t);
	for (uint32_t i = 0; i < a.n_files; i++) {
		queue_init(&t->files[i].holders);
		queue_init(&t->files[i].line);
		queue_init(&t->files[i].dirty);
		queue_add(&t->free_files, &t->files[i].hash);
	}
	for (uint32_t i = 0; i < l->holders; i++)
		queue_add(&t->free_holders, &t->holders[i].of_file);
	for (uint32_t i = 0; i < a.n_entries; i++)
		queue_add(&t->free_entries, &t->entries[i].line);
	for (uint32_t i = 0; i < l->claims; i++) {
		t->claims[i].index = i;
		queue_init(&t->claims[i].wants);
		queue_add(&t->free_claims, &t->claims[i].link);
	}
	return t;
}

/* --- files and holders --- */

static uint64_t hash_bytes(const void *bytes, size_t n)
{
	const uint8_t *b = bytes;
	uint64_t h = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

	for (size_t i = 0; i < n; i++)
		h = (h ^ b[i]) * UINT64_C(0x100000001b3);
	return h ^ h >> 32;
}

static struct queue *file_bucket(const struct grant_table *t, const struct vol_fid *fid)
{
	size_t n = fid->len < VOL_FID_MAX ? fid->len : VOL_FID_MAX;

	return &t->file_hash[hash_bytes(fid->data, n) & (t->n_buckets - 1)];
}

static struct file *file_find(const struct grant_table *t, const struct vol_fid *fid)
{
	QUEUE_FOR(file_bucket(t, fid), struct file, hash, f)
		if (vol_fid_equal(&f->fid, fid))
			return f;
	return NULL;
}

/* NULL: only when the caller has no entry and no holder to hang on it. */
static struct file *file_get(struct grant_table *t, const struct vol_fid *fid)
{
	struct file *f = file_find(t, fid);

	if (f)
		return f;
	f = QUEUE_FIRST(&t->free_files, struct file, hash);
	if (!f)
		return NULL;
	queue_remove(&f->hash);
	f->fid = *fid;
	f->lent = false;
	queue_add(file_bucket(t, fid), &f->hash);
	return f;
}

static void file_put(struct grant_table *t, struct file *f)
{
	if (f->lent && queue_empty(&f->holders)) {
		f->lent = false;
		t->count.files--;
	}
	if (!queue_empty(&f->holders) || !queue_empty(&f->line))
		return;
	queue_remove(&f->dirty);
	queue_remove(&f->hash);
	queue_add(&t->free_files, &f->hash);
}

static void file_dirty(struct grant_table *t, struct file *f)
{
	if (queue_empty(&f->dirty))
		queue_add(&t->dirty, &f->dirty);
}

static struct holder *holder_find(const struct file *f, uint32_t session)
{
	QUEUE_FOR(&f->holders, struct holder, of_file, h)
		if (h->session == session)
			return h;
	return NULL;
}

/* NULL: no room. */
static struct holder *holder_get(struct grant_table *t, struct file *f, uint32_t session)
{
	struct holder *h = holder_find(f, session);

	if (h)
		return h;
	h = QUEUE_FIRST(&t->free_holders, struct holder, of_file);
	if (!h || (!f->lent && t->count.files == t->limit.files))
		return NULL;
	queue_remove(&h->of_file);
	*h = (struct holder){ .file = f, .session = session };
	queue_add(&f->holders, &h->of_file);
	queue_add(&t->of_session[session], &h->of_session);
	t->count.holders++;
	if (!f->lent) {
		f->lent = true;
		t->count.files++;
	}
	return h;
}

static bool names_any(const struct holder *h)
{
	for (uint32_t i = 0; i < NAME_WORDS; i++)
		if (h->names[i])
			return true;
	return false;
}

static void holder_free(struct grant_table *t, struct holder *h)
{
	queue_remove(&h->of_file);
	queue_remove(&h->of_session);
	queue_add(&t->free_holders, &h->of_file);
	t->count.holders--;
	file_put(t, h->file);
}

/* Goes when nothing is left of it, and its file with the last thing. */
static void holder_put(struct grant_table *t, struct holder *h)
{
	if (!h->ranges.n && !h->sole && !h->attr && !names_any(h))
		holder_free(t, h);
}

static bool other_has_extents(const struct file *f, uint32_t session)
{
	QUEUE_FOR(&f->holders, struct holder, of_file, h)
		if (h->session != session && h->ranges.n)
			return true;
	return false;
}

static bool other_is_sole(const struct file *f, uint32_t session)
{
	QUEUE_FOR(&f->holders, struct holder, of_file, h)
		if (h->session != session && h->sole)
			return true;
	return false;
}

/* --- entries --- */

static struct queue *number_bucket(const struct grant_table *t, uint64_t number)
{
	return &t->number_hash[number & (t->n_buckets - 1)];
}

static struct entry *entry_new(struct grant_table *t, struct file *f)
{
	struct entry *e = QUEUE_FIRST(&t->free_entries, struct entry, line);

	queue_remove(&e->line);
	memset(e, 0, sizeof(*e));
	queue_init(&e->of);
	queue_init(&e->number_);
	queue_init(&e->sending);
	e->file = f;
	queue_add(&f->line, &e->line);
	file_dirty(t, f);
	return e;
}

/* Out of its line: what was behind it may start. */
static void entry_leave(struct grant_table *t, struct entry *e)
{
	queue_remove(&e->line);
	queue_remove(&e->number_);
	queue_remove(&e->sending);
	if (e->file) {
		if (!VOLUME_CANARY(NO_WAKE))
			file_dirty(t, e->file);
		file_put(t, e->file);
	}
	e->file = NULL;
}

static void entry_free(struct grant_table *t, struct entry *e)
{
	entry_leave(t, e);
	queue_remove(&e->of);
	queue_add(&t->free_entries, &e->line);
	if (e->claim)
		t->count.wants--;
	else
		t->count.waiters--;
}

static uint32_t name_hash(const char *name)
{
	return (uint32_t)(hash_bytes(name, strlen(name)) % NAME_BITS);
}

static bool holder_has_name(const struct holder *h, const char *name)
{
	uint32_t bit = name_hash(name);

	return *name ? h->names[bit / 64] >> (bit % 64) & 1 : names_any(h);
}

/* Has the holder anything that the entry takes back? */
static bool entry_concerns(const struct entry *e, const struct holder *h)
{
	if (e->what & VOL_RECALL_EXTENTS && grant_ranges_meet(&h->ranges, e->range) &&
	    !(VOLUME_CANARY(NOT_THE_ASKER) && h->session == e->session))
		return true;
	if (h->session == e->session)
		return false;
	return (e->what & VOL_RECALL_SOLE && h->sole) || (e->what & VOL_RECALL_ATTR && h->attr) ||
	       (e->what & VOL_RECALL_NAME && holder_has_name(h, e->name));
}

/* Notes who is to be asked. */
static void entry_start(struct grant_table *t, struct entry *e)
{
	e->state = ENTRY_ASKING;
	QUEUE_FOR(&e->file->holders, struct holder, of_file, h) {
		if (!entry_concerns(e, h))
			continue;
		session_set_add(&e->pending, h->session);
		if (e->what & VOL_RECALL_NAME && h->session != e->session && holder_has_name(h, e->name) &&
		    ++h->name_recalls > NAME_RECALLS_MAX)
			session_set_add(&e->all_names, h->session);
	}
	if (session_set_empty(&e->pending))
		return;
	e->to_send = e->pending;
	e->grant = t->number;
	e->number = ++t->number;
	queue_add(number_bucket(t, e->number), &e->number_);
	queue_add(&t->sending, &e->sending);
}

/* Must the entry wait for the earlier one to leave? */
static bool entry_in_way(const struct entry *earlier, const struct entry *e)
{
	if (!e->claim == !earlier->claim)
		return false;
	if (e->claim)
		return e->what & VOL_RECALL_SOLE ||
		       (e->what & VOL_RECALL_EXTENTS && grant_range_meets(e->range, earlier->range));
	return earlier->what & VOL_RECALL_EXTENTS && grant_range_meets(e->range, earlier->range);
}

static bool entry_may_start(const struct entry *e)
{
	for (const struct queue *q = e->file->line.next; q != &e->line; q = q->next)
		if (entry_in_way(CONTAINER_OF(q, const struct entry, line), e))
			return false;
	return true;
}

/* The sole right of the session: nobody else has extents, or is about to, or takes the right back. */
static bool may_be_sole(const struct grant_table *t, const struct file *f, uint32_t session)
{
	if (grant_in_grace(t) || other_has_extents(f, session) || other_is_sole(f, session))
		return false;
	if (VOLUME_CANARY(EARLY_SOLE))
		return true;
	QUEUE_FOR(&f->line, struct entry, line, e)
		if (e->session != session && (!e->claim || e->what & VOL_RECALL_SOLE))
			return false;
	return true;
}

/* Notes the lease. false: no room. */
static bool lease_note(struct grant_table *t, struct file *f, uint32_t session, struct grant_range range, struct grant_given *ret)
{
	struct holder *h = holder_get(t, f, session);

	if (!h)
		return false;
	grant_ranges_add(&h->ranges, range);
	ret->number = ++t->number;
	ret->sole = may_be_sole(t, f, session);
	/* Without the right now, it may still have one that is being recalled. */
	h->sole |= ret->sole;
	t->count.grants++;
	return true;
}

static void lease_decide(struct grant_table *t, struct entry *e, bool give)
{
	struct file *f = e->file;

	e->state = give && lease_note(t, f, e->session, e->range, &e->given) ? ENTRY_GIVEN : ENTRY_REFUSED;
	entry_leave(t, e);
	queue_add(&t->told, &e->line);
}

static void want_free(struct grant_table *t, struct entry *e)
{
	e->state = ENTRY_FREE;
	if (--e->claim->waiting)
		return;
	queue_remove(&e->claim->link);
	queue_add(&t->ready, &e->claim->link);
}

static void entry_look(struct grant_table *t, struct entry *e)
{
	if (e->state == ENTRY_QUEUED && !grant_in_grace(t) && entry_may_start(e))
		entry_start(t, e);
	if (e->state != ENTRY_ASKING || !session_set_empty(&e->pending))
		return;
	if (e->claim)
		want_free(t, e);
	else
		lease_decide(t, e, true);
}

/* Lets everything go on that can; an entry that leaves makes its file dirty again. */
static void settle(struct grant_table *t)
{
	for (struct file *f; (f = QUEUE_FIRST(&t->dirty, struct file, dirty));) {
		queue_remove(&f->dirty);
		QUEUE_FOR(&f->line, struct entry, line, e)
			entry_look(t, e);
	}
}

/* --- leases --- */

static struct entry *lease_find(const struct grant_table *t, uint32_t session, uint64_t request)
{
	QUEUE_FOR(&t->waits[session], struct entry, of, e)
		if (e->request == request)
			return e;
	return NULL;
}

static enum grant_verdict lease_reclaim(struct grant_table *t, const struct grant_lease *l, struct grant_given *ret)
{
	struct file *f;
	bool noted;

	if (!session_set_has(&t->grace, l->session))
		return GRANT_NEVER;
	f = file_get(t, l->file);
	if (!f)
		return GRANT_NEVER;
	noted = lease_note(t, f, l->session, grant_range_of(l->offset, l->length), ret);
	file_put(t, f);
	return noted ? GRANT_NOW : GRANT_NEVER;
}

static bool lease_must_wait(const struct file *f, const struct grant_lease *l)
{
	struct grant_range range = grant_range_of(l->offset, l->length);

	QUEUE_FOR(&f->line, struct entry, line, e)
		if (e->claim && e->what & VOL_RECALL_EXTENTS && grant_range_meets(e->range, range) && !VOLUME_CANARY(LEND_CLAIMED))
			return true;
	return other_is_sole(f, l->session) && !VOLUME_CANARY(SHARED_SOLE);
}

static void lease_wait(struct grant_table *t, struct file *f, const struct grant_lease *l)
{
	struct entry *e = entry_new(t, f);

	e->what = VOL_RECALL_SOLE;
	e->session = l->session;
	e->range = grant_range_of(l->offset, l->length);
	e->request = l->request;
	e->user = l->user;
	queue_add(&t->waits[l->session], &e->of);
	t->count.waiters++;
}

enum grant_verdict grant_lease(struct grant_table *t, const struct grant_lease *l, struct grant_given *ret)
{
	enum grant_verdict verdict = GRANT_NEVER;
	struct entry *first;
	struct file *f;

	*ret = (struct grant_given){ 0 };
	if (l->session >= VOL_SESSION_MAX || !l->length || t->no_lending)
		return GRANT_NEVER;
	if (l->reclaim)
		return lease_reclaim(t, l, ret);
	if (grant_in_grace(t))
		return GRANT_NEVER;
	first = lease_find(t, l->session, l->request);
	if (first) {
		first->user = l->user;
		return GRANT_LATER;
	}
	f = file_get(t, l->file);
	if (!f)
		return GRANT_NEVER;
	if (!lease_must_wait(f, l)) {
		verdict = lease_note(t, f, l->session, grant_range_of(l->offset, l->length), ret) ? GRANT_NOW : GRANT_NEVER;
	} else if (!l->only_now && t->count.waiters < t->limit.waiters) {
		lease_wait(t, f, l);
		verdict = GRANT_LATER;
	}
	file_put(t, f);
	settle(t);
	return verdict;
}

bool grant_lease_cancel(struct grant_table *t, uint32_t session, uint64_t request)
{
	struct entry *e = session < VOL_SESSION_MAX ? lease_find(t, session, request) : NULL;

	/* Decided and not yet told: the owner is about to answer it. */
	if (!e || e->state == ENTRY_GIVEN || e->state == ENTRY_REFUSED)
		return false;
	entry_free(t, e);
	settle(t);
	return true;
}

void grant_give_back(struct grant_table *t, const struct vol_fid *file, uint32_t session, uint64_t offset, uint64_t length)
{
	struct file *f = file_find(t, file);
	struct holder *h = f ? holder_find(f, session) : NULL;

	if (!h)
		return;
	grant_ranges_cut(&h->ranges, grant_range_of(offset, length));
	if (!offset && length == UINT64_MAX)
		h->sole = false;
	file_dirty(t, f);
	holder_put(t, h);
	settle(t);
}

static bool claimed_by_other(const struct file *f, uint32_t session, uint32_t what, const char *name)
{
	QUEUE_FOR(&f->line, struct entry, line, e) {
		if (!e->claim || e->session == session || !(e->what & what) || VOLUME_CANARY(ATTR_CLAIMED))
			continue;
		if (what == VOL_RECALL_ATTR || !*e->name || !*name || !strcmp(e->name, name))
			return true;
		/* It is being asked for all names of the directory: its answer will clear all notes. */
		if (session_set_has(&e->pending, session) && session_set_has(&e->all_names, session))
			return true;
	}
	return false;
}

static bool cache_has_room(const struct grant_table *t, const struct file *f, uint32_t session)
{
	if (holder_find(f, session))
		return true;
	return t->count.holders < t->limit.holders - t->limit.holders / 4 &&
	       (f->lent || t->count.files < t->limit.files - t->limit.files / 4);
}

static struct holder *cache_get(struct grant_table *t, const struct vol_fid *fid, uint32_t session, uint32_t what, const char *name)
{
	struct holder *h = NULL;
	struct file *f;

	if (session >= VOL_SESSION_MAX)
		return NULL;
	f = file_get(t, fid);
	if (!f)
		return NULL;
	if (!claimed_by_other(f, session, what, name) && cache_has_room(t, f, session))
		h = holder_get(t, f, session);
	file_put(t, f);
	return h;
}

bool grant_attr(struct grant_table *t, const struct vol_fid *file, uint32_t session)
{
	struct holder *h = cache_get(t, file, session, VOL_RECALL_ATTR, "");

	if (h)
		h->attr = true;
	return h;
}

bool grant_name(struct grant_table *t, const struct vol_fid *directory, const char *name, uint32_t session)
{
	struct holder *h = cache_get(t, directory, session, VOL_RECALL_NAME, name);
	uint32_t bit = name_hash(name);

	if (h && *name)
		h->names[bit / 64] |= UINT64_C(1) << (bit % 64);
	else if (h)
		memset(h->names, 0xff, sizeof(h->names));
	return h;
}

void grant_lend(struct grant_table *t, bool on)
{
	t->no_lending = !on;
	if (on)
		return;
	for (uint32_t s = 0; s < VOL_SESSION_MAX; s++)
		QUEUE_FOR(&t->waits[s], struct entry, of, e)
			if (e->state == ENTRY_QUEUED || e->state == ENTRY_ASKING)
				lease_decide(t, e, false);
	settle(t);
}

/* --- claims --- */

static struct claim *claim_find(const struct grant_table *t, uint64_t id)
{
	uint32_t index = (uint32_t)id;
	struct claim *c = index < t->limit.claims ? &t->claims[index] : NULL;

	return c && c->alive && c->serial == id >> 32 ? c : NULL;
}

static uint64_t claim_id(const struct claim *c)
{
	return (uint64_t)c->serial << 32 | c->index;
}

static bool want_is_good(const struct grant_want *w)
{
	uint32_t all = VOL_RECALL_EXTENTS | OTHERS;

	return w->file && w->what && !(w->what & ~all) && (!w->name || strnlen(w->name, VOL_FNAME_SIZE) < VOL_FNAME_SIZE);
}

static void want_add(struct grant_table *t, struct claim *c, const struct grant_want *w)
{
	struct entry *e = entry_new(t, file_get(t, w->file));

	e->claim = c;
	e->session = c->session;
	e->what = w->what;
	if (w->what & VOL_RECALL_EXTENTS) {
		e->offset = w->offset;
		e->length = w->length;
		e->range = grant_range_of(w->offset, w->length);
	}
	if (w->what & VOL_RECALL_NAME && w->name)
		memcpy(e->name, w->name, strlen(w->name) + 1);
	queue_add(&c->wants, &e->of);
	c->waiting++;
	t->count.wants++;
}

int grant_claim(struct grant_table *t, const struct grant_want *wants, uint32_t n, uint32_t session, void *user,
		uint64_t *ret_claim)
{
	struct claim *c;

	if (!n || n > GRANT_WANTS_MAX || session > SESSION_NOBODY)
		return -EINVAL;
	for (uint32_t i = 0; i < n; i++)
		if (!want_is_good(&wants[i]))
			return -EINVAL;
	c = QUEUE_FIRST(&t->free_claims, struct claim, link);
	if (!c || t->limit.wants - t->count.wants < n)
		return -ENOBUFS;
	queue_remove(&c->link);
	queue_add(&t->alive, &c->link);
	c->alive = true;
	c->serial = c->serial == UINT32_MAX ? 1 : c->serial + 1;
	c->session = session;
	c->user = user;
	c->waiting = 0;
	t->count.claims++;
	for (uint32_t i = 0; i < n; i++)
		want_add(t, c, &wants[i]);
	*ret_claim = claim_id(c);
	settle(t);
	return 0;
}

bool grant_claim_ready(const struct grant_table *t, uint64_t claim)
{
	const struct claim *c = claim_find(t, claim);

	return c && !c->waiting;
}

void grant_end(struct grant_table *t, uint64_t claim)
{
	struct claim *c = claim_find(t, claim);

	if (!c)
		return;
	QUEUE_FOR(&c->wants, struct entry, of, e)
		entry_free(t, e);
	c->alive = false;
	queue_remove(&c->link);
	queue_add(&t->free_claims, &c->link);
	t->count.claims--;
	settle(t);
}

/* --- what is to be done --- */

static void event_recall(struct grant_table *t, struct entry *e, struct grant_event *ret)
{
	uint32_t session = session_set_next(&e->to_send, 0);

	session_set_remove(&e->to_send, session);
	if (session_set_empty(&e->to_send))
		queue_remove(&e->sending);
	ret->kind = GRANT_SEND_RECALL;
	ret->session = session;
	ret->number = e->number;
	ret->recall.file = e->file->fid;
	ret->recall.grant = e->grant;
	ret->recall.what = session == e->session ? e->what & ~(uint32_t)OTHERS : e->what;
	ret->recall.offset = e->offset;
	ret->recall.length = e->length;
	if (ret->recall.what & VOL_RECALL_NAME && !session_set_has(&e->all_names, session))
		memcpy(ret->recall.name, e->name, sizeof(ret->recall.name));
	t->count.recalls++;
}

bool grant_next(struct grant_table *t, uint64_t now_ms, struct grant_event *ret)
{
	struct entry *e = QUEUE_FIRST(&t->sending, struct entry, sending);
	struct claim *c = QUEUE_FIRST(&t->ready, struct claim, link);

	memset(ret, 0, sizeof(*ret));
	if (e) {
		if (!e->sent) {
			e->sent = true;
			e->sent_ms = now_ms;
		}
		event_recall(t, e, ret);
		return true;
	}
	if (c) {
		queue_remove(&c->link);
		queue_add(&t->alive, &c->link);
		ret->kind = GRANT_CLAIM_READY;
		ret->session = c->session;
		ret->number = claim_id(c);
		ret->user = c->user;
		return true;
	}
	e = QUEUE_FIRST(&t->told, struct entry, line);
	if (!e)
		return false;
	ret->kind = e->state == ENTRY_GIVEN ? GRANT_LEASE_GIVEN : GRANT_LEASE_REFUSED;
	ret->session = e->session;
	ret->user = e->user;
	ret->given = e->given;
	entry_free(t, e);
	return true;
}

/* --- sessions --- */

static void holder_recalled(struct grant_table *t, struct holder *h, const struct entry *e)
{
	if (e->what & VOL_RECALL_EXTENTS)
		grant_ranges_cut(&h->ranges, e->range);
	if (h->session != e->session) {
		if (e->what & VOL_RECALL_SOLE)
			h->sole = false;
		if (e->what & VOL_RECALL_ATTR)
			h->attr = false;
		/* A single name stays noted: another one may have the same hash. */
		if (e->what & VOL_RECALL_NAME && VOLUME_CANARY(NAME_CLEARED))
			h->names[name_hash(e->name) / 64] &= ~(UINT64_C(1) << (name_hash(e->name) % 64));
		if (e->what & VOL_RECALL_NAME && (!*e->name || session_set_has(&e->all_names, h->session))) {
			memset(h->names, 0, sizeof(h->names));
			h->name_recalls = 0;
		}
	}
	holder_put(t, h);
}

int grant_recalled(struct grant_table *t, uint32_t session, uint64_t number)
{
	struct entry *found = NULL;
	struct holder *h;

	QUEUE_FOR(number_bucket(t, number), struct entry, number_, e)
		if (e->number == number && session_set_has(&e->pending, session))
			found = e;
	if (!found)
		return -ENOENT;
	session_set_remove(&found->pending, session);
	session_set_remove(&found->to_send, session);
	if (session_set_empty(&found->to_send))
		queue_remove(&found->sending);
	file_dirty(t, found->file);
	h = holder_find(found->file, session);
	if (h)
		holder_recalled(t, h, found);
	settle(t);
	return 0;
}

/* Every entry that has a place in a line. */
#define ENTRIES_FOR(t, e)                                                                                \
	for (struct entry *e = (t)->entries; e < (t)->entries + (t)->limit.wants + (t)->limit.waiters; e++) \
		if (e->file)

void grant_session_again(struct grant_table *t, uint32_t session)
{
	ENTRIES_FOR(t, e) {
		if (!session_set_has(&e->pending, session))
			continue;
		session_set_add(&e->to_send, session);
		if (queue_empty(&e->sending))
			queue_add(&t->sending, &e->sending);
	}
}

/* Grace may have ended: every line is looked at. */
static void settle_all(struct grant_table *t)
{
	ENTRIES_FOR(t, e)
		file_dirty(t, e->file);
	settle(t);
}

void grant_session_gone(struct grant_table *t, uint32_t session)
{
	if (session >= VOL_SESSION_MAX)
		return;
	session_set_remove(&t->grace, session);
	QUEUE_FOR(&t->waits[session], struct entry, of, e) {
		if (e->state == ENTRY_QUEUED || e->state == ENTRY_ASKING)
			lease_decide(t, e, false);
		e->state = ENTRY_REFUSED; /* given, but not yet told */
	}
	QUEUE_FOR(&t->of_session[session], struct holder, of_session, h) {
		file_dirty(t, h->file);
		holder_free(t, h);
	}
	ENTRIES_FOR(t, e) {
		session_set_remove(&e->pending, session);
		session_set_remove(&e->all_names, session);
		session_set_remove(&e->to_send, session);
		if (session_set_empty(&e->to_send))
			queue_remove(&e->sending);
		/* The slot may be another's soon: it is nobody's claim from now on. */
		if (e->session == session && e->claim)
			e->session = e->claim->session = SESSION_NOBODY;
	}
	settle_all(t);
}

void grant_silent(const struct grant_table *t, uint64_t before_ms, struct session_set *ret)
{
	memset(ret, 0, sizeof(*ret));
	ENTRIES_FOR(t, e)
		if (e->sent && e->sent_ms < before_ms)
			for (uint32_t i = 0; i < SESSION_WORDS; i++)
				ret->word[i] |= e->pending.word[i];
}

bool grant_session_idle(const struct grant_table *t, uint32_t session)
{
	return session >= VOL_SESSION_MAX || (queue_empty(&t->of_session[session]) && queue_empty(&t->waits[session]));
}

/* --- a new owner --- */

void grant_grace_begin(struct grant_table *t, const struct session_set *sessions)
{
	t->grace = *sessions;
}

void grant_session_ready(struct grant_table *t, uint32_t session)
{
	if (!session_set_has(&t->grace, session))
		return;
	session_set_remove(&t->grace, session);
	if (VOLUME_CANARY(SHORT_GRACE))
		memset(&t->grace, 0, sizeof(t->grace));
	settle_all(t);
}

bool grant_in_grace(const struct grant_table *t)
{
	return !session_set_empty(&t->grace);
}

void grant_grace_waits_for(const struct grant_table *t, struct session_set *ret)
{
	*ret = t->grace;
}

/* --- status and tests --- */

void grant_count(const struct grant_table *t, struct grant_counts *ret)
{
	*ret = t->count;
}

bool grant_file_next(const struct grant_table *t, uint32_t *cursor, struct vol_fid *ret)
{
	for (; *cursor < t->n_files; ++*cursor) {
		const struct file *f = &t->files[*cursor];

		if (!f->lent || !other_has_extents(f, SESSION_NOBODY))
			continue;
		*ret = f->fid;
		++*cursor;
		return true;
	}
	return false;
}

bool grant_cached_next(const struct grant_table *t, uint32_t *cursor, struct vol_fid *ret)
{
	for (; *cursor < t->n_files; ++*cursor) {
		const struct file *f = &t->files[*cursor];

		if (!f->lent || other_has_extents(f, SESSION_NOBODY))
			continue;
		*ret = f->fid;
		++*cursor;
		return true;
	}
	return false;
}

bool grant_attr_is_lent(const struct grant_table *t, const struct vol_fid *file)
{
	const struct file *f = file_find(t, file);

	if (f)
		QUEUE_FOR(&f->holders, const struct holder, of_file, h)
			if (h->attr)
				return true;
	return false;
}

bool grant_cache_is_full(const struct grant_table *t)
{
	return t->count.holders >= t->limit.holders / 4 * 3 - t->limit.holders / 64 ||
	       t->count.files >= t->limit.files / 4 * 3 - t->limit.files / 64;
}

bool grant_holds(const struct grant_table *t, const struct vol_fid *file, uint32_t session, uint64_t offset, uint64_t length)
{
	const struct file *f = file_find(t, file);
	const struct holder *h = f ? holder_find(f, session) : NULL;

	return h && grant_ranges_meet(&h->ranges, grant_range_of(offset, length));
}

bool grant_is_sole(const struct grant_table *t, const struct vol_fid *file, uint32_t session)
{
	const struct file *f = file_find(t, file);
	const struct holder *h = f ? holder_find(f, session) : NULL;

	return h && h->sole;
}

bool grant_other_sole(const struct grant_table *t, const struct vol_fid *file, uint32_t session)
{
	const struct file *f = file_find(t, file);

	return f && other_is_sole(f, session);
}
