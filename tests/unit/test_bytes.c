/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Byte cursors and texts of fixed size: what is put comes back, and nothing outside the buffer is ever touched. */
#include "bytes.h"
#include "text.h"

#include "tests/lib/check.h"

static void test_roundtrip(void)
{
	uint8_t buffer[64];
	char text[8];
	struct writer w = writer_of(buffer, sizeof(buffer));
	struct reader r;

	put_u8(&w, 0xab);
	put_u16(&w, 0x1234);
	put_u32(&w, 0xdeadbeef);
	put_u64(&w, 0x0102030405060708);
	put_text(&w, "node-1");
	CHECK(!w.bad);
	CHECK_EQ(writer_len(&w), 1 + 2 + 4 + 8 + 2 + 6);
	CHECK_EQ(buffer[1], 0x34); /* little endian */

	r = reader_of(buffer, writer_len(&w));
	CHECK_EQ(get_u8(&r), 0xab);
	CHECK_EQ(get_u16(&r), 0x1234);
	CHECK_EQ(get_u32(&r), 0xdeadbeef);
	CHECK_EQ(get_u64(&r), 0x0102030405060708);
	get_text(&r, text, sizeof(text));
	CHECK_STR(text, "node-1");
	CHECK(!r.bad);
	CHECK_EQ(reader_left(&r), 0);
}

static void test_reader_end(void)
{
	const uint8_t three[3] = { 1, 2, 3 };
	struct reader r = reader_of(three, sizeof(three));

	CHECK_EQ(get_u32(&r), 0);
	CHECK(r.bad);
	CHECK_EQ(get_u8(&r), 0); /* bad for good, although a byte is there */
	CHECK_EQ(reader_left(&r), 0);
}

static void test_writer_end(void)
{
	uint8_t buffer[4] = { 9, 9, 9, 9 };
	struct writer w = writer_of(buffer, 3);

	put_u32(&w, 0x11223344);
	CHECK(w.bad);
	put_u8(&w, 1);
	CHECK_EQ(writer_len(&w), 0);
	CHECK_EQ(buffer[0], 9);
	CHECK_EQ(buffer[3], 9);
}

static void test_text_bounds(void)
{
	const uint8_t with_nul[] = { 3, 0, 'a', 0, 'b' };
	const uint8_t four[] = { 4, 0, 'a', 'b', 'c', 'd' };
	char text[4];
	struct reader r = reader_of(with_nul, sizeof(with_nul));

	get_text(&r, text, sizeof(text));
	CHECK(r.bad);
	CHECK_STR(text, "");
	r = reader_of(four, sizeof(four));
	get_text(&r, text, sizeof(text)); /* four bytes and the NUL do not fit */
	CHECK(r.bad);
	CHECK_STR(text, "");
}

/* Cut at the end of the field; whatever was there before, the rest is zero. */
static void test_field(void)
{
	static const char span[4] = { 'a', 'b', 'c', 'd' };
	char out[6];

	memset(out, 'x', sizeof(out));
	text_copy(out, sizeof(out), "ab");
	CHECK_MEM(out, "ab\0\0\0", sizeof(out));
	text_copy(out, sizeof(out), "abcde\xc3\xa4");
	CHECK_MEM(out, "abcde", sizeof(out));
	text_copy(out, sizeof(out), NULL);
	CHECK_MEM(out, "\0\0\0\0\0", sizeof(out));
	text_copy_n(out, sizeof(out), span, sizeof(span));
	CHECK_MEM(out, "abcd\0", sizeof(out));
	text_copy_n(out, sizeof(out), "ab\0d", 4);
	CHECK_MEM(out, "ab\0\0\0", sizeof(out));
	text_copy_n(out, sizeof(out), "abcdefgh", 7);
	CHECK_MEM(out, "abcde", sizeof(out));
	text_copy_n(out, sizeof(out), "abcdefgh", 0);
	CHECK_STR(out, "");
}

int main(void)
{
	test_roundtrip();
	test_reader_end();
	test_writer_end();
	test_text_bounds();
	test_field();
	return check_result();
}
