/* SPDX-License-Identifier: GPL-2.0-or-later */
/* csvfs and csvfs-owner as processes: started detached, found again by their record. */
#include "csvfs/io/volume_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "text.h"

#define STAT_SIZE 1024
#define STATE_FIELD 3  /* of /proc/PID/stat: one letter … */
#define START_FIELD 22 /* … start time, clock ticks since boot */
#define WORDS_MAX 4096 /* bytes at the end of the log in which a last line is looked for */

/* --- places --- */

static bool is_file_name(const char *name) { return name[0] && name[0] != '.' && !strchr(name, '/'); }

int volume_place_make(const char *run_dir)
{
	char path[VOLUME_PATH_SIZE];
	int n = snprintf(path, sizeof(path), "%s/volumes", run_dir);

	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	return mkdir(path, 0700) && errno != EEXIST ? -errno : 0;
}

int volume_place(struct volume_place *ret, const char *run_dir, const char *log_file, const char *kind, const char *name)
{
	const char *slash = log_file ? strrchr(log_file, '/') : NULL;
	struct sockaddr_un address;
	int n, m, k;

	if (!is_file_name(name))
		return -EINVAL;
	n = snprintf(ret->control, sizeof(ret->control), "%s/volumes/%s.%s", run_dir, name, kind);
	m = snprintf(ret->record, sizeof(ret->record), "%s/volumes/%s.%s.process", run_dir, name, kind);
	if (slash)
		k = snprintf(ret->log, sizeof(ret->log), "%.*s/volume-%s.%s.log", (int)(slash - log_file), log_file, name, kind);
	else
		k = snprintf(ret->log, sizeof(ret->log), "%s/volumes/%s.%s.log", run_dir, name, kind);
	if (n < 0 || m < 0 || k < 0 || (size_t)m >= sizeof(ret->record) || (size_t)k >= sizeof(ret->log) ||
	    (size_t)n >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	return 0;
}

/* --- identity --- */

/* A field of /proc/PID/stat and what follows it, in `stat`; NULL: there is no such process. The name in the second one may hold
 * anything, blanks and brackets too. */
static const char *stat_field(pid_t pid, int wanted, char stat[STAT_SIZE])
{
	char path[64];
	const char *at;
	cleanup_fd int fd = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, stat, STAT_SIZE - 1);
	if (n <= 0)
		return NULL;
	stat[n] = '\0';
	at = strrchr(stat, ')');
	for (int field = 2; at && field < wanted; field++)
		at = strchr(at + 1, ' ');
	return at ? at + 1 : NULL;
}

/* Start time of a process; 0: there is none. */
static uint64_t started_at(pid_t pid)
{
	char stat[STAT_SIZE];
	const char *at = stat_field(pid, START_FIELD, stat);

	return at ? strtoull(at, NULL, 10) : 0;
}

static int write_record(const char *path)
{
	cleanup_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	char text[64];
	int n = snprintf(text, sizeof(text), "%d %llu\n", (int)getpid(), (unsigned long long)started_at(getpid()));

	if (fd < 0)
		return -errno;
	return write(fd, text, (size_t)n) == n ? 0 : -EIO;
}

int volume_process_find(const struct volume_place *place, struct volume_process *ret)
{
	cleanup_file FILE *f = fopen(place->record, "re");
	unsigned long long start;
	int pid;

	*ret = (struct volume_process){ .pidfd = -1 };
	if (!f)
		return errno == ENOENT ? -ESRCH : -errno;
	if (fscanf(f, "%d %llu", &pid, &start) != 2 || pid <= 0)
		return -EBADMSG;
	ret->pid = pid;
	ret->pidfd = pidfd_open(pid, 0);
	if (ret->pidfd < 0)
		return -errno;
	/* Whom the pidfd means cannot change any more: now it is seen whether that is the one. */
	if (started_at(pid) == start && volume_process_wait(ret, 0) == -ETIMEDOUT)
		return 0;
	volume_process_close(ret);
	return -ESRCH;
}

int volume_process_wait(const struct volume_process *p, int timeout_ms)
{
	struct pollfd fd = { .fd = p->pidfd, .events = POLLIN };
	int n;

	do
		n = poll(&fd, 1, timeout_ms);
	while (n < 0 && errno == EINTR);
	return n > 0 ? 0 : n ? -errno : -ETIMEDOUT;
}

bool volume_process_dying(const struct volume_process *p)
{
	char stat[STAT_SIZE];
	const char *state = stat_field(p->pid, STATE_FIELD, stat);

	/* The first thread is through and waits for the others. As long as the pidfd is not ready the pid is nobody else's. */
	return state && *state == 'Z' && volume_process_wait(p, 0) == -ETIMEDOUT;
}

int volume_process_signal(const struct volume_process *p, int signal)
{
	return pidfd_send_signal(p->pidfd, signal, NULL, 0) ? -errno : 0;
}

void volume_process_close(struct volume_process *p)
{
	if (p->pidfd >= 0)
		close(p->pidfd);
	p->pidfd = -1;
}

/* --- start --- */

/* What the parent is told; the pipe is closed by execve(2). */
struct news {
	pid_t pid;
	int error;
};

static void usual_state(void)
{
	const struct sched_param none = { 0 };
	sigset_t empty;
	int fd;

	for (int s = 1; s < NSIG; s++)
		signal(s, SIG_DFL);
	sigemptyset(&empty);
	sigprocmask(SIG_SETMASK, &empty, NULL);
	sched_setscheduler(0, SCHED_OTHER, &none);
	setpriority(PRIO_PROCESS, 0, 0);
	umask(022);
	fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && write(fd, "0", 1) == 1)
		close(fd);
}

/* In the process to be; does not return. */
static void become(const struct volume_place *place, const char *const argv[], int log, int report)
{
	struct news news = { .pid = getpid() };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	usual_state();
	news.error = null < 0 || dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0 || chdir("/") ? -errno : 0;
	if (!news.error)
		news.error = write_record(place->record);
	if (!news.error) {
		/* All but the pipe, which tells that execve(2) went well by its end. */
		if (report != 3 && dup3(report, 3, O_CLOEXEC) == 3)
			report = 3;
		close_range(4, ~0u, 0);
		execv(argv[0], (char *const *)(uintptr_t)argv);
		news.error = -errno;
		unlink(place->record);
	}
	_exit(write(report, &news, sizeof(news)) == (ssize_t)sizeof(news) ? 1 : 2);
}

/* Who writes there has ended, or writes on into the old one. */
static void set_aside(const char *path)
{
	char old[VOLUME_PATH_SIZE + 8];
	struct stat st;

	if (stat(path, &st) || st.st_size < VOLUME_LOG_MAX)
		return;
	snprintf(old, sizeof(old), "%s.old", path);
	rename(path, old);
}

static int open_log(const char *path, off_t *ret_from)
{
	int fd;
	struct stat st;

	set_aside(path);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
	if (fd < 0)
		return -errno;
	*ret_from = fstat(fd, &st) ? 0 : st.st_size;
	/* Descriptors 0 to 3 are given anew in the child: neither this one nor the pipe may be one of them. */
	if (fd <= 3) {
		int high = fcntl(fd, F_DUPFD_CLOEXEC, 10);

		close(fd);
		fd = high < 0 ? -errno : high;
	}
	return fd;
}

static int high_pipe(int ends[2])
{
	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	if (ends[1] <= 3) {
		int high = fcntl(ends[1], F_DUPFD_CLOEXEC, 10);

		close(ends[1]);
		ends[1] = high;
	}
	return ends[1] < 0 ? -EMFILE : 0;
}

/* Twice, so that it is no child of ours: nobody here has to wait for its end. */
static int fork_twice(const struct volume_place *place, const char *const argv[], int log, int report)
{
	pid_t child = fork();
	int status;

	if (child < 0)
		return -errno;
	if (!child) {
		pid_t daemon;

		setsid();
		daemon = fork();
		if (!daemon)
			become(place, argv, log, report);
		_exit(daemon < 0 ? 1 : 0);
	}
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -EAGAIN;
}

int volume_process_start(const struct volume_place *place, const char *const argv[], struct volume_process *ret,
			 off_t *ret_log_from)
{
	off_t from = 0;
	cleanup_fd int log = open_log(place->log, &from);
	struct news news = { 0 };
	int ends[2], error;
	ssize_t n;

	*ret = (struct volume_process){ .pidfd = -1 };
	if (ret_log_from)
		*ret_log_from = from;
	if (log < 0)
		return log;
	error = high_pipe(ends);
	if (error)
		return error;
	error = fork_twice(place, argv, log, ends[1]);
	close(ends[1]);
	do
		n = read(ends[0], &news, sizeof(news));
	while (n < 0 && errno == EINTR);
	close(ends[0]);
	if (error || n)
		return error ? error : n == (ssize_t)sizeof(news) ? news.error : -EIO;
	return volume_process_find(place, ret);
}

/* --- what it said --- */

void volume_process_last_words(const struct volume_place *place, off_t from, char *out, size_t size)
{
	cleanup_fd int fd = open(place->log, O_RDONLY | O_CLOEXEC);
	char text[WORDS_MAX + 1], *end, *line, *colon;
	struct stat st;
	ssize_t n;

	out[0] = '\0';
	if (fd < 0 || fstat(fd, &st) || st.st_size <= from)
		return;
	if (st.st_size - from > WORDS_MAX)
		from = st.st_size - WORDS_MAX;
	n = pread(fd, text, WORDS_MAX, from);
	if (n <= 0)
		return;
	text[n] = '\0';
	end = text + n;
	while (end > text && (end[-1] == '\n' || !end[-1]))
		*--end = '\0';
	line = strrchr(text, '\n');
	line = line ? line + 1 : text;
	colon = strstr(line, ": ");
	if (!strncmp(line, "csvfs", 5) && colon)
		line = colon + 2;
	text_copy(out, size, line);
}
