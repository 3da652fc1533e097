/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Locks of all sessions: the semantics of Linux as stories, and random locks against a model of single bytes. */
#include "csvfs/core/file_lock.h"
#include "splitmix.h"
#include "tests/lib/check.h"

#define R FILE_LOCK_READ
#define W FILE_LOCK_WRITE
#define U FILE_LOCK_NONE
#define END FILE_LOCK_END
#define SESSIONS 3
#define BYTES 24
#define STEPS 30000

static const struct file_lock_limits limits = { .files = 4, .locks = 200, .waiters = 20 };
static struct file_lock_table *table;
static struct file_lock_found found;
static struct vol_fid file = { .len = 8, .type = 1, .data = "thefile" };
static uint64_t requests;

static void begin(const struct file_lock_limits *l)
{
	free(table);
	table = file_lock_init(malloc(file_lock_size(l)), l);
}

static struct file_lock_ask ask_of(uint32_t session, uint8_t type, uint64_t start, uint64_t end)
{
	return (struct file_lock_ask){ .file = &file, .session = session, .node = session + 1, .request = ++requests, .handle = 1,
				       .owner = 7, .start = start, .end = end, .pid = 100 + session, .type = type,
				       .user = &requests };
}

static int lock(uint32_t session, uint8_t type, uint64_t start, uint64_t end)
{
	struct file_lock_ask a = ask_of(session, type, start, end);

	return file_lock_ask(table, &a, &found);
}

static int lock_wait(uint32_t session, uint8_t type, uint64_t start, uint64_t end)
{
	struct file_lock_ask a = ask_of(session, type, start, end);

	a.wait = true;
	return file_lock_ask(table, &a, &found);
}

static int flock_of(uint32_t session, uint64_t handle, uint8_t type, bool wait)
{
	struct file_lock_ask a = ask_of(session, type, 5, 1);

	a.flock = true;
	a.handle = handle;
	a.wait = wait;
	return file_lock_ask(table, &a, &found);
}

static void woken(uint32_t session, int error)
{
	struct file_lock_woken w;

	if (!CHECK(file_lock_next(table, &w)))
		return;
	CHECK_EQ(w.session, session);
	CHECK_EQ(w.error, error);
	CHECK(w.user == &requests);
}

static void nobody(void)
{
	struct file_lock_woken w;

	CHECK(!file_lock_next(table, &w));
}

static void ranges(void)
{
	struct file_lock_ask a;

	begin(&limits);
	CHECK_EQ(lock(0, W, 0, 99), 0);
	CHECK_EQ(lock(0, R, 40, 59), 0); /* splits */
	CHECK_EQ(file_lock_count(table, &file, NULL), 3);
	CHECK_EQ(lock(1, R, 45, 50), 0);
	CHECK_EQ(lock(1, W, 45, 50), -EAGAIN); /* upgrade of a shared one */
	CHECK(found.type == R && found.start == 40 && found.end == 59 && found.pid == 100 && found.node == 1);
	a = ask_of(2, W, 0, END);
	a.test = true;
	CHECK_EQ(file_lock_ask(table, &a, &found), 0);
	CHECK(found.type == W && found.start == 0 && found.end == 39);
	CHECK_EQ(lock(1, U, 0, END), 0);
	CHECK_EQ(lock(0, W, 40, 59), 0); /* merges */
	CHECK_EQ(file_lock_count(table, &file, NULL), 1);
	CHECK_EQ(lock(0, W, 100, END), 0);
	CHECK_EQ(file_lock_count(table, &file, NULL), 1);
	CHECK_EQ(lock(0, U, 10, 19), 0);
	CHECK_EQ(file_lock_count(table, &file, NULL), 2);
	CHECK_EQ(lock(1, W, 10, 19), 0);
	CHECK_EQ(lock(0, U, 0, END), 0);
	CHECK_EQ(lock(1, U, 0, END), 0);
	CHECK_EQ(lock(1, U, 0, END), 0); /* nothing there */
	CHECK_EQ(file_lock_count(table, &file, NULL), 0);
	CHECK_EQ(lock(0, W, 9, 8), -EINVAL);
	CHECK_EQ(lock(0, W, 0, UINT64_MAX), -EINVAL);
	CHECK_EQ(lock(0, 3, 0, 1), -EINVAL);
}

static void waiting(void)
{
	struct file_lock_ask a;
	uint32_t n;
	void *user;

	begin(&limits);
	CHECK_EQ(lock(0, W, 0, 9), 0);
	CHECK_EQ(lock_wait(1, W, 0, 9), -EINPROGRESS);
	a = ask_of(2, W, 0, 9);
	a.wait = true;
	CHECK_EQ(file_lock_ask(table, &a, &found), -EINPROGRESS);
	CHECK_EQ(file_lock_ask(table, &a, &found), -EINPROGRESS); /* sent again */
	file_lock_count(table, &file, &n);
	CHECK_EQ(n, 2);
	nobody();
	CHECK_EQ(lock(0, U, 0, 9), 0);
	woken(1, 0); /* in order of arrival */
	nobody();
	CHECK(file_lock_cancel(table, 2, a.request, &user));
	CHECK(user == &requests);
	CHECK(!file_lock_cancel(table, 2, a.request, &user));
	CHECK_EQ(lock(1, R, 0, 9), 0);
	CHECK_EQ(lock_wait(2, W, 5, 5), -EINPROGRESS);
	CHECK_EQ(lock(0, R, 5, 5), 0); /* does not wait behind one that waits */
	file_lock_session_gone(table, 1);
	nobody();
	file_lock_session_gone(table, 2);
	woken(2, -ESTALE);
	CHECK_EQ(lock_wait(1, W, 5, 5), -EINPROGRESS);
	file_lock_release(table, &file, 1, 1);
	woken(1, -EBADF);
	file_lock_release(table, &file, 0, 1);
	CHECK_EQ(file_lock_count(table, &file, &n), 0);
	nobody();
}

static void deadlocks(void)
{
	begin(&limits);
	for (uint32_t s = 0; s < 16; s++)
		CHECK_EQ(lock(s, W, s, s), 0);
	CHECK_EQ(lock_wait(0, W, 1, 1), -EINPROGRESS);
	CHECK_EQ(lock(1, W, 0, 0), -EAGAIN);
	CHECK_EQ(lock_wait(1, W, 0, 0), -EDEADLK);
	for (uint32_t s = 1; s < FILE_LOCK_DEADLOCK_DEPTH; s++)
		CHECK_EQ(lock_wait(s, W, s + 1, s + 1), -EINPROGRESS);
	CHECK_EQ(lock_wait(FILE_LOCK_DEADLOCK_DEPTH, W, 0, 0), -EDEADLK);
	CHECK_EQ(lock_wait(FILE_LOCK_DEADLOCK_DEPTH, W, 11, 11), -EINPROGRESS);
	CHECK_EQ(lock_wait(11, W, 0, 0), -EINPROGRESS); /* farther than is looked */
	file_lock_session_gone(table, 1);
	woken(1, -ESTALE);
	woken(0, 0);
}

static void flocks(void)
{
	begin(&limits);
	CHECK_EQ(flock_of(0, 1, R, false), 0);
	CHECK_EQ(flock_of(0, 2, R, false), 0); /* another open file of the session */
	CHECK_EQ(lock(1, W, 0, END), 0);       /* they do not see each other */
	CHECK_EQ(flock_of(0, 1, W, false), -EAGAIN);
	CHECK_EQ(flock_of(1, 1, R, false), 0);
	CHECK_EQ(flock_of(0, 2, W, true), -EINPROGRESS); /* has given up what it had */
	nobody();
	CHECK_EQ(flock_of(1, 1, W, true), 0);
	CHECK_EQ(flock_of(1, 1, U, false), 0);
	woken(0, 0);
	file_lock_release(table, &file, 0, 2);
	CHECK_EQ(file_lock_count(table, &file, NULL), 1);
}

static void grace(void)
{
	struct file_lock_ask a;

	begin(&limits);
	file_lock_grace(table, true);
	CHECK_EQ(lock(0, W, 0, 9), -EINPROGRESS);
	a = ask_of(1, W, 0, 9);
	a.reclaim = true;
	CHECK_EQ(file_lock_ask(table, &a, &found), 0);
	a = ask_of(2, W, 5, 5);
	a.reclaim = true;
	CHECK_EQ(file_lock_ask(table, &a, &found), -EAGAIN);
	a = ask_of(2, W, 20, 29);
	a.reclaim = true;
	CHECK_EQ(file_lock_ask(table, &a, &found), 0);
	CHECK_EQ(lock_wait(0, W, 25, 25), -EINPROGRESS);
	CHECK_EQ(lock(2, U, 0, END), 0);
	nobody();
	file_lock_grace(table, false);
	woken(0, -EAGAIN);
	woken(0, 0);
	nobody();
}

static void full(void)
{
	static const struct file_lock_limits small = { .files = 1, .locks = 3, .waiters = 1 };
	struct vol_fid other = { .len = 1, .data = "o" };
	struct file_lock_ask a;

	begin(&small);
	CHECK_EQ(lock(0, W, 0, 99), 0);
	CHECK_EQ(lock(0, R, 10, 19), 0);
	CHECK_EQ(lock(0, U, 50, 50), -ENOLCK); /* would split */
	CHECK_EQ(lock(0, R, 10, 19), 0);
	a = ask_of(0, R, 0, 0);
	a.file = &other;
	CHECK_EQ(file_lock_ask(table, &a, &found), -ENOLCK);
	CHECK_EQ(lock_wait(1, W, 0, 0), -EINPROGRESS);
	CHECK_EQ(lock_wait(2, W, 0, 0), -ENOLCK);
	CHECK_EQ(lock(0, W, 0, 99), 0);
	CHECK_EQ(file_lock_count(table, &file, NULL), 1);
}

/* --- model: what each session has of each byte --- */

static uint8_t model[SESSIONS][BYTES];

static bool free_for(uint32_t s, uint8_t type, uint64_t start, uint64_t end)
{
	for (uint32_t o = 0; o < SESSIONS; o++)
		for (uint64_t b = start; o != s && b <= end; b++)
			if (model[o][b] != U && (type == W || model[o][b] == W) && type != U)
				return false;
	return true;
}

static uint32_t runs(void)
{
	uint32_t n = 0;

	for (uint32_t s = 0; s < SESSIONS; s++)
		for (int b = 0; b < BYTES; b++)
			n += model[s][b] != U && (!b || model[s][b - 1] != model[s][b]);
	return n;
}

static void against_model(uint64_t seed)
{
	uint64_t rng = seed;

	begin(&limits);
	memset(model, U, sizeof(model));
	for (int step = 0; step < STEPS && !check_failed; step++) {
		uint32_t s = (uint32_t)(splitmix_next(&rng) % SESSIONS);
		uint8_t type = (uint8_t)(splitmix_next(&rng) % 3);
		uint64_t start = splitmix_next(&rng) % BYTES, end = start + splitmix_next(&rng) % (BYTES - start);
		bool can = free_for(s, type, start, end);

		CHECK_EQ(lock(s, type, start, end), can ? 0 : -EAGAIN);
		if (can)
			memset(&model[s][start], type, end - start + 1);
		CHECK_EQ(file_lock_count(table, &file, NULL), runs());
	}
	if (check_failed)
		fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
}

int main(void)
{
	ranges();
	waiting();
	deadlocks();
	flocks();
	grace();
	full();
	for (uint64_t seed = 1; seed <= 5; seed++)
		against_model(seed);
	free(table);
	return check_result();
}
