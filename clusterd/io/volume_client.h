/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Questions to the control sockets of csvfs and csvfs-owner (frames of proto/volume.h) on a qb_loop. Nothing blocks: a
 * program that hangs costs its questions their time-out and nothing else.
 */
#ifndef CLUSTERD_IO_VOLUME_CLIENT_H
#define CLUSTERD_IO_VOLUME_CLIENT_H

#include <qb/qbloop.h>

#include "proto/volume.h"

#define VOLUME_CLIENT_FRAME_MAX 8192 /* bytes of one question or answer */

struct volume_question;

/*
 * error 0: `answer` is of the question's answer type, with answer->error an errno of the program's; valid during the call.
 * Else negative: -ETIMEDOUT; -EBADMSG; -ECONNRESET: closed without an answer; errors of connect(2), of which -ENOENT and
 * -ECONNREFUSED: nobody listens.
 */
typedef void volume_client_fn(void *user, int error, const struct vol_message *answer);

/*
 * Asks. 0: `done` comes once, not from within; the handle is gone then. Errors: `done` does not come. `m` is sent as it is,
 * with a request number of this client's.
 */
int volume_client_ask(struct volume_question **ret, qb_loop_t *loop, const char *path, const struct vol_message *m,
		      uint32_t timeout_ms, volume_client_fn *done, void *user);
/* `done` does not come any more. What was asked may be done nevertheless. NULL is fine. */
void volume_client_cancel(struct volume_question *q);

#endif
