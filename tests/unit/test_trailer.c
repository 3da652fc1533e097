/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The trailer: found at the end and behind a file system on a device that grew; every kind of damage is seen. */
#include <pthread.h>

#include "csvfs/io/trailer.h"
#include "tests/unit/loop_rig.h"

static char error[256];
static const struct trailer_header plain = {
	.volume_hi = 0x1122334455667788, .volume_lo = 0x99aabbccddeeff00, .filesystem = "ext4", .label = "vol1",
};

/* Flips a byte. */
static void damage(const struct device *d, uint64_t at)
{
	uint8_t *page = device_buffer(TRAILER_PAGE);
	uint64_t start = at & ~(uint64_t)(TRAILER_PAGE - 1);

	REQUIRE(page && !device_read(d, page, TRAILER_PAGE, start));
	page[at - start] ^= 0x10;
	REQUIRE(!device_write(d, page, TRAILER_PAGE, start));
	free(page);
}

static void test_make(uint32_t sector)
{
	struct loop l = loop_new(32 * MIB + 5 * sector, sector);
	struct trailer_session sessions[VOL_SESSION_MAX];
	struct trailer_owner o = { .epoch = 1 };
	struct trailer_header h;
	struct trailer t, made;
	struct device d;
	uint8_t *page = device_buffer(TRAILER_PAGE);

	REQUIRE(page && !device_open(&d, l.path, true));
	CHECK_EQ(trailer_find(&t, &d, &h, error, sizeof(error)), -ENOENT);
	CHECK_CONTAINS(error, "csvfs-admin create");
	CHECK_EQ(trailer_make(&made, &d, &plain), 0);
	CHECK_EQ(trailer_find(&t, &d, &h, error, sizeof(error)), 0);
	CHECK_STR(error, "");
	CHECK_EQ(t.at, made.at);
	CHECK_EQ(t.at, trailer_place(d.size));
	CHECK_EQ(t.at % TRAILER_PAGE, 0);
	CHECK(t.at + TRAILER_SIZE <= d.size);
	CHECK_EQ(h.volume_hi, plain.volume_hi);
	CHECK_EQ(h.volume_lo, plain.volume_lo);
	CHECK_EQ(h.at, t.at);
	CHECK_EQ(h.device_size, d.size);
	CHECK_STR(h.filesystem, "ext4");
	CHECK_STR(h.label, "vol1");
	CHECK_EQ(trailer_read_owner(&t, &o), 0);
	CHECK_EQ(o.epoch, 0);
	CHECK_EQ(o.state, OWNER_FREE);
	CHECK_EQ(trailer_read_sessions(&t, sessions), 0);
	for (int i = 0; i < VOL_SESSION_MAX; i++)
		CHECK_EQ(sessions[i].used, 0);
	for (uint32_t i = 0; i < TRAILER_INTENT_PAGES; i += TRAILER_INTENT_PAGES - 1) {
		CHECK_EQ(trailer_read_pages(&t, i, 1, page), 0);
		for (uint32_t k = 0; k < TRAILER_PAGE; k++)
			REQUIRE(!page[k]);
	}
	free(page);
	device_close(&d);
	loop_free(&l);
}

static void test_records(void)
{
	struct loop l = loop_new(32 * MIB, 512), other = loop_again(l.file, 512, 0);
	struct trailer_owner o = { 7, 8, 9, 10, 11, OWNER_MOUNTED }, p;
	struct trailer_session s = { .session = UINT64_MAX, .incarnation = 5, .node = 63, .used = 1 };
	struct trailer_session sessions[VOL_SESSION_MAX];
	uint8_t *page = device_buffer(TRAILER_PAGE), *back = device_buffer(2 * TRAILER_PAGE);
	struct trailer_header h;
	struct trailer t, seen;
	struct device d, e;

	REQUIRE(page && back && !device_open(&d, l.path, true) && !device_open(&e, other.path, false));
	REQUIRE(!trailer_make(&t, &d, &plain) && !trailer_find(&seen, &e, &h, error, sizeof(error)));
	/* What one node writes, another reads. */
	CHECK_EQ(trailer_write_owner(&t, &o), 0);
	CHECK_EQ(trailer_read_owner(&seen, &p), 0);
	CHECK_EQ(p.epoch, 7);
	CHECK_EQ(p.incarnation, 8);
	CHECK_EQ(p.owner, 9);
	CHECK_EQ(p.written_ms, 10);
	CHECK_EQ(p.node, 11);
	CHECK_EQ(p.state, OWNER_MOUNTED);
	CHECK_EQ(trailer_write_session(&t, 0, &s), 0);
	CHECK_EQ(trailer_write_session(&t, VOL_SESSION_MAX - 1, &s), 0);
	CHECK_EQ(trailer_write_session(&t, VOL_SESSION_MAX, &s), -EINVAL);
	CHECK_EQ(trailer_read_sessions(&seen, sessions), 0);
	CHECK_EQ(sessions[0].session, UINT64_MAX);
	CHECK_EQ(sessions[VOL_SESSION_MAX - 1].node, 63);
	CHECK_EQ(sessions[1].used, 0);
	memset(page, 0xab, TRAILER_PAGE);
	CHECK_EQ(trailer_write_page(&t, TRAILER_INTENT_PAGES - 1, page), 0);
	CHECK_EQ(trailer_write_page(&t, TRAILER_INTENT_PAGES, page), -EINVAL);
	CHECK_EQ(trailer_read_pages(&seen, TRAILER_INTENT_PAGES - 2, 2, back), 0);
	CHECK_MEM(back + TRAILER_PAGE, page, TRAILER_PAGE);
	CHECK_EQ(trailer_read_pages(&seen, TRAILER_INTENT_PAGES - 1, 2, back), -EINVAL);
	/* The last page of the ring is the last of the device. */
	CHECK_EQ(device_read(&e, back, TRAILER_PAGE, 32 * MIB - TRAILER_PAGE), 0);
	CHECK_MEM(back, page, TRAILER_PAGE);
	h.label[0] = 'X';
	CHECK_EQ(trailer_write_header(&t, &h), 0);
	CHECK_EQ(trailer_find(&seen, &e, &h, error, sizeof(error)), 0);
	CHECK_STR(h.label, "Xol1");
	CHECK_EQ(trailer_erase(&t), 0);
	CHECK_EQ(trailer_find(&seen, &e, &h, error, sizeof(error)), -ENOENT);
	free(page);
	free(back);
	device_close(&d);
	device_close(&e);
	loop_free(&l);
	loop_free(&other);
}

struct rival {
	const struct trailer *t;
	struct trailer_owner o;
};

static void *rival_claims(void *data)
{
	const struct rival *r = data;

	CHECK_EQ(trailer_write_owner(r->t, &r->o), 0);
	return NULL;
}

/* Two found it free; the second wrote before the first has read back. */
static void test_claim(void)
{
	struct loop l = loop_new(32 * MIB, 512), other = loop_again(l.file, 512, 0);
	struct trailer_owner o = { .epoch = 2, .owner = 1, .node = 1, .state = OWNER_MOUNTING }, found;
	struct trailer_header h;
	struct trailer t, seen;
	struct device d, e;
	struct rival rival = { .t = &seen, .o = { .epoch = 2, .owner = 2, .node = 2, .state = OWNER_MOUNTING } };
	pthread_t thread;
	int r;

	REQUIRE(!device_open(&d, l.path, true) && !device_open(&e, other.path, true));
	REQUIRE(!trailer_make(&t, &d, &plain) && !trailer_find(&seen, &e, &h, error, sizeof(error)));
	CHECK_EQ(trailer_claim(&t, &o, 10, &found), 0);
	CHECK_EQ(found.owner, 1);
	do { /* the rival may come before the claim is written */
		REQUIRE(!pthread_create(&thread, NULL, rival_claims, &rival));
		r = trailer_claim(&t, &o, 200, &found);
		pthread_join(thread, NULL);
	} while (!r);
	CHECK_EQ(r, -EBUSY);
	CHECK_EQ(found.owner, 2);
	CHECK_EQ(found.node, 2);
	device_close(&d);
	device_close(&e);
	loop_free(&l);
	loop_free(&other);
}

static void test_damage(void)
{
	struct loop l = loop_new(32 * MIB, 512);
	struct trailer_session sessions[VOL_SESSION_MAX], s = { .session = 3, .node = 2, .used = 1 };
	struct trailer_owner o = { .epoch = 3 };
	struct trailer_header h;
	struct trailer t, seen;
	struct device d;

	REQUIRE(!device_open(&d, l.path, true) && !trailer_make(&t, &d, &plain));
	/* Either header is enough. */
	damage(&d, t.at + 100);
	CHECK_EQ(trailer_find(&seen, &d, &h, error, sizeof(error)), 0);
	CHECK_STR(h.label, "vol1");
	CHECK_EQ(trailer_write_header(&t, &h), 0);
	damage(&d, t.at + TRAILER_COPY_AT + 4000);
	CHECK_EQ(trailer_find(&seen, &d, &h, error, sizeof(error)), 0);
	damage(&d, t.at + 20);
	CHECK_EQ(trailer_find(&seen, &d, &h, error, sizeof(error)), -EBADMSG);
	CHECK_CONTAINS(error, "damaged");
	damage(&d, t.at + 20); /* as it was */
	CHECK_EQ(trailer_find(&seen, &d, &h, error, sizeof(error)), 0);
	/* The first is another thing altogether, the copy is damaged. */
	damage(&d, t.at);
	CHECK_EQ(trailer_find(&seen, &d, &h, error, sizeof(error)), -EBADMSG);
	damage(&d, t.at);
	/* Records: any byte of the page. */
	for (uint64_t i = 0; i < TRAILER_PAGE; i += i < 64 ? 1 : 997) {
		damage(&d, t.at + TRAILER_OWNER_AT + i);
		CHECK(trailer_read_owner(&t, &o) < 0);
		damage(&d, t.at + TRAILER_OWNER_AT + i);
	}
	CHECK_EQ(trailer_read_owner(&t, &o), 0);
	CHECK_EQ(trailer_write_session(&t, 9, &s), 0);
	damage(&d, t.at + TRAILER_SESSIONS_AT + 7 * TRAILER_PAGE + 20);
	CHECK_EQ(trailer_read_sessions(&t, sessions), -EBADMSG);
	CHECK_EQ(sessions[7].used, 1);
	CHECK_EQ(sessions[7].session, 0);
	CHECK_EQ(sessions[9].session, 3);
	CHECK_EQ(sessions[8].used, 0);
	/* A record of another kind in its place, checksum and all. */
	s.used = 0;
	CHECK_EQ(trailer_write_session(&t, 7, &s), 0);
	CHECK_EQ(trailer_read_sessions(&t, sessions), 0);
	t.at += TRAILER_OWNER_AT;
	CHECK_EQ(trailer_read_owner(&t, &o), -EBADMSG);
	device_close(&d);
	loop_free(&l);
}

/* A file system that ends where the trailer begins; then the device grows, twice. */
static void test_grow(bool xfs)
{
	uint64_t size = 400 * MIB + 3 * 4096 + 512;
	struct loop l = loop_new(size, 512);
	struct trailer_session sessions[VOL_SESSION_MAX], s = { .session = 3, .node = 2, .used = 1 };
	struct trailer_owner o = { .epoch = 5, .node = 3 };
	struct trailer first, t, moved;
	struct trailer_header h;
	struct device d;

	REQUIRE(!device_open(&d, l.path, true));
	if (xfs)
		REQUIRE(!rig_run("mkfs.xfs -q -f -d size=%llu %s", (unsigned long long)trailer_place(size), l.path));
	else
		REQUIRE(!rig_run("mkfs.ext4 -q -b 4096 %s %lluK", l.path, (unsigned long long)trailer_place(size) / 1024));
	REQUIRE(!trailer_make(&first, &d, &plain));
	REQUIRE(!trailer_write_owner(&first, &o) && !trailer_write_session(&first, 200, &s));
	CHECK_EQ(trailer_move(&moved, &first, &plain), -EALREADY);
	loop_resize(&l, 500 * MIB);
	CHECK_EQ(trailer_find(&t, &d, &h, error, sizeof(error)), 0);
	CHECK_EQ(t.at, first.at);
	damage(&d, first.at + TRAILER_COPY_AT + 20);
	damage(&d, first.at + 20);
	CHECK_EQ(trailer_find(&t, &d, &h, error, sizeof(error)), -EBADMSG);
	damage(&d, first.at + TRAILER_COPY_AT + 20);
	CHECK_EQ(trailer_find(&t, &d, &h, error, sizeof(error)), 0); /* by the copy */
	damage(&d, first.at + 20);
	CHECK_EQ(trailer_move(&moved, &first, &h), 0);
	CHECK_EQ(trailer_find(&t, &d, &h, error, sizeof(error)), 0);
	CHECK_EQ(t.at, 500 * MIB - TRAILER_SIZE);
	CHECK_EQ(h.device_size, 500 * MIB);
	o.epoch = 0;
	CHECK_EQ(trailer_read_owner(&t, &o), 0);
	CHECK_EQ(o.epoch, 5);
	CHECK_EQ(trailer_read_sessions(&t, sessions), 0);
	CHECK_EQ(sessions[200].session, 3);
	/* It grows again and again before the file system has grown: the old trailers, stale by now, lead to the newest. */
	o.epoch = 6;
	CHECK_EQ(trailer_write_owner(&t, &o), 0);
	loop_resize(&l, 600 * MIB);
	CHECK_EQ(trailer_find(&t, &d, &h, error, sizeof(error)), 0);
	CHECK_EQ(t.at, moved.at);
	CHECK_EQ(trailer_read_owner(&t, &o), 0);
	CHECK_EQ(o.epoch, 6);
	CHECK_EQ(trailer_move(&moved, &t, &h), 0);
	loop_resize(&l, 700 * MIB);
	CHECK_EQ(trailer_find(&t, &d, &h, error, sizeof(error)), 0);
	CHECK_EQ(t.at, 600 * MIB - TRAILER_SIZE);
	/* One of another volume at that place is not ours. */
	h.volume_lo++;
	CHECK_EQ(trailer_write_header(&t, &h), 0);
	CHECK_EQ(trailer_find(&t, &d, &h, error, sizeof(error)), -ENOENT);
	/* Shrunk to nearly nothing. */
	loop_resize(&l, 300 * MIB);
	CHECK(trailer_find(&t, &d, &h, error, sizeof(error)) < 0);
	loop_resize(&l, 4 * MIB);
	CHECK_EQ(trailer_find(&t, &d, &h, error, sizeof(error)), -ENOENT);
	CHECK_EQ(trailer_make(&t, &d, &plain), -ENOSPC);
	device_close(&d);
	loop_free(&l);
}

static void test_errors(void)
{
	struct loop l = loop_new(32 * MIB, 512), ro = loop_again(l.file, 512, LO_FLAGS_READ_ONLY);
	struct trailer_owner o = { .epoch = 3 };
	struct trailer_header h;
	struct trailer t;
	struct device d, e;

	REQUIRE(!device_open(&d, l.path, true) && !device_open(&e, ro.path, false));
	CHECK(trailer_make(&t, &e, &plain) < 0);
	REQUIRE(!trailer_make(&t, &d, &plain));
	CHECK_EQ(trailer_find(&t, &e, &h, error, sizeof(error)), 0);
	CHECK(trailer_write_owner(&t, &o) < 0);
	/* The device shrinks below it. */
	t.device = &d;
	loop_resize(&l, 16 * MIB);
	CHECK_EQ(trailer_write_owner(&t, &o), -ENXIO);
	CHECK_EQ(trailer_read_owner(&t, &o), -ENXIO);
	device_close(&d);
	device_close(&e);
	loop_free(&l);
	loop_free(&ro);
}

int main(void)
{
	loop_rig_start();
	test_make(512);
	test_make(4096);
	test_records();
	test_claim();
	test_damage();
	test_grow(false);
	test_grow(true);
	test_errors();
	return check_result();
}
