/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who is there: sessions, their open files, grace. A session is on the disk before it is welcome. */
#include <errno.h>
#include <stdlib.h>

#include "csvfs/owner/owner.h"
#include "text.h"

/* --- open files --- */

static struct handle **handle_at(struct session *s, uint64_t number)
{
	struct handle **at = &s->handles[number % HANDLE_BUCKETS];

	while (*at && (*at)->number != number)
		at = &(*at)->next;
	return at;
}

/* One open less. owner.lock is held, the last reference of the handle is gone. */
static void handle_free(struct owner *o, struct handle *h)
{
	struct file *file = h->file;

	free(h);
	o->n_handles--;
	if (!--file->opens && file->orphan && !o->stopping && !o->grace && !job_later(o, orphan_remove, file))
		return; /* with our reference of the file */
	files_put(&o->files, file);
}

static void handle_take_out(struct owner *o, struct session *s, struct handle **at)
{
	struct handle *h = *at;

	*at = h->next;
	s->n_handles--;
	file_lock_release(o->locks, &h->file->fid, s->slot, h->number);
	locks_pump(o);
	if (!--h->refs)
		handle_free(o, h);
}

int handle_add(struct owner *o, struct session *s, uint64_t number, struct file *file, uint32_t flags)
{
	struct handle *h = malloc(sizeof(*h)), **at;
	int ret = h ? 0 : -ENOMEM;

	pthread_mutex_lock(&o->lock);
	if (!ret && s->state == SESSION_GONE)
		ret = -ESTALE;
	at = handle_at(s, number);
	if (!ret && !*at && s->n_handles >= HANDLES_MAX)
		ret = -ENFILE;
	if (!ret) {
		*h = (struct handle){ .number = number, .refs = 1, .flags = flags, .file = file, .session = s };
		file->opens++;
		o->n_handles++;
		s->n_handles++;
		if (*at) {
			/* Locks that the same open file has taken meanwhile stay only when it is the same file. */
			if ((*at)->file == file) {
				struct handle *old = *at;

				h->next = old->next;
				*at = h;
				s->n_handles--;
				if (!--old->refs)
					handle_free(o, old);
				pthread_mutex_unlock(&o->lock);
				return 0;
			}
			handle_take_out(o, s, at);
		}
		h->next = s->handles[number % HANDLE_BUCKETS];
		s->handles[number % HANDLE_BUCKETS] = h;
	}
	pthread_mutex_unlock(&o->lock);
	if (ret) {
		free(h);
		files_put(&o->files, file);
	}
	return ret;
}

struct handle *handle_get(struct request *r, uint64_t number)
{
	struct owner *o = r->owner;
	struct handle *h;

	pthread_mutex_lock(&o->lock);
	h = *handle_at(r->session, number);
	if (h)
		h->refs++;
	pthread_mutex_unlock(&o->lock);
	return h;
}

void handle_put(struct owner *o, struct handle *h)
{
	if (!h)
		return;
	pthread_mutex_lock(&o->lock);
	if (!--h->refs)
		handle_free(o, h);
	pthread_mutex_unlock(&o->lock);
}

int handle_remove(struct owner *o, struct session *s, uint64_t number)
{
	struct handle **at;
	bool found;

	pthread_mutex_lock(&o->lock);
	at = handle_at(s, number);
	found = *at;
	if (found)
		handle_take_out(o, s, at);
	pthread_mutex_unlock(&o->lock);
	return found ? 0 : -EBADF;
}

/* --- sessions --- */

void session_put(struct owner *o, struct session *s)
{
	if (--s->refs || s->state != SESSION_GONE)
		return;
	/* Only now is its slot given again: nothing refers to it by number any more. */
	o->sessions[s->slot] = NULL;
	free(s);
}

static struct session *session_new(struct owner *o, uint32_t slot, const struct trailer_session *t)
{
	struct session *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->slot = slot;
	s->node = t->node;
	s->id = t->session;
	s->incarnation = t->incarnation;
	o->sessions[slot] = s;
	return s;
}

static void *zeroed(size_t size)
{
	return calloc(1, size);
}

int sessions_init(struct owner *o)
{
	const struct grant_limits g = { .files = GRANT_FILES_MAX,
					.holders = GRANT_HOLDERS_MAX,
					.claims = GRANT_CLAIMS_MAX,
					.wants = GRANT_CLAIM_WANTS_MAX,
					.waiters = VOL_SESSION_MAX };
	const struct file_lock_limits l = { .files = LOCKS_MAX, .locks = LOCKS_MAX, .waiters = LOCK_WAITERS_MAX };
	const uint32_t intents = intent_limit(TRAILER_INTENT_PAGES);
	void *grants = zeroed(grant_size(&g)), *locks = zeroed(file_lock_size(&l)),
	     *log = zeroed(request_log_size(LOGGED_MAX));
	void *table = zeroed(intent_table_size(intents));

	if (!grants || !locks || !log || !table)
		owner_fence(o, "no memory", -ENOMEM);
	o->grants = grant_init(grants, &g, o->options.mount.epoch);
	o->locks = file_lock_init(locks, &l);
	o->log = request_log_init(log, LOGGED_MAX);
	o->intents = intent_table_init(table, intents, TRAILER_INTENT_PAGES, o->options.mount.epoch);
	return 0;
}

int sessions_load(struct owner *o)
{
	struct trailer_session *list = calloc(VOL_SESSION_MAX, sizeof(*list));
	struct session_set expected = { 0 };
	struct session *s;
	int ret = list ? trailer_read_sessions(&o->mount.trailer, list) : -ENOMEM;

	if (ret == -EBADMSG)
		ret = 0; /* used by nobody knows whom: grace until somebody says that it is fenced */
	for (uint32_t i = 0; !ret && i < VOL_SESSION_MAX; i++) {
		if (!list[i].used)
			continue;
		s = session_new(o, i, &list[i]);
		if (!s || (s->id && intent_session_add(o->intents, s->id)))
			ret = -ENOMEM;
		session_set_add(&expected, i);
	}
	free(list);
	if (ret)
		return ret;
	o->grace = !session_set_empty(&expected);
	grant_grace_begin(o->grants, &expected);
	file_lock_grace(o->locks, o->grace);
	return 0;
}

/* After each session that is ready or gone. */
static void grace_look(struct owner *o)
{
	owner_pump(o);
	if (!o->grace || grant_in_grace(o->grants))
		return;
	o->grace = false;
	file_lock_grace(o->locks, false);
	locks_pump(o);
	(void)orphans_collect_later(o); /* or they are removed by the next owner */
}

void session_ready(struct owner *o, struct session *s)
{
	if (s->state == SESSION_GONE)
		return;
	s->state = SESSION_READY;
	grant_session_ready(o->grants, s->slot);
	grace_look(o);
}

/* Nothing new of it begins, and what waits gives up; owner.lock is held. */
static void stop_requests(struct owner *o, struct session *s, const struct request *last)
{
	s->state = SESSION_GONE;
	s->main = NULL;
	for (struct conn *c = o->conns; c; c = c->next) {
		if (c->session != s)
			continue;
		c->dead = true;
		if (!last || c != last->conn)
			link_shutdown(c->link);
	}
	pthread_cond_broadcast(&o->changed);
	/* A write that goes on would reach the file after it has been said that this session writes no more. */
	while (s->requests > (last ? 1u : 0u))
		pthread_cond_wait(&o->changed, &o->lock);
}

/* owner.lock is held; no request of it is under way. */
static void forget(struct owner *o, struct session *s)
{
	for (uint32_t i = 0; i < HANDLE_BUCKETS; i++)
		while (s->handles[i])
			handle_take_out(o, s, &s->handles[i]);
	file_lock_session_gone(o->locks, s->slot);
	locks_pump(o);
	grant_session_gone(o->grants, s->slot);
	recalls_forget(o, s->slot);
	request_log_session_gone(o->log, s->slot);
	intent_session_gone(o->intents, s->id);
	grace_look(o);
}

void session_end(struct owner *o, struct session *s, const struct request *last)
{
	const struct trailer_session none = { 0 };
	int ret;

	pthread_mutex_lock(&o->lock);
	s->refs++;
	if (s->state == SESSION_GONE) {
		/* Another thread is at it: it is over when that one says so. */
		while (!s->forgotten && !last)
			pthread_cond_wait(&o->changed, &o->lock);
		session_put(o, s);
		pthread_mutex_unlock(&o->lock);
		return;
	}
	stop_requests(o, s, last);
	pthread_mutex_unlock(&o->lock);
	/* Not in use any more until session_put(): nobody else writes this place. */
	pthread_rwlock_rdlock(&o->trailer_lock);
	ret = trailer_write_session(&o->mount.trailer, s->slot, &none);
	pthread_rwlock_unlock(&o->trailer_lock);
	if (ret)
		owner_fence(o, "the list of sessions cannot be written", ret);
	pthread_mutex_lock(&o->lock);
	forget(o, s);
	s->forgotten = true;
	pthread_cond_broadcast(&o->changed);
	session_put(o, s);
	pthread_mutex_unlock(&o->lock);
}

void session_fenced(struct owner *o, uint32_t node, uint64_t incarnation)
{
	struct session *s;

	for (uint32_t i = 0; i < VOL_SESSION_MAX; i++) {
		pthread_mutex_lock(&o->lock);
		s = o->sessions[i];
		if (s && (s->forgotten || s->node != node || s->incarnation > incarnation))
			s = NULL;
		if (s)
			s->refs++;
		pthread_mutex_unlock(&o->lock);
		if (!s)
			continue;
		session_end(o, s, NULL);
		pthread_mutex_lock(&o->lock);
		session_put(o, s);
		pthread_mutex_unlock(&o->lock);
	}
}

/* --- HELLO --- */

static struct session *find(struct owner *o, uint64_t id)
{
	for (uint32_t i = 0; i < VOL_SESSION_MAX; i++)
		if (o->sessions[i] && o->sessions[i]->id == id && !o->sessions[i]->forgotten)
			return o->sessions[i];
	return NULL;
}

/* Of a place that nobody uses. On the disk before it is welcome; owner.lock is let go for that. */
static int enrol(struct owner *o, const struct vol_hello *h, struct session **ret)
{
	const struct trailer_session t = {
		.session = h->session, .incarnation = h->incarnation, .node = h->node, .used = 1
	};
	uint32_t slot = 0;
	struct session *s;
	int error;

	while (slot < VOL_SESSION_MAX && o->sessions[slot])
		slot++;
	if (slot == VOL_SESSION_MAX)
		return -EUSERS;
	if (intent_session_add(o->intents, h->session))
		return -EUSERS;
	s = session_new(o, slot, &t);
	if (!s)
		return -ENOMEM;
	s->state = SESSION_RECLAIMING;
	s->refs++;
	pthread_mutex_unlock(&o->lock);
	pthread_rwlock_rdlock(&o->trailer_lock);
	error = trailer_write_session(&o->mount.trailer, slot, &t);
	pthread_rwlock_unlock(&o->trailer_lock);
	if (error)
		owner_fence(o, "the list of sessions cannot be written", error);
	pthread_mutex_lock(&o->lock);
	s->refs--;
	*ret = s;
	return 0;
}

/* Older connections end, and what came by them and may be done twice is done, before the newer one is welcome. */
static void replace_main(struct owner *o, struct session *s, struct conn *main)
{
	for (struct conn *c = o->conns; c; c = c->next) {
		if (c->session != s || c == main)
			continue;
		c->dead = true;
		link_shutdown(c->link);
	}
	s->main = NULL;
	while (s->repeating && !o->stopping)
		pthread_cond_wait(&o->changed, &o->lock);
}

void session_welcomed(struct owner *o, struct conn *c)
{
	pthread_mutex_lock(&o->lock);
	if (!c->dead && c->session->state != SESSION_GONE) {
		c->session->main = c;
		grant_session_again(o->grants, c->session->slot);
		owner_pump(o);
	}
	pthread_mutex_unlock(&o->lock);
}

static void welcome(const struct owner *o, struct vol_welcome *w)
{
	*w = (struct vol_welcome){
		.epoch = o->mount.record.epoch,
		.owner = o->mount.record.owner,
		.grace = o->grace,
		.level = VOL_LEVEL,
		.owner_node = o->options.mount.node,
		.recall_ms = o->options.recall_ms,
		.window = VOL_WINDOW_MAX,
		.io_max = VOL_IO_MAX,
		.lend = 1,
		.root = o->files.root,
	};
	text_copy(w->filesystem, sizeof(w->filesystem), o->mount.xfs ? "xfs" : "ext4");
}

static int join(struct owner *o, struct conn *c, const struct vol_message *m)
{
	const struct vol_hello *h = &m->hello;
	struct session *s = find(o, h->session);
	int ret;

	if (o->stopping || c->dead)
		return -ESHUTDOWN;
	/* A session that is taken for new would go on with leases and locks of which nobody knows any more [I5]. */
	if (!s && (!h->main || !h->first))
		return -ENOENT;
	if (!s) {
		ret = enrol(o, h, &s);
		if (ret)
			return ret;
	}
	if (s->node != h->node)
		return -EPERM;
	if (s->state == SESSION_GONE)
		return -ESTALE;
	if (s->state == SESSION_EXPECTED)
		s->state = SESSION_RECLAIMING;
	c->session = s;
	s->refs++;
	if (h->main) {
		replace_main(o, s, c);
		request_log_answered(o->log, s->slot, m->answered);
		intent_answered(o->intents, s->id, m->answered);
	}
	return s->state == SESSION_GONE || c->dead ? -ESHUTDOWN : 0;
}

int session_hello(struct owner *o, struct conn *c, const struct vol_message *m, struct vol_message *answer)
{
	const struct vol_hello *h = &m->hello;
	int ret;

	if (h->volume_hi != o->mount.header.volume_hi || h->volume_lo != o->mount.header.volume_lo)
		return -ENXIO;
	if (h->epoch > o->mount.record.epoch)
		return -ESTALE; /* it has met an owner after us */
	if (!h->session || !h->node || h->node > NODE_MAX || !h->level)
		return -EINVAL;
	pthread_mutex_lock(&o->lock);
	ret = join(o, c, m);
	if (!ret)
		welcome(o, &answer->welcome);
	pthread_mutex_unlock(&o->lock);
	return ret;
}
