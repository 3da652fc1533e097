/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What nodes say of their mounts: there and back, at its largest, cut anywhere; and who uses a directory. */
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "clusterd/volume_report.h"
#include "clusterd/volume_users.h"
#include "tests/lib/check.h"
#include "text.h"

static struct volume_report nth(uint32_t i)
{
	struct volume_report r = { .volume = i, .number = 1000 + i, .run = UINT64_MAX - i, .state = VOL_PAUSED,
				   .reason = VOL_OWNER_LOST, .known = true, .owner = NODE_MAX, .epoch = (uint64_t)i << 40 };

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
	test_users();
	return check_result();
}
