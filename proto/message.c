/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames, messages and change operations: bounded codecs generated from messages.def, changes.def and refusals.def. */
#include "proto/message.h"

#include <errno.h>
#include <string.h>
#include <zlib.h>

#include "proto/object_text.h"

#define HEADER_CRC_AT 44 /* the header's CRC covers what is before it */

enum mfield_type { MFIELD_U8, MFIELD_U16, MFIELD_U32, MFIELD_U64, MFIELD_NAME, MFIELD_TEXT, MFIELD_BYTES };

struct mfield {
	enum mfield_type type;
	size_t offset; /* in struct message */
};

struct message_type {
	uint16_t number;
	bool sequenced;
	const char *name;
	const struct mfield *fields;
	size_t n_fields;
};

#define MESSAGE(number, symbol, name, sequenced, since, help) static const struct mfield mfields_of_##name[] = {
#define MFIELD(parent, type, member, help) { MFIELD_##type, offsetof(struct message, parent.member) },
#define MESSAGE_END(name) };
#include "proto/messages.def"
#undef MESSAGE
#undef MFIELD
#undef MESSAGE_END

static const struct message_type message_types[] = {
#define MESSAGE(number, symbol, name, sequenced, since, help) \
	{ (number), (sequenced), #name, mfields_of_##name, ARRAY_SIZE(mfields_of_##name) },
#define MFIELD(parent, type, member, help)
#define MESSAGE_END(name)
#include "proto/messages.def"
#undef MESSAGE
#undef MFIELD
#undef MESSAGE_END
};

static const struct message_type *message_type(uint16_t number)
{
	for (size_t i = 0; i < ARRAY_SIZE(message_types); i++)
		if (message_types[i].number == number)
			return &message_types[i];
	return NULL;
}

const char *message_name(uint16_t type)
{
	const struct message_type *t = message_type(type);

	return t ? t->name : "unknown";
}

bool message_is_sequenced(uint16_t type)
{
	const struct message_type *t = message_type(type);

	return t && t->sequenced;
}

const char *frame_fault_text(enum frame_fault fault)
{
	switch (fault) {
	case FRAME_OK:
		return "accepted";
	case FRAME_SHORT:
		return "shorter than a frame's header";
	case FRAME_MAGIC_WRONG:
		return "does not begin with \"CLD1\": not of clusterd";
	case FRAME_VERSION_WRONG:
		return "frame version of another release";
	case FRAME_RESERVED_SET:
		return "reserved bytes are not zero";
	case FRAME_LENGTH_WRONG:
		return "the length in the header is not the frame's";
	case FRAME_HEADER_CRC:
		return "the header is damaged (CRC)";
	case FRAME_BODY_CRC:
		return "the body is damaged (CRC)";
	case FRAME_TYPE_UNKNOWN:
		return "a message type that this release does not know";
	case FRAME_BODY_BAD:
		return "the body ends too early or has a bad field";
	case FRAME_FAULT_MAX:
		break;
	}
	return "unknown fault";
}

static void mfield_encode(struct writer *w, const struct mfield *f, const struct message *m)
{
	const void *at = (const uint8_t *)m + f->offset;
	const struct span *span = at;

	switch (f->type) {
	case MFIELD_U8:
		put_u8(w, *(const uint8_t *)at);
		break;
	case MFIELD_U16:
		put_u16(w, *(const uint16_t *)at);
		break;
	case MFIELD_U32:
		put_u32(w, *(const uint32_t *)at);
		break;
	case MFIELD_U64:
		put_u64(w, *(const uint64_t *)at);
		break;
	case MFIELD_NAME:
	case MFIELD_TEXT:
		put_text(w, at);
		break;
	case MFIELD_BYTES:
		put_bytes(w, span->data, span->len);
		break;
	}
}

static void mfield_decode(struct reader *r, const struct mfield *f, struct message *m)
{
	void *at = (uint8_t *)m + f->offset;
	struct span *span = at;

	switch (f->type) {
	case MFIELD_U8:
		*(uint8_t *)at = get_u8(r);
		break;
	case MFIELD_U16:
		*(uint16_t *)at = get_u16(r);
		break;
	case MFIELD_U32:
		*(uint32_t *)at = get_u32(r);
		break;
	case MFIELD_U64:
		*(uint64_t *)at = get_u64(r);
		break;
	case MFIELD_NAME:
		get_text(r, at, NAME_SIZE);
		break;
	case MFIELD_TEXT:
		get_text(r, at, TEXT_SIZE);
		break;
	case MFIELD_BYTES:
		span->len = reader_left(r);
		span->data = get_bytes(r, span->len);
		break;
	}
}

static uint32_t crc_of(const void *data, size_t len) { return (uint32_t)crc32(0, data, (uInt)len); }

int message_encode(const struct message *m, void *buf, size_t size)
{
	const struct message_type *type = message_type(m->type);
	struct writer body, header;

	if (!type)
		return -EINVAL;
	if (size > FRAME_MAX)
		size = FRAME_MAX;
	if (size < FRAME_HEADER_SIZE)
		return -E2BIG;
	body = writer_of((uint8_t *)buf + FRAME_HEADER_SIZE, size - FRAME_HEADER_SIZE);
	for (size_t i = 0; i < type->n_fields; i++)
		mfield_encode(&body, &type->fields[i], m);
	if (body.bad)
		return -E2BIG;
	header = writer_of(buf, FRAME_HEADER_SIZE);
	put_u32(&header, FRAME_MAGIC);
	put_u16(&header, FRAME_VERSION);
	put_u16(&header, m->type);
	put_u32(&header, (uint32_t)writer_len(&body));
	put_u32(&header, 0);
	put_u64(&header, m->cluster_id);
	put_u64(&header, m->view);
	put_u64(&header, m->sent_ms);
	put_u32(&header, crc_of(body.start, writer_len(&body)));
	put_u32(&header, crc_of(buf, HEADER_CRC_AT));
	return (int)(FRAME_HEADER_SIZE + writer_len(&body));
}

static enum frame_fault header_decode(struct reader *r, const void *data, size_t len, struct message *ret,
				      uint32_t *ret_body_crc)
{
	uint32_t magic = get_u32(r), body_len, reserved, header_crc;
	uint16_t version = get_u16(r);

	ret->type = get_u16(r);
	body_len = get_u32(r);
	reserved = get_u32(r);
	ret->cluster_id = get_u64(r);
	ret->view = get_u64(r);
	ret->sent_ms = get_u64(r);
	*ret_body_crc = get_u32(r);
	header_crc = get_u32(r);
	if (r->bad)
		return FRAME_SHORT;
	if (magic != FRAME_MAGIC)
		return FRAME_MAGIC_WRONG;
	if (version != FRAME_VERSION)
		return FRAME_VERSION_WRONG;
	if (header_crc != crc_of(data, HEADER_CRC_AT))
		return FRAME_HEADER_CRC;
	if (reserved)
		return FRAME_RESERVED_SET;
	if (body_len != len - FRAME_HEADER_SIZE || len > FRAME_MAX)
		return FRAME_LENGTH_WRONG;
	return FRAME_OK;
}

enum frame_fault message_decode(const void *data, size_t len, struct message *ret)
{
	struct reader r = reader_of(data, len);
	const struct message_type *type;
	enum frame_fault fault;
	uint32_t body_crc;

	memset(ret, 0, sizeof(*ret));
	fault = header_decode(&r, data, len, ret, &body_crc);
	if (fault != FRAME_OK)
		return fault;
	if (body_crc != crc_of(r.p, reader_left(&r)))
		return FRAME_BODY_CRC;
	type = message_type(ret->type);
	if (!type)
		return FRAME_TYPE_UNKNOWN;
	for (size_t i = 0; i < type->n_fields; i++)
		mfield_decode(&r, &type->fields[i], ret);
	return r.bad ? FRAME_BODY_BAD : FRAME_OK;
}

void change_op_encode(struct writer *w, const struct change_op *op)
{
	put_u8(w, op->verb);
	put_u8(w, op->kind);
	put_u8(w, op->force);
	put_text(w, op->name);
	put_text(w, op->arg);
	put_u8(w, op->n_fields);
	for (size_t i = 0; i < op->n_fields; i++) {
		put_u16(w, op->fields[i].number);
		put_u8(w, op->fields[i].how);
		put_text(w, op->fields[i].value);
	}
}

int change_op_decode(struct reader *r, struct change_op *ret)
{
	char *text = ret->text;

	ret->verb = get_u8(r);
	ret->kind = get_u8(r);
	ret->force = get_u8(r);
	get_text(r, ret->name, sizeof(ret->name));
	get_text(r, ret->arg, sizeof(ret->arg));
	ret->n_fields = get_u8(r);
	if (r->bad || ret->force > 1 || ret->n_fields > OP_FIELDS_MAX) {
		ret->n_fields = 0;
		return -EBADMSG;
	}
	for (size_t i = 0; i < ret->n_fields; i++) {
		size_t left = sizeof(ret->text) - (size_t)(text - ret->text);

		ret->fields[i].number = get_u16(r);
		ret->fields[i].how = get_u8(r);
		if (!left || ret->fields[i].how > EDIT_REMOVE)
			return -EBADMSG;
		get_text(r, text, left < OP_VALUE_MAX ? left : OP_VALUE_MAX);
		if (r->bad)
			return -EBADMSG;
		ret->fields[i].value = text;
		text += strlen(text) + 1;
	}
	return 0;
}

const char *change_verb_name(uint8_t verb)
{
	switch (verb) {
#define VERB(number, symbol, name, help) \
	case symbol:                     \
		return name;
#include "proto/changes.def"
#undef VERB
	}
	return "unknown";
}

const char *refusal_name(uint16_t refusal)
{
	switch (refusal) {
#define REFUSAL(number, symbol, name, exit_code, text) \
	case symbol:                                   \
		return name;
#include "proto/refusals.def"
#undef REFUSAL
	}
	return "unknown";
}

const char *refusal_text(uint16_t refusal)
{
	switch (refusal) {
#define REFUSAL(number, symbol, name, exit_code, text) \
	case symbol:                                   \
		return text;
#include "proto/refusals.def"
#undef REFUSAL
	}
	return "refused for a reason that this release does not know";
}

int refusal_exit_code(uint16_t refusal)
{
	switch (refusal) {
#define REFUSAL(number, symbol, name, exit_code, text) \
	case symbol:                                   \
		return exit_code;
#include "proto/refusals.def"
#undef REFUSAL
	}
	return 1;
}
