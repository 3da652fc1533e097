/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ranges one session has been lent of one file, as the owner notes them: rising, apart, at most GRANT_RANGES_MAX. What
 * does not fit is noted as more than was lent (the nearest two become one): a recall too many, never one too few.
 */
#ifndef CSVFS_CORE_GRANT_RANGE_H
#define CSVFS_CORE_GRANT_RANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "csvfs/core/grant.h"

struct grant_range {
	uint64_t begin, end; /* end: first byte behind; UINT64_MAX: to the end of all */
};
struct grant_ranges {
	struct grant_range list[GRANT_RANGES_MAX];
	uint32_t n;
};

struct grant_range grant_range_of(uint64_t offset, uint64_t length);
/* Have they a byte in common? An empty one has none with anything. */
static inline bool grant_range_meets(struct grant_range a, struct grant_range b)
{
	return (a.begin > b.begin ? a.begin : b.begin) < (a.end < b.end ? a.end : b.end);
}
void grant_ranges_add(struct grant_ranges *r, struct grant_range more);
void grant_ranges_cut(struct grant_ranges *r, struct grant_range gone);
bool grant_ranges_meet(const struct grant_ranges *r, struct grant_range range);

#endif
