/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ranges of one session and file, in few words. */
#include "csvfs/core/grant_range.h"

#include <string.h>

struct grant_range grant_range_of(uint64_t offset, uint64_t length)
{
	return (struct grant_range){ offset, length > UINT64_MAX - offset ? UINT64_MAX : offset + length };
}

/* Up to two more than there is room for: the nearest become one until it fits. */
static void store(struct grant_ranges *r, struct grant_range *list, uint32_t n)
{
	while (n > GRANT_RANGES_MAX) {
		uint32_t nearest = 0;

		for (uint32_t i = 1; i + 1 < n; i++)
			if (list[i + 1].begin - list[i].end < list[nearest + 1].begin - list[nearest].end)
				nearest = i;
		list[nearest].end = list[nearest + 1].end;
		memmove(&list[nearest + 1], &list[nearest + 2], (n - nearest - 2) * sizeof(*list));
		n--;
	}
	memcpy(r->list, list, n * sizeof(*list));
	r->n = n;
}

void grant_ranges_add(struct grant_ranges *r, struct grant_range more)
{
	struct grant_range list[GRANT_RANGES_MAX + 1];
	uint32_t n = 0, i = 0;

	if (more.begin >= more.end)
		return;
	while (i < r->n && r->list[i].end < more.begin)
		list[n++] = r->list[i++];
	for (; i < r->n && r->list[i].begin <= more.end; i++) {
		if (r->list[i].begin < more.begin)
			more.begin = r->list[i].begin;
		if (r->list[i].end > more.end)
			more.end = r->list[i].end;
	}
	list[n++] = more;
	while (i < r->n)
		list[n++] = r->list[i++];
	store(r, list, n);
}

void grant_ranges_cut(struct grant_ranges *r, struct grant_range gone)
{
	struct grant_range list[GRANT_RANGES_MAX + 1];
	uint32_t n = 0;

	for (uint32_t i = 0; i < r->n; i++) {
		struct grant_range old = r->list[i];

		if (!grant_range_meets(old, gone)) {
			list[n++] = old;
			continue;
		}
		if (old.begin < gone.begin)
			list[n++] = (struct grant_range){ old.begin, gone.begin };
		if (old.end > gone.end)
			list[n++] = (struct grant_range){ gone.end, old.end };
	}
	store(r, list, n);
}

bool grant_ranges_meet(const struct grant_ranges *r, struct grant_range range)
{
	for (uint32_t i = 0; i < r->n; i++)
		if (grant_range_meets(r->list[i], range))
			return true;
	return false;
}
