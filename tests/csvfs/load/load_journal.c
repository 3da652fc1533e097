/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The journal of the data checker: tags, claims, and what a read may find. */
#include "tests/csvfs/load/csvload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FINDINGS_SHOWN 40

struct journal *journal;
int worker_number = -1;
static unsigned shown;

void journal_open(const char *path, bool make)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | (make ? O_CREAT | O_EXCL : 0), 0600);

	if (fd < 0 || (make && ftruncate(fd, sizeof(struct journal)))) {
		perror(path);
		exit(2);
	}
	journal = mmap(NULL, sizeof(struct journal), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (journal == MAP_FAILED || (!make && journal->magic != MAGIC)) {
		fprintf(stderr, "%s: no journal\n", path);
		exit(2);
	}
	journal->magic = MAGIC;
}

struct cell *journal_cells(uint32_t file, uint32_t *ret_count)
{
	*ret_count = file < FIXED_FILES ? FIXED_CELLS : LOOSE_CELLS;
	return file < FIXED_FILES ? journal->fixed[file] : journal->loose[file - FIXED_FILES];
}

/* --- tags --- */

static uint32_t mix(uint32_t x)
{
	x ^= x >> 16;
	x *= 0x7feb352du;
	x ^= x >> 15;
	x *= 0x846ca68bu;
	return x ^ x >> 16;
}

void tag_make(void *at, uint32_t file, uint32_t cell, uint32_t version, uint32_t length)
{
	struct tag t = { .magic = MAGIC, .file = file, .cell = cell, .version = version, .length = length };
	uint32_t sum = mix(file) ^ mix(cell + 1) ^ mix(version + 2) ^ mix(length + 3);

	for (unsigned i = 0; i < sizeof(t.fill) / sizeof(t.fill[0]); i++)
		t.fill[i] = sum = mix(sum + i);
	t.sum = mix(sum);
	memcpy(at, &t, sizeof(t));
}

bool tag_any(const void *at, uint32_t *ret_file, uint32_t *ret_cell, uint32_t *ret_version)
{
	struct tag t, right;

	memcpy(&t, at, sizeof(t));
	tag_make(&right, t.file, t.cell, t.version, t.length);
	*ret_file = t.file;
	*ret_cell = t.cell;
	*ret_version = t.version;
	return !memcmp(&t, &right, sizeof(t));
}

int tag_read(const void *at, uint32_t file, uint32_t cell, uint32_t *ret_version, uint32_t *ret_length)
{
	static const char zeros[CELL];
	struct tag t, right;

	*ret_version = 0;
	if (!memcmp(at, zeros, CELL))
		return 0;
	memcpy(&t, at, sizeof(t));
	tag_make(&right, file, cell, t.version, t.length);
	if (memcmp(&t, &right, sizeof(t)) != 0)
		return -1;
	*ret_version = t.version;
	if (ret_length)
		*ret_length = t.length;
	return 1;
}

/* --- cells --- */

bool cells_claim(struct cell *c, uint32_t first, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		uint32_t free_one = 0;

		if (atomic_compare_exchange_strong(&c[first + i].claim, &free_one, (uint32_t)worker_number + 1))
			continue;
		while (i-- > 0)
			c[first + i].claim = 0;
		return false;
	}
	return true;
}

uint32_t cell_issue(struct cell *c, bool zero)
{
	uint32_t version = c->issued + 1;

	if (zero)
		c->zero = version;
	c->issued = version;
	return version;
}

static void cell_unknown(struct cell *c, uint32_t noted)
{
	for (int i = 0; i < UNKNOWN_MAX; i++)
		if (!c->unknown[i]) {
			c->unknown[i] = noted;
			return;
		}
	c->unknown[0] = ANY;
}

void cell_done(struct cell *c, uint32_t version, bool known, bool zero)
{
	if (known)
		c->acked = version;
	else
		cell_unknown(c, version | (zero ? ZERO_FLAG : 0));
	c->claim = 0;
}

void cell_bury(struct cell *c)
{
	/* Claimed, but not yet issued: nothing happened. */
	if (c->issued != c->acked)
		cell_unknown(c, c->issued | (c->zero == c->issued ? ZERO_FLAG : 0));
	c->claim = 0;
}

bool version_allowed(const struct cell *c, uint32_t version, uint32_t before)
{
	if (version >= before && version <= c->issued)
		return true;
	if (c->unknown[0] == ANY)
		return version <= c->issued;
	for (int i = 0; i < UNKNOWN_MAX; i++)
		if (version && c->unknown[i] == version)
			return true;
	return false;
}

static bool zeros_allowed(const struct cell *c, uint32_t before)
{
	if (!before || c->zero >= before || c->unknown[0] == ANY)
		return true;
	for (int i = 0; i < UNKNOWN_MAX; i++)
		if (c->unknown[i] & ZERO_FLAG)
			return true;
	return false;
}

void finding(_Atomic uint64_t *counter, const char *what, const char *fmt, ...)
{
	va_list ap;

	(*counter)++;
	if (shown++ >= FINDINGS_SHOWN)
		return;
	printf("FINDING %s (worker %d): ", what, worker_number);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
}

void call_failed(const char *what, int fault)
{
	struct worker *w = &journal->workers[worker_number];

	if (w->doomed)
		_exit(0);
	if (!w->errors++)
		snprintf(w->error, sizeof(w->error), "%s: %s", what, strerror(fault));
	journal->errors++;
	if (shown++ < FINDINGS_SHOWN)
		printf("FINDING error (worker %d): %s: %s\n", worker_number, what, strerror(fault));
	fflush(stdout);
	if (fault == ENOTCONN)
		_exit(3);
}

static void cell_settle(struct cell *c, int kind, uint32_t version)
{
	for (int i = 0; i < UNKNOWN_MAX; i++)
		c->unknown[i] = 0;
	if (kind == 0) {
		/* Which of the zeros it is does not matter: it is zeros from now on. */
		c->issued = c->issued + 1;
		c->zero = c->issued;
		c->acked = c->issued;
		return;
	}
	/* Versions that never happened stay issued: nothing carries their number. */
	c->acked = version;
	if (c->zero > version)
		c->zero = 0;
}

/* A cell that is no tag: what it is may be known by its bytes. */
static const char *hex_of(const char *at, char *ret)
{
	for (int i = 0; i < CELL; i++)
		snprintf(ret + 2 * i, 3, "%02x", (unsigned char)at[i]);
	return ret;
}

void cells_check(uint32_t file, uint32_t first, uint32_t n, const char *buf, size_t got, const uint32_t *before,
		 bool quiet, bool settle, const char *how)
{
	static const char zeros[CELL];
	uint32_t count, version, of_file, of_cell;
	struct cell *cells = journal_cells(file, &count);

	for (uint32_t i = 0; i < n; i++) {
		struct cell *c = &cells[first + i];
		const char *at = (size_t)(i + 1) * CELL <= got ? buf + (size_t)i * CELL : zeros;
		int kind = tag_read(at, file, first + i, &version, NULL);

		if (kind < 0 && !quiet && before[i] != c->issued) {
			journal->workers[worker_number].retried++; /* a write of it was under way */
			continue;
		}
		if (kind < 0) {
			char hex[2 * CELL + 1];

			if (tag_any(at, &of_file, &of_cell, &version))
				finding(&journal->foreign, "foreign", "file %u cell %u by %s: tag of %u %u version %u", file,
					first + i, how, of_file, of_cell, version);
			else
				finding(&journal->torn, "torn", "file %u cell %u by %s: %s", file, first + i, how,
					hex_of(at, hex));
		} else if (kind == 0 ? !zeros_allowed(c, before[i]) : !version_allowed(c, version, before[i])) {
			finding(quiet ? &journal->lost : &journal->stale, quiet ? "lost" : "stale",
				"file %u cell %u by %s: %s %u, acknowledged %u, issued %u, zeros %u, unknown %x %x, "
				"file ends %s",
				file, first + i, how, kind ? "version" : "zeros", version, before[i], c->issued,
				c->zero, c->unknown[0], c->unknown[1],
				(size_t)(i + 1) * CELL <= got ? "behind" : "before");
		}
		if (settle && kind >= 0)
			cell_settle(c, kind, version);
	}
}
