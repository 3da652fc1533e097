/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Extents of a file by FIEMAP (kernel: Documentation/filesystems/fiemap.rst), and zeros where there are none. */
#include "csvfs/io/extents.h"

#include <errno.h>
#include <linux/fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/stat.h>
#include <stdalign.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BATCH 128
#define LENDABLE (FIEMAP_EXTENT_LAST | FIEMAP_EXTENT_MERGED)

/* Never written, so no page of it is ever taken: the kernel reads its one page of zeros. */
static alignas(4096) uint8_t zeros[EXTENTS_FILL_SIZE];

union map {
	struct fiemap head;
	uint8_t room[sizeof(struct fiemap) + BATCH * sizeof(struct fiemap_extent)];
};

/* The next extents that touch [at, end). SYNC: what is dirty shows as unwritten or as nothing, and would be overwritten. */
static int map_get(int fd, union map *m, uint64_t at, uint64_t end)
{
	m->head = (struct fiemap){
		.fm_start = at,
		.fm_length = end - at,
		.fm_flags = FIEMAP_FLAG_SYNC,
		.fm_extent_count = BATCH,
	};
	return ioctl(fd, FS_IOC_FIEMAP, &m->head) < 0 ? -errno : 0;
}

static uint64_t sum(uint64_t a, uint64_t b) { return a > UINT64_MAX - b ? UINT64_MAX : a + b; }

/* Rounded up; what cannot be is as high as can be. */
static uint64_t round_up(uint64_t v, uint32_t align) { return sum(v, align - 1) & ~(uint64_t)(align - 1); }

static uint64_t smaller(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* The part of an extent in [from, to), in whole sectors; false: nothing. */
static bool cut(const struct fiemap_extent *e, uint64_t from, uint64_t to, uint32_t align, struct vol_extent *ret)
{
	uint64_t start = e->fe_logical > from ? e->fe_logical : from;
	uint64_t end = smaller(sum(e->fe_logical, e->fe_length), to);

	if (start >= end || (e->fe_flags & ~(uint32_t)LENDABLE))
		return false;
	*ret = (struct vol_extent){ start, e->fe_physical + (start - e->fe_logical), end - start };
	return !((ret->offset | ret->physical | ret->length) & (align - 1));
}

/* Number of extents then; -ENOBUFS: no room for it. */
static int append(struct vol_extent *out, uint32_t n, uint32_t max, const struct vol_extent *e)
{
	struct vol_extent *last = n ? &out[n - 1] : NULL;

	if (last && last->offset + last->length == e->offset && last->physical + last->length == e->physical) {
		last->length += e->length;
		return (int)n;
	}
	if (n == max)
		return -ENOBUFS;
	out[n] = *e;
	return (int)n + 1;
}

int extents_find(int fd, uint64_t offset, uint64_t length, uint64_t size, uint32_t align, struct vol_extent *out, uint32_t max)
{
	uint64_t end, at = offset & ~(uint64_t)(align - 1);
	uint32_t n = 0;
	const struct fiemap_extent *last;
	union map m;

	if (!align || (align & (align - 1)))
		return -EINVAL;
	end = smaller(round_up(sum(offset, length), align), round_up(size, align));
	while (length && at < end) {
		int r = map_get(fd, &m, at, end);

		if (r < 0)
			return r;
		if (!m.head.fm_mapped_extents)
			break;
		for (uint32_t i = 0; i < m.head.fm_mapped_extents; i++) {
			const struct fiemap_extent *e = &m.head.fm_extents[i];
			struct vol_extent piece;

			if (cut(e, at, end, align, &piece)) {
				r = append(out, n, max, &piece);
				if (r < 0)
					return (int)n;
				n = (uint32_t)r;
			}
			if (e->fe_flags & FIEMAP_EXTENT_LAST)
				return (int)n;
		}
		last = &m.head.fm_extents[m.head.fm_mapped_extents - 1];
		at = sum(last->fe_logical, last->fe_length);
	}
	return (int)n;
}

int extents_written(int fd, uint64_t offset, uint64_t length)
{
	uint64_t at = offset, end = sum(offset, length);
	union map m;

	while (at < end) {
		int r = map_get(fd, &m, at, end);

		if (r < 0)
			return r;
		if (!m.head.fm_mapped_extents)
			return 0;
		for (uint32_t i = 0; i < m.head.fm_mapped_extents; i++) {
			const struct fiemap_extent *e = &m.head.fm_extents[i];

			if (e->fe_logical > at || (e->fe_flags & ~(uint32_t)LENDABLE))
				return 0;
			at = sum(e->fe_logical, e->fe_length);
		}
	}
	return 1;
}

static int write_zeros(int fd, uint64_t from, uint64_t to)
{
	while (from < to) {
		size_t want = (size_t)smaller(to - from, sizeof(zeros));
		ssize_t n = pwrite(fd, zeros, want, (off_t)from);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		from += (uint64_t)n;
	}
	return 0;
}

/*
 * The range in whole blocks of the file system, its end cut to what O_DIRECT can write without a change of the size. A
 * kernel or file system that does not tell what that is (statx(2), since 6.1) is taken to want whole blocks.
 */
static int fill_range(int fd, uint64_t *at, uint64_t *end)
{
	struct statx st = { 0 };
	uint64_t size;
	uint32_t block, sector;

	if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_DIOALIGN, &st) < 0)
		return -errno;
	block = st.stx_blksize;
	if (!block || (block & (block - 1)))
		return -EOPNOTSUPP;
	sector = (st.stx_mask & STATX_DIOALIGN) && st.stx_dio_offset_align ? st.stx_dio_offset_align : block;
	size = st.stx_size & ~(uint64_t)(sector - 1);
	*at &= ~(uint64_t)(block - 1);
	*end = smaller(round_up(*end, block), size);
	return 0;
}

int extents_fill(int fd, uint64_t offset, uint64_t length)
{
	uint64_t at = offset, end = sum(offset, length);
	union map m;
	int r = fill_range(fd, &at, &end);

	if (r < 0 || !length)
		return r;
	while (at < end) {
		r = map_get(fd, &m, at, end);
		if (r < 0)
			return r;
		if (!m.head.fm_mapped_extents)
			return write_zeros(fd, at, end);
		for (uint32_t i = 0; i < m.head.fm_mapped_extents && at < end; i++) {
			const struct fiemap_extent *e = &m.head.fm_extents[i];
			uint64_t next = smaller(sum(e->fe_logical, e->fe_length), end);
			bool unwritten = e->fe_flags & FIEMAP_EXTENT_UNWRITTEN;

			/* The hole before it, and itself. */
			r = write_zeros(fd, at, unwritten ? next : smaller(e->fe_logical, end));
			if (r < 0)
				return r;
			at = next > at ? next : at;
		}
	}
	return 0;
}
