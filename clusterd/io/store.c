/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The store's two sides: on the loop, staging and completions; on its thread, group commit.
 *
 * `mutex` protects what both sides see: the queue of sealed batches, the completions, the status. A batch belongs to the
 * loop until it is sealed, then to the thread.
 */
#include "clusterd/io/store.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bytes.h"
#include "cleanup.h"
#include "clusterd/io/store_db.h"
#include "text.h"
#include "units.h"

#define OP_HEAD_SIZE 10 /* u8 op, u8 kind, u32 id, u32 length */

enum op { OP_PUT = 1, OP_DELETE = 2 };

struct batch {
	struct batch *next;
	uint8_t *ops;
	size_t used, size;
	bool wipe; /* before the ops */
	bool told; /* its cookie had an error callback in this episode */
	struct store_meta meta;
	uint64_t cookie;
};

struct completion {
	struct completion *next;
	uint64_t cookie;
	int error;
};

struct backup {
	char path[256];
	void (*done)(void *ctx, int error, const char *text);
	void *ctx;
	int error;
	char text[384];
	enum { BACKUP_NONE, BACKUP_ASKED, BACKUP_DONE } state;
};

struct store {
	qb_loop_t *loop;
	struct store_handlers handlers;
	void *ctx;
	int lock_fd, event_fd;
	struct store_db db; /* the thread's, once it runs */
	pthread_t thread;
	struct batch *staged;

	pthread_mutex_t mutex;
	pthread_cond_t wake;
	struct batch *first, **last;
	struct completion *done_first, **done_last;
	struct backup backup;
	struct store_status status;
	bool stop;
};

/* --- the thread --- */

static int apply_batch(struct store *s, const struct batch *b)
{
	struct reader r = reader_of(b->ops, b->used);
	int error = b->wipe ? store_db_wipe(&s->db) : 0;

	while (!error && reader_left(&r)) {
		enum op op = get_u8(&r);
		uint8_t kind = get_u8(&r);
		uint32_t id = get_u32(&r);
		size_t len = get_u32(&r);
		const uint8_t *data = get_bytes(&r, len);

		error = op == OP_PUT ? store_db_put(&s->db, kind, id, data, len) : store_db_delete(&s->db, kind, id);
	}
	return error;
}

/* One transaction for all of the list; what comes before the last wipe is void. */
static int apply_list(struct store *s, const struct batch *list)
{
	const struct batch *start = list, *end = list;
	int error = store_db_begin(&s->db);

	for (const struct batch *b = list; b; b = b->next) {
		if (b->wipe)
			start = b;
		end = b;
	}
	for (const struct batch *b = start; b && !error; b = b->next)
		error = apply_batch(s, b);
	if (!error)
		error = store_db_commit(&s->db, &end->meta);
	if (error)
		store_db_rollback(&s->db);
	return error;
}

static void complete(struct store *s, uint64_t cookie, int error)
{
	struct completion *c = malloc(sizeof(*c));

	if (!c)
		abort(); /* a lost completion would be a lie about what is on disk */
	*c = (struct completion){ .cookie = cookie, .error = error };
	*s->done_last = c;
	s->done_last = &c->next;
}

static void wake_loop(struct store *s)
{
	uint64_t one = 1;

	while (write(s->event_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static void batch_free(struct batch *b)
{
	if (b)
		free(b->ops);
	free(b);
}

/* The list was tried: report; what failed goes back to the head of the queue. Mutex held. */
static void list_finished(struct store *s, struct batch *list, int error)
{
	s->status.transactions++;
	s->status.error = error;
	text_copy(s->status.error_text, sizeof(s->status.error_text), error ? s->db.error_text : "");
	if (error) {
		struct batch **end = &list;

		s->status.failures++;
		for (; *end; end = &(*end)->next) {
			if (!(*end)->told)
				complete(s, (*end)->cookie, error);
			(*end)->told = true;
		}
		*end = s->first;
		if (!s->first)
			s->last = end;
		s->first = list;
		wake_loop(s);
		return;
	}
	while (list) {
		struct batch *b = list;

		list = b->next;
		s->status.commits++;
		s->status.queued_commits--;
		s->status.queued_bytes -= b->size;
		complete(s, b->cookie, 0);
		batch_free(b);
	}
	wake_loop(s);
}

static void run_backup(struct store *s)
{
	char path[256];
	int error;

	memcpy(path, s->backup.path, sizeof(path));
	pthread_mutex_unlock(&s->mutex);
	error = store_db_copy(&s->db, path);
	pthread_mutex_lock(&s->mutex);
	s->backup.error = error;
	text_copy(s->backup.text, sizeof(s->backup.text), error ? s->db.error_text : path);
	if (error && !s->backup.text[0])
		snprintf(s->backup.text, sizeof(s->backup.text), "%s: %s", path, strerror(-error));
	s->backup.state = BACKUP_DONE;
	wake_loop(s);
}

static void wait_for_retry(struct store *s)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += STORE_RETRY_MS / MS_PER_SECOND;
	until.tv_nsec += STORE_RETRY_MS % MS_PER_SECOND * 1000000L;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_nsec -= 1000000000L;
		until.tv_sec++;
	}
	while (!s->stop && pthread_cond_timedwait(&s->wake, &s->mutex, &until) != ETIMEDOUT)
		;
}

static void *thread_main(void *data)
{
	struct store *s = data;

	pthread_mutex_lock(&s->mutex);
	for (;;) {
		struct batch *list = s->first;
		int error;

		if (!list) {
			if (s->backup.state == BACKUP_ASKED)
				run_backup(s);
			else if (s->stop)
				break;
			else
				pthread_cond_wait(&s->wake, &s->mutex);
			continue;
		}
		s->first = NULL;
		s->last = &s->first;
		pthread_mutex_unlock(&s->mutex);
		error = apply_list(s, list);
		pthread_mutex_lock(&s->mutex);
		list_finished(s, list, error);
		if (error && s->stop)
			break;
		if (error)
			wait_for_retry(s);
	}
	pthread_mutex_unlock(&s->mutex);
	store_db_close(&s->db);
	return NULL;
}

/* --- the loop's side --- */

static int32_t on_event(int32_t fd, int32_t revents, void *data)
{
	struct store *s = data;
	struct completion *list;
	struct backup backup = { .state = BACKUP_NONE };
	uint64_t count;

	(void)revents;
	if (read(fd, &count, sizeof(count)) < 0)
		return 0;
	pthread_mutex_lock(&s->mutex);
	list = s->done_first;
	s->done_first = NULL;
	s->done_last = &s->done_first;
	if (s->backup.state == BACKUP_DONE) {
		backup = s->backup;
		s->backup.state = BACKUP_NONE;
	}
	pthread_mutex_unlock(&s->mutex);
	while (list) {
		struct completion c = *list;

		free(list);
		list = c.next;
		s->handlers.on_commit(s->ctx, c.cookie, c.error);
	}
	if (backup.state == BACKUP_DONE)
		backup.done(backup.ctx, backup.error, backup.text);
	return 0;
}

static int lock_take(struct store *s, const char *dir, char *text, size_t text_size)
{
	char path[256], pid[16];
	ssize_t n;

	snprintf(path, sizeof(path), "%s/lock", dir);
	s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (s->lock_fd < 0) {
		snprintf(text, text_size, "%s: cannot be opened: %s", path, strerror(errno));
		return -errno;
	}
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB)) {
		n = pread(s->lock_fd, pid, sizeof(pid) - 1, 0);
		snprintf(text, text_size, "%s is used by process %.*s: stop that clusterd, or give this one another state_dir",
			 dir, n > 0 ? (int)strcspn(pid, "\n") : 1, n > 0 ? pid : "?");
		return -EBUSY;
	}
	n = snprintf(pid, sizeof(pid), "%d\n", getpid());
	if (ftruncate(s->lock_fd, 0) || pwrite(s->lock_fd, pid, (size_t)n, 0) != n) {
		snprintf(text, text_size, "%s: cannot be written: %s", path, strerror(errno));
		return errno ? -errno : -EIO;
	}
	return 0;
}

static int move_aside(struct store *s, const char *path, char *text, size_t text_size)
{
	static const char *const suffixes[] = { "", "-wal", "-shm", "-journal" };
	char reason[384], from[300], to[340], stamp[32];
	time_t now = time(NULL);
	struct stat st;
	struct tm tm;

	text_copy(reason, sizeof(reason), s->db.error_text);
	strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", gmtime_r(&now, &tm));
	for (unsigned int n = 0;; n++) {
		if (n)
			snprintf(s->status.kept_aside, sizeof(s->status.kept_aside), "%.200s.corrupt-%s-%u", path, stamp, n);
		else
			snprintf(s->status.kept_aside, sizeof(s->status.kept_aside), "%.200s.corrupt-%s", path, stamp);
		if (lstat(s->status.kept_aside, &st))
			break;
	}
	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		snprintf(from, sizeof(from), "%s%s", path, suffixes[i]);
		snprintf(to, sizeof(to), "%s%s", s->status.kept_aside, suffixes[i]);
		if (rename(from, to) && errno != ENOENT) {
			snprintf(text, text_size, "%s is damaged (%s) and cannot be moved aside: %s", path, reason,
				 strerror(errno));
			return -errno;
		}
	}
	snprintf(text, text_size, "%s was damaged (%s): kept as %s, a new one is filled from the other nodes", path, reason,
		 s->status.kept_aside);
	return store_sync_dir_of(path);
}

/* Opens what is there, or creates; a damaged file makes way. */
static int open_database(struct store *s, const char *path, struct store_meta *meta, char *text, size_t text_size)
{
	struct stat st;
	bool exists = !stat(path, &st), delivered = false;
	int error = store_db_open(&s->db, path, !exists);

	s->status.opened = exists ? STORE_LOADED : STORE_CREATED;
	if (!error && exists)
		error = store_db_check(&s->db);
	if (!error) {
		delivered = true;
		error = store_db_load(&s->db, meta, s->handlers.on_object, s->ctx);
	}
	if (error == -EBADMSG && exists) {
		store_db_close(&s->db);
		if (delivered && s->handlers.on_reset)
			s->handlers.on_reset(s->ctx);
		error = move_aside(s, path, text, text_size);
		if (error)
			return error;
		s->status.opened = STORE_REBUILT;
		memset(meta, 0, sizeof(*meta));
		error = store_db_open(&s->db, path, true);
	}
	if (error)
		snprintf(text, text_size, "%s: cannot be opened: %s", path,
			 s->db.error_text[0] ? s->db.error_text : strerror(-error));
	return error;
}

static int start_thread(struct store *s)
{
	pthread_condattr_t attr;
	sigset_t all, before;
	int error;

	pthread_mutex_init(&s->mutex, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->wake, &attr);
	pthread_condattr_destroy(&attr);
	/* signals are the loop's business */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = -pthread_create(&s->thread, NULL, thread_main, s);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!error)
		pthread_setname_np(s->thread, "store");
	return error;
}

static void store_free(struct store *s)
{
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	if (s->event_fd >= 0)
		close(s->event_fd);
	free(s);
}

int store_open(struct store **ret_store, qb_loop_t *loop, const char *dir, const struct store_handlers *handlers,
	       void *ctx, struct store_meta *ret_meta, char *text, size_t text_size)
{
	struct store *s = calloc(1, sizeof(*s));
	char path[256];
	int error;

	text[0] = '\0';
	if (!s)
		return -ENOMEM;
	s->loop = loop;
	s->handlers = *handlers;
	s->ctx = ctx;
	s->lock_fd = s->event_fd = -1;
	s->last = &s->first;
	s->done_last = &s->done_first;
	if (snprintf(path, sizeof(path), "%s/cluster.db", dir) >= (int)sizeof(path) - 32) {
		snprintf(text, text_size, "%s: name too long", dir);
		free(s);
		return -ENAMETOOLONG;
	}
	if (mkdir(dir, 0750) && errno != EEXIST) {
		error = -errno;
		snprintf(text, text_size, "%s: cannot be made: %s", dir, strerror(errno));
		free(s);
		return error;
	}
	error = lock_take(s, dir, text, text_size);
	if (!error)
		error = open_database(s, path, ret_meta, text, text_size);
	if (!error) {
		s->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		error = s->event_fd < 0 ? -errno : qb_loop_poll_add(loop, QB_LOOP_HIGH, s->event_fd, POLLIN, s, on_event);
	}
	if (!error) {
		error = start_thread(s);
		if (error)
			qb_loop_poll_del(loop, s->event_fd);
	}
	if (error) {
		store_db_close(&s->db);
		store_free(s);
		return error;
	}
	*ret_store = s;
	return 0;
}

void store_close(struct store *s, uint32_t wait_ms)
{
	struct timespec until;

	if (!s)
		return;
	qb_loop_poll_del(s->loop, s->event_fd);
	pthread_mutex_lock(&s->mutex);
	s->stop = true;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->mutex);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += wait_ms / MS_PER_SECOND;
	until.tv_nsec += (long)(wait_ms % MS_PER_SECOND) * 1000000L;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_nsec -= 1000000000L;
		until.tv_sec++;
	}
	if (pthread_timedjoin_np(s->thread, NULL, &until)) {
		pthread_detach(s->thread); /* the disk hangs: its thread keeps the memory it may still touch */
		return;
	}
	batch_free(s->staged);
	while (s->first) {
		struct batch *b = s->first;

		s->first = b->next;
		batch_free(b);
	}
	while (s->done_first) {
		struct completion *c = s->done_first;

		s->done_first = c->next;
		free(c);
	}
	pthread_cond_destroy(&s->wake);
	pthread_mutex_destroy(&s->mutex);
	store_free(s);
}

/* Room for `extra` more bytes in the staged batch. */
static int staged_reserve(struct store *s, size_t extra)
{
	struct batch *b = s->staged;
	size_t size, grown;
	bool full;
	uint8_t *ops;

	if (!b) {
		b = s->staged = calloc(1, sizeof(*b));
		if (!b)
			return -ENOBUFS;
	}
	if (b->used + extra <= b->size)
		return 0;
	for (size = b->size ? b->size : 256; size < b->used + extra;)
		size *= 2;
	grown = size - b->size;
	pthread_mutex_lock(&s->mutex);
	full = s->status.queued_bytes + grown > STORE_QUEUE_BYTES_MAX;
	if (!full)
		s->status.queued_bytes += grown;
	pthread_mutex_unlock(&s->mutex);
	if (full)
		return -ENOBUFS;
	ops = realloc(b->ops, size);
	if (!ops) {
		pthread_mutex_lock(&s->mutex);
		s->status.queued_bytes -= grown;
		pthread_mutex_unlock(&s->mutex);
		return -ENOBUFS;
	}
	b->ops = ops;
	b->size = size;
	return 0;
}

static int stage(struct store *s, enum op op, uint8_t kind, uint32_t id, const void *blob, size_t len)
{
	struct writer w;
	int error;

	if (len > OBJECT_ENCODED_MAX)
		return -EMSGSIZE;
	error = staged_reserve(s, OP_HEAD_SIZE + len);
	if (error)
		return error;
	w = writer_of(s->staged->ops + s->staged->used, s->staged->size - s->staged->used);
	put_u8(&w, (uint8_t)op);
	put_u8(&w, kind);
	put_u32(&w, id);
	put_u32(&w, (uint32_t)len);
	put_bytes(&w, blob, len);
	s->staged->used += writer_len(&w);
	return 0;
}

int store_put(struct store *s, uint8_t kind, uint32_t id, const void *blob, size_t len)
{
	return stage(s, OP_PUT, kind, id, blob, len);
}

int store_delete(struct store *s, uint8_t kind, uint32_t id) { return stage(s, OP_DELETE, kind, id, NULL, 0); }

int store_wipe(struct store *s)
{
	int error = staged_reserve(s, 0);

	if (error)
		return error;
	s->staged->wipe = true;
	s->staged->used = 0;
	return 0;
}

int store_commit(struct store *s, const struct store_meta *meta, uint64_t cookie)
{
	int error = staged_reserve(s, 0);
	struct batch *b;

	if (error)
		return error;
	b = s->staged;
	s->staged = NULL;
	b->meta = *meta;
	b->cookie = cookie;
	pthread_mutex_lock(&s->mutex);
	*s->last = b;
	s->last = &b->next;
	s->status.queued_commits++;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->mutex);
	return 0;
}

void store_status(struct store *s, struct store_status *out)
{
	pthread_mutex_lock(&s->mutex);
	*out = s->status;
	pthread_mutex_unlock(&s->mutex);
}

int store_backup(struct store *s, const char *path, void (*done)(void *ctx, int error, const char *text), void *ctx)
{
	struct stat st;
	int error = 0;

	if (strlen(path) >= sizeof(s->backup.path))
		return -ENAMETOOLONG;
	if (!lstat(path, &st))
		return -EEXIST;
	pthread_mutex_lock(&s->mutex);
	if (s->backup.state != BACKUP_NONE) {
		error = -EBUSY;
	} else {
		text_copy(s->backup.path, sizeof(s->backup.path), path);
		s->backup.done = done;
		s->backup.ctx = ctx;
		s->backup.state = BACKUP_ASKED;
		pthread_cond_signal(&s->wake);
	}
	pthread_mutex_unlock(&s->mutex);
	return error;
}
