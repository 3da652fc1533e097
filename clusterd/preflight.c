/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the options name, looked for on this machine. */
#include "clusterd/preflight.h"

#include <errno.h>
#include <grp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "text.h"

struct preflight {
	void (*tell)(void *user, const char *text);
	void *user;
	unsigned int missing;
};

__attribute__((format(printf, 2, 3))) static void missing(struct preflight *p, const char *format, ...)
{
	char text[2 * OPTIONS_PATH_SIZE];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	p->missing++;
	p->tell(p->user, text);
}

static void look_for_command(struct preflight *p, const char *command)
{
	char program[OPTIONS_PATH_SIZE];
	struct stat st;

	if (!*command)
		return;
	text_copy_n(program, sizeof(program), command, strcspn(command, " \t"));
	if (stat(program, &st))
		missing(p, "fence_command = %s: %s: %s; no node could be fenced by it", command, program, strerror(errno));
	else if (!S_ISREG(st.st_mode) || access(program, X_OK))
		missing(p, "fence_command = %s: %s: is no program that can be run; no node could be fenced by it", command,
			program);
}

static void look_for_watchdog(struct preflight *p, const char *path)
{
	struct stat st;

	if (*path && stat(path, &st))
		missing(p, "watchdog = %s: %s; without one a hung node is not reset, and its roles wait for a fence command or an "
			   "administrator ('modprobe softdog' makes one in software)",
			path, strerror(errno));
}

static void look_for_group(struct preflight *p, const char *key, const char *group)
{
	errno = 0;
	if (*group && !getgrnam(group))
		missing(p, "%s = %s: there is no such group; nobody but root has its rights ('groupadd --system %s' makes it)", key,
			group, group);
}

static void look_for_directory(struct preflight *p, const char *key, const char *path, bool of_file)
{
	char directory[OPTIONS_PATH_SIZE], *slash;
	struct stat st;

	if (!*path)
		return;
	text_copy(directory, sizeof(directory), path);
	slash = of_file ? strrchr(directory, '/') : NULL;
	if (slash && slash != directory)
		*slash = '\0';
	if (!stat(directory, &st) && !S_ISDIR(st.st_mode))
		missing(p, "%s = %s: %s is not a directory", key, path, directory);
}

unsigned int preflight(const struct options *o, bool groups, void (*tell)(void *user, const char *text), void *user)
{
	struct preflight p = { .tell = tell, .user = user };

	look_for_command(&p, o->fence_command);
	look_for_watchdog(&p, o->watchdog);
	if (groups) {
		look_for_group(&p, "admin_group", o->admin_group);
		look_for_group(&p, "reader_group", o->reader_group);
	}
	look_for_directory(&p, "state_dir", o->state_dir, false);
	look_for_directory(&p, "log_file", o->log_file, true);
	return p.missing;
}
