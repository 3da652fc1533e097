/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rights of a thread. By raw system calls: glibc's set*id() change all threads of the process.
 */
#include "csvfs/owner/rights.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RESOURCE_BIT (1u << CAP_SYS_RESOURCE)

static __thread uint32_t acts_uid, acts_gid; /* 0: root, as threads begin */
static __thread bool is_stripped;	     /* of its effective capabilities */
static __thread bool has_groups = true;	     /* supplementary ones, or not known: a thread has its creator's */

static int get_capabilities(struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3])
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };

	return syscall(SYS_capget, &header, data) ? -errno : 0;
}

static int set_capabilities(const struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3])
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };

	return syscall(SYS_capset, &header, data) ? -errno : 0;
}

/*
 * setfsuid(2) takes the capabilities over files from a thread only: with the others a user could set trusted and security
 * attributes, or lock more than he may. All of the permitted ones become effective again when the thread is itself.
 */
static int strip(bool on)
{
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	int ret;

	if (on == is_stripped)
		return 0;
	ret = get_capabilities(data);
	if (ret)
		return ret;
	for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
		data[i].effective = on ? 0 : data[i].permitted;
	data[0].effective &= ~RESOURCE_BIT;
	ret = set_capabilities(data);
	if (!ret)
		is_stripped = on;
	return ret;
}

int rights_restrict(void)
{
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	int ret = get_capabilities(data);

	if (ret)
		return ret;
	data[0].effective &= ~RESOURCE_BIT;
	data[0].inheritable &= ~RESOURCE_BIT;
	return set_capabilities(data);
}

int rights_resize(bool on)
{
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	int ret = get_capabilities(data);

	if (ret)
		return ret;
	data[0].effective &= ~RESOURCE_BIT;
	if (on)
		data[0].effective |= RESOURCE_BIT;
	return set_capabilities(data);
}

int rights_thread(void)
{
	if (unshare(CLONE_FS))
		return -errno;
	umask(0);
	return 0;
}

/* setfsuid(2) does not say whether it failed: asking with an impossible id tells who one is. */
static int set_user(uint32_t uid, uint32_t gid)
{
	if (gid != acts_gid) {
		syscall(SYS_setfsgid, gid);
		if ((uint32_t)syscall(SYS_setfsgid, -1) != gid)
			return -EPERM;
		acts_gid = gid;
	}
	if (uid != acts_uid) {
		syscall(SYS_setfsuid, uid);
		if ((uint32_t)syscall(SYS_setfsuid, -1) != uid)
			return -EPERM;
		acts_uid = uid;
	}
	return 0;
}

static int set_groups(uint32_t n, const uint32_t *groups)
{
	if (!n && !has_groups)
		return 0;
	has_groups = true;
	if (syscall(SYS_setgroups, (size_t)n, groups))
		return -errno;
	has_groups = n;
	return 0;
}

int rights_take(const struct vol_cred *c)
{
	int ret;

	if (!c)
		return 0;
	ret = set_groups(c->n_groups, c->groups);
	if (ret)
		return ret;
	umask(c->umask & 0777);
	ret = set_user(c->uid, c->gid);
	if (!ret && c->uid)
		ret = strip(true);
	if (ret)
		rights_drop();
	return ret;
}

void rights_drop(void)
{
	/* A thread that kept a user's rights would do the next one's work with them, or with too many: better none at
	 * all. */
	if (strip(false) || ((acts_uid || acts_gid) && set_user(0, 0)) || set_groups(0, NULL))
		_exit(1);
	umask(0);
}
