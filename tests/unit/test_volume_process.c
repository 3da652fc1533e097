/* SPDX-License-Identifier: GPL-2.0-or-later */
/* csvfs and csvfs-owner as processes: what they say goes into a log that does not grow without end. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "csvfs/io/volume_process.h"
#include "tests/lib/check.h"

static char dir[] = "/tmp/clusterd-test.XXXXXX";
static struct volume_place place;

static off_t size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) ? -1 : st.st_size;
}

/* A program that says a word; where in the log that begins. */
static off_t say(void)
{
	const char *const argv[] = { "/bin/sh", "-c", "echo word", NULL };
	struct volume_process p;
	off_t from = -1;
	int error = volume_process_start(&place, argv, &p, &from);

	CHECK(!error || error == -ESRCH); /* it may have ended already */
	if (!error)
		CHECK_EQ(volume_process_wait(&p, -1), 0);
	volume_process_close(&p);
	return from;
}

/* One whose first thread has ended and another has not, as after a SIGKILL with that one in the kernel. */
static void *stay(void *data)
{
	pause();
	return data;
}

static int linger(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, stay, NULL))
		return 1;
	pthread_exit(NULL);
}

static void test_dying(void)
{
	const char *const sleeps[] = { "/bin/sleep", "1000", NULL }, *const lingers[] = { "/proc/self/exe", "linger", NULL };
	struct volume_process p;

	CHECK_EQ(volume_process_start(&place, sleeps, &p, NULL), 0);
	CHECK(!volume_process_dying(&p));
	CHECK_EQ(volume_process_signal(&p, SIGKILL), 0);
	CHECK_EQ(volume_process_wait(&p, -1), 0);
	CHECK(!volume_process_dying(&p));
	volume_process_close(&p);
	CHECK_EQ(volume_process_start(&place, lingers, &p, NULL), 0);
	while (!volume_process_dying(&p) && volume_process_wait(&p, 10) == -ETIMEDOUT)
		;
	CHECK(volume_process_dying(&p));
	CHECK_EQ(volume_process_signal(&p, SIGKILL), 0);
	CHECK_EQ(volume_process_wait(&p, -1), 0);
	CHECK(!volume_process_dying(&p));
	volume_process_close(&p);
}

static void test_log(void)
{
	char old[VOLUME_PATH_SIZE + 8], words[32], run_dir[64], log_file[64];

	REQUIRE(mkdtemp(dir));
	snprintf(run_dir, sizeof(run_dir), "%s", dir);
	snprintf(log_file, sizeof(log_file), "%s/clusterd.log", dir);
	REQUIRE(!volume_place_make(run_dir));
	REQUIRE(!volume_place(&place, run_dir, log_file, "node", "v1"));
	snprintf(old, sizeof(old), "%s.old", place.log);
	CHECK_EQ(say(), 0);
	CHECK_EQ(say(), 5);
	volume_process_last_words(&place, 5, words, sizeof(words));
	CHECK_STR(words, "word");
	CHECK_EQ(size_of(place.log), 10);
	CHECK_EQ(size_of(old), -1);
	/* One that has become long is set aside, in the place of the one before. */
	for (int i = 0; i < 2; i++) {
		REQUIRE(!truncate(place.log, VOLUME_LOG_MAX + i));
		CHECK_EQ(say(), 0);
		CHECK_EQ(size_of(place.log), 5);
		CHECK_EQ(size_of(old), VOLUME_LOG_MAX + i);
	}
	test_dying();
	unlink(old);
	unlink(place.log);
	unlink(place.record);
	snprintf(run_dir, sizeof(run_dir), "%s/volumes", dir);
	CHECK_EQ(rmdir(run_dir), 0);
	CHECK_EQ(rmdir(dir), 0);
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "linger"))
		return linger();
	test_log();
	return check_result();
}
