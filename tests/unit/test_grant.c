/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Leases, recalls and claims of the owner, told as stories. */
#include "csvfs/core/grant.h"
#include "tests/lib/check.h"

#define ALL UINT64_MAX
#define EXTENTS VOL_RECALL_EXTENTS
#define SOLE VOL_RECALL_SOLE
#define ATTR VOL_RECALL_ATTR
#define NAME VOL_RECALL_NAME

static const struct grant_limits limits = { .files = 16, .holders = 32, .claims = 8, .wants = 16, .waiters = 8 };
static struct grant_table *table;
static struct grant_event event;
static uint64_t now;
static struct vol_fid file_a, file_b, directory;

static void begin(void)
{
	free(table);
	table = grant_init(calloc(1, grant_size(&limits)), &limits, 3);
	file_a = (struct vol_fid){ .len = 8, .type = 1, .data = "aaaaaaa" };
	file_b = (struct vol_fid){ .len = 8, .type = 1, .data = "bbbbbbb" };
	directory = (struct vol_fid){ .len = 8, .type = 1, .data = "directo" };
	now = 1000;
}

static enum grant_verdict lend(const struct vol_fid *f, uint32_t session, uint64_t offset, uint64_t length,
			       struct grant_given *given)
{
	struct grant_given mine;
	static uint64_t request;
	struct grant_lease l = { .file = f, .session = session, .request = ++request, .offset = offset, .length = length,
				 .user = (void *)(uintptr_t)(session + 1) };

	return grant_lease(table, &l, given ? given : &mine);
}

static uint64_t claim(const struct vol_fid *f, uint32_t what, uint64_t offset, uint64_t length, const char *name, uint32_t session)
{
	struct grant_want w = { .file = f, .what = what, .offset = offset, .length = length, .name = name };
	uint64_t id = 0;

	CHECK_EQ(grant_claim(table, &w, 1, session, &now, &id), 0);
	return id;
}

static bool next(enum grant_event_kind kind, uint32_t session)
{
	if (!CHECK(grant_next(table, now, &event)))
		return false;
	CHECK_EQ(event.kind, kind);
	return CHECK_EQ(event.session, session);
}

static void nothing(void)
{
	if (!CHECK(!grant_next(table, now, &event)))
		fprintf(stderr, "\tevent %d for session %u\n", event.kind, event.session);
}

/* Nothing at all is left, however it went. */
static void end(void)
{
	struct grant_counts c;

	for (uint32_t s = 0; s < 8; s++)
		grant_session_gone(table, s);
	while (grant_next(table, now, &event))
		;
	grant_count(table, &c);
	CHECK_EQ(c.files, 0);
	CHECK_EQ(c.holders, 0);
	CHECK_EQ(c.claims, 0);
	CHECK_EQ(c.wants, 0);
	CHECK_EQ(c.waiters, 0);
}

static void test_recall_before_change(void)
{
	struct grant_given g;
	uint64_t c;

	begin();
	CHECK_EQ(lend(&file_a, 0, 0, 4096, &g), GRANT_NOW);
	CHECK(g.sole);
	CHECK(grant_is_sole(table, &file_a, 0));
	CHECK(grant_other_sole(table, &file_a, 1) && !grant_other_sole(table, &file_a, 0) && !grant_other_sole(table, &file_b, 1));
	c = claim(&file_a, EXTENTS, 1000, ALL, NULL, 0);
	CHECK(!grant_claim_ready(table, c));
	/* The asking session too. */
	if (next(GRANT_SEND_RECALL, 0)) {
		CHECK_EQ(event.recall.what, EXTENTS);
		CHECK_EQ(event.recall.offset, 1000);
		CHECK_EQ(event.recall.length, ALL);
		CHECK_EQ(event.recall.grant, g.number);
		CHECK(event.number > g.number);
	}
	nothing();
	CHECK_EQ(grant_recalled(table, 1, event.number), -ENOENT);
	CHECK_EQ(lend(&file_a, 1, 0, 1000, NULL), GRANT_LATER);
	CHECK(next(GRANT_SEND_RECALL, 0)); /* of the sole right */
	CHECK_EQ(event.recall.what, SOLE);
	CHECK_EQ(grant_recalled(table, 0, event.number), 0);
	CHECK(next(GRANT_LEASE_GIVEN, 1));
	CHECK(!event.given.sole);
	CHECK(!grant_is_sole(table, &file_a, 0));
	CHECK_EQ(grant_recalled(table, 0, event.number), -ENOENT);
	grant_end(table, c);
	CHECK(!grant_claim_ready(table, c));
	CHECK(grant_holds(table, &file_a, 0, 4000, 1)); /* never answered: still noted */
	end();
}

static void test_claim_keeps_off(void)
{
	uint64_t c, number, d;

	begin();
	CHECK_EQ(lend(&file_a, 0, 0, 8192, NULL), GRANT_NOW);
	c = claim(&file_a, EXTENTS, 4096, ALL, NULL, 1);
	CHECK(next(GRANT_SEND_RECALL, 0));
	number = event.number;
	CHECK_EQ(lend(&file_a, 0, 4096, 10, NULL), GRANT_LATER);
	CHECK_EQ(lend(&file_a, 0, 0, 4096, NULL), GRANT_NOW); /* not what is claimed */
	nothing();
	CHECK_EQ(grant_recalled(table, 0, number), 0);
	CHECK(grant_claim_ready(table, c));
	CHECK(next(GRANT_CLAIM_READY, 1));
	CHECK_EQ(event.number, c);
	CHECK(event.user == &now);
	nothing();
	/* A later claim does not wait for the first, but for the lease that came before it. */
	d = claim(&file_a, EXTENTS, 4096, ALL, NULL, 2);
	CHECK(!grant_claim_ready(table, d));
	nothing();
	CHECK(!grant_holds(table, &file_a, 0, 4096, ALL));
	grant_end(table, c);
	CHECK(next(GRANT_SEND_RECALL, 0));
	CHECK(next(GRANT_LEASE_GIVEN, 0));
	CHECK(event.user == (void *)1);
	grant_end(table, d);
	end();
}

static void test_sole(void)
{
	struct grant_given g;
	uint64_t c;

	begin();
	CHECK_EQ(lend(&file_a, 0, 0, 10, &g), GRANT_NOW);
	CHECK(g.sole);
	CHECK_EQ(lend(&file_a, 1, 100, 10, NULL), GRANT_LATER);
	CHECK_EQ(lend(&file_a, 0, 50, 10, &g), GRANT_NOW);
	CHECK(!g.sole); /* it is being taken back */
	CHECK(next(GRANT_SEND_RECALL, 0));
	grant_session_again(table, 0);
	c = event.number;
	CHECK(next(GRANT_SEND_RECALL, 0));
	CHECK_EQ(event.number, c);
	nothing();
	grant_session_gone(table, 0);
	CHECK(next(GRANT_LEASE_GIVEN, 1));
	CHECK(event.given.sole);
	/* A claim of the sole right by its holder takes nothing from it; one by another does. */
	c = claim(&file_a, SOLE, 0, 0, NULL, 1);
	CHECK(grant_claim_ready(table, c));
	grant_end(table, c);
	c = claim(&file_a, SOLE, 0, 0, NULL, 2);
	CHECK(next(GRANT_SEND_RECALL, 1));
	CHECK_EQ(grant_recalled(table, 1, event.number), 0);
	CHECK_EQ(lend(&file_a, 1, 0, 10, &g), GRANT_NOW);
	CHECK(!g.sole);
	grant_end(table, c);
	CHECK_EQ(lend(&file_a, 1, 0, 10, &g), GRANT_NOW);
	CHECK(g.sole);
	grant_give_back(table, &file_a, 1, 0, ALL);
	CHECK(!grant_is_sole(table, &file_a, 1));
	CHECK(grant_session_idle(table, 1));
	end();
}

static void test_attributes_and_names(void)
{
	struct grant_want wants[] = { { .file = &directory, .what = ATTR | NAME, .name = "x" }, { .file = &file_a, .what = ATTR } };
	uint64_t c = 0;

	begin();
	CHECK(grant_attr(table, &directory, 0));
	CHECK(grant_attr(table, &file_a, 1));
	CHECK(grant_name(table, &directory, "x", 1));
	CHECK(grant_name(table, &directory, "y", 2));
	CHECK_EQ(grant_claim(table, wants, 2, 0, NULL, &c), 0);
	CHECK(next(GRANT_SEND_RECALL, 1)); /* the asking session and the holder of the other name are not asked */
	CHECK_STR(event.recall.name, "x");
	CHECK_EQ(grant_recalled(table, 1, event.number), 0);
	CHECK(!grant_claim_ready(table, c));
	CHECK(next(GRANT_SEND_RECALL, 1));
	CHECK_EQ(event.recall.what, ATTR);
	CHECK(!grant_attr(table, &file_a, 2));
	CHECK(!grant_name(table, &directory, "x", 2));
	CHECK(grant_name(table, &directory, "z", 2));
	CHECK(grant_attr(table, &file_a, 0)); /* who asks gets them with the answer */
	CHECK_EQ(grant_recalled(table, 1, event.number), 0);
	CHECK(next(GRANT_CLAIM_READY, 0));
	grant_end(table, c);
	CHECK(grant_attr(table, &file_a, 2));
	/* Single names again and again: one day all of the directory, and then there is silence. */
	for (uint32_t i = 0; i < 64; i++) {
		c = claim(&directory, NAME, 0, 0, "y", 0);
		if (grant_claim_ready(table, c))
			break;
		CHECK(next(GRANT_SEND_RECALL, 2));
		CHECK_EQ(grant_recalled(table, 2, event.number), 0);
		if (!*event.recall.name)
			CHECK(!grant_name(table, &directory, "y", 2));
		grant_end(table, c);
	}
	CHECK(grant_claim_ready(table, c));
	grant_end(table, c);
	end();
}

/* All names there can be: each is recalled, and none is lent while one is claimed. */
static void test_whole_directory(void)
{
	uint64_t c = 0;

	begin();
	CHECK(grant_name(table, &directory, "", 1));
	for (uint32_t i = 0; i < 64; i++) {
		char name[8];

		snprintf(name, sizeof(name), "n%u", i);
		c = claim(&directory, NAME, 0, 0, name, 0);
		if (i && grant_claim_ready(table, c))
			break;
		REQUIRE(next(GRANT_SEND_RECALL, 1));
		CHECK(!*event.recall.name || !strcmp(event.recall.name, name));
		CHECK(!grant_name(table, &directory, "", 2));
		CHECK_EQ(grant_recalled(table, 1, event.number), 0);
		CHECK(!grant_name(table, &directory, "", 2));
		grant_end(table, c);
	}
	CHECK(grant_claim_ready(table, c)); /* one day all was taken back */
	CHECK(!grant_name(table, &directory, "", 2));
	grant_end(table, c);
	CHECK(grant_name(table, &directory, "", 2));
	end();
}

static void test_grace(void)
{
	struct session_set before = { 0 }, waits;
	struct grant_lease l = { .file = &file_a, .session = 1, .offset = 0, .length = 4096, .reclaim = true };
	struct grant_given g;
	uint64_t c;

	begin();
	session_set_add(&before, 1);
	session_set_add(&before, 2);
	grant_grace_begin(table, &before);
	CHECK_EQ(lend(&file_a, 3, 0, 10, NULL), GRANT_NEVER);
	c = claim(&file_a, EXTENTS, 0, ALL, NULL, 3);
	nothing();
	CHECK_EQ(grant_lease(table, &l, &g), GRANT_NOW);
	CHECK(!g.sole);
	l.session = 3;
	CHECK_EQ(grant_lease(table, &l, &g), GRANT_NEVER); /* it had none */
	grant_session_ready(table, 1);
	l.session = 1;
	CHECK_EQ(grant_lease(table, &l, &g), GRANT_NEVER); /* too late */
	CHECK(!grant_claim_ready(table, c));
	nothing();
	grant_grace_waits_for(table, &waits);
	CHECK(session_set_has(&waits, 2) && !session_set_has(&waits, 1));
	grant_session_gone(table, 2);
	CHECK(!grant_in_grace(table));
	CHECK(next(GRANT_SEND_RECALL, 1));
	CHECK_EQ(event.recall.grant >> 40, 3);
	CHECK_EQ(grant_recalled(table, 1, event.number), 0);
	CHECK(next(GRANT_CLAIM_READY, 3));
	grant_end(table, c);
	end();
}

static void test_silent(void)
{
	struct session_set silent;
	uint64_t c;

	begin();
	CHECK_EQ(lend(&file_a, 4, 0, 10, NULL), GRANT_NOW);
	c = claim(&file_a, EXTENTS, 0, ALL, NULL, SESSION_NOBODY);
	grant_silent(table, now + 1, &silent);
	CHECK(session_set_empty(&silent)); /* not sent yet */
	CHECK(next(GRANT_SEND_RECALL, 4));
	grant_silent(table, now, &silent);
	CHECK(session_set_empty(&silent));
	grant_silent(table, now + 1, &silent);
	CHECK(session_set_has(&silent, 4));
	now += 5000;
	grant_session_again(table, 4); /* a new connection is no answer */
	CHECK(next(GRANT_SEND_RECALL, 4));
	grant_silent(table, 1001, &silent);
	CHECK(session_set_has(&silent, 4));
	grant_session_gone(table, 4);
	CHECK(next(GRANT_CLAIM_READY, SESSION_NOBODY));
	grant_silent(table, ALL, &silent);
	CHECK(session_set_empty(&silent));
	grant_end(table, c);
	end();
}

static void test_waiting_leases(void)
{
	struct grant_lease l = { .file = &file_a, .session = 1, .request = 7, .offset = 0, .length = 10, .user = &now };
	struct grant_given g;
	uint64_t c;

	begin();
	c = claim(&file_a, EXTENTS, 0, ALL, NULL, 0);
	l.only_now = true;
	CHECK_EQ(grant_lease(table, &l, &g), GRANT_NEVER);
	l.only_now = false;
	CHECK_EQ(grant_lease(table, &l, &g), GRANT_LATER);
	l.user = &l;
	CHECK_EQ(grant_lease(table, &l, &g), GRANT_LATER); /* again, by a new connection */
	CHECK(next(GRANT_CLAIM_READY, 0));
	grant_end(table, c);
	CHECK(!grant_lease_cancel(table, 1, 7)); /* decided, its answer is coming */
	CHECK(next(GRANT_LEASE_GIVEN, 1));
	CHECK(event.user == &l);
	CHECK(event.given.sole);
	nothing();
	l.session = 2;
	CHECK_EQ(grant_lease(table, &l, &g), GRANT_LATER);
	CHECK(grant_lease_cancel(table, 2, 7));
	CHECK(!grant_lease_cancel(table, 2, 7));
	CHECK_EQ(grant_lease(table, &l, &g), GRANT_LATER);
	grant_lend(table, false);
	CHECK(next(GRANT_LEASE_REFUSED, 2));
	CHECK_EQ(grant_lease(table, &l, &g), GRANT_NEVER);
	grant_lend(table, true);
	CHECK_EQ(grant_lease(table, &l, &g), GRANT_LATER);
	CHECK_EQ(lend(&file_b, 2, 0, 10, NULL), GRANT_NOW);
	grant_session_gone(table, 2);
	CHECK(next(GRANT_LEASE_REFUSED, 2));
	CHECK(grant_session_idle(table, 2));
	nothing();
	end();
}

static void test_limits(void)
{
	struct grant_want w[GRANT_WANTS_MAX + 1];
	struct vol_fid f = file_a;
	uint64_t claims[9], c;
	uint32_t n = 0;

	begin();
	for (uint8_t i = 0; i < limits.files; i++) {
		f.data[0] = i;
		CHECK_EQ(lend(&f, 0, 0, 10, NULL), GRANT_NOW);
	}
	CHECK_EQ(lend(&file_a, 0, 0, 10, NULL), GRANT_NEVER);
	CHECK(!grant_attr(table, &file_a, 0));
	/* Claims work all the same. */
	for (uint32_t i = 0; i < ARRAY_SIZE(w); i++)
		w[i] = (struct grant_want){ .file = &file_a, .what = EXTENTS, .length = 1 };
	CHECK_EQ(grant_claim(table, w, GRANT_WANTS_MAX + 1, 0, NULL, &c), -EINVAL);
	CHECK_EQ(grant_claim(table, w, 0, 0, NULL, &c), -EINVAL);
	CHECK_EQ(grant_claim(table, w, 8, 0, NULL, &claims[n++]), 0);
	CHECK_EQ(grant_claim(table, w, 8, 0, NULL, &claims[n++]), 0);
	CHECK_EQ(grant_claim(table, w, 1, 0, NULL, &c), -ENOBUFS);
	while (n)
		grant_end(table, claims[--n]);
	for (; n < limits.claims; n++)
		CHECK_EQ(grant_claim(table, w, 1, 0, NULL, &claims[n]), 0);
	CHECK_EQ(grant_claim(table, w, 1, 0, NULL, &c), -ENOBUFS);
	while (n)
		grant_end(table, claims[--n]);
	w[0].what = 16;
	CHECK_EQ(grant_claim(table, w, 1, 0, NULL, &c), -EINVAL);
	n = 0;
	for (uint32_t cursor = 0; grant_file_next(table, &cursor, &f);)
		n++;
	CHECK_EQ(n, limits.files);
	end();
	CHECK(!grant_file_next(table, &(uint32_t){ 0 }, &f));
}

/* What is cached takes three quarters; files without extents are found, to take some of it back. */
static void test_room_for_cached(void)
{
	struct vol_fid f = file_a;
	uint32_t n = 0, cursor = 0;

	begin();
	CHECK_EQ(lend(&file_b, 0, 0, 10, NULL), GRANT_NOW);
	CHECK(grant_attr(table, &file_b, 0));
	CHECK(!grant_cache_is_full(table));
	for (; n < limits.files; n++) {
		f.data[0] = (uint8_t)n;
		if (!grant_attr(table, &f, 0))
			break;
		CHECK(grant_attr_is_lent(table, &f));
	}
	CHECK_EQ(n, limits.files / 4 * 3 - 1);
	CHECK(grant_cache_is_full(table));
	CHECK(!grant_name(table, &directory, "x", 0));
	CHECK(!grant_attr_is_lent(table, &directory));
	CHECK(grant_attr(table, &file_b, 0)); /* it has a place already */
	CHECK_EQ(lend(&directory, 0, 0, 10, NULL), GRANT_NOW);
	for (n = 0; grant_cached_next(table, &cursor, &f); n++)
		CHECK(!vol_fid_equal(&f, &file_b) && !vol_fid_equal(&f, &directory));
	CHECK_EQ(n, limits.files / 4 * 3 - 1);
	end();
}

/* A slot that is given again is not taken for the one that had it before. */
static void test_slot_again(void)
{
	uint64_t c;

	begin();
	c = claim(&file_a, ATTR, 0, 0, NULL, 5);
	grant_session_gone(table, 5);
	CHECK(!grant_attr(table, &file_a, 5));
	CHECK(next(GRANT_CLAIM_READY, SESSION_NOBODY));
	grant_end(table, c);
	CHECK(grant_attr(table, &file_a, 5));
	end();
}

int main(void)
{
	test_recall_before_change();
	test_claim_keeps_off();
	test_sole();
	test_attributes_and_names();
	test_whole_directory();
	test_grace();
	test_silent();
	test_waiting_leases();
	test_limits();
	test_room_for_cached();
	test_slot_again();
	free(table);
	return check_result();
}
