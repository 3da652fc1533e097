/* SPDX-License-Identifier: GPL-2.0-or-later */
/* open(2): flags by what is there, creation, exclusion, truncation, unnamed files. */
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

#include "tests/csvfs/posix/posix.h"

#define SIZE 5000

static const char *const things[] = {
	"nothing",	   "file",	     "directory", "link_to_file", "link_to_directory",
	"link_to_nothing", "link_to_itself", "fifo",	  "socket",	  "device"
};
#define N_THINGS (sizeof(things) / sizeof(things[0]))

static void make_thing(const char *thing)
{
	if (!strcmp(thing, "file")) {
		make_file("x", SIZE, 0644);
	} else if (!strcmp(thing, "directory")) {
		make_dir("x", 0755);
	} else if (!strcmp(thing, "link_to_file")) {
		make_file("target", SIZE, 0644);
		need(!symlink("target", "x"), "symlink");
	} else if (!strcmp(thing, "link_to_directory")) {
		make_dir("target", 0755);
		need(!symlink("target", "x"), "symlink");
	} else if (!strcmp(thing, "link_to_nothing")) {
		need(!symlink("target", "x"), "symlink");
	} else if (!strcmp(thing, "link_to_itself")) {
		need(!symlink("x", "x"), "symlink");
	} else if (!strcmp(thing, "fifo")) {
		need(!mkfifo("x", 0644), "mkfifo");
	} else if (!strcmp(thing, "socket")) {
		need(!mknod("x", S_IFSOCK | 0644, 0), "mknod");
	} else if (!strcmp(thing, "device")) {
		need(!mknod("x", S_IFCHR | 0644, makedev(1, 3)), "mknod");
	}
}

GROUP(open_flags)
{
	static const struct {
		const char *name;
		int flags;
	} extra[] = {
		{ "plain", 0 },
		{ "creat", O_CREAT },
		{ "excl", O_CREAT | O_EXCL },
		{ "trunc", O_TRUNC },
		{ "creat_trunc", O_CREAT | O_TRUNC },
		{ "append", O_APPEND },
		{ "directory", O_DIRECTORY },
		{ "nofollow", O_NOFOLLOW },
		{ "creat_nofollow", O_CREAT | O_NOFOLLOW },
		{ "path", O_PATH },
		{ "path_nofollow", O_PATH | O_NOFOLLOW },
		{ "creat_directory", O_CREAT | O_DIRECTORY },
		{ "sync", O_SYNC },
		{ "noatime", O_NOATIME },
		{ "direct", O_DIRECT },
		{ "tmpfile", O_TMPFILE },
	};
	static const char *const modes[] = { "rdonly", "wronly", "rdwr" };

	for (size_t t = 0; t < N_THINGS; t++)
		for (size_t e = 0; e < sizeof(extra) / sizeof(extra[0]); e++) {
			sub("%s_%s", things[t], extra[e].name);
			make_thing(things[t]);
			for (int m = 0; m < 3; m++) {
				int fd =
					note_fd(modes[m], open("x", m | extra[e].flags | O_NONBLOCK | O_CLOEXEC, 0640));

				if (fd >= 0)
					close(fd);
			}
			say_stat("x");
			say_stat("target");
		}
}

GROUP(open_create)
{
	int fd, fd2;

	sub("modes");
	for (unsigned mode = 0; mode <= 07777; mode += 0111 * 5 + 3) {
		fd = open("m", O_CREAT | O_WRONLY | O_CLOEXEC, mode);
		say_stat("m");
		close(fd);
		unlink("m");
	}
	sub("mode_zero_is_still_open");
	fd = F(open("a", O_CREAT | O_EXCL | O_RDWR, 0));
	T(write(fd, "abc", 3));
	T(lseek(fd, 0, SEEK_SET));
	char buf[8];

	T(read(fd, buf, sizeof(buf)));
	close(fd);
	for (unsigned mask = 0; mask <= 0777; mask += 0133) {
		sub("umask_%o", mask);
		umask((mode_t)mask);
		fd = F(open("f", O_CREAT | O_WRONLY, 0666));
		close(fd);
		T(mkdir("d", 0777));
		T(mkfifo("p", 0666));
		say_stat("f");
		say_stat("d");
		say_stat("p");
	}
	sub("excl_twice");
	fd = F(open("a", O_CREAT | O_EXCL | O_RDWR, 0600));
	F(open("a", O_CREAT | O_EXCL | O_RDWR, 0600));
	close(fd);
	T(unlink("a"));
	fd = F(open("a", O_CREAT | O_EXCL | O_RDWR, 0600));
	close(fd);
	sub("write_only_cannot_read");
	fd = F(open("a", O_CREAT | O_WRONLY, 0600));
	T(write(fd, "abc", 3));
	T(pread(fd, buf, 3, 0));
	close(fd);
	fd = F(open("a", O_RDONLY));
	T(write(fd, "abc", 3));
	T(ftruncate(fd, 0));
	close(fd);
	sub("trunc_while_open");
	make_file("a", SIZE, 0644);
	fd = F(open("a", O_RDWR));
	fd2 = F(open("a", O_WRONLY | O_TRUNC));
	T(pread(fd, buf, 4, 0));
	T(pwrite(fd, "xyz", 3, 100));
	say_content_fd(fd);
	close(fd);
	close(fd2);
	sub("components");
	make_file("file", 1, 0644);
	make_dir("dir", 0755);
	F(open("file/x", O_RDONLY));
	F(open("file/", O_RDONLY));
	F(open("dir/", O_RDONLY));
	F(open("dir/.", O_RDONLY));
	F(open("dir/../file", O_RDONLY));
	F(open("nothing/x", O_CREAT | O_RDWR, 0600));
	F(open("new/", O_CREAT | O_RDWR, 0600));
	F(open("", O_RDONLY));
	F(open(".", O_RDWR));
	F(open(".", O_RDONLY));
}

GROUP(open_names)
{
	static const int lengths[] = { 1, 100, 143, 144, 254, 255, 256, 1000 };
	char name[1100], path[9000];
	int fd;

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		sub("length_%d", lengths[i]);
		memset(name, 'n', sizeof(name));
		name[lengths[i]] = 0;
		fd = note_fd("create", open(name, O_CREAT | O_RDWR | O_EXCL, 0600));
		close(fd);
		TT("access", access(name, F_OK));
		TT("rename", rename(name, "short"));
		TT("link", link("short", name));
		TT("unlink", unlink(name));
		TT("mkdir", mkdir(name, 0700));
		TT("rmdir", rmdir(name));
		TT("symlink", symlink("x", name));
		TT("mkfifo in its place", mkfifo(name, 0600));
	}
	sub("bytes");
	for (int c = 1; c < 256; c++) {
		if (c == '/')
			continue;
		char one[4] = { 'b', (char)c, 'e', 0 };

		fd = open(one, O_CREAT | O_EXCL | O_RDWR, 0600);
		if (fd < 0)
			say("byte %02x = %s", c, strerrorname_np(errno));
		close(fd);
	}
	F(open("b\x41"
	       "e",
	       O_RDONLY));
	F(open("b\xff"
	       "e",
	       O_RDONLY));
	sub("utf8_and_invalid");
	F(open("\xc3\xa4\xe2\x82\xac", O_CREAT | O_RDWR, 0600));
	F(open("\xc3\x28\xa0\xa1", O_CREAT | O_RDWR, 0600));
	F(open("name with space\tand\nmore", O_CREAT | O_RDWR, 0600));
	sub("path_4096");
	memset(path, 'd', sizeof(path));
	for (int i = 1; i < 4096; i += 2)
		path[i - 1] = '.', path[i] = '/';
	path[4095] = 0;
	note_fd("4095", open(path, O_RDONLY));
	path[4095] = '.', path[4096] = 0;
	note_fd("4096", open(path, O_RDONLY));
	sub("loops");
	T(symlink("b", "a"));
	T(symlink("a", "b"));
	F(open("a", O_RDONLY));
	make_file("end", 1, 0600);
	need(!symlink("end", "l0"), "symlink");
	for (int i = 1; i <= 41; i++) {
		char from[16], to[16];

		snprintf(to, sizeof(to), "l%d", i - 1);
		snprintf(from, sizeof(from), "l%d", i);
		need(!symlink(to, from), "symlink");
	}
	F(open("l38", O_RDONLY));
	F(open("l39", O_RDONLY));
	F(open("l40", O_RDONLY));
	F(open("l41", O_RDONLY));
	sub("deep");
	for (int i = 0; i < 60; i++)
		if (TT("mkdir and chdir", mkdir("d", 0755) || chdir("d") ? -1 : 0))
			break;
	fd = F(open("f", O_CREAT | O_RDWR, 0600));
	close(fd);
}

GROUP(open_unnamed)
{
	char proc[64], buf[8];
	int fd;

	sub("link_later");
	fd = F(open(".", O_TMPFILE | O_RDWR, 0640));
	T(write(fd, "hello", 5));
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	T(linkat(AT_FDCWD, proc, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
	close(fd);
	say_stat("named");
	say_content("named");
	sub("excl_cannot_be_linked");
	fd = F(open(".", O_TMPFILE | O_RDWR | O_EXCL, 0640));
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	T(linkat(AT_FDCWD, proc, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
	close(fd);
	sub("read_only");
	F(open(".", O_TMPFILE | O_RDONLY, 0640));
	sub("unlinked_while_open");
	make_file("a", 3000, 0644);
	fd = F(open("a", O_RDWR));
	T(unlink("a"));
	T(pread(fd, buf, 4, 10));
	T(pwrite(fd, "more", 4, 100000));
	say_content_fd(fd);
	struct stat st;

	T(fstat(fd, &st));
	say("nlink %u size %lld", (unsigned)st.st_nlink, (long long)st.st_size);
	T(fchmod(fd, 0600));
	T(ftruncate(fd, 10));
	say_content_fd(fd);
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	T(linkat(AT_FDCWD, proc, AT_FDCWD, "again", AT_SYMLINK_FOLLOW));
	int fd2 = F(open(proc, O_RDONLY));

	say_content_fd(fd2);
	T(access("a", F_OK));
	int fd3 = F(open("a", O_CREAT | O_EXCL | O_RDWR, 0600));

	T(write(fd3, "new", 3));
	say_content_fd(fd);
	say_content_fd(fd3);
	close(fd2);
	close(fd3);
	close(fd);
	sub("renamed_over_while_open");
	make_file("a", 3000, 0644);
	make_file("b", 10, 0644);
	fd = F(open("a", O_RDWR));
	T(rename("b", "a"));
	say_content_fd(fd);
	T(pwrite(fd, "zz", 2, 0));
	say_content_fd(fd);
	say_content("a");
	T(fstat(fd, &st));
	say("nlink %u", (unsigned)st.st_nlink);
	close(fd);
	sub("renamed_while_open");
	make_file("a", 3000, 0644);
	fd = F(open("a", O_RDWR));
	T(rename("a", "b"));
	T(pwrite(fd, "zz", 2, 5));
	say_content("b");
	T(rename("b", "c"));
	T(fsync(fd));
	say_stat("c");
	close(fd);
	sub("two_names_one_unlinked");
	make_file("a", 300, 0644);
	fd = F(open("a", O_RDWR));
	T(link("a", "b"));
	T(unlink("a"));
	T(fstat(fd, &st));
	say("nlink %u", (unsigned)st.st_nlink);
	T(pwrite(fd, "zz", 2, 5));
	say_content("b");
	close(fd);
	sub("directory_removed_while_inside");
	make_dir("d", 0755);
	T(chdir("d"));
	T(rmdir("../d"));
	F(open("x", O_CREAT | O_RDWR, 0600));
	T(mkdir("x", 0700));
	F(open(".", O_RDONLY));
	T(access("..", F_OK));
	T(chdir(".."));
}
