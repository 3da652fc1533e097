/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A connection to clusterd: one request at a time, each answered by parts and one final message. Nothing here waits for
 * longer than it was told, whatever the daemon does (stopped, hung, gone).
 */
#ifndef CTL_CTL_LINK_H
#define CTL_CTL_LINK_H

#include "proto/message.h"

#define CTL_CONNECT_MS 5000 /* the most that anybody waits for a daemon to accept */
#define CTL_ANSWER_MS 15000 /* the same for an answer that needs no other node */

struct ctl_link;

/*
 * `socket`: name of the IPC service, or a run directory (begins with '/'); NULL: $CLUSTERD_SOCKET, else the standard one.
 * 0 or negative errno: -ENOENT/-ECONNREFUSED (no daemon), -EACCES, -ETIMEDOUT (does not answer), -EMFILE (too many clients).
 */
int ctl_link_open(const char *socket, uint32_t timeout_ms, struct ctl_link **ret_link);
void ctl_link_close(struct ctl_link *link);
/* Readable when a message may be there. */
int ctl_link_fd(const struct ctl_link *link);

/* Sends a request. 0 or negative errno. */
int ctl_link_send(struct ctl_link *link, const struct message *request);
/*
 * The next message: 0 (spans of `ret` live until the next call), -ETIMEDOUT, -EBADMSG (not a message of ours), -ENOTCONN
 * (the daemon is gone).
 */
int ctl_link_receive(struct ctl_link *link, uint32_t timeout_ms, struct message *ret);

/* Monotonic milliseconds. */
uint64_t ctl_mono_ms(void);
uint64_t ctl_wall_ms(void);

#endif
