/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Locks of a file are one list: those of one owner and kind are disjoint, and adjacent ones of one type are merged. Waiting asks
 * are one list in order of arrival; whatever frees something marks the table, and file_lock_next() looks at them again.
 */
#include "csvfs/core/file_lock.h"

#include <errno.h>
#include <string.h>

#include "csvfs/core/queue.h"

struct lock {
	struct queue of_file;
	uint64_t start, end, owner, handle;
	uint32_t session, node, pid;
	uint8_t type;
	bool flock;
};

struct file {
	struct queue hash, locks, waiting;
	struct vol_fid fid;
	uint32_t n_locks, n_waiting;
};

struct waiter {
	struct queue of_file, order; /* order: in the table's `waiting` or `told` */
	struct file *file;
	struct file_lock_ask ask; /* its `file` is not valid */
	struct file_lock_woken woken;
};

struct file_lock_table {
	struct file_lock_limits limit;
	uint32_t n_buckets, free_locks_n;
	bool grace, look;
	struct queue free_files, free_locks, free_waiters, waiting, told;
	struct queue *buckets;
	struct file *files;
	struct lock *locks;
	struct waiter *waiters;
};

/* --- memory --- */

struct layout {
	size_t at, files, locks, waiters, buckets;
	uint32_t n_buckets;
};

static size_t take(struct layout *l, size_t size, size_t n)
{
	size_t at = l->at;

	l->at += (size * n + _Alignof(max_align_t) - 1) / _Alignof(max_align_t) * _Alignof(max_align_t);
	return at;
}

static struct layout layout_of(const struct file_lock_limits *l)
{
	struct layout a = { .n_buckets = 16 };

	while (a.n_buckets < l->files && a.n_buckets < 1u << 30)
		a.n_buckets *= 2;
	take(&a, sizeof(struct file_lock_table), 1);
	a.files = take(&a, sizeof(struct file), l->files);
	a.locks = take(&a, sizeof(struct lock), l->locks);
	a.waiters = take(&a, sizeof(struct waiter), l->waiters);
	a.buckets = take(&a, sizeof(struct queue), a.n_buckets);
	return a;
}

size_t file_lock_size(const struct file_lock_limits *l)
{
	return layout_of(l).at;
}

struct file_lock_table *file_lock_init(void *memory, const struct file_lock_limits *l)
{
	struct layout a = layout_of(l);
	struct file_lock_table *t = memory;
	uint8_t *base = memory;

	memset(memory, 0, a.at);
	t->limit = *l;
	t->n_buckets = a.n_buckets;
	t->free_locks_n = l->locks;
	t->files = (void *)(base + a.files);
	t->locks = (void *)(base + a.locks);
	t->waiters = (void *)(base + a.waiters);
	t->buckets = (void *)(base + a.buckets);
	queue_init(&t->free_files);
	queue_init(&t->free_locks);
	queue_init(&t->free_waiters);
	queue_init(&t->waiting);
	queue_init(&t->told);
	for (uint32_t i = 0; i < a.n_buckets; i++)
		queue_init(&t->buckets[i]);
	for (uint32_t i = 0; i < l->files; i++)
		queue_add(&t->free_files, &t->files[i].hash);
	for (uint32_t i = 0; i < l->locks; i++)
		queue_add(&t->free_locks, &t->locks[i].of_file);
	for (uint32_t i = 0; i < l->waiters; i++)
		queue_add(&t->free_waiters, &t->waiters[i].order);
	return t;
}

/* --- files --- */

static struct queue *bucket(const struct file_lock_table *t, const struct vol_fid *fid)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (uint32_t i = 0; i < fid->len; i++)
		h = (h ^ fid->data[i]) * 0x100000001b3u;
	return &t->buckets[(h ^ h >> 32) & (t->n_buckets - 1)];
}

static struct file *file_find(const struct file_lock_table *t, const struct vol_fid *fid)
{
	QUEUE_FOR(bucket(t, fid), struct file, hash, f)
		if (vol_fid_equal(&f->fid, fid))
			return f;
	return NULL;
}

static struct file *file_get(struct file_lock_table *t, const struct vol_fid *fid)
{
	struct file *f = file_find(t, fid);

	if (f)
		return f;
	f = QUEUE_FIRST(&t->free_files, struct file, hash);
	if (!f)
		return NULL;
	queue_remove(&f->hash);
	queue_init(&f->locks);
	queue_init(&f->waiting);
	f->fid = *fid;
	f->n_locks = f->n_waiting = 0;
	queue_add(bucket(t, fid), &f->hash);
	return f;
}

static void file_put(struct file_lock_table *t, struct file *f)
{
	if (f->n_locks || f->n_waiting)
		return;
	queue_remove(&f->hash);
	queue_add(&t->free_files, &f->hash);
}

/* --- locks --- */

static void lock_drop(struct file_lock_table *t, struct file *f, struct lock *l)
{
	queue_remove(&l->of_file);
	queue_add(&t->free_locks, &l->of_file);
	t->free_locks_n++;
	f->n_locks--;
	t->look = true;
}

/* The caller has seen that there is room. */
static struct lock *lock_new(struct file_lock_table *t, struct file *f, const struct lock *like)
{
	struct lock *l = QUEUE_FIRST(&t->free_locks, struct lock, of_file);

	queue_remove(&l->of_file);
	*l = *like;
	queue_add(&f->locks, &l->of_file);
	t->free_locks_n--;
	f->n_locks++;
	return l;
}

static bool same_owner(const struct lock *l, const struct file_lock_ask *a)
{
	return l->session == a->session && (a->flock ? l->handle == a->handle : l->owner == a->owner);
}

static bool conflicts(const struct lock *l, const struct file_lock_ask *a)
{
	return l->flock == a->flock && !same_owner(l, a) && (l->type == FILE_LOCK_WRITE || a->type == FILE_LOCK_WRITE) &&
	       l->start <= a->end && a->start <= l->end;
}

/* The first in the way: of byte-range locks the lowest, as F_GETLK of Linux tells. */
static const struct lock *in_the_way(const struct file *f, const struct file_lock_ask *a)
{
	const struct lock *found = NULL;

	if (!f || a->type == FILE_LOCK_NONE)
		return NULL;
	QUEUE_FOR(&f->locks, struct lock, of_file, l)
		if (conflicts(l, a) && (!found || l->start < found->start))
			found = l;
	return found;
}

static void tell(struct file_lock_found *found, const struct lock *l)
{
	*found = (struct file_lock_found){ .type = l->type, .start = l->start, .end = l->end, .pid = l->pid, .node = l->node };
}

static void tell_asked(struct file_lock_found *found, const struct file_lock_ask *a)
{
	*found = (struct file_lock_found){ .type = a->type, .start = a->start, .end = a->end, .pid = a->pid, .node = a->node };
}

/* Takes the ask's range from a lock of the same owner: it is shortened, split, or goes. Needs one record at most. */
static void cut(struct file_lock_table *t, struct file *f, struct lock *l, const struct file_lock_ask *a)
{
	struct lock tail = *l;

	t->look = true;
	if (l->start >= a->start && l->end <= a->end) {
		lock_drop(t, f, l);
		return;
	}
	if (l->start < a->start && l->end > a->end) {
		tail.start = a->end + 1;
		lock_new(t, f, &tail);
		l->end = a->start - 1;
	} else if (l->start < a->start) {
		l->end = a->start - 1;
	} else {
		l->start = a->end + 1;
	}
}

/* What touches the range and has its type becomes part of it; all else of the owner there is cut. */
static void set_range(struct file_lock_table *t, struct file *f, const struct file_lock_ask *asked)
{
	struct file_lock_ask a = *asked;

	QUEUE_FOR(&f->locks, struct lock, of_file, l) {
		if (l->flock || !same_owner(l, &a))
			continue;
		if (l->type == a.type && l->start <= asked->end + 1 && asked->start <= l->end + 1) {
			a.start = l->start < a.start ? l->start : a.start;
			a.end = l->end > a.end ? l->end : a.end;
			lock_drop(t, f, l);
		} else if (l->start <= asked->end && asked->start <= l->end) {
			cut(t, f, l, asked);
		}
	}
	if (a.type == FILE_LOCK_NONE)
		return;
	lock_new(t, f, &(struct lock){ .start = a.start, .end = a.end, .owner = a.owner, .handle = a.handle, .session = a.session,
				       .node = a.node, .pid = a.pid, .type = a.type });
}

static void flock_drop(struct file_lock_table *t, struct file *f, const struct file_lock_ask *a)
{
	QUEUE_FOR(&f->locks, struct lock, of_file, l)
		if (l->flock && same_owner(l, a))
			lock_drop(t, f, l);
}

static void set_flock(struct file_lock_table *t, struct file *f, const struct file_lock_ask *a)
{
	flock_drop(t, f, a);
	if (a->type == FILE_LOCK_NONE)
		return;
	lock_new(t, f, &(struct lock){ .end = FILE_LOCK_END, .owner = a->owner, .handle = a->handle, .session = a->session,
				       .node = a->node, .pid = a->pid, .type = a->type, .flock = true });
}

/* Records that are lacking once what goes has gone. Only what splits a lock, or is a new one, can need any. */
static uint32_t needs(const struct file *f, const struct file_lock_ask *a)
{
	uint32_t n = a->type != FILE_LOCK_NONE, goes = 0;

	QUEUE_FOR(&f->locks, struct lock, of_file, l) {
		if (l->flock != a->flock || !same_owner(l, a))
			continue;
		if (a->flock || (l->start >= a->start && l->end <= a->end) ||
		    (l->type == a->type && l->start <= a->end + 1 && a->start <= l->end + 1))
			goes++;
		else if (l->start < a->start && l->end > a->end)
			n++;
	}
	return n > goes ? n - goes : 0;
}

static int set(struct file_lock_table *t, struct file *f, const struct file_lock_ask *a, struct file_lock_found *found)
{
	if (needs(f, a) > t->free_locks_n)
		return -ENOLCK;
	if (a->flock)
		set_flock(t, f, a);
	else
		set_range(t, f, a);
	tell_asked(found, a);
	return 0;
}

/* --- deadlock --- */

/* The ask that an owner waits with, NULL: none. */
static const struct waiter *waits_with(const struct file_lock_table *t, uint32_t session, uint64_t owner)
{
	QUEUE_FOR(&t->waiting, struct waiter, order, w)
		if (!w->ask.flock && !w->ask.test && w->ask.session == session && w->ask.owner == owner)
			return w;
	return NULL;
}

static bool deadlock(const struct file_lock_table *t, const struct file_lock_ask *a, const struct lock *l)
{
	for (int depth = 0; l && depth <= FILE_LOCK_DEADLOCK_DEPTH; depth++) {
		const struct waiter *w;

		if (same_owner(l, a))
			return true;
		w = waits_with(t, l->session, l->owner);
		l = w ? in_the_way(w->file, &w->ask) : NULL;
	}
	return false;
}

/* --- waiting --- */

/* As far as it can be said now. -EINPROGRESS: it waits. */
static int decide(struct file_lock_table *t, struct file *f, const struct file_lock_ask *a, struct file_lock_found *found)
{
	const struct lock *l = in_the_way(f, a);

	if (t->grace && !a->reclaim && a->type != FILE_LOCK_NONE)
		return -EINPROGRESS;
	if (a->test) {
		*found = (struct file_lock_found){ .type = FILE_LOCK_NONE };
		if (l)
			tell(found, l);
		return 0;
	}
	if (!l)
		return f ? set(t, f, a, found) : -ENOLCK;
	tell(found, l);
	if (a->flock && !a->reclaim)
		flock_drop(t, f, a); /* as Linux: a conversion that waits or fails has given up the old one */
	if (!a->wait || a->reclaim)
		return -EAGAIN;
	return !a->flock && deadlock(t, a, l) ? -EDEADLK : -EINPROGRESS;
}

static struct waiter *waiter_find(const struct file_lock_table *t, uint32_t session, uint64_t request)
{
	QUEUE_FOR(&t->waiting, struct waiter, order, w)
		if (w->ask.session == session && w->ask.request == request)
			return w;
	return NULL;
}

static void waiter_leave(struct file_lock_table *t, struct waiter *w)
{
	struct file *f = w->file;

	queue_remove(&w->of_file);
	queue_remove(&w->order);
	f->n_waiting--;
	file_put(t, f);
}

static void wake(struct file_lock_table *t, struct waiter *w, int error, const struct file_lock_found *found)
{
	w->woken = (struct file_lock_woken){ .session = w->ask.session, .request = w->ask.request, .user = w->ask.user,
					     .error = error, .found = *found };
	waiter_leave(t, w);
	queue_add(&t->told, &w->order);
}

static int wait_for(struct file_lock_table *t, struct file *f, const struct file_lock_ask *a)
{
	struct waiter *w = QUEUE_FIRST(&t->free_waiters, struct waiter, order);

	if (!w)
		return -ENOLCK;
	queue_remove(&w->order);
	w->file = f;
	w->ask = *a;
	w->ask.file = NULL;
	queue_add(&f->waiting, &w->of_file);
	queue_add(&t->waiting, &w->order);
	f->n_waiting++;
	return -EINPROGRESS;
}

static bool valid(struct file_lock_ask *a)
{
	if (a->type > FILE_LOCK_NONE || (a->test && (a->flock || a->type == FILE_LOCK_NONE)) || a->session >= VOL_SESSION_MAX)
		return false;
	if (a->flock) {
		a->start = 0;
		a->end = FILE_LOCK_END;
	}
	return a->start <= a->end && a->end <= FILE_LOCK_END && a->file && a->file->len && a->file->len <= VOL_FID_MAX;
}

int file_lock_ask(struct file_lock_table *t, const struct file_lock_ask *asked, struct file_lock_found *found)
{
	struct file_lock_ask a = *asked;
	struct waiter *again;
	struct file *f;
	int r;

	*found = (struct file_lock_found){ .type = FILE_LOCK_NONE };
	if (!valid(&a))
		return -EINVAL;
	again = waiter_find(t, a.session, a.request);
	if (again) { /* sent again: its place in the order stays */
		again->ask.user = a.user;
		return -EINPROGRESS;
	}
	f = a.type == FILE_LOCK_NONE ? file_find(t, a.file) : file_get(t, a.file);
	if (!f && a.type == FILE_LOCK_NONE) {
		tell_asked(found, &a);
		return 0;
	}
	if (!f)
		return -ENOLCK;
	r = decide(t, f, &a, found);
	if (r == -EINPROGRESS)
		r = wait_for(t, f, &a);
	file_put(t, f);
	return r;
}

/* One look at all that wait; what one of them gets may be in the way of the next, or free something for one before it. */
static void look(struct file_lock_table *t)
{
	while (t->look) {
		t->look = false;
		QUEUE_FOR(&t->waiting, struct waiter, order, w) {
			struct file_lock_found found = { .type = FILE_LOCK_NONE };
			int r;

			r = decide(t, w->file, &w->ask, &found);
			if (r != -EINPROGRESS)
				wake(t, w, r, &found);
		}
	}
}

bool file_lock_next(struct file_lock_table *t, struct file_lock_woken *ret)
{
	struct waiter *w;

	look(t);
	w = QUEUE_FIRST(&t->told, struct waiter, order);
	if (!w)
		return false;
	*ret = w->woken;
	queue_remove(&w->order);
	queue_add(&t->free_waiters, &w->order);
	return true;
}

bool file_lock_cancel(struct file_lock_table *t, uint32_t session, uint64_t request, void **ret_user)
{
	struct waiter *w = waiter_find(t, session, request);

	if (!w)
		return false;
	*ret_user = w->ask.user;
	waiter_leave(t, w);
	queue_add(&t->free_waiters, &w->order);
	return true;
}

/* --- what goes by itself --- */

void file_lock_release(struct file_lock_table *t, const struct vol_fid *fid, uint32_t session, uint64_t handle)
{
	static const struct file_lock_found none = { .type = FILE_LOCK_NONE };
	struct file *f = file_find(t, fid);

	if (!f)
		return;
	f->n_waiting++; /* stays until all is done */
	QUEUE_FOR(&f->locks, struct lock, of_file, l)
		if (l->session == session && l->handle == handle)
			lock_drop(t, f, l);
	QUEUE_FOR(&f->waiting, struct waiter, of_file, w)
		if (w->ask.session == session && w->ask.handle == handle)
			wake(t, w, -EBADF, &none);
	f->n_waiting--;
	file_put(t, f);
}

static void file_session_gone(struct file_lock_table *t, struct file *f, uint32_t session)
{
	QUEUE_FOR(&f->locks, struct lock, of_file, l)
		if (l->session == session)
			lock_drop(t, f, l);
	file_put(t, f);
}

void file_lock_session_gone(struct file_lock_table *t, uint32_t session)
{
	static const struct file_lock_found none = { .type = FILE_LOCK_NONE };

	QUEUE_FOR(&t->waiting, struct waiter, order, w)
		if (w->ask.session == session)
			wake(t, w, -ESTALE, &none);
	for (uint32_t i = 0; i < t->n_buckets; i++)
		QUEUE_FOR(&t->buckets[i], struct file, hash, f)
			file_session_gone(t, f, session);
}

void file_lock_grace(struct file_lock_table *t, bool on)
{
	t->grace = on;
	if (!on)
		t->look = true;
}

uint32_t file_lock_count(const struct file_lock_table *t, const struct vol_fid *file, uint32_t *ret_waiting)
{
	const struct file *f = file_find(t, file);

	if (ret_waiting)
		*ret_waiting = f ? f->n_waiting : 0;
	return f ? f->n_locks : 0;
}
