/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The window of a session: room, marks, resending in order, and what an answer may still be cached. */
#include "csvfs/core/pending.h"
#include "splitmix.h"
#include "tests/lib/check.h"

static struct pending_window w;

static void room(void)
{
	uint64_t first;
	struct pending p;

	pending_init(&w, VOL_WINDOW_MAX);
	for (int i = 0; i < PENDING_WAITS_MAX; i++)
		CHECK(pending_add(&w, REQUEST_REPEAT, PENDING_WAIT, NULL) != 0);
	CHECK_EQ(pending_add(&w, REQUEST_REPEAT, PENDING_WAIT, NULL), 0);
	while (pending_add(&w, REQUEST_MEMORY, PENDING_NORMAL, NULL))
		;
	CHECK_EQ(w.n, VOL_WINDOW_MAX - PENDING_SPARE);
	for (int i = 0; i < PENDING_SPARE; i++)
		CHECK(pending_add(&w, REQUEST_REPEAT, PENDING_URGENT, NULL) != 0);
	CHECK_EQ(pending_add(&w, REQUEST_REPEAT, PENDING_URGENT, NULL), 0);
	for (int i = 0; i < PENDING_RECLAIMS_MAX; i++)
		CHECK(pending_add(&w, REQUEST_REPEAT, PENDING_RECLAIM, NULL) != 0);
	CHECK_EQ(pending_add(&w, REQUEST_REPEAT, PENDING_RECLAIM, NULL), 0);
	CHECK(pending_answered(&w, w.next - 1, &p) && p.kind == PENDING_RECLAIM);
	CHECK(!pending_room(&w, REQUEST_REPEAT, PENDING_URGENT)); /* one kind's room is not the other's */
	CHECK(pending_room(&w, REQUEST_REPEAT, PENDING_RECLAIM));
	first = pending_next(&w, 0)->number;
	CHECK(pending_cancel(&w, first));
	CHECK(!pending_cancel(&w, first));
	CHECK(pending_answered(&w, first, &p));
	CHECK(p.cancelled && p.kind == PENDING_WAIT);
	CHECK(!pending_answered(&w, first, &p));
	CHECK(!pending_cancel(&w, first));
	pending_init(&w, 1);
	CHECK_EQ(pending_add(&w, REQUEST_INTENT, PENDING_NORMAL, NULL), 1);
	CHECK_EQ(pending_add(&w, REQUEST_REPEAT, PENDING_URGENT, NULL), 0);
	CHECK_EQ(pending_add(&w, REQUEST_REPEAT, PENDING_RECLAIM, NULL), 2);
	CHECK_EQ(pending_add(&w, REQUEST_REPEAT, PENDING_RECLAIM, NULL), 0);
}

/* A change that stays unanswered holds the log at its limit; a lock that waits does not hold the mark. */
static void log_limit(void)
{
	struct pending p;
	uint64_t oldest, n;

	pending_init(&w, 100);
	CHECK_EQ(pending_add(&w, REQUEST_REPEAT, PENDING_WAIT, NULL), 1);
	CHECK_EQ(pending_mark(&w), 2);
	oldest = pending_add(&w, REQUEST_INTENT, PENDING_NORMAL, NULL);
	for (int i = 1; i < REQUEST_LOG_SESSION_MAX; i++) {
		n = pending_add(&w, REQUEST_MEMORY, PENDING_NORMAL, NULL);
		CHECK(n && pending_answered(&w, n, &p));
	}
	CHECK_EQ(pending_mark(&w), oldest);
	CHECK_EQ(pending_add(&w, REQUEST_MEMORY, PENDING_NORMAL, NULL), 0);
	CHECK(pending_room(&w, REQUEST_REPEAT, PENDING_NORMAL));
	CHECK(pending_answered(&w, oldest, &p));
	CHECK_EQ(pending_mark(&w), w.next);
	CHECK(pending_room(&w, REQUEST_MEMORY, PENDING_NORMAL));
}

static struct vol_fid fid_of(uint32_t n)
{
	struct vol_fid f = { .len = 4, .type = 1 };

	memcpy(f.data, &n, sizeof(n));
	return f;
}

static void caching(void)
{
	struct vol_fid a = fid_of(1), b = fid_of(2), c;
	uint64_t before, after;

	pending_init(&w, 100);
	before = pending_add(&w, REQUEST_REPEAT, PENDING_NORMAL, NULL);
	CHECK(pending_may_cache(&w, before, &a));
	pending_recalled(&w, &a);
	after = pending_add(&w, REQUEST_REPEAT, PENDING_NORMAL, NULL);
	CHECK(!pending_may_cache(&w, before, &a));
	CHECK(pending_may_cache(&w, before, &b));
	CHECK(pending_may_cache(&w, after, &a));
	CHECK(!pending_may_cache(&w, after + 1, &a));
	for (uint32_t i = 0; i < PENDING_MARKS; i++) { /* more than are remembered by file: nothing of before is believed */
		c = fid_of(100 + i);
		pending_recalled(&w, &c);
	}
	CHECK(!pending_may_cache(&w, before, &a));
	CHECK(!pending_may_cache(&w, before, &b));
	CHECK(pending_may_cache(&w, after, &b));
	pending_recalled(&w, NULL);
	CHECK(!pending_may_cache(&w, after, &b));
}

/* One that is recalled again and again is not the first to be forgotten when many others are recalled once. */
static void recalled_often(void)
{
	struct pending was;
	struct vol_fid often = fid_of(1), other = fid_of(2), once;
	uint64_t number;

	pending_init(&w, 100);
	for (uint32_t i = 0; i < 3 * PENDING_MARKS; i++) {
		once = fid_of(100 + i);
		number = pending_add(&w, REQUEST_REPEAT, PENDING_NORMAL, NULL);
		pending_recalled(&w, &often);
		pending_recalled(&w, &once);
		CHECK(!pending_may_cache(&w, number, &often));
		CHECK(!pending_may_cache(&w, number, &once));
		CHECK(pending_may_cache(&w, number, &other));
		CHECK(pending_answered(&w, number, &was));
	}
}

#define NUMBERS 4096
static uint64_t recalled[4]; /* the next number at the recall, by file */
static bool alive[NUMBERS], logged[NUMBERS];

static void step_compare(uint64_t next)
{
	uint64_t mark = next, at = 0, number;

	for (number = next; number-- > 1;)
		if (alive[number] && logged[number])
			mark = number;
	CHECK_EQ(pending_mark(&w), mark);
	for (number = 1; number < next; number++) { /* resending: all of them, rising */
		const struct pending *p;

		if (!alive[number])
			continue;
		p = pending_next(&w, at);
		if (!CHECK(p && p->number == number))
			return;
		at = number + 1;
		for (uint32_t f = 0; f < 4; f++) {
			struct vol_fid fid = fid_of(f);

			CHECK_EQ(pending_may_cache(&w, number, &fid), number >= recalled[f]);
		}
	}
	CHECK(!pending_next(&w, at));
}

static void against_model(uint64_t seed)
{
	uint64_t rng = seed, next = 1;

	memset(alive, 0, sizeof(alive));
	memset(recalled, 0, sizeof(recalled));
	pending_init(&w, 40);
	while (next < 1500 && !check_failed) {
		uint64_t r = splitmix_next(&rng), number = next > 60 ? next - 60 + r / 16 % 60 : r / 16 % 60;
		struct pending p;

		if (r % 16 < 8) {
			enum request_class class = r & 256 ? REQUEST_MEMORY : REQUEST_REPEAT;

			number = pending_add(&w, class, PENDING_NORMAL, (void *)(uintptr_t)next);
			if (!number)
				continue;
			CHECK_EQ(number, next++);
			alive[number] = true;
			logged[number] = r & 256;
		} else if (r % 16 < 15) {
			CHECK_EQ(pending_answered(&w, number, &p), alive[number]);
			if (alive[number])
				CHECK_EQ((uintptr_t)p.user, number);
			alive[number] = false;
		} else {
			struct vol_fid fid = fid_of((uint32_t)(r / 16 % 4));

			pending_recalled(&w, &fid);
			recalled[r / 16 % 4] = next;
		}
		step_compare(next);
	}
	if (check_failed)
		fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
}

int main(void)
{
	room();
	log_limit();
	caching();
	recalled_often();
	for (uint64_t seed = 1; seed <= 3; seed++)
		against_model(seed);
	return check_result();
}
