/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The shared block device. Only O_DIRECT: nobody fills or reads its page cache (a clean stale page there silently takes
 * back what other nodes wrote). Any thread.
 */
#ifndef CSVFS_IO_DEVICE_H
#define CSVFS_IO_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct device {
	int fd;
	uint32_t sector; /* logical sector, bytes */
	uint64_t size;   /* when it was opened; device_refresh() looks again */
};

/* -ENOTBLK: not a block device; -EROFS: it is read-only and `write` is wanted; other negative errno of open(2). */
int device_open(struct device *ret, const char *path, bool write);
void device_close(struct device *d);
int device_refresh(struct device *d);
/* As the kernel knows it at this moment; 0: it does not. */
uint64_t device_size_now(const struct device *d);
/*
 * All of `len` or an error: negative errno, EBADE when a reservation keeps us out. Buffer, length and offset are multiples
 * of the sector (buffer: of 512 at least as the kernel wants, use device_buffer()), else -EINVAL. Beyond the end: -ENXIO.
 */
int device_read(const struct device *d, void *buf, size_t len, uint64_t at);
int device_write(const struct device *d, const void *buf, size_t len, uint64_t at);
/* What was written is on stable storage. */
int device_flush(const struct device *d);
/* Drops what the kernel has cached of the device (BLKFLSBUF): before a takeover mounts it. */
int device_drop_cache(const struct device *d);
/*
 * Drops what the kernel has cached of the range; false: some of it stays, or nobody knows. While a page is cached and cannot be
 * let go, the kernel makes of a direct write one through that page: with it goes to the device, over what other nodes wrote,
 * whatever else the page has. So it was where a block of the file system's own became one of a file, on the node that has it
 * mounted.
 */
bool device_uncached(const struct device *d, uint64_t offset, uint64_t length);
/*
 * For one csvfs of this host: until it is closed here and all that was asked of it has ended, also what its process did not live to
 * see. -EBUSY: that is somebody else. By a lock of the open file (fcntl(2), F_OFD_SETLK), which every request under way keeps open.
 */
int device_hold(const struct device *d);
/* Nobody else has it open exclusively or mounted, in whatever mount namespace: 0, or -EBUSY. */
int device_is_free(const char *path);
/* Aligned for O_DIRECT on any device (4096); free(3) it. */
void *device_buffer(size_t len);

#endif
