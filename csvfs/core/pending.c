/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests of a session that are unanswered, in rising numbers. */
#include "csvfs/core/pending.h"

#include <string.h>

static uint32_t lesser(uint32_t a, uint32_t b) { return a < b ? a : b; }

void pending_init(struct pending_window *w, uint32_t window)
{
	memset(w, 0, sizeof(*w));
	w->next = 1;
	pending_set_window(w, window);
}

void pending_set_window(struct pending_window *w, uint32_t window)
{
	w->window = window < 1 ? 1 : lesser(window, VOL_WINDOW_MAX);
}

/* Where `number` is, or would be. */
static uint32_t place(const struct pending_window *w, uint64_t number)
{
	uint32_t from = 0, to = w->n;

	while (from < to) {
		uint32_t middle = (from + to) / 2;

		if (w->list[middle].number < number)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

static bool under_way(const struct pending_window *w, uint64_t number, uint32_t *ret_at)
{
	*ret_at = place(w, number);
	return *ret_at < w->n && w->list[*ret_at].number == number;
}

/* Of a small window the spare part is a quarter, and one request always goes through. */
static uint32_t room_of(const struct pending_window *w, enum pending_kind kind)
{
	uint32_t spare = lesser(PENDING_SPARE, w->window / 4);

	return kind == PENDING_URGENT ? w->window : w->window - spare;
}

bool pending_room(const struct pending_window *w, enum request_class class, enum pending_kind kind)
{
	if (kind == PENDING_RECLAIM)
		return w->reclaims < lesser(PENDING_RECLAIMS_MAX, w->window);
	if (w->n - w->reclaims >= room_of(w, kind))
		return false;
	if (kind == PENDING_WAIT && w->waits >= lesser(PENDING_WAITS_MAX, (w->window + 1) / 2))
		return false;
	return class == REQUEST_REPEAT || w->n_logged < REQUEST_LOG_SESSION_MAX;
}

uint64_t pending_add(struct pending_window *w, enum request_class class, enum pending_kind kind, void *user)
{
	if (!pending_room(w, class, kind))
		return 0;
	w->list[w->n++] = (struct pending){ .number = w->next, .class = class, .kind = kind, .user = user };
	w->waits += kind == PENDING_WAIT;
	w->reclaims += kind == PENDING_RECLAIM;
	if (class != REQUEST_REPEAT)
		w->logged[(w->logged_first + w->n_logged++) % REQUEST_LOG_SESSION_MAX] = w->next;
	return w->next++;
}

/* Those before the mark are no longer the owner's to keep. */
static void logged_advance(struct pending_window *w)
{
	uint32_t at;

	while (w->n_logged && !under_way(w, w->logged[w->logged_first], &at)) {
		w->logged_first = (w->logged_first + 1) % REQUEST_LOG_SESSION_MAX;
		w->n_logged--;
	}
}

bool pending_answered(struct pending_window *w, uint64_t number, struct pending *ret)
{
	uint32_t at;

	if (!under_way(w, number, &at))
		return false;
	*ret = w->list[at];
	w->n--;
	memmove(&w->list[at], &w->list[at + 1], (w->n - at) * sizeof(w->list[0]));
	w->waits -= ret->kind == PENDING_WAIT;
	w->reclaims -= ret->kind == PENDING_RECLAIM;
	if (ret->class != REQUEST_REPEAT)
		logged_advance(w);
	return true;
}

uint64_t pending_mark(const struct pending_window *w)
{
	return w->n_logged ? w->logged[w->logged_first] : w->next;
}

const struct pending *pending_next(const struct pending_window *w, uint64_t from)
{
	uint32_t at = place(w, from);

	return at < w->n ? &w->list[at] : NULL;
}

bool pending_cancel(struct pending_window *w, uint64_t number)
{
	uint32_t at;

	if (!under_way(w, number, &at) || w->list[at].cancelled)
		return false;
	w->list[at].cancelled = true;
	return true;
}

/* --- what was overtaken --- */

static void mark_add(struct pending_window *w, const struct vol_fid *file)
{
	struct pending_mark *m = w->marks;

	if (w->n_marks < PENDING_MARKS)
		m = &w->marks[w->n_marks++];
	else
		for (uint32_t i = 1; i < PENDING_MARKS; i++)
			if (w->marks[i].next < m->next)
				m = &w->marks[i];
	if (m->next > w->forgotten)
		w->forgotten = m->next;
	*m = (struct pending_mark){ .file = *file, .next = w->next };
}

void pending_recalled(struct pending_window *w, const struct vol_fid *file)
{
	if (!file) {
		w->forgotten = w->next;
		return;
	}
	for (uint32_t i = 0; i < w->n_marks; i++) {
		if (!vol_fid_equal(&w->marks[i].file, file))
			continue;
		w->marks[i].next = w->next;
		return;
	}
	mark_add(w, file);
}

bool pending_may_cache(const struct pending_window *w, uint64_t number, const struct vol_fid *file)
{
	uint32_t at;

	if (!under_way(w, number, &at) || number < w->forgotten)
		return false;
	for (uint32_t i = 0; i < w->n_marks; i++)
		if (vol_fid_equal(&w->marks[i].file, file))
			return number >= w->marks[i].next;
	return true;
}
