/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the blocks of a file are (FIEMAP), and making blocks that can be lent. For the owner, on files opened with O_DIRECT.
 * Dirty pages of the file, if there should be any, are written first; they are not dropped.
 */
#ifndef CSVFS_IO_EXTENTS_H
#define CSVFS_IO_EXTENTS_H

#include "proto/volume.h"

#define EXTENTS_FILL_SIZE (8u << 20) /* bytes of one write of zeros */

/*
 * The extents of [offset, offset + length) that may be lent, rising, cut to the range rounded out to `align` (the device's
 * logical sector) and to the file's size rounded up to `align`: allocated and written, with no FIEMAP flag but LAST and
 * MERGED. Neighbours that continue each other are one. Number of extents (at most max: then the rest of the range is
 * simply not lent), or negative errno, -EINVAL: `align` is not a power of two.
 */
int extents_find(int fd, uint64_t offset, uint64_t length, uint64_t size, uint32_t align, struct vol_extent *out, uint32_t max);
/* 1: all of [offset, offset + length) is allocated and written, so that writing it changes data alone; 0; negative errno. */
int extents_written(int fd, uint64_t offset, uint64_t length);
/*
 * Makes every hole and unwritten block that [offset, offset + length) touches, as far as the size, written zeros; data
 * stays. What the size leaves of its last sector stays too, as the size must not change. O_DIRECT writes of
 * EXTENTS_FILL_SIZE at most; not durable before fdatasync. The caller keeps others from writing these blocks and from
 * changing the size meanwhile. -ENOSPC and others as write(2): what was filled until then stays filled.
 */
int extents_fill(int fd, uint64_t offset, uint64_t length);

#endif
