/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The store: what was committed is there after closing, damage is moved aside, failures are told and retried. */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <qb/qbutil.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "clusterd/io/store.h"
#include "tests/lib/check.h"

#define WAIT_MS 20000

static qb_loop_t *loop;
static char dir[64], text[512];
static struct store_meta meta;
static unsigned int objects, resets, commits_ok, commits_failed;
static uint64_t object_sum, last_cookie;
static int last_error, refuse_objects;
static unsigned int wanted_ok, wanted_failed;

static uint64_t sum_of(uint8_t kind, uint32_t id, const void *blob, size_t len)
{
	uint64_t sum = 14695981039346656037ULL ^ kind ^ (uint64_t)id << 8;

	for (size_t i = 0; i < len; i++)
		sum = (sum ^ ((const uint8_t *)blob)[i]) * 1099511628211ULL;
	return sum;
}

static int on_object(void *ctx, uint8_t kind, uint32_t id, const void *blob, size_t len)
{
	(void)ctx;
	objects++;
	object_sum += sum_of(kind, id, blob, len);
	return refuse_objects;
}

static void on_reset(void *ctx)
{
	(void)ctx;
	resets++;
	objects = 0;
	object_sum = 0;
}

static void on_commit(void *ctx, uint64_t cookie, int error)
{
	(void)ctx;
	last_error = error;
	if (error) {
		commits_failed++;
	} else {
		CHECK(cookie > last_cookie);
		last_cookie = cookie;
		commits_ok++;
	}
	if (commits_ok >= wanted_ok && commits_failed >= wanted_failed)
		qb_loop_stop(loop);
}

static void on_late(void *data)
{
	(void)data;
	CHECK(!"completion in time");
	qb_loop_stop(loop);
}

static void wait_for(unsigned int ok, unsigned int failed)
{
	qb_loop_timer_handle timer;

	wanted_ok = ok;
	wanted_failed = failed;
	if (commits_ok >= ok && commits_failed >= failed)
		return;
	qb_loop_timer_add(loop, QB_LOOP_LOW, WAIT_MS * QB_TIME_NS_IN_MSEC, NULL, on_late, &timer);
	qb_loop_run(loop);
	qb_loop_timer_del(loop, timer);
}

static struct store *open_store(int wanted)
{
	static const struct store_handlers handlers = { on_object, on_reset, on_commit };
	struct store *s = NULL;

	objects = resets = commits_ok = commits_failed = 0;
	object_sum = last_cookie = 0;
	memset(&meta, 0xff, sizeof(meta));
	CHECK_EQ(store_open(&s, loop, dir, &handlers, NULL, &meta, text, sizeof(text)), wanted);
	if (!wanted)
		REQUIRE(s);
	return s;
}

static enum store_opened opened(struct store *s)
{
	struct store_status status;

	store_status(s, &status);
	return status.opened;
}

static void path_of(char out[128], const char *name) { snprintf(out, 128, "%s/%s", dir, name); }

static unsigned int files_like(const char *part)
{
	struct dirent *e;
	unsigned int n = 0;
	DIR *d = opendir(dir);

	while (d && (e = readdir(d)))
		n += strstr(e->d_name, part) != NULL;
	if (d)
		closedir(d);
	return n;
}

static void clear_dir(void)
{
	struct dirent *e;
	char path[400];
	DIR *d = opendir(dir);

	while (d && (e = readdir(d))) {
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		unlink(path);
	}
	if (d)
		closedir(d);
}

static void test_round_trip(void)
{
	struct store *s = open_store(0);
	uint8_t blob[OBJECT_ENCODED_MAX];
	uint64_t sum;

	CHECK_EQ(opened(s), STORE_CREATED);
	CHECK_EQ(meta.epoch, 0);
	memset(blob, 0x5a, sizeof(blob));
	CHECK_EQ(store_put(s, 3, 7, blob, sizeof(blob)), 0);
	CHECK_EQ(store_put(s, 3, 8, "gone", 4), 0);
	CHECK_EQ(store_put(s, 255, UINT32_MAX, "", 0), 0);
	CHECK_EQ(store_put(s, 1, 1, blob, sizeof(blob) + 1), -EMSGSIZE);
	CHECK_EQ(store_commit(s, &(struct store_meta){ 1, 1, 1 }, 1), 0);
	CHECK_EQ(store_delete(s, 3, 8), 0);
	CHECK_EQ(store_put(s, 3, 7, "new", 3), 0);
	CHECK_EQ(store_commit(s, &(struct store_meta){ UINT64_MAX, 2, 9 }, 2), 0);
	CHECK_EQ(store_put(s, 9, 9, "never committed", 15), 0);
	wait_for(2, 0);
	store_close(s, WAIT_MS);

	s = open_store(0);
	CHECK_EQ(opened(s), STORE_LOADED);
	CHECK_EQ(meta.epoch, UINT64_MAX);
	CHECK_EQ(meta.seq, 2);
	CHECK_EQ(meta.promised, 9);
	sum = sum_of(3, 7, "new", 3) + sum_of(255, UINT32_MAX, "", 0);
	CHECK_EQ(objects, 2);
	CHECK_EQ(object_sum, sum);
	store_close(s, WAIT_MS);
}

/* Commits that nobody waited for are written by store_close. */
static void test_snapshot_and_close(void)
{
	struct store *s = open_store(0);
	struct store_status status;
	uint64_t sum = 0;

	CHECK_EQ(store_put(s, 1, 1, "void", 4), 0);
	CHECK_EQ(store_wipe(s), 0);
	for (uint32_t i = 1; i <= 20000; i++) {
		char blob[200];
		int n = snprintf(blob, sizeof(blob), "role %u %150s", i, "x");

		CHECK_EQ(store_put(s, 4, i, blob, (size_t)n), 0);
		sum += sum_of(4, i, blob, (size_t)n);
	}
	CHECK_EQ(store_commit(s, &(struct store_meta){ 5, 6, 7 }, 1), 0);
	store_status(s, &status);
	CHECK(status.queued_bytes > 20000 * 150);
	store_close(s, WAIT_MS);
	s = open_store(0);
	CHECK_EQ(objects, 20000);
	CHECK_EQ(object_sum, sum);
	CHECK_EQ(meta.seq, 6);
	store_close(s, WAIT_MS);
}

static void test_group_commit(void)
{
	struct store *s = open_store(0);
	struct store_status status;
	struct timespec a, b;
	double seconds;

	clock_gettime(CLOCK_MONOTONIC, &a);
	for (uint64_t i = 1; i <= 5000; i++) {
		CHECK_EQ(store_put(s, 4, (uint32_t)i, "group", 5), 0);
		CHECK_EQ(store_commit(s, &(struct store_meta){ 5, 6 + i, 7 }, i), 0);
	}
	wait_for(5000, 0);
	clock_gettime(CLOCK_MONOTONIC, &b);
	seconds = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
	store_status(s, &status);
	CHECK_EQ(status.commits, 5000);
	CHECK(status.transactions < 2500);
	CHECK_EQ(status.queued_commits, 0);
	CHECK_EQ(status.queued_bytes, 0);
	printf("grouped: %.0f commits/s in %llu transactions\n", 5000 / seconds, (unsigned long long)status.transactions);
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (unsigned int i = 1; i <= 200; i++) {
		CHECK_EQ(store_put(s, 4, i, "alone", 5), 0);
		CHECK_EQ(store_commit(s, &(struct store_meta){ 6, i, 7 }, 5000 + i), 0);
		wait_for(5000 + i, 0);
	}
	clock_gettime(CLOCK_MONOTONIC, &b);
	seconds = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
	printf("one at a time: %.0f commits/s\n", 200 / seconds);
	store_close(s, WAIT_MS);
}

static void test_lock(void)
{
	struct store *s = open_store(0);
	char pid[32];

	snprintf(pid, sizeof(pid), "process %d", getpid());
	open_store(-EBUSY);
	CHECK_CONTAINS(text, pid);
	CHECK_CONTAINS(text, "state_dir");
	store_close(s, WAIT_MS);
}

static void damage_and_reopen(const char *what, const char *reason)
{
	struct store *s = open_store(0);
	struct store_status status;
	struct stat st;

	store_status(s, &status);
	CHECK_EQ(status.opened, STORE_REBUILT);
	CHECK_EQ(objects, 0);
	CHECK_EQ(meta.epoch, 0);
	CHECK_EQ(stat(status.kept_aside, &st), 0);
	CHECK_CONTAINS(text, status.kept_aside);
	if (!CHECK_CONTAINS(text, reason))
		fprintf(stderr, "\tcase: %s\n", what);
	CHECK_EQ(store_put(s, 1, 1, "again", 5), 0);
	CHECK_EQ(store_commit(s, &(struct store_meta){ 1, 1, 1 }, 1), 0);
	wait_for(1, 0);
	store_close(s, WAIT_MS);
	s = open_store(0);
	CHECK_EQ(opened(s), STORE_LOADED);
	CHECK_EQ(objects, 1);
	store_close(s, WAIT_MS);
	clear_dir();
}

static void fill(void)
{
	struct store *s = open_store(0);

	for (uint32_t i = 1; i <= 500; i++)
		CHECK_EQ(store_put(s, 4, i, "some bytes that fill pages, some bytes that fill pages", 53), 0);
	CHECK_EQ(store_commit(s, &(struct store_meta){ 3, 4, 5 }, 1), 0);
	wait_for(1, 0);
	store_close(s, WAIT_MS);
}

static void edit(const char *sql)
{
	char path[128];
	sqlite3 *db;

	path_of(path, "cluster.db");
	REQUIRE(sqlite3_open(path, &db) == SQLITE_OK);
	CHECK_EQ(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void overwrite(off_t at, size_t n, uint8_t byte)
{
	char path[128];
	uint8_t bytes[8192];
	int fd;

	path_of(path, "cluster.db");
	memset(bytes, byte, sizeof(bytes));
	fd = open(path, O_RDWR);
	CHECK_EQ(pwrite(fd, bytes, n, at), n);
	close(fd);
}

static void test_damage(void)
{
	char path[128];

	clear_dir();
	fill();
	edit("UPDATE object SET data = 'changed' WHERE key = (SELECT min(key) FROM object)");
	damage_and_reopen("a row changed behind our back", "checksum");
	fill();
	edit("UPDATE meta SET seq = 5");
	damage_and_reopen("the tag changed", "checksum");
	fill();
	edit("PRAGMA user_version = 99");
	damage_and_reopen("another schema", "schema 99");
	fill();
	edit("PRAGMA application_id = 1");
	damage_and_reopen("somebody else's database", "not a cluster database");
	fill();
	overwrite(0, 100, 0x41);
	damage_and_reopen("header overwritten", "not a database");
	fill();
	overwrite(4096, 8192, 0x99);
	damage_and_reopen("pages overwritten", "");
	fill();
	path_of(path, "cluster.db");
	CHECK_EQ(truncate(path, 5000), 0);
	damage_and_reopen("cut short", "");
	CHECK_EQ(truncate(path, 0) && errno == ENOENT, 1);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	damage_and_reopen("empty file", "not a cluster database");
	fill();
	refuse_objects = 1;
	{
		struct store *s = open_store(0);

		CHECK_EQ(opened(s), STORE_REBUILT);
		CHECK_EQ(resets, 1);
		CHECK_EQ(files_like("corrupt"), 1);
		store_close(s, WAIT_MS);
	}
	refuse_objects = 0;
	clear_dir();
}

/* RLIMIT_FSIZE stands for a full disk here (EFBIG, SIGXFSZ ignored); -ENOSPC itself needs a small file system: below. */
static void full_then_room(struct store *s, void (*make_room)(void), int wanted)
{
	static uint8_t blob[OBJECT_ENCODED_MAX];
	struct store_status status;

	for (uint32_t i = 1; i <= 1000; i++) {
		memset(blob, (int)i, sizeof(blob));
		CHECK_EQ(store_put(s, 4, i, blob, sizeof(blob)), 0);
	}
	CHECK_EQ(store_commit(s, &(struct store_meta){ 9, 9, 9 }, 1), 0);
	wait_for(0, 1);
	CHECK_EQ(last_error, wanted);
	store_status(s, &status);
	CHECK_EQ(status.error, wanted);
	CHECK(status.error_text[0]);
	CHECK_EQ(status.queued_commits, 1);
	CHECK_EQ(store_put(s, 5, 1, "later", 5), 0);
	CHECK_EQ(store_commit(s, &(struct store_meta){ 9, 10, 9 }, 2), 0);
	make_room();
	wait_for(2, 1);
	store_status(s, &status);
	CHECK_EQ(status.error, 0);
	store_close(s, WAIT_MS);
	s = open_store(0);
	CHECK_EQ(opened(s), STORE_LOADED);
	CHECK_EQ(meta.seq, 10);
	CHECK_EQ(objects, 1001);
	store_close(s, WAIT_MS);
}

static void limit_raise(void)
{
	struct rlimit unlimited;

	getrlimit(RLIMIT_FSIZE, &unlimited);
	unlimited.rlim_cur = unlimited.rlim_max;
	setrlimit(RLIMIT_FSIZE, &unlimited);
}

static void test_file_limit(void)
{
	struct rlimit limit;
	struct store *s;

	clear_dir();
	signal(SIGXFSZ, SIG_IGN);
	s = open_store(0);
	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = 200 * 1024;
	setrlimit(RLIMIT_FSIZE, &limit);
	full_then_room(s, limit_raise, -EFBIG);
	clear_dir();
}

static void filler_remove(void)
{
	char path[128];

	path_of(path, "filler");
	unlink(path);
}

/* Needs root for a small tmpfs in a mount namespace of our own. */
static void test_disk_full(void)
{
	static uint8_t block[65536];
	char path[128];
	struct store *s;
	pid_t pid = fork();
	int status, fd;

	if (pid == 0) {
		if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
		    mount("small", dir, "tmpfs", 0, "size=16m"))
			_exit(CHECK_SKIP);
		/* libqb's loop does not survive fork(2) */
		loop = qb_loop_create();
		s = open_store(0);
		path_of(path, "filler");
		fd = open(path, O_CREAT | O_WRONLY, 0600);
		while (write(fd, block, sizeof(block)) > 0)
			;
		close(fd);
		full_then_room(s, filler_remove, -ENOSPC);
		_exit(check_result());
	}
	waitpid(pid, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == CHECK_SKIP)
		printf("full disk: not tested without root\n");
	else
		CHECK_EQ(status, 0);
}

static int backup_error = 1;

static void on_backup(void *ctx, int error, const char *what)
{
	(void)ctx;
	(void)what;
	backup_error = error;
	qb_loop_stop(loop);
}

/* Whatever the umask: parameters of agents may be passwords. */
static void check_private(const char *name)
{
	struct stat st = { 0 };
	char path[128];

	path_of(path, name);
	CHECK_EQ(stat(path, &st), 0);
	CHECK_EQ(st.st_mode & 07777, 0600);
}

static void test_private(void)
{
	static const char *const names[] = { "cluster.db", "cluster.db-wal" };
	struct store *s;
	char path[128];

	clear_dir();
	fill();
	check_private(names[0]);
	path_of(path, names[0]);
	CHECK_EQ(chmod(path, 0644), 0); /* as older versions left it */
	s = open_store(0);
	CHECK_EQ(store_put(s, 6, 6, "in the log", 10), 0);
	CHECK_EQ(store_commit(s, &(struct store_meta){ 3, 9, 5 }, 1), 0);
	path_of(path, "copy.db");
	CHECK_EQ(store_backup(s, path, on_backup, NULL), 0);
	wanted_ok = 1000;
	qb_loop_run(loop);
	check_private(names[0]);
	check_private(names[1]);
	check_private("copy.db");
	store_close(s, WAIT_MS);
}

static void test_backup(void)
{
	char path[128], restored[128];
	struct store *s;

	clear_dir();
	fill();
	s = open_store(0);
	path_of(path, "copy.db");
	CHECK_EQ(store_put(s, 6, 6, "in the copy", 11), 0);
	CHECK_EQ(store_commit(s, &(struct store_meta){ 3, 9, 5 }, 1), 0);
	CHECK_EQ(store_backup(s, path, on_backup, NULL), 0);
	wanted_ok = 1000; /* only the backup ends the loop */
	qb_loop_run(loop);
	CHECK_EQ(backup_error, 0);
	CHECK_EQ(store_backup(s, path, on_backup, NULL), -EEXIST);
	CHECK_EQ(store_backup(s, "/nonexistent/copy.db", on_backup, NULL), 0);
	qb_loop_run(loop);
	CHECK(backup_error < 0);
	store_close(s, WAIT_MS);
	CHECK_EQ(files_like("part"), 0);
	/* the copy is one whole file: put in the place of the database, it is the state */
	path_of(restored, "cluster.db");
	CHECK_EQ(rename(path, restored), 0);
	path_of(path, "cluster.db-wal");
	unlink(path);
	s = open_store(0);
	CHECK_EQ(opened(s), STORE_LOADED);
	CHECK_EQ(meta.seq, 9);
	CHECK_EQ(objects, 501);
	store_close(s, WAIT_MS);
}

static void test_bound(void)
{
	static uint8_t blob[OBJECT_ENCODED_MAX];
	struct store *s;
	int error = 0;
	uint32_t n = 0;

	clear_dir();
	s = open_store(0);
	while (!error && n < STORE_QUEUE_BYTES_MAX / sizeof(blob) + 10)
		error = store_put(s, 1, ++n, blob, sizeof(blob));
	CHECK_EQ(error, -ENOBUFS);
	CHECK_EQ(store_wipe(s), 0);
	CHECK_EQ(store_put(s, 1, 1, "small", 5), 0);
	CHECK_EQ(store_commit(s, &(struct store_meta){ 1, 1, 1 }, 1), 0);
	wait_for(1, 0);
	store_close(s, WAIT_MS);
}

/* Killed at any moment, the database holds a whole commit, and every one that was reported. */
static void test_kill(void)
{
	uint64_t shared[1];
	int fds[2];

	clear_dir();
	for (unsigned int round = 0; round < 5; round++) {
		uint64_t told = 0;
		struct store *s;
		pid_t pid;

		REQUIRE(!pipe(fds));
		pid = fork();
		if (pid == 0) {
			loop = qb_loop_create();
			s = open_store(0);
			for (uint64_t i = 1;; i++) {
				uint64_t seq = meta.seq + i;

				store_put(s, 1, 1, &seq, sizeof(seq));
				store_put(s, 1, 2, &seq, sizeof(seq));
				store_commit(s, &(struct store_meta){ 1, seq, 1 }, i);
				wait_for((unsigned int)i, 0);
				if (write(fds[1], &seq, sizeof(seq)) < 0)
					_exit(1);
			}
		}
		close(fds[1]);
		for (unsigned int i = 0; i < 20 + round * 7 && read(fds[0], shared, sizeof(shared)) == sizeof(shared); i++)
			told = shared[0];
		kill(pid, SIGKILL);
		while (read(fds[0], shared, sizeof(shared)) == sizeof(shared))
			told = shared[0];
		close(fds[0]);
		waitpid(pid, NULL, 0);
		s = open_store(0);
		CHECK_EQ(opened(s), STORE_LOADED);
		CHECK(meta.seq >= told && told > 0);
		CHECK_EQ(objects, 2);
		CHECK_EQ(object_sum, sum_of(1, 1, &meta.seq, 8) + sum_of(1, 2, &meta.seq, 8));
		store_close(s, WAIT_MS);
	}
}

int main(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(dir, sizeof(dir), "%.40s/test_store.XXXXXX", tmp ? tmp : "/tmp");
	REQUIRE(mkdtemp(dir));
	loop = qb_loop_create();
	test_kill();
	clear_dir();
	test_round_trip();
	test_snapshot_and_close();
	test_group_commit();
	test_lock();
	test_damage();
	test_file_limit();
	test_private();
	test_backup();
	test_bound();
	clear_dir();
	test_disk_full();
	clear_dir();
	CHECK_EQ(rmdir(dir), 0);
	return check_result();
}
