/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads and writes: by leased extents straight on the device, everything else by the owner. A write holds its sectors against
 * the session's other writes to the same file, so that a sector that is read, changed and written back loses nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "cleanup.h"
#include "csvfs/fuse/csvfs.h"

#define LEASE_FIRST (1u << 20)
#define LEASE_LONGEST (64u << 20)
#define FILL_LONGEST (16u << 20) /* of a file that is written from front to end is made ahead, as much as was made before */
#define LEASE_WORTH (64u << 10) /* a single read or write that is shorter is not worth a lease of its own */
#define NO_LEASE_MS 1000
#define LOOK_AGAIN_MS NO_LEASE_MS /* at most so often for the end of the device */
#define PAGE 4096u

bool direct_allowed(void) { return csvfs.session.lend && !csvfs.path_failed && !csvfs.redirect; }

void path_failed(int error)
{
	if (!atomic_exchange(&csvfs.path_failed, true))
		fprintf(stderr, "csvfs: %s: %s: by the owner until it works again\n", csvfs.device_path, strerror(-error));
}

/* --- leases --- */

static bool map_room(struct inode *i, uint32_t more)
{
	uint32_t want = i->map.n + more + 2, capacity = i->map.capacity ? i->map.capacity : 16;
	struct lent_extent *old = i->map.extents, *bigger;

	if (want <= i->map.capacity)
		return true;
	while (capacity < want)
		capacity *= 2;
	bigger = malloc(capacity * sizeof(*bigger));
	if (!bigger)
		return false;
	extent_map_move(&i->map, bigger, capacity);
	free(old);
	return true;
}

/* The size, unless a recall or another lease comes in between; then whoever needs it asks again. */
static void learn_end(struct inode *i)
{
	uint64_t seq;
	struct call c;

	call_init(&c, VOL_GETATTR);
	c.q.getattr.file = i->fid;
	pthread_mutex_lock(&i->lock);
	seq = i->seq;
	pthread_mutex_unlock(&i->lock);
	if (!session_ask(&c)) {
		pthread_mutex_lock(&i->lock);
		if (seq == i->seq) {
			i->end = c.answer.m.entry.attr.size;
			i->end_known = true;
			i->size = i->end;
		}
		pthread_mutex_unlock(&i->lock);
	}
	call_done(&c);
}

/* Whatever the owner says: what is not of the device's, and what is csvfs's own on it, is nobody's data. */
static bool is_of_files(const struct vol_extent *e)
{
	const uint64_t end = csvfs.data_end;

	return e->physical < end && e->length <= end - e->physical;
}

/* Of a device that has grown under an owner who goes on: more of it is of files than csvfs knew. */
static bool has_grown(const struct vol_extent *e)
{
	static _Atomic uint64_t looked_ms;
	uint64_t last = looked_ms, now = now_ms();

	/* One thread of them all, now and then: what the owner says costs no more than that. */
	if ((!last || now - last >= LOOK_AGAIN_MS) && atomic_compare_exchange_strong(&looked_ms, &last, now))
		device_again();
	return is_of_files(e);
}

/*
 * The extents of the answer, to be freed, when csvfs may use them itself; NULL: not all are as they must be. Not with inode.lock:
 * the kernel may have to be asked to let pages go.
 */
static struct vol_extent *usable_extents(const struct inode *i, const struct call *c, uint32_t *ret_n)
{
	const struct vol_extents *e = &c->answer.m.extents;
	uint32_t n = (uint32_t)(e->list.len / VOL_EXTENT_SIZE);
	struct reader r = reader_of(e->list.data, e->list.len);
	struct vol_extent *list;
	bool good = true;

	if (!n || n > VOL_EXTENTS_MAX || !vol_fid_equal(&e->file, &i->fid))
		return NULL;
	list = calloc(n, sizeof(*list));
	for (uint32_t k = 0; list && good && k < n; k++) {
		vol_get_extent(&r, &list[k]);
		good = !r.bad && (is_of_files(&list[k]) || has_grown(&list[k])) &&
		       device_uncached(&csvfs.device, list[k].physical, list[k].length);
	}
	if (!good) {
		free(list);
		return NULL;
	}
	*ret_n = n;
	return list;
}

/* inode.lock is held. True: something was added. */
static bool add_extents(struct inode *i, const struct call *c, const struct vol_extent *list, uint32_t n)
{
	const struct vol_extents *e = &c->answer.m.extents;
	const bool was_sole = i->map.sole;

	if (c->generation != csvfs.session.generation || !map_room(i, 2 * n) ||
	    extent_map_add(&i->map, list, n, e->grant, c->q.lease.write, e->sole) <= 0)
		return false;
	if (i->map.sole && !was_sole)
		pages_sole(i);
	i->seq++;
	i->end_known = false;
	if (list[0].offset < i->end)
		i->end = list[0].offset;
	return true;
}

/* How much is to be made for a write: what it writes, and ahead only when it goes on where the last one was. inode.lock is held. */
static uint64_t fill_for(struct inode *i, uint64_t offset, uint64_t length)
{
	/* The owner makes whole chunks: the next that is missing begins up to one later. */
	uint64_t ahead = offset - i->fill_end <= LEASE_FIRST ? 2 * i->fill_length : 0;

	if (ahead > FILL_LONGEST)
		ahead = FILL_LONGEST;
	return length > ahead ? length : ahead;
}

/*
 * `locked`: with a range locked that pages may be written to. A recall that waits for those pages might be what the owner
 * waits for.
 */
static int ask_with_range(struct inode *i, struct call *c, bool locked)
{
	int ret;

	if (!locked)
		return session_ask(c);
	pthread_mutex_lock(&i->lock);
	i->at_owner++;
	recalls_go_on(i);
	pthread_mutex_unlock(&i->lock);
	ret = session_ask(c);
	pthread_mutex_lock(&i->lock);
	i->at_owner--;
	pthread_mutex_unlock(&i->lock);
	return ret;
}

/* Asks for a lease of what is needed and some more. True: there may be one now. */
static bool ask_lease(struct handle *h, uint64_t offset, uint64_t length, bool write, bool page)
{
	struct inode *i = h->inode;
	cleanup_free struct vol_extent *list = NULL;
	struct call c;
	bool added = false;
	uint32_t n = 0;

	pthread_mutex_lock(&i->lock);
	i->redirected++;
	/* With pages of it in the kernel the sole right is worth it: others then ask before they read (pages.c). */
	if (offset >= i->size || (!i->pages && ((length < LEASE_WORTH && i->redirected < 2) || now_ms() < i->no_lease_until_ms)) ||
	    !extent_map_ask_begin(&i->map)) {
		pthread_mutex_unlock(&i->lock);
		return false;
	}
	i->lease_length = i->lease_length ? i->lease_length * 4 : LEASE_FIRST;
	if (i->lease_length > LEASE_LONGEST)
		i->lease_length = LEASE_LONGEST;
	call_init(&c, VOL_LEASE);
	c.changes = i->fid;
	c.q.lease = (struct vol_lease){ .handle = h->number, .offset = offset, .write = write,
					.length = length > i->lease_length ? length : i->lease_length,
					.fill = write ? fill_for(i, offset, length) : 0 };
	pthread_mutex_unlock(&i->lock);
	if (!ask_with_range(i, &c, write && !page))
		list = usable_extents(i, &c, &n);
	pthread_mutex_lock(&i->lock);
	if (list)
		added = add_extents(i, &c, list, n);
	if (added && write) {
		i->fill_length = c.q.lease.fill > LEASE_FIRST ? c.q.lease.fill : LEASE_FIRST;
		i->fill_end = offset + c.q.lease.fill;
	}
	if (!added)
		i->no_lease_until_ms = now_ms() + NO_LEASE_MS;
	extent_map_ask_end(&i->map);
	pthread_mutex_unlock(&i->lock);
	call_done(&c);
	if (added)
		learn_end(i);
	return added;
}

/* --- pieces --- */

/*
 * How to do the beginning of [offset, offset + length), and the use of it begun unless it is redirected; inode.lock is held.
 * ret->length: whole sectors for PIECE_DIRECT, also when the file ends within the last.
 */
static void piece_begin(struct inode *i, uint64_t offset, uint64_t length, bool write, struct extent_piece *ret, struct io_use *use)
{
	const uint32_t sector = csvfs.device.sector;
	uint64_t from;

	if (!direct_allowed() || !extent_map_find(&i->map, offset, length, write, sector, ret, 1))
		*ret = (struct extent_piece){ .kind = PIECE_REDIRECT, .offset = offset, .length = length };
	if (ret->kind == PIECE_REDIRECT)
		return;
	/* Writes stay within the size; of a read the sector with the end may be read. */
	if (ret->offset >= i->end || (write && ret->offset + ret->length > i->end)) {
		uint64_t whole = i->end > ret->offset ? (i->end - ret->offset) / sector * sector : 0;

		if (ret->kind != PIECE_DIRECT || !whole) {
			ret->kind = PIECE_REDIRECT;
			return;
		}
		ret->length = whole;
	}
	from = ret->offset / sector * sector;
	io_begin(&i->drain, use, from, (ret->offset + ret->length + sector - 1) / sector * sector - from,
		 write && ret->kind == PIECE_PARTIAL);
}

static bool overlaps_any(const struct inode *i, const struct range_wait *r)
{
	for (const struct range_wait *o = i->ranges; o; o = o->next)
		if (o->from < r->to && r->from < o->to)
			return true;
	return false;
}

static void range_of(struct range_wait *r, uint64_t offset, uint64_t length)
{
	const uint32_t sector = csvfs.device.sector;

	r->from = offset / sector * sector;
	r->to = (offset + length + sector - 1) / sector * sector;
}

static void range_add(struct inode *i, struct range_wait *r)
{
	r->next = i->ranges;
	i->ranges = r;
}

static void range_remove(struct inode *i, struct range_wait *r)
{
	struct range_wait **at = &i->ranges;

	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	pthread_cond_broadcast(&i->changed);
}

/* inode.lock is held. */
static bool use_whole(struct inode *i, uint64_t offset, size_t len, bool write, struct direct_use *u)
{
	struct extent_piece p;

	range_of(&u->range, offset, len);
	if (!direct_allowed() || offset > i->end || len > i->end - offset || (write && overlaps_any(i, &u->range)) ||
	    !extent_map_find(&i->map, offset, len, write, csvfs.device.sector, &p, 1) || p.kind != PIECE_DIRECT || p.length != len)
		return false;
	u->physical = p.physical;
	io_begin(&i->drain, &u->use, offset, len, false);
	if (write)
		range_add(i, &u->range);
	return true;
}

bool direct_use_begin(struct inode *i, uint64_t offset, size_t len, bool write, struct direct_use *ret)
{
	bool done;

	pthread_mutex_lock(&i->lock);
	done = use_whole(i, offset, len, write, ret);
	pthread_mutex_unlock(&i->lock);
	return done;
}

/* Before the use ends: a recall that waits for it tells the time. Also a failed write may have changed something. */
static void note_write(struct inode *i)
{
	i->dirty = i->needs_flush = true;
	i->mtime_ns = now_ns();
}

/* True: recalls_send() has something to send. inode.lock is held. */
static bool use_ended(struct inode *i, struct io_use *use)
{
	bool recalls = io_end(&i->drain, use);

	if (!i->drain.n_uses)
		pthread_cond_broadcast(&i->changed);
	return recalls;
}

bool direct_use_end(struct inode *i, struct direct_use *u, bool write)
{
	bool recalls;

	pthread_mutex_lock(&i->lock);
	if (write) {
		note_write(i);
		range_remove(i, &u->range);
	}
	recalls = use_ended(i, &u->use);
	pthread_mutex_unlock(&i->lock);
	return recalls;
}

/* inode.lock is held, and let go meanwhile when a recall is answered. */
static void piece_ended(struct inode *i, struct io_use *use)
{
	if (use_ended(i, use))
		recalls_send(i);
}

static void piece_end(struct inode *i, struct io_use *use)
{
	pthread_mutex_lock(&i->lock);
	piece_ended(i, use);
	pthread_mutex_unlock(&i->lock);
}

/* Within one sector, by a bounce buffer. */
static int partial_io(const struct extent_piece *p, uint8_t *buf, bool write)
{
	const uint32_t sector = csvfs.device.sector;
	cleanup_free uint8_t *bounce = device_buffer(sector);
	uint64_t at = p->physical / sector * sector;
	size_t within = p->physical % sector;
	int error = bounce ? device_read(&csvfs.device, bounce, sector, at) : -ENOMEM;

	if (error)
		return error;
	if (!write) {
		memcpy(buf, bounce + within, p->length);
		return 0;
	}
	memcpy(bounce + within, buf, p->length);
	return device_write(&csvfs.device, bounce, sector, at);
}

static int piece_io(const struct extent_piece *p, uint8_t *buf, bool write)
{
	int error;

	if (p->kind == PIECE_PARTIAL)
		error = partial_io(p, buf, write);
	else if (write)
		error = device_write(&csvfs.device, buf, p->length, p->physical);
	else
		error = device_read(&csvfs.device, buf, p->length, p->physical);
	if (error && error != -ENOMEM)
		path_failed(error);
	return error;
}

/* --- read --- */

static ssize_t redirected_read(struct handle *h, uint8_t *buf, size_t len, uint64_t offset)
{
	const uint64_t since = clock_us(CLOCK_MONOTONIC);
	struct call c;
	ssize_t ret;

	call_init(&c, VOL_READ);
	c.q.read = (struct vol_read){ .handle = h->number, .offset = offset,
				      .size = len < csvfs.session.io_max ? (uint32_t)len : csvfs.session.io_max };
	ret = session_ask(&c);
	if (!ret) {
		const struct span *b = &c.answer.m.data.bytes;

		ret = (ssize_t)(b->len < c.q.read.size ? b->len : c.q.read.size);
		if (ret)
			memcpy(buf, b->data, (size_t)ret);
		io_counted(&csvfs.counters.redirected_read, (uint64_t)ret, since);
	}
	call_done(&c);
	return ret;
}

/* What the piece tells of the file, 0: nothing any more. */
static ssize_t direct_read(struct inode *i, const struct extent_piece *p, uint8_t *buf, struct io_use *use, uint64_t end)
{
	const uint64_t since = clock_us(CLOCK_MONOTONIC);
	int error = piece_io(p, buf, false);
	uint64_t n = p->offset + p->length > end ? end - p->offset : p->length;

	piece_end(i, use);
	if (error)
		return error;
	io_counted(&csvfs.counters.direct_read, n, since);
	return (ssize_t)n;
}

struct transfer {
	struct handle *h;
	uint8_t *buf;
	size_t len;
	uint64_t offset;
	uint32_t how; /* enum write_how */
	bool write, asked, learned;
};

/* The next piece, with what is missing asked for once. False: the end of the file. */
static bool next_piece(struct transfer *t, size_t done, struct extent_piece *p, struct io_use *use, uint64_t *ret_end)
{
	struct inode *i = t->h->inode;
	uint64_t at = t->offset + done, left = t->len - done;

	for (;;) {
		bool held, known;

		pthread_mutex_lock(&i->lock);
		piece_begin(i, at, left, t->write, p, use);
		*ret_end = i->end;
		known = i->end_known;
		held = false;
		if (p->kind == PIECE_REDIRECT && direct_allowed()) {
			struct extent_piece there;

			held = extent_map_find(&i->map, at, 1, t->write, csvfs.device.sector, &there, 1) &&
			       there.kind != PIECE_REDIRECT;
		}
		pthread_mutex_unlock(&i->lock);
		if (p->kind != PIECE_REDIRECT || !direct_allowed())
			return true;
		if (held && known)
			return t->write || at < *ret_end;
		if (held && !t->learned) {
			t->learned = true;
			learn_end(i);
			continue;
		}
		if (held || t->asked)
			return true;
		t->asked = true;
		if (!ask_lease(t->h, at, left, t->write, t->how & WRITE_PAGE))
			return true;
	}
}

ssize_t data_read(struct handle *h, uint8_t *buf, size_t len, uint64_t offset)
{
	struct transfer t = { .h = h, .buf = buf, .len = len, .offset = offset };
	struct extent_piece p;
	struct io_use use;
	size_t done = 0;
	uint64_t end;

	while (done < len && next_piece(&t, done, &p, &use, &end)) {
		ssize_t n = -EIO;

		if (p.kind != PIECE_REDIRECT)
			n = direct_read(h->inode, &p, buf + done, &use, end);
		if (n < 0)
			n = redirected_read(h, buf + done, p.length, p.offset);
		if (n < 0)
			return done ? (ssize_t)done : n;
		if (!n)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

/* --- write --- */

static void range_lock(struct inode *i, struct range_wait *r, uint64_t offset, uint64_t length)
{
	range_of(r, offset, length);
	pthread_mutex_lock(&i->lock);
	while (overlaps_any(i, r))
		pthread_cond_wait(&i->changed, &i->lock);
	range_add(i, r);
	pthread_mutex_unlock(&i->lock);
}

static void range_unlock(struct inode *i, struct range_wait *r)
{
	pthread_mutex_lock(&i->lock);
	range_remove(i, r);
	pthread_mutex_unlock(&i->lock);
}

static ssize_t redirected_write(struct handle *h, const uint8_t *buf, size_t len, uint64_t offset, uint32_t how)
{
	const uint64_t since = clock_us(CLOCK_MONOTONIC);
	struct inode *i = h->inode;
	struct call c;
	ssize_t ret;

	call_init(&c, VOL_WRITE);
	c.changes = i->fid;
	c.q.write = (struct vol_write){ .handle = h->number, .offset = offset, .append = !!(how & WRITE_APPEND),
					.kill_priv = !!(how & WRITE_KILL_PRIV), .within = !!(how & WRITE_PAGE) };
	c.q.write.bytes = (struct span){ buf, len < csvfs.session.io_max ? len : csvfs.session.io_max };
	pthread_mutex_lock(&i->lock);
	i->needs_sync = true;
	pthread_mutex_unlock(&i->lock);
	ret = ask_with_range(i, &c, !(how & WRITE_PAGE));
	if (!ret) {
		ret = c.answer.m.written.size;
		if ((size_t)ret > c.q.write.bytes.len)
			ret = -EIO;
		io_counted(&csvfs.counters.redirected_written, (uint64_t)c.answer.m.written.size, since);
		pthread_mutex_lock(&i->lock);
		i->mode = c.answer.m.written.attr.mode;
		i->size = c.answer.m.written.attr.size;
		pthread_mutex_unlock(&i->lock);
	}
	call_done(&c);
	return ret;
}

static int direct_write(struct inode *i, const struct extent_piece *p, uint8_t *buf, struct io_use *use)
{
	const uint64_t since = clock_us(CLOCK_MONOTONIC);
	int error = piece_io(p, buf, true);

	pthread_mutex_lock(&i->lock);
	note_write(i);
	piece_ended(i, use);
	pthread_mutex_unlock(&i->lock);
	if (!error)
		io_counted(&csvfs.counters.direct_written, p->length, since);
	return error;
}

/* Bytes, or negative errno when not even the first was written. */
static ssize_t write_pieces(struct transfer *t)
{
	struct extent_piece p;
	struct io_use use;
	size_t done = 0;
	uint64_t end;

	while (done < t->len && next_piece(t, done, &p, &use, &end)) {
		ssize_t n = -EIO;

		if (p.kind != PIECE_REDIRECT)
			n = direct_write(t->h->inode, &p, t->buf + done, &use) ? -EIO : (ssize_t)p.length;
		if (n < 0)
			n = redirected_write(t->h, t->buf + done, p.length, p.offset, t->how);
		if (!n && t->how & WRITE_PAGE)
			return (ssize_t)t->len; /* the rest is behind the end */
		if (n <= 0)
			return done ? (ssize_t)done : n;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

static ssize_t write_through_owner(struct transfer *t)
{
	size_t done = 0;

	while (done < t->len) {
		ssize_t n = redirected_write(t->h, t->buf + done, t->len - done, t->offset + done, t->how);

		if (n <= 0)
			return done ? (ssize_t)done : n;
		done += (size_t)n;
		if (t->how & WRITE_APPEND)
			break; /* the rest would not be one write any more */
	}
	return (ssize_t)done;
}

/*
 * Another node may have set them: whoever does takes the attributes back from here first. Who is not connected goes by what he
 * saw last: blocks of leases are written while there is no owner.
 */
static bool has_set_id(struct inode *i)
{
	struct call c;
	uint32_t mode;

	if (!caching_mode(&i->fid, &mode)) {
		pthread_mutex_lock(&i->lock);
		mode = i->mode;
		pthread_mutex_unlock(&i->lock);
		call_init(&c, VOL_GETATTR);
		c.q.getattr.file = i->fid;
		if (session_is_up() && !session_ask(&c))
			mode = c.answer.m.entry.attr.mode;
		call_done(&c);
	}
	return mode & (S_ISUID | S_ISGID);
}

/* By extents or through the owner; with set-id bits to be taken away through the owner. */
static ssize_t write_range(struct transfer *t)
{
	struct inode *i = t->h->inode;
	struct range_wait range;
	bool bits = t->how & WRITE_KILL_PRIV && has_set_id(i);
	ssize_t n;

	range_lock(i, &range, t->offset, t->len);
	n = bits ? write_through_owner(t) : write_pieces(t);
	if (n > 0 && t->how & WRITE_SYNC) {
		int error = inode_sync(i, true);

		if (error)
			n = error;
	}
	range_unlock(i, &range);
	return n;
}

ssize_t data_write(struct handle *h, uint8_t *buf, size_t len, uint64_t offset, uint32_t how)
{
	struct transfer t = { .h = h, .buf = buf, .len = len, .offset = offset, .how = how, .write = true };
	cleanup_free uint8_t *copy = NULL;

	if (how & WRITE_APPEND)
		return write_through_owner(&t);
	/* What is on a whole sector of the file must be on a good address of memory. */
	if (((uintptr_t)buf ^ offset) % csvfs.device.sector) {
		copy = device_buffer(len + PAGE);
		if (!copy)
			return -ENOMEM;
		t.buf = copy + offset % PAGE;
		memcpy(t.buf, buf, len);
	}
	return write_range(&t);
}

/* --- times, sync, giving back --- */

#define NO_TIME INT64_MIN /* of a TOUCH: older than every file's, so it only says that others are to see what was told before */

static void touch(struct inode *i, bool later)
{
	struct call c;
	int64_t mtime_ns;
	bool dirty, confirm;
	int error;

	pthread_mutex_lock(&i->lock);
	dirty = i->dirty;
	confirm = !later && i->told_later;
	mtime_ns = dirty ? i->mtime_ns : NO_TIME;
	i->dirty = false;
	i->touching += dirty;
	if (dirty || confirm)
		i->told_later = later;
	pthread_mutex_unlock(&i->lock);
	if (!dirty && !confirm)
		return;
	call_init(&c, VOL_TOUCH);
	c.q.touch = (struct vol_touch){ .file = i->fid, .mtime_ns = (uint64_t)mtime_ns, .later = later };
	error = session_ask(&c);
	call_done(&c);
	pthread_mutex_lock(&i->lock);
	i->touching -= dirty;
	if (error == -EIO) { /* no owner */
		i->dirty |= dirty;
		i->told_later |= confirm;
	}
	pthread_cond_broadcast(&i->changed);
	pthread_mutex_unlock(&i->lock);
}

void inode_touch(struct inode *i) { touch(i, false); }
void inode_touch_later(struct inode *i) { touch(i, true); }

void inode_touch_before(struct inode *i)
{
	touch(i, true);
	pthread_mutex_lock(&i->lock);
	while (i->touching)
		pthread_cond_wait(&i->changed, &i->lock);
	pthread_mutex_unlock(&i->lock);
}

static int owner_sync(struct inode *i, bool data_only)
{
	struct call c;
	int error;

	call_init(&c, VOL_FSYNC);
	c.q.fsync.file = fid_of(i);
	c.q.fsync.data_only = data_only;
	error = session_ask(&c);
	call_done(&c);
	return error;
}

int inode_sync(struct inode *i, bool data_only)
{
	bool flush, sync;
	int error = 0;

	/* With the data alone nobody asks for the time. */
	if (!data_only)
		inode_touch_later(i);
	pthread_mutex_lock(&i->syncing);
	pthread_mutex_lock(&i->lock);
	flush = i->needs_flush;
	sync = i->needs_sync || !data_only;
	i->needs_flush = i->needs_sync = false;
	pthread_mutex_unlock(&i->lock);
	if (flush) {
		error = device_flush(&csvfs.device);
		if (error) {
			/* The same disk has been written to: by the owner's path its cache is flushed as well. */
			path_failed(error);
			sync = true;
			error = 0;
		}
	}
	if (sync)
		error = owner_sync(i, data_only);
	if (error) {
		pthread_mutex_lock(&i->lock);
		i->needs_flush |= flush;
		i->needs_sync |= sync;
		pthread_mutex_unlock(&i->lock);
	}
	pthread_mutex_unlock(&i->syncing);
	return error;
}

static void forget_leases(struct inode *i)
{
	extent_map_clear(&i->map);
	i->end = 0;
	i->end_known = false;
	i->lease_length = 0;
	i->seq++;
	while (i->drain.n_uses)
		pthread_cond_wait(&i->changed, &i->lock);
}

void inode_drop_leases(struct inode *i)
{
	pthread_mutex_lock(&i->lock);
	forget_leases(i);
	i->no_lease_until_ms = 0;
	pthread_mutex_unlock(&i->lock);
}

void inode_give_back(struct inode *i)
{
	struct call c;

	pthread_mutex_lock(&i->lock);
	if (!i->map.n || !extent_map_give_begin(&i->map, 0, UINT64_MAX)) {
		pthread_mutex_unlock(&i->lock);
		return;
	}
	forget_leases(i);
	pthread_mutex_unlock(&i->lock);
	call_init(&c, VOL_GIVE_BACK);
	c.kind = PENDING_URGENT;
	c.only_this_owner = true;
	c.q.give_back = (struct vol_give_back){ .file = i->fid, .length = UINT64_MAX };
	session_ask(&c);
	call_done(&c);
	pthread_mutex_lock(&i->lock);
	extent_map_give_end(&i->map);
	pthread_mutex_unlock(&i->lock);
}
