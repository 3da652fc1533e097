/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Redirected reads and writes. By O_DIRECT in whole sectors; what is less is read, changed and written back under a
 * claim of those blocks. Order: claim, then the range of the file; who finds that the size has changed meanwhile begins
 * again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "csvfs/io/extents.h"
#include "csvfs/owner/names.h"
#include "csvfs/owner/owner.h"

static uint64_t down(uint64_t n, uint64_t unit)
{
	return n / unit * unit;
}
static uint64_t up(uint64_t n, uint64_t unit)
{
	return (n + unit - 1) / unit * unit;
}

/* All there is of [at, at + len), which is aligned: how much, or negative errno. */
static ssize_t read_all(int fd, uint8_t *buf, size_t len, uint64_t at)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, buf + done, len - done, (off_t)(at + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
		if (!n || n % 512)
			break; /* the end of the file */
	}
	return (ssize_t)done;
}

static int write_all(int fd, const uint8_t *buf, size_t len, uint64_t at)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = pwrite(fd, buf + done, len - done, (off_t)(at + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		done += (size_t)n;
	}
	return 0;
}

/* --- read --- */

/* Any range of the file into an aligned buffer that begins at down(offset, sector). *ret: bytes of it that the file
 * has. */
static int read_sectors(struct owner *o, struct file *file, uint8_t *buf, uint64_t offset, size_t size, size_t *ret)
{
	const uint32_t sector = o->mount.device.sector;
	uint64_t from = down(offset, sector), to = up(offset + size, sector);
	int fd = files_data_fd(&o->files, file, false);
	ssize_t n = fd < 0 ? fd : read_all(fd, buf, to - from, from);

	if (n < 0)
		return (int)n;
	*ret = (uint64_t)n > offset - from ? (size_t)n - (size_t)(offset - from) : 0;
	if (*ret > size)
		*ret = size;
	return 0;
}

static int read_range(struct request *r, struct handle *h, uint64_t offset, uint32_t size)
{
	const uint32_t sector = r->owner->mount.device.sector;
	uint64_t from = down(offset, sector);
	uint8_t *buf = request_payload(r, up(offset + size, sector) - from);
	struct vol_attr attr;
	size_t n;
	int ret = buf ? read_sectors(r->owner, h->file, buf, offset, size, &n) : -ENOMEM;

	if (!ret)
		ret = files_stat(h->file, &attr);
	if (ret)
		return ret;
	r->answer.data.value = attr.size;
	r->answer.data.bytes = (struct span){ buf + (offset - from), n };
	io_counted(&r->owner->counters.read, n, r->since_us);
	return 0;
}

int do_read(struct request *r)
{
	const struct vol_read *q = &question(r)->read;
	struct handle *h = handle_get(r, q->handle);
	int ret;

	if (!h)
		return -EBADF;
	if (q->size > VOL_IO_MAX || q->offset > INT64_MAX - VOL_IO_MAX)
		ret = -EINVAL;
	else
		ret = handle_reads(h) ? claim_sole(r->owner, r->session, h->file) : -EBADF;
	if (!ret)
		ret = read_range(r, h, q->offset, q->size);
	handle_put(r->owner, h);
	return ret;
}

/* --- write --- */

struct write {
	struct owner *owner;
	struct session *session;
	struct file *file;
	int fd;
	const uint8_t *data;
	size_t len;
	uint64_t offset;
	size_t whole; /* len, before the size was looked at */
	bool append, within, kill_priv;
	uint64_t size;		  /* of the file, before */
	bool written;		  /* its blocks were, before: nothing but data changes */
	uint64_t claim, from, to; /* what is claimed */
	struct file_range range;
};

static int look(struct write *w)
{
	struct vol_attr attr;
	int ret = files_stat(w->file, &attr);

	w->size = attr.size;
	if (w->append)
		w->offset = attr.size;
	if (w->within)
		w->len = w->offset >= w->size ? 0 : w->whole < w->size - w->offset ? w->whole : w->size - w->offset;
	return ret || w->offset <= INT64_MAX - w->len ? ret : -EFBIG;
}

/* What a write of the bytes touches: behind the end, also the block that the end is in, of which the kernel zeroes the
 * rest. */
static void touched(const struct write *w, uint64_t *ret_from, uint64_t *ret_to)
{
	const uint64_t block = w->owner->mount.block;
	uint64_t end = w->offset + w->len;
	bool longer = end > w->size;

	if (!w->len) {
		*ret_from = *ret_to = 0; /* all of it is behind the end */
		return;
	}
	*ret_from = longer && w->size < w->offset ? down(w->size, block) : down(w->offset, block);
	*ret_to = longer ? NO_END : up(end, block);
}

static uint32_t needed(const struct write *w)
{
	const uint32_t sector = w->owner->mount.device.sector;
	bool whole = !(w->offset % sector) && !((w->offset + w->len) % sector) && w->offset + w->len <= w->size;

	return VOL_RECALL_ATTR | VOL_RECALL_SOLE | (whole ? 0 : VOL_RECALL_EXTENTS);
}

/* Claim and range, for the size the file has then. */
static int write_begin(struct write *w)
{
	uint64_t from, to;
	uint32_t what;
	int ret;

	for (;;) {
		ret = look(w);
		if (ret)
			return ret;
		touched(w, &w->from, &w->to);
		what = needed(w);
		ret = claim_take(w->owner, w->session, w->file, what, w->from, w->to, &w->claim);
		if (ret)
			return ret;
		files_range_lock(w->file, &w->range, w->from, w->to, true);
		ret = look(w);
		touched(w, &from, &to);
		if (!ret && from >= w->from && to <= w->to && !(needed(w) & ~what))
			return 0;
		files_range_unlock(w->file, &w->range);
		claim_end(w->owner, w->claim);
		if (ret)
			return ret;
	}
}

static void write_end(struct write *w)
{
	files_range_unlock(w->file, &w->range);
	claim_end(w->owner, w->claim);
}

/* A part of a sector at the end of the file: through the kernel's cache, which does not make the file too long; then
 * out of it. */
static int write_tail(struct write *w, const uint8_t *data, size_t len, uint64_t at)
{
	cleanup_fd int fd = files_reopen(&w->owner->files, w->file, O_RDWR);
	int ret = fd < 0 ? fd : write_all(fd, data, len, at);

	return ret ? ret : files_drop_pages(w->file, down(at, w->owner->mount.block));
}

/* [offset, end) lies within the file's size rounded up; `end` is that of a sector, or goes to one that the file has. */
static int write_sectors(struct write *w, uint64_t end)
{
	const uint32_t sector = w->owner->mount.device.sector;
	uint64_t from = down(w->offset, sector), to = up(end, sector);
	cleanup_free uint8_t *bounce = NULL;
	ssize_t n = 0;

	if (from == w->offset && to == end && !((uintptr_t)w->data % 512))
		return write_all(w->fd, w->data, end - w->offset, from);
	bounce = device_buffer(to - from);
	if (!bounce)
		return -ENOMEM;
	memset(bounce, 0, to - from);
	if (from < w->offset)
		n = read_all(w->fd, bounce, sector, from);
	if (n >= 0 && to > end && to - sector >= from && (to - sector > from || from == w->offset))
		n = read_all(w->fd, bounce + (to - sector - from), sector, to - sector);
	if (n < 0)
		return (int)n;
	memcpy(bounce + (w->offset - from), w->data, end - w->offset);
	return write_all(w->fd, bounce, to - from, from);
}

static int write_bytes(struct write *w)
{
	const uint32_t sector = w->owner->mount.device.sector;
	uint64_t end = w->offset + w->len, direct = end;
	int ret = 0;

	/* Whole sectors that the file has to its end, or that make it longer by whole sectors; the rest is the tail. */
	if (end % sector && up(end, sector) > w->size)
		direct = down(end, sector);
	if (w->offset > w->size) {
		/* The kernel zeroes the rest of the last block: that is to be over before anything goes past the cache.
		 */
		if (ftruncate(w->fd, (off_t)w->offset))
			return -errno;
		ret = files_drop_pages(w->file, down(w->size, w->owner->mount.block));
	}
	if (!ret && direct > w->offset)
		ret = write_sectors(w, direct);
	if (!ret && direct < end) {
		uint64_t at = direct > w->offset ? direct : w->offset;

		ret = write_tail(w, w->data + (at - w->offset), end - at, at);
	}
	return ret;
}

/* The range of the file is held. */
static int write_do(struct write *w, bool sync, struct vol_attr *ret_attr)
{
	int ret = w->kill_priv ? file_drop_set_id(w->file) : 0;

	if (!ret)
		ret = w->len ? extents_written(w->fd, w->offset, w->len) : 1;
	if (ret < 0)
		return ret;
	w->written = ret;
	do
		ret = w->len ? write_bytes(w) : 0;
	while (room_comes(w->owner, ret));
	files_mark_unsynced(w->file);
	if (!ret && sync && fdatasync(w->fd))
		ret = -errno;
	if (!ret)
		ret = files_stat(w->file, ret_attr);
	return ret;
}

/*
 * That blocks were allocated or are written now, or that the file is longer, is in the journal, the rest on the device, before it
 * is answered [I8]. Counting the blocks would not do: those that were only allocated (fallocate) are as many as before.
 */
static void commit_write(const struct write *w, const struct vol_attr *attr)
{
	if (attr->size != w->size || !w->written)
		commit_wait(&w->owner->committer);
}

static void write_answer(struct request *r, const struct write *w, const struct vol_attr *attr)
{
	r->answer.written = (struct vol_written){ .size = (uint32_t)w->len, .offset = w->offset, .attr = *attr };
	io_counted(&r->owner->counters.written, w->len, r->since_us);
}

static int write_plain(struct write *w, bool sync, struct vol_attr *ret_attr)
{
	int ret = write_begin(w);

	if (ret)
		return ret;
	ret = write_do(w, sync, ret_attr);
	write_end(w);
	if (!ret)
		commit_write(w, ret_attr);
	return ret;
}

/* The owner before has done it, or as much of it as the file is longer. True: that is the answer. */
static bool append_happened(struct request *r, const struct write *w, int *ret)
{
	struct owner *o = r->owner;
	const struct intent *i;
	struct vol_attr attr;
	bool found;

	pthread_mutex_lock(&o->lock);
	i = intent_find(o->intents, r->session->id, question(r)->request);
	found = i;
	*ret = i && i->outcome == INTENT_FAILED ? -(int)i->error : 0;
	if (i)
		r->answer.written = (struct vol_written){ .size = (uint32_t)i->length, .offset = i->size };
	pthread_mutex_unlock(&o->lock);
	if (found && !*ret) {
		*ret = files_stat(w->file, &attr);
		r->answer.written.attr = attr;
	}
	return found;
}

static int append_intent(struct request *r, const struct write *w)
{
	struct owner *o = r->owner;
	struct intent i;
	int ret;

	if (!intent_of(question(r), &i))
		return -EINVAL;
	i.session = r->session->id;
	i.file = w->file->fid;
	i.size = w->size;
	pthread_mutex_lock(&o->lock);
	ret = r->session->state == SESSION_GONE ? -ESTALE : intent_add(o->intents, &i);
	if (!ret)
		intent_wait(&o->committer, i.session, i.request);
	pthread_mutex_unlock(&o->lock);
	return ret;
}

static bool append_resumed(struct request *r, uint64_t length)
{
	struct owner *o = r->owner;
	const uint64_t session = r->session->id, request = question(r)->request;
	int ret = -ESTALE;

	pthread_mutex_lock(&o->lock);
	if (r->session->state != SESSION_GONE)
		ret = intent_resume(o->intents, session, request, length);
	if (!ret)
		intent_wait(&o->committer, session, request);
	pthread_mutex_unlock(&o->lock);
	return !ret;
}

/* What has come of a resumed append; an error: of which there is some part, as the size tells. */
static void append_ended(struct request *r, const struct file *file, int error)
{
	struct owner *o = r->owner;
	struct intent_now now = { 0 };
	struct vol_attr attr;

	if (error && !owner_check(o, files_stat(file, &attr)))
		now.size = attr.size;
	pthread_mutex_lock(&o->lock);
	if (error)
		intent_decide(o->intents, r->session->id, question(r)->request, &now);
	else
		intent_done(o->intents, r->session->id, question(r)->request, 0, NULL);
	pthread_mutex_unlock(&o->lock);
}

/*
 * The owner before has died within the append: the rest of `w` is written behind the part it did, if nobody has appended or cut
 * the file since. Otherwise, or when there is no room for it, the answer stays that of the part: a short write.
 */
static int append_rest(struct request *r, const struct write *w, bool sync)
{
	const struct vol_written part = r->answer.written;
	struct write rest = *w;
	struct vol_attr attr;
	int ret;

	rest.data += part.size;
	rest.whole = rest.len = w->len - part.size;
	ret = write_begin(&rest);
	if (ret)
		return ret == NO_ANSWER ? ret : 0;
	if (rest.size == part.offset + part.size && append_resumed(r, w->len)) {
		ret = owner_check(r->owner, write_do(&rest, sync, &attr));
		if (!ret)
			commit_write(&rest, &attr);
		append_ended(r, w->file, ret);
		if (!ret)
			r->answer.written = (struct vol_written){ .size = (uint32_t)w->len, .offset = part.offset, .attr = attr };
	}
	write_end(&rest);
	return 0;
}

/* The range is held until the outcome is noted: at most one append of a file has none. */
static int write_append(struct request *r, struct write *w, bool sync)
{
	struct owner *o = r->owner;
	struct vol_attr attr;
	int ret;

	if (append_happened(r, w, &ret))
		return !ret && r->answer.written.size < w->len ? append_rest(r, w, sync) : ret;
	ret = write_begin(w);
	if (ret)
		return ret;
	ret = append_intent(r, w);
	if (!ret) {
		ret = owner_check(o, write_do(w, sync, &attr));
		if (!ret)
			commit_write(w, &attr);
		pthread_mutex_lock(&o->lock);
		intent_done(o->intents, r->session->id, question(r)->request, (uint32_t)-ret, NULL);
		pthread_mutex_unlock(&o->lock);
	}
	write_end(w);
	if (!ret)
		write_answer(r, w, &attr);
	return ret;
}

int do_write(struct request *r)
{
	const struct vol_write *q = &question(r)->write;
	struct handle *h = handle_get(r, q->handle);
	struct vol_attr attr;
	struct write w = { .owner = r->owner,
			   .session = r->session,
			   .data = q->bytes.data,
			   .len = q->bytes.len,
			   .offset = q->offset,
			   .whole = q->bytes.len,
			   .append = q->append,
			   .within = q->within && !q->append,
			   .kill_priv = q->kill_priv };
	int ret = 0;

	if (!h)
		return -EBADF;
	w.file = h->file;
	w.fd = files_data_fd(&r->owner->files, h->file, true);
	if (!handle_writes(h))
		ret = -EBADF;
	else if (w.fd < 0)
		ret = w.fd;
	else if (w.len > VOL_IO_MAX || !w.len)
		ret = -EINVAL;
	if (!ret && w.append) {
		ret = write_append(r, &w, h->flags & O_DSYNC);
	} else if (!ret) {
		ret = write_plain(&w, h->flags & O_DSYNC, &attr);
		if (!ret)
			write_answer(r, &w, &attr);
	}
	handle_put(r->owner, h);
	return ret;
}

/* --- copy --- */

/* As much as one request may carry; who wants more asks again. */
static int copy_range(struct request *r, struct handle *from, struct handle *to)
{
	const struct vol_copy *q = &question(r)->copy;
	const uint32_t sector = r->owner->mount.device.sector;
	size_t want = q->length < VOL_IO_MAX ? (size_t)q->length : VOL_IO_MAX, n = 0;
	cleanup_free uint8_t *buf = device_buffer(want + 2 * (size_t)sector);
	struct write w = { .owner = r->owner, .session = r->session, .file = to->file, .offset = q->to_offset };
	struct vol_attr attr;
	int ret = buf ? read_sectors(r->owner, from->file, buf, q->offset, want, &n) : -ENOMEM;

	if (ret)
		return ret;
	w.data = buf + q->offset % sector;
	w.len = n;
	w.fd = files_data_fd(&r->owner->files, to->file, true);
	if (w.fd < 0)
		return w.fd;
	ret = n ? write_plain(&w, to->flags & O_DSYNC, &attr) : files_stat(to->file, &attr);
	if (!ret)
		write_answer(r, &w, &attr);
	return ret;
}

int do_copy(struct request *r)
{
	const struct vol_copy *q = &question(r)->copy;
	struct handle *from = handle_get(r, q->handle), *to = handle_get(r, q->to_handle);
	uint64_t apart;
	int ret = -EBADF;

	if (from && to && handle_reads(from) && handle_writes(to)) {
		apart = q->offset < q->to_offset ? q->to_offset - q->offset : q->offset - q->to_offset;
		if (q->offset > INT64_MAX - VOL_IO_MAX || q->to_offset > INT64_MAX - VOL_IO_MAX ||
		    (from->file == to->file && apart < q->length))
			ret = -EINVAL;
		else
			ret = claim_sole(r->owner, r->session, from->file);
		if (!ret)
			ret = copy_range(r, from, to);
	}
	handle_put(r->owner, from);
	handle_put(r->owner, to);
	return ret;
}
