/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Operations of FUSE on a file: attributes, open files, data. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/statvfs.h>

#include "cleanup.h"
#include "csvfs/fuse/csvfs.h"
#include "text.h"

#define PAGE 4096u
#define OPEN_FOR_EXEC 040 /* the kernel's __FMODE_EXEC; no program can give it to open(2) */

static void reply_attr(fuse_req_t req, struct inode *i, struct call *c, int error)
{
	struct stat st;

	if (!error)
		stat_of(i, &c->answer.m.entry.attr, &st);
	call_done(c);
	if (error)
		fuse_reply_err(req, -error);
	else
		fuse_reply_attr(req, &st, 0);
}

/*
 * The file is no more, and somebody is still in it (a directory that is somebody's current one, or O_PATH): it has no names, and
 * is as it was last seen. The kernel then says ENOENT of its own to who wants to make something there.
 */
static int attr_of_removed(struct inode *i, struct vol_attr *ret)
{
	pthread_mutex_lock(&i->lock);
	*ret = i->attr;
	pthread_mutex_unlock(&i->lock);
	ret->nlink = 0;
	return ret->ino ? 0 : -ESTALE;
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct inode *i = inode_of(ino);
	const struct vol_fid fid = fid_of(i);
	struct vol_attr attr;
	struct stat st;
	struct call c;
	int error;

	(void)fi;
	if (caching_attr(&fid, &attr)) {
		stat_of(i, &attr, &st);
		fuse_reply_attr(req, &st, 0);
		return;
	}
	call_init(&c, VOL_GETATTR);
	c.q.getattr.file = fid;
	error = session_ask(&c);
	if (error == -ESTALE)
		error = attr_of_removed(i, &c.answer.m.entry.attr);
	reply_attr(req, i, &c, error);
}

static uint64_t ns_of(struct timespec t) { return (uint64_t)((int64_t)t.tv_sec * 1000000000 + t.tv_nsec); }

static const struct {
	int from;
	uint32_t to;
} set_bits[] = {
	{ FUSE_SET_ATTR_MODE, VOL_SET_MODE },	{ FUSE_SET_ATTR_UID, VOL_SET_UID },	{ FUSE_SET_ATTR_GID, VOL_SET_GID },
	{ FUSE_SET_ATTR_SIZE, VOL_SET_SIZE },	{ FUSE_SET_ATTR_ATIME, VOL_SET_ATIME }, { FUSE_SET_ATTR_MTIME, VOL_SET_MTIME },
};

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
	struct inode *i = inode_of(ino);
	struct vol_setattr *q;
	struct call c;
	int error;

	inode_touch_before(i); /* a time that is set now is newer than those of the writes before */
	call_init(&c, VOL_SETATTR);
	q = &c.q.setattr;
	call_cred(&q->cred, req);
	q->file = fid_of(i);
	q->handle = fi && fi->fh ? handle_of(fi)->number : 0;
	for (size_t k = 0; k < ARRAY_SIZE(set_bits); k++)
		if (to_set & set_bits[k].from)
			q->valid |= set_bits[k].to;
	if (to_set & FUSE_SET_ATTR_ATIME_NOW)
		q->valid = (q->valid & ~(uint32_t)VOL_SET_ATIME) | VOL_SET_ATIME_NOW;
	if (to_set & FUSE_SET_ATTR_MTIME_NOW)
		q->valid = (q->valid & ~(uint32_t)VOL_SET_MTIME) | VOL_SET_MTIME_NOW;
	q->mode = attr->st_mode;
	q->uid = attr->st_uid;
	q->gid = attr->st_gid;
	q->size = (uint64_t)attr->st_size;
	q->atime_ns = ns_of(attr->st_atim);
	q->mtime_ns = ns_of(attr->st_mtim);
	pthread_mutex_lock(&i->lock);
	i->needs_sync = true;
	pthread_mutex_unlock(&i->lock);
	error = q->handle ? handle_check(handle_of(fi)) : 0;
	reply_attr(req, i, &c, error ? error : session_ask(&c));
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct statvfs v;
	struct call c;
	int error;

	(void)ino;
	call_init(&c, VOL_STATFS);
	error = session_ask(&c);
	if (!error) {
		const struct vol_statfs_is *a = &c.answer.m.statfs_is;

		v = (struct statvfs){ .f_blocks = a->blocks, .f_bfree = a->bfree, .f_bavail = a->bavail, .f_files = a->files,
				      .f_ffree = a->ffree, .f_favail = a->ffree, .f_bsize = a->bsize, .f_frsize = a->frsize,
				      .f_namemax = a->namemax };
	}
	call_done(&c);
	if (error)
		fuse_reply_err(req, -error);
	else
		fuse_reply_statfs(req, &v);
}

/* --- open files --- */

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct inode *i = inode_of(ino);
	struct handle *h = handle_new((uint32_t)fi->flags);
	struct call c;
	int error = -ENOMEM;

	call_init(&c, VOL_OPEN);
	if (h) {
		/* To execute it takes no right to read: the kernel has checked what it takes, with the mode it was just told. */
		if (!(fi->flags & OPEN_FOR_EXEC))
			call_cred(&c.q.open.cred, req);
		c.q.open.file = fid_of(i);
		c.q.open.flags = (uint32_t)fi->flags;
		c.q.open.handle = h->number;
		c.answered = handle_opened;
		c.user = h;
		error = session_ask(&c);
	}
	call_done(&c);
	if (error) {
		handle_unopened(h, error);
		fuse_reply_err(req, -error);
		return;
	}
	handle_set_inode(h, i);
	fi->fh = (uint64_t)(uintptr_t)h;
	fi->direct_io = 1;
	fuse_reply_open(req, fi);
}

static void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct inode *i = inode_of(ino);

	inode_touch(i);
	if (fi->fh)
		locks_closed(i, handle_of(fi), fi->lock_owner);
	fuse_reply_err(req, 0);
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct handle *h = handle_of(fi);
	struct inode *i = inode_of(ino);
	bool last;

	inode_touch_later(i);
	pthread_mutex_lock(&csvfs.table);
	last = i->opens == 1;
	pthread_mutex_unlock(&csvfs.table);
	if (last)
		inode_give_back(i);
	/* Who locks it next must find its locks gone; blocks are to be free. Of other closes nobody sees when the owner hears. */
	if (locks_released(i, h->number) || atomic_load(&i->name_removed))
		handle_release(h);
	else
		handle_release_later(h);
	fuse_reply_err(req, 0);
}

static void read_and_wait(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, const struct fuse_file_info *fi)
{
	size_t lead = (uint64_t)offset % PAGE; /* so that what is on a whole sector is on a good address of memory */
	uint8_t *of_thread = kernel_data(lead + size);
	cleanup_free uint8_t *own = of_thread ? NULL : device_buffer(lead + size);
	uint8_t *buf = of_thread ? of_thread : own;
	ssize_t n;

	if (!buf) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	/* Of a page: the kernel names who asks only for direct reads. */
	if (!fi->lock_owner)
		pages_used(inode_of(ino));
	n = handle_check(handle_of(fi));
	if (!n)
		n = data_read(handle_of(fi), buf + lead, size, (uint64_t)offset);
	if (n < 0)
		fuse_reply_err(req, (int)-n);
	else
		fuse_reply_buf(req, (const char *)buf + lead, (size_t)n);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	if (fi->lock_owner && direct_io_read(req, handle_of(fi), size, (uint64_t)offset))
		return;
	turn_pass();
	read_and_wait(req, ino, size, offset, fi);
}

static uint32_t how_to_write(const struct fuse_file_info *fi, const struct handle *h)
{
	uint32_t how = kernel_kills_priv() ? WRITE_KILL_PRIV : 0, flags = (uint32_t)fi->flags | h->flags;

	if (fi->writepage)
		return WRITE_PAGE; /* by whatever open file the kernel found; it waits for it at fsync */
	if (fi->flags & O_APPEND)
		how |= WRITE_APPEND;
	if (flags & O_DSYNC)
		how |= WRITE_SYNC;
	return how;
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct handle *h = handle_of(fi);
	uint8_t *apart = kernel_data(size), *data = apart ? apart : (uint8_t *)(uintptr_t)buf; /* kernel.c */
	const uint32_t how = how_to_write(fi, h);
	ssize_t n;

	(void)ino;
	if (direct_io_write(req, h, data, size, (uint64_t)offset, how))
		return;
	turn_pass();
	if (fi->writepage)
		pages_used(h->inode);
	n = handle_check(h);
	if (size && !n)
		n = data_write(h, data, size, (uint64_t)offset, how);
	if (n < 0)
		fuse_reply_err(req, (int)-n);
	else
		fuse_reply_write(req, (size_t)n);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
	int error = handle_check(handle_of(fi));

	if (!error)
		error = inode_sync(inode_of(ino), data_only != 0);
	fuse_reply_err(req, -error);
}

static void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length, struct fuse_file_info *fi)
{
	struct inode *i = inode_of(ino);
	struct call c;
	int error;

	inode_touch_before(i);
	pthread_mutex_lock(&i->lock);
	i->needs_sync = true;
	pthread_mutex_unlock(&i->lock);
	call_init(&c, VOL_FALLOCATE);
	c.changes = i->fid;
	c.q.fallocate = (struct vol_fallocate){ .handle = handle_of(fi)->number, .mode = (uint32_t)mode,
						.offset = (uint64_t)offset, .length = (uint64_t)length };
	error = handle_check(handle_of(fi));
	if (!error)
		error = session_ask(&c);
	call_done(&c);
	fuse_reply_err(req, -error);
}

static void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence, struct fuse_file_info *fi)
{
	struct call c;
	uint64_t at = 0;
	int error;

	(void)ino;
	call_init(&c, VOL_SEEK);
	c.q.seek = (struct vol_seek){ .handle = handle_of(fi)->number, .offset = (uint64_t)offset, .whence = (uint8_t)whence };
	error = session_ask(&c);
	if (!error)
		at = c.answer.m.data.value;
	call_done(&c);
	if (error)
		fuse_reply_err(req, -error);
	else
		fuse_reply_lseek(req, (off_t)at);
}

static void op_copy(fuse_req_t req, fuse_ino_t from, off_t offset, struct fuse_file_info *fi, fuse_ino_t to, off_t to_offset,
		    struct fuse_file_info *to_fi, size_t length, int flags)
{
	struct inode *i = inode_of(to);
	struct call c;
	size_t n = 0;
	int error;

	(void)from;
	if (flags) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	inode_touch_before(i);
	pthread_mutex_lock(&i->lock);
	i->needs_sync = true;
	pthread_mutex_unlock(&i->lock);
	call_init(&c, VOL_COPY);
	c.changes = i->fid;
	c.q.copy = (struct vol_copy){ .handle = handle_of(fi)->number, .offset = (uint64_t)offset,
				      .to_handle = handle_of(to_fi)->number, .to_offset = (uint64_t)to_offset,
				      .length = length < VOL_IO_MAX ? length : VOL_IO_MAX };
	error = handle_check(handle_of(fi));
	if (!error)
		error = handle_check(handle_of(to_fi));
	if (!error)
		error = session_ask(&c);
	if (!error)
		n = c.answer.m.written.size;
	call_done(&c);
	if (error)
		fuse_reply_err(req, -error);
	else
		fuse_reply_write(req, n);
}

/* --- extended attributes --- */

static void get_xattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	const struct vol_fid fid = fid_of(inode_of(ino));
	struct call c;
	int error = strlen(name) < VOL_FNAME_SIZE ? 0 : -ERANGE;

	if (caching_no_acl(&fid, name)) {
		fuse_reply_err(req, ENODATA);
		return;
	}
	call_init(&c, VOL_GETXATTR);
	call_cred(&c.q.getxattr.cred, req);
	c.q.getxattr.file = fid;
	c.q.getxattr.size = (uint32_t)size;
	text_copy(c.q.getxattr.name, VOL_FNAME_SIZE, name);
	if (!error)
		error = session_ask(&c);
	if (error)
		fuse_reply_err(req, -error);
	else if (!size)
		fuse_reply_xattr(req, c.answer.m.data.value);
	else
		fuse_reply_buf(req, (const char *)c.answer.m.data.bytes.data, c.answer.m.data.bytes.len);
	call_done(&c);
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size) { get_xattr(req, ino, name, size); }
static void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size) { get_xattr(req, ino, "", size); }

static void set_xattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags, bool remove)
{
	struct call c;
	int error = strlen(name) < VOL_FNAME_SIZE ? 0 : -ERANGE;

	call_init(&c, VOL_SETXATTR);
	call_cred(&c.q.setxattr.cred, req);
	c.q.setxattr.file = fid_of(inode_of(ino));
	c.q.setxattr.flags = (uint32_t)flags;
	c.q.setxattr.remove = remove;
	c.q.setxattr.value = (struct span){ (const uint8_t *)value, size };
	text_copy(c.q.setxattr.name, VOL_FNAME_SIZE, name);
	if (!error)
		error = session_ask(&c);
	call_done(&c);
	fuse_reply_err(req, -error);
}

static void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags)
{
	set_xattr(req, ino, name, value, size, flags, false);
}

static void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name) { set_xattr(req, ino, name, "", 0, 0, true); }

void files_operations(struct fuse_lowlevel_ops *ops)
{
	ops->getattr = op_getattr;
	ops->setattr = op_setattr;
	ops->statfs = op_statfs;
	ops->open = op_open;
	ops->flush = op_flush;
	ops->release = op_release;
	ops->read = op_read;
	ops->write = op_write;
	ops->fsync = op_fsync;
	ops->fallocate = op_fallocate;
	ops->lseek = op_lseek;
	ops->copy_file_range = op_copy;
	ops->getxattr = op_getxattr;
	ops->listxattr = op_listxattr;
	ops->setxattr = op_setxattr;
	ops->removexattr = op_removexattr;
	ops->getlk = op_getlk;
	ops->setlk = op_setlk;
	ops->flock = op_flock;
}
