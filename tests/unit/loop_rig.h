/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Real block devices for a test: loop devices over files without a name, in a mount namespace of the test's own. The
 * kernel takes all of it away when the test ends, however it ends.
 */
#ifndef TESTS_UNIT_LOOP_RIG_H
#define TESTS_UNIT_LOOP_RIG_H

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/check.h"

#define MIB ((uint64_t)1 << 20)
#define LOOP_TRIES 100 /* others take free loop devices too */

struct loop {
	int fd, file;
	char path[32];
};

static inline void rig_skip(const char *why)
{
	printf("%s\n", why);
	exit(check_failed ? check_result() : CHECK_SKIP);
}

static inline void loop_rig_start(void)
{
	if (geteuid() != 0 || access("/dev/loop-control", R_OK | W_OK) < 0)
		rig_skip("needs root and loop devices");
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		rig_skip("needs a mount namespace of its own");
}

/* One more device over the same file, as if another node saw it; `flags`: LO_FLAGS_*. */
static inline struct loop loop_again(int file, uint32_t sector, uint32_t flags)
{
	struct loop_config config = { .fd = (uint32_t)file, .block_size = sector };
	struct loop l = { .fd = -1, .file = dup(file) };
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);

	REQUIRE(control >= 0 && l.file >= 0);
	config.info.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO | flags;
	for (int i = 0; i < LOOP_TRIES && l.fd < 0; i++) {
		int n = ioctl(control, LOOP_CTL_GET_FREE);

		REQUIRE(n >= 0);
		snprintf(l.path, sizeof(l.path), "/dev/loop%d", n);
		l.fd = open(l.path, (flags & LO_FLAGS_READ_ONLY ? O_RDONLY : O_RDWR) | O_CLOEXEC);
		if (l.fd >= 0 && ioctl(l.fd, LOOP_CONFIGURE, &config) < 0) {
			close(l.fd);
			l.fd = -1;
		}
	}
	REQUIRE(l.fd >= 0);
	close(control);
	return l;
}

static inline struct loop loop_new(uint64_t size, uint32_t sector)
{
	const char *top = getenv("TMPDIR");
	int file = open(top ? top : "/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	struct loop l;

	REQUIRE(file >= 0 && !ftruncate(file, (off_t)size));
	l = loop_again(file, sector, 0);
	close(file);
	return l;
}

static inline void loop_resize(struct loop *l, uint64_t size)
{
	REQUIRE(!ftruncate(l->file, (off_t)size));
	REQUIRE(!ioctl(l->fd, LOOP_SET_CAPACITY));
}

static inline void loop_free(struct loop *l)
{
	close(l->fd);
	close(l->file);
}

/* A command of the shell, its words quoted as they must be. Its exit code. */
__attribute__((format(printf, 1, 2))) static inline int rig_run(const char *format, ...)
{
	char command[1024];
	va_list args;
	int r;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	r = system(command);
	return r < 0 ? r : WEXITSTATUS(r);
}

/* A directory that is on nothing else than this namespace's own tmpfs. */
static inline void rig_mount_point(const char *path)
{
	static int made;

	if (!made++)
		REQUIRE(!mount("rig", "/mnt", "tmpfs", 0, NULL));
	REQUIRE(!mkdir(path, 0700) || errno == EEXIST);
}

#endif
