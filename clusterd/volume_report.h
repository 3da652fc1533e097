/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What each node says of its mounts (MSG_MOUNTS), as it came last. It decides nothing in the cluster but this: a run of
 * csvfs below the one that a node names has ended, which stays true whatever happens after.
 */
#ifndef CLUSTERD_VOLUME_REPORT_H
#define CLUSTERD_VOLUME_REPORT_H

#include "proto/message.h"
#include "proto/volume.h"

#define REPORT_TROUBLE_SIZE 120 /* with the NUL: all of VOLUME_MAX fit into one message */
#define REPORT_ITEM_MAX (2 + 8 + 8 + 1 + 1 + 1 + 4 + 8 + 8 + 4 + 2 + REPORT_TROUBLE_SIZE)

struct volume_report {
	uint32_t volume;
	uint64_t number, run;
	uint8_t state, reason; /* enum vol_state, vol_reason */
	bool known;            /* false: csvfs does not run, or does not answer */
	uint32_t owner;
	uint64_t epoch, device_size; /* bytes; 0: not known */
	uint32_t frozen_ms;          /* its file system stands still, here at its owner, for so long at most; 0: it does not */
	char trouble[REPORT_TROUBLE_SIZE];
};

struct volume_reports {
	uint32_t n;
	struct volume_report list[VOLUME_MAX];
};

void report_put(struct writer *w, const struct volume_report *r);
/* -EBADMSG: *ret is empty then. */
int reports_read(const struct span *list, struct volume_reports *ret);
/* NULL: nothing is known. `r` may be NULL. */
const struct volume_report *report_find(const struct volume_reports *r, uint32_t volume, uint64_t number);

#endif
