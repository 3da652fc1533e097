/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Operations on names: a lock of each (directory, name), the intent on the disk, the operation, the commit, the outcome
 * [I8, I9].
 *
 *   names_begin() -> names_intent() -> the file system -> names_end()
 *
 * names_begin() also takes back what others have cached of what will change: the directories' attributes, the names, and
 * the attributes of the files that have them. That goes by what the names are before they are locked: when they are
 * something else then, it begins again.
 */
#ifndef CSVFS_OWNER_NAMES_H
#define CSVFS_OWNER_NAMES_H

#include "csvfs/owner/owner.h"

struct name_lock {
	struct name_lock *next;
	const struct vol_fid *parent;
	const char *name;
};

struct named {
	struct owner *owner;
	struct intent intent;
	uint32_t n; /* names: 1, or 2 of a rename */
	struct file *parent[2];
	struct name_lock locks[2];
	uint64_t claim;
	bool locked, noted, happened; /* happened: a new owner was asked again; intent says what came of it */
};

/* Directories, locks, and what the names are now (intent.had). Always followed by names_end(). 0 or negative errno. */
int names_begin(struct request *r, struct named *n);
/* The intent is on the disk when it returns 0. */
int names_intent(struct request *r, struct named *n);
/* Commits and notes the outcome of `error`; releases everything. Returns `error`. */
int names_end(struct request *r, struct named *n, int error, const struct file *made);

#endif
