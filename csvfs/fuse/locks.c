/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Locks: the owner grants them; what it has granted is noted here, for the owner after it. A lock that waits has a thread of its
 * own, so that it does not take one of those that serve everybody; so has one of a file that is mapped and that others use: what
 * was changed under a lock is written back before that is given up, and what others have changed is seen under the next one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>

#include "csvfs/fuse/csvfs.h"

/* --- what is held --- */

static bool same_holder(const struct held_lock *l, const struct vol_lock *q)
{
	return l->flock == q->flock && (q->flock ? l->handle == q->handle : l->owner == q->lock_owner);
}

static struct held_lock *add(struct inode *i, struct held_lock l)
{
	struct held_lock *n = malloc(sizeof(*n));

	if (!n)
		abort(); /* a lock that is forgotten would be given to two; this way the node is seen to be gone */
	*n = l;
	n->next = i->locks;
	i->locks = n;
	return n;
}

/* The holder's locks of [start, end] go; what is left of one on both sides stays. inode.lock is held. */
static void take_out(struct inode *i, const struct vol_lock *q)
{
	struct held_lock **at = &i->locks;

	while (*at) {
		struct held_lock *l = *at;

		if (!same_holder(l, q) || l->end < q->start || l->start > q->end) {
			at = &l->next;
			continue;
		}
		*at = l->next;
		if (l->start < q->start) {
			struct held_lock left = *l;

			left.end = q->start - 1;
			add(i, left);
		}
		if (l->end > q->end) {
			struct held_lock right = *l;

			right.start = q->end + 1;
			add(i, right);
		}
		/* `at` may be the head, before which something was added. */
		free(l);
		at = &i->locks;
	}
}

static void note(struct inode *i, const struct vol_lock *q)
{
	pthread_mutex_lock(&i->lock);
	take_out(i, q);
	if (q->type != F_UNLCK)
		add(i, (struct held_lock){ .handle = q->handle, .owner = q->lock_owner, .start = q->start, .end = q->end,
					   .pid = q->pid, .type = q->type, .flock = q->flock });
	pthread_mutex_unlock(&i->lock);
}

static void lock_answered(struct call *c)
{
	if (!c->q.lock.test)
		note(c->user, &c->q.lock);
}

bool locks_released(struct inode *i, uint64_t handle)
{
	struct held_lock **at = &i->locks;
	bool any = false;

	pthread_mutex_lock(&i->lock);
	while (*at) {
		struct held_lock *l = *at;

		if (l->handle != handle) {
			at = &l->next;
			continue;
		}
		*at = l->next;
		free(l);
		any = true;
	}
	pthread_mutex_unlock(&i->lock);
	return any;
}

/* csvfs.table is held. */
static void lose(const struct held_lock *l)
{
	QUEUE_FOR(&csvfs.handles, struct handle, all, h)
		if (h->number == l->handle)
			atomic_store(&h->lost, true);
}

void locks_lost(struct inode *i)
{
	struct held_lock *list, *l;

	pthread_mutex_lock(&i->lock);
	list = i->locks;
	i->locks = NULL;
	pthread_mutex_unlock(&i->lock);
	pthread_mutex_lock(&csvfs.table);
	for (l = list; l; l = l->next)
		lose(l);
	pthread_mutex_unlock(&csvfs.table);
	while ((l = list)) {
		list = l->next;
		free(l);
	}
}

int locks_reclaim(struct inode *i)
{
	struct held_lock *copy = NULL;
	uint32_t n = 0, k = 0;

	pthread_mutex_lock(&i->lock);
	for (const struct held_lock *l = i->locks; l; l = l->next)
		n++;
	if (n)
		copy = calloc(n, sizeof(*copy));
	for (const struct held_lock *l = i->locks; copy && l; l = l->next)
		copy[k++] = *l;
	pthread_mutex_unlock(&i->lock);
	if (n && !copy)
		return -ENOMEM;
	for (k = 0; k < n; k++)
		reclaim(&(struct vol_message){ .type = VOL_LOCK,
					       .lock = { .handle = copy[k].handle, .lock_owner = copy[k].owner,
							 .flock = copy[k].flock, .reclaim = 1, .type = copy[k].type,
							 .start = copy[k].start, .end = copy[k].end, .pid = copy[k].pid } });
	free(copy);
	return 0;
}

/* --- asking --- */

struct lock_job {
	fuse_req_t req;
	struct inode *inode;
	struct call call;
	bool test;
};

static void interrupted(fuse_req_t req, void *data)
{
	struct lock_job *j = data;

	(void)req;
	session_cancel(&j->call);
}

static void reply_lock(fuse_req_t req, const struct lock_job *j, int error)
{
	const struct vol_lock_is *is = &j->call.answer.m.lock_is;
	struct flock l = { .l_type = is->type, .l_whence = SEEK_SET, .l_start = (off_t)is->start };

	if (error || !j->test) {
		fuse_reply_err(req, -error);
		return;
	}
	l.l_len = is->end >= INT64_MAX ? 0 : (off_t)(is->end - is->start + 1);
	/* A process of another node has no number here. */
	l.l_pid = is->node == csvfs.node ? (pid_t)is->pid : -1;
	fuse_reply_lock(req, &l);
}

static void run(struct lock_job *j)
{
	const struct vol_lock *q = &j->call.q.lock;
	bool wait = q->wait;
	int error;

	if (q->type == F_UNLCK && pages_shared(j->inode))
		pages_drop(j->inode);
	if (wait)
		fuse_req_interrupt_func(j->req, interrupted, j);
	error = wait && fuse_req_interrupted(j->req) ? -EINTR : session_ask(&j->call);
	if (wait)
		fuse_req_interrupt_func(j->req, NULL, NULL); /* waits for one that is running */
	if (!error && !q->test && q->type != F_UNLCK && pages_shared(j->inode))
		pages_drop(j->inode);
	reply_lock(j->req, j, error);
	call_done(&j->call);
	inode_put(j->inode, 1);
	free(j);
}

static void *run_in_thread(void *data)
{
	run(data);
	return NULL;
}

static void ask(fuse_req_t req, fuse_ino_t ino, const struct handle *h, const struct vol_lock *q)
{
	struct lock_job *j = calloc(1, sizeof(*j));
	pthread_attr_t attr;
	pthread_t thread;
	int error = j ? handle_check(h) : -ENOLCK;

	if (error) {
		free(j);
		fuse_reply_err(req, -error);
		return;
	}
	j->req = req;
	j->inode = inode_of(ino);
	inode_ref(j->inode);
	j->test = q->test;
	call_init(&j->call, VOL_LOCK);
	j->call.q.lock = *q;
	j->call.answered = lock_answered;
	j->call.user = j->inode;
	if (!q->wait && (q->test || !pages_shared(j->inode))) {
		run(j);
		return;
	}
	if (q->wait)
		j->call.kind = PENDING_WAIT;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 256 << 10);
	error = pthread_create(&thread, &attr, run_in_thread, j);
	pthread_attr_destroy(&attr);
	if (!error)
		return;
	call_done(&j->call);
	inode_put(j->inode, 1);
	free(j);
	fuse_reply_err(req, ENOLCK);
}

static struct vol_lock posix_lock(const struct fuse_file_info *fi, const struct flock *l)
{
	return (struct vol_lock){ .handle = handle_of(fi)->number, .lock_owner = fi->lock_owner, .type = (uint8_t)l->l_type,
				  .start = (uint64_t)l->l_start, .pid = (uint32_t)l->l_pid,
				  .end = l->l_len ? (uint64_t)(l->l_start + l->l_len - 1) : INT64_MAX };
}

void op_getlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *l)
{
	struct vol_lock q = posix_lock(fi, l);

	q.test = 1;
	ask(req, ino, handle_of(fi), &q);
}

void op_setlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *l, int sleep)
{
	struct vol_lock q = posix_lock(fi, l);

	q.wait = sleep && l->l_type != F_UNLCK;
	ask(req, ino, handle_of(fi), &q);
}

void op_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int op)
{
	struct vol_lock q = { .handle = handle_of(fi)->number, .lock_owner = fi->lock_owner, .flock = 1, .end = INT64_MAX,
			      .pid = (uint32_t)fuse_req_ctx(req)->pid, .type = F_UNLCK };

	if ((op & ~LOCK_NB) == LOCK_SH)
		q.type = F_RDLCK;
	else if ((op & ~LOCK_NB) == LOCK_EX)
		q.type = F_WRLCK;
	q.wait = !(op & LOCK_NB) && q.type != F_UNLCK;
	ask(req, ino, handle_of(fi), &q);
}

/* POSIX: with any close of the file all locks of the process go. */
void locks_closed(struct inode *i, const struct handle *h, uint64_t lock_owner)
{
	struct call c;
	bool any = false;

	pthread_mutex_lock(&i->lock);
	for (const struct held_lock *l = i->locks; l; l = l->next)
		any |= !l->flock && l->owner == lock_owner;
	pthread_mutex_unlock(&i->lock);
	if (!any)
		return;
	call_init(&c, VOL_LOCK);
	c.q.lock = (struct vol_lock){ .handle = h->number, .lock_owner = lock_owner, .type = F_UNLCK, .end = INT64_MAX };
	c.answered = lock_answered;
	c.user = i;
	session_ask(&c);
	call_done(&c);
}
