/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who uses a mount point, from /proc. */
#include "clusterd/volume_users.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cleanup.h"
#include "text.h"

#define LINE_SIZE 4096
#define NAMED_MAX 4 /* the rest is counted */

/* Blanks and the like are octal in mountinfo. */
static void unescape(char *s)
{
	char *out = s;

	for (; *s; s++) {
		unsigned int c;

		if (*s == '\\' && sscanf(s + 1, "%3o", &c) == 1) {
			*out++ = (char)c;
			s += 3;
		} else {
			*out++ = *s;
		}
	}
	*out = '\0';
}

bool volume_mounted(const char *dir, char *type, size_t size)
{
	cleanup_file FILE *f = fopen("/proc/self/mountinfo", "re");
	char line[LINE_SIZE], at[LINE_SIZE], kind[NAME_MAX];
	bool found = false;

	while (f && fgets(line, sizeof(line), f)) {
		const char *dash = strstr(line, " - ");

		/* proc_pid_mountinfo(5): id, parent, device, root, mount point, …; the later line is on top. */
		if (!dash || sscanf(line, "%*s %*s %*s %*s %4095s", at) != 1 || sscanf(dash, " - %254s", kind) != 1)
			continue;
		unescape(at);
		if (strcmp(at, dir) != 0)
			continue;
		text_copy(type, size, kind);
		found = true;
	}
	return found;
}

static bool link_is_below(const char *link, const char *dir)
{
	char target[PATH_MAX];
	ssize_t n = readlink(link, target, sizeof(target) - 1);
	size_t len = strlen(dir);

	if (n < (ssize_t)len)
		return false;
	target[n] = '\0';
	return !strncmp(target, dir, len) && (!target[len] || target[len] == '/');
}

static bool uses(const char *pid, const char *dir)
{
	static const char *const links[] = { "cwd", "root", "exe" };
	char path[PATH_MAX];
	const struct dirent *e;
	bool found = false;
	DIR *fds;

	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		snprintf(path, sizeof(path), "/proc/%s/%s", pid, links[i]);
		if (link_is_below(path, dir))
			return true;
	}
	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	fds = opendir(path);
	while (fds && !found && (e = readdir(fds))) {
		snprintf(path, sizeof(path), "/proc/%s/fd/%s", pid, e->d_name);
		found = link_is_below(path, dir);
	}
	if (fds)
		closedir(fds);
	return found;
}

static void name_of(const char *pid, char *out, size_t size)
{
	char path[PATH_MAX];
	cleanup_file FILE *f = NULL;

	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	f = fopen(path, "re");
	if (!f || !fgets(out, (int)size, f))
		snprintf(out, size, "?\n");
	out[strcspn(out, "\n")] = '\0';
}

void volume_users(const char *dir, char *out, size_t size)
{
	DIR *proc = opendir("/proc");
	unsigned int n = 0;
	size_t used = 0;
	const struct dirent *e;
	char name[64];

	out[0] = '\0';
	while (proc && (e = readdir(proc))) {
		if (e->d_name[0] < '1' || e->d_name[0] > '9' || !uses(e->d_name, dir))
			continue;
		if (n++ >= NAMED_MAX)
			continue;
		name_of(e->d_name, name, sizeof(name));
		used += (size_t)snprintf(out + used, size - used, "%s%s (%s)", n > 1 ? ", " : "", name, e->d_name);
		if (used >= size)
			used = size - 1;
	}
	if (n > NAMED_MAX)
		snprintf(out + used, size - used, ", %u more", n - NAMED_MAX);
	if (proc)
		closedir(proc);
}

static bool is_csvfs_at(const char *pid, const char *dir)
{
	char path[PATH_MAX], line[LINE_SIZE];
	cleanup_file FILE *f = NULL;
	const char *program, *last = line;
	size_t n;

	snprintf(path, sizeof(path), "/proc/%s/cmdline", pid);
	f = fopen(path, "re");
	n = f ? fread(line, 1, sizeof(line) - 1, f) : 0;
	line[n] = '\0';
	program = strrchr(line, '/');
	program = program ? program + 1 : line;
	for (const char *p = line; p < line + n; p += strlen(p) + 1)
		last = p;
	return n && !strcmp(program, "csvfs") && !strcmp(last, dir);
}

bool volume_served(const char *dir)
{
	DIR *proc = opendir("/proc");
	const struct dirent *e;
	bool found = false;

	while (proc && !found && (e = readdir(proc)))
		found = e->d_name[0] >= '1' && e->d_name[0] <= '9' && is_csvfs_at(e->d_name, dir);
	if (proc)
		closedir(proc);
	return found;
}

bool volume_device_held(const char *device)
{
	char line[LINE_SIZE], file[64], at[64];
	cleanup_file FILE *f = NULL;
	struct stat st;
	bool held = false;

	if (stat(device, &st))
		return false;
	snprintf(file, sizeof(file), "%02x:%02x:%lu", major(st.st_dev), minor(st.st_dev), (unsigned long)st.st_ino);
	f = fopen("/proc/locks", "re");
	/* proc_locks(5): number, kind, ADVISORY, READ or WRITE, process (-1: none), file, from, to; "->" before who waits. */
	while (f && !held && fgets(line, sizeof(line), f))
		held = sscanf(line, "%*s OFDLCK %*s WRITE %*s %63s", at) == 1 && !strcmp(at, file);
	return !f || held;
}
