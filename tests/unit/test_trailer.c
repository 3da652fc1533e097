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

/* --- claims: who mounts, whatever the order in which steps reach the disk --- */

#define CLAIMANTS_MAX 3
#define CLAIM_STEPS 4

struct claimant {
	struct trailer_owner o, before;
	int step, result;
};

static void claim_step(const struct trailer *t, struct claimant *c)
{
	struct trailer_owner other;

	switch (c->step++) {
	case 0: c->result = trailer_announce(t, &c->o); break;
	case 1: c->result = trailer_look(t, &c->before, &c->o, &other); break;
	case 2: c->result = trailer_write_owner(t, &c->o); break;
	default: c->result = trailer_confirm(t, &c->o, &other); break;
	}
	if (c->result)
		trailer_give_up(t, &c->o);
}

/*
 * All have found the volume free. `order`: whose step is next; of one that has given up there are none. Number of those that
 * have it when all is over and each that got it has looked once more, as an owner always does.
 */
static int claims_in_order(const struct trailer *t, const uint64_t *epochs, const uint32_t *nodes, int n, const int *order)
{
	static uint64_t owners;
	struct trailer_owner free_record = { .node = 9 }, other;
	struct claimant c[CLAIMANTS_MAX] = { 0 };
	int have = 0;

	REQUIRE(!trailer_write_owner(t, &free_record));
	for (int i = 0; i < n; i++) {
		c[i] = (struct claimant){ .before = free_record };
		c[i].o = (struct trailer_owner){ .epoch = epochs[i], .owner = ++owners, .node = nodes[i], .state = OWNER_MOUNTING };
		trailer_give_up(t, &c[i].o); /* what the order before has left */
	}
	for (int i = 0; i < n * CLAIM_STEPS; i++)
		if (!c[order[i]].result)
			claim_step(t, &c[order[i]]);
	/* The highest last: what the others do now must not take it from him. */
	for (int i = 0; i < n; i++)
		if (!c[i].result)
			have += !trailer_confirm(t, &c[i].o, &other);
	for (int i = 0; i < n; i++)
		if (!c[i].result)
			CHECK(trailer_confirm(t, &c[i].o, &other) == 0 || epochs[i] < epochs[n - 1] || have == 0);
	return have;
}

/* The next of the orders of n times CLAIM_STEPS steps, by number of the claimant; false: that was the last. */
static bool order_next(int *order, int len)
{
	int i = len - 2, k = len - 1, swap;

	while (i >= 0 && order[i] >= order[i + 1])
		i--;
	if (i < 0)
		return false;
	while (order[k] <= order[i])
		k--;
	swap = order[i], order[i] = order[k], order[k] = swap;
	for (int a = i + 1, b = len - 1; a < b; a++, b--)
		swap = order[a], order[a] = order[b], order[b] = swap;
	return true;
}

static void order_first(int *order, int n)
{
	for (int i = 0; i < n * CLAIM_STEPS; i++)
		order[i] = i / CLAIM_STEPS;
}

static void test_claim_orders(const struct trailer *t)
{
	static const uint64_t same[] = { 5, 5, 5 }, rising[] = { 5, 6, 7 }, admin[] = { 0, 1 };
	static const uint32_t nodes[] = { 1, 2, 63 }, twice[] = { 1, 1 }, with_admin[] = { 0, 2 };
	int order[CLAIMANTS_MAX * CLAIM_STEPS], orders = 0, nobody = 0;

	order_first(order, 2);
	CHECK_EQ(claims_in_order(t, same, nodes, 2, order), 1);
	CHECK_EQ(claims_in_order(t, rising, nodes, 2, order), 1);
	do {
		int have = claims_in_order(t, same, nodes, 2, order);

		CHECK(have <= 1);
		nobody += !have;
		CHECK(claims_in_order(t, rising, nodes, 2, order) <= 1);
		CHECK(claims_in_order(t, same, twice, 2, order) <= 1);
		CHECK(claims_in_order(t, admin, with_admin, 2, order) <= 1);
		orders++;
	} while (order_next(order, 2 * CLAIM_STEPS));
	CHECK_EQ(orders, 70);
	CHECK(nobody < orders);
	/* Of the orders of three every 101st: enough to meet each pair in the middle of the third. */
	order_first(order, 3);
	orders = 0;
	do {
		if (orders++ % 101)
			continue;
		CHECK(claims_in_order(t, same, nodes, 3, order) <= 1);
		CHECK(claims_in_order(t, rising, nodes, 3, order) <= 1);
	} while (order_next(order, 3 * CLAIM_STEPS));
	CHECK_EQ(orders, 34650);
}

/* An owner of a lower epoch that goes on late: it gives up, and the record becomes the other's again. */
static void test_late_claim(const struct trailer *t)
{
	struct trailer_owner late = { .epoch = 10, .owner = 1001, .node = 1, .state = OWNER_MOUNTING };
	struct trailer_owner next = { .epoch = 11, .owner = 1002, .node = 2, .state = OWNER_MOUNTING }, before, other;

	REQUIRE(!trailer_read_owner(t, &before));
	CHECK_EQ(trailer_announce(t, &late), 0);
	CHECK_EQ(trailer_look(t, &before, &late, &other), 0);
	CHECK_EQ(trailer_claim(t, &before, &next, 0, &other), 0);
	CHECK_EQ(trailer_write_owner(t, &late), 0);
	CHECK_EQ(trailer_confirm(t, &late, &other), -EBUSY);
	CHECK_EQ(other.epoch, 11);
	CHECK_EQ(other.node, 2);
	trailer_give_up(t, &late);
	CHECK_EQ(trailer_confirm(t, &next, &other), 0);
	CHECK_EQ(trailer_read_owner(t, &other), 0);
	CHECK_EQ(other.owner, 1002);
}

static void test_claim(void)
{
	struct loop l = loop_new(32 * MIB, 512), other = loop_again(l.file, 512, 0);
	struct trailer_owner o = { .epoch = 2, .owner = 1, .node = 1, .state = OWNER_MOUNTING }, found, none = { 0 };
	struct trailer_owner rival = { .epoch = 3, .owner = 2, .node = 2, .state = OWNER_MOUNTING };
	struct trailer_owner admin = { .epoch = 3, .owner = 3, .state = OWNER_MOUNTING };
	struct trailer_header h;
	struct trailer t, seen;
	struct device d, e;
	uint64_t epoch;

	REQUIRE(!device_open(&d, l.path, true) && !device_open(&e, other.path, true));
	REQUIRE(!trailer_make(&t, &d, &plain) && !trailer_find(&seen, &e, &h, error, sizeof(error)));
	CHECK_EQ(trailer_claim(&t, &none, &o, 0, &found), 0);
	CHECK_EQ(found.owner, 1);
	/* The record is not as it was judged. */
	CHECK_EQ(trailer_claim(&seen, &none, &rival, 0, &found), -EBUSY);
	CHECK_EQ(found.owner, 1);
	CHECK_EQ(trailer_confirm(&t, &o, &found), 0);
	/* A higher epoch takes it over; the one before sees that. */
	CHECK_EQ(trailer_claim(&seen, &o, &rival, 0, &found), 0);
	CHECK_EQ(trailer_confirm(&t, &o, &found), -EBUSY);
	CHECK_EQ(found.node, 2);
	/* So does csvfs-admin, when somebody says that it may. */
	CHECK_EQ(trailer_claim(&t, &rival, &admin, 1, &found), 0);
	CHECK_EQ(trailer_confirm(&seen, &rival, &found), -EBUSY);
	/* A damaged claim keeps everybody away until it is forgotten. */
	found = (struct trailer_owner){ .epoch = 9, .owner = 9, .node = 40, .state = OWNER_MOUNTING };
	CHECK_EQ(trailer_announce(&t, &found), 0);
	damage(&d, t.at + TRAILER_CLAIMS_AT + 40 * TRAILER_PAGE + 20);
	damage(&d, t.at + TRAILER_CLAIMS_AT + 41 * TRAILER_PAGE); /* never written, and not blank any more */
	rival.epoch = 12;
	CHECK_EQ(trailer_claim(&seen, NULL, &rival, 0, &found), -EBUSY);
	CHECK_EQ(found.node, 40);
	CHECK_EQ(trailer_forget_claims(&seen, &epoch), 0);
	CHECK_EQ(epoch, 2); /* that of node 2 was withdrawn */
	CHECK_EQ(trailer_claim(&seen, NULL, &rival, 0, &found), 0);
	REQUIRE(!trailer_make(&t, &d, &plain));
	test_claim_orders(&t);
	test_late_claim(&t);
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
	CHECK_EQ(trailer_move(&moved, &first, &h), -EALREADY);
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
