/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A shared volume that is wrong on purpose: what the checks are worth. Each mount is a "node" over one directory; each
 * lacks one thing that csvfs must have.
 *
 *   csvbroken stale|locks|sectors|lose|append DIR MOUNTPOINT
 *
 * stale: pages are cached and nobody recalls them. locks: each node has its own. sectors: partial sectors are read,
 * changed and written back without a lock. lose: one write in a thousand is acknowledged and not made. append: one in
 * five hundred is made twice, as by a request that was sent again.
 */
#define FUSE_USE_VERSION 31
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR 512

static const char *fault, *base;
static _Atomic unsigned writes;

static bool is(const char *what)
{
	return !strcmp(fault, what);
}
static int result(long r)
{
	return r < 0 ? -errno : (int)r;
}
static int fd_of(const struct fuse_file_info *fi)
{
	return (int)fi->fh;
}

#define PATH(to, name)           \
	char to[PATH_MAX + 300]; \
	snprintf(to, sizeof(to), "%s%s", base, name)

static void *b_init(struct fuse_conn_info *conn, struct fuse_config *config)
{
	(void)conn;
	config->use_ino = 1;
	if (!is("stale"))
		config->entry_timeout = config->attr_timeout = config->negative_timeout = 0;
	config->hard_remove = 1;
	config->nullpath_ok = 1;
	return NULL;
}

static int b_getattr(const char *name, struct stat *st, struct fuse_file_info *fi)
{
	if (fi)
		return result(fstat(fd_of(fi), st));
	PATH(p, name);
	return result(lstat(p, st));
}

static int b_readlink(const char *name, char *buf, size_t size)
{
	PATH(p, name);
	ssize_t n = readlink(p, buf, size - 1);

	if (n >= 0)
		buf[n] = 0;
	return n < 0 ? -errno : 0;
}

static int b_mkdir(const char *name, mode_t mode)
{
	PATH(p, name);
	return result(mkdir(p, mode));
}

static int b_unlink(const char *name)
{
	PATH(p, name);
	return result(unlink(p));
}

static int b_rmdir(const char *name)
{
	PATH(p, name);
	return result(rmdir(p));
}

static int b_symlink(const char *target, const char *name)
{
	PATH(p, name);
	return result(symlink(target, p));
}

static int b_rename(const char *from, const char *to, unsigned int flags)
{
	PATH(p, from);
	PATH(q, to);
	return result(renameat2(AT_FDCWD, p, AT_FDCWD, q, flags));
}

static int b_truncate(const char *name, off_t size, struct fuse_file_info *fi)
{
	if (fi)
		return result(ftruncate(fd_of(fi), size));
	PATH(p, name);
	return result(truncate(p, size));
}

static int opened(struct fuse_file_info *fi, int fd)
{
	if (fd < 0)
		return -errno;
	fi->fh = (uint64_t)fd;
	fi->keep_cache = is("stale");
	fi->direct_io = !is("stale"); /* then files cannot be mapped */
	return 0;
}

static int b_create(const char *name, mode_t mode, struct fuse_file_info *fi)
{
	PATH(p, name);
	return opened(fi, open(p, fi->flags & ~O_DIRECT, mode));
}

static int b_open(const char *name, struct fuse_file_info *fi)
{
	PATH(p, name);
	return opened(fi, open(p, fi->flags & ~O_DIRECT));
}

static int b_read(const char *name, char *buf, size_t size, off_t at, struct fuse_file_info *fi)
{
	(void)name;
	return result(pread(fd_of(fi), buf, size, at));
}

/* As a careless client of a device with sectors would. */
static int write_sectors(int fd, const char *buf, size_t size, off_t at)
{
	static _Thread_local char whole[(1 << 20) + 2 * SECTOR];
	off_t from = at / SECTOR * SECTOR;
	size_t len = (size_t)(at - from) + size, kept;

	len = (len + SECTOR - 1) / SECTOR * SECTOR;
	memset(whole, 0, len);
	ssize_t had = pread(fd, whole, len, from);

	usleep(300); /* as long as a message takes */
	memcpy(whole + (at - from), buf, size);
	kept = (size_t)(at - from) + size;
	if (had > (ssize_t)kept)
		kept = (size_t)had;
	return pwrite(fd, whole, kept, from) < 0 ? -errno : (int)size;
}

static int b_write(const char *name, const char *buf, size_t size, off_t at, struct fuse_file_info *fi)
{
	unsigned n = ++writes;
	bool append = fi->flags & O_APPEND;

	(void)name;
	if (is("lose") && n % 1000 == 0)
		return (int)size;
	if (is("append") && append && n % 500 < 10 && write(fd_of(fi), buf, size) < 0)
		return -errno;
	if (is("sectors") && !append)
		return write_sectors(fd_of(fi), buf, size, at);
	return result(pwrite(fd_of(fi), buf, size, at)); /* O_APPEND appends */
}

static int b_flush(const char *name, struct fuse_file_info *fi)
{
	(void)name;
	return result(close(dup(fd_of(fi))));
}

static int b_release(const char *name, struct fuse_file_info *fi)
{
	(void)name;
	return result(close(fd_of(fi)));
}

static int b_fsync(const char *name, int data_only, struct fuse_file_info *fi)
{
	(void)name;
	return result(data_only ? fdatasync(fd_of(fi)) : fsync(fd_of(fi)));
}

static int b_fallocate(const char *name, int mode, off_t at, off_t length, struct fuse_file_info *fi)
{
	(void)name;
	return result(fallocate(fd_of(fi), mode, at, length));
}

/* One lock table for all nodes: that of the kernel on the files below, which knows the open file only. */
static int b_lock(const char *name, struct fuse_file_info *fi, int cmd, struct flock *lock)
{
	(void)name;
	lock->l_pid = 0;
	return result(fcntl(fd_of(fi),
			    cmd == F_GETLK   ? F_OFD_GETLK
			    : cmd == F_SETLK ? F_OFD_SETLK
					     : F_OFD_SETLKW,
			    lock));
}

static int b_flock(const char *name, struct fuse_file_info *fi, int how)
{
	(void)name;
	return result(flock(fd_of(fi), how));
}

static struct fuse_operations ops = {
	.init = b_init,
	.getattr = b_getattr,
	.readlink = b_readlink,
	.mkdir = b_mkdir,
	.unlink = b_unlink,
	.rmdir = b_rmdir,
	.symlink = b_symlink,
	.rename = b_rename,
	.truncate = b_truncate,
	.create = b_create,
	.open = b_open,
	.read = b_read,
	.write = b_write,
	.flush = b_flush,
	.release = b_release,
	.fsync = b_fsync,
	.fallocate = b_fallocate,
	.lock = b_lock,
	.flock = b_flock,
};

int main(int argc, char **argv)
{
	if (argc != 4) {
		fprintf(stderr, "usage: csvbroken stale|locks|sectors|lose|append DIR MOUNTPOINT\n");
		return 2;
	}
	char foreground[] = "-f", *args[] = { argv[0], argv[3], foreground };

	fault = argv[1];
	base = argv[2];
	if (is("locks")) {
		ops.lock = NULL; /* then the kernel keeps them, for this mount alone */
		ops.flock = NULL;
	}
	umask(0);
	return fuse_main(3, args, &ops, NULL);
}
