/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Intents. A model owner does operations on a few names for a few sessions, and loses power at any point: unflushed pages
 * arrive or not, what was done is kept (its commit came before the answer) or was being done. A new owner scans, decides, and is
 * asked again: each request must have happened exactly once.
 */
#include "csvfs/core/intent.h"
#include "splitmix.h"
#include "tests/lib/check.h"

#define PAGES 140u
#define INTENTS 24u
#define SESSIONS 3
#define NAMES 4
#define BATCHES 6000

static uint8_t ring[PAGES][INTENT_PAGE];
static struct intent_table *table;

static struct vol_fid fid_of(uint64_t n)
{
	struct vol_fid f = { .len = 8, .type = 1 };

	memcpy(f.data, &n, sizeof(n));
	return n ? f : (struct vol_fid){ 0 };
}

static struct intent intent_on(uint64_t session, uint64_t request, uint8_t op, const char *name)
{
	struct intent i = { .session = session, .request = request, .op = op, .parent[0] = fid_of(1) };

	snprintf(i.name[0], VOL_FNAME_SIZE, "%s", name);
	return i;
}

static void new_table(uint64_t epoch)
{
	free(table);
	table = intent_table_init(malloc(intent_table_size(INTENTS)), INTENTS, PAGES, epoch);
}

static void write_all(void)
{
	uint8_t page[INTENT_PAGE];
	uint32_t place;
	uint64_t number = 0;

	while (intent_fill(table, page, &place, &number))
		memcpy(ring[place], page, INTENT_PAGE);
	intent_flushed(table, number);
}

static void scan(void)
{
	for (uint32_t i = 0; i < PAGES; i++)
		intent_scan_page(table, ring[i]);
	if (!intent_scan_end(table))
		return;
	for (uint32_t i = 0; i < PAGES; i++)
		intent_scan_page(table, ring[i]);
	CHECK_EQ(intent_scan_end(table), 0);
}

static void longest_record(void)
{
	uint8_t page[INTENT_PAGE];
	struct intent i = intent_on(7, 9, INTENT_RENAME, ""), got;
	struct intent_page p;
	uint32_t place;
	uint64_t number;
	size_t at = 0;
	int n = 0;

	memset(i.name, 'x', sizeof(i.name));
	for (int k = 0; k < 2; k++) {
		i.name[k][VOL_FNAME_SIZE - 1] = '\0';
		i.parent[k].len = i.had[k].len = i.file.len = VOL_FID_MAX;
	}
	new_table(4);
	CHECK_EQ(intent_add(table, &i), -ENOENT);
	CHECK_EQ(intent_session_add(table, 7), 0);
	for (uint64_t r = 0; r < INTENTS; r++) {
		i.request = r + 1;
		i.parent[0].data[0] = i.parent[1].data[1] = (uint8_t)(r + 1);
		CHECK_EQ(intent_add(table, &i), 0);
	}
	CHECK_EQ(intent_add(table, &i), -EEXIST);
	i.request = 99;
	CHECK_EQ(intent_add(table, &i), -ENOBUFS);
	CHECK(intent_fill(table, page, &place, &number));
	CHECK(!intent_durable(table, 7, 1));
	intent_flushed(table, number);
	CHECK(intent_durable(table, 7, 1));
	CHECK(intent_page_check(page, &p));
	CHECK(p.number == 1 && p.epoch == 4 && place == 1);
	for (; intent_page_next(page, &at, &got); n++)
		CHECK(got.session == 7 && got.request == (uint64_t)n + 1 && !strcmp(got.name[1], i.name[1]));
	CHECK_EQ(n, 5);
	CHECK_EQ(p.count, 5);
	for (uint32_t bit = 0; bit < INTENT_PAGE * 8; bit += 37) {
		page[bit / 8] ^= (uint8_t)(1u << bit % 8);
		CHECK(!intent_page_check(page, &p));
		page[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	intent_answered(table, 7, 20);
	CHECK_EQ(intent_count(table), INTENTS - 19);
	intent_session_gone(table, 7);
	CHECK_EQ(intent_count(table), 0);
}

static void decisions(void)
{
	struct intent i = intent_on(1, 1, INTENT_CREATE, "a");
	struct intent_now now = { .size = 0 };

	CHECK_EQ(intent_happened(&i, &now), INTENT_UNKNOWN);
	now.file[0] = fid_of(5);
	CHECK_EQ(intent_happened(&i, &now), INTENT_DONE);
	i.op = INTENT_LINK;
	i.file = fid_of(6);
	CHECK_EQ(intent_happened(&i, &now), INTENT_UNKNOWN);
	i.file = fid_of(5);
	CHECK_EQ(intent_happened(&i, &now), INTENT_DONE);
	i.op = INTENT_UNLINK;
	i.had[0] = fid_of(5);
	CHECK_EQ(intent_happened(&i, &now), INTENT_UNKNOWN);
	now.file[0] = fid_of(0);
	CHECK_EQ(intent_happened(&i, &now), INTENT_DONE);
	i.op = INTENT_RENAME;
	CHECK_EQ(intent_happened(&i, &now), INTENT_DONE);
	i.flags = 2; /* exchange */
	i.had[1] = fid_of(6);
	now = (struct intent_now){ .file = { fid_of(5), fid_of(6) } };
	CHECK_EQ(intent_happened(&i, &now), INTENT_UNKNOWN);
	now = (struct intent_now){ .file = { fid_of(6), fid_of(5) } };
	CHECK_EQ(intent_happened(&i, &now), INTENT_DONE);
	i.had[1] = fid_of(5);
	CHECK_EQ(intent_happened(&i, &now), INTENT_UNKNOWN);
	i = (struct intent){ .op = INTENT_APPEND, .size = 10, .length = 5 };
	now.size = 10;
	CHECK_EQ(intent_happened(&i, &now), INTENT_UNKNOWN);
	now.size = 12;
	CHECK_EQ(intent_happened(&i, &now), INTENT_DONE);
}

/* --- the model --- */

struct ask {
	uint64_t request; /* 0: none */
	uint8_t op;
	int name;
	int times; /* it changed the names */
	bool added;
	bool answered;
};
static struct ask asks[SESSIONS];
static uint64_t names[NAMES], made, requests[SESSIONS], rng;
static uint64_t answers;
static const char *const texts[NAMES] = { "a", "b", "c", "d" };

static bool name_busy(int name, int but)
{
	for (int s = 0; s < SESSIONS; s++)
		if (s != but && asks[s].added && !asks[s].answered && asks[s].name == name)
			return true;
	return false;
}

static void ask_new(int s)
{
	asks[s] = (struct ask){ .request = ++requests[s], .op = splitmix_next(&rng) % 2 ? INTENT_MKNOD : INTENT_UNLINK,
				.name = (int)(splitmix_next(&rng) % NAMES) };
	if (splitmix_next(&rng) % 3) /* not always at once: marks lag */
		intent_answered(table, (uint64_t)s + 1, requests[s]);
}

/* The owner gets the request, perhaps again. */
static void ask_begin(int s)
{
	struct ask *a = &asks[s];
	const struct intent *known = intent_find(table, (uint64_t)s + 1, a->request);
	struct intent i = intent_on((uint64_t)s + 1, a->request, a->op, texts[a->name]);

	if (known) { /* decided by a new owner: its answer */
		CHECK(known->outcome != INTENT_UNKNOWN);
		CHECK_EQ(a->times, known->outcome == INTENT_DONE);
		a->answered = true;
		return;
	}
	CHECK_EQ(a->times, 0);
	if (name_busy(a->name, s))
		return;
	i.had[0] = fid_of(names[a->name]);
	if (CHECK_EQ(intent_add(table, &i), 0))
		a->added = true;
}

static void ask_do(int s, bool crash)
{
	struct ask *a = &asks[s];
	bool can = a->op == INTENT_MKNOD ? !names[a->name] : names[a->name] != 0;
	struct vol_fid f;

	if (can) {
		names[a->name] = a->op == INTENT_MKNOD ? ++made : 0;
		CHECK_EQ(++a->times, 1);
	}
	if (crash)
		return;
	f = fid_of(names[a->name]);
	intent_done(table, (uint64_t)s + 1, a->request, can ? 0 : EEXIST, can && a->op == INTENT_MKNOD ? &f : NULL);
	a->answered = true;
	answers++;
}

/* Some of the pages that were not flushed are on the disk. */
static void power_loss(uint64_t epoch)
{
	uint8_t page[INTENT_PAGE];
	struct intent_now now;
	const struct intent *i;
	uint32_t place, cursor = 0;
	uint64_t number;

	while (intent_fill(table, page, &place, &number))
		if (splitmix_next(&rng) % 2)
			memcpy(ring[place], page, splitmix_next(&rng) % 4 ? INTENT_PAGE : splitmix_next(&rng) % INTENT_PAGE);
	new_table(epoch);
	for (uint64_t s = 1; s <= SESSIONS; s++)
		CHECK_EQ(intent_session_add(table, s), 0);
	scan();
	while ((i = intent_unknown_next(table, &cursor))) {
		memset(&now, 0, sizeof(now));
		now.file[0] = fid_of(names[i->name[0][0] - 'a']);
		intent_decide(table, i->session, i->request, &now);
	}
	cursor = 0;
	CHECK(!intent_unknown_next(table, &cursor));
	for (int s = 0; s < SESSIONS; s++) {
		/* The answer may have been lost on the way; then the request comes again. */
		if (splitmix_next(&rng) % 2)
			asks[s].answered = asks[s].answered && asks[s].request != requests[s];
		asks[s].added = false;
	}
}

static void exactly_once(uint64_t seed)
{
	uint64_t epoch = 1;

	rng = seed;
	memset(ring, 0, sizeof(ring));
	memset(asks, 0, sizeof(asks));
	memset(names, 0, sizeof(names));
	memset(requests, 0, sizeof(requests));
	new_table(epoch);
	for (uint64_t s = 1; s <= SESSIONS; s++)
		intent_session_add(table, s);
	for (int step = 0; step < BATCHES && !check_failed; step++) {
		int s = (int)(splitmix_next(&rng) % SESSIONS);

		if (!asks[s].request || asks[s].answered)
			ask_new(s);
		else if (!asks[s].added)
			ask_begin(s);
		else if (intent_durable(table, (uint64_t)s + 1, asks[s].request))
			ask_do(s, false);
		if (splitmix_next(&rng) % 3 == 0)
			write_all();
		if (splitmix_next(&rng) % 20 == 0) {
			for (s = 0; s < SESSIONS; s++) /* some were being done */
				if (asks[s].added && !asks[s].answered && splitmix_next(&rng) % 2 &&
				    intent_durable(table, (uint64_t)s + 1, asks[s].request))
					ask_do(s, true);
			power_loss(++epoch);
		}
	}
	if (check_failed)
		fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
}

/* One that stays needed while the ring goes round many times. */
static void carried(void)
{
	memset(ring, 0, sizeof(ring));
	new_table(1);
	intent_session_add(table, 1);
	intent_session_add(table, 2);
	for (uint64_t r = 1; r <= INTENTS / 2; r++) {
		struct intent i = intent_on(1, r, INTENT_CREATE, "");

		snprintf(i.name[0], VOL_FNAME_SIZE, "kept%llu", (unsigned long long)r);
		CHECK_EQ(intent_add(table, &i), 0);
		write_all();
	}
	for (uint64_t r = 1; r <= INTENTS / 2; r++)
		intent_done(table, 1, r, 0, &(struct vol_fid){ .len = VOL_FID_MAX });
	for (uint64_t r = 1; r < PAGES * 5; r++) {
		struct intent i = intent_on(2, r, INTENT_UNLINK, "x");

		CHECK_EQ(intent_add(table, &i), 0);
		CHECK_EQ(intent_add(table, &i), -EEXIST);
		i.request++;
		CHECK_EQ(intent_add(table, &i), -EBUSY);
		write_all();
		intent_done(table, 2, r, 0, NULL);
		intent_answered(table, 2, r + 1);
	}
	new_table(2);
	intent_session_add(table, 1);
	scan();
	CHECK_EQ(intent_count(table), INTENTS / 2);
	for (uint64_t r = 1; r <= INTENTS / 2; r++)
		CHECK(intent_find(table, 1, r) && intent_find(table, 1, r)->outcome == INTENT_DONE);
}

/* An append of which an owner did a part, which the next one goes on with, and the next: none of them takes it for done. */
static void resumed(bool outcome_written)
{
	struct intent i = { .session = 1, .request = 7, .op = INTENT_APPEND, .size = 100, .length = 10, .file = fid_of(5) }, other;
	struct intent_now now = { .size = 104 };

	memset(ring, 0, sizeof(ring));
	new_table(1);
	intent_session_add(table, 1);
	intent_session_add(table, 2);
	CHECK_EQ(intent_add(table, &i), 0);
	CHECK_EQ(intent_resume(table, 1, 7, 10), -EINVAL); /* it is under way */
	write_all();
	for (uint64_t epoch = 2; epoch < 5; epoch++, now.size++) {
		new_table(epoch);
		intent_session_add(table, 1);
		intent_session_add(table, 2);
		scan();
		intent_decide(table, 1, 7, &now);
		REQUIRE(intent_find(table, 1, 7));
		CHECK_EQ(intent_find(table, 1, 7)->length, now.size - 100);
		CHECK_EQ(intent_find(table, 1, 7)->outcome, INTENT_DONE);
		if (outcome_written) { /* an append to it by another session, which was cut off again */
			other = i;
			other.session = 2;
			other.request = epoch;
			CHECK_EQ(intent_add(table, &other), 0);
			CHECK_EQ(intent_resume(table, 1, 7, 10), -EBUSY);
			write_all();
			intent_done(table, 2, epoch, 0, NULL);
		}
		CHECK_EQ(intent_resume(table, 1, 7, now.size - 100), -EINVAL); /* there is no more */
		CHECK_EQ(intent_resume(table, 1, 7, 10), 0);
		CHECK_EQ(intent_find(table, 1, 7)->outcome, INTENT_UNKNOWN);
		CHECK_EQ(intent_durable(table, 1, 7), !outcome_written);
		write_all();
		CHECK(intent_durable(table, 1, 7));
	}
	intent_done(table, 1, 7, 0, NULL);
	CHECK_EQ(intent_find(table, 1, 7)->length, 10);
	CHECK_EQ(intent_resume(table, 1, 7, 10), -EINVAL);
}

int main(void)
{
	CHECK_EQ(intent_limit(2 * INTENT_CARRY), 0);
	CHECK(intent_limit(PAGES) >= INTENTS);
	longest_record();
	decisions();
	carried();
	resumed(false);
	resumed(true);
	for (uint64_t seed = 1; seed <= 8; seed++)
		exactly_once(seed);
	CHECK(answers > 1000);
	free(table);
	return check_result();
}
