/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames and messages, generated from messages.def.
 *
 * Frame (little endian), 48 bytes, then the body:
 *   0 u32 magic "CLD1"   4 u16 version   6 u16 type   8 u32 body length   12 u32 reserved, zero
 *   16 u64 cluster id (0: the sender has none yet)   24 u64 view it was sent in   32 u64 sender's wall clock, Unix ms
 *   40 u32 CRC-32 of the body   44 u32 CRC-32 of bytes 0..43
 */
#ifndef PROTO_MESSAGE_H
#define PROTO_MESSAGE_H

#include "bytes.h"
#include "proto/objects.h"

#define FRAME_MAGIC 0x31444c43u
#define FRAME_VERSION 1
#define FRAME_HEADER_SIZE 48
#define FEATURE_LEVEL 1 /* highest level this program speaks */

struct span {
	const uint8_t *data;
	size_t len;
};

enum message_number {
#define MESSAGE(number, symbol, name, sequenced, since, help) symbol = (number),
#define MFIELD(parent, type, member, help)
#define MESSAGE_END(name)
#include "proto/messages.def"
#undef MESSAGE
#undef MFIELD
#undef MESSAGE_END
};

#define MMEMBER_U8(m) uint8_t m;
#define MMEMBER_U16(m) uint16_t m;
#define MMEMBER_U32(m) uint32_t m;
#define MMEMBER_U64(m) uint64_t m;
#define MMEMBER_NAME(m) char m[NAME_SIZE];
#define MMEMBER_TEXT(m) char m[TEXT_SIZE];
#define MMEMBER_BYTES(m) struct span m;
#define MESSAGE(number, symbol, name, sequenced, since, help) struct msg_##name {
#define MFIELD(parent, type, member, help) MMEMBER_##type(member)
#define MESSAGE_END(name) };
#include "proto/messages.def"
#undef MESSAGE
#undef MFIELD
#undef MESSAGE_END

struct message {
	/* frame header */
	uint16_t type;
	uint64_t cluster_id, view, sent_ms;
	union {
#define MESSAGE(number, symbol, name, sequenced, since, help) struct msg_##name name;
#define MFIELD(parent, type, member, help)
#define MESSAGE_END(name)
#include "proto/messages.def"
#undef MESSAGE
#undef MFIELD
#undef MESSAGE_END
	};
};

/* Why a frame was not accepted, in the order of the checks but for the header's CRC, which is checked after the version. */
enum frame_fault { FRAME_OK, FRAME_SHORT, FRAME_MAGIC_WRONG, FRAME_VERSION_WRONG, FRAME_RESERVED_SET, FRAME_LENGTH_WRONG,
		   FRAME_HEADER_CRC, FRAME_BODY_CRC, FRAME_TYPE_UNKNOWN, FRAME_BODY_BAD, FRAME_FAULT_MAX };
const char *frame_fault_text(enum frame_fault fault);

/* The type a frame claims, before any check; 0: it is too short to have one. */
static inline uint16_t message_peek_type(const void *data, size_t len)
{
	struct reader r = reader_of(data, len);

	get_bytes(&r, 6);
	return get_u16(&r);
}

/* Encodes into buf; returns the frame's length, -E2BIG, or -EINVAL for an unknown type. Spans point to caller's memory. */
int message_encode(const struct message *m, void *buf, size_t size);
/* Decodes one frame; spans of `ret` point into `data`. Bytes after the fields of a known message (newer peer) are ignored. */
enum frame_fault message_decode(const void *data, size_t len, struct message *ret);
const char *message_name(uint16_t type);
bool message_is_sequenced(uint16_t type);

/* One operation of a change (changes.def). */
enum change_verb {
#define VERB(number, symbol, name, help) symbol = (number),
#include "proto/changes.def"
#undef VERB
};
#define OP_FIELDS_MAX 64
#define OP_VALUE_MAX PARAMS_SIZE

struct change_op {
	uint8_t verb, kind, force, n_fields;
	char name[NAME_SIZE];
	char arg[NAME_SIZE];
	struct {
		uint16_t number;
		uint8_t how; /* enum edit_how */
		const char *value; /* decode: into the op's `text`; encode: caller's */
	} fields[OP_FIELDS_MAX];
	char text[FRAME_MAX]; /* values of a decoded op, NUL-terminated one after the other */
};

void change_op_encode(struct writer *w, const struct change_op *op);
/* 0, or -EBADMSG; an unknown verb or kind is the caller's to refuse. The op is large: callers keep one, not on the stack. */
int change_op_decode(struct reader *r, struct change_op *ret);
const char *change_verb_name(uint8_t verb);

enum refusal {
#define REFUSAL(number, symbol, name, exit_code, text) symbol = (number),
#include "proto/refusals.def"
#undef REFUSAL
};
const char *refusal_name(uint16_t refusal);
const char *refusal_text(uint16_t refusal);
int refusal_exit_code(uint16_t refusal);

/* How an agent's run ended. */
enum agent_status {
	AGENT_DONE = 0,
	AGENT_TIMEOUT = 1,
	AGENT_SIGNALLED = 2,
	AGENT_NOT_INSTALLED = 3,
	AGENT_SPAWN_FAILED = 4,
	AGENT_CANCELLED = 5,
};
/* OCF return codes (OCF resource agent API 1.1, section "Return codes"). */
enum ocf_rc {
	OCF_SUCCESS = 0,
	OCF_ERR_GENERIC = 1,
	OCF_ERR_ARGS = 2,
	OCF_ERR_UNIMPLEMENTED = 3,
	OCF_ERR_PERM = 4,
	OCF_ERR_INSTALLED = 5,
	OCF_ERR_CONFIGURED = 6,
	OCF_NOT_RUNNING = 7,
	OCF_RUNNING_PROMOTED = 8,
	OCF_FAILED_PROMOTED = 9,
	OCF_DEGRADED = 190, /* a monitor's "running, but look at it": not a failure */
	OCF_DEGRADED_PROMOTED = 191,
};
/* What proved that a lost node cannot act. */
enum fence_how { FENCE_BY_COMMAND = 1, FENCE_BY_TIME = 2, FENCE_BY_REBOOT = 3, FENCE_BY_ADMIN = 4 };

#endif
