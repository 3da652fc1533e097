/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Client side, one per session: requests that are unanswered, and what an answer may still be cached. Pure; the caller holds
 * one lock around every call.
 *
 * A request gets its number when it is first sent and keeps it: after a reconnect everything unanswered is sent again, in
 * order of numbers, with the same bytes but the frame's `answered`. A second answer to a number is dropped.
 *
 * What may be cached: an answer that tells attributes or names (ENTRY, dirents) can be overtaken by the recall of its lease,
 * or by the answer to a later change of this same session. So: pending_recalled() for every RECALL of attributes or names,
 * for the file or directory of every answered change of the session's own (setattr, write, truncate, create, unlink, rename, …),
 * and for everything when the owner is new. An answer is cached only when pending_may_cache() says so for each file and
 * directory it tells about; otherwise what is cached of that file is dropped too (two answers may have come in the wrong order).
 */
#ifndef CSVFS_CORE_PENDING_H
#define CSVFS_CORE_PENDING_H

#include "csvfs/core/request_log.h"
#include "proto/volume.h"

#define PENDING_WAITS_MAX (VOL_WINDOW_MAX / 2) /* of the window: locks that wait */
#define PENDING_SPARE 16		       /* of the window: for session messages and release */
#define PENDING_RECLAIMS_MAX 32		       /* reclaims under way */
#define PENDING_MARKS 128		       /* recalls that are remembered by file */

enum pending_kind {
	PENDING_NORMAL,
	PENDING_WAIT,	/* a lock that waits */
	PENDING_URGENT, /* may use the spare part: READY, PING, GIVE_BACK, RELEASE, CANCEL */
	/*
	 * Has the window for itself: a new owner has not been sent anything else yet, and what was asked of the owner before
	 * waits in here for the reclaims to be over, be it the whole window.
	 */
	PENDING_RECLAIM,
};

struct pending {
	uint64_t number;
	enum request_class class;
	enum pending_kind kind;
	bool cancelled;
	void *user;
};

struct pending_mark {
	struct vol_fid file;
	uint64_t next; /* requests below were under way */
};

struct pending_window {
	struct pending list[VOL_WINDOW_MAX + PENDING_RECLAIMS_MAX]; /* rising numbers */
	uint32_t n, window, waits, reclaims;
	uint64_t next;	    /* number of the next request */
	uint64_t logged[REQUEST_LOG_SESSION_MAX]; /* numbers of MEMORY and INTENT requests from the mark on: ring */
	uint32_t logged_first, n_logged;
	struct pending_mark marks[PENDING_MARKS]; /* newest overwrites the one that is oldest by `next` */
	uint32_t n_marks;
	uint64_t forgotten; /* requests below may have been overtaken by a recall of which there is no mark any more */
};

/* `window`: of WELCOME, at most VOL_WINDOW_MAX. */
void pending_init(struct pending_window *w, uint32_t window);
void pending_set_window(struct pending_window *w, uint32_t window);
/* The number of a new request, 0: wait until pending_answered() says there is room. */
uint64_t pending_add(struct pending_window *w, enum request_class class, enum pending_kind kind, void *user);
bool pending_room(const struct pending_window *w, enum request_class class, enum pending_kind kind);
/* The answer came, or it is given up for good: removed, *ret says what it was. false: unknown, drop the answer. */
bool pending_answered(struct pending_window *w, uint64_t number, struct pending *ret);
/* What goes into each frame's and HELLO's `answered`. */
uint64_t pending_mark(const struct pending_window *w);
/* After a reconnect: the lowest unanswered number from `from` on (begin with 0, go on with its number + 1); NULL: no more. */
const struct pending *pending_next(const struct pending_window *w, uint64_t from);
/* Its process was interrupted: true, send VOL_CANCEL; its own answer still comes. false: unknown, or asked before. */
bool pending_cancel(struct pending_window *w, uint64_t number);

/* See above. NULL: every file. */
void pending_recalled(struct pending_window *w, const struct vol_fid *file);
/* May what the answer of `number` tells about the file be cached? Call it before pending_answered(). */
bool pending_may_cache(const struct pending_window *w, uint64_t number, const struct vol_fid *file);

#endif
