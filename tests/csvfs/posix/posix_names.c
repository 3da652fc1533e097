/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names: mkdir, rmdir, mknod, symlink, link, unlink, rename, reading directories. */
#include <dirent.h>
#include <linux/fs.h>

#include "tests/csvfs/posix/posix.h"

static const char *const things[] = { "nothing", "file", "empty", "full", "link", "fifo" };
#define N_THINGS (sizeof(things) / sizeof(things[0]))

static void make_thing(const char *thing, const char *name)
{
	char inner[64];

	if (!strcmp(thing, "file")) {
		make_file(name, strlen(name), 0644);
	} else if (!strcmp(thing, "empty")) {
		make_dir(name, 0755);
	} else if (!strcmp(thing, "full")) {
		make_dir(name, 0755);
		snprintf(inner, sizeof(inner), "%s/inner", name);
		make_file(inner, 1, 0644);
	} else if (!strcmp(thing, "link")) {
		need(!symlink(name, name), "symlink");
	} else if (!strcmp(thing, "fifo")) {
		need(!mkfifo(name, 0644), "mkfifo");
	}
}

/* Every kind of thing onto every other, with each flag. */
GROUP(rename_matrix)
{
	static const struct {
		const char *name;
		unsigned flags;
	} how[] = { { "plain", 0 }, { "noreplace", RENAME_NOREPLACE }, { "exchange", RENAME_EXCHANGE } };

	for (size_t h = 0; h < 3; h++)
		for (size_t a = 0; a < N_THINGS; a++)
			for (size_t b = 0; b < N_THINGS; b++) {
				sub("%s_%s_to_%s", how[h].name, things[a], things[b]);
				make_dir("from", 0755);
				make_dir("to", 0755);
				make_thing(things[a], "from/old");
				make_thing(things[b], "to/new_one");
				TT("rename", renameat2(AT_FDCWD, "from/old", AT_FDCWD, "to/new_one", how[h].flags));
				say_stat("from/old");
				say_stat("to/new_one");
				say_stat("from");
				say_stat("to");
				TT("inner", access("to/new_one/inner", F_OK));
			}
}

GROUP(rename_special)
{
	sub("same_name");
	make_file("a", 10, 0644);
	T(rename("a", "a"));
	say_stat("a");
	sub("same_file_two_names");
	make_file("a", 10, 0644);
	T(link("a", "b"));
	T(rename("a", "b"));
	say_stat("a");
	say_stat("b");
	sub("same_file_noreplace");
	make_file("a", 10, 0644);
	T(link("a", "b"));
	T(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE));
	T(renameat2(AT_FDCWD, "a", AT_FDCWD, "a", RENAME_NOREPLACE));
	T(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_EXCHANGE));
	say_stat("a");
	sub("into_itself");
	make_dir("d", 0755);
	make_dir("d/e", 0755);
	T(rename("d", "d/x"));
	T(rename("d", "d/e/x"));
	T(rename("d/e", "d"));
	T(renameat2(AT_FDCWD, "d", AT_FDCWD, "d/e", RENAME_EXCHANGE));
	sub("dots");
	make_dir("d", 0755);
	T(rename("d/.", "x"));
	T(rename("d/..", "x"));
	T(rename("d", "."));
	T(rename("d", ".."));
	sub("slashes");
	make_file("f", 1, 0644);
	make_dir("d", 0755);
	T(rename("f/", "g"));
	T(rename("f", "g/"));
	T(rename("d/", "e"));
	T(rename("e", "d/"));
	T(rename("f", "d/"));
	sub("bad_flags");
	make_file("a", 1, 0644);
	make_file("b", 1, 0644);
	T(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE | RENAME_EXCHANGE));
	T(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", 0x80));
	sub("whiteout");
	make_file("a", 1, 0644);
	T(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_WHITEOUT));
	say_stat("a");
	say_stat("b");
	sub("directory_over_and_parent_links");
	make_dir("a", 0755);
	make_dir("b", 0755);
	make_dir("a/x", 0755);
	make_dir("b/x", 0755);
	T(rename("a/x", "b/x"));
	say_stat("a");
	say_stat("b");
	T(rename("b/x", "y"));
	T(access("y/../a", F_OK));
	say_stat(".");
	sub("other_file_system");
	make_file("a", 1, 0644);
	T(rename("a", "/proc/x"));
	T(link("a", "/proc/x"));
	sub("chain");
	make_file("f0", 7, 0644);
	for (int i = 0; i < 50; i++) {
		char from[16], to[16];

		snprintf(from, sizeof(from), "f%d", i);
		snprintf(to, sizeof(to), "f%d", i + 1);
		need(!rename(from, to), "rename");
	}
	say_content("f50");
	sub("many_over_one");
	for (int i = 0; i < 50; i++) {
		make_file("tmp", (size_t)i, 0644);
		need(!rename("tmp", "final"), "rename");
	}
	say_content("final");
}

GROUP(make_remove)
{
	int fd;

	sub("mkdir");
	T(mkdir("d", 0755));
	T(mkdir("d", 0755));
	make_file("f", 1, 0644);
	T(mkdir("f", 0755));
	T(mkdir("f/x", 0755));
	T(mkdir("no/x", 0755));
	T(mkdir("e/", 0755));
	T(mkdir(".", 0755));
	T(mkdir("..", 0755));
	T(mkdir("d/.", 0755));
	T(symlink("no", "l"));
	T(mkdir("l", 0755));
	T(mkdir("s", 07777));
	say_stat("s");
	say_stat("d");
	sub("rmdir");
	make_dir("d", 0755);
	make_dir("full", 0755);
	make_file("full/x", 1, 0644);
	make_file("f", 1, 0644);
	T(symlink("d", "l"));
	T(rmdir("full"));
	T(rmdir("f"));
	T(rmdir("l"));
	T(rmdir("l/"));
	T(rmdir("no"));
	T(rmdir("d/."));
	T(rmdir("d/.."));
	T(rmdir("."));
	T(rmdir("d/"));
	T(unlink("full/x"));
	T(rmdir("full"));
	sub("unlink");
	make_dir("d", 0755);
	make_file("f", 1, 0644);
	T(symlink("f", "l"));
	T(unlink("d"));
	T(unlink("no"));
	T(unlink("f/"));
	T(unlink("f/x"));
	T(unlink("l"));
	T(unlink("f"));
	T(unlink("f"));
	T(unlink("."));
	T(unlinkat(AT_FDCWD, "d", AT_REMOVEDIR));
	sub("directory_links");
	for (int i = 0; i < 5; i++) {
		char name[16];

		snprintf(name, sizeof(name), "d%d", i);
		need(!mkdir(name, 0755), "mkdir");
		say_stat(".");
	}
	T(rmdir("d0"));
	say_stat(".");
	static const struct {
		const char *name;
		mode_t mode;
		dev_t dev;
	} nodes[] = { { "file", S_IFREG, 0 },
		      { "zero", 0, 0 },
		      { "fifo", S_IFIFO, 0 },
		      { "socket", S_IFSOCK, 0 },
		      { "char", S_IFCHR, 0x103 },
		      { "block", S_IFBLK, 0x7c8 },
		      { "char_large", S_IFCHR, 0x1112c70 },
		      { "directory", S_IFDIR, 0 },
		      { "link", S_IFLNK, 0 } };

	for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++) {
		sub("mknod_%s", nodes[i].name);
		TT("mknod", mknod("n", nodes[i].mode | 0640, nodes[i].dev));
		say_stat("n");
		TT("again", mknod("n", nodes[i].mode | 0640, nodes[i].dev));
		TT("under it", mknod("n/x", S_IFREG | 0640, 0));
	}
	sub("symlink");
	char target[5000], got[5000];

	static const int lengths[] = { 0, 1, 59, 60, 61, 255, 1023, 4094, 4095, 4096 };

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		memset(target, 't', sizeof(target));
		target[lengths[i]] = 0;
		say("length %d", lengths[i]);
		TT("symlink", symlink(target, "s"));
		say_stat("s");
		TT("readlink", readlink("s", got, sizeof(got)));
		TT("readlink 10", readlink("s", got, 10));
		unlink("s");
	}
	sub("symlink_errors");
	make_file("f", 1, 0644);
	T(symlink("x", "f"));
	T(symlink("x", "no/l"));
	T(symlink("x", "f/l"));
	T(readlink("f", got, sizeof(got)));
	T(readlink("no", got, sizeof(got)));
	T(readlink(".", got, sizeof(got)));
	T(symlink("f", "l"));
	T(symlink("x", "l"));
	T(readlink("l", got, 0));
	sub("link");
	make_file("f", 1, 0644);
	make_dir("d", 0755);
	T(symlink("f", "l"));
	T(link("f", "g"));
	T(link("f", "g"));
	T(link("f", "d"));
	T(link("d", "x"));
	T(link("no", "x"));
	T(link("f", "no/x"));
	T(link("f", "f/x"));
	T(link("l", "l2"));
	say_stat("l2");
	T(linkat(AT_FDCWD, "l", AT_FDCWD, "l3", AT_SYMLINK_FOLLOW));
	say_stat("l3");
	T(link("f", "d/f"));
	say_stat("f");
	T(unlink("f"));
	say_stat("g");
	fd = F(open("g", O_RDWR));
	T(write(fd, "12345", 5));
	close(fd);
	say_content("d/f");
	sub("many_links");
	make_file("f", 1, 0644);
	for (int i = 0; i < 200; i++) {
		char name[16];

		snprintf(name, sizeof(name), "l%d", i);
		need(!link("f", name), "link");
	}
	say_stat("f");
	sub("parent_times");
	struct stat before, after;

	make_dir("d", 0755);
	static const char *const what[] = { "create", "link", "rename", "unlink", "mkdir", "rmdir", "symlink" };

	for (int i = 0; i < 7; i++) {
		struct timespec old[2] = { { 1000, 0 }, { 1000, 0 } };

		need(!utimensat(AT_FDCWD, "d", old, 0) && !stat("d", &before), "stat");
		int r = i == 0	 ? close(open("d/a", O_CREAT | O_RDWR, 0600))
			: i == 1 ? link("d/a", "d/b")
			: i == 2 ? rename("d/a", "d/c")
			: i == 3 ? unlink("d/b")
			: i == 4 ? mkdir("d/m", 0700)
			: i == 5 ? rmdir("d/m")
				 : symlink("x", "d/s");

		need(!r && !stat("d", &after), what[i]);
		say("%s: mtime %s", what[i], after.st_mtime != 1000 ? "changed" : "as before");
	}
}

static void list(const char *dir, int want, const char *prefix)
{
	DIR *d = opendir(dir);
	char *seen = calloc((size_t)want + 1, 1);
	int n = 0, twice = 0, strange = 0, dots = 0, types = 0;
	struct dirent *e;

	need(d && seen, "opendir");
	while ((errno = 0, e = readdir(d))) {
		struct stat st;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) {
			dots++;
			continue;
		}
		int i = strncmp(e->d_name, prefix, strlen(prefix)) ? -1 : atoi(e->d_name + strlen(prefix));

		if (i < 0 || i >= want)
			strange++;
		else if (seen[i]++)
			twice++;
		n++;
		if (n % 37 == 0) {
			need(!fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW), "fstatat");
			if ((e->d_type != DT_UNKNOWN && e->d_type != st.st_mode >> 12) || e->d_ino != st.st_ino)
				types++;
		}
	}
	say("%s: %d entries, %d twice, %d strange, %d dots, %d types or numbers wrong, error %d", dir, n, twice,
	    strange, dots, types, errno);
	closedir(d);
	free(seen);
}

static void make_many(const char *dir, int n, const char *prefix)
{
	make_dir(dir, 0755);
	for (int i = 0; i < n; i++) {
		char name[300];

		snprintf(name, sizeof(name), "%s/%s%d", dir, prefix, i);
		int r = i % 5 == 0   ? mkdir(name, 0755)
			: i % 5 == 1 ? symlink("x", name)
				     : mknod(name, S_IFREG | 0644, 0);

		need(!r, "entry");
	}
}

GROUP(directories)
{
	static const int counts[] = { 0, 1, 2, 10, 100, 1000, 3000 };

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		sub("entries_%d", counts[i]);
		make_many("d", counts[i], "e");
		list("d", counts[i], "e");
	}
	sub("long_names");
	char prefix[256];

	memset(prefix, 'p', 248);
	prefix[248] = 0;
	make_many("d", 300, prefix);
	list("d", 300, prefix);
	sub("seek");
	make_many("d", 500, "e");
	DIR *d = opendir("d");
	long where[600];
	char names[600][16];
	int n = 0, wrong = 0;
	struct dirent *e;

	while (n < 600 && (where[n] = telldir(d), e = readdir(d)))
		snprintf(names[n++], sizeof(names[0]), "%.15s", e->d_name);
	for (int i = 0; i < n; i++) {
		int at = (i * 37) % n;

		seekdir(d, where[at]);
		e = readdir(d);
		wrong += !e || strcmp(e->d_name, names[at]) != 0;
	}
	say("%d entries, %d wrong after seekdir", n, wrong);
	rewinddir(d);
	for (n = 0; readdir(d);)
		n++;
	say("%d after rewinddir", n);
	closedir(d);
	sub("changes_while_reading");
	make_many("d", 400, "e");
	d = opendir("d");
	for (n = 0; n < 50 && readdir(d);)
		n++;
	make_file("d/new", 1, 0644);
	for (int i = 2; i < 400; i += 5) {
		char name[32];

		snprintf(name, sizeof(name), "d/e%d", i);
		need(!unlink(name), "unlink");
	}
	rewinddir(d);
	for (n = 0; readdir(d);)
		n++;
	say("%d after the changes and rewinddir", n);
	closedir(d);
	sub("remove_while_reading");
	make_many("d", 1000, "e");
	d = opendir("d");
	for (n = 0; (e = readdir(d));) {
		if (e->d_name[0] == '.')
			continue;
		need(!unlinkat(dirfd(d), e->d_name, e->d_type == DT_DIR ? AT_REMOVEDIR : 0), "unlinkat");
		n++;
	}
	say("%d removed", n);
	closedir(d);
	T(rmdir("d"));
	sub("of_a_removed_directory");
	make_dir("d", 0755);
	d = opendir("d");
	T(rmdir("d"));
	for (n = 0; readdir(d);)
		n++;
	say("%d entries", n);
	closedir(d);
	sub("errors");
	make_file("f", 1, 0644);
	say("opendir of a file = %s", opendir("f") ? "ok" : strerrorname_np(errno));
	say("opendir of nothing = %s", opendir("no") ? "ok" : strerrorname_np(errno));
	int fd = F(open(".", O_RDONLY | O_DIRECTORY));
	char buf[10];

	T(read(fd, buf, sizeof(buf)));
	T(pwrite(fd, buf, 1, 0));
	T(ftruncate(fd, 0));
	T(fsync(fd));
	T(fdatasync(fd));
	close(fd);
}
