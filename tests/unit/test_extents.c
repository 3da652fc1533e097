/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Extents of files on real ext4 and XFS: what may be lent is on the device where the map says; the rest is never lent. */
#include "csvfs/io/device.h"
#include "csvfs/io/extents.h"
#include "tests/unit/loop_rig.h"

#define PATH "/mnt/v/file"
#define MANY 4096

static struct loop loop;
static struct device device;
static uint32_t sector;
static struct vol_extent list[MANY];

static void start(const char *filesystem, uint32_t sector_size)
{
	sector = sector_size;
	loop = loop_new(400 * MIB, sector);
	REQUIRE(!device_open(&device, loop.path, false));
	if (!strcmp(filesystem, "xfs"))
		REQUIRE(!rig_run("mkfs.xfs -q -f -m reflink=1 -s size=4096 %s", loop.path));
	else
		REQUIRE(!rig_run("mkfs.ext4 -q -O inline_data -b 4096 %s", loop.path));
	rig_mount_point("/mnt/v");
	REQUIRE(!mount(loop.path, "/mnt/v", filesystem, 0, NULL));
}

static void finish(void)
{
	REQUIRE(!umount("/mnt/v"));
	device_close(&device);
	loop_free(&loop);
}

static int file_open(int flags)
{
	int fd = open(PATH, O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC | flags, 0600);

	REQUIRE(fd >= 0);
	return fd;
}

static uint64_t size_of(int fd)
{
	struct stat st;

	REQUIRE(!fstat(fd, &st));
	return (uint64_t)st.st_size;
}

static int find(int fd, uint64_t offset, uint64_t length)
{
	return extents_find(fd, offset, length, size_of(fd), sector, list, MANY);
}

static uint64_t lent(int n)
{
	uint64_t sum = 0;

	for (int i = 0; i < n; i++)
		sum += list[i].length;
	return sum;
}

static void pattern(uint8_t *p, uint64_t at, size_t len)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)((at + i) * 11 + ((at + i) >> 9) + 1);
}

static void write_pattern(int fd, uint64_t at, size_t len)
{
	uint8_t *buf = device_buffer(len);

	REQUIRE(buf);
	pattern(buf, at, len);
	REQUIRE(pwrite(fd, buf, len, (off_t)at) == (ssize_t)len);
	free(buf);
}

/* What is lent holds, on the device, the pattern or zeros (in [from, to)). */
static void check_device(int n, uint64_t from, uint64_t to)
{
	for (int i = 0; i < n; i++) {
		uint8_t *buf = device_buffer(list[i].length), *want = malloc(list[i].length);

		REQUIRE(buf && want);
		CHECK_EQ(device_read(&device, buf, list[i].length, list[i].physical), 0);
		pattern(want, list[i].offset, list[i].length);
		for (uint64_t k = 0; k < list[i].length; k++) {
			if (list[i].offset + k >= from && list[i].offset + k < to)
				want[k] = 0;
		}
		CHECK_MEM(buf, want, list[i].length);
		free(buf);
		free(want);
	}
}

static void test_written(void)
{
	int fd = file_open(O_TRUNC), n;

	CHECK_EQ(find(fd, 0, MIB), 0); /* empty */
	write_pattern(fd, 0, 4 * MIB);
	REQUIRE(!fdatasync(fd));
	n = find(fd, 0, UINT64_MAX);
	CHECK(n >= 1);
	CHECK_EQ(lent(n), 4 * MIB);
	check_device(n, 0, 0);
	/* A part, rounded out; beyond the end; nothing at all. */
	n = find(fd, MIB + 1, sector);
	CHECK_EQ(lent(n), 2 * sector);
	CHECK_EQ(list[0].offset, MIB);
	check_device(n, 0, 0);
	n = find(fd, 4 * MIB - sector, MIB);
	CHECK_EQ(lent(n), sector);
	CHECK_EQ(find(fd, 4 * MIB, MIB), 0);
	CHECK_EQ(find(fd, UINT64_MAX - 5, UINT64_MAX), 0);
	CHECK_EQ(find(fd, MIB, 0), 0);
	CHECK_EQ(extents_find(fd, 0, MIB, MIB, 1000, list, MANY), -EINVAL);
	CHECK_EQ(extents_find(fd, 0, MIB, MIB, 0, list, MANY), -EINVAL);
	CHECK_EQ(extents_find(fd, 0, MIB, 4 * MIB, sector, list, 0), 0);
	/* The size's last sector is lent whole, what lies behind it is not. */
	REQUIRE(!ftruncate(fd, (off_t)(2 * MIB + 100)));
	n = find(fd, 2 * MIB - sector, MIB);
	CHECK_EQ(lent(n), 2 * sector);
	close(fd);
}

/* A write of these changes data alone: not of a hole, of what is only allocated, or of a part of either. */
static void test_data_alone(void)
{
	int fd = file_open(O_TRUNC);

	CHECK_EQ(extents_written(fd, 0, sector), 0); /* empty */
	write_pattern(fd, 0, MIB);
	REQUIRE(!fallocate(fd, 0, 2 * MIB, MIB));
	CHECK_EQ(extents_written(fd, 0, MIB), 1);
	CHECK_EQ(extents_written(fd, 1, MIB - 2), 1);
	CHECK_EQ(extents_written(fd, MIB - 1, 2), 0);
	CHECK_EQ(extents_written(fd, 2 * MIB, sector), 0); /* unwritten */
	write_pattern(fd, 2 * MIB, MIB / 16);
	CHECK_EQ(extents_written(fd, 2 * MIB, MIB / 16), 1);
	CHECK_EQ(extents_written(fd, 2 * MIB - 1, MIB / 16), 0);
	CHECK_EQ(extents_written(fd, 2 * MIB, MIB / 16 + 1), 0);
	CHECK_EQ(extents_written(fd, 4 * MIB, sector), 0); /* behind the end */
	CHECK_EQ(extents_written(fd, MIB, 0), 1);
	close(fd);
	CHECK_EQ(extents_written(-1, 0, 1), -EBADF);
}

/* Holes, unwritten blocks and what lies behind the end are not lent; after extents_fill() they are, as zeros. */
static void test_fill(void)
{
	int fd = file_open(O_TRUNC), n;

	write_pattern(fd, 0, MIB);
	write_pattern(fd, 20 * MIB, MIB);
	REQUIRE(!fallocate(fd, 0, 10 * MIB, 4 * MIB));
	REQUIRE(!fallocate(fd, FALLOC_FL_KEEP_SIZE, 30 * MIB, 4 * MIB));
	n = find(fd, 0, UINT64_MAX);
	CHECK_EQ(lent(n), 2 * MIB);
	check_device(n, 0, 0);
	CHECK_EQ(find(fd, 10 * MIB, 4 * MIB), 0);
	CHECK_EQ(find(fd, 30 * MIB, 4 * MIB), 0);
	/* One byte: the block around it, out of the middle of an unwritten extent. */
	CHECK_EQ(extents_fill(fd, 11 * MIB + 5, 1), 0);
	n = find(fd, 10 * MIB, 4 * MIB);
	CHECK_EQ(lent(n), 4096);
	CHECK_EQ(list[0].offset, 11 * MIB);
	CHECK_EQ(extents_fill(fd, MIB / 2, 19 * MIB + MIB / 2 + 1), 0);
	REQUIRE(!fdatasync(fd));
	n = find(fd, 0, UINT64_MAX);
	CHECK_EQ(lent(n), 21 * MIB);
	check_device(n, MIB, 20 * MIB);
	CHECK_EQ(size_of(fd), 21 * MIB);
	/* Nothing more to do, and nothing behind the end. */
	CHECK_EQ(extents_fill(fd, 0, UINT64_MAX), 0);
	CHECK_EQ(size_of(fd), 21 * MIB);
	CHECK_EQ(extents_fill(fd, 40 * MIB, MIB), 0);
	CHECK_EQ(extents_fill(fd, 0, 0), 0);
	n = find(fd, 0, UINT64_MAX);
	CHECK_EQ(lent(n), 21 * MIB);
	close(fd);
}

/* A size in the middle of a sector must not change. */
static void test_fill_tail(void)
{
	int fd = file_open(O_TRUNC), n;

	REQUIRE(!ftruncate(fd, (off_t)(3 * MIB + 3 * 4096 + 700)));
	CHECK_EQ(extents_fill(fd, 0, UINT64_MAX), 0);
	CHECK_EQ(size_of(fd), 3 * MIB + 3 * 4096 + 700);
	REQUIRE(!fdatasync(fd));
	n = find(fd, 0, UINT64_MAX);
	CHECK(lent(n) >= 3 * MIB + 3 * 4096);
	check_device(n, 0, UINT64_MAX);
	close(fd);
}

/* What is still in the page cache: it must not be lost to zeros, nor lent before it is there. */
static void test_dirty(void)
{
	uint8_t *want = malloc(MIB);
	int fd = file_open(O_TRUNC), buffered = open(PATH, O_RDWR | O_CLOEXEC), n;

	REQUIRE(buffered >= 0 && want);
	REQUIRE(!fallocate(fd, 0, 0, 8 * MIB));
	pattern(want, 2 * MIB, MIB);
	REQUIRE(pwrite(buffered, want, MIB, 2 * MIB) == (ssize_t)MIB);
	CHECK_EQ(extents_fill(fd, 0, 8 * MIB), 0);
	REQUIRE(!fdatasync(fd));
	n = find(fd, 0, UINT64_MAX);
	CHECK_EQ(lent(n), 8 * MIB);
	n = find(fd, 2 * MIB, MIB);
	check_device(n, 0, 0);
	close(buffered);
	close(fd);
	free(want);
}

/* Very many extents: all are found, in as many calls as it takes; a short list ends early and says nothing wrong. */
static void test_many(void)
{
	int fd = file_open(O_TRUNC), n;
	uint32_t i;

	for (i = 0; i < 1000; i++)
		write_pattern(fd, (uint64_t)i * 8192, 4096);
	REQUIRE(!fdatasync(fd));
	n = find(fd, 0, UINT64_MAX);
	CHECK_EQ(n, 1000);
	check_device(n, 0, 0);
	for (i = 0; i < 1000; i++)
		CHECK_EQ(list[i].offset, (uint64_t)i * 8192);
	CHECK_EQ(extents_find(fd, 4096, UINT64_MAX / 2, size_of(fd), sector, list, 10), 10);
	CHECK_EQ(list[0].offset, 8192);
	CHECK_EQ(list[9].offset, 10 * 8192);
	CHECK_EQ(extents_fill(fd, 0, UINT64_MAX), 0);
	n = find(fd, 0, UINT64_MAX);
	CHECK_EQ(lent(n), 999 * 8192 + 4096);
	close(fd);
}

static void test_shared(void)
{
	int fd = file_open(O_TRUNC), clone = open("/mnt/v/clone", O_RDWR | O_CREAT | O_CLOEXEC, 0600), n;

	REQUIRE(clone >= 0);
	write_pattern(fd, 0, 2 * MIB);
	REQUIRE(!fdatasync(fd));
	REQUIRE(!ioctl(clone, FICLONERANGE, &(struct file_clone_range){ .src_fd = fd, .src_length = MIB }));
	n = find(fd, 0, UINT64_MAX);
	CHECK_EQ(lent(n), MIB);
	CHECK_EQ(list[0].offset, MIB);
	/* It is data: nothing for extents_fill(). */
	CHECK_EQ(extents_fill(fd, 0, UINT64_MAX), 0);
	n = find(fd, 0, UINT64_MAX);
	CHECK_EQ(lent(n), MIB);
	close(clone);
	close(fd);
}

static void test_inline(void)
{
	int fd, buffered;

	REQUIRE(!unlink(PATH)); /* what once had blocks never gets inline */
	fd = file_open(O_EXCL);
	buffered = open(PATH, O_RDWR | O_CLOEXEC);
	REQUIRE(buffered >= 0 && pwrite(buffered, "small", 5, 0) == 5 && !fsync(buffered));
	CHECK_EQ(find(fd, 0, UINT64_MAX), 0);
	close(buffered);
	close(fd);
}

static void test_full(void)
{
	int fd = file_open(O_TRUNC);

	REQUIRE(!ftruncate(fd, (off_t)(1000 * MIB)));
	CHECK_EQ(extents_fill(fd, 0, UINT64_MAX), -ENOSPC);
	REQUIRE(!unlink(PATH));
	close(fd);
}

static void all(const char *filesystem, uint32_t sector_size)
{
	int failed = check_failed;

	start(filesystem, sector_size);
	test_written();
	test_data_alone();
	test_fill();
	test_fill_tail();
	test_dirty();
	test_many();
	if (!strcmp(filesystem, "xfs"))
		test_shared();
	else
		test_inline();
	test_full();
	finish();
	if (failed != check_failed)
		fprintf(stderr, "\ton %s, sectors of %u bytes\n", filesystem, sector_size);
}

int main(void)
{
	loop_rig_start();
	all("ext4", 512);
	all("ext4", 4096);
	all("xfs", 512);
	all("xfs", 4096);
	return check_result();
}
