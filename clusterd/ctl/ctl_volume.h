/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Volumes as people see them: with the role that is a volume's ownership, whose settings are the volume's to them. */
#ifndef CTL_CTL_VOLUME_H
#define CTL_CTL_VOLUME_H

#include "clusterd/ctl/ctl.h"

/* Fields of the ownership that are set as fields of the volume; NULL ends them. */
extern const char *const ctl_ownership_fields[];
bool ctl_is_ownership_field(const char *name, size_t len);
/* Name of the ownership's role; cut when there can be no such volume. */
const char *ctl_ownership_name(const char *volume, char out[NAME_SIZE]);
void ctl_table_volumes(const struct ctl *ctl);
/* Below the fields of 'volume show'. */
void ctl_volume_show_more(const struct ctl *ctl, const struct volume *v);
/* Members beside the fields. */
void ctl_json_volume_derived(const struct ctl *ctl, const struct volume *v, json_t *j);

/* CTL_VOLUMES: *ret, for the caller to release, and 0; or an exit code after the error. `volume` "": all. */
int ctl_volumes_ask(struct ctl *ctl, const char *volume, bool counters, json_t **ret);
/* The table of 'volume state' from that answer. */
void ctl_volume_states(const struct ctl *ctl, const json_t *rows);
/* "1.5 GiB" */
const char *ctl_bytes(uint64_t bytes, char out[32]);

#endif
