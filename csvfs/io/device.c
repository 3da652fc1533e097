/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The shared block device: O_DIRECT only, everything or an error. */
#include "csvfs/io/device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "csvfs/io/page_cache.h"

#define BUFFER_ALIGN 4096u

/* Before open(2), which waits for ever on a pipe without a writer. */
static int is_block_device(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	return S_ISBLK(st.st_mode) ? 0 : -ENOTBLK;
}

static int kernel_size(const struct device *d, uint64_t *ret)
{
	return ioctl(d->fd, BLKGETSIZE64, ret) < 0 ? -errno : 0;
}

uint64_t device_size_now(const struct device *d)
{
	uint64_t size;

	return kernel_size(d, &size) ? 0 : size;
}

int device_refresh(struct device *d)
{
	uint64_t size;
	int r = kernel_size(d, &size);

	if (!r) /* others read it meanwhile */
		__atomic_store_n(&d->size, size, __ATOMIC_RELAXED);
	return r;
}

int device_open(struct device *ret, const char *path, bool write)
{
	struct device d = { .fd = -1 };
	struct stat st;
	int sector = 0, read_only = 0, r;

	*ret = d;
	r = is_block_device(path);
	if (r < 0)
		return r;
	d.fd = open(path, (write ? O_RDWR : O_RDONLY) | O_DIRECT | O_CLOEXEC);
	if (d.fd < 0)
		return -errno;
	if (fstat(d.fd, &st) < 0 || ioctl(d.fd, BLKSSZGET, &sector) < 0 || ioctl(d.fd, BLKROGET, &read_only) < 0)
		r = -errno;
	else if (!S_ISBLK(st.st_mode))
		r = -ENOTBLK;
	else if (write && read_only) /* not every driver refuses the open(2) */
		r = -EROFS;
	else
		r = device_refresh(&d);
	if (r < 0) {
		close(d.fd);
		return r;
	}
	d.sector = (uint32_t)sector;
	*ret = d;
	return 0;
}

void device_close(struct device *d)
{
	if (d->fd >= 0)
		close(d->fd);
	d->fd = -1;
}

int device_hold(const struct device *d)
{
	struct flock all = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (!fcntl(d->fd, F_OFD_SETLK, &all))
		return 0;
	return errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
}

/* A device may have grown since device_refresh(): what lies beyond is looked at before it is refused. */
static int check_range(const struct device *d, const void *buf, size_t len, uint64_t at)
{
	uint64_t size = __atomic_load_n(&d->size, __ATOMIC_RELAXED);
	uint32_t mask = d->sector - 1;

	if (((uintptr_t)buf & 511) || (len & mask) || (at & mask))
		return -EINVAL;
	if (at <= size && len <= size - at)
		return 0;
	if (kernel_size(d, &size) < 0 || at > size || len > size - at)
		return -ENXIO;
	return 0;
}

int device_read(const struct device *d, void *buf, size_t len, uint64_t at)
{
	int r = check_range(d, buf, len, at);

	if (r < 0)
		return r;
	for (size_t done = 0; done < len;) {
		ssize_t n = pread(d->fd, (char *)buf + done, len - done, (off_t)(at + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0) /* it has shrunk */
			return -ENXIO;
		done += (size_t)n;
	}
	return 0;
}

int device_write(const struct device *d, const void *buf, size_t len, uint64_t at)
{
	int r = check_range(d, buf, len, at);

	if (r < 0)
		return r;
	for (size_t done = 0; done < len;) {
		ssize_t n = pwrite(d->fd, (const char *)buf + done, len - done, (off_t)(at + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == ENOSPC ? -ENXIO : -errno;
		if (n == 0)
			return -EIO;
		done += (size_t)n;
	}
	return 0;
}

/* On a block device this also asks the device to empty its volatile cache. */
int device_flush(const struct device *d) { return fdatasync(d->fd) < 0 ? -errno : 0; }

int device_drop_cache(const struct device *d) { return ioctl(d->fd, BLKFLSBUF, 0) < 0 ? -errno : 0; }

bool device_uncached(const struct device *d, uint64_t offset, uint64_t length)
{
	uint64_t from = offset & ~(uint64_t)(PAGE_CACHE_PAGE - 1);
	uint64_t to = (offset + length + PAGE_CACHE_PAGE - 1) & ~(uint64_t)(PAGE_CACHE_PAGE - 1);

	if (!page_cache_has_range(d->fd, from, to - from))
		return true;
	(void)posix_fadvise(d->fd, (off_t)from, (off_t)(to - from), POSIX_FADV_DONTNEED);
	return !page_cache_has_range(d->fd, from, to - from);
}

/* Read-only: the last close of a writer makes udev look at the device. */
int device_is_free(const char *path)
{
	cleanup_fd int fd = -1;
	int r = is_block_device(path);

	if (r < 0)
		return r;
	fd = open(path, O_RDONLY | O_EXCL | O_CLOEXEC);
	return fd < 0 ? -errno : 0;
}

void *device_buffer(size_t len)
{
	if (len > SIZE_MAX - BUFFER_ALIGN)
		return NULL;
	return aligned_alloc(BUFFER_ALIGN, len ? (len + BUFFER_ALIGN - 1) & ~(size_t)(BUFFER_ALIGN - 1) : BUFFER_ALIGN);
}
