/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/io/page_cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* cachestat(2): neither the C library nor the kernel's headers of Debian 12 have it. */
#define SYS_CACHESTAT 451
struct cache_range {
	uint64_t offset, length; /* length 0: to the end */
};
struct cache_counts {
	uint64_t cached, dirty, writeback, evicted, recently_evicted; /* pages */
};

#define WINDOW (1u << 30) /* the map of a file of terabytes would be large */

/* 1, 0, or -ENOSYS: this kernel does not have it. */
static int by_count(int fd, const struct cache_range *range)
{
	struct cache_counts counts;

	if (syscall(SYS_CACHESTAT, fd, range, &counts, 0))
		return -ENOSYS;
	return counts.cached || counts.dirty || counts.writeback;
}

static int window_has(int fd, uint64_t at, size_t len)
{
	size_t pages = (len + PAGE_CACHE_PAGE - 1) / PAGE_CACHE_PAGE;
	void *map = mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, (off_t)at); /* a read-only device has no shared ones */
	unsigned char *resident = malloc(pages);
	int found;

	if (map == MAP_FAILED || !resident || mincore(map, len, resident))
		found = -errno;
	else
		found = memchr(resident, 1, pages) != NULL;
	free(resident);
	if (map != MAP_FAILED)
		munmap(map, len);
	return found;
}

static int by_map(int fd, uint64_t at, uint64_t end)
{
	int found = 0;

	for (; at < end && !found; at += WINDOW)
		found = window_has(fd, at, end - at < WINDOW ? (size_t)(end - at) : WINDOW);
	return found;
}

int page_cache_has_range(int fd, uint64_t offset, uint64_t length)
{
	int found = length ? by_count(fd, &(struct cache_range){ offset, length }) : 0;

	return found == -ENOSYS ? by_map(fd, offset, offset + length) : found;
}

/* Where a file has holes there are no pages that matter to anybody, and it can be a hole of exabytes. */
static int data_by_map(int fd)
{
	int found = 0;

	for (off_t at = lseek(fd, 0, SEEK_DATA), end; at >= 0 && !found; at = lseek(fd, end, SEEK_DATA)) {
		end = lseek(fd, at, SEEK_HOLE);
		if (end < 0)
			break; /* it has become shorter meanwhile: whoever did that looks again */
		found = by_map(fd, (uint64_t)(at - at % PAGE_CACHE_PAGE), (uint64_t)end);
	}
	return found;
}

int page_cache_has(int fd)
{
	int found = by_count(fd, &(struct cache_range){ 0, 0 });

	return found == -ENOSYS ? data_by_map(fd) : found;
}
