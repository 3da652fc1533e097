/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control socket: a libqb IPC server that hands opaque requests to the caller and carries its replies, in any order and
 * at any time. A client that reads slowly, or not at all, costs a bounded backlog and then its connection; it never blocks.
 *
 * Access: uid 0 or group `clusterd`: full; group `clusterd-ro`: read; others are refused (-EACCES at connect); see access.h.
 */
#ifndef CLUSTERD_CONTROL_H
#define CLUSTERD_CONTROL_H

#include <stddef.h>
#include <stdint.h>

#include <qb/qbloop.h>

#include "clusterd/control_wire.h"
#include "clusterd/io/access.h"

#define CONTROL_CLIENT_MAX 64             /* connections at once; one more is refused with -EMFILE */
#define CONTROL_BACKLOG_MAX (1u << 20)    /* bytes waiting for one client */
#define CONTROL_FLUSH_MS 10               /* pause before a full client is tried again */
#define CONTROL_STALL_MS 30000            /* a client that took nothing for so long is dropped */

struct control;

struct control_handlers {
	/* One request. `conn` is never reused in this process's life. */
	void (*on_request)(void *ctx, uint32_t conn, enum control_access access, const void *data, size_t len);
	/* The connection is gone; replies to it are dropped from now on. */
	void (*on_close)(void *ctx, uint32_t conn);
	/* After a reply got -EAGAIN: the backlog is empty, go on. May be NULL. */
	void (*on_writable)(void *ctx, uint32_t conn);
};

/* `group_full`, `group_read` NULL: the standard names. -EADDRINUSE: another daemon has the name. */
int control_open(struct control **ret_control, qb_loop_t *loop, const char *run_dir, const char *group_full,
		 const char *group_read, const struct control_handlers *handlers, void *ctx);
void control_close(struct control *c);

/*
 * One message to one client: 0 (sent or in its backlog), -EAGAIN (backlog full: nothing was taken, wait for on_writable),
 * -EMSGSIZE (> CONTROL_DATA_MAX: send parts), -ENOTCONN (gone).
 */
int control_reply(struct control *c, uint32_t conn, const void *data, size_t len);
/* At the next turn of the loop; nothing more is read from it or sent to it, on_close comes then. */
void control_disconnect(struct control *c, uint32_t conn);
/* Ids of the open connections into `out`; returns their number. */
size_t control_connections(const struct control *c, uint32_t *out, size_t max);

#endif
