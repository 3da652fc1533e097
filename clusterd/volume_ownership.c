/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Questions to csvfs-owner of a volume that this node owns. */
#include "clusterd/volume_ownership.h"

#include <errno.h>
#include <string.h>

#include "clusterd/io/process.h"
#include "clusterd/log.h"

int owner_init(struct volume_owner *o, qb_loop_t *loop, const char *run_dir, const char *log_file, uint32_t id, uint64_t number,
	       const char *name)
{
	memset(o, 0, sizeof(*o));
	o->loop = loop;
	o->id = id;
	o->number = number;
	return volume_place(&o->place, run_dir, log_file, "owner", name);
}

void owner_note_ended(struct volume_owner *o, uint32_t node, uint64_t run)
{
	if (node && node <= NODE_MAX && run > o->ended[node])
		o->ended[node] = run;
}

/* Another csvfs-owner than before: it has been told nothing. */
static void check_epoch(struct volume_owner *o)
{
	if (o->epoch == o->status.epoch)
		return;
	o->epoch = o->status.epoch;
	memset(o->told, 0, sizeof(o->told));
	memset(o->waiting_ms, 0, sizeof(o->waiting_ms));
}

static void take_status(struct volume_owner *o, const struct vol_status_is *is)
{
	uint64_t now = process_now_ms();

	o->status = *is;
	o->answered_ms = now;
	o->status_known = true;
	check_epoch(o);
	for (uint32_t node = 1; node <= NODE_MAX; node++) {
		if (!nodeset_has(is->waiting_for, node))
			o->waiting_ms[node] = o->reported_ms[node] = 0;
		else if (!o->waiting_ms[node])
			o->waiting_ms[node] = now;
	}
}

static void on_answer(void *user, int error, const struct vol_message *answer)
{
	struct volume_owner *o = user;

	o->question = NULL;
	if (!error && answer->error)
		error = -(int)answer->error;
	if (error) {
		o->status_known = false; /* it may be another one when it answers again */
		return;
	}
	if (o->asked == VOL_STATUS) {
		take_status(o, &answer->status_is);
		return;
	}
	o->told[o->telling_node] = o->telling;
	o->asked_ms = 0; /* what that changes is asked at once */
	log_debug("volume_told_ended", "volume=%u node=%u run=%llu", o->id, o->telling_node, (unsigned long long)o->telling);
}

static void ask(struct volume_owner *o, uint64_t now_ms, const struct vol_message *q)
{
	o->asked = q->type;
	o->asked_ms = now_ms;
	if (volume_client_ask(&o->question, o->loop, o->place.control, q, OWNER_ANSWER_MS, on_answer, o))
		o->question = NULL;
}

/* It is of this epoch for certain only when its status came after the start: so that is asked first. */
static bool tell_ended(struct volume_owner *o, uint64_t now_ms)
{
	struct vol_message q = { .type = VOL_FENCED };

	for (uint32_t node = 1; o->status_known && node <= NODE_MAX; node++) {
		if (o->told[node] >= o->ended[node])
			continue;
		o->telling_node = node;
		o->telling = o->ended[node];
		q.fenced.node = node;
		q.fenced.incarnation = o->telling;
		ask(o, now_ms, &q);
		return true;
	}
	return false;
}

/* Recalls count from when they were sent, csvfs-owner sees to that; a reclaim counts from when the grace was seen. */
static uint32_t find_silent(struct volume_owner *o, uint64_t now_ms, nodeset_t present)
{
	uint64_t limit = OWNER_SLACK_MS + (o->status.grace ? o->recall_ms : 0);

	for (uint32_t node = 1; o->status_known && node <= NODE_MAX; node++) {
		if (!o->waiting_ms[node] || !nodeset_has(present, node) || now_ms - o->waiting_ms[node] < limit ||
		    o->told[node] < o->ended[node] || (o->reported_ms[node] && now_ms - o->reported_ms[node] < OWNER_REPEAT_MS))
			continue;
		o->reported_ms[node] = now_ms;
		return node;
	}
	return 0;
}

uint32_t owner_tick(struct volume_owner *o, uint64_t now_ms, nodeset_t present)
{
	struct vol_message q = { .type = VOL_STATUS };

	if (!o->question && !tell_ended(o, now_ms) && now_ms - o->asked_ms >= OWNER_ASK_MS)
		ask(o, now_ms, &q);
	return find_silent(o, now_ms, present);
}

static void on_ordered(void *user, int error, const struct vol_message *answer)
{
	struct volume_owner *o = user;

	o->order = NULL;
	o->asked_ms = 0; /* what that changes is asked at once */
	o->ordered(o->ordered_user, error, answer);
}

int owner_order(struct volume_owner *o, const struct vol_message *m, uint32_t timeout_ms, volume_client_fn *done, void *user)
{
	if (o->order)
		return -EBUSY;
	o->ordered = done;
	o->ordered_user = user;
	return volume_client_ask(&o->order, o->loop, o->place.control, m, timeout_ms, on_ordered, o);
}

void owner_done(struct volume_owner *o)
{
	volume_client_cancel(o->question);
	o->question = NULL;
	if (!o->order)
		return;
	volume_client_cancel(o->order);
	o->order = NULL;
	o->ordered(o->ordered_user, -ECONNRESET, NULL);
}
