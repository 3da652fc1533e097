/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names and open files, by several processes at a time. Each prints one line:
 *
 *   bench_files create[-own][-sync] DIR PREFIX PROCESSES SECONDS
 *	makes empty files PREFIX-PROCESS-NUMBER; -sync: and fsync of DIR after each, what a csvfs does by itself
 *   bench_files stat[-own] DIR PREFIX PROCESSES SECONDS
 *	lstat of what create has made, the first NAMES of each process round and round
 *   bench_files unlink[-own][-sync] DIR PREFIX PROCESSES
 *	until nothing is left
 *	-own, with each of these (create-own-sync): each process in PREFIX-PROCESS, a directory of its own
 *   bench_files look DIR DIRECTORIES/FILES PROCESSES SECONDS
 *	lstat of each of what fill has made, once
 *	all: OPERATIONS SECONDS LEAST MOST (of one process)
 *
 *   bench_files fill DIR DIRECTORIES FILES
 *	DIRECTORIES with FILES each: FILES-IN-ALL SECONDS
 *   bench_files open DIR DIRECTORIES FILES COUNT
 *	opens the first COUNT of them; "COUNT SECONDS", and keeps them until the end of stdin
 *   bench_files watch FILE append|over
 *	writes 4 KiB again and again: "ready", and at the end of stdin OPERATIONS LONGEST-PAUSE-BEGAN-NS ENDED-NS
 *	(CLOCK_MONOTONIC); over: what is allocated already
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "units.h"

#define PROCESSES_MAX 64
#define NAMES 1000
#define NAME_SIZE 128
#define BLOCK 4096
#define OVER_BLOCKS 256 /* of watch over: written again and again */

struct job {
	const char *what, *prefix;
	int dir, number, processes;
	uint64_t until;
	bool sync, own;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void __attribute__((noreturn)) die(const char *what)
{
	fprintf(stderr, "bench_files: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void name_of(const struct job *j, uint64_t n, char *ret)
{
	snprintf(ret, NAME_SIZE, "%s-%d-%llu", j->prefix, j->number, (unsigned long long)n);
}

static void sync_dir(const struct job *j)
{
	if (j->sync && fsync(j->dir) < 0)
		die("fsync");
}

static uint64_t create(const struct job *j)
{
	char name[NAME_SIZE];
	uint64_t n = 0;

	for (; now_ns() < j->until; n++) {
		int fd;

		name_of(j, n, name);
		fd = openat(j->dir, name, O_CREAT | O_EXCL | O_WRONLY, 0644);
		if (fd < 0 || close(fd) < 0)
			die(name);
		sync_dir(j);
	}
	return n;
}

static uint64_t stat_all(const struct job *j)
{
	char name[NAME_SIZE];
	uint64_t n = 0, at = 0;
	struct stat st;

	for (; now_ns() < j->until; n++, at++) {
		name_of(j, at % NAMES, name);
		if (fstatat(j->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			continue;
		if (errno != ENOENT || !at)
			die(name);
		at = UINT64_MAX; /* fewer than NAMES: from the beginning */
	}
	return n;
}

static uint64_t remove_all(const struct job *j)
{
	char name[NAME_SIZE];

	for (uint64_t n = 0;; n++) {
		name_of(j, n, name);
		if (unlinkat(j->dir, name, 0) == 0)
			sync_dir(j);
		else if (errno == ENOENT)
			return n;
		else
			die(name);
	}
}

static uint64_t look_at(const struct job *j)
{
	const char *slash = strchr(j->prefix, '/');
	int directories = atoi(j->prefix), files = slash ? atoi(slash + 1) : 0;
	char name[NAME_SIZE];
	uint64_t n = 0;
	struct stat st;

	for (int at = j->number; at < directories * files && now_ns() < j->until; at += j->processes, n++) {
		snprintf(name, sizeof(name), "d%d/f%d", at % directories, at / directories);
		if (fstatat(j->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			die(name);
	}
	return n;
}

static void enter_own(struct job *j)
{
	char name[NAME_SIZE];

	snprintf(name, sizeof(name), "%s-%d", j->prefix, j->number);
	if (mkdirat(j->dir, name, 0755) < 0 && errno != EEXIST)
		die(name);
	j->dir = openat(j->dir, name, O_RDONLY | O_DIRECTORY);
	if (j->dir < 0)
		die(name);
}

static uint64_t work(struct job *j)
{
	if (j->own)
		enter_own(j);
	if (!strncmp(j->what, "create", 6))
		return create(j);
	if (!strcmp(j->what, "look"))
		return look_at(j);
	return strncmp(j->what, "stat", 4) ? remove_all(j) : stat_all(j);
}

static int names(char **argv, int processes, double seconds)
{
	uint64_t *done = mmap(NULL, PROCESSES_MAX * sizeof(*done), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t began = now_ns(), all = 0, least = UINT64_MAX, most = 0;
	struct job j = { .what = argv[1], .prefix = argv[3], .dir = open(argv[2], O_RDONLY | O_DIRECTORY),
			 .until = began + (uint64_t)(seconds * 1e9), .sync = strstr(argv[1], "-sync"),
			 .own = strstr(argv[1], "-own"), .processes = processes };
	int status, bad = 0;

	if (j.dir < 0 || done == MAP_FAILED)
		die(argv[2]);
	for (; j.number < processes; j.number++) {
		pid_t pid = fork();

		if (pid < 0)
			die("fork");
		if (!pid) {
			done[j.number] = work(&j);
			_exit(0);
		}
	}
	while (wait(&status) > 0)
		bad |= status;
	for (int i = 0; i < processes; i++) {
		all += done[i];
		least = done[i] < least ? done[i] : least;
		most = done[i] > most ? done[i] : most;
	}
	printf("%llu %.3f %llu %llu\n", (unsigned long long)all, (double)(now_ns() - began) / 1e9, (unsigned long long)least,
	       (unsigned long long)most);
	return bad != 0;
}

static int fill(int top, int directories, int files)
{
	uint64_t began = now_ns();
	char name[NAME_SIZE];

	for (int d = 0; d < directories; d++) {
		snprintf(name, sizeof(name), "d%d", d);
		if (mkdirat(top, name, 0755) < 0)
			die(name);
		for (int f = 0; f < files; f++) {
			int fd;

			snprintf(name, sizeof(name), "d%d/f%d", d, f);
			fd = openat(top, name, O_CREAT | O_EXCL | O_WRONLY, 0644);
			if (fd < 0 || close(fd) < 0)
				die(name);
		}
	}
	printf("%d %.3f\n", directories * files, (double)(now_ns() - began) / 1e9);
	return 0;
}

static void wait_end(void)
{
	char c;

	while (read(STDIN_FILENO, &c, 1) > 0)
		;
}

static int open_many(int top, int directories, int files, int count)
{
	uint64_t began = now_ns();
	char name[NAME_SIZE];
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		die("limit of open files");
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		die("limit of open files");
	for (int n = 0; n < count && n < directories * files; n++) {
		snprintf(name, sizeof(name), "d%d/f%d", n % directories, n / directories);
		if (openat(top, name, O_RDWR) < 0)
			die(name);
	}
	printf("%d %.3f\n", count, (double)(now_ns() - began) / 1e9);
	fflush(stdout);
	wait_end();
	return 0;
}

static bool ended(void)
{
	struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

static int watch(const char *path, bool append)
{
	int fd = open(path, O_RDWR | O_CREAT | O_DIRECT | (append ? O_APPEND : 0), 0644);
	void *block = aligned_alloc(BLOCK, BLOCK);
	uint64_t before, began, until, n = 0;

	if (fd < 0 || !block)
		die(path);
	memset(block, 'w', BLOCK);
	for (; !append && n < OVER_BLOCKS; n++) /* first all of it is made */
		if (pwrite(fd, block, BLOCK, (off_t)(n * BLOCK)) != BLOCK)
			die(path);
	puts("ready");
	fflush(stdout);
	before = began = until = now_ns();
	for (; !ended(); n++) {
		uint64_t now;

		if (pwrite(fd, block, BLOCK, append ? 0 : (off_t)(n % OVER_BLOCKS * BLOCK)) != BLOCK)
			die(path);
		now = now_ns();
		if (now - before > until - began) {
			began = before;
			until = now;
		}
		before = now;
	}
	printf("%llu %llu %llu\n", (unsigned long long)n, (unsigned long long)began, (unsigned long long)until);
	return 0;
}

static int usage(void)
{
	fputs("usage: bench_files create|stat|unlink[-own][-sync] DIR PREFIX PROCESSES [SECONDS]\n"
	      "       bench_files look DIR DIRECTORIES/FILES PROCESSES SECONDS\n"
	      "       bench_files fill DIR DIRECTORIES FILES\n"
	      "       bench_files open DIR DIRECTORIES FILES COUNT\n"
	      "       bench_files watch FILE append|over\n",
	      stderr);
	return 2;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	int numbers[3] = { 0 }, processes, top;

	for (int i = 3; i < argc && i < 6; i++)
		numbers[i - 3] = atoi(argv[i]);
	if (argc == 4 && !strcmp(what, "watch"))
		return watch(argv[2], !strcmp(argv[3], "append"));
	if (argc >= 5 && (!strcmp(what, "fill") || !strcmp(what, "open"))) {
		top = open(argv[2], O_RDONLY | O_DIRECTORY);
		if (top < 0)
			die(argv[2]);
		return *what == 'f' ? fill(top, numbers[0], numbers[1]) : open_many(top, numbers[0], numbers[1], numbers[2]);
	}
	processes = numbers[1];
	if (argc < 5 || processes < 1 || processes > PROCESSES_MAX)
		return usage();
	return names(argv, processes, argc > 5 ? strtod(argv[5], NULL) : 0);
}
