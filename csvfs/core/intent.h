/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owner side: intents, the notes on disk that tell a new owner whether a request that is sent again has happened [I9].
 * Pure; the caller holds one lock around every call.
 *
 * An operation on names, at the owner:
 *   1. takes its own lock of each (directory, name) it concerns (append: of the file), in an order; looks up what they are
 *   2. intent_add(); waits until a page that holds it is on the disk
 *   3. does it, commits the journal
 *   4. intent_done() with the outcome; releases the name locks; answers
 * By 1, no other operation comes between a name's look-up and the commit: so while an outcome is unknown, what the names are now tells it
 * (intent_happened()). When a later intent touches a name of one whose session has not yet acknowledged the answer, intent_add()
 * queues the earlier one again, now with its outcome: one page write holds both. So names that two sessions fight about, and the
 * same session's later operations, do not confuse it. A page that is about to be overwritten gives what is still needed to the next one.
 *
 * An intent is needed until its session's `answered` mark has passed it or the session is gone.
 *
 *   ring page (4096 bytes): u32 magic, u32 CRC-32 of the rest, u64 epoch, u64 number, u16 count, u16 zero, u32 bytes used; records
 *   record: u64 session, u64 request, u8 op, u8 outcome, u16 zero, u32 flags, u32 errno, u64 size, u64 length, FID file,
 *           FID parent[2], FID had[2], FNAME name[2]
 * Page `number` is at place number % pages; numbers rise for ever, from one epoch to the next.
 */
#ifndef CSVFS_CORE_INTENT_H
#define CSVFS_CORE_INTENT_H

#include <stddef.h>

#include "proto/volume.h"

#define INTENT_PAGE 4096u
#define INTENT_RECORD_MAX 768 /* bytes of the longest record; so a page holds at least 5 */

enum intent_op { INTENT_CREATE = 1, INTENT_MKNOD, INTENT_SYMLINK, INTENT_LINK, INTENT_UNLINK, INTENT_RENAME, INTENT_APPEND };
enum intent_outcome { INTENT_UNKNOWN, INTENT_DONE, INTENT_FAILED };

struct intent {
	uint64_t session, request; /* the session's own id, not its slot */
	uint8_t op, outcome;
	uint32_t flags; /* RENAME_* */
	uint32_t error; /* INTENT_FAILED: errno it was answered with */
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
/* `intents`: needed at a time; more than all sessions may have unacknowledged, or intent_add() says -ENOBUFS. */
size_t intent_table_size(uint32_t intents);
struct intent_table *intent_table_init(void *memory, uint32_t intents, uint32_t pages, uint64_t epoch);

/* A new owner: every page of the ring, in any order, then intent_scan_end(). Damaged pages are skipped: a torn one was not waited for. */
void intent_scan_page(struct intent_table *t, const void *page);
/* Sessions that are not in the trailer's list have no one to send again: forget theirs by intent_session_gone(). */
void intent_scan_end(struct intent_table *t);
/* Walks the sessions with intents, to do so: false at the end. */
bool intent_session_next(const struct intent_table *t, uint32_t *cursor, uint64_t *ret_session);

/* What is known of a request that came again; NULL: nothing, it did not happen. Valid until the next call that changes the table. */
const struct intent *intent_find(const struct intent_table *t, uint64_t session, uint64_t request);

/* 0; -ENOBUFS: no room; -EEXIST: there is one with an unknown outcome: decide it first, intent_done() or intent_again(). */
int intent_add(struct intent_table *t, const struct intent *i);
/* An intent of the owner before that did not happen: it is done now, with what the names are now. The same rules as intent_add(). */
int intent_again(struct intent_table *t, const struct intent *i);
/* Outcome, after the commit. `made`: file that was made, or NULL. error 0: done. */
void intent_done(struct intent_table *t, uint64_t session, uint64_t request, uint32_t error, const struct vol_fid *made);
/* The session has the answers of all below. */
void intent_answered(struct intent_table *t, uint64_t session, uint64_t answered);
void intent_session_gone(struct intent_table *t, uint64_t session);

/*
 * Fills the next page of the ring with what is queued: false, nothing is. *ret_place: where in the ring; *ret_number: intents
 * added before this call and not queued any more are on the disk when this page and all before it are.
 * Call until false (or as many as one write takes), write, flush; then wake whose intent_page_of() is at or below that number.
 */
bool intent_fill(struct intent_table *t, void *page, uint32_t *ret_place, uint64_t *ret_number);
/* The page an intent is in; 0: still queued (or unknown). */
uint64_t intent_page_of(const struct intent_table *t, uint64_t session, uint64_t request);
uint32_t intent_count(const struct intent_table *t);

/* --- decision --- */

/* What the names are now; append: the file's size. */
struct intent_now {
	struct vol_fid file[2]; /* none: nothing there */
	uint64_t size;
};
/*
 * INTENT_DONE: answer as done (create, mknod, symlink: apply mode and owner of the request again, then the entry of intent.file or,
 * when that is none, of now.file[0]). INTENT_UNKNOWN: it did not happen: intent_again() and do it (append: with pwrite at intent.size,
 * so that a part of it that was written is written again). INTENT_FAILED: answer intent.error.
 */
enum intent_outcome intent_happened(const struct intent *i, const struct intent_now *now);
/* The intent of a request: names, parents, op and flags; the caller adds session, had[], size. false: it needs none. */
bool intent_of(const struct vol_message *m, struct intent *ret);

#endif
