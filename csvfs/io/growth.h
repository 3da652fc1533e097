/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Growing the file system of a volume while it is mounted. Linux: fs/ext4/ext4.h; fs/xfs/libxfs/xfs_fs.h, struct
 * xfs_growfs_data.
 */
#ifndef CSVFS_IO_GROWTH_H
#define CSVFS_IO_GROWTH_H

#include "csvfs/io/superblock.h"

/* Bytes that it has when it ends at `end` or just before: whole blocks. */
uint64_t growth_size(const struct superblock *s, uint64_t end);
/*
 * To growth_size(); `root`: of the mounted file system whose superblock is `s`. 1: it has grown; 0: there was nothing to add, or
 * of XFS less than an allocation group may be; -EPERM: ext4 takes CAP_SYS_RESOURCE, which a container may lack; other negative
 * errno.
 */
int growth_run(const struct superblock *s, int root, uint64_t end);

#endif
