/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The last TRAILER_SIZE bytes of a volume's device (its size in whole pages) belong to csvfs; the file system is made to end
 * before. So what must be known before a mount, or be durable before a change, does not depend on the file system's journal.
 *
 *   0      header: magic, format, identity of the volume, kind of file system, size of the device when it was made; CRC
 *   4 KiB  owner record: epoch, node, incarnation, state (free, mounting, mounted), time; CRC
 *   8 KiB  the header again, for when the first is damaged
 *   64 KiB claims: a page for each node, which only that node writes: epoch and owner it has announced; CRC
 *   1 MiB  sessions: who has leases, a page each, so that writing one is no danger to another; CRC per record
 *   2 MiB  intents: a ring of 4 KiB pages, each with CRC, epoch and rising number
 *
 * Claims and owner record are the second barrier, behind the cluster's decision, see trailer_claim().
 *
 * What a record says is in its first 512 bytes, the smallest sector: a write that is torn leaves the old or the new one.
 *
 * On a device that grew, the trailer of the old end stays valid until trailer_move() has made the new one. It is found behind
 * the end of the file system, whose superblock tells its size; the header tells its own place, so a stale one (a copy of a
 * smaller device) is recognised, and one that was moved tells where to. The move, each step durable before the next begins:
 *
 *   1. no header at the new place X              4. X's header: its first copy is what makes X the trailer
 *   2. everything else copied to X               5. the old header names X as its place, as it did before there were notes
 *   3. the note: `next` = X in the old header, which still names its own place
 *
 * Whoever meets a note looks at X: a header of this volume there is followed, even if it cannot be read or is damaged; only when
 * there is none has the move not been done. So whatever the device's size is by then, two trailers are never both believed.
 * A header with a note is of format 2, which an older csvfs refuses; all others are of format 1, as all were before there were
 * notes. Of that time is the order 1, 2, 4, 5: what it left between 4 and 5 is for trailer_settle().
 */
#ifndef CSVFS_IO_TRAILER_H
#define CSVFS_IO_TRAILER_H

#include "csvfs/io/device.h"
#include "csvfs/io/superblock.h"
#include "proto/volume.h"

#define TRAILER_SIZE (8u << 20)
#define TRAILER_PAGE 4096u
#define TRAILER_CLAIM_MS 2000u /* of csvfs-admin: much longer than a write takes to reach the device, see trailer_claim() */
#define TRAILER_OWNER_AT 4096u
#define TRAILER_COPY_AT 8192u
#define TRAILER_CLAIMS_AT (64u << 10)
#define TRAILER_CLAIMS_SIZE ((NODE_MAX + 1) * TRAILER_PAGE)
#define TRAILER_SESSIONS_AT (1u << 20)
#define TRAILER_INTENTS_AT (2u << 20)
#define TRAILER_INTENT_PAGES ((TRAILER_SIZE - TRAILER_INTENTS_AT) / TRAILER_PAGE)

struct trailer_header {
	uint64_t volume_hi, volume_lo; /* identity: UUID of the file system */
	uint64_t at, device_size;      /* place of this trailer; the device's size then */
	uint64_t next;		       /* the note: place to which the trailer was being moved; 0: none */
	char filesystem[16];           /* "ext4" or "xfs" */
	char label[NAME_SIZE];
};

enum trailer_owner_state { OWNER_FREE, OWNER_MOUNTING, OWNER_MOUNTED };
struct trailer_owner {
	uint64_t epoch, incarnation, owner, written_ms; /* owner: drawn by each run of csvfs-owner */
	uint32_t node, state; /* node 0, not free: csvfs-admin is at it, or was interrupted */
};

struct trailer_session {
	uint64_t session, incarnation;
	uint32_t node, used;
};

struct trailer {
	const struct device *device;
	uint64_t at;
};

/* Where the trailer of a device of this size is; 0: it is too small for one. */
uint64_t trailer_place(uint64_t device_size);
/*
 * Finds the trailer, see above. -ENOENT: no volume of csvfs; -EBADMSG: damaged, or behind what is the device's end now;
 * -EPROTONOSUPPORT: of a newer format; errors of the device. `error` says what. ret->at + TRAILER_SIZE lies below the device's
 * size when the device has grown.
 */
int trailer_find(struct trailer *ret, const struct device *d, struct trailer_header *ret_header, char *error, size_t size);
/*
 * New trailer at the device's end: free, no sessions, no intents. Only the identity, file system and label of `header` count.
 * The header is written last: an interrupted make is no trailer. -ENOSPC: the device is too small.
 */
int trailer_make(struct trailer *ret, const struct device *d, const struct trailer_header *header);
/*
 * A trailer at the end of a device that has grown, with everything the old one at `from` says; see above. Nobody writes to either
 * meanwhile. -EALREADY: the device has not grown by a whole trailer; -EBADMSG: the header at `from` is damaged, or gone. After any
 * error the old one is the trailer, but for -ENOTRECOVERABLE: either may be, the caller must write to neither any more.
 */
int trailer_move(struct trailer *ret, const struct trailer *from, struct trailer_header *ret_header);
/*
 * What leads to another trailer than `t`, from behind the file system, leads to `t` from now on: so a move that was cut off in
 * the order of before has left it, and a device that grows again would bring the other one back. The caller has the volume; its
 * file system is as the superblock on the device says, or nobody writes to it meanwhile. `header` is of `t`.
 */
int trailer_settle(const struct trailer *t, const struct trailer_header *header);
/* No trailer any more. */
int trailer_erase(const struct trailer *t);
/* Another label; the rest of `header` is what trailer_find() gave. */
int trailer_write_header(const struct trailer *t, const struct trailer_header *header);
/*
 * Why the file system on the device cannot be used as this volume's: another kind or identity than the header says, longer
 * than to the trailer, or superblock.unfit. NULL: it can. Before each mount.
 */
const char *trailer_unfit(const struct trailer_header *header, const struct superblock *s);
/* Each reads or writes and flushes; 0 or negative errno, -EBADMSG: damaged record. */
int trailer_read_owner(const struct trailer *t, struct trailer_owner *ret);
int trailer_write_owner(const struct trailer *t, const struct trailer_owner *o);
/*
 * Takes the volume for `o` (state MOUNTING, with a time of now), where the record has been `before` (NULL: it is damaged, and
 * the caller knows that nobody has it). What was there before is for the caller to judge. -EBUSY: somebody else is about to, or
 * has; who is in *ret_other, and this claim is withdrawn.
 *
 *   1. announce: own claim page                  3. write: the record
 *   2. look: everybody's claim pages, the record 4. confirm: claim pages and record once more
 *
 * Nothing of it waits, and no time is assumed: each writes its own page and then looks at those of all, so of two nodes with the
 * same epoch at least one sees the other at 2, however long a step takes: the second to announce looks after both have. Who
 * sees one gives up. At worst both do; never do both go on. A lower epoch than another's gives up as well: the higher one is
 * the cluster's word that whoever has a lower one is fenced or has let go. Its claim may come after step 4 of the lower one,
 * which must look again, by trailer_confirm(): just before it mounts, after that, and then all the time.
 * (This needs what a disk gives: a read that begins when a write has ended sees it. Writes of a node that is dead and that
 * arrive late are the reservation's to refuse; the claims of such a one are of a lower epoch.)
 *
 * csvfs-admin (node 0) has no page of its own: two of them exclude each other by waiting delay_ms between 3 and 4, which must be
 * longer than a step takes; csvfs-admin and an owner do so as above, as one looks at what the other has written.
 */
int trailer_claim(const struct trailer *t, const struct trailer_owner *before, const struct trailer_owner *o, uint32_t delay_ms,
		  struct trailer_owner *ret_other);
/* The steps. trailer_confirm() also mends the record when one that gave up has written it late. */
int trailer_announce(const struct trailer *t, const struct trailer_owner *o);
int trailer_look(const struct trailer *t, const struct trailer_owner *before, const struct trailer_owner *o,
		 struct trailer_owner *ret_other);
int trailer_confirm(const struct trailer *t, const struct trailer_owner *o, struct trailer_owner *ret_other);
void trailer_give_up(const struct trailer *t, const struct trailer_owner *o); /* a record of its own becomes free */
/*
 * Damaged claims, which else keep everybody away, are withdrawn; the caller knows that nobody has the volume. *ret_epoch: highest
 * of the others, which may be of one that ended before it could write the record.
 */
int trailer_forget_claims(const struct trailer *t, uint64_t *ret_epoch);
/* -EBADMSG: all that can be read is; a damaged record is in use by nobody knows whom: used 1, the rest 0. */
int trailer_read_sessions(const struct trailer *t, struct trailer_session ret[VOL_SESSION_MAX]);
/* Any thread, for different sessions at once. */
int trailer_write_session(const struct trailer *t, uint32_t index, const struct trailer_session *s);
/*
 * `count` pages of the ring, which do not go past its end; TRAILER_PAGE aligned bytes, checksummed by the caller. One write
 * for all of them, which is not flushed: who needs that calls device_flush().
 */
int trailer_read_pages(const struct trailer *t, uint32_t page, uint32_t count, void *buf);
int trailer_write_pages(const struct trailer *t, uint32_t page, uint32_t count, const void *buf);
static inline int trailer_read_page(const struct trailer *t, uint32_t page, void *buf)
{
	return trailer_read_pages(t, page, 1, buf);
}
static inline int trailer_write_page(const struct trailer *t, uint32_t page, const void *buf)
{
	return trailer_write_pages(t, page, 1, buf);
}

#endif
