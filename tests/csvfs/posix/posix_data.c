/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Contents: read, write, append, truncate, fallocate, holes, copies, direct I/O, mapped memory, times, figures, a full
 * volume. */
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/statvfs.h>
#include <sys/uio.h>

#include "tests/csvfs/posix/posix.h"

#define BLOCK 4096
#define SIZE (8 * BLOCK)

static char buf[1 << 20] __attribute__((aligned(BLOCK)));

GROUP(write_read)
{
	static const struct {
		long at, size;
	} parts[] = { { 0, 1 },	     { 0, 511 },     { 1, 511 },     { 511, 2 },     { 512, 512 },
		      { 100, 5000 }, { 4095, 2 },    { 4096, 4096 }, { 8191, 8193 }, { 32767, 3 },
		      { 40000, 10 }, { 1000000, 7 }, { 0, 1 << 20 } };

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		for (int direct = 0; direct < 2; direct++) {
			sub("at_%ld_%ld%s", parts[i].at, parts[i].size, direct ? "_sync" : "");
			make_file("f", SIZE, 0644);
			int fd = F(open("f", O_RDWR | (direct ? O_SYNC : 0)));

			fill(buf, sizeof(buf), 5);
			TT("pwrite", pwrite(fd, buf, (size_t)parts[i].size, parts[i].at));
			say_content_fd(fd);
			say_stat("f");
			TT("pread", pread(fd, buf, 100, parts[i].at + parts[i].size - 50));
			close(fd);
			say_content("f");
		}
	sub("offsets");
	int fd = F(open("f", O_RDWR | O_CREAT, 0644));

	T(write(fd, "hello", 5));
	T(lseek(fd, 0, SEEK_CUR));
	T(lseek(fd, -6, SEEK_CUR));
	T(lseek(fd, 10, SEEK_END));
	T(read(fd, buf, 1));
	T(write(fd, "x", 1));
	T(lseek(fd, 0, SEEK_END));
	T(pread(fd, buf, 10, -1));
	T(pwrite(fd, buf, 10, -1));
	T(pread(fd, buf, 10, 1L << 62));
	T(pwrite(fd, buf, 10, 1L << 62));
	T(pwrite(fd, buf, 0, 100));
	T(pread(fd, buf, 0, 0));
	T(lseek(fd, -1, SEEK_SET));
	T(lseek(fd, 0, 99));
	say_content_fd(fd);
	close(fd);
	sub("vectors");
	fd = F(open("f", O_RDWR | O_CREAT, 0644));
	struct iovec v[3] = { { buf, 3 }, { buf + 10, 0 }, { buf + 20, 700 } };

	fill(buf, 2000, 1);
	T(writev(fd, v, 3));
	T(pwritev(fd, v, 3, 1000));
	T(pwritev2(fd, v, 3, -1, RWF_APPEND));
	T(pwritev2(fd, v, 1, 0, RWF_DSYNC));
	T(pwritev2(fd, v, 1, 0, RWF_SYNC));
	T(lseek(fd, 0, SEEK_CUR));
	T(lseek(fd, 0, SEEK_SET));
	T(readv(fd, v, 3));
	say_content_fd(fd);
	close(fd);
	sub("bad_memory");
	fd = F(open("f", O_RDWR | O_CREAT, 0644));
	void *bad = mmap(NULL, BLOCK, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	T(write(fd, bad, 100));
	T(write(fd, "ok", 2));
	T(pread(fd, bad, 2, 0));
	munmap(bad, BLOCK);
	close(fd);
	sub("sendfile_and_splice");
	make_file("a", 100000, 0644);
	fd = F(open("a", O_RDONLY));
	int to = F(open("b", O_RDWR | O_CREAT, 0644)), p[2];

	T(sendfile(to, fd, NULL, 100000));
	say_content_fd(to);
	need(!pipe(p), "pipe");
	loff_t at = 100;

	T(splice(fd, &at, p[1], NULL, 4000, 0));
	at = 200000;
	T(splice(p[0], NULL, to, &at, 4000, 0));
	say_content_fd(to);
	close(fd);
	close(to);
	close(p[0]);
	close(p[1]);
}

GROUP(append)
{
	sub("at_the_end");
	make_file("f", 1000, 0644);
	int a = F(open("f", O_WRONLY | O_APPEND)), b = F(open("f", O_WRONLY | O_APPEND)), c = F(open("f", O_RDWR));

	T(write(a, "aaa", 3));
	T(write(b, "bbbb", 4));
	T(pwrite(a, "cc", 2, 0));
	T(lseek(a, 0, SEEK_CUR));
	T(lseek(a, 0, SEEK_SET));
	T(write(a, "d", 1));
	T(lseek(a, 0, SEEK_CUR));
	T(ftruncate(c, 500));
	T(write(b, "e", 1));
	say_content_fd(c);
	T(ftruncate(c, 70000));
	T(write(a, "f", 1));
	say_content_fd(c);
	close(a);
	sub("flag_by_fcntl");
	make_file("f", 1000, 0644);
	T(fcntl(b, F_SETFL, 0));
	a = F(open("f", O_RDWR));
	T(fcntl(a, F_SETFL, O_APPEND));
	T(pwrite(a, "x", 1, 0));
	T(fcntl(a, F_SETFL, 0));
	T(pwrite(a, "y", 1, 0));
	say_content_fd(a);
	close(a);
	close(b);
	close(c);
}

GROUP(truncation)
{
	static const long sizes[] = { 0,    1,	      511,  512,      513,	   4095,    4096,
				      4097, SIZE - 1, SIZE, SIZE + 1, SIZE + 5000, 10000000 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		sub("to_%ld", sizes[i]);
		make_file("f", SIZE, 0644);
		T(truncate("f", sizes[i]));
		say_content("f");
		T(truncate("f", SIZE + 100));
		say_content("f");
		int fd = F(open("f", O_RDWR));

		T(ftruncate(fd, 3));
		T(ftruncate(fd, 4200));
		say_content_fd(fd);
		close(fd);
	}
	sub("errors");
	make_file("f", 1, 0644);
	make_dir("d", 0755);
	T(mkfifo("p", 0644));
	T(truncate("f", -1));
	T(truncate("d", 0));
	T(truncate("p", 0));
	T(truncate("no", 0));
	T(truncate("f/x", 0));
	T(truncate("f", 1L << 62));
	int fd = F(open("f", O_RDONLY));

	T(ftruncate(fd, 0));
	close(fd);
	sub("same_size_and_times");
	make_file("f", 100, 0644);
	struct timespec old[2] = { { 1000, 0 }, { 1000, 0 } };
	struct stat st;

	need(!utimensat(AT_FDCWD, "f", old, 0), "utimensat");
	T(truncate("f", 100));
	need(!stat("f", &st), "stat");
	say("mtime %s", st.st_mtime == 1000 ? "as before" : "changed");
}

GROUP(fallocate_modes)
{
	static const struct {
		const char *name;
		int mode;
	} modes[] = { { "plain", 0 },
		      { "keep", FALLOC_FL_KEEP_SIZE },
		      { "punch", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE },
		      { "punch_alone", FALLOC_FL_PUNCH_HOLE },
		      { "zero", FALLOC_FL_ZERO_RANGE },
		      { "zero_keep", FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE },
		      { "collapse", FALLOC_FL_COLLAPSE_RANGE },
		      { "insert", FALLOC_FL_INSERT_RANGE },
		      { "unshare", FALLOC_FL_UNSHARE_RANGE },
		      { "unknown", 0x1000 },
		      { "collapse_keep", FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_KEEP_SIZE } };
	static const struct {
		const char *name;
		long at, size;
	} parts[] = { { "blocks", BLOCK, 2 * BLOCK },
		      { "unaligned", 1000, 5000 },
		      { "across_the_end", SIZE - BLOCK, 3 * BLOCK },
		      { "beyond", 2 * SIZE, BLOCK },
		      { "all", 0, SIZE },
		      { "empty", 0, 0 },
		      { "negative", -BLOCK, BLOCK },
		      { "too_far", 1L << 60, BLOCK } };

	for (size_t m = 0; m < sizeof(modes) / sizeof(modes[0]); m++)
		for (size_t p = 0; p < sizeof(parts) / sizeof(parts[0]); p++) {
			sub("%s_%s", modes[m].name, parts[p].name);
			make_file("f", SIZE, 0644);
			int fd = F(open("f", O_RDWR));

			TT("fallocate", fallocate(fd, modes[m].mode, parts[p].at, parts[p].size));
			say_stat("f");
			say_content_fd(fd);
			TT("write over it", pwrite(fd, "after", 5, BLOCK + 10));
			say_content_fd(fd);
			close(fd);
		}
	sub("errors");
	make_file("f", 1, 0644);
	make_dir("d", 0755);
	int fd = F(open("f", O_RDONLY));

	T(fallocate(fd, 0, 0, 100));
	close(fd);
	fd = F(open("d", O_RDONLY));
	T(fallocate(fd, 0, 0, 100));
	close(fd);
	T(posix_fallocate(-1, 0, 1));
	sub("posix_fallocate");
	fd = F(open("f", O_RDWR | O_CREAT, 0644));
	T(posix_fallocate(fd, 0, 300000));
	say_content_fd(fd);
	T(pwrite(fd, "x", 1, 150000));
	say_content_fd(fd);
	close(fd);
}

/* How large the holes are is the file system's affair; that data is never called a hole, and the rest, is not. */
static void say_holes(int fd)
{
	struct stat st;
	long wrong = 0, at = 0, parts = 0;

	need(!fstat(fd, &st), "fstat");
	while (at < st.st_size && parts++ < 1000) {
		long data = lseek(fd, at, SEEK_DATA);

		if (data < 0 && errno != ENXIO) {
			say("SEEK_DATA = %s", strerrorname_np(errno));
			return;
		}
		if (data < 0)
			data = st.st_size;
		for (long i = at; i < data; i += 512)
			if (pread(fd, buf, 512, i) > 0)
				for (int b = 0; b < 512 && i + b < data; b++)
					wrong += buf[b] != 0;
		if (data >= st.st_size)
			break;
		at = lseek(fd, data, SEEK_HOLE);
		if (at <= data) {
			say("SEEK_HOLE from data at %ld = %ld", data, at);
			return;
		}
	}
	say("holes: %ld bytes of data in them", wrong);
}

GROUP(holes)
{
	static const struct {
		const char *name;
		long data[3]; /* where 1000 bytes are written; -1: none */
		long size;
	} files[] = { { "empty", { -1, -1, -1 }, 0 },
		      { "only_hole", { -1, -1, -1 }, 5000000 },
		      { "data_first", { 0, -1, -1 }, 9000000 },
		      { "data_last", { 8999000, -1, -1 }, 9000000 },
		      { "data_between", { 4000000, -1, -1 }, 12000000 },
		      { "three", { 100, 5000000, 11000000 }, 16000000 },
		      { "full", { 0, -1, -1 }, 1000 } };

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		sub("%s", files[i].name);
		int fd = F(open("f", O_RDWR | O_CREAT, 0644));

		fill(buf, 1000, 3);
		for (int d = 0; d < 3; d++)
			if (files[i].data[d] >= 0)
				need(pwrite(fd, buf, 1000, files[i].data[d]) == 1000, "pwrite");
		T(ftruncate(fd, files[i].size));
		say_holes(fd);
		TT("data at the end", lseek(fd, files[i].size, SEEK_DATA));
		TT("hole at the end", lseek(fd, files[i].size, SEEK_HOLE));
		TT("hole from the last byte",
		   files[i].size ? lseek(fd, files[i].size - 1, SEEK_HOLE) - files[i].size <= 0 : 0);
		TT("data from -1", lseek(fd, -1, SEEK_DATA));
		T(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 6000000));
		say_holes(fd);
		say_content_fd(fd);
		close(fd);
	}
}

GROUP(copy_range)
{
	loff_t in, out;
	int a, b;

	sub("between_files");
	make_file("a", 100000, 0644);
	a = F(open("a", O_RDWR));
	b = F(open("b", O_RDWR | O_CREAT, 0644));
	in = 10, out = 777;
	T(copy_file_range(a, &in, b, &out, 50000, 0));
	say("in %ld out %ld", (long)in, (long)out);
	say_content_fd(b);
	T(copy_file_range(a, NULL, b, NULL, 10, 0));
	T(lseek(a, 0, SEEK_CUR));
	T(lseek(b, 0, SEEK_CUR));
	in = 99000, out = 0;
	T(copy_file_range(a, &in, b, &out, 50000, 0));
	in = 100000;
	T(copy_file_range(a, &in, b, &out, 50000, 0));
	in = 200000;
	T(copy_file_range(a, &in, b, &out, 1, 0));
	say_content_fd(b);
	T(copy_file_range(a, NULL, b, NULL, 0, 0));
	T(copy_file_range(a, NULL, b, NULL, 10, 1));
	in = 0, out = 4096;
	T(copy_file_range(a, &in, b, &out, 8192, 0));
	say_content_fd(b);
	sub("within_a_file");
	make_file("a", 100000, 0644);
	close(a);
	a = F(open("a", O_RDWR));
	in = 0, out = 50000;
	T(copy_file_range(a, &in, a, &out, 30000, 0));
	in = 0, out = 100;
	T(copy_file_range(a, &in, a, &out, 30000, 0));
	in = 10, out = 10;
	T(copy_file_range(a, &in, a, &out, 5, 0));
	say_content_fd(a);
	sub("errors");
	make_file("a", 100, 0644);
	int ro = F(open("a", O_RDONLY)), wo = F(open("a", O_WRONLY)),
	    ap = F(open("c", O_WRONLY | O_CREAT | O_APPEND, 0644)), dir = F(open(".", O_RDONLY));

	T(copy_file_range(ro, NULL, ro, NULL, 10, 0));
	T(copy_file_range(wo, NULL, ap, NULL, 10, 0));
	T(copy_file_range(ro, NULL, ap, NULL, 10, 0));
	T(copy_file_range(dir, NULL, wo, NULL, 10, 0));
	in = -5;
	T(copy_file_range(ro, &in, b, NULL, 10, 0));
	close(ro);
	close(wo);
	close(ap);
	close(dir);
	close(a);
	close(b);
}

GROUP(direct_io)
{
	static const struct {
		long at, size, memory;
	} parts[] = { { 0, 4096, 0 },	 { 4096, 8192, 0 },	  { 512, 512, 0 },   { 512, 1536, 512 },
		      { 0, 1 << 19, 0 }, { SIZE - 512, 4096, 0 }, { SIZE, 4096, 0 }, { 1 << 20, 512, 0 },
		      { 100, 512, 0 },	 { 0, 100, 0 },		  { 0, 4096, 1 },    { 1, 1, 1 } };

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		sub("at_%ld_%ld_memory_%ld", parts[i].at, parts[i].size, parts[i].memory);
		make_file("f", SIZE, 0644);
		int fd = F(open("f", O_RDWR | O_DIRECT));

		fill(buf, sizeof(buf), 9);
		TT("pwrite", pwrite(fd, buf + parts[i].memory, (size_t)parts[i].size, parts[i].at));
		say_content("f");
		TT("pread", pread(fd, buf + parts[i].memory, (size_t)parts[i].size, parts[i].at));
		close(fd);
	}
	sub("tail");
	make_file("f", 5000, 0644);
	int fd = F(open("f", O_RDWR | O_DIRECT));

	T(pread(fd, buf, 4096, 4096));
	T(pread(fd, buf, 4096, 8192));
	T(pread(fd, buf, 65536, 0));
	close(fd);
	sub("beside_buffered");
	make_file("f", SIZE, 0644);
	fd = F(open("f", O_RDWR | O_DIRECT));
	int fd2 = F(open("f", O_RDWR));

	fill(buf, SIZE, 1);
	T(pwrite(fd, buf, 4096, 4096));
	say_content_fd(fd2);
	T(pwrite(fd2, "hello", 5, 5000));
	T(pread(fd, buf, 4096, 4096));
	say("%.5s", buf + 904);
	close(fd);
	close(fd2);
}

/* --- mapped memory --- */

static sigjmp_buf jump;
static void on_bus(int sig)
{
	siglongjmp(jump, sig);
}

static int touch(volatile char *p)
{
	int sig;

	signal(SIGBUS, on_bus);
	signal(SIGSEGV, on_bus);
	if (!(sig = sigsetjmp(jump, 1)))
		(void)*p;
	signal(SIGBUS, SIG_DFL);
	signal(SIGSEGV, SIG_DFL);
	return sig;
}

GROUP(mapped)
{
	int fd;
	char *m, *m2;

	sub("shared_write");
	make_file("f", 10000, 0644);
	fd = F(open("f", O_RDWR));
	m = mmap(NULL, 10000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	say("mmap = %s", m == MAP_FAILED ? strerrorname_np(errno) : "ok");
	if (m != MAP_FAILED) {
		fill(m + 4090, 13, 3);
		T(msync(m, 10000, MS_SYNC));
		say_content_fd(fd);
		fill(m, 13, 4);
		T(munmap(m, 10000));
	}
	close(fd);
	say_content("f");
	sub("write_is_seen_by_mapping");
	make_file("f", 10000, 0644);
	fd = F(open("f", O_RDWR));
	m = mmap(NULL, 10000, PROT_READ, MAP_SHARED, fd, 0);
	say("mmap = %s", m == MAP_FAILED ? strerrorname_np(errno) : "ok");
	if (m != MAP_FAILED) {
		say("before %02x", (unsigned char)m[5000]);
		T(pwrite(fd, "Z", 1, 5000));
		say("after %02x", (unsigned char)m[5000]);
		munmap(m, 10000);
	}
	close(fd);
	sub("private");
	make_file("f", 10000, 0644);
	fd = F(open("f", O_RDONLY));
	m = mmap(NULL, 10000, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	say("mmap = %s", m == MAP_FAILED ? strerrorname_np(errno) : "ok");
	if (m != MAP_FAILED) {
		m[1] = 'x';
		munmap(m, 10000);
	}
	say_content("f");
	close(fd);
	sub("rights");
	make_file("f", 10000, 0644);
	fd = F(open("f", O_RDONLY));
	say("shared write of a read-only file = %s",
	    mmap(NULL, 100, PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED ? strerrorname_np(errno) : "ok");
	close(fd);
	fd = F(open("f", O_WRONLY));
	say("read of a write-only file = %s",
	    mmap(NULL, 100, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED ? strerrorname_np(errno) : "ok");
	close(fd);
	sub("beyond_the_end");
	make_file("f", 5000, 0644);
	fd = F(open("f", O_RDWR));
	m = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (m != MAP_FAILED) {
		say("in the last page: signal %d, value %d", touch(m + 8000), m[8000]);
		say("behind it: signal %d", touch(m + 9000));
		T(ftruncate(fd, 100));
		say("after truncate: signal %d, first page value %d", touch(m + 5000), m[200]);
		T(ftruncate(fd, 12000));
		say("after extending: signal %d", touch(m + 9000));
		munmap(m, 16384);
	}
	close(fd);
	sub("two_mappings");
	make_file("f", 10000, 0644);
	fd = F(open("f", O_RDWR));
	m = mmap(NULL, 10000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	m2 = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 4096);
	if (m != MAP_FAILED && m2 != MAP_FAILED) {
		m[4096 + 7] = 'q';
		say("same memory: %d", m2[7] == 'q');
		munmap(m, 10000);
		munmap(m2, 4096);
	}
	close(fd);
	sub("after_close_and_unlink");
	make_file("f", 10000, 0644);
	fd = F(open("f", O_RDWR));
	m = mmap(NULL, 10000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	T(unlink("f"));
	if (m != MAP_FAILED) {
		m[3] = 'x';
		T(msync(m, 10000, MS_SYNC));
		say("value %d %d", m[3] == 'x', touch(m + 9999));
		munmap(m, 10000);
	}
	sub("in_a_hole");
	fd = F(open("f", O_RDWR | O_CREAT, 0644));
	T(ftruncate(fd, 1 << 20));
	m = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (m != MAP_FAILED) {
		fill(m + 500000, 4, 5);
		T(msync(m, 1 << 20, MS_SYNC));
		munmap(m, 1 << 20);
	}
	close(fd);
	say_content("f");
}

/* --- times --- */

static void say_times(const char *name)
{
	struct stat st;

	need(!lstat(name, &st), name);
	say("%s: atime %lld.%09ld mtime %lld.%09ld", name, (long long)st.st_atim.tv_sec, st.st_atim.tv_nsec,
	    (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

GROUP(times)
{
	static const struct {
		const char *name;
		struct timespec t[2];
	} sets[] = { { "both", { { 1000, 1 }, { 2000, 999999999 } } },
		     { "negative", { { -5, 500 }, { -1, 0 } } },
		     { "zero", { { 0, 0 }, { 0, 0 } } },
		     { "large", { { 1L << 33, 7 }, { 1L << 32, 8 } } },
		     { "omit_atime", { { 0, UTIME_OMIT }, { 77, 7 } } },
		     { "omit_mtime", { { 77, 7 }, { 0, UTIME_OMIT } } },
		     { "omit_both", { { 0, UTIME_OMIT }, { 0, UTIME_OMIT } } },
		     { "bad", { { 1, 1000000000 }, { 1, 0 } } } };

	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
		sub("%s", sets[i].name);
		make_file("f", 1, 0644);
		make_dir("d", 0755);
		T(symlink("f", "l"));
		struct timespec first[2] = { { 50, 5 }, { 60, 6 } };

		need(!utimensat(AT_FDCWD, "f", first, 0) && !utimensat(AT_FDCWD, "d", first, 0) &&
			     !utimensat(AT_FDCWD, "l", first, AT_SYMLINK_NOFOLLOW),
		     "utimensat");
		TT("file", utimensat(AT_FDCWD, "f", sets[i].t, 0));
		TT("directory", utimensat(AT_FDCWD, "d", sets[i].t, 0));
		TT("link", utimensat(AT_FDCWD, "l", sets[i].t, AT_SYMLINK_NOFOLLOW));
		say_times("f");
		say_times("d");
		say_times("l");
		int fd = F(open("f", O_RDONLY));

		TT("descriptor", futimens(fd, sets[i].t));
		say_times("f");
		close(fd);
	}
	static const char *const what[] = { "write",	"read",	     "chmod",	 "rename", "link",
					    "truncate", "fallocate", "setxattr", "extend" };

	for (int i = 0; i < 9; i++) {
		struct timespec old[2] = { { 1000, 0 }, { 1000, 0 } };
		struct stat before = { 0 }, after = { 0 };
		int r = -1;

		sub("changed_by_%s", what[i]);
		make_file("f", 9000, 0644);
		int fd = open("f", O_RDWR);

		need(!utimensat(AT_FDCWD, "f", old, 0) && !fstat(fd, &before), "utimensat");
		/* ctime is of the kernel's tick: wait until it is another one. */
		for (struct stat s = before;
		     s.st_ctim.tv_sec == before.st_ctim.tv_sec && s.st_ctim.tv_nsec == before.st_ctim.tv_nsec;)
			need(!chmod(".", 0755) && !stat(".", &s), "tick");
		switch (i) {
		case 0:
			r = (int)pwrite(fd, "x", 1, 10);
			break;
		case 1:
			r = (int)pread(fd, buf, 1, 10);
			break;
		case 2:
			r = fchmod(fd, 0600);
			break;
		case 3:
			r = rename("f", "g");
			break;
		case 4:
			r = link("f", "g");
			break;
		case 5:
			r = ftruncate(fd, 10);
			break;
		case 6:
			r = fallocate(fd, 0, 0, 100000);
			break;
		case 7:
			r = close(open("f", O_RDWR | O_TRUNC));
			break;
		case 8:
			r = (int)pwrite(fd, "x", 1, 100000);
			break;
		}
		need(r >= 0 && !fstat(fd, &after), what[i]);
		say("mtime %s, ctime %s", after.st_mtime == 1000 ? "as before" : "changed",
		    memcmp(&after.st_ctim, &before.st_ctim, sizeof(after.st_ctim)) ? "changed" : "as before");
		close(fd);
	}
}

GROUP(figures)
{
	struct statvfs s;

	sub("statvfs");
	T(statvfs(".", &s));
	say("bsize %lu frsize %lu namemax %lu", s.f_bsize, s.f_frsize, s.f_namemax);
	say("sane: %d", s.f_blocks > 0 && s.f_bfree <= s.f_blocks && s.f_bavail <= s.f_bfree && s.f_ffree <= s.f_files);
	int fd = F(open("f", O_RDWR | O_CREAT, 0644));

	T(fallocate(fd, 0, 0, 64 << 20));
	T(fsync(fd));
	struct statvfs after;

	T(fstatvfs(fd, &after));
	say("64 MiB less: %d", (s.f_bfree - after.f_bfree) * s.f_frsize >= 64u << 20);
	T(close(fd));
	sub("pathconf");
	T(pathconf(".", _PC_NAME_MAX));
	T(pathconf(".", _PC_PATH_MAX));
	T(pathconf(".", _PC_NO_TRUNC));
	sub("blksize");
	make_file("f", 1, 0644);
	struct stat st;

	T(stat("f", &st));
	say("blksize %ld, has blocks %d", (long)st.st_blksize, st.st_blocks > 0);
	sub("sync");
	fd = F(open("f", O_RDWR | O_CREAT, 0644));
	T(fsync(fd));
	T(fdatasync(fd));
	T(syncfs(fd));
	T(sync_file_range(fd, 0, 0, 7));
	T(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
	T(readahead(fd, 0, 4096));
	close(fd);
}

/* Last: fills the file system it is in. */
GROUP(zz_full_volume)
{
	static const char *const again[] = { "write", "fsync" };
	long size = 1L << 40, used = 0;
	int fd, r;

	sub("full");
	fd = F(open("big", O_RDWR | O_CREAT, 0644));
	while (size >= BLOCK)
		if (fallocate(fd, 0, used, size))
			size /= 2;
		else
			used += size;
	TT("fallocate", fallocate(fd, 0, used, 1 << 20));
	int fd2 = F(open("small", O_RDWR | O_CREAT, 0644));

	for (r = 0; r < 100000; r++)
		if (pwrite(fd2, buf, BLOCK, (off_t)r * BLOCK) != BLOCK)
			break;
	say("%s = %s", again[0], strerrorname_np(errno));
	TT("inside what there is", pwrite(fd, "x", 1, 100));
	T(unlink("big"));
	close(fd);
	TT("after the removal", pwrite(fd2, buf, BLOCK, 1L << 20));
	TT(again[1], fsync(fd2));
	close(fd2);
}
