/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owner side: intents, the notes on disk that tell a new owner whether a request that is sent again has happened [I9].
 * Pure; the caller holds one lock around every call.
 *
 * An operation on names, at the owner:
 *   1. takes its own lock of each (directory, name) it concerns (append: of the file), in an order; looks up what they are
 *   2. intent_add(); waits until intent_durable()
 *   3. does it, commits the journal
 *   4. intent_done() with the outcome; releases the name locks; answers
 * By 1, no other operation comes between a name's look-up and the commit: while an outcome is unknown, what the names are tells
 * it. When a later intent touches a name of one whose session has not yet acknowledged the answer, intent_add() queues the
 * earlier one again before it, now with its outcome. So names that two sessions fight about, and the same session's later
 * operations, do not confuse it: at most one intent of a name has no outcome on disk, and nothing came after it.
 *
 * A new owner: intent_session_add() for each session of the trailer, intent_scan_page() for each page, intent_scan_end(); then,
 * after the mount and before it does anything to a name, intent_unknown_next() and intent_decide() for each. From then on a
 * request that comes again is in intent_find() with its outcome, or it did not happen.
 *
 * An intent is needed until its session's `answered` mark has passed it or the session is gone. What is still needed of a page
 * is written again long before the page's place in the ring is used again.
 *
 *   ring page (4096 bytes): u32 magic, u32 CRC-32 of the rest, u64 epoch, u64 number, u16 count, u16 zero, u32 bytes used; records
 *   record: u64 session, u64 request, u64 answered, u8 op, u8 outcome, u16 zero, u32 flags, u32 errno, u64 size, u64 length,
 *           FID file, FID parent[2], FID had[2], FNAME name[2]
 * Page `number` is at place number % pages; numbers rise for ever, from one epoch to the next; the first is 1.
 */
#ifndef CSVFS_CORE_INTENT_H
#define CSVFS_CORE_INTENT_H

#include <stddef.h>

#include "proto/volume.h"

#define INTENT_PAGE 4096u
#define INTENT_RECORD_MAX 768 /* bytes of the longest record: a page holds five */
#define INTENT_BATCH_MAX 32   /* pages filled and not yet flushed */
#define INTENT_CARRY 64	      /* pages ahead of its end that a needed record is written again */

enum intent_op { INTENT_CREATE = 1, INTENT_MKNOD, INTENT_SYMLINK, INTENT_LINK, INTENT_UNLINK, INTENT_RENAME, INTENT_APPEND };
enum intent_outcome { INTENT_UNKNOWN, INTENT_DONE, INTENT_FAILED };

struct intent {
	uint64_t session, request; /* the session's own id, not its slot */
	uint64_t answered;	   /* the session's mark when it was written; intent_add() fills it in */
	uint8_t op, outcome;
	uint32_t flags; /* RENAME_* */
	uint32_t error; /* INTENT_FAILED: errno it was answered with; 0, on the disk only: it was decided that it did not happen */
	uint64_t size, length; /* append: size before, bytes to write */
	struct vol_fid file;   /* link, append: the file; create, mknod, symlink once done: what was made */
	struct vol_fid parent[2], had[2]; /* [1]: new name of a rename; had: none, there was nothing */
	char name[2][VOL_FNAME_SIZE];
};

/* --- codec --- */

struct intent_page { /* header of a page */
	uint64_t epoch, number;
	uint32_t count;
};
/* FRAME_OK-like: true and *ret; false: not a page, damaged, or never written. */
bool intent_page_check(const void *page, struct intent_page *ret);
/* The records of a checked page, one after the other; *at begins with 0. false: end, or damaged. */
bool intent_page_next(const void *page, size_t *at, struct intent *ret);

/* --- table --- */

struct intent_table;
/*
 * `intents`: needed at a time, at most intent_limit(pages), so that the ring never fills with what is needed. `pages` of the
 * ring: more than 2 * INTENT_CARRY.
 */
uint32_t intent_limit(uint32_t pages);
size_t intent_table_size(uint32_t intents);
struct intent_table *intent_table_init(void *memory, uint32_t intents, uint32_t pages, uint64_t epoch);

/* A session of HELLO or of the trailer; known before: nothing. -ENOBUFS: more than VOL_SESSION_MAX. */
int intent_session_add(struct intent_table *t, uint64_t session);
void intent_session_gone(struct intent_table *t, uint64_t session);
/* The session has the answers of all below. */
void intent_answered(struct intent_table *t, uint64_t session, uint64_t answered);

/* Every page of the ring, in any order. Damaged ones are skipped: nobody had waited for a torn one to be written. */
void intent_scan_page(struct intent_table *t, const void *page);
/*
 * Number of intents that there was no room for: not 0 can mean that pages came before those that void them; then scan all pages
 * once more. Not 0 again: the table is smaller than that of the owner before.
 */
uint32_t intent_scan_end(struct intent_table *t);
/* Intents without an outcome: NULL at the end. *cursor begins with 0; intent_decide() between calls is fine. */
const struct intent *intent_unknown_next(const struct intent_table *t, uint32_t *cursor);
struct intent_now;
/* By what its names are now: it is done (with the file made, or the bytes that were appended), or it is forgotten. */
void intent_decide(struct intent_table *t, uint64_t session, uint64_t request, const struct intent_now *now);

/* A request that came again; NULL: it did not happen, or is no longer needed. Valid until the next call that changes the table. */
const struct intent *intent_find(const struct intent_table *t, uint64_t session, uint64_t request);

/*
 * 0; -ENOBUFS: too many are needed; -EEXIST: it is there; -ENOENT: unknown session; -EBUSY: an operation without outcome is
 * on one of the names: the name locks are broken; -EINVAL: names or ids too long.
 */
int intent_add(struct intent_table *t, const struct intent *i);
/* Outcome, after the commit. error 0: done. `made`: file that was made, or NULL. */
void intent_done(struct intent_table *t, uint64_t session, uint64_t request, uint32_t error, const struct vol_fid *made);

/*
 * An append of which the owner before did a part (its outcome: done, with fewer bytes than `length`) is gone on with, as if it had
 * just begun: it has no outcome again. The caller holds the append's range of the file, which ends where that part does, waits
 * until intent_durable(), and tells what came of it by intent_done(), or by intent_decide() when not all could be done. Should this
 * owner die meanwhile, the next one finds a longer part. -EINVAL: it is no such append; -EBUSY: as intent_add().
 */
int intent_resume(struct intent_table *t, uint64_t session, uint64_t request, uint64_t length);

/*
 * Fills the next page of the ring with what is queued. false: nothing is, or INTENT_BATCH_MAX pages are not yet flushed. Call
 * it until false, write the pages to their places; then intent_flushed() with the last number wakes who waits. The pages must
 * be durable before what was waiting is (committer.h says by what), and before INTENT_CARRY further pages are filled.
 */
bool intent_fill(struct intent_table *t, void *page, uint32_t *ret_place, uint64_t *ret_number);
void intent_flushed(struct intent_table *t, uint64_t number);
bool intent_durable(const struct intent_table *t, uint64_t session, uint64_t request);
uint32_t intent_count(const struct intent_table *t);

/* --- decision --- */

/* What the names are now; append: the file's size. */
struct intent_now {
	struct vol_fid file[2]; /* none: nothing there */
	uint64_t size;
};
/*
 * INTENT_DONE: it happened. Answer of create, mknod, symlink: the entry of intent.file, its mode and owner applied again
 * (ESTALE when it has been removed since); of append: min(length, now.size - size) bytes at intent.size (intent_resume()).
 * INTENT_UNKNOWN: it did not happen, do it. A rename of one link of a file over another link of it does nothing, done or not.
 */
enum intent_outcome intent_happened(const struct intent *i, const struct intent_now *now);
/* The intent of a request: its number, names, parents, op, flags, length; the caller adds session, had[], size, an append's file.
 * false: it needs none. */
bool intent_of(const struct vol_message *m, struct intent *ret);

#endif
