/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The record of what may be active on this host, in files under run_dir (a tmpfs: a reboot, which ends everything, empties it).
 *
 *   active/ID    written before a start is spawned, removed when the resource is known to be stopped. Lines:
 *                "clusterd-active 1", "resource NAME", "role NAME", "agent NAME", "timeout MS", "params", then the parameters.
 *   running/ID   exists while an operation of the resource runs. "clusterd-running 1 ACTION DEADLINE" (milliseconds of
 *                CLOCK_BOOTTIME), then the leader's line of /proc/PID/stat, which the child itself writes before it executes.
 *
 * A crash of the daemon cannot tear a file of active/ (written aside, renamed); a torn one of running/ means that nothing was
 * executed. No fsync: the files need not survive the host.
 */
#include "clusterd/io/agent_runner.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "text.h"
#include "units.h"

#define ACTIVE_MAGIC "clusterd-active 1\n"
#define RECORD_SIZE (PARAMS_SIZE + 2 * NAME_SIZE + AGENT_NAME_SIZE + 256)

static uint64_t boottime_ms(void) { return clock_ms(CLOCK_BOOTTIME); }

static int directory_open(const char *run_dir, const char *name, char *error)
{
	char path[AGENT_PATH_SIZE];
	int fd = -1, r = -ENAMETOOLONG;

	if (snprintf(path, sizeof(path), "%s/%s", run_dir, name) < (int)sizeof(path)) {
		if (!mkdir(path, 0700) || errno == EEXIST)
			fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0)
			return fd;
		r = -errno;
	}
	snprintf(error, AGENT_REPORT_SIZE, "cannot create or open the directory %s: %s; create it or name another run directory",
		 path, strerror(-r));
	return r;
}

int record_open(struct agents *a, char *error)
{
	if (mkdir(a->run_dir, 0755) < 0 && errno != EEXIST) {
		int r = -errno;

		snprintf(error, AGENT_REPORT_SIZE, "cannot create the directory %s: %s", a->run_dir, strerror(-r));
		return r;
	}
	a->active_fd = directory_open(a->run_dir, "active", error);
	if (a->active_fd < 0)
		return a->active_fd;
	a->running_fd = directory_open(a->run_dir, "running", error);
	return a->running_fd < 0 ? a->running_fd : 0;
}

void record_close(struct agents *a)
{
	if (a->active_fd >= 0)
		close(a->active_fd);
	if (a->running_fd >= 0)
		close(a->running_fd);
}

static int write_all(int fd, const char *data, size_t len)
{
	ssize_t n = write(fd, data, len);

	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -ENOSPC;
}

int record_active_write(const struct agents *a, const struct request *rq)
{
	char text[RECORD_SIZE], name[16], temp[16];
	cleanup_fd int fd = -1;
	int n, r;

	snprintf(name, sizeof(name), "%u", rq->resource_id);
	snprintf(temp, sizeof(temp), ".%u", rq->resource_id);
	n = snprintf(text, sizeof(text), ACTIVE_MAGIC "resource %s\nrole %s\nagent %s\ntimeout %u\nparams\n%s", rq->resource,
		     rq->role, rq->agent, rq->timeout_ms, rq->params);
	fd = openat(a->active_fd, temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = write_all(fd, text, (size_t)n);
	if (!r && renameat(a->active_fd, temp, a->active_fd, name) < 0)
		r = -errno;
	if (r)
		unlinkat(a->active_fd, temp, 0);
	return r;
}

void record_active_remove(const struct agents *a, uint32_t resource_id)
{
	char name[16];

	snprintf(name, sizeof(name), "%u", resource_id);
	unlinkat(a->active_fd, name, 0);
}

int record_running_open(const struct agents *a, const struct request *rq)
{
	char text[96], name[16];
	int fd, n, r;

	snprintf(name, sizeof(name), "%u", rq->resource_id);
	fd = openat(a->running_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	n = snprintf(text, sizeof(text), "clusterd-running 1 %s %llu\n", agent_action_name(rq->action),
		     (unsigned long long)(boottime_ms() + rq->timeout_ms));
	r = write_all(fd, text, (size_t)n);
	if (!r)
		return fd;
	close(fd);
	unlinkat(a->running_fd, name, 0);
	return r;
}

void record_running_remove(const struct agents *a, uint32_t resource_id)
{
	char name[16];

	snprintf(name, sizeof(name), "%u", resource_id);
	unlinkat(a->running_fd, name, 0);
}

static uint32_t file_id(const struct dirent *entry)
{
	char *end;
	unsigned long id = strtoul(entry->d_name, &end, 10);

	return entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && !*end && id <= RESOURCE_MAX ? (uint32_t)id : 0;
}

static int file_read(int dir, const char *name, char *text, size_t size)
{
	cleanup_fd int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, text, size - 1);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	return memchr(text, '\0', (size_t)n) ? -EBADMSG : 0;
}

static bool running_parse(const char *text, struct record_running *out)
{
	char action[32];
	unsigned long long deadline;
	uint64_t now = boottime_ms();
	const char *line = strchr(text, '\n');

	if (!line || sscanf(text, "clusterd-running 1 %31s %llu\n", action, &deadline) != 2)
		return false;
	out->action = AGENT_ACTIONS;
	for (int i = 0; i < AGENT_ACTIONS; i++)
		if (!strcmp(action, agent_action_name((enum agent_action)i)))
			out->action = (enum agent_action)i;
	out->left_ms = deadline > now ? deadline - now : 0;
	text_copy(out->stat, sizeof(out->stat), line + 1);
	return out->action != AGENT_ACTIONS && out->stat[0];
}

void record_running_list(struct agents *a, void (*each)(struct agents *a, const struct record_running *r))
{
	DIR *dir = fdopendir(openat(a->running_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		char text[PROCESS_STAT_SIZE + 128];
		struct record_running running = { .resource_id = file_id(entry) };

		if (!running.resource_id)
			continue;
		if (!file_read(a->running_fd, entry->d_name, text, sizeof(text)) && running_parse(text, &running))
			each(a, &running);
		else
			record_running_remove(a, running.resource_id);
	}
	if (dir)
		closedir(dir);
}

/* "KEY value\n" at *p into out; advances *p. */
static bool line_take(char **p, const char *key, char *out, size_t size)
{
	size_t key_len = strlen(key);
	char *end = strchr(*p, '\n');

	if (!end || strncmp(*p, key, key_len) != 0 || (size_t)(end - *p) - key_len >= size)
		return false;
	memcpy(out, *p + key_len, (size_t)(end - *p) - key_len);
	out[end - *p - (ptrdiff_t)key_len] = '\0';
	*p = end + 1;
	return true;
}

static int active_read(int dir, uint32_t id, struct agent_record *out)
{
	char text[RECORD_SIZE], name[16], timeout[16], none[8];
	char *p = text;
	int r;

	snprintf(name, sizeof(name), "%u", id);
	r = file_read(dir, name, text, sizeof(text));
	if (r)
		return r;
	memset(out, 0, sizeof(*out));
	out->resource_id = id;
	if (!line_take(&p, "clusterd-active 1", none, sizeof(none)) ||
	    !line_take(&p, "resource ", out->resource, sizeof(out->resource)) ||
	    !line_take(&p, "role ", out->role, sizeof(out->role)) ||
	    !line_take(&p, "agent ", out->agent, sizeof(out->agent)) ||
	    !line_take(&p, "timeout ", timeout, sizeof(timeout)) || !line_take(&p, "params", none, sizeof(none)) ||
	    !agent_name_valid(out->agent) || !agent_params_valid(p))
		return -EBADMSG;
	out->stop_timeout_ms = (uint32_t)strtoul(timeout, NULL, 10);
	text_copy(out->params, sizeof(out->params), p);
	return 0;
}

static int compare_ids(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

int agents_record_list(const char *run_dir, void (*each)(void *user, const struct agent_record *record), void *user,
		       char *error)
{
	char path[AGENT_PATH_SIZE];
	cleanup_free uint32_t *ids = calloc(RESOURCE_MAX + 1, sizeof(*ids));
	struct agent_record record;
	struct dirent *entry;
	size_t count = 0;
	int first = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/active", run_dir);
	error[0] = '\0';
	if (!ids)
		return -ENOMEM;
	dir = opendir(path);
	if (!dir && errno == ENOENT)
		return 0; /* nothing was ever started since boot */
	if (!dir) {
		first = -errno;
		snprintf(error, AGENT_REPORT_SIZE, "cannot read the directory %s: %s", path, strerror(-first));
		return first;
	}
	while ((entry = readdir(dir)) && count <= RESOURCE_MAX) {
		ids[count] = file_id(entry);
		count += ids[count] != 0;
	}
	qsort(ids, count, sizeof(*ids), compare_ids);
	for (size_t i = 0; i < count; i++) {
		int r = active_read(dirfd(dir), ids[i], &record);

		if (!r) {
			each(user, &record);
		} else if (!first) {
			first = r;
			snprintf(error, AGENT_REPORT_SIZE,
				 "%s/%u is no record of an active resource (%s): stop that resource by hand, then remove the file",
				 path, ids[i], strerror(-r));
		}
	}
	closedir(dir);
	return first;
}
