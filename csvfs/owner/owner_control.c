/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The control socket: how it goes, who is fenced, standing still for a snapshot, giving free blocks back. */
#include <errno.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "clock.h"
#include "csvfs/owner/owner.h"

static uint64_t nodes_of(const struct owner *o, const struct session_set *set)
{
	uint64_t nodes = 0;

	for (uint32_t i = session_set_next(set, 0); i < VOL_SESSION_MAX; i = session_set_next(set, i + 1))
		if (o->sessions[i] && o->sessions[i]->node < 64)
			nodes |= (uint64_t)1 << o->sessions[i]->node;
	return nodes;
}

static void status(struct owner *o, struct vol_status_is *s)
{
	struct session_set grace, silent;
	struct grant_counts counts;
	uint32_t sessions = 0, unknown = 0; /* unknown: of records that cannot be read */
	char damaged[100] = "";
	uint64_t now = clock_ms(CLOCK_MONOTONIC);

	pthread_mutex_lock(&o->lock);
	grant_count(o->grants, &counts);
	grant_grace_waits_for(o->grants, &grace);
	grant_silent(o->grants, now > o->options.recall_ms ? now - o->options.recall_ms : 0, &silent);
	for (uint32_t i = 0; i < VOL_SESSION_MAX; i++) {
		sessions += o->sessions[i] != NULL;
		unknown += o->sessions[i] && !o->sessions[i]->id;
	}
	if (unknown)
		snprintf(damaged, sizeof(damaged), "; %u of damaged records, to be given up by \"fenced 0 0\": see csvfs-owner(8)",
			 unknown);
	*s = (struct vol_status_is){
		.state = VOL_DIRECT,
		.reason = VOL_NO_REASON,
		.epoch = o->mount.record.epoch,
		.owner_node = o->options.mount.node,
		.waiting_for = nodes_of(o, &grace) | nodes_of(o, &silent),
		.grace = o->grace,
		.redirected_read = o->counters.read.bytes,
		.redirected_written = o->counters.written.bytes,
		.redirected_ops = o->counters.read.ops + o->counters.written.ops,
		.redirected_read_us = io_latency(&o->counters.read),
		.redirected_write_us = io_latency(&o->counters.written),
		.recalls = counts.recalls,
		.asked = atomic_load(&o->counters.asked),
		.files = counts.files,
		.handles = o->n_handles,
		.device_size = device_size_now(&o->mount.device),
		.frozen_ms = o->frozen ? (uint32_t)(o->frozen_until_ms > now ? o->frozen_until_ms - now : 1) : 0,
	};
	snprintf(s->text, sizeof(s->text), "%u sessions%s%s%s", sessions,
		 o->grace ? ", grace: they reclaim what they had" : "", damaged, o->frozen ? ", frozen" : "");
	pthread_mutex_unlock(&o->lock);
}

/*
 * Everything that is lent comes back; nothing is lent from now on. Not for ever: this thread is the one that is told
 * that a silent node has been fenced.
 */
static int take_all_back(struct owner *o)
{
	struct vol_fid fid;
	uint32_t cursor = 0;
	uint64_t claim;
	bool more;
	int ret;

	for (;;) {
		pthread_mutex_lock(&o->lock);
		more = grant_file_next(o->grants, &cursor, &fid);
		pthread_mutex_unlock(&o->lock);
		if (!more)
			return 0;
		ret = claim_take_all(o, &fid, o->options.recall_ms, &claim);
		if (ret)
			return ret;
		claim_end(o, claim);
	}
}

int owner_thaw(struct owner *o)
{
	bool ours;
	int ret;

	pthread_mutex_lock(&o->lock);
	ours = o->frozen && !o->thawing;
	o->thawing |= ours;
	pthread_mutex_unlock(&o->lock);
	if (!ours)
		return -EINVAL;
	ret = ioctl(o->mount.root_fd, FITHAW, 0) ? -errno : 0;
	pthread_mutex_lock(&o->lock);
	o->frozen = o->thawing = false;
	grant_lend(o->grants, true);
	pthread_cond_broadcast(&o->changed);
	pthread_mutex_unlock(&o->lock);
	return ret;
}

static void not_frozen(struct owner *o)
{
	pthread_mutex_lock(&o->lock);
	o->frozen = false;
	grant_lend(o->grants, true);
	pthread_mutex_unlock(&o->lock);
}

static int freeze(struct owner *o, uint32_t most_ms)
{
	uint64_t until_ms = clock_ms(CLOCK_MONOTONIC) + most_ms;
	bool refuse;
	int ret;

	if (!most_ms || most_ms > FREEZE_MAX_MS)
		return -ERANGE;
	pthread_mutex_lock(&o->lock);
	refuse = o->frozen || o->grace || o->stopping || o->job.running;
	if (!refuse) {
		o->frozen = true;
		o->frozen_until_ms = until_ms;
		grant_lend(o->grants, false);
	}
	pthread_mutex_unlock(&o->lock);
	if (refuse)
		return -EBUSY;
	ret = take_all_back(o);
	if (!ret && ioctl(o->mount.root_fd, FIFREEZE, 0))
		ret = -errno;
	if (ret)
		not_frozen(o);
	else if (owner_freeze_until(o, until_ms)) {
		owner_thaw(o);
		ret = -ENOMEM;
	}
	return ret;
}

void owner_control(void *user, const struct vol_message *question, struct vol_message *answer)
{
	struct owner *o = user;
	int ret = 0;

	switch (question->type) {
	case VOL_STATUS:
		status(o, &answer->status_is);
		break;
	case VOL_FENCED:
		session_fenced(o, question->fenced.node, question->fenced.incarnation);
		break;
	case VOL_FREEZE:
		ret = question->freeze.on ? freeze(o, question->freeze.most_ms) : owner_thaw(o);
		break;
	case VOL_JOB:
		ret = owner_job_start(o, question->job.kind);
		break;
	case VOL_JOB_STATUS:
		owner_job_status(o, &answer->job_is);
		break;
	default:
		ret = -EOPNOTSUPP;
		break;
	}
	answer->error = (uint32_t)-ret;
}
