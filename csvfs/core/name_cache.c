/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two tables of the same kind: a hash, and the order of use. All names of a directory are dropped by a number: a name counts
 * while the number it was entered with is that of its directory's place still. That a directory is whole is a name of its own.
 */
#include "csvfs/core/name_cache.h"

#include <string.h>

#include "csvfs/core/queue.h"

#define WHOLE "" /* a name that nothing has: of the directory, what is not entered is not there */
#define DIRECTORY_PLACES 4096u /* two directories may share one: then both are dropped */

struct item {
	struct queue hash, order; /* order: of use, oldest first; or free */
};

struct known_file {
	struct item item;
	struct vol_fid file;
	uint32_t missing;
	struct vol_attr attr;
};

struct known_name {
	struct item item;
	uint64_t number; /* of the directory's place */
	struct vol_fid directory, file;
	char name[VOL_FNAME_SIZE];
	bool unknown; /* of a whole directory: it may be there or not */
};

struct pool {
	struct queue *buckets, order, free;
	uint32_t n_buckets, limit, fresh, n; /* n_buckets: power of two; fresh: items from there on were never used */
	size_t size;
	char *items;
};

struct name_cache {
	struct pool files, names;
	uint64_t numbers[DIRECTORY_PLACES];
};

/* --- memory --- */

struct layout {
	size_t at, files, names, file_buckets, name_buckets;
	uint32_t n_file_buckets, n_name_buckets;
};

static size_t take(struct layout *l, size_t size, size_t n)
{
	size_t at = l->at;

	l->at += (size * n + _Alignof(max_align_t) - 1) / _Alignof(max_align_t) * _Alignof(max_align_t);
	return at;
}

static uint32_t buckets_for(uint32_t n)
{
	uint32_t buckets = 16;

	while (buckets < n && buckets < 1u << 30)
		buckets *= 2;
	return buckets;
}

static struct layout layout_of(const struct name_cache_limits *l)
{
	struct layout a = { .n_file_buckets = buckets_for(l->files), .n_name_buckets = buckets_for(l->names) };

	take(&a, sizeof(struct name_cache), 1);
	a.file_buckets = take(&a, sizeof(struct queue), a.n_file_buckets);
	a.name_buckets = take(&a, sizeof(struct queue), a.n_name_buckets);
	a.files = take(&a, sizeof(struct known_file), l->files);
	a.names = take(&a, sizeof(struct known_name), l->names);
	return a;
}

size_t name_cache_size(const struct name_cache_limits *l)
{
	return layout_of(l).at;
}

static void pool_init(struct pool *p, char *items, size_t size, uint32_t limit, void *buckets, uint32_t n_buckets)
{
	*p = (struct pool){ .items = items, .size = size, .limit = limit, .buckets = buckets, .n_buckets = n_buckets };
	queue_init(&p->order);
	queue_init(&p->free);
	for (uint32_t i = 0; i < n_buckets; i++)
		queue_init(&p->buckets[i]);
}

struct name_cache *name_cache_init(void *memory, const struct name_cache_limits *l)
{
	struct layout a = layout_of(l);
	struct name_cache *c = memory;
	char *base = memory;

	pool_init(&c->files, base + a.files, sizeof(struct known_file), l->files, base + a.file_buckets, a.n_file_buckets);
	pool_init(&c->names, base + a.names, sizeof(struct known_name), l->names, base + a.name_buckets, a.n_name_buckets);
	return c;
}

/* --- items --- */

static void item_drop(struct pool *p, struct item *i)
{
	queue_remove(&i->hash);
	queue_remove(&i->order);
	queue_add(&p->free, &i->order);
	p->n--;
}

static void item_used(struct pool *p, struct item *i)
{
	queue_remove(&i->order);
	queue_add(&p->order, &i->order);
}

/* The one that goes when there is one more; NULL: none. */
static struct item *item_oldest(const struct pool *p)
{
	return p->fresh < p->limit || !queue_empty(&p->free) ? NULL : QUEUE_FIRST(&p->order, struct item, order);
}

/* NULL: the limit is 0. */
static struct item *item_new(struct pool *p, uint64_t hash)
{
	struct item *i = QUEUE_FIRST(&p->free, struct item, order);

	if (!i && p->fresh < p->limit) {
		i = (struct item *)(void *)(p->items + p->size * p->fresh++);
		queue_init(&i->hash);
		queue_init(&i->order);
	}
	if (!i) {
		i = item_oldest(p);
		if (!i)
			return NULL;
		item_drop(p, i);
	}
	item_used(p, i);
	queue_add(&p->buckets[hash & (p->n_buckets - 1)], &i->hash);
	p->n++;
	return i;
}

static uint64_t hash_bytes(uint64_t h, const void *bytes, size_t n)
{
	const uint8_t *b = bytes;

	for (size_t i = 0; i < n; i++)
		h = (h ^ b[i]) * UINT64_C(0x100000001b3); /* FNV-1a */
	return h;
}

static uint64_t hash_fid(const struct vol_fid *f)
{
	return hash_bytes(UINT64_C(0xcbf29ce484222325), f->data, f->len < VOL_FID_MAX ? f->len : VOL_FID_MAX);
}

static uint64_t fold(uint64_t h)
{
	return h ^ h >> 32;
}

/* --- attributes --- */

static struct known_file *file_find(struct name_cache *c, const struct vol_fid *file)
{
	struct pool *p = &c->files;

	QUEUE_FOR(&p->buckets[fold(hash_fid(file)) & (p->n_buckets - 1)], struct known_file, item.hash, k)
		if (vol_fid_equal(&k->file, file))
			return k;
	return NULL;
}

bool name_cache_attr(struct name_cache *c, const struct vol_fid *file, struct vol_attr *ret)
{
	struct known_file *k = file_find(c, file);

	if (!k)
		return false;
	item_used(&c->files, &k->item);
	*ret = k->attr;
	return true;
}

uint32_t name_cache_missing(struct name_cache *c, const struct vol_fid *file)
{
	const struct known_file *k = file_find(c, file);

	return k ? k->missing : 0;
}

static bool attr_equal(const struct vol_attr *a, const struct vol_attr *b)
{
	return a->ino == b->ino && a->mode == b->mode && a->nlink == b->nlink && a->uid == b->uid && a->gid == b->gid &&
	       a->rdev == b->rdev && a->size == b->size && a->blocks == b->blocks && a->blksize == b->blksize &&
	       a->atime_ns == b->atime_ns && a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns;
}

void name_cache_put_attr(struct name_cache *c, const struct vol_fid *file, const struct vol_attr *attr)
{
	struct known_file *k = file_find(c, file);

	if (k && !attr_equal(&k->attr, attr)) {
		item_drop(&c->files, &k->item);
		return;
	}
	if (!k) {
		struct item *i = item_new(&c->files, fold(hash_fid(file)));

		if (!i)
			return;
		k = CONTAINER_OF(i, struct known_file, item);
		k->file = *file;
		k->missing = 0; /* what was known to be missing stays so: a change would have taken it back */
	}
	k->attr = *attr;
}

void name_cache_put_missing(struct name_cache *c, const struct vol_fid *file, uint32_t missing)
{
	struct known_file *k = file_find(c, file);

	if (k)
		k->missing |= missing;
}

void name_cache_drop_attr(struct name_cache *c, const struct vol_fid *file)
{
	struct known_file *k = file_find(c, file);

	if (k)
		item_drop(&c->files, &k->item);
}

/* --- names --- */

static uint64_t *number_of(struct name_cache *c, const struct vol_fid *directory)
{
	return &c->numbers[fold(hash_fid(directory)) % DIRECTORY_PLACES];
}

static uint64_t hash_name(const struct vol_fid *directory, const char *name)
{
	return fold(hash_bytes(hash_fid(directory), name, strlen(name)));
}

static struct known_name *name_find(struct name_cache *c, const struct vol_fid *directory, const char *name)
{
	struct pool *p = &c->names;

	QUEUE_FOR(&p->buckets[hash_name(directory, name) & (p->n_buckets - 1)], struct known_name, item.hash, k) {
		if (strcmp(k->name, name) || !vol_fid_equal(&k->directory, directory))
			continue;
		if (k->number == *number_of(c, directory))
			return k;
		item_drop(p, &k->item);
		return NULL;
	}
	return NULL;
}

static struct known_name *whole_find(struct name_cache *c, const struct vol_fid *directory)
{
	return name_find(c, directory, WHOLE);
}

static void whole_drop(struct name_cache *c, const struct vol_fid *directory)
{
	struct known_name *w = whole_find(c, directory);

	if (w)
		item_drop(&c->names, &w->item);
}

/* NULL: there is no room. The name that has to go for it is missed in a directory that was whole. */
static struct known_name *name_new(struct name_cache *c, const struct vol_fid *directory, const char *name)
{
	struct item *i = item_oldest(&c->names);
	struct known_name *k;

	if (i) {
		const struct vol_fid missed_in = CONTAINER_OF(i, struct known_name, item)->directory;

		item_drop(&c->names, i);
		whole_drop(c, &missed_in);
	}
	i = item_new(&c->names, hash_name(directory, name));
	if (!i)
		return NULL;
	k = CONTAINER_OF(i, struct known_name, item);
	k->directory = *directory;
	k->number = *number_of(c, directory);
	memcpy(k->name, name, strnlen(name, VOL_FNAME_SIZE - 1) + 1);
	k->name[VOL_FNAME_SIZE - 1] = '\0';
	return k;
}

bool name_cache_name(struct name_cache *c, const struct vol_fid *directory, const char *name, struct vol_fid *ret)
{
	struct known_name *k = name_find(c, directory, name);
	struct known_name *w;

	if (k) {
		item_used(&c->names, &k->item);
		*ret = k->file;
		return !k->unknown;
	}
	w = whole_find(c, directory);
	if (!w)
		return false;
	item_used(&c->names, &w->item);
	*ret = (struct vol_fid){ 0 };
	return true;
}

void name_cache_put_name(struct name_cache *c, const struct vol_fid *directory, const char *name, const struct vol_fid *file)
{
	struct known_name *k = name_find(c, directory, name);
	struct vol_fid known;

	if (name_cache_name(c, directory, name, &known)) {
		if (!vol_fid_equal(&known, file))
			name_cache_drop_name(c, directory, name);
		return;
	}
	if (!k)
		k = name_new(c, directory, name);
	if (!k)
		return;
	k->file = *file;
	k->unknown = false;
}

void name_cache_put_whole(struct name_cache *c, const struct vol_fid *directory)
{
	const struct vol_fid none = { 0 };

	name_cache_put_name(c, directory, WHOLE, &none);
}

void name_cache_drop_name(struct name_cache *c, const struct vol_fid *directory, const char *name)
{
	struct known_name *k;

	if (!*name) {
		++*number_of(c, directory);
		return;
	}
	k = name_find(c, directory, name);
	if (!whole_find(c, directory)) {
		if (k)
			item_drop(&c->names, &k->item);
		return;
	}
	if (!k)
		k = name_new(c, directory, name);
	if (k)
		k->unknown = true;
}

/* --- all --- */

static void pool_clear(struct pool *p)
{
	QUEUE_FOR(&p->order, struct item, order, i)
		item_drop(p, i);
}

void name_cache_clear(struct name_cache *c)
{
	pool_clear(&c->files);
	pool_clear(&c->names);
}

void name_cache_count(const struct name_cache *c, uint32_t *ret_files, uint32_t *ret_names)
{
	*ret_files = c->files.n;
	*ret_names = c->names.n;
}
