/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which operation answers which question. */
#include <errno.h>

#include "csvfs/owner/owner.h"

static int do_ready(struct request *r)
{
	pthread_mutex_lock(&r->owner->lock);
	session_ready(r->owner, r->session);
	pthread_mutex_unlock(&r->owner->lock);
	return 0;
}

static int do_ping(struct request *r)
{
	(void)r;
	return 0;
}

static int do_bye(struct request *r)
{
	session_end(r->owner, r->session, r);
	link_send(r->conn->link, &r->answer); /* by the connection it came by, which is dead for everything else */
	link_shutdown(r->conn->link);
	return NO_ANSWER;
}

static int run(struct request *r)
{
	switch (question(r)->type) {
	case VOL_READY:
		return do_ready(r);
	case VOL_PING:
		return do_ping(r);
	case VOL_BYE:
		return do_bye(r);
	case VOL_LOOKUP:
		return do_lookup(r);
	case VOL_CREATE:
		return do_create(r);
	case VOL_MKNOD:
	case VOL_SYMLINK:
	case VOL_LINK:
		return do_make(r);
	case VOL_UNLINK:
		return do_unlink(r);
	case VOL_RENAME:
		return do_rename(r);
	case VOL_READLINK:
		return do_readlink(r);
	case VOL_READDIR:
		return do_readdir(r);
	case VOL_GETATTR:
		return do_getattr(r);
	case VOL_SETATTR:
		return do_setattr(r);
	case VOL_TOUCH:
		return do_touch(r);
	case VOL_STATFS:
		return do_statfs(r);
	case VOL_GETXATTR:
		return do_getxattr(r);
	case VOL_SETXATTR:
		return do_setxattr(r);
	case VOL_OPEN:
		return do_open(r);
	case VOL_RELEASE:
		return do_release(r);
	case VOL_READ:
		return do_read(r);
	case VOL_WRITE:
		return do_write(r);
	case VOL_FSYNC:
		return do_fsync(r);
	case VOL_FALLOCATE:
		return do_fallocate(r);
	case VOL_SEEK:
		return do_seek(r);
	case VOL_COPY:
		return do_copy(r);
	case VOL_LEASE:
		return do_lease(r);
	case VOL_GIVE_BACK:
		return do_give_back(r);
	case VOL_LOCK:
		return do_lock(r);
	case VOL_CANCEL:
		return do_cancel(r);
	default:
		return -EOPNOTSUPP;
	}
}

int request_do(struct request *r)
{
	return owner_check(r->owner, run(r));
}

int answer_entry(struct request *r, const struct file *file)
{
	struct vol_entry *e = &r->answer.entry;

	e->file = file->fid;
	e->cache |= lend_attr(r, &file->fid);
	return files_stat(file, &e->attr);
}
