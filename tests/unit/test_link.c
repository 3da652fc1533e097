/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The link: frames both ways, many senders, shutdown and time-outs while somebody is blocked. */
#include <fcntl.h>
#include <sys/stat.h>

#include "tests/unit/link_rig.h"

static void fill_bytes(uint8_t *p, size_t n, uint32_t seed)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(seed + i * 31 + (i >> 12));
}

static void test_frames(void)
{
	struct vol_message m = { .type = VOL_HELLO, .request = 5, .answered = 3 };
	struct link_frame f = { 0 };
	struct rig rig;
	struct link *client = rig_pair(&rig);

	CHECK_STR(link_fault(client), "");
	m.hello.session = 0x1122334455667788u;
	m.hello.node = 9;
	strcpy(m.hello.version, "1.2.3");
	CHECK_EQ(link_send(client, &m), 0);
	CHECK_EQ(link_receive(rig.server, &f, RIG_TIMEOUT_MS), 0);
	CHECK_EQ(f.m.type, VOL_HELLO);
	CHECK_EQ(f.m.request, 5);
	CHECK_EQ(f.m.answered, 3);
	CHECK_EQ(f.m.hello.session, m.hello.session);
	CHECK_STR(f.m.hello.version, "1.2.3");
	/* An error has no body. */
	m = (struct vol_message){ .type = VOL_DATA, .request = 6, .error = ENOENT };
	CHECK_EQ(link_send(rig.server, &m), 0);
	CHECK_EQ(link_receive(client, &f, RIG_TIMEOUT_MS), 0);
	CHECK_EQ(f.m.error, ENOENT);
	CHECK_EQ(f.m.data.bytes.len, 0);
	/* Nothing comes, now and within a time. */
	CHECK_EQ(link_receive(client, &f, 0), -ETIMEDOUT);
	CHECK_EQ(link_receive(client, &f, 50), -ETIMEDOUT);
	CHECK_STR(link_fault(client), "");
	/* What cannot be encoded does no harm. */
	m = (struct vol_message){ .type = 999 };
	CHECK_EQ(link_send(client, &m), -EINVAL);
	link_frame_done(&f);
	rig_end(&rig, client);
}

struct sender {
	struct link *link;
	uint32_t seed, count;
	size_t max;
};

/* The offset says the length, so that the receiver can check the bytes. */
static void *send_writes(void *data)
{
	struct sender *s = data;
	uint8_t *bytes = malloc(s->max);

	REQUIRE(bytes);
	for (uint32_t i = 0; i < s->count; i++) {
		size_t len = s->max - (i % 8) * (s->max / 8);
		struct vol_message m = { .type = VOL_WRITE, .request = s->seed + i };

		fill_bytes(bytes, len, s->seed + i);
		m.write.handle = s->seed;
		m.write.offset = len;
		m.write.bytes = (struct span){ .data = bytes, .len = len };
		CHECK_EQ(link_send(s->link, &m), 0);
	}
	free(bytes);
	return NULL;
}

static void check_write(const struct link_frame *f, uint8_t *expected)
{
	const struct vol_write *w = &f->m.write;

	REQUIRE(f->m.type == VOL_WRITE);
	REQUIRE(w->bytes.len == w->offset && w->bytes.len <= VOL_IO_MAX);
	CHECK_EQ((uintptr_t)w->bytes.data & 4095, 0);
	fill_bytes(expected, w->bytes.len, (uint32_t)f->m.request);
	CHECK_MEM(w->bytes.data, expected, w->bytes.len);
}

/* Several threads send frames from one byte to the largest; none is mixed with another. */
static void test_big_frames(void)
{
	enum { SENDERS = 4, COUNT = 24 };
	struct sender senders[SENDERS];
	pthread_t threads[SENDERS];
	uint8_t *expected = malloc(VOL_IO_MAX);
	struct link_frame frames[2] = { 0 };
	struct rig rig;
	struct link *client = rig_pair(&rig);
	uint32_t next[SENDERS] = { 0 };

	REQUIRE(expected);
	for (uint32_t i = 0; i < SENDERS; i++) {
		senders[i] = (struct sender){ client, i * 1000, COUNT, i ? VOL_IO_MAX >> (2 * i) : VOL_IO_MAX };
		REQUIRE(!pthread_create(&threads[i], NULL, send_writes, &senders[i]));
	}
	for (uint32_t i = 0; i < SENDERS * COUNT; i++) {
		struct link_frame *f = &frames[i % 2];
		uint32_t sender;

		REQUIRE(link_receive(rig.server, f, RIG_TIMEOUT_MS) == 0);
		check_write(f, expected);
		sender = (uint32_t)f->m.request / 1000;
		REQUIRE(sender < SENDERS);
		CHECK_EQ(f->m.request % 1000, next[sender]++); /* in order */
	}
	for (uint32_t i = 0; i < SENDERS; i++)
		pthread_join(threads[i], NULL);
	link_frame_done(&frames[0]);
	link_frame_done(&frames[1]);
	free(expected);
	rig_end(&rig, client);
}

/* Both directions full at the same time. */
static void *receive_writes(void *data)
{
	struct sender *s = data;
	uint8_t *expected = malloc(VOL_IO_MAX);
	struct link_frame f = { 0 };

	REQUIRE(expected);
	for (uint32_t i = 0; i < s->count; i++) {
		REQUIRE(link_receive(s->link, &f, RIG_TIMEOUT_MS) == 0);
		check_write(&f, expected);
	}
	link_frame_done(&f);
	free(expected);
	return NULL;
}

static void test_duplex(void)
{
	struct rig rig;
	struct link *client = rig_pair(&rig);
	struct sender ends[2] = { { client, 1, 30, VOL_IO_MAX }, { rig.server, 50000, 30, VOL_IO_MAX } };
	pthread_t threads[4];

	for (int i = 0; i < 2; i++) {
		REQUIRE(!pthread_create(&threads[i], NULL, send_writes, &ends[i]));
		REQUIRE(!pthread_create(&threads[2 + i], NULL, receive_writes, &ends[i]));
	}
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	rig_end(&rig, client);
}

/* --- somebody blocks --- */

struct blocked {
	struct link *link;
	int result;
};

static void *receive_one(void *data)
{
	struct blocked *b = data;
	struct link_frame f = { 0 };

	b->result = link_receive(b->link, &f, -1);
	link_frame_done(&f);
	return NULL;
}

static void *send_for_ever(void *data)
{
	static uint8_t bytes[VOL_IO_MAX];
	struct vol_message m = { .type = VOL_DATA };
	struct blocked *b = data;

	m.data.bytes = (struct span){ .data = bytes, .len = sizeof(bytes) };
	do
		b->result = link_send(b->link, &m);
	while (!b->result);
	return NULL;
}

static void test_shutdown(void)
{
	struct rig rig;
	struct link *client = rig_pair(&rig);
	struct blocked receiver = { client, 1 }, sender = { client, 1 }, second = { client, 1 }, peer = { rig.server, 1 };
	pthread_t threads[3];
	struct timespec pause = { .tv_nsec = 100000000 };

	REQUIRE(!pthread_create(&threads[0], NULL, receive_one, &receiver));
	REQUIRE(!pthread_create(&threads[1], NULL, send_for_ever, &sender));
	REQUIRE(!pthread_create(&threads[2], NULL, send_for_ever, &second)); /* waits for the first */
	nanosleep(&pause, NULL); /* usually all are blocked by now; right in any case */
	link_shutdown(client);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	CHECK_EQ(receiver.result, -ECONNRESET);
	CHECK_EQ(sender.result, -ECONNRESET);
	CHECK_EQ(second.result, -ECONNRESET);
	CHECK_STR(link_fault(client), "shut down here");
	while (peer.result != -ECONNRESET)
		receive_one(&peer);
	CHECK(*link_fault(rig.server));
	rig_end(&rig, client);
}

/* A peer that takes nothing. */
static void test_send_limit(void)
{
	struct rig rig;
	struct link *client = rig_pair(&rig);
	struct blocked sender = { client, 1 };

	link_set_send_limit(client, 200);
	send_for_ever(&sender);
	CHECK_EQ(sender.result, -ETIMEDOUT);
	CHECK_STR(link_fault(client), "the peer takes nothing");
	send_for_ever(&sender);
	CHECK_EQ(sender.result, -ECONNRESET);
	rig_end(&rig, client);
}

/* A frame that comes in parts over several calls, each with another frame's memory. */
static void test_resume(void)
{
	struct rig rig;
	struct link *client = rig_pair(&rig);
	struct sender s = { client, 3, 16, VOL_IO_MAX };
	uint8_t *expected = malloc(VOL_IO_MAX);
	struct link_frame frames[2] = { 0 };
	uint32_t got = 0, calls = 0;
	pthread_t thread;

	REQUIRE(expected);
	REQUIRE(!pthread_create(&thread, NULL, send_writes, &s));
	while (got < s.count) {
		struct link_frame *f = &frames[calls++ % 2];
		int r = link_receive(rig.server, f, 0);

		if (r == -ETIMEDOUT)
			continue;
		REQUIRE(!r);
		check_write(f, expected);
		got++;
	}
	pthread_join(thread, NULL);
	link_frame_done(&frames[0]);
	link_frame_done(&frames[1]);
	free(expected);
	rig_end(&rig, client);
}

static void write_file(const char *path, size_t len, mode_t mode)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	char bytes[256];

	REQUIRE(fd >= 0);
	memset(bytes, 'k', sizeof(bytes));
	REQUIRE(write(fd, bytes, len) == (ssize_t)len);
	REQUIRE(!fchmod(fd, mode));
	close(fd);
}

static void test_key(void)
{
	const char *top = getenv("TMPDIR");
	struct link_key a, b;
	char dir[256], path[300], error[400];

	snprintf(dir, sizeof(dir), "%s/clusterd-test.XXXXXX", top ? top : "/tmp");
	REQUIRE(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/key", dir);
	CHECK_EQ(link_key_load(&a, path, error, sizeof(error)), -ENOENT);
	CHECK_CONTAINS(error, path);
	write_file(path, 31, 0400);
	CHECK_EQ(link_key_load(&a, path, error, sizeof(error)), -EINVAL);
	CHECK_CONTAINS(error, "corosync-keygen");
	unlink(path);
	write_file(path, 32, 0400);
	CHECK_EQ(link_key_load(&a, path, error, sizeof(error)), 0);
	CHECK_STR(error, "");
	unlink(path);
	write_file(path, 33, 0600);
	CHECK_EQ(link_key_load(&b, path, error, sizeof(error)), 0);
	CHECK(memcmp(&a, &b, sizeof(a)));
	REQUIRE(!chmod(path, 0640));
	CHECK_EQ(link_key_load(&a, path, error, sizeof(error)), -EPERM);
	CHECK_CONTAINS(error, "chmod 0400");
	CHECK_EQ(link_key_load(&a, dir, error, sizeof(error)), -EINVAL);
	unlink(path);
	rmdir(dir);
}

int main(void)
{
	test_frames();
	test_big_frames();
	test_duplex();
	test_shutdown();
	test_send_limit();
	test_resume();
	test_key();
	return check_result();
}
