/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One connection between csvfs and csvfs-owner: TLS 1.3 with a pre-shared key (RFC 8446, section 2.2), frames of
 * proto/volume.h. Full duplex: any thread may send, one thread at a time receives.
 */
#ifndef CSVFS_IO_LINK_H
#define CSVFS_IO_LINK_H

#include "proto/volume.h"

#define LINK_KEY_SIZE 32

struct link;

struct link_key {
	uint8_t bytes[LINK_KEY_SIZE];
};

/* A received frame. Its body's memory is kept for the next one; the caller frees it with link_frame_done(). */
struct link_frame {
	struct vol_message m; /* spans point into body */
	uint8_t *body;
	size_t body_size;
};
void link_frame_done(struct link_frame *f);

/*
 * The key from a file of root's with mode 0600 or less: corosync's authkey, any 32 bytes or more; hashed for this purpose.
 * -EPERM: others may read it; -EINVAL: too short; `error` says what and what to do.
 */
int link_key_load(struct link_key *ret, const char *path, char *error, size_t size);

/* Listening socket on a numeric address; port 0: any. The fd, or negative errno. */
int link_listen(const char *address, uint16_t port, uint16_t *ret_port);
/* Takes over `fd`, an accepted socket, also on failure. Handshake within timeout_ms. */
int link_accept(struct link **ret, int fd, const struct link_key *key, uint32_t timeout_ms);
int link_connect(struct link **ret, const char *address, uint16_t port, const struct link_key *key, uint32_t timeout_ms);

/* Sends the whole frame; frames of several threads do not mix. Blocks while the peer takes nothing, `send_limit_ms` at most. */
int link_send(struct link *l, const struct vol_message *m);
/* The next frame. -ETIMEDOUT after timeout_ms (-1: never), -ECONNRESET: closed, -EBADMSG: not a frame; link_fault() says why. */
int link_receive(struct link *l, struct link_frame *f, int timeout_ms);
const char *link_fault(const struct link *l);
/* Both directions end; whoever is in send or receive returns -ECONNRESET. Any thread. */
void link_shutdown(struct link *l);
void link_free(struct link *l);

#endif
