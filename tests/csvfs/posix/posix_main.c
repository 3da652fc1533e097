/* SPDX-License-Identifier: GPL-2.0-or-later */
/* posix_suite DIR [GROUP...]: runs the cases in DIR; lines on stdout, the number of cases last. */
#include "tests/csvfs/posix/posix.h"

#include <dirent.h>
#include <ftw.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>

#define GROUPS_MAX 128
#define LINE_MAX_SIZE 1024
#define CASE_LIMIT_S 60

static struct case_group {
	const char *name;
	void (*run)(void);
} groups[GROUPS_MAX];
static unsigned n_groups, n_cases, n_lines;
static char base[PATH_MAX], current[256], group_now[64];
static pid_t suite;

void posix_group(const char *name, void (*run)(void))
{
	if (n_groups == GROUPS_MAX)
		abort();
	groups[n_groups].name = name;
	groups[n_groups++].run = run;
}

void need(bool ok, const char *what)
{
	if (ok)
		return;
	dprintf(1, "%s: the suite cannot go on: %s: %s\n", current, what, strerror(errno));
	_exit(2);
}

void say(const char *fmt, ...)
{
	char line[LINE_MAX_SIZE];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	dprintf(1, "%s: %s\n", current, line);
	n_lines++;
}

long note(const char *text, long value)
{
	int fault = errno;

	if (value == -1)
		say("%s = %s", text, strerrorname_np(fault));
	else
		say("%s = %ld", text, value);
	errno = fault;
	return value;
}

int note_fd(const char *text, int fd)
{
	int fault = errno;

	if (fd < 0)
		say("%s = %s", text, strerrorname_np(fault));
	else
		say("%s = ok", text);
	errno = fault;
	return fd;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)ftw;
	return type == FTW_DP ? rmdir(path) : unlink(path);
}

/* A directory that did not go is a line, and so a difference. */
static void case_end(void)
{
	if (!current[0])
		return;
	need(!chdir(base), "chdir back");
	umask(022);
	if (nftw("case", remove_one, 32, FTW_DEPTH | FTW_PHYS))
		say("cannot remove what the case made: %s", strerrorname_np(errno));
	current[0] = 0;
}

void sub(const char *fmt, ...)
{
	va_list ap;

	case_end();
	int n = snprintf(current, sizeof(current), "%s/", group_now);
	va_start(ap, fmt);
	vsnprintf(current + n, sizeof(current) - (size_t)n, fmt, ap);
	va_end(ap);
	umask(022);
	need(!mkdir("case", 0755) && !chdir("case"), "directory of the case");
	n_cases++;
	alarm(CASE_LIMIT_S);
}

int in_child(int (*fn)(void *), void *arg)
{
	int status;
	pid_t pid = fork();

	need(pid >= 0, "fork");
	if (!pid)
		_exit(fn(arg));
	need(waitpid(pid, &status, 0) == pid, "waitpid");
	if (WIFSIGNALED(status))
		say("killed by signal %d", WTERMSIG(status));
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

struct user {
	uid_t uid;
	gid_t gid, second;
	void (*fn)(void *);
	void *arg;
};

static int user_run(void *arg)
{
	struct user *u = arg;

	need(!setgroups(u->second ? 1 : 0, &u->second) && !setresgid(u->gid, u->gid, u->gid) &&
		     !setresuid(u->uid, u->uid, u->uid),
	     "become the user");
	u->fn(u->arg);
	return 0;
}

void as_user(uid_t uid, gid_t gid, gid_t second, void (*fn)(void *), void *arg)
{
	struct user u = { uid, gid, second, fn, arg };

	if (in_child(user_run, &u))
		say("the user's process failed");
}

void say_stat(const char *name)
{
	static const char types[16] = { 0, 'p', 'c', 0, 'd', 0, 'b', 0, '-', 0, 'l', 0, 's' };
	struct stat st;

	if (lstat(name, &st)) {
		say("stat %s = %s", name, strerrorname_np(errno));
		return;
	}
	say("stat %s = %c%04o uid %u gid %u nlink %u size %lld rdev %llx", name, types[st.st_mode >> 12 & 15],
	    st.st_mode & 07777, st.st_uid, st.st_gid, (unsigned)st.st_nlink,
	    S_ISDIR(st.st_mode) ? 0LL : (long long)st.st_size, (unsigned long long)st.st_rdev);
}

void say_content_fd(int fd)
{
	unsigned char buf[4096];
	uint32_t sum = 2166136261u;
	long long at = 0;
	ssize_t n;

	while ((n = pread(fd, buf, sizeof(buf), at)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			sum = (sum ^ buf[i]) * 16777619u;
		at += n;
	}
	if (n < 0)
		say("content: read = %s", strerrorname_np(errno));
	else
		say("content: %lld bytes, sum %08x", at, sum);
}

void say_content(const char *name)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		say("content of %s: open = %s", name, strerrorname_np(errno));
		return;
	}
	say_content_fd(fd);
	close(fd);
}

void fill(void *buf, size_t size, unsigned salt)
{
	unsigned char *p = buf;

	for (size_t i = 0; i < size; i++)
		p[i] = (unsigned char)(i * 31 + i / 256 + salt * 7 + 1);
}

void make_file(const char *name, size_t size, mode_t mode)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	char *buf = malloc(size + 1);

	need(fd >= 0 && buf, name);
	fill(buf, size, 0);
	need(write(fd, buf, size) == (ssize_t)size, name);
	need(!fchmod(fd, mode), name);
	close(fd);
	free(buf);
}

void make_dir(const char *name, mode_t mode)
{
	need(!mkdir(name, 0700) && !chmod(name, mode), name);
}

static void too_long(int sig)
{
	(void)sig;
	static const char text[] = ": hangs\n";

	if (getpid() == suite && write(1, current, strlen(current)) > 0 && write(1, text, sizeof(text) - 1) > 0)
		_exit(3);
	_exit(4);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct case_group *)a)->name, ((const struct case_group *)b)->name);
}

int main(int argc, char **argv)
{
	if (argc < 2 || chdir(argv[1]) || !getcwd(base, sizeof(base))) {
		fprintf(stderr, "usage: posix_suite DIR [GROUP...]\n");
		return 2;
	}
	suite = getpid();
	qsort(groups, n_groups, sizeof(groups[0]), by_name);
	signal(SIGALRM, too_long);
	signal(SIGPIPE, SIG_IGN);
	for (unsigned i = 0; i < n_groups; i++) {
		bool wanted = argc == 2;

		for (int a = 2; a < argc; a++)
			wanted |= !strcmp(argv[a], groups[i].name);
		if (!wanted)
			continue;
		snprintf(group_now, sizeof(group_now), "%s", groups[i].name);
		groups[i].run();
		case_end();
	}
	dprintf(1, "%u cases, %u lines\n", n_cases, n_lines);
	return n_cases ? 0 : 2;
}
