/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Blocks of a file: allocating, freeing, moving them, and where data are. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <time.h>
#include <unistd.h>

#include "csvfs/owner/owner.h"

#define ROOM_WAIT_MS 300 /* a close that was called before reaches us within it; who waits for nothing loses no more */

bool room_comes(struct owner *o, int error)
{
	struct timespec deadline;
	uint64_t before;
	bool more;

	if (error != -ENOSPC && error != -EDQUOT)
		return false;
	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_nsec += ROOM_WAIT_MS * 1000000L;
	if (deadline.tv_nsec >= 1000000000L) {
		deadline.tv_sec++;
		deadline.tv_nsec -= 1000000000L;
	}
	pthread_mutex_lock(&o->lock);
	before = o->orphans_gone;
	while (o->orphans && !o->stopping)
		if (pthread_cond_timedwait(&o->changed, &o->lock, &deadline) == ETIMEDOUT)
			break;
	more = o->orphans_gone != before;
	pthread_mutex_unlock(&o->lock);
	if (more)
		commit_wait(&o->committer); /* what a transaction frees can be used when it is committed */
	return more;
}

static bool is_known(uint32_t mode)
{
	switch (mode) {
	case 0:
	case FALLOC_FL_KEEP_SIZE:
	case FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE:
	case FALLOC_FL_ZERO_RANGE:
	case FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE:
	case FALLOC_FL_COLLAPSE_RANGE:
	case FALLOC_FL_INSERT_RANGE:
		return true;
	default:
		return false;
	}
}

/* Everything from the first block it can touch on: where the file ends is one, as the kernel zeroes the rest of that
 * block. */
static int allocate(struct owner *o, struct session *s, struct file *file, const struct vol_fallocate *q)
{
	const uint64_t block = o->mount.block;
	int fd = files_data_fd(&o->files, file, true), ret;
	struct file_range range;
	uint64_t claim, from;
	struct vol_attr attr;
	bool again;

	if (fd < 0)
		return fd;
	do {
		again = false;
		ret = files_stat(file, &attr);
		from = (q->offset < attr.size ? q->offset : attr.size) / block * block;
		if (!ret)
			ret = claim_take(o, s, file, VOL_RECALL_EXTENTS | VOL_RECALL_SOLE | VOL_RECALL_ATTR, from, NO_END,
					 &claim);
		if (ret)
			return ret;
		files_range_lock(file, &range, from, NO_END, true);
		ret = files_stat(file, &attr);
		if (!ret && attr.size < from) {
			again = true;
		} else if (!ret) {
			do
				ret = fallocate(fd, (int)q->mode, (off_t)q->offset, (off_t)q->length) ? -errno : 0;
			while (room_comes(o, ret));
			files_mark_unsynced(file);
			if (!ret)
				ret = files_drop_pages(file, from);
		}
		files_range_unlock(file, &range);
		claim_end(o, claim);
	} while (again);
	return ret;
}

int do_fallocate(struct request *r)
{
	const struct vol_fallocate *q = &question(r)->fallocate;
	struct owner *o = r->owner;
	struct handle *h = handle_get(r, q->handle);
	int ret = -EBADF;

	if (!h)
		return ret;
	if (handle_writes(h))
		ret = !is_known(q->mode) ? -EOPNOTSUPP
		      : !q->length || q->offset > INT64_MAX || q->length > INT64_MAX - q->offset
			      ? -EINVAL
			      : allocate(o, r->session, h->file, q);
	if (!ret) {
		commit_wait(&o->committer);
		ret = answer_entry(r, h->file);
	}
	handle_put(o, h);
	return ret;
}

int do_seek(struct request *r)
{
	const struct vol_seek *q = &question(r)->seek;
	struct handle *h = handle_get(r, q->handle);
	int fd, ret = 0;
	off_t at;

	if (!h)
		return -EBADF;
	fd = files_data_fd(&r->owner->files, h->file, false);
	if (fd < 0)
		ret = fd;
	else if (q->offset > INT64_MAX || (q->whence != SEEK_DATA && q->whence != SEEK_HOLE))
		ret = q->offset > INT64_MAX ? -ENXIO : -EINVAL;
	if (!ret) {
		at = lseek(fd, (off_t)q->offset, q->whence);
		if (at < 0)
			ret = -errno;
		else
			r->answer.data.value = (uint64_t)at;
	}
	handle_put(r->owner, h);
	return ret;
}
