/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A trailer that is moved to the end of a device that grew, with the power lost at every write: a device in memory, whose cache
 * loses what was not flushed. Whatever happens then, and however the device grows, the trailer that was used last is found.
 */
#include <stdbool.h>
#include <sys/mman.h>
#include <zlib.h>

#include "csvfs/io/trailer.h"
#include "tests/lib/check.h"

#define MIB ((uint64_t)1 << 20)
#define DISK_MAX (160 * MIB)
#define FILESYSTEM_SIZE (40 * MIB)
#define FIRST_SIZE (FILESYSTEM_SIZE + TRAILER_SIZE)
#define SECTOR 512
#define WRITES_MAX 128
#define NEXT_AT 128 /* of the field `next` in the page of a header */
#define FORMAT_AT 8

/* --- the device --- */

/* What happens at the write of that number. */
enum fault { NO_FAULT, CUT_BEFORE, CUT_TORN, CUT_AFTER, FAILS, FAILS_LATE, FAULTS };
/* Which of the writes that were not flushed are on the medium when the power is back. */
enum cache { ALL_KEPT, ALL_LOST, FIRST_KEPT, LAST_KEPT, CACHES };
static const char *const fault_texts[] = { "none", "cut before", "cut, torn", "cut after", "fails", "fails, but is written" };

struct written {
	uint64_t at;
	size_t len;
	uint8_t *before, *after; /* NULL: it changed nothing */
};

static struct {
	uint8_t *bytes;
	uint64_t size;
	struct written writes[WRITES_MAX];
	int n, flushed; /* writes; of those as many are durable */
	int fault_at, count;
	enum fault fault;
	bool dead;
	uint64_t unreadable; /* reading this place fails; 0: none */
} disk;

static const struct device device = { .fd = -1, .sector = SECTOR };

static uint8_t *copy_of(const void *bytes, size_t len)
{
	uint8_t *copy = malloc(len);

	REQUIRE(copy);
	return memcpy(copy, bytes, len);
}

static void put(const void *buf, size_t len, uint64_t at)
{
	struct written *w = &disk.writes[disk.n++];

	REQUIRE(disk.n < WRITES_MAX);
	*w = (struct written){ .at = at, .len = len };
	if (!memcmp(disk.bytes + at, buf, len))
		return;
	w->before = copy_of(disk.bytes + at, len);
	w->after = copy_of(buf, len);
	memcpy(disk.bytes + at, buf, len);
}

int device_write(const struct device *d, const void *buf, size_t len, uint64_t at)
{
	bool now = ++disk.count == disk.fault_at;

	(void)d;
	if (at + len > disk.size)
		return -ENXIO;
	if (disk.dead || (now && disk.fault == CUT_BEFORE)) {
		disk.dead = true;
		return -EIO;
	}
	if (now && disk.fault == FAILS)
		return -EIO;
	put(buf, now && disk.fault == CUT_TORN ? SECTOR : len, at);
	if (now)
		disk.dead = disk.fault == CUT_TORN || disk.fault == CUT_AFTER;
	return now ? -EIO : 0;
}

int device_read(const struct device *d, void *buf, size_t len, uint64_t at)
{
	(void)d;
	if (at + len > disk.size)
		return -ENXIO;
	if (disk.unreadable && at <= disk.unreadable && disk.unreadable < at + len)
		return -EIO;
	memcpy(buf, disk.bytes + at, len);
	return 0;
}

int device_flush(const struct device *d)
{
	(void)d;
	if (disk.dead)
		return -EIO;
	disk.flushed = disk.n;
	return 0;
}

int device_refresh(struct device *d)
{
	d->size = disk.size;
	return 0;
}

void *device_buffer(size_t len) { return aligned_alloc(4096, (len + 4095) & ~(size_t)4095); }

int superblock_read(const struct device *d, struct superblock *ret)
{
	(void)d;
	*ret = (struct superblock){ .kind = SUPERBLOCK_EXT4, .block = 4096, .size = FILESYSTEM_SIZE };
	return 0;
}

const char *superblock_kind_text(enum superblock_kind kind) { return kind == SUPERBLOCK_EXT4 ? "ext4" : "none"; }

static void take_back(const struct written *w)
{
	if (w->before)
		memcpy(disk.bytes + w->at, w->before, w->len);
}

/* Back to when there were `to` writes. */
static void rewind_to(int to)
{
	while (disk.n > to) {
		struct written *w = &disk.writes[--disk.n];

		take_back(w);
		free(w->before);
		free(w->after);
	}
	if (disk.flushed > to)
		disk.flushed = to;
}

/* The power is back. */
static void power_up(enum cache cache)
{
	const struct written *keep = NULL;

	for (int i = disk.n - 1; cache != ALL_KEPT && i >= disk.flushed; i--)
		take_back(&disk.writes[i]);
	if (disk.n > disk.flushed && (cache == FIRST_KEPT || cache == LAST_KEPT))
		keep = &disk.writes[cache == FIRST_KEPT ? disk.flushed : disk.n - 1];
	if (keep && keep->after)
		memcpy(disk.bytes + keep->at, keep->after, keep->len);
	disk.flushed = disk.n;
	disk.dead = false;
	disk.fault_at = 0;
}

static void fault_at(int n, enum fault fault)
{
	disk.fault_at = n;
	disk.fault = fault;
	disk.count = 0;
}

/* --- the volume --- */

static char error[256];
static const struct trailer_header plain = {
	.volume_hi = 0x1122334455667788, .volume_lo = 0x99aabbccddeeff00, .filesystem = "ext4", .label = "vol1",
};

static int find(struct trailer *t, struct trailer_header *h) { return trailer_find(t, &device, h, error, sizeof(error)); }

static struct trailer volume_new(struct trailer_header *h)
{
	struct trailer t;

	rewind_to(0);
	REQUIRE(!madvise(disk.bytes, DISK_MAX, MADV_DONTNEED)); /* zeros again */
	disk.size = FIRST_SIZE;
	REQUIRE(!trailer_make(&t, &device, &plain));
	for (int i = 0; i < disk.n; i++) {
		free(disk.writes[i].before);
		free(disk.writes[i].after);
	}
	disk.n = disk.flushed = 0;
	REQUIRE(!find(&t, h));
	return t;
}

/* An owner comes, and notes its epoch: that tells which trailer was used last. */
static struct trailer own(uint64_t epoch, struct trailer_header *h)
{
	struct trailer_owner o = { .epoch = epoch, .node = 1, .state = OWNER_MOUNTED };
	struct trailer t = { 0 };

	CHECK_EQ(find(&t, h), 0);
	CHECK_EQ(trailer_settle(&t, h), 0);
	CHECK_EQ(trailer_write_owner(&t, &o), 0);
	return t;
}

static uint64_t epoch_found(void)
{
	struct trailer_owner o = { 0 };
	struct trailer_header h;
	struct trailer t;

	if (find(&t, &h) || trailer_read_owner(&t, &o))
		return 0;
	return o.epoch;
}

/* It was used last by an owner of this epoch; the device grows, the trailer follows, the device grows. */
static bool is_newest(uint64_t epoch)
{
	uint64_t size = disk.size;
	struct trailer_header h;
	struct trailer t, to;
	bool good = epoch_found() == epoch;

	disk.size += 20 * MIB;
	good = good && epoch_found() == epoch && !find(&t, &h) && !trailer_move(&to, &t, &h);
	if (good)
		own(epoch + 1, &h);
	good = good && epoch_found() == epoch + 1;
	disk.size += 20 * MIB;
	good = good && epoch_found() == epoch + 1;
	disk.size = size;
	return good;
}

/* What follows an error that the caller of trailer_move() lives on after. */
static bool stays(const struct trailer *from, int result)
{
	struct trailer_header h;
	struct trailer t;

	return result == -ENOTRECOVERABLE || (!find(&t, &h) && (t.at == from->at) == (result != 0));
}

/* The second move too is cut off at each of its writes. */
static void test_second(int first, enum fault fault)
{
	struct trailer_header h;
	struct trailer t = own(5, &h), to;
	int begun = disk.n;

	disk.size += 30 * MIB;
	for (int k = 1;; k++) {
		fault_at(k, fault);
		trailer_move(&to, &t, &h);
		if (disk.count < k)
			break;
		power_up(ALL_KEPT);
		own(6, &h);
		if (!CHECK(is_newest(6)))
			fprintf(stderr, "\tfirst move cut at write %d, second at %d: %s\n", first, k, fault_texts[fault]);
		rewind_to(begun);
	}
	disk.size -= 30 * MIB;
	rewind_to(begun);
	disk.fault_at = 0;
}

static void test_cut(void)
{
	struct trailer_header h;
	struct trailer t = volume_new(&h), to;
	int writes = 0, result;

	disk.size += 30 * MIB;
	for (enum fault fault = CUT_BEFORE; fault < FAULTS; fault++) {
		for (int k = 1; !writes || k <= writes; k++) {
			for (enum cache cache = ALL_KEPT; cache < CACHES; cache++) {
				fault_at(k, fault);
				result = trailer_move(&to, &t, &h);
				if (disk.count < k) {
					CHECK_EQ(result, 0);
					writes = k - 1;
				}
				CHECK(stays(&t, result));
				power_up(cache);
				if (fault == CUT_BEFORE && cache == ALL_KEPT)
					test_second(k, CUT_AFTER);
				own(5, &h);
				if (!CHECK(is_newest(5)))
					fprintf(stderr, "\twrite %d: %s, cache %d\n", k, fault_texts[fault], cache);
				rewind_to(0);
			}
		}
	}
	CHECK(writes >= 2 + 8 + 3 * 2);
	REQUIRE(!find(&t, &h));
	CHECK_EQ(h.at, FILESYSTEM_SIZE);
}

/* --- notes --- */

static const uint64_t second_at = FILESYSTEM_SIZE + 30 * MIB;

/* As it is when the power is lost at write `k` of the move to second_at; *ret_t: the first trailer. */
static void cut_at(int k, enum fault fault, struct trailer *ret_t)
{
	struct trailer_header h;
	struct trailer to;

	*ret_t = volume_new(&h);
	disk.size += 30 * MIB;
	fault_at(k, fault);
	trailer_move(&to, ret_t, &h);
	power_up(ALL_KEPT);
}

#define NOTED (2 + 8 + 2)      /* writes until the note is in both copies */
#define COMMITTED (NOTED + 1)  /* and the new header is written once */
#define COMPLETE (NOTED + 2)   /* and twice */

static uint16_t format_at(uint64_t at) { return (uint16_t)(disk.bytes[at + FORMAT_AT] | disk.bytes[at + FORMAT_AT + 1] << 8); }

static void check_found(uint64_t at, uint64_t next)
{
	struct trailer_header h = { 0 };
	struct trailer t;

	CHECK_EQ(find(&t, &h), 0);
	CHECK_EQ(t.at, at);
	CHECK_EQ(h.at, at);
	CHECK_EQ(h.next, next);
}

/* Only that nothing is there says that the move was not done. */
static void test_note(void)
{
	struct trailer_header h;
	struct trailer first, t, second = { .device = &device, .at = second_at };

	cut_at(NOTED, CUT_AFTER, &first);
	check_found(first.at, second_at);
	CHECK_EQ(format_at(first.at), 2);
	CHECK_EQ(format_at(first.at + TRAILER_COPY_AT), 2);
	/* Another label: the note stays. */
	REQUIRE(!find(&t, &h));
	strcpy(h.label, "other");
	CHECK_EQ(trailer_write_header(&t, &h), 0);
	check_found(first.at, second_at);
	/* A header of another volume is none. */
	h.at = second_at;
	h.next = 0;
	h.volume_lo++;
	CHECK_EQ(trailer_write_header(&second, &h), 0);
	disk.size += 20 * MIB;
	check_found(first.at, second_at);
	disk.size -= 20 * MIB;
	/* Not the device any more that it was to be moved to the end of. */
	disk.size -= 10 * MIB;
	CHECK_EQ(find(&t, &h), -EBADMSG);
	CHECK_CONTAINS(error, "has shrunk");
	disk.size = FIRST_SIZE;
	CHECK_EQ(find(&t, &h), -EBADMSG);
	CHECK_CONTAINS(error, "has shrunk");

	for (int k = COMMITTED; k <= COMPLETE + 2; k++) {
		uint8_t copied = k > COMMITTED;

		cut_at(k, CUT_AFTER, &first);
		CHECK_EQ(format_at(second_at), 1);
		check_found(second_at, 0);
		disk.size += 20 * MIB; /* so it is looked for behind the file system */
		check_found(second_at, 0);
		disk.unreadable = second_at;
		CHECK_EQ(find(&t, &h), -EIO);
		disk.unreadable = 0;
		disk.bytes[second_at + 20] ^= 1;
		if (copied)
			check_found(second_at, 0);
		disk.bytes[second_at + TRAILER_COPY_AT + 20] ^= copied;
		CHECK_EQ(find(&t, &h), -EBADMSG);
		CHECK_CONTAINS(error, "damaged");
		disk.bytes[second_at + 20] ^= 1;
		check_found(second_at, 0);
		disk.size = FIRST_SIZE;
		CHECK_EQ(find(&t, &h), -EBADMSG);
		CHECK_CONTAINS(error, "has shrunk");
	}
}

/* Places that no move has led to are no way to go on for ever. */
static void test_bad_notes(void)
{
	static const uint64_t places[] = { 4096, FILESYSTEM_SIZE, FILESYSTEM_SIZE + 4096 + 1, UINT64_MAX, UINT64_MAX - 4095 };
	struct trailer_header h, found;
	struct trailer t = volume_new(&h), other;

	disk.size += 30 * MIB;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		h.next = places[i];
		REQUIRE(!trailer_write_header(&t, &h));
		CHECK_EQ(find(&other, &found), -EBADMSG);
	}
	CHECK_EQ(trailer_move(&other, &t, &found), 0); /* who knows that this is the one makes a good one of it */
	check_found(second_at, 0);
}

static void set_format(uint64_t at, uint8_t format)
{
	uint8_t *page = disk.bytes + at;
	uint32_t crc;

	page[FORMAT_AT] = format;
	crc = (uint32_t)crc32(crc32(0, page, 4), page + 8, TRAILER_PAGE - 8);
	for (int i = 0; i < 4; i++)
		page[4 + i] = (uint8_t)(crc >> 8 * i);
}

/* Bytes of a header with and without a note; who does not know notes sees format 2. */
static void test_format(void)
{
	static const uint8_t next[8] = { 0, 0, 0x60, 4 }, none[8] = { 0 };
	struct trailer first, t;
	struct trailer_header h;

	cut_at(NOTED, CUT_AFTER, &first);
	CHECK_EQ(second_at, 0x4600000);
	CHECK_MEM(disk.bytes + first.at + NEXT_AT, next, sizeof(next));
	cut_at(COMPLETE + 2, CUT_AFTER, &first);
	CHECK_EQ(format_at(first.at), 1);
	CHECK_MEM(disk.bytes + first.at + NEXT_AT, none, sizeof(none));
	CHECK_MEM(disk.bytes + second_at + NEXT_AT, none, sizeof(none));
	/* A format that nobody knows yet is not taken for nothing. */
	set_format(second_at, 3);
	set_format(second_at + TRAILER_COPY_AT, 3);
	CHECK_EQ(find(&t, &h), -EPROTONOSUPPORT);
	disk.size += 20 * MIB;
	CHECK_EQ(find(&t, &h), -EPROTONOSUPPORT);
}

/* The order of before, without notes, cut off before the old header was written: two trailers that name themselves. */
static void test_before(void)
{
	for (int i = 0; i < 4; i++) {
		bool copies = i & 1, again = i & 2; /* a move before was not cut off: far behind the file system */
		struct trailer_header h, old;
		struct trailer t = volume_new(&old), to;

		if (again) {
			disk.size += 30 * MIB;
			REQUIRE(!trailer_move(&to, &t, &old));
			t = to;
		}
		disk.size += 30 * MIB;
		REQUIRE(!trailer_move(&to, &t, &h));
		fault_at(copies ? 2 : 0, CUT_BEFORE);
		REQUIRE(trailer_write_header(&t, &old) == (copies ? -EIO : 0)); /* its copy, or neither, leads to the new one */
		power_up(ALL_KEPT);
		own(5, &h);
		CHECK_EQ(epoch_found(), 5);
		CHECK(is_newest(5));
		rewind_to(0);
	}
}

int main(void)
{
	disk.bytes = mmap(NULL, DISK_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	REQUIRE(disk.bytes != MAP_FAILED);
	test_cut();
	test_note();
	test_bad_notes();
	test_format();
	test_before();
	rewind_to(0);
	return check_result();
}
