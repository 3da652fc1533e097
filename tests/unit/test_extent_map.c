/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Extent maps against a model that has one note a byte, and the drain against one that has sets. usage: [first seed [seeds]]
 */
#include "csvfs/core/extent_map.h"
#include "splitmix.h"
#include "tests/lib/check.h"
#include "units.h"

#define FILE_BYTES 1024u
#define SECTOR 16u
#define STEPS 400
#define USES 12
#define RECALLS 8

static uint64_t chance;

static uint32_t below(uint32_t n)
{
	return (uint32_t)(splitmix_next(&chance) % n);
}

/* --- maps --- */

static struct model {
	uint64_t physical[FILE_BYTES]; /* + 1; 0: not lent */
	bool writable[FILE_BYTES];
	bool sole;
	uint64_t recalled;
} model;
static struct lent_extent array[2][2048];
static struct extent_map map;

static void model_cut(uint64_t offset, uint64_t length)
{
	for (uint64_t i = offset; i < FILE_BYTES && i - offset < length; i++)
		model.physical[i] = 0;
}

static void model_add(const struct vol_extent *list, uint32_t n, bool writable)
{
	for (uint32_t k = 0; k < n; k++)
		for (uint64_t i = 0; i < list[k].length; i++) {
			model.physical[list[k].offset + i] = list[k].physical + i + 1;
			model.writable[list[k].offset + i] = writable;
		}
}

/* Mostly where blocks are whole sectors, now and then anything. */
static uint64_t somewhere(void)
{
	return below(4) ? below(FILE_BYTES / SECTOR) * (uint64_t)SECTOR : below(FILE_BYTES);
}

static uint32_t draw_list(struct vol_extent *list, uint32_t max)
{
	uint64_t at = somewhere();
	uint32_t n = 0;

	while (n < max && at < FILE_BYTES) {
		uint64_t length = below(8) ? (1 + below(6)) * (uint64_t)SECTOR : 1 + below(40);

		if (length > FILE_BYTES - at)
			length = FILE_BYTES - at;
		/* Often in one piece with what is around it. */
		list[n++] = (struct vol_extent){ at, below(3) ? at + 65536 : below(1000) * (uint64_t)SECTOR, length };
		at += length + (below(3) ? 0 : below(5) * SECTOR);
		if (!below(3))
			break;
	}
	return n;
}

static void check_map(void)
{
	uint64_t end = 0;
	bool same = true;

	for (uint32_t i = 0; i < map.n; i++) {
		const struct lent_extent *e = &map.extents[i];

		CHECK(e->length && e->offset >= end);
		end = e->offset + e->length;
	}
	CHECK(end <= FILE_BYTES);
	for (uint64_t at = 0, i = 0; at < FILE_BYTES; at++) {
		const struct lent_extent *e;

		while (i < map.n && map.extents[i].offset + map.extents[i].length <= at)
			i++;
		e = i < map.n && map.extents[i].offset <= at ? &map.extents[i] : NULL;
		same &= model.physical[at] == (e ? e->physical + (at - e->offset) + 1 : 0);
		same &= !e || e->writable == model.writable[at];
	}
	CHECK(same);
	CHECK_EQ(map.sole, model.sole);
}

/* Is the whole sector of the byte lent, for that, in one run and at a sector's place of the device? */
static bool sector_lent(uint64_t at, bool write)
{
	uint64_t first = at / SECTOR * SECTOR;

	if (first + SECTOR > FILE_BYTES || !model.physical[first] || (model.physical[first] - 1) % SECTOR)
		return false;
	for (uint64_t i = first; i < first + SECTOR; i++)
		if (model.physical[i] != model.physical[first] + (i - first) || (write && !model.writable[i]))
			return false;
	return true;
}

static void check_piece(const struct extent_piece *p, uint64_t offset, uint64_t end, bool write)
{
	for (uint64_t at = p->offset; at < p->offset + p->length; at++) {
		uint64_t first = at / SECTOR * SECTOR;
		bool whole = first >= offset && first + SECTOR <= end, lent = at < FILE_BYTES && sector_lent(at, write);

		if (whole && lent)
			CHECK_EQ(p->kind, PIECE_DIRECT);
		if (p->kind == PIECE_REDIRECT)
			continue;
		CHECK(lent);
		CHECK_EQ(p->physical + (at - p->offset) + 1, model.physical[at < FILE_BYTES ? at : 0]);
		if (p->kind == PIECE_PARTIAL)
			CHECK(first == p->offset / SECTOR * SECTOR && (!write || model.sole));
	}
	if (p->kind == PIECE_DIRECT)
		CHECK(!(p->offset % SECTOR) && !(p->length % SECTOR) && !(p->physical % SECTOR));
}

static void check_find(void)
{
	uint64_t offset = below(FILE_BYTES), end = offset + 1 + below(300), at = offset;
	bool write = below(2);
	uint32_t max = 1 + below(4);

	while (at < end) {
		struct extent_piece pieces[4];
		uint32_t n = extent_map_find(&map, at, end - at, write, SECTOR, pieces, max);

		REQUIRE(n && n <= max);
		for (uint32_t i = 0; i < n; i++) {
			REQUIRE(pieces[i].offset == at && pieces[i].length && at + pieces[i].length <= end);
			check_piece(&pieces[i], offset, end, write);
			at += pieces[i].length;
		}
	}
}

static void step_add(uint64_t *grant)
{
	struct vol_extent list[8];
	uint32_t n = draw_list(list, 8);
	bool writable = below(2), sole = below(2);
	uint64_t number = below(4) ? ++*grant : 1 + below((uint32_t)*grant + 1);

	if (number <= model.recalled) {
		CHECK_EQ(extent_map_add(&map, list, n, number, writable, sole), 0);
		return;
	}
	CHECK_EQ(extent_map_add(&map, list, n, number, writable, sole), n);
	model_add(list, n, writable);
	model.sole = sole;
}

static void step_recall(uint64_t *grant)
{
	static const uint32_t whats[] = { VOL_RECALL_EXTENTS, VOL_RECALL_SOLE, VOL_RECALL_EXTENTS | VOL_RECALL_SOLE,
					  VOL_RECALL_ATTR };
	uint64_t offset = somewhere(), length = below(3) ? below(300) : UINT64_MAX, number = below(3) ? *grant : *grant / 2;
	uint32_t what = whats[below(ARRAY_SIZE(whats))];

	extent_map_recall(&map, number, what, offset, length);
	if (what == VOL_RECALL_ATTR)
		return;
	if (number > model.recalled)
		model.recalled = number;
	if (what & VOL_RECALL_SOLE)
		model.sole = false;
	if (what & VOL_RECALL_EXTENTS)
		model_cut(offset, length);
}

/* A new owner confirms some of it, elsewhere, or not at all. */
static void step_reclaim(uint64_t *grant)
{
	uint64_t offset = somewhere(), length = 1 + below(200), end = offset + length;
	struct vol_extent list[8];
	uint32_t n = 0;
	bool same = true, move = !below(3);

	if (end > FILE_BYTES)
		end = FILE_BYTES;
	for (uint64_t at = offset; at < end && n < ARRAY_SIZE(list);) {
		uint64_t stop = at;

		while (stop < end && model.physical[stop] == (model.physical[at] ? model.physical[at] + (stop - at) : 0))
			stop++;
		if (model.physical[at])
			list[n++] = (struct vol_extent){ at, model.physical[at] - 1 + (move ? SECTOR : 0), stop - at };
		at = stop;
	}
	for (uint64_t at = offset; at < end; at++) {
		bool found = false;

		for (uint32_t k = 0; k < n; k++)
			found |= at - list[k].offset < list[k].length &&
				 list[k].physical + (at - list[k].offset) + 1 == model.physical[at];
		same &= !model.physical[at] || found;
	}
	extent_map_new_owner(&map);
	CHECK_EQ(extent_map_reclaimed(&map, offset, length, list, n, ++*grant, true), same);
	model_cut(offset, length);
	model_add(list, n, true);
	model.sole = false;
}

static void test_map(void)
{
	uint64_t grant = 1;

	memset(&model, 0, sizeof(model));
	extent_map_init(&map, array[0], ARRAY_SIZE(array[0]));
	for (uint32_t step = 0; step < STEPS && !check_failed; step++) {
		uint64_t offset = somewhere(), length = below(4) ? below(100) : UINT64_MAX;

		switch (below(8)) {
		case 0:
			extent_map_cut(&map, offset, length);
			model_cut(offset, length);
			break;
		case 1:
			step_recall(&grant);
			break;
		case 2:
			step_reclaim(&grant);
			break;
		case 3:
			extent_map_move(&map, array[map.extents == array[0]], ARRAY_SIZE(array[0]));
			break;
		default:
			step_add(&grant);
		}
		check_map();
		for (uint32_t i = 0; i < 4; i++)
			check_find();
	}
}

/* Too small a map has less than was lent, never anything else. */
static void test_full(void)
{
	uint64_t grant = 0;

	memset(&model, 0, sizeof(model));
	extent_map_init(&map, array[0], 4);
	for (uint32_t step = 0; step < STEPS && !check_failed; step++) {
		struct vol_extent list[8];
		uint32_t n = draw_list(list, 8);
		int added;

		if (!below(4)) {
			uint64_t offset = somewhere(), length = below(60);

			extent_map_cut(&map, offset, length);
			model_cut(offset, length);
		} else {
			added = extent_map_add(&map, list, n, ++grant, true, false);
			CHECK(added >= 0 && (uint32_t)added <= n);
			model_add(list, n, true);
		}
		CHECK(map.n <= 4);
		for (uint32_t i = 0; i < map.n; i++)
			for (uint64_t k = 0; k < map.extents[i].length; k++)
				CHECK_EQ(map.extents[i].physical + k + 1, model.physical[map.extents[i].offset + k]);
	}
}

static void test_bad_lists(void)
{
	static const struct vol_extent bad[][2] = {
		{ { 0, 0, 0 }, { 10, 10, 10 } },	     { { 10, 0, 10 }, { 15, 100, 10 } }, { { 20, 0, 10 }, { 0, 100, 10 } },
		{ { 0, 0, 10 }, { UINT64_MAX - 4, 0, 10 } }, { { 0, 0, 10 }, { 20, UINT64_MAX - 4, 10 } },
	};

	extent_map_init(&map, array[0], 100);
	for (uint32_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK_EQ(extent_map_add(&map, bad[i], 2, 1, true, true), -EBADMSG);
	CHECK_EQ(map.n, 0);
	CHECK(!map.sole);
	/* Asking and giving back keep out of each other's way. */
	CHECK(extent_map_ask_begin(&map) && extent_map_ask_begin(&map));
	CHECK(!extent_map_give_begin(&map, 0, 1));
	extent_map_ask_end(&map);
	CHECK(!extent_map_give_begin(&map, 0, 1));
	extent_map_ask_end(&map);
	CHECK(extent_map_give_begin(&map, 0, 1));
	CHECK(!extent_map_ask_begin(&map) && !extent_map_give_begin(&map, 0, 1));
	extent_map_give_end(&map);
	CHECK(extent_map_ask_begin(&map));
}

/* --- the drain --- */

static struct drain_model {
	struct io_use use[USES];
	bool used[USES];
	struct io_recall recall[RECALLS];
	bool asked[RECALLS], waits[RECALLS][USES];
	uint64_t age[RECALLS];
} drains;

static bool range_meets(uint64_t a, uint64_t a_length, uint64_t b, uint64_t b_length)
{
	return a < (b_length == UINT64_MAX ? UINT64_MAX : b + b_length) && b < a + a_length;
}

static void recall_start(struct io_drain *d, uint32_t k, uint64_t age)
{
	uint32_t what = 1 + below(3);
	uint64_t offset = below(64), length = below(3) ? below(32) : UINT64_MAX;

	io_recall_begin(d, &drains.recall[k], k, what, offset, length);
	drains.asked[k] = true;
	drains.age[k] = age;
	for (uint32_t u = 0; u < USES; u++)
		drains.waits[k][u] = drains.used[u] &&
				     ((what & VOL_RECALL_SOLE && drains.use[u].modify) ||
				      (what & VOL_RECALL_EXTENTS &&
				       range_meets(drains.use[u].offset, drains.use[u].length, offset, length)));
}

static void use_stop(struct io_drain *d, uint32_t u)
{
	bool freed = false;

	for (uint32_t k = 0; k < RECALLS; k++) {
		bool waited = drains.asked[k] && drains.waits[k][u], more = false;

		drains.waits[k][u] = false;
		for (uint32_t i = 0; i < USES; i++)
			more |= drains.waits[k][i];
		freed |= waited && !more;
	}
	CHECK_EQ(io_end(d, &drains.use[u]), freed);
	drains.used[u] = false;
}

static void check_ready(struct io_drain *d)
{
	for (;;) {
		struct io_recall *r = io_ready(d);
		uint32_t oldest = RECALLS;

		for (uint32_t k = 0; k < RECALLS; k++) {
			bool waits = false;

			for (uint32_t u = 0; u < USES; u++)
				waits |= drains.waits[k][u];
			if (drains.asked[k] && !waits && (oldest == RECALLS || drains.age[k] < drains.age[oldest]))
				oldest = k;
		}
		CHECK(r == (oldest == RECALLS ? NULL : &drains.recall[oldest]));
		if (!r || oldest == RECALLS)
			return;
		drains.asked[oldest] = false;
	}
}

static void test_drain(void)
{
	struct io_drain d;

	memset(&drains, 0, sizeof(drains));
	io_drain_init(&d);
	for (uint32_t step = 0; step < STEPS && !check_failed; step++) {
		uint32_t u = below(USES), k = below(RECALLS);

		if (!below(3) && !drains.asked[k]) {
			recall_start(&d, k, step);
		} else if (drains.used[u]) {
			use_stop(&d, u);
		} else {
			io_begin(&d, &drains.use[u], below(64), 1 + below(16), below(2));
			drains.used[u] = true;
		}
		if (below(2))
			check_ready(&d);
	}
	for (uint32_t u = 0; u < USES; u++)
		if (drains.used[u])
			use_stop(&d, u);
	check_ready(&d);
	CHECK_EQ(d.n_uses, 0);
	CHECK(!d.uses && !d.recalls);
}

int main(int argc, char **argv)
{
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1, seeds = argc > 2 ? strtoull(argv[2], NULL, 10) : 300;

	test_bad_lists();
	for (uint64_t seed = first; seed < first + seeds && !check_failed; seed++) {
		chance = seed;
		test_map();
		test_full();
		test_drain();
		if (check_failed)
			fprintf(stderr, "seed %llu: repeat with %s %llu 1\n", (unsigned long long)seed, argv[0],
				(unsigned long long)seed);
	}
	return check_result();
}
