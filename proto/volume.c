/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages of a cluster shared volume: bounded codec generated from volume.def. */
#include "proto/volume.h"

#include <errno.h>
#include <string.h>
#include <zlib.h>

#define HEADER_CRC_AT 36 /* the header's CRC covers what is before it */

enum vfield_type { VFIELD_U8, VFIELD_U16, VFIELD_U32, VFIELD_U64, VFIELD_FNAME, VFIELD_TEXT, VFIELD_FID, VFIELD_CRED, VFIELD_ATTR,
		   VFIELD_LATENCY, VFIELD_BYTES };

struct vfield {
	enum vfield_type type;
	size_t offset; /* in struct vol_message */
};

struct vol_type {
	uint16_t number, answer;
	enum vol_kind kind;
	const char *name;
	const struct vfield *fields;
	size_t n_fields;
};

#define VOL(number, symbol, name, kind, answer, help) static const struct vfield vfields_of_##name[] = {
#define VFIELD(parent, type, member, help) { VFIELD_##type, offsetof(struct vol_message, parent.member) },
#define VOL_END(name) };
#include "proto/volume.def"
#undef VOL
#undef VFIELD
#undef VOL_END

static const struct vol_type vol_types[] = {
#define VOL(number, symbol, name, kind, answer, help) \
	{ (number), (answer), VOL_KIND_##kind, #name, vfields_of_##name, ARRAY_SIZE(vfields_of_##name) },
#define VFIELD(parent, type, member, help)
#define VOL_END(name)
#include "proto/volume.def"
#undef VOL
#undef VFIELD
#undef VOL_END
};

static const struct vol_type *vol_type(uint16_t number)
{
	for (size_t i = 0; i < ARRAY_SIZE(vol_types); i++)
		if (vol_types[i].number == number)
			return &vol_types[i];
	return NULL;
}

const char *vol_name(uint16_t type)
{
	const struct vol_type *t = vol_type(type);

	return t ? t->name : "unknown";
}

int vol_kind(uint16_t type)
{
	const struct vol_type *t = vol_type(type);

	return t ? (int)t->kind : -1;
}

uint16_t vol_answer_type(uint16_t type)
{
	const struct vol_type *t = vol_type(type);

	return t ? t->answer : 0;
}

const char *vol_state_text(uint8_t state)
{
	static const char *const text[] = { "unavailable", "paused", "direct", "file-system-redirected", "block-redirected" };

	return state < ARRAY_SIZE(text) ? text[state] : "unknown";
}

const char *vol_reason_text(uint8_t reason)
{
	static const char *const text[] = { "none", "no-owner", "owner-lost", "pause-too-long", "by-administrator", "no-leases",
					    "path-failed" };

	return reason < ARRAY_SIZE(text) ? text[reason] : "unknown";
}

/* --- composite fields --- */

static void put_fid(struct writer *w, const struct vol_fid *f)
{
	if (f->len > VOL_FID_MAX)
		w->bad = true;
	put_u8(w, f->len);
	put_u8(w, f->type);
	if (!w->bad)
		put_bytes(w, f->data, f->len);
}

static void get_fid(struct reader *r, struct vol_fid *f)
{
	const uint8_t *data;

	memset(f, 0, sizeof(*f));
	f->len = get_u8(r);
	f->type = get_u8(r);
	if (f->len > VOL_FID_MAX) {
		f->len = 0;
		r->bad = true;
		return;
	}
	data = get_bytes(r, f->len);
	if (data)
		memcpy(f->data, data, f->len);
}

static void put_cred(struct writer *w, const struct vol_cred *c)
{
	if (c->n_groups > VOL_GROUPS_MAX)
		w->bad = true;
	put_u32(w, c->uid);
	put_u32(w, c->gid);
	put_u32(w, c->umask);
	put_u16(w, (uint16_t)c->n_groups);
	for (uint32_t i = 0; !w->bad && i < c->n_groups; i++)
		put_u32(w, c->groups[i]);
}

static void get_cred(struct reader *r, struct vol_cred *c)
{
	c->uid = get_u32(r);
	c->gid = get_u32(r);
	c->umask = get_u32(r);
	c->n_groups = get_u16(r);
	if (c->n_groups > VOL_GROUPS_MAX) {
		c->n_groups = 0;
		r->bad = true;
	}
	for (uint32_t i = 0; i < c->n_groups; i++)
		c->groups[i] = get_u32(r);
}

static void put_attr(struct writer *w, const struct vol_attr *a)
{
	put_u64(w, a->ino);
	put_u64(w, a->size);
	put_u64(w, a->blocks);
	put_u64(w, a->rdev);
	put_u32(w, a->mode);
	put_u32(w, a->nlink);
	put_u32(w, a->uid);
	put_u32(w, a->gid);
	put_u32(w, a->blksize);
	put_u64(w, (uint64_t)a->atime_ns);
	put_u64(w, (uint64_t)a->mtime_ns);
	put_u64(w, (uint64_t)a->ctime_ns);
}

static void get_attr(struct reader *r, struct vol_attr *a)
{
	a->ino = get_u64(r);
	a->size = get_u64(r);
	a->blocks = get_u64(r);
	a->rdev = get_u64(r);
	a->mode = get_u32(r);
	a->nlink = get_u32(r);
	a->uid = get_u32(r);
	a->gid = get_u32(r);
	a->blksize = get_u32(r);
	a->atime_ns = (int64_t)get_u64(r);
	a->mtime_ns = (int64_t)get_u64(r);
	a->ctime_ns = (int64_t)get_u64(r);
}

/* A component of a path: no '/', and not "." or "..", which no peer has any business to send. */
static void get_fname(struct reader *r, char *out)
{
	get_text(r, out, VOL_FNAME_SIZE);
	if (strchr(out, '/') || !strcmp(out, ".") || !strcmp(out, ".."))
		r->bad = true;
}

void vol_put_extent(struct writer *w, const struct vol_extent *e)
{
	put_u64(w, e->offset);
	put_u64(w, e->physical);
	put_u64(w, e->length);
}

void vol_get_extent(struct reader *r, struct vol_extent *e)
{
	e->offset = get_u64(r);
	e->physical = get_u64(r);
	e->length = get_u64(r);
}

void vol_put_dirent(struct writer *w, const struct vol_dirent *d, bool plus)
{
	put_u64(w, d->cookie);
	put_u64(w, d->ino);
	put_u8(w, d->type);
	put_text(w, d->name);
	if (!plus)
		return;
	put_u8(w, d->cache);
	put_fid(w, &d->file);
	put_attr(w, &d->attr);
}

/* "." and ".." are entries like others here. */
void vol_get_dirent(struct reader *r, struct vol_dirent *d, bool plus)
{
	memset(d, 0, sizeof(*d));
	d->cookie = get_u64(r);
	d->ino = get_u64(r);
	d->type = get_u8(r);
	get_text(r, d->name, sizeof(d->name));
	if (!*d->name || strchr(d->name, '/'))
		r->bad = true;
	if (!plus)
		return;
	d->cache = get_u8(r);
	get_fid(r, &d->file);
	get_attr(r, &d->attr);
}

static void put_latency(struct writer *w, const struct vol_latency *l)
{
	for (unsigned int k = 0; k < VOL_LATENCY_BUCKETS; k++)
		put_u64(w, l->n[k]);
}

static void get_latency(struct reader *r, struct vol_latency *l)
{
	for (unsigned int k = 0; k < VOL_LATENCY_BUCKETS; k++)
		l->n[k] = get_u64(r);
}

/* --- messages --- */

static void vfield_encode(struct writer *w, const struct vfield *f, const struct vol_message *m, bool bytes_apart)
{
	const void *at = (const uint8_t *)m + f->offset;
	const struct span *span = at;

	switch (f->type) {
	case VFIELD_U8: put_u8(w, *(const uint8_t *)at); break;
	case VFIELD_U16: put_u16(w, *(const uint16_t *)at); break;
	case VFIELD_U32: put_u32(w, *(const uint32_t *)at); break;
	case VFIELD_U64: put_u64(w, *(const uint64_t *)at); break;
	case VFIELD_FNAME:
	case VFIELD_TEXT: put_text(w, at); break;
	case VFIELD_FID: put_fid(w, at); break;
	case VFIELD_CRED: put_cred(w, at); break;
	case VFIELD_ATTR: put_attr(w, at); break;
	case VFIELD_LATENCY: put_latency(w, at); break;
	case VFIELD_BYTES:
		if (!bytes_apart)
			put_bytes(w, span->data, span->len);
		break;
	}
}

static void vfield_decode(struct reader *r, const struct vfield *f, struct vol_message *m)
{
	void *at = (uint8_t *)m + f->offset;
	struct span *span = at;

	switch (f->type) {
	case VFIELD_U8: *(uint8_t *)at = get_u8(r); break;
	case VFIELD_U16: *(uint16_t *)at = get_u16(r); break;
	case VFIELD_U32: *(uint32_t *)at = get_u32(r); break;
	case VFIELD_U64: *(uint64_t *)at = get_u64(r); break;
	case VFIELD_FNAME: get_fname(r, at); break;
	case VFIELD_TEXT: get_text(r, at, TEXT_SIZE); break;
	case VFIELD_FID: get_fid(r, at); break;
	case VFIELD_CRED: get_cred(r, at); break;
	case VFIELD_ATTR: get_attr(r, at); break;
	case VFIELD_LATENCY: get_latency(r, at); break;
	case VFIELD_BYTES:
		span->len = reader_left(r);
		span->data = get_bytes(r, span->len);
		break;
	}
}

static uint32_t crc_of(const void *data, size_t len) { return (uint32_t)crc32(0, data, (uInt)len); }

static size_t bytes_len(const struct vol_type *t, const struct vol_message *m)
{
	const struct vfield *last = &t->fields[t->n_fields - 1];

	return last->type == VFIELD_BYTES ? ((const struct span *)(const void *)((const uint8_t *)m + last->offset))->len : 0;
}

int vol_encode(const struct vol_message *m, void *buf, size_t size, bool bytes_apart)
{
	const struct vol_type *type = vol_type(m->type);
	struct writer body, header;
	size_t len;

	if (!type)
		return -EINVAL;
	if (size < VOL_HEADER_SIZE)
		return -E2BIG;
	body = writer_of((uint8_t *)buf + VOL_HEADER_SIZE, size - VOL_HEADER_SIZE);
	for (size_t i = 0; !m->error && i < type->n_fields; i++)
		vfield_encode(&body, &type->fields[i], m, bytes_apart);
	len = writer_len(&body) + (bytes_apart && !m->error ? bytes_len(type, m) : 0);
	if (body.bad || len > VOL_BODY_MAX)
		return -E2BIG;
	header = writer_of(buf, VOL_HEADER_SIZE);
	put_u32(&header, VOL_MAGIC);
	put_u16(&header, VOL_VERSION);
	put_u16(&header, m->type);
	put_u32(&header, (uint32_t)len);
	put_u32(&header, m->error);
	put_u64(&header, m->request);
	put_u64(&header, m->answered);
	put_u32(&header, 0);
	put_u32(&header, crc_of(buf, HEADER_CRC_AT));
	return (int)(VOL_HEADER_SIZE + writer_len(&body));
}

enum frame_fault vol_decode_header(const void *data, struct vol_message *ret, size_t *ret_body)
{
	struct reader r = reader_of(data, VOL_HEADER_SIZE);
	uint32_t magic = get_u32(&r), body, reserved, crc;
	uint16_t version = get_u16(&r);

	memset(ret, 0, sizeof(*ret));
	ret->type = get_u16(&r);
	body = get_u32(&r);
	ret->error = get_u32(&r);
	ret->request = get_u64(&r);
	ret->answered = get_u64(&r);
	reserved = get_u32(&r);
	crc = get_u32(&r);
	*ret_body = 0;
	if (magic != VOL_MAGIC)
		return FRAME_MAGIC_WRONG;
	if (version != VOL_VERSION)
		return FRAME_VERSION_WRONG;
	if (crc != crc_of(data, HEADER_CRC_AT))
		return FRAME_HEADER_CRC;
	if (reserved)
		return FRAME_RESERVED_SET;
	if (body > VOL_BODY_MAX)
		return FRAME_LENGTH_WRONG;
	*ret_body = body;
	return FRAME_OK;
}

enum frame_fault vol_decode_body(const void *data, size_t len, struct vol_message *ret)
{
	const struct vol_type *type = vol_type(ret->type);
	struct reader r = reader_of(data, len);

	if (!type)
		return FRAME_TYPE_UNKNOWN;
	if (ret->error)
		return len ? FRAME_BODY_BAD : FRAME_OK;
	for (size_t i = 0; i < type->n_fields; i++)
		vfield_decode(&r, &type->fields[i], ret);
	return r.bad ? FRAME_BODY_BAD : FRAME_OK;
}
