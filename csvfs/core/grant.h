/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owner side: who has been lent what, and taking it back. Pure; the caller holds one lock around every call.
 *
 * Leases: extents of a file (ranges), the sole right, attributes of a file, names of a directory.
 * Operations are claims: grant_claim() names everything the operation needs to have taken back, at once (up to
 * GRANT_WANTS_MAX files: so two operations never wait for each other). grant_next() then yields recalls to be sent and, when each
 * is answered or its session is gone, GRANT_CLAIM_READY: the operation is done, then grant_end(). An operation that finds it needs
 * more ends its claim and claims all again.
 *
 *   claim:  queued --(nothing earlier is in its way)--> recalling --(all answered or gone)--> ready --grant_end()--> gone
 *   lease:  given at once, or waits in the same queue: behind live claims of its range and behind a recall of the sole right
 *
 * The queue of a file is in order of arrival: a lease waits only for earlier claims, a claim only for earlier waiting leases, so
 * neither starves. Claims do not exclude each other: that is what the owner's own locks are for. While a claim lives, what it
 * took back is not lent again (attributes and names: the answer says cache = 0, it never waits).
 *
 * Order for the owner, or a recall is missed:
 *   lend:    grant_lease(), grant_attr(), grant_name() first (with the whole range that will be lent), THEN look at the file
 *            system, then answer (with that grant's number)
 *   change:  claim, ready, change it, commit, grant_end(), answer
 *   write:   by the owner, into blocks that may be lent: a part of a sector claims its EXTENTS; whole sectors claim SOLE: its
 *            holder may have read the sector and be about to write it back
 * A session is recorded in the trailer, durably, before its first lease of whatever kind.
 *
 * Who is asked: extents, everybody, the asking session too (its other threads write); sole, everybody else; attributes and names,
 * everybody else: the asking session gets them with the answer (pending.h says what it must not cache then).
 *
 * Grace: nothing is taken back (claims stay queued), new extents are refused, no sole right is given; extents are reclaimed by
 * the sessions of the list; attributes and names may be lent. A session drops cached attributes, names and the sole right when
 * it meets a new owner. Grant and recall numbers rise, also from one epoch to the next.
 */
#ifndef CSVFS_CORE_GRANT_H
#define CSVFS_CORE_GRANT_H

#include <stddef.h>

#include "csvfs/core/session_set.h"
#include "proto/volume.h"

#define GRANT_WANTS_MAX 8  /* files one operation can claim; rename with a target needs 5 */
#define GRANT_RANGES_MAX 8 /* ranges kept of a session and file; then the nearest two become one */

struct grant_table;

struct grant_limits {
	uint32_t files;	  /* with a lease or a claim */
	uint32_t holders; /* file and session with a lease */
	uint32_t claims, wants; /* alive at a time; wants: files of all claims */
	uint32_t waiters; /* leases that wait */
};
size_t grant_size(const struct grant_limits *l);
/* In `memory`, grant_size() zeroed bytes, aligned like malloc's. */
struct grant_table *grant_init(void *memory, const struct grant_limits *l, uint64_t epoch);

/* --- leases --- */

enum grant_verdict {
	GRANT_NOW,
	GRANT_LATER, /* GRANT_LEASE_GIVEN or GRANT_LEASE_REFUSED comes with `user` */
	GRANT_NEVER, /* redirect: grace, no room, lending is off, or a reclaim that is none */
};
struct grant_lease {
	const struct vol_fid *file;
	uint32_t session; /* slot */
	uint64_t request; /* of the session; a repeated one takes the place of the first */
	uint64_t offset, length;
	bool reclaim;
	bool only_now; /* rather GRANT_NEVER than GRANT_LATER */
	void *user;
};
struct grant_given {
	uint64_t number; /* VOL_EXTENTS.grant */
	bool sole;	 /* VOL_EXTENTS.sole */
};
enum grant_verdict grant_lease(struct grant_table *t, const struct grant_lease *l, struct grant_given *ret);
/* A waiting one is no longer wanted: true, and `user` does not come back; false: it waits no more. */
bool grant_lease_cancel(struct grant_table *t, uint32_t session, uint64_t request);
/* GIVE_BACK. length UINT64_MAX: to the end of all; from 0 to the end the sole right goes too. */
void grant_give_back(struct grant_table *t, const struct vol_fid *file, uint32_t session, uint64_t offset, uint64_t length);
/*
 * Attributes and names take at most three quarters of the room for files and holders, so that there is room for extents; where
 * there is none, the answer is no.
 */
/* May the session cache the attributes of `file` until recalled? */
bool grant_attr(struct grant_table *t, const struct vol_fid *file, uint32_t session);
/* May the session cache that `name` in `directory` is what it is, or is not there? "": likewise of all names there can be. */
bool grant_name(struct grant_table *t, const struct vol_fid *directory, const char *name, uint32_t session);
/* Off: no extents are lent any more (freeze, no-leases); what is lent stays until it is claimed. */
void grant_lend(struct grant_table *t, bool on);

/* --- claims --- */

struct grant_want {
	const struct vol_fid *file;
	uint32_t what;		 /* enum vol_recall_bits, any of them together */
	uint64_t offset, length; /* with VOL_RECALL_EXTENTS */
	const char *name;	 /* with VOL_RECALL_NAME; NULL or "": all of the directory */
};
/* 0, or -ENOBUFS: too many are alive, try again when one has ended; -EINVAL. *ret_claim: never 0. */
int grant_claim(struct grant_table *t, const struct grant_want *wants, uint32_t n, uint32_t session, void *user,
		uint64_t *ret_claim);
bool grant_claim_ready(const struct grant_table *t, uint64_t claim);
/* Done, or no longer wanted whatever its state; the leases of who has not answered yet stay noted. */
void grant_end(struct grant_table *t, uint64_t claim);

/* --- what is to be done --- */

enum grant_event_kind { GRANT_SEND_RECALL, GRANT_CLAIM_READY, GRANT_LEASE_GIVEN, GRANT_LEASE_REFUSED };
struct grant_event {
	enum grant_event_kind kind;
	uint32_t session;	  /* SEND_RECALL: to whom; LEASE_*: whose */
	uint64_t number;	  /* SEND_RECALL: the frame's request number; CLAIM_READY: the claim */
	void *user;		  /* CLAIM_READY, LEASE_* */
	struct grant_given given; /* LEASE_GIVEN */
	struct vol_recall recall; /* SEND_RECALL */
};
/* The next thing to do; false: nothing. After every other call, until false. `now_ms`: any rising clock. */
bool grant_next(struct grant_table *t, uint64_t now_ms, struct grant_event *ret);

/* --- sessions --- */

/* VOL_RECALLED came (or an error: the same). -ENOENT: nothing of that number waits for the session; ignore it. */
int grant_recalled(struct grant_table *t, uint32_t session, uint64_t number);
/* Its main connection is new: unanswered recalls come out of grant_next() again, with their numbers. */
void grant_session_again(struct grant_table *t, uint32_t session);
/* BYE, or its node is proven unable to write: all it has is gone, nobody waits for it, its waiting leases are refused. */
void grant_session_gone(struct grant_table *t, uint32_t session);
/* Sessions with a recall that was first sent before that time and is not answered: to be reported and fenced. */
void grant_silent(const struct grant_table *t, uint64_t before_ms, struct session_set *ret);
/* Does it have anything? */
bool grant_session_idle(const struct grant_table *t, uint32_t session);

/* --- a new owner --- */

/* These sessions may have leases of the owner before. An empty set: no grace. */
void grant_grace_begin(struct grant_table *t, const struct session_set *sessions);
/* READY. Grace ends with the last of READY or grant_session_gone(); claims then start. */
void grant_session_ready(struct grant_table *t, uint32_t session);
bool grant_in_grace(const struct grant_table *t);
void grant_grace_waits_for(const struct grant_table *t, struct session_set *ret);

/* For status and tests. */
struct grant_counts {
	uint32_t files, holders, claims, wants, waiters;
	uint64_t recalls, grants; /* ever */
};
void grant_count(const struct grant_table *t, struct grant_counts *ret);
/* The files with leases, to freeze or to check: false at the end. *cursor begins with 0; changes between calls may be missed. */
bool grant_file_next(const struct grant_table *t, uint32_t *cursor, struct vol_fid *ret);
/* The next file of which attributes or names are lent, and no extents: false at the end of the table. As grant_file_next(). */
bool grant_cached_next(const struct grant_table *t, uint32_t *cursor, struct vol_fid *ret);
/* May any session have the attributes cached? */
bool grant_attr_is_lent(const struct grant_table *t, const struct vol_fid *file);
/* Attributes and names have no room left, or nearly so: some should be taken back. */
bool grant_cache_is_full(const struct grant_table *t);
/* Has the session a lease of any byte of the range? */
bool grant_holds(const struct grant_table *t, const struct vol_fid *file, uint32_t session, uint64_t offset, uint64_t length);
bool grant_is_sole(const struct grant_table *t, const struct vol_fid *file, uint32_t session);
/* Has another session the sole right? */
bool grant_other_sole(const struct grant_table *t, const struct vol_fid *file, uint32_t session);

#endif
