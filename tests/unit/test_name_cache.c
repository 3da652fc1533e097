/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Attributes and names that are lent, against a plain list: never more than was put and not dropped since; bounded. */
#include "csvfs/core/name_cache.h"

#include "splitmix.h"
#include "tests/lib/check.h"

static struct vol_fid fid_of(uint32_t n)
{
	struct vol_fid f = { .len = 4, .type = 1 };

	memcpy(f.data, &n, sizeof(n));
	return f;
}

static struct name_cache *cache_new(uint32_t files, uint32_t names)
{
	const struct name_cache_limits l = { .files = files, .names = names };
	void *memory = calloc(1, name_cache_size(&l));

	REQUIRE(memory);
	return name_cache_init(memory, &l);
}

static bool has_attr(struct name_cache *c, uint32_t n, uint64_t size)
{
	struct vol_fid f = fid_of(n);
	struct vol_attr a;

	return name_cache_attr(c, &f, &a) && a.size == size;
}

static void put_attr(struct name_cache *c, uint32_t n, uint64_t size)
{
	struct vol_fid f = fid_of(n);
	struct vol_attr a = { .size = size };

	name_cache_put_attr(c, &f, &a);
}

/* What was used least recently goes first. */
static void limits(void)
{
	struct name_cache *c = cache_new(3, 2), *none = cache_new(0, 0);
	struct vol_fid d = fid_of(100), f = fid_of(1), out;
	uint32_t files, names;

	for (uint32_t i = 1; i <= 3; i++)
		put_attr(c, i, i);
	CHECK(has_attr(c, 1, 1));
	put_attr(c, 4, 4);
	CHECK(!has_attr(c, 2, 2));
	CHECK(has_attr(c, 1, 1) && has_attr(c, 3, 3) && has_attr(c, 4, 4));
	name_cache_put_name(c, &d, "a", &f);
	name_cache_put_name(c, &d, "b", &f);
	CHECK(name_cache_name(c, &d, "a", &out));
	name_cache_put_name(c, &d, "c", &f);
	CHECK(!name_cache_name(c, &d, "b", &out));
	CHECK(name_cache_name(c, &d, "a", &out) && vol_fid_equal(&out, &f));
	name_cache_count(c, &files, &names);
	CHECK_EQ(files, 3);
	CHECK_EQ(names, 2);
	name_cache_clear(c);
	name_cache_count(c, &files, &names);
	CHECK_EQ(files + names, 0);
	put_attr(none, 1, 1);
	name_cache_put_name(none, &d, "a", &f);
	CHECK(!has_attr(none, 1, 1) && !name_cache_name(none, &d, "a", &out));
	free(c);
	free(none);
}

/* That an ACL is missing is known as long as the attributes are. */
static void missing(void)
{
	struct name_cache *c = cache_new(2, 2);
	struct vol_fid f = fid_of(1);

	name_cache_put_missing(c, &f, NAME_CACHE_NO_ACL);
	CHECK_EQ(name_cache_missing(c, &f), 0);
	put_attr(c, 1, 1);
	name_cache_put_missing(c, &f, NAME_CACHE_NO_ACL);
	CHECK_EQ(name_cache_missing(c, &f), NAME_CACHE_NO_ACL);
	put_attr(c, 1, 1);
	CHECK_EQ(name_cache_missing(c, &f), NAME_CACHE_NO_ACL);
	name_cache_drop_attr(c, &f);
	put_attr(c, 1, 1);
	CHECK_EQ(name_cache_missing(c, &f), 0);
	free(c);
}

/* Of two answers that say different things nobody knows which is older. */
static void contradictions(void)
{
	struct name_cache *c = cache_new(2, 2);
	const struct vol_fid none = { 0 };
	struct vol_fid d = fid_of(100), f = fid_of(1), out;
	struct vol_attr a;

	put_attr(c, 1, 10);
	put_attr(c, 1, 10);
	CHECK(has_attr(c, 1, 10));
	put_attr(c, 1, 20);
	CHECK(!name_cache_attr(c, &f, &a));
	put_attr(c, 1, 20);
	CHECK(has_attr(c, 1, 20));
	name_cache_put_name(c, &d, "a", &f);
	name_cache_put_name(c, &d, "a", &f);
	CHECK(name_cache_name(c, &d, "a", &out));
	name_cache_put_name(c, &d, "a", &none);
	CHECK(!name_cache_name(c, &d, "a", &out));
	free(c);
}

enum known { UNKNOWN, MISSING, THERE };

static enum known known(struct name_cache *c, const struct vol_fid *d, const char *name)
{
	struct vol_fid out;

	return !name_cache_name(c, d, name, &out) ? UNKNOWN : vol_fid_none(&out) ? MISSING : THERE;
}

/* Of a whole directory all names are known, but for those that were taken back; without room for one of them none is. */
static void whole(void)
{
	struct name_cache *c = cache_new(2, 4); /* the directory, and three names */
	const struct vol_fid none = { 0 };
	struct vol_fid d = fid_of(100), e = fid_of(101), f = fid_of(1);

	name_cache_put_whole(c, &d);
	CHECK_EQ(known(c, &d, "a"), MISSING);
	CHECK_EQ(known(c, &e, "a"), UNKNOWN);
	name_cache_drop_name(c, &d, "a");
	CHECK_EQ(known(c, &d, "a"), UNKNOWN);
	CHECK_EQ(known(c, &d, "b"), MISSING);
	name_cache_put_name(c, &d, "a", &f);
	CHECK_EQ(known(c, &d, "a"), THERE);
	name_cache_drop_name(c, &d, "a");
	CHECK_EQ(known(c, &d, "a"), UNKNOWN);
	name_cache_put_name(c, &d, "a", &none);
	CHECK_EQ(known(c, &d, "a"), MISSING);
	name_cache_put_name(c, &d, "b", &f); /* nobody has said that it is dropped: a contradiction */
	CHECK_EQ(known(c, &d, "b"), UNKNOWN);
	name_cache_put_name(c, &e, "x", &f);
	CHECK_EQ(known(c, &d, "c"), MISSING);
	name_cache_put_name(c, &e, "y", &f); /* instead of "a" */
	CHECK_EQ(known(c, &d, "c"), UNKNOWN);
	CHECK_EQ(known(c, &d, "a"), UNKNOWN);
	CHECK_EQ(known(c, &e, "x"), THERE);
	name_cache_put_whole(c, &e);
	CHECK_EQ(known(c, &e, "z"), MISSING);
	name_cache_drop_name(c, &e, "");
	CHECK_EQ(known(c, &e, "z"), UNKNOWN);
	name_cache_put_whole(c, &e);
	name_cache_clear(c);
	CHECK_EQ(known(c, &e, "z"), UNKNOWN);
	free(c);
	c = cache_new(2, 0);
	name_cache_put_whole(c, &d);
	name_cache_drop_name(c, &d, "a"); /* no room to note it */
	CHECK_EQ(known(c, &d, "b"), UNKNOWN);
	free(c);
}

#define FILES 40
#define DIRECTORIES 3
#define NAMES 30
static struct {
	uint64_t attr[FILES]; /* size; 0: not lent */
	uint32_t name[DIRECTORIES][NAMES]; /* file + 1, FILES + 1: none of that name, 0: not lent */
} model;

static const char *name_of(uint32_t n)
{
	static char text[VOL_FNAME_SIZE];

	memset(text, 'x', sizeof(text) - 1);
	snprintf(text, 8, "%u", n);
	if (n == NAMES - 1)
		text[strlen(text)] = 'y'; /* as long as a name can be */
	return text;
}

static void compare(struct name_cache *c)
{
	struct vol_fid out;

	for (uint32_t i = 0; i < FILES; i++) {
		struct vol_fid f = fid_of(i + 1);
		struct vol_attr a;

		if (name_cache_attr(c, &f, &a))
			CHECK_EQ(a.size, model.attr[i]);
	}
	for (uint32_t i = 0; i < DIRECTORIES * NAMES; i++) {
		uint32_t is = model.name[i / NAMES][i % NAMES];
		struct vol_fid d = fid_of(1000 + i / NAMES), want = fid_of(is);

		if (!name_cache_name(c, &d, name_of(i % NAMES), &out))
			continue;
		CHECK(is);
		if (is == FILES + 1)
			CHECK(vol_fid_none(&out));
		else
			CHECK(vol_fid_equal(&out, &want));
	}
}

static void step(struct name_cache *c, uint64_t *rng)
{
	const struct vol_fid none = { 0 };
	uint64_t r = splitmix_next(rng);
	uint32_t n = (uint32_t)(r >> 8) % FILES, d = (uint32_t)(r >> 20) % DIRECTORIES, name = (uint32_t)(r >> 32) % NAMES;
	struct vol_fid file = fid_of(n + 1), directory = fid_of(1000 + d);

	switch (r % 16) {
	case 0:
		name_cache_drop_attr(c, &file);
		model.attr[n] = 0;
		break;
	case 1:
		name_cache_drop_name(c, &directory, name_of(name));
		model.name[d][name] = 0;
		break;
	case 2:
		if (r >> 60)
			break;
		name_cache_drop_name(c, &directory, "");
		memset(model.name[d], 0, sizeof(model.name[d]));
		break;
	case 3:
		if (r >> 58)
			break;
		name_cache_clear(c);
		memset(&model, 0, sizeof(model));
		break;
	case 4:
		if (r >> 61 == 0) { /* another one of this name, which is new */
			name_cache_drop_name(c, &directory, "");
			name_cache_put_whole(c, &directory);
			for (uint32_t k = 0; k < NAMES; k++)
				model.name[d][k] = FILES + 1;
			break;
		}
		name_cache_put_name(c, &directory, name_of(name), &none);
		model.name[d][name] = FILES + 1;
		break;
	case 5: case 6: case 7: case 8:
		name_cache_put_name(c, &directory, name_of(name), &file);
		model.name[d][name] = n + 1;
		break;
	default:
		put_attr(c, n + 1, r | 1);
		model.attr[n] = r | 1;
	}
}

static void against_model(uint64_t seed)
{
	struct name_cache *c = cache_new(8 + (uint32_t)(seed % 40), 8 + (uint32_t)(seed * 7 % 90));
	uint64_t rng = seed;
	uint32_t files, names;

	memset(&model, 0, sizeof(model));
	for (int i = 0; i < 3000 && !check_failed; i++) {
		step(c, &rng);
		compare(c);
		name_cache_count(c, &files, &names);
		CHECK(files <= 8 + seed % 40 && names <= 8 + seed * 7 % 90);
	}
	if (check_failed)
		fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
	free(c);
}

int main(void)
{
	limits();
	missing();
	contradictions();
	whole();
	for (uint64_t seed = 1; seed <= 60 && !check_failed; seed++)
		against_model(seed);
	return check_result();
}
