/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ring on corosync: connection, views in the order of CPG, sending with a bounded queue. */
#include "clusterd/io/ring_private.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clusterd/io/ring.h"
#include "text.h"

#define RING_DISPATCH_BUDGET 64 /* deliveries before other sources of the loop get their turn */

/*
 *   DOWN --connect, join--> JOINING --own join delivered--> IN --ring_leave--> LEFT
 *     ^-----------------------------corosync gone (any state)------------------'
 */

int ring_errno(cs_error_t e)
{
	switch (e) {
	case CS_OK:
		return 0;
	case CS_ERR_TRY_AGAIN:
	case CS_ERR_QUEUE_FULL:
		return -EAGAIN;
	case CS_ERR_INVALID_PARAM:
		return -EINVAL;
	case CS_ERR_ACCESS:
	case CS_ERR_SECURITY:
		return -EACCES;
	case CS_ERR_NO_MEMORY:
	case CS_ERR_NO_RESOURCES:
		return -ENOMEM;
	case CS_ERR_NOT_EXIST:
		return -ENOENT;
	case CS_ERR_EXIST:
		return -EEXIST;
	case CS_ERR_NOT_SUPPORTED:
		return -ENOTSUP;
	case CS_ERR_TOO_BIG:
		return -EMSGSIZE;
	case CS_ERR_TIMEOUT:
		return -ETIMEDOUT;
	case CS_ERR_LIBRARY:
	case CS_ERR_BAD_HANDLE:
		return -ENOTCONN;
	default:
		return -EIO;
	}
}

static uint64_t mix(uint64_t h)
{
	h ^= h >> 33;
	h *= 0xff51afd7ed558ccdULL;
	h ^= h >> 33;
	h *= 0xc4ceb9fe1a85ec53ULL;
	return h ^ h >> 33;
}

static uint64_t view_number(const struct ring *r)
{
	uint64_t h = 0;

	for (uint32_t id = 1; id <= NODE_MAX; id++)
		if (nodeset_has(r->view.members, id))
			h = mix(h ^ ((uint64_t)id << 32 | r->pids[id]));
	return r->totem.seq << 24 | (h & 0xffffff);
}

/* Hands the collected changes to the caller, once both the process list and the totem ring they belong to are known. */
static void view_emit(struct ring *r)
{
	struct ring_view view;

	if (!r->view_pending || !r->totem_known || r->totem_awaited || !nodeset_has(r->view.members, r->info.self))
		return;
	r->view.ring_node = r->totem.node;
	r->view.ring_seq = r->totem.seq;
	r->view.number = view_number(r);
	if (!ring_id_equal(r->view_ring, r->totem) || r->view.leave || r->view.procdown || r->view.nodedown)
		r->vote = false;
	r->view_ring = r->totem;
	r->view_pending = false;
	r->state = RING_IN;
	view = r->view;
	r->view.joined = r->view.leave = r->view.nodedown = r->view.procdown = 0;
	ring_device_poll(r);
	r->handlers.on_view(r->ctx, &view);
}

static void member_left(struct ring *r, const struct cpg_address *a)
{
	if (a->nodeid < 1 || a->nodeid > NODE_MAX || r->pids[a->nodeid] != a->pid)
		return;
	r->pids[a->nodeid] = 0;
	r->view.members &= ~NODE_BIT(a->nodeid);
	r->view.joined &= ~NODE_BIT(a->nodeid);
	if (a->reason == CPG_REASON_LEAVE)
		r->view.leave |= NODE_BIT(a->nodeid);
	else if (a->reason == CPG_REASON_PROCDOWN)
		r->view.procdown |= NODE_BIT(a->nodeid);
	else
		r->view.nodedown |= NODE_BIT(a->nodeid);
}

static void member_joined(struct ring *r, const struct cpg_address *a)
{
	if (a->nodeid < 1 || a->nodeid > NODE_MAX || r->pids[a->nodeid])
		return;
	r->pids[a->nodeid] = a->pid;
	r->view.members |= NODE_BIT(a->nodeid);
	r->view.joined |= NODE_BIT(a->nodeid);
}

static struct ring *ring_of(cpg_handle_t handle)
{
	void *ctx = NULL;

	return cpg_context_get(handle, &ctx) == CS_OK ? ctx : NULL;
}

/* CPG tells a change of nodes before it tells the new totem ring, and a change of processes without one. */
static void on_confchg(cpg_handle_t handle, const struct cpg_name *group, const struct cpg_address *members, size_t n,
		       const struct cpg_address *left, size_t n_left, const struct cpg_address *joined, size_t n_joined)
{
	struct ring *r = ring_of(handle);

	(void)group;
	if (!r || r->state == RING_LEFT)
		return;
	for (size_t i = 0; i < n_left; i++) {
		member_left(r, &left[i]);
		if (left[i].reason == CPG_REASON_NODEDOWN)
			r->totem_awaited = true;
	}
	for (size_t i = 0; i < n_joined; i++)
		if (joined[i].reason == CPG_REASON_NODEUP)
			r->totem_awaited = true;
	/* the whole list: the first one after our own join names those who were there */
	for (size_t i = 0; i < n; i++)
		member_joined(r, &members[i]);
	r->view_pending = true;
	view_emit(r);
}

static void on_totem(cpg_handle_t handle, struct cpg_ring_id id, uint32_t n, const uint32_t *list)
{
	struct ring *r = ring_of(handle);
	struct ring_id before;

	(void)n;
	(void)list;
	if (!r)
		return;
	before = r->totem;
	r->totem = (struct ring_id){ .node = id.nodeid, .seq = id.seq };
	if (!r->view_pending && r->totem_known && ring_id_equal(r->view_ring, before)) {
		/* nodes without a clusterd came or went: the view, and so its vote, stays */
		r->view_ring = r->totem;
		ring_device_poll(r);
	}
	r->totem_known = true;
	r->totem_awaited = false;
	view_emit(r);
}

static void on_deliver(cpg_handle_t handle, const struct cpg_name *group, uint32_t node, uint32_t pid, void *data,
		       size_t len)
{
	struct ring *r = ring_of(handle);

	(void)group;
	if (!r || r->state != RING_IN || node < 1 || node > NODE_MAX || r->pids[node] != pid)
		return;
	r->handlers.on_message(r->ctx, node, data, len);
}

static void queue_clear(struct ring *r)
{
	while (r->queued) {
		free(r->queue[r->queue_head].data);
		r->queue_head = (r->queue_head + 1) % RING_QUEUE_MAX;
		r->queued--;
	}
	r->queued_bytes = 0;
}

static void timer_stop(struct ring *r, qb_loop_timer_handle *timer)
{
	if (*timer)
		qb_loop_timer_del(r->loop, *timer);
	*timer = 0;
}

static void connect_later(struct ring *r);

static void disconnect(struct ring *r)
{
	timer_stop(r, &r->retry_timer);
	ring_device_done(r);
	if (r->cpg_fd >= 0)
		qb_loop_poll_del(r->loop, r->cpg_fd);
	if (r->cpg)
		cpg_finalize(r->cpg);
	ring_cmap_done(r);
	queue_clear(r);
	r->cpg = 0;
	r->cpg_fd = -1;
	r->totem_known = r->totem_awaited = r->view_pending = false;
	r->vote = false;
	memset(&r->view, 0, sizeof(r->view));
	memset(r->pids, 0, sizeof(r->pids));
	r->state = RING_DOWN;
}

void ring_lost(struct ring *r, int error)
{
	bool told = r->ready;

	disconnect(r);
	r->ready = false;
	connect_later(r);
	if (told)
		r->handlers.on_lost(r->ctx, error);
}

static int queue_flush(struct ring *r);

static void on_retry(void *data)
{
	struct ring *r = data;
	int error;

	r->retry_timer = 0;
	error = queue_flush(r);
	if (error)
		ring_lost(r, error);
}

static int mcast(struct ring *r, const void *data, size_t len)
{
	struct iovec v = { .iov_base = (void *)(uintptr_t)data, .iov_len = len };

	return ring_errno(cpg_mcast_joined(r->cpg, CPG_TYPE_AGREED, &v, 1));
}

static int queue_flush(struct ring *r)
{
	while (r->queued && r->state == RING_IN) {
		struct ring_queued *q = &r->queue[r->queue_head];
		int error = mcast(r, q->data, q->len);

		if (error == -EAGAIN) {
			if (!r->retry_timer)
				qb_loop_timer_add(r->loop, QB_LOOP_HIGH, RING_RETRY_MS * QB_TIME_NS_IN_MSEC, r, on_retry,
						  &r->retry_timer);
			return 0;
		}
		if (error)
			return error;
		free(q->data);
		r->queued_bytes -= q->len;
		r->queue_head = (r->queue_head + 1) % RING_QUEUE_MAX;
		r->queued--;
	}
	return 0;
}

static int32_t on_cpg_readable(int32_t fd, int32_t revents, void *data)
{
	struct ring *r = data;
	uint64_t connection = r->connection;
	cs_error_t e = CS_OK;
	int error;

	(void)fd;
	for (unsigned int i = 0; e == CS_OK && i < RING_DISPATCH_BUDGET; i++) {
		e = cpg_dispatch(r->cpg, CS_DISPATCH_ONE_NONBLOCKING);
		if (r->connection != connection)
			return 0; /* a callback started over */
	}
	error = e == CS_ERR_TRY_AGAIN || e == CS_OK ? queue_flush(r) : ring_errno(e);
	if (!error && revents & (POLLHUP | POLLERR | POLLNVAL))
		error = -ENOTCONN;
	if (error) {
		ring_lost(r, error);
		return -1;
	}
	return 0;
}

static struct cpg_name group_name(const struct ring *r)
{
	struct cpg_name name;
	int n = snprintf(name.value, sizeof(name.value), "clusterd:%s",
			 r->cluster_name[0] ? r->cluster_name : r->info.cluster_name);

	name.length = (size_t)n;
	return name;
}

static int group_join(struct ring *r)
{
	struct cpg_name name = group_name(r);

	return ring_errno(cpg_join(r->cpg, &name));
}

static int connect_cpg(struct ring *r)
{
	cpg_model_v1_data_t model = {
		.model = CPG_MODEL_V1,
		.cpg_deliver_fn = on_deliver,
		.cpg_confchg_fn = on_confchg,
		.cpg_totem_confchg_fn = on_totem,
		.flags = CPG_MODEL_V1_DELIVER_INITIAL_TOTEM_CONF,
	};
	int error = ring_errno(cpg_model_initialize(&r->cpg, CPG_MODEL_V1, (cpg_model_data_t *)&model, r));
	unsigned int self;

	if (error) {
		r->cpg = 0;
		return error;
	}
	error = ring_errno(cpg_local_get(r->cpg, &self));
	if (!error)
		error = ring_errno(cpg_fd_get(r->cpg, &r->cpg_fd));
	if (error)
		return error;
	if (self < 1 || self > NODE_MAX)
		return -ERANGE;
	r->info.self = self;
	return qb_loop_poll_add(r->loop, QB_LOOP_HIGH, r->cpg_fd, POLLIN, r, on_cpg_readable);
}

static void on_connect_timer(void *data)
{
	struct ring *r = data;
	int error = 0;

	r->connect_timer = 0;
	if (r->state == RING_DOWN) {
		error = ring_cmap_read(r);
		if (!error)
			error = connect_cpg(r);
		if (!error)
			r->state = RING_CONNECTED;
	}
	if (!error && r->state == RING_CONNECTED) {
		error = group_join(r);
		if (!error)
			r->state = RING_JOINING;
	}
	if (error == -EAGAIN && r->state == RING_CONNECTED) {
		connect_later(r); /* a membership change is under way: only the join is to be repeated */
		return;
	}
	if (error) {
		disconnect(r);
		connect_later(r);
		if (r->connect_error != error)
			r->handlers.on_unreachable(r->ctx, error);
		r->connect_error = error;
		return;
	}
	r->connect_error = 0;
	r->connection++;
	r->ready = true;
	ring_device_open(r);
	r->handlers.on_ready(r->ctx);
}

static void connect_later(struct ring *r)
{
	uint64_t ms = r->state == RING_CONNECTED ? RING_RETRY_MS : RING_RECONNECT_MS;

	if (!r->connect_timer)
		qb_loop_timer_add(r->loop, QB_LOOP_MED, ms * QB_TIME_NS_IN_MSEC, r, on_connect_timer, &r->connect_timer);
}

int ring_new(struct ring **ret_ring, qb_loop_t *loop, const char *cluster_name, const struct ring_handlers *handlers,
	     void *ctx)
{
	struct ring *r;
	int error;

	if (cluster_name && strlen(cluster_name) >= NAME_SIZE)
		return -ENAMETOOLONG;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->loop = loop;
	r->handlers = *handlers;
	r->ctx = ctx;
	r->cpg_fd = r->vq_fd = -1;
	r->votequorum = -1;
	text_copy(r->cluster_name, sizeof(r->cluster_name), cluster_name);
	error = qb_loop_timer_add(loop, QB_LOOP_MED, 0, r, on_connect_timer, &r->connect_timer);
	if (error) {
		free(r);
		return error;
	}
	*ret_ring = r;
	return 0;
}

int ring_leave(struct ring *r)
{
	struct cpg_name name = group_name(r);

	if (r->state != RING_IN && r->state != RING_JOINING)
		return -ENOTCONN;
	ring_device_unregister(r);
	queue_flush(r);
	queue_clear(r);
	r->state = RING_LEFT;
	return ring_errno(cpg_leave(r->cpg, &name));
}

void ring_free(struct ring *r)
{
	if (!r)
		return;
	ring_leave(r);
	disconnect(r);
	timer_stop(r, &r->connect_timer);
	free(r);
}

int ring_send(struct ring *r, const void *data, size_t len)
{
	struct ring_queued *q;
	int error = -EAGAIN;

	if (len > FRAME_MAX)
		return -EMSGSIZE;
	if (r->state != RING_IN)
		return -ENOTCONN;
	if (!r->queued)
		error = mcast(r, data, len);
	if (!error)
		return 0;
	if (error != -EAGAIN)
		return -ENOTCONN; /* the dispatch side finds it and reports on_lost */
	if (r->queued == RING_QUEUE_MAX || r->queued_bytes + len > RING_QUEUE_BYTES_MAX)
		return -ENOBUFS;
	q = &r->queue[(r->queue_head + r->queued) % RING_QUEUE_MAX];
	q->data = malloc(len ? len : 1);
	if (!q->data)
		return -ENOBUFS;
	memcpy(q->data, data, len);
	q->len = len;
	r->queued++;
	r->queued_bytes += len;
	if (!r->retry_timer)
		qb_loop_timer_add(r->loop, QB_LOOP_HIGH, RING_RETRY_MS * QB_TIME_NS_IN_MSEC, r, on_retry, &r->retry_timer);
	return 0;
}

size_t ring_queue_length(const struct ring *r) { return r->queued; }

const struct ring_info *ring_info(const struct ring *r) { return r->info.node_count ? &r->info : NULL; }
