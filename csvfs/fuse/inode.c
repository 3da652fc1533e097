/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files the kernel knows, by file id; open files. */
#include <stdlib.h>

#include "csvfs/fuse/csvfs.h"

static uint32_t bucket_of(const struct vol_fid *f)
{
	uint32_t h = 2166136261u; /* FNV-1a */

	for (uint32_t i = 0; i < f->len; i++)
		h = (h ^ f->data[i]) * 16777619u;
	return h % INODE_BUCKETS;
}

static struct inode *find(const struct vol_fid *fid)
{
	struct inode *i = csvfs.buckets[bucket_of(fid)];

	while (i && !vol_fid_equal(&i->fid, fid))
		i = i->next;
	if (i)
		i->refs++;
	return i;
}

struct inode *inode_find(const struct vol_fid *fid)
{
	struct inode *i;

	pthread_mutex_lock(&csvfs.table);
	i = find(fid);
	pthread_mutex_unlock(&csvfs.table);
	return i;
}

static struct inode *inode_new(const struct vol_fid *fid)
{
	struct inode *i = calloc(1, sizeof(*i)), **bucket = &csvfs.buckets[bucket_of(fid)];

	if (!i)
		return NULL;
	i->refs = 1;
	i->fid = *fid;
	pthread_mutex_init(&i->lock, NULL);
	pthread_mutex_init(&i->syncing, NULL);
	pthread_cond_init(&i->changed, NULL);
	extent_map_init(&i->map, NULL, 0);
	io_drain_init(&i->drain);
	i->next = *bucket;
	*bucket = i;
	csvfs.n_inodes++;
	return i;
}

struct inode *inode_get(const struct vol_fid *fid)
{
	struct inode *i;

	pthread_mutex_lock(&csvfs.table);
	i = find(fid);
	if (!i)
		i = inode_new(fid);
	pthread_mutex_unlock(&csvfs.table);
	return i;
}

void inode_ref(struct inode *i)
{
	pthread_mutex_lock(&csvfs.table);
	i->refs++;
	pthread_mutex_unlock(&csvfs.table);
}

static void inode_free(struct inode *i)
{
	struct inode **at = &csvfs.buckets[bucket_of(&i->fid)];

	while (*at != i)
		at = &(*at)->next;
	*at = i->next;
	csvfs.n_inodes--;
	while (i->locks) {
		struct held_lock *l = i->locks;

		i->locks = l->next;
		free(l);
	}
	free(i->map.extents);
	pthread_mutex_destroy(&i->lock);
	pthread_mutex_destroy(&i->syncing);
	pthread_cond_destroy(&i->changed);
	free(i);
}

void inode_put(struct inode *i, uint64_t n)
{
	pthread_mutex_lock(&csvfs.table);
	i->refs -= n;
	if (!i->refs)
		inode_free(i);
	pthread_mutex_unlock(&csvfs.table);
}

void inodes_each(void (*fn)(struct inode *i))
{
	for (uint32_t b = 0; b < INODE_BUCKETS; b++) {
		struct inode *i, *next;

		pthread_mutex_lock(&csvfs.table);
		i = csvfs.buckets[b];
		if (i)
			i->refs++;
		pthread_mutex_unlock(&csvfs.table);
		for (; i; i = next) {
			fn(i);
			pthread_mutex_lock(&csvfs.table);
			next = i->next; /* new ones come first in a bucket */
			if (next)
				next->refs++;
			pthread_mutex_unlock(&csvfs.table);
			inode_put(i, 1);
		}
	}
}

struct inode *inode_of(fuse_ino_t ino)
{
	return ino == FUSE_ROOT_ID ? csvfs.root : (struct inode *)(uintptr_t)ino;
}

struct vol_fid fid_of(struct inode *i)
{
	return i == csvfs.root ? session_root() : i->fid;
}

struct handle *handle_new(uint32_t flags)
{
	struct handle *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->number = atomic_fetch_add(&csvfs.next_handle, 1) + 1;
	h->flags = flags;
	pthread_mutex_lock(&csvfs.table);
	queue_add(&csvfs.handles, &h->all);
	csvfs.n_handles++;
	pthread_mutex_unlock(&csvfs.table);
	return h;
}

void handle_opened(struct call *c)
{
	struct handle *h = c->user;

	h->fid = c->answer.m.entry.file;
	atomic_store(&h->open, true);
}

void handle_set_inode(struct handle *h, struct inode *i)
{
	pthread_mutex_lock(&csvfs.table);
	i->refs++;
	i->opens++;
	h->inode = i;
	pthread_mutex_unlock(&csvfs.table);
}

/* csvfs.table is held. */
static void take_out(struct handle *h)
{
	if (h->inode)
		h->inode->opens--;
	if (csvfs.to_reclaim == &h->all)
		csvfs.to_reclaim = h->all.next;
	queue_remove(&h->all);
	csvfs.n_handles--;
}

void handle_free(struct handle *h)
{
	struct inode *i = h->inode;

	pthread_mutex_lock(&csvfs.table);
	take_out(h);
	pthread_mutex_unlock(&csvfs.table);
	free(h);
	if (i)
		inode_put(i, 1);
}

/* The owner closes them. */
static int ask_release(struct handle *const *list, uint32_t n)
{
	uint8_t more[VOL_RELEASES_MAX * sizeof(uint64_t)];
	struct writer w = writer_of(more, sizeof(more));
	struct call c;
	int error;

	for (uint32_t k = 1; k < n; k++)
		put_u64(&w, list[k]->number);
	call_init(&c, VOL_RELEASE);
	c.kind = PENDING_URGENT;
	c.q.release = (struct vol_release){ .handle = list[0]->number, .more = { more, writer_len(&w) } };
	error = session_ask(&c);
	call_done(&c);
	return error;
}

/* csvfs.table is held. A new owner that does not know the handle any more has nothing to close. */
static void close_here(struct handle *h)
{
	atomic_store(&h->open, false);
	take_out(h);
	h->inode = NULL;
}

static void to_release(struct handle *const *list, uint32_t n)
{
	pthread_mutex_lock(&csvfs.table);
	for (uint32_t k = 0; k < n; k++)
		queue_add(&csvfs.unreleased, &list[k]->all);
	pthread_mutex_unlock(&csvfs.table);
	pthread_cond_signal(&csvfs.to_release);
}

void handle_release(struct handle *h)
{
	struct inode *i = h->inode;
	int error;

	pthread_mutex_lock(&csvfs.table);
	close_here(h);
	pthread_mutex_unlock(&csvfs.table);
	error = ask_release(&h, 1);
	if (error)
		to_release(&h, 1);
	else
		free(h);
	if (i)
		inode_put(i, 1);
}

void handle_release_later(struct handle *h)
{
	struct inode *i = h->inode;
	bool first;

	pthread_mutex_lock(&csvfs.table);
	close_here(h);
	first = queue_empty(&csvfs.unreleased);
	queue_add(&csvfs.unreleased, &h->all);
	pthread_mutex_unlock(&csvfs.table);
	if (first)
		pthread_cond_signal(&csvfs.to_release);
	if (i)
		inode_put(i, 1);
}

void handles_wait_closed(void)
{
	pthread_mutex_lock(&csvfs.table);
	while (queue_empty(&csvfs.unreleased))
		pthread_cond_wait(&csvfs.to_release, &csvfs.table);
	pthread_mutex_unlock(&csvfs.table);
}

static uint32_t take_unreleased(struct handle **list)
{
	struct handle *h;
	uint32_t n = 0;

	pthread_mutex_lock(&csvfs.table);
	while (n < VOL_RELEASES_MAX && (h = QUEUE_FIRST(&csvfs.unreleased, struct handle, all))) {
		queue_remove(&h->all);
		list[n++] = h;
	}
	pthread_mutex_unlock(&csvfs.table);
	return n;
}

/* How many, or negative errno. */
static int release_some(void)
{
	struct handle *list[VOL_RELEASES_MAX];
	uint32_t n;
	int error;

	pthread_mutex_lock(&csvfs.releasing);
	n = take_unreleased(list);
	error = n ? ask_release(list, n) : 0;
	if (error)
		to_release(list, n);
	pthread_mutex_unlock(&csvfs.releasing);
	for (uint32_t k = 0; !error && k < n; k++)
		free(list[k]);
	return error ? error : (int)n;
}

int handles_release(void)
{
	int n = release_some();

	return n < 0 ? n : 0;
}

void handles_release_all(void)
{
	while (release_some() == VOL_RELEASES_MAX)
		;
}
