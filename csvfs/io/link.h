/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One connection between csvfs and csvfs-owner: TLS 1.3 with a pre-shared key (RFC 8446, section 2.2), frames of
 * proto/volume.h. Full duplex: any thread may send, one thread at a time receives. Both sides prove in the handshake that
 * they have the key; nothing of a stranger's gets further than that.
 */
#ifndef CSVFS_IO_LINK_H
#define CSVFS_IO_LINK_H

#include "proto/volume.h"

#define LINK_KEY_SIZE 32
#define LINK_KEY_FILE_MAX (64u << 10)
#define LINK_SEND_LIMIT_MS 30000u /* a peer that takes nothing for so long is given up; see link_set_send_limit() */

struct link;

struct link_key {
	uint8_t bytes[LINK_KEY_SIZE];
};

/*
 * A received frame. Its body's memory is kept for the next one; the caller frees it with link_frame_done(). The bytes of
 * VOL_WRITE and VOL_DATA lie at a multiple of 4096, good for O_DIRECT.
 */
struct link_frame {
	struct vol_message m; /* spans point into body */
	uint8_t *body;
	size_t body_size;
};
void link_frame_done(struct link_frame *f);

/*
 * The key from a file of root's (or the caller's) with mode 0600 or less: corosync's authkey, any 32 bytes or more; hashed
 * for this purpose. -EPERM: others may read it; -EINVAL: too short, over LINK_KEY_FILE_MAX or no file; `error` says what
 * and what to do.
 */
int link_key_load(struct link_key *ret, const char *path, char *error, size_t size);

/* Listening socket on a numeric address; port 0: any. The fd (blocking), or negative errno, -EINVAL: no numeric address. */
int link_listen(const char *address, uint16_t port, uint16_t *ret_port);
/*
 * Takes over `fd`, an accepted socket, also on failure. Handshake within timeout_ms, however slowly bytes come: -ETIMEDOUT.
 * -EKEYREJECTED: the peer has another key (or none); -EPROTO: what came is not TLS as we speak it; -ECONNRESET: closed.
 */
int link_accept(struct link **ret, int fd, const struct link_key *key, uint32_t timeout_ms);
/* The same, and the errors of connect(2). Connecting and handshake together within timeout_ms. */
int link_connect(struct link **ret, const char *address, uint16_t port, const struct link_key *key, uint32_t timeout_ms);

/*
 * Sends the whole frame; frames of several threads do not mix. Blocks while the peer takes nothing, the send limit at most:
 * then -ETIMEDOUT and the link is dead. -ECONNRESET: it was; -E2BIG, -EINVAL: of vol_encode(), nothing was sent.
 */
int link_send(struct link *l, const struct vol_message *m);
void link_set_send_limit(struct link *l, uint32_t limit_ms);
/*
 * The next frame. -ETIMEDOUT after timeout_ms (-1: never), also within a frame: the next call goes on with it, with any
 * `f`. -ECONNRESET: closed, -EBADMSG: not a frame, the link is dead then; link_fault() says why.
 */
int link_receive(struct link *l, struct link_frame *f, int timeout_ms);
/* Why it died, for people; "" while it lives. Any thread. */
const char *link_fault(const struct link *l);
/* Both directions end; whoever is in send or receive returns -ECONNRESET. Any thread. */
void link_shutdown(struct link *l);
/* Nobody is in send or receive any more. */
void link_free(struct link *l);

#endif
