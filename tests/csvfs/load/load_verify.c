/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When all is quiet: everything in the volume against the journal. */
#include "tests/csvfs/load/csvload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK_CELLS 4096

static char path[4096];
static char buf[CHUNK_CELLS * CELL] __attribute__((aligned(4096)));

static int open_one(const char *dir, const char *name, unsigned number, int flags)
{
	snprintf(path, sizeof(path), "%s/%s%u", dir, name, number);
	int fd = open(path, O_RDONLY | O_CLOEXEC | flags);

	if (fd < 0)
		finding(&journal->lost, "lost", "%s: open: %s", path, strerror(errno));
	return fd;
}

static ssize_t get(int fd, const char *how, size_t len, off_t at)
{
	if (strcmp(how, "mmap") != 0)
		return pread(fd, buf, len, at);
	char *m = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, at);

	if (m == MAP_FAILED)
		return -1;
	memcpy(buf, m, len);
	munmap(m, len);
	return (ssize_t)len;
}

static void verify_data(const char *dir, uint32_t file, const char *how, bool settle)
{
	static uint32_t before[CHUNK_CELLS];
	uint32_t count;
	struct cell *c = journal_cells(file, &count);
	int fd = open_one(dir, "data-", file, strcmp(how, "direct") ? 0 : O_DIRECT);

	for (uint32_t first = 0; fd >= 0 && first < count; first += CHUNK_CELLS) {
		for (uint32_t i = 0; i < CHUNK_CELLS; i++) {
			if (c[first + i].claim)
				finding(&journal->torn, "unburied claim", "file %u cell %u of worker %u", file,
					first + i, c[first + i].claim - 1);
			before[i] = c[first + i].acked;
		}
		ssize_t got = get(fd, how, sizeof(buf), (off_t)first * CELL);

		if (got < 0) {
			finding(&journal->lost, "lost", "%s: %s: %s", path, how, strerror(errno));
			break;
		}
		cells_check(file, first, CHUNK_CELLS, buf, (size_t)got, before, true, settle, how);
	}
	if (fd >= 0)
		close(fd);
}

static bool append_unknown(const struct worker *w, uint32_t file, uint32_t sequence)
{
	for (uint32_t i = 0; i < w->n_append_unknown[file]; i++)
		if (w->append_unknown[file][i] == sequence)
			return true;
	return false;
}

struct append_scan {
	uint32_t file, next[WORKERS_MAX]; /* sequence number that comes next */
	bool hole;			  /* unreadable cells before: only of a record nobody knows about */
};

static void append_missing(struct append_scan *s, unsigned w, uint32_t end)
{
	for (uint32_t q = s->next[w]; q < end; q++)
		if (!append_unknown(&journal->workers[w], s->file, q))
			finding(&journal->lost, "lost", "append-%u: record %u of worker %u", s->file, q, w);
}

/* A record begins at `at`? Its length in cells, or 0. */
static uint32_t append_record(struct append_scan *s, const char *at, uint32_t left)
{
	uint32_t file, cell, sequence, length, again;

	if (!tag_any(at, &file, &cell, &sequence) || cell || file < APPEND_ID + s->file * WORKERS_MAX ||
	    file >= APPEND_ID + (s->file + 1) * WORKERS_MAX || tag_read(at, file, 0, &sequence, &length) != 1)
		return 0;
	unsigned w = file - APPEND_ID - s->file * WORKERS_MAX;

	for (uint32_t i = 1; i < length; i++)
		if (i >= left || tag_read(at + (size_t)i * CELL, file, i, &again, NULL) != 1 || again != sequence) {
			if (!append_unknown(&journal->workers[w], s->file, sequence))
				finding(&journal->torn, "torn", "append-%u: record %u of worker %u", s->file, sequence,
					w);
			length = i; /* what follows is a record again */
		}
	if (sequence < s->next[w]) {
		finding(&journal->duplicates, "duplicate", "append-%u: record %u of worker %u comes again or late",
			s->file, sequence, w);
		return length;
	}
	append_missing(s, w, sequence);
	s->next[w] = sequence + 1;
	return length;
}

static void verify_append(const char *dir, uint32_t file)
{
	struct append_scan s = { .file = file };
	struct stat st;
	int fd = open_one(dir, "append-", file, 0);
	uint32_t strange = 0, unknown = 0;

	if (fd < 0)
		return;
	for (unsigned w = 0; w < WORKERS_MAX; w++) {
		s.next[w] = 1;
		unknown += journal->workers[w].n_append_unknown[file];
	}
	char *all = fstat(fd, &st) ? NULL : malloc((size_t)st.st_size + CELL);
	size_t have = 0;

	for (ssize_t n; all && have < (size_t)st.st_size; have += (size_t)n)
		if ((n = pread(fd, all + have, (size_t)st.st_size - have, (off_t)have)) <= 0)
			break;
	uint32_t cells = (uint32_t)(have / CELL);

	for (uint32_t at = 0; at < cells;) {
		uint32_t length = append_record(&s, all + (size_t)at * CELL, cells - at);

		strange += !length;
		at += length ? length : 1;
	}
	if (have != (size_t)st.st_size || (strange && !unknown))
		finding(&journal->torn, "torn", "append-%u: %zu of %lld bytes read, %u cells are no record", file, have,
			(long long)st.st_size, strange);
	for (unsigned w = 0; w < WORKERS_MAX; w++)
		append_missing(&s, w, journal->workers[w].append_acked[file] + 1);
	free(all);
	close(fd);
}

static void verify_small(const char *dir, const char *name, uint32_t n, uint32_t id, struct cell *c, bool settle)
{
	uint32_t version, length = 0;
	int fd = open_one(dir, name, n, 0);

	if (fd < 0)
		return;
	ssize_t got = pread(fd, buf, sizeof(buf), 0);

	memset(buf + (got > 0 ? got : 0), 0, CELL);
	int kind = tag_read(buf, id, 0, &version, &length);

	if (kind < 0 || !version_allowed(c, version, c->acked))
		finding(&journal->lost, "lost", "%s: version %u, acknowledged %u, issued %u", path, version, c->acked,
			c->issued);
	for (uint32_t i = 1; i < length; i++) {
		uint32_t v;

		if ((size_t)got != (size_t)length * CELL || tag_read(buf + (size_t)i * CELL, id, i, &v, NULL) != 1 ||
		    v != version) {
			finding(&journal->torn, "torn", "%s: version %u, cell %u of %u, %zd bytes", path, version, i,
				length, got);
			break;
		}
	}
	close(fd);
	if (settle && kind >= 0) {
		c->acked = version;
		for (int i = 0; i < UNKNOWN_MAX; i++)
			c->unknown[i] = 0;
	}
}

static void verify_names(const char *dir, int w, bool settle)
{
	for (unsigned i = 0; i < OWN_NAMES; i++) {
		struct stat st;
		uint8_t state = journal->workers[w].own[i], found;

		own_path(path, sizeof(path), dir, w, i);
		if (lstat(path, &st) && errno != ENOENT) {
			finding(&journal->lost, "lost", "%s: %s", path, strerror(errno));
			continue;
		}
		found = lstat(path, &st)      ? OWN_ABSENT
			: S_ISDIR(st.st_mode) ? OWN_DIRECTORY
			: S_ISLNK(st.st_mode) ? OWN_LINK
					      : OWN_FILE;
		if (state != OWN_UNKNOWN && state != found)
			finding(&journal->lost, "lost",
				"%s: is %u, acknowledged was %u (0 absent, 1 file, 2 directory, 3 link)", path, found,
				state);
		if (settle)
			journal->workers[w].own[i] = found;
	}
}

int verify(const char *dir, const char *how, bool settle)
{
	uint64_t count = journal->lost + journal->foreign + journal->torn + journal->duplicates;

	for (uint32_t i = 0; i < DATA_FILES; i++)
		if (i < FIXED_FILES || strcmp(how, "mmap") != 0)
			verify_data(dir, i, how, settle);
	for (uint32_t i = 0; i < APPEND_FILES; i++)
		verify_append(dir, i);
	for (uint32_t i = 0; i < SLOTS; i++)
		verify_small(dir, "slot-", i, SLOT_ID + i, &journal->slots[i], settle);
	for (uint32_t i = 0; i < COUNTERS; i++)
		verify_small(dir, "counter-", i, COUNTER_ID + i, &journal->counters[i], settle);
	for (int w = 0; w < WORKERS_MAX; w++)
		verify_names(dir, w, settle);
	return journal->lost + journal->foreign + journal->torn + journal->duplicates > count;
}
