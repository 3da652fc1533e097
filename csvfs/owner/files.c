/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files by file id. The table's lock is never held while the file system is asked for something.
 */
#include "csvfs/owner/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cleanup.h"
#include "csvfs/io/page_cache.h"

#define FILES_FORBIDDEN_FLAGS (FS_JOURNAL_DATA_FL | FS_ENCRYPT_FL | FS_VERITY_FL | FS_COMPR_FL | FS_INLINE_DATA_FL)
#define FILES_FORBIDDEN_XFLAGS FS_XFLAG_REALTIME

struct file_handle_buffer {
	struct file_handle h;
	unsigned char bytes[MAX_HANDLE_SZ];
};

/* --- ids --- */

static int fid_at(int fd, const char *name, int flags, struct vol_fid *ret)
{
	struct file_handle_buffer b = { .h.handle_bytes = MAX_HANDLE_SZ };
	int mount_id;

	memset(ret, 0, sizeof(*ret));
	if (name_to_handle_at(fd, name, &b.h, &mount_id, flags))
		return -errno;
	if (b.h.handle_bytes > VOL_FID_MAX || b.h.handle_type < 0 || b.h.handle_type > UINT8_MAX)
		return -EOVERFLOW;
	ret->len = (uint8_t)b.h.handle_bytes;
	ret->type = (uint8_t)b.h.handle_type;
	memcpy(ret->data, b.h.f_handle, ret->len);
	return 0;
}

int files_fid(int fd, struct vol_fid *ret)
{
	return fid_at(fd, "", AT_EMPTY_PATH, ret);
}

static int fd_of_fid(const struct files *f, const struct vol_fid *fid, int flags)
{
	struct file_handle_buffer b = { .h.handle_bytes = fid->len, .h.handle_type = fid->type };
	int fd;

	if (vol_fid_none(fid))
		return -ESTALE;
	memcpy(b.h.f_handle, fid->data, fid->len);
	fd = open_by_handle_at(f->mount->root_fd, &b.h, flags | O_CLOEXEC);
	/* What is no handle of this file system at all names nothing, too. */
	return fd >= 0 ? fd : errno == EINVAL ? -ESTALE : -errno;
}

void files_orphan_name(const struct vol_fid *fid, char name[FILES_ORPHAN_SIZE])
{
	char *p = name;

	p += sprintf(p, "%02x%02x", fid->len, fid->type);
	for (unsigned int i = 0; i < fid->len; i++)
		p += sprintf(p, "%02x", fid->data[i]);
}

int files_orphan_parse(const char *name, struct vol_fid *ret)
{
	uint8_t bytes[VOL_FID_MAX + 2] = { 0 };
	size_t n = strlen(name);

	memset(ret, 0, sizeof(*ret));
	if (n % 2 || n < 6 || n / 2 > sizeof(bytes) || strspn(name, "0123456789abcdef") != n)
		return -EINVAL;
	for (size_t i = 0; i < n / 2; i++) {
		const char pair[3] = { name[2 * i], name[2 * i + 1], '\0' };

		bytes[i] = (uint8_t)strtoul(pair, NULL, 16);
	}
	if (bytes[0] != n / 2 - 2)
		return -EINVAL;
	ret->len = bytes[0];
	ret->type = bytes[1];
	memcpy(ret->data, bytes + 2, ret->len);
	return 0;
}

/* --- table --- */

static uint32_t bucket_of(const struct vol_fid *fid)
{
	uint32_t h = 2166136261u;

	for (unsigned int i = 0; i < fid->len; i++)
		h = (h ^ fid->data[i]) * 16777619u;
	return (h ^ h >> 15) % FILES_BUCKETS;
}

static struct file *find(struct files *f, const struct vol_fid *fid)
{
	struct file *file = f->buckets[bucket_of(fid)];

	while (file && !vol_fid_equal(&file->fid, fid))
		file = file->next;
	return file;
}

static void idle_remove(struct files *f, struct file *file)
{
	file->idle_prev->idle_next = file->idle_next;
	file->idle_next->idle_prev = file->idle_prev;
	file->idle_prev = file->idle_next = NULL;
	f->n_idle--;
}

static void idle_append(struct files *f, struct file *file)
{
	file->idle_next = &f->idle;
	file->idle_prev = f->idle.idle_prev;
	file->idle_prev->idle_next = file;
	f->idle.idle_prev = file;
	f->n_idle++;
}

static void table_remove(struct files *f, struct file *file)
{
	struct file **at = &f->buckets[bucket_of(&file->fid)];

	while (*at != file)
		at = &(*at)->next;
	*at = file->next;
	f->count--;
}

static void file_free(struct file *file)
{
	if (!file)
		return;
	if (file->path_fd >= 0)
		close(file->path_fd);
	if (file->data_fd >= 0)
		close(file->data_fd);
	pthread_mutex_destroy(&file->settle_lock);
	pthread_mutex_destroy(&file->lock);
	pthread_cond_destroy(&file->ranges_changed);
	free(file);
}

/* Takes over path_fd. */
static struct file *file_new(int path_fd, const struct vol_fid *fid, mode_t mode)
{
	struct file *file = calloc(1, sizeof(*file));

	if (!file) {
		close(path_fd);
		return NULL;
	}
	file->fid = *fid;
	file->path_fd = path_fd;
	file->data_fd = -1;
	file->type = mode & S_IFMT;
	file->unsynced = true; /* nothing is known about it */
	file->refs = 1;
	pthread_mutex_init(&file->settle_lock, NULL);
	pthread_mutex_init(&file->lock, NULL);
	pthread_cond_init(&file->ranges_changed, NULL);
	return file;
}

/* The file of this id that is there already, with a reference. */
static struct file *hold_known(struct files *f, const struct vol_fid *fid)
{
	struct file *file;

	pthread_mutex_lock(&f->lock);
	file = find(f, fid);
	if (file && !file->refs++)
		idle_remove(f, file);
	pthread_mutex_unlock(&f->lock);
	return file;
}

/* Enters a new file; when another thread was faster, that one's counts. */
static struct file *enter(struct files *f, struct file *file)
{
	uint32_t bucket = bucket_of(&file->fid);
	struct file *other;

	pthread_mutex_lock(&f->lock);
	other = find(f, &file->fid);
	if (!other) {
		file->next = f->buckets[bucket];
		f->buckets[bucket] = file;
		f->count++;
		pthread_mutex_unlock(&f->lock);
		return file;
	}
	if (!other->refs++)
		idle_remove(f, other);
	pthread_mutex_unlock(&f->lock);
	file_free(file);
	return other;
}

int files_of_fd(struct files *f, int path_fd, struct file **ret)
{
	struct vol_fid fid;
	struct stat st;
	int error = files_fid(path_fd, &fid);

	*ret = NULL;
	if (!error && (vol_fid_equal(&fid, &f->hidden) || vol_fid_equal(&fid, &f->orphans)))
		error = -ESTALE;
	if (!error && fstat(path_fd, &st))
		error = -errno;
	if (!error)
		*ret = hold_known(f, &fid);
	if (error || *ret) {
		close(path_fd);
		return error;
	}
	*ret = file_new(path_fd, &fid, st.st_mode);
	if (!*ret)
		return -ENOMEM;
	*ret = enter(f, *ret);
	return 0;
}

int files_get(struct files *f, const struct vol_fid *fid, struct file **ret)
{
	int fd;

	*ret = vol_fid_none(fid) ? NULL : hold_known(f, fid);
	if (*ret)
		return 0;
	fd = fd_of_fid(f, fid, O_PATH | O_NOFOLLOW);
	return fd < 0 ? fd : files_of_fd(f, fd, ret);
}

void files_put(struct files *f, struct file *file)
{
	struct file *old = NULL;

	if (!file)
		return;
	pthread_mutex_lock(&f->lock);
	if (!--file->refs) {
		if (file->gone) {
			table_remove(f, file);
			old = file;
		} else {
			idle_append(f, file);
		}
		if (f->n_idle > FILES_IDLE_MAX) {
			old = f->idle.idle_next;
			idle_remove(f, old);
			table_remove(f, old);
		}
	}
	pthread_mutex_unlock(&f->lock);
	file_free(old);
}

/* --- start and end --- */

static int make_hidden(int parent, const char *name, mode_t mode, struct vol_fid *ret)
{
	int fd, error;

	if (mkdirat(parent, name, mode) && errno != EEXIST)
		return -errno;
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	error = fchmod(fd, mode) ? -errno : files_fid(fd, ret);
	if (error) {
		close(fd);
		return error;
	}
	return fd;
}

int files_init(struct files *f, struct volume_mount *m)
{
	memset(f, 0, sizeof(*f));
	f->mount = m;
	f->orphans_fd = f->hidden_fd = f->proc_fd = -1;
	f->idle.idle_prev = f->idle.idle_next = &f->idle;
	pthread_mutex_init(&f->lock, NULL);
	f->buckets = calloc(FILES_BUCKETS, sizeof(struct file *));
	if (!f->buckets)
		return -ENOMEM;
	f->proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (f->proc_fd < 0)
		return -errno;
	f->hidden_fd = make_hidden(m->root_fd, FILES_HIDDEN, 0700, &f->hidden);
	if (f->hidden_fd < 0)
		return f->hidden_fd;
	/* Open to all, as a name is moved there with the rights of who removes it; nobody but us gets there. */
	f->orphans_fd = make_hidden(f->hidden_fd, FILES_ORPHANS, 0777, &f->orphans);
	if (f->orphans_fd < 0)
		return f->orphans_fd;
	return files_fid(m->root_fd, &f->root);
}

void files_done(struct files *f)
{
	for (uint32_t i = 0; f->buckets && i < FILES_BUCKETS; i++) {
		while (f->buckets[i]) {
			struct file *file = f->buckets[i];

			f->buckets[i] = file->next;
			file_free(file);
		}
	}
	free(f->buckets);
	f->buckets = NULL;
	if (f->orphans_fd >= 0)
		close(f->orphans_fd);
	if (f->hidden_fd >= 0)
		close(f->hidden_fd);
	if (f->proc_fd >= 0)
		close(f->proc_fd);
	f->orphans_fd = f->hidden_fd = f->proc_fd = -1;
	pthread_mutex_destroy(&f->lock);
}

/* --- descriptors --- */

void files_path(const struct file *file, char path[FILES_PATH_SIZE])
{
	snprintf(path, FILES_PATH_SIZE, "/proc/self/fd/%d", file->path_fd);
}

int files_reopen(struct files *f, const struct file *file, int flags)
{
	char name[FILES_PATH_SIZE];
	int fd;

	if (!S_ISREG(file->type) && !S_ISDIR(file->type))
		return S_ISLNK(file->type) ? -ELOOP : -ENXIO;
	snprintf(name, sizeof(name), "%d", file->path_fd);
	fd = openat(f->proc_fd, name, (flags & ~(O_NOFOLLOW | O_CREAT | O_EXCL)) | O_CLOEXEC | O_NONBLOCK);
	return fd >= 0 ? fd : -errno;
}

static bool is_lendable(int fd, bool xfs)
{
	struct fsxattr x;
	int flags = 0;

	if (ioctl(fd, FS_IOC_GETFLAGS, &flags) || flags & FILES_FORBIDDEN_FLAGS)
		return false;
	return !xfs || (!ioctl(fd, FS_IOC_FSGETXATTR, &x) && !(x.fsx_xflags & FILES_FORBIDDEN_XFLAGS));
}

/* Under file->lock. */
static int open_data(struct files *f, struct file *file)
{
	int fd = fd_of_fid(f, &file->fid, O_RDWR | O_DIRECT);

	file->data_readonly = false;
	if (fd == -EPERM) { /* immutable, or to be appended to only */
		file->data_readonly = true;
		fd = fd_of_fid(f, &file->fid, O_RDONLY | O_DIRECT);
	}
	if (fd < 0)
		return fd;
	file->lendable = is_lendable(fd, f->mount->xfs);
	file->data_fd = fd;
	return 0;
}

int files_data_fd(struct files *f, struct file *file, bool write)
{
	int ret = 0;

	if (!S_ISREG(file->type))
		return S_ISDIR(file->type) ? -EISDIR : -EINVAL;
	pthread_mutex_lock(&file->lock);
	if (file->data_fd < 0)
		ret = open_data(f, file);
	if (!ret)
		ret = write && file->data_readonly ? -EPERM : file->data_fd;
	pthread_mutex_unlock(&file->lock);
	return ret;
}

/* --- attributes --- */

static int64_t ns_of(const struct timespec *t)
{
	return (int64_t)t->tv_sec * 1000000000 + t->tv_nsec;
}

void files_attr(const struct stat *st, struct vol_attr *ret)
{
	*ret = (struct vol_attr){
		.ino = st->st_ino,
		.size = (uint64_t)st->st_size,
		.blocks = (uint64_t)st->st_blocks,
		.rdev = st->st_rdev,
		.mode = st->st_mode,
		.nlink = (uint32_t)st->st_nlink,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.blksize = (uint32_t)st->st_blksize,
		.atime_ns = ns_of(&st->st_atim),
		.mtime_ns = ns_of(&st->st_mtim),
		.ctime_ns = ns_of(&st->st_ctim),
	};
}

int files_stat(const struct file *file, struct vol_attr *ret)
{
	struct stat st;

	if (fstat(file->path_fd, &st))
		return -errno;
	files_attr(&st, ret);
	if (file->orphan && ret->nlink)
		ret->nlink--; /* the name that keeps it is not one of the user's */
	return 0;
}

/* --- ranges --- */

static bool range_conflicts(const struct file *file, const struct file_range *r)
{
	for (const struct file_range *o = file->ranges; o; o = o->next)
		if (o->start < r->end && r->start < o->end && (o->exclusive || r->exclusive))
			return true;
	return false;
}

void files_range_lock(struct file *file, struct file_range *r, uint64_t start, uint64_t end, bool exclusive)
{
	*r = (struct file_range){ .start = start, .end = end, .exclusive = exclusive };
	pthread_mutex_lock(&file->lock);
	while (range_conflicts(file, r))
		pthread_cond_wait(&file->ranges_changed, &file->lock);
	r->next = file->ranges;
	file->ranges = r;
	pthread_mutex_unlock(&file->lock);
}

void files_range_unlock(struct file *file, struct file_range *r)
{
	struct file_range **at = &file->ranges;

	pthread_mutex_lock(&file->lock);
	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	pthread_cond_broadcast(&file->ranges_changed);
	pthread_mutex_unlock(&file->lock);
}

/* --- page cache --- */

void files_mark_unsynced(struct file *file)
{
	pthread_mutex_lock(&file->lock);
	file->unsynced = true;
	pthread_mutex_unlock(&file->lock);
}

int files_drop_pages(struct file *file, uint64_t offset)
{
	off_t from = (off_t)(offset & ~(uint64_t)(PAGE_CACHE_PAGE - 1));

	if (sync_file_range(file->data_fd, from, 0,
			    SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER))
		return -errno;
	return -posix_fadvise(file->data_fd, from, 0, POSIX_FADV_DONTNEED);
}

static int settle(struct file *file)
{
	bool unsynced;
	int ret = 0;

	pthread_mutex_lock(&file->lock);
	unsynced = file->unsynced;
	file->unsynced = false;
	pthread_mutex_unlock(&file->lock);
	if (!unsynced)
		return 0;
	if (fdatasync(file->data_fd))
		ret = -errno;
	if (!ret)
		ret = -posix_fadvise(file->data_fd, 0, 0, POSIX_FADV_DONTNEED);
	if (!ret)
		ret = page_cache_has(file->data_fd);
	if (ret > 0)
		ret = -EBUSY; /* somebody's page is in use: not lent now */
	if (ret)
		files_mark_unsynced(file);
	return ret;
}

int files_settle(struct file *file)
{
	int ret;

	pthread_mutex_lock(&file->settle_lock);
	ret = settle(file);
	pthread_mutex_unlock(&file->settle_lock);
	return ret;
}
