/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Programs of others, and a mount that nobody else sees. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "csvfs/admin/admin.h"

#define SAFE_PATH "/usr/sbin:/usr/bin:/sbin:/bin"
#define MOUNT_POINT "/proc" /* any directory that is always there: it is covered in our own namespace only */

static int wait_exit(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : -EINTR;
}

/* In plain English, from the directories of the system alone. */
static char *const program_environment[] = { (char *)"PATH=" SAFE_PATH, (char *)"LC_ALL=C", NULL };

/* posix_spawnp() looks in the caller's PATH. */
static int find_program(const char *name, char *out, size_t size)
{
	for (const char *p = SAFE_PATH; *p;) {
		size_t n = strcspn(p, ":");

		snprintf(out, size, "%.*s/%s", (int)n, p, name);
		if (!access(out, X_OK))
			return 0;
		p += n + (p[n] == ':');
	}
	return -ENOENT;
}

int run_program(const char *const argv[])
{
	posix_spawn_file_actions_t actions;
	char path[256];
	pid_t pid;
	int r = find_program(argv[0], path, sizeof(path));

	if (r < 0)
		return r;
	if (posix_spawn_file_actions_init(&actions))
		return -ENOMEM;
	/* Standard output is the result's, perhaps JSON. */
	r = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (!r)
		r = posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
	if (!r)
		r = posix_spawn(&pid, path, &actions, NULL, (char *const *)argv, program_environment);
	posix_spawn_file_actions_destroy(&actions);
	return r ? -r : wait_exit(pid);
}

/* In the child: an errno. */
static int mounted_child(const struct admin_volume *v, run_mounted_fn *fn, const void *data)
{
	char quota[SUPERBLOCK_QUOTA_SIZE];
	int root, r = 0;

	superblock_quota_options(&v->super, quota);
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount(v->path, MOUNT_POINT, superblock_kind_text(v->super.kind), MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME,
		  *quota ? quota + 1 : NULL) < 0)
		return errno;
	root = open(MOUNT_POINT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return errno;
	if (fn)
		r = fn(root, data);
	if (!r && syncfs(root) < 0)
		r = -errno;
	close(root);
	if (umount(MOUNT_POINT) < 0 && !r)
		r = -errno;
	return -r;
}

int run_mounted(const struct admin_volume *v, run_mounted_fn *fn, const void *data)
{
	int r = device_drop_cache(&v->device);
	pid_t pid;

	if (r < 0)
		return r;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid)
		_exit(mounted_child(v, fn, data) & 0xff);
	r = wait_exit(pid);
	if (r > 0)
		return -r;
	/* What the mount has read must not be what others read later; and it must be gone. */
	if (!r)
		r = device_is_free(v->path);
	return r < 0 ? r : device_drop_cache(&v->device);
}
