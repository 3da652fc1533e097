/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/io/growth.h"

#include <errno.h>
#include <sys/ioctl.h>

#include "csvfs/io/trailer.h"

#define RESIZE_EXT4 _IOW('f', 16, uint64_t)
struct xfs_growth {
	uint64_t blocks;
	uint32_t imax_pct;
};
#define RESIZE_XFS _IOW('X', 110, struct xfs_growth)

uint64_t growth_size(const struct superblock *s, uint64_t end) { return s->block ? end / s->block * s->block : 0; }

int growth_run(const struct superblock *s, int root, uint64_t end)
{
	struct xfs_growth to = { .imax_pct = s->imax_pct };
	int r;

	if (growth_size(s, end) <= s->size)
		return 0;
	to.blocks = growth_size(s, end) / s->block;
	r = s->kind == SUPERBLOCK_XFS ? ioctl(root, RESIZE_XFS, &to) : ioctl(root, RESIZE_EXT4, &to.blocks);
	if (!r)
		return 1;
	return errno == EINVAL && s->kind == SUPERBLOCK_XFS && end - s->size < TRAILER_SIZE ? 0 : -errno;
}
