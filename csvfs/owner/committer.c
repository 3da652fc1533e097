/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/owner/committer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "csvfs/owner/owner.h"

#define UNFLUSHED_MAX (INTENT_CARRY / 2)

_Static_assert(INTENT_BATCH_MAX <= UNFLUSHED_MAX, "one batch of pages can wait for a flush");

/* --- batches; the lock of each is held --- */

static void batches_init(struct batches *b)
{
	*b = (struct batches){ 0 };
	for (int i = 0; i < 2; i++)
		pthread_cond_init(&b->over[i], NULL);
}

static void batches_done(struct batches *b)
{
	for (int i = 0; i < 2; i++)
		pthread_cond_destroy(&b->over[i]);
}

/* Number of the batch that is closed by this, and is the caller's to do. */
static uint64_t batch_begin(struct batches *b)
{
	b->under_way = true;
	return b->gathering++;
}

/* One of those that have gathered is to go on, when nobody is at it. */
static void batch_next(struct batches *b)
{
	if (!b->under_way)
		pthread_cond_signal(&b->over[b->gathering & 1]);
}

static void batch_end(struct batches *b, uint64_t number)
{
	b->ended = number + 1;
	b->under_way = false;
	pthread_cond_broadcast(&b->over[number & 1]);
	batch_next(b);
}

/* --- the journal --- */

/* What was on the device before a flush of it began. */
static void pages_flushed(struct committer *c, uint64_t pages)
{
	uint64_t before = atomic_load(&c->pages_flushed);

	while (before < pages && !atomic_compare_exchange_weak(&c->pages_flushed, &before, pages))
		;
}

/*
 * The journal up to now, and nothing else: syncfs(2) also writes to their places, and waits for, all the blocks that
 * earlier transactions have changed. A change of an inode of ours belongs to the transaction that runs; committing that
 * one commits what was done before.
 */
static int commit_journal(struct owner *o)
{
	bool frozen;

	pthread_mutex_lock(&o->lock);
	frozen = o->frozen;
	pthread_mutex_unlock(&o->lock);
	if (frozen) /* a change would wait for the thaw; of what was under way the freeze has made all durable */
		return syncfs(o->mount.root_fd) ? -errno : 0;
	return futimens(o->files.hidden_fd, NULL) || fsync(o->files.hidden_fd) ? -errno : 0;
}

/* c->lock is held, and let go for the disk. */
static void commit_batch(struct committer *c)
{
	uint64_t number = batch_begin(&c->commits), target = c->asked, pages;
	int ret;

	pthread_mutex_unlock(&c->lock);
	pages = atomic_load(&c->pages_written);
	ret = commit_journal(c->owner);
	if (ret)
		owner_fence(c->owner, "the journal cannot be written", ret);
	pages_flushed(c, pages);
	pthread_mutex_lock(&c->lock);
	c->committed = target;
	batch_end(&c->commits, number);
}

void commit_wait(struct committer *c)
{
	uint64_t mine, batch;

	pthread_mutex_lock(&c->lock);
	mine = ++c->asked;
	batch = c->commits.gathering;
	while (c->committed < mine) {
		if (c->commits.under_way)
			pthread_cond_wait(&c->commits.over[batch & 1], &c->lock);
		else
			commit_batch(c);
	}
	batch_next(&c->commits);
	pthread_mutex_unlock(&c->lock);
}

/* --- intents; owner.lock is held --- */

/* The next pages of the ring, as far as they are neighbours on the disk. */
static uint32_t fill_pages(struct committer *c, uint32_t *ret_first, uint64_t *ret_last)
{
	uint32_t n = 0, place;

	while (n < INTENT_BATCH_MAX &&
	       intent_fill(c->owner->intents, c->pages + (size_t)n * TRAILER_PAGE, &place, ret_last)) {
		if (!n++)
			*ret_first = place;
		if (place + 1 == TRAILER_INTENT_PAGES)
			break;
	}
	return n;
}

static int put_pages(struct committer *c, uint32_t first, uint32_t n)
{
	const struct trailer *t = &c->owner->mount.trailer;
	uint64_t before = atomic_load(&c->pages_written);
	int ret = 0;

	pthread_rwlock_rdlock(&c->owner->trailer_lock);
	if (before + n - atomic_load(&c->pages_flushed) > UNFLUSHED_MAX) {
		ret = device_flush(t->device);
		pages_flushed(c, before);
	}
	if (!ret)
		ret = trailer_write_pages(t, first, n, c->pages);
	pthread_rwlock_unlock(&c->owner->trailer_lock);
	atomic_store(&c->pages_written, before + n);
	return ret;
}

/* owner.lock is let go for the disk. */
static void intent_batch(struct committer *c)
{
	struct owner *o = c->owner;
	uint64_t number = batch_begin(&c->intents), last = 0;
	uint32_t first = 0, n = fill_pages(c, &first, &last);
	int ret;

	pthread_mutex_unlock(&o->lock);
	ret = n ? put_pages(c, first, n) : 0;
	if (ret)
		owner_fence(o, "intents cannot be written", ret);
	pthread_mutex_lock(&o->lock);
	if (n)
		intent_flushed(o->intents, last);
	batch_end(&c->intents, number);
}

void intent_wait(struct committer *c, uint64_t session, uint64_t request)
{
	struct owner *o = c->owner;
	uint64_t batch = c->intents.gathering;

	while (!intent_durable(o->intents, session, request)) {
		if (c->intents.under_way)
			pthread_cond_wait(&c->intents.over[batch & 1], &o->lock);
		else
			intent_batch(c);
		if (batch < c->intents.ended) /* more had gathered than goes into one write */
			batch = c->intents.gathering;
	}
	batch_next(&c->intents);
}

int committer_start(struct committer *c, struct owner *o)
{
	memset(c, 0, sizeof(*c));
	c->owner = o;
	c->pages = device_buffer((size_t)INTENT_BATCH_MAX * TRAILER_PAGE);
	pthread_mutex_init(&c->lock, NULL);
	batches_init(&c->commits);
	batches_init(&c->intents);
	return c->pages ? 0 : -ENOMEM;
}

void committer_stop(struct committer *c)
{
	if (!c->owner)
		return;
	free(c->pages);
	batches_done(&c->commits);
	batches_done(&c->intents);
	pthread_mutex_destroy(&c->lock);
	c->owner = NULL;
}
