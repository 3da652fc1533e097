/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Answers that are kept until the session has them. An entry is in a hash by (session, request) and in its session's list, in
 * rising numbers, so that a mark that rises takes entries from the front.
 */
#include "csvfs/core/request_log.h"

#include <errno.h>
#include <string.h>

#include "csvfs/core/queue.h"

#define LINUX_O_TRUNC 01000u /* x86-64, as on the wire */

struct entry {
	struct queue hash, of_session; /* a free one: of_session in the free list */
	uint64_t request;
	uint32_t session;
	uint16_t len; /* 0: in progress */
	uint8_t answer[REQUEST_ANSWER_MAX];
};

struct of_session {
	struct queue entries;
	uint64_t mark;
	uint32_t n;
};

struct request_log {
	struct queue free;
	struct of_session sessions[VOL_SESSION_MAX];
	uint32_t n_buckets; /* power of two */
	struct queue *buckets;
	struct entry *entries;
};

enum request_class request_class(const struct vol_message *m)
{
	switch (m->type) {
	case VOL_CREATE:
	case VOL_MKNOD:
	case VOL_SYMLINK:
	case VOL_LINK:
	case VOL_UNLINK:
	case VOL_RENAME: return REQUEST_INTENT;
	case VOL_WRITE: return m->write.append ? REQUEST_INTENT : REQUEST_MEMORY;
	case VOL_OPEN: return m->open.flags & LINUX_O_TRUNC ? REQUEST_MEMORY : REQUEST_REPEAT;
	case VOL_SETATTR:
	case VOL_SETXATTR:
	case VOL_TOUCH:
	case VOL_FALLOCATE:
	case VOL_COPY: return REQUEST_MEMORY;
	default: return REQUEST_REPEAT;
	}
}

/* --- memory --- */

static size_t aligned(size_t n)
{
	return (n + _Alignof(max_align_t) - 1) / _Alignof(max_align_t) * _Alignof(max_align_t);
}

static uint32_t buckets_of(uint32_t entries)
{
	uint32_t n = 16;

	while (n < entries && n < 1u << 30)
		n *= 2;
	return n;
}

size_t request_log_size(uint32_t entries)
{
	return aligned(sizeof(struct request_log)) + aligned(sizeof(struct entry) * (size_t)entries) +
	       sizeof(struct queue) * (size_t)buckets_of(entries);
}

struct request_log *request_log_init(void *memory, uint32_t entries)
{
	struct request_log *l = memory;
	uint8_t *at = (uint8_t *)memory + aligned(sizeof(*l));

	memset(l, 0, sizeof(*l));
	l->entries = (void *)at;
	l->buckets = (void *)(at + aligned(sizeof(struct entry) * (size_t)entries));
	l->n_buckets = buckets_of(entries);
	queue_init(&l->free);
	for (uint32_t i = 0; i < l->n_buckets; i++)
		queue_init(&l->buckets[i]);
	for (uint32_t i = 0; i < entries; i++) {
		queue_init(&l->entries[i].hash);
		queue_add(&l->free, &l->entries[i].of_session);
	}
	for (uint32_t i = 0; i < VOL_SESSION_MAX; i++)
		queue_init(&l->sessions[i].entries);
	return l;
}

/* --- entries --- */

static struct queue *bucket(struct request_log *l, uint32_t session, uint64_t request)
{
	uint64_t h = (request * VOL_SESSION_MAX + session) * 0x9e3779b97f4a7c15u;

	return &l->buckets[(h >> 32) & (l->n_buckets - 1)];
}

static struct entry *find(struct request_log *l, uint32_t session, uint64_t request)
{
	QUEUE_FOR(bucket(l, session, request), struct entry, hash, e)
		if (e->session == session && e->request == request)
			return e;
	return NULL;
}

static void forget(struct request_log *l, struct entry *e)
{
	l->sessions[e->session].n--;
	queue_remove(&e->hash);
	queue_remove(&e->of_session);
	queue_add(&l->free, &e->of_session);
}

/* Numbers mostly rise: the place is looked for from the end. */
static void insert(struct request_log *l, struct entry *e)
{
	struct of_session *s = &l->sessions[e->session];
	struct queue *after = s->entries.prev;

	while (after != &s->entries && CONTAINER_OF(after, struct entry, of_session)->request > e->request)
		after = after->prev;
	queue_add(after->next, &e->of_session);
	queue_add(bucket(l, e->session, e->request), &e->hash);
	s->n++;
}

static enum request_state again(const struct entry *e, struct vol_message *ret)
{
	size_t body;

	if (!e->len)
		return REQUEST_IN_PROGRESS;
	if (vol_decode_header(e->answer, ret, &body) != FRAME_OK ||
	    vol_decode_body(e->answer + VOL_HEADER_SIZE, body, ret) != FRAME_OK)
		return REQUEST_IN_PROGRESS; /* cannot be: it was encoded here; silence rather than a wrong answer */
	return REQUEST_ANSWERED;
}

enum request_state request_log_begin(struct request_log *l, uint32_t session, uint64_t request, struct vol_message *ret)
{
	struct of_session *s;
	struct entry *e;

	if (session >= VOL_SESSION_MAX)
		return REQUEST_FULL;
	s = &l->sessions[session];
	if (request < s->mark)
		return REQUEST_OLD;
	e = find(l, session, request);
	if (e)
		return again(e, ret);
	e = QUEUE_FIRST(&l->free, struct entry, of_session);
	if (!e || s->n >= REQUEST_LOG_SESSION_MAX)
		return REQUEST_FULL;
	queue_remove(&e->of_session);
	e->session = session;
	e->request = request;
	e->len = 0;
	insert(l, e);
	return REQUEST_NEW;
}

int request_log_answer(struct request_log *l, uint32_t session, uint64_t request, const struct vol_message *answer)
{
	struct entry *e = session < VOL_SESSION_MAX ? find(l, session, request) : NULL;
	uint8_t encoded[REQUEST_ANSWER_MAX];
	int len;

	if (!e)
		return -ENOENT;
	len = vol_encode(answer, encoded, sizeof(encoded), false);
	if (len < 0)
		return len;
	memcpy(e->answer, encoded, (size_t)len);
	e->len = (uint16_t)len;
	return 0;
}

void request_log_answered(struct request_log *l, uint32_t session, uint64_t answered)
{
	struct of_session *s;

	if (session >= VOL_SESSION_MAX)
		return;
	s = &l->sessions[session];
	if (answered <= s->mark)
		return;
	s->mark = answered;
	QUEUE_FOR(&s->entries, struct entry, of_session, e) {
		if (e->request >= answered)
			return;
		forget(l, e);
	}
}

uint64_t request_log_mark(const struct request_log *l, uint32_t session)
{
	return session < VOL_SESSION_MAX ? l->sessions[session].mark : 0;
}

void request_log_session_gone(struct request_log *l, uint32_t session)
{
	if (session >= VOL_SESSION_MAX)
		return;
	QUEUE_FOR(&l->sessions[session].entries, struct entry, of_session, e)
		forget(l, e);
	l->sessions[session].mark = 0;
}

uint32_t request_log_count(const struct request_log *l, uint32_t session)
{
	return session < VOL_SESSION_MAX ? l->sessions[session].n : 0;
}
