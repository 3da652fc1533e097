/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Mounting a volume for this process alone.
 *
 * The tree of mounts becomes a slave (others' unmounts reach us, so that we keep nothing of theirs busy; ours reach
 * nobody), the mount point is private. A copy of this namespace would keep the superblock alive after umount: release
 * is proven by an exclusive open of the device, not by umount's return.
 */
#include "csvfs/owner/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"

#define GOINGDOWN_IOCTL 0x8004587dul /* EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN are the same */
#define GOINGDOWN_NOLOGFLUSH 2u
#define POLL_MS 20

static int refuse(int code, char *error, size_t size, const char *format, ...) __attribute__((format(printf, 4, 5)));
static int refuse(int code, char *error, size_t size, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, size, format, args);
	va_end(args);
	return code;
}

static void sleep_ms(unsigned int ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };

	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

/* --- what the superblock says, before the kernel is asked --- */

static int check_super(struct volume_mount *m, char *error, size_t size)
{
	struct superblock super;
	const char *unfit;
	int ret = superblock_read(&m->device, &super);

	if (ret)
		return refuse(ret, error, size, "its superblock cannot be read: %s", strerror(-ret));
	m->xfs = super.kind == SUPERBLOCK_XFS;
	superblock_quota_options(&super, m->quota);
	unfit = trailer_unfit(&m->header, &super);
	return unfit ? refuse(-EINVAL, error, size, "its %s %s; see csvfs-admin check", m->header.filesystem, unfit) : 0;
}

/* --- barrier --- */

/*
 * A process that was killed leaves its superblock to the kernel, which unmounts it when the last reference is gone; a
 * mount before that would share the old superblock, or two of them would write.
 */
static int wait_free(const char *device, unsigned int ms)
{
	int ret;

	for (unsigned int waited = 0;; waited += POLL_MS) {
		ret = device_is_free(device);
		if (ret != -EBUSY || waited >= ms)
			return ret;
		sleep_ms(POLL_MS);
	}
}

/* A higher epoch is the cluster's word that whoever the record names has been fenced or has let go. */
static int judge_record(const struct volume_mount *m, const struct mount_options *o, struct trailer_owner *ret_found,
			bool *ret_damaged, char *error, size_t size)
{
	struct trailer_owner found = { 0 };
	int ret = trailer_read_owner(&m->trailer, &found);

	*ret_found = found;
	*ret_damaged = ret == -EBADMSG;
	if (ret == -EBADMSG && o->take_over)
		return 0;
	if (ret == -EBADMSG)
		return refuse(ret, error, size,
			      "its owner record is damaged; --take-over when surely no node has it mounted");
	if (ret)
		return refuse(ret, error, size, "its owner record cannot be read: %s", strerror(-ret));
	if (found.epoch >= o->epoch)
		return refuse(-ESTALE, error, size, "epoch %llu is over: node %u has had %llu",
			      (unsigned long long)o->epoch, found.node, (unsigned long long)found.epoch);
	if (found.state != OWNER_FREE && !found.node && !o->take_over)
		return refuse(-EBUSY, error, size, "csvfs-admin is at it, or was interrupted: see csvfs-admin(8)");
	return 0;
}

static int claim_record(struct volume_mount *m, const struct mount_options *o, char *error, size_t size)
{
	struct trailer_owner before, other = { 0 };
	uint64_t announced;
	bool damaged;
	int ret = judge_record(m, o, &before, &damaged, error, size);

	if (!ret && o->take_over && trailer_forget_claims(&m->trailer, &announced))
		ret = refuse(-EIO, error, size, "its claims cannot be read or written");
	if (ret)
		return ret;
	m->record = (struct trailer_owner){ .epoch = o->epoch,
					    .incarnation = o->incarnation,
					    .node = o->node,
					    .written_ms = clock_ms(CLOCK_REALTIME),
					    .state = OWNER_MOUNTING };
	while (!m->record.owner)
		if (getrandom(&m->record.owner, sizeof(m->record.owner), 0) < 0)
			return refuse(-errno, error, size, "no random number");
	ret = trailer_claim(&m->trailer, damaged ? NULL : &before, &m->record, 0, &other);
	if (!ret)
		return 0;
	m->record = (struct trailer_owner){ 0 };
	if (ret == -EBUSY)
		return refuse(ret, error, size, "node %u is mounting it at the same time, by epoch %llu", other.node,
			      (unsigned long long)other.epoch);
	return refuse(ret, error, size, "its owner record cannot be claimed: %s", strerror(-ret));
}

int mount_verify(const struct volume_mount *m)
{
	struct trailer_owner other;
	int ret = trailer_confirm(&m->trailer, &m->record, &other);

	return ret == -EBUSY ? -ESTALE : ret;
}

static int write_state(struct volume_mount *m, uint32_t state)
{
	m->record.state = state;
	m->record.written_ms = clock_ms(CLOCK_REALTIME);
	return trailer_write_owner(&m->trailer, &m->record);
}

/* --- mount --- */

static int make_private(const char *dir)
{
	if (mkdir(dir, 0700) && errno != EEXIST)
		return -errno;
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL))
		return -errno;
	if (mount(dir, dir, NULL, MS_BIND, NULL) || mount(NULL, dir, NULL, MS_PRIVATE, NULL))
		return -errno;
	return 0;
}

static int mount_filesystem(struct volume_mount *m, char *error, size_t size)
{
	const unsigned long flags = MS_NOATIME | MS_LAZYTIME | MS_NOSUID | MS_NODEV | MS_NOEXEC;
	const char *basic = m->xfs ? "nodiscard" : "data=ordered,barrier=1,errors=remount-ro,nodiscard";
	char data[80 + SUPERBLOCK_QUOTA_SIZE];
	struct statvfs s;

	snprintf(data, sizeof(data), "%s%s", basic, m->quota);
	if (mount(m->device_path, m->dir, m->header.filesystem, flags, data))
		return refuse(-errno, error, size, "mount: %s: see dmesg(1); %s", strerror(errno),
			      *m->quota ? "it has quotas: this node's kernel must know them (CONFIG_QFMT_V2, CONFIG_XFS_QUOTA)"
					: "csvfs-admin check --repair mends it");
	m->mounted = true;
	m->root_fd = open(m->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->root_fd < 0 || fstatvfs(m->root_fd, &s))
		return refuse(-errno, error, size, "its root directory: %s", strerror(errno));
	if (s.f_flag & ST_RDONLY)
		return refuse(-EROFS, error, size, "it can only be mounted read-only: csvfs-admin check --repair mends it");
	m->block = (uint32_t)s.f_bsize;
	return 0;
}

static int open_device(struct volume_mount *m, const struct mount_options *o, char *error, size_t size)
{
	int ret = device_open(&m->device, o->device, true);

	if (ret)
		return refuse(ret, error, size, "%s",
			      ret == -EROFS ? "the device is read-only; look at what exports it" : strerror(-ret));
	ret = trailer_find(&m->trailer, &m->device, &m->header, error, size);
	return ret ? ret : check_super(m, error, size);
}

static int take(struct volume_mount *m, const struct mount_options *o, char *error, size_t size)
{
	int ret = wait_free(o->device, MOUNT_RELEASE_MS);

	if (ret)
		return refuse(ret, error, size, "it is mounted or open exclusively on this node: %s", strerror(-ret));
	ret = claim_record(m, o, error, size);
	if (ret)
		return ret;
	ret = make_private(o->dir);
	if (ret)
		return refuse(ret, error, size, "private mount point %s: %s", o->dir, strerror(-ret));
	ret = device_drop_cache(&m->device);
	if (ret)
		return refuse(ret, error, size, "what the kernel has cached of it cannot be dropped: %s",
			      strerror(-ret));
	/* A higher epoch may have come since: after this look and before the mount is over, the look after it tells. */
	ret = mount_verify(m);
	if (ret)
		return refuse(ret, error, size, "another owner has come meanwhile: %s", strerror(-ret));
	ret = mount_filesystem(m, error, size);
	if (ret)
		return ret;
	/* Its journal is replayed now: the superblock tells where it ends. */
	ret = trailer_settle(&m->trailer, &m->header);
	if (ret)
		return refuse(ret, error, size, "trailers of before, behind its file system: %s", strerror(-ret));
	ret = write_state(m, OWNER_MOUNTED);
	if (!ret)
		ret = mount_verify(m);
	if (ret == -ESTALE)
		mount_shutdown(m);
	return ret ? refuse(ret, error, size, "its owner record cannot be written, or is another's: %s", strerror(-ret)) : 0;
}

int mount_open(struct volume_mount *m, const struct mount_options *o, char *error, size_t size)
{
	char text[300] = "", gone[200];
	int ret;

	memset(m, 0, sizeof(*m));
	m->root_fd = m->device.fd = -1;
	snprintf(m->device_path, sizeof(m->device_path), "%s", o->device);
	snprintf(m->dir, sizeof(m->dir), "%s", o->dir);
	ret = open_device(m, o, text, sizeof(text));
	if (!ret)
		ret = take(m, o, text, sizeof(text));
	if (!ret)
		return 0;
	snprintf(error, size, "volume %s: %s", o->device, text);
	if (m->record.owner)
		mount_close(m, gone, sizeof(gone));
	else if (m->device.fd >= 0)
		device_close(&m->device);
	return ret;
}

int mount_close(struct volume_mount *m, char *error, size_t size)
{
	int ret = 0;

	if (m->root_fd >= 0)
		close(m->root_fd);
	m->root_fd = -1;
	/* Not lazily: what still uses it is a mistake of ours that must be seen. */
	while (m->mounted && !ret && umount2(m->dir, UMOUNT_NOFOLLOW) && errno != EINVAL)
		ret = errno == EINTR ? 0 : -errno;
	m->mounted = ret != 0;
	if (ret)
		return refuse(ret, error, size, "volume %s: unmount: %s: it is NOT free", m->device_path,
			      strerror(-ret));
	ret = wait_free(m->device_path, MOUNT_RELEASE_MS);
	if (ret)
		return refuse(ret, error, size,
			      "volume %s: unmounted, but a copy of its superblock lives on (%s): it is NOT free",
			      m->device_path, strerror(-ret));
	ret = mount_verify(m);
	if (!ret)
		ret = write_state(m, OWNER_FREE);
	if (ret)
		refuse(ret, error, size, "volume %s: unmounted, but its owner record cannot be written free: %s",
		       m->device_path, strerror(-ret));
	device_close(&m->device);
	return ret;
}

void mount_shutdown(const struct volume_mount *m)
{
	uint32_t flags = GOINGDOWN_NOLOGFLUSH;

	if (m->root_fd >= 0)
		ioctl(m->root_fd, GOINGDOWN_IOCTL, &flags);
}
