/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owner side: a request that is sent again happens once [I9]. Pure; the caller holds one lock around every call.
 *
 * Classes (request_class()):
 *   REPEAT  may simply be done again: reads, lookups, leases, locks. Not logged. (A repeated LOCK or LEASE that still
 *           waits takes the place of the first in file_lock.h and grant.h.)
 *   MEMORY  answer kept in memory until the session has it: the same owner does it once. A new owner does it again, which for
 *           an unanswered request is as if it had come later (setattr, positional write, fallocate, copy, xattr; XATTR_CREATE,
 *           XATTR_REPLACE and removal may then answer EEXIST or ENODATA although they happened).
 *   INTENT  also an intent on the disk before it is done: names and appending writes. A new owner knows whether it happened.
 *
 * Frame field `answered` of a session: the lowest number of its MEMORY and INTENT requests that is unanswered (REPEAT ones, a
 * lock that waits for hours, do not hold it back). A session has at most REQUEST_LOG_SESSION_MAX of them from that number on,
 * answered or not; a further one waits in the session (pending.h counts).
 *
 * A frame that came by an older connection must not be executed once the HELLO of a newer main connection is being answered:
 * the owner shuts old connections and lets their requests finish (or be `in progress` here) before WELCOME.
 */
#ifndef CSVFS_CORE_REQUEST_LOG_H
#define CSVFS_CORE_REQUEST_LOG_H

#include <stddef.h>

#include "csvfs/core/session_set.h"
#include "proto/volume.h"

#define REQUEST_LOG_SESSION_MAX 1024 /* kept of one session */
#define REQUEST_ANSWER_MAX 256	     /* an encoded answer: the longest of a class that is kept has 40 + 180 bytes */

enum request_class { REQUEST_REPEAT, REQUEST_MEMORY, REQUEST_INTENT };
enum request_class request_class(const struct vol_message *m);

struct request_log;
/* `entries`: answers kept of all sessions. */
size_t request_log_size(uint32_t entries);
struct request_log *request_log_init(void *memory, uint32_t entries);

enum request_state {
	REQUEST_NEW,	     /* noted as in progress: do it, then request_log_answer() */
	REQUEST_IN_PROGRESS, /* drop the frame: request_log_answer() goes out on the session's newest connection */
	REQUEST_ANSWERED,    /* *ret is the answer, send it again */
	REQUEST_OLD,	     /* the session has had the answer: drop the frame */
	REQUEST_FULL,	     /* the session broke the rule, or no room: answer VOL_AGAIN, it does not count as answered */
};
enum request_state request_log_begin(struct request_log *l, uint32_t session, uint64_t request, struct vol_message *ret);
/* The answer that is about to be sent. -ENOENT: not begun; -E2BIG. */
int request_log_answer(struct request_log *l, uint32_t session, uint64_t request, const struct vol_message *answer);
/* From HELLO and every frame: answers below are forgotten. A lower number than before changes nothing. */
void request_log_answered(struct request_log *l, uint32_t session, uint64_t answered);
uint64_t request_log_mark(const struct request_log *l, uint32_t session);
void request_log_session_gone(struct request_log *l, uint32_t session);
uint32_t request_log_count(const struct request_log *l, uint32_t session);

#endif
