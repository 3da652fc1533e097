/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the blocks of a file are (FIEMAP), and making blocks that can be lent. For the owner, on files opened with O_DIRECT. */
#ifndef CSVFS_IO_EXTENTS_H
#define CSVFS_IO_EXTENTS_H

#include "proto/volume.h"

/*
 * The extents of [offset, offset + length) that may be lent, rising, cut to the range rounded out to `align` and to the
 * file's size rounded up to `align`: allocated and written, with no FIEMAP flag but LAST and MERGED. Number of extents
 * (at most max: then the rest of the range is simply not lent), or negative errno.
 */
int extents_find(int fd, uint64_t offset, uint64_t length, uint64_t size, uint32_t align, struct vol_extent *out, uint32_t max);
/*
 * Makes every hole and unwritten block of [offset, offset + length), which lies within the size, written zeros; data
 * stays. O_DIRECT writes of up to 8 MiB; not durable before fdatasync. -ENOSPC and others as write(2).
 */
int extents_fill(int fd, uint64_t offset, uint64_t length);

#endif
