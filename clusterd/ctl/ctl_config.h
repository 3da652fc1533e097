/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The configuration as one JSON document, and the way back: the difference to a state as operations. Only what people set is
 * in it: states, owners and votes are the cluster's.
 *
 *   { "clusterd_config": 1, "cluster": { "name": …, FIELD: VALUE … }, "nodes": { NAME: { FIELD: VALUE … } … },
 *     "networks": …, "roles": …, "resources": …, "rules": …, "sets": … }
 */
#ifndef CTL_CTL_CONFIG_H
#define CTL_CTL_CONFIG_H

#include "clusterd/ctl/ctl_change.h"

#define CONFIG_FORMAT 1
#define CONFIG_FILE_MAX (64u << 20) /* bytes */

enum plan_what { PLAN_CREATE, PLAN_CHANGE, PLAN_DELETE, PLAN_MAX };

struct plan {
	struct ctl_change *change;
	json_t *lists[PLAN_MAX]; /* of { kind, name, fields } */
	size_t n[PLAN_MAX];
};

/* The document of a state. */
json_t *ctl_config_of(const struct state *s);
/* Reads a file. NULL after an error, with *ret_code. */
json_t *ctl_config_read(struct ctl *ctl, const char *path, int *ret_code);
/*
 * What turns the configuration of `s` into the document's: 0 or an exit code. Sections that the document does not have are
 * left alone; nodes are changed, never created or removed. `config` must outlive the plan.
 */
int ctl_config_plan(struct ctl *ctl, const struct state *s, json_t *config, const char *file, struct plan *ret);
void ctl_plan_print(struct ctl *ctl, const struct plan *p);
void ctl_plan_done(struct plan *p);

#endif
