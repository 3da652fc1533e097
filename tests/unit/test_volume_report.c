/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What nodes say of their mounts, and what they count: there and back, at its largest, cut anywhere; and who uses a directory. */
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "clusterd/volume_count.h"
#include "clusterd/volume_report.h"
#include "clusterd/volume_users.h"
#include "tests/lib/check.h"
#include "text.h"

static struct volume_report nth(uint32_t i)
{
	struct volume_report r = { .volume = i, .number = 1000 + i, .run = UINT64_MAX - i, .state = VOL_PAUSED,
				   .reason = VOL_OWNER_LOST, .known = true, .owner = NODE_MAX, .epoch = (uint64_t)i << 40,
				   .device_size = UINT64_MAX - i, .frozen_ms = i };

	memset(r.trouble, 'x', sizeof(r.trouble) - 1);
	return r;
}

static void test_reports(void)
{
	static uint8_t bytes[PAYLOAD_MAX];
	static struct volume_reports got;
	struct writer w = writer_of(bytes, sizeof(bytes));
	const struct volume_report *r;
	struct span span;

	for (uint32_t i = 1; i <= VOLUME_MAX; i++) {
		struct volume_report one = nth(i);

		report_put(&w, &one);
	}
	CHECK(!w.bad);
	span = (struct span){ bytes, writer_len(&w) };
	CHECK_EQ(reports_read(&span, &got), 0);
	CHECK_EQ(got.n, VOLUME_MAX);
	r = report_find(&got, 7, 1007);
	REQUIRE(r != NULL);
	CHECK_EQ(r->run, UINT64_MAX - 7);
	CHECK_EQ(r->state, VOL_PAUSED);
	CHECK_EQ(r->epoch, (uint64_t)7 << 40);
	CHECK_EQ(r->device_size, UINT64_MAX - 7);
	CHECK_EQ(r->frozen_ms, 7);
	CHECK_EQ(strlen(r->trouble), REPORT_TROUBLE_SIZE - 1);
	CHECK(!report_find(&got, 7, 1008)); /* another volume of the same id */
	CHECK(!report_find(NULL, 7, 1007));
	/* Cut within an item, it is nothing. */
	for (size_t cut = 1; cut < REPORT_ITEM_MAX - 1; cut++) {
		span.len = writer_len(&w) - cut;
		CHECK_EQ(reports_read(&span, &got), -EBADMSG);
		CHECK_EQ(got.n, 0);
	}
}

static struct volume_count full_count(void)
{
	struct volume_count c = { .volume = VOLUME_MAX, .number = UINT64_MAX, .owner = true, .at_ms = 5 };
	struct vol_latency *const all[] = { &c.status.direct_read_us, &c.status.direct_write_us, &c.status.redirected_read_us,
					    &c.status.redirected_write_us };

	c.status.direct_read = 1;
	c.status.direct_written = 2;
	c.status.redirected_read = 3;
	c.status.redirected_written = 4;
	c.status.direct_ops = 5;
	c.status.redirected_ops = 6;
	c.status.recalls = 7;
	c.status.pauses = 8;
	c.status.paused_ms = 9;
	c.status.files = 10;
	c.status.handles = 11;
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		for (unsigned int k = 0; k < VOL_LATENCY_BUCKETS; k++)
			all[i]->n[k] = UINT64_MAX - k - i;
	return c;
}

static void test_counts(void)
{
	struct volume_count full = full_count(), few = { .volume = 1, .number = 2 }, got;
	uint8_t bytes[2 * COUNT_ITEM_MAX];
	struct writer w = writer_of(bytes, sizeof(bytes));
	struct reader r;

	few.status.direct_read_us.n[3] = 17;
	count_put(&w, &full);
	CHECK_EQ(writer_len(&w), COUNT_ITEM_MAX);
	count_put(&w, &few);
	CHECK(!w.bad);
	CHECK(writer_len(&w) < COUNT_ITEM_MAX + 120); /* empty buckets cost nothing */
	r = reader_of(bytes, writer_len(&w));
	CHECK_EQ(count_get(&r, &got), 0);
	CHECK_MEM(&got, &full, sizeof(got));
	CHECK_EQ(count_get(&r, &got), 0);
	CHECK_EQ(got.status.direct_read_us.n[3], 17);
	CHECK_EQ(latency_count(&got.status.direct_write_us), 0);
	CHECK_EQ(reader_left(&r), 0);
	for (size_t cut = 0; cut < COUNT_ITEM_MAX; cut++) {
		r = reader_of(bytes, cut);
		CHECK_EQ(count_get(&r, &got), -EBADMSG);
	}
	/* A bucket that there is not. */
	bytes[COUNT_ITEM_MAX - 9] = VOL_LATENCY_BUCKETS;
	r = reader_of(bytes, COUNT_ITEM_MAX);
	CHECK_EQ(count_get(&r, &got), -EBADMSG);
}

static void test_users(void)
{
	char dir[] = "/tmp/test_volume_users.XXXXXX", file[64], text[256], own[32], type[64];
	int fd;

	REQUIRE(mkdtemp(dir));
	volume_users(dir, text, sizeof(text));
	CHECK_STR(text, "");
	snprintf(file, sizeof(file), "%s/file", dir);
	fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	volume_users(dir, text, sizeof(text));
	snprintf(own, sizeof(own), "(%d)", (int)getpid());
	CHECK_CONTAINS(text, own);
	volume_users(dir, text, 8); /* cut, not overrun */
	CHECK(strlen(text) < 8);
	close(fd);
	unlink(file);
	rmdir(dir);
	CHECK(volume_mounted("/proc", type, sizeof(type)));
	CHECK_STR(type, "proc");
	CHECK(!volume_mounted(dir, type, sizeof(type)));
	CHECK(!volume_served(dir));
}

int main(void)
{
	test_reports();
	test_counts();
	test_users();
	return check_result();
}
