/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Taking back what is lent: claims, and the recalls they cause. */
#include <errno.h>
#include <stdlib.h>

#include "clock.h"
#include "csvfs/owner/owner.h"

/* A recall that is not answered: its answer tells when the file was written, but not which file. */
struct recall_sent {
	struct recall_sent *next;
	uint32_t slot;
	uint64_t number;
	struct vol_fid file;
};

static void note_recall(struct owner *o, const struct grant_event *e)
{
	struct recall_sent *n;

	for (n = o->recalls; n; n = n->next)
		if (n->slot == e->session && n->number == e->number)
			return;
	n = malloc(sizeof(*n));
	if (!n)
		owner_fence(o, "no memory", -ENOMEM);
	*n = (struct recall_sent){
		.next = o->recalls, .slot = e->session, .number = e->number, .file = e->recall.file
	};
	o->recalls = n;
}

static void recall(struct owner *o, const struct grant_event *e)
{
	const struct vol_message m = { .type = VOL_RECALL, .request = e->number, .recall = e->recall };

	note_recall(o, e);
	session_post(o, o->sessions[e->session], &m);
}

void owner_pump(struct owner *o)
{
	struct grant_event e;

	while (grant_next(o->grants, clock_ms(CLOCK_MONOTONIC), &e))
		if (e.kind == GRANT_SEND_RECALL)
			recall(o, &e);
	pthread_cond_broadcast(&o->changed);
}

static bool forget_recall(struct owner *o, uint32_t slot, uint64_t number, struct vol_fid *ret)
{
	for (struct recall_sent **at = &o->recalls; *at; at = &(*at)->next) {
		struct recall_sent *n = *at;

		if (n->slot != slot || n->number != number)
			continue;
		*ret = n->file;
		*at = n->next;
		free(n);
		return true;
	}
	return false;
}

void recalls_forget(struct owner *o, uint32_t slot)
{
	struct recall_sent **at = &o->recalls, *n;

	while ((n = *at)) {
		if (n->slot == slot) {
			*at = n->next;
			free(n);
		} else {
			at = &n->next;
		}
	}
}

void recall_answered(struct owner *o, struct session *s, const struct vol_message *m)
{
	struct vol_fid fid;
	struct file *file;
	bool known;

	pthread_mutex_lock(&o->lock);
	known = forget_recall(o, s->slot, m->request, &fid);
	pthread_mutex_unlock(&o->lock);
	/* The time before whoever waits goes on: it may look at it. */
	if (known && !m->error && m->recalled.dirty && !files_get(&o->files, &fid, &file)) {
		file_touch(file, (int64_t)m->recalled.mtime_ns);
		claim_attr_later(o, file); /* this thread reads the answers to recalls: it waits for none */
		files_put(&o->files, file);
	}
	pthread_mutex_lock(&o->lock);
	if (s->state != SESSION_GONE && !grant_recalled(o->grants, s->slot, m->request))
		owner_pump(o);
	pthread_mutex_unlock(&o->lock);
}

static bool is_given_up(const struct owner *o, const struct session *s)
{
	return o->stopping || (s && s->state == SESSION_GONE);
}

/* With NULL for `deadline` as long as it takes; an absolute time of CLOCK_REALTIME. owner.lock is held. */
static int claim_wait(struct owner *o, struct session *s, const struct grant_want *wants, uint32_t n,
		      const struct timespec *deadline, uint64_t *ret_claim)
{
	bool late = false;
	int ret;

	while ((ret = is_given_up(o, s) ? NO_ANSWER
					: grant_claim(o->grants, wants, n, s ? s->slot : SESSION_NOBODY, NULL,
						      ret_claim)) == -ENOBUFS)
		pthread_cond_wait(&o->changed, &o->lock);
	if (ret)
		return ret;
	owner_pump(o);
	while (!grant_claim_ready(o->grants, *ret_claim)) {
		if (is_given_up(o, s) || late) {
			grant_end(o->grants, *ret_claim);
			owner_pump(o);
			return late ? -ETIMEDOUT : NO_ANSWER;
		}
		if (deadline)
			late = pthread_cond_timedwait(&o->changed, &o->lock, deadline) == ETIMEDOUT;
		else
			pthread_cond_wait(&o->changed, &o->lock);
	}
	return 0;
}

int claim_take(struct owner *o, struct session *s, const struct file *file, uint32_t what, uint64_t start, uint64_t end,
	       uint64_t *ret_claim)
{
	const struct grant_want want = { .file = &file->fid,
					 .what = what,
					 .offset = start,
					 .length = end == NO_END ? NO_END - start : end - start };
	int ret;

	pthread_mutex_lock(&o->lock);
	ret = claim_wait(o, s, &want, 1, NULL, ret_claim);
	pthread_mutex_unlock(&o->lock);
	return ret;
}

int claim_take_wants(struct owner *o, struct session *s, const struct grant_want *wants, uint32_t n, uint64_t *ret_claim)
{
	int ret;

	*ret_claim = 0;
	if (!n)
		return 0;
	pthread_mutex_lock(&o->lock);
	ret = claim_wait(o, s, wants, n, NULL, ret_claim);
	pthread_mutex_unlock(&o->lock);
	return ret;
}

int claim_take_all(struct owner *o, const struct vol_fid *file, uint32_t timeout_ms, uint64_t *ret_claim)
{
	const struct grant_want want = { .file = file, .what = VOL_RECALL_EXTENTS | VOL_RECALL_SOLE, .length = NO_END };
	struct timespec deadline;
	int ret;

	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += timeout_ms / MS_PER_SECOND + 1;
	pthread_mutex_lock(&o->lock);
	ret = claim_wait(o, NULL, &want, 1, &deadline, ret_claim);
	pthread_mutex_unlock(&o->lock);
	return ret;
}

void claim_end(struct owner *o, uint64_t claim)
{
	if (!claim)
		return;
	pthread_mutex_lock(&o->lock);
	grant_end(o->grants, claim);
	owner_pump(o);
	pthread_mutex_unlock(&o->lock);
}

int claim_sole(struct owner *o, struct session *s, const struct file *file)
{
	uint64_t claim;
	bool other;
	int ret;

	pthread_mutex_lock(&o->lock);
	other = grant_other_sole(o->grants, &file->fid, s->slot);
	pthread_mutex_unlock(&o->lock);
	if (!other)
		return 0;
	ret = claim_take(o, s, file, VOL_RECALL_SOLE, 0, NO_END, &claim);
	if (!ret)
		claim_end(o, claim);
	return ret;
}

/* --- taking back later --- */

static void take_attr_back(struct owner *o, struct file *file)
{
	uint64_t claim;
	int ret = claim_take(o, NULL, file, VOL_RECALL_ATTR, 0, 0, &claim);

	/* Who has changed them since has found this claim alive, or begins another. */
	pthread_mutex_lock(&o->lock);
	file->attr_later = false;
	pthread_mutex_unlock(&o->lock);
	if (!ret)
		claim_end(o, claim);
	files_put(&o->files, file);
}

void claim_attr_later(struct owner *o, struct file *file)
{
	pthread_mutex_lock(&o->lock);
	if (!file->attr_later && !o->stopping && grant_attr_is_lent(o->grants, &file->fid)) {
		files_hold(&o->files, file);
		file->attr_later = true;
		if (job_later(o, take_attr_back, file))
			owner_fence(o, "no memory", -ENOMEM);
	}
	pthread_mutex_unlock(&o->lock);
}

/* --- room for what is cached --- */

#define TAKE_BACK_FILES 1024u /* at a time */

/* One after the other in the order of the table, which is as good as any: what is used is soon lent again. */
static void make_room(struct owner *o, struct file *unused)
{
	(void)unused;
	for (uint32_t n = 0; n < TAKE_BACK_FILES; n++) {
		struct vol_fid fid;
		const struct grant_want want = { .file = &fid, .what = VOL_RECALL_ATTR | VOL_RECALL_NAME };
		uint64_t claim;
		bool more;

		pthread_mutex_lock(&o->lock);
		more = grant_cached_next(o->grants, &o->take_back_at, &fid);
		if (!more)
			o->take_back_at = 0;
		pthread_mutex_unlock(&o->lock);
		if (!more || claim_take_wants(o, NULL, &want, 1, &claim))
			break;
		claim_end(o, claim);
	}
	pthread_mutex_lock(&o->lock);
	o->taking_back = false;
	pthread_mutex_unlock(&o->lock);
}

/* owner.lock is held. */
static void look_for_room(struct owner *o)
{
	if (o->taking_back || o->stopping || o->grace || !grant_cache_is_full(o->grants))
		return;
	o->taking_back = !job_later(o, make_room, NULL); /* without memory nothing is lent */
}

uint8_t lend_attr(struct request *r, const struct vol_fid *file)
{
	struct owner *o = r->owner;
	bool lent;

	pthread_mutex_lock(&o->lock);
	lent = r->session->state != SESSION_GONE && grant_attr(o->grants, file, r->session->slot);
	look_for_room(o);
	pthread_mutex_unlock(&o->lock);
	return lent ? VOL_CACHE_ATTR : 0;
}

static bool lend(struct request *r, const struct vol_fid *directory, const char *name)
{
	struct owner *o = r->owner;
	bool lent;

	pthread_mutex_lock(&o->lock);
	lent = r->session->state != SESSION_GONE && grant_name(o->grants, directory, name, r->session->slot);
	pthread_mutex_unlock(&o->lock);
	return lent;
}

uint8_t lend_name(struct request *r, const struct vol_fid *directory, const char *name)
{
	return lend(r, directory, name) ? VOL_CACHE_NAME : 0;
}

uint8_t lend_whole(struct request *r, const struct vol_fid *directory)
{
	return lend(r, directory, "") ? VOL_CACHE_WHOLE : 0;
}
