/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a worker of the data checker does all the time: one operation after the other, drawn from its seed. */
#include "tests/csvfs/load/csvload.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define IO_CELLS_MAX 1024 /* 64 KiB */
#define CHURN_CELLS 8192  /* 512 KiB */
#define PAGE 4096
#define HOT_CELLS 192
#define NEIGHBOUR_SECTORS 2
#define NEIGHBOUR_WRITES 16

const char *const op_names[OPS] = { "write",  "write-direct", "write-unaligned", "read",     "read-direct",
				    "append", "map-write",    "map-read",	 "truncate", "extend",
				    "punch",  "rename-over",  "slot-read",	 "names",    "counter",
				    "fsync",  "churn",	      "neighbours",	 "reopen" };
static unsigned weights[OPS] = { 14, 12, 16, 16, 8, 8, 4, 4, 3, 4, 4, 5, 5, 8, 8, 3, 1, 6, 2 };

static uint64_t random_state;
static char path[4096], other[4096];
static const char *directory;
static size_t base; /* length of the directory's part of path */
static int files[DATA_FILES], direct[DATA_FILES], appends[APPEND_FILES], counters[COUNTERS];
static char buf[IO_CELLS_MAX * CELL] __attribute__((aligned(PAGE)));
static uint32_t before[IO_CELLS_MAX], issued[LOOSE_CELLS];
static struct worker *me;
static int sync_flag;

static uint32_t draw(uint32_t below)
{
	random_state += 0x9e3779b97f4a7c15ull;
	uint64_t x = random_state;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return below ? (uint32_t)((x ^ x >> 31) >> 33) % below : 0;
}

static const char *in_dir(const char *name, unsigned number)
{
	snprintf(path + base, sizeof(path) - base, "%s%u", name, number);
	return path;
}

static int open_or_fail(const char *name, int flags)
{
	int fd = open(name, flags | sync_flag | O_CLOEXEC);

	if (fd < 0)
		call_failed("open", errno);
	return fd;
}

static void open_all(void)
{
	for (unsigned i = 0; i < DATA_FILES; i++) {
		files[i] = open_or_fail(in_dir("data-", i), O_RDWR);
		direct[i] = open_or_fail(path, O_RDWR | O_DIRECT);
	}
	for (unsigned i = 0; i < APPEND_FILES; i++)
		appends[i] = open_or_fail(in_dir("append-", i), O_WRONLY | O_APPEND);
	for (unsigned i = 0; i < COUNTERS; i++)
		counters[i] = open_or_fail(in_dir("counter-", i), O_RDWR);
}

/* --- data --- */

static void write_cells(uint32_t file, int fd, uint32_t first, uint32_t n)
{
	uint32_t count;
	struct cell *c = journal_cells(file, &count);

	if (first + n > count || !cells_claim(c, first, n))
		return;
	for (uint32_t i = 0; i < n; i++) {
		issued[i] = cell_issue(&c[first + i], false);
		tag_make(buf + (size_t)i * CELL, file, first + i, issued[i], 0);
	}
	ssize_t done = pwrite(fd, buf, (size_t)n * CELL, (off_t)first * CELL);
	int fault = errno;
	uint32_t good = done < 0 ? 0 : (uint32_t)done / CELL;

	for (uint32_t i = 0; i < n; i++)
		cell_done(&c[first + i], issued[i], i < good, false);
	if (good < n)
		call_failed(done < 0 ? "pwrite" : "short pwrite", done < 0 ? fault : EIO);
}

static void read_cells(uint32_t file, int fd, uint32_t first, uint32_t n, const char *how)
{
	uint32_t count;
	struct cell *c = journal_cells(file, &count);

	if (first + n > count)
		n = count - first;
	for (uint32_t i = 0; i < n; i++)
		before[i] = c[first + i].acked;
	ssize_t got = pread(fd, buf, (size_t)n * CELL, (off_t)first * CELL);

	if (got < 0)
		call_failed("pread", errno);
	else
		cells_check(file, first, n, buf, (size_t)got, before, false, false, how);
}

static uint32_t draw_first(uint32_t file, uint32_t align)
{
	/* Most of all within a small part, where the nodes meet; much of it within few sectors. */
	uint32_t count = file < FIXED_FILES ? FIXED_CELLS : LOOSE_CELLS, where = draw(8);
	uint32_t part = where < 2 ? count : where < 5 ? count / 16 : HOT_CELLS;

	return draw(part) / align * align;
}

static void map_write(uint32_t file)
{
	uint32_t count, first = draw_first(file, PAGE_CELLS), n = PAGE_CELLS;
	struct cell *c = journal_cells(file, &count);

	if (!cells_claim(c, first, n))
		return;
	int fd = open_or_fail(in_dir("data-", file), O_RDWR);
	char *m = fd < 0 ? MAP_FAILED : mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)first * CELL);

	for (uint32_t i = 0; i < n; i++)
		issued[i] = cell_issue(&c[first + i], false);
	bool done = m != MAP_FAILED;
	int fault = errno;

	if (done) {
		for (uint32_t i = 0; i < n; i++)
			tag_make(m + (size_t)i * CELL, file, first + i, issued[i], 0);
		done = !msync(m, PAGE, MS_SYNC);
		fault = errno;
		munmap(m, PAGE);
	}
	for (uint32_t i = 0; i < n; i++)
		cell_done(&c[first + i], issued[i], done, false);
	if (!done)
		call_failed("mmap or msync", fault);
	if (fd >= 0)
		close(fd);
}

/* Cells of its own in sectors where every worker has some: whoever writes a sector as a whole takes something back
 * [I7]. */
static void neighbours(void)
{
	uint32_t file = draw(FIXED_FILES), sector = SECTOR_CELLS * draw(NEIGHBOUR_SECTORS);

	for (int i = 0; i < NEIGHBOUR_WRITES; i++) {
		write_cells(file, files[file], sector + (uint32_t)worker_number % SECTOR_CELLS, 1);
		read_cells(file, files[file], sector, SECTOR_CELLS, "read of a common sector");
	}
}

/* Opened for it: what was acknowledged before the open must be there. */
static void map_read(uint32_t file)
{
	uint32_t count, first = draw_first(file, PAGE_CELLS), n = PAGE_CELLS * 2;
	struct cell *c = journal_cells(file, &count);

	if (first + n > count)
		return;
	for (uint32_t i = 0; i < n; i++)
		before[i] = c[first + i].acked;
	int fd = open_or_fail(in_dir("data-", file), O_RDONLY);

	if (fd < 0)
		return;
	char *m = mmap(NULL, (size_t)n * CELL, PROT_READ, MAP_SHARED, fd, (off_t)first * CELL);

	if (m == MAP_FAILED) {
		call_failed("mmap", errno);
	} else {
		memcpy(buf, m, (size_t)n * CELL);
		munmap(m, (size_t)n * CELL);
		cells_check(file, first, n, buf, (size_t)n * CELL, before, false, false, "mmap");
	}
	close(fd);
}

/* Cells [first, first + n) become zeros, or with n = 0 all from first on by truncation. */
static void zero_cells(uint32_t file, uint32_t first, uint32_t n, int how)
{
	uint32_t count;
	struct cell *c = journal_cells(file, &count);

	if (!n)
		n = count - first;
	if (first + n > count || !cells_claim(c, first, n))
		return;
	for (uint32_t i = 0; i < n; i++)
		issued[i] = cell_issue(&c[first + i], true);
	int r = how < 0 ? ftruncate(files[file], (off_t)first * CELL)
			: fallocate(files[file], how, (off_t)first * CELL, (off_t)n * CELL);
	int fault = errno;

	for (uint32_t i = 0; i < n; i++)
		cell_done(&c[first + i], issued[i], !r, true);
	if (r)
		call_failed(how < 0 ? "ftruncate" : "fallocate", fault);
}

static void punch(void)
{
	uint32_t file = FIXED_FILES - 1 + draw(LOOSE_FILES + 1), first = draw_first(file, draw(2) ? PAGE_CELLS : 1);

	zero_cells(file, first, 1 + draw(LOOSE_CELLS / 16),
		   (draw(2) ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE) | FALLOC_FL_KEEP_SIZE);
}

/* --- appended records --- */

static void append(void)
{
	uint32_t file = draw(APPEND_FILES), n = 1 + draw(draw(4) ? 8 : 64);
	uint32_t sequence = me->append_issued[file] + 1;

	if (me->append_issued[file] != me->append_acked[file])
		return; /* too much is unknown of it */
	for (uint32_t i = 0; i < n; i++)
		tag_make(buf + (size_t)i * CELL, APPEND_ID + file * WORKERS_MAX + (uint32_t)worker_number, i, sequence,
			 n);
	me->append_issued[file] = sequence;
	ssize_t done = write(appends[file], buf, (size_t)n * CELL);

	if (done != (ssize_t)((size_t)n * CELL)) {
		int fault = done < 0 ? errno : EIO;
		uint32_t at = me->n_append_unknown[file];

		if (at < APPEND_UNKNOWN_MAX) {
			me->append_unknown[file][at] = sequence;
			me->n_append_unknown[file] = at + 1;
			me->append_acked[file] = sequence;
		}
		call_failed(done < 0 ? "append" : "append, of which only a part was done", fault);
		return;
	}
	me->append_acked[file] = sequence;
}

/* --- names --- */

static void rename_over(void)
{
	uint32_t slot = draw(SLOTS), n = 1 + draw(PAGE_CELLS * 3);
	struct cell *c = &journal->slots[slot];

	if (!cells_claim(c, 0, 1))
		return;
	uint32_t version = cell_issue(c, false);

	for (uint32_t i = 0; i < n; i++)
		tag_make(buf + (size_t)i * CELL, SLOT_ID + slot, i, version, n);
	in_dir("slot-new-", (unsigned)worker_number);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | sync_flag, 0644);
	bool ok = fd >= 0 && write(fd, buf, (size_t)n * CELL) == (ssize_t)((size_t)n * CELL);
	int fault = errno;

	if (fd >= 0 && close(fd)) {
		ok = false;
		fault = errno;
	}
	snprintf(other, sizeof(other), "%s", path);
	bool renamed = ok && !rename(other, in_dir("slot-", slot));

	if (ok && !renamed)
		fault = errno;
	cell_done(c, version, renamed, false);
	if (!renamed)
		call_failed(ok ? "rename over" : "write a new file", fault);
}

static void slot_read(void)
{
	uint32_t slot = draw(SLOTS), acked = journal->slots[slot].acked, version = 0, length = 0, v, l;
	int fd = open_or_fail(in_dir("slot-", slot), O_RDONLY);

	if (fd < 0)
		return;
	ssize_t got = read(fd, buf, sizeof(buf));

	close(fd);
	if (got < 0) {
		call_failed("read", errno);
		return;
	}
	if (tag_read(buf, SLOT_ID + slot, 0, &version, &length) != 1 || got != (ssize_t)((size_t)length * CELL)) {
		finding(&journal->torn, "torn", "slot %u: %zd bytes, record of %u cells", slot, got, length);
		return;
	}
	for (uint32_t i = 0; i < length; i++)
		if (tag_read(buf + (size_t)i * CELL, SLOT_ID + slot, i, &v, &l) != 1 || v != version)
			finding(&journal->torn, "torn", "slot %u cell %u: version %u among %u", slot, i, v, version);
	if (!version_allowed(&journal->slots[slot], version, acked))
		finding(&journal->stale, "stale", "slot %u: version %u, acknowledged %u, issued %u", slot, version,
			acked, journal->slots[slot].issued);
}

void own_path(char *to, size_t size, const char *dir, int worker, unsigned name)
{
	snprintf(to, size, "%s/own-%d-%u", dir, worker, name);
}

/* Names of its own: whatever it knows of them must come true, each operation once. */
static void names(void)
{
	unsigned a = draw(OWN_NAMES), b = draw(OWN_NAMES);
	uint8_t state = me->own[a], there = me->own[b];
	const char *what;

	own_path(path, sizeof(path), directory, worker_number, a);
	own_path(other, sizeof(other), directory, worker_number, b);
	if (state == OWN_UNKNOWN) /* of a life before */
		return;
	me->own[a] = OWN_UNKNOWN;
	int r, kind = 0;

	if (state == OWN_ABSENT) {
		kind = (int)draw(3);
		r = kind == 0	? open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644)
		    : kind == 1 ? mkdir(path, 0755)
				: symlink("target", path);
		if (kind == 0 && r >= 0)
			r = close(r);
		what = kind == 0   ? "create of a name of its own"
		       : kind == 1 ? "mkdir of a name of its own"
				   : "symlink of a name of its own";
		state = r ? state : (uint8_t)(OWN_FILE + kind);
	} else if (a != b && there == OWN_ABSENT && draw(2)) {
		me->own[b] = OWN_UNKNOWN;
		r = rename(path, other);
		what = "rename of a name of its own";
		if (!r) {
			me->own[b] = state;
			state = OWN_ABSENT;
		}
	} else {
		r = state == OWN_DIRECTORY ? rmdir(path) : unlink(path);
		what = state == OWN_DIRECTORY ? "rmdir of a name of its own" : "unlink of a name of its own";
		state = r ? state : OWN_ABSENT;
	}
	if (r)
		call_failed(what, errno);
	else
		me->own[a] = state;
}

/* --- counters under locks --- */

static int lock(unsigned counter, bool on)
{
	struct flock l = { .l_type = on ? F_WRLCK : F_UNLCK, .l_whence = SEEK_SET, .l_len = CELL };
	int fd = counters[counter];

	return counter % 3 == 2 ? flock(fd, on ? LOCK_EX : LOCK_UN)
				: fcntl(fd, counter % 3 ? F_OFD_SETLKW : F_SETLKW, &l);
}

static void count(void)
{
	uint32_t n = draw(COUNTERS), version = 0, mine = (uint32_t)worker_number + 1, free_one = 0;
	struct cell *c = &journal->counters[n];

	if (lock(n, true)) {
		call_failed("lock", errno);
		return;
	}
	if (!atomic_compare_exchange_strong(&c->claim, &free_one, mine)) {
		if (journal->workers[free_one - 1].doomed) {
			cell_bury(c);
			c->claim = mine;
		} else {
			finding(&journal->broken_locks, "broken lock",
				"counter %u: worker %u on node %u has its lock too", n, free_one - 1,
				journal->workers[free_one - 1].node);
			lock(n, false);
			return;
		}
	}
	uint32_t acked = c->acked;
	memset(buf, 0, CELL);
	ssize_t got = pread(counters[n], buf, CELL, 0);

	if (got < 0)
		call_failed("pread of a counter", errno);
	else if (tag_read(buf, COUNTER_ID + n, 0, &version, NULL) < 0 || !version_allowed(c, version, acked))
		finding(&journal->stale, "stale", "counter %u under its lock: %u, acknowledged %u, issued %u", n,
			version, acked, c->issued);
	version = cell_issue(c, false);
	tag_make(buf, COUNTER_ID + n, 0, version, 0);
	ssize_t done = pwrite(counters[n], buf, CELL, 0);
	int fault = errno;

	cell_done(c, version, done == CELL, false);
	if (done != CELL)
		call_failed("pwrite of a counter", done < 0 ? fault : EIO);
	if (lock(n, false))
		call_failed("unlock", errno);
}

/* --- blocks that come and go --- */

static void churn(void)
{
	uint32_t number = me->churn++, version, file = CHURN_ID + (uint32_t)worker_number;

	in_dir("churn-", (unsigned)worker_number);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0) {
		call_failed("create", errno);
		return;
	}
	for (uint32_t at = 0; at < CHURN_CELLS; at += IO_CELLS_MAX) {
		for (uint32_t i = 0; i < IO_CELLS_MAX; i++)
			tag_make(buf + (size_t)i * CELL, file, at + i, number, 0);
		if (pwrite(fd, buf, sizeof(buf), (off_t)at * CELL) != (ssize_t)sizeof(buf))
			call_failed("pwrite", errno);
	}
	for (uint32_t at = 0; at < CHURN_CELLS; at += IO_CELLS_MAX) {
		if (pread(fd, buf, sizeof(buf), (off_t)at * CELL) != (ssize_t)sizeof(buf)) {
			call_failed("pread", errno);
			break;
		}
		for (uint32_t i = 0; i < IO_CELLS_MAX; i++)
			if (tag_read(buf + (size_t)i * CELL, file, at + i, &version, NULL) != 1 || version != number) {
				finding(&journal->lost, "lost", "churn of worker %d: cell %u version %u, want %u",
					worker_number, at + i, version, number);
				break;
			}
	}
	close(fd);
	if (unlink(path))
		call_failed("unlink", errno);
}

static void reopen(void)
{
	for (unsigned i = 0; i < DATA_FILES; i++) {
		close(files[i]);
		close(direct[i]);
	}
	for (unsigned i = 0; i < APPEND_FILES; i++)
		close(appends[i]);
	for (unsigned i = 0; i < COUNTERS; i++)
		close(counters[i]);
	open_all();
}

static void step(enum op op)
{
	uint32_t any = draw(DATA_FILES), fixed = draw(FIXED_FILES), loose = FIXED_FILES + draw(LOOSE_FILES);
	uint32_t n = 1 + draw(draw(2)	? 6
			      : draw(8) ? 63
					: 1023),
		 sectors = SECTOR_CELLS * (1 + draw(draw(8) ? 4 : 127));

	switch (op) {
	case OP_WRITE:
		write_cells(any, files[any], draw_first(any, SECTOR_CELLS), sectors);
		break;
	case OP_WRITE_DIRECT:
		write_cells(any, direct[any], draw_first(any, SECTOR_CELLS), sectors);
		break;
	case OP_WRITE_UNALIGNED:
		write_cells(any, files[any], draw_first(any, 1), n);
		break;
	case OP_READ:
		read_cells(any, files[any], draw_first(any, 1), n, "read");
		break;
	case OP_READ_DIRECT:
		read_cells(any, direct[any], draw_first(any, PAGE_CELLS), sectors, "direct read");
		break;
	case OP_APPEND:
		append();
		break;
	case OP_MAP_WRITE:
		map_write(fixed);
		break;
	case OP_MAP_READ:
		map_read(fixed);
		break;
	case OP_TRUNCATE:
		zero_cells(loose, LOOSE_CELLS - 1 - draw(draw(3) ? LOOSE_CELLS / 4 : LOOSE_CELLS), 0, -1);
		break;
	case OP_EXTEND:
		write_cells(loose, files[loose], LOOSE_CELLS - 1 - draw(LOOSE_CELLS / 2), n);
		break;
	case OP_PUNCH:
		punch();
		break;
	case OP_RENAME_OVER:
		rename_over();
		break;
	case OP_SLOT_READ:
		slot_read();
		break;
	case OP_NAMES:
		names();
		break;
	case OP_COUNTER:
		count();
		break;
	case OP_FSYNC:
		if (draw(2) ? fsync(files[any]) : fdatasync(direct[any]))
			call_failed("fsync", errno);
		break;
	case OP_CHURN:
		churn();
		break;
	case OP_NEIGHBOURS:
		neighbours();
		break;
	case OP_REOPEN:
		reopen();
		break;
	case OPS:
		break;
	}
}

static void enter(const char *dir)
{
	directory = dir;
	base = (size_t)snprintf(path, sizeof(path) / 2, "%s/", dir);
}

static bool has_option(const char *options, const char *name)
{
	size_t len = strlen(name);

	for (const char *at = options; (at = strstr(at, name)); at += len)
		if ((at == options || at[-1] == ',') && (!at[len] || at[len] == ','))
			return true;
	return false;
}

int work(const char *dir, uint64_t seed, const char *options)
{
	unsigned all = 0;

	enter(dir);
	random_state = seed;
	me = &journal->workers[worker_number];
	if (has_option(options, "sync"))
		sync_flag = O_SYNC;
	for (int i = 0; i < OPS; i++) {
		if (has_option(options, op_names[i]))
			weights[i] = 0;
		all += weights[i];
	}
	open_all();
	me->running = 1;
	while (!journal->stop) {
		unsigned at = draw(all);
		int op = 0;

		while (at >= weights[op])
			at -= weights[op++];
		me->doing = (uint32_t)op + 1;
		step((enum op)op);
		me->doing = 0;
		me->ops[op]++;
	}
	me->running = 0;
	return 0;
}

int make(const char *dir)
{
	enter(dir);
	for (unsigned i = 0; i < DATA_FILES + APPEND_FILES + COUNTERS + SLOTS; i++) {
		unsigned n = i < DATA_FILES				? i
			     : i < DATA_FILES + APPEND_FILES		? i - DATA_FILES
			     : i < DATA_FILES + APPEND_FILES + COUNTERS ? i - DATA_FILES - APPEND_FILES
									: i - DATA_FILES - APPEND_FILES - COUNTERS;
		const char *name = i < DATA_FILES			      ? "data-"
				   : i < DATA_FILES + APPEND_FILES	      ? "append-"
				   : i < DATA_FILES + APPEND_FILES + COUNTERS ? "counter-"
									      : "slot-";
		int fd = open(in_dir(name, n), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		bool ok = fd >= 0;

		if (ok && i < FIXED_FILES)
			ok = !ftruncate(fd, (off_t)FIXED_CELLS * CELL);
		if (ok && i >= DATA_FILES + APPEND_FILES + COUNTERS) {
			tag_make(buf, SLOT_ID + n, 0, 1, 1);
			journal->slots[n].acked = journal->slots[n].issued = 1;
			ok = write(fd, buf, CELL) == CELL;
		}
		if (!ok || close(fd)) {
			perror(path);
			return 2;
		}
	}
	return 0;
}
