/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The log: lines with event and pairs in the file, quoting, levels, rotation; a crash leaves a readable flight recorder. */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clusterd/log.h"
#include "tests/lib/check.h"

static char dir[] = "/tmp/test_log.XXXXXX";
static char file[128], text[512];

static const char *contents(const char *path)
{
	static char data[8 << 20];
	FILE *f = fopen(path, "r");
	size_t n = f ? fread(data, 1, sizeof(data) - 1, f) : 0;

	if (f)
		fclose(f);
	data[n] = '\0';
	return data;
}

static void open_log(int level)
{
	struct log_config config = { .file = file, .level = level, .state_dir = dir };

	CHECK_EQ(log_open("test_log", &config, text, sizeof(text)), 0);
}

static void test_lines(void)
{
	char moved[160];

	open_log(LOG_INFO);
	log_info("role_started", "role=%s node=%u why=%s", "web", 3u, log_quote("was \"lost\"\nby node1"));
	log_debug("not_shown", "x=%d", 1);
	log_error("plain", "");
	CHECK_CONTAINS(contents(file), " info    role_started role=web node=3 why=\"was \\\"lost\\\"\\nby node1\"\n");
	CHECK_CONTAINS(contents(file), " error   plain");
	CHECK(!strstr(contents(file), "not_shown"));
	snprintf(moved, sizeof(moved), "%s.1", file);
	CHECK_EQ(rename(file, moved), 0);
	CHECK_EQ(log_reopen(), 0);
	log_info("after_rotation", "x=%d", 4);
	CHECK_CONTAINS(contents(file), "after_rotation");
	CHECK(!strstr(contents(moved), "after_rotation"));
	log_close();
	unlink(moved);
	open_log(LOG_DEBUG);
	log_debug("now_shown", "x=%d", 2);
	CHECK_CONTAINS(contents(file), "debug   now_shown x=2");
	log_close();
	open_log(LOG_ERR);
	log_info("hidden_again", "x=%d", 3);
	CHECK(!strstr(contents(file), "hidden_again"));
	log_close();
}

/* What a full disk did not take is counted where it takes lines again. */
static void test_lost(void)
{
	char full[160];

	snprintf(full, sizeof(full), "%s.full", file);
	CHECK_EQ(symlink("/dev/full", full), 0);
	CHECK_EQ(rename(full, file), 0);
	open_log(LOG_INFO);
	log_info("lost_1", "x=%d", 1);
	log_info("lost_2", "x=%d", 2);
	unlink(file);
	CHECK_EQ(log_reopen(), 0);
	log_info("taken_1", "x=%d", 3);
	log_info("taken_2", "x=%d", 4);
	CHECK_CONTAINS(contents(file), " warning log_lines_lost count=2\n");
	CHECK_CONTAINS(contents(file), " info    taken_2");
	CHECK(strstr(contents(file), "log_lines_lost") < strstr(contents(file), "taken_1"));
	CHECK(!strstr(strstr(contents(file), "taken_1"), "log_lines_lost"));
	log_close();
}

static void test_quote(void)
{
	CHECK_STR(log_quote("plain-1.2/x"), "plain-1.2/x");
	CHECK_STR(log_quote(""), "\"\"");
	CHECK_STR(log_quote("a b"), "\"a b\"");
	CHECK_STR(log_quote("a=b"), "\"a=b\"");
	CHECK_STR(log_quote("\x01\\"), "\"\\x01\\\\\"");
	for (unsigned int n = LOG_LINE_MAX - 20; n < LOG_LINE_MAX + 20; n++) {
		char *long_text = malloc(n + 1);

		memset(long_text, '"', n);
		long_text[n] = '\0';
		CHECK(strlen(log_quote(long_text)) < LOG_LINE_MAX);
		free(long_text);
	}
}

static void test_errors(void)
{
	struct log_config config = { .file = "/nonexistent/x.log", .level = LOG_INFO };

	CHECK_EQ(log_open("test_log", &config, text, sizeof(text)), -ENOENT);
	CHECK_CONTAINS(text, "/nonexistent/x.log");
	CHECK_EQ(log_level_of("warning"), LOG_WARNING);
	CHECK_EQ(log_level_of("loud"), -EINVAL);
}

/* A dump as qb-blackbox would print it; "" when it cannot be read. */
static const char *dump_text(const char *path)
{
	char command[400], out[160];

	snprintf(out, sizeof(out), "%s/printed", dir);
	snprintf(command, sizeof(command), "qb-blackbox '%s' >'%s' 2>&1", path, out);
	if (system("command -v qb-blackbox >/dev/null")) {
		/* the tool is another package: print it through the library, in a process of its own */
		pid_t pid = fork();

		if (!pid) {
			int fd = open(out, O_CREAT | O_TRUNC | O_WRONLY, 0600);

			dup2(fd, STDOUT_FILENO);
			qb_log_blackbox_print_from_file(path);
			fflush(stdout);
			_exit(0);
		}
		waitpid(pid, NULL, 0);
	} else if (system(command)) {
		return "";
	}
	return contents(out);
}

static void recorder_path(char *out, size_t size)
{
	struct dirent *e;
	DIR *d = opendir(dir);

	out[0] = '\0';
	while (d && (e = readdir(d)))
		if (!strncmp(e->d_name, "recorder-", 9))
			snprintf(out, size, "%s/%.64s", dir, e->d_name);
	if (d)
		closedir(d);
}

static void check_private(const char *path)
{
	struct stat st = { 0 };

	CHECK_EQ(stat(path, &st), 0);
	CHECK_EQ(st.st_mode & 07777, 0600);
}

static unsigned int synced_files, synced_dirs;
static sem_t hanging, synced; /* a disk that hangs waits for the first, and tells by the second that it has gone on */
static bool disk_hangs;

/* In the place of libc's: what reaches the disk before a reset is counted; a disk may hang. */
int fsync(int fd)
{
	struct stat st;

	if (disk_hangs)
		sem_wait(&hanging);
	if (fstat(fd, &st))
		return -1;
	synced_files += S_ISREG(st.st_mode);
	synced_dirs += S_ISDIR(st.st_mode);
	if (disk_hangs)
		sem_post(&synced);
	return 0;
}

static void test_save(void)
{
	char path[PATH_MAX];

	open_log(LOG_ERR);
	log_trace("last_words", "before=reset");
	CHECK_EQ(log_recorder_save(10000), 0);
	CHECK_EQ(synced_files, 1);
	CHECK_EQ(synced_dirs, 1);
	recorder_path(path, sizeof(path));
	check_private(path);
	CHECK_CONTAINS(dump_text(path), "last_words before=reset");
	unlink(path);
	sem_init(&hanging, 0, 0);
	sem_init(&synced, 0, 0);
	disk_hangs = true;
	CHECK_EQ(log_recorder_save(20), -ETIMEDOUT);
	for (int i = 0; i < 2; i++) {
		sem_post(&hanging);
		sem_wait(&synced);
	}
	recorder_path(path, sizeof(path));
	unlink(path);
	log_close();
	unlink(file);
}

static void test_recorder(void)
{
	char path[PATH_MAX], ret[PATH_MAX];

	open_log(LOG_ERR);
	for (int i = 0; i < 20000; i++) /* more than it holds: the oldest go */
		log_trace("step", "number=%d text=%s", i, "abcdefghijklmnopqrstuvwxyz");
	CHECK_EQ(log_recorder_dump(NULL, ret, sizeof(ret)), 0);
	recorder_path(path, sizeof(path));
	CHECK_STR(path, ret);
	check_private(path);
	CHECK(strstr(dump_text(path), "step number=19999"));
	CHECK(!strstr(dump_text(path), "step number=1 "));
	unlink(path);
	CHECK(log_recorder_dump("/nonexistent/x", NULL, 0) < 0);
	log_close();
	unlink(file);
}

/* A real fault, not the report of a sanitizer that ends the process in its own way. */
__attribute__((no_sanitize("undefined"), no_sanitize("address"))) static void crash(int signal_number)
{
	volatile int *nowhere = NULL;
	volatile int zero = 0;

	switch (signal_number) {
	case SIGSEGV:
		*nowhere = 1; /* NOLINT: the crash is wanted */
		break;
	case SIGFPE:
		zero = 1 / zero; /* NOLINT: the crash is wanted */
		break;
	case SIGABRT:
		abort();
	default:
		raise(signal_number);
	}
	raise(signal_number); /* where the processor does not trap */
}

static void test_crash(int signal_number)
{
	char path[PATH_MAX], wanted[64];
	int status;
	pid_t pid = fork();

	if (!pid) {
		int fd = open("/dev/null", O_WRONLY);

		setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
		dup2(fd, STDERR_FILENO);
		open_log(LOG_ERR);
		log_trace("last_words", "signal=%d", signal_number);
		crash(signal_number);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	CHECK(WIFSIGNALED(status));
	CHECK_EQ(WTERMSIG(status), signal_number);
	recorder_path(path, sizeof(path));
	check_private(path);
	snprintf(wanted, sizeof(wanted), "last_words signal=%d", signal_number);
	CHECK_CONTAINS(dump_text(path), wanted);
	snprintf(wanted, sizeof(wanted), "/dev/shm/qb-test_log-%d-blackbox-data", pid);
	CHECK(access(wanted, F_OK) && errno == ENOENT);
	unlink(path);
	unlink(file);
}

int main(void)
{
	char printed[160];

	REQUIRE(mkdtemp(dir));
	snprintf(file, sizeof(file), "%s/test.log", dir);
	test_quote();
	test_errors();
	test_crash(SIGSEGV);
	test_crash(SIGABRT);
	test_crash(SIGBUS);
	test_crash(SIGFPE);
	test_crash(SIGILL);
	test_lines();
	test_lost();
	unlink(file);
	test_recorder();
	test_save();
	snprintf(printed, sizeof(printed), "%s/printed", dir);
	unlink(printed);
	CHECK_EQ(rmdir(dir), 0);
	return check_result();
}
