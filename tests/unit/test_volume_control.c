/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The control socket: questions and answers, and clients that do not keep to the rules. */
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "csvfs/io/volume_control.h"
#include "tests/lib/check.h"

#define WAIT_MS 20000

static char dir[200], path[256];
static struct volume_control *control;
static uint32_t asked; /* by the control's thread; read after an answer of it */
static int hold[2];    /* a FREEZE waits until a byte is here */

static void answer(void *user, const struct vol_message *q, struct vol_message *a)
{
	char byte;

	CHECK(user == &asked);
	asked++;
	switch (q->type) {
	case VOL_STATUS:
		a->status_is.state = VOL_DIRECT;
		a->status_is.epoch = 12;
		strcpy(a->status_is.text, "all is well");
		break;
	case VOL_SET_OWNER:
		a->error = strcmp(q->set_owner.address, "::1") ? EINVAL : 0;
		break;
	case VOL_FREEZE:
		if (q->freeze.on)
			CHECK(read(hold[0], &byte, 1) == 1);
		break;
	default:
		a->error = EOPNOTSUPP;
	}
}

static int ask(uint16_t type, struct vol_message *ret)
{
	struct vol_message q = { .type = type, .request = 77 };

	memset(ret, 0, sizeof(*ret));
	return volume_control_ask(path, &q, ret, WAIT_MS);
}

static void check_alive(void)
{
	struct vol_message a;

	CHECK_EQ(ask(VOL_STATUS, &a), 0);
	CHECK_EQ(a.status_is.epoch, 12);
}

static int raw_connect(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct timeval limit = { .tv_sec = WAIT_MS / 1000 };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	REQUIRE(fd >= 0);
	REQUIRE(!setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)));
	strcpy(a.sun_path, path);
	REQUIRE(!connect(fd, (struct sockaddr *)&a, sizeof(a)));
	return fd;
}

static void check_closed(int fd)
{
	char byte;
	ssize_t n = recv(fd, &byte, 1, 0);

	CHECK(n == 0 || (n < 0 && errno != EAGAIN));
	close(fd);
}

static void test_answers(void)
{
	struct vol_message q = { .type = VOL_SET_OWNER, .request = 5 }, a;
	struct stat st;

	CHECK(!stat(path, &st));
	CHECK_EQ(st.st_mode & 07777, 0600);
	CHECK_EQ(ask(VOL_STATUS, &a), 0);
	CHECK_EQ(a.error, 0);
	CHECK_EQ(a.type, VOL_STATUS_IS);
	CHECK_EQ(a.request, 77);
	CHECK_EQ(a.status_is.state, VOL_DIRECT);
	CHECK_STR(a.status_is.text, "all is well");
	strcpy(q.set_owner.address, "::1");
	CHECK_EQ(volume_control_ask(path, &q, &a, WAIT_MS), 0);
	CHECK_EQ(a.error, 0);
	CHECK_EQ(a.type, VOL_DONE);
	strcpy(q.set_owner.address, "nowhere");
	CHECK_EQ(volume_control_ask(path, &q, &a, WAIT_MS), 0);
	CHECK_EQ(a.error, EINVAL);
	CHECK_EQ(ask(VOL_PING, &a), 0);
	CHECK_EQ(a.error, EOPNOTSUPP);
	/* No question at all: the connection ends. */
	CHECK_EQ(ask(VOL_DONE, &a), -ECONNRESET);
	q.type = 9999;
	CHECK_EQ(volume_control_ask(path, &q, &a, WAIT_MS), -EINVAL);
	check_alive();
}

/* Two questions sent at once, a byte at a time: both are answered, in order. */
static void test_pieces(void)
{
	uint8_t frames[512], back[2 * 1024];
	struct vol_message q = { .type = VOL_STATUS, .request = 1 }, a;
	int fd = raw_connect(), one = vol_encode(&q, frames, sizeof(frames), false), len, n = 0;
	size_t body;

	REQUIRE(one > 0);
	q.request = 2;
	len = one + vol_encode(&q, frames + one, sizeof(frames) - (size_t)one, false);
	REQUIRE(len == 2 * one);
	for (int i = 0; i < len; i++)
		CHECK(send(fd, frames + i, 1, 0) == 1);
	for (uint64_t request = 1; request <= 2; request++) {
		int want = VOL_HEADER_SIZE;

		for (n = 0; n < want;) {
			ssize_t got = recv(fd, back + n, (size_t)(want - n), 0);

			REQUIRE(got > 0);
			n += (int)got;
			if (n == VOL_HEADER_SIZE) {
				REQUIRE(vol_decode_header(back, &a, &body) == FRAME_OK);
				want += (int)body;
				CHECK_EQ(a.request, request);
			}
		}
	}
	close(fd);
	check_alive();
}

static void test_hostile(void)
{
	uint8_t junk[VOLUME_CONTROL_BODY_MAX + 4096];
	struct vol_message q = { .type = VOL_STATUS };
	uint32_t before = asked;
	int fds[VOLUME_CONTROL_CLIENT_MAX + 8], fd, len;

	/* Garbage. */
	fd = raw_connect();
	memset(junk, 'x', sizeof(junk));
	CHECK(send(fd, junk, sizeof(junk), MSG_NOSIGNAL) > 0);
	check_closed(fd);
	/* A body that is longer than any question. */
	q.type = VOL_WRITE;
	q.write.bytes = (struct span){ junk, VOLUME_CONTROL_BODY_MAX };
	len = vol_encode(&q, junk, VOL_HEADER_SIZE + 64, true);
	REQUIRE(len > 0);
	fd = raw_connect();
	CHECK(send(fd, junk, (size_t)len, MSG_NOSIGNAL) == len);
	check_closed(fd);
	/* Half a question, then nothing, or gone. */
	q = (struct vol_message){ .type = VOL_STATUS };
	len = vol_encode(&q, junk, sizeof(junk), false);
	fd = raw_connect();
	CHECK(send(fd, junk, (size_t)len / 2, 0) > 0);
	check_alive();
	close(fd);
	CHECK_EQ(asked, before + 1);
	/* More clients than there is room for, all silent. */
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		fds[i] = raw_connect();
	check_alive();
	check_closed(fds[0]); /* the oldest had to go */
	for (size_t i = 1; i < sizeof(fds) / sizeof(fds[0]); i++)
		close(fds[i]);
	check_alive();
}

/* Asks and takes no answer until the socket is full: others go on. */
static void test_deaf(void)
{
	struct vol_message q = { .type = VOL_STATUS };
	uint8_t frame[512];
	int fd = raw_connect(), len = vol_encode(&q, frame, sizeof(frame), false), n = 0;

	REQUIRE(len > 0);
	while (send(fd, frame, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL) > 0 && n++ < 100000)
		;
	check_alive();
	close(fd);
	check_alive();
}

/* A stranger, who would have to get past the mode of the socket first. */
static void test_stranger(void)
{
	pid_t child;
	int status;

	if (geteuid() != 0)
		return;
	CHECK(!chmod(path, 0666) && !chmod(dir, 0755));
	child = fork();
	REQUIRE(child >= 0);
	if (!child) {
		struct vol_message a;

		if (setgid(65534) < 0 || setuid(65534) < 0)
			_exit(1);
		_exit(ask(VOL_STATUS, &a) == -ECONNRESET ? 0 : 2);
	}
	REQUIRE(waitpid(child, &status, 0) == child);
	CHECK_EQ(status, 0);
	CHECK(!chmod(path, 0600) && !chmod(dir, 0700));
}

static void *ask_freeze(void *data)
{
	struct vol_message q = { .type = VOL_FREEZE, .freeze = { .on = 1 } }, a;

	*(int *)data = volume_control_ask(path, &q, &a, -1);
	return NULL;
}

/* A handler that takes long: who asks gives up in time, who waits gets it, and the end waits for the handler. */
static void test_slow(void)
{
	struct vol_message a, q = { .type = VOL_FREEZE, .freeze = { .on = 1 } };
	uint64_t start = clock_ms(CLOCK_MONOTONIC);
	pthread_t thread;
	int result = 1;

	CHECK_EQ(volume_control_ask(path, &q, &a, 200), -ETIMEDOUT);
	CHECK(clock_ms(CLOCK_MONOTONIC) - start >= 200);
	REQUIRE(!pthread_create(&thread, NULL, ask_freeze, &result));
	REQUIRE(write(hold[1], "xx", 2) == 2);
	pthread_join(thread, NULL);
	CHECK_EQ(result, 0);
}

static void test_path(void)
{
	struct volume_control *second;
	struct vol_message q = { .type = VOL_STATUS }, a;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char longer[300];
	int fd;

	CHECK_EQ(volume_control_listen(&second, path, answer, &asked), -EADDRINUSE);
	CHECK(!second);
	check_alive();
	memset(longer, 'a', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = 0;
	CHECK_EQ(volume_control_listen(&second, longer, answer, &asked), -ENAMETOOLONG);
	CHECK_EQ(volume_control_ask(longer, &q, &a, WAIT_MS), -ENAMETOOLONG);
	volume_control_free(control);
	volume_control_free(NULL);
	CHECK_EQ(access(path, F_OK), -1);
	CHECK_EQ(volume_control_ask(path, &q, &a, WAIT_MS), -ENOENT);
	/* What a killed program has left. */
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	strcpy(address.sun_path, path);
	REQUIRE(fd >= 0 && !bind(fd, (struct sockaddr *)&address, sizeof(address)));
	close(fd);
	CHECK_EQ(volume_control_ask(path, &q, &a, WAIT_MS), -ECONNREFUSED);
	CHECK_EQ(volume_control_listen(&control, path, answer, &asked), 0);
	check_alive();
	volume_control_free(control);
	/* A file that is no socket is not ours to remove. */
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	REQUIRE(fd >= 0);
	close(fd);
	CHECK_EQ(volume_control_listen(&control, path, answer, &asked), -EEXIST);
	CHECK_EQ(unlink(path), 0);
}

int main(void)
{
	const char *top = getenv("TMPDIR");

	snprintf(dir, sizeof(dir), "%s/clusterd-test.XXXXXX", top && strlen(top) < 80 ? top : "/tmp");
	REQUIRE(mkdtemp(dir) && !pipe2(hold, O_CLOEXEC));
	snprintf(path, sizeof(path), "%s/control", dir);
	REQUIRE(volume_control_listen(&control, path, answer, &asked) == 0);
	test_answers();
	test_pieces();
	test_hostile();
	test_deaf();
	test_stranger();
	test_slow();
	test_path();
	rmdir(dir);
	return check_result();
}
