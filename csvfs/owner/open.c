/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opening, closing, syncing; the size of a file. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "csvfs/owner/owner.h"
#include "csvfs/owner/rights.h"

/* Asks the kernel, as open(2) would; what comes of it is not used: data go by the descriptor of the file. */
static int may_open(struct request *r, const struct file *file)
{
	const struct vol_open *q = &question(r)->open;
	int flags = (int)(q->flags & (O_ACCMODE | O_DIRECTORY | O_NOATIME)), fd, ret;

	if (q->flags & O_TRUNC && (flags & O_ACCMODE) == O_RDONLY)
		flags |= O_RDWR; /* who cuts a file must be allowed to write it */
	if (!S_ISREG(file->type) && !S_ISDIR(file->type))
		return -EINVAL; /* devices, pipes and sockets are opened by the node's own kernel */
	ret = rights_take(&q->cred);
	fd = ret ? ret : files_reopen(&r->owner->files, file, flags);
	rights_drop();
	if (fd >= 0)
		close(fd);
	return fd < 0 ? fd : 0;
}

/* A file that the owner before has moved to the orphans. */
static void look_for_orphan(struct owner *o, struct file *file)
{
	char name[FILES_ORPHAN_SIZE];
	struct stat st;

	files_orphan_name(&file->fid, name);
	if (S_ISREG(file->type) && !fstat(file->path_fd, &st) && st.st_nlink == 1 &&
	    !faccessat(o->files.orphans_fd, name, F_OK, AT_SYMLINK_NOFOLLOW)) {
		pthread_mutex_lock(&o->lock);
		orphan_note(o, file);
		pthread_mutex_unlock(&o->lock);
	}
}

int do_open(struct request *r)
{
	const struct vol_open *q = &question(r)->open;
	struct owner *o = r->owner;
	struct vol_attr attr;
	struct file *file;
	int ret = files_get(&o->files, &q->file, &file);

	if (ret)
		return ret;
	if (!q->reclaim)
		ret = may_open(r, file);
	if (!ret && q->flags & O_TRUNC && !q->reclaim && S_ISREG(file->type))
		ret = file_truncate(o, r->session, file, 0);
	if (!ret && q->flags & O_TRUNC && !q->reclaim)
		commit_wait(&o->committer);
	if (ret) {
		files_put(&o->files, file);
		return ret;
	}
	files_hold(&o->files, file);
	pthread_mutex_lock(&o->last);
	if (q->reclaim)
		look_for_orphan(o, file);
	ret = files_stat(file, &attr);
	if (!ret && !attr.nlink && !file->orphan)
		ret = -ESTALE;
	if (ret)
		files_put(&o->files, file);
	else
		ret = handle_add(o, r->session, q->handle, file, q->flags);
	pthread_mutex_unlock(&o->last);
	if (!ret)
		ret = answer_entry(r, file);
	files_put(&o->files, file);
	return ret;
}

int do_release(struct request *r)
{
	const struct vol_release *q = &question(r)->release;
	struct reader more = reader_of(q->more.data, q->more.len);

	if (q->more.len % sizeof(uint64_t) || q->more.len / sizeof(uint64_t) >= VOL_RELEASES_MAX)
		return -EINVAL;
	/* One that is not there has been released by the same request before. */
	handle_remove(r->owner, r->session, q->handle);
	while (reader_left(&more))
		handle_remove(r->owner, r->session, get_u64(&more));
	return 0;
}

int do_fsync(struct request *r)
{
	const struct vol_fsync *q = &question(r)->fsync;
	struct owner *o = r->owner;
	struct file *file;
	int fd, ret = files_get(&o->files, &q->file, &file);

	if (ret)
		return ret;
	if (S_ISREG(file->type)) {
		fd = files_data_fd(&o->files, file, false);
		if (fd < 0)
			ret = fd;
		else if (q->data_only ? fdatasync(fd) : fsync(fd))
			ret = -errno;
	} else {
		commit_wait(&o->committer);
	}
	files_put(&o->files, file);
	return ret;
}

static int set_size(struct owner *o, struct file *file, int fd, uint64_t size, uint64_t from)
{
	/* What the kernel zeroes of the block at the end goes through its cache: to the disk, and out of it. */
	int ret = ftruncate(fd, (off_t)size) ? -errno : 0;
	int dropped = files_drop_pages(file, from);

	(void)o;
	files_mark_unsynced(file);
	return ret ? ret : dropped;
}

int file_truncate(struct owner *o, struct session *s, struct file *file, uint64_t size)
{
	const uint64_t block = o->mount.block;
	int fd = files_data_fd(&o->files, file, true), ret = 0;
	struct file_range range;
	uint64_t claim, from, edge;
	struct vol_attr attr;
	bool again;

	if (fd < 0)
		return fd;
	if (size > INT64_MAX)
		return -EFBIG;
	do {
		again = false;
		ret = files_stat(file, &attr);
		edge = size < attr.size ? size : attr.size;
		from = edge / block * block;
		if (!ret)
			ret = claim_take(o, s, file, VOL_RECALL_EXTENTS | VOL_RECALL_SOLE | VOL_RECALL_ATTR, from, NO_END,
					 &claim);
		if (ret)
			return ret;
		files_range_lock(file, &range, 0, NO_END, true);
		ret = files_stat(file, &attr);
		edge = size < attr.size ? size : attr.size;
		if (!ret && edge < from)
			again = true; /* it has become shorter meanwhile */
		else if (!ret)
			ret = set_size(o, file, fd, size, from);
		files_range_unlock(file, &range);
		claim_end(o, claim);
	} while (again);
	return ret;
}
