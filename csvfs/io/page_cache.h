/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the kernel has in its page cache of a file or a block device: by cachestat(2), Linux 6.5, or by mincore(2). Both look only;
 * what they say holds as long as nobody reads or writes it through the cache.
 */
#ifndef CSVFS_IO_PAGE_CACHE_H
#define CSVFS_IO_PAGE_CACHE_H

#include <stdint.h>

#define PAGE_CACHE_PAGE 4096u

/* Some page of [offset, offset + length) is cached: 1, none: 0, not known: -errno. `offset`: a multiple of PAGE_CACHE_PAGE. */
int page_cache_has_range(int fd, uint64_t offset, uint64_t length);
/* The same for all of a file. */
int page_cache_has(int fd);

#endif
