/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Intents without a table: records and pages of the ring, what names are concerned, and whether it happened. */
#include <string.h>
#include <zlib.h>

#include "csvfs/core/intent_record.h"

#define INTENT_MAGIC 0x49565343u /* "CSVI" */
#define CRC_FROM 8u
#define LINUX_RENAME_EXCHANGE 2u

/* --- codec --- */

static void put_fid(struct writer *w, const struct vol_fid *f)
{
	put_u8(w, f->len);
	put_u8(w, f->type);
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
	}
	data = get_bytes(r, f->len);
	if (data)
		memcpy(f->data, data, f->len);
}

void intent_record_put(struct writer *w, const struct intent *i)
{
	put_u64(w, i->session);
	put_u64(w, i->request);
	put_u64(w, i->answered);
	put_u8(w, i->op);
	put_u8(w, i->outcome);
	put_u16(w, 0);
	put_u32(w, i->flags);
	put_u32(w, i->error);
	put_u64(w, i->size);
	put_u64(w, i->length);
	put_fid(w, &i->file);
	for (int n = 0; n < 2; n++)
		put_fid(w, &i->parent[n]);
	for (int n = 0; n < 2; n++)
		put_fid(w, &i->had[n]);
	for (int n = 0; n < 2; n++)
		put_text(w, i->name[n]);
}

static void record_get(struct reader *r, struct intent *i)
{
	i->session = get_u64(r);
	i->request = get_u64(r);
	i->answered = get_u64(r);
	i->op = get_u8(r);
	i->outcome = get_u8(r);
	get_u16(r);
	i->flags = get_u32(r);
	i->error = get_u32(r);
	i->size = get_u64(r);
	i->length = get_u64(r);
	get_fid(r, &i->file);
	for (int n = 0; n < 2; n++)
		get_fid(r, &i->parent[n]);
	for (int n = 0; n < 2; n++)
		get_fid(r, &i->had[n]);
	for (int n = 0; n < 2; n++)
		get_text(r, i->name[n], VOL_FNAME_SIZE);
	if (i->op < INTENT_CREATE || i->op > INTENT_APPEND || i->outcome > INTENT_FAILED)
		r->bad = true;
}

static uint32_t crc_of(const void *page)
{
	return (uint32_t)crc32(0, (const uint8_t *)page + CRC_FROM, INTENT_PAGE - CRC_FROM);
}

void intent_page_seal(void *page, const struct intent_page *p, size_t used)
{
	struct writer w = writer_of(page, INTENT_PAGE_HEADER);

	memset((uint8_t *)page + used, 0, INTENT_PAGE - used);
	for (int twice = 0; twice < 2; twice++) { /* the CRC is of what follows it */
		w = writer_of(page, INTENT_PAGE_HEADER);
		put_u32(&w, INTENT_MAGIC);
		put_u32(&w, twice ? crc_of(page) : 0);
		put_u64(&w, p->epoch);
		put_u64(&w, p->number);
		put_u16(&w, (uint16_t)p->count);
		put_u16(&w, 0);
		put_u32(&w, (uint32_t)used);
	}
}

static bool header_get(const void *page, struct intent_page *ret, size_t *ret_used)
{
	struct reader r = reader_of(page, INTENT_PAGE_HEADER);
	uint32_t magic = get_u32(&r), crc = get_u32(&r);

	ret->epoch = get_u64(&r);
	ret->number = get_u64(&r);
	ret->count = get_u16(&r);
	get_u16(&r);
	*ret_used = get_u32(&r);
	return magic == INTENT_MAGIC && crc == crc_of(page) && ret->number && *ret_used >= INTENT_PAGE_HEADER &&
	       *ret_used <= INTENT_PAGE;
}

bool intent_page_check(const void *page, struct intent_page *ret)
{
	size_t used;

	return header_get(page, ret, &used);
}

bool intent_page_next(const void *page, size_t *at, struct intent *ret)
{
	struct reader used_of = reader_of((const uint8_t *)page + INTENT_PAGE_HEADER - 4, 4), r;
	size_t used = get_u32(&used_of), from = *at ? *at : INTENT_PAGE_HEADER;

	if (used > INTENT_PAGE || from >= used)
		return false;
	r = reader_of((const uint8_t *)page + from, used - from);
	record_get(&r, ret);
	if (r.bad)
		return false;
	*at = used - reader_left(&r);
	return true;
}

/* --- decision --- */

static bool renamed(const struct intent *i, const struct intent_now *now)
{
	if (vol_fid_none(&i->had[0]) || vol_fid_equal(&i->had[0], &i->had[1]))
		return false;
	if (i->flags & LINUX_RENAME_EXCHANGE)
		return vol_fid_equal(&now->file[0], &i->had[1]) && vol_fid_equal(&now->file[1], &i->had[0]);
	return !vol_fid_equal(&now->file[0], &i->had[0]);
}

static bool happened(const struct intent *i, const struct intent_now *now)
{
	switch (i->op) {
	case INTENT_CREATE: /* found, not made: may be found again */
	case INTENT_MKNOD:
	case INTENT_SYMLINK: return vol_fid_none(&i->had[0]) && !vol_fid_none(&now->file[0]);
	case INTENT_LINK: return vol_fid_none(&i->had[0]) && vol_fid_equal(&now->file[0], &i->file);
	case INTENT_UNLINK: return !vol_fid_none(&i->had[0]) && !vol_fid_equal(&now->file[0], &i->had[0]);
	case INTENT_RENAME: return renamed(i, now);
	case INTENT_APPEND: return now->size > i->size && i->length;
	default: return false;
	}
}

enum intent_outcome intent_happened(const struct intent *i, const struct intent_now *now)
{
	return happened(i, now) ? INTENT_DONE : INTENT_UNKNOWN;
}

static void name_of(struct intent *i, int n, const struct vol_fid *parent, const char *name)
{
	i->parent[n] = *parent;
	memcpy(i->name[n], name, VOL_FNAME_SIZE);
}

bool intent_of(const struct vol_message *m, struct intent *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->request = m->request;
	switch (m->type) {
	case VOL_CREATE:
		ret->op = INTENT_CREATE;
		name_of(ret, 0, &m->create.parent, m->create.name);
		return true;
	case VOL_MKNOD:
		ret->op = INTENT_MKNOD;
		name_of(ret, 0, &m->mknod.parent, m->mknod.name);
		return true;
	case VOL_SYMLINK:
		ret->op = INTENT_SYMLINK;
		name_of(ret, 0, &m->symlink.parent, m->symlink.name);
		return true;
	case VOL_LINK:
		ret->op = INTENT_LINK;
		ret->file = m->link.file;
		name_of(ret, 0, &m->link.parent, m->link.name);
		return true;
	case VOL_UNLINK:
		ret->op = INTENT_UNLINK;
		name_of(ret, 0, &m->unlink.parent, m->unlink.name);
		return true;
	case VOL_RENAME:
		ret->op = INTENT_RENAME;
		ret->flags = m->rename.flags;
		name_of(ret, 0, &m->rename.parent, m->rename.name);
		name_of(ret, 1, &m->rename.new_parent, m->rename.new_name);
		return true;
	case VOL_WRITE:
		ret->op = INTENT_APPEND;
		ret->length = m->write.bytes.len;
		return m->write.append;
	default: return false;
	}
}
