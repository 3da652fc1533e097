/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The status page and its tables, printed to ctl->out. */
#ifndef CTL_CTL_PAGE_H
#define CTL_CTL_PAGE_H

#include "clusterd/ctl/ctl.h"

void ctl_page(const struct ctl *ctl);
/* Says that what follows is old, on a node without quorum. */
void ctl_say_stale(const struct ctl *ctl);
void ctl_table_nodes(const struct ctl *ctl);
/* Returns how many were shown. */
unsigned int ctl_table_roles(const struct ctl *ctl, bool troubled_only);
/* `role` 0: of all roles. */
void ctl_table_resources(const struct ctl *ctl, uint32_t role);
void ctl_table_plain(const struct ctl *ctl, uint32_t kind);

#endif
