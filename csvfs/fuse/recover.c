/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Recalls, and what a new owner must be told. */
#include <errno.h>
#include <stdlib.h>

#include "csvfs/fuse/csvfs.h"

struct recall_note {
	struct io_recall recall;
	uint64_t generation, request, grant, offset, length;
	uint32_t what;
};

void recalls_send(struct inode *i)
{
	struct io_recall *r;

	while ((r = io_ready(&i->drain))) {
		struct recall_note *n = CONTAINER_OF(r, struct recall_note, recall);
		bool dirty = i->dirty;
		int64_t mtime_ns = i->mtime_ns;

		i->dirty = false;
		pthread_mutex_unlock(&i->lock);
		if (session_recalled(n->generation, r->number, dirty, mtime_ns) && dirty) {
			pthread_mutex_lock(&i->lock);
			i->dirty = true; /* it did not hear of it: TOUCH tells */
			if (mtime_ns > i->mtime_ns)
				i->mtime_ns = mtime_ns;
		} else {
			pthread_mutex_lock(&i->lock);
		}
		free(n);
	}
	pthread_cond_broadcast(&i->changed);
}

/* Names and attributes are not kept: nothing to give up. inode.lock is held. */
static void recall_do(struct inode *i, struct recall_note *n)
{
	extent_map_recall(&i->map, n->grant, n->what, n->offset, n->length);
	/* A change of the size takes back everything around and behind it; what lies before the end says nothing of it. */
	if (n->what & VOL_RECALL_EXTENTS) {
		if (n->offset < i->end && n->length >= i->end - n->offset)
			i->end = n->offset;
		i->end_known = false;
	}
	i->seq++;
	io_recall_begin(&i->drain, &n->recall, n->request, n->what, n->offset, n->length);
	recalls_send(i);
}

void recalls_go_on(struct inode *i)
{
	struct recall_note *n = pages_deferred(i);

	if (n)
		recall_do(i, n);
}

void recall_received(const struct vol_message *m, uint64_t generation)
{
	const struct vol_recall *q = &m->recall;
	struct inode *i = inode_find(&q->file);
	struct recall_note *n;
	bool deferred;

	atomic_fetch_add(&csvfs.counters.recalls, 1);
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
	deferred = pages_before_recall(i, n, q->what);
	if (!deferred)
		recall_do(i, n);
	pthread_mutex_unlock(&i->lock);
	if (!deferred)
		inode_put(i, 1);
}

/* --- an owner that does not know us any more --- */

void recover_lost(void)
{
	inodes_each(inode_drop_leases);
	inodes_each(locks_lost);
}

/* --- a new owner --- */

static int reopen(const struct handle *h)
{
	struct call c;
	int error;

	call_init(&c, VOL_OPEN);
	c.kind = PENDING_URGENT;
	c.recovery = true;
	c.q.open.file = h->fid;
	c.q.open.flags = h->flags & ~(uint32_t)01000; /* O_TRUNC: has been done */
	c.q.open.handle = h->number;
	c.q.open.reclaim = 1;
	error = session_ask(&c);
	call_done(&c);
	return error;
}

/* One handle after the other, in the list as it is then; a handle that ends meanwhile needs no reclaim. */
static int reopen_all(void)
{
	uint64_t done = 0;
	int error = 0;

	while (!error) {
		struct handle copy;
		bool found = false;

		pthread_mutex_lock(&csvfs.table);
		QUEUE_FOR(&csvfs.handles, struct handle, all, h)
			if (!found && h->number > done) {
				copy.number = h->number;
				copy.fid = h->fid;
				copy.flags = h->flags;
				atomic_init(&copy.open, atomic_load(&h->open));
				found = true;
			}
		pthread_mutex_unlock(&csvfs.table);
		if (!found)
			break;
		done = copy.number;
		if (copy.open)
			error = reopen(&copy);
		if (error && error != -ECONNRESET)
			error = 0; /* its requests get the owner's error */
	}
	return error;
}

static int locks_error;

static void reclaim_locks(struct inode *i)
{
	if (!locks_error)
		locks_error = locks_reclaim(i);
}

/*
 * Leases are given up instead of reclaimed, and asked for again on demand. No lease of the old owner comes in afterwards:
 * its number of ownership is looked at. So when this returns nothing of this node writes by extents of the old owner.
 */
int recover_session(void)
{
	int error;

	inodes_each(inode_drop_leases);
	error = reopen_all();
	if (error)
		return error;
	locks_error = 0;
	inodes_each(reclaim_locks);
	return locks_error;
}
