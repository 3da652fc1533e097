/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lending blocks, and locks of files.
 *
 * A lease is noted first, with the whole range; only then is looked where the blocks are. So a claim that comes in
 * between recalls it, and the session drops the answer when it comes after the recall. What is lent is written and
 * durable [I4].
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "csvfs/io/extents.h"
#include "csvfs/owner/owner.h"

#define GRANT_LEASE_MAX (64ull << 20) /* bytes of one lease: what a claim takes back is looked up again */

/* Bytes of the file; of them [from, fill) is to be made. */
struct lease_range {
	uint64_t from, to, fill;
};

/* [q->offset, + length) to the end of a chunk, within the file and `longest` bytes. */
static uint64_t chunk_end(const struct vol_lease *q, uint64_t length, uint64_t chunk, uint64_t size, uint64_t longest)
{
	uint64_t from = q->offset / chunk * chunk, end = length > NO_END - q->offset ? NO_END : q->offset + length;

	if (end - from > longest)
		end = from + longest;
	if (end > size)
		end = size;
	return (end + chunk - 1) / chunk * chunk;
}

/* What is looked at for `q`, in whole chunks, within the file. Empty: nothing to lend. */
static struct lease_range lease_range(const struct vol_lease *q, uint32_t sector, uint64_t size)
{
	const uint64_t chunk = q->reclaim ? sector : ALLOC_CHUNK, longest = q->reclaim ? NO_END : GRANT_LEASE_MAX;
	struct lease_range r = { .from = q->offset / chunk * chunk, .to = chunk_end(q, q->length, chunk, size, longest) };

	r.fill = q->write && !q->reclaim && q->fill ? chunk_end(q, q->fill, chunk, size, longest) : r.from;
	if (r.fill > r.to)
		r.fill = r.to;
	return r;
}

static void put_extents(struct request *r, const struct vol_extent *list, int n)
{
	uint8_t *bytes = request_payload(r, (size_t)n * VOL_EXTENT_SIZE);
	struct writer w = writer_of(bytes, (size_t)n * VOL_EXTENT_SIZE);

	for (int i = 0; bytes && i < n; i++)
		vol_put_extent(&w, &list[i]);
	r->answer.extents.list = (struct span){ bytes, bytes ? writer_len(&w) : 0 };
}

/* Blocks of the range, those to be made made, and durable. 0 or more: how many extents. */
static int find_blocks(struct request *r, struct file *file, int fd, const struct lease_range *l, struct vol_extent *list)
{
	struct owner *o = r->owner;
	struct vol_attr attr;
	struct file_range range;
	int64_t before;
	int ret;

	files_range_lock(file, &range, l->from, l->to, true);
	before = files_stat(file, &attr) ? 0 : attr.mtime_ns;
	if (l->fill > l->from) {
		ret = extents_fill(fd, l->from, l->fill - l->from);
		files_mark_unsynced(file);
		/* No room left: what there is can be lent, the rest is redirected and gets its error there. */
		if (ret == -ENOSPC || ret == -EDQUOT)
			ret = 0;
	} else {
		ret = 0;
	}
	if (!ret)
		ret = files_settle(file);
	if (!ret)
		ret = files_stat(file, &attr);
	if (!ret)
		ret = extents_find(fd, l->from, l->to - l->from, attr.size, o->mount.device.sector, list, VOL_EXTENTS_MAX);
	files_range_unlock(file, &range);
	if (l->fill > l->from && (ret < 0 || attr.mtime_ns != before))
		claim_attr_later(o, file);
	return ret == -EBUSY ? 0 : ret;
}

static bool note_lease(struct request *r, const struct file *file, const struct lease_range *range,
		       struct grant_given *given)
{
	const struct vol_lease *q = &question(r)->lease;
	struct owner *o = r->owner;
	const struct grant_lease l = { .file = &file->fid,
				       .session = r->session->slot,
				       .request = question(r)->request,
				       .offset = range->from,
				       .length = range->to - range->from,
				       .reclaim = q->reclaim,
				       .only_now = true };
	bool given_now = false;

	pthread_mutex_lock(&o->lock);
	if (r->session->state != SESSION_GONE && !o->frozen) {
		given_now = grant_lease(o->grants, &l, given) == GRANT_NOW;
		owner_pump(o);
	}
	pthread_mutex_unlock(&o->lock);
	return given_now;
}

static int lend(struct request *r, struct file *file)
{
	const struct vol_lease *q = &question(r)->lease;
	struct owner *o = r->owner;
	struct vol_extent *list;
	struct grant_given given;
	struct vol_attr attr;
	struct lease_range range;
	int fd = files_data_fd(&o->files, file, false), n;

	if (fd < 0)
		return fd;
	n = files_stat(file, &attr);
	if (n)
		return n;
	r->answer.extents.file = file->fid;
	range = lease_range(q, o->mount.device.sector, attr.size);
	if (!file->lendable || range.from >= range.to)
		return 0;
	if (!q->reclaim) {
		n = claim_sole(o, r->session, file);
		if (n)
			return n;
	}
	if (!note_lease(r, file, &range, &given))
		return 0;
	list = malloc(sizeof(*list) * VOL_EXTENTS_MAX);
	n = list ? find_blocks(r, file, fd, &range, list) : -ENOMEM;
	if (n > 0) {
		r->answer.extents.grant = given.number;
		r->answer.extents.sole = given.sole;
		put_extents(r, list, n);
	}
	free(list);
	return n < 0 ? n : 0;
}

int do_lease(struct request *r)
{
	const struct vol_lease *q = &question(r)->lease;
	struct handle *h = handle_get(r, q->handle);
	int ret;

	if (!h)
		return -EBADF;
	if (!S_ISREG(h->file->type))
		ret = -EINVAL;
	else
		ret = q->write && !handle_writes(h) ? -EBADF : lend(r, h->file);
	handle_put(r->owner, h);
	return ret;
}

int do_give_back(struct request *r)
{
	const struct vol_give_back *q = &question(r)->give_back;
	struct owner *o = r->owner;

	pthread_mutex_lock(&o->lock);
	if (r->session->state != SESSION_GONE)
		grant_give_back(o->grants, &q->file, r->session->slot, q->offset, q->length);
	owner_pump(o);
	pthread_mutex_unlock(&o->lock);
	return 0;
}

/* --- locks --- */

static void lock_is(const struct file_lock_found *f, struct vol_lock_is *ret)
{
	*ret = (struct vol_lock_is){
		.type = f->type, .start = f->start, .end = f->end, .pid = f->pid, .node = f->node
	};
}

static void answer_lock(struct owner *o, uint32_t slot, uint64_t request, int error,
			const struct file_lock_found *found)
{
	struct session *s = o->sessions[slot];
	struct vol_message m = { .type = VOL_LOCK_IS, .request = request, .error = (uint32_t)-error };

	if (!s || s->state == SESSION_GONE)
		return;
	if (!error)
		lock_is(found, &m.lock_is);
	session_post(o, s, &m);
}

void locks_pump(struct owner *o)
{
	struct file_lock_woken w;

	while (file_lock_next(o->locks, &w))
		answer_lock(o, w.session, w.request, w.error, &w.found);
}

int do_lock(struct request *r)
{
	const struct vol_lock *q = &question(r)->lock;
	struct owner *o = r->owner;
	struct handle *h = handle_get(r, q->handle);
	struct file_lock_found found = { 0 };
	struct file_lock_ask a;
	int ret = -ESTALE;

	if (!h)
		return -EBADF;
	a = (struct file_lock_ask){ .file = &h->file->fid,
				    .session = r->session->slot,
				    .node = r->session->node,
				    .request = question(r)->request,
				    .handle = q->handle,
				    .owner = q->lock_owner,
				    .start = q->start,
				    .end = q->end,
				    .pid = q->pid,
				    .type = q->type,
				    .flock = q->flock,
				    .test = q->test,
				    .wait = q->wait,
				    .reclaim = q->reclaim };
	pthread_mutex_lock(&o->lock);
	if (r->session->state != SESSION_GONE)
		ret = file_lock_ask(o->locks, &a, &found);
	locks_pump(o);
	pthread_mutex_unlock(&o->lock);
	handle_put(o, h);
	if (ret == -EINPROGRESS)
		return NO_ANSWER; /* answer_lock() answers, by the session's newest connection */
	if (!ret)
		lock_is(&found, &r->answer.lock_is);
	return ret;
}

int do_cancel(struct request *r)
{
	struct owner *o = r->owner;
	const uint64_t request = question(r)->cancel.request;
	void *unused;

	pthread_mutex_lock(&o->lock);
	if (r->session->state != SESSION_GONE && file_lock_cancel(o->locks, r->session->slot, request, &unused))
		answer_lock(o, r->session->slot, request, -EINTR, NULL);
	pthread_mutex_unlock(&o->lock);
	return 0;
}
