/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owner side: POSIX, OFD and flock locks of all sessions, with the semantics of Linux (fs/locks.c, fcntl(2), flock(2)).
 * Pure; the caller holds one lock around every call.
 *
 * Byte-range locks (POSIX and OFD) and flock locks do not see each other. A byte-range lock belongs to (session, lock_owner):
 * the kernel's number of the process's file table, or of the open file description. Setting one replaces what the same owner has
 * there: split, merged, converted at once. A flock lock belongs to the open file (session, handle); a conversion first gives up
 * the old one. A new request does not wait behind waiting ones it does not conflict with (as Linux); waiting ones are looked at
 * in order of arrival.
 *
 * close(2): FUSE sends FLUSH with the POSIX lock owner of who closes: the session sends F_UNLCK 0..INT64_MAX for that owner (it
 * may have no lock: 0). OFD locks and flocks go with RELEASE of the handle: the kernel does not unlock them by itself.
 *
 * Deadlock: EDEADLK for waits of byte-range locks, as Linux looks: a chain of at most FILE_LOCK_DEADLOCK_DEPTH owners. The wire
 * does not tell OFD from POSIX (FUSE does not), so waiting OFD locks are looked at too.
 */
#ifndef CSVFS_CORE_FILE_LOCK_H
#define CSVFS_CORE_FILE_LOCK_H

#include <stddef.h>

#include "csvfs/core/session_set.h"
#include "proto/volume.h"

#define FILE_LOCK_READ 0 /* F_RDLCK */
#define FILE_LOCK_WRITE 1 /* F_WRLCK */
#define FILE_LOCK_NONE 2 /* F_UNLCK */
#define FILE_LOCK_END INT64_MAX
#define FILE_LOCK_DEADLOCK_DEPTH 10 /* MAX_DEADLK_ITERATIONS of fs/locks.c */

struct file_lock_table;

struct file_lock_limits {
	uint32_t files, locks, waiters;
};
size_t file_lock_size(const struct file_lock_limits *l);
struct file_lock_table *file_lock_init(void *memory, const struct file_lock_limits *l);

struct file_lock_ask {
	const struct vol_fid *file;
	uint32_t session, node;
	uint64_t request; /* number of the request, for cancel; a repeated one takes the place of the first */
	uint64_t handle, owner;
	uint64_t start, end; /* first and last byte; flock: ignored */
	uint32_t pid;
	uint8_t type;
	bool flock, test, wait, reclaim;
	void *user;
};
struct file_lock_found {
	uint8_t type; /* FILE_LOCK_NONE: nothing is in the way */
	uint64_t start, end;
	uint32_t pid, node;
};
/*
 * 0: done (for a test: *found says what is in the way; else *found is the lock asked for). -EINPROGRESS: file_lock_next()
 * will tell; in grace that happens to tests and to asks without `wait` too. -EAGAIN: *found is in the way. -EDEADLK,
 * -ENOLCK (full), -EINVAL. `found` must not be NULL.
 */
int file_lock_ask(struct file_lock_table *t, const struct file_lock_ask *a, struct file_lock_found *found);

struct file_lock_woken {
	uint32_t session;
	uint64_t request;
	void *user;
	int error; /* as file_lock_ask() */
	struct file_lock_found found;
};
/* The next one that waits no more; after every other call, until false. */
bool file_lock_next(struct file_lock_table *t, struct file_lock_woken *ret);
/* VOL_CANCEL: true: it waits no more, answer EINTR (`user` does not come back); false: it does not wait, its answer came first. */
bool file_lock_cancel(struct file_lock_table *t, uint32_t session, uint64_t request, void **ret_user);

/* RELEASE: all that was locked by this open file goes, whoever's it is; what waits by it is woken with -EBADF. */
void file_lock_release(struct file_lock_table *t, const struct vol_fid *file, uint32_t session, uint64_t handle);
/* BYE, or its node is proven dead: its locks go, its waiting ones are dropped (they come out of file_lock_next() with -ESTALE). */
void file_lock_session_gone(struct file_lock_table *t, uint32_t session);

/*
 * A new owner: until grace ends, only `reclaim` takes locks (-EAGAIN when another reclaimed the like before: the session tells its
 * process by a lost lock); unlocking works; everything else waits and is looked at in order at the end.
 */
void file_lock_grace(struct file_lock_table *t, bool on);

/* Locks of the file: for tests and status. */
uint32_t file_lock_count(const struct file_lock_table *t, const struct vol_fid *file, uint32_t *ret_waiting);

#endif
