/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Extents lent to this session, as a sorted array, and the I/O that uses them. */
#include "csvfs/core/extent_map.h"

#include <errno.h>
#include <string.h>

#include "csvfs/core/volume_canary.h"

static uint64_t end_of(uint64_t offset, uint64_t length)
{
	return length > UINT64_MAX - offset ? UINT64_MAX : offset + length;
}

static uint64_t extent_end(const struct lent_extent *e)
{
	return e->offset + e->length;
}

void extent_map_init(struct extent_map *m, struct lent_extent *array, uint32_t capacity)
{
	memset(m, 0, sizeof(*m));
	m->extents = array;
	m->capacity = capacity < EXTENT_MAP_MAX ? capacity : EXTENT_MAP_MAX;
}

void extent_map_move(struct extent_map *m, struct lent_extent *array, uint32_t capacity)
{
	if (capacity < m->n)
		m->n = capacity;
	if (m->n)
		memmove(array, m->extents, m->n * sizeof(*array));
	m->extents = array;
	m->capacity = capacity < EXTENT_MAP_MAX ? capacity : EXTENT_MAP_MAX;
}

/* The first extent that ends behind `offset`. */
static uint32_t extent_at(const struct extent_map *m, uint64_t offset)
{
	uint32_t low = 0, high = m->n;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (extent_end(&m->extents[middle]) > offset)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

/* Makes room for `more` at index `at`, or takes -more away there. */
static void extent_shift(struct extent_map *m, uint32_t at, int64_t more)
{
	uint32_t from = more < 0 ? (uint32_t)(at - more) : at;

	memmove(&m->extents[at + (more > 0 ? more : 0)], &m->extents[from], (m->n - from) * sizeof(*m->extents));
	m->n = (uint32_t)(m->n + more);
}

void extent_map_cut(struct extent_map *m, uint64_t offset, uint64_t length)
{
	uint64_t end = end_of(offset, length);
	uint32_t first = extent_at(m, offset), last;
	struct lent_extent *e = &m->extents[first];

	if (!length || first == m->n || e->offset >= end)
		return;
	if (e->offset < offset) {
		uint64_t tail = extent_end(e) > end ? extent_end(e) - end : 0;
		struct lent_extent right = *e;

		e->length = offset - e->offset;
		/* Without room for the right part it is forgotten too: less is lent, which is always safe. */
		if (tail && m->n < m->capacity) {
			extent_shift(m, first + 1, 1);
			right.physical += end - right.offset;
			right.offset = end;
			right.length = tail;
			m->extents[first + 1] = right;
		}
		if (tail)
			return;
		first++;
	}
	for (last = first; last < m->n && extent_end(&m->extents[last]) <= end; last++)
		;
	if (last < m->n && m->extents[last].offset < end) {
		e = &m->extents[last];
		e->length = extent_end(e) - end;
		e->physical += end - e->offset;
		e->offset = end;
	}
	if (last > first)
		extent_shift(m, first, -(int64_t)(last - first));
}

static bool extents_join(const struct lent_extent *a, const struct lent_extent *b)
{
	return extent_end(a) == b->offset && a->physical + a->length == b->physical && a->writable == b->writable;
}

/* Joins the extent with the one before it; true: it is gone. */
static bool extent_join(struct extent_map *m, uint32_t at)
{
	struct lent_extent *a, *b;

	if (!at || at >= m->n)
		return false;
	a = &m->extents[at - 1];
	b = &m->extents[at];
	if (!extents_join(a, b))
		return false;
	a->length += b->length;
	if (b->grant > a->grant)
		a->grant = b->grant;
	extent_shift(m, at, -1);
	return true;
}

static bool list_is_good(const struct vol_extent *list, uint32_t n)
{
	uint64_t end = 0;

	for (uint32_t i = 0; i < n; i++) {
		if (!list[i].length || list[i].offset < end || list[i].length > UINT64_MAX - list[i].offset ||
		    list[i].length > UINT64_MAX - list[i].physical)
			return false;
		end = list[i].offset + list[i].length;
	}
	return true;
}

/* Inserts extents of a part of the file where there are none. Number that fitted. */
static uint32_t extents_insert(struct extent_map *m, const struct vol_extent *list, uint32_t n, uint64_t grant, bool writable)
{
	uint32_t at = extent_at(m, list[0].offset), room = m->capacity - m->n, n_in = n < room ? n : room;

	extent_shift(m, at, n_in);
	for (uint32_t i = 0; i < n_in; i++)
		m->extents[at + i] = (struct lent_extent){ .offset = list[i].offset, .physical = list[i].physical,
							   .length = list[i].length, .grant = grant, .writable = writable };
	extent_join(m, at + n_in);
	extent_join(m, at);
	return n_in;
}

int extent_map_add(struct extent_map *m, const struct vol_extent *list, uint32_t n, uint64_t grant, bool writable, bool sole)
{
	uint32_t added = 0, at;

	if (!list_is_good(list, n))
		return -EBADMSG;
	if (grant <= m->recalled && !VOLUME_CANARY(OVERTAKEN))
		return 0;
	m->sole = sole;
	if (!n)
		return 0;
	at = extent_at(m, list[0].offset);
	if (at == m->n || m->extents[at].offset >= list[n - 1].offset + list[n - 1].length)
		return (int)extents_insert(m, list, n, grant, writable);
	for (uint32_t i = 0; i < n; i++) {
		extent_map_cut(m, list[i].offset, list[i].length);
		/* Full: the rest is not added, but what it would have replaced goes. */
		if (added == i && extents_insert(m, &list[i], 1, grant, writable))
			added++;
	}
	return (int)added;
}

void extent_map_recall(struct extent_map *m, uint64_t grant, uint32_t what, uint64_t offset, uint64_t length)
{
	if (!(what & (VOL_RECALL_EXTENTS | VOL_RECALL_SOLE)))
		return;
	if (grant > m->recalled)
		m->recalled = grant;
	if (what & VOL_RECALL_SOLE)
		m->sole = false;
	if (what & VOL_RECALL_EXTENTS)
		extent_map_cut(m, offset, length);
}

void extent_map_clear(struct extent_map *m)
{
	m->n = 0;
	m->sole = false;
}

void extent_map_new_owner(struct extent_map *m)
{
	m->sole = false;
	m->giving = false;
}

/* Is every lent byte of [offset, end) at the same place in the list? */
static bool same_places(const struct extent_map *m, uint64_t offset, uint64_t end, const struct vol_extent *list, uint32_t n)
{
	uint32_t k = 0;

	for (uint32_t i = extent_at(m, offset); i < m->n && m->extents[i].offset < end; i++) {
		const struct lent_extent *e = &m->extents[i];
		uint64_t at = e->offset > offset ? e->offset : offset, stop = extent_end(e) < end ? extent_end(e) : end;

		while (at < stop) {
			while (k < n && list[k].offset + list[k].length <= at)
				k++;
			if (k == n || list[k].offset > at || list[k].physical - list[k].offset != e->physical - e->offset)
				return false;
			at = list[k].offset + list[k].length;
		}
	}
	return true;
}

bool extent_map_reclaimed(struct extent_map *m, uint64_t offset, uint64_t length, const struct vol_extent *list, uint32_t n,
			  uint64_t grant, bool writable)
{
	bool same = list_is_good(list, n) && same_places(m, offset, end_of(offset, length), list, n);

	extent_map_cut(m, offset, length);
	return extent_map_add(m, list, n, grant, writable, false) >= 0 && same;
}

bool extent_map_ask_begin(struct extent_map *m)
{
	if (m->giving)
		return false;
	m->asking++;
	return true;
}

void extent_map_ask_end(struct extent_map *m)
{
	if (m->asking)
		m->asking--;
}

bool extent_map_give_begin(struct extent_map *m, uint64_t offset, uint64_t length)
{
	if (m->asking || m->giving)
		return false;
	m->giving = true;
	extent_map_cut(m, offset, length);
	if (!offset && length == UINT64_MAX)
		m->sole = false;
	return true;
}

void extent_map_give_end(struct extent_map *m)
{
	m->giving = false;
}

/* --- pieces --- */

struct search {
	const struct extent_map *m;
	uint64_t end; /* of the wanted range */
	uint32_t at;  /* extent that ends behind the position */
	uint32_t sector;
	bool write;
};

static bool usable(const struct search *s, const struct lent_extent *e)
{
	return (!s->write || e->writable) && !((e->physical - e->offset) & (s->sector - 1));
}

/* What is at `at`: a piece up to where that ends. */
static struct extent_piece piece_at(struct search *s, uint64_t at)
{
	struct extent_piece p = { .kind = PIECE_REDIRECT, .offset = at };
	const struct lent_extent *e;
	uint64_t run, mask = s->sector - 1, stop = s->end;

	while (s->at < s->m->n && extent_end(&s->m->extents[s->at]) <= at)
		s->at++;
	e = s->at < s->m->n ? &s->m->extents[s->at] : NULL;
	if (!e || e->offset > at || !usable(s, e)) {
		if (e && e->offset > at)
			stop = e->offset;
		else if (e)
			stop = extent_end(e);
		p.length = (stop < s->end ? stop : s->end) - at;
		return p;
	}
	run = extent_end(e);
	for (uint32_t i = s->at + 1; i < s->m->n && s->m->extents[i].offset == run && run < s->end && usable(s, e + 1) &&
	     e[1].physical - e[1].offset == e->physical - e->offset; i++, e++)
		run = extent_end(e + 1);
	e = &s->m->extents[s->at];
	p.physical = e->physical + (at - e->offset);
	stop = run < s->end ? run : s->end;
	if (!(at & mask) && (stop & ~mask) > at) {
		p.kind = PIECE_DIRECT;
		p.length = (stop & ~mask) - at;
		return p;
	}
	if ((at & ~mask) >= e->offset && (at | mask) < run && (!s->write || s->m->sole || VOLUME_CANARY(MODIFY_ANYWAY)))
		p.kind = PIECE_PARTIAL;
	if ((at | mask) < stop)
		stop = (at | mask) + 1;
	p.length = stop - at;
	return p;
}

uint32_t extent_map_find(const struct extent_map *m, uint64_t offset, uint64_t length, bool write, uint32_t sector,
			 struct extent_piece *out, uint32_t max)
{
	struct search s = { .m = m, .end = end_of(offset, length), .at = extent_at(m, offset), .sector = sector, .write = write };
	uint32_t n = 0;

	for (uint64_t at = offset; at < s.end;) {
		struct extent_piece p = piece_at(&s, at);

		at += p.length;
		if (n && p.kind == PIECE_REDIRECT && out[n - 1].kind == PIECE_REDIRECT) {
			out[n - 1].length += p.length;
			continue;
		}
		if (n == max)
			break;
		out[n++] = p;
	}
	return n;
}

/* --- what uses them --- */

void io_drain_init(struct io_drain *d)
{
	memset(d, 0, sizeof(*d));
}

static bool recall_concerns(const struct io_recall *r, const struct io_use *u)
{
	if (r->what & VOL_RECALL_SOLE && u->modify)
		return true;
	return r->what & VOL_RECALL_EXTENTS && u->offset < end_of(r->offset, r->length) &&
	       r->offset < end_of(u->offset, u->length);
}

void io_begin(struct io_drain *d, struct io_use *u, uint64_t offset, uint64_t length, bool modify)
{
	*u = (struct io_use){ .offset = offset, .length = length, .begun = ++d->clock, .modify = modify, .next = d->uses };
	if (d->uses)
		d->uses->prev = u;
	d->uses = u;
	d->n_uses++;
}

bool io_end(struct io_drain *d, struct io_use *u)
{
	bool ready = false;

	if (u->prev)
		u->prev->next = u->next;
	else
		d->uses = u->next;
	if (u->next)
		u->next->prev = u->prev;
	d->n_uses--;
	for (struct io_recall *r = d->recalls; r; r = r->next)
		if (u->begun <= r->begun && recall_concerns(r, u) && !--r->waiting)
			ready = true;
	return ready;
}

void io_recall_begin(struct io_drain *d, struct io_recall *r, uint64_t number, uint32_t what, uint64_t offset, uint64_t length)
{
	struct io_recall **last = &d->recalls;

	*r = (struct io_recall){ .number = number, .offset = offset, .length = length, .begun = d->clock, .what = what };
	for (const struct io_use *u = d->uses; u; u = u->next)
		if (recall_concerns(r, u) && !VOLUME_CANARY(NO_DRAIN))
			r->waiting++;
	while (*last)
		last = &(*last)->next;
	*last = r;
}

struct io_recall *io_ready(struct io_drain *d)
{
	for (struct io_recall **at = &d->recalls; *at; at = &(*at)->next) {
		struct io_recall *r = *at;

		if (r->waiting)
			continue;
		*at = r->next;
		r->next = NULL;
		return r;
	}
	return NULL;
}
