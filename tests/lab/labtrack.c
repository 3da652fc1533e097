/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The process behind the agent "tracker": proves when a role ran, and where.
 *
 *   labtrack ROLE HOST DIR PIDFILE
 *
 * While it runs it holds a lock on DIR/ROLE.lock, which all hosts of a lab share, and appends lines to DIR/ROLE.HOST.log:
 * "MONOTONIC_NS start|beat|stop|double PID". CLOCK_MONOTONIC is one clock for all hosts of a lab, so an overlap of two
 * intervals [start, last beat or stop] is a role that ran twice; "double" says that another host held the lock
 * at the start, which needs no clock at all. A beat is written before the process sleeps, so the last one is a lower
 * bound of its end. Writes go to a page cache that outlives the host: a killed host loses no line.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define BEAT_MS 20
#define PATH_SIZE 512

static int log_fd;

static void note(const char *what)
{
	struct timespec t;
	char line[96];

	clock_gettime(CLOCK_MONOTONIC, &t);
	int n = snprintf(line, sizeof(line), "%" PRId64 " %s %d\n", (int64_t)t.tv_sec * 1000000000 + t.tv_nsec, what, getpid());

	if (write(log_fd, line, (size_t)n) != n)
		_exit(1);
}

/* In the child: takes the lock, says "start", leaves the pid file, and only then confirms through go_fd. */
static int track(char **argv, int go_fd)
{
	char path[PATH_SIZE];
	sigset_t mask;

	setsid();
	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	struct pollfd p = { signalfd(-1, &mask, SFD_CLOEXEC), POLLIN, 0 };

	snprintf(path, sizeof(path), "%s/%s.%s.log", argv[3], argv[1], argv[2]);
	log_fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
	snprintf(path, sizeof(path), "%s/%s.lock", argv[3], argv[1]);
	int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);

	if (log_fd < 0 || lock < 0 || p.fd < 0) {
		fprintf(stderr, "labtrack: %s: %s\n", path, strerror(errno));
		return 1;
	}
	/* The kernel drops it at the very end of the process, however that ends; a frozen process still holds it. */
	struct flock lk = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (fcntl(lock, F_OFD_SETLK, &lk))
		note("double");
	note("start");
	FILE *f = fopen(argv[4], "w");

	if (!f || fprintf(f, "%d\n", getpid()) < 0 || fclose(f) || write(go_fd, "g", 1) != 1)
		return 1;
	close(go_fd);
	for (int i = 0; i < 3; i++)
		close(i); /* the agent's output pipe must not stay open */
	for (;;) {
		note("beat");
		if (poll(&p, 1, BEAT_MS) > 0) {
			note("stop");
			return 0;
		}
	}
}

int main(int argc, char **argv)
{
	int go[2];
	char c;

	if (argc != 5) {
		fprintf(stderr, "usage: labtrack ROLE HOST DIR PIDFILE\n");
		return 2;
	}
	if (pipe2(go, O_CLOEXEC)) {
		perror("labtrack: pipe");
		return 1;
	}
	pid_t pid = fork();

	if (pid == 0) {
		close(go[0]);
		_exit(track(argv, go[1]));
	}
	close(go[1]);
	return pid > 0 && read(go[0], &c, 1) == 1 ? 0 : 1;
}
