/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Client side, one per session: attributes of files and names in directories that the owner has lent. Pure; the caller holds
 * one lock around every call, and asks pending.h first what an answer may still say here.
 *
 * Bounded: what has been used least recently goes, without a word to the owner, who keeps it noted; the recall that comes of
 * that finds nothing. To drop more than is asked for is always right, to keep anything never.
 */
#ifndef CSVFS_CORE_NAME_CACHE_H
#define CSVFS_CORE_NAME_CACHE_H

#include <stddef.h>

#include "proto/volume.h"

struct name_cache;

struct name_cache_limits {
	uint32_t files; /* whose attributes are known */
	uint32_t names; /* and directories of which all names are known */
};
/* About 170 bytes a file and 370 a name, touched only as far as they were ever used. */
size_t name_cache_size(const struct name_cache_limits *l);
/* In `memory`, name_cache_size() zeroed bytes, aligned like malloc's. */
struct name_cache *name_cache_init(void *memory, const struct name_cache_limits *l);

/* What is known to be missing of a file: kept with its attributes, and gone with them. */
enum name_cache_missing { NAME_CACHE_NO_ACL = 1, NAME_CACHE_NO_DEFAULT_ACL = 2 };

/* False: unknown. */
bool name_cache_attr(struct name_cache *c, const struct vol_fid *file, struct vol_attr *ret);
/* enum name_cache_missing; 0 also when the file is unknown. */
uint32_t name_cache_missing(struct name_cache *c, const struct vol_fid *file);
/* False: unknown. *ret none: there is no such name. */
bool name_cache_name(struct name_cache *c, const struct vol_fid *directory, const char *name, struct vol_fid *ret);

/*
 * When something else is known already nothing is known afterwards: the session changes it itself just now, and nobody can tell
 * which of two answers is the older one. The name is shorter than VOL_FNAME_SIZE, and not empty.
 */
void name_cache_put_attr(struct name_cache *c, const struct vol_fid *file, const struct vol_attr *attr);
/* Nothing when the file is unknown. */
void name_cache_put_missing(struct name_cache *c, const struct vol_fid *file, uint32_t missing);
void name_cache_put_name(struct name_cache *c, const struct vol_fid *directory, const char *name, const struct vol_fid *file);
/*
 * A new directory: it has no names but those that are put and dropped from now on. A name that is dropped is unknown then, and
 * when the cache has no room for one of them any more, of all others nothing is known either.
 */
void name_cache_put_whole(struct name_cache *c, const struct vol_fid *directory);

void name_cache_drop_attr(struct name_cache *c, const struct vol_fid *file);
/* "": all of the directory. */
void name_cache_drop_name(struct name_cache *c, const struct vol_fid *directory, const char *name);
void name_cache_clear(struct name_cache *c);

/*
 * For status and tests. Names of a directory that was dropped as a whole count until they are met, and so do names that are unknown
 * of a whole one.
 */
void name_cache_count(const struct name_cache *c, uint32_t *ret_files, uint32_t *ret_names);

#endif
