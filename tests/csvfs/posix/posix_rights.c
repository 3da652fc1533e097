/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Permissions, ownership, sticky and set-id bits, access control lists, extended attributes. */
#include <dirent.h>
#include <endian.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "tests/csvfs/posix/posix.h"

static const struct {
	const char *name;
	uid_t uid;
	gid_t gid, second;
} users[] = { { "owner", UID_OWNER, GID_OWNER, GID_SECOND },
	      { "member", UID_MEMBER, GID_OTHER, GID_OWNER },
	      { "other", UID_OTHER, GID_OTHER, 0 },
	      { "root", 0, 0, 0 } };
#define N_USERS 4
static const mode_t modes[] = { 0000, 0400, 0200, 0100, 0700, 0040, 0020, 0010,
				0070, 0004, 0002, 0001, 0007, 0077, 0707, 0755 };
#define N_MODES (sizeof(modes) / sizeof(modes[0]))

static void as(size_t user, void (*fn)(void *), void *arg)
{
	as_user(users[user].uid, users[user].gid, users[user].second, fn, arg);
}

static void own(const char *name, mode_t mode)
{
	need(!chown(name, UID_OWNER, GID_OWNER) && !chmod(name, mode), name);
}

static void use_file(void *arg)
{
	struct timespec now[2] = { { 0, UTIME_NOW }, { 0, UTIME_NOW } }, set[2] = { { 5, 0 }, { 6, 0 } };

	(void)arg;
	T(access("f", R_OK));
	T(access("f", W_OK));
	T(access("f", X_OK));
	F(open("f", O_RDONLY));
	F(open("f", O_WRONLY));
	F(open("f", O_RDWR | O_APPEND));
	F(open("f", O_RDONLY | O_TRUNC));
	T(truncate("f", 3));
	T(utimensat(AT_FDCWD, "f", now, 0));
	T(utimensat(AT_FDCWD, "f", set, 0));
	T(setxattr("f", "user.a", "1", 1, 0));
	char v[8];

	T(getxattr("f", "user.a", v, sizeof(v)));
	T(link("f", "g"));
	if (!fork()) {
		execl("./f", "f", (char *)NULL);
		_exit(errno);
	}
	int status;

	wait(&status);
	say("exec = %d", WEXITSTATUS(status));
	T(chmod("f", 0640));
	T(chown("f", (uid_t)-1, GID_SECOND));
	T(chown("f", UID_OTHER, (gid_t)-1));
	say_stat("f");
}

GROUP(file_rights)
{
	for (size_t m = 0; m < N_MODES; m++)
		for (size_t u = 0; u < N_USERS; u++) {
			sub("%04o_%s", modes[m], users[u].name);
			need(!chmod(".", 0777), "chmod");
			make_file("f", 10, 0600);
			need(!truncate("f", 0), "truncate");
			own("f", modes[m]);
			as(u, use_file, NULL);
		}
}

static void use_directory(void *arg)
{
	(void)arg;
	say("opendir = %s", opendir("d") ? "ok" : strerrorname_np(errno));
	T(access("d/f", F_OK));
	T(chdir("d"));
	T(close(open("d/new", O_CREAT | O_RDWR, 0644)));
	T(mkdir("d/newdir", 0755));
	T(symlink("x", "d/newlink"));
	T(rename("d/f", "d/f2"));
	T(unlink("d/f2"));
	T(rmdir("d/sub"));
	T(rmdir("d"));
}

GROUP(directory_rights)
{
	for (size_t m = 0; m < N_MODES; m += 2)
		for (size_t u = 0; u < N_USERS; u++) {
			sub("%04o_%s", modes[m], users[u].name);
			make_dir("d", 0755);
			make_file("d/f", 10, 0644);
			make_dir("d/sub", 0755);
			own("d/sub", 0755);
			own("d", modes[m]);
			as(u, use_directory, NULL);
			say_stat("d/new");
			say_stat("d/newdir");
			say_stat("d/newlink");
		}
}

static void use_sticky(void *arg)
{
	(void)arg;
	T(rename("s/mine", "s/mine2"));
	T(rename("s/theirs", "s/mine"));
	T(unlink("s/theirs"));
	T(unlink("s/mine"));
	T(rmdir("s/dir"));
	T(rename("s/roots", "s/x"));
	T(renameat2(AT_FDCWD, "s/mine2", AT_FDCWD, "s/theirs", 2));
}

GROUP(sticky)
{
	for (size_t u = 0; u < N_USERS; u++)
		for (int dir_owner = 0; dir_owner < 2; dir_owner++) {
			sub("%s_in_directory_of_%s", users[u].name, dir_owner ? "root" : "owner");
			make_dir("s", 0755);
			make_file("s/mine", 1, 0666);
			make_file("s/theirs", 2, 0666);
			make_file("s/roots", 3, 0666);
			make_dir("s/dir", 0777);
			need(!chown("s/mine", users[u].uid, users[u].gid) &&
				     !chown("s/theirs", UID_OTHER + 1, GID_OTHER),
			     "chown");
			need(!chown("s/dir", UID_OTHER + 1, GID_OTHER), "chown");
			need(!chown("s", dir_owner ? 0 : UID_OWNER, 0) && !chmod("s", 01777), "chmod");
			as(u, use_sticky, NULL);
		}
}

static void set_id_write(void *arg)
{
	int fd = open("f", O_WRONLY);

	(void)arg;
	T(pwrite(fd, "x", 1, 0));
	say_stat("f");
}
static void set_id_truncate(void *arg)
{
	(void)arg;
	T(truncate("f", 2));
	say_stat("f");
}
static void set_id_chmod(void *arg)
{
	(void)arg;
	T(chmod("f", 06755));
	say_stat("f");
	T(chmod("f", 02755));
	say_stat("f");
}
static void set_id_chown(void *arg)
{
	(void)arg;
	T(chown("f", (uid_t)-1, GID_SECOND));
	say_stat("f");
	T(chown("f", (uid_t)-1, (gid_t)-1));
	T(chown("f", UID_OWNER, (gid_t)-1));
	T(chown("f", (uid_t)-1, GID_OTHER));
	T(chown("f", 0, (gid_t)-1));
}
static void set_id_fallocate(void *arg)
{
	int fd = open("f", O_WRONLY);

	(void)arg;
	T(fallocate(fd, 0, 0, 10000));
	say_stat("f");
}

GROUP(set_id)
{
	static const struct {
		const char *name;
		void (*fn)(void *);
	} what[] = { { "write", set_id_write },
		     { "truncate", set_id_truncate },
		     { "chmod", set_id_chmod },
		     { "chown", set_id_chown },
		     { "fallocate", set_id_fallocate } };
	static const mode_t bits[] = { 06777, 04755, 02755, 02644, 06666 };

	for (size_t w = 0; w < 5; w++)
		for (size_t b = 0; b < 5; b++)
			for (size_t u = 0; u < N_USERS; u += 3) {
				sub("%s_%04o_%s", what[w].name, bits[b], users[u].name);
				make_file("f", 10, 0600);
				own("f", bits[b]);
				as(u, what[w].fn, NULL);
			}
	sub("write_by_another");
	make_file("f", 10, 0600);
	own("f", 06777);
	as(2, set_id_write, NULL);
	sub("root_chown");
	make_file("f", 10, 0600);
	own("f", 06755);
	T(chown("f", UID_OTHER, GID_OTHER));
	say_stat("f");
	own("f", 02644);
	T(chown("f", UID_OTHER, GID_OTHER));
	say_stat("f");
	make_dir("d", 0755);
	own("d", 06755);
	T(chown("d", UID_OTHER, GID_OTHER));
	say_stat("d");
	sub("directory_group");
	make_dir("d", 0755);
	need(!chown("d", 0, GID_SECOND) && !chmod("d", 02777), "d");
	T(close(open("d/f", O_CREAT | O_RDWR, 0644)));
	T(mkdir("d/e", 0755));
	T(symlink("x", "d/l"));
	T(mkfifo("d/p", 0644));
	T(close(open("d/g", O_CREAT | O_RDWR, 02755)));
	say_stat("d/f");
	say_stat("d/e");
	say_stat("d/l");
	say_stat("d/p");
	say_stat("d/g");
	T(mkdir("d/e/ee", 0755));
	say_stat("d/e/ee");
	sub("lchown");
	make_file("f", 1, 0644);
	T(symlink("f", "l"));
	T(lchown("l", UID_OWNER, GID_OWNER));
	say_stat("l");
	say_stat("f");
	T(chown("l", UID_OTHER, GID_OTHER));
	say_stat("l");
	say_stat("f");
	sub("fchmod_fchown");
	make_file("f", 1, 0644);
	int fd = F(open("f", O_RDONLY));

	T(fchmod(fd, 0600));
	T(fchown(fd, UID_OWNER, GID_OWNER));
	say_stat("f");
	T(fchmodat(AT_FDCWD, "f", 01777, 0));
	say_stat("f");
	close(fd);
	T(chmod("no", 0600));
	T(chown("no", 0, 0));
}

/* --- access control lists, as the kernel's own extended attribute has them --- */

struct acl {
	uint32_t version;
	struct {
		uint16_t tag, perm;
		uint32_t id;
	} e[8];
	size_t n;
};
enum { ACL_USER_OBJ = 1, ACL_USER = 2, ACL_GROUP_OBJ = 4, ACL_GROUP = 8, ACL_MASK = 16, ACL_OTHER = 32 };
#define NO_ID UINT32_MAX

static void acl_add(struct acl *a, unsigned tag, uint32_t id, unsigned perm)
{
	a->version = htole32(2);
	a->e[a->n].tag = htole16((uint16_t)tag);
	a->e[a->n].perm = htole16((uint16_t)perm);
	a->e[a->n++].id = htole32(id);
}

static struct acl acl_of(unsigned user, unsigned named, unsigned group, unsigned mask, unsigned other)
{
	struct acl a = { .n = 0 };

	acl_add(&a, ACL_USER_OBJ, NO_ID, user);
	acl_add(&a, ACL_USER, UID_OTHER, named);
	acl_add(&a, ACL_GROUP_OBJ, NO_ID, group);
	acl_add(&a, ACL_MASK, NO_ID, mask);
	acl_add(&a, ACL_OTHER, NO_ID, other);
	return a;
}

static size_t acl_size(const struct acl *a)
{
	return 4 + 8 * a->n;
}

static void say_acl(const char *name, const char *kind)
{
	char attr[64];
	struct acl a = { .n = 0 };

	snprintf(attr, sizeof(attr), "system.posix_acl_%s", kind);
	ssize_t n = getxattr(name, attr, &a, 4 + sizeof(a.e));

	if (n < 0) {
		say("%s acl of %s = %s", kind, name, strerrorname_np(errno));
		return;
	}
	for (size_t i = 0; i < ((size_t)n - 4) / 8; i++)
		say("%s acl of %s: tag %u id %d perm %u", kind, name, le16toh(a.e[i].tag), (int)le32toh(a.e[i].id),
		    le16toh(a.e[i].perm));
}

static void try_access(void *arg)
{
	(void)arg;
	TT("read", access("f", R_OK));
	TT("write", access("f", W_OK));
	F(open("f", O_RDONLY));
	F(open("f", O_RDWR));
	struct acl a = acl_of(6, 7, 6, 7, 0);

	TT("set", setxattr("f", "system.posix_acl_access", &a, acl_size(&a), 0));
}

GROUP(access_lists)
{
	struct acl a;

	for (unsigned named = 0; named < 8; named += 2)
		for (unsigned mask = 0; mask < 8; mask += 3) {
			sub("named_%u_mask_%u", named, mask);
			make_file("f", 1, 0644);
			own("f", 0640);
			a = acl_of(6, named, 4, mask, 0);
			TT("set", setxattr("f", "system.posix_acl_access", &a, acl_size(&a), 0));
			say_stat("f");
			say_acl("f", "access");
			for (size_t u = 0; u < N_USERS; u++) {
				say("%s", users[u].name);
				as(u, try_access, NULL);
			}
		}
	sub("chmod_changes_the_mask");
	make_file("f", 1, 0644);
	a = acl_of(6, 6, 4, 6, 0);
	TT("set", setxattr("f", "system.posix_acl_access", &a, acl_size(&a), 0));
	T(chmod("f", 0611));
	say_acl("f", "access");
	say_stat("f");
	TT("remove", removexattr("f", "system.posix_acl_access"));
	say_acl("f", "access");
	say_stat("f");
	static const unsigned masks[] = { 0, 022, 077, 0777 };

	for (size_t i = 0; i < 4; i++) {
		sub("default_umask_%o", masks[i]);
		make_dir("d", 0755);
		a = acl_of(7, 5, 5, 7, 1);
		TT("set", setxattr("d", "system.posix_acl_default", &a, acl_size(&a), 0));
		say_stat("d");
		umask(masks[i]);
		T(close(open("d/f", O_CREAT | O_RDWR, 0666)));
		T(mkdir("d/e", 0770));
		T(mkfifo("d/p", 0640));
		T(symlink("x", "d/l"));
		umask(022);
		say_stat("d/f");
		say_acl("d/f", "access");
		say_stat("d/e");
		say_acl("d/e", "access");
		say_acl("d/e", "default");
		say_stat("d/p");
		T(mkdir("d/e/deep", 0777));
		say_acl("d/e/deep", "default");
	}
	sub("errors");
	make_file("f", 1, 0644);
	make_dir("d", 0755);
	a = acl_of(7, 5, 5, 7, 1);
	TT("default of a file", setxattr("f", "system.posix_acl_default", &a, acl_size(&a), 0));
	a.version = 0;
	TT("bad version", setxattr("d", "system.posix_acl_access", &a, acl_size(&a), 0));
	a = acl_of(7, 5, 5, 7, 1);
	TT("bad size", setxattr("d", "system.posix_acl_access", &a, acl_size(&a) - 1, 0));
	a.e[0].tag = htole16(64);
	TT("bad tag", setxattr("d", "system.posix_acl_access", &a, acl_size(&a), 0));
	a = (struct acl){ .n = 0 };
	acl_add(&a, ACL_USER_OBJ, NO_ID, 6);
	acl_add(&a, ACL_GROUP_OBJ, NO_ID, 4);
	acl_add(&a, ACL_OTHER, NO_ID, 2);
	TT("minimal", setxattr("f", "system.posix_acl_access", &a, acl_size(&a), 0));
	say_stat("f");
	say_acl("f", "access");
}

/* --- extended attributes --- */

static void xattr_user(void *arg)
{
	char v[16];

	(void)arg;
	T(setxattr("f", "user.x", "1", 1, 0));
	T(setxattr("f", "trusted.x", "1", 1, 0));
	T(getxattr("f", "trusted.r", v, sizeof(v)));
	T(listxattr("f", NULL, 0));
	T(setxattr("s", "user.x", "1", 1, 0));
	T(removexattr("f", "user.r"));
}

GROUP(attributes)
{
	static char big[70000], got[70000];
	char name[300];

	sub("basic");
	make_file("f", 1, 0644);
	T(setxattr("f", "user.a", "hello", 5, 0));
	T(getxattr("f", "user.a", got, sizeof(got)));
	T(getxattr("f", "user.a", got, 0));
	T(getxattr("f", "user.a", got, 4));
	T(getxattr("f", "user.b", got, sizeof(got)));
	T(setxattr("f", "user.a", "x", 1, XATTR_CREATE));
	T(setxattr("f", "user.b", "x", 1, XATTR_REPLACE));
	T(setxattr("f", "user.a", "xy", 2, XATTR_REPLACE));
	T(setxattr("f", "user.c", "", 0, XATTR_CREATE));
	T(setxattr("f", "user.c", "", 0, XATTR_CREATE | XATTR_REPLACE));
	T(getxattr("f", "user.c", got, sizeof(got)));
	T(listxattr("f", got, sizeof(got)));
	T(listxattr("f", got, 3));
	T(removexattr("f", "user.a"));
	T(removexattr("f", "user.a"));
	T(listxattr("f", got, sizeof(got)));
	say_stat("f");
	static const char *const bad[] = {
		"", "user", "user.", "nothing.x", "system.x", "trusted.x", "security.x", ".x"
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		sub("name_%zu", i);
		make_file("f", 1, 0644);
		TT("set", setxattr("f", bad[i], "1", 1, 0));
		TT("get", getxattr("f", bad[i], got, sizeof(got)));
		TT("remove", removexattr("f", bad[i]));
	}
	static const int lengths[] = { 200, 249, 250, 251, 255, 256 };

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		sub("name_length_%d", lengths[i]);
		make_file("f", 1, 0644);
		memset(name, 'n', sizeof(name));
		memcpy(name, "user.", 5);
		name[lengths[i]] = 0;
		TT("set", setxattr("f", name, "1", 1, 0));
		TT("get", getxattr("f", name, got, sizeof(got)));
		TT("list", listxattr("f", got, sizeof(got)));
	}
	static const int sizes[] = { 100, 1000, 3000, 5000, 65536, 65537 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		sub("value_%d", sizes[i]);
		make_file("f", 1, 0644);
		fill(big, sizeof(big), (unsigned)i);
		TT("set", setxattr("f", "user.big", big, (size_t)sizes[i], 0));
		long n = TT("get", getxattr("f", "user.big", got, sizeof(got)));

		say("same: %d", n == sizes[i] && !memcmp(big, got, (size_t)n));
	}
	sub("kinds_of_files");
	make_dir("d", 0755);
	T(symlink("d", "l"));
	T(mkfifo("p", 0644));
	T(setxattr("d", "user.x", "1", 1, 0));
	T(lsetxattr("l", "user.x", "1", 1, 0));
	T(lsetxattr("l", "trusted.x", "1", 1, 0));
	T(setxattr("p", "user.x", "1", 1, 0));
	T(setxattr("p", "trusted.x", "1", 1, 0));
	T(setxattr("no", "user.x", "1", 1, 0));
	T(llistxattr("l", got, sizeof(got)));
	for (size_t u = 0; u < N_USERS; u++) {
		sub("by_%s", users[u].name);
		make_file("f", 1, 0644);
		own("f", 0644);
		make_dir("s", 0755);
		own("s", 01777);
		need(!setxattr("f", "trusted.r", "1", 1, 0) && !setxattr("f", "user.r", "1", 1, 0), "setxattr");
		as(u, xattr_user, NULL);
	}
	sub("by_descriptor");
	make_file("f", 1, 0644);
	int fd = F(open("f", O_RDONLY));

	T(fsetxattr(fd, "user.x", "12", 2, 0));
	T(fgetxattr(fd, "user.x", got, sizeof(got)));
	T(flistxattr(fd, got, sizeof(got)));
	T(unlink("f"));
	T(fgetxattr(fd, "user.x", got, sizeof(got)));
	T(fremovexattr(fd, "user.x"));
	close(fd);
	sub("many");
	make_file("f", 1, 0644);
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "user.n%02d", i);
		need(!setxattr("f", name, name, strlen(name), 0), name);
	}
	T(listxattr("f", got, sizeof(got)));
}
