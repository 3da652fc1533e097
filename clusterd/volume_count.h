/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counters of a volume as MSG_COUNTS carries them: of csvfs on a node, and of csvfs-owner on the node that owns it. */
#ifndef CLUSTERD_VOLUME_COUNT_H
#define CLUSTERD_VOLUME_COUNT_H

#include "proto/message.h"
#include "proto/volume.h"

#define COUNT_ITEM_MAX (2 + 8 + 1 + 8 + 9 * 8 + 2 * 4 + 4 * (1 + 9 * VOL_LATENCY_BUCKETS))

struct volume_count {
	uint32_t volume;
	uint64_t number;
	bool owner;                  /* of csvfs-owner: what it did for others */
	uint64_t at_ms;              /* when it was asked, of the sender's monotonic clock */
	struct vol_status_is status; /* counters and histograms only */
};

/* COUNT_ITEM_MAX bytes at most. */
void count_put(struct writer *w, const struct volume_count *c);
/* 0, and the next of a list; -EBADMSG. */
int count_get(struct reader *r, struct volume_count *ret);

#endif
