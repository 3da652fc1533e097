/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The quorum device: corosync's votequorum counts the device's votes on a node exactly when this node's clusterd says so.
 * A vote names the totem ring it is for, and only the ring of the view it was given for is ever named.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "clusterd/io/ring_private.h"

#define DEVICE_POLL_DIVISOR 3  /* polls per quorum.device.timeout */
#define DEVICE_AGAIN_MS 20     /* pause after TRY_AGAIN */

static void on_device_timer(void *data)
{
	struct ring *r = data;

	r->device_timer = 0;
	ring_device_poll(r);
}

static void device_later(struct ring *r, uint64_t ms)
{
	if (r->device_timer)
		qb_loop_timer_del(r->loop, r->device_timer);
	r->device_timer = 0;
	qb_loop_timer_add(r->loop, QB_LOOP_HIGH, ms * QB_TIME_NS_IN_MSEC, r, on_device_timer, &r->device_timer);
}

void ring_device_poll(struct ring *r)
{
	votequorum_ring_id_t id = { .nodeid = r->vq_ring.node, .seq = r->vq_ring.seq };
	bool vote = r->vote && ring_id_equal(r->view_ring, r->vq_ring);
	cs_error_t e;

	if (!r->vq || !r->info.device || !r->vq_ring_known)
		return;
	if (!r->device_registered) {
		r->device_registered = votequorum_qdevice_register(r->vq, RING_DEVICE_NAME) == CS_OK;
		if (!r->device_registered) {
			device_later(r, DEVICE_AGAIN_MS);
			return;
		}
	}
	e = votequorum_qdevice_poll(r->vq, RING_DEVICE_NAME, vote, id);
	/* CS_ERR_MESSAGE_ERROR: the ring is not the present one any more; its notification is on the way */
	device_later(r, e == CS_ERR_TRY_AGAIN ? DEVICE_AGAIN_MS : r->device_timeout_ms / DEVICE_POLL_DIVISOR);
}

static struct ring *ring_of(votequorum_handle_t handle)
{
	void *ctx = NULL;

	return votequorum_context_get(handle, &ctx) == CS_OK ? ctx : NULL;
}

static void on_quorum(votequorum_handle_t handle, uint64_t context, uint32_t quorate, uint32_t n,
		      votequorum_node_t nodes[])
{
	struct ring *r = ring_of(handle);
	bool changed;

	(void)context;
	(void)n;
	(void)nodes;
	if (!r)
		return;
	changed = r->votequorum != !!quorate;
	r->votequorum = !!quorate;
	if (changed)
		r->handlers.on_votequorum(r->ctx, quorate);
}

/* corosync's sync waits for this poll: until it, no node of the ring can send. */
static void on_nodelist(votequorum_handle_t handle, uint64_t context, votequorum_ring_id_t id, uint32_t n, uint32_t nodes[])
{
	struct ring *r = ring_of(handle);

	(void)context;
	(void)n;
	(void)nodes;
	if (!r)
		return;
	r->vq_ring = (struct ring_id){ .node = id.nodeid, .seq = id.seq };
	r->vq_ring_known = true;
	ring_device_poll(r);
}

static int32_t on_vq_readable(int32_t fd, int32_t revents, void *data)
{
	struct ring *r = data;
	uint64_t connection = r->connection;
	cs_error_t e = votequorum_dispatch(r->vq, CS_DISPATCH_ALL);

	(void)fd;
	if (r->connection != connection)
		return 0;
	if ((e != CS_OK && e != CS_ERR_TRY_AGAIN) || revents & (POLLHUP | POLLERR | POLLNVAL)) {
		ring_lost(r, -ENOTCONN);
		return -1;
	}
	return 0;
}

void ring_device_open(struct ring *r)
{
	votequorum_callbacks_t callbacks = {
		.votequorum_quorum_notify_fn = on_quorum,
		.votequorum_nodelist_notify_fn = on_nodelist,
	};
	cs_error_t e = votequorum_initialize(&r->vq, &callbacks);

	if (e != CS_OK) {
		r->vq = 0;
		return;
	}
	votequorum_context_set(r->vq, r);
	/* before tracking starts: the first nodelist is answered with a poll */
	if (r->info.device)
		r->device_registered = votequorum_qdevice_register(r->vq, RING_DEVICE_NAME) == CS_OK;
	if (votequorum_fd_get(r->vq, &r->vq_fd) != CS_OK ||
	    qb_loop_poll_add(r->loop, QB_LOOP_HIGH, r->vq_fd, POLLIN, r, on_vq_readable)) {
		r->vq_fd = -1;
		ring_device_done(r);
		return;
	}
	if (votequorum_trackstart(r->vq, 0, CS_TRACK_CHANGES | CS_TRACK_CURRENT) != CS_OK)
		ring_device_done(r);
}

void ring_device_done(struct ring *r)
{
	if (r->device_timer)
		qb_loop_timer_del(r->loop, r->device_timer);
	if (r->vq_fd >= 0)
		qb_loop_poll_del(r->loop, r->vq_fd);
	if (r->vq)
		votequorum_finalize(r->vq);
	r->device_timer = 0;
	r->vq = 0;
	r->vq_fd = -1;
	r->vq_ring_known = r->device_registered = r->vote = false;
	r->votequorum = -1;
}

/* At an orderly end: votequorum drops the vote at once instead of after quorum.device.timeout. */
void ring_device_unregister(struct ring *r)
{
	r->vote = false;
	if (r->device_registered)
		votequorum_qdevice_unregister(r->vq, RING_DEVICE_NAME);
	r->device_registered = false;
	r->vq_ring_known = false;
}

int ring_vote(struct ring *r, bool quorate)
{
	if (!r->info.device)
		return -ENOTSUP;
	if (r->state != RING_IN)
		return -ENOTCONN;
	if (r->vote == quorate)
		return 0;
	r->vote = quorate;
	ring_device_poll(r);
	return 0;
}
