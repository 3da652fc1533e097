/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file system of a volume, mounted for this process alone: barrier of the owner record, checks, mount, proof of
 * release. mount_open() and mount_close() are called while the process has one thread; the others by any thread.
 */
#ifndef CSVFS_OWNER_MOUNT_H
#define CSVFS_OWNER_MOUNT_H

#include "csvfs/io/device.h"
#include "csvfs/io/trailer.h"

#define MOUNT_RELEASE_MS                                                                                       \
	20000		 /* a superblock of a process that died goes within this time, or the mount is refused \
			  */

struct mount_options {
	const char *device, *dir;
	uint64_t epoch, incarnation;
	uint32_t node;
	bool take_over;		 /* also over a record that is damaged or csvfs-admin's */
};

struct volume_mount {
	struct device device;
	struct trailer trailer;
	struct trailer_header header;
	struct trailer_owner record; /* ours; all zero: not claimed */
	char device_path[256], dir[256];
	int root_fd;	/* of the mounted root; -1: not mounted */
	uint32_t block; /* of the file system, bytes */
	char quota[SUPERBLOCK_QUOTA_SIZE]; /* options of mount(2), see superblock_quota_options() */
	bool xfs, mounted; /* mounted: by us, in our own namespace */
};

/* Mounts. Negative errno and `error` (what, why, what to do) when the volume must not or cannot be mounted. */
int mount_open(struct volume_mount *m, const struct mount_options *o, char *error, size_t size);
/* Unmounts, proves that no copy of the superblock lives on, and writes the record free. `error` as above. */
int mount_close(struct volume_mount *m, char *error, size_t size);
/* Stops all I/O of the superblock at once, without flushing its log (self-fence) [I10a]. Async-signal-safe. */
void mount_shutdown(const struct volume_mount *m);
/* The device answers and the volume is still ours: 0, -ESTALE: another owner, or the error of the device. */
int mount_verify(const struct volume_mount *m);

#endif
