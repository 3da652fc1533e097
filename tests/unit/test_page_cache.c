/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel has cached of a file: by cachestat(2) if it has it, and by mincore(2), as on a kernel without. */
#include "csvfs/io/page_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "tests/lib/check.h"
#include "tests/lib/without_call.h"

#define CACHESTAT 451 /* its number on all architectures */
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

static void look(void)
{
	static uint8_t data[SIZE];
	int fd = make_file();

	memset(data, 1, sizeof(data));
	REQUIRE(write(fd, data, SIZE) == SIZE);
	CHECK_EQ(page_cache_has(fd), 1);
	CHECK_EQ(page_cache_has_range(fd, 0, SIZE), 1);
	CHECK_EQ(page_cache_has_range(fd, 0, 0), 0);
	drop(fd);
	CHECK_EQ(page_cache_has(fd), 0);
	CHECK_EQ(page_cache_has_range(fd, 0, SIZE), 0);

	/* One page of it. */
	REQUIRE(!posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM));
	REQUIRE(pread(fd, data, 1, 512 * KIB) == 1);
	CHECK_EQ(page_cache_has(fd), 1);
	CHECK_EQ(page_cache_has_range(fd, 512 * KIB, 1), 1);
	CHECK_EQ(page_cache_has_range(fd, 0, SIZE), 1);
	CHECK_EQ(page_cache_has_range(fd, 0, 512 * KIB), 0);
	CHECK_EQ(page_cache_has_range(fd, 516 * KIB, SIZE - 516 * KIB), 0);
	drop(fd);
	CHECK_EQ(page_cache_has(fd), 0);

	/* A hole of terabytes is none to look through. */
	REQUIRE(!ftruncate(fd, (off_t)1 << 42));
	CHECK_EQ(page_cache_has(fd), 0);
	close(fd);
}

/* From now on this process has a kernel without cachestat(2). */
static void take_away(void)
{
	REQUIRE(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) && !without_call(CACHESTAT));
	REQUIRE(syscall(CACHESTAT, -1, NULL, NULL, 0) < 0 && errno == ENOSYS);
}

int main(void)
{
	look();
	take_away();
	look();
	return check_result();
}
