/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files of the mounted file system by file id: descriptors that are kept, range locks, and a page cache that stays
 * empty. A struct file lives while somebody has it, and a bounded number of idle ones after that. Any thread; act as
 * root.
 */
#ifndef CSVFS_OWNER_FILES_H
#define CSVFS_OWNER_FILES_H

#include <pthread.h>
#include <sys/stat.h>

#include "csvfs/owner/mount.h"
#include "proto/volume.h"

#define FILES_IDLE_MAX 1024 /* idle files whose descriptors are kept */
#define FILES_BUCKETS 8192u
#define FILES_HIDDEN ".csvfs" /* directory of csvfs in the root: not visible */
#define FILES_ORPHANS "orphans"

struct file_range {
	struct file_range *next;
	uint64_t start, end; /* end is not part of it */
	bool exclusive;
};

struct file {
	struct file *next; /* of its bucket; under files.lock, as: */
	struct file *idle_prev, *idle_next;
	uint32_t refs;
	struct vol_fid fid;
	int path_fd;		     /* O_PATH */
	mode_t type;		     /* S_IFMT part of its mode */
	pthread_mutex_t settle_lock; /* one thread settles; the next finds it durable */
	pthread_mutex_t lock;	     /* what follows */
	pthread_cond_t ranges_changed;
	struct file_range *ranges;
	int data_fd; /* O_RDWR (or less) | O_DIRECT; -1: not open yet */
	bool data_readonly;
	bool lendable;	/* its data are plain blocks; known with data_fd */
	bool attr_later; /* claim_attr_later() is at it */
	bool unsynced;	/* blocks may not be durable yet, pages may be cached: files_settle() before lending */
	uint32_t opens; /* open handles of all sessions */
	bool orphan;	/* has its last name in the directory of orphans */
	bool gone;	/* has no name any more: not kept when idle, so that its blocks are freed */
};

struct files {
	struct volume_mount *mount;
	pthread_mutex_t lock; /* table, refs, idle list */
	struct file **buckets;
	struct file idle; /* ring, oldest first */
	uint32_t count, n_idle;
	int orphans_fd, hidden_fd, proc_fd; /* directories */
	struct vol_fid root, hidden, orphans;
};

/* Opens the root, makes the hidden directories when missing. */
int files_init(struct files *f, struct volume_mount *m);
/* Closes everything; no file is in use any more. */
void files_done(struct files *f);

/* The file of an id, with a reference. -ESTALE: there is none (any more); also for what is hidden. */
int files_get(struct files *f, const struct vol_fid *fid, struct file **ret);
/* The file an O_PATH descriptor refers to; takes over the descriptor, also on failure. */
int files_of_fd(struct files *f, int path_fd, struct file **ret);
void files_put(struct files *f, struct file *file);
static inline void files_hold(struct files *f, struct file *file)
{
	pthread_mutex_lock(&f->lock);
	file->refs++;
	pthread_mutex_unlock(&f->lock);
}
int files_fid(int fd, struct vol_fid *ret); /* of any descriptor */

/* The descriptor for data, opened on first use. -EISDIR, -EINVAL: no regular file; -EPERM: to be written, but
 * immutable. */
int files_data_fd(struct files *f, struct file *file, bool write);
/* A descriptor of the file with `flags`, judged by the rights the thread acts with. Only regular files and directories.
 */
int files_reopen(struct files *f, const struct file *file, int flags);
/* "/proc/self/fd/N": for calls that take a path and follow it. */
#define FILES_PATH_SIZE 32
void files_path(const struct file *file, char path[FILES_PATH_SIZE]);

int files_stat(const struct file *file, struct vol_attr *ret);
void files_attr(const struct stat *st, struct vol_attr *ret);
/* Name of the file among the orphans. */
#define FILES_ORPHAN_SIZE (2 * (VOL_FID_MAX + 2) + 1)
void files_orphan_name(const struct vol_fid *fid, char name[FILES_ORPHAN_SIZE]);
int files_orphan_parse(const char *name, struct vol_fid *ret); /* -EINVAL: not such a name */

/* Whole-range waits in order of arrival are not promised; a thread holds one range of one file at a time. */
void files_range_lock(struct file *file, struct file_range *r, uint64_t start, uint64_t end, bool exclusive);
void files_range_unlock(struct file *file, struct file_range *r);

/* Data and blocks are durable, no page is cached. Regular files only. [I4, I10a] */
int files_settle(struct file *file);
/* Writes back and drops pages of [offset, ∞) that the kernel has cached for what it zeroed. */
int files_drop_pages(struct file *file, uint64_t offset);
void files_mark_unsynced(struct file *file);

#endif
