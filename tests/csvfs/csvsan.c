/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lab's SAN: one disk in memory, and to each host a path of its own that can fail.
 *
 *   csvsan SIZE SECTOR LOG
 *
 * A path is a file of a FUSE file system under a loop device with direct I/O: so a host has a block device with a page
 * cache of its own, as on a machine of its own. Commands, one a line on stdin; each is answered by one line, "ok ..."
 * or "error ...":
 *
 *   attach NAME      a new path: "ok MAJOR MINOR". A host that boots again gets a new one: the old one's kernel state is
 *                    that of a machine which is no more.
 *   mode NAME MODE   up; error: reads and writes fail; hang: they wait; fenced: writes are refused and logged, reads
 *                    work (a reservation of type 5); dead: as error, for ever. Answered when no write that began before
 *                    is under way any more (except hang).
 *   detach NAME      dead, and the loop device goes when its last user does
 *   stat NAME        "ok READS WRITES FLUSHES REFUSED"
 *   save FILE        a copy of the disk, holes kept
 *   cache on|off     the disk has a volatile cache: what was written since the last flush of any host can be lost
 *   lose SEED        it is: a part of it that the seed draws, in pieces of 4 KiB (no host must be writing)
 *
 * It ends with its parent or at the end of stdin, and leaves nothing: the disk is a memfd, the mounts are in a
 * namespace of its own and detached at once, the loop devices clear themselves.
 */
#define FUSE_USE_VERSION 312
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <linux/loop.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "text.h"

#define PATH_MAX_COUNT 256 /* attached in the life of a SAN */
#define THREADS 16	   /* of a path: more than the loop driver has under way */
#define IO_MAX (1u << 20)
#define COPY_CHUNK (1u << 20)
#define CACHE_WRITES 16384
#define PIECE 4096u
#define DISK_INO 2
#define BASE "/mnt" /* of the private namespace */

enum mode { UP, ERROR, HANG, FENCED, DEAD };
static const char *const mode_names[] = { "up", "error", "hang", "fenced", "dead" };

struct path {
	char name[64], dir[80];
	pthread_mutex_t lock;
	pthread_cond_t changed;
	enum mode mode;
	unsigned writing; /* under way */
	uint64_t reads, writes, flushes, refused;
	struct fuse_session *session;
	pthread_t thread;
	int loop_fd;
};

/* A write that is only in the cache: what was there before. */
struct unflushed {
	uint64_t at;
	size_t len;
	char *before;
};

static struct {
	pthread_mutex_t lock;
	bool on;
	struct unflushed list[CACHE_WRITES]; /* in order; the oldest leave for the disk when there are more */
	unsigned n;
} cache = { .lock = PTHREAD_MUTEX_INITIALIZER };

static struct path paths[PATH_MAX_COUNT];
static unsigned n_paths;
static int disk_fd, log_fd;
static uint64_t disk_size;
static uint32_t sector;

static void __attribute__((format(printf, 1, 2))) note(const char *fmt, ...)
{
	struct timespec t;
	char line[256];
	va_list ap;

	clock_gettime(CLOCK_REALTIME, &t);
	int n = snprintf(line, sizeof(line), "%lld.%03ld ", (long long)t.tv_sec, t.tv_nsec / 1000000);

	va_start(ap, fmt);
	n += vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
	va_end(ap);
	line[n++] = '\n';
	if (write(log_fd, line, (size_t)n) != n)
		abort();
}

static void __attribute__((format(printf, 1, 2))) answer(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
}

/* --- requests of the loop driver --- */

/* May it happen? 0, or the errno it fails with. A write that may is under way until end_write(). */
static int begin(struct path *p, bool change)
{
	int fault = 0;

	pthread_mutex_lock(&p->lock);
	while (p->mode == HANG)
		pthread_cond_wait(&p->changed, &p->lock);
	if (p->mode == ERROR || p->mode == DEAD)
		fault = EIO;
	else if (p->mode == FENCED && change)
		fault = EBADE;
	if (fault && change)
		p->refused++;
	if (!fault && change)
		p->writing++;
	pthread_mutex_unlock(&p->lock);
	return fault;
}

static void end_write(struct path *p)
{
	pthread_mutex_lock(&p->lock);
	if (!--p->writing)
		pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
}

/* --- the cache --- */

static void cache_keep(unsigned first)
{
	for (unsigned i = 0; i < first; i++)
		free(cache.list[i].before);
	memmove(cache.list, cache.list + first, (cache.n - first) * sizeof(cache.list[0]));
	cache.n -= first;
}

static ssize_t disk_write(const char *buf, size_t size, off_t at)
{
	if (!__atomic_load_n(&cache.on, __ATOMIC_ACQUIRE))
		return pwrite(disk_fd, buf, size, at);
	pthread_mutex_lock(&cache.lock);
	if (cache.n == CACHE_WRITES)
		cache_keep(CACHE_WRITES / 4);
	struct unflushed *u = &cache.list[cache.n];

	*u = (struct unflushed){ .at = (uint64_t)at, .len = size, .before = malloc(size) };
	ssize_t n = -1;

	if (u->before && pread(disk_fd, u->before, size, at) == (ssize_t)size)
		n = pwrite(disk_fd, buf, size, at);
	if (n == (ssize_t)size)
		cache.n++;
	else
		free(u->before);
	pthread_mutex_unlock(&cache.lock);
	return n;
}

static void cache_flush(void)
{
	pthread_mutex_lock(&cache.lock);
	cache_keep(cache.n);
	pthread_mutex_unlock(&cache.lock);
}

static uint64_t draw(uint64_t seed, uint64_t what)
{
	uint64_t x = seed * 0x9e3779b97f4a7c15ull + what;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

/* Backwards, so that what is taken back lies under what stays. */
static void cache_lose(uint64_t seed)
{
	unsigned char *stays = calloc(1, disk_size / sector);
	unsigned sectors = 0, lost = 0, n;

	pthread_mutex_lock(&cache.lock);
	n = cache.n;
	for (unsigned i = n; stays && i-- > 0;) {
		struct unflushed *u = &cache.list[i];

		for (size_t off = 0; off < u->len; off += sector) {
			uint64_t at = u->at + off;

			sectors++;
			if (stays[at / sector])
				continue;
			if (!(draw(seed, ((uint64_t)i << 32) + at / PIECE) & 1))
				stays[at / sector] = 1;
			else if (pwrite(disk_fd, u->before + off, sector, (off_t)at) == (ssize_t)sector)
				lost++;
		}
	}
	cache_keep(n);
	pthread_mutex_unlock(&cache.lock);
	free(stays);
	note("cache lost: %u writes, %u sectors, %u of them taken back", n, sectors, lost);
	answer("ok %u", lost);
}

static void disk_stat(fuse_ino_t ino, struct stat *st)
{
	*st = (struct stat){ .st_ino = ino, .st_nlink = 1, .st_mode = S_IFDIR | 0700, .st_blksize = 4096 };
	if (ino == DISK_INO) {
		st->st_mode = S_IFREG | 0600;
		st->st_size = (off_t)disk_size;
	}
}

static void san_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e = { .ino = DISK_INO, .attr_timeout = 3600, .entry_timeout = 3600 };

	if (parent != FUSE_ROOT_ID || strcmp(name, "disk") != 0) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	disk_stat(DISK_INO, &e.attr);
	fuse_reply_entry(req, &e);
}

static void san_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;

	(void)fi;
	disk_stat(ino, &st);
	fuse_reply_attr(req, &st, 3600);
}

static void san_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	fi->direct_io = 1;
	fuse_reply_open(req, fi);
}

static void san_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t at, struct fuse_file_info *fi)
{
	struct path *p = fuse_req_userdata(req);
	int fault = begin(p, false);

	(void)ino, (void)fi;
	if (fault) {
		fuse_reply_err(req, fault);
		return;
	}
	__atomic_add_fetch(&p->reads, 1, __ATOMIC_RELAXED);
	char *buf = malloc(size);
	ssize_t n = buf ? pread(disk_fd, buf, size, at) : -1;

	if (n < 0)
		fuse_reply_err(req, EIO);
	else
		fuse_reply_buf(req, buf, (size_t)n);
	free(buf);
}

static void san_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t at, struct fuse_file_info *fi)
{
	struct path *p = fuse_req_userdata(req);
	int fault = begin(p, true);

	(void)ino, (void)fi;
	if (fault) {
		note("refused write of %s at %lld, %zu bytes", p->name, (long long)at, size);
		fuse_reply_err(req, fault);
		return;
	}
	__atomic_add_fetch(&p->writes, 1, __ATOMIC_RELAXED);
	ssize_t n = disk_write(buf, size, at);

	end_write(p);
	if (n < 0)
		fuse_reply_err(req, EIO);
	else
		fuse_reply_write(req, (size_t)n);
}

static void san_fsync(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
	struct path *p = fuse_req_userdata(req);

	(void)ino, (void)data_only, (void)fi;
	__atomic_add_fetch(&p->flushes, 1, __ATOMIC_RELAXED);
	int fault = begin(p, false);

	if (!fault)
		cache_flush();
	fuse_reply_err(req, fault);
}

/* Discard and write zeroes. */
static void san_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t at, off_t length, struct fuse_file_info *fi)
{
	struct path *p = fuse_req_userdata(req);
	int fault = begin(p, true);

	(void)ino, (void)fi;
	if (fault) {
		note("refused discard of %s at %lld, %lld bytes", p->name, (long long)at, (long long)length);
		fuse_reply_err(req, fault);
		return;
	}
	if (mode & FALLOC_FL_ZERO_RANGE)
		mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE; /* memory has no other zeros */
	fault = fallocate(disk_fd, mode, at, length) ? errno : 0;
	end_write(p);
	fuse_reply_err(req, fault);
}

static void san_init(void *userdata, struct fuse_conn_info *conn)
{
	(void)userdata;
	conn->max_write = IO_MAX;
	conn->max_readahead = 0;
	conn->max_background = 128;
}

static const struct fuse_lowlevel_ops ops = {
	.init = san_init,
	.lookup = san_lookup,
	.getattr = san_getattr,
	.open = san_open,
	.read = san_read,
	.write = san_write,
	.fsync = san_fsync,
	.fallocate = san_fallocate,
};

static void *path_thread(void *arg)
{
	struct path *p = arg;
	struct fuse_loop_config *config = fuse_loop_cfg_create();

	fuse_loop_cfg_set_max_threads(config, THREADS);
	fuse_loop_cfg_set_idle_threads(config, THREADS);
	fuse_session_loop_mt(p->session, config);
	fuse_loop_cfg_destroy(config);
	fuse_session_destroy(p->session);
	return NULL;
}

/* --- commands --- */

/* A loop device over the file; others take free numbers too, so it may need several tries. */
static int loop_make(int file, int *ret_fd)
{
	struct loop_config config = { .fd = (unsigned)file, .block_size = sector };
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);

	config.info.lo_flags = LO_FLAGS_DIRECT_IO | LO_FLAGS_AUTOCLEAR;
	for (int tries = 0; control >= 0 && tries < 100; tries++) {
		char name[32];
		int number = ioctl(control, LOOP_CTL_GET_FREE);

		if (number < 0)
			break;
		snprintf(name, sizeof(name), "/dev/loop%d", number);
		int fd = open(name, O_RDWR | O_CLOEXEC);

		if (fd >= 0 && !ioctl(fd, LOOP_CONFIGURE, &config)) {
			close(control);
			*ret_fd = fd;
			return number;
		}
		int fault = errno;

		if (fd >= 0)
			close(fd);
		errno = fault;
		if (fault != EBUSY)
			break;
	}
	int fault = errno;

	close(control);
	return -fault;
}

static int path_mount(struct path *p)
{
	const char *args[] = { "csvsan", "-osubtype=csvsan,default_permissions" };
	struct fuse_args fuse_args = FUSE_ARGS_INIT(2, (char **)args);

	snprintf(p->dir, sizeof(p->dir), BASE "/%u", (unsigned)(p - paths));
	if (mkdir(p->dir, 0700) && errno != EEXIST)
		return -errno;
	p->session = fuse_session_new(&fuse_args, &ops, sizeof(ops), p);
	fuse_opt_free_args(&fuse_args);
	if (!p->session)
		return -EINVAL;
	if (fuse_session_mount(p->session, p->dir))
		return -EIO;
	return -pthread_create(&p->thread, NULL, path_thread, p);
}

static void attach(const char *name)
{
	if (n_paths == PATH_MAX_COUNT) {
		answer("error too many paths");
		return;
	}
	struct path *p = &paths[n_paths++];
	char file[96];

	text_copy(p->name, sizeof(p->name), name);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->changed, NULL);
	p->loop_fd = -1;
	int r = path_mount(p);

	if (r) {
		answer("error mount: %s", strerror(-r));
		return;
	}
	snprintf(file, sizeof(file), "%s/disk", p->dir);
	int fd = open(file, O_RDWR | O_DIRECT | O_CLOEXEC);

	r = fd < 0 ? -errno : loop_make(fd, &p->loop_fd);
	/* The loop device holds the file system; when it lets go, the session ends by itself. */
	umount2(p->dir, MNT_DETACH);
	if (fd >= 0)
		close(fd);
	if (r < 0) {
		answer("error loop device: %s", strerror(-r));
		return;
	}
	struct loop_info64 info;

	if (ioctl(p->loop_fd, LOOP_GET_STATUS64, &info) || !(info.lo_flags & LO_FLAGS_DIRECT_IO)) {
		answer("error the loop device does no direct I/O");
		return;
	}
	struct stat st;

	fstat(p->loop_fd, &st);
	note("attached %s: loop%d", name, r);
	answer("ok %u %u", major(st.st_rdev), minor(st.st_rdev));
}

/* The newest of that name. */
static struct path *path_find(const char *name)
{
	for (unsigned i = n_paths; i-- > 0;)
		if (!strcmp(paths[i].name, name))
			return &paths[i];
	return NULL;
}

static void set_mode(struct path *p, enum mode mode)
{
	pthread_mutex_lock(&p->lock);
	if (p->mode != DEAD)
		p->mode = mode;
	pthread_cond_broadcast(&p->changed);
	while (p->writing && mode != HANG)
		pthread_cond_wait(&p->changed, &p->lock);
	pthread_mutex_unlock(&p->lock);
	note("%s is %s", p->name, mode_names[mode]);
}

static void save(const char *file)
{
	static char buf[COPY_CHUNK];
	int out = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	off_t data = 0;

	if (out < 0 || ftruncate(out, (off_t)disk_size)) {
		answer("error %s: %s", file, strerror(errno));
		return;
	}
	while ((data = lseek(disk_fd, data, SEEK_DATA)) >= 0) {
		ssize_t n = pread(disk_fd, buf, sizeof(buf), data);

		if (n <= 0 || pwrite(out, buf, (size_t)n, data) != n)
			break;
		data += n;
	}
	close(out);
	answer("ok");
}

static void command(const char *word, const char *name, const char *arg)
{
	if (!strcmp(word, "attach")) {
		attach(name);
		return;
	}
	if (!strcmp(word, "cache")) {
		cache_flush();
		__atomic_store_n(&cache.on, !strcmp(name, "on"), __ATOMIC_RELEASE);
		answer("ok");
		return;
	}
	if (!strcmp(word, "lose")) {
		cache_lose(strtoull(name, NULL, 10));
		return;
	}
	if (!strcmp(word, "save")) {
		save(name);
		return;
	}
	struct path *p = path_find(name);

	if (!p) {
		answer("error no path %s", name);
	} else if (!strcmp(word, "mode")) {
		for (unsigned m = 0; m < sizeof(mode_names) / sizeof(mode_names[0]); m++)
			if (!strcmp(arg, mode_names[m])) {
				set_mode(p, (enum mode)m);
				answer("ok");
				return;
			}
		answer("error no mode %s", arg);
	} else if (!strcmp(word, "detach")) {
		set_mode(p, DEAD);
		if (p->loop_fd >= 0)
			close(p->loop_fd);
		p->loop_fd = -1;
		answer("ok");
	} else if (!strcmp(word, "stat")) {
		answer("ok %llu %llu %llu %llu", (unsigned long long)p->reads, (unsigned long long)p->writes,
		       (unsigned long long)p->flushes, (unsigned long long)p->refused);
	} else {
		answer("error no command %s", word);
	}
}

int main(int argc, char **argv)
{
	char line[512];
	pid_t parent = getppid();

	if (argc != 4) {
		fprintf(stderr, "usage: csvsan SIZE SECTOR LOG\n");
		return 2;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		return 1;
	disk_size = strtoull(argv[1], NULL, 10);
	sector = (uint32_t)strtoul(argv[2], NULL, 10);
	log_fd = open(argv[3], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	disk_fd = memfd_create("csvsan", MFD_CLOEXEC);
	if (log_fd < 0 || disk_fd < 0 || ftruncate(disk_fd, (off_t)disk_size)) {
		perror("csvsan: disk");
		return 1;
	}
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("san", BASE, "tmpfs", 0, NULL)) {
		perror("csvsan: namespace");
		return 1;
	}
	answer("ok");
	while (fgets(line, sizeof(line), stdin)) {
		char word[16], name[256] = "", arg[32] = "";

		if (sscanf(line, "%15s %255s %31s", word, name, arg) >= 2)
			command(word, name, arg);
		else
			answer("error what?");
	}
	for (unsigned i = 0; i < n_paths; i++)
		set_mode(&paths[i], DEAD);
	return 0;
}
