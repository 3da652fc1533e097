/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Items of MSG_MOUNTS. */
#include "clusterd/volume_report.h"

#include <errno.h>

_Static_assert(VOLUME_MAX * REPORT_ITEM_MAX <= PAYLOAD_MAX, "one message holds all");

void report_put(struct writer *w, const struct volume_report *r)
{
	put_u16(w, (uint16_t)r->volume);
	put_u64(w, r->number);
	put_u64(w, r->run);
	put_u8(w, r->state);
	put_u8(w, r->reason);
	put_u8(w, r->known);
	put_u32(w, r->owner);
	put_u64(w, r->epoch);
	put_u64(w, r->device_size);
	put_u32(w, r->frozen_ms);
	put_text(w, r->trouble);
}

int reports_read(const struct span *list, struct volume_reports *ret)
{
	struct reader r = reader_of(list->data, list->len);

	memset(ret, 0, sizeof(*ret));
	while (reader_left(&r)) {
		struct volume_report *item = &ret->list[ret->n];

		if (ret->n == VOLUME_MAX)
			break;
		item->volume = get_u16(&r);
		item->number = get_u64(&r);
		item->run = get_u64(&r);
		item->state = get_u8(&r);
		item->reason = get_u8(&r);
		item->known = get_u8(&r);
		item->owner = get_u32(&r);
		item->epoch = get_u64(&r);
		item->device_size = get_u64(&r);
		item->frozen_ms = get_u32(&r);
		get_text(&r, item->trouble, sizeof(item->trouble));
		ret->n++;
	}
	if (!r.bad && !reader_left(&r))
		return 0;
	ret->n = 0;
	return -EBADMSG;
}

const struct volume_report *report_find(const struct volume_reports *r, uint32_t volume, uint64_t number)
{
	for (uint32_t i = 0; r && i < r->n; i++)
		if (r->list[i].volume == volume && r->list[i].number == number)
			return &r->list[i];
	return NULL;
}
