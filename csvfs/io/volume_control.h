/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control sockets of csvfs and csvfs-owner: a Unix stream socket with frames of proto/volume.h (VOL_STATUS, VOL_FREEZE,
 * VOL_REDIRECT, VOL_SET_OWNER, VOL_FENCED, ...), one question at a time on a connection. Who asks is root or the user that
 * the program runs as (SO_PEERCRED); others are closed without a word. The socket's mode is 0600 besides.
 */
#ifndef CSVFS_IO_VOLUME_CONTROL_H
#define CSVFS_IO_VOLUME_CONTROL_H

#include "proto/volume.h"

#define VOLUME_CONTROL_CLIENT_MAX 32      /* connections at once; one more closes the one that has been idle longest */
#define VOLUME_CONTROL_BODY_MAX (8u << 10) /* a larger frame ends the connection */
#define VOLUME_CONTROL_STALL_MS 10000      /* a client that takes its answer no faster than this is closed */

struct volume_control;

/*
 * Answers `question`. `answer` comes zeroed, as the answer type of the question's (vol_answer_type()) with its number; set
 * its fields, or answer->error to an errno (EOPNOTSUPP: not a question for this program). Called by the one thread of the
 * control, one question after the other: what may take long (freeze) holds the others up and no one else. Must not call
 * volume_control_free().
 */
typedef void volume_control_fn(void *user, const struct vol_message *question, struct vol_message *answer);

/*
 * Listens at `path` (its directory exists) and starts the thread. -EADDRINUSE: another program answers there; a socket that
 * nobody listens at is replaced. -ENAMETOOLONG: sun_path is short.
 */
int volume_control_listen(struct volume_control **ret, const char *path, volume_control_fn *fn, void *user);
/* Waits for the handler to return; removes the socket. NULL is fine. */
void volume_control_free(struct volume_control *c);

/*
 * Asks and waits for the answer, timeout_ms altogether (-1: as long as it takes). 0: `answer` is of the question's answer
 * type, or answer->error is an errno; its BYTES are empty. -ETIMEDOUT, -EBADMSG, -ECONNRESET: closed without an answer, or
 * an errno of connect(2): -ENOENT, -ECONNREFUSED: nobody listens; -EACCES: not for us.
 */
int volume_control_ask(const char *path, const struct vol_message *question, struct vol_message *answer, int timeout_ms);

#endif
