/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The owner's table with little room, asked anything in any order: it refuses, but never forgets what a session has, never
 * lends what is claimed, and ends empty. Ranges against a model of every unit. usage: [first seed [seeds]]
 */
#include "csvfs/core/grant.h"
#include "csvfs/core/grant_range.h"
#include "splitmix.h"
#include "tests/lib/check.h"
#include "units.h"

#define SESSIONS 5u
#define FILES 6u
#define UNITS 40u
#define CLAIMS 8u
#define STEPS 600u

static const struct grant_limits limits = { .files = 4, .holders = 9, .claims = 5, .wants = 8, .waiters = 3 };
static uint64_t chance;

static uint32_t below(uint32_t n)
{
	return (uint32_t)(splitmix_next(&chance) % n);
}

/* --- ranges --- */

static void test_ranges(void)
{
	struct grant_ranges r = { .n = 0 };
	bool has[UNITS] = { false };

	for (uint32_t step = 0; step < 60; step++) {
		uint64_t offset = below(UNITS), length = below(5) ? below(6) : UINT64_MAX;
		bool add = below(2) && length < UNITS;

		if (add)
			grant_ranges_add(&r, grant_range_of(offset, length));
		else
			grant_ranges_cut(&r, grant_range_of(offset, length));
		for (uint64_t i = offset; i < UNITS && i - offset < length; i++)
			has[i] = add;
		CHECK(r.n <= GRANT_RANGES_MAX);
		for (uint32_t i = 0; i < r.n; i++)
			CHECK(r.list[i].begin < r.list[i].end && (!i || r.list[i - 1].end < r.list[i].begin));
		for (uint64_t i = 0; i < UNITS; i++)
			if (has[i]) /* more may be noted, never less */
				CHECK(grant_ranges_meet(&r, grant_range_of(i, 1)));
	}
	/* While they are few, exactly that is noted. */
	r.n = 0;
	grant_ranges_add(&r, grant_range_of(10, 10));
	grant_ranges_cut(&r, grant_range_of(12, 3));
	CHECK(!grant_ranges_meet(&r, grant_range_of(12, 3)));
	CHECK(grant_ranges_meet(&r, grant_range_of(11, 2)));
	grant_ranges_add(&r, grant_range_of(12, 3));
	CHECK_EQ(r.n, 1);
}

/* --- the table --- */

struct asked {
	uint32_t session;
	uint64_t number;
	struct vol_recall recall;
};

static struct table_model {
	struct grant_table *table;
	bool has[SESSIONS][FILES][UNITS]; /* really lent, not yet taken back */
	bool attr[SESSIONS][FILES];
	uint64_t claims[CLAIMS];
	struct grant_want wants[CLAIMS];
	uint32_t claimer[CLAIMS];
	struct vol_fid files[FILES];
	struct asked asked[512];
	uint32_t n_asked;
	struct { bool used; uint32_t session, file; uint64_t offset, length, request; } waits[8];
	uint64_t request;
} m;

static uint32_t file_of(const struct vol_fid *f)
{
	return f->data[0];
}

/* Nothing that a ready claim took back is with anybody. */
static void check_ready(void)
{
	for (uint32_t c = 0; c < CLAIMS; c++) {
		const struct grant_want *w = &m.wants[c];

		if (!m.claims[c] || !grant_claim_ready(m.table, m.claims[c]))
			continue;
		for (uint32_t s = 0; s < SESSIONS; s++) {
			uint32_t f = file_of(w->file);

			for (uint64_t u = w->offset; w->what & VOL_RECALL_EXTENTS && u < UNITS && u - w->offset < w->length; u++)
				CHECK(!m.has[s][f][u]);
			if (w->what & VOL_RECALL_ATTR && s != m.claimer[c])
				CHECK(!m.attr[s][f]);
		}
	}
}

static void check_noted(void)
{
	for (uint32_t s = 0; s < SESSIONS; s++)
		for (uint32_t f = 0; f < FILES; f++)
			for (uint32_t u = 0; u < UNITS; u++)
				if (m.has[s][f][u])
					CHECK(grant_holds(m.table, &m.files[f], s, u, 1));
}

static void given(uint32_t session, uint32_t file, uint64_t offset, uint64_t length)
{
	for (uint64_t u = offset; u < UNITS && u - offset < length; u++)
		m.has[session][file][u] = true;
}

static void pump(void)
{
	struct grant_event e;

	while (grant_next(m.table, 1, &e)) {
		uintptr_t i = (uintptr_t)e.user;

		if (e.kind == GRANT_SEND_RECALL) {
			REQUIRE(m.n_asked < ARRAY_SIZE(m.asked));
			m.asked[m.n_asked++] = (struct asked){ e.session, e.number, e.recall };
		} else if (e.kind != GRANT_CLAIM_READY) {
			REQUIRE(i && m.waits[i - 1].used && m.waits[i - 1].session == e.session);
			m.waits[i - 1].used = false;
			if (e.kind == GRANT_LEASE_GIVEN)
				given(e.session, m.waits[i - 1].file, m.waits[i - 1].offset, m.waits[i - 1].length);
		}
	}
}

static void step_lease(void)
{
	struct grant_lease l = { .session = below(SESSIONS), .request = ++m.request, .offset = below(UNITS),
				 .length = 1 + below(8) };
	uint32_t file = below(FILES), i = 0;
	struct grant_given ret;
	enum grant_verdict verdict;

	while (i < ARRAY_SIZE(m.waits) && m.waits[i].used)
		i++;
	l.file = &m.files[file];
	l.only_now = i == ARRAY_SIZE(m.waits) || below(2);
	l.user = (void *)(uintptr_t)(i + 1);
	verdict = grant_lease(m.table, &l, &ret);
	if (verdict == GRANT_NOW)
		given(l.session, file, l.offset, l.length);
	if (verdict != GRANT_LATER)
		return;
	CHECK(!l.only_now);
	m.waits[i].used = true;
	m.waits[i].session = l.session;
	m.waits[i].file = file;
	m.waits[i].offset = l.offset;
	m.waits[i].length = l.length;
	m.waits[i].request = l.request;
}

static void step_claim(void)
{
	uint32_t c = below(CLAIMS);

	if (m.claims[c]) {
		grant_end(m.table, m.claims[c]);
		m.claims[c] = 0;
		return;
	}
	m.wants[c] = (struct grant_want){ .file = &m.files[below(FILES)], .what = 1 + below(7), .offset = below(UNITS),
					  .length = below(2) ? 1 + below(8) : UINT64_MAX };
	m.claimer[c] = below(SESSIONS + 1) ? below(SESSIONS) : SESSION_NOBODY;
	if (grant_claim(m.table, &m.wants[c], 1, m.claimer[c], NULL, &m.claims[c]))
		m.claims[c] = 0;
}

static void step_answer(void)
{
	uint32_t i = m.n_asked ? below(m.n_asked) : 0;
	const struct asked a = m.asked[i];
	uint32_t f = file_of(&a.recall.file);

	if (!m.n_asked)
		return;
	m.asked[i] = m.asked[--m.n_asked];
	if (a.recall.what & VOL_RECALL_EXTENTS)
		for (uint64_t u = a.recall.offset; u < UNITS && u - a.recall.offset < a.recall.length; u++)
			m.has[a.session][f][u] = false;
	if (a.recall.what & VOL_RECALL_ATTR)
		m.attr[a.session][f] = false;
	grant_recalled(m.table, a.session, a.number);
}

static void forget_asked(uint32_t session)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < m.n_asked; i++)
		if (m.asked[i].session != session)
			m.asked[n++] = m.asked[i];
	m.n_asked = n;
}

static void step_gone(uint32_t session)
{
	memset(m.has[session], 0, sizeof(m.has[session]));
	memset(m.attr[session], 0, sizeof(m.attr[session]));
	grant_session_gone(m.table, session);
	forget_asked(session);
	for (uint32_t c = 0; c < CLAIMS; c++)
		if (m.claimer[c] == session)
			m.claimer[c] = SESSION_NOBODY;
}

static void step(void)
{
	uint32_t kind = below(40), session = below(SESSIONS), file = below(FILES), i = below(ARRAY_SIZE(m.waits));

	if (kind < 14) {
		step_lease();
	} else if (kind < 22) {
		step_claim();
	} else if (kind < 31) {
		step_answer();
	} else if (kind < 35) {
		m.attr[session][file] |= grant_attr(m.table, &m.files[file], session);
	} else if (kind < 37) {
		uint64_t offset = below(UNITS);

		for (uint64_t u = offset; u < UNITS; u++)
			m.has[session][file][u] = false;
		grant_give_back(m.table, &m.files[file], session, offset, UINT64_MAX);
	} else if (kind < 38) {
		step_gone(session);
	} else if (kind < 39 && m.waits[i].used) {
		if (grant_lease_cancel(m.table, m.waits[i].session, m.waits[i].request))
			m.waits[i].used = false;
	} else {
		forget_asked(session); /* its connection is new: all of them come again */
		grant_session_again(m.table, session);
	}
}

static void test_table(void)
{
	struct grant_counts c;

	memset(&m, 0, sizeof(m));
	m.table = grant_init(calloc(1, grant_size(&limits)), &limits, 1);
	for (uint32_t f = 0; f < FILES; f++)
		m.files[f] = (struct vol_fid){ .len = 4, .type = 1, .data = { (uint8_t)f } };
	for (uint32_t i = 0; i < STEPS && !check_failed; i++) {
		step();
		pump();
		check_noted();
		check_ready();
		grant_count(m.table, &c);
		CHECK(c.files <= limits.files && c.holders <= limits.holders && c.claims <= limits.claims &&
		      c.wants <= limits.wants && c.waiters <= limits.waiters);
	}
	/* Every recall is answered: every claim gets ready, and every lease that waits is decided. */
	while (m.n_asked) {
		step_answer();
		pump();
	}
	for (uint32_t k = 0; k < CLAIMS; k++)
		if (m.claims[k])
			grant_end(m.table, m.claims[k]);
	pump();
	while (m.n_asked) {
		step_answer();
		pump();
	}
	for (uint32_t i = 0; i < ARRAY_SIZE(m.waits); i++)
		CHECK(!m.waits[i].used);
	for (uint32_t s = 0; s < SESSIONS; s++)
		grant_session_gone(m.table, s);
	pump();
	grant_count(m.table, &c);
	CHECK(!c.files && !c.holders && !c.claims && !c.wants && !c.waiters);
	free(m.table);
}

int main(int argc, char **argv)
{
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1, seeds = argc > 2 ? strtoull(argv[2], NULL, 10) : 200;

	for (uint64_t seed = first; seed < first + seeds && !check_failed; seed++) {
		chance = seed;
		test_ranges();
		test_table();
		if (check_failed)
			fprintf(stderr, "seed %llu: repeat with %s %llu 1\n", (unsigned long long)seed, argv[0],
				(unsigned long long)seed);
	}
	return check_result();
}
