/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pages of a file in this kernel's cache: of mappings, and of splice(2). The kernel keeps them the same for all of this node: it
 * writes them back before, and drops them after, a direct read or write of the same bytes. Between nodes:
 *
 *   - While this node has the sole right of the file nobody else has read or written it. Whoever wants to takes that right back
 *     first, and the recall waits here until the pages are written back and dropped. That says nothing of pages from before.
 *   - Otherwise pages are written back before a lock of the file is given up and dropped when one was got (the kernel does so at
 *     open and mmap, and writes back at msync, fsync, munmap and close); and dropped within two seconds when the file has changed.
 *
 * To drop pages the kernel waits for reads and writes of them, which other threads serve. So a recall is not made to wait when
 * that could wait for the recall: when pages are being dropped for something else already, when it is for an operation of this
 * session (it leaves the sole right: the kernel may hold what the pages need), when this session waits for the owner with a
 * range of the file locked; nor ever longer than DEFER_MS. A page that comes too late is written as if it had been changed then;
 * behind the end it is lost.
 */
#include <errno.h>

#include "csvfs/fuse/csvfs.h"

#define DEFER_MS 2000
#define STACK (256u << 10)

void pages_used(struct inode *i)
{
	pthread_mutex_lock(&i->lock);
	i->pages = true;
	pthread_mutex_unlock(&i->lock);
}

bool pages_shared(struct inode *i)
{
	bool ret;

	pthread_mutex_lock(&i->lock);
	ret = i->dropping || (i->pages && (!i->map.sole || i->pages_old)); /* dropping: not dropped yet, nor written back */
	pthread_mutex_unlock(&i->lock);
	return ret;
}

void pages_sole(struct inode *i) { i->pages_old = i->pages; }

/* With the inode's lock, let go for it; i->dropping counts it. */
static void drop(struct inode *i)
{
	int error;

	i->pages = i->pages_old = false;
	pthread_mutex_unlock(&i->lock);
	error = fuse_lowlevel_notify_inval_inode(csvfs.fuse, ino_of(i), 0, 0);
	pthread_mutex_lock(&i->lock);
	/* EBUSY: written to again meanwhile. */
	if (error && error != -ENOENT)
		i->pages = i->pages_old = true;
}

void pages_drop(struct inode *i)
{
	pthread_mutex_lock(&i->lock);
	i->dropping++;
	drop(i);
	i->dropping--;
	pthread_mutex_unlock(&i->lock);
}

/* --- recalls that wait for it --- */

static void *recalls_main(void *data)
{
	struct inode *i = data;

	pthread_mutex_lock(&i->lock);
	drop(i);
	i->dropping--;
	recalls_go_on(i);
	pthread_mutex_unlock(&i->lock);
	inode_put(i, 1);
	return NULL;
}

/* inode.lock is held. */
static void defer(struct inode *i, struct recall_note *n)
{
	if (!i->deferred) {
		i->deferred_ms = now_ms();
		atomic_fetch_add(&csvfs.deferred, 1);
	}
	n->next = i->deferred;
	i->deferred = n;
}

enum pages_verdict pages_before_recall(struct inode *i, struct recall_note *n)
{
	pthread_attr_t attr;
	pthread_t thread;
	int error;

	if (!(n->what & VOL_RECALL_SOLE) || i->at_owner)
		return PAGES_NOTHING;
	if (i->deferred) { /* two others want it: neither must read before the pages are written */
		defer(i, n);
		return PAGES_WITH_IT;
	}
	if (!i->pages || i->dropping)
		return PAGES_NOTHING;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK);
	error = pthread_create(&thread, &attr, recalls_main, i); /* waits for the inode's lock */
	pthread_attr_destroy(&attr);
	if (error)
		return PAGES_NOTHING;
	i->dropping++;
	defer(i, n);
	return PAGES_BEGUN;
}

struct recall_note *pages_deferred(struct inode *i)
{
	struct recall_note *list = i->deferred;

	if (list)
		atomic_fetch_sub(&csvfs.deferred, 1);
	i->deferred = NULL;
	return list;
}

static void go_on_when_late(struct inode *i)
{
	pthread_mutex_lock(&i->lock);
	if (i->deferred && now_ms() - i->deferred_ms >= DEFER_MS)
		recalls_go_on(i);
	pthread_mutex_unlock(&i->lock);
}

void pages_tick(void)
{
	if (atomic_load(&csvfs.deferred))
		inodes_each(go_on_when_late);
}

/* --- files that others use too --- */

static bool attr_now(struct inode *i, struct vol_attr *ret)
{
	struct call c;
	bool known = caching_attr(&i->fid, ret);

	if (known)
		return true;
	call_init(&c, VOL_GETATTR);
	c.q.getattr.file = i->fid;
	known = !session_ask(&c);
	*ret = c.answer.m.entry.attr;
	call_done(&c);
	return known;
}

/* True: since it was looked at last. */
static bool has_changed(struct inode *i)
{
	struct vol_attr a;
	bool ret;

	if (!attr_now(i, &a))
		return true;
	pthread_mutex_lock(&i->lock);
	ret = a.mtime_ns != i->pages_mtime_ns || a.ctime_ns != i->pages_ctime_ns || a.size != i->pages_size;
	i->pages_mtime_ns = a.mtime_ns;
	i->pages_ctime_ns = a.ctime_ns;
	i->pages_size = a.size;
	pthread_mutex_unlock(&i->lock);
	return ret;
}

void pages_refresh(struct inode *i)
{
	if (pages_shared(i) && has_changed(i))
		pages_drop(i);
}
