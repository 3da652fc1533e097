/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of intents that are needed, and the ring they are written to.
 *
 * A needed intent is in `queued` (to be written at the next fill) or in `written`, in the order of its newest page. Before the
 * place of that page comes up again it moves to the front of `queued`. A page is closed as if every record had its longest file
 * id, so what is needed of one page always fits in one page again, and carrying never falls behind.
 *
 * "It did not happen" (`void`: failed without an error) is kept like an outcome: the record on disk has none, and would look
 * done once another session has taken the name.
 */
#include "csvfs/core/intent.h"

#include <errno.h>
#include <string.h>

#include "csvfs/core/intent_record.h"
#include "csvfs/core/queue.h"

#define KEYS 2 /* names of an intent */

struct key {
	struct queue hash;
	struct noted *node;
};

struct noted {
	struct intent i;
	struct queue hash, of_session;
	struct queue order; /* in free, queued or written */
	struct key keys[KEYS];
	uint32_t session; /* place in the table's list */
	uint64_t page, first_page; /* newest and first it was written to; 0: not yet */
	uint32_t at;		   /* place in `page`: of two records in it the later counts */
	uint8_t outcome_written;
	bool queued;
};

struct of_session {
	uint64_t id, mark;
	uint64_t missed_max; /* scan: highest that there was no room for */
	uint32_t missed;
	bool used;
	struct queue nodes; /* rising numbers */
};

struct intent_table {
	struct of_session sessions[VOL_SESSION_MAX];
	struct queue free, queued, written;
	uint64_t epoch, number, flushed; /* number: last page that was filled */
	uint32_t pages, intents, count, n_buckets;
	struct queue *by_request, *by_name;
	struct noted *nodes;
};

/* --- memory --- */

static size_t aligned(size_t n)
{
	return (n + _Alignof(max_align_t) - 1) / _Alignof(max_align_t) * _Alignof(max_align_t);
}

static uint32_t buckets_of(uint32_t intents)
{
	uint32_t n = 16;

	while (n < intents && n < 1u << 30)
		n *= 2;
	return n;
}

/* Half of what surely fits: as much of the ring is left to new intents as to those that are carried along. */
uint32_t intent_limit(uint32_t pages)
{
	const uint32_t each = (INTENT_PAGE - INTENT_PAGE_HEADER) / INTENT_RECORD_MAX;

	return pages <= 2 * INTENT_CARRY ? 0 : (pages - 2 * INTENT_CARRY) * each / 2;
}

size_t intent_table_size(uint32_t intents)
{
	return aligned(sizeof(struct intent_table)) + aligned(sizeof(struct noted) * (size_t)intents) +
	       2 * sizeof(struct queue) * (size_t)buckets_of(intents);
}

struct intent_table *intent_table_init(void *memory, uint32_t intents, uint32_t pages, uint64_t epoch)
{
	struct intent_table *t = memory;
	uint8_t *at = (uint8_t *)memory + aligned(sizeof(*t));

	memset(t, 0, sizeof(*t));
	t->epoch = epoch;
	t->pages = pages;
	t->intents = intents;
	t->n_buckets = buckets_of(intents);
	t->nodes = (void *)at;
	t->by_request = (void *)(at + aligned(sizeof(struct noted) * (size_t)intents));
	t->by_name = t->by_request + t->n_buckets;
	queue_init(&t->free);
	queue_init(&t->queued);
	queue_init(&t->written);
	for (uint32_t i = 0; i < 2 * t->n_buckets; i++)
		queue_init(&t->by_request[i]);
	for (uint32_t i = 0; i < VOL_SESSION_MAX; i++)
		queue_init(&t->sessions[i].nodes);
	memset(t->nodes, 0, sizeof(struct noted) * (size_t)intents);
	for (uint32_t i = 0; i < intents; i++)
		queue_add(&t->free, &t->nodes[i].order);
	return t;
}

/* --- nodes --- */

static struct queue *request_bucket(const struct intent_table *t, uint64_t session, uint64_t request)
{
	uint64_t h = (session ^ request * 0xff51afd7ed558ccdu) * 0x9e3779b97f4a7c15u;

	return &t->by_request[(h >> 32) & (t->n_buckets - 1)];
}

static struct noted *find(const struct intent_table *t, uint64_t session, uint64_t request)
{
	QUEUE_FOR(request_bucket(t, session, request), struct noted, hash, n)
		if (n->i.session == session && n->i.request == request)
			return n;
	return NULL;
}

/* What an intent is about: (directory, name), or (file, "") of an append. */
static uint32_t key_of(const struct intent *i, uint32_t which, const struct vol_fid **ret_fid, const char **ret_name)
{
	*ret_fid = i->op == INTENT_APPEND ? &i->file : &i->parent[which];
	*ret_name = i->op == INTENT_APPEND ? "" : i->name[which];
	return i->op == INTENT_RENAME ? 2 : 1;
}

static struct queue *name_bucket(const struct intent_table *t, const struct vol_fid *fid, const char *name)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (uint32_t i = 0; i < fid->len; i++)
		h = (h ^ fid->data[i]) * 0x100000001b3u;
	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * 0x100000001b3u;
	return &t->by_name[(h ^ h >> 32) & (t->n_buckets - 1)];
}

static uint32_t session_of(const struct intent_table *t, uint64_t id)
{
	for (uint32_t s = 0; s < VOL_SESSION_MAX; s++)
		if (t->sessions[s].used && t->sessions[s].id == id)
			return s;
	return VOL_SESSION_MAX;
}

static void drop(struct intent_table *t, struct noted *n)
{
	queue_remove(&n->hash);
	queue_remove(&n->of_session);
	queue_remove(&n->order);
	for (uint32_t k = 0; k < KEYS; k++)
		queue_remove(&n->keys[k].hash);
	queue_add(&t->free, &n->order);
	t->count--;
}

/* The caller puts it into `queued` or `written`. NULL: no room. */
static struct noted *make(struct intent_table *t, uint32_t session, const struct intent *i)
{
	struct noted *n = QUEUE_FIRST(&t->free, struct noted, order);
	struct queue *after = t->sessions[session].nodes.prev;
	const struct vol_fid *fid;
	const char *name;

	if (!n)
		return NULL;
	queue_remove(&n->order);
	*n = (struct noted){ .i = *i, .session = session };
	queue_init(&n->order);
	queue_add(request_bucket(t, i->session, i->request), &n->hash);
	while (after != &t->sessions[session].nodes && CONTAINER_OF(after, struct noted, of_session)->i.request > i->request)
		after = after->prev;
	queue_add(after->next, &n->of_session);
	for (uint32_t k = 0; k < KEYS; k++) {
		n->keys[k].node = n;
		queue_init(&n->keys[k].hash);
		if (k < key_of(i, k, &fid, &name))
			queue_add(name_bucket(t, fid, name), &n->keys[k].hash);
	}
	t->count++;
	return n;
}

static bool is_void(const struct intent *i)
{
	return i->outcome == INTENT_FAILED && !i->error;
}

/* --- sessions --- */

int intent_session_add(struct intent_table *t, uint64_t session)
{
	if (session_of(t, session) < VOL_SESSION_MAX)
		return 0;
	for (uint32_t s = 0; s < VOL_SESSION_MAX; s++) {
		struct of_session *o = &t->sessions[s];

		if (o->used)
			continue;
		o->used = true;
		o->id = session;
		o->mark = o->missed_max = 0;
		o->missed = 0;
		return 0;
	}
	return -ENOBUFS;
}

static void mark(struct intent_table *t, uint32_t session, uint64_t answered)
{
	struct of_session *o = &t->sessions[session];

	if (answered <= o->mark)
		return;
	o->mark = answered;
	QUEUE_FOR(&o->nodes, struct noted, of_session, n) {
		if (n->i.request >= answered)
			return;
		drop(t, n);
	}
}

void intent_answered(struct intent_table *t, uint64_t session, uint64_t answered)
{
	uint32_t s = session_of(t, session);

	if (s < VOL_SESSION_MAX)
		mark(t, s, answered);
}

void intent_session_gone(struct intent_table *t, uint64_t session)
{
	uint32_t s = session_of(t, session);

	if (s >= VOL_SESSION_MAX)
		return;
	QUEUE_FOR(&t->sessions[s].nodes, struct noted, of_session, n)
		drop(t, n);
	t->sessions[s].used = false;
}

/* --- scan --- */

/* Of two records of a request the one of the newer page counts, in one page the later. */
static void scan_record(struct intent_table *t, uint64_t page, uint32_t at, const struct intent *i)
{
	uint32_t s = session_of(t, i->session);
	struct noted *n;

	if (s >= VOL_SESSION_MAX)
		return;
	mark(t, s, i->answered);
	if (i->request < t->sessions[s].mark)
		return;
	n = find(t, i->session, i->request);
	if (n && (n->page > page || (n->page == page && n->at >= at)))
		return;
	if (n)
		drop(t, n); /* its names may be others: a request that was found undone was looked up again */
	n = make(t, s, i);
	if (!n) {
		t->sessions[s].missed++;
		if (i->request > t->sessions[s].missed_max)
			t->sessions[s].missed_max = i->request;
		return;
	}
	n->page = n->first_page = page;
	n->at = at;
	n->outcome_written = i->outcome;
	queue_add(&t->written, &n->order);
}

void intent_scan_page(struct intent_table *t, const void *page)
{
	struct intent_page p;
	struct intent i;
	uint32_t at = 0;

	if (!intent_page_check(page, &p))
		return;
	if (p.number > t->number)
		t->number = p.number;
	for (size_t from = 0; at < p.count && intent_page_next(page, &from, &i); at++)
		scan_record(t, p.number, at, &i);
}

/* Insertion from the back: pages come mostly in rising order. */
static void sort_written(struct intent_table *t)
{
	struct queue all;

	if (queue_empty(&t->written))
		return;
	all = t->written;
	all.next->prev = all.prev->next = &all;
	queue_init(&t->written);
	QUEUE_FOR(&all, struct noted, order, n) {
		struct queue *after = t->written.prev;

		queue_remove(&n->order);
		while (after != &t->written && CONTAINER_OF(after, struct noted, order)->page > n->page)
			after = after->prev;
		queue_add(after->next, &n->order);
	}
}

uint32_t intent_scan_end(struct intent_table *t)
{
	uint32_t missed = 0;

	for (uint32_t s = 0; s < VOL_SESSION_MAX; s++) {
		struct of_session *o = &t->sessions[s];

		if (o->used && o->missed && o->missed_max >= o->mark)
			missed += o->missed;
		o->missed = 0;
		o->missed_max = 0;
	}
	sort_written(t);
	t->flushed = t->number;
	return missed;
}

const struct intent *intent_unknown_next(const struct intent_table *t, uint32_t *cursor)
{
	while (*cursor < t->intents) {
		const struct noted *n = &t->nodes[(*cursor)++];

		if (n->i.op && n->i.outcome == INTENT_UNKNOWN && find(t, n->i.session, n->i.request) == n)
			return &n->i;
	}
	return NULL;
}

void intent_decide(struct intent_table *t, uint64_t session, uint64_t request, const struct intent_now *now)
{
	struct noted *n = find(t, session, request);

	if (!n || n->i.outcome != INTENT_UNKNOWN)
		return;
	if (intent_happened(&n->i, now) != INTENT_DONE) {
		n->i.outcome = INTENT_FAILED; /* void */
		n->i.error = 0;
		return;
	}
	n->i.outcome = INTENT_DONE;
	if (n->i.op <= INTENT_SYMLINK)
		n->i.file = now->file[0];
	if (n->i.op == INTENT_APPEND && now->size - n->i.size < n->i.length)
		n->i.length = now->size - n->i.size;
}

const struct intent *intent_find(const struct intent_table *t, uint64_t session, uint64_t request)
{
	const struct noted *n = find(t, session, request);

	return n && !is_void(&n->i) ? &n->i : NULL;
}

/* --- add, done --- */

static bool valid(const struct intent *i)
{
	if (i->op < INTENT_CREATE || i->op > INTENT_APPEND || i->file.len > VOL_FID_MAX)
		return false;
	for (int n = 0; n < 2; n++)
		if (i->parent[n].len > VOL_FID_MAX || i->had[n].len > VOL_FID_MAX || !memchr(i->name[n], 0, VOL_FNAME_SIZE))
			return false;
	return true;
}

static void queue_again(struct intent_table *t, struct noted *n, bool front)
{
	if (n->queued)
		return;
	queue_remove(&n->order);
	queue_add(front ? t->queued.next : &t->queued, &n->order);
	n->queued = true;
}

/* Earlier intents of the names: all must have an outcome; it goes to the disk before what comes now. */
static bool earlier_settled(struct intent_table *t, const struct intent *i, bool queue_them)
{
	const struct vol_fid *fid, *theirs;
	const char *name, *their_name;

	for (uint32_t k = 0; k < key_of(i, k, &fid, &name); k++)
		QUEUE_FOR(name_bucket(t, fid, name), struct key, hash, key) {
			struct noted *n = key->node;

			key_of(&n->i, (uint32_t)(key - n->keys), &theirs, &their_name);
			if (!vol_fid_equal(fid, theirs) || strcmp(name, their_name) != 0)
				continue;
			if (n->i.session == i->session && n->i.request == i->request)
				continue; /* void, about to be replaced */
			if (n->i.outcome == INTENT_UNKNOWN)
				return false;
			if (queue_them && n->outcome_written != n->i.outcome)
				queue_again(t, n, false);
		}
	return true;
}

int intent_add(struct intent_table *t, const struct intent *i)
{
	uint32_t s = session_of(t, i->session);
	struct noted *before = find(t, i->session, i->request), *n;

	if (!valid(i))
		return -EINVAL;
	if (s >= VOL_SESSION_MAX)
		return -ENOENT;
	if (i->request < t->sessions[s].mark)
		return -EINVAL;
	if (before && !is_void(&before->i))
		return -EEXIST;
	if (!before && queue_empty(&t->free))
		return -ENOBUFS;
	if (!earlier_settled(t, i, false))
		return -EBUSY;
	earlier_settled(t, i, true);
	if (before)
		drop(t, before);
	n = make(t, s, i);
	n->i.answered = t->sessions[s].mark;
	n->i.outcome = INTENT_UNKNOWN;
	n->i.error = 0;
	queue_add(&t->queued, &n->order);
	n->queued = true;
	return 0;
}

void intent_done(struct intent_table *t, uint64_t session, uint64_t request, uint32_t error, const struct vol_fid *made)
{
	struct noted *n = find(t, session, request);

	if (!n || n->i.outcome != INTENT_UNKNOWN)
		return;
	n->i.outcome = error ? INTENT_FAILED : INTENT_DONE;
	n->i.error = error;
	if (made && n->i.op != INTENT_APPEND) /* of an append it is the key */
		n->i.file = *made;
}

int intent_resume(struct intent_table *t, uint64_t session, uint64_t request, uint64_t length)
{
	struct noted *n = find(t, session, request);

	if (!n || n->i.op != INTENT_APPEND || n->i.outcome != INTENT_DONE || n->i.length >= length)
		return -EINVAL;
	if (!earlier_settled(t, &n->i, false))
		return -EBUSY;
	earlier_settled(t, &n->i, true);
	n->i.outcome = INTENT_UNKNOWN;
	n->i.length = length;
	/* On the disk it may be as it is now: the owner before has written it so, and its outcome was never written. */
	if (n->outcome_written != INTENT_UNKNOWN) {
		queue_again(t, n, false);
		n->first_page = 0;
	}
	return 0;
}

/* --- ring --- */

static void carry(struct intent_table *t)
{
	struct queue *front = t->queued.next; /* in the order they had */

	QUEUE_FOR(&t->written, struct noted, order, n) {
		if (n->page + t->pages > t->number + 1 + INTENT_CARRY)
			return;
		queue_remove(&n->order);
		queue_add(front, &n->order);
		n->queued = true;
	}
}

static void write_record(struct intent_table *t, struct writer *w, struct noted *n, uint32_t at)
{
	n->i.answered = t->sessions[n->session].mark;
	intent_record_put(w, &n->i);
	queue_remove(&n->order);
	queue_add(&t->written, &n->order);
	n->queued = false;
	n->page = t->number;
	n->at = at;
	n->outcome_written = n->i.outcome;
	if (!n->first_page)
		n->first_page = t->number;
}

bool intent_fill(struct intent_table *t, void *page, uint32_t *ret_place, uint64_t *ret_number)
{
	struct writer w = writer_of(page, INTENT_PAGE);
	struct intent_page p = { .epoch = t->epoch };
	uint8_t record[INTENT_RECORD_MAX];
	size_t taken = INTENT_PAGE_HEADER;

	if (t->number - t->flushed >= INTENT_BATCH_MAX)
		return false;
	if (!queue_empty(&t->queued)) /* the ring stands still while there is nothing new */
		carry(t);
	if (queue_empty(&t->queued))
		return false;
	p.number = ++t->number;
	w.p += INTENT_PAGE_HEADER;
	while (!queue_empty(&t->queued)) {
		struct noted *n = QUEUE_FIRST(&t->queued, struct noted, order);
		struct writer one = writer_of(record, sizeof(record));

		intent_record_put(&one, &n->i);
		taken += writer_len(&one) + VOL_FID_MAX - n->i.file.len;
		if (taken > INTENT_PAGE)
			break;
		write_record(t, &w, n, p.count++);
	}
	intent_page_seal(page, &p, writer_len(&w));
	*ret_place = (uint32_t)(p.number % t->pages);
	*ret_number = p.number;
	return true;
}

void intent_flushed(struct intent_table *t, uint64_t number)
{
	if (number > t->flushed && number <= t->number)
		t->flushed = number;
}

/* One that is no longer needed has nothing to wait for. */
bool intent_durable(const struct intent_table *t, uint64_t session, uint64_t request)
{
	const struct noted *n = find(t, session, request);

	return !n || (n->first_page && n->first_page <= t->flushed);
}

uint32_t intent_count(const struct intent_table *t)
{
	return t->count;
}
