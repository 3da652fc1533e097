/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How intent.c writes records and pages; how they are read is in intent.h. */
#ifndef CSVFS_CORE_INTENT_RECORD_H
#define CSVFS_CORE_INTENT_RECORD_H

#include "csvfs/core/intent.h"

#define INTENT_PAGE_HEADER 32u

/* At most INTENT_RECORD_MAX bytes. */
void intent_record_put(struct writer *w, const struct intent *i);
/* Header, checksum and zeros for a page of which `used` bytes, header included, are filled. */
void intent_page_seal(void *page, const struct intent_page *p, size_t used);

#endif
