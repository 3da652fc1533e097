/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames and messages of a cluster shared volume, generated from volume.def.
 *
 * Frame (little endian), 40 bytes, then the body:
 *   0 u32 magic "CSV1"   4 u16 version   6 u16 type   8 u32 body length   12 u32 error: errno of an answer, 0 otherwise
 *   16 u64 request number (an answer has its question's)   24 u64 questions of a session: lowest number still unanswered
 *   32 u32 reserved, zero   36 u32 CRC-32 of bytes 0..35
 * The body has no checksum of its own: TLS authenticates it.
 */
#ifndef PROTO_VOLUME_H
#define PROTO_VOLUME_H

#include <errno.h>
#include <stdbool.h>

#include "bounds.h"
#include "bytes.h"
#include "proto/latency.h"
#include "proto/message.h"

#define VOL_MAGIC 0x31565343u
#define VOL_VERSION 1
#define VOL_LEVEL 1
#define VOL_HEADER_SIZE 40
/*
 * Error of an answer: the question was not taken up (no room for its answer, no memory). The session sends the same one, with its
 * number, again after a short wait; no application sees it. Not EAGAIN: that is the answer to a lock that is in another's way.
 */
#define VOL_AGAIN ERESTART

/* File id: as name_to_handle_at(2) gives it. All zero: none. */
struct vol_fid {
	uint8_t len, type; /* type: low byte of handle_type */
	uint8_t data[VOL_FID_MAX];
};

/* Who asks. The owner acts with these rights. */
struct vol_cred {
	uint32_t uid, gid, umask, n_groups;
	uint32_t groups[VOL_GROUPS_MAX];
};

struct vol_attr {
	uint64_t ino, size, blocks, rdev; /* blocks of 512 bytes */
	uint32_t mode, nlink, uid, gid, blksize;
	int64_t atime_ns, mtime_ns, ctime_ns;
};

struct vol_extent {
	uint64_t offset, physical, length; /* in the file, on the device; bytes */
};
#define VOL_EXTENT_SIZE 24

/* One entry of a directory. On the wire: u64 cookie, u64 ino, u8 type (DT_*), FNAME; with plus also u8 cache, FID, ATTR. */
struct vol_dirent {
	uint64_t cookie, ino;
	uint8_t type;
	char name[VOL_FNAME_SIZE];
	uint8_t cache; /* enum vol_cache_bits */
	struct vol_fid file;
	struct vol_attr attr;
};

#define VOL_RELEASES_MAX 64 /* open files that one RELEASE closes */

enum vol_set_bits {
	VOL_SET_MODE = 1, VOL_SET_UID = 2, VOL_SET_GID = 4, VOL_SET_SIZE = 8, VOL_SET_ATIME = 16, VOL_SET_MTIME = 32,
	VOL_SET_ATIME_NOW = 64, VOL_SET_MTIME_NOW = 128, VOL_SET_KILL_PRIV = 256,
};
enum vol_recall_bits { VOL_RECALL_EXTENTS = 1, VOL_RECALL_SOLE = 2, VOL_RECALL_ATTR = 4, VOL_RECALL_NAME = 8 };
/*
 * PARENT: what the answer says of the directory in which a name was made or removed. WHOLE: the file is a new directory, and that
 * it has no names may be cached.
 */
enum vol_cache_bits { VOL_CACHE_ATTR = 1, VOL_CACHE_NAME = 2, VOL_CACHE_PARENT = 4, VOL_CACHE_WHOLE = 8 };
enum vol_state { VOL_UNAVAILABLE, VOL_PAUSED, VOL_DIRECT, VOL_REDIRECTED_FS, VOL_REDIRECTED_BLOCK };
enum vol_reason { VOL_NO_REASON, VOL_NO_OWNER, VOL_OWNER_LOST, VOL_PAUSE_TOO_LONG, VOL_BY_ADMIN, VOL_NO_LEASES, VOL_PATH_FAILED };

#define FREEZE_MAX_MS (10 * 60 * 1000u) /* longer nobody may hold up all nodes */

/* What csvfs-owner does beside serving, one at a time. */
enum vol_job_kind { VOL_NO_JOB, VOL_JOB_TRIM, VOL_JOB_GROW, VOL_JOB_CHECK };

enum vol_number {
#define VOL(number, symbol, name, kind, answer, help) symbol = (number),
#define VFIELD(parent, type, member, help)
#define VOL_END(name)
#include "proto/volume.def"
#undef VOL
#undef VFIELD
#undef VOL_END
};

#define VMEMBER_U8(m) uint8_t m;
#define VMEMBER_U16(m) uint16_t m;
#define VMEMBER_U32(m) uint32_t m;
#define VMEMBER_U64(m) uint64_t m;
#define VMEMBER_FNAME(m) char m[VOL_FNAME_SIZE];
#define VMEMBER_TEXT(m) char m[TEXT_SIZE];
#define VMEMBER_FID(m) struct vol_fid m;
#define VMEMBER_CRED(m) struct vol_cred m;
#define VMEMBER_ATTR(m) struct vol_attr m;
#define VMEMBER_LATENCY(m) struct vol_latency m;
#define VMEMBER_BYTES(m) struct span m;
#define VOL(number, symbol, name, kind, answer, help) struct vol_##name {
#define VFIELD(parent, type, member, help) VMEMBER_##type(member)
#define VOL_END(name) };
#include "proto/volume.def"
#undef VOL
#undef VFIELD
#undef VOL_END

struct vol_message {
	/* frame header */
	uint16_t type;
	uint32_t error;   /* errno of an answer, which has no fields then */
	uint64_t request; /* number */
	uint64_t answered; /* the sender has the answers of all requests below this */
	union {
#define VOL(number, symbol, name, kind, answer, help) struct vol_##name name;
#define VFIELD(parent, type, member, help)
#define VOL_END(name)
#include "proto/volume.def"
#undef VOL
#undef VFIELD
#undef VOL_END
	};
};

enum vol_kind { VOL_KIND_Q, VOL_KIND_A, VOL_KIND_O, VOL_KIND_R };

const char *vol_name(uint16_t type);       /* "unknown" for an unknown type */
int vol_kind(uint16_t type);               /* enum vol_kind, -1: unknown */
uint16_t vol_answer_type(uint16_t type);   /* of a question; 0: none */
const char *vol_state_text(uint8_t state);
const char *vol_reason_text(uint8_t reason);

/* Encodes all but the payload of a BYTES field when `bytes_apart`: the caller sends that after it. Length, -E2BIG or -EINVAL. */
int vol_encode(const struct vol_message *m, void *buf, size_t size, bool bytes_apart);
/* The header alone: FRAME_OK, and how many bytes of body follow, at most VOL_BODY_MAX. `header`: VOL_HEADER_SIZE bytes. */
enum frame_fault vol_decode_header(const void *header, struct vol_message *ret, size_t *ret_body);
/* The body to a decoded header; spans point into it. */
enum frame_fault vol_decode_body(const void *body, size_t len, struct vol_message *ret);

void vol_put_extent(struct writer *w, const struct vol_extent *e);
void vol_get_extent(struct reader *r, struct vol_extent *e);
void vol_put_dirent(struct writer *w, const struct vol_dirent *d, bool plus);
void vol_get_dirent(struct reader *r, struct vol_dirent *d, bool plus);

static inline bool vol_fid_equal(const struct vol_fid *a, const struct vol_fid *b)
{
	return a->len == b->len && a->type == b->type && !memcmp(a->data, b->data, a->len);
}
static inline bool vol_fid_none(const struct vol_fid *f) { return !f->len; }

#endif
