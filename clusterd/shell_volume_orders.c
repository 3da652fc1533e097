/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an administrator wants of a volume's file system: freeze, thaw, trim, grow, check. Said to any node, done by the
 * one that owns the volume.
 *
 *   CTL_VOLUME_ORDER --MSG_ORDER--> owner's clusterd --VOL_FREEZE, or VOL_JOB and then VOL_JOB_STATUS--> csvfs-owner
 *        answer     <--MSG_ORDERED (more: progress)--'
 *
 * An owner that is lost, or ends, ends its orders; what it may have done is said to be unknown.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "clusterd/core/node.h"
#include "clusterd/core/state.h"
#include "clusterd/core/volume_use.h"
#include "clusterd/log.h"
#include "clusterd/shell_volumes.h"
#include "text.h"

#define FREEZE_ANSWER_MS 55000 /* every lease comes back before it is answered */
#define JOB_ANSWER_MS 10000
#define JOB_LOOK_MS 1000
#define SAID_SIZE (4 * TEXT_SIZE)
#define ORDER_SILENT_MS (FREEZE_ANSWER_MS + 5000) /* an owner that says nothing for so long is given up */

static bool is_job(uint8_t order)
{
	return order >= VOLUME_TRIM;
}

static const char *order_text(uint8_t order)
{
	return enum_text(enum_values_volume_order, order);
}

/* --- the node that was asked --- */

static void asked_end(struct volumes *v, struct order_asked *a, enum refusal refusal, const char *text)
{
	uint32_t conn = a->conn;

	a->until_ms = 0;
	shell_control_answer(v->shell, conn, refusal, text);
}

void volumes_ordered_came(struct volumes *v, uint32_t sender, const struct msg_ordered *m)
{
	char text[SAID_SIZE];

	text_copy_n(text, sizeof(text), (const char *)m->text.data, m->text.len);
	for (size_t i = 0; m->to == v->shell->self && i < ARRAY_SIZE(v->asked); i++) {
		struct order_asked *a = &v->asked[i];

		if (!a->until_ms || a->asked != m->asked || a->node != sender)
			continue;
		a->until_ms = watchdog_now_ms() + ORDER_SILENT_MS;
		if (m->more)
			shell_control_part(v->shell, a->conn, text);
		else
			asked_end(v, a, m->refusal, text);
		return;
	}
}

/* Of owners that will not answer any more. */
static void asked_tick(struct volumes *v, uint64_t now_ms)
{
	const struct state *s = core_state(v->shell->core);
	char text[2 * TEXT_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(v->asked); i++) {
		struct order_asked *a = &v->asked[i];

		if (!a->until_ms || (now_ms < a->until_ms && nodeset_has(nodes_in(s, NODE_ONLINE), a->node)))
			continue;
		snprintf(text, sizeof(text),
			 "volume %s: its owner %s was lost, or does not answer: whether it has done so is not known; "
			 "see "
			 "'clusterctl volume state %s'",
			 a->volume, state_name(s, KIND_NODE, a->node), a->volume);
		asked_end(v, a, REFUSED_UNKNOWN_OUTCOME, text);
	}
}

static struct order_asked *asked_new(struct volumes *v)
{
	for (size_t i = 0; i < ARRAY_SIZE(v->asked); i++)
		if (!v->asked[i].until_ms)
			return &v->asked[i];
	return NULL;
}

/* Grown on the owner, a file's new blocks would be out of reach of a node that does not know the device's new size. */
static bool sizes_differ(struct volumes *v, const struct volume *volume, char *text, size_t size)
{
	const struct state *s = core_state(v->shell->core);
	uint64_t most = 0;
	uint32_t small = 0;

	for (int pass = 0; pass < 2; pass++)
		for (uint32_t node = 1; node <= s->high[KIND_NODE]; node++) {
			const struct volume_report *r =
				report_find(v->reports[node], volume->object.id, volume->number);

			if (!state_node(s, node) || s->nodes[node].state != NODE_ONLINE || !r || !r->device_size)
				continue;
			if (r->device_size > most)
				most = r->device_size;
			if (pass && r->device_size < most)
				small = node;
		}
	if (small)
		snprintf(text, size,
			 "volume %s: node %s knows less of %s than others do: have its kernel look at the device again "
			 "there, for "
			 "example 'echo 1 >/sys/class/block/NAME/device/rescan', and 'multipathd resize map NAME' for "
			 "a multipath map; "
			 "'clusterctl volume state %s' shows the sizes",
			 volume->name, s->nodes[small].name, volume->device, volume->name);
	return small;
}

void shell_volumes_order(struct shell *s, uint32_t conn, const struct msg_ctl_volume_order *m)
{
	const struct state *state = core_state(s->core);
	uint32_t id = state_find(state, KIND_VOLUME, m->volume), owner = id ? volume_owner(state, id) : 0;
	struct order_asked *a = asked_new(s->volumes);
	struct message out = { .type = MSG_ORDER };
	char text[SAID_SIZE];

	if (!id || m->order < VOLUME_FREEZE || m->order > VOLUME_CHECK) {
		shell_control_answer(s, conn, id ? REFUSED_BAD_REQUEST : REFUSED_NOT_FOUND,
				     id ? "there is no such order" : "there is no volume of that name");
		return;
	}
	if (!owner || !a) {
		snprintf(text, sizeof(text),
			 "volume %s: it has no owner now, which would have to do it: 'clusterctl why %s%s' tells why",
			 m->volume, VOLUME_ROLE_PREFIX, m->volume);
		shell_control_answer(s, conn, owner ? REFUSED_BUSY : REFUSED_STATE,
				     owner ? refusal_text(REFUSED_BUSY) : text);
		return;
	}
	if (m->order == VOLUME_GROW && sizes_differ(s->volumes, &state->volumes[id], text, sizeof(text))) {
		shell_control_answer(s, conn, REFUSED_STATE, text);
		return;
	}
	s->volumes->next_order = s->volumes->next_order ? s->volumes->next_order + 1 : core_incarnation(s->core);
	out.order = (struct msg_order){ .to = owner,
					.asked = s->volumes->next_order,
					.volume = id,
					.number = state->volumes[id].number,
					.order = m->order,
					.most_ms = m->most_ms };
	*a = (struct order_asked){ .asked = out.order.asked,
				   .until_ms = watchdog_now_ms() + ORDER_SILENT_MS,
				   .conn = conn,
				   .node = owner,
				   .order = m->order };
	text_copy(a->volume, sizeof(a->volume), m->volume);
	if (volumes_send(s->volumes, &out))
		asked_end(s->volumes, a, REFUSED_BUSY, "the cluster takes no messages now; try again");
}

/* --- the owner --- */

static void say(struct volumes *v, uint32_t to, uint64_t asked, bool more, enum refusal refusal, const char *text)
{
	struct message m = { .type = MSG_ORDERED };

	m.ordered.to = to;
	m.ordered.asked = asked;
	m.ordered.more = more;
	m.ordered.refusal = (uint16_t)refusal;
	m.ordered.text = (struct span){ (const uint8_t *)text, strlen(text) };
	volumes_send(v, &m);
}

static void here_end(struct order_here *h, enum refusal refusal, const char *text)
{
	struct volumes *v = h->volumes;

	log_notice("volume_order", "volume=%s order=%s result=%s text=%s",
		   state_name(core_state(v->shell->core), KIND_VOLUME, h->volume), order_text(h->order),
		   refusal_name(refusal), log_quote(text));
	say(v, h->to, h->asked, false, refusal, text);
	h->volume = 0;
}

static const char *volume_name(const struct order_here *h)
{
	return state_name(core_state(h->volumes->shell->core), KIND_VOLUME, h->volume);
}

static void here_refuse(struct order_here *h, int error)
{
	const char *name = volume_name(h);
	char text[SAID_SIZE];

	if (error == -ECONNRESET || error == -ENOENT || error == -ECONNREFUSED)
		snprintf(text, sizeof(text),
			 "volume %s: its owner has ended meanwhile; see 'clusterctl volume state %s'", name, name);
	else if (error == -EBUSY)
		snprintf(text, sizeof(text),
			 "volume %s: it stands still, or its nodes are coming back to a new owner, or a trim, grow or "
			 "check is under way; "
			 "see 'clusterctl volume state'",
			 name);
	else if (error == -EINVAL && h->order == VOLUME_THAW)
		snprintf(text, sizeof(text),
			 "volume %s: it does not stand still (any more): its time was over, or its owner changed. A "
			 "snapshot "
			 "taken meanwhile may not be consistent",
			 name);
	else if (error == -ETIMEDOUT && h->order == VOLUME_FREEZE)
		snprintf(text, sizeof(text),
			 "volume %s: a node did not give back in time what it may write directly; try again", name);
	else
		snprintf(text, sizeof(text), "volume %s: %s: %s", name, order_text(h->order), strerror(-error));
	here_end(h, error == -EBUSY ? REFUSED_BUSY : error == -EINVAL ? REFUSED_STATE : REFUSED_IO, text);
}

static void freeze_done(struct order_here *h)
{
	const struct volumes *v = h->volumes;
	const char *name = volume_name(h);
	char text[SAID_SIZE];

	if (h->order == VOLUME_THAW)
		snprintf(text, sizeof(text), "volume %s: its file system goes on", name);
	else
		snprintf(text, sizeof(text),
			 "volume %s: its file system stands still, on its owner %s, for %u s at most; writes of all "
			 "nodes wait. "
			 "'clusterctl volume thaw %s' lets it go on",
			 name, v->shell->node_name, h->most_ms / MS_PER_SECOND, name);
	here_end(h, REFUSED_NOT, text);
}

static void job_failed(struct order_here *h, const struct vol_job_is *is)
{
	char text[SAID_SIZE];

	if (is->failed == ECANCELED)
		snprintf(text, sizeof(text), "volume %s: %s: its owner ended before it", volume_name(h),
			 order_text(h->order));
	else
		snprintf(text, sizeof(text), "volume %s: %s", volume_name(h),
			 *is->text ? is->text : strerror((int)is->failed));
	here_end(h, REFUSED_IO, text);
}

static void job_done(struct order_here *h, const struct vol_job_is *is)
{
	const char *name = volume_name(h);
	char text[SAID_SIZE];

	if (h->order == VOLUME_TRIM)
		snprintf(text, sizeof(text), "volume %s: %llu bytes were given back to the device", name,
			 (unsigned long long)is->value);
	else if (h->order == VOLUME_GROW)
		snprintf(text, sizeof(text), "volume %s: its file system has %llu bytes now", name,
			 (unsigned long long)is->value);
	else
		snprintf(text, sizeof(text), "volume %s: %s", name, is->text);
	here_end(h, REFUSED_NOT, text);
}

static void job_look(struct order_here *h, const struct vol_job_is *is)
{
	char text[SAID_SIZE];

	if (!is->running) {
		if (is->failed)
			job_failed(h, is);
		else
			job_done(h, is);
		return;
	}
	h->next_ms = watchdog_now_ms() + JOB_LOOK_MS;
	snprintf(text, sizeof(text), "%s: %llu %%\n", order_text(h->order),
		 (unsigned long long)(is->total ? is->done / (is->total / 100 + 1) : 0));
	say(h->volumes, h->to, h->asked, true, REFUSED_NOT, text);
}

static void on_owner(void *user, int error, const struct vol_message *answer)
{
	struct order_here *h = user;

	if (!error && answer->error)
		error = -(int)answer->error;
	if (error)
		here_refuse(h, error);
	else if (!is_job(h->order))
		freeze_done(h);
	else if (answer->type == VOL_JOB_IS)
		job_look(h, &answer->job_is);
	else
		h->next_ms = watchdog_now_ms() + 1; /* it has begun */
}

static void ask_owner(struct order_here *h, struct volume_owner *o)
{
	static const uint8_t kinds[] = {
		[VOLUME_TRIM] = VOL_JOB_TRIM, [VOLUME_GROW] = VOL_JOB_GROW, [VOLUME_CHECK] = VOL_JOB_CHECK
	};
	struct vol_message q = { .type = VOL_FREEZE };
	int error;

	if (h->job) {
		q.type = VOL_JOB_STATUS;
	} else if (is_job(h->order)) {
		q.type = VOL_JOB;
		q.job.kind = kinds[h->order];
		h->job = true;
	} else if (h->order == VOLUME_FREEZE) {
		q.freeze = (struct vol_freeze){ .on = 1, .most_ms = h->most_ms };
	}
	h->next_ms = 0;
	error = owner_order(o, &q, is_job(h->order) ? JOB_ANSWER_MS : FREEZE_ANSWER_MS, on_owner, h);
	if (error)
		here_refuse(h, error);
}

void volumes_order_came(struct volumes *v, uint32_t sender, const struct msg_order *m)
{
	const struct volume *volume = state_volume(core_state(v->shell->core), m->volume);
	struct order_here *h = m->volume <= VOLUME_MAX ? &v->here[m->volume] : NULL;
	struct volume_owner *o = volume && volume->number == m->number ? volumes_owner_here(v, m->volume) : NULL;

	if (m->to != v->shell->self)
		return;
	if (!o || !h || m->order < VOLUME_FREEZE || m->order > VOLUME_CHECK) {
		say(v, sender, m->asked, false, REFUSED_STATE,
		    "its owner is another one now, or is being started: try again");
		return;
	}
	if (h->volume) {
		say(v, sender, m->asked, false, REFUSED_BUSY,
		    "another order for this volume is under way: try again when it has ended");
		return;
	}
	*h = (struct order_here){ .volumes = v,
				  .volume = m->volume,
				  .to = sender,
				  .asked = m->asked,
				  .most_ms = m->most_ms,
				  .order = m->order };
	ask_owner(h, o);
}

/* Jobs are looked after; one whose owner is gone has ended with it. */
static void here_tick(struct volumes *v, uint64_t now_ms)
{
	for (uint32_t id = 1; id <= VOLUME_MAX; id++) {
		struct order_here *h = &v->here[id];

		if (!h->volume || !h->next_ms || now_ms < h->next_ms)
			continue;
		if (v->owners[id])
			ask_owner(h, v->owners[id]);
		else
			here_refuse(h, -ECONNRESET);
	}
}

void volumes_orders_tick(struct volumes *v, uint64_t now_ms)
{
	asked_tick(v, now_ms);
	here_tick(v, now_ms);
}

void volumes_orders_close(struct volumes *v)
{
	for (size_t i = 0; i < ARRAY_SIZE(v->asked); i++)
		if (v->asked[i].until_ms)
			asked_end(v, &v->asked[i], REFUSED_UNKNOWN_OUTCOME, "clusterd on this node is ending");
}
