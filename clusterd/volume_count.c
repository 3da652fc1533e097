/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Items of MSG_COUNTS. */
#include "clusterd/volume_count.h"

#include <errno.h>

_Static_assert(COUNT_ITEM_MAX < PAYLOAD_MAX, "a message holds one at least");

static uint64_t *counter(struct vol_status_is *is, unsigned int i)
{
	uint64_t *const counters[] = { &is->direct_read,     &is->direct_written,
				       &is->redirected_read, &is->redirected_written,
				       &is->direct_ops,	     &is->redirected_ops,
				       &is->recalls,	     &is->pauses,
				       &is->paused_ms };

	return i < ARRAY_SIZE(counters) ? counters[i] : NULL;
}

static struct vol_latency *histogram(struct vol_status_is *is, unsigned int i)
{
	struct vol_latency *const histograms[] = { &is->direct_read_us, &is->direct_write_us, &is->redirected_read_us,
						   &is->redirected_write_us };

	return i < ARRAY_SIZE(histograms) ? histograms[i] : NULL;
}

/* Most buckets are empty. */
static void put_latency(struct writer *w, const struct vol_latency *l)
{
	uint8_t used = 0;

	for (unsigned int k = 0; k < VOL_LATENCY_BUCKETS; k++)
		used = (uint8_t)(used + (l->n[k] != 0));
	put_u8(w, used);
	for (unsigned int k = 0; k < VOL_LATENCY_BUCKETS; k++) {
		if (!l->n[k])
			continue;
		put_u8(w, (uint8_t)k);
		put_u64(w, l->n[k]);
	}
}

static void get_latency(struct reader *r, struct vol_latency *l)
{
	uint8_t used = get_u8(r);

	for (uint8_t i = 0; i < used && !r->bad; i++) {
		uint8_t k = get_u8(r);
		uint64_t n = get_u64(r);

		if (k >= VOL_LATENCY_BUCKETS)
			r->bad = true;
		else
			l->n[k] = n;
	}
}

void count_put(struct writer *w, const struct volume_count *c)
{
	struct vol_status_is is = c->status;

	put_u16(w, (uint16_t)c->volume);
	put_u64(w, c->number);
	put_u8(w, c->owner);
	put_u64(w, c->at_ms);
	for (unsigned int i = 0; counter(&is, i); i++)
		put_u64(w, *counter(&is, i));
	put_u32(w, is.files);
	put_u32(w, is.handles);
	for (unsigned int i = 0; histogram(&is, i); i++)
		put_latency(w, histogram(&is, i));
}

int count_get(struct reader *r, struct volume_count *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->volume = get_u16(r);
	ret->number = get_u64(r);
	ret->owner = get_u8(r);
	ret->at_ms = get_u64(r);
	for (unsigned int i = 0; counter(&ret->status, i); i++)
		*counter(&ret->status, i) = get_u64(r);
	ret->status.files = get_u32(r);
	ret->status.handles = get_u32(r);
	for (unsigned int i = 0; histogram(&ret->status, i); i++)
		get_latency(r, histogram(&ret->status, i));
	return r->bad ? -EBADMSG : 0;
}
