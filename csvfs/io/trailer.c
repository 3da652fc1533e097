/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What csvfs keeps behind the file system, see trailer.h. Every record is a page: u32 magic of its kind, u32 CRC-32 of the
 * page's other bytes (those before it taken as they are), u16 format, u16 zero, u32 zero; its fields; zeros. Little endian.
 */
#include "csvfs/io/trailer.h"

#include <errno.h>
#include <stdio.h>
#include <zlib.h>

#include "bytes.h"
#include "cleanup.h"
#include "clock.h"
#include "text.h"

#define FORMAT 1
#define FORMAT_NOTE 2 /* of a header with a note: who does not know notes must not believe the trailer that it stands in */
#define MAGIC_HEADER 0x48545343u  /* "CSTH" */
#define MAGIC_OWNER 0x4f545343u   /* "CSTO" */
#define MAGIC_SESSION 0x53545343u /* "CSTS" */
#define MAGIC_CLAIM 0x43545343u	  /* "CSTC" */
#define RECORD_FIELDS 16	  /* where a record's fields begin */
#define RECORD_SIZE 512u	  /* they end before this */
#define CHUNK (1u << 20)
#define MOVES_MAX 64 /* of a trailer, while the file system has not grown once */
/* mkfs.xfs may leave out a last allocation group of less than 16 MiB: so far behind the file system a trailer can begin. */
#define SEARCH_MAX ((16u << 20) + TRAILER_PAGE)

_Static_assert(RECORD_FIELDS + 5 * 8 + 16 + NAME_SIZE <= RECORD_SIZE, "the header is within one sector");
_Static_assert(TRAILER_CLAIMS_AT + TRAILER_CLAIMS_SIZE <= TRAILER_SESSIONS_AT, "claims before sessions");
_Static_assert(TRAILER_SESSIONS_AT + VOL_SESSION_MAX * TRAILER_PAGE <= TRAILER_INTENTS_AT, "sessions before intents");
_Static_assert(TRAILER_SIZE % CHUNK == 0 && TRAILER_INTENTS_AT % CHUNK == 0, "whole chunks");

/* --- records --- */

static uint32_t record_crc(const uint8_t *page)
{
	uLong crc = crc32(0, page, 4);

	return (uint32_t)crc32(crc, page + 8, TRAILER_PAGE - 8);
}

/* Zeroes the page; the writer stands at the first field. */
static struct writer record_begin(uint8_t *page, uint32_t magic)
{
	struct writer w = writer_of(page, RECORD_SIZE);

	memset(page, 0, TRAILER_PAGE);
	put_u32(&w, magic);
	put_u32(&w, 0);
	put_u16(&w, FORMAT);
	w.p = page + RECORD_FIELDS;
	return w;
}

static void record_end(uint8_t *page)
{
	struct writer w = writer_of(page + 4, 4);

	put_u32(&w, record_crc(page));
}

/* Of this format. */
static void record_set_format(uint8_t *page, uint16_t format)
{
	struct writer w = writer_of(page + 8, 2);

	put_u16(&w, format);
}

/* Its format; -ENOENT: not of this kind; -EBADMSG: damaged; -EPROTONOSUPPORT: of a format behind `newest`. */
static int record_format(const uint8_t *page, uint32_t magic, uint16_t newest, struct reader *ret)
{
	struct reader r = reader_of(page, RECORD_SIZE);
	uint16_t format;
	uint32_t crc;

	if (get_u32(&r) != magic)
		return -ENOENT;
	crc = get_u32(&r);
	if (crc != record_crc(page))
		return -EBADMSG;
	format = get_u16(&r);
	if (!format || format > newest)
		return -EPROTONOSUPPORT;
	*ret = reader_of(page + RECORD_FIELDS, RECORD_SIZE - RECORD_FIELDS);
	return format;
}

static int record_check(const uint8_t *page, uint32_t magic, struct reader *ret)
{
	int format = record_format(page, magic, FORMAT, ret);

	return format < 0 ? format : 0;
}

static int page_read(const struct trailer *t, uint64_t at, uint32_t magic, uint8_t *page, struct reader *ret)
{
	int r = device_read(t->device, page, TRAILER_PAGE, t->at + at);

	if (r < 0)
		return r;
	r = record_check(page, magic, ret);
	return r == -ENOENT ? -EBADMSG : r;
}

static int page_write(const struct trailer *t, uint64_t at, uint8_t *page)
{
	int r;

	record_end(page);
	r = device_write(t->device, page, TRAILER_PAGE, t->at + at);
	return r < 0 ? r : device_flush(t->device);
}

/* --- header --- */

static void header_encode(uint8_t *page, const struct trailer_header *h)
{
	struct writer w = record_begin(page, MAGIC_HEADER);
	char text[NAME_SIZE];

	put_u64(&w, h->volume_hi);
	put_u64(&w, h->volume_lo);
	put_u64(&w, h->at);
	put_u64(&w, h->device_size);
	text_copy(text, sizeof(text), h->filesystem);
	put_bytes(&w, text, sizeof(h->filesystem));
	text_copy(text, sizeof(text), h->label);
	put_bytes(&w, text, sizeof(h->label));
	put_u64(&w, h->next);
	if (h->next)
		record_set_format(page, FORMAT_NOTE);
}

static int header_decode(const uint8_t *page, struct trailer_header *ret)
{
	const uint8_t *filesystem, *label;
	struct reader r;
	int format = record_format(page, MAGIC_HEADER, FORMAT_NOTE, &r);

	if (format < 0)
		return format;
	ret->volume_hi = get_u64(&r);
	ret->volume_lo = get_u64(&r);
	ret->at = get_u64(&r);
	ret->device_size = get_u64(&r);
	filesystem = get_bytes(&r, sizeof(ret->filesystem));
	label = get_bytes(&r, sizeof(ret->label));
	ret->next = format == FORMAT_NOTE ? get_u64(&r) : 0;
	if (!filesystem || !label || filesystem[sizeof(ret->filesystem) - 1] || label[sizeof(ret->label) - 1])
		return -EBADMSG;
	text_copy_n(ret->filesystem, sizeof(ret->filesystem), (const char *)filesystem, sizeof(ret->filesystem));
	text_copy_n(ret->label, sizeof(ret->label), (const char *)label, sizeof(ret->label));
	if (strcmp(ret->filesystem, "ext4") && strcmp(ret->filesystem, "xfs"))
		return -EBADMSG;
	return 0;
}

/* The copy is written when the first is safe, so one of them is whole at any time. */
int trailer_write_header(const struct trailer *t, const struct trailer_header *header)
{
	cleanup_free uint8_t *page = device_buffer(TRAILER_PAGE);
	int r;

	if (!page)
		return -ENOMEM;
	header_encode(page, header);
	r = page_write(t, 0, page);
	return r < 0 ? r : page_write(t, TRAILER_COPY_AT, page);
}

/* --- finding it --- */

uint64_t trailer_place(uint64_t device_size)
{
	return device_size < 2 * TRAILER_SIZE ? 0 : (device_size & ~(uint64_t)(TRAILER_PAGE - 1)) - TRAILER_SIZE;
}

/* A header with its own place in it; -EXDEV: it names another; of two damaged ones, or a damaged and a strange one, -EBADMSG. */
static int header_at(const uint8_t *first, const uint8_t *copy, uint64_t at, struct trailer_header *ret)
{
	int a = header_decode(first, ret), b;

	if (!a)
		return ret->at == at ? 0 : -EXDEV;
	b = header_decode(copy, ret);
	if (!b)
		return ret->at == at ? 0 : -EXDEV;
	if (a == -EPROTONOSUPPORT || b == -EPROTONOSUPPORT)
		return -EPROTONOSUPPORT;
	return a == -ENOENT && b == -ENOENT ? -ENOENT : -EBADMSG;
}

static int probe(const struct device *d, uint64_t at, uint8_t *buf, struct trailer_header *ret)
{
	int r = device_read(d, buf, TRAILER_COPY_AT + TRAILER_PAGE, at);

	return r < 0 ? r : header_at(buf, buf + TRAILER_COPY_AT, at, ret);
}

static bool same_volume(const struct trailer_header *a, const struct trailer_header *b)
{
	return a->volume_hi == b->volume_hi && a->volume_lo == b->volume_lo;
}

/*
 * From the header of the trailer at `at` to that of the newest, as trailer_move() has led them. What is noted as next counts when
 * it has a header of this volume: that it has none is the one reason to believe the trailer with the note. -ERANGE: the newest
 * was behind what is the device's end now; -ENOENT: there is nothing where the trailer has moved to.
 */
static int follow(const struct device *d, uint64_t end, uint64_t at, struct trailer_header *ret)
{
	cleanup_free uint8_t *buf = device_buffer(TRAILER_COPY_AT + TRAILER_PAGE);
	struct trailer_header h = { 0 };

	for (int i = 0; buf && i < MOVES_MAX; i++) {
		bool moved = ret->at != at;
		uint64_t to = moved ? ret->at : ret->next;
		int r;

		if (!to)
			return 0;
		if (to <= at || to % TRAILER_PAGE)
			return -EBADMSG;
		if (to > end)
			return -ERANGE;
		r = probe(d, to, buf, &h);
		if (r == -ENOENT || ((!r || r == -EXDEV) && !same_volume(&h, ret)))
			return moved ? -ENOENT : 0;
		if (r < 0 && r != -EXDEV)
			return r;
		at = to;
		*ret = h;
	}
	return buf ? -EBADMSG : -ENOMEM;
}

/* The newest trailer that what is at `at` leads to. -ENOENT: to none; it may be a stale copy that names a place before. */
static int lead(const struct device *d, uint64_t end, const uint8_t *first, const uint8_t *copy, uint64_t at,
		struct trailer_header *ret)
{
	int r = header_at(first, copy, at, ret);

	if (r == -EXDEV && ret->at < at)
		return -ENOENT;
	return !r || r == -EXDEV ? follow(d, end, at, ret) : r;
}

/*
 * Each page from `from` to before `to` with that of a header's copy behind it, until look() returns something else than 0: that.
 * `buf`: CHUNK bytes.
 */
struct scan {
	const struct device *d;
	uint64_t from, to;
	int (*look)(void *user, uint64_t at, const uint8_t *first, const uint8_t *copy);
	void *user;
};

static int scan(const struct scan *s, uint8_t *buf)
{
	const uint64_t behind = s->to + TRAILER_COPY_AT;
	int r = 0;

	/* Two pages of each chunk are seen again by the next one: a header's copy is two pages behind it. */
	for (uint64_t at = s->from; !r && at < s->to; at += CHUNK - TRAILER_COPY_AT) {
		uint64_t len = behind - at < CHUNK ? behind - at : CHUNK;

		r = device_read(s->d, buf, (size_t)len, at);
		for (uint64_t i = 0; !r && i + TRAILER_COPY_AT + TRAILER_PAGE <= len; i += TRAILER_PAGE)
			r = s->look(s->user, at + i, buf + i, buf + i + TRAILER_COPY_AT);
	}
	return r;
}

/* Where a trailer can be on a device that grew: behind the end of the file system. From where on; 0: there is none. */
static int behind_filesystem(const struct device *d, uint64_t *ret)
{
	struct superblock s;
	int r = superblock_read(d, &s);

	*ret = r < 0 || s.kind == SUPERBLOCK_NONE ? 0 : (s.size + TRAILER_PAGE - 1) & ~(uint64_t)(TRAILER_PAGE - 1);
	return r;
}

struct search {
	const struct device *d;
	uint64_t end;
	struct trailer_header *ret;
	int damaged;
};

static int search_page(void *user, uint64_t at, const uint8_t *first, const uint8_t *copy)
{
	struct search *s = user;
	int r = lead(s->d, s->end, first, copy, at, s->ret);

	if (r && r != -ENOENT)
		s->damaged = r;
	return !r;
}

static int search(const struct device *d, uint8_t *buf, uint64_t end, struct trailer_header *ret)
{
	struct search s = { .d = d, .end = end, .ret = ret };
	struct scan pages = { .d = d, .look = search_page, .user = &s };
	int r = behind_filesystem(d, &pages.from);

	if (r < 0 || !pages.from)
		return r < 0 ? r : -ENOENT;
	pages.to = end < pages.from + SEARCH_MAX ? end : pages.from + SEARCH_MAX;
	r = scan(&pages, buf);
	if (r)
		return r < 0 ? r : 0;
	return s.damaged ? s.damaged : -ENOENT;
}

/* No trailer: a device without a volume, or one that has lost it, which must not be told to make a new one. */
static void explain_missing(const struct device *d, char *error, size_t size)
{
	struct superblock s = { 0 };

	if (superblock_read(d, &s) < 0 || s.kind == SUPERBLOCK_NONE)
		snprintf(error, size, "no volume of csvfs; csvfs-admin create makes one");
	else if (s.size > d->size)
		snprintf(error, size,
			 "the device has shrunk: its %s has %llu bytes, the device %llu; nothing was changed, give it its size "
			 "back",
			 superblock_kind_text(s.kind), (unsigned long long)s.size, (unsigned long long)d->size);
	else
		snprintf(error, size,
			 "no volume of csvfs, but it carries %s; if it was a volume, its end has been overwritten or cut off: any "
			 "Linux host can mount it, alone, and copy it",
			 superblock_kind_text(s.kind));
}

static void explain(const struct device *d, int problem, char *error, size_t size)
{
	switch (problem) {
	case -ENOENT: explain_missing(d, error, size); break;
	case -EBADMSG:
		snprintf(error, size, "both headers of the volume are damaged; what has written to the device's end?");
		break;
	case -ERANGE:
		snprintf(error, size,
			 "the device has shrunk: the volume was to have its trailer behind the %llu bytes that the device has; "
			 "nothing was changed, give it its size back",
			 (unsigned long long)d->size);
		break;
	case -EPROTONOSUPPORT: snprintf(error, size, "the volume is of a newer format; a newer csvfs is needed"); break;
	default: snprintf(error, size, "%s", strerror(-problem)); break;
	}
}

int trailer_find(struct trailer *ret, const struct device *d, struct trailer_header *ret_header, char *error, size_t size)
{
	cleanup_free uint8_t *buf = device_buffer(CHUNK);
	struct trailer_header h = { 0 };
	struct device now = *d;
	int r = buf ? device_refresh(&now) : -ENOMEM;
	uint64_t end = trailer_place(now.size);

	*ret = (struct trailer){ 0 };
	if (size)
		*error = '\0';
	if (!r)
		r = end ? device_read(d, buf, TRAILER_COPY_AT + TRAILER_PAGE, end) : -ENOENT;
	if (!r)
		r = lead(d, end, buf, buf + TRAILER_COPY_AT, end, &h);
	if (r == -ENOENT && end)
		r = search(d, buf, end, &h);
	if (r < 0)
		explain(&now, r, error, size);
	if (r < 0)
		return r == -ERANGE ? -EBADMSG : r;
	*ret = (struct trailer){ .device = d, .at = h.at };
	*ret_header = h;
	return 0;
}

const char *trailer_unfit(const struct trailer_header *header, const struct superblock *s)
{
	struct reader r = reader_of(s->uuid, sizeof(s->uuid));
	uint64_t hi = 0, lo = 0;

	for (int i = 0; i < 8; i++)
		hi = hi << 8 | get_u8(&r);
	for (int i = 0; i < 8; i++)
		lo = lo << 8 | get_u8(&r);
	if (s->kind == SUPERBLOCK_NONE)
		return "has lost its superblock";
	if (strcmp(superblock_kind_text(s->kind), header->filesystem))
		return "is of another kind than the volume was made with; has mkfs been run on the device?";
	if (hi != header->volume_hi || lo != header->volume_lo)
		return "has another UUID than the volume; has mkfs been run on the device?";
	if (s->size > header->at)
		return "goes on into the volume's trailer; it must not be grown but by csvfs-admin grow";
	return s->unfit;
}

/* --- making it --- */

/* No header, so that what follows is no trailer as long as it is not complete. */
int trailer_erase(const struct trailer *t)
{
	cleanup_free uint8_t *page = device_buffer(TRAILER_PAGE);
	int r;

	if (!page)
		return -ENOMEM;
	memset(page, 0, TRAILER_PAGE);
	r = device_write(t->device, page, TRAILER_PAGE, t->at + TRAILER_COPY_AT);
	if (!r)
		r = device_write(t->device, page, TRAILER_PAGE, t->at);
	return r < 0 ? r : device_flush(t->device);
}

static void session_encode(uint8_t *page, const struct trailer_session *s)
{
	struct writer w = record_begin(page, MAGIC_SESSION);

	put_u64(&w, s->session);
	put_u64(&w, s->incarnation);
	put_u32(&w, s->node);
	put_u32(&w, s->used);
}

/* No claims, empty sessions, then zeros in the ring. */
static int make_tables(const struct trailer *t, uint8_t *buf)
{
	const struct trailer_session none = { 0 };
	int r;

	memset(buf, 0, TRAILER_CLAIMS_SIZE);
	r = device_write(t->device, buf, TRAILER_CLAIMS_SIZE, t->at + TRAILER_CLAIMS_AT);
	for (uint32_t i = 0; i < VOL_SESSION_MAX; i++) {
		session_encode(buf + (size_t)i * TRAILER_PAGE, &none);
		record_end(buf + (size_t)i * TRAILER_PAGE);
	}
	if (!r)
		r = device_write(t->device, buf, VOL_SESSION_MAX * TRAILER_PAGE, t->at + TRAILER_SESSIONS_AT);
	memset(buf, 0, CHUNK);
	for (uint64_t at = TRAILER_INTENTS_AT; !r && at < TRAILER_SIZE; at += CHUNK)
		r = device_write(t->device, buf, CHUNK, t->at + at);
	return r;
}

/* A place at the device's end as it is now. */
static int end_of(const struct device *d, struct trailer *ret, struct trailer_header *h)
{
	struct device now = *d;
	int r = device_refresh(&now);

	if (r < 0)
		return r;
	*ret = (struct trailer){ .device = d, .at = trailer_place(now.size) };
	h->at = ret->at;
	h->device_size = now.size;
	return ret->at ? 0 : -ENOSPC;
}

int trailer_make(struct trailer *ret, const struct device *d, const struct trailer_header *header)
{
	cleanup_free uint8_t *buf = device_buffer(CHUNK);
	const struct trailer_owner nobody = { 0 };
	struct trailer_header h = *header;
	int r = buf ? end_of(d, ret, &h) : -ENOMEM;

	_Static_assert(VOL_SESSION_MAX * TRAILER_PAGE <= CHUNK, "sessions fit the buffer");
	if (!r)
		r = trailer_erase(ret);
	if (!r)
		r = make_tables(ret, buf);
	if (!r)
		r = trailer_write_owner(ret, &nobody); /* flushes the tables too */
	return r < 0 ? r : trailer_write_header(ret, &h);
}

/* All but the headers. Durable. */
static int copy_tables(const struct trailer *from, const struct trailer *to, uint8_t *buf)
{
	int r = 0;

	for (uint64_t at = 0; !r && at < TRAILER_SIZE; at += CHUNK) {
		r = device_read(from->device, buf, CHUNK, from->at + at);
		if (!r && at == 0) {
			memset(buf, 0, TRAILER_PAGE);
			memset(buf + TRAILER_COPY_AT, 0, TRAILER_PAGE);
		}
		if (!r)
			r = device_write(to->device, buf, CHUNK, to->at + at);
	}
	return r < 0 ? r : device_flush(to->device);
}

int trailer_move(struct trailer *ret, const struct trailer *from, struct trailer_header *ret_header)
{
	cleanup_free uint8_t *buf = device_buffer(CHUNK);
	struct trailer_header old = { 0 }, h;
	struct trailer to = { 0 };
	int r = buf ? probe(from->device, from->at, buf, &old) : -ENOMEM;

	if (r < 0) /* a label may have changed since it was found: what counts is what is there */
		return r == -EXDEV || r == -ENOENT ? -EBADMSG : r;
	h = old;
	r = end_of(from->device, &to, &h);
	if (!r && to.at < from->at + TRAILER_SIZE)
		r = -EALREADY;
	if (!r)
		r = trailer_erase(&to);
	if (!r)
		r = copy_tables(from, &to, buf);
	old.next = to.at;
	if (!r)
		r = trailer_write_header(from, &old);
	if (r < 0)
		return r;
	h.next = 0;
	r = trailer_write_header(&to, &h);
	if (r < 0)
		return trailer_erase(&to) < 0 ? -ENOTRECOVERABLE : r;
	/* The note leads there as well: this is for who does not know notes. */
	(void)trailer_write_header(from, &h);
	*ret = to;
	*ret_header = h;
	return 0;
}

struct settle {
	const struct trailer *t;
	const struct trailer_header *header;
};

static int settle_page(void *user, uint64_t at, const uint8_t *first, const uint8_t *copy)
{
	const struct settle *s = user;
	struct trailer old = { .device = s->t->device };
	struct trailer_header h = { 0 };
	int r = lead(old.device, s->t->at, first, copy, at, &h);

	if (r == -ENOENT || r == -EBADMSG || r == -ERANGE || r == -EPROTONOSUPPORT)
		return 0; /* to nothing that would be believed */
	if (r < 0 || !same_volume(&h, s->header) || h.at == s->t->at)
		return r;
	old.at = h.at;
	h = *s->header;
	h.next = 0;
	return trailer_write_header(&old, &h);
}

int trailer_settle(const struct trailer *t, const struct trailer_header *header)
{
	struct settle s = { .t = t, .header = header };
	struct scan pages = { .d = t->device, .look = settle_page, .user = &s };
	cleanup_free uint8_t *buf = NULL;
	int r = behind_filesystem(t->device, &pages.from);

	if (r < 0 || !pages.from || pages.from + TRAILER_SIZE > t->at)
		return r;
	buf = device_buffer(CHUNK);
	pages.to = t->at < pages.from + SEARCH_MAX ? t->at : pages.from + SEARCH_MAX;
	return buf ? scan(&pages, buf) : -ENOMEM;
}

/* --- owner --- */

int trailer_read_owner(const struct trailer *t, struct trailer_owner *ret)
{
	cleanup_free uint8_t *page = device_buffer(TRAILER_PAGE);
	struct trailer_owner o;
	struct reader r;
	int e = page ? page_read(t, TRAILER_OWNER_AT, MAGIC_OWNER, page, &r) : -ENOMEM;

	if (e < 0)
		return e;
	o.epoch = get_u64(&r);
	o.incarnation = get_u64(&r);
	o.owner = get_u64(&r);
	o.written_ms = get_u64(&r);
	o.node = get_u32(&r);
	o.state = get_u32(&r);
	if (o.state > OWNER_MOUNTED || o.node > NODE_MAX)
		return -EBADMSG;
	*ret = o;
	return 0;
}

int trailer_write_owner(const struct trailer *t, const struct trailer_owner *o)
{
	cleanup_free uint8_t *page = device_buffer(TRAILER_PAGE);
	struct writer w;

	if (!page)
		return -ENOMEM;
	w = record_begin(page, MAGIC_OWNER);
	put_u64(&w, o->epoch);
	put_u64(&w, o->incarnation);
	put_u64(&w, o->owner);
	put_u64(&w, o->written_ms);
	put_u32(&w, o->node);
	put_u32(&w, o->state);
	return page_write(t, TRAILER_OWNER_AT, page);
}

static bool same_owner(const struct trailer_owner *a, const struct trailer_owner *b)
{
	return a->owner == b->owner && a->epoch == b->epoch && a->incarnation == b->incarnation && a->node == b->node &&
	       a->state == b->state && a->written_ms == b->written_ms;
}

/* --- claims --- */

static uint64_t claim_place(uint32_t node) { return TRAILER_CLAIMS_AT + (uint64_t)node * TRAILER_PAGE; }

int trailer_announce(const struct trailer *t, const struct trailer_owner *o)
{
	cleanup_free uint8_t *page = device_buffer(TRAILER_PAGE);
	struct writer w;

	if (!o->node)
		return 0; /* csvfs-admin has only the record */
	if (o->node > NODE_MAX)
		return -EINVAL;
	if (!page)
		return -ENOMEM;
	w = record_begin(page, MAGIC_CLAIM);
	put_u64(&w, o->epoch);
	put_u64(&w, o->owner);
	return page_write(t, claim_place(o->node), page);
}

static int trailer_withdraw(const struct trailer *t, const struct trailer_owner *o)
{
	const struct trailer_owner nobody = { .node = o->node };

	return trailer_announce(t, &nobody);
}

static bool is_blank(const uint8_t *page)
{
	uint32_t i = 0;

	while (i < RECORD_SIZE && !page[i])
		i++;
	return i == RECORD_SIZE;
}

/* Of a node; epoch 0: none. A damaged one is as one of the highest epoch: nobody knows whose. */
static struct trailer_owner claim_decode(const uint8_t *page, uint32_t node)
{
	struct trailer_owner o = { .node = node, .state = OWNER_MOUNTING };
	struct reader r;
	int e = record_check(page, MAGIC_CLAIM, &r);

	if (e == -ENOENT && is_blank(page))
		return o; /* never written */
	o.epoch = e ? UINT64_MAX : get_u64(&r);
	o.owner = e ? 0 : get_u64(&r);
	return o;
}

/*
 * -EBUSY and who: another node has announced an epoch that is not lower (to csvfs-admin, which has that of the owner before: a
 * higher one), or another process of this node has.
 */
static int look_for_rival(const struct trailer *t, const struct trailer_owner *o, struct trailer_owner *ret_other)
{
	cleanup_free uint8_t *buf = device_buffer(TRAILER_CLAIMS_SIZE);
	int r = buf ? device_read(t->device, buf, TRAILER_CLAIMS_SIZE, t->at + TRAILER_CLAIMS_AT) : -ENOMEM;

	for (uint32_t node = 1; !r && node <= NODE_MAX; node++) {
		struct trailer_owner c = claim_decode(buf + (size_t)node * TRAILER_PAGE, node);
		bool mine = node == o->node && c.owner == o->owner && c.epoch == o->epoch;

		if (!mine && (node == o->node || c.epoch > o->epoch || (c.epoch == o->epoch && o->node))) {
			*ret_other = c;
			r = -EBUSY;
		}
	}
	return r;
}

int trailer_look(const struct trailer *t, const struct trailer_owner *before, const struct trailer_owner *o,
		 struct trailer_owner *ret_other)
{
	int r = look_for_rival(t, o, ret_other);

	if (r || !before)
		return r;
	r = trailer_read_owner(t, ret_other);
	if (r < 0)
		return r;
	return same_owner(before, ret_other) ? 0 : -EBUSY;
}

int trailer_confirm(const struct trailer *t, const struct trailer_owner *o, struct trailer_owner *ret_other)
{
	int r = look_for_rival(t, o, ret_other);

	if (!r)
		r = trailer_read_owner(t, ret_other);
	if (r < 0)
		return r;
	if (ret_other->owner == o->owner && ret_other->epoch == o->epoch && ret_other->state != OWNER_FREE)
		return 0;
	/* One of a lower epoch wrote it late: it has yet to confirm, and then it sees our claim. */
	return o->node && ret_other->epoch < o->epoch ? trailer_write_owner(t, o) : -EBUSY;
}

int trailer_forget_claims(const struct trailer *t, uint64_t *ret_epoch)
{
	cleanup_free uint8_t *buf = device_buffer(TRAILER_CLAIMS_SIZE);
	int r = buf ? device_read(t->device, buf, TRAILER_CLAIMS_SIZE, t->at + TRAILER_CLAIMS_AT) : -ENOMEM;

	*ret_epoch = 0;
	for (uint32_t node = 1; !r && node <= NODE_MAX; node++) {
		struct trailer_owner c = claim_decode(buf + (size_t)node * TRAILER_PAGE, node);

		if (c.epoch == UINT64_MAX)
			r = trailer_withdraw(t, &c);
		else if (c.epoch > *ret_epoch)
			*ret_epoch = c.epoch;
	}
	return r;
}

void trailer_give_up(const struct trailer *t, const struct trailer_owner *o)
{
	struct trailer_owner now;

	if (!trailer_read_owner(t, &now) && same_owner(o, &now)) {
		now.state = OWNER_FREE;
		(void)trailer_write_owner(t, &now); /* late, it may be over another's: that one mends it */
	}
	(void)trailer_withdraw(t, o);
}

int trailer_claim(const struct trailer *t, const struct trailer_owner *before, const struct trailer_owner *o, uint32_t delay_ms,
		  struct trailer_owner *ret_other)
{
	struct timespec delay = { .tv_sec = delay_ms / MS_PER_SECOND, .tv_nsec = (long)(delay_ms % MS_PER_SECOND) * 1000000 };
	int r = trailer_announce(t, o);

	if (!r)
		r = trailer_look(t, before, o, ret_other);
	if (!r)
		r = trailer_write_owner(t, o);
	while (!r && nanosleep(&delay, &delay) < 0 && errno == EINTR)
		;
	if (!r)
		r = trailer_confirm(t, o, ret_other);
	if (r == -EBUSY)
		trailer_give_up(t, o);
	return r;
}

/* --- sessions --- */

static int session_decode(const uint8_t *page, struct trailer_session *ret)
{
	struct trailer_session s;
	struct reader r;
	int e = record_check(page, MAGIC_SESSION, &r);

	*ret = (struct trailer_session){ .used = 1 };
	if (e < 0)
		return -EBADMSG;
	s.session = get_u64(&r);
	s.incarnation = get_u64(&r);
	s.node = get_u32(&r);
	s.used = get_u32(&r);
	if (s.node > NODE_MAX || s.used > 1)
		return -EBADMSG;
	*ret = s;
	return 0;
}

int trailer_read_sessions(const struct trailer *t, struct trailer_session ret[VOL_SESSION_MAX])
{
	cleanup_free uint8_t *buf = device_buffer(VOL_SESSION_MAX * TRAILER_PAGE);
	int r, result = 0;

	if (!buf)
		return -ENOMEM;
	r = device_read(t->device, buf, VOL_SESSION_MAX * TRAILER_PAGE, t->at + TRAILER_SESSIONS_AT);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < VOL_SESSION_MAX; i++) {
		if (session_decode(buf + (size_t)i * TRAILER_PAGE, &ret[i]) < 0)
			result = -EBADMSG;
	}
	return result;
}

int trailer_write_session(const struct trailer *t, uint32_t index, const struct trailer_session *s)
{
	cleanup_free uint8_t *page = device_buffer(TRAILER_PAGE);

	if (index >= VOL_SESSION_MAX)
		return -EINVAL;
	if (!page)
		return -ENOMEM;
	session_encode(page, s);
	return page_write(t, TRAILER_SESSIONS_AT + (uint64_t)index * TRAILER_PAGE, page);
}

/* --- intents --- */

static bool in_ring(uint32_t page, uint32_t count)
{
	return page <= TRAILER_INTENT_PAGES && count <= TRAILER_INTENT_PAGES - page;
}

static uint64_t page_place(const struct trailer *t, uint32_t page)
{
	return t->at + TRAILER_INTENTS_AT + (uint64_t)page * TRAILER_PAGE;
}

int trailer_read_pages(const struct trailer *t, uint32_t page, uint32_t count, void *buf)
{
	if (!in_ring(page, count))
		return -EINVAL;
	return device_read(t->device, buf, (size_t)count * TRAILER_PAGE, page_place(t, page));
}

int trailer_write_pages(const struct trailer *t, uint32_t page, uint32_t count, const void *buf)
{
	if (!in_ring(page, count))
		return -EINVAL;
	return device_write(t->device, buf, (size_t)count * TRAILER_PAGE, page_place(t, page));
}
