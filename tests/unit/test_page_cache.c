/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel has cached of a file: by cachestat(2) if it has it, and by mincore(2), which older kernels have. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/lib/check.h"

#include "csvfs/io/page_cache.h"

/* The same file once more, for a kernel without cachestat(2). */
#define SYS_CACHESTAT (-1)
#define page_cache_has_range older_has_range
#define page_cache_has older_has
int older_has_range(int fd, uint64_t offset, uint64_t length);
int older_has(int fd);
#include "csvfs/io/page_cache.c"
#undef page_cache_has_range
#undef page_cache_has

#define KIB 1024u
#define SIZE (1024 * KIB)

static int make_file(void)
{
	char path[] = "page_cache.XXXXXX";
	int fd = mkstemp(path);

	REQUIRE(fd >= 0);
	unlink(path);
	return fd;
}

static void drop(int fd)
{
	REQUIRE(!fdatasync(fd) && !posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
}

static void expect(int fd, uint64_t offset, uint64_t length, int cached)
{
	CHECK_EQ(page_cache_has_range(fd, offset, length), cached);
	CHECK_EQ(older_has_range(fd, offset, length), cached);
}

static void expect_all(int fd, int cached)
{
	CHECK_EQ(page_cache_has(fd), cached);
	CHECK_EQ(older_has(fd), cached);
}

int main(void)
{
	static uint8_t data[SIZE];
	int fd = make_file();

	memset(data, 1, sizeof(data));
	REQUIRE(write(fd, data, SIZE) == SIZE);
	expect_all(fd, 1);
	expect(fd, 0, SIZE, 1);
	expect(fd, 0, 0, 0);
	drop(fd);
	expect_all(fd, 0);
	expect(fd, 0, SIZE, 0);

	/* One page of it. */
	REQUIRE(!posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM));
	REQUIRE(pread(fd, data, 1, 512 * KIB) == 1);
	expect_all(fd, 1);
	expect(fd, 512 * KIB, 1, 1);
	expect(fd, 0, SIZE, 1);
	expect(fd, 0, 512 * KIB, 0);
	expect(fd, 516 * KIB, SIZE - 516 * KIB, 0);
	drop(fd);
	expect_all(fd, 0);

	/* A hole of exabytes is none to look through. */
	REQUIRE(!ftruncate(fd, (off_t)1 << 42));
	expect_all(fd, 0);
	close(fd);
	return check_result();
}
