/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the shell's parts for volumes share: shell_volumes.c, shell_volume_views.c, shell_volume_orders.c. */
#ifndef CLUSTERD_SHELL_VOLUMES_H
#define CLUSTERD_SHELL_VOLUMES_H

#include <limits.h>

#include "clusterd/core/core.h"
#include "clusterd/shell_private.h"
#include "clusterd/volume_count.h"
#include "clusterd/volume_mount.h"
#include "clusterd/volume_ownership.h"
#include "clusterd/volume_report.h"

#define MOUNTS_MAX (2 * VOLUME_MAX) /* those of volumes that are deleted or renamed end while new ones begin */

/* A question for the counters of all nodes, for all clients that came meanwhile; shell_volume_views.c. */
struct gathered {
	uint32_t node;
	struct volume_count count;
};
struct gathering {
	uint64_t asked, until_ms; /* asked: number of the newest; until_ms 0: none is under way */
	nodeset_t missing;
	struct gathered *list;
	uint32_t n, size;
	struct {
		uint32_t conn;
		char volume[NAME_SIZE];
	} clients[CONTROL_CLIENT_MAX];
	uint32_t n_clients;
};

/* An order that a client of this node waits for. */
struct order_asked {
	uint64_t asked, until_ms; /* until_ms 0: free */
	uint32_t conn, node;
	uint8_t order;
	char volume[NAME_SIZE];
};

/* An order that is carried out by the owner here, which has one at a time. */
struct order_here {
	struct volumes *volumes;
	uint32_t volume, to;	 /* volume 0: free */
	uint64_t asked, next_ms; /* next_ms: when a job is looked after again; 0: an answer is on its way */
	uint32_t most_ms;
	uint8_t order;
	bool job; /* it has been begun */
};

struct volumes {
	struct shell *shell;
	struct mount_surroundings around;
	char program[PATH_MAX];
	struct volume_mount *mounts[MOUNTS_MAX];
	uint32_t n_mounts;
	struct volume_owner *owners[VOLUME_MAX + 1];
	struct volume_reports *reports[NODE_MAX + 1];
	struct mount_owner addresses[NODE_MAX + 1]; /* cache of this view: only node and address count */
	uint64_t view;
	uint64_t run, run_known; /* highest number given; highest that a majority knows */
	struct tag run_tag;	 /* position at which the state knew `run`; 0: it does not */
	bool killed;		 /* without quorum: nothing is started until this node takes part again */
	bool told_up;		 /* the core knows which can be used */
	bool event_due, report_due;
	uint64_t report_ms;
	struct volume_mark up[VOLUME_MAX]; /* as told */
	uint32_t n_up, n_alive;
	struct gathering gathering;
	struct order_asked asked[CONTROL_CLIENT_MAX];
	struct order_here here[VOLUME_MAX + 1];
	uint64_t next_order;
};

/* This node takes part, and nothing has been ended for want of quorum since. */
bool volumes_take_part(const struct volumes *v);
struct volume_report volumes_report(const struct volumes *v, const struct volume_mount *m, uint64_t now_ms);
/* csvfs-owner of the volume here; NULL: it is not here, or not started yet. */
struct volume_owner *volumes_owner_here(struct volumes *v, uint32_t id);
/* To all members; 0 or negative errno. */
int volumes_send(struct volumes *v, struct message *m);

/* shell_volume_views.c */
void volumes_count_asked(struct volumes *v, uint32_t sender, const struct msg_count *m);
void volumes_counts_came(struct volumes *v, uint32_t sender, const struct msg_counts *m);
void volumes_gather_tick(struct volumes *v, uint64_t now_ms);
void volumes_gather_close(struct volumes *v);

/* shell_volume_orders.c */
void volumes_order_came(struct volumes *v, uint32_t sender, const struct msg_order *m);
void volumes_ordered_came(struct volumes *v, uint32_t sender, const struct msg_ordered *m);
void volumes_orders_tick(struct volumes *v, uint64_t now_ms);
void volumes_orders_close(struct volumes *v);

#endif
