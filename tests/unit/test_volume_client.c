/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Questions to csvfs and csvfs-owner from a loop: answered, refused, nobody there, a program that hangs or closes. */
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <qb/qbutil.h>

#include "clusterd/io/volume_client.h"
#include "csvfs/io/volume_control.h"
#include "tests/lib/check.h"
#include "text.h"

#define TIMEOUT_MS 20000
#define SHORT_MS 200

static qb_loop_t *loop;
static char dir[] = "/tmp/test_volume_client.XXXXXX", path[64];
static int last_error, n_done;
static struct vol_message last;

static void on_done(void *user, int error, const struct vol_message *answer)
{
	CHECK(user == dir);
	last_error = error;
	if (!error)
		last = *answer;
	n_done++;
	qb_loop_stop(loop);
}

static int ask(uint16_t type, uint32_t timeout_ms)
{
	struct vol_message q = { .type = type };
	struct volume_question *handle;
	int before = n_done;

	REQUIRE(!volume_client_ask(&handle, loop, path, &q, timeout_ms, on_done, dir));
	CHECK_EQ(n_done, before); /* not from within */
	qb_loop_run(loop);
	CHECK_EQ(n_done, before + 1);
	return last_error;
}

static void serve(void *user, const struct vol_message *question, struct vol_message *answer)
{
	(void)user;
	if (question->type == VOL_STATUS) {
		answer->status_is.epoch = 77;
		text_copy(answer->status_is.text, sizeof(answer->status_is.text), "fine");
	} else if (question->type == VOL_JOB_STATUS) {
		answer->job_is.value = 4096;
	} else {
		answer->error = EOPNOTSUPP;
	}
}

static void test_answers(void)
{
	struct volume_control *control;

	REQUIRE(!volume_control_listen(&control, path, serve, NULL));
	CHECK_EQ(ask(VOL_STATUS, TIMEOUT_MS), 0);
	CHECK_EQ(last.error, 0);
	CHECK_EQ(last.status_is.epoch, 77);
	CHECK_STR(last.status_is.text, "fine");
	CHECK_EQ(ask(VOL_JOB_STATUS, TIMEOUT_MS), 0);
	CHECK_EQ(last.job_is.value, 4096);
	CHECK_EQ(ask(VOL_FREEZE, TIMEOUT_MS), 0);
	CHECK_EQ(last.error, EOPNOTSUPP);
	volume_control_free(control);
}

static void test_nobody(void)
{
	struct volume_question *handle;
	struct vol_message q = { .type = VOL_STATUS };

	CHECK_EQ(ask(VOL_STATUS, TIMEOUT_MS), -ENOENT);
	/* Cancelled: no word comes; the next one's comes first. */
	REQUIRE(!volume_client_ask(&handle, loop, path, &q, TIMEOUT_MS, on_done, dir));
	volume_client_cancel(handle);
	CHECK_EQ(ask(VOL_STATUS, TIMEOUT_MS), -ENOENT);
}

static int listener(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	text_copy(a.sun_path, sizeof(a.sun_path), path);
	unlink(path);
	REQUIRE(fd >= 0 && !bind(fd, (struct sockaddr *)&a, sizeof(a)) && !listen(fd, 0));
	return fd;
}

static void *close_one(void *data)
{
	int fd = accept(*(int *)data, NULL, NULL);
	char byte;

	CHECK(read(fd, &byte, 1) == 1);
	close(fd);
	return NULL;
}

static void *answer_nonsense(void *data)
{
	static const char nonsense[VOL_HEADER_SIZE] = "this is no frame";
	int fd = accept(*(int *)data, NULL, NULL);
	uint8_t question[VOL_HEADER_SIZE];

	/* Closed with the question unread it would be ECONNRESET for who reads the answer. */
	CHECK(read(fd, question, sizeof(question)) > 0);
	CHECK(write(fd, nonsense, sizeof(nonsense)) == (ssize_t)sizeof(nonsense));
	close(fd);
	return NULL;
}

static void test_bad_programs(void)
{
	int fd = listener();
	pthread_t thread;

	CHECK_EQ(ask(VOL_STATUS, SHORT_MS), -ETIMEDOUT); /* it accepts nothing */
	close(accept(fd, NULL, NULL));
	REQUIRE(!pthread_create(&thread, NULL, close_one, &fd));
	CHECK_EQ(ask(VOL_STATUS, TIMEOUT_MS), -ECONNRESET);
	pthread_join(thread, NULL);
	REQUIRE(!pthread_create(&thread, NULL, answer_nonsense, &fd));
	CHECK_EQ(ask(VOL_STATUS, TIMEOUT_MS), -EBADMSG);
	pthread_join(thread, NULL);
	close(fd);
	CHECK_EQ(ask(VOL_STATUS, TIMEOUT_MS), -ECONNREFUSED);
	unlink(path);
}

int main(void)
{
	loop = qb_loop_create();
	REQUIRE(loop && mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/socket", dir);
	test_nobody();
	test_answers();
	test_bad_programs();
	rmdir(dir);
	qb_loop_destroy(loop);
	return check_result();
}
