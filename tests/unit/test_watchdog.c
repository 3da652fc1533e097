/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The watchdog over a FIFO: armed by the first deadline, petted up to it and not beyond, disarmed only by release. */
#include <fcntl.h>
#include <poll.h>
#include <qb/qbutil.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clusterd/io/watchdog.h"
#include "tests/lib/check.h"

#define TIMEOUT_MS 80
#define PATIENCE_MS 10000

static qb_loop_t *loop;
static struct watchdog *dog;
static char dir[] = "/tmp/test_watchdog.XXXXXX", fifo[64], text[512];
static char heard[4096];
static int fd;

static const char *hear(void)
{
	ssize_t n = read(fd, heard, sizeof(heard) - 1);

	heard[n > 0 ? n : 0] = '\0';
	return heard;
}

static unsigned int pets(const char *s)
{
	unsigned int n = 0;

	for (; *s; s++)
		n += *s == 'P';
	return n;
}

static void on_stop(void *data)
{
	(void)data;
	qb_loop_stop(loop);
}

/* The loop's own time is what is measured here: petting happens in it. */
static void run_ms(unsigned int ms)
{
	qb_loop_timer_handle timer;

	qb_loop_timer_add(loop, QB_LOOP_LOW, ms * QB_TIME_NS_IN_MSEC, NULL, on_stop, &timer);
	qb_loop_run(loop);
}

/* Runs until so many pets came; a machine without time to spare may be late with them. */
static bool petted(unsigned int times)
{
	unsigned int n = 0;

	for (unsigned int waited = 0; waited < PATIENCE_MS && n < times; waited += TIMEOUT_MS) {
		run_ms(TIMEOUT_MS);
		n += pets(hear());
	}
	return n >= times;
}

static void test_refusals(void)
{
	struct watchdog *w = NULL;
	char path[96];

	CHECK_EQ(watchdog_open(&w, loop, WATCHDOG_DEVICE, "/nonexistent/dog", 10000, text, sizeof(text)), -ENOENT);
	CHECK_CONTAINS(text, "/nonexistent/dog");
	CHECK_CONTAINS(text, "softdog");
	CHECK_EQ(watchdog_open(&w, loop, WATCHDOG_DEVICE, "/dev/null", 1500, text, sizeof(text)), -EINVAL);
	CHECK_CONTAINS(text, "whole seconds");
	CHECK_EQ(watchdog_open(&w, loop, WATCHDOG_DEVICE, fifo, 1000, text, sizeof(text)), -ENODEV);
	snprintf(path, sizeof(path), "%s/file", dir);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	CHECK_EQ(watchdog_open(&w, loop, WATCHDOG_PIPE, path, 1000, text, sizeof(text)), -ENODEV);
	CHECK_CONTAINS(text, "not a FIFO");
	unlink(path);
	/* a character device that is no watchdog: found when it is to be armed */
	CHECK_EQ(watchdog_open(&w, loop, WATCHDOG_DEVICE, "/dev/null", 1000, text, sizeof(text)), 0);
	CHECK_EQ(watchdog_deadline(w, UINT64_MAX), -ENOTTY);
	CHECK(!watchdog_armed(w));
	watchdog_free(w);
	CHECK_EQ(watchdog_open(&w, loop, WATCHDOG_NONE, "", 10000, text, sizeof(text)), 0);
	CHECK_EQ(watchdog_deadline(w, UINT64_MAX), 0);
	CHECK(!watchdog_armed(w));
	watchdog_free(w);
}

static void test_pets_until_deadline(void)
{
	CHECK_EQ(watchdog_open(&dog, loop, WATCHDOG_PIPE, fifo, TIMEOUT_MS, text, sizeof(text)), 0);
	CHECK(!watchdog_armed(dog));
	CHECK_STR(hear(), "");
	CHECK_EQ(watchdog_deadline(dog, watchdog_now_ms() + PATIENCE_MS), 0);
	CHECK(watchdog_armed(dog));
	CHECK_STR(hear(), "T80\nP");
	CHECK(petted(5));
	CHECK_EQ(watchdog_deadline(dog, watchdog_now_ms() + 100), 0);
	run_ms(200);
	hear();
	run_ms(100);
	CHECK_STR(hear(), ""); /* the deadline has passed */
	CHECK(watchdog_armed(dog));
	CHECK_EQ(watchdog_deadline(dog, UINT64_MAX), 0);
	CHECK_STR(hear(), "P");
	CHECK(petted(2));
	CHECK_EQ(watchdog_deadline(dog, 0), 0);
	run_ms(100);
	CHECK_STR(hear(), "");
	CHECK_EQ(watchdog_error(dog), 0);
}

static void test_release(void)
{
	CHECK_EQ(watchdog_deadline(dog, UINT64_MAX), 0);
	hear();
	CHECK_EQ(watchdog_release(dog), 0);
	CHECK_STR(hear(), "V");
	CHECK(!watchdog_armed(dog));
	CHECK_EQ(watchdog_release(dog), 0);
	run_ms(100);
	CHECK_STR(hear(), "");
	CHECK_EQ(watchdog_deadline(dog, UINT64_MAX), 0);
	CHECK_STR(hear(), "T80\nP");
}

/* Dropping it, or dying with it, does not disarm. */
static void test_free_keeps_armed(void)
{
	watchdog_free(dog);
	CHECK(!strchr(hear(), 'V'));
}

/* A reader that hangs fills the FIFO: the daemon goes on and learns of it. */
static void test_stuck_reader(void)
{
	static char fill[1 << 16];
	int writer = open(fifo, O_WRONLY | O_NONBLOCK);

	CHECK_EQ(watchdog_open(&dog, loop, WATCHDOG_PIPE, fifo, TIMEOUT_MS, text, sizeof(text)), 0);
	CHECK_EQ(watchdog_deadline(dog, UINT64_MAX), 0);
	while (write(writer, fill, sizeof(fill)) > 0)
		;
	while (write(writer, fill, 1) > 0)
		;
	run_ms(100);
	CHECK_EQ(watchdog_error(dog), -EAGAIN);
	CHECK_EQ(watchdog_error(dog), 0);
	watchdog_free(dog);
	close(writer);
	close(fd);
	CHECK_EQ(watchdog_open(&dog, loop, WATCHDOG_PIPE, fifo, TIMEOUT_MS, text, sizeof(text)), 0);
	CHECK_EQ(watchdog_deadline(dog, UINT64_MAX), -ENXIO); /* nobody listens */
	CHECK(!watchdog_armed(dog));
	watchdog_free(dog);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	loop = qb_loop_create();
	REQUIRE(mkdtemp(dir));
	snprintf(fifo, sizeof(fifo), "%s/dog", dir);
	REQUIRE(!mkfifo(fifo, 0600));
	fd = open(fifo, O_RDONLY | O_NONBLOCK);
	test_refusals();
	test_pets_until_deadline();
	test_release();
	test_free_keeps_armed();
	test_stuck_reader();
	unlink(fifo);
	CHECK_EQ(rmdir(dir), 0);
	return check_result();
}
