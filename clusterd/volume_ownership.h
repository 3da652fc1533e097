/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A volume that this node owns, as clusterd looks after its csvfs-owner beside the agent's start, stop and monitor: tells it
 * which runs of csvfs are proven to have ended [I6], and hears from it who does not answer.
 */
#ifndef CLUSTERD_VOLUME_OWNERSHIP_H
#define CLUSTERD_VOLUME_OWNERSHIP_H

#include <qb/qbloop.h>

#include "clusterd/io/volume_client.h"
#include "csvfs/io/volume_process.h"

#define OWNER_ASK_MS 1000
#define OWNER_ANSWER_MS 3000
#define OWNER_SLACK_MS 2000    /* beyond the recall's time, before a node is reported */
#define OWNER_REPEAT_MS 10000  /* a node that is still silent is reported again */

struct volume_owner {
	qb_loop_t *loop;
	uint32_t id, recall_ms;
	uint64_t number, answered_ms; /* answered_ms: when `status` came */
	bool status_known, frozen_told;
	struct vol_status_is status;
	/* Runs of csvfs on each node up to this one have ended: what is known, and what csvfs-owner has been told. */
	uint64_t ended[NODE_MAX + 1], told[NODE_MAX + 1];
	/* volume_ownership.c's own */
	struct volume_place place;
	struct volume_question *question;
	uint16_t asked;
	uint32_t telling_node;
	uint64_t telling, asked_ms, epoch;
	uint64_t waiting_ms[NODE_MAX + 1], reported_ms[NODE_MAX + 1];
	struct volume_question *order;
	volume_client_fn *ordered;
	void *ordered_user;
};

/* name: that under which the agent started it. -EINVAL, -ENAMETOOLONG. */
int owner_init(struct volume_owner *o, qb_loop_t *loop, const char *run_dir, const char *log_file, uint32_t id, uint64_t number,
	       const char *name);
/* The run and all before it on that node have ended: proven. */
void owner_note_ended(struct volume_owner *o, uint32_t node, uint64_t run);
/*
 * Asks and tells what is due. Returns a node that has kept a recall, or its reclaim, unanswered for too long, and is one of
 * `present`; 0: none.
 */
uint32_t owner_tick(struct volume_owner *o, uint64_t now_ms, nodeset_t present);
/*
 * VOL_FREEZE, VOL_JOB or VOL_JOB_STATUS, for an administrator. 0: `done` comes once, not from within; -ECONNRESET: this node owns
 * the volume no longer. -EBUSY: another one is under way.
 */
int owner_order(struct volume_owner *o, const struct vol_message *m, uint32_t timeout_ms, volume_client_fn *done, void *user);
void owner_done(struct volume_owner *o);

#endif
