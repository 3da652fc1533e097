/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The last TRAILER_SIZE bytes of a volume's device belong to csvfs; the file system is made to end before. So what must be
 * known before a mount, or be durable before a change, does not depend on the file system's journal.
 *
 *   0      header: magic, format, identity of the volume, kind of file system, size of the device when it was made; CRC
 *   4 KiB  owner record: epoch, node, incarnation, state (free, mounting, mounted), time; CRC. The second barrier behind the
 *          cluster's decision: who mounts writes it, reads it back after a delay, and refuses when it has changed.
 *   64 KiB sessions: who has leases, SESSION_RECORD_SIZE bytes each; CRC per record
 *   1 MiB  intents: a ring of 4 KiB pages, each with CRC, epoch and rising number
 *
 * On a device that grew, the trailer of the old end stays valid until csvfs-admin has made the new one and the file system
 * has not yet grown over it; the header tells its own place, so a stale one is recognised.
 */
#ifndef CSVFS_IO_TRAILER_H
#define CSVFS_IO_TRAILER_H

#include "csvfs/io/device.h"
#include "proto/volume.h"

#define TRAILER_SIZE (8u << 20)
#define TRAILER_PAGE 4096u
#define TRAILER_OWNER_AT 4096u
#define TRAILER_SESSIONS_AT (64u << 10)
#define TRAILER_INTENTS_AT (1u << 20)
#define TRAILER_INTENT_PAGES ((TRAILER_SIZE - TRAILER_INTENTS_AT) / TRAILER_PAGE)

struct trailer_header {
	uint64_t volume_hi, volume_lo; /* identity: UUID of the file system */
	uint64_t at, device_size;      /* place of this trailer; the device's size then */
	char filesystem[16];           /* "ext4" or "xfs" */
	char label[NAME_SIZE];
};

enum trailer_owner_state { OWNER_FREE, OWNER_MOUNTING, OWNER_MOUNTED };
struct trailer_owner {
	uint64_t epoch, incarnation, owner, written_ms; /* owner: drawn by each run of csvfs-owner */
	uint32_t node, state;
};

struct trailer_session {
	uint64_t session, incarnation;
	uint32_t node, used;
};

struct trailer {
	const struct device *device;
	uint64_t at;
};

/* Finds the trailer at the device's end. -ENOENT: no volume of csvfs; -EBADMSG: damaged; `error` says what. */
int trailer_find(struct trailer *ret, const struct device *d, struct trailer_header *ret_header, char *error, size_t size);
/* New trailer at the end: free, no sessions, no intents. */
int trailer_make(struct trailer *ret, const struct device *d, const struct trailer_header *header);
/* Each reads or writes and flushes; 0 or negative errno, -EBADMSG: damaged record. */
int trailer_read_owner(const struct trailer *t, struct trailer_owner *ret);
int trailer_write_owner(const struct trailer *t, const struct trailer_owner *o);
int trailer_read_sessions(const struct trailer *t, struct trailer_session ret[VOL_SESSION_MAX]);
int trailer_write_session(const struct trailer *t, uint32_t index, const struct trailer_session *s);
/* A page of the ring; TRAILER_PAGE aligned bytes, checksummed by the caller. */
int trailer_read_page(const struct trailer *t, uint32_t page, void *buf);
int trailer_write_page(const struct trailer *t, uint32_t page, const void *buf);

#endif
