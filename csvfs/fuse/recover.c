/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Recalls, and what a new owner must be told. */
#include <errno.h>
#include <stdlib.h>

#include "csvfs/fuse/csvfs.h"

void recalls_send(struct inode *i)
{
	struct io_recall *r;

	while ((r = io_ready(&i->drain))) {
		struct recall_note *n = CONTAINER_OF(r, struct recall_note, recall);
		bool dirty = i->dirty;
		int64_t mtime_ns = i->mtime_ns;
		int error;

		i->dirty = false;
		i->touching += dirty;
		i->told_later |= dirty;
		pthread_mutex_unlock(&i->lock);
		error = session_recalled(n->generation, r->number, dirty, mtime_ns);
		if (dirty)
			caching_changed(&i->fid);
		pthread_mutex_lock(&i->lock);
		i->touching -= dirty; /* `changed`: below */
		if (error && dirty) {
			i->dirty = true; /* it did not hear of it: TOUCH tells */
			if (mtime_ns > i->mtime_ns)
				i->mtime_ns = mtime_ns;
		}
		free(n);
	}
	pthread_cond_broadcast(&i->changed);
}

/* inode.lock is held. */
static void recall_do(struct inode *i, struct recall_note *n)
{
	extent_map_recall(&i->map, n->grant, n->what, n->offset, n->length);
	/* A change of the size takes back everything around and behind it; what lies before the end says nothing of it. */
	if (n->what & VOL_RECALL_EXTENTS) {
		if (n->offset < i->end && n->length >= i->end - n->offset)
			i->end = n->offset;
		i->end_known = false;
	}
	if (n->what & (VOL_RECALL_EXTENTS | VOL_RECALL_SOLE))
		i->seq++;
	io_recall_begin(&i->drain, &n->recall, n->request, n->what, n->offset, n->length);
	recalls_send(i);
}

void recalls_go_on(struct inode *i)
{
	struct recall_note *n = pages_deferred(i), *next;

	for (; n; n = next) {
		next = n->next;
		recall_do(i, n);
	}
}

void recall_received(const struct vol_message *m, uint64_t generation)
{
	const struct vol_recall *q = &m->recall;
	struct inode *i = inode_find(&q->file);
	struct recall_note *n;
	enum pages_verdict pages;

	atomic_fetch_add(&csvfs.counters.recalls, 1);
	if (q->what & (VOL_RECALL_ATTR | VOL_RECALL_NAME))
		caching_recalled(q);
	if (!i) {
		session_recalled(generation, m->request, false, 0);
		return;
	}
	n = malloc(sizeof(*n));
	if (!n)
		abort(); /* a recall that is not answered would stop the volume for all; this way the node is seen to be gone */
	*n = (struct recall_note){ .generation = generation, .request = m->request, .grant = q->grant, .offset = q->offset,
				   .length = q->length, .what = q->what };
	pthread_mutex_lock(&i->lock);
	pages = pages_before_recall(i, n);
	if (pages == PAGES_NOTHING)
		recall_do(i, n);
	pthread_mutex_unlock(&i->lock);
	if (pages != PAGES_BEGUN)
		inode_put(i, 1);
}

/* --- an owner that does not know us any more --- */

void recover_lost(void)
{
	inodes_each(inode_drop_leases);
	inodes_each(locks_lost);
}

/* --- a new owner --- */

/*
 * Reclaims under way, the oldest first: the thread of the session alone. Their order does not matter to the owner: each names its
 * own open file, and locks of one node are not in each other's way. Those of locks name open files that the owner must have by
 * then, so one kind is over (reclaims_end()) before the next begins.
 */
static struct {
	struct call ring[PENDING_RECLAIMS_MAX];
	uint32_t oldest, n;
	int error; /* 0, or why there is nothing more to ask of this owner */
} reclaims;

/* A refusal is the owner's word on that one open file or lock: those who use it get its errors. */
static void end_oldest(void)
{
	struct call *c = &reclaims.ring[reclaims.oldest];
	int error = session_end(c);

	call_done(c);
	reclaims.oldest = (reclaims.oldest + 1) % PENDING_RECLAIMS_MAX;
	reclaims.n--;
	if (error == -ECONNRESET)
		reclaims.error = error;
}

void reclaim(const struct vol_message *q)
{
	struct call *c;
	int error = -EAGAIN;

	if (reclaims.n == PENDING_RECLAIMS_MAX)
		end_oldest();
	c = &reclaims.ring[(reclaims.oldest + reclaims.n) % PENDING_RECLAIMS_MAX];
	call_init(c, q->type);
	c->q = *q;
	c->kind = PENDING_RECLAIM;
	c->recovery = true;
	while (!reclaims.error && (error = session_begin(c)) == -EAGAIN && reclaims.n)
		end_oldest();
	if (!error) {
		reclaims.n++;
		return;
	}
	call_done(c);
	if (!reclaims.error)
		reclaims.error = error;
}

/* None is under way any more, also when it has failed: the next connection begins with all of them. */
static int reclaims_end(void)
{
	while (reclaims.n)
		end_oldest();
	return reclaims.error;
}

/* The next open file. One that ends meanwhile needs no reclaim; new ones wait until this is over. */
static bool next_open(struct vol_message *ret)
{
	bool found = false;

	pthread_mutex_lock(&csvfs.table);
	while (!found && csvfs.to_reclaim != &csvfs.handles) {
		const struct handle *h = CONTAINER_OF(csvfs.to_reclaim, struct handle, all);

		csvfs.to_reclaim = h->all.next;
		found = atomic_load(&h->open);
		if (found)
			*ret = (struct vol_message){ .type = VOL_OPEN,
						     .open = { .file = h->fid, .handle = h->number, .reclaim = 1,
							       .flags = h->flags & ~(uint32_t)01000 /* O_TRUNC: done */ } };
	}
	pthread_mutex_unlock(&csvfs.table);
	return found;
}

static int reclaim_handles(void)
{
	struct vol_message q;

	pthread_mutex_lock(&csvfs.table);
	csvfs.to_reclaim = csvfs.handles.next;
	pthread_mutex_unlock(&csvfs.table);
	while (!reclaims.error && next_open(&q))
		reclaim(&q);
	return reclaims_end();
}

static void reclaim_locks(struct inode *i)
{
	if (!reclaims.error && locks_reclaim(i))
		reclaims.error = -ECONNRESET; /* no memory: again, later */
}

/*
 * Leases are given up instead of reclaimed, and asked for again on demand. No lease of the old owner comes in afterwards:
 * its number of ownership is looked at. So when this returns nothing of this node writes by extents of the old owner.
 *
 * And the owner has answered every reclaim: READY comes after it, and with the last READY the owner gives to others what nobody
 * has reclaimed.
 */
int recover_session(void)
{
	int error;

	inodes_each(inode_drop_leases);
	reclaims.error = 0;
	error = reclaim_handles();
	if (error)
		return error;
	inodes_each(reclaim_locks);
	return reclaims_end();
}
