/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the superblock of an ext4 or XFS says, read with O_DIRECT: nothing of the device comes into the kernel's cache. For
 * a file system that is mounted, figures may be older than what is mounted. Linux: fs/ext4/ext4.h, fs/xfs/libxfs/xfs_format.h.
 */
#ifndef CSVFS_IO_SUPERBLOCK_H
#define CSVFS_IO_SUPERBLOCK_H

#include "csvfs/io/device.h"

enum { QUOTA_USER = 1, QUOTA_GROUP = 2, QUOTA_PROJECT = 4, QUOTA_KINDS = 3 };

enum superblock_kind { SUPERBLOCK_NONE, SUPERBLOCK_EXT4, SUPERBLOCK_XFS };

struct superblock {
	enum superblock_kind kind;
	uint32_t block;    /* bytes */
	uint64_t size;     /* bytes */
	uint8_t uuid[16];
	char label[17];
	bool replay;       /* the journal must be replayed; of XFS this cannot be told: false */
	bool errors;       /* the kernel has noted errors */
	uint8_t imax_pct;  /* XFS: kept when it grows */
	uint8_t quota;	   /* QUOTA_*: kept and enforced; counted: kept only */
	uint8_t counted;
	const char *unfit; /* why its blocks cannot be lent or its journal not be trusted; NULL: fit */
};

/* "none", "ext4", "xfs" */
const char *superblock_kind_text(enum superblock_kind kind);
/* `start`: the first 4096 bytes of the device. What is neither, or makes no sense, is SUPERBLOCK_NONE. */
void superblock_decode(const uint8_t *start, struct superblock *ret);
/*
 * ",usrquota" and the like, for mount(2): a mount without them does not enforce quotas (ext4), or drops what was counted
 * (XFS). "" when there are none.
 */
#define SUPERBLOCK_QUOTA_SIZE 64
void superblock_quota_options(const struct superblock *s, char ret[SUPERBLOCK_QUOTA_SIZE]);
/* 0, also for none; errors of the device. */
int superblock_read(const struct device *d, struct superblock *ret);

#endif
