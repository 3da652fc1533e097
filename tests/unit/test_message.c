/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames: each fault is told from the others; messages and operations come back as they were. */
#include <zlib.h>

#include "proto/message.h"
#include "proto/object_text.h"

#include "tests/lib/check.h"

static uint8_t frame[FRAME_MAX + 16];

static void put_u32_at(size_t at, uint32_t v)
{
	struct writer w = writer_of(frame + at, 4);

	put_u32(&w, v);
}

/* Puts the CRCs right again after the frame was tampered with. */
static void seal(size_t len)
{
	put_u32_at(40, (uint32_t)crc32(0, frame + FRAME_HEADER_SIZE, (uInt)(len - FRAME_HEADER_SIZE)));
	put_u32_at(44, (uint32_t)crc32(0, frame, 44));
}

static int make_alive(void)
{
	struct message m = { .type = MSG_ALIVE, .cluster_id = 7, .view = 8, .sent_ms = 9 };

	m.alive.epoch = 1;
	m.alive.seq = 2;
	m.alive.digest = 3;
	m.alive.durable_seq = 4;
	return message_encode(&m, frame, sizeof(frame));
}

static enum frame_fault decode(size_t len)
{
	struct message m;

	return message_decode(frame, len, &m);
}

static void test_roundtrip(void)
{
	struct message m = { .type = MSG_RESULT, .cluster_id = UINT64_MAX, .view = 5, .sent_ms = 6 }, got;
	int n;

	m.result.op = 0x0102030405060708;
	m.result.resource = 16384;
	m.result.action = AGENT_STOP;
	m.result.rc = OCF_ERR_GENERIC;
	m.result.status = AGENT_TIMEOUT;
	strcpy(m.result.output, "it hung\nand was killed");
	n = message_encode(&m, frame, sizeof(frame));
	REQUIRE(n > FRAME_HEADER_SIZE);
	CHECK_EQ(message_decode(frame, (size_t)n, &got), FRAME_OK);
	CHECK_EQ(got.type, m.type);
	CHECK_EQ(got.cluster_id, m.cluster_id);
	CHECK_EQ(got.view, m.view);
	CHECK_EQ(got.sent_ms, m.sent_ms);
	CHECK_EQ(got.result.op, m.result.op);
	CHECK_EQ(got.result.resource, m.result.resource);
	CHECK_EQ(got.result.rc, m.result.rc);
	CHECK_EQ(got.result.status, m.result.status);
	CHECK_STR(got.result.output, m.result.output);
	CHECK_EQ(frame[0], 'C');
	CHECK_EQ(frame[3], '1');
	CHECK_EQ(frame[8], n - FRAME_HEADER_SIZE);
}

static void test_bytes(void)
{
	static uint8_t most[FRAME_MAX];
	struct message m = { .type = CTL_CHANGE }, got;
	int n;

	m.ctl_change.ops = (struct span){ most, FRAME_MAX - FRAME_HEADER_SIZE };
	n = message_encode(&m, frame, sizeof(frame));
	CHECK_EQ(n, FRAME_MAX);
	CHECK_EQ(message_decode(frame, (size_t)n, &got), FRAME_OK);
	CHECK_EQ(got.ctl_change.ops.len, FRAME_MAX - FRAME_HEADER_SIZE);
	CHECK_EQ(got.ctl_change.ops.data, frame + FRAME_HEADER_SIZE);
	m.ctl_change.ops.len++;
	CHECK_EQ(message_encode(&m, frame, sizeof(frame)), -E2BIG);
	m.ctl_change.ops.len = 0;
	n = message_encode(&m, frame, FRAME_HEADER_SIZE);
	CHECK_EQ(n, FRAME_HEADER_SIZE);
	CHECK_EQ(message_decode(frame, (size_t)n, &got), FRAME_OK);
	CHECK_EQ(got.ctl_change.ops.len, 0);
	CHECK_EQ(message_encode(&m, frame, FRAME_HEADER_SIZE - 1), -E2BIG);
	m.type = 4000;
	CHECK_EQ(message_encode(&m, frame, sizeof(frame)), -EINVAL);
}

/* Every fault by a frame that has this one and no other. */
static void test_faults(void)
{
	size_t n = (size_t)make_alive();

	CHECK_EQ(decode(n), FRAME_OK);
	CHECK_EQ(decode(FRAME_HEADER_SIZE - 1), FRAME_SHORT);
	CHECK_EQ(decode(0), FRAME_SHORT);
	CHECK_EQ(decode(n - 1), FRAME_LENGTH_WRONG);
	CHECK_EQ(decode(n + 1), FRAME_LENGTH_WRONG);
	frame[0] = 'X';
	seal(n);
	CHECK_EQ(decode(n), FRAME_MAGIC_WRONG);

	make_alive();
	frame[4] = 2;
	seal(n);
	CHECK_EQ(decode(n), FRAME_VERSION_WRONG);
	make_alive();
	frame[12] = 1;
	seal(n);
	CHECK_EQ(decode(n), FRAME_RESERVED_SET);
	make_alive();
	frame[16] ^= 1;
	CHECK_EQ(decode(n), FRAME_HEADER_CRC);
	make_alive();
	frame[n - 1] ^= 0x80;
	CHECK_EQ(decode(n), FRAME_BODY_CRC);
	make_alive();
	frame[6] = 60;
	seal(n);
	CHECK_EQ(decode(n), FRAME_TYPE_UNKNOWN);
	make_alive();
	put_u32_at(8, (uint32_t)(n - 1 - FRAME_HEADER_SIZE));
	seal(n - 1);
	CHECK_EQ(decode(n - 1), FRAME_BODY_BAD);

	/* Longer than any frame may be, although all of it fits together. */
	memset(frame + n, 0, sizeof(frame) - n);
	make_alive();
	put_u32_at(8, FRAME_MAX + 1 - FRAME_HEADER_SIZE);
	seal(FRAME_MAX + 1);
	CHECK_EQ(decode(FRAME_MAX + 1), FRAME_LENGTH_WRONG);
	put_u32_at(8, FRAME_MAX - FRAME_HEADER_SIZE);
	seal(FRAME_MAX);
	CHECK_EQ(decode(FRAME_MAX), FRAME_OK); /* a newer peer's further fields are ignored */

	for (int f = FRAME_OK; f < FRAME_FAULT_MAX; f++) {
		CHECK(strlen(frame_fault_text((enum frame_fault)f)) > 0);
		CHECK(strcmp(frame_fault_text((enum frame_fault)f), frame_fault_text(FRAME_FAULT_MAX)) != 0);
	}
}

static void test_text_bounds(void)
{
	struct message m = { .type = CTL_METADATA }, got;
	size_t n;

	memset(m.ctl_metadata.agent, 'a', NAME_SIZE - 1);
	n = (size_t)message_encode(&m, frame, sizeof(frame));
	CHECK_EQ(message_decode(frame, n, &got), FRAME_OK);
	CHECK_STR(got.ctl_metadata.agent, m.ctl_metadata.agent);
	frame[FRAME_HEADER_SIZE] = NAME_SIZE; /* one more than fits; the byte is there */
	put_u32_at(8, 2 + NAME_SIZE);
	frame[n] = 'a';
	seal(n + 1);
	CHECK_EQ(message_decode(frame, n + 1, &got), FRAME_BODY_BAD);
	n = (size_t)message_encode(&m, frame, sizeof(frame));
	frame[FRAME_HEADER_SIZE + 5] = 0;
	seal(n);
	CHECK_EQ(message_decode(frame, n, &got), FRAME_BODY_BAD);
}

static void test_names(void)
{
	CHECK_STR(message_name(MSG_HELLO), "hello");
	CHECK_STR(message_name(4000), "unknown");
	CHECK(message_is_sequenced(MSG_CHANGE));
	CHECK(!message_is_sequenced(MSG_ALIVE));
	CHECK(!message_is_sequenced(4000));
	CHECK_STR(refusal_name(REFUSED_WOULD_LOSE_QUORUM), "would-lose-quorum");
	CHECK_EQ(refusal_exit_code(REFUSED_NOT), 0);
	CHECK_EQ(refusal_exit_code(999), 1);
	CHECK_STR(refusal_name(999), "unknown");
	CHECK_CONTAINS(refusal_text(999), "does not know");
	CHECK_STR(change_verb_name(VERB_NODE_STOP), "node-stop");
	CHECK_STR(change_verb_name(0), "unknown");
}

static void test_change_ops(void)
{
	static struct change_op op, got;
	static char longest[OP_VALUE_MAX + 1];
	struct writer w = writer_of(frame, sizeof(frame));
	struct reader r;
	size_t n;

	memset(longest, 'v', sizeof(longest) - 1);
	longest[OP_VALUE_MAX - 1] = '\0';
	op.verb = VERB_SET;
	op.kind = KIND_RESOURCE;
	op.force = 1;
	strcpy(op.name, "ip");
	strcpy(op.arg, "arg");
	op.n_fields = 3;
	op.fields[0].number = 4;
	op.fields[0].how = EDIT_ADD;
	op.fields[0].value = longest;
	op.fields[1].number = 65535;
	op.fields[1].how = EDIT_REMOVE;
	op.fields[1].value = "";
	op.fields[2].value = "x";
	change_op_encode(&w, &op);
	REQUIRE(!w.bad);
	n = writer_len(&w);
	r = reader_of(frame, n);
	CHECK_EQ(change_op_decode(&r, &got), 0);
	CHECK_EQ(reader_left(&r), 0);
	CHECK_EQ(got.verb, VERB_SET);
	CHECK_EQ(got.kind, KIND_RESOURCE);
	CHECK_EQ(got.force, 1);
	CHECK_STR(got.name, "ip");
	CHECK_STR(got.arg, "arg");
	CHECK_EQ(got.n_fields, 3);
	CHECK_STR(got.fields[0].value, longest);
	CHECK_EQ(got.fields[1].number, 65535);
	CHECK_EQ(got.fields[1].how, EDIT_REMOVE);
	CHECK_STR(got.fields[2].value, "x");
	for (size_t i = 0; i < n; i++) {
		r = reader_of(frame, i);
		CHECK_EQ(change_op_decode(&r, &got), -EBADMSG);
	}

	longest[OP_VALUE_MAX - 1] = 'v'; /* one byte more than a value may have */
	w = writer_of(frame, sizeof(frame));
	change_op_encode(&w, &op);
	r = reader_of(frame, writer_len(&w));
	CHECK_EQ(change_op_decode(&r, &got), -EBADMSG);
	op.fields[0].value = "";
	op.fields[0].how = 3;
	w = writer_of(frame, sizeof(frame));
	change_op_encode(&w, &op);
	r = reader_of(frame, writer_len(&w));
	CHECK_EQ(change_op_decode(&r, &got), -EBADMSG);
	op.fields[0].how = EDIT_SET;
	op.force = 2;
	w = writer_of(frame, sizeof(frame));
	change_op_encode(&w, &op);
	r = reader_of(frame, writer_len(&w));
	CHECK_EQ(change_op_decode(&r, &got), -EBADMSG);
}

/* As many and as long values as the wire can carry, and one field too many. */
static void test_change_op_bounds(void)
{
	static struct change_op op, got;
	static char value[OP_VALUE_MAX];
	struct writer w = writer_of(frame, sizeof(frame));
	struct reader r;

	memset(value, 'v', sizeof(value) - 1);
	op.n_fields = OP_FIELDS_MAX;
	for (int i = 0; i < OP_FIELDS_MAX; i++)
		op.fields[i].value = i < 46 ? value : "";
	change_op_encode(&w, &op);
	REQUIRE(!w.bad);
	r = reader_of(frame, writer_len(&w));
	CHECK_EQ(change_op_decode(&r, &got), 0);
	CHECK_STR(got.fields[45].value, value);

	w = writer_of(frame, sizeof(frame));
	for (int i = 0; i < OP_FIELDS_MAX; i++)
		op.fields[i].value = "";
	change_op_encode(&w, &op);
	frame[7] = OP_FIELDS_MAX + 1; /* verb kind force, two empty texts, then the count */
	put_u32(&w, 0);
	put_u8(&w, 0);
	r = reader_of(frame, writer_len(&w));
	CHECK_EQ(change_op_decode(&r, &got), -EBADMSG);
}

int main(void)
{
	test_roundtrip();
	test_bytes();
	test_faults();
	test_text_bounds();
	test_names();
	test_change_ops();
	test_change_op_bounds();
	return check_result();
}
