/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A command run again and again, several at a time: `bench_spawn SECONDS PARALLEL COMMAND [ARG...]`. "%n" in an argument
 * becomes the number of the run. Prints one line:
 *
 *   RUNS FAILED SECONDS P50_US P99_US MAX_US
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "units.h"

#define PARALLEL_MAX 64
#define SAMPLES_MAX (1u << 20)
#define ARGS_MAX 16
#define ARG_SIZE 512

extern char **environ;

static uint32_t us[SAMPLES_MAX];
static char words[ARGS_MAX][ARG_SIZE];
static posix_spawn_file_actions_t quiet;
static struct {
	pid_t pid;
	uint64_t began_ns;
} running[PARALLEL_MAX];

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static pid_t start(char **argv, unsigned int number)
{
	char *args[ARGS_MAX + 1] = { NULL };
	pid_t pid;
	int rc;

	for (int i = 0; argv[i] && i < ARGS_MAX; i++) {
		const char *at = strstr(argv[i], "%n");

		if (at)
			snprintf(words[i], ARG_SIZE, "%.*s%u%s", (int)(at - argv[i]), argv[i], number, at + 2);
		args[i] = at ? words[i] : argv[i];
	}
	rc = posix_spawnp(&pid, args[0], &quiet, NULL, args, environ);
	if (rc)
		fprintf(stderr, "bench_spawn: %s: %s\n", args[0], strerror(rc));
	return rc ? -1 : pid;
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Waits for one to end. */
static void reap(unsigned int *ended, unsigned int *failed)
{
	int status;
	pid_t pid = wait(&status);
	uint64_t now = now_ns();

	for (int i = 0; pid > 0 && i < PARALLEL_MAX; i++)
		if (running[i].pid == pid) {
			if (*ended < SAMPLES_MAX)
				us[*ended] = (uint32_t)((now - running[i].began_ns) / 1000);
			++*ended;
			*failed += status != 0;
			running[i].pid = 0;
			return;
		}
}

int main(int argc, char **argv)
{
	unsigned int parallel = argc > 3 ? (unsigned int)strtoul(argv[2], NULL, 10) : 0, begun = 0, ended = 0, failed = 0, n;
	uint64_t began = now_ns(), until = began + (argc > 3 ? (uint64_t)(strtod(argv[1], NULL) * 1e9) : 0);

	if (argc < 4 || argc > 3 + ARGS_MAX || parallel < 1 || parallel > PARALLEL_MAX) {
		fprintf(stderr, "usage: bench_spawn SECONDS PARALLEL COMMAND [ARG...]\n");
		return 2;
	}
	posix_spawn_file_actions_init(&quiet);
	posix_spawn_file_actions_addopen(&quiet, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	while (now_ns() < until || ended < begun) {
		int slot = 0;

		if (begun - ended == parallel || now_ns() >= until) {
			reap(&ended, &failed);
			continue;
		}
		while (running[slot].pid)
			slot++;
		running[slot].began_ns = now_ns();
		running[slot].pid = start(argv + 3, begun);
		if (running[slot].pid < 0)
			return 1;
		begun++;
	}
	n = ended < SAMPLES_MAX ? ended : SAMPLES_MAX;
	qsort(us, n, sizeof(us[0]), compare);
	printf("%u %u %.3f %u %u %u\n", ended - failed, failed, (double)(now_ns() - began) / 1e9, n ? us[n / 2] : 0,
	       n ? us[n * 99ul / 100] : 0, n ? us[n - 1] : 0);
	return 0;
}
