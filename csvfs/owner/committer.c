/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two threads that wait for the disk on behalf of everybody. A failure of either is the end of this owner: what was
 * acknowledged would not be kept.
 */
#include "csvfs/owner/committer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "csvfs/owner/owner.h"

static void *commit_main(void *data)
{
	struct committer *c = data;
	uint64_t target;

	pthread_mutex_lock(&c->lock);
	for (;;) {
		while (c->asked == c->committed && !c->stopping)
			pthread_cond_wait(&c->wanted, &c->lock);
		if (c->asked == c->committed)
			break;
		target = c->asked;
		pthread_mutex_unlock(&c->lock);
		if (syncfs(c->owner->mount.root_fd))
			owner_fence(c->owner, "the journal cannot be written", -errno);
		pthread_mutex_lock(&c->lock);
		c->committed = target;
		c->commits++;
		pthread_cond_broadcast(&c->done);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

void commit_wait(struct committer *c)
{
	uint64_t mine;

	pthread_mutex_lock(&c->lock);
	mine = ++c->asked;
	pthread_cond_signal(&c->wanted);
	while (c->committed < mine)
		pthread_cond_wait(&c->done, &c->lock);
	pthread_mutex_unlock(&c->lock);
}

/* The next pages of the ring, as far as they are neighbours on the disk. owner.lock is held. */
static uint32_t fill_pages(struct owner *o, uint8_t *pages, uint32_t *ret_first, uint64_t *ret_last)
{
	uint32_t n = 0, place;

	while (n < INTENT_BATCH_MAX && intent_fill(o->intents, pages + (size_t)n * TRAILER_PAGE, &place, ret_last)) {
		if (!n++)
			*ret_first = place;
		if (place + 1 == TRAILER_INTENT_PAGES)
			break;
	}
	return n;
}

/* owner.lock is held, and let go for the disk. */
static void write_pages(struct committer *c, uint8_t *pages)
{
	struct owner *o = c->owner;
	uint64_t last = 0;
	uint32_t n, first = 0;
	int ret;

	while ((n = fill_pages(o, pages, &first, &last))) {
		pthread_mutex_unlock(&o->lock);
		ret = trailer_write_pages(&o->mount.trailer, first, n, pages);
		if (ret)
			owner_fence(o, "intents cannot be written", ret);
		pthread_mutex_lock(&o->lock);
		intent_flushed(o->intents, last);
		pthread_cond_broadcast(&c->intent_done);
	}
}

static void *intent_main(void *data)
{
	struct committer *c = data;
	struct owner *o = c->owner;
	cleanup_free uint8_t *pages = device_buffer((size_t)INTENT_BATCH_MAX * TRAILER_PAGE);

	if (!pages)
		owner_fence(o, "no memory", -ENOMEM);
	pthread_mutex_lock(&o->lock);
	while (!c->stopping) {
		write_pages(c, pages);
		if (!c->stopping)
			pthread_cond_wait(&c->intent_wanted, &o->lock);
	}
	pthread_mutex_unlock(&o->lock);
	return NULL;
}

void intent_wait(struct committer *c, uint64_t session, uint64_t request)
{
	struct owner *o = c->owner;

	pthread_cond_signal(&c->intent_wanted);
	while (!intent_durable(o->intents, session, request))
		pthread_cond_wait(&c->intent_done, &o->lock);
}

int committer_start(struct committer *c, struct owner *o)
{
	int ret;

	memset(c, 0, sizeof(*c));
	c->owner = o;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->wanted, NULL);
	pthread_cond_init(&c->done, NULL);
	pthread_cond_init(&c->intent_wanted, NULL);
	pthread_cond_init(&c->intent_done, NULL);
	ret = pthread_create(&c->commit_thread, NULL, commit_main, c);
	if (ret)
		return -ret;
	c->commit_started = true;
	ret = pthread_create(&c->intent_thread, NULL, intent_main, c);
	c->intent_started = !ret;
	return -ret;
}

void committer_stop(struct committer *c)
{
	if (!c->commit_started)
		return;
	pthread_mutex_lock(&c->owner->lock);
	pthread_mutex_lock(&c->lock);
	c->stopping = true;
	pthread_cond_broadcast(&c->wanted);
	pthread_cond_broadcast(&c->intent_wanted);
	pthread_mutex_unlock(&c->lock);
	pthread_mutex_unlock(&c->owner->lock);
	pthread_join(c->commit_thread, NULL);
	if (c->intent_started)
		pthread_join(c->intent_thread, NULL);
	c->commit_started = c->intent_started = false;
}
