/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Data checker: workers on several nodes write and read tagged cells through every path; a journal outside of the
 * volume knows what each cell may hold.
 *
 * The journal is a file that all hosts of a lab map: it is memory of the machine, so what was noted is noted even when
 * a host dies at the next instruction. A cell is 64 bytes of a file; it says which cell of which file it is, in which
 * version. At most one operation on a cell is under way: who wants to change it claims it. Versions of a cell rise. So
 * whatever is read must be
 *
 *   acked before the read began <= version <= issued when it ended
 *
 * or a version whose outcome nobody knows (its writer died, or got an error) until a verify, when all is quiet, has
 * seen what became of it. Neighbouring cells belong to different nodes all the time, also within a sector: that is what
 * a careless read-modify-write loses. Zeros are a version too, made by truncate, punch and zero range.
 */
#ifndef TESTS_CSVFS_LOAD_CSVLOAD_H
#define TESTS_CSVFS_LOAD_CSVLOAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CELL 64
#define SECTOR_CELLS 8
#define PAGE_CELLS 64
#define FIXED_FILES 4 /* always full size; also mapped */
#define LOOSE_FILES 2 /* truncated, extended, punched */
#define DATA_FILES (FIXED_FILES + LOOSE_FILES)
#define FIXED_CELLS 32768 /* 2 MiB */
#define LOOSE_CELLS 16384
#define APPEND_FILES 2
#define APPEND_ID 100 /* file number in tags */
#define CHURN_ID 1000
#define SLOTS 16 /* names that are renamed over */
#define SLOT_ID 200
#define COUNTERS 6 /* protected by locks: 0, 3 POSIX; 1, 4 OFD; 2, 5 flock */
#define COUNTER_ID 300
#define OWN_NAMES 32 /* of each worker */
#define WORKERS_MAX 32
#define UNKNOWN_MAX 6
#define APPEND_UNKNOWN_MAX 64
#define ZERO_FLAG 0x80000000u
#define ANY UINT32_MAX /* unknown[0]: too many unknown, whatever was issued is right */
#define MAGIC 0x4c4c45432d565343ull

enum op {
	OP_WRITE,
	OP_WRITE_DIRECT,
	OP_WRITE_UNALIGNED,
	OP_READ,
	OP_READ_DIRECT,
	OP_APPEND,
	OP_MAP_WRITE,
	OP_MAP_READ,
	OP_TRUNCATE,
	OP_EXTEND,
	OP_PUNCH,
	OP_RENAME_OVER,
	OP_SLOT_READ,
	OP_NAMES,
	OP_COUNTER,
	OP_FSYNC,
	OP_CHURN,
	OP_NEIGHBOURS,
	OP_REOPEN,
	OPS
};
extern const char *const op_names[OPS];

struct cell {
	_Atomic uint32_t claim; /* worker + 1 */
	_Atomic uint32_t acked, issued;
	_Atomic uint32_t zero; /* newest issued version that is zeros */
	_Atomic uint32_t unknown[UNKNOWN_MAX];
};

enum own_state { OWN_ABSENT, OWN_FILE, OWN_DIRECTORY, OWN_LINK, OWN_UNKNOWN };

struct worker {
	_Atomic uint32_t doomed; /* its host or client was killed by the runner: its errors are no findings */
	_Atomic uint32_t running, node;
	_Atomic uint64_t ops[OPS], errors, retried;
	_Atomic uint32_t append_issued[APPEND_FILES], append_acked[APPEND_FILES];
	_Atomic uint32_t append_unknown[APPEND_FILES][APPEND_UNKNOWN_MAX], n_append_unknown[APPEND_FILES];
	_Atomic uint8_t own[OWN_NAMES];
	_Atomic uint32_t churn; /* number of its next file */
	_Atomic uint32_t doing; /* enum op + 1 */
	char error[160];	/* the first one */
};

struct journal {
	uint64_t magic;
	_Atomic uint32_t stop;
	_Atomic uint64_t lost, stale, foreign, torn, duplicates, broken_locks, errors;
	struct worker workers[WORKERS_MAX];
	struct cell slots[SLOTS], counters[COUNTERS];
	struct cell fixed[FIXED_FILES][FIXED_CELLS];
	struct cell loose[LOOSE_FILES][LOOSE_CELLS];
};

struct tag { /* what a cell says */
	uint64_t magic;
	uint32_t file, cell, version, length; /* length: of an appended record, in cells */
	uint32_t fill[9];
	uint32_t sum;
};
_Static_assert(sizeof(struct tag) == CELL, "a tag is a cell");

extern struct journal *journal;
extern int worker_number; /* -1: not a worker */

void journal_open(const char *path, bool make);
struct cell *journal_cells(uint32_t file, uint32_t *ret_count);
void tag_make(void *at, uint32_t file, uint32_t cell, uint32_t version, uint32_t length);
/* 1: a tag of that file and cell, its version; 0: zeros; -1: neither. */
int tag_read(const void *at, uint32_t file, uint32_t cell, uint32_t *ret_version, uint32_t *ret_length);
bool tag_any(const void *at, uint32_t *ret_file, uint32_t *ret_cell, uint32_t *ret_version); /* for the message */

/* Claims cells [first, first + n) or none. */
bool cells_claim(struct cell *c, uint32_t first, uint32_t n);
/* The next version of a claimed cell. */
uint32_t cell_issue(struct cell *c, bool zero);
/* The outcome of the version: what was asked happened, or nobody knows; the claim ends. */
void cell_done(struct cell *c, uint32_t version, bool known, bool zero);
/* Its claimer is dead. */
void cell_bury(struct cell *c);

/*
 * What was read of cells [first, first + n): `got` bytes at `buf`, behind them the end of the file. `before`: acked of
 * each when the read began. Counts findings (lost when `quiet`: nothing is under way; else stale). With `settle` what
 * was found becomes what is acked.
 */
void cells_check(uint32_t file, uint32_t first, uint32_t n, const char *buf, size_t got, const uint32_t *before,
		 bool quiet, bool settle, const char *how);
bool version_allowed(const struct cell *c, uint32_t version, uint32_t before);
void finding(_Atomic uint64_t *counter, const char *what, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* A call failed that must not: noted unless the runner doomed this worker. */
void call_failed(const char *what, int fault);

/* `options`: see load_main.c. */
int work(const char *dir, uint64_t seed, const char *options);
int make(const char *dir);
int verify(const char *dir, const char *how, bool settle);
void own_path(char *path, size_t size, const char *dir, int worker, unsigned name);

#endif
