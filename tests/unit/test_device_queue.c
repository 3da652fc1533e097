/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads and writes of the device that nobody waits for, and the lock that tells that some are still under way. */
#include <poll.h>

#include "clusterd/volume_users.h"
#include "csvfs/io/device_queue.h"
#include "tests/unit/loop_rig.h"

#define PAGE 4096u
#define MANY 200u

static uint32_t end_all(struct device_queue *q, uint32_t n, uint32_t *ret_failed)
{
	struct device_request *ended[DEVICE_QUEUE_MAX];
	uint32_t total = 0, more;

	*ret_failed = 0;
	while (total < n && (more = device_queue_ended(q, ended, DEVICE_QUEUE_MAX, true))) {
		total += more;
		for (uint32_t k = 0; k < more; k++)
			*ret_failed += ended[k]->failed;
	}
	return total;
}

/* More than fit at a time; what was written is what is read, each at its place. */
static void test_many(void)
{
	struct loop l = loop_new(16 * MIB, 512);
	struct device_request requests[DEVICE_QUEUE_MAX], *one;
	uint8_t *bytes = device_buffer(DEVICE_QUEUE_MAX * PAGE);
	struct device_queue q;
	struct device d;
	uint32_t failed, n;

	REQUIRE(bytes && !device_open(&d, l.path, true) && !device_queue_open(&q, &d));
	CHECK_EQ(device_queue_ended(&q, &one, 1, true), 0); /* nothing is under way: it does not wait */
	for (uint32_t from = 0; from < MANY; from += n) {
		for (n = 0; n < DEVICE_QUEUE_MAX; n++) {
			memset(bytes + n * PAGE, (int)((from + n) % 251), PAGE);
			CHECK(device_queue_add(&q, &requests[n], true, bytes + n * PAGE, PAGE, (uint64_t)(from + n) * PAGE));
		}
		CHECK(!device_queue_add(&q, requests, true, bytes, PAGE, 0));
		device_queue_submit(&q);
		CHECK_EQ(end_all(&q, n, &failed), n);
		CHECK_EQ(failed, 0);
	}
	for (uint32_t k = 0; k < MANY; k++) {
		CHECK(device_queue_add(&q, requests, false, bytes, PAGE, (uint64_t)k * PAGE));
		device_queue_submit(&q);
		CHECK_EQ(end_all(&q, 1, &failed), 1);
		CHECK(!failed && bytes[0] == k % 251 && bytes[PAGE - 1] == k % 251);
	}
	device_queue_close(&q);
	device_close(&d);
	loop_free(&l);
	free(bytes);
}

/* An eventfd tells that something has ended. */
static void test_told(void)
{
	struct loop l = loop_new(16 * MIB, 512);
	uint8_t *bytes = device_buffer(PAGE);
	struct device_request r, *ended;
	struct device_queue q;
	struct device d;

	REQUIRE(bytes && !device_open(&d, l.path, true) && !device_queue_open(&q, &d));
	CHECK(device_queue_add(&q, &r, false, bytes, PAGE, 0));
	CHECK_EQ(poll(&(struct pollfd){ .fd = q.ended, .events = POLLIN }, 1, 0), 0); /* it was not submitted */
	device_queue_submit(&q);
	CHECK_EQ(poll(&(struct pollfd){ .fd = q.ended, .events = POLLIN }, 1, 60000), 1);
	CHECK_EQ(device_queue_ended(&q, &ended, 1, false), 1);
	CHECK(ended == &r && !r.failed);
	device_queue_close(&q);
	device_close(&d);
	loop_free(&l);
	free(bytes);
}

/* What the kernel refuses, and what the device does not do, have failed; the others have not. */
static void test_failures(void)
{
	struct loop l = loop_new(16 * MIB, 512), read_only = loop_again(l.file, 512, LO_FLAGS_READ_ONLY);
	uint8_t *bytes = device_buffer(2 * PAGE);
	struct device_request good, behind, crooked, refused;
	struct device_queue q;
	struct device d, e;
	uint32_t failed;

	REQUIRE(bytes && !device_open(&d, l.path, true) && !device_open(&e, read_only.path, false) && !device_queue_open(&q, &d));
	CHECK(device_queue_add(&q, &behind, false, bytes, PAGE, 16 * MIB - 512));
	CHECK(device_queue_add(&q, &crooked, false, bytes, 100, 0));
	CHECK(device_queue_add(&q, &good, false, bytes + PAGE, PAGE, 0));
	device_queue_submit(&q);
	CHECK_EQ(end_all(&q, 3, &failed), 3);
	CHECK_EQ(failed, 2);
	CHECK(behind.failed && crooked.failed && !good.failed);
	q.fd = e.fd; /* not open for it: io_submit(2) refuses, and goes on with the next */
	CHECK(device_queue_add(&q, &refused, true, bytes, PAGE, 0));
	CHECK(device_queue_add(&q, &good, false, bytes + PAGE, PAGE, 0));
	device_queue_submit(&q);
	CHECK_EQ(end_all(&q, 2, &failed), 2);
	CHECK(refused.failed && !good.failed);
	CHECK_EQ(q.n, 0);
	device_queue_close(&q);
	device_close(&d);
	device_close(&e);
	loop_free(&l);
	loop_free(&read_only);
	free(bytes);
}

static void test_held(void)
{
	struct loop l = loop_new(16 * MIB, 512), other = loop_new(16 * MIB, 512);
	struct device d, again, e;

	REQUIRE(!device_open(&d, l.path, true) && !device_open(&again, l.path, true) && !device_open(&e, other.path, true));
	CHECK(!volume_device_held(l.path));
	CHECK_EQ(device_hold(&d), 0);
	CHECK_EQ(device_hold(&again), -EBUSY);
	CHECK(volume_device_held(l.path));
	CHECK(!volume_device_held(other.path));
	CHECK(!volume_device_held("/dev/no-such-device"));
	CHECK(!volume_device_held(""));
	device_close(&again); /* a lock of the process would be gone now */
	CHECK(volume_device_held(l.path));
	device_close(&d);
	CHECK(!volume_device_held(l.path));
	CHECK_EQ(device_hold(&e), 0);
	device_close(&e);
	loop_free(&l);
	loop_free(&other);
}

int main(void)
{
	loop_rig_start();
	test_many();
	test_told();
	test_failures();
	test_held();
	return check_result();
}
