/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Attributes, extended attributes, and what directories and symbolic links say. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/xattr.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cleanup.h"
#include "csvfs/owner/owner.h"
#include "csvfs/owner/rights.h"
#include "text.h"

#define DIRENTS_SIZE (32u << 10)
#define NS 1000000000ll

struct held {
	struct files *files;
	struct file *file;
};
static void held_put(struct held *h)
{
	if (h->file)
		files_put(h->files, h->file);
}
#define HELD(name, r) __attribute__((cleanup(held_put))) struct held name = { &(r)->owner->files, NULL }

int do_getattr(struct request *r)
{
	HELD(h, r);
	int ret = files_get(h.files, &question(r)->getattr.file, &h.file);

	return ret ? ret : answer_entry(r, h.file);
}

/* --- setattr --- */

static struct timespec time_of(uint64_t ns)
{
	int64_t t = (int64_t)ns, s = t / NS, rest = t % NS;

	return rest < 0 ? (struct timespec){ .tv_sec = s - 1, .tv_nsec = rest + NS } :
			  (struct timespec){ .tv_sec = s, .tv_nsec = rest };
}

static struct timespec wanted_time(uint32_t valid, uint32_t given, uint32_t now, uint64_t ns)
{
	if (valid & now)
		return (struct timespec){ .tv_nsec = UTIME_NOW };
	if (valid & given)
		return time_of(ns);
	return (struct timespec){ .tv_nsec = UTIME_OMIT };
}

/* The right to change the size: of the open file, or else that of writing it now. */
static int may_truncate(struct request *r, struct file *file)
{
	const struct vol_setattr *q = &question(r)->setattr;
	struct handle *h = q->handle ? handle_get(r, q->handle) : NULL;
	int fd, ret;

	if (h) {
		ret = h->file == file && handle_writes(h) ? 0 : -EINVAL;
		handle_put(r->owner, h);
		return ret;
	}
	if (S_ISDIR(file->type))
		return -EISDIR;
	ret = rights_take(&q->cred);
	fd = ret ? ret : files_reopen(&r->owner->files, file, O_WRONLY);
	rights_drop();
	if (fd >= 0)
		close(fd);
	return fd < 0 ? fd : 0;
}

static int set_by_rights(struct request *r, struct file *file)
{
	const struct vol_setattr *q = &question(r)->setattr;
	const uint32_t times = VOL_SET_ATIME | VOL_SET_MTIME | VOL_SET_ATIME_NOW | VOL_SET_MTIME_NOW;
	const struct timespec t[2] = { wanted_time(q->valid, VOL_SET_ATIME, VOL_SET_ATIME_NOW, q->atime_ns),
				       wanted_time(q->valid, VOL_SET_MTIME, VOL_SET_MTIME_NOW, q->mtime_ns) };
	char path[FILES_PATH_SIZE];
	rights_scope int ret = rights_take(&q->cred);

	files_path(file, path);
	if (!ret && q->valid & (VOL_SET_UID | VOL_SET_GID) &&
	    fchownat(file->path_fd, "", q->valid & VOL_SET_UID ? q->uid : (uid_t)-1,
		     q->valid & VOL_SET_GID ? q->gid : (gid_t)-1, AT_EMPTY_PATH))
		ret = -errno;
	if (!ret && q->valid & VOL_SET_MODE && S_ISLNK(file->type))
		ret = -EOPNOTSUPP;
	if (!ret && q->valid & VOL_SET_MODE && chmod(path, q->mode & 07777))
		ret = -errno;
	if (!ret && q->valid & times && utimensat(AT_FDCWD, path, t, 0))
		ret = -errno;
	return ret;
}

int file_drop_set_id(const struct file *file)
{
	struct stat st;
	char path[FILES_PATH_SIZE];
	mode_t drop;

	if (fstat(file->path_fd, &st))
		return -errno;
	drop = S_ISUID | (st.st_mode & S_IXGRP ? S_ISGID : 0);
	if (!(st.st_mode & drop))
		return 0;
	files_path(file, path);
	return chmod(path, st.st_mode & 07777 & ~drop) ? -errno : 0;
}

static int set_all(struct request *r, struct file *file)
{
	const struct vol_setattr *q = &question(r)->setattr;
	int ret = 0;

	if (q->valid & VOL_SET_SIZE) {
		ret = may_truncate(r, file);
		if (!ret)
			ret = file_truncate(r->owner, r->session, file, q->size);
		if (!ret && q->cred.uid)
			ret = file_drop_set_id(file);
	}
	if (!ret && q->valid & ~(uint32_t)VOL_SET_SIZE)
		ret = set_by_rights(r, file);
	if (!ret && q->valid & VOL_SET_KILL_PRIV)
		ret = file_drop_set_id(file);
	return ret;
}

/* What others have cached of the attributes is taken back, then `change` is made and committed. */
static int change_attr(struct request *r, struct file *file, int (*change)(struct request *r, struct file *file))
{
	uint64_t claim;
	int ret = claim_take(r->owner, r->session, file, VOL_RECALL_ATTR, 0, 0, &claim);

	if (ret)
		return ret;
	ret = change(r, file);
	if (!ret)
		commit_wait(&r->owner->committer);
	claim_end(r->owner, claim);
	return ret;
}

int do_setattr(struct request *r)
{
	HELD(h, r);
	int ret = files_get(h.files, &question(r)->setattr.file, &h.file);

	if (!ret)
		ret = change_attr(r, h.file, set_all);
	return ret ? ret : answer_entry(r, h.file);
}

void file_touch(struct file *file, int64_t mtime_ns)
{
	struct timespec t[2] = { { .tv_nsec = UTIME_OMIT }, time_of((uint64_t)mtime_ns) };
	char path[FILES_PATH_SIZE];
	struct vol_attr now;

	files_path(file, path);
	if (!files_stat(file, &now) && now.mtime_ns < mtime_ns)
		utimensat(AT_FDCWD, path, t, 0); /* a time that cannot be set is no reason to fail what was written */
}

/*
 * In a grace others are told when it has ended: whoever has cached attributes of the owner before drops them all, and who
 * writes directly does not wait with his fsync for a node that is gone.
 */
int do_touch(struct request *r)
{
	const struct vol_touch *q = &question(r)->touch;
	struct owner *o = r->owner;
	uint64_t claim = 0;
	bool later;
	HELD(h, r);
	int ret = files_get(h.files, &q->file, &h.file);

	pthread_mutex_lock(&o->lock);
	later = q->later || o->grace;
	pthread_mutex_unlock(&o->lock);
	if (!ret && !later)
		ret = claim_take(o, r->session, h.file, VOL_RECALL_ATTR, 0, 0, &claim);
	if (ret)
		return ret;
	file_touch(h.file, (int64_t)q->mtime_ns);
	claim_end(o, claim);
	if (later)
		claim_attr_later(o, h.file);
	return 0;
}

int do_statfs(struct request *r)
{
	struct vol_statfs_is *a = &r->answer.statfs_is;
	struct statvfs s;

	if (fstatvfs(r->owner->mount.root_fd, &s))
		return -errno;
	*a = (struct vol_statfs_is){ .blocks = s.f_blocks,
				     .bfree = s.f_bfree,
				     .bavail = s.f_bavail,
				     .files = s.f_files,
				     .ffree = s.f_ffree,
				     .bsize = (uint32_t)s.f_bsize,
				     .frsize = (uint32_t)s.f_frsize,
				     .namemax = (uint32_t)s.f_namemax };
	return 0;
}

/* --- extended attributes --- */

int do_getxattr(struct request *r)
{
	const struct vol_getxattr *q = &question(r)->getxattr;
	size_t size = q->size < XATTR_SIZE_MAX ? q->size : XATTR_SIZE_MAX;
	char path[FILES_PATH_SIZE];
	char *value;
	ssize_t n;
	HELD(h, r);
	rights_scope int ret = files_get(h.files, &q->file, &h.file);

	if (ret)
		return ret;
	value = request_payload(r, size);
	if (!value)
		return -ENOMEM;
	ret = rights_take(&q->cred);
	if (ret)
		return ret;
	files_path(h.file, path);
	n = *q->name ? getxattr(path, q->name, value, size) : listxattr(path, value, size);
	if (n < 0)
		return -errno;
	r->answer.data.value = (uint64_t)n;
	r->answer.data.bytes = (struct span){ (const uint8_t *)value, size ? (size_t)n : 0 };
	return 0;
}

static int set_xattr(struct request *r, const struct file *file)
{
	const struct vol_setxattr *q = &question(r)->setxattr;
	char path[FILES_PATH_SIZE];
	rights_scope int ret = rights_take(&q->cred);

	if (ret)
		return ret;
	files_path(file, path);
	if (q->remove)
		ret = removexattr(path, q->name);
	else
		ret = setxattr(path, q->name, q->value.data, q->value.len, (int)q->flags);
	return ret ? -errno : 0;
}

static int set_xattr_in_room(struct request *r, struct file *file)
{
	int ret;

	do
		ret = set_xattr(r, file);
	while (room_comes(r->owner, ret));
	return ret;
}

int do_setxattr(struct request *r)
{
	HELD(h, r);
	int ret = files_get(h.files, &question(r)->setxattr.file, &h.file);

	/* With an ACL the mode changes, and which ACL there is goes with the attributes. */
	return ret ? ret : change_attr(r, h.file, set_xattr_in_room);
}

/* --- links and directories --- */

int do_readlink(struct request *r)
{
	char *text = request_payload(r, PATH_MAX);
	ssize_t n;
	HELD(h, r);
	int ret = text ? files_get(h.files, &question(r)->readlink.file, &h.file) : -ENOMEM;

	if (ret)
		return ret;
	n = readlinkat(h.file->path_fd, "", text, PATH_MAX);
	if (n < 0)
		return errno == ENOENT ? -EINVAL : -errno; /* no symbolic link */
	r->answer.data.value = (uint64_t)n;
	r->answer.data.bytes = (struct span){ (const uint8_t *)text, (size_t)n };
	return 0;
}

/* As getdents64(2) gives it. */
struct raw_dirent {
	uint64_t ino;
	int64_t cookie;
	unsigned short len;
	unsigned char type;
	char name[];
};

/* File id and attributes of an entry; one that is gone meanwhile is told without. */
static void look_up(struct request *r, int dir, struct vol_dirent *d)
{
	struct file *file;
	uint8_t cache = lend_name(r, &question(r)->readdir.file, d->name);
	int fd = openat(dir, d->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 || files_of_fd(&r->owner->files, fd, &file))
		return;
	cache |= lend_attr(r, &file->fid);
	if (!files_stat(file, &d->attr)) {
		d->file = file->fid;
		d->cache = cache;
	}
	files_put(&r->owner->files, file);
}

static bool is_dots(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

/* False: no room. */
static bool put_entry(struct request *r, int dir, bool root, const struct raw_dirent *e, struct writer *w)
{
	const struct vol_readdir *q = &question(r)->readdir;
	struct vol_dirent d = { .cookie = (uint64_t)e->cookie, .ino = e->ino, .type = e->type };
	struct writer before = *w;

	if (root && !strcmp(e->name, FILES_HIDDEN))
		return true;
	text_copy(d.name, sizeof(d.name), e->name);
	if (q->plus && !is_dots(d.name))
		look_up(r, dir, &d);
	vol_put_dirent(w, &d, q->plus);
	if (!w->bad)
		return true;
	*w = before;
	return false;
}

/* 1: at the end, 0: there is more. */
static int read_entries(struct request *r, int dir, bool root, struct writer *w)
{
	cleanup_free char *raw = malloc(DIRENTS_SIZE);
	long n;

	if (!raw)
		return -ENOMEM;
	while ((n = syscall(SYS_getdents64, dir, raw, DIRENTS_SIZE)) > 0) {
		for (long at = 0; at < n;) {
			const struct raw_dirent *e = (const void *)(raw + at);

			if (!put_entry(r, dir, root, e, w))
				return writer_len(w) ? 0 : -EINVAL;
			at += e->len;
		}
	}
	return n < 0 ? -errno : 1;
}

static int open_directory(struct request *r, const struct file *file)
{
	const struct vol_readdir *q = &question(r)->readdir;
	rights_scope int ret = rights_take(&q->cred);

	if (ret)
		return ret;
	return S_ISDIR(file->type) ? files_reopen(&r->owner->files, file, O_RDONLY | O_DIRECTORY) : -ENOTDIR;
}

int do_readdir(struct request *r)
{
	const struct vol_readdir *q = &question(r)->readdir;
	uint32_t size = q->size < VOL_IO_MAX ? q->size : VOL_IO_MAX;
	uint8_t *list = request_payload(r, size);
	struct writer w = writer_of(list, size);
	HELD(h, r);
	int ret = list ? files_get(h.files, &q->file, &h.file) : -ENOMEM;
	cleanup_fd int dir = ret ? ret : open_directory(r, h.file);

	if (dir < 0)
		return dir;
	if (lseek(dir, (off_t)q->cookie, SEEK_SET) < 0)
		return -errno;
	ret = read_entries(r, dir, vol_fid_equal(&h.file->fid, &h.files->root), &w);
	if (ret < 0)
		return ret;
	r->answer.data.value = (uint64_t)ret;
	r->answer.data.bytes = (struct span){ list, writer_len(&w) };
	return 0;
}
