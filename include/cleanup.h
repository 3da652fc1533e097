/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Scope-bound release of locals: `cleanup_free char *s = …;` frees s on every way out. */
#ifndef CLUSTER_CLEANUP_H
#define CLUSTER_CLEANUP_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_free_pointer(void *p) { free(*(void **)p); }
static inline void cleanup_close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}
static inline void cleanup_close_file(FILE **f)
{
	if (*f)
		fclose(*f);
}

#define cleanup_free __attribute__((cleanup(cleanup_free_pointer)))
#define cleanup_fd __attribute__((cleanup(cleanup_close_fd)))
#define cleanup_file __attribute__((cleanup(cleanup_close_file)))

#endif
