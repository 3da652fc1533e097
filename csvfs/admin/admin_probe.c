/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a device carries, by libblkid; its result, for people. */
#include <blkid.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "cleanup.h"
#include "csvfs/admin/admin.h"

static const char *value_of(blkid_probe p, const char *name)
{
	const char *value;

	return blkid_probe_lookup_value(p, name, &value, NULL) ? NULL : value;
}

static void describe(blkid_probe p, char *out, size_t size)
{
	const char *type = value_of(p, "TYPE"), *table = value_of(p, "PTTYPE"), *label = value_of(p, "LABEL"),
		   *usage = value_of(p, "USAGE");

	if (type)
		snprintf(out, size, "%s (%s)%s%s", type, usage ? usage : "unknown use", label && *label ? ", label " : "",
			 label && *label ? label : "");
	else if (table)
		snprintf(out, size, "a partition table (%s)", table);
	else
		snprintf(out, size, "something unknown");
}

static int probe(int fd, char *out, size_t size)
{
	blkid_probe p = blkid_new_probe();
	int r = -ENOMEM;

	if (!p)
		return r;
	if (!blkid_probe_set_device(p, fd, 0, 0) && !blkid_probe_enable_superblocks(p, 1) &&
	    !blkid_probe_set_superblocks_flags(p, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_USAGE | BLKID_SUBLKS_LABEL) &&
	    !blkid_probe_enable_partitions(p, 1)) {
		r = blkid_do_safeprobe(p);
		if (!r)
			describe(p, out, size);
		else if (r == -2)
			snprintf(out, size, "several things at once");
		r = r == -1 ? -EIO : 0;
	}
	blkid_free_probe(p);
	return r;
}

int probe_device(const char *path, char ret_what[ADMIN_WHAT_SIZE])
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	int r;

	ret_what[0] = '\0';
	if (fd < 0)
		return -errno;
	r = probe(fd, ret_what, ADMIN_WHAT_SIZE);
	/* It reads through the cache of the block device, which nobody else may do later. */
	if (!r && ioctl(fd, BLKFLSBUF, 0) < 0)
		r = -errno;
	return r;
}
